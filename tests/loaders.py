"""Every reader of a file from outside: a good file for each, and what is read of it, for the tests that damage them."""

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import fedopt
from fedopt.clients import FIELD
from fedopt.devices import phones64, read_ai_benchmark, read_freqbench, read_link_speeds, read_sample_counts
from fedopt.files import read_json
from fedopt.scenario import read_scenario, to_document, write_scenario

ATTACKS = Path(__file__).parent / "attacks"
SETTINGS = {"seed": 5, "policy.name": "full"}  # of the run whose checkpoint it is


@dataclass(frozen=True, slots=True)
class Loader:
    """``file``: what the file is called; ``good``: one that is right; ``read``: what is in a file, comparable.

    sealed : the file has a checksum, so that what can be read is what was written; of others a digit may change.
    """

    file: str
    good: Callable[[], bytes]
    read: Callable[[Path], Any]
    sealed: bool = False


def _saved(name: str, write: Callable[[Path], Any]) -> bytes:
    """The bytes that a writer leaves."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


@cache
def problem() -> fedopt.Problem:
    """Four named phones and two types."""
    clients = phones64().take(range(4)).replace(name=["hall", "kitchen", "garden", "car"])
    types = (
        fedopt.SubModel("large", flops=34e6, upload_bits=540e3),
        fedopt.SubModel("half", flops=18e6, upload_bits=320e3, cover=2),
    )
    return fedopt.Problem(clients, types, budget=fedopt.PowerBudget(1.5), partitions=[(2, 2)])


@cache
def scenario() -> bytes:
    return _saved("a.toml", lambda path: write_scenario(problem(), path, matching="sorted", seed=7))


@cache
def table() -> bytes:
    return _saved("a.csv", problem().clients.to_csv)


@cache
def record() -> bytes:
    return _saved("a.json", lambda path: fedopt.write_solution(fedopt.solve(problem()), path))


def idx() -> bytes:
    """Three pictures of 2 x 4."""
    return b"\0\0\x08\x03" + struct.pack(">3I", 3, 2, 4) + bytes(range(24))


def freqbench() -> bytes:
    header = "CPU,Frequency (kHz),CoreMarks (iter/s),Power (mW)\n"
    return (header + "".join(f"4,{f}00000,{3 * f}00,{20 + f * f}\n" for f in (5, 9, 14, 18, 22))).encode()


@cache
def history() -> bytes:
    from fedopt.training.history import History, Row

    first = Row(round=1, seconds=9.5, joules=7.25, accuracy=0.1, loss=2.3, partition=(2, 2), stragglers=(3, 0))
    return History(rows=(first, dataclasses.replace(first, round=2, seconds=18.75))).text().encode()


@cache
def checkpoint() -> bytes:
    import torch

    from fedopt.training.algorithm import Server
    from fedopt.training.checkpoint import write_checkpoint
    from fedopt.training.history import History, Row
    from fedopt.training.state import TrainingState

    parameters = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}
    first = Row(round=0, seconds=0.0, joules=0.0, accuracy=0.1, loss=np.nan)
    state = TrainingState(
        round=2,
        server=Server(round=2, parameters=parameters, extra=begun().extra),
        history=History(rows=(first, *History.from_text(history(), "history").rows)),
        assignment=np.array([0, 1, 1, 0]),
    )
    return _saved("a.safetensors", lambda path: write_checkpoint(path, state, SETTINGS))


@cache
def begun() -> Any:
    """The server of the checkpoint's run before its first round."""
    import torch

    from fedopt.training.algorithm import Server

    parameters = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}
    return Server(round=0, parameters=parameters, extra={"chain": {"layers": ["layer"], "filters": [2]}})


def trained(path: Path) -> Any:
    """The state in a checkpoint of four clients and two types."""
    from fedopt.training.checkpoint import read_checkpoint

    return read_checkpoint(path, SETTINGS, begun=begun(), clients=4, types=2)


def _table(path: Path) -> Any:
    clients = fedopt.Clients.from_csv(path)
    return clients.name, [getattr(clients, name).tolist() for name in FIELD]


def _record(path: Path) -> Any:
    given = read_json(path)
    return to_document(given.problem), repr(given.solution)


def _history(path: Path) -> Any:
    from fedopt.training.history import History

    return repr(History.from_csv(path).rows)


def _checkpoint(path: Path) -> Any:
    state = trained(path)
    tensors = [(name, value.tolist()) for name, value in state.server.parameters.items()]
    return state.round, tensors, repr(state.history), repr(state.assignment)


def _idx(path: Path) -> Any:
    from fedopt.training.idx import read_idx

    array = read_idx(path)
    return array.dtype.str, array.shape, array.tolist()


def _freqbench(path: Path) -> Any:
    return [(c.cpu, c.frequency.tolist(), c.power.tolist(), c.speed.tolist()) for c in read_freqbench(path)]


LOADERS = {
    "scenario": Loader("a.toml", scenario, lambda path: to_document(read_scenario(path).problem)),
    "table": Loader("a.csv", table, _table),
    "record": Loader("a.json", record, _record, sealed=True),
    "history": Loader("a.csv", history, _history),
    "checkpoint": Loader("a.safetensors", checkpoint, _checkpoint, sealed=True),
    "idx": Loader("a.idx", idx, _idx),
    "gzip": Loader("a.idx.gz", lambda: gzip.compress(idx(), mtime=0), _idx, sealed=True),
    "freqbench": Loader("results.csv", freqbench, _freqbench),
    "counts": Loader("a.csv", lambda: b"client,samples\n0,120\n1,87\n", lambda path: read_sample_counts(path).tolist()),
    "phones": Loader(
        "a.json",
        lambda: json.dumps([{"Model": "P 1", "CPU": "S 8", "Year": "2019", "FP32_Score": "512"}] * 2).encode(),
        lambda path: repr(read_ai_benchmark(path)),
    ),
    "links": Loader(
        "a.json",
        lambda: json.dumps({"7": {"down_u": 9e3, "down_sigma": 3.5, "up_u": 4e3, "up_sigma": 1}}).encode(),
        lambda path: repr(read_link_speeds(path)),
    ),
}
