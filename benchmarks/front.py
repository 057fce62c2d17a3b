"""Many questions to one fleet: budgets answered from its front, fading rounds solved from the last one's solution.

The bundled 64 phones. Every answer is compared with that of a cold solve() of the same problem: the column ``error``
is the relative difference of the utilities, which is what keeping the last partition or matching gives up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, timed
from benchmarks.instances import TYPES
from benchmarks.pictures import COLOURS, figure
from fedopt import devices

NAME = "front"
SOLVE, AT, BUILD = "solve, one partition", "front.at", "pareto, 20 points"
COLD, WARM = "solve, cold", "solve, warm"
KEPT = {"partition": "partition kept", "matching": "matching kept"}
BUDGETS, FADING = "budgets of one fleet", "fading rounds"
CORRELATION = 0.9  # of the amplitudes of two rounds


def measure(quick: bool, count: int | None = None) -> Iterator[Row]:
    """A row per budget or round and method."""
    count = count or (12 if quick else 50)
    yield from _budgets(count)
    for watts in (10.0, 100.0):
        yield from _fading(watts, count)


def _budgets(count: int) -> Iterator[Row]:
    """Power budgets from 3 to 100 W, energy budgets from 0.1 to 30 % above the least energy."""
    clients = devices.phones64()
    problem = fedopt.Problem(clients, TYPES, budget=fedopt.PowerBudget(10.0), partitions=[(16, 16, 16, 16)])
    fedopt.pareto(problem).at(problem.budget)  # compiled and used before
    seconds, front = timed(lambda: fedopt.pareto(problem))
    yield _row(BUDGETS, BUILD, "", 0, seconds)
    least = float(front.curves[0].energy[-1]) / 1.001
    budgets: list[Any] = [fedopt.PowerBudget(watts) for watts in np.geomspace(3.0, 100.0, count)]
    budgets += [fedopt.EnergyBudget(least * factor) for factor in np.linspace(1.001, 1.3, count)]
    for repeat, budget in enumerate(budgets):
        own = fedopt.Problem(clients, TYPES, budget=budget, partitions=[(16, 16, 16, 16)])
        cold, truth = timed(lambda: fedopt.solve(own))  # noqa: B023
        quick, answer = timed(lambda: front.at(budget))  # noqa: B023
        settings = type(budget).__name__
        yield _row(BUDGETS, SOLVE, settings, repeat, cold, truth, truth)
        yield _row(BUDGETS, AT, settings, repeat, quick, answer, truth)


def _fading(watts: float, rounds: int) -> Iterator[Row]:
    """All partitions under Rayleigh fading, the amplitudes a first-order Gauss-Markov process."""
    clients, rng = devices.phones64(), np.random.default_rng(1)

    def draw() -> Any:
        return (rng.standard_normal(len(clients)) + 1j * rng.standard_normal(len(clients))) / np.sqrt(2.0)

    z, last = draw(), None
    for repeat in range(rounds + 1):
        z = CORRELATION * z + np.sqrt(1.0 - CORRELATION**2) * draw()
        faded = clients.replace(channel_gain=clients.channel_gain * np.abs(z) ** 2)
        problem = fedopt.Problem(faded, TYPES, budget=fedopt.PowerBudget(watts))
        cold, truth = timed(lambda: fedopt.solve(problem))  # noqa: B023
        if last is not None:
            warm, answer = timed(lambda: fedopt.solve(problem, warm=last))  # noqa: B023
            yield _row(FADING, COLD, f"{watts:g} W", repeat, cold, truth, truth)
            yield _row(FADING, WARM, f"{watts:g} W", repeat, warm, answer, truth)
            for keep, method in KEPT.items():
                kept, answer = timed(lambda: fedopt.solve(problem, warm=last, keep=keep))  # noqa: B023
                yield _row(FADING, method, f"{watts:g} W", repeat, kept, answer, truth)
        last = truth


def _row(
    instance: str,
    method: str,
    settings: str,
    repeat: int,
    seconds: float,
    answer: fedopt.Solution | None = None,
    truth: fedopt.Solution | None = None,
) -> Row:
    found: dict[str, Any] = {}
    if answer is not None and truth is not None:
        verdict = answer.verdict
        found = {
            "status": answer.status.name.lower(),
            "passes": answer.stats["passes"],
            "duration": answer.duration,
            "energy": answer.energy,
            "violation": NAN if verdict is None else verdict.violation,
            "error": abs(answer.utility / truth.utility - 1.0),
        }
    return Row(
        benchmark=NAME,
        instance=f"phones64, {instance}",
        clients=64,
        method=method,
        settings=settings,
        repeat=repeat,
        solve_seconds=seconds,
        **found,
    )


def compare(rows: list[Row]) -> list[Ratio]:
    """Medians over medians, and the worst difference of utilities."""
    ratios = []
    for top, bottom, settings in (
        (SOLVE, AT, "PowerBudget"),
        (SOLVE, AT, "EnergyBudget"),
        (COLD, WARM, "10 W"),
        (COLD, WARM, "100 W"),
        *((COLD, method, watts) for method in KEPT.values() for watts in ("10 W", "100 W")),
    ):
        a, b = (median(r for r in rows if r.method == m and r.settings == settings) for m in (top, bottom))
        what = f"{top} over {bottom.split(', ')[-1]}, {settings}"
        ratios.append(Ratio(goal="", what=what, value=quotient(a, b), must=NAN, aim=NAN, top=a, bottom=b))
    build, per = median(r for r in rows if r.method == BUILD), median(r for r in rows if r.method == SOLVE)
    what = "building the front, in solves"
    ratios.append(Ratio(goal="", what=what, value=quotient(build, per), must=NAN, aim=NAN, top=build, bottom=per))
    errors = [r.error for r in rows if r.method in (AT, WARM) and r.good]
    what = "utility differs from a cold solve's, worst, relative"
    ratios.append(Ratio(goal="", what=what, value=float(np.nanmax(errors)), must=1e-12, aim=1e-12, above=False))
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Every answer's time, sorted."""
    made, panels = figure(2, "64 phones: time of an answer, cold and from what is known")
    asked = (SOLVE, AT), (COLD, WARM, *KEPT.values())
    for axes, instance, methods in zip(panels, (BUDGETS, FADING), asked, strict=True):
        for index, method in enumerate(methods):
            seconds = np.sort([r.solve_seconds for r in rows if r.method == method])
            share = np.arange(1, len(seconds) + 1) / len(seconds)
            axes.step(1e3 * seconds, share, where="post", color=COLOURS[index], label=method)
        axes.set(xscale="log", xlabel="time of an answer [ms]", ylabel="share of the answers", title=instance)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.legend(frameon=False, fontsize=9)
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
