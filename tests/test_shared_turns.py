"""Shared bandwidth, how it is searched: the turns compiled or one by one, and where a large fleet begins."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import Instance, make

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimePrice
from fedopt.rounds import goal_of, rows_of
from solvers.access import guess as guessing
from solvers.access import joint
from solvers.access.guess import guess, price_of
from solvers.access.joint import Uplinks
from solvers.plan import make_plan
from solvers.rows import Goal

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
