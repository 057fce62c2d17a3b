"""The menu of level 1: what every client would have to do under every type, and the energies and duties that follow.

"Column" types k = 0..K-1 stand side by side for N rows; an assignment picks one type per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.allocation.kernel import EXACT, price_blocks
from solvers.plan import COLUMNS, FIXED, IDLE, T_LOW, TAU_LOW, Plan, frozen, make_plan
from solvers.rows import ROUNDING, FloatArray, Rows
from solvers.threads import each_chunk

IntArray = NDArray[np.int64]


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
        return np.argsort(-self.quality, kind="stable").astype(np.int64)

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """A plan per type."""
        return tuple(make_plan(rows) for rows in self.rows)

    def rows_of(self, assignment: IntArray) -> Rows:
        """The rows under an assignment (N,)."""

        def pick(name: str) -> NDArray[Any]:
            columns = [getattr(rows, name) for rows in self.rows]
            if all(column.shape[0] == 1 and column[0] == columns[0][0] for column in columns):
                picked: NDArray[Any] = columns[0]
            elif all(column is columns[0] for column in columns):
                picked = columns[0]
            elif all(column.shape[0] == 1 for column in columns):
                picked = np.concatenate(columns)[assignment]
            else:
                full = np.stack([np.broadcast_to(column, (len(self),)) for column in columns])
                picked = full[assignment, np.arange(len(self))]
            return picked

        rows = Rows(**{name: pick(name) for name in Rows.__slots__})
        return rows if len(rows) == len(self) else rows.widen(len(self))

    def costs(self, duration: float) -> FloatArray:
        """The least energy of every row under every type, (K, N); inf where it cannot meet the duration."""
        return self.costs_and_prices(duration)[0]

    def costs_and_prices(self, duration: float) -> tuple[FloatArray, FloatArray]:
        """The same, and what a second more would save of each, (K, N) [W]; 0 where the duration is not met."""
        costs, prices = np.empty((2, len(self.rows), len(self)))
        for k, plan in enumerate(self.plans):
            out, sums = np.empty((4, plan.size)), np.empty((plan.blocks, 3))
            v = np.empty(plan.size)
            price = partial(price_blocks, plan.kind, plan.columns, plan.priced, duration, v, False, EXACT, sums, out)
            each_chunk(price, plan.blocks)
            costs[k], prices[k] = out[2], np.where(out[2] < np.inf, out[3], 0.0)
        return costs, prices

    @cached_property
    def least_times(self) -> FloatArray:
        """The least duration of every row under every type, (K, N) [s]."""
        least = np.empty((len(self.rows), len(self)))
        for k, plan in enumerate(self.plans):
            c = plan.columns
            least[k] = np.where(plan.kind == IDLE, 0.0, c[FIXED] + (c[T_LOW] + c[TAU_LOW]))
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
