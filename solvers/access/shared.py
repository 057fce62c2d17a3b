"""Shared bandwidth: sum of b_n <= B_tot, jointly in duration, bandwidth, frequency and power (section 7 of the model).

Given the duration and a price mu of bandwidth every row is a problem of its own (shares.py), and what the rows then
take adds up to the channel at one mu. Newton's method finds duration and price together (joint.py). Where that fails -
kinks, budgets that hold at the least duration or are below the least energy - the limits are found exactly, and the
duration by nested safeguarded roots.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from solvers.access import LAST_DIGITS, PROVED, Outcome, hardly_later
from solvers.access.brackets import bracketed, slack_end
from solvers.access.fullspeed import LeastShares
from solvers.access.guess import easy, guess, price_of
from solvers.access.joint import Look, Uplinks, balance, joint
from solvers.access.point import point_of
from solvers.access.proof import prove_rows
from solvers.access.roots import falling_root, ulp
from solvers.access.shares import BETA_OUT, EXACT, OUT, TAU_OUT
from solvers.allocation.kernel import allocate
from solvers.blocks import FIXED, T_FREE, TAU_FREE
from solvers.duration import newton
from solvers.duration.verdicts import Seen, allowance, closed_form, infeasible, raised
from solvers.plan import Plan, make_plan
from solvers.rows import FloatArray, Goal, Limits, Rows, Stop, Timing, greatest_of
from solvers.threads import each_chunk

_HAIR = 1e-12  # relative: durations this far off are on both sides of a root
_ENDLESS = 1e9  # times the longest duration that matters: time has no price any more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """A duration priced: the rows' times, bandwidths and prices in ``out`` (5, N), and what they add up to."""

    look: Look
    out: FloatArray


def schedule(rows: Rows, hertz: float, goal: Goal, value: float, near: tuple[float, float] | None = None) -> Outcome:
    """The duration that meets ``goal`` with everybody's bandwidth, frequency and power; the rows' bandwidth is
    ``hertz``, as if each had the whole channel.

    near: duration [s] and price [J/channel] of a similar answer, to begin with.
    """
    plan = make_plan(rows)
    if not rows.bits.any():
        return _nobody_sends(rows, goal, value)
    quick = Limits(
        least_time=np.array([plan.t_min]), free_time=np.array([plan.t_flat]), least_energy=np.array([plan.e_inf])
    )
    value = raised(goal, value, plan.e_inf, plan.t_flat)
    decided = closed_form(rows, quick, goal, value)  # with the whole channel each it would be no easier
    if decided is not None:
        return Outcome.decided(decided)
    fleet = Fleet(rows, plan)
    if goal is Goal.DEADLINE or value < math.inf:
        found = None if near is None else joint(fleet.uplinks, goal, value, *near, fleet.out)
        if found is None:
            T, mu = guess(fleet.uplinks, goal, value)
            found = joint(fleet.uplinks, goal, value, T, mu, fleet.out) if mu > 0.0 else None
        if found is not None and _uses_up(found, goal, value):
            return fleet.outcome(hertz, Stop.OPTIMAL, Share(look=found, out=fleet.out), plan.t_min, goal, value)
    known = fleet.limits()
    value = raised(goal, value, known.e_inf, known.t_flat)
    decided = closed_form(rows, known, goal, value)
    if decided is not None:
        return Outcome.decided(decided)
    careful = _search(fleet, known, goal, value)
    if careful is None:
        late = goal is Goal.DEADLINE and fleet.least.too_loud(max(value, known.t_min))
        return Outcome.decided(infeasible(Stop.TOO_SHORT if late else Stop.LIMIT, fleet.uplinks.passes))
    stop, share = careful
    return fleet.outcome(hertz, stop, share, known.t_min, goal, value)


