"""Level 3, compiled: the least energy of every row for a duration, a block of rows at a time.

With T' = T - t_0 - t_d, s = t/T' and l = a/T', c = 2 kappa W^3 gamma / T'^3 the interior optimum solves
c/s^3 + d+ = F(l/(1-s)) + d-, where d+ - d- = gamma (P_c - P_s) and F(x) = 1 + (x-1) e^x. In log-odds v = ln(t/tau)

    H(v) = ln(c/s^3 + d+) - ln(F + d-),   s = 1/(1 + e^-v),

falls strictly; Halley's step from a good start takes three evaluations. Everything is dimensionless, so units cannot
matter, and v keeps the digits that T' - t would lose. Then t is clipped to its range. Rows the fast path does not
fit (nothing to compute or to send, numbers beyond its range) take a slow and safe path of their own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.compile import inlined, kernel
from solvers.elementary import EXP_MAX, exp, expm1_given, log, marginal_given
from solvers.limits import inverse_marginal
from solvers.plan import BLOCK, COLUMNS, IDLE, NO_WORK, ORDINARY, Columns, Plan, at, energy_of, feasible_rows, make_plan
from solvers.rows import FloatArray, Point, Rows

EXACT = 3e-6  # a Halley step below this leaves an error of its cube: the last digit
CLOSE = 1e-3  # enough for the energy, whose error is the square of v's

_STEPS = 12  # Halley steps before a row is handed to the safe path
_V_MAX = 690.0


def allocate(rows: Rows, duration: float) -> Point:
    """The least-energy point of every row within ``duration`` [s]; (N,) arrays; relative error below 1e-13."""
    plan = make_plan(rows)
    return point(rows, plan, duration, np.zeros(plan.size), warm=False)


def point(rows: Rows, plan: Plan, duration: float, v: FloatArray, *, warm: bool) -> Point:
    """The point of every row of a plan; ``v`` (N,) holds the log-odds of a near duration where ``warm``."""
    out = np.empty((4, plan.size))
    sums = np.empty((plan.blocks, 3))
    price_blocks(plan.kind, plan.columns, plan.priced, duration, v, warm, EXACT, 0, plan.blocks, sums, out)
    return complete(rows, plan, duration, out)


def complete(rows: Rows, plan: Plan, duration: float, out: FloatArray) -> Point:
    """Frequencies and efficiencies for the times, energies and prices in ``out`` (4, N)."""
    t, tau, energy, price = out
    f, x = np.empty(plan.size), np.empty(plan.size)
    fill_decision(
        rows.work, rows.frequency_min, rows.frequency_max, plan.columns[2], rows.snr, rows.power_max, t, tau, f, x
    )
    if plan.kind.shape[0] > 1 or plan.kind[0] != ORDINARY:
        _complete_others(rows, plan, price, f, x)
    feasible = np.ones(plan.size, dtype=np.bool_)
    if duration < plan.t_min:
        feasible = feasible_rows(plan, duration)
        for column in (f, x, t, tau, price):
            column[~feasible] = np.nan
        energy[~feasible] = np.inf
    return Point(
        frequency=f, efficiency=x, compute_time=t, upload_time=tau, energy=energy, price=price, feasible=feasible
    )


def _complete_others(rows: Rows, plan: Plan, price: FloatArray, f: FloatArray, x: FloatArray) -> None:
    """f(lambda) for rows without work, x(lambda) for rows without upload, 0 for idle rows."""
    r = rows.full()
    no_work, no_upload = r.work == 0.0, r.bits == 0.0
    with np.errstate(all="ignore"):
        free_f = np.cbrt((price + r.static_power) / (2.0 * r.capacitance))
        free_x = inverse_marginal(r.snr * (price + r.circuit_power))
        x_min, x_max = np.log1p(r.snr * r.power_min), np.log1p(r.snr * r.power_max)
        np.copyto(f, np.clip(free_f, r.frequency_min, r.frequency_max), where=no_work)
        np.copyto(x, np.clip(free_x, x_min, x_max), where=no_upload)
    f[r.idle] = 0.0
    x[r.idle] = 0.0


@kernel
def price_blocks(
    kind: NDArray[np.uint8],
    columns: Columns,
    priced: bool,
    T: float,
    v: FloatArray,
    warm: bool,
    tolerance: float,
    first: int,
    last: int,
    sums: FloatArray,
    out: FloatArray,
) -> None:
    """Price the rows of blocks first..last-1 at duration T [s].

    kind, columns, priced: of the plan. v (N,): log-odds, read where ``warm`` and always written.
    sums (blocks, 3), written: energy [J], -dE/dT [W] and d2E/dT2 [W/s] to the right of T, of each block.
    out (4, N), written; or (4, 0): t, tau [s], energy [J], price [W]. Rows that cannot meet T: energy inf, times
    and price garbage.
    """
    constant = np.empty((COLUMNS, BLOCK))  # columns that are one number
    for j in range(COLUMNS):
        constant[j, :] = columns[j][0]
    scratch = np.empty((6, BLOCK))
    t_, tau_, energy_, price_, curve_, error_ = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    ordinary = kind.shape[0] == 1 and kind[0] == ORDINARY
    writes = out.shape[1] > 0
    for block in range(first, last):
        start = block * BLOCK
        stop = min(start + BLOCK, v.shape[0])
        n = stop - start
        fixed, k, a = _view(columns[0], constant[0], start, n), _view(columns[1], constant[1], start, n), _view(columns[2], constant[2], start, n)
        gamma, t_low, t_high = _view(columns[3], constant[3], start, n), _view(columns[4], constant[4], start, n), _view(columns[5], constant[5], start, n)
        tau_low, tau_high = _view(columns[6], constant[6], start, n), _view(columns[7], constant[7], start, n)
        t_free, tau_free = _view(columns[8], constant[8], start, n), _view(columns[9], constant[9], start, n)
        p_s, p_c = _view(columns[10], constant[10], start, n), _view(columns[11], constant[11], start, n)
        e_fixed, anchor = _view(columns[12], constant[12], start, n), _view(columns[13], constant[13], start, n)
        w = v[start:stop]
        if not warm:
            for i in range(n):
                per = 1.0 / (T - fixed[i])
                l = a[i] * per
                c = 2.0 * (k[i] * per) * (gamma[i] * per) * per
                w[i] = _start(c, l)
            if priced:
                for i in range(n):
                    w[i] = _anchored(w[i], T - fixed[i], p_c[i] - p_s[i], anchor[i])
        for _ in range(_STEPS):
            bad = 0
            for i in range(n):
                left = T - fixed[i]
                per = 1.0 / left
                l = a[i] * per
                c = 2.0 * (k[i] * per) * (gamma[i] * per) * per
                if priced:
                    d = gamma[i] * (p_c[i] - p_s[i])
                    step, x = _halley_priced(w[i], c, l, max(d, 0.0), max(-d, 0.0))
                else:
                    step, x = _halley(w[i], c, l)
                w[i] = min(max(w[i] + step, -_V_MAX), _V_MAX)
                slack = t_free[i] + tau_free[i] <= left
                error = abs(step) * (1.0 + x)
                error = error if x < EXP_MAX else math.inf
                error_[i] = 0.0 if slack else error
                bad += 0 if error_[i] <= tolerance else 1
            if bad == 0:
                break
        for i in range(n):
            left = T - fixed[i]
            e_v = exp(w[i])
            u = 1.0 / (1.0 + e_v)
            slack = t_free[i] + tau_free[i] <= left
            t, tau = _clip(left * (e_v * u), left * u, left, t_low[i], t_high[i], tau_low[i], tau_high[i])
            t = t_free[i] if slack else t
            tau = tau_free[i] if slack else tau
            e, lam, curve = _value(k[i], a[i], gamma[i], p_s[i], p_c[i], t, tau, t_low[i], t_high[i], tau_low[i], tau_high[i])
            t_[i] = t
            tau_[i] = tau
            energy_[i] = e + e_fixed[i]
            price_[i] = 0.0 if slack else lam
            curve_[i] = 0.0 if slack else curve
        if bad > 0 or not ordinary or T == math.inf:
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                if what != ORDINARY or not error_[i] <= tolerance or not (t_[i] < math.inf and tau_[i] < math.inf):
                    w[i], t_[i], tau_[i], energy_[i], price_[i], curve_[i] = _safe_row(
                        what, T - fixed[i], k[i], a[i], gamma[i], t_low[i], t_high[i], tau_low[i], tau_high[i],
                        t_free[i], tau_free[i], p_s[i], p_c[i], e_fixed[i],
                    )
        infeasible = 0
        for i in range(n):
            infeasible += 0 if T >= fixed[i] + (t_low[i] + tau_low[i]) else 1
        if infeasible > 0:
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                if what != IDLE and not T >= fixed[i] + (t_low[i] + tau_low[i]):
                    energy_[i] = math.inf
        e_sum, price_sum, curve_sum = 0.0, 0.0, 0.0
        for i in range(n):
            e_sum += energy_[i]
            price_sum += price_[i]
            curve_sum += curve_[i]
        sums[block, 0] = e_sum
        sums[block, 1] = price_sum
        sums[block, 2] = curve_sum
        if writes:
            for i in range(n):
                out[0, start + i] = t_[i]
                out[1, start + i] = tau_[i]
                out[2, start + i] = energy_[i]
                out[3, start + i] = price_[i]


@inlined
def _view(column: FloatArray, constant: FloatArray, start: int, n: int) -> FloatArray:
    """Rows start..start+n-1 of a column, as a slice: indexing with an offset would not vectorise."""
    return column[start : start + n] if column.shape[0] > 1 else constant[:n]


@inlined
def _start(c: float, l: float) -> float:
    """A first v. Small x has F = x^2/2: 3v = ln k + ln(1 + e^v), k = 2c/l^2; large x has ln F = x + ln(x - 1)."""
    log_c = log(min(max(c, 1e-290), 1e290))
    log_k = log(min(max(2.0 * c / (l * l), 1e-290), 1e290))
    y = log_k * (1.0 / 3.0) if log_k < 0.0 else 0.5 * log_k
    y = (log_k + log(1.0 + exp(y))) * (1.0 / 3.0)
    large = l * (1.0 + exp(y)) > 1.5
    narrow = l > 1.5  # then x > l cannot be small, and s may be
    by_work = (log_c - l - log(max(l - 1.0, 0.37))) * (1.0 / 3.0)
    for _ in range(2):
        log_f = log_c + 3.0 * log(1.0 + exp(-y))
        x = max(1.5, log_f - log(max(log_f - 1.0, 0.5)))
        odds = x / l - 1.0
        by_upload = log(max(odds, 1e-30))
        bound = by_upload if odds > 0.0 else (by_work if narrow else y)
        bound = min(bound, by_work) if narrow and odds <= 0.3 else bound
        y = min(y, bound) if large else y
    return y


@inlined
def _anchored(v: float, left: float, d: float, anchor: float) -> float:
    """A first v with static or circuit power: on the right side of the anchor."""
    if anchor >= left:
        return v
    odds = math.log((left - anchor) / anchor)
    return max(v, odds) if d > 0.0 else min(v, -odds)


@inlined
def _halley(v: float, c: float, l: float) -> tuple[float, float]:
    """Halley's step for H(v) = ln c - 3 ln s - ln F(l/(1-s)), and x = l/(1-s)."""
    e_v = exp(v)
    w = 1.0 + e_v
    u = 1.0 / w  # 1 - s
    s = e_v * u
    x = l * w
    near = min(x, EXP_MAX)
    e_x = exp(near)
    per_f = 1.0 / marginal_given(near, e_x)
    r = 1.0 + 1.0 / e_v  # 1/s
    h = log((c * r) * (r * r) * per_f)
    g = near * near * e_x * per_f
    h1 = -(3.0 * u + s * g)
    h2 = s * (3.0 * u - u * g - s * g * (2.0 + near - g))
    below = 2.0 * h1 * h1 - h * h2
    step = -2.0 * h * h1 / below if below > 0.0 else -h / h1
    return min(max(step, -30.0), 30.0), x


