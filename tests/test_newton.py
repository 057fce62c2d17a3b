"""Newton's own ways: passes in chunks, other methods of level 3, prices in jumps, and how many passes it takes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fleets import ORDINARY, Instance, make, plain_budgets

import fedopt
from fedopt import EnergyBudget, PowerBudget, Status, TimePrice
from solvers.duration.steps import halley_guess

BUDGETS = (EnergyBudget, PowerBudget, TimePrice)


@pytest.mark.parametrize("family", ["typical", "mixed"])
def test_the_ways_of_large_fleets_lead_to_the_same_answer(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first guess from a sample of the rows, and passes in chunks; columns that are one number for all among them."""
    instance = make(family, 8, 300)
    clients = instance.clients.replace(bandwidth=2e6, capacitance=1e-28) if family == "typical" else instance.clients
    plain = Instance(clients, instance.work, instance.duration)
    budgets = plain_budgets(plain)
    usual = [fedopt.schedule(clients, instance.work, budget) for budget in budgets]
    for name, value in {"LARGE": 32, "_SAMPLE_LEAST": 16, "_SAMPLE_MOST": 64, "CHUNK": 1}.items():
        monkeypatch.setattr(f"solvers.duration.newton.{name}", value)
    monkeypatch.setattr("solvers.threads.CHUNK", 1)
    for budget, other in zip(budgets, usual, strict=True):
        found = fedopt.schedule(clients, instance.work, budget)
        assert found.status is other.status is Status.OPTIMAL
        assert found.duration == pytest.approx(other.duration, rel=1e-12)
        assert found.allocation is not None
        assert other.allocation is not None
        np.testing.assert_allclose(found.allocation.energy, other.allocation.energy, rtol=1e-9)
        assert found.stats["passes"] <= other.stats["passes"] + 1


@pytest.mark.parametrize("family", ORDINARY)
def test_another_method_of_level_3_takes_hardly_more_passes(family: str) -> None:
    """Newton works the curvature out of the readable reference's point, near bounds not quite as the kernel does."""
    passes = {"kernel": 0.0, "reference": 0.0}
    for seed in range(3):
        instance = make(family, 30 + seed, 6)
        for budget, method in itertools.product(plain_budgets(instance), passes):
            found = fedopt.schedule(instance.clients, instance.work, budget, allocation=method)
            passes[method] += found.stats["passes"]
    assert passes["reference"] <= 1.25 * passes["kernel"]


def test_newton_needs_few_passes() -> None:
    """P6: at most 5 passes over the clients on average and never more than 14, on mixed instances.

    A price of time may lie in a jump of the marginal energy, one per client that meets f_min or power_max: up to 6 on
    average there.
    """
    passes: dict[type, list[float]] = {kind: [] for kind in BUDGETS}
    for seed in range(20):
        for family in ORDINARY:
            instance = make(family, seed, 200)
            for budget in plain_budgets(instance):
                found = fedopt.schedule(instance.clients, instance.work, budget, timing="newton")
                assert found.status.solved, found.reason
                passes[type(budget)].append(found.stats["passes"])
    budgets = passes[EnergyBudget] + passes[PowerBudget]
    assert len(budgets) == 280
    assert np.mean(budgets) <= 5.0
    assert max(budgets) <= 14
    assert len(passes[TimePrice]) > 100
    assert np.mean(passes[TimePrice]) <= 6.0
    assert max(passes[TimePrice]) <= 14


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", ORDINARY)
def test_a_price_of_time_anywhere_is_met_or_jumped_over(family: str, seed: int) -> None:
    """Over fourteen decades of prices, in jumps too: price(T+) <= value <= price(T-), by the readable reference."""
    instance = make(family, seed, 5)
    shortest = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf)).duration
    for value in np.geomspace(1e-9, 1e5, 29):
        found = fedopt.schedule(instance.clients, instance.work, TimePrice(value))
        assert found.status is Status.OPTIMAL, found.reason
        after = _price(instance, found.duration * (1.0 + 1e-9))
        assert after <= value * (1.0 + 1e-6)
        if found.duration > shortest * (1.0 + 1e-9):
            assert _price(instance, found.duration * (1.0 - 1e-9)) >= value * (1.0 - 1e-6)


def _price(instance: Instance, duration: float) -> float:
    """What one more second would save all clients [W], right of a duration."""
    found = fedopt.allocate(instance.clients, instance.work, duration=duration, allocation="reference")
    return float(found.price.sum())


def test_a_budget_without_limit_has_no_step_of_its_own() -> None:
    """ln((E - floor) / (inf - floor)) is no number: compiled code goes on with it, Python's own refuses it."""
    assert math.isnan(halley_guess(1.0, 2.0, 1.0, 1.0, 0.5, math.inf, 0.0))
    assert halley_guess(1.0, 2.0, 1.0, 1.0, 0.5, 2.0, 0.0) == 1.0  # E is the limit: there is nowhere to go


@pytest.mark.parametrize(
    ("f_max", "samples", "gain", "bandwidth", "cycles", "bits", "budget"),
    [
        (9.78178397e8, 32, 5.1729885e-16, 64052.15517044, 409714.51667351, 1644562.31840361, 6.217625951406463e163),
        (2.67678643e8, 393, 5.78536171e-8, 20445.11989386, 31763391.39543592, 1513600.32042525, 1.0325161998418e235),
    ],
)
def test_a_budget_near_the_end_of_all_doubles_at_full_speed(
    f_max: float, samples: int, gain: float, bandwidth: float, cycles: float, bits: float, budget: float
) -> None:
    """Without a power limit, the CPU at its bound: such rows are priced by the safe path, which knows its curvature."""
    clients = fedopt.Clients(
        frequency_min=0,
        frequency_max=f_max,
        samples=samples,
        channel_gain=gain,
        bandwidth=bandwidth,
        power_max=math.inf,
    )
    work = fedopt.Workload(cycles=cycles, upload_bits=bits)
    found = fedopt.schedule(clients, work, EnergyBudget(budget))
    assert found.status is Status.OPTIMAL
    assert found.stats["passes"] <= 20
    assert found.energy == pytest.approx(budget, rel=1e-11)
    again = fedopt.allocate(clients, work, duration=found.duration)
    assert found.allocation.price[0] == pytest.approx(again.price[0], rel=1e-11)
