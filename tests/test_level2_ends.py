"""Level 2 where the limits alone decide: what is infeasible and why, rounds of no time, and the least duration."""

from __future__ import annotations

import dataclasses
import math
from contextlib import nullcontext

import numpy as np
import pytest
from fleets import ORDINARY, make
from mpmath import mpf
from oracle import INF, Fleet

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.rounds import rows_of
from solvers.allocation.kernel import allocate
from solvers.duration import METHODS
from solvers.limits import limits

EXACT_METHODS = ("newton", "bisection")


@pytest.mark.parametrize("method", METHODS.names)
@pytest.mark.parametrize("margin", [1e-1, 1e-6, 1e-12])
def test_too_little_energy_is_proved_and_explained(method: str, margin: float) -> None:
    """Below E_inf nothing helps: the answer names clients, what each needs at least, and the missing joules."""
    if method == "cvxpy":
        pytest.importorskip("cvxpy")
    instance = make("powers", 5, 6)
    fleet = Fleet(instance.clients, instance.work)
    budget = EnergyBudget(float(fleet.e_inf * (1 - mpf(margin))))
    found = fedopt.schedule(instance.clients, instance.work, budget, timing=method)
    assert found.status is Status.INFEASIBLE
    assert found.allocation is None
    assert found.verdict is None
    assert math.isnan(found.duration)
    assert math.isnan(found.energy)
    missing = fleet.e_inf - budget.joules
    assert found.shortfall == pytest.approx(float(missing), rel=1e-2 if margin < 1e-9 else 1e-8)
    needs = sorted(range(6), key=lambda n: -fleet.clients[n].e_inf)
    assert list(found.clients) == needs
    assert f"client {needs[0]} needs {float(fleet.clients[needs[0]].e_inf):.6g} J" in found.reason
    assert f"by {found.shortfall:.6g} J" in found.reason


@pytest.mark.parametrize("method", METHODS.names)
def test_too_early_a_deadline_names_those_it_is_too_short_for(method: str) -> None:
    if method == "cvxpy":
        pytest.importorskip("cvxpy")
    instance = make("typical", 6, 8)
    fleet = Fleet(instance.clients, instance.work)
    needs = [float(client.t_min) for client in fleet.clients]
    order = sorted(range(8), key=lambda n: -needs[n])
    deadline = 0.5 * (needs[order[2]] + needs[order[3]])  # three of eight cannot make it
    found = fedopt.schedule(instance.clients, instance.work, Deadline(deadline), timing=method)
    assert found.status is Status.INFEASIBLE
    assert list(found.clients) == order[:3]
    assert found.shortfall == pytest.approx(needs[order[0]] - deadline, rel=1e-9)
    for n in order[:3]:
        assert f"{n} needs {needs[n]:.6g} s" in found.reason


@pytest.mark.parametrize("method", METHODS.names)
def test_a_client_out_of_reach_makes_every_budget_infeasible(method: str) -> None:
    if method == "cvxpy":
        pytest.importorskip("cvxpy")
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, channel_gain=[1e-9, 0.0], bandwidth=1e6, name=("near", "far")
    )
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    for budget in (EnergyBudget(1e9), PowerBudget(1e9), Deadline(1e9), TimePrice(1.0)):
        found = fedopt.schedule(clients, work, budget, timing=method)
        assert found.status is Status.INFEASIBLE
        assert found.clients == (1,)
        assert "1 (far)" in found.reason


@pytest.mark.parametrize("seed", range(3))
def test_the_cone_program_tells_a_round_from_one_that_is_hardly_shorter(seed: int) -> None:
    """3e-4 after T_min: its own duration, as far as Clarabel's digits go, and not the end of what is feasible."""
    pytest.importorskip("cvxpy")
    instance = make("typical", seed, 4)
    clients, work = instance.clients, instance.work
    T = (1.0 + 3e-4) * fedopt.schedule(clients, work, EnergyBudget(math.inf)).duration
    there = fedopt.schedule(clients, work, Deadline(T))
    assert there.allocation is not None
    price = float(there.allocation.price.sum())
    for budget in (EnergyBudget(there.energy), PowerBudget(there.energy / T), TimePrice(price)):
        found = fedopt.schedule(clients, work, budget, timing="cvxpy")
        assert found.status is Status.OPTIMAL
        assert found.duration == pytest.approx(T, rel=1e-5)


@pytest.mark.parametrize(("more", "supported"), [(0.0, True), (0.8e-5, True), (1.2e-5, False), (1e-3, False)])
def test_a_cone_programs_energy_is_one_that_its_prices_support(more: float, supported: bool) -> None:
    """To 1e-5 of it, all clients together; what is further off is no answer."""
    pytest.importorskip("cvxpy")
    from solvers.cones import BackendError
    from solvers.duration.cvxpy import _check

    instance = make("powers", 5, 6)
    rows = rows_of(instance.clients, instance.work).full()
    T = 1.5 * limits(rows).t_min
    point = allocate(rows, T)
    dearer = dataclasses.replace(point, energy=point.energy * (1.0 + more))
    with nullcontext() if supported else pytest.raises(BackendError, match="not supported"):
        _check(rows, T, dearer)


