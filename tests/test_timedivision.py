"""Time division: the published rows of the project's acceptance.md (its case A), optimality, invariants and edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import Instance, make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, InputError, PowerBudget, Status, TimeDivision, TimePrice
from solvers.access import computing
from solvers.access.computing import Computing, computing_sums

# acceptance.md, case A: level v, price [W], then T_cmp [s], E_cmp [J], T_com [s], E_com [J] as printed there.
CASE_A = """
1      0.01  5.278911565  0.5402984377  3.443368563  0.6886737126
1      0.1   4.571428571  0.5764132653  2.277977549  0.7610167797
1      1     2.676614094  1.345507047   1.078062543  1.078062543
1      10    1.244581718  6.222908589   1.078062543  1.078062543
1      100   0.8          15.06122449   1.078062543  1.078062543
0.5    0.1   4.571428571  0.5764132653  2.339578738  0.9058652029
0.5    1     2.676614094  1.345507047   1.219072013  1.186886473
0.1    0.1   4.571428571  0.5764132653  2.65497811   1.684114921
0.1    1     2.676614094  1.345507047   1.924103272  1.84908829
0.01   1     2.676614094  1.345507047   2.317932309  2.246166136
0.001  0.01  5.278911565  0.5402984377  7.370653874  2.018756705
0.001  1     2.676614094  1.345507047   2.366588505  2.295936351
0.001  100   0.8          15.06122449   2.34227563   2.34227563
"""
ROWS = [tuple(line.split()) for line in CASE_A.split("\n") if line]
FAMILIES = ("typical", "wide", "powers", "bounds", "mixed", "tight", "loose")


def fifty(v: float) -> tuple[fedopt.Clients, fedopt.Workload]:
    """The fleet of case A: 20 cycles per bit of 4e7 to 8e7 bit, an update of 25,000 nats, gain 1e-4 d^-4."""
    n = np.arange(1, 51)
    step = (1.0 - v) / (1.0 + v) * 26.0 / 25.0
    metres = np.where(n <= 25, 26.0 - (26 - n) * step, 26.0 + (n - 25) * step)
    clients = fedopt.Clients(
        frequency_min=0.3e9,
        frequency_max=2e9,
        capacitance=1e-28,
        samples=1,
        channel_gain=1e-4 * metres**-4.0,
        bandwidth=7.0,  # of no account
        noise_density=1e-16,
        power_min=0.2,
        power_max=1.0,
    )
    cycles = 20.0 * np.linspace(4e7, 8e7, 50)
    return clients, fedopt.Workload(cycles=cycles, upload_bits=25_000 / math.log(2.0), download_bits=0.0)


def half_a_unit(printed: str) -> float:
    """Ten significant digits are shown, trailing zeros are not: half a unit of the tenth."""
    return 0.5001 * 10.0 ** (math.floor(math.log10(float(printed))) - 9)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"v{row[0]}-rho{row[1]}")
def test_case_a(row: tuple[str, ...]) -> None:
    clients, work = fifty(float(row[0]))
    found = fedopt.schedule(clients, work, TimePrice(float(row[1])), access=TimeDivision(1e6))
    assert found.status is Status.OPTIMAL
    assert found.allocation is not None
    assert found.sharing is not None
    computing = float((1e-28 * work.cycles * found.allocation.frequency**2).sum())
    slots = float(found.allocation.upload_time.sum())
    answers = (found.sharing.compute_end, computing, slots, found.energy - computing)
    for answer, printed in zip(answers, row[2:], strict=True):
        assert answer == pytest.approx(float(printed), rel=0, abs=half_a_unit(printed))
    assert found.duration == pytest.approx(found.sharing.compute_end + slots, rel=1e-15)
    assert found.sharing.residual <= 1e-12
    assert abs(found.sharing.gap) <= 1e-12


@pytest.mark.parametrize("row", ROWS[1::4], ids=lambda row: f"v{row[0]}-rho{row[1]}")
def test_the_other_budgets_lead_to_the_same_point(row: tuple[str, ...]) -> None:
    clients, work = fifty(float(row[0]))
    priced = fedopt.schedule(clients, work, TimePrice(float(row[1])), access=TimeDivision(1e6))
    T, E = priced.duration, priced.energy
    for budget in (EnergyBudget(E), PowerBudget(E / T), Deadline(T)):
        found = fedopt.schedule(clients, work, budget, access=TimeDivision(1e6))
        assert found.status.solved
        assert found.duration == pytest.approx(T, rel=1e-12)
        assert found.energy == pytest.approx(E, rel=1e-12)


def tdma(instance: Instance, budget: object) -> fedopt.Schedule:
    return fedopt.schedule(instance.clients, instance.work, budget, access=channel(instance))


def channel(instance: Instance) -> TimeDivision:
    return TimeDivision(float(instance.clients.bandwidth.max()))


def least(instance: Instance) -> float:
    return tdma(instance, EnergyBudget(math.inf)).duration


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_optimal_by_its_own_proof(family: str, seed: int) -> None:
    """The judge's energy at a deadline equals the dual bound and the KKT conditions hold, near T_min and far off."""
    instance = make(family, seed, 12)
    t_min = least(instance)
    for factor in (1.0 + 1e-6, 1.2, 3.0, 50.0):
        found = tdma(instance, Deadline(t_min * factor))
        assert found.status is Status.OPTIMAL
        assert found.sharing is not None
        assert found.sharing.residual <= 1e-9
        assert abs(found.sharing.gap) <= 1e-9


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
def test_energy_is_convex_and_its_slope_is_the_price(family: str) -> None:
    instance = make(family, 3, 10)
    durations = least(instance) * np.array([1.1, 1.3, 1.6, 2.0, 2.5])
    curve = [tdma(instance, Deadline(T)) for T in durations]
    energy = np.array([found.energy for found in curve])
    slope = np.diff(energy) / np.diff(durations)
    assert np.all(slope <= 0.0)
    assert np.all(np.diff(slope) >= -1e-9 * np.abs(slope[:-1]))
    prices = [found.sharing.time_price for found in curve if found.sharing is not None]
    for k, s in enumerate(slope):  # a chord of a convex curve lies between the slopes at its ends
        assert prices[k + 1] * (1 - 1e-6) <= -s <= prices[k] * (1 + 1e-6)


