"""What a shared uplink's answer says of itself: never solved where its own proof or another method says otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, Instance, make

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from solvers.access import PROVED, Outcome
from solvers.duration.verdicts import infeasible
from solvers.rows import Stop, Timing

SCHEMES = (SharedBandwidth, TimeDivision)


def on(scheme: Any, instance: Instance, budget: object) -> fedopt.Schedule:
    access = scheme(float(instance.clients.bandwidth.mean()) * len(instance.clients))
    return fedopt.schedule(instance.clients, instance.work, budget, access=access)


def budgets(scheme: Any, instance: Instance, factor: float) -> list[Any]:
    """All four budgets around a multiple of the least duration."""
    T = on(scheme, instance, EnergyBudget(math.inf)).duration * factor
    at_T = on(scheme, instance, Deadline(T))
    assert at_T.sharing is not None
    E, price = at_T.energy, at_T.sharing.time_price
    prices = [TimePrice(1.7 * price), TimePrice(0.6 * price)] if price > 0.0 else []
    return [Deadline(T), EnergyBudget(1.01 * E), PowerBudget(E / T), *prices]


def score(found: fedopt.Schedule, budget: Any) -> float:
    """What a budget asks to be least."""
    if isinstance(budget, TimePrice):
        return found.energy + budget.watts * found.duration
    return found.energy if isinstance(budget, Deadline) else found.duration


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_client_shares_with_nobody(scheme: Any, family: str) -> None:
    """Level 2 on channels of its own solves the same problem by another method: solved answers are as good."""
    solved = 0
    for seed in range(8):
        instance = make(family, seed, 1)
        for factor in (1.01, 1.5, 20.0):
            for budget in budgets(scheme, instance, factor):
                alone = fedopt.schedule(instance.clients, instance.work, budget)
                found = on(scheme, instance, budget)
                if found.status.solved and alone.status.solved:
                    solved += 1
                    assert score(found, budget) == pytest.approx(score(alone, budget), rel=PROVED)
    assert solved >= 90  # of 120 at most


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed", "extreme"])
def test_no_duration_beats_a_price_of_time(scheme: Any, family: str) -> None:
    """E(T) + price x T at durations all around; ``gap`` is an upper bound of what any of them saves."""
    for seed in range(3):
        instance = make(family, seed, 4)
        t_min = on(scheme, instance, EnergyBudget(math.inf)).duration
        for budget in budgets(scheme, instance, 1.3)[3:]:
            found = on(scheme, instance, budget)
            assert found.sharing is not None
            best = score(found, budget)
            for T in t_min + (found.duration - t_min) * np.array([0.0, 0.5, 0.99, 1.01, 2.0, 10.0]):
                other = on(scheme, instance, Deadline(T))
                if other.status.solved:
                    saved = 1.0 - score(other, budget) / best
                    assert saved <= max(found.sharing.gap, 0.0) + 1e-12


def test_a_price_within_a_kink() -> None:
    """At one duration the price of time falls by a factor of ten: any in between leads there."""
    instance = make("bounds", 2, 1)
    at = [on(SharedBandwidth, instance, TimePrice(watts)) for watts in (0.02, 0.05, 0.1, 0.15)]
    assert all(found.status is Status.OPTIMAL for found in at)
    assert {found.duration for found in at} == {at[0].duration}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_open_bracket_is_no_solution(scheme: Any) -> None:
    """The energy at 20 T_min is the least but for its last digit: nobody knows the least duration that has it.

    Whether the bracket closes hangs on that digit; either way the status says which, and the answer is valid.
    """
    for family, seed, size in (
        ("powers", 2, 8),
        ("mixed", 1, 1),
        ("extreme", 2, 8),
        ("typical", 0, 3),
        ("bounds", 4, 8),
    ):
        instance = make(family, seed, size)
        T = 20.0 * on(scheme, instance, EnergyBudget(math.inf)).duration
        found = on(scheme, instance, EnergyBudget(on(scheme, instance, Deadline(T)).energy))
        if found.status is Status.INFEASIBLE:
            continue
        assert found.verdict is not None
        assert found.verdict.feasible
        wide = found.bracket[1] - found.bracket[0] > PROVED * found.duration
        assert found.status is (Status.LIMIT if wide else Status.OPTIMAL)
        assert ("of the duration" in found.reason) == wide


def test_a_proof_that_leaves_something_open_is_a_limit() -> None:
    point: Any = object()
    timing = Timing(stop=Stop.OPTIMAL, duration=1.0, lower=1.0, upper=1.0, passes=1, point=point)
    sound = Outcome(
        timing=timing, bandwidth=np.ones(3), time_price=1.0, bandwidth_price=1.0, compute_end=1.0, residual=0.0, gap=0.0
    )
    assert sound.honest() is sound
    for harm in ({"gap": 2e-6}, {"gap": -2e-6}, {"gap": math.nan}, {"residual": 1.0}, {"residual": math.nan}):
        assert dataclasses.replace(sound, **harm).honest().timing.stop is Stop.LIMIT
    for lower in (0.9, math.nan):
        loose = dataclasses.replace(sound, timing=dataclasses.replace(timing, lower=lower))
        assert loose.honest().timing.stop is Stop.LIMIT
    rounded = dataclasses.replace(sound, gap=-2e-6, hidden=3e-6)  # the last digits of the duration hide more
    assert rounded.honest() is rounded
    assert dataclasses.replace(rounded, gap=4e-6).honest().timing.stop is Stop.LIMIT
    assert dataclasses.replace(sound, gap=math.inf, hidden=math.inf).honest().timing.stop is Stop.LIMIT
    none = Outcome.decided(infeasible(Stop.TOO_SHORT))
    assert none.honest() is none
