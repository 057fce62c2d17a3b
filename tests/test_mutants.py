"""The tool that changes one thing at a time: what it changes, who is asked, and that what it is told is still true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mutants
from witnesses import Witnesses

SOURCE = """
LIMIT = 3.0

@kernel
def scaled(a: float, b: float = 2.0) -> float:
    if a < 0.0:
        return min(a, b)
    return (
        a + b
    )

def within(a: float) -> bool:
    return a <= LIMIT
"""


def test_each_mutant_is_the_source_with_one_thing_changed() -> None:
    """Of what runs: no annotation, no decorator, no text."""
    found = mutants.mutants(SOURCE)
    made = {(mutant.line, mutant.what): mutant.source() for mutant in found}
    assert "return a - b" in made[9, "Add to Sub"]
    assert "return min(a, b)" in made[9, "Add to Sub"]
    assert "if a >= 0.0:" in made[6, "Lt to GtE"]
    assert len(set(made.values())) == len(made) > 5
    assert all("@kernel" in source and "-> float" in source for source in made.values())


def test_a_mutant_is_run_by_the_lines_of_its_statement_or_those_that_use_it() -> None:
    lines = {(mutant.line, mutant.what): mutant.lines for mutant in mutants.mutants(SOURCE)}
    assert lines[6, "Lt to GtE"] == {6}
    assert lines[7, "min to max"] == {7}
    assert lines[9, "Add to Sub"] == {8, 9, 10}
    assert lines[2, "3.0 to 7.0"] == {13}


def test_a_mutant_meets_the_quickest_tests_that_run_it(tmp_path: Path) -> None:
    file = tmp_path / "compiled.json"
    seen = {"1": [0, 1, 2], "2": [1, 2], "3": []}
    file.write_text(
        json.dumps({"tests": [("quick", 0.1), ("usual", 1.0), ("slow", 9.0)], "lines": {"a.py": seen}, "stamp": ""})
    )
    witnesses = Witnesses(file)
    assert witnesses.of("a.py", [2, 3], 60.0) == (["usual", "slow"], 10.0)
    assert witnesses.of("a.py", [1], 2.0) == (["quick", "usual"], 1.1)
    assert witnesses.of("a.py", [3], 60.0)[0] == ["quick", "usual", "slow"]  # nobody runs it: all of the file
    assert witnesses.of("b.py", [1], 60.0) == ([], 0.0)


ONE = """
def one(x):
    if x:
        return 1
    return 2
"""
TESTS = """
from solvers.one import one

def test_passes():
    one(True)

def test_other_way():
    one(False)

def test_fails():
    assert one(True) == 2

def test_too_slow():
    one(True)
    while True:
        pass
"""
RECORD = (
    "from witnesses import Recorder; from pathlib import Path; Recorder(0.2).record(['test_one.py'], Path('found'))"
)


def test_what_runs_a_line_is_recorded_of_tests_that_pass_in_time(tmp_path: Path) -> None:
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "__init__.py").touch()
    (tmp_path / "solvers" / "one.py").write_text(ONE)
    (tmp_path / "test_one.py").write_text(TESTS)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", RECORD], cwd=tmp_path, env=environment, check=True, capture_output=True)
    witnesses = Witnesses(tmp_path / "found")
    passes, other = "test_one.py::test_passes", "test_one.py::test_other_way"
    assert witnesses.of("solvers/one.py", [4], 60.0)[0] == [passes]
    assert witnesses.of("solvers/one.py", [5], 60.0)[0] == [other]
    assert set(witnesses.of("solvers/one.py", [3], 60.0)[0]) == {passes, other}


def test_what_is_said_to_be_equivalent_stands_in_the_sources() -> None:
    assert mutants.STALE == []


def test_the_levels_and_the_judge_are_where_they_are_looked_for() -> None:
    assert all((mutants.ROOT / name).exists() for name in mutants.FILES)
