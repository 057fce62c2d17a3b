"""From the answer of one duration to that of the next double or so: by its derivatives, without a root to find.

Where both times of a row are free, their marginal energies stay equal: t grows by phi_tau/(phi_t + phi_tau) of what T
does, phi their second derivatives. A relative step of 1e-8 leaves an error of its square.
"""

from __future__ import annotations

import numpy as np

from solvers.blocks import BLOCK, FIXED, GAMMA, T_HIGH, T_LOW, TAU_HIGH, TAU_LOW, A, Columns, K, total, view
from solvers.compile import stage, wide
from solvers.elementary import EXP_MAX, exp
from solvers.rows import FloatArray

SHORT = 1e-8  # relative: steps of T up to here
_LITTLE = 3e-7  # relative: of a price; the times are then wrong by its square, and the energy by its cube


@stage
def shift_blocks(columns: Columns, before: float, T: float, sums: FloatArray, out: FloatArray) -> int:
    """Move the rows of ``out`` from one duration to another [s].

    All rows compute and send. out (4 or more, N), rewritten: t, tau [s], energy [J], price [W]. sums (blocks, 3),
    written: as by price_blocks. Returns how many rows met a bound on the way: if any, out and sums are garbage.
    """
    wide()
    size = out.shape[1]
    width = min(size, BLOCK)
    constant, scratch, met = np.empty((len(columns), width)), np.empty((4, width)), 0
    for j in range(len(columns)):
        if columns[j].shape[0] == 1:
            constant[j, :] = columns[j][0]
    for block in range(-(-size // BLOCK)):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        k, a = view(columns[K], constant[K], start, n), view(columns[A], constant[A], start, n)
        gamma, fixed = view(columns[GAMMA], constant[GAMMA], start, n), view(columns[FIXED], constant[FIXED], start, n)
        t_low, t_high = (
            view(columns[T_LOW], constant[T_LOW], start, n),
            view(columns[T_HIGH], constant[T_HIGH], start, n),
        )
        tau_low = view(columns[TAU_LOW], constant[TAU_LOW], start, n)
        tau_high = view(columns[TAU_HIGH], constant[TAU_HIGH], start, n)
        t, tau = out[0, start : start + n], out[1, start : start + n]
        energy, price = out[2, start : start + n], out[3, start : start + n]
        slope_t, slope_tau, curve, left = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
        _curves(k, a, gamma, t, tau, slope_t, slope_tau)
        met += _slopes(t, t_low, t_high, tau, tau_low, tau_high, price, slope_t, slope_tau, curve)
        for i in range(n):
            left[i] = T - fixed[i]
        met += _moved(
            T - before, left, t, t_low, t_high, tau, tau_low, tau_high, energy, price, slope_t, slope_tau, curve
        )
        sums[block, 0], sums[block, 1], sums[block, 2] = total(energy), total(price), total(curve)
    return met


@stage
def _curves(
    k: FloatArray,
    a: FloatArray,
    gamma: FloatArray,
    t: FloatArray,
    tau: FloatArray,
    curve_t: FloatArray,
    curve_tau: FloatArray,
) -> None:
    """6 kappa W^3/t^4 and x^2 e^x/(gamma tau) [W/s]."""
    wide()
    for i in range(t.shape[0]):
        per = 1.0 / t[i]
        curve_t[i] = 6.0 * (k[i] * per * per * per) * per
    for i in range(t.shape[0]):
        x = min(a[i] / tau[i], EXP_MAX)
        curve_tau[i] = x * x * exp(x) / (gamma[i] * tau[i])


@stage
def _slopes(
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    price: FloatArray,
    slope_t: FloatArray,
    slope_tau: FloatArray,
    curve: FloatArray,
) -> int:
    """From both second derivatives dt/dT and dtau/dT, in their places, and d2E/dT2 [W/s] as in pricing.curve_block.

    0 where the price is. Returns how many rows have a price and no time that is off its bounds.
    """
    wide()
    stuck = 0
    for i in range(t.shape[0]):
        free_t = (t[i] > t_low[i]) & (t[i] < t_high[i])
        free_tau = (tau[i] > tau_low[i]) & (tau[i] < tau_high[i])
        busy = price[i] > 0.0
        per = 1.0 / (slope_t[i] + slope_tau[i])
        of_t, of_tau = slope_tau[i] * per, slope_t[i] * per
        both = slope_t[i] * of_t
        curved = both if free_tau else slope_t[i]
        curve[i] = (curved if free_t else slope_tau[i]) if busy else 0.0
        slope_t[i] = ((of_t if free_tau else 1.0) if free_t else 0.0) if busy else 0.0
        slope_tau[i] = ((of_tau if free_t else 1.0) if free_tau else 0.0) if busy else 0.0
        stuck += 1 if busy & (not free_t) & (not free_tau) else 0
    return stuck


@stage
def _moved(
    step: float,
    left: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    slope_t: FloatArray,
    slope_tau: FloatArray,
    curve: FloatArray,
) -> int:
    """Every row moved by ``step`` [s] to ``left`` = T'; how many left their bounds, or have no time for it."""
    wide()
    met = 0
    for i in range(t.shape[0]):
        t[i] += slope_t[i] * step
        tau[i] += slope_tau[i] * step
        inside = (t[i] >= t_low[i]) & (t[i] <= t_high[i]) & (tau[i] >= tau_low[i]) & (tau[i] <= tau_high[i])
        met += 0 if inside & ((price[i] > 0.0) | (t[i] + tau[i] <= left[i])) else 1
    for i in range(t.shape[0]):
        change = step * curve[i]
        met += 0 if abs(change) <= _LITTLE * price[i] else 1
        energy[i] -= step * (price[i] - 0.5 * change)
        price[i] -= change
    return met
