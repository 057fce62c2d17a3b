"""Matchings under time division: improved at a price of time, and bounds that exhaustive search must not beat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types
from test_priced import every

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, TimeDivision, TimePrice
from fedopt.submodels import Partition

TYPES = mnist_types((1, 2, 2, 4))[:3]
BUDGETS = (PowerBudget(1.0), EnergyBudget(400.0), Deadline(60.0), TimePrice(0.5))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_no_matching_beats_the_bound(seed: int, budget: Any) -> None:
    """In half of them computing, sending and receiving take power by themselves."""
    clients = make("typical", seed, 4).clients
    if seed > 1:
        steady = np.array([0.02, 0.1, 0.3, 0.8])
        clients = clients.replace(static_power=steady, circuit_power=steady[::-1], receive_power=0.2, download_rate=1e6)
    utility = "least_energy" if isinstance(budget, Deadline) else None
    problem = fedopt.Problem(clients, TYPES, budget=budget, access=TimeDivision(2e6), utility=utility)
    found, others = fedopt.solve(problem), every(problem)
    assert found.status.solved
    assert found.partition is not None
    if isinstance(budget, TimePrice):  # proved to the end
        least = min(e.energy + budget.watts * e.duration for counts, e in others if counts == tuple(found.partition))
        assert found.energy + budget.watts * found.duration == pytest.approx(least, rel=1e-9)
        assert found.cost_bracket[0] == pytest.approx(least, rel=1e-9)
        assert "No matching is cheaper" in found.reason
        assert math.isnan(found.bound)
        return
    best = max(problem.utility(Partition(counts, TYPES), e.duration, e.energy) for counts, e in others)
    assert found.scope == "all matchings"
    assert found.utility <= best + 1e-9 * abs(best)
    assert best <= found.bound + 1e-9 * abs(best)
    assert found.utility >= best - 0.02 * abs(best)  # a heuristic, but a good one


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_bound_of_a_deadline_is_near_what_the_best_matching_needs(size: int) -> None:
    """The price is sought for the end of computing that proves less: for the later one alone half of it was open."""
    clients = fedopt.devices.random_fleet(size, seed=1)
    shortest = fedopt.solve(
        fedopt.Problem(clients, TYPES, budget=EnergyBudget(math.inf), access=TimeDivision(1e6))
    ).duration
    budget = Deadline(2.5 * shortest)
    problem = fedopt.Problem(clients, TYPES, budget=budget, access=TimeDivision(1e6), utility="least_energy")
    least = min(each.energy for _, each in every(problem))
    assert 0.98 * least <= -fedopt.solve(problem).bound <= least * (1.0 + 1e-9)


def test_a_deadline_rules_out_what_no_matching_meets() -> None:
    """Replicas per second at a fixed duration: the most replicas that some matching completes in time."""
    clients = make("typical", 0, 4).clients
    for seconds in (15.0, 20.0, 40.0):
        problem = fedopt.Problem(clients, TYPES, budget=Deadline(seconds), access=TimeDivision(2e6))
        found, others = fedopt.solve(problem), every(problem)
        if not others:
            assert not found.status.solved
            continue
        best = max(Partition(counts, TYPES).replicas for counts, _ in others) / seconds
        assert found.utility <= best * (1.0 + 1e-9)
        assert found.bound >= best * (1.0 - 1e-9)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_idle_places_and_clients_out_of_reach(budget: Any) -> None:
    """An idle place has no end of computing; one client has no channel at all and must have one of these."""
    clients = make("typical", 0, 4).clients
    clients = clients.replace(channel_gain=np.array([0.0, *clients.channel_gain[1:]]))
    types = (*TYPES[:2], fedopt.SubModel.idle())
    for matching in ("marginal", "sorted"):
        problem = fedopt.Problem(clients, types, budget=budget, access=TimeDivision(2e6))
        found = fedopt.solve(problem, matching=matching)
        assert found.status.solved, found.reason
        assert found.assignment is not None
        assert types[found.assignment[0]].is_idle
        assert fedopt.verify(problem, found).ok


def test_proofs_leave_most_partitions_unsolved() -> None:
    """What is bounded away is not solved, and no list of partitions solved one by one holds a better one."""
    clients, types = make("typical", 3, 24).clients, mnist_types((1, 2, 4, 4))
    problem = fedopt.Problem(clients, types, budget=PowerBudget(4.0), access=TimeDivision(2e6))
    found, every_sorted = fedopt.solve(problem), fedopt.solve(problem, matching="sorted")
    assert found.stats["screened"] > 0
    assert every_sorted.utility <= found.utility <= found.bound


@pytest.mark.parametrize("budget", [PowerBudget(4.0), EnergyBudget(400.0)], ids=str)
def test_little_is_left_open_of_sixteen_clients(budget: Any) -> None:
    """One price for all ends of computing left nearly half open; each stretch of ends has its own."""
    clients = make("typical", 0, 16).clients
    problem = fedopt.Problem(clients, mnist_types((1, 2, 4, 4)), budget=budget, access=TimeDivision(2e6))
    found = fedopt.solve(problem)
    assert found.utility <= found.bound <= 1.05 * found.utility


def test_a_deadline_that_only_the_quickest_matching_meets() -> None:
    """The least duration of all matchings, by exhaustive search: met just there, and not a millionth below."""
    clients = make("typical", 1, 5).clients
    anything = fedopt.Problem(clients, TYPES, budget=EnergyBudget(math.inf), access=TimeDivision(2e6))
    least = min(e.duration for _, e in every(anything))
    for factor, status in ((1.0 + 1e-9, fedopt.Status.OPTIMAL), (1.0 - 1e-6, fedopt.Status.INFEASIBLE)):
        problem = fedopt.Problem(clients, TYPES, budget=Deadline(least * factor), access=TimeDivision(2e6))
        assert fedopt.solve(problem).status is status


def test_a_price_of_time_passes_over_partitions_that_cannot_win() -> None:
    """Each partition by itself, and the best of them: the same answer."""
    clients, types = make("typical", 1, 10).clients, mnist_types((1, 2, 4, 4))
    problem = fedopt.Problem(clients, types, budget=TimePrice(1.0), access=TimeDivision(2e6))
    together, alone = fedopt.solve(problem), []
    for counts in problem.candidates().tolist():
        one = fedopt.Problem(clients, types, budget=problem.budget, access=problem.access, partitions=[counts])
        alone.append(fedopt.solve(one).utility)
    assert together.utility == pytest.approx(max(alone), rel=1e-9)
    assert together.stats["screened"] > 0
