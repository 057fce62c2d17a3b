"""Units do not matter where a channel is shared either: not to matchings, nor to what is proved of all others."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, SharedBandwidth, TimeDivision, TimePrice

UNITS = ((1.0, 1.0), (2.0**-60, 1.0), (2.0**40, 2.0**-15))
PLACES = [(1, 2, 9), (3, 9, 0), (4, 3, 5), (8, 1, 3), (0, 0, 12)]  # the last one sends nothing


def problem(access: Any, joule: float, second: float) -> fedopt.Problem:
    """Twelve phones on a channel that is narrow, a joule and a second so many of the units."""
    rng, watt = np.random.default_rng(0), joule / second
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=rng.uniform(1e9, 3e9, 12) / second, bandwidth=1e6 / second,
        samples=300.0 * 10.0 ** rng.uniform(-0.5, 0.5, 12), channel_gain=10.0 ** rng.uniform(-13.0, -9.0, 12),
        capacitance=1e-28 * 10.0 ** rng.uniform(-0.3, 0.3, 12) * joule * second**2, noise_density=3.981e-21 * joule,
        power_max=0.2 * watt, circuit_power=0.05 * watt,
    )  # fmt: skip
    types = (
        fedopt.SubModel("whole", flops=34e6, upload_bits=5e5),
        fedopt.SubModel("half", flops=17e6, upload_bits=2.5e5),
        fedopt.SubModel("silent", flops=30e6, upload_bits=0.0),
    )
    return fedopt.Problem(
        clients, types, budget=Deadline(1e-9 * second), access=access(6e5 / second), partitions=PLACES,
        utility=fedopt.LeastEnergy(),
    )  # fmt: skip


def answered(given: fedopt.Problem, budget: Any, joule: float, second: float) -> list[float]:
    """Duration and energy, and what no matching takes less than, or the bracket of the cost, in s and J."""
    asked = dataclasses.replace(given, budget=budget)
    solution = fedopt.solve(asked)
    assert solution.status.solved
    assert fedopt.verify(asked, solution).ok
    proved = solution.cost_bracket if isinstance(budget, TimePrice) else (-(solution.bound or 0.0),)
    return [solution.duration / second, *(each / joule for each in (solution.energy, *proved))]


@pytest.mark.parametrize("access", [SharedBandwidth, TimeDivision])
def test_just_after_the_quickest_round_units_change_nothing(access: Any) -> None:
    """No sorted matching is in time, and says how large prices are."""
    known: list[list[float]] = []
    for joule, second in UNITS:
        given = problem(access, joule, second)
        quickest = fedopt.solve(given).shortfall
        assert quickest is not None
        found = [answered(given, Deadline(quickest * later), joule, second) for later in (1.0 + 1e-6, 1.01)]
        known = known or found
        assert np.array(found) == pytest.approx(np.array(known), rel=1e-9)
    assert all(0.8 * energy < proved <= energy for _, energy, proved in known)


@pytest.mark.parametrize("access", [SharedBandwidth, TimeDivision])
def test_at_a_price_of_time_units_change_nothing(access: Any) -> None:
    """The last partition sends nothing, and says nothing of the price of bandwidth."""
    found = [answered(problem(access, *unit), TimePrice(0.6 * unit[0] / unit[1]), *unit) for unit in UNITS]
    for each in found:
        assert each == pytest.approx(found[0], rel=1e-9)
