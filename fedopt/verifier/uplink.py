"""Where clients share the uplink: the least duration of all together, and duality at the answer's own prices.

Any prices bound the energy from below. Under shared bandwidth a client's energy + price x time + mu x share has one
minimum (shares.py); under time division the slots pay one price and the computing prices add up to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fedopt.access import Access, SharedBandwidth, Sharing, TimeDivision
from fedopt.checks import SMALLEST, FloatArray
from fedopt.clients import Clients
from fedopt.submodels import Workload
from fedopt.verifier.model import (
    LOUD,
    Tasks,
    computing_of,
    dual,
    least_energies,
    marginal,
    sending_of,
    sum_of,
    tasks_for,
    times,
)
from fedopt.verifier.shares import narrowest, shares

if TYPE_CHECKING:
    from fedopt.verifier.decision import Round

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS = 60
_CLOSE = 1e-7  # relative: a bound this near what it is a bound of will do


def whole(c: Clients, work: Workload, access: Access) -> Tasks:
    """The tasks on the whole channel."""
    return tasks_for(c, work, np.full(len(c), access.hertz))


def shortest(c: Clients, work: Workload, k: Tasks, access: Access) -> float:
    """T_min [s]: all at full speed and power; slots one after another, or bandwidths that add up to the band."""
    ready = earliest(k)
    if isinstance(access, TimeDivision):
        return ready + sum_of(times(k, k.f_max, k.x_max)[1])
    if not k.sends.any():
        return ready
    if (c.channel_gain[k.sends] == 0.0).any():
        return math.inf
    alone = whole(c, work, access)
    low, high = ready, max(ready, 1e-300)
    while sum_of(narrowest(alone, high)) > 1.0:
        low, high = high, 2.0 * high
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sum_of(narrowest(alone, middle)) > 1.0 else (low, middle)
    return high


def too_loud(c: Clients, work: Workload, access: Access, T: float) -> bool:
    """Whether T [s] asks for more power than any double holds of who has no greatest one."""
    k = whole(c, work, access)
    endless = k.sends & np.isinf(k.x_max)
    if isinstance(access, TimeDivision):
        return bool(endless.any()) and earliest(k) + sum_of(times(k, k.f_max, np.minimum(k.x_max, LOUD))[1]) > T
    with np.errstate(all="ignore"):
        left = np.maximum(T - k.fixed_time - times(k, k.f_max, k.x_max)[0], 0.0)
        return bool(endless.any()) and sum_of(np.where(endless, k.a / (LOUD * left), narrowest(k, T))) > 1.0


def dual_energy(r: Round, T: float) -> float:
    """What the energy at T is at least [J], by the answer's own prices of time and bandwidth."""
    assert r.sharing is not None
    if isinstance(r.access, TimeDivision):
        price = max(r.sharing.time_price, 0.0)
        each = _fewest(r, price)
        least = sum_of(each)
        return float(np.fmax(_slots(r, price, r.allocation.price) - price * T, _slots(r, least, each) - least * T))
    assert r.access is not None
    price_n = np.maximum(r.allocation.price, 0.0)
    value = _shares(whole(r.clients, r.work, r.access), price_n, worth(r.sharing, r.access))
    return value - float(price_n[r.tasks.busy].sum()) * T


def dual_cost(r: Round, watts: float, most: FloatArray) -> float:
    """What energy + watts x duration is at least [J], whatever the duration: the best of some bounds.

    The answer's own prices of time scaled to ``watts``; on a band also as they are, with the rest of it paid for T_min,
    and filled up to it, as far as what everybody does leaves prices open. most: of each client's price [W].
    """
    assert r.access is not None
    assert r.sharing is not None
    if isinstance(r.access, TimeDivision):
        return _slots(r, watts, r.allocation.price)
    least = shortest(r.clients, r.work, r.tasks, r.access)
    k, channel = whole(r.clients, r.work, r.access), worth(r.sharing, r.access)
    price = np.where(k.busy, np.maximum(r.allocation.price, 0.0), 0.0)
    left = watts - float(price.sum())
    bounds = [_shares(k, price, channel) + left * least] if left >= 0.0 else []
    if left < watts:
        bounds.append(_shares(k, price * (watts / (watts - left)), channel))
    if max(bounds) < r.cost * (1.0 - _CLOSE):
        price, channel = _filled(r, watts, price, channel, most)
        left = watts - float(price.sum())
        bounds.append(_shares(k, price, channel) + left * (least if left > 0.0 else r.cost / watts))  # none is longer
    return max(bounds)


