"""Shared bandwidth, how it is searched: the turns compiled or one by one, and where a large fleet begins."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import Instance, make, of_kinds
from scipy.optimize import brentq

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimePrice
from fedopt.rounds import goal_of, rows_of
from solvers.access import guess as guessing
from solvers.access import joint, shared
from solvers.access.guess import guess, price_of
from solvers.access.joint import Look, Uplinks
from solvers.access.shared import schedule, scheme_limits
from solvers.access.shares import EXACT
from solvers.blocks import FIXED, GAMMA, T_LOW, TAU_LOW, A, K
from solvers.plan import make_plan
from solvers.rows import Goal, Rows, Stop

BUDGETS = (EnergyBudget, PowerBudget, Deadline, TimePrice)


def channel(instance: Instance) -> SharedBandwidth:
    return SharedBandwidth(float(np.broadcast_to(instance.clients.bandwidth, len(instance.clients)).sum()))


def budgets(instance: Instance) -> list[fedopt.Budget]:
    """Of each kind one, for a round 1.7 times as long as the shortest."""
    band = channel(instance)
    shortest = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf), access=band)
    there = fedopt.schedule(instance.clients, instance.work, Deadline(1.7 * shortest.duration), access=band)
    assert there.sharing is not None
    values = (there.energy, there.energy / there.duration, there.duration, there.sharing.time_price)
    return [kind(value) for kind, value in zip(BUDGETS, values, strict=True)]


def uplinks(instance: Instance) -> Uplinks:
    rows = rows_of(instance.clients.on_channel(channel(instance).hertz), instance.work)
    return Uplinks(make_plan(rows), rows.power_min, rows.power_max)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed"])
def test_the_turns_one_by_one_have_the_same_bits(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for fleets that are spread over threads, and compiled in one call."""
    instance = make(family, 11, 700)
    band = channel(instance)
    for budget in budgets(instance):
        answers = []
        for chunk in (joint.CHUNK, 0):
            monkeypatch.setattr(joint, "CHUNK", chunk)
            found = fedopt.schedule(instance.clients, instance.work, budget, access=band)
            assert found.status is Status.OPTIMAL, found.reason
            assert found.allocation is not None
            assert found.sharing is not None
            columns = (found.sharing.bandwidth, found.allocation.frequency, found.allocation.rate)
            answers.append((found.duration, found.bracket, found.stats["passes"], *(c.tobytes() for c in columns)))
        assert answers[0] == answers[1], budget


def test_a_sample_leads_near_the_duration_and_the_price() -> None:
    """One client in nineteen says the duration to a tenth, the price of bandwidth by a factor of two or so."""
    instance = make("typical", 12, 5_000)
    for budget in budgets(instance):
        found = fedopt.schedule(instance.clients, instance.work, budget, access=channel(instance))
        assert found.sharing is not None
        T, mu = guess(uplinks(instance), *goal_of(budget))
        assert found.duration == pytest.approx(T, rel=0.1), budget
        assert 0.4 < mu / (found.sharing.bandwidth_price * channel(instance).hertz) < 2.5, budget


