"""Large tables on large pages."""

from __future__ import annotations

import numpy as np

from solvers.rows import FloatArray

_PAGE = 1 << 18  # doubles of a page of 2 MiB


def table(count: int, size: int) -> FloatArray:
    """An uninitialised table (count, size).

    A large one begins where a large page may, so that the system can hand it out by 2 MiB instead of 4 KiB: the first
    touch of a small page costs as much as pricing forty rows.
    """
    needed = count * size
    if needed < _PAGE:
        return np.empty((count, size))
    room = np.empty(max(needed + _PAGE, 2 * _PAGE))  # from 4 MiB on numpy asks for large pages
    first = -(room.__array_interface__["data"][0] // room.itemsize) % _PAGE
    return room[first : first + needed].reshape(count, size)
