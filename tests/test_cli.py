"""The command as a user meets it: exit codes, one-line errors, files left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fedopt
from fedopt.files import read_json

pytest.importorskip("typer")
from typer import Exit
from typer.testing import CliRunner

from fedopt.cli.app import app
from fedopt.cli.app import solve as solve_command
from fedopt.cli.show import progress, show
from fedopt.report import Table

SCENARIO = """
version = 1
[clients]
frequency_min = 0
"frequency_max[GHz]" = [2, 2.5, 3, 1.5]
samples = [100, 200, 300, 400]
"channel_gain[dB]" = [-100, -105, -110, -115]
"bandwidth[kHz]" = 250
[[submodels]]
name = "L"
flops = 34_038_144
upload_bits = 542_016
[[submodels]]
name = "M"
flops = 17_781_120
upload_bits = 320_320
cover = 2
[budget]
"power[W]" = 2
[search]
matching = "sorted"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "round.toml"
    path.write_text(SCENARIO)
    return path


def fedopt_command(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def assert_bad_input(code: int, out: str, err: str, *said: str) -> None:
    assert code == 2
    assert out == ""
    assert err.startswith("fedopt: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in said:
        assert part in err


def test_solve_prints_and_writes(scenario: Path, tmp_path: Path) -> None:
    code, out, err = fedopt_command("solve", scenario, "--out", tmp_path / "out" / "deep")
    assert code == 0
    assert err in ("", "solving round.toml ...\n")  # where the kernels have to be compiled first
    for part in ("Solved", "2 W on average", "Who got what", "Who holds the round up", "every constraint holds"):
        assert part in out
    left = sorted(os.listdir(tmp_path / "out" / "deep"))
    assert left == ["round.csv", "round.json", "round.png", "round.svg"]
    record = read_json(tmp_path / "out" / "deep" / "round.json")
    assert record.settings == {"matching": "sorted"}
    again = fedopt.solve(record.problem, **record.settings)
    assert again.duration == record.solution.duration


def test_options_win_over_the_scenario(scenario: Path, tmp_path: Path) -> None:
    options = ("--matching", "random", "--timing", "bisection", "--allocation", "reference", "--out", tmp_path)
    assert fedopt_command("solve", scenario, *options)[0] == 0
    settings = read_json(tmp_path / "round.json").settings
    assert settings == {"matching": "random", "timing": "bisection", "allocation": "reference"}


def test_without_matplotlib_the_numbers_are_kept(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = fedopt_command("solve", scenario, "--out", tmp_path / "out")
    assert code == 0
    assert "no picture" in err
    assert "pip install 'fedopt[plots]'" in err
    assert sorted(os.listdir(tmp_path / "out")) == ["round.csv", "round.json"]


def test_another_fleet(scenario: Path, tmp_path: Path) -> None:
    fleet = fedopt.Clients(frequency_min=0.0, frequency_max=2e9, samples=100, channel_gain=[1e-10] * 6, bandwidth=1e6)
    fleet.to_csv(tmp_path / "six.csv")
    assert fedopt_command("solve", scenario, "--clients", tmp_path / "six.csv", "--out", tmp_path)[0] == 0
    assert len(read_json(tmp_path / "round.json").problem.clients) == 6


def test_a_time_limit_leaves_the_best_so_far_and_says_so(scenario: Path, tmp_path: Path) -> None:
    many = f"[{', '.join(f'{2 + n / 1e5}' for n in range(2000))}]"
    text = SCENARIO.replace("[2, 2.5, 3, 1.5]", many).replace("[100, 200, 300, 400]", "300")
    text = text.replace("[-100, -105, -110, -115]", f"[{', '.join(f'{-100 - n % 7}' for n in range(2000))}]")
    scenario.write_text(text.replace('"power[W]" = 2', '"power[W]" = 1000'))
    code, out, err = fedopt_command(
        "solve", scenario, "--time-limit", 0, "--out", tmp_path / "out", "--matching", "exact"
    )
    assert code == 0, err
    assert "Stopped at the time limit of 0 s: the best answer so far is in hand." in out
    record = read_json(tmp_path / "out" / "round.json")
    assert record.solution.status is fedopt.Status.LIMIT
    assert record.solution.bound >= record.solution.utility
    code, _, err = fedopt_command("solve", scenario, "--time-limit", -1)
    assert_bad_input(code, "", err, "time_limit")


def test_a_time_limit_before_any_answer_is_exit_code_1_with_the_reason(scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))
    code, out, err = fedopt_command("solve", scenario, "--time-limit", 0, "--matching", "exact")
    assert code == 1
    assert "Stopped before any answer was found or proved impossible, at the time limit of 0 s." in out
    assert err.startswith("fedopt: Stopped before any answer was found")


def test_a_folder_that_cannot_be_is_noticed_before_anything_is_solved(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved: list[object] = []
    monkeypatch.setattr(fedopt, "solve", lambda *arguments, **settings: solved.append(arguments))
    (tmp_path / "taken").write_text("a file")
    for out in (tmp_path / "taken", tmp_path / "taken" / "deeper"):
        code, printed, err = fedopt_command("solve", scenario, "--out", out)
        assert_bad_input(code, printed, err, "taken")
    assert solved == []


def test_infeasible_is_exit_code_1_with_the_reason(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))
    code, out, err = fedopt_command("solve", scenario, "--out", tmp_path / "out")
    assert code == 1
    assert "Infeasible" in out
    assert err.startswith("fedopt: Infeasible")
    assert "client" in err
    assert os.listdir(tmp_path / "out") == ["round.json"]  # the answer is kept; there is no decision to draw
    assert json.loads((tmp_path / "out" / "round.json").read_text())["content"]["status"] == "INFEASIBLE"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("samples", "sample", ("line 6", "did you mean samples?")),
        ("version = 1", "version = ", ("TOML", "line 2")),
        ("samples = [100", "samples = [nan", ("line 6: [clients] samples", "client 0", "nan")),
        ("[budget]", '["\\u001b[2J"]\n[budget]', ("known key", "\\x1b[2J")),
    ],
)
def test_bad_scenarios(scenario: Path, old: str, new: str, said: tuple[str, ...]) -> None:
    scenario.write_text(SCENARIO.replace(old, new, 1))
    assert_bad_input(*fedopt_command("solve", scenario), str(scenario), *said)


