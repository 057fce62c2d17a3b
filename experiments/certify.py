"""Durations and energies proved by interval arithmetic (Arb): whatever Python's floats do, the answer lies inside.

Every double of an instance is taken exactly. With the price of time lambda a client's f, x, time and energy are closed
forms (section 4 of the model), the time falling and the energy rising in lambda; two prices whose times provably lie on
both sides of a duration therefore enclose the client's least energy and its least price there. Nothing is iterated to
convergence and trusted: a comparison of two balls is True only where it holds for all of their points.

Needs python-flint (extra ``instances``).
"""

from __future__ import annotations

import math
from typing import Any

from flint import arb, ctx

import fedopt

ctx.prec = 700  # near m = 0 the Lambert W loses half of log2(1/m) bits, and a sum of powers what its terms differ by
ENDLESS = arb.pos_inf()
HALVINGS = 180


class Undecided(ArithmeticError):
    """The balls overlap: neither this nor its contrary is proved."""


def above(a: Any, b: Any) -> bool:
    """a > b, proved or refuted; raises Undecided."""
    if a > b:
        return True
    if a <= b:
        return False
    raise Undecided


def decimal(text: str) -> Any:
    """A ball around a decimal number."""
    return arb(text)


class Client:
    """One client; ``bandwidth`` [Hz] replaces its own where an uplink is shared."""

    def __init__(self, clients: fedopt.Clients, work: fedopt.Workload, n: int, bandwidth: Any = None) -> None:
        def get(name: str) -> Any:
            return arb(float(getattr(clients, name)[n]))

        work = work.sized(len(clients))
        self.W, self.bits, down = (arb(float(v[n])) for v in (work.cycles, work.upload_bits, work.download_bits))
        self.idle = self.W == 0 and self.bits == 0 and down == 0
        self.f_min, self.f_max, self.kappa = get("frequency_min"), get("frequency_max"), get("capacitance")
        self.P_s, self.P_c = get("static_power"), get("circuit_power")
        self.band = get("bandwidth") if bandwidth is None else bandwidth
        self.noise_to_gain = get("noise_density") / get("channel_gain")  # [J] gains of zero are not drawn
        self.gamma = 1 / (self.noise_to_gain * self.band)
        self.a = self.bits * arb(2).log() / self.band
        self.x_min = (self.gamma * get("power_min")).log1p()
        endless = float(clients.power_max[n]) == math.inf
        self.x_max = ENDLESS if endless else (self.gamma * get("power_max")).log1p()
        rate = float(clients.download_rate[n])
        t_d = arb(0) if rate == math.inf else down / arb(rate)
        self.fixed = arb(0) if self.idle else get("overhead") + t_d
        self.fixed_energy = arb(0) if self.idle else get("receive_power") * t_d

    def decision(self, price: Any) -> tuple[Any, Any]:
        """f = clip(((lambda + P_s)/2 kappa)^(1/3)) and x = clip(1 + W0((gamma (lambda + P_c) - 1)/e))."""
        f = ((price + self.P_s) / (2 * self.kappa)).root(3)
        m = self.gamma * (price + self.P_c)
        x = arb(0) if m == 0 else 1 + ((m - 1) / arb(1).exp()).lambertw()
        return f.max(self.f_min).min(self.f_max), x.max(self.x_min).min(self.x_max)

    def time_of(self, f: Any, x: Any) -> Any:
        """W/f + a/x [s], without the fixed delays."""
        if (self.W > 0 and f == 0) or (self.a > 0 and x == 0):
            return ENDLESS
        return (self.W / f if self.W > 0 else arb(0)) + (self.a / x if self.a > 0 else arb(0))

    def energy_of(self, f: Any, x: Any) -> Any:
        """kappa W f^2 + P_s W/f + (a/x) ((e^x - 1)/gamma + P_c) + download [J]; its limit a/gamma where x = 0."""
        energy = self.fixed_energy
        if self.W > 0:
            energy += self.kappa * self.W * f * f + (self.P_s * self.W / f if self.P_s > 0 else 0)
        if self.a > 0:
            energy += self.a / self.gamma * (1 if x == 0 else x.expm1() / x)
            energy += self.P_c * self.a / x if self.P_c > 0 else 0
        return energy

    @property
    def t_min(self) -> Any:
        """[s] with everything at its greatest."""
        sending = self.a / self.x_max if self.a > 0 else arb(0)
        return arb(0) if self.idle else self.fixed + self.W / self.f_max + sending

    def least(self, duration: Any) -> tuple[Any, Any] | None:
        """Enclosures of the least energy [J] and the least price [W] at a duration [s]; None where it is too short."""
        if self.idle:
            return arb(0), arb(0)
        if above(self.t_min, duration):
            return None
        available = duration - self.fixed
        if not above(self.time_of(*self.decision(arb(0))), available):
            return self.energy_of(*self.decision(arb(0))), arb(0)
        low, high = self.prices(available)
        energies = [self.energy_of(*self.decision(price)) for price in (low, high)]
        return energies[0].union(energies[1]), low.union(high)

    def prices(self, available: Any) -> tuple[Any, Any]:
        """Two prices, the time of the lower provably above the time available, that of the upper not: by halving ln."""

        def too_long(u: int | Any) -> bool:
            return above(self.time_of(*self.decision(arb(2) ** u)), available)

        low, high = arb(0), arb(0)
        width = 1
        while not too_long(low):
            low, high, width = low - width, low, 2 * width
        width = 1
        while too_long(high):
            low, high, width = high, high + width, 2 * width
        for _ in range(HALVINGS):
            middle = ((low + high) / 2).mid()
            try:
                low, high = (middle, high) if too_long(middle) else (low, middle)
            except Undecided:
                break
        return arb(2) ** low, arb(2) ** high


