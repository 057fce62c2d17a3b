"""What is kept of the last answer, and a front of one partition: claims are of what was searched, and verified so."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    SharedBandwidth,
    Status,
    TimeDivision,
    TimePrice,
    claims,
    report,
)

CLIENTS = fedopt.Clients(
    frequency_min=1e8, frequency_max=[1e9, 2e9, 3e9], samples=[300, 400, 500], channel_gain=1e-9, bandwidth=1e6
)
TYPES = (
    fedopt.SubModel("L", flops=34e6, upload_bits=540e3),
    fedopt.SubModel("S", flops=8e6, upload_bits=160e3, cover=3),
)
LARGE, SMALL = (3, 0), (0, 3)
REST = "; other partitions were not tried."
ACCESS = [None, TimeDivision(3e6), SharedBandwidth(3e6)]


def problem_of(budget: Any, access: Any = None, partitions: Any = None) -> Problem:
    return Problem(CLIENTS, TYPES, budget=budget, access=access, partitions=partitions)


def warm_of(partition: tuple[int, int]) -> fedopt.Solution:
    return fedopt.solve(problem_of(Deadline(100.0), partitions=[partition]))


def agrees(problem: Problem, found: fedopt.Solution) -> None:
    """The answer is the problem's own, and nothing speaks against it, nor against its copy."""
    assert found.problem is not None
    assert found.problem.partitions is problem.partitions
    assert found.problem.budget == problem.budget
    for asked in (problem, found.problem):
        checked = fedopt.verify(asked, found)
        assert checked.ok, str(checked)


@pytest.mark.parametrize("access", ACCESS, ids=str)
@pytest.mark.parametrize("budget", [Deadline(100.0), EnergyBudget(1.0), PowerBudget(5.0), TimePrice(1.0)], ids=str)
@pytest.mark.parametrize("partition", [LARGE, SMALL])
def test_what_is_kept_claims_nothing_of_other_partitions(partition: tuple[int, int], budget: Any, access: Any) -> None:
    problem, warm = problem_of(budget, access), warm_of(partition)
    for matching in ("sorted", "marginal") if access else ("exact", "sorted", "marginal", "random", "assignment"):
        found = fedopt.solve(problem, warm=warm, keep="partition", matching=matching)
        alone = fedopt.solve(dataclasses.replace(problem, partitions=[partition]), matching=matching)
        assert found.status is alone.status
        numbers = (found.utility, found.bound, *found.bracket)
        assert numbers == pytest.approx((alone.utility, alone.bound, *alone.bracket), rel=1e-9, nan_ok=True)
        assert found.scope == (f"{alone.scope} of one partition" if alone.scope else "")
        assert found.reason.endswith(REST)
        assert found.partition == partition
        assert found.paper is None
        agrees(problem, found)
    same = fedopt.solve(problem, warm=warm, keep="matching")
    assert same.reason.endswith("Other matchings may be better.")
    assert (same.scope, same.partition) == ("", partition)
    agrees(problem, same)


def test_what_is_proved_of_a_kept_partition_is_still_said_and_proved_again() -> None:
    problem, warm = problem_of(Deadline(100.0)), warm_of(SMALL)
    found = fedopt.solve(problem, warm=warm, keep="partition")
    assert found.reason.endswith(f"No matching of this partition is better{REST}")
    assert found.utility < fedopt.solve(problem).utility
    assert "none of this partition above 0.01 exists" in report.headline(problem, found).text()
    assert fedopt.verify(problem, found).complete
    low = dataclasses.replace(found, bound=0.5 * found.bound)
    assert not fedopt.verify(problem, low).ok
    proud = dataclasses.replace(found, scope="all matchings")
    assert [check.name for check in fedopt.verify(problem, proud).failed] == ["bound of the utility"]
    ruled = fedopt.solve(problem, warm=warm, keep="partition", matching="sorted")
    assert "no sorted matching of this partition above 0.01" in report.headline(problem, ruled).text()
    timed = fedopt.solve(problem_of(EnergyBudget(1.0)), warm=warm, keep="partition")
    assert timed.problem is not None
    assert "the best of all matchings of this partition, proved" in report.headline(timed.problem, timed).text()
    cheap = fedopt.solve(problem_of(TimePrice(1.0)), warm=warm, keep="partition")
    assert cheap.reason.endswith(f"No matching of this partition is cheaper{REST}")


