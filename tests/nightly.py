"""The pytest plugin behind ``make nightly``: a table of the reliability rows, kept in tests/nightly.csv.

A test of the full counts says which row it is of and how many cases it tries: ``@pytest.mark.nightly("R3", 500)``. Rows
that did not run keep what the table said of them.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HEAD = ("row", "count", "tests", "failures", "seconds", "date")


@dataclass(slots=True)
class Tally:
    """What a row's tests came to."""

    count: int = 0
    tests: int = 0
    failures: int = 0
    seconds: float = 0.0


class Table:
    """Adds up reports by row and writes them at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Tally] = defaultdict(Tally)

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        mark = item.get_closest_marker("nightly")
        if mark is None or not mark.args:
            return
        name, count = mark.args
        row = self.rows[name]
        row.seconds += call.duration
        if call.when == "call":
            row.tests += 1
            row.count += count
        row.failures += call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception)

    def pytest_sessionfinish(self) -> None:
        table = read(self.path)
        today = time.strftime("%Y-%m-%d")
        for name, row in self.rows.items():
            numbers = (row.count, row.tests, row.failures, f"{row.seconds:.0f}")
            table[name] = {"row": name, **dict(zip(HEAD[1:], map(str, (*numbers, today)), strict=True))}
        with self.path.open("w", newline="", encoding="ascii") as file:
            writer = csv.DictWriter(file, HEAD, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table[name] for name in sorted(table, key=lambda name: int(name[1:])))


def read(path: Path) -> dict[str, dict[str, str]]:
    """The table's rows by name; none where there is no file yet."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="ascii") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--table", type=Path, help="where the rows' counts, failures and seconds are kept")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--table")
    if path is not None:
        config.pluginmanager.register(Table(path))
