"""Machine code on disk is never stale: an edit of any source file compiles anew, no edit does not.

numba's own cache looks at the file a kernel stands in and at no other; the edit here is in a callee's file.
And what the disk cannot give or take is compiled all the same.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core.caching import CacheImpl
from numba.core.event import register, unregister

import solvers
from solvers import compile as compiler
from solvers import firstcalls
from solvers.compile import kernel

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")

CALLEE = """
from solvers.compile import inlined

@inlined
def scaled(x):
    return {factor} * x
"""
KERNEL = """
from solvers.compile import kernel
from solvers.scaling import scaled

@kernel
def value(x):
    return scaled(x) + 1.0
"""
RUN = """
import sys
from solvers import firstcalls
from solvers.small import value
firstcalls.PATIENCE, firstcalls.READY = map(int, sys.argv[1:])
firstcalls.much_to_do()
first = value(2.0)
print(first, sum(value.stats.cache_hits.values()), sum(value.stats.cache_misses.values()))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with a kernel of one line, whose callee stands in a file of its own."""
    copy = tmp_path / "solvers"
    shutil.copytree(Path(str(solvers.__file__)).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "small.py").write_text(KERNEL)
    (copy / "scaling.py").write_text(CALLEE.format(factor=10.0))
    return copy


def process(package: Path, patience: int, ready: int = 0, start: str = "") -> subprocess.CompletedProcess[str]:
    """The kernel's value at 2 in a fresh process, and how often the machine code came from disk and did not.

    patience, ready: numbers that go over in plain Python before anything is compiled, or loaded. start: is done first.
    """
    home = package.parent
    environment = {**os.environ, "PYTHONPATH": str(home), "NUMBA_CACHE_DIR": str(home / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own bytecode goes by size and time of change
    command = [sys.executable, "-c", start + RUN, str(patience), str(ready)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def run(package: Path, patience: int = 0, ready: int = 0, start: str = "") -> tuple[float, int, int]:
    """What the process says."""
    value, hits, misses = process(package, patience, ready, start).stdout.split()
    return float(value), int(hits), int(misses)


def test_an_edited_callee_is_never_served_stale(package: Path) -> None:
    assert run(package, 100) == (21.0, 0, 0)  # in plain Python
    assert run(package) == (21.0, 0, 1)
    assert run(package) == run(package, 100) == (21.0, 1, 0)  # unchanged: from disk
    assert run(package, 100, 100) == (21.0, 0, 0)  # too little to do for that
    callee = package / "scaling.py"
    before = callee.stat()
    callee.write_text(CALLEE.format(factor=30.0))
    os.utime(callee, ns=(before.st_atime_ns, before.st_mtime_ns))  # neither time of change nor size gives it away
    assert callee.stat().st_size == before.st_size
    assert run(package, 100) == (61.0, 0, 0)
    assert run(package) == (61.0, 0, 1)
    callee.write_text(CALLEE.format(factor=10.0))
    assert run(package)[0] == 21.0


EDIT = """
import pathlib
import solvers.copying
callee = pathlib.Path("solvers/scaling.py")
before = callee.read_text()
callee.write_text(before.replace("10.0", "30.0"))
"""
BACK = """
import solvers.small
callee.write_text(before)
"""


@pytest.mark.parametrize(("kept", "back"), [(True, ""), (False, BACK)], ids=["at the end", "before it is compiled"])
def test_a_callee_edited_after_the_first_kernels_were_imported_and_put_back(
    package: Path, kept: bool, back: str
) -> None:
    """The process has what it imported, whatever is on disk, and leaves nothing there for the next one."""
    if kept:
        assert run(package) == (21.0, 0, 1)
    assert run(package, start=EDIT + back) == (61.0, 0, 1)
    (package / "scaling.py").write_text(CALLEE.format(factor=10.0))
    assert run(package) == (21.0, int(kept), int(not kept))


def test_a_package_in_an_archive_is_compiled_in_each_process(package: Path) -> None:
    """It has no source files on disk of which an edit would show."""
    for factor, value in ((10.0, 21.0), (30.0, 61.0)):
        (package / "scaling.py").write_text(CALLEE.format(factor=factor))
        archive = shutil.make_archive(str(package.parent / f"packed {factor}"), "zip", package.parent, "solvers")
        Path(archive).replace(package.parent / "packed.zip")
        done = process(package, 0, start="import sys; sys.path.insert(0, 'packed.zip')\n")
        assert done.stdout.split() == [str(value), "0", "1"]
        assert "as in an archive" in done.stderr
    assert not (package.parent / "cache").exists()


def test_without_the_stamp_it_would_be(package: Path) -> None:
    """The reason for all this: numba alone serves the old machine code after the same edit."""
    (package / "small.py").write_text(
        KERNEL.replace("@kernel", "@numba.njit(cache=True)").replace("\n", "\nimport numba\n", 1)
    )
    assert run(package) == (21.0, 0, 1)
    (package / "scaling.py").write_text(CALLEE.format(factor=30.0))
    assert run(package) == (21.0, 1, 0)


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_an_old_data_file_never_answers_to_the_index_of_a_full_disk(package: Path) -> None:
    """The index, a few hundred bytes, has room yet, and names a data file that cannot be written over any more."""
    assert run(package) == (21.0, 0, 1)
    (package / "scaling.py").write_text(CALLEE.format(factor=30.0))
    index, data = written(package.parent / "cache")
    before = index.read_bytes(), data.read_bytes()
    assert len(before[0]) < 2048 < len(before[1])
    assert run(package, start=FULL) == (61.0, 0, 1)
    assert index.read_bytes() != before[0]
    assert data.read_bytes() == before[1]
    assert run(package) == (61.0, 0, 1)
    assert run(package) == (61.0, 1, 0)


def doubled(x: float) -> float:
    return 2 * x


def written(folder: Path) -> list[Path]:
    """The index and the data file."""
    return [path for kind in ("nbi", "nbc") for path in sorted(folder.rglob(f"*.{kind}"))]


def answered(x: float = 2.0) -> bool:
    """As a fresh process does, by a kernel of its own: whether the machine code came from disk."""
    fresh: Any = kernel(doubled)
    assert fresh(x) == 2 * x
    assert fresh(x) == 2 * x
    hits, misses = (sum(each.values()) for each in (fresh.stats.cache_hits, fresh.stats.cache_misses))
    assert hits + misses == 1
    return bool(hits)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where machine code is kept; nothing has been said yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    announcer = compiler._Announcer()
    monkeypatch.setattr(compiler, "_announcer", announcer)
    register("numba:compile", announcer)
    yield tmp_path / "kept"
    unregister("numba:compile", announcer)


DAMAGES = {
    "empty": lambda _: b"",
    "first half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"c" + data,  # reads as the name of a module
    "a number": lambda _: pickle.dumps(1),
    "another tuple": lambda _: pickle.dumps(numba.__version__) + pickle.dumps((None,)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [0, 1], ids=["index", "data"])
def test_a_damaged_file_is_compiled_anew_and_written_over(
    folder: Path, which: int, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert [answered(), answered()] == [False, True]
    damaged = written(folder)[which]
    damaged.write_bytes(DAMAGES[damage](damaged.read_bytes()))
    assert [answered(), answered()] == [False, True]
    assert not caplog.records


def test_a_damaged_index_loads_nothing_before_it_is_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not answered()
    index, _ = written(folder)
    index.write_bytes(b"")
    monkeypatch.setattr(firstcalls, "PATIENCE", 100)
    monkeypatch.setattr(firstcalls, "READY", 0)
    firstcalls.much_to_do()
    fresh: Any = kernel(doubled)
    assert fresh(2.0) == 4.0
    assert not fresh.signatures


def test_machine_code_for_other_types_is_not_taken_for_it(folder: Path) -> None:
    """Two processes at once may give one number to their data files."""
    for x in (2.0, 2):
        assert [answered(x), answered(x)] == [False, True]
    _, one, two = written(folder)
    one.write_bytes(two.read_bytes())
    assert [answered(2), answered(2.5), answered(2.5), answered(2)] == [True, False, True, True]


@pytest.mark.parametrize("name", ["the folder", "index", "data"])
def test_what_cannot_be_written_is_said_once_and_compiled_in_memory(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file stands where the folder was at import, or a folder where a file goes; any user may be refused that."""
    assert not answered()
    if name == "the folder":
        kept = written(folder)[0].parent
        fresh: Any = kernel(doubled)
        shutil.rmtree(kept)
        kept.write_text("")
        assert fresh(2.0) == 4.0
    else:
        place = written(folder)[("index", "data").index(name)]
        place.unlink()
        place.mkdir()
        assert [answered(), answered()] == [False, False]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fedopt", "WARNING")
    assert "NUMBA_CACHE_DIR" in record.getMessage()
    assert name == "the folder" or str(place) in record.getMessage()


def test_with_no_folder_to_write_in_each_process_compiles_and_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    kernel(doubled)
    assert not caplog.records  # until something is compiled
    assert [answered(), answered()] == [False, False]
    assert not folder.exists()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fedopt", "WARNING")
    assert "NUMBA_CACHE_DIR" in record.getMessage()
    assert capsys.readouterr().err.count("compiling for this machine, a minute or so, in each process") == 1


NOWHERE = "from numba.core.caching import CacheImpl\nCacheImpl._locator_classes = []\n"


def test_the_package_works_with_no_folder_to_write_in(package: Path) -> None:
    """Not compiled at once, either: the disk is asked in vain. Logging is as a program has it that never set it up."""
    for patience, counts in ((0, (0, 1)), (100, (0, 0))):
        done = process(package, patience, start=NOWHERE)
        assert done.stdout.split() == ["21.0", *map(str, counts)]
        assert done.stderr.count("cannot be kept on disk") == sum(counts)
        assert len(done.stderr.splitlines()) == sum(counts)
    assert not (package.parent / "cache").exists()
