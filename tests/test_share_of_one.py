"""One row at a duration and a price of bandwidth: optimality conditions, a grid, differences, 40 digits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
from mpmath import mp
from tasks import plain
from test_share_stages import noted

from solvers.access import uplink
from solvers.blocks import IDLE, NEITHER, NO_UPLOAD, NO_WORK, ORDINARY


class Answer(NamedTuple):
    """What share_row returns."""

    t: float
    tau: float
    x: float
    beta: float
    price: float
    curve: float
    by_time: float
    by_price: float


@dataclasses.dataclass(frozen=True)
class Row:
    """Made up; time left [s], a price [J/channel]; t_free follows from P_s and the longest time."""

    left: float = 4.0
    mu: float = 1.0
    k: float = 5.0
    a: float = 0.6
    gamma: float = 2.0
    t_low: float = 0.5
    t_high: float = math.inf
    p_s: float = 0.0
    p_c: float = 0.0
    g_min: float = 0.0
    g_max: float = math.inf
    what: int = ORDINARY

    @property
    def t_free(self) -> float:
        free = math.cbrt(2.0 * self.k / self.p_s) if self.p_s > 0.0 else math.inf
        return min(max(free, self.t_low), self.t_high)

    def share(self, start: float = 0.0) -> Answer:
        bounds = (self.t_low, self.t_free, self.p_s, self.p_c, self.g_min, self.g_max)
        return Answer(
            *plain(uplink.share_row)(self.what, self.left, self.mu, start, self.k, self.a, self.gamma, *bounds)
        )

    def paid(self, t: Any, tau: Any, x: Any) -> Any:
        """Energy and bandwidth [J]; inf where the power is beyond its bounds, or the time is up."""
        beta = self.a / (tau * x)
        G = np.expm1(x) * beta
        energy = self.k / t**2 + self.p_s * t + tau * (G / self.gamma + self.p_c) + self.mu * beta
        fits = (
            (self.g_min * (1.0 - 1e-12) <= G)
            & (self.g_max * (1.0 + 1e-12) >= G)
            & (t + tau <= self.left * (1.0 + 1e-15))
        )
        return np.where(fits, energy, math.inf)

    def where(self, at: Answer) -> tuple[bool, ...]:
        """At the least and the greatest time, with time to spare, at the least and the greatest power."""
        G = math.expm1(at.x) * at.beta
        spare = at.t + at.tau < self.left * (1.0 - 1e-12)
        ends = abs(G - self.g_min) <= 1e-11 * G, abs(G - self.g_max) <= 1e-11 * G
        return at.t <= self.t_low, at.t >= self.t_free, spare, *ends


def marginal(x: float) -> float:
    with mp.workdps(60):
        return float(1 + (mp.mpf(x) - 1) * mp.exp(x))


BOUNDS = ((0.0, math.inf), (0.7, 1.6), (1.1, 1.1), (0.0, 0.1), (3.0, 500.0))
ROWS = [
    Row(mu=mu, p_s=p_s, p_c=p_c, g_min=low, g_max=high, left=left, t_low=t_low, t_high=t_high)
    for mu in (1e-3, 0.05, 0.5, 4.0, 50.0)
    for p_s, p_c in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.2, 0.3), (0.4, 0.1))
    for low, high in BOUNDS
    for left, t_low, t_high in ((4.0, 0.5, math.inf), (2.2, 1.5, 1.8), (1.5, 1.3, math.inf))
]

ROWS += [Row(left=1.8, t_high=1.8, mu=mu) for mu in (1e-3, 1.0)]  # all the time that computing wants, and no more
ROWS += [  # rows that send with next to no nats, at a bound of their power
    Row(mu=mu, p_c=p_c, g_min=low, g_max=high)
    for mu in (1e-14, 1e-10)
    for p_c in (0.0, 0.3)
    for low, high in ((0.5, 0.6), (0.2, 0.25), (5.0, 6.0))
]


@pytest.mark.parametrize("start", [0.0, 0.3])
def test_the_optimality_conditions_hold(start: float) -> None:
    """What one more second is worth to computing and to sending, and one more hertz."""
    seen = set()
    for row in ROWS:
        at = row.share(start)
        if at.beta == math.inf:
            assert row.g_max * (row.left - row.t_low) <= row.a  # E(x) >= 1 at the greatest power
            assert (at.x, *at[4:]) == (0.0, math.inf, 0.0, 0.0, 0.0)
            continue
        where = row.where(at)
        seen.add(where)
        quickest, slowest, spare, softest, loudest = where
        p, G = math.expm1(at.x) * at.beta / row.gamma, math.expm1(at.x) * at.beta
        assert at.beta == pytest.approx(row.a / (at.tau * at.x), rel=1e-13)
        assert row.g_min * (1.0 - 1e-12) <= G <= row.g_max * (1.0 + 1e-12)
        assert row.t_low <= at.t <= row.t_free
        assert at.t + at.tau == pytest.approx(row.left, rel=1e-13) or (at.price == 0.0 and at.t == row.t_free)
        own = marginal(at.x) * at.beta / row.gamma - row.p_c  # [W] of one more second where the power is free
        both = row.mu * (at.beta / at.tau) * at.x * math.exp(at.x) / marginal(at.x) - row.p_c - p  # and where it is not
        unit = at.price + row.p_c + row.p_s + p
        if not softest and not loudest:
            assert own == pytest.approx(at.price, abs=1e-12 * unit)
        else:
            if loudest and not softest:
                assert own <= at.price + 1e-12 * unit
            if softest and not loudest:
                assert own >= at.price - 1e-12 * unit
        if not spare or not (softest or loudest):
            assert both == pytest.approx(at.price, abs=1e-11 * unit)
        work = 2.0 * row.k / at.t**3 - row.p_s
        if not quickest and not slowest:
            assert work == pytest.approx(at.price, abs=1e-12 * unit)
        elif not (quickest and slowest):
            assert (work <= at.price + 1e-12 * unit) if quickest else (work >= at.price - 1e-12 * unit)
        assert at.price == 0.0 if spare else at.price >= 0.0
        if (quickest or slowest) and not spare:
            assert at.tau == row.left - at.t
    assert len(seen) >= 12, seen


def test_no_point_of_a_grid_is_better() -> None:
    share = np.linspace(0.02, 0.98, 60)[:, None]
    x = np.geomspace(1e-3, 8.0, 120)
    for row in ROWS[::3]:
        at = row.share()
        if at.beta == math.inf:
            assert math.inf == row.paid(row.t_low, row.left - row.t_low, np.geomspace(1e-9, 300.0, 4000)).min()
            continue
        mine = float(row.paid(at.t, at.tau, at.x))
        assert mine < math.inf
        for until in (row.left, 0.6 * row.left):
            t = np.clip(share * until, row.t_low, row.t_free)
            tau = np.maximum(until - t, 1e-9)
            assert mine <= row.paid(t, tau, x).min() * (1.0 + 1e-12)
        close = 1.0 + np.array([-1e-3, -1e-5, 0.0, 1e-5, 1e-3])
        t = np.clip(at.t * close, row.t_low, row.t_free)[:, None]
        tau = np.stack([row.left - t, np.full_like(t, at.tau), at.tau * close[:, None]])
        if row.g_min < row.g_max * 0.9 and row.mu > 1e-9:
            assert mine <= row.paid(t, tau, at.x * close).min() * (1.0 + 1e-13)
        assert plain(uplink.row_energy)(
            row.k, row.a, row.gamma, row.p_s, row.p_c, 0.7, at.t, at.tau, at.x
        ) == pytest.approx(0.7 + mine - row.mu * at.beta, rel=1e-12)


def test_it_moves_as_it_says() -> None:
    """Against differences of answers a little to both sides that are at the same bounds."""
    known, h = 0, 1e-5
    for row in ROWS:
        others = [
            dataclasses.replace(row, left=row.left * (1.0 + later * h), mu=row.mu * (1.0 + dearer * h))
            for later, dearer in ((-1, 0), (1, 0), (0, -1), (0, 1))
        ]
        at, (early, late, cheap, dear) = row.share(), (each.share() for each in others)
        moved = zip(others, (early, late, cheap, dear), strict=True)
        if at.beta == math.inf or {other.where(answer) for other, answer in moved} != {row.where(at)}:
            continue
        known += 1
        noise, width = 1e-14 / h, 2.0 * h * row.left
        assert (early.price - late.price) / width == pytest.approx(at.curve, rel=1e-6, abs=noise * at.price)
        assert (late.beta - early.beta) / width == pytest.approx(at.by_time, rel=1e-6, abs=noise * at.beta)
        assert (dear.beta - cheap.beta) / (2.0 * h) == pytest.approx(at.by_price, rel=1e-6, abs=noise * at.beta)
    assert known > 150, known


def test_a_start_saves_steps_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, steps = [(row, row.share()) for row in ROWS], list[int]()
    inner = plain(uplink._root).__globals__
    ln = inner["_ln"]

    def counted(z: float) -> float:
        steps[-1] += 1
        return float(ln(z))

    monkeypatch.setitem(inner, "_ln", counted)
    for row, at in answers:
        for begin in (0.0, 1.0, 1.01) if at.beta < math.inf else ():
            steps.append(0)
            assert row.share(begin * at.t / at.tau)[:5] == pytest.approx(at[:5], rel=1e-13, abs=1e-13)
    taken = [sum(steps[which::3]) for which in range(3)]
    assert taken == pytest.approx((2033, 1190, 1946), rel=0.01)  # when this was written


@pytest.mark.parametrize(
    "row",
    [
        Row(p_c=1e6, k=5e-6, mu=1e-3, t_low=0.01),
        Row(p_s=1e6, k=5e5, mu=1e-3, t_low=0.01, left=1.3),
        Row(p_s=1e6, p_c=1e6, k=5e5, mu=1e-3, t_low=0.01, left=1.0),
    ],
)
def test_the_price_of_time_is_told_by_the_side_that_keeps_its_digits(row: Row) -> None:
    at = row.share()
    work, send = 2.0 * row.k / at.t**3 - row.p_s, row.mu * at.beta / at.tau - row.p_c
    assert 0.0 < at.price < 1e5
    assert at.price == pytest.approx(
        work if row.p_s <= row.p_c else send, rel=1e-14, abs=1e-9 * row.p_s * row.p_c / 1e6
    )


def test_no_price_for_bandwidth_is_endless_bandwidth() -> None:
    assert plain(uplink.sending)(4.0, 5e-324, 1.0, 0.1, 0.0, math.inf, 0.3)[:3] == (0.0, math.inf, math.inf)


@pytest.mark.parametrize(
    "exponent", [-15.0, -9.0, -4.1, -4.0, -3.0, -2.5, -1.0, 0.0, 0.5, 1.0, 3.0, 30.0, 290.0, 300.0]
)
def test_the_inverse_of_growth(exponent: float, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = list[Any]()
    inner = plain(uplink.inverse_growth).__globals__
    monkeypatch.setitem(inner, "marginal_given", noted(inner["marginal_given"], steps))
    mpmath.mp.dps = 40
    value = 1.0 + 10.0**exponent
    x = mp.mpf(plain(uplink.inverse_growth)(value))
    growth = mp.expm1(x) / x
    slope = mp.exp(x) / x - growth / x
    assert abs(growth - value) <= 2e-15 * slope * x + (5e-16 * value if exponent >= -4.0 else 0.0)
    assert len(steps) <= (0 if exponent < -4.0 else 9)
    assert float(growth) == pytest.approx(plain(uplink.growth)(float(x)), rel=1e-14)


def test_the_ends_of_growth() -> None:
    for value, x in ((0.5, 0.0), (1.0, 0.0), (math.nan, 0.0), (math.inf, math.inf)):
        assert plain(uplink.inverse_growth)(value) == x
    for x in (0.0, 1e-320, 1e-300, 1e-17):
        assert plain(uplink.growth)(x) == 1.0
    assert plain(uplink._ln)(0.0) == -math.inf
    assert plain(uplink._ln)(2.0) == math.log(2.0)


@pytest.mark.parametrize("x", [1e-12, 9e-9, 1.1e-8, 1e-3, 0.7, 3.0, 40.0, 599.0, 601.0, 690.0, 700.0])
def test_how_steep_the_marginal_is(x: float) -> None:
    mpmath.mp.dps = 60
    value = mp.mpf(x)
    expected = value**2 * mp.exp(value) / (1 + (value - 1) * mp.exp(value))
    assert plain(uplink._steepness)(x) == pytest.approx(float(expected), rel=1e-14)


def test_the_time_that_is_worth_nothing_is_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as when this was written."""
    steps = list[Any]()
    inner = plain(uplink._free).__globals__
    monkeypatch.setitem(inner, "_steepness", noted(inner["_steepness"], steps))
    for mu, p_c in ((1e-60, 0.3), (1e-9, 0.3), (1e-3, 1.0), (0.3, 1.0), (1.0, 9.0), (1e6, 1e3), (1e100, 1e3)):
        plain(uplink._free)(mu, 1.3, 2.0, 0.0, math.inf, p_c)
    assert abs(len(steps) - 31) <= 1


