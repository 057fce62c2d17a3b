"""Limits of a shared band that come from two sides: of who sends at one power, and of who waits for whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fleets import make
from test_shared_turns import rows

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
