"""Level 2 in single precision, and the last step by derivatives: what may only guess, and what must be exact."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from fleets import FAMILIES, Instance, make
from mpmath import mpf

import fedopt
from fedopt import EnergyBudget, PowerBudget, Status, TimePrice
from fedopt.rounds import rows_of
from solvers import firstcalls
from solvers.allocation import reference
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import BLOCK, FIXED, GAMMA, ORDINARY, P_C, T_HIGH, T_LOW, TAU_HIGH, TAU_LOW, A, Columns, K
from solvers.compile import kernel
from solvers.duration import newton, preview
from solvers.duration.steps import LAST, PASSES, STOP, T_NOW
from solvers.plan import Plan, frozen, make_plan
from solvers.rough import SingleArray
from solvers.rows import FloatArray, Goal
from solvers.shift import SHORT, shift_blocks
from solvers.singles import moved_block, room_for, single_pass

SIZE = 2 * BLOCK + 88  # three blocks, the last one short


@kernel
def _pass(columns: Columns, priced: bool, T: float, odds: SingleArray, drift: SingleArray, sums: FloatArray) -> None:
    room = room_for(columns, odds.shape[0])
    sums[0, 0], sums[0, 1], sums[0, 2] = single_pass(columns, priced, T, odds, drift, False, 0.0, room)
    sums[1, 0], sums[1, 1], sums[1, 2] = single_pass(columns, priced, T, odds, drift, True, 0.0, room)


@kernel
def _moved(odds: SingleArray, drift: SingleArray, since: float) -> None:
    moved_block(odds, drift, since)


@kernel
def _shift(columns: Columns, before: float, T: float, sums: FloatArray, out: FloatArray) -> int:
    met = np.empty(sums.shape[0], dtype=np.int64)
    shift_blocks(columns, before, T, sums, out, met)
    return int(met.sum())


def plan_for(instance: Instance) -> Plan:
    return make_plan(rows_of(instance.clients, instance.work))


def priced(plan: Plan, T: float) -> tuple[FloatArray, FloatArray]:
    """What an exact pass from nothing finds: out (6, N) and the sums of every block."""
    out, sums = np.empty((6, plan.size)), np.empty((plan.blocks, 3))
    odds = np.empty(plan.size)
    price_blocks(plan.kind, plan.columns, plan.priced, T, odds, False, EXACT, sums, out, 0, plan.blocks)
    return out, sums


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "one power"])
def test_a_pass_in_singles_sums_what_the_readable_reference_does(family: str) -> None:
    """Energy, price and curvature, from nothing and from the odds of the last pass; T_free of some rows is passed."""
    instance = make(family if family in FAMILIES else "typical", 4, SIZE)
    if family == "one power":  # less than a watt, the same for all
        instance = dataclasses.replace(instance, clients=instance.clients.replace(static_power=0.4, circuit_power=0.3))
    rows, plan = rows_of(instance.clients, instance.work), plan_for(instance)
    odds, drift = np.empty(SIZE, dtype=np.float32), np.empty(SIZE, dtype=np.float32)
    sums, static = np.empty((2, 3)), float(rows.static_power.sum())
    for T in plan.t_min * np.array([1.001, 1.1, 1.7, 4.0, 30.0]):
        point = reference.allocate(rows, T)
        true = float(point.energy.sum()), float(point.price.sum()), newton._curvature(rows, point)
        _pass(plan.columns, plan.priced, T, odds, drift, sums)
        for found in sums:
            assert found[0] == pytest.approx(true[0], rel=1e-6)
            assert found[1] == pytest.approx(true[1], rel=1e-5, abs=1e-6 * static)  # a price is what is left of that
            assert found[2] == pytest.approx(true[2], rel=1e-3)  # a row next to a bound may be on its other side


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
@pytest.mark.parametrize("step", [1e-3, -1e-3, 0.03])
def test_odds_move_with_the_duration(family: str, step: float) -> None:
    """To second order, also those of rows at a bound; one whose odds would change by half stays as it is."""
    instance = make(family, 4, SIZE)
    plan = plan_for(instance)
    before, after, drift = (np.empty(SIZE, dtype=np.float32) for _ in range(3))
    for T in plan.t_min * np.array([1.01, 1.7, 4.0]):
        _pass(plan.columns, plan.priced, T * (1.0 + step), after, drift, np.empty((2, 3)))
        _pass(plan.columns, plan.priced, T, before, drift, np.empty((2, 3)))
        stay = before.copy()
        _moved(before, drift, T * step)
        by, change = np.abs(drift * np.float32(T * step)), np.abs(np.log(after / stay))
        assert (before[by >= 0.5] == stay[by >= 0.5]).all()
        near = by < 0.1
        grown = np.exp(drift[near].astype(np.float64) * T * step)
        assert (np.abs(before[near] / stay[near] / grown - 1.0) <= by[near] ** 3 / 3.0 + 5e-7).all()
        off = np.abs(np.log(after / before))[near]
        assert near.sum() > 0.5 * SIZE
        assert np.quantile(off - 3.0 * by[near] ** 2, 0.995) <= 3e-6 + step**2  # of a few the drift is less well known
        assert off.max() <= 0.5 * by.max()
        assert change.max() > 0.2 * abs(step), "nothing moved"


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "wide"])
@pytest.mark.parametrize("size", [SIZE, 5000])
def test_the_answer_does_not_depend_on_the_preview(family: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make(family, 6, size)
    T = instance.duration
    energy = fedopt.allocate(instance.clients, instance.work, duration=T).energy.sum()
    budgets = [EnergyBudget(energy), PowerBudget(energy / T), EnergyBudget(math.inf)]
    used: list[bool] = []
    whole = preview.preview

    def noted(*arguments: Any) -> bool:
        used.append(whole(*arguments))
        return used[-1]

    monkeypatch.setattr(newton, "preview", noted)
    found = [fedopt.schedule(instance.clients, instance.work, budget) for budget in budgets]
    assert family == "wide" or all(used[:2]), "no preview was made"
    monkeypatch.setattr(preview, "_MANY", math.inf)
    for budget, here in zip(budgets, found, strict=True):
        other = fedopt.schedule(instance.clients, instance.work, budget)
        assert here.status is other.status
        assert here.status in (Status.OPTIMAL, Status.SLACK)
        assert here.allocation is not None
        assert other.allocation is not None
        condition = max(1.0, here.energy / (here.duration * here.allocation.price.sum()))
        assert here.duration == pytest.approx(other.duration, rel=4e-15 * condition)
        for name in ("compute_time", "upload_time", "energy", "price"):
            near, far = getattr(here.allocation, name), getattr(other.allocation, name)
            np.testing.assert_allclose(near, far, rtol=1e-11, atol=1e-12 * np.abs(far).max(), err_msg=name)
        assert here.stats["passes"] <= other.stats["passes"] + 3


def _jammed(instance: Instance) -> Instance:
    """One client has so much to send that x is beyond 24."""
    bits = instance.work.upload_bits.copy()
    bits[7] = 30.0 * 1.5 * instance.duration * instance.clients.bandwidth[7] / math.log(2.0)
    work = fedopt.Workload(cycles=instance.work.cycles, upload_bits=bits)
    return Instance(instance.clients.replace(power_max=math.inf), work, instance.duration)


def _one_rests(instance: Instance) -> Instance:
    cycles = instance.work.cycles.copy()
    cycles[3] = 0.0
    work = fedopt.Workload(cycles=cycles, upload_bits=instance.work.upload_bits)
    return Instance(instance.clients, work, instance.duration)


@pytest.mark.parametrize("odd", [_jammed, _one_rests])
def test_a_fleet_that_does_not_fit_singles_is_searched_in_doubles(odd: Callable[[Instance], Instance]) -> None:
    instance = odd(make("typical", 7, SIZE))
    plan = plan_for(instance)
    T = 1.5 * instance.duration
    energy = fedopt.allocate(instance.clients, instance.work, duration=T).energy.sum()
    state = newton._state(plan, Goal.ENERGY, float(energy))
    before = list(state)
    assert not preview.preview(plan, state, np.empty(SIZE))
    assert state == before
    found = fedopt.schedule(instance.clients, instance.work, EnergyBudget(energy))
    assert found.status is Status.OPTIMAL
    assert found.duration == pytest.approx(T, rel=1e-12)


def test_a_preview_is_right_to_what_singles_tell_and_says_how_often_it_looked() -> None:
    instance = make("typical", 8, SIZE)
    plan = plan_for(instance)
    energy = float(reference.allocate(rows_of(instance.clients, instance.work), instance.duration).energy.sum())
    state, odds = newton._state(plan, Goal.ENERGY, energy), np.empty(SIZE)
    assert preview.preview(plan, state, odds)
    assert state[T_NOW] == pytest.approx(instance.duration, rel=1e-6)
    assert 2 <= state[PASSES] <= 6
    assert (state[LAST], state[STOP]) == (1.0, 0.0)
    out, _ = priced(plan, state[T_NOW])
    inside = (out[0] > plan.columns[4]) & (out[0] < plan.columns[5])  # t off its bounds: odds say where it is
    np.testing.assert_allclose(odds[inside], (out[0] / out[1])[inside], rtol=1e-3)


def test_no_preview_of_few_rows_of_prices_or_next_to_the_least_energy() -> None:
    instance, few = make("typical", 9, SIZE), make("typical", 9, 100)
    plan = plan_for(instance)
    for known, goal, value in (
        (plan_for(few), Goal.ENERGY, 2.0 * plan_for(few).e_inf),
        (plan, Goal.PRICE, 1.0),
        (plan, Goal.ENERGY, plan.e_inf * (1.0 + 9e-5)),
    ):
        assert not preview.preview(known, newton._state(known, goal, value), np.empty(known.size))
    assert preview.of_use(float(Goal.ENERGY), plan.e_inf * 1.0002, SIZE, plan.e_inf)
    assert preview.preview(plan, newton._state(plan, Goal.ENERGY, 2.0 * plan.e_inf), np.empty(SIZE))
    assert fedopt.schedule(instance.clients, instance.work, TimePrice(1.0)).status is Status.OPTIMAL


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_plain_python_previews_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstcalls, "PATIENCE", 0)
    for family in ("typical", "powers"):
        plan = plan_for(make(family, 10, SIZE))
        found = []
        for function in (preview.search_roughly, firstcalls.plain(preview.search_roughly)):
            state, odds = np.array(newton._state(plan, Goal.POWER, 3.0)), np.empty(SIZE)
            assert firstcalls.call(function, plan.kind, plan.columns, plan.priced, state, odds)
            found.append(state.tobytes() + odds.tobytes())
        assert found[0] == found[1]


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "extreme"])
def test_a_short_step_by_derivatives_ends_where_a_pass_does(family: str) -> None:
    """Times, energies and prices to rounding: a step leaves an error of its cube; the derivatives to its size."""
    moved = 0
    for seed in range(6):
        plan = plan_for(make(family, seed, SIZE if seed == 0 else 3))
        if plan.kind.shape[0] > 1 or plan.kind[0] != ORDINARY:
            continue
        for T in plan.t_min * np.array([1.01, 1.4, 3.0, 20.0]):
            for step in (SHORT, -SHORT, 1e-8, -1e-8, 1e-10, -1e-13):
                (out, sums), (there, of_blocks) = priced(plan, T), priced(plan, T * (1.0 + step))
                if _shift(plan.columns, T, T * (1.0 + step), sums, out) > 0:
                    continue
                moved += 1
                np.testing.assert_allclose(out[:2], there[:2], rtol=2e-13)
                np.testing.assert_allclose(out[2], there[2], rtol=5e-15)
                np.testing.assert_allclose(out[3], there[3], rtol=2e-13, atol=1e-14 * there[3].max())
                np.testing.assert_allclose(out[4], there[4], rtol=1e-4, atol=1e-9)
                np.testing.assert_allclose(sums[:, :2], of_blocks[:, :2], rtol=1e-13)
                np.testing.assert_allclose(sums[:, 2], of_blocks[:, 2], rtol=2e-8)
    assert moved > 8


def test_rows_at_a_bound_do_not_stand_in_a_short_step_s_way() -> None:
    """One as a preview leaves it: a client at a bound of its speed has little time to send, which it changes most."""
    for seed in range(3):
        plan = plan_for(make("bounds", seed, SIZE))
        for T in plan.t_min * np.array([1.3, 1.7, 3.0]):
            out, sums = priced(plan, T)
            assert ((out[0] == plan.columns[T_LOW]) | (out[0] == plan.columns[T_HIGH])).any()  # some are
            assert _shift(plan.columns, T, T * (1.0 + 1e-8), sums, out) == 0


@pytest.mark.parametrize("x", [0.3, 2.0, 9.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_at_a_bound_of_the_speed_is_right_to_its_fourth_power(x: float, sign: float) -> None:
    """Only the upload moves then: its price, tau F(x)/gamma and their derivatives against 40 digits."""
    plan = plan_for(make("bounds", 3, 1))
    a, gamma, t, p_c = (float(plan.columns[j][0]) for j in (A, GAMMA, T_LOW, P_C))
    fixed, tau = float(plan.columns[FIXED][0]), a / x

    def price(tau: Any) -> Any:
        z = a / tau
        return (1 + (z - 1) * mpmath.exp(z)) / gamma - p_c

    lam, curve = float(price(mpf(tau))), float(x * x * math.exp(x) / (gamma * tau))
    step = sign * 1.8e-4 * lam / curve
    out, sums = np.array([[t], [tau], [0.0], [lam], [0.0], [curve]]), np.empty((1, 3))
    columns = list(plan.columns)
    columns[TAU_LOW], columns[TAU_HIGH] = frozen(np.array([0.5 * tau])), frozen(np.array([2.0 * tau]))
    columns[K] = frozen(np.zeros(1))  # no time that computing would take
    assert _shift(tuple(columns), fixed + t + tau, fixed + t + tau + step, sums, out) == 0
    moved = float(fixed + t + tau + step) - (fixed + t + tau)
    with mpmath.workdps(40):
        ends = mpf(tau), mpf(tau) + moved
        there, spent = float(price(ends[1])), mpmath.quad(price, ends)
    assert out[1, 0] == pytest.approx(tau + moved, rel=1e-15)
    assert out[3, 0] == pytest.approx(there, rel=3e-13)
    assert out[2, 0] == pytest.approx(float(-spent), rel=1e-10)


@pytest.mark.parametrize(("slope", "most"), [(0.0, 2e-4), (0.5, 3e-5)])
def test_a_step_that_changes_a_price_too_much_is_not_taken(slope: float, most: float) -> None:
    """Its error is of the fourth power of the change where sending alone moves, else of the cube: 1e-13 and less."""
    plan = plan_for(make("bounds", 3, 1))
    fixed, *bounds = (float(plan.columns[j][0]) for j in (FIXED, T_LOW, T_HIGH, TAU_LOW, TAU_HIGH))
    t, tau = math.sqrt(bounds[0] * bounds[1]), math.sqrt(bounds[2] * bounds[3])
    columns, T = list(plan.columns), fixed + t + tau
    columns[K] = frozen(np.zeros(1))  # no time that computing would take
    for change in (0.9 * most, -0.9 * most, 1.1 * most, -1.1 * most):
        step = math.copysign(1e-9 * min(t, tau), change)
        out = np.array([[t], [tau], [1.0], [1.0], [slope], [abs(change / step)]])
        assert _shift(tuple(columns), T, T + step, np.empty((1, 3)), out) == (abs(change) > most)


def test_a_step_that_meets_a_bound_is_not_taken() -> None:
    """A row with time to spare that would have none, and one whose times are both at a bound."""
    plan = plan_for(make("bounds", 3, 1))
    t_flat = plan.t_flat
    assert t_flat < math.inf
    for T, step, taken in (
        (t_flat * (1.0 + 1e-9), -2e-9, False),  # from spare time to none
        (t_flat * (1.0 + 1e-9), 2e-9, True),
        (t_flat * (1.0 + 1e-7), -1e-8, True),
        (plan.t_min, 1e-9, False),  # both times at their least: which one grows is not in the derivatives
    ):
        out, sums = priced(plan, T)
        assert (_shift(plan.columns, T, T * (1.0 + step), sums, out) == 0) is taken


@pytest.mark.parametrize("bound", [T_LOW, T_HIGH, TAU_LOW, TAU_HIGH])
def test_a_time_that_a_step_takes_beyond_its_bound_is_seen(bound: int) -> None:
    """One row, one time a billionth off its bound, the other well inside; half of a step is each time's."""
    plan = plan_for(make("bounds", 3, 1))
    fixed, *bounds = (float(plan.columns[j][0]) for j in (FIXED, T_LOW, T_HIGH, TAU_LOW, TAU_HIGH))
    inside = {True: math.sqrt(bounds[0] * bounds[1]), False: math.sqrt(bounds[2] * bounds[3])}
    at, computes, least = float(plan.columns[bound][0]), bound in (T_LOW, T_HIGH), bound in (T_LOW, TAU_LOW)
    inside[computes] = at * (1.0 + 1e-9 if least else 1.0 - 1e-9)
    T = fixed + inside[True] + inside[False]
    for step, met in ((4e-9 * at, 1), (-4e-9 * at, 1), (1e-12 * at, 0), (-1e-12 * at, 0)):
        beyond = (step < 0.0) == least
        out = np.array([[inside[True]], [inside[False]], [1.0], [1.0], [0.5], [0.0]])
        assert _shift(plan.columns, T, T + step, np.empty((1, 3)), out) == (met if beyond else 0)


