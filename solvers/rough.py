"""First guesses of level 3 in single precision: twice as many rows in an instruction, and functions half as long.

v = ln(t/tau) solves H(v) = ln(c/s^3 + d+) - ln(F(l/(1-s)) + d-) = 0 with s = 1/(1 + e^-v) (allocation/kernel.py says
what for). Here everything that can be large or small is kept as its logarithm, so that no row leaves the range of a
single; what comes out is right to some 1e-6, and one step in double precision does the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.compile import inlined, stage, wide
from solvers.elementary import SQRT_HALF_BITS
from solvers.rows import FloatArray

SingleArray = NDArray[np.float32]

_f = np.float32  # a literal is a double, and one double makes everything around it double
_V_MAX = 600.0
_SMALL, _LARGE = _f(1.0), _f(15.0)  # below, F by its series; above, F = (x - 1) e^x
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
    return np.int32(_f(e).view(np.int32) + (_f(z).view(np.int32) << 23)).view(np.float32)


@inlined
def _log_of(m: np.float32) -> np.float32:
    """ln m for m from sqrt(1/2) to sqrt 2, by 2 artanh((m - 1)/(m + 1))."""
    g = (m - _f(1.0)) / (m + _f(1.0))
    z = g * g
    return g * (_f(2.0) + z * (_f(0.66666667) + z * (_f(0.4) + z * _f(0.285714286))))


@inlined
def _log(x: np.float32) -> np.float32:
    """ln x for normal positive x, to 1e-7."""
    bits = _f(x).view(np.int32)
    k = (bits - np.int32(0x3F3504F3)) >> 23
    return _f(k) * _f(0.693147181) + _log_of(np.int32(bits - (k << 23)).view(np.float32))


@inlined
def _log_double(x: float) -> np.float32:
    """ln x as a single for a normal positive double of any size."""
    bits = np.float64(x).view(np.int64)
    k = (bits - SQRT_HALF_BITS) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    return _f(np.int64(k + _MAGIC64_BITS).view(np.float64) - _MAGIC64) * _f(0.693147181) + _log_of(_f(m))


@inlined
def _quick_exp(x: np.float32) -> np.float32:
    """e^x for |x| <= 87, to 1.4e-4 relative: a cubic fitted by least squares."""
    z = x * _f(1.44269504) + _f(12582912.0)
    r = x - (z - _f(12582912.0)) * _f(0.693147181)
    e = _f(0.9999513) + r * (_f(1.00015287) + r * (_f(0.50422783) + r * _f(0.16524025)))
    return np.int32(_f(e).view(np.int32) + (_f(z).view(np.int32) << 23)).view(np.float32)


@inlined
def _quick_log(x: np.float32) -> np.float32:
    """ln x for normal positive x, to 1.5e-4: a quartic fitted by least squares."""
    bits = _f(x).view(np.int32)
    k = (bits - np.int32(0x3F3504F3)) >> 23
    g = np.int32(bits - (k << 23)).view(np.float32) - _f(1.0)
    p = _f(0.9994893) + g * (_f(-0.50229933) + g * (_f(0.3556403) - g * _f(0.22580436)))
    return _f(k) * _f(0.693147181) + g * p


@inlined
def _quick_log1pexp(y: np.float32) -> np.float32:
    """ln(1 + e^y)."""
    return max(y, _f(0.0)) + _quick_log(_f(1.0) + _quick_exp(max(-abs(y), _f(-80.0))))


@stage
def logs_block(a: FloatArray, log_a: SingleArray) -> None:
    """ln a of every row; what is not positive counts as next to nothing."""
    wide()
    for i in range(a.shape[0]):
        log_a[i] = _log_double(min(max(a[i], 1e-300), 1e300))


@stage
def start_block(log_c: SingleArray, log_l: SingleArray, v: SingleArray, l: SingleArray, rest: SingleArray) -> None:
    """A first v for every row. Small x has F = x^2/2, so that 3v = ln k + ln(1 + e^v) with k = 2c/l^2.

    Large x grows much slower than its square: ln F = x + ln(x - 1) bounds v from above. l, rest: scratch.
    """
    wide()
    n = v.shape[0]
    for i in range(n):
        log_k = _f(0.693147181) + log_c[i] - _f(2.0) * log_l[i]
        y = log_k * _f(1.0 / 3.0) if log_k < _f(0.0) else _f(0.5) * log_k
        v[i] = (log_k + _quick_log1pexp(y)) * _f(1.0 / 3.0)
    large, narrow = 0, 0
    for i in range(n):
        large += 1 if log_l[i] + max(v[i], _f(0.0)) > _LARGE_LOG - _f(0.7) else 0
    if large == 0:
        return
    for i in range(n):
        rest[i] = _quick_log1pexp(v[i])
    for i in range(n):
        l[i] = _quick_exp(min(max(log_l[i], _f(-80.0)), _f(6.6)))
        narrow += 1 if log_l[i] > _LARGE_LOG else 0
    for i in range(n):  # x at the bound; -1 where x is small
        log_f = log_c[i] + _f(3.0) * (rest[i] - v[i])
        x = max(_f(1.5), log_f - _quick_log(max(log_f - _f(1.0), _f(0.5))))
        rest[i] = x if log_l[i] + rest[i] > _LARGE_LOG else _f(-1.0)
    for i in range(n):
        bound = _quick_log(max(rest[i] - l[i], _f(1e-30))) - log_l[i]
        v[i] = min(v[i], bound) if rest[i] > l[i] else v[i]
    if narrow > 0:
        for i in range(n):  # x > l cannot be small, and s may be: c/s^3 = F(l)
            by_work = (log_c[i] - l[i] - _quick_log(max(l[i] - _f(1.0), _f(0.37)))) * _f(1.0 / 3.0)
            v[i] = min(v[i], by_work) if log_l[i] > _LARGE_LOG and l[i] > _f(0.77) * rest[i] else v[i]


@stage
def anchor_block(anchor: FloatArray, left: FloatArray, up: SingleArray, v: SingleArray) -> None:
    """With static or circuit power: v on the right side of the anchor, from where H falls without a turn."""
    wide()
    for i in range(v.shape[0]):
        odds = _log_double(min(max(left[i] / anchor[i] - 1.0, 1e-300), 1e300))
        bounded = max(v[i], odds) if up[i] > _f(0.0) else min(v[i], -odds)
        v[i] = bounded if anchor[i] < left[i] else v[i]


@stage
def rough_block(
    log_c: SingleArray,
    log_l: SingleArray,
    priced: bool,
    log_d: SingleArray,
    up: SingleArray,
    v: SingleArray,
    error: SingleArray,
    s: SingleArray,
    x: SingleArray,
    h: SingleArray,
    g: SingleArray,
    p: SingleArray,
) -> None:
    """One Halley step for every row, as in pricing.halley_block; error: its size, times 1 + x.

    log_d, up: ln |d| and 1 where d > 0, else 0; read where ``priced``. s, x, h, g, p: scratch. Many short loops: a long
    chain of operations would leave the processor waiting.
    """
    wide()
    n = v.shape[0]
    for i in range(n):
        e = _exp(max(-abs(v[i]), _f(-80.0)))
        error[i] = e
        h[i] = _log(_f(1.0) + e)
    for i in range(n):
        per = _f(1.0) / (_f(1.0) + error[i])
        s[i] = per if v[i] > _f(0.0) else error[i] * per
    for i in range(n):
        error[i] = log_l[i] + max(v[i], _f(0.0)) + h[i]  # ln x
    for i in range(n):
        h[i] = log_c[i] - _f(3.0) * (min(v[i], _f(0.0)) - h[i])  # ln(c/s^3)
    for i in range(n):
        x[i] = _exp(min(max(error[i], _f(-40.0)), _f(6.6)))
    for i in range(n):
        part, g[i] = _marginal(x[i])
        p[i] = _log(part)
    for i in range(n):
        p[i] += _f(2.0) * error[i] if x[i] < _SMALL else (x[i] if x[i] > _LARGE else _f(0.0))  # ln F
    if priced:
        for i in range(n):
            e = _exp(min(max(log_d[i] - (h[i] if up[i] > _f(0.0) else p[i]), _f(-80.0)), _f(80.0)))
            error[i] = _f(1.0) / (_f(1.0) + e)
            e = _log(_f(1.0) + e)
            h[i] += e if up[i] > _f(0.0) else -e
        for i in range(n):
            g[i] = g[i] if up[i] > _f(0.0) else g[i] * error[i]
        for i in range(n):
            h[i] -= p[i]
            p[i] = _f(3.0) * (_f(1.0) - s[i]) * (error[i] if up[i] > _f(0.0) else _f(1.0))
    else:
        for i in range(n):
            h[i] -= p[i]
            p[i] = _f(3.0) * (_f(1.0) - s[i])
    for i in range(n):
        sg, u = s[i] * g[i], _f(1.0) - s[i]
        h1 = -(p[i] + sg)
        h2 = p[i] * (s[i] + _f(3.0) * u - p[i]) - sg * (u + s[i] * (_f(2.0) + x[i] - g[i]))
        below = _f(2.0) * h1 * h1 - h[i] * h2
        error[i] = (_f(-2.0) * h[i] * h1 if below > _f(0.0) else -h[i]) / (below if below > _f(0.0) else h1)
    for i in range(n):
        step = min(max(error[i], _f(-30.0)), _f(30.0))
        v[i] = min(max(v[i] + step, _f(-_V_MAX)), _f(_V_MAX))
        error[i] = abs(step) * (_f(1.0) + x[i])


@inlined
def _marginal(x: np.float32) -> tuple[np.float32, np.float32]:
    """The part of F(x) whose logarithm is taken (F/x^2, F or F e^-x, by size of x), and g = x^2 e^x/F."""
    small, large = x < _SMALL, x > _LARGE
    e_x = _exp(min(x, _LARGE))
    r = min(x, _SMALL)
    r2 = r * r
    low = (_f(1.0 / 2.0) + r * _f(1.0 / 3.0)) + r2 * (_f(1.0 / 8.0) + r * _f(1.0 / 30.0))
    high = (_f(1.0 / 144.0) + r * _f(1.0 / 840.0)) + r2 * (_f(1.0 / 5760.0) + r * _f(1.0 / 45360.0))
    series = low + (r2 * r2) * high
    part = series if small else (x - _f(1.0) if large else _f(1.0) + (x - _f(1.0)) * e_x)
    return part, (e_x if small else (x * x if large else x * x * e_x)) / part
