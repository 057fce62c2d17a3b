"""The search for the least duration over matchings, given made-up ones whose energies and durations are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solvers.matching.least import GAP, Least, least_duration
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal


class Known:
    """Matchings whose energy at T [s] is e + w/T^2 [J] from a least duration on, and which takes least."""

    def __init__(self, least: FloatArray, e: FloatArray, w: FloatArray, goal: Goal, value: float) -> None:
        self.least, self.e, self.w, self.goal, self.value = least, e, w, goal, value
        self.asked = list[float]()

    def energy(self, T: float) -> FloatArray:
        """Of all matchings [J]."""
        return self.e + (self.w / T**2 if T > 0.0 else 0.0)

    def match(self, T: float) -> tuple[IntArray, float] | None:
        """The matching, by its number, and its energy."""
        self.asked.append(T)
        energy = np.where(self.least <= T, self.energy(T), np.inf)
        best = int(energy.argmin())
        return (np.array([best]), float(energy[best])) if energy[best] < math.inf else None

    def root(self, assignment: IntArray) -> tuple[float, float]:
        """Where e + w/T^2 is the budget, or the least duration; by halving."""
        i = int(assignment[0])

        def over(T: float) -> bool:
            return bool(self.energy(T)[i] > self.value * (T if self.goal is Goal.POWER else 1.0))

        low = high = float(self.least[i])
        while over(high):
            low, high = high, 2.0 * high
            if high > 1e12:
                return math.inf, math.inf
        while high - low > 1e-15 * high and low < 0.5 * (low + high) < high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if over(middle) else (low, middle)
        return high, float(self.energy(high)[i])

    def search(self, high: float, known: float = 0.5) -> Least:
        """Up to ``high``; of the least duration of all that is ``known`` at first."""
        first = float(self.least.min())
        return least_duration(self.match, self.root, self.goal, self.value, known * first, high, lambda: first)


@pytest.mark.parametrize(
    ("goal", "crowded", "work"),
    [(Goal.ENERGY, True, 456), (Goal.POWER, True, 133), (Goal.ENERGY, False, 323), (Goal.POWER, False, 479)],
)
@pytest.mark.parametrize("unit", [1.0, 2.0**-10])
def test_the_least_duration_of_all_and_its_proof(goal: Goal, crowded: bool, work: int, unit: float) -> None:
    """Held up by who fits where, or by the budget; in as many matchings as when this was written, all together."""
    rng, solved, found_some = np.random.default_rng(5), 0, 0
    for _ in range(60):
        size = int(rng.integers(1, 30))
        least = rng.uniform(5.0, 6.0, size) if crowded else rng.uniform(1.0, 2.0, size)
        e, w = rng.uniform(0.1, 1.0, size), rng.uniform(1.0, 50.0, size)
        value = float(rng.uniform(0.2, 2.0))
        known = Known(least * unit, e, w * unit**2, goal, value / unit if goal is Goal.POWER else value)
        durations = [known.root(np.array([i]))[0] for i in range(size)]
        best = min(durations)
        answer = known.search(20.0 * unit)
        if best > 20.0 * unit:
            assert answer.assignment is None
            continue
        found_some += 1
        assert answer.assignment is not None
        assert answer.duration == pytest.approx(best, rel=4.0 * GAP)
        assert durations[int(answer.assignment[0])] == pytest.approx(best, rel=4.0 * GAP)
        assert answer.duration * (1.0 - 4.0 * GAP) <= answer.lower <= best * (1.0 + 4.0 * GAP)
        assert answer.matchings == len(known.asked)
        solved += answer.matchings
        assert known.search(answer.duration * (1.0 - 1e-9)).assignment is None
    assert found_some > 30
    assert 0.95 * work <= solved <= 1.02 * work  # fewer are welcome, and a reason to write them here


@pytest.mark.parametrize(
    ("off", "duration"), [(5e-14, 7.0), (-5e-14, 7.0), (0.0, 7.0), (5e-14, 10.0), (5e-14, 11.0), (-5e-14, 11.0)]
)
def test_what_rounding_hides_the_matchings_own_duration_knows(off: float, duration: float) -> None:
    """Of a matching whose energy is the budget to 5e-14: within it if it is done by then."""
    matching = np.array([0])
    found = least_duration(
        lambda T: (matching, 2.0 * (1.0 + off)), lambda _: (duration, 2.0), Goal.ENERGY, 2.0, 1.0, 10.0, lambda: 1.0
    )
    if duration > 10.0:  # of others nothing is known where the budget is not surely exceeded
        assert found.assignment is None
        assert found.lower == (10.0 if off > 0.0 else 1.0)
    else:
        assert found.assignment is matching
        assert found.duration == duration


def test_another_matching_that_rounding_hides_is_taken_at_its_own_duration() -> None:
    """It takes as much as the budget where it is looked at, and is done a little later than that, before the first."""
    first, other = np.array([0]), np.array([1])
    found = least_duration(
        lambda T: (first if T > 8.99 else other, 2.0),
        lambda matching: (9.0 if matching is first else 8.95, 2.0),
        *(Goal.ENERGY, 2.0, 1.0, 10.0, lambda: 1.0),
    )
    assert found.assignment is other
    assert found.duration == 8.95


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize(("e", "value"), [(1.0, math.inf), (0.0, 2.0), (0.0, 0.0), (0.0, math.inf)])
def test_energy_of_nothing_and_budgets_without_limit_leave_the_shortest(goal: Goal, e: float, value: float) -> None:
    """And who takes energy finds none in a budget of nothing."""
    least = np.array([3.0, 2.0, 4.0])
    for bound in (0.5, 1.0):
        answer = Known(least, np.full(3, e), np.zeros(3), goal, value).search(10.0, bound)
        assert answer.assignment is not None
        assert (answer.duration, answer.assignment[0]) == (2.0, 1)
        assert answer.lower == pytest.approx(2.0, rel=4.0 * GAP)
    assert Known(least, np.ones(3), np.zeros(3), goal, 0.0).search(10.0).assignment is None


@pytest.mark.parametrize(("first", "dear", "work"), [(0.0, 0.5, 3), (0.0, 1.0, 4), (1.0, 1.0, 50)])
def test_where_no_line_through_the_ends_can_be_drawn(first: float, dear: float, work: int) -> None:
    """The one that is done first is within the budget, or too dear; the other is done in 2 s and takes nothing."""
    known = Known(np.array([first, 2.0]), np.array([dear, 0.0]), np.zeros(2), Goal.ENERGY, 0.7)
    answer = known.search(10.0)
    assert answer.assignment is not None
    assert (answer.duration, answer.assignment[0]) == ((first, 0) if dear < 0.7 else (2.0, 1))
    assert answer.lower == pytest.approx(answer.duration, rel=4.0 * GAP)
    assert answer.matchings <= work