@pytest.mark.parametrize("timing", EXACT_METHODS)
def test_a_round_of_idle_clients_takes_no_time_whatever_the_budget(timing: str) -> None:
    clients = make("typical", 0, 2).clients
    work = fedopt.Workload(cycles=0.0, upload_bits=0.0, download_bits=0.0)
    budgets = {EnergyBudget(0.0): Status.SLACK, PowerBudget(1.0): Status.SLACK, TimePrice(1.0): Status.OPTIMAL}
    for budget, status in budgets.items():
        found = fedopt.schedule(clients, work, budget, timing=timing)
        assert (found.status, found.duration, found.energy) == (status, 0.0, 0.0)
    assert fedopt.schedule(clients, work, Deadline(3.0), timing=timing).duration == 3.0


@pytest.mark.parametrize("timing", EXACT_METHODS)
def test_no_power_at_all_is_enough_for_those_who_need_none(timing: str) -> None:
    """A client whose frequency and power are given ends at T_min = T_flat, and takes energy there."""
    fixed = fedopt.Clients(
        frequency_min=1e9,
        frequency_max=1e9,
        samples=1,
        channel_gain=[1e-9],
        bandwidth=1e6,
        power_min=0.1,
        power_max=0.1,
    )
    for cycles, bits, status in ((0.0, 0.0, Status.SLACK), (1e9, 1e6, Status.INFEASIBLE)):
        work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=0.0)
        assert fedopt.schedule(fixed, work, PowerBudget(0.0), timing=timing).status is status


@pytest.mark.parametrize("family", ORDINARY)
@pytest.mark.parametrize("timing", ["newton", "bisection"])
def test_the_least_duration_is_a_deadline_that_can_be_met_and_a_little_less_is_not(timing: str, family: str) -> None:
    """The oracle's T_min, rounded either way, is T_min; a billionth less is too short."""
    instance = make(family, 6, 4)
    clients, work = instance.clients, instance.work
    least = float(Fleet(clients, work).t_min)
    for deadline in (least, math.nextafter(least, 0.0), math.nextafter(least, INF)):
        assert fedopt.schedule(clients, work, Deadline(deadline), timing=timing).status is Status.OPTIMAL
    assert fedopt.schedule(clients, work, Deadline(least * (1.0 - 1e-9)), timing=timing).status is Status.INFEASIBLE


