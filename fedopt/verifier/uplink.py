"""Where clients share the uplink: the least duration of all together, and duality at the answer's own prices.

Any prices bound the energy from below. Under shared bandwidth a client's energy + price x time + mu b has one minimum
in b (section 7 of the model: it is convex), found by golden section; under time division the slots pay one price and
the computing prices add up to it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from fedopt.access import Access, TimeDivision
from fedopt.checks import FloatArray
from fedopt.clients import Clients
from fedopt.submodels import Workload
from fedopt.verifier.model import Tasks, dual, least_energies, tasks_of, times

if TYPE_CHECKING:
    from fedopt.verifier.decision import Round

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS = 60
_CLOSE = 1e-7  # relative: a bound this near what it is a bound of will do
_NARROWEST = 1e-40  # of the band: no client is looked at on less


def shortest(c: Clients, work: Workload, k: Tasks, access: Access) -> float:
    """T_min [s]: all at full speed and power; slots one after another, or bandwidths that add up to the band."""
    t, tau = times(k, k.f_max, k.x_max)
    ready = float(np.where(k.busy, k.fixed_time + t, 0.0).max())
    if isinstance(access, TimeDivision):
        return ready + math.fsum(tau)
    if not k.sends.any():
        return ready
    if (c.channel_gain[k.sends] == 0.0).any():
        return math.inf
    low, high = ready, max(ready, 1e-300)
    while _needed(c, work, k, access, high) > access.hertz:
        low, high = high, 2.0 * high
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _needed(c, work, k, access, middle) > access.hertz else (low, middle)
    return high


def _needed(c: Clients, work: Workload, k: Tasks, access: Access, T: float) -> float:
    """The sum of the bandwidths on which all end at T, at full speed and power [Hz]; inf where somebody cannot."""
    with np.errstate(all="ignore"):
        t, _ = times(k, k.f_max, k.x_max)
        left = (T - k.fixed_time - t)[k.sends]
        if (left <= 0.0).any():
            return math.inf
        nats = work.upload_bits[k.sends] * math.log(2.0) / left
        snr = (c.power_max * c.channel_gain / c.noise_density)[k.sends]  # at 1 Hz
        high = np.full(nats.shape, math.log(access.hertz))
        low = high + math.log(_NARROWEST)
        if (access.hertz * np.log1p(snr / access.hertz) < nats).any():
            return math.inf
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            b = np.exp(middle)
            enough = b * np.log1p(snr / b) >= nats
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return math.fsum(np.exp(low))


def dual_energy(r: Round, T: float) -> float:
    """What the energy at T is at least [J], by the answer's own prices of time and bandwidth."""
    assert r.sharing is not None
    if isinstance(r.access, TimeDivision):
        price = max(r.sharing.time_price, 0.0)
        return _slots(r, price) - price * T
    assert r.access is not None
    price_n = np.maximum(r.allocation.price, 0.0)
    value = _shares(r.clients, r.work, r.tasks, r.access, price_n, r.sharing.bandwidth_price)
    return value - float(price_n[r.tasks.busy].sum()) * T


def dual_cost(r: Round, watts: float) -> float:
    """What energy + watts x duration is at least [J], whatever the duration: the best of some bounds.

    The answer's own prices of time scaled to ``watts``; as they are, and what they leave of it for T_min; and, as
    bounds of power leave prices open, what they leave for those who end last, with the best price of bandwidth.
    """
    assert r.access is not None
    assert r.sharing is not None
    least = shortest(r.clients, r.work, r.tasks, r.access)
    if isinstance(r.access, TimeDivision):
        own = min(max(r.sharing.time_price, 0.0), watts)
        return max(_slots(r, watts), _slots(r, own) + (watts - own) * least)
    c, work, k, mu = r.clients, r.work, r.tasks, r.sharing.bandwidth_price
    price = np.where(k.busy, np.maximum(r.allocation.price, 0.0), 0.0)
    left = watts - float(price.sum())
    bounds = [_shares(c, work, k, r.access, price, mu) + left * least] if left >= 0.0 else []
    if left < watts:
        bounds.append(_shares(c, work, k, r.access, price * (watts / (watts - left)), mu))
    if max(bounds) < r.cost * (1.0 - _CLOSE) and mu > 0.0:
        last = k.busy & (k.fixed_time + r.t + r.tau >= r.T * (1.0 - r.tolerance))
        filled = price + last * (left / last.sum()) if left > 0.0 else price * (watts / (watts - left))
        bounds.append(_best_of_prices(c, work, k, r.access, filled, math.log(mu)))
    return max(bounds)


def _slots(r: Round, price: float) -> float:
    """Slots at one price, computing at prices that add up to it: the end of computing then costs nothing."""
    k = r.tasks
    nothing = np.zeros(k.W.shape)
    computing = dataclasses.replace(k, a=nothing)
    sending = dataclasses.replace(k, W=nothing, fixed_time=nothing, fixed_energy=nothing)
    each = np.where(k.busy, np.maximum(r.allocation.price, 0.0), 0.0)
    total = float(each.sum())
    each = each * (price / total) if total > 0.0 else each
    return math.fsum(dual(computing, each)) + math.fsum(dual(sending, nothing + price))


def least_energy(c: Clients, work: Workload, k: Tasks, access: Access) -> float:
    """What the energy is at least, whatever the duration [J]: the best bound of all prices of bandwidth."""
    scale = math.log(max(math.fsum(least_energies(k)), 1e-300) / access.hertz)
    return _best_of_prices(c, work, k, access, np.zeros(k.W.shape), scale)


def _best_of_prices(c: Clients, work: Workload, k: Tasks, access: Access, price: FloatArray, scale: float) -> float:
    """The greatest bound of all prices of bandwidth: it is concave in them. ``scale``: about ln of the best."""

    def bound(log_mu: float) -> float:
        return _shares(c, work, k, access, price, math.exp(log_mu))

    low, high = scale - 60.0, scale + 20.0
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if bound(left) > bound(right) else (left, high)
    return bound(0.5 * (low + high))


def _shares(c: Clients, work: Workload, k: Tasks, access: Access, price: FloatArray, mu: float) -> float:
    """Everybody on the bandwidth that is cheapest at the price of bandwidth mu, less what the whole band costs."""
    mu = max(mu, 0.0)
    computing = math.fsum(dual(dataclasses.replace(k, a=np.zeros(k.W.shape)), price))
    who = np.flatnonzero(k.sends)
    if not who.size:
        return computing
    clients, bits = c.take(who), work.upload_bits[who]

    def cost(log_b: FloatArray) -> FloatArray:
        b = np.exp(log_b)
        alone = tasks_of(clients, np.zeros(bits.shape), bits, np.zeros(bits.shape), b)
        nothing = np.zeros(bits.shape)
        alone = dataclasses.replace(alone, fixed_time=nothing, fixed_energy=nothing)
        return dual(alone, price[who]) + mu * b

    high = np.full(bits.shape, math.log(access.hertz))
    low = high + math.log(_NARROWEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(_STEPS):
        shrink = at_left < at_right
        low, high = np.where(shrink, low, left), np.where(shrink, right, high)
        new = np.where(shrink, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = cost(new)
        left, right = np.where(shrink, new, right), np.where(shrink, left, new)
        at_left, at_right = np.where(shrink, at_new, at_right), np.where(shrink, at_left, at_new)
    return computing + math.fsum(cost(0.5 * (low + high))) - mu * access.hertz
