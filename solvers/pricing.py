"""Pricing a block of rows: the vector stages of level 3, the mathematics of which stands in allocation/kernel.py.

Each stage is a loop over a few arrays: LLVM puts eight rows into one instruction only where it has to rule out few
overlaps of arrays (about eight pairs of a written and another array).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.compile import inlined, stage, wide
from solvers.elementary import EXP_MAX, exp, marginal_given
from solvers.rows import ROUNDING, FloatArray

V_MAX = 345.0
_LEAST_ODDS, _MOST_ODDS = 1e-150, 1e150  # e^-V_MAX, e^V_MAX: beyond, their squares leave the range of a double

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
def halley_block(
    c: FloatArray,
    l: FloatArray,
    d: FloatArray,
    odds: FloatArray,
    error: FloatArray,
    s: FloatArray,
    x: FloatArray,
    g: FloatArray,
    p: FloatArray,
) -> None:
    """One step of Halley for every row, H(v) = ln(c/s^3 + d+) - ln(F(x) + d-) with x = l/(1-s), d = gamma (P_c - P_s).

    With u = 1 - s, p = 3 u (c/s^3)/(c/s^3 + d+) and g = x^2 e^x/(F + d-):
    H' = -(p + s g), H'' = p (s + 3u - p) - s g (u + s (2 + x - g)). H is 2 artanh(z), z the difference of its two sides
    over their sum, by four terms, which are wrong by less than the step is. Divisions cost most: three here.
    odds: e^v, in and out. error: the step's size, times 1 + x; inf where a product leaves the range of a double (then
    for the safe path). s, x, g, p: scratch. Many short loops: a long chain of operations would leave the processor
    waiting.
    """
    wide()
    n = odds.shape[0]
    for i in range(n):
        w = 1.0 + odds[i]
        per = 1.0 / (odds[i] * w)
        s[i] = odds[i] * (odds[i] * per)
        x[i] = l[i] * w
        p[i] = w * w * per  # 1/s
    for i in range(n):
        p[i] = (c[i] * p[i]) * (p[i] * p[i])
        g[i] = exp(min(x[i], EXP_MAX))
    for i in range(n):
        error[i] = marginal_given(min(x[i], EXP_MAX), g[i])
    for i in range(n):
        near = min(x[i], EXP_MAX)
        left, right = p[i] + max(d[i], 0.0), error[i] + max(-d[i], 0.0)
        both, product = left + right, left * right
        per = 1.0 / (both * product)
        p[i] = 3.0 * (1.0 - s[i]) * (p[i] * (right * both) * per)
        g[i] = near * near * g[i] * ((left * both) * per)
        error[i] = (left - right) * (product * per)
        x[i] = near if _LEAST < both * product < _MOST and both < _MOST_ODDS and x[i] < EXP_MAX else math.inf
    for i in range(n):
        z, u, sg = error[i], 1.0 - s[i], s[i] * g[i]
        h = z * (2.0 + z * z * (2.0 / 3.0 + z * z * (2.0 / 5.0 + z * z * (2.0 / 7.0))))
        h1 = -(p[i] + sg)
        h2 = p[i] * (s[i] + 3.0 * u - p[i]) - sg * (u + s[i] * (2.0 + min(x[i], EXP_MAX) - g[i]))
        below = 2.0 * h1 * h1 - h * h2
        error[i] = (-2.0 * h * h1 if below > 0.0 else -h) / (below if below > 0.0 else h1)
    far = 0
    for i in range(n):
        step = min(max(error[i], -30.0), 30.0)
        s[i] = step
        error[i] = abs(step) * (1.0 + x[i])
        far += 0 if abs(step) <= 0.01 else 1
    if far == 0:
        for i in range(n):
            odds[i] += odds[i] * _expm1_near(s[i])
    else:
        for i in range(n):
            new = odds[i] * exp(s[i])
            odds[i] = new if (new > _LEAST_ODDS) & (new < _MOST_ODDS) else 1.0


@inlined
def _expm1_near(r: float) -> float:
    """e^r - 1 for |r| <= 0.01, Taylor's sum to r^6."""
    r2 = r * r
    return r + r2 * ((0.5 + r * (1.0 / 6.0)) + r2 * ((1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0)))


