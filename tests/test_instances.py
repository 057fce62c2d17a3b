"""The instance library: answers within intervals proved by Arb, in no more passes than when they were noted."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import library
import pytest
from library import FAMILIES, from_json, note, read, to_json, write

import fedopt

SLACK = 2  # passes: another machine rounds otherwise, and a search may then look once more
MORE = 1.06  # times the passes, of a family together
CASES = [case for family in FAMILIES for case in read(family)]


def test_there_are_two_hundred_with_fifteen_proved_digits() -> None:
    assert len(CASES) == len({case.name for case in CASES}) == 200
    for case in CASES:
        low, high = (Decimal(bound) for bound in case.bounds)
        assert 0 < high - low <= low * Decimal("1e-15"), case.name


@cache
def solved(number: int) -> fedopt.Schedule | fedopt.Solution:
    """The answer to a case, by its place in CASES."""
    return CASES[number].solve()


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].name)
def test_the_answer_lies_in_the_proved_interval(number: int) -> None:
    case, found = CASES[number], solved(number)
    assert found.status.solved, found.reason
    assert case.error(getattr(found, case.quantity)) <= case.allowed()
    if case.types:
        assert isinstance(found, fedopt.Solution)
        assert found.partition == case.partition
    assert found.stats["passes"] <= case.passes + SLACK


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_takes_no_more_passes_than_when_it_was_written(family: str) -> None:
    numbers = [number for number, case in enumerate(CASES) if case.name.startswith(family)]
    assert numbers
    passes = sum(solved(number).stats["passes"] for number in numbers)
    assert passes <= MORE * sum(CASES[number].passes for number in numbers)


def test_a_longer_and_a_shorter_round_would_be_noticed() -> None:
    """The comparison itself: ten times what is allowed, to either side, is refused."""
    for case in CASES:
        low, high = (float(bound) for bound in case.bounds)
        assert case.error(high * (1 + 10 * case.allowed())) > case.allowed()
        assert case.error(low * (1 - 10 * case.allowed())) > case.allowed()


def test_a_case_is_the_same_after_writing_and_reading() -> None:
    for case in CASES:
        record = to_json(case)
        assert to_json(from_json(json.loads(json.dumps(record)))) == record


def test_passes_are_noted_anew_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = read("ties")[:2]
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    write("ties", [replace(case, passes=99) for case in cases])
    note("ties")
    passes = [int(case.solve().stats["passes"]) for case in cases]
    noted = [to_json(replace(case, passes=now)) for case, now in zip(cases, passes, strict=True)]
    assert list(map(to_json, read("ties"))) == noted


def test_a_changed_digit_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (library.FOLDER / "ties.json").read_text()
    (tmp_path / "ties.json").write_text(text.replace('"condition":1.0', '"condition":9.0', 1))
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    with pytest.raises(AssertionError, match="not what was written"):
        read("ties")
