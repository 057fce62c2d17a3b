"""Bounds of partitions from sums at a few durations, against made-up clients: as tight as tangents and chords are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from solvers.matching import between
from solvers.rows import FloatArray, Goal

KINDS, ROWS = 3, 7
COUNTS = np.array([(7, 0, 0), (3, 3, 1), (0, 5, 2), (1, 0, 6), (2, 4, 1), (0, 0, 7)])
CLOSE = 1e-6  # relative: the bounds allow for less than that of rounding


@dataclass(frozen=True)
class Rows:
    """Clients in order under every type: energy floor + w/T^2 [J] from a least duration [s] on, (KINDS, ROWS) each."""

    floor: FloatArray
    w: FloatArray
    least: FloatArray

    def mine(self, counts: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Floors and w of a partition's rows, and its least duration."""
        kinds, rows = np.repeat(np.arange(KINDS), counts), np.arange(ROWS)
        return self.floor[kinds, rows], self.w[kinds, rows], float(self.least[kinds, rows].max())

    def prefixes(self, durations: FloatArray) -> tuple[FloatArray, ...]:
        """As of prefix.py: energy, price, misses, greatest least durations, floors."""
        T = durations[:, None, None]
        cannot = self.least > T

        def sums(values: FloatArray) -> FloatArray:
            whole = np.zeros((*values.shape[:-1], ROWS + 1))
            np.cumsum(values, axis=-1, out=whole[..., 1:])
            return whole

        levels = [self.least]
        for level in range(1, 3):
            wide = levels[0].copy()
            for i in range(ROWS):
                wide[:, i] = self.least[:, i : i + 2**level].max(axis=1)
            levels.append(wide)
        energy = sums(np.where(cannot, 0.0, self.floor + self.w / T**2))
        price = sums(np.where(cannot, 0.0, 2.0 * self.w / T**3))
        return energy, price, sums(cannot.astype(float)).astype(np.int32), np.stack(levels), sums(self.floor)

    def bounds(self, durations: FloatArray, goal: Goal, value: float, needed: FloatArray | None = None) -> FloatArray:
        """(len(COUNTS), BOUNDS)."""
        out = np.full((len(COUNTS), between.BOUNDS), np.nan)
        none = np.zeros(0) if needed is None else needed
        between.bound_partitions(
            durations, *self.prefixes(durations), COUNTS, np.arange(KINDS), int(goal), value, none, out
        )
        return out


