"""Budgets next to what another partition needs at least: what rounding hides of it is looked for, told, or a limit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from oracle import Fleet

import fedopt
from fedopt import Clients, EnergyBudget, Problem, ReplicaRate, Status, SubModel
from fedopt.reasons import why_infeasible
from fedopt.rounds import rows_of
from solvers.limits import limits
from solvers.rows import Stop

TYPES = (
    SubModel("large", flops=34e6, upload_bits=5e4),
    SubModel("small", flops=6e6, upload_bits=2e4, cover=2),
    SubModel.idle(),
)


def phones(seed: int, size: int, **more: float) -> Clients:
    rng = np.random.default_rng(seed)
    return Clients(
        frequency_min=rng.uniform(3e8, 6e8, size), frequency_max=rng.uniform(1e9, 3e9, size), bandwidth=1e6,
        samples=10.0 ** rng.uniform(1.5, 3.0, size), channel_gain=10.0 ** rng.uniform(-12.0, -10.0, size), **more,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_partition_that_just_meets_the_budget_in_an_age_is_in_the_bound(seed: int) -> None:
    """Its least energy is below the budget by less than doubles tell, and takes 1e11 s; it is worth a million times as
    much as the other one even so."""
    clients = phones(seed, 8)
    fleet = Fleet(clients, clients.workload(TYPES, np.zeros(8, dtype=np.int64)))
    joules = float(fleet.e_inf)
    for _ in range(3):
        joules = float(np.nextafter(joules, np.inf))
        true = fleet.schedule(EnergyBudget(joules))
        problem = Problem(
            clients, TYPES, budget=EnergyBudget(joules), partitions=[(8, 0, 0), (1, 0, 7)], utility=ReplicaRate(20.0)
        )
        found = fedopt.solve(problem)
        assert found.status is Status.LIMIT
        assert not found.bound * (1.0 + 1e-6) < 8.0**20 / float(true.duration)
        assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("seed", [0, 7, 17, 23, 39])
def test_an_only_matching_does_not_know_its_own_duration_better(seed: int) -> None:
    """All three take the largest type, up to three doubles above its least energy: its own search ends too late by
    decades, or as if it had no round; the other partition was proved the best."""
    clients = phones(seed, 3)
    fleet = Fleet(clients, clients.workload(TYPES, np.zeros(3, dtype=np.int64)))
    joules = float(fleet.e_inf)
    for _ in range(3):
        joules = float(np.nextafter(joules, np.inf))
        utility = 3.0**20 / float(fleet.schedule(EnergyBudget(joules)).duration)
        problem = Problem(
            clients, TYPES, budget=EnergyBudget(joules), partitions=[(3, 0, 0), (1, 0, 2)], utility=ReplicaRate(20.0)
        )
        found = fedopt.solve(problem)
        assert not found.status.solved or found.bound >= utility * (1.0 - 1e-6)
        assert not found.bound < utility * (1.0 - 1e-6)
        assert fedopt.verify(problem, found).ok
        other = fedopt.solve(dataclasses.replace(problem, partitions=[(1, 0, 2)]))
        forged = dataclasses.replace(other, problem=problem)
        if forged.bound < utility * (1.0 - 1e-6):
            (check,) = (c for c in fedopt.verify(problem, forged).checks if c.name == "bound of the utility")
            assert check.outcome is not fedopt.verifier.Outcome.PASSED


@pytest.mark.parametrize("more", [-1e-12, -1e-14, -5e-15, -1e-15, 0.0, 1e-15, 1e-14, 1e-12])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_of_another_partition_is_what_the_checker_finds(seed: int, more: float) -> None:
    """Of a least energy that takes no endless round: within the budget, or not by more than rounding."""
    clients = phones(seed, 5, circuit_power=0.05, static_power=0.1)
    work = clients.workload(TYPES, np.zeros(5, dtype=np.int64))
    budget = EnergyBudget(fedopt.schedule(clients, work, fedopt.Deadline(1e6)).energy * (1.0 + more))
    problem = Problem(clients, TYPES, budget=budget, partitions=[(5, 0, 0), (1, 0, 4)], utility=ReplicaRate(4.0))
    found = fedopt.solve(problem)
    assert found.status.solved
    assert found.partition == ((5, 0, 0) if more > -4e-15 else (1, 0, 4))
    assert found.bound == pytest.approx(found.utility, rel=1e-2)
    assert fedopt.verify(problem, found).ok
    assert fedopt.verify(problem, fedopt.pareto(problem, points=4).at(budget)).ok


def test_of_many_partitions_that_need_as_much_one_that_meets_the_budget_is_found() -> None:
    """A thousand need 5e-13 more, or an endless round; three have the least energy, and just that is the budget."""
    size, cycles, bits = 20, 17e8, 2e5
    least = 1e-28 * cycles * 5e8**2
    noise = 3.981e-21
    clients = Clients(
        frequency_min=5e8, frequency_max=2e9, samples=[100.0] * size, bandwidth=1e6, noise_density=noise, power_max=1e6,
        channel_gain=bits * np.log(2.0) * noise / (least * (1.0 + 5e-13)),
    )  # fmt: skip
    types = (
        *(SubModel(f"sends {k}", flops=0.0, upload_bits=bits) for k in (1, 2)),
        *(SubModel(f"computes {k}", flops=cycles / 100.0, upload_bits=0.0) for k in (1, 2)),
    )
    every = np.random.default_rng(0).permutation(fedopt.submodels.all_partitions(size, types))
    sends = every[:, 0] + every[:, 1] > 0
    partitions = np.random.default_rng(1).permutation(np.vstack([every[sends][:1200], every[~sends][:3]]))
    work = clients.workload(types, np.full(size, 2))
    budget = EnergyBudget(float(Fleet(clients, work).e_inf) * (1.0 + 1e-15))
    found = fedopt.solve(Problem(clients, types, budget=budget, partitions=partitions))
    assert found.status is Status.OPTIMAL
    assert found.duration == pytest.approx(cycles / 5e8, rel=1e-6)


def test_what_misses_the_least_energy_by_nothing_misses_it_by_nothing_less() -> None:
    """A budget that is what an endless round needs, or an ulp above the sum of what clients need."""
    clients = phones(1, 3)
    rows = rows_of(clients, clients.workload(TYPES, np.zeros(3, dtype=int)))
    least = limits(rows)
    assert least.e_inf > 0.0
    assert np.isinf(least.t_flat)
    for ulps in (0, 1):
        budget = EnergyBudget(float(least.e_inf + ulps * np.spacing(least.e_inf)))
        reason, _, missing = why_infeasible(clients, least, budget, Stop.TOO_LITTLE)
        assert missing == 0.0
        assert "which only an endless round reaches" in reason
