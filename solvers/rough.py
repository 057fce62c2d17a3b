"""First guesses of level 3 in single precision: twice as many rows in an instruction, and functions half as long.

v = ln(t/tau) solves H(v) = ln(c/s^3 + d+) - ln(F(l/(1-s)) + d-) = 0 with s = 1/(1 + e^-v) (allocation/kernel.py says
what for). A start from logarithms, whose range no row leaves, is right to a tenth or so. Where x and F are well within
the range of a single, as they are for nearly everyone, Halley's steps in singles go on to some 1e-6, and one step in
double precision does the rest. Other rows take all their steps there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.compile import inlined, single, stage, wide
from solvers.elementary import SQRT_HALF_BITS, exp
from solvers.pricing import V_MAX
from solvers.rows import FloatArray

SingleArray = NDArray[np.float32]

_f = single  # a literal is a double, and one double makes everything around it double
_SMALL, _LARGE = _f(1.0), _f(36.0)  # below, F by its series; above, x counts as this
_LEAST, _MOST = _f(1e-18), _f(1e18)  # of F and c/s^3: the product of two is in a single's range, and so is one over it
_V_MIN, _V_MAX = _f(-12.0), _f(20.0)  # the cube of 1/s is in range, too
_LARGE_LOG = _f(0.6)  # of x from which its square is no good guess of F any more
_MAGIC64, _MAGIC64_BITS = 6755399441055744.0, 0x4338000000000000


@inlined
def _exp(x: np.float32) -> np.float32:
    """e^x for |x| <= 87, to 2.5e-7 relative."""
    z = x * _f(1.44269504) + _f(12582912.0)  # 1.5 * 2^23: adding it rounds to a whole number in the low bits
    n = z - _f(12582912.0)
    r = (x - n * _f(0.693359375)) + n * _f(2.12194440e-4)
    r2 = r * r
    p = (_f(0.5) + r * _f(0.16666667)) + r2 * (_f(0.041666667) + r * (_f(0.0083333333) + r * _f(0.0013888889)))
    e = _f(1.0) + (r + r2 * p)
    return np.int32(np.float32(e).view(np.int32) + (np.float32(z).view(np.int32) << 23)).view(np.float32)


@inlined
def _log_of(m: np.float32) -> np.float32:
    """ln m for m from sqrt(1/2) to sqrt 2, by 2 artanh((m - 1)/(m + 1))."""
    g = (m - _f(1.0)) / (m + _f(1.0))
    z = g * g
    return g * (_f(2.0) + z * (_f(0.66666667) + z * (_f(0.4) + z * _f(0.285714286))))


@inlined
def _log(x: np.float32) -> np.float32:
    """ln x for normal positive x, to 1e-7."""
    bits = np.float32(x).view(np.int32)
    k = (bits - np.int32(0x3F3504F3)) >> 23
    return np.float32(k) * _f(0.693147181) + _log_of(np.int32(bits - (k << 23)).view(np.float32))


@inlined
def _log_double(x: float) -> np.float32:
    """ln x as a single for a normal positive double of any size."""
    bits = np.float64(x).view(np.int64)
    k = (bits - SQRT_HALF_BITS) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    return np.float32(np.int64(k + _MAGIC64_BITS).view(np.float64) - _MAGIC64) * _f(0.693147181) + _log_of(
        np.float32(m)
    )


@inlined
def _coarse_exp(x: np.float32) -> np.float32:
    """e^x for |x| <= 87, to 3 %: the line through the bits of powers of two, lowered by half its greatest error."""
    return np.int32(x * _f(12102203.2) + _f(1064992506.0)).view(np.float32)


@inlined
def _coarse_log(x: np.float32) -> np.float32:
    """ln x for normal positive x, to 0.03: the inverse of _coarse_exp."""
    return np.float32(np.float32(x).view(np.int32)) * _f(8.26295829e-8) - _f(87.999887)


@inlined
def _coarse_log1pexp(y: np.float32) -> np.float32:
    """ln(1 + e^y), to 0.05."""
    z = _coarse_exp(max(-abs(y), _f(-80.0)))
    return max(y, _f(0.0)) + z * (_f(1.0) - _f(0.307) * z)


@stage
def logs_block(a: FloatArray, log_a: SingleArray) -> None:
    """ln a of every row to 0.03, by the upper half of its bits; what is not positive has any number."""
    wide()
    for i in range(a.shape[0]):
        upper = np.int32(np.float64(a[i]).view(np.int64) >> 32)
        log_a[i] = np.float32(upper) * _f(6.6103665e-7) - _f(709.05965)


@stage
def start_block(log_c: SingleArray, log_l: SingleArray, l: SingleArray, v: SingleArray, x: SingleArray) -> None:
    """A first v for every row. Small x has F = x^2/2, so that 3v = ln k + ln(1 + e^v) with k = 2c/l^2.

    Large x grows much slower than its square: ln F = x + ln(x - 1) bounds v from above. x: scratch.
    """
    wide()
    n = v.shape[0]
    for i in range(n):
        log_k = _f(0.693147181) + log_c[i] - _f(2.0) * log_l[i]
        y = log_k * (_f(1.0 / 3.0) if log_k < _f(0.0) else _f(0.5))
        v[i] = (log_k + _coarse_log1pexp(y)) * _f(1.0 / 3.0)
    for i in range(n):  # x at the bound; 0 where x is small
        above = _coarse_log1pexp(v[i])
        log_f = log_c[i] + _f(3.0) * (above - v[i])
        bound = max(_f(1.5), log_f - _coarse_log(max(log_f - _f(1.0), _f(0.5))))
        x[i] = bound if log_l[i] + above > _LARGE_LOG else _f(0.0)
    for i in range(n):
        bound = _coarse_log(max(x[i] - l[i], _f(1e-30))) - log_l[i]
        v[i] = min(v[i], bound) if x[i] > l[i] else v[i]
    for i in range(n):  # x > l cannot be small, and s may be: c/s^3 = F(l)
        by_work = (log_c[i] - l[i] - _coarse_log(max(l[i] - _f(1.0), _f(0.37)))) * _f(1.0 / 3.0)
        narrow = (log_l[i] > _LARGE_LOG) & (l[i] > _f(0.77) * x[i])
        v[i] = min(v[i], by_work) if narrow else v[i]


@stage
def anchor_block(anchor: FloatArray, left: FloatArray, up: SingleArray, v: SingleArray) -> None:
    """With static or circuit power: v on the right side of the anchor, from where H falls without a turn."""
    wide()
    for i in range(v.shape[0]):
        odds = _log_double(min(max(left[i] / anchor[i] - 1.0, 1e-300), 1e300))
        bounded = max(v[i], odds) if up[i] > _f(0.0) else min(v[i], -odds)
        v[i] = bounded if anchor[i] < left[i] else v[i]


@stage
def singles_block(c: FloatArray, l: FloatArray, single_c: SingleArray, single_l: SingleArray) -> None:
    """c and l as singles."""
    wide()
    for i in range(c.shape[0]):
        single_c[i] = np.float32(min(max(c[i], 1e-35), 1e35))
        single_l[i] = np.float32(min(max(l[i], 1e-20), 700.0))


@stage
def fits_block(log_c: SingleArray, log_l: SingleArray, v: SingleArray, odds: SingleArray, fits: SingleArray) -> int:
    """e^v; 1 where all that a step needs is well within a single's range, else 0. Returns how many are 0."""
    wide()
    n = v.shape[0]
    for i in range(n):
        odds[i] = _coarse_exp(min(max(v[i], _V_MIN), _V_MAX))
    for i in range(n):
        log_x, log_f = log_l[i] + max(v[i], _f(0.0)), log_c[i] - _f(3.0) * min(v[i], _f(0.0))
        room = min(_f(3.2) - log_x, log_x + _f(16.0), _f(36.0) - abs(log_f), _V_MAX - v[i], v[i] - _V_MIN)
        fits[i] = _f(1.0) if room > _f(0.0) else _f(0.0)
    others = 0
    for i in range(n):
        others += 0 if fits[i] > _f(0.0) else 1
    return others


