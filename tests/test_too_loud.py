"""Power without a limit, most of it on a shared uplink: just beyond T_min no power that is a number is enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import fedopt
from fedopt import Deadline, EnergyBudget, Problem, SharedBandwidth, Status, SubModel, TimeDivision
from fedopt.access import Access

SCHEMES: tuple[Access, ...] = (SharedBandwidth(1e6), TimeDivision(1e6))
TYPES = [SubModel("small", flops=20e6, upload_bits=2e5), SubModel("large", flops=34e6, upload_bits=5e5)]


def made(seed: int) -> tuple[fedopt.Clients, fedopt.Workload]:
    """Two clients of 0.2 W and two without a limit; who is the slowest depends on the seed."""
    rng = np.random.default_rng(seed)
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=rng.uniform(1e9, 3e9, 4), capacitance=1e-28, samples=300, bandwidth=1e6,
        channel_gain=rng.uniform(0.3, 3.0, 4) * 1e-11, power_max=[math.inf, 0.2, math.inf, 0.2],
    )  # fmt: skip
    return clients, clients.workload(TYPES, np.array([0, 1, 1, 0]))


def quickest(clients: fedopt.Clients, work: fedopt.Workload, access: Access, nats: float) -> float:
    """The least duration [s] at which nobody sends at a greater efficiency than ``nats``, or than 0.2 W give."""
    ready = work.cycles / clients.frequency_max
    transfer = work.upload_bits * math.log(2.0) / access.hertz
    gamma = clients.channel_gain / (clients.noise_density * access.hertz)
    free = np.isinf(clients.power_max)
    if isinstance(access, TimeDivision):
        x = np.where(free, nats, np.log1p(gamma * 0.2))
        return float(ready.max() + (transfer / x).sum())

    def over(T: float) -> float:
        shares = [a / (T - t) / nats for a, t in zip(transfer[free], ready[free], strict=True)]
        for a, t, g in zip(transfer[~free], ready[~free], 0.2 * gamma[~free], strict=True):
            if g <= a / (T - t):
                return 1e9  # Shannon's limit
            shares.append(
                brentq(lambda b, g=g, need=a / (T - t): b * math.log1p(g / b) - need, 1e-12, 1e9, xtol=1e-300)
            )
        return sum(shares) - 1.0

    low = float(ready.max())
    return float(brentq(over, low * (1.0 + 1e-12), low + 100.0, xtol=1e-300))


@pytest.mark.parametrize("access", SCHEMES, ids=lambda access: type(access).__name__)
@pytest.mark.parametrize("seed", range(6))
def test_a_deadline_that_no_power_meets_is_infeasible(seed: int, access: Access) -> None:
    """From T_min to where e^710 would do, which is no number; from where e^575 (1e250 W) does there is a round."""
    clients, work = made(seed)
    t_min = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access).bracket[0]
    loudest, loud = (quickest(clients, work, access, nats) for nats in (710.0, 575.0))
    assert t_min < loudest < loud
    for seconds in (t_min, t_min * (1.0 + 1e-9), 0.5 * (t_min + loudest), loudest):
        answer = fedopt.schedule(clients, work, Deadline(seconds), access=access)
        assert (answer.status, answer.shortfall) == (Status.INFEASIBLE, 0.0), seconds
        assert "no power that is a number is enough" in answer.reason
        assert "on a shared channel" in answer.reason
        assert set(answer.clients) == {0, 2}
        assert fedopt.verify_schedule(clients, work, Deadline(seconds), answer, access=access).complete
        assert fedopt.verify_schedule(clients, work, Deadline(loud), answer, access=access).failed
    answer = fedopt.schedule(clients, work, Deadline(loud), access=access)
    assert answer.status is Status.OPTIMAL
    assert fedopt.verify_schedule(clients, work, Deadline(loud), answer, access=access).failed == ()


@pytest.mark.parametrize("access", SCHEMES, ids=lambda access: type(access).__name__)
def test_nobody_is_too_loud_where_a_slow_computer_sets_the_least_duration(access: Access) -> None:
    """At T_min all but one, who sends nothing, have time to spare."""
    clients, _ = made(0)
    work = fedopt.Workload(cycles=[3e8, 3e8, 3e8, 9e10], upload_bits=[2e5, 2e5, 2e5, 0.0], download_bits=0.0)
    t_min = 9e10 / float(clients.frequency_max[3])
    if isinstance(access, TimeDivision):
        t_min = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access).bracket[0] * 1.1
    answer = fedopt.schedule(clients, work, Deadline(t_min), access=access)
    assert answer.status is Status.OPTIMAL
    assert fedopt.verify_schedule(clients, work, Deadline(t_min), answer, access=access).failed == ()


@pytest.mark.parametrize("access", SCHEMES, ids=lambda access: type(access).__name__)
@pytest.mark.parametrize("gain", [0.0, 1e-250])
def test_beside_somebody_out_of_reach_nobody_is_too_loud(gain: float, access: Access) -> None:
    """Whom no duration suffices, or a slot of 1e240 s, is named alone, without a warning."""
    clients, work = made(0)
    clients = clients.replace(channel_gain=[1e-11, gain, 1e-11, 1e-11])
    for seconds in (1e-200, 10.0, 1e6):
        answer = fedopt.schedule(clients, work, Deadline(seconds), access=access)
        assert answer.status is Status.INFEASIBLE
        assert answer.clients[0] == 1
        assert "no power that is a number" not in answer.reason
        assert fedopt.verify_schedule(clients, work, Deadline(seconds), answer, access=access).failed == ()


@pytest.mark.parametrize("access", SCHEMES, ids=lambda access: type(access).__name__)
def test_no_matching_is_quiet_enough(access: Access) -> None:
    """Of all matchings of two partitions: an answer exactly where one of them has a round."""
    clients, _ = made(1)
    partitions = [(2, 2), (3, 1)]
    each = [np.array(a) for a in np.ndindex(2, 2, 2, 2) if sum(a) in (1, 2)]
    works = [clients.workload(TYPES, a) for a in each]
    t_min = min(fedopt.schedule(clients, w, EnergyBudget(math.inf), access=access).bracket[0] for w in works)
    for seconds in (t_min, t_min * (1.0 + 1e-7), t_min + 1e-3):
        rounds = {fedopt.schedule(clients, work, Deadline(seconds), access=access).status for work in works}
        budget = Deadline(seconds)
        problem = Problem(clients=clients, submodels=TYPES, budget=budget, partitions=partitions, access=access)
        answer = fedopt.solve(problem)
        assert answer.status is (Status.OPTIMAL if Status.OPTIMAL in rounds else Status.INFEASIBLE)
        assert fedopt.verify(problem, answer).failed == ()


@pytest.mark.parametrize("matching", ["sorted", "marginal"])
def test_more_replicas_of_endless_energy_do_not_win_a_deadline(matching: str) -> None:
    """Two whole ones compute until the deadline, and no power sends in no time; two halves leave enough."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=[1e9] * 2, samples=100.0, channel_gain=1e-11, bandwidth=1e6, power_max=math.inf
    )
    types = (SubModel("whole", flops=2e7, upload_bits=1e5), SubModel("half", flops=1e7, upload_bits=5e4, cover=2))
    found = fedopt.solve(Problem(clients, types, budget=Deadline(2.0)), matching=matching)
    assert found.status is Status.OPTIMAL
    assert found.partition == (0, 2)


