"""Level 1 where the rows send one after another: bounds of all partitions by the end of computing and a price of time.

At a price lambda the cost of a row in a place is its own but for the end of computing, T_cmp: what it computes with by
then, and its slot at that price. So over a stretch of ends the least value V of E + lambda T bounds every matching that
ends computing there: E >= V - lambda T, hence T >= (V - budget)/lambda for an energy, V/(lambda + watts) for a power
(stretches.py). Every stretch has its own best price, so that only about one row's worth is left open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.access.timedivision import schedule
from solvers.duration.verdicts import allowance
from solvers.matching import marginal, slotprice
from solvers.matching.slotcosts import SlotCosts
from solvers.matching.stretches import Priced, Stretches
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
from solvers.rows import ROUNDING, BoolArray, FloatArray, Goal

_FIRST = 8  # partitions whose sorted matchings make a first best, where proofs rule the rest out
_FAN = 32  # stretches of the end of computing to begin with
_WIDE = 1e3  # down to so small a part of the last end, should no computing be an end (idle places)
_ENTRIES = 1 << 24  # bounds that are kept, about
_LOOKS = 200  # at one partition
_OFF = 9.0  # ln of an excess that says no more than its sign


def search(task: Task) -> Searched:
    """Every partition that can win by what is proved of it, the one with the most to hope for first."""
    if task.goal is Goal.PRICE:
        return slotprice.search(task)
    run, total, stopped = _Run(task), task.counts.shape[0], False
    left = np.ones(total, dtype=np.bool_)
    if run.possible:
        while not stopped:
            p = run.hopeful(left)
            if p < 0:
                break
            run.improve(p)
            left[p] = False
            stopped = task.late
            task.progress(total - int(left.sum()), total, run.best)
    ceiling = run.ceiling()
    return Searched(
        results=run.results,
        passes=run.passes,
        assign=run.assign,
        matchings=run.matchings,
        proof=Proof.NONE if ceiling is None else Proof.MATCHINGS,
        lower=None if ceiling is None or task.goal is Goal.DEADLINE else run.lower,
        ceiling=ceiling,
        stopped=stopped,
    )


@dataclass(slots=True, eq=False)
class _Coupling:
    """The end of computing, and the slots: what a price of time proves of a budget or a deadline (stretches.py)."""

    costs: SlotCosts
    goal: Goal
    value: float
    unit: float
    cheaper: bool = True

    @property
    def ready(self) -> FloatArray:
        """The least ends of computing [s]."""
        return self.costs.ready

    def at(self, y: float, price: float) -> Priced:
        """Every row under every type."""
        return self.costs.at(y, price)

    def slope(self, price: float) -> float:
        """Time costs its price before the slots, too."""
        return price

    def proved(self, value: FloatArray, price: float) -> FloatArray:
        """What E + ``price`` x T >= value says: of a budget a duration [s], of a deadline an energy [J]."""
        V = value * (1.0 - 1e-12)
        if self.goal is Goal.DEADLINE:
            return V - price * self.value
        if math.isinf(self.value):
            return np.zeros(len(V))
        return (V - self.value) / price if self.goal is Goal.ENERGY else V / (price + self.value)

    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        """The slots against what the proved duration, or the deadline, leaves; and the energy against the budget."""
        deadline = self.goal is Goal.DEADLINE
        room = (self.value if deadline else bound) - y
        over = math.log(taken / room) if taken > 0.0 and room > 0.0 else math.copysign(_OFF, -room)
        if deadline:
            return over, price * (taken - room)
        energy, allowed = value - price * (y + taken), allowance(self.goal, self.value, y + taken)
        if abs(over) < 1e-2 < abs(energy / allowed - 1.0):  # nearly at full power slots say little
            over = math.copysign(_OFF, allowed - energy)
        return over, (taken - room) * (price / (price + self.value) if self.goal is Goal.POWER else 1.0)


class _Run:
    """One task: the best matchings of its partitions, and what no matching of one goes below.

    possible: there is something to search; best: the greatest gain / T so far.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.menu, total = task, task.menu, task.counts.shape[0]
        self.results, self.best, self.passes = empty_results(total), 0.0, 0
        self._hertz = float(task.menu.rows[0].bandwidth[0])
        self._ruled = task.gains is not None and task.goal is not Goal.DEADLINE
        self._chosen, self._tried, self._matchings = dict[int, IntArray](), set[bytes](), 0
        self._costs = SlotCosts(task.menu)
        self._begin()
        self._least = np.zeros(total)  # the least duration [s] of each partition, where it was looked for
        end = task.value if task.goal is Goal.DEADLINE else self._last()
        self.possible = 0.0 < end < math.inf
        self._stretches = self._stretched(end if self.possible else 1.0)

    def _begin(self) -> None:
        """Some sorted matchings; where none of them has an answer all marginal ones, which say what is wrong."""
        total = self.task.counts.shape[0]
        some = self.task.gains is not None or self.task.thrifty
        for p in range(0, total, max(1, total // _FIRST) if some else 1):
            self._try(fill(self.task.counts[p], self.menu.types, self.menu.order), p)
        if not np.isfinite(self.results[:, DURATION]).any():
            start = marginal.search(self.task.quiet())
            self.passes += start.passes
            self.results = start.results
            self._chosen = {p: start.assign(p) for p in range(total)}
            self._raise_best()

    def _last(self) -> float:
        """Computing that ends later than this [s] is of no use."""
        if self._ruled and self.best > 0.0:
            assert self.task.gains is not None
            return float(self.task.gains.max()) / self.best
        known = self.results[np.isfinite(self.results[:, DURATION]), DURATION]
        return float(known.max(initial=0.0))

    def _stretched(self, last: float) -> Stretches:
        deadline = self.task.goal is Goal.DEADLINE
        first = min(float(self._costs.ready.min(axis=0).max()), last)
        size = max(1, min(_FAN, _ENTRIES // self.task.counts.shape[0]))
        ends = np.unique([first, *np.geomspace(max(first, last / _WIDE), last, size + 1)[1:]])
        floors = np.zeros(len(ends) - 1) if deadline else ends[:-1]
        known = self.results[np.isfinite(self.results[:, DURATION])]
        watts = float(np.median(known[:, ENERGY] / known[:, DURATION])) if len(known) else 0.0
        coupling = _Coupling(self._costs, self.task.goal, self.task.value, watts if 0.0 < watts < math.inf else 1.0)
        return Stretches(coupling, self.task.counts, ends, floors, math.inf if deadline else last)

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

    def assign(self, p: int) -> IntArray:
        """The best matching of partition p so far."""
        return self._chosen[p]

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
        counts = self.task.counts[p]
        self._try(fill(counts, self.menu.types, self.menu.order), p)
        self._shortest(p)
        for _ in range(_LOOKS):
            at = self._stretches.weakest(p)
            if at < 0 or max(self._stretches.bound(at, p), self._least[p]) >= self._aim(p):
                break
            self._stretches.look(at, p, lambda: self._aim(p), lambda assignment: self._try(assignment, p))

    def _shortest(self, p: int) -> None:
        """The matching of least duration: it may be the answer, and nothing is shorter."""

        def match(slots: FloatArray) -> Transport | Impossible:
            self._matchings += 1
            return transport(slots, self.task.counts[p])

        found = self._costs.shortest(match)
        self._least[p] = math.inf if found is None else found[0] * (1.0 - 1e-12)
        if found is not None and self._least[p] < self._aim(p):
            self._try(found[1], p)

    def _try(self, assignment: IntArray, p: int) -> None:
        """Levels 2 and 3 of a matching, kept if it is the best of its partition so far."""
        key = assignment.tobytes()
        if key in self._tried:
            return
        self._tried.add(key)
        rows = self.menu.rows_of(assignment)
        found = schedule(rows, self._hertz, self.task.goal, self.task.value).timing
        self.passes += found.passes
        result = self.results[p]
        if found.point is None:
            if not np.isfinite(result[DURATION]):
                assert self.task.limits is not None
                known = self.task.limits(rows)
                if not known.t_min >= result[LEAST_TIME]:
                    result[LEAST_TIME], result[LEAST_ENERGY], result[STOPPED] = known.t_min, known.e_inf, found.stop
                    self._chosen[p] = assignment
            return
        T, E = found.duration, float(found.point.energy.sum())
        score = E if self.task.goal is Goal.DEADLINE else T
        if not score >= result[self._asked]:
            result[DURATION], result[ENERGY], result[STOPPED] = T, E, found.stop
            self._chosen[p] = assignment
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
            return float(task.gains[self.lower < math.inf].max(initial=0.0)) / task.value
        if task.gains is None:
            return None
        with np.errstate(divide="ignore"):
            return float((task.gains / self.lower).max())
