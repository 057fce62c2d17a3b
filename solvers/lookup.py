"""Method tables: a literal name, the module that has it, the extra that installs what the module needs."""

from __future__ import annotations

import importlib
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class MissingExtra(ImportError):
    """A method needs a package that is not installed; the message is the line that installs it."""


class Methods(Generic[T]):
    """A level's methods by name, each imported on first use."""

    def __init__(self, level: str, table: dict[str, tuple[str, str]], function: str) -> None:
        self.level, self.table, self.function = level, table, function
        self._modules: dict[str, Any] = {}  # those imported to the end; sys.modules has others, too

    @property
    def names(self) -> tuple[str, ...]:
        """The literal names, the default first."""
        return tuple(self.table)

    def get(self, name: str) -> T:
        """The method's function. Raises MissingExtra where its package is not installed, KeyError for no such name."""
        return cast(T, getattr(self._modules.get(name) or self.module(name), self.function))

    def module(self, name: str) -> Any:
        """The method's module. Raises as get()."""
        module, extra = self.table[name]
        try:
            found = self._modules[name] = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").partition(".")[0] in ("solvers", "fedopt"):
                raise
            line = f"pip install 'fedopt[{extra}]'"
            raise MissingExtra(f"{self.level}={name!r} needs {error.name}: {line}", name=error.name) from error
        return found
