"""What clients who share the uplink need at least, as the verifier knows it: against what the solver makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fleets import Instance, make, mnist_types, of_kinds

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, TimeDivision, TimePrice
from fedopt.checks import FloatArray
from fedopt.verifier import slack, uplink
from fedopt.verifier.decision import Round, round_of

CLIENTS = make("typical", 1, 5).clients
TYPES = (*mnist_types((1, 2, 2, 4))[:2], fedopt.SubModel.idle())
SHARED, SLOTS = SharedBandwidth(2e6), TimeDivision(2e6)


@pytest.mark.parametrize("access", [SHARED, SLOTS])
@pytest.mark.parametrize("kinds", [(0, 1, 1, 0, 1), (0, 1, 2, 2, 1), (2, 2, 1, 2, 2)])
def test_the_shortest_round_is_that_of_energy_without_limit(
    access: SharedBandwidth | TimeDivision, kinds: tuple[int, ...]
) -> None:
    """Also where some send nothing, and in any unit of time; endless where someone is out of reach."""
    work = CLIENTS.workload(TYPES, np.array(kinds))
    tasks = uplink.whole(CLIENTS, work, access)
    found = fedopt.schedule(CLIENTS, work, EnergyBudget(math.inf), access=access)
    assert uplink.shortest(CLIENTS, work, tasks, access) == pytest.approx(found.duration, rel=1e-9)
    gain = CLIENTS.channel_gain.copy()
    gain[2] = 0.0
    away = CLIENTS.replace(channel_gain=gain)
    expected = math.inf if kinds[2] < 2 else found.duration
    assert uplink.shortest(away, work, uplink.whole(away, work, access), access) == pytest.approx(expected, rel=1e-9)


Access = SharedBandwidth | TimeDivision
DOINGS = {
    "all do both": ("both",) * 4,
    "some do one": ("both", "no work", "no upload", "only a download"),
    "all only send": ("no work",) * 4,
}


def decided(instance: Instance, budget: Deadline | TimePrice, access: Access) -> Round:
    found = fedopt.schedule(instance.clients, instance.work, budget, access=access)
    assert found.status.solved, str(found.reason)
    r = round_of(instance.clients, instance.work, budget, access, found, 1e-9)
    assert isinstance(r, Round)
    return r


def at_prices(r: Round, factor: float, channel: float = 1.0) -> Round:
    """The round, its prices of time and of the band times these."""
    assert r.sharing is not None
    sharing = replace(
        r.sharing, time_price=r.sharing.time_price * factor, bandwidth_price=r.sharing.bandwidth_price * channel
    )
    return replace(r, sharing=sharing, allocation=replace(r.allocation, price=r.allocation.price * factor))


def nothing_open(r: Round) -> FloatArray:
    return np.zeros(len(r.clients))


@pytest.mark.parametrize("access", [SHARED, SLOTS])
@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("family", ["typical", "bounds", "mixed", "wide"])
def test_the_answers_own_prices_prove_its_energy_and_its_cost(family: str, doing: str, access: Access) -> None:
    """No gap is left by convex problems: the bound is the answer's, to rounding; by any other prices it is below."""
    instance = of_kinds(family, 3, list(DOINGS[doing]))
    shortest = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf), access=access).duration
    priced = 0
    for longer in (1.02, 1.3, 4.0, 1e4):
        r = decided(instance, Deadline(shortest * longer), access)
        assert r.sharing is not None
        assert uplink.dual_energy(r, r.T) == pytest.approx(r.E, rel=1e-12)
        for factors in ((1.4, 1.0), (0.7, 1.0), (1.0, 1.4), (1.0, 0.7), (0.0, 1.0), (3.0, 2.0)):
            assert uplink.dual_energy(at_prices(r, *factors), r.T) <= r.E * (1.0 + 1e-12)
        watts = r.sharing.time_price
        if watts > 0.0:
            priced += 1
            r = decided(instance, TimePrice(watts), access)
            assert uplink.dual_cost(r, watts, nothing_open(r)) == pytest.approx(r.cost, rel=1e-12)
            assert uplink.dual_energy(r, 0.9 * r.T) == pytest.approx(r.E + watts * 0.1 * r.T, rel=1e-12)
            scaled = at_prices(r, 0.3)  # of prices that are too low only their proportions count
            assert uplink.dual_cost(scaled, watts, nothing_open(r)) == pytest.approx(r.cost, rel=1e-12)
            assert uplink.dual_cost(at_prices(r, 1.0, 1.4), watts, nothing_open(r)) <= r.cost * (1.0 + 1e-12)
    assert priced


