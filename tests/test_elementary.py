"""The kernels' own elementary functions against 60 digits, over the ranges their docstrings state."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from solvers import elementary, rough
from solvers.compile import kernel
from solvers.rows import FloatArray

mpmath.mp.dps = 60
COUNT = 4000


@kernel
def _exp(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.exp(x[i])


@kernel
def _expm1(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.expm1(x[i])


@kernel
def _log(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.log(x[i])


@kernel
def _marginal(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.marginal_given(x[i], elementary.exp(x[i]))


def ulps(found: FloatArray, true: list[mpmath.mpf]) -> float:
    """The greatest error in units of the last place of the true values."""
    return max(float(abs(mpmath.mpf(f) - t)) / math.ulp(float(t)) for f, t in zip(found.tolist(), true, strict=True))


def evaluate(function: object, x: FloatArray) -> FloatArray:
    y = np.empty_like(x)
    function(x, y)  # type: ignore[operator]
    return y


def points(name: str, count: int = COUNT) -> FloatArray:
    """Random points over the whole range, and the hard ones: next to 0, 1 and the seams of the reduction."""
    rng = np.random.default_rng(21)
    if name == "log":
        seams = [math.sqrt(2.0), math.sqrt(0.5), 1.0, 2.0, 0.5, 1e300, 2.3e-308]
        wide = np.exp(rng.uniform(-700.0, 700.0, count))
        near = 1.0 + rng.uniform(-0.4, 0.4, count) ** 3
    elif name == "exp":
        seams = [0.0, 700.0, -700.0, *((k + 0.5) * math.log(2.0) for k in range(-5, 6))]
        wide, near = rng.uniform(-700.0, 700.0, count), rng.uniform(-1.0, 1.0, count) ** 5
    else:
        seams = [1.0, math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0), 700.0, 1e-150]
        wide, near = np.exp(rng.uniform(-300.0, math.log(700.0), count)), rng.uniform(0.0, 3.0, count)
    around = [math.nextafter(x, far) for x in seams if 2.3e-308 < abs(x) < 700.0 for far in (-1e308, 1e308)]
    return np.concatenate((seams, around, wide, near))


def test_exp_is_right_to_an_ulp_and_a_half() -> None:
    x = points("exp")
    assert ulps(evaluate(_exp, x), [mpmath.exp(each) for each in x.tolist()]) <= 1.5


def test_expm1_is_right_to_two_ulps() -> None:
    x = np.concatenate((np.abs(points("exp")), points("marginal")))
    assert ulps(evaluate(_expm1, x), [mpmath.expm1(each) for each in x.tolist()]) <= 2.0
    assert evaluate(_expm1, np.zeros(1))[0] == 0.0


def test_log_is_right_to_an_ulp_and_a_half() -> None:
    x = points("log")
    assert ulps(evaluate(_log, x), [mpmath.log(each) for each in x.tolist()]) <= 1.5


@pytest.mark.nightly("R21", 1_000_000)
@pytest.mark.parametrize(("name", "function", "true"), [("exp", _exp, mpmath.exp), ("log", _log, mpmath.log)])
def test_a_million_points_are_right_to_an_ulp_and_a_half(name: str, function: object, true: Any) -> None:
    x = points(name, 500_000)
    assert ulps(evaluate(function, x), [true(each) for each in x.tolist()]) <= 1.5


def test_marginal_keeps_its_digits_where_the_closed_form_loses_all() -> None:
    """Above 1 the rounding of e^x counts (x - 1) e^x/F <= 1 times, and the sum rounds once more."""
    x = points("marginal")
    with mpmath.workdps(330):  # all but 60 of these digits cancel
        true = [1 + (mpmath.mpf(each) - 1) * mpmath.exp(each) for each in x.tolist()]
    assert ulps(evaluate(_marginal, x), true) <= 3.5


@kernel
def _rough(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = rough._log_double(x[i])


@kernel
def _singles(x: FloatArray, y: FloatArray, z: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = rough._exp(np.float32(x[i]))
        z[i] = rough._log(np.float32(y[i]))


def test_single_precision_is_as_exact_as_it_says() -> None:
    rng = np.random.default_rng(22)
    x = np.float64(np.float32(rng.uniform(-87.0, 87.0, 20_000)))
    y, z = np.empty_like(x), np.empty_like(x)
    _singles(x, y, z)
    assert np.abs(y / np.exp(x) - 1.0).max() <= 2.5e-7
    assert (np.abs(z - np.log(y)) / np.maximum(1.0, np.abs(x))).max() <= 1.5e-7
    wide = np.exp(rng.uniform(-690.0, 690.0, 20_000))
    assert np.abs(evaluate(_rough, wide) - np.log(wide)).max() <= 700.0 * 2.0**-23


def test_coarse_functions_of_doubles_are_as_exact_as_they_say() -> None:
    x = np.random.default_rng(25).uniform(-690.0, 690.0, 20_000)
    assert np.abs(np.log(evaluate(_coarse_exp, x)) - x).max() <= 0.031
    assert np.abs(evaluate(_coarse_log, np.exp(x)) - x).max() <= 0.031


@kernel
def _coarse_exp(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.coarse_exp(x[i])


@kernel
def _coarse_log(x: FloatArray, y: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = elementary.coarse_log(x[i])


def test_coarse_functions_are_as_exact_as_they_say() -> None:
    rng = np.random.default_rng(24)
    x = np.float64(np.float32(rng.uniform(-80.0, 80.0, 20_000)))
    y, z, w = (np.empty_like(x) for _ in range(3))
    _coarse(x, y, z, w)
    assert np.abs(np.log(y) - x).max() <= 0.031
    assert np.abs(z - x).max() <= 0.031
    assert np.abs(w - np.logaddexp(0.0, x)).max() <= 0.05
    wide, logs = np.exp(rng.uniform(-690.0, 690.0, 20_000)), np.empty(20_000, dtype=np.float32)
    _logs(wide, logs)
    assert np.abs(logs - np.log(wide)).max() <= 0.031


@kernel
def _coarse(x: FloatArray, y: FloatArray, z: FloatArray, w: FloatArray) -> None:
    for i in range(x.shape[0]):
        y[i] = rough._coarse_exp(np.float32(x[i]))
        z[i] = rough._coarse_log(np.float32(math.exp(x[i])))
        w[i] = rough._coarse_log1pexp(np.float32(x[i]))


@kernel
def _logs(a: FloatArray, log_a: rough.SingleArray) -> None:
    rough.logs_block(a, log_a)


WIDE = ((-200, 200), (-150, 6))


@pytest.mark.parametrize(
    ("log_c", "log_l", "others", "most"),
    [((-20, 5), (-10, 0), 0.0, 1e-5), ((-10, 20), (-12, 2), 0.0, 1e-5), (*WIDE, 1.0, 5.0)],
)
def test_rough_steps_reach_the_root(log_c: tuple[int, int], log_l: tuple[int, int], others: float, most: float) -> None:
    """After four steps v misses the root of H, found by halving in doubles, by no more than singles must.

    others: the most rows, of all, that may not fit singles; they are left with a start.
    """
    rng = np.random.default_rng(23)
    n = 512
    a, b = rng.uniform(*log_c, n), rng.uniform(*log_l, n)
    odds = np.empty(n)
    found = _from_nothing(np.exp(a), np.exp(b), odds, np.zeros((13, n), dtype=np.float32))
    low, high = np.full(n, -900.0), np.full(n, 900.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        above = _balance(middle, a, b) > 0.0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    x = np.exp(np.minimum(b + np.logaddexp(0.0, low), 7.0)) if others == 0.0 else 0.0
    assert found <= others * n
    assert (np.abs(np.log(odds) - low) * (1.0 + x)).max() <= most


@kernel
def _from_nothing(c: FloatArray, l: FloatArray, odds: FloatArray, room: rough.SingleArray) -> int:
    log_c, log_l, v, single_c, single_l = room[0], room[1], room[2], room[3], room[4]
    rough.logs_block(c, log_c)
    rough.logs_block(l, log_l)
    rough.singles_block(c, l, single_c, single_l)
    rough.start_block(log_c, log_l, single_l, v, room[5])
    others = rough.fits_block(log_c, log_l, v, room[6], room[7])
    for _ in range(4):
        rough.rough_block(single_c, single_l, room[12], room[7], room[6], room[5], room[8], room[9], room[10], room[11])
    for i in range(c.shape[0]):
        odds[i] = room[6, i]
    rough.odds_block(v, room[7], odds)
    return others


def _balance(v: FloatArray, log_c: FloatArray, log_l: FloatArray) -> FloatArray:
    """H(v) = ln c - 3 ln s - ln F(l/(1-s)), in logarithms."""
    log_x = log_l + np.logaddexp(0.0, v)
    x = np.exp(np.minimum(log_x, 7.0))
    near = np.minimum(x, 500.0)
    exact = np.log(np.maximum(near * np.exp(near) - np.expm1(near), 1e-300))
    small = 2.0 * log_x + np.log(0.5 + x * (1.0 / 3.0 + x * (1.0 / 8.0 + x / 30.0)))
    log_F = np.where(x < 1e-2, small, np.where(x < 500.0, exact, x + np.log(np.maximum(x - 1.0, 1.0))))
    result: FloatArray = log_c + 3.0 * np.logaddexp(0.0, -v) - log_F
    return result
