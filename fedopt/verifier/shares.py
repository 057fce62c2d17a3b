"""Shared bandwidth: what a client sends for at least, at a price of time and a price of bandwidth.

In whole channels, a = s ln 2 / B and gamma = h / (N0 B): an upload at efficiency x on the share beta takes
tau = a / (beta x) at the power p = (e^x - 1) beta / gamma. With q = price + P_c and mu [J] the price of the channel it
costs tau (p + q) + mu beta: in (x, ln p) a sum of terms whose logarithms are convex, as ln((e^x - 1)/x) and
-ln(e^x - 1) are. So it has one minimum, and where that is beyond a bound of p the least is at that bound:

    between the bounds:  F(x) / sqrt(x) = gamma sqrt(q mu / a),  tau = gamma mu / F(x)
    at the bound G = gamma p:  F(x) (e^x - 1)^2 e^-x / x^2 = mu G^2 / (a (q + G / gamma)),  beta = G / (e^x - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedopt.checks import FloatArray
from fedopt.verifier.model import Tasks, marginal, speeds, times

_NEWTONS = 60
_STEPS = 60
_CLOSE = 1e-13  # relative
_LEAST = 1e-100  # nats: beyond that x is 0
_WIDE = 50.0  # in logarithms, to both sides of a price of the right size
_NARROWEST = 1e-40  # of the band: no client is looked at on less


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What the senders pay at least [J], the shares they take, and their time [s]; 0 for who sends nothing."""

    cost: FloatArray
    share: FloatArray
    time: FloatArray


def shares(k: Tasks, price: FloatArray, mu: float) -> Shares:
    """The least of upload energy + price x time + mu x share, for tasks ``k`` on the whole channel.

    Where a number leaves the range of doubles the cost is Shannon's limit a / gamma, which nobody is below.
    """
    with np.errstate(all="ignore"):
        q = price + k.p_c
        x = _inside(k.gamma * np.sqrt(q / k.a) * np.sqrt(mu))
        f = marginal(x)
        share, time = k.a * f / (k.gamma * mu * x), k.gamma * mu / f
        snr = np.expm1(x) * share
        bound = np.clip(snr, np.expm1(k.x_min), np.expm1(k.x_max))
        at_bound = bound != snr
        if at_bound.any():
            y = _at_bound(mu / (q + bound / k.gamma) * bound * bound / k.a)
            x, share = np.where(at_bound, y, x), np.where(at_bound, bound / np.expm1(y), share)
            time = np.where(at_bound, k.a / (share * x), time)
        cost = k.a / k.gamma * (np.expm1(x) / x) + q * time + mu * share
        cost = np.where(cost < np.inf, cost, k.a / k.gamma)
    return Shares(*(np.where(k.sends, values, 0.0) for values in (cost, share, time)))


def _inside(target: FloatArray) -> FloatArray:
    """x with F(x) / sqrt(x) = target. F(x) >= x^2 / 2, and >= 0.7 sqrt(x) e^x from 2 on: so x is no more than x_0."""
    start: FloatArray = np.minimum(np.cbrt(2.0 * target) ** 2, np.maximum(2.0, np.log(target / 0.7)))
    x = np.maximum(start, _LEAST)
    for _ in range(_NEWTONS):  # in ln x, where it is convex
        f = marginal(x)
        step = (np.log(f / target) - 0.5 * np.log(x)) / (x * x * np.exp(x) / f - 0.5)
        x = np.maximum(x * np.exp(-np.nan_to_num(step, posinf=0.0, neginf=0.0)), _LEAST)
        if not (np.abs(step) > _CLOSE).any():
            break
    result: FloatArray = x
    return result


def _at_bound(target: FloatArray) -> FloatArray:
    """x with F(x) (e^x - 1)^2 e^-x / x^2 = target: it is no less than x^2 / 2, nor than e^1.5x / 2 from 2 on."""
    start = np.minimum(np.sqrt(2.0 * target), np.maximum(2.0, np.log(2.0 * target) / 1.5))
    x = np.maximum(start, _LEAST)
    for _ in range(_NEWTONS):
        f, e = marginal(x), np.expm1(x)
        off = np.log(f / target) + 2.0 * np.log(e / x) - x
        step = off / (x * x * np.exp(x) / f - 2.0 + x * (e + 2.0) / e)
        x = np.maximum(x * np.exp(-np.nan_to_num(step, posinf=0.0, neginf=0.0)), _LEAST)
        if not (np.abs(step) > _CLOSE).any():
            break
    return x


def prices(k: Tasks, T: float, mu: float) -> FloatArray:
    """The price of time at which each task takes T seconds [W], 0 for idle ones; any other would be as valid a price.

    The time falls with the price: false position in logarithms, the end that stays counted half (Illinois), with every
    third step a halving.
    """
    centre = np.log(mu) - np.log(max(T, 1e-300))
    low, high = np.full(k.W.shape, centre - _WIDE), np.full(k.W.shape, centre + _WIDE)

    def excess(log_price: FloatArray) -> FloatArray:
        price = np.exp(log_price)
        computing, _ = times(k, *speeds(k, price))
        return np.log((k.fixed_time + computing + shares(k, price, mu).time) / T)

    with np.errstate(all="ignore"):
        over, under = excess(low), excess(high)
        z = np.where(over > 0.0, high, low)
        done, last, step = ~k.busy | ~(over > 0.0) | ~(under < 0.0), np.zeros(k.W.shape), 0
        while step < 3 * _STEPS and not done.all():  # at a kink halving alone gets on
            new = high - under * ((high - low) / (under - over))
            middle = 0.5 * (low + high)
            new = middle if step % 3 == 2 else np.where((low < new) & (new < high), new, middle)
            z = np.where(done, z, new)
            found = excess(z)
            up = np.sign(found)
            under, over = np.where(up == last, 0.5 * under, under), np.where(up == last, 0.5 * over, over)
            low, over = np.where(up > 0.0, z, low), np.where(up > 0.0, found, over)
            high, under = np.where(up > 0.0, high, z), np.where(up > 0.0, under, found)
            done, last = done | (np.abs(found) <= _CLOSE) | (high - low <= _CLOSE), up
            step += 1
    return np.where(k.busy, np.exp(z), 0.0)


def narrowest(k: Tasks, T: float) -> FloatArray:
    """The least share on which each task ends at T, at full speed and power; inf where the channel is too narrow."""
    with np.errstate(all="ignore"):
        t, _ = times(k, k.f_max, k.x_max)
        left = T - k.fixed_time - t
        efficiency, snr = k.a / left, np.expm1(k.x_max)
        low, high = np.full(k.a.shape, np.log(_NARROWEST)), np.zeros(k.a.shape)
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            share = np.exp(middle)
            enough = share * np.log1p(snr / share) >= efficiency
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        possible = np.where(k.sends, (left > 0.0) & (np.log1p(snr) >= efficiency), left >= 0.0)
    return np.where(possible | ~k.busy, np.where(k.sends, np.exp(low), 0.0), np.inf)
