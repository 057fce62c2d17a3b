"""Newton's parts by themselves: what limits decide, curvature, brackets, what a search may read and keeps."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from fleets import in_units, make, of_kinds
from test_share_stages import inside, run

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation import kernel, reference
from solvers.duration import newton
from solvers.duration.steps import A_G, A_PRICE, A_T, E_NOW, LAST, LOWER, PASSES, PRICE_NOW, STOP, T_NOW, UPPER
from solvers.plan import Plan, make_plan
from solvers.rows import ROUNDING, Goal, Point, Rows, Stop


@pytest.mark.parametrize("kind", ["both", "no upload", "no work"])
@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
def test_the_curvature_of_a_point_is_the_slope_of_its_price(family: str, kind: str) -> None:
    """d2E/dT2 worked out from an answer of the readable reference, against a difference of prices of its answers.

    In units of 10^12 cycles and bits, too.
    """
    h = 1e-5
    for seed, unit in ((0, 1.0), (1, 1e-12)):
        instance = in_units(of_kinds(family, seed, [kind]), unit)
        rows = rows_of(instance.clients, instance.work)
        for T in instance.duration * np.array([0.9, 1.3, 100.0]):
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
    asked: list[tuple[float, bool]] = []

    def recorded(*given: Any) -> None:
        passes.append((given[6] == kernel.EXACT, given[8].shape[1] > 0))
        asked.append((given[3], given[5]))
        assert given[6] in (kernel.EXACT, kernel.CLOSE)
        kernel.price_blocks(*given)

    monkeypatch.setattr(newton, "CHUNK", 0)
    monkeypatch.setattr(newton, "price_blocks", recorded)
    for family in ("typical", "powers"):
        instance = make(family, 4, 20)
        rows = rows_of(instance.clients, instance.work)
        energy = float(kernel.allocate(rows, instance.duration).energy.sum())
        passes.clear()
        asked.clear()
        found = newton.schedule(rows, Goal.ENERGY, energy, kernel.allocate)
        durations, warm = zip(*asked, strict=True)
        assert warm == (False, *[True] * (len(passes) - 1))  # each begins where the last one ended
        assert len({(T, exact) for T, (exact, _) in zip(durations, passes, strict=True)}) == len(passes)
        assert durations[-1] == found.duration
        assert found.duration == pytest.approx(instance.duration, rel=1e-12)
        assert all(exact == kept for exact, kept in passes)
        assert [exact for exact, _ in passes].index(True) >= 2
        assert sum(exact for exact, _ in passes) <= 2
        assert passes[-1] == (True, True)


def searched(plan: Plan, goal: Goal, value: float, odds: float, kept: bool = True) -> tuple[np.ndarray, ...]:
    """State, odds and what is kept of a search in memory that holds ``odds``."""
    state, room = np.array(newton._state(plan, goal, value)), np.full(plan.size, odds)
    out, sums = np.full((6, plan.size if kept else 0), odds), np.full((plan.blocks, 3), odds)
    newton.search(plan.kind, plan.columns, plan.priced, state, room, False, sums, out)
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


POINT = {name: np.ones(1) for name in ("frequency", "efficiency", "compute_time", "upload_time", "energy", "price")}


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_a_bracket_is_what_two_tangents_leave_open(goal: Goal, unit: float) -> None:
    """Half a joule too much at 3 s, where a second saved a watt; none at 4 s, of 10 J, but for rounding, 4e-14 J.

    In units of a million seconds, too.
    """
    point, hidden = Point(**POINT, feasible=np.ones(1, dtype=bool)), 4e-14
    watts = 2.5 if goal is Goal.POWER else 0.0
    for saved, early in itertools.product((0.0, 1e-12, 0.1), (3.0, -math.inf)):
        state = newton._state(plan_with(1.0 * unit, 6.0 * unit, 2.0), goal, watts / unit if watts else 10.0)
        state[STOP], state[T_NOW], state[E_NOW], state[PRICE_NOW] = float(Stop.OPTIMAL), 4.0 * unit, 10.0, saved / unit
        state[A_T], state[A_G], state[A_PRICE], state[PASSES] = early * unit, 0.5, 1.0 / unit, 7.0
        found = newton._timing(state, goal, point)
        slope = saved + watts
        low = max(1.0, 3.0 + (0.5 - hidden) / (1.0 + watts)) if early > 0.0 else 1.0
        low = max(low, 4.0 - hidden / slope) if slope > 0.0 else low
        beyond = 2.0 * hidden / slope if slope > 0.0 else math.inf
        high = 4.0 + beyond if beyond < 0.02 else (math.inf if watts else 6.0)
        assert found.lower == pytest.approx(low * unit, rel=1e-15)
        assert found.upper == pytest.approx(high * unit, rel=1e-15)
        assert found.lower < 4.0 * unit < found.upper
        assert (found.duration, found.passes, found.stop) == (4.0 * unit, 7, Stop.OPTIMAL)


def test_a_bracket_is_by_the_tangent_of_the_end_too_short_where_that_says_more() -> None:
    """2.5 J too much at 3 s, falling by 1 W and the budget's 2.5 W; 1 J to spare at 4 s, where E is flat."""
    point = Point(**POINT, feasible=np.ones(1, dtype=bool))
    state = newton._state(plan_with(1.0, 6.0, 2.0), Goal.POWER, 2.5)
    state[STOP], state[T_NOW], state[E_NOW], state[PRICE_NOW] = float(Stop.OPTIMAL), 4.0, 9.0, 0.0
    state[A_T], state[A_G], state[A_PRICE] = 3.0, 2.5, 1.0
    found = newton._timing(state, Goal.POWER, point)
    assert found.lower == pytest.approx(3.0 + 2.5 / 3.5, rel=1e-13)
    assert found.upper == 4.0


