"""What couples the clients, for branch.py: a price of time alone, shared bandwidth, time division.

Costs are dual values, so that they bound from below whatever prices stand in them, less what rounding may add. Of what
is left of a price of bandwidth or time the bound takes the room off.
"""

from __future__ import annotations

import math

import numpy as np

from fedopt.checks import FloatArray
from fedopt.verifier.branch import Lines
from fedopt.verifier.model import (
    ABOVE,
    SAME,
    Tasks,
    best,
    computing_of,
    dual,
    least_times,
    sending_of,
    speeds,
    times,
)
from fedopt.verifier.shares import prices, shares

_ROUNDING = 1e-14  # of the sizes of what is added up


class Alone:
    """Everybody on a channel of their own, at a price of time [W]; y is the duration."""

    price = math.nan

    def __init__(self, tasks: Tasks, watts: float) -> None:
        self.tasks, self.rate = tasks, watts

    def lines(self, y: float, price: float) -> Lines:
        """The energies, with tangents."""
        found = best(self.tasks, y)
        possible = np.isfinite(found.energy)
        return Lines(found.energy, np.where(possible, found.price, 0.0), np.zeros(possible.shape))

    def room(self, y: float) -> float:
        """Nothing is shared."""
        return 0.0


class Band:
    """Shared bandwidth; y is the duration, which costs ``watts`` [W], the price is that of the whole channel [J]."""

    def __init__(self, tasks: Tasks, price: float, watts: float = 0.0) -> None:
        self.tasks, self.price, self.rate = tasks, price, watts
        self._computing = computing_of(tasks)

    def lines(self, y: float, price: float) -> Lines:
        """Energy + price x share."""
        k = self.tasks
        falls = prices(k, y, price)
        found = shares(k, falls, price)
        costs = below(dual(self._computing, falls) + found.cost, falls * y)
        return Lines(np.where(least_times(k) > y * SAME, np.inf, costs), falls, found.share)

    def room(self, y: float) -> float:
        """The channel."""
        return 1.0


class Slots:
    """Time division; y is the end of computing, the price that of time [W].

    Within ``duration`` [s] the slots have what computing leaves of it. inf: at a price of time ``watts`` they take what
    they want.
    """

    def __init__(self, tasks: Tasks, price: float, duration: float = math.inf, watts: float = 0.0) -> None:
        self.price, self.rate = price, watts
        self._duration, self._computing, self._sending = duration, computing_of(tasks), sending_of(tasks)
        self._ready = least_ends(tasks)
        self._reach = np.where(np.isfinite(least_times(tasks)), 0.0, np.inf)

    def lines(self, y: float, price: float) -> Lines:
        """Energy + price x slot."""
        k, zero = self._computing, np.zeros(self._ready.shape)
        f0, _ = speeds(k, zero)
        with np.errstate(all="ignore"):
            f = np.clip(k.W / (y - k.fixed_time), f0, k.f_max)
            falls = np.where(k.computes & (f > f0 * ABOVE), np.maximum(2.0 * k.kappa * f**3 - k.p_s, 0.0), 0.0)
        computing = below(dual(k, falls), falls * y)
        each = self.rate if math.isnan(self.price) else price
        sent = dual(self._sending, zero + each)
        _, slots = times(self._sending, *speeds(self._sending, zero + each))
        costs = computing + below(np.where(np.isinf(sent), 0.0, sent), zero) + self._reach
        taken = zero if math.isnan(self.price) else slots
        return Lines(np.where(self._ready > y * SAME, np.inf, costs), falls, taken)

    def room(self, y: float) -> float:
        """What is left of the round."""
        return 0.0 if math.isnan(self.price) else self._duration - y


class Shortest:
    """Time division, and no energy to be saved: y + the shortest slots is the duration [s]."""

    rate, price = 1.0, math.nan

    def __init__(self, tasks: Tasks) -> None:
        _, slots = times(tasks, tasks.f_max, tasks.x_max)
        self._ready, self._slots = least_ends(tasks), slots

    def lines(self, y: float, price: float) -> Lines:
        """The slots at full power of who is ready."""
        costs, zero = np.where(self._ready > y, np.inf, self._slots), np.zeros(self._slots.shape)
        return Lines(costs, zero, zero)

    def room(self, y: float) -> float:
        """Nothing is bought."""
        return 0.0


def least_ends(k: Tasks) -> FloatArray:
    """When everybody has computed at full speed [s]."""
    t, _ = times(k, k.f_max, k.x_max)
    return np.where(k.busy, k.fixed_time + t, 0.0)


def below(cost: FloatArray, worth: FloatArray) -> FloatArray:
    """cost - worth, surely; inf where the cost is."""
    finite = np.where(np.isinf(cost), 0.0, cost)
    result: FloatArray = np.where(np.isinf(cost), cost, finite - worth - _ROUNDING * (np.abs(finite) + np.abs(worth)))
    return result
