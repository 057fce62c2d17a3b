"""The second truth: the model's equations in 60-digit arithmetic, slow, plain, sharing no line with the solvers.

Every double of the instance is taken exactly; only then are gamma = h/(N0 B), a = s ln 2 / B and W formed, in 60
digits. A client with both variables free is solved in the efficiency x: the price lambda = F(x)/gamma - P_c gives the
frequency, and the one equation a/x + W/f(lambda(x)) = T' is solved in ln x. No root of the price, no Lambert W.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mpmath import mp, mpf

import fedopt

mp.dps = 60
ZERO, ONE, INF, NAN = mpf(0), mpf(1), mpf("inf"), mpf("nan")
SAME = mpf(10) ** -45  # two durations this close, relatively, are the same instant: absorbs the 60-digit rounding
DONE = mpf(10) ** -40


@dataclass(frozen=True, slots=True)
class Best:
    """A client's answer at one duration; NaN (energy inf) where infeasible."""

    feasible: bool
    f: Any
    x: Any
    t: Any
    tau: Any
    energy: Any
    price: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A fleet's duration for a budget. ``status`` is "optimal", "slack" or "infeasible"."""

    status: str
    duration: Any
    energy: Any


def marginal(x: Any) -> Any:
    """F(x) = 1 + (x - 1) e^x = x e^x - (e^x - 1), with the digits the difference loses for small x added first."""
    if x == 0:
        return ZERO
    if x == INF:
        return INF
    lost = max(0, -2 * mp.frexp(x)[1])
    with mp.extraprec(lost + 10):
        e = mp.exp(x)
        return 1 + (x - 1) * e


def inverse_marginal(m: Any) -> Any:
    """x with F(x) = m, by Newton on ln F against ln x (slope 2 for small x, about x for large)."""
    if m <= 0 or m == INF:
        return ZERO if m <= 0 else INF
    x = mp.sqrt(2 * m) if m < 1 else mp.log(m) - mp.log(max(mp.log(m), ONE)) + ONE / 2
    for _ in range(200):
        value = marginal(x)
        step = mp.log(value / m) * value / (x * x * mp.exp(x))
        x *= mp.exp(-step)
        if abs(step) < DONE * mpf(10) ** -5:
            return x
    raise AssertionError(f"the oracle found no x with F(x) = {mp.nstr(m)}")


