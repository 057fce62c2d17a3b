"""Shared bandwidth, the proof: a lower bound of the energy from prices alone, and how well the KKT conditions hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from solvers.access.bandwidth import bandwidth_price, cheapest_upload
from solvers.limits import marginal
from solvers.points import at_price, efficiency_range, energy_of
from solvers.rows import BoolArray, FloatArray, Point, Rows

_AT_BOUND = 1e-12  # relative: a speed this near its bound is at it


def dual_value(r: Rows, sends: BoolArray, price: FloatArray, mu: float, hertz: float, duration: float) -> float:
    """A lower bound of the least energy within ``duration`` [s] and ``hertz`` [Hz], by weak duality.

    True for any prices of time ``price`` >= 0 (N,) [W] and of bandwidth ``mu`` >= 0 [J/Hz]: every row's cheapest
    computing and cheapest upload at these prices, less what time and bandwidth are worth.
    """
    computing = replace(r, bits=np.zeros_like(r.bits))
    f, _ = at_price(r, price)
    with np.errstate(all="ignore"):
        t = np.where(r.work > 0.0, r.work / f, 0.0)
        spent = energy_of(computing, f, np.ones_like(f))
        timed = np.where(price > 0.0, price * (t + r.fixed_time - duration), 0.0)
    total = float(np.where(r.idle, 0.0, spent + timed).sum())
    index = np.flatnonzero(sends)
    if not index.size:
        return total
    return total + float(cheapest_upload(r.take(index).full(), price[index], mu).sum()) - mu * hertz


def residual(r: Rows, sends: BoolArray, point: Point, mu: float, hertz: float, duration: float) -> float:
    """The greatest relative violation of the KKT conditions, from decision and prices.

    2 kappa f^3 - P_s = lambda, F(x)/gamma - P_c = lambda (one-sided at a bound); every row's price of bandwidth is mu;
    rows end in time, those with lambda > 0 at the end; all the bandwidth is used, no more.
    """
    works, price = r.work > 0.0, point.price
    x_min, x_max = efficiency_range(r)
    with np.errstate(all="ignore"):
        sending = marginal(point.efficiency) / r.snr - r.circuit_power
        computing = 2.0 * r.capacitance * point.frequency**3 - r.static_power
        own = np.where(sends, np.abs(bandwidth_price(r, point) / mu - 1.0), 0.0)
    slow = one_sided(
        sending - price, np.maximum(price, np.abs(sending)) + r.circuit_power, point.efficiency, x_min, x_max
    )
    late = one_sided(
        computing - price,
        np.maximum(price, np.abs(computing)) + r.static_power,
        point.frequency,
        r.frequency_min,
        r.frequency_max,
    )
    ends = np.where(r.idle, duration, r.fixed_time + point.compute_time + point.upload_time)
    over = np.where(r.idle, 0.0, ends - duration) / duration if duration > 0.0 else np.zeros_like(ends)
    early = np.where(price > 0.0, np.abs(over), np.maximum(over, 0.0))
    used = abs(float(r.bandwidth[sends].sum()) / hertz - 1.0) if sends.any() else 0.0
    worst = [np.where(sends, np.abs(slow), 0.0), np.where(works, np.abs(late), 0.0), own, early]
    return max(used, *(float(part.max()) for part in worst))


def one_sided(off: FloatArray, unit: FloatArray, value: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Marginal less price, over ``unit``: at the least value it may be above 0, at the greatest below."""
    relative = np.where(unit > 0.0, off / np.where(unit > 0.0, unit, 1.0), 0.0)
    at_low = value <= low * (1.0 + _AT_BOUND)
    at_high = value >= high * (1.0 - _AT_BOUND)
    relative = np.where(at_low, np.minimum(relative, 0.0), relative)
    result: FloatArray = np.where(at_high, np.maximum(relative, 0.0), relative)
    return result
