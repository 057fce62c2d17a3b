"""Branch and bound over the duration by itself, on energies in closed form: against every matching there is."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from solvers.matching.branch import Branch, _Point, _share
from solvers.matching.hall import least_feasible
from solvers.matching.transport import Transport, transport

PRICES = (1e-3, 0.03, 1.0, 30.0)  # [W]


@dataclass
class Fleet:
    """Row n under type k takes work / (T - fixed) joules from ``factor`` times fixed on: convex, and falls."""

    work: np.ndarray  # (K, N)
    fixed: np.ndarray
    counts: np.ndarray
    price: float
    factor: float = 2.0  # 1: endless power just behind the shortest duration
    durations: list[float] = field(default_factory=list)  # at which tangents were asked for

    def lines(self, T: float) -> tuple[np.ndarray, np.ndarray]:
        self.durations.append(T)
        can = (self.factor * self.fixed <= T) & (self.fixed < T)
        left = np.where(can, T - self.fixed, np.inf)
        return np.where(can, self.work / left, np.inf), self.work / left**2

    def root(self, assignment: np.ndarray) -> tuple[float, float]:
        """The cheapest duration of a matching by halving, and its energy."""
        rows = np.arange(assignment.shape[0])
        work, fixed = self.work[assignment, rows], self.fixed[assignment, rows]
        low, high = self.factor * float(fixed.max()), 1e6
        while low < (middle := 0.5 * (low + high)) < high:
            low, high = (middle, high) if (work / (middle - fixed) ** 2).sum() > self.price else (low, middle)
        return high, float((work / (high - fixed)).sum())

    def cost(self, assignment: np.ndarray) -> tuple[float, float]:
        T, energy = self.root(assignment)
        return energy + self.price * T, T

    def branch(self) -> Branch:
        shortest = least_feasible(self.factor * self.fixed, self.counts).duration
        return Branch(self.lines, self.solve, self.root, self.price, shortest)

    def solve(self, costs: np.ndarray):
        return transport(costs, self.counts)

    def every(self) -> list[np.ndarray]:
        """All matchings of the partition."""
        places = np.repeat(np.arange(len(self.counts)), self.counts)
        return [np.array(matching) for matching in set(itertools.permutations(places.tolist()))]

    def least(self, T: float) -> float:
        """E + price T of the best matching at T; inf where none is feasible."""
        found = self.solve(self.lines(T)[0])
        return found.cost + self.price * T if isinstance(found, Transport) else math.inf


def some(seed: int, price: float, factor: float = 2.0, counts: tuple[int, ...] = (2, 2, 1)) -> Fleet:
    rng = np.random.default_rng(seed)
    shape = len(counts), sum(counts)
    work, fixed = rng.uniform(1.0, 5.0, shape), rng.uniform(0.1, 2.0, shape)
    return Fleet(work, fixed, np.array(counts), price, factor)


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("factor", [1.0, 1.1, 3.0])
def test_the_cheapest_of_every_matching_is_found_and_proved(price: float, factor: float) -> None:
    """The best cost lies between the proved bound and what was found, both as near as is promised; from any start."""
    for seed in range(6):
        fleet = some(seed, price, factor)
        costs = sorted((fleet.cost(matching), matching.tolist()) for matching in fleet.every())
        (best, T), matching = costs[0]
        for start in (None, np.array(costs[-1][1]), np.array(matching)):
            found = fleet.branch().search(start)
            assert found is not None
            assert found.energy + price * found.duration == pytest.approx(best, rel=1e-12)
            assert found.duration == pytest.approx(T, rel=1e-9)
            assert found.assignment.tolist() == matching
            assert best * (1.0 - 2e-10) <= found.lower <= best * (1.0 + 1e-13)


@pytest.mark.parametrize(("factor", "looks"), [(1.0, 257), (1.1, 219), (3.0, 145)])
def test_few_matchings_are_looked_at(factor: float, looks: int) -> None:
    """Of 24 rows, in twelve searches; counted when this was written."""
    looked = 0
    for seed, price in itertools.product(range(3), PRICES):
        found = some(seed, price, factor, (8, 8, 8)).branch().search(None)
        assert found is not None
        looked += found.matchings
    assert looked <= looks + 3


@pytest.mark.parametrize("factor", [1.0, 1.1, 3.0])
def test_no_matching_is_cheaper_between_two_durations_than_their_bound(factor: float) -> None:
    """Of intervals of all widths; near the ends the bound is all but there."""
    near = []
    for seed, price in itertools.product(range(2), PRICES[1:]):
        fleet = some(seed, price, factor)
        first = 1.01 * least_feasible(factor * fleet.fixed, fleet.counts).duration
        for a, wide in itertools.product((first, 1.7 * first, 5.0 * first), (1e-3, 0.1, 1.0, 20.0)):
            branch = fleet.branch()
            ends = [branch._at(T) for T in (a, a * (1.0 + wide))]
            assert isinstance(ends[0], _Point)
            assert isinstance(ends[1], _Point)
            for end in ends:
                assert end.cost == pytest.approx(fleet.least(end.T), rel=1e-12)
            bound, share = branch._bound(ends[0], ends[1])
            least = min(fleet.least(T) for T in np.linspace(ends[0].T, ends[1].T, 20))
            assert bound <= least * (1.0 + 1e-12)
            assert 0.01 <= share <= 0.99
            near.append(bound / least)
    assert np.quantile(near, 0.5) > 0.98


def test_who_is_feasible_only_from_in_between_is_in_the_bound() -> None:
    """The matching at the first end is dear, whatever the duration; the cheap one begins just behind it."""
    work, fixed = np.array([[900.0, 0.01], [0.01, 0.01]]), np.array([[-99.0, 0.1], [0.55, 0.1]])
    for best, last in itertools.product((False, True), (1.5, 5.0, 20.0)):
        fleet = Fleet(work, fixed, np.array([1, 1]), 1.0)
        branch = fleet.branch()
        if best:
            branch._try(np.array([1, 0]))
        a, b = branch._at(1.0), branch._at(last)
        assert a is not None
        assert b is not None
        bound, _ = branch._bound(a, b)
        least = min(fleet.least(T) for T in np.linspace(1.0, last, 400))
        assert least < 0.2 * a.cost
        assert bound <= least


@pytest.mark.parametrize("bend", [0.5, 3.0])
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.8])
def test_a_split_is_where_a_parabola_through_both_ends_falls_to_nothing(bend: float, slope: float) -> None:
    """height + slope s - bend s^2 / 2: a tenth short of its zero, and within bounds."""
    for height, wide in itertools.product((0.0, 0.1, 1.0, 30.0), (0.5, 2.0)):
        far = height + slope * wide - 0.5 * bend * wide * wide
        zero = max(np.roots([-0.5 * bend, slope, height]))
        share = min(max(0.9 * zero / wide, 0.01), 0.7)
        assert _share(True, height, slope, far, wide) == pytest.approx(share, rel=1e-12)
        assert _share(False, height, slope, far, wide) == pytest.approx(1.0 - share, rel=1e-12)
        for unit in (1e-250, 1e-160, 1e100):  # of time
            assert _share(True, height, slope / unit, far, wide * unit) == pytest.approx(share, rel=1e-12)
    assert _share(True, -0.1, slope, -0.2, 1.0) == _share(False, -0.1, slope, -0.2, 1.0) == 0.5  # below zero already
    assert _share(True, 1.0, 0.5, 9.0, 1.0) == _share(False, 1.0, 0.5, 9.0, 1.0) == 0.5  # no parabola falls like this


def test_halves_leave_nothing_out() -> None:
    """At the best duration known and just before it, where that lies inside; else where it is asked for."""
    for seed in range(4):
        fleet = some(seed, 0.03, 1.1)
        branch = fleet.branch()
        assert branch.search(None) is not None
        best = branch._duration
        a, b = branch._at(0.7 * best), branch._at(3.0 * best)
        assert a is not None
        assert b is not None
        (behind, end), (start, before) = branch._split(a, b, 2.0 * best)
        assert (start, end, behind.T) == (a, b, best)
        assert best * (1.0 - 1e-14) <= before.T < best
        for first, last, T in ((behind, b, 2.0 * best), (a, behind, 0.8 * best), (behind, b, best * (1.0 + 1e-15))):
            (middle, end), (start, also) = branch._split(first, last, T)
            assert (start, end, middle.T, also.T) == (first, last, T, T)


def test_what_is_proved_is_the_least_of_all_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of which is enough, though less than the cost that was found."""
    fleet = some(0, 1.0)
    monkeypatch.setattr(Branch, "_bound", lambda self, a, b: (self._enough, 0.5))
    found = fleet.branch().search(None)
    assert found is not None
    assert found.lower == pytest.approx((found.energy + found.duration) * (1.0 - 1e-10), rel=1e-14)


