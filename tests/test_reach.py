"""Goals just out of reach, or just within, where clients share a channel: against every matching there is."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from fleets import mnist_types
from tasks import task_asked

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, Status, TimeDivision
from fedopt.sharing import Scheme
from solvers.matching import priced, slotted
from solvers.matching.reach import _thriftiest, search_within
from solvers.matching.task import LEAST_TIME, STOPPED, Searched, Task, empty_results
from solvers.matching.transport import Transport, transport
from solvers.rows import Goal, Stop

TYPES = (
    fedopt.SubModel("whole", flops=34e6, upload_bits=5.4e5),
    fedopt.SubModel("half", flops=17e6, upload_bits=2.7e5),
    fedopt.SubModel("third", flops=11e6, upload_bits=1.8e5, cover=2),
)

by_access = pytest.mark.parametrize("access", [TimeDivision(1e6), SharedBandwidth(1e6)], ids=lambda a: type(a).__name__)


def fleet(seed: int) -> fedopt.Clients:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 5))
    return fedopt.Clients(
        frequency_min=rng.choice([0.0, 0.3e9], size),
        frequency_max=rng.uniform(1e9, 3e9, size),
        capacitance=10 ** rng.uniform(-28.5, -27.5, size),
        static_power=rng.choice([0.0, 0.1], size),
        samples=rng.integers(100, 1000, size),
        channel_gain=10 ** rng.uniform(-13, -9, size),
        bandwidth=1e6,
        circuit_power=rng.choice([0.0, 0.05], size),
        overhead=0.1,
    )


def every_round(problem: fedopt.Problem) -> dict[tuple[int, ...], fedopt.Schedule]:
    """Levels 2 and 3 of all matchings of whole replicas."""
    allowed = {tuple(row) for row in problem.candidates().tolist()}
    return {
        matching: fedopt.schedule(
            problem.clients, problem.clients.workload(TYPES, np.array(matching)), problem.budget, access=problem.access
        )
        for matching in itertools.product(range(3), repeat=len(problem.clients))
        if tuple(matching.count(k) for k in range(3)) in allowed
    }


@by_access
@pytest.mark.parametrize("timed", [False, True], ids=["energy", "deadline"])
@pytest.mark.parametrize("seed", range(6))
def test_what_any_matching_can_do_is_done_and_what_is_missing_is_the_least(seed: int, timed: bool, access: Any) -> None:
    """The sorted and marginal matchings, tried first, miss by up to 5,000 times as much next to the least."""
    clients = fleet(seed)
    most = EnergyBudget(math.inf) if timed else Deadline(1e12)
    rounds = every_round(fedopt.Problem(clients, TYPES, budget=most, access=access)).values()
    least = min(each.duration if timed else each.energy for each in rounds)
    for share in (0.5, 0.9999, 1.0001, 1.1):
        budget = Deadline(least * share) if timed else EnergyBudget(least * share)
        problem = fedopt.Problem(clients, TYPES, budget=budget, access=access)
        found = fedopt.solve(problem)
        report = fedopt.verify(problem, found)
        assert report.ok, str(report)
        if share > 1.0:
            assert found.status.solved
            continue
        assert found.status is Status.INFEASIBLE
        assert found.shortfall == pytest.approx(least * (1.0 - share), rel=1e-3)
        assert found.scope in (("all matchings",) if share < 0.6 else ("all matchings", ""))
        assert ("Only marginal matchings" in found.reason) is (found.scope == "")
        if isinstance(access, TimeDivision) and not timed and found.scope:
            assert report.complete
            more = dataclasses.replace(found, shortfall=found.shortfall * 1.001)
            assert [check.name for check in fedopt.verify(problem, more).failed] == ["by how much"]


def asked(task: Task, replies: list[Any]) -> tuple[Searched, list[Task]]:
    """What comes of searches that answer one after another; a callable makes its answer of the task."""
    tasks = list[Task]()

    def search(each: Task) -> Searched:
        tasks.append(each)
        reply = replies[len(tasks) - 1]
        return reply(each) if callable(reply) else reply

    return search_within(task, search, lambda task: lambda p, T: None), tasks


def test_one_search_is_enough_where_it_finds_something_or_its_time_is_up() -> None:
    problem = fedopt.Problem(fleet(1), TYPES, budget=EnergyBudget(100.0), access=TimeDivision(1e6))
    task = task_asked(problem, "solvers.matching.slotted.search")
    solved = slotted.search(task)
    found, tasks = asked(task, [solved])
    assert found is solved
    assert tasks == [task]
    late = task_asked(problem, "solvers.matching.slotted.search", time_limit=0.0)
    stopped = slotted.search(late)
    assert stopped.stopped
    assert asked(late, [stopped])[0] is stopped


def test_a_power_or_a_price_that_is_given_up_is_not_asked_for_again() -> None:
    for budget in (fedopt.PowerBudget(1e-3), fedopt.TimePrice(1.0)):
        problem = fedopt.Problem(fleet(1), TYPES, budget=budget, access=TimeDivision(1e6))
        task = task_asked(problem, "solvers.matching.slotted.search")
        results = empty_results(len(task.counts))
        results[:, STOPPED] = Stop.LIMIT
        given_up = Searched(results=results, passes=1, assign=lambda p: np.zeros(0, dtype=np.int64))
        assert asked(task, [given_up])[0] is given_up


def test_a_search_without_end_that_finds_nothing_leaves_what_each_needs_alone() -> None:
    """And one that is out of time says so."""
    clients = fleet(1).replace(circuit_power=0.05)
    problem = fedopt.Problem(clients, TYPES, budget=EnergyBudget(1e-3), access=SharedBandwidth(1e6))
    task = task_asked(problem, "solvers.matching.priced.search")
    first = priced.search(task)
    found, tasks = asked(task, [first, first])
    assert found.passes == 2 * first.passes
    assert not found.stopped
    assert np.isinf(found.lower).all()
    assert (tasks[1].goal, tasks[1].thrifty) == (Goal.DEADLINE, True)
    late = asked(dataclasses.replace(task, until=0.0), [first, first])[0]
    assert late.stopped
    assert late.results is first.results


@pytest.mark.parametrize("utility", ["replica_rate", "shortest_round"])
def test_what_the_first_partitions_miss_is_not_looked_for_in_every_one(
    utility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum of energies below the least, and a little above: as when all are searched, with a part of the passes."""
    clients = fedopt.devices.phones64().take(slice(None, None, 4))
    problem = fedopt.Problem(clients, mnist_types((1, 2, 4, 8)), budget=EnergyBudget(1.0), access=SharedBandwidth(5e6))
    problem = dataclasses.replace(problem, utility=utility)
    least = 1.0 + fedopt.solve(problem).shortfall
    assert len(problem.candidates()) > 4 * priced._FIRST
    for share in (0.9, 1.0 - 1e-4, 1.0 + 1e-4, 1.02):
        problem = dataclasses.replace(problem, budget=EnergyBudget(least * share))
        found = fedopt.solve(problem)
        with monkeypatch.context() as patch:
            patch.setattr(priced, "_FIRST", len(problem.candidates()) + 1)
            every = fedopt.solve(problem)
        assert (found.status, found.scope) == (every.status, "all matchings")
        assert found.status.solved is (share > 1.0)
        assert found.shortfall == every.shortfall
        assert share < 1.0 or found.duration == pytest.approx(every.duration, rel=1e-9)
        assert 2 * found.stats["passes"] < every.stats["passes"]
        assert fedopt.verify(problem, found).ok


