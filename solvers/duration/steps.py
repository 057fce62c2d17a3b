"""The steps of level 2: what one pass over the rows proves of the best duration, and where to look next.

Plain functions on a small state, run by Python for one search and compiled into the loop over many (matching/ordered).
"""

from __future__ import annotations

import math

from solvers.compile import shared
from solvers.rows import FloatArray, Goal, Stop

# The state of a search, one array so that compiled and interpreted loops share advance().
GOAL, VALUE, T_MIN, T_FLAT, E_INF = 0, 1, 2, 3, 4  # what is asked
T_NOW, LOWER, UPPER = 5, 6, 7  # where to look next; proved bounds of the answer
A_T, A_G, B_T, B_G = 8, 9, 10, 11  # last duration that is too short, first one that is long enough
PASSES, STOP, LAST = 12, 13, 14  # passes made; a Stop, 0 while running; 1 where the next pass should be the last
DEEP = 15  # 1 after a step that went far too far
A_PRICE, B_PRICE = 16, 17  # prices of time at A_T and B_T, for a goal of PRICE (A_G and B_G are then E)
SIDE, WIDTH = 18, 19  # where the last pass fell: 1 behind the answer, -1 before it; how far apart the ends were then
STATE = 20

State = FloatArray | list[float]  # an array where compiled code runs it

_ENERGY, _POWER, _PRICE = int(Goal.ENERGY), int(Goal.POWER), int(Goal.PRICE)
_OPTIMAL, _SLACK, _LIMIT = float(Stop.OPTIMAL), float(Stop.SLACK), float(Stop.LIMIT)

_MARGIN = 2e-15  # aim this far inside the budget: the rounding of the sum must not exceed it
_CERTAIN = 3e-6  # a step below this leaves an error of its cube
_ULPS = 1e-15  # a bracket this narrow, relative, is closed
_PATIENCE = 10  # passes of Halley's step before the tangent decides alone
_PASSES = 200


@shared
def advance(state: State, e: float, price: float, curve: float) -> None:
    """From E [J], -E' [W] and E'' [W/s] at T_NOW: tighten the bounds, then stop or say where to look next."""
    state[PASSES] += 1.0
    state[LAST] = 0.0
    if state[GOAL] == _PRICE:
        _advance_price(state, e, price, curve)
    else:
        _advance_budget(state, e, price, curve)
    if state[STOP] == 0.0 and state[PASSES] >= _PASSES:
        state[STOP] = _LIMIT
        if state[B_T] < math.inf:
            state[T_NOW] = state[B_T]


@shared
def _advance_budget(state: State, e: float, price: float, curve: float) -> None:
    """The least T with g(T) = E(T) - budget(T) <= 0."""
    T, value = state[T_NOW], state[VALUE]
    power = state[GOAL] == _POWER
    if e == math.inf:  # next to a T_min that no power reaches (p_max = inf): nothing to learn but that it is too short
        state[LOWER] = max(state[LOWER], T)
        state[T_NOW] = 0.5 * (T + state[UPPER]) if state[UPPER] < math.inf else 2.0 * T
        return
    limit = value * T if power else value
    slope = price + (value if power else 0.0)  # -g'
    g = e - limit
    margin = _MARGIN * limit * 2.0 ** max(state[PASSES] - _PATIENCE, 0.0)  # should the sum's rounding be greater
    if g <= 0.0:
        if state[T_MIN] >= T:
            state[STOP], state[LOWER], state[UPPER] = _SLACK, T, T
            return
        if state[B_T] > T:
            state[B_T], state[B_G] = T, g
        state[UPPER] = min(state[UPPER], T)
    elif state[A_T] < T:
        state[A_T], state[A_G] = T, g
        state[LOWER] = max(state[LOWER], T)
    tangent = T + g / slope if slope > 0.0 else (-math.inf if g <= 0.0 else math.inf)
    if tangent < math.inf:
        state[LOWER] = max(state[LOWER], tangent)
    if g <= 0.0 and (g >= -4.0 * margin or T - state[LOWER] <= _ULPS * T):
        state[STOP] = _OPTIMAL
        return
    if state[B_T] < math.inf and state[B_T] - max(state[LOWER], state[A_T]) <= _ULPS * state[B_T]:
        state[STOP], state[T_NOW] = _OPTIMAL, state[B_T]
        return
    low, high = max(state[LOWER], state[T_MIN]), state[UPPER]
    if state[A_T] > 0.0 and state[B_T] < math.inf:
        chord = state[A_T] + (state[B_T] - state[A_T]) * (state[A_G] / (state[A_G] - state[B_G]))
        high = min(high, max(chord, low))
        state[UPPER] = min(state[UPPER], max(chord * (1.0 + 1e-15), low))
    floor = 0.0 if power else state[E_INF]
    if g <= 0.0 and e - floor < 0.3 * (limit - floor):
        state[DEEP] = 1.0  # a row reached its floor on the way: E_inf says little about E before that
    elif g > 0.0 and state[DEEP] == 1.0:
        floor = 0.0
    guess = _halley_guess(T, e, price, curve, floor, limit, 1.0 if power else 0.0)
    if not low < guess < high:
        far = not abs(low - guess) <= 0.1 * abs(T - low)
        guess = low
        if far and low > state[T_MIN] and high < math.inf:  # the bounds are proved: halve what is between them
            guess = 0.5 * (low + high)
    if state[PASSES] > _PATIENCE and state[PASSES] % 2.0 == 0.0:
        guess = low
    if slope > 0.0 and guess > state[T_MIN]:
        guess += margin / slope
    if guess == T:
        guess = T * (1.0 + 4e-16) if g > 0.0 else T * (1.0 - 4e-16)
    state[LAST] = 1.0 if abs(guess - T) <= _CERTAIN * T else 0.0
    # An energy budget above E_inf is met at T_flat; an ulp later, so that all rows are slack there.
    latest = math.inf if power else max(state[T_FLAT], state[T_MIN]) * (1.0 + 4e-16)
    state[T_NOW] = min(max(guess, state[T_MIN]), latest)


