"""What a shared uplink's answer says of itself: never solved where its own proof or another method says otherwise."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, Instance, make

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.rounds import rows_of
from solvers.access import LAST_DIGITS, PROVED, Outcome, shared, timedivision
from solvers.access.proof import prove_rows
from solvers.access.settle import Settled, settle
from solvers.access.shares import BETA_OUT, PRICE_OUT, T_OUT, TAU_OUT
from solvers.duration.verdicts import infeasible
from solvers.plan import make_plan
from solvers.rows import FloatArray, Goal, Rows, Stop, Timing

SCHEMES = (SharedBandwidth, TimeDivision)


def on(scheme: Any, instance: Instance, budget: object) -> fedopt.Schedule:
    access = scheme(float(instance.clients.bandwidth.mean()) * len(instance.clients))
    return fedopt.schedule(instance.clients, instance.work, budget, access=access)


def budgets(scheme: Any, instance: Instance, factor: float) -> list[Any]:
    """All four budgets around a multiple of the least duration."""
    T = on(scheme, instance, EnergyBudget(math.inf)).duration * factor
    at_T = on(scheme, instance, Deadline(T))
    assert at_T.sharing is not None
    E, price = at_T.energy, at_T.sharing.time_price
    prices = [TimePrice(1.7 * price), TimePrice(0.6 * price)] if price > 0.0 else []
    return [Deadline(T), EnergyBudget(1.01 * E), PowerBudget(E / T), *prices]


def score(found: fedopt.Schedule, budget: Any) -> float:
    """What a budget asks to be least."""
    if isinstance(budget, TimePrice):
        return found.energy + budget.watts * found.duration
    return found.energy if isinstance(budget, Deadline) else found.duration


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_client_shares_with_nobody(scheme: Any, family: str) -> None:
    """Level 2 on channels of its own solves the same problem by another method: solved answers are as good."""
    solved = 0
    for seed in range(8):
        instance = make(family, seed, 1)
        for factor in (1.01, 1.5, 20.0):
            for budget in budgets(scheme, instance, factor):
                alone = fedopt.schedule(instance.clients, instance.work, budget)
                found = on(scheme, instance, budget)
                if found.status.solved and alone.status.solved:
                    solved += 1
                    assert score(found, budget) == pytest.approx(score(alone, budget), rel=PROVED)
    assert solved >= 90  # of 120 at most


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed", "extreme"])
def test_no_duration_beats_a_price_of_time(scheme: Any, family: str) -> None:
    """E(T) + price x T at durations all around; ``gap`` is an upper bound of what any of them saves."""
    for seed in range(3):
        instance = make(family, seed, 4)
        t_min = on(scheme, instance, EnergyBudget(math.inf)).duration
        for budget in budgets(scheme, instance, 1.3)[3:]:
            found = on(scheme, instance, budget)
            assert found.sharing is not None
            best = score(found, budget)
            for T in t_min + (found.duration - t_min) * np.array([0.0, 0.5, 0.99, 1.01, 2.0, 10.0]):
                other = on(scheme, instance, Deadline(T))
                if other.status.solved:
                    saved = 1.0 - score(other, budget) / best
                    assert saved <= max(found.sharing.gap, 0.0) + 1e-12


def test_a_price_within_a_kink() -> None:
    """At one duration the price of time falls by a factor of ten: any in between leads there."""
    instance = make("bounds", 2, 1)
    at = [on(SharedBandwidth, instance, TimePrice(watts)) for watts in (0.02, 0.05, 0.1, 0.15)]
    assert all(found.status is Status.OPTIMAL for found in at)
    assert {found.duration for found in at} == {at[0].duration}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_open_bracket_is_no_solution(scheme: Any) -> None:
    """The energy at 20 T_min is the least but for its last digit: nobody knows the least duration that has it.

    Whether the bracket closes hangs on that digit; either way the status says which, and the answer is valid.
    """
    for family, seed, size in (
        ("powers", 2, 8),
        ("mixed", 1, 1),
        ("extreme", 2, 8),
        ("typical", 0, 3),
        ("bounds", 4, 8),
    ):
        instance = make(family, seed, size)
        T = 20.0 * on(scheme, instance, EnergyBudget(math.inf)).duration
        found = on(scheme, instance, EnergyBudget(on(scheme, instance, Deadline(T)).energy))
        if found.status is Status.INFEASIBLE:
            continue
        assert found.verdict is not None
        assert found.verdict.feasible
        wide = found.bracket[1] - found.bracket[0] > PROVED * found.duration
        assert found.status is (Status.LIMIT if wide else Status.OPTIMAL)
        assert ("of the duration" in found.reason) == wide


def test_a_proof_that_leaves_something_open_is_a_limit() -> None:
    point: Any = object()
    timing = Timing(stop=Stop.OPTIMAL, duration=1.0, lower=1.0, upper=1.0, passes=1, point=point)
    sound = Outcome(
        timing=timing, bandwidth=np.ones(3), time_price=1.0, bandwidth_price=1.0, compute_end=1.0, residual=0.0, gap=0.0
    )
    assert sound.honest() is sound
    for harm in ({"gap": 2e-6}, {"gap": -2e-6}, {"gap": math.nan}, {"residual": 1.0}, {"residual": math.nan}):
        assert dataclasses.replace(sound, **harm).honest().timing.stop is Stop.LIMIT
    for lower in (0.9, math.nan):
        loose = dataclasses.replace(sound, timing=dataclasses.replace(timing, lower=lower))
        assert loose.honest().timing.stop is Stop.LIMIT
    rounded = dataclasses.replace(sound, gap=-2e-6, hidden=3e-6)  # the last digits of the duration hide more
    assert rounded.honest().timing.stop is Stop.OPTIMAL
    assert dataclasses.replace(rounded, gap=4e-6).honest().timing.stop is Stop.LIMIT
    assert dataclasses.replace(sound, gap=math.inf, hidden=math.inf).honest().timing.stop is Stop.LIMIT
    open_to = {4e-6: 4e-6, -2e-6: 0.0, -4e-6: math.nan, math.inf: math.nan}  # what is far below 0 proves nothing
    for gap, said in open_to.items():
        for residual in (0.0, 1.0):
            told = dataclasses.replace(rounded, gap=gap, residual=residual).honest().gap
            assert told == pytest.approx(said, rel=0.0, abs=0.0, nan_ok=True)
    none = Outcome.decided(infeasible(Stop.TOO_SHORT))
    assert none.honest() is none


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_deadline_of_the_shortest_round_but_for_its_last_digits(scheme: Any, family: str) -> None:
    """T_min less 1 to 8 roundings is T_min; less 1e-9 of it is too short."""
    instance = make(family, 0, 5)
    T = on(scheme, instance, EnergyBudget(math.inf)).duration
    for roundings in (1, 2, 8):
        found = on(scheme, instance, Deadline(T - roundings * math.ulp(0.5 * T)))
        assert found.status is Status.OPTIMAL
        assert found.duration == pytest.approx(T, rel=1e-15)
    assert on(scheme, instance, Deadline(T * (1.0 - 1e-9))).status is Status.INFEASIBLE


@pytest.mark.parametrize("module", [shared, timedivision])
@pytest.mark.parametrize("goal", [Goal.DEADLINE, Goal.ENERGY, Goal.PRICE])
def test_what_the_last_digits_hide_is_what_a_little_less_time_and_channel_cost(module: Any, goal: Goal) -> None:
    """By solving again: E(T, B) at 1e-6 less of the duration, and of a shared channel."""
    instance = make("typical", 9, 6)
    hertz = float(instance.clients.bandwidth.sum())

    def solved(goal: Goal, value: float, channel: float = hertz) -> tuple[Outcome, float]:
        """The outcome and its energy [J]."""
        outcome = module.schedule(rows_of(instance.clients.on_channel(channel), instance.work), channel, goal, value)
        return outcome, float(outcome.timing.point.energy.sum())

    T = 1.6 * on(SCHEMES[module is timedivision], instance, EnergyBudget(math.inf)).duration
    at_T, E = solved(Goal.DEADLINE, T)
    value = {Goal.DEADLINE: T, Goal.ENERGY: E, Goal.PRICE: at_T.time_price}[goal]
    dearer = solved(Goal.DEADLINE, T * (1.0 - 1e-6))[1] - E
    if module is shared:
        dearer += solved(Goal.DEADLINE, T, hertz * (1.0 - 1e-6))[1] - E
    total = E + (value * T if goal is Goal.PRICE else 0.0)
    assert solved(goal, value)[0].hidden == pytest.approx(LAST_DIGITS * dearer / 1e-6 / total, rel=1e-3)


FORGED = 1e-4  # relative
SIDES = (1.0 - FORGED, 1.0 + FORGED)


def on_one_channel(family: str, seed: int) -> Rows:
    instance = make(family, seed, 8)
    return rows_of(instance.clients.on_channel(float(instance.clients.bandwidth.sum())), instance.work)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed"])
def test_every_number_of_a_shared_band_counts_in_its_proof(family: str) -> None:
    """A time, a bandwidth or a price of one row, forged by 1e-4: the violation is a hundredth of that at least."""
    rows = on_one_channel(family, 6)
    fleet = shared.Fleet(rows, make_plan(rows))
    plan, u = fleet.plan, fleet.uplinks
    share = fleet.at(1.5 * fleet.limits().least_time[0])
    assert share is not None
    look, right, energy = share.look, share.out.copy(), np.empty(plan.size)

    def violation(out: FloatArray, T: float = look.T, mu: float = look.mu, scale: float = 1.0 / look.share) -> float:
        return prove_rows(
            plan.kind, plan.columns, u.snr_min, u.snr_max, T, mu, scale, out.copy(), energy, 0, plan.blocks
        )

    assert violation(right) <= 1e-12
    for side in SIDES:
        assert violation(right, mu=look.mu * side) > 0.9 * FORGED
        assert violation(right, scale=side / look.share) > 0.1 * FORGED
        assert violation(right, T=look.T * side) > 0.9 * FORGED
        for column in (T_OUT, TAU_OUT, BETA_OUT, PRICE_OUT):
            for i in range(plan.size):
                forged = right.copy()
                forged[column, i] *= side
                slower = (
                    column == T_OUT and side > 1.0 and right[PRICE_OUT, i] == 0.0
                )  # the least frequency is the judge's
                if forged[column, i] != right[column, i] and not slower:
                    assert violation(forged) > 0.01 * FORGED, (column, i, side)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed"])
def test_every_number_of_slots_counts_in_its_proof(family: str) -> None:
    """As before: of every row the bits per second and hertz, the price of time, the end of computing, the duration."""
    rows = on_one_channel(family, 6)
    fleet = timedivision.Fleet(make_plan(rows))
    price = fleet.top() * 0.01
    x, end, T = fleet.slots.efficiencies(price), fleet.computing.end(price), fleet.look(price)[0]

    def settled(x: FloatArray, price: float = price, end: float = end, T: float = T) -> Settled:
        return settle(rows, fleet.plan, fleet.computing, x.copy(), price, end, T)

    right = settled(x)
    assert right.residual <= 1e-12
    assert right.energy == pytest.approx(right.dual, rel=1e-12)
    for side in SIDES:
        if family != "bounds":  # there everybody is at one, and many prices lead to it
            assert settled(x, price=price * side).residual > 0.1 * FORGED
        assert settled(x, end=end * side).residual > 0.1 * FORGED
        assert settled(x, T=T * side).residual > 0.9 * FORGED
        for i in range(len(x)):
            forged = x.copy()
            forged[i] *= side
            slots = settled(forged)
            if slots.end != right.end:  # else at a bound, or it sends nothing
                assert slots.residual > 0.01 * FORGED, (i, side)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_who_sends_nothing_has_a_price_of_time_in_the_shortest_round_too(scheme: Any) -> None:
    """Slower than its greatest frequency there: 2 kappa f^3 - P_s watts, which the proof adds up with the others'."""
    instance = make("typical", 6, 6)
    bits = np.where(np.arange(6) < 2, 0.0, instance.work.upload_bits)
    silent = dataclasses.replace(instance, work=dataclasses.replace(instance.work, upload_bits=bits))
    found = on(scheme, silent, EnergyBudget(math.inf))
    assert found.status is Status.SLACK
    assert found.allocation is not None
    assert found.sharing is not None
    assert found.sharing.residual <= 1e-12
    f, c = found.allocation.frequency[:2], silent.clients
    if scheme is SharedBandwidth:
        left = found.duration - (silent.work.download_bits / c.download_rate)[:2] - c.overhead[:2]
        hurried = f <= silent.work.cycles[:2] / left * (1.0 + 1e-12)
        assert hurried.tolist() == [False, True]
        worth = 2.0 * c.capacitance[:2] * f**3 - c.static_power[:2]
        assert found.allocation.price[:2] == pytest.approx(np.where(hurried, worth, 0.0), rel=1e-9)