def test_where_no_matching_is_feasible_there_is_none() -> None:
    fleet = some(0, 1.0)
    fleet.fixed[:, 2] = math.inf
    assert fleet.branch().search(None) is None


def test_where_every_cost_is_beyond_all_numbers_there_is_none() -> None:
    assert some(0, 1e308, 3.0).branch().search(None) is None


def test_a_duration_beyond_which_nothing_is_of_use_ends_the_search() -> None:
    """What is returned has a duration there, and proves nothing; at the cheapest duration itself it is all proved."""
    for seed in range(6):
        fleet = some(seed, 1.0, counts=(6, 6, 6))
        whole = fleet.branch().search(None)
        assert whole is not None
        for beyond in (whole.duration, 2.0 * whole.duration, math.inf):
            found = fleet.branch().search(None, beyond)
            assert found is not None
            assert (found.duration, found.lower, found.matchings) == (whole.duration, whole.lower, whole.matchings)
        found = fleet.branch().search(None, 0.9 * whole.duration)
        assert found is not None
        assert found.lower == -math.inf
        assert found.duration > 0.9 * whole.duration
        assert found.matchings <= 0.7 * whole.matchings
        found = fleet.branch().search(whole.assignment, math.nextafter(whole.duration, 0.0))
        assert found is not None
        assert found.lower == whole.lower  # to rounding it is the cheapest duration
