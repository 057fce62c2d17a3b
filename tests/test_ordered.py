"""The loop over partitions: against levels 2 and 3 of every matching by itself, and what it may leave out."""

from __future__ import annotations

import itertools
import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matchings import fleet
from tasks import menu_for, plain, task_for

import fedopt
from solvers.blocks import BLOCK
from solvers.duration import newton
from solvers.limits import limits
from solvers.matching import ordered
from solvers.matching.fixed import duration_of
from solvers.matching.ordered import search_ordered
from solvers.matching.plain import by_marginal
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, NEEDED, SCREENED, STOPPED, Task
from solvers.menu import IntArray, Menu, fill
from solvers.rows import ROUNDING, FloatArray, Goal, Stop

TYPES = (
    fedopt.SubModel("L", flops=3.4e7, upload_bits=5.4e5),
    fedopt.SubModel("M", flops=1.8e7, upload_bits=3.2e5),
    fedopt.SubModel.idle(),
)
SIZE = 4
COUNTS = np.array([(1, 0, 3), (1, 1, 2), (0, 3, 1), (4, 0, 0), (2, 2, 0), (1, 2, 1)])


def menu(seed: int, lost: bool = False) -> Menu:
    """Four clients; ``lost``: two of them can do nothing but be idle."""
    clients = fleet(SIZE, seed)
    gain = clients.channel_gain.copy()
    gain[[0, 2]] *= 0.0 if lost else 1.0
    return menu_for(clients.replace(channel_gain=gain), TYPES)


def values(menu: Menu, goal: Goal) -> list[float]:
    """Of a goal: what a few can do, and what all can."""
    least = menu.least_times[1]
    T = [0.9 * float(np.median(least[np.isfinite(least)])), 1.2 * menu.longest]
    found = [menu.costs_and_prices(each) for each in T]
    energy = [float(np.sum(costs[0], where=costs[0] < math.inf)) for costs, _ in found]
    match goal:
        case Goal.ENERGY:
            return [0.3 * energy[1], 1.2 * energy[1]]
        case Goal.POWER:
            return [energy[1] / each for each in T]
        case Goal.DEADLINE:
            return T
    return [float(found[1][1][1].sum())]


def in_order(task: Task, orders: IntArray, p: int) -> IntArray:
    return fill(task.counts[p], task.menu.types, orders[p if len(orders) > 1 else 0])


def some_orders(seed: int, alone: bool) -> IntArray:
    """One order, or one for every partition."""
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(SIZE) for _ in range(1 if alone else len(COUNTS))])


def score(task: Task, T: float, E: float) -> float:
    """What is to be small."""
    return {Goal.DEADLINE: E, Goal.PRICE: E + task.value * T}.get(task.goal, T)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("lost", [False, True])
def test_every_partition_is_solved_in_its_order(goal: Goal, lost: bool) -> None:
    """Duration, energy and why not: of the matching in order by itself. Without gains nothing is left out."""
    given, some, none = menu(2, lost), 0, 0
    for value in values(given, goal):
        task, orders = task_for(given, COUNTS, goal, value), some_orders(3, alone=lost)
        found = search_ordered(task, orders, marginal=False)
        assert not found.stopped
        assert np.all(found.results[:, NEEDED] == math.inf)
        for p, row in enumerate(found.results):
            assignment = in_order(task, orders, p)
            rows = given.rows_of(assignment)
            truth, known = newton.schedule(rows, goal, value, task.allocate), limits(rows)
            assert row[STOPPED] == truth.stop
            assert row[LEAST_TIME] == known.t_min
            assert row[LEAST_ENERGY] == pytest.approx(known.e_inf, rel=1e-14)
            if truth.point is None:
                none += 1
                assert np.isnan(row[:2]).all()
            else:
                some += 1
                assert row[:2] == pytest.approx([truth.duration, truth.point.energy.sum()], rel=1e-9)
            if p % 3 == 0:
                assert found.assign(p).tolist() == assignment.tolist()
    assert some > 0
    assert none > 0 or not lost


