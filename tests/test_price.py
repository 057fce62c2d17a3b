"""A price of time over all matchings: against every matching there is, a bisection of scipy's assignment, its proof."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from matchings import TYPES, every_matching, fleet

import fedopt
from solvers.matching.assignment import match
from solvers.matching.branch import TOLERANCE, Branch
from solvers.matching.hall import least_feasible
from solvers.matching.transport import Transport, transport


def _every_cost(clients: fedopt.Clients, types: tuple[fedopt.SubModel, ...], watts: float) -> dict:
    """Least cost of each partition over all its matchings, and the duration of the cheapest."""
    least: dict[tuple[int, ...], tuple[float, float]] = {}
    for counts, assignment in every_matching(len(clients), types):
        found = fedopt.schedule(clients, clients.workload(types, assignment), fedopt.TimePrice(watts))
        if found.status.solved:
            cost = found.energy + watts * found.duration
            least[counts] = min(least.get(counts, (math.inf, math.inf)), (cost, found.duration))
    return least


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("watts", [0.01, 0.3, 3.0, 30.0, 1e3])
def test_the_cheapest_of_every_matching(seed: int, watts: float) -> None:
    """Up to seven clients: each partition's least cost, proved; then the best utility of these answers."""
    size = 4 + seed % 3 if seed < 4 else 7
    clients = fleet(size, 50 + seed)
    types = TYPES[:2] if size == 7 else (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    least = _every_cost(clients, types, watts)
    for counts, (cost, duration) in least.items():
        problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts), partitions=[counts])
        found = fedopt.solve(problem)
        assert found.energy + watts * found.duration == pytest.approx(cost, rel=1e-9)
        assert found.duration == pytest.approx(duration, rel=1e-6)
        lower, upper = found.cost_bracket
        assert upper == pytest.approx(found.energy + watts * found.duration, rel=1e-12)
        assert upper * (1.0 - 2.0 * TOLERANCE) <= lower <= cost * (1.0 + 1e-12)
    for utility in ("replica_rate", "least_energy"):
        problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts), utility=utility)
        best = max(
            problem.utility(fedopt.Partition(counts, types), T, cost - watts * T) for counts, (cost, T) in least.items()
        )
        assert fedopt.solve(problem).utility == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("watts", [0.3, 30.0])
@pytest.mark.parametrize("matching", ["assignment", "milp"])
def test_the_baselines_find_the_cheapest_of_every_matching_too(matching: str, watts: float) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    clients, types = fleet(4, 52), (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    least = _every_cost(clients, types, watts)
    for counts, (cost, duration) in least.items():
        problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts), partitions=[counts])
        found = fedopt.solve(problem, matching=matching)
        assert found.duration == pytest.approx(duration, rel=1e-6)
        lower, upper = found.cost_bracket
        assert upper == pytest.approx(cost, rel=1e-9)
        assert upper * (1.0 - 2.0 * TOLERANCE) <= lower <= cost * (1.0 + 1e-12)
    for utility in (None, "least_energy", lambda partition, T, E: partition.replicas - 0.01 * T * E):
        problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts), utility=utility)
        best = max(
            problem.utility(fedopt.Partition(counts, types), T, cost - watts * T) for counts, (cost, T) in least.items()
        )
        assert fedopt.solve(problem, matching=matching).utility == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_duration_is_cheaper_by_another_method(seed: int) -> None:
    """24 clients: scipy's assignment at 400 durations and near the optimum finds nothing below the proved bound."""
    clients, counts = fleet(24, 60 + seed), np.array([6, 6, 4, 8])
    watts = 3.0
    problem = fedopt.Problem(clients, TYPES, budget=fedopt.TimePrice(watts), partitions=[tuple(counts)])
    found = fedopt.solve(problem)
    durations = found.duration * np.concatenate([np.geomspace(0.05, 20.0, 400), 1.0 + np.linspace(-1e-3, 1e-3, 41)])
    costs = []
    for T in durations:
        energies = [fedopt.allocate(clients, clients.workload(TYPES, np.int64(k)), duration=T).energy for k in range(4)]
        best = match(np.array(energies).T, counts)
        costs.append(math.inf if best is None else best[1] + watts * T)
    assert min(costs) >= found.cost_bracket[0]
    assert min(costs) == pytest.approx(found.cost_bracket[1], rel=1e-6)


def test_the_sorted_rule_finds_the_shortest_round_among_many_partitions() -> None:
    """A second so dear that all wait for one client alone, whose least duration is rounded: as one by one."""
    rng = np.random.default_rng(13)
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=rng.uniform(1e9, 2e9, 20),
        samples=rng.integers(100, 900, 20),
        channel_gain=10.0 ** rng.uniform(-12.0, -10.0, 20),
        bandwidth=2e5,
        power_max=0.2,
    )
    types = tuple(fedopt.SubModel(f"{k}", flops=2e7 / 2**k, upload_bits=3e5 / 2**k, cover=max(1, k)) for k in range(3))
    problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(1e3))
    assert len(problem.candidates()) > 100
    loop = dataclasses.replace(problem, utility=lambda partition, T, E: partition.replicas / T)
    truth = fedopt.solve(loop, matching="sorted")
    found = fedopt.solve(problem, matching="sorted")
    assert (found.partition, found.duration) == (truth.partition, truth.duration)
    paper = fedopt.solve(problem).paper
    assert paper is not None
    assert paper.duration == truth.duration


def test_a_useless_partition_is_left_unfinished_and_unproved() -> None:
    """Where the cheapest duration is beyond what could win, it is returned without a proof, and is beyond indeed."""
    rng = np.random.default_rng(1)
    size, counts = 30, np.array([10, 20])
    work, fixed = rng.uniform(1.0, 5.0, (2, size)), rng.uniform(0.1, 0.5, (2, size))

    def lines(T: float) -> tuple[np.ndarray, np.ndarray]:  # E = w / (T - t) from 2 t on: convex and falling
        late = np.where(fixed * 2.0 <= T, T - fixed, np.inf)
        costs = np.where(np.isfinite(late), work / late, np.inf)
        return costs, work / late**2

    def root(assignment: np.ndarray) -> tuple[float, float]:  # ternary search
        rows = np.arange(size)
        low, high = 2.0 * fixed[assignment, rows].max(), 1e3
        for _ in range(200):
            thirds = [low + (high - low) / 3.0, high - (high - low) / 3.0]
            values = [lines(T)[0][assignment, rows].sum() + T for T in thirds]
            low, high = (low, thirds[1]) if values[0] <= values[1] else (thirds[0], high)
        return high, float(lines(high)[0][assignment, rows].sum())

    def search(beyond: float):
        shortest = least_feasible(2.0 * fixed, counts).duration
        return Branch(lines, lambda costs: transport(costs, counts), root, 1.0, shortest).search(None, beyond)

    whole = search(math.inf)
    assert whole is not None
    grid = np.linspace(whole.duration * 0.2, whole.duration * 3.0, 3000)
    values = [found.cost + T for T in grid if isinstance(found := transport(lines(T)[0], counts), Transport)]
    assert whole.lower == pytest.approx(whole.energy + whole.duration, rel=1e-9)
    assert min(values) >= whole.lower
    early = search(0.5 * whole.duration)
    assert early is not None
    assert early.duration > 0.5 * whole.duration
    assert early.lower == -math.inf
    assert early.matchings < whole.matchings
