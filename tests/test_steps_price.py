"""One step of level 2 for a price of time: models of both ends, jumps, and when it is enough."""

from __future__ import annotations

import math

import pytest

from solvers.duration.steps import (
    A_CURVE,
    A_G,
    A_PRICE,
    A_T,
    B_CURVE,
    B_G,
    B_PRICE,
    B_T,
    LAST,
    LOWER,
    OFF,
    STATE,
    STOP,
    STUCK,
    T_NOW,
    UPPER,
    State,
    _between,
    _model,
    _root,
    advance,
    begin,
)
from solvers.rows import Goal, Stop


@pytest.mark.parametrize("power", [0.5, 1.0, 1.0 + 1e-10, 2.0, 7.0])
def test_the_model_of_one_end_is_exact_where_the_price_is_a_power_of_the_duration(power: float) -> None:
    """3/T^n watts, seen from 2 s: its root, and 5 J less its integral."""
    price, curve = 3.0 * 2.0**-power, 3.0 * power * 2.0 ** (-power - 1.0)
    for T in (1.0, 1.999, 2.0, 2.5, 40.0):
        k = 1.0 - power
        saved = 3.0 * math.log(T / 2.0) if abs(k) < 1e-9 else 3.0 * (T**k - 2.0**k) / k
        assert _model(T, 2.0, 5.0, price, curve) == pytest.approx(5.0 - saved, rel=1e-8)
        assert _root(2.0, price, curve, 3.0 * T**-power) == pytest.approx(T, rel=1e-13)


def test_a_price_without_slope_is_the_same_everywhere() -> None:
    assert _model(5.0, 2.0, 9.0, 1.5, 0.0) == 9.0 - 1.5 * 3.0
    assert _root(2.0, 1.5, 0.0, 1.0) == math.inf
    assert _root(2.0, 1.5, 0.0, 2.0) == 0.0
    assert _root(2.0, 0.0, 1.0, 2.0) == 0.0


def priced(value: float, t_min: float = 0.5) -> State:
    """A fresh search for a price of time."""
    state = [0.0] * STATE
    begin(state, float(Goal.PRICE), value, t_min, math.inf, 0.0)
    return state


def look(state: State, T: float, e: float, price: float, curve: float = 0.0) -> None:
    """Another pass, at T."""
    state[T_NOW] = T
    advance(state, e, price, curve)


def test_no_time_at_all_is_halved_away_from() -> None:
    state = priced(1.0, t_min=0.0)
    state[T_NOW] = 8.0
    advance(state, 1.0, 0.5, 0.1)
    state[T_NOW] = 0.0
    advance(state, math.inf, math.inf, 0.0)
    assert state[T_NOW] == 4.0


@pytest.mark.parametrize(
    ("answer", "last", "kept", "doubted"),
    [(1.00003, 1.00005, (1.0, 1.00005), (0.5, 1.00005)), (0.99997, 0.99995, (0.99995, 1.0), (0.99995, math.inf))],
)
def test_only_an_exact_pass_doubts_a_rough_one_next_to_it(
    answer: float, last: float, kept: tuple[float, float], doubted: tuple[float, float]
) -> None:
    """1/T^2 watts and a price met at ``answer``: a rough pass at 1 s may have taken one side for the other."""
    for exact in (0.0, 1.0):
        state = priced(answer**-2.0)
        look(state, 1.0, 1.0, 1.0, 2.0)
        state[LAST] = exact
        look(state, last, 1.0 / last, last**-2.0, 2.0 * last**-3.0)
        assert (state[LOWER], state[UPPER]) == (doubted if exact else kept)
        assert state[STOP] == 0.0


@pytest.mark.parametrize("exact", [0.0, 1.0])
@pytest.mark.parametrize(("T", "watts"), [(1.0002, 1.00002), (1.00005, 1.0002)])
def test_a_pass_further_off_is_not_doubted(T: float, watts: float, exact: float) -> None:
    """Beyond a ten-thousandth in duration or in price a rough pass tells the sides apart."""
    state = priced(1.0)
    look(state, 1.0, 1.0, watts, 1.0)
    state[LAST] = exact
    look(state, T, 0.99, 0.999, 1.0)
    assert (state[LOWER], state[UPPER]) == (1.0, T)


