"""No time at all: every search with more to do stops after a step, says so, and claims nothing that is not so."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import pytest
from fleets import mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.devices import phones64

SHARED, SLOTS = SharedBandwidth(1e6), TimeDivision(1e6)


@pytest.mark.parametrize(
    ("access", "matching", "more"),
    [
        (None, "exact", {}),
        (None, "assignment", {}),
        (None, "milp", {}),
        (None, "sorted", {"timing": "bisection"}),
        (None, "marginal", {"timing": "bisection"}),
        (SHARED, "sorted", {}),
        (SHARED, "marginal", {}),
        (SLOTS, "sorted", {}),
        (SLOTS, "marginal", {}),
    ],
)
@pytest.mark.parametrize("budget", [PowerBudget(4.0), EnergyBudget(60.0), Deadline(15.0), TimePrice(5.0)])
def test_a_search_without_time_stops(access: Any, matching: str, more: dict[str, str], budget: Any) -> None:
    if matching == "milp":
        pytest.importorskip("pulp")
    problem = fedopt.Problem(phones64().take(range(9)), mnist_types(), budget=budget, access=access)
    found = fedopt.solve(problem, matching=matching, time_limit=1e-9, **more)
    whole = fedopt.solve(problem, matching=matching, **more)
    assert whole.status.solved
    assert found.status is Status.LIMIT
    assert "time limit" in found.reason
    if math.isfinite(found.utility):
        assert found.verdict is not None
        assert found.verdict.feasible
        assert fedopt.verify(problem, found).ok
        if not isinstance(budget, TimePrice):  # else a dearer matching, if shorter, is of greater utility
            assert found.utility <= whole.utility * (1.0 + 1e-12)
    if not math.isnan(found.bound):
        assert found.bound >= whole.utility * (1.0 - 1e-12)


OUT_OF_REACH, WITHIN = [0.0, 1e-11], [1e-11, 1e-11]
TYPES = (fedopt.SubModel("full", flops=2e7, upload_bits=3e5), fedopt.SubModel("half", flops=1e7, upload_bits=1e5))


@pytest.mark.parametrize(
    ("access", "matching"),
    [
        *((None, matching) for matching in ("exact", "assignment", "sorted", "marginal")),
        *((access, matching) for access in (SHARED, SLOTS) for matching in ("sorted", "marginal")),
    ],
)
@pytest.mark.parametrize(
    ("gains", "budget"),
    [
        (OUT_OF_REACH[:1], EnergyBudget(10.0)),
        (OUT_OF_REACH, PowerBudget(1.0)),
        (OUT_OF_REACH, EnergyBudget(1e3)),
        (OUT_OF_REACH, TimePrice(1.0)),
        (WITHIN, EnergyBudget(1e-9)),
        (WITHIN, Deadline(1e-9)),
        (WITHIN, Deadline(0.0)),
    ],
)
@pytest.mark.parametrize("utility", ["replica_rate", "least_energy"])
def test_where_nobody_can_train_a_search_without_time_says_no_more_than_it_knows(
    gains: list[float], budget: Any, access: Any, matching: str, utility: str
) -> None:
    """That it was stopped, or as with all the time there is that there is no answer."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1.5e9, samples=500.0, channel_gain=gains, bandwidth=2e5, power_max=0.2
    )
    problem = fedopt.Problem(clients, TYPES, budget=budget, access=access, utility=utility)
    whole = fedopt.solve(problem, matching=matching)
    assert whole.status is Status.INFEASIBLE
    found = fedopt.solve(problem, matching=matching, time_limit=1e-9)
    assert found.status in (Status.LIMIT, Status.INFEASIBLE)
    if found.status is Status.LIMIT:
        assert "time limit" in found.reason
        assert found.partition is None
        assert math.isnan(found.bound)
    else:
        assert found.reason == whole.reason


@pytest.mark.parametrize(("access", "matching"), [(None, "exact"), (None, "sorted"), (SHARED, None), (SLOTS, "sorted")])
def test_time_enough_changes_nothing_however_long_the_clock_has_run(
    access: Any, matching: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is counted from the call on: the clock's own start, as that of the machine, is another."""
    problem = fedopt.Problem(phones64().take(range(6)), mnist_types(), budget=PowerBudget(4.0), access=access)
    known, clock = fedopt.solve(problem, matching=matching), time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + 1e9)
    found = fedopt.solve(problem, matching=matching, time_limit=1e6)
    assert (found.status, found.utility, found.reason) == (known.status, known.utility, known.reason)
    assert found.status.solved


@pytest.mark.parametrize("access", [SHARED, SLOTS])
@pytest.mark.parametrize("utility", ["replica_rate", "least_energy"])
def test_at_a_price_of_time_the_clock_is_looked_at_from_the_first_matchings_on(
    access: Any, utility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second passes with every look: so many partitions have an answer, more with more time; progress is told."""
    clients, ticks = phones64().take(range(24)), itertools.count()
    problem = fedopt.Problem(clients, mnist_types(), budget=TimePrice(5.0), access=access, utility=utility)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    solved, told = list[float](), list[Any]()
    for limit in (1.0, 5.0, 20.0):
        found = fedopt.solve(problem, time_limit=limit, progress=lambda *each: told.append(each))
        assert found.status is Status.LIMIT
        assert "time limit" in found.reason
        assert fedopt.verify(problem, found).ok
        solved.append(found.stats["solved"])
        assert 0.5 * limit - 1.0 < solved[-1] <= limit + 1.0
        assert 0.5 * limit - 1.0 < len(told) <= limit + 1.0
        assert all(each[:2] == (0, found.stats["partitions"]) for each in told)
        told.clear()
    assert sorted(set(solved)) == solved