@pytest.mark.parametrize("doing", DOINGS)
def test_a_price_beyond_that_of_the_shortest_round_is_paid_for_its_least_duration(doing: str) -> None:
    """Clients at their one speed each: prices of 0 and T_min prove the cost, whatever the price of time."""
    instance = of_kinds("typical", 3, list(DOINGS[doing]))
    clients = instance.clients
    clients = clients.replace(frequency_min=clients.frequency_max, power_min=clients.power_max)
    instance = Instance(clients, instance.work, instance.duration)
    for watts in (0.1, 1e3):
        r = at_prices(decided(instance, TimePrice(watts), SLOTS), 0.0)
        assert uplink.dual_cost(r, watts, nothing_open(r)) == pytest.approx(r.cost, rel=1e-12)


@pytest.mark.parametrize("access", [SHARED, SLOTS])
def test_what_idle_clients_are_said_to_pay_takes_nothing_from_a_bound(access: Access) -> None:
    """They end with nobody's round: a price of theirs is no joule of it, however dear."""
    work, idle = CLIENTS.workload(TYPES, np.array((0, 1, 2, 2, 1))), np.arange(5) // 2 == 1
    shortest = fedopt.schedule(CLIENTS, work, EnergyBudget(math.inf), access=access).duration
    r = decided(Instance(CLIENTS, work, shortest), Deadline(1.3 * shortest), access)
    assert r.tasks.busy.tolist() == (~idle).tolist()
    forged = replace(r, allocation=replace(r.allocation, price=np.where(idle, 5.0, r.allocation.price)))
    assert r.sharing is not None
    watts = r.sharing.time_price
    for T in (r.T, 0.9 * r.T):
        assert uplink.dual_energy(forged, T) == uplink.dual_energy(r, T)
    assert uplink.dual_cost(forged, watts, nothing_open(r)) == uplink.dual_cost(r, watts, nothing_open(r))


def test_slots_after_whom_nobody_computes_begin_when_all_are_ready() -> None:
    instance = of_kinds("typical", 3, ["no work"] * 4)
    clients = instance.clients.replace(overhead=[0.5, 2.0, 1.0, 0.0])
    r = decided(Instance(clients, instance.work, instance.duration), TimePrice(0.3), SLOTS)
    unsaid = replace(r, allocation=replace(r.allocation, price=np.zeros(4)))
    for each in (r, unsaid):
        assert uplink.dual_cost(each, 0.3, nothing_open(r)) == pytest.approx(r.cost, rel=1e-12)
        assert uplink.dual_energy(each, r.T) == pytest.approx(r.E, rel=1e-12)


@pytest.mark.parametrize("family", ["typical", "bounds", "wide"])
def test_the_least_energy_has_no_gap_either(family: str) -> None:
    """P_c and P_s make a round of endless time dear: the least energy is that of a round that ends."""
    instance = of_kinds(family, 5, ["both", "no work", "no upload", "both"])
    clients = instance.clients.replace(static_power=[0.1, 0.2, 0.3, 0.4], circuit_power=[0.1, 0.5, 0.2, 1.0])
    found = fedopt.schedule(clients, instance.work, Deadline(instance.duration * 1e9), access=SHARED)
    assert uplink.least_energy(clients, instance.work, SHARED) == pytest.approx(found.energy, rel=1e-9)


@pytest.mark.parametrize("kinds", [(0, 1, 1, 0, 1), (0, 1, 2, 2, 1), (2, 2, 1, 2, 2)])
def test_the_least_energy_is_that_of_a_round_without_end(kinds: tuple[int, ...]) -> None:
    work = CLIENTS.workload(TYPES, np.array(kinds))
    found = fedopt.schedule(CLIENTS, work, Deadline(1e7), access=SHARED)
    assert uplink.least_energy(CLIENTS, work, SHARED) == pytest.approx(found.energy, rel=1e-6)


def test_only_a_band_that_is_shared_has_a_price() -> None:
    work = CLIENTS.workload(TYPES, np.array((0, 1, 1, 0, 1)))
    for access in (SHARED, SLOTS):
        found = fedopt.schedule(CLIENTS, work, fedopt.PowerBudget(0.5), access=access)
        assert found.sharing is not None
        expected = found.sharing.bandwidth_price * 2e6 if access is SHARED else 0.0
        assert uplink.worth(found.sharing, access) == expected
    assert uplink.worth(None, SHARED) == 0.0


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("family", ["typical", "bounds", "wide"])
def test_the_shortest_round_takes_what_the_solver_says_circuits_included(family: str, doing: str) -> None:
    """On channels of their own, in turns, and on a band at most: there, too, no less than that is said."""
    instance = of_kinds(family, 3, list(DOINGS[doing]))
    clients, budget = instance.clients.replace(circuit_power=0.5, static_power=0.1), EnergyBudget(math.inf)
    for access in (SHARED, SLOTS, None):
        found = fedopt.schedule(clients, instance.work, budget, access=access)
        assert found.status is fedopt.Status.SLACK
        r = round_of(clients, instance.work, budget, access, found, 1e-9)
        assert isinstance(r, Round)
        assert slack._shortest_energy(r, slack.shortest(r)) == pytest.approx(found.energy, rel=1e-12)
