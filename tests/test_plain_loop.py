"""The plain loop over partitions and what level 1 is asked, on made-up clients: formulas, and durations by a script."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, best_durations, budgets, drawn, everyone, find_duration, partitions, task_of

from solvers.matching import plain
from solvers.matching.plain import _score, by_marginal, search_plain
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    NEEDED,
    RESULTS,
    STOPPED,
    Proof,
    Searched,
    Task,
)
from solvers.matching.task import empty_results as empty
from solvers.menu import IntArray, fill
from solvers.rows import Goal, Limits, Stop, Timing

GOALS = range(4)


def small(seed: int, which: int, **more: Any) -> Task:
    menu = drawn(seed)
    return task_of(menu, *budgets(menu)[which], **more)


@pytest.mark.parametrize("which", GOALS)
@pytest.mark.parametrize("seed", range(3))
def test_every_partition_has_the_matching_of_its_order(seed: int, which: int) -> None:
    """Of one order for all, or of one each: durations and energies by the formulas, one pass each."""
    reports: list[tuple[int, int, float]] = []
    task = small(seed, which, progress=lambda *report: reports.append(report))
    menu: Any = task.menu
    rng = np.random.default_rng(seed)
    task = task if seed < 2 else task.part(np.array([0, 3]))
    P = len(task.counts)
    for orders in (np.arange(6)[None, ::-1], np.stack([rng.permutation(6) for _ in range(P)])):
        reports.clear()
        found, best = search_plain(task, orders, marginal=False), 0.0
        assert (found.passes, found.stopped, found.lower, found.matchings) == (P, False, None, 0)
        for p, counts in enumerate(task.counts):
            places = fill(counts, menu.types, orders[p % len(orders)])
            assert found.assign(p).tolist() == places.tolist()
            mine = menu.rows_of(places)
            (T,) = best_durations(task.goal, task.value, mine.floor.sum(), mine.w.sum(), mine.least.max())
            assert found.results[p, LEAST_TIME] == mine.least.max()
            assert found.results[p, LEAST_ENERGY] == mine.floor.sum()
            if math.inf == T:
                late = Stop.TOO_SHORT if task.goal is Goal.DEADLINE else Stop.TOO_LITTLE
                assert found.results[p, STOPPED] == (late if mine.least.max() < math.inf else Stop.UNREACHABLE)
                assert np.isnan(found.results[p, [DURATION, ENERGY]]).all()
            else:
                assert found.results[p, STOPPED] == Stop.OPTIMAL
                assert found.results[p, [DURATION, ENERGY]].tolist() == pytest.approx(
                    [T, mine.floor.sum() + mine.w.sum() / T**2], rel=1e-12
                )
                best = max(best, float(counts @ menu.weights) / T)
            assert reports[p][:2] == (p + 1, P)
            assert reports[p][2] == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("which", GOALS)
@pytest.mark.parametrize("seed", range(3))
def test_the_marginal_order_leads_on_from_the_sorted_one(
    seed: int, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While that is better: at its duration, or at twice the least one where it has none; never worse than it was."""
    asked: list[tuple[float, IntArray]] = []

    def spy(menu: Any, counts: IntArray, order: IntArray, duration: float) -> IntArray:
        asked.append((duration, by_marginal(menu, counts, order, duration)))
        return asked[-1][1]

    monkeypatch.setattr(plain, "by_marginal", spy)
    better = 0
    for p, counts in enumerate(partitions(drawn(seed))):
        task = small(seed, which, counts=counts[None, :])
        menu: Any = task.menu
        before, rounds = search_plain(task, menu.order[None, :], marginal=False), [0]

        def counted(rows: Any, goal: Goal, value: float, allocate: Any, rounds: list[int] = rounds) -> Timing:
            rounds[0] += 1
            return find_duration(rows, goal, value, allocate)

        asked.clear()
        found = search_plain(dataclasses.replace(task, find_duration=counted), menu.order[None, :], marginal=True)
        assert found.passes == rounds[0] + 2 * len(asked)
        scores = [_score(task.goal, task.value, find_duration(menu.rows_of(a), task.goal, task.value, task.allocate))
                  for a in (before.assign(0), *(matching for _, matching in asked))]  # fmt: skip
        best = min(scores)
        chosen = _score(
            task.goal, task.value, find_duration(menu.rows_of(found.assign(0)), task.goal, task.value, task.allocate)
        )
        assert chosen == best
        assert found.results[0, LEAST_TIME] == menu.rows_of(found.assign(0)).least.max()
        better += best < scores[0]
        if asked:
            start = float(before.results[0, DURATION])
            T = task.value if task.goal is Goal.DEADLINE else start
            assert asked[0][0] == (T if math.isfinite(T) else 2.0 * before.results[0, LEAST_TIME])
            assert len(asked) == plain._ROUNDS or not scores[-1] < min(scores[:-1]) * (1.0 - 1e-12), p
            assert all(b < a for a, b in itertools.pairwise(scores[:-1])), p
        else:
            assert before.results[0, LEAST_TIME] == math.inf
            assert task.goal is not Goal.DEADLINE
        every = everyone(task)
        measure = {Goal.DEADLINE: every.E, Goal.PRICE: every.E + task.value * every.T}.get(task.goal, every.T)
        assert best >= measure.min() * (1.0 - 1e-12)
    assert better > 0 or seed == 1  # where the sorted order has clients do what they cannot


