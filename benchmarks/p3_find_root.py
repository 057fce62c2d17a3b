"""P3: ``scipy.optimize.elementwise.find_root`` over one cold level-3 pass, both right to 1e-12, one thread.

The goal is for the equation as the model states it: f and x are closed form in the price of time (x by Lambert's W),
and one scalar root fits their times into the round. Two more forms borrow the kernel's own unknown, the log odds
v = ln(t/tau): a safe one, right over the range ours is right over (series and asymptotes of F, logarithms kept apart),
and the leanest found, three elementary functions that cancel or overflow outside these instances. Brackets come from
every client's bounds. Clients have no least frequency, so nearly all have a root to find; the others are not given to
it. Errors are against the numpy reference.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize.elementwise import find_root
from scipy.special import lambertw

import fedopt
from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run, threads, timed
from benchmarks.instances import Fleet, cell, free
from benchmarks.pictures import figure, goals, growth
from fedopt.rounds import rows_of
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.plan import make_plan

NAME = "p3_find_root"
MUST, AIM = 50.0, 100.0
GOAL_SIZE = 100_000
_WANTED = 1e-12
_OURS, _PRICE = "kernel, one cold pass", "find_root, price of time"
_SAFE, _LEAN = "find_root, safe log odds", "find_root, leanest log odds"
_FORMS = (_PRICE, _SAFE, _LEAN)


def fit(u: Any, T: Any, W: Any, a: Any, gamma: Any, kappa: Any) -> Any:
    """ln((t + tau)/T) at the price e^u [W]: t = W/f, f = (price/2 kappa)^(1/3), tau = a/x, x by Lambert's W."""
    t, tau = _at_price(u, W, a, gamma, kappa)
    return np.log((t + tau) / T)


def _at_price(u: Any, W: Any, a: Any, gamma: Any, kappa: Any) -> tuple[Any, Any]:
    price = np.exp(u)
    m = gamma * price
    x = 1.0 + lambertw((m - 1.0) / np.e).real
    e = np.expm1(x)
    x = x - (x * e - (e - x) - m) / (x * (e + 1.0))  # Lambert's W alone loses the last three digits of x
    return W / np.cbrt(price / (2.0 * kappa)), a / x


