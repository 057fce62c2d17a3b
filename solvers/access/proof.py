"""Shared bandwidth, the proof: how well the KKT conditions hold, from the decision and the prices alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.access.shares import BETA_OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.blocks import BLOCK, E_FIXED, FIXED, GAMMA, IDLE, P_C, P_S, T_HIGH, T_LOW, A, Columns, K, at
from solvers.compile import inlined, kernel
from solvers.elementary import EXP_MAX, exp, expm1_given, marginal_given
from solvers.rows import FloatArray

_AT_BOUND = 1e-10  # relative: a speed or power this near its bound is at it


@kernel
def prove_rows(
    kind: NDArray[np.uint8],
    columns: Columns,
    snr_min: FloatArray,
    snr_max: FloatArray,
    T: float,
    mu: float,
    scale: float,
    out: FloatArray,
    energy: FloatArray,
    first: int,
    last: int,
) -> float:
    """The greatest relative violation of the KKT conditions of the rows of blocks first..last-1; bandwidths are first
    multiplied by ``scale``.

    2 kappa f^3 - P_s = lambda, F(x) beta/gamma - P_c = lambda (one-sided at a bound); every row's price of bandwidth,
    (lambda + P_c + p) tau F e^-x/(beta x), is mu; rows end in time, those with lambda > 0 at the end.
    kind, columns, snr_min, snr_max, T, mu: as in share_blocks. out (5, N): of share_blocks; beta and x are overwritten.
    energy (N,), written [J].
    """
    worst = 0.0
    for i in range(first * BLOCK, min(last * BLOCK, energy.shape[0])):
        energy[i] = 0.0
        if (kind[i] if kind.shape[0] > 1 else kind[0]) == IDLE:
            continue
        k, a, gamma = at(columns[K], i), at(columns[A], i), at(columns[GAMMA], i)
        p_s, p_c = at(columns[P_S], i), at(columns[P_C], i)
        t, tau, price = out[T_OUT, i], out[TAU_OUT, i], out[PRICE_OUT, i]
        over = (at(columns[FIXED], i) + (t + tau) - T) / T
        worst = max(worst, abs(over) if price > 0.0 else over)
        compute, upload = 0.0, 0.0
        if k > 0.0:
            per = 1.0 / t
            square = k * per * per
            compute = square + p_s * t
            off = relative(2.0 * square * per - p_s, price, p_s)
            at_most = t <= at(columns[T_LOW], i) * (1.0 + _AT_BOUND)
            worst = max(worst, one_sided(off, t >= at(columns[T_HIGH], i) * (1.0 - _AT_BOUND), at_most))
        if a > 0.0:
            beta = out[BETA_OUT, i] * scale
            x = a / (tau * beta)
            out[BETA_OUT, i], out[X_OUT, i] = beta, x
            near = min(x, EXP_MAX)
            e = exp(near)
            f, snr = marginal_given(near, e), expm1_given(near, e) * beta
            p = snr / gamma
            upload = tau * p + (p_c * tau if p_c > 0.0 else 0.0)
            off = relative(f * beta / gamma - p_c, price, p_c)
            at_least = snr <= at(snr_min, i) * (1.0 + _AT_BOUND)
            worst = max(worst, one_sided(off, at_least, snr >= at(snr_max, i) * (1.0 - _AT_BOUND)))
            own = (price + p_c + p) * tau * f / (e * beta * near) / mu
            worst = max(worst, abs(own - 1.0))
        energy[i] = at(columns[E_FIXED], i) + (compute + upload)
    return worst


@inlined
def relative(marginal: float, price: float, steady: float) -> float:
    """Marginal less price over the greater of both with the power that was taken off; 0 where all are."""
    unit = max(price, abs(marginal)) + steady
    return (marginal - price) / unit if unit > 0.0 else 0.0


@inlined
def one_sided(off: float, at_least: bool, at_most: bool) -> float:
    """Marginal less price, relative: at the least speed it may be above 0, at the greatest below."""
    if at_least:
        off = min(off, 0.0)
    if at_most:
        off = max(off, 0.0)
    return abs(off)
