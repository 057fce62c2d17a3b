"""The search over partitions where rows share a channel: what is proved of all of them says which to look at next.

For budgets and deadlines. A partition is looked at while what no matching of it goes below leaves it a chance: its
sorted matching is tried, its quickest one, and those that prices lead to while they raise the bound (stretches.py).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from solvers.matching import marginal
from solvers.matching.stretches import Coupling, Match, Stretches, stretches_of
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Proof,
    Searched,
    Task,
    empty_results,
)
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray, fill
from solvers.rows import ROUNDING, BoolArray, FloatArray, Goal, Rows, Stop, Timing

_FIRST = 8  # partitions whose sorted matchings make a first best, where proofs rule the rest out
_LOOKS = 200  # at one partition


class Scheme(Protocol):
    """How rows share a channel."""

    def schedule(self, rows: Rows) -> Timing:
        """Levels 2 and 3 of a matching."""

    def coupling(self, watts: float) -> Coupling:
        """What prices prove; ``watts``: about energy over duration."""

    def shortest(self, match: Match) -> tuple[float, IntArray] | None:
        """What no matching is shorter than [s], and the one to try; None where none is feasible, or in time."""


def search(task: Task, scheme: Scheme) -> Searched:
    """Every partition that can win by what is proved of it, the one with the most to hope for first."""
    run, total = _Run(task, scheme), task.counts.shape[0]
    stopped = run.stopped
    left = np.ones(total, dtype=np.bool_)
    while run.possible and not stopped:
        p = run.hopeful(left)
        if p < 0:
            break
        run.improve(p)
        left[p] = False
        stopped = task.late
        task.progress(total - int(left.sum()), total, run.best)
    if task.goal is Goal.DEADLINE and not stopped and not run.found:
        run.explain()
    ceiling = run.ceiling()
    return Searched(
        results=run.results,
        passes=run.passes,
        assign=run.chosen.__getitem__,
        matchings=run.matchings,
        proof=Proof.NONE if ceiling is None else Proof.MATCHINGS,
        lower=None if ceiling is None or task.goal is Goal.DEADLINE else run.lower,
        ceiling=ceiling,
        stopped=stopped or run.stopped,
    )


class _Run:
    """One task: the best matchings of its partitions, and what no matching of one goes below.

    possible: there is something to search; best: the greatest gain / T so far; stopped: the time was up meanwhile.
    """

    def __init__(self, task: Task, scheme: Scheme) -> None:
        self.task, self.menu, self._scheme, total = task, task.menu, scheme, task.counts.shape[0]
        self.results, self.best, self.passes, self.stopped = empty_results(total), 0.0, 0, False
        self._ruled = task.gains is not None and task.goal is not Goal.DEADLINE
        self.chosen, self._tried, self._matchings = dict[int, IntArray](), set[bytes](), 0
        self._least = np.zeros(total)  # the least duration [s] of each partition, where it was looked for
        self._begin()
        end = task.value if task.goal is Goal.DEADLINE else self._last()
        self.possible = 0.0 < end < math.inf
        self._stretches = self._stretched(end if self.possible else 1.0)

    def _begin(self) -> None:
        """Some sorted matchings; should none of them meet a budget, all marginal ones, then the quickest of those whom
        that leaves out of reach."""
        total, incumbent = self.task.counts.shape[0], self.task.incumbent
        if incumbent is not None:
            counts = np.bincount(incumbent, minlength=self.task.counts.shape[1])
            self._try(incumbent, int(np.flatnonzero((self.task.counts == counts).all(axis=1))[0]))
        some = self.task.gains is not None or self.task.thrifty
        for p in range(0, total, max(1, total // _FIRST) if some else 1):
            self._try(fill(self.task.counts[p], self.menu.types, self.menu.order), p)
        if not self.found and self.task.goal is not Goal.DEADLINE:
            self.explain()
            for p in np.flatnonzero(self.results[:, STOPPED] == Stop.UNREACHABLE).tolist():
                if self.found or self.stopped:
                    break
                self._shortest(p)
                self.stopped = self.task.late

    @property
    def found(self) -> bool:
        """Whether any matching has an answer."""
        return bool(np.isfinite(self.results[:, DURATION]).any())

    def explain(self) -> None:
        """Every partition's marginal matching: where none has an answer either it says what is wrong."""
        start = marginal.search(self.task.quiet())
        self.passes += start.passes
        self.results, self.chosen, self.stopped = start.results, start.assignments(), start.stopped
        self._raise_best()

    def _last(self) -> float:
        """A duration [s] beyond which nothing is of use."""
        if self._ruled and self.best > 0.0:
            assert self.task.gains is not None
            return float(self.task.gains.max()) / self.best
        known = self.results[np.isfinite(self.results[:, DURATION]), DURATION]
        return float(known.max(initial=0.0))

    def _stretched(self, last: float) -> Stretches:
        floor, rest = (0.0, math.inf) if self.task.goal is Goal.DEADLINE else (1.0, last)
        return stretches_of(self._coupling(), self.task.counts, last, floor, rest)

    def _coupling(self) -> Coupling:
        """Prices about as large as the power of the answers; before there is one, as what all rows need at least."""
        return self._scheme.coupling(self._watts() or self._watts(LEAST_ENERGY, LEAST_TIME) or 1.0)

    def _watts(self, energy: int = ENERGY, duration: int = DURATION) -> float:
        """The median of a result over another, of the partitions that take any; 0 for none."""
        with np.errstate(all="ignore"):
            powers = self.results[:, energy] / self.results[:, duration]
        powers = powers[(powers > 0.0) & (powers < math.inf)]
        return float(np.median(powers)) if len(powers) else 0.0

    @property
    def lower(self) -> FloatArray:
        """What no matching of a partition goes below, (P,): a duration [s], at a deadline an energy [J]."""
        if self.task.goal is Goal.DEADLINE:
            late = self._least * ROUNDING > self.task.value
            return np.where(late, math.inf, self._stretches.lower)
        return np.maximum(self._stretches.lower if self.possible else 0.0, self._least)

    @property
    def matchings(self) -> int:
        """How many best matchings were solved."""
        return self._matchings + self._stretches.matchings

    def hopeful(self, left: BoolArray) -> int:
        """The partition to look at next; -1 where what is proved of all leaves nothing to hope for."""
        lower, gains = self.lower, self.task.gains
        hopes = left & (lower < self._aims())
        if not hopes.any():
            return -1
        if gains is None:
            return int(np.argmin(np.where(hopes, lower, math.inf)))
        if self.task.goal is Goal.DEADLINE:
            hopes &= gains == gains[hopes].max()
            return int(np.argmin(np.where(hopes, lower, math.inf)))
        with np.errstate(divide="ignore"):
            return int(np.argmax(np.where(hopes, gains / lower, -math.inf)))

    def _aims(self) -> FloatArray:
        """What a partition must be proved to go below to be worth a look, (P,)."""
        task, found = self.task, self.results[:, DURATION]
        if self._ruled:
            assert task.gains is not None
            return task.gains / self.best if self.best > 0.0 else np.full(len(found), math.inf)
        own = np.where(np.isfinite(found), self.results[:, self._asked], math.inf) * (1.0 - 1e-10)
        if task.goal is not Goal.DEADLINE or not (task.thrifty or task.gains is not None):
            return own
        if task.gains is None:
            return np.full(len(found), own.min())
        most = task.gains[np.isfinite(found)].max(initial=-math.inf)
        equal = float(own[task.gains == most].min(initial=math.inf))
        return np.where(task.gains > most, math.inf, np.where(task.gains == most, equal, -math.inf))

    def _aim(self, p: int) -> float:
        """The same of one partition."""
        if self._ruled and self.best > 0.0:
            assert self.task.gains is not None
            return float(self.task.gains[p]) / self.best
        return float(self._aims()[p])

    @property
    def _asked(self) -> int:
        """The result that is to be least."""
        return ENERGY if self.task.goal is Goal.DEADLINE else DURATION

    def improve(self, p: int) -> None:
        """Matchings of partition p, and its bound, until it is proved to be of no use or prices lead no further."""
        counts, watts = self.task.counts[p], self._watts()
        self._try(fill(counts, self.menu.types, self.menu.order), p)
        self._shortest(p)
        if watts == 0.0 < self._watts():
            self._stretches.coupling = self._coupling()
        for _ in range(0 if self._alone(p) else _LOOKS):
            at = self._stretches.weakest(p)
            if at < 0 or self._useless(p) or self._stretches.bound(at, p) >= self._aim(p):
                break
            self._stretches.look(at, p, lambda: self._aim(p), lambda assignment: self._try(assignment, p))

    def _shortest(self, p: int) -> None:
        """The matching of least duration: it may be the answer, and nothing is shorter."""

        def match(costs: FloatArray) -> Transport | Impossible:
            self._matchings += 1
            return transport(costs, self.task.counts[p])

        found = self._scheme.shortest(match)
        self._least[p] = max(self._least[p], math.inf if found is None else found[0] * (1.0 - 1e-12))
        if found is not None and not self._useless(p):
            self._try(found[1], p)

    def _alone(self, p: int) -> bool:
        """Whether a partition has one matching only, whose own bracket is what bounds its duration."""
        return self.task.goal is not Goal.DEADLINE and np.count_nonzero(self.task.counts[p]) == 1

    def _useless(self, p: int) -> bool:
        """Whether even the quickest matching of a partition takes too long."""
        if self.task.goal is Goal.DEADLINE:
            return bool(self._least[p] * ROUNDING > self.task.value)
        return bool(self._least[p] >= self._aim(p))

    def _try(self, assignment: IntArray, p: int) -> None:
        """Levels 2 and 3 of a matching, kept if it is the best of its partition so far."""
        key = assignment.tobytes()
        if key in self._tried:
            return
        self._tried.add(key)
        rows = self.menu.rows_of(assignment)
        found = self._scheme.schedule(rows)
        self.passes += found.passes
        result = self.results[p]
        if self._alone(p):
            never = found.stop in (Stop.TOO_LITTLE, Stop.UNREACHABLE)
            self._least[p] = max(self._least[p], math.inf if never else float(np.nan_to_num(found.lower)))
        if found.point is None:
            if not np.isfinite(result[DURATION]):
                assert self.task.limits is not None
                known = self.task.limits(rows)
                if not known.t_min >= result[LEAST_TIME]:
                    result[LEAST_TIME], result[LEAST_ENERGY], result[STOPPED] = known.t_min, known.e_inf, found.stop
                    self.chosen[p] = assignment
            return
        T, E = found.duration, float(found.point.energy.sum())
        score = E if self.task.goal is Goal.DEADLINE else T
        if not score >= result[self._asked]:
            result[DURATION], result[ENERGY], result[STOPPED] = T, E, found.stop
            self.chosen[p] = assignment
            self._raise_best()

    def _raise_best(self) -> None:
        """The greatest gain / T of all."""
        if self.task.gains is not None:
            with np.errstate(all="ignore"):
                self.best = float(np.nan_to_num(self.task.gains / self.results[:, DURATION]).max())

    def ceiling(self) -> float | None:
        """What no gain / T, or -E, is above; None for a utility that is neither."""
        task = self.task
        if task.goal is Goal.DEADLINE:
            if task.thrifty:
                return -float(self.lower.min())
            if task.gains is None:
                return None
            with np.errstate(all="ignore"):  # at a deadline of 0 s
                return float(task.gains[self.lower < math.inf].max(initial=0.0) / task.value)
        if task.gains is None:
            return None
        with np.errstate(divide="ignore"):
            return float((task.gains / self.lower).max())
