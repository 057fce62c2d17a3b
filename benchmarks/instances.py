"""Seeded instances: phones in a cell, and clients drawn over decades. The same seed gives the same numbers anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Row, timed
from fedopt.channel import gain_3gpp, shadowing

# Forward multiply-accumulates per sample and parameters of the four types of the published MNIST experiment
# (Yu & Li, IEEE Network 35(1), 2021), 'same' padding; training costs about 6 FLOP per MAC, a weight has 32 bits.
_MACS = (5_673_024, 2_963_520, 2_441_376, 1_481_760)
_WEIGHTS = (16_938, 10_010, 6_250, 5_018)
COVERS = (1, 2, 4, 8)
TYPES = tuple(
    fedopt.SubModel(name, flops=6.0 * macs, upload_bits=32.0 * weights, cover=cover)
    for name, macs, weights, cover in zip("LMST", _MACS, _WEIGHTS, COVERS, strict=True)
)
FACTORS = (1.3, 1.7, 3.0)  # durations of the instances, in units of the least one
FAMILIES = ("cell", "powers", "bounds", "decades", "everything")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a user has in hand before any check: arrays and numbers by field name."""

    name: str
    columns: dict[str, Any]
    cycles: Any
    upload_bits: Any

    def __len__(self) -> int:
        return len(self.columns["frequency_max"])

    def build(self) -> tuple[fedopt.Clients, fedopt.Workload]:
        """Through the door: everything checked."""
        return fedopt.Clients(**self.columns), fedopt.Workload(cycles=self.cycles, upload_bits=self.upload_bits)


def cell(size: int, seed: int = 0) -> Fleet:
    """Phones at 50 to 500 m, 3GPP path loss, 8 dB shadowing, 0.8 to 2.5 GHz, 1 MHz each, a random type each."""
    rng = np.random.default_rng([seed, size])
    fastest = rng.uniform(0.8e9, 2.5e9, size)
    types = rng.integers(0, len(TYPES), size)
    samples = rng.integers(500, 1501, size).astype(np.float64)
    gain = gain_3gpp(rng.uniform(50.0, 500.0, size)) * shadowing(size, deviation=8.0, seed=rng)
    columns = {
        "frequency_min": 0.1 * fastest,
        "frequency_max": fastest,
        "capacitance": rng.uniform(0.5e-28, 3e-28, size),
        "samples": samples,
        "channel_gain": gain,
        "bandwidth": 1e6,
    }
    cycles = samples * np.array([t.flops for t in TYPES])[types]
    return Fleet(
        name=f"cell-{size}-{seed}",
        columns=columns,
        cycles=cycles,
        upload_bits=np.array([t.upload_bits for t in TYPES])[types],
    )


def free(fleet: Fleet) -> Fleet:
    """The same fleet without least frequencies: at a generous duration both variables of every client are free."""
    return replace(fleet, name=f"{fleet.name}-free", columns={**fleet.columns, "frequency_min": 0.0})


def family(name: str, size: int, seed: int) -> Fleet:
    """One of FAMILIES: the cell, with static and circuit power, tight bounds, spread over decades, or all of it."""
    fleet = cell(size, seed)
    rng = np.random.default_rng([FAMILIES.index(name), seed, size])
    c = dict(fleet.columns)
    cycles, bits = fleet.cycles, fleet.upload_bits
    if name in ("decades", "everything"):
        cycles, bits = cycles * _spread(rng, 2.0, size), bits * _spread(rng, 2.0, size)
        c["capacitance"] = c["capacitance"] * _spread(rng, 1.5, size)
        c["channel_gain"] = c["channel_gain"] * _spread(rng, 2.0, size)
        c["bandwidth"] = 1e6 * _spread(rng, 1.0, size)
    if name in ("powers", "everything"):
        dynamic = c["capacitance"] * c["frequency_max"] ** 3
        c["static_power"] = np.where(rng.random(size) < 0.3, 0.0, dynamic * _spread(rng, 1.5, size) * 0.1)
        c["circuit_power"] = np.where(rng.random(size) < 0.3, 0.0, 0.05 * _spread(rng, 1.0, size))
        c["receive_power"], c["download_rate"], c["overhead"] = 0.05, 1e7 * _spread(rng, 1.0, size), rng.random(size)
    if name in ("bounds", "everything"):
        c["frequency_min"] = c["frequency_max"] * rng.uniform(0.3, 1.0, size)
        c["power_min"] = 0.2 * rng.uniform(0.0, 1.0, size) ** 2
    if name == "everything":
        rest = rng.integers(0, 10, size)
        cycles, bits = np.where(rest == 0, 0.0, cycles), np.where(rest == 1, 0.0, bits)
    return Fleet(name=f"{name}-{size}-{seed}", columns=c, cycles=cycles, upload_bits=bits)


def _spread(rng: np.random.Generator, decades: float, size: int) -> Any:
    return 10.0 ** rng.uniform(-decades, decades, size)


def energy_budget(fleet: Fleet, factor: float) -> fedopt.EnergyBudget:
    """What the fleet spends in a round ``factor`` times as long as the shortest one."""
    clients, work = fleet.build()
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(float("inf"))).duration
    spent = fedopt.allocate(clients, work, duration=factor * shortest).energy.sum()
    return fedopt.EnergyBudget(float(spent))


def measured(
    benchmark: str, fleet: Fleet, budget: Any, *, method: str, settings: str = "", repeat: int = 0, threads: int = 1,
    instance: str = "", **methods: Any,
) -> Row:  # fmt: skip
    """Levels 2 and 3 through the public API, validation included, as a row; an exception becomes its status."""
    name = instance or fleet.name
    same = {"benchmark": benchmark, "instance": name, "clients": len(fleet), "method": method, "settings": settings}
    same |= {"repeat": repeat, "threads": threads}
    try:
        build, (clients, work) = timed(fleet.build)
        solve, answer = timed(lambda: fedopt.schedule(clients, work, budget, **methods))
    except Exception as error:
        return Row(**same, status=f"failed: {type(error).__name__}: {error}"[:200])
    return Row(
        **same,
        status=answer.status.name.lower(),
        build_seconds=build,
        solve_seconds=solve,
        passes=answer.stats["passes"],
        duration=answer.duration,
        energy=answer.energy,
        violation=answer.verdict.violation if answer.verdict else NAN,
    )
