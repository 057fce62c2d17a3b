"""The memory of large tables: handed on when nobody looks at it any more, never before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fleets import make

import fedopt
from solvers import memory
from solvers.memory import table

SIZE = 1 << 18  # doubles of a row: every table here is a large one


@pytest.fixture(autouse=True)
def _nothing_spare() -> Iterator[None]:
    memory._collect()
    memory._spare.clear()
    yield
    memory._collect()
    memory._spare.clear()


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_table_s_memory_goes_to_the_next_of_its_size() -> None:
    one = table(3, SIZE)
    where = address(one)
    assert where % (2 << 20) == 0
    assert one.shape == (3, SIZE)
    assert one.flags.writeable
    del one
    other = table(2, SIZE)
    assert address(other) != where
    again = table(SIZE, 3)  # as large
    assert address(again) == where
    assert again.shape == (SIZE, 3)


@pytest.mark.parametrize("part", [lambda t: t[1], lambda t: t[2, 5:9].view(np.int64), lambda t: memoryview(t[0])])
def test_a_table_of_which_a_part_is_held_keeps_its_memory(part: Any) -> None:
    one = table(3, SIZE)
    where, held = address(one), part(one)
    del one
    other = table(3, SIZE)
    assert address(other) != where
    del held
    third = table(3, SIZE)
    assert address(third) == where


def test_little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left first goes first; one room of each size."""
    monkeypatch.setattr(memory, "_MOST", 5 * SIZE)
    tables = [table(count, SIZE) for count in (3, 3, 2, 1, 6)]
    while tables:
        del tables[0]
        memory._collect()
    assert list(memory._spare) == [2 * SIZE, SIZE]
    table(4, SIZE)
    memory._collect()
    assert list(memory._spare) == [SIZE, 4 * SIZE]


def test_small_tables_are_numpy_s_own() -> None:
    table(2, 100)
    assert not memory._back


def test_no_two_living_tables_share_memory() -> None:
    """Eight threads that make tables, write their name all over them, and look again later."""

    def work(name: int) -> bool:
        fine, kept = True, []
        for turn in range(40):
            mine = table(1 + (name + turn) % 2, SIZE)
            mine.fill(name)
            kept.append(mine)
            if turn % 3 == 2:
                fine = fine and all((each == name).all() for each in kept)
                kept.clear()
        return fine

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_an_answer_stays_as_it_was_when_others_follow() -> None:
    """Parts of it too, the clients and all else long gone."""
    instance = make("typical", 1, SIZE)
    joules = float(fedopt.allocate(instance.clients, instance.work, duration=instance.duration).energy.sum())
    allocation = fedopt.schedule(instance.clients, instance.work, fedopt.EnergyBudget(joules)).allocation
    assert allocation is not None
    energy, frequency = allocation.energy, allocation.frequency
    before = energy.copy(), frequency.copy()
    del allocation
    for factor in (1.1, 1.3):
        for _ in range(3):
            clients = instance.clients.replace(channel_gain=instance.clients.channel_gain * factor)
            fedopt.schedule(clients, instance.work, fedopt.EnergyBudget(joules * factor))
    np.testing.assert_array_equal(energy, before[0])
    np.testing.assert_array_equal(frequency, before[1])
