"""The whole search: every method judged, against a plain loop over the partitions, and in its special cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matchings import (
    BUDGETS,
    HEURISTIC,
    PROVING,
    TYPES,
    Budget,
    assert_same,
    budget_of,
    fleet,
    in_order,
    partitions_of,
    score,
)

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status
from solvers.matching import METHODS
from solvers.matching.task import Task


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("matching", METHODS.names)
def test_every_answer_passes_the_judge_and_adds_up(matching: str, name: str) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    clients = fleet(8, 1)
    problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients))
    found = fedopt.solve(problem, matching=matching)
    assert found.status.solved, found.reason
    assert found.partition in partitions_of(8, TYPES)
    assert found.partition == tuple(np.bincount(found.assignment, minlength=4))  # type: ignore[arg-type]
    work = clients.workload(TYPES, found.assignment)
    allocation = found.allocation
    assert allocation is not None
    verdict = fedopt.judge(clients, work, found.duration, allocation.frequency, allocation.rate, problem.budget)
    assert verdict.feasible, verdict.violations
    assert found.energy == pytest.approx(verdict.energy, rel=1e-12)
    assert found.utility == pytest.approx(found.partition.replicas / found.duration, rel=1e-12)
    again = fedopt.schedule(clients, work, problem.budget)
    assert (again.duration, again.energy) == pytest.approx((found.duration, found.energy), rel=1e-9)
    if matching in PROVING and name != "price":
        assert found.bound >= found.utility
        assert found.scope == "all matchings"
    elif matching == "sorted":
        assert found.bound == found.utility
        assert found.scope == "sorted matchings"
        assert "with its sorted matching; other matchings may be better" in found.reason
    else:
        assert math.isnan(found.bound)
        assert found.scope == ""


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("seed", range(3))
def test_sorted_is_the_plain_loop_over_all_partitions(name: str, seed: int) -> None:
    clients = fleet(8, seed)
    budget = budget_of(name, clients)
    best: tuple[float, tuple[int, ...], fedopt.Schedule] | None = None
    for counts in partitions_of(8, TYPES):
        found = fedopt.schedule(clients, clients.workload(TYPES, in_order(clients, counts, TYPES)), budget)
        if not found.status.solved:
            continue
        utility = fedopt.Partition(counts, TYPES).replicas / found.duration
        if best is None or (utility, -found.energy) > (best[0], -best[2].energy):
            best = utility, counts, found
    assert best is not None
    answer = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget), matching="sorted")
    assert answer.partition == best[1]
    assert answer.assignment is not None
    assert answer.assignment.tolist() == in_order(clients, best[1], TYPES).tolist()
    assert answer.duration == pytest.approx(best[2].duration, rel=1e-12)
    assert answer.utility == pytest.approx(best[0], rel=1e-12)


@pytest.mark.parametrize("name", BUDGETS)
def test_marginal_is_never_worse_than_sorted(name: str) -> None:
    shorter = 0
    for seed in range(4):
        clients = fleet(12, seed)
        budget = budget_of(name, clients)
        for counts in [(4, 4, 4, 0), (0, 4, 4, 4), (2, 2, 4, 4), (12, 0, 0, 0), (0, 12, 0, 0)]:
            problem = fedopt.Problem(clients, TYPES, budget=budget, partitions=[counts])
            ours, papers = (score(budget, fedopt.solve(problem, matching=m)) for m in ("marginal", "sorted"))
            assert ours <= papers * (1.0 + 1e-12)
            shorter += ours < 0.99 * papers
    assert shorter > 0


UTILITIES: dict[str, str | Callable[[fedopt.Partition, float, float], float]] = {
    "replica_rate": "replica_rate",
    "shortest_round": "shortest_round",
    "callable": lambda partition, duration, energy: partition.replicas**2 / (duration + 0.1 * energy),
}


@pytest.mark.parametrize("utility", UTILITIES)
@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("matching", HEURISTIC)
def test_the_compiled_loop_is_the_plain_one(
    matching: str, name: str, utility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where partitions are ruled out unsolved, the marginal orders are taken at other durations, and ties are left."""
    compiled, asked = Task.compiled.fget, []  # type: ignore[attr-defined]

    def never(task: Task) -> bool:
        asked.append(compiled(task))
        return False

    for seed in range(2):
        clients = fleet(12, 10 + seed)
        problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients), utility=UTILITIES[utility])
        quick = fedopt.solve(problem, matching=matching, seed=seed)
        with monkeypatch.context() as patch:
            patch.setattr(Task, "compiled", property(never))
            plain = fedopt.solve(problem, matching=matching, seed=seed)
            papers = fedopt.solve(problem, matching="sorted")
        if utility == "callable" or (matching != "marginal" and name != "deadline"):
            assert_same(quick, plain)
        elif matching == "marginal":
            assert name == "price" or min(quick.utility, plain.utility) >= papers.utility - 1e-9 * abs(papers.utility)
        else:
            assert quick.utility == pytest.approx(plain.utility, rel=1e-9)
    assert len(asked) >= 2
    assert all(asked)  # left alone it would have been the compiled loop