def drawn(seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    least = rng.uniform(1.0, 3.0, (KINDS, ROWS))
    if seed % 3 == 1:
        least[1, :2] = np.inf  # who can never do type 1
    return Rows(floor=rng.uniform(0.0, 1.0, least.shape), w=rng.uniform(0.5, 20.0, least.shape), least=least)


def values(rows: Rows, goal: Goal) -> list[float]:
    """Of a goal, from what no round meets to what the shortest does."""
    floor, w, least = rows.mine(COUNTS[4])
    energy = [float((floor + w / T**2).sum()) for T in (least, 1.3 * least, 4.0 * least, 1e3 * least)]
    match goal:
        case Goal.ENERGY:
            return [0.9 * float(floor.sum()), *(1.001 * e for e in energy)]
        case Goal.POWER:
            return [1.001 * e / T for e, T in zip(energy, (least, 1.3 * least, 4.0 * least, 1e3 * least), strict=True)]
        case Goal.DEADLINE:
            return [0.5, 1.1 * least, 3.0 * least]
    return [2.0 * float(w.sum()) / T**3 for T in (0.9 * least, 1.3 * least, 4.0 * least)]


def tangents_and_chord(
    rows: Rows, counts: FloatArray, durations: FloatArray, goal: Goal, value: float
) -> tuple[float, float]:
    """Where the tangents at the durations on both sides meet the budget at the latest, and their chord, or the first
    duration at which it is met: bounds of the duration, by the formulas themselves."""
    floor, w, least = rows.mine(counts)
    watts = value if goal is Goal.POWER else 0.0

    def over(T: float) -> float:
        return (
            float((floor + w / T**2).sum()) - (value * T if goal is Goal.POWER else value) if least <= T else math.inf
        )

    met = [j for j, T in enumerate(durations) if over(T) <= 0.0]
    first = met[0] if met else len(durations)
    low, high = least, durations[first] if met else math.inf
    for j in (first - 1, first):
        if 0 <= j < len(durations) and durations[j] >= least:
            T = float(durations[j])
            low = max(low, T + over(T) / (float((2.0 * w / T**3).sum()) + watts))
    if 0 < first < len(durations):
        low = max(low, durations[first - 1])
        a, b = float(durations[first - 1]), float(durations[first])
        if over(a) < math.inf:
            high = min(high, a + (b - a) * over(a) / (over(a) - over(b)))
    elif not met:
        low = max(low, durations[-1])
    return low, high


GRIDS = (np.geomspace(1.0, 64.0, 6), np.array([2.0, 2.5, 3.5]), np.array([3.2, 3.3]))


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("grid", range(len(GRIDS)))
def test_durations_lie_between_tangents_and_chords(goal: Goal, grid: int) -> None:
    open_ended = closed = 0
    for seed in range(3):
        rows, durations = drawn(seed), GRIDS[grid]
        for value in values(rows, goal):
            found = rows.bounds(durations, goal, value)
            for counts, bounds in zip(COUNTS, found, strict=True):
                floor, w, least = rows.mine(counts)
                assert bounds[between.T_LEAST] == least
                assert bounds[between.E_LEAST] == pytest.approx(floor.sum(), rel=CLOSE)
                if least == math.inf or (goal is Goal.ENERGY and value < floor.sum()):
                    assert bounds[between.T_LOW] == math.inf == bounds[between.T_HIGH]
                    continue
                low, high = tangents_and_chord(rows, counts, durations, goal, value)
                assert bounds[between.T_LOW] == pytest.approx(min(low, high), rel=CLOSE)
                assert bounds[between.T_HIGH] == pytest.approx(high, rel=CLOSE)
                open_ended, closed = open_ended + (high == math.inf), closed + (high < math.inf)
                T = bounds[between.T_LOW]
                for column, at in ((between.E_FIRST, T), (between.E_LOW, high)):
                    if at < math.inf:
                        true = float((floor + w / at**2).sum())
                        assert floor.sum() * (1.0 - CLOSE) <= bounds[column] <= true * (1.0 + CLOSE)
                if high < math.inf:
                    limit = value * high if goal is Goal.POWER else value
                    assert bounds[between.E_HIGH] <= limit * (1.0 + CLOSE)
    assert open_ended > 3
    assert closed > 10


@pytest.mark.parametrize("grid", range(len(GRIDS)))
def test_energies_at_a_deadline_lie_above_their_tangents_and_below_an_earlier_one(grid: int) -> None:
    for seed in range(3):
        rows, durations = drawn(seed), GRIDS[grid]
        for value in values(rows, Goal.DEADLINE):
            found = rows.bounds(durations, Goal.DEADLINE, value)
            for counts, bounds in zip(COUNTS, found, strict=True):
                floor, w, least = rows.mine(counts)
                if least > value:
                    assert bounds[between.T_LOW] == math.inf
                    continue
                assert bounds[between.T_LOW] == value
                true = float((floor + w / value**2).sum())
                assert bounds[between.E_LOW] <= true * (1.0 + CLOSE)
                assert bounds[between.E_HIGH] >= true * (1.0 - CLOSE)
                at = [float((floor + w / T**2).sum()) for T in durations]
                slopes = [float((2.0 * w / T**3).sum()) for T in durations]
                can = [j for j, T in enumerate(durations) if least <= T]
                first = can[0] if can else len(durations)
                last_before = [j for j in can if durations[j] <= value]
                seen = [j for j in (first - 1, first) if j in can]
                tangents = [at[j] - slopes[j] * (value - durations[j]) for j in seen]
                assert bounds[between.E_LOW] >= max([floor.sum(), *tangents]) * (1.0 - CLOSE)
                if seen and seen[-1] in last_before:
                    assert bounds[between.E_HIGH] == pytest.approx(at[seen[-1]], rel=CLOSE)


@pytest.mark.parametrize("grid", range(len(GRIDS)))
def test_at_a_price_of_time_the_duration_lies_between_two_that_were_looked_at(grid: int) -> None:
    for seed in range(3):
        rows, durations = drawn(seed), GRIDS[grid]
        for value in values(rows, Goal.PRICE):
            found = rows.bounds(durations, Goal.PRICE, value)
            for counts, bounds in zip(COUNTS, found, strict=True):
                _, w, least = rows.mine(counts)
                if least == math.inf:
                    continue
                met = [T for T in durations if least <= T and float((2.0 * w / T**3).sum()) <= value]
                before = [T for T in durations if T not in met]
                assert bounds[between.T_HIGH] == (met[0] if met else math.inf)
                assert bounds[between.T_LOW] == max([least, *before])


def test_what_is_met_too_late_is_looked_at_no_closer() -> None:
    """``needed``: the tangents there say that the energy is above the budget, or nobody is that fast."""
    rows, durations = drawn(0), GRIDS[0]
    for goal in (Goal.ENERGY, Goal.POWER):
        for value in values(rows, goal):
            plain = rows.bounds(durations, goal, value)
            for needed in (2.0, 3.3, 5.0, 40.0):
                found = rows.bounds(durations, goal, value, np.full(len(COUNTS), needed))
                for counts, bounds, before in zip(COUNTS, found, plain, strict=True):
                    floor, w, least = rows.mine(counts)
                    if before[between.T_LOW] == math.inf:
                        continue
                    allowed = value * needed if goal is Goal.POWER else value
                    after = int(np.searchsorted(durations, needed))
                    beside = [durations[j] for j in (after - 1, after) if 0 <= j < len(durations)]
                    tangents = [
                        float((floor + w / T**2).sum() - (2.0 * w / T**3).sum() * (needed - T))
                        for T in beside
                        if least <= T
                    ]
                    if least > needed or max([0.0, *tangents]) > allowed * (1.0 + CLOSE):
                        assert bounds[between.T_LOW] == pytest.approx(max(least, needed), rel=1e-11)
                        assert bounds[between.T_HIGH] == math.inf
                        assert bounds[between.E_FIRST] == bounds[between.E_LOW] == bounds[between.E_LEAST]
                    elif max([0.0, *tangents]) < allowed * (1.0 - CLOSE):
                        assert np.array_equal(bounds, before)
