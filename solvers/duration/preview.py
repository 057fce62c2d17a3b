"""Level 2 in single precision: where the search in double precision may begin, and end after a pass or two.

The same steps of the same state, by the passes of singles.py. They prove nothing: of what is found only the
duration is kept, right to some 1e-7, and the odds of the rows, moved there: one step in doubles then does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import BLOCK, ORDINARY, Columns
from solvers.compile import kernel, shared, stage
from solvers.duration.sampling import part_of, sample_of, share_of, weigh
from solvers.duration.steps import E_INF, E_NOW, GOAL, LAST, PASSES, PRICE_NOW, STOP, T_MIN, T_NOW, VALUE, advance
from solvers.fill import limits_of
from solvers.plan import Plan
from solvers.rough import SingleArray
from solvers.rows import FloatArray, Goal
from solvers.singles import moved_block, room_for, single_pass

_MANY = 1 << 9  # from this many rows on it is worth it
_TOLD_APART = 1e-4  # relative: of an energy budget, what has to be left above E_inf
_LARGE = 1 << 11  # from this many on some are searched first, as many as a block holds
_ROUGHLY, _SHARES = 0.1, 3  # relative: until a step is so short; three budgets in turn, as Aitken asks for
_SURE = 1e-3  # relative: a step this short leaves an error of its cube, less than a single tells
_PASSES = 8

_ENERGY, _PRICE = float(Goal.ENERGY), float(Goal.PRICE)


def preview(plan: Plan, state: list[float], odds: FloatArray) -> bool:
    """The first guess, T_NOW of ``state``, and the odds of its rows in ``odds`` (N,); False where it is of no use.

    All rows have to compute and send.
    """
    if (
        plan.kind.shape[0] > 1
        or plan.kind[0] != ORDINARY
        or not of_use(state[GOAL], state[VALUE], plan.size, plan.e_inf)
    ):
        return False
    numbers = np.array(state)
    if not search_roughly(plan.kind, plan.columns, plan.priced, numbers, odds):
        return False
    state[T_NOW], state[PASSES], state[LAST] = float(numbers[T_NOW]), float(numbers[PASSES]), 1.0
    return True


@shared
def of_use(goal: float, value: float, size: int, e_inf: float) -> bool:
    """Few rows are not worth it, prices may jump, and next to E_inf a single cannot tell budgets apart."""
    if size < _MANY or goal == _PRICE:
        return False
    return not (goal == _ENERGY and value - e_inf < _TOLD_APART * value)


@kernel
def search_roughly(
    kind: NDArray[np.uint8], columns: Columns, priced: bool, state: FloatArray, odds: FloatArray
) -> bool:
    """A search in single precision, to its last step but rounding; odds (N,): those of its rows, written.

    False where a row's numbers are beyond a single: state and odds are then garbage. Some rows are searched first.
    """
    found, drift = np.empty(odds.shape[0], dtype=np.float32), np.empty(odds.shape[0], dtype=np.float32)
    if odds.shape[0] >= _LARGE:
        _search_sample(kind, columns, priced, state, odds.shape[0])
    since = _go_on(columns, priced, state, _SURE, found, drift, bool(np.bool_(False)), 0.0)  # a literal compiles anew
    if not since < math.inf:
        return False
    moved_block(found, drift, since)
    for i in range(odds.shape[0]):
        odds[i] = found[i]
    return True


@stage
def _search_sample(kind: NDArray[np.uint8], columns: Columns, priced: bool, state: FloatArray, size: int) -> None:
    """T_NOW of a fresh state by some rows: with their share by number, then with those of the durations found so."""
    blocks, first = -(-size // BLOCK), int(np.int64(0))
    rows = -(-size // blocks)
    sample = sample_of(columns, blocks, rows)
    odds, drift = np.empty(rows, dtype=np.float32), np.empty(rows, dtype=np.float32)
    e_inf = limits_of(kind, sample, rows, first, first + 1)[2]
    share, since, warm = rows / size, 0.0, bool(np.bool_(False))
    ends, T, of_some, of_all = np.zeros(_SHARES), 0.0, (0.0, 0.0), (0.0, 0.0)
    for nth in range(_SHARES):
        some = state.copy()
        some[VALUE], some[E_INF] = part_of(state[GOAL], state[VALUE], state[E_INF], share, e_inf), e_inf
        if not 0.0 < some[VALUE] < math.inf:
            return
        since = _go_on(sample, priced, some, _ROUGHLY, odds, drift, warm, since)
        if not since < math.inf:
            return
        state[T_NOW], ends[nth], warm = some[T_NOW], some[T_NOW], bool(np.bool_(True))
        if nth < _SHARES - 1:
            if nth == 0:
                T = state[T_NOW]
                of_some, of_all = weigh(sample, T, rows, first, first + 1), weigh(columns, T, size, first, blocks)
            grown = state[T_NOW] / T
            share = share_of(state[GOAL], _then(of_some, T, grown), e_inf, _then(of_all, T, grown), state[E_INF])
    moved, last = ends[1] - ends[0], ends[2] - ends[1]
    ratio = last / moved  # what is off falls by it from one to the next: where that ends (Aitken)
    if abs(ratio) < 0.5:
        state[T_NOW] = max(ends[2] + last * ratio / (1.0 - ratio), state[T_MIN])


@stage
def _then(weight: tuple[float, float], T: float, grown: float) -> float:
    """What weigh() found at T, in a round ``grown`` times as long: a power of it, nearly, and one sweep is enough."""
    spent, slope = weight
    return spent * math.exp(T * slope / spent * math.log(grown)) if spent > 0.0 else 0.0


@stage
def _go_on(
    columns: Columns, priced: bool, state: FloatArray, enough: float, odds: SingleArray, drift: SingleArray, warm: bool,
    since: float,
) -> float:  # fmt: skip
    """Steps of level 2 by single_pass() from a fresh state, until one is shorter than ``enough`` times T; how long that
    one was [s], inf where numbers are beyond a single.

    odds, drift, warm, since: as there.
    """
    room = room_for(columns, odds.shape[0])
    while True:
        T = state[T_NOW]
        e, lam, curve = single_pass(columns, priced, T, odds, drift, warm, since, room)
        if not (e < math.inf and lam < math.inf):
            return math.inf
        warm = bool(np.bool_(True))
        state[E_NOW], state[PRICE_NOW] = e, lam
        advance(state, e, lam, curve)
        since = state[T_NOW] - T
        if state[STOP] != 0.0 or abs(since) <= enough * T or state[PASSES] >= _PASSES:
            return since
