"""The least duration at which a partition has a matching at all, and who stands in the way, by Hall's condition.

A set of types S is short of places at T where more rows than it has places fit into nothing outside S. The row that
is one too many needs its least duration outside S, so no shorter T will do; and where no set is short, every row finds
a place. Each transportation problem without a solution names such a set, whose least duration is looked at next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from solvers.matching.task import LEAST_ENERGY, LEAST_TIME, STOPPED, Task
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray
from solvers.rows import ROUNDING, BoolArray, FloatArray, Goal, Stop

_EXPLAINED = 2048  # partitions at most that are compared to name the closest one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """Why no matching is shorter than ``duration`` [s], inf where none is feasible at all.

    within (K,) bool: the types that have ``places`` places together. needs (N,) [s]: each row's least duration
    outside of them; more than ``places`` rows need ``duration`` or longer.
    """

    duration: float
    within: BoolArray
    places: int
    needs: FloatArray

    def rows(self, duration: float) -> IntArray:
        """The rows that fit only within at a duration, neediest first."""
        who = np.flatnonzero(~fits(self.needs, duration))
        return who[np.argsort(-self.needs[who], kind="stable")]


def fits(least: FloatArray, duration: float) -> BoolArray:
    """Whether a duration suffices, both being rounded."""
    result: BoolArray = least * ROUNDING <= duration
    return result


def least_feasible(least_times: FloatArray, counts: IntArray) -> Crowd:
    """The least duration of all matchings of a partition.

    least_times : (K, N) [s] what row n needs at least in a place of type k; inf where it cannot take one.
    counts : (K,) places; they sum to N.
    """
    crowd = _crowd(least_times, counts, counts == 0)
    while math.isfinite(crowd.duration):
        found = transport(np.where(fits(least_times, crowd.duration), 0.0, math.inf), counts)
        if isinstance(found, Transport):
            break
        crowd = _crowd(least_times, counts, found.within | (counts == 0))
    return replace(crowd, within=crowd.within & (counts > 0))


def _crowd(least_times: FloatArray, counts: IntArray, within: BoolArray) -> Crowd:
    needs, places = least_times[~within].min(axis=0), int(counts[within].sum())
    at = len(needs) - 1 - places
    return Crowd(duration=float(np.partition(needs, at)[at]), within=within, places=places, needs=needs)


def explain(
    task: Task,
    match: Callable[[float, IntArray], tuple[IntArray, float] | None],
    results: FloatArray,
    chosen: dict[int, IntArray],
) -> dict[int, Crowd]:
    """Of partitions without an answer: the least duration and energy of all their matchings, written into results.

    match(T, counts): the best matching at a duration. chosen: the matchings of least energy, or of least duration for
    a deadline, are written there. Returns the crowds by row; of very many partitions for the first ones only.
    """
    crowds = {}
    for p in range(min(len(results), _EXPLAINED)):
        counts = task.counts[p]
        crowds[p] = crowd = least_feasible(task.menu.least_times, counts)
        found = match(crowd.duration if task.goal is Goal.DEADLINE else math.inf, counts)
        unreachable = found is None or math.isinf(crowd.duration)
        late = Stop.TOO_SHORT if task.goal is Goal.DEADLINE else Stop.TOO_LITTLE
        results[p, LEAST_TIME], results[p, STOPPED] = crowd.duration, Stop.UNREACHABLE if unreachable else late
        results[p, LEAST_ENERGY] = math.inf if found is None else found[1]
        if found is not None:
            chosen[p] = found[0]
    return crowds
