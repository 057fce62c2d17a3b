"""Matchings under shared bandwidth: improved at prices, and bounds that exhaustive search must not beat."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import EnergyBudget, PowerBudget, SharedBandwidth, Status
from fedopt.submodels import Partition

TYPES = mnist_types((1, 2, 2, 4))[:3]


def exhaustive(problem: fedopt.Problem) -> dict[tuple[int, ...], tuple[float, float]]:
    """Least duration over all matchings of every partition, and the utility there; partitions without one left out."""
    best: dict[tuple[int, ...], tuple[float, float]] = {}
    wanted = {tuple(row) for row in problem.candidates().tolist()}
    for assignment in itertools.product(range(len(problem.submodels)), repeat=len(problem.clients)):
        counts = tuple(np.bincount(assignment, minlength=len(problem.submodels)).tolist())
        if counts not in wanted:
            continue
        work = problem.clients.workload(problem.submodels, np.array(assignment))
        found = fedopt.schedule(problem.clients, work, problem.budget, access=problem.access)
        if found.status.solved and not found.duration >= best.get(counts, (math.inf, 0.0))[0]:
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


@pytest.mark.parametrize("budget", [fedopt.Deadline(60.0), fedopt.TimePrice(0.5)], ids=str)
def test_other_budgets_are_improved_too_but_not_proved(budget: fedopt.Deadline | fedopt.TimePrice) -> None:
    clients = make("typical", 2, 8).clients
    problem = fedopt.Problem(
        clients, TYPES, budget=budget, access=SharedBandwidth(8e6), partitions=[(4, 2, 2)], utility="least_energy"
    )
    by_rule, better = (fedopt.solve(problem, matching=name) for name in ("sorted", "marginal"))
    price = budget.watts if isinstance(budget, fedopt.TimePrice) else 0.0
    assert better.energy + price * better.duration <= (by_rule.energy + price * by_rule.duration) * (1 + 1e-12)
    assert math.isnan(better.bound)
