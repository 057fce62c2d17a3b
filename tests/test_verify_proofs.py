"""Each proof of the verifier by itself: it notices what it is for, and proves nothing that is not so."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, make, mnist_types
from test_verify_forged import ACCESS, CLIENTS, SIZE, WORK

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    Schedule,
    SharedBandwidth,
    Status,
    TimeDivision,
    TimePrice,
)
from fedopt.verifier import Outcome, uplink
from fedopt.verifier.cost import bound_of_cost, greatest_price
from fedopt.verifier.decision import Round, round_of
from fedopt.verifier.model import dual, tasks_for
from fedopt.verifier.report import About, judged

NAN = (math.nan, math.nan)


def failed(answer: Schedule, budget: Any, access: Any) -> set[str]:
    report = fedopt.verify_schedule(CLIENTS, WORK, budget, answer, access=access)
    return {check.name for check in report.failed}


def timed(seconds: float, access: Any) -> Schedule:
    """A round of a given length, the best there is."""
    found = fedopt.schedule(CLIENTS, WORK, Deadline(seconds), access=access)
    assert found.status is Status.OPTIMAL
    return dataclasses.replace(found, bracket=NAN)


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
def test_a_round_that_is_longer_than_it_need_be_fails_for_that_alone(access: Any) -> None:
    found = timed(12.0, access)
    assert failed(found, EnergyBudget(found.energy), access) == set()
    assert failed(found, EnergyBudget(1.001 * found.energy), access) == {"no shorter round"}
    assert failed(found, PowerBudget(1.001 * found.energy / 12.0), access) == {"no shorter round"}
    assert failed(found, EnergyBudget(math.inf), access) == {"no shorter round"}
    slack = dataclasses.replace(found, status=Status.SLACK)
    assert failed(slack, EnergyBudget(math.inf), access) == {"slack: as short as can be", "no shorter round"}


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
def test_a_round_of_another_price_fails_for_that_alone(access: Any) -> None:
    found = timed(12.0, access)
    assert found.allocation is not None
    paid = found.allocation.price.sum() if found.sharing is None else found.sharing.time_price
    assert failed(found, TimePrice(paid), access) == set()
    for factor in (1.1, 0.9):
        own = {"price of time is the budget's"} if access == ACCESS["slots"] else set()
        assert failed(found, TimePrice(factor * paid), access) == {"least energy + price x duration"} | own


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
def test_who_hurries_for_nothing_takes_more_than_the_least_energy(access: Any) -> None:
    """The first client as in a shorter round; the prices are what they were, or its own."""
    true, short = timed(12.0, access), timed(11.5, access)
    assert true.allocation is not None
    assert short.allocation is not None
    assert true.verdict is not None
    for own in (True, False):
        arrays = {n: getattr(true.allocation, n).copy() for n in fedopt.Allocation.__slots__}
        for name, values in arrays.items():
            if name not in ("rate", "power", "upload_time", *(() if own else ("price",))):
                values[0] = getattr(short.allocation, name)[0]
        held = true.allocation.energy[0] - true.allocation.power[0] * true.allocation.upload_time[0]
        quick = short.allocation.energy[0] - short.allocation.power[0] * short.allocation.upload_time[0]
        arrays["energy"][0] = true.allocation.energy[0] + quick - held
        energy = math.fsum(arrays["energy"])
        wasteful = dataclasses.replace(
            true, energy=energy, allocation=fedopt.Allocation(**arrays),
            verdict=dataclasses.replace(true.verdict, energy=energy),
        )  # fmt: skip
        found = failed(wasteful, Deadline(12.0), access)
        assert found >= {"least energy in this time", *(() if own else ("computing at its price",))}


def test_a_price_below_zero_is_noticed_as_such() -> None:
    true = timed(12.0, None)
    assert true.allocation is not None
    price = true.allocation.price.copy()
    price[0] = -1e-3
    wrong = dataclasses.replace(true, allocation=dataclasses.replace(true.allocation, price=price))
    assert "prices are not negative" in failed(wrong, Deadline(12.0), None)


def drawn(r: Round, rng: np.random.Generator) -> Round:
    """The same round at other prices."""
    allocation = dataclasses.replace(r.allocation, price=r.allocation.price * 10.0 ** rng.normal(0.0, 1.0, SIZE))
    sharing = r.sharing
    if sharing is not None:
        time, band = 10.0 ** rng.normal(0.0, 1.0, 2)
        sharing = dataclasses.replace(
            sharing, time_price=sharing.time_price * time, bandwidth_price=sharing.bandwidth_price * band
        )
    return dataclasses.replace(r, allocation=allocation, sharing=sharing)


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
@pytest.mark.parametrize("watts", [1e-3, 0.5, 50.0])
def test_no_price_proves_more_than_the_least_energy_or_cost(access: Any, watts: float) -> None:
    budget, rng = TimePrice(watts), np.random.default_rng(5)
    true = fedopt.schedule(CLIENTS, WORK, budget, access=access)
    r = round_of(CLIENTS, WORK, budget, access, true, 1e-9)
    assert isinstance(r, Round)

    def bounds(r: Round) -> tuple[float, float]:
        if r.access is not None:
            return uplink.dual_energy(r, r.T), uplink.dual_cost(r, watts, greatest_price(r))
        price = r.allocation.price
        energy = float(dual(r.tasks, price).sum() - r.T * price[r.tasks.busy].sum())
        return energy, bound_of_cost(r, watts, price)

    energy, cost = bounds(r)
    assert energy == pytest.approx(r.E, rel=1e-6)
    assert cost == pytest.approx(r.cost, rel=1e-6)
    for _ in range(20):
        energy, cost = bounds(drawn(r, rng))
        assert energy <= r.E * (1.0 + 1e-12)
        assert cost <= r.cost * (1.0 + 1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheme", [SharedBandwidth, TimeDivision])
def test_the_least_duration_together_is_the_solvers(family: str, scheme: Any) -> None:
    instance = make(family, 1, 6)
    access = scheme(float(np.broadcast_to(instance.clients.bandwidth, 6).sum()))
    tasks = tasks_for(instance.clients, instance.work, np.full(6, access.hertz))
    found = uplink.shortest(instance.clients, instance.work, tasks, access)
    answer = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf), access=access)
    assert answer.status is Status.SLACK
    assert found == pytest.approx(answer.duration, rel=1e-12)


@pytest.mark.parametrize("access", [SharedBandwidth(0.5), TimeDivision(0.5)], ids=str)
def test_channels_of_less_than_a_hertz(access: Any) -> None:
    clients, work = CLIENTS.replace(power_max=1e-4), dataclasses.replace(WORK, upload_bits=1.0)
    for budget in (PowerBudget(0.01), Deadline(60.0), TimePrice(0.01)):
        found = fedopt.schedule(clients, work, budget, access=access)
        report = fedopt.verify_schedule(clients, work, budget, found, access=access)
        assert found.status.solved
        assert report.complete, str(report)


@pytest.mark.parametrize("access", ["shared", "slots"])
def test_a_type_that_a_client_cannot_send_hides_no_bound(access: str) -> None:
    """Its channel is dead: it can be idle alone, and what it cannot do bounds nothing."""
    gain = np.array(CLIENTS.channel_gain)
    gain[2] = 0.0
    types = (*mnist_types((1, 2, 2, 4))[1:3], fedopt.SubModel.idle())
    for budget in (TimePrice(0.5), EnergyBudget(10.0), PowerBudget(1.0), EnergyBudget(math.inf)):
        problem = Problem(CLIENTS.replace(channel_gain=gain), types, budget=budget, access=ACCESS[access])
        solution = fedopt.solve(problem)
        report = fedopt.verify(problem, solution)
        assert solution.status.solved
        assert report.complete, str(report)


@pytest.mark.parametrize("access", ["shared", "slots"])
def test_one_dead_channel_leaves_no_shortest_round(access: str) -> None:
    gain = np.array(CLIENTS.channel_gain)
    gain[2] = 0.0
    clients, scheme = CLIENTS.replace(channel_gain=gain), ACCESS[access]
    with np.errstate(divide="ignore"):
        assert uplink.shortest(clients, WORK, uplink.whole(clients, WORK, scheme), scheme) == math.inf


@pytest.mark.parametrize("budget", [EnergyBudget(0.0), PowerBudget(0.0)], ids=str)
def test_nothing_to_spend_is_too_little_however_little_is_needed(budget: Any) -> None:
    """Microjoules are more than nothing."""
    clients = CLIENTS.replace(capacitance=1e-36, power_max=1e-9, static_power=0.0, circuit_power=0.0)
    problem = Problem(clients, mnist_types((1, 2, 2, 4))[:3], budget=budget)
    solution = fedopt.solve(problem)
    assert solution.status is Status.INFEASIBLE
    report = fedopt.verify(problem, solution)
    assert report.complete, str(report)


@pytest.mark.parametrize("budget", [EnergyBudget(0.0), PowerBudget(0.0)], ids=str)
def test_nothing_to_spend_is_enough_for_a_type_that_spends_nothing(budget: Any) -> None:
    """It receives, which takes time alone."""
    clients = CLIENTS.replace(receive_power=0.0)
    some = mnist_types((1, 2, 2, 4))[:3]
    answer = fedopt.solve(Problem(clients, some, budget=budget))
    assert answer.status is Status.INFEASIBLE
    receives = fedopt.SubModel("receives", flops=0.0, upload_bits=0.0, download_bits=1e6)
    report = fedopt.verify(Problem(clients, (*some, receives), budget=budget), answer)
    assert "infeasible" in {check.name for check in report.checks if check.outcome is Outcome.FAILED}, str(report)


def test_a_residual_below_zero_is_said_to_be_none() -> None:
    check = judged("anything", About.NUMBERS, -1e-3, 0.0)
    assert (check.outcome, check.found) == (Outcome.PASSED, "0 relative")


def test_a_share_of_a_channel_that_nobody_shares_is_refused() -> None:
    true, shared = timed(12.0, None), timed(12.0, ACCESS["slots"])
    report = fedopt.verify_schedule(CLIENTS, WORK, Deadline(12.0), true, access=None)
    assert report.ok, str(report)
    assert next(check.found for check in report.checks if check.name == "verdict").startswith(
        f"{true.energy:.12g} J, 12"
    )
    assert failed(dataclasses.replace(true, sharing=shared.sharing), Deadline(12.0), None) == {"shape"}


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
def test_who_stopped_at_a_limit_need_not_be_the_best_but_right(access: Any) -> None:
    found = dataclasses.replace(timed(12.0, access), status=Status.LIMIT)
    assert failed(found, EnergyBudget(1.001 * found.energy), access) == set()
    wrong = dataclasses.replace(found, energy=0.999 * found.energy)
    assert "energy of the round" in failed(wrong, EnergyBudget(1.001 * found.energy), access)
