"""The verifier at a price of time: kinks and steep prices are proved, another duration is not; who pays for nothing."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import Outcome

AT_F_MIN = (  # both bounds an ulp away: prices that add up to 49 W
    {
        "frequency_min": [0.0, 15800720678.454517], "frequency_max": [676045587.4487553, 158007206784.54517],
        "channel_gain": [3.586658034800674e-18, 7.262380661833378e-17],
        "bandwidth": [8797415.812578427, 181183.9832786388],
        "capacitance": [1.352477750998214e-31, 6.221610272717163e-30],
        "power_max": [693.3362675871366, 0.00013900191379809463], "circuit_power": [0.0, 0.02716100286430779],
    },
    {"cycles": [360183626393.58813, 77324609.6], "upload_bits": 38418.953214, "download_bits": 0.0},
    0.3690884362963602,
)  # fmt: skip
AT_P_MIN = (
    {
        "frequency_min": [160405890.82309738, 1199263059.7835028],
        "frequency_max": [1604058908.2309737, 2398526119.5670056],
        "channel_gain": [3.405754518555953e-13, 3.406837531528526e-11],
        "bandwidth": [643723.7324124577, 551266.198470179],
        "capacitance": [3.808849774484448e-29, 2.6215760253400386e-28],
        "power_max": [0.9259414191773935, 0.7909593162808617], "power_min": [0.9259414191773935, 0.39547965814043085],
    },
    {"cycles": [188407835.0, 768714740.0], "upload_bits": 1049817.05042012, "download_bits": 0.0},
    0.5,
)  # fmt: skip
STEEP = (  # two compute for all but a millisecond of six hours
    {
        "frequency_min": 0.0, "frequency_max": [10795488.31072505, 10795488.31072505, 13489614212.294632],
        "channel_gain": [6.694558794873657e-07, 6.694558794873657e-07, 5.6896232203156096e-11],
        "bandwidth": [1223911.8710666974, 1223911.8710666974, 81900.13769403106],
        "capacitance": [3.3076102329174724e-31, 3.3076102329174724e-31, 2.936669225879421e-32],
        "power_max": [305.65435346373573, 305.65435346373573, 17.306632113693585],
        "circuit_power": [0.026802328033873002, 0.026802328033873002, 0.0],
    },
    {"cycles": [237650223e3, 237650223e3, 291090659e3], "upload_bits": 23645.03865732, "download_bits": 0.0},
    6.612673582172034e-06,
)  # fmt: skip
SCHEMES = [None, SharedBandwidth(3e6), TimeDivision(3e6)]


def phones(**changes: Any) -> fedopt.Clients:
    columns = {"frequency_max": [1e9, 1.5e9, 2e9, 1.2e9], "channel_gain": [1e-11, 3e-11, 2e-11, 1e-11]}
    more = {"frequency_min": 0.0, "samples": [300.0, 500.0, 400.0, 350.0], "bandwidth": 1e6}
    return fedopt.Clients(**{**columns, **more, **changes})


def failed(clients: fedopt.Clients, work: fedopt.Workload, budget: Any, answer: Any, access: Any) -> set[str]:
    return {check.name for check in fedopt.verify_schedule(clients, work, budget, answer, access=access).failed}


def priced(answer: fedopt.Schedule, price: np.ndarray) -> fedopt.Schedule:
    """The answer with other prices of time, and their sum."""
    assert answer.allocation is not None
    sharing = answer.sharing and dataclasses.replace(answer.sharing, time_price=float(price.sum()))
    return dataclasses.replace(answer, allocation=dataclasses.replace(answer.allocation, price=price), sharing=sharing)


@pytest.mark.parametrize(("columns", "work", "watts"), [AT_F_MIN, AT_P_MIN, STEEP], ids=["f_min", "p_min", "steep"])
def test_a_cost_is_proved_where_no_double_of_the_duration_has_the_prices(
    columns: dict[str, Any], work: dict[str, Any], watts: float
) -> None:
    clients, todo = fedopt.Clients(samples=1.0, **columns), fedopt.Workload(**work)
    for factor in (1.0, 0.7, 1.1):
        budget = TimePrice(watts * factor)
        answer = fedopt.schedule(clients, todo, budget)
        assert fedopt.verify_schedule(clients, todo, budget, answer).complete
        for longer in (1e-3, -1e-3):
            beside = Deadline(answer.duration * (1.0 + longer))
            other = fedopt.schedule(clients, todo, beside)
            if other.status.solved:
                assert "duration at its price" in failed(clients, todo, budget, other, None)


@pytest.mark.parametrize("off", [1e-5, -1e-5, 1e-3, -1e-3])
@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_the_best_duration_of_another_price_of_time_is_not_that_of_this_one(access: Any, off: float) -> None:
    """The cost is flat where it is least: of an error of 1e-5 in the price it loses 1e-11."""
    clients = phones()
    work = clients.workload([fedopt.SubModel("one", flops=3e7, upload_bits=5e5)], np.zeros(4, dtype=np.int64))
    budget = TimePrice(0.1)
    right = fedopt.schedule(clients, work, budget, access=access)
    assert fedopt.verify_schedule(clients, work, budget, right, access=access).complete
    other = fedopt.schedule(clients, work, TimePrice(0.1 * (1.0 + off)), access=access)
    report = fedopt.verify_schedule(clients, work, budget, other, access=access)
    assert not report.complete
    check = next(check for check in report.checks if check.name == "duration at its price")
    assert check.outcome is (Outcome.FAILED if access is None else Outcome.CLAIMED)
    unsaid = dataclasses.replace(other, bracket=(math.nan, math.nan))
    report = fedopt.verify_schedule(clients, work, budget, unsaid, access=access)
    assert next(check for check in report.checks if check.name == "duration at its price").outcome is Outcome.NOTHING


@pytest.mark.parametrize("access", SCHEMES, ids=str)
def test_the_price_of_an_idle_client_hides_nothing(access: Any) -> None:
    clients = phones()
    types = [fedopt.SubModel("one", flops=3e7, upload_bits=5e5), fedopt.SubModel.idle()]
    work = clients.workload(types, np.array([0, 0, 0, 1]))
    budget = EnergyBudget(2.0)
    right = fedopt.schedule(clients, work, budget, access=access)
    late = fedopt.schedule(clients, work, Deadline(1.5 * right.duration), access=access)
    forged = dataclasses.replace(late, bracket=(late.duration, late.duration))
    assert late.allocation is not None
    for watts in (5.0, 1e30):
        price = late.allocation.price.copy()
        price[3] = watts
        wrong = failed(clients, work, budget, priced(forged, price), access)
        assert wrong >= {"who is early pays nothing", "no shorter round"}


def test_who_ends_computing_last_at_full_speed_hides_no_haste_of_others() -> None:
    """Between slots: T_min is the last one's, who may pay any price; the others gain nothing by full speed."""
    clients, access, budget = phones(), TimeDivision(3e6), EnergyBudget(1e3)
    work = clients.workload([fedopt.SubModel("one", flops=3e7, upload_bits=5e5)], np.zeros(4, dtype=np.int64))
    right = fedopt.schedule(clients, work, budget, access=access)
    assert right.status is Status.SLACK
    assert not failed(clients, work, budget, right, access)
    a = right.allocation
    assert a is not None
    last = int(np.argmax(a.price))
    f = clients.frequency_max
    t = work.cycles / f
    energy = a.energy + clients.capacitance * work.cycles * (f**2 - a.frequency**2)
    marginals = 2.0 * clients.capacitance * f**3
    for watts in (0.0, 1e25):
        price = marginals + np.where(np.arange(4) == last, watts, 0.0)
        hasty = dataclasses.replace(a, frequency=f, compute_time=t, energy=energy)
        forged = priced(dataclasses.replace(right, allocation=hasty, energy=float(energy.sum())), price)
        wrong = failed(clients, work, budget, forged, access)
        assert wrong >= {"who is early pays nothing", "least energy in this time"}


