"""The published experiment: MFL against TFL x 10 W / 100 W x IID / non-IID, on a fading channel.

    python experiments/published.py DATA [--rounds 30] [--jobs 2]     some hours; again: goes on where it stopped
    python experiments/published.py DATA --report                     puts together what has been trained so far
    python experiments/published.py --quick                           on scikit-learn's digits, some seconds

DATA holds MNIST's four files. MFL trains with the published partitions and, as ``searched``, with those that
fedopt.solve finds on each round's channels. TFL (everybody the full model) trains the same at both powers, so it trains
once and both clocks price it. Rows go to OUT as they come, at the end rows, pictures and a table to RESULTS.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fedopt import InputError, PowerBudget, Problem, plots
from fedopt.disk import replace_file
from fedopt.files import csv_text
from fedopt.plots import figure_type
from fedopt.scenario import Scenario
from fedopt.training.clock import Clock, priced
from fedopt.training.curves import AXES, draw_on
from fedopt.training.history import History
from fedopt.training.lesson import Lesson, read_lesson
from fedopt.training.policies import Policy
from fedopt.training.run import run
from fedopt.training.state import TrainingState
from fedopt.training.summary import figures, summary

HERE = Path(__file__).resolve().parent
SPLITS = {"iid": "iid", "non-iid": "shards:5"}
PARTITIONS = {10: (16, 16, 16, 16), 100: (32, 16, 8, 8)}  # L, M, S, T; published


class Case(NamedTuple):
    """A run: how the samples are dealt out, who decides the partition, and the power [W]."""

    split: str
    how: str  # "mfl", "tfl" or "searched"
    watts: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.split}-{self.how}-{self.watts}W"

    @property
    def label(self) -> str:
        """In the pictures."""
        return f"{'MFL searched' if self.how == 'searched' else self.how.upper()} {self.watts} W"


TRAINED = [  # in this order, so that what is done first is worth most
    *(Case(split, how, watts) for split in SPLITS for how, watts in (("mfl", 10), ("tfl", 10), ("mfl", 100))),
    *(Case(split, "searched", watts) for split in SPLITS for watts in PARTITIONS),
]


def main() -> None:
    """Train what is not trained yet, then put the results together."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("data", type=Path, nargs="?", help="the folder with MNIST's four files")
    parser.add_argument("--quick", action="store_true", help="on scikit-learn's digits, two rounds")
    parser.add_argument("--rounds", type=int, help="default: 30, or 2 if quick")
    parser.add_argument("--out", type=Path, help="checkpoints and rows on the way")
    parser.add_argument("--results", type=Path, help="rows, pictures and table at the end")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="cuda: train on a GPU")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each in a process on one thread")
    parser.add_argument(
        "--report", action="store_true", help="train nothing, put together what has been trained so far"
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help="of " + ", ".join(case.name for case in TRAINED))
    options = parser.parse_args()
    if options.data is None and not options.quick:
        parser.error("the folder with MNIST's four files is missing (or --quick)")
    options.rounds = options.rounds or (2 if options.quick else 30)
    options.out = options.out or Path("out/published-quick" if options.quick else "out/published")
    options.results = options.results or (options.out / "results" if options.quick else HERE / "results" / "published")
    options.out.mkdir(parents=True, exist_ok=True)
    cases = [case for case in TRAINED if options.only is None or case.name in options.only]
    if options.report:
        cases = []
    if options.jobs > 1:
        beside(cases, options)
    else:
        if options.only is not None:
            torch.set_num_threads(1)
        for case in cases:
            try:
                train(case, options, "plain" if options.only is not None and options.device == "cpu" else "auto")
            except InputError as error:  # a checkpoint of other settings, or of a run under way
                raise SystemExit(str(error)) from None
    if options.only is None:
        finish(options)


def train(case: Case, options: argparse.Namespace, engine: str) -> None:
    """Train a case from where its checkpoint is; its rows are on disk after every round."""
    scenario, lesson = prepared(case, options)
    started, known = time.monotonic(), []

    def tell(state: TrainingState) -> None:
        state.history.to_csv(options.out / f"{case.name}.csv")
        known.append(state.round)
        row, done = state.history.rows[-1], state.round - known[0]
        left = (
            f", {(time.monotonic() - started) / done * (options.rounds - state.round) / 60:.1f} min left"
            if done
            else ""
        )
        spent = f"{row.seconds:,.0f} s, {row.joules:,.0f} J of the clock"
        print(f"{case.name}: round {state.round}/{options.rounds}, {row.accuracy:.2%}, {spent}{left}", flush=True)

    history = run(
        scenario,
        lesson.algorithm,
        lesson.model,
        lesson.data,
        rounds=options.rounds,
        split=lesson.split(scenario.problem.clients),
        seed=lesson.seed,
        policy=policy_of(case),
        fading=lesson.fading,
        engine=engine,
        device=options.device,
        checkpoint=options.out / f"{case.name}.safetensors",
        callbacks=[tell],
    )
    print(f"{case.name}: {history.reason}", flush=True)


