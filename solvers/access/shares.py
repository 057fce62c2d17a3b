"""Rows at a duration and a price of bandwidth, compiled, a block at a time: what each takes, and the sums over all.

Most rows have their power between its bounds. With o = t/tau, T' = T - t_0 - t_d, m = mu gamma/T',
c = 2 kappa W^3/T'^3, q = mu a/T'^2 and d = P_c - P_s their optimum solves

    ln F(x) = ln(m (1 + o)),    ln(c (1 + 1/o)^3 + d+) = ln(q (1 + o)^2/x + d-)

(uplink.py has the equations). Newton's method in ln o and ln x, dimensionless, from the last answer where there is
one, o kept between computing's bounds: two logarithms and one exponential a step, no other transcendental. Rows it does
not fit (power at a bound, time to spare, nothing to compute or to send) take the scalar path.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.access.uplink import row_energy, share_row
from solvers.compile import inlined, kernel, stage, wide
from solvers.elementary import EXP_MAX, exp, expm1_given, log, marginal_given, rough_exp, rough_log
from solvers.plan import (
    BLOCK,
    E_FIXED,
    FIXED,
    GAMMA,
    IDLE,
    ORDINARY,
    P_C,
    P_S,
    T_FREE,
    T_LOW,
    A,
    Columns,
    K,
)  # fmt: skip
from solvers.rows import FloatArray

SUMS = 6
ENERGY, SHARE, PRICE, CURVE, BY_TIME, BY_PRICE = range(
    SUMS
)  # E [J], beta, lambda [W], -d lambda/dT, d beta/dT, /d ln mu
OUT = 5
T_OUT, TAU_OUT, X_OUT, BETA_OUT, PRICE_OUT = range(OUT)

EXACT = 2e-8  # a Newton step below this leaves an error of its square: the last digit
CLOSE = 1e-4

_STEPS = 25
_LEAST, _MOST = 1e-140, 1e140  # of odds and efficiencies on the fast path: products stay within a double
_AT = 1.0 + 1e-13  # a power this far beyond its bound is beyond it


@stage
def _grown(x: FloatArray, f: FloatArray, g: FloatArray) -> None:
    """F(x) and g = d ln F/d ln x."""
    wide()
    for i in range(x.shape[0]):
        near = min(x[i], EXP_MAX)
        e = exp(near)
        value = marginal_given(near, e)
        f[i] = value
        g[i] = near * near * e / value


@stage
def _worths(c: FloatArray, o: FloatArray, q: FloatArray, x: FloatArray, work: FloatArray, send: FloatArray) -> None:
    """What one more second of computing and of sending is worth, static and circuit power not deducted [W]."""
    wide()
    for i in range(o.shape[0]):
        r = 1.0 + 1.0 / o[i]
        work[i] = c[i] * r * r * r
    for i in range(o.shape[0]):
        w = 1.0 + o[i]
        send[i] = q[i] * w * w / x[i]


@stage
def _misses(
    f: FloatArray, m: FloatArray, o: FloatArray, d: FloatArray, work: FloatArray, send: FloatArray, miss: FloatArray
) -> None:
    """f: by how much the first equation misses; miss: the second; work, send: their shares A, D of the logarithms."""
    wide()
    n = o.shape[0]
    for i in range(n):
        f[i] = log(min(max(f[i] / (m[i] * (1.0 + o[i])), 1e-300), 1e300))
    for i in range(n):
        left, right = work[i] + max(d[i], 0.0), send[i] + max(-d[i], 0.0)
        miss[i] = log(min(max(left / right, 1e-300), 1e300))
        work[i] = work[i] / left
        send[i] = send[i] / right


@stage
def _odds(f: FloatArray, g: FloatArray, work: FloatArray, send: FloatArray, o: FloatArray, miss: FloatArray) -> None:
    """miss: becomes the step in ln o."""
    wide()
    for i in range(o.shape[0]):
        u = 1.0 / (1.0 + o[i])
        per = 1.0 / g[i]
        s = o[i] * u
        fall = 3.0 * u * work[i] + s * send[i] * (2.0 - per)
        miss[i] = min(max((miss[i] - send[i] * f[i] * per) / fall, -1.0), 1.0)


@stage
def _move(low: FloatArray, high: FloatArray, miss: FloatArray, o: FloatArray) -> None:
    """Take the step within the bounds; miss: what was taken of it."""
    wide()
    for i in range(o.shape[0]):
        half = 0.5 * miss[i]
        before = o[i]
        after = min(max(before * ((1.0 + half) / (1.0 - half)), low[i]), high[i])
        miss[i] = 2.0 * (after - before) / (after + before)
        o[i] = after


@stage
def _follow(f: FloatArray, g: FloatArray, o: FloatArray, miss: FloatArray, x: FloatArray) -> None:
    """x follows; miss: becomes the size of the step."""
    wide()
    for i in range(x.shape[0]):
        s = o[i] / (1.0 + o[i])
        step = min(max((s * miss[i] - f[i]) / g[i], -1.0), 1.0)
        half = 0.5 * step
        x[i] = min(max(x[i] * ((1.0 + half) / (1.0 - half)), _LEAST), 650.0)
        miss[i] = max(abs(miss[i]), abs(step) * (1.0 + x[i]))


@stage
def _shares(
    left: FloatArray, a: FloatArray, o: FloatArray, x: FloatArray, t: FloatArray, tau: FloatArray, beta: FloatArray
) -> None:
    """t, tau [s] and beta."""
    wide()
    for i in range(o.shape[0]):
        tau[i] = left[i] / (1.0 + o[i])
        t[i] = o[i] * tau[i]
    for i in range(o.shape[0]):
        beta[i] = a[i] / (tau[i] * x[i])


@stage
def _begin(m: FloatArray, c: FloatArray, q: FloatArray, o: FloatArray) -> None:
    """First guesses: small x has F = x^2/2, and then o^3 or o^(3/2) is c sqrt(2m)/q."""
    wide()
    for i in range(o.shape[0]):
        z = rough_log(min(max(c[i] / q[i] * math.sqrt(2.0 * m[i]), 1e-150), 1e150))
        o[i] = rough_exp(z * (1.0 / 3.0 if z < 0.0 else 2.0 / 3.0))


@stage
def _begin_efficiency(m: FloatArray, o: FloatArray, x: FloatArray) -> None:
    """x for F(x) = m (1 + o), roughly."""
    wide()
    for i in range(x.shape[0]):
        f = min(max(m[i] * (1.0 + o[i]), 1e-280), 1e280)
        small = math.sqrt(2.0 * f)
        z = max(rough_log(f), 2.0)
        large = z - rough_log(z - rough_log(z - 0.5))
        x[i] = small / (1.0 + 0.3 * small) if f < 3.0 else large


@stage
def _energies(
    k: FloatArray,
    p_s: FloatArray,
    e_fixed: FloatArray,
    t: FloatArray,
    energy: FloatArray,
    bend: FloatArray,
    price: FloatArray,
) -> None:
    """Of computing and download [J]; price: 2 kappa f^3 - P_s [W]; bend, 1 or inf: becomes 6 kappa W^3/t^4 or inf."""
    wide()
    for i in range(t.shape[0]):
        per = 1.0 / t[i]
        energy[i] = e_fixed[i] + (k[i] * per * per + p_s[i] * t[i])
    for i in range(t.shape[0]):
        per = 1.0 / t[i]
        price[i] = 2.0 * (k[i] * per * per) * per - p_s[i]
    for i in range(t.shape[0]):
        per = 1.0 / t[i]
        bend[i] *= 6.0 * (k[i] * per * per) * per * per


@stage
def _priced(p_s: FloatArray, p_c: FloatArray, bend: FloatArray, worth: FloatArray, price: FloatArray) -> None:
    """price: becomes lambda, computing's or sending's: from the side that loses fewer digits where both tell."""
    wide()
    for i in range(worth.shape[0]):
        price[i] = price[i] if bend[i] < math.inf and p_s[i] <= p_c[i] else worth[i] - p_c[i]


@stage
def _uploads(
    x: FloatArray, gamma: FloatArray, p_c: FloatArray, tau: FloatArray, beta: FloatArray, energy: FloatArray,
    power: FloatArray,
) -> None:  # fmt: skip
    """Adds the upload's energy; power: gamma p."""
    wide()
    n = x.shape[0]
    for i in range(n):
        near = min(x[i], EXP_MAX)
        power[i] = expm1_given(near, exp(near))
    for i in range(n):
        power[i] = power[i] * beta[i]
        energy[i] += tau[i] * (power[i] / gamma[i] + p_c[i])


