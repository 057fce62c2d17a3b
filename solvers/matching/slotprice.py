"""Level 1 where the rows send one after another, at a price of time: the cheapest matchings of what can win.

At a price a row's cost in a place is its own but for the end of computing, over which branch.py searches: that is the
cheapest matching for E + price x T, proved. Most partitions need not be searched: a partition wins only if its
cheapest matching is shorter than the best utility asks for, and a higher price of time, less what it adds at that
duration, bounds the cost of all that are (stretches.py). Where that is above the cost of some matching of the
partition, the cheapest one is too long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.matching import marginal
from solvers.matching.branch import Branch, Lines
from solvers.matching.hall import least_feasible
from solvers.matching.slotcosts import SlotCosts
from solvers.matching.stretches import Priced, Stretches
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task, empty_results
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Stop

_FEW = 32  # partitions that are all searched
_NEAR = 0.01  # relative, between the ends of computing at which a first matching is looked for
_FARTHEST = 500
_FAN = 32  # stretches of the end of computing
_LOOKS = 40  # at one partition
_ENTRIES = 1 << 24  # bounds that are kept, about


def search(task: Task) -> Searched:
    """The cheapest matching of every partition that can win, the one with the most to hope for first."""
    run, total, stopped = _Run(task), task.counts.shape[0], False
    order = run.order()
    for done, p in enumerate(order):
        if not run.too_long(p):
            run.solve(p)
        task.progress(done + 1, total, run.best)
        stopped = task.late
        if stopped:
            break
    known = np.isfinite(run.results[:, DURATION])
    if not known.any() and not stopped:
        run.explain()
    return Searched(
        results=run.results,
        passes=run.passes,
        assign=run.chosen.__getitem__,
        lower=None if stopped else run.lower,
        matchings=run.matchings,
        stopped=stopped,
    )


@dataclass(slots=True, eq=False)
class _Longer:
    """A price of time above the one in question, for rounds within ``needed`` (P,) [s] (stretches.py).

    E + price x T is at least the value at a higher price less what that adds at ``needed``. now: the partition.
    """

    costs: SlotCosts
    unit: float
    needed: FloatArray
    now: int = 0
    cheaper: bool = False

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
        """The cost [J] of what is not longer than needed."""
        V = value * (1.0 - 1e-12)
        result: FloatArray = V - (price - self.unit) * self.needed if price > self.unit else V
        return result

    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        """The slots against what is left of the time needed."""
        room = float(self.needed[self.now]) - y
        over = math.log(taken / room) if taken > 0.0 and 0.0 < room < math.inf else math.copysign(9.0, -room)
        return over, price * (taken - room)


class _Run:
    """One task: the cheapest matchings, and what no matching of a partition costs less than: lower (P,) [J]."""

    def __init__(self, task: Task) -> None:
        self.task, self.menu, total = task, task.menu, task.counts.shape[0]
        self.results, self.lower = empty_results(total), np.zeros(total)
        self.chosen, self.best, self.passes = dict[int, IntArray](), 0.0, 0
        self._matchings, self._costs = 0, SlotCosts(task.menu)
        self._known = np.full(total, math.inf)  # what some matching costs [J]
        self._stretches: Stretches | None = None
        self._coupling = _Longer(self._costs, task.value, np.full(total, math.inf))

    @property
    def matchings(self) -> int:
        """How many best matchings were solved."""
        return self._matchings + (0 if self._stretches is None else self._stretches.matchings)

    def order(self) -> list[int]:
        """The partitions, by gain / T of a first matching each where that helps; what these cost is kept."""
        task, total = self.task, self.task.counts.shape[0]
        if task.gains is None or total <= _FEW:
            return list(range(total))
        start = total // 2
        self.solve(start)
        end = 1.05 * float(self._costs.ready.min(axis=0).max())
        if start in self.chosen:
            end = self._costs.root(self.chosen[start], task.value)[0]
        times = np.array([self._first(p, end) for p in range(total)])
        self._look_closer()
        with np.errstate(divide="ignore"):
            order: list[int] = np.argsort(-task.gains / times, kind="stable").tolist()
        return order

    def _first(self, p: int, end: float) -> float:
        """The duration [s] of a cheap matching whose computing ends at one of the ends near this one; 0 for none."""
        known: dict[int, tuple[float, float]] = {}

        def cost(i: int) -> float:
            if i not in known:
                y = end * math.exp(_NEAR * i)
                priced = self._costs.at(y, self.task.value)
                found = self._match(priced.costs, p)
                known[i] = math.inf, 0.0
                if isinstance(found, Transport):
                    slots = float(priced.taken[found.assignment, np.arange(len(found.assignment))].sum())
                    known[i] = found.cost + self.task.value * y, y + slots
            return known[i][0]

        i = 0
        while math.isinf(cost(i)) and i < _FARTHEST:
            i = 2 * i + 1
        step = 1 if cost(i + 1) < cost(i) else -1
        while cost(i + step) < cost(i) and abs(i) < _FARTHEST:
            i += step
        self._known[p] = min(self._known[p], known[i][0])
        return known[i][1]

    def _look_closer(self) -> None:
        """Stretches for the partitions yet to come."""
        first, total = float(self._costs.ready.min(axis=0).max()), self.task.counts.shape[0]
        known = self._known[np.isfinite(self._known)]
        last = 1.001 * float(known.max(initial=0.0)) / self.task.value
        if self.best > 0.0 and first < last:
            ends = np.geomspace(max(first, 1e-3 * last), last, max(1, min(_FAN, _ENTRIES // total)) + 1)
            ends[0] = first
            self._stretches = Stretches(
                self._coupling, self.task.counts, ends, self.task.value * ends[:-1], self.task.value * last
            )

    def too_long(self, p: int) -> bool:
        """Whether the cheapest matching of a partition is proved too long to win."""
        if self._stretches is None or p in self.chosen:
            return p in self.chosen
        assert self.task.gains is not None
        cost, stretches, coupling = self._known[p] * (1.0 + 1e-11), self._stretches, self._coupling
        coupling.needed, coupling.now = self.task.gains / self.best, p
        for _ in range(_LOOKS):
            if stretches.least(p) > cost:
                return True
            at = stretches.weakest(p)
            if at < 0:
                return False
            stretches.look(at, p, lambda: cost * (1.0 + 1e-11), lambda assignment: None)
        return False

    def solve(self, p: int) -> None:
        """The cheapest matching of a partition."""
        counts, price = self.task.counts[p], self.task.value
        shortest = least_feasible(self._costs.ready, counts).duration

        def lines(end: float) -> Lines:
            priced = self._costs.at(end, price)
            return priced.costs, priced.falls

        first = self._match(self._costs.at(2.0 * shortest, price).costs, p) if shortest < math.inf else None
        start = first.assignment if isinstance(first, Transport) else None
        branch = Branch(
            lines, lambda costs: self._match(costs, p), lambda a: self._costs.root(a, price), price, shortest
        )
        found = branch.search(start)
        if found is None:
            return
        self.chosen[p], self.lower[p] = found.assignment, found.lower * (1.0 - 1e-12)
        T, E = self._times(found.assignment, found.duration)
        self.results[p, DURATION], self.results[p, ENERGY], self.results[p, STOPPED] = T, E, Stop.OPTIMAL
        self._known[p] = E + price * T
        if self.task.gains is not None and T > 0.0:
            self.best = max(self.best, float(self.task.gains[p]) / T)

    def explain(self) -> None:
        """Where nothing is found: what is wrong with each partition's marginal matching."""
        start = marginal.search(self.task.quiet())
        self.passes += start.passes
        self.results = start.results
        self.chosen = {p: start.assign(p) for p in range(len(self.results))}

    def _times(self, assignment: IntArray, end: float) -> tuple[float, float]:
        """Duration [s] and energy [J] of a matching whose computing ends there."""
        priced, rows = self._costs.at(end, self.task.value), np.arange(len(assignment))
        slots = float(priced.taken[assignment, rows].sum())
        return end + slots, float(priced.costs[assignment, rows].sum()) - self.task.value * slots

    def _match(self, costs: FloatArray, p: int) -> Transport | Impossible:
        self._matchings += 1
        return transport(costs, self.task.counts[p])
