"""From the times of every row to level 3's answer: what the wrapped backends share, readable numpy."""

from __future__ import annotations

import numpy as np

from solvers.elementary import EXP_MAX
from solvers.limits import efficiency_range, free_point, inverse_marginal, marginal
from solvers.rows import BoolArray, FloatArray, Point, Rows

_AT_BOUND = 4e-15  # relative: a speed this near its least one is at it; rounding takes it no farther
_HIDDEN = 3e-12  # relative: what a backend's times, good to 1e-12, leave open of a marginal power


def complete(r: Rows, feasible: BoolArray, t: FloatArray, tau: FloatArray, price: FloatArray) -> Point:
    """The Point of times t, tau [s] and prices [W]: f = W/t and x = a/tau, clipped to the bounds, energy from them.

    r : full rows. feasible : (N,); where False, energy is inf and the rest NaN. t, tau, price : (N,), ignored where
    idle or infeasible, t also where nothing is computed (f is f(price) then), tau also where nothing is sent.
    """
    a = r.transfer
    with np.errstate(all="ignore"):
        f_free, x_free = at_price(r, price)
        f = np.where(r.work > 0.0, np.clip(r.work / t, r.frequency_min, r.frequency_max), f_free)
        x = np.where(r.bits > 0.0, np.clip(a / tau, *efficiency_range(r)), x_free)
        t = np.where(r.work > 0.0, r.work / f, 0.0)
        tau = np.where(r.bits > 0.0, a / x, 0.0)
        energy = energy_of(r, f, x)

    def mask(values: FloatArray, failed: float) -> FloatArray:
        result: FloatArray = np.where(feasible, np.where(r.idle, 0.0, values), failed)
        return result

    return Point(
        frequency=mask(f, np.nan),
        efficiency=mask(x, np.nan),
        compute_time=mask(t, np.nan),
        upload_time=mask(tau, np.nan),
        energy=mask(energy, np.inf),
        price=mask(price, np.nan),
        feasible=feasible,
    )


def at_price(r: Rows, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f(lambda) and x(lambda), section 4 of the model; full rows."""
    with np.errstate(all="ignore"):
        f = np.clip(np.cbrt((price + r.static_power) / (2.0 * r.capacitance)), r.frequency_min, r.frequency_max)
        x = np.clip(inverse_marginal(r.snr * (price + r.circuit_power)), *efficiency_range(r))
    return f, x


def energy_of(r: Rows, f: FloatArray, x: FloatArray) -> FloatArray:
    """kappa W f^2 + P_s W/f + (a/gamma) (e^x - 1)/x + P_c a/x + download [J]; nothing to do costs nothing.

    Infinite from x = 700 on, as in the compiled kernel: beyond a double, whatever the gain.
    """
    a = r.transfer
    with np.errstate(all="ignore"):
        nats = np.where(x < 1e-8, 1.0 + 0.5 * x, np.where(x < EXP_MAX, np.expm1(x) / x, np.inf))
        static = np.where(r.static_power > 0.0, r.static_power * r.work / f, 0.0)
        compute = np.where(r.work > 0.0, r.capacitance * r.work * f * f + static, 0.0)
        circuit = np.where(r.circuit_power > 0.0, r.circuit_power * a / x, 0.0)
        upload = np.where(r.bits > 0.0, a / r.snr * nats + circuit, 0.0)
    result: FloatArray = r.fixed_energy + (compute + upload)
    return result


def least_price(r: Rows, f: FloatArray, x: FloatArray) -> FloatArray:
    """The least lambda >= 0 [W] for which f(lambda) >= f and x(lambda) >= x, where both meet their time.

    A speed above its least one asks for its marginal: 2 kappa f^3 - P_s or F(x)/gamma - P_c (section 4 of the model);
    one at its least one, unless that is its greatest, allows no more than that. Inside their bounds both say the same,
    the lesser of 2 kappa f^3 and F(x)/gamma with less rounding; the other one counts only where it asks for more than
    its rounding makes.
    """
    x_min, x_max = efficiency_range(r)
    computing, sending = r.work > 0.0, r.bits > 0.0
    slow_f, slow_x = r.frequency_min * (1.0 + _AT_BOUND), x_min * (1.0 + _AT_BOUND)
    with np.errstate(all="ignore"):
        speed, rate = 2.0 * r.capacitance * f**3, marginal(x) / r.snr
        of_time, of_upload = speed - r.static_power, rate - r.circuit_power
        fast, quick = computing & (f > slow_f), sending & (x > slow_x)
        first = speed < rate
        finer, coarser = np.where(first, of_time, of_upload), np.where(first, of_upload, of_time)
        hidden = _HIDDEN * np.where(first, rate * (1.0 + x), speed)
        both = np.where((coarser - finer <= hidden) & (hidden < np.inf), finer, coarser)
        alone = np.where(fast, of_time, of_upload)
        slower = np.where(fast, sending & (slow_x < x_max), computing & (slow_f < r.frequency_max))
        allowed = np.where(slower, np.where(fast, of_upload, of_time), np.inf)
    price = np.where(fast & quick, both, np.where(fast | quick, np.minimum(alone, allowed), 0.0))
    result: FloatArray = np.maximum(price, 0.0)
    return result


def free_times(r: Rows) -> tuple[FloatArray, FloatArray]:
    """t(0) and tau(0): what a row takes when time costs nothing; 0 where there is nothing to do, inf where endless."""
    with np.errstate(all="ignore"):
        f, x = free_point(r)
        t = np.where(r.work > 0.0, r.work / f, 0.0)
        tau = np.where(r.bits > 0.0, r.transfer / x, 0.0)
    return t, tau


def dual_bound(r: Rows, price: FloatArray, available: FloatArray) -> FloatArray:
    """A lower bound of each row's energy [J] within ``available`` = T' [s]: min (E + lambda (t + tau)) - lambda T'.

    Weak duality: true for any price >= 0, and equal to the least energy at the right one.
    """
    f, x = at_price(r, price)
    with np.errstate(all="ignore"):
        t = np.where(r.work > 0.0, r.work / f, 0.0)
        tau = np.where(r.bits > 0.0, r.transfer / x, 0.0)
        saved = np.where(price > 0.0, price * (available - t - tau), 0.0)
        result: FloatArray = energy_of(r, f, x) - saved
    return result


def trimmed(r: Rows, available: FloatArray, t: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A backend's times moved inside the bounds of f and x and into ``available`` [s], the longer one giving way.

    Backends keep constraints to their own tolerance only; what they overshoot is taken back here.
    """
    x_min, x_max = efficiency_range(r)
    with np.errstate(all="ignore"):
        t = np.where(r.work > 0.0, np.clip(t, r.work / r.frequency_max, r.work / r.frequency_min), 0.0)
        tau = np.where(r.bits > 0.0, np.clip(tau, r.transfer / x_max, r.transfer / x_min), 0.0)
    excess = np.maximum(t + tau - available, 0.0)
    return np.where(t >= tau, t - excess, t), np.where(t >= tau, tau, tau - excess)
