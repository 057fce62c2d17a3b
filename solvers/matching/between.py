"""Bounds of every partition's duration and energy, its rows in one order, from sums at a few durations (prefix.py).

E is convex in T and never rises: its tangents at those durations bound it from below, its chords from above, and so do
they the duration at which a budget is met.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.compile import kernel, stage
from solvers.menu import IntArray
from solvers.rows import ROUNDING, FloatArray, Goal

# Columns of bounds: least feasible duration, bounds of the duration [s]; bounds of the energy [J]; lower bounds of the
# energy at the lower duration and at any duration whatever [J].
T_LEAST, T_LOW, T_HIGH, E_LOW, E_HIGH, E_FIRST, E_LEAST = range(7)
BOUNDS = 7

_ENERGY, _POWER, _DEADLINE, _PRICE = int(Goal.ENERGY), int(Goal.POWER), int(Goal.DEADLINE), int(Goal.PRICE)
_SAFE = 1e-9  # relative: sums and prices are this good, and more


@kernel
def bound_partitions(
    durations: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    misses: NDArray[np.int32],
    least: FloatArray,
    floor: FloatArray,
    counts: IntArray,
    types: IntArray,
    goal: int,
    value: float,
    needed: FloatArray,
    bounds: FloatArray,
) -> None:
    """Bounds of every partition's duration and energy for a goal.

    The first six: of Prefixes. counts (P, K), types (K,): from large to small. needed (P,) or (0,) [s]: a budget met
    later than this is as good as not met; where that is proved, nothing closer is looked for. bounds (P, 7), written;
    columns as named above. T_HIGH and E_HIGH are inf where no answer is certain, T_LOW is inf where there is none.
    """
    kinds, size = counts.shape[1], floor.shape[1] - 1
    ends = np.zeros(kinds + 1, dtype=np.int64)
    last = durations.shape[0] - 1
    rough = (4.0 * size) * 2.220446049250313e-16  # what a difference of two sums has lost, relative to the whole sum
    for p in range(counts.shape[0]):
        t_least, e_least, e_whole = 0.0, 0.0, 0.0
        for i in range(kinds):
            k = types[i]
            ends[i + 1] = ends[i] + counts[p, k]
            t_least = max(t_least, _greatest(least, k, ends[i], ends[i + 1]))
            e_least += floor[k, ends[i + 1]] - floor[k, ends[i]]
            e_whole += floor[k, size]
        bounds[p, T_LEAST] = t_least
        bounds[p, E_LEAST] = e_least * (1.0 - _SAFE) - rough * e_whole
        bounds[p, T_LOW], bounds[p, T_HIGH], bounds[p, E_LOW], bounds[p, E_HIGH] = math.inf, math.inf, 0.0, math.inf
        bounds[p, E_FIRST] = 0.0
        if t_least == math.inf or (goal == _DEADLINE and value < t_least * ROUNDING):
            continue
        if goal == _ENERGY and value < bounds[p, E_LEAST]:
            continue
        if needed.shape[0] > 0 and needed[p] < math.inf:
            limit = needed[p] * (1.0 + 1e-12)
            j = np.searchsorted(durations, limit)
            allowed = value * limit if goal == _POWER else value
            if t_least > limit or _above(energy, price, misses, types, ends, durations, j, limit, rough) > allowed:
                bounds[p, T_LOW] = max(t_least, limit)
                bounds[p, E_LOW] = bounds[p, E_FIRST] = bounds[p, E_LEAST]
                continue
        first = _first(durations, energy, price, misses, types, ends, goal, value, rough, 1.0)  # may be met there
        sure = _first(durations, energy, price, misses, types, ends, goal, value, rough, -1.0)  # surely met there
        low, high = max(t_least, durations[first - 1] if first > 0 else 0.0), math.inf
        if sure <= last:
            high = durations[sure]
        if goal == _DEADLINE:
            low, high = value, value
        elif goal != _PRICE:
            low = max(low, _tangent(durations, energy, price, misses, types, ends, goal, value, rough, first))
            if 0 < sure <= last:
                high = min(high, _chord(durations, energy, misses, types, ends, goal, value, rough, sure))
        if goal != _DEADLINE:
            high = max(high, t_least)  # who can do the first duration may need more of it, by rounding
            low = min(low, high)
        bounds[p, T_LOW], bounds[p, T_HIGH] = low, high
        e_first, e_low, e_high = bounds[p, E_LEAST], bounds[p, E_LEAST], math.inf
        for j in range(max(first - 1, 0), min(sure, last) + 1):
            e, slope, spread, turn, missed = _at(energy, price, misses, types, ends, j, rough)
            if missed == 0:
                e_first = max(e_first, e - spread - _fall(slope, turn, low - durations[j]))
                e_low = max(e_low, e - spread - _fall(slope, turn, high - durations[j])) if high < math.inf else e_low
                e_high = min(e_high, e + spread) if durations[j] <= low else e_high
        if goal in (_ENERGY, _POWER) and high < math.inf:
            e_high = min(e_high, value * high if goal == _POWER else value)
        bounds[p, E_LOW], bounds[p, E_HIGH], bounds[p, E_FIRST] = e_low, e_high, e_first


@stage
def _fall(slope: float, turn: float, away: float) -> float:
    """How far a tangent falls over ``away`` seconds at most, its slope uncertain by ``turn``."""
    return (slope + turn) * away if away > 0.0 else max(slope - turn, 0.0) * away


@stage
def _above(
    energy: FloatArray,
    price: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    ends: IntArray,
    durations: FloatArray,
    after: int,
    T: float,
    rough: float,
) -> float:
    """What the energy at T is at least, by the tangents before and after it; 0 where there is none."""
    least = 0.0
    for j in range(max(after - 1, 0), min(after, durations.shape[0] - 1) + 1):
        e, slope, spread, turn, missed = _at(energy, price, misses, types, ends, j, rough)
        if missed == 0:
            least = max(least, e - spread - _fall(slope, turn, T - durations[j]))
    return least


@stage
def _greatest(least: FloatArray, k: int, start: int, stop: int) -> float:
    """The greatest least duration of rows start..stop-1 under type k; 0 of none."""
    if stop <= start:
        return 0.0
    level = 0
    while 2 << level <= stop - start:
        level += 1
    greatest: float = max(least[level, k, start], least[level, k, stop - (1 << level)])
    return greatest


@stage
def _at(
    energy: FloatArray,
    price: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    ends: IntArray,
    j: int,
    rough: float,
) -> tuple[float, float, float, float, int]:
    """Energy [J] and price [W] of a partition at the j-th duration, how uncertain both are, and rows too slow."""
    e, slope, whole, steep, missed = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(types.shape[0]):
        k = types[i]
        start, stop = ends[i], ends[i + 1]
        if stop > start:
            missed += misses[j, k, stop] - misses[j, k, start]
            e += energy[j, k, stop] - energy[j, k, start]
            slope += price[j, k, stop] - price[j, k, start]
            whole += energy[j, k, stop]
            steep += price[j, k, stop]
    return e, max(slope, 0.0), _SAFE * e + rough * whole, _SAFE * slope + rough * steep, missed


@stage
def _first(
    durations: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    ends: IntArray,
    goal: int,
    value: float,
    rough: float,
    kindly: float,
) -> int:
    """The first duration at which the goal is met, M if at none: bisected, for once met it stays met.

    kindly: 1 where what is uncertain counts for it, -1 where it counts against.
    """
    low, high = -1, len(durations)
    while high - low > 1:
        j = (low + high) // 2
        e, slope, spread, turn, missed = _at(energy, price, misses, types, ends, j, rough)
        met = missed == 0
        if goal == _PRICE:
            met = met and slope - kindly * turn <= value
        elif goal != _DEADLINE:
            met = met and e - kindly * spread <= (value * durations[j] if goal == _POWER else value)
        if met:
            high = j
        else:
            low = j
    return high


@stage
def _tangent(
    durations: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    ends: IntArray,
    goal: int,
    value: float,
    rough: float,
    first: int,
) -> float:
    """A duration before which the budget is surely not met: where the tangents on both sides of it meet the budget."""
    low, watts = 0.0, value if goal == _POWER else 0.0
    for j in range(max(first - 1, 0), min(first, durations.shape[0] - 1) + 1):
        e, slope, spread, turn, missed = _at(energy, price, misses, types, ends, j, rough)
        over = e - spread - (value * durations[j] if goal == _POWER else value)
        slope = slope + turn if over > 0.0 else max(slope - turn, 0.0)
        if missed == 0 and slope + watts > 0.0:
            low = max(low, durations[j] + over / (slope + watts))
    return low


@stage
def _chord(
    durations: FloatArray,
    energy: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    ends: IntArray,
    goal: int,
    value: float,
    rough: float,
    sure: int,
) -> float:
    """Where the chord between the last duration at which the budget is not met and the next one meets it."""
    a, b = durations[sure - 1], durations[sure]
    e, _, spread, _, missed = _at(energy, energy, misses, types, ends, sure - 1, rough)
    if missed > 0:
        return math.inf
    over = e + spread - (value * a if goal == _POWER else value)
    e, _, spread, _, missed = _at(energy, energy, misses, types, ends, sure, rough)
    under = e + spread - (value * b if goal == _POWER else value)
    return a + (b - a) * (over / (over - under)) if over > 0.0 > under else math.inf
