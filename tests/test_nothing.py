"""Rounds in which nothing takes time, or energy: what drawn problems have found about zeros, by hand and by schedule().

Who only receives, over a link that takes no time, is busy all the same: T = 0 s and E = 0 J keep every budget.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

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
    verify,
    verify_schedule,
)

TWO = {"frequency_min": 0.0, "frequency_max": [1e9, 2e9], "samples": 100, "channel_gain": 1e-11, "bandwidth": 1e6}
RECEIVES = SubModel("receives", flops=0, upload_bits=0, download_bits=1e5)
SILENT = SubModel("silent", flops=3e7, upload_bits=0)
SENT = SubModel("sent", flops=0, upload_bits=1e5)
FULL = SubModel("full", flops=3e7, upload_bits=1e5)
NOTHING = (EnergyBudget(0.0), PowerBudget(0.0), Deadline(0.0))
ACCESSES = (None, TimeDivision(1e6), SharedBandwidth(1e6))

by_access = pytest.mark.parametrize("access", ACCESSES, ids=str)


@by_access
@pytest.mark.parametrize("budget", NOTHING, ids=str)
@pytest.mark.parametrize("types", [(RECEIVES,), (SILENT, RECEIVES), (RECEIVES, SubModel.idle())], ids=len)
@pytest.mark.parametrize("utility", ["replica_rate", "least_energy"])
def test_a_round_of_no_time_keeps_a_budget_of_nothing(access: Any, budget: Any, types: Any, utility: str) -> None:
    clients = fedopt.Clients(**TWO)
    problem = Problem(clients, types, budget=budget, access=access, utility=utility)
    solution = fedopt.solve(problem)
    assert solution.status is (Status.OPTIMAL if isinstance(budget, Deadline) else Status.SLACK)
    assert (solution.duration, solution.energy) == (0.0, 0.0)
    assert solution.utility == (math.inf if utility == "replica_rate" else 0.0)
    assert verify(problem, solution).ok, verify(problem, solution)


@by_access
def test_waiting_takes_time_and_no_energy(access: Any) -> None:
    clients = fedopt.Clients(**TWO, overhead=0.5)
    for budget in NOTHING[:2]:
        problem = Problem(clients, (SILENT, RECEIVES), budget=budget, access=access)
        solution = fedopt.solve(problem)
        assert (solution.status, solution.partition) == (Status.SLACK, (0, 2))
        assert (solution.duration, solution.energy, solution.utility) == (0.5, 0.0, 4.0)  # 2 replicas in 0.5 s
        assert verify(problem, solution).ok


@by_access
@pytest.mark.parametrize("type_", [SILENT, SENT, FULL], ids=lambda type_: type_.name)
def test_who_works_needs_more_than_a_budget_of_nothing(access: Any, type_: SubModel) -> None:
    """Without f_min and P_s the energy of computing falls to 0 J, and no round reaches it."""
    clients = fedopt.Clients(**TWO)
    work = clients.workload((type_,), 0)
    for budget in NOTHING:
        found = fedopt.schedule(clients, work, budget, access=access)
        assert found.status is Status.INFEASIBLE
        assert verify_schedule(clients, work, budget, found, access=access).ok
        problem = Problem(clients, (type_,), budget=budget, access=access)
        solution = fedopt.solve(problem)
        assert solution.status is Status.INFEASIBLE
        assert verify(problem, solution).ok


def test_power_without_limit_does_not_send_in_no_time() -> None:
    """Under time division the others' slots take all of T_min; of five partitions none is better, by any method."""
    clients = fedopt.Clients(**{**TWO, "frequency_min": 1e8}, power_max=np.inf)
    types = (FULL, SENT, SubModel.idle())
    for seconds in (0.0, 1e-5):  # 1e-5 s ask for e^6000 W
        for matching in ("exact", "sorted", "marginal", "random", "assignment"):
            solution = fedopt.solve(Problem(clients, types, budget=Deadline(seconds)), matching=matching)
            assert solution.status is Status.INFEASIBLE
            assert "no power that is a number" in solution.reason
    for access in ACCESSES[1:]:
        found = fedopt.schedule(clients, clients.workload(types, 1), Deadline(0.0), access=access)
        assert (found.status, found.shortfall) == (Status.INFEASIBLE, 0.0)
        assert "no power that is a number" in found.reason


def test_a_dear_partition_does_not_hide_one_that_can_be_done() -> None:
    """At 1.5 s client 0 has no time to send the full update, whatever its power; one of two may stay idle."""
    clients = fedopt.Clients(**{**TWO, "frequency_max": [2e9, 2e9]}, power_max=np.inf)
    problem = Problem(clients, (FULL, SILENT, SubModel.idle()), budget=Deadline(1.5))  # W / f_max = 1.5 s
    for matching in ("exact", "sorted", "marginal", "assignment"):
        solution = fedopt.solve(problem, matching=matching)
        assert (solution.status, solution.partition) == (Status.OPTIMAL, (0, 2, 0))
        assert solution.energy == pytest.approx(2 * 1e-28 * 3e9 * 4e18, rel=1e-12)  # kappa W f^2 each


@pytest.mark.parametrize("budget", [EnergyBudget(0.145), PowerBudget(0.5), TimePrice(0.1), Deadline(1.0)], ids=str)
def test_uploads_alone_with_power_without_limit_share_a_channel(budget: Any) -> None:
    """T_min = 0. Nobody computes, so slots one after another and bandwidths side by side come to the same."""
    clients = fedopt.Clients(**{**TWO, "channel_gain": [9e-12, 1.1e-11]}, power_max=np.inf)
    work = fedopt.Workload(cycles=0.0, upload_bits=5e5)  # one number for all: so are the kinds of the rows
    found = [
        fedopt.schedule(clients, work, budget, access=access) for access in (TimeDivision(2e6), SharedBandwidth(2e6))
    ]
    for answer, access in zip(found, (TimeDivision(2e6), SharedBandwidth(2e6)), strict=True):
        assert answer.status is Status.OPTIMAL
        assert verify_schedule(clients, work, budget, answer, access=access).ok
    assert found[0].duration == pytest.approx(found[1].duration, rel=1e-9)
    assert found[0].energy == pytest.approx(found[1].energy, rel=1e-9)


def test_a_round_of_no_time_is_judged_under_time_division() -> None:
    clients = fedopt.Clients(**TWO)
    verdict = fedopt.judge(clients, clients.workload((SENT,), 0), 0.0, 0.0, 1e6, access=TimeDivision(1e6))
    assert verdict.violation == math.inf
    assert any("slots end after the round" in sentence for sentence in verdict.violations)


def test_one_client_alone_on_the_band_may_spend_its_least_energy() -> None:
    """With circuit and static power E_inf is reached, at T_flat; sharing with nobody changes nothing."""
    one = {**TWO, "frequency_min": 1e8, "frequency_max": [1e9]}
    clients = fedopt.Clients(**one, circuit_power=0.1, static_power=0.2)
    work = clients.workload((FULL,), 0)
    alone = fedopt.schedule(clients, work, EnergyBudget(fedopt.schedule(clients, work, Deadline(1e4)).energy))
    assert alone.status is Status.OPTIMAL
    found = fedopt.schedule(clients, work, EnergyBudget(alone.energy), access=SharedBandwidth(1e6))
    assert found.status is not Status.INFEASIBLE
