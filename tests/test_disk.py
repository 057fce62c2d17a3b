"""Paths that cannot be read or written: the error names the one that was given."""

from __future__ import annotations

from pathlib import Path

import pytest

import fedopt
from fedopt import InputError, files
from fedopt.disk import replace_file
from fedopt.scenario import read_scenario, write_scenario


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, error in ((tmp_path / "none" / "a.json", FileNotFoundError), (tmp_path / "folder", IsADirectoryError)):
        with pytest.raises(error) as failed:
            replace_file(path, b"new")
        assert str(failed.value).endswith(f": {str(path)!r}")


def test_no_file_has_a_path_with_nul() -> None:
    path = "a\0.csv"
    fleet = fedopt.Clients(frequency_min=0.0, frequency_max=2e9, samples=100, channel_gain=[1e-10] * 2, bandwidth=1e6)
    types = [fedopt.SubModel("L", flops=1e6, upload_bits=1e5)]
    problem = fedopt.Problem(fleet, types, budget=fedopt.PowerBudget(2.0))
    solved = problem, fedopt.solve(problem)
    for act in (
        lambda: fedopt.Clients.from_csv(path),
        lambda: read_scenario(path),
        lambda: files.read_json(path),
        lambda: problem.clients.to_csv(path),
        lambda: write_scenario(problem, path),
        lambda: files.write_csv(*solved, path),
        lambda: files.write_json(*solved, path),
    ):
        with pytest.raises(InputError, match=r": expected a path without NUL characters, found 'a\\x00\.csv'$"):
            act()
