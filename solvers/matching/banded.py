"""Level 1 where the rows share bandwidth, at a deadline or a price of time: bounds by duration and price of bandwidth.

At a duration T and a price mu a row's cost in a place, the least of E + mu beta, is its own and convex in T. At a
deadline the transportation problem of these costs bounds the energy of every matching by its dual less mu times the
channel. At a price of time so it bounds energy + price x T over stretches of T, each with its own mu (stretches.py).
About one row's worth is left open.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from solvers.access.shared import schedule
from solvers.matching import ruled
from solvers.matching.bandcosts import BandCosts
from solvers.matching.coupled import Coupled
from solvers.matching.stretches import OFF, Coupling, Match
from solvers.matching.task import DURATION, Searched, Task
from solvers.matching.transport import Transport
from solvers.menu import IntArray, fill
from solvers.rows import FloatArray, Goal, Rows, Timing

_LOOKS = 60  # at one partition
_BETTER = 1.0 - 1e-10


def search(task: Task) -> Searched:
    """Every partition that can win by what is proved of it; for deadlines and prices of time."""
    costs = BandCosts(task.menu)
    found = ruled.search(task, _Banded(task, costs)) if task.goal is Goal.DEADLINE else _Run(task, costs).search()
    return dataclasses.replace(found, passes=found.passes + costs.passes)


@dataclass(slots=True, eq=False, kw_only=True)
class _Band(Coupling):
    """The duration, and the bandwidths: what a price of bandwidth proves at a price of time [W], 0 at a deadline."""

    price: float

    def slope(self, price: float) -> float:
        """What a second of the round costs."""
        return self.price

    def proved(self, value: FloatArray, price: float) -> FloatArray:
        """The energy, or the cost [J]: the whole channel is paid for, whoever has it."""
        result: FloatArray = value * (1.0 - 1e-12) - price
        return result

    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        """The bandwidths taken against the one channel there is."""
        over = math.log(taken) if 0.0 < taken < math.inf else math.copysign(OFF, taken - 1.0)
        return over, price * (taken - 1.0)


class _Banded:
    """Shared bandwidth at a deadline, as the search wants it."""

    def __init__(self, task: Task, costs: BandCosts) -> None:
        self._deadline, self._costs = task.value, costs
        self._hertz = float(task.menu.rows[0].bandwidth[0])

    def schedule(self, rows: Rows) -> Timing:
        """Levels 2 and 3 of a matching."""
        return schedule(rows, self._hertz, Goal.DEADLINE, self._deadline).timing

    def coupling(self, watts: float) -> _Band:
        """What prices of bandwidth prove at the deadline."""
        return _Band(costs=self._costs, unit=0.1 * watts * self._deadline, price=0.0, latest=True)

    def shortest(self, match: Match) -> tuple[float, IntArray] | None:
        """A matching that meets the deadline; that is all that is to be known of its duration."""
        found = self._costs.in_time(self._deadline, match)
        return None if found is None else (0.0, found)


class _Run(Coupled):
    """A price of time; y is the duration."""

    before = True

    def __init__(self, task: Task, costs: BandCosts) -> None:
        super().__init__(task)
        self._costs, self._hertz = costs, float(task.menu.rows[0].bandwidth[0])
        self._tried, self._at = set[bytes](), (0.0, 0.0)  # duration [s] and price [J/channel] of the last answer
        self._coupling: _Band | None = None

    def bounding(self, needed: FloatArray, p: int) -> _Band:
        """Prices of bandwidth."""
        if self._coupling is None:
            known = self.known[np.isfinite(self.known)]
            unit = self._at[1] if self._at[1] > 0.0 else 0.1 * float(known.max())
            self._coupling = _Band(costs=self._costs, unit=unit, price=self.task.value)
        return self._coupling

    def begin(self, p: int) -> None:
        """The sorted matching; where that leaves somebody out of reach, one that does not."""
        self.propose(fill(self.task.counts[p], self.menu.types, self.menu.order), p)
        if p not in self.chosen:
            found = self.match(self._costs.ready, p)
            if isinstance(found, Transport):
                self.propose(found.assignment, p)

    def first(self, p: int) -> float:
        """The best matching at the last answer's duration and price; the sorted one where that has no answer."""
        T, mu = self._at
        found = self.match(self._costs.at(T, mu).costs, p) if T > 0.0 and mu > 0.0 else None
        if isinstance(found, Transport):
            self.propose(found.assignment, p)
        if p not in self.chosen:
            self.begin(p)
        return float(np.nan_to_num(self.results[p, DURATION]))

    def solve(self, p: int) -> None:
        """The matchings that prices lead to, while they raise the bound of the partition."""
        self.done.add(p)
        self.begin(p)
        if self.stretches is None:
            return
        for _ in range(_LOOKS):
            at = self.stretches.weakest(p)
            if at < 0 or self.task.late or self.stretches.bound(at, p) >= self.known[p] * _BETTER:
                break
            self.stretches.look(
                at, p, lambda: float(self.known[p]) * _BETTER, lambda assignment: self.propose(assignment, p)
            )
        self.lower[p] = self.stretches.least(p)

    def propose(self, assignment: IntArray, p: int) -> None:
        """Levels 2 and 3 of a matching, kept if it is the cheapest of its partition so far."""
        key = assignment.tobytes()
        if key in self._tried:
            return
        self._tried.add(key)
        near = self._at if self._at[0] > 0.0 and self._at[1] > 0.0 else None
        found = schedule(self.menu.rows_of(assignment), self._hertz, Goal.PRICE, self.task.value, near)
        self.passes += found.timing.passes
        if found.timing.point is None:
            return
        T, E = found.timing.duration, float(found.timing.point.energy.sum())
        self._at = T, found.bandwidth_price * self._hertz
        if E + self.task.value * T < self.known[p] * _BETTER or p not in self.chosen:
            self.keep(p, assignment, T, E, found.timing.stop)
