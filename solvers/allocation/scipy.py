"""Level 3 with scipy: the condition of optimality as one vectorised root, `scipy.optimize.elementwise.find_root`.

Within T' = T - t_0 - t_d a row that is not free to finish early uses all of it: t = T' s, tau = T' (1 - s). In the
log-odds v = ln(t/tau) the condition 2 kappa f^3 - P_s = F(x)/gamma - P_c (section 4 of the model) has one root, its
logarithms neither overflow nor depend on units, and Chandrupatla's method brackets it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize.elementwise import find_root

from solvers.limits import efficiency_range, limits, marginal
from solvers.points import complete, free_times, least_price
from solvers.rows import ROUNDING, BackendError, FloatArray, Point, Rows

_STEEPEST = 700.0  # |v| beyond which one of both times is below the spacing of doubles in T' by 300 decades


def allocate(rows: Rows, duration: float) -> Point:
    """The least-energy point of every row within ``duration`` [s]; (N,) arrays.

    Tolerance: 1e-12 relative in t and tau on ordinary rows, 1e-9 on extreme ones; the energy keeps twice the digits
    of them, as both use up T'. Raises BackendError where scipy ends without a finite root: its ``success`` alone is
    not believed.
    """
    r = rows.full()
    least = limits(r)
    feasible = r.idle | (duration >= least.least_time * ROUNDING)
    bound = feasible & ~r.idle & (duration < least.free_time)  # time is scarce: t + tau = T'
    t, tau = free_times(r)
    price = np.zeros(len(r))
    if bound.any():
        index = np.flatnonzero(bound)
        t[index], tau[index], price[index] = _scarce(r.take(index).full(), duration)
    return complete(r, feasible, t, tau, price)


def _scarce(r: Rows, duration: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Times and price of rows that need more than t + tau = T' to be at their cheapest."""
    available = duration - r.fixed_time
    low, high, least, most = _box(r, available)
    with np.errstate(all="ignore"):
        at_low, at_high = (_balance(v, *_logs(r, available)) for v in (low, high))
        t, tau = np.where(at_low <= 0.0, least, most)
        index = np.flatnonzero((at_low > 0.0) & (at_high < 0.0) & (r.work > 0.0) & (r.bits > 0.0))
        if index.size:
            v = _root(r.take(index).full(), available[index], low[index], high[index])
            shorter = available[index] / (1.0 + np.exp(np.abs(v)))
            longer = available[index] - shorter  # takes the rounding: at the root the energy does not see it
            t[index], tau[index] = np.where(v < 0.0, (shorter, longer), (longer, shorter))
        f = np.clip(r.work / t, r.frequency_min, r.frequency_max)
        x = np.clip(r.transfer / tau, *efficiency_range(r))
    return t, tau, least_price(r, f, x)


def _box(r: Rows, available: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The log-odds that keep f and x within their bounds, and t and tau [s] at either, (2, N)."""
    x_min, x_max = efficiency_range(r)
    with np.errstate(all="ignore"):
        t_low, t_high = np.where(r.work > 0.0, (r.work / r.frequency_max, r.work / r.frequency_min), 0.0)
        tau_low, tau_high = np.where(r.bits > 0.0, (r.transfer / x_max, r.transfer / x_min), 0.0)
        least = np.stack([np.maximum(t_low, available - tau_high), np.minimum(tau_high, available - t_low)])
        most = np.stack([np.minimum(t_high, available - tau_low), np.maximum(tau_low, available - t_high)])
        low, high = np.log(least[0] / least[1]), np.log(most[0] / most[1])
    low = np.clip(low, -_STEEPEST, _STEEPEST)
    return low, np.maximum(low, np.clip(high, -_STEEPEST, _STEEPEST)), least, most


def _logs(r: Rows, available: FloatArray) -> tuple[FloatArray, ...]:
    """What the balance needs of a row: ln of 2 kappa gamma (W/T')^3, of a/T', and of gamma (P_c - P_s) by sign."""
    with np.errstate(all="ignore"):
        compute = np.log(2.0 * r.capacitance) + np.log(r.snr) + 3.0 * (np.log(r.work) - np.log(available))
        upload = np.log(r.transfer) - np.log(available)
        more = np.log(np.maximum(r.circuit_power - r.static_power, 0.0)) + np.log(r.snr)
        less = np.log(np.maximum(r.static_power - r.circuit_power, 0.0)) + np.log(r.snr)
    return compute, upload, more, less


def _balance(v: FloatArray, *logs: FloatArray) -> FloatArray:
    """ln(gamma 2 kappa f^3 + gamma (P_c - P_s)+) - ln(F(x) + gamma (P_s - P_c)+) at log-odds v; falls with v."""
    compute, upload, more, less = logs
    with np.errstate(all="ignore"):
        ln_x = upload + np.logaddexp(0.0, v)
        x = np.exp(np.minimum(ln_x, 690.0))
        near = np.where(x < 1e-8, 2.0 * ln_x - np.log(2.0) + 2.0 / 3.0 * x, np.log(marginal(np.minimum(x, 50.0))))
        ln_marginal = np.where(x > 50.0, x + np.log(x - 1.0), near)
        result: FloatArray = np.logaddexp(compute + 3.0 * np.logaddexp(0.0, -v), more) - np.logaddexp(ln_marginal, less)
    return result


def _root(r: Rows, available: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """The root of the balance between ``low`` and ``high``, where its signs differ."""
    found = find_root(_balance, (low, high), args=_logs(r, available), tolerances={"xatol": 1e-15, "xrtol": 4e-16})
    v: FloatArray = np.asarray(found.x, dtype=np.float64)
    good = np.asarray(found.success) & np.isfinite(v) & (v >= low) & (v <= high)
    if not good.all():
        worst = int(np.argmin(good))
        status = int(np.asarray(found.status)[worst])
        raise BackendError(f"scipy's find_root ended with status {status} and v = {v[worst]} between its brackets")
    return v
