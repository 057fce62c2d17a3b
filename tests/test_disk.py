"""Files that cannot be read or written: the error names the one that was given, and others are left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import fedopt
from fedopt import InputError, disk, files
from fedopt.disk import check_parts, check_writable, read_limited, replace_file
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


@pytest.mark.parametrize("path", ["", "/", "."])
def test_a_path_without_a_name_is_no_file(path: str) -> None:
    for act in (lambda: read_limited(path, 9), lambda: replace_file(path, b"")):
        with pytest.raises(InputError, match=rf"expected the path of a file, found '{path}'$"):
            act()


def test_a_limit_is_the_greatest_size_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == read_limited(path, 6) == b"12345"
    with pytest.raises(InputError, match=r": expected at most 4 bytes, found a file of 5 bytes$"):
        read_limited(path, 4)


@pytest.mark.parametrize("free", [0, 1, 1000])
def test_of_the_parts_of_a_text_numbers_in_objects_are_free(free: int) -> None:
    """{"float": "inf"} has a bracket and a colon; all other lists, objects and keys count."""
    parts = b'{"float":"inf"}' * free + b"[" * disk.NESTED
    check_parts("a.json", parts, free=free)
    for more in (b"[", b"{", b":"):
        with pytest.raises(InputError, match="lists, objects and keys"):
            check_parts("a.json", parts + more, free=free)


@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_somebody_else_is_not_written_through(
    link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it has the temporary file's name."""
    monkeypatch.setattr(disk.secrets, "token_hex", lambda size: "0")
    own, other = tmp_path / "other", tmp_path / ".a.json.0.tmp"
    own.write_bytes(b"kept")
    if link:
        other.symlink_to(own)
    else:
        other.write_bytes(b"kept")
    with pytest.raises(FileExistsError, match=r"a\.json"):
        replace_file(tmp_path / "a.json", b"new")
    assert own.read_bytes() == other.read_bytes() == b"kept"
    assert not (tmp_path / "a.json").exists()


def test_what_cannot_be_removed_does_not_keep_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a temporary file's name stays; a link goes, wherever it leads."""
    folder, link, file = (tmp_path / f".a.{index:016x}.tmp" for index in range(3))
    folder.mkdir()
    link.symlink_to("nowhere")
    file.write_bytes(b"left")
    for path in (folder, link, file):
        os.utime(path, (0, time.time() - 25 * 60 * 60), follow_symlinks=False)
    listed = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(disk.os, "listdir", lambda place: listed)
    replace_file(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert set(os.listdir(tmp_path)) == {"a", folder.name}


@pytest.mark.parametrize("mode", [os.W_OK, os.X_OK])
def test_a_folder_that_nothing_can_be_written_into_is_refused_before_long_work(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files can be neither made nor reached; no permissions hold root."""
    check_writable(tmp_path)
    monkeypatch.setattr(disk.os, "access", lambda path, asked: not asked & mode)
    with pytest.raises(PermissionError) as refused:
        check_writable(tmp_path)
    assert refused.value.filename == str(tmp_path)