def test_files_that_are_not_there(scenario: Path, tmp_path: Path) -> None:
    assert_bad_input(*fedopt_command("solve", tmp_path / "none.toml"), "none.toml", "No such file")
    assert_bad_input(*fedopt_command("solve", tmp_path), str(tmp_path), "directory")
    assert_bad_input(*fedopt_command("solve", scenario, "--clients", tmp_path / "none.csv"), "none.csv")
    assert_bad_input(*fedopt_command("devices", "fit", tmp_path / "none"), "none")
    (tmp_path / "taken").write_text("")
    code, _, err = fedopt_command("solve", scenario, "--out", tmp_path / "taken")
    assert code == 2
    assert "taken" in err


def test_a_failed_write_does_not_cost_the_answer(scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "round.json").mkdir(parents=True)  # no file can take its place
    code, out, err = fedopt_command("solve", scenario, "--out", tmp_path / "out")
    assert code == 2
    assert "2 W on average" in out
    assert "Is a directory; other files named round there may be of an earlier answer" in err


def test_a_folder_is_no_fleet(scenario: Path, tmp_path: Path) -> None:
    code, out, err = fedopt_command("solve", scenario, "--clients", tmp_path)
    assert_bad_input(code, out, err, f"fedopt: {tmp_path} is a folder, not a CSV file")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_reason_is_told_once_to_whom_reads_the_table(
    scenario: Path, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.write_text(SCENARIO.replace('"power[W]" = 2', "deadline = 1e-3"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with pytest.raises(Exit) as left:
        solve_command(scenario)
    assert left.value.exit_code == 1
    told = capsys.readouterr()
    assert "Infeasible: the deadline" in told.out
    assert ("Infeasible: the deadline" in told.err) is not terminal


def test_unknown_method_is_bad_input(scenario: Path) -> None:
    code, out, err = fedopt_command("solve", scenario, "--timing", "magic")
    assert_bad_input(code, out, err, "timing", "newton", "magic")


def test_version_and_help() -> None:
    assert fedopt_command("--version")[:2] == (0, f"fedopt {fedopt.__version__}\n")
    code, out, _ = fedopt_command("solve", "--help")
    assert code == 0
    assert "--matching" in out


def test_bench_lists_and_refuses() -> None:
    code, _, err = fedopt_command("bench", "no_such_benchmark")
    assert code == 2
    assert "benchmark" in err


def test_bench_passes_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def call(line: list[str], **_: object) -> int:
        called.append(line[2:])
        return 7

    monkeypatch.setattr(subprocess, "call", call)
    assert fedopt_command("bench", "--all", "--quick", "--out", "there")[0] == 7
    assert fedopt_command("bench", "front", "--quick")[0] == 7
    assert called == [["benchmarks", "--quick", "--out", "there"], ["benchmarks.front", "--quick"]]


def test_devices_fit_recovers_a_known_chip(tmp_path: Path) -> None:
    folder = tmp_path / "chips" / "made" / "main"
    folder.mkdir(parents=True)
    kappa, static = 5e-29, 0.05
    lines = ["CPU,Frequency (kHz),CoreMarks (iter/s),Power (mW)"]
    lines += [f"4,{f / 1e3:.0f},{f / 1e5:.0f},{1e3 * (kappa * f**3 + static)!r}" for f in (6e8, 1e9, 1.5e9, 2e9, 2.4e9)]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")
    code, out, err = fedopt_command("devices", "fit", tmp_path / "chips", "--out", tmp_path / "fits.csv")
    assert (code, err) == (0, "")
    assert "5e-29" in out
    assert "made" in out
    header, row = (tmp_path / "fits.csv").read_text().splitlines()
    fit = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(fit["capacitance[J s^2]"]) == pytest.approx(kappa, rel=1e-6)
    assert float(fit["static_power[W]"]) == pytest.approx(static, rel=1e-6)
    for source in (tmp_path / "chips", folder / "results.csv"):
        refused = fedopt_command("devices", "fit", source, "--out", folder / "results.csv")
        assert_bad_input(*refused, "--out", "is an input file")
    assert (folder / "results.csv").read_text() == "\n".join(lines) + "\n"


def test_interrupt_leaves_quietly(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fedopt, "solve", interrupted)
    assert fedopt_command("solve", scenario) == (130, "", "")


def test_a_terminal_shows_every_text_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    show(Table(title="[b]T", columns=("gain [dB]",), rows=(("[red]x",),), notes=("[i]n",)))
    told = capsys.readouterr().out
    assert "\x1b[" in told  # it did take the way of a terminal
    for text in ("[b]T", "gain [dB]", "[red]x", "[i]n"):
        assert text in told


def test_progress_waits_a_second(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("short") as report:
        report(1, 2, 0.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("fedopt.cli.show._PATIENCE", 0.01)
    with progress("long") as report:
        report(1, 2, 0.5)
        time.sleep(0.3)
    assert capsys.readouterr().err == "long ...\n"


def test_our_own_bugs_keep_their_traceback(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(fedopt, "solve", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        fedopt_command("solve", scenario)


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    code = "from fedopt.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(fedopt.__file__).parents[1])}
    command = [sys.executable, "-c", code, "demo", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("10 W", "100 W", "sorted", "marginal", "assignment", "all clients the largest", str(tmp_path)):
        assert part in done.stdout
    for name in ("demo-10W", "demo-100W"):
        record = read_json(tmp_path / f"{name}.json")
        assert record.solution.verdict is not None
        assert record.solution.verdict.feasible
        assert all((tmp_path / f"{name}.{form}").stat().st_size > 1000 for form in ("csv", "png", "svg"))