WORK = [(Goal.ENERGY, 24, 97), (Goal.POWER, 32, 111), (Goal.DEADLINE, 4, 41), (Goal.PRICE, 36, 124)]


@pytest.mark.parametrize(
    ("goal", "marginal", "work"), [(goal, i > 0, work[i]) for goal, *work in WORK for i in range(2)]
)
def test_what_cannot_beat_the_best_so_far_is_left_out(goal: Goal, marginal: bool, work: int) -> None:
    """Each has to beat the best before it: those that do, and no others, are solved, but for a price of time.

    In as many passes as when this was written.
    """
    given, left_out, solved, passes = menu(4), 0, 0, 0
    for value in values(given, goal):
        gains = (COUNTS[:, :2] @ [1.0, 0.5]) ** 1.5
        task, orders = task_for(given, COUNTS, goal, value, gains=gains), some_orders(1, alone=True)
        found, best = search_ordered(task, orders, marginal=marginal), 0.0
        passes += found.passes
        for p, row in enumerate(found.results):
            needed = gains[p] / best if best > 0.0 else math.inf
            assert row[NEEDED] == pytest.approx(needed, rel=1e-9)
            T, E, assignment = by_rule(task, orders, p, marginal, needed)
            if math.isfinite(T):
                assert row[:2] == pytest.approx([T, E], rel=1e-9)
                best, solved = max(best, gains[p] / T), solved + 1
                assert found.assign(p).tolist() == assignment.tolist()
            else:
                assert np.isnan(row[:2]).all()
                left_out += row[STOPPED] == SCREENED
    assert abs(passes - work) <= 0.05 * work
    assert solved > 1
    assert bool(left_out > 0) is (goal is not Goal.PRICE)


def by_rule(
    task: Task, orders: IntArray, p: int, marginal: bool, needed: float = math.inf
) -> tuple[float, float, IntArray]:
    """The matching in order; by the marginal order at its duration, or else at that it has to beat, while that is
    better: duration, energy and matching of the best by levels 2 and 3, those that are too long left out."""
    best, matching = (math.inf, math.inf), in_order(task, orders, p)
    order = orders[p if len(orders) > 1 else 0]
    least = math.inf
    for turn in range(9 if marginal else 1):
        tried = matching
        if turn > 0:
            T = task.value if task.goal is Goal.DEADLINE else min(best[0], needed)
            T = 2.0 * least if math.isinf(T) else T
            if math.isinf(T):
                break
            tried = by_marginal(task.menu, task.counts[p], order, T)
        least = min(least, limits(task.menu.rows_of(tried)).t_min)
        T, E = duration_of(task, tried)
        wins = math.isfinite(T) and (task.goal is Goal.PRICE or needed * (1.0 + 1e-12) >= T)
        if wins and score(task, T, E) < score(task, *best) * (1.0 - 1e-12):
            best, matching = (T, E), tried
        elif turn > 0:
            break
    return *best, matching


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("lost", [False, True])
def test_the_marginal_order_is_repeated_while_it_helps(goal: Goal, lost: bool) -> None:
    """From an order each; never worse than that order, and the matching is the one said."""
    given, better, later = menu(6 if lost else 0, lost), 0, 0
    for value in values(given, goal):
        task, orders = task_for(given, COUNTS, goal, value), some_orders(5, alone=False)
        found = search_ordered(task, orders, marginal=True)
        first = search_ordered(task, orders, marginal=False).results
        for p, row in enumerate(found.results):
            T, E, assignment = by_rule(task, orders, p, marginal=True)
            if math.isinf(T):
                assert np.isnan(row[:2]).all()
                assert row[STOPPED] == first[p, STOPPED] or lost
            else:
                assert row[:2] == pytest.approx([T, E], rel=1e-9)
                own = score(task, *first[p, :2])
                better += score(task, T, E) < own
                later += math.isnan(own)
                assert not score(task, T, E) > own * (1.0 + 1e-9)
            assert row[LEAST_TIME] <= first[p, LEAST_TIME]
            assert row[LEAST_ENERGY] <= first[p, LEAST_ENERGY]
            if p % 3 == 0 and math.isfinite(T):
                assert found.assign(p).tolist() == assignment.tolist()
    assert better > 0
    assert later > 0 or not lost or goal is not Goal.DEADLINE


