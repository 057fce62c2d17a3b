"""The best matching of every partition that can win, given a method that finds the best one at a duration."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from solvers.matching import marginal
from solvers.matching.least import GAP, least_duration
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Searched, Task
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

MatchAt = Callable[[float, IntArray], tuple[IntArray, float] | None]

_ENDLESS = 1e4  # times the least durations: where time is no object


def search_best(task: Task, match: MatchAt) -> Searched:
    """Start from the marginal order, then improve every partition that can still win; for budgets and deadlines.

    match(T, counts): the matching of least energy at duration T and that energy, None where none is feasible.
    """
    start = marginal.search(task.quiet())
    results = start.results.copy()
    chosen: dict[int, IntArray] = {}
    gains = task.gains
    best, lowest = _leader(task, results)
    passes = start.passes
    lower = results[:, DURATION].copy()  # of the partitions improved, proved
    for p in range(task.counts.shape[0]):
        found = _improve(task, match, p, results[p], best, lowest)
        passes += task.counts.shape[1]
        if found is not None:
            chosen[p], duration, energy, lower[p] = found
            results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = duration, energy, Stop.OPTIMAL
            if gains is not None:
                best, lowest = max((best, -lowest), (gains[p] / duration, -energy))
                lowest = -lowest
        task.progress(p + 1, task.counts.shape[0], best)
    return Searched(
        results=results,
        passes=passes,
        assign=lambda p: chosen[p] if p in chosen else start.assign(p),
        proved=True,
        lower=lower,
    )


def _leader(task: Task, results: FloatArray) -> tuple[float, float]:
    """The best gain / T of the results so far and its energy; 0 and inf where there is none or no gains."""
    if task.gains is None or not np.isfinite(results[:, DURATION]).any():
        return 0.0, math.inf
    rates = task.gains / results[:, DURATION]
    best = float(np.nanmax(rates))
    return best, float(np.nanmin(results[rates == best, ENERGY]))


def _improve(
    task: Task, match: MatchAt, p: int, known: FloatArray, best: float, lowest: float
) -> tuple[IntArray, float, float, float] | None:
    """Assignment, duration, energy, proved least duration of partition p where they beat what is known and ``best``."""
    counts, goal, value = task.counts[p], task.goal, task.value
    if goal is Goal.DEADLINE:
        rate = 0.0 if task.gains is None else task.gains[p] / value
        hopeless = rate < best or (rate == best and best > 0.0 and known[LEAST_ENERGY] > lowest * (1.0 + 1e-9))
        found = None if hopeless and task.gains is not None else match(value, counts)
        if found is None or found[1] >= known[ENERGY]:
            return None
        return found[0], value, found[1], value
    high = known[DURATION] * (1.0 - GAP)
    if task.gains is not None and best > 0.0:
        needed = float(task.gains[p]) / best
        high = min(high, needed) if math.isfinite(high) else needed
    if not math.isfinite(high):  # the heuristic knows no matching
        high = _ENDLESS * float(known[LEAST_TIME]) if math.isfinite(known[LEAST_TIME]) else task.menu.longest * _ENDLESS
    shorter = least_duration(
        lambda T: match(T, counts), lambda a: duration_of(task, a), goal, value, task.menu.shortest, high
    )
    return None if shorter is None else (shorter.assignment, *duration_of(task, shorter.assignment), shorter.lower)


def duration_of(task: Task, assignment: IntArray) -> tuple[float, float]:
    """Duration and energy of a matching; inf where it has none."""
    timing = task.find_duration(task.menu.rows_of(assignment), task.goal, task.value, task.allocate)
    return (math.inf, math.inf) if timing.point is None else (timing.duration, float(timing.point.energy.sum()))
