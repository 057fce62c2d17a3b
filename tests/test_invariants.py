"""R7 and R8: units do not matter, and what must not change the answer does not change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fleets import Instance, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status, TimePrice

EPS = 2.0**-52
SAME = 1e-13
seeds = st.integers(min_value=0, max_value=10_000)
families = st.sampled_from(["typical", "wide", "powers", "bounds", "mixed"])
sizes = st.integers(min_value=1, max_value=30)
levels = st.floats(min_value=0.02, max_value=0.98)

Body = Callable[..., None]
INVARIANTS: dict[str, tuple[Body, tuple[Any, ...]]] = {}


def invariant(*strategies: Any) -> Callable[[Body], Body]:
    """Enter a property with what it is drawn from; test_invariant tries it."""

    def enter(body: Body) -> Body:
        INVARIANTS[body.__name__] = body, strategies
        return body

    return enter


def plain(instance: Instance, level: float) -> EnergyBudget:
    """A budget between the least energy and that of the least duration, where E still falls."""
    least = fedopt.schedule(instance.clients, instance.work, EnergyBudget(np.inf))
    far = fedopt.allocate(instance.clients, instance.work, duration=1e6 * least.duration).energy.sum()
    return EnergyBudget(float(far + level * (least.energy - far)))


def decides(instance: Instance) -> bool:
    """Does the energy fall with time at all?"""
    least = fedopt.schedule(instance.clients, instance.work, EnergyBudget(np.inf))
    later = fedopt.allocate(instance.clients, instance.work, duration=1.5 * least.duration).energy.sum()
    return bool(later < 0.999 * least.energy)


def solve(instance: Instance, budget: Any) -> fedopt.Schedule:
    found = fedopt.schedule(instance.clients, instance.work, budget)
    assert found.status.solved, found.reason
    return found


# --- R7: units -----------------------------------------------------------------------------------------------------


def rescaled(instance: Instance, energy: float, time: float, cycle: float) -> Instance:
    """The same fleet in other units: a joule is ``energy`` of the new ones, a second ``time``, a cycle ``cycle``.

    A bit stays a bit. Powers scale by energy/time, frequencies by cycle/time, kappa (J s^2 / cycle^3) and the noise
    density (W/Hz = J) accordingly.
    """
    c, w = instance.clients, instance.work
    power, hertz = energy / time, cycle / time
    clients = fedopt.Clients(
        frequency_min=c.frequency_min * hertz,
        frequency_max=c.frequency_max * hertz,
        capacitance=c.capacitance * (energy * time**2 / cycle**3),
        static_power=c.static_power * power,
        samples=c.samples,
        channel_gain=c.channel_gain,
        bandwidth=c.bandwidth / time,
        noise_density=c.noise_density * energy,
        power_max=c.power_max * power,
        power_min=c.power_min * power,
        circuit_power=c.circuit_power * power,
        download_rate=c.download_rate / time,
        receive_power=c.receive_power * power,
        overhead=c.overhead * time,
    )
    work = fedopt.Workload(cycles=w.cycles * cycle, upload_bits=w.upload_bits, download_bits=w.download_bits)
    return Instance(clients, work, instance.duration * time)


UNITS = ["energy", "time", "cycle"]


def check_units(family: str, seed: int, unit: str, factor: float, tolerance: float) -> None:
    instance = make(family, seed, 8)
    if not decides(instance):
        return
    one = {"energy": 1.0, "time": 1.0, "cycle": 1.0} | {unit: factor}
    other = rescaled(instance, **one)
    budget, power = plain(instance, 0.3), one["energy"] / one["time"]
    timely = solve(instance, Deadline(instance.duration))
    assert timely.allocation is not None
    watts = 1.1 * float(timely.allocation.price.sum())
    for here, there in (
        (budget, EnergyBudget(budget.joules * one["energy"])),
        (PowerBudget(budget.joules / instance.duration), PowerBudget(budget.joules / instance.duration * power)),
        (TimePrice(watts), TimePrice(watts * power)),
        (Deadline(instance.duration), Deadline(other.duration)),
        (EnergyBudget(np.inf), EnergyBudget(np.inf)),
    ):
        first, second = solve(instance, here), solve(other, there)
        assert first.status is second.status
        assert first.allocation is not None
        assert second.allocation is not None
        budgeted = isinstance(here, EnergyBudget | PowerBudget)
        conditioned = tolerance * (condition(instance, first) if budgeted else 1.0)
        near(second.duration, first.duration * one["time"], conditioned)
        near(second.energy, first.energy * one["energy"], 8.0 * tolerance)
        near(second.allocation.frequency, first.allocation.frequency * (one["cycle"] / one["time"]), 100 * conditioned)
        near(second.allocation.rate, first.allocation.rate / one["time"], 100 * conditioned)


def condition(instance: Instance, found: fedopt.Schedule) -> float:
    """E/(T |E'|), at least 1: by so much a rounding of the budget moves T."""
    assert found.allocation is not None
    price = float(found.allocation.price.sum())
    return max(1.0, found.energy / (found.duration * price)) if price > 0.0 else 1.0


def near(found: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("exponent", [-90, -31, -3, 1, 2, 40, 99])
def test_powers_of_two_in_the_units_change_no_bit(unit: str, exponent: int) -> None:
    for family in ("typical", "wide", "powers"):
        for seed in range(3):
            check_units(family, seed, unit, 2.0**exponent, 0.0)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("exponent", [-30, -17, -9, -3, -1, 1, 3, 6, 12, 21, 30])
def test_powers_of_ten_in_the_units_change_nothing_but_roundings(unit: str, exponent: int) -> None:
    """Every input is rounded once more, so T moves by some ulp times its condition."""
    for family in ("typical", "powers"):
        check_units(family, 1, unit, 10.0**exponent, 32 * EPS)


@pytest.mark.nightly("R7", 61 * 20)
@pytest.mark.parametrize("unit", UNITS)
def test_every_power_of_ten_in_the_units(unit: str) -> None:
    for exponent in range(-30, 31):
        for seed in range(20):
            check_units(("typical", "wide", "powers")[seed % 3], seed, unit, 10.0**exponent, 32 * EPS)


# --- R8: invariants --------------------------------------------------------------------------------------------------


@invariant(families, seeds, st.integers(min_value=2, max_value=30), levels)
def the_order_of_clients_does_not_matter(family: str, seed: int, size: int, level: float) -> None:
    instance = make(family, seed, size)
    if not decides(instance):
        return
    order = np.random.default_rng(seed).permutation(size)
    budget = plain(instance, level)
    first = solve(instance, budget)
    second = solve(Instance(instance.clients.take(order), chosen(instance.work, order), instance.duration), budget)
    near(second.duration, first.duration, SAME * condition(instance, first))
    for name in ("frequency", "rate", "energy"):
        scale = 100 * SAME * condition(instance, first)
        near(getattr(second.allocation, name), getattr(first.allocation, name)[order], scale)


@invariant(families, seeds, sizes, levels)
def twice_the_clients_with_twice_the_budget_take_the_same_time(family: str, seed: int, size: int, level: float) -> None:
    instance = make(family, seed, size)
    if not decides(instance):
        return
    budget = plain(instance, level)
    first = solve(instance, budget)
    second = solve(doubled(instance), EnergyBudget(2.0 * budget.joules))
    near(second.duration, first.duration, SAME * condition(instance, first))
    near(second.energy, 2.0 * first.energy, 10 * SAME)


def doubled(instance: Instance) -> Instance:
    twice = np.tile(np.arange(len(instance.clients)), 2)
    return Instance(instance.clients.take(twice), chosen(instance.work, twice), instance.duration)


def chosen(work: fedopt.Workload, index: np.ndarray) -> fedopt.Workload:
    """The workload of the clients at ``index``."""
    columns = {name: getattr(work, name)[index] for name in ("cycles", "upload_bits", "download_bits")}
    return fedopt.Workload(**columns)


@invariant(
    families, seeds, sizes, st.floats(min_value=0.05, max_value=0.9), st.sampled_from(["energy", "power", "price"])
)
def a_larger_budget_shortens_the_round(family: str, seed: int, size: int, level: float, kind: str) -> None:
    instance = make(family, seed, size)
    if not decides(instance):
        return
    first = solve(instance, plain(instance, level))
    if first.status is Status.SLACK:
        return
    assert first.allocation is not None
    budgets = {
        "energy": EnergyBudget(1.05 * first.energy),
        "power": PowerBudget(1.05 * first.energy / first.duration),
        "price": TimePrice(1.05 * float(first.allocation.price.sum()) + 1e-200),
    }
    second = solve(instance, budgets[kind])
    least = solve(instance, EnergyBudget(np.inf)).duration
    if kind == "price":
        assert least <= second.duration <= first.duration
    else:
        assert least <= second.duration < first.duration


@invariant(st.sampled_from(["typical", "wide", "bounds"]), seeds, sizes)
def a_better_channel_costs_less(family: str, seed: int, size: int) -> None:
    """At the same duration, for who has something to send and is not at power_min with its own energy above it."""
    instance = make(family, seed, size)
    clients = instance.clients.replace(power_min=0.0)
    better = clients.replace(channel_gain=1.1 * clients.channel_gain)
    first = fedopt.allocate(clients, instance.work, duration=instance.duration)
    second = fedopt.allocate(better, instance.work, duration=instance.duration)
    sending = instance.work.upload_bits > 0.0
    upload = first.upload_time * (first.power + clients.circuit_power)
    visible = sending & (upload > 1e-9 * first.energy)
    assert np.all(second.energy[visible] < first.energy[visible])
    assert np.all(second.energy <= first.energy * (1.0 + 1e-14))


@invariant(families, seeds, st.integers(min_value=1, max_value=20), levels)
def one_more_client_makes_the_round_longer(family: str, seed: int, size: int, level: float) -> None:
    """The budget stays, somebody joins who needs energy at every duration."""
    instance = make(family, seed, size)
    if not decides(instance):
        return
    budget = plain(instance, level)
    first = solve(instance, budget)
    if first.status is Status.SLACK:
        return
    assert first.allocation is not None
    members = np.append(np.arange(size), np.argmax(first.allocation.energy))  # the hungriest one twice
    second = fedopt.schedule(instance.clients.take(members), chosen(instance.work, members), budget)
    if second.status is not Status.INFEASIBLE:
        assert second.duration > first.duration


@invariant(families, seeds, sizes, st.floats(min_value=0.01, max_value=3.0))
def the_energy_of_a_duration_gives_the_duration_back(family: str, seed: int, size: int, later: float) -> None:
    """E(T*) as a budget leads to T*, to the condition of T; so does E(T*)/T* as a power budget, always well."""
    instance = make(family, seed, size)
    if not decides(instance):
        return
    T = (1.0 + later) * solve(instance, EnergyBudget(np.inf)).duration
    at = solve(instance, Deadline(T))
    assert at.allocation is not None
    if float(at.allocation.price.sum()) * T < 1e-6 * at.energy:
        return
    back = solve(instance, EnergyBudget(at.energy))
    near(back.duration, T, 20 * SAME * condition(instance, at))
    back = solve(instance, PowerBudget(at.energy / T))
    near(back.duration, T, 20 * SAME)


@invariant(families, seeds, sizes)
def the_same_input_gives_the_same_bits(family: str, seed: int, size: int) -> None:
    instance = make(family, seed, size)
    first = fedopt.allocate(instance.clients, instance.work, duration=instance.duration)
    second = fedopt.allocate(instance.clients, instance.work, duration=instance.duration)
    for name in first.__slots__:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    budget = EnergyBudget(float(1.01 * first.energy.sum()))
    assert solve(instance, budget).duration == solve(instance, budget).duration


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=pytest.mark.nightly("R8", 1000))])
@pytest.mark.parametrize("name", INVARIANTS)
def test_invariant(name: str, examples: int) -> None:
    body, strategies = INVARIANTS[name]
    drawn = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    drawn(given(*strategies)(body))()