def test_random_is_its_seed() -> None:
    clients = fleet(10, 50)
    problem = fedopt.Problem(clients, TYPES, budget=budget_of("power", clients))
    one, again = (fedopt.solve(problem, matching="random", seed=3) for _ in range(2))
    assert_same(one, again, rel=0.0)
    others = {tuple(fedopt.solve(problem, matching="random", seed=seed).assignment.tolist()) for seed in range(5)}  # type: ignore[union-attr]
    assert len(others) > 1


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("shortest_round", lambda partition, duration, energy: -duration),
        ("least_energy", lambda partition, duration, energy: -energy),
        ("replica_rate", lambda partition, duration, energy: partition.replicas / duration),
        (fedopt.ReplicaRate(2.5), lambda partition, duration, energy: partition.replicas**2.5 / duration),
        (fedopt.ReplicaRate(0.0), lambda partition, duration, energy: 1.0 / duration),
    ],
    ids=["shortest_round", "least_energy", "replica_rate", "beta=2.5", "beta=0"],
)
@pytest.mark.parametrize("budget", ["power", "price"])
def test_a_function_of_ones_own_equals_the_named_utility(
    name: str, own: Callable[[fedopt.Partition, float, float], float], budget: str
) -> None:
    """Named utilities let partitions be ruled out unsolved; a function's are all solved."""
    clients = fleet(12, 51)
    named, mine = (
        fedopt.Problem(clients, TYPES, budget=budget_of(budget, clients), utility=utility) for utility in (name, own)
    )
    assert_same(fedopt.solve(named, matching="sorted"), fedopt.solve(mine, matching="sorted"))
    chosen = {fedopt.solve(named, matching="sorted").partition, (12, 0, 0, 0)}
    assert len(chosen) == 2 or name == fedopt.ReplicaRate(2.5)


def test_a_utility_that_is_no_number_is_an_error() -> None:
    problem = fedopt.Problem(fleet(4, 52), TYPES, budget=PowerBudget(1.0), utility=lambda *_: math.nan)
    with pytest.raises(fedopt.InputError, match="NaN for"):
        fedopt.solve(problem, matching="sorted")