@pytest.mark.parametrize(("mu", "gamma"), [(1e-30, 1e-6), (1e-9, 1.0), (1.0, 1.0), (1e6, 1e6), (1e250, 1.0)])
@pytest.mark.parametrize("p_c", [1e-9, 0.4, 1e6])
def test_the_time_from_which_on_more_is_worth_nothing(mu: float, gamma: float, p_c: float) -> None:
    """mu beta/tau = P_c, in few steps; at a bound of the power P_c + p."""
    a = 1.3
    free = plain(uplink._free)
    tau = free(mu, a, gamma, 0.0, math.inf, p_c)
    x, _, q, rest, *_, bound = plain(uplink.sending)(tau, mu, a, gamma, 0.0, math.inf, p_c)
    assert (rest, bound) == (p_c, 0.0)
    assert q == pytest.approx(p_c, rel=1e-11)
    G = plain(uplink.growth)(x) * a / tau
    for low, high in ((0.0, 0.5 * G), (2.0 * G, 4.0 * G)):
        tau = free(mu, a, gamma, low, high, p_c)
        x, _, q, rest, *_, bound = plain(uplink.sending)(tau, mu, a, gamma, low, high, p_c)
        if x > 1e-4:  # tau hardly tells x where x is small
            assert bound == (high if low == 0.0 else low)
            assert rest == p_c + bound / gamma
            assert q == pytest.approx(rest, rel=1e-10)
    assert free(mu, a, gamma, G, 2.0 * G, p_c) == pytest.approx(free(mu, a, gamma, 0.0, math.inf, p_c), rel=1e-7)


