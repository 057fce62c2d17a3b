"""The steps of level 2 by themselves, on curves in closed form: bounds proved at every pass, and few passes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from solvers.duration.steps import (
    LOWER,
    PASSES,
    STATE,
    STOP,
    T_NOW,
    UPPER,
    State,
    advance,
    begin,
)
from solvers.rows import Goal, Stop

ROUND = 1e-14  # relative: the rounding of a sum, as a duration, where the curve falls like a power


@dataclass(frozen=True, slots=True)
class Curve:
    """A sum of rows that take k / T^n joules until T reaches their floor, and no less from there on."""

    rows: tuple[tuple[float, float, float], ...]  # k, n, floor [s]
    t_min: float = 1.0

    def __call__(self, T: float) -> tuple[float, float, float]:
        """E [J], -E' [W] and E'' [W/s], to the right of T."""
        e = price = curve = 0.0
        for k, n, floor in self.rows:
            at = min(T, floor)
            e += k * at**-n
            if floor > T:
                price += n * k * T ** (-n - 1)
                curve += n * (n + 1) * k * T ** (-n - 2)
        return e, price, curve

    @property
    def t_flat(self) -> float:
        return max(floor for _, _, floor in self.rows)

    @property
    def e_inf(self) -> float:
        return sum(k * floor**-n for k, n, floor in self.rows)

    def missed(self, goal: Goal, value: float, T: float) -> float:
        """By how much the goal is missed at T; never rises with T."""
        e, price, _ = self(T)
        return price - value if goal is Goal.PRICE else e - (value * T if goal is Goal.POWER else value)

    def root(self, goal: Goal, value: float) -> float:
        """The first duration that meets the goal, by halving."""
        low, high = self.t_min, 1e12
        if self.missed(goal, value, low) <= 0.0:
            return low
        while low < (middle := math.sqrt(low) * math.sqrt(high)) < high:
            low, high = (middle, high) if self.missed(goal, value, middle) > 0.0 else (low, middle)
        return high


CURVES = {
    "one power": Curve(((3.0, 2.0, math.inf),)),
    "two powers": Curve(((3.0, 2.0, math.inf), (0.5, 1.0, math.inf))),
    "with a floor": Curve(((3.0, 2.0, 1e4), (7.0, 1.0, 1e4))),
    "floors on the way": Curve(((100.0, 2.0, 3.0), (3.0, 2.0, 40.0), (1.0, 1.0, 1e3))),
    "steep": Curve(((5.0, 12.0, math.inf), (1e-3, 1.0, math.inf))),
    "many floors": Curve(tuple((1.0 + j % 3, 2.0, 1.5 * 1.7**j) for j in range(12))),
    "a first one that is met at once": Curve(((1e3, 3.0, 1.01), (1.0, 2.0, 500.0))),
}


TAKES = {  # passes for nine roots of an energy budget, a power budget and a price, counted when this was written
    "one power": {Goal.ENERGY: 32, Goal.POWER: 32, Goal.PRICE: 24},
    "two powers": {Goal.ENERGY: 43, Goal.POWER: 43, Goal.PRICE: 48},
    "with a floor": {Goal.ENERGY: 42, Goal.POWER: 37, Goal.PRICE: 44},
    "floors on the way": {Goal.ENERGY: 45, Goal.POWER: 41, Goal.PRICE: 38},
    "steep": {Goal.ENERGY: 44, Goal.POWER: 41, Goal.PRICE: 39},
    "many floors": {Goal.ENERGY: 41, Goal.POWER: 38, Goal.PRICE: 30},
    "a first one that is met at once": {Goal.ENERGY: 38, Goal.POWER: 33, Goal.PRICE: 24},
}


def passes(curve: Curve, goal: Goal, value: float) -> Iterator[tuple[State, float]]:
    """The state after every pass, and the duration that was looked at."""
    state = [0.0] * STATE
    begin(state, float(goal), value, curve.t_min, curve.t_flat, curve.e_inf)
    while state[STOP] == 0.0:
        T = state[T_NOW]
        advance(state, *curve(T))
        yield state, T


