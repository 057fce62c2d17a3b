"""Make the bundled fleet, fedopt/data/phones64.csv, from the published data sets. Same data, same bytes.

    python experiments/make_fleet.py [DATA] [--out FILE]

DATA holds ``freqbench/`` and ``devices/`` as described in docs/devices.md, which also argues for every
choice made here.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedopt import Clients, InputError
from fedopt.channel import generator
from fedopt.checks import FloatArray
from fedopt.devices import (
    Cluster,
    PowerFit,
    cell,
    fit_power,
    read_ai_benchmark,
    read_freqbench,
    read_link_speeds,
    read_sample_counts,
)
from fedopt.devices.fleets import CELL_RADIUS, CELL_SEED

ROOT = Path(__file__).resolve().parent.parent
FLEET = 64
SEEDS = {"phones": 1, "samples": 8, "links": 3}

BAND = 1e6  # [Hz] of the cell, an equal part for everyone
SAMPLES = 60_000  # of the fleet together: as many as MNIST has training images
FLOPS_PER_COREMARK = 0.5  # FLOP per CoreMark-per-MHz: 3.9 FLOP/cycle on a Cortex-A76
LTE_BASE, LTE_DOWN = 1.28804, 51.97e-9  # [W], [W per bit/s], Huang et al., MobiSys 2012

# Not phones, or not sold: a notebook, a tablet, a development board.
OTHER = {"MacBook Air (Late 2020)", "Google Nexus 10", "qti Lahaina for arm64"}
# Where freqbench has a run of its own for a device, by the device's code name.
RUNS = {"Xiaomi Redmi 8": "olive", "Realme 5 Pro": "RMX1971", "Realme XT": "RMX1921", "Google Pixel 4a": "sunfish"}
# Chips that freqbench measured but has no row for in its index, or that FLASH spells in another way.
CHIPS = {"Snapdragon 710": "sdm710", "Snapdragon 820": "msm8996", "Snapdragon 855 Plus": "sm8150ac"}


class Phone(NamedTuple):
    """A phone: what people call it, and the measured cluster that stands for it."""

    name: str
    fit: PowerFit
    flops_per_cycle: float


def main() -> None:
    """Write the fleet and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data", help="the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "fedopt" / "data" / "phones64.csv")
    options = parser.parse_args()
    clients = make_fleet(options.data)
    clients.to_csv(options.out)
    print(f"{options.out}: {clients!r}")


def make_fleet(data: Path) -> Clients:
    """The fleet of 64 phones from the data sets below ``data``. Raises InputError, OSError."""
    fleet = phones(data)
    layout = cell(FLEET, seed=CELL_SEED, radius=CELL_RADIUS)
    links = read_link_speeds(data / "devices" / "flash_speed_distribution.json")
    users = generator(SEEDS["links"]).integers(len(links), size=FLEET)
    download = np.array([links[user].download for user in users])
    columns: dict[str, Any] = {
        "name": [phone.name for phone in fleet],
        "frequency_min": [phone.fit.frequency_min for phone in fleet],
        "frequency_max": [phone.fit.frequency_max for phone in fleet],
        "capacitance": _rounded([phone.fit.capacitance for phone in fleet]),
        "static_power": _rounded([phone.fit.static_power for phone in fleet]),
        "flops_per_cycle": _rounded([phone.flops_per_cycle for phone in fleet]),
        "samples": samples(data),
        "channel_gain": _rounded(layout.gain),
        "bandwidth": BAND / FLEET,
        "circuit_power": LTE_BASE,
        "download_rate": _rounded(download),
        "receive_power": _rounded(LTE_BASE + LTE_DOWN * download),
    }
    return Clients(**columns)


def phones(data: Path) -> list[Phone]:
    """freqbench's own devices, then phones of FLASH's list with a measured chip, drawn by a seed, up to 64."""
    folder = data / "freqbench"
    chosen, chips = {}, dict(CHIPS)
    for soc, chip, device in index(folder / "README.md"):
        chips.setdefault(chip, soc)
        if device in OTHER:
            continue
        phone = measured(folder / soc, RUNS.get(device, "main"), f"{device} ({chip})")
        if phone is not None:
            chosen[device.lower()] = phone
    others = {
        phone.model.lower(): phone
        for phone in read_ai_benchmark(data / "devices" / "flash_ai_benchmark.json")
        if phone.chip in chips and phone.model.lower() not in chosen and " tab " not in phone.model.lower()
    }
    names = sorted(others)
    for place in sorted(generator(SEEDS["phones"]).choice(len(names), FLEET - len(chosen), replace=False)):
        other = others[names[place]]
        phone = measured(folder / chips[other.chip], "main", f"{other.model} ({other.chip})")
        assert phone is not None, other
        chosen[names[place]] = phone
    return list(chosen.values())


def index(path: Path) -> list[tuple[str, str, str]]:
    """Folder, chip and device of every row of freqbench's index."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text("utf-8").splitlines()]
    return [(row[0], row[2], row[3]) for row in rows if len(row) == 5 and re.fullmatch("[a-z0-9]+", row[0])]


def measured(chip: Path, run: str, name: str) -> Phone | None:
    """A phone's fastest cluster, or None where no table of its chip can be right."""
    path = chip / run / "results.csv"
    if not path.exists():
        path = chip / "results.csv"
    fits = []
    for cluster in read_freqbench(path):
        try:
            fits.append((_speed(cluster), fit_power(cluster.frequency, cluster.power), cluster))
        except InputError as error:
            print(f"{name}, core {cluster.cpu} left out: {error}")
    if not fits:
        return None
    _, fit, cluster = max(fits, key=lambda entry: entry[0])
    return Phone(name, fit, FLOPS_PER_COREMARK * cluster.speed_per_hertz * 1e6)


def samples(data: Path) -> FloatArray:
    """64 speakers' sample counts, scaled to the fleet's total by largest remainders."""
    counts = read_sample_counts(data / "devices" / "fedscale_speech_samples.csv")
    drawn = generator(SEEDS["samples"]).choice(counts, FLEET, replace=False)
    shares = drawn * (SAMPLES / drawn.sum())
    whole = np.floor(shares)
    whole[np.argsort(whole - shares, kind="stable")[: int(SAMPLES - whole.sum())]] += 1
    result: FloatArray = whole
    return result


def _speed(cluster: Cluster) -> float:
    return float(cluster.speed.max())


def _rounded(values: Any) -> FloatArray:
    """Six digits: more is not known, and the last bits of a fit are not the same on every machine."""
    return np.array([float(f"{value:.6g}") for value in np.asarray(values)])


if __name__ == "__main__":
    main()
