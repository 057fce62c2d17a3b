"""FedAvg's table on MNIST: rounds to a test accuracy, beside the published ones. Stop it and start it as you like.

    python experiments/fedavg_table.py [ROW ...] [--data FOLDER] [--out FOLDER] [--quick]

The rows, their settings and sources are in fedavg_table.toml. A row goes on from where it was stopped, to the same
bits; ``results/fedavg_table.csv`` has an accuracy per round, the table is printed at the end. Rounds to target are read
off the best accuracy so far, between two rounds in proportion, as in the article. --quick: the digits, a few rounds.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedopt.checks import InputError
from fedopt.disk import replace_file
from fedopt.files import csv_text
from fedopt.training import History, LocalSGD, Policy, TrainingState, Until, run
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.data import Dataset, digits, mnist
from fedopt.training.models import build
from fedopt.training.splits import iid, shards

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; ``most`` rounds are tried, ``shards`` per client of label-sorted samples, 0 for IID."""

    name: str
    model: str
    target: float
    epochs: int
    batch: int
    rate: float
    most: int
    shards: int = 0
    published: float | None = None
    reproduced: float | None = None


def rounds_to(target: float, accuracies: list[float]) -> float:
    """Rounds until the best accuracy so far crosses ``target``, linear between rounds; NaN where it never does.

    accuracies : of rounds 0, 1, ...
    """
    best = np.maximum.accumulate(accuracies)
    above = int(np.argmax(best >= target))
    if best[above] < target:
        return float("nan")
    return 0.0 if above == 0 else above - 1 + (target - best[above - 1]) / (best[above] - best[above - 1])


def train(row: Row, data: Dataset, clients: int, share: float, seed: int, folder: Path, device: str = "cpu") -> History:
    """Train a row to its target, from its checkpoint where there is one; more rounds go on from fewer."""
    algorithm = FedAvg(local=LocalSGD(epochs=row.epochs, batch=row.batch or None, rate=row.rate))
    labels, started = data.train.labels.numpy(), time.perf_counter()
    begun: list[int] = []

    def tell(state: TrainingState) -> None:
        begun.append(state.round)
        accuracies, done = accuracies_of(state.history), state.round - begun[0]
        each = (time.perf_counter() - started) / done if done else math.nan
        expected = row.published if row.published and row.published > state.round else row.most
        print(
            f"{row.name}: round {state.round}, accuracy {accuracies[-1]:.4f}, best {max(accuracies):.4f}, "
            f"{each:.1f} s a round, {(expected - state.round) * each / 60.0:.0f} min to round {expected:g}",
            file=sys.stderr,
        )

    return run(
        None,
        algorithm,
        build(row.model, data.shape, data.classes, seed=seed),
        data,
        rounds=row.most,
        split=shards(labels, clients, each=row.shards, seed=seed) if row.shards else iid(labels, clients, seed=seed),
        seed=seed,
        device=device,
        policy=Policy("full", share=share),
        until=Until(accuracy=row.target),
        checkpoint=folder / f"{row.name}.safetensors",
        callbacks=[tell],
    )


def accuracies_of(history: History) -> list[float]:
    """Of rounds 0, 1, ..."""
    return [row.accuracy for row in history.rows]


def _write(path: Path, rows: list[Row], curves: dict[str, list[float]]) -> None:
    """An accuracy per row and round; rows of the file that were not trained now stay."""
    lines: list[list[str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in list(csv.reader(file))[1:] if line[0] not in curves]
    for row in rows:
        split, batch = f"{row.shards} shards" if row.shards else "iid", str(row.batch or "all")
        for index, accuracy in enumerate(curves.get(row.name, [])):
            cells = [row.name, row.model, str(row.epochs), batch, repr(row.rate), split, str(index), repr(accuracy)]
            lines.append(cells)
    header = ["row", "model", "epochs", "batch", "rate", "split", "round", "accuracy"]
    replace_file(path, csv_text(header, lines).encode())


def table(rows: list[Row], curves: dict[str, list[float]]) -> str:
    """Rounds to target for people."""
    lines = [f"{'row':<20} {'rate':>6} {'target':>7} {'rounds':>8}   published  reproduced {'best':>7}"]
    for row in rows:
        if row.name in curves:
            found, best = rounds_to(row.target, curves[row.name]), max(curves[row.name])
            known = "".join(f"{value or '':>12}" for value in (row.published, row.reproduced))
            lines.append(f"{row.name:<20} {row.rate:>6g} {row.target:>7g} {found:>8.1f}{known} {best:>7.4f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Train the rows asked for, writing as it goes, and print the table."""
    with (FOLDER / "fedavg_table.toml").open("rb") as file:
        settings: dict[str, Any] = tomllib.load(file)
    rows = [Row(**each) for each in settings["row"]]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(row.name for row in rows) + "; default: all")
    parser.add_argument("--data", type=Path, help="folder of MNIST's four IDX files")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder of the CSV file and checkpoints")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="cuda: train on a GPU")
    parser.add_argument("--quick", action="store_true", help="the digits, 20 clients, 3 rounds of each row")
    options = parser.parse_args(arguments)
    unknown = set(options.rows) - {row.name for row in rows}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    wanted = [row for row in rows if not options.rows or row.name in options.rows]
    clients = 20 if options.quick else settings["clients"]
    if options.quick:
        wanted = [replace(row, most=3) for row in wanted]
    data = digits() if options.quick else mnist(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    curves: dict[str, list[float]] = {}
    for row in wanted:
        try:
            history = train(row, data, clients, settings["share"], settings["seed"], options.out, options.device)
        except InputError as error:  # a checkpoint of other settings
            sys.exit(str(error))
        curves[row.name] = accuracies_of(history)
        _write(options.out / "fedavg_table.csv", wanted, curves)
    print(table(wanted, curves))


if __name__ == "__main__":
    main()