def scripted(task: Task, durations: list[float]) -> tuple[Task, list[float]]:
    """A task whose matchings have these durations, one after another; inf: none."""
    left = list(durations)

    def script(rows: Any, goal: Goal, value: float, allocate: Any) -> Timing:
        T = left.pop(0)
        point = find_duration(rows, Goal.DEADLINE, 1e9, allocate).point if math.inf > T else None
        stop = Stop.OPTIMAL if math.inf > T else Stop.TOO_LITTLE
        return Timing(stop=stop, duration=T, lower=T, upper=T, passes=100, point=point)

    return dataclasses.replace(task, find_duration=script), left


@pytest.mark.parametrize(
    ("durations", "kept", "left"),
    [
        ([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.01], 0.03125, 1),  # the first and eight more
        ([8.0, 8.0 * (1.0 - 5e-13), 1.0], 8.0, 1),  # rounding is no better
        ([8.0, 8.0 * (1.0 - 2e-12), 9.0, 1.0], 8.0 * (1.0 - 2e-12), 1),
        ([8.0, 8.0, 1.0], 8.0, 1),
        ([math.inf, 8.0, 4.0, 4.0, 1.0], 4.0, 1),
        ([math.inf, math.inf, 1.0], math.nan, 1),
        ([8.0, math.inf, 1.0], 8.0, 1),
        ([8.0, 0.0, 0.0], 0.0, 0),
    ],
)
def test_it_goes_on_while_the_round_is_shorter_eight_times_at_most(
    durations: list[float], kept: float, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each order is of the best duration so far, or of twice the least one where there is none."""
    reports: list[tuple[int, int, float]] = []
    counts = np.array([[2, 4, 0]])
    task = small(0, 0, counts=counts, progress=lambda *report: reports.append(report))
    task, rest = scripted(task, durations)
    asked, made = list[float](), list[IntArray]()

    def spy(menu: Any, counts: IntArray, order: IntArray, duration: float) -> IntArray:
        asked.append(duration)
        made.append(np.array([0, 0, 1, 1, 1, 1]))
        return made[-1]

    monkeypatch.setattr(plain, "by_marginal", spy)
    found = search_plain(task, np.arange(6)[None, :], marginal=True)
    best = np.minimum.accumulate(durations)
    best = np.where(np.isfinite(best), best, 2.0 * drawn(0).least[[0, 0, 1, 1, 1, 1], np.arange(6)].max())
    assert asked == pytest.approx(best[: len(asked)], rel=1e-11)
    turn = durations.index(kept) if kept in durations else 0
    assert [found.assign(0) is matching for matching in made] == [i + 1 == turn for i in range(len(made))]
    np.testing.assert_equal(float(found.results[0, DURATION]), kept)
    assert len(rest) == left
    rounds = len(durations) - left
    assert found.passes == 100 * rounds + 2 * (rounds - 1)
    assert reports == [(1, 1, 0.0 if math.isnan(kept) else math.inf if kept == 0.0 else 4.0 / kept)]


@pytest.mark.parametrize("gains", [True, False])
def test_where_the_time_is_up_the_rest_is_left(gains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last one there is no rest."""
    task = small(0, 0)
    task = task if gains else dataclasses.replace(task, gains=None)
    for turns in (1, 3, len(task.counts) - 1, len(task.counts)):
        looks = itertools.chain([False] * (turns - 1), itertools.repeat(True))
        monkeypatch.setattr(Task, "late", property(lambda _, looks=looks: next(looks)))  # type: ignore[misc]
        found = search_plain(task, np.arange(6)[None, :], marginal=False)
        assert found.stopped is (turns < len(task.counts))
        assert np.isnan(found.results[turns:, LEAST_TIME]).all()
        assert np.isfinite(found.results[:turns, LEAST_TIME]).all()


def test_without_limits_of_their_own_rows_have_those_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Made] = []

    def plan(rows: Made) -> Limits:
        plans.append(rows)
        return rows.limits()

    monkeypatch.setattr(plain, "make_plan", plan)
    task = small(0, 0, limits=None)
    found = search_plain(task, np.arange(6)[None, :], marginal=False)
    assert len(plans) == len(task.counts)
    assert found.results[:, LEAST_TIME].tolist() == [made.least.max() for made in plans]