@pytest.mark.parametrize(("before", "done"), [(3e-9, True), (1e-8, True), (2e-8, False)])
def test_an_exact_pass_that_does_no_better_than_the_last_one_is_enough(before: float, done: bool) -> None:
    """3e-9 off at 1 J and 1 W: E + value T, 9e-18 J more than the least, is that to all its digits."""
    state = priced(1.0)
    for off in (before, 3e-9):
        assert state[STOP] == 0.0
        state[LAST] = 1.0
        look(state, 1.0, 1.0, 1.0 + off, 1.0)
    assert (state[STOP] == Stop.OPTIMAL) is done


@pytest.mark.parametrize(("joules", "exact", "done"), [(1.0, 1.0, True), (0.1, 1.0, False), (1.0, 0.0, False)])
def test_passes_that_are_rough_or_see_a_difference_are_not_enough(joules: float, exact: float, done: bool) -> None:
    """4e-9 off, 1.6e-17 J are 1e-17 of 2 J, and not of 1.1 J; nor is it enough where the pass before was rough."""
    state = priced(1.0)
    for last in (exact, 1.0):
        assert state[STOP] == 0.0
        state[LAST] = last
        look(state, 1.0, joules, 1.0 + 4e-9, 1.0)
    assert (state[STOP] == Stop.OPTIMAL) is done


@pytest.mark.parametrize(("width", "closed"), [(3e-15, True), (6e-15, False)])
def test_a_jump_is_closed_in_to_four_roundings(width: float, closed: bool) -> None:
    state = priced(1.0)
    for T, price in ((1.0, 2.0), (1.0 + width, 0.5)):
        state[T_NOW] = T
        advance(state, 1.0, price, 0.1)
    assert (state[STOP] == Stop.OPTIMAL) is closed
    assert not closed or state[T_NOW] == 1.0 + width


def test_the_ends_of_a_price_are_those_next_to_it() -> None:
    """Where all rows are slack the price is 0: no later; a longer round too short, and a shorter one long enough."""
    state = [0.0] * STATE
    begin(state, float(Goal.PRICE), 1.0, 0.5, 9.0, 3.0)
    assert (state[T_NOW], state[LOWER], state[A_T]) == (1.0, 0.5, -math.inf)
    assert (state[B_T], state[UPPER], state[B_G]) == (9.0 * (1.0 + 4e-16), 9.0 * (1.0 + 4e-16), 3.0)
    look(state, 2.0, 9.0, 1.5, 0.1)
    look(state, 1.0, 11.0, 2.0, 0.2)
    assert (state[A_T], state[A_G], state[A_PRICE], state[A_CURVE], state[LOWER]) == (2.0, 9.0, 1.5, 0.1, 2.0)
    look(state, 6.0, 4.0, 0.5, 0.3)
    look(state, 7.0, 3.5, 0.4, 0.2)
    assert (state[B_T], state[B_G], state[B_PRICE], state[B_CURVE], state[UPPER]) == (6.0, 4.0, 0.5, 0.3, 6.0)


def test_a_price_met_at_the_least_duration_is_met_there() -> None:
    state = priced(1.0)
    look(state, 0.5, 4.0, 1.0, 3.0)
    assert (state[STOP], state[LOWER], state[UPPER]) == (Stop.OPTIMAL, 0.5, 0.5)


def test_a_price_far_off_is_looked_for_within_e_to_the_fourth() -> None:
    """1/T watts: a price of 1/3 is at 3 s in one step; 1e-9 is further than a step goes."""
    for value, T in ((1.0 / 3.0, 3.0), (1e-9, math.exp(4.0))):
        state = priced(value)
        look(state, 1.0, 5.0, 1.0, 1.0)
        assert state[T_NOW] == pytest.approx(T, rel=1e-14)
    assert _root(2.0, 1e-9, 1e-9 / 2.0, 1.0) == pytest.approx(2.0 * math.exp(-4.0), rel=1e-14)


def test_without_a_slope_there_is_no_step_and_without_an_end_four_times_as_long() -> None:
    state = priced(1.0)
    look(state, 2.0, 9.0, 3.0)
    assert (state[T_NOW], state[STOP]) == (8.0, 0.0)


def test_a_step_below_the_least_duration_looks_there_once() -> None:
    """1/T watts and a price of 9: by the first pass at 1/9 s; where the least is seen to be too short, between."""
    for seen, T in ((False, 0.5), (True, 1.0)):
        state = priced(9.0)
        if seen:
            look(state, 0.5, 50.0, 99.0)
        look(state, 2.0, 3.0, 0.5, 0.25)
        assert state[T_NOW] == pytest.approx(T, rel=1e-15)


