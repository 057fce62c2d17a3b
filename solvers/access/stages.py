"""Rows that share a channel, the vector stages of shares.py, the mathematics of which stands there and in uplink.py.

Each stage is a loop over a few arrays: LLVM puts several rows into one instruction only where it has to rule out few
overlaps of arrays. All arrays have the length of a block; units are those of the model.
"""

from __future__ import annotations

import math

from solvers.compile import inlined, stage, wide
from solvers.elementary import EXP_MAX, coarse_exp, coarse_log, exp, marginal_given
from solvers.rows import FloatArray

LEAST, MOST = 1e-140, 1e140  # of odds and efficiencies here: products stay within a double
_AT = 1.0 + 1e-13  # a power this far beyond its bound is beyond it


@stage
def grown_block(x: FloatArray, f: FloatArray, g: FloatArray, over: FloatArray) -> None:
    """F(x), g = d ln F/d ln x, and e^x - 1 = x e^x - F, which cancels nowhere."""
    wide()
    for i in range(x.shape[0]):
        near = min(x[i], EXP_MAX)
        e = exp(near)
        value = marginal_given(near, e)
        f[i] = value
        over[i] = near * e - value
        g[i] = near * near * e / value


@stage
def worths_block(
    c: FloatArray, o: FloatArray, q: FloatArray, x: FloatArray, work: FloatArray, send: FloatArray
) -> None:
    """What one more second of computing and of sending is worth, static and circuit power not deducted [W]."""
    wide()
    for i in range(o.shape[0]):
        per, w = 1.0 / (o[i] * x[i]), 1.0 + o[i]
        r = w * (x[i] * per)
        work[i] = c[i] * r * r * r
        send[i] = q[i] * w * w * (o[i] * per)


@stage
def misses_block(
    f: FloatArray, m: FloatArray, o: FloatArray, d: FloatArray, work: FloatArray, send: FloatArray, miss: FloatArray
) -> None:
    """f: by how much the first equation misses; miss: the second; work, send: their shares A, D of the logarithms."""
    wide()
    n = o.shape[0]
    for i in range(n):
        right = m[i] * (1.0 + o[i])
        f[i] = _twice_artanh((f[i] - right) / (f[i] + right))
    for i in range(n):
        left, right = work[i] + max(d[i], 0.0), send[i] + max(-d[i], 0.0)
        both, either = left * right, left + right
        per = 1.0 / (both * either)  # a division takes as long as ten products
        miss[i] = _twice_artanh((left - right) * (both * per))
        work[i] = work[i] * (right * either * per)
        send[i] = send[i] * (left * either * per)


@inlined
def _twice_artanh(z: float) -> float:
    """The logarithm of a ratio, z the difference of its two sides over their sum: four terms, wrong by less than it is.

    A step is too short where the sides are far from each other, and of full precision where it counts.
    """
    z2 = z * z
    return z * (2.0 + z2 * (2.0 / 3.0 + z2 * (2.0 / 5.0 + z2 * (2.0 / 7.0))))


@stage
def odds_block(
    f: FloatArray, g: FloatArray, work: FloatArray, send: FloatArray, o: FloatArray, miss: FloatArray
) -> None:
    """miss: becomes the step in ln o."""
    wide()
    for i in range(o.shape[0]):
        top = (1.0 + o[i]) * (miss[i] * g[i] - send[i] * f[i])
        fall = 3.0 * work[i] * g[i] + o[i] * send[i] * (2.0 * g[i] - 1.0)
        miss[i] = min(max(top / fall, -1.0), 1.0)


@stage
def move_block(low: FloatArray, high: FloatArray, miss: FloatArray, o: FloatArray, moved: FloatArray) -> None:
    """Take the step within the bounds; moved: by how much; miss: 0 where there was no way to go."""
    wide()
    for i in range(o.shape[0]):
        before, step = o[i], miss[i]
        o[i] = min(max(before * (1.0 + step * (1.0 + 0.5 * step)), low[i]), high[i])
        moved[i] = o[i] - before
        miss[i] = step if moved[i] != 0.0 else 0.0


@stage
def follow_block(
    f: FloatArray, g: FloatArray, o: FloatArray, moved: FloatArray, miss: FloatArray, x: FloatArray
) -> None:
    """x follows; miss: becomes the size of the step."""
    wide()
    for i in range(x.shape[0]):
        w = 1.0 + o[i]
        step = min(max((moved[i] - f[i] * w) / (g[i] * w), -1.0), 1.0)
        x[i] = min(max(x[i] * (1.0 + step * (1.0 + 0.5 * step)), LEAST), 650.0)
        miss[i] = max(abs(miss[i]), abs(step) * (1.0 + x[i]))


@stage
def shares_block(
    left: FloatArray, a: FloatArray, o: FloatArray, x: FloatArray, t: FloatArray, tau: FloatArray, beta: FloatArray
) -> None:
    """t, tau [s] and beta."""
    wide()
    for i in range(o.shape[0]):
        w, room = 1.0 + o[i], left[i] * x[i]
        per = 1.0 / (w * room)
        tau[i] = left[i] * (room * per)
        beta[i] = a[i] * (w * w * per)
    for i in range(o.shape[0]):
        t[i] = o[i] * tau[i]


@stage
def begin_block(m: FloatArray, c: FloatArray, q: FloatArray, o: FloatArray) -> None:
    """First guesses: small x has F = x^2/2, and then o^3 or o^(3/2) is c sqrt(2m)/q. m < 0: too late for a row."""
    wide()
    for i in range(o.shape[0]):
        z = coarse_log(min(max(c[i] / q[i] * math.sqrt(max(2.0 * m[i], 0.0)), 1e-150), 1e150))
        o[i] = coarse_exp(z * (1.0 / 3.0 if z < 0.0 else 2.0 / 3.0))


