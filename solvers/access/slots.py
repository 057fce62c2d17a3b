"""Time division, the slots: at a price of time lambda every upload has x = F^-1(gamma (lambda + P_c)), clipped.

Sums are per block of rows and then over the blocks, in order, what rounding leaves out of these added.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.access.stages import LEAST, begin_efficiency_block, grown_block
from solvers.blocks import BLOCK, GAMMA, NO_WORK, ORDINARY, P_C, TAU_FREE, TAU_HIGH, TAU_LOW, A, left_out
from solvers.compile import kernel, stage, wide
from solvers.elementary import EXP_MAX, expm1, inverse_marginal, log, marginal_given
from solvers.plan import Plan, rows_of
from solvers.rows import FloatArray

_STEPS = 25
_MOST = 650.0  # nats: the most that Newton's method goes through
_NEAR = 1e-8  # a Newton step below this leaves an error of its square: the last digit


class Slots:
    """The rows of a plan that send, their last efficiencies kept: Newton's method begins there."""

    def __init__(self, plan: Plan) -> None:
        c, self._size, sends = plan.columns, plan.size, rows_of(plan, ORDINARY, NO_WORK)
        self._sends = sends

        def pick(column: FloatArray) -> FloatArray:
            return np.ascontiguousarray(np.broadcast_to(column, (plan.size,))[sends])

        a = pick(c[A])
        with np.errstate(divide="ignore"):
            self.columns = (a, pick(c[GAMMA]), pick(c[P_C]), a / pick(c[TAU_HIGH]), a / pick(c[TAU_LOW]))
        self.least, self.free = float(pick(c[TAU_LOW]).sum()), float(pick(c[TAU_FREE]).sum())
        self._nats, self._warm = np.empty(a.size), False

    @property
    def endless(self) -> bool:
        """Whether some upload may take any power: its shortest slot is none at all."""
        return bool((self.columns[4] == math.inf).any())

    @property
    def loudest(self) -> float:
        """No powers that are numbers are enough for slots that take less together [s]."""
        with np.errstate(all="ignore"):  # out of reach
            return float((self.columns[0] / np.minimum(self.columns[4], EXP_MAX)).sum())

    def sums(self, price: float) -> tuple[float, float]:
        """Sum of the slots [s] and of their energies [J] at a price of time [W]."""
        found = slot_sums(*self.columns, price, self._warm, self._nats)
        self._warm = True
        return found

    def top(self) -> float:
        """The least price of time [W] at which every slot is at its shortest."""
        return greatest_worth(*self.columns)

    def efficiencies(self, price: float) -> FloatArray:
        """x (N,) at a price of time; 0 for rows that send nothing."""
        self.sums(price)
        *_, low, high = self.columns
        x = np.zeros(self._size)
        x[self._sends] = np.clip(self._nats, low, high)
        return x


@kernel
def greatest_worth(transfer: FloatArray, snr: FloatArray, p_c: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """The greatest F(x)/gamma - P_c [W] at full power, 0 at least; arrays as in slot_sums."""
    most = 0.0
    for i in range(transfer.shape[0]):
        x = high[i]
        if x > EXP_MAX:
            return math.inf
        most = max(most, marginal_given(x, math.exp(x)) / snr[i] - p_c[i])
    return most


@kernel
def slot_sums(
    transfer: FloatArray,
    snr: FloatArray,
    p_c: FloatArray,
    low: FloatArray,
    high: FloatArray,
    price: float,
    warm: bool,
    nats: FloatArray,
) -> tuple[float, float]:
    """The slots at a price of time [W]: sum of tau [s] and of the upload energies [J].

    transfer [s], snr [1/W], p_c [W], low, high: a, gamma, P_c and x at p_min and p_max of the rows that send, (N,).
    nats (N,): x = F^-1(gamma (lambda + P_c)), not clipped; read where ``warm`` and always written.
    """
    wide()
    scratch = np.empty((5, BLOCK))
    total, energy, late, lost = 0.0, 0.0, 0.0, 0.0
    for first in range(0, transfer.shape[0], BLOCK):
        n = min(BLOCK, transfer.shape[0] - first)
        m, f, g, miss, none = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n], scratch[4, :n]
        x = nats[first : first + n]
        for i in range(n):
            m[i] = snr[first + i] * (price + p_c[first + i])
            none[i] = 0.0
        if not warm:
            begin_efficiency_block(m, none, x)
        else:
            for i in range(n):
                x[i] = min(x[i], _MOST)
        for _ in range(_STEPS):
            grown_block(x, f, g, none)
            nearer_block(m, f, g, x, miss)
            far = 0
            for i in range(n):
                far += 0 if miss[i] <= _NEAR else 1
            if far == 0:
                break
        for i in range(n):
            if not miss[i] <= _NEAR:
                x[i] = inverse_marginal(m[i])
        times_block(transfer[first : first + n], low[first : first + n], high[first : first + n], x, g, m, f)
        times, joules = 0.0, 0.0
        for i in range(n):
            times += m[i]
            circuit = p_c[first + i] * m[i] if p_c[first + i] > 0.0 else 0.0
            joules += transfer[first + i] / snr[first + i] * f[i] + circuit
        before, total = total, total + times
        late += left_out(before, times, total)
        before, energy = energy, energy + joules
        lost += left_out(before, joules, energy)
    return total + late, energy + lost


@stage
def nearer_block(m: FloatArray, f: FloatArray, g: FloatArray, x: FloatArray, miss: FloatArray) -> None:
    """Newton's step towards F(x) = m in logarithms; miss: becomes its size."""
    wide()
    for i in range(x.shape[0]):
        miss[i] = log(min(max(m[i] / f[i], 1e-300), 1e300))
    for i in range(x.shape[0]):
        step = min(max(miss[i] / g[i], -1.0), 1.0)
        half = 0.5 * step
        x[i] = min(max(x[i] * ((1.0 + half) / (1.0 - half)), LEAST), _MOST)
        miss[i] = abs(step) * (1.0 + x[i])


@stage
def times_block(
    transfer: FloatArray, low: FloatArray, high: FloatArray, x: FloatArray, nats: FloatArray, tau: FloatArray,
    growths: FloatArray,
) -> None:  # fmt: skip
    """x between its bounds (``nats``), the slots [s] and E(x) = (e^x - 1)/x; x: no less than is fit to begin with."""
    wide()
    n = x.shape[0]
    for i in range(n):
        nats[i] = min(max(x[i], low[i]), high[i])
        tau[i] = transfer[i] / nats[i] if nats[i] > 0.0 else math.inf
    for i in range(n):
        near = min(nats[i], EXP_MAX)
        growths[i] = expm1(near) / nats[i] if nats[i] > 1e-300 else 1.0
        growths[i] = growths[i] if nats[i] <= EXP_MAX else math.inf  # beyond a double, never a smaller number
    for i in range(n):
        x[i] = max(x[i], LEAST)
