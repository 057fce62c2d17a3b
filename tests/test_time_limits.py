"""No time at all: every search with more to do stops after a step, says so, and claims nothing that is not so."""

from __future__ import annotations

import math
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
