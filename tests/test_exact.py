"""The exact matching: against scipy's assignment, and every matching there is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from made_up import drawn, task_of, unlisted
from test_priced import every

import fedopt
from fedopt import devices
from fedopt.candidates import menu_of
from solvers.matching import exact
from solvers.matching.assignment import match
from solvers.menu import IntArray
from solvers.rows import Goal


def _fleet(seed: int, size: int) -> fedopt.Clients:
    return devices.random_fleet(size, seed=seed)


def _types(covers: tuple[int, ...]) -> tuple[fedopt.SubModel, ...]:
    sizes = zip("LMST", (1.0, 0.5, 0.25, 0.125), covers, strict=False)
    return tuple(fedopt.SubModel(n, flops=3.4e7 * f, upload_bits=5.4e5 * f, cover=q) for n, f, q in sizes)


def _every_answer(problem: fedopt.Problem) -> float:
    """The best utility over all partitions and all matchings, one schedule each."""
    types = problem.submodels
    utilities = [problem.utility(fedopt.Partition(c, types), e.duration, e.energy) for c, e in every(problem)]
    return max(utilities, default=-np.inf)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tight", [0.3, 3.0])
def test_exact_equals_exhaustive_search(seed: int, tight: float) -> None:
    """Five clients, three types: every partition and every matching, for energy and power budgets and a deadline."""
    clients, types = _fleet(seed, 5), _types((1, 1, 2))
    whole = fedopt.schedule(clients, clients.workload(types, np.zeros(5, dtype=np.int64)), fedopt.PowerBudget(tight))
    budgets = (fedopt.EnergyBudget(whole.energy), fedopt.PowerBudget(tight), fedopt.Deadline(0.8 * whole.duration))
    for budget in budgets:
        problem = fedopt.Problem(clients, types, budget=budget)
        found = fedopt.solve(problem, matching="exact")
        truth = _every_answer(problem)
        assert found.status.solved == np.isfinite(truth)
        if found.status.solved:
            assert found.utility == pytest.approx(truth, rel=1e-10)
            assert found.bound == pytest.approx(truth, rel=1e-10)
            assert found.bracket[0] <= found.duration <= found.bracket[1] <= found.duration * (1.0 + 1e-12)


def test_exact_equals_assignment_and_beats_the_rules() -> None:
    """On the bundled phones, every partition: the same optimum by two methods; rules of thumb are no better."""
    clients = devices.phones64()
    types = _types((1, 2, 4, 8))
    for watts in (5.0, 20.0, 100.0):
        problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(watts))
        exact, twin = fedopt.solve(problem), fedopt.solve(problem, matching="assignment")
        assert exact.utility == pytest.approx(twin.utility, rel=1e-10)
        assert exact.paper is not None
        assert exact.paper.utility == pytest.approx(fedopt.solve(problem, matching="sorted").utility, rel=1e-10)
        for rule in ("sorted", "marginal", "random"):
            assert fedopt.solve(problem, matching=rule).utility <= exact.utility * (1.0 + 1e-10)


def test_a_price_of_time_is_proved_in_cost_and_not_in_utility() -> None:
    """No matching is cheaper; a dearer one may be shorter, so of the utility no bound is claimed."""
    problem = fedopt.Problem(_fleet(2, 24), _types((1, 2, 4)), budget=fedopt.TimePrice(5.0), partitions=[(8, 8, 8)])
    exact, marginal = fedopt.solve(problem), fedopt.solve(problem, matching="marginal")
    lower, cost = exact.cost_bracket
    assert cost == pytest.approx(exact.energy + 5.0 * exact.duration, rel=1e-12)
    assert cost * (1.0 - 1e-9) <= lower <= cost <= (marginal.energy + 5.0 * marginal.duration) * (1.0 + 1e-12)
    assert np.isnan(exact.bound)
    assert "No matching is cheaper" in exact.reason
    assert np.isnan(marginal.cost_bracket).all()
    assert "may be better" in marginal.reason


@pytest.mark.parametrize("seed", range(3))
def test_least_duration_equals_a_bisection_of_scipys_assignment(seed: int) -> None:
    """20 clients, slack and tight budgets: halving T on scipy's least energies ends at our duration."""
    clients, types, counts = _fleet(seed, 20), _types((1, 1, 1)), np.array([7, 7, 6])

    def least_energy(T: float) -> float:
        costs = [fedopt.allocate(clients, clients.workload(types, np.int64(k)), duration=T).energy for k in range(3)]
        found = match(np.array(costs).T, counts)
        return np.inf if found is None else found[1]

    for watts in (0.5, 2.0, 8.0, 1e3):
        for budget in (fedopt.PowerBudget(watts), fedopt.EnergyBudget(least_energy(60.0) * (1.0 + 0.1 * watts))):
            low, high = 1e-3, 1e4
            for _ in range(60):
                T = float(np.sqrt(low * high))
                allowed = watts * T if isinstance(budget, fedopt.PowerBudget) else budget.joules
                low, high = (low, T) if least_energy(T) <= allowed else (T, high)
            found = fedopt.solve(fedopt.Problem(clients, types, budget=budget, partitions=[tuple(counts)]))
            assert found.duration == pytest.approx(high, rel=1e-10)
            assert found.bracket[0] == pytest.approx(high, rel=1e-10)


