"""Rounds in which computing, or sending, is a sliver: the last digit of the duration is worth much energy.

What was wrong there once: a price of time was met at the end of a steep fall, though its answer lay far behind it; a
shared channel went over its budget by what rounding hides of a sum of bandwidths, or answered a deadline with another
duration; slots were timed by a step that was small beside the round, not beside the computing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mpmath import mpf
from oracle import Fleet

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    SharedBandwidth,
    Status,
    SubModel,
    TimeDivision,
    TimePrice,
)

SCHEMES = [None, SharedBandwidth(1e6), TimeDivision(1e6)]
FOUND = (3, 4, 8, 14, 28, 82, 163, 1017, 1199, 1272, 7023, 8001)  # each of them was answered, or judged, wrongly once


def steep(seed: int, access: Any) -> Problem:
    """One to four clients whose least times are 1e-3 to 1e-16 of the round."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 5))
    kind = rng.choice(["computing", "sending", "both"])
    flops = 10.0 ** rng.uniform(-3, 9, size)
    steepness = rng.uniform(3, 13, size) if kind != "sending" else rng.uniform(0, 2, size)
    bits = 10.0 ** rng.uniform(-6, 2, size) if kind != "computing" else np.full(size, 3e5)
    clients = fedopt.Clients(
        frequency_min=[0.0] * size,
        frequency_max=flops * 500 * 10.0**steepness * 10.0 ** rng.uniform(-1, 1),
        samples=500,
        channel_gain=10.0 ** rng.uniform(-12, -9, size),
        bandwidth=250e3,
        capacitance=1e-28,
        static_power=rng.choice([0, 0.05]),
        power_max=10.0 ** rng.uniform(-1, 6 if kind != "computing" else 0, size),
        circuit_power=rng.choice([0, 0.05]),
        download_rate=1e7,
        receive_power=0.05,
        overhead=rng.choice([0.01, 10]),
    )
    types = tuple(
        SubModel(f"type {i}", flops=f, upload_bits=b, download_bits=3e5)
        for i, (f, b) in enumerate(zip(flops, bits, strict=True))
    )
    return Problem(clients, types, budget=EnergyBudget(np.inf), access=access)


def budgets(energy: float, duration: float) -> Iterator[Any]:
    """From all but slack to a thousandth of the shortest round's; from a price of hardly anything to a dear one."""
    for share in (0.9999999999, 0.9, 0.1, 1e-3):
        yield EnergyBudget(energy * share)
        yield PowerBudget(energy / duration * share)
    for later in (1e-12, 1e-6, 1e-2, 1.0):
        yield Deadline(duration * (1.0 + later))
    for share in (1e-3, 1.0, 1e3, 1e6, 1e9):
        yield TimePrice(energy / duration * share)


def wrong(problem: Problem, solution: fedopt.Solution) -> str:
    """What speaks against an answer: it is given up, keeps to no deadline, or does not verify."""
    if not (solution.status.solved or solution.status is Status.INFEASIBLE):
        return f"{problem.budget}: {solution.reason}"
    if isinstance(problem.budget, Deadline) and solution.duration != problem.budget.seconds:
        return f"{problem.budget}: {solution.duration}"
    return "; ".join(f"{problem.budget}: {check}" for check in fedopt.verify(problem, solution).failed)


def faults(seed: int, access: Any) -> list[str]:
    problem = steep(seed, access)
    shortest = fedopt.solve(problem, matching="sorted")
    assert shortest.status is Status.SLACK
    found = []
    for budget in budgets(shortest.energy, shortest.duration):
        asked = replace(problem, budget=budget)
        found.append(wrong(asked, fedopt.solve(asked, matching="sorted")))
    return [fault for fault in found if fault]