def test_of_equal_utilities_the_one_of_less_energy_wins() -> None:
    """At a deadline, whatever the order of the partitions; of equal energies the first."""
    given, gains = menu(2), np.ones(4)
    reports: list[float] = []
    for counts in itertools.permutations([(4, 0, 0), (0, 4, 0), (2, 2, 0), (0, 4, 0)]):
        task = task_for(
            given, np.array(counts), Goal.DEADLINE, 2.0 * given.longest, gains=gains,
            progress=lambda done, total, best: reports.append(best),
        )  # fmt: skip
        room: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            made = ordered.Room.of

            def keep(size: int, made: Any = made, room: list[Any] = room) -> Any:
                room.append(made(size))
                return room[-1]

            patch.setattr(ordered.Room, "of", keep)
            found = search_ordered(task, given.order[None, :], marginal=False)
        assert room[0].winner.tolist() == [1] * SIZE
        first = counts.index((0, 4, 0))
        calls = list[Any]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ordered, "solve_partitions", lambda *each, calls=calls: calls.append(each))
            assert found.assign(first).tolist() == [1] * SIZE
            assert not calls  # known already
            found.assign(0 if first else 1)
            assert len(calls) == 1
    assert set(reports) == {1.0 / (2.0 * given.longest)}


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
def test_limits_decide_as_in_the_search_of_one_matching(goal: Goal) -> None:
    """Against level 2's own closed form, for all limits and values of a grid, rounding included."""
    grid = [0.0, 1.0, 2.0, math.inf]
    near = [0.0, 1.0, 2.0, 2.0 * ROUNDING, math.nextafter(2.0 * ROUNDING, 0.0), 3.0, math.inf]
    for t_min, t_flat, e_inf, value in itertools.product(grid, grid, grid, near):
        if t_flat < t_min:
            continue
        limits: Any = SimpleNamespace(t_min=t_min, t_flat=t_flat, e_inf=e_inf)
        truth = newton._closed_form(limits, goal, value)
        expected = 0 if truth in (None, Stop.OPTIMAL, Stop.SLACK) else int(truth)
        assert plain(ordered._verdict)(int(goal), value, t_min, t_flat, e_inf) == expected


def test_more_clients_than_a_block_are_all_counted() -> None:
    size = BLOCK + 1
    given = menu_for(fleet(size, 1), TYPES)
    task = task_for(given, np.array([[3, size - 4, 1]]), Goal.DEADLINE, 1.5 * given.longest)
    row = search_ordered(task, given.order[None, :], marginal=False).results[0]
    costs = given.costs(task.value)[in_order(task, given.order[None, :], 0), np.arange(size)]
    assert row[ENERGY] == pytest.approx(costs.sum(), rel=1e-12)


