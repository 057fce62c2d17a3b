"""The clock of a run: every round's problem on channels that fade, answered under one policy (policies.py)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedopt.checks import InputError, whole
from fedopt.problem import Problem
from fedopt.submodels import IntArray, SubModel
from fedopt.training.draws import drawn, faded, fading_of
from fedopt.training.policies import IDLE, POLICIES, Policy, Round, Turn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Untimed:
    """No clock: a share of the clients, drawn anew every round, trains the full model; seconds and joules are NaN."""

    clients: int
    share: float = 1.0
    seed: int = 0

    def round(self, index: int, warm: IntArray | None = None) -> Round:
        """Round ``index``, counted from 0."""
        assignment = np.full(self.clients, IDLE, dtype=np.int64)
        assignment[drawn(self.clients, self.share, self.seed, index)] = 0
        return Round(assignment=assignment, duration=math.nan, energy=math.nan, stragglers=(), reason="Not timed.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clock:
    """The clock of a run.

    problem : of one round; its ``channel_gain`` is the mean gain, its first working sub-model the full model.
    policy : who trains what, at what cost. Only "allocated" and "full" share an uplink.
    fading : None; "rayleigh", or "rician:K" with K the direct path's power over the scattered ones', multiplies the
        gains by a draw of mean 1 for every client and round. The same seed gives every policy the same channels.
    settings : keywords for fedopt.solve, such as a matching.

    Raises InputError.
    """

    problem: Problem
    policy: Policy
    fading: str | None = None
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fading_of(self.fading)
        whole("seed", self.seed)
        name, clients = self.policy.name, self.problem.clients
        if name in ("drop", "fullspeed", "random") and self.problem.access is not None:
            raise InputError("policy", f"one that shares the uplink by {self.problem.access!r}", repr(name))
        if name == "fullspeed" and not np.isfinite(clients.power_max).all():
            first = int(np.argmax(clients.power_max))
            raise InputError("Clients.power_max", "a finite power under the policy fullspeed", "inf", first)

    def round(self, index: int, warm: IntArray | None = None) -> Round:
        """Round ``index``, counted from 0; ``warm`` is the last round's assignment, which only saves time."""
        clients = self.problem.clients
        gain = clients.channel_gain * faded(self.fading, len(clients), self.seed, index)
        turn = Turn(
            problem=dataclasses.replace(self.problem, clients=clients.replace(channel_gain=gain)),
            policy=self.policy,
            round=index,
            seed=self.seed,
            warm=warm,
            settings=self.settings,
        )
        return POLICIES[self.policy.name](turn)


def priced(problem: Problem, footprints: tuple[SubModel, ...], samples: IntArray, epochs: int) -> Problem:
    """The problem with what the training itself knows: the split's ``samples`` (N,) and the passes over them.

    The problem's own ``samples`` and ``local_epochs`` are replaced; its sub-models have to be the algorithm's
    ``footprints``, idle places aside. Raises InputError that says both.
    """
    types = tuple(each for each in problem.submodels if not each.is_idle)
    for mine, theirs in zip(types, footprints, strict=False):
        if mine != theirs:
            raise InputError(f"Problem.submodels {mine.name!r}", f"the algorithm's footprint {theirs}", f"{mine}")
    if len(types) != len(footprints):
        names = ", ".join(each.name for each in footprints)
        raise InputError("Problem.submodels", f"the algorithm's types {names}", ", ".join(each.name for each in types))
    if len(samples) != len(problem.clients):
        raise InputError("split", f"{len(problem.clients)} parts, one per client", f"{len(samples)}")
    clients = problem.clients.replace(samples=np.asarray(samples, dtype=np.float64), local_epochs=float(epochs))
    return dataclasses.replace(problem, clients=clients)