def scheme_limits(rows: Rows, hertz: float) -> Limits:
    """T_min solves sum of b_n^min(T) = B_tot at full speed; T_flat and E_inf with time free; columns of shape (1,)."""
    plan = make_plan(rows)
    if not rows.bits.any() or not math.isfinite(plan.t_min):
        flat = plan.t_flat if math.isfinite(plan.t_min) else math.inf
        energy = plan.e_inf if math.isfinite(plan.t_min) else math.inf
        return Limits(least_time=np.array([plan.t_min]), free_time=np.array([flat]), least_energy=np.array([energy]))
    return Fleet(rows, plan).limits()


def _nobody_sends(rows: Rows, goal: Goal, value: float) -> Outcome:
    """Then nobody shares anything: level 2 as on channels of their own."""
    timing = newton.schedule(rows, goal, value, allocate)
    if timing.point is None:
        return Outcome.decided(timing)
    price = float(timing.point.price.sum())
    return replace(Outcome.decided(timing), time_price=price, compute_end=math.nan)


class Fleet:
    """The rows and how they share the channel at a duration."""

    def __init__(self, rows: Rows, plan: Plan) -> None:
        self.rows, self.plan = rows, plan
        self.uplinks = Uplinks(plan, rows.power_min, rows.power_max)
        self.least = LeastShares(self.uplinks)
        self.out = np.empty((OUT, plan.size))
        self._mu = 0.0

    def limits(self) -> Limits:
        """T_min, T_flat and E_inf, exactly."""
        energy, t_flat = self._free()
        t_min = self.least.duration()
        return Limits(
            least_time=np.array([t_min]), free_time=np.array([max(t_flat, t_min)]), least_energy=np.array([energy])
        )

    def _free(self) -> tuple[float, float]:
        """E_inf and T_flat: no time has a price. Rows without circuit and least power tend to Shannon's limit; of all
        others computing costs what it costs alone, and sending is balanced by itself, as they do not share time."""
        r = self.rows
        patient = np.broadcast_to((r.circuit_power == 0.0) & (r.power_min == 0.0), (self.plan.size,))
        waiting = np.flatnonzero(~patient & (np.broadcast_to(r.bits, patient.shape) > 0.0))
        if not waiting.size:
            return self.plan.e_inf, self.plan.t_flat
        others = np.setdiff1d(np.arange(self.plan.size), waiting)
        energy = make_plan(r.take(others)).e_inf if others.size else 0.0
        some = r.take(waiting)
        each, nothing = make_plan(some).columns, np.zeros(waiting.size)
        computing = make_plan(replace(some, bits=nothing))
        sending = make_plan(replace(some, work=nothing, fixed_time=nothing, fixed_energy=nothing))
        T = _ENDLESS * sending.size * float(sending.columns[TAU_FREE].max())
        uplinks, out = Uplinks(sending, some.power_min, some.power_max), np.empty((OUT, sending.size))
        while True:
            look = balance(uplinks, T, sending.e_inf if sending.e_inf > 0.0 else 1.0)
            if look is None:
                return self.plan.e_inf, math.inf
            uplinks.look(T, look.mu, EXACT, out)
            if float(out[TAU_OUT].max()) < T or not math.isfinite(T * _ENDLESS):
                break
            T *= _ENDLESS  # on a share far smaller than the whole channel somebody wants all of it
        end = float((each[FIXED] + (each[T_FREE] + out[TAU_OUT])).max())
        return energy + computing.e_inf + look.dual, max(end, self.plan.t_flat if others.size else 0.0)

    def look(self, T: float) -> Look | None:
        """The least energy for a duration of at least T_min."""
        return self.least.share(T, self.out) or self._balanced(T)

    def at(self, T: float) -> Share | None:
        """The same with its rows."""
        look = self.least.share(T, self.out)
        if look is None:
            fair = self._balanced(T)
            look = None if fair is None else self.uplinks.look(T, fair.mu, EXACT, self.out)
        return None if look is None else Share(look=look, out=self.out)

    def _balanced(self, T: float) -> Look | None:
        """From the last price on."""
        if self._mu == 0.0:
            self._mu = price_of(self.uplinks, T)
        look = balance(self.uplinks, T, self._mu)
        self._mu = self._mu if look is None else look.mu
        return look

    def outcome(self, hertz: float, stop: Stop, share: Share, lower: float, goal: Goal, value: float) -> Outcome:
        """The answer with its proof; no duration below ``lower`` [s] is known to do."""
        share, energy, worst = self._afforded(share, goal, value)
        look, plan = share.look, self.plan
        point = point_of(self.rows, plan, share.out, energy)
        E = float(energy.sum())
        total, lost = E, E - look.dual
        if goal is Goal.PRICE:
            total, lost = E + value * look.T, lost + _left_to_time(look, value, lower, plan.e_inf)
        low, high = look.T, look.T
        if stop is Stop.OPTIMAL and goal in (Goal.ENERGY, Goal.POWER):
            low, high = bracketed(
                goal, value, look.T, E, look.dual, look.price, greatest_of(point.efficiency), min(lower, look.T),
                lambda: scheme_limits(self.rows, hertz).t_flat, lambda more: self._sooner(value, more, look),
            )  # fmt: skip
        elif stop is Stop.SLACK:
            high = slack_end(goal, value, look.T, E, greatest_of(point.efficiency), lambda b: self._later(goal, b))
        timing = Timing(stop=stop, duration=look.T, lower=low, upper=high, passes=self.uplinks.passes, point=point)
        return Outcome(
            timing=timing,
            bandwidth=share.out[BETA_OUT] * hertz,
            time_price=float(point.price.sum()),
            bandwidth_price=look.mu / hertz,
            compute_end=math.nan,
            residual=worst,
            gap=lost / total if total > 0.0 else 0.0,
            hidden=LAST_DIGITS * (look.price * look.T + look.mu * look.room) / total if total > 0.0 else 0.0,
        ).honest()

    def _sooner(self, value: float, more: float, near: Look) -> Seen | None:
        """The round of a greater budget ``more`` [J], as ``value`` sees it; near: that of ``value``, which is kept."""
        other = Fleet(self.rows, self.plan)
        look = joint(other.uplinks, Goal.ENERGY, more, near.T, near.mu, other.out)
        if look is None:
            careful = _search(other, other.limits(), Goal.ENERGY, more)
            if careful is None:
                return None
            look = careful[1].look
        return Seen(look.T, look.dual - value, look.price)

    def _later(self, goal: Goal, less: float) -> float:
        """The duration [s] of a lesser budget; T_flat where that is no more than E_inf."""
        other = Fleet(self.rows, self.plan)
        known = other.limits()
        if goal is Goal.ENERGY and less <= known.e_inf:
            return known.t_flat
        careful = _search(other, known, goal, less, hair=0.0)
        return math.inf if careful is None else careful[1].look.T

    def _afforded(self, share: Share, goal: Goal, value: float) -> tuple[Share, FloatArray, float]:
        """The round, no shorter than its rows' energies [J] allow, these, and the greatest violation.

        A search goes by dual values, from which rounding takes mu times the last digits of a sum of bandwidths: where
        the last digit of the duration is worth much energy that is above what the budget hides.
        """
        energy, worst = self._settled(share)
        for T in hardly_later(share.look.T) if goal in (Goal.ENERGY, Goal.POWER) else ():
            if float(energy.sum()) <= allowance(goal, value, share.look.T) * (1.0 + _HAIR):
                break
            longer = self.at(T)
            if longer is None:
                break
            share = longer
            energy, worst = self._settled(share)
        return share, energy, worst

    def _settled(self, share: Share) -> tuple[FloatArray, float]:
        """Everybody's bandwidth, in ``share.out``, made to add up: the energies [J] and the greatest violation."""
        look, plan, energy = share.look, self.plan, np.empty(self.plan.size)
        proving = partial(
            prove_rows, plan.kind, plan.columns, self.uplinks.snr_min, self.uplinks.snr_max, look.T, look.mu,
            1.0 / look.share, share.out, energy,
        )  # fmt: skip
        return energy, max(each_chunk(proving, plan.blocks))


