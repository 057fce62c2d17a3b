"""``fedopt train``: a scenario trained on a clock; history, pictures and a checkpoint in a folder."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fedopt import plots
from fedopt.checks import InputError
from fedopt.cli.output import check_kept, make_folder
from fedopt.cli.show import INFEASIBLE, INTERRUPTED, fail, show
from fedopt.clients import Clients
from fedopt.training.curves import AXES, draw_curves
from fedopt.training.history import History
from fedopt.training.lesson import read_lesson
from fedopt.training.local import Diverged
from fedopt.training.run import run
from fedopt.training.state import TrainingState
from fedopt.training.summary import summary
from solvers.lookup import MissingExtra

_PATIENCE = 5.0  # seconds between two lines of progress where there is no terminal


def train(scenario: Path, clients: Path | None, out: Path, resume: bool, options: Mapping[str, Any]) -> None:
    """Train, and write NAME.csv, NAME.safetensors and pictures into ``out``; options win over the scenario's table.

    Raises InputError, MissingExtra, OSError; leaves with 1 where a round is infeasible or the training diverges.
    """
    fleet = None if clients is None else Clients.from_csv(clients)
    content, chosen = read_lesson(scenario, options, clients=fleet)
    make_folder(out)
    checkpoint, rows = out / f"{scenario.stem}.safetensors", out / f"{scenario.stem}.csv"
    pictures = {axis: out / f"{scenario.stem}-{axis}.png" for axis in AXES}
    check_kept((checkpoint, rows, *pictures.values()), (scenario, clients, content.fleet))
    if checkpoint.exists() and not resume:
        raise InputError("--out", f"--resume, to go on with {checkpoint}, or another folder", "a run that has begun")
    with _Watch(chosen.rounds) as watch:
        try:
            history = run(
                content, chosen.algorithm, chosen.model, chosen.data, rounds=chosen.rounds,
                split=chosen.split(content.problem.clients), seed=chosen.seed, policy=chosen.policy,
                fading=chosen.fading, engine=chosen.engine, device=chosen.device,
                evaluate_every=chosen.evaluate_every,
                checkpoint=checkpoint, callbacks=[watch, lambda state: state.history.to_csv(rows)],
            )  # fmt: skip
        except Diverged as error:
            fail(str(error), INFEASIBLE)
        except KeyboardInterrupt:
            fail(f"interrupted {_going_on(checkpoint)}", INTERRUPTED)
    written = [rows, checkpoint, *_pictures(history, scenario.stem, pictures)]
    show(summary({scenario.stem: history}))
    print(f"{history.reason}\nWritten: {', '.join(str(path) for path in written if path.exists())}")
    if history.rows[-1].round < chosen.rounds:
        fail(history.reason, INFEASIBLE)


def _going_on(checkpoint: Path) -> str:
    if not checkpoint.exists():
        return "before the first round was done: nothing is kept"
    return f"{checkpoint} has the run up to the last whole round: the same command with --resume goes on from there"


def _pictures(history: History, name: str, paths: Mapping[str, Path]) -> list[Path]:
    """Accuracy against rounds, seconds and joules; without matplotlib none, and a line that says how to get them."""
    try:
        return [plots.save(draw_curves({name: history}, against=axis), path) for axis, path in paths.items()]
    except MissingExtra as error:
        print(f"fedopt: no picture: {error}", file=sys.stderr)
        return []


class _Watch:
    """Progress and time left on stderr: a bar on a terminal, else a line every few seconds."""

    def __init__(self, rounds: int) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("training", total=rounds)
        self.rounds, self.begun, self.first, self.said = rounds, 0.0, 0, -math.inf

    def __enter__(self) -> _Watch:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def __call__(self, state: TrainingState) -> None:
        now, row = time.monotonic(), state.history.rows[-1]
        if not self.begun:
            self.begun, self.first = now, state.round
        told = f"accuracy {row.accuracy:.1%}, {row.seconds:,.4g} s, {row.joules:,.4g} J"
        self.bar.update(self.task, completed=state.round, description=told)
        if self.console.is_terminal or now - self.said < _PATIENCE or state.round > self.rounds:
            return
        self.said, done = now, state.round - self.first
        left = f", {(now - self.begun) / done * (self.rounds - state.round):.0f} s left" if done else ""
        print(f"round {state.round} of {self.rounds}: {told}{left}", file=sys.stderr, flush=True)
