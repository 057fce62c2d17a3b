"""Newton's method on duration and price of bandwidth at once, every row eliminated: a few passes, each O(N) (turns.py).

Where the duration is given the price alone is sought.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from solvers.access.shares import (
    BY_PRICE,
    BY_TIME,
    CLOSE,
    CURVE,
    ENERGY,
    EXACT,
    OUT,
    PRICE,
    SHARE,
    SUMS,
    share_blocks,
)  # fmt: skip
from solvers.access.turns import (
    DONE,
    END,
    LAST,
    MU_NOW,
    NEAR_ENOUGH,
    STATE,
    T_NOW,
    TOLERANCE,
    TURNS,
    advance_turns,
    begin_turns,
)
from solvers.blocks import GAMMA, Columns
from solvers.compile import kernel, shared
from solvers.plan import Plan, frozen
from solvers.rows import FloatArray, Goal
from solvers.threads import CHUNK, each_chunk

_NEAR = 1.5  # times: of what is near a duration or a price
_DONE = 2e-12  # a step after which nothing is left
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
        self.plan, self.powers, self.room, self.passes = plan, (power_min, power_max), room, 0
        with np.errstate(over="ignore", invalid="ignore"):
            self.snr_min = frozen(plan.columns[GAMMA] * power_min)
            self.snr_max = frozen(plan.columns[GAMMA] * power_max)
        self.odds, self.nats = np.empty(plan.size), np.empty(plan.size)
        self.sums, self.nothing = np.empty((plan.blocks, SUMS)), np.empty((OUT, 0))
        self.last = math.nan, math.nan  # duration and price of the last pass

    def look(self, T: float, mu: float, tolerance: float, out: FloatArray | None = None) -> Look:
        """Price all rows."""
        return self.seen(T, mu, self.sums_at(T, mu, tolerance, out))

    def sums_at(self, T: float, mu: float, tolerance: float, out: FloatArray | None = None) -> list[float]:
        """What a pass adds up to, over threads; the sums are per block, so no bit depends on these."""
        self.passes += 1
        plan, target = self.plan, self.nothing if out is None else out
        work = partial(
            share_blocks, plan.kind, plan.columns, self.snr_min, self.snr_max, T, mu, self.odds, self.nats,
            near(T, mu, *self.last), tolerance, self.sums, target,
        )  # fmt: skip
        each_chunk(work, plan.blocks)
        self.last = T, mu
        with np.errstate(over="ignore", invalid="ignore"):  # power without limit
            totals: list[float] = self.sums.sum(axis=0).tolist()
        return totals

    def seen(self, T: float, mu: float, sums: list[float]) -> Look:
        """What the sums of a pass say."""
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


@shared
def near(T: float, mu: float, before: float, price: float) -> bool:
    """Whether the last pass, at a duration ``before`` and a price, was so near that its answers are better starts than
    guesses from nothing; NaN for no pass."""
    return before / _NEAR <= T <= before * _NEAR and price / _NEAR <= mu <= price * _NEAR


@kernel
def turn_blocks(
    kind: NDArray[np.uint8],
    columns: Columns,
    snr_min: FloatArray,
    snr_max: FloatArray,
    state: FloatArray,
    odds: FloatArray,
    nats: FloatArray,
    last: tuple[float, float],
    sums: FloatArray,
    out: FloatArray,
    nothing: FloatArray,
) -> tuple[int, float, float]:
    """All turns of a search; how many passes, and the duration [s] and the price [J/channel] of the last of them.

    state (STATE,), of begin_turns, written. last: duration and price of what ``odds`` and ``nats`` (N,) hold, or NaN.
    sums (blocks, 6), written: the totals in the first row. out: of share_blocks, written in the last pass; nothing:
    what takes its place before. The rest as in share_blocks.
    """
    first, blocks, passes = int(np.int64(0)), sums.shape[0], 0
    T, mu = last
    for _ in range(TURNS):
        warm = near(state[T_NOW], state[MU_NOW], T, mu)
        T, mu, tolerance = state[T_NOW], state[MU_NOW], state[TOLERANCE]
        target = out if state[LAST] != 0.0 else nothing
        share_blocks(
            kind, columns, snr_min, snr_max, T, mu, odds, nats, warm, tolerance, sums, target, first, blocks
        )  # fmt: skip
        passes += 1
        for block in range(1, blocks):
            for j in range(SUMS):
                sums[0, j] += sums[block, j]
        advance_turns(state, sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3], sums[0, 4], sums[0, 5])
        if state[END] != 0.0:
            break
    return passes, T, mu


def balance(uplinks: Uplinks, T: float, mu: float, enough: float = 0.0) -> Look | None:
    """The price that shares the channel out at a duration: the root of ln S, which falls with ln mu; None if none does.

    Newton between bounds, halving what is between them where it leaves them. enough: a step in ln mu of which no more
    is wanted than a first guess; 0 for the price itself.
    """
    low, high = -math.inf, math.inf
    rough, z, last = CLOSE, math.log(mu), math.inf
    tolerance = rough
    for _ in range(200):
        look = uplinks.look(T, math.exp(z), tolerance)
        over = look.over if 0.0 < look.share < math.inf else math.inf if look.share > 0.0 else -math.inf
        if over > 0.0:
            low = max(low, z)
        else:
            high = min(high, z)
        step = look.step if math.isfinite(over) else math.nan
        if abs(step) <= enough > 0.0:
            return look
        if tolerance == EXACT and (abs(step) <= 1e-15 * max(1.0, abs(z)) or (abs(step) <= _DONE and last <= 1e-6)):
            return look
        if math.isfinite(high - low) and high - low <= 4e-16 * max(abs(low), abs(high)):
            if rough == EXACT or abs(step) <= _DONE:
                return uplinks.look(T, look.mu, EXACT) if abs(over) < 1e-6 else None
            low, high, rough = -math.inf, math.inf, EXACT  # a rough pass took one side for the other
        tolerance = EXACT if abs(step) < 1e-3 else rough
        new = z + min(max(step, -8.0), 8.0)
        if not low < new < high and not abs(step) <= _DONE:
            new = 0.5 * (low + high) if math.isfinite(high - low) else z + (4.0 if over > 0.0 else -4.0)
            tolerance = EXACT if high - low < 1e-3 else tolerance
        if not _CHEAP < new < _DEAR:
            return None
        z, last = new, abs(step)
    return None


def joint(
    uplinks: Uplinks, goal: Goal, value: float, T: float, mu: float, out: FloatArray, enough: float = 0.0
) -> Look | None:
    """Duration and price together from a first guess: the last pass, its rows in ``out``.

    None where it does not converge: kinks of E(T), or a budget that holds at the least duration. enough: a step
    (relative) of which no more is wanted than where it leads to. Large fleets' passes are spread over threads.
    """
    plan, state = uplinks.plan, [0.0] * STATE
    begin_turns(state, float(goal), value, plan.t_min, plan.e_inf, uplinks.room, enough, T, mu)
    if plan.blocks <= CHUNK:
        state, sums = _at_once(uplinks, state, out)
    else:
        sums = _in_chunks(uplinks, state, out)
    if state[END] not in (DONE, NEAR_ENOUGH):
        return None
    return uplinks.seen(state[T_NOW], state[MU_NOW], sums)


def _at_once(uplinks: Uplinks, state: list[float], out: FloatArray) -> tuple[list[float], list[float]]:
    u, numbers = uplinks, np.array(state)
    passes, T, mu = turn_blocks(
        u.plan.kind, u.plan.columns, u.snr_min, u.snr_max, numbers, u.odds, u.nats, u.last, u.sums, out, u.nothing
    )  # fmt: skip
    u.passes, u.last = u.passes + passes, (T, mu)
    return numbers.tolist(), u.sums[0].tolist()


def _in_chunks(uplinks: Uplinks, state: list[float], out: FloatArray) -> list[float]:
    sums: list[float] = []
    for _ in range(TURNS):
        sums = uplinks.sums_at(state[T_NOW], state[MU_NOW], state[TOLERANCE], out if state[LAST] != 0.0 else None)
        advance_turns(state, *sums)
        if state[END] != 0.0:
            break
    return sums
