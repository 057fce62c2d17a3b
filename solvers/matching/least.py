"""The least duration over all matchings of a partition, given the best matching at any one duration.

E*(T), the energy of the best matching at T, never rises with T but is neither convex nor continuous. Two facts make
a search of it: where E*(T) is within the budget, the matching found there has a duration of its own that is no
longer than T; where it is not, no matching is short enough. So look just below the best duration known: a failure
there is the proof, a success a shorter duration. Where matchings are held up by feasibility rather than by the budget
their durations crowd, and every second look halves the proved bracket instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solvers.menu import IntArray
from solvers.rows import Goal

Match = Callable[[float], tuple[IntArray, float] | None]
Root = Callable[[IntArray], tuple[float, float]]

GAP = 1e-13  # relative: the proof is for durations shorter by more than this
_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """The best matching (N,), its duration [s], the proved lower bound [s], and how many matchings were solved."""

    assignment: IntArray
    duration: float
    lower: float
    matchings: int


def least_duration(match: Match, root: Root, goal: Goal, value: float, least: float, high: float) -> Least | None:
    """The least T at which some matching meets the energy or power budget, if one at or below ``high`` does; else None.

    match(T): the matching of least energy at T and that energy, None where none is feasible. root(assignment): the
    duration and energy of a matching, inf where it has none. least [s]: no matching is feasible below.
    """

    def allowed(duration: float) -> float:
        return value * duration if goal is Goal.POWER else value

    best: IntArray | None = None
    low, halve = least, False
    for solved in range(1, _STEPS + 1):
        below = high if best is None else high * (1.0 - GAP)
        probe = max(math.sqrt(low) * math.sqrt(high), low) if halve and low > 0.0 else below
        found = match(probe) if probe >= least else None
        if found is not None and found[1] <= allowed(probe):
            duration, energy = root(found[0])
            best, high = found[0], min(duration, probe)
            halve = not halve and energy < allowed(duration) * (1.0 - 1e-9)
        elif best is None:
            return None
        else:
            low, halve = max(low, probe), False
        if best is not None and low >= high * (1.0 - 2.0 * GAP):
            return Least(assignment=best, duration=high, lower=low, matchings=solved)
    assert best is not None
    return Least(assignment=best, duration=high, lower=low, matchings=_STEPS)
