"""What a search may claim of its answer: against what it said, what was left open, and what a stopped one knows."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from corners import TYPES, problem_of

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    Schedule,
    Solution,
    Status,
    TimeDivision,
    claims,
    search,
)
from solvers.access import LAST_DIGITS
from solvers.matching.task import RESULTS, SCREENED, Proof, Searched
from solvers.rows import Stop


def answered(problem: Problem) -> tuple[Solution, Schedule]:
    """The sorted answer, and the round behind it."""
    solution = fedopt.solve(problem, matching="sorted")
    assert solution.status is Status.OPTIMAL
    work = problem.clients.workload(TYPES, solution.assignment)
    return solution, fedopt.schedule(problem.clients, work, problem.budget, access=problem.access)


def searched(T: float, E: float, stop: Stop = Stop.OPTIMAL, **more: Any) -> Searched:
    """A search of one partition that said this of it."""
    results = np.zeros((1, RESULTS))
    results[0, :3] = T, E, stop
    return Searched(**{"results": results, "passes": 1, "assign": lambda p: np.zeros(4, dtype=np.int64), **more})


@pytest.mark.parametrize(("shorter", "held"), [(0.0, True), (5e-7, True), (2e-6, False), (1e-4, False)])
def test_who_does_not_keep_what_was_said_of_its_duration_claims_nothing(shorter: float, held: bool) -> None:
    solution, round_ = answered(problem_of(PowerBudget(0.02), partitions=[(2, 2)]))
    wide = dataclasses.replace(solution, bracket=(0.0, solution.duration), cost_bracket=(1.0, 2.0))
    found = claims.held_to(wide, round_, searched(round_.duration * (1.0 - shorter), round_.energy), 0)
    assert (found is wide) is held
    if not held:
        assert (found.status, found.bracket, found.scope) == (Status.INACCURATE, round_.bracket, "")
        assert np.isnan([found.bound, *found.cost_bracket]).all()
        assert f"{round_.duration:g} s and {round_.energy:g} J" in found.reason
    left = (0.5 * round_.duration, round_.duration)  # a round whose best duration is open says nothing of its own
    open_ = dataclasses.replace(round_, bracket=left)
    assert claims.held_to(wide, open_, searched(0.5 * round_.duration, round_.energy), 0) is wide


@pytest.mark.parametrize("access", [None, TimeDivision(1e6)], ids=str)
@pytest.mark.parametrize(("hidden", "held"), [(2.0, True), (1.01, True), (0.99, False), (1e-3, False)])
def test_what_the_last_digits_of_a_duration_hide_of_an_energy_was_not_said(
    hidden: float, held: bool, access: Any
) -> None:
    """A thousandth less was said: it is as much as this price of time makes of them, or more."""
    problem = problem_of(Deadline(60.0), partitions=[(2, 2)], utility="least_energy", access=access)
    solution, round_ = answered(problem)
    assert round_.allocation is not None
    watts = hidden * 1e-3 * round_.energy / (LAST_DIGITS * round_.duration)
    allocation = dataclasses.replace(round_.allocation, price=np.full(4, watts / 4.0))
    sharing = None if round_.sharing is None else dataclasses.replace(round_.sharing, time_price=watts)
    dear = dataclasses.replace(round_, allocation=allocation, sharing=sharing)
    found = claims.held_to(solution, dear, searched(round_.duration, 0.999 * round_.energy), 0)
    assert (found is solution) is held


def test_a_sorted_search_that_gave_a_partition_up_proves_no_bound() -> None:
    problem = problem_of(EnergyBudget(0.2), partitions=[(2, 2)])
    solution, round_ = answered(problem)
    assert solution.partition is not None
    for stop, T, scope in ((Stop.OPTIMAL, 1.0, True), (Stop.LIMIT, 1.0, True), (Stop.LIMIT, math.nan, False)):
        found = searched(T, 1.0, stop, proof=Proof.SORTED)
        claim = claims.claim_of(problem, found, solution.partition, round_)
        assert claim == ({"bound": solution.utility, "scope": "sorted matchings"} if scope else {})
    assert claims.claim_of(problem, searched(1.0, 1.0), solution.partition, round_) == {}
    priced = dataclasses.replace(problem, utility=lambda partition, T, E: -E)
    every = searched(1.0, 1.0, proof=Proof.MATCHINGS)
    assert claims.claim_of(priced, every, solution.partition, round_) == {}


def test_a_bound_is_the_ceiling_or_what_the_answers_own_bracket_leaves_open() -> None:
    problem = problem_of(EnergyBudget(0.2), partitions=[(2, 2)], utility="shortest_round")
    solution, round_ = answered(problem)
    T = round_.duration
    assert solution.partition is not None
    for ceiling, bound in ((2.0 / T, -0.5 * T), (0.5 / T, -T), (0.0, -T), (-1.0, -T), (None, -T)):
        found = searched(T, 1.0, proof=Proof.SORTED, ceiling=ceiling, stopped=ceiling is not None)
        assert claims.claim_of(problem, found, solution.partition, round_)["bound"] == pytest.approx(bound, rel=1e-15)
    open_ = dataclasses.replace(round_, bracket=(0.75 * T, T))
    found = searched(T, 1.0, proof=Proof.SORTED)
    assert claims.claim_of(problem, found, solution.partition, open_)["bound"] == pytest.approx(-0.75 * T, rel=1e-15)


def test_a_bracket_over_all_matchings_begins_with_the_lowest_proof_and_ends_with_the_rounds_own() -> None:
    _, round_ = answered(problem_of(EnergyBudget(0.2), partitions=[(2, 2)]))
    T, nan = round_.duration, math.nan
    for lower, own, expected in (
        (0.5 * T, (nan, nan), (0.5 * T, T)),
        (2.0 * T, (nan, nan), (T, T)),
        (0.5 * T, (0.9 * T, 1.1 * T), (0.5 * T, 1.1 * T)),
        (T, (0.9 * T, 1.1 * T), (0.9 * T, 1.1 * T)),
    ):
        assert claims.bracket_over(lower, dataclasses.replace(round_, bracket=own)) == expected
    assert np.isnan(claims.bracket_over(math.inf, dataclasses.replace(round_, bracket=(nan, nan)))[0])


@pytest.mark.parametrize(
    ("open_", "alone", "said"),
    [
        (0.0, False, "No matching is cheaper, and no other partition's cheapest matching is better."),
        (1e-7, False, "No matching of this partition is cheaper by more than 1e-05 %; other matchings may be better."),
        (0.0, True, "No matching of this partition is cheaper; other partitions were not tried."),
        (0.25, True, "No matching of this partition is cheaper by more than 25 %; other partitions were not tried."),
        (1.0, False, "Other matchings may be better."),
    ],
)
def test_what_a_cost_leaves_open_is_said(open_: float, alone: bool, said: str) -> None:
    solution, _ = answered(problem_of(EnergyBudget(0.2), partitions=[(2, 2)]))
    priced = dataclasses.replace(solution, scope="", bound=math.nan, cost_bracket=(8.0 * (1.0 - open_), 8.0))
    assert claims.scope_of(priced, alone=alone) == said


@pytest.mark.parametrize(("open_", "better", "known"), [(0.009, 0.0, True), (0.011, 0.0, False), (0.0, 0.02, False)])
def test_an_answer_of_which_more_than_a_hundredth_is_open_is_not_the_best(
    open_: float, better: float, known: bool
) -> None:
    """By the bracket over all matchings, or by the bound of all partitions."""
    solution = fedopt.solve(problem_of(PowerBudget(0.02)))
    T = solution.duration
    given = dataclasses.replace(solution, bracket=((1.0 - open_) * T, T), bound=(1.0 + better) * solution.utility)
    found = claims.limited(given)
    assert (found is given) is known
    assert found.status is (Status.OPTIMAL if known else Status.LIMIT)


def test_what_was_counted_is_solved_screened_or_neither() -> None:
    results = np.full((5, RESULTS), math.nan)
    results[:, 2] = SCREENED, SCREENED, Stop.OPTIMAL, Stop.TOO_LITTLE, SCREENED
    results[2, 0] = 1.0
    found = dataclasses.replace(searched(1.0, 1.0, passes=7), results=results, matchings=3)
    expected = {"partitions": 5.0, "solved": 1.0, "screened": 3.0, "matchings": 3.0, "passes": 7.0}
    assert claims.counted(problem_of(), found, 0.5) == {**expected, "seconds_search": 0.5}


def test_a_round_that_is_not_solved_is_no_bound_of_a_search_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = search._round
    monkeypatch.setattr(search, "_round", lambda *given: dataclasses.replace(solved(*given), status=Status.LIMIT))
    for matching in ("exact", "sorted"):
        found = fedopt.solve(problem_of(EnergyBudget(0.2)), matching=matching)
        assert (found.status, found.scope, math.isnan(found.bound)) == (Status.LIMIT, "", True)


def test_a_program_of_integers_proves_no_lower_end_of_the_duration() -> None:
    """Its proof is of the whole, which leaves the bracket of one matching for none of all."""
    pytest.importorskip("pulp")
    exact, program = (fedopt.solve(problem_of(EnergyBudget(0.2)), matching=name) for name in ("exact", "milp"))
    assert program.scope == exact.scope == "all matchings"
    assert math.isnan(program.bracket[0])
    assert exact.bracket[0] <= exact.duration <= program.bracket[1]


@pytest.mark.parametrize(
    ("utility", "ordered"),
    [(None, (True, True)), ("shortest_round", (True, True)), ("least_energy", (False, True)), ("own", (False, False))],
)
def test_a_shorter_round_is_the_better_one_but_for_energies_without_a_deadline(
    utility: str | None, ordered: tuple[bool, bool]
) -> None:
    """Under a budget the matching of least duration need not be that of least energy: nothing is proved of it."""
    worth: Any = (lambda partition, T, E: -E) if utility == "own" else utility
    budgets = ((EnergyBudget(0.2), ordered[0]), (PowerBudget(0.02), ordered[0]), (Deadline(60.0), ordered[1]))
    for budget, expected in budgets:
        problem = problem_of(budget, utility=worth)
        assert claims.ordered_by_duration(problem) is expected
        found = fedopt.solve(problem)
        assert found.status.solved
        assert (found.scope == "all matchings") is expected
