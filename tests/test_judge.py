"""The judge sees only instance and decision: it accepts what is right and names everything that is wrong."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, ORDINARY, Instance, make, mnist_types
from mpmath import mp, mpf
from oracle import Fleet

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, TimePrice, judge
from fedopt.verdict import judge_solution
from solvers.blocks import BLOCK


def decided(family: str = "typical", seed: int = 0, size: int = 6) -> tuple[Instance, fedopt.Allocation]:
    instance = make(family, seed, size)
    found = fedopt.allocate(instance.clients, instance.work, duration=instance.duration, allocation="reference")
    return instance, found


def verdict_of(instance: Instance, f: Any, r: Any, budget: Any = None, duration: float | None = None) -> fedopt.Verdict:
    duration = instance.duration if duration is None else duration
    return judge(instance.clients, instance.work, duration, f, r, budget)


@pytest.mark.parametrize("family", FAMILIES)
def test_right_decisions_are_accepted_and_cost_what_the_oracle_says(family: str) -> None:
    """The energy of the decision's own f and r, recomputed in 60 digits."""
    for seed in range(4):
        instance, found = decided(family, seed)
        verdict = verdict_of(instance, found.frequency, found.rate)
        assert verdict.feasible, verdict.violations
        assert verdict.violation <= 1e-9
        total = mpf(0)
        for n, client in enumerate(Fleet(instance.clients, instance.work).clients):
            f, x = mpf(float(found.frequency[n])), mpf(float(found.rate[n])) * mp.log(2) / client.B
            total += 0 if client.idle else client.energy_of(f, x)
        assert abs(verdict.energy - total) <= mpf("1e-13") * total
        assert verdict.duration == instance.duration


def test_energy_of_a_decision_worked_out_by_hand() -> None:
    """W = 1e9 at 1 GHz: 1 s, 0.1 J + 0.5 J static; 1e6 bit at 1e6 bit/s: SNR 1 needs 1/gamma = 0.01 W, 1 s, + 0.2 J."""
    clients = fedopt.Clients(
        frequency_min=5e8,
        frequency_max=2e9,
        capacitance=1e-28,
        static_power=0.5,
        samples=[1.0],
        channel_gain=100.0 * 4e-21 * 1e6,
        bandwidth=1e6,
        noise_density=4e-21,
        circuit_power=0.2,
        download_rate=1e6,
        receive_power=0.3,
        overhead=0.25,
    )
    work = fedopt.Workload(cycles=[1e9], upload_bits=[1e6], download_bits=[2e6])
    verdict = judge(clients, work, 4.25, np.array([1e9]), np.array([1e6]))
    assert verdict.feasible, verdict.violations
    assert verdict.energy == pytest.approx(0.1 + 0.5 + 0.01 + 0.2 + 0.6, rel=1e-14)
    late = judge(clients, work, 4.2499, np.array([1e9]), np.array([1e6]))
    assert late.violation == pytest.approx(4.25 / 4.2499 - 1.0, rel=1e-9)
    assert "ends" in late.violations[0] or "end" in late.violations[0]


def by_hand(instance: Instance, T: float, f: Any, r: Any) -> tuple[float, dict[str, np.ndarray]]:
    """Section 3 of the model, one client after another: the energy [J]; how far each is beyond every constraint."""
    c, work = instance.clients, instance.work
    total, found = 0.0, {}
    for n in range(len(c)):
        W, s, s_d = work.cycles[n], work.upload_bits[n], work.download_bits[n]
        if W == s == s_d == 0.0:
            continue
        t, tau, t_d = W / f[n] if W else 0.0, s / r[n] if s else 0.0, s_d / c.download_rate[n]
        p = math.expm1(r[n] / c.bandwidth[n] * math.log(2.0)) * c.noise_density[n] * c.bandwidth[n] / c.channel_gain[n]
        excesses = {"finishes after the round's end": (c.overhead[n] + t_d + t + tau) / T - 1.0}
        if W:
            excesses["computes above frequency_max"] = f[n] / c.frequency_max[n] - 1.0
            excesses["computes below frequency_min"] = 1.0 - f[n] / c.frequency_min[n] if c.frequency_min[n] else 0.0
            total += c.capacitance[n] * f[n] ** 3 * t + c.static_power[n] * t
        if s:
            excesses["sends above power_max"] = p / c.power_max[n] - 1.0
            excesses["sends below power_min"] = 1.0 - p / c.power_min[n] if c.power_min[n] else 0.0
            total += (p + c.circuit_power[n]) * tau
        total += c.receive_power[n] * t_d
        for what, excess in excesses.items():
            found.setdefault(what, np.zeros(len(c)))[n] = excess
    return total, found


