"""Level 3 by scipy in long rounds and at bounds, where prices are the difference of two powers that all but cancel.

Once its price of time was that difference's rounding, 1e-16 W for 1e-18 W: next to E_inf the brackets from it held
nothing. And the round of T_min was an ulp too short for it, so a budget met there was called used up.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import fedopt
from fedopt import Clients, EnergyBudget, PowerBudget, Status, TimePrice, Workload
from fedopt.rounds import rows_of
from solvers.allocation import METHODS
from solvers.limits import inverse_marginal, limits, marginal
from solvers.rows import Rows

WORK = Workload(cycles=6e9, upload_bits=1e5)
SPEED = {
    "frequency_min": 0.0,
    "frequency_max": 1.5e9,
    "samples": 1.0,
    "channel_gain": 5e-9,
    "bandwidth": 2e5,
    "power_max": 0.1,
}


def drawn(seed: int, size: int = 40) -> Rows:
    """Clients of which some pay for time in one part, some in both; bounds of both parts, some of no width."""
    rng = np.random.default_rng(seed)

    def some(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(size) < 0.5, values, 0.0)

    fastest = 10.0 ** rng.uniform(8, 10, size)
    clients = Clients(
        frequency_min=fastest * rng.choice([0.0, 0.2, 0.9, 1.0], size),
        frequency_max=fastest,
        samples=1.0,
        channel_gain=10.0 ** rng.uniform(-12, -8, size),
        bandwidth=2e5,
        power_min=some(rng.uniform(0.001, 0.05, size)),
        power_max=rng.choice([0.1, 0.2, math.inf], size),
        static_power=some(np.full(size, 0.1)),
        circuit_power=some(np.full(size, 0.02)),
    )
    return rows_of(
        clients, Workload(cycles=10.0 ** rng.uniform(9, 10, size), upload_bits=10.0 ** rng.uniform(5, 6, size))
    )


@pytest.mark.parametrize("seed", range(6))
def test_energies_and_prices_equal_the_references_however_long_the_round(seed: int) -> None:
    """The reference finds the price itself as a root, and takes no difference; rounds up to 1e10 times T_min."""
    rows = drawn(seed)
    for factor in (1.0 + 1e-12, 1.0 + 1e-6, 1.1, 2.0, 10.0, 1e3, 1e6, 1e10):
        duration = factor * limits(rows).t_min
        ours, truth = (METHODS.get(method)(rows, duration) for method in ("scipy", "reference"))
        np.testing.assert_array_equal(ours.feasible, truth.feasible)
        finite = np.isfinite(truth.energy)
        np.testing.assert_array_equal(np.isfinite(ours.energy), finite)
        allowed = 2e-15 * truth.energy + 8e-16 * duration * truth.price  # the second: an ulp or two of the duration
        assert (np.abs(ours.energy[finite] - truth.energy[finite]) <= allowed[finite]).all()
        clear = (truth.price == 0.0) | (truth.price > 1e-290)  # the reference's least price
        np.testing.assert_allclose(ours.price[clear], truth.price[clear], rtol=1e-9)


def test_a_budget_next_to_the_least_energy_has_the_bracket_of_the_kernel() -> None:
    """Static power of 0.1 W against a price of 1e-18 W; once 320,446 s were the best where 95,200 s will do."""
    clients = Clients(**SPEED, static_power=0.1)
    least = limits(rows_of(clients, WORK)).e_inf
    for more in (1e-12, 1e-13):
        by = {
            method: fedopt.schedule(clients, WORK, EnergyBudget(least * (1.0 + more)), allocation=method)
            for method in ("kernel", "scipy")
        }
        kernel, scipy = by["kernel"], by["scipy"]
        assert kernel.status is scipy.status
        assert scipy.bracket[0] <= kernel.bracket[1]
        assert kernel.bracket[0] <= scipy.bracket[1]
        assert scipy.bracket[0] == pytest.approx(kernel.bracket[0], rel=1e-2)


@pytest.mark.parametrize("nearer", [1e-4, 1e-6, 1e-7, 1e-8])
def test_just_before_a_speed_leaves_its_greatest_the_price_is_that_of_sending(nearer: float) -> None:
    """F(x)/gamma of the time that computing leaves, above 2 kappa f_max^3 by little more than ``nearer``."""
    clients = Clients(**SPEED)
    rows = rows_of(clients, WORK).full()
    of_computing = 2.0 * rows.capacitance * rows.frequency_max**3
    x = inverse_marginal(of_computing * rows.snr * (1.0 + nearer))
    t, tau = rows.work / rows.frequency_max, rows.transfer / x
    price = marginal(rows.transfer / ((t + tau) - t)) / rows.snr
    found = METHODS.get("scipy")(rows, float((rows.fixed_time + t + tau)[0]))
    assert found.price == pytest.approx(price, rel=1e-12)
    assert found.price > of_computing * (1.0 + 0.9 * nearer)


def test_computing_may_be_a_trillionth_of_a_thousandth_of_the_round() -> None:
    """One cycle in 12 days that are spent on sending at x = 1: F(1) = 1, so 2 kappa f^3 = 1/gamma."""
    clients = Clients(**SPEED | {"channel_gain": 1e2 * 3.981e-21 * 2e5, "power_max": 1.0})
    T, f = 1e6, (1.0 / (100.0 * 2e-28)) ** (1.0 / 3.0)
    work = Workload(cycles=1.0, upload_bits=2e5 * T / math.log(2.0))
    found = fedopt.allocate(clients, work, duration=T, allocation="scipy")
    assert found.frequency == pytest.approx(f, rel=1e-9)
    assert found.compute_time == pytest.approx(1.0 / f, rel=1e-9)


def test_a_small_price_of_time_is_met() -> None:
    """1e-20 W: 1/T'^2 of the upload alone, in closed form: F(x) = x^2/2 + x^3/3, x = a/(T' - t)."""
    clients, price = Clients(**SPEED, static_power=0.1), 1e-20
    rows = rows_of(clients, WORK).full()
    x = math.sqrt(2.0 * price * rows.snr[0])
    x *= 1.0 - x / 3.0
    f = (0.1 / (2.0 * rows.capacitance[0])) ** (1.0 / 3.0)
    duration = rows.fixed_time[0] + 6e9 / f + rows.transfer[0] / x
    for timing in ("newton", "bisection"):
        found = fedopt.schedule(clients, WORK, TimePrice(price), timing=timing, allocation="scipy")
        assert found.status is Status.OPTIMAL
        assert found.duration == pytest.approx(duration, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_that_the_shortest_round_keeps_is_slack(seed: int) -> None:
    """Once T_min, as rounding leaves it, had no answer for every sixth client: the next double was taken."""
    rng = np.random.default_rng(seed)
    clients = Clients(**SPEED | {"frequency_max": rng.uniform(0.5e9, 3e9)}, overhead=rng.uniform(0.0, 1.0))
    work = Workload(cycles=rng.uniform(1e9, 1e10), upload_bits=rng.uniform(1e5, 1e6))
    found = fedopt.schedule(clients, work, PowerBudget(1e3), allocation="scipy")
    assert found.status is Status.SLACK
    assert found.duration == pytest.approx(limits(rows_of(clients, work)).t_min, rel=4e-16)


@pytest.mark.parametrize("hair", [0.0, 1e-15, 3e-15, 1e-14, 1e-13])
@pytest.mark.parametrize("dear", ["channel", "chip"])
def test_a_speed_that_has_no_room_says_nothing_of_the_price(hair: float, dear: str) -> None:
    """f_max = f_min, or p_max = p_min, but for last digits: the other part pays, as much as it is worth."""
    if dear == "channel":
        clients = Clients(
            **SPEED | {"frequency_min": 1.5e9, "frequency_max": 1.5e9 * (1.0 + hair), "channel_gain": 1e-12}
        )
    else:
        clients = Clients(**SPEED | {"power_min": 0.1, "power_max": 0.1 * (1.0 + hair)})
    rows = rows_of(clients, WORK)
    ours, truth = (METHODS.get(method)(rows, 1.01 * limits(rows).t_min) for method in ("scipy", "reference"))
    assert truth.price[0] > 0.0
    assert ours.price[0] == pytest.approx(truth.price[0], rel=1e-9)


def test_a_shortest_round_that_no_power_reaches_has_no_finite_energy() -> None:
    """p_max = inf: at T_min the client that only just computes sends in no time. Budgets are met later, not nowhere."""
    clients = Clients(**SPEED | {"power_max": math.inf})
    rows = rows_of(clients, WORK)
    point = METHODS.get("scipy")(rows, limits(rows).t_min)
    assert point.energy[0] == math.inf
    assert point.price[0] == math.inf
    for budget in (EnergyBudget(1e3), TimePrice(1.0)):
        by = {
            method: fedopt.schedule(clients, WORK, budget, timing="bisection", allocation=method)
            for method in ("kernel", "scipy")
        }
        assert by["scipy"].status is by["kernel"].status is Status.OPTIMAL
        assert by["scipy"].duration == pytest.approx(by["kernel"].duration, rel=1e-9)


def test_a_budget_that_no_double_is_long_enough_for_ends_without_an_answer() -> None:
    """The rounding of two equal energies is above a budget that is E_inf to its last digit; T_flat is infinite."""
    clients = Clients(**SPEED, power_min=0.001, circuit_power=[0.02, 0.02])
    rows = rows_of(clients, WORK)
    budget = EnergyBudget(limits(rows).e_inf * (1.0 - 1e-16))
    found = fedopt.schedule(clients, WORK, budget, allocation="reference")
    assert found.status in (Status.LIMIT, Status.INFEASIBLE)
    assert not math.isinf(found.duration)


@pytest.mark.parametrize("method", ["kernel", "reference", "scipy"])
def test_a_client_that_saves_nothing_by_time_may_have_a_double_less_of_it(method: str) -> None:
    """10 W of static power, of which computing at full speed is worth 0.7 W: the greatest price is 0, not endless."""
    clients = Clients(**SPEED, static_power=10.0)
    rows = rows_of(clients, Workload(cycles=6e9, upload_bits=0.0))
    least = limits(rows).t_min
    full, less = (METHODS.get(method)(rows, T) for T in (least, math.nextafter(least, 0.0)))
    assert less.feasible.all()
    assert less.energy[0] == pytest.approx(full.energy[0], rel=1e-14)
    assert less.price[0] == full.price[0] == 0.0