def prepared(case: Case, options: argparse.Namespace) -> tuple[Scenario, Lesson]:
    """The case's problem, and what it trains."""
    data = "digits" if options.quick else str(options.data)
    changes = {"data": data, "split": SPLITS[case.split], "rounds": options.rounds}
    scenario, lesson = read_lesson(HERE / "published.toml", changes)
    partitions = [PARTITIONS[case.watts]] if case.how == "mfl" else None
    problem = Problem(
        scenario.problem.clients,
        scenario.problem.submodels,
        budget=PowerBudget(case.watts),
        partitions=partitions,
    )
    return dataclasses.replace(scenario, problem=problem), lesson


def policy_of(case: Case) -> str:
    """TFL gives everybody the full model."""
    return "full" if case.how == "tfl" else "allocated"


def beside(cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Some cases at a time, each in a process of its own, which ends with this one."""
    waiting, running = list(reversed(cases)), []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                arguments = [*sys.argv, "--jobs", "1", "--only", waiting.pop().name]
                running.append(subprocess.Popen([sys.executable, *arguments]))
            time.sleep(0.2)
            if any(process.poll() for process in running):  # an exit code that is not 0
                raise SystemExit("a run failed: the same command goes on from the last checkpoints")
            running = [process for process in running if process.poll() is None]
    finally:
        for process in running:
            process.terminate()
            process.wait()


def finish(options: argparse.Namespace) -> None:
    """Rows of every case that has been trained, three pictures and the table."""
    options.results.mkdir(parents=True, exist_ok=True)
    panels: dict[str, dict[str, History]] = {split: {} for split in SPLITS}
    for case in TRAINED:
        path = options.out / f"{case.name}.csv"
        if not path.exists():
            print(f"{case.name}: not trained yet")
            continue
        history = History.from_csv(path)
        panels[case.split][case.label] = history
        if case.how == "tfl":
            other = case._replace(watts=100)
            panels[case.split][other.label] = repriced(history, other, options)
    histories = {}
    for split, runs in panels.items():
        for label, history in runs.items():
            histories[f"{split} {label}"] = history
            history.to_csv(options.results / f"{split}-{label.lower().replace(' ', '-')}.csv")
    header, *rows = figures(histories)
    replace_file(options.results / "table.csv", csv_text(header, rows).encode())
    print(summary(histories).text())
    for axis in AXES:
        print(f"Written: {draw(panels, axis, options.results / f'accuracy-{axis}.png')}")


def repriced(history: History, case: Case, options: argparse.Namespace) -> History:
    """The rows of a run whose training does not depend on the clock, by the clock of another case."""
    scenario, lesson = prepared(case, options)
    sizes = lesson.split(scenario.problem.clients).sizes
    problem = priced(scenario.problem, lesson.footprints(), sizes, lesson.algorithm.local.epochs)
    clock = Clock(problem=problem, policy=Policy(policy_of(case)), fading=lesson.fading, seed=lesson.seed)
    rows, seconds, joules = [history.rows[0]], 0.0, 0.0
    for row in history.rows[1:]:
        turn = clock.round(row.round - 1)
        seconds, joules = seconds + turn.duration, joules + turn.energy
        rows.append(dataclasses.replace(row, seconds=seconds, joules=joules, stragglers=turn.stragglers))
    return History(rows=tuple(rows))


def draw(panels: dict[str, dict[str, History]], axis: str, path: Path) -> Path:
    """A picture with a panel per split; MFL against TFL at the same power."""
    figure: Any = figure_type()(figsize=(15.0, 7.0), layout="constrained")
    for axes, (split, runs) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        pairs = {label: f"TFL {label.split()[-2]} W" for label in runs if not label.startswith("TFL")}
        baselines = {label: tfl for label, tfl in pairs.items() if tfl in runs}
        draw_on(axes, runs, against=axis, baselines=baselines, title=f"{split}, 64 phones, fading channels")
    return plots.save(figure, path)


if __name__ == "__main__":
    main()
