"""Level 1, exact at fixed costs: the matching as a linear assignment, every type's column repeated for its places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from solvers.matching.best import Cut, of_least_energy, search_best
from solvers.matching.cheapest import search_cheapest
from solvers.matching.task import Searched, Task
from solvers.matching.transport import Impossible, Transport
from solvers.rows import FloatArray, Goal

IntArray = NDArray[np.int64]
Match = Callable[[FloatArray, IntArray], tuple[IntArray, float] | None]  # costs (N, K), counts (K,)


def search(task: Task) -> Searched:
    """The best matching of every partition that can win, proved."""
    return one_by_one(task, match)


def one_by_one(task: Task, match: Match) -> Searched:
    """The same by any method that finds the best matching of one partition, such as ``match`` here."""
    matcher = _Matcher(task, match)
    if task.goal is Goal.PRICE:
        return search_cheapest(task, matcher)
    best = search_best(task, matcher)
    return best if task.goal is Goal.DEADLINE else of_least_energy(task, matcher, best)


class _Matcher:
    """Solves each matching on its own; proves nothing of other partitions."""

    def __init__(self, task: Task, match: Match) -> None:
        self._menu, self._match = task.menu, match
        self.cut: Cut | None = None

    def match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        """The matching of least energy at a duration and that energy, None where none is feasible."""
        return self._match(self._menu.costs(duration).T, counts)

    def solve(self, costs: FloatArray, counts: IntArray) -> Transport | Impossible:
        """The matching of least cost; that it is, is the method's word."""
        found = self._match(costs.T, counts)
        if found is None:
            return Impossible(rows=0, places=0, within=np.zeros(len(counts), dtype=np.bool_))
        return Transport(assignment=found[0], cost=found[1], prices=np.zeros(len(counts)), dual=found[1], moved=0)


def match(costs: FloatArray, counts: IntArray) -> tuple[IntArray, float] | None:
    """The matching of least total cost, or None where every matching has an infinite one.

    costs : (N, K) cost of row n in a place of type k; +inf where it cannot take one.
    counts : (K,) places of each type; they sum to N.
    Returns the type of each row (N,) and the total. O(N^3) time, O(N^2) memory: a second truth for small N.
    """
    places = np.repeat(np.arange(counts.shape[0], dtype=np.int64), counts)
    finite = costs[np.isfinite(costs)]
    if finite.size == 0:
        return None
    scale = float(np.abs(finite).max()) or 1.0
    try:
        rows, columns = linear_sum_assignment((costs / scale)[:, places])
    except ValueError as error:
        if "infeasible" not in str(error):
            raise
        return None
    assignment = np.empty(costs.shape[0], dtype=np.int64)
    assignment[rows] = places[columns]
    total = float(costs[np.arange(costs.shape[0]), assignment].sum())
    return (assignment, total) if np.isfinite(total) else None
