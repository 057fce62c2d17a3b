"""Time division, compiled sums over rows: what slots take at a price of time, what computing saves at its end.

Sums are per block of rows and then over the blocks, in order.
"""

from __future__ import annotations

import math

from solvers.access.uplink import growth
from solvers.compile import kernel
from solvers.elementary import inverse_marginal
from solvers.plan import BLOCK
from solvers.rows import FloatArray


@kernel
def slot_sums(
    transfer: FloatArray, snr: FloatArray, p_c: FloatArray, low: FloatArray, high: FloatArray, price: float
) -> tuple[float, float]:
    """The slots at a price of time [W]: sum of tau [s] and of the upload energies [J].

    transfer [s], snr [1/W], p_c [W], low, high: a, gamma, P_c and x at p_min and p_max of the rows that send, (N,).
    """
    total, energy = 0.0, 0.0
    for first in range(0, transfer.shape[0], BLOCK):
        times, joules = 0.0, 0.0
        for i in range(first, min(first + BLOCK, transfer.shape[0])):
            x = min(max(inverse_marginal(snr[i] * (price + p_c[i])), low[i]), high[i])
            tau = transfer[i] / x if x > 0.0 else math.inf
            times += tau
            joules += transfer[i] / snr[i] * growth(x) + (p_c[i] * tau if p_c[i] > 0.0 else 0.0)
        total += times
        energy += joules
    return total, energy


@kernel
def fill_efficiencies(snr: FloatArray, p_c: FloatArray, price: float, x: FloatArray) -> None:
    """x(lambda) = F^-1(gamma (lambda + P_c)) of every row, not clipped; snr, p_c, x (N,), x written."""
    for i in range(x.shape[0]):
        x[i] = inverse_marginal(snr[i] * (price + p_c[i]))


@kernel
def computing_sums(
    k: FloatArray, fixed: FloatArray, p_s: FloatArray, t_low: FloatArray, t_free: FloatArray, end: float
) -> tuple[float, float, float]:
    """Computing that ends by ``end`` [s]: sum of 2 kappa f^3 - P_s [W], its fall [W/s], and of the energies [J].

    k, fixed, p_s, t_low, t_free: kappa W^3 [J s^2], t_0 + t_d [s], P_s [W], least t and t when time is free [s] of the
    rows that compute, (N,).
    """
    worth, fall, energy = 0.0, 0.0, 0.0
    for first in range(0, k.shape[0], BLOCK):
        watts, slopes, joules = 0.0, 0.0, 0.0
        for i in range(first, min(first + BLOCK, k.shape[0])):
            left = end - fixed[i]
            t = min(max(left, t_low[i]), t_free[i])
            per = 1.0 / t
            cube = k[i] * per * per
            joules += cube + (p_s[i] * t if p_s[i] > 0.0 else 0.0)
            if left < t_free[i]:
                watts += max(2.0 * cube * per - p_s[i], 0.0)
                slopes += 6.0 * cube * per * per
        worth += watts
        fall += slopes
        energy += joules
    return worth, fall, energy
