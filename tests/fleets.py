"""Seeded random instances for the tests: the same seed gives the same fleet on every machine.

Except for the typical family a client is drawn backwards: a common duration T, how much longer than its own least
duration T is, and which share of that least duration computes; its cycles and bits follow. So every client of a fleet
has something to decide at T, however many decades its other numbers span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fedopt

FAMILIES = ("typical", "wide", "extreme", "powers", "bounds", "mixed", "tight", "loose")
ORDINARY = ("typical", "wide", "powers", "bounds", "mixed", "tight", "loose")
KINDS = {"both": (1.0, 1.0), "no upload": (1.0, 0.0), "no work": (0.0, 1.0), "only a download": (0.0, 0.0)}


@dataclass(frozen=True, slots=True)
class Instance:
    """A fleet, its work, and a duration [s] that everybody in it can meet."""

    clients: fedopt.Clients
    work: fedopt.Workload
    duration: float

    def one(self, n: int) -> Instance:
        """The fleet of client n alone."""
        columns = (self.work.cycles, self.work.upload_bits, self.work.download_bits)
        cycles, upload, download = (values[[n]] for values in columns)
        work = fedopt.Workload(cycles=cycles, upload_bits=upload, download_bits=download)
        return Instance(self.clients.take([n]), work, self.duration)


def make(family: str, seed: int, size: int) -> Instance:
    """An instance of ``size`` clients; ``family`` is one of FAMILIES."""
    rng = np.random.default_rng([FAMILIES.index(family), seed, size])
    return typical(rng, size) if family == "typical" else _backwards(family, rng, size)


def of_kinds(family: str, seed: int, kinds: list[str]) -> Instance:
    """An instance whose clients do these things, and all receive something."""
    instance = make(family, seed, len(kinds))
    cycles, bits = np.array([KINDS[kind] for kind in kinds]).T * (instance.work.cycles, instance.work.upload_bits)
    if not cycles.any() and not bits.any():  # one number for all
        cycles, bits = 0.0, 0.0
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=1e-3)
    return Instance(instance.clients, work, instance.duration)


def in_units(instance: Instance, unit: float) -> Instance:
    """The same fleet, its cycles and bits counted in others: energies, durations and prices of time are the same."""
    clients, work = instance.clients, instance.work
    clients = clients.replace(
        frequency_min=clients.frequency_min * unit,
        frequency_max=clients.frequency_max * unit,
        capacitance=clients.capacitance / unit**3,
        bandwidth=clients.bandwidth * unit,
        channel_gain=clients.channel_gain * unit,
        download_rate=clients.download_rate * unit,
    )
    names = ("cycles", "upload_bits", "download_bits")
    return Instance(clients, fedopt.Workload(**{name: getattr(work, name) * unit for name in names}), instance.duration)


def plain_budgets(instance: Instance) -> list[Any]:
    """Budgets that lead to the instance's own duration, by the kernel."""
    found = fedopt.allocate(instance.clients, instance.work, duration=instance.duration)
    energy, price = float(found.energy.sum()), float(found.price.sum())
    budgets: list[Any] = [fedopt.EnergyBudget(energy), fedopt.PowerBudget(energy / instance.duration)]
    return budgets + ([fedopt.TimePrice(price)] if price > 0.0 else [])


def decades(rng: np.random.Generator, low: float, high: float, size: int | None = None) -> np.ndarray:
    """10 to a uniform power."""
    return 10.0 ** rng.uniform(low, high, size)


def typical(rng: np.random.Generator, size: int) -> Instance:
    """Phones in a cell of 50 to 500 m: path loss 128.1 + 37.6 log10 d, 8 dB shadowing, f_max 0.8 to 2.5 GHz."""
    distance = rng.uniform(0.05, 0.5, size)
    loss = 128.1 + 37.6 * np.log10(distance) + 8.0 * rng.standard_normal(size)
    clients = fedopt.Clients(
        frequency_min=rng.uniform(0.1e9, 0.5e9, size),
        frequency_max=rng.uniform(0.8e9, 2.5e9, size),
        capacitance=rng.uniform(0.5e-28, 3e-28, size),
        samples=rng.integers(100, 2000, size),
        channel_gain=10.0 ** (-loss / 10.0),
        bandwidth=1e6,
        power_max=0.2,
    )
    work = clients.workload(mnist_types(), rng.integers(0, 4, size))
    return Instance(clients, work, float(least_durations(clients, work).max() * rng.uniform(1.1, 5.0)))


def mnist_types(covers: tuple[int, ...] = (1, 2, 4, 8)) -> tuple[fedopt.SubModel, ...]:
    """The four types of the published MNIST experiment: 6 FLOP per multiply-accumulate, 32-bit weights."""
    macs, weights = (5_673_024, 2_963_520, 2_441_376, 1_481_760), (16_938, 10_010, 6_250, 5_018)
    return tuple(
        fedopt.SubModel(name, flops=6.0 * mac, upload_bits=32.0 * weight, cover=cover)
        for name, mac, weight, cover in zip("LMST", macs, weights, covers, strict=True)
    )


