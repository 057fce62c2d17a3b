"""The proof of a cost at a price of time, by its parts: prices that clients would pay and that add up, a gap."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import of_kinds
from test_verify_forged import CLIENTS, SIZE, WORK
from test_verify_price import AT_F_MIN, AT_P_MIN, STEEP

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import Outcome, cost
from fedopt.verifier.cost import bound_of_cost, gap_checks, greatest_price
from fedopt.verifier.decision import Round, round_of
from fedopt.verifier.digits import DIGITS, last_digits
from fedopt.verifier.model import dual

KINDS = ["both", "both", "no work", "no upload", "both", "only a download", "both"]


def round_at(budget: Any, clients: fedopt.Clients = CLIENTS, work: fedopt.Workload = WORK, access: Any = None) -> Round:
    """The best one."""
    answer = fedopt.schedule(clients, work, budget, access=access)
    assert answer.status.solved
    r = round_of(clients, work, budget, access, answer, 1e-9)
    assert isinstance(r, Round)
    return r


@pytest.mark.parametrize("family", ["typical", "wide", "powers", "bounds", "mixed"])
@pytest.mark.parametrize("steady", [0.0, 0.1])
def test_who_does_something_between_its_bounds_pays_what_it_is_worth(family: str, steady: float) -> None:
    """The solver's price of time; who is as quick as can be in all it does would pay any, who is early none."""
    inside = quick = 0
    for seed in range(6):
        instance = of_kinds(family, seed, KINDS)
        shortest = fedopt.schedule(instance.clients, instance.work, EnergyBudget(math.inf)).duration
        usual = round_at(Deadline(1.5 * shortest), instance.clients, instance.work).allocation.price.max()
        clients = instance.clients.replace(static_power=steady * usual, circuit_power=0.5 * steady * usual)
        for factor in (1.0, 1.5, 5.0):
            r = round_at(Deadline(factor * shortest), clients, instance.work)
            price, most = r.allocation.price, greatest_price(r)
            k, late = r.tasks, r.tasks.fixed_time + r.t + r.tau >= r.T * (1.0 - 1e-9)
            slow_f, slow_x = k.computes & (r.f < k.f_max * (1.0 - 1e-9)), k.sends & (r.x < k.x_max * (1.0 - 1e-9))
            free_f, free_x = slow_f & (r.f > k.f_min * (1.0 + 1e-9)), slow_x & (r.x > k.x_min * (1.0 + 1e-9))
            tells = late & (free_f | free_x)
            assert most[tells] == pytest.approx(price[tells], rel=1e-6, abs=1e-9)
            assert np.all(most[k.busy & ~late] == 0.0)
            assert np.all(most[k.busy & late & ~slow_f & ~slow_x] == math.inf)
            inside += int(tells.sum())
            quick += int((k.busy & late & ~slow_f & ~slow_x).sum())
    assert inside > 10
    assert quick >= 6


def test_prices_that_do_not_add_up_are_filled_up_to_what_clients_would_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """All a part of what they are, or one client's alone: the least cost is proved all the same, with no search."""
    monkeypatch.setattr(cost, "_prices_of", None)
    for watts in (0.01, 0.3, 1.5):
        r = round_at(TimePrice(watts))
        price = r.allocation.price
        assert price.sum() == pytest.approx(watts, rel=1e-9)
        for factor in (0.5, 0.99, 1.01, 2.0):
            assert bound_of_cost(r, watts, factor * price) == pytest.approx(r.cost, rel=1e-9)
        for n in np.flatnonzero(price > 0.01 * watts):
            for share in (0.0, 0.5):
                short = np.where(np.arange(SIZE) == n, share * price, price)
                assert bound_of_cost(r, watts, short) == pytest.approx(r.cost, rel=1e-9)


@pytest.mark.parametrize("hard", [AT_F_MIN, AT_P_MIN, STEEP], ids=["f_min", "p_min", "steep"])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.1])
def test_prices_next_to_a_duration_add_up_and_prove_its_cost(hard: Any, factor: float) -> None:
    """No client pays more than it would a millionth earlier, or less than a millionth later."""
    columns, work, watts = hard
    watts *= factor
    r = round_at(TimePrice(watts), fedopt.Clients(samples=1.0, **columns), fedopt.Workload(**work))
    price = cost._prices_of(r.tasks, watts, r.T)
    assert price.sum() == pytest.approx(watts, rel=1e-12)
    early, late = (cost.best(r.tasks, r.T * (1.0 + side)).price for side in (-1e-6, 1e-6))
    assert np.all(price <= early * (1.0 + 1e-6))
    assert np.all(price >= late * (1.0 - 1e-6))
    assert dual(r.tasks, price).sum() == pytest.approx(r.cost, rel=1e-9)


def test_where_nobody_pays_for_time_no_price_is_found() -> None:
    """Static power makes more time worth nothing: long after all are done."""
    clients = CLIENTS.replace(static_power=0.1, circuit_power=0.1)
    r = round_at(TimePrice(1.0), clients)
    assert cost._prices_of(r.tasks, 1.0, 1e6 * r.T).tolist() == [0.0] * SIZE


