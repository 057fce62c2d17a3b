"""Limits of a shared band that come from two sides: of who sends at one power, and of who waits for whom."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from fleets import make
from oracle import Fleet
from test_shared_turns import rows

import fedopt
from fedopt import EnergyBudget, PowerBudget, SharedBandwidth, Status, TimePrice
from fedopt.sharing import Scheme
from solvers.access.shared import schedule, scheme_limits
from solvers.plan import make_plan
from solvers.rows import Goal


@pytest.mark.parametrize("seed", range(10))
def test_of_one_client_at_one_speed_and_power_the_shortest_round_is_the_longest_too(seed: int) -> None:
    """By two formulas that round apart: no less than T_min."""
    c = make("typical", seed, 1).clients
    limits = scheme_limits(rows("typical", seed, 1, frequency_min=c.frequency_max, power_min=c.power_max), 1.0)
    assert limits.t_min <= limits.t_flat <= limits.t_min * (1.0 + 1e-15)


@pytest.mark.parametrize("patient", ["sends for nothing", "computes slowly"])
def test_time_saves_until_the_last_has_all_it_wants(patient: str) -> None:
    """Two whose circuits draw power are done long before a third, which shares the band or does not."""
    circuit = np.array([0.1, 0.2, 0.0 if patient == "sends for nothing" else 0.1])
    kinds = ["both", "both", "both" if patient == "sends for nothing" else "no upload"]
    r = rows("typical", 4, kinds, circuit_power=circuit, frequency_min=np.array([5e8, 5e8, 1e6]), static_power=0.0)
    limits = scheme_limits(r, 1.0)
    others = scheme_limits(r.take([0, 1]), 1.0).t_flat
    if patient == "sends for nothing":
        assert limits.t_flat == math.inf
    else:
        assert limits.t_flat == pytest.approx(make_plan(r.take([2])).t_flat, rel=1e-12)
    for T in (1.5 * others, 2.0 * others):
        sooner, later = (schedule(r, 1.0, Goal.DEADLINE, each).timing.point for each in (T, 1.1 * T))
        assert sooner is not None
        assert later is not None
        assert limits.e_inf < later.energy.sum() < sooner.energy.sum() * (1.0 - 1e-9)


@pytest.mark.parametrize(("size", "hertz"), [(993, 1e6), (1050, 3e6), (1525, 3e6), (3000, 1e6)])
def test_the_shortest_round_of_many_equal_clients_is_as_long_as_of_one_on_its_part(size: int, hertz: float) -> None:
    """Equal shares round alike, so that a plain sum of them drifts: 60 digits know better."""
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=2e9, samples=np.full(size, 300.0), channel_gain=1e-11, bandwidth=1e6,
        power_max=0.2,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e10, upload_bits=3e5), SharedBandwidth(hertz)
    with mpmath.workdps(60):
        snr = mpmath.mpf(1e-11) * size * mpmath.mpf(0.2) / (mpmath.mpf(float(clients.noise_density[0])) * hertz)
        true = 5 + mpmath.mpf(3e5) * mpmath.log(2) * size / (hertz * mpmath.log1p(snr))
        for budget in (EnergyBudget(math.inf), PowerBudget(math.inf), EnergyBudget(1e9)):
            found = fedopt.schedule(clients, work, budget, access=access)
            assert found.status is Status.SLACK
            assert abs(found.bracket[0] / true - 1) < 2e-15
            assert fedopt.verify_schedule(clients, work, budget, found, access=access).failed == ()


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("bits", [1e2, 1e5])
@pytest.mark.parametrize("gain", [1e-6, 1e-9, 1.5e-21])
@pytest.mark.parametrize("doing", ["circuit", "least power"])
def test_the_least_energy_is_without_what_computing_takes_in_a_long_round(
    doing: str, gain: float, bits: float, size: int
) -> None:
    """Of chips that may compute for ever; equal clients are one with its part of the channel, known to 60 digits."""
    more = {"circuit_power": 1e-9} if doing == "circuit" else {"power_min": 1e-6}
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=3e9, samples=np.ones(size), channel_gain=gain, bandwidth=1e6, power_max=0.2,
        capacitance=1e-26, **more,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e14, upload_bits=bits), SharedBandwidth(1e6 * size)
    least = size * float(Fleet(clients.take([0]), work).e_inf)
    scheme = Scheme(clients, access)
    known = scheme.limits(scheme.rows(work))
    assert known.e_inf == pytest.approx(least, rel=1e-14)
    for share in (1.0 - 1e-9, 1.0 - 1e-13, 1.0 + 1e-13, 1.0 + 1e-11, 1.0 + 1e-9, 1.0 + 1e-3):
        found = fedopt.schedule(clients, work, EnergyBudget(least * share), access=access)
        assert (found.status is Status.INFEASIBLE) is (share < 1.0), share


@pytest.mark.parametrize("gain", [1.5e-21, 1e-17, 1e-13, 1e-11])
def test_time_saves_until_the_circuit_has_what_the_channel_wants(gain: float) -> None:
    """Where even the best efficiency is some billionths of a nat: T_flat is known to its last digits."""
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=2e9, samples=1, channel_gain=[gain, gain], bandwidth=1e6, power_max=0.2,
        circuit_power=1e-12, static_power=0.1,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e9, upload_bits=1e4), SharedBandwidth(2e6)
    scheme = Scheme(clients, access)
    known = scheme.limits(scheme.rows(work))
    assert known.t_flat == pytest.approx(float(Fleet(clients.take([0]), work).t_flat), rel=1e-14)
    found = fedopt.schedule(clients, work, TimePrice(1e-60), access=access)
    assert found.status is Status.OPTIMAL
    assert fedopt.verify_schedule(clients, work, TimePrice(1e-60), found, access=access).ok


@pytest.mark.parametrize(
    "budget", [PowerBudget(2.0), EnergyBudget(1e12), EnergyBudget(math.inf), TimePrice(1.0)], ids=str
)
def test_who_has_no_greatest_power_shares_what_rounding_leaves_of_the_shortest_round(budget: object) -> None:
    """Sending takes less than the last digit of the round, in which one of them has all the power it asks for."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=15.0, samples=500, channel_gain=1e-11, bandwidth=2.5e5, static_power=0.05,
        flops_per_cycle=1.0, power_max=[0.2, 0.2, 0.2, math.inf], circuit_power=0.05, overhead=0.05,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e10, upload_bits=3e5), SharedBandwidth(1e13)
    found = fedopt.schedule(clients, work, budget, access=access)
    assert found.status.solved, found.reason
    assert fedopt.verify_schedule(clients, work, budget, found, access=access).ok


