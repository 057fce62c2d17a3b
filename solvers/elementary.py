"""Elementary functions that vectorise: exp, log and F(x) = 1 + (x - 1) e^x, written so that LLVM can put eight
rows into one instruction (numba calls the scalar C library otherwise, at several times the cost).

Each swallows NaN, infinities and values outside its range: callers clamp first. Ranges are in the docstrings.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.compile import inlined

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93145751953125e-1  # 20 bits: n * _LN2_HIGH is exact
_LN2_LOW = 1.42860682030941723212e-6
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number in the low bits
_MAGIC_BITS = 0x4338000000000000
_ONE_BITS = 0x3FF0000000000000
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD

EXP_MAX = 700.0  # clamp arguments of exp() to +-EXP_MAX


@inlined
def _cubic(r: float, r2: float, a: float, b: float, c: float, d: float) -> float:
    """a + b r + c r^2 + d r^3 in two steps: sums of these by powers of r^4 keep the chain of operations short."""
    return (a + b * r) + r2 * (c + d * r)


@inlined
def exp(x: float) -> float:
    """e^x for |x| <= 700, below 1.1 ulp: x = n ln 2 + r, e^r = 1 + r + r^2 p(r), n added to the exponent.

    p is the Chebyshev interpolant of degree 9 over the range of r; its own error is 1.6e-17.
    """
    z, over = _reduced(x)
    bits = np.float64(1.0 + over).view(np.int64) + (np.float64(z).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@inlined
def expm1(x: float) -> float:
    """e^x - 1 for 0 <= x <= 700, below 2 ulp: 2^n (e^r - 1) + (2^n - 1), of the same r and n as e^x."""
    z, over = _reduced(x)
    power = np.int64((np.float64(z).view(np.int64) << 52) + _ONE_BITS).view(np.float64)
    return power * over + (power - 1.0)


@inlined
def _reduced(x: float) -> tuple[float, float]:
    """n, in the low bits of a double, and e^r - 1."""
    z = x * _LOG2_E + _MAGIC
    n = z - _MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    p = (2.7620088445409746e-07 + r * 2.510038549551032e-08) * r4 + _cubic(
        r, r2, 0.0013888888917213717, 0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06
    )
    p = p * r4 + _cubic(r, r2, 0.5, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062)
    return z, r + r2 * p


@inlined
def log(x: float) -> float:
    """ln x for normal positive x, below 1 ulp: x = 2^k m, m in [sqrt(1/2), sqrt 2), ln m = 2 artanh((m-1)/(m+1)).

    The seven coefficients are the minimax ones of W. J. Cody and W. Waite's method as published with fdlibm's e_log.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - SQRT_HALF_BITS) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    kf = np.int64(k + _MAGIC_BITS).view(np.float64) - _MAGIC
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    odd = (1.531383769920937332e-01 * z2 + 2.222219843214978396e-01) * z2 + 3.999999999940941908e-01
    even = (1.479819860511658591e-01 * z2 + 1.818357216161805012e-01) * z2 + 2.857142874366239149e-01
    q = odd * z2 + (even * z2 + 6.666666666666735130e-01) * z
    h = 0.5 * f * f
    return kf * 6.93147180369123816490e-01 - ((h - (s * (h + q) + kf * 1.90821492927058770002e-10)) - f)


@inlined
def coarse_exp(x: float) -> float:
    """e^x for |x| <= 700 to 3 %, for first guesses: the line through the bits of powers of two, a little lowered."""
    upper = x * 1512775.3951951857 + (1072648159.0 + _MAGIC)
    bits = np.float64(upper).view(np.int64) << 32
    return np.int64(bits).view(np.float64)


@inlined
def coarse_log(x: float) -> float:
    """ln x for normal positive x to 0.03, for first guesses: the inverse of coarse_exp."""
    upper = (np.float64(x).view(np.int64) >> 32) + _MAGIC_BITS
    return (np.int64(upper).view(np.float64) - (1072648159.0 + _MAGIC)) * 6.610366635894254e-07


@inlined
def log1p(z: float) -> float:
    """ln(1 + z) for 0 <= z < 1e300: the rounding of 1 + z is put back to first order."""
    u = 1.0 + z
    return log(u) + (z - (u - 1.0)) / u


@inlined
def expm1_given(x: float, e: float) -> float:
    """e^x - 1 for x >= 0 where e = e^x is known: Taylor's sum below 0.5, the difference above."""
    r = x if x < 0.5 else 0.5
    r2 = r * r
    r4 = r2 * r2
    p = _cubic(r, r2, 1.1470745597729725e-11, 7.647163731819816e-13, 4.779477332387385e-14, 2.8114572543455206e-15)
    p = p * r4 + _cubic(
        r, r2, 2.755731922398589e-07, 2.505210838544172e-08, 2.08767569878681e-09, 1.6059043836821613e-10
    )
    p = p * r4 + _cubic(
        r, r2, 0.001388888888888889, 0.0001984126984126984, 2.48015873015873e-05, 2.7557319223985893e-06
    )
    p = p * r4 + _cubic(r, r2, 0.5, 0.16666666666666666, 0.041666666666666664, 0.008333333333333333)
    return r + r2 * p if x < 0.5 else e - 1.0


@inlined
def marginal_given(x: float, e: float) -> float:
    """F(x) = 1 + (x - 1) e^x for x >= 0 where e = e^x is known.

    Below 1, where that would cancel, x^2 times the Chebyshev interpolant of F/x^2 of degree 12 (error 2.4e-17).
    """
    r = x if x < 1.0 else 1.0
    r2 = r * r
    r4 = r2 * r2
    p = 2.388449857790642e-10 * r4 + _cubic(
        r, r2, 2.4805544998876954e-06, 2.499858035824804e-07, 2.3449231746815752e-08, 1.64828741380707e-09
    )
    p = p * r4 + _cubic(
        r, r2, 0.006944444446787691, 0.0011904761746037227, 0.00017361118000454087, 2.2045655466162744e-05
    )
    p = p * r4 + _cubic(r, r2, 0.5, 0.33333333333333315, 0.12500000000000935, 0.03333333333312774)
    return p * (x * x) if x < 1.0 else 1.0 + (x - 1.0) * e


@inlined
def inverse_marginal(m: float) -> float:
    """x with F(x) = m >= 0, scalar: Newton on ln F against ln x (slope 2 for small x, x for large)."""
    if not m > 0.0:
        return 0.0
    if m == math.inf:
        return math.inf
    if m < 1e-30:
        return math.sqrt(2.0 * m)
    log_m = math.log(m)
    x = math.sqrt(2.0 * m) - 2.0 * m / 3.0 if m < 0.1 else 1.0
    if m >= 2.0:
        x = log_m - math.log(max(log_m - 1.0, 0.5))
        x = max(1.0, log_m - math.log(max(x - 1.0, 0.5)))
    for _ in range(60):
        if x > 50.0:
            log_f, slope = x + math.log(x - 1.0), x * x / (x - 1.0)
        else:
            e = math.exp(x)
            value = marginal_given(x, e)
            log_f, slope = math.log(value), x * x * e / value
        step = (log_m - log_f) / slope
        x *= math.exp(max(-2.0, min(2.0, step)))
        if abs(step) < 1e-9:  # quadratic: the next step would be below one ulp
            break
    return x
