"""From times to decisions: f = W/t, x = a/tau, r = B x / ln 2, p = (e^x - 1)/gamma, in one sweep each."""

from __future__ import annotations

from solvers.blocks import BLOCK, constants, view
from solvers.compile import kernel, stage, wide
from solvers.elementary import EXP_MAX, expm1
from solvers.rows import LN2, FloatArray


@kernel
def speeds(
    work: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    a: FloatArray,
    t: FloatArray,
    tau: FloatArray,
    f: FloatArray,
    x: FloatArray,
    first: int,
    last: int,
) -> None:
    """f [Hz], within its bounds (a quotient may be an ulp outside), and x [nat] of blocks first..last-1; of rows that
    compute and send.

    work, f_min, f_max, a: (N,) or (1,); t, tau [s]: (N,). f, x: (N,), written; NaN and inf as IEEE has them.
    """
    wide()
    width = min(t.shape[0], BLOCK)
    constant = constants((work, f_min, f_max, a), width)
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, t.shape[0] - start)
        _divide(view(work, constant[0], start, n), t[start : start + n], f[start : start + n])
        _clip(view(f_min, constant[1], start, n), view(f_max, constant[2], start, n), f[start : start + n])
        _divide(view(a, constant[3], start, n), tau[start : start + n], x[start : start + n])


@stage
def _divide(top: FloatArray, bottom: FloatArray, result: FloatArray) -> None:
    wide()
    for i in range(result.shape[0]):
        result[i] = top[i] / bottom[i]


@stage
def _clip(low: FloatArray, high: FloatArray, value: FloatArray) -> None:
    wide()
    for i in range(value.shape[0]):
        value[i] = min(max(value[i], low[i]), high[i])


@kernel
def radio(
    x: FloatArray, bandwidth: FloatArray, snr: FloatArray, rate: FloatArray, power: FloatArray, first: int, last: int
) -> int:
    """Rate [bit/s] and power [W] for efficiencies x [nat]; bandwidth [Hz], gamma [1/W]: (N,) or (1,); others (N,).

    Of blocks first..last-1. Returns how many rows have an x outside 0 to 700 or no gamma: their power is garbage.
    """
    wide()
    width = min(x.shape[0], BLOCK)
    constant = constants((bandwidth, snr), width)
    odd = 0
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, x.shape[0] - start)
        B, gamma = view(bandwidth, constant[0], start, n), view(snr, constant[1], start, n)
        odd += _radio_block(x[start : start + n], B, gamma, rate[start : start + n], power[start : start + n])
    return odd


@stage
def _radio_block(x: FloatArray, B: FloatArray, gamma: FloatArray, rate: FloatArray, power: FloatArray) -> int:
    wide()
    odd = 0
    for i in range(x.shape[0]):
        rate[i] = x[i] * (B[i] / LN2)
        odd += 0 if (x[i] >= 0.0) & (x[i] <= EXP_MAX) & (gamma[i] > 0.0) else 1
    for i in range(x.shape[0]):
        power[i] = expm1(min(x[i], EXP_MAX)) / gamma[i]
    return odd
