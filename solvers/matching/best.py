"""The best matching of every partition that can win, given a method that finds the best one at a duration.

Where the utility is gain / T, a partition wins only if it beats the best one so far: at the duration that would take,
its least energy must be within the budget. One matching at that duration decides it, and the prices that prove the
matching bound the energy of *every* partition there and at shorter durations: most are ruled out by the proofs of a
few, without being looked at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.matching import marginal
from solvers.matching.least import GAP, least_duration
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Searched, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

_ENDLESS = 1e4  # times the least durations: where time is no object
_FIRST = 512  # partitions of which the marginal order makes a first best, where proofs rule the rest out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """What one matching proves of all partitions, at its duration [s] and below.

    Any counts need at least ``constant + counts @ prices`` joules; or, where ``rows`` > 0, are impossible if they have
    fewer than ``rows`` places in the types whose price is 1.
    """

    duration: float
    constant: float
    prices: FloatArray
    rows: int = 0

    def rules_out(self, counts: IntArray, durations: FloatArray, allowed: FloatArray) -> NDArray[np.bool_]:
        """Which partitions (P, K) cannot keep ``durations`` (P,) within the ``allowed`` energies (P,)."""
        value = counts @ self.prices
        beyond = value < self.rows if self.rows else self.constant + value > allowed * (1.0 + 1e-9)
        result: NDArray[np.bool_] = (durations <= self.duration) & beyond
        return result


class Matcher(Protocol):
    """Finds the matching of least energy at a duration and that energy, None where none is feasible.

    cut: what the last matching proves, None where the method proves nothing of other partitions.
    """

    cut: Cut | None

    def match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        """The best matching of one partition."""


def search_best(task: Task, matcher: Matcher) -> Searched:
    """Start from the marginal order, then improve every partition that can still win; for budgets and deadlines."""
    first = np.arange(task.counts.shape[0])
    if task.gains is not None and len(first) > 2 * _FIRST:
        first = first[:: len(first) // _FIRST]
    start = marginal.search(_part(task, first).quiet())
    results = empty_results(task.counts.shape[0])
    results[first] = start.results
    found = _Found(task, matcher, results)
    left = np.arange(task.counts.shape[0])
    if task.gains is not None:
        left = left[np.argsort(-task.gains, kind="stable")]
    while left.size:
        found.improve(int(left[0]))
        left = found.still_open(left[1:])
        task.progress(task.counts.shape[0] - left.size, task.counts.shape[0], found.best)

    def assign(p: int) -> IntArray:
        return found.chosen[p] if p in found.chosen else start.assign(int(np.flatnonzero(first == p)[0]))

    passes = start.passes + found.matchings * task.counts.shape[1]
    return Searched(results=results, passes=passes, assign=assign, proved=True, lower=found.lower)


def _part(task: Task, rows: IntArray) -> Task:
    """The task with some of its partitions."""
    if len(rows) == task.counts.shape[0]:
        return task
    gains = None if task.gains is None else task.gains[rows]
    return dataclasses.replace(task, counts=task.counts[rows], gains=gains)


class _Found:
    """The state of a search: results, the best gain / T and its energy, and how many matchings were solved."""

    def __init__(self, task: Task, matcher: Matcher, results: FloatArray) -> None:
        self.task, self.matcher, self.results = task, matcher, results
        self.chosen: dict[int, IntArray] = {}
        self.lower = results[:, DURATION].copy()
        self.matchings = 0
        self.best, self.lowest = 0.0, math.inf
        self._cuts: list[Cut] = []
        self._screened = 0.0  # the best by which still_open() last compared durations
        if task.gains is not None and np.isfinite(results[:, DURATION]).any():
            with np.errstate(divide="ignore"):
                rates = task.gains / results[:, DURATION]
            self.best = float(np.nanmax(rates))
            self.lowest = float(np.nanmin(results[rates == self.best, ENERGY]))

    def improve(self, p: int) -> None:
        """Find the best matching of partition p, if it beats what is known of p and can beat the best."""
        found = self._at_deadline(p) if self.task.goal is Goal.DEADLINE else self._within_budget(p)
        if found is None:
            return
        self.chosen[p], duration, energy, self.lower[p] = found
        self.results[p, DURATION], self.results[p, ENERGY], self.results[p, STOPPED] = duration, energy, Stop.OPTIMAL
        if self.task.gains is not None:
            rate = float(self.task.gains[p]) / duration if duration > 0.0 else math.inf
            if (rate, -energy) > (self.best, -self.lowest):
                self.best, self.lowest = rate, energy

    def still_open(self, left: IntArray) -> IntArray:
        """The partitions of ``left`` that no proof has ruled out."""
        gains, goal, value = self.task.gains, self.task.goal, self.task.value
        if gains is None or self.best == 0.0:
            self._cuts.clear()
            return left
        if goal is Goal.DEADLINE:
            return left[gains[left] >= self.best * value * (1.0 - GAP)]
        if self.best > self._screened:  # shorter than any row can be
            self._screened = self.best
            left = left[gains[left] >= self.best * self.task.menu.shortest]
        for cut in self._cuts:
            needed = gains[left] / self.best
            allowed = value * needed if goal is Goal.POWER else np.full(left.shape, value)
            left = left[~cut.rules_out(self.task.counts[left], needed, allowed)]
        self._cuts.clear()
        return left

    def _match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        self.matchings += 1
        found = self.matcher.match(duration, counts)
        if self.matcher.cut is not None:
            self._cuts.append(self.matcher.cut)
        return found

    def _at_deadline(self, p: int) -> tuple[IntArray, float, float, float] | None:
        task, known = self.task, self.results[p]
        if task.gains is not None:
            rate = float(task.gains[p]) / task.value if task.value > 0.0 else math.inf
            no_gain = rate == self.best and known[LEAST_ENERGY] > self.lowest * (1.0 + 1e-9)
            if rate < self.best or no_gain:
                return None
        found = self._match(task.value, task.counts[p])
        if found is None or found[1] >= known[ENERGY]:
            return None
        return found[0], task.value, found[1], task.value

    def _within_budget(self, p: int) -> tuple[IntArray, float, float, float] | None:
        task, known = self.task, self.results[p]
        high = known[DURATION] * (1.0 - GAP)
        if task.gains is not None and self.best > 0.0:
            needed = float(task.gains[p]) / self.best
            high = min(high, needed) if math.isfinite(high) else needed
        if not math.isfinite(high):  # the heuristic knows no matching
            least = float(known[LEAST_TIME])
            high = _ENDLESS * (least if math.isfinite(least) else task.menu.longest)
        root: Callable[[IntArray], tuple[float, float]] = lambda a: duration_of(task, a)  # noqa: E731
        shorter = least_duration(
            lambda T: self._match(T, task.counts[p]), root, task.goal, task.value, task.menu.shortest, high
        )
        return None if shorter is None else (shorter.assignment, *root(shorter.assignment), shorter.lower)


def duration_of(task: Task, assignment: IntArray) -> tuple[float, float]:
    """Duration and energy of a matching; inf where it has none."""
    timing = task.find_duration(task.menu.rows_of(assignment), task.goal, task.value, task.allocate)
    return (math.inf, math.inf) if timing.point is None else (timing.duration, float(timing.point.energy.sum()))
