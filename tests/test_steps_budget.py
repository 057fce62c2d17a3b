"""One step of level 2 within a budget: what is proved, where the next look is, and when it is enough."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from functools import partial

import pytest

from solvers.duration.steps import (
    A_G,
    A_PRICE,
    A_T,
    B_G,
    B_T,
    DEEP,
    LAST,
    LOWER,
    PASSES,
    STATE,
    STOP,
    STUCK,
    T_NOW,
    UPPER,
    State,
    advance,
    begin,
    halley_guess,
)
from solvers.rows import Goal, Stop


def test_halleys_step_is_exact_for_a_power_and_no_longer_than_e_cubed() -> None:
    """E = 2 + 5/T^2 from T = 1: to the limit 2 + 5/r^2 in one step, r within e^-3 to e^3."""
    for ratio in (1e-5, 0.06, 0.5, 1.0, 2.0, 19.0, 1e5):
        guess = halley_guess(1.0, 7.0, 10.0, 30.0, 2.0, 2.0 + 5.0 / ratio**2, 0.0)
        assert guess == pytest.approx(min(max(ratio, math.exp(-3.0)), math.exp(3.0)), rel=1e-12)
        watts = 5.0 / ratio**3  # of a power budget: 5/T^2 = watts T, from T = 1, on ln E - ln T
        guess = halley_guess(1.0, 5.0, 10.0, 30.0, 0.0, watts, 1.0)
        assert guess == pytest.approx(min(max(ratio, math.exp(-3.0)), math.exp(3.0)), rel=1e-12)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.PRICE])
def test_endless_energy_says_only_that_it_is_too_short(goal: Goal) -> None:
    """No power reaches T_min: twice as long, or half-way to what is enough. A budget's least round is a little later,
    so that T_min is not looked at again."""
    close = partial(pytest.approx, rel=1e-15)
    state = [0.0] * STATE
    begin(state, float(goal), 1.0, 1.0, math.inf, 0.0)
    advance(state, math.inf, math.inf, 0.0)
    assert (state[LOWER], state[UPPER], state[T_NOW], state[LAST]) == (close(2.0), math.inf, 4.0, 0.0)
    advance(state, math.inf, math.inf, 0.0)
    assert (state[LOWER], state[UPPER], state[T_NOW], state[STOP]) == (close(4.0), math.inf, 8.0, 0.0)
    advance(state, 0.5, 1e-9, 1e-12)
    assert (state[LOWER], state[UPPER]) == (close(4.0), 8.0)
    state[T_NOW] = 5.0
    advance(state, math.inf, math.inf, 0.0)
    assert goal is Goal.PRICE or state[LOWER] > 5.0
    assert (state[LOWER], state[T_NOW]) == (
        close(5.0),
        pytest.approx(math.sqrt(40.0) if goal is Goal.PRICE else 6.5, rel=1e-15),
    )


def test_where_halleys_step_has_no_sense_it_is_newtons() -> None:
    """E = 2, 1 W and a slope of 10 W/s at T = 1: ln 2 above a budget of 1 J, falling at 1/2, so at T = e^(2 ln 2)."""
    assert halley_guess(1.0, 2.0, 1.0, 10.0, 0.0, 1.0, 0.0) == pytest.approx(4.0, rel=1e-15)


BEGINS = {  # goal, value, T_min, T_flat, E_inf: the first look, and whether the limits alone say that it is the answer
    "twice the least duration": (Goal.ENERGY, 5.0, 2.0, math.inf, 1.0, 4.0, 0),
    "no later than where E is flat": (Goal.ENERGY, 5.0, 2.0, 3.0, 1.0, 3.0, 0),
    "a budget without limit": (Goal.ENERGY, math.inf, 2.0, 9.0, 1.0, 2.0, 0),
    "without limit, uploads alone": (Goal.POWER, math.inf, 0.0, 9.0, 1.0, 1.0, 0),
    "without limit, all idle": (Goal.POWER, math.inf, 0.0, 0.0, 0.0, 0.0, 0),
    "the least energy": (Goal.ENERGY, 1.0, 2.0, 9.0, 1.0, 9.0, Stop.OPTIMAL),
    "as many watts": (Goal.POWER, 1.0, 2.0, 9.0, 1.0, 4.0, 0),
    "a deadline": (Goal.DEADLINE, 7.0, 2.0, 9.0, 1.0, 7.0, Stop.OPTIMAL),
    "all idle": (Goal.PRICE, 3.0, 0.0, 0.0, 0.0, 0.0, Stop.OPTIMAL),
    "uploads alone": (Goal.ENERGY, 5.0, 0.0, math.inf, 1.0, 1.0, 0),
    "uploads alone, soon flat": (Goal.ENERGY, 5.0, 0.0, 0.25, 1.0, 0.25, 0),
}


@pytest.mark.parametrize("case", BEGINS)
def test_the_first_look(case: str) -> None:
    *given, first, stop = BEGINS[case]
    state = [0.0] * STATE
    begin(state, *map(float, given))
    assert (state[T_NOW], state[STOP]) == (first, stop)
    assert (state[LOWER], state[A_T]) == (given[2], -math.inf)


def budgeted(value: float, goal: Goal = Goal.ENERGY, t_flat: float = math.inf, e_inf: float = 0.0) -> State:
    """A fresh search within a budget, T_min 1 s."""
    state = [0.0] * STATE
    begin(state, float(goal), value, 1.0, t_flat, e_inf)
    return state


def look(state: State, T: float, e: float, price: float, curve: float = 0.0) -> None:
    """Another pass, at T."""
    state[T_NOW] = T
    advance(state, e, price, curve)


def power(T: float, root: float, n: float = 2.0) -> tuple[float, float, float]:
    """(root / T)^n joules, its price and slope: 1 J at ``root``, where Halley's step of a power leads."""
    e = (root / T) ** n
    return e, n * e / T, n * (n + 1.0) * e / (T * T)


