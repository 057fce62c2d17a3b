"""A disk that fails at any step, two processes at once: the old file or the whole new one, a typed error, no litter."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import loaders
import pytest
from loaders import SETTINGS, checkpoint, history, problem
from matchings import fleet

import fedopt
from benchmarks import common
from fedopt import disk
from fedopt.cli.devices import run as fit_devices
from fedopt.cli.output import write_all
from fedopt.devices import phones64
from fedopt.disk import replace_file
from fedopt.scenario import write_scenario

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

from fedopt.training.checkpoint import _opened, write_checkpoint
from fedopt.training.history import History

MOST = 200  # steps of any writer


@contextmanager
def failing(at: int, code: int) -> Iterator[list[str]]:
    """The ``at``-th step of writing fails, counted from 0: opening, writing a part, flushing to disk, renaming.

    Yields the names of the steps that were taken. A write that fails has written some of its bytes.
    """
    steps: list[str] = []

    def fails(name: str) -> bool:
        steps.append(name)
        return len(steps) == at + 1

    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            if fails("write"):
                super().write(bytes(content)[: len(content) // 2])
                raise OSError(code, os.strerror(code))
            super().write(content)
            return len(content)

    def patched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if name == "open" and arguments[1] == "rb":
                return open(*arguments, **more)
            if fails(name):
                raise OSError(code, os.strerror(code), *map(str, arguments[:1]))
            return real(*arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, patched(name, getattr(os, name)))
        patch.setattr(disk, "open", patched("open", Full), raising=False)
        yield steps


def fits(folder: Path, seed: int) -> None:
    chip = folder / f"chips{seed}" / "chip" / "main"
    chip.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{seed},{f}00000,{3 * f}00,{20 + f * f}\n" for f in (5, 9, 14, 18, 22))
    (chip / "results.csv").write_text("CPU,Frequency (kHz),CoreMarks (iter/s),Power (mW)\n" + rows)
    fit_devices(chip.parents[1], folder / "fits.csv")


@cache
def answer(seed: int) -> tuple[fedopt.Problem, fedopt.Solution]:
    given = fedopt.Problem(fleet(4, seed), problem().submodels, budget=fedopt.PowerBudget(50.0))
    return given, fedopt.solve(given)


def trained(folder: Path, seed: int) -> None:
    (folder / "given").mkdir(exist_ok=True)
    (folder / "given" / "a").write_bytes(checkpoint())
    state = loaders.trained(folder / "given" / "a")
    write_checkpoint(folder / "run.safetensors", state, {**SETTINGS, "seed": seed})


def measured(folder: Path, seed: int) -> None:
    row = common.Row(benchmark="b", instance=f"i{seed}", clients=seed, method="m", load=0.0)
    common.write_rows(folder / "rows.csv", [row] * 3)


WRITERS: dict[str, Callable[[Path, int], Any]] = {
    "solve --out": lambda folder, seed: write_all(*answer(seed), folder, "answer"),
    "solution": lambda folder, seed: fedopt.write_solution(answer(seed)[1], folder / "a.json"),
    "scenario": lambda folder, seed: write_scenario(problem(), folder / "a.toml", seed=seed),
    "table": lambda folder, seed: fleet(50, seed).to_csv(folder / "a.csv"),
    "front": lambda folder, seed: fedopt.pareto(
        fedopt.Problem(phones64().take(range(seed, seed + 4)), problem().submodels, budget=fedopt.PowerBudget(2.0)),
        points=3,
    ).to_csv(folder / "front.csv"),
    "history": lambda folder, seed: History(
        rows=History.from_text(history(), "history").rows[seed - 1 :]
    ).to_csv(folder / "history.csv"),
    "checkpoint": trained,
    "rows": measured,
    "fits": fits,
}  # fmt: skip


def written(folder: Path) -> dict[str, bytes]:
    """What is in the folder itself, names beginning with a point too."""
    return {path.name: content(path) for path in folder.iterdir() if path.is_file()}


def content(path: Path) -> bytes:
    """The bytes; of a checkpoint, whose texts safetensors puts in any order, what its checksum proves to be whole."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    texts, tensors = _opened(str(path), path.read_bytes())
    return repr((texts, sorted(tensors.items()))).encode()


FAILURES = [(name, errno.ENOSPC) for name in WRITERS] + [("table", errno.EROFS), ("checkpoint", errno.EIO)]


