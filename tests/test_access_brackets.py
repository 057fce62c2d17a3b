"""Brackets of a shared uplink's duration: rounding allowed for, and the best duration within."""

from __future__ import annotations

import math
from typing import Any

import oracle
import pytest

import fedopt
from fedopt import EnergyBudget, SharedBandwidth, Status, TimeDivision
from solvers.access import PROVED
from solvers.access.brackets import bracketed
from solvers.duration.verdicts import Seen
from solvers.rows import Goal


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_a_bracket_allows_for_what_rounding_hides_of_an_energy(goal: Goal) -> None:
    """Below by the tangent of the dual value, above by twice that of the energy; 4e-15 of 4 J may be hidden."""
    never: Any = None
    value = 4.0 if goal is Goal.ENERGY else 2.0  # in 2 s
    slope = 0.5 + (value if goal is Goal.POWER else 0.0)
    hidden = 4.0 * 4e-15 / slope
    low, high = bracketed(goal, value, 2.0, 4.0, 4.0, 0.5, 1.0, 1.0, never, never)
    assert (2.0 - low, high - 2.0) == (pytest.approx(hidden, rel=0.1), pytest.approx(2.0 * hidden, rel=0.1))
    low, high = bracketed(goal, value, 2.0, 4.0 - 1e-9, 4.0 - 1e-8, 0.5, 1.0, 1.0, never, never)
    assert (low, high) == (pytest.approx(2.0 - 1e-8 / slope - hidden, rel=1e-15), 2.0)
    wide = bracketed(goal, value, 2.0, 4.0, 0.0, 0.5, 1.0, 1.9, lambda: math.inf, never)
    assert wide[0] == 1.9  # nothing is shorter
    loud = bracketed(goal, value, 2.0, 4.0, 4.0, 0.5, 600.0, 1.0, never, never)  # roundings of e^x are x times as great
    assert 2.0 - loud[0] == pytest.approx(4.0 * 600.0 * 2.0**-51 / slope, rel=1e-2)


def test_where_time_saves_next_to_nothing_a_shorter_round_and_the_latest_are_asked_for() -> None:
    """E falls by 1e-9 W here, which hides 2e-5 s; a round of a budget greater by twice the rounding falls by 1 W."""
    asked = list[float]()

    def sooner(budget: float) -> Seen:
        asked.append(budget)
        return Seen(1.999, 1e-3 - 1e-9, 1.0)

    low, high = bracketed(Goal.ENERGY, 4.0, 2.0, 4.0, 4.0, 1e-9, 1.0, 1.0, lambda: 2.000001, sooner)
    assert (low, high) == (pytest.approx(2.0 - 1e-9, rel=1e-12), 2.000001)
    assert asked == [4.0 * (1.0 + 8e-15)]
    low, high = bracketed(Goal.ENERGY, 4.0, 2.0, 4.0, 4.0, 1e-9, 1.0, 1.0, lambda: math.inf, lambda budget: None)
    assert (2.0 - low, high - 2.0) == (pytest.approx(1.6e-5, rel=0.1), pytest.approx(3.2e-5, rel=0.1))


@pytest.mark.parametrize(
    ("hides", "expected"), [(0.33, ""), (0.34, "latest"), (0.99, "latest"), (1.01, "sooner latest")]
)
@pytest.mark.parametrize("T", [0.01, 300.0])
def test_they_are_asked_for_where_rounding_hides_a_millionth_of_the_duration(
    hides: float, expected: str, T: float
) -> None:
    """``hides`` of that before the duration, and twice as much after it."""
    asked = list[str]()
    price = 4.0 * 4e-15 / (hides * 1e-6 * T)
    low, high = bracketed(
        Goal.ENERGY, 4.0, T, 4.0, 4.0, price, 1.0, 0.0,
        lambda: asked.append("latest") or math.inf, lambda budget: asked.append("sooner"),
    )  # fmt: skip
    assert " ".join(asked) == expected
    assert (T - low, high - T) == (pytest.approx(hides * 1e-6 * T, rel=0.1), pytest.approx(2e-6 * hides * T, rel=0.1))


@pytest.mark.parametrize("scheme", [SharedBandwidth, TimeDivision])
def test_next_to_the_least_energy_the_best_duration_is_in_the_bracket(scheme: Any) -> None:
    """One phone, against 60 digits on a channel of its own; what leaves more than 1e-6 open is a limit."""
    clients = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=1.2e9, capacitance=1e-28, samples=600.0, channel_gain=2e-11, bandwidth=1e6,
        noise_density=3.981e-21, power_max=0.2,
    )  # fmt: skip
    work = fedopt.Workload(cycles=2e10, upload_bits=5e5, download_bits=0.0)
    truth = oracle.Fleet(clients, work)
    for more in (1e-3, 1e-6, 1e-8, 1e-10, 1e-12, 1e-13, 1e-14):
        budget = EnergyBudget(float(truth.e_inf) * (1.0 + more))
        best = float(truth.schedule(budget).duration)
        found = fedopt.schedule(clients, work, budget, access=scheme(1e6))
        assert found.bracket[0] <= best * (1.0 + 1e-12)
        assert found.bracket[1] >= best * (1.0 - 1e-12)
        wide = found.bracket[1] - found.bracket[0] > PROVED * found.duration
        assert found.status is (Status.LIMIT if wide else Status.OPTIMAL)
        assert wide or more >= 1e-9
        assert not (wide and more > 1e-7)


@pytest.mark.parametrize("access", [None, SharedBandwidth(2e6)], ids=["own", "band"])
def test_next_to_the_shortest_round_the_best_duration_is_in_the_bracket(access: Any) -> None:
    """Two phones alike, whose budget misses or covers what full speed takes by no more than hairs; against 60 digits.
    T_min itself is rounded."""
    clients = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=1.2e9, capacitance=1e-28, samples=600.0, channel_gain=[2e-11] * 2,
        bandwidth=1e6, noise_density=3.981e-21, power_max=0.2,
    )  # fmt: skip
    types = [fedopt.SubModel("whole", flops=2e7, upload_bits=5e5)]
    work = clients.workload(types, [0, 0])
    truth = oracle.Fleet(clients, work)
    full = float(truth.energy(truth.t_min))
    for less in (-1e-12, -1e-13, 0.0, 1e-15, 1e-14, 1e-13, 5e-13, 9.9e-13, 1.1e-12, 1e-11):
        budget = EnergyBudget(full * (1.0 - less))
        best = truth.schedule(budget).duration
        alone = fedopt.schedule(clients, work, budget, access=access)
        whole = fedopt.solve(fedopt.Problem(clients, types, budget=budget, access=access))
        for found in (alone, whole):
            assert found.status.solved
            assert found.bracket[0] * (1.0 - 1e-15) <= best <= found.bracket[1] * (1.0 + 1e-15)
            assert found.bracket[1] - found.bracket[0] < 1e-11 * found.duration
