"""The judge's quick look: the sums and extremes of a decision, recomputed from section 3 of the model in one sweep.

It shares no formula with the solvers' kernels, and says nothing of who is at fault: that is for the slow look.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.blocks import BLOCK, constants, total, view
from solvers.compile import kernel, stage, wide
from solvers.elementary import EXP_MAX, expm1
from solvers.rows import LN2, FloatArray


@kernel
def look(
    size: int,
    work: FloatArray,
    bits: FloatArray,
    download_bits: FloatArray,
    bandwidth: FloatArray,
    f: FloatArray,
    r: FloatArray,
    downlink: FloatArray,
    overhead: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    p_min: FloatArray,
    p_max: FloatArray,
    gain: FloatArray,
    noise: FloatArray,
    kappa: FloatArray,
    p_s: FloatArray,
    p_c: FloatArray,
    receive: FloatArray,
    first: int,
    last: int,
) -> tuple[float, float, float]:
    """Of the rows of blocks first..last-1 the energy [J], the last one's end [s], the greatest relative violation of a
    bound of f or p.

    size: N. Columns as the fields of the model, (N,) or (1,); f [Hz], r [bit/s]: the decision. The last is inf where a
    row does not both compute and send, or a number is NaN.
    """
    wide()
    columns = (
        work, bits, download_bits, bandwidth, f, r, downlink, overhead, f_min, f_max, p_min, p_max, gain, noise, kappa,
        p_s, p_c, receive,
    )  # fmt: skip
    width = min(size, BLOCK)
    constant = constants(columns, width)
    scratch, extremes = np.empty((4, width)), np.zeros((2, width))
    receives = downlink.shape[0] > 1 or downlink[0] < math.inf
    energy, odd = 0.0, 0
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        W, s = view(work, constant[0], start, n), view(bits, constant[1], start, n)
        B = view(bandwidth, constant[3], start, n)
        f_n, r_n = view(f, constant[4], start, n), view(r, constant[5], start, n)
        t_0, k = view(overhead, constant[7], start, n), view(kappa, constant[14], start, n)
        P_s, P_c = view(p_s, constant[15], start, n), view(p_c, constant[16], start, n)
        t, tau, p, part = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
        odd += _times(W, s, f_n, r_n, t, tau)
        odd += _power(r_n, B, view(noise, constant[13], start, n), view(gain, constant[12], start, n), p)
        _bounds(f_n, view(f_min, constant[8], start, n), view(f_max, constant[9], start, n), extremes[1, :n])
        _bounds(p, view(p_min, constant[10], start, n), view(p_max, constant[11], start, n), extremes[1, :n])
        for i in range(n):
            part[i] = k[i] * W[i] * f_n[i] * f_n[i] + P_s[i] * t[i] + tau[i] * (p[i] + P_c[i])
        for i in range(n):
            t[i] = t_0[i] + t[i] + tau[i]
        if receives:
            s_d, rate = view(download_bits, constant[2], start, n), view(downlink, constant[6], start, n)
            P_r = view(receive, constant[17], start, n)
            for i in range(n):
                t_d = s_d[i] / rate[i]
                part[i] += P_r[i] * t_d
                t[i] += t_d
        for i in range(n):
            extremes[0, i] = max(extremes[0, i], t[i])
        energy += total(part)
    fine = odd == 0 and np.isfinite(energy)
    return energy, extremes[0].max(), extremes[1].max() if fine else math.inf


@stage
def _times(W: FloatArray, s: FloatArray, f: FloatArray, r: FloatArray, t: FloatArray, tau: FloatArray) -> int:
    """t = W/f, tau = s/r [s]; how many rows have a time that is not positive, NaN included."""
    wide()
    odd = 0
    for i in range(t.shape[0]):
        t[i] = W[i] / f[i]
        tau[i] = s[i] / r[i]
    for i in range(t.shape[0]):
        odd += 0 if (t[i] > 0.0) & (tau[i] > 0.0) else 1  # as f and r are then, or there is no end and no energy
    return odd


@stage
def _power(r: FloatArray, B: FloatArray, N0: FloatArray, h: FloatArray, p: FloatArray) -> int:
    """p = (2^(r/B) - 1) N0 B / h [W]; how many rows are beyond a double."""
    wide()
    odd = 0
    for i in range(p.shape[0]):
        p[i] = r[i] * LN2 / B[i]
        odd += 0 if p[i] < EXP_MAX else 1
    for i in range(p.shape[0]):
        p[i] = expm1(min(p[i], EXP_MAX)) * (N0[i] * B[i]) / h[i]
    return odd


@stage
def _bounds(value: FloatArray, low: FloatArray, high: FloatArray, worst: FloatArray) -> None:
    """worst: the greatest relative distance outside the bounds so far, in each place of a block."""
    wide()
    outside = 0
    for i in range(value.shape[0]):
        outside += 0 if (value[i] >= low[i]) & (value[i] <= high[i]) else 1
    if outside == 0:  # as ever but for rounding: no need to divide
        return
    for i in range(value.shape[0]):
        over, under = value[i] > high[i], value[i] < low[i]
        miss = value[i] - high[i] if over else (low[i] - value[i] if under else 0.0)
        excess = miss / (high[i] if over else (low[i] if under else 1.0))
        worst[i] = max(worst[i], excess)
