"""Level 1, exact: the best matching of every partition that can win, by prices on the types (see transport.py).

Each solution starts from the prices of the last one: near durations and partitions have near prices.
"""

from __future__ import annotations

import numpy as np

from solvers.matching.best import Cut, of_least_energy, search_best
from solvers.matching.cheapest import search_cheapest
from solvers.matching.coarse import search_coarse
from solvers.matching.levels import MANY, search_levels, with_ceiling
from solvers.matching.lookers import AllMatchings
from solvers.matching.task import Searched, Task
from solvers.matching.thrifty import search_thrifty
from solvers.matching.transport import Impossible, Transport, transport
from solvers.matching.unlisted import at_its_cheapest
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal


def search(task: Task) -> Searched:
    """The best matching of every partition that can win, proved."""
    if not task.counts.size:
        found = (search_thrifty if task.thrifty else search_coarse)(task, AllMatchings(task))
        return at_its_cheapest(task, found, PricedMatcher(task)) if task.goal is Goal.PRICE else found
    matcher = PricedMatcher(task)
    if task.goal in (Goal.ENERGY, Goal.POWER):
        many = task.gains is not None and task.counts.shape[0] > MANY
        best = with_ceiling(task, (search_levels if many else search_best)(task, matcher))
        return of_least_energy(task, matcher, best)
    if task.goal is Goal.DEADLINE:
        return with_ceiling(task, search_best(task, matcher))
    return search_cheapest(task, matcher)


def place_prices(task: Task, duration: float, counts: IntArray) -> FloatArray | None:
    """What one more place of each type would change the energy by at a duration, (K,) [J]; None if none is feasible."""
    found = transport(task.menu.costs(duration), counts)
    return found.prices if isinstance(found, Transport) else None


class PricedMatcher:
    """Solves transportation problems, each from the prices of the last; its cut is the proof of the last."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._prices: FloatArray | None = None
        self.cut: Cut | None = None

    def match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        """The matching of least energy at a duration and that energy, None where none is feasible."""
        found = self.solve(self._task.menu.costs(duration), counts)
        if isinstance(found, Transport):
            constant = found.dual - float(counts @ found.prices)
            self.cut = Cut(duration=duration, constant=constant, prices=found.prices)
            return found.assignment, found.cost
        self.cut = Cut(duration=duration, constant=0.0, prices=found.within.astype(np.float64), rows=found.rows)
        return None

    def solve(self, costs: FloatArray, counts: IntArray) -> Transport | Impossible:
        """The transportation problem of some costs, from the prices of the last one."""
        found = transport(costs, counts, self._prices)
        if isinstance(found, Transport):
            self._prices = found.prices
        return found
