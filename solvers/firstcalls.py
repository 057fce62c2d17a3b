"""A kernel's first calls, in plain Python: few clients have their answer long before a kernel is compiled.

Compiling a kernel takes some seconds, all of a schedule a minute or so. Loading the first one from disk takes most of a
second, as half of numba comes with it, any other some hundredths. 64 rows in plain Python take some hundredths, too. So
a kernel runs as it is written until it has gone over more numbers than are worth waiting for. Both ways have the same
bits, as nothing is fused or reordered in compiled code.
"""

from __future__ import annotations

import builtins
import os
import signal
import sys
import threading
import time
from functools import cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

WAIT = 1.0  # second in plain Python, of all kernels together, before the first of them is loaded from disk
MANY = 1 << 13  # numbers that a single call would go over in about as long
READY = 1 << 7  # numbers that a kernel goes over before it is loaded, too: a few hundredths of a second
PATIENCE = 1 << 14  # and before it is compiled: about a second of plain Python

PLAIN: dict[int, Any] = {}  # what stands in plain Python for something that is no dispatcher, by its id


class FirstCalls:
    """Stands where numba asks a kernel for the function to call with arguments that it has no machine code for."""

    spent = 0.0  # seconds in plain Python, all kernels together
    loading = False  # whether a kernel has machine code already, or much is to come

    def __init__(self, compiled: Any, numbers: Any) -> None:
        self.compiled, self.numbers, self.compile = compiled, numbers, compiled._compile_for_args
        self.gone_over = 0

    def __call__(self, *arguments: Any) -> Any:
        """The kernel compiled, or as plain Python."""
        numbers = max(self.numbers(*arguments), 1)
        total = self.gone_over + numbers
        worth_it = total > READY if FirstCalls.loading else numbers > MANY or FirstCalls.spent > WAIT
        if total > PATIENCE or (worth_it and self._on_disk(arguments)):
            FirstCalls.loading = True
            return uninterrupted(self.compile, *arguments)
        self.gone_over = total
        return self._plainly

    def _plainly(self, *arguments: Any) -> Any:
        """Where plain Python refuses what compiled code answers by inf or NaN, such as ln 0, compile after all."""
        written = [each for each in arguments if isinstance(each, np.ndarray) and each.flags.writeable]
        before = [each.copy() for each in written]
        started = time.perf_counter()
        try:
            return call(plain(self.compiled), *arguments)
        except (ArithmeticError, ValueError, TypeError):
            for each, values in zip(written, before, strict=True):
                each[...] = values
            self.gone_over = PATIENCE
            return self.compiled(*arguments)
        finally:
            FirstCalls.spent += time.perf_counter() - started

    def _on_disk(self, arguments: tuple[Any, ...]) -> bool:
        """Whether the disk has machine code for the types of these arguments."""
        known = self.compiled._cache
        if isinstance(known, NullCache):  # there is nowhere to keep any
            return False
        key = known._index_key(tuple(map(numba.typeof, arguments)), self.compiled.targetctx.codegen())
        return key in known._cache_file._load_index()


def uninterrupted(compiling: Any, *arguments: Any) -> Any:
    """compiling(*arguments), after which an interrupt that came meanwhile is served; the second one at once.

    Half-made machine code would break every later call: a notebook would have to start anew.
    """
    serve = signal.getsignal(signal.SIGINT)
    if not callable(serve) or threading.current_thread() is not threading.main_thread():
        return compiling(*arguments)
    came: list[tuple[Any, ...]] = []

    def wait(*what: Any) -> None:
        came.append(what)
        if len(came) > 1:
            serve(*came.pop())
        elif sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1")):
            os.write(2, b"fedopt: ends when this is compiled, some seconds; once more: at once\n")

    signal.signal(signal.SIGINT, wait)
    try:
        return compiling(*arguments)
    finally:
        signal.signal(signal.SIGINT, serve)
        if len(came) == 1:
            serve(*came[0])


def much_to_do() -> None:
    """Kernels are about to go over many numbers, a few at a time: what the disk has need not be waited for."""
    FirstCalls.loading = True


def call(function: Any, *arguments: Any) -> Any:
    """As compiled code answers: no warnings of inf and NaN, and Python's own numbers instead of numpy's."""
    with np.errstate(all="ignore"):
        return _own(function(*arguments))


def _own(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_own, value))
    return value.item() if isinstance(value, np.generic) else value


def largest(*arguments: Any) -> int:
    """Of how many numbers the largest array is."""
    parts = (part for each in arguments for part in (each if isinstance(each, tuple) else (each,)))
    return max((part.size for part in parts if isinstance(part, np.ndarray)), default=0)


@cache
def plain(compiled: Any) -> Any:
    """A compiled function, with all the compiled ones that it calls, as the plain Python it is written in."""
    function = compiled.py_func
    used = {name: function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__}
    around = {name: plain(it) if isinstance(it, Dispatcher) else PLAIN.get(id(it), it) for name, it in used.items()}
    around["__builtins__"] = builtins  # numpy's C code imports what it needs by the caller's
    return FunctionType(function.__code__, around, function.__name__, function.__defaults__, function.__closure__)
