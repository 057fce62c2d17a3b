"""The turns of Newton's method on duration and price of bandwidth: what one pass says, and where to look next.

For a price mu the Lagrangian D(T, mu) = sum of (E_n + mu beta_n) - mu (beta in channels) is convex in T, and its
greatest over mu is E(T). One pass gives D, its slopes, -sum of lambda_n and S - 1 = sum of beta_n - 1, and theirs.
The price that shares the channel out is a Newton step away in ln mu (ln S is nearly linear in it); what E, E' and E''
will be there follows to second order (a Schur complement), and Halley's step of level 2 takes T to the goal.

Plain functions on a small state, as in duration/steps.py: run by Python for large fleets, compiled for others.
"""

from __future__ import annotations

import math

from solvers.access.shares import EXACT
from solvers.compile import shared
from solvers.duration.steps import halley_guess
from solvers.rows import FloatArray, Goal

# The state of a search.
GOAL, VALUE, T_MIN, E_INF, ROOM, ENOUGH = 0, 1, 2, 3, 4, 5  # what is asked; see begin_turns
T_NOW, MU_NOW, TOLERANCE = 6, 7, 8  # where to look next, the rows how closely
LAST, END = 9, 10  # 1 where the next pass should be the last; one of the ends below, or 0
# Between which durations the goal's lies, going by passes from which it is far; between which prices that of the
# duration at hand, and for how many passes it was held; the last price that shared the channel out, nearly.
LOW, HIGH, CHEAP, DEAR, HELD, FAIR = 11, 12, 13, 14, 15, 16
MOVED = 17  # ln T: how far the last step was to go
STATE = 18

DONE, NEAR_ENOUGH, LOST = 1.0, 2.0, 3.0  # at the last pass; at what it leads to; it does not converge

State = FloatArray | list[float]  # an array where compiled code runs it

_ROUGH = 1e-2

TURNS = 30
_LAST = 1e-6  # a step below this leaves an error of its square: the next pass should be the last
_NEAR = 1.5  # times: of what is near a duration
_FAR, _BALANCED, _HELD = 1.0, 0.1, 4.0  # in ln mu; passes
_LESS, _SHORT = 0.4, 1.1  # of a duration: steps down go further only to half way; times T_min: no more of it
_PART = 0.1  # of the step to a pass: rows whose steps are below it leave less than the next step corrects
_DONE, _MUCH = 2e-12, 1e-8  # a step after which nothing is left; and the most that rounding may hide of a duration
_MARGIN = 4e-15  # aim this far inside a budget: the rounding of the sums must not exceed it

_POWER, _DEADLINE, _PRICE = int(Goal.POWER), int(Goal.DEADLINE), int(Goal.PRICE)


@shared
def begin_turns(
    state: State, goal: float, value: float, t_min: float, e_inf: float, room: float, enough: float, T: float, mu: float
) -> None:
    """Start at a duration T [s] and a price mu [J/channel], of rows that share ``room`` channels.

    t_min [s], e_inf [J]: of the plan. enough: a step (relative) of which no more is wanted than where it leads to.
    """
    state[GOAL], state[VALUE], state[T_MIN], state[E_INF], state[ROOM], state[ENOUGH] = (
        goal, value, t_min, e_inf, room, enough,
    )  # fmt: skip
    state[T_NOW], state[MU_NOW], state[TOLERANCE] = T, mu, _ROUGH
    state[LAST], state[END] = 0.0, 0.0
    state[LOW], state[HIGH], state[CHEAP], state[DEAR] = t_min, math.inf, 0.0, math.inf
    state[HELD], state[FAIR], state[MOVED] = 0.0, 0.0, math.inf


