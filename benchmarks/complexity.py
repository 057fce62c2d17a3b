"""Search complexity: counted level-3 calls and time against clients, sub-model types and tolerance, beside the claim.

Yu & Li (IEEE Network 35(1), 2021) state O(J log2 J + N log2 N + J log2 T); our reading is J clients, N sub-models of
the partition (as many as clients), T the length of the duration range over the tolerance, per partition. One partition
is searched, by the paper's method (sorted matching, bisection) with two methods of level 3, and by ours (Halley's step
on the duration, compiled). The claim is drawn through the last point of the paper's method.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, TimeLimit, median, run, threads, time_limit, timed
from benchmarks.instances import Fleet, cell, energy_budget
from benchmarks.pictures import COLOURS, MARKERS, exponent, figure
from fedopt.rounds import rows_of
from solvers.allocation import kernel, scipy
from solvers.duration import bisection, newton
from solvers.rows import Goal, Point, Rows

NAME = "complexity"
METHODS: dict[str, dict[str, str]] = {
    "paper's: bisection + scipy": {"matching": "sorted", "timing": "bisection", "allocation": "scipy"},
    "paper's: bisection + kernel": {"matching": "sorted", "timing": "bisection", "allocation": "kernel"},
    "ours: newton + kernel": {"matching": "sorted", "timing": "newton", "allocation": "kernel"},
}
SIZES = (64, 256, 1_024, 4_096, 16_384, 65_536)
TYPE_COUNTS = (1, 2, 4, 8, 16, 32, 64)
TOLERANCES = tuple(10.0**-digits for digits in range(1, 13))
_FIXED_SIZE = 4_096  # clients where types or tolerance vary
_LIMIT = 120.0  # [s] for one search


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """Rows of three sweeps; ``settings`` names the sweep and its value."""
    fixed = 256 if quick or sizes else _FIXED_SIZE
    repeats = 2 if quick or sizes else 5
    with threads(1):
        for size in sizes or (SIZES[:4] if quick else SIZES):
            for name in METHODS:
                yield from _searches(name, size, 4, f"clients={size}", repeats)
        for count in TYPE_COUNTS[:3] if sizes else TYPE_COUNTS:
            for name in METHODS:
                yield from _searches(name, fixed, count, f"types={count}", repeats)
        yield from _tolerances(cell(fixed), repeats)


def make_types(count: int) -> tuple[fedopt.SubModel, ...]:
    """``count`` types of falling size, from the full model of the MNIST experiment to a fourth of it."""
    shares = [0.25 ** (k / max(count - 1, 1)) for k in range(count)]
    return tuple(
        fedopt.SubModel(f"S{k}", flops=6.0 * 5_673_024 * share, upload_bits=32.0 * 16_938 * share)
        for k, share in enumerate(shares)
    )


def _searches(name: str, size: int, types: int, settings: str, repeats: int) -> Iterator[Row]:
    """One partition, the places spread evenly over the types; the budget is the same for all methods."""
    fleet = cell(size)
    budget = energy_budget(fleet, 1.7)
    counts = [size // types] * types
    counts[0] += size - sum(counts)
    slow = size > 10_000 and not name.startswith("ours")  # compiled by now, and too slow to repeat
    for repeat in range(1, 2) if slow else range(repeats + 1):
        row = _search(name, fleet, budget, make_types(types), counts, settings, repeat)
        if repeat or not row.good:  # the first warms up
            yield row
        if not row.good:
            return


def _search(name: str, fleet: Fleet, budget: Any, types: Any, counts: list[int], settings: str, repeat: int) -> Row:
    same: dict[str, Any] = {
        "benchmark": NAME, "instance": fleet.name, "clients": len(fleet), "method": name, "settings": settings,
        "repeat": repeat,
    }  # fmt: skip

    def prepare() -> fedopt.Problem:
        return fedopt.Problem(fedopt.Clients(**fleet.columns), types, budget=budget, partitions=[counts])

    try:
        with time_limit(_LIMIT):
            build, problem = timed(prepare)
            solve, answer = timed(lambda: fedopt.solve(problem, **METHODS[name]))
    except TimeLimit as limit:
        return Row(**same, status=str(limit), solve_seconds=_LIMIT)
    except Exception as error:
        return Row(**same, status=f"failed: {type(error).__name__}: {error}"[:200])
    return Row(
        **same, status=answer.status.name.lower(), build_seconds=build, solve_seconds=solve,
        passes=answer.stats["passes"], duration=answer.duration, energy=answer.energy,
        violation=answer.verdict.violation if answer.verdict else NAN,
    )  # fmt: skip


class _Watched:
    """A method of level 3 that writes down when it was asked for which duration."""

    def __init__(self, allocate: Callable[[Rows, float], Point]) -> None:
        self.allocate, self.started = allocate, time.perf_counter()
        self.asked: list[tuple[float, float, float]] = []  # duration [s], energy [J], seconds since the start

    def __call__(self, rows: Rows, duration: float) -> Point:
        point = self.allocate(rows, duration)
        self.asked.append((duration, float(point.energy.sum()), time.perf_counter() - self.started))
        return point


def _tolerances(fleet: Fleet, repeats: int) -> Iterator[Row]:
    """Calls and seconds until the duration is known to each tolerance, read off one run to the last digit."""
    clients, work = fleet.build()
    rows = rows_of(clients, work)
    joules = energy_budget(fleet, 1.7).joules
    levels = {"bisection + scipy": (bisection, scipy), "bisection + kernel": (bisection, kernel)}
    levels = {f"paper's: {name}": pair for name, pair in levels.items()} | {"ours: newton + kernel": (newton, kernel)}
    for name, (level2, level3) in levels.items():
        for repeat in range(repeats + 1):
            watched = _Watched(level3.allocate)
            answer = level2.schedule(rows, Goal.ENERGY, joules, watched)
            for tolerance in TOLERANCES if repeat else ():
                count = _needed(watched.asked, joules, answer.duration, tolerance, bracketed=level2 is bisection)
                duration, _, seconds = watched.asked[count - 1]
                yield Row(
                    benchmark=NAME,
                    instance=fleet.name,
                    clients=len(fleet),
                    method=name,
                    repeat=repeat,
                    settings=f"tolerance={tolerance:.0e}",
                    passes=float(count),
                    solve_seconds=seconds,
                    duration=duration,
                    error=abs(duration / answer.duration - 1.0),
                )


def _needed(
    asked: list[tuple[float, float, float]], joules: float, final: float, tolerance: float, *, bracketed: bool
) -> int:
    """Calls until the bracket is within the tolerance; for a method without one, until the duration is."""
    low, high = 0.0, math.inf
    for count, (duration, energy, _) in enumerate(asked, 1):
        low, high = (low, min(high, duration)) if energy <= joules else (max(low, duration), high)
        if (
            (high < math.inf and high - low <= tolerance * high)
            if bracketed
            else (abs(duration / final - 1.0) <= tolerance)
        ):
            return count
    return len(asked)


def claimed(size: int, tolerance: float = 1e-12) -> float:
    """J log2 J + N log2 N + J log2 T with N = J, the range T_min to 2 T_min: T is one over the relative tolerance."""
    return 2.0 * size * math.log2(size) + size * math.log2(1.0 / tolerance)


def compare(rows: list[Row]) -> list[Ratio]:
    """Exponents of time against clients, calls at both ends, and the paper's method over ours."""
    ratios = []
    sizes = _values(rows, "clients")
    for name in METHODS:
        passes = [_median(rows, name, "clients", size, "passes") for size in sizes]
        slope = exponent(*_large(sizes, [_median(rows, name, "clients", size, "seconds") for size in sizes]))
        for what, value in (
            (f"exponent in clients, larger half, {name}", slope),
            (f"level-3 calls at {sizes[0]:,.0f} clients, {name}", passes[0]),
            (f"level-3 calls at {sizes[-1]:,.0f} clients, {name}", passes[-1]),
        ):
            ratios.append(Ratio(goal="", what=what, value=value, must=NAN, aim=NAN))
    slope = exponent(*_large(sizes, [claimed(int(size)) for size in sizes]))
    ratios.append(Ratio(goal="", what="exponent in clients, larger half, the claim", value=slope, must=NAN, aim=NAN))
    for size in (sizes[0], sizes[-1]):
        times = [_median(rows, name, "clients", size, "seconds") for name in METHODS]
        for name, seconds in zip(tuple(METHODS)[:2], times[:2], strict=True):
            what = f"{name} over ours, {size:,.0f} clients"
            ratios.append(
                Ratio(goal="", what=what, value=seconds / times[2], top=seconds, bottom=times[2], must=NAN, aim=NAN)
            )
    return ratios