METHODS = [(timing, method) for timing in ("newton", "bisection") for method in ("kernel", "reference", "scipy")]


def without_limit(seed: int) -> tuple[fedopt.Clients, fedopt.Workload]:
    """Up to four clients on channels of their own, at least one of them without a greatest power."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 5))
    powers = np.where(rng.random(size) < 0.7, math.inf, 10 ** rng.uniform(-2.0, 1.0, size))
    powers[0] = math.inf
    clients = fedopt.Clients(
        frequency_min=rng.choice([0.0, 1e7]), frequency_max=10 ** rng.uniform(8.0, 10.0, size), samples=300.0,
        channel_gain=10 ** rng.uniform(-14.0, -8.0, size), bandwidth=10 ** rng.uniform(4.0, 7.0, size),
        power_max=powers, static_power=rng.choice([0.0, 0.1]), circuit_power=rng.choice([0.0, 0.1]),
    )  # fmt: skip
    cycles = 10 ** rng.uniform(4.0, 9.0, size) * rng.choice([1.0, 1.0, 0.0])
    return clients, fedopt.Workload(cycles=cycles, upload_bits=10 ** rng.uniform(3.0, 8.0, size))


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), fedopt.PowerBudget(math.inf)], ids=["energy", "power"])
@pytest.mark.parametrize("seed", range(12))
def test_without_a_limit_all_methods_end_where_power_is_a_number(seed: int, budget: fedopt.problem.Budget) -> None:
    """At e^700, which no budget is near: of the methods, each of which knows other numbers, none goes on alone."""
    clients, work = without_limit(seed)
    found = {m: fedopt.schedule(clients, work, budget, timing=m[0], allocation=m[1]) for m in METHODS}
    first = found["newton", "kernel"]
    ready, transfer = work.cycles / clients.frequency_max, work.upload_bits * math.log(2.0) / clients.bandwidth
    gamma = clients.channel_gain / (clients.noise_density * clients.bandwidth)
    x = np.where(np.isinf(clients.power_max), 700.0, np.log1p(gamma * clients.power_max))
    assert first.duration == pytest.approx(float((ready + transfer / x).max()), rel=2e-9)
    for method, answer in found.items():
        assert answer.status is first.status, method
        assert answer.duration == pytest.approx(first.duration, rel=2e-9), method
        assert answer.bracket[0] == pytest.approx(first.bracket[0], rel=1e-12), method
        assert fedopt.verify_schedule(clients, work, budget, answer).failed == (), method


@pytest.mark.parametrize("seed", range(8))
def test_all_methods_know_the_same_deadlines(seed: int) -> None:
    """A deadline that only e^700 meets is infeasible to each, and a thousandth later to none."""
    clients, work = without_limit(seed)
    unlimited = fedopt.schedule(clients, work, EnergyBudget(math.inf))
    least, quickest_ = unlimited.bracket[0], unlimited.duration
    for share, status in ((0.9, Status.INFEASIBLE), (0.999, Status.INFEASIBLE), (1.001, Status.OPTIMAL)):
        budget = Deadline(least + share * (quickest_ - least))
        for timing, method in METHODS:
            answer = fedopt.schedule(clients, work, budget, timing=timing, allocation=method)
            assert answer.status is (status if quickest_ > least else Status.OPTIMAL), (timing, method, share)
            assert fedopt.verify_schedule(clients, work, budget, answer).failed == ()
