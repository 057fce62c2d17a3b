"""The curve of least energy against duration over the matchings of one partition, by points at which it is known.

The least energy E*(T) never rises with T, so between two points it lies in the box they span; each new point halves
the largest box, by area in ln T and ln E, until there are as many points as asked for.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.limits import limits
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray, Menu, fill
from solvers.rows import FloatArray

_FLAT = 1.001  # times E_inf: from there on more time is worth next to nothing
_LONGEST = 1e3  # times T_min: no curve goes on beyond
_HALVINGS = 8  # of the last duration, in ln T


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class At:
    """A matching at a duration [s]: its energy [J], assignment (N,), and prices (K,) of the types (0 where fixed)."""

    duration: float
    energy: float
    assignment: IntArray
    prices: FloatArray


Match = Callable[[float, FloatArray | None], At | None]  # (duration, inf too; first prices); None: none is feasible


def best_of(menu: Menu, counts: IntArray) -> Match:
    """The best matching at a duration."""

    def match(duration: float, prices: FloatArray | None) -> At | None:
        found = transport(_costs(menu, duration), counts, prices)
        if not isinstance(found, Transport):
            return None
        return At(duration=duration, energy=found.cost, assignment=found.assignment, prices=found.prices)

    return match


def sorted_of(menu: Menu, counts: IntArray) -> Match:
    """The sorted matching, the same at every duration."""
    assignment, rows = fill(counts, menu.types, menu.order), np.arange(len(menu))

    def match(duration: float, prices: FloatArray | None) -> At | None:
        energy = float(_costs(menu, duration)[assignment, rows].sum())
        if not math.isfinite(energy):
            return None
        return At(duration=duration, energy=energy, assignment=assignment, prices=np.zeros(len(counts)))

    return match


def trace(menu: Menu, match: Match, points: int) -> list[At]:
    """``points`` points by rising duration from the least feasible one on; none where no duration suffices."""
    first = _shortest(menu, match)
    if first is None:
        return []
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


def _costs(menu: Menu, duration: float) -> FloatArray:
    """The least energies (K, N); the limits where the duration is endless."""
    if math.isfinite(duration):
        return menu.costs(duration)
    return np.stack([limits(rows).least_energy for rows in menu.rows])


def _shortest(menu: Menu, match: Match) -> At | None:
    """The least duration at which a matching is feasible: one of the rows' own least durations."""
    times = np.unique(menu.least_times[np.isfinite(menu.least_times)])
    times = times[times >= menu.shortest]
    if not times.size or match(float(times[-1]), None) is None:
        return None
    index = bisect.bisect_left(times, True, key=lambda T: match(float(T), None) is not None)
    return match(float(times[index]), None)


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
