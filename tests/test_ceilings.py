"""What is still claimed of a search that was stopped, on made-up clients: bounds above every matching, and how near."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import everyone
from test_levels import CAREFUL, POWER_, small

from solvers.matching import levels
from solvers.matching.levels import with_ceiling
from solvers.matching.task import DURATION, Proof, Searched, Task, empty_results
from solvers.rows import Goal


def capped(task: Task, start: float, end: float) -> float:
    """The most replicas in time to the power, over the duration, anywhere between."""
    menu: Any = task.menu
    times = [T for T in np.unique(menu.least) if start < T <= end]
    most = [np.where(menu.least <= T, menu.weights[:, None], 0.0).max(axis=0).sum() for T in (start, *times)]
    return max(
        float(math.floor(replicas + 1e-9) ** task.power / T) for replicas, T in zip(most, (start, *times), strict=True)
    )


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_ceilings_of_searches_that_were_stopped(power: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By relaxation, or of many rows and where nothing is known by time alone; at a deadline by the greatest gain."""
    for seed, covers in itertools.product(range(2), ((1, 2, 2), (1, 2, 0))):
        task = small(seed, POWER_, covers=covers, power=power)
        every, menu = everyone(task), task.menu
        assert task.gains is not None
        best, results = float(every.rates.max()), empty_results(len(task.counts))
        results[:, DURATION] = [1.5 * float(every.T[every.rows == p].min()) for p in range(len(task.counts))]
        in_hand = float(np.nanmax(task.gains / results[:, DURATION]))
        stopped = Searched(results=results, passes=0, assign=lambda p: np.zeros(8, dtype=np.int64), stopped=True)
        nothing = dataclasses.replace(stopped, results=empty_results(len(task.counts)))
        found = with_ceiling(task, stopped)
        assert (found.proof, found.results is results) == (Proof.MATCHINGS, True)
        assert found.ceiling is not None
        assert best * (1.0 - CAREFUL) <= found.ceiling <= 1.5 * best
        start = max(menu.shortest, 1e-300)
        for few, searched in ((7, stopped), (50_000, nothing)):
            monkeypatch.setattr(levels, "_FEW", few)
            by_time = with_ceiling(task, searched).ceiling
            end = math.inf if searched is nothing else max(float(task.gains.max()) / in_hand, start)
            assert by_time == pytest.approx(max(capped(task, start, end), 0.0 if math.isinf(end) else in_hand))
        monkeypatch.setattr(levels, "_FEW", 8)
        assert with_ceiling(task, stopped).ceiling == found.ceiling
        deadline = dataclasses.replace(task, goal=Goal.DEADLINE, value=4.0)
        assert with_ceiling(deadline, nothing).ceiling == float(task.gains.max()) / 4.0
        at_once = dataclasses.replace(deadline, value=0.0)
        assert with_ceiling(at_once, nothing).ceiling == math.inf
        for same, whose in (
            (dataclasses.replace(stopped, stopped=False), task),
            (dataclasses.replace(stopped, proof=Proof.MATCHINGS), task),
            (stopped, dataclasses.replace(task, gains=None)),
        ):
            assert with_ceiling(whose, same) is same
        near = dataclasses.replace(stopped, results=results / 3.0)  # better than there can be: it is the bound
        assert with_ceiling(task, near).ceiling == pytest.approx(3.0 * in_hand)


def test_where_few_replicas_are_listed_time_bounds_those_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the duration from which on they are worth less than the answer in hand."""
    monkeypatch.setattr(levels, "_FEW", 7)
    closer = 0
    for seed in range(4):
        task = small(seed, POWER_, covers=(1, 2, 0), power=2.0)
        assert task.gains is not None
        few = task.part(np.flatnonzero(task.gains == task.gains.min()))
        assert few.gains is not None
        results = empty_results(len(few.counts))
        results[:, DURATION] = 1.2
        stopped = Searched(results=results, passes=0, assign=lambda p: np.zeros(8, dtype=np.int64), stopped=True)
        start, rate = max(task.menu.shortest, 1e-300), float(few.gains[0]) / 1.2
        ceiling = with_ceiling(few, stopped).ceiling
        assert ceiling == pytest.approx(max(capped(few, start, max(float(few.gains[0]) / rate, start)), rate))
        closer += ceiling < capped(few, start, math.inf)  # type: ignore[operator]
    assert closer > 0
