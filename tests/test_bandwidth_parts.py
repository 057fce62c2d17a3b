"""Matchings at prices of bandwidth by their parts: what is better, what is too dear, and which partitions come when."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from test_prices_of_bandwidth import HERTZ, Sharing, budgets

from solvers.matching import priced
from solvers.matching.best import Cut
from solvers.matching.priced import Best, Bound
from solvers.matching.task import DURATION, empty_results
from solvers.menu import IntArray
from solvers.rows import Goal, Stop


def prepared(
    monkeypatch: pytest.MonkeyPatch, goal: Goal, value: float, counts: Any, **more: Any
) -> tuple[Sharing, Any]:
    """Made-up clients, and a run over some of their partitions."""
    menu = Sharing(0)
    monkeypatch.setattr(priced, "schedule", menu.schedule)
    monkeypatch.setattr(priced, "BandCosts", lambda given: given)
    return menu, priced._Run(menu.asked(goal, value, counts, **more))


def bound_of(energy: float, T: float = 1.0, assignment: IntArray | None = None, over: float = 0.0) -> Bound:
    cut = Cut(duration=T, constant=energy, prices=np.zeros(3))
    return Bound(T=T, mu=1.0, energy=energy, over=over, assignment=assignment, cut=cut)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_what_rounding_hides_is_not_too_dear(goal: Goal, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-13 where it is proved, to 1e-9 where it is only left out; a budget is of the duration asked."""
    _, it = prepared(monkeypatch, goal, 5.0, [(1, 2, 2)])
    T = 3.0
    allowed = 5.0 * (T if goal is Goal.POWER else 1.0)
    for off, dear in ((-5e-14, False), (0.0, False), (5e-14, False), (2e-13, True), (math.inf, True)):
        assert it._too_dear(bound_of(allowed * (1.0 + off), T)) is dear
    asked = list[float]()
    for off, dear in ((-5e-10, False), (5e-10, False), (2e-9, True)):

        def bound(T: float, *_: Any, off: float = off, **__: Any) -> Bound:
            asked.append(T)
            return bound_of(allowed * (1.0 + off), T)

        it._bound, cuts = bound, list[Cut]()
        asked.clear()
        _, lower = it.improve(0, T, cuts, empty_results(1))
        assert asked[0] == T
        assert cuts[0].constant == allowed * (1.0 + off)
        assert (len(asked) == 1) is dear
        if dear:
            assert lower == T


def test_only_a_shorter_matching_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    menu, it = prepared(monkeypatch, Goal.ENERGY, 50.0, [(1, 2, 2)])
    results = empty_results(1)
    same = menu.matchings((1, 2, 2))
    durations, energies = menu.rows_of(same).answers(Goal.ENERGY, 50.0)
    first, other = (same[i] for i in np.argsort(durations)[:2])
    found = it._solve(other, 0, results)
    menu.solved.clear()
    for best in (found, None):
        assert it._better(best, bound_of(1.0, assignment=None), 0, results) is best
    assert it._better(found, bound_of(1.0, assignment=other.copy()), 0, results) is found
    assert not menu.solved
    better = it._better(found, bound_of(1.0, assignment=first), 0, results)
    assert better.assignment is first
    assert min(durations) == better.T
    for T, wins in ((better.T, False), (better.T * (1.0 + 5e-11), False), (better.T * (1.0 + 2e-10), True)):
        held = Best(assignment=other, T=T, lower=0.0, E=1.0, mu=1.0, stop=Stop.OPTIMAL)
        assert (it._better(held, bound_of(1.0, assignment=first), 0, results) is held) is not wins
    assert it._better(None, bound_of(1.0, assignment=first), 0, results).T == better.T
    assert better.mu == pytest.approx(menu.rows_of(first).channel())
    assert pytest.approx(energies[durations.argmin()]) == better.E


def test_late_with_one_partition_left_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    _, it = prepared(monkeypatch, Goal.ENERGY, 1e9, [(1, 2, 2), (2, 2, 1)], gains=np.ones(2), until=time.perf_counter())
    found = priced.search(it.task)
    assert found.stopped
    assert np.isfinite(found.results[:, DURATION]).tolist() == [True, False]


