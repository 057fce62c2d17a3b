"""One level of many listed partitions, on made-up clients: what is solved of it, and in which order."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import drawn, everyone, task_of
from test_levels import CAREFUL, ENERGY_, POWER_, answer, counted, small

from solvers.matching import levels
from solvers.matching.best import Found, OutOfTime
from solvers.matching.exact import PricedMatcher
from solvers.matching.lookers import AllMatchings
from solvers.matching.task import empty_results
from solvers.rows import Goal


def test_what_a_coarse_search_proves() -> None:
    task = small(0, ENERGY_, power=2.0)
    chosen = np.zeros(8, dtype=np.int64)
    found = answer(task, [2, 4, 2], 10.0, chosen)
    assert levels._proved(task, found) == pytest.approx(5.0**2 / 10.0)
    assert levels._proved(task, dataclasses.replace(found, ceiling=3.0)) == 3.0
    assert levels._proved(task, dataclasses.replace(found, counts=None)) == 0.0
    assert levels._proved(task, answer(task, [2, 4, 2], math.nan, chosen)) == 0.0
    assert levels._proved(task, answer(task, [2, 4, 2], 0.0, chosen)) == math.inf


@pytest.mark.parametrize(
    ("share", "energy", "power"),
    [(1e-3, 38, 37), (0.6, 36, 35), (0.9, 38, 36), (1.0 - 1e-6, 34, 31), (1.0 + 1e-6, 12, 4), (1.1, 0, 0)],
)
@pytest.mark.parametrize("which", [ENERGY_, POWER_])
def test_of_a_level_all_that_can_win_are_solved(
    which: int, share: float, energy: int, power: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an answer a share of the best one of the level: it is found, or none is taken, in so many partitions."""
    improved, taken = counted(monkeypatch), 0
    for seed in range(4):
        task = small(seed, which)
        every = everyone(task)
        assert task.gains is not None
        for gain in np.unique(task.gains):
            rows = np.flatnonzero(task.gains == gain)
            best = float(every.rates[np.isin(every.rows, rows)].max())
            if best == 0.0:
                continue
            found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
            found.best, looker = share * best, AllMatchings(task)
            before = len(improved)
            levels._level(found, looker, rows)
            assert len(set(improved[before:])) == len(improved[before:]) <= len(rows)
            assert set(improved[before:]) <= set(rows.tolist())
            assert found.cuts == []
            if share < 1.0:
                taken += 1
                assert found.best == pytest.approx(best, rel=CAREFUL)
                assert found.winner in rows
            else:
                assert found.winner == -1
                assert found.best == share * best
    assert (taken > 0) is (share < 1.0)
    work = energy if which == ENERGY_ else power
    assert work - 1 <= len(improved) <= work + 1


def test_the_nearest_of_a_level_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the relaxed one, by replicas that are exchanged: of three of six replicas here."""
    improved, first = counted(monkeypatch), [0, 0, 0]
    for seed, needed in itertools.product(range(6), (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0)):
        task = small(seed, POWER_, size=12, covers=(1, 2, 4))
        assert task.gains is not None
        rows = np.flatnonzero(task.gains == 6.0)
        assert task.counts[rows].tolist() == [[0, 12, 0], [2, 6, 4], [4, 0, 8]]
        found, looker = Found(task, PricedMatcher(task), empty_results(len(task.counts))), AllMatchings(task)
        found.best, look = 6.0 / needed, looker.look(needed)
        improved.clear()
        levels._level(found, looker, rows)
        if improved:
            assert look.fair is not None
            far = (np.abs(task.counts[rows] - look.fair[1].counts) / task.menu.covers).sum(axis=1)
            assert improved[0] == rows[far.argmin()]
            first[int(far.argmin())] += 1
    assert sorted(first)[1] > 1


def looking(counts: list[int]) -> Any:
    """A looker to whom these are the relaxed counts of any duration."""
    look = SimpleNamespace(fair=(1.0, SimpleNamespace(counts=np.array(counts))), most=lambda earlier: math.inf)
    return SimpleNamespace(look=lambda duration: look)


def test_as_many_places_as_a_crowd_has_rows_are_enough() -> None:
    """Two of six cannot do the cheapest type; the level is begun where they would have to."""
    menu = drawn(0, covers=(1, 1, 2))
    menu.floor[0], menu.w[0] = 0.1, 1.0
    menu.least[:] = 1.0
    menu.least[0, :2] = math.inf
    task = task_of(menu, Goal.ENERGY, 6.0)
    assert task.gains is not None
    rows, every = np.flatnonzero(task.gains == 6.0), everyone(task)
    best = float(every.rates[np.isin(every.rows, rows)].max())
    found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
    found.best = 0.9 * best
    levels._level(found, looking([6, 0, 0]), rows)
    assert task.counts[found.winner].tolist() == [4, 2, 0]
    assert found.best == pytest.approx(best, rel=CAREFUL)


@pytest.mark.parametrize(("off", "solved"), [(-1e-10, 7), (1e-10, 7), (1e-8, 1)])
def test_of_partitions_as_dear_as_the_budget_each_is_tried(
    off: float, solved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a billionth; the types are all the same."""
    improved, menu = counted(monkeypatch), drawn(0, covers=(1, 1, 1))
    menu.floor[:], menu.w[:], menu.least[:] = menu.floor[0], menu.w[0], 1.0
    task = task_of(menu, Goal.ENERGY, float(menu.floor[0].sum() + menu.w[0].sum() / 3.0**2))
    task = task.part(np.flatnonzero(task.counts[:, 2] == 0))
    found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
    found.best = 6.0 / (3.0 * (1.0 - off))
    levels._level(found, looking([6, 0, 0]), np.arange(7))
    assert len(improved) == solved


def test_late_levels_and_those_too_short_to_be_met() -> None:
    task = small(0, ENERGY_, until=0.0)
    rows = np.arange(1)
    assert task.gains is not None
    for factor, late in ((1.0 + CAREFUL, True), (1.0 - CAREFUL, False)):
        found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
        found.best = float(task.gains[0]) / (task.menu.shortest * factor)
        if late:
            with pytest.raises(OutOfTime):
                levels._level(found, AllMatchings(task), rows)
        else:
            levels._level(found, AllMatchings(task), rows)
        assert found.matchings == 0
