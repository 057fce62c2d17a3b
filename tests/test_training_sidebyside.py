"""Processes side by side: the bits of one client after another, memory that they share, and how processes end."""

from __future__ import annotations

import gc
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rounds import CNN, DROPPING, FORKS, MIXED, MLP, bits, jobs, ran, work  # noqa: E402
from torch import nn  # noqa: E402

from fedopt.training.algorithm import Job, Update  # noqa: E402
from fedopt.training.engines import open_engine  # noqa: E402
from fedopt.training.engines.sidebyside import SideBySide  # noqa: E402

pytestmark = FORKS


@pytest.mark.parametrize("module", [MLP, CNN, DROPPING, MIXED], ids=["mlp", "cnn", "dropout", "mixed"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_side_by_side_has_the_bits_of_one_after_another(module: nn.Module, workers: int) -> None:
    given = work(module)
    expected = [ran("plain", given, round) for round in range(2)]
    with SideBySide(given, workers=workers) as engine:
        assert [bits(engine.run(jobs(given), round)) for round in range(2)] == expected
        assert bits(engine.run(jobs(given), 0)) == expected[0]
    assert expected[0] != expected[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_kinds_and_starts_that_take_turns_in_the_memory_keep_their_bits(workers: int) -> None:
    given = work(MLP)
    given = replace(given, kinds=[replace(given.kinds[0], module=module) for module in (MLP, MIXED, CNN)])
    clean = [kind.module.state_dict() for kind in given.kinds]
    raised = [{name: v + 1 if v.is_floating_point() else v for name, v in state.items()} for state in clean]
    kinds = (2, 0, 2, 1, 1, 0, 2)
    mixed = [Job(client=k % 5, kind=kind, parameters=(clean, raised)[k // 2 % 2][kind]) for k, kind in enumerate(kinds)]
    with open_engine("plain", given) as one, SideBySide(given, workers=workers) as two:
        assert bits(two.run(mixed, 1)) == bits(one.run(mixed, 1))


def test_what_came_back_stays_when_later_rounds_run() -> None:
    with SideBySide(work(MIXED), workers=2) as engine:
        first = engine.run(jobs(engine.work), 0)
        before = bits(first)
        engine.run([replace(update.job, parameters=update.parameters) for update in first], 1)
        assert bits(first) == before
        first[0].parameters["last.weight"].zero_()
    assert bits(first)[1:] == before[1:]
    assert all(value.untyped_storage().nbytes() == value.nbytes for u in first for value in u.parameters.values())


@pytest.mark.parametrize("change", [{"3.bias": torch.zeros(1)}, {"4.bias": torch.zeros(3)}], ids=["shape", "name"])
def test_parameters_that_are_not_the_kinds_are_refused(change: dict[str, torch.Tensor]) -> None:
    with SideBySide(work(MLP), workers=1) as engine:
        job = jobs(engine.work)[0]
        with pytest.raises(ValueError, match=r"state of kind 0: expected .*'3.bias': \(3,\)"):
            engine.run([replace(job, parameters={**job.parameters, **change})], 0)


def held() -> tuple[int, int]:
    """How many descriptors this process has open, and how many memories it shares with its forks."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text().splitlines()
    return len(os.listdir("/proc/self/fd")), sum("/dev/zero" in line for line in maps)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_neither_rounds_nor_engines_leave_descriptors_or_memory() -> None:
    given = work(nn.Sequential(nn.Flatten(), nn.Linear(16, 20_000), nn.ReLU(), nn.Linear(20_000, 3)))
    before = held()
    for _ in range(3):
        with SideBySide(given, workers=2) as engine:
            opened, sizes = held(), []
            assert opened[1] - before[1] == 4  # there and back, for each process
            for round in range(12):
                engine.run(jobs(given), round)
                sizes.append(resident())
            assert held() == opened
            assert max(sizes[6:]) - max(sizes[:6]) < 20e6  # the updates of six rounds are 30 times 1.6 MB
        assert held() == before


def gone(pid: int) -> bool:
    """Whether a process has ended; waits for it, as a busy machine may let it wait. Its init may collect it later."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_engine_leaves_no_process() -> None:
    def interrupt(update: Update) -> None:
        signal.raise_signal(signal.SIGINT)  # here and now: one sent to the process may come in a finalizer, and be lost

    engine = SideBySide(work(MLP), interrupt, workers=2)
    processes = [worker.process.pid for worker in engine.workers]
    with pytest.raises(KeyboardInterrupt):
        engine.run(jobs(engine.work), 0)
    assert all(gone(pid) for pid in processes if pid is not None)
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(jobs(engine.work), 0)


def test_a_process_that_was_killed_is_an_error_not_a_wait() -> None:
    with SideBySide(work(MLP), workers=2) as engine:
        pid = engine.workers[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match=f"process {pid}"):
            engine.run(jobs(engine.work), 0)
        assert engine.workers == []


def test_a_process_that_is_killed_within_a_round_is_an_error_too() -> None:
    def kill(update: Update) -> None:
        for worker in engine.workers:
            os.kill(worker.process.pid or 0, signal.SIGKILL)

    engine = SideBySide(work(CNN), kill, workers=2)
    with pytest.raises(RuntimeError, match="which trained a client, ended"):
        engine.run(jobs(engine.work), 0)
    assert engine.workers == []


def test_processes_end_with_a_parent_that_was_killed() -> None:
    pipe, ours = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            engine = SideBySide(work(MLP), workers=2)
            os.write(ours, " ".join(str(worker.process.pid) for worker in engine.workers).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(ours)
    os.waitpid(child, 0)
    processes = [int(pid) for pid in os.read(pipe, 100).split()]
    os.close(pipe)
    assert len(processes) == 2
    assert all(gone(pid) for pid in processes)
