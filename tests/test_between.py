"""Bounds of partitions from sums at a few durations, against made-up clients: as tight as tangents and chords are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from made_up import Made, drawn
from tasks import plain

from solvers.matching import between
from solvers.menu import IntArray
from solvers.rows import ROUNDING, FloatArray, Goal

KINDS, ROWS = 3, 7
COUNTS = np.array([(7, 0, 0), (3, 3, 1), (0, 5, 2), (1, 0, 6), (2, 4, 1), (0, 0, 7)])
CLOSE = 1e-6  # relative: the bounds allow for less than that of rounding


class Sums(NamedTuple):
    """Of the rows of a partition in order: they take floor + w/T^2 [J] from the least duration [s] on."""

    floor: float
    w: float
    least: float

    def energy(self, T: float) -> float:
        return self.floor + self.w / T**2

    def price(self, T: float) -> float:
        return 2.0 * self.w / T**3


def made(seed: int) -> Made:
    menu = drawn(3 * seed, ROWS, (1, 1, 1))
    if seed == 1:
        menu.least[1, :2] = np.inf  # who can never do type 1
    return menu


def sums(menu: Made, counts: IntArray) -> Sums:
    return Sums(*(float(total) for total in menu.rows_of(np.repeat(menu.types, counts)).sums()))


def prefixes(menu: Made, durations: FloatArray) -> tuple[Any, ...]:
    """As of prefix.py: energy, price, misses, greatest least durations, floors."""
    T = durations[:, None, None]
    cannot = menu.least > T

    def sums(values: FloatArray) -> FloatArray:
        whole = np.zeros((*values.shape[:-1], ROWS + 1))
        np.cumsum(values, axis=-1, out=whole[..., 1:])
        return whole

    levels = [menu.least]
    for level in range(1, 3):
        wide = levels[0].copy()
        for i in range(ROWS):
            wide[:, i] = menu.least[:, i : i + 2**level].max(axis=1)
        levels.append(wide)
    energy = sums(np.where(cannot, 0.0, menu.floor + menu.w / T**2))
    price = sums(np.where(cannot, 0.0, 2.0 * menu.w / T**3))
    return energy, price, sums(cannot.astype(float)).astype(np.int32), np.stack(levels), sums(menu.floor)


def bounds_of(
    menu: Made, durations: FloatArray, goal: Goal, value: float, needed: FloatArray | None = None
) -> FloatArray:
    """(len(COUNTS), BOUNDS)."""
    out, none = np.full((len(COUNTS), between.BOUNDS), np.nan), np.zeros(0) if needed is None else needed
    given = (durations, *prefixes(menu, durations), COUNTS, menu.types, int(goal), value, none, out)
    between.bound_partitions(*given)
    return out


def values(menu: Made, goal: Goal) -> list[float]:
    """Of a goal, from what no round meets to what the shortest does."""
    some = sums(menu, COUNTS[4])
    T = [factor * some.least for factor in (1.0, 1.3, 4.0, 1e2, 1e3)]
    match goal:
        case Goal.ENERGY:
            return [0.9 * some.floor, *(1.001 * some.energy(each) for each in T)]
        case Goal.POWER:
            return [1.001 * some.energy(each) / each for each in T]
        case Goal.DEADLINE:
            return [0.5, 1.1 * some.least, 3.0 * some.least]
    return [some.price(factor * some.least) for factor in (0.9, 1.3, 4.0)]


def tangents_and_chord(own: Sums, durations: FloatArray, goal: Goal, value: float) -> tuple[float, float]:
    """Where the tangents at the durations on both sides meet the budget at the latest, and their chord, or the first
    duration at which it is met: bounds of the duration, by the formulas themselves."""
    watts = value if goal is Goal.POWER else 0.0

    def over(T: float) -> float:
        return own.energy(T) - (value * T if goal is Goal.POWER else value) if own.least <= T else math.inf

    met = [j for j, T in enumerate(durations) if over(T) <= 0.0]
    first = met[0] if met else len(durations)
    low, high = own.least, durations[first] if met else math.inf
    for j in (first - 1, first):
        if 0 <= j < len(durations) and durations[j] >= own.least:
            T = float(durations[j])
            low = max(low, T + over(T) / (own.price(T) + watts))
    if 0 < first < len(durations):
        low = max(low, durations[first - 1])
        a, b = float(durations[first - 1]), float(durations[first])
        if over(a) < math.inf:
            high = min(high, a + (b - a) * over(a) / (over(a) - over(b)))
    elif not met:
        low = max(low, durations[-1])
    return low, high


GRIDS = (np.geomspace(1.0, 64.0, 6), np.array([2.0, 2.5, 3.5]), np.array([3.2, 3.3]))


def bounded(durations: FloatArray, goal: Goal) -> Iterator[tuple[float, Sums, FloatArray]]:
    """Values of the goal, for each what is known of every partition, and its bounds."""
    for menu in map(made, range(3)):
        for value in values(menu, goal):
            for counts, bounds in zip(COUNTS, bounds_of(menu, durations, goal, value), strict=True):
                yield value, sums(menu, counts), bounds


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("durations", GRIDS)
def test_durations_lie_between_tangents_and_chords(goal: Goal, durations: FloatArray) -> None:
    open_ended = closed = 0
    for value, own, bounds in bounded(durations, goal):
        assert bounds[between.T_LEAST] == own.least
        assert bounds[between.E_LEAST] == pytest.approx(own.floor, rel=CLOSE)
        if own.least == math.inf or (goal is Goal.ENERGY and value < own.floor):
            assert bounds[between.T_LOW] == math.inf == bounds[between.T_HIGH]
            continue
        low, high = tangents_and_chord(own, durations, goal, value)
        assert bounds[between.T_LOW] == pytest.approx(min(low, high), rel=CLOSE)
        assert bounds[between.T_HIGH] == pytest.approx(high, rel=CLOSE)
        open_ended, closed = open_ended + (high == math.inf), closed + (high < math.inf)
        T = bounds[between.T_LOW]
        first = int(np.searchsorted(durations, high))
        beside = [each for each in durations[max(first - 1, 0) : first + 1] if own.least <= each]
        for column, at in ((between.E_FIRST, T), (between.E_LOW, high)):
            if at < math.inf:
                tangents = [own.energy(each) - own.price(each) * (at - each) for each in beside]
                assert bounds[column] == pytest.approx(max([own.floor, *tangents]), rel=CLOSE)
        if high < math.inf:
            earlier = [own.energy(each) for each in beside if each <= T]
            limit = min([value * high if goal is Goal.POWER else value, *earlier])
            assert bounds[between.E_HIGH] == pytest.approx(limit, rel=CLOSE)
    assert open_ended > 3
    assert closed > 10


@pytest.mark.parametrize("durations", GRIDS)
def test_energies_at_a_deadline_lie_above_their_tangents_and_below_an_earlier_one(durations: FloatArray) -> None:
    for value, own, bounds in bounded(durations, Goal.DEADLINE):
        if own.least > value:
            assert bounds[between.T_LOW] == math.inf
            continue
        assert bounds[between.T_LOW] == value
        assert bounds[between.E_LOW] <= own.energy(value) * (1.0 + CLOSE)
        assert bounds[between.E_HIGH] >= own.energy(value) * (1.0 - CLOSE)
        can = [j for j, T in enumerate(durations) if own.least <= T]
        first = can[0] if can else len(durations)
        last_before = [j for j in can if durations[j] <= value]
        seen = [j for j in (first - 1, first) if j in can]
        tangents = [own.energy(T) - own.price(T) * (value - T) for T in durations[seen]]
        assert bounds[between.E_LOW] >= max([own.floor, *tangents]) * (1.0 - CLOSE)
        if seen and seen[-1] in last_before:
            assert bounds[between.E_HIGH] == pytest.approx(own.energy(durations[seen[-1]]), rel=CLOSE)


@pytest.mark.parametrize("durations", GRIDS)
def test_at_a_price_of_time_the_duration_lies_between_two_that_were_looked_at(durations: FloatArray) -> None:
    for value, own, bounds in bounded(durations, Goal.PRICE):
        if own.least == math.inf:
            continue
        met = [T for T in durations if own.least <= T and own.price(T) <= value]
        before = [T for T in durations if T not in met]
        assert bounds[between.T_HIGH] == (met[0] if met else math.inf)
        assert bounds[between.T_LOW] == max([own.least, *before])


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_a_first_duration_that_rounding_has_below_the_least_bounds_nothing_below_it(goal: Goal) -> None:
    """Whoever is met there at once takes the least duration, which both bounds then are."""
    menu = made(0)
    for p, own in enumerate(sums(menu, counts) for counts in COUNTS):
        least, out = np.array([own.least, 2.0 * own.least]), np.empty((len(COUNTS), between.BOUNDS))
        given = (*prefixes(menu, least), COUNTS, menu.types, int(goal), 1e9, np.zeros(0), out)
        between.bound_partitions(least * ROUNDING, *given)
        assert out[p, between.T_LOW] == own.least == out[p, between.T_HIGH]


def test_what_is_met_too_late_is_looked_at_no_closer() -> None:
    """``needed``: the tangents there say that the energy is above the budget, or nobody is that fast."""
    durations = GRIDS[0]
    for menu, goal in itertools.product(map(made, range(3)), (Goal.ENERGY, Goal.POWER)):
        for value in values(menu, goal):
            plain = bounds_of(menu, durations, goal, value)
            for needed in (2.0, 3.3, 5.0, 40.0, 60.0):
                found = bounds_of(menu, durations, goal, value, np.full(len(COUNTS), needed))
                for counts, bounds, before in zip(COUNTS, found, plain, strict=True):
                    own = sums(menu, counts)
                    if before[between.T_LOW] == math.inf:
                        continue
                    allowed = value * needed if goal is Goal.POWER else value
                    after = int(np.searchsorted(durations, needed))
                    beside = [durations[j] for j in (after - 1, after) if 0 <= j < len(durations)]
                    tangents = [own.energy(T) - own.price(T) * (needed - T) for T in beside if own.least <= T]
                    if own.least > needed or max([0.0, *tangents]) > allowed * (1.0 + CLOSE):
                        assert bounds[between.T_LOW] == pytest.approx(max(own.least, needed), rel=1e-11)
                        assert bounds[between.T_HIGH] == math.inf
                        assert bounds[between.E_FIRST] == bounds[between.E_LOW] == bounds[between.E_LEAST]
                    elif max([0.0, *tangents]) < allowed * (1.0 - CLOSE):
                        assert np.array_equal(bounds, before)


ROUGH = 0.05  # of sums: so uncertain that it shows


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_what_is_uncertain_counts_for_a_partition_or_against_it_as_asked(goal: Goal) -> None:
    """One type, three durations, energies and prices good to a twentieth: what is sure holds anywhere within."""
    durations, E, P = np.array([1.0, 2.0, 4.0]), np.array([10.0, 6.0, 4.0]), np.array([6.0, 2.0, 0.5])
    energy, price = (np.stack([np.zeros(3), values], axis=-1)[:, None, :] for values in (E, P))
    sums = (energy, price, np.zeros((3, 1, 2), dtype=np.int32), np.array([0]), np.array([0, 1]))
    spent = {Goal.ENERGY: E, Goal.POWER: E / durations, Goal.PRICE: P}[goal]
    for j, factor in itertools.product(range(3), (0.94, 0.96, 1.0, 1.04, 1.06)):
        value = factor * float(spent[j])
        for kindly, side in ((1.0, 1.0 - ROUGH), (-1.0, 1.0 + ROUGH)):
            met = [i for i in range(3) if side * spent[i] <= value]
            assert plain(between._first)(durations, *sums, int(goal), value, ROUGH, kindly) == (met[0] if met else 3)
        if goal is Goal.PRICE:
            continue
        watts = value if goal is Goal.POWER else 0.0
        for first in range(4):
            low = 0.0
            for i in (first - 1, first):
                if 0 <= i < 3:
                    over = (1.0 - ROUGH) * E[i] - (value * durations[i] if watts else value)
                    low = max(low, durations[i] + over / (P[i] * (1.0 + ROUGH * (1.0 if over > 0.0 else -1.0)) + watts))
            found = plain(between._tangent)(durations, *sums, int(goal), value, ROUGH, first)
            assert found == pytest.approx(low, rel=CLOSE, abs=CLOSE)
        for a, b in ((0, 1), (1, 2)):
            over, under = ((1.0 + ROUGH) * E[i] - (value * durations[i] if watts else value) for i in (a, b))
            part = over / (over - under) if over > 0.0 > under else math.inf
            found = plain(between._chord)(durations, energy, *sums[2:], int(goal), value, ROUGH, b)
            assert found == pytest.approx(durations[a] + (durations[b] - durations[a]) * part, rel=CLOSE)
    for away in (-3.0, 0.0, 2.0):
        falls = [slope * away for slope in (1.5, 2.5)]
        assert plain(between._fall)(2.0, 0.5, away) == max(falls)
    assert plain(between._fall)(0.2, 0.5, -3.0) == 0.0


WRONG = {
    "less": lambda sums: sums * (1.0 - 0.9e-9),
    "more": lambda sums: sums * (1.0 + 0.9e-9),
    "after great ones": lambda sums: sums + 2.0**44,
}


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("wrong", WRONG)
def test_sums_need_be_good_to_a_billionth_but_for_what_differences_of_great_ones_lose(goal: Goal, wrong: str) -> None:
    """Bounds hold of the round that is known to meet the goal, whatever the sums are wrong by within that."""
    finite = 0
    for durations, menu in itertools.product(GRIDS, map(made, range(3))):
        energy, price, misses, least, floor = prefixes(menu, durations)
        some = map(WRONG[wrong], (energy, price))
        given: Any = (*some, misses, least, WRONG[wrong](floor), COUNTS, menu.types, int(goal))
        for p, own in enumerate(sums(menu, counts) for counts in COUNTS):
            for T in np.unique(np.concatenate([durations, np.linspace(durations[0], durations[-1], 14)])):
                if own.least > T:
                    continue
                E, out = own.energy(T), np.empty((len(COUNTS), between.BOUNDS))
                value = {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: own.price(T)}[goal]
                between.bound_partitions(durations, *given, value, np.zeros(0), out)
                t_least, t_low, t_high, e_low, e_high, e_first, e_least = out[p]
                assert t_least <= t_low <= T <= t_high
                assert e_least <= own.floor
                assert e_low <= E <= e_high
                assert e_first <= own.energy(t_low)
                finite += t_high < math.inf
    assert finite > 150
