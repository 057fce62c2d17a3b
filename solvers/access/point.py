"""From the times and prices of all rows to level 3's answer, for either scheme."""

from __future__ import annotations

import numpy as np

from solvers.access.shares import PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.blocks import ORDINARY
from solvers.plan import Plan
from solvers.points import at_price
from solvers.rows import FloatArray, Point, Rows


def point_of(rows: Rows, plan: Plan, out: FloatArray, energy: FloatArray) -> Point:
    """People's point: f = W/t; rows without work or upload take what goes with their price."""
    t, tau, x, price = out[T_OUT], out[TAU_OUT], out[X_OUT], out[PRICE_OUT]
    with np.errstate(all="ignore"):
        f = np.clip(rows.work / t, rows.frequency_min, rows.frequency_max)
    if plan.kind.shape[0] > 1 or plan.kind[0] != ORDINARY:
        others = np.flatnonzero(np.broadcast_to(plan.kind != ORDINARY, (plan.size,)))
        r = rows.take(others).full()
        free_f, free_x = at_price(r, price[others])
        f[others] = np.where(r.idle, 0.0, np.where(r.work > 0.0, f[others], free_f))
        x[others] = np.where(r.idle, 0.0, np.where(r.bits > 0.0, x[others], free_x))
    return Point(
        frequency=f, efficiency=x, compute_time=t, upload_time=tau, energy=energy, price=price,
        feasible=np.ones(plan.size, dtype=np.bool_),
    )  # fmt: skip