@pytest.mark.parametrize("seed", [307, 314])
def test_no_bound_over_all_matchings_is_refuted_by_rounding(seed: int) -> None:
    """Prices of 1e33 W, of which a rounding is more than all energies: they prove little, and refute nothing."""
    problem = steep(seed, SCHEMES[1])
    shortest = fedopt.solve(problem, matching="sorted")
    asked = [replace(problem, budget=EnergyBudget(1e249))]
    for budget in budgets(shortest.energy, shortest.duration):
        if isinstance(budget, Deadline):
            asked.append(replace(problem, budget=budget, utility=fedopt.LeastEnergy()))
    for each in asked:
        assert not wrong(each, fedopt.solve(each))


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("seed", FOUND)
def test_every_budget_is_met_and_verified(seed: int, access: Any) -> None:
    assert not faults(seed, access)


@pytest.mark.parametrize("seed", FOUND)
def test_own_channels_against_the_oracle(seed: int) -> None:
    problem = steep(seed, None)
    clients, work = problem.clients, problem.clients.workload(problem.submodels, np.arange(len(problem.clients)))
    shortest = fedopt.schedule(clients, work, EnergyBudget(np.inf))
    fleet = Fleet(clients, work)
    for budget in budgets(shortest.energy, shortest.duration):
        found, true = fedopt.schedule(clients, work, budget), fleet.schedule(budget)
        assert found.status.name.lower() == true.status
        if true.status == "infeasible":
            continue
        if isinstance(budget, TimePrice):
            cost = true.energy + mpf(budget.watts) * true.duration
            assert found.energy + budget.watts * found.duration == pytest.approx(float(cost), rel=1e-12)
        else:
            assert found.duration == pytest.approx(float(true.duration), rel=1e-13)


@pytest.mark.parametrize("budget", [EnergyBudget(1.5 * 9.3e14), PowerBudget(1.5 * 0.25)], ids=str)
def test_a_budget_to_spare_has_the_shortest_round_of_1e15_seconds(budget: Any) -> None:
    """Computing takes 3e-16 of it: a round some ulps later, the budget unspent, was called the best."""
    clients = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=1187719173.5484698, samples=129, channel_gain=[1e-30], bandwidth=1e6,
        circuit_power=0.05,
    )  # fmt: skip
    work = fedopt.Workload(cycles=1.2e7 * 129, upload_bits=2.7e5)
    found = fedopt.schedule(clients, work, budget)
    assert found.status is Status.SLACK
    assert found.duration == fedopt.schedule(clients, work, EnergyBudget(np.inf)).duration
    assert fedopt.verify_schedule(clients, work, budget, found).ok


def test_what_rounding_hides_is_no_fault_of_the_prices_of_places() -> None:
    """At T_min a client has 3e-20 of 10 s to compute in: in the next double's time it would take next to no energy."""
    problem = steep(8, None)
    solution = fedopt.solve(problem)
    assert solution.place_prices is not None
    assert not fedopt.verify(problem, solution).failed


@pytest.mark.parametrize("joules", [15.0, 20.0, 33.0, 50.0])
@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_a_budget_is_kept_where_the_last_digit_of_computing_is_worth_much_of_it(access: Any, joules: float) -> None:
    """After 5e6 s of overhead a double of the round is 1e-9 s, and 1e-8 of the energy: the later one is the answer."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1.5e9, samples=1, channel_gain=1e-11, bandwidth=1e6, static_power=0.05,
        capacitance=1e-25, circuit_power=0.05, overhead=5e6, power_max=2e4,
    )  # fmt: skip
    work, budget = fedopt.Workload(cycles=1e6, upload_bits=3e5), EnergyBudget(joules)
    found = fedopt.schedule(clients, work, budget, access=access)
    assert found.status is Status.OPTIMAL, found.reason
    report = fedopt.verify_schedule(clients, work, budget, found, access=access)
    assert report.ok, str(report)


@pytest.mark.nightly("R18", 17 * 300)
@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_every_budget_of_three_hundred_fleets(access: Any) -> None:
    assert not [fault for seed in range(1000, 1300) for fault in faults(seed, access)]
