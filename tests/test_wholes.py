"""The most whole replicas that so many rows of each type can make: against every partition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from made_up import drawn, unlisted_of

from solvers.matching import lookers, wholes
from solvers.matching.lookers import AllMatchings, SortedMatchings
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal


def by_hand(can: tuple[int, ...], covers: IntArray, weights: FloatArray, size: int) -> float:
    """Of all partitions with no more places of a type than rows can."""
    every = itertools.product(*(range(0, most + 1, cover) for most, cover in zip(can, covers.tolist(), strict=True)))
    return max((float(np.array(counts) @ weights) for counts in every if sum(counts) == size), default=-math.inf)


@pytest.mark.parametrize("covers", [(1,), (3,), (2, 3), (3, 1), (1, 2, 4), (5, 3, 2), (4, 2, 4, 6)])
def test_the_most_whole_replicas(covers: tuple[int, ...]) -> None:
    """Also of types of no work, which make none; -inf where the rows do not fill up."""
    rng, q, found = np.random.default_rng(len(covers)), np.array(covers), []
    for size in (1, 2, 7, 12, 13):
        for idle in (-1, 0):
            weights: FloatArray = np.where(np.arange(len(q)) == idle, 0.0, 1.0 / q)
            for _ in range(20):
                can = tuple(rng.integers(0, size + 1, len(q)).tolist())
                most = wholes.most_whole(tuple((np.array(can) // q).tolist()), q, weights, size)
                assert most == pytest.approx(by_hand(can, q, weights, size), abs=1e-12)
                found.append(most)
    assert -math.inf in found
    assert max(found) >= 1.0


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.PRICE])
@pytest.mark.parametrize("seed", range(4))
def test_a_look_knows_them_for_all_that_ends_by_then(seed: int, goal: Goal, monkeypatch: pytest.MonkeyPatch) -> None:
    """By how many rows can do a type in time; found once for as many rows; of very many rows nothing is said."""
    menu, asked = drawn(seed, 7, (1, 2, 3)), list[tuple[int, ...]]()
    task, most_whole = unlisted_of(menu, goal, 1e9), lookers.most_whole

    def counted(most: tuple[int, ...], *rest: object) -> float:
        asked.append(most)
        return most_whole(most, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lookers, "most_whole", counted)
    for looker in (AllMatchings(task), SortedMatchings(task, menu.order)):
        for T in (1.0, 1.5, 2.0, 2.0, 2.5, 3.0, 4.0, 5.0):
            can = tuple(menu.can(T).sum(axis=1).tolist())
            truth = by_hand(can, menu.covers, menu.weights, 7)
            assert looker.look(T).in_whole == pytest.approx(truth, abs=1e-12)
        assert all(one != other for one, other in itertools.pairwise(asked))
        asked.clear()
    monkeypatch.setattr(lookers, "_MANY", 7)
    assert math.isfinite(AllMatchings(task).look(5.0).in_whole)
    monkeypatch.setattr(lookers, "_MANY", 6)
    assert AllMatchings(task).look(5.0).in_whole == math.inf


def every(covers: IntArray, size: int) -> IntArray:
    """All partitions of whole replicas."""
    counts = np.array(list(itertools.product(*(range(0, size + 1, cover) for cover in covers[:-1].tolist()))))
    rest = size - counts.sum(axis=1)
    whole: IntArray = np.column_stack((counts, rest))[(rest >= 0) & (rest % covers[-1] == 0)]
    return whole


@pytest.mark.parametrize("largest", [2, 4, 6, 9, 30])
def test_the_nearest_whole_replicas_of_all_there_are(largest: int) -> None:
    """By the replicas moved from those next to the counts; none where no partition is whole."""
    rng, moved = np.random.default_rng(largest), list[float]()
    for _ in range(60):
        size, covers = int(rng.integers(1, 41)), rng.integers(1, largest + 1, int(rng.integers(2, 5)))
        counts = rng.multinomial(size, rng.dirichlet(np.full(len(covers), 0.5)))
        whole, given = every(covers, size), counts.copy()
        found = wholes.nearest_whole(counts, covers)
        assert counts.tolist() == given.tolist()
        assert found.shape == (min(len(whole), 1), len(covers))
        if len(whole):
            assert (whole == found).all(axis=1).any()
            near = np.floor(counts / covers + 0.5)
            far = np.abs(np.vstack([found, whole]) / covers - near).sum(axis=1)
            assert far[0] == pytest.approx(far.min())
            moved.append(float(far.min()))
    assert max(moved) > 2.0 or largest == 2


@pytest.mark.parametrize(
    "covers", [(3, 3, 3, 3, 4), (6, 10, 15, 6, 10), (4, 4, 6, 4, 9), (5, 5, 5, 7, 5, 5), (8, 8, 8, 8, 3)]
)
def test_near_any_counts_there_are_whole_replicas_if_there_are_any(covers: tuple[int, ...]) -> None:
    """Also of types that no row is in."""
    rng, q, found = np.random.default_rng(sum(covers)), np.array(covers), list[bool]()
    for size, present in itertools.product((37, 38, 41, 60), (1, 2, len(q))):
        whole = every(q, size)
        for _ in range(4):
            counts = np.zeros(len(q), dtype=np.int64)
            counts[rng.permutation(len(q))[:present]] = rng.multinomial(size, np.full(present, 1.0 / present))
            near = wholes.whole_counts(counts, q, 1.0 / q, math.inf)
            assert (len(near) > 0) is (len(whole) > 0)
            assert all((whole == each).all(axis=1).any() for each in near)
            found.append(len(whole) > 0)
    assert True in found


def test_one_type_alone_is_moved_by_as_many_as_the_rest_asks() -> None:
    """The fewest, either way, against all; so of 500 in threes and nobody in fours there are two fours, of either."""
    for left, cover, other in itertools.product(range(13), range(1, 13), range(1, 13)):
        more = [by for by in range(1, 13) if (left - by * other) % cover == 0]
        fewer = [by for by in range(-1, -13, -1) if (left - by * other) % cover == 0]
        assert wholes._alone(left, cover, other) == [*more[:1], *fewer[:1]]
    counts, covers = np.array([0, 0, 500, 0, 0, 0]), np.array([1, 4, 3, 4, 3, 4])
    near = wholes.whole_counts(counts, covers, 1.0 / covers, math.inf).tolist()
    for two in ([0, 8, 492, 0, 0, 0], [0, 0, 492, 8, 0, 0], [0, 0, 492, 0, 0, 8]):
        assert two in near
    counts, covers = np.array([0, 0, 500, 0, 4]), np.array([3, 3, 3, 3, 4])
    assert [0, 0, 492, 0, 12] in wholes.whole_counts(counts, covers, 1.0 / covers, math.inf).tolist()