@pytest.mark.parametrize(("e", "deep"), [(2.1, True), (4.3, True), (5.0, False), (9.0, False)])
def test_after_a_step_far_too_far_the_least_energy_is_no_floor_before_the_budget(e: float, deep: bool) -> None:
    """Beyond the floors of some rows E is all but E_inf; before them it falls towards more than that."""
    state = budgeted(10.0, e_inf=2.0)
    look(state, 4.0, e, 0.01, 0.01)
    assert state[DEEP] == deep
    look(state, 2.0, 12.0, 8.0, 12.0)
    assert state[DEEP] == deep
    floor, other = (0.0, 2.0) if deep else (2.0, 0.0)
    assert state[T_NOW] == pytest.approx(halley_guess(2.0, 12.0, 8.0, 12.0, floor, 10.0, 0.0), rel=1e-13)
    assert state[T_NOW] != pytest.approx(halley_guess(2.0, 12.0, 8.0, 12.0, other, 10.0, 0.0), rel=1e-5)


def test_the_nearest_ends_seen_are_kept() -> None:
    state = budgeted(10.0)
    look(state, 3.0, 12.0, 1.0)
    look(state, 2.0, 15.0, 2.0)
    assert (state[A_T], state[A_G], state[A_PRICE], state[LOWER]) == (3.0, 2.0, 1.0, 5.0)
    look(state, 9.0, 8.0, 0.1)
    assert (state[B_T], state[B_G], state[UPPER]) == (9.0, -2.0, pytest.approx(6.0, rel=2e-15))  # the chord
    look(state, 9.5, 7.9, 0.1)
    assert (state[A_T], state[B_T], state[B_G]) == (3.0, 9.0, -2.0)


def test_a_flat_energy_says_only_on_which_side_it_is() -> None:
    """No tangent: what is above the budget is followed by the next double, what is below by the least duration."""
    state = budgeted(10.0)
    look(state, 3.0, 12.0, 0.0)
    assert (state[LOWER], state[UPPER], state[STOP]) == (3.0, math.inf, 0.0)
    assert 3.0 < state[T_NOW] <= 3.0 * (1.0 + 1e-15)
    state = budgeted(10.0)
    look(state, 9.0, 8.0, 0.0)
    assert (state[LOWER], state[UPPER], state[T_NOW]) == (1.0, 9.0, 1.0)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_the_rounding_of_the_energy_is_no_excess_where_all_are_slack(goal: Goal) -> None:
    """An ulp after T_flat E is E_inf: an energy budget above it is met there; a power budget may come later."""
    for T, met in ((5.0, False), (5.0 * (1.0 + 4e-16), goal is Goal.ENERGY)):
        state = budgeted(1.0 if goal is Goal.ENERGY else 0.2, goal, t_flat=5.0, e_inf=1.0 - 1e-15)
        look(state, T, 1.0 + 5e-15, 0.0)
        assert (state[B_T] == T) is met
        assert (state[A_T] == T) is not met


@pytest.mark.parametrize(("close", "before", "factor"), [(5e-13, 0, 1), (5e-13, 3, 2), (5e-13, 5, 8), (2e-12, 5, 4)])
def test_the_aim_is_inside_the_budget_by_more_where_rounding_is_all_that_is_seen(
    close: float, before: int, factor: int
) -> None:
    """2e-15 of the budget, at 1 nW 2 us later; doubled with every pass within 1e-12 above it after the third."""
    state = budgeted(1.0)
    state[STUCK] = before
    found = 1.0 + close, 1e-9, 3e-9
    look(state, 2.0, *found)
    guess = halley_guess(2.0, *found, 0.0, 1.0, 0.0)
    assert state[T_NOW] - guess == pytest.approx(factor * 2e-6, rel=1e-8)
    assert state[STUCK] == before + (close < 1e-12)


