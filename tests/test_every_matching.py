"""The search against every matching there is, at budgets next to what is possible at all, in every family."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from fleets import FAMILIES, make, mnist_types
from matchings import BUDGETS, Budget, budget_of, fleet

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    Partition,
    PowerBudget,
    ReplicaRate,
    SharedBandwidth,
    ShortestRound,
    Status,
    TimeDivision,
    TimePrice,
)
from fedopt.claims import claim_of
from fedopt.problem import utility_of
from fedopt.rounds import rows_of
from fedopt.sharing import Scheme
from fedopt.unsolved import infeasible
from solvers.limits import limits
from solvers.matching import marginal
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, STOPPED, Proof, Searched, Task, empty_results
from solvers.rows import Stop

TYPES = mnist_types((1, 2, 2, 3))
UTILITIES = (ReplicaRate(1.0), ReplicaRate(0.5), ShortestRound())


class Matched(NamedTuple):
    """A matching and its work."""

    partition: Partition
    work: fedopt.Workload


def every_matching(problem: fedopt.Problem) -> list[Matched]:
    """All of all partitions."""
    found = []
    for counts in problem.candidates().tolist():
        places = [k for k, count in enumerate(counts) for _ in range(count)]
        for assignment in sorted(set(itertools.permutations(places))):
            work = problem.clients.workload(TYPES, np.array(assignment))
            found.append(Matched(Partition(counts, TYPES), work))
    return found


def budgets(least_energy: float, least_time: float, margins: tuple[float, ...]) -> Iterator[Budget]:
    """To either side of what the cheapest and the shortest matching need, and far from it."""
    yield from (Deadline(least_time), Deadline(math.nextafter(least_time, 0.0)), EnergyBudget(least_energy))
    for margin in margins:
        for share in (1.0 - margin, 1.0 + margin):
            yield from (EnergyBudget(share * least_energy), Deadline(share * least_time))
    yield from (EnergyBudget(30.0 * least_energy), Deadline(30.0 * least_time))
    for power in (1e-6, 1e-2, 1.0, 1e2):
        yield PowerBudget(power * least_energy / least_time)
    for price in (1e-4, 0.1, 10.0):
        yield TimePrice(price * least_energy / least_time)


def best_of(problem: fedopt.Problem, everyone: list[tuple[Matched, fedopt.Schedule]]) -> float:
    """The greatest utility; at a price of time of the cheapest matching of every partition. -inf for no answer."""
    utilities: dict[Partition, tuple[float, float]] = {}
    for matched, found in everyone:
        if not found.status.solved:
            continue
        utility = utility_of(problem, matched.partition, found.duration, found.energy)
        cost = -utility
        if isinstance(problem.budget, TimePrice):
            cost = found.energy + problem.budget.watts * found.duration
        known = utilities.get(matched.partition, (math.inf, -math.inf))
        if math.isinf(known[0]) or cost < known[0] - 1e-12 * abs(known[0]):
            utilities[matched.partition] = cost, utility
        elif cost <= known[0] + 1e-12 * abs(known[0]):  # as cheap: the better one
            utilities[matched.partition] = known[0], max(known[1], utility)
    return max((utility for _, utility in utilities.values()), default=-math.inf)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_matching_is_better_and_none_is_overlooked(family: str, seed: int) -> None:
    """Extreme, seed 2: of matchings that tie, the one that was answered had not been the one that was found."""
    clients = make(family, seed, 3 + seed % 3).clients
    problem = fedopt.Problem(clients, TYPES, budget=EnergyBudget(math.inf))
    everyone = every_matching(problem)
    known = [limits(rows_of(clients, matched.work)) for matched in everyone]
    least_time = min(one.t_min for one in known)
    least_energy = min(one.e_inf for one in known if one.t_min < math.inf)
    for budget in budgets(least_energy, least_time, (1e-13, 1e-10, 1e-6, 1e-2)):
        answers = [(matched, fedopt.schedule(clients, matched.work, budget)) for matched in everyone]
        if any(answer.status is Status.LIMIT for _, answer in answers):  # rounding hides what it is
            continue
        for utility in UTILITIES:
            asked = dataclasses.replace(problem, budget=budget, utility=utility)
            best = best_of(asked, answers)
            for method in ("exact", "assignment"):
                found, where = fedopt.solve(asked, matching=method), (budget, utility, method)
                assert found.status.solved == (best > -math.inf), (where, found.reason)
                if not found.status.solved:
                    least = min(answer.shortfall for _, answer in answers)
                    scale = least_time if isinstance(budget, Deadline) else known[0].e_inf
                    assert abs(found.shortfall - least) <= 1e-9 * abs(least) + 1e-13 * scale, where
                    continue
                wide = 0.0 if isinstance(budget, TimePrice) else found.bracket[1] - found.bracket[0]
                hidden = max(1e-9, 2.0 * wide / found.duration) * abs(best)
                assert abs(found.utility - best) <= hidden, (where, found.utility, best)
                assert not found.bound < best - 1e-12 * abs(best), (where, found.bound, best)


@pytest.mark.parametrize("scheme", [SharedBandwidth, TimeDivision])
@pytest.mark.parametrize("family", ["typical", "extreme"])
def test_nor_where_they_share_the_uplink(family: str, scheme: type[SharedBandwidth | TimeDivision]) -> None:
    """Extreme, seed 0: at T_min the price of time is such that its last digit is worth a twentieth of the energy."""
    clients = make(family, 0, 3).clients
    access = scheme(float(np.broadcast_to(clients.bandwidth, 3).sum()))
    problem = fedopt.Problem(clients, TYPES, budget=EnergyBudget(math.inf), access=access)
    everyone, under = every_matching(problem), Scheme(clients, access)
    known = [under.limits(under.rows(matched.work)) for matched in everyone]
    least_energy, least_time = min(one.e_inf for one in known), min(one.t_min for one in known)
    for budget in budgets(least_energy, least_time, (1e-6,)):
        answers = [(matched, fedopt.schedule(clients, matched.work, budget, access=access)) for matched in everyone]
        hidden = any(answer.status is Status.LIMIT for _, answer in answers)
        asked = dataclasses.replace(problem, budget=budget, utility=ShortestRound())
        best = best_of(asked, answers)
        for method in ("marginal", "sorted"):
            found, where = fedopt.solve(asked, matching=method), (budget, method)
            verified = fedopt.verify(asked, found)
            assert verified.ok, (where, str(verified))
            if hidden or isinstance(budget, TimePrice):
                continue
            if found.scope == "all matchings":
                assert found.status is Status.INFEASIBLE or not found.bound < best - 1e-6 * abs(best), where
                assert found.status is not Status.INFEASIBLE or best == -math.inf, where
            assert not found.utility > best + 1e-5 * abs(best), where


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_the_matching_behind_every_partition_is_the_one_that_was_found(
    utility: fedopt.ReplicaRate | fedopt.ShortestRound, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiled loop keeps the best one; others it makes again when asked, and what it tried hung on the best."""
    seen: list[tuple[Task, Searched]] = []

    def spy(task: Task) -> Searched:
        seen.append((task, search(task)))
        return seen[-1][1]

    search = marginal.search
    monkeypatch.setattr(marginal, "search", spy)
    for seed in range(4):
        clients = fleet(9, seed)
        problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients), utility=utility)
        fedopt.solve(problem, matching="marginal")
        task, found = seen[-1]
        solved = np.flatnonzero(np.isfinite(found.results[:, DURATION])).tolist()
        assert len(solved) > 1
        for p in solved:
            rows = task.menu.rows_of(found.assign(p))
            again = task.find_duration(rows, task.goal, task.value, task.allocate)
            assert again.point is not None
            assert again.duration == pytest.approx(found.results[p, DURATION], rel=1e-9), (seed, p)
            assert again.point.energy.sum() == pytest.approx(found.results[p, ENERGY], rel=1e-9), (seed, p)


