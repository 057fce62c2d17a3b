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
from solvers.blocks import ORDINARY, Columns
from solvers.compile import kernel, stage
from solvers.curvature import HAIR
from solvers.duration.preview import preview
from solvers.duration.sampling import part_of, share_of, weigh
from solvers.duration.steps import (
    A_G,
    A_PRICE,
    A_T,
    E_NOW,
    GOAL,
    LAST,
    LOWER,
    PASSES,
    PRICE_NOW,
    STATE,
    STOP,
    T_FLAT,
    T_MIN,
    T_NOW,
    UPPER,
    VALUE,
    advance,
    begin,
)
from solvers.duration.verdicts import Seen, allowance, bracket, hides, honest, infeasible, raised
from solvers.memory import table
from solvers.plan import Plan, frozen, make_plan, plan_of
from solvers.rows import (
    ROUNDING,
    Allocate,
    BackendError,
    BoolArray,
    FloatArray,
    Goal,
    Point,
    Rows,
    Stop,
    Timing,
    greatest_of,
)
from solvers.shift import SHORT, shift_blocks
from solvers.threads import CHUNK, each_chunk

LARGE = 1 << 12  # from this many rows on a sample makes the first guess, where no preview does
_SAMPLE_LEAST, _SAMPLE_MOST, _SHARE = 512, 4096, 16  # its rows: one in so many, within these bounds
_ROUGHLY = 0.02  # relative: the step from which on a sample knows no better
_AT_BOUND = 1e-12  # relative: a value this near its bound is at it