@pytest.mark.parametrize(
    ("claimed", "gap", "status", "priced", "outcome"),
    [
        (1e-3, 1e-3, Status.LIMIT, False, Outcome.PASSED), (2e-3, 1e-3, Status.LIMIT, False, Outcome.FAILED),
        (1e-3 + 0.5e-6, 1e-3, Status.LIMIT, False, Outcome.PASSED),
        (1e-3 + 2e-6, 1e-3, Status.LIMIT, False, Outcome.FAILED),
        (5e-4, 1e-3, Status.LIMIT, False, Outcome.FAILED), (0.0, -1e-3, Status.LIMIT, False, Outcome.PASSED),
        (0.5e-6, -1e-3, Status.LIMIT, False, Outcome.PASSED), (2e-6, -1e-3, Status.LIMIT, False, Outcome.FAILED),
        (0.3, 1e-3, Status.LIMIT, True, Outcome.PASSED), (1e-3, 0.3, Status.LIMIT, True, Outcome.CLAIMED),
        (1.1, 1e-3, Status.LIMIT, True, Outcome.FAILED), (1e-3, 1e-3, Status.OPTIMAL, True, Outcome.FAILED),
        (math.nan, 0.3, Status.LIMIT, False, Outcome.NOTHING), (math.nan, 0.3, Status.LIMIT, True, Outcome.NOTHING),
    ],
)  # fmt: skip
def test_a_gap_is_what_prices_leave_open(
    claimed: float, gap: float, status: Status, priced: bool, outcome: Outcome
) -> None:
    """No more than they do, as far as digits tell, and no less; at a price of time any that its status allows."""
    r = round_at(TimePrice(0.5), access=SharedBandwidth(2e6))
    assert r.sharing is not None
    budget = r.budget if priced else Deadline(r.T)
    r = dataclasses.replace(r, budget=budget, status=status, sharing=dataclasses.replace(r.sharing, gap=claimed))
    (check,) = gap_checks(r, gap, 1.0)
    assert check.outcome is outcome


@pytest.mark.parametrize(("over", "fails"), [(0.05, False), (0.15, True)])
def test_what_the_last_digits_of_a_small_energy_hide_of_a_gap_may_be_claimed(over: float, fails: bool) -> None:
    r = round_at(TimePrice(0.5), access=SharedBandwidth(2e6))
    assert r.sharing is not None
    budget, energy = Deadline(r.T), 10.0 * DIGITS * last_digits(r)  # a tenth of that is hidden
    sharing = dataclasses.replace(r.sharing, gap=0.2 + over)
    (check,) = gap_checks(dataclasses.replace(r, budget=budget, status=Status.LIMIT, sharing=sharing), 0.2, energy)
    assert (check.outcome is Outcome.FAILED) is fails


@pytest.mark.parametrize("access", [SharedBandwidth(2e6), TimeDivision(2e6)], ids=["shared", "slots"])
def test_where_a_cost_is_too_flat_to_tell_a_duration_the_prices_of_a_scheme_need_not_add_up(access: Any) -> None:
    """As flat as last digits make it; elsewhere they add up to the budget's, to a millionth."""
    r = round_at(TimePrice(0.5), access=access)
    for times, steep in ((1.0, Outcome.PASSED), (1.0 + 5e-7, Outcome.PASSED), (1.001, Outcome.CLAIMED)):
        allocation = dataclasses.replace(r.allocation, price=times * r.allocation.price)
        other = dataclasses.replace(r, allocation=allocation)
        hidden = 1e-13 + DIGITS * last_digits(other) / r.cost
        assert cost._at_price(other, 0.99 * hidden).outcome is Outcome.PASSED
        assert cost._at_price(other, 1.01 * hidden).outcome is steep


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_cost_above_the_least_by_a_millionth_is_noticed_in_any_unit(unit: float) -> None:
    """Energies so many times as great: of a chip and of a channel."""
    clients = CLIENTS.replace(capacitance=unit * CLIENTS.capacitance, noise_density=unit * CLIENTS.noise_density,
                              power_max=unit * CLIENTS.power_max)  # fmt: skip
    r = round_at(TimePrice(0.5 * unit), clients)
    for more, outcome in ((1.0, Outcome.PASSED), (1.0 + 1e-6, Outcome.FAILED)):
        assert cost.least_cost(dataclasses.replace(r, E=more * r.E))[0].outcome is outcome


@pytest.mark.parametrize("faster", [1.0, 1e3])
def test_a_bracket_beside_the_duration_of_its_price_is_noticed(faster: float) -> None:
    """Of short rounds and of long ones, by a hundred-thousandth; one around it is fine, though it begin at 0."""
    work = dataclasses.replace(WORK, cycles=WORK.cycles / faster, upload_bits=WORK.upload_bits / faster)
    r = round_at(TimePrice(0.5), work=work)
    assert (r.T < 0.1) is (faster > 1.0)
    for low, high, outcome in (
        (1.0, 1.0, Outcome.PASSED), (0.0, 2.0, Outcome.PASSED), (1.0 + 1e-5, 1.0 + 2e-5, Outcome.FAILED),
        (1.0 - 2e-5, 1.0 - 1e-5, Outcome.FAILED), (0.0, 1.0 - 1e-5, Outcome.FAILED),
    ):  # fmt: skip
        other = dataclasses.replace(r, bracket=(low * r.T, high * r.T))
        assert cost._at_price(other, 0.0).outcome is outcome


@pytest.mark.parametrize("watts", [1e-6, 1e-7])
def test_a_circuit_far_above_the_price_leaves_few_digits_of_it(watts: float) -> None:
    """The price as F(x)/gamma - P_c is off by 9e-8 of it; the frequency, well inside its range, fits it to the last
    digit."""
    clients = fedopt.Clients(
        frequency_min=1e6, frequency_max=2e9, capacitance=2e-28, samples=500.0, channel_gain=1e-10, bandwidth=3e5,
        power_max=0.4, circuit_power=1.0,
    )  # fmt: skip
    types = (fedopt.SubModel("one", flops=2e8, upload_bits=2e5),)
    problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts))
    solution = fedopt.solve(problem)
    assert solution.allocation is not None
    assert 2.0 * 2e-28 * solution.allocation.frequency[0] ** 3 == pytest.approx(watts, rel=1e-14)
    report = fedopt.verify(problem, solution)
    assert report.ok, str(report)
