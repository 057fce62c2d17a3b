"""The search between bounds, its parts replaced: who is bounded at all, from what sample, and how often."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from test_sandwich import NOTHING, Menu, bounds_of, made, results_of

from solvers.matching import sandwich
from solvers.matching.between import BOUNDS, T_HIGH
from solvers.matching.task import DURATION, Proof, Searched, empty_results
from solvers.rows import FloatArray, Goal


def partitions(count: int) -> Any:
    """An array that says how many there are."""
    return np.broadcast_to(np.ones(1, dtype=np.int64), (count, 2))


@pytest.mark.parametrize(
    ("changes", "bounded", "loop", "proof"),
    [
        ({}, True, "ordered", Proof.SORTED),
        ({"counts": partitions(99)}, False, "ordered", Proof.SORTED),
        ({"compiled": False}, False, "plain", Proof.SORTED),
        ({"limits": 1}, False, "ordered", Proof.NONE),
        ({"gains": None}, False, "ordered", Proof.NONE),
        ({"gains": None, "thrifty": True}, True, "ordered", Proof.SORTED),
        ({"limits": 1, "gains": None, "thrifty": True}, False, "ordered", Proof.NONE),
        ({"menu": Menu(349_525, 4)}, True, "ordered", Proof.SORTED),  # a quarter of a gigabyte of sums
        ({"menu": Menu(349_526, 4)}, False, "ordered", Proof.SORTED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stopped", [False, True])
def test_bounds_are_for_many_partitions_of_which_something_is_known(
    changes: dict[str, Any], bounded: bool, loop: str, proof: Proof, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others, and where no duration is worth a look, are solved one by one."""
    called = list[str]()

    def one_by_one(name: str) -> Any:
        def search(task: Any, orders: Any, *, marginal: bool) -> Searched:
            assert orders.shape == (1, 3)
            assert not marginal
            called.append(name)
            return dataclasses.replace(NOTHING, stopped=stopped)

        return search

    monkeypatch.setattr(sandwich, "_between_bounds", lambda task, order: called.append("bounded"))
    monkeypatch.setattr(sandwich, "search_ordered", one_by_one("ordered"))
    monkeypatch.setattr(sandwich, "search_plain", one_by_one("plain"))
    given = made(**{"counts": partitions(100), "gains": np.ones(100), **changes})
    found = sandwich.search_sandwich(given, np.arange(3))
    assert called == (["bounded"] if bounded else []) + [loop]
    assert found.proof is (Proof.NONE if stopped else proof)
    monkeypatch.setattr(sandwich, "_between_bounds", lambda task, order: NOTHING)
    assert (sandwich.search_sandwich(given, np.arange(3)) is NOTHING) == bounded