@pytest.mark.parametrize("last", ["computes at one speed", "only waits"])
def test_waiting_for_what_has_no_speed_to_choose_is_no_optimum(last: str) -> None:
    """Computing ends when the slowest is done, or ready to send, and later is worth nothing."""
    instance = make("typical", 6, 6)
    clients, work = instance.clients.replace(frequency_min=instance.clients.frequency_max), instance.work
    if last == "only waits":  # longer than anybody computes
        alone = np.arange(6) == 0
        clients = clients.replace(overhead=np.where(alone, 1e5, 0.0))
        work = dataclasses.replace(work, cycles=np.where(alone, 0.0, work.cycles))
    fleet = timedivision.Fleet(make_plan(rows_of(clients.on_channel(1e6), work)))
    price = fleet.top() * 0.01
    x, end, T = fleet.slots.efficiencies(price), fleet.computing.end(price), fleet.look(price)[0]
    assert end == fleet.computing.first

    def settled(end: float, T: float) -> Settled:
        return settle(rows_of(clients, work), fleet.plan, fleet.computing, x.copy(), price, end, T)

    assert settled(end, T).residual <= 1e-12
    assert settled(1.0001 * end, T + 1e-4 * end).residual > 0.1


def timed(**more: Any) -> Timing:
    known: dict[str, Any] = {
        "stop": Stop.OPTIMAL,
        "duration": 2.0,
        "lower": 2.0,
        "upper": 2.0,
        "passes": 1,
        "point": object(),
    }
    return Timing(**{**known, **more})


