"""The instance library: answers within intervals proved by Arb, in no more passes than when they were written."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import library
import pytest
from library import FAMILIES, Case, from_json, read, to_json

import fedopt

SLACK = 2  # passes: another machine rounds otherwise, and a search may then look once more
CASES = [case for family in FAMILIES for case in read(family)]


def test_there_are_two_hundred_with_fifteen_proved_digits() -> None:
    assert len(CASES) == len({case.name for case in CASES}) == 200
    for case in CASES:
        low, high = (Decimal(bound) for bound in case.bounds)
        assert 0 < high - low <= low * Decimal("1e-15"), case.name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer_lies_in_the_proved_interval(case: Case) -> None:
    found = case.solve()
    assert found.status.solved, found.reason
    assert case.error(getattr(found, case.quantity)) <= case.allowed()
    if case.types:
        assert isinstance(found, fedopt.Solution)
        assert found.partition == case.partition
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        assert found.stats["passes"] <= case.passes + SLACK


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


def test_a_changed_digit_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (library.FOLDER / "ties.json").read_text()
    (tmp_path / "ties.json").write_text(text.replace('"condition":1.0', '"condition":9.0', 1))
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    with pytest.raises(AssertionError, match="not what was written"):
        read("ties")
