"""Shared bandwidth: sum of b_n <= B_tot, jointly in duration, bandwidth, frequency and power (section 7 of the model).

At a duration the energy of a row is convex in its bandwidth, so one price mu [J/Hz] shares the bandwidth out: every
row takes the least b_n at which one more hertz saves it no more than mu, and their sum never rises with mu. The energy
E(T) that results is convex, with E'(T) = -sum of lambda_n. Nested safeguarded roots: b_n in mu in T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from solvers.access import Outcome
from solvers.access.bandwidth import Newton, bandwidth_price, given, least_bandwidth, reach, share_out, time_price
from solvers.access.proof import dual_value, residual
from solvers.access.roots import falling_root_of
from solvers.allocation.kernel import allocate
from solvers.duration.verdicts import allowance, closed_form, infeasible
from solvers.limits import free_point, limits
from solvers.points import complete, free_times, least_price
from solvers.rows import LN2, FloatArray, Goal, Limits, Point, Rows, Stop, Timing

_ROUNDING = 1e-15  # relative, of a duration
_JUMP = 1e-11  # relative: a bandwidth price further than this off the common one sits in a jump


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """A duration priced: every row's bandwidth [Hz] (the whole channel where it sends nothing), point and prices."""

    rows: Rows
    point: Point
    mu: float
    duration: float

    @property
    def energy(self) -> float:
        return float(self.point.energy.sum())

    @property
    def time_price(self) -> float:
        return float(self.point.price.sum())


def schedule(rows: Rows, hertz: float, goal: Goal, value: float) -> Outcome:
    """The duration that meets ``goal`` with everybody's bandwidth, frequency and power; the rows' bandwidth is
    ``hertz``, as if each had the whole channel.
    """
    fleet = Fleet(rows, hertz)
    known = fleet.limits()
    decided = closed_form(rows, known, goal, value)
    if decided is not None:
        return Outcome.decided(decided)
    found = _search(fleet, known, goal, value)
    if found is None:
        return Outcome.decided(infeasible(Stop.LIMIT, fleet.passes))
    stop, share = found
    T, E = share.duration, share.energy
    dual = dual_value(share.rows, fleet.sends, share.point.price, share.mu, hertz, T)
    lower = T
    if stop is Stop.OPTIMAL and goal in (Goal.ENERGY, Goal.POWER) and share.time_price > 0.0:
        rate = share.time_price + (value if goal is Goal.POWER else 0.0)
        lower = T - max(allowance(goal, value, T) - dual, 0.0) / rate
    timing = Timing(stop=stop, duration=T, lower=lower, upper=T, passes=fleet.passes, point=share.point)
    return Outcome(
        timing=timing,
        bandwidth=np.where(fleet.sends, share.rows.bandwidth, 0.0),
        time_price=share.time_price,
        bandwidth_price=share.mu,
        compute_end=math.nan,
        residual=residual(share.rows, fleet.sends, share.point, share.mu, hertz, T),
        gap=(E - dual) / E if E > 0.0 else 0.0,
    )


def scheme_limits(rows: Rows, hertz: float) -> Limits:
    """T_min solves sum of b_n^min(T) = B_tot at full speed; T_flat and E_inf with time free; columns of shape (1,)."""
    return Fleet(rows, hertz).limits()


