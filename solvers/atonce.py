"""Levels 2 and 3 of an ordinary fleet in one compiled call: plan, search, decisions and the judge's look at them.

For a few hundred clients the steps between these take as long as they do. The same functions in the same order as
where they are called one by one (plan.py, duration/newton.py), so the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.blocks import BLOCK, ORDINARY, A, at
from solvers.compile import frozen_inside, kernel, stage
from solvers.decisions import radio, speeds
from solvers.duration.newton import LARGE, search
from solvers.duration.preview import of_use, search_roughly
from solvers.duration.steps import LAST, LOWER, PASSES, STOP, T_NOW, UPPER, begin
from solvers.fill import fill, limits_of
from solvers.judging import look
from solvers.rows import FloatArray, Goal, Stop

KEPT = 8
T_OUT, TAU_OUT, ENERGY_OUT, PRICE_OUT, F_OUT, X_OUT, RATE_OUT, POWER_OUT = range(KEPT)  # t, tau, E, lambda, f, x, r, p
SEEN = 4
ENERGY_SEEN, LAST_SEEN, WORST_SEEN, X_SEEN = range(SEEN)  # as look() has them; the greatest x

_ENERGY, _POWER, _DEADLINE = float(Goal.ENERGY), float(Goal.POWER), float(Goal.DEADLINE)
_OPTIMAL, _SLACK = float(Stop.OPTIMAL), float(Stop.SLACK)

Fields = tuple[FloatArray, ...]


@kernel
def decide(fields: Fields, goal: float, value: float, state: FloatArray, seen: FloatArray, out: FloatArray) -> bool:
    """What every client does for a goal; False, and garbage, where this is no ordinary search.

    fields: W, s, f_min, f_max, kappa, P_s, B, h, N_0, p_min, p_max, P_c, t_0, each (N,) or (1,); all clients compute
    and send, none receives anything that takes time. state (STATE,) of zeros, written: as the search leaves it. seen
    (4,), out (8, N): written.
    """
    work, bits, f_min, f_max, kappa, p_s, bandwidth, gain, noise, p_min, p_max, p_c, fixed = fields
    size = out.shape[1]
    first, blocks = int(np.int64(0)), -(-size // BLOCK)  # literals would compile what is called once more
    kind, nothing = frozen_inside(np.full(1, ORDINARY, dtype=np.uint8)), frozen_inside(np.zeros(1))
    endless = frozen_inside(np.full(1, math.inf))
    snr = _column(size, max(gain.shape[0], noise.shape[0], bandwidth.shape[0]))
    for i in range(snr.shape[0]):
        snr[i] = at(gain, i) / (at(noise, i) * at(bandwidth, i))
    gamma = frozen_inside(snr)

    static, circuit, priced = p_s.max() > 0.0, p_c.max() > 0.0, bool(np.bool_(False))
    for i in range(max(p_s.shape[0], p_c.shape[0])):
        priced |= at(p_s, i) != at(p_c, i)
    lasting, unhurried = f_min.shape[0] == 1 and f_min[0] == 0.0, p_min.shape[0] == 1 and p_min[0] == 0.0
    k, a = _column(size, max(kappa.shape[0], work.shape[0])), _column(size, max(bits.shape[0], bandwidth.shape[0]))
    t_low = _column(size, max(work.shape[0], f_max.shape[0]))
    t_high = _column(size, 1 if lasting else max(work.shape[0], f_min.shape[0]))
    sent = max(a.shape[0], snr.shape[0])
    tau_low, tau_high = (
        _column(size, max(sent, p_max.shape[0])),
        _column(size, 1 if unhurried else max(sent, p_min.shape[0])),
    )
    t_free, tau_free, anchor = t_high, tau_high, np.zeros(1)
    if static:
        t_free = _column(size, max(kappa.shape[0], p_s.shape[0], t_low.shape[0], t_high.shape[0]))
    if circuit:
        tau_free = _column(size, max(snr.shape[0], p_c.shape[0], tau_low.shape[0], tau_high.shape[0]))
    if priced:
        anchor = _column(size, max(sent, k.shape[0], p_s.shape[0], p_c.shape[0]))
    fill(
        work, kappa, f_min, f_max, bits, bandwidth, gamma, p_min, p_max, p_s, p_c, static, circuit, priced,
        k, a, t_low, t_high, tau_low, tau_high, t_free, tau_free, anchor, first, blocks,
    )  # fmt: skip
    columns = (
        fixed, frozen_inside(k), frozen_inside(a), gamma, frozen_inside(t_low), frozen_inside(t_high),
        frozen_inside(tau_low), frozen_inside(tau_high), frozen_inside(t_free), frozen_inside(tau_free), p_s, p_c,
        nothing, frozen_inside(anchor),
    )  # fmt: skip
    t_min, t_flat, e_inf = limits_of(kind, columns, size, first, blocks)

    if not t_min < math.inf or (goal == _ENERGY and not value > e_inf) or (goal == _POWER and not value > 0.0):
        return False
    if goal == _DEADLINE and not t_min <= value < math.inf:
        return False
    begin(state, goal, value, t_min, t_flat, e_inf)
    if goal == _DEADLINE:
        state[LOWER], state[UPPER] = state[T_NOW], state[T_NOW]
    odds, warm = np.empty(size), bool(np.bool_(False))
    if goal != _DEADLINE and of_use(goal, value, size, e_inf):
        numbers = state.copy()
        warm = search_roughly(kind, columns, priced, numbers, odds)
        if warm:
            state[T_NOW], state[PASSES], state[LAST] = numbers[T_NOW], numbers[PASSES], 1.0
    if goal != _DEADLINE and not warm and size >= LARGE:
        return False
    search(kind, columns, priced, state, odds, warm, np.empty((blocks, 3)), out[:6])
    if state[STOP] != _OPTIMAL and state[STOP] != _SLACK:
        return False

    t, tau, f, x, rate, power = out[T_OUT], out[TAU_OUT], out[F_OUT], out[X_OUT], out[RATE_OUT], out[POWER_OUT]
    speeds(work, f_min, f_max, columns[A], t, tau, f, x, first, blocks)
    odd = radio(frozen_inside(x), bandwidth, gamma, rate, power, first, blocks)
    seen[ENERGY_SEEN], seen[LAST_SEEN], seen[WORST_SEEN] = look(
        size, work, bits, nothing, bandwidth, frozen_inside(f), frozen_inside(rate), endless,
        fixed, f_min, f_max, p_min, p_max, gain, noise, kappa, p_s, p_c, nothing, first, blocks,
    )  # fmt: skip
    seen[X_SEEN] = x.max()
    return odd == 0


@stage
def _column(size: int, longest: int) -> FloatArray:
    """Room for a column made of others, the longest of which is that long: one number where they all are."""
    return np.empty(size if longest > 1 else 1)
