"""Fleets: the bundled 64 phones, seeded synthetic fleets of any size, and the cell they stand in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fedopt.channel import MOST, distances, gain_3gpp, generator, rayleigh, shadowing
from fedopt.checks import FloatArray, InputError, kind, number, whole
from fedopt.clients import Clients

CELL_SEED, CELL_RADIUS = 4, 500.0  # where the bundled fleet stands


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where clients stand and what their channel is: distance [m] and power gain, both (N,)."""

    distance: FloatArray
    gain: FloatArray


def cell(
    n: int, *, seed: Any, radius: float = 500.0, inner: float = 35.0, deviation: float = 8.0, fading: bool = True
) -> Layout:
    """A cell of ``n`` clients uniform over the area between ``inner`` and ``radius`` [m].

    Gain = 3GPP macro path loss x log-normal shadowing of ``deviation`` [dB] x Rayleigh fading (if ``fading``).
    35 m, 8 dB and the path loss are the macro cell of 3GPP TR 36.814, annex A. Raises InputError.
    """
    size = whole("n", n, least=1, most=MOST)
    rng = generator(seed)
    distance = distances(size, radius=radius, inner=inner, seed=rng)
    gain = gain_3gpp(distance) * shadowing(size, deviation=deviation, seed=rng)
    if fading:
        gain = gain * rayleigh(size, seed=rng)
    return Layout(distance=distance, gain=gain)


def random_fleet(
    n: int,
    *,
    seed: Any,
    layout: Layout | None = None,
    frequency_max: tuple[float, float] = (0.8e9, 2.5e9),
    capacitance: tuple[float, float] = (0.5e-28, 3e-28),
    samples: tuple[int, int] = (500, 1500),
) -> Clients:
    """A synthetic fleet of ``n`` clients in a cell, the same for the same seed.

    Parameters
    ----------
    seed : a whole number or a numpy Generator.
    layout : where they stand; None draws a ``cell(n)`` from the same seed.
    frequency_max : [Hz] range of the uniform draw; frequency_min is a tenth of the client's frequency_max.
    capacitance : [J s^2] range of the uniform draw.
    samples : range of the uniform draw of whole numbers, both ends included.

    The ranges lie around what papers assume: 1e-28 and 2 GHz at most (Tran et al., INFOCOM 2019; Yang et al., IEEE
    Trans. Wireless Commun. 20(3), 2021). Bandwidth is 1 MHz each, everything else the default of ``Clients``.
    Raises InputError.
    """
    size = whole("n", n, least=1, most=MOST)
    kind("layout", layout, (Layout, type(None)), "a Layout, such as a cell()")
    rng = generator(seed)
    highest = rng.uniform(*_range("frequency_max", frequency_max, "Hz"), size)
    kappa = rng.uniform(*_range("capacitance", capacitance, "J s^2"), size)
    counts = rng.integers(*_whole_range("samples", samples), size, endpoint=True)
    layout = cell(size, seed=rng) if layout is None else layout
    columns: dict[str, Any] = {
        "frequency_min": 0.1 * highest,
        "frequency_max": highest,
        "capacitance": kappa,
        "samples": counts,
        "channel_gain": layout.gain,
        "bandwidth": 1e6,
    }
    return Clients(**columns)


def phones64(*, faded: bool = True) -> Clients:
    """The bundled fleet: 64 real phones with fitted CPUs, real sample counts and a seeded cell.

    faded : True has one draw of Rayleigh fading in every gain, as the file says. False leaves it out: path loss and
        shadowing alone are the mean gain, which a training run multiplies with fading of its own every round.
    See docs/devices.md for where every column comes from, and NOTICE.md beside the data for the sources' licences.
    """
    kind("faded", faded, bool, "True or False")
    with resources.as_file(resources.files("fedopt").joinpath("data", "phones64.csv")) as path:
        clients = Clients.from_csv(path)
    if faded:
        return clients
    gain = cell(len(clients), seed=CELL_SEED, radius=CELL_RADIUS, fading=False).gain
    return clients.replace(channel_gain=gain)


def _range(name: str, value: Any, unit: str) -> tuple[float, float]:
    """Check a (low, high) pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise InputError(name, "a pair (low, high)", repr(value)[:80])
    low, high = (number(name, end, unit=unit) for end in value)
    if low > high:
        raise InputError(name, "low at most high", f"({low:g}, {high:g})")
    return low, high


def _whole_range(name: str, value: Any) -> tuple[int, int]:
    """The least and the greatest whole number of a (low, high) pair."""
    low, high = _range(name, value, "")
    if not math.ceil(low) <= math.floor(high) <= MOST:
        raise InputError(name, f"a range with whole numbers, of at most {MOST:,}", f"({low:g}, {high:g})")
    return math.ceil(low), math.floor(high)
