"""P5: how time grows with N from 1e4 to 1e7; levels 2 and 3, and the whole search with one partition. Also P4 and P7.

Times are of public calls from raw arrays, checks included. P4 sets one thread's time per client at N = 1e6 against one
element of np.exp2, P7 two threads against one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, threads, timed
from benchmarks.instances import COVERS, TYPES, Fleet, cell, energy_budget, measured
from benchmarks.pictures import exponent, figure, growth

NAME = "p5_growth"
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
REFERENCE = 1_000_000
SCHEDULE, SEARCH, EXP2 = "schedule (levels 2 and 3)", "solve (sorted, one partition)", "np.exp2"
LINES = ((SCHEDULE, 1), (SCHEDULE, 2), (SEARCH, 1))
_NEEDED = {SCHEDULE: 700, SEARCH: 1_400}  # bytes a client takes, beyond which the machine would swap


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, method, number of threads and repeat."""
    for size in sizes or (SIZES[:4] if quick else SIZES):
        fleet = cell(size)
        budget = energy_budget(fleet, 1.7)
        for repeat in range(_repeats(size)):
            for count in (1, 2):
                with threads(count):
                    yield _schedule(fleet, budget, repeat, count)
            with threads(1):
                yield _solve(fleet, budget, repeat)
            values = np.linspace(-5.0, 5.0, size)
            seconds, _ = timed(lambda: np.exp2(values))  # noqa: B023
            yield Row(
                benchmark=NAME, instance=fleet.name, clients=size, method=EXP2, repeat=repeat, solve_seconds=seconds
            )
        del fleet


def _repeats(size: int) -> int:
    """More where it is cheap."""
    return 2 if size > 1_000_000 else 5 if size >= 100_000 else 9


def _room(size: int, method: str) -> bool:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > size * _NEEDED[method]


def _schedule(fleet: Fleet, budget: Any, repeat: int, count: int) -> Row:
    if _room(len(fleet), SCHEDULE):
        return measured(NAME, fleet, budget, method=SCHEDULE, repeat=repeat, threads=count)
    return _no_room(fleet, SCHEDULE, repeat, count)


def _no_room(fleet: Fleet, method: str, repeat: int, count: int) -> Row:
    return Row(
        benchmark=NAME, instance=fleet.name, clients=len(fleet), method=method, repeat=repeat, threads=count,
        status="failed: too little memory is free",
    )  # fmt: skip


def quarters(size: int) -> tuple[int, ...]:
    """A fourth of the places for each type, in whole replicas; the first type takes what is left."""
    counts = [size // 4 // cover * cover for cover in COVERS[1:]]
    return (size - sum(counts), *counts)


def _solve(fleet: Fleet, budget: Any, repeat: int) -> Row:
    """The whole search with one partition, the paper's matching."""
    if not _room(len(fleet), SEARCH):
        return _no_room(fleet, SEARCH, repeat, 1)
    same: dict[str, Any] = {"benchmark": NAME, "instance": fleet.name, "clients": len(fleet), "method": SEARCH}
    same |= {"repeat": repeat}
    try:
        build, clients = timed(lambda: fedopt.Clients(**fleet.columns))
        partitions = [quarters(len(fleet))]
        solve, answer = timed(
            lambda: fedopt.solve(
                fedopt.Problem(clients, TYPES, budget=budget, partitions=partitions), matching="sorted"
            )
        )
    except Exception as error:
        return Row(**same, status=f"failed: {type(error).__name__}: {error}"[:200])
    return Row(
        **same, status=answer.status.name.lower(), build_seconds=build, solve_seconds=solve,
        passes=answer.stats["passes"], duration=answer.duration, energy=answer.energy,
        violation=answer.verdict.violation if answer.verdict else NAN,
    )  # fmt: skip


def times(rows: list[Row], method: str, count: int) -> tuple[list[int], list[float]]:
    """Sizes and median times of a method."""
    own = [row for row in rows if row.method == method and row.threads == count]
    sizes = sorted({row.clients for row in own})
    return sizes, [median(row for row in own if row.clients == size) for size in sizes]


def compare(rows: list[Row]) -> list[Ratio]:
    """The exponents, ns per client over np.exp2's, and two threads over one."""
    ratios = []
    limits = {SCHEDULE: (1.03, 1.0), SEARCH: (1.10, 1.05)}
    for method, count in LINES:
        must, aim = limits[method]
        slope = exponent(*times(rows, method, count))
        what = f"exponent, {method}, {count} thread{'s' * (count > 1)}"
        ratios.append(Ratio(goal="P5", what=what, value=slope, must=must, aim=aim, above=False))
    largest = max(row.clients for row in rows)
    size = min(REFERENCE, largest)
    one, two, floor = (
        median(row for row in rows if row.clients == size and row.method == method and row.threads == count)
        for method, count in ((SCHEDULE, 1), (SCHEDULE, 2), (EXP2, 1))
    )
    binding = size == REFERENCE
    ratios.append(
        Ratio(
            goal="P4",
            what=f"levels 2 and 3 over np.exp2, per client, N = {size:,}",
            value=quotient(one, floor),
            must=85.0 if binding else NAN,
            aim=45.0 if binding else NAN,
            top=one / size * 1e9,
            bottom=floor / size * 1e9,
            unit="ns",
            above=False,
        )
    )
    ratios.append(
        Ratio(
            goal="P7",
            what=f"one thread over two, N = {size:,}",
            value=quotient(one, two),
            must=1.5 if binding else NAN,
            aim=1.8 if binding else NAN,
            top=one,
            bottom=two,
        )
    )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the time per client, where growth shows."""
    made, (left, right) = figure(2, "P5: time against the number of clients, checks included", (1.1, 1))
    for index, (method, count) in enumerate(LINES):
        sizes, seconds = times(rows, method, count)
        label = f"{method}, {count} thread{'s' * (count > 1)}"
        growth(left, sizes, seconds, label, index)
        growth(right, sizes, [s / n * 1e9 for s, n in zip(seconds, sizes, strict=True)], label, index)
    sizes, seconds = times(rows, EXP2, 1)
    right.loglog(sizes, [s / n * 1e9 for s, n in zip(seconds, sizes, strict=True)], color="#000000", linestyle=":")
    right.annotate(
        "np.exp2", (sizes[0], seconds[0] / sizes[0] * 1e9), xytext=(0, 5), textcoords="offset points", fontsize=9
    )
    for axes, what in ((left, "median time [s]"), (right, "median time per client [ns]")):
        axes.set_xlabel("clients N")
        axes.set_ylabel(what)
    left.legend(frameon=False, fontsize=8)
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
