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