@pytest.mark.parametrize("watts", [1e-5, 1e-7, 1e-9, 1e-11, 1e-13])
def test_what_is_early_hides_nothing_of_the_price_of_who_pays(watts: float) -> None:
    """One of many still saves by a later end; the others, whose circuits draw power, were done long before."""
    saves = np.arange(60) == 0
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=500.0, channel_gain=1e-11, bandwidth=2e5,
        static_power=np.where(saves, 0.0, 0.1), circuit_power=np.where(saves, 0.0, 0.02),
    )  # fmt: skip
    work, budget = fedopt.Workload(cycles=np.full(60, 5e9), upload_bits=5e5), TimePrice(watts)
    right = fedopt.schedule(clients, work, budget)
    assert right.allocation is not None
    assert np.flatnonzero(right.allocation.price).tolist() == [0]
    assert fedopt.verify_schedule(clients, work, budget, right).complete
    for longer in (1e-8, 1e-6, 1e-2, 0.5, -1e-6, -1e-2):
        other = fedopt.schedule(clients, work, Deadline(right.duration * (1.0 + longer)))
        forged = dataclasses.replace(other, bracket=(other.duration, other.duration))
        assert "duration at its price" in failed(clients, work, budget, forged, None), longer


@pytest.mark.parametrize("circuit", [0.02, 1e2])
def test_a_price_far_below_what_circuits_draw_is_not_proved_again(circuit: float) -> None:
    """Neither that it is met nor that it is not: F(x)/gamma - P_c has no digits of it; a price near P_c has all."""
    clients = phones(circuit_power=circuit)
    work = clients.workload([fedopt.SubModel("one", flops=3e7, upload_bits=5e5)], np.zeros(4, dtype=np.int64))
    for part, sure in ((1e-2, True), (1e-12, False), (1e-14, False)):
        budget = TimePrice(part * circuit)
        right = fedopt.schedule(clients, work, budget)
        outcomes = []
        for T in (right.duration, right.duration * (1.0 + 1e-8)):
            other = fedopt.schedule(clients, work, Deadline(T))
            forged = dataclasses.replace(other, bracket=(T, T))
            checks = fedopt.verify_schedule(clients, work, budget, forged).checks
            outcomes.append(next(check.outcome for check in checks if check.name == "duration at its price"))
        assert outcomes == ([Outcome.PASSED, Outcome.FAILED] if sure else [Outcome.UNPROVED] * 2), part
