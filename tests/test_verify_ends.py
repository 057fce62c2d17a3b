"""The ends of a bracket that the verifier lets pass, and rounds next to T_min where power has no limit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, Problem, Schedule, SharedBandwidth, Status, SubModel, TimeDivision, TimePrice
from fedopt.verifier import Outcome

SCHEMES: list[Any] = [None, SharedBandwidth(1e6), TimeDivision(1e6)]
WORK = fedopt.Workload(cycles=1e10, upload_bits=1e6)
FREE = fedopt.Clients(
    frequency_min=0.0, frequency_max=2e9, samples=600, channel_gain=[1e-11, 3e-12], bandwidth=1e6, power_max=0.2
)
WAITING = FREE.replace(frequency_min=3e8, static_power=0.5, circuit_power=0.1)  # no time saves energy from 7.6 s on


def report(clients: fedopt.Clients, budget: Any, answer: Schedule, access: Any, work: Any = WORK) -> dict[str, Outcome]:
    """All that did not pass."""
    found = fedopt.verify_schedule(clients, work, budget, answer, access=access)
    return {check.name: check.outcome for check in found.checks if check.outcome is not Outcome.PASSED}


@pytest.mark.parametrize("more", [1e-6, 1e-8, 5e-10, 1e-10, 3e-11])
def test_a_round_above_the_budget_by_less_than_the_tolerance_is_no_upper_end(more: float) -> None:
    """Next to E_inf, 1e-10 of the energy is most of the duration."""
    least = fedopt.schedule(FREE, WORK, Deadline(1e30)).energy
    budget = EnergyBudget(least * (1.0 + more))
    found = fedopt.schedule(FREE, WORK, budget)
    assert report(FREE, budget, found, None) == {}
    for part in (0.9999, 0.99, 0.8, 0.5, 0.3, 0.1):
        forged = dataclasses.replace(
            fedopt.schedule(FREE, WORK, Deadline(part * found.duration)), bracket=(part * found.duration,) * 2
        )
        over = forged.energy / budget.joules - 1.0
        if over > 4e-14:  # else it is what rounding leaves
            assert report(FREE, budget, forged, None)["upper end of the bracket"] is Outcome.FAILED, part


@pytest.mark.parametrize("access", SCHEMES[1:], ids=str)
def test_what_rounding_leaves_of_a_shared_budget_is_no_answer_where_it_is_worth_much_of_the_duration(
    access: Any,
) -> None:
    """Sums of what is shared may miss a budget by a little; next to E_inf a little is a third of the round."""
    least = fedopt.schedule(FREE, WORK, Deadline(1e30), access=access).energy
    for more, over, outcome in (
        (1e-11, 3.9e-12, Outcome.FAILED), (1e-11, 1e-12, Outcome.UNPROVED), (1e-8, 1e-12, Outcome.UNPROVED),
        (1e-3, 1e-12, None),
    ):  # fmt: skip
        budget = EnergyBudget(least * (1.0 + more))
        beyond = fedopt.schedule(FREE, WORK, EnergyBudget(budget.joules * (1.0 + over)), access=access)
        forged = dataclasses.replace(beyond, status=Status.OPTIMAL, bracket=(beyond.duration,) * 2)
        assert report(FREE, budget, forged, access).get("upper end of the bracket") is outcome, (more, over)
        honest = fedopt.schedule(FREE, WORK, budget, access=access)
        assert "upper end of the bracket" not in report(FREE, budget, honest, access)


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("watts", [1e-12, 1e-14, 1e-16, 1e-20])
def test_at_a_price_of_time_no_best_round_ends_after_t_flat(watts: float, access: Any) -> None:
    """However little a second costs."""
    found = fedopt.schedule(WAITING, WORK, TimePrice(watts), access=access)
    assert Outcome.FAILED not in report(WAITING, TimePrice(watts), found, access).values()
    for times in (1.0001, 1.01, 100.0, 1e6):
        late = fedopt.schedule(WAITING, WORK, Deadline(times * found.duration), access=access)
        for bracket in ((late.duration, late.duration), (math.nextafter(late.duration, 0.0), math.inf)):
            forged = dataclasses.replace(late, bracket=bracket)
            assert report(WAITING, TimePrice(watts), forged, access)["lower end of the bracket"] is Outcome.FAILED


def test_who_has_nothing_to_do_is_done_at_once() -> None:
    nothing = fedopt.Workload(cycles=0.0, upload_bits=0.0)
    idle = fedopt.schedule(FREE, nothing, TimePrice(1.0))
    assert report(FREE, TimePrice(1.0), idle, None, nothing) == {}
    late = dataclasses.replace(idle, duration=1.0, bracket=(1.0, 1.0))
    assert report(FREE, TimePrice(1.0), late, None, nothing)["lower end of the bracket"] is Outcome.FAILED


@pytest.mark.parametrize("ulps", [-1, 0, 1, 2, 12, 40])
def test_who_has_no_time_to_send_takes_no_part_of_a_matching_without_a_limit(ulps: int) -> None:
    """A deadline some doubles before the least duration of a client under the type that another trains."""
    types = (SubModel("large", flops=5e7, upload_bits=1.5e6), SubModel("small", flops=1.5e7, upload_bits=2.4e5))
    for seed in range(12):
        slow = np.random.default_rng(seed).uniform(8e8, 1.5e9)
        clients = fedopt.Clients(
            frequency_min=1e8, frequency_max=[slow, 3e9], samples=400, channel_gain=5e-12, bandwidth=3e6,
            capacitance=1.7e-29, power_max=math.inf, overhead=0.45,
        )  # fmt: skip
        seconds = 0.45 + 400 * 5e7 / slow
        budget = Deadline(seconds - ulps * math.ulp(seconds))
        problem = Problem(clients=clients, submodels=types, budget=budget, partitions=[(1, 1)])
        found = fedopt.solve(problem)
        assert found.assignment is not None
        assert found.assignment.tolist() == [1, 0]
        assert fedopt.verify(problem, found).failed == ()


def test_a_budget_that_the_next_double_of_a_steep_round_is_above_is_used_up() -> None:
    """8.8e6 s of computing: an ulp of the round is worth more than the budget, and T_min itself takes endless power."""
    clients = fedopt.Clients(
        frequency_min=4.4e8, frequency_max=4.2e9, samples=2.0**53, channel_gain=1.46e-10, bandwidth=358496.0,
        capacitance=3.4e-28, power_max=math.inf,
    )  # fmt: skip
    work = fedopt.Workload(cycles=3.7e22, upload_bits=906676.0)
    spent = []
    for joules in np.geomspace(2e13, 2e16, 16):
        budget = EnergyBudget(float(joules))
        found = fedopt.schedule(clients, work, budget)
        assert found.status is Status.OPTIMAL
        assert Outcome.FAILED not in report(clients, budget, found, None, work).values()
        spent.append(found.energy / joules)
    assert min(spent) < 0.7  # no double of the round is nearer


def test_an_upper_end_is_not_proved_where_the_prices_of_the_answer_tell_too_little() -> None:
    """A round above its budget by 1e-9: with its own prices that refutes it, with others it tells nothing."""
    access = SharedBandwidth(1e6)
    right = fedopt.schedule(FREE, WORK, Deadline(100.0), access=access)
    right = dataclasses.replace(right, bracket=(right.duration, right.duration))
    budget = EnergyBudget(right.energy * (1.0 - 1e-9))
    assert report(FREE, budget, right, access)["upper end of the bracket"] is Outcome.FAILED
    assert right.sharing is not None
    sharing = dataclasses.replace(right.sharing, bandwidth_price=0.99 * right.sharing.bandwidth_price)
    vague = dataclasses.replace(right, sharing=sharing)
    assert report(FREE, budget, vague, access)["upper end of the bracket"] is Outcome.UNPROVED


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_nothing_that_takes_energy_is_within_no_energy(access: Any) -> None:
    """However little: a budget of 0 J has no digits that could hide it."""
    work = fedopt.Workload(cycles=1e3, upload_bits=1.0)
    clients = FREE.replace(channel_gain=[1e-4, 1e-5])
    for seconds in (1e-3, 1.0, 1e3):
        found = fedopt.schedule(clients, work, Deadline(seconds), access=access)
        assert 0.0 < found.energy < 1e-12
        forged = dataclasses.replace(found, status=Status.OPTIMAL, bracket=(seconds, seconds))
        assert report(clients, EnergyBudget(0.0), forged, access, work)["budget"] is Outcome.FAILED


@pytest.mark.parametrize("more", [1e-9, 1e-10])
def test_an_upper_end_that_a_budget_meets_but_for_rounding_is_not_proved_where_that_is_worth_much(more: float) -> None:
    """Next to E_inf, where 4e-15 of the energy are 1e-6 to 1e-5 of the duration; further away they are nothing."""
    least = fedopt.schedule(FREE, WORK, Deadline(1e30)).energy
    for above, outcome in ((more, Outcome.UNPROVED), (1e-2, None)):
        found = fedopt.schedule(FREE, WORK, EnergyBudget(least * (1.0 + above)))
        forged = dataclasses.replace(found, bracket=(found.duration, found.duration))
        for part in (4e-15, 8e-15):
            budget = EnergyBudget(found.energy * (1.0 - part))
            assert forged.energy > budget.joules
            assert report(FREE, budget, forged, None).get("upper end of the bracket") is outcome, part


def test_a_lower_end_is_not_refuted_where_duality_leaves_no_digits_of_an_energy_beyond_the_budget() -> None:
    """1e11 s of computing, power without limit: some ulps after T_min a second is worth 1e16 times the energy."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1e-3, samples=1.0, channel_gain=1e-10, bandwidth=2e5, power_max=math.inf
    )
    work = fedopt.Workload(cycles=1e8 + 4e-6, upload_bits=3e5)
    outcomes = set()
    for joules in np.geomspace(1e60, 1e250, 200):
        budget = EnergyBudget(float(joules))
        found = fedopt.schedule(clients, work, budget)
        outcomes.add(report(clients, budget, found, None, work).get("lower end of the bracket"))
    assert Outcome.FAILED not in outcomes
    assert Outcome.UNPROVED in outcomes
