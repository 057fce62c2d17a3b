"""The menu of level 1: what every client would have to do under every type, and the energies and duties that follow.

"Column" types k = 0..K-1 stand side by side for N rows; an assignment picks one type per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import BLOCK, COLUMNS, FIXED, IDLE, T_LOW, TAU_LOW
from solvers.cached import cached_property
from solvers.limits import limits
from solvers.plan import Plan, frozen, make_plan
from solvers.rows import ROUNDING, FloatArray, Rows
from solvers.threads import beside, each_chunk

IntArray = NDArray[np.int64]

_KEPT = 1 << 15  # rows of a menu up to which its plans are kept; a chunk of blocks has no more


@dataclass(frozen=True, kw_only=True, eq=False)
class Menu:
    """Rows of every type, and what the sorted rules need.

    rows : K Rows of N rows each. size : (K,) how large a type is, to order types from large to small.
    quality : (N,) how good a row's channel is, to order rows from good to bad. weights : (K,) what one place of the
    type adds to the replicas, 0 for an idle place. covers : (K,) places come in whole multiples of these.
    """

    rows: tuple[Rows, ...]
    size: FloatArray
    quality: FloatArray
    weights: FloatArray
    covers: IntArray

    def __len__(self) -> int:
        return len(self.rows[0])

    @cached_property
    def types(self) -> IntArray:
        """Type indices from large to small, equals by index."""
        return np.argsort(-self.size, kind="stable").astype(np.int64)

    @cached_property
    def order(self) -> IntArray:
        """Row indices from good to bad channel, equals by index."""
        return beside(len(self), np.argsort, -self.quality, kind="stable").astype(np.int64)

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """A plan per type."""
        return tuple(make_plan(rows) for rows in self.rows)

    def rows_of(self, assignment: IntArray) -> Rows:
        """The rows under an assignment (N,)."""
        columns, own = self._columns if len(self) <= _KEPT else self._stacked(), np.arange(len(self))

        def pick(column: NDArray[Any]) -> NDArray[Any]:
            if column.ndim == 1:
                return column
            picked: NDArray[Any] = column[assignment, own if column.shape[1] > 1 else 0]
            return picked

        rows = Rows(**{name: pick(column) for name, column in columns.items()})
        return rows if len(rows) == len(self) else rows.widen(len(self))

    @property
    def joined(self) -> Rows:
        """The rows under all types, one after another: K N of them."""
        size = (len(self.rows), len(self))

        def spread(column: NDArray[Any]) -> NDArray[Any]:
            return column if column.shape == (1,) else np.broadcast_to(column, size).reshape(-1)

        rows = Rows(**{name: spread(column) for name, column in self._stacked().items()})
        return rows if len(rows) == size[0] * size[1] else rows.widen(size[0] * size[1])

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        return self._stacked()

    def _stacked(self) -> dict[str, NDArray[Any]]:
        """The columns of all types: (N,) or (1,) where they are the same, else (K, N) or (K, 1)."""

        def stack(columns: list[NDArray[Any]]) -> NDArray[Any]:
            first, single = columns[0], all(column.shape[0] == 1 for column in columns)
            if all(column is first for column in columns) or (single and all(c[0] == first[0] for c in columns)):
                return first
            return np.stack([np.broadcast_to(column, (1 if single else len(self),)) for column in columns])

        return {name: stack([getattr(rows, name) for rows in self.rows]) for name in Rows.__slots__}

    def costs(self, duration: float) -> FloatArray:
        """The least energy of every row under every type, (K, N) [J]; inf where it cannot meet the duration.

        An endless duration has the least energies of all.
        """
        if math.isinf(duration):
            return self._endless_costs
        costs = np.empty((len(self.rows), len(self)))

        def keep(k: int, part: slice, out: FloatArray) -> None:
            costs[k, part] = out[2]

        self._price(duration, keep)
        return costs

    @cached_property
    def _endless_costs(self) -> FloatArray:
        least = [np.broadcast_to(limits(rows).least_energy, (len(self),)) for rows in self.rows]
        return frozen(np.stack(least))

    def costs_and_prices(self, duration: float) -> tuple[FloatArray, FloatArray]:
        """The costs (K, N) [J] and what one more second would save of them [W], 0 where they are inf."""
        costs, prices = np.empty((len(self.rows), len(self))), np.empty((len(self.rows), len(self)))

        def keep(k: int, part: slice, out: FloatArray) -> None:
            costs[k, part], prices[k, part] = out[2], np.where(np.isfinite(out[2]), out[3], 0.0)

        self._price(duration, keep)
        return costs, prices

    def _price(self, duration: float, keep: Callable[[int, slice, FloatArray], None]) -> None:
        """Level 3 of every type at a duration, handed to ``keep`` in parts: times, energies, prices (4, rows)."""
        for k in range(len(self.rows)):

            def work(first: int, last: int, k: int = k) -> None:
                part = slice(first * BLOCK, min(last * BLOCK, len(self)))
                plan = self._plan(k, part)
                v, sums, out = np.empty(plan.size), np.empty((plan.blocks, 3)), np.empty((4, plan.size))
                price_blocks(plan.kind, plan.columns, plan.priced, duration, v, False, EXACT, sums, out, 0, plan.blocks)
                keep(k, part, out)

            each_chunk(work, -(-len(self) // BLOCK))

    def _plan(self, k: int, part: slice) -> Plan:
        """The plan of some rows under a type: of a large menu made anew each time, which costs less than keeping it."""
        return self.plans[k] if len(self) <= _KEPT else make_plan(self.rows[k].part(part))

    @property
    def least_times(self) -> FloatArray:
        """The least duration of every row under every type, (K, N) [s]."""
        return self._kept_least_times if len(self) <= _KEPT else self._least_times()

    @cached_property
    def _kept_least_times(self) -> FloatArray:
        return self._least_times()

    def _least_times(self) -> FloatArray:
        least = np.empty((len(self.rows), len(self)))
        for k in range(len(self.rows)):
            for first in range(0, len(self), _KEPT):
                part = slice(first, min(first + _KEPT, len(self)))
                plan = self._plan(k, part)
                c = plan.columns
                least[k, part] = np.where(plan.kind == IDLE, 0.0, c[FIXED] + (c[T_LOW] + c[TAU_LOW]))
        return least

    @cached_property
    def shortest(self) -> float:
        """Below this duration [s] some row can do no type: no matching is feasible."""
        return float(self.least_times.min(axis=0).max()) * ROUNDING

    @cached_property
    def longest(self) -> float:
        """From this duration [s] on every row can do every type that it can do at all."""
        return float(self.least_times[np.isfinite(self.least_times)].max(initial=0.0))

    @cached_property
    def table(self) -> FloatArray:
        """The columns of all plans, (COLUMNS, K, N), for the compiled search over many partitions."""
        table = np.empty((COLUMNS, len(self.rows), len(self)))
        for k, plan in enumerate(self.plans):
            for j, column in enumerate(plan.columns):
                table[j, k] = column
        return frozen(table)

    @cached_property
    def kinds(self) -> NDArray[np.uint8]:
        """The kinds of rows under every type, (K, N)."""
        return frozen(np.stack([np.broadcast_to(plan.kind, (len(self),)) for plan in self.plans]))

    @property
    def priced(self) -> bool:
        """Some row's static power differs from its circuit power."""
        return any(plan.priced for plan in self.plans)


def fill(counts: IntArray, types: IntArray, order: IntArray) -> IntArray:
    """Match in order: the first places of the largest type to the first rows, and so on; (N,) type indices."""
    assignment = np.empty(order.shape[0], dtype=np.int64)
    assignment[order] = np.repeat(types, counts[types])
    return assignment
