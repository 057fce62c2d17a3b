"""How an answer is chosen among partitions and found within a box of a front: ties, brackets, rounds of no time."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corners import TYPES as TWO
from corners import problem_of
from matchings import TYPES, budget_of, fleet

import fedopt
from fedopt import Deadline, EnergyBudget, Partition, PowerBudget, Problem, SubModel, TimePrice, front
from fedopt.box import Box
from fedopt.search import best_of, cost_bracket
from solvers.matching import curve

ONE = (SubModel("one", flops=3e7, upload_bits=4e5),)
PAIR: dict[str, Any] = {"frequency_max": [1e9, 2e9], "samples": 100.0, "channel_gain": 1e-11, "bandwidth": 1e6}


def test_the_sorted_front_answers_with_the_sorted_matching_where_others_are_better() -> None:
    worse = 0
    for seed in (1, 2):
        clients = fleet(6, seed)
        for name in ("energy", "power", "deadline", "price"):
            budget = budget_of(name, clients)
            won = fedopt.solve(Problem(clients, TYPES, budget=budget)).partition
            problem = Problem(clients, TYPES, budget=budget, partitions=[tuple(won or ())])
            known, best = fedopt.solve(problem, matching="sorted"), fedopt.solve(problem)
            found = fedopt.pareto(problem, points=4, matching="sorted").at(budget)
            assert found.status is known.status
            assert np.array_equal(found.assignment, known.assignment)
            assert found.utility == pytest.approx(known.utility, rel=1e-12, nan_ok=True)
            worse += known.utility < 0.99 * best.utility
    assert worse


def both(problem: Problem, curves: fedopt.Front, budget: Any) -> list[fedopt.Solution]:
    """Under another budget: from the front, and from a search."""
    return [curves.at(budget), fedopt.solve(Problem(problem.clients, problem.submodels, budget=budget))]


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), PowerBudget(math.inf)], ids=str)
def test_a_front_proves_no_more_than_a_search_where_more_power_only_helps(budget: Any) -> None:
    """The best duration is between 3 s, which takes a power without limit, and the answer's."""
    problem = Problem(fedopt.Clients(frequency_min=1e8, **PAIR, power_max=math.inf), ONE, budget=EnergyBudget(10.0))
    for found in both(problem, fedopt.pareto(problem, points=3), budget):
        assert 3.0 == found.bracket[0] < 3.0001 < found.duration
        assert found.bound == pytest.approx(2.0 / 3.0, rel=1e-12)
        assert "is better by more than" in found.reason


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("seed", range(3))
def test_before_the_first_point_of_a_front_there_are_rounds_where_power_has_no_limit(seed: int, spread: float) -> None:
    """The curve begins where a round costs not much more than one twice as far from the shortest, and whose matching is
    the best there may not be that before it."""
    rng = np.random.default_rng(seed)
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9 * (1.0 + spread * rng.uniform(-1.0, 1.0, 6)), samples=500.0,
        capacitance=1e-28 * rng.uniform(0.5, 3.0, 6), channel_gain=10.0 ** rng.uniform(-12.5, -9.0, 6), bandwidth=2.5e5,
        power_max=math.inf, static_power=0.05,
    )  # fmt: skip
    types = (SubModel("L", flops=34e6, upload_bits=540e3), SubModel("M", flops=18e6, upload_bits=320e3))
    problem = Problem(clients, types, budget=EnergyBudget(1.0), partitions=[(3, 3)])
    curves = fedopt.pareto(problem, points=8)
    first, longest = float(curves.curves[0].energy[0]), float(curves.curves[0].duration[0])
    for times in (0.5, 2.0, 1e4, 1e9, math.inf):
        price = 1e6 * min(times, 1e9) * first
        for budget in (EnergyBudget(times * first), PowerBudget(times * first / longest), TimePrice(price)):
            asked = dataclasses.replace(problem, budget=budget)
            found, known = curves.at(budget), fedopt.solve(asked)
            assert (found.status, found.scope) == (known.status, known.scope)
            assert found.utility == pytest.approx(known.utility, rel=1e-9)
            assert found.cost_bracket == pytest.approx(known.cost_bracket, rel=1e-9, nan_ok=True)
            assert fedopt.verify(asked, found).ok


@pytest.mark.parametrize("share", [1e-9, 1e-11])
def test_a_front_proves_no_more_than_a_search_next_to_the_least_energy(share: float) -> None:
    """Where rounding hides 1e-5 or 1e-3 of the duration, that much of the utility is open."""
    problem = Problem(fedopt.Clients(frequency_min=0.0, **PAIR), ONE, budget=EnergyBudget(10.0))
    least = fedopt.solve(Problem(problem.clients, ONE, budget=EnergyBudget(1e-9))).shortfall + 1e-9
    curves = fedopt.pareto(problem, points=3)
    for found in both(problem, curves, EnergyBudget(least * (1.0 + share))):
        assert found.bracket[1] > found.bracket[0] * (1.0 + 1e-6)
        assert found.bound == pytest.approx(2.0 / found.bracket[0], rel=1e-12)
    for found in both(problem, curves, EnergyBudget(1.5 * least)):
        assert found.bound == pytest.approx(found.utility, rel=1e-12)


def test_a_front_proves_no_more_than_what_is_left_open_of_any_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(EnergyBudget(2.0), partitions=[(2, 2), (4, 0)])
    made, least = fedopt.pareto(problem, points=5), Box.least
    known = made.at(problem.budget)
    assert known.bound == known.utility
    other = next(p for p in problem.candidates().tolist() if tuple(p) != known.partition)

    def sooner(box: Box) -> Any:
        found = least(box)
        assert found is not None
        return dataclasses.replace(found, lower=0.1 * found.lower) if list(found.partition) == other else found

    monkeypatch.setattr(Box, "least", sooner)
    found = made.at(problem.budget)
    assert (found.partition, found.bracket) == (known.partition, known.bracket)
    assert found.bound > 2.0 * known.bound
    assert known.status.solved
    assert found.status is fedopt.Status.LIMIT