@inlined
def _halley_priced(v: float, c: float, l: float, up: float, down: float) -> tuple[float, float]:
    """Halley's step for H(v) = ln(c/s^3 + up) - ln(F(l/(1-s)) + down), and x = l/(1-s)."""
    e_v = exp(v)
    w = 1.0 + e_v
    u = 1.0 / w
    s = e_v * u
    x = l * w
    near = min(x, EXP_MAX)
    e_x = exp(near)
    f = marginal_given(near, e_x)
    r = 1.0 + 1.0 / e_v
    work = (c * r) * (r * r)
    h = log((work + up) / (f + down))
    share, part = work / (work + up), f / (f + down)  # A and D
    g = near * near * e_x / f
    h1 = -(3.0 * u * share + s * g * part)
    h2 = 3.0 * s * u * share + 9.0 * u * u * share * (1.0 - share)
    h2 -= part * s * (u * g + s * g * (2.0 + near - g)) + s * s * g * g * part * (1.0 - part)
    below = 2.0 * h1 * h1 - h * h2
    step = -2.0 * h * h1 / below if below > 0.0 else -h / h1
    return min(max(step, -30.0), 30.0), x


@inlined
def _clip(
    t: float, tau: float, left: float, t_low: float, t_high: float, tau_low: float, tau_high: float
) -> tuple[float, float]:
    """t to [max(t_low, left - tau_high), min(t_high, left - tau_low)] and tau = left - t, no digit lost."""
    tau = left - t_low if t <= t_low else (left - t_high if t >= t_high else tau)
    t = min(max(t, t_low), t_high)
    t = left - tau_low if tau <= tau_low else (left - tau_high if tau >= tau_high else t)
    tau = min(max(tau, tau_low), tau_high)
    return min(max(t, t_low), t_high), tau


