"""Right answers at the edge of what digits tell are not refuted; their neighbours still are."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import make

import fedopt
from fedopt import Deadline, EnergyBudget, Schedule, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import Outcome


def phone(**columns: float) -> fedopt.Clients:
    return fedopt.Clients(**{name: np.array([value]) for name, value in {"samples": 1.0, **columns}.items()})


def work(cycles: float, bits: float) -> fedopt.Workload:
    return fedopt.Workload(cycles=np.array([cycles]), upload_bits=np.array([bits]))


def failed(clients: fedopt.Clients, work: fedopt.Workload, budget: Any, answer: Schedule, **more: Any) -> set[str]:
    return {check.name for check in fedopt.verify_schedule(clients, work, budget, answer, **more).failed}


LOUD = (  # the circuit takes 1e9 times the price of time: only computing tells it
    phone(
        frequency_min=0.0, frequency_max=46033808.568995535, capacitance=8.209477767242318e-30,
        channel_gain=1.9436179026413796e-08, bandwidth=582970.8820874937, noise_density=7.884179652851424e-22,
        power_max=0.17937056706506005, circuit_power=0.29274350377602065,
    ),
    work(44122980718.962585, 2463.7210402954465),
    EnergyBudget(6.787066246312135e-05),
)  # fmt: skip
CHEAP = (  # at T_flat, where the marginals are the rounding of P_s and P_c
    phone(
        frequency_min=13095843855.798624, frequency_max=261916877115.97247, capacitance=1.795808068038173e-33,
        static_power=0.0016602886912468451, channel_gain=4.656939840405613e-12, bandwidth=36160097.07127353,
        noise_density=1.015155956733408e-23, power_max=0.6436579363803794, circuit_power=0.24736967811756996,
    ),
    work(34370527241.33693, 44105.211006841244),
    TimePrice(1.140868548736178e-10),
)  # fmt: skip
STEEP = (  # between two neighbouring doubles the energy falls by 0.9 of 9,871 J
    phone(
        frequency_min=114968.95997877723, frequency_max=229937.91995755446, capacitance=1.819962771296697e-32,
        channel_gain=1.0216453682884075e-10, bandwidth=34296.62149578383, noise_density=1.4231747235445122e-24,
        power_max=5666.776398219013, power_min=2833.3881991095063,
    ),
    work(2.9323140332294772e16, 5069743.370151699),
    EnergyBudget(9870.853435432433),
)  # fmt: skip


@pytest.mark.parametrize(("case", "off"), [(LOUD, 1.0 + 1e-6), (CHEAP, 0.9), (STEEP, 1.0 + 1e-6)])
def test_the_last_digits_of_a_phone_refute_nothing(case: tuple[Any, Any, Any], off: float) -> None:
    clients, work, budget = case
    answer = fedopt.schedule(clients, work, budget)
    assert answer.status is Status.OPTIMAL
    assert failed(clients, work, budget, answer) == set()
    other = fedopt.schedule(clients, work, Deadline(answer.duration * off))
    assert other.status is Status.OPTIMAL
    wrong = {"least energy + price x duration"} if isinstance(budget, TimePrice) else {"no shorter round"}
    assert wrong <= failed(clients, work, budget, dataclasses.replace(other, bracket=answer.bracket))


def test_a_lower_end_that_is_too_high_by_more_than_a_double_is_seen() -> None:
    clients, work, budget = STEEP
    answer = fedopt.schedule(clients, work, budget)
    assert answer.bracket[0] == answer.duration
    later = fedopt.schedule(clients, work, Deadline(answer.duration * (1.0 + 4e-16)))
    forged = dataclasses.replace(later, bracket=(later.duration, later.duration))
    assert later.duration > math.nextafter(answer.duration, math.inf)
    assert "lower end of the bracket" in failed(clients, work, budget, forged)


def test_a_shared_band_where_the_energy_falls_by_decades_next_to_the_shortest_round() -> None:
    """By the last digits of the duration: a budget between is nearly used up, that of the shortest round is SLACK."""
    clients = fedopt.Clients(
        frequency_min=[917149.059570507, 9171490.59570507], frequency_max=9171490.59570507,
        capacitance=5.951691701786176e-31, samples=1.0, channel_gain=5.114860393478242e-12,
        bandwidth=510594.6839041168, noise_density=1.1342037873033067e-20, power_max=0.9332904415650378,
        power_min=0.9332904415650378, circuit_power=0.27200411585499046, download_rate=19431594.139102537,
    )  # fmt: skip
    work = fedopt.Workload(
        cycles=[464440737821.23285, 0.0], upload_bits=3699.2564128599597, download_bits=3699.2564128599597
    )
    access, budget = SharedBandwidth(1260543.6072608007), EnergyBudget(61.037157524643824)
    answer = fedopt.schedule(clients, work, budget, access=access)
    assert answer.status is Status.OPTIMAL
    assert 0.9 * budget.joules < answer.energy <= budget.joules
    assert failed(clients, work, budget, answer, access=access) == set()
    shortest = fedopt.schedule(clients, work, EnergyBudget(1e6), access=access)
    assert shortest.status is Status.SLACK
    again = fedopt.schedule(clients, work, EnergyBudget(shortest.energy), access=access)
    assert (again.status, again.duration) == (Status.SLACK, shortest.duration)
    assert failed(clients, work, EnergyBudget(shortest.energy), again, access=access) == set()
    later = fedopt.schedule(clients, work, Deadline(answer.duration * (1.0 + 1e-5)), access=access)
    assert later.status is Status.OPTIMAL
    assert later.energy < budget.joules
    assert "no shorter round" in failed(clients, work, budget, later, access=access)


@pytest.mark.parametrize("access", [None, SharedBandwidth(3e6), fedopt.TimeDivision(3e6)], ids=str)
def test_the_shortest_round_of_a_larger_budget_is_slack_not_optimal(access: Any) -> None:
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=[1e9, 1.5e9, 2e9], samples=[300.0, 500.0, 400.0], bandwidth=1e6,
        channel_gain=[1e-11, 3e-11, 2e-11],
    )  # fmt: skip
    work = fedopt.Workload(cycles=3e9, upload_bits=1e6, download_bits=0.0).sized(3)
    shortest = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access)
    assert shortest.status is Status.SLACK
    for budget, wrong in ((2.0, {"not slack: the budget is used up"}), (1.0, set[str]())):
        asked = EnergyBudget(budget * shortest.energy)
        assert failed(clients, work, asked, shortest, access=access) == set()
        called = dataclasses.replace(shortest, status=Status.OPTIMAL)
        assert failed(clients, work, asked, called, access=access) == wrong


@pytest.mark.parametrize("access", [None, SharedBandwidth(2e6), fedopt.TimeDivision(2e6)], ids=str)
@pytest.mark.parametrize(("family", "seed"), [("extreme", 1), ("extreme", 23), ("extreme", 31), ("bounds", 2)])
def test_a_slack_round_is_told_where_the_last_digits_of_its_duration_hide_its_energy(
    family: str, seed: int, access: Any
) -> None:
    """Computing or sending takes 1e-12 of some of these rounds; the energy at full speed tells them all the same."""
    instance = make(family, seed, 3)
    fleet, todo = instance.clients, instance.work
    shortest = fedopt.schedule(fleet, todo, EnergyBudget(math.inf), access=access)
    assert shortest.status is Status.SLACK
    for budget in (1.0 + 1e-5, 1.01, 2.0):
        asked = EnergyBudget(budget * shortest.energy)
        called = dataclasses.replace(shortest, status=Status.OPTIMAL)
        assert failed(fleet, todo, asked, called, access=access) == {"not slack: the budget is used up"}
    if family == "bounds":  # an access scheme may leave a millionth open
        nearly = EnergyBudget((1.0 + 1e-8) * shortest.energy)
        told = {"not slack: the budget is used up"} if access is None else set()
        assert failed(fleet, todo, nearly, dataclasses.replace(shortest, status=Status.OPTIMAL), access=access) == told


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), fedopt.PowerBudget(math.inf)])
def test_prices_of_places_are_as_large_as_the_energies_of_endless_power(budget: Any) -> None:
    fleet = fedopt.Clients(
        frequency_min=0.0, frequency_max=1.5e9, samples=[500.0, 600.0, 700.0], channel_gain=1e-11, static_power=0.05,
        bandwidth=2e5, power_max=math.inf,
    )  # fmt: skip
    types = [fedopt.SubModel("one", flops=2e7, upload_bits=3e5), fedopt.SubModel.idle()]
    problem = fedopt.Problem(fleet, types, budget=budget)
    answer = fedopt.solve(problem)
    assert answer.place_prices is not None
    assert np.abs(answer.place_prices).max() > 1e290
    assert not fedopt.verify(problem, answer).failed
    for wrong in ([0.0, 1e300], [-1e308, 1e308], [0.0, 0.1 * answer.place_prices[1]]):
        forged = dataclasses.replace(answer, place_prices=np.array(wrong))
        assert [check.name for check in fedopt.verify(problem, forged).failed] == ["place prices"]


@pytest.mark.parametrize("matching", ["exact", "sorted", "marginal"])
def test_who_is_late_by_the_last_digits_of_a_deadline_is_named_rightly(matching: str) -> None:
    """A deadline within 1e-15 of the shortest round of three is met, or missed by whom rounding tells."""
    instance = make("typical", 5, 3)
    types = [fedopt.SubModel("one", flops=3e7, upload_bits=5e5), fedopt.SubModel("less", flops=1e7, upload_bits=2e5)]
    shortest = -fedopt.solve(
        fedopt.Problem(instance.clients, types, budget=EnergyBudget(math.inf), utility=fedopt.ShortestRound()),
        matching=matching,
    ).utility
    statuses = set()
    for ulps in range(-12, 3):
        deadline = shortest * (1.0 + ulps * 2.0**-53)
        problem = fedopt.Problem(instance.clients, types, budget=Deadline(deadline), utility=fedopt.LeastEnergy())
        answer = fedopt.solve(problem, matching=matching)
        statuses.add(answer.status)
        assert not fedopt.verify(problem, answer).failed
    assert statuses == {Status.OPTIMAL, Status.INFEASIBLE}


@pytest.mark.parametrize(("static", "circuit"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1)])
@pytest.mark.parametrize("slowest", [0.0, 1e8])
def test_rounds_so_long_that_their_prices_leave_the_doubles(slowest: float, static: float, circuit: float) -> None:
    """F(x) = x^2 / 2 and f^3 are 0, or have lost digits; a price that is a number is still told from another."""
    fleet = fedopt.Clients(
        frequency_min=slowest, frequency_max=1e9, samples=1.0, channel_gain=[1e-9, 1e-11], bandwidth=1e6,
        static_power=static, circuit_power=circuit,
    )  # fmt: skip
    todo = fedopt.Workload(cycles=3.4e9, upload_bits=5.4e5)
    for seconds in (1e110, 1e155, 1e158, 1e160, 1e165, 1e240):
        for budget in (Deadline(seconds), fedopt.PowerBudget(0.03 / seconds)):
            answer = fedopt.schedule(fleet, todo, budget)
            assert answer.allocation is not None
            assert fedopt.verify_schedule(fleet, todo, budget, answer).complete
            price = answer.allocation.price + 1e-6
            wrong = dataclasses.replace(answer, allocation=dataclasses.replace(answer.allocation, price=price))
            assert failed(fleet, todo, budget, wrong)


@pytest.mark.parametrize("access", [None, SharedBandwidth(1e6), fedopt.TimeDivision(1e6)], ids=str)
def test_a_shortest_round_that_waits_for_one_who_only_computes_is_slack(access: Any) -> None:
    """On a band with room for all others nobody sends at full power."""
    fleet = phone(frequency_min=1e8, frequency_max=1e9, channel_gain=1e-9, bandwidth=1e6).take([0, 0])
    todo = fedopt.Workload(cycles=[5e9, 1e9], upload_bits=[0.0, 1e5])
    budget = fedopt.PowerBudget(8.0)
    answer = fedopt.schedule(fleet, todo, budget, access=access)
    assert answer.status is Status.SLACK
    assert failed(fleet, todo, budget, answer, access=access) == set()
    called = dataclasses.replace(answer, status=Status.OPTIMAL)
    assert failed(fleet, todo, budget, called, access=access) == {"not slack: the budget is used up"}


@pytest.mark.parametrize("access", [None, SharedBandwidth(1e6), fedopt.TimeDivision(1e6)], ids=str)
def test_who_is_a_little_later_than_a_slack_round_is_not_the_best_for_it(access: Any) -> None:
    fleet = phone(frequency_min=1e8, frequency_max=1e9, channel_gain=1e-9, bandwidth=1e6).take([0, 0])
    todo, budget = fedopt.Workload(cycles=[5e9, 4e9], upload_bits=1e5), fedopt.PowerBudget(8.0)
    shortest = fedopt.schedule(fleet, todo, budget, access=access)
    assert shortest.status is Status.SLACK
    for later in (1e-12, 1e-10, 1e-8, 9e-7):
        answer = fedopt.schedule(fleet, todo, Deadline(shortest.duration * (1.0 + later)), access=access)
        answer = dataclasses.replace(answer, bracket=(shortest.duration, answer.duration))
        slack = "not slack: the budget is used up"
        assert failed(fleet, todo, budget, answer, access=access) & {slack, "no shorter round"}
        if access is not None or later < 1e-9:
            assert slack in failed(fleet, todo, budget, answer, access=access)


def test_a_band_so_steep_that_the_shares_of_a_round_1e15_longer_tell_nothing_of_the_shortest() -> None:
    """The second computes for 99.95 % of it and takes the band: on these shares all seem in time at T_min, too."""
    fleet = fedopt.Clients(
        frequency_min=0.0, frequency_max=[48033715.15321128, 118861483.05679484, 122669279202.5656], samples=1.0,
        capacitance=[3.3498134030111387e-31, 3.8439473342487157e-26, 2.4251717985162435e-30],
        channel_gain=[3.5282364723010033e-16, 5.2787089840798783e-11, 1.115621669805472e-10], bandwidth=1e6,
        power_max=[0.4255483123073728, 0.07931150816157251, 0.18968578908487005],
        circuit_power=[0.0, 0.0, 0.009918611970542899],
        download_rate=[592580.301219737, 270594.144406475, 71772228.66071498],
    )  # fmt: skip
    bits = [1491739.4551743856, 1491739.4551743856, 126808.38167507366]
    todo = fedopt.Workload(cycles=[174091850.9528998, 1377690895974.8877, 117093708.93679461], upload_bits=bits)
    access, budget = SharedBandwidth(16087159.279841222), fedopt.PowerBudget(0.676520988107952)
    answer = fedopt.schedule(fleet, todo, budget, access=access)
    assert answer.status is Status.OPTIMAL
    assert answer.energy < 0.9 * budget.watts * answer.duration
    assert failed(fleet, todo, budget, answer, access=access) == set()


@pytest.mark.parametrize("more", [1e-13, 1e-12, 1e-9])
def test_in_turns_where_nobody_sends_no_slots_make_a_round_shorter(more: float) -> None:
    """Waiting hides most digits of the computing: an answer's own energy is not that of a round that ends before."""
    clients = fedopt.Clients(
        frequency_min=5e9, frequency_max=1e10, capacitance=1.7e-27, samples=25000, channel_gain=1e-12, bandwidth=1e6,
        overhead=1.0,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=733.0 * 25000, upload_bits=0.0), TimeDivision(1e6)
    budget = EnergyBudget(1.7e-27 * 733.0 * 25000 * 25e18 * (1.0 + more))
    found = fedopt.schedule(clients, work, budget, access=access)
    assert found.status.solved
    report = fedopt.verify_schedule(clients, work, budget, found, access=access)
    assert report.ok, str(report)


def test_a_deadline_whose_last_digit_is_a_thousandth_of_the_computing_proves_no_energy() -> None:
    """1e6 s of overhead and 1e-7 s of computing: a double of their sum is 1.2e-10 s, or 2e-3 of kappa W^3 / t^2.

    What is hidden that far is not passed for the least energy, and not refuted; what is beyond it, is."""
    clients, given = phone(
        frequency_min=0.0, frequency_max=2e9, capacitance=1e-27, channel_gain=1e-9, bandwidth=1e6, power_max=1.0,
        overhead=1e6,
    ), work(100.0, 0.0)  # fmt: skip
    answer = fedopt.schedule(clients, given, Deadline(1e6 + 1e-7))
    assert answer.status is Status.OPTIMAL
    for more, outcome in ((1.0, Outcome.UNPROVED), (1.004, Outcome.UNPROVED), (1.03, Outcome.FAILED)):
        said = dataclasses.replace(answer, energy=more * answer.energy)
        report = fedopt.verify_schedule(clients, given, Deadline(1e6 + 1e-7), said)
        assert [c.outcome for c in report.checks if c.name == "least energy in this time"] == [outcome]
