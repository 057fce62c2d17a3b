"""Partitions too many to list: an answer wherever one is near, and why there is none, in true words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status, TimePrice

TYPES = tuple(
    fedopt.SubModel(f"t{k}", flops=1e6 * flops, upload_bits=bits, cover=cover)
    for k, (flops, bits, cover) in enumerate(((34, 5e4, 1), (17, 3e4, 2), (6, 2e4, 2), (12, 2.2e4, 3), (8, 2e4, 4)))
)
WITH_IDLE = (*TYPES, fedopt.SubModel.idle())


@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize(
    ("budget", "utility"),
    [
        (EnergyBudget(1e9), "replica_rate"),
        (PowerBudget(100.0), "replica_rate"),
        (Deadline(1e3), "replica_rate"),
        (TimePrice(1.0), "replica_rate"),
        (EnergyBudget(1e9), "shortest_round"),
        (Deadline(1e3), "least_energy"),
    ],
)
def test_replicas_of_three_and_two_of_four(budget: fedopt.problem.Budget, utility: str, matching: str) -> None:
    """500 clients are no multiple of 3: two replicas of the type of 4 are needed, of the five; no worse than one such
    partition by itself."""
    size = 500
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=2e9, samples=np.linspace(50, 150, size), bandwidth=1e6, circuit_power=0.05,
        channel_gain=10 ** np.linspace(-11.5, -10.5, size), static_power=0.1,
    )  # fmt: skip
    types = [dataclasses.replace(one, cover=3) for one in TYPES[:4]]
    problem = fedopt.Problem(clients, (*types, TYPES[4]), budget=budget, utility=utility)
    assert fedopt.submodels.too_many(size, problem.submodels)
    found = fedopt.solve(problem, matching=matching)
    one = fedopt.solve(dataclasses.replace(problem, partitions=[(0, 0, 492, 0, 8)]), matching=matching)
    assert found.status.solved
    assert one.status.solved
    assert found.utility >= one.utility - 1e-6 * abs(one.utility)
    assert fedopt.verify(problem, found).ok


def fleet(seed: int) -> fedopt.Clients:
    """300 clients of two kinds, whose energy falls no more from some duration on."""
    rng, kind = np.random.default_rng(seed), np.repeat([0, 1], 150)
    lowest, highest, samples, gain = (
        rng.uniform(low, high, 2)[kind] for low, high in ((3e8, 6e8), (1e9, 3e9), (1.5, 3.0), (-12.0, -10.0))
    )
    return fedopt.Clients(
        frequency_min=lowest, frequency_max=highest, samples=10**samples, channel_gain=10**gain, bandwidth=1e6,
        circuit_power=0.05, static_power=0.1,
    )  # fmt: skip


def needed(clients: fedopt.Clients, replicas: int) -> tuple[tuple[int, ...], float]:
    """So many replicas of the type of the cheapest one, the others idle, and the least energy they take."""
    thrifty = fedopt.Problem(clients, WITH_IDLE, budget=Deadline(1e6), utility="least_energy")
    one = fedopt.solve(thrifty).partition
    assert one is not None
    working = tuple(replicas * count for count in one[:-1])
    partition = (*working, len(clients) - sum(working))
    return partition, fedopt.solve(dataclasses.replace(thrifty, partitions=[partition])).energy


@pytest.mark.parametrize("short", [1e-14, 1e-12, 1e-10, 8e-10])
def test_a_budget_just_short_of_a_partition_leaves_one_replica_fewer(short: float) -> None:
    """Nine fit with a tenth to spare where it is up to 1e-9 below what ten need: no worse than those nine listed."""
    for seed in range(3):
        clients = fleet(seed)
        budget = EnergyBudget(needed(clients, 10)[1] * (1.0 - short))
        problem = fedopt.Problem(clients, WITH_IDLE, budget=budget)
        found = fedopt.solve(problem)
        fewer = fedopt.solve(dataclasses.replace(problem, partitions=[needed(clients, 9)[0]]))
        assert fewer.status.solved
        assert found.status.solved
        assert found.utility >= fewer.utility * (1.0 - 1e-6)
        assert fedopt.verify(problem, found).ok


def test_the_time_limit_is_named_where_the_clock_stopped_the_search() -> None:
    """Not where its steps ran out long before."""
    clients = fleet(0)
    problem = fedopt.Problem(clients, WITH_IDLE, budget=EnergyBudget(needed(clients, 1)[1] * (1.0 - 1e-10)))
    told = {limit: fedopt.solve(problem, time_limit=limit) for limit in (None, 600.0, 0.0)}
    stopped = "Stopped before any answer was found or proved impossible"
    assert {found.status for found in told.values()} == {Status.LIMIT}
    assert told[None].reason == told[600.0].reason == f"{stopped}: it would need another partition."
    assert told[0.0].reason == f"{stopped}, at the time limit of 0 s."
