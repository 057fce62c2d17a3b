"""Runs side by side: the accuracy each ends with, and what it took to reach some on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedopt.report import Table
from fedopt.training.history import History

TARGETS = (0.90, 0.95, 0.97)


def figures(runs: Mapping[str, History], targets: Sequence[float] = TARGETS) -> list[list[str]]:
    """What summary() has, for programs, its header first: every digit, NaN where a target was never reached."""
    table = [
        [
            "run",
            "rounds",
            "accuracy",
            "seconds[s]",
            "joules[J]",
            *(f"{unit} to {t:g}" for t in targets for unit in ("seconds[s]", "joules[J]")),
        ]
    ]
    for name, history in runs.items():
        spent = [found for t in targets for found in (history.seconds_to(t), history.joules_to(t))]
        last = history.rows[-1]
        table.append([name, *map(repr, (last.round, history.accuracy, last.seconds, last.joules, *spent))])
    return table


def summary(runs: Mapping[str, History], targets: Sequence[float] = TARGETS) -> Table:
    """A row per run: its accuracy, and the seconds and joules it took to each target."""
    columns = ["run", "rounds", "accuracy", "s", "J"]
    columns += [f"{what} to {target:.0%}" for target in targets for what in ("s", "J")]
    rows = []
    for name, history in runs.items():
        last = history.rows[-1]
        cells = [
            name,
            str(last.round),
            f"{history.accuracy:.2%}",
            _number(last.seconds, "-"),
            _number(last.joules, "-"),
        ]
        for target in targets:
            cells += [_number(history.seconds_to(target)), _number(history.joules_to(target))]
        rows.append(tuple(cells))
    return Table(title="What it took", columns=tuple(columns), rows=tuple(rows))


def _number(value: float, unknown: str = "never") -> str:
    return unknown if math.isnan(value) else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"
