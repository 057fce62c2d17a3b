"""Shared bandwidth, where to begin: a first duration and price of bandwidth, by a few rows in place of many."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solvers.access.joint import Uplinks, balance, joint
from solvers.blocks import FIXED, GAMMA, T_LOW, TAU_LOW, A, Columns, K, at
from solvers.compile import kernel
from solvers.elementary import marginal_given
from solvers.plan import Plan, frozen, plan_of
from solvers.rows import ROUNDING, Goal

Number = TypeVar("Number", bound=np.generic)

_LARGE = 4096  # from this many rows on a sample makes the first guess
_SAMPLE_LEAST, _SAMPLE_MOST, _SHARE = 256, 1024, 32  # its rows: one in so many, within these bounds
_ROUGHLY = 0.05  # relative: the step from which on a sample knows no better


def guess(uplinks: Uplinks, goal: Goal, value: float) -> tuple[float, float]:
    """A first duration [s] and price [J/channel], 0 for none; of a sample where there are many rows.

    Its part of the channel is by what is to be sent, that of the budget by kappa W^3, which is what more time saves on.
    """
    plan = uplinks.plan
    sample = _sample_of(uplinks) if plan.size >= _LARGE else None
    if sample is not None and sample.room > 0.0:  # some of it send
        few, work = sample.plan, _sum(plan, K)
        part = _sum(few, K) / work if goal is not Goal.PRICE and work > 0.0 else few.size / plan.size
        mine = few.e_inf + (value - plan.e_inf) * part if goal is Goal.ENERGY else value * part
        mine = value if goal is Goal.DEADLINE else mine
        T, mu = _first(sample, goal, mine)
        found = None
        if mu > 0.0 and mine > (few.e_inf if goal is Goal.ENERGY else 0.0):
            found = joint(sample, goal, mine, T, mu, sample.nothing, _ROUGHLY)
        if found is not None:
            return max(found.T, plan.t_min * (1.0 + 1e-9)), found.mu
    return _first(uplinks, goal, value)


def _sample_of(uplinks: Uplinks) -> Uplinks:
    """Every so manyth row."""
    plan = uplinks.plan
    stride = plan.size // min(max(plan.size // _SHARE, _SAMPLE_LEAST), _SAMPLE_MOST)

    def some(column: NDArray[Number]) -> NDArray[Number]:
        return column if column.shape[0] == 1 else frozen(column[::stride])

    columns = tuple(map(some, plan.columns))
    few = plan_of(some(plan.kind), columns, plan.priced, len(range(0, plan.size, stride)))
    power_min, power_max = map(some, uplinks.powers)
    return Uplinks(few, power_min, power_max, room=_sum(few, A) / _sum(plan, A))


def _sum(plan: Plan, column: int) -> float:
    """Of a column over all rows."""
    values = plan.columns[column]
    return float(values.sum()) * (plan.size if values.shape[0] == 1 else 1)


def _first(uplinks: Uplinks, goal: Goal, value: float) -> tuple[float, float]:
    """Twice the time it takes one after another on the whole channel, and the price there; a price of 0 for none."""
    c, plan = uplinks.plan.columns, uplinks.plan
    sending = _sum(plan, TAU_LOW) / uplinks.room
    T = value if goal is Goal.DEADLINE else 2.0 * (float((c[FIXED] + c[T_LOW]).max()) + sending) or easy(uplinks)
    if not plan.t_min * ROUNDING <= T < math.inf:
        return T, 0.0
    look = balance(uplinks, T, price_of(uplinks, T), enough=0.1)
    return (T, 0.0) if look is None else (T, look.mu)


def price_of(uplinks: Uplinks, T: float) -> float:
    """A price [J/channel] of the right size at a duration."""
    plan = uplinks.plan
    return rough_price(plan.columns, T, plan.size / uplinks.room, plan.size)


def easy(uplinks: Uplinks) -> float:
    """What all uploads take one after another at an SNR of e - 1 [s]: the scale where the least duration is 0."""
    return _sum(uplinks.plan, A) / uplinks.room


@kernel
def rough_price(columns: Columns, T: float, alike: float, size: int) -> float:
    """A price mu [J/channel] of the right size: what a part ``1/alike`` of the channel is worth to one of ``size``
    rows, on average.

    Its upload takes the time that a second would be worth to computing, had that nearly all of T: F(x) = gamma lambda,
    x about ln(1 + sqrt(2 F)).
    """
    mu, known = 0.0, 0
    for i in range(size):
        a, gamma = at(columns[A], i), at(columns[GAMMA], i)
        left = max(T - at(columns[FIXED], i), 1e-3 * T)
        worth = 2.0 * at(columns[K], i) / (left * left * left)
        x = math.log1p(math.sqrt(2.0 * gamma * alike * worth))
        tau = min(a * alike / x if x > 0.0 else math.inf, max(left - at(columns[T_LOW], i), 1e-3 * T))
        x = min(a * alike / tau, 20.0) if tau > 0.0 else math.nan
        own = tau / gamma * marginal_given(x, math.exp(x)) if gamma > 0.0 else math.nan
        if 0.0 < own < math.inf:
            mu, known = mu + own, known + 1
    return mu / known if known > 0 else 1.0
