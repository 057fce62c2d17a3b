"""P9, P10: the exact matching at a fixed duration, over a stable argsort and under scipy's assignment; whole searches.

Costs are those of the cell at twice the least duration, K = 4 types with a fourth of the places each. P9 counts the
pricing of all N x K pairs too; P10 gives both sides the finished costs, scipy's with every type's column repeated for
its places. The whole searches are of one partition, from Clients on, with proof, judge and the paper's rule.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, timed
from benchmarks.instances import TYPES, cell, energy_budget
from benchmarks.p5_growth import quarters
from benchmarks.pictures import figure, goals, growth
from fedopt.candidates import menu_of
from solvers.matching.assignment import match
from solvers.matching.transport import Transport, transport
from solvers.threads import thread_count

NAME = "p9_exact"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SCIPY = (125, 250, 500, 1_000, 2_000)
ARGSORT, PRICING, MATCHING, THEIRS = "stable argsort", "pricing", "exact matching", "linear_sum_assignment"
EXACT, SORTED, SCHEDULE = "solve, exact", "solve, sorted", "schedule"
REFERENCE, THEIR_REFERENCE, MINUTE = 1_000_000, 2_000, 60.0


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, method and repeat."""
    for size in sizes or (SIZES[:5] if quick else SIZES):
        clients, problem = _problem(size)
        menu, counts = menu_of(problem, clients), np.array(quarters(size))
        duration = 2.0 * menu.shortest
        costs = menu.costs(duration)
        transport(costs, counts)  # compiled before
        for repeat in range(3 if size >= REFERENCE else 7):
            sort, _ = timed(lambda: np.argsort(clients.channel_gain, kind="stable"))  # noqa: B023
            price, _ = timed(lambda: menu.costs(duration))  # noqa: B023
            yield _row(size, ARGSORT, repeat, sort)
            yield _row(size, PRICING, repeat, price)
            yield _ours(costs, counts, repeat)
        for repeat in range(1 if size >= REFERENCE else 3):
            yield from _searches(clients, problem, repeat)
    for size in SCIPY[:3] if quick else SCIPY:
        yield from _theirs(size)


def _problem(size: int) -> tuple[fedopt.Clients, fedopt.Problem]:
    fleet = cell(size)
    clients, budget = fedopt.Clients(**fleet.columns), energy_budget(fleet, 1.7)
    return clients, fedopt.Problem(clients, TYPES, budget=budget, partitions=[quarters(size)])


def _row(size: int, method: str, repeat: int, seconds: float, **more: Any) -> Row:
    return Row(
        benchmark=NAME, instance=f"cell-{size}-0", clients=size, method=method, repeat=repeat, solve_seconds=seconds,
        threads=thread_count() if method in (PRICING, EXACT, SORTED, SCHEDULE) else 1, **more,
    )  # fmt: skip


def _ours(costs: Any, counts: Any, repeat: int) -> Row:
    """The matching with its own proof: ``error`` is the gap between its cost and the bound that its prices prove."""
    seconds, found = timed(lambda: transport(costs, counts))
    if not isinstance(found, Transport):
        return _row(costs.shape[1], MATCHING, repeat, seconds, status="infeasible")
    bound = (costs - found.prices[:, None]).min(axis=0).sum() + counts @ found.prices  # in plain numpy
    error = abs(found.cost / bound - 1.0)
    return _row(costs.shape[1], MATCHING, repeat, seconds, energy=found.cost, error=error)


def _searches(clients: fedopt.Clients, problem: fedopt.Problem, repeat: int) -> Iterator[Row]:
    for method in (EXACT, SORTED):
        seconds, answer = timed(lambda: fedopt.solve(problem, matching=method.split()[-1]))  # noqa: B023
        yield _answer(len(clients), method, repeat, seconds, answer)
    assert answer.assignment is not None
    work = clients.workload(TYPES, answer.assignment)
    seconds, round_ = timed(lambda: fedopt.schedule(clients, work, problem.budget))
    yield _answer(len(clients), SCHEDULE, repeat, seconds, round_)


