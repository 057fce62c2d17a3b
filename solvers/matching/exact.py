"""Level 1, exact: the best matching of every partition that can win, by prices on the types (see transport.py).

Each solution starts from the prices of the last one: near durations and partitions have near prices. At a price of
time the best matchings have local minima in T; there the marginal order's answer is improved from a range of starting
durations, and nothing is proved.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.matching import marginal
from solvers.matching.best import Cut, duration_of, search_best
from solvers.matching.task import DURATION, ENERGY, STOPPED, Searched, Task
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

_STARTS = np.geomspace(0.25, 8.0, 11)  # starting durations at a price of time, times the marginal order's
_ROUNDS = 30


def search(task: Task) -> Searched:
    """The best matching of every partition that can win; proved except at a price of time."""
    matcher = _Matcher(task)
    if task.goal is not Goal.PRICE:
        return search_best(task, matcher)
    start = marginal.search(task.quiet())
    results, chosen = start.results.copy(), dict[int, IntArray]()
    for p in np.flatnonzero(np.isfinite(results[:, DURATION])).tolist():
        score = results[p, ENERGY] + task.value * results[p, DURATION]
        for factor in _STARTS:
            T = factor * start.results[p, DURATION]
            for _ in range(_ROUNDS):
                found = matcher.match(T, task.counts[p])
                if found is None:
                    break
                T, energy = duration_of(task, found[0])
                if not energy + task.value * T < score * (1.0 - 1e-12):
                    break
                score, chosen[p] = energy + task.value * T, found[0]
                results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = T, energy, Stop.OPTIMAL
        task.progress(p + 1, len(results), math.nan)
    return Searched(
        results=results,
        passes=start.passes,
        assign=lambda p: chosen[p] if p in chosen else start.assign(p),
    )


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
        found = transport(self._task.menu.costs(duration), counts, self._prices)
        if not isinstance(found, Transport):
            within = found.within.astype(np.float64)
            self.cut = Cut(duration=duration, constant=0.0, prices=within, rows=found.rows)
            return None
        self._prices = found.prices
        constant = found.dual - float(counts @ found.prices)
        self.cut = Cut(duration=duration, constant=constant, prices=found.prices)
        return found.assignment, found.cost