@pytest.mark.parametrize(
    ("below", "ahead", "closed"),
    [(1e-15, 1e-10, True), (1e-15, 1e-8, False), (1e-13, 1e-10, False), (1e-13, 5e-16, True), (5e-15, 1e-10, True)],
)
def test_a_bracket_is_closed_sooner_where_its_end_uses_the_budget_up(below: float, ahead: float, closed: bool) -> None:
    """8 s, ``below`` joules less than 1, and a tangent that ends ``ahead`` of it, relative."""
    state = budgeted(1.0)
    look(state, 8.0, 1.0 - below, below / (8.0 * ahead))
    assert (state[STOP] == Stop.OPTIMAL) is closed
    if closed:
        assert state[T_NOW] == 8.0
    elif below == 1e-15:
        assert state[T_NOW] == state[LOWER] == pytest.approx(8.0 * (1.0 - ahead), rel=1e-9)


@pytest.mark.parametrize(("least", "stop"), [(0.9, Stop.SLACK), (1.1, Stop.OPTIMAL), (math.inf, Stop.OPTIMAL)])
def test_an_end_next_to_the_least_duration_leaves_that_to_be_looked_at(least: float, stop: Stop) -> None:
    """Four ulps after it half of the budget is left: at T_min it may do, too, unless that is known."""
    state, end = budgeted(1.0), 1.0 + 2.0**-50
    if least == math.inf:
        look(state, 1.0, least, math.inf)
    look(state, end, 0.5, 0.0)
    if least < math.inf:
        assert (state[T_NOW], state[LAST], state[STOP]) == (1.0, 1.0, 0.0)
        look(state, 1.0, least, 0.0)
    assert (state[STOP], state[T_NOW]) == (stop, 1.0 if stop is Stop.SLACK else end)


@pytest.mark.parametrize(("T", "closed"), [(7.9, True), (4.0, False)])
def test_between_an_end_that_uses_the_budget_up_and_a_little_more_all_is_rounding(T: float, closed: bool) -> None:
    """Nearer than 2 % that is the answer; from further off the least such duration is looked for."""
    state = budgeted(1.0)
    look(state, 8.0, 1.0 - 1e-15, 0.0)
    look(state, T, 1.0 + 1e-15, 0.0)
    assert state[STOP] == (Stop.OPTIMAL if closed else 0)
    assert state[T_NOW] == (8.0 if closed else pytest.approx(math.sqrt(32.0), rel=1e-15))


def test_towards_an_end_that_uses_the_budget_up_the_energy_is_a_power_of_what_is_left() -> None:
    """1 + (8 - T)^3 / 1000 joules: the next look is where that is two margins above 1, of 2e-15 each."""
    state = budgeted(1.0)
    look(state, 8.0, 1.0, 0.0)
    look(state, 4.0, 1.064, 0.048)
    assert 8.0 - state[T_NOW] == pytest.approx((1000.0 * 4e-15) ** (1.0 / 3.0), rel=1e-10)


@pytest.mark.parametrize(("passes", "by_tangent"), [(9, False), (10, False), (11, False), (12, True), (13, False)])
def test_after_ten_passes_every_other_step_is_the_tangents(passes: int, by_tangent: bool) -> None:
    state = budgeted(1.0)
    state[PASSES] = passes - 1
    look(state, 2.0, *power(2.0, 3.0))
    assert state[LOWER] == 2.0 + 1.25 / 2.25
    assert state[T_NOW] == pytest.approx(state[LOWER] if by_tangent else 3.0, rel=1e-13)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_step_that_leaves_no_error_is_the_last(side: float) -> None:
    for size, last in ((2e-6, 1.0), (4e-6, 0.0)):
        state, T = budgeted(1.0), 3.0 * (1.0 + side * size)
        look(state, T, *power(T, 3.0))
        assert state[LAST] == last


@pytest.mark.parametrize("root", [2.9, 2.6])
@pytest.mark.parametrize("enough", [None, 8.0])
def test_a_step_out_of_bounds_is_cut_short_and_one_far_out_of_them_halves_them(
    root: float, enough: float | None
) -> None:
    """From 2 s the tangent leads to 3 s; from 1.5 s a step leads to 2.9 s or 2.6 s. Without an end there is no half."""
    state = budgeted(1.0)
    look(state, 2.0, 1.5, 0.5)
    if enough is not None:
        look(state, enough, 0.9, 0.0)
    look(state, 1.5, *power(1.5, root))
    assert state[LOWER] == 3.0
    halved = 0.5 * (3.0 + state[UPPER])
    assert state[T_NOW] == pytest.approx(3.0 if enough is None or root == 2.9 else halved, rel=1e-12)


