"""A property that is computed once: functools.cached_property as Python 3.12 has it, without a lock.

Up to 3.11 that one holds a lock of the property, of all its instances, while it computes; a child forked meanwhile
inherits it locked, and waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801, as in functools
    """Stands in the instance's dictionary once computed, where it is found without this.

    Two threads may both compute it, at the same time. What is computed here follows from what never changes, to the
    bit, so that this costs time alone; and both have the one that was kept first.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, instance: Any, _owner: type | None = None) -> T:
        found: T = instance.__dict__.setdefault(self.function.__name__, self.function(instance))
        return found
