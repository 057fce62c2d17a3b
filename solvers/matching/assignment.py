"""Level 1, exact at fixed costs: the matching as a linear assignment, every type's column repeated for its places."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from solvers.matching import marginal
from solvers.matching.least import GAP, least_duration
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task
from solvers.rows import FloatArray, Goal, Stop

IntArray = NDArray[np.int64]


def search(task: Task) -> Searched:
    """The best matching of every partition that can win, proved: see solvers/matching/least.py. Not for Goal.PRICE."""
    start = marginal.search(task)
    results = start.results.copy()
    chosen: dict[int, IntArray] = {}
    gains = task.gains
    best = 0.0 if gains is None else float(np.nanmax(gains / results[:, DURATION], initial=0.0))
    solved = 0
    for p in range(task.counts.shape[0]):
        found = _best_matching(task, p, results[p], best)
        solved += 1
        if found is not None:
            chosen[p], duration, energy = found
            results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = duration, energy, Stop.OPTIMAL
            best = best if gains is None else max(best, gains[p] / duration)
        task.progress(p + 1, task.counts.shape[0], best)
    return Searched(
        results=results,
        passes=start.passes + solved,
        assign=lambda p: chosen[p] if p in chosen else start.assign(p),
        proved=True,
    )


def _best_matching(task: Task, p: int, known: FloatArray, best: float) -> tuple[IntArray, float, float] | None:
    """Assignment, duration and energy of partition p where they beat what is known of it and can beat ``best``."""
    menu, counts, goal, value = task.menu, task.counts[p], task.goal, task.value
    if goal is Goal.DEADLINE:
        found = match(menu.energies(value), counts)
        if found is None or found[1] >= known[ENERGY]:
            return None
        return found[0], value, found[1]

    high = known[DURATION] * (1.0 - GAP)
    if task.gains is not None and best > 0.0:
        high = min(high, task.gains[p] / best) if np.isfinite(high) else task.gains[p] / best
    times = menu.least_times()
    if not np.isfinite(high):  # the heuristic knows no matching: look where time is no object
        high = 1e4 * float(times[np.isfinite(times)].max(initial=0.0))
    least = float(times.min(axis=1).max())
    shorter = least_duration(
        lambda T: match(menu.energies(T), counts), lambda a: duration_of(task, a), goal, value, least, high
    )
    return None if shorter is None else (shorter.assignment, *duration_of(task, shorter.assignment))


def duration_of(task: Task, assignment: IntArray) -> tuple[float, float]:
    """Duration and energy of a matching; inf where it has none."""
    timing = task.find_duration(task.menu.rows_of(assignment), task.goal, task.value, task.allocate)
    return (math.inf, math.inf) if timing.point is None else (timing.duration, float(timing.point.energy.sum()))


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
