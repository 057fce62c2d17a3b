"""The root of a falling function, by Chandrupatla's method.

T. R. Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function without
using derivatives", Advances in Engineering Software 28 (1997) 145-149. Jumps are welcome: it then bisects.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_STEPS = 200
_ULP = 2.0**-52


def ulp(x: float) -> float:
    """About a unit of the last place."""
    return _ULP * abs(x)


def falling_root(
    f: Callable[[float], float], low: float, high: float, resolution: Callable[[float], float] = ulp
) -> float:
    """The least x in [low, high] with f(x) <= 0, to twice the ``resolution`` there, from the f <= 0 side; or any root.

    f never rises; inf is allowed. Where f(low) <= 0 the root is low, where f(high) > 0 it is high. resolution: by how
    much x has to change to make a difference.
    """
    x1, x2 = high, low
    f1, f2 = f(x1), f(x2)
    if f2 <= 0.0:
        return x2
    if f1 > 0.0 or not x1 > x2:
        return x1
    t = 0.5
    for _ in range(_STEPS):
        x = x1 + t * (x2 - x1)
        fx = f(x)
        if (fx <= 0.0) == (f1 <= 0.0):
            x3, f3 = x1, f1
        else:
            x3, f3, x2, f2 = x2, f2, x1, f1
        x1, f1 = x, fx
        least, width = max(resolution(x1), resolution(x2)), abs(x2 - x1)
        if width <= 2.0 * least or (f1 if f1 <= 0.0 else f2) == 0.0:
            break
        t = min(max(_next(x1, x2, x3, f1, f2, f3), least / width), 1.0 - least / width)
    return x1 if f1 <= 0.0 else x2


def _next(x1: float, x2: float, x3: float, f1: float, f2: float, f3: float) -> float:
    """Where between x1 and x2 to look next: inverse quadratic interpolation where it is safe, else the middle."""
    xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
    if f3 == f1 or not (phi * phi < xi and (1.0 - phi) * (1.0 - phi) < 1.0 - xi):
        return 0.5
    inner = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
    return inner if math.isfinite(inner) else 0.5
