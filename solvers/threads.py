"""Kernels over threads: chunks of blocks, each written to its own place, so that no bit depends on the threads.

Kernels release the interpreter's lock. The chunks are small, so an interrupt is served between two of them; a sweep
that is not in chunks runs beside the main thread, which serves interrupts meanwhile.

A helper lives as long as one call: starting one takes some hundredths of a millisecond, and there is nothing that a
fork or an interrupt could leave half done. The locks of concurrent.futures and threading are written in Python, where
an interrupt between two lines turns into "cannot release un-acquired lock" or leaves a pool locked for good; those of
``_thread`` are not.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

CHUNK = 64  # blocks: some 30,000 rows, half a millisecond
_LONG = 500_000  # rows: a sweep over more may take longer than an interrupt should wait
_GLANCE = 0.05  # seconds: an interrupt that comes just before a wait begins does not wake it

P = ParamSpec("P")
R = TypeVar("R")


def thread_count() -> int:
    """FEDOPT_THREADS where it is set, else the processors this process may use."""
    wanted = os.environ.get("FEDOPT_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))


def each_chunk(work: Callable[[int, int], R], blocks: int) -> list[R]:
    """work(first, last) for consecutive chunks of blocks that cover all of them: what each returned, in order."""
    if blocks <= CHUNK:
        return [work(0, blocks)]
    chunks = [(first, min(first + CHUNK, blocks)) for first in range(0, blocks, CHUNK)]
    found: dict[int, R] = {}
    left = iter(chunks)

    def take() -> None:
        for first, last in left:  # a list's iterator gives a chunk to one thread only
            found[first] = work(first, last)

    try:
        helpers = [Helper(take) for _ in range(min(thread_count(), len(chunks)) - 1)]
        take()
        for helper in helpers:
            helper.result()
    finally:
        chunks.clear()  # after an error or an interrupt nobody goes on
    return [found[first] for first in sorted(found)]


def beside(size: int, work: Callable[P, R], *arguments: P.args, **more: P.kwargs) -> R:
    """work(*arguments), which releases the interpreter's lock; ``size`` says how many rows it goes over.

    An interrupt ends the wait, not the work: its arrays must be nobody else's.
    """
    if size < _LONG or threading.main_thread().ident != _thread.get_ident():  # interrupts are the main thread's
        return work(*arguments, **more)
    return cast(R, Helper(work, *arguments, **more).result())


class Helper:
    """A call in a thread of its own."""

    def __init__(self, work: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        try:
            _thread.start_new_thread(self._run, (work, arguments, more))
        except RuntimeError:  # the system gives no more threads
            self._run(work, arguments, more)

    def _run(self, work: Callable[..., Any], arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
        try:
            self._value = work(*arguments, **more)
        except BaseException as error:  # raised where the result is asked for
            self._error = error
        finally:
            self._ended.release()

    def result(self) -> Any:
        """What the call returned or raised, once it has."""
        while not self._ended.acquire(timeout=_GLANCE):
            pass
        if self._error is not None:
            raise self._error
        return self._value