def check(curve: Curve, goal: Goal, value: float) -> float:
    """Every pass keeps the root between bounds no worse than tangents and chord; how many passes it took."""
    root, short, enough = curve.root(goal, value), -math.inf, math.inf
    e, price, _ = curve(root)
    slope = price + (value if goal is Goal.POWER else 0.0)
    hair = ROUND * (1.0 if goal is Goal.PRICE else max(1.0, e / (root * slope)))  # a rounding of E moves T by so much
    for state, T in passes(curve, goal, value):
        assert curve.t_min <= T <= (math.inf if goal is Goal.POWER else curve.t_flat * (1.0 + 1e-15))
        missed = curve.missed(goal, value, T)
        short, enough = (max(short, T), enough) if missed > 0.0 else (short, min(enough, T))
        if state[STOP] != 0.0:
            break
        assert state[LOWER] <= root * (1.0 + hair)
        assert state[UPPER] >= root * (1.0 - hair)
        assert state[LOWER] >= short
        assert state[UPPER] <= enough
        if goal is not Goal.PRICE:
            slope = curve(T)[1] + (value if goal is Goal.POWER else 0.0)
            assert slope == 0.0 or state[LOWER] >= (T + missed / slope) * (1.0 - ROUND)
            if short > 0.0 and enough < math.inf:
                above, below = (curve.missed(goal, value, at) for at in (short, enough))
                chord = short + (enough - short) * above / (above - below)
                assert state[UPPER] <= max(chord, state[LOWER]) * (1.0 + ROUND)
    assert state[STOP] == (Stop.SLACK if root == curve.t_min and goal is not Goal.PRICE else Stop.OPTIMAL)
    assert state[T_NOW] == pytest.approx(root, rel=1e-13 + hair)
    return state[PASSES]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_every_pass_proves_bounds_and_few_are_needed(goal: Goal, name: str) -> None:
    """Roots all over the curve: a millionth behind T_min, between the floors, and so far that E is all but flat."""
    curve, counts = CURVES[name], []
    last = min(curve.t_flat, 1e5)
    for share in (1e-6, 1e-3, 0.05, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99):
        T = curve.t_min * (last / curve.t_min) ** share
        e, price, _ = curve(T)
        counts.append(check(curve, goal, {Goal.ENERGY: e, Goal.POWER: e / T, Goal.PRICE: price}[goal]))
    assert sum(counts) <= TAKES[name][goal] + 1


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_out_of_passes_the_best_so_far_is_in_hand(goal: Goal) -> None:
    """The two hundredth pass is the last; the answer then is the shortest round seen that is long enough, if any."""
    curve, value = CURVES["one power"], 1e-9
    for start, kept in ((1e6, 1e6), (1.5, None)):
        state = [0.0] * STATE
        begin(state, float(goal), value, curve.t_min, curve.t_flat, curve.e_inf)
        state[PASSES], state[T_NOW] = 198.0, start
        advance(state, *curve(start))
        assert state[STOP] == 0.0
        state[T_NOW] = 2.0
        advance(state, *curve(2.0))
        assert state[STOP] == Stop.LIMIT
        assert state[T_NOW] == kept or (kept is None and state[T_NOW] > 2.0)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_price_in_a_jump_is_met_where_it_jumps(share: float) -> None:
    """Where a row reaches its floor the price falls by what that row paid, and any price between belongs there."""
    counts = []
    for curve in CURVES.values():
        for floor in sorted({floor for _, _, floor in curve.rows if floor < math.inf}):
            before, after = curve(floor * (1.0 - 1e-15))[1], curve(floor)[1]
            value = share * before + (1.0 - share) * after
            assert curve.root(Goal.PRICE, value) == pytest.approx(floor, rel=1e-15)
            counts.append(check(curve, Goal.PRICE, value))
    assert sum(counts) <= 261
    assert max(counts) <= 34


@pytest.mark.parametrize(("more", "takes"), [(1e-3, 23), (1e-6, 25), (1e-9, 33), (1e-12, 33)])
def test_a_budget_just_above_the_least_energy(more: float, takes: int) -> None:
    counts = [check(curve, Goal.ENERGY, curve.e_inf * (1.0 + more)) for curve in CURVES.values() if curve.e_inf > 0.0]
    assert len(counts) == 4
    assert sum(counts) <= takes + 1


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_a_goal_that_is_met_at_once_takes_two_passes(goal: Goal) -> None:
    for curve in CURVES.values():
        e, price, _ = curve(curve.t_min)
        value = {Goal.ENERGY: e, Goal.POWER: e / curve.t_min, Goal.PRICE: price}[goal]
        assert check(curve, goal, 1.5 * value) <= 3.0
