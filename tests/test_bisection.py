"""The bisection of level 2 by itself: when it ends, what it gives up at, and the bracket it leaves."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, plain_budgets
from mpmath import mpf
from oracle import Fleet

import fedopt
from fedopt import EnergyBudget
from fedopt.rounds import rows_of
from solvers.allocation import kernel, reference
from solvers.duration import bisection
from solvers.duration.bisection import _Step
from solvers.duration.verdicts import honest
from solvers.limits import limits
from solvers.rows import Goal, Limits, Point, Rows, Stop, Timing

EPS = 2.0**-52


def step(duration: float, excess: float, allowed: float, point: Any = None) -> _Step:
    return _Step(duration=duration, point=point, excess=excess, allowed=allowed)


@pytest.mark.parametrize("allowed", [1e-9, 1.0, 1e9])
def test_close_is_relative_to_what_is_allowed(allowed: float) -> None:
    for share, close in ((0.0, True), (9e-13, True), (-9e-13, True), (2e-12, False), (-2e-12, False)):
        assert step(1.0, share * allowed, allowed).close is close
        assert step(1.0, share * allowed, allowed).holds is (share <= 0.0)


@pytest.mark.parametrize("family", ["typical", "wide", "powers"])
def test_a_flat_energy_is_no_reason_to_end_early(family: str) -> None:
    """Next to E_inf the energy is met to 1e-12 long before the duration is; the search goes on until both are."""
    flattest = mpf(0)
    for seed in range(3):
        instance = make(family, seed, 2)
        fleet = Fleet(instance.clients, instance.work)
        budget = EnergyBudget(float(fleet.e_inf * (1 + mpf("1e-4"))))
        best = fleet.schedule(budget)
        energy, price = fleet.at(best.duration)
        condition = 1 + energy / (price * best.duration) if price > 0 else mpf(1)
        found = fedopt.schedule(instance.clients, instance.work, budget, timing="bisection")
        assert abs(found.duration / best.duration - 1) <= 1e-12 + 16 * mpf(EPS) * condition
        flattest = max(flattest, condition)
    assert flattest > 200


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_a_method_that_gives_up_ends_the_search(goal: Goal) -> None:
    """NaN is compared with nothing."""
    rows = rows_of(make("typical", 1, 3).clients, make("typical", 1, 3).work)
    asked: list[float] = []

    def failing(rows: Rows, duration: float) -> Point:
        asked.append(duration)
        found = reference.allocate(rows, duration)
        if len(asked) < 4:
            return found
        return dataclasses.replace(found, energy=found.energy * math.nan, price=found.price * math.nan)

    found = bisection.schedule(rows, goal, 1.01 * limits(rows).e_inf if goal is Goal.ENERGY else 1e-9, failing)
    assert found.stop is Stop.LIMIT
    assert math.isnan(found.duration)
    assert found.passes == len(asked) == 4


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_a_method_to_which_the_least_duration_is_too_short_is_asked_for_longer_ones(goal: Goal) -> None:
    """T_min is rounded: a row that is not done by then, of endless energy and no price, is no reason to give up."""
    instance = make("typical", 1, 3)
    rows = rows_of(instance.clients, instance.work)
    least, there = limits(rows), reference.allocate(rows, instance.duration)
    energy, price = float(there.energy.sum()), float(there.price.sum())

    def strict(rows: Rows, duration: float) -> Point:
        late, found = least.least_time >= duration, kernel.allocate(rows, duration)
        return dataclasses.replace(
            found,
            feasible=found.feasible & ~late,
            energy=np.where(late, np.inf, found.energy),
            price=np.where(late, np.nan, found.price),
        )

    assert not strict(rows, least.t_min).feasible.all()
    value = {Goal.ENERGY: energy, Goal.POWER: energy / instance.duration, Goal.PRICE: price}[goal]
    found = bisection.schedule(rows, goal, value, strict)
    assert found.stop is Stop.OPTIMAL
    assert found.duration == pytest.approx(instance.duration, rel=1e-11)


def test_a_deadline_that_is_not_met_is_given_up_at() -> None:
    instance = make("typical", 1, 3)
    rows = rows_of(instance.clients, instance.work)

    def late(rows: Rows, duration: float) -> Point:
        return dataclasses.replace(reference.allocate(rows, duration), feasible=np.array([True, False, True]))

    found = bisection.schedule(rows, Goal.DEADLINE, instance.duration, late)
    assert (found.stop, found.passes) == (Stop.LIMIT, 1)
    met = bisection.schedule(rows, Goal.DEADLINE, instance.duration, reference.allocate)
    assert (met.stop, met.passes, met.lower, met.upper) == (Stop.OPTIMAL, 1, instance.duration, instance.duration)


@pytest.mark.parametrize("family", ["typical", "bounds", "mixed"])
def test_it_ends_with_an_end_that_holds_and_one_that_does_not(family: str) -> None:
    """Both within 1e-12 of each other: the answer is the end that holds, by the prices of the passes themselves."""
    instance = make(family, 3, 4)
    rows = rows_of(instance.clients, instance.work)
    for budget in plain_budgets(instance):
        goal = {"joules": Goal.ENERGY, "watts": Goal.POWER}["joules" if isinstance(budget, EnergyBudget) else "watts"]
        goal = Goal.PRICE if isinstance(budget, fedopt.TimePrice) else goal
        value = budget.joules if isinstance(budget, EnergyBudget) else budget.watts
        seen: dict[float, bool] = {}

        def allocate(rows: Rows, duration: float) -> Point:
            point = kernel.allocate(rows, duration)
            spent = point.price.sum() if goal is Goal.PRICE else point.energy.sum()  # noqa: B023
            seen[duration] = bool(spent <= (value * duration if goal is Goal.POWER else value))  # noqa: B023
            return point

        found = bisection.schedule(rows, goal, value, allocate)
        assert found.stop is Stop.OPTIMAL
        assert seen[found.duration]
        assert found.passes == len(seen)
        short = max(T for T, holds in seen.items() if not holds)
        assert found.duration == min(T for T, holds in seen.items() if holds)
        assert found.duration * (1.0 - 1e-12) <= short < found.duration
        assert len(seen) <= 60
        if goal is Goal.PRICE:
            assert (found.lower, found.upper) == (short, found.duration)
        else:
            assert found.lower <= short * (1.0 + 1e-11)
            assert found.lower <= found.duration <= found.upper


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_a_bracket_is_what_the_tangents_at_both_ends_leave_open(goal: Goal) -> None:
    """Half a joule too much at 3 s, where a second saved a watt; none at 4 s, of 10 J, but for rounding, 4e-14 J."""
    one, hidden, watts = np.ones(1), 4e-14, 2.5 if goal is Goal.POWER else 0.0
    known = Limits(least_time=one, free_time=6.0 * one, least_energy=2.0 * one)

    def allocate(rows: Rows, duration: float) -> Point:
        raise AssertionError

    rows = rows_of(make("typical", 0, 1).clients, make("typical", 0, 1).work)
    price = bisection._Pricing(rows, goal, watts or 10.0, allocate)

    def point(energy: float, saved: float, feasible: bool = True) -> Point:
        names = ("frequency", "efficiency", "compute_time", "upload_time")
        own = {"energy": energy * one, "price": saved * one, "feasible": np.array([feasible])}
        return Point(**dict.fromkeys(names, one), **own)

    for saved, early in itertools.product((0.0, 1e-12, 0.1), (True, False)):
        low, high = step(3.0, 0.5, 10.0, point(10.5, 1.0, early)), step(4.0, 0.0, 10.0, point(10.0, saved))
        found = bisection._timing(price, known, Stop.OPTIMAL, low, high)
        slope = saved + watts
        lower = max(1.0, 3.0 + (0.5 - hidden) / (1.0 + watts)) if early else 1.0
        lower = max(lower, 4.0 - hidden / slope) if slope > 0.0 else lower
        beyond = 2.0 * hidden / slope if slope > 0.0 else math.inf
        assert found.lower == pytest.approx(lower, rel=1e-15)
        assert found.upper == pytest.approx(4.0 + beyond if beyond < 0.02 else (math.inf if watts else 6.0), rel=1e-15)
        assert found.lower < 4.0 < found.upper


@pytest.mark.parametrize(("below", "above"), list(itertools.product((-1e-13, -2e-14, 2e-14, 1e-13), repeat=2)))
def test_a_wide_bracket_is_drawn_in_by_energies_that_rounding_cannot_explain(below: float, above: float) -> None:
    """A half of a percent earlier 10 J must be missed, later met, by more than the 4e-14 J that a sum may be off by."""
    one = np.ones(1)

    def point(energy: float) -> Point:
        names = ("frequency", "efficiency", "compute_time", "upload_time", "price")
        return Point(**dict.fromkeys(names, one), energy=energy * one, feasible=np.ones(1, dtype=np.bool_))

    def allocate(rows: Rows, duration: float) -> Point:
        assert duration == pytest.approx(0.9951 if duration < 1.0 else 1.0049, rel=1e-15)
        return point(10.0 + (below if duration < 1.0 else above))

    rows = rows_of(make("typical", 0, 1).clients, make("typical", 0, 1).work)
    wide = Timing(stop=Stop.SLACK, duration=1.0, lower=0.9, upper=1.2, passes=7, point=point(10.0))
    found = honest(wide, rows, Goal.ENERGY, 10.0, allocate)
    low, high = (0.9951 if below == 1e-13 else 0.9), (1.0049 if above == -1e-13 else 1.2)
    assert (found.lower, found.upper) == (pytest.approx(low, rel=1e-15), pytest.approx(high, rel=1e-15))
    assert found.stop is (Stop.SLACK if high - low < 0.01 else Stop.LIMIT)
    assert (found.passes, found.duration, found.point) == (9, 1.0, wide.point)
    assert honest(dataclasses.replace(wide, lower=0.9991, upper=1.009), rows, Goal.ENERGY, 10.0, allocate).passes == 7


def test_a_budget_that_the_least_energies_add_up_to_but_for_rounding_has_a_round() -> None:
    """Looked at no longer than until what is missing is rounding: no sum would ever show less."""
    instance = make("typical", 0, 4)
    rows = rows_of(instance.clients, instance.work)
    least = limits(rows)

    def more(rows: Rows, duration: float) -> Point:
        point = kernel.allocate(rows, duration)
        return dataclasses.replace(point, energy=point.energy * (1.0 + 3.0 * EPS))

    found = bisection.schedule(rows, Goal.ENERGY, least.e_inf * (1.0 + EPS), more)
    assert found.stop is Stop.LIMIT
    assert least.t_min <= found.lower <= found.duration < math.inf
    assert found.point is not None
    assert found.point.energy.sum() == pytest.approx(least.e_inf, rel=1e-14)