@pytest.mark.parametrize(
    ("before", "miss", "done"), [(1e-8, 5e-14, True), (1e-6, 5e-14, False), (1e-8, 5e-13, False), (1.0, 9e-16, True)]
)
def test_where_newton_squares_what_is_left_is_rounding(before: float, miss: float, done: bool) -> None:
    """After a pass 1e-7 off one 1e-13 off is the last; 1e-15 always is. The bounds are as far off as that."""
    state = priced(1.0)
    state[OFF] = before
    look(state, 4.0, 1e-9, 1.0 + miss, 0.25)
    assert (state[STOP] == Stop.OPTIMAL) is done
    if done:
        assert state[T_NOW] == state[LOWER] == 4.0
        assert state[UPPER] == pytest.approx(4.0 * (1.0 + miss), rel=4e-16)
        assert state[UPPER] > 4.0


@pytest.mark.parametrize(
    ("above", "done"), [(-1e-3, True), (9e-11, True), (1.1e-10, False), (9e-7, False), (1e-3, False)]
)
def test_a_price_that_falls_steeply_has_to_come_down_to_the_one_asked_for(above: float, done: bool) -> None:
    """By 1e13 W/s where it is seen: all but there, unless it hardly falls from there on. Then an ulp or two later."""
    state = priced(1.0)
    look(state, 4.0, 9.0, 1.0 + above, 1e13)
    assert (state[STOP] == Stop.OPTIMAL) is done
    if 0.0 < above < 1e-6 and not done:
        assert 4.0 < state[T_NOW] <= 4.0 * (1.0 + 5e-16)


def test_a_price_all_but_nothing_is_off_by_its_line() -> None:
    """0.9 W too little, falling by 1 W/s: 0.9 s off, whatever the logarithms say."""
    state = priced(1.0)
    look(state, 4.0, 9.0, 0.1, 1.0)
    assert state[OFF] == pytest.approx(0.9 / 4.0, rel=1e-14)
    state = priced(1.0)
    look(state, 4.0, 9.0, 3.0, 1.0)
    assert state[OFF] == pytest.approx(math.exp(math.log(3.0) * 0.75) - 1.0, rel=1e-14)  # 3 (4/T)^(4/3) W is 1 W there


@pytest.mark.parametrize(("off", "last"), [(5e-9, 1.0), (2e-8, 0.0)])
def test_a_price_all_but_met_takes_one_more_pass(off: float, last: float) -> None:
    state = priced(1.0)
    look(state, 4.0, 9.0, 1.0 + off, 0.25)
    assert (state[LAST], state[STOP]) == (last, 0.0)


@pytest.mark.parametrize(("wide", "last"), [(5e-13, 1.0), (2e-12, 0.0), (0.5, 0.0)])
def test_a_jump_all_but_closed_in_takes_one_more_pass(wide: float, last: float) -> None:
    state = priced(1.0)
    look(state, 1.0, 9.0, 2.0)
    look(state, 1.0 + wide, 8.0, 0.5)
    assert (state[LAST], state[STOP]) == (last, 0.0)


def test_passes_of_little_use_are_counted_and_followed_by_longer_steps() -> None:
    """Half of what is left, or of what is missed, is use enough; the second of little use goes on beyond its own guess,
    the third and later ones halve what is left.
    """
    for stuck in (0.0, 1.0, 2.0, 5.0):
        for T, price in ((1.21, 1.9), (8.0, 0.6)):
            state = priced(1.0, t_min=1e-3)
            look(state, 1.0, 20.0, 2.0, 0.5)
            look(state, 9.0, 9.0, 0.5, 0.01)
            state[STUCK] = stuck
            curve = 4.0 * price / T
            look(state, T, 15.0, price, curve)
            guess, (low, high) = T * price**0.25, (1.21, 9.0) if price > 1.0 else (1.0, 8.0)
            assert state[STUCK] == stuck + 1.0
            if stuck == 1.0:
                near, far = abs(guess - T), high - T if price > 1.0 else T - low
                beyond = math.copysign((near * near * far) ** (1.0 / 3.0), guess - T)
                assert state[T_NOW] == pytest.approx(T + beyond, rel=1e-12)
            else:
                assert state[T_NOW] == pytest.approx(math.sqrt(low * high) if stuck > 1.0 else guess, rel=1e-12)
    for T, price in ((3.1, 1.9), (1.21, 1.3)):  # a half of ln 9; of ln 2
        state = priced(1.0, t_min=1e-3)
        look(state, 1.0, 20.0, 2.0, 0.5)
        look(state, 9.0, 9.0, 0.5, 0.01)
        state[STUCK] = 2.0
        look(state, T, 15.0, price, 1.0)
        assert state[STUCK] == 0.0