@pytest.mark.parametrize("family", ORDINARY)
def test_what_any_decision_costs_and_breaks_is_what_the_model_says(family: str) -> None:
    """Frequencies and rates off their best by little or much, for all or for one, and rounds too short for them."""
    rng = np.random.default_rng(FAMILIES.index(family))
    for seed in range(12):
        instance, found = decided(family, seed, size=9)
        share = (0.0, 0.3, 1.0)[seed % 3]
        factors = rng.choice([0.5, 0.999, 1.001, 2.0], (2, 9))
        f, r = np.where(rng.random((2, 9)) < share, factors, 1.0) * (found.frequency, found.rate)
        T = instance.duration * (1.0, 0.9)[seed % 2]
        energy, excesses = by_hand(instance, T, f, r)
        verdict = verdict_of(instance, f, r, duration=T)
        assert verdict.energy == pytest.approx(energy, rel=1e-12)
        worst = max(excess.max() for excess in excesses.values())
        assert verdict.violation == pytest.approx(max(worst, 0.0), rel=1e-9, abs=1e-13)
        said = [re.fullmatch(r"client (\d): (.*) by (\S+) relative", text) for text in verdict.violations]
        assert all(said), verdict.violations
        assert sorted(each[2] for each in said if each) == sorted(
            what for what, excess in excesses.items() if excess.max() > 1e-9
        )
        for client, what, by in (each.groups() for each in said if each):  # the worst, or one as bad but for rounding
            assert excesses[what][int(client)] == pytest.approx(excesses[what].max(), rel=1e-9, abs=1e-13)
            assert float(by) == pytest.approx(excesses[what].max(), rel=6e-3)


def test_what_is_kept_to_the_bit_is_no_violation_at_any_tolerance() -> None:
    """One second of computing at f_min = f_max, half a second of sending, the budget its own energy."""
    clients = fedopt.Clients(
        frequency_min=2.0**30, frequency_max=2.0**30, samples=[1.0, 1.0], channel_gain=1e-10, bandwidth=2.0**20
    )
    for cycles, bits in (([2.0**30, 2.0**30], 2.0**19), ([2.0**30, 0.0], [2.0**19, 0.0])):
        work = fedopt.Workload(cycles=cycles, upload_bits=bits)
        spent = judge(clients, work, 1.5, 2.0**30, 2.0**20).energy
        verdict = judge(clients, work, 1.5, 2.0**30, 2.0**20, EnergyBudget(spent), tolerance=0.0)
        assert (verdict.violation, verdict.violations) == (0.0, ())


def test_what_a_client_does_not_do_is_no_violation_at_any_tolerance() -> None:
    """Above frequency_max with nothing to compute, above power_max with nothing to send: by 5e-10, and by half."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=[1.0, 1.0], channel_gain=1e-10, bandwidth=1e6, power_max=0.2
    )
    no_cycles = fedopt.Workload(cycles=[0.0, 1e8], upload_bits=1e5)
    no_bits = fedopt.Workload(cycles=1e8, upload_bits=[0.0, 1e5])
    for factor in (1.0 + 5e-10, 1.5):
        rate = 1e6 * np.log2(1.0 + factor * 0.2 * 1e-10 / (3.981e-21 * 1e6))
        no_work = judge(clients, no_cycles, 9.0, np.array([1e9 * factor, 1e9]), 1e6)
        no_upload = judge(clients, no_bits, 9.0, 1e9, np.array([rate, 1e6]))
        assert no_work.violation == no_upload.violation == 0.0


def test_the_latest_of_all_chunks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks of blocks, the middle one's last client 1/4 of a billionth late, then the first one's by half."""
    monkeypatch.setattr("solvers.threads.CHUNK", 1)
    size = 3 * BLOCK
    clients = fedopt.Clients(
        frequency_min=2.0**20, frequency_max=2.0**31, samples=np.ones(size), channel_gain=1e-9, bandwidth=2.0**20
    )
    work = fedopt.Workload(cycles=2.0**30, upload_bits=2.0**20)
    f, r = np.full(size, 2.0**30), np.full(size, 2.0**20)
    for client, late in ((2 * BLOCK - 1, 2.0**-32), (0, 2.0**-31)):
        r[client] = 2.0**20 / (1.0 + 2.0 * late)  # 1 s of computing, 1 s of sending
        verdict = judge(clients, work, 2.0, f, r)
        assert verdict.feasible
        assert verdict.violation == pytest.approx(late, rel=1e-5)


