"""Corners of the verifier: answers without a decision, arrays that do not fit, proofs that are given up."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types
from matchings import TYPES, budget_of, fleet

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import About, Outcome, infeasible, matchings, model, search
from fedopt.verifier.report import judged, worst

SIZE = 6
WORK = fedopt.Workload(cycles=1e9, upload_bits=1e5)


def problem_of(name: str, **more: Any) -> Problem:
    clients = fleet(SIZE, 1)
    return Problem(clients, TYPES, **{"budget": budget_of(name, clients), **more})


def outcomes(report: fedopt.Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def test_who_stopped_at_a_limit_claims_nothing_and_who_says_solved_has_a_decision() -> None:
    problem = problem_of("energy")
    solution = fedopt.solve(dataclasses.replace(problem, budget=EnergyBudget(1e-9)))
    schedule = fedopt.schedule(problem.clients, WORK, EnergyBudget(1e-9))
    assert solution.allocation is schedule.allocation is None
    for status, outcome in ((Status.LIMIT, Outcome.NOTHING), (Status.OPTIMAL, Outcome.FAILED)):
        about = fedopt.verify(problem, dataclasses.replace(solution, status=status))
        assert outcomes(about)["a decision"] is outcome
        more = dataclasses.replace(schedule, status=status)
        about = fedopt.verify_schedule(problem.clients, WORK, EnergyBudget(1e-9), more)
        assert outcomes(about)["a decision"] is outcome


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("frequency of shape (5,)", {"frequency": lambda v: v[1:]}),
        ("client 2: rate nan", {"rate": lambda v: np.where(np.arange(SIZE) == 2, np.nan, v)}),
        ("client 0: frequency inf", {"frequency": lambda v: np.where(np.arange(SIZE) == 0, np.inf, v)}),
        ("client 1: energy -", {"energy": lambda v: np.where(np.arange(SIZE) == 1, -v, v)}),
        ("client 3 marked infeasible", {"feasible": lambda v: np.arange(SIZE) != 3}),
    ],
)
def test_arrays_that_do_not_fit_are_no_decision(said: str, changes: Any) -> None:
    clients, budget = fleet(SIZE, 1), Deadline(1000.0)
    schedule = fedopt.schedule(clients, WORK, budget)
    assert fedopt.verify_schedule(clients, WORK, budget, schedule).ok
    assert schedule.allocation is not None
    given = {name: change(getattr(schedule.allocation, name)) for name, change in changes.items()}
    wrong = dataclasses.replace(schedule, allocation=dataclasses.replace(schedule.allocation, **given))
    report = fedopt.verify_schedule(clients, WORK, budget, wrong)
    assert not report.ok
    assert said in str(report)
    assert report.sentence == "Not verified: the round cannot be done like this."
    endless = fedopt.verify_schedule(clients, WORK, budget, dataclasses.replace(schedule, duration=math.inf))
    assert "finite duration and energy" in str(endless)


@pytest.mark.parametrize("access", [None, SharedBandwidth(1e6)])
def test_who_is_beyond_all_channels_is_proved_to_be(access: Any) -> None:
    clients = fleet(SIZE, 1).replace(channel_gain=[0.0, *[1e-10] * (SIZE - 1)])
    schedule = fedopt.schedule(clients, WORK, EnergyBudget(10.0), access=access)
    assert schedule.status is Status.INFEASIBLE
    assert fedopt.verify_schedule(clients, WORK, EnergyBudget(10.0), schedule, access=access).ok


@pytest.mark.parametrize("budget", [PowerBudget(0.1), TimePrice(0.1)])
def test_a_power_or_a_price_can_always_be_met(budget: Any) -> None:
    clients = fleet(SIZE, 1)
    schedule = fedopt.schedule(clients, WORK, EnergyBudget(1e-9))
    report = fedopt.verify_schedule(clients, WORK, budget, schedule)
    assert outcomes(report)["infeasible"] is Outcome.FAILED


def test_an_answer_of_which_the_judge_was_not_asked_claims_no_verdict() -> None:
    clients, budget = fleet(SIZE, 1), Deadline(1000.0)
    schedule = dataclasses.replace(fedopt.schedule(clients, WORK, budget), verdict=None)
    report = fedopt.verify_schedule(clients, WORK, budget, schedule)
    assert report.complete, str(report)
    assert outcomes(report)["verdict"] is Outcome.NOTHING


@pytest.mark.parametrize("seconds", [999.999, 1000.001])
def test_a_round_of_another_length_than_the_deadline_is_noticed(seconds: float) -> None:
    clients = fleet(SIZE, 1)
    report = fedopt.verify_schedule(clients, WORK, Deadline(seconds), fedopt.schedule(clients, WORK, Deadline(1000.0)))
    assert outcomes(report)["deadline"] is Outcome.FAILED


def test_a_client_without_a_share_of_the_channel_is_noticed() -> None:
    """Though the bandwidths of the others add up."""
    problem = problem_of("energy", access=SharedBandwidth(2e5))
    solution = fedopt.solve(problem)
    assert solution.sharing is not None
    taken = solution.sharing.bandwidth.copy()
    taken[:2] = 0.0, taken[0] + taken[1]
    sharing = dataclasses.replace(solution.sharing, bandwidth=taken)
    report = fedopt.verify(problem, dataclasses.replace(solution, sharing=sharing))
    assert outcomes(report)["bandwidths add up"] is Outcome.FAILED


def test_a_matching_of_no_partition_that_was_to_be_searched_is_noticed() -> None:
    """One not listed, though each of its counts is; nobody who trains; and no type at all."""
    problem = problem_of("energy")
    types = (*TYPES, fedopt.SubModel.idle())
    solution = fedopt.solve(problem)
    assert solution.partition is not None
    assert solution.assignment is not None
    counts = tuple(solution.partition)
    others = [(SIZE, 0, 0, 0), (0, SIZE, 0, 0), (2, 0, 4, 0), (2, 0, 0, 4), (0, 2, 4, 0), (4, 2, 0, 0)]
    others = [each for each in others if each != counts]
    for partitions, outcome in (
        ([counts], Outcome.PASSED),
        ([*others, counts], Outcome.PASSED),
        (others, Outcome.FAILED),
    ):
        listed = dataclasses.replace(problem, partitions=partitions)
        assert outcomes(fedopt.verify(listed, solution))["matching"] is outcome, partitions
    free = dataclasses.replace(problem, partitions=None)
    for shares, outcome in (
        ((2, 4, 0, 0), Outcome.PASSED),
        ((1, 5, 0, 0), Outcome.FAILED),
    ):  # of type 1 two make a whole
        assignment, each = np.repeat(np.arange(4), shares), [dataclasses.replace(type_, cover=1) for type_ in TYPES]
        forged = dataclasses.replace(solution, assignment=assignment, partition=fedopt.Partition(shares, each))
        assert outcomes(fedopt.verify(free, forged))["matching"] is outcome
    idle = dataclasses.replace(problem, submodels=types)
    nobody = dataclasses.replace(
        solution, assignment=np.full(SIZE, 4), partition=fedopt.Partition([0, 0, 0, 0, SIZE], types)
    )
    assert outcomes(fedopt.verify(idle, nobody))["matching"] is Outcome.FAILED
    none = dataclasses.replace(solution, assignment=np.where(np.arange(SIZE) == 3, -1, solution.assignment))
    assert outcomes(fedopt.verify(problem, none))["matching"] is Outcome.FAILED


def test_with_nothing_to_send_the_channel_makes_no_round_longer() -> None:
    """The least duration is that of computing alone, W / f_max of the slowest, whatever the band."""
    clients, work = fleet(SIZE, 1), fedopt.Workload(cycles=1e9, upload_bits=0.0)
    least = float((1e9 / clients.frequency_max + clients.overhead).max())
    for seconds, status in ((0.99 * least, Status.INFEASIBLE), (1.01 * least, Status.OPTIMAL)):
        schedule = fedopt.schedule(clients, work, Deadline(seconds), access=SharedBandwidth(1e6))
        assert schedule.status is status
        assert fedopt.verify_schedule(clients, work, Deadline(seconds), schedule, access=SharedBandwidth(1e6)).ok


def test_what_is_too_much_to_look_through_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, budget in (("energy", EnergyBudget(1e-9)), ("price", None)):
        problem = problem_of(name) if budget is None else problem_of(name, budget=budget)
        solution = fedopt.solve(problem)
        assert fedopt.verify(problem, solution).complete
        for module, limit in ((search, "SIZE"), (search, "LOOKS"), (infeasible, "LOOKS")):
            with monkeypatch.context() as patch:
                patch.setattr(module, limit, 0)
                report = fedopt.verify(problem, solution)
            assert report.ok
            touched = module is search if budget is None else limit == "SIZE" or module is infeasible
            assert report.complete is not touched
            assert report.sentence.startswith("Verified, but for ") is touched


def test_partitions_that_cannot_be_listed_are_not_proved_again() -> None:
    types = [fedopt.SubModel(str(k), flops=1e7 * k, upload_bits=1e5) for k in range(1, 9)]
    problem = Problem(fleet(500, 1), types, budget=EnergyBudget(9.0))
    assert "the partitions are too many to list" in str(search.menu_of(problem))


@pytest.mark.parametrize("budget", [EnergyBudget(np.inf), PowerBudget(np.inf)], ids=str)
def test_a_budget_without_limit_leaves_the_shortest_round(budget: Any) -> None:
    problem = problem_of("energy", budget=budget)
    solution = fedopt.solve(problem)
    assert outcomes(fedopt.verify(problem, solution))["bound of the utility"] is Outcome.PASSED
    proud = dataclasses.replace(
        solution, bound=solution.utility * (1.0 - 1e-3), utility=solution.utility * (1.0 - 1e-3)
    )
    assert outcomes(fedopt.verify(problem, proud))["bound of the utility"] is Outcome.FAILED


def test_prices_of_a_search_given_up_still_bound_every_matching() -> None:
    rng = np.random.default_rng(5)
    counts = np.array([2, 2, 1])
    for _ in range(20):
        costs = rng.exponential(1.0, (3, 5))
        every = set(itertools.permutations((0, 0, 1, 1, 2)))
        best = min(math.fsum(costs[who, range(5)]) for who in every)
        start = np.array([0, 0, 1, 1, 2])
        for patience in (0, 1, 50):
            found, prices = matchings.cheapest(costs, start, patience)
            assert np.bincount(found, minlength=3).tolist() == [2, 2, 1]
            assert matchings.dual_value(costs, counts, prices) <= best + 1e-12
            assert math.fsum(costs[found, range(5)]) >= best - 1e-12
        assert math.fsum(costs[found, range(5)]) == pytest.approx(best, rel=1e-12)


def test_what_rounding_alone_shortens_is_no_cycle() -> None:
    """A threshold below zero takes every pass for a shorter way: no cycle leads back."""
    arcs = np.array([[np.inf, -0.5], [np.inf, np.inf]])
    distance, cycle = matchings._potentials(arcs, -1.0)
    assert cycle is None
    assert distance.tolist() == [0.0, -0.5]


def test_newtons_steps_of_the_inverse_marginal_all_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """F(x) = 1 + (x - 1) e^x is convex and the start is behind the root: few steps end behind it, too."""
    m = np.geomspace(1e-8, 1e8, 50)
    ends = []
    for steps in (1, 2, 4, 60):
        monkeypatch.setattr(model, "_NEWTONS", steps)
        ends.append(model.inverse_marginal(m))
    for longer, shorter in itertools.pairwise(ends):
        assert np.all(longer >= shorter * (1.0 - 1e-15))
    np.testing.assert_allclose(model.marginal(ends[-1]), m, rtol=1e-12)


def test_no_energy_suffices_for_a_round_too_short() -> None:
    instance = make("typical", 2, 6)
    tasks = model.tasks_for(instance.clients, instance.work, instance.clients.bandwidth)
    shortest = float(model.least_times(tasks).max())
    assert model.proved_energy(tasks, 0.99 * shortest) == math.inf
    assert model.proved_energy(tasks, 1.01 * shortest) < math.inf


def test_a_check_of_no_clients_and_one_that_says_no_more_than_who() -> None:
    limit = 1e-9
    assert worst("none", About.DECISION, np.empty(0), limit, None, "client").outcome is Outcome.NOTHING
    check = worst("some", About.DECISION, np.array([0.0, np.nan, 1.0]), limit, None, "client")
    assert (check.outcome, check.why) == (Outcome.FAILED, "client 1")
    assert judged("one", About.DECISION, math.nan, limit).outcome is Outcome.FAILED
    assert judged("one", About.DECISION, limit, limit).outcome is Outcome.PASSED


def test_a_round_that_a_client_cannot_send_in_is_noticed() -> None:
    problem = problem_of("energy", access=SharedBandwidth(2e5))
    solution = fedopt.solve(problem)
    gain = np.where(np.arange(SIZE) == 2, 0.0, problem.clients.channel_gain)
    deaf = dataclasses.replace(problem, clients=problem.clients.replace(channel_gain=gain))
    report = fedopt.verify(deaf, solution)
    assert not report.ok
    assert report.sentence == "Not verified: the round cannot be done like this."


@pytest.mark.parametrize("watts", [6.8612, 6.9016479787927985, 7.0, 7.256])
def test_a_price_within_a_jump_is_proved_where_the_last_digits_of_the_duration_hide_the_bound(watts: float) -> None:
    """At the best duration client 1 computes at its slowest and sends at full power, but for 3e-12 of it: between the
    price of computing, 3.656 W, and that of sending, 3.261 W, any price of its own explains what it does."""
    clients = fedopt.Clients(
        frequency_min=[1407469380.0, 1782078130.0, 1298953590.0, 569224327.0],
        frequency_max=5307752280.0,
        samples=[125.0, 2000.0, 1232.34592559, 1993.97135285],
        channel_gain=1.14707456e-11,
        bandwidth=[62500.0, 486615.81218672, 62500.0, 300000.0],
        capacitance=3.39092133e-28,
        static_power=0.18183572,
        power_max=0.48824319,
        circuit_power=[0.1656686, 0.14324074, 0.09392361, 0.0311321],
        download_rate=2500000.0,
        receive_power=0.03832611,
        overhead=[0.13643855, 0.11330481, 0.05519559, 0.03814493],
    )
    types = (fedopt.SubModel("one", flops=31681850.95461957, upload_bits=75000.0),)
    problem = Problem(clients, types, budget=TimePrice(watts))
    solution = fedopt.solve(problem)
    assert solution.duration == pytest.approx(35.712783568364, rel=1e-12)
    assert not fedopt.verify(problem, solution).failed


def test_a_price_of_time_is_found_at_a_kink_of_the_time() -> None:
    """On a shared channel, at a duration 4e-7 below the least, client 0 is at full speed but for 1e-6, where its time
    falls faster with the price than beyond; a time 1e-6 too long passed for one that the channel has room for."""
    clients = fedopt.Clients(
        frequency_min=427890781.0,
        frequency_max=5532682790.0,
        samples=[125.0, 125.0],
        channel_gain=1.88531502e-11,
        bandwidth=62500.0,
        capacitance=2.5e-29,
        static_power=0.09007539,
        power_max=0.22480442,
        circuit_power=[0.1, 0.09004058],
        download_rate=[39999999.0, 17127452.17998349],
        receive_power=[0.13152409, 0.01643513],
        overhead=0.19283907,
    )
    types = (fedopt.SubModel("one", flops=31730284.26904581, upload_bits=668666.0),)
    problem = Problem(clients, types, budget=EnergyBudget(7.0), access=SharedBandwidth(250000.0))
    solution = fedopt.solve(problem)
    assert solution.status is Status.SLACK
    assert not fedopt.verify(problem, solution).failed


def test_what_the_last_digit_of_a_duration_hides_is_not_called_wrong() -> None:
    """At T_min of these phones a second is worth 2e8 W and the round takes 7e8 s: an ulp of it is worth 27 of 742 J."""
    clients = make("extreme", 0, 3).clients
    types = mnist_types((1, 2, 2, 3))
    work, access = clients.workload(types, np.int64(3)), SharedBandwidth(float(clients.bandwidth.sum()))
    budget = EnergyBudget(817.3256025174073)
    found = fedopt.schedule(clients, work, budget, access=access)
    report = fedopt.verify_schedule(clients, work, budget, found, access=access)
    assert report.ok, str(report)
    hidden = [check for check in report.checks if "the last digits of the duration hide" in check.why]
    assert {check.name for check in hidden} == {"least energy in this time", "gap"}
    assert hidden[0].outcome is Outcome.UNPROVED


@pytest.mark.parametrize("access", [None, SharedBandwidth(1e6), TimeDivision(1e6)], ids=str)
@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), PowerBudget(math.inf), EnergyBudget(1e200)], ids=str)
def test_without_any_limit_the_round_is_as_short_as_a_double_of_its_energy_allows(access: Any, budget: Any) -> None:
    """1 s of computing and e^x of power: no slower than x = 640, none of it longer, and what is said of it is so."""
    clients = fleet(1, 1).replace(frequency_min=0.0, frequency_max=1e9, power_max=math.inf, channel_gain=1e-10)
    clients = clients.replace(bandwidth=1e6, overhead=0.0, static_power=0.0, circuit_power=0.0)
    found = fedopt.schedule(clients, WORK, budget, access=access)
    assert found.status is (Status.LIMIT if access is not None and budget != EnergyBudget(1e200) else Status.OPTIMAL)
    x = 1e5 * math.log(2.0) / 1e6 / (found.duration - 1.0)
    assert (440.0 if budget == EnergyBudget(1e200) else 640.0) <= x <= 700.0
    assert found.sharing is None or 0.0 <= found.sharing.gap <= 1e-6
    report = fedopt.verify_schedule(clients, WORK, budget, found, access=access)
    assert report.ok, str(report)
    if access is None:
        later = fedopt.schedule(clients, WORK, Deadline(found.duration * (1.0 + 1e-7)))
        longer = dataclasses.replace(later, bracket=(1.0, later.duration))
        assert outcomes(fedopt.verify_schedule(clients, WORK, budget, longer))["no shorter round"] is Outcome.FAILED


def test_a_gap_that_is_no_number_claims_nothing_at_a_limit_alone() -> None:
    clients, budget, access = fleet(SIZE, 1), Deadline(1000.0), SharedBandwidth(1e6)
    found = fedopt.schedule(clients, WORK, budget, access=access)
    assert found.sharing is not None
    for status, outcome in ((Status.LIMIT, Outcome.NOTHING), (Status.OPTIMAL, Outcome.FAILED)):
        none = dataclasses.replace(found, status=status, sharing=dataclasses.replace(found.sharing, gap=math.nan))
        report = fedopt.verify_schedule(clients, WORK, budget, none, access=access)
        assert outcomes(report)["gap"] is outcome


@pytest.mark.parametrize("access", [SharedBandwidth(1e6), TimeDivision(1e6)], ids=str)
def test_a_gap_of_costs_is_a_bound_that_may_be_loose_at_a_limit(access: Any) -> None:
    """Of costs, which are none below 0; of a deadline's energy it is what the prices leave open and nothing else."""
    clients = fleet(SIZE, 1)
    for budget, gap, outcome in (
        (TimePrice(0.1), 0.9, Outcome.PASSED),
        (TimePrice(0.1), 1.1, Outcome.FAILED),
        (Deadline(1000.0), 0.9, Outcome.FAILED),
    ):
        found = fedopt.schedule(clients, WORK, budget, access=access)
        assert found.sharing is not None
        sharing = dataclasses.replace(found.sharing, gap=gap)
        loose = dataclasses.replace(found, status=Status.LIMIT, sharing=sharing)
        assert outcomes(fedopt.verify_schedule(clients, WORK, budget, loose, access=access))["gap"] is outcome
