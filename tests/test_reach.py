"""Goals just out of reach, or just within, where clients share a channel: against every matching there is."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from tasks import task_asked

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, Status, TimeDivision
from solvers.matching import slotted
from solvers.matching.reach import search_within
from solvers.matching.task import STOPPED, Searched, Task, empty_results
from solvers.rows import Goal, Stop

TYPES = (
    fedopt.SubModel("whole", flops=34e6, upload_bits=5.4e5),
    fedopt.SubModel("half", flops=17e6, upload_bits=2.7e5),
    fedopt.SubModel("third", flops=11e6, upload_bits=1.8e5, cover=2),
)


def fleet(seed: int) -> fedopt.Clients:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 5))
    return fedopt.Clients(
        frequency_min=rng.choice([0.0, 0.3e9], size),
        frequency_max=rng.uniform(1e9, 3e9, size),
        capacitance=10 ** rng.uniform(-28.5, -27.5, size),
        static_power=rng.choice([0.0, 0.1], size),
        samples=rng.integers(100, 1000, size),
        channel_gain=10 ** rng.uniform(-13, -9, size),
        bandwidth=1e6,
        circuit_power=rng.choice([0.0, 0.05], size),
        overhead=0.1,
    )


def every_round(problem: fedopt.Problem) -> dict[tuple[int, ...], fedopt.Schedule]:
    """Levels 2 and 3 of all matchings of whole replicas."""
    allowed = {tuple(row) for row in problem.candidates().tolist()}
    return {
        matching: fedopt.schedule(
            problem.clients, problem.clients.workload(TYPES, np.array(matching)), problem.budget, access=problem.access
        )
        for matching in itertools.product(range(3), repeat=len(problem.clients))
        if tuple(matching.count(k) for k in range(3)) in allowed
    }


@pytest.mark.parametrize("access", [SharedBandwidth(1e6), TimeDivision(1e6)], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("timed", [False, True], ids=["energy", "deadline"])
@pytest.mark.parametrize("seed", range(6))
def test_what_any_matching_can_do_is_done_and_what_is_missing_is_the_least(seed: int, timed: bool, access: Any) -> None:
    """The sorted and marginal matchings, tried first, miss by up to 5,000 times as much next to the least."""
    clients = fleet(seed)
    most = EnergyBudget(math.inf) if timed else Deadline(1e12)
    rounds = every_round(fedopt.Problem(clients, TYPES, budget=most, access=access)).values()
    least = min(each.duration if timed else each.energy for each in rounds)
    for share in (0.5, 0.9999, 1.0001, 1.1):
        budget = Deadline(least * share) if timed else EnergyBudget(least * share)
        problem = fedopt.Problem(clients, TYPES, budget=budget, access=access)
        found = fedopt.solve(problem)
        report = fedopt.verify(problem, found)
        assert report.ok, str(report)
        if share > 1.0:
            assert found.status.solved
            continue
        assert found.status is Status.INFEASIBLE
        assert found.shortfall == pytest.approx(least * (1.0 - share), rel=1e-3)
        assert found.scope in (("all matchings",) if share < 0.6 else ("all matchings", ""))
        assert ("Only marginal matchings" in found.reason) is (found.scope == "")
        if isinstance(access, TimeDivision) and not timed and found.scope:
            assert report.complete
            more = dataclasses.replace(found, shortfall=found.shortfall * 1.001)
            assert [check.name for check in fedopt.verify(problem, more).failed] == ["by how much"]


def asked(task: Task, replies: list[Any]) -> tuple[Searched, list[Task]]:
    """What comes of searches that answer one after another; a callable makes its answer of the task."""
    tasks = list[Task]()

    def search(each: Task) -> Searched:
        tasks.append(each)
        reply = replies[len(tasks) - 1]
        return reply(each) if callable(reply) else reply

    return search_within(task, search, lambda task: lambda p, T: None), tasks


def test_one_search_is_enough_where_it_finds_something_or_its_time_is_up() -> None:
    problem = fedopt.Problem(fleet(1), TYPES, budget=EnergyBudget(100.0), access=TimeDivision(1e6))
    task = task_asked(problem, "solvers.matching.slotted.search")
    solved = slotted.search(task)
    found, tasks = asked(task, [solved])
    assert found is solved
    assert tasks == [task]
    late = task_asked(problem, "solvers.matching.slotted.search", time_limit=0.0)
    stopped = slotted.search(late)
    assert stopped.stopped
    assert asked(late, [stopped])[0] is stopped


def test_a_power_or_a_price_that_is_given_up_is_not_asked_for_again() -> None:
    for budget in (fedopt.PowerBudget(1e-3), fedopt.TimePrice(1.0)):
        problem = fedopt.Problem(fleet(1), TYPES, budget=budget, access=TimeDivision(1e6))
        task = task_asked(problem, "solvers.matching.slotted.search")
        results = empty_results(len(task.counts))
        results[:, STOPPED] = Stop.LIMIT
        given_up = Searched(results=results, passes=1, assign=lambda p: np.zeros(0, dtype=np.int64))
        assert asked(task, [given_up])[0] is given_up


def test_a_second_search_that_finds_nothing_leaves_the_first() -> None:
    """And one that is out of time says so."""
    problem = fedopt.Problem(fleet(1), TYPES, budget=EnergyBudget(1e-3), access=TimeDivision(1e6))
    task = task_asked(problem, "solvers.matching.slotted.search")
    first = slotted.search(task)
    nothing, tasks = asked(task, [first, first])
    assert nothing.results is first.results
    assert nothing.passes == 2 * first.passes
    assert not nothing.stopped
    assert (tasks[1].goal, tasks[1].thrifty) == (Goal.DEADLINE, True)
    late = asked(dataclasses.replace(task, until=0.0), [first, first])[0]
    assert late.stopped
    assert late.results is first.results