@pytest.mark.parametrize("none", [0.0, math.nan, math.inf])
def test_what_is_decided_for_a_client_without_work_or_upload_counts_for_nothing(none: float) -> None:
    """In units of which half of one is all there is to do: 0.5 cycles at 2 Hz, 0.5 bit at 1 bit/s and 1 W."""
    clients = fedopt.Clients(
        frequency_min=[0.0, 1.0, 1.0], frequency_max=4.0, capacitance=0.25, samples=np.ones(3), channel_gain=1.0,
        bandwidth=1.0, noise_density=1.0, power_min=[0.0, 0.5, 0.5], power_max=2.0,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[0.0, 0.5, 0.5], upload_bits=[0.5, 0.0, 0.5])
    verdict = judge(clients, work, 0.75, np.array([none, 2.0, 2.0]), np.array([1.0, none, 1.0]))
    assert (verdict.energy, verdict.violation) == (2 * 0.25 * 0.5 * 4.0 + 2 * 0.5 * 1.0, 0.0)


def test_who_stands_still_is_not_below_a_least_frequency_of_nothing() -> None:
    clients = fedopt.Clients(
        frequency_min=[0.0, 1e8], frequency_max=1e9, samples=[1.0, 1.0], channel_gain=1e-9, bandwidth=1e6
    )
    verdict = judge(clients, fedopt.Workload(cycles=1e8, upload_bits=1e5), 10.0, np.array([0.0, 1e9]), 1e6)
    assert verdict.violation == math.inf
    assert not any("below" in text for text in verdict.violations)


CHANGES = {
    "computes above frequency_max": ("f", lambda c: c.frequency_max * 1.001),
    "computes below frequency_min": ("f", lambda c: c.frequency_min * 0.999),
    "sends above power_max": ("r", lambda c: c.bandwidth * np.log2(1.0 + 1.01 * _snr(c))),
    "finishes after the round's end": ("r", lambda c: c.bandwidth * 1e-9),
}


def _snr(clients: fedopt.Clients) -> np.ndarray:
    return clients.power_max * clients.channel_gain / (clients.noise_density * clients.bandwidth)


@pytest.mark.parametrize("sentence", CHANGES)
@pytest.mark.parametrize("client", [0, 3, 5])
def test_one_bad_client_is_named(sentence: str, client: int) -> None:
    instance, found = decided()
    f, r = found.frequency.copy(), found.rate.copy()
    which, change = CHANGES[sentence]
    (f if which == "f" else r)[client] = change(instance.clients)[client]
    verdict = verdict_of(instance, f, r)
    assert not verdict.feasible
    assert verdict.violation > 1e-9
    assert any(text.startswith(f"client {client}: {sentence}") for text in verdict.violations), verdict.violations


def test_sending_below_power_min_is_named() -> None:
    instance, found = decided("bounds")
    r = found.rate.copy()
    client = int(np.argmax(r > 0.0))
    r[client] *= 1e-3
    verdict = verdict_of(instance, found.frequency, r)
    assert any(text.startswith(f"client {client}: sends below power_min") for text in verdict.violations)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1e9])
@pytest.mark.parametrize("which", ["frequency", "rate"])
def test_what_is_no_positive_number_is_rejected(which: str, bad: float) -> None:
    instance, found = decided()
    columns = {"frequency": found.frequency.copy(), "rate": found.rate.copy()}
    columns[which][2] = bad
    verdict = verdict_of(instance, columns["frequency"], columns["rate"])
    assert not verdict.feasible
    assert verdict.violation > 1e-9
    no_positive = "client 2: computes at no positive" if which == "frequency" else "client 2: sends at no positive"
    assert any(text.startswith(no_positive) for text in verdict.violations) is not (bad == np.inf)


@pytest.mark.parametrize("duration", [np.nan, np.inf, -1.0, 0.0])
def test_a_duration_that_is_none_is_rejected(duration: float) -> None:
    instance, found = decided()
    assert not verdict_of(instance, found.frequency, found.rate, duration=duration).feasible


