"""Time division: all rows compute first, then send one after another on one channel: T = T_cmp + sum of tau_n.

T_cmp = max(t_0 + t_d + t_n) (section 7 of the model; Tran et al., IEEE INFOCOM 2019). Everything follows from one price
of time lambda = -E'(T): it is the price of every slot (slots.py) and the sum of the computing prices, which fixes T_cmp
(computing.py). T(lambda) is continuous and never rises, so level 2 is one scalar root.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from solvers.access import LAST_DIGITS, Outcome, hardly_later
from solvers.access.brackets import bracketed, slack_end
from solvers.access.computing import Computing
from solvers.access.roots import falling_root
from solvers.access.settle import Settled, settle
from solvers.access.slots import Slots
from solvers.blocks import E_FIXED, IDLE
from solvers.duration.verdicts import Seen, allowance, closed_form, infeasible, raised
from solvers.plan import Plan, make_plan
from solvers.rows import Goal, Limits, Rows, Stop, Timing, greatest_of

_CHEAP, _DEAR = math.log(1e-290), math.log(1e290)  # ln of prices of time that stand for none and for any
_ROUNDING = 1e-15  # relative: a goal met this well is met
_HAIR = 1e-12  # relative: what is beyond a budget by no more is rounding
_LATE = 1e-9  # relative, of a deadline: nobody would take such an answer for one
_STEEP = {Goal.ENERGY: 0.6, Goal.POWER: 0.9, Goal.DEADLINE: 0.3}  # about d ln/d ln lambda of what a goal is about


def schedule(rows: Rows, hertz: float, goal: Goal, value: float) -> Outcome:
    """The duration that meets ``goal``, everybody's frequency and slot; the rows' bandwidth is ``hertz``."""
    fleet = Fleet(make_plan(rows))
    known = fleet.limits()
    value = raised(goal, value, known.e_inf, known.t_flat)
    decided = closed_form(rows, known, goal, value)
    loud = goal is Goal.DEADLINE and fleet.slots.endless and value < fleet.computing.first + fleet.slots.loudest
    if decided is None and loud:
        decided = infeasible(Stop.TOO_SHORT)
    if decided is not None:
        return Outcome.decided(decided)
    found = _search(fleet, known, goal, value)
    if found is None:
        return Outcome.decided(infeasible(Stop.LIMIT, fleet.passes))
    stop, price, duration = found
    end = fleet.computing.end(price)
    settled = fleet.settled(rows, price, end, duration)
    for later in hardly_later(end) if stop is Stop.OPTIMAL and goal in (Goal.ENERGY, Goal.POWER) else ():
        if settled.energy <= allowance(goal, value, duration) * (1.0 + _HAIR):
            break
        end, price = later, min(price, fleet.computing.at(later).worth)
        duration = end + fleet.slots.sums(price)[0]
        settled = fleet.settled(rows, price, end, duration)
    late = goal is Goal.DEADLINE and fleet.slots.endless and settled.end > value * (1.0 + _LATE)
    if late or not math.isfinite(settled.energy):  # what is louder has no price that is a number
        return Outcome.decided(infeasible(Stop.LIMIT, fleet.passes))
    lower, upper = duration, duration
    if fleet.slots.endless and stop is Stop.SLACK:  # no power reaches T_min: the loudest of doubles comes near
        lower, duration = known.t_min, max(duration, settled.end)
    if stop is Stop.SLACK:
        greatest = greatest_of(settled.point.efficiency)
        upper = slack_end(goal, value, duration, settled.energy, greatest, lambda b: _later(fleet, known, goal, b))
    elif goal in (Goal.ENERGY, Goal.POWER):
        lower, upper = bracketed(
            goal, value, duration, settled.energy, settled.dual, price, greatest_of(settled.point.efficiency),
            min(known.t_min, duration), lambda: known.t_flat,
            lambda more: _sooner(rows, fleet, known, value, more),
        )  # fmt: skip
    total = settled.energy + (value * duration if goal is Goal.PRICE else 0.0)
    return Outcome(
        timing=Timing(stop=stop, duration=duration, lower=lower, upper=upper, passes=fleet.passes, point=settled.point),
        bandwidth=np.where(rows.full().bits > 0.0, hertz, 0.0),
        time_price=price,
        bandwidth_price=math.nan,
        compute_end=end,
        residual=settled.residual,
        gap=(settled.energy - settled.dual) / total if total > 0.0 else 0.0,
        hidden=LAST_DIGITS * price * duration / total if total > 0.0 else 0.0,
    ).honest()


def scheme_limits(rows: Rows, hertz: float) -> Limits:
    """T_min = max(t_0 + t_d + W/f_max) + sum of a/x_max; T_flat and E_inf likewise; columns of shape (1,)."""
    return Fleet(make_plan(rows)).limits()


class Fleet:
    """The rows of a plan at a price of time; counts how often they are priced."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.passes = plan, 0
        self.computing, self.slots = Computing.of(plan), Slots(plan)
        held = np.where(plan.kind == IDLE, 0.0, plan.columns[E_FIXED])
        self._fixed_energy = float(np.broadcast_to(held, (plan.size,)).sum())

    def limits(self) -> Limits:
        """T_min, T_flat and E_inf."""
        return Limits(
            least_time=np.array([self.computing.first + self.slots.least]),
            free_time=np.array([self.computing.last + self.slots.free]),
            least_energy=np.array([self.plan.e_inf]),
        )

    def look(self, price: float) -> tuple[float, float]:
        """Duration [s] and energy [J] at a price of time [W]; price 0 takes all the time that saves anything."""
        self.passes += 1
        end = self.computing.end(price)
        slots, sending = self.slots.sums(price)
        return end + slots, self._fixed_energy + (self.computing.at(end).energy + sending)

    def settled(self, rows: Rows, price: float, end: float, duration: float) -> Settled:
        """Everybody's part in a round at a price of time [W] with its end of computing [s]."""
        return settle(rows, self.plan, self.computing, self.slots.efficiencies(price), price, end, duration)

    def top(self) -> float:
        """The least price of time at T_min."""
        return min(max(self.slots.top(), self.computing.at(self.computing.first).worth), math.exp(_DEAR))


