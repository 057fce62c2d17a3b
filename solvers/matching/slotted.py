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
from solvers.matching import ruled, slotprice
from solvers.matching.reach import Quicker
from solvers.matching.slotcosts import SlotCosts
from solvers.matching.stretches import OFF, Coupling, Match
from solvers.matching.task import Searched, Task
from solvers.matching.transport import transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Rows, Timing


def search(task: Task) -> Searched:
    """Every partition that can win by what is proved of it."""
    return slotprice.search(task) if task.goal is Goal.PRICE else ruled.search(task, _Slotted(task))


def quicker_of(task: Task) -> Quicker:
    """Of a partition and a duration [s]: its quickest matching, None where that is no shorter."""
    costs = SlotCosts(task.menu)

    def quicker(p: int, T: float) -> IntArray | None:
        found = costs.shortest(lambda slots: transport(slots, task.counts[p]))
        return None if found is None or not found[0] < T else found[1]

    return quicker


class _Slotted:
    """Time division, as the search wants it."""

    def __init__(self, task: Task) -> None:
        self._goal, self._value, self._costs = task.goal, task.value, SlotCosts(task.menu)
        self._hertz = float(task.menu.rows[0].bandwidth[0])

    def schedule(self, rows: Rows) -> Timing:
        """Levels 2 and 3 of a matching."""
        return schedule(rows, self._hertz, self._goal, self._value).timing

    def coupling(self, watts: float) -> _Slots:
        """What prices of time prove."""
        deadline = self._goal is Goal.DEADLINE
        return _Slots(costs=self._costs, unit=watts, goal=self._goal, value=self._value, weaker=deadline)

    def shortest(self, match: Match) -> tuple[float, IntArray] | None:
        """The least duration of all matchings, exactly."""
        return self._costs.shortest(match)


@dataclass(slots=True, eq=False, kw_only=True)
class _Slots(Coupling):
    """The end of computing, and the slots: what a price of time proves of a budget or a deadline (stretches.py)."""

    goal: Goal
    value: float

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
        over = math.log(taken / room) if taken > 0.0 and room > 0.0 else OFF if taken > 0.0 else -OFF
        if deadline:
            return over, price * (taken - room)
        energy, allowed = value - price * (y + taken), allowance(self.goal, self.value, y + taken)
        if abs(over) < 1e-2 < abs(energy / allowed - 1.0):  # nearly at full power slots say little
            over = math.copysign(OFF, allowed - energy)
        return over, (taken - room) * (price / (price + self.value) if self.goal is Goal.POWER else 1.0)
