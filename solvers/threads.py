"""Kernels over threads: chunks of blocks, each written to its own place, so that no bit depends on the threads.

Kernels release the interpreter's lock. The chunks are small, so an interrupt is served between two of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

CHUNK = 128  # blocks: some 30,000 rows, half a millisecond

_pool: ThreadPoolExecutor | None = None
_pool_key: tuple[int, int] = (0, 0)
_lock = Lock()


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


def _pool_of(threads: int) -> ThreadPoolExecutor:
    """A pool of this size in this process: a forked child makes its own."""
    global _pool, _pool_key
    key = (os.getpid(), threads)
    with _lock:
        if _pool is None or _pool_key != key:
            _pool, _pool_key = ThreadPoolExecutor(threads, thread_name_prefix="fedopt"), key
        return _pool
