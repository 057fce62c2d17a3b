"""P13: the first answer of a fresh process, N = 64, over ``import numba``; compiler cache empty and filled.

Whole processes are timed, the interpreter's start included in both. They import a copy of the packages, so that no edit
made meanwhile empties their cache. So few clients are answered in plain Python; beside that, the
time of a process that compiles at once, which is what fills the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import NAN, ROOT, Benchmark, Ratio, Row, median, quotient, run, timed
from benchmarks.pictures import figure, goals

NAME = "p13_first_answer"
SIZE = 64
GOALS = {"empty": (15.0, 3.0), "filled": (3.0, 2.0)}
_LIMIT = 300.0  # [s] for one process

_SCHEDULE = """
import numpy as np, fedopt
rng = np.random.default_rng(0)
fastest = rng.uniform(0.8e9, 2.5e9, 64)
clients = fedopt.Clients(frequency_min=0.1 * fastest, frequency_max=fastest, bandwidth=1e6,
                         capacitance=rng.uniform(0.5e-28, 3e-28, 64), samples=rng.integers(500, 1500, 64),
                         channel_gain=10.0 ** rng.uniform(-12, -8, 64))
"""
_ONE = """
work = fedopt.Workload(cycles=937 * 3.4e7, upload_bits=5.4e5)
answer = fedopt.schedule(clients, work, fedopt.PowerBudget(10.0))
"""
_TYPES = """
types = [fedopt.SubModel(n, flops=6.0 * m, upload_bits=32.0 * w, cover=q) for n, m, w, q in
         (("L", 5673024, 16938, 1), ("M", 2963520, 10010, 2), ("S", 2441376, 6250, 4), ("T", 1481760, 5018, 8))]
"""
_SOLVE = """
problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(10.0){})
answer = fedopt.solve(problem)
"""
_AT_ONCE = "from solvers import firstcalls\nfirstcalls.PATIENCE = 0\n"
_CHECK = "assert answer.status.solved, answer.reason\n"

PROGRAMS = {
    "import numba": "import numba\n",
    "import fedopt": "import fedopt\n",
    "schedule": _SCHEDULE + _ONE + _CHECK,
    "solve, one partition": _SCHEDULE + _TYPES + _SOLVE.format(", partitions=[(16, 16, 16, 16)]") + _CHECK,
    "solve, all 969 partitions": _SCHEDULE + _TYPES + _SOLVE.format("") + _CHECK,
}
COMPILED = ", compiled at once"  # of the programs that answer


def measure(quick: bool, programs: tuple[str, ...] = tuple(PROGRAMS)) -> Iterator[Row]:
    """A row per program, cache and repeat; the files of python and the packages are in the machine's memory."""
    repeats = 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        for package in ("fedopt", "solvers"):
            shutil.copytree(ROOT / package, Path(folder) / package)
        filled = f"{folder}/cache"
        for repeat in range(repeats):
            for name in programs:
                if name != "import numba":
                    with tempfile.TemporaryDirectory() as empty:
                        yield _process(name, "empty", repeat, empty, folder)
        for name in programs:
            if "import" not in name:
                yield _process(name + COMPILED, "empty", 0, filled, folder)
        for repeat in range(3 * repeats):
            for name in programs:
                yield _process(name, "filled", repeat, filled, folder)


def _process(name: str, settings: str, repeat: int, cache: str, folder: str) -> Row:
    """A row of one process that imports the packages in ``folder``."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": folder}
    text = PROGRAMS[name.removesuffix(COMPILED)]
    command = [sys.executable, "-c", _AT_ONCE + text if name.endswith(COMPILED) else text]
    same: dict[str, Any] = {
        "benchmark": NAME, "instance": f"uniform-{SIZE}", "clients": SIZE, "method": name,
        "settings": f"{settings} cache", "repeat": repeat, "threads": 0,
    }  # fmt: skip
    try:
        seconds, done = timed(
            lambda: subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        )
    except subprocess.TimeoutExpired:
        return Row(**same, solve_seconds=_LIMIT, status=f"time limit of {_LIMIT:g} s")
    failed = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
    return Row(**same, solve_seconds=seconds, status=f"failed: {failed}"[:200] if failed else "")


def compare(rows: list[Row]) -> list[Ratio]:
    """Each program's time over that of ``import numba``; the goals hold for a schedule and a solve of one partition."""
    floor = median(row for row in rows if row.method == "import numba")
    ratios = []
    for settings, (must, aim) in GOALS.items():
        for name in [*PROGRAMS, *(name + COMPILED for name in PROGRAMS)]:
            own = [row for row in rows if row.method == name and row.settings == f"{settings} cache"]
            if name == "import numba" or not own:
                continue
            binding = name in ("schedule", "solve, one partition")
            top = median(own)
            ratios.append(
                Ratio(
                    goal="P13" if binding else "",
                    what=f"{name}, {settings} cache",
                    value=quotient(top, floor),
                    top=top,
                    bottom=floor,
                    must=must if binding else NAN,
                    aim=aim if binding else NAN,
                    above=False,
                )
            )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """A bar per program and cache."""
    made, panels = figure(2, "P13: a fresh process's first answer (64 clients), over `import numba`", (7, 4))
    made.set_size_inches(18.0, 4.8)
    for axes, settings in zip(panels, GOALS, strict=True):
        own = [each for each in ratios if each.what.endswith(f"{settings} cache")]
        if own:
            goals(axes, own, [each.what.rpartition(",")[0].replace(", ", ",\n") for each in own])
        axes.set_xlabel(f"compiler cache {settings}")
        axes.set_ylabel("time of the process over that of `import numba`")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
