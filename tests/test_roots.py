"""Roots of falling functions: where they are known, in few looks, from the side on which there is no excess."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from solvers.access.roots import falling_root, ulp

# A falling function on [low, high], its root, and in how many looks it was found when this was written.
KNOWN: dict[str, tuple[Callable[[float], float], float, float, float, int]] = {
    "line": (lambda x: 3.0 - x, 0.0, 10.0, 3.0, 4),
    "power": (lambda x: x**-3.0 - 8.0, 0.1, 10.0, 0.5, 14),
    "nearly flat": (lambda x: (2.0 - x) ** 9, -5.0, 4.0, 2.0, 55),
    "steep": (lambda x: -math.expm1(20.0 * (x - 0.7)), 0.0, 4.0, 0.7, 14),
    "negative": (lambda x: x * x - 2.0, -9.0, -1.0, -math.sqrt(2.0), 11),
    "jump": (lambda x: 1.0 if x < 1.0 / 3.0 else -1.0, 0.0, 1.0, 1.0 / 3.0, 54),
    "kink": (lambda x: max(0.3 - x, 1e-3 * (0.3 - x)), 0.0, 5.0, 0.3, 70),
    "nothing before": (lambda x: math.inf if x < 2.5 else 2.7 - x, 0.0, 10.0, 2.7, 6),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_root_is_found_to_the_last_digits_in_as_many_looks_as_when_this_was_written(name: str) -> None:
    f, low, high, root, looks = KNOWN[name]
    seen = list[float]()

    def counted(x: float) -> float:
        seen.append(x)
        return f(x)

    found = falling_root(counted, low, high)
    assert f(found) <= 0.0
    if name != "nearly flat":  # its ninth power is 0 sooner
        assert root - ulp(root) <= found <= root + 3.0 * ulp(root)
    assert all(low <= x <= high for x in seen)
    assert abs(len(seen) - looks) <= 1


def test_what_holds_at_the_low_end_or_nowhere() -> None:
    assert falling_root(lambda x: -x, 0.0, 5.0) == 0.0
    assert falling_root(lambda x: -1.0 - x, 1.0, 5.0) == 1.0
    assert falling_root(lambda x: 6.0 - x, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: 5.0 - x, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: 5.0 - x, 5.0, 5.0) == 5.0
    assert falling_root(lambda x: math.inf, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: max(4.0 - x, 0.0), 1.0, 8.0) == 4.5  # 0 is close enough


@pytest.mark.parametrize("coarse", [1e-3, 1e-9])
def test_it_looks_no_closer_than_makes_a_difference(coarse: float) -> None:
    seen = list[float]()

    def rounded(x: float) -> float:  # the same within every step of ``coarse``
        seen.append(x)
        return math.exp(-round(x / coarse) * coarse) - 0.2

    found = falling_root(rounded, 0.0, 30.0, lambda _: coarse)
    assert rounded(found) <= 0.0
    assert abs(found - math.log(5.0)) <= 2.5 * coarse
    assert len(seen) <= 16
