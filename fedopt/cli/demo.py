"""The demo: the whole search on the bundled phones, the methods compared, the files a user gets."""

from __future__ import annotations

import sys
import time
from importlib.resources import as_file, files
from pathlib import Path

import typer

import fedopt
from fedopt.cli.output import make_folder, write_all
from fedopt.cli.show import progress, show
from fedopt.problem import Problem
from fedopt.report import Entry, Table, budget_text, comparison, groups, headline, holding
from fedopt.scenario import read_scenario

SCENARIOS = ("demo-10W", "demo-100W")
_METHODS = ("random", "sorted", "marginal", "assignment", "exact")  # the best comes last


def run(out: Path) -> None:
    """Solve both demo scenarios, print what a person wants to know, write CSV, JSON and pictures into ``out``."""
    make_folder(out)
    for name in SCENARIOS:
        with as_file(files("fedopt") / "data" / f"{name}.toml") as path:
            problem = read_scenario(path).problem
        if name == SCENARIOS[0]:
            show(_fleet(problem))
            with progress("compiling the kernels (kept for the next time)"):
                for method in _METHODS:
                    fedopt.solve(problem, matching=method)
        typer.secho(
            f"=== {len(problem.clients)} phones, {budget_text(problem.budget)} ===\n", file=sys.stdout, bold=True
        )
        entries = compare(problem)
        show(comparison(entries))
        best = entries[-1].solution
        print(f"The answer of {_METHODS[-1]!r} in detail:\n")
        written = write_all(problem, best, out, name, matching=_METHODS[-1])
        show(headline(problem, best), groups(problem, best), holding(problem, best))
        print(f"Written: {', '.join(str(path) for path in written)}\n")


def compare(problem: Problem) -> list[Entry]:
    """The answers to the same problem of the all-large baseline and then of every matching, by the matching's name."""
    plain = _timed("all clients the largest", _all_large(problem), _METHODS[-1])
    return [plain, *(_timed(name, problem, name) for name in _METHODS)]


def _timed(label: str, problem: Problem, method: str) -> Entry:
    started = time.perf_counter()
    with progress(f"matching: {label}") as report:
        solution = fedopt.solve(problem, matching=method, progress=report)
    return Entry(method=label, solution=solution, seconds=time.perf_counter() - started)


def _all_large(problem: Problem) -> Problem:
    """Plain federated learning: every client trains the first, full model."""
    counts = [len(problem.clients)] + [0] * (len(problem.submodels) - 1)
    return Problem(
        problem.clients, problem.submodels, budget=problem.budget, partitions=[counts], utility=problem.utility
    )


def _fleet(problem: Problem) -> Table:
    rows = tuple(
        (s.name, f"{s.flops / 6e6:.4g}", f"{s.upload_bits / 8e3:.4g}", str(s.cover)) for s in problem.submodels
    )
    columns = ("sub-model", "forward MMAC per sample", "update [kB]", "sub-models per replica")
    return Table(title="Four sub-models of one network, on 64 real phones in a cell", columns=columns, rows=rows)
