"""How far off an answer may be: what is wrong by a little more than rounding explains is found, and no right one is.

Each test stands for a limit of the verifier that was once wider by hand, and nothing else noticed.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Clients, Deadline, EnergyBudget, PowerBudget, Problem, Status, SubModel, Workload
from fedopt.rounds import rows_of
from fedopt.search import best_of
from fedopt.verifier import Outcome
from solvers.limits import limits

CLIENTS, WORK = make("typical", 1, 5).clients, make("typical", 1, 5).work


def outcome(report: fedopt.Report, name: str) -> Outcome:
    (check,) = (each for each in report.checks if each.name == name)
    return check.outcome


def test_the_overhead_counts_towards_the_end_of_the_round() -> None:
    """Who computes and sends within the duration is late all the same where it has to wait for longer than is left."""
    clients, budget = CLIENTS.replace(overhead=3.0), Deadline(40.0)
    found = fedopt.schedule(clients, WORK, budget)
    assert found.allocation is not None
    assert outcome(fedopt.verify_schedule(clients, WORK, budget, found), "in time") is Outcome.PASSED
    slower = found.allocation.frequency.copy()
    n = int(np.argmax(found.allocation.price))
    computing = WORK.cycles[n] / slower[n]
    slower[n] = WORK.cycles[n] / (computing + 2.0)  # of 3 s that it waits
    wrong = dataclasses.replace(found, allocation=dataclasses.replace(found.allocation, frequency=slower))
    assert outcome(fedopt.verify_schedule(clients, WORK, budget, wrong), "in time") is Outcome.FAILED


@pytest.mark.parametrize("share", [1.0 - 1e-8, 1.0 - 1e-9])
def test_a_shortest_round_that_leaves_a_hundred_millionth_is_slack(share: float) -> None:
    most = float(fedopt.allocate(CLIENTS, WORK, duration=limits(rows_of(CLIENTS, WORK)).t_min).energy.sum())
    budget = EnergyBudget(most / share)
    found = fedopt.schedule(CLIENTS, WORK, budget)
    assert found.status is Status.SLACK
    assert fedopt.verify_schedule(CLIENTS, WORK, budget, found).complete
    wrong = dataclasses.replace(found, status=Status.OPTIMAL)
    name = "not slack: the budget is used up"
    assert outcome(fedopt.verify_schedule(CLIENTS, WORK, budget, wrong), name) is Outcome.FAILED


def test_last_digits_of_a_price_hide_a_thousandth_of_the_energy_and_no_more() -> None:
    """Power without limit, 3e-12 of the round to send 600 nats a symbol: an ulp of the round is worth 1e-2 of E."""
    clients = Clients(
        frequency_min=1e9, frequency_max=1e9, samples=1.0, channel_gain=1e-9, bandwidth=1e7, power_max=math.inf
    )
    computing = 1e13 / 1e9
    bits = 600.0 * 3e-12 * computing * 1e7 / math.log(2.0)
    work, budget = Workload(cycles=1e13, upload_bits=bits), Deadline(computing * (1.0 + 3e-12))
    found = fedopt.schedule(clients, work, budget)
    assert found.status.solved
    name = "least energy in this time"
    assert outcome(fedopt.verify_schedule(clients, work, budget, found), name) is not Outcome.FAILED
    dearer = dataclasses.replace(found, energy=1.02 * found.energy)
    assert outcome(fedopt.verify_schedule(clients, work, budget, dearer), name) is not Outcome.PASSED


TYPES = mnist_types((1, 2, 2, 4))[:3]


def test_a_bound_that_a_better_partition_beats_by_half_a_percent_is_refuted() -> None:
    """In the same long round only replicas count: 2^beta, beta = 0.0072, is 0.5 % more than 1^beta."""
    types = (
        SubModel("one", flops=1e6, upload_bits=1e5, cover=1),
        SubModel("half", flops=1e6, upload_bits=1e5, cover=2),
    )
    clients = Clients(
        frequency_min=0.0, frequency_max=1e9, samples=[1.0, 1.0], channel_gain=1e-9, bandwidth=1e6, power_max=0.1
    )
    problem = Problem(clients, types, budget=Deadline(1e3), utility=fedopt.ReplicaRate(0.0072))
    found = fedopt.solve(problem)
    assert found.partition is not None
    assert found.partition.replicas == 2
    assert fedopt.verify(problem, found).complete
    poor = fedopt.solve(dataclasses.replace(problem, partitions=np.array([[0, 2]])))
    assert found.utility == pytest.approx(1.005 * poor.utility, rel=1e-4)
    assert outcome(fedopt.verify(problem, poor), "bound of the utility") is Outcome.FAILED


@pytest.mark.parametrize("off", [-5e-15, 0.0, 5e-15, 1e-12])
def test_who_misses_a_deadline_by_last_digits_refutes_no_bound(off: float) -> None:
    """A better matching that is late by 5e-15 of the round, or just not: solver and verifier may round differently.

    Once the verifier called the answer without it wrong.
    """
    clients = Clients(
        frequency_min=0.0, frequency_max=[1.1e9, 1.2e9], samples=[400.0, 100.0], channel_gain=1e-9, bandwidth=1e6,
        power_max=0.1, overhead=0.1,
    )  # fmt: skip
    light = SubModel("light", flops=1e6, upload_bits=1e5, cover=2)
    heavy = SubModel("heavy", flops=1e9, upload_bits=1e5, cover=1)
    least = limits(rows_of(clients, clients.workload((light, heavy), np.array([1, 1])))).t_min
    problem = Problem(clients, (light, heavy), budget=Deadline(least * (1.0 + off)))
    found = fedopt.solve(problem)
    assert found.status.solved
    report = fedopt.verify(problem, found)
    assert report.ok, str(report)
    if off == 1e-12:
        assert report.complete
        poor = fedopt.solve(dataclasses.replace(problem, partitions=np.array([[2, 0]])))
        assert outcome(fedopt.verify(problem, poor), "bound of the utility") is Outcome.FAILED


@pytest.mark.parametrize("seed", range(4))
def test_a_partition_that_is_plainly_worse_is_not_the_best_with_the_bound_of_the_best(seed: int) -> None:
    """By less than the 1 % that rounding may leave open, where it leaves nothing open; its own bracket is right."""
    clients, tried = make("typical", seed, 4).clients, 0
    problem = Problem(clients, TYPES, budget=PowerBudget(0.5))
    for counts in problem.candidates().tolist():
        for beta in (0.01, 0.1):
            narrow = dataclasses.replace(problem, utility=fedopt.ReplicaRate(beta))
            best = fedopt.solve(narrow)
            poor = fedopt.solve(dataclasses.replace(narrow, partitions=[tuple(counts)]))
            if poor.utility < best.utility * (1.0 - 1e-6):
                tried += 1
                forged = dataclasses.replace(poor, bound=best.bound, problem=narrow)
                assert outcome(fedopt.verify(narrow, forged), "solved: the bound is reached") is Outcome.FAILED
    assert tried


def test_energies_a_millionth_apart_are_two() -> None:
    """However much sooner the dearer round ends; only rounding makes two of them one."""
    problem = Problem(CLIENTS, TYPES, budget=PowerBudget(1.0), utility="least_energy")
    for apart, best in ((1e-6, 0), (1e-10, 0), (1e-13, 1)):
        assert best_of(problem, [10.0, 1.0], [1.0, 1.0 + apart], lambda p: fedopt.Partition((5, 0, 0), TYPES)) == best
