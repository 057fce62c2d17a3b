"""Matchings under shared bandwidth: improved at prices, and bounds that exhaustive search must not beat."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimePrice
from fedopt.devices import phones64
from fedopt.submodels import Partition

TYPES = mnist_types((1, 2, 2, 4))[:3]


def every(problem: fedopt.Problem) -> list[tuple[tuple[int, ...], fedopt.Schedule]]:
    """Every matching that has an answer, with its partition."""
    wanted, found = {tuple(row) for row in problem.candidates().tolist()}, []
    for assignment in itertools.product(range(len(problem.submodels)), repeat=len(problem.clients)):
        counts = tuple(np.bincount(assignment, minlength=len(problem.submodels)).tolist())
        if counts in wanted:
            work = problem.clients.workload(problem.submodels, np.array(assignment))
            schedule = fedopt.schedule(problem.clients, work, problem.budget, access=problem.access)
            found += [(counts, schedule)] if schedule.status.solved else []
    return found


def exhaustive(problem: fedopt.Problem) -> dict[tuple[int, ...], tuple[float, float]]:
    """Least duration over all matchings of every partition, and the utility there; partitions without one left out."""
    best: dict[tuple[int, ...], tuple[float, float]] = {}
    for counts, found in every(problem):
        if not found.duration >= best.get(counts, (math.inf, 0.0))[0]:
            utility = problem.utility(Partition(counts, problem.submodels), found.duration, found.energy)
            best[counts] = found.duration, utility
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", [PowerBudget(1.0), EnergyBudget(40.0), EnergyBudget(400.0)], ids=str)
def test_no_matching_beats_the_bound(seed: int, budget: fedopt.EnergyBudget | PowerBudget) -> None:
    clients = make("typical", seed, 5).clients
    problem = fedopt.Problem(clients, TYPES, budget=budget, access=SharedBandwidth(2e6))
    best = exhaustive(problem)
    found = fedopt.solve(problem, matching="marginal")
    if not best:
        assert found.status is Status.INFEASIBLE
        return
    greatest = max(utility for _, utility in best.values())
    assert found.utility <= greatest * (1 + 1e-9)
    assert greatest <= found.bound * (1 + 1e-9)
    assert found.utility >= 0.97 * greatest  # a heuristic, but a good one
    assert found.partition is not None
    duration, _ = best[tuple(found.partition)]
    assert found.bracket[0] <= duration * (1 + 1e-9)
    said = re.search(r"better by more than (\S+) %", found.reason)
    if said is None:
        assert found.bound == found.utility
    else:  # rounded up to two digits
        share = 100 * (found.bound / found.utility - 1)
        assert share * (1 - 1e-6) <= float(said[1]) <= 1.1 * share


@pytest.mark.parametrize("seed", range(3))
def test_one_partition_of_many_clients_is_nearly_proved(seed: int) -> None:
    """The prices leave a gap of about one client's cost: next to nothing of many."""
    clients = make("typical", seed, 60).clients
    problem = fedopt.Problem(
        clients, TYPES, budget=PowerBudget(10.0), access=SharedBandwidth(2e7), partitions=[(20, 20, 20)]
    )
    found = fedopt.solve(problem, matching="marginal")
    assert found.bound <= found.utility * (1 + 1e-3)
    by_rule = fedopt.solve(problem, matching="sorted")
    assert found.utility >= by_rule.utility * (1 - 1e-12)


def test_screening_changes_nothing() -> None:
    """Every partition by itself is no better than the best of all, which is among them."""
    clients = make("typical", 1, 12).clients
    problem = fedopt.Problem(clients, TYPES, budget=PowerBudget(2.0), access=SharedBandwidth(4e6))
    together = fedopt.solve(problem, matching="marginal")
    alone = []
    for counts in problem.candidates().tolist():
        one = fedopt.Problem(clients, TYPES, budget=problem.budget, access=problem.access, partitions=[counts])
        alone.append(fedopt.solve(one, matching="marginal").utility)
    assert together.utility >= np.nanmax(alone) * (1 - 1e-6)
    assert np.nanmax(alone) <= together.bound * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("utility", ["least_energy", None])
