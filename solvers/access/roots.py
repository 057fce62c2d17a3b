"""Roots of falling functions, many side by side, by Chandrupatla's method.

T. R. Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function without
using derivatives", Advances in Engineering Software 28 (1997) 145-149. Jumps are welcome: it then bisects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solvers.rows import FloatArray

_STEPS = 200
_ULP = 2.0**-52


def falling_root(f: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    """Elementwise the least x in [low, high] with f(x) <= 0, to two units of the last place, from the f <= 0 side.

    f : (N,) -> (N,), never rising in its own element; inf is allowed. Where f(low) <= 0 the root is low, where
    f(high) > 0 it is high.
    """
    x1, x2 = np.array(high, dtype=np.float64), np.array(low, dtype=np.float64)
    f1, f2 = f(x1), f(x2)
    result = np.where(f2 <= 0.0, x2, x1)
    busy = (f2 > 0.0) & (f1 <= 0.0) & (x1 > x2)
    t = np.full(x1.shape, 0.5)
    for _ in range(_STEPS):
        if not busy.any():
            break
        xt = np.where(busy, x1 + t * (x2 - x1), x1)
        ft = f(xt)
        same = (ft <= 0.0) == (f1 <= 0.0)
        x3, f3 = np.where(same, x1, x2), np.where(same, f1, f2)
        x2, f2 = np.where(same, x2, x1), np.where(same, f2, f1)
        x1, f1 = xt, ft
        width = np.abs(x2 - x1)
        least = _ULP * np.maximum(np.abs(x1), np.abs(x2))
        result = np.where(busy, np.where(f1 <= 0.0, x1, x2), result)
        busy &= (width > 2.0 * least) & (np.where(f1 <= 0.0, f1, f2) != 0.0)
        with np.errstate(all="ignore"):
            t = _next(x1, x2, x3, f1, f2, f3)
            t = np.where(busy, np.clip(t, least / width, 1.0 - least / width), 0.5)
    return result


def _next(x1: FloatArray, x2: FloatArray, x3: FloatArray, f1: FloatArray, f2: FloatArray, f3: FloatArray) -> FloatArray:
    """Where between x1 and x2 to look next: inverse quadratic interpolation where it is safe, else the middle."""
    xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
    safe = (phi * phi < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
    inner = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
    result: FloatArray = np.where(safe & np.isfinite(inner), inner, 0.5)
    return result


def falling_root_of(f: Callable[[float], float], low: float, high: float) -> float:
    """The same for one number."""
    found = falling_root(lambda x: np.array([f(float(x[0]))]), np.array([low]), np.array([high]))
    return float(found[0])
