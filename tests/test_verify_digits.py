"""What the verifier leaves to the last digits of an answer: as much as they are worth, and no more."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from fleets import of_kinds

import fedopt
from fedopt import Deadline, SharedBandwidth, TimeDivision
from fedopt.verifier import Outcome, digits
from fedopt.verifier.decision import Round, round_of
from fedopt.verifier.report import About, judged

ULP = 2.0**-52
SCHEMES = [None, SharedBandwidth(2e6), TimeDivision(2e6)]


def decided(access: Any, longer: float = 1.3) -> Round:
    """Two who do both, one who only sends, one who only computes, and one who only receives."""
    instance = of_kinds("typical", 3, ["both", "both", "no work", "no upload", "only a download"])
    clients, work = instance.clients.replace(static_power=0.05, circuit_power=0.02), instance.work
    shortest = fedopt.schedule(clients, work, fedopt.EnergyBudget(float("inf")), access=access).duration
    budget = Deadline(longer * shortest)
    r = round_of(clients, work, budget, access, fedopt.schedule(clients, work, budget, access=access), 1e-9)
    assert isinstance(r, Round)
    return r


def priced(r: Round, factors: list[float]) -> Round:
    return dataclasses.replace(r, allocation=dataclasses.replace(r.allocation, price=r.allocation.price * factors))


def test_a_part_of_the_round_hides_of_its_price_as_much_as_of_its_time() -> None:
    r = decided(None)
    parts, scale = np.array([r.T, 1e-6 * r.T, 0.0]), np.array([2.0, 3.0, 5.0])
    expected = [4.0 * ULP * 2.0 * 2.0, 4.0 * ULP * 3.0 * (1.0 + 1e6), 0.0]
    assert digits.hidden_price(r, scale, parts) == pytest.approx(expected, rel=1e-12, abs=0.0)
    off = digits.beyond(np.array([3.0, -3.0, 0.5, -0.5, 0.0]), np.ones(5))
    assert off.tolist() == [2.0, -2.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_the_last_digits_are_worth_the_prices_of_what_is_done(access: Any) -> None:
    r = decided(access)
    paid = float(r.allocation.price.sum())
    band = r.sharing.bandwidth_price * 2e6 if isinstance(access, SharedBandwidth) and r.sharing else 0.0
    assert paid > 0.0
    assert digits.last_digits(r) == pytest.approx(ULP * (paid * r.T + band), rel=1e-6, abs=0.0)
    nobody = priced(r, [0.0] * 5)
    assert digits.last_digits(nobody) == pytest.approx(ULP * band, rel=1e-12, abs=0.0)
    one = 1.0 if isinstance(access, SharedBandwidth) else 100.0  # there the price of bandwidth holds that of who sends
    assert digits.last_digits(priced(r, [one, one, one, 100.0, one])) == pytest.approx(
        digits.last_digits(r), rel=1e-6, abs=0.0
    )
    less = priced(r, [0.5] * 5)
    assert digits.last_digits(less) == pytest.approx(ULP * (0.5 * paid * r.T + band), rel=1e-6, abs=0.0)
    idle = r.allocation.price.copy()
    idle[4] = 1e30
    busy = dataclasses.replace(r.tasks, busy=np.arange(5) < 4)
    hidden = dataclasses.replace(r, tasks=busy, allocation=dataclasses.replace(r.allocation, price=idle))
    assert digits.last_digits(hidden) == pytest.approx(digits.last_digits(r), rel=1e-6, abs=0.0)


@pytest.mark.parametrize("access", SCHEMES, ids=str)
@pytest.mark.parametrize("energy", [0.0, 50.0])
def test_a_failure_within_the_last_digits_is_not_proved_again_and_no_other(access: Any, energy: float) -> None:
    r = decided(access)
    hidden = (4.0 if access is None else 256.0) * digits.last_digits(r)
    for missing, outcome in ((0.999, Outcome.UNPROVED), (1.001, Outcome.FAILED), (-1.0, Outcome.PASSED)):
        residual = missing * hidden / (energy or 1.0)
        check = judged("a sum", About.OPTIMALITY, residual, 0.0, found="much")
        assert digits.unless_hidden(check, r, energy).outcome is outcome
    whole = judged("a sum", About.OPTIMALITY, float("nan"), 0.0, found="no number")
    assert digits.unless_hidden(whole, r, energy).outcome is Outcome.FAILED


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_who_is_early_has_time_left(access: Any) -> None:
    """Of the round; between slots, of what the last one computes."""
    r = decided(access)
    done = r.tasks.fixed_time + r.t + (0.0 if isinstance(access, TimeDivision) else r.tau)
    end = done.max() if isinstance(access, TimeDivision) else r.T
    assert digits.early(r).tolist() == (done < end * (1.0 - 1e-9)).tolist()
    assert digits.early(r)[4]
    assert not digits.early(r).all()
    idle = dataclasses.replace(r, tasks=dataclasses.replace(r.tasks, busy=np.arange(5) < 4))
    assert not digits.early(idle)[4]
