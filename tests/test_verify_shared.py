"""The verifier on a shared uplink: right answers within a jump of the price of time."""

from __future__ import annotations

from typing import Any

import pytest

import fedopt
from fedopt import SharedBandwidth, Status, TimePrice


def fleet(**changes: Any) -> fedopt.Clients:
    """One client, or as many as the changes have."""
    columns = {"frequency_min": 0.0, "frequency_max": 1e9, "capacitance": 1e-28, "samples": 1.0}
    more = {"channel_gain": 1e-10, "bandwidth": 1e6, "power_max": 0.1}
    return fedopt.Clients(**{**columns, **more, **changes})


def at_price(clients: fedopt.Clients, work: fedopt.Workload, watts: float) -> fedopt.Report:
    """The report on the answer at a price of time, its bandwidth shared."""
    budget, access = TimePrice(watts), SharedBandwidth(1e6)
    found = fedopt.schedule(clients, work, budget, access=access)
    assert found.status is Status.OPTIMAL
    return fedopt.verify_schedule(clients, work, budget, found, access=access)


@pytest.mark.parametrize("watts", [1e-5, 5e-5, 1.9e-4])
def test_a_price_below_that_of_the_least_frequency_is_proved_where_nobody_sends(watts: float) -> None:
    """2 kappa f_min^3 = 2e-4 W: any price of time up to that one leaves the client at f_min."""
    clients = fleet(frequency_min=1e8, overhead=5.0)
    report = at_price(clients, fedopt.Workload(cycles=1e9, upload_bits=0.0), watts)
    assert report.complete, str(report)


@pytest.mark.parametrize("watts", [300.0, 500.0, 1000.0, 1500.0, 2000.0])
def test_a_price_within_a_jump_of_those_who_send_is_proved_by_another_price_of_bandwidth(watts: float) -> None:
    """The first at its greatest frequency and least power, the second at its greatest: from 407 to 1,900 W or so all
    prices lead to one round, each with a price of bandwidth of its own."""
    clients = fleet(channel_gain=2e-11, power_min=0.1, power_max=0.15, overhead=[0.0, 1.0])
    report = at_price(clients, fedopt.Workload(cycles=[4e8, 0.0], upload_bits=2e5), watts)
    assert report.complete, str(report)


def test_who_sends_nothing_and_who_sends_leave_prices_open_together() -> None:
    """A third computes at its least frequency, done as the round ends: its price has a range of its own."""
    bounds: dict[str, Any] = {"frequency_min": [0.0, 0.0, 1e8], "power_min": 0.1, "power_max": 0.15}
    clients = fleet(channel_gain=2e-11, overhead=[0.0, 1.0, 0.0], **bounds)
    for cycles in (1.02132544e8, 1.0213254443623678e8):
        work = fedopt.Workload(cycles=[4e8, 0.0, cycles], upload_bits=[2e5, 2e5, 0.0])
        report = at_price(clients, work, 1000.0)
        assert report.complete, str(report)
