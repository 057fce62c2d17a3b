"""The least energy + price x duration of all matchings, by branch and bound over the duration.

Tangents at the right end of an interval bound every client's convex energy from below over all of it. With them for
costs the best matching is the least of finitely many lines, hence concave, and least at an end of the interval.
"""

from __future__ import annotations

import math

import numpy as np

from fedopt.submodels import IntArray
from fedopt.verifier.matchings import TooManyError, cheapest, dual_value
from fedopt.verifier.model import Tasks, best


def least_cost(
    tasks: Tasks, counts: IntArray, assignment: IntArray, watts: float, low: float, looks: int
) -> tuple[float, float] | None:
    """Prove that no matching costs less than ``low`` [J]; or the duration and cost of one that does.

    Raises TooManyError after that many looks.
    """
    start, end = 0.0, low / watts  # a longer round costs more for its time alone
    stack = [(start, end)]
    N = np.arange(tasks.W.shape[1])
    while stack:
        if looks == 0:
            raise TooManyError
        looks -= 1
        left, right = stack.pop()
        found = best(tasks, right)
        with np.errstate(all="ignore"):
            steep = np.where(np.isinf(found.energy), np.inf, found.energy + found.price * (right - left))
        bound = math.inf
        for costs, T in ((found.energy, right), (steep, left)):
            clipped = np.minimum(costs, 4.0 * low)
            better, prices = cheapest(clipped, assignment, costs.size)
            bound = min(bound, dual_value(clipped, counts, prices) + watts * T)
            if costs is found.energy:
                assignment = better
        if bound >= low:
            continue
        real = float(found.energy[assignment, N].sum()) + watts * right
        if real < low:
            return right, real
        middle = _middle(left, right)
        stack += [(middle, right), (left, middle)]  # from the left, so that a right end in a cheaper stretch shows it
    return None


def _middle(left: float, right: float) -> float:
    """Between them on a log scale, far enough from 0."""
    return math.sqrt(left * right) if left > 0.0 and right < 16.0 * left else (left + right) / 2.0
