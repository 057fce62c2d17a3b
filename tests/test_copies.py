"""Copies, pickles and other processes: whatever is public comes back the same, as closed and as compact."""

from __future__ import annotations

import copy
import dataclasses
import math
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import devices

TYPES = (
    fedopt.SubModel("large", flops=34e6, upload_bits=540e3),
    fedopt.SubModel("half", flops=18e6, upload_bits=320e3, cover=2),
    fedopt.SubModel.idle(),
)
NUMBERED: tuple[Any, ...] = (
    *(fedopt.EnergyBudget, fedopt.PowerBudget, fedopt.Deadline, fedopt.TimePrice, fedopt.ReplicaRate),
    *(fedopt.SharedBandwidth, fedopt.TimeDivision),
)
WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {version}": lambda thing, version=version: pickle.loads(pickle.dumps(thing, version))
        for version in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@cache
def fleet(size: int = 4) -> fedopt.Clients:
    """Most columns are one number for all."""
    gains = np.geomspace(1e-10, 1e-11, size)
    names = [f"phone {n}" for n in range(size)]
    return fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=300, channel_gain=gains, bandwidth=1e6, name=names
    )


def problem(watts: float = 1.5, **more: Any) -> fedopt.Problem:
    return fedopt.Problem(fleet(), TYPES, budget=fedopt.PowerBudget(watts), **more)


ANSWERED = {
    "own channels": partial(problem),
    "listed": partial(problem, partitions=[(2, 2, 0), (4, 0, 0)], utility="least_energy"),
    "time division": partial(problem, access=fedopt.TimeDivision(1e6)),
    "shared bandwidth": partial(problem, access=fedopt.SharedBandwidth(1e6)),
    "infeasible": partial(problem, watts=1e-6),
}


@cache
def answered(case: str) -> tuple[fedopt.Problem, fedopt.Solution]:
    made = ANSWERED[case]()
    return made, fedopt.solve(made)


@cache
def objects() -> dict[str, Any]:
    """One of everything, and more of what comes in several kinds."""
    work = fleet().workload(TYPES, [0, 1, 1, 2])
    own, solution = answered("own channels")
    listed, exact = answered("listed")
    front = fedopt.pareto(listed, points=3)
    return {
        "clients": fleet(),
        "clients of one number each": fedopt.Clients(
            frequency_min=0.0, frequency_max=np.broadcast_to(2e9, 3), samples=9, channel_gain=1e-11, bandwidth=1e6
        ),
        "one client": fleet().take(0),
        "clients on one channel": fleet().on_channel(2e6),
        "workload": work,
        "workload of one number each": fedopt.Workload(cycles=1e9, upload_bits=1e5),
        "workload of both": fedopt.Workload(cycles=[1e9, 0.0], upload_bits=1e5).sized(2),
        "sub-model": TYPES[1],
        "partition": fedopt.Partition((2, 2, 0), TYPES),
        **{each.__name__: each(2.0) for each in NUMBERED},
        "shortest round": fedopt.ShortestRound(),
        "least energy": fedopt.LeastEnergy(),
        **{f"problem, {case}": answered(case)[0] for case in ANSWERED},
        **{f"solution, {case}": answered(case)[1] for case in ANSWERED},
        "allocation": solution.allocation,
        "verdict": solution.verdict,
        "sensitivity": solution.sensitivity,
        "sharing": answered("shared bandwidth")[1].sharing,
        "rule": exact.paper,
        "schedule": fedopt.schedule(fleet(), work, own.budget),
        "infeasible schedule": fedopt.schedule(fleet(), work, fedopt.Deadline(1e-3)),
        "status": solution.status,
        "report": fedopt.verify(own, solution),
        "front": front,
        "empty front": fedopt.pareto(problem(partitions=[(4, 0, 0)]), points=2),
        "curve": front.curves[0],
        "error": refusal(),
        "error of a client": fedopt.InputError("Clients.channel_gain", "a number", "nan", 3),
        "missing extra": fedopt.MissingExtra("it needs cvxpy", name="cvxpy"),
        "cluster": devices.Cluster(cpu=1, frequency=np.arange(3.0), power=np.arange(3.0), speed=np.arange(3.0)),
        "layout": devices.cell(3, seed=1),
    }


def refusal() -> fedopt.InputError:
    with pytest.raises(fedopt.InputError) as caught:
        fedopt.PowerBudget(-1.0)
    caught.value.add_note("told to the caller")
    return caught.value


def parts(thing: Any) -> dict[str, Any]:
    """What a thing is made of; nothing where it is a value of its own."""
    if isinstance(thing, BaseException):
        return {"args": thing.args, "name": getattr(thing, "name", None), **vars(thing)}
    if dataclasses.is_dataclass(thing):
        return {each.name: getattr(thing, each.name) for each in dataclasses.fields(thing)}
    if isinstance(thing, dict):
        return thing
    if isinstance(thing, tuple | list):
        return {**{str(n): entry for n, entry in enumerate(thing)}, **getattr(thing, "__dict__", {})}
    return {}


