"""Durations that the verifier lets pass next to the least energy: proved, refuted, or said to be open."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, Status, TimeDivision
from fedopt.verifier import Outcome

SCHEMES: list[Any] = [None, SharedBandwidth(1e6), TimeDivision(1e6)]
FREE = fedopt.Clients(
    frequency_min=0.0, frequency_max=2e9, samples=[500.0, 400.0], channel_gain=1e-9, bandwidth=1e6, power_max=0.2
)
FLAT = FREE.replace(frequency_min=1e9, power_min=0.1)  # no time saves energy from 5.01 s on
BAND = FREE.replace(frequency_min=1e9, circuit_power=0.1)
WORK = fedopt.Workload(cycles=[5e9, 4e9], upload_bits=1e5)
LOWER = "lower end of the bracket"


def lasting(clients: fedopt.Clients, seconds: float, access: Any) -> fedopt.Schedule:
    """The best round of that length, said to be the shortest."""
    found = fedopt.schedule(clients, WORK, Deadline(seconds), access=access)
    assert found.status is Status.OPTIMAL
    return dataclasses.replace(found, bracket=(found.duration, found.duration))


def outcomes(clients: fedopt.Clients, budget: Any, answer: fedopt.Schedule, access: Any) -> dict[str, Outcome]:
    report = fedopt.verify_schedule(clients, WORK, budget, answer, access=access)
    return {check.name: check.outcome for check in report.checks if check.outcome is not Outcome.PASSED}


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("clients", [FLAT, BAND], ids=["least power", "circuit"])
def test_no_time_saves_energy_after_t_flat_so_that_no_best_round_ends_later(clients: Any, access: Any) -> None:
    """Whatever the budget: one that is 1e-11 more, or the same to the bit."""
    forged = lasting(clients, 100.0, access)
    for more in (0.0, 1e-11, 5e-11, 1e-8, 5e-7):
        budget = EnergyBudget(forged.energy * (1.0 + more))
        found = outcomes(clients, budget, forged, access)
        assert found == {LOWER: Outcome.FAILED, "no shorter round": Outcome.FAILED}
        true = fedopt.schedule(clients, WORK, budget, access=access)
        assert true.duration < 5.1
        found = outcomes(clients, budget, true, access)
        assert found == {} or (more == 0.0 and found == {LOWER: Outcome.UNPROVED})


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_a_solution_that_lasts_twenty_times_too_long_is_not_the_best(access: Any) -> None:
    types = (fedopt.SubModel("one", flops=1e7, upload_bits=1e5),)
    forged = fedopt.solve(Problem(FLAT, types, budget=Deadline(100.0), access=access))
    report = fedopt.verify(Problem(FLAT, types, budget=EnergyBudget(forged.energy), access=access), forged)
    own = {LOWER} if access is None else set[str]()  # over all matchings of an uplink no lower end is claimed
    assert {check.name for check in report.failed} == {"no shorter round", *own}


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize(("seconds", "more"), [(100.0, 1e-7), (100.0, 5e-7), (1e5, 5e-11), (1e5, 9e-7)])
def test_a_shorter_round_is_made_that_refutes_a_lower_end(seconds: float, more: float, access: Any) -> None:
    """By 7e-9 to 1e-4 of the duration, with energies nearer each other than a scheme's proofs, or a sum's digits."""
    forged = lasting(FREE, seconds, access)
    budget = EnergyBudget(forged.energy * (1.0 + more))
    assert outcomes(FREE, budget, forged, access)[LOWER] is Outcome.FAILED
    true = fedopt.schedule(FREE, WORK, budget, access=access)
    assert outcomes(FREE, budget, true, access) == {}


@pytest.mark.parametrize("access", SCHEMES[1:], ids=str)
def test_slots_and_shares_tell_more_than_a_millionth_of_a_power_budget(access: Any) -> None:
    forged = lasting(FREE, 12.0, access)
    for more, outcome in ((1e-7, Outcome.FAILED), (0.0, None)):
        budget = PowerBudget(forged.energy / 12.0 * (1.0 + more))
        assert outcomes(FREE, budget, forged, access).get(LOWER) is outcome


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_a_lower_end_of_which_the_energies_tell_nothing_is_not_proved(access: Any) -> None:
    """1e9 s on end the energy falls by less than its last digit: the best may be 1e7 s or 1e9 s."""
    forged = lasting(FREE, 1e9, access)
    budget = EnergyBudget(forged.energy)
    assert outcomes(FREE, budget, forged, access) == {LOWER: Outcome.UNPROVED}
    assert outcomes(FREE, budget, dataclasses.replace(forged, bracket=(1e6, 1e9), status=Status.LIMIT), access) == {}


def test_another_matching_that_takes_as_much_but_for_what_sums_hide_is_not_ruled_out() -> None:
    """It lasts 3e-9 less, on 2e-11 less energy: the large type is not with the better channel."""
    types = (fedopt.SubModel("large", flops=1e7, upload_bits=2e5), fedopt.SubModel("small", flops=1e7, upload_bits=1e5))
    clients = FREE.replace(samples=500.0, channel_gain=[1e-9, 1e-9 * (1.0 + 6e-11)])
    least = fedopt.solve(Problem(clients, types, budget=Deadline(1e5), partitions=[(1, 1)])).energy
    name, found = "bracket over all matchings", []
    best = Problem(clients, types, budget=EnergyBudget(least), partitions=[(1, 1)])
    solution = fedopt.solve(best)
    more = EnergyBudget(least * (1.0 + 2e-11))
    for problem in (best, dataclasses.replace(best, clients=clients.take([1, 0]), budget=more)):
        report = fedopt.verify(problem, solution)
        found += [check.outcome for check in report.checks if check.name == name]
    assert found == [Outcome.PASSED, Outcome.UNPROVED]


@pytest.mark.parametrize("more", [0.0, 5e-11])
def test_a_bound_of_which_the_energies_tell_nothing_is_not_proved(more: float) -> None:
    """From 5 s on a round takes the same: a hundred seconds may not be said to be the least but for 1e-10 of it."""
    types = (fedopt.SubModel("one", flops=1e7, upload_bits=1e5),)
    forged = fedopt.solve(Problem(FLAT, types, budget=Deadline(100.0)))
    problem, found = Problem(FLAT, types, budget=EnergyBudget(forged.energy * (1.0 + more))), []
    for solution in (forged, fedopt.solve(problem)):
        report = fedopt.verify(problem, dataclasses.replace(solution, bracket=(float("nan"), solution.duration)))
        found += [check.outcome for check in report.checks if check.name == "bound of the utility"]
    assert found[0] is Outcome.UNPROVED
    assert found[1] is Outcome.PASSED or more == 0.0
