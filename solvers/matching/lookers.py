"""What the search from coarse to fine looks at: all matchings, or those of one order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.cached import cached_property
from solvers.matching.coarse import allowed_at, whole
from solvers.matching.relaxed import Least, cheapest_chain, cheapest_types, fair_price, mixture, prices_of_cheapest
from solvers.matching.task import Proof, Task
from solvers.matching.transport import Transport, transport
from solvers.matching.wholes import most_whole, whole_counts
from solvers.menu import IntArray, Menu, fill
from solvers.rows import FloatArray, Goal

_MANY = 1 << 15  # rows
_TRIES = 3  # roundings tried for a matching
_HALVINGS = 30  # of a price of a replica


class _Looker:
    """What both have in common."""

    proof = Proof.NONE

    def __init__(self, task: Task) -> None:
        self.task, self.menu = task, task.menu
        self.passes, self.matchings = 0, 0
        self._whole: tuple[tuple[int, ...], float] = (), -math.inf

    @cached_property
    def _steps(self) -> tuple[FloatArray, FloatArray]:
        """Durations [s] at which the most replicas that can be done in time rise, and to how many."""
        return steps_of(self.menu)

    def cap(self, start: float, end: float) -> float:
        """A bound of R^beta / T over start <= T <= end, by what each row can do in time."""
        times, replicas = self._steps
        first, last = np.searchsorted(times, [start, end], side="right")
        power = self.task.power
        at_start: float = whole(float(replicas[first - 1]) if first > 0 else 0.0) ** power / start
        if last <= first:
            return at_start
        later = np.floor(replicas[first:last] * (1.0 + 1e-9) + 1e-9) ** power / times[first:last]
        return max(at_start, float(later.max()))

    def in_whole(self, rows: IntArray) -> float:
        """The most replicas of a partition whose types have no more places than rows (K,) can; -inf: there is none.

        Of very many rows nothing is said: there whole replicas cost next to nothing.
        """
        if len(self.menu) > _MANY:
            return math.inf
        key = tuple((rows // self.menu.covers).tolist())
        if self._whole[0] != key:
            self._whole = key, most_whole(key, self.menu.covers, self.menu.weights, len(self.menu))
        return self._whole[1]

    def least_energy(self) -> float:
        """A bound of the energy of at least one replica in an endless round [J]."""
        floor = self.menu.costs(math.inf)
        return max(float(floor.min(axis=0).sum()), float(floor[self.menu.weights > 0.0].min()))

    def priced(self, duration: float) -> tuple[FloatArray, FloatArray]:
        """Energies and prices of all rows and types."""
        self.passes += len(self.menu.rows)
        return self.menu.costs_and_prices(duration)


class AllMatchings(_Looker):
    """Over all matchings of all partitions."""

    proof = Proof.MATCHINGS

    def look(self, duration: float, spare: float = 0.0) -> _Matched:
        """The energies at a duration, and the best price of a replica there."""
        return (_Cheapest if self.task.goal is Goal.PRICE else _Matched)(self, duration, spare)


class SortedMatchings(_Looker):
    """Over the sorted matchings of all partitions."""

    proof = Proof.SORTED

    def __init__(self, task: Task, order: IntArray) -> None:
        super().__init__(task)
        self.order = order

    def look(self, duration: float, spare: float = 0.0) -> OrderedLook:
        """The same over the sorted matchings."""
        return OrderedLook(self, duration, spare)


class Look:
    """A duration: ``least(price, away)`` is of its kind; ``fair`` the best price and what lies on either side of the
    budget there, if anything is within it. can (K,): how many rows can do each type in time. spare: the share of the
    budget that is not spent.
    """

    def __init__(self, looker: _Looker, duration: float, spare: float, dear: float, can: IntArray) -> None:
        self.looker, self.duration, self.dear, self.can = looker, duration, dear, can
        self.allowed = float(allowed_at(looker.task, duration)) * (1.0 - spare)
        self.fair = fair_price(lambda price: self.least(price, 0.0), self.allowed, dear)

    def least(self, price: float, away: float) -> Least:
        raise NotImplementedError

    @property
    def in_whole(self) -> float:
        """A bound of the replicas, at this duration or sooner, by how many rows can each type and by whole ones."""
        return self.looker.in_whole(self.can)

    def most(self, earlier: float) -> float:
        """A bound of the replicas within the budget at a duration not later than this; -inf where there are none."""
        if self.fair is None:
            return -math.inf
        price, found, _ = self.fair
        if price == self.dear:
            return found.replicas
        value = self.least(price, self.duration - earlier).value
        return (float(allowed_at(self.looker.task, earlier)) - value) / price

    def relaxed(self, found: Least, above: Least) -> IntArray:
        """Counts (K,) that use the budget up, between those within it and those above."""
        more = above.energy - found.energy
        return mixture(found, above, (self.allowed - found.energy) / more if more > 0.0 else 0.0)


class _Matched(Look):
    def __init__(self, looker: AllMatchings, duration: float, spare: float) -> None:
        self.costs, self.prices = self._spent(looker, duration)
        finite = np.max(self.costs, where=np.isfinite(self.costs), initial=0.0)
        steps = np.diff(np.unique(looker.menu.weights))
        dear = 4.0 * max(finite, 1e-300) / float(steps.min(initial=1.0))
        super().__init__(looker, duration, spare, dear, np.isfinite(self.costs).sum(axis=1))

    def _spent(self, looker: AllMatchings, duration: float) -> tuple[FloatArray, FloatArray]:
        """What all rows and types spend of the budget, and how fast that falls with the duration."""
        return looker.priced(duration)

    def least(self, price: float, away: float) -> Least:
        weights, counts = self.looker.menu.weights, np.empty(len(self.costs), dtype=np.int64)
        value, energy = cheapest_types(self.costs, self.prices, weights, price, away, counts)
        return Least(value=value, replicas=float(counts @ weights), energy=energy, counts=counts)

    def propose(self) -> IntArray | None:
        """The best matching of a partition near the relaxed one."""
        if self.fair is None:
            return None
        price, found, above = self.fair
        counts, prices = self.relaxed(found, above), min(price, 0.25 * self.dear) * self.looker.menu.weights
        return self._matched(self.costs, counts, prices, price == self.dear, self.allowed)

    def _matched(
        self, costs: FloatArray, counts: IntArray, prices: FloatArray, most: bool, allowed: float = math.inf
    ) -> IntArray | None:
        """The best matching of the first partition near some counts, or the cheapest ones, that is within the budget.

        Where none of those tried is, the one that is soonest. prices (K,): first ones of the types. most: every row
        does what it can.
        """
        menu, best, answer = self.looker.menu, -1.0, None
        near = np.vstack([
            whole_counts(each, menu.covers, menu.weights, self.most(self.duration))
            for each in (counts, self.least(0.0, 0.0).counts)
        ])  # fmt: skip
        rank = -np.rint(near @ menu.weights)
        if most:  # some can do less, none more
            rank = np.cumsum((near - counts)[:, menu.types], axis=1).max(axis=1, initial=0)
        floor = np.full(len(near), -math.inf)
        for turn in range(_TRIES):
            if not len(near):
                break
            within = np.where(floor <= allowed, rank, math.inf)
            p = int(np.lexsort((floor, within) if turn < _TRIES - 1 else (rank, floor))[0])
            keep = (near != near[p]).any(axis=1)
            self.looker.matchings += 1
            matched = transport(costs, near[p], prices)
            if isinstance(matched, Transport):
                prices = matched.prices
                np.maximum(floor, matched.dual + (near - near[p]) @ prices, out=floor)
                rate, fewer = self._rates(matched, float(near[p] @ menu.weights), allowed)
                if rate > best:
                    best, answer = rate, matched.assignment
                if rate * (1.0 + self.looker.task.gap) >= fewer:
                    break
            else:
                keep &= near @ matched.within >= matched.rows
            near, rank, floor = near[keep], rank[keep], floor[keep]
        return answer

    def _rates(self, matched: Transport, replicas: float, allowed: float) -> tuple[float, float]:
        """R^beta / T of a matching at most, as long as it takes to be within the budget; and of a replica fewer, or
        half of them, that is within it now.
        """
        task, over, T = self.looker.task, matched.cost - allowed, self.duration
        if over > 0.0:  # the tangents say when it is not, at the earliest
            fall = float(self.prices[matched.assignment, np.arange(len(matched.assignment))].sum())
            fall += task.value if task.goal is Goal.POWER else 0.0
            T = T + over / fall if fall > 0.0 else math.inf
        gain = replicas**task.power
        fewer = (replicas - 1.0) ** task.power if task.power > 0.0 else 0.0
        return gain / T, max(fewer, 0.5 * gain) / self.duration


class _Cheapest(_Matched):
    """At a price of time: the bound is of all matchings, but only a partition's cheapest one is its answer."""

    def _spent(self, looker: AllMatchings, duration: float) -> tuple[FloatArray, FloatArray]:
        self._energies, self._falls = looker.priced(duration)
        return _as_spent(self._energies, self._falls)

    def propose(self) -> IntArray | None:
        """The cheapest matching of a partition near the one of most replicas whose cheapest matching ends by then."""
        if self.fair is None:
            return None
        menu, allowed = self.looker.menu, float(allowed_at(self.looker.task, self.duration))
        counts, best = np.empty(len(menu.rows), dtype=np.int64), np.empty(len(menu.rows), dtype=np.int64)

        def ends(price: float) -> bool:
            return prices_of_cheapest(self._energies, self._falls, menu.weights, price, counts) <= allowed

        finite = np.max(self._energies, where=np.isfinite(self._energies), initial=0.0)
        low, high = 0.0, 4.0 * max(float(finite), 1e-300) / float(np.diff(np.unique(menu.weights)).min(initial=1.0))
        if not ends(low):
            return super().propose()
        best[:] = counts
        dear, few = high, self.looker.task.power == 0.0  # where no more than a replica counts
        if not few and ends(high):
            low, best[:] = high, counts
        for _ in range(_HALVINGS if not few and low < dear else 0):
            price = 0.5 * (low + high) if low > 0.0 else high / 16.0
            if ends(price):
                low, best[:] = price, counts
            else:
                high = price
        return self._matched(self._energies, best, min(low, 0.25 * dear) * menu.weights, low == dear)


