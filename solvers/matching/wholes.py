"""Partitions whose types have places for whole replicas: the most replicas there can be, and those near some counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from solvers.menu import IntArray
from solvers.rows import FloatArray

_VARIED = 6  # types whose counts are rounded up as well as down


def most_whole(most: tuple[int, ...], covers: IntArray, weights: FloatArray, size: int) -> float:
    """The most replicas of a partition of ``size`` places, of each type at most ``most`` (K,) times its cover of them.

    -inf where there is none.
    """
    best = np.full(size + 1, -math.inf)  # over the types so far, of each number of places
    best[0] = 0.0
    for times, cover, weight in zip(most, covers.tolist(), weights.tolist(), strict=True):
        for part in _parts(times):
            places = part * cover
            if places <= size:
                best[places:] = np.maximum(best[places:], best[: size + 1 - places] + places * weight)
    return float(best[size])


def _parts(number: int) -> list[int]:
    """1, 2, 4, ... and the rest: some of them sum up to any number up to this one."""
    powers = [1 << bit for bit in range((number + 1).bit_length() - 1)]
    return [*powers, number - sum(powers)]


def whole_counts(counts: IntArray, covers: IntArray, weights: FloatArray, most: float) -> NDArray[np.int64]:
    """Partitions of whole replicas near some counts, (Q, K): of most replicas first, of as many the nearest first.

    Those of more than ``most`` replicas are left out. Where few moves lead to none, the nearest one is there.
    """
    has = np.flatnonzero(counts)
    rest = int(has[np.lexsort((-counts[has], covers[has]))[0]])
    others = [k for k in np.argsort(-counts, kind="stable").tolist() if k != rest]
    below = counts[others] // covers[others]
    moves = _moves(int(counts.sum() - below @ covers[others]), int(covers[rest]), covers[others].tolist())
    near = np.zeros((len(moves), len(counts)), dtype=np.int64)
    near[:, others] = (below + moves) * covers[others]
    near[:, rest] = counts.sum() - near.sum(axis=1)
    near = near[(near >= 0).all(axis=1) & (near[:, rest] % covers[rest] == 0)]
    near = near if len(near) else nearest_whole(counts, covers)
    replicas = near @ weights
    fits = (replicas > 0.5) & (replicas < most + 1e-6)
    near, replicas = near[fits], np.rint(replicas[fits])
    far = (np.abs(near - counts) / covers).sum(axis=1)
    found: NDArray[np.int64] = near[np.lexsort((far, -replicas))]
    return found


def _moves(left: int, cover: int, others: list[int]) -> NDArray[np.int64]:
    """Replicas that types of covers ``others`` are moved by, (Q, K - 1): all by few, and one alone by as many as leave
    whole replicas of a cover of the places left by them.
    """
    few = 2 if len(others) <= 3 else 1
    steps = [range(-few, few + 1) if i < _VARIED else range(1) for i in range(len(others))]
    moves = list(itertools.product(*steps))
    for i, other in enumerate(others):
        alone = [by for by in _alone(left, cover, other) if by not in steps[i]]
        moves += [(0,) * i + (by,) + (0,) * (len(others) - 1 - i) for by in alone]
    return np.array(moves, dtype=np.int64).reshape(len(moves), len(others))


def _alone(left: int, cover: int, other: int) -> list[int]:
    """The fewest replicas of another cover, more and fewer, that leave places which a cover divides, if any do."""
    divisor = math.gcd(cover, other)
    turn = cover // divisor  # so many leave as many over again
    more = left // divisor * pow(other // divisor, -1, turn) % turn
    return [] if left % divisor else [more or turn, more - turn]


def nearest_whole(counts: IntArray, covers: IntArray) -> NDArray[np.int64]:
    """A partition, (1, K), by the fewest replicas moved from whole ones next to some counts; (0, K): there is none.

    None of those moved sum up to no places, or it would be fewer without them. In an order that keeps what is moved so
    far within a cover of what is to be made up for, it is another sum each time. So they are few, and those more, as
    those fewer, have no more than ``wide`` places.
    """
    near, largest = (counts + covers // 2) // covers, int(covers.max())
    amiss = int(counts.sum() - near @ covers)
    wide = min(2 * int(counts.sum()), largest * (largest + abs(amiss)))
    fewest, ways = np.full(2 * wide + 1, math.inf), list[tuple[int, int, NDArray[np.bool_]]]()  # for places -wide, ...
    fewest[wide] = 0.0
    for k, cover in enumerate(covers.tolist()):
        for part in (*_parts(wide // cover), *(-down for down in _parts(min(int(near[k]), wide // cover)))):
            by, moved = part * cover, np.full(len(fewest), math.inf)
            start, end = max(0, -by), len(fewest) - max(0, by)
            moved[start + by : end + by] = fewest[start:end] + abs(part)
            ways.append((k, part, moved < fewest))
            fewest = np.minimum(fewest, moved)
    at = wide + amiss
    if fewest[at] == math.inf:
        return np.zeros((0, len(counts)), dtype=np.int64)
    for k, part, better in reversed(ways):
        if better[at]:
            near[k], at = near[k] + part, at - part * int(covers[k])
    found: NDArray[np.int64] = near[None, :] * covers
    return found
