"""Level 3: the facts of section 4 of the model, by every method that is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fleets import Instance, in_units, make
from mpmath import mp, mpf
from oracle import Fleet, marginal
from truths import EXACT_METHODS, truth

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation import METHODS
from solvers.limits import limits
from solvers.rows import ROUNDING

EPS = 2.0**-52


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
def test_no_other_use_of_the_time_takes_less_energy(family: str) -> None:
    """The oracle itself: a client that shifts time between computing and sending, or finishes early, pays more."""
    _, fleet, answers = truth(family, 0, 10)
    T, bests = answers[0]
    for client, best in zip(fleet.clients, bests, strict=True):
        for grow_t in (-1, 0, 1):
            for grow_tau in (-1, 0, 1):
                t = best.t * (1 + mpf("1e-4") * grow_t)
                tau = best.tau * (1 + mpf("1e-4") * grow_tau)
                f, x = client.W / t, client.a / tau
                legal = client.f_min <= f <= client.f_max and client.x_min <= x <= client.x_max
                if legal and client.fixed + t + tau <= T:
                    assert client.energy_of(f, x) >= best.energy * (1 - mpf("1e-50"))


@pytest.mark.parametrize("family", ["typical", "wide", "powers", "mixed"])
def test_the_price_is_the_slope_of_the_energy(family: str) -> None:
    """dE/dT = -price by central differences of the oracle's energy, and the kernel reports that price."""
    instance, fleet, answers = truth(family, 1, 10)
    T = answers[0][0]
    found = fedopt.allocate(instance.clients, instance.work, duration=T)
    h = T * mpf(10) ** -18
    for n, client in enumerate(fleet.clients):
        low, high = client.least(T - h), client.least(T + h)
        slope = (high.energy - low.energy) / (2 * h)
        assert abs(slope + float(found.price[n])) <= mpf("1e-10") * (abs(slope) + client.P_s + client.P_c)


@pytest.mark.parametrize("family", ["powers", "extreme"])
@pytest.mark.parametrize("longer", [1.0, 3.0])
def test_a_price_far_below_the_powers_keeps_its_digits(family: str, longer: float) -> None:
    """Off all bounds 2 kappa f^3 - P_s and F(x)/gamma - P_c are both the price: the lesser power costs its digits."""
    checked = 0
    for seed in range(4):
        instance = make(family, seed, 5)
        T = instance.duration * longer
        found = fedopt.allocate(instance.clients, instance.work, duration=T)
        for n, client in enumerate(Fleet(instance.clients, instance.work).clients):
            best = client.least(T)
            if client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max and best.price > 0:
                scale = best.price + min(client.P_s, client.P_c)
                assert abs(float(found.price[n]) - best.price) <= mpf("1e-12") * scale
                checked += client.P_s + client.P_c > 0
    assert checked > 0


def test_a_price_far_below_static_power_alone() -> None:
    """P_c = 0 and P_s 14 decades above the price: 2 kappa f^3 - P_s had one digit left of it."""
    instance = make("powers", 112, 2)
    found = fedopt.schedule(instance.clients, instance.work, fedopt.EnergyBudget(1.306118299941487e-06))
    assert found.allocation is not None
    exact = Fleet(instance.clients, instance.work).clients[0].least(found.duration).price
    assert found.allocation.price[0] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("family", ["typical", "powers", "extreme"])