def test_beats_random_feasible_rounds() -> None:
    """No randomly drawn slots and computing time within the same duration take less energy."""
    instance = make("typical", 5, 6)
    clients, work, hertz = instance.clients, instance.work, channel(instance).hertz
    T = 1.4 * least(instance)
    best = tdma(instance, Deadline(T)).energy
    rng = np.random.default_rng(7)
    own = clients.replace(bandwidth=hertz)
    feasible = 0
    for _ in range(3000):
        share = rng.dirichlet(np.ones(7) * rng.choice([0.5, 2.0, 10.0]))
        compute, slots = T * share[0], T * share[1:]
        if rng.random() < 0.9:  # most of a round computes
            compute = T * (1 - 0.2 * rng.random())
            slots = (T - compute) * rng.dirichlet(np.ones(6))
        f = np.maximum(work.cycles / compute, clients.frequency_min)
        verdict = fedopt.judge(own, work, T, f, work.upload_bits / slots, Deadline(T), access=TimeDivision(hertz))
        if verdict.feasible:
            feasible += 1
            assert verdict.energy >= best * (1 - 1e-12)
    assert feasible > 100


def test_permutation_and_idle_clients_change_nothing() -> None:
    instance = make("mixed", 4, 15)
    T = 1.5 * least(instance)
    found = tdma(instance, Deadline(T))
    order = np.random.default_rng(1).permutation(15)
    work = instance.work
    columns = (work.cycles, work.upload_bits, work.download_bits)
    cycles, upload, download = (values[order] for values in columns)
    turned = Instance(
        instance.clients.take(order), fedopt.Workload(cycles=cycles, upload_bits=upload, download_bits=download), T
    )
    again = tdma(turned, Deadline(T))
    assert again.energy == pytest.approx(found.energy, rel=1e-12)
    busy = np.flatnonzero(~work.idle)
    assert 0 < len(busy) < 15
    cycles, upload, download = (values[busy] for values in columns)
    alone = Instance(
        instance.clients.take(busy), fedopt.Workload(cycles=cycles, upload_bits=upload, download_bits=download), T
    )
    wide = fedopt.schedule(alone.clients, alone.work, Deadline(T), access=channel(instance))
    assert wide.energy == pytest.approx(found.energy, rel=1e-12)


