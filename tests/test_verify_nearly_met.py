"""INFEASIBLE of what is met to the last digits: nothing is proved by a shortfall that rounding alone may make."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from test_verify_infeasible import CLIENTS, TYPES, WORK, called_infeasible

import fedopt
from fedopt import Deadline, EnergyBudget, Problem, Status
from fedopt.verifier import Outcome

WAITING = CLIENTS.replace(static_power=0.1, circuit_power=0.1)  # there is a time from which on no more saves energy


def outcome(report: fedopt.verifier.Report) -> Outcome:
    return next(check.outcome for check in report.checks if check.name == "infeasible")


def schedule_called_infeasible(budget: Any, shortfall: float, who: tuple[int, ...]) -> fedopt.verifier.Report:
    numbers: dict[str, Any] = dict.fromkeys(("duration", "energy"), math.nan)
    nothing: dict[str, Any] = dict.fromkeys(("allocation", "verdict"))
    said = fedopt.Schedule(status=Status.INFEASIBLE, reason="", clients=who, shortfall=shortfall, **numbers, **nothing)
    return fedopt.verify_schedule(WAITING, WORK, budget, said)


def test_a_round_of_the_least_energy_is_not_proved_to_be_none() -> None:
    """Nor one of the least duration; some digits below, that is proved."""
    least = fedopt.schedule(WAITING, WORK, Deadline(1e6)).energy
    shortest = fedopt.schedule(WAITING, WORK, EnergyBudget(math.inf)).duration
    everybody = fedopt.schedule(WAITING, WORK, EnergyBudget(0.5 * least)).clients
    last = fedopt.schedule(WAITING, WORK, Deadline(shortest * (1.0 - 1e-6))).clients
    assert fedopt.schedule(WAITING, WORK, EnergyBudget(least)).status.solved
    assert fedopt.schedule(WAITING, WORK, Deadline(shortest)).status.solved
    for below, expected in ((0.0, Outcome.UNPROVED), (1e-15, Outcome.UNPROVED), (1e-13, Outcome.PASSED)):
        missing = below * least
        assert outcome(schedule_called_infeasible(EnergyBudget(least - missing), missing, everybody)) is expected
        missing = below * shortest
        who = last if missing > 0.0 else ()
        assert outcome(schedule_called_infeasible(Deadline(shortest - missing), missing, who)) is expected


@pytest.mark.parametrize("partitions", [None, [(1, 2, 2)]])
def test_a_budget_that_the_least_matching_meets_to_the_last_digits_is_not_proved_infeasible(partitions: Any) -> None:
    problem = Problem(WAITING, TYPES, budget=EnergyBudget(1e-3), partitions=partitions)
    poor = fedopt.solve(problem)
    assert poor.scope == "all matchings"
    least = 1e-3 + poor.shortfall
    assert fedopt.solve(dataclasses.replace(problem, budget=EnergyBudget(least * (1.0 + 1e-13)))).status.solved
    for below, expected in (
        (0.0, Outcome.UNPROVED), (1e-15, Outcome.UNPROVED), (1e-14, Outcome.UNPROVED), (1e-13, Outcome.PASSED),
    ):  # fmt: skip
        budget = EnergyBudget(least * (1.0 - below))
        near = dataclasses.replace(problem, budget=budget)
        assert outcome(called_infeasible(near, below * least, poor.clients, "all matchings")) is expected, below
        honest = fedopt.solve(near)
        if honest.status is Status.INFEASIBLE:
            assert fedopt.verify(near, honest).ok
