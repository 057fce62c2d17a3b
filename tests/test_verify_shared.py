"""The verifier on a shared uplink: right answers within a jump of the price of time, forged prices and claims."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import Outcome

SCHEMES = (SharedBandwidth(1e6), TimeDivision(1e6))
TYPE = (fedopt.SubModel("one", flops=1e9, upload_bits=1e5),)


def fleet(**changes: Any) -> fedopt.Clients:
    """One client, or as many as the changes have."""
    columns = {"frequency_min": 0.0, "frequency_max": 1e9, "capacitance": 1e-28, "samples": 1.0}
    more = {"channel_gain": 1e-10, "bandwidth": 1e6, "power_max": 0.1}
    return fedopt.Clients(**{**columns, **more, **changes})


def outcomes(report: fedopt.Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def at_price(clients: fedopt.Clients, work: fedopt.Workload, watts: float) -> fedopt.Report:
    """The report on the answer at a price of time, its bandwidth shared."""
    budget, access = TimePrice(watts), SharedBandwidth(1e6)
    found = fedopt.schedule(clients, work, budget, access=access)
    assert found.status is Status.OPTIMAL
    return fedopt.verify_schedule(clients, work, budget, found, access=access)


@pytest.mark.parametrize("watts", [1e-5, 5e-5, 1.9e-4])
def test_a_price_below_that_of_the_least_frequency_is_proved_where_nobody_sends(watts: float) -> None:
    """2 kappa f_min^3 = 2e-4 W: any price of time up to that one leaves the client at f_min."""
    clients = fleet(frequency_min=1e8, overhead=5.0)
    report = at_price(clients, fedopt.Workload(cycles=1e9, upload_bits=0.0), watts)
    assert report.complete, str(report)


@pytest.mark.parametrize("watts", [300.0, 500.0, 1000.0, 1500.0, 2000.0])
def test_a_price_within_a_jump_of_those_who_send_is_proved_by_another_price_of_bandwidth(watts: float) -> None:
    """The first at its greatest frequency and least power, the second at its greatest: from 407 to 1,900 W or so all
    prices lead to one round, each with a price of bandwidth of its own."""
    clients = fleet(channel_gain=2e-11, power_min=0.1, power_max=0.15, overhead=[0.0, 1.0])
    report = at_price(clients, fedopt.Workload(cycles=[4e8, 0.0], upload_bits=2e5), watts)
    assert report.complete, str(report)


def test_who_sends_nothing_and_who_sends_leave_prices_open_together() -> None:
    """A third computes at its least frequency, done as the round ends: its price has a range of its own."""
    bounds: dict[str, Any] = {"frequency_min": [0.0, 0.0, 1e8], "power_min": 0.1, "power_max": 0.15}
    clients = fleet(channel_gain=2e-11, overhead=[0.0, 1.0, 0.0], **bounds)
    for cycles in (1.02132544e8, 1.0213254443623678e8):
        work = fedopt.Workload(cycles=[4e8, 0.0, cycles], upload_bits=[2e5, 2e5, 0.0])
        report = at_price(clients, work, 1000.0)
        assert report.complete, str(report)


def slots_at_a_bound(budget: Any) -> tuple[Any, fedopt.Schedule]:
    """What to verify and the answer: all send at one power, and the first computes at one speed."""
    clients = fleet(
        frequency_min=[1e9, 1e8, 1e8],
        capacitance=1e-27,
        channel_gain=[1e-10, 2e-10, 3e-10],
        power_min=0.1,
    )
    work = fedopt.Workload(cycles=[1e9, 2e9, 3e9], upload_bits=1e5)
    return (clients, work, budget), fedopt.schedule(clients, work, budget, access=TimeDivision(1e6))


@pytest.mark.parametrize("factor", [1.0 + 1e-4, 1.0 - 1e-4])
def test_prices_of_slots_that_bounds_leave_open_are_the_budgets_and_add_up(factor: float) -> None:
    access = TimeDivision(1e6)
    for budget in (TimePrice(3.0), Deadline(5.0)):
        given, true = slots_at_a_bound(budget)
        report = fedopt.verify_schedule(*given, true, access=access)
        assert report.complete, str(report)
        assert true.sharing is not None
        assert true.allocation is not None
        sharing = dataclasses.replace(true.sharing, time_price=true.sharing.time_price * factor)
        forged = dataclasses.replace(true, sharing=sharing)
        said = outcomes(fedopt.verify_schedule(*given, forged, access=access))
        assert said["prices of time add up"] is Outcome.FAILED
        assert said.get("price of time is the budget's", Outcome.FAILED) is Outcome.FAILED
        both = dataclasses.replace(true.allocation, price=true.allocation.price * factor)
        said = outcomes(fedopt.verify_schedule(*given, dataclasses.replace(forged, allocation=both), access=access))
        assert said["prices of time add up"] is Outcome.PASSED
        for n in np.flatnonzero(true.allocation.price):
            price = np.where(np.arange(3) == n, true.allocation.price * factor, true.allocation.price)
            other = dataclasses.replace(true, allocation=dataclasses.replace(true.allocation, price=price))
            said = outcomes(fedopt.verify_schedule(*given, other, access=access))
            assert said["prices of time add up"] is Outcome.FAILED


def test_the_end_of_computing_is_when_all_have_computed_where_time_is_worth_nothing_too() -> None:
    given, true = slots_at_a_bound(Deadline(100.0))
    assert true.sharing is not None
    assert true.sharing.time_price == 0.0
    assert fedopt.verify_schedule(*given, true, access=TimeDivision(1e6)).complete
    for factor in (1.0 + 1e-4, 1.0 - 1e-4):
        sharing = dataclasses.replace(true.sharing, compute_end=true.sharing.compute_end * factor)
        report = fedopt.verify_schedule(*given, dataclasses.replace(true, sharing=sharing), access=TimeDivision(1e6))
        assert outcomes(report)["end of computing"] is Outcome.FAILED


def called_infeasible(problem: Problem) -> dict[str, Outcome]:
    """What comes of calling a solved problem infeasible over all matchings."""
    true, no = fedopt.solve(problem), (math.nan, math.nan)
    assert true.status.solved
    parts = ("allocation", "verdict", "partition", "assignment", "sharing", "place_prices")
    nothing: dict[str, Any] = dict.fromkeys(parts)
    numbers: dict[str, Any] = dict.fromkeys(("duration", "energy", "utility", "bound"), math.nan)
    forged = dataclasses.replace(
        true, status=Status.INFEASIBLE, scope="all matchings", shortfall=1.0,
        bracket=no, cost_bracket=no, **nothing, **numbers,
    )  # fmt: skip
    return outcomes(fedopt.verify(problem, forged))


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("budget", [TimePrice(1.0), PowerBudget(1.0), Deadline(100.0), EnergyBudget(100.0)], ids=str)
def test_a_budget_that_a_matching_meets_is_not_infeasible(access: Any, budget: Any) -> None:
    assert called_infeasible(Problem(fleet(), TYPE, budget=budget, access=access))["infeasible"] is Outcome.FAILED


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_a_deadline_a_hair_from_the_shortest_round_is_not_refuted(access: Any) -> None:
    """By less than a millionth, on either side; each client alone has time enough."""
    clients = fleet(frequency_max=[1e9, 2e9], channel_gain=[1e-10, 2e-10])
    given = Problem(clients, TYPE, budget=EnergyBudget(math.inf), access=access)
    shortest = fedopt.solve(given)
    assert shortest.status is Status.SLACK
    nothing: dict[str, Any] = dict.fromkeys(("allocation", "verdict", "partition", "assignment", "sharing"))
    numbers: dict[str, Any] = dict.fromkeys(("duration", "energy", "utility", "bound"), math.nan)
    more: dict[str, Any] = {"bracket": (math.nan, math.nan), "scope": "all matchings", "clients": (0, 1)}
    said = dataclasses.replace(shortest, status=Status.INFEASIBLE, shortfall=1e-9, **nothing, **numbers, **more)
    for off, outcome in ((-5e-7, Outcome.UNPROVED), (5e-7, Outcome.UNPROVED), (2e-6, Outcome.FAILED)):
        problem = dataclasses.replace(given, budget=Deadline(shortest.duration * (1.0 + off)))
        assert outcomes(fedopt.verify(problem, said))["infeasible"] is outcome


def test_without_a_limit_of_power_a_shortest_round_refutes_nothing() -> None:
    clients = fleet(power_max=math.inf)
    problem = Problem(clients, TYPE, budget=Deadline(100.0), access=SCHEMES[0])
    assert called_infeasible(problem)["infeasible"] is Outcome.UNPROVED


def test_slots_that_come_too_late_are_left_open_where_each_alone_is_in_time() -> None:
    """The first cannot send, and computes for 1 s; the second computes for 0.1 s and sends: together 1 s and a slot."""
    clients = fleet(channel_gain=[0.0, 1e-10], frequency_max=[1e9, 1e10])
    types = (*TYPE, fedopt.SubModel("computes", flops=1e9, upload_bits=0.0, download_bits=0.0))
    more = {"budget": Deadline(1.0 + 1e-4), "access": TimeDivision(1e6), "partitions": [(1, 1), (2, 0)]}
    problem = Problem(clients, types, **more)
    found = fedopt.solve(problem)
    assert found.status is Status.INFEASIBLE
    report = fedopt.verify(problem, dataclasses.replace(found, scope="all matchings"))
    assert outcomes(report)["infeasible"] is Outcome.UNPROVED