@pytest.mark.parametrize("name", BUDGETS)
def test_an_answer_that_does_not_keep_what_its_search_said_is_not_called_solved(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = fleet(8, 1)
    problem = fedopt.Problem(clients, TYPES, budget=budget_of(name, clients))
    search, right = marginal.search, fedopt.solve(problem, matching="marginal")
    assert right.status.solved

    def careless(task: Task) -> Searched:
        found = search(task)
        results = found.results.copy()
        results[:, DURATION] *= 0.5
        return dataclasses.replace(found, results=results, proof=Proof.MATCHINGS)

    monkeypatch.setattr(marginal, "search", careless)
    found = fedopt.solve(problem, matching="marginal")
    again = fedopt.schedule(clients, clients.workload(TYPES, found.assignment), problem.budget)
    assert found.status is Status.INACCURATE
    assert "where the search said" in found.reason
    assert found.bracket == again.bracket or name == "deadline"
    assert np.isnan([found.bound, *found.cost_bracket]).all()
    assert found.scope == ""


def years_of_computing() -> fedopt.Clients:
    """A client with power without limit whose time to send is below the last digit of the round."""
    return fedopt.Clients(
        frequency_min=0.0, frequency_max=15e3, samples=5e11, channel_gain=1e-11, bandwidth=1e6, static_power=0.05,
        power_max=math.inf, circuit_power=0.05, download_rate=1e7, receive_power=0.05, overhead=0.05,
    )  # fmt: skip


@pytest.mark.parametrize("access", [SharedBandwidth(1e6), TimeDivision(1e6)], ids=str)
@pytest.mark.parametrize(
    "budget", [TimePrice(2.0), EnergyBudget(1e14), PowerBudget(1.0), Deadline(7e14), Deadline(6e14)], ids=str
)
def test_where_level_2_gives_up_nothing_is_called_infeasible(
    budget: Budget, access: SharedBandwidth | TimeDivision
) -> None:
    clients = years_of_computing()
    types = (fedopt.SubModel("only", flops=2e7, upload_bits=3e5),)
    alone = fedopt.schedule(clients, clients.workload(types, np.int64(0)), budget, access=access)
    for matching in ("marginal", "sorted"):
        found = fedopt.solve(fedopt.Problem(clients, types, budget=budget, access=access), matching=matching)
        assert found.status is alone.status, (found.reason, alone.reason)
        assert (found.status is fedopt.Status.INFEASIBLE) is (budget == Deadline(6e14))
        assert found.reason


def test_no_bound_is_claimed_of_sorted_matchings_where_level_2_gives_up() -> None:
    """Of two partitions one is solved; the other is proved impossible, or nothing is known of it."""
    clients = fleet(4, 1)
    problem = fedopt.Problem(clients, TYPES, budget=budget_of("power", clients))
    answer = fedopt.solve(problem, matching="sorted")
    assert answer.partition is not None
    assert answer.assignment is not None
    round_ = fedopt.schedule(clients, clients.workload(TYPES, answer.assignment), problem.budget)
    for stop, scope in ((Stop.TOO_LITTLE, "sorted matchings"), (Stop.LIMIT, None)):
        results = empty_results(2)
        results[0, DURATION], results[0, STOPPED], results[1, STOPPED] = round_.duration, Stop.OPTIMAL, stop
        found = Searched(results=results, passes=0, assign=lambda p: np.zeros(4, dtype=np.int64), proof=Proof.SORTED)
        assert claim_of(problem, found, answer.partition, round_).get("scope") == scope


@pytest.mark.parametrize(
    ("budget", "needed", "proved"),
    [
        (EnergyBudget(2.0), 3.0, True),
        (EnergyBudget(2.0), 1.0, False),
        (PowerBudget(0.0), 1.0, True),
        (PowerBudget(2.0), 3.0, False),
        (TimePrice(2.0), 3.0, False),
    ],
    ids=str,
)
def test_a_search_that_says_too_little_of_what_is_enough_gives_up(budget: Budget, needed: float, proved: bool) -> None:
    """No price, no power above 0 W and no budget above the least energy is too little, whatever the search says."""
    problem = fedopt.Problem(fleet(4, 1), TYPES, budget=budget)
    results = empty_results(1)
    results[0, STOPPED], results[0, LEAST_ENERGY] = Stop.TOO_LITTLE, needed
    found = Searched(results=results, passes=0, assign=lambda p: np.zeros(4, dtype=np.int64), proof=Proof.MATCHINGS)
    answer = infeasible(problem, np.array([[4, 0, 0, 0]]), found, {}, None, "")
    assert answer.status is (Status.INFEASIBLE if proved else Status.LIMIT)
    assert math.isnan(answer.shortfall) is not proved
