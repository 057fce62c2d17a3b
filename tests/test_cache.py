"""Machine code on disk is never stale: an edit of any source file compiles anew, no edit does not.

numba's own cache looks at the file a kernel stands in and at no other; the edit here is in a callee's file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import solvers

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


def run(package: Path, patience: int = 0, ready: int = 0) -> tuple[float, int, int]:
    """The kernel's value at 2 in a fresh process, and how often the machine code came from disk and did not.

    patience, ready: numbers that go over in plain Python before anything is compiled, or loaded.
    """
    home = package.parent
    environment = {**os.environ, "PYTHONPATH": str(home), "NUMBA_CACHE_DIR": str(home / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own bytecode goes by size and time of change
    command = [sys.executable, "-c", RUN, str(patience), str(ready)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    value, hits, misses = done.stdout.split()
    return float(value), int(hits), int(misses)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
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


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_without_the_stamp_it_would_be(package: Path) -> None:
    """The reason for all this: numba alone serves the old machine code after the same edit."""
    (package / "small.py").write_text(
        KERNEL.replace("@kernel", "@numba.njit(cache=True)").replace("\n", "\nimport numba\n", 1)
    )
    assert run(package) == (21.0, 0, 1)
    (package / "scaling.py").write_text(CALLEE.format(factor=30.0))
    assert run(package) == (21.0, 1, 0)
