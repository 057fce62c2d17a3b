"""What rows that send one after another cost, at an end of computing and a price of time, under every type.

A row computes with what there is until the end, and its slot is the one that its price pays for; the two parts do not
touch each other, and are kept. All arrays are (K, N).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np

from solvers.access.computing import Computing
from solvers.access.slots import Slots
from solvers.blocks import E_FIXED, FIXED, GAMMA, P_C, P_S, T_FREE, T_LOW, TAU_LOW, A, K
from solvers.matching.stretches import Match, Priced
from solvers.matching.transport import Impossible, Transport
from solvers.menu import IntArray, Menu
from solvers.rows import ROUNDING, FloatArray

_KEPT = 1 << 20  # numbers of each part that are kept


class SlotCosts:
    """Every row of a menu under every type.

    ready: the least end of computing [s]; least: the shortest slot [s].
    """

    def __init__(self, menu: Menu) -> None:
        self._k, self._p_s, self._fixed = _stack(menu, K), _stack(menu, P_S), _stack(menu, FIXED)
        self._t_low, self._t_free = _stack(menu, T_LOW), _stack(menu, T_FREE)
        self._a, self._gamma, self._p_c = _stack(menu, A), _stack(menu, GAMMA), _stack(menu, P_C)
        self._download = _stack(menu, E_FIXED)
        self.ready, self.least = self._fixed + self._t_low, _stack(menu, TAU_LOW)
        self._slots = [Slots(plan) for plan in menu.plans]
        self._room = 2 + _KEPT // self.ready.size
        self._sent: dict[float, tuple[FloatArray, FloatArray, FloatArray]] = {}
        self._computed: dict[float, tuple[FloatArray, FloatArray]] = {}

    def at(self, end: float, price: float) -> Priced:
        """E + price x slot [J] at an end of computing [s] and a price of time [W]; inf where the end is too early."""
        (computing, falls), (sending, slots, _) = self.computing(end), self.sending(price)
        return Priced(costs=computing + sending, falls=falls, taken=slots)

    def times(self, assignment: IntArray, end: float, price: float) -> tuple[float, float]:
        """Duration [s] and energy [J] of a matching: of its costs a great price leaves rounding alone."""
        rows, (_, slots, sending) = np.arange(len(assignment)), self.sending(price)
        energy = (self.computing(end)[0] + sending)[assignment, rows]
        return end + float(slots[assignment, rows].sum()), float(energy.sum())

    def sending(self, price: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Energy of download and upload + price x slot [J], the slots [s], and that energy [J], at a price of time [W].

        Inf where a row has no slot; the energy alone is of no use there.
        """
        if price not in self._sent:
            x = np.stack([slots.efficiencies(price) for slots in self._slots])
            with np.errstate(all="ignore"):
                slot = np.where(self._a > 0.0, self._a / x, 0.0)
                upload = self._a / self._gamma * np.expm1(x) / x + self._p_c * slot
                energy = self._download + np.where(self._a > 0.0, upload, 0.0)
                costs = energy + price * slot
            costs[np.isinf(self.least)] = math.inf
            _make_room(self._sent, self._room)
            self._sent[price] = costs, slot, energy
        return self._sent[price]

    def computing(self, end: float) -> tuple[FloatArray, FloatArray]:
        """Energy of computing [J] and its price [W]; inf and 0 where ``end`` [s] is too early."""
        if end not in self._computed:
            k, p_s, left = self._k, self._p_s, end - self._fixed
            t = np.minimum(np.maximum(left, self._t_low), self._t_free)
            with np.errstate(all="ignore"):
                energy = np.where(k > 0.0, k / (t * t) + np.where(p_s > 0.0, p_s * t, 0.0), 0.0)
                prices = np.where((k > 0.0) & (left < self._t_free), np.maximum(2.0 * k / t**3 - p_s, 0.0), 0.0)
            late = self.ready * ROUNDING > end
            energy[late] = math.inf
            prices[late] = 0.0
            _make_room(self._computed, self._room)
            self._computed[end] = energy, prices
        return self._computed[end]

    def root(self, assignment: IntArray, price: float) -> tuple[float, float]:
        """The end of computing at which a matching is cheapest at a price of time, and its costs without that [J]."""
        rows = np.arange(len(assignment))
        computes = self._k[assignment, rows] > 0.0
        columns = (self._k, self._fixed, self._p_s, self._t_low, self._t_free)
        picked = tuple(column[assignment, rows][computes] for column in columns)
        end = Computing(picked, float(self._fixed[assignment, rows].max())).end(price)
        return end, float(self.at(end, price).costs[assignment, rows].sum())

    def shortest(self, match: Match) -> tuple[float, IntArray] | None:
        """The least duration [s] of all matchings, and such a matching; None where none is feasible.

        match(slots): the matching of the least sum of slots. All send at full power, and computing ends when some row
        has just computed at full speed. Slots fall with the end, so those at a later end bound the ones before it.
        """
        can = np.isfinite(self.ready + self.least)
        ends = np.unique(self.ready[can])
        known: dict[int, Transport | Impossible] = {}

        def at(i: int) -> Transport | Impossible:
            if i not in known:
                known[i] = match(np.where(can & (self.ready <= ends[i]), self.least, math.inf))
            return known[i]

        best: tuple[float, IntArray] | None = None
        first = bisect_left(ends.tolist(), float(np.where(can, self.ready, math.inf).min(axis=0).max()))
        todo = [(first, len(ends) - 1)]
        while todo:
            i, j = todo.pop()
            if i > j:
                continue
            last = at(j)
            if not isinstance(last, Transport) or (best is not None and ends[i] + last.dual >= best[0]):
                continue
            if best is None or ends[j] + last.dual < best[0]:
                best = float(ends[j]) + last.dual, last.assignment
            middle = (i + j) // 2
            todo += [(middle + 1, j - 1), (i, min(middle, j - 1))]
        return best


def _make_room(kept: dict[float, Any], room: int) -> None:
    if len(kept) >= room:
        del kept[next(iter(kept))]


def _stack(menu: Menu, column: int) -> FloatArray:
    """A column of every type's plan."""
    return np.stack([np.broadcast_to(plan.columns[column], (len(menu),)) for plan in menu.plans])