def test_everybody_idle() -> None:
    instance = make("typical", 0, 3)
    nothing = fedopt.Workload(cycles=0.0, upload_bits=0.0)
    found = fedopt.schedule(instance.clients, nothing, PowerBudget(1.0), access=TimeDivision(1e6))
    assert found.status is Status.SLACK
    assert (found.duration, found.energy) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_one_client_is_a_dedicated_channel(seed: int) -> None:
    """Alone on the channel there is nobody to wait for: computing, then sending, is what dedicated clients do."""
    instance = make("powers", seed, 6).one(seed)
    for budget in (Deadline(instance.duration * 1.1), TimePrice(1e-3)):
        alone = fedopt.schedule(instance.clients, instance.work, budget)
        found = tdma(instance, budget)
        assert found.duration == pytest.approx(alone.duration, rel=1e-9)
        assert found.energy == pytest.approx(alone.energy, rel=1e-9)


def test_infeasible_says_who_and_by_how_much() -> None:
    instance = make("typical", 0, 5)
    t_min = least(instance)
    late = tdma(instance, Deadline(0.9 * t_min))
    assert late.status is Status.INFEASIBLE
    assert math.isnan(late.energy)
    assert late.shortfall == pytest.approx(0.1 * t_min)
    assert "client" in late.reason
    poor = tdma(instance, EnergyBudget(1e-3))
    assert poor.status is Status.INFEASIBLE
    assert "misses the least possible" in poor.reason
    far = fedopt.schedule(
        instance.clients.replace(channel_gain=[1e-9, 0.0, 1e-9, 1e-9, 1e-9]),
        instance.work,
        PowerBudget(1.0),
        access=TimeDivision(1e6),
    )
    assert far.status is Status.INFEASIBLE
    assert far.clients == (1,)


def test_the_judge_knows_the_slots_add_up() -> None:
    """A decision that is fine on channels of its own is not fine one after another."""
    instance = make("typical", 0, 5)
    own = fedopt.schedule(instance.clients, instance.work, Deadline(instance.duration))
    assert own.allocation is not None
    f, r = own.allocation.frequency, own.allocation.rate
    clients = instance.clients
    assert fedopt.judge(clients, instance.work, instance.duration, f, r).feasible
    hertz = float(clients.bandwidth[0])
    verdict = fedopt.judge(clients, instance.work, instance.duration, f, r, access=TimeDivision(hertz))
    assert any("the slots end after the round" in text for text in verdict.violations)


def test_solve_sorted_and_marginal_and_nothing_else() -> None:
    clients = make("typical", 2, 8).clients
    problem = fedopt.Problem(
        clients,
        mnist_types((1, 2, 4, 4)),
        budget=PowerBudget(2.0),
        partitions=[(2, 2, 4, 0), (4, 4, 0, 0), (8, 0, 0, 0)],
        access=TimeDivision(4e6),
    )
    done: list[int] = []
    by_rule = fedopt.solve(problem, matching="sorted", progress=lambda k, total, best: done.append(k))
    assert done == [1, 2, 3]
    better = fedopt.solve(problem, matching="marginal")
    assert by_rule.status.solved
    assert better.utility >= by_rule.utility * (1 - 1e-12)
    assert math.isnan(by_rule.bound)
    assert better.bound >= better.utility
    work = clients.workload(problem.submodels, better.assignment)
    again = fedopt.schedule(clients, work, problem.budget, access=problem.access)
    assert better.duration == pytest.approx(again.duration, rel=1e-12)
    assert fedopt.solve(problem).utility == better.utility
    for keywords in ({"matching": "exact"}, {"matching": "milp"}, {"matching": "sorted", "timing": "bisection"}):
        with pytest.raises(InputError, match="access"):
            fedopt.solve(problem, **keywords)


