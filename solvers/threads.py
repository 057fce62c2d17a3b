"""Kernels over threads: chunks of blocks, each written to its own place, so that no bit depends on the threads.

Kernels release the interpreter's lock. The chunks are small, so an interrupt is served between two of them; a sweep
that is not in chunks runs beside the main thread, which serves interrupts meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

CHUNK = 128  # blocks: some 30,000 rows, half a millisecond
_LONG = 500_000  # rows: a sweep over more may take longer than an interrupt should wait

P = ParamSpec("P")
R = TypeVar("R")

_pool: ThreadPoolExecutor | None = None
_pool_key: tuple[int, int] = (0, 0)
_lock = threading.Lock()


def thread_count() -> int:
    """FEDOPT_THREADS where it is set, else the processors this process may use."""
    wanted = os.environ.get("FEDOPT_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))


def each_chunk(work: Callable[[int, int], None], blocks: int) -> None:
    """Call work(first, last) for consecutive chunks of blocks that cover all of them."""
    if blocks <= CHUNK:
        work(0, blocks)
        return
    chunks = [(first, min(first + CHUNK, blocks)) for first in range(0, blocks, CHUNK)]
    threads = min(thread_count(), len(chunks))
    if threads <= 1:
        for first, last in chunks:
            work(first, last)
        return
    pool = _pool_of(threads)
    futures = [pool.submit(work, first, last) for first, last in chunks]
    try:
        for future in futures:
            future.result()
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def beside(size: int, work: Callable[P, R], *arguments: P.args, **more: P.kwargs) -> R:
    """work(*arguments), which releases the interpreter's lock; ``size`` says how many rows it goes over.

    An interrupt ends the wait, not the work: its arrays must be nobody else's.
    """
    if size < _LONG or threading.current_thread() is not threading.main_thread():  # interrupts are the main thread's
        return work(*arguments, **more)
    return _pool_of(thread_count()).submit(work, *arguments, **more).result()


def _pool_of(threads: int) -> ThreadPoolExecutor:
    """A pool of this size in this process: a forked child makes its own."""
    global _pool, _pool_key
    key = (os.getpid(), threads)
    with _lock:
        if _pool is None or _pool_key != key:
            _pool, _pool_key = ThreadPoolExecutor(threads, thread_name_prefix="fedopt"), key
        return _pool


def _after_fork() -> None:
    """A thread that the child has not may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