@pytest.mark.parametrize(("saved", "low"), [(0.1, 3.0), (1.6, 3.0), (1.8, 3.0 + 2.5 / 1.8), (2.6, 3.0 + 2.5 / 2.6)])
def test_a_bracket_is_by_no_tangent_that_the_energy_falls_below(saved: float, low: float) -> None:
    """2.5 J too much at 3 s, a tenth of one to spare at 4 s: two thirds of that a second is the least that may be."""
    point = Point(**POINT, feasible=np.ones(1, dtype=bool))
    state = newton._state(plan_with(1.0, 6.0, 2.0), Goal.ENERGY, 10.0)
    state[STOP], state[T_NOW], state[E_NOW], state[PRICE_NOW] = float(Stop.OPTIMAL), 4.0, 9.9, 0.0
    state[A_T], state[A_G], state[A_PRICE] = 3.0, 2.5, saved
    found = newton._timing(state, Goal.ENERGY, point)
    assert found.lower == pytest.approx(min(low, 4.0), rel=1e-13)
    assert found.upper == 4.0


@pytest.mark.parametrize("goal", [Goal.PRICE, Goal.DEADLINE])
def test_other_bounds_are_those_of_the_search_and_hold_its_answer(goal: Goal) -> None:
    point = Point(**POINT, feasible=np.ones(1, dtype=bool))
    for low, high in ((3.0, 5.0), (4.1, 5.0), (3.0, 3.9)):
        state = newton._state(plan_with(1.0, 6.0, 2.0), goal, 4.0)
        state[STOP], state[T_NOW], state[LOWER], state[UPPER] = float(Stop.OPTIMAL), 4.0, low, high
        found = newton._timing(state, goal, point)
        assert (found.lower, found.upper) == (min(low, 4.0), max(high, 4.0))


def test_from_a_duration_that_somebody_cannot_meet_nobody_is_moved_by_derivatives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However near the next one is."""
    instance = make("typical", 4, 3)
    plan = make_plan(rows_of(instance.clients, instance.work))
    early, later = plan.t_min * (1.0 - 1e-7), plan.t_min * (1.0 + 5e-7)
    seen = list[float]()

    def advance(state: Any, energy: float, price: float, curve: float) -> None:
        seen.append(energy)
        state[T_NOW], state[STOP] = later, 1.0 if len(seen) == 2 else 0.0

    monkeypatch.setitem(inside(newton.search), "advance", advance)
    state, out = np.array(newton._state(plan, Goal.ENERGY, 1.0)), np.empty((6, 3))
    state[T_NOW], state[LAST] = early, 1.0
    run(newton.search, plan.kind, plan.columns, plan.priced, state, np.empty(3), False, np.empty((1, 3)), out)
    there = kernel.allocate(rows_of(instance.clients, instance.work), later)
    assert seen == [math.inf, pytest.approx(float(there.energy.sum()), rel=1e-13)]
    assert out[3] == pytest.approx(there.price, rel=1e-12)
