"""How fast the price of every row falls with the duration, and which of its two times takes the time that is added.

Stages of pricing (pricing.py) by themselves: what Newton's step and the step by derivatives (shift.py) are made of.
"""

from __future__ import annotations

import math

from solvers.compile import stage, wide
from solvers.rows import FloatArray

HAIR = 2.0**-51  # relative to T: a bound nearer than the rounding of T may be met
_THE_SAME = 1.0 - 1e-12  # times a price: one worked out in another way


@stage
def curve_block(
    T: float,
    p_s: FloatArray,
    curve_t: FloatArray,
    curve_tau: FloatArray,
    price: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    curve: FloatArray,
) -> None:
    """d2E/dT2 [W/s]: 1/(1/phi_t + 1/phi_tau) inside, the free one's at a bound; 0 where time has no price.

    At T_min the rounding of T [s] hides which of the two is free: the one whose marginal the price is.
    """
    wide()
    hair = HAIR * T
    for i in range(t.shape[0]):
        free_t = t[i] > t_low[i] + hair and t[i] < t_high[i]
        free_tau = tau[i] > tau_low[i] + hair and tau[i] < tau_high[i]
        both = curve_t[i] * (curve_tau[i] / (curve_t[i] + curve_tau[i]))
        pays = t[i] < t_high[i] and curve_t[i] * t[i] * (1.0 / 3.0) - p_s[i] >= price[i] * _THE_SAME
        of_t = free_t or (pays and not free_tau)
        one = curve_t[i] if of_t else curve_tau[i]
        found = both if free_t and free_tau else one
        curve[i] = found if price[i] > 0.0 else 0.0


@stage
def slope_block(
    T: float,
    curve_t: FloatArray,
    curve: FloatArray,
    price: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    slope: FloatArray,
) -> None:
    """dt/dT, which is E''/phi_t where t is free; 0 where time costs nothing, NaN where both times are at a bound."""
    wide()
    hair = HAIR * T
    for i in range(t.shape[0]):
        free_t = (t[i] > t_low[i] + hair) & (t[i] < t_high[i])
        free_tau = (tau[i] > tau_low[i] + hair) & (tau[i] < tau_high[i])
        part = curve[i] / curve_t[i]
        held = 0.0 if free_tau else math.nan
        of_t = part if free_t else held
        slope[i] = of_t if price[i] > 0.0 else 0.0
