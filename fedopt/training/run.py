"""run(): train on a clock. The steps are pure (steps.py); what is written or shown on the way is a callback's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from fedopt.checks import InputError, kind, whole
from fedopt.disk import check_writable
from fedopt.problem import Problem
from fedopt.scenario import Scenario
from fedopt.submodels import SubModel
from fedopt.training.algorithm import Algorithm
from fedopt.training.checkpoint import read_checkpoint, write_checkpoint
from fedopt.training.clock import Clock, Untimed, priced
from fedopt.training.data import Dataset
from fedopt.training.engines import Work, chosen, open_engine
from fedopt.training.history import History
from fedopt.training.identity import algorithm_settings, clock_settings, data_settings, engine_settings
from fedopt.training.lock import alone
from fedopt.training.policies import Policy
from fedopt.training.splits import Split
from fedopt.training.state import TrainingState
from fedopt.training.steps import Plan, Train, Until, accuracy_of, begin, ended, step

Callback = Callable[[TrainingState], object]


def run(
    problem: Problem | Scenario | None,
    algorithm: Algorithm,
    model: nn.Module,
    data: Dataset,
    *,
    rounds: int,
    split: Split,
    seed: int,
    policy: str | Policy = "allocated",
    fading: str | None = None,
    engine: str | Train = "auto",
    device: str = "cpu",
    evaluate_every: int = 1,
    until: Until | None = None,
    checkpoint: str | PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train ``model`` on a clock that counts the fleet's seconds and joules.

    Parameters
    ----------
    problem : of one round, or a scenario. Its sub-models have to be the algorithm's own footprints; ``samples`` are
        replaced by the split's sizes and ``local_epochs`` by the algorithm's, as these are what is trained. None: no
        clock, seconds and joules are NaN, and only policy "full" makes sense.
    algorithm : see algorithm.py for what makes one.
    model : the global model, which is not changed. data : what to train and to test on. split : who has which samples.
    rounds : to train. seed : of the fading, of who takes part, and of the order of the samples.
    policy, fading : see Clock; a Policy where more than its name is to be said.
    engine : how the clients are simulated, see engines, or a function (jobs, round) -> updates of your own. device :
        "cpu", or "cuda" for a GPU.
    evaluate_every : rounds between two evaluations; the last round is always evaluated.
    checkpoint : a file, written anew after every round. Where it exists the run goes on from it, and ends bit for bit
        as if it had never stopped. One run at a time may use it.
    callbacks : each is called with the TrainingState before the first round (also of a run that goes on) and after
        every one.

    Returns
    -------
    History, whose ``reason`` says why it ended.

    Raises
    ------
    InputError for bad arguments and for the checkpoint of another run, or one that another run is using, Diverged (it
    names client and round) for a loss that is no number, OSError.
    """
    policy = policy if isinstance(policy, Policy) else Policy(policy)
    whole("seed", seed)
    kinds = algorithm.kinds(model, data.shape)
    clock = _clock(problem, tuple(each.footprint for each in kinds), algorithm, split, policy, fading, seed)
    settings = {"seed": seed, "evaluate_every": evaluate_every, **algorithm_settings(algorithm)}
    settings |= data_settings(data, split, model) | clock_settings(clock, policy)
    path = None if checkpoint is None else Path(checkpoint).absolute()  # a callback may change the working folder
    work = Work(
        kinds=kinds,
        images=data.train.images,
        labels=data.train.labels,
        split=split.clients,
        local=algorithm.local,
        seed=seed,
        device=device,
    )
    engine = chosen(work) if engine == "auto" else engine
    settings |= engine_settings(engine, device)
    # the engine first: processes that it forks do not have the lock, and may outlive a run that is killed
    with _opened(engine, work) as train, nullcontext() if path is None else alone(path):
        plan = Plan(
            clock=clock,
            policy=policy,
            algorithm=algorithm,
            types=len(kinds),
            train=train,
            evaluate=accuracy_of(model, data.test, device),
            rounds=whole("rounds", rounds, least=1),
            evaluate_every=whole("evaluate_every", evaluate_every, least=1),
            until=until or Until(),
        )
        if path is None or not path.exists():
            state = begin(plan, model)
        else:
            state = read_checkpoint(
                path,
                settings,
                begun=algorithm.init(model),
                clients=len(split),
                types=len(kinds),
                timed=isinstance(clock, Clock),
            )
        return _spend(plan, state, path, settings, callbacks)


@contextmanager
def _opened(engine: str | Train, work: Work) -> Iterator[Train]:
    """The function that trains a round's jobs."""
    if callable(engine):
        yield engine
        return
    with open_engine(engine, work) as opened:
        yield opened.run


def _spend(
    plan: Plan, state: TrainingState, path: Path | None, settings: dict[str, Any], callbacks: Sequence[Callback]
) -> History:
    """Round after round until there is a reason to end; all that is not pure happens here."""
    reason = ""
    try:
        while True:
            for callback in callbacks:
                callback(state)
            reason = ended(plan, state)
            if reason:
                break
            if path is not None:
                check_writable(path.parent)
            state, reason = step(plan, state)
            if reason:
                break
            if path is not None:
                write_checkpoint(path, state, settings)
    except KeyboardInterrupt as stop:
        if path is not None and path.exists():
            stop.add_note(f"{path} has the run up to the last whole round: the same call goes on from there")
        raise
    return History(rows=state.history.rows, reason=reason, parameters=state.server.parameters)


def _clock(
    problem: Problem | Scenario | None,
    footprints: tuple[SubModel, ...],
    algorithm: Algorithm,
    split: Split,
    policy: Policy,
    fading: str | None,
    seed: int,
) -> Clock | Untimed:
    """The clock of a run; without a problem there is none."""
    if problem is None:
        if policy.name != "full":
            raise InputError("policy without a problem", "'full': nothing is known of the clients", repr(policy.name))
        if fading is not None:
            raise InputError("fading without a problem", "None: there is no channel", repr(fading))
        return Untimed(clients=len(split), share=policy.share, seed=seed)
    kind("problem", problem, (Problem, Scenario), "a Problem, a Scenario or None")
    settings = problem.settings if isinstance(problem, Scenario) else {}
    problem = problem.problem if isinstance(problem, Scenario) else problem
    of_run = priced(problem, footprints, split.sizes, algorithm.local.epochs)
    return Clock(problem=of_run, policy=policy, fading=fading, seed=seed, settings=settings)
