"""P8: all partitions of 64 clients, the best one proved, over solving each partition on its own.

The bundled 64 phones at 10 W and 100 W: 969 partitions with covers 1, 2, 4, 8 and 1,785 with covers 1, 2, 4, 4, by the
sorted and by the exact matching. On their own they are solved by the same call with a utility that says nothing of
itself (a callable, of the same value), so that no partition can be ruled out. The column ``error`` is the relative
difference of the two utilities, or, where the partitions are not solved each, what the bound leaves open.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, timed
from benchmarks.instances import COVERS, TYPES
from benchmarks.pictures import COLOURS, MARKERS, figure, goals
from fedopt import devices

NAME = "p8_partitions"
BOUNDED, EACH = "all at once, proved", "each on its own"
MATCHINGS = ("sorted", "exact")
WATTS = (10.0, 100.0)
LARGE = (256, 1_024, 16_384, 1_000_000)
REPEATS = 5


def measure(quick: bool, count: int | None = None, large: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per budget, types, matching and method; ``count`` partitions, spread over all, where it is given."""
    clients = devices.phones64()
    for covers in (COVERS, (1, 2, 4, 4)):
        types = tuple(
            fedopt.SubModel(t.name, flops=t.flops, upload_bits=t.upload_bits, cover=q)
            for t, q in zip(TYPES, covers, strict=True)
        )
        listed = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(10.0)).candidates()
        if count is not None:
            listed = listed[:: -(-len(listed) // count)]
        for watts in WATTS:
            yield from _phones(clients, types, listed, watts, 1 if quick else REPEATS)
    for size in large if large is not None else LARGE[:2] if quick else LARGE:
        fleet = devices.random_fleet(size, seed=1)
        for matching in MATCHINGS:
            problem = fedopt.Problem(fleet, TYPES, budget=fedopt.PowerBudget(10.0 / 64.0 * size))
            seconds, found = timed(lambda: fedopt.solve(problem, matching=matching))  # noqa: B023
            yield _row(f"random, {size:,} clients", size, matching, BOUNDED, 0, seconds, found)


def _phones(clients: fedopt.Clients, types: Any, listed: Any, watts: float, repeats: int) -> Iterator[Row]:
    """Both ways, in turn."""
    partitions = [tuple(row) for row in listed.tolist()]
    name = f"phones64, {len(partitions)} partitions, {watts:g} W"
    same = {"budget": fedopt.PowerBudget(watts), "partitions": partitions}
    bounded = fedopt.Problem(clients, types, **same)
    each = fedopt.Problem(clients, types, **same, utility=lambda partition, T, E: partition.replicas / T)
    for matching in MATCHINGS:
        fedopt.solve(bounded, matching=matching)  # compiled and used before
        for repeat in range(repeats):
            slow, truth = timed(lambda: fedopt.solve(each, matching=matching))  # noqa: B023
            yield _row(name, 64, matching, EACH, repeat, slow, truth)
            for fast in range(3):
                seconds, found = timed(lambda: fedopt.solve(bounded, matching=matching))  # noqa: B023
                off = abs(found.utility / truth.utility - 1.0)
                yield _row(name, 64, matching, BOUNDED, 3 * repeat + fast, seconds, found, off)


def _row(
    instance: str, clients: int, matching: str, method: str, repeat: int, seconds: float, found: fedopt.Solution,
    error: float | None = None,
) -> Row:  # fmt: skip
    return Row(
        benchmark=NAME, instance=instance, clients=clients, method=method, settings=matching, repeat=repeat,
        status=found.status.name.lower(), solve_seconds=seconds, passes=found.stats["passes"], duration=found.duration,
        energy=found.energy, violation=NAN if found.verdict is None else found.verdict.violation,
        error=found.bound / found.utility - 1.0 if error is None else error,
    )  # fmt: skip


def compare(rows: list[Row]) -> list[Ratio]:
    """The goal per number of partitions, matching and budget; the worst difference; the large fleets' seconds."""
    ratios = []
    phones = [row for row in rows if row.clients == 64]
    for instance in dict.fromkeys(row.instance for row in phones):
        for matching in MATCHINGS:
            of = [row for row in phones if row.instance == instance and row.settings == matching]
            a, b = (median(row for row in of if row.method == method) for method in (BOUNDED, EACH))
            what = f"{matching}, {instance.split(', ', 1)[1]}"
            ratios.append(
                Ratio(goal="P8", what=what, value=quotient(a, b), must=0.3, aim=0.12, top=a, bottom=b, above=False)
            )
    worst = float(np.max([row.error for row in phones if row.method == BOUNDED]))
    what = "utility differs from the best of each on its own, worst"
    ratios.append(Ratio(goal="", what=what, value=worst, must=1e-12, aim=1e-12, above=False))
    for row in rows:
        if row.clients != 64:
            gap = "" if not row.error > 0.0 else f", to {row.error:.1g}"
            what = f"seconds, {row.clients:,} clients, {row.settings}{gap}"
            ratios.append(Ratio(goal="", what=what, value=row.solve_seconds, must=NAN, aim=NAN, above=False))
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """The ratios beside their goal, and the time of the whole search against the clients."""
    made, (left, right) = figure(2, "P8: the search over all partitions", (1.5, 1))
    shown = [ratio for ratio in ratios if ratio.goal]
    labels = [r.what.replace(" partitions, ", "\n").replace(", ", "\n") for r in shown]
    goals(left, shown, labels)
    left.tick_params(axis="x", labelsize=8)
    left.set_ylabel("time of all at once, proved, over each on its own")
    for index, matching in enumerate(MATCHINGS):
        of = [row for row in rows if row.settings == matching and row.method == BOUNDED]
        sizes = sorted({row.clients for row in of})
        seconds = [median(row for row in of if row.clients == size) for size in sizes]
        right.loglog(sizes, seconds, color=COLOURS[index], marker=MARKERS[index], label=matching)
    right.set(xlabel="clients, four types", ylabel="time of a proved search of all partitions [s]")
    right.legend(frameon=False, fontsize=9)
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
