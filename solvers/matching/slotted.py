"""Level 1 where the rows send one after another: matchings improved at a price of time, and what it proves.

At a price lambda the cost of a row in a place is its own but for the end of computing, T_cmp: what it computes with by
then, and its slot at that price. So the cheapest matching for E + lambda T, over all T_cmp, is the search of branch.py,
and its least value V bounds every matching of the partition at every duration: E >= V - lambda T, hence T >=
(V - budget)/lambda for an energy, V/(lambda + watts) for a power. At a price of time that closes all; elsewhere at most
about one row's worth is left open.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from solvers.access.computing import Computing
from solvers.access.slots import Slots
from solvers.access.timedivision import schedule
from solvers.blocks import E_FIXED, FIXED, GAMMA, P_C, P_S, T_FREE, T_LOW, TAU_LOW, A, K
from solvers.matching import marginal
from solvers.matching.branch import Branch, Lines
from solvers.matching.hall import least_feasible
from solvers.matching.task import DURATION, ENERGY, SCREENED, STOPPED, Proof, Searched, Task, empty_results
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray, Menu
from solvers.rows import ROUNDING, FloatArray, Goal, Stop

_FIRST = 48  # partitions whose marginal matchings make a first best, where proofs rule the rest out
_ROUNDS = 4  # of matchings for one partition
_BETTER = 1.0 - 1e-10
_ENDLESS = 1e6  # so much more, or less, than time is worth: the energy, or the time, is next to nothing beside it
_DEAR = 1e200
_FAN, _FAR = 48, 4.0  # ends of computing at which all partitions are bounded, up to so many times the best one
_WIDE = 1e3  # and down to so small a part of the last, should no computing be an end (idle places)


def search(task: Task) -> Searched:
    """Every partition that can win by what is proved of it, the one with the most to hope for first."""
    run, total, best = _Run(task), task.counts.shape[0], 0.0
    left = np.argsort(-np.nan_to_num(run.rates()), kind="stable")
    while left.size:
        p, left = int(left[0]), left[1:]
        run.improve(p)
        if task.gains is not None and run.results[p, DURATION] > 0.0:
            best = max(best, float(task.gains[p]) / float(run.results[p, DURATION]))
        if run.ruled and best > 0.0:
            with np.errstate(divide="ignore"):
                hope = run.gains[left] / run.lower[left]
            order = np.argsort(-hope, kind="stable")
            left = left[order][hope[order] > best]
        task.progress(total - left.size, total, best)

    passes = run.passes
    if task.goal is Goal.PRICE:
        return Searched(results=run.results, passes=passes, assign=run.assign, lower=run.lower, matchings=run.matchings)
    ceiling = run.ceiling()
    if ceiling is None:
        return Searched(results=run.results, passes=passes, assign=run.assign, matchings=run.matchings)
    return Searched(
        results=run.results,
        passes=passes,
        assign=run.assign,
        matchings=run.matchings,
        proof=Proof.MATCHINGS,
        lower=None if task.goal is Goal.DEADLINE else run.lower,
        ceiling=ceiling,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Best:
    """A matching of a partition, its duration [s], energy [J] and the price of time [W] to look for others at."""

    assignment: IntArray
    T: float
    E: float
    price: float


class _Run:
    """One task: the best matchings of its partitions, and what no matching of one goes below.

    lower (P,): a duration [s]; at a deadline an energy, at a price of time a cost [J]; inf where none is feasible.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.menu, total = task, task.menu, task.counts.shape[0]
        self.gains = np.zeros(total) if task.gains is None else task.gains
        self.ruled = task.gains is not None and task.goal in (Goal.ENERGY, Goal.POWER)
        self._hertz = float(task.menu.rows[0].bandwidth[0])
        self.results, self.chosen = empty_results(total), dict[int, IntArray]()
        self.lower = np.zeros(total)
        self.passes, self.matchings = 0, 0
        self._ends = _stack(task.menu, FIXED) + _stack(task.menu, T_LOW)
        self._slots = _stack(task.menu, TAU_LOW)
        some = np.arange(total)
        if self.ruled and total > 2 * _FIRST:
            some = some[:: total // _FIRST]
        self._begin(some)
        if not np.isfinite(self.results[some, DURATION]).any():  # then what is wrong with each is to be said
            self._begin(np.arange(total))

    def _begin(self, partitions: IntArray) -> None:
        """The marginal matchings of some partitions."""
        start = marginal.search(self.task.part(partitions).quiet())
        self.passes += start.passes
        self.results[partitions] = start.results
        self.chosen |= {p: start.assign(i) for i, p in enumerate(partitions.tolist())}

    def assign(self, p: int) -> IntArray:
        """The best matching of partition p so far."""
        return self.chosen[p]

    def rates(self) -> FloatArray:
        """Gain / T of every partition, NaN where none is known."""
        with np.errstate(all="ignore"):
            rates: FloatArray = self.gains / self.results[:, DURATION]
        return rates

    def improve(self, p: int) -> None:
        """The best matching of partition p, as far as prices lead to it, and its bound."""
        if self.results[p, STOPPED] == SCREENED:
            self._begin(np.array([p]))
        counts = self.task.counts[p]
        crowd = least_feasible(self._ends, counts)
        self.lower[p] = max(self.lower[p], self._shortest(counts, crowd.duration))
        best = self._solve(self.chosen[p]) if math.isfinite(self.results[p, DURATION]) else None
        if best is None or math.isinf(self.lower[p]):
            return
        for _ in range(_ROUNDS):
            price = best.price
            at = _AtPrice(self.menu, price)
            found = Branch(at.lines, lambda costs: transport(costs, counts), at.root, price, crowd.duration).search(
                best.assignment
            )
            if found is None:
                break
            self.matchings += found.matchings
            self.lower[p] = max(self.lower[p], float(self._proved(np.array([found.lower]), price)[0]))
            if self.task.goal is not Goal.PRICE and len(self.lower) > 1:
                everywhere = at.of_all(self.task.counts, counts, float(self._ends.min(axis=0).max()), found.duration)
                self.lower = np.maximum(self.lower, self._proved(everywhere, price))
            new = self._solve(found.assignment)
            if new is None or not self._score(new) < self._score(best) * _BETTER:
                break
            best = new
        self.chosen[p] = best.assignment
        self.results[p, DURATION], self.results[p, ENERGY] = best.T, best.E

    def ceiling(self) -> float | None:
        """What no gain / T, or -E, is above; None for a utility that is neither."""
        task = self.task
        if task.goal is Goal.DEADLINE:
            if task.thrifty:
                return -float(self.lower.min())
            possible = self.lower < math.inf
            return None if task.gains is None else float(task.gains[possible].max(initial=0.0)) / task.value
        if task.gains is None:
            return None
        with np.errstate(divide="ignore"):
            return float((task.gains / self.lower).max())

    def _shortest(self, counts: IntArray, ready: float) -> float:
        """What the least computing and the least slots prove: a duration [s], or nothing of an energy but inf."""
        slots = transport(self._slots, counts)
        T = (ready + slots.dual) * (1.0 - 1e-12) if isinstance(slots, Transport) else math.inf
        if self.task.goal in (Goal.ENERGY, Goal.POWER):
            return T
        late = math.isinf(T) or (self.task.goal is Goal.DEADLINE and self.task.value < T * ROUNDING)
        return math.inf if late else 0.0

    def _proved(self, V: FloatArray, price: float) -> FloatArray:
        """What E + ``price`` x T >= V says of the goal."""
        goal, value, V = self.task.goal, self.task.value, V * (1.0 - 1e-12)
        if goal is Goal.PRICE:
            return V
        if goal is Goal.DEADLINE:
            return V - price * value
        if math.isinf(value):
            return np.zeros(len(V))
        return (V - value) / price if goal is Goal.ENERGY else V / (price + value)

    def _score(self, best: _Best) -> float:
        """What is minimised for one partition."""
        if self.task.goal is Goal.DEADLINE:
            return best.E
        return best.T if self.task.goal is not Goal.PRICE else best.E + self.task.value * best.T

    def _solve(self, assignment: IntArray) -> _Best | None:
        """Levels 2 and 3 of a matching."""
        found = schedule(self.menu.rows_of(assignment), self._hertz, self.task.goal, self.task.value)
        self.passes += found.timing.passes
        if found.timing.point is None:
            return None
        T, E, price = found.timing.duration, float(found.timing.point.energy.sum()), found.time_price
        if self.task.goal is Goal.PRICE:
            price = self.task.value
        elif found.timing.stop is Stop.SLACK and price < _DEAR:  # nothing but time counts
            price *= _ENDLESS
        return _Best(assignment=assignment, T=T, E=E, price=max(price, E / (_ENDLESS * T)))


class _AtPrice:
    """Every row under every type at a price of time [W]: its slot is fixed, its computing ends by T_cmp."""

    def __init__(self, menu: Menu, price: float) -> None:
        self._price = price
        self._k, self._p_s, self._fixed = _stack(menu, K), _stack(menu, P_S), _stack(menu, FIXED)
        self._t_low, self._t_free = _stack(menu, T_LOW), _stack(menu, T_FREE)
        x = np.stack([Slots(plan).efficiencies(price) for plan in menu.plans])
        a, gamma, p_c = _stack(menu, A), _stack(menu, GAMMA), _stack(menu, P_C)
        with np.errstate(all="ignore"):
            sending = np.where(a > 0.0, a / gamma * np.expm1(x) / x + (price + p_c) * (a / x), 0.0)
        self._sending = _stack(menu, E_FIXED) + sending

    def lines(self, end: float) -> Lines:
        """E + price x slot [J] and the computing price [W], (K, N); inf and 0 where ``end`` [s] is too early."""
        left = end - self._fixed
        t = np.minimum(np.maximum(left, self._t_low), self._t_free)
        with np.errstate(all="ignore"):
            computing = np.where(self._k > 0.0, self._k / (t * t) + np.where(self._p_s > 0.0, self._p_s * t, 0.0), 0.0)
            prices = np.where(
                (self._k > 0.0) & (left < self._t_free), np.maximum(2.0 * self._k / t**3 - self._p_s, 0.0), 0.0
            )
        late = (self._fixed + self._t_low) * ROUNDING > end
        costs = np.where(late, math.inf, self._sending + computing)
        return costs, np.where(np.isfinite(costs), prices, 0.0)

    def root(self, assignment: IntArray) -> tuple[float, float]:
        """The end of computing at which a matching is cheapest, and its costs without that [J]."""
        rows = np.arange(len(assignment))
        computes = self._k[assignment, rows] > 0.0
        columns = (self._k, self._fixed, self._p_s, self._t_low, self._t_free)
        picked = tuple(column[assignment, rows][computes] for column in columns)
        end = Computing(picked, float(self._fixed[assignment, rows].max())).end(self._price)
        costs, _ = self.lines(end)
        return end, float(costs[assignment, rows].sum())

    def of_all(self, all_counts: IntArray, counts: IntArray, first: float, end: float) -> FloatArray:
        """What no matching of any partition, all_counts (P, K), costs less than: E + price x T [J], (P,).

        first [s]: no computing ends before. Between two ends the tangents at the later one bound the costs from below,
        and what they add up to at any prices of the places is least at either end; the best matching of ``counts``,
        whose computing best ends by ``end`` [s], has good such prices.
        """
        last = max(_FAR * end, 2.0 * first)
        ends = np.concatenate([[first], np.geomspace(max(first, last / _WIDE), last, _FAN)[1:]])
        bound = self._least(self.lines(_ENDLESS * last)[0]) + self._price * last
        lowest = np.full(all_counts.shape[0], bound)
        for a, b in itertools.pairwise(ends.tolist()):
            costs, prices = self.lines(b)
            found = transport(costs, counts)
            places = found.prices if isinstance(found, Transport) else np.zeros(len(counts))
            reduced = costs - places[:, None]
            later = self._least(reduced) + self._price * b
            sooner = self._least(reduced + prices * (b - a)) + self._price * a
            lowest = np.minimum(lowest, min(sooner, later) + all_counts @ places)
        return lowest

    @staticmethod
    def _least(costs: FloatArray) -> float:
        """Every row where it is cheapest."""
        return float(costs.min(axis=0).sum())


def _stack(menu: Menu, column: int) -> FloatArray:
    """A column of every type's plan, (K, N)."""
    return np.stack([np.broadcast_to(plan.columns[column], (len(menu),)) for plan in menu.plans])
