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
# Prices at A_T and B_T. For a goal of PRICE, where A_G and B_G are E: also their slopes; the width between (ln T); how
# far off the last pass was by Newton (relative to T), and the best one in ln price; passes in a row of little use
# (for a budget: those above it by no more than rounding may be); and EXACTLY how far off the last exact pass was, inf
# before the first.
A_PRICE, B_PRICE, A_CURVE, B_CURVE, WIDTH, OFF, MISS, STUCK = 16, 17, 18, 19, 20, 21, 22, 23
E_NOW, PRICE_NOW = 24, 25  # what the last pass found [J], [W]
EXACTLY = 26
STATE = 27

State = FloatArray | list[float]  # an array where compiled code runs it

_ENERGY, _POWER, _DEADLINE, _PRICE = int(Goal.ENERGY), int(Goal.POWER), int(Goal.DEADLINE), int(Goal.PRICE)
_OPTIMAL, _SLACK, _LIMIT = float(Stop.OPTIMAL), float(Stop.SLACK), float(Stop.LIMIT)

_MARGIN = 2e-15  # aim this far inside the budget: the rounding of the sum must not exceed it
_ROUNDED = 1e-12  # closer to the budget than this, the rounding of the sum may be all that is seen
_TRIES = 3  # passes so close, and above it, that show that it is
_SHARP = 1e-9  # a bracket this narrow is closed where its end uses the budget up
_CERTAIN = 3e-6  # a step below this leaves an error of its cube
_ULPS = 1e-15  # a bracket this narrow, relative, is closed
_DOWN, _DOWN_STEEPLY, _STEEP = 1e-6, 1e-10, 1e4  # relative to a price of time: what is near enough above it; elasticity
_BLURRED = 1e-4  # relative: durations and prices so close that a rough pass may take one for the other
_NEXT = 1.0 + 4e-16  # times a duration: an ulp or two later
_BENT, _NOISE = 1.5, 4e-15  # times what a tangent says, and relative to E: what E cannot fall by between two durations
_FAR = 4.0  # ln T: no step goes further
_NEAR = 0.02  # ln T: ends closer than this know where the price jumps between them
_PATIENCE = 10  # passes of Halley's step before the tangent decides alone
_PASSES = 200


