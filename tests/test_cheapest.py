"""The cheapest matchings at a price of time, on made-up clients: against every matching; who is left open, and why."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Everyone, Made, budgets, drawn, everyone, partitions, task_of

from solvers.matching import cheapest, marginal
from solvers.matching.branch import TOLERANCE, Branch
from solvers.matching.cheapest import search_cheapest
from solvers.matching.exact import PricedMatcher
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Task
from solvers.rows import FloatArray, Goal, Stop


def priced(menu: Made, factor: float = 1.0, **more: Any) -> Task:
    (watts,) = (value for goal, value in budgets(menu) if goal is Goal.PRICE)
    return task_of(menu, Goal.PRICE, factor * watts, **more)


def best_of(task: Task, every: Everyone, p: int) -> tuple[float, float]:
    """The least E + price T of a partition's matchings, and the T it has; inf where none is feasible."""
    mine = np.flatnonzero(every.rows == p)
    costs = every.E[mine] + task.value * every.T[mine]
    i = int(costs.argmin())
    return float(costs[i]), float(every.T[mine[i]])


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("gains", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_partition_that_can_win_has_its_cheapest_matching(seed: int, gains: bool, factor: float) -> None:
    """With a bound that is all but reached; where there is no order of partitions, each of them."""
    reports: list[tuple[int, int, float]] = []
    task = priced(drawn(seed), factor, progress=lambda *report: reports.append(report))
    task = task if gains else dataclasses.replace(task, gains=None)
    matcher = PricedMatcher(task)
    found, every = search_cheapest(task, matcher), everyone(task)
    assert found.lower is not None
    rates = np.zeros(len(task.counts))
    for p, counts in enumerate(task.counts):
        cost, T = best_of(task, every, p)
        if cost == math.inf:
            assert np.isnan(found.results[p, DURATION])
            continue
        rates[p] = float(counts @ task.menu.weights) / T
        mine = found.results[p, ENERGY] + task.value * found.results[p, DURATION]
        assert mine >= cost * (1.0 - 1e-12)
        matching = found.assign(p)
        assert np.bincount(matching, minlength=3).tolist() == counts.tolist()
        again = task.find_duration(task.menu.rows_of(matching), task.goal, task.value, task.allocate)
        assert again.duration == pytest.approx(found.results[p, DURATION], rel=1e-9)
        if found.lower[p] > -math.inf:
            assert found.results[p, STOPPED] == Stop.OPTIMAL
            assert mine == pytest.approx(cost, rel=1e-12)
            assert found.results[p, DURATION] == pytest.approx(T, rel=1e-9)
            assert cost * (1.0 - 2.0 * TOLERANCE) <= found.lower[p] <= cost * (1.0 + 1e-12)
    best = rates.max()
    assert (found.lower[rates >= best * (1.0 - 1e-9)] > -math.inf).all()
    assert (found.lower > -math.inf).sum() == (rates > 0.0).sum() or gains
    assert not found.stopped
    assert found.crowds == {}
    assert [report[:2] for report in reports] == [(done + 1, len(rates)) for done in range(len(rates))]
    told = [report[2] for report in reports]
    assert told == sorted(told)
    assert told[-1] == (pytest.approx(best, rel=1e-9) if gains else 0.0)


def test_the_most_promising_is_first_and_most_others_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of what the marginal order found; those whose shortest round is too long are not begun."""
    searched: list[tuple[int, float, Any]] = []

    class Spy(Branch):
        def search(self, start: Any, beyond: float = math.inf) -> Any:
            found: Any = super().search(start, beyond)
            searched.append((found.matchings, beyond, start))
            return found

    monkeypatch.setattr(cheapest, "Branch", Spy)
    begun = total = matchings = 0
    for seed, power in itertools.product((0, 2, 3), (0.5, 1.0, 3.0)):
        searched.clear()
        task = priced(drawn(seed), power=power)
        start = marginal.search(task.quiet())
        assert task.gains is not None
        found = search_cheapest(task, PricedMatcher(task))
        assert found.passes == start.passes + sum(count for count, *_ in searched)
        order = np.argsort(-task.gains / start.results[:, DURATION], kind="stable")
        best, expected, starts = 0.0, list[float](), list[list[int]]()
        for p in order:
            beyond = float(task.gains[p]) / best if best > 0.0 else math.inf
            if beyond >= task.menu.shortest:
                expected.append(beyond)
                starts.append(start.assign(int(p)).tolist())
                best = max(best, float(task.gains[p]) / found.results[p, DURATION])
        assert [beyond for _, beyond, _ in searched] == expected
        assert [begin.tolist() for *_, begin in searched] == starts
        begun, total = begun + len(searched), total + len(order)
        matchings += sum(count for count, *_ in searched)
    assert (begun, total) == (54, 63)
    assert 0.98 * 410 <= matchings <= 1.02 * 410  # as when this was written


@pytest.mark.parametrize("until", [0.0, math.inf])
def test_where_the_time_is_up_nothing_is_proved(until: float) -> None:
    """What the marginal order found is there."""
    task = priced(drawn(0), until=until)
    found, start = search_cheapest(task, PricedMatcher(task)), marginal.search(task)
    assert found.stopped is (until == 0.0)
    assert (found.lower is None) is found.stopped
    if found.stopped:
        assert found.passes == start.passes
        np.testing.assert_array_equal(found.results, start.results)
        assert found.assign(0).tolist() == start.assign(0).tolist()


@pytest.mark.parametrize("where", ["first", "last"])
def test_time_that_is_up_in_between_leaves_the_others_as_they_were(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is proved unless all are done."""
    looks, task = [0], priced(drawn(0))
    turns = 1 if where == "first" else len(task.counts)

    def late(task: Task) -> bool:
        looks[0] += 1
        return looks[0] > len(task.counts) + turns

    monkeypatch.setattr(Task, "late", property(late))
    found = search_cheapest(task, PricedMatcher(task))
    assert found.stopped is (where == "first")
    assert (found.lower is None) is (where == "first")


def test_nobody_can_be_served_and_the_crowd_is_named() -> None:
    """One row that can do nothing: no duration suffices for any partition."""
    menu = drawn(0)
    menu.least[:, 4] = math.inf
    for until, explained in ((math.inf, True), (0.0, False)):
        task = priced(drawn(0), until=until)
        task = dataclasses.replace(task, menu=menu)  # type: ignore[arg-type]
        found = search_cheapest(task, PricedMatcher(task))
        assert np.isnan(found.results[:, DURATION]).all()
        assert sorted(found.crowds) == (list(range(len(partitions(menu)))) if explained else [])
        if explained:
            assert (found.results[:, STOPPED] == Stop.UNREACHABLE).all()
            assert (found.results[:, [LEAST_TIME, LEAST_ENERGY]] == math.inf).all()
            assert [crowd.rows(1e9).tolist() for crowd in found.crowds.values()] == [[4]] * len(task.counts)


def test_a_round_of_no_time_is_no_better_than_any() -> None:
    """All idle: its gain is nothing, and nothing is divided by it."""
    menu = drawn(0, covers=(1, 2, 0))
    counts = np.array([[0, 0, 6], [2, 2, 2]])
    task = priced(menu, counts=counts)
    found = search_cheapest(task, PricedMatcher(task))
    assert found.results[0, [DURATION, ENERGY]].tolist() == [0.0, 0.0]
    assert found.results[1, DURATION] == pytest.approx(best_of(task, everyone(task), 1)[1], rel=1e-9)


def test_costs_at_a_duration_are_made_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first are forgotten first; two are kept of however many rows."""
    menu: Any = drawn(0)
    asked: list[float] = []
    made = Made.costs_and_prices

    def spy(menu: Made, T: float) -> tuple[FloatArray, FloatArray]:
        asked.append(T)
        return made(menu, T)

    monkeypatch.setattr(Made, "costs_and_prices", spy)
    for entries, room in ((0, 2), (17, 2), (18, 3), (6 * 3 * 5, 7)):
        monkeypatch.setattr(cheapest, "_ENTRIES", entries)
        lines = cheapest._Lines(menu)
        asked.clear()
        durations = [5.0 + i for i in range(room)]
        for T in durations + durations:
            assert (lines(T)[0] == menu.costs(T)).all()
        assert asked == durations
        lines(1.0)
        assert asked == [*durations, 1.0]
        for T in (*durations[1:], 1.0):
            lines(T)
        assert asked == [*durations, 1.0]
        lines(durations[0])
        assert asked == [*durations, 1.0, durations[0]]