@stage
def _worth(mu: float, beta: FloatArray, tau: FloatArray, worth: FloatArray) -> None:
    """mu beta/tau [W]."""
    wide()
    for i in range(tau.shape[0]):
        worth[i] = mu * beta[i] / tau[i]


@stage
def _slopes(
    beta: FloatArray, tau: FloatArray, g: FloatArray, bend: FloatArray, worth: FloatArray, by_price: FloatArray
) -> None:
    """bend: becomes -d lambda/dT, g: d beta/dT, by_price: d beta/d ln mu."""
    wide()
    n = tau.shape[0]
    for i in range(n):
        by_price[i] = worth[i] / tau[i]
    for i in range(n):
        per = 1.0 / g[i]
        fall, by_mu = 2.0 - per, 1.0 - per
        stiff = fall * by_price[i]
        kept = bend[i] / (stiff + bend[i]) if bend[i] < math.inf else 1.0
        by_price[i] = -beta[i] * (per + by_mu * by_mu / fall * (1.0 - kept))
        bend[i] = stiff * kept
        g[i] = -beta[i] * by_mu / tau[i] * kept


@kernel
def share_blocks(
    kind: NDArray[np.uint8],
    columns: Columns,
    snr_min: FloatArray,
    snr_max: FloatArray,
    T: float,
    mu: float,
    odds: FloatArray,
    nats: FloatArray,
    warm: bool,
    tolerance: float,
    sums: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Price the rows of blocks first..last-1 at a duration T [s] and a price mu [J/channel].

    kind, columns: of a plan whose bandwidth is the whole channel. snr_min, snr_max (N,) or (1,): gamma p at the bounds.
    odds, nats (N,): t/tau and x, read where ``warm`` and always written. sums (blocks, 6), written: E [J], beta,
    lambda [W], -d lambda/dT [W/s], d beta/dT [1/s], d beta/d ln mu of each block. out (5, N), written; or (5, 0): t,
    tau [s], x, beta, lambda [W]. Rows for which no bandwidth is enough have beta and lambda inf.
    """
    wide()
    constant = np.empty((16, BLOCK))  # columns that are one number
    for j in range(14):
        constant[j, :] = columns[j][0]
    constant[14, :], constant[15, :] = snr_min[0], snr_max[0]
    scratch = np.empty((17, BLOCK))
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, odds.shape[0] - start)
        fixed, k = _view(columns[FIXED], constant[FIXED], start, n), _view(columns[K], constant[K], start, n)
        a, gamma = _view(columns[A], constant[A], start, n), _view(columns[GAMMA], constant[GAMMA], start, n)
        t_low = _view(columns[T_LOW], constant[T_LOW], start, n)
        t_free = _view(columns[T_FREE], constant[T_FREE], start, n)
        p_s, p_c = _view(columns[P_S], constant[P_S], start, n), _view(columns[P_C], constant[P_C], start, n)
        e_fixed = _view(columns[E_FIXED], constant[E_FIXED], start, n)
        g_min, g_max = _view(snr_min, constant[14], start, n), _view(snr_max, constant[15], start, n)
        left, m, c, q, d = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n], scratch[4, :n]
        low, high, f, g = scratch[5, :n], scratch[6, :n], scratch[7, :n], scratch[8, :n]
        work, send, miss = scratch[9, :n], scratch[10, :n], scratch[11, :n]
        t, tau, beta, energy, bend = scratch[12, :n], scratch[13, :n], scratch[14, :n], scratch[15, :n], scratch[16, :n]
        o, x = odds[start : start + n], nats[start : start + n]

        _scale(T, mu, fixed, k, a, gamma, left, m, c, q)
        _bounds(left, t_low, t_free, low, high)
        for i in range(n):
            d[i] = p_c[i] - p_s[i]
        if not warm:
            _begin(m, c, q, o)
        for i in range(n):
            o[i] = min(max(o[i], low[i]), high[i])
        if not warm:
            _begin_efficiency(m, o, x)
        for _ in range(_STEPS):
            _grown(x, f, g)
            _worths(c, o, q, x, work, send)
            _misses(f, m, o, d, work, send, miss)
            _odds(f, g, work, send, o, miss)
            _move(low, high, miss, o)
            _follow(f, g, o, miss, x)
            bad = 0
            for i in range(n):
                bad += 0 if miss[i] <= tolerance else 1
            if bad == 0:
                break
        _shares(left, a, o, x, t, tau, beta)
        _held(low, high, left, t_low, t_free, o, t, tau, bend)
        _grown(x, f, g)
        _energies(k, p_s, e_fixed, t, energy, bend, f)
        _uploads(x, gamma, p_c, tau, beta, energy, q)
        _worth(mu, beta, tau, work)
        _priced(p_s, p_c, bend, work, f)
        _slopes(beta, tau, g, bend, work, send)
        odd = 0
        for i in range(n):
            inside = g_min[i] <= q[i] * _AT and q[i] <= g_max[i] * _AT
            well = miss[i] <= tolerance and inside and f[i] >= 0.0 and left[i] > t_low[i]
            odd += 0 if well and energy[i] < math.inf else 1
        if odd > 0 or kind.shape[0] > 1 or kind[0] != ORDINARY:
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                inside = g_min[i] <= q[i] * _AT and q[i] <= g_max[i] * _AT
                well = miss[i] <= tolerance and inside and f[i] >= 0.0 and left[i] > t_low[i]
                if what == ORDINARY and well and energy[i] < math.inf:
                    continue
                begin = o[i] if 1e-200 < o[i] < 1e200 else 0.0
                t[i], tau[i], x[i], beta[i], f[i], bend[i], g[i], send[i] = share_row(
                    what, left[i], mu, begin, k[i], a[i], gamma[i], t_low[i], t_free[i], p_s[i], p_c[i], g_min[i],
                    g_max[i],
                )  # fmt: skip
                energy[i] = 0.0
                if what != IDLE:
                    energy[i] = row_energy(k[i], a[i], gamma[i], p_s[i], p_c[i], e_fixed[i], t[i], tau[i], x[i])
                o[i] = t[i] / tau[i] if t[i] > 0.0 and tau[i] > 0.0 else 1.0
                x[i] = x[i] if x[i] > 0.0 else 1.0
        for j in range(SUMS):
            sums[block, j] = 0.0
        for i in range(n):
            sums[block, ENERGY] += energy[i]
            sums[block, SHARE] += beta[i]
            sums[block, PRICE] += f[i]
            sums[block, CURVE] += bend[i]
            sums[block, BY_TIME] += g[i]
            sums[block, BY_PRICE] += send[i]
        if out.shape[1] > 0:
            for i in range(n):
                out[T_OUT, start + i] = t[i]
                out[TAU_OUT, start + i] = tau[i]
                out[X_OUT, start + i] = x[i]
                out[BETA_OUT, start + i] = beta[i]
                out[PRICE_OUT, start + i] = f[i]


@inlined
def _view(column: FloatArray, constant: FloatArray, start: int, n: int) -> FloatArray:
    """Rows start..start+n-1 of a column, as a slice: indexing with an offset would not vectorise."""
    return column[start : start + n] if column.shape[0] > 1 else constant[:n]


@stage
def _scale(
    T: float, mu: float, fixed: FloatArray, k: FloatArray, a: FloatArray, gamma: FloatArray,
    left: FloatArray, m: FloatArray, c: FloatArray, q: FloatArray,
) -> None:  # fmt: skip
    """left = T' [s], m = mu gamma/T', c = 2 kappa W^3/T'^3 [W], q = mu a/T'^2 [W]."""
    wide()
    for i in range(left.shape[0]):
        left[i] = T - fixed[i]
    for i in range(left.shape[0]):
        per = 1.0 / left[i]
        m[i] = mu * gamma[i] * per
        c[i] = 2.0 * (k[i] * per) * per * per
    for i in range(left.shape[0]):
        per = 1.0 / left[i]
        q[i] = mu * a[i] * per * per


@stage
def _bounds(left: FloatArray, t_low: FloatArray, t_free: FloatArray, low: FloatArray, high: FloatArray) -> None:
    """The odds at the least and the greatest computing time."""
    wide()
    for i in range(left.shape[0]):
        low[i] = min(max(t_low[i] / max(left[i] - t_low[i], 1e-300), _LEAST), _MOST)
    for i in range(left.shape[0]):
        rest = left[i] - t_free[i]
        high[i] = min(max(t_free[i] / rest, low[i]), _MOST) if rest > 0.0 else _MOST


@stage
def _held(
    low: FloatArray, high: FloatArray, left: FloatArray, t_low: FloatArray, t_free: FloatArray, o: FloatArray,
    t: FloatArray, tau: FloatArray, bend: FloatArray,
) -> None:  # fmt: skip
    """Rows at a bound of t take it exactly; bend: 1 where t is free to move, else inf."""
    wide()
    n = o.shape[0]
    for i in range(n):
        bend[i] = 1.0 if o[i] > low[i] and o[i] < high[i] else math.inf
    for i in range(n):
        t[i] = t_low[i] if o[i] <= low[i] else (t_free[i] if bend[i] > 1.0 else t[i])
    for i in range(n):
        tau[i] = left[i] - t[i] if bend[i] > 1.0 else tau[i]
