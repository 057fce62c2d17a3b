"""What rounding must not do to rows that share a channel: prices below zero, rows that end late, digits lost."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import make
from mpmath import mp
from tasks import plain
from test_share_of_one import Row, marginal
from test_share_stages import run

from fedopt.rounds import rows_of
from solvers.access import LAST_DIGITS, computing, fullspeed, settle, slots, timedivision, uplink
from solvers.access.shares import OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.blocks import (
    BLOCK,
    COLUMNS,
    GAMMA,
    NO_UPLOAD,
    NO_WORK,
    ORDINARY,
    P_C,
    T_HIGH,
    T_LOW,
    TAU_HIGH,
    TAU_LOW,
    A,
    K,
)  # fmt: skip
from solvers.plan import make_plan
from solvers.rows import FloatArray


@pytest.mark.parametrize("what", [ORDINARY, NO_WORK])
def test_where_time_is_just_worth_nothing_no_price_is_negative_and_nobody_late(what: int) -> None:
    """The last second of sending is worth P_c, that of computing P_s, to a few roundings of the price of bandwidth."""
    rng, spare, paid = np.random.default_rng(3), 0, 0
    for _ in range(300):
        x, tau, a, gamma, k, p_s = np.exp(rng.normal(0.0, 1.0, 6)).tolist()
        k = 0.0 if what == NO_WORK else k
        t_free = math.cbrt(2.0 * k / p_s)
        mu, p_c = marginal(x) * tau / gamma, marginal(x) * a / (gamma * tau * x)
        for ulps in (-4, -1, 0, 1, 4):
            row = Row(
                left=t_free + tau, mu=mu * (1.0 + ulps * 2.0**-52), k=k, a=a, gamma=gamma, t_low=0.1 * t_free, p_s=p_s,
                p_c=p_c, what=what,
            )  # fmt: skip
            at = row.share()
            assert at.price >= 0.0
            if at.curve == 0.0:  # time to spare, or as good as none
                assert at.tau <= row.left - row.t_free
            spare += at.price == 0.0
            paid += at.price > 0.0
    assert min(spare, paid) > 300


@pytest.mark.parametrize("x", [1e-3, 0.5, 3.0, 30.0, 300.0])
def test_an_upload_at_a_bound_of_power_keeps_its_digits(x: float) -> None:
    """Found from starts as far off as a step that need not be the last may leave them; against 40 digits."""
    wanted, a, bound = 1.7, 0.7, 2.0

    def shape(y: Any) -> Any:
        return (y / mp.expm1(y)) ** 2 * mp.exp(y) / (1 + (y - 1) * mp.exp(y))

    with mp.workdps(40):
        mu = float(wanted * a / (bound**2 * shape(mp.mpf(x))))
        truth = mp.findroot(lambda y: mp.log(mu * bound**2 / a * shape(y) / wanted), mp.mpf(x))
        for off in (-1e-4, -8e-8, 8e-8, 1e-4):
            found, tau, beta, q = plain(uplink._at_bound)(x * (1.0 + off), wanted, mu, a, bound)
            over = mp.expm1(truth)
            for value, exact in ((found, truth), (beta, bound / over), (tau, a * over / (truth * bound)), (q, wanted)):
                assert value == pytest.approx(float(exact), rel=1e-15, abs=0.0)


def columns_of(**values: float) -> tuple[FloatArray, ...]:
    """Of a plan of one row: what is not named is 0."""
    at = {"k": K, "a": A, "gamma": GAMMA, "p_c": P_C, "t_low": T_LOW, "t_high": T_HIGH, "tau_low": TAU_LOW,
        "tau_high": TAU_HIGH}  # fmt: skip
    columns = [np.zeros(1) for _ in range(COLUMNS)]
    for name, value in values.items():
        columns[at[name]] = np.array([value])
    return tuple(columns)


@pytest.mark.parametrize("x", [0.1, 0.9, 1.1, 10.0, 50.0, 99.0, 300.0, 650.0])
def test_the_least_share_keeps_its_digits(x: float) -> None:
    """At full power (e^x - 1)/x = G tau/a and beta = G/(e^x - 1); against 40 digits."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        G, tau = np.exp(rng.normal(0.0, 2.0, 2)).tolist()
        a = G * tau * x / math.expm1(x)
        beta, _, _ = plain(fullspeed._least)(columns_of(a=a), np.array([G]), tau, 0)
        with mp.workdps(40):
            truth = mp.findroot(lambda y: mp.log(mp.expm1(y) / y) - mp.log(mp.mpf(G) * tau / a), mp.mpf(x))  # noqa: B023
            assert beta == pytest.approx(float(G / mp.expm1(truth)), rel=(1.0 + 0.5 / x) * 1e-15, abs=0.0)


def test_who_sends_at_full_speed_for_nothing_has_no_price_below_zero() -> None:
    """One client, whose circuit takes more than time saves: its price of bandwidth is worth 0 W, to a rounding."""
    rng, free = np.random.default_rng(2), 0
    for _ in range(200):
        x, tau, gamma, p_max, circuit = np.exp(rng.normal(0.0, 1.0, 5)).tolist()
        a = gamma * p_max * tau * x / math.expm1(x)
        columns, out = columns_of(a=a, gamma=gamma, p_c=10.0 * circuit), np.empty((OUT, 1))
        at_once = plain(fullspeed.at_full_speed)
        _, price, mu = at_once(np.array([NO_WORK]), columns, np.array([gamma * p_max]), tau, 0.0, out)
        assert price == out[PRICE_OUT, 0] >= 0.0
        assert mu > 0.0
        free += price == 0.0
    assert free > 50