@stage
def odds_block(v: SingleArray, fits: SingleArray, odds: FloatArray) -> None:
    """e^v, in doubles, of the rows that no step in singles fits; the others keep their odds."""
    wide()
    for i in range(v.shape[0]):
        start, kept = (
            exp(min(max(float(v[i]), -V_MAX), V_MAX)),
            odds[i],
        )  # both read always: a branch is not for vectors
        odds[i] = kept if fits[i] > _f(0.0) else start


@stage
def rough_block(
    c: SingleArray,
    l: SingleArray,
    d: SingleArray,
    fits: SingleArray,
    odds: SingleArray,
    error: SingleArray,
    s: SingleArray,
    x: SingleArray,
    g: SingleArray,
    p: SingleArray,
) -> None:
    """One Halley step for every row, as in pricing.halley_block, the logarithm itself for H.

    fits: 0 for rows whose odds stay as they are, else 1. odds: e^v, in and out. error: the step's size, times 1 + x.
    s, x, g, p: written; s before the step, g and p what -ln F and ln c/s^3 change by with ln l and ln 1/s, weighed.
    """
    wide()
    n = odds.shape[0]
    for i in range(n):
        w = _f(1.0) + odds[i]
        per = _f(1.0) / (odds[i] * w)
        s[i] = odds[i] * (odds[i] * per)
        x[i] = min(l[i] * w, _LARGE)
        p[i] = w * w * per  # 1/s
    for i in range(n):
        p[i] = min(max((c[i] * p[i]) * (p[i] * p[i]), _LEAST), _MOST)
        g[i] = _exp(x[i])
    for i in range(n):
        error[i] = max(_marginal(x[i], g[i]), _LEAST)
    for i in range(n):
        left, right = p[i] + max(d[i], _f(0.0)), error[i] + max(-d[i], _f(0.0))
        per = _f(1.0) / (left * right)
        p[i] = _f(3.0) * (p[i] * right * per)
        g[i] = x[i] * x[i] * g[i] * (left * per)
        error[i] = left * left * per
    for i in range(n):
        error[i] = _log(error[i])
    for i in range(n):
        h, sg, u = error[i], s[i] * g[i], _f(1.0) - s[i]
        up = u * p[i]
        h1 = -(up + sg)
        h2 = up * (s[i] + _f(3.0) * u - up) - sg * (u + s[i] * (_f(2.0) + x[i] - g[i]))
        below = _f(2.0) * h1 * h1 - h * h2
        error[i] = (_f(-2.0) * h * h1 if below > _f(0.0) else -h) / (below if below > _f(0.0) else h1)
    for i in range(n):
        step = min(max(error[i], _f(-4.0)), _f(4.0)) if fits[i] > _f(0.0) else _f(0.0)
        odds[i] *= _exp(step)
        error[i] = abs(step) * (_f(1.0) + x[i])


