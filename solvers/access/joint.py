"""Newton's method on duration and price of bandwidth at once, every row eliminated: a few passes, each O(N).

For a price mu the Lagrangian D(T, mu) = sum of (E_n + mu beta_n) - mu (beta in channels) is convex in T, and its
greatest over mu is E(T). One pass gives D, its slopes, -sum of lambda_n and S - 1 = sum of beta_n - 1, and theirs.
The price that shares the channel out is a Newton step away in ln mu (ln S is nearly linear in it); what E, E' and E''
will be there follows to second order (a Schur complement), and Halley's step of level 2 takes T to the goal. The
tangent of D lies below E wherever it is taken: its zero is a proved lower bound of the duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from solvers.access.shares import (
    BY_PRICE,
    BY_TIME,
    CLOSE,
    CURVE,
    ENERGY,
    EXACT,
    OUT,
    PRICE,
    ROUGH,
    SHARE,
    SUMS,
    share_blocks,
)  # fmt: skip
from solvers.blocks import GAMMA
from solvers.duration.steps import halley_guess
from solvers.duration.verdicts import allowance
from solvers.plan import Plan, frozen
from solvers.rows import FloatArray, Goal
from solvers.threads import each_chunk

_TURNS = 30
_LAST = 1e-6  # a step below this leaves an error of its square: the next pass should be the last
_NEAR = 1.5  # times: of what is near a duration or a price
_FAR, _HELD = 1.0, 4  # in ln mu; passes
_PART = 0.1  # of the step to a pass: rows whose steps are below it leave less than the next step corrects
_DONE, _MUCH = 2e-12, 1e-8  # a step after which nothing is left; and the most that rounding may hide of a duration
_MARGIN = 4e-15  # aim this far inside a budget: the rounding of the sums must not exceed it
_CHEAP, _DEAR = -650.0, 650.0  # ln of prices of bandwidth that stand for none and for any


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One pass: E [J], S = sum of beta over the room for it, sum of lambda [W], and slopes of lambda and ln S."""

    T: float
    mu: float
    energy: float
    share: float
    price: float
    curve: float  # -d lambda/dT [W/s]
    by_time: float  # d S/dT [1/s]
    by_price: float  # d S/d ln mu
    room: float

    @property
    def over(self) -> float:
        """ln S: positive where the rows want more bandwidth than there is."""
        return math.log(self.share)

    @property
    def dual(self) -> float:
        """D [J], a lower bound of E(T)."""
        return self.energy + self.mu * self.room * (self.share - 1.0)

    @property
    def step(self) -> float:
        """Newton's step in ln mu."""
        return -self.over * self.share / self.by_price if self.by_price < 0.0 else math.nan


class Uplinks:
    """Rows that share ``room`` channels, and their last answers: the next pass starts there."""

    def __init__(self, plan: Plan, power_min: FloatArray, power_max: FloatArray, room: float = 1.0) -> None:
        self.plan, self.room, self.passes = plan, room, 0
        with np.errstate(over="ignore", invalid="ignore"):
            self.snr_min = frozen(plan.columns[GAMMA] * power_min)
            self.snr_max = frozen(plan.columns[GAMMA] * power_max)
        self.odds, self.nats = np.empty(plan.size), np.empty(plan.size)
        self._sums, self._nothing = np.empty((plan.blocks, SUMS)), np.empty((OUT, 0))
        self._last = math.nan, math.nan  # duration and price of the last pass

    def look(self, T: float, mu: float, tolerance: float, out: FloatArray | None = None) -> Look:
        """Price all rows; the sums are per block, so no bit depends on threads."""
        self.passes += 1
        plan, target = self.plan, self._nothing if out is None else out
        warm = self._near(T, mu)
        work = partial(
            share_blocks, plan.kind, plan.columns, self.snr_min, self.snr_max, T, mu, self.odds, self.nats,
            warm, tolerance, self._sums, target,
        )  # fmt: skip
        each_chunk(work, plan.blocks)
        self._last = T, mu
        sums = self._sums.sum(axis=0).tolist()
        return Look(
            T=T,
            mu=mu,
            energy=sums[ENERGY],
            share=sums[SHARE] / self.room,
            price=sums[PRICE],
            curve=sums[CURVE],
            by_time=sums[BY_TIME] / self.room,
            by_price=sums[BY_PRICE] / self.room,
            room=self.room,
        )

    def _near(self, T: float, mu: float) -> bool:
        """Whether the last pass was so near that its answers are better starts than guesses from nothing."""
        before, price = self._last
        return before / _NEAR <= T <= before * _NEAR and price / _NEAR <= mu <= price * _NEAR


def balance(uplinks: Uplinks, T: float, mu: float, enough: float = 0.0) -> Look | None:
    """The price that shares the channel out at a duration: the root of ln S, which falls with ln mu; None if none does.

    Newton between bounds, halving what is between them where it leaves them. enough: a step in ln mu of which no more
    is wanted than a first guess; 0 for the price itself.
    """
    low, high = -math.inf, math.inf
    z, tolerance, last = math.log(mu), CLOSE, math.inf
    for _ in range(200):
        look = uplinks.look(T, math.exp(z), tolerance)
        over = look.over if 0.0 < look.share < math.inf else math.inf if look.share > 0.0 else -math.inf
        if over > 0.0:
            low = max(low, z)
        else:
            high = min(high, z)
        step = look.step if math.isfinite(over) else math.nan
        if abs(step) <= enough:
            return look
        if tolerance == EXACT and (abs(step) <= 1e-15 * max(1.0, abs(z)) or (abs(step) <= _DONE and last <= 1e-6)):
            return look
        if math.isfinite(high - low) and high - low <= 4e-16 * max(abs(low), abs(high)):
            return look if abs(over) < 1e-6 else None
        tolerance = EXACT if abs(step) < 1e-3 else CLOSE
        new = z + min(max(step, -8.0), 8.0)
        if not low < new < high and not abs(step) <= _DONE:
            new = 0.5 * (low + high) if math.isfinite(high - low) else z + (4.0 if over > 0.0 else -4.0)
            tolerance = EXACT if high - low < 1e-3 else tolerance
        if not _CHEAP < new < _DEAR:
            return None
        z, last = new, abs(step)
    return None


