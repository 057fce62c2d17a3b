"""Threads, processes and Ctrl-C: the same bits whoever else solves, no child that hangs, Ctrl-C gets through.

The fleets are large enough for several threads to be at work.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt.devices import random_fleet
from solvers import compile as compiler
from solvers.cached import cached_property
from solvers.compile import kernel

SIZE = 100_000  # three chunks and more
FULL = 100  # instances: 800 solves of each kind nightly
FORKS = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked safely on Linux only")
TYPES = (
    fedopt.SubModel("large", flops=34e6, upload_bits=540e3),
    fedopt.SubModel("small", flops=15e6, upload_bits=200e3),
)


@cache
def fleet(size: int) -> fedopt.Clients:
    return random_fleet(size, seed=3)


def digest(seed: int, size: int = SIZE) -> str:
    """A hash of all bits of the answer to an instance."""
    work = fleet(size).workload(TYPES, np.random.default_rng(seed).integers(0, 2, size))
    found = fedopt.schedule(fleet(size), work, fedopt.PowerBudget((0.1 + 0.01 * seed) * size))
    assert found.status.solved
    return bits(found)


def bits(found: fedopt.Schedule) -> str:
    """A hash of all bits of an answer."""
    hashed = hashlib.sha256(f"{found.status} {found.duration!r} {found.energy!r} {found.bracket!r}".encode())
    for name in fedopt.Allocation.__slots__ if found.allocation is not None else ():
        whole = getattr(found.allocation, name)
        for part in np.array_split(whole, 1 + whole.shape[0] // 1_000_000):  # Ctrl-C waits for one
            hashed.update(np.ascontiguousarray(part))
    return hashed.hexdigest()


def answers(seed: int) -> list[str]:
    """Every budget on channels of the clients' own, and a shared uplink, of a fleet of two chunks: all their bits."""
    rng = np.random.default_rng([11, seed])
    size = int(rng.integers(33_000, 45_000))
    clients = random_fleet(size, seed=seed)
    work = clients.workload(TYPES, rng.integers(0, 2, size))
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(np.inf)).duration
    T = float(rng.uniform(1.05, 3.0)) * shortest
    then = fedopt.allocate(clients, work, duration=T)
    joules, watts = float(then.energy.sum()), float(then.price.sum())
    budgets = (fedopt.PowerBudget(joules / T), fedopt.EnergyBudget(joules), fedopt.Deadline(T), fedopt.TimePrice(watts))
    found = [fedopt.schedule(clients, work, budget) for budget in budgets]
    shared = fedopt.SharedBandwidth(1e6 * size)
    found.append(fedopt.schedule(clients, work, budgets[0], access=shared))
    return [bits(each) for each in found]


def search(seed: int) -> str:
    """A whole small search: many kernels, many small calls."""
    found = fedopt.solve(fedopt.Problem(fleet(24), TYPES, budget=fedopt.PowerBudget(3.0 + seed)))
    return repr((found.duration, found.energy, found.partition, found.assignment))


def told(seeds: range, pipe: Any) -> None:
    pipe.send([digest(seed) for seed in seeds] + [search(seed) for seed in seeds])
    pipe.close()


def from_child(method: str, seeds: range) -> list[str]:
    """What a child of that kind answers, which has a minute for it."""
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=told, args=(seeds, there))
    child.start()
    there.close()
    try:
        assert here.poll(240.0), f"the {method}ed child hangs"
        answers: list[str] = here.recv()
    finally:
        child.kill()
        child.join()
    return answers