def test_partitions_that_leave_somebody_out_of_reach_say_nothing_of_the_others() -> None:
    """Every other partition has too few places for those without a channel: those tried first."""
    clients = fedopt.Clients(
        frequency_min=0.3e9,
        frequency_max=1e9,
        samples=300,
        channel_gain=[0.0] * 3 + [1e-11] * 9,
        bandwidth=1e6,
        capacitance=2e-28,
    )
    types = (*TYPES[:2], fedopt.SubModel("silent", flops=11e6, upload_bits=0.0))
    partitions = [each for few in range(8) for each in ((12 - few, few, 0), (8 - few, few, 4))]
    problem = fedopt.Problem(
        clients, types, budget=EnergyBudget(100.0), access=SharedBandwidth(1e6), partitions=partitions
    )
    found = fedopt.solve(problem)
    assert found.status.solved
    assert found.scope == "all matchings"
    assert found.partition is not None
    assert found.partition[2] == 4
    assert fedopt.verify(problem, found).ok


def test_of_energies_all_partitions_are_searched_whatever_the_first_miss() -> None:
    """The second least energy comes first, eight that are beyond the budget follow, and the least is the last."""
    clients = fleet(1).take([0, 1] * 6)
    problem = fedopt.Problem(clients, TYPES[:2], budget=EnergyBudget(1e-6), access=SharedBandwidth(1e6))
    least = {
        (few, 12 - few): 1e-6 + fedopt.solve(dataclasses.replace(problem, partitions=[(few, 12 - few)])).shortfall
        for few in range(13)
    }
    first, second, *others = sorted(least, key=lambda partition: least[partition])
    budget = EnergyBudget(0.5 * (least[second] + least[others[0]]))
    problem = dataclasses.replace(
        problem, budget=budget, partitions=[second, *others[:8], first], utility=fedopt.LeastEnergy()
    )
    found = fedopt.solve(problem)
    assert found.partition == first
    assert least[first] <= found.energy <= budget.joules
    assert fedopt.verify(problem, found).ok


