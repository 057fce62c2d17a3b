"""Readers for published traces: FedScale's sample counts, FLASH's phone benchmark and link speeds.

FedScale (SymbioticLab, Apache-2.0) counts the samples each real client holds; FLASH (PKU-Chengxu, BSD-2) carries a
snapshot of AI-Benchmark over phones and the link speeds its users saw.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from fedopt.checks import InputError
from fedopt.disk import read_limited
from fedopt.submodels import IntArray

_MAX_BYTES = 1 << 22  # a hundred megabytes in memory, at worst; the snapshots are of 0.2 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkedPhone:
    """A phone of the AI-Benchmark snapshot: its model, its chip as sold, year, and score of 32-bit float inference
    on the CPU (None where none is given)."""

    model: str
    chip: str
    year: int | None
    fp32_score: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpeed:
    """One user's link: mean and standard deviation of its rates [bit/s]."""

    download: float
    download_deviation: float
    upload: float
    upload_deviation: float


def read_sample_counts(path: str | PathLike[str]) -> IntArray:
    """Samples per client, in the file's order: FedScale's CSV with the columns ``client,samples``.

    Raises InputError naming file, line, expected and found; OSError where the file cannot be read.
    """
    source = os.fspath(path)
    counts = []
    reader = csv.reader(_text(source).splitlines(), strict=True)
    try:
        header = next(reader, [])
        if header != ["client", "samples"]:
            found = ",".join(header)[:80] or "an empty file"
            raise InputError(f"{source}, line 1", "the columns client,samples", found)
        for cells in reader:
            if len(cells) != 2 or not all(cell.isascii() and cell.isdigit() and len(cell) < 19 for cell in cells):
                raise InputError(f"{source}, line {reader.line_num}", "two whole numbers", ",".join(cells)[:80])
            counts.append(int(cells[1]))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}", "comma-separated values", str(error)) from None
    if not counts:
        raise InputError(f"{source}, line 2", "a row for every client", "the end of the file")
    return np.array(counts, dtype=np.int64)


def read_ai_benchmark(path: str | PathLike[str]) -> tuple[BenchmarkedPhone, ...]:
    """The phones of FLASH's AI-Benchmark snapshot (JSON), in the file's order.

    Raises InputError naming file, entry, expected and found; OSError where the file cannot be read.
    """
    source = os.fspath(path)
    entries = _json(source)
    if not isinstance(entries, list) or not entries:
        raise InputError(source, "a list of phones", type(entries).__name__)
    return tuple(_phone(f"{source}, entry {index}", entry) for index, entry in enumerate(entries))


def read_link_speeds(path: str | PathLike[str]) -> tuple[LinkSpeed, ...]:
    """The users of FLASH's speed distribution (JSON, kbit/s), in the file's order, converted to bit/s.

    Raises InputError naming file, user, expected and found; OSError where the file cannot be read.
    """
    source = os.fspath(path)
    users = _json(source)
    if not isinstance(users, dict) or not users:
        raise InputError(source, "a table of users", type(users).__name__)
    links = []
    for index, user in enumerate(users.values()):
        rates = [_rate(f"{source}, user {index}", user, key) for key in ("down_u", "down_sigma", "up_u", "up_sigma")]
        links.append(
            LinkSpeed(download=rates[0], download_deviation=rates[1], upload=rates[2], upload_deviation=rates[3])
        )
    return tuple(links)


def _phone(where: str, entry: Any) -> BenchmarkedPhone:
    if not isinstance(entry, dict):
        raise InputError(where, "a phone with Model and CPU", type(entry).__name__)
    texts = [entry.get(key) for key in ("Model", "CPU")]
    for key, text in zip(("Model", "CPU"), texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise InputError(where, f"a text under {key!r}", repr(text)[:80])
    model, chip = (" ".join(str(text).split()) for text in texts)
    return BenchmarkedPhone(
        model=model, chip=chip, year=_digits(entry.get("Year")), fp32_score=_digits(entry.get("FP32_Score"))
    )


def _digits(text: Any) -> int | None:
    """A whole number written as text; the snapshot leaves some blank."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19 else None


def _rate(where: str, user: Any, key: str) -> float:
    """A rate in kbit/s, returned in bit/s."""
    value = user.get(key) if isinstance(user, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e12:
        raise InputError(where, f"a rate in kbit/s under {key!r}", repr(value)[:80])
    return float(value) * 1e3


def _json(source: str) -> Any:
    text = _text(source)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also of a number with too many digits
        where = f"{source}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else source
        raise InputError(where, "JSON", str(error) if str(error) else "too deep a nesting") from None


def _text(source: str) -> str:
    """The whole file as text, if it is of bearable size and UTF-8."""
    try:
        return read_limited(source, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(source, "UTF-8 text", f"byte 0x{error.object[error.start]:02x}") from None