@pytest.mark.parametrize("bound", [T_LOW, T_HIGH, TAU_LOW, TAU_HIGH])
@pytest.mark.parametrize(("off", "met"), [(0.1, 1), (1.5, 1), (4.5, 0)])
def test_a_bound_nearer_than_the_last_digit_of_the_duration_may_be_met(bound: int, off: float, met: int) -> None:
    """After a billion seconds, in ulps of them: exactly at that duration a time may be beyond its bound."""
    plan = plan_for(make("bounds", 3, 1))
    fixed, columns = 1e9, list(plan.columns)
    columns[FIXED] = frozen(np.array([fixed]))
    bounds = [float(plan.columns[j][0]) for j in (T_LOW, T_HIGH, TAU_LOW, TAU_HIGH)]
    inside = {True: math.sqrt(bounds[0] * bounds[1]), False: math.sqrt(bounds[2] * bounds[3])}
    computes, side = bound in (T_LOW, T_HIGH), 1.0 if bound in (T_LOW, TAU_LOW) else -1.0
    ulp, T = float(np.spacing(fixed)), fixed + sum(inside.values())
    inside[computes] = float(plan.columns[bound][0]) + side * (off + 2.0) * ulp
    out = np.array([[inside[True]], [inside[False]], [1.0], [1.0], [0.5], [0.0]])
    assert _shift(tuple(columns), T, T - side * 4.0 * ulp, np.empty((1, 3)), out) == met  # half of it is each time's


def test_the_last_step_of_a_search_is_by_derivatives() -> None:
    """Of what is kept the curvature tells: it is moved by its own derivative, to the square of the step."""
    plan = plan_for(make("typical", 4, SIZE))
    value = float(priced(plan, 1.7 * plan.t_min)[1][:, 0].sum())
    state, odds = newton._state(plan, Goal.ENERGY, value), np.empty(SIZE)
    assert preview.preview(plan, state, odds)
    state[T_NOW] *= 1.0 + 8e-7
    out = np.empty((6, SIZE))
    ended = newton._with_kernel(plan, state, out, odds, True)
    there, _ = priced(plan, ended[T_NOW])
    np.testing.assert_allclose(out[:4], there[:4], rtol=2e-13)
    np.testing.assert_allclose(out[5], there[5], rtol=1e-6)
    assert np.abs(out[5] / there[5] - 1.0).max() > 1e-12
