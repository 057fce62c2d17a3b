"""Level 2 in single precision: where the search in double precision may begin, and end after a pass or two.

The same steps of the same state, by the passes of singles.py. They prove nothing: of what is found only the
duration is kept, right to some 1e-8, and the odds of the rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import BLOCK, ORDINARY, Columns
from solvers.compile import kernel, shared, stage
from solvers.duration.sampling import part_of, share_of, weigh
from solvers.duration.steps import E_INF, E_NOW, GOAL, LAST, PASSES, PRICE_NOW, STOP, T_NOW, VALUE, advance
from solvers.fill import limits_of
from solvers.plan import Plan
from solvers.rough import SingleArray
from solvers.rows import FloatArray, Goal
from solvers.singles import single_pass

_MANY = 1 << 9  # from this many rows on it is worth it
_TOLD_APART = 1e-4  # relative: of an energy budget, what has to be left above E_inf
_LARGE = 1 << 11  # from this many on
_SOME, _BLOCKS, _FEW = 128, 4, 5  # rows of a block that are searched first; of that many blocks, or one in so many
_ROUGHLY, _ENOUGH = 0.1, 0.02  # relative: until a step is so short, for their share and for the duration
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
    every, whole, cold = int(np.int64(1)), int(np.int64(BLOCK)), bool(np.bool_(False))  # literals compile it once more
    found = np.empty(odds.shape[0], dtype=np.float32)
    if odds.shape[0] >= _LARGE:
        _search_sample(kind, columns, priced, state, found)
    if not _go_on(columns, priced, state, every, whole, _SURE, found, cold):
        return False
    for i in range(odds.shape[0]):
        odds[i] = found[i]
    return True


@stage
def _search_sample(
    kind: NDArray[np.uint8], columns: Columns, priced: bool, state: FloatArray, odds: SingleArray
) -> None:
    """T_NOW of a fresh state by some rows: with their share by number, then with that of the duration found so."""
    size, blocks, first = odds.shape[0], -(-odds.shape[0] // BLOCK), int(np.int64(0))
    every, whole, most, warm = int(np.int64(1)), int(np.int64(BLOCK)), int(np.int64(_SOME)), bool(np.bool_(False))
    stride = min(max(blocks // _BLOCKS, every), _FEW)
    rows, e_inf = 0, 0.0
    for block in range(0, blocks, stride):
        end = min(block * BLOCK + most, size)
        rows += end - block * BLOCK
        e_inf += limits_of(kind, columns, end, block, block + 1)[2]
    share = rows / size
    for _ in range(2):
        some = state.copy()
        some[VALUE], some[E_INF] = part_of(state[GOAL], state[VALUE], state[E_INF], share, e_inf), e_inf
        enough = _ENOUGH if warm else _ROUGHLY
        if not 0.0 < some[VALUE] < math.inf or not _go_on(columns, priced, some, stride, most, enough, odds, warm):
            return
        state[T_NOW] = some[T_NOW]
        if not warm:
            of_some = weigh(columns, state[T_NOW], size, first, blocks, stride, most)
            of_all = weigh(columns, state[T_NOW], size, first, blocks, every, whole)
            share = share_of(state[GOAL], of_some, e_inf, of_all, state[E_INF])
            warm = bool(np.bool_(True))


@stage
def _go_on(
    columns: Columns, priced: bool, state: FloatArray, stride: int, most: int, enough: float, odds: SingleArray,
    warm: bool,
) -> bool:  # fmt: skip
    """Steps of level 2 by single_pass() from a fresh state, until one is shorter than ``enough`` times T.

    stride, most, odds, warm: as there.
    """
    while True:
        T = state[T_NOW]
        e, lam, curve = single_pass(columns, priced, T, stride, most, odds, warm)
        if not (e < math.inf and lam < math.inf):
            return False
        warm = bool(np.bool_(True))
        state[E_NOW], state[PRICE_NOW] = e, lam
        advance(state, e, lam, curve)
        if state[STOP] != 0.0 or abs(state[T_NOW] - T) <= enough * T or state[PASSES] >= _PASSES:
            return True
