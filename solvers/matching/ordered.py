"""Level 1 over many partitions, compiled: match in an order, find the duration, keep what can still win.

Two orders: a given one (the paper's: clients from good to bad channel, types from large to small), or by marginal
energy, e(large) - e(small) at the duration, repeated while the duration falls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.allocation.kernel import CLOSE, price_blocks
from solvers.blocks import BLOCK, COLUMNS, Columns
from solvers.compile import kernel, stage
from solvers.duration.newton import search
from solvers.duration.steps import PASSES, STATE, STOP, T_NOW, begin
from solvers.duration.verdicts import raised
from solvers.fill import limits_of
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    NEEDED,
    SCREENED,
    STOPPED,
    Searched,
    Task,
    empty_results,
)
from solvers.menu import IntArray
from solvers.plan import frozen
from solvers.rows import ROUNDING, FloatArray, Goal, Stop
from solvers.sorting import argsort

_CHUNK = 256  # partitions at most between two reports of progress
_FEW = 16  # where it is worth asking whether the search is settled
_PLACES = 1 << 20  # and about so many places
_ROUNDS = 8  # of the marginal order at most

_ENERGY, _POWER, _DEADLINE, _PRICE = int(Goal.ENERGY), int(Goal.POWER), int(Goal.DEADLINE), int(Goal.PRICE)
_OPTIMAL = int(Stop.OPTIMAL)
_LOSES = -1  # not infeasible, but not better than what is in hand
_TOO_SHORT, _TOO_LITTLE, _UNREACHABLE = int(Stop.TOO_SHORT), int(Stop.TOO_LITTLE), int(Stop.UNREACHABLE)


def search_ordered(
    task: Task, orders: IntArray, *, marginal: bool, settled: Callable[[int, FloatArray], bool] | None = None
) -> Searched:
    """Solve every partition with the order of its row in ``orders`` (P, N) or (1, N).

    settled(p, results): partition p and all after it cannot win any more; asked now and then, and the search then ends.
    """
    menu, counts, goal = task.menu, task.counts, int(task.goal)
    total = counts.shape[0]
    results = empty_results(total)
    room = Room.of(len(menu))
    best, passes = np.array([0.0, math.inf, -1.0]), 0
    gains = np.zeros(0) if task.gains is None else task.gains
    chunk = max(1, min(_CHUNK if settled is None else _FEW, _PLACES // len(menu)))
    stopped = False
    for first in range(0, total, chunk):
        stopped = task.late and first > 0
        if stopped or (settled is not None and first > 0 and settled(first, results)):
            break
        last = min(first + chunk, total)
        passes += solve_partitions(
            menu.table, menu.kinds, menu.priced, counts, menu.types, orders, marginal, goal, task.value, gains, best,
            first, last, results, *room.arrays,
        )  # fmt: skip
        task.progress(last, total, float(best[0]))

    winner = room.winner.copy()

    def assign(p: int) -> IntArray:
        if p == best[2]:
            return winner.copy()
        own = orders[p : p + 1] if orders.shape[0] > 1 else orders
        needed = results[p, NEEDED]  # what was tried hangs on it
        to_beat = np.array([needed]) if needed < math.inf else np.zeros(0)
        solve_partitions(
            menu.table, menu.kinds, menu.priced, counts[p : p + 1], menu.types, own, marginal, goal, task.value,
            to_beat, np.array([1.0, math.inf, -1.0]), 0, 1, empty_results(1), *room.arrays,
        )  # fmt: skip
        return room.chosen.copy()

    return Searched(results=results, passes=passes, assign=assign, stopped=stopped)


@dataclass(frozen=True, slots=True)
class Room:
    """Working arrays of solve_partitions: written through ``work`` and ``kind``, read through read-only views."""

    arrays: tuple[Any, ...]
    chosen: IntArray
    winner: IntArray

    @classmethod
    def of(cls, size: int) -> Room:
        work, kind = np.empty((COLUMNS, size)), np.empty(size, dtype=np.uint8)
        chosen, winner = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
        columns = tuple(frozen(column) for column in work)
        room = (np.empty(size), np.empty((-(-size // BLOCK), 3)), np.empty((4, size)))
        return cls((work, columns, kind, frozen(kind), chosen, winner, *room), chosen, winner)


def _numbers(table: FloatArray, *arguments: Any) -> int:
    """What solve_partitions goes over: the menu, as often as there are partitions from its first to its last."""
    first, last = arguments[10:12]
    return int(last - first) * table.size


@partial(kernel, numbers=_numbers)
def solve_partitions(
    table: FloatArray,
    kinds: NDArray[np.uint8],
    priced: bool,
    counts: IntArray,
    types: IntArray,
    orders: IntArray,
    marginal: bool,
    goal: int,
    value: float,
    gains: FloatArray,
    best: FloatArray,
    first: int,
    last: int,
    results: FloatArray,
    work: FloatArray,
    columns: Columns,
    kind: NDArray[np.uint8],
    kind_read: NDArray[np.uint8],
    chosen: IntArray,
    winner: IntArray,
    v: FloatArray,
    sums: FloatArray,
    out: FloatArray,
) -> int:
    """Solve partitions first..last-1; returns the passes made.

    table (COLUMNS, K, N), kinds (K, N): of the menu. work and kind are written, columns and kind_read are the same
    memory. results (P, 6): rows first..last-1 written. chosen (N,), written: the assignment of the last partition.
    best (3,), updated where there are gains: the greatest gain / T, its energy, its partition; winner (N,): its
    assignment. Partitions that cannot beat the best are not solved.
    """
    n = v.shape[0]
    passes = 0
    taken = np.empty(n, dtype=np.int64)
    nothing = np.empty((4, 0))
    state = np.empty(STATE)
    cold, zero, blocks = bool(np.bool_(False)), int(np.int64(0)), sums.shape[0]  # literals would compile anew
    for p in range(first, last):
        order = orders[p] if orders.shape[0] > 1 else orders[0]
        _fill(counts[p], types, order, taken)
        chosen[:] = taken
        needed = (
            gains[p] / best[0] if gains.shape[0] > 0 and best[0] > 0.0 else math.inf
        )  # a winner is shorter than this
        found, score = math.inf, math.inf  # duration and what is minimised: T, E, or E + price T
        results[p, STOPPED], results[p, NEEDED] = SCREENED, needed
        for turn in range(_ROUNDS + 1 if marginal else 1):
            if turn > 0:
                T = value if goal == _DEADLINE else min(found, needed)
                if math.inf == T:
                    T = 2.0 * results[p, LEAST_TIME]
                if not math.inf > T:
                    break
                _by_marginal(
                    table,
                    kinds,
                    priced,
                    counts[p],
                    types,
                    T,
                    order,
                    taken,
                    work,
                    columns,
                    kind,
                    kind_read,
                    v,
                    sums,
                    out,
                )
                passes += 2
            _gather(table, kinds, taken, work, kind)
            t_min, t_flat, e_inf = limits_of(kind_read, columns, n, zero, blocks)
            if turn == 0 or t_min < results[p, LEAST_TIME]:
                results[p, LEAST_TIME] = t_min
            if turn == 0 or e_inf < results[p, LEAST_ENERGY]:
                results[p, LEAST_ENERGY] = e_inf
            budget = raised(goal, value, e_inf, t_flat)
            stop = _verdict(goal, budget, t_min, t_flat, e_inf)
            state[:] = 0.0
            begin(state, float(goal), budget, t_min, t_flat, e_inf)
            if stop == 0 and goal != _PRICE:
                limit = value if goal == _DEADLINE else min(needed, found)
                tied = 1.0 + 1e-14  # an equal utility may still cost less energy
                stop = _LOSES if (value > needed * tied if goal == _DEADLINE else t_min > limit * tied) else 0
                if stop == 0 and limit < math.inf and goal != _DEADLINE:
                    price_blocks(kind_read, columns, priced, limit, v, cold, CLOSE, sums, nothing, zero, blocks)
                    passes += 1
                    stop = _LOSES if _total(sums) > (value * limit if goal == _POWER else budget) else 0
                    state[T_NOW] = limit
            if stop == 0:
                search(kind_read, columns, priced, state, v, cold, sums, out)
                passes += max(int(state[PASSES]), 1)
                T, e = state[T_NOW], _total(sums)
                reached = T if goal < _DEADLINE else (e if goal == _DEADLINE else e + value * T)
                if goal == _DEADLINE and e == math.inf:  # no power that is a number is enough
                    stop = _TOO_SHORT
                elif reached < score * (1.0 - 1e-12) or score == math.inf:
                    found, score = T, reached
                    results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = T, e, state[STOP]
                    chosen[:] = taken
                else:
                    stop = _LOSES
            if stop != 0 and stop != _LOSES and found == math.inf:
                results[p, STOPPED] = stop
            if stop != 0 and turn > 0:  # the marginal order brings nothing more
                break
        if gains.shape[0] > 0 and found < math.inf:
            reached, e = gains[p] / found, results[p, ENERGY]
            if reached > best[0] or (reached == best[0] and e < best[1]):
                best[0], best[1], best[2] = reached, e, p
                winner[:] = chosen
    return passes


@stage
def _fill(counts: IntArray, types: IntArray, order: IntArray, taken: IntArray) -> None:
    """Types from large to small to the rows in order."""
    at = 0
    for k in types:
        for _ in range(counts[k]):
            taken[order[at]] = k
            at += 1


@stage
def _gather(
    table: FloatArray, kinds: NDArray[np.uint8], taken: IntArray, work: FloatArray, kind: NDArray[np.uint8]
) -> None:
    """The columns of every row under its type."""
    for j in range(work.shape[0]):
        for i in range(taken.shape[0]):
            work[j, i] = table[j, taken[i], i]
    for i in range(taken.shape[0]):
        kind[i] = kinds[taken[i], i]


@stage
def _by_marginal(
    table: FloatArray,
    kinds: NDArray[np.uint8],
    priced: bool,
    counts: IntArray,
    types: IntArray,
    T: float,
    order: IntArray,
    taken: IntArray,
    work: FloatArray,
    columns: Columns,
    kind: NDArray[np.uint8],
    kind_read: NDArray[np.uint8],
    v: FloatArray,
    sums: FloatArray,
    out: FloatArray,
) -> None:
    """Match by e(largest type used) - e(smallest type used) at T; rows that cannot take the largest come last."""
    n = v.shape[0]
    largest, smallest = -1, -1
    for k in types:
        if counts[k] > 0:
            largest = k if largest < 0 else largest
            smallest = k
    cold, zero = bool(np.bool_(False)), int(np.int64(0))
    extra = np.empty(n)
    for turn in range(2):
        taken[:] = largest if turn == 0 else smallest
        _gather(table, kinds, taken, work, kind)
        price_blocks(kind_read, columns, priced, T, v, cold, CLOSE, sums, out, zero, sums.shape[0])
        for i in range(n):
            energy = out[2, i]
            if turn == 0:
                extra[i] = energy
            elif extra[i] < math.inf:
                extra[i] -= energy
    ranked = order.copy()
    argsort(extra, ranked)
    _fill(counts, types, ranked, taken)


@stage
def _verdict(goal: int, value: float, t_min: float, t_flat: float, e_inf: float) -> int:
    """What the limits alone decide against a matching; 0 where it has a duration."""
    if t_min == math.inf:
        return _UNREACHABLE
    if goal == _DEADLINE:
        return _TOO_SHORT if value < t_min * ROUNDING else 0
    if goal == _ENERGY and (value < e_inf or (value == e_inf and t_flat == math.inf)):
        return _TOO_LITTLE
    free = e_inf == 0.0 and t_flat <= t_min  # nobody computes or sends
    return _TOO_LITTLE if goal == _POWER and value == 0.0 and not free else 0


@stage
def _total(sums: FloatArray) -> float:
    """The energy of all blocks."""
    e = 0.0
    for b in range(sums.shape[0]):
        e += sums[b, 0]
    return e
