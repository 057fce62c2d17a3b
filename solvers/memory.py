"""Large tables on large pages, whose memory goes to the next table of that size.

The system clears what it hands out, which takes as long as a sweep over it: a fleet of a million clients solved anew
each round spends a tenth of its time so.
"""

from __future__ import annotations

import weakref
from contextlib import suppress

import numpy as np

from solvers.rows import FloatArray

_PAGE = 1 << 18  # doubles of a page of 2 MiB
_MOST = 1 << 25  # doubles kept for tables to come


class _Loan(weakref.ref["_Room"]):
    """A table's memory: in _back once its room is gone."""

    __slots__ = ("memory",)

    memory: FloatArray


class _Room:
    """What all views of a table hold on to; gone when the last of them is."""

    __slots__ = ("__array_interface__", "__weakref__", "loan")

    def __init__(self, memory: FloatArray) -> None:
        self.__array_interface__ = memory.__array_interface__
        self.loan = _Loan(self, _back.append)
        self.loan.memory = memory


_back: list[_Loan] = []  # filled as tables end, by C code: no interrupt can fall between
_spare: dict[int, FloatArray] = {}  # by size


def table(count: int, size: int) -> FloatArray:
    """An uninitialised table (count, size).

    A large one begins where a large page may, so that the system can hand it out by 2 MiB instead of 4 KiB: the first
    touch of a small page costs as much as pricing forty rows.
    """
    needed = count * size
    if needed < _PAGE:
        return np.empty((count, size))
    _collect()
    memory = _spare.pop(needed, None)
    if memory is None:
        room = np.empty(max(needed + _PAGE, 2 * _PAGE))  # from 4 MiB on numpy asks for large pages
        first = -(room.__array_interface__["data"][0] // room.itemsize) % _PAGE
        memory = room[first : first + needed]
    if needed > _MOST:
        return memory.reshape(count, size)
    return np.asarray(_Room(memory)).reshape(count, size)


def _collect() -> None:
    """Take back what tables have left, one room of each size; what was left first goes where there is too much."""
    with suppress(IndexError):  # another thread may have taken the last
        while True:
            memory = _back.pop().memory
            _spare.pop(memory.size, None)
            _spare[memory.size] = memory
    for size in list(_spare):
        if sum(list(_spare)) <= _MOST:
            return
        _spare.pop(size, None)
