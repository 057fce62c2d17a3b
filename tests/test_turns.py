"""The turns of the search for a duration and a price of bandwidth, on made-up rows in closed form, part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from solvers.access import turns
from solvers.access.turns import DONE, END, LOST, STATE, T_NOW, advance_turns, begin_turns
from solvers.duration.steps import halley_guess
from solvers.rows import Goal

T_MIN = 0.5
BUDGETED = (Goal.ENERGY, Goal.POWER)


@dataclass(frozen=True)
class Rows:
    """They take e + v/T^2 and w/(T beta) [J] of beta channels: U^2/(T room) in all, with U the sum of sqrt w, where
    beta = sqrt(w/(T mu)) adds up to the room at mu = U^2/(T room^2)."""

    e: float = 0.3
    v: float = 2.0
    u: float = 1.5
    room: float = 1.0

    def sums(self, T: float, mu: float) -> tuple[float, ...]:
        """A pass."""
        share, joules = self.u / math.sqrt(T * mu), self.u * math.sqrt(mu / T)
        return (
            self.e + self.v / T**2 + joules,
            share,
            2.0 * self.v / T**3 + joules / T,
            6.0 * self.v / T**4 + 1.5 * joules / T**2,
            -0.5 * share / T,
            -0.5 * share,
        )

    def fair(self, T: float) -> float:
        return self.u**2 / (T * self.room**2)

    def at(self, T: float) -> tuple[float, float, float]:
        """E, -E' and E'' at the price that shares the channel out."""
        c = self.u**2 / self.room
        return (
            self.e + self.v / T**2 + c / T,
            2.0 * self.v / T**3 + c / T**2,
            6.0 * self.v / T**4 + 2.0 * c / T**3,
        )

    def value(self, goal: Goal, T: float) -> float:
        """What is asked for where T is the answer."""
        energy, price, _ = self.at(T)
        return {Goal.ENERGY: energy, Goal.POWER: energy / T, Goal.DEADLINE: T, Goal.PRICE: price}[goal]

    def begun(self, goal: Goal, value: float, T: float, mu: float, enough: float = 0.0) -> list[float]:
        state = [math.nan] * STATE
        begin_turns(state, float(goal), value, T_MIN, self.e, self.room, enough, T, mu)
        return state

    def turned(self, goal: Goal, value: float, T: float, mu: float) -> list[float]:
        """After one pass."""
        state = self.begun(goal, value, T, mu)
        advance_turns(state, *self.sums(T, mu))
        return state


ROWS = (Rows(), Rows(room=0.2), Rows(e=0.0, v=0.3, room=3.0), Rows(v=0.02, u=0.4))
STARTS = [(T, mu) for T in (0.41, 1.03, 6.0) for mu in (0.01, 1.0, 200.0)]
PASSES = {Goal.ENERGY: (48, 47, 48, 47), Goal.POWER: (48, 47, 48, 47), Goal.DEADLINE: (30,) * 4, Goal.PRICE: (55,) * 4}


