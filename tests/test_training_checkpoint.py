"""A checkpoint whose checksum is right and whose content is not: it is no state of the run that reads it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import fedopt

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
import loaders
from lessons import LOCAL, data, lesson, model, problem, split, timeless
from safetensors import safe_open

from fedopt.training.algorithm import Server, Update
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.algorithms.mfl import MFL
from fedopt.training.clock import Clock, priced
from fedopt.training.policies import Policy

SEALED = {
    "accuracy-of-two": "history, line 4, column 'accuracy': expected a share from 0 to 1, or nan, found 2.0",
    "another-chain": "server.extra.chain: expected the model's, {'layers': ['layer']",
    "assignment-of-halves": "assignment: expected 4 whole numbers from -1 to 1, one per client, found [0, 0.5, 1, 0]",
    "assignment-of-nobody": "assignment: expected the history's last partition (2, 2), found (0, 0)",
    "assignment-of-one": "assignment: expected 4 whole numbers from -1 to 1, one per client, found [0]",
    "assignment-of-rows": "assignment: expected 4 whole numbers from -1 to 1, one per client, found [[0, 1, 1, 0]]",
    "assignment-to-no-type": "assignment: expected 4 whole numbers from -1 to 1, one per client, found [0, 1, 99, 0]",
    "extra-of-no-table": "server.extra: expected a table, found list [1]",
    "history-of-no-text": "history: expected the text of a table, found 7",
    "history-that-skips": "history, line 4, column 'round': expected 2, found 5",
    "infinite-round": "round: expected a whole number of at least 0, found float inf",
    "joules-of-no-number": "history, line 4, column 'joules[J]': expected no less than before, found nan",
    "lone-surrogate": "history, line 3, column 'seconds[s]': expected a number, found '\\\\ud800'",
    "missing-tensor": "tensor 'layer.weight': expected torch.float32 of shape (2, 3), found none",
    "name-missing": "server.names: expected the model's, ['layer.weight', 'layer.bias'], found ['layer.weight']",
    "name-twice": "server.names: expected the model's, ['layer.weight', 'layer.bias'], found ['layer.weight', 'layer.w",
    "names-that-are-lists": "server.names: expected the model's, ['layer.weight', 'layer.bias'], found [['layer.w",
    "negative-round": "round: expected a whole number of at least 0, found -1",
    "nested-settings": "seed: expected 5, found [[[",
    "no-assignment": "assignment: expected 4 whole numbers from -1 to 1, one per client, found None",
    "no-history": "history: expected a row for each round from 0 on, found 'round,",
    "partition-of-more": "history, line 4, column 'partition': expected 2 parts of 4 clients, found (2, 3)",
    "ragged-assignment": "assignment: expected 4 whole numbers from -1 to 1, one per client, found [[0], [1, 1]]",
    "round-and-a-half": "round: expected a whole number of at least 0, found float 1.5",
    "round-as-text": "round: expected a whole number of at least 0, found str '2'",
    "round-of-no-number": "round: expected a whole number of at least 0, found str '999",
    "seconds-that-fall": "history, line 4, column 'seconds[s]': expected no less than before, found 1.5",
    "server-ahead": "server.round: expected 2, as many as somebody trained in, found 7",
    "server-of-no-table": "server: expected a table, found list []",
    "short-history": "round: expected 1, the last in the history, found 2",
    "straggler-of-no-fleet": "history, line 4, column 'stragglers': expected clients from 0 to 3, found (4,)",
    "tensor-of-another-shape": "tensor 'layer.weight': expected torch.float32 of shape (2, 3), found torch.float32",
    "tensor-of-another-type": "tensor 'layer.weight': expected torch.float32 of shape (2, 3), found torch.int64",
    "tensor-of-no-layer": "tensor 'layer.gain': expected none, found torch.float32 of shape (2,)",
}


def test_what_a_right_checksum_is_around_is_looked_at(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(loaders.checkpoint())
    assert loaders.trained(good).round == 2
    files = {path.stem.removeprefix("sealed-"): path for path in loaders.ATTACKS.glob("checkpoint/sealed-*")}
    assert files.keys() == SEALED.keys()
    for name, said in SEALED.items():
        with pytest.raises(fedopt.InputError, match=re.escape(f"{files[name]}: {said}")):
            loaders.trained(files[name])


def test_runs_without_a_clock_and_with_skipped_rounds_go_on(tmp_path: Path) -> None:
    """Of such a history fewer rounds were trained than there are, and seconds are nan."""
    untimed = {"problem": None, "policy": Policy("full", share=0.25), "fading": None}
    lesson(1, checkpoint=tmp_path / "untimed", **untimed)
    on, whole = lesson(2, checkpoint=tmp_path / "untimed", **untimed), lesson(2, **untimed)
    assert repr(timeless(on.rows)) == repr(timeless(whole.rows))
    algorithm = MFL(local=LOCAL)
    types = tuple(kind.footprint for kind in algorithm.kinds(model(), data().shape))
    hopeless = priced(problem(algorithm, fedopt.Deadline(1e-3)), types, split().sizes, LOCAL.epochs)
    clock = Clock(problem=hopeless, policy=Policy(), fading="rayleigh", seed=5)
    least = [clock.round(index).solution.shortfall + 1e-3 for index in range(4)]  # [s] the shortest each round can be
    for deadline, assigned in ((sum(sorted(least)[2:]) / 2.0, True), (1e-3, False)):
        path = tmp_path / f"skipped-{assigned}"
        skipping = {"problem": problem(algorithm, fedopt.Deadline(deadline)), "policy": Policy(infeasible="skip")}
        for rounds in (1, 2, 3, 4):
            on = lesson(rounds, checkpoint=path, **skipping)
        with safe_open(path, "pt") as file:
            content = json.loads(file.metadata()["content"])
        assert (content["round"], content["assignment"] is not None) == (4, assigned)
        assert content["server"]["round"] == sum(bool(sum(row.partition)) for row in on.rows) == (3 if assigned else 0)
        assert repr(timeless(on.rows)) == repr(timeless(lesson(4, **skipping).rows))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reversed(FedAvg):
    """FedAvg whose parameters are in another order than the model's."""

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        after = FedAvg.apply(self, server, updates)
        return dataclasses.replace(after, parameters=dict(reversed(after.parameters.items())))


def test_an_algorithm_may_put_the_parameters_into_another_order(tmp_path: Path) -> None:
    algorithm = Reversed(local=LOCAL)
    for rounds in (1, 2):
        on = lesson(rounds, algorithm=algorithm, checkpoint=tmp_path / "run")
    assert repr(timeless(on.rows)) == repr(timeless(lesson(2, algorithm=algorithm).rows))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Odd(FedAvg):
    """FedAvg that keeps no count of the rounds, or changes the type of what it averages."""

    counts: bool = True

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        after = FedAvg.apply(self, server, updates)
        if not self.counts:
            return dataclasses.replace(after, round=0)
        return dataclasses.replace(after, parameters={name: value.double() for name, value in after.parameters.items()})


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (False, "apply: Server.round: expected 1, one more than before, found 0"),
        (True, "apply: Server.parameters '0.weight': expected torch.float32 of shape"),
    ],
)
def test_an_algorithm_whose_checkpoint_could_not_be_read_back_is_told_so(
    counts: bool, said: str, tmp_path: Path
) -> None:
    with pytest.raises(fedopt.InputError, match=re.escape(said)):
        lesson(1, algorithm=Odd(local=LOCAL, counts=counts), checkpoint=tmp_path / "run")