@pytest.mark.parametrize("hertz", [0.0, -1.0, math.inf, math.nan, "1 MHz", None, [1e6, 2e6]])
def test_hertz_is_checked(hertz: object) -> None:
    with pytest.raises(InputError, match="hertz"):
        TimeDivision(hertz)  # type: ignore[arg-type]


def test_access_is_checked() -> None:
    instance = make("typical", 0, 2)
    with pytest.raises(InputError, match="TimeDivision"):
        fedopt.schedule(instance.clients, instance.work, Deadline(60.0), access=1e6)  # type: ignore[arg-type]


@pytest.mark.parametrize("watts", [1e-6, 1e-3, 0.03, 1.0, 30.0])
def test_computing_ends_when_its_prices_are_down_to_the_price_of_time(watts: float) -> None:
    """3,000 clients stop at their least frequency one by one, so the sum of their prices jumps 3,000 times."""
    instance = make("typical", 0, 3000)
    c, cycles = instance.clients, instance.work.cycles
    found = tdma(instance, TimePrice(watts))
    assert found.status is Status.OPTIMAL
    assert found.sharing is not None

    def worth(end: float) -> float:
        f = np.minimum(cycles / end, c.frequency_max)
        return float(np.where(f > c.frequency_min, 2.0 * c.capacitance * f**3, 0.0).sum())

    assert worth(found.sharing.compute_end * (1.0 + 1e-12)) <= watts * (1.0 + 1e-9)
    assert worth(found.sharing.compute_end * (1.0 - 1e-12)) >= watts * (1.0 - 1e-9)


# Of 24 prices each, asked in turn: the sums that were worked out, as counted when this was written.
LOOKS = {"jumps": (46, 60, 116), "smooth": (103, 110, 102), "both": (104, 92, 115), "alike": (74, 73, 73)}


