"""P6: full level-3 passes that level 2 needs for 1e-12, over 1,000 mixed instances; bisection beside it.

Passes are counted from outside: level 3 is handed to level 2 as a callable that counts its calls, the final pass for
the answer included. Everything else in a row of ours is of the public call, judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, run, timed
from benchmarks.instances import FAMILIES, Fleet, family
from benchmarks.pictures import COLOURS, figure, legend
from fedopt.rounds import goal_of, rows_of
from solvers.allocation.kernel import allocate
from solvers.duration import bisection, newton
from solvers.rows import Point, Rows

NAME = "p6_passes"
INSTANCES = 1_000
BUDGETS = ("energy", "power", "price")
SIZES = (1, 8, 64, 512)
OURS, THEIRS = "newton", "bisection"
_EVERY = 4  # bisection is run on every so many instances


def measure(quick: bool, count: int | None = None) -> Iterator[Row]:
    """A row per instance and method."""
    for number in range(count or (60 if quick else INSTANCES)):
        rng = np.random.default_rng([6, number])
        kind, budget_kind = FAMILIES[number % len(FAMILIES)], BUDGETS[number // len(FAMILIES) % len(BUDGETS)]
        fleet = family(kind, SIZES[int(rng.integers(len(SIZES)))], number)
        factor = 1.0 + 10.0 ** rng.uniform(-3.0, 1.5)
        yield from _instance(fleet, budget_kind, factor, number % _EVERY == 0)


def _instance(fleet: Fleet, budget_kind: str, factor: float, both: bool) -> Iterator[Row]:
    clients, work = fleet.build()
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(float("inf"))).duration
    there = fedopt.allocate(clients, work, duration=factor * shortest)
    energy, price = float(there.energy.sum()), float(there.price.sum())
    if budget_kind == "price" and price == 0.0:
        budget_kind = "power"  # more time saves nothing here, so no price leads here
    budget: Any = {
        "energy": lambda: fedopt.EnergyBudget(energy),
        "power": lambda: fedopt.PowerBudget(energy / (factor * shortest)),
        "price": lambda: fedopt.TimePrice(price),
    }[budget_kind]()
    same: dict[str, Any] = {
        "benchmark": NAME, "instance": fleet.name, "clients": len(fleet), "settings": f"{budget_kind}, x{factor:.4g}",
    }  # fmt: skip
    counted = _counted(newton, OURS, clients, work, budget, same)
    yield replace(_public(clients, work, budget, same), passes=counted.passes)
    if both:
        yield _counted(bisection, THEIRS, clients, work, budget, same)


def _public(clients: Any, work: Any, budget: Any, same: dict[str, Any]) -> Row:
    """The public call."""
    seconds, answer = timed(lambda: fedopt.schedule(clients, work, budget))
    return Row(
        **same,
        method=OURS,
        status=answer.status.name.lower(),
        solve_seconds=seconds,
        duration=answer.duration,
        energy=answer.energy,
        violation=answer.verdict.violation if answer.verdict else NAN,
        error=_miss(budget, answer.duration, answer.energy),
    )


def _counted(method: Any, name: str, clients: Any, work: Any, budget: Any, same: dict[str, Any]) -> Row:
    """The same method of level 2 with a level 3 that counts its calls."""
    calls = 0

    def counting(rows: Rows, duration: float) -> Point:
        nonlocal calls
        calls += 1
        return allocate(rows, duration)

    rows = rows_of(clients, work)
    seconds, timing = timed(lambda: method.schedule(rows, *goal_of(budget), counting))
    energy = NAN if timing.point is None else float(timing.point.energy.sum())
    return Row(
        **same, method=name, status=timing.stop.name.lower(), solve_seconds=seconds, passes=float(calls),
        duration=timing.duration, energy=energy, error=_miss(budget, timing.duration, energy),
    )  # fmt: skip


def _miss(budget: Any, duration: float, energy: float) -> float:
    """How far, relatively, the energy is from what the budget allows; NaN for a price of time."""
    if isinstance(budget, fedopt.EnergyBudget):
        return abs(energy / budget.joules - 1.0)
    return abs(energy / (budget.watts * duration) - 1.0) if isinstance(budget, fedopt.PowerBudget) else NAN


def searched(rows: list[Row], method: str, budget: str = "") -> list[float]:
    """Passes of the instances that had a duration to search."""
    return [r.passes for r in rows if r.method == method and r.status == "optimal" and r.settings.startswith(budget)]


def compare(rows: list[Row]) -> list[Ratio]:
    """Mean and greatest number of passes; by budget; and bisection's."""
    ratios = []
    ours = searched(rows, OURS)
    for what, value, must, aim in (("mean", np.mean(ours), 5.0, 4.0), ("greatest", np.max(ours), 14.0, 9.0)):
        ratios.append(
            Ratio(
                goal="P6",
                what=f"{what} passes of {len(ours)} instances",
                value=float(value),
                must=must,
                aim=aim,
                above=False,
                unit="passes",
            )
        )
    for name, method, budget in (
        *((f"{budget} budgets" if budget != "price" else "prices of time", OURS, budget) for budget in BUDGETS),
        ("bisection", THEIRS, ""),
    ):  # fmt: skip
        passes = searched(rows, method, budget)
        for what, value in (("mean", np.mean), ("greatest", np.max)) if passes else ():
            ratios.append(
                Ratio(
                    goal="", what=f"{what} passes, {name}", value=float(value(passes)), must=NAN, aim=NAN, above=False
                )
            )
    missed = [row.error for row in rows if row.method == OURS and row.status == "optimal" and row.error == row.error]
    ratios.append(
        Ratio(
            goal="",
            what="energy off the budget, worst, relative",
            value=max(missed),
            must=1e-12,
            aim=1e-12,
            above=False,
        )
    )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """How many instances took how many passes."""
    made, (left, right) = figure(2, "P6: passes over all clients until the budget is met to 1e-12", (1, 1))
    ours, theirs = searched(rows, OURS), searched(rows, THEIRS)
    most = int(max(*ours, *theirs)) + 1
    for values, name, index in ((ours, "newton (ours)", 0), (theirs, "bisection (the paper's)", 1)):
        share = np.bincount(np.asarray(values, dtype=np.int64), minlength=most) / len(values)
        left.bar(range(len(share)), share, width=0.9, color=COLOURS[index], label=f"{name}: mean {np.mean(values):.1f}")
    left.set_xlabel("level-3 passes")
    left.set_ylabel("share of the instances")
    legend(left, 1)
    top = int(max(ours)) + 1
    bottom = np.zeros(top)
    for index, budget in enumerate(BUDGETS):
        counts = np.bincount(np.asarray(searched(rows, OURS, budget), dtype=np.int64), minlength=top).astype(float)
        label = "price of time" if budget == "price" else f"{budget} budget"
        right.bar(range(top), counts, bottom=bottom, width=0.8, color=COLOURS[(0, 5, 4)[index]], label=label)
        bottom += counts
    right.axvline(
        float(np.mean(ours)), color="#000000", linewidth=1.2, label=f"mean {np.mean(ours):.2f} (must be at most 5)"
    )
    right.axvline(14.5, color="#000000", linestyle=":", linewidth=1.2, label="must be at most 14")
    right.set_xlim(0.5, max(top, 15.5))
    right.set_xlabel("level-3 passes of newton")
    right.set_ylabel("instances")
    right.set_yscale("symlog", linthresh=1.0)
    legend(right)
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