def _uses_up(look: Look, goal: Goal, value: float) -> bool:
    """False where Newton's method ended next to T_min, below a budget: the energy falls by decades there."""
    return goal not in (Goal.ENERGY, Goal.POWER) or look.dual >= (1.0 - PROVED) * allowance(goal, value, look.T)


def _left_to_time(look: Look, value: float, shortest: float, least_energy: float) -> float:
    """What another duration may save of D + ``value`` T at most [J]: D is convex and its slope -``look.price``.

    No duration below ``shortest`` [s] and no energy below ``least_energy`` [J] is possible.
    """
    off = look.price - value
    if off <= 0.0:
        return -off * max(look.T - shortest, 0.0)
    longest = look.T + (look.dual - least_energy) / value
    return off * max(longest - look.T, 0.0)


def _least_duration(excess: Callable[[float], float], t_min: float, low: float, high: float) -> float:
    """The least duration in [low, high] without excess. Next to T_min the energy falls by a power of T - T_min."""
    if low > t_min or t_min == 0.0:
        return falling_root(excess, low, high)
    nearest = t_min * (1.0 + _HAIR)
    if not nearest < high or excess(nearest) <= 0.0:
        return falling_root(excess, t_min, min(nearest, high))

    def later(y: float) -> float:
        return t_min * (1.0 + math.exp(y))

    def hidden(y: float) -> float:  # by the last digit of the duration
        return ulp(1.0) * (1.0 + math.exp(-y))

    return later(falling_root(lambda y: excess(later(y)), math.log(_HAIR), math.log(high / t_min - 1.0), hidden))


