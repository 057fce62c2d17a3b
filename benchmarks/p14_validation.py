"""P14: the share of a call's time that goes into checking input; N = 1e6.

The call is what a user does: Clients and Workload from raw arrays, then ``fedopt.schedule``. Its checks are all of the
first part, and in the second the repeated check of the workload. The same with every field an array of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, threads, timed
from benchmarks.instances import Fleet, cell, energy_budget
from benchmarks.pictures import COLOURS, figure, goals, legend

NAME = "p14_validation"
MUST, AIM = 0.08, 0.04
GOAL_SIZE = 1_000_000
_PARTS = ("check at the door", "check again inside", "answer")


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """Three rows per size, number of threads and repeat: the parts of one call."""
    for size in sizes or ((10_000, 100_000) if quick else (10_000, 100_000, GOAL_SIZE)):
        for fleet in (cell(size), every_field(cell(size))):
            budget = energy_budget(fleet, 1.7)
            for count in (1, 2):
                with threads(count):
                    for repeat in range(4 if quick else 12):
                        rows = _parts(fleet, budget, count, repeat)
                        if repeat:  # the first warms up
                            yield from rows


def _parts(fleet: Fleet, budget: fedopt.EnergyBudget, count: int, repeat: int) -> list[Row]:
    door, (clients, work) = timed(fleet.build)
    again, _ = timed(lambda: work.sized(len(clients)))
    whole, answer = timed(lambda: fedopt.schedule(clients, work, budget))
    assert answer.verdict is not None
    row = Row(
        benchmark=NAME, instance=fleet.name, clients=len(fleet), method="", repeat=repeat, threads=count,
        status=answer.status.name.lower(), passes=answer.stats["passes"], duration=answer.duration,
        energy=answer.energy, violation=answer.verdict.violation,
    )  # fmt: skip
    seconds = dict(zip(_PARTS, (door, again, whole - again), strict=True))
    return [replace(row, method=part, solve_seconds=seconds[part]) for part in _PARTS]


def every_field(fleet: Fleet) -> Fleet:
    """The same fleet with all sixteen fields given as arrays."""
    given, size = fleet.columns, len(fleet)
    clients, _ = fleet.build()
    names = list(clients.numbers)
    columns: dict[str, Any] = {name: np.ascontiguousarray(getattr(clients, name)) for name in names}
    assert all(columns[name].shape == (size,) for name in given)
    return replace(fleet, name=f"{fleet.name}-all-arrays", columns=columns)


def compare(rows: list[Row]) -> list[Ratio]:
    """Both checks over the whole call; the goal is for N = 1e6."""
    ratios = []
    for size in sorted({row.clients for row in rows}):
        for everything in (False, True):
            for count in (1, 2):
                here = [r for r in rows if r.clients == size and r.threads == count]
                here = [r for r in here if r.instance.endswith("all-arrays") == everything]
                parts = [median(r for r in here if r.method == part) for part in _PARTS]
                binding = size == GOAL_SIZE and not everything
                what = f"checks, N = {size:,}, {count} thread{'s' * (count > 1)}{', all arrays' * everything}"
                ratios.append(
                    Ratio(
                        goal="P14",
                        what=what,
                        value=quotient(parts[0] + parts[1], sum(parts)),
                        top=parts[0] + parts[1],
                        bottom=sum(parts),
                        must=MUST if binding else NAN,
                        aim=AIM if binding else NAN,
                        above=False,
                    )
                )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Where a call's time goes, and the share of the checks."""
    made, (left, right) = figure(2, "P14: what checking the input costs", (1, 1))
    largest = max(row.clients for row in rows)
    labels = []
    for at, (everything, count) in enumerate((e, c) for e in (False, True) for c in (1, 2)):
        here = [r for r in rows if r.clients == largest and r.threads == count]
        here = [r for r in here if r.instance.endswith("all-arrays") == everything]
        bottom = 0.0
        for index, part in enumerate(_PARTS):
            per_client = median(r for r in here if r.method == part) / largest * 1e9
            left.bar(
                at,
                per_client,
                bottom=bottom,
                width=0.6,
                color=COLOURS[(1, 4, 0)[index]],
                label=part if at == 0 else None,
            )
            bottom += per_client
        labels.append(f"{count} thread{'s' * (count > 1)}{chr(10) + 'all arrays' if everything else ''}")
    left.set_xticks(range(len(labels)), labels)
    left.grid(False, axis="x")
    left.set_ylabel(f"ns per client, N = {largest:,}")
    legend(left, 3)
    own = [each for each in ratios if f"N = {largest:,}" in each.what]
    goals(right, own, labels)
    right.set_ylabel("share of the checks")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
