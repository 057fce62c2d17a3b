"""Level 2: Halley's step on ln(E - E_inf) against ln T, between bounds that are proved at every pass.

E(T) is convex, so at any T the zero of the tangent of E - budget lies at or before the best duration, and the zero of
a chord across it at or behind: whatever the step, the answer stays between the two, and after a few passes the tangent
alone decides (Newton on a convex function climbs to its root without passing it). Large fleets first solve a strided
sample of their rows.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from solvers.allocation import kernel as level3
from solvers.allocation.kernel import CLOSE, EXACT, complete, price_blocks
from solvers.compile import kernel, shared
from solvers.plan import Columns, K, Plan, frozen, limits_of, make_plan
from solvers.rows import ROUNDING, Allocate, FloatArray, Goal, Point, Rows, Stop, Timing
from solvers.threads import each_chunk

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
_LARGE = 1 << 15  # from this many rows on a sample makes the first guess
_SAMPLE = 4096


def schedule(rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The duration for a goal; relative error of T about 1e-15 times the condition of the problem.

    With the compiled kernel of level 3 the passes keep their last answer as the next start; any other method is
    called anew at every pass.
    """
    plan = make_plan(rows)
    decided = _closed_form(plan, goal, value)
    if decided not in (None, Stop.OPTIMAL, Stop.SLACK):
        return Timing(stop=decided, duration=math.nan, lower=math.nan, upper=math.nan, passes=0, point=None)
    state = _state(plan, goal, value)
    if decided is not None:
        state[STOP], state[LOWER], state[UPPER] = float(decided), state[T_NOW], state[T_NOW]
    if allocate is not level3.allocate:
        return _with_method(rows, state, allocate)
    if plan.size >= _LARGE and decided is None:
        _guess_from_sample(plan, state)
    out = np.empty((4, plan.size))
    _with_kernel(plan, state, out)
    return _timing(state, complete(rows, plan, state[T_NOW], out))


def _closed_form(plan: Plan, goal: Goal, value: float) -> Stop | None:
    """What the limits alone decide; the state's T_NOW is then the duration."""
    if plan.t_min == math.inf:
        return Stop.UNREACHABLE
    if goal is Goal.DEADLINE:
        return Stop.TOO_SHORT if value < plan.t_min * ROUNDING else Stop.OPTIMAL
    if goal is Goal.ENERGY and value <= plan.e_inf:
        if plan.t_min == 0.0 and value == plan.e_inf:
            return Stop.SLACK
        return Stop.OPTIMAL if value == plan.e_inf and plan.t_flat < math.inf else Stop.TOO_LITTLE
    if goal is Goal.POWER and value == 0.0 and plan.t_min > 0.0:
        return Stop.TOO_LITTLE
    if plan.t_min == 0.0:
        return Stop.OPTIMAL if goal is Goal.PRICE else Stop.SLACK
    return None


def _state(plan: Plan, goal: Goal, value: float) -> list[float]:
    """A fresh state, its T_NOW a first guess (or the answer where the closed form knows it)."""
    state = [0.0] * STATE
    state[GOAL], state[VALUE] = float(goal), value
    state[T_MIN], state[T_FLAT], state[E_INF] = plan.t_min, plan.t_flat, plan.e_inf
    state[LOWER], state[UPPER], state[A_T], state[B_T] = plan.t_min, math.inf, -math.inf, math.inf
    state[T_NOW] = min(2.0 * plan.t_min, plan.t_flat)
    if goal is Goal.DEADLINE:
        state[T_NOW] = value
    elif goal is Goal.ENERGY and value == plan.e_inf:
        state[T_NOW] = plan.t_flat
    elif value == math.inf or goal is Goal.PRICE:
        state[T_NOW] = plan.t_min
    return state


def _with_kernel(plan: Plan, state: list[float], out: FloatArray) -> None:
    """Search, each pass spread over threads; the sums are per block, so their bits do not depend on threads."""
    v, sums, nothing = np.empty(plan.size), np.empty((plan.blocks, 3)), np.empty((4, 0))
    warm = False
    while True:
        stopped, last = state[STOP] != 0.0, state[LAST] != 0.0
        target, tolerance = (out, EXACT) if stopped or last else (nothing, CLOSE)
        T = state[T_NOW]
        price = partial(price_blocks, plan.kind, plan.columns, plan.priced, T, v, warm, tolerance, sums, target)
        each_chunk(price, plan.blocks)
        if stopped:
            return
        warm = True
        advance(state, *sums.sum(axis=0).tolist())
        if last and state[STOP] != 0.0 and state[T_NOW] == T:
            return


