"""The points of the curve of least energy against duration, given made-up curves: where they begin, end and lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from made_up import drawn, everyone, partitions, task_of

from solvers.matching.curve import At, Match, best_of, sorted_of, trace
from solvers.menu import fill
from solvers.rows import FloatArray, Goal


class Curve:
    """Energies [J] by a formula of the duration, inf where there is none, and at which durations it was asked for."""

    def __init__(self, energy: Callable[[float], float]) -> None:
        self.energy, self.asked = energy, list[float]()

    def match(self, duration: float, prices: FloatArray | None) -> At | None:
        assert not self.asked or prices is None or prices.shape == (1,)
        self.asked.append(duration)
        energy = self.energy(duration)
        if math.isinf(energy):
            return None
        return At(duration=duration, energy=energy, assignment=np.zeros(1, dtype=np.int64), prices=np.zeros(1))

    def trace(self, shortest: float, points: int) -> list[At]:
        return trace(self.match, shortest, points)


def halved(curve: Curve, ends: tuple[float, float], points: int) -> list[float]:
    """By area in ln T and ln E."""
    T = list(ends)
    while len(T) < points:
        boxes = [math.log(b / a) * math.log(curve.energy(a) / curve.energy(b)) for a, b in itertools.pairwise(T)]
        i = int(np.argmax(boxes))
        T.insert(i + 1, math.sqrt(T[i] * T[i + 1]))
    return T


CURVES: list[Callable[[float], float]] = [
    lambda T: 1.0 + 50.0 * (T - 0.9) ** -2,
    lambda T: 1.0 + 1e-4 * T**-1,  # at its least from the first on, nearly
    lambda T: 9.0 if T < 5.0 else 3.0 if T < 5.5 else 1.0,  # all the fall is at two places
    lambda T: 1.0 + 5.0 * T**-0.1,  # never near its least
]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("joules", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("seconds", [2.0**-9, 1.0, 2.0**5])
def test_each_point_halves_the_largest_box_in_any_unit(
    curve: Callable[[float], float], joules: float, seconds: float
) -> None:
    """From the shortest duration to the first whose energy is within 0.1 % of the least, or to a thousand times it."""
    made = Curve(lambda T: joules * (curve(T / seconds) if math.inf > T else curve(1e300)))
    found = made.trace(seconds, 14)
    T = [at.duration for at in found]
    assert halved(made, (T[0], T[-1]), 14) == pytest.approx(T, rel=1e-12)
    assert T[0] == seconds
    assert [at.energy for at in found] == [made.energy(duration) for duration in T]
    least = 1.001 * made.energy(math.inf)
    if made.energy(1e3 * seconds) > least:
        assert T[-1] == 1e3 * seconds
        assert len(made.asked) == 3 + 12
        return
    assert len(made.asked) == 3 + 8 + 12  # eight halvings of ln T
    assert made.energy(T[-1]) <= least
    width = math.log(1e3) / 2**8
    assert T[-1] * math.exp(-width) <= seconds * (1.0 + 1e-12) or made.energy(T[-1] * math.exp(-width)) > least


def test_where_the_energy_is_just_enough_the_curve_ends() -> None:
    """1.001 times the least is enough, from 50 s on, and 1000 times that of twice the time is not too steep."""
    made = Curve(lambda T: 1.0 if math.inf == T else 1.001 if T >= 50.0 else 9.0)
    last = made.trace(1.0, 2)[-1].duration
    assert 50.0 <= last <= 50.0 * math.exp(math.log(1e3) / 2**8)
    for dear, first in ((1e3, 1.125), (1e3 + 1e-9, 1.25)):
        steep = Curve(lambda T, dear=dear: math.inf if T < 1.125 else dear if T < 1.25 else 1.0)  # type: ignore[misc]
        assert steep.trace(1.0, 2)[0].duration == first


@pytest.mark.parametrize("shortest", [0.0, 2.0**-20, 3.0, 2.0**30])
@pytest.mark.parametrize("steep", [1e-3, 0.7, 1.0, 50.0, 1e4])
def test_where_the_shortest_takes_power_without_limit_another_is_first(shortest: float, steep: float) -> None:
    """exp(c/x) at x beyond the shortest falls by exp(c/2x) with twice x: to a thousandth where x = c / 2 ln 1000."""
    unit = shortest or 1.0
    c = steep * unit
    made = Curve(lambda T: math.exp(c / (T - shortest)) if 700.0 * (T - shortest) > c else math.inf)
    found = made.trace(shortest, 2)
    power = math.ceil(math.log2(c / (2.0 * math.log(1e3)) / unit))
    assert found[0].duration == shortest + unit * 2.0 ** max(power, -10 if shortest else -999)
    assert len(made.asked) <= 1 + 2 * 11 + 2 + 8


def test_the_powers_of_two_end() -> None:
    """Where no energy is steep, at a thousandth of the shortest duration, or at next to nothing."""
    for shortest, first in ((0.0, 2.0**-999), (1.0, 1.0 + 2.0**-10)):
        made = Curve(lambda T, shortest=shortest: 1.0 if shortest < T else math.inf)  # type: ignore[misc]
        assert made.trace(shortest, 2)[0].duration == first
    late = Curve(lambda T: 1.0 if T > 2.0**998.5 else math.inf)
    assert late.trace(0.0, 2)[0].duration == 2.0**999


def test_nothing_to_do_is_one_point_and_no_matching_is_none() -> None:
    nothing = Curve(lambda T: 0.0)
    (only,) = nothing.trace(0.0, 9)
    assert (only.duration, only.energy) == (0.0, 0.0)
    assert nothing.trace(math.inf, 9) == []


@pytest.mark.parametrize("joules", [0.0, 1e-9, 2.0])
def test_where_no_time_saves_anything_the_widest_is_halved(joules: float) -> None:
    T = [at.duration for at in Curve(lambda T: joules).trace(1.0, 14)]
    wide = np.diff(np.log(T))
    assert max(wide) == pytest.approx(2.0 * min(wide))


@pytest.mark.parametrize("seed", range(4))
def test_best_and_sorted_matchings_at_a_duration(seed: int) -> None:
    """Against every matching of a partition, and the one that fills the places in order."""
    menu = drawn(seed)
    for counts in partitions(menu)[::2]:
        places = fill(counts, menu.types, menu.order)
        own = menu.rows_of(places)
        every = everyone(task_of(menu, Goal.DEADLINE, 1e9, counts=counts[None, :]))
        least = menu.least[every.assignments, menu.order].max(axis=1)
        made: tuple[tuple[tuple[Match, float], float], ...] = (
            (best_of(menu, counts), float(least.min())),  # type: ignore[arg-type]
            (sorted_of(menu, counts), float(own.least.max())),  # type: ignore[arg-type]
        )
        for sorted_, ((match, shortest), expected) in enumerate(made):
            assert shortest == expected
            for T in (0.7 * expected, expected, 2.0 * expected, math.inf):
                if math.isnan(T) or (math.isinf(T) and expected == math.inf):
                    continue
                at = match(T, None)
                if expected > T:
                    assert at is None
                    continue
                assert at is not None
                costs = menu.costs(T)
                each = costs[places if sorted_ else every.assignments, menu.order].sum(axis=-1)
                assert at.energy == pytest.approx(float(np.min(each)), rel=1e-12)
                assert at.energy == pytest.approx(costs[at.assignment, menu.order].sum(), rel=1e-12)
                assert at.duration == T
                assert np.bincount(at.assignment, minlength=3).tolist() == counts.tolist()
                if sorted_:
                    assert at.assignment.tolist() == places.tolist()
                    assert at.prices.tolist() == [0.0] * 3
                else:  # prices prove it: no matching costs less than its rows at their cheapest less the prices
                    proved = (costs - at.prices[:, None]).min(axis=0).sum() + counts @ at.prices
                    assert proved == pytest.approx(at.energy, rel=1e-12)
