"""The keys of a scenario's tables: known, required, numbers in units; an error names the table and the key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fedopt.checks import LARGEST, InputError, brief
from fedopt.units import parse_name, to_si


@contextmanager
def told(where: str, table: Mapping[str, Any], name: str | None = None) -> Iterator[None]:
    """An error about a field, told by the key of ``table`` that gave it: ``name``, or the field's own."""
    try:
        yield
    except InputError as error:
        name = name or error.field.rpartition(".")[2]
        key = next((key for key in table if key.partition("[")[0].strip() == name), None)
        field = where if key is None else f"{where} {key}"
        raise InputError(field, error.expected, error.found, error.client) from None


def quantities(
    where: str, table: Mapping[str, Any], units: Mapping[str, str], also: Sequence[str] = ()
) -> dict[str, Any]:
    """The numbers of a table in SI units, by field name; the keys of ``also`` are left to the caller."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in also:
            continue
        try:
            name, unit = parse_name(key)
        except InputError as error:
            raise InputError(f"{where} {key[:80]}", error.expected, error.found) from None
        known(where, [name], [*units, *also])
        if name in also or name in values:
            raise InputError(f"{where} {key}", f"{name} once and, if a text, without a unit", "one more")
        values[name] = numbers(f"{where} {key}", value)
        if unit is not None:
            try:
                values[name] = to_si(values[name], unit, units[name])
            except InputError as error:
                expected = f"in brackets {error.expected}" if error.field == "unit" else error.expected
                raise InputError(f"{where} {key}", expected, error.found, error.client) from None
    return values


def numbers(where: str, value: Any) -> Any:
    """A number or a flat list of numbers, as TOML knows them: true is no number."""
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise InputError(where, "a number or a flat list of numbers", short(entry))
        if isinstance(entry, int) and abs(entry) > LARGEST:
            raise InputError(where, f"numbers up to {LARGEST:g}", "a larger one")
    return value


def as_table(where: str, value: Any) -> Mapping[str, Any]:
    """The value, if it is a table. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError(where, "a table", short(value))
    return value


def required(where: str, table: Mapping[str, Any], key: str) -> Any:
    """The value of a key that must be there. Raises InputError."""
    if key not in table:
        raise InputError(f"{where} {key}".removeprefix("scenario "), "this key", "none")
    return table[key]


def known(where: str, keys: Iterable[str], names: Sequence[str]) -> None:
    """Raise InputError for the first key that is none of ``names``, with the name that may have been meant."""
    for key in keys:
        if key not in names:
            close = difflib.get_close_matches(key[:80], names, n=1)
            hint = f"did you mean {close[0]}?" if close else "one of " + ", ".join(names)
            raise InputError(f"{where} {key[:80]}", f"a known key ({hint})", "an unknown one")


def short(value: Any) -> str:
    """Type and value for an error, cut short."""
    return f"{type(value).__name__} {brief(value)}"[:80]
