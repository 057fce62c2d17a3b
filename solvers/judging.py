"""The judge's quick look: the sums and extremes of a decision, recomputed from section 3 of the model in one sweep.

It shares no formula with the solvers' kernels, and says nothing of who is at fault: that is for the slow look.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.compile import kernel
from solvers.plan import at
from solvers.rows import LN2, FloatArray

_BLOCK = 1024  # rows whose energies are added up before they join the rest


@kernel
def look(
    size: int,
    work: FloatArray,
    bits: FloatArray,
    download_bits: FloatArray,
    bandwidth: FloatArray,
    f: FloatArray,
    r: FloatArray,
    downlink: FloatArray,
    overhead: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    p_min: FloatArray,
    p_max: FloatArray,
    gain: FloatArray,
    noise: FloatArray,
    kappa: FloatArray,
    p_s: FloatArray,
    p_c: FloatArray,
    receive: FloatArray,
) -> tuple[float, float, float]:
    """Energy [J] of all rows, the last one's end [s], the greatest relative violation of a bound of f or p.

    size: N. Columns as the fields of the model, (N,) or (1,); f [Hz], r [bit/s]: the decision. The last is inf where a
    row does not both compute and send, or a number is NaN.
    """
    energy, latest, worst = 0.0, 0.0, 0.0
    fine = True
    for first in range(0, size, _BLOCK):
        part = 0.0
        for i in range(first, min(first + _BLOCK, size)):
            W, s, f_i, r_i, b = at(work, i), at(bits, i), at(f, i), at(r, i), at(bandwidth, i)
            t, tau, t_d = W / f_i, s / r_i, 0.0
            if at(downlink, i) < math.inf:
                t_d = at(download_bits, i) / at(downlink, i)
            x = r_i * LN2 / b
            snr = math.exp(x) - 1.0 if x > 1.0 else math.expm1(x)  # exp takes a fourth of expm1's time
            p = snr * (at(noise, i) * b) / at(gain, i)
            part += at(kappa, i) * W * f_i * f_i + at(p_s, i) * t + tau * (p + at(p_c, i)) + at(receive, i) * t_d
            latest = max(latest, at(overhead, i) + t_d + t + tau)
            if f_i > at(f_max, i):
                worst = max(worst, f_i / at(f_max, i) - 1.0)
            if f_i < at(f_min, i):
                worst = max(worst, 1.0 - f_i / at(f_min, i))
            if p > at(p_max, i):
                worst = max(worst, p / at(p_max, i) - 1.0)
            if p < at(p_min, i):
                worst = max(worst, 1.0 - p / at(p_min, i))
            fine = fine and t > 0.0 and tau > 0.0 and p >= 0.0 and f_i > 0.0 and r_i > 0.0  # False for NaN
        energy += part
    return energy, latest, worst if fine and np.isfinite(energy) else math.inf
