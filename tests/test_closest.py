"""What comes closest where nothing is possible, by its parts: against all assignments there are, and in closed form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, assignments, partitions

from solvers.matching import closest
from solvers.matching.assignment import match
from solvers.matching.transport import transport
from solvers.menu import IntArray, fill
from solvers.rows import FloatArray

VARIED = (1, 3, 6, 9, 12, 15, 18)


def menu_of(size: int, covers: tuple[int, ...], idle: tuple[int, ...] = ()) -> Any:
    """Nothing but the places of types; idle: those that make no replica."""
    none, q = np.zeros((len(covers), size)), np.array(covers)
    return Made(none, none, none, q, np.where(np.isin(np.arange(len(covers)), idle), 0.0, 1.0 / q))


def needs_of(rng: np.random.Generator, types: int, size: int, share: float) -> FloatArray:
    """Some hundred each; a share of all is more than a row can do, but each row can do some type."""
    spoiled = rng.random((types, size)) < share
    spoiled[rng.integers(0, types, size), np.arange(size)] = False
    return np.where(spoiled, math.inf, 1000.0 * rng.random((types, size)))


def lost_and_sum(needs: FloatArray, assignment: IntArray) -> tuple[int, float]:
    """How many rows cannot do their type, and what the others need."""
    own = needs[assignment, np.arange(needs.shape[1])]
    return int(np.isinf(own).sum()), float(own[np.isfinite(own)].sum())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8])
def test_of_the_partitions_near_the_cheapest_is_matched(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fewest rows that cannot do their type first; of some the prices tell that they are dearer."""
    menu, matched, all_near = menu_of(48, VARIED), list[IntArray](), 0

    def counted(costs: FloatArray, counts: IntArray) -> object:
        matched.append(counts)
        return transport(costs, counts)

    monkeypatch.setattr(closest, "transport", counted)
    for seed in range(6):
        needs = needs_of(np.random.default_rng(seed), len(VARIED), len(menu), share)
        near = closest._near(menu, needs, closest._NEAR)
        all_near += len(near)
        best = math.inf, math.inf
        for counts in near:
            truth = match(np.where(np.isinf(needs), 1e6, needs).T, counts)
            assert truth is not None
            best = min(best, lost_and_sum(needs, truth[0]))
        found = closest.closest_of(menu, needs, together=True, ordered=False)
        assert found is not None
        assert (np.bincount(found, minlength=len(VARIED)) == near).all(axis=1).any()
        assert lost_and_sum(needs, found) == (best[0], pytest.approx(best[1], rel=1e-12))
    assert len(matched) < 0.8 * all_near


@pytest.mark.parametrize("together", [True, False])
def test_of_sorted_matchings_near_each_is_tried(together: bool) -> None:
    menu = menu_of(12, (1, 2, 2, 1))
    for seed in range(6):
        needs = needs_of(np.random.default_rng(seed), 4, 12, 0.0)
        near = closest._near(menu, needs, closest._NEAR_SORTED)
        assert len(near) > closest._TRIES
        each = [needs[fill(counts, menu.types, menu.order), np.arange(12)] for counts in near]
        found = closest.closest_of(menu, needs, together=together, ordered=True)
        assert found is not None
        own = needs[found, np.arange(12)]
        assert (own.sum() if together else own.max()) == min(e.sum() if together else e.max() for e in each)


def test_a_row_that_cannot_do_its_type_is_worse_than_many_that_do_much() -> None:
    """One replica there must be: by thirty rows, or by one that cannot."""
    menu = menu_of(40, (30, 1, 1), idle=(2,))
    needs = np.zeros((3, 40))
    needs[0], needs[1] = 100.0, math.inf
    found = closest.closest_of(menu, needs, together=True, ordered=False)
    assert found is not None
    assert np.bincount(found, minlength=3).tolist() == [30, 0, 10]


def test_where_all_would_rather_idle_those_that_mind_least_make_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """In closed form: the least sum of so many differences, of a type that makes replicas; others are not forced."""
    forced, nearest = list[IntArray](), closest._nearest

    def spied(menu: Any, assignment: IntArray, many: int) -> IntArray:
        forced.append(assignment)
        return nearest(menu, assignment, many)

    monkeypatch.setattr(closest, "_nearest", spied)
    covers, chosen = (30, 12, 1, 1, 1, 1), set[int]()
    menu = menu_of(40, covers, idle=(2, 3, 4, 5))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        needs = rng.random((6, 40))
        needs[:2] += np.array([[1.0], [1.0 + 4.0 * rng.random()]]) + rng.exponential(0.5, (2, 40))
        least = needs.min(axis=0)
        extras = [float(np.sort(needs[k] - least)[: covers[k]].sum()) for k in (0, 1)]
        found = closest.closest_of(menu, needs, together=True, ordered=False)
        assert found is not None
        assert needs[found, np.arange(40)].sum() == pytest.approx(least.sum() + min(extras), rel=1e-12)
        assert [np.bincount(each, minlength=6)[:2].tolist() for each in forced] == [[0, 0], [30, 0], [0, 12]]
        forced.clear()
        chosen.add(int(np.argmin(extras)))
    assert chosen == {0, 1}


def test_the_soonest_matching_of_a_partition() -> None:
    """Of all there are: the least of the greatest times; where some row is late in each, the fewest."""
    every, have = assignments(3, 6)
    late = 0
    for seed, share in itertools.product(range(20), (0.0, 0.4, 0.7)):
        rng = np.random.default_rng(seed)
        needs, counts = needs_of(rng, 3, 6, share), np.bincount(rng.integers(0, 3, 6), minlength=3)
        capped = np.where(np.isinf(needs), 1e6, needs)
        each = needs[every[(have == counts).all(axis=1)], np.arange(6)]
        own = needs[closest._soonest(needs, capped, counts), np.arange(6)]
        assert own.max() == each.max(axis=1).min()
        assert np.isinf(own).sum() == np.isinf(each).sum(axis=1).min()
        late += math.isinf(own.max())
    assert 5 < late < 50


@pytest.mark.parametrize("covers", [(1, 1, 1), (1, 2, 4), (3, 2, 2), (2, 3, 5)])
def test_the_nearest_partitions_are_those_of_fewest_replicas_exchanged(covers: tuple[int, ...]) -> None:
    menu = menu_of(24, covers)
    whole = partitions(menu)
    for seed in range(10):
        assignment = np.random.default_rng(seed).choice(3, 24, p=(0.4, 0.3, 0.3))
        counts = np.bincount(assignment, minlength=3)
        far = np.sort((np.abs(whole - counts) / menu.covers).sum(axis=1))
        near = closest._nearest(menu, assignment, 4)
        assert (np.abs(near - counts) / menu.covers).sum(axis=1) == pytest.approx(far[:4])
        assert all((counts == whole).all(axis=1).any() for counts in near)
