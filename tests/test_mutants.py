"""The tool that changes one thing at a time: what it changes, and that what it is told of the sources is still true."""

from __future__ import annotations

import mutants

SOURCE = """
@kernel
def scaled(a: float, b: float = 2.0) -> float:
    if a < 0.0:
        return min(a, b)
    return a + b
"""


def test_each_mutant_is_the_source_with_one_thing_changed() -> None:
    """Of what runs: no annotation, no decorator, no text."""
    made = {(line, what): make() for line, what, make in mutants.mutants(SOURCE)}
    assert "return a - b" in made[6, "Add to Sub"]
    assert "return min(a, b)" in made[6, "Add to Sub"]
    assert "if a >= 0.0:" in made[4, "Lt to GtE"]
    assert len(set(made.values())) == len(made) > 5
    assert all("@kernel" in source and "-> float" in source for source in made.values())


def test_what_is_said_to_be_equivalent_stands_in_the_sources() -> None:
    assert mutants.STALE == []


def test_every_file_of_the_levels_and_the_judge_has_tests_of_its_own() -> None:
    for name in mutants.FILES:
        assert (mutants.ROOT / name).exists()
        assert all((mutants.ROOT / test).exists() for test in mutants.subset(name) if test.startswith("tests/"))
