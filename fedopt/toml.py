"""TOML text of a small document, and the line that sets a key; reading is the standard library's, in bounded time."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from fedopt.checks import lost
from fedopt.disk import marks

MOST = 100_000  # values and lines, to be read within a second and 100 MB

_PARTS = 16  # of a dotted key; the time tomllib takes grows with their square
_PART = r"""(?:(?<![\w-])[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_TEXT = re.compile(  # what looks like a key in a text or a comment is none; possessive, so that no memory is taken
    r"""(?:\"{3}(?:[^"\\]++|\\.|"(?!""))*+\"{3,5}|'{3}(?:[^']++|'(?!''))*+'{3,5}"""
    r"""|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'|\#[^\n]*+)""",
    re.DOTALL,
)
_ENDLESS = re.compile(rf"(?:{_PART}[ \t]*\.[ \t]*){{{_PARTS}}}")


def size(content: bytes) -> int:
    """How many values and lines a TOML text has, at the most."""
    return marks(content, b",=[{\\\n")


def loads(text: str) -> dict[str, Any]:
    """The document of a TOML text of a ``size`` of at most MOST.

    Raises ValueError where it is none, RecursionError where it is nested too deep.
    """
    if found := _ENDLESS.search(text):
        raise ValueError(f"a key of more than {_PARTS} parts (at line {text.count(chr(10), 0, found.start()) + 1})")
    return tomllib.loads(text, parse_float=_number)


def _number(text: str) -> float:
    """A number; 1e999 is not silently inf, nor 1e-999 silently 0."""
    value = float(text)
    if lost(text, value):
        raise ValueError(f"a number beyond a double's range: {text[:80]}")
    return value


def dumps(document: Mapping[str, Any]) -> str:
    """TOML text of two levels: scalars at the top, then tables, or lists of tables, of scalars and lists."""
    lines = [f"{key} = {_value(value)}" for key, value in document.items() if not isinstance(value, dict | list)]
    for key, value in document.items():
        for table in value if isinstance(value, list) else [value]:
            if isinstance(table, dict):
                lines += ["", f"[[{key}]]" if isinstance(value, list) else f"[{key}]"]
                lines += [f"{_key(name)} = {_value(entry)}" for name, entry in table.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def line_of(text: str, table: str, key: str) -> int | None:
    """The number of the line that sets ``key``, quoted or not; None where no line or more than one does.

    ``table`` is its header, such as ``[clients]``, or ``[[submodels]] 2`` for the third of that name; anything else is
    the top of the file.
    """
    wanted = re.fullmatch(r"(\[\[?\w+\]\]?)(?: (\d+))?", table)
    header, place = (wanted[1], int(wanted[2] or 0)) if wanted else ("", 0)
    pattern = re.compile(rf"""\s*(["']?){re.escape(key)}\1\s*=""")
    now, lines, seen, depth = "", [], {"": 1}, 0  # depth: of lists that are open
    plain = _TEXT.sub(lambda found: "\n" * found[0].count("\n") or found[0], text)
    bare = _TEXT.sub(lambda found: "\n" * found[0].count("\n"), text)
    both = zip(plain.split("\n"), bare.split("\n"), strict=True)  # these alone are lines to TOML
    for number, (line, marked) in enumerate(both, 1):
        inside, depth = depth > 0, depth + marked.count("[") - marked.count("]")
        if inside:
            continue
        if found := re.match(r"\s*(\[\[?\w+\]\]?)\s*(#|$)", line):
            now = found[1]
            seen[now] = seen.get(now, 0) + 1
        elif now == header and seen[now] == place + 1 and pattern.match(line):
            lines.append(number)
    return lines[0] if len(lines) == 1 else None