@pytest.mark.parametrize("excess", [1e-6, 1e-3, 1.0])
def test_an_exceeded_budget_is_named_and_measured(excess: float) -> None:
    instance, found = decided()
    T, f, r = instance.duration, found.frequency, found.rate
    energy = verdict_of(instance, f, r).energy
    for budget, sentence in (
        (EnergyBudget(energy / (1.0 + excess)), "the energy exceeds the budget"),
        (PowerBudget(energy / T / (1.0 + excess)), "the power exceeds the budget"),
        (Deadline(T / (1.0 + excess)), "the round ends after the deadline"),
    ):
        verdict = verdict_of(instance, f, r, budget)
        assert [sentence in text for text in verdict.violations] == [True]
        assert verdict.violation == pytest.approx(excess, rel=1e-6)
    for budget in (EnergyBudget(energy), PowerBudget(energy / T), Deadline(T), TimePrice(1e-9), EnergyBudget(np.inf)):
        assert verdict_of(instance, f, r, budget).feasible


def test_a_budget_of_nothing_is_exceeded_infinitely() -> None:
    instance, found = decided()
    for budget in (EnergyBudget(0.0), PowerBudget(0.0)):
        assert verdict_of(instance, found.frequency, found.rate, budget).violation == np.inf


def test_violations_in_any_block_of_a_large_fleet_are_found() -> None:
    """The judge works in blocks; the last client of the last one counts as much as the first."""
    size = 20_001
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=np.ones(size), channel_gain=1e-9, bandwidth=1e6
    )
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    f, r = np.full(size, 5e8), np.full(size, 1e6)
    assert judge(clients, work, 10.0, f, r).feasible
    one = judge(clients, work, 10.0, f[:1], r[:1]).energy / size
    assert judge(clients, work, 10.0, f, r).energy == pytest.approx(size * one, rel=1e-12)
    for client in (0, 8191, 8192, 16384, size - 1):
        bad = f.copy()
        bad[client] = 1.1e9
        verdict = judge(clients, work, 10.0, bad, r)
        assert verdict.violations[0].startswith(f"client {client}: computes above frequency_max by 0.1 ")


@pytest.mark.parametrize("family", ORDINARY)
def test_a_relative_tolerance_of_1e_9_decides(family: str) -> None:
    instance, found = decided(family, 1)
    working = instance.work.cycles > 0.0
    f = np.where(working, instance.clients.frequency_max, found.frequency)
    fine = verdict_of(instance, f * (1.0 + 1e-10), found.rate)
    assert not any("frequency_max" in text for text in fine.violations)
    broken = verdict_of(instance, f * (1.0 + 1e-8), found.rate)
    assert any("frequency_max" in text for text in broken.violations)


def solution() -> tuple[fedopt.Problem, fedopt.Solution]:
    """A right answer for four clients and two types, put together by hand."""
    types = mnist_types()[:2]
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=3e9, samples=np.full(4, 500.0), channel_gain=1e-10, bandwidth=1e6
    )
    problem = fedopt.Problem(clients, types, budget=Deadline(60.0))
    assignment = np.array([0, 0, 1, 1])
    work = clients.workload(types, assignment)
    found = fedopt.allocate(clients, work, duration=60.0, allocation="reference")
    verdict = judge(clients, work, 60.0, found.frequency, found.rate, problem.budget)
    return problem, fedopt.Solution(
        status=fedopt.Status.OPTIMAL,
        reason="",
        duration=60.0,
        energy=verdict.energy,
        allocation=found,
        verdict=verdict,
        partition=fedopt.Partition((2, 2), types),
        assignment=assignment,
        utility=3.0 / 60.0,
    )


def test_a_right_solution_is_accepted() -> None:
    problem, answer = solution()
    verdict = judge_solution(problem, answer)
    assert verdict.feasible, verdict.violations
    assert verdict.energy == answer.energy


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"partition": (4, 0)}, "2 clients train 'L', the partition says 4"),
        ({"assignment": np.array([0, 0, 0, 1])}, "3 clients train 'L', the partition says 2"),
        ({"assignment": np.array([0, 0, 0, 1]), "partition": (3, 1)}, "1 clients train 'M'"),  # half a replica
        ({"duration": 1e-3}, "finishes after the round's end"),
        ({"duration": 61.0}, "the round ends after the deadline"),
        ({"duration": np.nan}, "not finite"),
    ],
)
def test_a_wrong_solution_is_rejected(changes: dict[str, Any], sentence: str) -> None:
    problem, answer = solution()
    if "partition" in changes:
        changes = changes | {"partition": fedopt.Partition(changes["partition"], problem.submodels)}
    verdict = judge_solution(problem, dataclasses.replace(answer, **changes))
    assert not verdict.feasible
    assert any(sentence in text for text in verdict.violations), verdict.violations