class Fleet:
    """The rows, those that send, and how their bandwidth is shared at a duration."""

    def __init__(self, rows: Rows, hertz: float) -> None:
        self.r = r = rows.full()
        self.hertz, self.passes = hertz, 0
        self.sends = r.bits > 0.0
        self.newton = Newton()
        self.index = np.flatnonzero(self.sends)
        self.s = s = r.take(self.index) if self.index.size else r
        self.h, self.nats = reach(s), s.bits * LN2
        with np.errstate(all="ignore"):
            self.least_t = np.where(s.work > 0.0, s.work / s.frequency_max, 0.0)

    def limits(self) -> Limits:
        own = limits(self.r)  # with the whole channel each
        if not self.index.size or not np.isfinite(own.least_time).all():
            return own
        t_min = self._least_duration(own.least_time)
        energy, t_flat = self._free(own)
        return Limits(
            least_time=np.array([t_min]), free_time=np.array([max(t_flat, t_min)]), least_energy=np.array([energy])
        )

    def _least_duration(self, alone: FloatArray) -> float:
        low = float(alone.max())
        equal = self.given(np.full(self.index.size, self.hertz / self.index.size))
        high = float(limits(equal).least_time.max())
        high, more = high if math.isfinite(high) else low, 1e-15
        while not self.least(high).sum() <= self.hertz:  # rounding, or too little power for an equal share
            high, more = high * (1.0 + more), 2.0 * more
        return falling_root_of(lambda T: float(self.least(T).sum()) - self.hertz, low, max(low, high))

    def _free(self, own: Limits) -> tuple[float, float]:
        """E_inf and T_flat: no time has a price. Rows without circuit and least power tend to Shannon's limit."""
        s = self.s
        others = own.least_energy.sum() - own.least_energy[self.index].sum()
        endless = (s.circuit_power == 0.0) & (s.power_min == 0.0)
        f, _ = free_point(s)
        computing = complete(replace(s, bits=np.zeros_like(s.bits)), ~s.idle, free_times(s)[0], 0.0 * f, 0.0 * f)
        energy = float(others) + float(computing.energy.sum()) + float((self.nats / self.h)[endless].sum())
        t_flat = float(np.delete(own.free_time, self.index).max(initial=0.0))
        if endless.all():
            return energy, math.inf
        part = np.flatnonzero(~endless)
        waiting = s.take(part).full()

        def point_at(b: FloatArray) -> Point:
            return free_upload(given(waiting, b))

        none = np.zeros(part.size)
        b, _ = share_out(
            lambda b: bandwidth_price(given(waiting, b), point_at(b)), none, none + self.hertz * 1e-40, self.hertz
        )
        point = point_at(b)
        energy += float(point.energy.sum())
        if endless.any():
            return energy, math.inf
        return energy, max(t_flat, float((s.fixed_time + free_times(s)[0] + point.upload_time).max()))

    def given(self, b: FloatArray) -> Rows:
        """All rows, those that send with bandwidth ``b``."""
        full = np.full(len(self.r), self.hertz)
        full[self.index] = b
        return given(self.r, full)

    def least(self, duration: float) -> FloatArray:
        """The bandwidth each sending row needs at full speed and power, inf where none is enough."""
        available = duration - self.s.fixed_time - self.least_t
        with np.errstate(all="ignore"):
            needed = least_bandwidth(self.nats / available, self.h * self.s.power_max)
        return np.where(available > 0.0, needed, np.inf)

    def _noise(self, least: FloatArray, duration: float) -> FloatArray:
        """What rounding of the duration does to the least bandwidths [Hz]."""
        available = duration - self.s.fixed_time - self.least_t
        with np.errstate(all="ignore"):
            return _ROUNDING * least * (1.0 + duration / available)

    def at(self, duration: float) -> Share:
        """The least energy for a duration of at least T_min."""
        mu = 0.0
        if not self.index.size:
            return self._share(self.r, self._price(self.r, duration), mu, duration)
        least = self.least(duration)
        if not self.hertz - float(least.sum()) > float(self._noise(least, duration).sum()):
            return self._at_least(least, duration)

        def price(b: FloatArray) -> FloatArray:
            rows = given(self.s, b)
            return bandwidth_price(rows, self._price(rows, duration))

        with np.errstate(divide="ignore"):
            found = self.newton(price, least, self.hertz)
        if found is not None:
            rows = self.given(found[0])
            point = self._price(rows, duration)
            if point.feasible.all():
                return self._share(rows, point, found[1], duration)
        b, mu = share_out(price, least, least, self.hertz)
        rows = self.given(b)
        return self._share(rows, self._price(rows, duration), mu, duration)

    def _price(self, rows: Rows, duration: float) -> Point:
        self.passes += 1
        return allocate(rows, duration)

    def _share(self, rows: Rows, point: Point, mu: float, duration: float) -> Share:
        """Where f and p both sit at a bound a range of prices fits: take those that go with mu."""
        off = np.abs(bandwidth_price(rows, point) / mu - 1.0) if mu > 0.0 else np.zeros(len(rows))
        jump = self.sends & (off > _JUMP)
        price = np.where(jump, time_price(rows, point, mu), point.price)
        return Share(rows=rows, point=replace(point, price=price), mu=mu, duration=duration)

    def _at_least(self, least: FloatArray, duration: float) -> Share:
        """T_min itself: nothing to decide, everybody who sends at full speed and power."""
        b = least.copy()
        b[int(np.argmax(self._noise(least, duration)))] += self.hertz - float(least.sum())
        rows = self.given(b)
        other = self._price(self.r, duration)  # those that only compute
        with np.errstate(all="ignore"):
            f = np.where(self.sends, rows.frequency_max, other.frequency)
            x = np.log1p(rows.snr * rows.power_max)
            t = np.where(rows.work > 0.0, rows.work / f, 0.0)
            tau = np.where(self.sends, rows.transfer / x, 0.0)
            prices = np.where(self.sends, least_price(rows, rows.frequency_max, x), other.price)
        point = complete(rows, np.ones(len(rows), dtype=np.bool_), t, tau, prices)
        mu = float(bandwidth_price(rows, point)[self.index].max())
        return self._share(rows, point, mu, duration)


def free_upload(s: Rows) -> Point:
    """The uploads alone where time costs nothing, x(0); computing has its own time."""
    tau = free_times(s)[1]
    alone = replace(s, work=np.zeros_like(s.work), fixed_time=np.zeros_like(tau), fixed_energy=np.zeros_like(tau))
    return complete(alone, np.ones(len(s), dtype=np.bool_), np.zeros_like(tau), tau, np.zeros_like(tau))


def _search(fleet: Fleet, known: Limits, goal: Goal, value: float) -> tuple[Stop, Share] | None:
    """The least duration without excess over the goal: energy over the budget, or prices over the price of time."""
    if goal is Goal.DEADLINE:
        return Stop.OPTIMAL, fleet.at(max(value, known.t_min))  # closed_form has seen to the difference

    def excess(T: float) -> float:
        share = fleet.at(T)
        return share.time_price - value if goal is Goal.PRICE else share.energy - allowance(goal, value, T)

    first = excess(known.t_min)
    if first <= 0.0:
        return (Stop.OPTIMAL if goal is Goal.PRICE else Stop.SLACK), fleet.at(known.t_min)
    if goal is Goal.POWER and value * known.t_flat < known.e_inf:
        return Stop.OPTIMAL, fleet.at(known.e_inf / value)
    low, high = known.t_min, min(2.0 * known.t_min, known.t_flat)
    while excess(high) > 0.0 and high < known.t_flat:
        low, high = high, min(2.0 * high, known.t_flat)
        if not math.isfinite(high):
            return None
    return Stop.OPTIMAL, fleet.at(falling_root_of(excess, low, high))
