"""Time division, the answer at a price of time and an end of computing: every row's share of it, and the proof.

The computing prices nu_n are 2 kappa f^3 - P_s and add up to the price of time lambda; a row at the end of its free
time has any price up to that, and one that cannot be done before the least T_cmp any from there on. For any nu that add
up to lambda

    sum of min over f [E_cmp + nu (t_0 + t_d + t)] + sum of min over x [E_com + lambda tau] - lambda T

is at most the energy within T (weak duality); at the right prices it is that energy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvers.access import LAST_DIGITS
from solvers.access.computing import KINK, Computing
from solvers.access.point import point_of
from solvers.access.proof import one_sided, relative
from solvers.access.shares import OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.access.uplink import row_energy
from solvers.blocks import (
    E_FIXED,
    FIXED,
    GAMMA,
    IDLE,
    P_C,
    P_S,
    T_FREE,
    T_HIGH,
    T_LOW,
    TAU_HIGH,
    TAU_LOW,
    A,
    Columns,
    K,
    at,
    left_out,
)
from solvers.compile import cbrt, kernel, stage
from solvers.elementary import EXP_MAX, marginal_given
from solvers.plan import Plan
from solvers.rows import FloatArray, Point, Rows

_LITTLE = 1e-9  # relative: prices that miss their sum by this are as good as exact
_AT_BOUND = 1e-12  # relative: a speed this near its bound is at it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settled:
    """The point; the round's own end [s]; energy and dual value [J]; the greatest violation of the KKT conditions.

    What the last digits of T_cmp are worth in computing prices is no violation.
    """

    point: Point
    end: float
    energy: float
    dual: float
    residual: float


def settle(
    rows: Rows, plan: Plan, computing: Computing, x: FloatArray, price: float, compute_end: float, duration: float
) -> Settled:
    """The rows at a price of time [W], done with computing by ``compute_end`` [s]; x (N,): their efficiencies."""
    out, energy = np.empty((OUT, plan.size)), np.empty(plan.size)
    out[X_OUT] = x
    first = computing.first
    whole, rest, room, slots, held = times_and_prices(plan.kind, plan.columns, compute_end, out, energy)
    share, extra = math.nan, 0.0
    if math.isfinite(price - whole) and price != whole:
        missing = price - rest
        share = min(max(missing / room, 0.0), 1.0) if room > 0.0 else 0.0
        if held >= 0:
            extra = max(missing - share * room, 0.0)
    total = share_out(plan.columns, compute_end, share, held, extra, out)
    scale = price / total if total > 0.0 else 1.0
    bound, worst, steady = prove_slots(plan.kind, plan.columns, price, scale, out)
    end = compute_end + slots
    dual = plan.e_inf
    if price > 0.0:
        dual = bound + (0.0 if total > 0.0 else price * first) - price * duration
    bound_up = price > 0.0 and (total > 0.0 or compute_end > first * (1.0 + KINK))
    missed = _missing(computing, compute_end, abs(total - price), price) if bound_up else 0.0
    coupled = missed / max(total + steady, price) if bound_up else 0.0
    early = (duration - end) / duration if duration > 0.0 else 0.0
    residual = max(worst, coupled, early if price > 0.0 else 0.0, -early)
    point = point_of(rows, plan, out, energy)
    return Settled(point=point, end=end, energy=float(energy.sum()), dual=dual, residual=residual)


def _missing(computing: Computing, end: float, off: float, price: float) -> float:
    """By how much the prices miss ``price`` [W]: ``off``, but for what the last digits of T_cmp are worth, if much."""
    if off <= _LITTLE * price:
        return off
    fall = max(computing.at(end * side).fall for side in (1.0 - LAST_DIGITS, 1.0))  # it may end in between
    return max(off - LAST_DIGITS * end * fall, 0.0)


@kernel
def times_and_prices(
    kind: NDArray[np.uint8], columns: Columns, end: float, out: FloatArray, energy: FloatArray
) -> tuple[float, float, float, float, int]:
    """Times, energies and marginals of all rows at an end of computing [s].

    out (5, N): x is read, clipped; t, tau [s] and the computing price [W] written. energy (N,), written [J]. Returns
    the sum of the prices, that without rows at the end of their free time, what these could have at most [W], the sum
    of the slots [s], and a row that cannot be done before this end, -1 if there is none.
    """
    whole, rest, room, slots, off, held = 0.0, 0.0, 0.0, 0.0, 0.0, -1
    for i in range(out.shape[1]):
        k, a, fixed = at(columns[K], i), at(columns[A], i), at(columns[FIXED], i)
        t_low, t_free, p_s = at(columns[T_LOW], i), at(columns[T_FREE], i), at(columns[P_S], i)
        t, tau, price = 0.0, 0.0, 0.0
        if k > 0.0:
            t = t_low if fixed + t_low >= end else min(max(end - fixed, t_low), t_free)
            most = max(2.0 * k / (t * t * t) - p_s, 0.0)
            price = most if end - fixed < t_free else 0.0
            whole += price
            if abs(fixed + t_free - end) <= KINK * end:
                room += most
            else:
                rest += price
        if a > 0.0:
            x = min(max(out[X_OUT, i], a / at(columns[TAU_HIGH], i)), a / at(columns[TAU_LOW], i))
            tau = a / x
            out[X_OUT, i] = x
        out[T_OUT, i], out[TAU_OUT, i], out[PRICE_OUT, i] = t, tau, price
        energy[i] = 0.0
        if (kind[i] if kind.shape[0] > 1 else kind[0]) != IDLE:
            if held < 0 and fixed + t_low >= end * (1.0 - KINK) and (k == 0.0 or t <= t_low * (1.0 + _AT_BOUND)):
                held = i
            gamma, p_c, e_fixed = at(columns[GAMMA], i), at(columns[P_C], i), at(columns[E_FIXED], i)
            energy[i] = row_energy(k, a, gamma, p_s, p_c, e_fixed, t, tau, out[X_OUT, i])
        before, slots = slots, slots + tau
        off += left_out(before, tau, slots)
    return whole, rest, room, slots + off, held


@kernel
def share_out(columns: Columns, end: float, share: float, held: int, extra: float, out: FloatArray) -> float:
    """Rows at the end of their free time get a ``share`` of their marginals (NaN: as they are), row ``held`` ``extra``
    watts more; returns the sum of the prices."""
    total, left = 0.0, 0.0
    for i in range(out.shape[1]):
        k, fixed = at(columns[K], i), at(columns[FIXED], i)
        if share == share and k > 0.0 and abs(fixed + at(columns[T_FREE], i) - end) <= KINK * end:
            t = out[T_OUT, i]
            out[PRICE_OUT, i] = share * max(2.0 * k / (t * t * t) - at(columns[P_S], i), 0.0)
        if i == held:
            out[PRICE_OUT, i] += extra
        before, total = total, total + out[PRICE_OUT, i]
        left += left_out(before, out[PRICE_OUT, i], total)
    return total + left


@kernel
def prove_slots(
    kind: NDArray[np.uint8], columns: Columns, price: float, scale: float, out: FloatArray
) -> tuple[float, float, float]:
    """The dual value but for - lambda T [J], the greatest relative violation, and the static power of rows that
    compute [W]. out (5, N): as left by share_out; ``scale``: of its prices, so that they add up to ``price``.
    """
    bound, left, worst, steady = 0.0, 0.0, 0.0, 0.0
    for i in range(out.shape[1]):
        if (kind[i] if kind.shape[0] > 1 else kind[0]) == IDLE:
            continue
        k, a, gamma = at(columns[K], i), at(columns[A], i), at(columns[GAMMA], i)
        p_s, p_c, nu = at(columns[P_S], i), at(columns[P_C], i), out[PRICE_OUT, i]
        t, tau, x = out[T_OUT, i], out[TAU_OUT, i], out[X_OUT, i]
        best = t
        if k > 0.0:
            t_low, t_high = at(columns[T_LOW], i), at(columns[T_HIGH], i)
            off = relative(2.0 * k / (t * t * t) - p_s, nu, p_s)
            at_least = t >= t_high * (1.0 - _AT_BOUND)
            worst = max(worst, one_sided(off, at_least, t <= t_low * (1.0 + _AT_BOUND)))
            steady += p_s
            worth = scale * nu + p_s
            best = min(max(cbrt(2.0 * k / worth) if worth > 0.0 else math.inf, t_low), t_high)
        if a > 0.0:
            off = relative(_worth(x) / gamma - p_c, price, p_c)
            at_least = tau >= at(columns[TAU_HIGH], i) * (1.0 - _AT_BOUND)
            worst = max(worst, one_sided(off, at_least, tau <= at(columns[TAU_LOW], i) * (1.0 + _AT_BOUND)))
        joules = row_energy(k, a, gamma, p_s, p_c, at(columns[E_FIXED], i), best, tau, x) + price * tau
        if nu > 0.0:
            joules += scale * nu * (at(columns[FIXED], i) + best)
        before, bound = bound, bound + joules
        left += left_out(before, joules, bound)
    return bound + left, worst, steady


@stage
def _worth(x: float) -> float:
    """F(x), inf beyond the range of a double."""
    return marginal_given(x, math.exp(x)) if x <= EXP_MAX else math.inf
