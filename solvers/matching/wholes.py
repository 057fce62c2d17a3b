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

    Those of more than ``most`` replicas are left out.
    """
    has = np.flatnonzero(counts)
    rest = int(has[np.lexsort((-counts[has], covers[has]))[0]])
    others = [k for k in np.argsort(-counts, kind="stable").tolist() if k != rest]
    steps = [
        range(-2, 3) if len(others) <= 3 else range(-1, 2) if i < _VARIED else range(1) for i in range(len(others))
    ]
    every = list(itertools.product(*steps))
    moves = np.array(every, dtype=np.int64).reshape(len(every), len(others))
    single = np.eye(len(others), dtype=np.int64)[_VARIED:]
    moves = np.vstack([moves, single, -single])
    near = np.zeros((len(moves), len(counts)), dtype=np.int64)
    near[:, others] = (counts[others] // covers[others] + moves) * covers[others]
    near[:, rest] = counts.sum() - near.sum(axis=1)
    replicas = near @ weights
    fits = (near >= 0).all(axis=1) & (near[:, rest] % covers[rest] == 0) & (replicas > 0.5) & (replicas < most + 1e-6)
    near, replicas = near[fits], np.rint(replicas[fits])
    far = (np.abs(near - counts) / covers).sum(axis=1)
    nearest: NDArray[np.int64] = near[np.lexsort((far, -replicas))]
    return nearest