def test_the_energies_of_a_front_never_rise_rounding_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = curve.trace

    def rounded(*given: Any) -> Any:
        """The last but one an ulp lower than it is, and the last an ulp higher than that."""
        *first, near, far = traced(*given)
        low = float(np.nextafter(far.energy, 0.0))
        return [*first, dataclasses.replace(near, energy=low), far]

    monkeypatch.setattr(curve, "trace", rounded)
    energy = fedopt.pareto(problem_of(EnergyBudget(2.0), partitions=[(2, 2)]), points=5).curves[0].energy
    assert energy[-1] == energy[-2]
    assert (np.diff(energy) <= 0.0).all()


def test_a_round_of_no_time_has_no_mean_power(tmp_path: Path) -> None:
    """It receives at an endless rate, and is done at once."""
    problem = Problem(
        fedopt.Clients(frequency_min=0.0, **PAIR),
        (SubModel("receives", flops=0.0, upload_bits=0.0, download_bits=1e5),),
        budget=EnergyBudget(10.0),
    )
    fedopt.pareto(problem, points=2).to_csv(tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(float(row["duration[s]"]) == 0.0 and row["power[W]"] == "nan" for row in rows)


@pytest.mark.parametrize(
    ("utility", "durations", "energies", "first"),
    [
        (None, [2.0, 1.0, 3.0], [1.0, 9.0, 0.5], 1),
        (None, [2.0, 1.0, 1.0, 1.0], [1.0, 9.0, 7.0, 7.0], 2),
        ("least_energy", [3.0, 2.0, 1.0], [1.0, 1.0 + 5e-13, 1.0 + 2e-12], 1),
        ("least_energy", [3.0, 2.0, 1.0], [1.0, 1.0 + 5e-9, 1.0 + 5e-7], 0),
    ],
)
def test_of_equals_the_least_energy_is_best_and_of_least_energies_the_shortest_round(
    utility: Any, durations: list[float], energies: list[float], first: int
) -> None:
    problem = problem_of(EnergyBudget(2.0), utility=utility)
    assert best_of(problem, durations, energies, lambda p: Partition([2, 2], TWO)) == first


def test_a_cost_is_its_own_bound_where_the_proof_is_above_it_by_rounding() -> None:
    problem = problem_of(TimePrice(0.5))
    work = problem.clients.workload(TWO, np.int64(0))
    round_ = fedopt.schedule(problem.clients, work, problem.budget)
    cost = round_.energy + 0.5 * round_.duration
    assert cost_bracket(0.9 * cost, 0.5, round_) == (0.9 * cost, cost)
    assert cost_bracket(cost * (1.0 + 1e-15), 0.5, round_) == (cost, cost)


def test_a_search_that_is_stopped_looks_for_no_rule_of_the_papers() -> None:
    clients = fleet(24, 5)
    problem = Problem(clients, TYPES, budget=budget_of("power", clients))
    stopped = fedopt.solve(problem, time_limit=0.0)
    assert (stopped.status, stopped.paper) == (fedopt.Status.LIMIT, None)
    assert fedopt.solve(Problem(clients, TYPES, budget=Deadline(1e3))).paper is not None


def test_a_round_that_is_not_solved_is_no_bound_of_a_front(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(fedopt.Clients(frequency_min=0.0, **PAIR), ONE, budget=EnergyBudget(0.5))
    made, solved = fedopt.pareto(problem, points=3), front.schedule_of
    assert made.at(problem.budget).scope == "all matchings"
    limit = fedopt.Status.LIMIT
    monkeypatch.setattr(front, "schedule_of", lambda *given: dataclasses.replace(solved(*given), status=limit))
    found = made.at(problem.budget)
    assert (found.status, found.scope, math.isnan(found.bound)) == (limit, "", True)


def test_an_answer_without_a_bound_is_not_compared_with_one() -> None:
    """No utility is asked about a duration that is no number, and a least energy is no more open than its bracket."""

    def faster(partition: Partition, duration: float, energy: float) -> float:
        assert duration > 0.0
        return partition.replicas / math.sqrt(duration)

    clients = fleet(6, 1)
    listed = [(4, 2, 0, 0), (2, 0, 4, 0)]
    for utility in ("shortest_round", "least_energy", faster):
        for matching in ("exact", "sorted"):
            made = fedopt.pareto(
                Problem(clients, TYPES, budget=PowerBudget(3.0), utility=utility, partitions=listed),
                points=4,
                matching=matching,
            )
            for name in ("energy", "power", "deadline", "price"):
                problem = dataclasses.replace(made.problem, budget=budget_of(name, clients))
                known, found = fedopt.solve(problem, matching=matching), made.at(problem.budget)
                assert (found.status, name) == (known.status, name)
                assert found.utility == pytest.approx(known.utility, rel=1e-9, nan_ok=True)
                if matching == "exact":  # of a utility that may do anything, or that asks for less energy, nothing
                    assert (found.scope, found.reason) == (known.scope, known.reason)
                    assert found.bound == pytest.approx(known.bound, rel=1e-9, nan_ok=True)
                if matching == "sorted":
                    rough = fedopt.solve(problem, matching=matching, timing="cvxpy")
                    assert rough.utility == pytest.approx(known.utility, rel=1e-4, nan_ok=True)
