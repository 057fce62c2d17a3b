"""The least duration of rows that share a channel: everybody at full speed and power, the channel just enough.

Source: section 7 of the model; Shi et al. (IEEE Trans. Wireless Commun. 2021) for equal ends. At full power an upload
of tau seconds takes the share beta = G/(e^x - 1) with (e^x - 1)/x = G tau/a, G = gamma p_max.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from solvers.access.joint import Look, Uplinks
from solvers.access.roots import ulp
from solvers.access.shares import BETA_OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.access.uplink import inverse_growth, row_energy
from solvers.blocks import E_FIXED, FIXED, GAMMA, IDLE, P_C, P_S, T_FREE, T_LOW, A, Columns, K, at, left_out
from solvers.compile import kernel, stage
from solvers.elementary import EXP_MAX, expm1_given, marginal_given
from solvers.rows import FloatArray

_ROUNDING = 1e-15  # relative, of a duration
_STEP = 16.0  # times what rounding does: where the search for T_min ended, whose last step may have been longer
_TURNS = 100


class LeastShares:
    """What the rows of some uplinks need at least."""

    def __init__(self, uplinks: Uplinks) -> None:
        self.uplinks, self._least = uplinks, math.nan

    def duration(self) -> float:
        """T_min [s]: the least shares add up to the room. ln of the sum is convex in T: Newton climbs from the left."""
        plan, room = self.uplinks.plan, self.uplinks.room
        T, more = plan.t_min, ulp(1.0)
        for _ in range(_TURNS):
            total, slope, _ = least_shares(plan.size, plan.columns, self.uplinks.snr_max, T)
            if total <= room:
                break
            new = T + math.log(total / room) * total / -slope if total < math.inf else T
            if not new > T * (1.0 + 4e-16):  # what is left is rounding: longer steps, so that this ends
                new, more = T * (1.0 + more), 2.0 * more
            T = new
        self._least = T
        return T

    def too_loud(self, T: float) -> bool:
        """Whether no powers that are numbers are enough for T [s]: rows without a greatest one take a share, too."""
        u, columns = self.uplinks, self.uplinks.plan.columns
        with np.errstate(all="ignore"):
            tau = np.maximum(T - columns[FIXED] - columns[T_LOW], 0.0)
            loudest = np.where((columns[A] > 0.0) & np.isinf(u.snr_max), columns[A] / (EXP_MAX * tau), 0.0)
            together = float(np.broadcast_to(loudest, (u.plan.size,)).sum())
        return together > 0.0 and least_shares(u.plan.size, columns, u.snr_max, T)[0] + together > u.room

    def share(self, T: float, out: FloatArray) -> Look | None:
        """T_min itself, in ``out`` (5, N): nothing to decide. None at longer durations, and where rows without a
        greatest power share what rounding leaves of the room.

        Any mu fits that is not below any row's price of bandwidth; it is the least such one.
        """
        u = self.uplinks
        plan = u.plan
        total, _, noise = least_shares(plan.size, plan.columns, u.snr_max, T)
        if u.room - total > (_STEP if self._least == T else 1.0) * noise:
            return None
        energy, price, mu = at_full_speed(plan.kind, plan.columns, u.snr_max, T, u.room - total, out)
        if not energy < math.inf:
            return None
        return Look(
            T=T, mu=mu, energy=energy, share=1.0, price=price, curve=math.inf, by_time=0.0, by_price=0.0, room=u.room
        )


@kernel
def least_shares(size: int, columns: Columns, snr_max: FloatArray, T: float) -> tuple[float, float, float]:
    """The sum of beta_n^min of ``size`` rows, its slope in T [1/s], and what rounding of T does to it."""
    total, slope, noise, lost = 0.0, 0.0, 0.0, 0.0
    for i in range(size):
        beta, by_time, _ = _least(columns, snr_max, T, i)
        before, total = total, total + beta
        lost += left_out(before, beta, total)
        slope += by_time
        noise += _ROUNDING * (beta - by_time * T)
    return total + lost, slope, noise


@stage
def _least(columns: Columns, snr_max: FloatArray, T: float, i: int) -> tuple[float, float, float]:
    """beta_n^min, its slope in T and x of row i."""
    a, G = at(columns[A], i), at(snr_max, i)
    if a == 0.0 or math.inf == G:
        return 0.0, 0.0, math.inf
    tau = T - at(columns[FIXED], i) - at(columns[T_LOW], i)
    x = inverse_growth(G * tau / a)
    if x == 0.0:
        return math.inf, 0.0, 0.0
    near = min(x, EXP_MAX)
    e = math.exp(near)
    beta = G / expm1_given(near, e)
    if x > 1.0:  # of which e^x would make x times the rounding
        x = math.log1p(G / beta)
        beta = a / (tau * x)
    return beta, -beta / tau * (near * e / marginal_given(near, e)), x


@kernel
def at_full_speed(
    kind: NDArray[np.uint8], columns: Columns, snr_max: FloatArray, T: float, spare: float, out: FloatArray
) -> tuple[float, float, float]:
    """Everybody who sends at f_max and p_max, the others at their least energy; E [J], sum of lambda [W] and mu.

    spare: what rounding leaves of the room, given to the row that rounding moves most. out (5, N), written, as by
    share_blocks.
    """
    energy, prices, mu = 0.0, 0.0, 0.0
    loosest, most = -1, -1.0
    for i in range(out.shape[1]):
        beta, by_time, _ = _least(columns, snr_max, T, i)
        if beta > 0.0 and beta - by_time * T > most:
            loosest, most = i, beta - by_time * T
    for i in range(out.shape[1]):
        what = kind[i] if kind.shape[0] > 1 else kind[0]
        k, a, gamma = at(columns[K], i), at(columns[A], i), at(columns[GAMMA], i)
        t_low, p_s, p_c = at(columns[T_LOW], i), at(columns[P_S], i), at(columns[P_C], i)
        left, p = T - at(columns[FIXED], i), at(snr_max, i) / gamma
        t, tau, x, beta, price = t_low, left - t_low, 0.0, 0.0, 0.0
        if a == 0.0:
            t_free = at(columns[T_FREE], i)
            t, tau = max(min(left, t_free), t_low), 0.0
            price = max(2.0 * k / (t * t * t) - p_s, 0.0) if 0.0 < t < t_free else 0.0
        else:
            beta, _, x = _least(columns, snr_max, T, i)
            if i == loosest:
                beta += spare
                x = math.log1p(at(snr_max, i) / beta)
                tau = a / (beta * x)
            near = min(x, EXP_MAX)
            e = math.exp(near)
            f = marginal_given(near, e)
            price = max(f * beta / gamma - p_c, 0.0)
            if k > 0.0:
                price = max(price, 2.0 * k / (t * t * t) - p_s)
            mu = max(mu, (price + p_c + p) * tau * f / (e * beta * near))
        out[T_OUT, i], out[TAU_OUT, i], out[X_OUT, i], out[BETA_OUT, i], out[PRICE_OUT, i] = t, tau, x, beta, price
        if what != IDLE:
            energy += row_energy(k, a, gamma, p_s, p_c, at(columns[E_FIXED], i), t, tau, x)
    for i in range(out.shape[1]):
        beta, x = out[BETA_OUT, i], min(out[X_OUT, i], EXP_MAX)
        if beta > 0.0:  # the price of time that goes with mu
            e, p = math.exp(x), at(snr_max, i) / at(columns[GAMMA], i)
            worth = mu * (beta / out[TAU_OUT, i]) * (x * e / marginal_given(x, e)) - at(columns[P_C], i) - p
            out[PRICE_OUT, i] = max(out[PRICE_OUT, i], worth)
        prices += out[PRICE_OUT, i]
    return energy, prices, mu
