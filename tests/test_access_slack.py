"""Shortest rounds of a shared uplink whose energy is the budget but for rounding: how much later the best may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import oracle
import pytest

import fedopt
from fedopt import Clients, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, Workload
from fedopt.verifier import Outcome
from solvers.access import PROVED
from solvers.access.brackets import slack_end
from solvers.rows import Goal

HERTZ = 1e6
SCHEMES: list[Any] = [SharedBandwidth(HERTZ), TimeDivision(HERTZ)]


def fleet(watts: list[float], power: float, **changes: Any) -> Clients:
    """Who computes at one frequency, with that power; on a channel of its own each is what it is on a shared one."""
    frequency = 1e9
    columns = {"frequency_min": frequency, "frequency_max": frequency, "samples": 1.0, "channel_gain": 1e-11}
    more = {"capacitance": np.array(watts) / frequency**3, "bandwidth": HERTZ, "power_max": power}
    return Clients(**{**columns, **more, **changes})


def drawn(seed: int, *, apart: bool) -> tuple[Clients, Workload]:
    """A minute of computing and a little to send, by one client or by two; the less it is, the steeper is the end."""
    rng = np.random.default_rng(seed)
    watts, bits = float(10.0 ** rng.uniform(-1, 1)), float(10.0 ** rng.uniform(-1, 5))
    clients = fleet([watts, watts] if apart else [watts], float(10.0 ** rng.uniform(-3, 0)))
    if apart:
        return clients, Workload(cycles=[6e10, 0.0], upload_bits=[0.0, 1e3 * bits], download_bits=0.0)
    return clients, Workload(cycles=6e10, upload_bits=bits, download_bits=0.0)


@pytest.mark.parametrize(("access", "apart"), [(SCHEMES[0], False), (SCHEMES[0], True), (SCHEMES[1], False)])
def test_the_energy_of_the_shortest_round_given_back_as_the_budget(access: Any, apart: bool) -> None:
    """Against 60 digits on channels of their own, where the same is best; what leaves more than 1e-6 open is LIMIT."""
    hidden, later = 0, 0.0
    for seed in range(12):
        clients, work = drawn(seed, apart=apart)
        truth = oracle.Fleet(clients, work)
        spent = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access)
        assert (spent.status, spent.bracket) == (Status.SLACK, (spent.duration, spent.duration))
        for ulps in (-8, -1, 0, 1):
            budget = EnergyBudget(spent.energy + ulps * math.ulp(spent.energy))
            found = fedopt.schedule(clients, work, budget, access=access)
            if not truth.e_inf < budget.joules:
                assert not found.status.solved or not apart
                continue
            best = float(truth.schedule(budget).duration)
            low, high = found.bracket
            assert low * (1.0 - 4e-15) <= best <= high * (1.0 + 4e-15)
            assert found.status.solved is (high - low <= PROVED * found.duration)
            hidden += found.status is Status.SLACK or found.status is Status.LIMIT
            later = max(later, best / found.duration - 1.0)
    assert hidden > 10
    assert later > 1e-12


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("kind", [EnergyBudget, PowerBudget])
def test_a_budget_that_is_clearly_above_is_slack_without_a_width_and_verified(access: Any, kind: Any) -> None:
    """By a thousandth of the energy, or by ten roundings of it."""
    clients, work = drawn(0, apart=False)
    shortest = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access)
    spent = shortest.energy / (1.0 if kind is EnergyBudget else shortest.duration)
    for more in (1e-3, 1e-13):
        budget = kind(spent * (1.0 + more))
        found = fedopt.schedule(clients, work, budget, access=access)
        assert (found.status, found.bracket) == (Status.SLACK, (shortest.duration, shortest.duration))
        assert fedopt.verify_schedule(clients, work, budget, found, access=access).complete


@pytest.mark.parametrize("access", [None, *SCHEMES], ids=str)
def test_a_slack_round_is_not_proved_where_rounding_hides_whether_it_is_within_the_budget(access: Any) -> None:
    """Nearly all energy is for computing, which no time makes less: 2e-15 of it are more than a millionth later."""
    clients, work = fleet([1.0, 1.0], 3e-7), Workload(cycles=[6e10, 0.0], upload_bits=[0.0, 1e4], download_bits=0.0)
    shortest = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access)
    for more, outcome in ((0.0, Outcome.UNPROVED), (1e-15, Outcome.UNPROVED), (1e-14, Outcome.PASSED)):
        budget = EnergyBudget(shortest.energy * (1.0 + more))
        report = fedopt.verify_schedule(clients, work, budget, shortest, access=access)
        assert report.ok
        assert {c.name: c.outcome for c in report.checks}["upper end of the bracket"] is outcome, more
        found = fedopt.schedule(clients, work, budget, access=access)
        assert fedopt.verify_schedule(clients, work, budget, found, access=access).ok
    tight = EnergyBudget(shortest.energy * (1.0 - 1e-10))
    assert not fedopt.verify_schedule(clients, work, tight, shortest, access=access).ok


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_the_end_is_that_of_a_budget_less_by_what_rounding_hides(goal: Goal) -> None:
    """4e-15 of 4 J, or x times the rounding of e^x; asked for only there, and no sooner than the round itself."""
    value = 4.0 if goal is Goal.ENERGY else 2.0  # in 2 s
    asked = list[float]()

    def later(budget: float) -> float:
        asked.append(budget)
        return 3.0

    assert slack_end(goal, value, 2.0, 4.0 * (1.0 - 5e-15), 1.0, later) == 2.0
    assert slack_end(goal, math.inf, 2.0, 4.0, 1.0, later) == 2.0
    assert asked == []
    assert slack_end(goal, value, 2.0, 4.0 * (1.0 - 3e-15), 1.0, later) == 3.0
    assert slack_end(goal, value, 2.0, 4.0 * (1.0 - 1e-13), 600.0, later) == 3.0
    assert [1.0 - budget / value for budget in asked] == [
        pytest.approx(8e-15, rel=0.03), pytest.approx(1200.0 * 2.0**-51, rel=1e-3),
    ]  # fmt: skip
    assert slack_end(goal, value, 2.0, 4.0, 1.0, lambda budget: 1.9) == 2.0