def assert_same(found: Any, wanted: Any, where: str) -> None:
    """Everything in it, to the bit; arrays as closed and as compact."""
    assert type(found) is type(wanted), where
    if isinstance(wanted, np.ndarray):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), where
        assert found.tobytes() == wanted.tobytes(), where
        assert found.flags.writeable == wanted.flags.writeable, where
        assert found.size < 2 or (0 in found.strides) == (0 in wanted.strides), where
        return
    inside, expected = parts(found), parts(wanted)
    assert list(inside) == list(expected), where
    for name, value in expected.items():
        assert_same(inside[name], value, f"{where}.{name}")
    if isinstance(wanted, float):
        assert found == wanted or (math.isnan(found) and math.isnan(wanted)), where
    elif not expected and type(wanted).__eq__ is not object.__eq__:
        assert found == wanted, where
    if type(wanted).__repr__ is not object.__repr__:
        assert str(found) == str(wanted), where


def test_there_is_one_of_every_public_class() -> None:
    public = {getattr(fedopt, name) for name in fedopt.__all__ if isinstance(getattr(fedopt, name), type)}
    assert public <= set(map(type, objects().values()))


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_the_same_in_everything(way: str) -> None:
    for name, thing in objects().items():
        assert_same(WAYS[way](thing), thing, f"{way} of {name}")


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_of_a_copy_is_no_larger(way: str) -> None:
    """One number for a million clients stays one number, in the copy and in the pickle."""
    wide = np.broadcast_to(1e-11, 1_000_000)
    clients = fedopt.Clients(frequency_min=0.0, frequency_max=2e9, samples=300, channel_gain=wide, bandwidth=1e6)
    twice = WAYS[way](WAYS[way](clients))
    assert len(twice) == 1_000_000
    assert all(getattr(twice, name).strides == (0,) for name in twice.numbers)
    assert len(pickle.dumps(twice)) < 10_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["clients", "workload", "solution, own channels", "allocation", "curve", "sharing"])
def test_no_array_of_a_copy_can_be_written(name: str, way: str) -> None:
    """A table once came back with arrays that could be written, beside extremes of the numbers that were there."""
    found = [value for value in parts(WAYS[way](objects()[name])).values() if isinstance(value, np.ndarray)]
    assert found
    for values in found:
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ANSWERED)
def test_a_copy_is_answered_and_verified_as_the_original(case: str, way: str) -> None:
    made, solution = (WAYS[way](thing) for thing in answered(case))
    assert fedopt.verify(made, solution).ok
    again = fedopt.solve(made)
    assert (again.status, again.partition) == (solution.status, solution.partition)
    np.testing.assert_equal((again.duration, again.energy), (solution.duration, solution.energy))


@pytest.mark.parametrize("way", WAYS)
def test_a_copied_front_answers_other_budgets(way: str) -> None:
    front = objects()["front"]
    budget = fedopt.EnergyBudget(1.5 * float(front.curves[0].energy.min()))
    found, wanted = WAYS[way](front).at(budget), front.at(budget)
    assert found.status.solved
    assert (found.duration, found.energy, found.partition) == (wanted.duration, wanted.energy, wanted.partition)


@pytest.mark.parametrize("way", WAYS)
def test_functions_and_modules_stay_themselves(way: str) -> None:
    for name in fedopt.__all__:
        thing = getattr(fedopt, name)
        assert WAYS[way](thing) is thing


def test_what_was_pickled_is_checked_again() -> None:
    """A pickle of other numbers is refused as a table of them is."""
    clients = fleet()
    call, (cls, values, sizes) = clients.__reduce__()
    with pytest.raises(fedopt.InputError, match=r"Clients.channel_gain: client 0: expected .*, found -5.0"):
        call(cls, {**values, "channel_gain": np.array([-5.0, 1e-11, 1e-11, 1e-11])}, sizes)


def child(task: Callable[[Any], Any], argument: Any) -> Any:
    """What a new process makes of it, which has some minutes."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        return pool.submit(task, argument).result(timeout=240.0)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def test_another_process_solves_and_refuses() -> None:
    """An answer could not be read back, nor an error: the pool broke, or waited for ever."""
    made, solution = answered("own channels")
    found = child(fedopt.solve, made)
    assert (found.duration, found.energy, found.partition) == (solution.duration, solution.energy, solution.partition)
    assert fedopt.verify(made, found).ok
    with pytest.raises(fedopt.InputError) as caught:
        child(fedopt.PowerBudget, -1.0)
    assert str(caught.value) == str(refusal())
    assert (caught.value.field, caught.value.client) == ("PowerBudget.watts", None)
