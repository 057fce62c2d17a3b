"""R20: many solves take no more memory than few, and leave no thread and no open file behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from fleets import make

import fedopt

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
GROWTH = 1.02
FAMILIES = ("typical", "powers", "bounds", "mixed")


def state() -> tuple[int, int, int]:
    """Resident bytes, threads and open descriptors of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(os.listdir("/proc/self/task"))
    return pages * os.sysconf("SC_PAGESIZE"), threads, len(os.listdir("/proc/self/fd"))


def soak(solves: int, size: int, warm: int) -> None:
    """Solve again and again on other fleets; compare the state after ``warm`` solves with that at the end."""
    instances = [make(family, seed, size) for family in FAMILIES for seed in range(max(1, 200 // size))]
    amounts = [
        float(fedopt.allocate(i.clients, i.work, duration=i.duration).energy.sum()) * 1.1 for i in instances
    ]  # above E_inf: always an answer
    before = (0, 0, 0)
    for turn in range(solves):
        if turn == warm:
            before = state()
        each = turn % len(instances)
        budget = fedopt.EnergyBudget(float(np.nextafter(amounts[each], turn)))
        assert fedopt.schedule(instances[each].clients, instances[each].work, budget).status.solved
    after = state()
    assert after[0] <= GROWTH * before[0]
    for then, now in zip(before[1:], after[1:], strict=True):  # what an earlier test left may end meanwhile
        assert now <= then
    assert threading.active_count() <= after[1]


@pytest.mark.parametrize("solves", [4_000, pytest.param(1_000_000, marks=pytest.mark.nightly("R20", 1_000_000))])
def test_small_solves_leave_nothing_behind(solves: int) -> None:
    soak(solves, 8, solves // 4)


@pytest.mark.parametrize(
    ("solves", "size"), [(12, 50_000), pytest.param(100, 1_000_000, marks=pytest.mark.nightly("R20", 100))]
)
def test_large_solves_leave_nothing_behind(solves: int, size: int) -> None:
    soak(solves, size, solves // 4)