def test_idle_places_select_clients() -> None:
    """Clients out of reach can only sit the round out; with as many idle places as there are, they get them."""
    clients = fleet(8, 60)
    gain = clients.channel_gain.copy()
    gain[[2, 5]] = 0.0
    clients = clients.replace(channel_gain=gain)
    types = (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    for matching in METHODS.names:
        if matching == "milp":
            pytest.importorskip("pulp")
        found = fedopt.solve(fedopt.Problem(clients, types, budget=PowerBudget(2.0)), matching=matching, seed=4)
        if matching == "random":  # six idle places of eight are needed to hit both by chance; it may be infeasible
            continue
        assert found.status.solved
        assert found.assignment is not None
        assert found.allocation is not None
        assert found.assignment[[2, 5]].tolist() == [2, 2]
        idle = found.assignment == 2
        for values in (found.allocation.energy, found.allocation.frequency, found.allocation.rate):
            assert not values[idle].any()
        assert found.partition is not None
        assert found.partition.replicas == found.partition[0] + found.partition[1] / 2
    without = fedopt.solve(fedopt.Problem(clients, types[:2], budget=PowerBudget(2.0)), matching="sorted")
    assert without.status is Status.INFEASIBLE
    assert set(without.clients) == {2, 5}


def test_a_list_of_partitions_restricts_the_search() -> None:
    clients = fleet(8, 61)
    budget = budget_of("power", clients)
    listed = [(8, 0, 0, 0), (4, 0, 4, 0), (0, 4, 0, 4)]
    single = {
        counts: fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget, partitions=[counts]), matching="sorted")
        for counts in listed
    }
    found = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget, partitions=listed), matching="sorted")
    best = max(listed, key=lambda counts: single[counts].utility)
    assert_same(found, single[best])
    everything = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget), matching="sorted")
    assert everything.utility >= found.utility


@pytest.mark.parametrize("matching", METHODS.names)
def test_one_client_trains_the_one_whole_model(matching: str) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    clients = fleet(1, 62)
    budget = budget_of("power", clients)
    found = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget), matching=matching)
    alone = fedopt.schedule(clients, clients.workload(TYPES, 0), budget)
    assert found.partition == (1, 0, 0, 0)
    assert found.duration == pytest.approx(alone.duration, rel=1e-9)
    assert found.energy == pytest.approx(alone.energy, rel=1e-9)


@pytest.mark.parametrize("kind", ["energy", "deadline"])
def test_an_infeasible_answer_is_about_the_closest_partition(kind: str) -> None:
    clients = fleet(8, 63)
    budget: Budget = EnergyBudget(1e-3) if kind == "energy" else Deadline(1e-2)
    each = {
        counts: fedopt.schedule(clients, clients.workload(TYPES, in_order(clients, counts, TYPES)), budget)
        for counts in partitions_of(8, TYPES)
    }
    closest = min(each, key=lambda counts: each[counts].shortfall)
    found = fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget), matching="sorted")
    assert found.status is Status.INFEASIBLE
    assert found.shortfall == pytest.approx(each[closest].shortfall, rel=1e-12)
    assert found.clients == each[closest].clients
    assert found.reason.startswith(each[closest].reason)
    assert f"closest of {len(each)} partitions, {closest}" in found.reason
    for value in (found.duration, found.energy, found.utility, found.bound):
        assert math.isnan(value)
    assert found.partition is found.assignment is found.allocation is found.verdict is None


@pytest.mark.parametrize("size", [6, 14])
def test_a_partition_out_of_reach_is_not_the_closest_of_few_or_many(size: int) -> None:
    """The last client cannot send: only where everybody computes is there a round at all."""
    clients = fedopt.Clients(
        frequency_min=1e9,
        frequency_max=1.5e9,
        samples=500.0,
        channel_gain=[1e-11] * (size - 1) + [0.0],
        bandwidth=2e5,
        power_max=0.2,
    )
    work = [("computes", 2e7, 0.0), ("sends", 1e6, 3e5), ("sends less", 5e5, 2e5)]
    types = tuple(fedopt.SubModel(name, flops=flops, upload_bits=bits) for name, flops, bits in work)
    budget = EnergyBudget(1e-3)
    alone = fedopt.schedule(clients, clients.workload(types, 0), budget)
    found = fedopt.solve(fedopt.Problem(clients, types, budget=budget), matching="sorted")
    assert found.shortfall == pytest.approx(alone.shortfall, rel=1e-12)
    assert found.reason.startswith(alone.reason)
    assert f", {(size, 0, 0)}." in found.reason