def _search(fleet: Fleet, known: Limits, goal: Goal, value: float, hair: float = _HAIR) -> tuple[Stop, Share] | None:
    """The least duration without excess over the goal: energy over the budget, or prices over the price of time.

    hair: relative, what T_min may exceed a budget by; as in _afforded.
    """
    t_min = known.t_min
    if goal is Goal.DEADLINE:
        share = fleet.at(max(value, t_min))  # closed_form has seen to the difference
        return (Stop.OPTIMAL, share) if share is not None and share.look.energy < math.inf else None

    @cache  # the ends of a search next to T_min are one or two doubles, often asked for
    def excess(T: float) -> float:
        look = fleet.look(T)
        if look is None:
            return math.inf
        return look.price - value if goal is Goal.PRICE else look.dual - allowance(goal, value, T)

    def result(stop: Stop, T: float) -> tuple[Stop, Share] | None:
        share = fleet.at(T)
        return None if share is None else (stop, share)

    limited = goal in (Goal.ENERGY, Goal.POWER) and value < math.inf
    enough = hair * allowance(goal, value, t_min) if limited else 0.0
    if excess(t_min) <= enough:
        return result(Stop.OPTIMAL if goal is Goal.PRICE else Stop.SLACK, t_min)
    if goal is Goal.POWER and value * known.t_flat < known.e_inf:
        return result(Stop.OPTIMAL, known.e_inf / value)
    low, high = t_min, min(2.0 * t_min or easy(fleet.uplinks), known.t_flat)
    while excess(high) > 0.0 and high < known.t_flat:
        low, high = high, min(2.0 * high, known.t_flat)
        if not math.isfinite(high):
            return None
    T = _least_duration(excess, t_min, low, high)
    before, after = (excess(T * (1.0 + side)) if goal is Goal.PRICE else 0.0 for side in (-_HAIR, _HAIR))
    found = result(Stop.OPTIMAL, T)
    if found is None or goal is not Goal.PRICE or not math.inf > before >= 0.0 >= after:
        return found
    share = found[1]  # a kink, or as good as one: any price between its sides is one, the one that was asked for too
    return found[0], replace(share, look=replace(share.look, price=value))
