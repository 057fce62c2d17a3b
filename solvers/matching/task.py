"""What level 1 is asked, and what it answers."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvers.duration import FindDuration
from solvers.rows import Allocate, FloatArray, Goal, Limits, Rows

if TYPE_CHECKING:
    from solvers.matching.hall import Crowd
    from solvers.menu import Menu

IntArray = NDArray[np.int64]

RESULTS = 6
DURATION, ENERGY, STOPPED, LEAST_TIME, LEAST_ENERGY, NEEDED = range(RESULTS)  # columns of a result
OPEN = 1e-9  # relative: what is left open of a duration is in the bound of the utility from there on
SCREENED = 0.0  # in STOPPED: proved unable to win, not solved

Progress = Callable[[int, int, float], None]

_DENSE = 1 << 26  # entries of the menu's table (half a gigabyte) up to which the compiled loop may use it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Partitions to search, counts (P, K), and how.

    gains (P,) or None: where the utility of a partition is gain / T, so that those that cannot win need not be solved.
    power: gain is (replicas)^power. thrifty: the utility is -E; neither: it is anything, and gains is None.
    listed: the partitions are a list, not all there are. P = 0: there are too many to list. seed: for what is random.
    find_duration, allocate: the methods of levels 2 and 3; default: they are the compiled ones.
    progress(done, total, best): called now and then. incumbent (N,) or None: an assignment that may be good.
    limits: least duration and energy of rows that share something; None where every row is on its own.
    until: when to stop, on the clock of time.perf_counter() [s]. gap: relative, how far below its bound a search of
    partitions too many to list may end.
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
    power: float = 1.0
    thrifty: bool = False
    until: float = math.inf
    gap: float = 0.0

    @property
    def late(self) -> bool:
        """The time is up."""
        return self.until < math.inf and time.perf_counter() >= self.until

    def part(self, rows: IntArray) -> Task:
        """The task with some of its partitions."""
        gains = None if self.gains is None else self.gains[rows]
        return dataclasses.replace(self, counts=self.counts[rows], gains=gains)

    def quiet(self) -> Task:
        """The same task without reports of progress, for a search before the search."""
        return dataclasses.replace(self, progress=lambda done, total, best: None)

    @property
    def compiled(self) -> bool:
        """The loop over partitions can run compiled: default methods below, several partitions, a table that fits."""
        entries = len(self.menu) * self.counts.shape[1] * 14
        return self.default and self.counts.shape[0] > 1 and entries <= _DENSE


class Proof(Enum):
    """Which answers a proof is about."""

    NONE = "nothing"
    MATCHINGS = "all matchings"
    SORTED = "sorted matchings"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """What a method of level 1 found for P partitions.

    results (P, 6): duration [s], energy [J] (NaN where there is none), Stop (SCREENED: proved unable to win), least
    duration [s] and least energy [J] of the matchings looked at, the duration [s] it had to beat. passes: level-3
    passes over all rows; matchings: best matchings solved. assign(p) is the assignment (N,) behind row p.
    proof: what no other answer can beat: of all matchings of all partitions, or of their sorted matchings only. It
    proves the best one here to be the best, or else that no utility (gain / T, or -E) is above ``ceiling``.
    lower (P,) bounds every matching of a partition from below, where any bound is known: its duration [s], or its cost
    [J] at a price of time. stopped: the time was up. counts (P, K): the partitions of the rows where the task lists
    none. crowds: where nothing was found, why no matching of a partition is shorter, by its row.
    """

    results: FloatArray
    passes: int
    assign: Callable[[int], IntArray]
    proof: Proof = Proof.NONE
    lower: FloatArray | None = None
    matchings: int = 0
    ceiling: float | None = None
    stopped: bool = False
    counts: IntArray | None = None
    crowds: Mapping[int, Crowd] = dataclasses.field(default_factory=dict)

    def assignments(self) -> dict[int, IntArray]:
        """Behind every row; of a search that was stopped, behind those that have an answer."""
        known = np.isfinite(self.results[:, DURATION]) | (not self.stopped)
        return {p: self.assign(p) for p in np.flatnonzero(known).tolist()}


def empty_results(partitions: int) -> FloatArray:
    """Results before anything is found."""
    results = np.full((partitions, RESULTS), np.nan)
    results[:, STOPPED] = SCREENED
    return results