@pytest.mark.parametrize("matching", METHODS.names)
@pytest.mark.parametrize("budget", [EnergyBudget(1e-3), PowerBudget(0.0), Deadline(1e-2)], ids=str)
def test_no_matching_hides_that_there_is_no_answer(matching: str, budget: Budget) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    found = fedopt.solve(fedopt.Problem(fleet(4, 64), TYPES, budget=budget), matching=matching)
    assert found.status is Status.INFEASIBLE
    assert found.reason.startswith("Infeasible:")
    assert found.clients
    assert f"client {found.clients[0]} needs" in found.reason


@pytest.mark.parametrize("name", ["power", "deadline", "price"])
@pytest.mark.parametrize("matching", METHODS.names)
def test_progress_counts_up_to_the_end(matching: str, name: str) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    clients, seen = fleet(8, 65), []
    problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients))
    found = fedopt.solve(problem, matching=matching, progress=lambda *report: seen.append(report))
    assert seen
    done, total, best = seen[-1]
    assert done == total
    assert best == pytest.approx(found.utility, rel=1e-9)


@pytest.mark.parametrize("access", [None, fedopt.SharedBandwidth(2e6), fedopt.TimeDivision(2e6)], ids=str)
@pytest.mark.parametrize("utility", [fedopt.ReplicaRate(2.0), "shortest_round", "least_energy"], ids=str)
def test_progress_is_of_the_utility(utility: Any, access: Any) -> None:
    """As the answer's, or NaN where the search compares nothing that is one."""
    told = list[float]()
    problem = fedopt.Problem(fleet(8, 1), TYPES, budget=Deadline(60.0), access=access, utility=utility)
    found = fedopt.solve(problem, progress=lambda done, total, best: told.append(best))
    assert found.status.solved
    known = [best for best in told if not math.isnan(best)]
    assert all(best <= found.utility * (1.0 + math.copysign(1e-9, found.utility)) for best in known)
    assert known or utility == "least_energy" or access is not None


def test_what_a_method_cannot_do_it_refuses() -> None:
    clients = fleet(4, 66)
    problem = fedopt.Problem(clients, TYPES, budget=PowerBudget(1.0))
    for wrong in ({"matching": "greedy"}, {"timing": "fast"}, {"allocation": "gpu"}, {"seed": -1}, {"seed": 0.5}):
        with pytest.raises(fedopt.InputError, match=str(next(iter(wrong)))):
            fedopt.solve(problem, **({"matching": "random"} | wrong))  # type: ignore[arg-type]
    with pytest.raises(fedopt.InputError, match="problem"):
        fedopt.solve(clients)  # type: ignore[arg-type]


@pytest.mark.parametrize("timing", ["bisection", "cvxpy"])
def test_the_other_methods_below_find_the_same(timing: str) -> None:
    if timing == "cvxpy":
        pytest.importorskip("cvxpy")
    clients = fleet(4, 67)
    partitions = [(4, 0, 0, 0), (2, 2, 0, 0)]
    problem = fedopt.Problem(clients, TYPES, budget=budget_of("power", clients), partitions=partitions)
    ours = fedopt.solve(problem, matching="sorted")
    seen: list[tuple[int, int, float]] = []
    theirs = fedopt.solve(
        problem, matching="sorted", timing=timing, allocation="reference", progress=lambda *report: seen.append(report)
    )
    assert [(done, total) for done, total, _ in seen] == [(1, 2), (2, 2)]
    assert seen[-1][2] == pytest.approx(theirs.utility, rel=1e-9)
    assert theirs.partition == ours.partition
    assert theirs.duration == pytest.approx(ours.duration, rel=1e-9 if timing == "bisection" else 2e-5)