def test_it_is_looked_below_the_best_until_that_is_too_dear_then_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the gaps in turn; where one proves too short, three halvings to the last that was not."""
    _, it = prepared(monkeypatch, Goal.ENERGY, 1.0, [(1, 2, 2)])
    best = Best(assignment=np.zeros(5, dtype=np.int64), T=100.0, lower=0.0, E=1.0, mu=2.0, stop=Stop.OPTIMAL)
    for edge in (99.99999995, 99.95, 92.0, 75.0, 55.0, 1e-3):
        asked, cuts = list[float](), list[Cut]()

        def bound(T: float, mu: float, *_: Any, edge: float = edge, asked: list[float] = asked) -> Bound:
            assert mu == 2.0
            asked.append(T)
            return bound_of(2.0 if edge > T else 0.5, T)

        it._bound = bound
        found, lower = it._prove(best, math.inf, 0, cuts, empty_results(1))
        assert found is best
        below = [100.0 * (1.0 - gap) for gap in priced._GAPS]
        turns = next((i for i, T in enumerate(below) if edge > T), len(below) - 1) + 1
        assert asked[:turns] == below[:turns]
        ended = edge > below[turns - 1]
        assert len(cuts) == ended
        low, high = (below[turns - 1] if ended else it.floor), (below[turns - 2] if ended and turns > 1 else below[-1])
        if ended and turns == 1:
            assert asked == below[:1]
            assert lower == below[0]
            continue
        for T in asked[turns:]:
            assert 0.5 * (low + high) == T
            low, high = (T, high) if edge > T else (low, T)
        assert len(asked) == turns + 3
        assert lower == low


@pytest.mark.parametrize("low", [0.0, 0.5, 2.9])
def test_an_only_matching_is_proved_as_far_as_its_own_round(low: float, monkeypatch: pytest.MonkeyPatch) -> None:
    _, it = prepared(monkeypatch, Goal.ENERGY, 1.0, [(5, 0, 0)])
    held = Best(assignment=np.zeros(5, dtype=np.int64), T=3.0, lower=low, E=1.0, mu=2.0, stop=Stop.OPTIMAL)
    it._solve = lambda *_: held
    assert 0.0 < it.floor < 2.9
    assert it.improve(0, math.inf, [], empty_results(1)) == (held, max(low, it.floor))


def test_nothing_is_looked_at_at_the_floor_or_beyond_what_has_to_be_beaten(monkeypatch: pytest.MonkeyPatch) -> None:
    _, it = prepared(monkeypatch, Goal.ENERGY, 1.0, [(1, 2, 2)])
    asked = list[float]()

    def bound(T: float, *_: Any) -> Bound:
        asked.append(T)
        return bound_of(0.5, T)

    it._bound = bound
    for T, needed in ((it.floor, math.inf), (math.inf, it.floor), (math.inf, math.inf)):
        held = Best(assignment=np.zeros(5, dtype=np.int64), T=T, lower=0.0, E=1.0, mu=2.0, stop=Stop.OPTIMAL)
        assert it._prove(None if math.isinf(T) else held, needed, 0, [], empty_results(1))[1] == it.floor
    assert not asked
    held = Best(assignment=np.zeros(5, dtype=np.int64), T=9.0, lower=0.0, E=1.0, mu=2.0, stop=Stop.OPTIMAL)
    it._prove(held, 8.0, 0, [], empty_results(1))
    assert asked[0] == 8.0 * (1.0 - priced._GAPS[0])
    asked.clear()
    it._prove(None, 8.0, 0, [], empty_results(1))
    assert asked[0] == 8.0 * (1.0 - priced._GAPS[0])
    asked.clear()
    better = Best(assignment=np.ones(5, dtype=np.int64), T=7.0, lower=0.0, E=1.0, mu=2.0, stop=Stop.OPTIMAL)
    it._better = lambda best, *_: better if len(asked) == 3 else best
    assert it._prove(held, math.inf, 0, [], empty_results(1))[0] is better
    assert asked[:5] == [T * (1.0 - gap) for T, gaps in ((9.0, 3), (7.0, 2)) for gap in priced._GAPS[:gaps]]


def test_the_price_of_bandwidth_is_stepped_towards_the_whole_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """From steps that went too far back to the middle, none longer than 12 up or 3 down; the greatest bound is kept."""
    _, it = prepared(monkeypatch, Goal.ENERGY, 1e9, [(1, 2, 2)])
    matching = np.zeros(5, dtype=np.int64)
    for root, start in ((1.0, 0.0), (-2.0, 3.0), (40.0, 0.0), (-30.0, 0.0)):
        at = list[float]()

        def priced_at(T: float, mu: float, counts: IntArray, root: float = root, at: list[float] = at) -> Bound:
            at.append(math.log(mu))
            bound = bound_of(-abs(at[-1] - root), T, matching, over=0.5 * (root - at[-1]))
            return Bound(T=T, mu=mu, energy=bound.energy, over=bound.over, assignment=matching, cut=bound.cut)

        it._priced = priced_at
        bound = it._bound(1.0, math.exp(start), np.array([1, 2, 2]))
        assert len(at) <= 8
        assert bound.energy == -min(abs(z - root) for z in at)
        steps = np.diff(at)
        assert steps.max(initial=0.0) <= 12.0 + 1e-9
        assert steps.min(initial=0.0) >= -3.0 - 1e-9
        low = max([z for z in at if z < root], default=-math.inf)
        if -20.0 < root < 20.0:
            assert abs(bound.energy) < 0.02
        assert low <= root


def test_where_more_price_frees_little_bandwidth_it_goes_on_to_what_proves_it_too_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the line of the bound, E + (mu' - mu)(channels wanted - 1), a tenth beyond what the budget leaves."""
    _, it = prepared(monkeypatch, Goal.ENERGY, 7.0, [(1, 2, 2)])
    matching, over = np.zeros(5, dtype=np.int64), 0.02
    for start, energy, longest in ((0.5, 6.0, 12.0), (0.5, 2.0, 12.0), (1e-6, 2.0, 12.0), (1e-12, 6.0, 1.8 * over)):
        at = list[float]()

        def priced_at(T: float, mu: float, counts: IntArray, energy: float = energy, at: list[float] = at) -> Bound:
            at.append(mu)
            return Bound(
                T=T,
                mu=mu,
                energy=energy if len(at) == 1 else 8.0,
                over=over,
                assignment=matching,
                cut=bound_of(0.0).cut,
            )

        it._priced = priced_at
        assert it._bound(1.0, start, np.array([1, 2, 2])).energy == 8.0
        mu, new = at
        line = 1.1 * (7.0 - energy) / math.expm1(over) + mu
        assert math.log(new / mu) == pytest.approx(min(max(1.8 * over, math.log(line / mu)), longest))