@pytest.mark.parametrize("kind", LOOKS)
@pytest.mark.parametrize(("size", "column"), [(1, 0), (3, 1), (60, 2)])
def test_the_end_of_computing_by_bisection_and_in_few_looks(
    kind: str, size: int, column: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least frequencies make the sum of the prices jump; static power ends it smoothly; alike, all jump at once."""
    looks = 0

    def counted(*arguments: Any) -> tuple[float, float, float]:
        nonlocal looks
        looks += 1
        return computing_sums(*arguments)

    monkeypatch.setattr(computing, "computing_sums", counted)
    rng = np.random.default_rng([size, len(kind)])
    k, fixed, t_low = rng.uniform(0.5, 2.0, size), rng.uniform(0.0, 0.3, size), rng.uniform(0.5, 1.0, size)
    if kind == "alike":
        k, fixed, t_low = np.full(size, 1.0), np.full(size, 0.1), np.full(size, 0.5)
    p_s = np.zeros(size) if kind in ("jumps", "alike") else rng.uniform(0.01, 0.1, size)
    free = np.cbrt(2.0 * k / np.maximum(p_s, 1e-300))
    slowest = np.full(size, 2.5) if kind == "alike" else rng.uniform(1.5, 4.0, size)
    t_free = free if kind == "smooth" else np.minimum(free, slowest)
    found = Computing((k, fixed, p_s, t_low, t_free), 0.0)

    def worth(end: float) -> float:
        left = end - fixed
        t = np.clip(left, t_low, t_free)
        return float(np.where(left < t_free, np.maximum(2.0 * k / t**3 - p_s, 0.0), 0.0).sum())

    first = float((fixed + t_low).max())
    for price in np.geomspace(1e-3, 1.2, 24)[rng.permutation(24)] * worth(first):
        end = found.end(float(price))
        assert end >= first
        assert worth(end * (1.0 + 1e-12)) <= price * (1.0 + 1e-9)
        assert end == first or worth(end * (1.0 - 1e-12)) >= price * (1.0 - 1e-9)
    assert found.end(0.0) == pytest.approx(float((fixed + t_free).max()), rel=1e-14)
    assert abs(looks - LOOKS[kind][column]) <= 2  # fewer are welcome, and a reason to write them here


KINKED = {"frequency_min": 1e8, "capacitance": 1e-28, "power_min": 0.02, "power_max": 0.1}


@pytest.mark.parametrize("ulps", [1, 2, 4, 8])
@pytest.mark.parametrize("bits", [0.0, 2e5])
def test_a_deadline_just_before_all_the_time_there_is_takes_the_least_energy(ulps: int, bits: float) -> None:
    """There E(T) has a kink: any of many prices of time is right."""
    clients = fedopt.Clients(frequency_max=1e9, samples=1, channel_gain=1e-10, bandwidth=1e6, **KINKED)
    work = fedopt.Workload(cycles=1e9, upload_bits=bits, download_bits=0.0)
    free = fedopt.schedule(clients, work, TimePrice(1e-9), access=TimeDivision(1e6))
    budget = Deadline(free.duration * (1.0 - ulps * 2.0**-53))
    found = fedopt.schedule(clients, work, budget, access=TimeDivision(1e6))
    assert found.status is Status.OPTIMAL, found.reason
    assert found.energy == pytest.approx(free.energy, rel=1e-14)
    assert fedopt.verify_schedule(clients, work, budget, found, access=TimeDivision(1e6)).ok


@pytest.mark.parametrize("kind", [EnergyBudget, PowerBudget, Deadline])
def test_a_kink_is_found_again_by_what_it_takes(kind: type) -> None:
    """Computing at f_max and sending at p_min: the energy hardly tells the price of time."""
    clients = fedopt.Clients(
        samples=1, channel_gain=1e-10, bandwidth=1e6, frequency_max=1e9, **{**KINKED, "capacitance": 1e-30}
    )
    work = fedopt.Workload(cycles=1e9, upload_bits=2e5, download_bits=0.0)
    there = fedopt.schedule(clients, work, TimePrice(0.01), access=TimeDivision(1e6))
    value = {EnergyBudget: there.energy, PowerBudget: there.energy / there.duration, Deadline: there.duration}[kind]
    found = fedopt.schedule(clients, work, kind(value), access=TimeDivision(1e6))
    assert found.status is Status.OPTIMAL, found.reason
    assert found.duration == pytest.approx(there.duration, rel=1e-13)
    assert found.stats["passes"] < 20


def test_the_energy_of_a_round_that_nobody_makes_cheaper_is_enough_for_it() -> None:
    """Static and circuit power are more than any time saves: T_min is T_flat. To the bit, as it is added up."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, capacitance=1e-28, static_power=1.0, circuit_power=100.0, samples=1,
        channel_gain=[1e-11, 2e-11, 3e-11, 4e-11], bandwidth=1e6, power_max=0.1,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[25e8, 50e8, 75e8, 100e8], upload_bits=1e5, download_bits=0.0)
    slack = fedopt.schedule(clients, work, EnergyBudget(1e9), access=TimeDivision(1e6))
    assert slack.status is Status.SLACK
    for ulps in range(-2, 3):
        energy = slack.energy * (1.0 + ulps * 2.0**-52)
        found = fedopt.schedule(clients, work, EnergyBudget(energy), access=TimeDivision(1e6))
        assert found.status is Status.SLACK or (ulps < 0 and found.status is Status.INFEASIBLE)
        assert found.status is Status.INFEASIBLE or found.duration == slack.duration