def test_the_energy_is_convex_and_never_rises(method: str, family: str) -> None:
    instance, fleet, _ = truth(family, 2, 10)
    grid = [float(fleet.t_min * (1 + mpf(2) ** k)) for k in range(-12, 12)]
    energies = np.array(
        [fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method).energy for T in grid]
    )
    noise = 1e-13 * energies[:-1]
    assert np.all(energies[1:] <= energies[:-1] + noise)
    slopes = np.diff(energies, axis=0) / np.diff(grid)[:, None]
    rounding = 4e-13 * energies[:-1] / np.diff(grid)[:, None]
    assert np.all(slopes[1:] >= slopes[:-1] - rounding[1:] - rounding[:-1])


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_marginals_of_computing_and_sending_meet_in_the_interior(method: str) -> None:
    """2 kappa f^3 - P_s = F(x)/gamma - P_c = lambda where no bound is active."""
    interior_clients = 0
    for family in ("typical", "wide", "powers"):
        instance, fleet, answers = truth(family, 3, 10)
        T, bests = answers[0]
        found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
        for n, (client, best) in enumerate(zip(fleet.clients, bests, strict=True)):
            if not (client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max):
                continue
            interior_clients += 1
            price = mpf(float(found.price[n]))
            f, x = mpf(float(found.frequency[n])), mpf(float(found.rate[n])) * mp.log(2) / client.B
            scale = price + client.P_s + client.P_c
            assert abs(2 * client.kappa * f**3 - client.P_s - price) <= mpf("1e-11") * scale
            assert abs(marginal(x) / client.gamma - client.P_c - price) <= mpf("1e-11") * scale
    assert interior_clients >= 5


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_unhurried_sending_reaches_shannons_limit(method: str) -> None:
    """As T grows the upload energy tends to s N0 ln 2 / h from above, its excess x/2 relative."""
    clients = fedopt.Clients(frequency_min=0, frequency_max=1e9, samples=1, channel_gain=[1e-9], bandwidth=1e6)
    bits = 5e5
    work = fedopt.Workload(cycles=[0.0], upload_bits=[bits], download_bits=[0.0])
    limit = bits * 3.981e-21 * math.log(2.0) / 1e-9
    for T in (1e3, 1e6, 1e9, 1e12):
        x = bits * math.log(2.0) / 1e6 / T
        energy = fedopt.allocate(clients, work, duration=T, allocation=method).energy[0]
        assert energy / limit - 1.0 == pytest.approx(x / 2.0, rel=1e-3, abs=4 * EPS)


@pytest.mark.parametrize("method", METHODS.names)
def test_who_cannot_meet_the_duration_gets_nan_and_no_plausible_number(method: str) -> None:
    if method == "cvxpy":
        pytest.importorskip("cvxpy")
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, channel_gain=[1e-9, 1e-9, 0.0, 0.0], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[1e9, 1e10, 1e8, 0.0], upload_bits=[1e5, 1e5, 1e5, 0.0])
    found = fedopt.allocate(clients, work, duration=5.0, allocation=method)
    assert found.feasible.tolist() == [True, False, False, True]
    for name in ("frequency", "rate", "power", "compute_time", "upload_time", "price"):
        values = getattr(found, name)
        assert np.isfinite(values[[0, 3]]).all(), name
        assert np.isnan(values[[1, 2]]).all(), name
    assert np.isfinite(found.energy).tolist() == [True, False, False, True]
    assert np.all(found.energy[[1, 2]] == np.inf)
    assert found.energy[3] == found.rate[3] == found.frequency[3] == 0.0


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("family", ["typical", "powers"])
def test_cycles_and_bits_may_be_counted_in_any_unit(method: str, family: str) -> None:
    """At the least duration, just above it and far from it; frequencies below 1 among them."""
    instance = make(family, 5, 4)
    least = float(limits(rows_of(instance.clients, instance.work)).t_min)
    for unit in (1e-12, 1e6):
        other = in_units(instance, unit)
        for T in (least * (1.0 + 1e-6), 1.1 * least, 3.0 * least):
            usual, found = (
                fedopt.allocate(i.clients, i.work, duration=T, allocation=method) for i in (instance, other)
            )
            for name in ("energy", "price", "compute_time", "upload_time"):
                scale = np.abs(getattr(usual, name)).max()
                np.testing.assert_allclose(getattr(found, name), getattr(usual, name), rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_a_duration_is_met_to_the_last_bit_of_what_is_allowed_for_rounding(method: str) -> None:
    """1e-15 below a client's least duration, and not a bit less."""
    instance = make("typical", 3, 4)
    clients, work = instance.clients, instance.work
    for n, bound in enumerate(limits(rows_of(clients, work)).least_time * ROUNDING):
        for T, met in ((bound, True), (math.nextafter(bound, 0.0), False)):
            found = fedopt.allocate(clients, work, duration=T, allocation=method)
            assert found.feasible[n] == met
            assert math.isfinite(found.energy[n]) == met, "who is in time has an energy"


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("static_power", [0.0, 0.1, 10.0])
def test_price_at_the_least_duration_of_computing(method: str, static_power: float) -> None:
    """At T = W/f_max, an exact double, the least price is max(0, 2 kappa f_max^3 - P_s)."""
    f_max = 2.0**30
    clients = fedopt.Clients(
        frequency_min=0, frequency_max=[f_max], static_power=static_power, samples=1, channel_gain=1e-9, bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[4.0 * f_max], upload_bits=[0.0])
    found = fedopt.allocate(clients, work, duration=4.0, allocation=method)
    assert found.frequency[0] == f_max
    assert found.compute_time[0] == 4.0
    assert found.price[0] == pytest.approx(max(0.0, 2e-28 * f_max**3 - static_power), rel=1e-14)


def kinked() -> tuple[Instance, Fleet]:
    """A client for which computing at f_min and sending at power_max is best over a range of prices."""
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=2e9, capacitance=1e-27, samples=1, channel_gain=[1e-12], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[2e9], upload_bits=[1e5], download_bits=[0.0])
    return Instance(clients, work, math.nan), Fleet(clients, work)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_price_on_both_sides_of_a_kink(method: str) -> None:
    """f_min with power_max: left of the kink the CPU's marginal, right of it the radio's, a jump between."""
    instance, fleet = kinked()
    client = fleet.clients[0]
    kink = client.t_of(client.f_min) + client.tau_of(client.x_max)
    computing = 2 * client.kappa * client.f_min**3
    sending = marginal(client.x_max) / client.gamma
    assert computing > 1.5 * sending
    for side, price in ((-1, computing), (1, sending)):
        T = float(kink * (1 + side * mpf("1e-14")))
        found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
        assert found.price[0] == pytest.approx(float(price), rel=1e-10)
        assert found.frequency[0] == pytest.approx(1e9, rel=1e-11)
        assert found.power[0] == pytest.approx(0.2, rel=1e-9)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_price_just_above_the_least_duration(method: str) -> None:
    """At T_min the least price is max(0, 2 kappa f_max^3 - P_s, F(x_max)/gamma - P_c); it is the limit from above."""
    for family in ("typical", "powers"):
        for seed in range(4):
            instance = make(family, seed, 1)
            client = Fleet(instance.clients, instance.work).clients[0]
            T = float(client.t_min * (1 + mpf("1e-14")))
            sending = marginal(client.x_max) / client.gamma - client.P_c
            least = max(0, 2 * client.kappa * client.f_max**3 - client.P_s, sending)
            found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
            assert found.price[0] == pytest.approx(float(least), rel=1e-6, abs=1e-6 * float(client.P_s + client.P_c))


