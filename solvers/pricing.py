"""Pricing a block of rows: the vector stages of level 3, the mathematics of which stands in allocation/kernel.py.

Each stage is a loop over a few arrays: LLVM puts eight rows into one instruction only where it has to rule out few
overlaps of arrays (about eight pairs of a written and another array).
"""

from __future__ import annotations

import math

from solvers.compile import inlined, stage, wide
from solvers.elementary import EXP_MAX, exp, expm1_given, log, marginal_given, rough_exp, rough_log
from solvers.rows import FloatArray

V_MAX = 690.0

_LEAST, _MOST = 1e-280, 1e280


@stage
def scale_block(
    T: float,
    fixed: FloatArray,
    k: FloatArray,
    a: FloatArray,
    gamma: FloatArray,
    left: FloatArray,
    c: FloatArray,
    l: FloatArray,
) -> None:
    """left = T' [s], l = a/T', c = 2 kappa W^3 gamma / T'^3."""
    wide()
    for i in range(left.shape[0]):
        left[i] = T - fixed[i]
    for i in range(left.shape[0]):
        per = 1.0 / left[i]
        l[i] = per
        c[i] = 2.0 * (k[i] * per) * (gamma[i] * per) * per
    for i in range(left.shape[0]):
        l[i] *= a[i]


@stage
def start_block(c: FloatArray, l: FloatArray, v: FloatArray) -> None:
    """A first v for every row. Small x has F = x^2/2: 3v = ln k + ln(1 + e^v), k = 2c/l^2.

    One Newton step with ln F = 2 ln x - ln 2 + 2x/3 + x^2/36 leaves an error of some 1e-3 where x is small.
    """
    wide()
    for i in range(v.shape[0]):
        log_k = rough_log(min(max(2.0 * c[i] / (l[i] * l[i]), 1e-290), 1e290))
        y = log_k * (1.0 / 3.0) if log_k < 0.0 else 0.5 * log_k
        y = (log_k + rough_log(1.0 + rough_exp(y))) * (1.0 / 3.0)
        w = 1.0 + rough_exp(y)
        x = min(l[i] * w, 3.0)
        h = log_k + rough_log(w) - 3.0 * y - x * (2.0 / 3.0 + x * (1.0 / 36.0))
        fall = 3.0 + (w - 1.0) * (2.0 + x * (2.0 / 3.0 + x * (1.0 / 18.0)))  # times w
        v[i] = y + min(max(h * w / fall, -3.0), 3.0)
    large = 0
    for i in range(v.shape[0]):
        large += 1 if l[i] * (1.0 + rough_exp(v[i])) > 1.5 else 0
    if large > 0:
        for i in range(v.shape[0]):
            v[i] = _bounded_start(v[i], c[i], l[i])


@inlined
def _bounded_start(y: float, c: float, l: float) -> float:
    """Large x grows much slower than its square: ln F = x + ln(x - 1) bounds v from above; then one Newton step."""
    log_c = rough_log(min(max(c, 1e-290), 1e290))
    large = l * (1.0 + rough_exp(y)) > 1.5
    narrow = l > 1.5  # then x > l cannot be small, and s may be
    per_l = 1.0 / l
    by_work = (log_c - l - rough_log(max(l - 1.0, 0.37))) * (1.0 / 3.0)
    log_f = log_c + 3.0 * rough_log(1.0 + rough_exp(-y))
    x = max(1.5, log_f - rough_log(max(log_f - 1.0, 0.5)))
    odds = x * per_l - 1.0
    bound = rough_log(max(odds, 1e-30)) if odds > 0.0 else (by_work if narrow else y)
    bound = min(bound, by_work) if narrow and odds <= 0.3 else bound
    y = min(y, bound) if large else y
    w = 1.0 + rough_exp(min(y, 600.0))  # one Newton step with ln F = x + ln(x - 1 + e^-x)
    x = min(l * w, 600.0)
    rest = max(x - 1.0 + rough_exp(-x), 1e-3)
    h = log_c + 3.0 * (rough_log(w) - y) - x - rough_log(rest)
    fall = 3.0 + (w - 1.0) * x * x / rest  # times w
    return y + min(max(h * w / fall, -1.0), 1.0) if large else y


@inlined
def anchored(v: float, left: float, d: float, anchor: float) -> float:
    """A first v with static or circuit power: on the right side of the anchor."""
    if anchor >= left:
        return v
    odds = math.log((left - anchor) / anchor)
    return max(v, odds) if d > 0.0 else min(v, -odds)


@stage
def halley_block(c: FloatArray, l: FloatArray, d: FloatArray, v: FloatArray, error: FloatArray) -> None:
    """One step for every row with d = gamma (P_c - P_s); error: its size, times 1 + x."""
    wide()
    for i in range(v.shape[0]):
        step, x = _halley(v[i], c[i], l[i], max(d[i], 0.0), max(-d[i], 0.0))
        v[i] = min(max(v[i] + step, -V_MAX), V_MAX)
        error[i] = abs(step) * (1.0 + x) if x < EXP_MAX else math.inf


