"""``fedopt train`` as a user meets it, the table it reads, its pictures, and the published experiment in small."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import fedopt
from fedopt.devices import phones64
from fedopt.scenario import read_scenario

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("typer")
pytest.importorskip("matplotlib")
from typer.testing import CliRunner

from fedopt.cli.app import app
from fedopt.training.curves import AXES, draw_curves
from fedopt.training.history import History, Row
from fedopt.training.lesson import read_lesson
from fedopt.training.lock import alone
from fedopt.training.summary import figures, summary

LESSON = """
version = 1
[clients]
file = "fleet.csv"
[budget]
"power[W]" = 2.5
[training]
algorithm = "fedavg"
model = "two_nn"
rounds = 2
fading = "rayleigh"
rate = 0.1
"""


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    phones64(faded=False).take(slice(0, 64, 8)).to_csv(tmp_path / "fleet.csv")
    path = tmp_path / "lesson.toml"
    path.write_text(LESSON)
    return path


def train(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_it_trains_writes_and_goes_on(lesson: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, shown = train(lesson, "--out", out, "--engine", "plain", "--rounds", 1)
    assert code == 0, shown
    assert "All 1 rounds are done." in said
    assert "round 1 of 1" in shown or "round 0 of 1" in shown
    assert sorted(os.listdir(out)) == [
        "lesson-joules.png", "lesson-round.png", "lesson-seconds.png", "lesson.csv", "lesson.safetensors",
    ]  # fmt: skip
    code, said, shown = train(lesson, "--out", out, "--engine", "plain")
    assert code == 2
    assert "--resume" in shown
    code, said, shown = train(lesson, "--out", out, "--engine", "plain", "--resume")
    assert code == 0, shown
    code, _, shown = train(lesson, "--out", tmp_path / "whole", "--engine", "plain")
    assert code == 0, shown
    resumed, whole = (History.from_csv(folder / "lesson.csv").rows for folder in (out, tmp_path / "whole"))
    assert [(row.seconds, row.joules, row.accuracy) for row in resumed] == [
        (row.seconds, row.joules, row.accuracy) for row in whole
    ]
    assert whole[2].accuracy > whole[0].accuracy
    code, _, shown = train(lesson, "--out", out, "--engine", "plain", "--resume", "--rate", 0.2, "--rounds", 3)
    assert code == 2
    assert "local.rate: expected 0.2, found 0.1" in shown
    code, _, shown = train(lesson, "--out", out, "--engine", "plain", "--resume", "--seed", 6)
    assert code == 2
    assert ".safetensors: seed: expected 6, found 0" in shown  # not the model or the split, which come of it
    code, _, shown = train(lesson, "--out", out, "--engine", "plain", "--resume", "--model", "paper-cnn")
    assert code == 2
    assert ".safetensors: model: expected" in shown
    code, said, shown = train(lesson, "--out", out, "--engine", "plain", "--resume", "--rounds", 1)
    assert code == 0
    assert "All 1 rounds are done: this run has 2." in said
    assert "of 1" not in shown


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(
    lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedopt.cli.train.run", interrupted)
    code, _, shown = train(lesson, "--out", tmp_path)
    assert code == 130
    assert "interrupted before the first round was done: nothing is kept" in shown
    (tmp_path / "lesson.safetensors").touch()
    code, _, shown = train(lesson, "--out", tmp_path, "--resume")
    assert code == 130
    assert "the same command with --resume goes on from there" in shown


def test_the_fleet_is_not_overwritten(lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = (tmp_path / "fleet.csv").rename(tmp_path / "lesson.csv")
    kept = fleet.read_bytes()
    monkeypatch.setattr("fedopt.cli.train.run", None)
    lesson.write_text(LESSON.replace("fleet.csv", "lesson.csv"))
    for given in ((), ("--clients", fleet)):
        code, said, shown = train(lesson, "--out", tmp_path, *given)
        assert (code, said) == (2, "")
        assert shown.startswith(f"fedopt: --out: expected another place, as {fleet} is an input file")
        assert fleet.read_bytes() == kept


def test_a_second_run_into_the_same_folder_is_refused(lesson: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with alone(out / "lesson.safetensors"):
        code, said, shown = train(lesson, "--out", out, "--engine", "plain")
    assert (code, said) == (2, "")
    assert shown.startswith(f"fedopt: {out / 'lesson.safetensors'}: expected no other run that writes it")
    assert not os.listdir(out)


def test_an_infeasible_round_is_exit_code_1_and_keeps_the_rows(lesson: Path, tmp_path: Path) -> None:
    lesson.write_text(LESSON.replace('"power[W]" = 2.5', '"deadline[s]" = 0.001'))
    code, _, shown = train(lesson, "--out", tmp_path / "out", "--engine", "plain")
    assert code == 1
    assert "Stopped before round 1. Infeasible: the deadline of 0.001 s" in shown
    assert len(History.from_csv(tmp_path / "out" / "lesson.csv").rows) == 1


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (("two_nn", "three_nn"), (), "model: expected one of"),
        (('"fedavg"', '"fedprox"'), (), "algorithm: expected one of"),
        (("rounds = 2", "round = 2"), (), "did you mean rounds?"),
        (("rounds = 2", "rounds = 2.5"), (), "line 10: [training] rounds: expected a whole number"),
        (("rounds = 2", "rounds = true"), (), "[training] rounds: expected a whole number"),
        (("rounds = 2", "rounds = 0"), (), "rounds: expected a whole number of at least 1, found 0"),
        (("rayleigh", "rician"), (), "fading: expected None, 'rayleigh' or 'rician:K'"),
        (("", ""), ("--split", "thirds"), "split: expected iid, sized"),
        (("", ""), ("--split", "dirichlet:-1"), "split: expected iid, sized"),
        (("", ""), ("--split", "shards:0"), "split: each: expected a whole number of at least 1, found 0"),
        (("", ""), ("--split", "shards:9999"), "split: each: expected at most 1438 shards"),
        (("", ""), ("--data", "nowhere"), "data: expected digits, mnist or a folder"),
        (("rate = 0.1", 'data = "/etc"'), (), "a folder inside the scenario's"),
        (("rate = 0.1", 'data = "mnist\\u0000"'), (), "a folder, without NUL characters, found 'mnist\\x00'"),
        (("", ""), ("--policy", "faster"), "policy: expected one of allocated"),
        (("", ""), ("--engine", "warp"), "engine: expected one of auto"),
        (("", ""), ("--device", "tpu"), "device: expected one of cpu, cuda"),
    ],
)
def test_bad_input_is_one_line(
    lesson: Path, tmp_path: Path, change: tuple[str, str], options: tuple[str, ...], said: str
) -> None:
    lesson.write_text(LESSON.replace(*change) if change[0] else LESSON)
    code, out, shown = train(lesson, "--out", tmp_path / "out", *options)
    assert code == 2
    assert out == ""
    assert said in shown
    assert shown.count("\n") == 1


def test_a_gpu_that_is_not_there_is_said(lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, shown = train(lesson, "--out", tmp_path / "out", "--device", "cuda")
    assert code == 2
    assert "device: expected 'cpu': torch finds no GPU here, found 'cuda'" in shown


def test_sub_models_of_another_network_are_told_from_the_algorithms(lesson: Path, tmp_path: Path) -> None:
    types = '[[submodels]]\nname = "full"\nflops = 1e6\nupload_bits = 1e5\n'
    lesson.write_text(LESSON.replace("[budget]", f"{types}[budget]"))
    code, _, shown = train(lesson, "--out", tmp_path / "out")
    assert code == 2
    assert "expected the algorithm's footprint SubModel(name='full', flops=" in shown
    assert "flops=1000000.0" in shown
    assert read_scenario(lesson).training["rounds"] == 2  # and solve does not mind the table
    lesson.write_text(LESSON)
    with pytest.raises(fedopt.InputError, match="submodels"):
        read_scenario(lesson)


def test_the_scenario_gets_the_algorithms_own_types(lesson: Path) -> None:
    scenario, chosen = read_lesson(lesson, {"algorithm": "mfl", "model": "paper-cnn", "split": "sized"})
    assert [each.name for each in scenario.problem.submodels] == ["L", "M", "S", "T"]
    assert [each.cover for each in scenario.problem.submodels] == [1, 2, 4, 8]
    sizes = chosen.split(scenario.problem.clients).sizes
    shares = scenario.problem.clients.samples / scenario.problem.clients.samples.sum()
    assert abs(sizes - shares * len(chosen.data.train)).max() < 1.0


def test_without_torch_it_says_how_to_get_it(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("fedopt.training", "fedopt.cli.train"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, shown = train(lesson)
    assert code == 2
    assert shown == "fedopt: training needs torch: pip install 'fedopt[training]'\n"


def curve(duration: float, energy: float, halfway: float) -> History:
    rows = [
        Row(round=k, seconds=duration * k, joules=energy * k, accuracy=1.0 - 0.5 ** (k / halfway), loss=math.nan)
        for k in range(40)
    ]
    return History(rows=tuple(rows))


def test_the_picture_says_what_one_run_gains_over_another() -> None:
    runs = {"fast": curve(10.0, 5.0, 2.0), "slow": curve(30.0, 10.0, 2.0)}
    for axis, said in (
        ("seconds", "3.0 x less time than"),
        ("joules", "2.0 x less energy than"),
        ("round", "as many rounds as"),
    ):
        axes = draw_curves(runs, against=axis, baselines={"fast": "slow"}).axes[0]
        drawn = {line.get_label(): line for line in axes.lines}
        ours, theirs = drawn[f"fast: 97% with {said} slow"], drawn["slow"]
        assert ours.get_linestyle() != theirs.get_linestyle()
        assert ours.get_color() == theirs.get_color()
        assert list(ours.get_ydata()) == [row.accuracy for row in runs["fast"].rows]
    unclocked = History(rows=(Row(round=1, seconds=math.nan, joules=math.nan, accuracy=0.5, loss=1.0),))
    whole = draw_curves({"a": unclocked, **runs}, against="round").axes[0]  # a run still on its way is shown whole
    assert whole.get_ylim()[0] == 0.0 < axes.get_ylim()[0]
    for wrong in ({"against": "seconds"}, {"against": "watts"}, {"baselines": {"a": "b"}, "against": "round"}):
        with pytest.raises(fedopt.InputError):
            draw_curves({"a": unclocked}, **wrong)
    table = summary(runs, targets=(0.9,))
    assert table.rows[0] == ("fast", "39", "100.00%", "390", "195", "70", "35")  # 7 rounds: 1 - 0.5^3.5 = 0.91
    assert figures(runs, targets=(0.9,))[1] == ["fast", "39", repr(1.0 - 0.5**19.5), "390.0", "195.0", "70.0", "35.0"]
    assert figures({"a": unclocked}, targets=(0.9,))[1] == ["a", "1", "0.5", "nan", "nan", "nan", "nan"]
    assert summary({"a": unclocked}, targets=(0.9,)).rows == (("a", "1", "50.00%", "-", "-", "never", "never"),)


@pytest.mark.slow
def test_the_published_experiment_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(fedopt.__file__).parents[1]
    if not (root / "experiments").is_dir():
        pytest.skip("not a checkout")
    monkeypatch.syspath_prepend(str(root / "experiments"))
    import published

    out = tmp_path / "out"
    options = ["published.py", "--quick", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", options)
    published.main()
    results = {path.stem: History.from_csv(path) for path in (out / "results").glob("*-w.csv")}
    assert len(results) == 12
    tfl10, tfl100 = results["iid-tfl-10-w"].rows, results["iid-tfl-100-w"].rows
    assert tfl10[1].accuracy == tfl100[1].accuracy  # trained once
    assert tfl100[1].seconds < tfl10[1].seconds
    assert tfl10[1].joules <= 10.0 * tfl10[1].seconds * (1 + 1e-9)
    assert results["iid-mfl-10-w"].rows[1].partition == (16, 16, 16, 16)
    assert results["iid-mfl-100-w"].rows[1].partition == (32, 16, 8, 8)
    given, found = results["iid-mfl-10-w"].rows[1], results["iid-mfl-searched-10-w"].rows[1]

    def replicas(row: Row) -> float:
        return sum(count / cover for count, cover in zip(row.partition, (1, 2, 4, 8), strict=True))

    assert replicas(found) / found.seconds >= replicas(given) / given.seconds * (1 - 1e-9)
    for axis in AXES:
        assert (out / "results" / f"accuracy-{axis}.png").stat().st_size > 20_000
    case = published.Case("iid", "tfl", 10)
    settings = SimpleNamespace(quick=True, data=None, rounds=1)
    assert repr(published.repriced(results["iid-tfl-10-w"], case, settings).rows) == repr(tfl10)  # its own clock
    before = capsys.readouterr().out
    assert "iid-tfl-10W: round 1/1" in before
