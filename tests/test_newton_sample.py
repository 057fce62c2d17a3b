"""The first guess of a large fleet: a sample of its rows, what share of the goal is theirs, who has one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make, plain_budgets
from numpy.typing import NDArray

import fedopt
from fedopt import EnergyBudget, PowerBudget, TimePrice
from fedopt.rounds import rows_of
from solvers.allocation import kernel, reference
from solvers.blocks import BLOCK, FIXED, GAMMA, T_FREE, T_LOW, TAU_LOW, A, Columns, K
from solvers.compile import kernel as compiled
from solvers.duration import newton
from solvers.duration.preview import _search_sample
from solvers.duration.sampling import sample_of, share_of, weigh
from solvers.duration.steps import T_NOW
from solvers.plan import Plan, make_plan
from solvers.rows import FloatArray, Goal, Stop

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
def test_the_share_of_a_sample_is_by_what_its_rows_spend(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a budget leaves above E_inf, or of another goal, by weigh(); by their number where all are alike."""
    monkeypatch.setattr(newton, "_SAMPLE_LEAST", 16)
    instance = make("typical", 6, 320)
    clients, cycles = instance.clients, instance.work.cycles * np.where(np.arange(320) % 16, 1.0, 0.5)
    work = fedopt.Workload(cycles=1e9 if alike else cycles, upload_bits=instance.work.upload_bits, download_bits=0.0)
    if alike:
        clients = clients.take(np.zeros(320, dtype=int)).replace(capacitance=1e-28)
        work = fedopt.Workload(cycles=1e9, upload_bits=float(work.upload_bits[0]), download_bits=0.0)
    rows = rows_of(clients, work.sized(320))
    some = rows.take(np.arange(0, 320, 16))
    T, plan, sample = 1.5 * make_plan(rows).t_min, make_plan(rows), make_plan(some)
    found = kernel.allocate(rows, T)
    energy, price = float(found.energy.sum()), float(found.price.sum())

    def alone(goal: Goal, value: float, share: float) -> float:
        part = sample.e_inf + (value - plan.e_inf) * share if goal is Goal.ENERGY else value * share
        return newton.schedule(some, goal, part, kernel.allocate).duration

    for goal, value in ((Goal.ENERGY, energy), (Goal.POWER, energy / T), (Goal.PRICE, price)):
        first = max(alone(goal, value, 1.0 / 16.0), plan.t_min)
        of_some, of_all = newton._weight(sample, first), newton._weight(plan, first)
        whole = (of_some + sample.e_inf) / (of_all + plan.e_inf)
        share = whole if goal is Goal.POWER else of_some / of_all
        assert share == pytest.approx(1.0 / 16.0, rel=1e-9) if alike else share < 0.05
        state = newton._state(plan, goal, value)
        newton._guess_from_sample(plan, state)
        assert state[T_NOW] == pytest.approx(alone(goal, value, share), rel=4e-3)


@pytest.mark.parametrize("family", ["typical", "powers", "mixed", "bounds"])
def test_weights_are_what_the_formula_says(family: str) -> None:
    """Of all blocks, and of some; a row without work or upload has nothing there."""
    instance = make(family, 8, 5 * BLOCK + 7)
    rows = rows_of(instance.clients, instance.work)
    plan = make_plan(rows)
    c = [np.broadcast_to(column, (plan.size,)) for column in plan.columns]
    for T in plan.t_min * np.array([1.001, 1.7, 20.0]):
        left = T - c[FIXED]
        t = np.clip(left - 1.2 * c[TAU_LOW], c[T_LOW], c[T_FREE])
        with np.errstate(all="ignore"):
            spent = np.where(c[K] > 0.0, c[K] / t**2 - c[K] / c[T_FREE] ** 2, 0.0)
            sent = c[A] ** 2 / (2.0 * c[GAMMA] * np.maximum(left - t, c[TAU_LOW]))
            spent = spent + np.where(c[A] > 0.0, sent, 0.0)
        for first, last in ((0, plan.blocks), (1, 3), (5, 6)):
            found, slope = weigh(plan.columns, T, plan.size, first, last)
            assert found == pytest.approx(spent[first * BLOCK : last * BLOCK].sum(), rel=1e-12)
            after, before = (weigh(plan.columns, T * (1.0 + by), plan.size, first, last)[0] for by in (1e-6, -1e-6))
            assert slope == pytest.approx((after - before) / (2e-6 * T), rel=1e-4, abs=1e-9 * found / T)


@compiled
def _some(columns: Columns, stride: int, rows: int) -> Columns:
    return sample_of(columns, stride, rows)


def test_a_sample_is_every_so_manieth_row() -> None:
    instance = make("typical", 8, 100)
    plan = make_plan(rows_of(instance.clients, instance.work))
    for whole, some in zip(plan.columns, _some(plan.columns, 7, 15), strict=True):
        assert some.tolist() == (whole[::7] if whole.shape[0] > 1 else whole).tolist()


@compiled
def _searched(kind: NDArray[np.uint8], columns: Columns, priced: bool, state: FloatArray, size: int) -> None:
    _search_sample(kind, columns, priced, state, size)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("size", [10_000, 100_000])
def test_a_sample_knows_the_duration_of_many(size: int, goal: Goal) -> None:
    """To some 1e-3, where the number of its rows would leave some 1e-2: three shares show where they lead."""
    instance = make("typical", 3, size)
    plan = make_plan(rows_of(instance.clients, instance.work))
    T = 1.7 * plan.t_min
    energy = float(fedopt.allocate(instance.clients, instance.work, duration=T).energy.sum())
    state = newton._state(plan, goal, energy if goal is Goal.ENERGY else energy / T)
    if size > 10_000:
        newton._guess_from_sample(plan, state)
    else:
        numbers = np.array(state)
        _searched(plan.kind, plan.columns, plan.priced, numbers, size)
        state = numbers.tolist()
    assert state[T_NOW] == pytest.approx(T, rel=4e-3 if size > 10_000 else 1e-3)


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


def test_rows_with_nothing_to_spend_make_no_guess() -> None:
    """Nobody sends, and everybody computes as slowly as can be: next to E_inf a sample ends there."""
    assert math.isnan(share_of(float(Goal.ENERGY), 0.0, 1.0, 0.0, 2.0))
    assert share_of(float(Goal.POWER), 0.0, 1.0, 0.0, 2.0) == 0.5
    size = 5000
    rng = np.random.default_rng(3)
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1.0, channel_gain=1e-10, bandwidth=1e6,
        capacitance=rng.uniform(1e-28, 2e-28, size),
    )  # fmt: skip
    work = fedopt.Workload(cycles=rng.uniform(1e8, 1e9, size), upload_bits=0.0)
    least = make_plan(rows_of(clients, work)).e_inf
    for budget in (EnergyBudget(least * (1.0 + 1e-12)), EnergyBudget(least * 1.001), PowerBudget(least / 9.9)):
        found = fedopt.schedule(clients, work, budget)
        assert found.status is fedopt.Status.OPTIMAL
        assert found.duration <= 10.0 * (1.0 + 1e-9)