def _as_spent(energies: FloatArray, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At a price of time a round ends where the rows' prices sum up to it: the prices are what is spent, inf where a
    row cannot. They fall with the duration, but nobody knows how fast: 0.
    """
    return np.where(np.isfinite(energies), prices, np.inf), np.zeros(prices.shape)


class OrderedLook(Look):
    def __init__(self, looker: SortedMatchings, duration: float, spare: float) -> None:
        costs, prices = looker.priced(duration)
        if looker.task.goal is Goal.PRICE:
            costs, prices = _as_spent(costs, prices)
        costs, prices = costs[:, looker.order], prices[:, looker.order]
        cannot = ~np.isfinite(costs)
        shape = (costs.shape[0], costs.shape[1] + 1)
        self.energy, self.prices, self.misses = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int32)
        np.cumsum(np.where(cannot, 0.0, costs), axis=1, out=self.energy[:, 1:])
        np.cumsum(prices, axis=1, out=self.prices[:, 1:])
        np.cumsum(cannot, axis=1, out=self.misses[:, 1:])
        self._order = looker.order
        self._room = np.empty(shape[1]), np.empty(shape, dtype=np.int32)
        dear = 4.0 * max(float(self.energy[:, -1].sum()), 1e-300)
        super().__init__(looker, duration, spare, dear, np.isfinite(costs).sum(axis=1))

    def least(self, price: float, away: float) -> Least:
        menu, counts = self.looker.menu, np.empty(len(self.energy), dtype=np.int64)
        value, energy = cheapest_chain(
            self.energy,
            self.prices,
            self.misses,
            menu.types,
            menu.covers,
            menu.weights,
            price,
            away,
            *self._room,
            counts,
        )
        return Least(value=value, replicas=float(counts @ menu.weights), energy=energy, counts=counts)

    def propose(self) -> IntArray | None:
        """The sorted matching of the relaxed partition, which is a whole one; where rows are alike, and it has fewer
        replicas by two than one near it between both sides of the budget, of that one.
        """
        if self.fair is None:
            return None
        (_, found, above), menu, least = self.fair, self.looker.menu, self.least(0.0, 0.0)
        few = self.looker.task.power == 0.0  # then one replica is enough
        if few and least.replicas > 0.5:
            return fill(least.counts, menu.types, self._order)
        near = np.vstack([
            whole_counts(counts, menu.covers, menu.weights, self.most(self.duration))
            for counts in (self.relaxed(found, above), least.counts)
        ])  # fmt: skip
        energy = self.energies(near)
        near, energy = near[energy <= self.allowed], energy[energy <= self.allowed]
        replicas = np.rint(near @ menu.weights)
        best = np.lexsort((energy,) if few else (energy, -replicas))[:1]
        better = few or found.replicas < 0.5 or (replicas[best] > found.replicas + 1.5).all()
        return fill(near[best[0]] if better and best.size else found.counts, menu.types, self._order)

    def energies(self, counts: IntArray) -> FloatArray:
        """Of the sorted matchings of partitions (P, K) [J]; inf where there are none."""
        result: FloatArray = np.where(self._sums(self.misses, counts) > 0, np.inf, self._sums(self.energy, counts))
        return result

    def _sums(self, sums: NDArray[Any], counts: IntArray) -> NDArray[Any]:
        """Over all rows, of the sorted matchings of partitions (P, K)."""
        types = self.looker.menu.types
        end = np.cumsum(counts[:, types], axis=1)
        total: NDArray[Any] = (sums[types, end] - sums[types, end - counts[:, types]]).sum(axis=1)
        return total


def steps_of(menu: Menu) -> tuple[FloatArray, FloatArray]:
    """Durations [s] at which the most replicas rise that the rows can do in time, each by itself, and to how many."""
    by_time = np.argsort(menu.least_times, axis=0, kind="stable")
    times = np.take_along_axis(menu.least_times, by_time, axis=0)
    most = np.maximum.accumulate(menu.weights[by_time], axis=0)
    rise = np.diff(most, axis=0, prepend=0.0)
    counts = (rise > 0.0) & np.isfinite(times)
    times, rise = times[counts], rise[counts]
    order = np.argsort(times, kind="stable")
    times, replicas = times[order], np.cumsum(rise[order])
    last = np.flatnonzero(np.diff(times, append=math.inf))
    return times[last], replicas[last]
