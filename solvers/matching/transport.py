"""The best matching at fixed costs: a transportation problem of N rows, one place each, and K types of given counts.

With prices u on the types every row takes its cheapest c[n, k] - u[k]; that is the best matching for the counts it
happens to make. Shortest augmenting paths over the K types then move one row at a time from types with too many rows
to types with too few, always along the cheapest chain of moves, and the matching stays the best for its counts until
they are the wanted ones. A heap for each pair of types knows the cheapest row to move between them. O(N K log N), no
N x N matrix. Large N starts from the prices of a strided sample, or of the last call, and has few rows left to move.

The potentials of the last graph are prices u that prove the result: for any prices

    sum over n of min_k (c[n, k] - u[k]) + sum over k of count[k] u[k]

is at most the cost of any matching, and here it equals the cost of this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.compile import kernel, stage
from solvers.matching.moves import SAMPLE, HeapArray, build_all, limits_of_moves, push, refresh
from solvers.menu import IntArray
from solvers.rows import FloatArray

_SHARE = 16  # of the rows, one is in the sample that first prices come from


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transport:
    """A best matching and its proof.

    assignment (N,): type of each row. cost: its total. prices (K,): what one more place of each type would change the
    total by, at most. dual: the lower bound the prices prove; cost - dual is rounding. moved: rows moved on the way.
    """

    assignment: IntArray
    cost: float
    prices: FloatArray
    dual: float
    moved: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Impossible:
    """No matching is finite: ``rows`` rows fit only into the types of ``within`` (K,) bool, which have fewer places."""

    rows: int
    places: int
    within: NDArray[np.bool_]


def transport(costs: FloatArray, counts: IntArray, prices: FloatArray | None = None) -> Transport | Impossible:
    """The matching of least total cost, proved.

    costs : (K, N) cost of row n in a place of type k; +inf where it cannot take one.
    counts : (K,) places of each type; they sum to N.
    prices : (K,) first prices, such as those of a similar problem; any are right, good ones are quicker.
    """
    types, size = costs.shape
    prices = np.zeros(types) if prices is None else prices
    if size >= 4 * SAMPLE:
        prices = _prices_of_sample(costs, counts, prices)
    prices = np.where(np.isfinite(prices), prices, 0.0)
    assignment = np.empty(size, dtype=np.int64)
    moved, short = solve(costs, counts, prices, assignment, np.empty((types * types, size), dtype=np.int32))
    if short == -2:
        lone = np.isinf(costs).all(axis=0)
        return Impossible(rows=int(lone.sum()), places=0, within=np.zeros(types, dtype=np.bool_))
    if short >= 0:
        within = reachable(costs, assignment, short)
        lone = np.isin(assignment, np.flatnonzero(within))
        return Impossible(rows=int(lone.sum()), places=int(counts[within].sum()), within=within)
    cost, dual = value_and_bound(costs, counts, prices, assignment)
    return Transport(assignment=assignment, cost=cost, prices=prices, dual=dual, moved=moved)


def _prices_of_sample(costs: FloatArray, counts: IntArray, prices: FloatArray) -> FloatArray:
    """The prices of some of the rows, with counts in proportion (largest remainders); ``prices`` where there are none.

    Of m rows they are right to about 1/sqrt(m), so a sixteenth of the rows leave few to move; theirs come from samples.
    """
    sample = np.ascontiguousarray(costs[:, :: min(costs.shape[1] // SAMPLE, _SHARE)])
    size = sample.shape[1]
    exact = counts * (size / costs.shape[1])
    share = np.floor(exact).astype(np.int64)
    share[np.argsort(share - exact, kind="stable")[: size - int(share.sum())]] += 1
    found = transport(sample, share, prices)
    return found.prices if isinstance(found, Transport) else prices


@kernel
def solve(
    costs: FloatArray, counts: IntArray, prices: FloatArray, assignment: IntArray, heaps: HeapArray
) -> tuple[int, int]:
    """Match; returns rows moved and -1, or a type that has too many rows and no way to lose one, or -2 where some row
    fits no type.

    costs (K, N), counts (K,); prices (K,): read, then overwritten by those that prove the result. assignment (N,),
    written. heaps (K*K, N): room for the heaps.
    """
    types, size = costs.shape
    have = np.zeros(types, dtype=np.int64)
    for n in range(size):
        best, least = 0, math.inf
        for k in range(types):
            reduced = costs[k, n] - prices[k]
            if reduced < least:
                best, least = k, reduced
        if least == math.inf:
            return 0, -2
        assignment[n] = best
        have[best] += 1
    sizes = np.zeros(types * types, dtype=np.int64)
    limit = limits_of_moves(costs, assignment)
    build_all(costs, assignment, limit, heaps, sizes)
    step = np.full((types, types), math.inf)  # cheapest move from k to l
    distance, before = np.empty(types), np.empty(types, dtype=np.int64)
    moved = 0
    while True:
        excess = 0
        for k in range(types):
            excess += max(have[k] - counts[k], 0)
            refresh(costs, assignment, limit, heaps, sizes, step, k)
        if excess == 0:
            break
        end = _cheapest_chain(step, have, counts, distance, before)
        if end < 0:
            for k in range(types):
                if have[k] > counts[k]:
                    return moved, k
        while before[end] >= 0:  # back along the chain, one row a link
            start = before[end]
            n = heaps[start * types + end, 0]
            assignment[n] = end
            have[start] -= 1
            have[end] += 1
            moved += 1
            for other in range(types):
                if other != end and costs[other, n] < math.inf:
                    push(costs, assignment, heaps, sizes, end, other, n)
            end = start
    _potentials(step, prices)
    return moved, -1


@stage
def _cheapest_chain(step: FloatArray, have: IntArray, counts: IntArray, distance: FloatArray, before: IntArray) -> int:
    """Bellman-Ford from all types with too many rows; the nearest type with too few, -1 if there is no way."""
    types = have.shape[0]
    for k in range(types):
        distance[k] = 0.0 if have[k] > counts[k] else math.inf
        before[k] = -1
    for _ in range(types):
        changed = False
        for k in range(types):
            for l in range(types):
                far = distance[k] + step[k, l]
                if far < distance[l] and not _leads_to(before, k, l):  # there and back may gain by rounding: no circles
                    distance[l] = far
                    before[l] = k
                    changed = True
        if not changed:
            break
    end, nearest = -1, math.inf
    for k in range(types):
        if have[k] < counts[k] and distance[k] < nearest:
            end, nearest = k, distance[k]
    return end


@stage
def _leads_to(before: IntArray, k: int, l: int) -> bool:
    """Whether the chain that ends in k passes l."""
    while k >= 0:
        if k == l:
            return True
        k = before[k]
    return False


@stage
def _potentials(step: FloatArray, prices: FloatArray) -> None:
    """Prices under which every row is where it is cheapest: u_l - u_k at most the cheapest move from k to l."""
    types = prices.shape[0]
    for k in range(types):
        prices[k] = 0.0
    for _ in range(types + 1):
        for k in range(types):
            for l in range(types):
                if prices[k] + step[k, l] < prices[l]:
                    prices[l] = prices[k] + step[k, l]


@kernel
def value_and_bound(
    costs: FloatArray, counts: IntArray, prices: FloatArray, assignment: IntArray
) -> tuple[float, float]:
    """The cost of a matching and the lower bound that prices prove, both by sums that carry their rounding along."""
    types, size = costs.shape
    cost, cost_rest, dual, dual_rest = 0.0, 0.0, 0.0, 0.0
    for n in range(size):
        least = math.inf
        for k in range(types):
            least = min(least, costs[k, n] - prices[k])
        cost, cost_rest = _add(cost, cost_rest, costs[assignment[n], n])
        dual, dual_rest = _add(dual, dual_rest, least)
    for k in range(types):
        if counts[k] > 0:
            dual, dual_rest = _add(dual, dual_rest, counts[k] * prices[k])
    return cost + cost_rest, dual + dual_rest


@stage
def _add(total: float, rest: float, more: float) -> tuple[float, float]:
    """Neumaier's sum: the rounding of total + more goes to rest."""
    new = total + more
    if abs(total) >= abs(more):
        rest += (total - new) + more
    else:
        rest += (more - new) + total
    return new, rest


@kernel
def reachable(costs: FloatArray, assignment: IntArray, start: int) -> NDArray[np.bool_]:
    """The types that rows of type ``start`` can reach, directly or by chains of moves; (K,)."""
    types, size = costs.shape
    within = np.zeros(types, dtype=np.bool_)
    within[start] = True
    changed = True
    while changed:
        changed = False
        for n in range(size):
            if within[assignment[n]]:
                for k in range(types):
                    if not within[k] and costs[k, n] < math.inf:
                        within[k] = True
                        changed = True
    return within
