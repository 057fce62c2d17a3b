"""schedule() in one compiled call: it answers with the bits of the steps one by one, and knows what it is for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, make

import fedopt
from fedopt import atonce, rounds
from fedopt.atonce import schedule_at_once
from fedopt.rounds import rows_of
from solvers.plan import make_plan

INFINITE = float("inf")


def step_by_step(clients: Any, work: Any, budget: Any) -> fedopt.Schedule:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "_at_once", lambda: lambda *given: None)
        return fedopt.schedule(clients, work, budget)


def same(found: fedopt.Schedule, steps: fedopt.Schedule) -> None:
    assert found.allocation is not None
    assert steps.allocation is not None
    for field in dataclasses.fields(fedopt.Allocation):
        one, other = getattr(found.allocation, field.name), getattr(steps.allocation, field.name)
        np.testing.assert_array_equal(one, other, field.name)
        assert not one.flags.writeable
    for name in ("status", "reason", "duration", "energy", "bracket", "verdict", "clients", "shortfall", "sharing"):
        assert getattr(found, name) == getattr(steps, name), name
    assert found.stats["passes"] == steps.stats["passes"]
    assert found.stats.keys() == steps.stats.keys()


def budgets(clients: Any, work: Any) -> list[Any]:
    """Near T_min, ordinary and near E_inf, of every kind; none that is too little."""
    t_min, found = make_plan(rows_of(clients, work)).t_min, []
    for times in (1.0001, 1.3, 20.0):
        energy = float(fedopt.allocate(clients, work, duration=times * t_min).energy.sum())
        watts = energy / (times * t_min)
        found += [fedopt.EnergyBudget(energy), fedopt.PowerBudget(watts), fedopt.TimePrice(watts)]
        found += [fedopt.Deadline(times * t_min)]
    return [*found, fedopt.EnergyBudget(INFINITE), fedopt.PowerBudget(INFINITE)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 7, 300, 600])
def test_the_bits_are_those_of_the_steps(family: str, size: int) -> None:
    """Of one block and of several, with and without the steps in single precision."""
    instance = make(family, 5, size)
    ordinary = instance.work.spans["cycles"][0] > 0.0 < instance.work.spans["upload_bits"][0]
    answered = 0
    for budget in budgets(instance.clients, instance.work):
        found = schedule_at_once(instance.clients, instance.work.sized(size), budget)
        if found is not None:
            same(found, step_by_step(instance.clients, instance.work, budget))
            answered += 1
    if ordinary and instance.clients.spans["download_rate"][0] == INFINITE:
        assert answered > 6
    else:
        assert answered == 0


def test_one_number_for_all_is_as_good_as_a_column_of_it() -> None:
    """All fields but one, and the work: columns of the plan are then one number."""
    names = [
        field.name for field in dataclasses.fields(fedopt.Clients) if field.name not in ("name", "numbers", "spans")
    ]
    for family in ("typical", "powers", "bounds"):
        instance = make(family, 8, 1)
        values = {name: float(getattr(instance.clients, name)[0]) for name in names}
        work = fedopt.Workload(cycles=float(instance.work.cycles[0]), upload_bits=float(instance.work.upload_bits[0]))
        for many in ("frequency_max", "channel_gain", "capacitance", "power_max", "static_power"):
            clients = fedopt.Clients(**{**values, many: values[many] * np.linspace(1.0, 1.5, 5)})
            for budget in budgets(clients, work):
                found = schedule_at_once(clients, work.sized(5), budget)
                if found is not None:
                    same(found, step_by_step(clients, work, budget))
            assert schedule_at_once(clients, work.sized(5), budgets(clients, work)[4]) is not None


def test_what_it_is_not_for_goes_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to compute, nothing to send, a download, too many; and answers that are none, or need another look."""
    instance = make("typical", 2, 6)
    clients, work, fine = instance.clients, instance.work, fedopt.Deadline(2.0 * instance.duration)
    cycles, bits = np.array(work.cycles), np.array(work.upload_bits)
    assert schedule_at_once(clients, work, fine) is not None
    idle = np.where(np.arange(6) == 3, 0.0, 1.0)
    for other in (
        fedopt.Workload(cycles=cycles * idle, upload_bits=bits),
        fedopt.Workload(cycles=cycles, upload_bits=bits * idle),
    ):
        assert schedule_at_once(clients, other, fine) is None
    assert schedule_at_once(clients.replace(download_rate=1e6), work, fine) is None
    plan = make_plan(rows_of(clients, work))
    for budget in (
        fedopt.Deadline(0.5 * plan.t_min),
        fedopt.EnergyBudget(0.5 * plan.e_inf),
        fedopt.EnergyBudget(plan.e_inf * (1.0 + 1e-15)),  # its bracket is wide: other passes are made for its ends
    ):
        assert schedule_at_once(clients, work, budget) is None
        assert not fedopt.schedule(clients, work, budget).status.solved
    assert schedule_at_once(clients.replace(channel_gain=0.0), work, fine) is None
    monkeypatch.setattr(atonce, "_MOST", 5)
    assert schedule_at_once(clients, work, fine) is None


def test_a_few_thousand_clients_need_a_first_guess() -> None:
    """From 4,096 on a sample makes it where single precision does not, as at a price of time: step by step."""
    instance = make("typical", 3, 4096)
    clients, work = instance.clients, instance.work
    energy = float(fedopt.allocate(clients, work, duration=instance.duration).energy.sum())
    assert schedule_at_once(clients, work, fedopt.TimePrice(energy / instance.duration)) is None
    for budget in (fedopt.EnergyBudget(energy), fedopt.Deadline(instance.duration)):
        found = schedule_at_once(clients, work, budget)
        assert found is not None
        same(found, step_by_step(clients, work, budget))


def test_other_methods_do_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Any:
        raise AssertionError

    instance = make("typical", 2, 6)
    monkeypatch.setattr(rounds, "_at_once", refused)
    for methods in ({"timing": "bisection"}, {"allocation": "reference"}):
        fedopt.schedule(instance.clients, instance.work, fedopt.Deadline(2.0 * instance.duration), **methods)
    with pytest.raises(AssertionError):
        fedopt.schedule(instance.clients, instance.work, fedopt.Deadline(2.0 * instance.duration))
