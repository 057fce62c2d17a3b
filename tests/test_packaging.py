"""An install: both packages from one place, a light import, a pin for each extra, a command that says what it lacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fedopt
import solvers

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "cvxpy", "pulp", "highspy", "pandas", "matplotlib", "typer", "rich", "sklearn", "numba", "scipy")


def python(code: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_both_packages_come_from_the_same_place() -> None:
    homes = {Path(str(package.__file__)).resolve().parents[1] for package in (fedopt, solvers)}
    assert len(homes) == 1


def test_importing_fedopt_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, fedopt; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = python(code, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_modules_are_there_when_asked_for(tmp_path: Path) -> None:
    """``import fedopt`` is enough, though it does not load them."""
    code = "import fedopt, sys; assert 'fedopt.devices' not in sys.modules; print(len(fedopt.devices.phones64()))"
    assert python(code, cwd=tmp_path).stdout == "64\n"
    assert {"channel", "devices", "scenario", "solve", "testing"} <= set(dir(fedopt))
    assert fedopt.__getattr__("channel") is fedopt.channel  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="module 'fedopt' has no attribute 'solver'"):
        fedopt.solver  # type: ignore[attr-defined]  # noqa: B018


def test_the_command_without_its_extra_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None; from fedopt.cli import main; main()"
    done = python(code, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == "fedopt: the command line needs typer: pip install 'fedopt[cli,plots]'"


def test_pictures_without_their_extra_say_how_to_get_it(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = None
from fedopt import MissingExtra, plots
try:
    plots.draw_round.__globals__["figure_type"]()
except MissingExtra as error:
    print(error)
"""
    done = python(code, cwd=tmp_path)
    assert "pip install 'fedopt[plots]'" in done.stdout, done.stderr


@pytest.mark.skipif(not (ROOT / "constraints.txt").exists(), reason="not a checkout")
def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if not line.startswith("#"))  # type: ignore[union-attr]
    normal = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    for line in wanted:
        name = re.match(r"[\w.-]+", line)
        assert name is not None
        assert re.sub(r"[-_.]+", "-", name[0]).lower() in normal, line
    assert pinned["torch"] == "2.13.0"


def test_the_core_needs_three_packages_only() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(re.match(r"[a-z]+", line)[0] for line in core) == ["numba", "numpy", "scipy"]  # type: ignore[index]
