"""The best matching of every partition that can win, given a method that finds the best one at a duration.

Where the utility is gain / T, a partition wins only if it beats the best one so far: at the duration that would take,
its least energy must be within the budget. One matching at that duration decides it, and the prices that prove the
matching bound the energy of *every* partition there and at shorter durations: most are ruled out by the proofs of a
few, without being looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.duration.verdicts import HIDES
from solvers.matching import marginal
from solvers.matching.fixed import duration_of, root_of
from solvers.matching.hall import explain, least_feasible
from solvers.matching.least import GAP, least_duration
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    OPEN,
    STOPPED,
    Proof,
    Searched,
    Task,
    empty_results,
)
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

_ENDLESS = 1e100  # [s] where rounding hides whether the matching of least energy meets the budget in an endless round
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


class OutOfTime(Exception):
    """The time is up; what was found so far is kept."""


def of_least_energy(task: Task, matcher: Matcher, found: Searched) -> Searched:
    """The same, with the cheapest matching of those as short as a partition's best: a slack budget leaves a choice.

    Before one partition is chosen, as they may differ by their energy alone: of all, or of the best where T decides.
    """
    results, chosen, asked = found.results.copy(), dict[int, IntArray](), 0
    T, E = results[:, DURATION], results[:, ENERGY]
    with np.errstate(all="ignore"):  # a round may take no time, or none to speak of
        left = np.flatnonzero((task.value * T if task.goal is Goal.POWER else task.value) * (1.0 - 1e-9) > E)
        if task.gains is not None:
            rates = task.gains / T
            left = left[rates[left] == np.nanmax(rates, initial=0.0)]
    left, lowest = left[np.argsort(E[left], kind="stable")], math.inf
    while left.size and not task.late:
        p, asked = int(left[0]), asked + 1
        cheaper = matcher.match(float(T[p]), task.counts[p])
        if cheaper is not None and cheaper[1] <= E[p] * (1.0 - 1e-12):
            chosen[p], E[p] = cheaper
        left, lowest = left[1:], min(lowest, float(E[p]))
        if matcher.cut is not None and (task.gains is not None or task.thrifty):  # who is dearer does not matter
            left = left[~matcher.cut.rules_out(task.counts[left], T[left], np.full(left.shape, lowest))]
    return replace(
        found,
        results=results,
        assign=lambda p: chosen[p] if p in chosen else found.assign(p),
        matchings=found.matchings + asked,
        passes=found.passes + asked * task.counts.shape[1],
    )


def search_best(task: Task, matcher: Matcher) -> Searched:
    """Start from the marginal order, then improve every partition that can still win; for budgets and deadlines."""
    known = None if task.incumbent is None else row_of(task, task.incumbent)
    first = np.arange(task.counts.shape[0]) if known is None else np.zeros(0, dtype=np.int64)
    if len(first) == 1:  # the method itself is quicker
        first = first[:0]
    if task.gains is not None and len(first) > 2 * _FIRST:
        first = first[:: len(first) // _FIRST]
    start = marginal.search(task.part(first).quiet()) if len(first) else None
    results = empty_results(task.counts.shape[0])
    if start is not None:
        results[first] = start.results
    elif known is not None and task.incumbent is not None:
        duration, energy = duration_of(task, task.incumbent)
        results[known, DURATION], results[known, ENERGY], results[known, STOPPED] = duration, energy, Stop.OPTIMAL
    found = Found(task, matcher, results)
    stopped = start is not None and start.stopped
    if known is not None and task.incumbent is not None:
        found.chosen[known] = task.incumbent
    left = np.arange(task.counts.shape[0])
    if task.gains is not None:
        left = left[np.argsort(-task.gains, kind="stable")]
    try:
        while left.size:
            found.improve(int(left[0]))
            left = found.still_open(left[1:])
            task.progress(task.counts.shape[0] - left.size, task.counts.shape[0], found.best)
    except OutOfTime:
        stopped = True

    found_any = stopped or bool(np.isfinite(results[:, DURATION]).any())
    crowds = {} if found_any else explain(task, matcher.match, results, found.chosen)

    def assign(p: int) -> IntArray:
        if p in found.chosen or start is None:
            return found.chosen[p]
        return start.assign(int(np.flatnonzero(first == p)[0]))

    passes = (0 if start is None else start.passes) + found.matchings * task.counts.shape[1]
    return Searched(
        results=results,
        passes=passes,
        matchings=found.matchings,
        assign=assign,
        proof=Proof.NONE if stopped else Proof.MATCHINGS,
        lower=None if stopped else found.lower,
        ceiling=None if stopped else found.left_open,
        crowds=crowds,
        stopped=stopped,
    )


def row_of(task: Task, incumbent: IntArray) -> int | None:
    """The partition an earlier answer realises, None where it is no candidate or meets the budget no more."""
    if task.gains is None or task.goal is Goal.DEADLINE:
        return None
    same = np.flatnonzero((task.counts == np.bincount(incumbent, minlength=task.counts.shape[1])).all(axis=1))
    usable = same.size > 0 and task.gains[same[0]] > 0.0 and 0.0 < duration_of(task, incumbent)[0] < math.inf
    return int(same[0]) if usable else None


class Found:
    """The state of a search: results, the best gain / T and its energy, and how many matchings were solved.

    cuts: what the last matchings proved. winner: the partition last found to be the best, -1 before. ceiling: of gain
    / T of the partitions that were improved.
    """

    def __init__(self, task: Task, matcher: Matcher, results: FloatArray) -> None:
        self.task, self.matcher, self.results, self.root = task, matcher, results, root_of(task)
        self.chosen: dict[int, IntArray] = {}
        self.lower = results[:, DURATION].copy()
        self.matchings = 0
        self.best, self.lowest, self.winner, self.ceiling = 0.0, math.inf, -1, 0.0
        self.cuts: list[Cut] = []
        self._screened = 0.0  # the best by which still_open() last compared durations
        if task.gains is not None and np.isfinite(results[:, DURATION]).any():
            with np.errstate(divide="ignore", over="ignore"):
                rates = task.gains / results[:, DURATION]
            self.best = float(np.nanmax(rates))
            self.lowest = float(np.nanmin(results[rates == self.best, ENERGY]))

    @property
    def left_open(self) -> float | None:
        """The gain / T that rounding leaves open, None where that is the best one's, but for last digits."""
        return self.ceiling if self.best > 0.0 and self.ceiling > self.best * (1.0 + OPEN) else None

    def improve(self, p: int) -> None:
        """Find the best matching of partition p, if it beats what is known of p and can beat the best."""
        found = self._at_deadline(p) if self.task.goal is Goal.DEADLINE else self._within_budget(p)
        if found is None:
            return
        assignment, duration, energy = found
        self.take(p, assignment, duration, energy)

    def take(self, p: int, assignment: IntArray, duration: float, energy: float) -> None:
        """Keep an answer of partition p."""
        self.chosen[p] = assignment
        self.results[p, DURATION], self.results[p, ENERGY], self.results[p, STOPPED] = duration, energy, Stop.OPTIMAL
        if self.task.gains is not None:
            rate = float(self.task.gains[p]) / duration if duration > 0.0 else math.inf
            if (rate, -energy) > (self.best, -self.lowest):
                self.best, self.lowest, self.winner = rate, energy, p

    def still_open(self, left: IntArray) -> IntArray:
        """The partitions of ``left`` that no proof has ruled out."""
        gains, goal, value = self.task.gains, self.task.goal, self.task.value
        if gains is None or self.best == 0.0:
            self.cuts.clear()
            return left
        if goal is Goal.DEADLINE:
            return left[gains[left] >= self.best * value * (1.0 - GAP)]
        if self.best > self._screened:  # shorter than any row can be
            self._screened = self.best
            left = left[gains[left] >= self.best * self.task.menu.shortest]
        for cut in self.cuts:
            needed = gains[left] / self.best
            allowed = value * needed if goal is Goal.POWER else np.full(left.shape, value)
            left = left[~cut.rules_out(self.task.counts[left], needed, allowed)]
        self.cuts.clear()
        return left

    def _match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        if self.task.late:
            raise OutOfTime
        self.matchings += 1
        found = self.matcher.match(duration, counts)
        if self.matcher.cut is not None:
            self.cuts.append(self.matcher.cut)
        return found

    def _at_deadline(self, p: int) -> tuple[IntArray, float, float] | None:
        task, known = self.task, self.results[p]
        if task.gains is not None:
            rate = float(task.gains[p]) / task.value if task.value > 0.0 else math.inf
            no_gain = rate == self.best and known[LEAST_ENERGY] > self.lowest * (1.0 + 1e-9)
            if rate < self.best or no_gain:
                return None
        found = self._match(task.value, task.counts[p])
        if found is None or found[1] >= known[ENERGY]:
            return None
        self.lower[p] = task.value
        return found[0], task.value, found[1]

    def _within_budget(self, p: int) -> tuple[IntArray, float, float] | None:
        task, known = self.task, self.results[p]
        high, first = known[DURATION] * (1.0 - GAP), None
        if task.gains is not None and self.best > 0.0:
            needed = float(task.gains[p]) / self.best
            high = min(high, needed) if math.isfinite(high) else needed
        if not math.isfinite(high):  # nothing is known yet: the matching of least energy meets the budget if any does
            endless = self._match(math.inf, task.counts[p])
            high = math.inf if endless is None else self.root(endless[0])[0] * (1.0 + 1e-12)
            if endless is not None and math.isfinite(high):
                first = endless[0]
            elif endless is not None and (task.goal is Goal.POWER or endless[1] <= task.value * (1.0 + HIDES)):
                high = _ENDLESS  # rounding hides whether it does, or level 2 gave up
            else:
                return None

        def root(assignment: IntArray) -> tuple[float, float]:
            duration, energy = self.root(assignment)
            if task.until < math.inf and duration < math.inf and not duration >= self.results[p, DURATION]:
                self.take(p, assignment, duration, energy)  # should the time be up before more is known
            return duration, energy

        shorter = least_duration(
            lambda T: self._match(T, task.counts[p]),
            root,
            task.goal,
            task.value,
            task.menu.shortest,
            high,
            lambda: least_feasible(task.menu.least_times, task.counts[p]).duration,
            first,
        )
        self.lower[p] = shorter.lower
        if task.gains is not None and task.gains[p] > 0.0:
            rate = float(task.gains[p]) / shorter.lower if shorter.lower > 0.0 else math.inf
            self.ceiling = max(self.ceiling, rate)
        return None if shorter.assignment is None else (shorter.assignment, *root(shorter.assignment))
