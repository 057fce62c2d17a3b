"""The radio channel: path loss, shadowing, fading and noise, all as plain power ratios (multiply them).

    gain = channel.gain_3gpp(distance) * channel.shadowing(n, seed=rng) * channel.rayleigh(n, seed=rng)

Randomness enters as a seed or a ``numpy.random.Generator``; one generator handed from call to call gives independent
draws, the same integer in two calls gives the same draws.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedopt.checks import Field, FloatArray, InputError, column, number, refuse, whole
from fedopt.units import from_db

LIGHT = 299_792_458.0  # [m/s], exact by definition of the metre
BOLTZMANN = 1.380649e-23  # [J/K], exact by definition of the kelvin

MOST = 2**53  # clients or samples: beyond, a double no longer counts them

_DISTANCE = Field(name="distance", unit="m", meaning="between client and base station")


def generator(seed: Any) -> np.random.Generator:
    """The generator of a seed: a whole number from 0 on, or a Generator (used as it is). Raises InputError."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is None:
        refuse("seed", "a whole number or a numpy Generator, so that the draw can be repeated", seed)
    return np.random.default_rng(whole("seed", seed))


def gain_3gpp(distance: Any) -> FloatArray:
    """Macro cell at 2 GHz: path loss 128.1 + 37.6 log10(d / 1 km) dB, as a power gain.

    distance : [m] > 0, any number of them. The model was made for 35 m and more; what gives a gain above 1
    (d < 0.4 m) is refused. Source: the macro cell of 3GPP TR 36.814, annex A (and of TR 25.814 before it).
    """
    d = _distances(distance)
    return _passive(from_db(-(128.1 + 37.6 * np.log10(d / 1e3))), d)


def gain_power_law(distance: Any, *, reference_gain: float = 1e-4, exponent: float = 4.0) -> FloatArray:
    """Log-distance path loss: h0 (d / 1 m)^-n.

    distance : [m] > 0. reference_gain : h0, the gain at 1 m, 0 < h0 <= 1. exponent : n, 2 in free space, 3 to 5 in
    cities. The defaults (-40 dB, n = 4) are those of Tran et al., INFOCOM 2019. Source of the model: Rappaport,
    Wireless Communications, 2nd ed., section 4.9.1. Raises InputError, also where the gain would exceed 1.
    """
    h0 = number("reference_gain", reference_gain)
    if h0 > 1.0:
        raise InputError("reference_gain", "a gain of at most 1", f"{h0:g}")
    n = number("exponent", exponent)
    d = _distances(distance)
    with np.errstate(over="ignore", under="ignore"):
        return _passive(h0 * d**-n, d)


def gain_free_space(distance: Any, *, carrier: float) -> FloatArray:
    """Free space with isotropic antennas: (c / (4 pi d f))^2.

    distance : [m] > 0. carrier : [Hz] f. Source: Friis, Proc. IRE 34(5), 1946. Raises InputError, also nearer than
    the gain of 1 (inside the near field).
    """
    d = _distances(distance)
    wavelength = LIGHT / number("carrier", carrier, unit="Hz")
    with np.errstate(over="ignore", under="ignore"):
        return _passive((wavelength / (4.0 * math.pi * d)) ** 2, d)


def shadowing(size: int, *, deviation: float = 8.0, seed: Any) -> FloatArray:
    """Log-normal shadowing: 10^(X/10), X normal of mean 0 and standard deviation ``deviation`` [dB]; shape (size,).

    The median is 1, the mean is exp((s ln10/10)^2 / 2) > 1. 8 dB is usual for a macro cell.
    """
    sigma = number("deviation", deviation, zero=True, unit="dB")
    return from_db(sigma * generator(seed).standard_normal(whole("size", size, most=MOST)))


def rayleigh(size: int, *, seed: Any) -> FloatArray:
    """Power gain of Rayleigh fading: exponential of mean 1, shape (size,).

    Source: Goldsmith, Wireless Communications, 2005, section 3.2.2.
    """
    return generator(seed).standard_exponential(whole("size", size, most=MOST))


def rician(size: int, *, factor: float, seed: Any) -> FloatArray:
    """Power gain of Rician fading, mean 1 and variance (1 + 2K)/(1 + K)^2, shape (size,).

    factor : K, power of the direct path over that of the scattered ones, as a ratio (not dB); 0 is Rayleigh.
    Source: Goldsmith, Wireless Communications, 2005, section 3.2.2.
    """
    k = number("factor", factor, zero=True)
    rng = generator(seed)
    scattered = rng.standard_normal((2, whole("size", size, most=MOST))) * math.sqrt(0.5 / (1.0 + k))
    direct = math.sqrt(k / (1.0 + k))
    result: FloatArray = (direct + scattered[0]) ** 2 + scattered[1] ** 2
    return result


def noise_density(*, noise_figure: float = 0.0, temperature: float = 290.0) -> float:
    """Density k T F of thermal noise [W/Hz]; 4.004e-21 (-173.98 dBm/Hz) by default.

    noise_figure : [dB] of the receiver, 0 or more. temperature : [K], 290 by the IEEE's convention for F.
    Source: Friis, Proc. IRE 32(7), 1944.
    """
    figure = number("noise_figure", noise_figure, zero=True, unit="dB")
    return BOLTZMANN * number("temperature", temperature, unit="K") * float(from_db(figure))


def distances(size: int, *, radius: float, inner: float = 0.0, seed: Any) -> FloatArray:
    """Distances [m] from the centre of ``size`` points uniform over the area between two circles.

    radius, inner : [m] outer and inner radius, 0 <= inner <= radius. Raises InputError.
    """
    outer = number("radius", radius, unit="m")
    hole = number("inner", inner, zero=True, unit="m")
    if hole > outer:
        raise InputError("inner", f"at most radius = {outer:g} m", f"{hole:g} m")
    u = 1.0 - generator(seed).random(whole("size", size, most=MOST))  # in (0, 1]: nobody stands in the antenna
    unit = math.ldexp(1.0, math.frexp(outer)[1])  # squares of metres may be no doubles
    outer, hole = outer / unit, hole / unit
    result: FloatArray = np.sqrt(hole**2 + u * (outer**2 - hole**2)) * unit
    return result


def _distances(value: Any) -> FloatArray:
    return column("channel", _DISTANCE, value, None)


def _passive(gain: FloatArray, distance: FloatArray) -> FloatArray:
    """Refuse a gain above 1: the formula is used where it does not hold."""
    wrong = np.atleast_1d(gain > 1.0)
    if wrong.any():
        first = int(np.argmax(wrong))
        found = f"{np.atleast_1d(distance)[first]:g} m, a gain of {np.atleast_1d(gain)[first]:.3g}"
        expected = "a distance at which the path loss model gives a gain of at most 1"
        raise InputError("channel.distance", expected, found, first if gain.ndim else None)
    return gain
