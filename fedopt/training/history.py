"""What a run did, a row per round, and what it took to reach an accuracy."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from fedopt.checks import InputError, brief
from fedopt.disk import marks, read_limited, replace_file
from fedopt.files import csv_text

LIMIT = 64 * 2**20  # bytes of a history
_LINE = 8 * 2**20  # characters: a million stragglers
_STRAGGLERS = 2**22  # of all its rounds

COLUMNS = {
    "round": "round",
    "seconds": "seconds[s]",
    "joules": "joules[J]",
    "accuracy": "accuracy",
    "loss": "loss",
    "partition": "partition",
    "stragglers": "stragglers",
    "solving": "solving[s]",
    "training": "training[s]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """After ``round`` rounds; round 0 is the model before training.

    seconds : [s], joules : [J] the fleet has spent by then, by the clock; NaN without one.
    accuracy : share of the test samples that are right, NaN where it was not evaluated.
    loss : mean of the clients' training losses of the round, weighted by their samples; NaN where nobody trained.
    partition : how many clients trained each type. stragglers : who held the round up, or was dropped.
    solving, training : [s] of real time, for the allocation and for training with evaluation.
    """

    round: int
    seconds: float
    joules: float
    accuracy: float
    loss: float
    partition: tuple[int, ...] = ()
    stragglers: tuple[int, ...] = ()
    solving: float = 0.0
    training: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The rows of a run, the sentence why it ended (empty while it goes on) and the global model it ended with."""

    rows: tuple[Row, ...] = ()
    reason: str = ""
    parameters: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def rounds_to(self, accuracy: float) -> float:
        """Rounds to the first evaluation of at least this accuracy; NaN where there is none."""
        return self._first(accuracy, "round")

    def seconds_to(self, accuracy: float) -> float:
        """Seconds [s] of the clock to it; NaN where there is none."""
        return self._first(accuracy, "seconds")

    def joules_to(self, accuracy: float) -> float:
        """Joules [J] of the clock to it; NaN where there is none."""
        return self._first(accuracy, "joules")

    @property
    def accuracy(self) -> float:
        """The last accuracy evaluated; NaN where there is none."""
        return next((row.accuracy for row in reversed(self.rows) if not math.isnan(row.accuracy)), math.nan)

    def to_csv(self, path: str | PathLike[str]) -> Path:
        """Write the rows, every digit kept, whole or not at all. Raises OSError."""
        return replace_file(path, self.text().encode())

    def text(self) -> str:
        """The rows as CSV text."""
        rows = ([getattr(row, name) for name in COLUMNS] for row in self.rows)
        plain = [[_joined(value) if isinstance(value, tuple) else value for value in row] for row in rows]
        return csv_text(COLUMNS.values(), plain)

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> History:
        """Read rows back. Raises InputError naming file, line and column; OSError where it cannot be read."""
        return cls.from_text(read_limited(path, LIMIT), str(Path(path)))

    @classmethod
    def from_text(cls, content: bytes, where: str) -> History:
        """Rows from CSV text; ``where`` is what an error calls it. Raises InputError."""
        header = ",".join(COLUMNS.values())
        if (spaces := marks(content, b" ")) > _STRAGGLERS:
            raise InputError(where, f"at most {_STRAGGLERS:,} stragglers", f"{spaces:,} spaces")
        lines = io.TextIOWrapper(io.BytesIO(content), "utf-8")
        try:  # nothing in it needs quotes, and a cell of stragglers may be longer than the csv module reads
            titles = lines.readline(_LINE).rstrip("\n")
            if titles != header:
                raise InputError(f"{where}, line 1", header, brief(titles) if titles else "no header")
            rows = enumerate(iter(lambda: lines.readline(_LINE), ""), 2)
            return cls(rows=tuple(_row(f"{where}, line {line}", text) for line, text in rows))
        except UnicodeDecodeError as error:
            raise InputError(where, "a CSV file of a training history", str(error)) from None

    def _first(self, accuracy: float, name: str) -> float:
        return next((float(getattr(row, name)) for row in self.rows if row.accuracy >= accuracy), math.nan)


def _joined(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def _row(where: str, text: str) -> Row:
    if len(text) >= _LINE:
        raise InputError(where, f"less than {_LINE:,} characters", "more")
    cells = text.rstrip("\n").split(",", len(COLUMNS))
    if len(cells) != len(COLUMNS):
        raise InputError(where, f"{len(COLUMNS)} cells", f"{text.count(',') + 1}")
    values: dict[str, Any] = {}
    for each, cell in zip(dataclasses.fields(Row), cells, strict=True):
        try:
            if "_" in cell or not cell.isascii():  # Python reads 2_000 and digits of other scripts
                raise ValueError(cell)
            if each.name in ("partition", "stragglers"):
                values[each.name] = tuple(map(int, cell.split(" "))) if cell else ()
            else:
                values[each.name] = int(cell) if each.name == "round" else float(cell)
        except ValueError:
            kind = "whole numbers" if each.name in ("partition", "stragglers", "round") else "a number"
            raise InputError(f"{where}, column {COLUMNS[each.name]!r}", kind, brief(cell)) from None
    return Row(**values)
