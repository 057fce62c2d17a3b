"""What a method of level 2 need not search for, as the limits of the rows prove it, and what its answer proves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solvers.compile import shared
from solvers.duration.steps import falls_too_much
from solvers.rows import ROUNDING, Allocate, Goal, Limits, Point, Rows, Stop, Timing, greatest_of

KNOWN = 1e-2  # relative: a duration that its bracket leaves more of open is not called the best
HIDES = 4e-15  # relative: what the rounding of a sum of energies, and of its terms, may hide
_HIDES_OF_POWER = 2.0**-51  # the same of e^x, over x: two roundings of x, each e^x times x of them
_HAIR = 4e-16  # relative: an ulp or two of a duration
_ENERGY = int(Goal.ENERGY)


class Seen(NamedTuple):
    """What pricing all rows says at a duration [s]: energy above the budget [J], and how fast that falls [W]."""

    duration: float
    excess: float
    slope: float


def closed_form(rows: Rows, known: Limits, goal: Goal, value: float) -> Timing | None:
    """The Timing where the limits alone decide, None where a duration has to be searched.

    Decided here (section 5 of the model): every row idle; a row that no duration suffices (UNREACHABLE); a deadline
    below T_min (TOO_SHORT); a budget below E_inf, or at E_inf where only an endless round reaches it (TOO_LITTLE). A
    positive power budget is never too little. None therefore promises that a duration exists.

    known : ``limits(rows)``. value : [J], [W], [s] or [W], as ``goal`` says.
    """
    if bool(rows.idle.all()):
        return _all_idle(len(rows), goal, value)
    if not math.isfinite(known.t_min):
        return infeasible(Stop.UNREACHABLE)
    if goal is Goal.DEADLINE and value < known.t_min * ROUNDING:
        return infeasible(Stop.TOO_SHORT)
    budgeted = goal is Goal.ENERGY or (goal is Goal.POWER and value == 0.0)
    endless = value == known.e_inf and math.isinf(known.t_flat)
    if budgeted and (value < known.e_inf or endless):
        return infeasible(Stop.TOO_LITTLE)
    return None


@shared
def raised(goal: int, value: float, e_inf: float, t_flat: float) -> float:
    """The budget; E_inf where that is more by no more than its rounding may hide, and a round of T_flat takes it."""
    hidden = goal == _ENERGY and e_inf * (1.0 - HIDES) <= value < e_inf
    return e_inf if hidden and t_flat < math.inf else value


def hides(greatest: float) -> float:
    """What the rounding of a sum of energies may hide, relative to it; greatest: of their x."""
    return max(HIDES, _HIDES_OF_POWER * greatest)


def bracket(hidden: float, least: float, latest: float, early: Seen | None, here: Seen) -> tuple[float, float]:
    """Bounds [s] of the least duration within a budget, rounding allowed for; ``here.duration`` lies between them.

    E is convex: where E - budget is g and falls by s, no round shorter than T + g/s keeps the budget. The same line
    says how much longer it may be, to first order; twice that is enough where it is little, else only ``latest`` is.
    A line from ``early`` that E falls below is none, nor is one from ``least``.

    hidden : [J] of the energy at ``here``, by rounding. least, latest : [s] bounds that hold in any case.
    early : a duration that was too short.
    """
    low, high = least, latest
    if early is not None and early.duration <= least:  # T_min: who has no time to spare may be an ulp of T off a bound
        early = None
    if early is not None and early.excess > hidden:
        line = early.slope * (here.duration - early.duration)
        if falls_too_much(early.excess - here.excess, line, hidden):  # the energy may be that of an ulp or so before
            low, early = max(low, early.duration * (1.0 - _HAIR)), None
    for seen in (here,) if early is None else (early, here):
        if seen.slope > 0.0 and seen.excess < math.inf:
            low = max(low, seen.duration + (seen.excess - hidden) / seen.slope)
    over = here.excess + hidden
    beyond = 2.0 * over / here.slope if over > 0.0 < here.slope else (math.inf if over > 0.0 else 0.0)
    if beyond <= 0.5 * KNOWN * here.duration:
        high = min(high, here.duration + beyond)
    return min(low, here.duration), max(high, here.duration)


def honest(timing: Timing, rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The same; where its bracket is wide, with another pass for either end, and stopped at a limit if still so.

    A wide bracket is none of the method's doing: next to E_inf the rounding of E hides how much more time saves.
    A deadline at which the energy is no number (T_min, where p_max = inf) is too short. Where no double is long enough,
    as the rounding of E is above the budget for good, no answer is in hand.
    """
    if math.isinf(timing.duration):
        return infeasible(Stop.LIMIT, timing.passes)
    if goal is Goal.DEADLINE and timing.point is not None and math.isinf(float(timing.point.energy.sum())):
        return infeasible(Stop.TOO_SHORT, timing.passes)
    if timing.point is None or is_known(timing, goal):
        return timing
    T, low, high, passes = timing.duration, timing.lower, timing.upper, timing.passes
    early, late = T * (1.0 - 0.49 * KNOWN), T * (1.0 + 0.49 * KNOWN)
    for duration in (early, late):
        if low < duration < high:
            passes += 1
            point = allocate(rows, duration)
            energy = float(point.energy.sum())
            excess, hidden = energy - allowance(goal, value, duration), hides(greatest_of(point.efficiency)) * energy
            if duration == early and excess > hidden:
                low = early
            elif duration == late and excess <= -hidden:
                high = late
    stop = timing.stop if high - low <= KNOWN * T else Stop.LIMIT
    return replace(timing, stop=stop, lower=low, upper=high, passes=passes)


def is_known(timing: Timing, goal: Goal) -> bool:
    """Whether the bracket is narrow, as far as the goal has one."""
    return goal not in (Goal.ENERGY, Goal.POWER) or timing.upper - timing.lower <= KNOWN * timing.duration


def infeasible(stop: Stop, passes: int = 0) -> Timing:
    """A Timing without an answer: NaN throughout."""
    return Timing(stop=stop, duration=math.nan, lower=math.nan, upper=math.nan, passes=passes, point=None)


def allowance(goal: Goal, value: float, duration: float) -> float:
    """The energy [J] a budget allows for ``duration`` [s]; ENERGY and POWER only."""
    if goal is Goal.ENERGY or math.isinf(value):
        return value
    return value * duration


def _all_idle(size: int, goal: Goal, value: float) -> Timing:
    """Nobody works: E = 0 at every duration, so every budget holds at T_min = 0; a deadline is kept as given."""
    duration = value if goal is Goal.DEADLINE else 0.0
    stop = Stop.SLACK if goal in (Goal.ENERGY, Goal.POWER) else Stop.OPTIMAL
    point = Point(
        frequency=np.zeros(size),
        efficiency=np.zeros(size),
        compute_time=np.zeros(size),
        upload_time=np.zeros(size),
        energy=np.zeros(size),
        price=np.zeros(size),
        feasible=np.ones(size, dtype=np.bool_),
    )
    return Timing(stop=stop, duration=duration, lower=duration, upper=duration, passes=0, point=point)
