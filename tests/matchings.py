"""Small fleets for the tests of the search, and all the partitions and matchings that it is compared with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from fleets import least_durations, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, TimePrice
from solvers.matching import METHODS

Budget = EnergyBudget | PowerBudget | Deadline | TimePrice
BUDGETS = ("energy", "power", "deadline", "price")
HEURISTIC = ("sorted", "marginal", "random")
PROVING = tuple(name for name in METHODS.names if name not in HEURISTIC)
TYPES = mnist_types((1, 2, 4, 4))


def fleet(size: int, seed: int) -> fedopt.Clients:
    """CPU and channel drawn apart, so that good channels and good CPUs do not go together."""
    rng = np.random.default_rng(seed)
    return fedopt.Clients(
        frequency_min=rng.uniform(0.1e9, 0.4e9, size),
        frequency_max=rng.uniform(0.8e9, 2.5e9, size),
        capacitance=rng.uniform(0.3e-28, 4e-28, size),
        static_power=rng.uniform(0.0, 0.1, size),
        samples=rng.integers(200, 1500, size),
        channel_gain=10.0 ** rng.uniform(-12.5, -9.0, size),
        bandwidth=3e4,
        circuit_power=rng.uniform(0.0, 0.5, size),
        overhead=rng.uniform(0.0, 0.5, size),
    )


def budget_of(name: str, clients: fedopt.Clients) -> Budget:
    """A budget that binds: met by some partitions of the fleet with ease and by others hardly or not at all."""
    work = clients.workload(TYPES, np.int64(1))
    duration = 1.3 * float(least_durations(clients, work).max())
    found = fedopt.schedule(clients, work, Deadline(duration))
    assert found.allocation is not None
    return {
        "energy": EnergyBudget(found.energy),
        "power": PowerBudget(found.energy / duration),
        "deadline": Deadline(duration),
        "price": TimePrice(float(found.allocation.price.sum())),
    }[name]


def score(budget: Budget, found: fedopt.Schedule | fedopt.Solution) -> float:
    """What a matching of one partition is to make small; inf where there is no answer."""
    if not found.status.solved:
        return math.inf
    if isinstance(budget, Deadline):
        return found.energy
    return found.duration + (found.energy / budget.watts if isinstance(budget, TimePrice) else 0.0)


def partitions_of(size: int, types: tuple[fedopt.SubModel, ...]) -> list[tuple[int, ...]]:
    counts = itertools.product(*(range(0, size + 1, s.cover) for s in types))
    return [c for c in counts if sum(c) == size and fedopt.Partition(c, types).replicas > 0.0]


def in_order(clients: fedopt.Clients, counts: tuple[int, ...], types: tuple[fedopt.SubModel, ...]) -> np.ndarray:
    """The paper's rule: types from many to few FLOPs meet clients from good to bad channel."""
    places = [k for k in sorted(range(len(types)), key=lambda k: -types[k].flops) for _ in range(counts[k])]
    assignment = np.empty(len(clients), dtype=np.int64)
    for client, k in zip(sorted(range(len(clients)), key=lambda n: -clients.channel_gain[n]), places, strict=True):
        assignment[client] = k
    return assignment


def every_matching(size: int, types: tuple[fedopt.SubModel, ...]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """All assignments of types to clients that make whole replicas, with their partitions."""
    allowed = set(partitions_of(size, types))
    for assignment in itertools.product(range(len(types)), repeat=size):
        counts = tuple(assignment.count(k) for k in range(len(types)))
        if counts in allowed:
            yield counts, np.array(assignment)


def best_utility(problem: fedopt.Problem) -> tuple[float, float]:
    """Greatest utility of all matchings, and the least energy of those that reach it: every one is scheduled."""
    best = (-math.inf, math.inf)
    for counts, assignment in every_matching(len(problem.clients), problem.submodels):
        work = problem.clients.workload(problem.submodels, assignment)
        found = fedopt.schedule(problem.clients, work, problem.budget)
        if found.status.solved:
            partition = fedopt.Partition(counts, problem.submodels)
            utility = problem.utility(partition, found.duration, found.energy)
            if utility > best[0] * (1.0 + 1e-12 * np.sign(best[0])) or best[0] == -math.inf:
                best = (utility, found.energy)
            elif math.isclose(utility, best[0], rel_tol=1e-12):
                best = (best[0], min(best[1], found.energy))
    return best


def assert_same(one: fedopt.Solution, other: fedopt.Solution, rel: float = 1e-9) -> None:
    assert one.status is other.status
    assert one.partition == other.partition
    assert one.assignment is not None
    assert one.assignment.tolist() == other.assignment.tolist()  # type: ignore[union-attr]
    assert one.duration == pytest.approx(other.duration, rel=rel)
    assert one.energy == pytest.approx(other.energy, rel=rel)
    assert one.utility == pytest.approx(other.utility, rel=rel)