@stage
def times_block(
    odds: FloatArray,
    left: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    t: FloatArray,
    tau: FloatArray,
) -> None:
    """t = T' s and tau = T' (1 - s), ``odds`` = s/(1 - s); then t to its range, and tau the rest.

    The range is [max(t_low, T' - tau_high), min(t_high, T' - tau_low)].
    """
    wide()
    n = odds.shape[0]
    for i in range(n):
        tau[i] = left[i] / (1.0 + odds[i])
        t[i] = odds[i] * tau[i]
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
def settled_block(
    T: float,
    fixed: FloatArray,
    t_low: FloatArray,
    tau_low: FloatArray,
    t_free: FloatArray,
    tau_free: FloatArray,
    left: FloatArray,
    settled: FloatArray,
) -> int:
    """1 for rows with time to spare, -1 for rows that cannot meet T, 0 for those whose times are to be found.

    Returns how many are not 0.
    """
    wide()
    for i in range(left.shape[0]):
        settled[i] = 1.0 if t_free[i] + tau_free[i] <= left[i] else 0.0
    count = 0
    for i in range(left.shape[0]):
        settled[i] = settled[i] if (fixed[i] + (t_low[i] + tau_low[i])) * ROUNDING <= T else -1.0
        count += 1 if settled[i] != 0.0 else 0
    return count


@stage
def free_block(t_free: FloatArray, tau_free: FloatArray, settled: FloatArray, t: FloatArray, tau: FloatArray) -> None:
    """Rows with time to spare take the times that cost least."""
    wide()
    for i in range(t.shape[0]):
        free, found = t_free[i], t[i]  # both read always: a branch would not vectorise
        t[i] = free if settled[i] > 0.0 else found
    for i in range(t.shape[0]):
        free, found = tau_free[i], tau[i]
        tau[i] = free if settled[i] > 0.0 else found


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
    f: FloatArray,
    per_gamma: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    curve_tau: FloatArray,
) -> None:
    """Adds the upload's energy; price: the greater of computing's and F(x)/gamma - P_c where tau can grow.

    x, e_x, f, per_gamma: written, e^x, F(x) and 1/gamma.
    """
    wide()
    n = tau.shape[0]
    per = curve_tau
    for i in range(n):
        per[i] = 1.0 / tau[i]
        x[i] = min(a[i] * per[i], EXP_MAX)
    for i in range(n):
        e_x[i] = exp(x[i])
    for i in range(n):
        per_gamma[i] = 1.0 / gamma[i]
    for i in range(n):
        f[i] = marginal_given(x[i], e_x[i])
    for i in range(n):
        sent = tau[i] * ((x[i] * e_x[i] - f[i]) * per_gamma[i] + p_c[i])  # e^x - 1 = x e^x - F, cancels nowhere
        energy[i] += sent if x[i] < EXP_MAX else math.inf  # cut short above: beyond a double, never a smaller number
    for i in range(n):
        price[i] = max(price[i], f[i] * per_gamma[i] - p_c[i] if tau[i] < tau_high[i] else 0.0)
    for i in range(n):
        curve_tau[i] = x[i] * x[i] * e_x[i] * per_gamma[i] * per[i]


@stage
def inside_block(
    k: FloatArray,
    p_s: FloatArray,
    p_c: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    f: FloatArray,
    per_gamma: FloatArray,
    better: FloatArray,
    price: FloatArray,
) -> None:
    """Off all bounds both marginals are the price: the one that has less to subtract keeps more of its digits.

    f, per_gamma: F(x) and 1/gamma. better: written.
    """
    wide()
    n = t.shape[0]
    for i in range(n):
        cube = k[i] / (t[i] * t[i] * t[i])
        better[i] = f[i] * per_gamma[i] - p_c[i] if p_c[i] < p_s[i] else 2.0 * cube - p_s[i]
    for i in range(n):
        inside = (t[i] > t_low[i]) & (t[i] < t_high[i]) & (tau[i] > tau_low[i]) & (tau[i] < tau_high[i])
        one, other = max(better[i], 0.0), price[i]
        price[i] = one if inside else other


@stage
def unfinished(settled: FloatArray, error: NDArray[np.floating], tolerance: float) -> int:
    """How many rows are not settled and have an error above the tolerance."""
    wide()
    count = 0
    for i in range(error.shape[0]):
        open_, off = settled[i] == 0.0, not error[i] <= tolerance  # both read always: a branch would not vectorise
        count += 1 if open_ & off else 0
    return count


@stage
def mask_block(settled: FloatArray, price: FloatArray, curve: FloatArray) -> int:
    """Settled rows have neither price nor curvature; how many are settled otherwise than by time to spare."""
    wide()
    others = 0
    for i in range(settled.shape[0]):
        p = price[i]
        price[i] = p if settled[i] == 0.0 else 0.0
    for i in range(settled.shape[0]):
        c = curve[i]
        curve[i] = c if settled[i] == 0.0 else 0.0
        others += 1 if settled[i] < 0.0 else 0
    return others