SENDS = (fedopt.SubModel("works", flops=34e6, upload_bits=1e5), fedopt.SubModel("sends", flops=1e6, upload_bits=5e5))


def both_ways(
    seed: int, access: Any, goal: str, factor: float, **more: Any
) -> tuple[fedopt.Problem, fedopt.Solution, list[fedopt.Schedule]]:
    """Two clients, a place of each type, and what is asked: a factor of the least energy or duration there is."""
    rng = np.random.default_rng(seed)
    fields = {
        "frequency_min": 0.3e9,
        "frequency_max": rng.uniform(1e9, 3e9, 2),
        "capacitance": 10 ** rng.uniform(-28.5, -27.5, 2),
        "channel_gain": 10 ** rng.uniform(-14, -10, 2),
    }
    clients = fedopt.Clients(**{**fields, **more}, samples=300, bandwidth=1e6)
    scheme = Scheme(clients, access)
    works = [clients.workload(SENDS, np.array(matching)) for matching in ([0, 1], [1, 0])]
    known = [scheme.limits(scheme.rows(work)) for work in works]
    least = min(each.e_inf if goal == "energy" else each.t_min for each in known) * factor
    budget = EnergyBudget(least) if goal == "energy" else Deadline(least)
    problem = fedopt.Problem(clients, SENDS, budget=budget, access=access, partitions=[(1, 1)])
    each = [fedopt.schedule(clients, work, budget, access=access) for work in works]
    return problem, fedopt.solve(problem), each


@by_access
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("more", [{}, {"power_max": math.inf}], ids=["energy", "deadline"])
def test_what_only_a_round_without_end_or_power_reaches_misses_by_nothing(
    more: dict[str, Any], seed: int, access: Any
) -> None:
    """Of the matching that comes closest, not of those tried first."""
    problem, found, each = both_ways(seed, access, "deadline" if more else "energy", 1.0, **more)
    assert found.status is Status.INFEASIBLE
    assert found.shortfall == pytest.approx(min(one.shortfall for one in each), rel=1e-9, abs=1e-15)
    report = fedopt.verify(problem, found)
    assert report.ok, str(report)


@by_access
@pytest.mark.parametrize("seed", range(4))
def test_a_budget_that_misses_the_least_energy_by_its_rounding_is_met(seed: int, access: Any) -> None:
    """As by schedule, where a round reaches that energy."""
    for factor in (1.0, 1.0 - 2.0**-53, 1.0 - 3e-15):
        _, found, each = both_ways(seed, access, "energy", factor, circuit_power=0.05)
        assert found.status.solved is any(one.status.solved for one in each)


@by_access
def test_chips_that_take_decades_more_at_full_speed_than_at_none_are_waited_for(access: Any) -> None:
    """At 1e12 times the longest duration their computing still takes more than their sending ever does."""
    for seed in (2, 3, 5, 8):
        gains = 10 ** np.random.default_rng(seed).uniform(-3, -1, 2)
        chips = 10 ** np.random.default_rng(seed + 100).uniform(-20, -14, 2)
        for factor in (1.0 + 1e-6, 1.3):
            _, found, each = both_ways(
                seed, access, "energy", factor, frequency_min=0.0, capacitance=chips, channel_gain=gains
            )
            solved = any(one.status.solved for one in each)
            assert not (solved and found.status is Status.INFEASIBLE)


@pytest.mark.parametrize(("seconds", "near"), [(1e-7, 1e-3), (1e-5, 1e-4), (1e-3, 1e-4)])
def test_who_may_send_for_ever_is_given_longer_than_others_compute(seconds: float, near: float) -> None:
    """A budget between two matchings' least energies ``near`` each other, of whom one waits for ever: its time to send
    is what a round without end is long beside, not the times of those who never wait."""
    big, small, gain = 1.01e6, 1e6, 1e-12
    types = tuple(
        fedopt.SubModel(name, flops=1e9 * seconds, upload_bits=bits) for name, bits in (("a", big), ("b", small))
    )
    matchings, access = ((0, 1, 1), (1, 0, 1)), SharedBandwidth(1e6)

    def fleet_of(first: float) -> fedopt.Clients:
        return fedopt.Clients(
            frequency_min=0.0, frequency_max=1e9, samples=1, channel_gain=[first, gain, gain], bandwidth=1e6,
            power_max=math.inf, circuit_power=[0.0, 0.1, 0.1],
        )  # fmt: skip

    def least(clients: fedopt.Clients) -> list[float]:
        scheme = Scheme(clients, access)
        works = (clients.workload(types, np.array(matching)) for matching in matchings)
        return [scheme.limits(scheme.rows(work)).e_inf for work in works]

    shannon = [bits * math.log(2.0) * 3.981e-21 for bits in (big, small)]  # [J] at a gain of 1, without end
    others = [energy - each for energy, each in zip(least(fleet_of(1.0)), shannon, strict=True)]
    clients = fleet_of((shannon[0] - shannon[1]) / ((others[1] - others[0]) * (1.0 - near)))
    low, high = least(clients)
    assert low < high < low * (1.0 + near)
    for budget in (0.5 * (low + high), low - 0.5 * (high - low)):
        problem = fedopt.Problem(clients, types, budget=EnergyBudget(budget), access=access, partitions=[(1, 2)])
        found = fedopt.solve(problem)
        assert found.status is (Status.OPTIMAL if budget > low else Status.INFEASIBLE)
        assert budget > low or found.shortfall == pytest.approx(low - budget, rel=1e-9)
        assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("less", [1e-6, 9e-6, 1.1e-5, 1e-3])
