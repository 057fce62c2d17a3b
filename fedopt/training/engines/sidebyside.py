"""Clients side by side: a forked process per core trains one client at a time, on one thread.

A small network's steps are mostly the interpreter's and autograd's own time, which threads of one process would have to
share; processes do not, and bits stay those of one client after another. A fork has the data, the modules and their
classes without copying or importing anything, and parameters go there and back through memory that it shares. Where
processes cannot be forked safely (Windows, macOS) use ``plain``.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from fedopt.checks import InputError
from fedopt.training.algorithm import Job, State, Update
from fedopt.training.engines.shared import Shared
from fedopt.training.engines.work import Done, Work, repeatable
from solvers.threads import thread_count

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of malloc.h


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, the parent's end of its pipe, and the memory they share.

    start : what a client starts from; ``written``, which state lies there, as jobs often have the same one.
    trained : what it has trained, until the parent has copied it.
    """

    process: BaseProcess
    pipe: Connection
    start: Shared
    trained: Shared
    written: State | None = None


class SideBySide:
    """Trains as many jobs at a time as there are cores (or ``workers``); the largest first."""

    name = "sidebyside"

    def __init__(self, work: Work, done: Done | None = None, workers: int | None = None) -> None:
        if not possible():
            expected = "Linux or the like, and no autograd before where torch sees a GPU; or 'plain'"
            raise InputError("engine", expected, f"'sidebyside' on {sys.platform}")
        if work.device != "cpu":
            raise InputError("engine", "'plain' on a GPU", "'sidebyside'")
        self.work, self.done = work, done
        self.workers: list[_Worker] = []
        for _ in range(min(workers or thread_count(), len(work.split))):
            self.workers.append(_fork(work, [worker.pipe for worker in self.workers]))

    def run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        """Train every job; the updates in the order of the jobs. Raises Diverged; RuntimeError if a process dies.

        Whatever interrupts it, Ctrl-C too, ends the processes: half a round's answers must not meet the next round.
        """
        try:
            with repeatable():  # beside busy processes a second thread's copying would be waiting
                return self._run(jobs, round)
        except BaseException:
            self.close()
            raise

    def _run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        if not self.workers:
            raise RuntimeError("the engine is closed")
        updates: dict[int, Update] = {}
        waiting = sorted(range(len(jobs)), key=lambda at: self._size(jobs[at]))
        busy: dict[Any, _Worker] = {}
        for worker in self.workers:
            worker.written = None
        for worker in self.workers[: len(jobs)]:
            _send(worker, waiting[-1], jobs[waiting.pop()], round)
            busy[worker.pipe] = worker
        while busy:
            for pipe in wait(list(busy)):
                worker = busy.pop(pipe)
                position, loss = _received(worker)
                job = jobs[position]
                state = worker.trained.read(job.kind)
                if waiting:
                    _send(worker, waiting[-1], jobs[waiting.pop()], round)
                    busy[worker.pipe] = worker
                samples = len(self.work.split[job.client])
                updates[position] = Update(job=job, parameters=state, samples=samples, loss=loss)
                if self.done is not None:
                    self.done(updates[position])
        return tuple(updates[position] for position in range(len(jobs)))

    def _size(self, job: Job) -> float:
        return self.work.kinds[job.kind].footprint.flops * len(self.work.split[job.client])

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()
            worker.process.close()
        self.workers = []

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def possible() -> bool:
    """Whether this system forks processes safely, and such a process can train."""
    forks = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return forks and (not torch.cuda.is_available() or _differentiates_after_fork())


def _differentiates_after_fork() -> bool:
    """Whether torch does: not once autograd has run in this process and torch sees a GPU, whatever it ran on."""
    process = multiprocessing.get_context("fork").Process(target=_differentiate, daemon=True)
    _start(process)
    process.join()
    return process.exitcode == 0


def _differentiate() -> None:
    try:
        torch.ones((), requires_grad=True).backward()  # type: ignore[no-untyped-call]
    except RuntimeError:
        sys.exit(1)


def _send(worker: _Worker, position: int, job: Job, round: int) -> None:
    """Give a job to a process that has none."""
    if worker.written is not job.parameters:
        worker.start.write(job.kind, job.parameters)
        worker.written = job.parameters
    with contextlib.suppress(BrokenPipeError):  # whoever died is found out by the answer that does not come
        worker.pipe.send((position, job.client, job.kind, round))


def _received(worker: _Worker) -> tuple[int, float]:
    """A process's answer, the job's position and its loss; its exception is raised here."""
    try:
        answer = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        raise RuntimeError(f"process {worker.process.pid}, which trained a client, ended: out of memory?") from None
    if isinstance(answer, BaseException):
        raise answer
    position, loss = answer
    return position, loss


def _fork(work: Work, others: list[Connection]) -> _Worker:
    """A process that trains what it is sent. ``others``: the parent's ends of its siblings' pipes."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    start, trained = (Shared(work.kinds) for _ in range(2))
    process = context.Process(target=_serve, args=(work, start, trained, theirs, [*others, ours]), daemon=True)
    _start(process)
    theirs.close()
    return _Worker(process, ours, start, trained)


def _start(process: BaseProcess) -> None:
    with warnings.catch_warnings():
        # From 3.12 on Python warns of forks beside threads: the child uses none of them, and torch on one thread only.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()


def _serve(work: Work, start: Shared, trained: Shared, pipe: Connection, inherited: list[Connection]) -> None:
    """A process's life: train what comes until the parent's end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its processes
    for connection in inherited:
        connection.close()  # else a sibling would keep this pipe open when the parent is gone
    torch.set_num_threads(1)
    keep_freed_memory()
    networks, parent = work.scratch(), os.getppid()
    with contextlib.suppress(EOFError, OSError):
        while os.getppid() == parent:
            position, client, kind, round = pipe.recv()
            job = Job(client=client, kind=kind, parameters=start.entries[kind])
            try:
                loss = work.learn(job, networks, round)
                trained.write(kind, networks[kind].state_dict())
            except Exception as error:
                pipe.send(error)
                continue
            pipe.send((position, loss))


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed, however large, for the next step; other systems' are left alone.

    Else each large activation of each step is mapped, cleared by the kernel page by page, and unmapped: a third of the
    time of a step of the paper's CNN.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 25)  # the most that every glibc takes
        mallopt(_TRIM_THRESHOLD, 1 << 30)


ENGINE = SideBySide
