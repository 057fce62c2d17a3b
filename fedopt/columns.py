"""The columns of a device table: which field each fills, in which unit. One set of rules for CSV files and frames."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from fedopt.checks import FloatArray, InputError
from fedopt.clients import FIELD, FIELDS
from fedopt.units import allowed, parse_name, quantity, to_si

REQUIRED = tuple(field.name for field in FIELDS if field.default is None)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the header: as written, the field it fills, the unit it is in."""

    title: str
    field: str
    unit: str | None

    def convert(self, values: FloatArray) -> FloatArray:
        """The column's numbers in SI units. Raises InputError naming field and client."""
        try:
            return to_si(values, self.unit, quantity(FIELD[self.field]))
        except InputError as error:
            raise InputError(self.field, error.expected, error.found, error.client) from None


def header(where: str, titles: Sequence[str], absent: Collection[str] = ()) -> list[Column]:
    """The columns of a header, or an InputError that says what is wrong with them; fields ``absent`` may be missing."""
    columns: list[Column] = []
    seen: dict[str, str] = {}
    for title in titles:
        column = _column(where, title.strip())
        if column.field in seen:
            expected = f"each column once ({seen[column.field]!r} is there already)"
            raise InputError(where, expected, repr(column.title))
        seen[column.field] = column.title
        columns.append(column)
    missing = [name for name in REQUIRED if name not in seen and name not in absent]
    if missing:
        raise InputError(where, "the columns " + ", ".join(REQUIRED), "no " + ", ".join(missing))
    return columns


def _column(where: str, title: str) -> Column:
    """One title of the header, its unit checked against the field's dimension."""
    try:
        name, unit = parse_name(title)
    except InputError as error:
        raise InputError(where, error.expected, error.found) from None
    if name == "name" and unit is None:
        return Column(title, name, None)
    if name not in FIELD:
        close = difflib.get_close_matches(name, [*FIELD, "name"], n=1)
        expected = f"did you mean {close[0]!r}?" if close else "one of " + ", ".join([*FIELD, "name"])
        raise InputError(where, f"a known column ({expected})", repr(title[:80]))
    column = Column(title, name, unit)
    try:
        column.convert(np.zeros(0))
    except InputError:
        units = allowed(quantity(FIELD[name]))
        expected = f"{name} in one of the units " + ", ".join(units) if units else f"{name} without a unit"
        raise InputError(f"{where}, column {title!r}", expected, repr(unit)) from None
    return column
