"""Limits of a shared band that come from two sides: of who sends at one power, and of who waits for whom."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from fleets import make
from test_shared_turns import rows

import fedopt
from fedopt import EnergyBudget, PowerBudget, SharedBandwidth, Status
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