class Fleet:
    """All clients, and by how much a duration misses a budget."""

    def __init__(self, clients: fedopt.Clients, work: fedopt.Workload) -> None:
        self.clients = [Client(clients, work, n) for n in range(len(clients))]

    def at(self, duration: Any) -> tuple[Any, Any] | None:
        """Enclosures of E(T) [J] and of the least price -E'(T+) [W]; None where T is provably too short."""
        answers = [client.least(duration) for client in self.clients]
        if None in answers:
            return None
        pairs = [answer for answer in answers if answer is not None]
        return sum((e for e, _ in pairs), arb(0)), sum((p for _, p in pairs), arb(0))

    def excess(self, budget: Any, duration: Any) -> Any:
        """By which share of the budget the duration is too short; +inf below the least duration."""
        found = self.at(duration)
        if found is None:
            return ENDLESS
        energy, price = found
        match budget:
            case fedopt.EnergyBudget(joules):
                return energy / arb(joules) - 1
            case fedopt.PowerBudget(watts):
                return energy / (arb(watts) * duration) - 1
            case fedopt.TimePrice(watts):
                return price / arb(watts) - 1
        raise TypeError(budget)

    def proves(self, budget: Any, low: Any, high: Any) -> bool:
        """The best duration lies in [low, high]: at ``low`` the goal fails, at ``high`` it holds, and E is convex."""
        try:
            return bool(self.excess(budget, low) > 0) and bool(self.excess(budget, high) <= 0)
        except Undecided:
            return False

    def condition(self, budget: Any, duration: Any) -> float:
        """By so much a relative rounding of the goal moves the duration, at least 1: over a change of 1e-9 of it.

        A price of time is a sum of differences, 2 kappa f^3 - P_s or F(x)/gamma - P_c: it is rounded like the powers.
        """
        step = arb("1e-9")
        late, early = (abs(float(self.excess(budget, duration * (1 + s)).mid())) for s in (step, -step))
        lost = 1.0
        if isinstance(budget, fedopt.TimePrice):
            lost = sum(float(c.P_s.max(c.P_c)) for c in self.clients) / budget.watts
        return max(1.0, 1e-9 / min(late, early)) * max(1.0, lost)