@pytest.mark.parametrize("seed", range(6))
def test_the_marginal_order_is_by_what_the_largest_type_takes_more(seed: int) -> None:
    """Than the smallest of those in use; who cannot do the largest is last, who can do only that is first."""
    menu: Any = drawn(seed)
    menu.least[2, 3] = math.inf
    order = np.random.default_rng(seed).permutation(6)
    for counts in partitions(menu):
        used = [k for k in menu.types if counts[k] > 0]
        for T in (2.0, 9.0):
            costs = menu.costs(T)

            def extra(n: int, large: int = used[0], small: int = used[-1], costs: Any = costs) -> float:
                return math.inf if costs[large, n] == math.inf else float(costs[large, n] - costs[small, n])

            ranked = np.array(sorted(order, key=extra))
            assert by_marginal(menu, counts, order, T).tolist() == fill(counts, menu.types, ranked).tolist()


def test_what_is_minimised() -> None:
    rows: Any = drawn(0).rows_of(np.array([0, 0, 1, 1, 2, 2]))
    for goal, score in ((Goal.ENERGY, 3.0), (Goal.POWER, 3.0), (Goal.PRICE, 7.0 + 2.0 * 3.0), (Goal.DEADLINE, 7.0)):
        point = find_duration(rows, Goal.DEADLINE, 1e9, None).point  # type: ignore[arg-type]
        assert point is not None
        point.energy[:] = 7.0 / 6.0
        timing = Timing(stop=Stop.OPTIMAL, duration=3.0, lower=3.0, upper=3.0, passes=1, point=point)
        assert _score(goal, 2.0, timing) == pytest.approx(score)
        assert _score(goal, 2.0, dataclasses.replace(timing, point=None)) == math.inf


def test_a_part_of_a_task_and_a_task_that_tells_nothing() -> None:
    told: list[object] = []
    task = small(0, 0, progress=lambda *report: told.append(report))
    part = task.part(np.array([2, 0]))
    assert task.gains is not None
    assert part.gains is not None
    assert part.counts.tolist() == task.counts[[2, 0]].tolist()
    assert part.gains.tolist() == task.gains[[2, 0]].tolist()
    assert dataclasses.replace(task, gains=None).part(np.array([1])).gains is None
    task.quiet().progress(1, 2, 3.0)
    assert not told
    assert (task.power, task.thrifty, task.until, task.gap) == (1.0, False, math.inf, 0.0)
    assert (task.incumbent, task.limits is None) == (None, False)


def test_when_a_task_is_late_and_when_its_loop_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock, to the tick; by the methods below, two partitions and a table of half a gigabyte."""
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    task = small(0, 0)
    assert [dataclasses.replace(task, until=until).late for until in (6.0, 7.0, 7.5, math.inf)] == [
        True,
        True,
        False,
        False,
    ]
    compiled = dataclasses.replace(task, default=True)
    assert not task.compiled
    assert compiled.compiled
    assert not compiled.part(np.array([1])).compiled
    assert compiled.part(np.array([1, 2])).compiled
    for rows, fits in (((1 << 26) // (3 * 14), True), ((1 << 26) // (3 * 14) + 1, False)):
        monkeypatch.setattr(Made, "__len__", lambda self, rows=rows: rows)
        assert compiled.compiled is fits


def test_results_before_anything_is_found() -> None:
    """And what is said of a search unless it says otherwise."""
    found = Searched(results=empty(1), passes=0, assign=lambda p: np.zeros(0, dtype=np.int64))
    assert (found.proof, found.matchings, found.stopped, dict(found.crowds)) == (Proof.NONE, 0, False, {})
    assert [found.lower, found.ceiling, found.counts] == [None] * 3
    results = empty(3)
    assert results.shape == (3, RESULTS) == (3, 6)
    assert list(range(6)) == [DURATION, ENERGY, STOPPED, LEAST_TIME, LEAST_ENERGY, NEEDED]
    assert (results[:, STOPPED] == 0.0).all()
    assert np.isnan(np.delete(results, STOPPED, axis=1)).all()
