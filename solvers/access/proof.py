"""Shared bandwidth, the proof: how well the KKT conditions hold, from the decision and the prices alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.access.shares import BETA_OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.blocks import (
    BLOCK,
    E_FIXED,
    FIXED,
    GAMMA,
    IDLE,
    P_C,
    P_S,
    T_HIGH,
    T_LOW,
    A,
    Columns,
    K,
    block_of,
    constants,
    view,
)
from solvers.compile import inlined, kernel, stage, wide
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
    wide()
    constant, bounds = constants(columns, BLOCK), constants((snr_min, snr_max), BLOCK)
    scratch, worst = np.empty((5, BLOCK)), 0.0
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, energy.shape[0] - start)
        part = block_of(columns, constant, start, n)
        fixed, k, a, gamma, t_low, t_high = part[FIXED], part[K], part[A], part[GAMMA], part[T_LOW], part[T_HIGH]
        p_s, p_c, e_fixed = part[P_S], part[P_C], part[E_FIXED]
        g_min, g_max = view(snr_min, bounds[0], start, n), view(snr_max, bounds[1], start, n)
        t, tau, price = (
            out[T_OUT, start : start + n],
            out[TAU_OUT, start : start + n],
            out[PRICE_OUT, start : start + n],
        )
        beta, x, spent = out[BETA_OUT, start : start + n], out[X_OUT, start : start + n], energy[start : start + n]
        miss, e, f = scratch[0, :n], scratch[1, :n], scratch[2, :n]
        snr, off = scratch[3, :n], scratch[4, :n]
        ends_block(T, fixed, t, tau, price, miss)
        computing_block(k, p_s, t, t_low, t_high, price, spent, off)
        worse_block(k, off, miss)
        sharing_block(scale, a, tau, beta, x, e, f, snr)
        sending_block(gamma, p_c, beta, f, price, off)
        bounded_block(snr, g_min, g_max, off)
        worse_block(a, off, miss)
        worths_block(mu, gamma, p_c, tau, beta, x, snr, e, f, price, off)
        worse_block(a, off, miss)
        energies_block(a, gamma, p_c, e_fixed, tau, snr, spent)
        if kind.shape[0] > 1 or kind[0] == IDLE:
            for i in range(n):
                if (kind[start + i] if kind.shape[0] > 1 else kind[0]) == IDLE:
                    spent[i], miss[i] = 0.0, 0.0
        for i in range(n):
            worst = max(worst, miss[i])
    return worst


@stage
def ends_block(
    T: float, fixed: FloatArray, t: FloatArray, tau: FloatArray, price: FloatArray, miss: FloatArray
) -> None:
    """miss: how far a row ends from T, relative: behind it, or either way where time has a price."""
    wide()
    for i in range(miss.shape[0]):
        over = (fixed[i] + (t[i] + tau[i]) - T) / T
        miss[i] = abs(over) if price[i] > 0.0 else max(over, 0.0)


@stage
def computing_block(
    k: FloatArray, p_s: FloatArray, t: FloatArray, t_low: FloatArray, t_high: FloatArray, price: FloatArray,
    spent: FloatArray, off: FloatArray,
) -> None:  # fmt: skip
    """spent: the energy of computing [J]; off: its marginal less the price, relative."""
    wide()
    n = t.shape[0]
    for i in range(n):
        per = 1.0 / t[i]
        square = k[i] * per * per
        spent[i] = square + p_s[i] * t[i] if k[i] > 0.0 else 0.0
        off[i] = relative(2.0 * square * per - p_s[i], price[i], p_s[i])
    for i in range(n):
        at_least, at_most = t[i] >= t_high[i] * (1.0 - _AT_BOUND), t[i] <= t_low[i] * (1.0 + _AT_BOUND)
        off[i] = one_sided(off[i], at_least, at_most)


@stage
def worse_block(present: FloatArray, off: FloatArray, miss: FloatArray) -> None:
    """miss: the greater of both in rows that have such a part; what is no number counts as inf."""
    wide()
    for i in range(miss.shape[0]):
        known = off[i] if off[i] < math.inf else math.inf
        miss[i] = max(miss[i], known if present[i] > 0.0 else 0.0)


@stage
def sharing_block(
    scale: float, a: FloatArray, tau: FloatArray, beta: FloatArray, x: FloatArray, e: FloatArray, f: FloatArray,
    snr: FloatArray,
) -> None:  # fmt: skip
    """beta, x: at the bandwidth that a row gets; e, f, snr: e^x, F(x) and gamma p."""
    wide()
    n = x.shape[0]
    for i in range(n):
        mine = beta[i] * scale
        own = a[i] / (tau[i] * mine)
        beta[i] = mine if a[i] > 0.0 else beta[i]
        x[i] = own if a[i] > 0.0 else x[i]
    for i in range(n):
        e[i] = exp(min(x[i], EXP_MAX))
    for i in range(n):
        f[i] = marginal_given(min(x[i], EXP_MAX), e[i])
    for i in range(n):
        snr[i] = expm1_given(min(x[i], EXP_MAX), e[i]) * beta[i]


@stage
def sending_block(
    gamma: FloatArray, p_c: FloatArray, beta: FloatArray, f: FloatArray, price: FloatArray, off: FloatArray
) -> None:
    """off: the marginal of sending less the price, relative."""
    wide()
    for i in range(off.shape[0]):
        off[i] = relative(f[i] * beta[i] / gamma[i] - p_c[i], price[i], p_c[i])


@stage
def bounded_block(snr: FloatArray, g_min: FloatArray, g_max: FloatArray, off: FloatArray) -> None:
    """off: one-sided where the power is at a bound."""
    wide()
    for i in range(off.shape[0]):
        at_least, at_most = snr[i] <= g_min[i] * (1.0 + _AT_BOUND), snr[i] >= g_max[i] * (1.0 - _AT_BOUND)
        off[i] = one_sided(off[i], at_least, at_most)


@stage
def worths_block(
    mu: float, gamma: FloatArray, p_c: FloatArray, tau: FloatArray, beta: FloatArray, x: FloatArray, snr: FloatArray,
    e: FloatArray, f: FloatArray, price: FloatArray, off: FloatArray,
) -> None:  # fmt: skip
    """off: a row's own price of bandwidth less mu, relative."""
    wide()
    for i in range(off.shape[0]):
        worth = (price[i] + p_c[i] + snr[i] / gamma[i]) * tau[i] * (f[i] / e[i])
        off[i] = abs(worth / (beta[i] * min(x[i], EXP_MAX)) / mu - 1.0)


@stage
def energies_block(
    a: FloatArray, gamma: FloatArray, p_c: FloatArray, e_fixed: FloatArray, tau: FloatArray, snr: FloatArray,
    spent: FloatArray,
) -> None:  # fmt: skip
    """spent: with the energy of sending and what is fixed [J]."""
    wide()
    for i in range(spent.shape[0]):
        steady = p_c[i] * tau[i] if p_c[i] > 0.0 else 0.0
        upload = tau[i] * (snr[i] / gamma[i]) + steady
        spent[i] = e_fixed[i] + (spent[i] + (upload if a[i] > 0.0 else 0.0))


@inlined
def relative(marginal: float, price: float, steady: float) -> float:
    """Marginal less price over the greater of both with the power that was taken off; 0 where all are."""
    unit = max(price, abs(marginal)) + steady
    return (marginal - price) / (unit if unit > 0.0 else 1.0)


@inlined
def one_sided(off: float, at_least: bool, at_most: bool) -> float:
    """Marginal less price, relative: at the least speed it may be above 0, at the greatest below."""
    off = min(off, 0.0) if at_least else off
    return abs(max(off, 0.0) if at_most else off)
