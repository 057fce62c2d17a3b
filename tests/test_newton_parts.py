"""Newton's parts by themselves: what limits decide, the sample's guess, curvature, brackets, what a search may read."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, of_kinds, plain_budgets

import fedopt
from fedopt import EnergyBudget, PowerBudget, TimePrice
from fedopt.rounds import rows_of
from solvers.allocation import kernel, reference
from solvers.duration import newton
from solvers.duration.steps import A_G, A_PRICE, A_T, E_NOW, PASSES, PRICE_NOW, STOP, T_NOW, VALUE
from solvers.limits import limits
from solvers.plan import Plan, make_plan
from solvers.rows import ROUNDING, Goal, Point, Rows, Stop

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


@pytest.mark.parametrize("kind", ["both", "no upload", "no work"])
@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
def test_the_curvature_of_a_point_is_the_slope_of_its_price(family: str, kind: str) -> None:
    """d2E/dT2 worked out from an answer of the readable reference, against a difference of prices of its answers.

    In units of 10^12 cycles and bits, too.
    """
    h = 1e-5
    for seed, unit in ((0, 1.0), (1, 1e-12)):
        instance = of_kinds(family, seed, [kind])
        c, work = instance.clients, instance.work
        clients = c.replace(
            frequency_min=c.frequency_min * unit, frequency_max=c.frequency_max * unit,
            capacitance=c.capacitance / unit**3, bandwidth=c.bandwidth * unit, channel_gain=c.channel_gain * unit,
        )  # fmt: skip
        rows = rows_of(
            clients,
            fedopt.Workload(cycles=work.cycles * unit, upload_bits=work.upload_bits * unit, download_bits=0.0),
        )
        for T in instance.duration * np.array([0.9, 1.3]):
            early, here, late = (reference.allocate(rows, T * (1.0 + s * h)) for s in (-1, 0, 1))
            if not early.feasible.all():
                continue
            slope = (early.price.sum() - late.price.sum()) / (2.0 * h * T)
            assert newton._curvature(rows, here) == pytest.approx(slope, rel=1e-5, abs=1e-9 * here.price.sum() / T)


def plan_with(t_min: float, t_flat: float, e_inf: float) -> Plan:
    """Some plan with these limits."""
    instance = make("typical", 0, 2)
    plan = make_plan(rows_of(instance.clients, instance.work))
    return dataclasses.replace(plan, t_min=t_min, t_flat=t_flat, e_inf=e_inf)


KNOWN = [  # T_min, T_flat, E_inf, goal, value: what they decide
    (math.inf, math.inf, math.inf, Goal.DEADLINE, 9.0, Stop.UNREACHABLE),
    (math.inf, math.inf, math.inf, Goal.ENERGY, math.inf, Stop.UNREACHABLE),
    (2.0, 5.0, 1.0, Goal.DEADLINE, 2.0, Stop.OPTIMAL),
    (2.0, 5.0, 1.0, Goal.DEADLINE, 2.0 * ROUNDING, Stop.OPTIMAL),
    (2.0, 5.0, 1.0, Goal.DEADLINE, math.nextafter(2.0 * ROUNDING, 0.0), Stop.TOO_SHORT),
    (2.0, 5.0, 1.0, Goal.ENERGY, 1.0, Stop.OPTIMAL),
    (2.0, 5.0, 1.0, Goal.ENERGY, 1.0 - 1e-15, Stop.TOO_LITTLE),
    (2.0, 5.0, 1.0, Goal.ENERGY, 1.0 + 1e-15, None),
    (2.0, math.inf, 1.0, Goal.ENERGY, 1.0, Stop.TOO_LITTLE),
    (2.0, 2.0, 1.0, Goal.ENERGY, 1.0, Stop.SLACK),
    (2.0, 2.0, 1.0, Goal.ENERGY, 0.5, Stop.TOO_LITTLE),
    (2.0, 2.0, 1.0, Goal.POWER, 0.0, Stop.TOO_LITTLE),
    (2.0, 2.0, 0.0, Goal.POWER, 0.0, Stop.SLACK),
    (2.0, 5.0, 0.0, Goal.POWER, 0.0, Stop.TOO_LITTLE),
    (2.0, 5.0, 1.0, Goal.POWER, 1e-9, None),
    (2.0, 5.0, 1.0, Goal.PRICE, 0.0, None),
    (0.0, 0.0, 0.0, Goal.PRICE, 1.0, Stop.OPTIMAL),
    (0.0, 0.0, 0.0, Goal.ENERGY, 1.0, Stop.SLACK),
    (0.0, 0.0, 0.0, Goal.POWER, 1.0, Stop.SLACK),
    (0.0, 5.0, 1.0, Goal.ENERGY, 2.0, None),
]


@pytest.mark.parametrize(("t_min", "t_flat", "e_inf", "goal", "value", "stop"), KNOWN)
def test_what_the_limits_alone_decide(
    t_min: float, t_flat: float, e_inf: float, goal: Goal, value: float, stop: Stop | None
) -> None:
    assert newton._closed_form(plan_with(t_min, t_flat, e_inf), goal, value) == stop


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
def test_the_method_that_is_asked_for_prices_every_pass(goal: Goal) -> None:
    """At a deadline once; in a search as often as it says, the last time at the answer, which is the kernel's."""
    instance = make("powers", 2, 4)
    rows = rows_of(instance.clients, instance.work)
    there = reference.allocate(rows, instance.duration)
    energy, price = float(there.energy.sum()), float(there.price.sum())
    values = {Goal.ENERGY: energy, Goal.POWER: energy / instance.duration, Goal.PRICE: price}
    asked: list[float] = []

    def allocate(rows: Rows, duration: float) -> Point:
        asked.append(duration)
        return reference.allocate(rows, duration)

    found = newton.schedule(rows, goal, values.get(goal, instance.duration), allocate)
    assert found.duration == pytest.approx(instance.duration, rel=1e-12)
    assert found.stop is Stop.OPTIMAL
    assert asked[-1] == found.duration
    assert len(asked) in ((1,) if goal is Goal.DEADLINE else (found.passes, found.passes + 1))
    assert len(set(asked)) == len(asked) <= 15