@pytest.mark.parametrize("seconds", [15.0, 20.0, 40.0])
def test_no_matching_beats_the_bound_at_a_deadline(seed: int, utility: str | None, seconds: float) -> None:
    """Least energy, and the most replicas that some matching completes in time: that one is exact."""
    clients = make("typical", seed, 5).clients
    problem = fedopt.Problem(clients, TYPES, budget=Deadline(seconds), access=SharedBandwidth(2e6), utility=utility)
    found, others = fedopt.solve(problem), every(problem)
    if not others:
        assert found.status is Status.INFEASIBLE
        return
    best = max(problem.utility(Partition(counts, TYPES), e.duration, e.energy) for counts, e in others)
    assert found.scope == "all matchings"
    assert found.utility <= best + 1e-9 * abs(best)
    assert best <= found.bound + 1e-9 * abs(best)
    assert found.utility >= best - (0.02 if utility else 1e-9) * abs(best)
    assert found.bound <= best + (0.1 if utility else 1e-9) * abs(best)
    assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("watts", [0.1, 1.0, 10.0])
def test_no_matching_is_cheaper_than_the_bound(seed: int, watts: float) -> None:
    """Every matching of the partition costs what is proved at least; the best of all is found, or nearly.

    In one of them computing and sending take power by themselves.
    """
    clients = make("typical", seed, 5).clients
    if seed == 1:
        steady = np.array([0.02, 0.1, 0.3, 0.5, 0.8])
        clients = clients.replace(static_power=steady, circuit_power=steady[::-1])
    problem = fedopt.Problem(clients, TYPES, budget=TimePrice(watts), access=SharedBandwidth(2e6))
    found, others = fedopt.solve(problem), every(problem)
    assert found.partition is not None
    costs = [e.energy + watts * e.duration for counts, e in others if counts == tuple(found.partition)]
    low, cost = found.cost_bracket
    assert low <= min(costs) * (1.0 + 1e-9)
    assert cost == pytest.approx(found.energy + watts * found.duration, rel=1e-12)
    assert min(costs) * (1.0 - 1e-9) <= cost <= min(costs) * 1.01
    assert low >= 0.9 * cost
    assert math.isnan(found.bound)
    said = re.search(r"cheaper by more than (\S+) %", found.reason)
    assert said is None or float(said[1]) >= 100.0 * (1.0 - low / cost) * (1.0 - 1e-6)
    assert fedopt.verify(problem, found).ok


def test_a_price_of_time_passes_over_partitions_that_cannot_win() -> None:
    """Each partition by itself, and the best of them: no other answer."""
    clients = make("typical", 1, 10).clients
    problem = fedopt.Problem(clients, TYPES, budget=TimePrice(1.0), access=SharedBandwidth(4e6))
    together, alone = fedopt.solve(problem), []
    for counts in problem.candidates().tolist():
        one = fedopt.Problem(clients, TYPES, budget=problem.budget, access=problem.access, partitions=[counts])
        alone.append(fedopt.solve(one).utility)
    assert together.utility == pytest.approx(max(alone), rel=1e-3)


@pytest.mark.parametrize("partitions", [[(24, 12, 4, 24), (26, 10, 12, 16)], [(26, 22, 0, 16), (20, 8, 4, 32)]])
def test_only_the_cheapest_matching_of_a_partition_speaks_for_it(partitions: list[tuple[int, ...]]) -> None:
    """A costlier one that is shorter, met on the way, neither wins nor rules another partition out."""
    problem = fedopt.Problem(
        phones64(), mnist_types(), budget=TimePrice(1.0), access=SharedBandwidth(1e6), partitions=partitions
    )
    alone = [fedopt.solve(dataclasses.replace(problem, partitions=[each])) for each in partitions]
    found, best = fedopt.solve(problem), max(alone, key=lambda solution: solution.utility)
    assert found.partition == best.partition
    assert found.utility == pytest.approx(best.utility, rel=1e-3)
    for each in (found, *alone):
        low, cost = each.cost_bracket
        assert 0.999 * cost < low <= cost == pytest.approx(each.energy + each.duration, rel=1e-12)
