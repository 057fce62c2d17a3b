"""The most replicas within an energy at a duration, over all matchings or all sorted ones: bounds, and where to look.

For a price nu [J] of a replica the least of energy - nu x replicas is a sum over the rows, each in its cheapest type;
over sorted matchings it is a shortest path along the order, a type after the other, in steps of whole replicas. Both
bound from below every partition's energy: at least L(nu) + nu R joules for R replicas (weak duality). The best price
for an energy is where the least's own energy passes it: two lines of the concave L meet ever closer there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.compile import kernel
from solvers.menu import IntArray
from solvers.rows import FloatArray

_MEETINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """The least of energy - price x replicas: its value [J], and the counts (K,) that reach it, their replicas and
    energy [J]; inf where there is none."""

    value: float
    replicas: float
    energy: float
    counts: IntArray


def fair_price(least: Callable[[float], Least], allowed: float, dear: float) -> tuple[float, Least, Least] | None:
    """The price [J] at which the bound of the replicas within ``allowed`` [J] is least, a Least within and one above.

    least(price): at a price. dear: a price so great that nothing but replicas counts; it is the answer where even the
    most replicas are within the energy, and none is above. None where nothing is within, or nothing at all can be.
    """
    below, above = least(0.0), least(dear)
    if not below.energy <= allowed or below.energy == math.inf:
        return None
    if above.energy <= allowed:
        return dear, above, above
    price, low, high = 0.0, 0.0, dear
    for turn in range(_MEETINGS):
        if not above.replicas > below.replicas:
            break
        price = (above.energy - below.energy) / (above.replicas - below.replicas)
        met = below.energy - price * below.replicas
        if turn % 4 == 3 and low > 0.0:  # where lines meet too near one end
            price = math.sqrt(low) * math.sqrt(high)
        found = least(price)
        if found.energy <= allowed:
            below, low = found, price
        else:
            above, high = found, price
        if found.value >= met - 1e-13 * abs(found.energy) and turn % 4 != 3:
            break
    return (min(max(price, low), high) if price > 0.0 else high), below, above


def mixture(low: Least, high: Least, share: float) -> IntArray:
    """Counts (K,) so far on the way from one Least to another; where rows are alike, no price leads to them."""
    change = np.floor(share * (high.counts - low.counts)).astype(np.int64)
    change[np.argmin(change)] -= change.sum()
    counts: IntArray = low.counts + change
    return counts


@kernel
def cheapest_types(
    costs: FloatArray, prices: FloatArray, weights: FloatArray, price: float, away: float, counts: IntArray
) -> tuple[float, float]:
    """Every row in the type where energy - price x replicas is least; returns that least value and its energy [J].

    costs [J] and prices [W] (K, N) at a duration ``away`` seconds later than the one in question: the tangents bound
    the energies there from below. weights (K,): replicas of a place. counts (K,), written. (inf, inf) where a
    row has no type.
    """
    types, size = costs.shape
    counts[:] = 0
    value, energy = 0.0, 0.0
    for n in range(size):
        best, least = 0, math.inf
        for k in range(types):
            cost = costs[k, n] + prices[k, n] * away - price * weights[k]
            if cost < least:
                best, least = k, cost
        if least == math.inf:
            return math.inf, math.inf
        counts[best] += 1
        value += least
        energy += costs[best, n] + prices[best, n] * away
    return value, energy


@kernel
def prices_of_cheapest(
    costs: FloatArray, prices: FloatArray, weights: FloatArray, price: float, counts: IntArray
) -> float:
    """The prices [W] summed over the rows, each in the type where energy - price x replicas is least.

    costs [J], prices [W] (K, N), weights (K,): as in cheapest_types; every row has a type. counts (K,), written.
    """
    types, size = costs.shape
    counts[:] = 0
    spent = 0.0
    for n in range(size):
        best, least = 0, math.inf
        for k in range(types):
            cost = costs[k, n] - price * weights[k]
            if cost < least:
                best, least = k, cost
        counts[best] += 1
        spent += prices[best, n]
    return spent


@kernel
def cheapest_chain(
    energy: FloatArray,
    prices: FloatArray,
    misses: NDArray[np.int32],
    types: IntArray,
    covers: IntArray,
    weights: FloatArray,
    price: float,
    away: float,
    value: FloatArray,
    begins: NDArray[np.int32],
    counts: IntArray,
) -> tuple[float, float]:
    """The partition whose sorted matching has the least energy - price x replicas; returns that value and its energy.

    energy, prices, misses (K, N + 1): sums over the rows in order (prefix.py), at a duration ``away`` seconds later
    than the one in question. types (K,): from large to small; covers, weights (K,) of the types. value (N + 1,), begins
    (K, N + 1): room. counts (K,), written: whole replicas that sum to N. (inf, inf) where there are none.
    """
    size = value.shape[0] - 1
    value[:] = math.inf
    value[0] = 0.0
    counts[:] = 0
    for i in range(types.shape[0]):
        k = types[i]
        cover, per = min(covers[k], size + 1), price * weights[k]
        best = np.full(cover, math.inf)  # of each remainder, what a stretch that begins there costs less its sums
        begin = np.zeros(cover, dtype=np.int32)
        since = np.full(cover, -1, dtype=np.int32)
        last = -1  # no stretch goes past a row that cannot
        for n in range(size + 1):
            if n > 0 and misses[k, n] > misses[k, n - 1]:
                last = n - 1
            sums = energy[k, n] + prices[k, n] * away - per * n
            slot = n % cover
            fresh = since[slot] > last
            if value[n] < math.inf and (not fresh or value[n] - sums < best[slot]):
                best[slot], begin[slot], since[slot], fresh = value[n] - sums, n, n, True
            value[n] = best[slot] + sums if fresh else math.inf
            begins[i, n] = begin[slot] if fresh else -1
    if value[size] == math.inf:
        return math.inf, math.inf
    end, cost = size, 0.0
    for i in range(types.shape[0] - 1, -1, -1):
        k, start = types[i], begins[i, end]
        counts[k] = end - start
        cost += energy[k, end] - energy[k, start] + (prices[k, end] - prices[k, start]) * away
        end = start
    return value[size], cost