def test_a_deadline_missed_by_less_than_the_quickest_is_known_to_is_not_proved_out_of_reach(less: float) -> None:
    """From one matching to a quicker one, the least duration is known to a hundred-thousandth."""
    problem = fedopt.Problem(fleet(1), TYPES, budget=Deadline(1.0), access=TimeDivision(1e6))
    task = task_asked(problem, "solvers.matching.slotted.search")
    first, second = map(slotted.search(task).assign, (0, 1))
    assert task.limits is not None
    times = [task.limits(task.menu.rows_of(each)).t_min for each in (first, second)]
    quick = [first, second] if times[1] < times[0] else [second, first]
    least, asked_for = min(times), list[tuple[int, float]]()

    def quicker(p: int, T: float) -> Any:
        asked_for.append((p, T))
        return quick[len(asked_for) - 1] if len(asked_for) <= 2 else None

    results = empty_results(len(task.counts))
    results[:, STOPPED] = Stop.TOO_SHORT
    missed = Searched(results=results, passes=5, assign=lambda row: first)
    task = dataclasses.replace(task, value=least * (1.0 - less))
    found = search_within(task, lambda each: missed, lambda task: quicker)
    assert asked_for[0] == (0, math.inf)
    assert asked_for[1] == (0, pytest.approx(max(times), rel=1e-11))
    assert asked_for[2] == (0, pytest.approx(least, rel=1e-11))
    assert [row for row, _ in asked_for[2:]] == list(range(len(task.counts)))
    assert (found.results[0, LEAST_TIME], found.results[0, STOPPED]) == (least, Stop.TOO_SHORT)
    assert np.array_equal(found.assign(0), quick[1])
    assert found.passes == 5
    assert (found.lower is not None and bool(np.isinf(found.lower).all())) is (less > 1e-5)


def test_the_thriftiest_matching_is_of_the_partition_that_needs_least() -> None:
    problem = fedopt.Problem(fleet(1), TYPES, budget=EnergyBudget(1e-3), access=TimeDivision(1e6))
    task = task_asked(problem, "solvers.matching.slotted.search")
    for counts in (task.counts, task.counts[::-1]):
        found = [transport(task.menu.costs(math.inf), each) for each in counts]
        costs = [each.cost for each in found if isinstance(each, Transport)]
        assert len(costs) == len(counts) > 1
        closest = _thriftiest(dataclasses.replace(task, counts=counts), slotted.search)[0]
        assert closest is not None
        assert closest.p == int(np.argmin(costs))
        assert closest.least == pytest.approx(min(costs), rel=1e-11)
        assert max(costs) > 1.01 * min(costs)


@pytest.mark.parametrize("decades", [0, 8])
@pytest.mark.parametrize("seed", range(8))
def test_what_no_matching_goes_below_is_below_all_and_near(seed: int, decades: int) -> None:
    """Given time without end on a band; decades: how far apart chips are at full speed and at none."""
    rng = np.random.default_rng(seed)
    clients = fleet(seed).replace(circuit_power=rng.choice([0.0, 0.05, 0.2], len(fleet(seed))))
    clients = clients.replace(frequency_min=0.0, capacitance=clients.capacitance * 10.0**decades)
    problem = fedopt.Problem(clients, TYPES, budget=EnergyBudget(1e-3), access=SharedBandwidth(1e6))
    task = task_asked(problem, "solvers.matching.priced.search")
    scheme = Scheme(clients, SharedBandwidth(1e6))
    works = (clients.workload(TYPES, np.array(matching)) for matching in every_round(problem))
    least = min(scheme.limits(scheme.rows(work)).e_inf for work in works)
    closest = _thriftiest(task, priced.search)[0]
    assert closest is not None
    assert task.limits is not None
    assert task.limits(task.menu.rows_of(closest.assignment)).e_inf == pytest.approx(least, rel=1e-9)
    assert least * (1.0 - 2e-5) <= closest.least <= least
