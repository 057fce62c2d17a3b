"""Columns copied and looked at in one go, over threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import BLOCK
from solvers.compile import kernel
from solvers.plan import frozen
from solvers.rows import FloatArray
from solvers.threads import each_chunk


def copied(arrays: Sequence[FloatArray], rows: FloatArray) -> FloatArray:
    """Copy M contiguous arrays (N,) into ``rows`` (M, N); the least and the greatest number of each, shape (2, M).

    They are right where all are 0 or greater. A negative number, -0.0 too, makes the least one negative; a NaN makes
    the least one negative or the greatest one NaN.
    """
    sources = [frozen(array) for array in arrays]

    def work(first: int, last: int) -> NDArray[np.int64]:
        spans = np.empty((2, len(sources)), dtype=np.int64)
        for j, source in enumerate(sources):
            _copy(source, rows, j, first * BLOCK, min(last * BLOCK, rows.shape[1]), spans)
        return spans

    first, *others = each_chunk(work, -(-rows.shape[1] // BLOCK))
    for spans in others:
        np.minimum(first[0], spans[0], out=first[0])
        np.maximum(first[1], spans[1], out=first[1])
    return first.view(np.float64)


def extremes(rows: FloatArray) -> FloatArray:
    """The least and the greatest number of each row (M, N), shape (2, M), right where copied()'s are."""
    spans = np.empty((2, rows.shape[0]), dtype=np.int64)
    _extremes(rows, spans)
    return spans.view(np.float64)


@kernel
def _copy(source: FloatArray, rows: FloatArray, j: int, first: int, last: int, spans: NDArray[np.int64]) -> None:
    """Copy numbers first..last-1 of a column to row j; their least and greatest one to column j of ``spans`` (2, M).

    Doubles as the whole numbers their bits are: in the same order where none is negative. Whole numbers, as their least
    and greatest are found in vectors; of doubles NaN forbids it.
    """
    given, target = source[first:last].view(np.int64), rows[j, first:last].view(np.int64)
    least, greatest = given[0], given[0]
    for i in range(given.shape[0]):
        bits = given[i]
        target[i] = bits
        least, greatest = min(least, bits), max(greatest, bits)
    spans[0, j], spans[1, j] = least, greatest


@kernel
def _extremes(rows: FloatArray, spans: NDArray[np.int64]) -> None:
    """The least and greatest numbers of ``rows`` (M, N) to ``spans`` (2, M), as _copy() finds them."""
    for j in range(rows.shape[0]):
        bits = rows[j].view(np.int64)
        least, greatest = bits[0], bits[0]
        for i in range(bits.shape[0]):
            least, greatest = min(least, bits[i]), max(greatest, bits[i])
        spans[0, j], spans[1, j] = least, greatest