@inlined
def _halley(v: float, c: float, l: float, up: float, down: float) -> tuple[float, float]:
    """Halley's step for H(v) = ln(c/s^3 + up) - ln(F(l/(1-s)) + down), and x = l/(1-s).

    With A = (c/s^3)/(c/s^3 + up), G = x^2 e^x/(F + down) and u = 1 - s:
    H' = -(3 u A + s G), H'' = 3 s u A + 9 u^2 A (1 - A) - s G (u + s (2 + x - G)). Divisions cost most: three here.
    x is inf where a product leaves the range of a double.
    """
    e_v = exp(v)
    w = 1.0 + e_v
    per = 1.0 / (e_v * w)
    u = e_v * per
    s = e_v * u
    r = w * w * per  # 1/s
    x = l * w
    near = min(x, EXP_MAX)
    e_x = exp(near)
    work = (c * r) * (r * r)
    left, right = work + up, marginal_given(near, e_x) + down
    product = left * right
    both = 1.0 / product
    x = x if _LEAST < product < _MOST else math.inf  # beyond the range of this form: left to the safe path
    h = log(left * left * both)
    share, g = work * right * both, near * near * e_x * left * both
    h1 = -(3.0 * u * share + s * g)
    h2 = 3.0 * u * share * (s + 3.0 * u * (1.0 - share)) - s * g * (u + s * (2.0 + near - g))
    below = 2.0 * h1 * h1 - h * h2
    step = (-2.0 * h * h1 if below > 0.0 else -h) / (below if below > 0.0 else h1)
    return min(max(step, -30.0), 30.0), x


@stage
def times_block(
    v: FloatArray,
    left: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    t: FloatArray,
    tau: FloatArray,
) -> None:
    """t = T' s and tau = T' (1 - s), then t to [max(t_low, T' - tau_high), min(t_high, T' - tau_low)], tau the rest."""
    wide()
    n = v.shape[0]
    for i in range(n):
        e_v = exp(v[i])
        u = 1.0 / (1.0 + e_v)
        t[i] = left[i] * (e_v * u)
        tau[i] = left[i] * u
    for i in range(n):
        tau[i] = left[i] - t_low[i] if t[i] <= t_low[i] else (left[i] - t_high[i] if t[i] >= t_high[i] else tau[i])
        t[i] = min(max(t[i], t_low[i]), t_high[i])
    for i in range(n):
        low, high = tau_low[i], tau_high[i]
        t[i] = left[i] - low if tau[i] <= low else (left[i] - high if tau[i] >= high else t[i])
        tau[i] = min(max(tau[i], low), high)
    for i in range(n):
        t[i] = min(max(t[i], t_low[i]), t_high[i])


@stage
def free_block(
    left: FloatArray, t_free: FloatArray, tau_free: FloatArray, slack: FloatArray, t: FloatArray, tau: FloatArray
) -> None:
    """Rows with time to spare (slack = 1) take the times that cost least."""
    wide()
    for i in range(left.shape[0]):
        slack[i] = 1.0 if t_free[i] + tau_free[i] <= left[i] else 0.0
    for i in range(left.shape[0]):
        t[i] = t_free[i] if slack[i] > 0.0 else t[i]
        tau[i] = tau_free[i] if slack[i] > 0.0 else tau[i]


@stage
def compute_block(
    k: FloatArray,
    p_s: FloatArray,
    e_fixed: FloatArray,
    t: FloatArray,
    t_high: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    curve_t: FloatArray,
) -> None:
    """Energy of computing and fixed part [J], marginal 2 kappa f^3 - P_s [W] where t can grow, 6 kappa W^3/t^4."""
    wide()
    per = curve_t
    for i in range(t.shape[0]):
        per[i] = 1.0 / t[i]
    for i in range(t.shape[0]):
        energy[i] = e_fixed[i] + (k[i] * per[i] * per[i] + p_s[i] * t[i])
    for i in range(t.shape[0]):
        cube = k[i] * per[i] * per[i] * per[i]
        price[i] = max(2.0 * cube - p_s[i], 0.0) if t[i] < t_high[i] else 0.0
        curve_t[i] = 6.0 * cube * per[i]


@stage
def upload_block(
    a: FloatArray,
    gamma: FloatArray,
    p_c: FloatArray,
    tau: FloatArray,
    tau_high: FloatArray,
    x: FloatArray,
    e_x: FloatArray,
    per_gamma: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    curve_tau: FloatArray,
) -> None:
    """Adds the upload's energy; price: the greater of computing's and F(x)/gamma - P_c where tau can grow."""
    wide()
    n = tau.shape[0]
    per = curve_tau
    for i in range(n):
        per[i] = 1.0 / tau[i]
        x[i] = min(a[i] * per[i], EXP_MAX)
        e_x[i] = exp(x[i])
    for i in range(n):
        per_gamma[i] = 1.0 / gamma[i]
    for i in range(n):
        sent = tau[i] * (expm1_given(x[i], e_x[i]) * per_gamma[i] + p_c[i])
        energy[i] += sent if x[i] < EXP_MAX else math.inf  # cut short above: beyond a double, never a smaller number
    for i in range(n):
        marginal = marginal_given(x[i], e_x[i]) * per_gamma[i] - p_c[i]
        price[i] = max(price[i], marginal if tau[i] < tau_high[i] else 0.0)
    for i in range(n):
        curve_tau[i] = x[i] * x[i] * e_x[i] * per_gamma[i] * per[i]


@stage
def curve_block(
    curve_t: FloatArray,
    curve_tau: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    curve: FloatArray,
) -> None:
    """d2E/dT2 [W/s]: 1/(1/phi_t + 1/phi_tau) inside, the free one's at a bound."""
    wide()
    for i in range(t.shape[0]):
        free_t = t[i] > t_low[i] and t[i] < t_high[i]
        free_tau = tau[i] > tau_low[i] and tau[i] < tau_high[i]
        both = curve_t[i] * (curve_tau[i] / (curve_t[i] + curve_tau[i]))
        one = curve_t[i] if free_t else curve_tau[i]
        curve[i] = both if free_t == free_tau else one
