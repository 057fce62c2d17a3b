"""One run at a time on a checkpoint: a second one would replace what the first has finished."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedopt.checks import InputError
from fedopt.disk import check_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the checkpoint ``path`` for one run, by a lock on a hidden file beside it.

    The system lets go of the lock however the process ends: the file that a killed run leaves behind hinders nobody.
    Where there are no such locks (Windows, some network file systems) nothing is held, nor beside a checkpoint in a
    folder that may only be read. Raises InputError where another run holds it, OSError where the folder cannot be
    written.
    """
    check_path(path)
    if fcntl is None:
        yield
        return
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    lock = path.parent / f".{path.name[:40]}.{name}.lock"
    handle, process = _opened(lock, path), os.getpid()
    if handle is None:
        yield
        return
    with os.fdopen(handle, "rb"):
        if not _held(handle, lock):
            raise InputError(str(path), "no other run that writes it", "one under way: wait for it, or write elsewhere")
        try:
            yield
        finally:
            if os.getpid() == process:  # not in a child that a callback has forked
                with suppress(OSError):
                    lock.unlink()  # while it is held


def _opened(lock: Path, path: Path) -> int | None:
    """The lock's file, opened; None where there is none, and the checkpoint's folder may only be read."""
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)  # to write, as some network file systems ask for
    except OSError as error:
        with suppress(OSError):
            return os.open(lock, os.O_RDONLY)  # another user has left it
        if path.exists() and not os.access(lock.parent, os.W_OK):
            return None
        raise OSError(error.errno, error.strerror, str(path)) from error


def _held(handle: int, lock: Path) -> bool:
    """Whether nobody else has the lock, and the file is still the one by that name: who ends removes its own."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except FileNotFoundError:
        return False
