"""A run: what its clock adds up to, what ends it, and that it goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedopt

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
import torch
from lessons import CLIENTS, LOCAL, data, lesson, model, plain_loop, problem, split, timeless
from safetensors import safe_open

from fedopt.training.algorithm import LocalSGD
from fedopt.training.algorithms.mfl import MFL
from fedopt.training.checkpoint import read_checkpoint
from fedopt.training.clock import Clock, priced
from fedopt.training.history import History, Row
from fedopt.training.local import Diverged
from fedopt.training.policies import Policy
from fedopt.training.state import TrainingState
from fedopt.training.steps import Until

ROUNDS = 4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The bits of a sum depend on how many threads make it, and the killed processes have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(_one_thread: None) -> History:
    """The run that nothing interrupts."""
    return lesson(ROUNDS)


def same(a: History, b: History) -> None:
    """The same end, to the bit."""
    assert repr(timeless(a.rows)) == repr(timeless(b.rows))  # repr: NaN is NaN here
    assert a.parameters is not None
    assert b.parameters is not None
    assert list(a.parameters) == list(b.parameters)
    for name, value in a.parameters.items():
        assert torch.equal(value, b.parameters[name]), name


def test_the_clock_is_the_sum_of_its_rounds(whole: History) -> None:
    algorithm = MFL(local=LOCAL)
    types = tuple(kind.footprint for kind in algorithm.kinds(model(), data().shape))
    of_run = priced(problem(algorithm), types, split().sizes, LOCAL.epochs)
    clock = Clock(problem=of_run, policy=Policy(), fading="rayleigh", seed=5)
    seconds = joules = 0.0
    for index, row in enumerate(whole.rows[1:]):
        turn = clock.round(index)  # cold, where the run was warm
        seconds, joules = seconds + turn.duration, joules + turn.energy
        assert row.seconds == pytest.approx(seconds, rel=1e-9)
        assert row.joules == pytest.approx(joules, rel=1e-9)
        assert row.partition == turn.partition(4)
        assert sum(row.partition) == CLIENTS
    assert [row.round for row in whole.rows] == list(range(ROUNDS + 1))
    assert whole.rows[0].seconds == whole.rows[0].joules == 0.0


def test_it_learns_and_says_what_it_took(whole: History) -> None:
    assert whole.reason == f"All {ROUNDS} rounds are done."
    assert whole.rows[0].accuracy < 0.3 < whole.accuracy
    reached = next(row for row in whole.rows if row.accuracy >= 0.3)
    assert whole.rounds_to(0.3) == reached.round
    assert whole.seconds_to(0.3) == reached.seconds
    assert whole.joules_to(0.3) == reached.joules
    for never in (whole.rounds_to(1.01), whole.seconds_to(1.01), whole.joules_to(1.01)):
        assert math.isnan(never)


def test_a_history_comes_back_from_its_csv(whole: History, tmp_path: Path) -> None:
    """A negative number is one, and no formula to be guarded against."""
    below = Row(round=4, seconds=1.0, joules=1.0, accuracy=0.5, loss=-0.25, training=-1e-9)
    odd = Row(round=5, seconds=math.inf, joules=1e-300, accuracy=math.nan, loss=-math.inf, stragglers=(3, 1))
    rows = (*whole.rows, below, odd)
    path = History(rows=rows).to_csv(tmp_path / "history.csv")
    assert repr(History.from_csv(path).rows) == repr(rows)
    crowd = dataclasses.replace(odd, stragglers=tuple(range(50_000)))  # a cell longer than csv.field_size_limit()
    assert History.from_text(History(rows=(crowd,)).text().encode(), "crowd").rows[0].stragglers == crowd.stragglers
    text = path.read_text()
    for damage, said in (
        ("", "line 1"),
        (text.replace("accuracy", "acuracy"), "line 1"),
        (text + "1,2\n", f"line {len(rows) + 2}: expected 9 cells, found 2"),
        (text.replace("3 1", "3 x"), f"line {len(rows) + 1}, column 'stragglers': expected whole numbers"),
        (text.replace("1e-300", "little"), "column 'joules.J.': expected a number, found 'little'"),
        (text.replace("1e-300", "1_0.0"), "column 'joules.J.': expected a number, found '1_0.0'"),
        (text.replace("3 1", "3 1_0"), "column 'stragglers': expected whole numbers, found '3 1_0'"),
        (text + '"', f"line {len(rows) + 2}: expected 9 cells, found 1"),
    ):
        path.write_text(damage)
        with pytest.raises(fedopt.InputError, match=said):
            History.from_csv(path)


def test_a_run_goes_on_from_every_round(whole: History, tmp_path: Path) -> None:
    for stop in range(1, ROUNDS):
        path = tmp_path / f"{stop}.safetensors"
        lesson(stop, checkpoint=path)
        same(lesson(ROUNDS, checkpoint=path), whole)
        same(lesson(ROUNDS, checkpoint=path), whole)  # nothing left to do
    assert lesson(1, checkpoint=path).reason == f"All 1 rounds are done: this run has {ROUNDS}."


CHILD = """
import signal
import sys
import torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests in the background has off
torch.set_num_threads(1)
from lessons import lesson
lesson(int(sys.argv[1]), checkpoint=sys.argv[2], callbacks=[lambda state: print(state.round, flush=True)])
"""


def child(rounds: int, path: Path, kill_at: int, how: signal.Signals, delay: float) -> tuple[int, str]:
    """A process that trains, sent a signal some time after its first round since ``kill_at``; exit code and stderr."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(fedopt.__file__).parents[1]), *sys.path])}
    arguments = [sys.executable, "-c", CHILD, str(rounds), str(path)]
    with subprocess.Popen(arguments, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if int(line) >= kill_at:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(delay)
                process.send_signal(how)
                break
        said = process.stderr.read()
        return process.wait(), said


def test_a_killed_run_ends_as_if_nothing_had_happened(whole: History, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    chance = random.Random(7)
    for at in (1, 2):
        code, said = child(ROUNDS, path, at, signal.SIGKILL, chance.uniform(0.0, 0.05))
        assert code == -signal.SIGKILL, said
    same(lesson(ROUNDS, checkpoint=path), whole)


def state_in(path: Path, settings: dict[str, Any]) -> TrainingState:
    """What a checkpoint of the small run holds."""
    return read_checkpoint(path, settings, begun=MFL(local=LOCAL).init(model()), clients=CLIENTS, types=4)


@pytest.mark.nightly("R15", 200)
def test_fifty_runs_that_are_killed_four_times(tmp_path: Path) -> None:
    """At any moment from the end of a round on, the writing of its checkpoint included."""
    whole, chance = lesson(12), random.Random(15)
    for turn in range(50):
        path = tmp_path / f"{turn}.safetensors"
        for _ in range(4):
            code, said = child(12, path, 1, signal.SIGKILL, chance.uniform(0.0, 0.05))
            assert code == -signal.SIGKILL, said
            with safe_open(path, "pt") as file:
                settings = json.loads(file.metadata()["content"])["settings"]
            assert state_in(path, settings).round < 12  # whole, its checksum says
        same(lesson(12, checkpoint=path), whole)


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(whole: History, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    code, said = child(ROUNDS, path, 1, signal.SIGINT, 0.02)
    assert code == -signal.SIGINT, said
    assert f"{path} has the run up to the last whole round" in said
    assert os.listdir(tmp_path) == ["run.safetensors"]
    same(lesson(ROUNDS, checkpoint=path), whole)


def test_another_run_does_not_go_on_from_it(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    lesson(1, checkpoint=path)
    faster = MFL(local=dataclasses.replace(LOCAL, rate=0.2))
    for said, changes in (
        (r"local\.rate: expected 0\.2, found 0\.1", {"algorithm": faster}),
        ("seed: expected 6, found 5", {"seed": 6}),
        ("policy.name: expected 'full', found 'allocated'", {"policy": "full"}),
        ("fading: expected None, found 'rayleigh'", {"fading": None}),
        ("budget: .*3.*found.*2.5", {"problem": problem(MFL(local=LOCAL), fedopt.PowerBudget(3.0))}),
    ):
        with pytest.raises(fedopt.InputError, match=said):
            lesson(2, checkpoint=path, **changes)


def test_a_damaged_checkpoint_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    lesson(1, checkpoint=path)
    good = path.read_bytes()
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["content"])["settings"]
    assert state_in(path, settings).round == 1
    chance = random.Random(3)
    flipped = []
    for place in [0, 3, 7, 8, 20, *chance.sample(range(len(good)), 200)]:
        content = bytearray(good)
        content[place] ^= 1 << chance.randrange(8)
        flipped.append(bytes(content))
    cut = [good[: chance.randrange(len(good))] for _ in range(50)]
    others = [b"", b"\xff" * 16, b"\xff" * 7 + b"\x7f" + good[8:], good.replace(b"fedopt-training", b"fedopt-drainage")]
    for content in (*flipped, *cut, *others, good + b"x"):
        path.write_bytes(content)
        with pytest.raises(fedopt.InputError):
            state_in(path, settings)
        assert path.read_bytes() == content
    path.write_bytes(good.replace(b'"version":"1"', b'"version":"2"'))
    with pytest.raises(fedopt.InputError, match="version: expected 1, the version this fedopt reads, found '2'"):
        state_in(path, settings)


def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(
    whole: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls, real = tmp_path / "run.safetensors", [], os.replace

    def fails(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        lesson(ROUNDS, checkpoint=path)
    assert os.listdir(tmp_path) == ["run.safetensors"]
    same(lesson(ROUNDS, checkpoint=path), whole)


def test_a_loss_that_is_no_number_names_client_and_round(tmp_path: Path) -> None:
    wild = MFL(local=LocalSGD(rate=1e9))
    for engine in (plain_loop(wild), "plain"):
        with pytest.raises(Diverged) as caught:
            lesson(3, algorithm=wild, engine=engine, checkpoint=tmp_path / "wild.safetensors")
        assert caught.value.round == 1
        assert 0 <= caught.value.client < CLIENTS
        assert not list(tmp_path.iterdir())


def test_what_ends_a_run_early(whole: History) -> None:
    seconds = (whole.rows[2].seconds + whole.rows[3].seconds) / 2.0
    joules = whole.rows[1].joules
    for until, rounds, said in (
        (Until(seconds=seconds), 2, f"Stopped before round 3, by whose end {whole.rows[3].seconds:.6g} s"),
        (Until(joules=joules), 1, "Stopped before round 2, by whose end"),
        (Until(accuracy=whole.rows[2].accuracy), int(whole.rounds_to(whole.rows[2].accuracy)), "Reached an accuracy"),
    ):
        got = lesson(ROUNDS, until=until)
        assert repr(timeless(got.rows)) == repr(timeless(whole.rows)[: rounds + 1])
        assert got.reason.startswith(said)


def test_an_infeasible_round_stops_the_run_or_is_skipped() -> None:
    algorithm = MFL(local=LOCAL)
    types = tuple(kind.footprint for kind in algorithm.kinds(model(), data().shape))
    hopeless = priced(problem(algorithm, fedopt.Deadline(1e-3)), types, split().sizes, LOCAL.epochs)
    clock = Clock(problem=hopeless, policy=Policy(), fading="rayleigh", seed=5)
    least = [clock.round(index).solution.shortfall + 1e-3 for index in range(6)]  # [s] the shortest each round can be
    deadline = (max(least) + sorted(least)[-2]) / 2.0
    bad = least.index(max(least))
    assert bad > 0
    given = problem(algorithm, fedopt.Deadline(deadline))
    stopped = lesson(bad + 1, problem=given, algorithm=algorithm)
    assert len(stopped.rows) == bad + 1
    assert stopped.reason.startswith(f"Stopped before round {bad + 1}. Infeasible: the deadline of {deadline:.6g} s is")
    skipped = lesson(bad + 1, problem=given, algorithm=algorithm, policy=Policy(infeasible="skip"))
    assert repr(timeless(skipped.rows)[:-1]) == repr(timeless(stopped.rows))
    row, before = skipped.rows[-1], skipped.rows[-2]
    assert (row.seconds, row.joules, row.partition) == (before.seconds, before.joules, (0, 0, 0, 0))
    assert row.stragglers
    assert math.isnan(row.accuracy)
    assert row.seconds == pytest.approx(deadline * bad, rel=1e-12)


def test_evaluating_seldom_changes_nothing_else(whole: History) -> None:
    got = lesson(ROUNDS, evaluate_every=3)
    accuracies = [row.accuracy for row in got.rows]
    assert np.isnan(accuracies).tolist() == [False, True, True, False, False]
    assert accuracies[3:] == [row.accuracy for row in whole.rows[3:]]
    assert got.rounds_to(whole.rows[2].accuracy) == 3.0


def test_without_a_problem_there_is_no_clock() -> None:
    got = lesson(2, problem=None, policy=Policy("full", share=0.25), fading=None)
    assert all(math.isnan(row.seconds) and math.isnan(row.joules) for row in got.rows)
    assert got.rows[1].partition == (2, 0, 0, 0)
    for wrong in ({"policy": "allocated", "fading": None}, {"policy": "full"}):
        with pytest.raises(fedopt.InputError, match="without a problem"):
            lesson(2, problem=None, **wrong)


def test_callbacks_see_every_state(whole: History) -> None:
    seen: list[TrainingState] = []
    lesson(2, callbacks=[seen.append])
    assert [state.round for state in seen] == [0, 1, 2]
    assert repr(timeless(seen[-1].history.rows)) == repr(timeless(whole.rows)[:3])
    before, after = seen[1].server.parameters, seen[2].server.parameters
    assert any(not torch.equal(before[name], after[name]) for name in before)