def outcome(timing: Timing, **more: float) -> Outcome:
    known: dict[str, Any] = dict.fromkeys(("time_price", "bandwidth_price", "compute_end", "residual", "gap"), 0.0)
    return Outcome(timing=timing, bandwidth=np.ones(3), **{**known, **more})


@pytest.mark.parametrize(
    ("more", "bracket", "proved"),
    [
        ({}, 0.0, True),
        ({"gap": 0.99e-6}, 0.0, True),
        ({"gap": -1.01e-6}, 0.0, False),
        ({"residual": 0.99e-6}, 0.0, True),
        ({"residual": 1.01e-6}, 0.0, False),
        ({}, 1.99e-6, True),
        ({}, 2.01e-6, False),
        ({"gap": 5e-6, "hidden": 6e-6}, 0.0, True),
        ({"gap": 5e-6, "hidden": 6e-6, "residual": 1.01e-6}, 0.0, False),
        ({"gap": math.inf, "hidden": math.inf}, 0.0, False),
    ],
)
def test_what_counts_as_proved(more: dict[str, float], bracket: float, proved: bool) -> None:
    found = outcome(timed(lower=2.0 - bracket), **more)
    assert found.proved is proved
    assert 32.0 * math.ulp(1.0) == LAST_DIGITS
    assert found.honest().timing.stop is (Stop.OPTIMAL if proved else Stop.LIMIT)


