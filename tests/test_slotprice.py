"""One partition at a price of time, rows sending one after another: a first matching, and the cheapest of all."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from fleets import make, mnist_types
from tasks import task_asked

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, TimeDivision, TimePrice
from solvers.matching.slotprice import _Longer, _Run
from solvers.matching.slotted import _Slotted
from solvers.matching.stretches import Priced
from solvers.matching.task import DURATION, ENERGY, Task
from solvers.matching.transport import Transport, transport
from solvers.rows import Stop

TYPES = mnist_types((1, 2, 2, 4))[:3]
CASES = [(0, 0.05), (1, 1.0), (2, 30.0)]  # fleet, price of time [W]
SOLVED = (84, 67, 26)  # matchings of all partitions, when this was written


def task_of(problem: fedopt.Problem) -> Task:
    return task_asked(problem, "solvers.matching.slotted.search")


def problem_of(seed: int, budget: fedopt.problem.Budget, out_of_reach: bool = False) -> fedopt.Problem:
    """Four clients; one of them may have no channel at all."""
    clients = make("typical", seed, 4).clients
    if out_of_reach:
        clients = clients.replace(channel_gain=np.array([0.0, *clients.channel_gain[1:]]))
    types = (*TYPES[:2], fedopt.SubModel.idle()) if out_of_reach else TYPES
    return fedopt.Problem(clients, types, budget=budget, access=TimeDivision(2e6))


@functools.cache
def cheapest(seed: int, watts: float) -> dict[tuple[int, ...], float]:
    """The least cost of every matching of each partition [J]: every one is scheduled."""
    problem, best = problem_of(seed, TimePrice(watts)), dict[tuple[int, ...], float]()
    for assignment in itertools.product(range(3), repeat=4):
        work = problem.clients.workload(TYPES, np.array(assignment))
        found = fedopt.schedule(problem.clients, work, problem.budget, access=problem.access)
        counts = tuple(np.bincount(assignment, minlength=3).tolist())
        best[counts] = min(best.get(counts, math.inf), found.energy + watts * found.duration)
    return best


def recorded(run: _Run) -> list[float]:
    """The ends of computing that a run asks about, from here on."""
    asked, at = list[float](), run._costs.at

    def keep(end: float, price: float) -> Priced:
        asked.append(end)
        return at(end, price)

    run._costs.at = keep  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize(("seed", "watts"), CASES)
@pytest.mark.parametrize(("off", "work"), [(1.0, (307, 153, 75)), (0.2, (180, 63, 109)), (3.0, (108, 53, 133))])
def test_a_first_matching_is_the_cheapest_of_those_at_ends_nearby(
    seed: int, watts: float, off: float, work: tuple[int, ...]
) -> None:
    """From an end that suits, is too early for anybody or late: of ends in steps of a hundredth one that has no better
    neighbour, the matching itself at its own end; none is looked at twice.
    """
    problem = problem_of(seed, TimePrice(watts))
    run = _Run(task_of(problem))
    ready = float(run._costs.ready.min(axis=0).max())
    assert ready < run._end <= 1.1 * ready
    run._end *= off
    start, looks = run._end, 0
    for p, counts in enumerate(run.task.counts[:3]):
        asked = recorded(run)
        nearby = run._nearby(p)
        assert nearby is not None
        del run._costs.at
        costs, matchings = dict[int, float](), dict[int, list[int]]()
        for end in set(asked):
            i = round(math.log(end / start) / 0.01)
            assert end == pytest.approx(start * math.exp(0.01 * i), rel=1e-12)
            found = transport(run._costs.at(end, watts).costs, counts)
            costs[i] = math.inf
            if isinstance(found, Transport):
                costs[i], matchings[i] = found.cost + watts * end, found.assignment.tolist()
        same = [i for i, matching in matchings.items() if matching == nearby.tolist()]
        best = next(i for i in same if min(costs.get(i - 1, 0.0), costs.get(i + 1, 0.0)) >= costs[i])
        looks += len(set(asked))
        assert run.solved == looks
        duration, known = run.first(p), float(run.known[p])
        run.solved = looks
        assert run.chosen[p].tolist() == nearby.tolist()
        assert cheapest(seed, watts)[tuple(counts.tolist())] * (1.0 - 1e-12) <= known <= costs[best] * (1.0 + 1e-12)
        round_ = fedopt.schedule(
            problem.clients, problem.clients.workload(TYPES, nearby), problem.budget, access=problem.access
        )
        assert (duration, known - watts * duration) == pytest.approx((round_.duration, round_.energy), rel=1e-9)
    assert abs(looks - work[seed]) <= 2  # as when this was written


def test_ends_five_hundred_steps_away_are_the_farthest_looked_at() -> None:
    """Too early by more: no matching is found; too late by more: the last one looked at is the answer."""
    task = task_of(problem_of(0, TimePrice(1.0)))
    run = _Run(task)
    start = run._end
    run._end = 1e-4 * start
    assert (run.first(0), run.known[0]) == (0.0, math.inf)
    assert run.solved == 12  # by steps of 0, 1, 3 up to 511, and beside that one
    run._end = start * math.exp(6.0)
    asked = recorded(run)
    assert run._nearby(0) is not None
    assert min(asked) == pytest.approx(start * math.exp(0.99), rel=1e-12)
    assert run.solved == 12 + 503


def test_what_has_no_matching_at_any_end_is_said_to_have_none() -> None:
    task = task_of(problem_of(0, TimePrice(1.0), out_of_reach=True))
    run = _Run(task)
    for p in np.argsort(-task.counts[:, 2], kind="stable"):
        can = bool(task.counts[p, 2] > 0)
        before = run.solved
        run.solve(p)
        assert can or run.solved == before + 3  # a first one, at the shortest end and at the longest
        assert (p in run.chosen) is can
        assert (run.lower[p] > 0.0) == can
        assert (run.first(p) > 0.0) is can
        assert (run.known[p] < math.inf) == can


@pytest.mark.parametrize(("seed", "watts"), CASES)
def test_the_cheapest_matching_is_found_and_proved(seed: int, watts: float) -> None:
    """Against every matching; its duration and energy by levels 2 and 3; in as much work as when this was written."""
    problem = problem_of(seed, TimePrice(watts))
    run, least = _Run(task_of(problem)), cheapest(seed, watts)
    for p, counts in enumerate(run.task.counts):
        run.solve(p)
        best = least[tuple(counts.tolist())]
        T, E = run.results[p, DURATION], run.results[p, ENERGY]
        assert run.known[p] == E + watts * T == pytest.approx(best, rel=1e-10)
        assert best * (1.0 - 1e-9) <= run.lower[p] < best * (1.0 + 1e-13)
        found = fedopt.schedule(
            problem.clients, problem.clients.workload(TYPES, run.chosen[p]), problem.budget, access=problem.access
        )
        assert run.results[p, :2] == pytest.approx((found.duration, found.energy), rel=1e-9)
        assert run.results[p, 2] == Stop.OPTIMAL
        assert found.sharing is not None
        assert run._end == pytest.approx(found.sharing.compute_end, rel=1e-9)
        assert p in run.done
    assert abs(run.solved - SOLVED[seed]) <= 2


def test_what_is_asked_of_prices_is_about_the_partition_in_hand() -> None:
    run = _Run(task_of(problem_of(0, TimePrice(2.0))))
    needed = np.arange(1.0, 1.0 + len(run.task.counts))
    coupling = run.bounding(needed, 3)
    assert isinstance(coupling, _Longer)
    assert (coupling.unit, coupling.cheaper, coupling.now, coupling.costs) == (2.0, False, 3, run._costs)
    assert coupling.needed is needed
    assert not run.before


@pytest.mark.parametrize("budget", [PowerBudget(1.0), EnergyBudget(400.0), Deadline(60.0), TimePrice(0.5)], ids=str)
def test_one_type_and_one_client_are_a_schedule(budget: fedopt.problem.Budget) -> None:
    clients = make("typical", 0, 1).clients
    problem = fedopt.Problem(clients, TYPES[:1], budget=budget, access=TimeDivision(2e6))
    found, alone = (
        fedopt.solve(problem),
        fedopt.schedule(clients, clients.workload(TYPES[:1], np.array([0])), budget, access=problem.access),
    )
    assert alone.status.solved
    assert (found.status, found.duration, found.energy) == (alone.status, alone.duration, alone.energy)


@pytest.mark.parametrize("budget", [PowerBudget(1.0), EnergyBudget(400.0), Deadline(60.0)], ids=str)
def test_prices_begin_at_the_watts_of_a_round(budget: fedopt.problem.Budget) -> None:
    """And of a deadline's stretches they are sought for the end that proves less."""
    coupling = _Slotted(task_of(problem_of(0, budget))).coupling(3.0)
    assert (coupling.unit, coupling.weaker) == (3.0, isinstance(budget, Deadline))
    assert coupling.cheaper
    assert not coupling.latest