@shared
def _halley_guess(T: float, e: float, price: float, curve: float, floor: float, limit: float, tilt: float) -> float:
    """Halley's step on h(y) = ln((E - floor)/(limit - floor)) - tilt-scaled ln T, y = ln T; NaN where it has none."""
    above, wanted = e - floor, limit - floor
    if not (above > 0.0 and wanted > 0.0) or (price <= 0.0 and tilt == 0.0):
        return math.nan
    h = math.log(above / wanted)
    p, q = T * price / above, T * T * curve / above
    h1, h2 = -(p + tilt), q - p - p * p
    below = 2.0 * h1 * h1 - h * h2
    step = -2.0 * h * h1 / below if below > 0.0 else -h / h1
    return T * math.exp(min(max(step, -3.0), 3.0))


@shared
def _advance_price(state: State, e: float, price: float, curve: float) -> None:
    """The T with price(T+) <= value <= price(T-), the least of the convex E(T) + value T; the price may jump there.

    Newton where the price is smooth; where two tangents of E meet where it jumps; the middle where both fail.
    """
    T, value = state[T_NOW], state[VALUE]
    side = 1.0 if price <= value else -1.0
    if price <= value:
        if state[T_MIN] >= T:
            state[STOP], state[LOWER], state[UPPER] = _OPTIMAL, T, T
            return
        if state[B_T] > T:
            state[B_T], state[B_G], state[B_PRICE], state[UPPER] = T, e, price, T
    elif state[A_T] < T:
        state[A_T], state[A_G], state[A_PRICE], state[LOWER] = T, e, price, T
    low, high = state[A_T], state[B_T]
    if low > 0.0 and high < math.inf and high - low <= 4e-16 * high:
        state[STOP], state[T_NOW] = _OPTIMAL, high
        return
    guess = math.nan
    if price > 0.0 and curve > 0.0:
        step = math.log(price / value) * price / (T * curve)
        if abs(step) <= 4e-16:
            state[STOP], state[LOWER], state[UPPER] = _OPTIMAL, T, T
            return
        guess = T * math.exp(min(max(step, -2.0), 2.0))
        state[LAST] = 1.0 if abs(step) < 1e-8 else 0.0
    if high == math.inf:
        guess = max(guess, 1.001 * T) if guess > T else 2.0 * T
        state[T_NOW] = min(guess, state[T_FLAT]) if state[T_FLAT] > T else guess
        return
    smooth = low < guess < high
    if not smooth:
        fall = state[A_PRICE] - state[B_PRICE]
        meet = low + ((state[A_G] - state[B_G]) - state[B_PRICE] * (high - low)) / fall
        # The jump is where two near tangents meet; a side that is still far off is brought near by overshooting.
        guess = meet - side * 4.0 * abs(meet - T) if side == state[SIDE] else meet
        guess = min(max(guess, low + 2.3e-16 * high), high - 2.3e-16 * high)
        state[LAST] = 0.0
    slow = high - low > 0.5 * state[WIDTH] and state[WIDTH] > 0.0
    if not low < guess < high or (slow and not (smooth and abs(guess - T) < 1e-3 * T)):
        guess = math.sqrt(low) * math.sqrt(high) if high > 1.1 * low else 0.5 * (low + high)
        if not low < guess < high:
            guess = high
    state[SIDE], state[WIDTH] = side, high - low
    state[T_NOW] = guess