def test_the_channel_is_that_of_all_types_or_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    menu, it = prepared(monkeypatch, Goal.ENERGY, 5.0, [(1, 2, 2)])
    menu.rows = menu.rows[:1]
    assert priced._Run(it.task).hertz == HERTZ


def test_a_channel_that_costs_nothing_leaves_the_last_price(monkeypatch: pytest.MonkeyPatch) -> None:
    menu, it = prepared(monkeypatch, Goal.ENERGY, 50.0, [(1, 2, 2)])
    matching = menu.matchings((1, 2, 2))[0]
    price = it._solve(matching, 0, empty_results(1)).mu
    menu.s[:] = 0.0
    assert it._solve(matching, 0, empty_results(1)).mu == it._mu == price > 0.0


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_without_gains_every_partition_is_improved(goal: Goal, monkeypatch: pytest.MonkeyPatch) -> None:
    menu, _ = prepared(monkeypatch, goal, 1.0, [(1, 2, 2)])
    counts, value = menu.counts[::4], budgets(menu, goal)[1]
    found = priced.search(menu.asked(goal, value, counts))
    truth = menu.least_durations(goal, value)
    for p, each in enumerate(counts):
        T = found.results[p, DURATION]
        assert truth[each] == (pytest.approx(T, rel=1e-9) if math.isfinite(T) else math.inf)