def safe(v: Any, c: Any, l: Any) -> Any:
    """ln c - 3 ln s - ln F(x), s = 1/(1 + e^-v), x = l (1 + e^v), for any v and x; falls with v."""
    x = np.exp(np.minimum(np.log(l) + np.logaddexp(0.0, v), 690.0))
    near = np.minimum(x, 50.0)
    e = np.expm1(near)
    series = 2.0 * np.log(x) + np.log(0.5 + x * (1.0 / 3.0 + x * (0.125 + x / 30.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ln_F = np.where(x < 1e-3, series, np.where(x > 50.0, x + np.log(x - 1.0), np.log(near * e - (e - near))))
    return np.log(c) + 3.0 * np.logaddexp(0.0, -v) - ln_F


def lean(v: Any, c: Any, l: Any) -> Any:
    """ln(c/s^3 / F(x)), the same function with as few operations as possible."""
    odds = np.exp(v)
    x = l * (1.0 + odds)
    e = np.expm1(x)
    return np.log(c * (1.0 + 1.0 / odds) ** 3 / (x * e - (e - x)))


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, method and repeat: the pass alone, and the whole of ``fedopt.allocate``."""
    for size in sizes or ((1_000, 10_000) if quick else (1_000, 10_000, GOAL_SIZE)):
        for seed in range(1 if quick else 3):
            yield from _instance(free(cell(size, seed)), 3 if quick else 7)


def _instance(fleet: Fleet, repeats: int) -> Iterator[Row]:
    clients, work = fleet.build()
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(float("inf"))).duration
    T = 1.7 * shortest
    truth = fedopt.allocate(clients, work, duration=T, allocation="reference")
    same: dict[str, Any] = {"benchmark": NAME, "instance": fleet.name, "clients": len(fleet), "duration": T}
    methods = {_OURS: _kernel, _PRICE: _find_price}
    methods |= {_SAFE: partial(_find_root, safe), _LEAN: partial(_find_root, lean)}
    with threads(1):
        for repeat in range(repeats + 1):
            for method, call in methods.items():
                build, solve, t, tau = call(clients, work, T, truth)
                error = max(_worst(t, truth.compute_time), _worst(tau, truth.upload_time))
                if repeat:  # the first warms up
                    yield Row(
                        **same, method=method, repeat=repeat, build_seconds=build, solve_seconds=solve, error=error,
                        status="optimal" if error <= _WANTED else "less exact than asked for",
                    )  # fmt: skip
            for method in ("kernel", "scipy"):
                solve, answer = timed(lambda: fedopt.allocate(clients, work, duration=T, allocation=method))  # noqa: B023
                if repeat:
                    verdict = fedopt.judge(clients, work, T, answer.frequency, answer.rate)
                    yield Row(
                        **same, method=f"fedopt.allocate, {method}", repeat=repeat, solve_seconds=solve,
                        energy=verdict.energy, violation=verdict.violation,
                        error=_worst(answer.compute_time, truth.compute_time),
                    )  # fmt: skip


def _worst(found: Any, truth: Any) -> float:
    known = np.isfinite(found)
    return float(np.abs(found[known] / truth[known] - 1.0).max())


def _kernel(clients: Any, work: Any, T: float, truth: Any) -> tuple[float, float, Any, Any]:
    """Times of one cold pass over all clients, the plan made before."""
    build, plan = timed(lambda: make_plan(rows_of(clients, work)))
    v, sums, out = np.ones(plan.size), np.ones((plan.blocks, 3)), np.ones((4, plan.size))  # touched, as in level 2
    rest: dict[str, Any] = {"tolerance": EXACT, "first": 0, "last": plan.blocks, "sums": sums, "out": out}
    solve, _ = timed(lambda: price_blocks(plan.kind, plan.columns, plan.priced, T, v, False, **rest))
    return build, solve, out[0], out[1]


def _find_root(balance: Any, clients: Any, work: Any, T: float, truth: Any) -> tuple[float, float, Any, Any]:
    """Times of the free clients (NaN for the others) by find_root, brackets and coefficients made before."""

    def prepare() -> tuple[Any, ...]:
        inside = (truth.frequency > clients.frequency_min) & (truth.frequency < clients.frequency_max)
        inside &= (truth.power < clients.power_max) & (truth.compute_time + truth.upload_time > T * (1.0 - 1e-9))
        W, B = work.cycles[inside], clients.bandwidth[inside]
        gamma = clients.channel_gain[inside] / (clients.noise_density[inside] * B)
        a = work.upload_bits[inside] * math.log(2.0) / B
        c = 2.0 * clients.capacitance[inside] * gamma * (W / T) ** 3
        t_low, tau_low = W / clients.frequency_max[inside], a / np.log1p(gamma * clients.power_max[inside])
        return inside, c, a / T, np.log(t_low / (T - t_low)), np.log((T - tau_low) / tau_low)

    build, (inside, c, l, low, high) = timed(prepare)
    solve, found = timed(
        lambda: find_root(balance, (low, high), args=(c, l), tolerances={"xatol": 1e-13, "xrtol": 1e-13})
    )
    t, tau = np.full((2, len(clients)), np.nan)
    t[inside], tau[inside] = T / (1.0 + np.exp(-found.x)), T / (1.0 + np.exp(found.x))
    if not found.success.all():
        t[np.flatnonzero(inside)[~found.success]] = np.inf
    return build, solve, t, tau


def _find_price(clients: Any, work: Any, T: float, truth: Any) -> tuple[float, float, Any, Any]:
    """Times of the free clients (NaN for the others) by find_root in ln(price), brackets made before."""

    def prepare() -> tuple[Any, ...]:
        inside = (truth.frequency < clients.frequency_max) & (truth.power < clients.power_max)
        inside &= (truth.frequency > clients.frequency_min) & (truth.price > 0.0)
        W, B, kappa = work.cycles[inside], clients.bandwidth[inside], clients.capacitance[inside]
        gamma = clients.channel_gain[inside] / (clients.noise_density[inside] * B)
        snr = gamma * clients.power_max[inside]
        top = np.maximum(
            2.0 * kappa * clients.frequency_max[inside] ** 3, (1.0 + (np.log1p(snr) - 1.0) * (1.0 + snr)) / gamma
        )
        low = np.log(2.0 * kappa * (W / T) ** 3) - 1e-9
        return inside, (low, np.log(top)), (W, work.upload_bits[inside] * math.log(2.0) / B, gamma, kappa)

    build, (inside, bracket, given) = timed(prepare)
    solve, found = timed(lambda: find_root(fit, bracket, args=(T, *given), tolerances={"xatol": 1e-13, "xrtol": 1e-13}))
    t, tau = np.full((2, len(clients)), np.nan)
    t[inside], tau[inside] = _at_price(found.x, *given)
    if not found.success.all():
        t[np.flatnonzero(inside)[~found.success]] = np.inf
    return build, solve, t, tau


def compare(rows: list[Row]) -> list[Ratio]:
    """find_root over a pass; and the public call with scipy over the one with the kernel."""
    ratios = []
    for size in sorted({row.clients for row in rows}):
        here = [row for row in rows if row.clients == size]
        ours = median((r for r in here if r.method == _OURS), lambda r: r.solve_seconds)
        for form in _FORMS:
            limits = (MUST, AIM) if size == GOAL_SIZE and form == _PRICE else (NAN, NAN)
            theirs = median((r for r in here if r.method == form), lambda r: r.solve_seconds)
            ratios.append(
                Ratio(
                    goal="P3",
                    what=f"{form}, over one cold pass, N = {size:,}",
                    value=quotient(theirs, ours),
                    must=limits[0],
                    aim=limits[1],
                    top=theirs,
                    bottom=ours,
                )
            )
    for size in sorted({row.clients for row in rows}):
        here = [row for row in rows if row.clients == size]
        ours, theirs = (median(r for r in here if r.method == f"fedopt.allocate, {m}") for m in ("kernel", "scipy"))
        what = f"fedopt.allocate: scipy over kernel, N = {size:,}"
        ratios.append(
            Ratio(goal="", what=what, value=quotient(theirs, ours), must=NAN, aim=NAN, top=theirs, bottom=ours)
        )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Time against N, and the ratios of the pass."""
    made, (left, right) = figure(2, "P3: the least energy of every client for a given duration, one thread", (1.2, 1))
    sizes = sorted({row.clients for row in rows})
    methods = (_OURS, *_FORMS, "fedopt.allocate, kernel", "fedopt.allocate, scipy")
    for index, method in enumerate(methods):
        own = [row for row in rows if row.method == method]
        seconds = [median((r for r in own if r.clients == n), lambda r: r.solve_seconds) for n in sizes]
        growth(left, sizes, seconds, method, index)
    left.set_xlabel("clients N")
    left.set_ylabel("median time [s]")
    left.legend(frameon=False, fontsize=8, loc="upper left")
    left.set_ylim(top=10.0 * left.get_ylim()[1])  # room for the legend
    largest = f"N = {max(row.clients for row in rows):,}"
    passes = [each for each in ratios if each.goal and each.what.endswith(largest)]
    forms = [each.what.partition(", ")[2].partition(" ")[0] for each in passes]
    sizes = [int(each.what.rpartition("= ")[2].replace(",", "")) for each in passes]
    goals(right, passes, [f"{form}\nN = {size:.0e}" for form, size in zip(forms, sizes, strict=True)])
    right.tick_params(axis="x", labelsize=9)
    right.set_ylabel("find_root's time over the kernel's")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
