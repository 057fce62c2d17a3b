"""The cheapest matchings near what a coarse search found, on made-up clients: against every matching and formulas."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, budgets, drawn, everyone, task_of, unlisted

from solvers.matching import unlisted as near
from solvers.matching.cheapest import search_cheapest
from solvers.matching.exact import PricedMatcher
from solvers.matching.task import DURATION, ENERGY, STOPPED, Proof, Searched, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import Goal


def priced(menu: Made, **more: Any) -> Task:
    """At a price of time that is worth some."""
    (watts,) = (value for goal, value in budgets(menu) if goal is Goal.PRICE)
    return unlisted(task_of(menu, Goal.PRICE, watts, **more))


def first(counts: list[list[int]], ceiling: float | None = None, **more: object) -> Searched:
    """As if a coarse search had found these, in 1 s each."""
    results = empty_results(len(counts))
    results[:, DURATION], results[:, ENERGY] = 1.0, 2.0
    found = Searched(
        results=results, passes=1000, matchings=7, assign=lambda p: np.zeros(0, dtype=np.int64),
        proof=Proof.MATCHINGS, ceiling=ceiling, counts=np.array(counts),
    )  # fmt: skip
    return dataclasses.replace(found, **more)  # type: ignore[arg-type]


def rates_of_cheapest(task: Task) -> dict[tuple[int, ...], float]:
    """R^power / T of every partition's cheapest matching."""
    menu = task.menu
    whole = task_of(menu, task.goal, task.value, power=task.power)  # type: ignore[arg-type]
    every = everyone(whole)
    costs, found = every.E + task.value * every.T, {}
    for p, counts in enumerate(whole.counts.tolist()):
        mine = np.flatnonzero(every.rows == p)
        best = int(mine[costs[mine].argmin()])
        found[tuple(counts)] = float(every.rates[best]) if costs[best] < math.inf else 0.0
    return found


def exchanges(counts: tuple[int, ...], covers: IntArray) -> set[tuple[int, ...]]:
    """These and all that differ in two types, by as few places as keep replicas whole or by four times as many."""
    found = {counts}
    for k, l in itertools.permutations(range(len(counts)), 2):
        step = math.lcm(int(covers[k]), int(covers[l]))
        for places in (step, 4 * step):
            moved = list(counts)
            moved[k], moved[l] = moved[k] - places, moved[l] + places
            if moved[k] >= 0:
                found.add(tuple(moved))
    return found


@pytest.mark.parametrize("counts", [(5, 4, 8, 8), (0, 2, 3, 16), (25, 0, 0, 0), (4, 6, 12, 0)])
def test_neighbours_are_all_exchanges_of_two_types(counts: tuple[int, ...]) -> None:
    for covers in (np.array([1, 2, 4, 8]), np.array([1, 2, 3, 4]), np.array([1, 1, 1, 1])):
        found = near.neighbours(np.array(counts), covers).tolist()
        assert found[0] == list(counts)
        assert {tuple(row) for row in found} == exchanges(counts, covers)
        assert len({tuple(row) for row in found}) == len(found)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("covers", [(1, 2, 3), (1, 2, 0)])
def test_no_exchange_is_better_than_the_answer(covers: tuple[int, ...], power: float) -> None:
    """It is what exchanges lead to from the best that was found, every one by its cheapest matching."""
    moved = 0
    for seed in (0, 1):
        task = priced(drawn(seed, covers=covers), power=power)
        rates, start = rates_of_cheapest(task), [[2, 4, 0], [0, 6, 0], [6, 0, 0]]
        here, steps = max((tuple(counts) for counts in start), key=rates.__getitem__), 0
        while True:
            around = exchanges(here, task.menu.covers) & set(rates)
            there = max(around, key=rates.__getitem__)
            if not rates[there] > rates[here]:
                break
            here, steps = there, steps + 1
        moved += steps
        for ceiling in (None, 1e-9, 1e9):
            found = near.at_its_cheapest(task, first(start, ceiling), PricedMatcher(task))
            assert found.counts is not None
            made = (found.counts @ task.menu.weights) ** power / found.results[:, DURATION]
            best = int(np.nanargmax(made))
            if ceiling is not None and ceiling < 1.0:  # nothing better is possible: the best of the first is enough
                assert found.counts.tolist() == start
                assert found.ceiling is None
            else:
                assert tuple(found.counts[best].tolist()) == here or rates[here] == pytest.approx(made[best], rel=1e-9)
                ceilings = [
                    (c @ task.menu.weights) ** power for c in np.array(start)
                ]  # in the 1 s each is said to take
                assert found.ceiling == (ceiling or (max(ceilings) if max(ceilings) > made[best] else None))
            assert made[best] == pytest.approx(max(rates[tuple(c)] for c in found.counts.tolist()), rel=1e-9)
            assert (found.proof, found.matchings, found.stopped) == (Proof.MATCHINGS, 7, False)
            matching = found.assign(best)
            assert np.bincount(matching, minlength=3).tolist() == found.counts[best].tolist()
            assert task.find_duration(task.menu.rows_of(matching), task.goal, task.value, task.allocate).duration == (
                pytest.approx(found.results[best, DURATION], rel=1e-12)
            )
    assert moved > 0 or power == 0.0