def _guess_from_sample(plan: Plan, state: list[float]) -> None:
    """Solve every k-th row with its share of the budget; the full search starts from that duration.

    The share of what a budget leaves above E_inf is by kappa W^3, which is what more time saves on.
    """
    stride = plan.size // _SAMPLE
    columns = tuple(c if c.shape[0] == 1 else frozen(c[::stride]) for c in plan.columns)
    kind = plan.kind if plan.kind.shape[0] == 1 else frozen(plan.kind[::stride])
    sample = sample_plan(kind, columns, plan.priced, len(range(0, plan.size, stride)))
    goal, value = Goal(int(state[GOAL])), state[VALUE]
    share = sample.size / plan.size
    if columns[K].shape[0] > 1:
        share = float(columns[K].sum()) / float(plan.columns[K].sum())
    value = sample.e_inf + (value - plan.e_inf) * share if goal is Goal.ENERGY else value * share
    if not 0.0 < value < math.inf or _closed_form(sample, goal, value) is not None:
        return
    inner = _state(sample, goal, value)
    _with_kernel(sample, inner, np.empty((4, sample.size)))
    if math.isfinite(inner[T_NOW]):
        state[T_NOW] = min(max(inner[T_NOW], state[T_MIN]), max(state[T_FLAT], state[T_MIN]))


def sample_plan(kind: NDArray[np.uint8], columns: Columns, priced: bool, size: int) -> Plan:
    """A plan of given columns with its own limits."""
    t_min, t_flat, e_inf = limits_of(kind, columns, size)
    return Plan(size=size, kind=kind, columns=columns, priced=priced, t_min=t_min, t_flat=t_flat, e_inf=e_inf)


def _with_method(rows: Rows, state: list[float], allocate: Allocate) -> Timing:
    """Search with any method of level 3."""
    while True:
        T = state[T_NOW]
        point = allocate(rows, T)
        if state[STOP] != 0.0:
            return _timing(state, point)
        advance(state, float(point.energy.sum()), float(point.price.sum()), _curvature(rows, point))
        if state[STOP] != 0.0 and state[T_NOW] == T:
            return _timing(state, point)


def _curvature(rows: Rows, point: Point) -> float:
    """d2E/dT2 of all rows: 1/(1/phi_t + 1/phi_tau) inside, the free one's at a bound, 0 with time to spare."""
    r = rows.full()
    t, tau, x = point.compute_time, point.upload_time, point.efficiency
    with np.errstate(all="ignore"):
        curve_t = 6.0 * r.capacitance * r.work**3 / t**4
        curve_tau = x * x * np.exp(x) / (r.snr * tau)
        free_t = (point.frequency > r.frequency_min) & (point.frequency < r.frequency_max) & (r.work > 0.0)
        power = np.expm1(x) / r.snr
        free_tau = (power > r.power_min) & (power < r.power_max) & (r.bits > 0.0)
        inside = 1.0 / (1.0 / curve_t + 1.0 / curve_tau)
        curve = np.where(free_t & free_tau, inside, np.where(free_t, curve_t, curve_tau))
    busy = (point.price > 0.0) & np.isfinite(curve)
    return float(np.where(busy, curve, 0.0).sum())


def _timing(state: list[float], point: Point) -> Timing:
    stop = Stop(int(state[STOP]))
    return Timing(
        stop=stop,
        duration=float(state[T_NOW]),
        lower=float(min(state[LOWER], state[T_NOW])),
        upper=float(max(min(state[UPPER], state[B_T]), state[T_NOW])) if stop is Stop.LIMIT else float(state[T_NOW]),
        passes=int(state[PASSES]),
        point=point,
    )


@kernel
def search(
    kind: NDArray[np.uint8],
    columns: Columns,
    priced: bool,
    state: FloatArray,
    v: FloatArray,
    sums: FloatArray,
    out: FloatArray,
) -> None:
    """Run a search to its end. v (N,), sums (blocks, 3), out (4, N) or (4, 0): as in price_blocks; all written."""
    first, blocks = int(np.int64(0)), sums.shape[0]  # a literal would compile price_blocks once more
    warm = bool(np.bool_(False))
    nothing = np.empty((4, 0))
    while True:
        last = state[STOP] != 0.0 or state[LAST] != 0.0
        T = state[T_NOW]
        if last:
            price_blocks(kind, columns, priced, T, v, warm, EXACT, sums, out, first, blocks)
        else:
            price_blocks(kind, columns, priced, T, v, warm, CLOSE, sums, nothing, first, blocks)
        warm = bool(np.bool_(True))
        if state[STOP] != 0.0:
            return
        e, lam, curve = 0.0, 0.0, 0.0
        for b in range(blocks):
            e += sums[b, 0]
            lam += sums[b, 1]
            curve += sums[b, 2]
        advance(state, e, lam, curve)
        if state[STOP] != 0.0 and last and state[T_NOW] == T:
            return


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
    state[T_NOW] = max(guess, state[T_MIN])


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
