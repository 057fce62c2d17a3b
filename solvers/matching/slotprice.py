"""Level 1 where the rows send one after another, at a price of time: the cheapest matchings of what can win.

At a price a row's cost in a place is its own but for the end of computing, over which branch.py searches: that is the
cheapest matching for E + price x T, proved. What is to be within a duration has a bound by a higher price of time, less
what that adds at the duration (coupled.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.matching.branch import Branch, Lines
from solvers.matching.coupled import Coupled
from solvers.matching.hall import least_feasible
from solvers.matching.slotcosts import SlotCosts
from solvers.matching.stretches import OFF, Coupling
from solvers.matching.task import DURATION, Searched, Task
from solvers.matching.transport import Transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Stop

_NEAR = 0.01  # relative, between the ends of computing at which a first matching is looked for
_FARTHEST = 500  # of them


def search(task: Task) -> Searched:
    """The cheapest matching of every partition that can win."""
    return _Run(task).search()


@dataclass(slots=True, eq=False, kw_only=True)
class _Longer(Coupling):
    """A price of time above the one in question, for rounds within ``needed`` (P,) [s] (stretches.py).

    E + price x T is at least the value at a higher price less what that adds at ``needed``. now: the partition.
    """

    needed: FloatArray
    now: int = 0

    def proved(self, value: FloatArray, price: float) -> FloatArray:
        """The cost [J] of what is not longer than needed."""
        V = value * (1.0 - 1e-12)
        result: FloatArray = V - (price - self.unit) * self.needed if price > self.unit else V
        return result

    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        """The slots against what is left of the time needed."""
        room = float(self.needed[self.now]) - y
        if taken > 0.0 and 0.0 < room < math.inf:
            return math.log(taken / room), price * (taken - room)
        return (OFF if taken > room else -OFF), price * (taken - room)


class _Run(Coupled):
    """One task; y is the end of computing."""

    before = False

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._costs = SlotCosts(task.menu)
        self._end = 1.05 * float(self._costs.ready.min(axis=0).max())  # of computing, of the last matching found [s]
        self._coupling = _Longer(
            costs=self._costs, unit=task.value, cheaper=False, weaker=True, needed=np.full(len(task.counts), math.inf)
        )

    def bounding(self, needed: FloatArray, p: int) -> _Longer:
        """Higher prices of time."""
        self._coupling.needed, self._coupling.now = needed, p
        return self._coupling

    def begin(self, p: int) -> None:
        """The cheapest matching of one partition."""
        self.solve(p)

    def first(self, p: int) -> float:
        """The duration [s] of a cheap matching, its partition's answer until the cheapest is found; 0 for none."""
        assignment = None if p in self.done else self._nearby(p)
        if assignment is not None:
            end, _ = self._costs.root(assignment, self.task.value)
            self.keep(p, assignment, *self._costs.times(assignment, end, self.task.value), Stop.OPTIMAL)
        return float(np.nan_to_num(self.results[p, DURATION]))

    def _nearby(self, p: int) -> IntArray | None:
        """The best matching at one of the ends near this one: of these ends no neighbour has a cheaper one."""
        known: dict[int, tuple[float, IntArray | None]] = {}

        def cost(i: int) -> float:
            if i not in known:
                y = self._end * math.exp(_NEAR * i)
                found = self.match(self._costs.at(y, self.task.value).costs, p)
                known[i] = math.inf, None
                if isinstance(found, Transport):
                    known[i] = found.cost + self.task.value * y, found.assignment
            return known[i][0]

        i = 0
        while math.isinf(cost(i)) and i < _FARTHEST:
            i = 2 * i + 1
        step = 1 if cost(i + 1) < cost(i) else -1
        while cost(i + step) < cost(i) and abs(i) < _FARTHEST:
            i += step
        return known[i][1]

    def solve(self, p: int) -> None:
        """The cheapest matching of a partition."""
        counts, price = self.task.counts[p], self.task.value
        self.done.add(p)
        shortest = least_feasible(self._costs.ready, counts).duration

        def lines(end: float) -> Lines:
            priced = self._costs.at(end, price)
            return priced.costs, priced.falls

        first = self.match(self._costs.at(2.0 * shortest, price).costs, p) if shortest < math.inf else None
        start = first.assignment if isinstance(first, Transport) else None

        def root(assignment: IntArray) -> tuple[float, float]:
            return self._costs.root(assignment, price)

        found = Branch(lines, lambda costs: self.match(costs, p), root, price, shortest).search(start)
        if found is not None:
            self._end, self.lower[p] = found.duration, found.lower * (1.0 - 1e-12)
            times = self._costs.times(found.assignment, found.duration, price)
            self.keep(p, found.assignment, *times, Stop.OPTIMAL)
