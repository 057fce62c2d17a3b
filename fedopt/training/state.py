"""Where a run stands after a round: all that the next one needs."""

from __future__ import annotations

from dataclasses import dataclass

from fedopt.submodels import IntArray
from fedopt.training.algorithm import Server
from fedopt.training.history import History


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingState:
    """A run after ``round`` rounds, those that nobody trained in included.

    server : what the algorithm knows. history : the rows so far.
    assignment : (N,) who trained what in the last round, None before the first: where the next allocation starts.
    """

    round: int
    server: Server
    history: History
    assignment: IntArray | None = None