@pytest.mark.parametrize("duration", [0.51, 0.6, 1.0, 50.0])
@pytest.mark.parametrize("method", EXACT_METHODS)
def test_what_is_not_done_has_the_speed_of_its_price(method: str, duration: float) -> None:
    """f = ((lambda + P_s)/2 kappa)^(1/3) without work, F(x) = gamma (lambda + P_c) without upload, in their ranges."""
    clients = fedopt.Clients(
        frequency_min=1e7, frequency_max=2e9, samples=1, channel_gain=[3e-13, 1e-9], bandwidth=1e6, capacitance=1e-28,
        static_power=0.02, circuit_power=0.2, power_max=1e4,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[0.0, 1e9], upload_bits=[1e6, 0.0], download_bits=[0.0, 0.0])
    found, fleet = fedopt.allocate(clients, work, duration=duration, allocation=method), Fleet(clients, work)
    for n, client in enumerate(fleet.clients):
        price = mpf(float(found.price[n]))
        f = mp.cbrt((price + client.P_s) / (2 * client.kappa))
        assert float(found.frequency[n]) == pytest.approx(float(min(max(f, client.f_min), client.f_max)), rel=1e-12)
        x = mpf(float(found.rate[n])) * mp.log(2) / client.B
        assert float(marginal(x)) == pytest.approx(float(client.gamma * (price + client.P_c)), rel=1e-11)


@pytest.mark.parametrize("family", ["typical", "wide", "tight"])
def test_prices_by_halvings_are_those_by_derivatives_to_their_last_digits(family: str) -> None:
    """Of the readable method and of the compiled one."""
    for seed in range(3):
        instance = make(family, seed, 40)
        rows, T = rows_of(instance.clients, instance.work), 1.5 * instance.duration
        one, other = (METHODS.get(method)(rows, T).price for method in ("reference", "kernel"))
        assert one == pytest.approx(other, rel=1e-13)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_no_power_of_a_double_sends_in_no_time(method: str) -> None:
    """Whoever is last in the shortest round, its power without limit: endless energy; the others take what they do."""
    instance = make("typical", 1, 3)
    rows = rows_of(instance.clients.replace(power_max=math.inf), instance.work)
    least = limits(rows)
    found = METHODS.get(method)(rows, least.t_min)
    assert np.array_equal(found.energy == math.inf, least.least_time == least.t_min)
    assert np.array_equal(found.price == math.inf, least.least_time == least.t_min)
