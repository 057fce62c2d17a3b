"""R18: drawn problems, answered in every way there is: no two answers may contradict each other, nor the verifier.

What is known and no contradiction: a proving method minimises the duration, or the cost at a price of time, and only
then compares utilities; so under a budget a rule of thumb may end in a round of less energy, or, at a price, in a
shorter one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import fedopt
from fedopt import Deadline, InputError, Problem, Solution, Status, TimePrice
from fedopt.problem import LeastEnergy
from fedopt.testing import problems

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
RULES = ("sorted", "marginal", "random")
NEAR = 1e-9


def contradictions(problem: Problem) -> list[str]:
    """What speaks against the answers to a problem, taken together."""
    rules = RULES if problem.access is None else RULES[:2]
    try:
        best = fedopt.solve(problem)
        others = {matching: fedopt.solve(problem, matching=matching) for matching in rules}
    except InputError as error:  # twenty decades of everything: a product leaves the range of a double
        if "within the range of a double" not in str(error):
            raise
        return []
    found = [f"{name}: {answer.status.name}" for name, answer in others.items() if better(problem, answer, best)]
    if best.status.solved:
        found += again(problem, best)
    return found


def better(problem: Problem, rule: Solution, best: Solution) -> bool:
    """Whether a rule of thumb refutes what is proved."""
    if not rule.status.solved:
        return False
    if best.status is Status.INFEASIBLE:
        return problem.access is None or best.scope == "all matchings"
    if rule.utility > best.bound + NEAR * abs(best.bound):
        return True
    proved = problem.access is None and by_duration(problem) and not isinstance(problem.budget, TimePrice)
    return proved and best.status.solved and rule.utility > best.utility + NEAR * abs(best.utility)


def by_duration(problem: Problem) -> bool:
    """Whether the best matching of a partition is proved: of least energy it is at a deadline alone, as of those of one
    duration any may be answered."""
    return isinstance(problem.budget, Deadline) or not isinstance(problem.utility, LeastEnergy)


def again(problem: Problem, best: Solution) -> list[str]:
    """Whether a warm start, or what is kept of it, comes to something else."""
    found = []
    for keep in ("nothing", "partition", "matching"):
        warm = fedopt.solve(problem, warm=best, keep=keep)
        same = warm.utility == pytest.approx(best.utility, rel=NEAR, nan_ok=True)
        better_kept = keep == "partition" and not by_duration(problem) and warm.utility > best.utility
        if warm.status.solved and not same and not better_kept:
            found.append(f"keep={keep}: {warm.utility} for {best.utility}")
    return found


def verified(problem: Problem) -> list[Any]:
    """The verifier's objections to every answer; with numbers of phones it has none."""
    rules = RULES if problem.access is None else RULES[:2]
    answers = [fedopt.solve(problem), *(fedopt.solve(problem, matching=matching) for matching in rules)]
    return [check for answer in answers for check in fedopt.verify(problem, answer).failed]


@settings(SLOW, max_examples=15)
@given(problems(max_size=4, hostile=True, shared=True))
def test_answers_to_hostile_problems_do_not_contradict_each_other(problem: Problem) -> None:
    assert not contradictions(problem)


@settings(SLOW, max_examples=10)
@given(problems(max_size=4, shared=True))
def test_answers_to_problems_of_phones_are_verified_and_agree(problem: Problem) -> None:
    assert not contradictions(problem)
    assert not verified(problem)


@pytest.mark.nightly("R18", 2_000)
@settings(SLOW, max_examples=2_000)
@given(problems(max_size=4, hostile=True, shared=True))
def test_answers_to_two_thousand_hostile_problems(problem: Problem) -> None:
    assert not contradictions(problem)


@pytest.mark.nightly("R18", 2_000)
@settings(SLOW, max_examples=2_000)
@given(problems(max_size=4, shared=True))
def test_answers_to_two_thousand_problems_of_phones(problem: Problem) -> None:
    assert not contradictions(problem)
    assert not verified(problem)
