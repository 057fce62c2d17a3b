"""Whether what a checkpoint says fits the run that reads it: one look at every field, whatever its checksum says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fedopt.checks import InputError, brief, whole
from fedopt.keys import as_table
from fedopt.submodels import IntArray
from fedopt.training.algorithm import Server, State
from fedopt.training.history import COLUMNS, History, Row
from fedopt.training.state import TrainingState


def state_of(
    where: str,
    content: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    begun: Server,
    clients: int,
    types: int,
    timed: bool,
) -> TrainingState:
    """The state that a file ``where`` holds, for a run that began with the server ``begun``.

    timed : whether the run has a clock, whose seconds and joules rise. Raises InputError naming file and field.
    """
    rows = _rows(where, content.get("history"), clients, types, timed)
    trained = [row.partition for row in rows if any(row.partition)]  # the others were skipped
    given = as_table(f"{where}: server", content.get("server"))
    names, extra = list(begun.parameters), as_table(f"{where}: server.extra", given.get("extra"))
    done, turn = whole(f"{where}: round", content.get("round")), whole(f"{where}: server.round", given.get("round"))
    last, due = len(rows) - 1, begun.round + len(trained)
    chain = json.loads(json.dumps(begun.extra.get("chain")))  # of the model's layers: no round changes it
    for field, right, expected, found in (
        ("round", done == last, f"{last}, the last in the history", done),
        ("server.round", turn == due, f"{due}, as many as somebody trained in", turn),
        ("server.names", _permuted(given.get("names"), names), f"the model's, {brief(names)}", given.get("names")),
        ("server.extra.chain", chain in (None, extra.get("chain")), f"the model's, {brief(chain)}", extra.get("chain")),
    ):
        _check(f"{where}: {field}", right, expected, found)
    check_state(f"{where}: tensor", begun.parameters, tensors)
    return TrainingState(
        round=done,
        server=Server(round=turn, parameters={name: tensors[name] for name in names}, extra=extra),
        history=History(rows=rows),
        assignment=_assignment(f"{where}: assignment", content.get("assignment"), clients, types, trained),
    )


def _rows(where: str, text: Any, clients: int, types: int, timed: bool) -> tuple[Row, ...]:
    """The rows of a history, one for each round from 0 on."""
    where = f"{where}: history"
    _check(where, isinstance(text, str), "the text of a table", text)
    rows = History.from_text(text.encode(errors="backslashreplace"), where).rows
    _check(where, bool(rows), "a row for each round from 0 on", text)
    seconds = joules = 0.0
    spent = "no less than before" if timed else "nan, as there is no clock"
    for index, row in enumerate(rows):
        for name, right, expected in (
            ("round", row.round == index, f"{index}"),
            ("seconds", _rises(seconds, row.seconds, timed), spent),
            ("joules", _rises(joules, row.joules, timed), spent),
            ("accuracy", not (row.accuracy < 0.0 or row.accuracy > 1.0), "a share from 0 to 1, or nan"),
            ("partition", _parts(row.partition, types if index else 0, clients), f"{types} parts of {clients} clients"),
            ("stragglers", _within(row.stragglers, 0, clients), f"clients from 0 to {clients - 1}"),
        ):
            _check(f"{where}, line {index + 2}, column {COLUMNS[name]!r}", right, expected, getattr(row, name))
        seconds, joules = row.seconds, row.joules
    return rows


def _assignment(where: str, found: Any, clients: int, types: int, trained: list[tuple[int, ...]]) -> IntArray | None:
    """Who trained what in the last round that somebody ``trained`` in, which the history has the counts of."""
    if not trained:
        _check(where, found is None, "none before somebody has trained", found)
        return None
    right = isinstance(found, list) and len(found) == clients and _within(found, -1, types)
    _check(where, right, f"{clients} whole numbers from -1 to {types - 1}, one per client", found)
    counts = tuple(found.count(kind) for kind in range(types))
    _check(where, counts == trained[-1], f"the history's last partition {trained[-1]}", counts)
    return np.array(found, dtype=np.int64)


def _check(where: str, right: bool, expected: str, found: Any) -> None:
    if not right:
        raise InputError(where, expected, brief(found))


def _permuted(found: Any, names: list[str]) -> bool:
    """Whether these are the model's names; an algorithm of the user's own may have put them into another order."""
    return isinstance(found, list) and all(isinstance(each, str) for each in found) and sorted(found) == sorted(names)


def check_state(where: str, wanted: State, found: State) -> None:
    """Raise InputError for the first parameter or buffer of another shape or type than before, or missing, or new."""
    for name in {**wanted, **found}:
        expected, there = (_described(state.get(name)) for state in (wanted, found))
        if there != expected:
            raise InputError(f"{where} {brief(name)}", expected, there)


def _described(tensor: Tensor | None) -> str:
    return "none" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def _rises(before: float, after: float, timed: bool) -> bool:
    """Of seconds and joules, row after row."""
    return before <= after < math.inf if timed else math.isnan(after)


def _parts(values: tuple[int, ...], types: int, clients: int) -> bool:
    """Whether these are how many of the clients train each type; of no types, before the first round."""
    return len(values) == types and min(values, default=0) >= 0 and sum(values) <= clients


def _within(values: Any, low: int, end: int) -> bool:
    """Whether all are whole numbers from ``low`` to before ``end``."""
    return all(type(value) is int and low <= value < end for value in values)