@shared
def advance(state: State, e: float, price: float, curve: float) -> None:
    """From E [J], -E' [W] and E'' [W/s] at T_NOW: tighten the bounds, then stop or say where to look next."""
    state[PASSES] += 1.0
    exact, state[LAST] = state[LAST] != 0.0, 0.0
    if state[GOAL] == _PRICE:
        _advance_price(state, e, price, curve, exact)
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
    beyond = value == math.inf and not price * T < math.inf  # no number: without a limit, that is too short, too
    if beyond or not e < math.inf:  # next to a T_min that no power reaches (p_max = inf): no more is learnt
        state[LOWER] = max(state[LOWER], T * _NEXT)
        state[T_NOW] = 0.5 * (T + state[UPPER]) if state[UPPER] < math.inf else 2.0 * T
        return
    limit = value * T if power else value
    slope = price + (value if power else 0.0)  # -g'
    # An energy budget above E_inf is met at T_flat, whatever rounding says; an ulp later all rows are slack.
    latest = math.inf if power else max(state[T_FLAT], state[T_MIN]) * _NEXT
    g = e - limit if latest > T else min(e - limit, 0.0)
    if 0.0 < g <= _ROUNDED * limit:
        state[STUCK] += 1.0
    margin = _MARGIN * limit * 2.0 ** max(state[STUCK] - _TRIES, 0.0)  # should the sum's rounding be greater
    if g <= 0.0:
        if state[T_MIN] >= T:
            state[STOP], state[LOWER], state[UPPER] = _SLACK, T, T
            return
        if state[B_T] > T:
            state[B_T], state[B_G] = T, g
        state[UPPER] = min(state[UPPER], T)
    elif state[A_T] < T:
        state[A_T], state[A_G], state[A_PRICE] = T, g, price
        state[LOWER] = max(state[LOWER], T)
    tangent = T + g / slope if slope > 0.0 else (-math.inf if g <= 0.0 else math.inf)
    if tangent < math.inf:
        state[LOWER] = max(state[LOWER], tangent)
    bent = False
    if state[A_T] > 0.0 and state[B_T] < math.inf:
        line = (state[A_PRICE] + (value if power else 0.0)) * (state[B_T] - state[A_T])
        bent = falls_too_much(state[A_G] - state[B_G], line, _NOISE * (state[A_G] + limit))
    if bent:
        state[LOWER] = state[A_T]
    met = state[B_T] < math.inf and state[B_G] >= -4.0 * margin  # by B_T, and used up but for rounding
    sharp = _SHARP if met else _ULPS
    if state[B_T] < math.inf and state[B_T] - max(state[LOWER], state[A_T]) <= sharp * state[B_T]:
        if not met and state[A_T] < state[T_MIN] and state[LOWER] <= state[T_MIN]:  # as far as is known T_min will do
            state[T_NOW], state[LAST] = state[T_MIN], 1.0
            return
        state[STOP], state[T_NOW] = _OPTIMAL, state[B_T]
        return
    rounding = met and 0.0 < g <= 4.0 * margin  # all between is
    if rounding and state[B_T] - T <= _NEAR * state[B_T]:
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
    guess = halley_guess(T, e, price, curve, floor, limit, 1.0 if power else 0.0)
    if not low < guess < high:
        far = not abs(low - guess) <= 0.1 * abs(T - low)
        guess = low
        if far and low > state[T_MIN] and high < math.inf:  # the bounds are proved: halve what is between them
            guess = 0.5 * (low + high)
    if bent:
        guess = 0.5 * (low + high)
    elif rounding:  # but E is flat between, and the least T that is met may be far before B_T
        guess = T * math.sqrt(state[B_T] / T)
    elif met and g > 0.0 and slope > 0.0:  # g ~ (B_T - T)^n: where it is no more than rounding
        left = state[B_T] - T
        guess = max(low, state[B_T] - left * (2.0 * margin / g) ** min(g / (slope * left), 1.0))
    elif met or (state[PASSES] > _PATIENCE and state[PASSES] % 2.0 == 0.0):
        guess = low
    elif slope > 0.0 and guess > state[T_MIN]:
        guess += margin / slope
        if guess > high:  # the price at T is all but 0, and says nothing of E where the budget is used up
            guess = 0.5 * (low + high)
    if guess == T:
        guess = T * _NEXT if g > 0.0 else T * (1.0 - 4e-16)
    state[LAST] = 1.0 if abs(guess - T) <= _CERTAIN * T else 0.0
    state[T_NOW] = min(max(guess, state[T_MIN]), latest)


@shared
def falls_too_much(fall: float, line: float, hidden: float) -> bool:
    """Whether E falls by more [J] than its tangent at the first of two durations lets a convex one, and rounding may.

    Within an ulp of a kink E may be that before it, times what the ulp is worth there, and the price that behind it.
    """
    return fall > _BENT * line + hidden


@shared
def halley_guess(T: float, e: float, price: float, curve: float, floor: float, limit: float, tilt: float) -> float:
    """Halley's step on h(y) = ln((E - floor)/(limit - floor)) - tilt-scaled ln T, y = ln T; NaN where it has none."""
    above, wanted = e - floor, limit - floor
    if not (above > 0.0 and 0.0 < wanted < math.inf) or (price <= 0.0 and tilt == 0.0):
        return math.nan
    h = math.log(above / wanted)
    p, q = T * price / above, T * T * curve / above
    h1, h2 = -(p + tilt), q - p - p * p
    below = 2.0 * h1 * h1 - h * h2
    step = -2.0 * h * h1 / below if below > 0.0 else -h / h1
    return T * math.exp(min(max(step, -3.0), 3.0))


