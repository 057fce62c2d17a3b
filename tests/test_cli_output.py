"""The command's output where it has no reader, no room, or no letter for what is said: no verdict, no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fedopt
from fedopt.files import write_json
from fedopt.scenario import read_scenario

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

SCENARIO = """
version = 1
[clients]
frequency_min = 0
"frequency_max[GHz]" = [2, 3]
samples = 100
"channel_gain[dB]" = [-100, -105]
"bandwidth[kHz]" = 250
[[submodels]]
name = "L"
flops = 34_038_144
upload_bits = 542_016
[budget]
"power[W]" = 2
"""
INFEASIBLE = SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "round.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def record(scenario: Path) -> Path:
    problem = read_scenario(scenario).problem
    path = scenario.with_suffix(".json")
    write_json(problem, fedopt.solve(problem), path)
    return path


def command(
    folder: Path, *arguments: object, into: int | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell starts it, its output into a file descriptor where one is given."""
    root = str(Path(__file__).parents[1])
    line = [sys.executable, "-c", "from fedopt.cli import main; main()", *map(str, arguments)]
    settings: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": root, **environment}, "cwd": folder}
    out = subprocess.PIPE if into is None else into
    done = subprocess.run(line, stdout=out, stderr=subprocess.PIPE, timeout=120, check=False, **settings)
    done.stderr = unhurried(done.stderr)
    return done


def unhurried(stderr: bytes) -> bytes:
    """Without the progress that a slow machine is told of."""
    return re.sub(rb"solving .*\n", b"", stderr)


@pytest.fixture
def gone() -> Iterator[int]:
    """A pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def test_a_closed_pipe_does_not_cost_the_files(scenario: Path, tmp_path: Path, gone: int) -> None:
    assert command(tmp_path, "solve", scenario, "--out", "kept", into=gone).returncode == 141
    assert sorted(os.listdir(tmp_path / "kept")) == ["round.csv", "round.json", "round.png", "round.svg"]


def test_a_reader_that_is_gone_is_no_verdict(record: Path, tmp_path: Path, gone: int) -> None:
    infeasible = tmp_path / "infeasible.toml"
    infeasible.write_text(INFEASIBLE)
    for arguments in (("verify", record), ("solve", infeasible), ("--version",)):
        done = command(tmp_path, *arguments, into=gone)
        assert done.returncode == 141
        assert b"Traceback" not in done.stderr
        assert b"Broken" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_no_verdict(scenario: Path, record: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        for arguments in (("verify", record), ("solve", scenario), ("--version",)):
            done = command(tmp_path, *arguments, into=full.fileno())
            assert done.returncode == 2
            assert done.stderr.startswith(b"fedopt: ")
            assert done.stderr.endswith(b"No space left on device\n")
            assert done.stderr.count(b"\n") == 1


def test_closed_output_does_not_matter(scenario: Path, tmp_path: Path) -> None:
    code = "import os, sys; os.close(1); sys.stdout = None; from fedopt.cli import main; main()"
    line = [sys.executable, "-c", code, "solve", str(scenario), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(line, env=environment, stderr=subprocess.PIPE, timeout=120, check=False)
    assert (done.returncode, unhurried(done.stderr)) == (0, b"")
    assert (tmp_path / "out" / "round.csv").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_closed_errors_go_nowhere_and_change_no_exit_code(
    scenario: Path, record: Path, tmp_path: Path, gone: int
) -> None:
    infeasible = tmp_path / "infeasible.toml"
    infeasible.write_text(INFEASIBLE)
    alone = command(tmp_path, "solve", infeasible).stdout
    for arguments, code, said in (
        (("solve", infeasible), 1, alone), (("solve", "none.toml"), 2, b""), (("solve", "--no-such-option"), 2, b""),
    ):  # fmt: skip
        done = without_errors(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (code, said)
    with open("/dev/full", "wb", buffering=0) as full:
        for arguments in (("solve", scenario), ("verify", record), ("--version",)):
            assert without_errors(tmp_path, *arguments, into=full.fileno()).returncode == 2
            assert without_errors(tmp_path, *arguments, into=gone).returncode == 141


def without_errors(folder: Path, *arguments: object, into: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """The command, its stderr closed by the shell."""
    line = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "fedopt", *map(str, arguments)]
    home = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(line, env=home, cwd=folder, stdout=into, timeout=120, check=False)


def test_pictures_need_no_backend_of_the_users(scenario: Path, tmp_path: Path) -> None:
    done = command(tmp_path, "solve", scenario, "--out", "kept", MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "kept" / "round.png").exists()


@pytest.mark.parametrize(
    "encoding", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_what_the_output_has_no_letter_for_is_escaped(scenario: Path, tmp_path: Path, encoding: dict[str, str]) -> None:
    scenario.write_text(SCENARIO.replace('name = "L"', 'name = "日本"'), encoding="utf-8")
    done = command(tmp_path, "solve", scenario, **encoding)
    assert done.returncode == 0, done.stderr
    assert rb"\u65e5\u672c" in done.stdout
    done = command(tmp_path, "solve", "日本.toml", **encoding)
    assert done.returncode == 2
    assert done.stderr.isascii()
    assert done.stderr.startswith(rb"fedopt: \u")


def test_so_are_the_names_of_files(scenario: Path, tmp_path: Path) -> None:
    done = command(tmp_path, "solve", scenario, "--out", "日本", PYTHONIOENCODING="ascii")
    assert rb"Written: \u65e5\u672c/round.json" in done.stdout
