"""Level 3, readable: one scalar root in the price of time, all rows side by side in numpy.

For a price lambda >= 0 the best frequency and efficiency are closed form (section 4 of the model) and the time they
take never rises with lambda, so bisection finds the least price that fits the duration. Slow, plain and independent
of the compiled kernel: its second truth.
"""

from __future__ import annotations

import numpy as np

from solvers.elementary import EXP_MAX
from solvers.limits import efficiency_range, inverse_marginal, limits, marginal
from solvers.rows import ROUNDING, BoolArray, FloatArray, Point, Rows

_DEAREST = 1e308  # [W] the greatest price looked at where there is no greatest power
_STEPS = 1100  # halvings of the bracket in ln(lambda) stop earlier, when the bracket is two neighbours


def allocate(rows: Rows, duration: float) -> Point:
    """The least-energy point of every row within ``duration`` [s]; (N,) arrays."""
    r = rows.full()
    a = r.transfer
    available = duration - r.fixed_time  # T' [s]
    least = limits(r)
    feasible = r.idle | (duration >= least.least_time * ROUNDING)
    slack = r.idle | (duration >= least.free_time)
    with np.errstate(all="ignore"):
        price = np.where(slack, 0.0, _price(r, a, available))
        f, x = _at_price(r, price)
        t, tau = _times(r, a, f, x)
        t, tau = _fill(r, a, available, slack, t, tau)
        f = np.where(r.work > 0.0, np.clip(r.work / t, r.frequency_min, r.frequency_max), f)
        x = np.where(r.bits > 0.0, np.clip(a / tau, *efficiency_range(r)), x)
        energy = _energy(r, a, f, x, t, tau)
        beyond = (r.bits > 0.0) & (x >= EXP_MAX)  # more power than a double holds, where power has no limit
        energy, price = np.where(beyond, np.inf, energy), np.where(beyond, np.inf, price)

    def mask(values: FloatArray, idle: float, failed: float) -> FloatArray:
        result: FloatArray = np.where(feasible, np.where(r.idle, idle, values), failed)
        return result

    return Point(
        frequency=mask(f, 0.0, np.nan),
        efficiency=mask(x, 0.0, np.nan),
        compute_time=mask(t, 0.0, np.nan),
        upload_time=mask(tau, 0.0, np.nan),
        energy=mask(energy, 0.0, np.inf),
        price=mask(price, 0.0, np.nan),
        feasible=feasible,
    )


def _at_price(r: Rows, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f(lambda) = clip(((lambda + P_s)/2 kappa)^(1/3)), x(lambda) = clip(F^-1(gamma (lambda + P_c)))."""
    f = np.clip(np.cbrt((price + r.static_power) / (2.0 * r.capacitance)), r.frequency_min, r.frequency_max)
    x = np.clip(inverse_marginal(r.snr * (price + r.circuit_power)), *efficiency_range(r))
    return f, x


def _times(r: Rows, a: FloatArray, f: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    t = np.where(r.work > 0.0, r.work / f, 0.0)
    tau = np.where(r.bits > 0.0, a / x, 0.0)
    return t, tau


def _price(r: Rows, a: FloatArray, available: FloatArray) -> FloatArray:
    """The least price at which computing and sending fit into the available time, by bisection on its logarithm."""
    _, x_max = efficiency_range(r)
    top_compute = np.where(r.work > 0.0, 2.0 * r.capacitance * r.frequency_max**3 - r.static_power, 0.0)
    top_upload = np.where(r.bits > 0.0, marginal(x_max) / r.snr - r.circuit_power, 0.0)
    high = np.maximum(np.maximum(top_compute, top_upload), 0.0)  # the least price of T_min
    high = np.where(np.isfinite(high), high, _DEAREST)
    low = np.minimum(high * 1e-60, 1e-300)
    for _ in range(_STEPS):
        middle = np.where(high > 2.0 * low, np.sqrt(low) * np.sqrt(high), 0.5 * (low + high))
        t, tau = _times(r, a, *_at_price(r, middle))
        fits = t + tau <= available
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
        if np.all(high - low <= 4.5e-16 * high):
            break
    result: FloatArray = high
    return result


def _fill(
    r: Rows, a: FloatArray, available: FloatArray, slack: BoolArray, t: FloatArray, tau: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Use the time to its end: the larger of both times takes the rounding of the price."""
    x_min, x_max = efficiency_range(r)
    tau_min = np.where(r.bits > 0.0, a / x_max, 0.0)
    tau_max = np.where(r.bits > 0.0, a / x_min, 0.0)
    t_min = np.where(r.work > 0.0, r.work / r.frequency_max, 0.0)
    t_max = np.where(r.work > 0.0, r.work / r.frequency_min, 0.0)
    compute_long = (t >= tau) & (r.work > 0.0)
    filled_t = np.where(~slack & compute_long, np.clip(available - tau, t_min, t_max), t)
    upload_long = ~compute_long & (r.bits > 0.0)
    filled_tau = np.where(~slack & upload_long, np.clip(available - t, tau_min, tau_max), tau)
    return filled_t, filled_tau


def _energy(r: Rows, a: FloatArray, f: FloatArray, x: FloatArray, t: FloatArray, tau: FloatArray) -> FloatArray:
    """kappa W f^2 + P_s t + (a/gamma)(e^x - 1)/x + P_c tau + download."""
    nats = np.where(x < 1e-8, 1.0 + 0.5 * x, np.expm1(x) / x)
    compute = np.where(r.work > 0.0, r.capacitance * r.work * f * f + r.static_power * t, 0.0)
    upload = np.where(r.bits > 0.0, a / r.snr * nats + r.circuit_power * tau, 0.0)
    result: FloatArray = r.fixed_energy + (compute + upload)
    return result
