"""A stable argsort for kernels."""

from __future__ import annotations

from solvers.compile import stage
from solvers.menu import IntArray
from solvers.rows import FloatArray


@stage
def argsort(keys: FloatArray, order: IntArray) -> None:
    """Sort the indices in ``order`` by their keys, equals left as they stand: bottom-up merge sort."""
    n = order.shape[0]
    source, target = order.copy(), order
    width = 1
    while width < n:
        for start in range(0, n, 2 * width):
            middle, end = min(start + width, n), min(start + 2 * width, n)
            left, right = start, middle
            for at in range(start, end):
                if left < middle and (right >= end or keys[source[left]] <= keys[source[right]]):
                    target[at] = source[left]
                    left += 1
                else:
                    target[at] = source[right]
                    right += 1
        source, target = target, source
        width *= 2
    if width == 1:
        return
    for at in range(n):
        order[at] = source[at]