def least_durations(clients: fedopt.Clients, work: fedopt.Workload) -> np.ndarray:
    """T_min,n in doubles, good enough to choose a duration by; inf where out of reach."""
    work = work.sized(len(clients))
    with np.errstate(all="ignore"):
        gamma = clients.channel_gain / (clients.noise_density * clients.bandwidth)
        rate = clients.bandwidth * np.log1p(gamma * clients.power_max) / np.log(2.0)
        sending = np.where(work.upload_bits > 0.0, work.upload_bits / rate, 0.0)
        fixed = np.where(work.idle, 0.0, clients.overhead + work.download_bits / clients.download_rate)
    return fixed + work.cycles / clients.frequency_max + sending


def _backwards(family: str, rng: np.random.Generator, size: int) -> Instance:
    span = 1.0 if family == "extreme" else 0.25  # extreme: twenty and more decades per field
    duration = float(decades(rng, -8 * span, 12 * span))
    f_max = decades(rng, 9 - 10 * span, 9 + 4 * span, size)
    f_min = f_max * decades(rng, -5 * span - 0.3, 0, size)
    gamma = decades(rng, 4 - 12 * span, 4 + 12 * span, size)
    bandwidth = decades(rng, 6 - 8 * span, 6 + 4 * span, size)
    noise = decades(rng, -20.4 - 2 * span, -20.4 + 2 * span, size)
    x_max = np.minimum(decades(rng, 0.5 - 8 * span, 0.5 + 2 * span, size), 200.0)
    longer = 1.0 + decades(rng, -2, 0.5 if family in ("powers", "bounds", "mixed") else 2 + 4 * span, size)
    if family == "tight":
        longer = 1.0 + decades(rng, -8, -1, size)
    if family == "loose":
        longer = decades(rng, 3, 6, size)
    odds = decades(rng, -6 * span, 6 * span, size)
    share = odds / (1.0 + odds)
    watts = decades(rng, -6 * span, 6 * span, size)  # of the CPU at f_max, so that both prices are of one kind
    power_max = np.expm1(x_max) / gamma
    columns = {
        "frequency_min": np.where(rng.random(size) < 0.3, 0.0, f_min),
        "frequency_max": f_max,
        "capacitance": watts * power_max / f_max**3,
        "samples": 1.0,
        "channel_gain": gamma * noise * bandwidth,
        "bandwidth": bandwidth,
        "noise_density": noise,
        "power_max": power_max,
    }
    cycles = f_max * duration / longer * share
    bits = bandwidth * x_max / np.log(2.0) * duration / longer * (1.0 - share)
    if family in ("powers", "mixed", "extreme"):
        columns |= _powers(rng, size, columns, duration)
    if family == "bounds":
        columns["frequency_min"] = f_max * rng.uniform(0.5, 1.0, size)
        columns["power_min"] = power_max * rng.uniform(0.2, 1.0, size)
    download = np.where(rng.random(size) < 0.5, bits, 0.0)
    if family == "mixed":
        cycles, bits, download = _with_idle(rng, size, cycles, bits, download)
    clients = fedopt.Clients(**columns)
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=download)
    return Instance(clients, work, max(duration, float(least_durations(clients, work).max()) * (1 + 1e-9)))


def _powers(
    rng: np.random.Generator, size: int, columns: dict[str, np.ndarray], duration: float
) -> dict[str, np.ndarray]:
    """Static and circuit power (none, some, or above the greatest dynamic power), least power, downlink and delays."""

    def some(scale: np.ndarray) -> np.ndarray:
        return np.where(rng.random(size) < 0.35, 0.0, scale * decades(rng, -4, 1.5, size))

    return {
        "static_power": some(columns["capacitance"] * columns["frequency_max"] ** 3),
        "circuit_power": some(columns["power_max"]),
        "power_min": np.minimum(some(columns["power_max"]), columns["power_max"] * rng.uniform(0.0, 1.0, size)),
        "overhead": np.where(rng.random(size) < 0.5, 0.0, duration * decades(rng, -6, -1, size)),
        "receive_power": some(columns["power_max"]),
        "download_rate": np.where(rng.random(size) < 0.5, np.inf, columns["bandwidth"] * decades(rng, 0, 3, size)),
    }


def _with_idle(
    rng: np.random.Generator, size: int, cycles: np.ndarray, bits: np.ndarray, download: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some idle, some with nothing to send, or to compute, or that only receive; one at least works."""
    kind = rng.integers(0, 8, size)
    kind[rng.integers(0, size)] = 7
    cycles = np.where((kind == 0) | (kind == 1) | (kind == 3), 0.0, cycles)
    bits = np.where((kind == 0) | (kind == 2) | (kind == 3), 0.0, bits)
    download = np.where(kind == 0, 0.0, np.where(kind == 3, 1.0, download))
    return cycles, bits, download
