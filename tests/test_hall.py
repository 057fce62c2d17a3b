"""Who stands in the way of a shorter round, given made-up clients: crowds, and why partitions have no answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, drawn, everyone, partitions, task_of

from solvers.matching.exact import PricedMatcher
from solvers.matching.hall import Crowd, explain, fits, least_feasible
from solvers.matching.task import DURATION, LEAST_ENERGY, LEAST_TIME, STOPPED, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop


def test_the_crowd_is_the_neediest_first_and_equals_by_number() -> None:
    """Those whose least duration elsewhere is longer; to rounding, a duration is long enough."""
    needs = np.array([3.0, 7.0, 5.0, 9.0, 7.0, math.inf, 5.0 * (1.0 + 1e-15)])
    crowd = Crowd(duration=7.0, within=np.zeros(1, dtype=np.bool_), places=1, needs=needs)
    assert crowd.rows(5.0).tolist() == [5, 3, 1, 4]
    assert crowd.rows(4.9).tolist() == [5, 3, 1, 4, 6, 2]
    assert crowd.rows(1e9).tolist() == [5]
    assert fits(needs, 5.0).tolist() == [True, False, True, False, False, False, True]


def explained(task: Task, match: Any) -> tuple[dict[int, Crowd], FloatArray, dict[int, IntArray]]:
    """The crowds, results and matchings of partitions of which nothing is known."""
    results, chosen = empty_results(len(task.counts)), dict[int, IntArray]()
    return explain(task, match, results, chosen), results, chosen


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE])
@pytest.mark.parametrize("seed", range(3))
def test_what_partitions_without_an_answer_need_at_the_least(seed: int, goal: Goal) -> None:
    """The least duration and the least energy of every matching; at a deadline the energy of the shortest round."""
    task = task_of(drawn(seed), goal, 1e-9)
    crowds, results, chosen = explained(task, PricedMatcher(task).match)
    menu: Any = task.menu
    every, own = everyone(task), np.arange(6)
    assert sorted(crowds) == list(range(len(task.counts)))
    assert np.isnan(results[:, DURATION]).all()
    for p, crowd in crowds.items():
        mine = every.assignments[every.rows == p]
        shortest = float(menu.least[mine, own].max(axis=1).min())
        assert crowd.duration == results[p, LEAST_TIME] == shortest
        costs = menu.costs(shortest if goal is Goal.DEADLINE else math.inf)
        least = float(costs[mine, own].sum(axis=1).min())
        if shortest == math.inf:
            assert results[p, STOPPED] == Stop.UNREACHABLE
            continue
        assert results[p, STOPPED] == (Stop.TOO_SHORT if goal is Goal.DEADLINE else Stop.TOO_LITTLE)
        assert results[p, LEAST_ENERGY] == pytest.approx(least, rel=1e-12)
        assert costs[chosen[p], own].sum() == pytest.approx(least, rel=1e-12)
    assert (results[:, STOPPED] == Stop.UNREACHABLE).any() == (seed == 1)


@pytest.mark.parametrize(("reachable", "found"), [(True, False), (False, True), (False, False)])
def test_either_a_round_without_end_or_no_matching_is_out_of_reach(reachable: bool, found: bool) -> None:
    menu = drawn(0)
    if not reachable:
        menu.least[:, 2] = math.inf
    task, matching = task_of(menu, Goal.ENERGY, 1.0), np.zeros(6, dtype=np.int64)
    crowds, results, chosen = explained(task, lambda T, counts: (matching, 3.0) if found else None)
    assert (results[:, STOPPED] == Stop.UNREACHABLE).all()
    assert (results[:, LEAST_ENERGY] == (3.0 if found else math.inf)).all()
    assert len(chosen) == (len(task.counts) if found else 0)
    assert all((crowd.duration < math.inf) is reachable for crowd in crowds.values())


def test_of_very_many_partitions_the_first_are_explained() -> None:
    """2048 of them, and of fewer all."""
    task = task_of(drawn(0, 1), Goal.ENERGY, 1.0, counts=np.array([[1, 0, 0]]).repeat(2050, axis=0))
    for part, many in ((task, 2048), (task.part(np.arange(2)), 2)):
        crowds, results, _ = explained(part, lambda T, counts: (np.array([0]), 2.0))
        assert sorted(crowds) == list(range(many))
        assert np.isfinite(results[:, LEAST_TIME]).sum() == many


@pytest.mark.parametrize("covers", [(1, 2, 3), (2, 1, 1)])
@pytest.mark.parametrize("seed", range(6))
def test_more_rows_than_places_need_the_least_duration(seed: int, covers: tuple[int, ...]) -> None:
    """Outside of the crowded types, each; and in any shorter round there is one more than there are places."""
    menu: Made = drawn(seed, covers=covers)
    for counts in partitions(menu):
        crowd = least_feasible(menu.least, counts)
        assert crowd.places == counts[crowd.within].sum()
        assert not (crowd.within & (counts == 0)).any()
        outside = ~crowd.within & (counts > 0)
        np.testing.assert_array_equal(crowd.needs, menu.least[outside].min(axis=0))
        assert (crowd.needs >= crowd.duration).sum() > crowd.places
        assert (crowd.needs > crowd.duration).sum() <= crowd.places