@pytest.mark.parametrize("partitions", [None, [LARGE, SMALL]])
@pytest.mark.parametrize("access", ACCESS, ids=str)
@pytest.mark.parametrize("what", ["partition", "matching"])
def test_what_is_kept_may_miss_a_budget_that_others_meet(what: str, access: Any, partitions: Any) -> None:
    problem = problem_of(Deadline(3.0), access, partitions)
    assert fedopt.solve(problem).partition == SMALL
    for matching in ("sorted", "marginal") if access else ("exact", "sorted", "marginal"):
        found = fedopt.solve(problem, warm=warm_of(LARGE), keep=what, matching=matching)
        assert found.status is Status.INFEASIBLE
        said = "Only partition (3, 0) was" if what == "partition" else "Only the matching kept was"
        assert found.reason.endswith(f"{said} tried: others may meet it.")
        assert found.scope.endswith(" of one partition")
        agrees(problem, found)
    every = dataclasses.replace(problem, budget=Deadline(100.0))  # which no matching misses, whatever was kept
    assert not fedopt.verify(every, dataclasses.replace(found, shortfall=0.0, clients=())).ok
    assert not fedopt.verify(problem, dataclasses.replace(found, scope="some matchings")).ok


def test_of_a_problem_with_no_other_partition_all_is_said() -> None:
    for partitions in (None, [SMALL]):
        problem = Problem(
            CLIENTS, TYPES[1:] if partitions is None else TYPES, budget=Deadline(5.0), partitions=partitions
        )
        cold = fedopt.solve(problem)
        found = fedopt.solve(problem, warm=cold, keep="partition")
        assert (found.scope, found.reason, found.bound) == (cold.scope, cold.reason, cold.bound)
        assert found.paper is not None
        agrees(problem, found)
        poor = dataclasses.replace(problem, budget=Deadline(0.1))
        missed = fedopt.solve(poor, warm=cold, keep="partition")
        assert (missed.scope, missed.reason) == ("all matchings", fedopt.solve(poor).reason)


def test_a_partition_that_is_not_listed_is_not_kept() -> None:
    problem = problem_of(Deadline(5.0), partitions=[SMALL])
    for keep in ("partition", "matching"):
        with pytest.raises(
            fedopt.InputError, match=r"keep: expected a partition that Problem\.partitions lists, found \(3, 0\)"
        ):
            fedopt.solve(problem, warm=warm_of(LARGE), keep=keep)


def test_a_kept_partition_whose_search_is_stopped_or_fails_says_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, warm = problem_of(EnergyBudget(2.0)), warm_of(SMALL)
    alone = fedopt.solve(dataclasses.replace(problem, partitions=[SMALL]))
    stopped = claims.of_one(claims.stopped_at(alone, 1.0), problem)
    said = (
        "Stopped at the time limit of 1 s: the best answer so far is in hand. No matching of this partition is better"
    )
    assert (stopped.status, stopped.reason) == (Status.LIMIT, said + REST)
    monkeypatch.setattr(fedopt.search, "judge_solution", lambda *_: _WRONG)
    found = fedopt.solve(problem, warm=warm, keep="partition")
    assert found.status is Status.INACCURATE
    assert found.reason.endswith("judge; see the verdict. a speed is too high.")


_WRONG = fedopt.Verdict(energy=1.0, duration=1.0, violation=1.0, violations=("a speed is too high",))


@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize("won", [LARGE, SMALL])
def test_a_front_of_one_partition_claims_nothing_of_others(won: tuple[int, int], matching: str) -> None:
    problem = problem_of(Deadline(100.0 if won == LARGE else 7.0))
    front = fedopt.pareto(problem, points=5, matching=matching)
    assert [curve.partition for curve in front.curves] == [won]
    budgets: list[Any] = [*map(Deadline, (1.0, 3.0, 100.0)), *map(EnergyBudget, (1e-3, 1.0)), TimePrice(1.0)]
    for budget in budgets:
        asked = dataclasses.replace(problem, budget=budget)
        found = front.at(budget)
        assert found.scope in ("", "all matchings of one partition", "sorted matchings of one partition")
        last = f"Only partition {won} was tried: others may meet it." if math.isnan(found.utility) else REST
        assert found.reason.endswith(last)
        agrees(asked, found)
    listed = fedopt.pareto(dataclasses.replace(problem, partitions=np.array([SMALL, LARGE])), points=5)
    assert listed.at(Deadline(100.0)).scope == "all matchings"


@pytest.mark.parametrize(
    ("seconds", "status", "scope"),
    [(1.0 + 1.02e-7, Status.LIMIT, ""), (0.999, Status.INFEASIBLE, "some matchings of one partition")],
)
def test_a_kept_matching_that_is_given_up_claims_nothing(seconds: float, status: Status, scope: str) -> None:
    """In turns: 100 bits in 0.1 us after 1 s of computing take a power of e^680, neither met nor proved too loud."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1e9, samples=[1.0], channel_gain=1e-10, bandwidth=1e6, power_max=math.inf
    )
    types = (fedopt.SubModel("one", flops=1e9, upload_bits=100.0), fedopt.SubModel.idle())
    easy = Problem(clients, types, budget=Deadline(2.0), access=TimeDivision(1e6))
    hasty = dataclasses.replace(easy, budget=Deadline(seconds))
    found = fedopt.solve(hasty, warm=fedopt.solve(easy), keep="matching")
    assert (found.status, found.allocation, found.scope) == (status, None, scope)
    assert fedopt.verify(hasty, found).ok
