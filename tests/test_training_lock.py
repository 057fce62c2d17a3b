"""Two runs that would write the same checkpoint: one of them is refused, and a killed one is in nobody's way."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import fedopt

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
from lessons import lesson, timeless

from fedopt.training import lock
from fedopt.training.algorithm import Job, Update
from fedopt.training.engines.sidebyside import possible
from fedopt.training.lock import alone
from fedopt.training.state import TrainingState


def test_a_second_run_on_a_checkpoint_is_refused(tmp_path: Path) -> None:
    """From before the first round on, while there is no checkpoint yet that could be compared."""
    path, refused = tmp_path / "run.safetensors", []

    def another(state: TrainingState) -> None:
        with pytest.raises(fedopt.InputError, match=re.escape(f"{path}: expected no other run that writes it")):
            lesson(1, checkpoint=path, seed=6)
        lesson(1, checkpoint=tmp_path / "other.safetensors")  # beside it there may be others
        refused.append(state.round)

    history = lesson(2, checkpoint=path, callbacks=[another])
    assert refused == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["other.safetensors", "run.safetensors"]
    assert repr(timeless(history.rows)) == repr(timeless(lesson(2, checkpoint=path).rows))


HOLDING = """
import sys, time
from pathlib import Path
from fedopt.training.lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(lock.fcntl is None, reason="no such locks")
def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    home = {**os.environ, "PYTHONPATH": str(Path(fedopt.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=-1, env=home) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(fedopt.InputError, match="under way"), alone(path):
            pass
        process.send_signal(signal.SIGKILL)
    assert len(os.listdir(tmp_path)) == 1  # what it leaves behind
    with alone(path):
        pass
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux") or not possible(), reason="open files are read off /proc")
def test_the_processes_of_a_run_do_not_have_its_lock(tmp_path: Path) -> None:
    """They may outlive it for as long as they train a client."""
    seen: dict[str, int] = {}

    def look(state: TrainingState) -> None:
        for pid in (str(os.getpid()), *Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
            files = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
            seen[pid] = sum(file.startswith(str(tmp_path)) for file in files)

    lesson(1, engine="sidebyside", checkpoint=tmp_path / "run", callbacks=[look])
    assert seen.pop(str(os.getpid())) == 1
    assert seen
    assert not any(seen.values())


def test_a_lock_that_was_removed_meanwhile_is_none(tmp_path: Path) -> None:
    """Who ends a run removes its file, which another may have opened just before."""
    path = tmp_path / "lock"
    for left in (False, True):
        with path.open("w") as file:
            path.unlink()
            if left:
                path.touch()
            assert not lock._held(file.fileno(), path)


def test_where_there_are_no_locks_runs_are_not_held_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    path = tmp_path / "run"
    if lock.fcntl is not None:
        with monkeypatch.context() as patch:
            patch.setattr(lock.fcntl, "flock", no_locks)
            with alone(path), alone(path):
                pass
    monkeypatch.setattr(lock, "fcntl", None)
    with alone(path), alone(path):
        pass
    assert not os.listdir(tmp_path)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The flags by which a lock's file cannot be opened; no permissions hold root."""
    flags: list[int] = []
    opened = os.open

    def maybe(path: Any, how: int, *mode: Any, **more: Any) -> int:
        if str(path).endswith(".lock") and any(how & each == each for each in flags):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, how, *mode, **more)

    monkeypatch.setattr(lock.os, "open", maybe)
    return flags


@pytest.mark.skipif(lock.fcntl is None, reason="no such locks")
def test_the_file_that_another_users_killed_run_left_hinders_nobody(tmp_path: Path, refused: list[int]) -> None:
    """It may only be read, and is locked all the same."""
    with alone(tmp_path / "run"):
        [left] = tmp_path.iterdir()
    left.touch()
    refused.append(os.O_RDWR)
    with alone(tmp_path / "run"), pytest.raises(fedopt.InputError, match="under way"), alone(tmp_path / "run"):
        pass
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(lock.fcntl is None, reason="no such locks")
def test_a_run_that_is_done_can_be_called_up_where_nothing_can_be_written(
    tmp_path: Path, refused: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = lesson(1, checkpoint=tmp_path / "run")
    refused.append(os.O_RDONLY)  # any
    with pytest.raises(PermissionError):  # another run may be under way
        lesson(1, checkpoint=tmp_path / "run")
    monkeypatch.setattr(lock.os, "access", lambda path, mode: False)
    assert repr(timeless(lesson(1, checkpoint=tmp_path / "run").rows)) == repr(timeless(done.rows))
    with pytest.raises(PermissionError) as caught:  # before another round is trained
        lesson(2, checkpoint=tmp_path / "run")
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(PermissionError) as caught:
        lesson(1, checkpoint=tmp_path / "new")
    assert caught.value.filename == str(tmp_path / "new")


@pytest.mark.skipif(lock.fcntl is None or not hasattr(os, "fork"), reason="no such locks, or processes")
def test_a_child_that_unwinds_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    path, parent = tmp_path / "run", os.getpid()
    try:
        with alone(path):
            child = os.fork()
            if child == 0:
                raise SystemExit
            os.waitpid(child, 0)
            with pytest.raises(fedopt.InputError, match="under way"), alone(path):
                pass
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert not os.listdir(tmp_path)


def test_a_callback_may_change_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint stays where it was locked."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    lesson(1, checkpoint="run", callbacks=[lambda state: os.chdir(tmp_path / "other")])
    assert sorted(os.listdir(tmp_path)) == ["other", "run"]
    assert not os.listdir(tmp_path / "other")


def test_a_folder_that_goes_away_after_the_last_round_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def gone(state: TrainingState) -> None:
        if state.round:
            shutil.rmtree(folder)
            folder.touch()

    assert lesson(1, checkpoint=folder / "run", callbacks=[gone]).rows[-1].round == 1


def test_a_folder_that_is_not_there_costs_no_round(tmp_path: Path) -> None:
    def untrained(jobs: Sequence[Job], index: int) -> list[Update]:
        raise AssertionError

    path = tmp_path / "nowhere" / "run"
    with pytest.raises(FileNotFoundError) as caught:
        lesson(1, checkpoint=path, engine=untrained)
    assert caught.value.filename == str(path)
    with pytest.raises(fedopt.InputError, match="NUL"):
        lesson(1, checkpoint=tmp_path / "a\0b", engine=untrained)
    longest = tmp_path / ("\u6f22" * 85)  # 255 bytes
    lesson(1, checkpoint=longest)
    assert os.listdir(tmp_path) == [longest.name]