@inlined
def _value(
    k: float, a: float, gamma: float, p_s: float, p_c: float, t: float, tau: float,
    t_low: float, t_high: float, tau_low: float, tau_high: float,
) -> tuple[float, float, float]:
    """Energy [J] without the fixed part, least price [W], curvature [W/s] at times that fill the duration."""
    per_t = 1.0 / t
    x = a / tau
    near = min(x, EXP_MAX)
    e_x = exp(near)
    per_gamma = 1.0 / gamma
    work = k * per_t * per_t
    energy = (work + p_s * t) + tau * (per_gamma * expm1_given(near, e_x) + p_c)
    # A variable that can still grow names its marginal; the least price is the greater of the two.
    by_work = 2.0 * work * per_t - p_s if t < t_high else 0.0
    by_upload = per_gamma * marginal_given(near, e_x) - p_c if tau < tau_high else 0.0
    price = max(max(by_work, by_upload), 0.0)
    curve_t = 6.0 * work * per_t * per_t
    curve_tau = x * x * e_x * per_gamma / tau
    free_t = t > t_low and t < t_high
    free_tau = tau > tau_low and tau < tau_high
    both = curve_t * (curve_tau / (curve_t + curve_tau))
    one = curve_t if free_t or (not free_tau and by_work >= by_upload) else curve_tau
    return energy, price, both if free_t and free_tau else one


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