@pytest.mark.parametrize("watts", [1e-22, 1e-16, 1e-13, 1e-11, 1e-8, 1e-4])
def test_the_limits_of_who_may_send_all_but_free_are_the_models(watts: float) -> None:
    """The less circuits take, the smaller is x = ln(1 + SNR) of the least energy: E(x) = (e^x - 1)/x near 1."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, channel_gain=1e-9, bandwidth=1e6, circuit_power=watts
    )
    work = fedopt.Workload(cycles=[0.0], upload_bits=[1e6], download_bits=[0.0])
    known, truth = limits(rows_of(clients, work)), Fleet(clients, work)
    assert known.e_inf == pytest.approx(float(truth.e_inf), rel=4e-15)
    assert known.t_flat == pytest.approx(float(truth.t_flat), rel=1e-13)
    assert known.t_min == pytest.approx(float(truth.t_min), rel=4e-15)


@pytest.mark.parametrize("seed", range(4))
def test_the_least_energy_itself_is_budget_enough_where_the_round_ends(seed: int) -> None:
    """With least frequencies and powers T_flat is finite, and E_inf is spent there; a billionth less is too little."""
    instance = make("bounds", seed, 4)
    clients = instance.clients.replace(
        frequency_min=0.5 * instance.clients.frequency_max, power_min=0.1 * instance.clients.power_max
    )
    known = limits(rows_of(clients, instance.work))
    found = fedopt.schedule(clients, instance.work, EnergyBudget(known.e_inf), timing="bisection")
    assert found.status.solved
    assert found.duration <= known.t_flat * (1.0 + 1e-12) < math.inf
    assert found.energy == pytest.approx(float(Fleet(clients, instance.work).e_inf), rel=1e-12)
    less = fedopt.schedule(clients, instance.work, EnergyBudget(known.e_inf * (1.0 - 1e-9)), timing="bisection")
    assert less.status is Status.INFEASIBLE


@pytest.mark.parametrize("scheme", ["own", "shared", "divided"])
@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
def test_what_a_round_without_haste_spends_is_budget_enough(family: str, scheme: str) -> None:
    """Its energy is E_inf, an ulp or two less as it was summed another way: no budget misses by what rounding hides."""
    for seed in range(100, 112):
        instance = make(family, seed, 1 + seed % 4)
        hertz = float(np.broadcast_to(instance.clients.bandwidth, len(instance.clients)).sum())
        access = {"own": None, "shared": SharedBandwidth(hertz), "divided": TimeDivision(hertz)}[scheme]
        shortest = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf), access=access).duration
        rest = Deadline(1e3 * shortest)
        energy = fedopt.schedule(instance.clients, instance.work, rest, access=access).energy
        for timing in ("newton", "bisection") if access is None else ("newton",):
            found = fedopt.schedule(instance.clients, instance.work, EnergyBudget(energy), access=access, timing=timing)
            assert found.status is not Status.INFEASIBLE, (seed, found.reason)
            assert found.energy == pytest.approx(energy, rel=1e-13)
            assert fedopt.verify_schedule(
                instance.clients, instance.work, EnergyBudget(energy), found, access=access
            ).ok


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("joules", [15_010.0, 2e4, 1e6, 1e12, 1e100])
def test_a_budget_that_only_power_without_bound_spends(joules: float, others: int) -> None:
    """Of a long download little is left: from a pass at T_min, of infinite energy, no derivatives lead anywhere."""
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=1.5e9,
        samples=500.0,
        channel_gain=1e-11,
        bandwidth=2.5e5,
        capacitance=1e-28,
        static_power=0.05,
        circuit_power=0.05,
        power_max=math.inf,
        download_rate=[1e-3] + [1e6] * others,
        receive_power=0.05,
        overhead=0.05,
    )
    work = fedopt.Workload(cycles=1e10, upload_bits=300.0, download_bits=300.0)
    budget = EnergyBudget(joules)
    fleet, found = Fleet(clients, work), fedopt.schedule(clients, work, budget)
    assert found.status is Status.OPTIMAL, found.reason
    assert found.energy <= joules
    assert fleet.energy(mpf(found.duration) * (1 - mpf("1e-15"))) > joules
    assert fleet.energy(mpf(found.duration) * (1 + mpf("1e-15"))) < joules
    assert found.bracket[1] - found.bracket[0] <= 1e-15 * found.duration
    assert found.stats["passes"] <= 60


def test_who_can_be_no_slower_tells_nothing_of_the_duration_of_a_price_next_to_its_own() -> None:
    """One of a single speed, whose circuits make full power the cheapest, sets T_min: that is all it takes, but for a
    rounding, and no price. Another still saves 4e-8 later: where the readable reference says."""
    clients = fedopt.Clients(
        frequency_min=8800368.472230522, frequency_max=8800368.472230522, samples=65.0,
        capacitance=[1.596530578516986e-28, 1.6228604755055515e-27], bandwidth=[25004.63370615353, 6538.4679590657015],
        channel_gain=[3.527589449500732e-07, 1.3615918921792804e-07], circuit_power=[9.971952265721919, 0.0],
        power_min=[0.0035742113805464775, 0.0], power_max=0.0062479645046468755,
        download_rate=[6392.937386274193, 7744.69137151614],
    )  # fmt: skip
    work = fedopt.Workload(cycles=[46428.518257248805, 5210818.2687107725], upload_bits=[31662266.307708, 8492687.4428])
    watts = 5.925769154967672e-12
    right = fedopt.schedule(clients, work, TimePrice(watts), allocation="reference")
    found = fedopt.schedule(clients, work, TimePrice(watts))
    assert found.duration == pytest.approx(right.duration, rel=1e-13)
    assert found.allocation is not None
    assert found.allocation.price.sum() == pytest.approx(watts, rel=1e-11)


@pytest.mark.parametrize("timing", EXACT_METHODS)
@pytest.mark.parametrize("seed", [153, 194, 296])
def test_an_ulp_of_the_shortest_round_at_great_static_power_is_not_taken_for_energy(seed: int, timing: str) -> None:
    """Who wastes P_s while it computes, as fast as it can, computed half an ulp of a T_min 1e5 to 1e11 times as long
    beyond it: more than rounding was thought to hide, and brackets that began up to 2.5e-8 after the best round."""
    rng = np.random.default_rng([81, seed])

    def wide(low: float, high: float) -> float:
        return float(10.0 ** rng.uniform(low, high))

    fastest, capacitance = wide(8, 10), wide(-29, -27)
    static = 2.0 * capacitance * fastest**3 * wide(0.1, 3)
    sending, share = wide(-1, 5), wide(-12, -2)
    band, gain, power = wide(5, 7), wide(-22, -12), wide(-2, 1)
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=fastest, capacitance=capacitance, static_power=static, samples=[1.0],
        channel_gain=gain, bandwidth=band, power_max=power,
    )  # fmt: skip
    bits = sending * band * math.log1p(gain / (3.981e-21 * band) * power) / math.log(2.0)
    work = fedopt.Workload(cycles=fastest * sending * share, upload_bits=bits)
    fleet = Fleet(clients, work)
    for later in (0.0, 1e-14, 1e-13, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4):
        joules = float(fleet.energy(fleet.t_min * (1 + mpf(later))))
        true = fleet.schedule(EnergyBudget(joules)).duration
        found = fedopt.schedule(clients, work, EnergyBudget(joules), timing=timing)
        assert found.status.solved
        assert found.bracket[0] * (1 - mpf("2.3e-16")) <= true <= found.bracket[1] * (1 + mpf("2.3e-16"))
