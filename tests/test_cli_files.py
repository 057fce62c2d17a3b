"""The files that a command finds where it writes: an earlier answer's are replaced, a user's own are left alone."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fedopt.devices import phones64

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
from test_cli import fedopt_command
from test_cli_output import SCENARIO

from fedopt.cli import output


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "round.toml"
    path.write_text(SCENARIO)
    return path


def test_an_answer_without_a_decision_removes_what_the_one_before_left(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fedopt_command("solve", scenario, "--out", out)[0] == 0
    (out / "other.csv").write_text((out / "round.csv").read_text())
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))
    code, _, err = fedopt_command("solve", scenario, "--out", out)
    assert code == 1
    names = ", ".join(str(out / f"round.{form}") for form in ("csv", "png", "svg"))
    assert f"fedopt: removed, of an earlier answer: {names}\n" in err
    assert set(os.listdir(out)) == {"round.json", "other.csv"}


def test_what_no_answer_wrote_is_left_alone(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))
    phones64().take(range(4)).to_csv(tmp_path / "round.csv")
    (tmp_path / "round.png").write_bytes(b"\x89PNG of the user's")
    (tmp_path / "round.svg").mkdir()
    left = set(os.listdir(tmp_path))
    code, _, err = fedopt_command("solve", scenario, "--out", tmp_path)
    assert code == 1
    assert "removed" not in err
    assert set(os.listdir(tmp_path)) == {*left, "round.json"}


@pytest.mark.parametrize("option", [False, True])
def test_the_fleet_is_not_overwritten(
    option: bool, scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the scenario names it, or the command does; where another is read, the scenario's is kept too."""
    fleet, other = tmp_path / "round.csv", tmp_path / "other.csv"
    for path in (fleet, other):
        phones64().take(range(4)).to_csv(path)
    text = SCENARIO.replace(SCENARIO[SCENARIO.index("frequency_min") : SCENARIO.index("[[sub")], 'file = "NAME"\n')
    scenario.write_text(text.replace("NAME", other.name if option else fleet.name))
    kept, given = fleet.read_bytes(), ("--clients", fleet if option else other)
    solve = ("solve", scenario, *given)
    assert fedopt_command(*solve, "--out", tmp_path / "out")[0] == 0
    monkeypatch.setattr("fedopt.solve", None)
    monkeypatch.chdir(tmp_path)
    code, out, err = fedopt_command(*solve, "--out", ".")
    assert (code, out) == (2, "")
    assert err == "fedopt: --out: expected another place, as round.csv is an input file, found '.'\n"
    assert fleet.read_bytes() == kept


def test_nor_is_the_scenario(scenario: Path, tmp_path: Path) -> None:
    odd = scenario.rename(tmp_path / "round.json")
    code, _, err = fedopt_command("solve", odd, "--out", tmp_path)
    assert (code, odd.read_text()) == (2, SCENARIO)
    assert f"as {odd} is an input file" in err


def test_a_fleet_that_is_not_read_may_have_any_name(scenario: Path, tmp_path: Path) -> None:
    phones64().take(range(4)).to_csv(tmp_path / "other.csv")
    for name in ("none.csv", "long" * 99, "a\\u0000"):
        scenario.write_text(SCENARIO.replace("frequency_min = 0", f'file = "{name}"'))
        assert fedopt_command("solve", scenario, "--clients", tmp_path / "other.csv", "--out", tmp_path)[0] == 0


def test_what_cannot_be_read_or_has_just_gone_changes_no_exit_code(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, ours, opened = tmp_path / "out", output._ours, Path.open
    assert fedopt_command("solve", scenario, "--out", out)[0] == 0
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))

    def unreadable(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.suffix == ".png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    def gone(path: Path) -> bool:
        found = ours(path)
        if path.suffix == ".svg":
            path.unlink()  # by another command
        return found

    monkeypatch.setattr(Path, "open", unreadable)
    monkeypatch.setattr(output, "_ours", gone)
    assert fedopt_command("solve", scenario, "--out", out)[0] == 1
    assert sorted(os.listdir(out)) == ["round.json", "round.png"]


def test_pictures_of_an_earlier_answer_go_where_there_is_no_matplotlib_for_new_ones(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fedopt_command("solve", scenario, "--out", tmp_path / "out")[0] == 0
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "removed" in fedopt_command("solve", scenario, "--out", tmp_path / "out")[2]
    assert sorted(os.listdir(tmp_path / "out")) == ["round.csv", "round.json"]
