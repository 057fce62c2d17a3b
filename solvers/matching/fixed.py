"""Duration and energy of given matchings, one after another: a compiled search over the menu's table.

For a few thousand rows the arrays around level 2 cost more than the search itself; here they are made once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from solvers.cached import cached_property
from solvers.matching.ordered import Room, solve_partitions
from solvers.matching.task import DURATION, ENERGY, Task, empty_results
from solvers.menu import IntArray, Menu
from solvers.rows import Goal

_ENTRIES = 1 << 20  # of the menu's table, up to which this pays


class Fixed:
    """Level 2 for assignments of one menu."""

    def __init__(self, menu: Menu) -> None:
        self._menu = menu
        self._rank = np.empty(len(menu.rows), dtype=np.int64)
        self._rank[menu.types] = np.arange(len(menu.rows))

    @cached_property
    def _room(self) -> Room:
        return Room.of(len(self._menu))

    @property
    def pays(self) -> bool:
        """The menu is small."""
        return len(self._menu) * len(self._menu.rows) * 14 <= _ENTRIES

    def duration(self, assignment: IntArray, goal: Goal, value: float) -> tuple[float, float]:
        """Duration and energy of a matching for a goal; inf where it has none."""
        menu, results = self._menu, empty_results(1)
        order = np.argsort(self._rank[assignment], kind="stable")[None, :]
        counts = np.bincount(assignment, minlength=len(menu.rows))[None, :]
        solve_partitions(
            menu.table, menu.kinds, menu.priced, counts, menu.types, order, False, int(goal), value,
            np.zeros(0), np.zeros(3), 0, 1, results, *self._room.arrays,
        )  # fmt: skip
        T, E = float(results[0, DURATION]), float(results[0, ENERGY])
        return (T, E) if math.isfinite(T) else (math.inf, math.inf)


def root_of(task: Task) -> Callable[[IntArray], tuple[float, float]]:
    """Duration and energy of a matching (N,) for the task's goal, inf where it has none: the quickest way."""
    fixed = Fixed(task.menu)
    if task.default and fixed.pays:
        return lambda assignment: fixed.duration(assignment, task.goal, task.value)
    return lambda assignment: duration_of(task, assignment)


def duration_of(task: Task, assignment: IntArray) -> tuple[float, float]:
    """The same by the task's own methods of levels 2 and 3."""
    timing = task.find_duration(task.menu.rows_of(assignment), task.goal, task.value, task.allocate)
    return (math.inf, math.inf) if timing.point is None else (timing.duration, float(timing.point.energy.sum()))
