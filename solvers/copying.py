"""Columns copied and looked at in one go, over threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.compile import kernel
from solvers.rows import FloatArray
from solvers.threads import each_chunk

_BLOCK = 256  # numbers of a column: a chunk of each_chunk is some 30,000


def copied(arrays: Sequence[FloatArray], rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Copy M contiguous arrays (N,) into ``rows`` (M, N); the least and the greatest number of each, shapes (M,).

    They are right where all are 0 or greater. A negative number, -0.0 too, makes the least one negative; a NaN makes
    the least one negative or the greatest one NaN.
    """
    sources, targets = [array.view(np.int64) for array in arrays], list(rows.view(np.int64))
    for source in sources:
        source.flags.writeable = False  # all of one type for the compiler

    def work(first: int, last: int) -> list[tuple[int, int]]:
        part = slice(first * _BLOCK, last * _BLOCK)
        return [_copy(source[part], target[part]) for source, target in zip(sources, targets, strict=True)]

    spans = np.array(each_chunk(work, -(-rows.shape[1] // _BLOCK)))  # (chunks, M, 2)
    return spans[:, :, 0].min(0).view(np.float64), spans[:, :, 1].max(0).view(np.float64)


@kernel
def _copy(source: NDArray[np.int64], target: NDArray[np.int64]) -> tuple[int, int]:
    """Copy doubles as the whole numbers their bits are: in the same order where none is negative; the span of these.

    Whole numbers, as their least and greatest are found in vectors; of doubles NaN forbids it.
    """
    least, greatest = source[0], source[0]
    for i in range(source.shape[0]):
        bits = source[i]
        target[i] = bits
        least, greatest = min(least, bits), max(greatest, bits)
    return least, greatest
