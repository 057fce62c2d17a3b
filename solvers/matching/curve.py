"""The curve of least energy against duration over the matchings of one partition, by points at which it is known.

The least energy E*(T) never rises with T, so between two points it lies in the box they span; each new point halves
the largest box, by area in ln T and ln E, until there are as many points as asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.matching.hall import least_feasible
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray, Menu, fill
from solvers.rows import FloatArray

_FLAT = 1.001  # times E_inf: from there on more time is worth next to nothing
_LONGEST = 1e3  # times T_min: no curve goes on beyond
_HALVINGS = 8  # of the last duration, in ln T
_STEEP = 1e3  # of two durations, by how much the earlier may cost more
_HASTY, _EXTREME = 11, 1000  # powers of two


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class At:
    """A matching at a duration [s]: its energy [J], assignment (N,), and prices (K,) of the types (0 where fixed)."""

    duration: float
    energy: float
    assignment: IntArray
    prices: FloatArray


Match = Callable[[float, FloatArray | None], At | None]  # (duration, inf too; first prices); None: none is feasible


def best_of(menu: Menu, counts: IntArray) -> tuple[Match, float]:
    """The best matching at a duration, and the least duration [s] at which there is one, inf where there is none."""

    def match(duration: float, prices: FloatArray | None) -> At | None:
        found = transport(menu.costs(duration), counts, prices)
        if not isinstance(found, Transport):
            return None
        return At(duration=duration, energy=found.cost, assignment=found.assignment, prices=found.prices)

    return match, least_feasible(menu.least_times, counts).duration


def sorted_of(menu: Menu, counts: IntArray) -> tuple[Match, float]:
    """The sorted matching, the same at every duration, and its least duration."""
    assignment, rows = fill(counts, menu.types, menu.order), np.arange(len(menu))

    def match(duration: float, prices: FloatArray | None) -> At | None:
        energy = float(menu.costs(duration)[assignment, rows].sum())
        if not math.isfinite(energy):
            return None
        return At(duration=duration, energy=energy, assignment=assignment, prices=np.zeros(len(counts)))

    return match, float(menu.least_times[assignment, rows].max())


def trace(match: Match, shortest: float, points: int) -> list[At]:
    """``points`` points by rising duration from the least feasible one on; none where no duration suffices."""
    if math.isinf(shortest):
        return []
    first = _first(match, shortest)
    if first.duration == 0.0:
        return [first]
    curve = [first, _last(match, first)]
    while len(curve) < points:
        T = np.log([at.duration for at in curve])
        E = np.log([max(at.energy, 1e-300) for at in curve])
        wide = np.diff(T)
        box = wide * np.maximum(-np.diff(E), 0.0)
        i = int(np.argmax(box if box.max() > 1e-15 else wide))
        middle = match(math.sqrt(curve[i].duration) * math.sqrt(curve[i + 1].duration), curve[i].prices)
        assert middle is not None
        curve.insert(i + 1, middle)
    return curve


def _first(match: Match, shortest: float) -> At:
    """The shortest round; where that takes a power without limit, the first that costs not much more than the next.

    Those tried are longer by a power of two times the shortest, or times 1 s where that takes no time.
    """
    first = match(shortest, None)
    if first is not None:
        return first
    unit = shortest or 1.0
    low, high = -_HASTY if shortest else -_EXTREME, _EXTREME
    while high - low > 1:
        middle = (low + high) // 2
        longer = unit * 2.0**middle
        near, far = match(shortest + longer, None), match(shortest + 2.0 * longer, None)
        if near is not None and far is not None and near.energy <= _STEEP * far.energy:
            high, first = middle, near
        else:
            low = middle
    assert first is not None
    return first


def _last(match: Match, first: At) -> At:
    """About the least duration at which the energy is within 0.1 % of the least possible one."""
    free, endless = match(_LONGEST * first.duration, first.prices), match(math.inf, first.prices)
    assert free is not None
    assert endless is not None
    enough = _FLAT * endless.energy
    if free.energy > enough:
        return free
    low, high = first.duration, free
    for _ in range(_HALVINGS):
        middle = match(math.sqrt(low) * math.sqrt(high.duration), high.prices)
        assert middle is not None
        low, high = (low, middle) if middle.energy <= enough else (middle.duration, high)
    return high
