"""Level 3 in single precision: the sums of a pass over the rows, right to some 1e-7, for two thirds of its price.

Nothing is proved by them: a search takes its first steps here. The energy of a row is T'/gamma times a number without
a unit, which a single holds: c/(2 s^2) + u (e^x - 1) and gamma (P_s s + P_c u), with s = t/T', u = tau/T', x = l/u and
c, l as in allocation/kernel.py. Likewise its price is 1/gamma and its curvature 1/(gamma T') times such a number.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.blocks import (
    ANCHOR,
    BLOCK,
    E_FIXED,
    FIXED,
    GAMMA,
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
from solvers.compile import single, stage, wide
from solvers.rough import (
    SingleArray,
    anchor_block,
    fits_block,
    logs_block,
    powers_block,
    rough_block,
    singles_block,
    start_block,
    unfinished_rows,
    upload_block,
)
from solvers.rows import FloatArray

_f = single
_STEPS = 4  # of Halley
_FAR = _f(0.5)  # ln(t/tau)
_NEAR = _f(0.1)  # a step this small leaves an error of its cube, and the energy has the square of that


Room = tuple[FloatArray, FloatArray, SingleArray]


@stage
def room_for(columns: Columns, size: int) -> Room:
    """What passes over ``size`` rows of these columns need beside their arguments, one after another."""
    width = min(size, BLOCK)
    singles = np.empty((18, width), dtype=np.float32)
    singles[16, :], singles[17, :] = _f(0.0), _f(1.0)
    return constants(columns, width), np.empty((4, width)), singles


@stage
def single_pass(
    columns: Columns,
    priced: bool,
    T: float,
    odds: SingleArray,
    drift: SingleArray,
    warm: bool,
    since: float,
    room: Room,
) -> tuple[float, float, float]:
    """Energy [J], -dE/dT [W] and d2E/dT2 [W/s] of all rows at duration T [s], roughly; an energy of inf where numbers
    of a row are beyond a single.

    All rows compute and send. odds (N,): t/tau, drift (N,): d ln(t/tau)/dT [1/s]; read where ``warm``, as they were
    ``since`` seconds of T earlier, and always written. room: of room_for(columns, N).
    """
    wide()
    size = odds.shape[0]
    constant, doubles, singles = room
    fits, no_power = singles[17], singles[16]
    powers = columns[P_S].shape[0] > 1 or columns[P_C].shape[0] > 1 or columns[P_S][0] > 0.0 or columns[P_C][0] > 0.0
    lasting = columns[TAU_FREE].shape[0] == 1 and columns[TAU_FREE][0] == math.inf  # nobody has time to spare
    e, lam, curvature = 0.0, 0.0, 0.0
    for block in range(-(-size // BLOCK)):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        part = block_of(columns, constant, start, n)
        gamma = part[GAMMA]
        left, per, c, l = doubles[0, :n], doubles[1, :n], doubles[2, :n], doubles[3, :n]
        w, near, c_1, l_1, d = odds[start : start + n], fits[:n], singles[0, :n], singles[1, :n], singles[2, :n]
        p_s, p_c, spare = no_power[:n], no_power[:n], no_power[:n]
        error, s, u, x, f = singles[3, :n], singles[4, :n], singles[5, :n], singles[6, :n], singles[7, :n]
        s_low, s_high, u_low, u_high = singles[8, :n], singles[9, :n], singles[10, :n], singles[11, :n]
        _scale(T, part[FIXED], part[K], part[A], gamma, left, per, c, l)
        singles_block(c, l, c_1, l_1)
        if powers:
            p_s, p_c = singles[12, :n], singles[13, :n]
            powers_block(gamma, part[P_S], p_s)
            powers_block(gamma, part[P_C], p_c)
        for i in range(n):
            d[i] = p_c[i] - p_s[i]
        if warm:
            moved_block(w, drift[start : start + n], since)
        else:
            log_c, log_l, v = s_low, s_high, u_low
            logs_block(c, log_c)
            logs_block(l, log_l)
            start_block(log_c, log_l, l_1, v, x)
            if priced:
                anchor_block(part[ANCHOR], left, d, v)
            if fits_block(log_c, log_l, v, w, u_high) > 0:
                return math.inf, 0.0, 0.0
        for _ in range(_STEPS):
            rough_block(c_1, l_1, d, near, w, error, s, x, u, f)
            if unfinished_rows(error, _NEAR) == 0:
                break
        _drifts(per, s, u, f, drift[start : start + n])
        _shares(per, part[T_LOW], part[T_HIGH], s_low, s_high)
        _shares(per, part[TAU_LOW], part[TAU_HIGH], u_low, u_high)
        _parts(w, s_low, s_high, u_low, u_high, s, u)
        if not lasting:
            spare, s_free, u_free = singles[14, :n], singles[15, :n], error
            _shares(per, part[T_FREE], part[TAU_FREE], s_free, u_free)
            _spare(s_free, u_free, spare, s, u)
        upload_block(l_1, u, x, error, f)
        _found(c_1, p_s, p_c, s, s_low, s_high, u, u_low, u_high, spare, x, error, f, d)
        _with_units(left, per, gamma, part[E_FIXED], x, f, d, c, l)
        e += total(left)
        lam += total(c)
        curvature += total(l)
    return e, lam, curvature


@stage
def moved_block(odds: SingleArray, drift: SingleArray, since: float) -> None:
    """The odds ``since`` seconds of T later, to second order; as they are where that is far."""
    wide()
    step = np.float32(since)
    for i in range(odds.shape[0]):
        by = step * drift[i]
        odds[i] *= _f(1.0) + (by + _f(0.5) * by * by if abs(by) < _FAR else _f(0.0))


@stage
def _drifts(per: FloatArray, s: SingleArray, g: SingleArray, p: SingleArray, drift: SingleArray) -> None:
    """d ln(t/tau)/dT [1/s] where H is 0: c falls with the cube of T', l with T'. per: 1/T'; s, g, p: of rough_block."""
    wide()
    for i in range(per.shape[0]):
        drift[i] = np.float32(per[i]) * (g[i] - p[i]) / (p[i] * (_f(1.0) - s[i]) + g[i] * s[i])