@pytest.mark.parametrize("goal", PASSES)
@pytest.mark.parametrize("which", range(len(ROWS)))
def test_a_search_ends_at_the_root_and_in_few_passes(goal: Goal, which: int) -> None:
    """From near and far, against the duration that the value was made for; passes as when this was written."""
    rows, T, taken = ROWS[which], 3.1, 0
    value = rows.value(goal, T)
    for longer, dearer in STARTS:
        first = T if goal is Goal.DEADLINE else T * longer
        state = rows.begun(goal, value, first, rows.fair(T) * dearer)
        for _ in range(turns.TURNS):
            taken += 1
            looked = state[T_NOW], state[turns.MU_NOW]
            advance_turns(state, *rows.sums(*looked))
            if state[END] != 0.0:
                break
        assert state[END] == DONE
        assert state[T_NOW] == looked[0]
        assert looked == pytest.approx((T, rows.fair(T)), rel=1e-11)
        assert rows.at(state[T_NOW])[0] <= rows.at(T)[0] * (1.0 + 1e-14) or goal not in BUDGETED
    assert abs(taken - PASSES[goal][which]) <= 1


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("goal", [*BUDGETED, Goal.PRICE])
@pytest.mark.parametrize(
    ("off", "T", "best"), [(0.0, 2.0, 2.3), (0.0, 0.8, 0.85), (1e-5, 2.0, 2.002), (-1e-5, 2.0, 2.002)]
)
def test_next_to_the_fair_price_the_next_duration_goes_by_what_the_energy_is_there(
    rows: Rows, goal: Goal, off: float, T: float, best: float
) -> None:
    """Halley's step on E, E' and E'' at the fair price; Newton's on ln of the price of time. E and E' are known to
    second order in how far ``off`` the price is. It goes along: to the fair one of the duration, here exactly."""
    value = rows.value(goal, best)
    e, price, curve = rows.at(T)
    state = rows.turned(goal, value, T, rows.fair(T) * math.exp(off))
    if goal is Goal.PRICE:
        expected = T * math.exp(math.log(price / value) * price / (T * curve))
    else:
        limit, floor, tilt = (value, rows.e, 0.0) if goal is Goal.ENERGY else (value * T, 0.0, 1.0)
        expected = halley_guess(T, e, price, curve, floor, limit, tilt)
    assert state[T_NOW] == pytest.approx(expected, rel=1e-13 if off == 0.0 else 3e-8)
    assert state[turns.MU_NOW] == pytest.approx(rows.fair(state[T_NOW]), rel=1e-13)
    assert state[turns.MOVED] == pytest.approx(abs(math.log(state[T_NOW] / T)), rel=1e-12)
    assert (state[turns.LAST], state[END]) == (0.0, 0.0)
    assert state[turns.TOLERANCE] == pytest.approx(min(0.01, 0.1 * state[turns.MOVED]), rel=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("goal", [*BUDGETED, Goal.PRICE])
@pytest.mark.parametrize("off", [0.02, -0.02])
def test_what_the_energy_is_at_the_fair_price_is_known_to_second_order(rows: Rows, goal: Goal, off: float) -> None:
    """Where T is the answer no step is to be taken."""
    state = rows.turned(goal, rows.value(goal, 2.0), 2.0, rows.fair(2.0) * math.exp(off))
    assert state[T_NOW] == pytest.approx(2.0, rel=5e-6 if goal in BUDGETED else 2e-4)


# What passes say that no rows here would.
NAMES = ("energy", "share", "price", "curve", "by_time", "by_price")
LOOK = (2.0, 1.0, 0.4, 0.3, -0.2, -0.5)


def after(
    goal: Goal, value: float, T: float, sums: tuple[float, ...] = LOOK, mu: float = 1.0, **more: float
) -> list[float]:
    state = Rows().begun(goal, value, T, mu)
    for name, entry in more.items():
        state[getattr(turns, name)] = entry
    advance_turns(state, *sums)
    return state


@pytest.mark.parametrize(("which", "value"), [(1, 0.0), (1, math.inf), (0, math.inf), (5, 0.0), (5, 0.5)])
def test_a_pass_that_is_no_number_ends_the_search(which: int, value: float) -> None:
    """Or whose share does not fall with the price; or of more than the budget where time has no worth."""
    assert after(Goal.ENERGY, 1.9, 2.0, (2.0, 1.0, 0.0, *LOOK[3:]))[END] == LOST
    sums = list(LOOK)
    sums[which] = value
    assert after(Goal.DEADLINE, 2.0, 2.0, tuple(sums))[END] == LOST
    sums[which] = -0.4 if which == 5 else 0.5
    assert after(Goal.DEADLINE, 2.0, 2.0, tuple(sums))[END] == 0.0


@pytest.mark.parametrize(
    ("share", "by_price", "step"),
    [(1e9, -1.0, 3.0), (1e-9, -1e-12, -3.0), (0.5, -0.1, -3.0), (2.0, -1.0, math.log(4.0))],
)
def test_far_from_the_fair_price_it_alone_is_sought(share: float, by_price: float, step: float) -> None:
    """By Newton's step in ln mu, of 3 at most; the energies go by a step of 1 at most."""
    for goal in (Goal.DEADLINE, Goal.PRICE, Goal.ENERGY):
        value = 2.0 if goal is Goal.DEADLINE else 0.3
        state = after(goal, value, 2.0, (LOOK[0], share, *LOOK[2:5], by_price), mu=0.7)
        assert state[T_NOW] == 2.0
        assert state[turns.MU_NOW] == pytest.approx(0.7 * math.exp(step), rel=1e-13)
        assert state[turns.TOLERANCE] == 1e-2
        assert state[turns.HELD] == 1.0
        assert (state[turns.CHEAP], state[turns.DEAR]) == ((0.7, math.inf) if step > 0.0 else (0.0, 0.7))
        assert state[turns.FAIR] == 0.0


@pytest.mark.parametrize(
    ("before", "step", "held"),
    [
        ({}, 2.0, False), ({"HELD": 3.0}, 2.0, True), ({"HELD": 3.0}, -2.0, False),
        ({"HELD": 3.0, "DEAR": 4.0}, 2.0, False), ({"HELD": 2.0}, 2.0, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fair", [0.0, 0.3])
def test_where_the_price_only_rises_the_duration_is_too_short(
    before: dict[str, float], step: float, held: bool, fair: float
) -> None:
    """After four passes of it a longer one is tried, from the last price that was nearly fair."""
    state = [math.nan] * STATE
    begun = {"HELD": 0.0, "LOW": T_MIN, "HIGH": math.inf, "CHEAP": 0.1, "DEAR": math.inf, "FAIR": fair}
    for name, entry in (begun | before).items():
        state[getattr(turns, name)] = entry
    known = list(state)
    guess, mu = turns._within(state, 2.2, 2.0, 0.7, step)
    if held:
        assert (guess, mu) == (3.0, fair or 0.7)
        assert state[turns.LOW] == 2.0
        assert (state[turns.HELD], state[turns.CHEAP], state[turns.DEAR], state[turns.FAIR]) == (0.0, 0.0, math.inf, mu)
    else:
        assert (guess, mu) == (2.0, 0.7)
        assert state[turns.HELD] == known[turns.HELD] + 1.0
        assert (state[turns.CHEAP], state[turns.DEAR]) == ((0.7, known[turns.DEAR]) if step > 0.0 else (0.1, 0.7))
        assert (state[turns.LOW], state[turns.FAIR]) == (T_MIN, fair)


@pytest.mark.parametrize("high", [math.inf, 8.0])
@pytest.mark.parametrize(
    ("guess", "low", "high_then"),
    [(2.9, 1.0, 0), (3.1, 2.0, 0), (1.4, 1.0, 0), (1.3, 1.0, 2.0), (20.0, 2.0, 0), (0.9, 1.0, 2.0)],
)
def test_passes_far_from_their_guess_are_bounds_of_it_and_guesses_stay_within(
    guess: float, low: float, high_then: float, high: float
) -> None:
    state = [math.nan] * STATE
    state[turns.LOW], state[turns.HIGH] = 1.0, high
    found, mu = turns._within(state, guess, 2.0, 0.7, 1.0)
    assert (state[turns.LOW], state[turns.HIGH]) == (low, high_then or high)
    inside = state[turns.LOW] < guess < state[turns.HIGH] or state[turns.HIGH] == math.inf
    assert found == (guess if inside else pytest.approx(math.sqrt(state[turns.LOW] * state[turns.HIGH]), rel=1e-15))
    assert (state[turns.HELD], state[turns.CHEAP], state[turns.DEAR], state[turns.FAIR], mu) == (
        0.0,
        0.0,
        math.inf,
        0.7,
        0.7,
    )


@pytest.mark.parametrize(("cheap", "dear"), [(0.0, math.inf), (2.0, 8.0), (0.5, 1.1), (1.3, math.inf)])
def test_a_price_stays_between_those_that_were_too_low_and_too_high(cheap: float, dear: float) -> None:
    state = after(Goal.DEADLINE, 2.0, 2.0, (LOOK[0], math.e, *LOOK[2:5], -4.0 * math.e), CHEAP=cheap, DEAR=dear)
    assert state[turns.MU_NOW] == pytest.approx(math.exp(0.25), rel=1e-13)
    far = after(Goal.DEADLINE, 2.0, 2.0, (LOOK[0], math.e**2, *LOOK[2:5], -(math.e**2)), CHEAP=cheap, DEAR=dear)
    assert far[turns.MU_NOW] == pytest.approx(math.exp(2.0) if math.exp(2.0) < dear else math.sqrt(dear), rel=1e-13)


def test_half_way_to_the_least_duration_where_the_energy_has_its_limit_and_time_no_worth() -> None:
    assert turns._earlier(1.0, 1.0, 2.0, 0.5) == pytest.approx(1.0, rel=1e-15)
    assert turns._earlier(1.0, 1.0, 0.56, 0.5) == pytest.approx(math.sqrt(0.28), rel=1e-15)
    assert math.isnan(turns._earlier(1.0, 1.0, 1.1 * 0.5, 0.5))
    assert math.isnan(turns._earlier(1.0 + 1e-9, 1.0, 2.0, 0.5))


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("step", [0.0, 0.1, -0.1])
@pytest.mark.parametrize(
    ("move", "moved", "bounds", "halved"),
    [
        (0.2, 0.4, (1.0, 3.0), False), (0.21, 0.4, (1.0, 3.0), True), (-0.21, 0.4, (1.0, 3.0), True),
        (-0.2, 0.4, (1.0, 3.0), False), (0.4, 0.4, (1.0, math.inf), False), (0.4, 0.4, (1.9, 2.1), True),
        (0.4, 0.4, (2.5, 2.6), False),
    ],
)  # fmt: skip
def test_a_step_by_the_price_of_time_is_no_more_than_half_the_last(
    short: bool, step: float, move: float, moved: float, bounds: tuple[float, float], halved: bool
) -> None:
    """Else half way between durations that are too short and too long, as far as prices a ``step`` off can tell."""
    state = [math.nan] * STATE
    (state[turns.LOW], state[turns.HIGH]), state[turns.MOVED] = bounds, moved
    guess = turns._halved(state, 2.3, 2.0, move, step, short)
    low, high = bounds
    low, high = (max(low, 2.0 * math.exp(-abs(step))), high) if short else (low, min(high, 2.0 * math.exp(abs(step))))
    assert (state[turns.LOW], state[turns.HIGH]) == pytest.approx((low, high), rel=1e-15)
    halved = abs(move) > 0.5 * moved and low < high < math.inf
    assert guess == (pytest.approx(math.sqrt(low * high), rel=1e-15) if halved else 2.3)


@pytest.mark.parametrize(
    ("off", "curve", "halved"), [(1e-9, 0.3, False), (1e-9, 1e-4, True), (2e-6, 0.3, True), (2e-6, 1e3, True)]
)
def test_what_rounding_leaves_of_a_price_that_is_met_is_not_halved(off: float, curve: float, halved: bool) -> None:
    """Steps of no size are not half as long as each other; but where the price jumps, or hardly moves, all are."""
    price, value = 0.4 * (1.0 + off), 0.4
    state = after(Goal.PRICE, value, 2.0, (2.0, 1.0, price, curve, 0.0, -0.5), MOVED=1e-13, HIGH=2.1)
    step = math.log(price / value) * price / curve
    assert (abs(state[T_NOW] - 2.0 * math.exp(step / 2.0)) > 1e-12) == halved


@pytest.mark.parametrize(
    ("goal", "value", "T", "change", "expected"),
    [
        (Goal.ENERGY, 1e6, 2.0, {}, 1.25), (Goal.PRICE, 1e9, 1.0, {}, 0.75),  # below T_MIN: half way to it
        (Goal.PRICE, 1e9, 2.0, {}, 0.8),  # steps down go no further than 0.4 T, or half way by ratio
        (Goal.ENERGY, 1e6, 50.0, {"price": 0.016, "curve": 5e-4, "by_time": 0.0}, 5.0),
        (Goal.ENERGY, 0.3 + 1e-6, 2.0, {}, 5.0), (Goal.PRICE, 1e-9, 2.0, {}, 5.0),  # up to 2.5 T
        (Goal.PRICE, 0.1, 4.0, {"price": 0.0, "by_time": 0.0}, 4.0 / math.e),  # no worth of time
        (Goal.PRICE, 1.0, 4.0, {"curve": 0.0, "by_time": 0.0}, 4.0 / math.e),
        (Goal.PRICE, 1.0, 4.0, {"curve": -1.0, "by_time": 0.0}, 4.0 / math.e),
        (Goal.PRICE, 2e9, 2.0 * math.e * T_MIN / 2.0, {}, 0.5 * (math.e * T_MIN + T_MIN)),
        (Goal.ENERGY, 0.4, 2.0, {"energy": 0.2}, 1.5),  # less than E_INF, as rough passes say: the tangent's
        (Goal.ENERGY, 2.0, 2.0, {"price": 0.0}, 1.0),  # half way to T_MIN by ratio
        (Goal.ENERGY, 2.0, 2.0, {"price": 1.0 / 64.0}, 2.0 + 4e-15 * 2.0 * 64.0),  # inside what the sums hide
        (Goal.POWER, 1.0, 2.0, {}, 2.0 + 4e-15 * 2.0 / 1.4), (Goal.DEADLINE, 0.4, 0.4, {}, 0.4),
    ],
)  # fmt: skip
def test_how_far_a_step_goes(goal: Goal, value: float, T: float, change: dict[str, float], expected: float) -> None:
    state = after(goal, value, T, tuple((dict(zip(NAMES, LOOK, strict=True)) | change).values()))
    assert state[END] == 0.0
    assert state[T_NOW] - T == pytest.approx(expected - T, rel=0.05 if abs(expected - T) < 1e-9 else 1e-9, abs=0.0)


@pytest.mark.parametrize(("value", "sign"), [(1e300, 1.0), (1e-300, -1.0)])
def test_the_price_goes_along_with_the_duration_by_five_at_most(value: float, sign: float) -> None:
    state = after(Goal.PRICE, value, 2.0, (*LOOK[:4], -5.0, -0.5))
    assert state[turns.MU_NOW] == pytest.approx(math.exp(5.0 * sign), rel=1e-13)


@pytest.mark.parametrize("step", [2.0, -2.0, 0.5, -0.5])
def test_what_a_price_far_from_the_fair_one_says_of_the_next_step(step: float) -> None:
    """The price of time is followed by a step of 1 at most; durations are bounded by fairer passes alone."""
    share, mu = math.exp(step), 0.7
    state = after(Goal.PRICE, 0.5, 2.0, (2.0, share, 0.4, 0.3, -0.2, -share), mu)
    there, bend = 0.4 + 0.2 * mu * max(min(step, 1.0), -1.0), 0.3 + mu * 0.2 * 0.2 / share
    assert state[turns.MOVED] == pytest.approx(abs(math.log(there / 0.5)) * there / (2.0 * bend), rel=1e-12)
    assert (state[turns.LOW], state[turns.HIGH]) == (T_MIN, math.inf)


ULP = math.ulp(2.0)


@pytest.mark.parametrize(
    ("energy", "price", "share", "last", "done"),
    [
        (2.0, 1.0, 1.0, 1.0, True), (2.0, 1.0, 1.0, 0.0, False),  # a rough pass
        (2.0 + 4.0 * ULP, 1.0, 1.0, 1.0, True), (2.0 + 7.0 * ULP, 1.0, 1.0, 1.0, False),  # rounding, and more
        (2.0 - 1e-8, 1.0, 1.0, 1.0, False), (2.0, 1.0, 1.0 + 1e-9, 1.0, False),
        (2.0 - 2e-11, 1.0, 1.0, 1.0, False), (2.0, 1.0, 1.0 - 1e-11, 1.0, False),
        (2.0 - 2e-12, 1.0, 1.0, 1.0, True), (2.0, 1.0, 1.0 - 1e-13, 1.0, True),
        # a step of 4e-9 by rounding: 4e-15 of 2 J at 1e-6 W
        (2.0 - ULP / 2.0, 1e-6, 1.0, 1.0, True), (2.0 - ULP / 2.0, 1e-8, 1.0, 1.0, False),
        (0.5 - 1e-15, 1e-6, 1.0, 1.0, True), (0.5 - 7e-15, 1e-6, 1.0, 1.0, False),
    ],
)  # fmt: skip
def test_a_search_is_done_where_an_exact_pass_leaves_a_step_that_rounding_hides(
    energy: float, price: float, share: float, last: float, done: bool
) -> None:
    value = 2.0 if energy > 1.0 else 0.5
    state = after(Goal.ENERGY, value, 2.0, (energy, share, price, *LOOK[3:]), LAST=last)
    assert state[END] == (DONE if done else 0.0)
    assert len({0.0, DONE, turns.NEAR_ENOUGH, LOST}) == 4


@pytest.mark.parametrize(
    ("off", "curve", "done"), [(1e-7, 1e15, True), (1.5e-6, 1e15, False), (1e-4, 1e15, False), (1e-8, 1.0, False)]
)
def test_a_price_of_time_is_met_where_the_duration_and_the_price_are(off: float, curve: float, done: bool) -> None:
    """Where the price falls by much at once a short step leaves much of it."""
    state = after(Goal.PRICE, 0.4 * (1.0 + off), 2.0, (*LOOK[:3], curve, 0.0, -0.5), LAST=1.0)
    assert state[END] == (DONE if done else 0.0)


def test_where_no_more_is_wanted_than_a_first_guess() -> None:
    sums = (2.0, math.exp(0.02), *LOOK[2:5], -math.exp(0.02))
    assert [after(Goal.DEADLINE, 2.0, 2.0, sums, ENOUGH=e)[END] for e in (0.03, 0.01, 0.0)] == [
        turns.NEAR_ENOUGH,
        0.0,
        0.0,
    ]
    assert after(Goal.DEADLINE, 2.0, 2.0, (2.0, 1.0, *LOOK[2:]))[END] == 0.0
