"""A price of time where the partitions are too many to list: bounded by the truth, and an answer near it."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from test_many_partitions import TYPES, UTILITIES, assert_bounded, budgets, instances

import fedopt
from fedopt import Status, TimePrice, devices
from fedopt.candidates import menu_of
from fedopt.problem import ReplicaRate, ShortestRound
from solvers.matching.relaxed import prices_of_cheapest
from solvers.matching.unlisted import neighbours


def priced(size: int, watts: float, **more: object) -> fedopt.Problem:
    clients = devices.random_fleet(size, seed=1)
    return fedopt.Problem(clients, TYPES, budget=TimePrice(watts), **more)  # type: ignore[arg-type]


def test_the_bound_is_above_every_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all partitions, each by its cheapest or its sorted matching; the sorted one is found, too (but for a
    single replica among idle clients, which no price of a replica leads to).
    """
    for _, clients, types, factor in instances(3):
        budget = budgets(clients, types, factor)[3]
        for utility in UTILITIES:
            problem = fedopt.Problem(clients, types, budget=budget, utility=utility)
            truth = {name: fedopt.solve(problem, matching=name) for name in ("exact", "sorted")}
            best = {name: found.utility if found.status.solved else -math.inf for name, found in truth.items()}
            assert_bounded(monkeypatch, problem, best)
            if types is TYPES or utility != ShortestRound():
                assert_bounded(monkeypatch, problem, {"sorted": best["sorted"]}, close=0.01)


def test_the_cheapest_matching_of_the_partition_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is of a list of that partition alone; and most answers are those of all partitions, or nearly."""
    near = []
    for _, clients, types, factor in instances(3):
        for utility in UTILITIES:
            problem = fedopt.Problem(clients, types, budget=budgets(clients, types, factor)[3], utility=utility)
            best = fedopt.solve(problem)
            with monkeypatch.context() as unlisted:
                unlisted.setattr("fedopt.candidates.too_many", lambda clients, types: True)
                found = fedopt.solve(problem)
            assert found.status.solved
            alone = fedopt.solve(
                fedopt.Problem(clients, types, budget=problem.budget, utility=utility, partitions=[found.partition])
            )
            assert found.duration == pytest.approx(alone.duration, rel=1e-9)
            assert found.energy == pytest.approx(alone.energy, rel=1e-9)
            assert found.cost_bracket == pytest.approx(alone.cost_bracket, rel=1e-9)
            if utility == ReplicaRate():
                with monkeypatch.context() as unlisted:
                    unlisted.setattr("fedopt.verifier.search.too_many", lambda clients, types: True)
                    assert fedopt.verify(problem, found).ok
            near.append(abs(found.utility / best.utility - 1.0))
    assert np.median(near) < 1e-9
    assert np.mean(np.array(near) < 0.2) > 0.9


@pytest.mark.parametrize("utility", ["replica_rate", "shortest_round"])
def test_thousands_of_clients_are_solved_at_a_price(utility: str) -> None:
    """2,048 clients make 23 million partitions: a few per cent from the bound at most, and better than the paper's."""
    for watts in (40.0, 330.0, 3000.0):
        problem = priced(2048, watts, utility=utility)
        found, paper = fedopt.solve(problem), fedopt.solve(problem, matching="sorted")
        assert found.status.solved
        assert found.verdict is not None
        assert found.verdict.feasible
        assert found.utility <= found.bound <= found.utility + 0.03 * abs(found.utility)
        if utility == "replica_rate":
            assert found.utility > paper.utility
        assert paper.utility <= paper.bound <= paper.utility + 2e-4 * abs(paper.utility)
        assert found.scope == "all matchings"
        assert "is better" in found.reason


def test_a_time_limit_leaves_the_best_so_far() -> None:
    fedopt.solve(priced(1400, 200.0), gap=0.5)  # compiled
    for limit in (0.0, 0.02, 0.2):
        started = time.perf_counter()
        found = fedopt.solve(priced(4000, 600.0), time_limit=limit)
        assert time.perf_counter() - started < 30.0
        assert found.status in (Status.LIMIT, Status.OPTIMAL)
        if not math.isnan(found.duration):
            assert found.bound >= found.utility
            assert found.verdict is not None
            assert found.verdict.feasible


def test_nobody_can_be_served() -> None:
    problem = priced(1400, 200.0)
    gain = np.array(problem.clients.channel_gain)
    gain[3] = 0.0
    found = fedopt.solve(fedopt.Problem(problem.clients.replace(channel_gain=gain), TYPES, budget=TimePrice(200.0)))
    assert found.status is Status.INFEASIBLE
    assert "3" in found.reason


def test_prices_of_the_cheapest_types_are_those_of_plain_numpy() -> None:
    for _, clients, types, _ in instances(3):
        menu = menu_of(fedopt.Problem(clients, types, budget=TimePrice(1.0)), clients)
        costs, prices = menu.costs_and_prices(1.5 * menu.longest)
        for price in (0.0, float(np.median(costs))):
            counts = np.empty(len(types), dtype=np.int64)
            spent = prices_of_cheapest(costs, prices, menu.weights, price, counts)
            chosen = np.argmin(costs - price * menu.weights[:, None], axis=0)
            assert counts.tolist() == np.bincount(chosen, minlength=len(types)).tolist()
            assert spent == pytest.approx(prices[chosen, np.arange(len(clients))].sum(), rel=1e-12)


def test_neighbours_are_partitions_of_whole_replicas() -> None:
    counts, covers = np.array([5, 4, 8, 8]), np.array([1, 2, 4, 8])
    near = neighbours(counts, covers)
    assert near[0].tolist() == counts.tolist()
    assert (near.sum(axis=1) == 25).all()
    assert (near % covers == 0).all()
    assert (near >= 0).all()
    assert len({tuple(row) for row in near.tolist()}) == len(near)
    for row in ([3, 6, 8, 8], [1, 4, 12, 8], [5, 4, 0, 16], [5, 4, 16, 0]):
        assert row in near.tolist()