@stage
def _scale(
    T: float,
    fixed: FloatArray,
    k: FloatArray,
    a: FloatArray,
    gamma: FloatArray,
    left: FloatArray,
    per: FloatArray,
    c: FloatArray,
    l: FloatArray,
) -> None:
    """left = T' [s], per = 1/T', c and l."""
    wide()
    for i in range(left.shape[0]):
        left[i] = T - fixed[i]
        per[i] = 1.0 / left[i]
    for i in range(left.shape[0]):
        c[i] = 2.0 * (k[i] * per[i]) * (gamma[i] * per[i]) * per[i]
        l[i] = a[i] * per[i]


@stage
def _shares(per: FloatArray, one: FloatArray, other: FloatArray, s: SingleArray, u: SingleArray) -> None:
    """Two times as shares of T', at most 2; per: 1/T'."""
    wide()
    for i in range(per.shape[0]):
        s[i], u[i] = np.float32(min(one[i] * per[i], 2.0)), np.float32(min(other[i] * per[i], 2.0))


@stage
def _parts(
    odds: SingleArray,
    s_low: SingleArray,
    s_high: SingleArray,
    u_low: SingleArray,
    u_high: SingleArray,
    s: SingleArray,
    u: SingleArray,
) -> None:
    """s and u = 1 - s, each clipped to its range, as pricing.times_block has it."""
    wide()
    n = odds.shape[0]
    for i in range(n):
        u[i] = _f(1.0) / (_f(1.0) + odds[i])
        s[i] = odds[i] * u[i]
    for i in range(n):
        low, high = s_low[i], s_high[i]
        u[i] = _f(1.0) - low if s[i] <= low else (_f(1.0) - high if s[i] >= high else u[i])
        s[i] = min(max(s[i], low), high)
    for i in range(n):
        low, high = u_low[i], u_high[i]
        s[i] = _f(1.0) - low if u[i] <= low else (_f(1.0) - high if u[i] >= high else s[i])
        u[i] = min(max(u[i], low), high)
    for i in range(n):
        s[i] = min(max(s[i], s_low[i]), s_high[i])


@stage
def _spare(s_free: SingleArray, u_free: SingleArray, spare: SingleArray, s: SingleArray, u: SingleArray) -> None:
    """Rows with time to spare (1, else 0) take the times that cost least."""
    wide()
    for i in range(s.shape[0]):
        spare[i] = _f(1.0) if s_free[i] + u_free[i] <= _f(1.0) else _f(0.0)
    for i in range(s.shape[0]):
        kept, free = s[i], s_free[i]
        s[i] = free if spare[i] > _f(0.0) else kept
    for i in range(s.shape[0]):
        kept, free = u[i], u_free[i]
        u[i] = free if spare[i] > _f(0.0) else kept


@stage
def _found(
    c: SingleArray,
    p_s: SingleArray,
    p_c: SingleArray,
    s: SingleArray,
    s_low: SingleArray,
    s_high: SingleArray,
    u: SingleArray,
    u_low: SingleArray,
    u_high: SingleArray,
    spare: SingleArray,
    x: SingleArray,
    e_x: SingleArray,
    f: SingleArray,
    curve: SingleArray,
) -> None:
    """Energy (into x), price (into f) and curvature without units, as in pricing; p_s, p_c: gamma times P_s, P_c."""
    wide()
    n = s.shape[0]
    for i in range(n):
        curve[i] = x[i] * x[i] * e_x[i] / u[i]
        x[i] = u[i] * ((x[i] * e_x[i] - f[i]) + p_c[i])
    for i in range(n):
        per = _f(1.0) / s[i]
        cube = c[i] * per * (per * per)
        x[i] += s[i] * (_f(0.5) * cube + p_s[i])
        e_x[i] = _f(3.0) * cube * per
        by_work, by_upload = cube - p_s[i], f[i] - p_c[i]
        f[i] = max(by_work if s[i] < s_high[i] else _f(0.0), by_upload if u[i] < u_high[i] else _f(0.0), _f(0.0))
    for i in range(n):
        free_s, free_u = (s[i] > s_low[i]) & (s[i] < s_high[i]), (u[i] > u_low[i]) & (u[i] < u_high[i])
        both = e_x[i] * (curve[i] / (e_x[i] + curve[i]))
        one = e_x[i] if free_s else curve[i]
        curve[i] = both if free_s == free_u else one
    for i in range(n):
        price, curvature = f[i], curve[i]
        f[i] = _f(0.0) if spare[i] > _f(0.0) else price
        curve[i] = _f(0.0) if spare[i] > _f(0.0) else curvature


@stage
def _with_units(
    left: FloatArray,
    per: FloatArray,
    gamma: FloatArray,
    e_fixed: FloatArray,
    energy: SingleArray,
    price: SingleArray,
    curvature: SingleArray,
    lam: FloatArray,
    curve: FloatArray,
) -> None:
    """Energy [J] (into left = T'), price [W] and curvature [W/s] from the numbers without units; per: 1/T'."""
    wide()
    for i in range(left.shape[0]):
        power = 1.0 / gamma[i]
        left[i] = left[i] * power * energy[i] + e_fixed[i]
        lam[i] = power * price[i]
        curve[i] = power * per[i] * curvature[i]