@inlined
def _marginal(x: np.float32, e_x: np.float32) -> np.float32:
    """F(x) = 1 + (x - 1) e^x, below 1 by its series."""
    r = min(x, _SMALL)
    r2 = r * r
    low = (_f(1.0 / 2.0) + r * _f(1.0 / 3.0)) + r2 * (_f(1.0 / 8.0) + r * _f(1.0 / 30.0))
    high = (_f(1.0 / 144.0) + r * _f(1.0 / 840.0)) + r2 * (_f(1.0 / 5760.0) + r * _f(1.0 / 45360.0))
    return r2 * (low + (r2 * r2) * high) if x < _SMALL else _f(1.0) + (x - _f(1.0)) * e_x


@stage
def upload_block(l: SingleArray, u: SingleArray, x: SingleArray, e_x: SingleArray, f: SingleArray) -> None:
    """x = l/u, e^x and F(x)."""
    wide()
    for i in range(u.shape[0]):
        x[i] = min(l[i] / u[i], _LARGE)
        e_x[i] = _exp(x[i])
    for i in range(u.shape[0]):
        f[i] = _marginal(x[i], e_x[i])


@stage
def powers_block(gamma: FloatArray, power: FloatArray, scaled: SingleArray) -> None:
    """gamma P, without a unit, as a single."""
    wide()
    for i in range(scaled.shape[0]):
        scaled[i] = np.float32(min(gamma[i] * power[i], 1e18))


@stage
def unfinished_rows(error: SingleArray, tolerance: np.float32) -> int:
    """How many errors are above the tolerance, or NaN."""
    wide()
    count = 0
    for i in range(error.shape[0]):
        count += 0 if error[i] <= tolerance else 1
    return count