def schedule(rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The duration for a goal; relative error of T about 1e-15 times the condition of the problem.

    With the compiled kernel of level 3 the passes keep their last answer as the next start; any other method is
    called anew at every pass, and Stop.LIMIT is the answer where one gives up.
    """
    plan = make_plan(rows)
    value = raised(goal, value, plan.e_inf, plan.t_flat)
    decided = _closed_form(plan, goal, value)
    if decided not in (None, Stop.OPTIMAL, Stop.SLACK):
        return Timing(stop=decided, duration=math.nan, lower=math.nan, upper=math.nan, passes=0, point=None)
    state = _state(plan, goal, value)
    if decided is not None:
        state[STOP], state[LOWER], state[UPPER] = float(decided), state[T_NOW], state[T_NOW]
    if allocate is not level3.allocate:
        try:
            return honest(_with_method(rows, state, goal, allocate), rows, goal, value, allocate)
        except BackendError:
            return infeasible(Stop.LIMIT, int(state[PASSES]))
    room = table(7, plan.size)
    out, odds = room[:6], room[6]
    previewed = decided is None and plan.blocks <= CHUNK and preview(plan, state, odds)
    if decided is None and not previewed and plan.size >= LARGE:
        _guess_from_sample(plan, state)
    state = _with_kernel(plan, state, out, odds, previewed)
    return honest(_timing(state, goal, complete(rows, plan, state[T_NOW], out)), rows, goal, value, allocate)


def _closed_form(plan: Plan, goal: Goal, value: float) -> Stop | None:
    """What the limits alone decide; the state's T_NOW is then the duration."""
    if plan.t_min == math.inf:
        return Stop.UNREACHABLE
    if goal is Goal.DEADLINE:
        return Stop.TOO_SHORT if value < plan.t_min * ROUNDING else Stop.OPTIMAL
    if goal is Goal.ENERGY and value <= plan.e_inf:
        if plan.t_flat <= plan.t_min and value == plan.e_inf:
            return Stop.SLACK
        return Stop.OPTIMAL if value == plan.e_inf and plan.t_flat < math.inf else Stop.TOO_LITTLE
    if goal is Goal.POWER and value == 0.0:
        return Stop.SLACK if plan.e_inf == 0.0 and plan.t_flat <= plan.t_min else Stop.TOO_LITTLE
    if plan.t_min == 0.0 and plan.t_flat == 0.0:
        return Stop.OPTIMAL if goal is Goal.PRICE else Stop.SLACK
    return None


def _state(plan: Plan, goal: Goal, value: float) -> list[float]:
    """A fresh state, its T_NOW a first guess (or the answer where the closed form knows it)."""
    state = [0.0] * STATE
    begin(state, float(goal), value, plan.t_min, plan.t_flat, plan.e_inf)
    return state


def _with_kernel(plan: Plan, state: list[float], out: FloatArray, odds: FloatArray, warm: bool) -> list[float]:
    """Search; out (6, N) or (4, 0), odds (N,), warm: as in price_blocks, the last two rows of ``out`` garbage.

    A large fleet's passes are spread over threads, the sums per block: no bit depends on the threads.
    """
    sums = np.empty((plan.blocks, 3))
    if plan.blocks <= CHUNK:
        numbers = np.array(state)
        search(plan.kind, plan.columns, plan.priced, numbers, odds, warm, sums, out)
        ended: list[float] = numbers.tolist()
        return ended
    nothing = np.empty((4, 0))
    while True:
        stopped, last = state[STOP] != 0.0, state[LAST] != 0.0
        target, tolerance = (out[:4], EXACT) if stopped or last else (nothing, CLOSE)
        T = state[T_NOW]
        price = partial(price_blocks, plan.kind, plan.columns, plan.priced, T, odds, warm, tolerance, sums, target)
        each_chunk(price, plan.blocks)
        with np.errstate(over="ignore", invalid="ignore"):  # power without limit
            found = np.ascontiguousarray(sums.T).sum(axis=1).tolist()  # pairwise: many blocks, and little rounding
        state[E_NOW], state[PRICE_NOW], _ = found
        if stopped:
            return state
        warm = True
        advance(state, *found)
        if last and state[STOP] != 0.0 and state[T_NOW] == T:
            return state


def _guess_from_sample(plan: Plan, state: list[float]) -> None:
    """Solve every k-th row; the full search starts from that duration.

    With their share by number, then with that of the duration found so.
    """
    stride = plan.size // min(max(plan.size // _SHARE, _SAMPLE_LEAST), _SAMPLE_MOST)
    columns = tuple(c if c.shape[0] == 1 else frozen(c[::stride]) for c in plan.columns)
    kind = plan.kind if plan.kind.shape[0] == 1 else frozen(plan.kind[::stride])
    sample = plan_of(kind, columns, plan.priced, len(range(0, plan.size, stride)))
    goal, odds, share = Goal(int(state[GOAL])), np.empty(sample.size), sample.size / plan.size
    for again in (True, False):
        value = part_of(goal, state[VALUE], plan.e_inf, share, sample.e_inf)
        if not 0.0 < value < math.inf or _closed_form(sample, goal, value) is not None:
            return
        inner = _state(sample, goal, value)
        if not again:
            inner[T_NOW] = min(max(state[T_NOW], sample.t_min), max(sample.t_flat, sample.t_min))
        if not preview(sample, inner, odds):
            inner = _with_kernel(sample, inner, np.empty((4, 0)), odds, False)
        if not math.isfinite(inner[T_NOW]):
            return
        state[T_NOW] = T = min(max(inner[T_NOW], state[T_MIN]), max(state[T_FLAT], state[T_MIN]))
        if again:
            share = share_of(goal, _weight(sample, T), sample.e_inf, _weight(plan, T), plan.e_inf)


def _weight(plan: Plan, T: float) -> float:
    """What weigh() says that all rows of a plan spend."""
    return sum(each_chunk(lambda first, last: weigh(plan.columns, T, plan.size, first, last)[0], plan.blocks))


def _with_method(rows: Rows, state: list[float], goal: Goal, allocate: Allocate) -> Timing:
    """Search with any method of level 3."""
    while True:
        T = state[T_NOW]
        point = allocate(rows, T)
        state[E_NOW], state[PRICE_NOW] = float(point.energy.sum()), float(point.price.sum())
        if state[STOP] != 0.0:
            return _timing(state, goal, point)
        advance(state, state[E_NOW], state[PRICE_NOW], _curvature(rows, point))
        if state[STOP] != 0.0 and state[T_NOW] == T:
            return _timing(state, goal, point)


def _curvature(rows: Rows, point: Point) -> float:
    """d2E/dT2 of all rows, to the right of T: as in curvature.curve_block."""
    r = rows.full()
    f, t, tau, x = point.frequency, point.compute_time, point.upload_time, point.efficiency
    with np.errstate(all="ignore"):
        hair = HAIR * (r.fixed_time + t + tau)
        curve_t = 6.0 * r.capacitance * r.work**3 / t**4
        curve_tau = x * x * np.exp(x) / (r.snr * tau)
        free_t = _inside(f, r.frequency_min, r.frequency_max, hair / t) & (r.work > 0.0)
        free_tau = _inside(np.expm1(x) / r.snr, r.power_min, r.power_max, hair * (1.0 + x) / tau) & (r.bits > 0.0)
        pays = (f > r.frequency_min) & (2.0 * r.capacitance * f**3 - r.static_power >= point.price * (1.0 - _AT_BOUND))
        one = np.where(free_t | (pays & ~free_tau & (r.work > 0.0)), curve_t, curve_tau)
        curve = np.where(free_t & free_tau, 1.0 / (1.0 / curve_t + 1.0 / curve_tau), one)
    busy = (point.price > 0.0) & np.isfinite(curve)
    return float(np.where(busy, curve, 0.0).sum())


def _inside(value: FloatArray, low: FloatArray, high: FloatArray, hidden: FloatArray) -> BoolArray:
    """Off both bounds by more than rounding, which hides so much (relative) of where T is met."""
    at = np.maximum(hidden, _AT_BOUND)
    result: BoolArray = (value > low * (1.0 + at)) & (value < high * (1.0 - at))
    return result


def _timing(state: list[float], goal: Goal, point: Point) -> Timing:
    return timing_of(state, goal, point, greatest_of(point.efficiency))


def timing_of(state: list[float], goal: Goal, point: Point | None, greatest: float) -> Timing:
    """What a search ended with; greatest: of the point's x."""
    T = state[T_NOW]
    lower, upper = min(state[LOWER], T), max(state[UPPER], T)
    if goal in (Goal.ENERGY, Goal.POWER):
        energy, watts = state[E_NOW], state[VALUE] if goal is Goal.POWER else 0.0
        here = Seen(T, energy - allowance(goal, state[VALUE], T), state[PRICE_NOW] + watts)
        early = Seen(state[A_T], state[A_G], state[A_PRICE] + watts) if state[A_T] > 0.0 else None
        latest = math.inf if goal is Goal.POWER else state[T_FLAT]
        lower, upper = bracket(hides(greatest) * energy, min(state[T_MIN], T), latest, early, here)
    return Timing(
        stop=Stop(int(state[STOP])), duration=T, lower=lower, upper=upper, passes=int(state[PASSES]), point=point
    )


@stage
def total_of(sums: FloatArray) -> tuple[float, float, float]:
    """The sums of all blocks (blocks, 3), in order."""
    e, price, curve = 0.0, 0.0, 0.0
    for b in range(sums.shape[0]):
        e += sums[b, 0]
        price += sums[b, 1]
        curve += sums[b, 2]
    return e, price, curve


@kernel
def search(
    kind: NDArray[np.uint8],
    columns: Columns,
    priced: bool,
    state: FloatArray,
    odds: FloatArray,
    warm: bool,
    sums: FloatArray,
    out: FloatArray,
) -> None:
    """Run a search to its end, or roughly where nothing is kept: out (6, N), (4, N) or (4, 0).

    odds (N,), warm, sums (blocks, 3), out: as in price_blocks; all written.
    """
    first, blocks = int(np.int64(0)), sums.shape[0]  # a literal would compile price_blocks once more
    near = SHORT if out.shape[0] > 5 and kind.shape[0] == 1 and kind[0] == ORDINARY else -1.0
    kept = math.nan  # the duration that out is of
    nothing, met = np.empty((4, 0)), np.empty(blocks, dtype=np.int64)
    while True:
        last = state[STOP] != 0.0 or state[LAST] != 0.0
        T = state[T_NOW]
        if last and abs(T - kept) <= near * T:
            shift_blocks(columns, kept, T, sums, out, met)
            for block in range(blocks):
                if met[block] > 0:
                    price_blocks(kind, columns, priced, T, odds, warm, EXACT, sums, out, block, block + 1)
            kept = T
        elif last:
            price_blocks(kind, columns, priced, T, odds, warm, EXACT, sums, out, first, blocks)
            kept = T
        else:
            price_blocks(kind, columns, priced, T, odds, warm, CLOSE, sums, nothing, first, blocks)
        warm = bool(np.bool_(True))
        e, lam, curve = total_of(sums)
        state[E_NOW], state[PRICE_NOW] = e, lam
        if state[STOP] != 0.0:
            return
        if not (e < math.inf and lam < math.inf):
            kept = math.nan  # no derivatives to go on with
        advance(state, e, lam, curve)
        if state[STOP] != 0.0 and last and state[T_NOW] == T:
            return
        if out.shape[1] == 0 and abs(state[T_NOW] - T) <= _ROUGHLY * T:
            return
