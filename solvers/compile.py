"""How kernels are compiled: numba options, and a disk cache that no edit can make stale.

numba's own cache notices an edit of the file a kernel stands in, not of the files its callees stand in. Here a cached
kernel is stamped with a hash of every source file of this package and of numba's version, so any edit or upgrade
compiles anew. So does a damaged file on disk. Where nothing can be written, machine code is kept in memory alone, and a
warning says so; so it is where the package has no source files on disk, and in a process that runs while one is edited.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
import numpy as np
from llvmlite.binding import ffi
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock
from numba.core.event import Listener, register
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

from solvers import sources
from solvers.firstcalls import PLAIN, FirstCalls, call, largest

if TYPE_CHECKING:
    from numba.core.event import Event

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=np.generic)

_INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"  # the same code as plain Python: debugger, coverage

# No fastmath: full, it would delete the tests for NaN; and where a*b + c may be fused, bits depend on the processor,
# and are others than those of the same code in plain Python (firstcalls.py). Fusing would save a tenth of the time.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
_WHOLE: dict[str, Any] = {"no_cfunc_wrapper": True}  # Python calls it, no other language
_PART: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # a quarter of the compile time


def kernel(function: Callable[P, R], numbers: Callable[..., int] | None = None) -> Callable[P, R]:
    """Compile a function when there is much to do and keep the machine code on disk.

    Until then it runs as it is (firstcalls.py). numbers: of its arguments, how many numbers it goes over; by default as
    many as its largest array has.
    """
    if _INTERPRETED:
        return cast(Callable[P, R], partial(call, function))
    compiled = numba.njit(**_WHOLE, **_OPTIONS)(function)
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as refused:  # no folder that can be written; or out of an archive
        _announcer.nowhere = str(refused)
    compiled._compile_for_args = FirstCalls(compiled, numbers or largest)
    return cast(Callable[P, R], compiled)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a scalar function into each of its callers, whatever its size: a call would stop vectorisation."""
    return cast(Callable[P, R], numba.njit(forceinline=True, **_PART, **_OPTIONS)(function))


def stage(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a part of a kernel, called by kernels alone: a loop over a block, or a scalar function."""
    return cast(Callable[P, R], numba.njit(**_PART, **_OPTIONS)(function))


def shared(function: Callable[P, R]) -> Callable[P, R]:
    """A function that kernels compile and Python runs as it is."""
    return register_jitable(**_OPTIONS)(function)


def _wide() -> None:
    """Called at the top of a vector stage: let LLVM use the machine's widest vectors in it.

    On many server processors it keeps to half of them, for the clock's sake of mixed code; these loops are not mixed.
    """


def _wide_in_llvm(_context: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return numba.types.void(), generate


wide: Callable[[], None] = _wide if _INTERPRETED else cast(Any, intrinsic(_wide_in_llvm))
PLAIN[id(wide)] = _wide


def _frozen_inside(array: NDArray[T]) -> NDArray[T]:
    """Called in a kernel: an array that it made, as kernels take those that they only read; the same memory."""
    array = array.view()
    array.setflags(write=False)
    return array


def _frozen_in_llvm(_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        context.nrt.incref(builder, signature.args[0], arguments[0])
        return arguments[0]

    return array.copy(readonly=True)(array), generate


frozen_inside: Callable[[NDArray[T]], NDArray[T]] = (
    _frozen_inside if _INTERPRETED else cast(Any, intrinsic(_frozen_in_llvm))
)
PLAIN[id(frozen_inside)] = _frozen_inside

# For literals in kernels: making a single takes plain Python as long as using it some eight times.
_kept = cast(type[np.float32], cache(np.float32))
single = _kept if _INTERPRETED else np.float32
PLAIN[id(single)] = _kept

# Compiled code calls the C library's; numpy's own has other last digits on processors with AVX-512.
cbrt: Callable[[float], float] = math.cbrt if _INTERPRETED else np.cbrt
PLAIN[id(cbrt)] = math.cbrt


@cache
def sources_stamp() -> str:
    """A hash of this package's sources and of the compiler's versions."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    for path in sorted(map(Path, sources.states())):
        digest.update(path.relative_to(sources.ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


class _CacheFile(IndexDataCacheFile):
    """Data files stand in an index by number alone, and it is written before them: so each says what it is of.

    Else an old file answers to a new index whose writer's disk was full then, or another's when two wrote at a time.
    Once a source file has changed nobody knows which of its states are compiled here: nothing is written or read.
    """

    def save(self, key: Any, data: Any) -> None:
        if sources.states() == sources.AT_IMPORT:
            super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        return found[2] if found is not None and found[:2] == (self._source_stamp, key) else None

    def _load_index(self) -> dict[Any, str]:
        if sources.states() != sources.AT_IMPORT:
            return {}
        try:
            return cast(dict[Any, str], super()._load_index())
        except Exception:  # a damaged file can raise any; one for other users OSError
            return {}


class _Cache(FunctionCache):
    """What cannot be read is compiled anew and written over; what cannot be written is in memory all the same."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not sources.AT_IMPORT:
            raise RuntimeError("no source file on disk, as in an archive, tells an old kernel from a new one")
        super().__init__(function)
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, sources_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as failure:  # disk full, folder read-only or gone
            _announcer.not_kept(str(failure))


class _Announcer(Listener):
    """Says once per process that something is being compiled: so long a silence looks like a hang."""

    def __init__(self) -> None:
        self.told = self.warned = False
        self.nowhere = ""  # why there is no folder to keep machine code in

    def on_start(self, event: Event) -> None:
        if self.told:
            return
        self.told = True
        text = "fedopt: compiling for this machine, a minute or so"
        text += ", in each process" if self.nowhere else ", once: the result is kept on disk"
        logging.getLogger("fedopt").info(text.removeprefix("fedopt: "))
        if sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1")):  # ps1: a session, a notebook too
            print(text, file=sys.stderr, flush=True)
        if self.nowhere:
            self.not_kept(self.nowhere)

    def not_kept(self, why: str) -> None:
        """Warns once per process that the next one compiles anew."""
        if self.warned:
            return
        self.warned = True
        text = "compiled kernels cannot be kept on disk, each process compiles anew: NUMBA_CACHE_DIR may name a folder"
        logging.getLogger("fedopt").warning("%s (%s)", text, why)

    def on_end(self, event: Event) -> None:
        """Nothing to say."""


_announcer = _Announcer()
register("numba:compile", _announcer)

_LOCKS = [global_compiler_lock, *filter(None, [getattr(ffi.lib, "_lock", None)])]  # and LLVM's, taken inside


def _hold() -> None:
    """A fork waits for what other threads compile: the child would have these locked for ever, a compiler half-way."""
    for lock in _LOCKS:
        lock.__enter__()


def _let_go() -> None:
    for lock in reversed(_LOCKS):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)
