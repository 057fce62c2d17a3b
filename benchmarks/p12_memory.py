"""P12: memory a call takes per client, over cvxpy's: a schedule, the sorted and the exact search of one partition.

A fresh process per row: imports, compilation and a small call first, then the fleet, then the call. What counts is by
how much the process's greatest resident size rises in the call, per client; both sides in one run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.common import NAN, ROOT, Benchmark, Ratio, Row, median, quotient, run
from benchmarks.instances import cell, energy_budget
from benchmarks.pictures import COLOURS, MARKERS, figure, legend

NAME = "p12_memory"
SIZES, CVXPY_SIZES = (100_000, 300_000, 1_000_000), (1_000, 3_000, 10_000)
SCHEDULE, SORTED, EXACT, CVXPY = "schedule", "solve, sorted", "solve, exact", "cvxpy"
_LIMIT = 600.0  # [s] for one process

_PROGRAM = """
import json, re, sys, time
import fedopt
from benchmarks.instances import TYPES, cell
from benchmarks.p5_growth import quarters
from solvers import firstcalls
firstcalls.PATIENCE = 0  # compiled by the call that warms up
method, size, joules = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def calls(size):
    (clients, work), budget = cell(size).build(), fedopt.EnergyBudget(joules * size)
    if not method.startswith("solve"):
        timing = "cvxpy" if method == "cvxpy" else "newton"
        return lambda: fedopt.schedule(clients, work, budget, timing=timing)
    problem = fedopt.Problem(clients, TYPES, budget=budget, partitions=[quarters(size)])
    return lambda: fedopt.solve(problem, matching=method.split()[-1])
def peak():  # the kernel's own count; getrusage() would count what the parent had
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
calls(100)()
call = calls(size)
before = peak()
started = time.perf_counter()
answer = call()
seconds = time.perf_counter() - started
rise = peak() - before
print(json.dumps({"status": answer.status.name.lower(), "solve_seconds": seconds, "memory": rise / size,
                  "duration": answer.duration, "energy": answer.energy,
                  "violation": answer.verdict.violation if answer.verdict else float("nan")}))
"""


def measure(quick: bool, sizes: tuple[int, ...] | None = None, theirs: tuple[int, ...] | None = None) -> Iterator[Row]:
    """A row per size, method and repeat."""
    repeats = 1 if quick else 3
    theirs = theirs or (CVXPY_SIZES[:1] if quick else CVXPY_SIZES)
    for repeat in range(repeats):
        for size in sizes or (SIZES[:1] if quick else SIZES):
            for method in (SCHEDULE, SORTED, EXACT):
                yield _process(method, size, repeat)
        for size in theirs if importlib.util.find_spec("cvxpy") else ():
            yield _process(CVXPY, size, repeat)


def _process(method: str, size: int, repeat: int) -> Row:
    same: dict[str, Any] = {"benchmark": NAME, "instance": f"cell-{size}-0", "clients": size, "method": method}
    same |= {"repeat": repeat, "threads": 0}
    joules = energy_budget(cell(size), 1.7).joules / size
    command = [sys.executable, "-c", _PROGRAM, method, str(size), repr(joules)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return Row(**same, solve_seconds=_LIMIT, status=f"time limit of {_LIMIT:g} s")
    if done.returncode:
        failed = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Row(**same, status=f"failed: {failed}"[:200])
    return Row(**same, **json.loads(done.stdout))


def memory(rows: list[Row], method: str, size: int) -> float:
    """Median bytes per client."""
    return median((r for r in rows if r.method == method and r.clients == size), lambda row: row.memory)


def compare(rows: list[Row]) -> list[Ratio]:
    """Bytes per client at the largest sizes; the goal is of a schedule, the task that both solve."""
    largest = {method: max((r.clients for r in rows if r.method == method), default=0) for method in _methods(rows)}
    theirs = memory(rows, CVXPY, largest[CVXPY]) if CVXPY in largest else NAN
    ratios = []
    for method in (SCHEDULE, SORTED, EXACT):
        ours, goal = memory(rows, method, largest[method]), method == SCHEDULE
        what = f"{method}, N = {largest[method]:,}, over cvxpy's schedule"
        ratios.append(
            Ratio(
                goal="P12" if goal else "", what=what, value=quotient(ours, theirs), must=0.01 if goal else NAN,
                aim=0.001 if goal else NAN, top=ours, bottom=theirs, unit="B", above=False,
            )
        )  # fmt: skip
    return ratios


def _methods(rows: list[Row]) -> list[str]:
    return [method for method in (SCHEDULE, SORTED, EXACT, CVXPY) if any(r.method == method for r in rows)]


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """Bytes per client against N."""
    made, (axes,) = figure(1, "P12: memory a call takes")
    for index, method in enumerate(_methods(rows)):
        sizes = sorted({r.clients for r in rows if r.method == method})
        values = [memory(rows, method, size) for size in sizes]
        axes.loglog(sizes, values, color=COLOURS[index], marker=MARKERS[index], label=method)
    axes.set(xlabel="clients N", ylabel="greatest resident size, rise per client [B]")
    legend(axes)
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
