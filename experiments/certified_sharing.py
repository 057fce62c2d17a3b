"""Proved durations on shared bandwidth: a bound from below by convexity, one from above by a decision.

At a duration T the least energy Phi(b) = sum E_n(T, b_n) is convex in the bandwidths where p_max is left out, which
can only lower it (section 7 of the model). So for any b0, and all b >= 0 with sum b <= B,
Phi(b) >= Phi(b0) + min(0, B min_n g_n) - g.b0 with g_n = dE_n/db_n = -tau_n (N0/h_n) F(x_n).
The decision at b0 keeps p_max and the budget. P_s = P_c = p_min = 0.
"""

from __future__ import annotations

from typing import Any

from flint import arb
from mpmath import mp, mpf

import fedopt
from experiments.certify import Client

STEPS = 6


class Uplink:
    """Clients on one channel of ``hertz`` [Hz]."""

    def __init__(self, clients: fedopt.Clients, work: fedopt.Workload, hertz: float) -> None:
        self.clients, self.work, self.hertz = clients, work, arb(hertz)

    def client(self, n: int, band: Any, capped: bool) -> Client:
        clients = self.clients if capped else self.clients.replace(power_max=float("inf"))
        return Client(clients, self.work, n, band)

    def one(self, n: int, T: Any, band: Any, capped: bool = False) -> tuple[Any, Any, Any] | None:
        """Least energy [J], its slope in the bandwidth [J/Hz], and the price [W]; None where T is too short."""
        client = self.client(n, band, capped)
        found = client.least(T)
        if found is None:
            return None
        energy, price = found
        _, x = client.decision(price)
        slope = -(client.a / x) * client.noise_to_gain * (1 + (x - 1) * x.exp())
        return energy, slope, price

    def all(self, T: Any, bands: list[Any], capped: bool = False) -> list[tuple[Any, Any, Any]] | None:
        found = [self.one(n, T, band, capped) for n, band in enumerate(bands)]
        return None if None in found else [each for each in found if each is not None]

    def improved(self, T: Any, bands: list[Any]) -> list[Any] | None:
        """One step of Newton towards equal slopes at sum b = B; None where T is too short on the way."""
        hair = arb("1e-25")
        here, there = self.all(T, bands), self.all(T, [b * (1 + hair) for b in bands])
        if here is None or there is None:
            return None
        curves = [((t[1] - h[1]) / (b * hair)).mid() for h, t, b in zip(here, there, bands, strict=True)]
        slopes = [h[1].mid() for h in here]
        missing = self.hertz - sum(bands, arb(0))
        goal = (missing + sum((s / c for s, c in zip(slopes, curves, strict=True)), arb(0))) / sum(
            (1 / c for c in curves), arb(0)
        )
        return [(b + (goal - s) / c).mid() for b, s, c in zip(bands, slopes, curves, strict=True)]

    def most(self, T: Any, bands: list[Any]) -> Any:
        """An upper bound of the least energy: of a decision within B and p_max; None where there is none."""
        within = [b * self.hertz / sum(bands, arb(0)) * (1 - arb("1e-32")) for b in bands]
        found = self.all(T, [b.mid() for b in within], capped=True)
        assert sum((b.mid() for b in within), arb(0)) <= self.hertz
        return None if found is None else sum((each[0] for each in found), arb(0)).upper()

    def fewest(self, T: Any, bands: list[Any]) -> Any:
        """A lower bound of the least energy, whatever the bandwidths."""
        found = self.all(T, bands)
        if found is None:
            return None
        slopes = [each[1] for each in found]
        least = arb(0)
        for slope in slopes:
            least = least.min(self.hertz * slope)
        gap = least - sum((s * b for s, b in zip(slopes, bands, strict=True)), arb(0))
        return (sum((each[0] for each in found), arb(0)) + gap).lower()


def shared_bounds(
    clients: fedopt.Clients, work: fedopt.Workload, hertz: float, joules: float, found: fedopt.Schedule
) -> tuple[tuple[str, str], float]:
    """A proved interval of the duration [s] for an energy budget, around the solver's; ("", "") where unproved."""
    nothing = ("", ""), 1.0
    if found.sharing is None:
        return nothing
    uplink, T = Uplink(clients, work, hertz), arb(found.duration)
    bands: list[Any] | None = [arb(float(b)) for b in found.sharing.bandwidth]
    for _ in range(STEPS):
        bands = uplink.improved(T, bands)
        here = None if bands is None else uplink.all(T, bands)
        if here is None or bands is None:
            return nothing
        energy, price = (sum((each[i] for each in here), arb(0)).mid() for i in (0, 2))
        T = (T + (energy - arb(joules)) / price).mid()
    middle, width = mpf(T.str(40, radius=False)), mpf(10) ** -18
    texts = tuple(mp.nstr(middle * (1 + sign * width), 26, strip_zeros=False) for sign in (-1, 1))
    lower, upper = uplink.fewest(arb(texts[0]), bands), uplink.most(arb(texts[1]), bands)
    if lower is None or upper is None or not (lower > arb(joules) and upper <= arb(joules)):
        return nothing
    return (texts[0], texts[1]), max(1.0, float((arb(joules) / (T * price)).mid()))
