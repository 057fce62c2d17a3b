"""What no method of level 2 has to search for: the verdicts that the closed-form limits of the rows prove."""

from __future__ import annotations

import math

import numpy as np

from solvers.rows import ROUNDING, Goal, Limits, Point, Rows, Stop, Timing


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
