"""Rows at a duration and a price of bandwidth, compiled, a block at a time: what each takes, and the sums over all.

Most rows have their power between its bounds. With o = t/tau, T' = T - t_0 - t_d, m = mu gamma/T',
c = 2 kappa W^3/T'^3, q = mu a/T'^2 and d = P_c - P_s their optimum solves

    ln F(x) = ln(m (1 + o)),    ln(c (1 + 1/o)^3 + d+) = ln(q (1 + o)^2/x + d-)

(uplink.py has the equations). Newton's method in ln o and ln x, dimensionless, from the last answer where there is
one, o kept between computing's bounds: two logarithms and one exponential a step, no other transcendental. Rows it does
not fit (power at a bound, time to spare, nothing to compute or to send) take the scalar path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.access.stages import (
    begin_again_block,
    begin_block,
    begin_efficiency_block,
    bounds_block,
    energies_block,
    fits_block,
    follow_block,
    grown_block,
    held_block,
    misses_block,
    move_block,
    odds_block,
    priced_block,
    scale_block,
    shares_block,
    slopes_block,
    uploads_block,
    worth_block,
    worths_block,
)
from solvers.access.uplink import row_energy, share_row
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
    A,
    Columns,
    K,
    block_of,
    constants,
    total,
    view,
)
from solvers.compile import kernel, wide
from solvers.rows import FloatArray

SUMS = 6
ENERGY, SHARE, PRICE, CURVE, BY_TIME, BY_PRICE = range(
    SUMS
)  # E [J], beta, lambda [W], -d lambda/dT, d beta/dT, /d ln mu
OUT = 5
T_OUT, TAU_OUT, X_OUT, BETA_OUT, PRICE_OUT = range(OUT)

EXACT = 2e-8  # a Newton step below this leaves an error of its square: the last digit
CLOSE = 1e-4

_STEPS = 25
_FEW = 4  # rows whose scalar path takes less than a step of the whole block


@kernel
def share_blocks(
    kind: NDArray[np.uint8],
    columns: Columns,
    snr_min: FloatArray,
    snr_max: FloatArray,
    T: float,
    mu: float,
    odds: FloatArray,
    nats: FloatArray,
    warm: bool,
    tolerance: float,
    sums: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Price the rows of blocks first..last-1 at a duration T [s] and a price mu [J/channel].

    kind, columns: of a plan whose bandwidth is the whole channel. snr_min, snr_max (N,) or (1,): gamma p at the bounds.
    odds, nats (N,): t/tau and x, read where ``warm`` and always written. sums (blocks, 6), written: E [J], beta,
    lambda [W], -d lambda/dT [W/s], d beta/dT [1/s], d beta/d ln mu of each block. out (5, N), written; or (5, 0): t,
    tau [s], x, beta, lambda [W]. Rows for which no bandwidth is enough have beta and lambda inf.
    """
    wide()
    constant, bounds = constants(columns, BLOCK), constants((snr_min, snr_max), BLOCK)
    scratch = np.empty((18, BLOCK))
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, odds.shape[0] - start)
        part = block_of(columns, constant, start, n)
        fixed, k, a, gamma, t_low, t_free = part[FIXED], part[K], part[A], part[GAMMA], part[T_LOW], part[T_FREE]
        p_s, p_c, e_fixed = part[P_S], part[P_C], part[E_FIXED]
        g_min, g_max = view(snr_min, bounds[0], start, n), view(snr_max, bounds[1], start, n)
        left, m, c, q, d = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n], scratch[4, :n]
        low, high, f, g = scratch[5, :n], scratch[6, :n], scratch[7, :n], scratch[8, :n]
        work, send, miss = scratch[9, :n], scratch[10, :n], scratch[11, :n]
        t, tau, beta, energy, bend = scratch[12, :n], scratch[13, :n], scratch[14, :n], scratch[15, :n], scratch[16, :n]
        o, x, begun = odds[start : start + n], nats[start : start + n], scratch[17, :n]

        scale_block(T, mu, fixed, k, a, gamma, left, m, c, q)
        bounds_block(left, t_low, t_free, low, high)
        for i in range(n):
            d[i] = p_c[i] - p_s[i]
        if not warm:
            begin_block(m, c, q, o)
            begin_efficiency_block(m, o, x)
            begin_again_block(c, q, x, o)
        for i in range(n):
            o[i] = min(max(o[i], low[i]), high[i])
            begun[i] = o[i]
        if not warm:
            begin_efficiency_block(m, o, x)
        for step in range(_STEPS if kind.shape[0] > 1 or kind[0] == ORDINARY else 1):  # others have no step to take
            grown_block(x, f, g, t)
            worths_block(c, o, q, x, work, send)
            misses_block(f, m, o, d, work, send, miss)
            odds_block(f, g, work, send, o, miss)
            move_block(low, high, miss, o, work)
            follow_block(f, g, o, work, miss, x)
            bad = 0
            for i in range(n):
                bad += 0 if miss[i] <= tolerance else 1
            if kind.shape[0] > 1 and bad > _FEW:
                for i in range(n):
                    bad -= 0 if miss[i] <= tolerance or kind[start + i] == ORDINARY else 1
            if bad <= (_FEW if step > 0 else 0):
                break
        shares_block(left, a, o, x, t, tau, beta)
        held_block(low, high, left, t_low, t_free, o, t, tau, bend)
        grown_block(x, f, g, q)
        energies_block(k, p_s, e_fixed, t, energy, bend, f)
        uploads_block(gamma, p_c, tau, beta, energy, q)
        worth_block(mu, beta, tau, work, send)
        priced_block(p_s, p_c, bend, work, f)
        slopes_block(beta, g, bend, work, send)
        odd = fits_block(miss, tolerance, q, g_min, g_max, f, left, t_low, energy, work)
        if odd > 0 or kind.shape[0] > 1 or kind[0] != ORDINARY:
            for i in range(n):
                what = kind[start + i] if kind.shape[0] > 1 else kind[0]
                if what == ORDINARY and work[i] > 0.0:
                    continue
                t[i], tau[i], x[i], beta[i], f[i], bend[i], g[i], send[i] = share_row(
                    what, left[i], mu, begun[i], k[i], a[i], gamma[i], t_low[i], t_free[i], p_s[i], p_c[i], g_min[i],
                    g_max[i],
                )  # fmt: skip
                energy[i] = 0.0
                if what != IDLE:
                    energy[i] = row_energy(k[i], a[i], gamma[i], p_s[i], p_c[i], e_fixed[i], t[i], tau[i], x[i])
                o[i] = t[i] / tau[i] if t[i] > 0.0 and tau[i] > 0.0 else 1.0
                x[i] = x[i] if x[i] > 0.0 else 1.0
        sums[block, ENERGY], sums[block, SHARE], sums[block, PRICE] = total(energy), total(beta), total(f)
        sums[block, CURVE], sums[block, BY_TIME], sums[block, BY_PRICE] = total(bend), total(g), total(send)
        if out.shape[1] > 0:
            for i in range(n):
                out[T_OUT, start + i] = t[i]
                out[TAU_OUT, start + i] = tau[i]
                out[X_OUT, start + i] = x[i]
                out[BETA_OUT, start + i] = beta[i]
                out[PRICE_OUT, start + i] = f[i]
