"""What no matching goes below where something couples the clients: branch and bound over what they share.

Two things may couple them: a ``y`` that is the same for all (the duration, or the end of computing), and what they take
of a channel, at a price. At a price each client's cost under a type is its own, and a line in y bounds it from below
over a whole interval. With lines for costs the best matching is the least of finitely many lines, hence concave, and
least at an end of the interval. Any price proves a bound; it is concave in the price, and what is taken says which way
the best one lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedopt.checks import FloatArray
from fedopt.submodels import IntArray
from fedopt.verifier.matchings import TooManyError, cheapest, greedy
from fedopt.verifier.model import sum_of

_PRICES = 60  # tried for an interval
_STEP = 3.0  # in ln price, the longest
_CLOSE = 1e-9  # ln prices that are the same
_FAR = 600.0  # ln of a price, either way, that stands for none and for any
_NARROW = 1e-12  # relative: an interval that is split no more
_LOWERED = 4e-14  # of the terms of a cost: no more than that is it below the true one
_NOISE = 1e-10  # of a value: where more of it may be rounding it shows nothing
_HIDDEN = 1e-11  # of what is paid: what the difference of two sums may hide


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Clients under types at y and a price, (K, N): costs, inf where y is too little; what the lines that bound them
    fall by per unit of y; what is taken."""

    costs: FloatArray
    falls: FloatArray
    taken: FloatArray


class Coupling(Protocol):
    """What couples the clients: ``rate``, what a unit of y costs by itself; ``price``, one of the right size, NaN where
    there is none to choose."""

    rate: float
    price: float

    def lines(self, y: float, price: float) -> Lines:
        """All clients under all types."""

    def room(self, y: float) -> float:
        """How much there is to take at y."""


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """An end of an interval at a price: bounds of the partitions, and what the first one's best matching there takes
    more than there is; hidden: of the bound, by rounding."""

    bounds: FloatArray
    excess: float
    hidden: float


