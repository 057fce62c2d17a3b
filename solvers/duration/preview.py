"""Level 2 in single precision: where the search in double precision may begin, and end after a pass or two.

The same steps of the same state, by the passes of singles.py. They prove nothing: of what is found only the
duration is kept, right to some 1e-8, and the odds of the rows.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.blocks import ORDINARY, Columns
from solvers.compile import kernel, shared, stage
from solvers.duration.steps import E_NOW, GOAL, LAST, PASSES, PRICE_NOW, STOP, T_NOW, VALUE, advance
from solvers.plan import Plan
from solvers.rough import SingleArray
from solvers.rows import FloatArray, Goal
from solvers.singles import single_pass

_MANY = 1 << 9  # from this many rows on it is worth it
_TOLD_APART = 1e-4  # relative: of an energy budget, what has to be left above E_inf
_SOME, _ENOUGH = 8, 0.02  # one block in so many is searched first, until a step is so short (relative)
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
    if not search_roughly(plan.columns, plan.priced, numbers, odds):
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
def search_roughly(columns: Columns, priced: bool, state: FloatArray, odds: FloatArray) -> bool:
    """A search in single precision, to its last step but rounding; odds (N,): those of its rows, written.

    False where a row's numbers are beyond a single: state and odds are then garbage. Of many blocks some are searched
    first, as if the others were like them.
    """
    every, few = int(np.int64(1)), int(np.int64(_SOME))  # literals would compile the passes once more
    found, some = np.empty(odds.shape[0], dtype=np.float32), state.copy()
    if odds.shape[0] >= _MANY * _SOME and _go_on(columns, priced, some, few, _ENOUGH, found):
        state[T_NOW] = some[T_NOW]
    if not _go_on(columns, priced, state, every, _SURE, found):
        return False
    for i in range(odds.shape[0]):
        odds[i] = found[i]
    return True


@stage
def _go_on(columns: Columns, priced: bool, state: FloatArray, stride: int, enough: float, odds: SingleArray) -> bool:
    """Steps of level 2 by single_pass() from a fresh state, until one is shorter than ``enough`` times T."""
    warm = bool(np.bool_(False))
    while True:
        T = state[T_NOW]
        e, lam, curve = single_pass(columns, priced, T, stride, odds, warm)
        if not (e < math.inf and lam < math.inf):
            return False
        warm = bool(np.bool_(True))
        state[E_NOW], state[PRICE_NOW] = e, lam
        advance(state, e, lam, curve)
        if state[STOP] != 0.0 or abs(state[T_NOW] - T) <= enough * T or state[PASSES] >= _PASSES:
            return True