@pytest.mark.parametrize(("name", "code"), FAILURES)
def test_a_disk_that_fails_at_any_step(name: str, code: int, tmp_path: Path) -> None:
    write = WRITERS[name]
    write(tmp_path, 2)  # what is made once is made
    with failing(MOST, code) as steps:
        write(tmp_path, 2)
    new = written(tmp_path)
    assert steps == ["open", "write", "fsync", "replace", "fsync"] * len(new)
    write(tmp_path, 1)
    old, before = written(tmp_path), {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert old.keys() == new.keys()
    assert all(old[file] != new[file] for file in old)
    for at in range(len(steps)):
        late = at % 5 == 4  # the file is there: what failed is only to make its name last
        said: AbstractContextManager[Any] = (
            nullcontext() if late else pytest.raises(OSError, match=re.escape(os.strerror(code)))
        )
        with failing(at, code), said:
            write(tmp_path, 2)
        found = written(tmp_path)
        assert found.keys() == old.keys()
        done = len(new) if late else at // 5  # files, each the old one or the new one as a whole
        assert sorted(found[file] == new[file] for file in new) == [False] * (len(new) - done) + [True] * done
        assert all(each in (old[file], new[file]) for file, each in found.items())
        for file, each in before.items():
            (tmp_path / file).write_bytes(each)


FULL = """
import resource, signal, sys
from pathlib import Path
from fedopt.disk import replace_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    replace_file(sys.argv[1], b"n" * 1_000_000)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_a_file_that_the_system_does_not_let_grow(tmp_path: Path) -> None:
    """The real thing: the kernel stops the write after a tenth of it."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    assert python(FULL, str(path)).stdout.split() == ["OSError", str(errno.EFBIG)]
    assert written(tmp_path) == {"a": b"old"}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = str(Path(fedopt.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": home}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)


INTERRUPTED = """
import os, random, signal, sys
from fedopt.disk import replace_file
os.fsync = lambda handle: None  # where most of the time goes
signal.signal(signal.SIGALRM, signal.default_int_handler)
path, draw, came = sys.argv[1], random.Random(1), 0
before = os.listdir("/dev/fd")
for turn in range(2000):
    try:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, 2e-4))
        replace_file(path, b"ab"[turn % 2:][:1] * 1000)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        came += 1
    with open(path, "rb") as file:
        content = file.read()
    assert content in (b"a" * 1000, b"b" * 1000)
print(came > 50, len(os.listdir("/dev/fd")) - len(before), os.listdir(os.path.dirname(path)))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer that interrupts")
def test_interrupts_at_any_moment_leave_no_file_and_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 1000)
    assert python(INTERRUPTED, str(tmp_path / "a")).stdout == "True 0 ['a']\n"


def test_what_a_killed_process_left_goes_a_day_later(tmp_path: Path) -> None:
    """Not before: another process, maybe on another machine, may be writing it."""
    old, new = ".a.csv.0123456789abcdef.tmp", ".a.csv.fedcba9876543210.tmp"
    others = {
        ".a.csv.0123456789abcdef.tmp2",
        ".b.csv.0123456789abcdef.tmp",
        ".a.csv.mine.tmp",
        "a.csv.0123456789abcdef.tmp",
    }
    for name in (old, new, *others):
        (tmp_path / name).write_bytes(b"left")
    for name in (old, *others):
        os.utime(tmp_path / name, (0, time.time() - 25 * 60 * 60))
    replace_file(tmp_path / "a.csv", b"new")
    assert set(os.listdir(tmp_path)) == {"a.csv", new, *others}


WRITING = """
import sys
from fedopt.disk import replace_file
for turn in range(100):
    replace_file(sys.argv[1], sys.argv[2].encode() * 300_000)
"""


def test_two_processes_that_write_the_same_file(tmp_path: Path) -> None:
    """Whenever it is looked at, it is the whole of one of them."""
    path, seen = tmp_path / "a", set()
    path.write_bytes(b"o" * 300_000)
    home = {**os.environ, "PYTHONPATH": str(Path(fedopt.__file__).parents[1])}
    both = [subprocess.Popen([sys.executable, "-c", WRITING, str(path), letter], env=home) for letter in "ab"]
    while any(process.poll() is None for process in both):
        content = path.read_bytes()
        seen.add(content[:1])
        assert content == content[:1] * 300_000
    assert [process.returncode for process in both] == [0, 0]
    assert {b"a", b"b"} <= seen
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("letters", [1, 2, 3, 4])
def test_the_longest_names_can_be_written(letters: int, tmp_path: Path) -> None:
    """255 bytes of any letters: the temporary file's name is shorter."""
    letter = "a\u00e9\u6f22\U0001f4f1"[letters - 1]
    path = tmp_path / (letter * (255 // letters))
    replace_file(path, b"new")
    assert written(tmp_path) == {path.name: b"new"}
