"""Rows that share a channel: the vector stages one by one against their formulas."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tasks import plain

from solvers.access import proof, stages
from solvers.access.stages import LEAST, MOST
from solvers.limits import marginal
from solvers.rows import FloatArray

N = 64


def some(seed: int, low: float = 0.2, high: float = 5.0, size: int = N) -> FloatArray:
    """In any order."""
    drawn: FloatArray = np.random.default_rng(seed).permutation(np.geomspace(low, high, size))
    return drawn


def run(stage: Any, *arguments: Any) -> Any:
    with np.errstate(all="ignore"):
        return plain(stage)(*arguments)


def inside(kernel: Any) -> dict[str, Any]:
    """The names that a kernel or a part of one knows as plain Python."""
    names: dict[str, Any] = (getattr(kernel, "args", (None,))[0] or plain(kernel)).__globals__
    return names


def noted(function: Any, calls: list[Any]) -> Any:
    """The same function; what it is given goes to ``calls``."""

    def noting(*given: Any) -> Any:
        calls.append(given)
        return function(*given)

    return noting


def empty(count: int) -> list[FloatArray]:
    return [np.full(N, math.nan) for _ in range(count)]


def like(values: FloatArray, rel: float = 1e-13) -> Any:
    return pytest.approx(values, rel=rel, abs=0.0, nan_ok=False)


def test_growth_and_how_steep_it_is() -> None:
    x, (f, g, over) = some(0, 1e-6, 690.0), empty(3)
    run(stages.grown_block, x, f, g, over)
    assert f == like(marginal(x))
    assert over == like(np.expm1(x))
    assert g == like(x * x * np.exp(x) / marginal(x))
    beyond, at = np.full(N, 800.0), np.full(N, 700.0)
    run(stages.grown_block, beyond, f, g, over)
    assert f == like(marginal(at))
    assert over == like(np.exp(at))


def test_what_a_second_is_worth() -> None:
    c, o, q, x, (work, send) = some(0), some(1), some(2), some(3), empty(2)
    run(stages.worths_block, c, o, q, x, work, send)
    assert work == like(c * (1.0 + 1.0 / o) ** 3)
    assert send == like(q * (1.0 + o) ** 2 / x)


def series(ratio: FloatArray) -> FloatArray:
    z = (ratio - 1.0) / (ratio + 1.0)
    result: FloatArray = 2.0 * (z + z**3 / 3 + z**5 / 5 + z**7 / 7)
    return result


def test_by_how_much_both_equations_miss() -> None:
    f, m, o, d = some(0), some(1), some(2), some(3, 1e-3, 3.0) * np.where(np.arange(N) % 2, 1.0, -1.0)
    c, q, x, (work, send, miss) = some(4), some(5), some(6), empty(3)
    run(stages.worths_block, c, o, q, x, work, send)
    left, right, value = work + np.maximum(d, 0.0), send + np.maximum(-d, 0.0), f.copy()
    before = work.copy(), send.copy()
    run(stages.misses_block, value, m, o, d, work, send, miss)
    assert value == like(series(f / (m * (1.0 + o))), 1e-12)
    assert miss == like(series(left / right), 1e-12)
    assert work == like(before[0] / left)
    assert send == like(before[1] / right)


@pytest.mark.parametrize("off", [1e-9, 1e-3, 0.1])
def test_a_miss_is_a_logarithm_where_it_is_small(off: float) -> None:
    assert run(stages._twice_artanh, off / (2.0 + off)) == pytest.approx(math.log1p(off), rel=0.01 * off**8 + 1e-15)


def test_a_step_is_newtons() -> None:
    """Of ln F(x) = ln(m (1 + o)) and ln(c (1 + 1/o)^3 + d+) = ln(q (1 + o)^2/x + d-), by the matrix of both."""
    f, g, work, send, o, miss = (
        some(0, 1e-3, 0.1) - 0.03,
        some(1, 2.0, 9.0),
        some(2, 0.1, 1.0),
        some(3, 0.1, 1.0),
        some(4),
        some(5, 1e-3, 9.0),
    )
    miss *= np.where(np.arange(N) % 2, 1.0, -1.0)
    step, low, high, moved, x = miss.copy(), np.full(N, 1e-9), np.full(N, 1e9), np.empty(N), some(6)
    run(stages.odds_block, f, g, work, send, o, step)
    before = o.copy(), x.copy()
    run(stages.move_block, low, high, step, o, moved)
    assert o == like(before[0] * (1.0 + step + 0.5 * step**2))
    assert moved == like(o - before[0])
    sizes = step.copy()
    run(stages.follow_block, f, g, o, moved, sizes, x)
    for i in range(N):
        w = 1.0 + before[0][i]
        both = np.array([[-before[0][i] / w, g[i]], [-(3.0 * work[i] + 2.0 * before[0][i] * send[i]) / w, send[i]]])
        by_odds, _ = np.linalg.solve(both, -np.array([f[i], miss[i]]))
        assert step[i] == pytest.approx(np.clip(by_odds, -1.0, 1.0), rel=1e-11)
    follows = np.clip((moved / (1.0 + o) - f) / g, -1.0, 1.0)
    assert x == like(before[1] * (1.0 + follows + 0.5 * follows**2))
    assert sizes == like(np.maximum(np.abs(step), np.abs(follows) * (1.0 + x)))
    assert (np.abs(step) == 1.0).any()
    assert (np.abs(step) < 1.0).any()


def test_steps_end_at_the_bounds() -> None:
    o, step, moved = np.full(N, 2.0), np.linspace(-1.0, 1.0, N), np.empty(N)
    run(stages.move_block, np.full(N, 1.9), np.full(N, 2.2), step, o, moved)
    assert o == like(np.clip(2.0 * (1.0 + np.linspace(-1.0, 1.0, N) + 0.5 * np.linspace(-1.0, 1.0, N) ** 2), 1.9, 2.2))
    assert step == like(np.linspace(-1.0, 1.0, N))
    again = step.copy()
    run(stages.move_block, np.full(N, 1.9), np.full(N, 2.2), again, o, moved)
    stay = ((step < 0.0) & (o == 1.9) | (step > 0.0) & (o == 2.2)) & (moved == 0.0)
    assert stay.any()
    assert again.tolist() == np.where(moved == 0.0, 0.0, step).tolist()
    for start, moves, end in ((640.0, 900.0, 650.0), (2e-140, -9.0, LEAST)):
        x, sizes = np.full(N, start), np.zeros(N)
        run(stages.follow_block, np.zeros(N), np.full(N, 2.0), o, np.full(N, moves), sizes, x)
        assert x.tolist() == [end] * N
        assert sizes == like(np.full(N, 1.0 + end))


def test_times_and_the_share() -> None:
    left, a, o, x, (t, tau, beta) = some(0), some(1), some(2), some(3), empty(3)
    run(stages.shares_block, left, a, o, x, t, tau, beta)
    assert tau == like(left / (1.0 + o))
    assert t == like(left - left / (1.0 + o), 1e-12)
    assert beta == like(a / (left / (1.0 + o) * x))


@pytest.mark.parametrize("size", [1e-60, 1e-6, 1e-2, 1.0, 1e3, 1e60])
def test_first_guesses(size: float) -> None:
    """Within a fifth or so of what they guess, over all decades; both equations at once from the second on."""
    m, c, q, (o, x) = some(0) * size, some(1), some(2, 1e-3, 1e3), empty(2)
    run(stages.begin_block, m, c, q, o)
    odds = c * np.sqrt(2.0 * m) / q
    assert o == like(np.where(odds < 1.0, np.cbrt(odds), np.cbrt(odds) ** 2), 0.07)
    run(stages.begin_efficiency_block, m, o, x)
    wanted = m * (1.0 + o)
    found = marginal(x)
    with np.errstate(divide="ignore"):
        off = np.log(found / wanted) / (x * x * np.exp(x) / found)  # in ln x
    assert np.abs(off).max() <= 0.24
    assert np.median(np.abs(off)) <= 0.04
    run(stages.begin_again_block, c, q, x, o)
    assert o**3 == like((1.0 + o) * c * x / q, 0.3)


@pytest.mark.parametrize("far", [0.0, 1e-320, 1e300, math.inf])
def test_first_guesses_are_numbers(far: float) -> None:
    m, c, q, (o, x) = np.full(N, far), np.full(N, far), np.ones(N), empty(2)
    run(stages.begin_block, m, c, q, o)
    end = 1e-150 if far < 1.0 else 1e150
    assert o == like(np.full(N, end ** (1.0 / 3.0 if far < 1.0 else 2.0 / 3.0)), 0.2)
    run(stages.begin_efficiency_block, m, np.zeros(N), x)
    wanted = math.sqrt(2e-280) if far < 1.0 else 280.0 * math.log(10.0) - math.log(638.0)
    assert x == like(np.full(N, wanted), 0.05)
    run(stages.begin_again_block, c, q, np.ones(N), o)
    assert o == like(np.full(N, end ** (1.0 / 3.0 if far < 1.0 else 0.5)), 0.2)


def test_energies_and_prices() -> None:
    k, p_s, p_c, fixed, t, tau, gamma = (some(seed) for seed in range(7))
    bend = np.where(np.arange(N) % 3, 1.0, math.inf)
    energy, price, beta, power, per = *empty(2), some(7), some(8), np.empty(N)
    run(stages.energies_block, k, p_s, fixed, t, energy, bend, price)
    assert energy == like(fixed + k / t**2 + p_s * t)
    assert price == pytest.approx(2.0 * k / t**3 - p_s, abs=1e-13 * (2.0 * k / t**3).max())
    assert bend == like(np.where(np.arange(N) % 3, 6.0 * k / t**4, math.inf))
    worth, marginals, before = np.empty(N), price.copy(), energy.copy()
    run(stages.worth_block, 1.7, beta, tau, worth, per)
    assert worth == like(1.7 * beta / tau)
    assert per == like(1.0 / tau)
    p_c[::5] = p_s[::5]
    run(stages.priced_block, p_s, p_c, bend, worth, price)
    assert price.tolist() == np.where((bend < math.inf) & (p_s <= p_c), marginals, worth - p_c).tolist()
    gains = power.copy()
    run(stages.uploads_block, gamma, p_c, tau, beta, energy, power)
    assert power == like(gains * beta)
    assert energy == like(before + tau * (gains * beta / gamma + p_c))


def test_who_fits() -> None:
    """Every condition by itself, at its edge and beyond."""
    right = {
        "miss": 1e-3,
        "power": 2.0,
        "g_min": 1.0,
        "g_max": 3.0,
        "price": 0.5,
        "left": 2.0,
        "t_low": 1.0,
        "energy": 1.0,
    }
    edges = [
        {}, {"miss": 1e-2}, {"power": 1.0}, {"power": 3.0}, {"power": 1.0 - 5e-14}, {"power": 3.0 + 2e-13},
        {"price": 0.0},
        {"miss": 1.1e-2}, {"miss": math.nan}, {"power": 1.0 - 3e-13}, {"power": 3.0 + 9e-13}, {"price": -1e-9},
        {"left": 1.0}, {"left": 0.9}, {"energy": math.inf}, {"energy": math.nan}, {"price": math.nan},
    ]  # fmt: skip
    columns = {name: np.array([{**right, **edge}[name] for edge in edges]) for name in right}
    c, fits = SimpleNamespace(**columns), np.empty(len(edges))
    others = run(stages.fits_block, c.miss, 1e-2, c.power, c.g_min, c.g_max, c.price, c.left, c.t_low, c.energy, fits)
    assert fits.tolist() == [1.0] * 7 + [0.0] * 10
    assert others == 10


def test_slopes_of_free_rows_and_of_rows_at_a_bound_of_their_time() -> None:
    """By the elasticities of uplink.py, give the part of a second that goes to computing."""
    beta, g, tau, mu = some(0), some(1, 2.0, 30.0), some(2), 1.7
    free = np.arange(N) % 3 > 0
    bend, worth = np.where(free, some(3), math.inf), mu * beta / tau
    stiff = (2.0 - 1.0 / g) * worth / tau
    give = np.where(free, stiff / (stiff + bend), 0.0)
    by_time = beta / tau * (1.0 - 1.0 / g)
    curve, by_t, by_price = bend.copy(), g.copy(), 1.0 / tau
    run(stages.slopes_block, beta, by_t, curve, worth, by_price)
    assert curve == like(stiff * (1.0 - give), 1e-12)
    assert by_t == like(-by_time * (1.0 - give), 1e-12)
    assert by_price == like(-(beta / g + by_time * (1.0 - 1.0 / g) / (2.0 - 1.0 / g) * tau * give), 1e-12)


def test_scale_and_bounds() -> None:
    fixed, k, a, gamma, (left, m, c, q, low, high) = some(0), some(1), some(2), some(3), empty(6)
    run(stages.scale_block, 7.0, 1.7, fixed, k, a, gamma, left, m, c, q)
    rest = 7.0 - fixed
    assert left.tolist() == rest.tolist()
    assert m == like(1.7 * gamma / rest)
    assert c == like(2.0 * k / rest**3)
    assert q == like(1.7 * a / rest**2)
    t_low = np.where(
        np.arange(N) % 4, 0.3 * rest, np.array([0.0, rest[0], 2.0 * rest[0], 1e-200])[np.arange(N) % 16 // 4]
    )
    t_free = t_low * np.array([1.0, 2.0, 4.0, math.inf])[np.arange(N) % 4]
    left[:] = np.where(np.arange(N) % 4, rest, rest[0])
    run(stages.bounds_block, left, t_low, t_free, low, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.where(left > t_low, t_low / (left - t_low), math.inf)
        later = np.where(left > t_free, t_free / (left - t_free), math.inf)
    assert low == like(np.clip(odds, LEAST, MOST))
    assert high == like(np.clip(later, low, MOST))


def test_rows_at_a_bound_of_their_time_take_it_exactly() -> None:
    low, high, o = np.full(6, 0.5), np.full(6, 2.0), np.array([0.4, 0.5, 1.0, 1.5, 2.0, 2.1])
    left, t_low, t_free = np.full(6, 3.0), np.full(6, 1.0), np.full(6, 1.9)
    t, tau, bend = np.full(6, 1.4), np.full(6, 1.5), np.empty(6)
    run(stages.held_block, low, high, left, t_low, t_free, o, t, tau, bend)
    assert bend.tolist() == [math.inf, math.inf, 1.0, 1.0, math.inf, math.inf]
    assert t.tolist() == [1.0, 1.0, 1.4, 1.4, 1.9, 1.9]
    assert tau.tolist() == [2.0, 2.0, 1.5, 1.5, 3.0 - 1.9, 3.0 - 1.9]


def test_a_row_that_ends_early_misses_where_time_has_a_price() -> None:
    fixed, t, tau, price = np.full(4, 1.0), np.full(4, 2.0), np.array([1.0, 1.0, 3.0, 3.0]), np.array([0.5, 0.0] * 2)
    run(proof.ends_block, 5.0, fixed, t, tau, price, miss := np.empty(4))
    assert miss == pytest.approx([0.2, 0.0, 0.2, 0.2])


def test_marginals_less_the_price_at_and_between_the_bounds_of_a_speed() -> None:
    """Rows at their least time may be worth less, those at their greatest more; 1e-10 off a bound is at it."""
    t = np.array([1.0, 1.0 + 5e-11, 1.0 + 3e-10, 1.5, 3.0 * (1.0 - 3e-10), 3.0 * (1.0 - 5e-11), 3.0, 2.0, 2.0])
    n = len(t)
    for factor in (0.9, 1.1):
        k, p_s, low, high = np.full(n, 5.0), np.full(n, 0.3), np.full(n, 1.0), np.full(n, 3.0)
        k[-1] = 0.0
        marginals = 2.0 * k / t**3 - p_s
        price = np.abs(marginals) * factor
        spent, off = np.empty((2, n))
        run(proof.computing_block, k, p_s, t, low, high, price, spent, off)
        assert spent == pytest.approx(np.where(k > 0.0, k / t**2 + p_s * t, 0.0), rel=1e-14)
        slowest, quickest = t >= 3.0 * (1.0 - 1e-10), t <= 1.0 + 1e-10
        forgiven = (slowest & (marginals > price)) | (quickest & (marginals < price))
        raw = (marginals - price) / (np.maximum(price, np.abs(marginals)) + p_s)
        assert off == pytest.approx(np.where(forgiven, 0.0, np.abs(raw)), rel=1e-12, abs=1e-15)


def test_what_a_row_gets_of_the_channel_and_what_that_is_worth() -> None:
    a, tau, beta, gamma, p_c, price = np.random.default_rng(3).uniform(0.5, 2.0, (6, 20))
    a[3:5], before, x = (0.0, 1e-7), beta.copy(), np.full(20, 7.0)  # nothing to send, and next to nothing
    e, f, snr, off = np.empty((4, 20))
    run(proof.sharing_block, 0.8, a, tau, beta, x, e, f, snr)
    sends = a > 0.0
    assert beta == pytest.approx(np.where(sends, 0.8 * before, before), rel=1e-15)
    own = np.where(sends, a / (tau * 0.8 * before), 7.0)
    F = marginal(own)
    assert x == pytest.approx(own, rel=1e-14)
    assert e == pytest.approx(np.exp(own), rel=1e-14)
    assert f == pytest.approx(F, rel=1e-12)
    assert snr == pytest.approx(np.expm1(own) * beta, rel=1e-13)
    run(proof.sending_block, gamma, p_c, beta, f, price, off)
    marginals = F * beta / gamma - p_c
    raw = (marginals - price) / (np.maximum(price, np.abs(marginals)) + p_c)
    assert off == pytest.approx(raw, rel=1e-10)
    for low, high, forgiven in (
        (snr * 0.5, snr * 2.0, np.zeros(20)), (snr * (1.0 - 3e-10), snr * (1.0 + 3e-10), np.zeros(20)),
        (snr * (1.0 - 5e-11), snr * 2.0, raw > 0.0), (snr * 0.5, snr * (1.0 + 5e-11), raw < 0.0),
        (snr.copy(), snr.copy(), np.ones(20)),
    ):  # fmt: skip
        bounded = raw.copy()
        run(proof.bounded_block, snr, low, high, bounded)
        assert bounded == pytest.approx(np.where(forgiven, 0.0, np.abs(raw)), rel=1e-14)
    run(proof.worths_block, 1.3, gamma, p_c, tau, beta, x, snr, e, f, price, off)
    worth = (price + p_c + snr / gamma) * tau * F / (np.exp(own) * beta * own)
    assert off == pytest.approx(np.abs(worth / 1.3 - 1.0), rel=1e-10, abs=1e-13)
    spent, fixed = np.full(20, 0.25), np.full(20, 0.5)
    p_c[5] = 0.0
    run(proof.energies_block, a, gamma, p_c, fixed, tau, snr, spent)
    assert spent == pytest.approx(0.75 + np.where(sends, tau * (snr / gamma + p_c), 0.0), rel=1e-14)


def test_the_worst_of_what_a_row_has() -> None:
    present, off = np.array([1.0, 1.0, 0.0, 1.0, 1.0]), np.array([0.2, 0.1, 9.0, math.nan, math.inf])
    miss = np.array([0.1, 0.3, 0.4, 0.0, 0.0])
    run(proof.worse_block, present, off, miss)
    assert miss.tolist() == [0.2, 0.3, 0.4, math.inf, math.inf]
