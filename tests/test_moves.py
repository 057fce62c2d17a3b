"""Heaps of moves by themselves: what enters them, what comes to their tops, and when they are built anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tasks import plain

from solvers.matching import moves
from solvers.menu import IntArray
from solvers.rows import FloatArray

KINDS, ROWS = 3, 40
PAIRS = [(k, l) for k in range(KINDS) for l in range(KINDS) if k != l]


class Heaps:
    """Heaps of made-up rows: costs with ties, some rows that cannot take some types."""

    def __init__(self, seed: int, limit: float = math.inf, room: int = ROWS) -> None:
        rng = np.random.default_rng(seed)
        self.costs: FloatArray = rng.integers(0, 12, (KINDS, ROWS)).astype(float)
        self.assignment: IntArray = rng.integers(0, KINDS, ROWS)
        own = np.arange(KINDS)[:, None] == self.assignment
        self.costs[(rng.random(self.costs.shape) < 0.15) & ~own] = np.inf
        self.limit = np.full(KINDS * KINDS, limit)
        self.heaps = np.full((KINDS * KINDS, room), -1, dtype=np.int32)
        self.sizes = np.zeros(KINDS * KINDS, dtype=np.int64)
        self.step = np.full((KINDS, KINDS), np.nan)

    def build(self) -> None:
        plain(moves.build_all)(self.costs, self.assignment, self.limit, self.heaps, self.sizes)

    def refresh(self, k: int) -> None:
        plain(moves.refresh)(self.costs, self.assignment, self.limit, self.heaps, self.sizes, self.step, k)

    def push(self, k: int, l: int, n: int) -> None:
        plain(moves.push)(self.costs, self.assignment, self.heaps, self.sizes, k, l, n)

    def key(self, k: int, l: int, n: int) -> tuple[float, int]:
        """What a move costs; of equal ones the first row's comes first."""
        return float(self.costs[l, n] - self.costs[k, n]), n

    def moves(self, k: int, l: int, limit: float = math.inf) -> list[tuple[float, int]]:
        """All possible ones of the rows that are of type k now, up to a limit."""
        all_ = [self.key(k, l, int(n)) for n in np.flatnonzero(self.assignment == k)]
        return sorted(key for key in all_ if key[0] < math.inf and key[0] <= limit)

    def within(self, k: int, l: int) -> list[tuple[float, int]]:
        """What a heap holds; no entry comes after those below it."""
        h = k * KINDS + l
        heap = [self.key(k, l, int(n)) for n in self.heaps[h, : self.sizes[h]]]
        assert all(heap[(at - 1) // 2] <= heap[at] for at in range(1, len(heap)))
        return sorted(heap)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [math.inf, 2.0, -3.0, -100.0])
def test_a_heap_holds_all_moves_up_to_its_limit_the_cheapest_first(seed: int, limit: float) -> None:
    heaps = Heaps(seed, limit)
    heaps.build()
    for k, l in PAIRS:
        assert heaps.within(k, l) == heaps.moves(k, l, limit)
    assert not heaps.sizes[:: KINDS + 1].any()  # nobody moves to where it is


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [math.inf, 2.0, -3.0])
def test_one_after_another_the_cheapest_moves_come_to_the_top(seed: int, limit: float) -> None:
    """Until nobody is left; a heap with a limit is completed when, and not before, nothing within it is left."""
    rng = np.random.default_rng(seed)
    heaps = Heaps(seed, limit)
    heaps.build()
    for _ in range(3 * ROWS):
        k, l = PAIRS[int(rng.integers(len(PAIRS)))]
        cut = heaps.limit.copy()
        heaps.refresh(k)
        for other in range(KINDS):
            left = [] if other == k else heaps.moves(k, other)
            assert heaps.step[k, other] == (left[0][0] if left else math.inf)
            if other != k:
                h = k * KINDS + other
                used_up = not heaps.moves(k, other, cut[h])
                assert heaps.limit[h] == (math.inf if used_up else cut[h])
                assert heaps.heaps[h, 0] == left[0][1] if left else heaps.sizes[h] == 0
        if heaps.step[k, l] < math.inf:
            n = int(heaps.heaps[k * KINDS + l, 0])
            heaps.assignment[n] = l if seed % 2 and rng.random() < 0.7 else -1  # to the other type, or away
            for other in range(KINDS):
                if other != l and heaps.assignment[n] == l and heaps.costs[other, n] < math.inf:
                    heaps.push(l, other, n)
                    assert heaps.key(l, other, n) in heaps.within(l, other)


def test_who_has_left_stays_until_it_comes_to_the_top() -> None:
    """Nobody is looked for below the top: ten rows, the cheapest and the dearest of which have left."""
    heaps = Heaps(0)
    heaps.costs[:] = 50.0
    heaps.costs[1, :10], heaps.assignment[:] = np.arange(10.0), 2
    heaps.assignment[:10] = 0
    heaps.build()
    heaps.assignment[[0, 1, 9]] = 2
    heaps.refresh(0)
    assert heaps.step[0, 1] == 2.0 - 50.0
    assert [n for _, n in heaps.within(0, 1)] == [2, 3, 4, 5, 6, 7, 8, 9]


def test_a_full_heap_is_built_anew_of_those_who_are_there() -> None:
    """Room for six: of them four have left; the others are not dropped before."""
    heaps = Heaps(1, room=6)
    heaps.costs[:], heaps.assignment[:] = 1.0, 2
    heaps.costs[1, :8] = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, np.inf]
    for n in range(5):
        heaps.assignment[n] = 0
        heaps.push(0, 1, n)
        assert [m for _, m in heaps.within(0, 1)] == list(range(n, -1, -1))
    heaps.assignment[:4] = 2
    heaps.assignment[5] = 0
    heaps.push(0, 1, 5)
    assert heaps.sizes[1] == 6
    heaps.assignment[[6, 7]] = 0  # the last can do nothing else
    heaps.push(0, 1, 6)
    assert [n for _, n in heaps.within(0, 1)] == [6, 5, 4]
    assert heaps.sizes.tolist() == [0, 3, *[0] * 7]


@pytest.mark.parametrize(("size", "limited"), [(4 * moves.SAMPLE - 1, False), (4 * moves.SAMPLE, True)])
def test_limits_come_from_a_sample_of_large_fleets(size: int, limited: bool) -> None:
    """A twentieth of the way from the cheapest move to the average one, where there are more than a hundred."""
    rng = np.random.default_rng(4)
    costs, assignment = rng.random((2, size)), np.zeros(size, dtype=np.int64)
    costs[0] *= 0.25
    seen = np.arange(0, size, 4)
    assignment[seen[:102]], costs[0, seen[0]] = 1, np.inf  # 102 are of type 1, 101 can move
    limit = plain(moves.limits_of_moves)(costs, assignment)
    keys = [(costs[1] - costs[0])[seen[102:]], (costs[0] - costs[1])[seen[1:102]]]
    expected = [key.min() + (key.mean() - key.min()) / 20.0 for key in keys]
    assert limit.tolist() == pytest.approx([math.inf, *expected, math.inf] if limited else [math.inf] * 4)
    costs[0, seen[1]] = np.inf  # and now a hundred
    assert plain(moves.limits_of_moves)(costs, assignment)[2] == math.inf
