"""What rows that share bandwidth cost, at a duration and a price of bandwidth, under every type.

All rows under all types are priced as one fleet of K N rows. Arrays are (K, N); bandwidth is in whole channels.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.access.fullspeed import at_full_speed
from solvers.access.joint import Uplinks
from solvers.access.shares import BETA_OUT, EXACT, OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.blocks import E_FIXED, GAMMA, P_C, P_S, A, K
from solvers.matching.stretches import Match, Priced
from solvers.matching.transport import Transport
from solvers.menu import IntArray, Menu
from solvers.plan import make_plan
from solvers.rows import ROUNDING, FloatArray

_KEPT = 1 << 21  # numbers that are kept
_ROUNDED = 1e-9  # of a channel: what the sum of the least shares may be off


class BandCosts:
    """Every row of a menu under every type. ready: the least duration on the whole channel [s]; passes made."""

    def __init__(self, menu: Menu) -> None:
        self.ready, self.passes = menu.least_times * ROUNDING, 0
        rows = menu.joined
        self._uplinks = Uplinks(make_plan(rows), rows.power_min, rows.power_max)
        self._kept: dict[tuple[float, float], Priced] = {}
        self._room = 1 + _KEPT // (3 * self.ready.size)

    def at(self, T: float, mu: float) -> Priced:
        """E + mu beta [J], the price of each row's time [W] and beta, at a duration [s] and mu [J/channel].

        inf where a row cannot meet the duration.
        """
        if (T, mu) not in self._kept:
            out = np.empty((OUT, self.ready.size))
            self._uplinks.look(T, mu, EXACT, out)
            self.passes += len(self.ready)
            if len(self._kept) >= self._room:
                del self._kept[next(iter(self._kept))]
            with np.errstate(invalid="ignore"):
                costs = (self._energies(out) + mu * out[BETA_OUT]).reshape(self.ready.shape)
            possible = (self.ready <= T) & np.isfinite(costs)
            self._kept[T, mu] = Priced(
                costs=np.where(possible, costs, math.inf),
                falls=np.where(possible, out[PRICE_OUT].reshape(costs.shape), 0.0),
                taken=out[BETA_OUT].reshape(costs.shape),
            )
        return self._kept[T, mu]

    def _energies(self, out: FloatArray) -> FloatArray:
        """E [J] of rows as share_blocks leaves them."""
        c = self._uplinks.plan.columns
        t, tau, x = out[T_OUT], out[TAU_OUT], out[X_OUT]
        with np.errstate(all="ignore"):
            compute = np.where(c[K] > 0.0, c[K] / (t * t) + c[P_S] * t, 0.0)
            upload = np.where(c[A] > 0.0, c[A] / c[GAMMA] * (np.expm1(x) / x) + c[P_C] * tau, 0.0)
        result: FloatArray = c[E_FIXED] + (compute + upload)
        return result

    def in_time(self, T: float, match: Match) -> IntArray | None:
        """A matching that can be done in a duration, by the least bandwidths; None where none can."""
        out, plan = np.empty((OUT, self.ready.size)), self._uplinks.plan
        at_full_speed(plan.kind, plan.columns, self._uplinks.snr_max, T, 0.0, out)
        self.passes += len(self.ready)
        least = out[BETA_OUT].reshape(self.ready.shape)
        found = match(np.where((self.ready <= T) & (least >= 0.0), least, math.inf))
        return found.assignment if isinstance(found, Transport) and found.dual <= 1.0 + _ROUNDED else None
