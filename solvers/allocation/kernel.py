"""Level 3, compiled: the least energy of every row for a duration, a block of rows at a time.

With T' = T - t_0 - t_d, s = t/T' and l = a/T', c = 2 kappa W^3 gamma / T'^3 the interior optimum solves
c/s^3 + d+ = F(l/(1-s)) + d-, where d+ - d- = gamma (P_c - P_s) and F(x) = 1 + (x-1) e^x. In log-odds v = ln(t/tau)

    H(v) = ln(c/s^3 + d+) - ln(F + d-),   s = 1/(1 + e^-v),

falls strictly. A start and two Halley steps in single precision (rough.py) leave one step in double. Everything is
dimensionless, so units cannot matter, and the odds e^v keep the digits that T' - t would lose. Then t is clipped to its
range. Rows the fast path does not fit (nothing to compute or to send, numbers beyond its range) take a slow and safe
path.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import (
    ANCHOR,
    BLOCK,
    E_FIXED,
    FIXED,
    GAMMA,
    IDLE,
    ORDINARY,
    P_C,
    P_S,
    T_FREE,
    T_HIGH,
    T_LOW,
    TAU_FREE,
    TAU_HIGH,
    TAU_LOW,
    A,
    Columns,
    K,
    block_of,
    constants,
    total,
)
from solvers.compile import kernel, stage, wide
from solvers.curvature import curve_block, slope_block
from solvers.decisions import speeds
from solvers.limits import efficiency_range, inverse_marginal
from solvers.memory import table
from solvers.plan import Plan, feasible_rows, frozen, make_plan
from solvers.pricing import (
    V_MAX,
    compute_block,
    free_block,
    halley_block,
    inside_block,
    mask_block,
    scale_block,
    settled_block,
    times_block,
    unfinished,
    upload_block,
)
from solvers.rough import (
    SingleArray,
    anchor_block,
    fits_block,
    logs_block,
    odds_block,
    rough_block,
    singles_block,
    start_block,
)
from solvers.rows import FloatArray, Point, Rows
from solvers.saferow import safe_row
from solvers.threads import each_chunk

EXACT = 2e-5  # a Halley step below this leaves an error of its cube: the last digit
CLOSE = 1e-2  # enough for the energy, whose error is the square of v's

_ODD = -2.0  # settled: neither computes nor sends, or not both; by the safe path at once
_STEPS = 12  # Halley steps before a row is handed to the safe path
_ROUGH_STEPS = 4  # in single precision
_NEAR, _NEARER = 2.0, 5e-2  # one this small leaves less than CLOSE; an error of its cube


def allocate(rows: Rows, duration: float) -> Point:
    """The least-energy point of every row within ``duration`` [s]; (N,) arrays; relative error below 1e-13."""
    plan = make_plan(rows)
    return point(rows, plan, duration, np.zeros(plan.size), warm=False)


def point(rows: Rows, plan: Plan, duration: float, odds: FloatArray, *, warm: bool) -> Point:
    """The point of every row of a plan; ``odds`` (N,) holds those of a near duration where ``warm``."""
    out = table(6, plan.size)
    sums = np.empty((plan.blocks, 3))
    price_blocks(plan.kind, plan.columns, plan.priced, duration, odds, warm, EXACT, sums, out[:4], 0, plan.blocks)
    return complete(rows, plan, duration, out)


def complete(rows: Rows, plan: Plan, duration: float, out: FloatArray) -> Point:
    """Frequencies and efficiencies for the times, energies and prices in ``out`` (6, N), its last two rows written."""
    t, tau, energy, price, f, x = out
    f_min, f_max = frozen(rows.frequency_min), frozen(rows.frequency_max)
    each_chunk(partial(speeds, frozen(rows.work), f_min, f_max, plan.columns[A], t, tau, f, x), plan.blocks)
    if plan.kind.shape[0] > 1 or plan.kind[0] != ORDINARY:
        _complete_others(rows, plan, price, f, x)
    feasible = np.empty(plan.size, dtype=np.bool_)
    feasible.fill(True)
    if duration < plan.t_min:
        feasible = feasible_rows(plan, duration)
        for column in (f, x, t, tau, price):
            column[~feasible] = np.nan
        energy[~feasible] = np.inf
    return Point(
        frequency=f, efficiency=x, compute_time=t, upload_time=tau, energy=energy, price=price, feasible=feasible
    )


def _complete_others(rows: Rows, plan: Plan, price: FloatArray, f: FloatArray, x: FloatArray) -> None:
    """f(lambda) for rows without work, x(lambda) for rows without upload, 0 for idle rows."""
    r = rows.full()
    no_work, no_upload = r.work == 0.0, r.bits == 0.0
    with np.errstate(all="ignore"):
        free_f = np.cbrt((price + r.static_power) / (2.0 * r.capacitance))
        free_x = inverse_marginal(r.snr * (price + r.circuit_power))
        np.copyto(f, np.clip(free_f, r.frequency_min, r.frequency_max), where=no_work)
        np.copyto(x, np.clip(free_x, *efficiency_range(r)), where=no_upload)
    f[r.idle] = 0.0
    x[r.idle] = 0.0


@kernel
def price_blocks(
    kind: NDArray[np.uint8],
    columns: Columns,
    priced: bool,
    T: float,
    odds: FloatArray,
    warm: bool,
    tolerance: float,
    sums: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Price the rows of blocks first..last-1 at duration T [s].

    kind, columns, priced: of the plan. odds (N,): t/tau, read where ``warm`` and always written.
    sums (blocks, 3), written: energy [J], -dE/dT [W] and d2E/dT2 [W/s] to the right of T, of each block.
    out (4, N) or (6, N), written; or (4, 0): t, tau [s], energy [J], price [W], dt/dT, d2E/dT2 [W/s]. Rows that cannot
    meet T: energy inf, all else garbage.
    """
    wide()
    width = min(odds.shape[0], BLOCK)
    constant = constants(columns, width)
    scratch, singles = np.empty((15, width)), np.empty((13, width), dtype=np.float32)
    scratch[3, :], singles[6, :] = 0.0, np.float32(0.0)
    everyone = kind.shape[0] == 1 and kind[0] == ORDINARY
    for block in range(first, last):
        start = block * BLOCK
        stop = min(start + BLOCK, odds.shape[0])
        n = stop - start
        part = block_of(columns, constant, start, n)
        fixed, k, a, gamma, p_s, p_c = part[FIXED], part[K], part[A], part[GAMMA], part[P_S], part[P_C]
        t_low, t_high, tau_low, tau_high = part[T_LOW], part[T_HIGH], part[TAU_LOW], part[TAU_HIGH]
        t_free, tau_free, e_fixed, anchor = part[T_FREE], part[TAU_FREE], part[E_FIXED], part[ANCHOR]
        left, c, l, d = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
        error, settled, x, e_x = scratch[4, :n], scratch[5, :n], scratch[6, :n], scratch[7, :n]
        curve_t, curve_tau, f = scratch[8, :n], scratch[9, :n], scratch[14, :n]
        kept = out.shape[1] > 0
        t = out[0, start:stop] if kept else scratch[10, :n]
        tau = out[1, start:stop] if kept else scratch[11, :n]
        energy = out[2, start:stop] if kept else scratch[12, :n]
        price = out[3, start:stop] if kept else scratch[13, :n]
        w = odds[start:stop]

        scale_block(T, fixed, k, a, gamma, left, c, l)
        known = settled_block(T, fixed, t_low, tau_low, t_free, tau_free, left, settled)
        if priced:  # else 0, as it is at first
            for i in range(n):
                d[i] = gamma[i] * (p_c[i] - p_s[i])
        if not everyone:
            known = n
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                meets = settled[i] >= 0.0 or what == IDLE
                settled[i] = settled[i] if what == ORDINARY else (_ODD if meets else -1.0)
        if not warm:
            _start(c, l, priced, d, anchor, left, settled, _NEAR if tolerance >= CLOSE else _NEARER, w, singles)
        odd = n
        for _ in range(_STEPS):
            halley_block(c, l, d, w, error, x, e_x, curve_t, curve_tau)
            odd = unfinished(settled, error, tolerance)
            if odd == 0:
                break
        times_block(w, left, t_low, t_high, tau_low, tau_high, t, tau)
        if known > 0:
            free_block(t_free, tau_free, settled, t, tau)
        compute_block(k, p_s, e_fixed, t, t_high, energy, price, curve_t)
        upload_block(a, gamma, p_c, tau, tau_high, x, e_x, f, l, energy, price, curve_tau)
        if priced:
            inside_block(k, p_s, p_c, t, t_low, t_high, tau, tau_low, tau_high, f, l, d, price)
        curve_block(T, p_s, curve_t, curve_tau, price, t, t_low, t_high, tau, tau_low, tau_high, c)
        others = mask_block(settled, price, c) if known > 0 else 0
        energies = total(energy)
        if others > 0 or odd > 0 or not energies < math.inf:
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                lost = settled[i] == 0.0 and not error[i] <= tolerance
                if settled[i] == -1.0:
                    energy[i] = math.inf
                elif settled[i] == _ODD or lost or not energy[i] < math.inf:
                    v, t[i], tau[i], energy[i], price[i], c[i] = safe_row(
                        what,
                        T,
                        left[i],
                        k[i],
                        a[i],
                        gamma[i],
                        t_low[i],
                        t_high[i],
                        tau_low[i],
                        tau_high[i],
                        t_free[i],
                        tau_free[i],
                        p_s[i],
                        p_c[i],
                        e_fixed[i],
                    )
                    w[i] = math.exp(min(max(v, -V_MAX), V_MAX))
                    curve_t[i] = math.nan  # not known
            energies = total(energy)
        sums[block, 0] = energies
        sums[block, 1] = total(price)
        sums[block, 2] = total(c)
        if kept and out.shape[0] > 5:
            slope, curve = out[4, start:stop], out[5, start:stop]
            slope_block(T, curve_t, c, price, t, t_low, t_high, tau, tau_low, tau_high, slope)
            for i in range(n):
                curve[i] = c[i]