def test_a_timing_that_limits_decide() -> None:
    none = Outcome.decided(timed(point=None))
    assert none.bandwidth.shape == (0,)
    for name in ("time_price", "bandwidth_price", "compute_end", "residual", "gap"):
        assert math.isnan(getattr(none, name))
    idle: Any = SimpleNamespace(energy=np.zeros(3))
    one = Outcome.decided(timed(point=idle))
    assert one.bandwidth.tolist() == [0.0, 0.0, 0.0]
    assert (one.time_price, one.bandwidth_price, one.compute_end, one.residual, one.gap) == (0.0,) * 5


@pytest.mark.parametrize(("bits", "off"), [(1e5, 1e-12), (1e5, 1e-8), (1e5, 1e-5), (1e5, 9e-5), (100.0, 5e-8)])
def test_a_deadline_that_no_power_of_a_double_keeps(bits: float, off: float) -> None:
    """1 s of computing, and power without limit: no power is e^700, and slots of e^660 to that leave it open."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1e9, samples=1, channel_gain=1e-10, bandwidth=1e6, power_max=math.inf
    )
    work = fedopt.Workload(cycles=1e9, upload_bits=bits)
    for access in (TimeDivision(1e6), SharedBandwidth(1e6)):
        found = fedopt.schedule(clients, work, Deadline(1.0 + off), access=access)
        assert found.status is Status.INFEASIBLE
        assert found.allocation is None
    between = fedopt.schedule(clients, work, Deadline(1.0 + 1.02e-9 * bits), access=TimeDivision(1e6))
    assert (between.status, between.allocation) == (Status.LIMIT, None)  # late by 5e-9, of 100 bits
    slots = fedopt.schedule(clients, work, Deadline(1.0 + 1.06e-9 * bits), access=TimeDivision(1e6))
    assert slots.status is Status.OPTIMAL
    tau, gamma = slots.duration - 1.0, 1e-10 / (clients.noise_density[0] * 1e6)
    x = bits * 1e-6 * math.log(2.0) / tau  # 654
    assert slots.energy == pytest.approx(tau * math.exp(x) / gamma, rel=1e-3 / bits)
