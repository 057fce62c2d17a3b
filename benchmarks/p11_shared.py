"""P11: a schedule under shared bandwidth over one on channels of the clients' own, from N = 1e3 to 1e6; one thread.

Both are public calls from raw arrays, checks included, for the same fleet and energy budget; the shared band is as wide
as all own channels together. Time division is measured beside it, on a channel as wide as one client's times sqrt(N),
with the energy a round 1.7 times the shortest one takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, threads
from benchmarks.instances import Fleet, cell, energy_budget, measured
from benchmarks.pictures import figure, goals, growth

NAME = "p11_shared"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MUST, AIM = 3.0, 1.3
BINDING = 10_000  # from this many clients on the goal is meant
OWN, SHARED, SLOTS = "own channels", "shared bandwidth", "time division"


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, method and repeat, the methods in turn."""
    with threads(1):
        for size in sizes or (SIZES[:3] if quick else SIZES):
            fleet = cell(size)
            budget = energy_budget(fleet, 1.7)
            band, channel = fedopt.SharedBandwidth(1e6 * size), fedopt.TimeDivision(1e6 * size**0.5)
            calls: tuple[tuple[str, Any, Any], ...] = (
                (OWN, budget, {}),
                (SHARED, budget, {"access": band}),
                (SLOTS, slots_budget(fleet, channel), {"access": channel}),
            )
            for repeat in range(3 if size > 100_000 else 9):
                for method, cost, access in calls:
                    yield measured(NAME, fleet, cost, method=method, repeat=repeat, **access)


def slots_budget(fleet: Fleet, channel: fedopt.TimeDivision) -> fedopt.EnergyBudget:
    """What the fleet spends one after another in a round 1.7 times as long as the shortest one."""
    clients, work = fleet.build()
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(float("inf")), access=channel).duration
    spent = fedopt.schedule(clients, work, fedopt.Deadline(1.7 * shortest), access=channel).energy
    return fedopt.EnergyBudget(spent)


def times(rows: list[Row], method: str) -> tuple[list[int], list[float]]:
    """Sizes and median times of a method."""
    own = [row for row in rows if row.method == method]
    sizes = sorted({row.clients for row in own})
    return sizes, [median(row for row in own if row.clients == size) for size in sizes]


def compare(rows: list[Row]) -> list[Ratio]:
    """Either scheme over own channels, for every size; the goal is for shared bandwidth and large fleets."""
    ratios = []
    sizes, own = times(rows, OWN)
    for method in (SHARED, SLOTS):
        for size, seconds, alone in zip(sizes, times(rows, method)[1], own, strict=True):
            binding = method == SHARED and size >= BINDING
            ratios.append(
                Ratio(
                    goal="P11",
                    what=f"{method} over own channels, N = {size:,}",
                    value=quotient(seconds, alone),
                    must=MUST if binding else NAN,
                    aim=AIM if binding else NAN,
                    top=seconds,
                    bottom=alone,
                    above=False,
                )
            )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the ratios with their goal."""
    made, (left, right) = figure(2, "P11: sharing the uplink against channels of their own, one thread", (1, 1.1))
    for index, method in enumerate((OWN, SHARED, SLOTS)):
        growth(left, *times(rows, method), method, index)
    left.set_xlabel("clients N")
    left.set_ylabel("median time [s], checks included")
    left.legend(frameon=False, fontsize=8)
    shared = [ratio for ratio in ratios if ratio.what.startswith(SHARED)]
    goals(right, shared, [ratio.what.rpartition(" = ")[2] for ratio in shared])
    right.set_xlabel("clients N")
    right.set_ylabel("shared bandwidth over own channels")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