@stage
def _start(
    c: FloatArray,
    l: FloatArray,
    priced: bool,
    d: FloatArray,
    anchor: FloatArray,
    left: FloatArray,
    settled: FloatArray,
    near: float,
    odds: FloatArray,
    singles: SingleArray,
) -> None:
    """The odds of every row from nothing, in single precision (rough.py), until no step is longer than ``near``.

    singles: scratch, its row 6 zeros.
    """
    n = odds.shape[0]
    log_c, log_l, v, fits = singles[0, :n], singles[1, :n], singles[2, :n], singles[3, :n]
    single_c, single_l, single_d = singles[4, :n], singles[5, :n], singles[6, :n]
    w, error, s, x = singles[7, :n], singles[8, :n], singles[9, :n], singles[10, :n]
    g, p = singles[11, :n], singles[12, :n]
    logs_block(c, log_c)
    logs_block(l, log_l)
    singles_block(c, l, single_c, single_l)
    start_block(log_c, log_l, single_l, v, x)
    if priced:
        for i in range(n):
            single_d[i] = np.float32(min(max(d[i], -1e18), 1e18))
        anchor_block(anchor, left, single_d, v)
    others = fits_block(log_c, log_l, v, w, fits)
    if others < n:
        for _ in range(_ROUGH_STEPS):
            rough_block(single_c, single_l, single_d, fits, w, error, s, x, g, p)
            if unfinished(settled, error, near) == 0:
                break
    for i in range(n):
        odds[i] = w[i]
    if others > 0:
        odds_block(v, fits, odds)
