"""IDX files, the format MNIST is published in: a short header with type and shape, then the numbers, big-endian."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import InputError
from fedopt.disk import read_limited

LIMIT = 2**30  # bytes of a file, and of the numbers in it
_GZIP = b"\x1f\x8b"
_DEFLATE = 1032  # no gzip file grows more than so many times
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(source: str | PathLike[str] | bytes, *, name: str = "IDX bytes", limit: int = LIMIT) -> NDArray[Any]:
    """The array of an IDX file, in the machine's byte order; ``source`` is a path or the content, gzip or plain.

    The header's claim is checked against the file's size and against ``limit`` [bytes] before memory is taken, and at
    most one byte more than it claims is unpacked. Raises InputError naming the file (``name`` for bytes), expected and
    found; OSError where the file cannot be read. Source of the format: yann.lecun.com/exdb/mnist.
    """
    content = source if isinstance(source, bytes) else read_limited(source, limit)
    where = name if isinstance(source, bytes) else os.fspath(source)
    packed = content[:2] == _GZIP
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
    try:
        dtype, shape = _header(where, stream)
        claimed = math.prod(shape) * dtype.itemsize
        most = math.prod(max(size, 1) for size in shape) * dtype.itemsize  # no numbers at all, in a shape of any size
        numbers = f"{' x '.join(map(str, shape))} numbers of {dtype.itemsize} bytes"
        if claimed > len(content) * (_DEFLATE if packed else 1) or most > limit:
            found = f"a header that claims {numbers} in a file of {len(content):,} bytes"
            raise InputError(where, f"at most {limit:,} bytes of numbers, all of them in the file", found)
        body = stream.read(claimed + 1)  # the byte more shows what should not be there, and has gzip check its sum
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(where, "a whole gzip file", f"a damaged one ({error})") from None
    if len(body) != claimed:
        found = "more than that" if len(body) > claimed else f"{len(body):,} bytes"
        raise InputError(where, f"{claimed:,} bytes after the header, {numbers}", found)
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _header(where: str, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 8:
        raise InputError(where, "an IDX file: two zeros, a type code, 1 to 8 dimensions", f"it begins {magic!r}")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InputError(where, f"{magic[3]} sizes of four bytes in the header", f"{len(sizes)} bytes")
    return np.dtype(_TYPES[magic[2]]), tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
