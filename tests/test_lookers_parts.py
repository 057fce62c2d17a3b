"""What a look makes of the rows one by one, and of a matching beyond the budget, by the definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import budgets, drawn, unlisted_of

from solvers.matching.coarse import allowed_at
from solvers.matching.lookers import AllMatchings
from solvers.matching.transport import Transport

ENERGY_, POWER_, *_ = range(4)  # of budgets()


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_cap_of_some_durations_is_what_all_can_do_in_time_by_themselves(power: float) -> None:
    """From the first duration on at which anybody can do anything."""
    menu = drawn(0, 6, (1, 1, 1))
    looker = AllMatchings(unlisted_of(menu, *budgets(menu)[ENERGY_], power=power))

    def rate(T: float) -> float:
        most = np.where(menu.least <= T, menu.weights[:, None], 0.0).max(axis=0).sum()
        return float(np.floor(most + 1e-9) ** power / T)

    times = np.unique(menu.least[np.isfinite(menu.least)])
    assert rate(times[0]) == 1.0 / times[0]
    for start, wide in itertools.product((0.5 * times[0], times[0], 1.001 * times[0], *times[1::3]), (1e-4, 0.3, 9.0)):
        within = [T for T in times if start < T <= start + wide]
        assert looker.cap(start, start + wide) == pytest.approx(max(map(rate, (start, *within))), rel=1e-9)


@pytest.mark.parametrize("which", [ENERGY_, POWER_])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_matching_beyond_the_budget_is_as_long_as_its_tangents_say(which: int, power: float) -> None:
    """Where they meet the budget; and as long as asked, where it is within."""
    menu = drawn(0, 6, (1, 2, 2))
    task: Any = unlisted_of(menu, *budgets(menu)[which], power=power)
    look: Any = AllMatchings(task).look(4.0)
    assignment = np.array([0, 1, 1, 2, 2, 0])
    nothing = np.zeros(3)
    slope = float(look.prices[assignment, np.arange(6)].sum())
    for over, replicas in itertools.product((-0.5, 0.0, 0.5, 3.0), (1.0, 2.0, 4.0)):
        cost = look.allowed + over
        matched = Transport(assignment=assignment, cost=cost, prices=nothing, dual=cost, moved=0)
        rate, fewer = look._rates(matched, replicas, look.allowed)
        T = replicas**power / rate
        if over > 0.0:
            assert T > 4.0
            assert cost - slope * (T - 4.0) == pytest.approx(float(allowed_at(task, T)), rel=1e-9)
        else:
            assert pytest.approx(4.0) == T
        less = (replicas - 1.0) ** power if power > 0.0 else 0.0  # of no use where one is enough
        assert fewer == pytest.approx(max(less, 0.5 * replicas**power) / 4.0, rel=1e-12)
    look.prices[:] = 0.0
    matched = Transport(assignment=assignment, cost=look.allowed + 1.0, prices=nothing, dual=0.0, moved=0)
    assert look._rates(matched, 2.0, look.allowed)[0] > 0.0 or which == ENERGY_
    assert math.isfinite(look._rates(matched, 2.0, look.allowed)[0])
