"""The methods that prove their matching, against every matching there is; and what is claimed where none is proved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from matchings import BUDGETS, HEURISTIC, PROVING, TYPES, best_utility, budget_of, every_matching, fleet

import fedopt
from solvers.matching import METHODS


@pytest.mark.parametrize("utility", ["replica_rate", "shortest_round"])
@pytest.mark.parametrize("name", ["energy", "power", "deadline"])
@pytest.mark.parametrize("matching", PROVING)
def test_the_proved_matching_is_the_best_of_all_there_are(matching: str, name: str, utility: str) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    types = (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    for size, seed in ((6, 20), (5, 21), (4, 22)):
        clients = fleet(size, seed)
        problem = fedopt.Problem(clients, types, budget=budget_of(name, clients), utility=utility)
        found = fedopt.solve(problem, matching=matching)
        expected, energy = best_utility(problem)
        assert found.status.solved
        assert found.utility == pytest.approx(expected, rel=1e-9)
        assert found.bound == pytest.approx(expected, rel=1e-9)
        if name == "deadline":  # of equal utilities the least energy
            assert found.energy == pytest.approx(energy, rel=1e-9)


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize(
    "utility",
    ["least_energy", lambda partition, T, E: partition.replicas**2 / (T + 0.1 * E), lambda partition, T, E: E],
    ids=["least_energy", "time and energy", "wasteful"],
)
def test_a_bound_is_claimed_only_where_it_holds(
    utility: str | Callable[[fedopt.Partition, float, float], float], name: str
) -> None:
    """Matchings are searched for their duration, so of a utility that energy has a part in none may be proved best."""
    types = (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    for size, seed in ((5, 21), (4, 22), (5, 23)):
        clients = fleet(size, seed)
        problem = fedopt.Problem(clients, types, budget=budget_of(name, clients), utility=utility)
        best, _ = best_utility(problem)
        for matching in METHODS.names:
            if matching == "milp" and size > 4:  # the same is proved of a smaller fleet, and sooner
                continue
            found = fedopt.solve(problem, matching=matching, seed=seed)
            claimed = "No partition and no matching is better" in found.reason
            assert claimed is (found.scope == "all matchings")
            assert not claimed or found.bound >= best - 1e-9 * abs(best)
            assert math.isnan(found.bound) is (found.scope == "")
            if matching == "sorted":  # proved of a utility that never rises with time and energy, never of any other
                assert found.scope == ("" if callable(utility) else "sorted matchings")


@pytest.mark.parametrize("name", ["energy", "power", "deadline"])
def test_the_proving_methods_agree_and_nobody_beats_them(name: str) -> None:
    pytest.importorskip("pulp")
    for seed in range(2):
        clients = fleet(8, 30 + seed)
        problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients))
        found = {matching: fedopt.solve(problem, matching=matching) for matching in METHODS.names}
        for matching in PROVING:
            assert found[matching].utility == pytest.approx(found["assignment"].utility, rel=1e-9)
            assert found[matching].partition == found["assignment"].partition
        for matching in HEURISTIC:
            assert found[matching].utility <= found["assignment"].utility * (1.0 + 1e-9)


@pytest.mark.parametrize("name", ["energy", "power", "deadline"])
def test_sorted_is_exact_where_only_the_channel_differs(name: str) -> None:
    """Section 6 of the model: everything but the gain equal, types ordered alike in FLOPs and bits."""
    clients = fleet(6, 40).take([0] * 6).replace(channel_gain=10.0 ** np.linspace(-12.0, -10.0, 6)[::-1])
    problem = fedopt.Problem(clients, TYPES[:2], budget=budget_of(name, clients))
    assert fedopt.solve(problem, matching="sorted").utility == pytest.approx(best_utility(problem)[0], rel=1e-9)


@pytest.mark.parametrize("spare", [1.05, 20.0])
@pytest.mark.parametrize("matching", PROVING)
def test_of_the_shortest_rounds_the_one_of_least_energy_is_answered(matching: str, spare: float) -> None:
    """A slack budget leaves a choice: whoever holds the round up decides its duration, the others their energy."""
    if matching == "milp":
        pytest.importorskip("pulp")
    clients = fleet(5, 80)  # the first one found, by marginal energy, is as short and takes two thirds more
    problem = fedopt.Problem(clients, TYPES, budget=fedopt.EnergyBudget(math.inf))
    utility, energy = best_utility(problem)
    duration = fedopt.solve(problem).duration
    for budget in (fedopt.EnergyBudget(spare * energy), fedopt.PowerBudget(spare * energy / duration)):
        found = fedopt.solve(dataclasses.replace(problem, budget=budget), matching=matching)
        assert found.status is fedopt.Status.SLACK
        assert (found.utility, found.energy) == pytest.approx((utility, energy), rel=1e-9)


@pytest.mark.parametrize("matching", PROVING)
@pytest.mark.parametrize("seed", [96, 109, 138])
def test_of_partitions_with_energy_to_spare_the_one_of_least_energy_wins(seed: int, matching: str) -> None:
    """Their shortest rounds are compared by what the cheapest of these takes: one found first takes up to half more."""
    if matching == "milp":
        pytest.importorskip("pulp")
    clients = fleet(5, seed)
    budget = fedopt.EnergyBudget(math.inf)
    shortest: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for counts, assignment in every_matching(5, TYPES):
        found = fedopt.schedule(clients, clients.workload(TYPES, assignment), budget)
        shortest.setdefault(counts, []).append((found.duration, found.energy))
    ends = {counts: min(rounds)[0] * (1.0 + 1e-12) for counts, rounds in shortest.items()}
    least = min(E for counts, rounds in shortest.items() for T, E in rounds if ends[counts] >= T)
    answer = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget, utility="least_energy"), matching=matching)
    assert answer.energy == pytest.approx(least, rel=1e-9)
