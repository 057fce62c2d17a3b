"""Time division, when computing ends: the least T_cmp at which the computing prices add up to at most a price of time.

The sum of the prices falls with T_cmp, smoothly but for a jump wherever a row has all the time it wants (at its least
frequency, say): many rows, many jumps. Every sum known is kept, so that one search begins between the bounds that the
last ones left. Far off a secant in logarithms sees the many small jumps as a slope; between few of them each is looked
at; where none is left Newton's method ends it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np

from solvers.blocks import BLOCK, FIXED, NO_UPLOAD, ORDINARY, P_S, T_FREE, T_LOW, K, left_out
from solvers.compile import kernel
from solvers.plan import Plan, rows_of
from solvers.rows import FloatArray

_STEPS = 200
_ROUNDING = 1e-15  # relative: what a step of T_cmp below this is about
_SMOOTH = 1e-8  # relative: a Newton step below this, in T_cmp and in the price, leaves rounding
_NEAR = 0.02  # relative: bounds this close have their jumps counted
_FEW = 4  # jumps that are looked at one by one
KINK = 1e-13  # relative: a row this near the end of its free time is at it


@dataclass(frozen=True, slots=True, order=True)
class Known:
    """Computing that ends by ``end`` [s]: sum of 2 kappa f^3 - P_s [W], its fall [W/s], and of the energies [J]."""

    end: float
    worth: float
    fall: float
    energy: float


class Computing:
    """The rows that compute: their columns K, FIXED, P_S, T_LOW and T_FREE.

    waiting [s]: the greatest t_0 + t_d, of rows that do not compute, too; 0 for idle ones.
    """

    def __init__(self, columns: tuple[FloatArray, ...], waiting: float) -> None:
        self.columns = columns
        k, fixed, p_s, t_low, t_free = columns
        self.first = max(float((fixed + t_low).max(initial=0.0)), waiting)
        with np.errstate(all="ignore"):
            drops = (t_free < math.inf) & (2.0 * k > p_s * (1.0 + KINK) * t_free * t_free * t_free)
        self._jumps = (fixed + t_free)[drops] * (1.0 + _ROUNDING)  # rounded up: past the jump
        last = max(float((fixed + t_free).max(initial=0.0)), waiting)
        self.last = max(last, float(self._jumps.max(initial=0.0)))
        self._some, self._range = self._jumps[:0], (math.inf, -math.inf)
        self._known: list[Known] = []
        if k.size:
            self.at(self.first)
            if self.last < math.inf:
                self.at(self.last)

    @classmethod
    def of(cls, plan: Plan) -> Computing:
        """The rows of a plan that compute."""
        c, works = plan.columns, rows_of(plan, ORDINARY, NO_UPLOAD)

        def pick(column: FloatArray) -> FloatArray:
            return np.ascontiguousarray(np.broadcast_to(column, (plan.size,))[works])

        return cls(tuple(pick(c[j]) for j in (K, FIXED, P_S, T_LOW, T_FREE)), float(c[FIXED].max()))

    def at(self, end: float) -> Known:
        """The sums at an end, looked up where they are known."""
        at = bisect_left(self._known, end, key=lambda known: known.end)
        if at < len(self._known) and self._known[at].end == end:
            return self._known[at]
        k, fixed, p_s, t_low, t_free = self.columns
        found = Known(end, *computing_sums(k, fixed, p_s, t_low, t_free, end))
        insort(self._known, found)
        return found

    def end(self, price: float) -> float:
        """T_cmp [s] at a price of time [W]: from there on one more second is worth no more to all rows together."""
        if price <= 0.0:
            return self.last
        if not self._known or self._known[0].worth <= price:
            return self.first
        lean, turn = 1.0, 0  # Illinois: a bound that stays counts half
        for _ in range(_STEPS):
            at = bisect_left(self._known, -price, key=lambda known: -known.worth)
            low = self._known[at - 1]
            high = self._known[at] if at < len(self._known) else None
            if high is not None and high.end <= low.end * (1.0 + 2.0 * _ROUNDING):
                return high.end
            new, done = self._guess(low, high, price, lean)
            if done:
                return new
            short = self.at(new).worth > price
            lean = 1.0 if turn == 0 or (turn > 0) != short else lean * (0.5 if short else 2.0)
            turn = 1 if short else -1
        return low.end if high is None else high.end

    def _guess(self, low: Known, high: Known | None, price: float, lean: float) -> tuple[float, bool]:
        """Where to look next, and whether that is the answer."""
        above = math.log(low.worth / price)
        if high is None:
            step = above * low.worth / (low.end * low.fall) if low.fall > 0.0 else 1.0
            return low.end * math.exp(min(max(1.2 * step, 1e-3), 2.0)), False
        if high.end > low.end * (1.0 + _NEAR):
            return _secant(low, high, price, above, lean), False
        inside = self._between(low.end, high.end)
        if inside.size > _FEW:
            return _secant(low, high, price, above, lean), False
        if inside.size:
            return float(inside[inside.size // 2]), False
        if self._between(low.end, high.end * (1.0 + _ROUNDING)).size:  # the prices may jump to below at that end itself
            before = high.end * (1.0 - 4.0 * _ROUNDING)
            if before > low.end and self.at(before).worth > price:
                return high.end, True
        return _newton(low, high, price, above)

    def _between(self, low: float, high: float) -> FloatArray:
        """The jumps in the open interval, in order."""
        if not (self._range[0] <= low and high <= self._range[1]):
            self._range = (low, high * (1.0 + 4.0 * _ROUNDING))
            self._some = np.sort(self._jumps[(self._jumps > low) & (self._jumps < self._range[1])])
        some: FloatArray = self._some[np.searchsorted(self._some, low, "right") : np.searchsorted(self._some, high)]
        return some


def _secant(low: Known, high: Known, price: float, above: float, lean: float) -> float:
    """Between the bounds, in logarithms; their middle where one of them knows no slope."""
    share = 0.5
    if high.worth > 0.0:
        below = math.log(high.worth / price) * lean
        share = min(max(above / (above - below), 0.01), 0.99) if above > below else 0.5
    new = low.end * (high.end / low.end) ** share
    return new if low.end < new < high.end else 0.5 * (low.end + high.end)


def _newton(low: Known, high: Known, price: float, above: float) -> tuple[float, bool]:
    """From the bound that is nearer; halfway where it leads out. Exact where the step is small."""
    near, off = low, above
    if high.worth > 0.0 and math.log(price / high.worth) < above:
        near, off = high, math.log(high.worth / price)
    step = off * near.worth / (near.end * near.fall) if near.fall > 0.0 else math.nan
    new = near.end * (1.0 + step)
    if max(abs(step), abs(off)) <= _SMOOTH:
        return min(max(new, low.end), high.end), True
    return (new if low.end < new < high.end else 0.5 * (low.end + high.end)), False


@kernel
def computing_sums(
    k: FloatArray, fixed: FloatArray, p_s: FloatArray, t_low: FloatArray, t_free: FloatArray, end: float
) -> tuple[float, float, float]:
    """Computing that ends by ``end`` [s]: sum of 2 kappa f^3 - P_s [W], its fall [W/s], and of the energies [J].

    k, fixed, p_s, t_low, t_free: kappa W^3 [J s^2], t_0 + t_d [s], P_s [W], least t and t when time is free [s] of the
    rows that compute, (N,). Sums are per block of rows and then over the blocks, in order; what
    rounding leaves out of these is added.
    """
    worth, fall, energy, low, lost = 0.0, 0.0, 0.0, 0.0, 0.0
    for first in range(0, k.shape[0], BLOCK):
        watts, slopes, joules = 0.0, 0.0, 0.0
        for i in range(first, min(first + BLOCK, k.shape[0])):
            left = end - fixed[i]
            t = min(max(left, t_low[i]), t_free[i])
            per = 1.0 / t
            cube = k[i] * per * per
            joules += cube + (p_s[i] * t if p_s[i] > 0.0 else 0.0)
            if left < t_free[i]:
                watts += max(2.0 * cube * per - p_s[i], 0.0)
                slopes += 6.0 * cube * per * per
        before, worth = worth, worth + watts
        low += left_out(before, watts, worth)
        fall += slopes
        before, energy = energy, energy + joules
        lost += left_out(before, joules, energy)
    return worth + low, fall, energy + lost
