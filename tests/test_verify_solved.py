"""What is called solved claims as much: brackets are narrow and bounds reached, but for what proofs may leave open."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import EnergyBudget, PowerBudget, Problem, SharedBandwidth, Solution, Status, SubModel, TimeDivision
from fedopt.verifier import search
from fedopt.verifier.matchings import TooManyError

CLIENTS = make("typical", 1, 5).clients
TYPES = mnist_types((1, 2, 2, 4))[:3]
WORK = CLIENTS.workload(TYPES, np.array([0, 1, 1, 2, 2]))
ACCESS = {"own": None, "shared": SharedBandwidth(2e6), "slots": TimeDivision(2e6)}
NARROW, REACHED, WITHIN = "solved: the bracket is narrow", "solved: the bound is reached", "bracket is within the bound"


def failed(report: fedopt.Report) -> set[str]:
    return {check.name for check in report.failed}


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", [EnergyBudget(4.0), EnergyBudget(400.0), PowerBudget(0.5)], ids=str)
def test_a_schedule_with_a_wide_bracket_is_not_solved(budget: Any, access: str) -> None:
    given = CLIENTS, WORK, budget
    true = fedopt.schedule(*given, access=ACCESS[access])
    assert true.status.solved
    T, most = true.duration, 1e-2 if access == "own" else 1e-6
    for low, high in ((0.5, 2.0), (0.0, math.inf), (1.0 - 1.1 * most, 1.0), (1.0, 1.0 + 1.1 * most)):
        wide = dataclasses.replace(true, bracket=(low * T, high * T))
        assert failed(fedopt.verify_schedule(*given, wide, access=ACCESS[access])) == {NARROW}
        limit = dataclasses.replace(wide, status=Status.LIMIT)
        assert fedopt.verify_schedule(*given, limit, access=ACCESS[access]).ok
    for ends in ((T * (1.0 - 0.4 * most), T * (1.0 + 0.5 * most)), (math.nan, math.nan)):
        assert fedopt.verify_schedule(*given, dataclasses.replace(true, bracket=ends), access=ACCESS[access]).complete


def test_a_round_of_no_time_has_no_bracket_but_itself() -> None:
    given = CLIENTS.replace(overhead=0.0), fedopt.Workload(cycles=0.0, upload_bits=0.0), PowerBudget(0.5)
    true = fedopt.schedule(*given)
    assert (true.duration, true.bracket) == (0.0, (0.0, 0.0))
    assert fedopt.verify_schedule(*given, true).complete
    assert failed(fedopt.verify_schedule(*given, dataclasses.replace(true, bracket=(0.0, 1e-9)))) == {NARROW}


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", [EnergyBudget(4.0), PowerBudget(0.5)], ids=str)
def test_a_solution_with_a_wide_bracket_is_not_solved(budget: Any, access: str) -> None:
    problem = Problem(CLIENTS, TYPES, budget=budget, access=ACCESS[access])
    true = fedopt.solve(problem)
    T = true.duration
    assert (true.status, true.scope) == (Status.OPTIMAL, "all matchings")
    assert fedopt.verify(problem, true).complete
    below = NARROW if access == "own" else WITHIN
    for low, high, names in (
        (0.5, 1.0, {below}),
        (0.0, 1.0, {below}),
        (1.0, 2.0, {NARROW}),
        (0.5, 2.0, {NARROW, below}),
    ):
        wide = dataclasses.replace(true, bracket=(low * T if low < 1.0 else true.bracket[0], high * T))
        assert failed(fedopt.verify(problem, wide)) == names
        assert fedopt.verify(problem, dataclasses.replace(wide, status=Status.LIMIT)).ok


@pytest.mark.parametrize("utility", [None, "shortest_round", "least_energy"])
@pytest.mark.parametrize("budget", [EnergyBudget(4.0), EnergyBudget(400.0), fedopt.Deadline(12.0)], ids=str)
def test_a_bound_that_is_not_reached_is_of_no_solved_answer(budget: Any, utility: Any) -> None:
    problem = Problem(CLIENTS, TYPES, budget=budget, utility=utility)
    claimed = 0
    for matching in ("exact", "sorted"):
        true = fedopt.solve(problem, matching=matching)
        assert true.status.solved
        assert fedopt.verify(problem, true).ok
        for share in (1e-6, 0.15, math.inf) if true.scope else ():
            far = dataclasses.replace(true, bound=true.utility + share * abs(true.utility))
            assert failed(fedopt.verify(problem, far)) == {REACHED}
            assert fedopt.verify(problem, dataclasses.replace(far, status=Status.LIMIT)).ok
            claimed += 1
    assert claimed or utility == "least_energy"


def test_the_worse_partition_is_not_the_best_with_the_bound_of_the_best() -> None:
    """Its own prices, energy and duration are right; only another partition is better."""
    problem = Problem(CLIENTS, TYPES, budget=PowerBudget(0.5))
    best, tried = fedopt.solve(problem), 0
    for counts in problem.candidates().tolist():
        own = fedopt.solve(dataclasses.replace(problem, partitions=[tuple(counts)]))
        if own.utility < best.utility:
            tried += 1
            forged = dataclasses.replace(own, bound=best.bound, problem=problem)
            assert failed(fedopt.verify(problem, forged)) == {REACHED}
            assert fedopt.verify(problem, dataclasses.replace(forged, status=Status.LIMIT)).ok
    assert tried > 2


def test_a_search_that_ran_out_of_time_is_not_solved() -> None:
    problem = Problem(make("typical", 1, 5).clients, TYPES, budget=PowerBudget(0.5))
    stopped = fedopt.solve(problem, time_limit=0.0)
    assert stopped.status is Status.LIMIT
    assert 1e-4 < stopped.bound / stopped.utility - 1.0 < 1e-2
    assert fedopt.verify(problem, stopped).ok
    assert failed(fedopt.verify(problem, dataclasses.replace(stopped, status=Status.OPTIMAL))) == {REACHED}


def near(problem: Problem, share: float, **methods: Any) -> tuple[Problem, Solution]:
    """The problem with a budget a little above the least energy there is, and its answer."""
    least = fedopt.solve(dataclasses.replace(problem, budget=EnergyBudget(1e-9))).shortfall + 1e-9
    tight = dataclasses.replace(problem, budget=EnergyBudget(least * (1.0 + share)))
    return tight, fedopt.solve(tight, **methods)


@pytest.mark.parametrize("matching", ["exact", "sorted", "milp"])
def test_what_rounding_hides_next_to_the_least_energy_is_left_open(matching: str) -> None:
    """The bound is that of the bracket's lower end; the MILP's bracket over all matchings has none."""
    clients = CLIENTS.replace(static_power=0.0, circuit_power=0.0, frequency_min=0.0)
    for share in (1e-9, 1e-10, 1e-11):
        problem, found = near(Problem(clients, TYPES[:1], budget=PowerBudget(1.0)), share, matching=matching)
        assert found.status is (Status.LIMIT if matching == "milp" else Status.OPTIMAL)  # its gap is 1e-9
        assert found.bound > found.utility * (1.0 + 1e-7)
        assert fedopt.verify(problem, found).ok, str(fedopt.verify(problem, found))


def test_a_band_on_which_nobody_sends_is_as_channels_of_their_own() -> None:
    silent = (SubModel("computes", flops=1e7, upload_bits=0.0),)
    clients = CLIENTS.replace(static_power=0.0, frequency_min=0.0)
    problem = Problem(clients, silent, budget=PowerBudget(1.0), access=ACCESS["shared"])
    tight, found = near(problem, 1e-11)
    assert found.status is Status.OPTIMAL
    own = fedopt.schedule(clients, clients.workload(silent, found.assignment), tight.budget)
    assert (found.bracket[0], found.duration) == (own.bracket[0], own.duration)
    assert fedopt.verify(tight, found).ok


def test_proofs_of_a_shared_uplink_may_leave_more_open() -> None:
    """Prices leave a gap where matchings are few."""
    wide = 0.0
    for seed in range(6):
        clients = make("typical", seed, 4).clients
        problem = Problem(clients, TYPES, budget=PowerBudget(1.0), access=ACCESS["slots"])
        found = fedopt.solve(problem)
        assert found.status.solved
        assert fedopt.verify(problem, found).ok
        wide = max(wide, found.bound / found.utility - 1.0)
    assert wide > 1e-6


def test_partitions_too_many_to_list_are_searched_to_a_gap_of_the_users() -> None:
    types = tuple(SubModel(f"{k}", flops=6e7 / k, upload_bits=6e5 / k, cover=k) for k in range(1, 6))
    problem = Problem(make("typical", 1, 600).clients, types, budget=PowerBudget(5.0))
    found = fedopt.solve(problem, gap=0.5)
    assert found.status is Status.OPTIMAL
    assert found.bound > found.utility * (1.0 + 1e-6)
    assert fedopt.verify(problem, found).ok
    assert not fedopt.verify(problem, found).complete
    assert WITHIN in failed(fedopt.verify(problem, dataclasses.replace(found, bracket=(0.0, found.duration))))


def test_a_bound_that_takes_too_many_looks_is_not_refuted_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether rounding leaves it open is then not known."""
    problem = Problem(CLIENTS, TYPES, budget=PowerBudget(0.5))
    true = fedopt.solve(problem)
    open_ = dataclasses.replace(true, bound=true.utility * (1.0 + 5e-3))
    assert failed(fedopt.verify(problem, open_)) == {REACHED}

    def too_many(*given: Any) -> Any:
        raise TooManyError

    monkeypatch.setattr(search, "rule_out", too_many)
    found = fedopt.verify(problem, open_)
    assert found.ok
    assert not found.complete
