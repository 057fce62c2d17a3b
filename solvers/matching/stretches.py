"""What no matching of a partition goes below, for all partitions at once, stretch by stretch of what all rows share.

Where the rows share a channel two things couple them: a variable y that is the same for all (the end of computing under
time division, the duration under shared bandwidth), and the sum of what they take (slots, bandwidths), which has a
price. At a price a row's cost in a place is its own, and convex in y: its tangent at the end of a stretch of y bounds
it from below over all of it. With tangents for costs the best matching is concave in y, hence least at an end of the
stretch; the prices of places that prove it bound every partition. So each look at one partition, stretch and price
raises the bounds of all partitions there; the price is sought that proves most of the partition in hand.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray
from solvers.rows import FloatArray

Match = Callable[[FloatArray], Transport | Impossible]

_FAN = 32  # stretches to begin with
_WIDE = 1e3  # down to so small a part of the last, should nobody need any time (idle places)
_ENTRIES = 1 << 24  # bounds that are kept, about
_GRID = 0.05  # prices are whole multiples of this in logarithms: what they cost is kept
_FARTHEST = 400  # so many multiples from a price of the right size
_PRICES = 10  # tried in a look
_STEP = 3.0  # in ln price, the longest
_SETTLED = 1e-5  # relative: a gain of the bound not worth another price
_TIGHT = 1e-4  # relative: tangents this close leave no more to a shorter stretch
_NARROW = 1e-4  # relative: a stretch that is split no more
_BEFORE = 1.0 - 4e-15  # just before a row is ready

OFF = 9.0  # ln of an excess that says no more than its sign


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """Rows at y and a price, (K, N): costs, inf where y is too small; what one more unit of y saves; what they take."""

    costs: FloatArray
    falls: FloatArray
    taken: FloatArray


class Costs(Protocol):
    """What rows cost; ready (K, N): from which y on a row can take a place."""

    ready: FloatArray

    def at(self, y: float, price: float) -> Priced:
        """Every row under every type."""


@dataclass(slots=True, eq=False, kw_only=True)
class Coupling(ABC):
    """How rows share a channel, and what is asked.

    unit: a price of the right size; cheaper: whether prices below it prove something, too. latest: whether the greatest
    y is best, so that no other need be looked at. weaker: whether the price is sought for the end of a stretch that
    proves less at the last one; else for the later end.
    """

    costs: Costs
    unit: float
    cheaper: bool = True
    latest: bool = False
    weaker: bool = False

    def slope(self, price: float) -> float:
        """What one more unit of y costs by itself: its price, where y is a time, and time is what the price is of."""
        return price

    @abstractmethod
    def proved(self, value: FloatArray, price: float) -> FloatArray:
        """What costs + slope x y >= value, (P,), say of the goal: a duration [s], an energy or a cost [J]."""

    @abstractmethod
    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        """ln of what is taken over what there is, and by how much the bound of a partition rises with ln price."""


@dataclass(slots=True, eq=False)
class _Stretch:
    """From a to b: bounds (P,), the last price (a multiple of the grid) and prices of places that served there."""

    a: float
    b: float
    lower: FloatArray
    z: int
    places: FloatArray | None
    spent: set[int]

    def parts(self, middle: float) -> tuple[_Stretch, _Stretch]:
        return (
            _Stretch(self.a, middle, self.lower.copy(), self.z, self.places, set()),
            _Stretch(middle, self.b, self.lower.copy(), self.z, self.places, set()),
        )


class Stretches:
    """The bounds of all partitions, counts (P, K). coupling: may become another one; what is proved holds.

    ends (I + 1,): of the stretches, in order; floors (I,): what nothing goes below in each. rest: beyond the last end.
    """

    def __init__(self, coupling: Coupling, counts: IntArray, ends: FloatArray, floors: FloatArray, rest: float) -> None:
        self.coupling, self._counts, self._float = coupling, counts, counts.astype(np.float64)
        size, pairs = counts.shape[0], itertools.pairwise(ends.tolist())
        self._all = [
            _Stretch(a, b, np.full(size, floor), 0, None, set())
            for (a, b), floor in zip(pairs, floors.tolist(), strict=True)
        ]
        self._rest, self.matchings = np.full(size, rest), 0

    @property
    def lower(self) -> FloatArray:
        """What no matching of a partition goes below, (P,)."""
        least: FloatArray = np.minimum.reduce([*(s.lower for s in self._all), self._rest])
        return least

    def weakest(self, p: int, before: float = math.inf) -> int:
        """The stretch with the least bound of a partition, of those that begin before some y; -1 where it is beyond the
        last, or spent: nothing helps.
        """
        values = [float(s.lower[p]) for s in self._all if s.a < before]
        at = int(np.argmin(values)) if values else -1
        if at < 0 or (self._rest[p] <= values[at] and before > self._all[-1].b) or p in self._all[at].spent:
            return -1
        return at

    def least(self, p: int, before: float = math.inf) -> float:
        """What no matching of one partition with a y before that goes below."""
        values = [float(s.lower[p]) for s in self._all if s.a < before]
        if not self._all or before > self._all[-1].b:
            values.append(float(self._rest[p]))
        return min(values, default=math.inf)

    def bound(self, at: int, p: int) -> float:
        """The bound of a partition in one stretch."""
        return float(self._all[at].lower[p])

    def look(self, at: int, p: int, aim: Callable[[], float], propose: Callable[[IntArray], None]) -> None:
        """Raise the bound of partition p in a stretch as far as prices do, until it reaches ``aim``; propose the
        matchings on the way; then split the stretch where tangents leave much open.

        Near the least of all durations what is missing hardly falls with the price: a second step the same way is twice
        the first, and halves what is left where the price is known to be between two.
        """
        here = self._all[at]
        z, low, high, best, last = here.z, -math.inf, math.inf, -math.inf, 0.0
        tight, ready = True, 0.0
        for _ in range(_PRICES):
            found = self._price(here, p, z)
            if found is None:
                return
            if here.lower[p] < aim():
                propose(found.assignment)
            if found.bound > best:
                best, here.z, tight, ready = found.bound, z, found.tight, found.ready
            if here.lower[p] >= aim():
                return
            low, high = (z, high) if found.over > 0.0 else (low, z)
            step, bracketed = min(max(1.8 * found.over, -_STEP), _STEP), high - low < math.inf
            again = last * step > 0.0
            if again and abs(step) < 2.0 * abs(last):
                step = 2.0 * last
            step = last = math.copysign(max(abs(step), _GRID), step)
            if bracketed and abs(found.gain * step) <= _SETTLED * abs(found.bound):
                break
            new = min(max(z + round(step / _GRID), -_FARTHEST if self.coupling.cheaper else 0), _FARTHEST)
            if bracketed and (again or not low < new < high):
                new = int(low + high) // 2
            if not low < new < high:
                break
            z = new
        if tight or here.b <= here.a * (1.0 + _NARROW):
            here.spent.add(p)
        else:
            self._all[at : at + 1] = here.parts(_middle(here, ready))

    def _price(self, here: _Stretch, p: int, z: int) -> _Found | None:
        """The transportation problem at the end of a stretch, and what it proves; None where p has no matching."""
        price = self.coupling.unit * math.exp(_GRID * z)
        priced, slope, wide = self.coupling.costs.at(here.b, price), self.coupling.slope(price), here.b - here.a
        self.matchings += 1
        found = transport(priced.costs, self._counts[p], here.places)
        if not isinstance(found, Transport):
            here.lower[self._float @ found.within.astype(np.float64) < found.rows - 0.5] = math.inf
            return None
        here.places = found.prices
        reduced = priced.costs - found.prices[:, None]
        later = float(reduced.min(axis=0).sum()) + slope * here.b
        sooner = float((reduced + priced.falls * wide).min(axis=0).sum()) + slope * here.a
        places = self._float @ found.prices
        np.maximum(here.lower, self.coupling.proved(min(later, sooner) + places, price), out=here.lower)
        rows = np.arange(len(found.assignment))
        point = later + places
        bound = float(self.coupling.proved(point, price)[p])
        value, taken = float(point[p]), float(priced.taken[found.assignment, rows].sum())
        end = here.a if self.coupling.weaker and sooner < later else here.b
        over, gain = self.coupling.excess(end, value, taken, bound, price)
        ready = float(self.coupling.costs.ready[found.assignment, rows].max())
        tight = ready <= here.a * (1.0 + 1e-12) or wide == 0.0
        if tight and wide > 0.0:
            at_a = self.coupling.costs.at(here.a, price).costs[found.assignment, rows]
            lost = at_a - (priced.costs + priced.falls * wide)[found.assignment, rows]
            early = float(self.coupling.proved(point - float(lost.sum()), price)[p])
            tight = bound - early <= _TIGHT * abs(bound)
        return _Found(found.assignment, bound, over, gain, tight, ready)


def stretches_of(coupling: Coupling, counts: IntArray, last: float, floor: float, rest: float) -> Stretches:
    """A fan of stretches up to ``last``, or that end alone.

    floor: per unit of y, what nothing goes below; rest: the same beyond the last.
    """
    first = min(float(coupling.costs.ready.min(axis=0).max()), last)
    size = max(1, min(_FAN, _ENTRIES // counts.shape[0]))
    ends = np.unique([first, *np.geomspace(max(first, last / _WIDE), last, size + 1)[1:]])
    if coupling.latest:
        ends = np.array([last, last])
    return Stretches(coupling, counts, ends, floor * ends[:-1], rest)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The best matching at a price; its bound at the end of the stretch; what Stretches.look goes on."""

    assignment: IntArray
    bound: float
    over: float
    gain: float
    tight: bool
    ready: float


def _middle(here: _Stretch, ready: float) -> float:
    """Where to split: just before the last row of a matching is ready, where that is inside, else halfway."""
    before = ready * _BEFORE
    inside = here.a * (1.0 + 1e-9) < before < here.b * (1.0 - 1e-9)
    return before if inside else 0.5 * (here.a + here.b)
