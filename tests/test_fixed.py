"""Level 2 of one matching after another: against the same matching by levels 2 and 3 alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tasks import task_for
from test_ordered import menu, values

from solvers.duration import newton
from solvers.matching.fixed import Fixed
from solvers.rows import Goal


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
def test_a_given_matching_is_solved_as_it_is(goal: Goal) -> None:
    """Every one of a partition, however dear: no other takes its place."""
    given, some = menu(2), 0
    fixed = Fixed(given)
    for value in values(given, goal):
        task = task_for(given, np.array([(1, 2, 1)]), goal, value)
        for each in sorted(set(itertools.permutations((0, 1, 1, 2)))):
            assignment = np.array(each)
            truth = newton.schedule(given.rows_of(assignment), goal, value, task.allocate)
            expected = (truth.duration, truth.point.energy.sum()) if truth.point else (math.inf, math.inf)
            assert fixed.duration(assignment, goal, value) == pytest.approx(expected, rel=1e-9)
            some += truth.point is not None
    assert some >= 12
