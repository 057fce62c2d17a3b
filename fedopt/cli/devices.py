"""``fedopt devices fit``: power models of measured CPUs, how good they are, and which tables were refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fedopt.checks import InputError
from fedopt.cli.output import check_kept
from fedopt.cli.show import fail, show
from fedopt.devices import PowerFit, Survey, SurveyRow, fit_power, read_freqbench, survey
from fedopt.disk import replace_file
from fedopt.files import csv_text
from fedopt.report import Table

_UNITS = {"capacitance": "J s^2", "static_power": "W", "frequency_min": "Hz", "frequency_max": "Hz"}


def run(source: Path, out: Path | None) -> None:
    """Fit a folder of chips or one table, print the fits, and write them to the CSV file ``out``.

    Leaves with exit code 2 where not a single fit was possible. Raises InputError, OSError.
    """
    if out is not None:
        check_kept([out], source.rglob("results.csv") if source.is_dir() else [source])
    found = survey(source) if source.is_dir() else _one(source)
    try:
        if out is not None and found.fits:
            replace_file(out, _csv(found).encode())
    finally:
        show(_fits(found), *([_refused(found)] if found.refused else []))
    if not found.fits:
        fail(f"{source}: expected measured powers that follow kappa f^3 + P_s, found none")
    if out is not None:
        print(f"Written: {out}")


def _one(path: Path) -> Survey:
    """The clusters of a single table, <chip>/<run>/results.csv."""
    rows = []
    chip, run = ("", *path.resolve().parts)[-3:-1]
    for cluster in read_freqbench(path):
        fit, reason = None, ""
        try:
            fit = fit_power(cluster.frequency, cluster.power)
        except InputError as error:
            reason = str(error)
        rows.append(SurveyRow(chip=chip, run=run, cpu=cluster.cpu, fit=fit, reason=reason))
    return Survey(tuple(rows))


def _fits(found: Survey) -> Table:
    rows = tuple(
        (
            row.chip,
            str(row.cpu),
            f"{row.fit.capacitance:.3g}",
            f"{row.fit.static_power * 1e3:.3g}",
            f"{row.fit.frequency_min / 1e9:.2f}..{row.fit.frequency_max / 1e9:.2f}",
            f"{row.fit.error:.1%}",
            f"{row.fit.worst:.1%}",
            str(row.fit.points),
        )
        for row in found.rows
        if row.fit is not None
    )
    columns = ("chip", "cpu", "kappa [J s^2]", "static [mW]", "range [GHz]", "median error", "worst", "points")
    median = f"Median capacitance {found.median('capacitance'):.3g} J s^2, error {found.median('error'):.1%}."
    return Table(title="P(f) = kappa f^3 + P_s", columns=columns, rows=rows, notes=(median,) if rows else ())


def _refused(found: Survey) -> Table:
    rows = tuple((row.chip, str(row.cpu), row.reason) for row in found.refused)
    return Table(title="Refused", columns=("chip", "cpu", "why"), rows=rows, left=3)


def _csv(found: Survey) -> str:
    names = [each.name for each in dataclasses.fields(PowerFit)]
    header = [
        "chip",
        "run",
        "cpu",
        *(f"{name}[{_UNITS[name]}]" if name in _UNITS else name for name in names),
        "refused",
    ]
    rows = [
        [row.chip, row.run, row.cpu, *("" if row.fit is None else getattr(row.fit, n) for n in names), row.reason]
        for row in found.rows
    ]
    return csv_text(header, rows)