@inlined
def _safe_root(left: float, k: float, a: float, gamma: float, d: float) -> float:
    """The root v of H by bisection in logarithms: no number of the row can overflow it."""
    log_left = math.log(left)
    log_c = math.log(2.0) + math.log(k) + math.log(gamma) - 3.0 * log_left
    log_l = math.log(a) - log_left
    log_d = math.log(gamma * abs(d)) if d != 0.0 else -math.inf
    low, high = -2000.0, 2000.0
    for _ in range(200):
        v = 0.5 * (low + high)
        if v == low or v == high:
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


@inlined
def _safe_row(
    what: int, left: float, k: float, a: float, gamma: float, t_low: float, t_high: float, tau_low: float,
    tau_high: float, t_free: float, tau_free: float, p_s: float, p_c: float, fixed: float,
) -> tuple[float, float, float, float, float, float]:
    """v, t, tau, energy, price and curvature of any feasible row, scalar and safe."""
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
        t, tau = _clip(t, tau, left, t_low, t_high, tau_low, tau_high)
    energy = energy_of(k, a, gamma, p_s, p_c, fixed, t, tau)
    price, curve = 0.0, 0.0
    if not slack and what == NO_WORK:
        x = a / tau
        e_x = math.exp(min(x, EXP_MAX))
        price = marginal_given(x, e_x) / gamma - p_c if tau < tau_high else 0.0
        curve = x * x * e_x / gamma / tau
    elif not slack and what != ORDINARY:
        price = 2.0 * k / (t * t * t) - p_s if t < t_high else 0.0
        curve = 6.0 * k / (t * t * t * t)
    elif not slack:
        _, price, curve = _value(k, a, gamma, p_s, p_c, t, tau, t_low, t_high, tau_low, tau_high)
    return v, t, tau, energy, max(price, 0.0), curve


@kernel
def fill_decision(
    work: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    a: FloatArray,
    snr: FloatArray,
    p_max: FloatArray,
    t: FloatArray,
    tau: FloatArray,
    f: FloatArray,
    x: FloatArray,
) -> None:
    """f = W/t [Hz] and x = a/tau [nat] of every row, kept within their ranges against rounding."""
    for i in range(f.shape[0]):
        f[i] = min(max(at(work, i) / t[i], at(f_min, i)), at(f_max, i))
    for i in range(x.shape[0]):
        x[i] = at(a, i) / tau[i]