@pytest.mark.parametrize("what", [IDLE, NEITHER])
def test_nothing_to_do_takes_nothing(what: int) -> None:
    assert Row(what=what, k=0.0, a=0.0).share() == Answer(*[0.0] * 8)
    assert plain(uplink.row_energy)(0.0, 0.0, 2.0, 0.3, 0.3, 0.7, math.inf, math.inf, 0.0) == 0.7


@pytest.mark.parametrize(("left", "p_s"), [(4.0, 0.0), (4.0, 0.3), (1.0, 0.3), (0.4, 0.0), (4.0, 1000.0)])
def test_who_only_computes_takes_the_time_there_is(left: float, p_s: float) -> None:
    row = Row(what=NO_UPLOAD, a=0.0, left=left, p_s=p_s)
    at = row.share()
    t = min(max(left, row.t_low), row.t_free)
    free = t == row.t_free
    price = 0.0 if free else 2.0 * row.k / t**3 - p_s
    assert at[:5] == pytest.approx((t, 0.0, 0.0, 0.0, price), rel=1e-15)
    assert at[5:] == pytest.approx((0.0 if free else 6.0 * row.k / t**4, 0.0, 0.0), rel=1e-15)


@pytest.mark.parametrize("mu", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_who_only_sends_takes_the_time_there_is_until_it_is_worth_nothing(
    mu: float, bounds: tuple[float, float]
) -> None:
    for p_c in (0.0, 0.3):
        row = Row(what=NO_WORK, k=0.0, t_low=0.0, t_high=0.0, mu=mu, p_c=p_c, g_min=bounds[0], g_max=bounds[1])
        at = row.share()
        if at.beta == math.inf:
            assert row.g_max * row.left <= row.a
            continue
        assert at.t == 0.0
        best = min(
            float(
                np.min(dataclasses.replace(row, t_low=1.0).paid(1e-300 + np.ones(1), tau, np.geomspace(1e-3, 9, 900)))
            )
            for tau in np.linspace(0.01, 3.0, 60)
        )
        one = dataclasses.replace(row, left=row.left + 1.0)
        assert float(one.paid(1.0, at.tau, at.x)) <= best * (1.0 + 1e-12)
        assert at.tau == row.left or at.price == 0.0


@pytest.mark.parametrize("left", [0.0, 0.5, 0.3])
def test_no_time_left_to_send_is_no_bandwidth_enough(left: float) -> None:
    assert Row(left=left).share() == (0.5, 0.0, 0.0, math.inf, math.inf, 0.0, 0.0, 0.0)
