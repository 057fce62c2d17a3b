"""Level 1, exact: the best matching of every partition that can win, by prices on the types (see transport.py).

Each solution starts from the prices of the last one: near durations and partitions have near prices. At a price of
time the best matchings have local minima in T, and branch.py looks for the least of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from solvers.matching import marginal
from solvers.matching.best import Cut, search_best
from solvers.matching.branch import Branch, Lines
from solvers.matching.coarse import search_coarse
from solvers.matching.fixed import root_of
from solvers.matching.hall import explain, least_feasible
from solvers.matching.levels import MANY, search_levels, with_ceiling
from solvers.matching.lookers import AllMatchings
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray, Menu
from solvers.rows import FloatArray, Goal, Stop

_ENTRIES = 1 << 18  # of costs that are kept at a price of time


def search(task: Task) -> Searched:
    """The best matching of every partition that can win, proved."""
    if not task.counts.size:
        return search_coarse(task, AllMatchings(task))
    matcher = _Matcher(task)
    if task.goal in (Goal.ENERGY, Goal.POWER):
        many = task.gains is not None and task.counts.shape[0] > MANY
        best = with_ceiling(task, (search_levels if many else search_best)(task, matcher))
        return replace(best, assign=lambda p: _cheapest(task, matcher, best, p))
    if task.goal is Goal.DEADLINE:
        return with_ceiling(task, search_best(task, matcher))
    return _at_price(task, matcher)


def _at_price(task: Task, matcher: _Matcher) -> Searched:
    """The cheapest matching of every partition; those whose duration is proved too long to win are not finished."""
    start = marginal.search(task.quiet())
    results, chosen, passes = start.results.copy(), dict[int, IntArray](), start.passes
    lower = np.full(len(results), -math.inf)
    gains = np.full(len(results), math.nan) if task.gains is None else task.gains
    lines, root = _Lines(task.menu), root_of(task)
    best, stopped = 0.0, start.stopped
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.nan_to_num(gains / results[:, DURATION]), kind="stable")
    for done, p in enumerate(order.tolist()):
        stopped = stopped or task.late
        if stopped:
            break
        beyond = float(gains[p]) / best if best > 0.0 else math.inf
        if beyond >= task.menu.shortest:
            solve: Callable[[FloatArray], Transport | Impossible] = lambda c: matcher.solve(c, task.counts[p])  # noqa: B023, E731
            shortest = least_feasible(task.menu.least_times, task.counts[p]).duration
            first = start.assign(p) if math.isfinite(results[p, DURATION]) else None
            found = Branch(lines, solve, root, task.value, shortest).search(first, beyond)
            if found is not None:
                chosen[p], lower[p] = found.assignment, found.lower
                results[p, DURATION], results[p, ENERGY] = found.duration, found.energy
                results[p, STOPPED] = Stop.OPTIMAL
                passes += found.matchings
                best = max(best, float(gains[p]) / found.duration) if found.duration > 0.0 else best
        task.progress(done + 1, len(results), best)
    known = np.isfinite(results[:, DURATION])
    return Searched(
        results=results,
        passes=passes,
        assign=lambda p: chosen[p] if p in chosen else start.assign(p),
        lower=None if stopped else lower,
        crowds={} if stopped or known.any() else explain(task, matcher.match, results, chosen),
        stopped=stopped,
    )


class _Lines:
    """Costs and prices at durations, the last few kept: branch and bound comes back to them."""

    def __init__(self, menu: Menu) -> None:
        self._menu = menu
        self._known: dict[float, Lines] = {}
        self._room = 2 + _ENTRIES // (len(menu) * len(menu.rows))

    def __call__(self, duration: float) -> Lines:
        if duration not in self._known:
            if len(self._known) >= self._room:
                del self._known[next(iter(self._known))]
            self._known[duration] = self._menu.costs_and_prices(duration)
        return self._known[duration]


def _cheapest(task: Task, matcher: _Matcher, found: Searched, p: int) -> IntArray:
    """The cheapest of the matchings as short as partition p's: a slack budget leaves a choice."""
    T, energy = found.results[p, DURATION], found.results[p, ENERGY]
    limit = task.value * T if task.goal is Goal.POWER else task.value
    cheaper = matcher.match(T, task.counts[p]) if energy < limit * (1.0 - 1e-9) else None
    return found.assign(p) if cheaper is None or cheaper[1] > energy * (1.0 - 1e-12) else cheaper[0]


def place_prices(task: Task, duration: float, counts: IntArray) -> FloatArray | None:
    """What one more place of each type would change the energy by at a duration, (K,) [J]; None if none is feasible."""
    found = transport(task.menu.costs(duration), counts)
    return found.prices if isinstance(found, Transport) else None


class _Matcher:
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