def test_time_is_wanted_on_a_share_far_smaller_than_the_channel() -> None:
    """A few bits beside millions, and a circuit that draws next to nothing: F(x)^2/x = P_c mu gamma^2/a of either, and
    their shares add up to the channel at one mu, by 60 digits."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, static_power=0.1, channel_gain=[2.6e-6, 6.6e-23],
        bandwidth=1e6, power_max=math.inf, circuit_power=[30.0, 8.6e-44],
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e8, upload_bits=[4e6, 1e-18]), SharedBandwidth(1e6)
    scheme = Scheme(clients, access)
    known = scheme.limits(scheme.rows(work))
    with mpmath.workdps(60):
        a = [mpmath.mpf(bits) * mpmath.log(2) / 1e6 for bits in work.upload_bits]
        gamma = [mpmath.mpf(gain) / (mpmath.mpf(3.981e-21) * 1e6) for gain in clients.channel_gain]
        power = [mpmath.mpf(watts) for watts in clients.circuit_power]

        def root(f: Any, low: Any, high: Any) -> Any:
            for _ in range(220):
                middle = (low + high) / 2
                low, high = (middle, high) if f(middle) < 0 else (low, middle)
            return low

        def marginal(x: Any) -> Any:
            return 1 + (x - 1) * mpmath.exp(x)

        def sending(log_mu: Any) -> list[tuple[Any, Any]]:
            """x and tau [s]."""
            mu = mpmath.exp(log_mu)
            wanted = [mpmath.log(p * mu * g * g / each) for p, g, each in zip(power, gamma, a, strict=True)]
            x = [
                mpmath.exp(root(lambda y, w=w: mpmath.log(marginal(mpmath.exp(y)) ** 2) - y - w, -60, 6))
                for w in wanted
            ]
            return [(each, mu * g / marginal(each)) for each, g in zip(x, gamma, strict=True)]

        def room(log_mu: Any) -> Any:
            return 1 - sum(each / (x * tau) for each, (x, tau) in zip(a, sending(log_mu), strict=True))

        sent = sending(root(room, -60, 60))
        computing = min(float(max(clients.frequency_min[0], (0.1 / 2e-28) ** (1 / 3))), 1e9)
    assert known.t_flat == pytest.approx(float(max(tau for _, tau in sent)) + 1e8 / computing, rel=1e-9)