def _answer(size: int, method: str, repeat: int, seconds: float, answer: fedopt.Solution | fedopt.Schedule) -> Row:
    low, high = answer.bracket
    return _row(
        size, method, repeat, seconds, status=answer.status.name.lower(), passes=answer.stats["passes"],
        duration=answer.duration, energy=answer.energy, error=(high - low) / high,
        violation=NAN if answer.verdict is None else answer.verdict.violation,
    )  # fmt: skip


def _theirs(size: int) -> Iterator[Row]:
    """scipy's cost of the same matching: ``error`` is how far ours is from it."""
    clients, problem = _problem(size)
    counts, menu = np.array(quarters(size)), menu_of(problem, clients)
    costs = menu.costs(2.0 * menu.shortest)
    for repeat in range(3):
        ours = _ours(costs, counts, repeat)
        if size not in SIZES:
            yield ours
        seconds, found = timed(lambda: match(costs.T, counts))
        assert found is not None
        yield _row(size, THEIRS, repeat, seconds, energy=found[1], error=abs(ours.energy / found[1] - 1.0))


def compare(rows: list[Row]) -> list[Ratio]:
    """P9 at the largest size, P10 at scipy's largest, growth, proof, and whole searches."""

    def at(size: int, method: str) -> float:
        return median(r for r in rows if r.clients == size and r.method == method)

    size = max(r.clients for r in rows if r.method == ARGSORT)
    theirs = max(r.clients for r in rows if r.method == THEIRS)
    binding, theirs_binding = size == REFERENCE, theirs == THEIR_REFERENCE
    sort, both = at(size, ARGSORT), at(size, PRICING) + at(size, MATCHING)
    ratios = [
        Ratio(
            goal="P9", what=f"exact matching, pricing included, over argsort, N = {size:,}",
            value=quotient(both, sort), must=25.0 if binding else NAN, aim=8.0 if binding else NAN,
            top=both, bottom=sort, above=False,
        ),
        Ratio(
            goal="", what=f"the matching alone over argsort, N = {size:,}",
            value=quotient(at(size, MATCHING), sort), must=NAN, aim=NAN, top=at(size, MATCHING), bottom=sort,
        ),
        Ratio(
            goal="P10", what=f"linear_sum_assignment over ours, N = {theirs:,}",
            value=quotient(at(theirs, THEIRS), at(theirs, MATCHING)), must=100.0 if theirs_binding else NAN,
            aim=1000.0 if theirs_binding else NAN, top=at(theirs, THEIRS), bottom=at(theirs, MATCHING),
        ),
        _worst(rows, THEIRS, "P10", "cost differs from scipy's, worst, relative", 1e-9),
        _worst(rows, MATCHING, "", "cost over the bound its prices prove, worst, relative", 1e-12),
        _worst(rows, EXACT, "", "proved bracket of the duration, worst, relative", 1e-12),
    ]  # fmt: skip
    seconds = at(size, EXACT)
    must = MINUTE if binding else NAN
    what = f"whole exact search of one partition [s], N = {size:,}"
    ratios.append(Ratio(goal="", what=what, value=seconds, must=must, aim=must, above=False))
    search, parts = at(size, SORTED), at(size, SCHEDULE) + 2.0 * sort
    what = f"sorted search over its schedule and two argsorts, N = {size:,}"
    ratios.append(Ratio(goal="", what=what, value=quotient(search, parts), must=NAN, aim=NAN, top=search, bottom=parts))
    return ratios


def _worst(rows: list[Row], method: str, goal: str, what: str, must: float) -> Ratio:
    errors = [r.error for r in rows if r.method == method and r.good]
    return Ratio(goal=goal, what=what, value=float(np.max(errors)), must=must, aim=must, above=False)


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the two goals."""
    made, (left, right) = figure(2, "P9, P10: the exact matching of four types at a given duration", (1.6, 1))
    for index, method in enumerate((ARGSORT, PRICING, MATCHING, THEIRS, EXACT)):
        sizes = sorted({r.clients for r in rows if r.method == method})
        seconds = [median(r for r in rows if r.method == method and r.clients == size) for size in sizes]
        growth(left, sizes, seconds, method, index, fit_from=500 if method == THEIRS else 30_000)
    left.set(xlabel="clients N", ylabel="median time [s]")
    left.legend(frameon=False, fontsize=8)
    goals(right, [ratios[0], ratios[2]], ["ours over\nargsort (P9)", "scipy over\nours (P10)"])
    right.set_yscale("log")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
