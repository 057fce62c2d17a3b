"""The cheapest matching of a partition at a price of time, E + price x T, by branch and bound over the duration.

Every row's energy is convex in T, so its tangents bound it from below at all durations. With tangents for costs the
best matching is the least of finitely many lines, hence concave in T: over an interval it is least at an end, and
one transportation problem at either end bounds every matching there. Intervals that can hold nothing cheaper than
the best known are closed, the others split: first at the best known duration, then where the bound should hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.matching.transport import Impossible, Transport
from solvers.menu import IntArray
from solvers.rows import FloatArray

Lines = tuple[FloatArray, FloatArray]  # at a duration: energies (K, N) [J], inf where infeasible; prices of time [W]
Root = Callable[[IntArray], tuple[float, float]]

TOLERANCE = 1e-10  # relative, of the cost: what is proved
_BEFORE = 1.0 - 4e-15  # just before a duration: rows that need all of it are infeasible there
_ROUNDED = 1e-13  # relative: matchings cheaper by less are one
_NARROW = 1e-14  # relative width that is split no more
_STEPS = 4000
_HALVINGS = 60  # of the way to the shortest duration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cheapest:
    """The cheapest matching (N,), its duration [s] and energy [J]; lower [J]: no matching costs less; the work."""

    assignment: IntArray
    duration: float
    energy: float
    lower: float
    matchings: int


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The best matching at T: its cost E + price x T [J], and how fast that rises with T [W], the matching kept."""

    T: float
    cost: float
    slope: float


class Branch:
    """Branch and bound for one partition.

    lines(T): costs and prices of every row under every type. solve(costs): their best matching. root(assignment):
    duration and energy at which a matching is cheapest. price [W]. shortest [s]: no matching is feasible below.
    """

    def __init__(
        self,
        lines: Callable[[float], Lines],
        solve: Callable[[FloatArray], Transport | Impossible],
        root: Root,
        price: float,
        shortest: float,
    ) -> None:
        self._lines, self._solve, self._root = lines, solve, root
        self._price, self._shortest = price, shortest
        self._best: IntArray | None = None
        self._duration, self._energy, self._cost = math.inf, math.inf, math.inf
        self._lower, self._matchings = math.inf, 0

    def search(self, start: IntArray | None, beyond: float = math.inf) -> Cheapest | None:
        """The cheapest matching, from a first one or None; None where none is feasible.

        beyond [s]: a cheapest duration from there on is of no use; what is then returned has one and proves nothing.
        """
        if start is not None:
            self._try(start)
        first = self._first() if self._shortest < math.inf else None
        if first is None or self._best is None:
            return None
        if self._duration > first.T:
            self._at(self._duration)
        ends = first, self._at(max(self._cost / self._price, self._shortest))
        todo = [] if ends[1] is None or ends[0].T == ends[1].T else [(ends[0], ends[1])]
        while todo:
            a, b = todo.pop()
            if min(a.T, self._duration) > beyond * (1.0 + 1e-12):
                self._lower = -math.inf
                break
            bound, share = self._bound(a, b)
            if bound >= self._enough or b.T - a.T <= _NARROW * b.T or self._matchings > _STEPS:
                self._lower = min(self._lower, bound)
                continue
            todo += self._split(a, b, a.T + share * (b.T - a.T))
        return Cheapest(
            assignment=self._best,
            duration=self._duration,
            energy=self._energy,
            lower=min(self._lower, self._cost),
            matchings=self._matchings,
        )

    def _first(self) -> _Point | None:
        """Where the search begins: the shortest duration, or just behind it where only endless power makes it.

        No matching below T needs less energy than the best one at T, so what lies between costs at least that.
        """
        first = self._at(self._shortest)
        if first is not None:
            return first
        if self._best is None:
            self._at(math.inf)  # the matching of least energy: cheapest at a finite duration, or nothing is
        beyond = self._duration - self._shortest
        for _ in range(_HALVINGS if beyond < math.inf else 0):
            at = self._at(self._shortest + beyond)
            if at is None:  # nothing is feasible up to here
                break
            first, between = at, at.cost - self._price * (at.T - self._shortest)
            if between >= self._enough:
                self._lower = min(self._lower, between)
                break
            beyond *= 0.5
        return first

    @property
    def _enough(self) -> float:
        return self._cost * (1.0 - TOLERANCE)

    def _split(self, a: _Point, b: _Point, T: float) -> list[tuple[_Point, _Point]]:
        """The halves to look at, the right one first; at the best duration known where that lies inside."""
        best = self._duration
        if a.T / (1.0 - _NARROW) < best < b.T * (1.0 - _NARROW):
            before, behind = self._at(best * _BEFORE), self._at(best)
        else:
            before = behind = self._at(T)
        assert behind is not None
        return [(behind, b)] if before is None else [(behind, b), (a, before)]

    def _try(self, assignment: IntArray) -> None:
        """Keep a matching if it is the cheapest so far: at a great price rounding may hide the energy that it saves."""
        T, energy = self._root(assignment)
        cost = energy + self._price * T
        saves = self._best is not None and self._duration >= T and energy < self._energy * (1.0 - _ROUNDED)
        if saves or cost < self._cost * (1.0 - _ROUNDED):
            self._best, self._duration, self._energy, self._cost = assignment, T, energy, cost

    def _at(self, T: float) -> _Point | None:
        costs, prices = self._lines(T)
        found = self._match(costs)
        if found is None:
            return None
        self._try(found.assignment)
        saved = float(prices[found.assignment, np.arange(len(found.assignment))].sum())
        return _Point(T, found.dual + self._price * T, self._price - saved)

    def _match(self, costs: FloatArray) -> Transport | None:
        self._matchings += 1
        found = self._solve(costs)
        return found if isinstance(found, Transport) else None

    def _bound(self, a: _Point, b: _Point) -> tuple[float, float]:
        """What no matching costs less than from a to b [J], and which share of the way is best split off.

        Tangents at the end towards which the cost falls less: from there they rise to the other end.
        """
        left = a.cost < b.cost
        wide = b.T - a.T
        costs, prices = self._lines(b.T)
        if not left:
            near, away = b, -b.slope
            far = self._value(costs + prices * wide, a.T)
        else:
            first, first_prices = self._lines(a.T)
            late = ~np.isfinite(first)  # feasible from somewhere in between on: their tangents at b
            far = self._value(np.where(late, costs, first - first_prices * wide), b.T)
            near, away = a, a.slope
            if (late & np.isfinite(costs)).any():
                own = self._value(np.where(late, costs + prices * wide, first), a.T)
                if own < self._enough:
                    return min(own, far), 0.5
        return min(near.cost, far), _share(left, near.cost - self._enough, away, far - self._enough, wide)

    def _value(self, costs: FloatArray, T: float) -> float:
        found = self._match(costs)
        return math.inf if found is None else found.dual + self._price * T


def _share(left: bool, height: float, slope: float, far: float, wide: float) -> float:
    """Where a parabola through (0, height) with a slope there, and far at the other end, falls to zero; well inside."""
    fall = slope * wide
    bend = 2.0 * (height + fall - far)  # over the whole way: a short one's square may be less than any number
    share = 0.5
    if height >= 0.0 and bend > 0.0:
        along = fall / bend
        share = 0.9 * (along + math.sqrt(along * along + 2.0 * (height / bend)))
    share = min(0.7, max(0.01, share))
    return share if left else 1.0 - share
