"""Damaged files: a typed error or data of the right kind, soon and in little memory, from every reader alike.

Where a file has a checksum, what can still be read is what was written. The texts that people edit have none: there a
flipped bit may make one digit another, and all that can be asked for is an error or data that passed every check.
"""

from __future__ import annotations

import importlib
import re
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaders import ATTACKS, LOADERS

from fedopt import InputError

pytest.importorskip("torch")
pytest.importorskip("safetensors")

SAMPLE, FULL = 120, 2200  # files per reader: 24,200 in all nightly
HUGE = (b"9" * 30, b"9" * 5000, b"-1", b"1e999", b"0x" + b"f" * 5000, b"4294967295", b"18446744073709551615")


def damaged(good: bytes, rng: np.random.Generator) -> bytes:
    """One damage of some kind: cut off, bits, bytes, lines or chunks doubled or lost, a number that is another."""
    place, other = (int(number) for number in np.sort(rng.integers(0, len(good), 2)))
    kind = int(rng.integers(0, 8))
    if kind == 0:
        return good[:place]
    if kind == 1:
        content = bytearray(good)
        for bit in rng.integers(0, 8 * len(good), int(rng.integers(1, 9))):
            content[bit // 8] ^= 1 << bit % 8
        return bytes(content)
    if kind == 2:
        return good[:other] + good[place:]  # a chunk twice: duplicate keys, columns, rows
    if kind == 3:
        return good[:place] + good[other:]
    if kind == 4:
        return good[:place] + rng.bytes(int(rng.integers(1, 20))) + good[place:]
    if kind == 5:
        lines = good.splitlines(keepends=True)
        line = int(rng.integers(0, len(lines)))
        return b"".join([*lines[: line + 1], *lines[line:]])
    numbers = list(re.finditer(rb"\d+", good))  # versions, counts, sizes
    if not numbers or kind == 6:
        content = bytearray(good)
        content[place : place + 4] = b"\xff" * 4  # the counts of binary files
        return bytes(content)
    number = numbers[int(rng.integers(0, len(numbers)))]
    return good[: number.start()] + HUGE[int(rng.integers(0, len(HUGE)))] + good[number.end() :]


def survives(name: str, count: int, seed: int, folder: Path) -> None:
    """Read so many damaged files."""
    loader = LOADERS[name]
    path, good = folder / loader.file, loader.good()
    path.write_bytes(good)
    whole = loader.read(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng, refused = np.random.default_rng([seed, count]), 0
    for index in range(count):
        path.write_bytes(damaged(good, rng))
        started, said = time.process_time(), ""
        try:
            found = loader.read(path)
        except (InputError, OSError) as error:
            refused, said = refused + 1, str(error)
        assert time.process_time() - started < 1.0
        assert said or not loader.sealed or found == whole, f"{name}, file {index} of seed {seed}"
        assert not said or str(path) in said
        assert len(said) < 1000 + len(str(path))
    assert refused > count // 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    survives(name, SAMPLE, 1, tmp_path)


@pytest.mark.parametrize(
    ("name", "inside"), [("record", "fedopt.files._record"), ("checkpoint", "fedopt.training.checkpoint.state_of")]
)
def test_most_of_what_the_fuzzer_makes_gets_past_the_checksum(
    name: str, inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged files hardly ever do, and what is behind the checksum would not be looked at."""
    monkeypatch.syspath_prepend(str(ATTACKS.parent / "fuzz"))
    import sealed

    module, function = inside.rsplit(".", 1)
    real, past = getattr(importlib.import_module(module), function), []

    def counted(*given: Any, **more: Any) -> Any:
        past.append(given)
        return real(*given, **more)

    monkeypatch.setattr(inside, counted)
    path, good = tmp_path / LOADERS[name].file, LOADERS[name].good()
    change, read = sealed.changed(name), 0
    for seed in range(300):
        path.write_bytes(change(good, 1 << 16, seed))
        try:
            LOADERS[name].read(path)
            read += 1
        except (InputError, OSError):
            continue
    assert len(past) > 240
    assert 0 < read < 100  # some changes are allowed


@pytest.mark.nightly("R17", FULL)
@pytest.mark.parametrize("name", LOADERS)
def test_every_damaged_file(name: str, tmp_path: Path) -> None:
    survives(name, FULL, 2, tmp_path)