def _filled(r: Round, watts: float, price: FloatArray, channel: float, most: FloatArray) -> tuple[FloatArray, float]:
    """Prices of time that add up to ``watts`` [W], and one of the channel [J], with which nobody does anything else.

    Who sends nothing has any up to ``most``. A share more saves (x - 1 + e^-x) tau / (x share) of the time, for power,
    P_c and price: the dearer the channel, the dearer everybody's time who is no earlier than the round.
    """
    assert isinstance(r.access, SharedBandwidth)
    assert r.sharing is not None
    k = r.tasks
    left = max(watts - float(price.sum()), 0.0)
    room = np.where(k.busy & ~k.sends, np.clip(most - price, 0.0, left), 0.0)
    price = price + room * min(1.0, left / max(float(room.sum()), SMALLEST))
    who = k.sends & (k.fixed_time + r.t + r.tau >= r.T * (1.0 - r.tolerance))
    if not who.any():
        return price, channel
    target = max(watts - float(price[~who].sum()), 0.0)
    with np.errstate(all="ignore"):
        per = np.where(who, r.x * np.exp(r.x) * r.sharing.bandwidth / (marginal(r.x) * r.tau * r.access.hertz), 0.0)
        low, high = 0.0, channel + float(((target - price[who]) / per[who]).min())
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            enough = float(np.maximum(price + (middle - channel) * per, 0.0)[who].sum()) >= target
            low, high = (low, middle) if enough else (middle, high)
        return np.maximum(price + (low - channel) * per, 0.0), low


def worth(sharing: Sharing | None, access: Access | None) -> float:
    """The price of the whole channel [J]; 0 where bandwidth has none."""
    if sharing is None or not isinstance(access, SharedBandwidth):
        return 0.0
    return max(sharing.bandwidth_price, 0.0) * access.hertz


def _fewest(r: Round, price: float) -> FloatArray:
    """The computing prices [W] that are enough for the answer's speeds, and for one price of the slots: at full speed
    any more proves the same, and price x duration would leave no digits of the energy."""
    k = r.tasks
    given = np.where(k.busy, np.maximum(r.allocation.price, 0.0), 0.0)
    with np.errstate(all="ignore"):
        computing = np.where(k.computes, np.nan_to_num(2.0 * k.kappa * r.f**3 - k.p_s), 0.0)
        sending = np.where(k.sends, np.nan_to_num(marginal(r.x) / k.gamma - k.p_c), 0.0)
    each = np.clip(computing, 0.0, given)
    above, wanted = given - each, min(price, max(float(sending.max(initial=0.0)), 0.0)) - sum_of(each)
    rest = sum_of(above)
    return each + above * min(max(wanted / rest, 0.0), 1.0) if rest > 0.0 else each


def _slots(r: Round, price: float, prices: FloatArray) -> float:
    """Slots at one price, computing at prices that add up to it: the end of computing then costs nothing more.

    Where computing has no price at all, its end costs what it costs at the earliest.
    """
    k = r.tasks
    each = np.where(k.busy, np.maximum(prices, 0.0), 0.0)
    total = float(each.sum())
    each = each * (price / total) if total > 0.0 else each
    end = 0.0 if total > 0.0 else price * earliest(k)
    return sum_of(dual(computing_of(k), each)) + sum_of(dual(sending_of(k), np.full(k.W.shape, price))) + end


def earliest(k: Tasks) -> float:
    """When everybody can have computed [s]."""
    t, _ = times(k, k.f_max, k.x_max)
    return float(np.where(k.busy, k.fixed_time + t, 0.0).max())


def least_energy(c: Clients, work: Workload, access: Access) -> float:
    """What the energy is at least, whatever the duration [J]: the best bound of all prices of bandwidth.

    It is concave in them.
    """
    k = whole(c, work, access)
    free, scale = np.zeros(k.W.shape), math.log(max(sum_of(least_energies(k)), 1e-300))

    def bound(log_worth: float) -> float:
        return _shares(k, free, math.exp(log_worth))

    low, high = scale - 60.0, scale + 20.0
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if bound(left) > bound(right) else (left, high)
    return bound(0.5 * (low + high))


def _shares(k: Tasks, price: FloatArray, worth: float) -> float:
    """Everybody on the share that is cheapest where the whole channel is ``worth`` [J], less that; ``k`` on all of it.

    A bound whatever the prices.
    """
    return sum_of(dual(computing_of(k), price)) + sum_of(shares(k, price, worth).cost) - worth
