"""Level 1 in plain Python, with any methods below: the loop of the paper, and the twin of the compiled one."""

from __future__ import annotations

import math

import numpy as np

from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Searched,
    Task,
    empty_results,
)
from solvers.menu import IntArray, Menu, fill
from solvers.plan import make_plan
from solvers.rows import Goal, Timing

_ROUNDS = 8  # of the marginal order at most


def search_plain(task: Task, orders: IntArray, *, marginal: bool) -> Searched:
    """Solve every partition with the order of its row in ``orders`` (P, N) or (1, N)."""
    menu, counts, goal, value = task.menu, task.counts, task.goal, task.value
    results = empty_results(counts.shape[0])
    chosen: dict[int, IntArray] = {}
    best, passes, stopped = 0.0, 0, False
    for p in range(counts.shape[0]):
        order = orders[p] if orders.shape[0] > 1 else orders[0]
        score = math.inf
        T = value if goal is Goal.DEADLINE else math.inf
        assignment = fill(counts[p], menu.types, order)
        for turn in range(_ROUNDS + 1 if marginal else 1):
            if turn > 0:
                T = T if math.isfinite(T) else 2.0 * float(results[p, LEAST_TIME])
                if not math.isfinite(T):
                    break
                assignment = by_marginal(menu, counts[p], order, T)
                passes += 2
            rows = menu.rows_of(assignment)
            timing = task.find_duration(rows, goal, value, task.allocate)
            passes += timing.passes
            reached = _score(goal, value, timing)
            if turn == 0 or reached < score * (1.0 - 1e-12):
                known = make_plan(rows) if task.limits is None else task.limits(rows)
                results[p, LEAST_TIME], results[p, LEAST_ENERGY] = known.t_min, known.e_inf
                results[p, STOPPED] = timing.stop
                chosen[p] = assignment
            if not reached < score * (1.0 - 1e-12):
                if turn > 0:
                    break
                continue
            assert timing.point is not None
            score, T = reached, timing.duration
            results[p, DURATION], results[p, ENERGY] = T, float(timing.point.energy.sum())
        if task.gains is not None and math.isfinite(score):
            best = max(best, float(task.gains[p]) / T if T > 0.0 else math.inf)
        task.progress(p + 1, counts.shape[0], best)
        stopped = task.late and p + 1 < counts.shape[0]
        if stopped:
            break
    return Searched(results=results, passes=passes, assign=chosen.__getitem__, stopped=stopped)


def by_marginal(menu: Menu, counts: IntArray, order: IntArray, duration: float) -> IntArray:
    """Match in the order of e(largest type used) - e(smallest type used); rows that cannot take the largest last."""
    used = menu.types[counts[menu.types] > 0]
    costs = menu.costs(duration)
    with np.errstate(invalid="ignore"):
        extra = costs[used[0]] - costs[used[-1]]
    extra = np.where(np.isinf(costs[used[0]]), np.inf, extra)
    ranked = order[np.argsort(extra[order], kind="stable")]
    return fill(counts, menu.types, ranked)


def _score(goal: Goal, value: float, timing: Timing) -> float:
    """What is minimised for one partition: duration, energy at a deadline, or E + price T; inf for no answer."""
    if timing.point is None:
        return math.inf
    energy = float(timing.point.energy.sum())
    if goal is Goal.DEADLINE:
        return energy
    return timing.duration if goal is not Goal.PRICE else energy + value * timing.duration
