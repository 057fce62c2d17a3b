"""The first guess of a large fleet: a sample of its rows, what share of the goal is theirs, who has one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make, plain_budgets

import fedopt
from fedopt import EnergyBudget, PowerBudget, TimePrice
from fedopt.rounds import rows_of
from solvers.allocation import kernel, reference
from solvers.duration import newton
from solvers.duration.steps import T_NOW
from solvers.limits import limits
from solvers.plan import Plan, make_plan
from solvers.rows import Goal, Stop

GOALS = {EnergyBudget: Goal.ENERGY, PowerBudget: Goal.POWER, TimePrice: Goal.PRICE}


@pytest.mark.parametrize("family", ["typical", "powers", "mixed"])
def test_a_sample_that_has_one_of_every_client_guesses_the_duration(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client 16 times in a row, and every 16th row in the sample: its answer is that of all, to a rough step."""
    for name, value in {"_SAMPLE_LEAST": 16, "_SAMPLE_MOST": 64}.items():
        monkeypatch.setattr(f"solvers.duration.newton.{name}", value)
    one = make(family, 9, 20)
    many = np.repeat(np.arange(20), 16)
    for budget in plain_budgets(one):
        alone = fedopt.schedule(one.clients, one.work, budget)
        value = budget.joules if isinstance(budget, EnergyBudget) else budget.watts
        goal = GOALS[type(budget)]
        plan = make_plan(rows_of(one.clients, one.work).take(many))
        state = newton._state(plan, goal, 16.0 * value)
        newton._guess_from_sample(plan, state)
        assert state[T_NOW] == pytest.approx(alone.duration, rel=1e-3)


def test_only_large_fleets_that_are_searched_have_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(newton, "LARGE", 20)
    monkeypatch.setattr(newton, "_guess_from_sample", lambda plan, state: asked.append(plan.size))
    for size in (19, 20, 21):
        instance = make("typical", 4, size)
        rows = rows_of(instance.clients, instance.work)
        newton.schedule(rows, Goal.DEADLINE, instance.duration, kernel.allocate)
        newton.schedule(rows, Goal.PRICE, 1.0, kernel.allocate)
        newton.schedule(rows, Goal.PRICE, 1.0, reference.allocate)
        none = newton.schedule(rows, Goal.ENERGY, 0.0, kernel.allocate)
        assert (none.stop, none.passes, none.point) == (Stop.TOO_LITTLE, 0, None)
    assert asked == [20, 21]


@pytest.mark.parametrize(("size", "taken"), [(320, 20), (100, 16), (3200, 64), (331, 21)])
def test_a_sample_is_one_row_in_sixteen_within_bounds(size: int, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 16 to 64 rows are wanted: every 16th, 6th, 50th, 16th. The plan of it is of as many rows."""
    monkeypatch.setattr(newton, "_SAMPLE_LEAST", 16)
    monkeypatch.setattr(newton, "_SAMPLE_MOST", 64)
    sizes = []

    def plan_of(kind: Any, columns: Any, priced: bool, size: int) -> Plan:
        sizes.append(size)
        assert {column.shape[0] for column in columns} == {1, size}
        return newton_plan_of(kind, columns, priced, size)

    newton_plan_of = newton.plan_of
    monkeypatch.setattr(newton, "plan_of", plan_of)
    instance = make("typical", 5, size)
    plan = make_plan(rows_of(instance.clients, instance.work))
    state = newton._state(plan, Goal.ENERGY, 2.0 * plan.e_inf)
    newton._guess_from_sample(plan, state)
    assert sizes == [taken + (size == 100)]


@pytest.mark.parametrize("alike", [False, True])
def test_the_share_of_a_sample_is_by_what_more_time_saves_on(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a budget leaves above E_inf, or of another goal: by kappa W^3; by their number where all are alike."""
    monkeypatch.setattr(newton, "_SAMPLE_LEAST", 16)
    instance = make("typical", 6, 320)
    clients, cycles = instance.clients, instance.work.cycles * np.where(np.arange(320) % 16, 1.0, 0.5)
    work = fedopt.Workload(cycles=1e9 if alike else cycles, upload_bits=instance.work.upload_bits, download_bits=0.0)
    if alike:
        clients = clients.replace(capacitance=1e-28)
    rows = rows_of(clients, work)
    some = rows.take(np.arange(0, 320, 16))
    saves = (rows.capacitance * rows.work**3) * np.ones(320)
    share = float(saves[::16].sum() / saves.sum())
    assert share == pytest.approx(1.0 / 16.0, rel=1e-9) if alike else share < 0.03
    T = 1.5 * instance.duration
    found, plan = kernel.allocate(rows, T), make_plan(rows)
    energy, price = float(found.energy.sum()), float(found.price.sum())
    own = limits(some).e_inf + (energy - plan.e_inf) * share
    for goal, value, of_some in (
        (Goal.ENERGY, energy, own), (Goal.POWER, energy / T, energy / T * share), (Goal.PRICE, price, price * share),
    ):  # fmt: skip
        state = newton._state(plan, goal, value)
        newton._guess_from_sample(plan, state)
        alone = newton.schedule(some, goal, of_some, kernel.allocate).duration
        assert state[T_NOW] == pytest.approx(alone, rel=4e-3)


@pytest.mark.parametrize("value", [math.inf, 0.0])
def test_a_sample_that_decides_nothing_leaves_the_first_look(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "_SAMPLE_LEAST", 16)
    instance = make("typical", 5, 40)
    plan = make_plan(rows_of(instance.clients, instance.work))
    for goal in (Goal.POWER, Goal.ENERGY):
        state = newton._state(plan, goal, value)
        first = state[T_NOW]
        newton._guess_from_sample(plan, state)
        assert state[T_NOW] == first