class Below:
    """Lower bounds of the matchings of partitions. shown: y and value of a matching that is not above what was asked;
    looks: how many tables of costs may be worked out yet."""

    def __init__(self, coupling: Coupling, looks: int) -> None:
        self.coupling, self.looks = coupling, looks
        self.shown: tuple[float, float] | None = None
        self._matching: IntArray | None = None
        self._priced = not math.isnan(coupling.price)

    @property
    def refutes(self) -> bool:
        """Whether such a matching was seen."""
        return self.shown is not None

    def bounds(self, first: float, last: float, counts: IntArray, enough: float) -> FloatArray:
        """Bounds of partitions (P, K) for any y from ``first`` to ``last``, the first one's above ``enough``.

        Where that cannot be: what prices prove of the first at some y, which is not more; nothing of the others. Raises
        TooManyError.
        """
        least, self._matching = np.full(len(counts), math.inf), None
        log_price = math.log(self.coupling.price) if self._priced else 0.0
        stack = [(first, last, log_price, np.full(len(counts), -math.inf))]
        while stack:
            a, b, log_price, lower = stack.pop()
            at_b, log_price = self._raise(a, b, log_price, lower, counts, enough)
            if lower[0] > enough:
                np.minimum(least, lower, out=least)
            elif not at_b > enough or b - a <= _NARROW * b:
                self._examine(b, log_price, counts, enough)
                return np.where(np.arange(len(counts)) > 0, -math.inf, min(at_b, enough))
            else:
                middle = _middle(a, b)
                stack += [(middle, b, log_price, lower.copy()), (a, middle, log_price, lower)]
        return least

    def _raise(
        self, a: float, b: float, z: float, lower: FloatArray, counts: IntArray, enough: float
    ) -> tuple[float, float]:
        """Raise ``lower``, good from a to b, by prices; the first partition's best bound at b alone, and its ln price.

        An end whose bound is not enough says how far off the price is that makes up for what is missing: its bound is
        concave in the price. Where the two ends, or one, leave no price the interval is to be split, or nothing helps.
        """
        low, high, best = -_FAR, _FAR, (-math.inf, z)
        for step in range(_PRICES):
            price = math.exp(z) if self._priced else 0.0
            lines = self._lines(b, price)
            weak = at_b = self._end(lines.costs, lines.taken, b, price, counts, enough)
            self._show(lines, b, price, at_b.excess, enough)
            best = max(best, (float(at_b.bounds[0]), z))
            if at_b.bounds[0] > enough:
                costs = lines.costs + lines.falls * (b - a)
                weak = at_b if a == b else self._end(costs, lines.taken, a, price, counts, enough)
                np.maximum(lower, np.minimum(weak.bounds, at_b.bounds), out=lower)
            if lower[0] > enough or not self._priced:
                break
            missing = max(enough - float(weak.bounds[0]) - weak.hidden, 0.0) / price
            if missing >= -weak.excess > 0.0 or (weak.excess == 0.0 < missing):
                break
            cut = z + (math.log1p(missing / weak.excess) if weak.excess != 0.0 else 0.0)
            low, high = (cut, high) if weak.excess > 0.0 else (low, cut)
            if high - low <= _CLOSE:
                break
            z = self._next(z, low, high, weak.excess, self.coupling.room(b), halve=step % 3 == 2)
        return best

    def _examine(self, y: float, log_price: float, counts: IntArray, enough: float) -> None:
        """Whether the matching last found needs no more than was asked: its own best price tells."""
        if self.shown is None and self._matching is not None:
            alone = Below(_Only(self.coupling, self._matching), self.looks)
            alone._raise(y, y, log_price, np.full(1, -math.inf), counts[:1], enough)
            self.shown, self.looks = alone.shown, alone.looks

    def _next(self, z: float, low: float, high: float, excess: float, room: float, *, halve: bool) -> float:
        """The ln price to try after one that leaves an excess, well between two bounds."""
        off = excess / room if room > 0.0 else math.copysign(1.0, excess)
        new = z + min(max(1.8 * math.log1p(max(off, -0.9)), -_STEP), _STEP)
        if halve and low > -_FAR and high < _FAR:
            return 0.5 * (low + high)
        inside = min(0.1 * (high - low), _STEP)
        return min(max(new, low + inside), high - inside)

    def _lines(self, y: float, price: float) -> Lines:
        if self.looks <= 0:
            raise TooManyError
        self.looks -= 1
        return self.coupling.lines(y, price)

    def _end(
        self, costs: FloatArray, taken: FloatArray, y: float, price: float, counts: IntArray, enough: float
    ) -> _End:
        """Bounds at y: of the costs, less what the room is worth, and what y costs by itself."""
        room = self.coupling.room(y)
        clipped = np.minimum(costs, 4.0 * (abs(enough) + price * room))  # more than is asked, whoever else pays what
        start = greedy(clipped, counts[0]) if self._matching is None else self._matching
        self._matching, prices = cheapest(clipped, start, clipped.size)
        least: FloatArray = sum_of((clipped - prices[:, None]).min(axis=0)) + counts @ prices
        took = sum_of(taken[self._matching, np.arange(costs.shape[1])])
        bounds = least - price * room + self.coupling.rate * y
        return _End(bounds, took - room, _HIDDEN * price * (took + room))

    def _show(self, lines: Lines, y: float, price: float, excess: float, enough: float) -> None:
        """Keep the matching just found if it takes no more than there is, and is not above what was asked."""
        if excess > 0.0 or self.shown is not None or self._matching is None:
            return
        clients = np.arange(lines.costs.shape[1])
        paid = price * sum_of(lines.taken[self._matching, clients])
        costs = lines.costs[self._matching, clients]
        value = sum_of(costs) - paid + self.coupling.rate * y
        lowered = _LOWERED * sum_of(np.abs(costs) + 2.0 * lines.falls[self._matching, clients] * y)
        if lowered <= _NOISE * abs(value) and value + _HIDDEN * paid + lowered <= enough:
            self.shown = y, value


class _Only:
    """A coupling under which everybody has one type alone."""

    def __init__(self, coupling: Coupling, assignment: IntArray) -> None:
        self.rate, self.price = coupling.rate, coupling.price
        self._room, self._lines, self._assignment = coupling.room, coupling.lines, assignment

    def lines(self, y: float, price: float) -> Lines:
        """Its costs, and inf elsewhere."""
        found = self._lines(y, price)
        own = np.arange(len(found.costs))[:, None] == self._assignment
        return Lines(np.where(own, found.costs, np.inf), found.falls, found.taken)

    def room(self, y: float) -> float:
        """As it was."""
        return self._room(y)


def _middle(low: float, high: float) -> float:
    """Between them on a log scale, far enough from 0."""
    return math.sqrt(low * high) if low > 0.0 and high < 16.0 * low else (low + high) / 2.0
