"""What a solve leaves on disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fedopt import files, plots
from fedopt.checks import InputError, brief, printable
from fedopt.disk import check_writable
from fedopt.problem import Problem
from fedopt.solution import Solution
from solvers.lookup import MissingExtra

_MARKS = {  # of what files.write_csv and plots.save write
    ".csv": b"client,name,submodel,frequency[Hz],rate[bit/s],",
    ".png": b"tEXtSoftware\0fedopt",
    ".svg": b"<dc:title>fedopt</dc:title>",
}


def make_folder(out: Path) -> None:
    """Make the folder ``out`` where there is none, before long work is done for it. Raises OSError if it is no use."""
    out.mkdir(parents=True, exist_ok=True)
    check_writable(out)


def answers(out: Path, name: str) -> dict[str, Path]:
    """What write_all writes, by their forms."""
    return {form: out / f"{name}.{form}" for form in ("json", "csv", "png", "svg")}


def check_kept(written: Iterable[Path], read: Iterable[Path | None]) -> None:
    """Raise InputError where a file that is ``read``, such as the fleet, is one of those that are to be ``written``."""
    given = [path for path in read if path is not None and os.path.exists(path)]  # of any name, even one too long
    for path in written:
        if os.path.exists(path) and any(map(path.samefile, given)):
            raise InputError("--out", f"another place, as {path} is an input file", brief(str(path.parent)))


def write_all(problem: Problem, solution: Solution, out: Path, name: str, **settings: Any) -> list[Path]:
    """Write NAME.json and, where there is a decision, NAME.csv, NAME.png and NAME.svg into an existing folder ``out``.

    What an earlier answer left there and this one does not have is removed then, with a line on stderr. Without
    matplotlib there are no pictures, and a line on stderr says how to get them. Returns the paths written. Raises
    OSError, which says that the others may be of an earlier answer.
    """
    paths = answers(out, name)
    try:
        files.write_json(problem, solution, paths["json"], **settings)
        written = [paths["json"], *_decision(problem, solution, paths)]
        older = [path for path in paths.values() if path not in written and _ours(path)]
        for path in older:
            path.unlink(missing_ok=True)  # another command may have removed it just now
    except OSError as error:
        said = f"{error.strerror}; other files named {name} there may be of an earlier answer"
        raise OSError(error.errno, said, error.filename) from error
    if older:
        print(f"fedopt: removed, of an earlier answer: {printable(', '.join(map(str, older)))}", file=sys.stderr)
    return written


def _decision(problem: Problem, solution: Solution, paths: dict[str, Path]) -> list[Path]:
    """Write the table and the pictures, as far as there is a decision and matplotlib; the paths written."""
    if solution.allocation is None:
        return []
    files.write_csv(problem, solution, paths["csv"])
    try:
        figure = plots.draw_round(problem, solution)
    except MissingExtra as error:
        print(f"fedopt: no picture: {error}", file=sys.stderr)
        return [paths["csv"]]
    return [paths["csv"], *(plots.save(figure, paths[form]) for form in ("png", "svg"))]


def _ours(path: Path) -> bool:
    """Whether there is a file that an earlier answer has written, by how it begins: a user's own is left alone."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _MARKS[path.suffix] in file.read(4096)
    except OSError:  # one that cannot be read, or has just gone
        return False