class Client:
    """One client: what it has to do and what it may do, in exact arithmetic."""

    def __init__(self, clients: fedopt.Clients, work: fedopt.Workload, n: int) -> None:
        def get(name: str) -> Any:
            return mpf(float(getattr(clients, name)[n]))

        work = work.sized(len(clients))
        self.W, bits, down = (mpf(float(v[n])) for v in (work.cycles, work.upload_bits, work.download_bits))
        self.idle = self.W == 0 and bits == 0 and down == 0
        self.f_min, self.f_max, self.kappa = get("frequency_min"), get("frequency_max"), get("capacitance")
        self.P_s, self.P_c = get("static_power"), get("circuit_power")
        self.gamma = get("channel_gain") / (get("noise_density") * get("bandwidth"))
        self.a = bits * mp.log(2) / get("bandwidth")
        self.B = get("bandwidth")
        self.x_min = mp.log1p(self.gamma * get("power_min"))
        self.x_max = INF if clients.power_max[n] == INF and self.gamma > 0 else mp.log1p(self._cap(get("power_max")))
        rate = get("download_rate")
        t_d = ZERO if rate == INF else down / rate
        self.fixed = ZERO if self.idle else get("overhead") + t_d
        self.fixed_energy = ZERO if self.idle else get("receive_power") * t_d

    def _cap(self, power: Any) -> Any:
        return ZERO if self.gamma == 0 else self.gamma * power

    # --- for a price -------------------------------------------------------------------------------------------

    def f_at(self, price: Any) -> Any:
        """clip(((lambda + P_s)/2 kappa)^(1/3), f_min, f_max)."""
        if price == INF:
            return self.f_max
        return min(max(mp.cbrt((price + self.P_s) / (2 * self.kappa)), self.f_min), self.f_max)

    def x_at(self, price: Any) -> Any:
        """clip(F^-1(gamma (lambda + P_c)), x_min, x_max)."""
        if price == INF:
            return self.x_max
        return min(max(inverse_marginal(self.gamma * (price + self.P_c)), self.x_min), self.x_max)

    def t_of(self, f: Any) -> Any:
        return ZERO if self.W == 0 else (INF if f == 0 else self.W / f)

    def tau_of(self, x: Any) -> Any:
        return ZERO if self.a == 0 else (INF if x == 0 else self.a / x)

    def time_at(self, price: Any) -> Any:
        return self.t_of(self.f_at(price)) + self.tau_of(self.x_at(price))

    # --- limits ------------------------------------------------------------------------------------------------

    @cached_property
    def t_min(self) -> Any:
        return ZERO if self.idle else self.fixed + self.t_of(self.f_max) + self.tau_of(self.x_max)

    @cached_property
    def t_flat(self) -> Any:
        return ZERO if self.idle else self.fixed + self.time_at(ZERO)

    @cached_property
    def e_inf(self) -> Any:
        return ZERO if self.idle else self.energy_of(self.f_at(ZERO), self.x_at(ZERO))

    @cached_property
    def kinks(self) -> tuple[Any, ...]:
        """Durations where both variables can sit at a bound: the only places where E_n need not be smooth."""
        times = {self.t_of(f) + self.tau_of(x) for f in (self.f_min, self.f_max) for x in (self.x_min, self.x_max)}
        return tuple(self.fixed + time for time in times if time != INF)

    @cached_property
    def _f_prices(self) -> tuple[Any, Any]:
        """The prices between which the frequency is free: its marginal 2 kappa f^3 - P_s at both ends."""
        return 2 * self.kappa * self.f_min**3 - self.P_s, 2 * self.kappa * self.f_max**3 - self.P_s

    @cached_property
    def _x_prices(self) -> tuple[Any, Any]:
        """The prices between which the efficiency is free: its marginal F(x)/gamma - P_c at both ends."""
        return marginal(self.x_min) / self.gamma - self.P_c, marginal(self.x_max) / self.gamma - self.P_c

    @cached_property
    def _bounds(self) -> list[tuple[Any, Any]]:
        """(price, computing + sending time) where a variable meets a bound, prices > 0 in rising order."""
        prices = {*(self._f_prices if self.W > 0 else ()), *(self._x_prices if self.a > 0 else ())}
        return [(price, self.time_at(price)) for price in sorted(p for p in prices if p > 0)]

    def energy_of(self, f: Any, x: Any) -> Any:
        """kappa W f^2 + P_s W/f + (a/x)((e^x - 1)/gamma + P_c) + download; its limit a/gamma where x = 0."""
        energy = self.fixed_energy
        if self.W > 0:
            energy += self.kappa * self.W * f * f + (self.P_s * self.W / f if self.P_s > 0 else 0)
        if self.a > 0:
            energy += self.a / self.gamma * (mp.expm1(x) / x if x > 0 else 1) + (self.P_c * self.a / x if x > 0 else 0)
        return energy

    # --- for a duration ----------------------------------------------------------------------------------------

    def least(self, duration: Any) -> Best:
        """The least energy within ``duration`` and the least price that leads to it (section 4 of the model)."""
        duration = mpf(duration)
        if self.idle:
            return Best(True, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
        slip = SAME * duration
        if not duration + slip >= self.t_min:
            return Best(False, NAN, NAN, NAN, NAN, INF, NAN)
        if duration + slip >= self.t_flat:
            return self._best(self.f_at(ZERO), self.x_at(ZERO), ZERO)
        available = duration - self.fixed
        low = ZERO
        for high, time in [*self._bounds, (INF, ZERO)]:
            if time <= available + slip:
                if abs(time - available) <= slip:
                    return self._best(self.f_at(high), self.x_at(high), high)
                return self._between(low, high, available)
            low = high
        raise AssertionError("unreachable: the last bound always fits")

    def _best(self, f: Any, x: Any, price: Any) -> Best:
        return Best(True, f, x, self.t_of(f), self.tau_of(x), self.energy_of(f, x), price)

    def _between(self, low: Any, high: Any, available: Any) -> Best:
        """Between two prices no bound is met: one variable is free (closed form), or both are (one root)."""
        f_free = self.W > 0 and low < self._f_prices[1] and high > self._f_prices[0]
        x_free = self.a > 0 and low < self._x_prices[1] and high > self._x_prices[0]
        if f_free and not x_free:
            x = self.x_at(high)
            f = self.W / (available - self.tau_of(x))
            return self._best(f, x, 2 * self.kappa * f**3 - self.P_s)
        if x_free and not f_free:
            f = self.f_at(high)
            x = self.a / (available - self.t_of(f))
            return self._best(f, x, marginal(x) / self.gamma - self.P_c)
        assert f_free
        assert x_free
        x = self._root(max(self.x_at(low), self.a / available), self.x_at(high), available)
        price = marginal(x) / self.gamma - self.P_c
        return self._best(mp.cbrt((price + self.P_s) / (2 * self.kappa)), x, price)

    def _root(self, low: Any, high: Any, available: Any) -> Any:
        """ln(a/x + W/f(x)) = ln T' in u = ln x: falling; Newton inside a shrinking bracket, else its middle."""
        low, high, goal = mp.log(low), mp.log(high), mp.log(available)
        u = (low + high) / 2 if high - low < 4 else low + 1
        for _ in range(400):
            x = mp.exp(u)
            value = marginal(x)
            power = value / self.gamma - self.P_c + self.P_s  # lambda + P_s = 2 kappa f^3
            if power <= 0:  # only just above x(0) in 60 digits
                low, u = u, (u + high) / 2
                continue
            t, tau = self.W / mp.cbrt(power / (2 * self.kappa)), self.a / x
            gap = mp.log(t + tau) - goal
            low, high = (u, high) if gap > 0 else (low, u)
            slope = (tau + t * x * x * mp.exp(x) / (3 * self.gamma * power)) / (t + tau)
            step = gap / slope
            if abs(step) < DONE * mpf(10) ** -8 or high - low < DONE * mpf(10) ** -10:
                return mp.exp(u + step)
            u = u + step if low < u + step < high else (low + high) / 2
        raise AssertionError("the oracle did not converge")


class Fleet:
    """All clients of an instance, and the duration for each of the four budgets."""

    def __init__(self, clients: fedopt.Clients, work: fedopt.Workload) -> None:
        self.clients = [Client(clients, work, n) for n in range(len(clients))]
        self.t_min = max(c.t_min for c in self.clients)
        self.t_flat = max(c.t_flat for c in self.clients)
        reachable = self.t_min < INF
        self.e_inf = mp.fsum(c.e_inf for c in self.clients) if reachable else INF

    def least(self, duration: Any) -> list[Best]:
        return [c.least(duration) for c in self.clients]

    def energy(self, duration: Any) -> Any:
        """E(T) [J]; inf below T_min."""
        return mp.fsum(b.energy for b in self.least(duration))

    def at(self, duration: Any) -> tuple[Any, Any]:
        """E(T) and the least price, -E'(T+); only for T >= T_min."""
        best = self.least(duration)
        return mp.fsum(b.energy for b in best), mp.fsum(b.price for b in best)

    def schedule(self, budget: Any) -> Answer:
        """The duration for a budget (section 5 of the model)."""
        if self.t_min == INF:
            return Answer("infeasible", NAN, NAN)
        value = mpf(next(iter(_value(budget))))
        match budget:
            case fedopt.Deadline():
                if value < self.t_min:
                    return Answer("infeasible", NAN, NAN)
                return Answer("optimal", value, self.energy(value))
            case fedopt.EnergyBudget():
                return self._within(value, ZERO)
            case fedopt.PowerBudget():
                return self._within(ZERO, value)
        return self._priced(value)

    def _within(self, joules: Any, watts: Any) -> Answer:
        """Least T with E(T) <= joules + watts T."""
        energy = self.energy(self.t_min)
        if INF in (joules, watts) or energy <= joules + watts * self.t_min:
            return Answer("slack", self.t_min, energy)
        if watts == 0 and (joules < self.e_inf or (joules == self.e_inf and self.t_flat == INF)):
            return Answer("infeasible", NAN, NAN)
        if watts == 0 and joules == self.e_inf:
            return Answer("optimal", self.t_flat, self.e_inf)
        low = high = self.t_min
        while self.energy(high) > joules + watts * high:  # ends: E falls below any level above E_inf
            low, high = high, 4 * high
        duration = self._crossing(low, high, joules, watts)
        return Answer("optimal", duration, self.energy(duration))

    def _crossing(self, low: Any, high: Any, joules: Any, watts: Any) -> Any:
        """Newton on ln(E - E_inf) = ln(budget - E_inf) against ln T inside a shrinking bracket, else its middle."""
        floor = self.e_inf if watts == 0 else ZERO
        duration = low
        for _ in range(500):
            energy, price = self.at(duration)
            allowed = joules + watts * duration
            low, high = (duration, high) if energy > allowed else (low, duration)
            guess = ZERO
            if energy > floor and price > 0:
                slope = price / (energy - floor) + watts / allowed
                guess = duration * mp.exp(mp.log((energy - floor) / (allowed - floor)) / (slope * duration))
                if abs(guess - duration) <= DONE * duration:
                    return guess
            if high - low <= DONE * high:
                return high
            duration = guess if low < guess < high else mp.sqrt(low * high)
        raise AssertionError("the oracle found no duration")

    def _priced(self, watts: Any) -> Answer:
        """Minimise E + watts T: the first T with price(T+) <= watts; kinks first, then a smooth piece."""
        if self.at(self.t_min)[1] <= watts:
            return Answer("optimal", self.t_min, self.energy(self.t_min))
        kinks = sorted({k for c in self.clients if not c.idle for k in c.kinks if k > self.t_min})
        low, high = self.t_min, INF
        left, right = 0, len(kinks)
        while left < right:
            middle = (left + right) // 2
            if self.at(kinks[middle])[1] <= watts:
                right, high = middle, kinks[middle]
            else:
                left, low = middle + 1, kinks[middle]
        if high == INF:
            high = 4 * low
            while self.at(high)[1] > watts:
                low, high = high, 4 * high
        inside = high * (1 - SAME * 1000)
        if inside > low and self.at(inside)[1] > watts:
            return Answer("optimal", high, self.energy(high))
        while high - low > DONE * high * 1000:
            steps = self._false_position(low, high, watts)
            low, high = steps
        return Answer("optimal", high, self.energy(high))

    def _false_position(self, low: Any, high: Any, watts: Any) -> tuple[Any, Any]:
        """One round on ln price against ln T: the secant's point, a hair to either side of it, and the middle."""
        top, bottom = self.at(low)[1], self.at(high)[1]
        guesses = [mp.sqrt(low * high)]
        if bottom > 0:
            share = mp.log(top / watts) / mp.log(top / bottom)
            root = low * mp.exp(share * mp.log(high / low))
            hair = (high - low) * min((high - low) / high, mpf("0.01"))
            guesses += [root - hair, root + hair]
        for guess in guesses:
            if low < guess < high:
                low, high = (guess, high) if self.at(guess)[1] > watts else (low, guess)
        return low, high


def _value(budget: Any) -> tuple[float, ...]:
    return tuple(getattr(budget, name) for name in budget.__slots__)
