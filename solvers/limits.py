"""The limits of every row: least duration, duration of least energy, least energy; readable numpy."""

from __future__ import annotations

import numpy as np

from solvers.rows import FloatArray, Limits, Rows


def marginal(x: FloatArray) -> FloatArray:
    """F(x) = 1 + (x - 1) e^x, the marginal upload energy times gamma: -d/dtau of tau (e^x - 1) at x = a/tau.

    Below 1 the sum over k >= 2 of x^k (k - 1)/k! is used; the closed form loses all digits there.
    """
    near = np.minimum(x, 1.0)
    term = near * near  # x^k / (k - 2)!, and (k - 1)/k! = 1/(k (k - 2)!)
    series = term / 2.0
    for k in range(3, 22):
        term = term * near / (k - 2)
        series = series + term / k
    with np.errstate(over="ignore"):
        far = 1.0 + (x - 1.0) * np.exp(x)
    result: FloatArray = np.where(x < 1.0, series, far)
    return result


def inverse_marginal(m: FloatArray) -> FloatArray:
    """x with F(x) = m >= 0: x = 1 + W0((m - 1)/e), refined by Newton on ln F where Lambert's W loses digits.

    ``m`` may be inf (x is inf). Relative error below 4e-16 away from 0, where x = sqrt(2m).
    """
    if not m.any():
        return np.zeros_like(m)
    from scipy.special import lambertw  # half of all the time an import of this package would take

    with np.errstate(all="ignore"):
        large = 1.0 + lambertw((m - 1.0) / np.e, 0).real
        root = np.sqrt(2.0 * m)
        x = np.where(m < 1e-3, root - 2.0 * m / 3.0, large)
        for _ in range(3):  # ln F is nearly linear in ln x: slope 2 for small x
            value = marginal(x)
            step = np.log(value / m) * (value * np.exp(-x)) / (x * x)
            x = np.where((m > 1e-30) & (m < np.inf), x * np.exp(-step), x)
    result: FloatArray = np.where(m == 0.0, 0.0, np.where(np.isinf(m), np.inf, x))
    return result


def limits(rows: Rows) -> Limits:
    """Least duration, flat duration and least energy of every row (sections 4 and 5 of the model)."""
    r = rows.full()
    a = r.transfer
    with np.errstate(all="ignore"):
        _, x_max = efficiency_range(r)
        compute_least = r.work / r.frequency_max
        upload_least = np.where(r.bits > 0.0, a / x_max, 0.0)
        least_time = np.where(r.idle, 0.0, r.fixed_time + (compute_least + upload_least))
        f, x = free_point(r)
        compute_free = np.where(r.work > 0.0, r.work / f, 0.0)
        upload_free = np.where(r.bits > 0.0, a / x, 0.0)
        free_time = np.where(r.idle, 0.0, r.fixed_time + (compute_free + upload_free))
        static = np.where(r.static_power > 0.0, r.static_power * compute_free, 0.0)
        compute = np.where(r.work > 0.0, r.capacitance * r.work * f * f + static, 0.0)
        nats = np.where(x < 1e-8, 1.0 + 0.5 * x, np.expm1(x) / x)  # (e^x - 1)/x
        circuit = np.where(r.circuit_power > 0.0, r.circuit_power * upload_free, 0.0)
        upload = np.where(r.bits > 0.0, a / r.snr * nats + circuit, 0.0)
        energy = np.where(r.idle, 0.0, r.fixed_energy + (compute + upload))
    unreachable = np.isinf(least_time)
    return Limits(
        least_time=least_time,
        free_time=np.where(unreachable, np.inf, free_time),
        least_energy=np.where(unreachable, np.inf, energy),
    )


def free_point(r: Rows) -> tuple[FloatArray, FloatArray]:
    """f(0) and x(0), what a row does when time costs nothing; full columns in, (N,) out."""
    with np.errstate(all="ignore"):
        f = np.clip(np.cbrt(r.static_power / (2.0 * r.capacitance)), r.frequency_min, r.frequency_max)
        x_min, x_max = efficiency_range(r)
        x = np.clip(inverse_marginal(r.snr * r.circuit_power), x_min, x_max)
    return f, x


def efficiency_range(r: Rows) -> tuple[FloatArray, FloatArray]:
    """x at p_min and at p_max; 0 without gain, whatever the power."""
    with np.errstate(all="ignore"):
        low, high = r.snr * r.power_min, np.where(r.snr > 0.0, r.snr * r.power_max, 0.0)
    return np.log1p(low), np.log1p(high)
