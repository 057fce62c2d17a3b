"""Answers that come back from a user: made or changed by hand, or of another problem, and told so as at the door."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedopt.access import Sharing
from fedopt.checks import InputError, array_of, kind, real
from fedopt.problem import Problem
from fedopt.solution import Allocation, Rule, Schedule, Solution, Status, Verdict
from fedopt.submodels import Partition

_NONE = type(None)
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "status": (Status, "a Status"),
    "reason": (str, "text"),
    "scope": (str, "text"),
    "allocation": ((Allocation, _NONE), "an Allocation, or None"),
    "verdict": ((Verdict, _NONE), "a Verdict, or None"),
    "partition": ((Partition, _NONE), "a Partition, or None"),
    "assignment": ((np.ndarray, _NONE), "an array, a type index per client, or None"),
    "place_prices": ((np.ndarray, _NONE), "an array, a number per type, or None"),
    "sharing": ((Sharing, _NONE), "a Sharing, or None"),
    "paper": ((Rule, _NONE), "a Rule, or None"),
    "clients": (tuple, "a tuple of client indices"),
    "violations": (tuple, "a tuple of texts"),
    "bracket": (tuple, "a tuple of two numbers"),
    "cost_bracket": (tuple, "a tuple of two numbers"),
}
_ARRAYS = {"feasible": ("b", "booleans"), "assignment": ("iu", "whole numbers")}  # kinds of dtype, and in words
_PAIRS = ("bracket", "cost_bracket")
_NUMBERS = (
    "duration", "energy", "utility", "bound", "shortfall", "violation",
    "time_price", "bandwidth_price", "compute_end", "residual", "gap",
)  # fmt: skip


def check_answer(name: str, answer: Any, of: type[Schedule | Solution]) -> None:
    """Raise InputError unless this is a Schedule or Solution whose fields are of the kinds that its class says: numbers
    that a double holds, and arrays of them without a masked entry."""
    kind(name, answer, of, f"a {of.__name__}")
    parts = [answer.verdict, answer.sharing, getattr(answer, "paper", None)]
    for each in (answer, *(part for part in parts if isinstance(part, Verdict | Sharing | Rule))):
        for field in each.__slots__:
            where, value = f"{type(each).__name__}.{field}", getattr(each, field)
            if field in _KINDS:
                kind(where, value, *_KINDS[field])
            pair = field in _PAIRS
            if pair and len(value) != 2:
                raise InputError(where, "a tuple of two numbers", f"{len(value)} of them")
            for entry in value if pair else [value] if field in _NUMBERS else []:
                real(where, entry)
    for each in (answer, answer.allocation, answer.sharing):
        for field in () if each is None else each.__slots__:
            value = getattr(each, field)
            if isinstance(value, np.ndarray):
                array_of(f"{type(each).__name__}.{field}", value, *_ARRAYS.get(field, ("iuf", "real numbers")))


def check_answer_of(problem: Any, solution: Any) -> None:
    """Raise InputError unless this is a Problem, and a Solution that may be of its clients and types."""
    kind("problem", problem, Problem, "a Problem")
    check_answer("solution", solution, Solution)
    size, types = len(problem.clients), len(problem.submodels)
    given, allocation, partition = solution.assignment, solution.allocation, solution.partition
    if given is not None and given.shape != (size,):
        raise InputError("solution", f"the solution of {size} clients", f"an assignment of shape {given.shape}")
    if allocation is not None and len(allocation) != size:
        raise InputError("solution", f"the solution of {size} clients", f"an allocation of {len(allocation)}")
    if partition is not None and len(partition) != types:
        raise InputError("solution", f"the solution of {types} types", f"a partition of {len(partition)}")
    if given is not None and not ((given >= 0) & (given < types)).all():
        raise InputError("solution", f"type indices from 0 to {types - 1}", f"{given.min()} to {given.max()}")
