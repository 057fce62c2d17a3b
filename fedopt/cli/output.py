"""What a solve leaves on disk."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

from fedopt import files, plots
from fedopt.problem import Problem
from fedopt.solution import Solution
from solvers.lookup import MissingExtra


def make_folder(out: Path) -> None:
    """Make the folder ``out`` where there is none, before long work is done for it. Raises OSError if it is no use."""
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))


def write_all(problem: Problem, solution: Solution, out: Path, name: str, **settings: Any) -> list[Path]:
    """Write NAME.json and, where there is a decision, NAME.csv, NAME.png and NAME.svg into an existing folder ``out``.

    Without matplotlib there are no pictures, and a line on stderr says how to get them. Returns the paths written.
    Raises OSError.
    """
    written = [out / f"{name}.json"]
    files.write_json(problem, solution, written[0], **settings)
    if solution.allocation is None:
        return written
    written.append(out / f"{name}.csv")
    files.write_csv(problem, solution, written[-1])
    try:
        figure = plots.draw_round(problem, solution)
    except MissingExtra as error:
        print(f"fedopt: no picture: {error}", file=sys.stderr)
        return written
    return written + [plots.save(figure, out / f"{name}.{form}") for form in ("png", "svg")]
