"""The pure core of a run: from the state after a round to the state after the next."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from fedopt.checks import InputError, number
from fedopt.submodels import IntArray
from fedopt.training.algorithm import Algorithm, Job, Server, State, Update
from fedopt.training.clock import Clock, Untimed
from fedopt.training.contents import check_state
from fedopt.training.data import Samples
from fedopt.training.engines.work import repeatable
from fedopt.training.evaluate import evaluator
from fedopt.training.history import History, Row
from fedopt.training.local import Diverged
from fedopt.training.policies import Policy
from fedopt.training.state import TrainingState

Train = Callable[[Sequence[Job], int], Sequence[Update]]  # a round's jobs, and which round from 0 on


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """What ends a run before its rounds are done.

    accuracy : it ends once an evaluation has it. seconds : [s], joules : [J] of the clock; a round that would exceed
    them is not begun. Raises InputError.
    """

    accuracy: float = math.inf
    seconds: float = math.inf
    joules: float = math.inf

    def __post_init__(self) -> None:
        for name in ("accuracy", "seconds", "joules"):
            number(f"Until.{name}", getattr(self, name), infinite=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """All that a step needs and no round changes."""

    clock: Clock | Untimed
    policy: Policy
    algorithm: Algorithm
    types: int
    train: Train
    evaluate: Callable[[State], float]
    rounds: int
    evaluate_every: int
    until: Until


def begin(plan: Plan, model: nn.Module) -> TrainingState:
    """The state before the first round, its model evaluated."""
    server = plan.algorithm.init(model)
    spent = 0.0 if isinstance(plan.clock, Clock) else math.nan
    row = Row(round=0, seconds=spent, joules=spent, accuracy=plan.evaluate(server.parameters), loss=math.nan)
    return TrainingState(round=0, server=server, history=History(rows=(row,)))


def ended(plan: Plan, state: TrainingState) -> str:
    """Why no further round is due; empty where one is."""
    last = state.history.rows[-1]
    if last.accuracy >= plan.until.accuracy:
        return f"Reached an accuracy of {last.accuracy:.4g} in round {state.round}."
    if state.round > plan.rounds:  # of a checkpoint
        return f"All {plan.rounds} rounds are done: this run has {state.round}."
    return f"All {plan.rounds} rounds are done." if state.round == plan.rounds else ""


def step(plan: Plan, state: TrainingState) -> tuple[TrainingState, str]:
    """The state after one more round; or the same state, and the reason why there is none. Raises Diverged."""
    started = time.perf_counter()
    turn = plan.clock.round(state.round, state.assignment)
    solving = time.perf_counter() - started
    index, last = state.round + 1, state.history.rows[-1]
    if not turn.trains:
        if plan.policy.infeasible == "stop":
            return state, f"Stopped before round {index}. {turn.reason}"
        row = dataclasses.replace(
            last, round=index, accuracy=math.nan, loss=math.nan, partition=turn.partition(plan.types),
            stragglers=turn.stragglers, solving=solving, training=0.0,
        )  # fmt: skip
        return _next(state, row, state.server, state.assignment), ""
    for spent, limit, unit in (
        (last.seconds + turn.duration, plan.until.seconds, "s"),
        (last.joules + turn.energy, plan.until.joules, "J"),
    ):
        if spent > limit:
            return state, f"Stopped before round {index}, by whose end {spent:.6g} {unit} of {limit:.6g} are spent."
    updates = plan.train(plan.algorithm.jobs(state.server, turn.assignment), state.round)
    for update in updates:
        if not math.isfinite(update.loss):  # of an engine of the user's own
            raise Diverged(update.job.client, index, update.loss)
    server = plan.algorithm.apply(state.server, updates)
    if server.round != state.server.round + 1:  # an algorithm of the user's own: no checkpoint could be read back
        raise InputError("apply: Server.round", f"{state.server.round + 1}, one more than before", f"{server.round}")
    check_state("apply: Server.parameters", state.server.parameters, server.parameters)
    due = index % plan.evaluate_every == 0 or index == plan.rounds
    accuracy = plan.evaluate(server.parameters) if due else math.nan
    samples = sum(update.samples for update in updates)
    row = Row(
        round=index,
        seconds=last.seconds + turn.duration,
        joules=last.joules + turn.energy,
        accuracy=accuracy,
        loss=sum(update.loss * update.samples for update in updates) / samples if samples else math.nan,
        partition=turn.partition(plan.types),
        stragglers=turn.stragglers,
        solving=solving,
        training=time.perf_counter() - started - solving,
    )
    return _next(state, row, server, turn.assignment), ""


def _next(state: TrainingState, row: Row, server: Server, assignment: IntArray | None) -> TrainingState:
    rows = (*state.history.rows, row)
    return TrainingState(round=row.round, server=server, history=History(rows=rows), assignment=assignment)


def accuracy_of(model: nn.Module, test: Samples, device: str) -> Callable[[State], float]:
    """A function from the global model's parameters to its test accuracy, the same for any number of threads."""
    measured = evaluator(model, test.images, test.labels, device=device)

    def accuracy(parameters: State) -> float:
        with repeatable(device):
            return measured(parameters)[0]

    return accuracy
