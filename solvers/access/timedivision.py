"""Time division: all rows compute first, then send one after another on one channel: T = T_cmp + sum of tau_n.

T_cmp = max(t_0 + t_d + t_n) (section 7 of the model; Tran et al., IEEE INFOCOM 2019). Everything follows from one price
of time lambda = -E'(T): it is the price of every slot, x_n = F^-1(gamma_n (lambda + P_c)) clipped, and the sum of the
computing prices, which fixes T_cmp. T(lambda) is continuous and never rises, so level 2 is one scalar root.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.access import Outcome
from solvers.access.roots import falling_root_of
from solvers.access.slots import computing_sums, slot_sums
from solvers.duration.verdicts import allowance, closed_form, infeasible
from solvers.limits import efficiency_range, free_point, limits, marginal
from solvers.points import at_price, energy_of
from solvers.rows import BoolArray, FloatArray, Goal, Limits, Point, Rows, Stop, Timing

_CHEAP, _DEAR = math.log(1e-290), math.log(1e290)  # ln of prices of time that stand for none and for any
_AT_BOUND = 1e-12  # relative: a speed this near its bound is at it
_STEPS = 200
_ROUNDING = 1e-15  # relative: what a step of T_cmp below this is about
_KINK = 1e-13  # relative: a row this near the end of its free time is at it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    """What a price of time buys: f, x, t, tau (N,); when computing ends, duration and energy."""

    price: float
    f: FloatArray
    x: FloatArray
    t: FloatArray
    tau: FloatArray
    compute_end: float
    duration: float
    energy: float


def schedule(rows: Rows, hertz: float, goal: Goal, value: float) -> Outcome:
    """The duration that meets ``goal``, everybody's frequency and slot; the rows' bandwidth is ``hertz``."""
    fleet = _Fleet(rows)
    known = fleet.limits()
    decided = closed_form(rows, known, goal, value)
    if decided is not None:
        return Outcome.decided(decided)
    found = _search(fleet, known, goal, value)
    if found is None:
        return Outcome.decided(infeasible(Stop.LIMIT, fleet.passes))
    stop, state, duration = found
    prices = fleet.computing_prices(state)
    dual = fleet.dual(state.price, prices, duration)
    lower = duration if goal in (Goal.DEADLINE, Goal.PRICE) or stop is Stop.SLACK else math.nan
    if goal in (Goal.ENERGY, Goal.POWER) and stop is Stop.OPTIMAL:
        lower = max(_lower(goal, value, state, duration, dual), known.t_min)
    point = fleet.point(state, prices)
    lower = min(lower, duration)
    timing = Timing(stop=stop, duration=duration, lower=lower, upper=duration, passes=fleet.passes, point=point)
    total = state.energy + (value * duration if goal is Goal.PRICE else 0.0)
    return Outcome(
        timing=timing,
        bandwidth=np.where(fleet.sends, hertz, 0.0),
        time_price=state.price,
        bandwidth_price=math.nan,
        compute_end=state.compute_end,
        residual=fleet.residual(state, prices, duration),
        gap=(state.energy - dual) / total if total > 0.0 else 0.0,
    ).honest()


def scheme_limits(rows: Rows, hertz: float) -> Limits:
    """T_min = max(t_0 + t_d + W/f_max) + sum of a/x_max; T_flat and E_inf likewise; columns of shape (1,)."""
    return _Fleet(rows).limits()


class _Fleet:
    """The rows, with what does not depend on the price of time; counts how often they are priced."""

    def __init__(self, rows: Rows) -> None:
        self.r = r = rows.full()
        self.works, self.sends = r.work > 0.0, r.bits > 0.0
        self.passes = 0
        f_free, x_free = free_point(r)
        with np.errstate(all="ignore"):
            self.t_free = np.where(self.works, r.work / f_free, 0.0)
            self.slots_free = float(np.where(self.sends, r.transfer / x_free, 0.0).sum())
            self.slots_least = float(np.where(self.sends, r.transfer / efficiency_range(r)[1], 0.0).sum())
            t_least = np.where(self.works, r.work / r.frequency_max, 0.0)
        self.first = float((r.fixed_time + t_least).max())  # least T_cmp; an idle row's is 0
        self.last = float((r.fixed_time + self.t_free).max())
        cpu, radio = np.flatnonzero(self.works), np.flatnonzero(self.sends)
        self.k = (r.capacitance * r.work**3)[cpu]
        self.fixed, self.p_s = r.fixed_time[cpu], r.static_power[cpu]
        self.t_low, self.t_rest = t_least[cpu], self.t_free[cpu]
        uploads = (r.transfer, r.snr, r.circuit_power, *efficiency_range(r))
        self.uploads = tuple(column[radio] for column in uploads)
        self._radio, self._nats, self._warm = radio, np.empty(radio.size), False
        self.fixed_energy = float(np.where(r.idle, 0.0, r.fixed_energy).sum())
        self._end = 2.0 * self.first
        with np.errstate(all="ignore"):
            drops = (self.t_rest < math.inf) & (2.0 * self.k / self.t_rest**3 > self.p_s * (1.0 + _KINK))
        self.jumps = np.sort((self.fixed + self.t_rest)[drops]) * (1.0 + _ROUNDING)  # rounded up: past the jump
        self.last = max(self.last, float(self.jumps.max(initial=0.0)))
        held = r.fixed_time + t_least >= self.first * (1.0 - _KINK)
        self.holds: BoolArray = held & self.works  # at f_max where T_cmp is least

    def limits(self) -> Limits:
        energy = float(limits(self.r).least_energy.sum())
        return Limits(
            least_time=np.array([self.first + self.slots_least]),
            free_time=np.array([self.last + self.slots_free]),
            least_energy=np.array([energy]),
        )

    def state(self, price: float) -> _State:
        """f, x and the times at a price of time; price 0 takes all the time that saves anything."""
        self.passes += 1
        r = self.r
        x = self.efficiencies(price)
        end = self.compute_end(price)
        with np.errstate(all="ignore"):
            f = self.speed(end)
            t = np.where(self.works, r.work / f, 0.0)
            tau = np.where(self.sends, r.transfer / x, 0.0)
            energy = float(np.where(r.idle, 0.0, energy_of(r, f, x)).sum())
        f, x = np.where(self.works, f, 0.0), np.where(self.sends, x, 0.0)
        return _State(
            price=price, f=f, x=x, t=t, tau=tau, compute_end=end, duration=end + float(tau.sum()), energy=energy
        )

    def efficiencies(self, price: float) -> FloatArray:
        """x(lambda) of every row that sends at one price of time; 0 for the others."""
        self._slots(price)
        x, (*_, low, high) = np.zeros(len(self.r)), self.uploads
        x[self._radio] = np.clip(self._nats, low, high)
        return x

    def _slots(self, price: float) -> tuple[float, float]:
        """Sum of the slots [s] and of their energies [J]; Newton's method begins at the last answer."""
        a, snr, p_c, low, high = self.uploads
        sums = slot_sums(a, snr, p_c, low, high, price, self._warm, self._nats)
        self._warm = True
        return sums

    def speed(self, end: float) -> FloatArray:
        """The frequency with which each row is done by ``end``, or earlier where longer saves nothing."""
        r = self.r
        with np.errstate(all="ignore"):
            slow = end - r.fixed_time >= self.t_free
            f = np.where(slow, r.work / self.t_free, r.work / (end - r.fixed_time))
        return np.clip(f, r.frequency_min, r.frequency_max)

    def marginals(self, end: float) -> FloatArray:
        """What one more second of computing would save each row [W]: 2 kappa f^3 - P_s, 0 from its free time on."""
        r = self.r
        f = self.speed(end)
        busy = self.works & (end - r.fixed_time < self.t_free)
        return np.where(busy, np.maximum(2.0 * r.capacitance * f**3 - r.static_power, 0.0), 0.0)

    def compute_end(self, price: float) -> float:
        """The least T_cmp at which the computing prices add up to at most ``price``.

        Newton in logarithms, from the last answer; where it leaves the bounds, halving what jumps are between them.
        """
        if price <= 0.0:
            return self.last
        if not self.k.size:
            return self.first
        low, high, end = self.first, self.last, min(max(self._end, self.first), self.last)
        if self._worth(low)[0] <= price:
            return low
        if self._jumps_at(end, price) and self._worth(end)[0] <= price:
            return end
        for _ in range(_STEPS):
            worth, fall, _ = self._worth(end)
            if worth <= price:
                high = end
            else:
                low = end
            step = math.log(worth / price) * worth / (end * fall) if worth > 0.0 and fall > 0.0 else math.nan
            settled = abs(step) <= _ROUNDING and worth > 0.5 * price  # far off the slope says nothing
            if settled or high <= low * (1.0 + 3e-16):
                break
            new = end * math.exp(min(max(step, -2.0), 2.0)) if math.isfinite(step) else math.nan
            if not low < new < high:
                new = self._between(low, high, price)
            stuck, end = new in (end, high), new
            if stuck:
                break
        self._end = high if high <= end * (1.0 + 1e-15) else end  # the side on which they add up to no more
        return self._end

    def _jumps_at(self, end: float, price: float) -> bool:
        """Whether the computing prices are above ``price`` just before ``end``, where they jump."""
        at = int(np.searchsorted(self.jumps, end))
        return at < self.jumps.size and self.jumps[at] == end and self._worth(end * (1.0 - 4.0 * _ROUNDING))[0] > price

    def _between(self, low: float, high: float, price: float) -> float:
        """Where to look for T_cmp next: the jump in the middle, ``high`` if it is that one, or halfway."""
        inside = self.jumps[np.searchsorted(self.jumps, low, "right") : np.searchsorted(self.jumps, high)]
        if inside.size:
            return float(inside[inside.size // 2])
        if self._jumps_at(high, price):
            return high
        return 2.0 * low if high == math.inf else 0.5 * (low + high)

    def _worth(self, end: float) -> tuple[float, float, float]:
        return computing_sums(self.k, self.fixed, self.p_s, self.t_low, self.t_rest, end)

    def look(self, price: float) -> tuple[float, float]:
        """Duration and energy at a price of time, without the rows."""
        self.passes += 1
        end = self.compute_end(price)
        slots, sending = self._slots(price)
        computing = self._worth(end)[2] if self.k.size else 0.0
        return end + slots, self.fixed_energy + (computing + sending)

    def worth_of_time(self) -> float:
        """A price of time [W] of the right size: what one more second is worth to computing at twice its least end."""
        return self._worth(2.0 * self.first)[0] if self.k.size else 1.0

    def top(self) -> float:
        """The least price of time at T_min."""
        r = self.r
        with np.errstate(all="ignore"):
            slot = np.where(self.sends, marginal(efficiency_range(r)[1]) / r.snr - r.circuit_power, 0.0)
        return max(float(slot.max()), float(self.marginals(self.first).sum()), 0.0)

    def computing_prices(self, state: _State) -> FloatArray:
        """Computing prices (N,) that add up to the price of time: rows at a kink have any up to their marginal."""
        r = self.r
        prices = self.marginals(state.compute_end)
        missing = state.price - float(prices.sum())
        if not math.isfinite(missing) or missing == 0.0:
            return prices
        with np.errstate(all="ignore"):
            full = np.maximum(2.0 * r.capacitance * state.f**3 - r.static_power, 0.0)
            at_kink = np.abs(r.fixed_time + self.t_free - state.compute_end) <= _KINK * state.compute_end
        prices = np.where(at_kink & self.works, 0.0, prices)
        missing = state.price - float(prices.sum())
        if missing <= 0.0:
            return prices
        room = np.where(at_kink & self.works, full, 0.0)
        share = min(1.0, missing / float(room.sum())) if room.any() else 0.0
        prices = prices + share * room
        missing -= share * float(room.sum())
        if state.compute_end <= self.first * (1.0 + _KINK) and self.holds.any():
            prices[int(np.argmax(self.holds))] += max(missing, 0.0)
        return prices

    def point(self, state: _State, prices: FloatArray) -> Point:
        """People's point: rows without work or upload take what goes with their price."""
        r, f, x = self.r, state.f.copy(), state.x.copy()
        others = np.flatnonzero(~(self.works & self.sends))
        if others.size:
            free_f, free_x = at_price(r.take(others).full(), prices[others])
            busy = ~r.idle[others]
            f[others] = np.where(self.works[others], f[others], np.where(busy, free_f, 0.0))
            x[others] = np.where(self.sends[others], x[others], np.where(busy, free_x, 0.0))
        with np.errstate(all="ignore"):
            energy = np.where(r.idle, 0.0, energy_of(r, f, x))
        return Point(
            frequency=f,
            efficiency=x,
            compute_time=state.t,
            upload_time=state.tau,
            energy=energy,
            price=np.where(r.idle, 0.0, prices),
            feasible=np.ones(len(r), dtype=np.bool_),
        )

    def dual(self, price: float, prices: FloatArray, duration: float) -> float:
        """A lower bound of the energy within ``duration`` [J], by weak duality, from the prices alone."""
        r = self.r
        if price <= 0.0:
            return float(limits(r).least_energy.sum())
        scale = price / float(prices.sum()) if prices.any() else 1.0
        nu = prices * scale if prices.any() else prices  # they must add up to the price
        x = self.efficiencies(price)
        with np.errstate(all="ignore"):
            f = np.clip(np.cbrt((nu + r.static_power) / (2.0 * r.capacitance)), r.frequency_min, r.frequency_max)
            t = np.where(self.works, r.work / f, 0.0)
            tau = np.where(self.sends, r.transfer / x, 0.0)
            timed = np.where(nu > 0.0, nu * (r.fixed_time + t), 0.0)
            energy = np.where(r.idle, 0.0, energy_of(r, f, x))
        rest = 0.0 if prices.any() else price * self.first  # nobody computes: T_cmp is at its least
        return float(energy.sum() + timed.sum() + rest + price * tau.sum() - price * duration)

    def residual(self, state: _State, prices: FloatArray, duration: float) -> float:
        """The greatest relative violation of the KKT conditions."""
        r, price = self.r, state.price
        slot = marginal(state.x) / r.snr - r.circuit_power
        speed = 2.0 * r.capacitance * state.f**3 - r.static_power
        off = _one_sided(slot - price, np.maximum(price, np.abs(slot)) + r.circuit_power, state.x, *efficiency_range(r))
        unit = np.maximum(prices, np.abs(speed)) + r.static_power
        late = _one_sided(speed - prices, unit, state.f, r.frequency_min, r.frequency_max)
        off, late = np.where(self.sends, off, 0.0), np.where(self.works, late, 0.0)
        total = float(prices.sum())
        held = prices + np.where(self.works & (state.t < self.t_free * (1.0 + _KINK)), r.static_power, 0.0)
        coupled = abs(total - price) / max(float(held.sum()), price) if price > 0.0 and self.works.any() else 0.0
        idle_time = (duration - state.duration) / duration
        slack = max(idle_time if price > 0.0 else 0.0, -idle_time)
        return max(float(np.abs(off).max()), float(np.abs(late).max()), coupled, slack)


def _search(fleet: _Fleet, known: Limits, goal: Goal, value: float) -> tuple[Stop, _State, float] | None:
    """The price of time that meets the goal: the root of one excess that rises with the price."""
    top = min(fleet.top(), math.exp(_DEAR))

    def excess(log_price: float) -> float:
        """Falls with the price: what the round is too long by, or what is left of the budget."""
        duration, energy = fleet.look(math.exp(log_price))
        if goal is Goal.DEADLINE:
            return duration - value
        return allowance(goal, value, duration) - energy

    size = fleet.worth_of_time()
    usual = math.log(size) if 0.0 < size < math.inf else 0.0

    if goal is Goal.PRICE:
        state = fleet.state(value)
        return Stop.OPTIMAL, state, state.duration
    last = fleet.state(0.0) if math.isfinite(known.t_flat) else None
    if goal is Goal.DEADLINE:
        if last is not None and value >= last.duration:
            return Stop.OPTIMAL, last, value
        price = math.exp(_least(excess, _CHEAP, math.log(top) if top > 0.0 else _CHEAP, usual))
        return Stop.OPTIMAL, fleet.state(min(price, top)), value
    first = fleet.state(top)
    if math.isfinite(first.energy) and first.energy <= allowance(goal, value, first.duration):
        return Stop.SLACK, first, first.duration
    if last is not None and goal is Goal.POWER and value * last.duration < last.energy:
        return Stop.OPTIMAL, last, last.energy / value
    price = math.exp(-_least(lambda negated: -excess(-negated), -math.log(top), -_CHEAP, -usual))
    state = fleet.state(price)
    if not math.isfinite(state.energy):
        return None
    return Stop.OPTIMAL, state, state.duration


def _least(falls: Callable[[float], float], low: float, high: float, near: float) -> float:
    """falling_root_of within [low, high], its bounds first drawn together around ``near``."""
    return falling_root_of(falls, *_bounds(falls, low, high, near))


def _bounds(falls: Callable[[float], float], low: float, high: float, at: float) -> tuple[float, float]:
    """Bounds of a falling function's root within [low, high], by longer and longer steps from ``at``."""
    at = min(max(at, low), high)
    step = 0.5
    if falls(at) > 0.0:
        while at < high:
            new = min(at + step, high)
            if falls(new) <= 0.0:
                return at, new
            at, step = new, 2.0 * step
        return at, high
    while at > low:
        new = max(at - step, low)
        if falls(new) > 0.0:
            return new, at
        at, step = new, 2.0 * step
    return low, at


def _lower(goal: Goal, value: float, state: _State, duration: float, dual: float) -> float:
    """No shorter duration meets the budget: the dual bound is a line below E(T)."""
    if state.price <= 0.0:
        return duration
    rate = state.price + (value if goal is Goal.POWER else 0.0)
    return duration - max(allowance(goal, value, duration) - dual, 0.0) / rate


def _one_sided(off: FloatArray, unit: FloatArray, value: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Marginal less price, over ``unit``: at the least value it may be above 0, at the greatest below."""
    relative = np.where(unit > 0.0, off / np.where(unit > 0.0, unit, 1.0), 0.0)
    at_low = value <= low * (1.0 + _AT_BOUND)
    at_high = value >= high * (1.0 - _AT_BOUND)
    relative = np.where(at_low, np.minimum(relative, 0.0), relative)
    result: FloatArray = np.where(at_high, np.maximum(relative, 0.0), relative)
    return result