class _Window:
    """Between which durations the goal's lies, going by passes from which it is far, and between which prices that
    of the duration at hand."""

    def __init__(self, low: float) -> None:
        self.low, self.high, self.held = low, math.inf, 0
        self.cheap, self.dear, self.fair = 0.0, math.inf, 0.0

    def within(self, guess: float, look: Look) -> tuple[float, float]:
        """The duration to look at next, and the price to start from.

        Far from the price that shares the channel out nothing is known about another duration: the price is sought
        first. Where it only rises there is none, as the duration is too short for the channel.
        """
        T, mu = look.T, look.mu
        if abs(look.step) > _FAR:
            self.held += 1
            self.cheap, self.dear = (mu, self.dear) if look.step > 0.0 else (self.cheap, mu)
            if self.held < _HELD or self.dear < math.inf:
                return T, mu
            self.low, guess, mu = T, 1.5 * T, self.fair or mu
        elif not T / _NEAR < guess < T * _NEAR:
            self.low, self.high = (T, self.high) if guess > T else (self.low, T)
        self.held, self.cheap, self.dear, self.fair = 0, 0.0, math.inf, mu
        if not self.low < guess < self.high and self.high < math.inf:
            guess = math.sqrt(self.low) * math.sqrt(self.high)
        return guess, mu

    def priced(self, mu: float) -> float:
        """A price between those that were too low and too high for this duration."""
        return mu if self.cheap < mu < self.dear else math.sqrt(self.cheap) * math.sqrt(self.dear)


def joint(
    uplinks: Uplinks, goal: Goal, value: float, T: float, mu: float, out: FloatArray, enough: float = 0.0
) -> tuple[Look, float] | None:
    """Duration and price together from a first guess: the last pass, its rows in ``out``, and the proved lower bound.

    None where it does not converge: kinks of E(T), or a budget that holds at the least duration. enough: a step
    (relative) of which no more is wanted than where it leads to.
    """
    plan, lower = uplinks.plan, uplinks.plan.t_min
    tilt = value if goal is Goal.POWER else 0.0
    tolerance, last, window = ROUGH, False, _Window(plan.t_min)
    for _ in range(_TURNS):
        look = uplinks.look(T, mu, tolerance, out if last else None)
        if not (0.0 < look.share < math.inf and look.energy < math.inf and look.by_price < 0.0):
            return None
        step = min(max(look.step, -3.0), 3.0)
        near = max(min(step, 1.0), -1.0)
        e = look.dual + 0.5 * look.mu * look.room * (look.share - 1.0) * near
        price = max(look.price - look.mu * look.room * look.by_time * near, 0.1 * look.price)
        curve = look.curve - look.mu * look.room * look.by_time * (look.by_time / look.by_price)
        limit, slope = math.nan, look.price + tilt
        if goal is Goal.DEADLINE:
            guess = T
        elif goal is Goal.PRICE:
            far = math.log(price / value) * price / (T * curve) if price > 0.0 and curve > 0.0 else -math.inf
            guess = T * math.exp(min(max(far, -1.0), 1.0))
        else:
            limit = allowance(goal, value, T)
            if slope > 0.0:
                lower = max(lower, T + (look.dual - limit) / slope)
            guess = halley_guess(T, e, price, curve, 0.0 if tilt else plan.e_inf, limit, 1.0 if tilt else 0.0)
            if not guess > 0.0:
                guess = T + (e - limit) / slope if slope > 0.0 else math.nan
            guess += _MARGIN * limit / slope if slope > 0.0 else 0.0
        if not plan.t_min < guess < math.inf and goal is not Goal.DEADLINE:
            guess = 0.5 * (T + plan.t_min) if guess <= plan.t_min else math.nan
        if not math.isfinite(guess) or not math.isfinite(step):
            return None
        guess = min(max(guess, 0.4 * T), 2.5 * T)
        move = math.log(guess / T)
        priced = goal is not Goal.PRICE or abs(price - value) <= _LAST * value  # all but 0 it says little of T
        hidden = _MARGIN * limit / (slope * T) if limit > 0.0 and slope > 0.0 else 0.0  # by the rounding of the sums
        done = last and abs(move) <= max(_DONE, min(hidden, _MUCH)) and abs(step) <= _DONE
        if done and priced and not e > limit * (1.0 + 1e-15):
            return look, min(lower, T)
        size = max(abs(move), abs(step))
        last = size < _LAST
        tolerance = EXACT if last else max(EXACT, min(ROUGH, _PART * size))
        guess, mu = window.within(guess, look)
        mu *= math.exp(min(max(step - T * look.by_time / look.by_price * math.log(guess / T), -5.0), 5.0))
        T, mu = guess, window.priced(mu)
        if size <= enough > 0.0:
            return replace(look, T=T, mu=mu), lower
    return None
