"""What the benchmarks share: rows and goals on disk, timing, the machine, and the command each of them is.

A benchmark is a ``Benchmark``: ``measure`` yields tidy rows as they are measured, ``compare`` turns rows into the
ratios of the speed table, ``draw`` makes the picture. Ratios are of medians of rows of one run: the machine is shared.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fedopt.disk import replace_file
from fedopt.files import csv_text
from solvers import firstcalls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
INTERRUPTED = 130  # exit code
NAN = float("nan")
T = TypeVar("T")

_PACKAGES = ("numpy", "scipy", "numba", "cvxpy", "clarabel", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement: (instance, method, settings, repeat). NaN where a number does not apply or does not exist.

    build_seconds : building and checking Clients and Workload. solve_seconds : the call that answers. energy [J],
    violation : by the judge, from the decision alone. error : relative, of what ``settings`` or the benchmark's
    table says. memory [B]: what the call took, per client. passes : level-3 passes over all clients. load : the
    machine's one-minute load average.
    """

    benchmark: str
    instance: str
    clients: int
    method: str
    settings: str = ""
    repeat: int = 0
    status: str = ""
    build_seconds: float = NAN
    solve_seconds: float = NAN
    passes: float = NAN
    duration: float = NAN
    energy: float = NAN
    violation: float = NAN
    error: float = NAN
    memory: float = NAN
    threads: int = 1
    load: float = dataclasses.field(default_factory=lambda: os.getloadavg()[0])

    @property
    def seconds(self) -> float:
        """Build and solve together; the solve alone where nothing was built."""
        return self.solve_seconds + (0.0 if self.build_seconds != self.build_seconds else self.build_seconds)

    @property
    def good(self) -> bool:
        """True where the method answered: failures and time limits stay in the table, not in the medians."""
        return self.status in ("", "optimal", "slack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A goal of the speed table: ``value`` = ``top`` / ``bottom`` (or a plain number), better above or below."""

    goal: str
    what: str
    value: float
    must: float
    aim: float
    top: float = NAN
    bottom: float = NAN
    unit: str = "s"
    above: bool = True

    @property
    def verdict(self) -> str:
        """Whether it reaches the goal: "aim", "must", "missed"; "no number", or "" where there is no goal."""
        if self.value != self.value:
            return "no number"
        if self.must != self.must:
            return ""
        better = (lambda limit: self.value >= limit) if self.above else (lambda limit: self.value <= limit)
        return "aim" if better(self.aim) else "must" if better(self.must) else "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A command: its name, what it is about, and the three functions."""

    name: str
    about: str
    measure: Callable[[bool], Iterator[Row]]
    compare: Callable[[list[Row]], list[Ratio]]
    draw: Callable[[list[Row], list[Ratio]], Figure]


def run(benchmark: Benchmark, arguments: list[str] | None = None) -> int:
    """The command: measure, write rows and ratios as CSV and the picture as PNG, print the ratios."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark.name}", description=benchmark.about)
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute at most; writes elsewhere")
    parser.add_argument(
        "--out", type=Path, help="folder for CSV and PNG (default: benchmarks/results; quick: out/bench)"
    )
    options = parser.parse_args(arguments)
    folder = options.out or (ROOT / "out" / "bench" if options.quick else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    firstcalls.PATIENCE = 0  # what is timed is compiled; P13's processes are their own
    print(f"{benchmark.name}: {benchmark.about}\n{machine()}\n{versions()}", file=sys.stderr)
    try:
        rows = list(_reported(benchmark.measure(options.quick)))
        write_rows(folder / f"{benchmark.name}.csv", rows)
        ratios = benchmark.compare(rows)
        write_ratios(folder / f"{benchmark.name}-ratios.csv", ratios)
        _draw(benchmark, rows, ratios, folder / f"{benchmark.name}.png")
        print(table(ratios))
    except KeyboardInterrupt:
        print(f"{benchmark.name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _draw(benchmark: Benchmark, rows: list[Row], ratios: list[Ratio], path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        print("no picture: pip install 'fedopt[plots]'", file=sys.stderr)
        return
    benchmark.draw(rows, ratios).savefig(path, dpi=110)


def _reported(rows: Iterator[Row]) -> Iterator[Row]:
    """Pass rows on, telling a person what happens, at most about once a second."""
    started, last = time.perf_counter(), 0.0
    for count, row in enumerate(rows, 1):
        now = time.perf_counter()
        if now - last > 1.0 or not row.good:
            last = now
            what = f"{row.solve_seconds:.4g} s" if row.good else row.status
            print(
                f"{now - started:7.1f} s  row {count}: {row.instance}, {row.method} {row.settings}: {what}",
                file=sys.stderr,
            )
        yield row


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Tidy rows, with machine and versions in every row, as a table that leaves this machine needs."""
    names = [field.name for field in dataclasses.fields(Row)]
    cells = ([*(_cell(getattr(row, name)) for name in names), machine(), versions()] for row in rows)
    replace_file(path, csv_text([*names, "machine", "versions"], cells).encode())


def write_ratios(path: Path, ratios: Iterable[Ratio]) -> None:
    """The goals, measured."""
    names = [field.name for field in dataclasses.fields(Ratio)]
    last = (f"{os.getloadavg()[0]:.2f}", machine(), versions())
    cells = ([*(_cell(getattr(ratio, name)) for name in names), ratio.verdict, *last] for ratio in ratios)
    replace_file(path, csv_text([*names, "verdict", "load", "machine", "versions"], cells).encode())


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}" if value < 1e-3 else f"{value:.10g}"
    return value