def _search(fleet: Fleet, known: Limits, goal: Goal, value: float) -> tuple[Stop, float, float] | None:
    """The price of time that meets the goal, and the duration: the root of what falls or rises with the price."""
    if goal is Goal.PRICE:
        return Stop.OPTIMAL, value, fleet.look(value)[0]

    def excess(log_price: float) -> float:
        """Falls with the price: ln of the duration over the deadline, or of the budget over the energy."""
        duration, energy = fleet.look(math.exp(log_price))
        over, under = (duration, value) if goal is Goal.DEADLINE else (allowance(goal, value, duration), energy)
        if not (0.0 < over < math.inf and 0.0 < under < math.inf):
            return math.inf if over > under else -math.inf
        off = math.log(over / under)
        return off if abs(off) > _ROUNDING else 0.0

    top, size = fleet.top(), fleet.computing.at(2.0 * fleet.computing.first).worth
    usual, steep = math.log(size) if 0.0 < size < math.inf else 0.0, _STEEP[goal]
    last = fleet.look(0.0) if goal is not Goal.ENERGY and math.isfinite(known.t_flat) else None
    if goal is Goal.DEADLINE:
        if last is not None and value >= last[0]:
            return Stop.OPTIMAL, 0.0, value
        price = math.exp(_least(excess, _CHEAP, math.log(top) if top > 0.0 else _CHEAP, usual, steep))
        return Stop.OPTIMAL, min(price, top), value
    duration, energy = fleet.look(top)
    if math.isfinite(energy) and energy <= allowance(goal, value, duration):
        return Stop.SLACK, top, duration
    if last is not None and goal is Goal.POWER and value * last[0] < last[1]:
        return Stop.OPTIMAL, 0.0, last[1] / value
    if top == 0.0:  # nobody saves by waiting: what is missing of the budget is rounding
        return Stop.SLACK, 0.0, duration
    price = math.exp(-_least(lambda negated: -excess(-negated), -math.log(top), -_CHEAP, -usual, steep))
    duration, energy = fleet.look(price)
    return (Stop.OPTIMAL, price, duration) if math.isfinite(energy) else None


def _least(falls: Callable[[float], float], low: float, high: float, near: float, steep: float) -> float:
    """falling_root within [low, high], its bounds first drawn together around ``near``."""
    return falling_root(falls, *_bounds(falls, low, high, near, steep))


def _bounds(falls: Callable[[float], float], low: float, high: float, at: float, steep: float) -> tuple[float, float]:
    """Bounds of a falling function's root within [low, high]: a bit more than the ``steep`` slope asks for, each time
    from where the last step led, twice as long. Both are one where that is a root."""
    at, more = min(max(at, low), high), 1.1
    value = falls(at)
    up = value > 0.0
    while value != 0.0 and (at < high if up else at > low):
        size = more * max(min(abs(value) / steep, 20.0), 1e-3)
        new = min(max(at + size if up else at - size, low), high)
        found = falls(new)
        if (found > 0.0) is not up:
            return (at, new) if up else (new, at)
        at, value, more = new, found, 2.0 * more
    return at, at


def _sooner(rows: Rows, fleet: Fleet, known: Limits, value: float, more: float) -> Seen | None:
    """The round of a greater budget ``more`` [J], as ``value`` sees it."""
    found = _search(fleet, known, Goal.ENERGY, more)
    if found is None:
        return None
    _, price, duration = found
    dual = fleet.settled(rows, price, fleet.computing.end(price), duration).dual
    return Seen(duration, dual - value, price)


def _later(fleet: Fleet, known: Limits, goal: Goal, less: float) -> float:
    """The duration [s] of a lesser budget; T_flat where that is no more than E_inf."""
    if goal is Goal.ENERGY and less <= known.e_inf:
        return known.t_flat
    found = _search(fleet, known, goal, less)
    return math.inf if found is None else found[2]
