"""Sums over the rows in order, at a few durations: with them every partition's energy there is a few differences.

With the rows in one order and the types from large to small, a type's rows are a stretch of the order. Rows that
cannot meet a duration are counted in sums of their own (inf - inf is no number); the least duration of a stretch is a
maximum over two overlapping stretches of a power of two rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import BLOCK, E_FIXED, GAMMA, IDLE, P_C, P_S, T_FREE, TAU_FREE, A, K
from solvers.compile import kernel
from solvers.fill import energy_of
from solvers.menu import IntArray, Menu
from solvers.plan import frozen
from solvers.rows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prefixes:
    """Sums over the first n rows in order, n = 0..N, were they all of type k.

    durations (M,), rising [s]. energy [J], price [W] (M, K, N + 1) of the rows that can meet the duration, misses
    (M, K, N + 1): how many cannot. least (L, K, N): entry [l, k, i] is the greatest least duration [s] of rows
    i..i + 2^l - 1. floor (K, N + 1) [J]: of their least energies at any duration.
    """

    durations: FloatArray
    energy: FloatArray
    price: FloatArray
    misses: NDArray[np.int32]
    least: FloatArray
    floor: FloatArray

    def at(self, menu: Menu, order: IntArray, durations: FloatArray) -> Prefixes:
        """The sums at other durations."""
        energy, price, misses = sums_at(menu, order, durations)
        return Prefixes(
            durations=durations, energy=energy, price=price, misses=misses, least=self.least, floor=self.floor
        )


def prefixes(menu: Menu, order: IntArray, durations: FloatArray) -> Prefixes:
    """The sums of a menu's rows in an order."""
    least = [menu.least_times[:, order]]
    while 2 ** len(least) <= len(menu):
        last, half = least[-1], 2 ** (len(least) - 1)
        longer = last.copy()
        longer[:, :-half] = np.maximum(last[:, :-half], last[:, half:])
        least.append(longer)
    floor = np.empty((len(menu.rows), len(menu)))
    least_energies(frozen(menu.kinds[:, order]), frozen(menu.table[:, :, order]), floor)
    energy, price, misses = sums_at(menu, order, durations)
    return Prefixes(
        durations=durations,
        energy=energy,
        price=price,
        misses=misses,
        least=np.stack(least),
        floor=_sums(np.where(np.isfinite(floor), floor, 0.0)),
    )


def sums_at(menu: Menu, order: IntArray, durations: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.int32]]:
    """Energy, price and misses of Prefixes; all types are priced as one fleet of K N rows."""
    types, size = len(menu.rows), len(menu)
    columns = tuple([frozen(column.reshape(-1)) for column in menu.table[:, :, order]])
    kind = menu.kinds[:, order].reshape(-1)
    kind = frozen(kind if kind.any() else kind[:1])
    shape = (len(durations), types, size + 1)
    energy, price, misses = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int32)
    blocks = -(-types * size // BLOCK)
    v, sums, out = np.empty(types * size), np.empty((blocks, 3)), np.empty((4, types * size))
    for j, T in enumerate(durations.tolist()):
        price_blocks(kind, columns, menu.priced, T, v, False, EXACT, sums, out, 0, blocks)
        cost, slope = out[2].reshape(types, size), out[3].reshape(types, size)
        cannot = ~np.isfinite(cost)
        if cannot.any():
            cost, slope = np.where(cannot, 0.0, cost), np.where(cannot, 0.0, slope)
            np.cumsum(cannot, axis=1, out=misses[j, :, 1:])
        np.cumsum(cost, axis=1, out=energy[j, :, 1:])
        np.cumsum(slope, axis=1, out=price[j, :, 1:])
    return energy, price, misses


def _sums(values: FloatArray) -> FloatArray:
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


@kernel
def least_energies(kinds: NDArray[np.uint8], table: FloatArray, floor: FloatArray) -> None:
    """The energy [J] of rows with all the time they want. kinds (K, N), table (COLUMNS, K, N); floor (K, N): out."""
    for k in range(floor.shape[0]):
        for n in range(floor.shape[1]):
            e = 0.0
            if kinds[k, n] != IDLE:
                c = table[:, k, n]
                e = energy_of(c[K], c[A], c[GAMMA], c[P_S], c[P_C], c[E_FIXED], c[T_FREE], c[TAU_FREE])
            floor[k, n] = e
