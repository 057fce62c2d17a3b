"""Kinks of the energy where the last digit of a duration is worth much: neither an ulp before is right nor far behind.

Once an energy of one side of a kink went with a price of the other: a tangent of both left nothing between it and a
round twice as long; and a pass by derivatives took a price for that behind a kink, up to which it had not come.
"""

from __future__ import annotations

import numpy as np
import pytest

import fedopt
from fedopt import EnergyBudget, Problem, Status, SubModel, TimePrice
from fedopt.rounds import rows_of
from solvers.limits import free_point


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_met_at_a_kink_is_met_there(seed: int) -> None:
    """The first client computes for 1e10 s to 1e13 s, sends in less than a second, and saves nothing by more of that.

    From there on the energy is flat, and within the budget, as the readable reference has it some ulps later.
    """
    rng = np.random.default_rng(seed)
    fastest = rng.uniform(0.8e9, 2.5e9, 2)
    fastest[0] /= 10.0 ** rng.uniform(10, 13)
    clients = fedopt.Clients(
        frequency_min=0.2 * fastest,
        frequency_max=fastest,
        samples=500,
        channel_gain=10.0 ** rng.uniform(-12, -9, 2),
        bandwidth=2e5,
        circuit_power=0.02,
    )
    one = SubModel("one", flops=2e7, upload_bits=3e5)
    work = clients.workload((one,), np.zeros(2, dtype=int))
    rows = rows_of(clients, work)
    _, x = free_point(rows.full())
    kink = float(work.cycles[0] / fastest[0] + rows.full().transfer[0] / x[0])
    there = fedopt.allocate(clients, work, duration=kink * (1.0 + 1e-15), allocation="reference")
    for more in (1e-14, 1e-13, 1e-12, 1e-11, 1e-10):
        budget = EnergyBudget(float(there.energy.sum()) * (1.0 + more))
        found = fedopt.schedule(clients, work, budget)
        whole = fedopt.solve(Problem(clients, (one,), budget=budget))
        for status, T, (low, high) in (
            (found.status, found.duration, found.bracket),
            (whole.status, whole.duration, whole.bracket),
        ):
            assert status is Status.OPTIMAL
            assert low <= kink * (1.0 + 1e-15)
            assert T <= high <= kink * (1.0 + 2e-9)


@pytest.mark.parametrize("seed", [0, 1, 140, 382, 385, 398, 401, 633])
def test_a_price_of_time_is_met_behind_a_kink_not_an_ulp_before(seed: int) -> None:
    """A chip 1e8 to 1e14 times as fast; the doubles next to the answer cost no less."""
    rng = np.random.default_rng(seed)
    fastest = rng.uniform(0.8e9, 2.5e9) * 10.0 ** rng.uniform(8, 14)
    clients = fedopt.Clients(
        frequency_min=[fastest * rng.choice([0.2, 0.5, 0.9])],
        frequency_max=fastest,
        capacitance=1e-28,
        samples=500,
        channel_gain=10.0 ** rng.uniform(-12, -8),
        bandwidth=2e5,
        power_min=rng.choice([0.0, 0.001]),
        overhead=rng.choice([0.1, 1.0]),
    )
    work = fedopt.Workload(cycles=10.0 ** rng.uniform(9, 10), upload_bits=rng.uniform(1e5, 6e5))
    price = TimePrice(10.0 ** rng.uniform(0, 24))
    found = fedopt.schedule(clients, work, price)
    assert found.status is Status.OPTIMAL
    T = found.duration
    for later in (-4, -2, -1, 1, 2, 4, 16):
        near = T + later * np.spacing(T)
        cost = float(fedopt.allocate(clients, work, duration=near).energy.sum()) + price.watts * near
        assert found.energy + price.watts * T <= cost * (1.0 + 1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_a_price_of_time_just_behind_t_min_waits_for_the_part_that_pays(seed: int) -> None:
    """Sending takes 1e10 s and computing seconds: the last digit of T_min hides which of the two more time would go to.

    The right price falls by 1e-9 to 1e-7 of it in some minutes, that of sending; computing's falls 1e6 times as fast.
    """
    rng = np.random.default_rng(seed)
    clients = fedopt.Clients(
        frequency_min=[0.0],
        frequency_max=rng.uniform(0.8e9, 2.5e9),
        capacitance=1.5e-28,
        samples=500,
        channel_gain=10.0 ** rng.uniform(-12, -10.5),
        bandwidth=2e-7,
        power_max=0.1,
        static_power=0.1,
    )
    work = fedopt.Workload(cycles=10.0 ** rng.uniform(9, 10.3), upload_bits=rng.uniform(1e5, 6e5))
    t_min = fedopt.schedule(clients, work, EnergyBudget(np.inf)).duration
    later = t_min + 10.0 ** rng.uniform(0, 2.5)
    price = TimePrice(float(fedopt.allocate(clients, work, duration=later, allocation="reference").price[0]))
    for timing in ("newton", "bisection"):
        for allocation in ("kernel", "reference"):
            found = fedopt.schedule(clients, work, price, timing=timing, allocation=allocation)
            assert found.status is Status.OPTIMAL
            assert abs(found.duration - later) <= 1e-3 * (later - t_min) + 4.0 * np.spacing(t_min)
