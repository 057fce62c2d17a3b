"""The search over partitions where rows share a channel, at a price of time: each has its cheapest matching.

A partition wins only if its cheapest matching is shorter than the best utility asks for. What all matchings that are
so short cost at least is bounded (stretches.py); where that is above the cost of some matching of the partition, the
cheapest one is too long, and need not be found.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.matching import marginal
from solvers.matching.stretches import Coupling, Stretches, stretches_of
from solvers.matching.task import DURATION, Searched, Task, empty_results
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray
from solvers.rows import FloatArray

_LOOKS = 40  # at one partition
_MORE = 1.0 + 1e-11  # beyond rounding


class Coupled:
    """One task. lower (P,): what no matching of a partition costs less than [J]; best: the greatest gain / T of a
    cheapest matching so far.

    known (P,): what some matching costs [J].
    """

    def __init__(self, task: Task) -> None:
        self.task, self.menu, total = task, task.menu, task.counts.shape[0]
        self.results, self.lower, self.known = empty_results(total), np.zeros(total), np.full(total, math.inf)
        self.chosen, self.best, self.passes, self.solved = dict[int, IntArray](), 0.0, 0, 0
        self.stretches: Stretches | None = None
        self.done = set[int]()  # partitions whose cheapest matching is found

    def begin(self, p: int) -> None:
        """Some matching of a partition, for the others to begin with."""
        raise NotImplementedError

    def first(self, p: int) -> float:
        """A cheap matching of a partition, known and in hand from here on; its duration [s], 0 for none."""
        raise NotImplementedError

    def solve(self, p: int) -> None:
        """The cheapest matching of a partition, as good as it can be found, and its bound."""
        raise NotImplementedError

    def propose(self, assignment: IntArray, p: int) -> None:
        """A matching that prices lead to."""

    def bounding(self, needed: FloatArray, p: int) -> Coupling:
        """What prices prove of matchings within ``needed`` (P,) [s], partition p the one in question."""
        raise NotImplementedError

    @property
    def before(self) -> bool:
        """Whether y is the duration, so that what begins later than needed is of no account."""
        raise NotImplementedError

    def search(self) -> Searched:
        """Every partition that can win, the one with the most to hope for first."""
        task, total, order = self.task, self.task.counts.shape[0], self._order()
        stopped = task.late
        for done, p in enumerate(order):
            if p not in self.done and not self._too_long(p) and not task.late:
                self.solve(p)
            if p in self.done and task.gains is not None and self.results[p, DURATION] > 0.0:
                self.best = max(self.best, float(task.gains[p]) / float(self.results[p, DURATION]))
            task.progress(done + 1, total, self.best)
            stopped = task.late
            if stopped:
                break
        if not stopped:  # of others the cheapest matching does not win, and another one, if shorter, is no answer
            others = [p for p in range(total) if p not in self.done]
            self.results[others] = empty_results(len(others))
        if not stopped and not np.isfinite(self.results[:, DURATION]).any():
            start = marginal.search(task.quiet())
            self.passes += start.passes
            self.results, self.chosen, stopped = start.results, start.assignments(), start.stopped
        return Searched(
            results=self.results,
            passes=self.passes,
            assign=self.chosen.__getitem__,
            lower=None if stopped else self.lower,
            matchings=self.solved + (0 if self.stretches is None else self.stretches.matchings),
            stopped=stopped,
        )

    def keep(self, p: int, assignment: IntArray, T: float, E: float, stop: int) -> None:
        """The cheapest answer of partition p so far."""
        self.chosen[p], self.known[p] = assignment, E + self.task.value * T
        self.results[p, :3] = T, E, stop

    def match(self, costs: FloatArray, p: int) -> Transport | Impossible:
        """The best matching of partition p at some costs."""
        self.solved += 1
        return transport(costs, self.task.counts[p])

    def _order(self) -> list[int]:
        """The partitions by gain / T of a first matching each, and what all of them are bounded by from there on; none
        where the time is up before that.
        """
        task, total = self.task, self.task.counts.shape[0]
        self.begin(total // 2)
        times = np.zeros(total)
        for p in range(total):
            task.progress(0, total, self.best)
            if task.late:
                return []
            times[p] = self.first(p)
        known, price = self.known[np.isfinite(self.known)], task.value
        last = 1.001 * float(known.max(initial=0.0)) / price
        if 0.0 < last < math.inf:
            coupling = self.bounding(np.full(total, math.inf), 0)
            self.stretches = stretches_of(coupling, task.counts, last, price, price * last)
        if task.gains is None:
            return list(range(total))
        with np.errstate(divide="ignore"):
            order: list[int] = np.argsort(-task.gains / times, kind="stable").tolist()
        return order

    def _too_long(self, p: int) -> bool:
        """Whether the cheapest matching of a partition is proved too long to win."""
        task, stretches = self.task, self.stretches
        if stretches is None or task.gains is None or self.best == 0.0:
            return False
        needed = task.gains / self.best
        self.bounding(needed, p)
        before = float(needed[p]) if self.before else math.inf
        for _ in range(_LOOKS):
            if task.late:
                break
            if stretches.least(p, before) > self._enough(p):
                return True
            at = stretches.weakest(p, before)
            if at < 0:
                break
            stretches.look(at, p, lambda: self._enough(p) * _MORE, lambda assignment: self.propose(assignment, p))
        return False

    def _enough(self, p: int) -> float:
        """Above this [J] what is bounded is not the cheapest."""
        return float(self.known[p]) * _MORE
