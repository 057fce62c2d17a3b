"""Level 2 as the paper has it: over a range of T, bisect; every step prices all rows and compares with the budget.

Yu & Li (IEEE Network 35(1), 2021), second level. The range starts at T_min and is doubled (up to T_flat) until the
budget holds. Every goal is one falling excess: energy over the budget, or the sum of prices over the price of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solvers.duration.verdicts import Seen, allowance, bracket, closed_form, hides, honest, infeasible, raised
from solvers.limits import limits
from solvers.rows import Allocate, BackendError, Goal, Limits, Point, Rows, Stop, Timing, greatest_of

_CLOSE = 1e-12  # relative, of the budget and of the duration
_ROUNDING = 1e-15  # relative: what a sum of energies may err where the budget is E_inf itself


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Step:
    """One duration, priced. ``excess`` is what the goal is missed by (it holds where <= 0), in units of ``allowed``."""

    duration: float
    point: Point
    excess: float
    allowed: float

    @property
    def holds(self) -> bool:
        return self.excess <= 0.0

    def seen(self, goal: Goal, value: float) -> Seen:
        """The same of a budget, in joules and watts."""
        slope = float(self.point.price.sum()) + (value if goal is Goal.POWER else 0.0)
        return Seen(self.duration, self.excess, slope)

    @property
    def close(self) -> bool:
        return abs(self.excess) <= _CLOSE * self.allowed


class _GaveUpError(BackendError):
    """Level 3 returned NaN, or no double is long enough: there is nothing to compare."""


class _Pricing:
    """Prices durations and counts how often."""

    def __init__(self, rows: Rows, goal: Goal, value: float, allocate: Allocate) -> None:
        self.rows, self.goal, self.value, self.allocate = rows, goal, value, allocate
        self.passes = 0

    def __call__(self, duration: float) -> _Step:
        if not math.isfinite(duration):
            raise _GaveUpError
        point = self.allocate(self.rows, duration)
        self.passes += 1
        if self.goal is Goal.PRICE:
            spent, allowed = float(point.price.sum()), self.value
        else:
            spent, allowed = float(point.energy.sum()), allowance(self.goal, self.value, duration)
        if not point.feasible.all():  # T_min itself, rounded
            spent = math.inf
        if math.isinf(spent):  # too short, without a limit, too
            excess = math.inf
        else:
            excess = -math.inf if math.isinf(allowed) and math.isfinite(spent) else spent - allowed
        if math.isnan(excess):
            raise _GaveUpError
        return _Step(duration=duration, point=point, excess=excess, allowed=allowed)


def schedule(rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The duration that meets ``goal``, by bisection with ``allocate`` as level 3.

    Stops when the energy (price) is within 1e-12 of the budget, relative, and the interval within 1e-12 of the
    duration, or when the interval is two neighbouring doubles; the answer is its end, where the budget holds.
    ``lower`` and ``upper`` are that interval, of a budget widened by what the rounding of the energy may hide.
    Infeasible where the limits prove it, Stop.LIMIT where level 3 fails or no double is long enough, or where
    rounding hides more of the duration than the best may leave open.
    """
    known = limits(rows)
    value = raised(goal, value, known.e_inf, known.t_flat)
    decided = closed_form(rows, known, goal, value)
    if decided is not None:
        return decided
    price = _Pricing(rows, goal, value, allocate)
    try:
        found = _at_deadline(price, known, value) if goal is Goal.DEADLINE else _search(price, known)
        return honest(found, rows, goal, value, allocate)
    except BackendError:
        return infeasible(Stop.LIMIT, price.passes)


def _at_deadline(price: _Pricing, known: Limits, deadline: float) -> Timing:
    step = price(deadline)
    if not step.point.feasible.all():
        raise _GaveUpError
    return _timing(price, known, Stop.OPTIMAL, step, step)


def _search(price: _Pricing, known: Limits) -> Timing:
    """T_min if the goal holds there, else the end of a bracket halved until it is close enough."""
    low = price(known.t_min)
    if low.holds or (price.goal is Goal.ENERGY and known.t_flat == known.t_min and low.point.feasible.all()):
        stop = Stop.OPTIMAL if price.goal is Goal.PRICE else Stop.SLACK
        return _timing(price, known, stop, low, low)
    if price.goal is Goal.POWER and price.value * known.t_flat < known.e_inf:
        late = price(known.e_inf / price.value)  # all rows finish early: E = E_inf
        return _timing(price, known, Stop.OPTIMAL, late, late)
    low, high = _bracket(price, known, low)
    while not (high.close and high.duration - low.duration <= _CLOSE * high.duration):
        middle = low.duration + 0.5 * (high.duration - low.duration)
        if not low.duration < middle < high.duration:
            break
        step = price(middle)
        low, high = (low, step) if step.holds else (step, high)
    return _timing(price, known, Stop.OPTIMAL, low, high)


def _bracket(price: _Pricing, known: Limits, low: _Step) -> tuple[_Step, _Step]:
    """Double the duration until the goal holds; at T_flat it does, as the limits have shown."""
    while True:
        duration = min(2.0 * low.duration or 1.0, known.t_flat)  # 1 s: from no time there is nothing to double
        high = price(duration)
        if high.holds or duration == known.t_flat or high.excess <= _ROUNDING * high.allowed < math.inf:
            return low, high
        low = high


def _timing(price: _Pricing, known: Limits, stop: Stop, low: _Step, high: _Step) -> Timing:
    goal, value = price.goal, price.value
    lower, upper = low.duration, high.duration
    if goal in (Goal.ENERGY, Goal.POWER):
        early = low.seen(goal, value) if low.point.feasible.all() and value < math.inf else None
        latest = math.inf if goal is Goal.POWER else known.t_flat
        hidden = hides(greatest_of(high.point.efficiency)) * float(high.point.energy.sum())
        lower, upper = bracket(hidden, min(known.t_min, upper), latest, early, high.seen(goal, value))
    return Timing(stop=stop, duration=high.duration, lower=lower, upper=upper, passes=price.passes, point=high.point)