def _large(sizes: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """The upper half of the sizes: below, a call's own cost hides how it grows."""
    half = len(sizes) // 2
    return sizes[half:], values[half:]


def _values(rows: list[Row], sweep: str) -> list[float]:
    return sorted({float(row.settings.partition("=")[2]) for row in rows if row.settings.startswith(f"{sweep}=")})


def _median(rows: list[Row], name: str, sweep: str, value: float, what: str) -> float:
    """Median of a property over the rows of a method at one value of a sweep."""
    own = [row for row in rows if row.method == name and row.settings.startswith(f"{sweep}=")]
    return median((r for r in own if float(r.settings.partition("=")[2]) == value), lambda row: getattr(row, what))


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time above, calls below, against clients, types and tolerance."""
    made, axes = figure(6, "The search of one partition: time and counted level-3 calls, beside the claim", rows=2)
    sweeps = {
        "clients": "clients J",
        "types": "types of sub-models K",
        "tolerance": "relative tolerance of the duration",
    }
    for column, (sweep, label) in enumerate(sweeps.items()):
        values = _values(rows, sweep)
        for panel, what, say in (
            (axes[column], "seconds", "median time [s]"),
            (axes[3 + column], "passes", "level-3 calls"),
        ):
            for index, name in enumerate(METHODS):
                found = [_median(rows, name, sweep, value, what) for value in values]
                slope = exponent(*_large(values, found))
                named = f"{name}: $J^{{{slope:.2f}}}$" if sweep == "clients" and what == "seconds" else name
                panel.semilogx(values, found, color=COLOURS[index], marker=MARKERS[index], markersize=5, label=named)
            panel.set(xlabel=label, ylabel=say)
            if what == "seconds":
                panel.set_yscale("log")
            else:
                panel.set_ylim(0, None)
            if sweep == "tolerance":
                panel.invert_xaxis()
    _claims(axes, rows)
    axes[0].legend(frameon=False, fontsize=8)
    axes[3].legend(frameon=False, fontsize=8, loc="center right")
    return made


def _claims(axes: list[Any], rows: list[Row]) -> None:
    """The claimed cost through the paper's method's last point, and log2 of the range over the tolerance."""
    dashed: dict[str, Any] = {"color": "#000000", "linestyle": "--", "linewidth": 1.0}
    sizes = _values(rows, "clients")
    last = _median(rows, next(iter(METHODS)), "clients", sizes[-1], "seconds")
    scaled = [last * claimed(int(size)) / claimed(int(sizes[-1])) for size in sizes]
    slope = exponent(*_large(sizes, scaled))
    axes[0].loglog(sizes, scaled, **dashed, label=f"claimed, through the last point: $J^{{{slope:.2f}}}$")
    values = _values(rows, "tolerance")
    axes[5].semilogx(values, [math.log2(1.0 / value) for value in values], **dashed, label="claimed: log2 T")
    axes[5].legend(frameon=False, fontsize=8)
    axes[3].axhline(math.log2(1e12), **dashed)
    axes[4].axhline(math.log2(1e12), **dashed)


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
