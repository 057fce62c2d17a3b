"""The safe path of level 3: one row at a time, by bisection in logarithms, for rows the fast path does not fit."""

from __future__ import annotations

import math

from solvers.blocks import IDLE, NO_WORK, ORDINARY
from solvers.compile import inlined, stage
from solvers.curvature import HAIR
from solvers.elementary import EXP_MAX, marginal_given
from solvers.fill import energy_of


@inlined
def clip(
    t: float, tau: float, left: float, t_low: float, t_high: float, tau_low: float, tau_high: float
) -> tuple[float, float]:
    """t to [max(t_low, left - tau_high), min(t_high, left - tau_low)] and tau = left - t, no digit lost."""
    tau = left - t_low if t <= t_low else (left - t_high if t >= t_high else tau)
    t = min(max(t, t_low), t_high)
    t = left - tau_low if tau <= tau_low else (left - tau_high if tau >= tau_high else t)
    tau = min(max(tau, tau_low), tau_high)
    return min(max(t, t_low), t_high), tau


@inlined
def _log_marginal(log_x: float) -> float:
    """ln F(x) from ln x, any size."""
    if log_x < -18.0:
        return 2.0 * log_x - math.log(2.0) + 2.0 / 3.0 * math.exp(log_x)
    if log_x > 30.0:
        return math.exp(min(log_x, EXP_MAX))
    x = math.exp(log_x)
    if x > 50.0:
        return x + math.log(x - 1.0)
    return math.log(marginal_given(x, math.exp(x)))


@inlined
def _log_add(p: float, q: float) -> float:
    """ln(e^p + e^q)."""
    high, low = max(p, q), min(p, q)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@stage
def _safe_root(left: float, k: float, a: float, gamma: float, d: float) -> float:
    """The root v of H by bisection in logarithms: no number of the row can overflow it."""
    log_left = math.log(left)
    log_c = math.log(2.0) + math.log(k) + math.log(gamma) - 3.0 * log_left
    log_l = math.log(a) - log_left
    log_d = math.log(gamma * abs(d)) if d != 0.0 else -math.inf
    low, high = -2000.0, 2000.0
    for _ in range(200):
        v = 0.5 * (low + high)
        if v in (low, high):
            break
        minus_log_u = v + math.log1p(math.exp(-v)) if v > 0.0 else math.log1p(math.exp(v))
        work = log_c + 3.0 * (minus_log_u - v)
        upload = _log_marginal(log_l + minus_log_u)
        h = _log_add(work, log_d) - upload if d > 0.0 else work - _log_add(upload, log_d)
        if h > 0.0:
            low = v
        else:
            high = v
    return 0.5 * (low + high)


@stage
def safe_row(
    what: int,
    T: float,
    left: float,
    k: float,
    a: float,
    gamma: float,
    t_low: float,
    t_high: float,
    tau_low: float,
    tau_high: float,
    t_free: float,
    tau_free: float,
    p_s: float,
    p_c: float,
    fixed: float,
) -> tuple[float, float, float, float, float, float]:
    """v, t, tau, energy, price and curvature (as in curve_block) of any feasible row, scalar and safe."""
    if what == IDLE:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    v, t, tau = 0.0, t_free, tau_free
    slack = t_free + tau_free <= left
    if not slack and left > 0.0:
        if what == ORDINARY:
            v = _safe_root(left, k, a, gamma, p_c - p_s)
            t = left / (1.0 + math.exp(-v)) if v > -700.0 else 0.0
            tau = left / (1.0 + math.exp(v)) if v < 700.0 else 0.0
        elif what == NO_WORK:
            t, tau = 0.0, left
        else:
            t, tau = left, 0.0
        t, tau = clip(t, tau, left, t_low, t_high, tau_low, tau_high)
    elif not slack:  # no time left to send in: p_max = inf, and endless energy
        t, tau = t_low, tau_low
    energy = energy_of(k, a, gamma, p_s, p_c, fixed, t, tau)
    price, curve = 0.0, 0.0
    if not slack and what == NO_WORK:
        x = a / tau
        e_x = math.exp(min(x, EXP_MAX))
        price = marginal_given(x, e_x) / gamma - p_c if tau < tau_high else 0.0
        curve = x * x * e_x / gamma / tau
    elif not slack and what != ORDINARY:
        price = 2.0 * k / (t * t * t) - p_s if t < t_high else 0.0
        curve = 6.0 * k / (t * t * t) / t
    elif not slack:
        x = a / tau
        e_x = math.exp(min(x, EXP_MAX))
        by_work = 2.0 * k / (t * t * t) - p_s if t < t_high else 0.0
        by_upload = marginal_given(x, e_x) / gamma - p_c if tau < tau_high else 0.0
        free_t, free_tau = t_low < t < t_high, tau_low < tau < tau_high
        better = by_upload if p_c < p_s else by_work  # both are the price there: less to subtract, more digits
        price = better if free_t and free_tau else max(by_work, by_upload)
        curve_t, curve_tau = 6.0 * k / (t * t * t) / t, x * x * e_x / gamma / tau
        free_t, free_tau = free_t and t > t_low + HAIR * T, free_tau and tau > tau_low + HAIR * T
        of_t = free_t or (not free_tau and by_work >= by_upload)
        one = curve_t if of_t else curve_tau
        curve = 1.0 / (1.0 / curve_t + 1.0 / curve_tau) if free_t and free_tau else one
    return v, t, tau, energy, max(price, 0.0), curve
