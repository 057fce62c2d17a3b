"""Units at the door: ``frequency_max[GHz]`` names a field and its unit; ``to_si`` turns the values into SI units.

Used for CSV columns, pandas frames and scenario keys alike. Supported, by SI unit:

==============  =======================================================================
Hz              Hz, kHz, MHz, GHz
s               s, ms, us, min
W               W, kW, mW, uW, dBm, dBW
W/Hz            W/Hz, mW/Hz, dBm/Hz, dBW/Hz
J               J, kJ, mJ, Wh
J s^2           J s^2, W/Hz^3 (the same thing), W/GHz^3
bit             bit, kbit, Mbit, Gbit, B, kB, MB, GB (decimal prefixes; B is 8 bit)
bit/s           bit/s, kbit/s, Mbit/s, Gbit/s
FLOP/cycle      FLOP/cycle
FLOP/sample     FLOP/sample, kFLOP/sample, MFLOP/sample, GFLOP/sample
m               m, km
power ratio     dB (a channel gain; without a unit it is the plain ratio)
==============  =======================================================================
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import Field, FloatArray, InputError, kind, reals

RATIO = "power ratio"

# A unit is (factor, divisor): value * factor / divisor. Small units divide, because 1e3 is exact in a double and
# 1e-3 is not: 300 ms then reads as exactly the double 0.3.
_LINEAR: dict[str, dict[str, tuple[float, float]]] = {
    "Hz": {"Hz": (1, 1), "kHz": (1e3, 1), "MHz": (1e6, 1), "GHz": (1e9, 1)},
    "s": {"s": (1, 1), "ms": (1, 1e3), "us": (1, 1e6), "min": (60, 1)},
    "W": {"W": (1, 1), "kW": (1e3, 1), "mW": (1, 1e3), "uW": (1, 1e6)},
    "W/Hz": {"W/Hz": (1, 1), "mW/Hz": (1, 1e3)},
    "J": {"J": (1, 1), "kJ": (1e3, 1), "mJ": (1, 1e3), "Wh": (3600, 1)},
    "J s^2": {"J s^2": (1, 1), "W/Hz^3": (1, 1), "W/GHz^3": (1, 1e27)},
    "bit": {
        "bit": (1, 1), "kbit": (1e3, 1), "Mbit": (1e6, 1), "Gbit": (1e9, 1),
        "B": (8, 1), "kB": (8e3, 1), "MB": (8e6, 1), "GB": (8e9, 1),
    },
    "bit/s": {"bit/s": (1, 1), "kbit/s": (1e3, 1), "Mbit/s": (1e6, 1), "Gbit/s": (1e9, 1)},
    "FLOP/cycle": {"FLOP/cycle": (1, 1)},
    "FLOP/sample": {
        "FLOP/sample": (1, 1), "kFLOP/sample": (1e3, 1), "MFLOP/sample": (1e6, 1), "GFLOP/sample": (1e9, 1),
    },
    "m": {"m": (1, 1), "km": (1e3, 1)},
    RATIO: {},
}  # fmt: skip

# Level units: the reference in dB that 0 stands for, relative to the SI unit.
_LEVEL: dict[str, dict[str, float]] = {
    "W": {"dBm": -30.0, "dBW": 0.0},
    "W/Hz": {"dBm/Hz": -30.0, "dBW/Hz": 0.0},
    RATIO: {"dB": 0.0},
}

_LONGEST = 80  # characters of a name with its unit
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(?:\[([^\[\]]*)\])?")


def parse_name(text: str) -> tuple[str, str | None]:
    """Split ``"frequency_max[GHz]"`` into ("frequency_max", "GHz"); the unit is None where none is written.

    Raises InputError where the text is not a name with at most one unit in square brackets.
    """
    kind("column name", text, str, "a name such as frequency_max or frequency_max[GHz]")
    text = text.strip()
    match = _NAME.fullmatch(text[: _LONGEST + 1])
    if match is None or len(text) > _LONGEST:
        raise InputError("column name", "a name such as frequency_max or frequency_max[GHz]", repr(text[:80]))
    field, unit = match.groups()
    return field, None if unit is None else unit.strip()


def quantity(field: Field) -> str:
    """The SI unit to convert a column of Clients to: the field's own, or "power ratio" for the channel gain."""
    return RATIO if field.name == "channel_gain" else field.unit


def allowed(si_unit: str) -> tuple[str, ...]:
    """The units that ``to_si`` converts to ``si_unit``; empty for a pure number."""
    return (*_LINEAR.get(si_unit, ()), *_LEVEL.get(si_unit, ()))


def to_si(values: Any, unit: str | None, si_unit: str) -> FloatArray:
    """Convert numbers to the SI unit.

    Parameters
    ----------
    values : number or array of any shape, in ``unit``.
    unit : as written by the user; None leaves the values as they are.
    si_unit : the unit wanted, such as "Hz", or "power ratio" for dB.

    Returns
    -------
    float64 array of the same shape. Raises InputError where ``unit`` is of another dimension or unknown, and for a
    number that is finite and not 0 in its unit only.
    """
    array = reals("value", values)
    kind("unit", unit, (str, type(None)), "a unit's name, or None")
    if unit is None:
        return array
    level = _LEVEL.get(si_unit, {}).get(unit)
    if level is not None:
        ratios = from_db(array + level)
        return _kept(array, unit, ratios, si_unit, np.isfinite(array))
    linear = _LINEAR.get(si_unit, {}).get(unit)
    if linear is None:
        units = allowed(si_unit)
        expected = "one of " + ", ".join(units) if units else "no unit (a pure number)"
        raise InputError("unit", expected, repr(unit))
    factor, divisor = linear
    with np.errstate(over="ignore", under="ignore"):
        result: FloatArray = array * factor / divisor
    return _kept(array, unit, result, si_unit, np.isfinite(array) & (array != 0.0))


def _kept(values: FloatArray, unit: str, converted: FloatArray, si_unit: str, some: NDArray[np.bool_]) -> FloatArray:
    """The converted numbers. Raises InputError where one of ``some`` became 0 or inf, which its field may take."""
    lost = np.atleast_1d(some & (np.isinf(converted) | (converted == 0.0)))
    if lost.any():
        first = int(np.argmax(lost))
        found = f"{float(np.atleast_1d(values)[first])!r} {unit}"
        client = first if values.ndim else None
        raise InputError("value", f"a number within the range of a double ({si_unit})", found, client)
    return converted


def from_db(decibel: Any) -> FloatArray:
    """Power ratio 10^(x/10) of a level [dB]; -inf is 0. Raises InputError for what is no number."""
    with np.errstate(over="ignore", under="ignore"):
        result: FloatArray = np.power(10.0, reals("decibel", decibel) / 10.0)
    return result


def to_db(ratio: Any) -> FloatArray:
    """Level 10 log10(x) [dB] of a power ratio; 0 is -inf. Raises InputError for a negative ratio or NaN."""
    array = reals("ratio", ratio)
    if not (array >= 0.0).all():
        raise InputError("ratio", "0 or more", repr(float(array[~(array >= 0.0)].ravel()[0])))
    with np.errstate(divide="ignore"):
        result: FloatArray = 10.0 * np.log10(array)
    return result


def dbm_to_watt(level: Any) -> FloatArray:
    """Power [W] of a level [dBm]: 23 dBm is 0.19953 W. Raises InputError where that is beyond a double."""
    return to_si(level, "dBm", "W")


def watt_to_dbm(power: Any) -> FloatArray:
    """Level [dBm] of a power [W]. Raises InputError for a negative power or NaN."""
    return to_db(power) + 30.0