@shared
def _advance_price(state: State, e: float, price: float, curve: float, exact: bool) -> None:
    """The T with price(T+) <= value <= price(T-), the least of the convex E(T) + value T; the price may jump there.

    Both ends of what is left, A and B, have a model of E: its price a power of T. The answer is where A's price falls
    to the value, or B's rises to it, or where the price jumps between: where the models cross.
    """
    T, value = state[T_NOW], state[VALUE]
    if not (e < math.inf and price < math.inf):  # next to a T_min that no power reaches (p_max = inf): no model of it
        state[A_T], state[A_PRICE], state[LOWER] = T, 0.0, T
        half = T * math.sqrt(state[B_T] / T) if T > 0.0 else 0.5 * state[B_T]
        state[T_NOW] = half if state[B_T] < math.inf else 2.0 * T
        return
    if price <= value:
        if state[T_MIN] >= T:
            state[STOP], state[LOWER], state[UPPER] = _OPTIMAL, T, T
            return
        if state[B_T] >= T:
            state[B_T], state[B_G], state[B_PRICE], state[B_CURVE], state[UPPER] = T, e, price, curve, T
    elif state[A_T] <= T:
        state[A_T], state[A_G], state[A_PRICE], state[A_CURVE], state[LOWER] = T, e, price, curve, T
    if exact and state[EXACTLY] == math.inf:  # a rough pass so near may have taken one side for the other
        if T * (1.0 - _BLURRED) < state[A_T] < T and state[A_PRICE] < value * (1.0 + _BLURRED):
            state[A_T], state[LOWER] = -math.inf, state[T_MIN]
        if T < state[B_T] < T * (1.0 + _BLURRED) and state[B_PRICE] > value * (1.0 - _BLURRED):
            state[B_T] = state[UPPER] = math.inf
    low, high = max(state[A_T], state[T_MIN]), state[B_T]
    line = abs(price - value) / curve if curve > 0.0 else 0.0  # a price all but 0 says nothing by its logarithm
    off = max(abs(_root(T, price, curve, value) - T), line) / T
    certain = state[OFF] < 1e-7 and off < 1e-13  # Newton squares: what is left is rounding
    nothing = off < 1e-6 and off * abs(price - value) * T < 1e-17 * (abs(e) + value * T)
    nothing = nothing and off > 0.25 * state[EXACTLY]  # an exact pass does no better than the last one
    # Before that it may fall steeply at first, and then hardly.
    down = price <= value * (1.0 + min(max(_STEEP * off, _DOWN_STEEPLY), _DOWN))
    if down and (off <= _ULPS or certain or nothing):
        state[STOP], state[LOWER], state[UPPER] = _OPTIMAL, max(low, T * (1.0 - off)), min(high, T * (1.0 + off))
        return
    if state[A_T] > 0.0 and low >= high * (1.0 - 4.0 * _ULPS):
        state[STOP], state[T_NOW] = _OPTIMAL, high
        return
    guess = _root(T, price, curve, value)
    if value < price <= value * (1.0 + _DOWN) and off <= _ULPS:
        guess = T * _NEXT
    width = math.log(high / low) if low > 0.0 and high < math.inf else math.inf
    if price <= value and guess <= state[T_MIN]:
        guess = state[T_MIN] if state[A_T] < 0.0 else guess
    elif state[A_T] > 0.0 and high < math.inf and (width < _NEAR or not low < guess < high):
        guess = _between(state, low, high)
    miss = abs(math.log(price / value)) if price > 0.0 else math.inf
    state[STUCK] = state[STUCK] + 1.0 if width > 0.5 * state[WIDTH] and miss > 0.5 * state[MISS] else 0.0
    if state[STUCK] == 2.0 and low < guess < high < math.inf:  # beyond that guess, short of the far end
        near, far = abs(guess - T), high - T if guess > T else T - low
        guess = T + math.copysign(far * min((near / far) ** (2.0 / 3.0), 0.5), guess - T)
    elif (not low < guess < high and guess != state[T_MIN]) or (state[STUCK] > 2.0 and high < math.inf):
        guess = low * math.sqrt(high / low) if high < math.inf else 4.0 * T
        guess = guess if low < guess < high else 0.5 * (low + high)
    state[WIDTH], state[OFF], state[MISS] = width, off, min(state[MISS], miss)
    state[EXACTLY] = off if exact else state[EXACTLY]
    state[LAST] = 1.0 if off < 1e-8 or width < 1e-12 else 0.0
    state[T_NOW] = guess


