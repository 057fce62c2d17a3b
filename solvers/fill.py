"""The kernels that make a plan: the columns that do not depend on the duration, and the limits of all rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import (
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
    TAU_FREE,
    TAU_LOW,
    A,
    Columns,
    K,
    at,
    block_of,
    constants,
    total,
    view,
)
from solvers.compile import cbrt, inlined, kernel, stage, wide
from solvers.elementary import inverse_marginal, log1p
from solvers.rows import LN2, FloatArray


@kernel
def fill(
    work: FloatArray,
    kappa: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    bits: FloatArray,
    bandwidth: FloatArray,
    snr: FloatArray,
    p_min: FloatArray,
    p_max: FloatArray,
    p_s: FloatArray,
    p_c: FloatArray,
    static: bool,
    circuit: bool,
    priced: bool,
    k: FloatArray,
    a: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    t_free: FloatArray,
    tau_free: FloatArray,
    anchor: FloatArray,
    first: int,
    last: int,
) -> None:
    """The columns of a plan from those of its rows, blocks first..last-1; k to anchor are written, t_free, tau_free and
    anchor where asked for. A column that is one number is of block 0, and read by all others.

    t in [W/f_max, W/f_min], inf for f_min = 0; tau in [a/ln(1 + gamma p_max), a/ln(1 + gamma p_min)], 0 without upload,
    inf for a rate of 0. Free: W/f(0), f(0) = clip((P_s / 2 kappa)^(1/3)); a/x(0), x(0) = clip(F^-1(gamma P_c)). Anchor:
    where P_c > P_s the interior has F(x) > gamma (P_c - P_s): tau < a/F^-1; where P_c < P_s it has a bound on t.
    """
    wide()
    size = max(k.shape[0], a.shape[0], t_low.shape[0], t_high.shape[0], tau_low.shape[0], tau_high.shape[0])
    width = min(size, BLOCK)
    given = (work, kappa, f_min, f_max, bits, bandwidth, snr, p_min, p_max)
    constant, snr_p = np.empty((len(given) + 1, width)), np.empty(width)
    for j in range(len(given)):
        if given[j].shape[0] == 1:
            constant[j, :] = given[j][0]
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        W, f_n, f_x = (
            view(work, constant[0], start, n),
            view(f_min, constant[2], start, n),
            view(f_max, constant[3], start, n),
        )
        s, gamma = view(bits, constant[4], start, n), view(snr, constant[6], start, n)
        if k.shape[0] > start:
            _cubed(W, view(kappa, constant[1], start, n), k[start : start + n])
        if a.shape[0] > start:
            _sent(s, view(bandwidth, constant[5], start, n), a[start : start + n])
        if a.shape[0] == 1:
            constant[9, :] = a[0]
        s = view(a, constant[9], start, n)
        if t_low.shape[0] > start:
            _computed(W, f_x, t_low[start : start + n])
        if t_high.shape[0] > start:
            _computed(W, f_n, t_high[start : start + n])
        if tau_low.shape[0] > start:
            _uploaded(s, gamma, view(p_max, constant[8], start, n), snr_p, tau_low[start : start + n])
        if tau_high.shape[0] > start:
            _uploaded(s, gamma, view(p_min, constant[7], start, n), snr_p, tau_high[start : start + n])
    if static:
        for i in range(first * BLOCK, min(last * BLOCK, t_free.shape[0])):
            p = at(p_s, i)
            t = at(work, i) / cbrt(p / (2.0 * at(kappa, i))) if p > 0.0 else math.inf
            t_free[i] = min(max(t, at(t_low, i)), at(t_high, i))
    if circuit:
        for i in range(first * BLOCK, min(last * BLOCK, tau_free.shape[0])):
            m = at(snr, i) * at(p_c, i)
            tau = at(a, i) / inverse_marginal(m) if m > 0.0 else math.inf
            tau_free[i] = min(max(tau, at(tau_low, i)), at(tau_high, i))
    if priced:
        for i in range(first * BLOCK, min(last * BLOCK, anchor.shape[0])):
            d = at(p_c, i) - at(p_s, i)
            anchor[i] = math.inf
            if d > 0.0:
                anchor[i] = at(a, i) / inverse_marginal(at(snr, i) * d)
            elif d < 0.0:
                anchor[i] = cbrt(2.0 * at(k, i) / -d)


@stage
def _cubed(W: FloatArray, kappa: FloatArray, k: FloatArray) -> None:
    """kappa W^3."""
    wide()
    for i in range(k.shape[0]):
        k[i] = kappa[i] * W[i] * W[i] * W[i]


@stage
def _sent(bits: FloatArray, bandwidth: FloatArray, a: FloatArray) -> None:
    """a = s ln 2 / B [s]."""
    wide()
    for i in range(a.shape[0]):
        a[i] = bits[i] * (LN2 / bandwidth[i])


@stage
def _computed(W: FloatArray, f: FloatArray, t: FloatArray) -> None:
    """W/f [s]; 0 without work, inf for f = 0."""
    wide()
    for i in range(t.shape[0]):
        per = W[i] / f[i]
        t[i] = per if W[i] > 0.0 else 0.0


@stage
def _uploaded(a: FloatArray, snr: FloatArray, p: FloatArray, z: FloatArray, tau: FloatArray) -> None:
    """a / ln(1 + gamma p) [s]; 0 without upload and for p = inf, inf where the rate is 0. z: scratch."""
    wide()
    for i in range(tau.shape[0]):
        z[i] = snr[i] * p[i]
    for i in range(tau.shape[0]):
        tau[i] = log1p(min(max(z[i], 0.0), 1e290))
    for i in range(tau.shape[0]):
        per = a[i] / tau[i]
        per = 0.0 if z[i] > 1e290 else per  # p = inf: no upload takes any time
        per = per if z[i] > 0.0 else math.inf  # NaN: no gain, and power without end
        tau[i] = per if a[i] > 0.0 else 0.0


@kernel
def limits_of(
    kind: NDArray[np.uint8], columns: Columns, size: int, first: int, last: int
) -> tuple[float, float, float]:
    """T_min, T_flat [s] and E_inf [J] of blocks first..last-1, of ``size`` rows in all; the energy is summed a block at
    a time, in order.
    """
    if kind.shape[0] == 1 and kind[0] == ORDINARY and _unhurried(columns):
        return _limits_unhurried(columns, size, first, last)
    t_min, t_flat, e_inf, energy = 0.0, 0.0, 0.0, np.empty(min(size, BLOCK))
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        for i in range(start, start + n):
            energy[i - start] = 0.0
            what = kind[i] if kind.shape[0] > 1 else kind[0]
            if what == IDLE:
                continue
            fixed = at(columns[FIXED], i)
            t_min = max(t_min, fixed + (at(columns[T_LOW], i) + at(columns[TAU_LOW], i)))
            t, tau = at(columns[T_FREE], i), at(columns[TAU_FREE], i)
            t_flat = max(t_flat, fixed + (t + tau))
            energy[i - start] = energy_of(
                at(columns[K], i),
                at(columns[A], i),
                at(columns[GAMMA], i),
                at(columns[P_S], i),
                at(columns[P_C], i),
                at(columns[E_FIXED], i),
                t,
                tau,
            )
        e_inf += total(energy[:n])  # as for unhurried rows: the same bits whichever way a number for all is given
    return t_min, t_flat, e_inf


@inlined
def _unhurried(columns: Columns) -> bool:
    """Whether all rows send for ever where time costs nothing, and computing draws no static power."""
    tau, p_s = columns[TAU_FREE], columns[P_S]
    return bool(tau.shape[0] == 1 and tau[0] == math.inf and p_s.shape[0] == 1 and p_s[0] == 0.0)


@stage
def _limits_unhurried(columns: Columns, size: int, first: int, last: int) -> tuple[float, float, float]:
    """limits_of() for rows that all compute, and send for ever: T_flat is inf, and Shannon's limit a/gamma is due."""
    wide()
    width = min(size, BLOCK)
    constant = constants(columns, width)
    energy, latest, e_inf = np.empty(width), np.zeros(width), 0.0
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        part = block_of(columns, constant, start, n)
        fixed, t_low, tau = part[FIXED], part[T_LOW], part[TAU_LOW]
        for i in range(n):
            latest[i] = max(latest[i], fixed[i] + (t_low[i] + tau[i]))
        k, a, gamma, t, e_fixed = part[K], part[A], part[GAMMA], part[T_FREE], part[E_FIXED]
        for i in range(n):
            energy[i] = e_fixed[i] + (k[i] / (t[i] * t[i]) + a[i] / gamma[i])
        e_inf += total(energy[:n])
    return latest.max(), math.inf, e_inf


@inlined
def energy_of(k: float, a: float, gamma: float, p_s: float, p_c: float, fixed: float, t: float, tau: float) -> float:
    """kappa W^3/t^2 + P_s t + tau ((e^x - 1)/gamma + P_c) + download [J], also where t or tau is 0 or infinite."""
    compute = 0.0
    if k > 0.0 and t > 0.0:
        compute = k / (t * t)
        if p_s > 0.0:
            compute += p_s * t
    upload = 0.0
    if a > 0.0:
        x = a / tau
        upload = a / gamma * (1.0 + 0.5 * x if x < 1e-8 else (math.expm1(x) / x if x < 700.0 else math.inf))
        if p_c > 0.0:
            upload += p_c * tau
    return fixed + (compute + upload)