def test_a_step_below_the_least_duration_ends_there() -> None:
    """No bound was proved: nothing is halved."""
    state = budgeted(1.0)
    look(state, 8.0, 0.9, 0.0)
    look(state, 4.0, *power(4.0, 0.1))
    assert state[LOWER] == 1.0
    assert state[T_NOW] == 1.0


def test_no_look_is_later_than_where_the_energy_is_flat() -> None:
    state = budgeted(1.0, t_flat=5.0, e_inf=0.99)
    look(state, 2.0, 2.0, 1.0, 2.0)
    assert halley_guess(2.0, 2.0, 1.0, 2.0, 0.99, 1.0, 0.0) > 6.0
    assert state[T_NOW] == 5.0 * (1.0 + 4e-16)


def test_a_chord_bounds_the_duration_but_for_no_rounding() -> None:
    """From above: never below where the chord of the two ends, in exact arithmetic, meets the budget."""
    rng, rounded = random.Random(7), 0
    for _ in range(200):
        a, over, under = rng.uniform(1.0, 2.0), rng.uniform(1e-3, 1.0), rng.uniform(1e-3, 1.0)
        b, state = a + rng.uniform(0.1, 1.0), [0.0] * STATE
        begin(state, float(Goal.ENERGY), 8.0, 0.5, math.inf, 1.0)
        mean = (over + under) / (b - a)
        for T, g, slope in ((a, over, 2.0 * mean), (b, -under, 0.5 * mean)):
            state[T_NOW] = T
            advance(state, 8.0 + g, slope, 1.0)
        short, enough, above, below = map(Fraction, (state[A_T], state[B_T], state[A_G], state[B_G]))
        chord = short + (enough - short) * above / (above - below)
        assert chord <= Fraction(state[UPPER]) <= chord * (1 + Fraction(3e-15))
        rounded += Fraction(float(chord)) < chord
    assert rounded > 50


def test_a_price_that_is_all_but_nothing_leads_nowhere_beyond_the_chord() -> None:
    """A femtojoule too much at a femtowatt: a second by the tangent, two for the rounding; the chord ends it."""
    state = budgeted(1.0)
    look(state, 8.0, 1.0 - 9e-15, 0.0)
    look(state, 2.0, 1.0 + 1e-15, 1e-15)
    assert state[T_NOW] == pytest.approx(state[LOWER], rel=1e-15)
    assert state[LOWER] > 2.9
    assert state[LOWER] < 3.2


@pytest.mark.parametrize(("goal", "value"), [(Goal.ENERGY, 1.0), (Goal.POWER, 1e-7)])
@pytest.mark.parametrize(("slope", "proves"), [(1e-7, False), (3.6e-7, False), (3.8e-7, True)])
def test_a_tangent_that_an_energy_falls_below_proves_nothing(
    goal: Goal, value: float, slope: float, proves: bool
) -> None:
    """A microjoule too much at 2 s, a tenth of one to spare at 4 s, and no price for that: so it is an ulp from a kink.

    Half-way from 2 s to where the chord of both is zero is looked at; a price of two thirds of the fall may be meant.
    """
    state, watts = budgeted(value, goal), value if goal is Goal.POWER else 0.0
    look(state, 4.0, (4.0 * watts or value) - 1e-7, 0.0)
    look(state, 2.0, (2.0 * watts or value) + 1e-6, slope - watts)
    assert state[STOP] == (Stop.OPTIMAL if proves else 0.0)
    if not proves:
        assert state[LOWER] == 2.0
        assert state[T_NOW] == pytest.approx(2.0 + 1.0 / 1.1, rel=1e-8)


def test_halleys_step_needs_something_to_fall_towards() -> None:
    """Not at or below the floor, nor to it; without a price a power budget's own line leads on."""
    for e, floor, limit in ((2.0, 2.0, 3.0), (1.0, 2.0, 3.0), (4.0, 2.0, 2.0), (4.0, 2.0, 1.0), (4.0, 2.0, math.inf)):
        assert math.isnan(halley_guess(1.0, e, 1.0, 1.0, floor, limit, 0.0))
    assert math.isnan(halley_guess(1.0, 4.0, 0.0, 0.0, 2.0, 3.0, 0.0))
    assert halley_guess(2.0, 6.0, 0.0, 0.0, 0.0, 2.0, 1.0) == pytest.approx(6.0, rel=1e-15)  # 6 J at 1 W, from 2 s