@pytest.mark.parametrize(
    ("off", "missing"), [(0.9e-15, 0.9e-15), (2e-15, 0.0), (1e-13, 0.0), (1e-12, 1e-12 - 15.0 * LAST_DIGITS)]
)
def test_what_the_last_digits_of_an_end_of_computing_are_worth_is_no_violation(off: float, missing: float) -> None:
    """The prices fall by 5 W/s before 3 s and by 1 W/s from there on; a billionth of a price is as good as none."""
    falls: Any = SimpleNamespace(at=lambda end: SimpleNamespace(fall=5.0 if end < 3.0 else 1.0))
    assert settle._missing(falls, 3.0, off, 1e-6) == pytest.approx(missing, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("what", [NO_UPLOAD, NO_WORK])
@pytest.mark.parametrize("quickest", [True, False])
@pytest.mark.parametrize(("off", "at_bound"), [(0.0, True), (9e-13, True), (1.1e-12, False), (1e-10, False)])
def test_only_next_to_its_bound_may_a_speed_be_worth_more_or_less(
    what: int, quickest: bool, off: float, at_bound: bool
) -> None:
    """A trillionth from it; at the quickest a second may be worth more than it costs, at the slowest less."""
    out, bounds = np.zeros((OUT, 1)), (2.0, 5.0)
    time = bounds[0] * (1.0 + off) if quickest else bounds[1] * (1.0 - off)
    if what == NO_UPLOAD:
        columns = columns_of(k=3.0, t_low=bounds[0], t_high=bounds[1])
        out[T_OUT], marginal_here = time, 2.0 * 3.0 / time**3
    else:
        columns = columns_of(a=1.5, gamma=0.3, tau_low=bounds[0], tau_high=bounds[1])
        out[TAU_OUT], out[X_OUT], marginal_here = time, 1.5 / time, marginal(1.5 / time) / 0.3
    for times, fine in ((1.5, quickest), (0.5, not quickest), (1.0, True)):
        price = out[PRICE_OUT, 0] = times * marginal_here
        _, worst, _ = plain(settle.prove_slots)(np.array([what]), columns, price, 1.0, out)
        assert (worst <= 1e-9) == (times == 1.0 or (fine and at_bound))


def test_what_small_rows_add_to_a_great_one_is_not_lost() -> None:
    """Three, each of less than half its last digit: slots and their energies, computing, by blocks and row by row."""
    one, none, few = np.ones(4 * BLOCK), np.zeros(4 * BLOCK), slice(None, None, BLOCK)

    def sums(*firsts: float) -> list[float]:
        """Of rows each the first of a block, the others nothing; last by settle."""
        each, columns, out = none.copy(), [np.zeros(1)] * COLUMNS, np.ones((OUT, 4))
        each[few] = firsts
        sending = run(slots.slot_sums, each, one, none, none, 9.0 * one, 2.0, False, none.copy())
        watts, _, joules = run(computing.computing_sums, each, none, none, one, 2.0 * one, 1.25)
        columns[A], columns[TAU_LOW], columns[TAU_HIGH] = each[few], np.full(1, 1e-99), np.full(1, 9.0)
        ends = run(settle.times_and_prices, np.full(1, NO_WORK), tuple(columns), 0.0, out, np.empty(4))[3]
        return [*sending, watts, joules, ends]

    small = 0.9 * 2.0**-54
    for alone, together in zip(sums(1.0, 0.0, 0.0, 0.0), sums(1.0, small, small, small), strict=True):
        assert alone < together <= alone * (1.0 + 2.0**-51)


@pytest.mark.parametrize("family", ["mixed", "wide"])
def test_who_waits_for_ages_before_a_moment_of_computing_is_asked_for_no_more_than_its_speed_is_worth(
    family: str,
) -> None:
    """The last digit of when it begins is much of how long it computes; at its quickest alone it may be worth more."""
    for seed in range(6):
        instance = make(family, seed, 3)
        clients = instance.clients.replace(overhead=1e11 * instance.duration)
        rows = rows_of(clients.on_channel(float(clients.bandwidth.sum())), instance.work)
        fleet = timedivision.Fleet(make_plan(rows))
        for part in (0.5, 0.99, 1.0):
            price = part * fleet.top()
            x, end, T = fleet.slots.efficiencies(price), fleet.computing.end(price), fleet.look(price)[0]
            assert settle.settle(rows, fleet.plan, fleet.computing, x, price, end, T).residual <= 1e-12


def test_prices_that_miss_their_sum_are_measured_by_the_power_that_was_taken_off() -> None:
    """Of 2 kappa f^3 - P_s no more digits are left than of P_s: here a thousand times the price of time."""
    instance = make("typical", 2, 5)
    clients = instance.clients
    clients = clients.replace(static_power=2.0 * clients.capacitance * (0.7 * clients.frequency_max) ** 3)
    rows, steady = rows_of(clients.on_channel(1e6), instance.work), float(clients.static_power.sum())
    fleet, price = timedivision.Fleet(make_plan(rows)), 1e-3 * steady
    x, end, T = fleet.slots.efficiencies(price), fleet.computing.end(price), fleet.look(price)[0]
    later = end * (1.0 + 1e-7)
    settled = settle.settle(rows, fleet.plan, fleet.computing, x, price, later, T + (later - end))
    paid = fleet.computing.at(later).worth
    assert settled.residual == pytest.approx((price - paid) / (paid + steady), rel=1e-6)
