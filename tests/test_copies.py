"""Copies, pickles and other processes: whatever is public comes back the same, as closed and as compact."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import fedopt

TYPES = (
    fedopt.SubModel("large", flops=34e6, upload_bits=540e3),
    fedopt.SubModel("half", flops=18e6, upload_bits=320e3, cover=2),
    fedopt.SubModel.idle(),
)
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {version}": lambda thing, version=version: pickle.loads(pickle.dumps(thing, version))
        for version in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


def problem(watts: float = 1.5) -> fedopt.Problem:
    gains = np.geomspace(1e-10, 1e-11, 4)
    clients = fedopt.Clients(frequency_min=0.0, frequency_max=2e9, samples=300, channel_gain=gains, bandwidth=1e6)
    return fedopt.Problem(clients, TYPES, budget=fedopt.PowerBudget(watts))


def refusal() -> fedopt.InputError:
    with pytest.raises(fedopt.InputError) as caught:
        fedopt.PowerBudget(-1.0)
    caught.value.add_note("told to the caller")
    return caught.value


@pytest.mark.parametrize("way", WAYS)
def test_errors_and_partitions_are_copied_whole(way: str) -> None:
    error, partition = refusal(), fedopt.Partition((2, 2, 0), TYPES)
    again = WAYS[way](error)
    assert (type(again), again.args, vars(again)) == (fedopt.InputError, error.args, vars(error))
    assert (WAYS[way](partition), WAYS[way](partition).replicas) == (partition, 3.0)


def child(task: Callable[[Any], Any], argument: Any) -> Any:
    """What a new process makes of it, which has some minutes."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        return pool.submit(task, argument).result(timeout=240.0)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def test_another_process_solves_and_refuses() -> None:
    """An answer could not be read back, nor an error: the pool broke, or waited for ever."""
    made = problem()
    solution = fedopt.solve(made)
    found = child(fedopt.solve, made)
    assert (found.duration, found.energy, found.partition) == (solution.duration, solution.energy, solution.partition)
    assert fedopt.verify(made, found).ok
    with pytest.raises(fedopt.InputError) as caught:
        child(fedopt.PowerBudget, -1.0)
    assert str(caught.value) == str(refusal())
    assert (caught.value.field, caught.value.client) == ("PowerBudget.watts", None)