def test_the_kernel_is_not_asked_but_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passes keep their odds from one to the next."""

    def refuse(rows: Rows, duration: float) -> Point:
        raise AssertionError

    monkeypatch.setattr(kernel, "allocate", refuse)
    instance = make("typical", 2, 4)
    rows = rows_of(instance.clients, instance.work)
    found = newton.schedule(rows, Goal.DEADLINE, instance.duration, refuse)
    assert found.point is not None
    np.testing.assert_allclose(found.point.energy, reference.allocate(rows, instance.duration).energy, rtol=1e-12)


def test_only_the_last_pass_is_exact_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks too: roughly until a step is small enough, then once or twice to the last digit."""
    passes: list[tuple[bool, bool]] = []

    def recorded(*given: Any) -> None:
        passes.append((given[6] == kernel.EXACT, given[8].shape[1] > 0))
        assert given[6] in (kernel.EXACT, kernel.CLOSE)
        kernel.price_blocks(*given)

    monkeypatch.setattr(newton, "CHUNK", 0)
    monkeypatch.setattr(newton, "price_blocks", recorded)
    for family in ("typical", "powers"):
        instance = make(family, 4, 20)
        rows = rows_of(instance.clients, instance.work)
        energy = float(kernel.allocate(rows, instance.duration).energy.sum())
        passes.clear()
        found = newton.schedule(rows, Goal.ENERGY, energy, kernel.allocate)
        assert found.duration == pytest.approx(instance.duration, rel=1e-12)
        assert all(exact == kept for exact, kept in passes)
        assert [exact for exact, _ in passes].index(True) >= 2
        assert sum(exact for exact, _ in passes) <= 2
        assert passes[-1] == (True, True)


def searched(plan: Plan, goal: Goal, value: float, odds: float, kept: bool = True) -> tuple[np.ndarray, ...]:
    """State, odds and what is kept of a search in memory that holds ``odds``."""
    state, room = np.array(newton._state(plan, goal, value)), np.full(plan.size, odds)
    out, sums = np.full((4, plan.size if kept else 0), odds), np.full((plan.blocks, 3), odds)
    newton.search(plan.kind, plan.columns, plan.priced, state, room, sums, out)
    return state, room, sums, out


@pytest.mark.parametrize("family", ["typical", "mixed"])
def test_a_search_reads_nothing_it_did_not_write(family: str) -> None:
    instance = make(family, 4, 40)
    plan = make_plan(rows_of(instance.clients, instance.work))
    energy = float(fedopt.allocate(instance.clients, instance.work, duration=instance.duration).energy.sum())
    first, second = (searched(plan, Goal.ENERGY, energy, odds) for odds in (0.01, 1e9))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_search_of_which_nothing_is_kept_ends_with_a_step_of_two_percent() -> None:
    """As a guess: its own next step is the answer to the square of that, or so."""
    instance = make("typical", 4, 40)
    plan = make_plan(rows_of(instance.clients, instance.work))
    energy = float(fedopt.allocate(instance.clients, instance.work, duration=instance.duration).energy.sum())
    whole, rough = (searched(plan, Goal.ENERGY, energy, 1.0, kept)[0] for kept in (True, False))
    assert (whole[STOP], rough[STOP]) == (Stop.OPTIMAL, 0.0)
    assert rough[PASSES] < whole[PASSES]
    assert rough[T_NOW] == pytest.approx(whole[T_NOW], rel=2e-3)


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


@pytest.mark.parametrize("watts", [0.0, 0.25])
def test_a_bracket_is_what_two_tangents_leave_open(watts: float) -> None:
    """Half a joule too much at 3 s, where a second saved a watt; none at 4 s, of 10 J, but for rounding, 4e-14 J."""
    goal = Goal.POWER if watts else Goal.ENERGY
    one = np.ones(1)
    point = Point(
        frequency=one,
        efficiency=one,
        compute_time=one,
        upload_time=one,
        energy=10.0 * one,
        price=one,
        feasible=one > 0.0,
    )
    hidden = 4e-14
    for saved, early in ((0.0, 3.0), (1e-12, 3.0), (0.1, 3.0), (0.1, -math.inf), (0.0, -math.inf)):
        state = newton._state(plan_with(1.0, 6.0, 2.0), goal, watts if watts else 10.0)
        state[VALUE] = 2.5 if watts else 10.0
        state[STOP], state[T_NOW], state[E_NOW], state[PRICE_NOW] = float(Stop.OPTIMAL), 4.0, 10.0, saved
        state[A_T], state[A_G], state[A_PRICE] = early, 0.5, 1.0
        found = newton._timing(state, goal, point)
        slope = saved + (2.5 if watts else 0.0)
        low = max(1.0, 3.0 + 0.5 / (3.5 if watts else 1.0)) if early > 0.0 else 1.0
        low = max(low, 4.0 - hidden / slope) if slope > 0.0 else low
        beyond = 2.0 * hidden / slope if slope > 0.0 else math.inf
        high = 4.0 + beyond if beyond < 0.02 else (math.inf if watts else 6.0)
        assert found.lower == pytest.approx(low, rel=1e-14)
        assert found.upper == pytest.approx(high, rel=1e-15)
        assert found.lower < 4.0 < found.upper
