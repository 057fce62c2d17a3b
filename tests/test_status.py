"""R6: honest status. Feasible, slack and infeasible, by margins of 1e-2 down to 1e-14, in every family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from fleets import FAMILIES, make
from mpmath import mpf
from oracle import INF, Fleet

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status

MARGINS = [10.0**-k for k in range(2, 15, 2)]


def near_the_limits(fleet: Fleet, margin: float) -> Iterator[tuple[Any, Status]]:
    """Budgets just to either side of T_min, of E(T_min) and of E_inf, each with the status it must get."""

    def rounded(value: Any) -> float:
        return float(value)

    most = fleet.energy(fleet.t_min)
    yield Deadline(rounded(fleet.t_min * (1 - mpf(margin)))), Status.INFEASIBLE
    yield Deadline(rounded(fleet.t_min * (1 + mpf(margin)))), Status.OPTIMAL
    if 0 < most < INF:
        yield EnergyBudget(rounded(most * (1 + mpf(margin)))), Status.SLACK
        yield PowerBudget(rounded(most / fleet.t_min * (1 + mpf(margin)))), Status.SLACK
        yield PowerBudget(rounded(most / fleet.t_min * (1 - mpf(margin)))), Status.OPTIMAL
    if most > fleet.e_inf * (1 + 2 * mpf(margin)):
        yield EnergyBudget(rounded(most * (1 - mpf(margin)))), Status.OPTIMAL
    if fleet.e_inf > 0:
        yield EnergyBudget(rounded(fleet.e_inf * (1 - mpf(margin)))), Status.INFEASIBLE
        if most > fleet.e_inf * (1 + 2 * mpf(margin)):
            yield EnergyBudget(rounded(fleet.e_inf * (1 + mpf(margin)))), Status.OPTIMAL


def check(family: str, seed: int, size: int) -> int:
    instance = make(family, seed, size)
    fleet = Fleet(instance.clients, instance.work)
    tried = 0
    for margin in MARGINS[: -2 if family == "extreme" else None]:  # extreme energies are promised to 1e-11 only
        for budget, status in near_the_limits(fleet, margin):
            found = fedopt.schedule(instance.clients, instance.work, budget)
            where = f"{budget}, margin {margin:g}: {found.status.name} {found.reason}"
            assert found.status is status, where
            tried += 1
            if status is Status.INFEASIBLE:
                assert math.isnan(found.duration), where
                assert found.shortfall > 0.0, where
                continue
            assert found.verdict is not None
            assert found.verdict.feasible, where
            assert fleet.t_min * (1 - mpf("1e-15")) <= found.duration, where
    return tried


@pytest.mark.parametrize("family", FAMILIES)
def test_the_status_is_right_however_small_the_margin(family: str) -> None:
    assert sum(check(family, seed, 1 + seed % 3) for seed in range(6)) >= 130


@pytest.mark.nightly("R6", 1250)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_status_is_right_very_often(family: str) -> None:
    assert sum(check(family, seed, 1 + seed % 3) for seed in range(100, 142)) >= 1250