@stage
def begin_efficiency_block(m: FloatArray, o: FloatArray, x: FloatArray) -> None:
    """x for F(x) = m (1 + o), roughly."""
    wide()
    for i in range(x.shape[0]):
        f = min(max(m[i] * (1.0 + o[i]), 1e-280), 1e280)
        small = math.sqrt(2.0 * f)
        z = max(coarse_log(f), 2.0)
        large = z - coarse_log(z - coarse_log(z - 0.5))
        x[i] = small / (1.0 + 0.3 * small) if f < 3.0 else large


@stage
def begin_again_block(c: FloatArray, q: FloatArray, x: FloatArray, o: FloatArray) -> None:
    """The odds for this x, roughly: o^3 = (1 + o) c x/q."""
    wide()
    for i in range(o.shape[0]):
        z = coarse_log(min(max(c[i] / q[i] * x[i], 1e-150), 1e150))
        first = coarse_exp(z * (1.0 / 3.0 if z < 0.0 else 0.5))
        o[i] = coarse_exp((z + coarse_log(1.0 + first)) * (1.0 / 3.0))


@stage
def energies_block(
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
        square = k[i] * per * per
        energy[i] = e_fixed[i] + (square + p_s[i] * t[i])
        price[i] = square * per
        bend[i] *= 6.0 * (square * per) * per
    for i in range(t.shape[0]):
        price[i] = 2.0 * price[i] - p_s[i]


@stage
def priced_block(p_s: FloatArray, p_c: FloatArray, bend: FloatArray, worth: FloatArray, price: FloatArray) -> None:
    """price: becomes lambda, computing's or sending's: from the side that loses fewer digits where both tell."""
    wide()
    for i in range(worth.shape[0]):
        price[i] = price[i] if bend[i] < math.inf and p_s[i] <= p_c[i] else worth[i] - p_c[i]


@stage
def uploads_block(
    gamma: FloatArray, p_c: FloatArray, tau: FloatArray, beta: FloatArray, energy: FloatArray, power: FloatArray
) -> None:
    """Adds the upload's energy; power: e^x - 1, becomes gamma p."""
    wide()
    for i in range(tau.shape[0]):
        power[i] = power[i] * beta[i]
        energy[i] += tau[i] * (power[i] / gamma[i] + p_c[i])


@stage
def worth_block(mu: float, beta: FloatArray, tau: FloatArray, worth: FloatArray, per: FloatArray) -> None:
    """mu beta/tau [W]; per: 1/tau."""
    wide()
    for i in range(tau.shape[0]):
        per[i] = 1.0 / tau[i]
        worth[i] = mu * beta[i] * per[i]


@stage
def fits_block(
    miss: FloatArray, tolerance: float, power: FloatArray, g_min: FloatArray, g_max: FloatArray, price: FloatArray,
    left: FloatArray, t_low: FloatArray, energy: FloatArray, fits: FloatArray,
) -> int:  # fmt: skip
    """fits: 1 for rows that are done, power within its bounds, and no number beyond its range. Returns the others."""
    wide()
    for i in range(miss.shape[0]):
        inside = (g_min[i] <= power[i] * _AT) & (power[i] <= g_max[i] * _AT) & (left[i] > t_low[i])
        fits[i] = 1.0 if inside & (miss[i] <= tolerance) & (price[i] >= 0.0) & (energy[i] < math.inf) else 0.0
    others = 0
    for i in range(miss.shape[0]):
        others += 0 if fits[i] > 0.0 else 1
    return others


@stage
def slopes_block(beta: FloatArray, g: FloatArray, bend: FloatArray, worth: FloatArray, by_price: FloatArray) -> None:
    """bend: becomes -d lambda/dT, g: d beta/dT, by_price, 1/tau: d beta/d ln mu."""
    wide()
    for i in range(g.shape[0]):
        rest, twice = g[i] - 1.0, 2.0 * g[i] - 1.0  # d ln q/d ln tau = twice/g; d ln q/d ln mu = rest/g
        free = bend[i] < math.inf
        value, stiff = (bend[i] if free else 0.0) * g[i], twice * worth[i] * by_price[i]  # both by a factor of g
        per = 1.0 / (g[i] * twice * (stiff + value))
        kept = value * (g[i] * twice * per) if free else 1.0
        per *= stiff + value
        bend[i] = stiff * twice * per * kept
        g[i] = -beta[i] * (rest * twice * per) * by_price[i] * kept
        by_price[i] = -beta[i] * per * (twice + rest * rest * (1.0 - kept))


@stage
def scale_block(
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
        q[i] = per
        c[i] = 2.0 * (k[i] * per) * per * per
    for i in range(left.shape[0]):
        q[i] = mu * a[i] * q[i] * q[i]


@stage
def bounds_block(left: FloatArray, t_low: FloatArray, t_free: FloatArray, low: FloatArray, high: FloatArray) -> None:
    """The odds at the least and the greatest computing time."""
    wide()
    for i in range(left.shape[0]):
        low[i] = min(max(t_low[i] / max(left[i] - t_low[i], 1e-300), LEAST), MOST)
    for i in range(left.shape[0]):
        rest = left[i] - t_free[i]
        high[i] = min(max(t_free[i] / rest, low[i]), MOST) if rest > 0.0 else MOST


@stage
def held_block(
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
