"""What level 1 is asked, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.duration import FindDuration
from solvers.rows import Allocate, FloatArray, Goal, Limits, Rows

if TYPE_CHECKING:
    from solvers.matching.hall import Crowd
    from solvers.menu import Menu

IntArray = NDArray[np.int64]

RESULTS = 5
DURATION, ENERGY, STOPPED, LEAST_TIME, LEAST_ENERGY = range(RESULTS)  # columns of a result
SCREENED = 0.0  # in STOPPED: proved unable to win, not solved

Progress = Callable[[int, int, float], None]

_DENSE = 1 << 26  # entries of the menu's table (half a gigabyte) up to which the compiled loop may use it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Partitions to search, counts (P, K), and how.

    gains (P,) or None: where the utility of a partition is gain / T, so that those that cannot win need not be solved.
    listed: the partitions are a list, not all there are. seed: for what is random.
    find_duration, allocate: the methods of levels 2 and 3; default: they are the compiled ones.
    progress(done, total, best): called now and then. incumbent (N,) or None: an assignment that may be good.
    limits: least duration and energy of rows that share something; None where every row is on its own.
    """

    menu: Menu
    counts: IntArray
    goal: Goal
    value: float
    gains: FloatArray | None
    listed: bool
    seed: int
    find_duration: FindDuration
    allocate: Allocate
    default: bool
    progress: Progress
    incumbent: IntArray | None = None
    limits: Callable[[Rows], Limits] | None = None

    def quiet(self) -> Task:
        """The same task without reports of progress, for a search before the search."""
        return dataclasses.replace(self, progress=lambda done, total, best: None)

    @property
    def compiled(self) -> bool:
        """The loop over partitions can run compiled: default methods below, several partitions, a table that fits."""
        entries = len(self.menu) * self.counts.shape[1] * 14
        return self.default and self.counts.shape[0] > 1 and entries <= _DENSE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """What a method of level 1 found for P partitions.

    results (P, 5): duration [s], energy [J] (NaN where there is none), Stop (SCREENED: proved unable to win), least
    duration [s] and least energy [J] of the matchings looked at. passes: level-3 passes over all rows.
    assign(p) is the assignment (N,) behind row p. proved: no partition has a better matching than the best one here.
    lower (P,) [s] bounds the duration of every matching of a partition from below, or [J] the cost at a price; None
    where nothing is proved. crowds: where nothing was found, why no matching of a partition is shorter, by its row.
    """

    results: FloatArray
    passes: int
    assign: Callable[[int], IntArray]
    proved: bool = False
    lower: FloatArray | None = None
    crowds: Mapping[int, Crowd] = dataclasses.field(default_factory=dict)


def empty_results(partitions: int) -> FloatArray:
    """Results before anything is found."""
    results = np.full((partitions, RESULTS), np.nan)
    results[:, STOPPED] = SCREENED
    return results
