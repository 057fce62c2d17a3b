"""write_solution() and read_solution(): an answer that can be verified years later. The format is files.py's."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from fedopt.checks import InputError, kind
from fedopt.problem import Problem
from fedopt.solution import Solution


def write_solution(solution: Solution, path: str | PathLike[str]) -> None:
    """Write an answer with its problem, a version and a checksum; infeasible ones too.

    Of a utility of the user's own only the name is kept. Raises InputError, OSError.
    """
    from fedopt.files import write_json  # scenarios and hashes: not before something is written

    kind("solution", solution, Solution, "a Solution")
    if solution.problem is None:
        raise InputError("solution.problem", "the problem it is the answer of", "None")
    write_json(solution.problem, solution, path)


def read_solution(path: str | PathLike[str]) -> tuple[Problem, Solution]:
    """The problem and the answer that write_solution() or ``fedopt solve --out`` wrote.

    Every number is the same to the last bit. Length, format, version and checksum are checked, and the decision is
    judged anew; ``fedopt.verify(problem, solution)`` checks all the rest.

    Raises InputError where the file is no such record, is damaged, or claims to be solved where the judge disagrees;
    OSError where it cannot be read.
    """
    from fedopt.files import read_json

    record = read_json(Path(path))
    return record.problem, record.solution
