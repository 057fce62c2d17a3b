"""The best matching over many partitions whose utility is gain / T, most of them ruled out by one proof for many.

A partition of gain g beats the best utility U so far only if some matching of it meets the budget at T = g / U. All
partitions of one gain share that T, hence their costs, and one solved transportation problem speaks for many of them:

- its prices u bound the energy of every counts from below: sum over n of min_k (c[n, k] - u[k]) + counts . u;
- where it is impossible because too many rows fit only into some types, so is every partition with as few of those.

What is left is improved as any partition is (see best.py), and U grows on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.matching import marginal
from solvers.matching.best import MatchAt, duration_of, improve, leader, search_best
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task, empty_results
from solvers.matching.transport import Impossible, Transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

Solve = Callable[[FloatArray, IntArray], Transport | Impossible]

_ROUNDING = 1e-12  # relative: a bound must exceed the budget by more than its own rounding


@dataclass(slots=True, kw_only=True, eq=False)
class _Found:
    """What is known so far: results (P, 5), assignments of improved partitions, proved least durations, the best."""

    results: FloatArray
    chosen: dict[int, IntArray]
    lower: FloatArray
    best: float
    lowest: float


def search_screened(task: Task, match: MatchAt, solve: Solve) -> Searched:
    """The best matching of every partition that can win, for energy and power budgets and utilities gain / T.

    match(T, counts): the best matching at T and its energy; solve(costs, counts): the transportation problem. The
    search starts from the task's incumbent where that is of any use, else from the marginal order.
    """
    assert task.gains is not None
    start = None if task.incumbent is None else _from_incumbent(task, match, task.incumbent)
    first = marginal.search(task.quiet()) if start is None else None
    if first is not None:
        best, lowest = leader(task, first.results)
        if best == 0.0:  # it met the budget nowhere: every partition has to be looked at
            return search_best(task, match)
        results = first.results.copy()
        start = _Found(results=results, chosen={}, lower=results[:, DURATION].copy(), best=best, lowest=lowest)
    assert start is not None
    found, total, done = start, len(task.counts), 0
    solved = 0 if first is None else first.passes
    groups = np.unique(task.gains)
    for g in groups[np.argsort(np.abs(groups - _gain_of_best(task, found)), kind="stable")].tolist():
        members = np.flatnonzero(task.gains == g)
        solved += len(task.menu.rows) * _screen(task, match, solve, found, g, members)
        done += len(members)
        task.progress(done, total, found.best)

    def assign(p: int) -> IntArray:
        if p in found.chosen or first is None:
            return found.chosen[p]
        return first.assign(p)

    return Searched(results=found.results, passes=solved, assign=assign, proved=True, lower=found.lower)


def _from_incumbent(task: Task, match: MatchAt, incumbent: IntArray) -> _Found | None:
    """A first answer: the incumbent's partition at its best; None where it is no candidate or meets no budget."""
    assert task.gains is not None
    counts = np.bincount(incumbent, minlength=task.counts.shape[1])
    same = np.flatnonzero((task.counts == counts).all(axis=1))
    if same.size == 0 or task.gains[same[0]] <= 0.0:
        return None
    p, results = int(same[0]), empty_results(len(task.counts))
    duration, energy = duration_of(task, incumbent)
    if not 0.0 < duration < math.inf:
        return None
    results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = duration, energy, Stop.OPTIMAL
    found = _Found(results=results, chosen={p: incumbent}, lower=results[:, DURATION].copy(), best=0.0, lowest=math.inf)
    _improve(task, match, found, p)
    found.best, found.lowest = leader(task, results)
    return found


def _gain_of_best(task: Task, found: _Found) -> float:
    assert task.gains is not None
    return float(task.gains[np.nanargmax(task.gains / found.results[:, DURATION])])


def _screen(task: Task, match: MatchAt, solve: Solve, found: _Found, gain: float, members: IntArray) -> int:
    """Rule out or improve the partitions ``members`` of one gain; returns how often costs were computed."""
    counts, power = task.counts, task.goal is Goal.POWER
    computed, T, costs = 0, math.nan, np.empty((0, 0))
    prices = np.zeros(counts.shape[1])
    while members.size:
        if gain / found.best != T and members.size == 1:  # a proof for one: its improvement is the proof
            _improve(task, match, found, int(members[0]))
            return computed + 1
        if gain / found.best != T:
            T = gain / found.best
            costs, computed = task.menu.costs(T), computed + 1
        limit = task.value * T if power else task.value
        p = int(members[np.argmin(counts[members] @ prices)])  # the most promising
        answer = solve(costs, counts[p])
        if isinstance(answer, Impossible):
            alive = counts[members][:, answer.within].sum(axis=1) >= answer.rows
        else:
            prices = answer.prices
            share = counts[members] @ prices
            base = (costs - prices[:, None]).min(axis=0).sum()
            margin = _ROUNDING * (abs(base) + counts[members] @ np.abs(prices))
            alive = base + share <= limit + margin
            if answer.cost <= limit:
                computed += 1
                _improve(task, match, found, p)
        members = members[alive & (members != p)]
    return computed


def _improve(task: Task, match: MatchAt, found: _Found, p: int) -> None:
    """Find the best matching of partition p if it beats what is known."""
    assert task.gains is not None
    better = improve(task, match, p, found.results[p], found.best, found.lowest)
    if better is None:
        return
    found.chosen[p], duration, energy, found.lower[p] = better
    found.results[p, DURATION], found.results[p, ENERGY], found.results[p, STOPPED] = duration, energy, Stop.OPTIMAL
    found.best, lowest = max((found.best, -found.lowest), (float(task.gains[p] / duration), -energy))
    found.lowest = -lowest
