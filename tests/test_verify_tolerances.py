"""How near a claim must be to what is so: of limits of the verifier what is just within, and what is just beyond."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, TimeDivision, TimePrice
from fedopt.verifier import Check, Outcome

CLIENTS = make("typical", 1, 5).clients
TYPES = mnist_types((1, 2, 2, 4))[:3]
WORK = CLIENTS.workload(TYPES, np.array([0, 1, 1, 2, 2]))
SHARED, SLOTS = SharedBandwidth(2e6), TimeDivision(2e6)


def check(report: fedopt.Report, name: str) -> Check:
    (found,) = (each for each in report.checks if each.name == name)
    return found


@pytest.mark.parametrize(
    ("budget", "utility"),
    [
        (PowerBudget(0.5), None), (EnergyBudget(4.0), None), (Deadline(12.0), None),
        (PowerBudget(0.5), "shortest_round"), (EnergyBudget(4.0), "shortest_round"), (Deadline(12.0), "least_energy"),
    ],
)  # fmt: skip
def test_a_bound_below_the_best_by_more_than_the_tolerance_is_refuted(budget: Any, utility: Any) -> None:
    """The best utility is the answer's own, whatever is said."""
    problem = Problem(CLIENTS, TYPES, budget=budget, utility=utility)
    best = fedopt.solve(problem)
    assert best.scope == "all matchings"
    for below, outcome in ((5e-10, Outcome.PASSED), (3e-9, Outcome.FAILED), (1e-7, Outcome.FAILED)):
        less = dataclasses.replace(best, bound=best.utility - below * abs(best.utility))
        assert check(fedopt.verify(problem, less), "bound of the utility").outcome is outcome


@pytest.mark.parametrize("access", [None, SLOTS], ids=str)
def test_a_cost_bracket_does_not_end_below_its_beginning(access: Any) -> None:
    problem = Problem(CLIENTS, TYPES, budget=TimePrice(0.5), access=access)
    best = fedopt.solve(problem)
    cost = best.cost_bracket[1]
    for low, outcome in ((cost, Outcome.PASSED), (math.nextafter(cost, math.inf), Outcome.FAILED)):
        said = dataclasses.replace(best, cost_bracket=(low, cost))
        assert check(fedopt.verify(problem, said), "cost of all matchings").outcome is outcome


@pytest.mark.parametrize(("more", "outcome"), [(5e-10, Outcome.PASSED), (2e-9, Outcome.FAILED), (1e-7, Outcome.FAILED)])
def test_prices_of_places_prove_the_energy_to_the_tolerance(more: float, outcome: Outcome) -> None:
    problem = Problem(CLIENTS, TYPES, budget=Deadline(12.0), utility="least_energy")
    best = fedopt.solve(problem)
    said = dataclasses.replace(best, energy=(1.0 + more) * best.energy)
    assert check(fedopt.verify(problem, said), "place prices").outcome is outcome


@pytest.mark.parametrize(("off", "outcome"), [(0.0, Outcome.PASSED), (1e-12, Outcome.FAILED), (-1e-12, Outcome.FAILED)])
def test_a_deadline_is_the_duration_to_the_last_digits(off: float, outcome: Outcome) -> None:
    """Not to the tolerance of what is computed: it is given."""
    answer = fedopt.schedule(CLIENTS, WORK, Deadline(12.0))
    said = dataclasses.replace(answer, duration=12.0 * (1.0 + off))
    assert check(fedopt.verify_schedule(CLIENTS, WORK, Deadline(12.0), said), "deadline").outcome is outcome


@pytest.mark.parametrize(("off", "outcome"), [(5e-10, Outcome.PASSED), (1e-8, Outcome.FAILED), (-1e-8, Outcome.FAILED)])
def test_prices_of_slots_add_up_to_the_tolerance(off: float, outcome: Outcome) -> None:
    answer = fedopt.schedule(CLIENTS, WORK, Deadline(12.0), access=SLOTS)
    assert answer.sharing is not None
    other = dataclasses.replace(answer.sharing, time_price=answer.sharing.time_price * (1.0 + off))
    said = dataclasses.replace(answer, sharing=other)
    report = fedopt.verify_schedule(CLIENTS, WORK, Deadline(12.0), said, access=SLOTS)
    assert check(report, "prices of time add up").outcome is outcome


def test_who_sends_has_a_part_of_the_band() -> None:
    """However little the others leave unused: on none nothing is sent."""
    answer = fedopt.schedule(CLIENTS, WORK, Deadline(12.0), access=SHARED)
    assert answer.sharing is not None
    for n in range(len(CLIENTS)):
        band = np.where(np.arange(len(CLIENTS)) == n, 0.0, answer.sharing.bandwidth)
        said = dataclasses.replace(answer, sharing=dataclasses.replace(answer.sharing, bandwidth=band))
        report = fedopt.verify_schedule(CLIENTS, WORK, Deadline(12.0), said, access=SHARED)
        assert check(report, "bandwidths add up").outcome is Outcome.FAILED


@pytest.mark.parametrize("factor", [1.0 + 3e-9, 1.0 - 3e-9, 0.5])
def test_a_utility_is_neither_more_nor_less_than_it_is(factor: float) -> None:
    problem = Problem(CLIENTS, TYPES, budget=PowerBudget(0.5))
    best = fedopt.solve(problem)
    said = dataclasses.replace(best, utility=factor * best.utility)
    assert check(fedopt.verify(problem, said), "utility").outcome is Outcome.FAILED
