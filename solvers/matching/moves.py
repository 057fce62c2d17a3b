"""Heaps of moves: for every pair of types the rows that could change from one to the other, cheapest first.

A row that has left its type stays in the heap until it comes to the top. Heaps of large N hold only the moves below a
limit, and are completed when those are used up.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.compile import stage
from solvers.menu import IntArray
from solvers.rows import FloatArray

HeapArray = NDArray[np.int32]

SAMPLE = 4096  # rows of a sample: for the limits of heaps, and for first prices


@stage
def limits_of_moves(costs: FloatArray, assignment: IntArray) -> FloatArray:
    """How dear a move may be to enter its heap: with good first prices only the cheapest are ever wanted.

    By a sample of the moves; no limit for small N.
    """
    types, size = costs.shape
    limit = np.full(types * types, math.inf)
    stride = size // SAMPLE
    if stride < 4:
        return limit
    for k in range(types):
        for l in range(types):
            least, seen = math.inf, 0
            total = 0.0
            for n in range(0, size, stride):
                if assignment[n] == k and l != k and costs[l, n] < math.inf:
                    key = costs[l, n] - costs[k, n]
                    least = min(least, key)
                    total += key
                    seen += 1
            if seen > 100:
                limit[k * types + l] = least + 0.05 * (total / seen - least)
    return limit


@stage
def build_all(costs: FloatArray, assignment: IntArray, limit: FloatArray, heaps: HeapArray, sizes: IntArray) -> None:
    """The heaps of all moves k to l that cost at most their limit."""
    types, size = costs.shape
    for n in range(size):
        k = assignment[n]
        for l in range(types):
            h = k * types + l
            key = costs[l, n] - costs[k, n]
            if l != k and key < math.inf and key <= limit[h]:
                heaps[h, sizes[h]] = n
                sizes[h] += 1
    for k in range(types):
        for l in range(types):
            _heapify(costs, heaps[k * types + l], sizes[k * types + l], k, l)


@stage
def _build(costs: FloatArray, assignment: IntArray, heaps: HeapArray, sizes: IntArray, k: int, l: int) -> None:
    """The heap of all moves from k to l."""
    h = k * costs.shape[0] + l
    sizes[h] = 0
    for n in range(assignment.shape[0]):
        if assignment[n] == k and costs[l, n] < math.inf:
            heaps[h, sizes[h]] = n
            sizes[h] += 1
    _heapify(costs, heaps[h], sizes[h], k, l)


@stage
def _heapify(costs: FloatArray, heap: HeapArray, size: int, k: int, l: int) -> None:
    """Put the cheapest move first and order the rest as a heap."""
    for at in range(size // 2 - 1, -1, -1):
        _sift_down(costs, heap, size, k, l, at)


@stage
def refresh(
    costs: FloatArray,
    assignment: IntArray,
    limit: FloatArray,
    heaps: HeapArray,
    sizes: IntArray,
    step: FloatArray,
    k: int,
) -> None:
    """Drop rows that have left type k from the tops of its heaps; the cheapest moves from k."""
    types = costs.shape[0]
    for l in range(types):
        h = k * types + l
        while True:
            while sizes[h] > 0 and assignment[heaps[h, 0]] != k:
                sizes[h] -= 1
                heaps[h, 0] = heaps[h, sizes[h]]
                _sift_down(costs, heaps[h], sizes[h], k, l, 0)
            if l == k or limit[h] == math.inf or (sizes[h] > 0 and _key(costs, heaps[h, 0], k, l) <= limit[h]):
                break
            limit[h] = math.inf  # nothing within the limit is left, but what lies beyond it is not all here
            _build(costs, assignment, heaps, sizes, k, l)
        step[k, l] = math.inf
        if sizes[h] > 0:
            step[k, l] = _key(costs, heaps[h, 0], k, l)


@stage
def push(costs: FloatArray, assignment: IntArray, heaps: HeapArray, sizes: IntArray, k: int, l: int, n: int) -> None:
    """Add row n to the heap of moves from k to l; a heap full of rows that have left is built anew."""
    h = k * costs.shape[0] + l
    if sizes[h] == heaps.shape[1]:
        _build(costs, assignment, heaps, sizes, k, l)
        return
    heap = heaps[h]
    at = sizes[h]
    heap[at] = n
    sizes[h] += 1
    while at > 0:
        above = (at - 1) // 2
        if not _before(costs, heap[at], heap[above], k, l):
            break
        heap[at], heap[above] = heap[above], heap[at]
        at = above


@stage
def _sift_down(costs: FloatArray, heap: HeapArray, size: int, k: int, l: int, at: int) -> None:
    """Let the entry at ``at`` sink to its place."""
    while True:
        child = 2 * at + 1
        if child >= size:
            return
        if child + 1 < size and _before(costs, heap[child + 1], heap[child], k, l):
            child += 1
        if not _before(costs, heap[child], heap[at], k, l):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@stage
def _key(costs: FloatArray, n: int, k: int, l: int) -> float:
    """What moving row n from k to l costs."""
    key: float = costs[l, n] - costs[k, n]
    return key


@stage
def _before(costs: FloatArray, n: int, m: int, k: int, l: int) -> bool:
    """Whether row n moves from k to l more cheaply than row m; equals by index, so that ties are settled alike."""
    first, second = _key(costs, n, k, l), _key(costs, m, k, l)
    return first < second or (first == second and n < m)