@shared
def _between(state: State, low: float, high: float) -> float:
    """Where the models of both ends say that the price is the value."""
    value = state[VALUE]
    first = _root(low, state[A_PRICE], state[A_CURVE], value)
    last = _root(high, state[B_PRICE], state[B_CURVE], value)
    near, far = low, high  # A's model lies above B's before the models cross
    for _ in range(60):
        middle = 0.5 * (near + far)
        of_a = _model(middle, low, state[A_G], state[A_PRICE], state[A_CURVE])
        of_b = _model(middle, high, state[B_G], state[B_PRICE], state[B_CURVE])
        near, far = (middle, far) if of_a > of_b else (near, middle)
    if first <= near:
        return first
    if last >= near:
        return last
    # A jump: the next pass falls to one side of it; the end that is far off is brought near by overshooting.
    wide = high - low
    if (state[A_PRICE] - state[B_PRICE]) * wide < 4e-16 * abs(state[B_G]):
        return 0.5 * (low + high)  # E's own rounding hides where they cross
    least = 2.0 * _ULPS * high
    if state[STUCK] > 0.0:
        least += (0.1 if wide > _NEAR * high else 1e-3) * wide
    if near - low < 1e-3 * wide:
        return min(near + max(4.0 * (near - low), least), 0.5 * (low + high))
    if high - near < 1e-3 * wide:
        return max(near - max(4.0 * (high - near), least), 0.5 * (low + high))
    return near


@shared
def _root(T: float, price: float, curve: float, value: float) -> float:
    """Where a price that is a power of the duration, with this price and slope at T, is ``value``."""
    if not (price > 0.0 and curve > 0.0):
        return 0.0 if price < value else math.inf
    return T * math.exp(min(max(math.log(price / value) * price / (T * curve), -_FAR), _FAR))


@shared
def _model(T: float, at: float, e: float, price: float, curve: float) -> float:
    """E(T) where the price is a power of T, from E, price and slope at a duration: e less the integral of the price."""
    if not (price > 0.0 and curve > 0.0):
        return e - price * (T - at)
    k = 1.0 - at * curve / price
    log_ratio = math.log(T / at)
    if abs(k * log_ratio) < 1e-8:
        return e - price * at * log_ratio
    return e - price * at * math.expm1(min(k * log_ratio, 600.0)) / k


@shared
def begin(state: State, goal: float, value: float, t_min: float, t_flat: float, e_inf: float) -> None:
    """A fresh state from zeros; T_NOW is a first guess, or the answer where the limits alone know it (STOP is set)."""
    state[GOAL], state[VALUE], state[T_MIN], state[T_FLAT], state[E_INF] = goal, value, t_min, t_flat, e_inf
    state[LOWER], state[UPPER], state[A_T], state[B_T] = t_min, math.inf, -math.inf, math.inf
    state[T_NOW] = min(2.0 * t_min, t_flat)
    if goal == _PRICE:
        state[WIDTH], state[OFF], state[MISS], state[EXACTLY] = math.inf, math.inf, math.inf, math.inf
        if t_flat < math.inf:
            state[B_T] = state[UPPER] = t_flat * _NEXT  # an ulp later, so that all rows are slack there
            state[B_G] = e_inf
    if value == math.inf and (t_min > 0.0 or t_flat == 0.0):
        state[T_NOW] = t_min
    elif goal == _DEADLINE:
        state[T_NOW], state[STOP] = value, _OPTIMAL
    elif goal == _ENERGY and value == e_inf:
        state[T_NOW], state[STOP] = t_flat, _OPTIMAL
    elif t_flat == 0.0:  # everybody is idle
        state[T_NOW], state[STOP] = 0.0, _OPTIMAL
    elif t_min == 0.0:  # uploads alone, with power without limit
        state[T_NOW] = min(t_flat, 1.0)