@shared
def advance_turns(
    state: State, energy: float, share: float, price: float, curve: float, by_time: float, by_price: float
) -> None:
    """From the sums of a pass at T_NOW and MU_NOW (shares.py): done, lost, or where to look next."""
    T, mu, room, goal, value = state[T_NOW], state[MU_NOW], state[ROOM], state[GOAL], state[VALUE]
    share, by_time, by_price = share / room, by_time / room, by_price / room
    if not (0.0 < share < math.inf and energy < math.inf and by_price < 0.0):
        state[END] = LOST
        return
    dual = energy + mu * room * (share - 1.0)
    tilt = value if goal == _POWER else 0.0
    step = min(max(-math.log(share) * share / by_price, -3.0), 3.0)
    near = max(min(step, 1.0), -1.0)
    e = dual + 0.5 * mu * room * (share - 1.0) * near
    there = max(price - mu * room * by_time * near, 0.1 * price)
    bend = curve - mu * room * by_time * (by_time / by_price)
    limit, slope, guess = math.nan, price + tilt, T
    if goal == _PRICE:
        far = math.log(there / value) * there / (T * bend) if there > 0.0 and bend > 0.0 else -math.inf
        guess = T * math.exp(min(max(far, -1.0), 1.0))
    elif goal != _DEADLINE:
        limit = value * T if goal == _POWER else value
        floor, turn = (0.0, 1.0) if goal == _POWER else (state[E_INF], 0.0)
        guess = halley_guess(T, e, there, bend, floor, limit, turn)
        if not guess > 0.0:
            guess = T + (e - limit) / slope if slope > 0.0 else _earlier(e, limit, T, state[T_MIN])
        guess += _MARGIN * limit / slope if slope > 0.0 else 0.0
    if goal != _DEADLINE and not state[T_MIN] < guess < math.inf:
        guess = 0.5 * (T + state[T_MIN]) if guess <= state[T_MIN] else math.nan
    if not (math.isfinite(guess) and math.isfinite(step)):
        state[END] = LOST
        return
    guess = min(max(guess, min(_LESS * T, math.sqrt(state[T_MIN]) * math.sqrt(T))), 2.5 * T)
    move = math.log(guess / T)
    priced = goal != _PRICE or abs(there - value) <= _LAST * value  # all but 0 it says little of T
    hidden = _MARGIN * limit / (slope * T) if limit > 0.0 and slope > 0.0 else 0.0  # by the rounding of the sums
    done = state[LAST] != 0.0 and abs(move) <= max(_DONE, min(hidden, _MUCH)) and abs(step) <= _DONE
    if done and priced and not e > limit * (1.0 + 1e-15):
        state[END] = DONE
        return
    there_already = priced and abs(move) < _LAST
    if goal == _PRICE and abs(step) <= _BALANCED and not there_already:
        guess = _halved(state, guess, T, move, step, there > value)
    state[MOVED] = abs(move)
    size = max(abs(move), abs(step))
    last = size < _LAST
    state[LAST], state[TOLERANCE] = 1.0 if last else 0.0, EXACT if last else max(EXACT, min(_ROUGH, _PART * size))
    guess, mu = _within(state, guess, T, mu, step)
    if goal == _DEADLINE and guess != T:  # no price was found, and no other duration is asked for
        state[END] = LOST
        return
    mu *= math.exp(min(max(step - T * by_time / by_price * math.log(guess / T), -5.0), 5.0))
    if not state[CHEAP] < mu < state[DEAR]:  # these were too low and too high for this duration
        mu = math.sqrt(state[CHEAP]) * math.sqrt(state[DEAR])
    state[T_NOW], state[MU_NOW] = guess, mu
    if size <= state[ENOUGH] > 0.0:
        state[END] = NEAR_ENOUGH


@shared
def _earlier(e: float, limit: float, T: float, t_min: float) -> float:
    """Where more time is worth nothing and the energy within its limit: half way to T_min, by ratio; NaN else."""
    return math.sqrt(t_min) * math.sqrt(T) if e <= limit and _SHORT * t_min < T else math.nan


@shared
def _halved(state: State, guess: float, T: float, move: float, step: float, short: bool) -> float:
    """Where the price of time jumps its slope misleads: until the price is met no step is more than half the last one,
    or it goes half way between durations that are too short and too long, as far as a price ``step`` off can tell."""
    if short:
        state[LOW] = max(state[LOW], T * math.exp(-abs(step)))
    else:
        state[HIGH] = min(state[HIGH], T * math.exp(abs(step)))
    if abs(move) <= 0.5 * state[MOVED] or not state[LOW] < state[HIGH] < math.inf:
        return guess
    return math.sqrt(state[LOW]) * math.sqrt(state[HIGH])


@shared
def _within(state: State, guess: float, T: float, mu: float, step: float) -> tuple[float, float]:
    """The duration to look at next, and the price to start from.

    Far from the price that shares the channel out nothing is known about another duration: the price is sought
    first. Where it only rises there is none, as the duration is too short for the channel.
    """
    if abs(step) > _FAR:
        state[HELD] += 1.0
        if step > 0.0:
            state[CHEAP] = mu
        else:
            state[DEAR] = mu
        if state[HELD] < _HELD or state[DEAR] < math.inf:
            return T, mu
        state[LOW], guess = T, 1.5 * T
        mu = state[FAIR] if state[FAIR] > 0.0 else mu
    elif not T / _NEAR < guess < T * _NEAR:
        if guess > T:
            state[LOW] = T
        else:
            state[HIGH] = T
    state[HELD], state[CHEAP], state[DEAR], state[FAIR] = 0.0, 0.0, math.inf, mu
    if not state[LOW] < guess < state[HIGH] and state[HIGH] < math.inf:
        guess = math.sqrt(state[LOW]) * math.sqrt(state[HIGH])
    return guess, mu
