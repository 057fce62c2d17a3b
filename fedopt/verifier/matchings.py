"""Bounds over all matchings of a partition, and over all partitions: prices on the types, and what they rule out.

For any prices u_k on the K types, sum over the clients of min_k (e_nk - u_k), plus sum of n_k u_k, is a lower bound of
every matching's energy. Good prices are the potentials of the graph whose arc k -> l costs what it costs to move the
cheapest client of type k to type l; a cycle below 0 in it improves the matching instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fedopt.checks import FloatArray
from fedopt.submodels import IntArray
from fedopt.verifier.model import sum_of

_ROUNDING = 1e-14  # of the largest cost: cycles this short are rounding


def dual_value(costs: FloatArray, counts: IntArray, prices: FloatArray) -> float:
    """What every matching with these counts costs at least, by these prices; costs (K, N)."""
    return sum_of((costs - prices[:, None]).min(axis=0)) + float(np.dot(counts, prices))


def cheapest(costs: FloatArray, assignment: IntArray, patience: int) -> tuple[IntArray, FloatArray]:
    """Improve a matching by its shortest cycles until there is none; the matching and prices on the types.

    The prices bound every matching from below, however the search ends; patience: cycles at most.
    """
    K, N = costs.shape
    current, clients = assignment.copy(), np.arange(N)
    tiny = _ROUNDING * float(np.abs(costs).max(initial=0.0))
    for _ in range(patience + 1):
        arcs, movers = np.full((K, K), math.inf), np.zeros((K, K), dtype=np.int64)
        for k in np.unique(current):
            of_k = clients[current == k]
            steps = costs[:, of_k] - costs[k, of_k]
            movers[k], arcs[k] = of_k[steps.argmin(axis=1)], steps.min(axis=1)
            arcs[k, k] = 0.0
        distance, cycle = _potentials(arcs, tiny)
        if cycle is None:
            return current, distance
        for k, l in cycle:
            current[movers[k, l]] = l
    return current, distance


def _potentials(arcs: FloatArray, tiny: float) -> tuple[FloatArray, list[tuple[int, int]] | None]:
    """Shortest distances from a node with free arcs to all (Bellman and Ford), or a cycle of negative length."""
    K = arcs.shape[0]
    distance, parent = np.zeros(K), np.full(K, -1)
    for _ in range(K + 1):
        through = distance[:, None] + arcs
        nearest = through.argmin(axis=0)
        shorter = through[nearest, np.arange(K)] < distance - tiny
        if not shorter.any():
            return distance, None
        distance = np.where(shorter, through[nearest, np.arange(K)], distance)
        parent = np.where(shorter, nearest, parent)
    node = int(np.flatnonzero(shorter)[0])
    for _ in range(K):
        node = int(parent[node])
        if node < 0:  # rounding, not a cycle
            return distance, None
    cycle, end = [], node
    while True:
        before = int(parent[node])
        cycle.append((before, node))
        node = before
        if node == end:
            return distance, cycle[::-1]


def greedy(costs: FloatArray, counts: IntArray) -> IntArray:
    """Some matching with these counts, to start from: each type takes whom it costs least more than the rest."""
    assignment = np.zeros(costs.shape[1], dtype=np.int64)
    free = np.ones(costs.shape[1], dtype=np.bool_)
    for k in range(costs.shape[0]):
        others = costs[k + 1 :].min(axis=0) if k + 1 < costs.shape[0] else np.zeros(costs.shape[1])
        order = np.argsort(np.where(free, costs[k] - others, math.inf), kind="stable")
        taken = order[: counts[k]]
        assignment[taken], free[taken] = k, False
    return assignment


Bounds = Callable[[float, IntArray, IntArray], FloatArray]


class TooManyError(Exception):
    """More looks than are allowed."""


def rule_out(
    bounds: Bounds, counts: IntArray, durations: FloatArray, allowed: FloatArray, looks: int
) -> tuple[int, float] | None:
    """Prove that no partition p (P, K) keeps durations[p] within allowed[p]; else the first that may, and its bound.

    bounds(T, counts of p, counts of all): lower bounds of all at T that are good for p. Energies never rise with T, so
    that what holds at T holds at shorter durations. Raises TooManyError.
    """
    left = np.argsort(-durations, kind="stable")
    while left.size:
        if looks == 0:
            raise TooManyError
        looks -= 1
        p = int(left[0])
        found = bounds(float(durations[p]), counts[p], counts[left])
        out = found > allowed[left]
        if not out[0]:
            return p, float(found[0])
        left = left[~out]
    return None


class AllMatchings:
    """Bounds of every partition's best matching, from the prices of one partition's.

    costs(T): energies (K, N) within T. most: beyond what any partition may spend, where ``clip`` cuts them off: who
    needs more than is allowed is ruled out by any of it, and infinite costs become numbers.
    """

    refutes = True  # what is not ruled out can be done

    def __init__(self, costs: Callable[[float], FloatArray], most: float) -> None:
        self._costs, self._most = costs, most
        self._T, self._table = math.nan, np.empty((0, 0))

    def __call__(self, T: float, one: IntArray, counts: IntArray) -> FloatArray:
        if self._T != T:
            costs = self._costs(T)
            nothing = np.where(costs > 0.0, 1.0, 0.0)  # may be spent: counted, which no rounding blurs
            self._T, self._table = T, np.minimum(costs, 4.0 * self._most) if self._most > 0.0 else nothing
        table = self._table
        _, prices = cheapest(table, greedy(table, one), table.size)
        result: FloatArray = sum_of((table - prices[:, None]).min(axis=0)) + counts @ prices
        return result


class SortedMatchings:
    """The energies of every partition's sorted matching: large types to good channels.

    order: clients from good to bad; sizes: types from large to small.
    """

    refutes = True

    def __init__(self, costs: Callable[[float], FloatArray], order: IntArray, sizes: IntArray) -> None:
        self._costs, self._order, self._sizes = costs, order, sizes
        self._T, self._sums, self._out = math.nan, np.empty((0, 0)), np.empty((0, 0))

    def __call__(self, T: float, one: IntArray, counts: IntArray) -> FloatArray:
        if self._T != T:
            table = self._costs(T)[self._sizes][:, self._order]
            impossible = np.isinf(table)
            sums = np.cumsum(np.where(impossible, 0.0, table), axis=1)
            self._T = T
            self._sums = np.pad(sums, ((0, 0), (1, 0)))
            self._out = np.pad(np.cumsum(impossible, axis=1), ((0, 0), (1, 0)))
        ends = np.cumsum(counts[:, self._sizes], axis=1)
        starts = ends - counts[:, self._sizes]
        k = np.arange(len(self._sizes))
        energy = (self._sums[k, ends] - self._sums[k, starts]).sum(axis=1)
        out = (self._out[k, ends] - self._out[k, starts]).sum(axis=1)
        result: FloatArray = np.where(out > 0, np.inf, energy)
        return result
