"""P2: bisection inside bisection, compiled with the same numba options, over ours; N = 1e5, one thread.

The opponent is what the paper's levels 2 and 3 are without any idea: the outer bisection halves the duration until the
interval is 1e-12 of it, the inner one halves each client's computing time until it is known to 1e-12. It is given the
limits of every client for free.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, threads, timed, typical
from benchmarks.instances import FACTORS, Fleet, cell, energy_budget, measured
from benchmarks.pictures import figure, goals, growth

NAME = "p2_bisection"
MUST, AIM = 200.0, 600.0
GOAL_SIZE = 100_000
_CLOSE = 1e-12


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def spent(T: float, k: Any, a: Any, gamma: Any, t_low: Any, t_high: Any, tau_low: Any, t: Any, close: float) -> float:
    """Energy [J] of all clients at T, each one's computing time t by bisection; no static, circuit or least power.

    Where 2 kappa W^3/t^3 (what a second more of computing saves) exceeds F(x)/gamma (what a second less of sending
    costs), t must grow.
    """
    total = 0.0
    for i in range(k.shape[0]):
        low, high = t_low[i], min(t_high[i], T - tau_low[i])
        while high - low > close * high:
            middle = 0.5 * (low + high)
            if not low < middle < high:
                break
            x = a[i] / (T - middle)
            e = math.expm1(x) if x < 0.5 else math.exp(x) - 1.0
            if 2.0 * k[i] / (middle * middle * middle) * gamma[i] > x * e - (e - x):
                low = middle
            else:
                high = middle
        t[i] = high
        tau = T - high
        total += k[i] / (high * high) + tau * math.expm1(a[i] / tau) / gamma[i]
    return total


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def nested(
    joules: float, T_min: float, k: Any, a: Any, gamma: Any, t_low: Any, t_high: Any, tau_low: Any, t: Any, close: float
) -> tuple[float, int]:
    """The least duration within ``joules``, and how many durations were priced; t (N,) is written."""
    low, passes = T_min, 1
    if spent(low, k, a, gamma, t_low, t_high, tau_low, t, close) <= joules:
        return low, passes
    high = 2.0 * low
    passes += 1
    while spent(high, k, a, gamma, t_low, t_high, tau_low, t, close) > joules:
        low, high = high, 2.0 * high
        passes += 1
    while high - low > close * high:
        middle = 0.5 * (low + high)
        passes += 1
        if spent(middle, k, a, gamma, t_low, t_high, tau_low, t, close) <= joules:
            high = middle
        else:
            low = middle
    spent(high, k, a, gamma, t_low, t_high, tau_low, t, close)
    return high, passes + 1


def opponent(fleet: Fleet) -> tuple[float, tuple[np.ndarray, ...]]:
    """What nested() needs of a fleet: T_min [s]; kappa W^3, a, gamma, least and greatest t, least tau, room for t."""
    c = fleet.columns
    W, B = fleet.cycles, np.broadcast_to(np.float64(c["bandwidth"]), len(fleet))
    gamma = c["channel_gain"] / (3.981e-21 * B)
    a = fleet.upload_bits * math.log(2.0) / B
    t_low, tau_low = W / c["frequency_max"], a / np.log1p(gamma * 0.2)
    columns = (c["capacitance"] * W**3, a, gamma, t_low, W / c["frequency_min"], tau_low, np.empty(len(fleet)))
    return float((t_low + tau_low).max()), tuple(np.ascontiguousarray(column) for column in columns)


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, instance, method and repeat."""
    warm, columns = opponent(cell(64))
    nested(1e9, warm, *columns, _CLOSE)
    for size in sizes or ((1_000, 10_000) if quick else (1_000, 10_000, GOAL_SIZE)):
        for seed, factor in enumerate(FACTORS[1:2] if quick else FACTORS):
            fleet = cell(size, seed)
            budget = energy_budget(fleet, factor)
            label = f"{fleet.name}-x{factor:g}"
            with threads(1):
                for repeat in range(5 if quick else 11):
                    row = measured(
                        NAME, fleet, budget, instance=label, method="newton + kernel", settings="default", repeat=repeat
                    )
                    yield replace(row, error=0.0)
                for repeat in range(1 if quick or size >= GOAL_SIZE else 3):
                    yield _nested_row(fleet, budget, label, row.duration, repeat)


def _nested_row(fleet: Fleet, budget: fedopt.EnergyBudget, label: str, ours: float, repeat: int) -> Row:
    """Bisection's row, judged like ours; ``error`` is the distance of the two durations."""
    build, (T_min, columns) = timed(lambda: opponent(fleet))
    solve, (duration, passes) = timed(lambda: nested(budget.joules, T_min, *columns, _CLOSE))
    t = columns[-1]
    clients, work = fleet.build()
    rate = fleet.upload_bits / (duration - t)
    frequency = np.clip(fleet.cycles / t, clients.frequency_min, clients.frequency_max)
    verdict = fedopt.judge(clients, work, duration, frequency, rate, budget)
    return Row(
        benchmark=NAME,
        instance=label,
        clients=len(fleet),
        method="bisection in bisection",
        settings="numba, 1e-12",
        repeat=repeat,
        status="optimal" if verdict.feasible else "; ".join(verdict.violations),
        build_seconds=build,
        solve_seconds=solve,
        passes=passes,
        duration=duration,
        energy=verdict.energy,
        violation=verdict.violation,
        error=abs(duration / ours - 1.0),
    )


def compare(rows: list[Row]) -> list[Ratio]:
    """Bisection's time over ours per size; the goal is for N = 1e5."""
    ratios = []
    for size in sorted({row.clients for row in rows}):
        theirs, ours = typical((row for row in rows if row.clients == size), "bisection", "newton")
        limits = (MUST, AIM) if size == GOAL_SIZE else (NAN, NAN)
        what = f"bisection in bisection over ours, N = {size:,}"
        ratios.append(
            Ratio(
                goal="P2",
                what=what,
                value=quotient(theirs, ours),
                must=limits[0],
                aim=limits[1],
                top=theirs,
                bottom=ours,
            )
        )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the ratios."""
    made, (left, right) = figure(2, "P2: one schedule against nested bisection, both compiled, one thread", (1.2, 1))
    sizes = sorted({row.clients for row in rows})
    names = {"newton": "fedopt (newton + kernel, checks included)", "bisection": "bisection in bisection (numba)"}
    for index, (start, name) in enumerate(names.items()):
        own = [row for row in rows if row.method.startswith(start)]
        growth(left, sizes, [median(row for row in own if row.clients == n) for n in sizes], name, index)
    left.set_xlabel("clients N")
    left.set_ylabel("median time [s]")
    left.legend(frameon=False, fontsize=9)
    goals(right, ratios, [f"N = {each.what.rpartition('= ')[2]}" for each in ratios])
    right.set_ylabel("bisection's time over ours")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
