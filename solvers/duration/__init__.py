"""Level 2, the duration for a goal: one file per method, looked up by its literal name."""

from __future__ import annotations

from typing import Protocol

from solvers.lookup import Methods
from solvers.rows import Allocate, Goal, Rows, Timing


class FindDuration(Protocol):
    """A method of level 2: the duration that meets a goal, with level 3 priced by ``allocate``."""

    def __call__(self, rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing: ...


METHODS: Methods[FindDuration] = Methods(
    "timing",
    {
        "newton": ("solvers.duration.newton", ""),
        "bisection": ("solvers.duration.bisection", ""),
        "cvxpy": ("solvers.duration.cvxpy", "baselines"),
    },
    "schedule",
)
