"""Every check of a decision by name: an answer that is wrong in one way fails the check that is for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fleets import make

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Schedule, Status
from fedopt.rounds import rows_of
from fedopt.verifier import Outcome
from solvers.limits import limits

SIZE = 5
INSTANCE = make("typical", 1, SIZE)
CLIENTS = INSTANCE.clients.replace(power_min=0.01 * INSTANCE.clients.power_max)
WORK = INSTANCE.work
LEAST = limits(rows_of(CLIENTS, WORK))
LAST = int(np.argmax(LEAST.least_time))  # at full speed where the deadline is T_min
LATE = 2.0 * LEAST.t_flat


def answer(budget: Any) -> Schedule:
    found = fedopt.schedule(CLIENTS, WORK, budget)
    assert found.status.solved
    assert fedopt.verify_schedule(CLIENTS, WORK, budget, found).complete
    return found


def failed(budget: Any, wrong: Schedule) -> set[str]:
    return {check.name for check in fedopt.verify_schedule(CLIENTS, WORK, budget, wrong).failed}


def put(found: Schedule, name: str, change: Callable[[Any], Any], n: int = LAST) -> Schedule:
    """One number of one client changed."""
    assert found.allocation is not None
    values = getattr(found.allocation, name).copy()
    values[n] = change(values[n])
    return dataclasses.replace(found, allocation=dataclasses.replace(found.allocation, **{name: values}))


@pytest.mark.parametrize(
    ("check", "deadline", "name", "change"),
    [
        ("something moves", LEAST.t_min, "frequency", lambda f: 0.0),
        ("something moves", LEAST.t_min, "rate", lambda r: 0.0),
        ("frequency at most", LEAST.t_min, "frequency", lambda f: 1.00001 * f),
        ("frequency at least", LATE, "frequency", lambda f: 0.99999 * f),
        ("power at most", LEAST.t_min, "rate", lambda r: 1.00001 * r),
        ("power at least", LATE, "rate", lambda r: 0.99999 * r),
        ("in time", LEAST.t_min, "frequency", lambda f: 0.99999 * f),
        ("in time", LEAST.t_min, "rate", lambda r: 0.99999 * r),
        ("prices are not negative", LEAST.t_min, "price", lambda p: -1e-3 * p),
        ("who is early pays nothing", LATE, "price", lambda p: 1e-5),
        ("computing at its price", LEAST.t_min, "price", lambda p: 0.01 * p),
        ("sending at its price", LEAST.t_min, "price", lambda p: 0.1 * p),
        ("no lower price fits", LEAST.t_min, "price", lambda p: 1.001 * p),
        ("least energy in this time", LEAST.t_min, "price", lambda p: 0.1 * p),
    ],
)
def test_each_condition_of_a_decision_has_its_check(
    check: str, deadline: float, name: str, change: Callable[[float], float]
) -> None:
    """At T_min the last client is at full speed, in a round twice T_flat at its slowest; both as steep as can be."""
    budget = Deadline(deadline)
    assert check in failed(budget, put(answer(budget), name, change))


def test_a_price_above_the_least_that_fits_fails_that_check_alone() -> None:
    """At full speed any price from there on is stationary and proves the energy."""
    budget = Deadline(LEAST.t_min)
    assert failed(budget, put(answer(budget), "price", lambda p: 2.0 * p)) == {"no lower price fits"}


@pytest.mark.parametrize(("check", "name"), [("computing at its price", "frequency"), ("sending at its price", "rate")])
@pytest.mark.parametrize("off", [1e-4, 1e-6, -1e-6, 2e-8, -2e-8, 5e-9, -5e-9])
def test_conditions_are_off_by_as_much_as_the_speed_is(check: str, name: str, off: float) -> None:
    """Of who has a price and is between the bounds, with static and circuit power: more than 1e-8 is no best speed."""
    clients, budget = CLIENTS.replace(static_power=0.05, circuit_power=0.02), Deadline(1.5 * LEAST.t_min)
    found = fedopt.schedule(clients, WORK, budget)
    assert found.allocation is not None
    n = int(np.argmax(found.allocation.price))
    wrong = put(found, name, lambda v: v * (1.0 + off), n)
    report = fedopt.verify_schedule(clients, WORK, budget, wrong)
    (row,) = (each for each in report.checks if each.name == check)
    assert row.residual == pytest.approx(abs(off), rel=1e-3)
    assert row.outcome is (Outcome.FAILED if abs(off) > 1e-8 else Outcome.PASSED)


@pytest.mark.parametrize("more", [1e-3, 1e-6, 2e-9])
def test_more_energy_than_the_least_in_this_time_fails_by_that_much(more: float) -> None:
    budget = Deadline(1.5 * LEAST.t_min)
    found = answer(budget)
    wrong = dataclasses.replace(found, energy=found.energy * (1.0 + more))
    rows = {each.name: each for each in fedopt.verify_schedule(CLIENTS, WORK, budget, wrong).failed}
    assert rows["least energy in this time"].residual == pytest.approx(more, rel=2e-3)


@pytest.mark.parametrize("kind", [EnergyBudget, PowerBudget])
def test_a_budget_that_is_not_kept_fails_at_the_upper_end_too(kind: Any) -> None:
    """However late that is: an end that the decision's own energy does not show to be enough is none."""
    found = answer(EnergyBudget(2.0 * LEAST.e_inf))
    wrong = dataclasses.replace(found, bracket=(found.duration, 1.001 * found.duration))
    for share, names in ((0.99, {"budget", "upper end of the bracket"}), (1.01, set[str]())):
        budget = kind(share * found.energy / (1.0 if kind is EnergyBudget else found.duration))
        assert failed(budget, wrong) & {"budget", "upper end of the bracket"} == names


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("duration", 1.0), ("energy", 1.0), ("bracket", (0.0, math.nan)), ("bracket", (math.nan, 1.0))),
        *(("clients", (0,)), ("shortfall", 0.0), ("shortfall", 1.0)),
    ],
)
def test_who_stopped_without_a_decision_says_nothing(field: str, value: Any) -> None:
    nothing: dict[str, Any] = {
        "duration": math.nan, "energy": math.nan, "bracket": (math.nan, math.nan), "clients": (),
        "shortfall": math.nan, "allocation": None, "verdict": None, "sharing": None, "stats": {},
    }  # fmt: skip
    found = answer(Deadline(LATE))
    stopped = dataclasses.replace(found, status=Status.LIMIT, **nothing)
    assert fedopt.verify_schedule(CLIENTS, WORK, Deadline(LATE), stopped).ok
    assert failed(Deadline(LATE), dataclasses.replace(stopped, **{field: value})) == {"no number without a decision"}


def test_what_is_not_claimed_at_a_limit_is_not_held_against_it() -> None:
    """What is no best decision need not be one; a wrong number or bracket is wrong all the same."""
    budget = Deadline(LEAST.t_min)
    found = dataclasses.replace(answer(budget), status=Status.LIMIT)
    report = fedopt.verify_schedule(CLIENTS, WORK, budget, put(found, "price", lambda p: 2.0 * p))
    assert report.ok
    assert {c.name for c in report.checks if c.outcome is Outcome.UNPROVED} == {"no lower price fits"}
    assert failed(budget, put(found, "power", lambda p: 1.1 * p)) == {"power"}
    late = (1.1 * found.duration, 1.2 * found.duration)
    assert failed(budget, dataclasses.replace(found, bracket=late)) == {"bracket holds the duration"}