@pytest.mark.parametrize(("places", "steps"), [(1, 1), (SIZE - 1, 1), (3 * SIZE, 3), (10**9, ordered._FEW)])
def test_settled_is_asked_and_progress_told_a_few_at_a_time(
    places: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many that they have no more than these places; where it says so, the search ends; late, it stops."""
    monkeypatch.setattr(ordered, "_PLACES", places)
    given, told, asked = menu(2), list[tuple[int, int]](), list[int]()
    counts = np.repeat([(0, 4, 0)], 40, axis=0)
    task = task_for(
        given, counts, Goal.DEADLINE, 2.0 * given.longest, progress=lambda done, total, _: told.append((done, total))
    )
    order = given.order[None, :]

    def settled(p: int, results: FloatArray) -> bool:
        asked.append(p)
        assert np.isfinite(results[:p, DURATION]).all()
        assert np.isnan(results[p:, DURATION]).all()
        return p >= 20

    found = search_ordered(task, order, marginal=False, settled=settled)
    ends = list(range(steps, 41, steps)) + ([40] if 40 % steps else [])
    last = next(end for end in ends if end >= 20)
    assert asked == [end for end in ends if end <= last]
    assert told == [(end, 40) for end in asked]
    assert not found.stopped
    told.clear()
    late = task_for(given, counts, task.goal, task.value, progress=task.progress, until=time.perf_counter())
    found = search_ordered(late, order, marginal=False)
    size = min(steps, 40) if places < 10**9 else 40
    assert told == [(size, 40)]
    assert found.stopped is (size < 40)
    told.clear()
    search_ordered(task, order, marginal=False)
    assert [done for done, _ in told] == ends if places < 10**9 else [40]


def test_many_are_told_of_in_parts() -> None:
    given, told = menu(2), list[int]()
    counts = np.repeat([(0, 0, 4)], 2 * ordered._CHUNK + 1, axis=0)
    task = task_for(given, counts, Goal.DEADLINE, 1.0, progress=lambda done, *_: told.append(done))
    search_ordered(task, given.order[None, :], marginal=False)
    assert told == [ordered._CHUNK, 2 * ordered._CHUNK, 2 * ordered._CHUNK + 1]


def test_two_partitions_in_an_order_each() -> None:
    given, orders = menu(2), np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    task = task_for(given, np.array([(1, 3, 0), (1, 3, 0)]), Goal.DEADLINE, 2.0 * given.longest)
    found = search_ordered(task, orders, marginal=False)
    for p in (0, 1):
        assert found.assign(p).tolist() == in_order(task, orders, p).tolist()
        assert duration_of(task, found.assign(p))[1] == pytest.approx(found.results[p, ENERGY], rel=1e-12)


def test_a_gain_of_nothing_leaves_nothing_to_beat() -> None:
    """And of a single partition the gain is told, and its assignment known."""
    given, told = menu(2), list[float]()
    T = 2.0 * given.longest
    counts = np.array([(1, 3, 0), (2, 2, 0), (1, 3, 0)])
    task = task_for(given, counts, Goal.DEADLINE, T, gains=np.array([0.0, 3.0, 0.0]))
    found = search_ordered(task, given.order[None, :], marginal=False)
    assert found.results[:, NEEDED].tolist() == [math.inf, math.inf, 0.0]
    single = task_for(
        given, counts[:1], Goal.DEADLINE, T, gains=np.ones(1), progress=lambda *each: told.append(each[2])
    )
    found = search_ordered(single, given.order[None, :], marginal=False)
    assert told == [1.0 / T]
    assert found.assign(0).tolist() == in_order(single, given.order[None, :], 0).tolist()


def test_where_nothing_is_known_the_marginal_order_is_that_of_twice_the_least_duration() -> None:
    """Of a budget that nobody can meet: what is told is the least of both orders."""
    for seed in (13, 15):
        given, orders = menu(seed), some_orders(5, alone=False)
        task = task_for(given, COUNTS, Goal.ENERGY, 1e-9)
        found = search_ordered(task, orders, marginal=True)
        assert found.passes == 2 * len(COUNTS)
        for p, row in enumerate(found.results):
            first = limits(given.rows_of(in_order(task, orders, p)))
            second = limits(given.rows_of(by_marginal(given, COUNTS[p], orders[p], 2.0 * float(first.t_min))))
            assert row[LEAST_TIME] == min(first.t_min, second.t_min)
            assert row[LEAST_ENERGY] == pytest.approx(min(first.e_inf, second.e_inf), rel=1e-14)
            assert row[STOPPED] == Stop.TOO_LITTLE


def test_the_loop_goes_over_the_menu_once_for_each_partition() -> None:
    arguments: list[Any] = [None] * 10
    assert ordered._numbers(np.zeros((2, 3, 5)), *arguments, 4, 9) == 5 * 30


def test_a_cost_beyond_all_numbers_is_still_an_answer() -> None:
    """So dear is time that only the shortest round will do; its cost is inf."""
    given = menu(2)
    task = task_for(given, np.array([(0, 4, 0)]), Goal.PRICE, 1e308)
    row = search_ordered(task, given.order[None, :], marginal=True).results[0]
    assert row[DURATION] == given.least_times[1].max()
