"""Many clients alike: what rounding does to sums of equal terms is no accident."""

from __future__ import annotations

from typing import Any

import pytest
from oracle import Fleet

import fedopt
from fedopt import EnergyBudget, TimeDivision


@pytest.mark.parametrize("cycles", [2.0e9, 2.148e9, 2.38e9])
@pytest.mark.parametrize("size", [64, 1024, 4096])
def test_equal_clients_in_turns_are_one_with_its_share_of_the_channel(size: int, cycles: float) -> None:
    """Equal energies are rounded alike, so that their sum is off by much more than that of others, and the bracket of
    the duration with it where time saves little: within it is the duration of the one to 60 digits."""
    one = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=2e9, static_power=0.5, circuit_power=0.3, channel_gain=1e-11, samples=1.0,
        bandwidth=1e6, power_max=1.0,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=cycles, upload_bits=2e5), TimeDivision(1e6 * size)
    alone = one.replace(
        circuit_power=0.3 / size, power_max=1.0 / size
    )  # 1e6 Hz and a slot that lasts size times longer
    least = float(Fleet(alone, work).e_inf)
    for more in (1e-10, 1e-11, 1e-6):
        joules = least * (1.0 + more)
        truth = Fleet(alone, work).schedule(EnergyBudget(joules)).duration
        found = fedopt.schedule(one.take([0] * size), work, EnergyBudget(joules * size), access=access)
        assert found.bracket[0] <= truth <= found.bracket[1]
        assert float(found.bracket[1] - truth) < 1e-4 * float(truth)


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize("access", [None, TimeDivision(4e6)], ids=["own", "turns"])
def test_of_energies_that_differ_by_rounding_the_shortest_round_is_the_best(access: Any, unit: float) -> None:
    """Every partition uses the budget up, so that last bits, and its unit, decided which was the least."""
    types = (
        fedopt.SubModel("whole", flops=3.4e7, upload_bits=5.4e5),
        fedopt.SubModel("half", flops=1.7e7, upload_bits=3.2e5, cover=2),
        fedopt.SubModel("quarter", flops=1.4e7, upload_bits=2e5, cover=4),
    )
    clients = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=2e9, samples=[500.0] * 16, channel_gain=1e-11 / unit, bandwidth=250e3,
        power_max=0.2 * unit, circuit_power=0.02 * unit, capacitance=1e-28 * unit,
    )  # fmt: skip
    partitions, budget = [(8, 8, 0), (4, 4, 8), (0, 0, 16)], EnergyBudget(9.6 * unit)
    each = [
        fedopt.solve(
            fedopt.Problem(clients, types, budget=budget, access=access, partitions=some, utility=fedopt.LeastEnergy())
        )
        for some in (*([one] for one in partitions), partitions)
    ]
    assert [found.energy for found in each] == pytest.approx([9.6 * unit] * 4, rel=1e-12)
    assert each[-1].partition == (0, 0, 16)
    assert each[-1].duration == each[2].duration < 0.5 * min(each[0].duration, each[1].duration)
    if access is None:
        front = fedopt.pareto(each[-1].problem, points=4)  # type: ignore[arg-type]
        assert front.at(budget).partition == (0, 0, 16)
