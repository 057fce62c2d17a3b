"""Files on disk: reading with a limit, and writing that leaves either the old file or the whole new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from os import PathLike
from pathlib import Path

from fedopt.checks import InputError, brief

NESTED, VALUES = 2**19, 2**25  # of a JSON text: lists, objects and keys; values, for a million clients of thirty each
_DAY = 24 * 60 * 60  # seconds


def check_path(path: str | PathLike[str]) -> None:
    """Raise InputError for a path that no file can have."""
    if "\0" in os.fsdecode(path):
        raise InputError("path", "a path without NUL characters", brief(os.fsdecode(path)))
    if not Path(path).name:  # as of "" and "/"
        raise InputError("path", "the path of a file", brief(os.fsdecode(path)))


def check_writable(folder: Path) -> None:
    """Raise PermissionError where nothing can be written into a folder, before long work is done for it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def read_limited(path: str | PathLike[str], limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises InputError where it is longer or no regular file (nothing is read then) or grows meanwhile, or no file can
    have such a path; OSError where it cannot be read.
    """
    check_path(path)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not Path(path).is_file():
            raise InputError(str(path), "a regular file", "something else")
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise InputError(str(path), f"at most {limit:,} bytes", f"a file of {size:,} bytes")
        content = file.read(size + 1)  # memory for all that is asked for is taken at once
    if len(content) > size:
        raise InputError(str(path), f"the {size:,} bytes that it had when it was opened", "a file that grows")
    return content


def marks(content: bytes, kinds: bytes) -> int:
    """How many bytes are of these kinds, such as commas and brackets: what a parser makes of a text grows with them."""
    return sum(map(content.count, kinds))


def check_parts(where: str, content: bytes, *, free: int = 0) -> None:
    """Raise InputError where a JSON text has so many parts that they take more memory than its bytes show.

    ``free`` : how many of its objects, of one key each, do not count, as they become numbers.
    """
    for kinds, most, what in ((b"[{:", NESTED + 2 * free, "lists, objects and keys"), (b",", VALUES, "values")):
        if (found := marks(content, kinds)) > most:
            raise InputError(where, f"at most {most:,} {what}", f"{found:,}")


def replace_file(path: str | PathLike[str], content: bytes) -> Path:
    """Write ``content`` so that ``path`` holds the old content or all of the new one, whatever happens meanwhile.

    The new content goes to a temporary file in the same folder, reaches the disk, and is then renamed. On failure, and
    where it is interrupted, the old file is intact and the temporary one is removed; one that a process left which was
    killed is removed by whoever writes the same file a day later. Raises OSError, which names ``path``, and InputError
    for one that no file can have. Returns the path.
    """
    check_path(path)
    target = Path(path)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        _put(temporary, target, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    _sync_folder(target.parent)
    _remove_left(target)
    return target


def _put(temporary: Path, target: Path, content: bytes) -> None:
    try:
        with open(temporary, "xb") as file:  # an interrupt finds the descriptor owned, and the name known
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except FileExistsError:  # the temporary one: it is somebody else's
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can open folders."""
    handles: list[int] = []
    with contextlib.suppress(OSError):
        try:
            handles.extend(map(os.open, [folder], [os.O_RDONLY]))  # at once: no interrupt between opening and keeping
            os.fsync(handles[0])
        finally:
            for handle in handles:
                os.close(handle)


def _remove_left(target: Path) -> None:
    """Remove temporary files of ``target`` so old that nobody is writing them, here or on another machine."""
    name = re.compile(re.escape(f".{target.name[:40]}.") + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):
        for left in filter(name.fullmatch, os.listdir(target.parent)):
            temporary = target.with_name(left)
            with contextlib.suppress(OSError):  # one that cannot be removed, such as a folder, is no reason to stop
                if temporary.lstat().st_mtime < time.time() - _DAY:
                    temporary.unlink()