def test_the_second_pass_of_little_use_goes_no_further_than_half_way() -> None:
    state = priced(1.0, t_min=1e-3)
    look(state, 1.0, 20.0, 2.0, 0.5)
    look(state, 9.0, 9.0, 0.5, 0.01)
    state[STUCK] = 1.0
    look(state, 1.5, 15.0, 1.9, 1.9 * math.log(1.9) / math.log(8.0 / 1.5) / 1.5)  # by itself to 8 s
    assert state[T_NOW] == pytest.approx(1.5 + 0.5 * 7.5, rel=1e-12)


def ends(value: float, a: tuple[float, ...], b: tuple[float, ...], stuck: float = 0.0) -> State:
    """A search with what is known of both its ends: E, price, its slope."""
    state = priced(value)
    state[A_G], state[A_PRICE], state[A_CURVE] = a
    state[B_G], state[B_PRICE], state[B_CURVE] = b
    state[STUCK] = stuck
    return state


def test_between_two_ends_of_one_curve_is_its_own_root() -> None:
    """3/T^2 watts from 1 s to 2 s; and of two curves the root of the one that holds there: 5/T watts, 2/T watts."""
    for root in (1.1, 1.5, 1.9):
        state = ends(3.0 / root**2, (3.0, 3.0, 6.0), (1.5, 0.75, 0.75))
        assert _between(state, 1.0, 2.0) == pytest.approx(root, rel=1e-12)
    left = ends(4.0, (10.0, 5.0, 5.0), (6.0, 1.0, 0.5))  # 10 - 5 ln T meets 6 - 2 ln(T/2) at 2.4 s
    assert _between(left, 1.0, 2.0) == pytest.approx(1.25, rel=1e-12)
    right = ends(1.5, (10.0, 10.0, 0.0), (6.0, 1.0, 0.5))  # 10 - 10 (T - 1) meets 6 - 2 ln(T/2) at 1.32 s
    assert _between(right, 1.0, 2.0) == pytest.approx(4.0 / 3.0, rel=1e-12)


def test_a_price_in_a_jump_is_looked_for_where_the_models_cross() -> None:
    """4 W until 4/3 s, 1 W from there on: the lines cross there. Where their difference is rounding, half-way."""
    state = ends(2.0, (10.0, 4.0, 0.0), (8.0, 1.0, 0.0))
    assert _between(state, 1.0, 2.0) == pytest.approx(4.0 / 3.0, rel=1e-14)
    for e, hidden in ((1e16, True), (5e15, False)):  # 3 W more for a second: 4e-16 of either energy is 4 J, or 2 J
        state = ends(2.0, (e + 2.0, 4.0, 0.0), (e, 1.0, 0.0))
        assert (_between(state, 1.0, 2.0) == 1.5) is hidden


@pytest.mark.parametrize("stuck", [0.0, 1.0])
@pytest.mark.parametrize("wide", [1.0, 0.01])
@pytest.mark.parametrize("low", [1.0, 1e-3])
def test_a_crossing_next_to_an_end_is_overshot(stuck: float, wide: float, low: float) -> None:
    """Four times as far in; after a pass of little use at least by a tenth of what is left, or a thousandth."""
    wide, near = wide * low, 1e-4 * wide * low
    high, least = low + wide, (0.1 if wide > 0.02 * low else 1e-3) * wide if stuck else 0.0
    beyond = near + max(4.0 * near, least)
    for at in (near, wide - near):  # 4 W up to there, 1 W from there on
        state = ends(2.0, (10.0, 4.0, 0.0), (10.0 - 4.0 * at - (wide - at), 1.0, 0.0), stuck)
        found = _between(state, low, high)
        assert found == pytest.approx(low + beyond if at == near else high - beyond, rel=1e-8)
    touching = ends(2.0, (10.0, 4.0, 0.0), (10.0 - wide, 1.0, 0.0))  # the crossing is the end itself
    assert low < _between(touching, low, high) <= low * (1.0 + 5e-15)
