"""What every test shares: kernels are compiled at once, as compiled code is what they test; digits are relative."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from solvers import firstcalls

firstcalls.PATIENCE = 0

_approx = pytest.approx


def _relative(expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> Any:
    """pytest's own adds 1e-12, which lets any tiny number pass for any other."""
    if abs is None:
        rel, abs = 1e-6 if rel is None else rel, 0.0
    return _approx(expected, rel=rel, abs=abs, nan_ok=nan_ok)


pytest.approx = _relative


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler: what was started in the background of a script ignores SIGINT, and its children do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
