"""Read freqbench's measured tables (frequency, speed, power of each CPU cluster) and survey a folder of them.

freqbench (kdrag0n, MIT licence) runs CoreMark on one core of each cluster at every frequency step and measures the
phone's power above its idle power. A folder of results is laid out as ``<chip>/<run>/results.csv``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from fedopt.checks import FloatArray, InputError, by_constructor
from fedopt.devices.power import PowerFit, fit_power
from fedopt.disk import read_limited
from fedopt.tables import decimal

_CPU, _FREQUENCY, _SPEED, _POWER = "CPU", "Frequency (kHz)", "CoreMarks (iter/s)", "Power (mW)"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cluster:
    """One CPU cluster as measured: cpu is the number of the core under load, arrays are (n,), read-only.

    frequency [Hz], power [W] of that core, speed [CoreMark/s].
    """

    cpu: int
    frequency: FloatArray
    power: FloatArray
    speed: FloatArray

    def __post_init__(self) -> None:
        for values in (self.frequency, self.power, self.speed):
            values.setflags(write=False)

    __reduce__ = by_constructor

    @property
    def speed_per_hertz(self) -> float:
        """Median CoreMark/s per Hz: how much the core gets done in a cycle."""
        return float(np.median(self.speed / self.frequency))


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyRow:
    """One cluster of a survey: its fit, or None and the reason why it was refused."""

    chip: str
    run: str
    cpu: int
    fit: PowerFit | None
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """The fits of every cluster in a folder, the refused ones with their reasons."""

    rows: tuple[SurveyRow, ...]

    @property
    def fits(self) -> tuple[PowerFit, ...]:
        """The accepted fits."""
        return tuple(row.fit for row in self.rows if row.fit is not None)

    @property
    def refused(self) -> tuple[SurveyRow, ...]:
        """The rows without a fit."""
        return tuple(row for row in self.rows if row.fit is None)

    def median(self, quantity: str) -> float:
        """Median over the accepted fits of a field of PowerFit, such as "capacitance"; NaN if there are none."""
        return float(np.median([getattr(fit, quantity) for fit in self.fits])) if self.fits else float("nan")


def read_freqbench(path: str | PathLike[str]) -> tuple[Cluster, ...]:
    """The clusters of one ``results.csv``, in the file's order, frequencies in Hz and powers in W.

    Raises InputError naming file, line, column, expected and found; OSError where the file cannot be read. Values are
    only required to be numbers here: what cannot be right is refused by ``fit_power``.
    """
    source = os.fspath(path)
    groups: dict[int, list[tuple[float, float, float]]] = {}
    for line, row in _rows(source):
        cpu = _number(source, line, row, _CPU)
        if cpu != int(cpu):
            raise InputError(f"{source}, line {line}, column {_CPU!r}", "a whole number", repr(row[_CPU][:80]))
        values = tuple(_number(source, line, row, name) for name in (_FREQUENCY, _POWER, _SPEED))
        groups.setdefault(int(cpu), []).append((values[0] * 1e3, values[1] / 1e3, values[2]))
    if not groups:
        raise InputError(source, "at least one row", "none")
    return tuple(_cluster(cpu, np.array(rows)) for cpu, rows in groups.items())


def survey(folder: str | PathLike[str], *, run: str | None = "main") -> Survey:
    """Fit every cluster of every chip below ``folder``; chips in alphabetical order.

    run : which of a chip's runs to use; a chip without it is left out. None takes all runs. A table right in the
    chip's folder counts as its "main".
    Raises InputError where the folder holds no such results or a file is not a freqbench table.
    """
    root = Path(folder)
    files = {path: path.parent.name for path in root.glob("*/*/results.csv")}
    files |= dict.fromkeys(root.glob("*/results.csv"), "main")
    chosen = sorted(path for path, name in files.items() if run in (None, name))
    if not chosen:
        raise InputError(os.fspath(folder), f"a folder with <chip>/{run or '<run>'}/results.csv in it", "none")
    rows = []
    for path in chosen:
        chip = path.relative_to(root).parts[0]
        for cluster in read_freqbench(path):
            fit, reason = None, ""
            try:
                fit = fit_power(cluster.frequency, cluster.power)
            except InputError as error:
                reason = str(error)
            rows.append(SurveyRow(chip=chip, run=files[path], cpu=cluster.cpu, fit=fit, reason=reason))
    return Survey(tuple(rows))


def _cluster(cpu: int, table: FloatArray) -> Cluster:
    return Cluster(cpu=cpu, frequency=table[:, 0], power=table[:, 1], speed=table[:, 2])


def _rows(source: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name; refuses what is not a freqbench table."""
    try:
        lines = read_limited(source, _MAX_BYTES).decode("utf-8-sig").splitlines()
        table = list(csv.reader(lines, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(source, "comma-separated values in UTF-8", str(error)) from None
    header = table[0] if table else []
    missing = [name for name in (_CPU, _FREQUENCY, _SPEED, _POWER) if name not in header]
    if missing:
        raise InputError(f"{source}, line 1", "freqbench's columns", "no " + ", ".join(missing))
    again = [name for name in (_CPU, _FREQUENCY, _SPEED, _POWER) if header.count(name) > 1]
    if again:
        raise InputError(f"{source}, line 1", "each column once", f"{again[0]!r} again")
    for line, cells in enumerate(table[1:], start=2):
        if len(cells) != len(header):
            raise InputError(f"{source}, line {line}", f"{len(header)} cells, as in the header", f"{len(cells)}")
        yield line, dict(zip(header, cells, strict=True))


def _number(source: str, line: int, row: dict[str, str], name: str) -> float:
    value = decimal(row[name])
    if not np.isfinite(value):
        raise InputError(f"{source}, line {line}, column {name!r}", "a number", repr(row[name][:80]))
    return value
