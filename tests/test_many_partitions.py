"""The search over partitions: bounds against every partition solved by itself, over the fleets that could break them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from matchings import best_utility, budget_of, fleet, in_order, partitions_of

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status, TimePrice, devices
from fedopt.problem import LeastEnergy, ReplicaRate, ShortestRound, UtilityFunction
from fedopt.rounds import goal_of
from fedopt.search import menu_of
from solvers.matching import exact, lookers, prefix, sandwich
from solvers.matching.coarse import search_coarse
from solvers.matching.ordered import search_ordered
from solvers.matching.relaxed import cheapest_chain, cheapest_types
from solvers.matching.task import DURATION, ENERGY, Task

COVERS = (1, 2, 4, 8)
TYPES = tuple(
    fedopt.SubModel(name, flops=6.0 * macs, upload_bits=32.0 * weights, cover=cover)
    for name, macs, weights, cover in zip(
        "LMST", (5_673_024, 2_963_520, 2_441_376, 1_481_760), (16_938, 10_010, 6_250, 5_018), COVERS, strict=True
    )
)
WITH_IDLE = (*TYPES[:3], fedopt.SubModel.idle())
UTILITIES: tuple[UtilityFunction, ...] = (ReplicaRate(), ReplicaRate(0.5), ReplicaRate(2.0), ShortestRound())


def instances(count: int) -> Iterator[tuple[int, fedopt.Clients, tuple[fedopt.SubModel, ...], float]]:
    """Fleets of 16 to 64 with powers, downloads, bounds, least powers and rows that can do hardly anything."""
    rng = np.random.default_rng(7)
    for seed in range(count):
        size = int(rng.choice([16, 24, 40, 64]))
        clients = devices.random_fleet(size, seed=seed)
        if seed % 3 == 0:
            clients = clients.replace(
                circuit_power=0.1, static_power=rng.uniform(0.0, 0.3, size), overhead=rng.uniform(0.0, 0.5, size),
                download_rate=rng.uniform(1e5, 1e7, size), receive_power=0.05,
            )  # fmt: skip
        if seed % 3 == 1:
            clients = clients.replace(
                power_min=rng.uniform(0.0, 0.1, size), frequency_min=0.5 * clients.frequency_max
            )
        if seed % 4 == 2:  # two rows that no round of the others' length suffices
            gain = np.array(clients.channel_gain)
            gain[:2] *= 1e-4
            clients = clients.replace(channel_gain=gain)
        yield seed, clients, (WITH_IDLE if seed % 2 else TYPES), float(10.0 ** rng.uniform(-1.5, 0.7))


def budgets(clients: fedopt.Clients, types: tuple[fedopt.SubModel, ...], factor: float) -> list[fedopt.problem.Budget]:
    watts = len(clients) / 6.0
    whole = fedopt.schedule(clients, clients.workload(types, np.int64(1)), PowerBudget(watts))
    return [
        PowerBudget(watts * factor), EnergyBudget(whole.energy * factor),
        Deadline(whole.duration * factor), TimePrice(watts * factor),
    ]  # fmt: skip


def task_of(problem: fedopt.Problem, **changes: object) -> Task:
    """The task that solve() would make of a problem."""
    seen: list[Task] = []

    def keep(task: Task) -> None:
        seen.append(task)
        raise StopIteration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandwich, "search_sandwich", lambda task, order: keep(task))
        patch.setattr("solvers.matching.sorted.search_sandwich", lambda task, order: keep(task))
        with pytest.raises(StopIteration):
            fedopt.solve(problem, matching="sorted")
    return seen[0]


@pytest.mark.parametrize("kind", range(4), ids=["power", "energy", "deadline", "price"])
def test_every_partition_lies_between_its_bounds(kind: int) -> None:
    """Durations and energies of all partitions solved by themselves, and prefix sums at few and at odd durations."""
    certain = 0
    for seed, clients, types, factor in instances(8):
        problem = fedopt.Problem(clients, types, budget=budgets(clients, types, factor)[kind])
        task = task_of(problem)
        goal, value = goal_of(problem.budget)
        order = task.menu.order
        truth = search_ordered(task.__class__(**{**fields(task), "gains": None}), order[None, :], marginal=False)
        T, E = truth.results[:, DURATION], truth.results[:, ENERGY]
        low = max(task.menu.shortest, 1e-3)
        for durations in (np.geomspace(low, 64.0 * low, 6), np.array([3.0 * low, 3.1 * low])):
            if kind == 2:
                durations = np.array([value])
            sums = prefix.prefixes(task.menu, order, durations)
            bounds = np.empty((len(T), prefix.BOUNDS))
            prefix.bound_partitions(
                sums.durations, sums.energy, sums.price, sums.misses, sums.least, sums.floor,
                task.counts, task.menu.types, int(goal), value, np.zeros(0), bounds,
            )  # fmt: skip
            solved = np.isfinite(T)
            assert not np.isfinite(bounds[solved, prefix.T_LOW]).any() or (
                bounds[solved, prefix.T_LOW] <= T[solved] * (1.0 + 1e-12)
            ).all(), seed
            assert (bounds[solved, prefix.T_HIGH] >= T[solved] * (1.0 - 1e-12)).all()
            assert (bounds[solved, prefix.E_LOW] <= E[solved] * (1.0 + 1e-12)).all()
            assert (bounds[solved, prefix.E_HIGH] >= E[solved] * (1.0 - 1e-12)).all()
            assert not np.isfinite(bounds[~solved, prefix.T_HIGH]).any()
            assert np.isfinite(bounds[solved, prefix.T_LOW]).all()
            certain += int(np.isfinite(bounds[:, prefix.T_HIGH]).sum())
    assert certain > 1000


def fields(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in Task.__slots__}
