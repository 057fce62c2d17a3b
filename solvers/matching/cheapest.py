"""The cheapest matching of every partition at a price of time, given a method that finds the best one of some costs.

The best matchings have local minima in T: branch.py looks for the least of them, a partition at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from solvers.matching import marginal
from solvers.matching.branch import Branch, Lines
from solvers.matching.fixed import root_of
from solvers.matching.hall import explain, least_feasible
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task
from solvers.matching.transport import Impossible, Transport
from solvers.menu import IntArray, Menu
from solvers.rows import FloatArray, Stop

_ENTRIES = 1 << 18  # of costs that are kept


class Solver(Protocol):
    """Finds best matchings."""

    def solve(self, costs: FloatArray, counts: IntArray) -> Transport | Impossible:
        """The matching of least cost (K, N) for some counts, proved."""

    def match(self, duration: float, counts: IntArray) -> tuple[IntArray, float] | None:
        """The matching of least energy at a duration and that energy, None where none is feasible."""


def search_cheapest(task: Task, matcher: Solver) -> Searched:
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
