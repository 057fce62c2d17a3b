"""Level 1, who gets which type: one file per method, looked up by its literal name."""

from __future__ import annotations

from typing import Protocol

from solvers.lookup import Methods
from solvers.matching.task import Searched, Task


class Search(Protocol):
    """A method of level 1: a duration and an energy for every partition that can win."""

    def __call__(self, task: Task) -> Searched: ...


METHODS: Methods[Search] = Methods(
    "matching",
    {
        "exact": ("solvers.matching.exact", ""),
        "marginal": ("solvers.matching.marginal", ""),
        "sorted": ("solvers.matching.sorted", ""),
        "assignment": ("solvers.matching.assignment", ""),
        "milp": ("solvers.matching.milp", "baselines"),
        "random": ("solvers.matching.random", ""),
    },
    "search",
)
