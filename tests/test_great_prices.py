"""Prices of time beyond what full speed needs: beside price x duration energies are rounding, and count still."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import SharedBandwidth, Status, TimeDivision, TimePrice

CLIENTS = fedopt.Clients(
    frequency_min=0.0,
    frequency_max=[1e9, 1.3e9, 1.7e9, 2e9, 2.9e9],
    samples=[100.0, 170.0, 230.0, 310.0, 390.0],
    channel_gain=[1e-11, 3e-12, 2e-11, 5e-12, 8e-12],
    bandwidth=1e6,
)
TYPES = (
    fedopt.SubModel("a", flops=34e6, upload_bits=5e5),
    fedopt.SubModel("b", flops=33e6, upload_bits=4.9e5),
    fedopt.SubModel("c", flops=33.0001e6, upload_bits=4.90001e5),
)
PARTITIONS = [(5, 0, 0), (4, 1, 0), (3, 2, 0), (2, 3, 0), (1, 4, 0), (0, 4, 1), (0, 5, 0)]
ACCESS = [None, TimeDivision(1e6), SharedBandwidth(1e6)]


def problem_of(access: Any, watts: float, utility: Any, partitions: Any) -> fedopt.Problem:
    budget = TimePrice(watts)
    return fedopt.Problem(CLIENTS, TYPES, budget=budget, access=access, utility=utility, partitions=partitions)


@pytest.mark.parametrize("access", ACCESS, ids=str)
@pytest.mark.parametrize("utility", ["least_energy", lambda partition, T, E: -E], ids=["least_energy", "callable"])
@pytest.mark.parametrize("watts", [1e3, 1e12, 1e16, 1e18, 1e100])
def test_the_partition_of_least_energy_is_that_of_the_least_alone(access: Any, utility: Any, watts: float) -> None:
    """Two of them are one millionth apart."""
    alone = [fedopt.solve(problem_of(access, watts, "shortest_round", [p])).energy for p in PARTITIONS]
    problem = problem_of(access, watts, utility, PARTITIONS)
    found = fedopt.solve(problem)
    assert found.status is Status.OPTIMAL
    assert found.energy == pytest.approx(min(alone), rel=1e-9)
    assert found.partition is not None
    assert tuple(found.partition) == PARTITIONS[int(np.argmin(alone))]
    assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("watts", [1e12, 1e16, 1e100])
def test_of_matchings_as_short_the_one_of_least_energy_is_cheapest(watts: float) -> None:
    """On channels of their own: of all matchings of each partition; the prices of its places prove it, too."""
    every = [np.array(m) for m in itertools.product(range(3), repeat=5)]
    for counts in PARTITIONS[1:5]:
        problem = problem_of(None, watts, None, [counts])
        some = [m for m in every if np.bincount(m, minlength=3).tolist() == list(counts)]
        rounds = [fedopt.schedule(CLIENTS, CLIENTS.workload(TYPES, m), problem.budget) for m in some]
        best = min(rounds, key=lambda r: (r.duration, r.energy))
        found = fedopt.solve(problem)
        assert (found.duration, found.energy) == pytest.approx((best.duration, best.energy), rel=1e-12)
        assert fedopt.verify(problem, found).ok