@pytest.mark.parametrize("kind", BUDGETS)
def test_a_sample_of_a_fleet_has_its_part_of_the_channel_and_the_budget(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before, of 182 clients every eleventh: seven that are there twenty-six times each."""
    for name, value in (("_LARGE", 100), ("_SAMPLE_LEAST", 16)):
        monkeypatch.setattr(guessing, name, value)
    few = make("typical", 12, 7)
    every = np.tile(np.arange(7), 26)
    cycles, upload, download = (
        column[every] for column in (few.work.cycles, few.work.upload_bits, few.work.download_bits)
    )
    work = fedopt.Workload(cycles=cycles, upload_bits=upload, download_bits=download)
    many = Instance(few.clients.take(every), work, few.duration)
    for budget in (each for each in budgets(many) if isinstance(each, kind)):
        found = fedopt.schedule(many.clients, many.work, budget, access=channel(many))
        assert found.sharing is not None
        T, mu = guess(uplinks(many), *goal_of(budget))
        assert found.duration == pytest.approx(T, rel=0.02), budget
        assert mu == pytest.approx(found.sharing.bandwidth_price * channel(many).hertz, rel=0.1), budget


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
def test_few_passes_where_more_time_is_worth_nothing(family: str) -> None:
    """Begun far behind the duration, where all clients have time to spare; and where the price of time jumps."""
    instance = make(family, 12, 600)
    for budget in budgets(instance):
        found = fedopt.schedule(instance.clients, instance.work, budget, access=channel(instance))
        assert found.status is Status.OPTIMAL, found.reason
        assert found.stats["passes"] <= 16, budget


@pytest.mark.parametrize("case", ["nobody computes", "one sends", "one computes and sends"])
def test_a_sample_in_which_nobody_computes_or_sends(case: str) -> None:
    """Of 5,000 clients one in nineteen is looked at, the second is not: where nobody is left a division by zero was."""
    instance = make("typical", 12, 5_000)
    alone = np.zeros(5_000)
    alone[1] = 1.0
    cycles = {"nobody computes": 0.0, "one sends": 1e9, "one computes and sends": 1e9 * alone}[case]
    bits = np.full(5_000, 1e6) if case == "nobody computes" else 1e6 * alone
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=0.0)
    for budget in budgets(dataclasses.replace(instance, work=work)):
        found = fedopt.schedule(instance.clients, work, budget, access=channel(instance))
        assert found.status.solved, found.reason


def test_a_price_of_the_right_size_by_one_client() -> None:
    """Alone on the channel with nearly all of T to compute in: the upload takes what a second is worth to computing."""
    clients = make("typical", 5, 1).clients
    work = fedopt.Workload(cycles=1e9, upload_bits=1e6, download_bits=0.0)
    rows = rows_of(clients, work.sized(1))
    u = Uplinks(make_plan(rows), rows.power_min, rows.power_max)
    T = 3.0 * u.plan.t_min
    k, a, gamma = float(rows.capacitance[0]) * 1e27, float(u.plan.columns[2][0]), float(rows.snr[0])
    x = math.log1p(math.sqrt(4.0 * gamma * k / T**3))
    tau = min(a / x, T - float(u.plan.columns[4][0]))
    x = min(a / tau, 20.0)
    assert price_of(u, T) == pytest.approx(tau / gamma * (1.0 + (x - 1.0) * math.exp(x)), rel=1e-9)


def test_no_price_is_guessed_for_a_deadline_that_is_too_short() -> None:
    instance = make("typical", 5, 20)
    u = uplinks(instance)
    assert guess(u, Goal.DEADLINE, 0.5 * u.plan.t_min)[1] == 0.0


def test_a_price_of_the_right_size_is_what_rows_would_pay_on_average() -> None:
    """F(x) = gamma lambda, x about ln(1 + sqrt(2 F)), its upload in the time that computing leaves; with 1/alike of
    the channel. Who sends nothing, or would not pay, does not count."""
    instance = of_kinds("mixed", 3, ["both", "both", "no work", "no upload", "both", "only a download"])
    u = uplinks(instance)
    c = [np.broadcast_to(column, 6) for column in u.plan.columns]
    for T in (1.05 * u.plan.t_min, 3.0 * u.plan.t_min, 0.9 * float(c[FIXED][c[K] > 0.0].max())):
        for alike in (1.0, 40.0):
            left = np.maximum(T - c[FIXED], 1e-3 * T)
            with np.errstate(all="ignore"):
                x = np.log1p(np.sqrt(2.0 * c[GAMMA] * alike * 2.0 * c[K] / left**3))
                tau = np.minimum(c[A] * alike / x, np.maximum(left - c[T_LOW], 1e-3 * T))
                x = np.minimum(c[A] * alike / tau, 20.0)
                worth = np.where(x > 1e-3, x * np.exp(x) - np.expm1(x), x * x * (0.5 + x / 3.0))
                own = tau / c[GAMMA] * worth
            paid = np.isfinite(own) & (own > 0.0)
            assert 1 <= paid.sum() <= 4
            assert guessing.rough_price(u.plan.columns, T, alike, 6) == pytest.approx(own[paid].mean(), rel=1e-5)
    assert guessing.rough_price(u.plan.columns, 1.0, 1.0, 0) == 1.0


def test_sizes_of_the_start() -> None:
    u = uplinks(make("mixed", 3, 9))
    part = Uplinks(u.plan, *u.powers, room=0.25)
    sums = {j: float(np.broadcast_to(u.plan.columns[j], 9).sum()) for j in (A, TAU_LOW, K)}
    for j, expected in sums.items():
        assert guessing._sum(u.plan, j) == pytest.approx(expected, rel=1e-14)
    assert guessing.easy(part) == pytest.approx(4.0 * sums[A], rel=1e-14)
    assert guessing.price_of(part, 2.0) == guessing.rough_price(u.plan.columns, 2.0, 36.0, 9)
    first = np.broadcast_to(u.plan.columns[FIXED] + u.plan.columns[T_LOW], 9).max()
    T, mu = guessing._first(part, Goal.PRICE, 1e-3)
    assert pytest.approx(2.0 * (first + 4.0 * sums[TAU_LOW]), rel=1e-14) == T
    assert abs(part.look(T, mu, EXACT).step) <= 0.11
    T = 1.5 * u.plan.t_min
    assert guessing._first(part, Goal.DEADLINE, T)[0] == T
    for times in (20.0, 60.0, 200.0):
        assert abs(part.look(*guessing._first(part, Goal.DEADLINE, times * u.plan.t_min), EXACT).step) <= 0.11
    T = u.plan.t_min * (1.0 + 1e-9)  # too short for a part of the channel
    assert guessing._first(part, Goal.DEADLINE, T) == (T, 0.0)
    waiting = make("mixed", 3, 9)
    late = uplinks(dataclasses.replace(waiting, clients=waiting.clients.replace(overhead=0.5)))
    assert guessing._sum(late.plan, FIXED) == float(np.broadcast_to(late.plan.columns[FIXED], 9).sum())
    alike = make("typical", 3, 4)
    alike = dataclasses.replace(alike, work=fedopt.Workload(cycles=1e9, upload_bits=1e6, download_bits=0.0))
    one = uplinks(alike).plan
    assert guessing._sum(one, A) == pytest.approx(4.0 * one.columns[A][0], rel=1e-15)
    assert one.columns[A].shape == (1,)
    for T in (0.9 * u.plan.t_min, math.inf):
        assert guessing._first(part, Goal.DEADLINE, T) == (T, 0.0)


def priced(T: float, mu: float) -> Look:
    return Look(
        T=T, mu=mu, energy=1.0, share=1.0, price=1.0, curve=1.0, by_time=-1.0, by_price=-1.0, room=1.0
    )  # fmt: skip


@pytest.mark.parametrize(("size", "stride"), [(12, 4), (13, 4), (9, 3), (24, 4), (40, 6)])
def test_a_sample_is_every_so_manyth_row_and_its_part_of_the_channel(
    size: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in four, three at least and six at most."""
    for name, value in (("_SHARE", 4), ("_SAMPLE_LEAST", 3), ("_SAMPLE_MOST", 6)):
        monkeypatch.setattr(guessing, name, value)
    u = uplinks(make("mixed", 3, size))
    few = guessing._sample_of(u)
    rows = np.arange(0, size, stride)
    assert few.plan.size == len(rows)
    for sampled, column in zip((*few.plan.columns, *few.powers), (*u.plan.columns, *u.powers), strict=True):
        assert sampled.tolist() == (column if len(column) == 1 else column[rows]).tolist()
    assert few.plan.kind.tolist() == u.plan.kind[rows].tolist()
    a = np.broadcast_to(u.plan.columns[A], size)
    assert few.room == pytest.approx(a[rows].sum() / a.sum(), rel=1e-14)


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("case", ["all", "nobody computes", "nobody of the sample sends", "poor"])
def test_a_sample_is_asked_for_its_part_of_the_budget(goal: Goal, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By kappa W^3, what is above the least energy; a price of time by the number of rows; to a step of 0.05."""
    for name, number in (("_LARGE", 12), ("_SAMPLE_LEAST", 3)):
        monkeypatch.setattr(guessing, name, number)
    kinds = {"nobody computes": ["no work"] * 4, "nobody of the sample sends": ["no upload", *["both"] * 3]}
    u = uplinks(of_kinds("typical", 3, kinds.get(case, ["both"] * 4) * 3))
    asked = list[tuple[Any, ...]]()

    def found(*arguments: Any) -> Any:
        asked.append(arguments)
        return priced(1e-9, 0.7)

    monkeypatch.setattr(guessing, "joint", found)
    T = 1.5 * u.plan.t_min + 0.1
    value = {Goal.ENERGY: 3.0 * u.plan.e_inf, Goal.POWER: 0.1, Goal.DEADLINE: T, Goal.PRICE: 0.2}[goal]
    if case == "poor":
        value = {Goal.ENERGY: 0.5 * u.plan.e_inf, Goal.DEADLINE: 0.1 * u.plan.t_min}.get(goal, 0.0)
    few = guessing._sample_of(u)
    k, k_few = (float(np.broadcast_to(p.columns[K], p.size).sum()) for p in (u.plan, few.plan))
    part = k_few / k if k > 0.0 and goal is not Goal.PRICE else 3.0 / 12.0
    mine = {
        Goal.ENERGY: few.plan.e_inf + (value - u.plan.e_inf) * part,
        Goal.POWER: value * part,
        Goal.DEADLINE: value,
        Goal.PRICE: value * part,
    }[goal]
    first = guessing.guess(u, goal, value)
    if case in ("nobody of the sample sends", "poor"):
        assert not asked
        assert first == pytest.approx(guessing._first(u, goal, value), rel=1e-6)
        return
    ((sample, its_goal, its_value, *start, nothing, enough),) = asked
    assert (sample.plan.size, its_goal, nothing.size, enough) == (3, goal, 0, 0.05)
    assert its_value == pytest.approx(mine, rel=1e-12)
    assert start == pytest.approx(guessing._first(few, goal, mine), rel=1e-12)
    assert first == (u.plan.t_min * (1.0 + 1e-9), 0.7)
    monkeypatch.setattr(guessing, "joint", lambda *arguments: priced(5.0 * T, 0.7))
    assert guessing.guess(u, goal, value) == (5.0 * T, 0.7)
    monkeypatch.setattr(guessing, "joint", lambda *arguments: None)
    assert guessing.guess(u, goal, value) == pytest.approx(guessing._first(u, goal, value), rel=1e-6)
    monkeypatch.setattr(guessing, "_LARGE", 13)
    assert guessing.guess(u, goal, value) == pytest.approx(guessing._first(u, goal, value), rel=1e-6)


def rows(family: str, seed: int, kinds: list[str] | int, **more: Any) -> Rows:
    instance = make(family, seed, kinds) if isinstance(kinds, int) else of_kinds(family, seed, kinds)
    clients = instance.clients.replace(**more) if more else instance.clients
    return rows_of(clients.on_channel(float(np.sum(np.broadcast_to(clients.bandwidth, len(clients))))), instance.work)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
@pytest.mark.parametrize("kinds", [["both"] * 3, ["both", "no work", "no upload", "only a download", "both"]])
def test_the_limits_of_a_band(family: str, kinds: list[str]) -> None:
    """T_min where all at full speed and power just fit, by the shares they then need; E_inf and T_flat by the curve."""
    r = rows(family, 2, kinds)
    limits = scheme_limits(r, 1.0)
    f = r.full()
    sends = f.bits > 0.0
    with np.errstate(all="ignore"):
        before = f.fixed_time + np.where(f.work > 0.0, f.work / f.frequency_max, 0.0)
    a, full = f.transfer, f.snr * f.power_max

    def needed(T: float) -> float:
        """b ln(1 + full/b) tau = a: the sum of the least shares of the channel; a million for too many."""
        least = 0.0
        for n in np.flatnonzero(sends):
            rate = a[n] / (T - before[n])
            if rate >= full[n] * (1.0 - 1e-9):
                return 1e6
            least += brentq(lambda b, n=n, rate=rate: b * math.log1p(full[n] / b) - rate, 1e-14, 1e9, xtol=1e-16)
        return float(least)

    first = float(before[sends].max())
    T = float(brentq(lambda T: math.log(needed(T)), first * (1.0 + 1e-6), first * 1e3, xtol=1e-9 * first))
    assert limits.t_min == pytest.approx(max(T, float(before.max())), rel=1e-6)
    assert limits.t_flat >= limits.t_min
    alone = np.flatnonzero(~sends & ~f.idle)
    assert not alone.size or limits.t_flat >= make_plan(f.take(alone)).t_flat * (1.0 - 1e-12)
    if family == "typical":  # no power of a circuit, and no least power: nobody who sends ever has all the time
        assert (limits.t_flat, limits.e_inf) == (math.inf, make_plan(r).e_inf)

    def energy(T: float) -> float:
        point = schedule(r, 1.0, Goal.DEADLINE, T).timing.point
        assert point is not None
        return float(point.energy.sum())

    long = min(limits.t_flat, 1e5 * limits.t_min)
    assert limits.e_inf <= energy(long) * (1.0 + 1e-9)
    assert energy(long) == pytest.approx(limits.e_inf, rel=1e-3 if math.isinf(limits.t_flat) else 1e-7)
    if math.isfinite(limits.t_flat):
        assert energy(limits.t_flat * (1.0 - 1e-2)) > limits.e_inf * (1.0 + 1e-12)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("late", [1.0 + 1e-5, 1.2])
def test_an_answer_that_leaves_some_of_the_budget_is_searched_for_again(
    goal: Goal, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Newton's method may leave it next to T_min, where the energy falls by decades."""
    r = rows("typical", 3, 3)
    T = 1.5 * scheme_limits(r, 1.0).t_min
    point = schedule(r, 1.0, Goal.DEADLINE, T).timing.point
    assert point is not None
    value = float(point.energy.sum()) / (T if goal is Goal.POWER else 1.0)

    def too_late(u: Uplinks, goal: Goal, value: float, guess: float, *more: Any) -> Look | None:
        return joint.joint(u, Goal.DEADLINE, late * T, late * T, *more)

    monkeypatch.setattr(shared, "joint", too_late)
    timing = schedule(r, 1.0, goal, value).timing
    assert timing.stop is Stop.OPTIMAL
    assert timing.duration == pytest.approx(T, rel=1e-9)


def test_limits_where_nobody_sends_or_somebody_never_can() -> None:
    r = rows("powers", 2, ["no upload", "no upload"])
    plan, limits = make_plan(r), scheme_limits(r, 1.0)
    assert (limits.t_min, limits.t_flat, limits.e_inf) == (plan.t_min, plan.t_flat, plan.e_inf)
    r = rows("typical", 2, 3, channel_gain=[1e-9, 0.0, 1e-9])
    limits = scheme_limits(r, 1.0)
    assert (limits.t_min, limits.t_flat, limits.e_inf) == (math.inf, math.inf, math.inf)
    assert schedule(r, 1.0, Goal.ENERGY, 1.0).timing.stop is Stop.UNREACHABLE