def test_a_large_fleet_has_one_answer_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """70,000 clients are priced in parts: bit for bit as in one piece; the same answer from one to three threads."""
    size = 70_000
    clients, types = _fleet(1, size), _types((1, 1, 1))
    problem = fedopt.Problem(
        clients, types, budget=fedopt.PowerBudget(0.05 * size), partitions=[(20_000, 30_000, 20_000)]
    )
    menu = menu_of(problem, clients)
    T = 2.0 * menu.shortest
    for k, row in enumerate(menu.costs(T)):
        whole = fedopt.allocate(clients, clients.workload(types, np.int64(k)), duration=T)
        assert np.array_equal(row, whole.energy)
    answers = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("FEDOPT_THREADS", threads)
        answers.append(fedopt.solve(problem))
    for answer in answers:
        assert answer.status.solved
        assert answer.duration == answers[0].duration
        assert answer.bracket == answers[0].bracket
        assert np.array_equal(answer.assignment, answers[0].assignment)
        assert np.array_equal(answer.place_prices, answers[0].place_prices)


def test_each_task_is_searched_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what there is to list, and how much of it, the goal, and whether a gain in time is all that counts."""
    names = "search_thrifty", "search_coarse", "search_levels", "search_best", "search_cheapest"
    for name in names:
        monkeypatch.setattr(exact, name, lambda *_, name=name: name)
    for name, of in (("at_its_cheapest", 1), ("with_ceiling", 1), ("of_least_energy", 2)):
        monkeypatch.setattr(exact, name, lambda *given, name=name, of=of: f"{name} {given[of]}")
    monkeypatch.setattr(exact, "MANY", 8)

    def searched(goal: Goal, counts: IntArray | None = None, **more: Any) -> Any:
        task = task_of(drawn(0), goal, 1.0, counts=counts)
        return exact.search(dataclasses.replace(task if counts is not None else unlisted(task), **more))

    few, many = np.tile([2, 2, 2], (8, 1)), np.tile([2, 2, 2], (9, 1))
    assert searched(Goal.ENERGY) == searched(Goal.POWER) == searched(Goal.DEADLINE) == "search_coarse"
    assert searched(Goal.DEADLINE, thrifty=True) == "search_thrifty"
    assert searched(Goal.PRICE) == "at_its_cheapest search_coarse"
    for goal in (Goal.ENERGY, Goal.POWER):
        assert searched(goal, few) == "of_least_energy with_ceiling search_best"
        assert searched(goal, many) == "of_least_energy with_ceiling search_levels"
        assert searched(goal, many, gains=None) == "of_least_energy with_ceiling search_best"
    assert searched(Goal.DEADLINE, many) == "with_ceiling search_best"
    assert searched(Goal.PRICE, many) == "search_cheapest"


def test_a_place_has_a_price_where_there_is_a_matching() -> None:
    """What a place more would save: at most what the best matching of a place more and of one less differ by."""
    menu = drawn(0)
    task = task_of(menu, Goal.DEADLINE, 9.0)
    prices = exact.place_prices(task, 9.0, np.array([2, 2, 2]))
    assert prices is not None
    costs, middle = menu.costs(9.0), match(menu.costs(9.0).T, np.array([2, 2, 2]))
    assert middle is not None
    for more, less in ((0, 1), (1, 2), (2, 0)):
        counts = np.array([2, 2, 2])
        counts[more], counts[less] = 3, 1
        other = match(costs.T, counts)
        assert other is not None
        assert other[1] - middle[1] >= prices[more] - prices[less] - 1e-12
    menu.least[:, 3] = math.inf
    assert exact.place_prices(task, 9.0, np.array([2, 2, 2])) is None