@pytest.mark.parametrize("gains", [True, False])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("total", [1 << 14, (1 << 14) + 1])
def test_of_very_many_partitions_every_sixty_fourth_is_searched_first(
    gains: bool, known: bool, total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of fewer nine, all solved; so too where that search has no answer."""
    asked = list[Any]()

    def bounded(task: Any, order: Any) -> Searched:
        asked.append(task.counts.shape[0])
        results = empty_results(task.counts.shape[0])
        results[-1, DURATION] = 3.0 if known else math.nan
        return dataclasses.replace(NOTHING, results=results)

    def search(task: Any, orders: Any, *, marginal: bool) -> Searched:
        assert orders.tolist() == [[0, 1]]
        assert not marginal
        assert task.gains is None
        assert task.progress is None
        return dataclasses.replace(NOTHING, passes=task.counts.shape[0])

    monkeypatch.setattr(sandwich, "_between_bounds", bounded)
    monkeypatch.setattr(sandwich, "search_ordered", search)
    given = made(counts=partitions(total), gains=np.ones(total) if gains else None, progress=1)
    sample, found = sandwich._sample(given, np.arange(2))
    many = total > 1 << 14 and gains
    assert asked == ([257] if many else [])
    if many and known:
        assert sample.tolist() == list(range(0, total, 64))
    else:
        assert sample.tolist() == [int(i * (total - 1) / 8) for i in range(9)]
        assert found.passes == 9
    few, _ = sandwich._sample(made(counts=partitions(5), gains=np.ones(5)), np.arange(2))
    assert few.tolist() == [0, 1, 2, 3, 4]


def between(
    patch: pytest.MonkeyPatch, shares: tuple[int, ...], bounds: FloatArray, **changes: Any
) -> tuple[Searched | None, list[FloatArray]]:
    """The search of made-up partitions of which so many are left each time; at which durations they are bounded."""
    looked, left = list[FloatArray](), iter(shares)
    size = len(bounds)
    given = made(**{"counts": partitions(size), "gains": np.ones(size), "menu": Menu(2, 3), **changes})
    sample = dataclasses.replace(NOTHING, results=results_of([2.0], [9.0]), passes=7)

    class Sums:
        def at(self, menu: Any, order: Any, durations: FloatArray) -> Sums:
            looked.append(durations)
            return self

    def bound(task: Any, sums: Any, rows: Any, best: float) -> FloatArray:
        assert best == (0.0 if task.gains is None else 0.5)
        found: FloatArray = bounds[rows].copy()
        return found

    def overlapping(task: Any, bounds: FloatArray, rows: Any, best: float) -> Any:
        return rows[: next(left)]

    def solve(task: Any, order: Any, known: FloatArray, left: Any) -> Searched:
        return dataclasses.replace(NOTHING, results=empty_results(len(left)), passes=1000)

    patch.setattr(sandwich, "_sample", lambda *_: (np.array([0]), sample))
    patch.setattr(sandwich, "prefixes", lambda menu, order, durations: Sums().at(menu, order, durations))
    patch.setattr(sandwich, "_bounds", bound)
    patch.setattr(sandwich, "_overlapping", overlapping)
    patch.setattr(sandwich, "_solve", solve)
    patch.setattr(sandwich, "_explain", lambda task, bounds, results: None)
    found = sandwich._between_bounds(given, np.arange(2))
    assert next(left, None) is None
    return found, looked


@pytest.mark.parametrize(
    "shares", [(100, 60, 40, 28, 20), (200, 140, 90, 60, 40), (24,), (25, 24), (25, 10), (100, 71), (100, 70, 50)]
)
def test_bounds_are_made_closer_while_that_rules_partitions_out(
    shares: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times at most, and no more once few are left, or most of them stay; at 24 durations where they lie."""
    bounds = bounds_of(low=np.linspace(1.0, 2.0, 200), high=np.linspace(3.0, 5.0, 200))
    bounds[50:, T_HIGH] = math.inf
    found, looked = between(monkeypatch, shares, bounds)
    assert found is not None
    assert len(found.results) == shares[-1]
    assert [len(each) for each in looked] == [24] * len(shares)
    assert found.passes == 1000 + 7 + 24 * len(shares) * 3
    for durations, share in zip(looked[1:], shares, strict=False):
        high = bounds[min(share, 50) - 1, T_HIGH]
        assert durations == pytest.approx(high ** (np.arange(24) / 23.0), rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "spread", "shares"),
    [
        ({}, 1e-8, (100, 90)), ({}, 1e-9, (100,)), ({}, math.inf, (100,)), ({"late": True}, 1.0, (100,)),
        ({"goal": Goal.DEADLINE, "value": 2.0}, 1.0, (100,)), ({"gains": None, "thrifty": True}, 1.0, (100, 90)),
    ],
)  # fmt: skip
def test_where_bounds_lie_together_or_are_of_one_duration_they_come_no_closer(
    changes: dict[str, Any], spread: float, shares: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = bounds_of(low=np.full(100, 2.0), high=np.full(100, 2.0 * (1.0 + spread)))
    found, looked = between(monkeypatch, shares, bounds, **changes)
    assert found is not None
    assert len(looked) == len(shares)


def test_where_no_duration_is_worth_a_look_there_are_no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert between(monkeypatch, (), np.zeros((100, BOUNDS)), goal=Goal.DEADLINE, value=0.0) == (None, [])
