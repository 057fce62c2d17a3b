"""P1: the same schedule by cvxpy with Clarabel, as one convex program, over ours; our duration right to 1e-10.

Both go through ``fedopt.schedule`` from raw arrays, checks included. A ratio is of medians over the instances that both
answered; where Clarabel failed is a row. That our duration is right is proved from outside: the 60-digit reference of
the tests says that the budget is missed 1e-10 below it and met 1e-10 above (up to 1,000 clients; beyond, the numpy
reference with exactly rounded sums says so).
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import fedopt
from benchmarks.common import (
    NAN,
    ROOT,
    Benchmark,
    Ratio,
    Row,
    TimeLimit,
    median,
    quotient,
    run,
    threads,
    time_limit,
    typical,
)
from benchmarks.instances import FACTORS, Fleet, cell, energy_budget, measured
from benchmarks.pictures import figure, goals, growth

NAME = "p1_cvxpy"
GOALS = {100: (150.0, 500.0), 1_000: (1_000.0, 2_500.0), 10_000: (3_000.0, 8_000.0)}
WITHIN = 1e-10
_ORACLE_CLIENTS = 1_000
_LIMIT = 300.0  # [s] for cvxpy


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, instance, method and repeat, after a first call of both that imports what they need."""
    for timing in ("newton", "cvxpy"):
        measured(NAME, cell(4), fedopt.PowerBudget(1.0), method=timing, timing=timing)
    for size in sizes or ((100, 1_000) if quick else tuple(GOALS)):
        factors = FACTORS[1:2] if quick else FACTORS
        for seed, factor in enumerate(factors):
            yield from _instance(size, seed, factor, quick)


def _instance(size: int, seed: int, factor: float, quick: bool) -> Iterator[Row]:
    fleet = cell(size, seed)
    budget = energy_budget(fleet, factor)
    label = f"{fleet.name}-x{factor:g}"
    own: dict[str, Any] = {"instance": label, "method": "newton + kernel", "settings": "default"}
    with threads(1):
        row = measured(NAME, fleet, budget, **own)
    error = duration_error(fleet, budget.joules, row.duration)
    ours = 5 if quick else 20 if size <= _ORACLE_CLIENTS else 10
    for turn in range(1 if quick else 3):  # in turns: the machine is not equally fast all the time
        with threads(1):
            for repeat in range(turn * ours, (turn + 1) * ours):
                yield _with_error(measured(NAME, fleet, budget, repeat=repeat, **own), error)
        try:
            with time_limit(_LIMIT):
                other = measured(
                    NAME, fleet, budget, instance=label, method="cvxpy + Clarabel", settings="joint program",
                    repeat=turn, timing="cvxpy",
                )  # fmt: skip
        except TimeLimit as limit:
            other = Row(
                benchmark=NAME, instance=label, clients=size, method="cvxpy + Clarabel", settings="joint program",
                repeat=turn, status=str(limit), solve_seconds=_LIMIT,
            )  # fmt: skip
        yield _with_error(other, abs(other.duration / row.duration - 1.0))


def _with_error(row: Row, error: float) -> Row:
    return replace(row, error=error)


def duration_error(fleet: Fleet, joules: float, duration: float) -> float:
    """1e-10 where the budget is missed that much (relative) below the duration and met that much above it; else NaN.

    Tighter bounds are tried first, so the number is the least power of ten from 1e-15 that is proved.
    """
    spends = _exactly(fleet) if len(fleet) <= _ORACLE_CLIENTS else _by_reference(fleet)
    for digits in (13, 12, 11, 10):
        gap = 10.0**-digits
        if spends(duration * (1.0 - gap)) > joules >= spends(duration * (1.0 + gap)):
            return gap
    return NAN


def _exactly(fleet: Fleet) -> Any:
    """Energy of a duration by the tests' 60-digit reference."""
    path = ROOT / "tests" / "oracle.py"
    spec = importlib.util.spec_from_file_location("oracle", path)
    assert spec is not None
    assert spec.loader is not None
    oracle = sys.modules.get("oracle") or importlib.util.module_from_spec(spec)
    if "oracle" not in sys.modules:
        sys.modules["oracle"] = oracle
        spec.loader.exec_module(oracle)
    known = oracle.Fleet(*fleet.build())
    return lambda duration: known.energy(oracle.mpf(duration))


def _by_reference(fleet: Fleet) -> Any:
    """Energy of a duration by the numpy reference; its rounding, 1e-15 relative, is far below what is proved."""
    clients, work = fleet.build()
    return lambda duration: math.fsum(
        fedopt.allocate(clients, work, duration=duration, allocation="reference").energy.tolist()
    )


def compare(rows: list[Row]) -> list[Ratio]:
    """cvxpy's time over ours per size, and how far our worst duration is from right."""
    ratios = []
    for size in sorted({row.clients for row in rows}):
        theirs, ours = typical((row for row in rows if row.clients == size), "cvxpy", "newton")
        must, aim = GOALS.get(size, (NAN, NAN))
        what = f"cvxpy + Clarabel over ours, N = {size:,}"
        ratios.append(
            Ratio(goal="P1", what=what, value=quotient(theirs, ours), must=must, aim=aim, top=theirs, bottom=ours)
        )
    own = [row.error for row in rows if row.method.startswith("newton")]
    worst = NAN if any(error != error for error in own) else max(own)
    ratios.append(
        Ratio(
            goal="P1",
            what="our duration's proved relative error, worst",
            value=worst,
            must=WITHIN,
            aim=WITHIN,
            above=False,
        )
    )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the ratios beside their goals."""
    made, (left, right) = figure(2, "P1: one schedule (levels 2 and 3, energy budget), checks included", (1.2, 1))
    for index, start in enumerate(("newton", "cvxpy")):
        sizes = sorted({row.clients for row in rows})
        names = {"newton": "fedopt (newton + kernel)", "cvxpy": "cvxpy + Clarabel, joint program"}
        own = [row for row in rows if row.method.startswith(start)]
        growth(left, sizes, [median(row for row in own if row.clients == n) for n in sizes], names[start], index)
    left.set_xlabel("clients N")
    left.set_ylabel("median time, one thread [s]")
    left.legend(frameon=False, fontsize=9)
    speed = ratios[:-1]
    right.set_yscale("log")
    goals(right, speed, [f"N = {what.what.rpartition('= ')[2]}" for what in speed])
    right.set_ylabel("cvxpy's time over ours")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