def test_passes_add_up_and_progress_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first search and of all that follow; each is told which partitions, and what they are worth."""
    told: list[object] = []
    task = priced(drawn(0, size=12, covers=(1, 2, 0)), progress=lambda *report: told.append(report))
    start = [[0, 2, 10], [0, 0, 12]]
    passes, best = [1000], list[float]()

    def spy(part: Task, matcher: PricedMatcher) -> Searched:
        found = search_cheapest(part, matcher)
        replicas = part.counts @ part.menu.weights
        assert part.gains is not None
        assert part.gains.tolist() == [float(r) if r > 0.5 else 0.0 for r in replicas]
        assert len(passes) == 1 or (replicas > 0.5).all()
        passes.append(found.passes)
        best.append(float(np.nanmax(near._rates(part, part.counts, found))))
        return found

    monkeypatch.setattr(near, "search_cheapest", spy)
    found = near.at_its_cheapest(task, first(start, 1e9), PricedMatcher(task))
    assert len(passes) > 3
    assert best[-1] == best[-2]
    assert (np.diff(best[:-1]) > 0.0).all()
    assert found.passes == sum(passes)
    assert not told
    for most in (1, 2):
        monkeypatch.setattr(near, "_ROUNDS", most)
        passes[1:] = []
        near.at_its_cheapest(task, first(start, 1e9), PricedMatcher(task))
        assert len(passes) == 1 + most


def test_exchanges_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty, should each be better than the last."""
    searches = [0]

    def better(part: Task, matcher: PricedMatcher) -> Searched:
        searches[0] += 1
        results = empty_results(len(part.counts))
        results[:, DURATION] = 0.5 ** searches[0]
        return Searched(results=results, passes=0, assign=lambda p: np.zeros(0, dtype=np.int64))

    monkeypatch.setattr(near, "search_cheapest", better)
    task = priced(drawn(0))
    near.at_its_cheapest(task, first([[0, 6, 0]], math.inf), PricedMatcher(task))
    assert searches == [50]


def test_of_large_fleets_neighbours_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 6 rows and 3 types, 18 entries, from 18 on they are."""
    task = priced(drawn(0))
    for quick, tried in ((18, True), (17, False)):
        monkeypatch.setattr(near, "_QUICK", quick)
        found = near.at_its_cheapest(task, first([[0, 6, 0]]), PricedMatcher(task))
        assert found.counts is not None
        assert (len(found.counts) > 1) is tried


def test_nothing_is_tried_beyond_the_bound() -> None:
    """Reached by one of the first: its neighbours cannot be better."""
    task, start = priced(drawn(0)), [[0, 6, 0], [6, 0, 0]]
    best = float(np.nanmax(near._rates(task, np.array(start), search_cheapest(
        dataclasses.replace(task, counts=np.array(start), gains=np.array([3.0, 6.0])), PricedMatcher(task)
    ))))  # fmt: skip
    passes = []
    for ceiling in (best, best * (1.0 + 1e-9)):
        given = first(start, ceiling)
        given.results[0, DURATION] = math.nan  # of one no answer is known
        found = near.at_its_cheapest(task, given, PricedMatcher(task))
        assert found.counts is not None
        assert found.ceiling == (None if ceiling == best else ceiling)
        passes.append(found.passes)
    assert 1000 < passes[0] < passes[1]


def test_what_was_stopped_or_found_nothing_stays_as_it_is() -> None:
    """And where the time is up at once, so does the answer; what it had to prove stays proved."""
    task = priced(drawn(0))
    none = empty_results(1)
    for found in (
        first([[6, 0, 0]], stopped=True),
        dataclasses.replace(first([[6, 0, 0]]), counts=None),
        first([[6, 0, 0]], results=none),
    ):
        assert near.at_its_cheapest(task, found, PricedMatcher(task)) is found
    late = dataclasses.replace(task, until=0.0)
    kept = first([[6, 0, 0], [0, 6, 0]])
    found = near.at_its_cheapest(late, kept, PricedMatcher(late))
    assert found.stopped
    assert found.results is kept.results
    assert found.passes > kept.passes
    assert found.ceiling == 6.0  # of six replicas in 1 s
    assert found.results[0, STOPPED] == none[0, STOPPED]


def test_replicas_to_a_power_over_the_duration() -> None:
    """No replica is worth nothing, whatever the power; no answer is no number."""
    task = priced(drawn(0, covers=(1, 2, 0)), power=0.0)
    counts = np.array([[0, 0, 6], [0, 2, 4], [6, 0, 0]])
    assert near._gains(task, counts).tolist() == [0.0, 1.0, 1.0]
    assert near._gains(dataclasses.replace(task, power=2.0), counts).tolist() == [0.0, 1.0, 36.0]
    found = first(counts.tolist())
    found.results[:, DURATION] = [math.nan, 0.0, 4.0]
    rates = near._rates(dataclasses.replace(task, power=2.0), counts, found)
    assert np.isnan(rates[0])
    assert rates[1:].tolist() == [math.inf, 9.0]
