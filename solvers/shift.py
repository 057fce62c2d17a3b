"""From the answer of one duration to that of the next double or so: by its derivatives, without a root to find.

Where both times of a row are free, their marginal energies stay equal: dt/dT = phi_tau/(phi_t + phi_tau), phi their
second derivatives. With phi_t' = -4 phi_t/t and phi_tau' = -(3 + x) phi_tau/tau (static and circuit power do not
enter) the next order is known too, so an error is of the cube of the step; where only tau moves, one more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import (
    BLOCK,
    FIXED,
    GAMMA,
    P_C,
    P_S,
    T_HIGH,
    T_LOW,
    TAU_HIGH,
    TAU_LOW,
    A,
    Columns,
    K,
    block_of,
    constants,
    total,
)
from solvers.compile import stage, wide
from solvers.curvature import HAIR
from solvers.elementary import EXP_MAX, exp, marginal_given
from solvers.rows import FloatArray

SHORT = 1e-6  # relative: steps of T up to here
_SEEN = 1e-12  # relative: what a marginal is beyond the price by more than rounding
_LITTLE, _SOME = 3e-5, 2e-4  # relative: of a price; times and price are then wrong by its cube, by its fourth power


@stage
def shift_blocks(
    columns: Columns, before: float, T: float, sums: FloatArray, out: FloatArray, met: NDArray[np.int64]
) -> None:
    """Move the rows of ``out`` from one duration to another [s].

    All rows compute and send. out (6, N), rewritten: as by price_blocks. sums (blocks, 3), written: likewise. met
    (blocks,), written: how many rows of each met a bound on the way, or would leave one, or have a price that such a
    step changes too much; if any, out and sums of that block are garbage.
    """
    wide()
    size = out.shape[1]
    constant = constants(columns, min(size, BLOCK))
    for block in range(-(-size // BLOCK)):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        part = block_of(columns, constant, start, n)
        t, tau = out[0, start : start + n], out[1, start : start + n]
        energy, price = out[2, start : start + n], out[3, start : start + n]
        slope, curve = out[4, start : start + n], out[5, start : start + n]
        met[block] = _move(T - before, part[A], t, tau, energy, price, slope, curve)
        met[block] += _outside(
            T, part[FIXED], t, part[T_LOW], part[T_HIGH], tau, part[TAU_LOW], part[TAU_HIGH], price, slope
        )
        met[block] += _stirring(
            part[K],
            part[P_S],
            part[A],
            part[GAMMA],
            part[P_C],
            t,
            part[T_LOW],
            part[T_HIGH],
            tau,
            part[TAU_LOW],
            part[TAU_HIGH],
            price,
            slope,
        )
        sums[block, 0], sums[block, 1], sums[block, 2] = total(energy), total(price), total(curve)


@stage
def _move(
    step: float,
    a: FloatArray,
    t: FloatArray,
    tau: FloatArray,
    energy: FloatArray,
    price: FloatArray,
    slope: FloatArray,
    curve: FloatArray,
) -> int:
    """Every row moved by ``step`` [s]; how many have a price that such a step changes too much, or no derivatives.

    slope: dt/dT; dtau/dT is the rest where the row has a price, else 0 as dt/dT is.
    """
    wide()
    far = 0
    for i in range(t.shape[0]):
        of_t, rest = slope[i], 1.0 - slope[i]
        of_tau = rest if price[i] > 0.0 else 0.0
        per = 1.0 / tau[i]
        x, moved = a[i] * per, step * of_tau * per
        bend_t, bend_tau = 4.0 * of_t / t[i], (3.0 + x) * per * of_tau
        bend = 0.5 * step * of_t * of_tau * (bend_t - bend_tau)
        t[i] += step * (of_t + bend)
        tau[i] += step * (of_tau - bend)
        third = step * (of_t * bend_t + of_tau * bend_tau)  # how much less the curvature is, relative
        fourth = moved * moved * ((3.0 + x) * (4.0 + x) + x)  # and of that; only where t rests it is enough to count
        change = step * curve[i]
        far += 0 if abs(change) <= (_SOME if of_t == 0.0 else _LITTLE) * price[i] else 1  # 0: only tau moves
        energy[i] -= step * (price[i] - change * (0.5 - (1.0 / 6.0) * third))  # the next term is below its rounding
        price[i] -= change * (1.0 - 0.5 * third + (1.0 / 6.0) * fourth)
        curve[i] -= curve[i] * (third - 0.5 * fourth)
    return far


@stage
def _outside(
    T: float,
    fixed: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    price: FloatArray,
    slope: FloatArray,
) -> int:
    """How many rows left their bounds, or moved next to them, or have time to spare no more; NaN counts."""
    wide()
    met = 0
    for i in range(t.shape[0]):
        of_t = 0.0 if slope[i] == 0.0 else HAIR * T
        of_tau = 0.0 if (slope[i] == 1.0) | (price[i] <= 0.0) else HAIR * T
        inside = (t[i] >= t_low[i] + of_t) & (t[i] <= t_high[i] - of_t)
        inside = inside & (tau[i] >= tau_low[i] + of_tau) & (tau[i] <= tau_high[i] - of_tau)
        met += 0 if inside & ((price[i] > 0.0) | (t[i] + tau[i] <= T - fixed[i])) else 1
    return met


@stage
def _stirring(
    k: FloatArray,
    p_s: FloatArray,
    a: FloatArray,
    gamma: FloatArray,
    p_c: FloatArray,
    t: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    price: FloatArray,
    slope: FloatArray,
) -> int:
    """How many rows have a time at rest at a bound that it would leave at the new price.

    At its least, where more of it saves more than the price; at its most, where it saves less. Where it rests no time
    shows that kink of the energy.
    """
    wide()
    stir = 0
    for i in range(t.shape[0]):
        per = 1.0 / t[i]
        x = min(a[i] / tau[i], EXP_MAX)
        work = 2.0 * k[i] * per * per * per - p_s[i]
        upload = marginal_given(x, exp(x)) / gamma[i] - p_c[i]
        above, below = price[i] * (1.0 + _SEEN), price[i] * (1.0 - _SEEN)
        of_t = (slope[i] == 0.0) & (price[i] > 0.0) & (t_low[i] < t_high[i])
        of_tau = (slope[i] == 1.0) & (price[i] > 0.0) & (tau_low[i] < tau_high[i])
        leaves_t = (work > above) if t[i] < t_high[i] else (work < below)
        leaves_tau = (upload > above) if tau[i] < tau_high[i] else (upload < below)
        stir += 1 if (of_t & leaves_t) | (of_tau & leaves_tau) else 0
    return stir