def table(ratios: Iterable[Ratio]) -> str:
    """The goals for people."""
    lines = [f"{'goal':<5} {'what':<58} {'value':>9} {'must':>9} {'aim':>9}  verdict"]
    for r in ratios:
        sign = ">=" if r.above else "<="
        of = f" ({r.top:.3g} / {r.bottom:.3g} {r.unit})" if r.top == r.top else ""
        limits = " ".join("".rjust(9) if limit != limit else f"{sign}{limit:g}".rjust(9) for limit in (r.must, r.aim))
        lines.append(f"{r.goal:<5} {r.what:<58} {r.value:>9.4g} {limits}  {r.verdict:<6}{of}")
    return "\n".join(lines)


def median(rows: Iterable[Row], what: Callable[[Row], float] = lambda row: row.seconds) -> float:
    """Median over the rows that answered; NaN where none did."""
    values = [what(row) for row in rows if row.good]
    return statistics.median(values) if values else NAN


def answered_by(rows: Iterable[Row], *methods: str) -> list[Row]:
    """The rows of the instances that every one of ``methods`` (first words of their names) answered."""
    rows = list(rows)
    both = set.intersection(*({r.instance for r in rows if r.good and r.method.startswith(m)} for m in methods))
    return [row for row in rows if row.instance in both]


def typical(rows: Iterable[Row], above: str, below: str) -> tuple[float, float]:
    """Medians of two methods (first words of their names) on the instance whose ratio of the two is the median one.

    The two run within seconds there; between instances a shared machine may change its speed. NaN where none has both.
    """
    both = answered_by(rows, above, below)
    pairs = []
    for instance in dict.fromkeys(row.instance for row in both):
        here = [row for row in both if row.instance == instance]
        top, bottom = (median(row for row in here if row.method.startswith(method)) for method in (above, below))
        pairs.append((top, bottom))
    return sorted(pairs, key=lambda pair: quotient(*pair))[(len(pairs) - 1) // 2] if pairs else (NAN, NAN)


def quotient(top: float, bottom: float) -> float:
    """top / bottom, NaN where either is missing."""
    return top / bottom if top == top and bottom > 0.0 else NAN


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


class TimeLimit(Exception):
    """A method was stopped at its time limit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block after ``seconds``; a call into compiled code is cut off when it comes back."""

    def stop(signum: int, frame: Any) -> None:
        raise TimeLimit(f"time limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for the solver within the block."""
    before = os.environ.get("FEDOPT_THREADS")
    os.environ["FEDOPT_THREADS"] = str(count)
    try:
        yield
    finally:
        os.environ.pop("FEDOPT_THREADS")
        if before is not None:
            os.environ["FEDOPT_THREADS"] = before


@cache
def machine() -> str:
    """Processor, number of processors, operating system."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = named[0].partition(":")[2].strip() if named else name
    return f"{name}, {os.cpu_count()} processors, {platform.system()}"


@cache
def versions() -> str:
    """Python, the packages that matter, and the commit ("+" where the working tree differs)."""
    found = [f"python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    try:
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
        found.append("fedopt " + subprocess.check_output(git, text=True, stderr=subprocess.DEVNULL).strip())
    except (OSError, subprocess.CalledProcessError):
        found.append("fedopt, no commit")
    return "; ".join(found)