def eight_threads(count: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        together = [list(pool.map(each, [*range(count)] * 8)) for each in (digest, search)]
    for each, answers in zip((digest, search), together, strict=True):
        assert answers == [each(seed) for seed in range(count)] * 8


def test_eight_threads_at_once() -> None:
    eight_threads(2)


@pytest.mark.nightly("R13", 800)
def test_eight_hundred_solves_in_eight_threads() -> None:
    eight_threads(FULL)


def one_bit_pattern(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, two, three, four and eight threads, each twice."""
    for seed in seeds:
        found = set()
        for threads in (1, 2, 3, 4, 8):
            monkeypatch.setenv("FEDOPT_THREADS", str(threads))
            found |= {tuple(answers(seed)) for _ in range(2)}
        assert len(found) == 1, f"seed {seed}"


def test_one_bit_pattern_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    one_bit_pattern(range(2), monkeypatch)


@pytest.mark.nightly("R11", 15_000)
def test_one_bit_pattern_of_fifteen_thousand_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    one_bit_pattern(range(300), monkeypatch)


@FORKS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of any fork beside threads
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_after_a_solve_in_the_parent(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDOPT_THREADS", "3")
    mine = [digest(seed) for seed in range(2)] + [search(seed) for seed in range(2)]
    assert from_child(method, range(2)) == mine
    assert digest(0) == mine[0]


@FORKS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_forked_while_other_threads_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers of other threads are at work at that moment, which the child has not; and no lock may stay locked."""
    monkeypatch.setenv("FEDOPT_THREADS", "2")
    mine = [digest(0), search(0)]
    ended = threading.Event()

    def busy(work: Callable[[int], str]) -> None:
        while not ended.is_set():
            work(1)

    threads = [threading.Thread(target=busy, args=(work,)) for work in (digest, search, search, search)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert from_child("fork", range(1)) == mine
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_what_is_computed_once_is_computed_without_a_lock() -> None:
    """Two threads at once, of one instance and of two: both have what was kept first."""

    class Kept:
        def __init__(self, together: threading.Barrier) -> None:
            self.together = together

        @cached_property
        def value(self) -> object:
            self.together.wait(10.0)  # nobody waits longer than for the other
            return object()

    def read(one: Kept) -> object:
        return one.value

    with ThreadPoolExecutor(2) as pool:
        for kept in ([Kept(threading.Barrier(2))] * 2, [Kept(both) for both in [threading.Barrier(2)] * 2]):
            first, second = pool.map(read, kept)
            assert (first is second) is (kept[0] is kept[1])
            assert kept[0].value is first


@FORKS
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
@pytest.mark.parametrize("lock", compiler._LOCKS, ids=["numba", "LLVM"])
def test_a_child_forked_while_another_thread_compiles(lock: Any) -> None:
    """The fork waits until no thread has the compiler's locks: the child can compile."""
    held = threading.Event()

    def compiling() -> None:
        with lock:
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=compiling)
    thread.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=lambda: kernel(doubled)(2.0))
    child.start()
    child.join(60.0)
    thread.join()
    child.kill()
    assert child.exitcode == 0


def doubled(x: float) -> float:
    return 2.0 * x


FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
sys.setswitchinterval(1e-6)
from concurrent.futures import ThreadPoolExecutor
import fedopt
from fedopt.devices import random_fleet
from test_processes import TYPES
problem = fedopt.Problem(random_fleet(8, seed=3), TYPES, budget=fedopt.PowerBudget(2.0), **eval(sys.argv[2]))
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda turn: fedopt.solve(problem).duration, range(8)))
print(len(set(found)), flush=True)
"""


@pytest.mark.parametrize(
    "more", ["{}", "dict(access=fedopt.SharedBandwidth(1e6))", "dict(access=fedopt.TimeDivision(1e6))"]
)
def test_the_first_solves_of_a_process_in_eight_threads(more: str) -> None:
    """All of them import what they need, and compile or load it."""
    home = os.pathsep.join([str(Path(fedopt.__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", FIRST, str(Path(__file__).parent), more]
    child = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": home}, timeout=300
    )
    assert (child.returncode, child.stdout) == (0, "1\n"), child.stderr


INTERRUPTED = """
import random, signal, sys, time
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
from test_processes import digest
size, count = int(sys.argv[2]), int(sys.argv[3])
whole = digest(1, size)
started = time.perf_counter()
digest(1, size)
print(time.perf_counter() - started, flush=True)
for turn in range(count):
    try:
        print("go", flush=True)
        digest(1, size)
        while True:  # it came too late for the solve, and if just before a sleep, does not end it
            time.sleep(0.01)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
print(digest(1, size) == whole, flush=True)
"""


def latencies(size: int, count: int) -> list[float]:
    """Seconds from Ctrl-C at random moments of a solve until it is back; the last solve has the right bits."""
    chance = random.Random(size)
    home = os.pathsep.join([str(Path(fedopt.__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent), str(size), str(count)]
    with subprocess.Popen(command, stdout=-1, text=True, env={**os.environ, "PYTHONPATH": home}) as child:
        assert child.stdout is not None
        whole, waits = float(child.stdout.readline()), []
        for _ in range(count):
            assert child.stdout.readline() == "go\n"
            time.sleep(chance.uniform(0.0, whole))
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            waits.append(float(child.stdout.readline()) - sent)
        assert child.stdout.readline() == "True\n"
    assert child.returncode == 0
    return waits


@pytest.mark.parametrize(("size", "count"), [(100_000, 100), (1_000_000, 5)])
def test_ctrl_c_at_random_moments(size: int, count: int) -> None:
    assert max(latencies(size, count)) < 0.3


@pytest.mark.nightly("R14", 100)
def test_ctrl_c_at_a_hundred_moments() -> None:
    assert max(latencies(10_000_000, 100)) < 0.3
