"""Policies: rules for one round. Every number they return is the judge's, or a closed form of section 3 of the model.

allocated   the problem as fedopt.solve answers it
full        everybody the full model, within the same budget: traditional federated learning
drop        everybody the full model; who cannot make the deadline does not start, and spends nothing
random      a random matching of sub-models, within the same budget
fullspeed   everybody the full model at frequency_max and power_max, whatever it costs
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import FloatArray, InputError, choice, number
from fedopt.clients import Clients
from fedopt.problem import Problem
from fedopt.reasons import named
from fedopt.rounds import allocate, rows_of, schedule
from fedopt.search import solve
from fedopt.solution import Solution, Status
from fedopt.submodels import IntArray, Partition, SubModel, Workload
from fedopt.timeline import holders
from fedopt.training.draws import MATCHING, drawn, stream
from fedopt.verdict import judge
from solvers.limits import limits
from solvers.rows import LN2

IDLE = -1  # in an assignment: sits the round out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Round:
    """One round as the fleet spends it.

    assignment : (N,) which sub-model a client trains, -1 for who sits the round out.
    duration : [s]. energy : [J]. NaN where nothing counts them, or where there is no round (everybody sits it out).
    stragglers : who holds the round up, at most five, the dearest first; under ``drop`` everybody dropped.
    reason : why it is as it is, in a sentence; where there is no round it names clients and amounts.
    solution : the solver's answer, where the policy asked for one; of a share of the clients as a fleet of their own.
    """

    assignment: IntArray
    duration: float
    energy: float
    stragglers: tuple[int, ...]
    reason: str
    solution: Solution | None = None

    @property
    def trains(self) -> bool:
        """Whether anybody trains in it."""
        return bool((self.assignment != IDLE).any())

    def partition(self, types: int) -> tuple[int, ...]:
        """How many clients train each of so many types."""
        counts = np.bincount(self.assignment[self.assignment != IDLE], minlength=types)
        return tuple(int(count) for count in counts)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by name, and what it may be told.

    deadline : [s] of ``drop``; None takes the duration that ``allocated`` needs in that round.
    share : of the clients, drawn anew every round, under ``full`` and ``fullspeed``; the others sit it out.
    infeasible : "stop" ends the run at a round nobody can make, "skip" goes on to the next, which has channels of its
        own; a skipped round trains nobody and costs nothing.

    Raises InputError.
    """

    name: str = "allocated"
    _: dataclasses.KW_ONLY
    deadline: float | None = None
    share: float = 1.0
    infeasible: str = "stop"

    def __post_init__(self) -> None:
        choice("policy", self.name, tuple(POLICIES))
        choice("Policy.infeasible", self.infeasible, ("stop", "skip"))
        if self.deadline is not None:
            number("Policy.deadline", self.deadline, unit="s")
            if self.name != "drop":
                raise InputError("Policy.deadline", "none: it belongs to the policy drop", f"{self.deadline:g} s")
        if not 0.0 < number("Policy.share", self.share) <= 1.0:
            raise InputError("Policy.share", "a share of the clients, above 0 and at most 1", f"{self.share:g}")
        if self.share < 1.0 and self.name not in ("full", "fullspeed"):
            expected = f"1 under the policy {self.name}, which says itself who trains"
            raise InputError("Policy.share", expected, f"{self.share:g}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """What a policy may look at: the problem of round ``round`` on its own channels, and what the Clock was told.

    warm : (N,) the last round's assignment, or None. settings : keywords for fedopt.solve.
    """

    problem: Problem
    policy: Policy
    round: int
    seed: int
    warm: IntArray | None
    settings: Mapping[str, Any]

    @property
    def full(self) -> SubModel:
        """The full model: the first type that is no idle place."""
        return next(each for each in self.problem.submodels if not each.is_idle)


def _allocated(turn: Turn) -> Round:
    problem = turn.problem
    settings = dict(turn.settings)
    if turn.warm is not None and settings.get("matching", "exact") == "exact" and problem.access is None:
        settings["warm"] = _warm(problem, turn.warm)
    return _solved(problem, solve(problem, **settings))


def _random(turn: Turn) -> Round:
    seed = int(stream(turn.seed, MATCHING, turn.round).integers(2**31))
    return _solved(turn.problem, solve(turn.problem, **{**turn.settings, "matching": "random", "seed": seed}))


def _full(turn: Turn) -> Round:
    problem, size = turn.problem, len(turn.problem.clients)
    who = drawn(size, turn.policy.share, turn.seed, turn.round)
    clients = problem.clients if len(who) == size else problem.clients.take(who)
    part = Problem(clients, (turn.full,), budget=problem.budget, access=problem.access)
    levels = {name: turn.settings[name] for name in ("timing", "allocation") if name in turn.settings}
    found = _solved(part, solve(part, **levels), who, size)
    if found.trains or len(who) == size:
        return found
    work = _work(turn, np.where(np.isin(np.arange(size), who), 0, IDLE))  # so that the reason has the fleet's numbers
    reason = schedule(problem.clients, work, problem.budget, access=problem.access, **levels).reason
    return dataclasses.replace(found, reason=reason)


def _drop(turn: Turn) -> Round:
    clients, deadline = turn.problem.clients, turn.policy.deadline
    if deadline is None:
        reference = _allocated(dataclasses.replace(turn, warm=None))
        if not reference.trains:
            return reference
        deadline = reference.duration
    work = clients.workload((turn.full,), np.zeros(len(clients), dtype=np.int64))
    shares = allocate(clients, work, duration=deadline)
    late = np.flatnonzero(~shares.feasible)
    least = limits(rows_of(clients, work)).least_time
    names = named(clients, late, lambda n: f"needs {least[n]:.6g} s")
    if len(late) == len(clients):
        reason = f"Infeasible: nobody trains the full model within {deadline:.6g} s; client {names}."
        return _nobody(clients, reason, late)
    assignment = np.where(shares.feasible, 0, IDLE)
    frequency, rate = (np.where(shares.feasible, values, 0.0) for values in (shares.frequency, shares.rate))
    done = f"{len(clients) - len(late)} clients train the full model within {deadline:.6g} s"
    return Round(
        assignment=assignment,
        duration=deadline,
        energy=_judged(turn, assignment, deadline, frequency, rate),
        stragglers=tuple(late.tolist()),
        reason=f"{done}; dropped: client {names}." if late.size else f"{done}.",
    )


def _fullspeed(turn: Turn) -> Round:
    c = turn.problem.clients
    who = drawn(len(c), turn.policy.share, turn.seed, turn.round)
    assignment = np.full(len(c), IDLE, dtype=np.int64)
    assignment[who] = 0
    least = limits(rows_of(c, c.workload((turn.full,), np.zeros(len(c), dtype=np.int64)))).least_time
    never = who[~np.isfinite(least[who])]
    if never.size:
        names = named(c, never, lambda n: f"gain {c.channel_gain[n]:g}")
        return _nobody(c, f"Infeasible: no duration suffices for client {names}: the upload rate is 0.", never)
    slowest = int(who[np.argmax(least[who])])
    rate = c.bandwidth / LN2 * np.log1p(c.channel_gain * c.power_max / (c.noise_density * c.bandwidth))
    return Round(
        assignment=assignment,
        duration=float(least[slowest]),
        energy=_judged(turn, assignment, float(least[slowest]), c.frequency_max, rate),
        stragglers=(slowest,),
        reason=f"{len(who)} clients at full speed; client {c.label(slowest)} is the slowest.",
    )


POLICIES: dict[str, Callable[[Turn], Round]] = {
    "allocated": _allocated,
    "full": _full,
    "drop": _drop,
    "random": _random,
    "fullspeed": _fullspeed,
}


def _solved(problem: Problem, solution: Solution, who: Any = slice(None), size: int = 0) -> Round:
    """The round of a solution for the clients at ``who`` among ``size``; without a decision, nobody trains."""
    clients = np.arange(size or len(problem.clients))[who]
    assignment = np.full(size or len(problem.clients), IDLE, dtype=np.int64)
    if solution.assignment is None or solution.status is Status.INACCURATE:
        stragglers = tuple(clients[list(solution.clients)].tolist())
        return Round(
            assignment=assignment,
            duration=math.nan,
            energy=math.nan,
            stragglers=stragglers,
            reason=solution.reason,
            solution=solution,
        )
    places = np.cumsum([not each.is_idle for each in problem.submodels]) - 1
    places[[each.is_idle for each in problem.submodels]] = IDLE
    assignment[clients] = places[solution.assignment]
    return Round(
        assignment=assignment,
        duration=solution.duration,
        energy=solution.energy,
        stragglers=tuple(clients[holders(problem, solution)].tolist()),
        reason=solution.reason,
        solution=solution,
    )


def _nobody(clients: Clients, reason: str, who: NDArray[np.intp]) -> Round:
    assignment = np.full(len(clients), IDLE, dtype=np.int64)
    stragglers = tuple(who.tolist())
    return Round(assignment=assignment, duration=math.nan, energy=math.nan, stragglers=stragglers, reason=reason)


def _judged(turn: Turn, assignment: IntArray, duration: float, frequency: FloatArray, rate: FloatArray) -> float:
    """The judge's energy [J] of a decision about the full model and idle places."""
    verdict = judge(turn.problem.clients, _work(turn, assignment), duration, frequency, rate)
    assert verdict.feasible, verdict.violations
    return verdict.energy


def _work(turn: Turn, assignment: IntArray) -> Workload:
    """Of the full model and idle places."""
    return turn.problem.clients.workload((turn.full, SubModel.idle()), np.where(assignment == IDLE, 1, assignment))


def _warm(problem: Problem, assignment: IntArray) -> Solution | None:
    """A solution to start from that knows who trained what, all that a warm start looks at."""
    types = np.flatnonzero([not each.is_idle for each in problem.submodels])
    idle = np.flatnonzero([each.is_idle for each in problem.submodels])
    if (assignment == IDLE).any() and not idle.size:
        return None
    places = np.where(assignment == IDLE, idle[0] if idle.size else IDLE, types[assignment])
    counts = np.bincount(places, minlength=len(problem.submodels)).tolist()
    return Solution(
        status=Status.LIMIT,
        reason="the last round's matching",
        duration=math.nan,
        energy=math.nan,
        allocation=None,
        verdict=None,
        partition=Partition(counts, problem.submodels),
        assignment=places,
        utility=math.nan,
    )
