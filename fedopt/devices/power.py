"""Fit the power model P(f) = kappa f^3 + P_s to a measured table of frequencies and powers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedopt.checks import Field, FloatArray, InputError, column

# What one loaded CPU core can be. The bounds are wide (a factor of ten beyond any core ever sold) and there to catch
# slips of unit: kHz for Hz, or a power table that is off by 1e6.
FREQUENCY_RANGE = (1e7, 1e11)  # [Hz]
PEAK_POWER_RANGE = (1e-2, 1e2)  # [W] at the highest frequency

LEAST_POINTS = 4  # two parameters, and two more points that could contradict them
LEAST_SPAN = 1.2  # f_max / f_min; closer together f^3 and a constant cannot be told apart
ROUNDING = 1e-12  # of the greatest power: a dynamic part this small is what rounding makes of a constant table
LARGEST_ERROR = 0.2  # median relative error of an acceptable fit
LARGEST_DROP = 1.0 / 3.0  # of the greatest power: a step may lie this far below a lower frequency (meters err)

_FREQUENCY = Field(name="frequency", unit="Hz", meaning="CPU frequency")
_POWER = Field(name="power", unit="W", meaning="power of one loaded core")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFit:
    """A fitted power model P(f) = kappa f^3 + P_s, and how good it is.

    capacitance : [J s^2] kappa. static_power : [W] P_s. frequency_min, frequency_max : [Hz] the measured range.
    error, worst : median and greatest relative error over the points, abs(fit / measured - 1). points : how many.
    """

    capacitance: float
    static_power: float
    frequency_min: float
    frequency_max: float
    error: float
    worst: float
    points: int

    def power(self, frequency: Any) -> FloatArray:
        """The fitted power [W] at any number of frequencies [Hz]."""
        f = np.asarray(frequency, dtype=np.float64)
        result: FloatArray = self.capacitance * f**3 + self.static_power
        return result


def fit_power(frequency: Any, power: Any) -> PowerFit:
    """Fit kappa > 0 and P_s >= 0 to measured powers, or refuse a table that cannot be right.

    Minimises the sum of squared *relative* errors, ((kappa f^3 + P_s) / P - 1)^2: power spans two decades over a
    core's range and a meter errs in proportion, so absolute squares would fit the top steps only.

    Parameters
    ----------
    frequency : (n,) [Hz], in any order.
    power : (n,) [W] of one loaded core above the idle device.

    Raises
    ------
    InputError with the reason: fewer than 4 points of different frequency, a power that is not positive, values no CPU
    core can have (a slip of unit), frequencies too close together, power that falls as frequency rises, no dynamic
    power, or a median error above 20 %.
    """
    f = _points(_FREQUENCY, frequency, None)
    different = np.unique(f).size
    if different < LEAST_POINTS:
        found = f"{different}" if different == f.size else f"{different} in {f.size} points"
        raise InputError("fit_power.frequency", f"at least {LEAST_POINTS} points of different frequency", found)
    p = _points(_POWER, power, f.size)
    order = np.argsort(f, kind="stable")
    f, p = f[order], p[order]
    _refuse_impossible(f, p)
    capacitance, static = _relative_least_squares(f, p)
    if capacitance * f[-1] ** 3 <= ROUNDING * p.max():
        raise InputError("fit_power.power", "power that grows with frequency", "no part that grows like f^3")
    deviation = np.abs((capacitance * f**3 + static) / p - 1.0)
    error = float(np.median(deviation))
    if error > LARGEST_ERROR:
        expected = f"powers that follow kappa f^3 + P_s within {LARGEST_ERROR:.0%} at the median"
        raise InputError("fit_power.power", expected, f"{error:.1%}")
    return PowerFit(
        capacitance=capacitance,
        static_power=static,
        frequency_min=float(f[0]),
        frequency_max=float(f[-1]),
        error=error,
        worst=float(deviation.max()),
        points=int(f.size),
    )


def _refuse_impossible(f: FloatArray, p: FloatArray) -> None:
    """Raise InputError for what no CPU core can show; f [Hz] sorted, p [W]."""
    low, high = FREQUENCY_RANGE
    if f[0] < low or f[-1] > high:
        wrong = f[0] if f[0] < low else f[-1]
        raise InputError(
            "fit_power.frequency", f"{low:g} to {high:g} Hz for a CPU core", f"{wrong:g} Hz (a slip of unit?)"
        )
    if f[-1] < LEAST_SPAN * f[0]:
        found = f"{f[0]:g} to {f[-1]:g} Hz"
        raise InputError("fit_power.frequency", f"a range of at least a factor of {LEAST_SPAN}", found)
    low, high = PEAK_POWER_RANGE
    if not low <= p.max() <= high:
        found = f"{p.max():.3g} W (a slip of unit?)"
        raise InputError("fit_power.power", f"a greatest power of {low:g} to {high:g} W for a CPU core", found)
    before = np.maximum.accumulate(p)
    worst = int(np.argmax(before - p))
    if before[worst] - p[worst] > LARGEST_DROP * p.max():
        found = f"{p[worst]:.3g} W at {f[worst]:g} Hz after {before[worst]:.3g} W at a lower frequency"
        raise InputError("fit_power.power", "power that does not fall as frequency rises", found)


def _points(field: Field, values: Any, size: int | None) -> FloatArray:
    """Check one column of the table; an error speaks of points."""
    try:
        return np.atleast_1d(column("fit_power", field, values, size))
    except InputError as error:
        where = error.field if error.client is None else f"{error.field}, point {error.client}"
        expected = error.expected if error.client is None else f"a number above 0 {field.unit}"
        raise InputError(where, expected.replace("client", "point"), error.found) from None


def _relative_least_squares(f: FloatArray, p: FloatArray) -> tuple[float, float]:
    """kappa and P_s, both >= 0, of least squared relative error; f in GHz inside, so both columns are of order one."""
    from scipy.optimize import nnls

    columns = np.column_stack(((f / 1e9) ** 3 / p, 1.0 / p))
    solution, _ = nnls(columns, np.ones(f.size))
    return float(solution[0]) / 1e27, float(solution[1])
