"""What drawn problems have found, each case reduced to its cause."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import Fleet

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    SharedBandwidth,
    SubModel,
    TimeDivision,
    TimePrice,
    verify,
)
from fedopt.devices.traces import read_sample_counts
from fedopt.testing import _types

ONE = {"frequency_min": 1e8, "frequency_max": [1e9], "samples": 100, "channel_gain": 1e-11, "bandwidth": 1e6}
FULL = SubModel("full", flops=3e7, upload_bits=4e5)
SILENT = SubModel("silent", flops=3e7, upload_bits=0.0)  # computes and sends nothing
SENT = SubModel("sent", flops=0.0, upload_bits=4e5)  # sends and computes nothing


@pytest.mark.parametrize("access", [TimeDivision(1e6), SharedBandwidth(1e6)])
@pytest.mark.parametrize("type_", [SILENT, SENT])
def test_a_single_client_does_one_thing_only(access: Any, type_: SubModel) -> None:
    problem = Problem(fedopt.Clients(**ONE), (type_,), budget=EnergyBudget(10.0), access=access)
    solution = fedopt.solve(problem)
    assert solution.allocation is not None
    assert 1e8 <= solution.allocation.frequency[0] <= 1e9
    assert verify(problem, solution).ok


@pytest.mark.filterwarnings("error")
def test_nothing_to_send_needs_no_channel_whatever_the_power() -> None:
    clients = fedopt.Clients(**{**ONE, "channel_gain": 0.0}, power_max=np.inf)
    problem = Problem(clients, (SILENT,), budget=EnergyBudget(10.0))
    for allocation in ("kernel", "reference", "scipy"):
        solution = fedopt.solve(problem, allocation=allocation)
        assert solution.allocation is not None
        assert solution.allocation.rate[0] == solution.allocation.power[0] == 0.0
        assert verify(problem, solution).ok
    effect = solution.sensitivity
    assert effect.channel_gain[0] == 0.0
    assert effect.samples[0] == pytest.approx(solution.duration / 100, rel=1e-12)  # T = W / f_max


@pytest.mark.parametrize("type_", [FULL, SENT])
@pytest.mark.parametrize("matching", ["exact", "sorted"])
def test_a_front_begins_where_power_without_limit_is_still_worth_it(type_: SubModel, matching: str) -> None:
    clients = fedopt.Clients(**{**ONE, "frequency_max": [1e9, 2e9]}, power_max=np.inf)
    problem = Problem(clients, (type_,), budget=EnergyBudget(10.0))
    front = fedopt.pareto(problem, points=5, matching=matching)
    (curve,) = front.curves
    assert curve.duration.size == 5
    assert (np.diff(curve.energy) < 0.0).all()
    shortest = 3.0 if type_ is FULL else 0.0  # 100 x 3e7 cycles at 1 GHz
    assert shortest < curve.duration[0] < shortest + 1.0
    for T in (0.5 * (shortest + curve.duration[0]), 2.0 * curve.duration[0]):
        direct = fedopt.solve(Problem(clients, (type_,), budget=Deadline(T)), matching=matching)
        assert front.at(Deadline(T)).energy == pytest.approx(direct.energy, rel=1e-12)


def test_the_shortest_round_of_a_dear_second_is_verified_where_nobody_sends() -> None:
    clients = fedopt.Clients(**{**ONE, "frequency_max": [1e9, 2e9]})
    problem = Problem(clients, (SILENT,), budget=TimePrice(100.0), access=SharedBandwidth(1e6))
    solution = fedopt.solve(problem)
    assert solution.duration == pytest.approx(3.0, rel=1e-15)  # the slower one's W / f_max
    assert verify(problem, solution).ok


def test_the_reference_knows_that_no_power_reaches_the_least_duration() -> None:
    clients = fedopt.Clients(**{**ONE, "frequency_max": [1e9, 2e9]}, power_max=np.inf)
    work = fedopt.Workload(cycles=3e9, upload_bits=4e5)
    ours = fedopt.schedule(clients, work, EnergyBudget(1.0))
    theirs = fedopt.schedule(clients, work, EnergyBudget(1.0), allocation="reference")
    assert theirs.status is ours.status is fedopt.Status.OPTIMAL
    assert theirs.duration == pytest.approx(ours.duration, rel=1e-12)
    assert fedopt.allocate(clients, work, duration=3.0, allocation="reference").energy[0] == np.inf


def test_prices_that_the_least_power_leaves_open_are_found_again() -> None:
    problem = Problem(
        fedopt.Clients(**ONE, power_min=0.01), (SENT,), budget=TimePrice(0.01), access=SharedBandwidth(1e6)
    )
    alone = fedopt.solve(Problem(problem.clients, (SENT,), budget=TimePrice(0.01)))
    solution = fedopt.solve(problem)
    assert solution.duration == pytest.approx(alone.duration, rel=1e-12)  # one client has the whole band
    assert verify(problem, solution).ok


@pytest.mark.parametrize("access", [TimeDivision(1e6), SharedBandwidth(1e6)])
def test_a_warm_start_serves_every_method(access: Any) -> None:
    problem = Problem(
        fedopt.Clients(**{**ONE, "frequency_max": [1e9, 2e9]}), (FULL, SILENT), budget=EnergyBudget(5.0), access=access
    )
    cold = fedopt.solve(problem)
    for matching in (None, "sorted"):
        warm = fedopt.solve(problem, matching=matching, warm=cold)
        assert warm.utility == fedopt.solve(problem, matching=matching).utility
    for keep in ("partition", "matching"):
        kept = fedopt.solve(problem, warm=cold, keep=keep)
        assert kept.partition == cold.partition
        assert kept.duration == pytest.approx(cold.duration, rel=1e-9)


def test_a_price_that_is_all_but_nothing_is_not_the_price_of_time() -> None:
    """Where client 1 reaches its least power its price falls to 2e-15 W: 0.05 s behind the best, in a flat second."""
    gain = [float.fromhex(text) for text in ("0x1.b640872d1fd76p-43", "0x1.008c2447f75eap-44", "0x1.465a015ef4ce0p-43")]
    least = [float.fromhex(text) for text in ("0x1.5aec0fd8016cap-5", "0x1.18ecb1b416228p-5", "0x1.42705d813bcb2p-5")]
    clients = fedopt.Clients(
        **{**ONE, "frequency_max": 1e9, "channel_gain": gain}, circuit_power=0.1, power_min=least, power_max=np.inf,
        download_rate=1e6, overhead=0.5,
    )  # fmt: skip
    work, price = fedopt.Workload(cycles=0.0, upload_bits=4e5), TimePrice(0.09877908002032565)
    best = Fleet(clients, work.sized(3)).schedule(price)
    for timing in ("newton", "bisection"):
        found = fedopt.schedule(clients, work, price, timing=timing)
        assert found.duration == pytest.approx(float(best.duration), rel=1e-9)
        assert fedopt.verify_schedule(clients, work, price, found).ok


def test_clients_of_one_number_each_share_the_band_by_their_number() -> None:
    """Four clients alike, of whom only samples that do not matter, or names, say how many they are."""
    one = {**ONE, "frequency_max": 1e9, "frequency_min": 1e9}
    work = fedopt.Workload(cycles=2e9, upload_bits=4e5)
    spread = fedopt.Clients(**{**one, "channel_gain": np.full(4, 1e-11)})
    exact = fedopt.schedule(spread, work, PowerBudget(10.0), access=SharedBandwidth(1e6))
    for more in ({"samples": [100, 200, 300, 400]}, {"name": list("abcd")}):
        clients = fedopt.Clients(**{**one, **more})
        found = fedopt.schedule(clients, work, PowerBudget(10.0), access=SharedBandwidth(1e6))
        assert found.status is exact.status is fedopt.Status.SLACK
        assert found.duration == pytest.approx(exact.duration, rel=1e-12)


@pytest.mark.parametrize("budget", [EnergyBudget(np.inf), PowerBudget(np.inf)], ids=str)
def test_where_neither_power_nor_energy_has_a_limit_it_is_said_what_is_open(budget: Any) -> None:
    clients = fedopt.Clients(**{**ONE, "frequency_max": [1e9, 2e9]}, power_max=np.inf)
    work = fedopt.Workload(cycles=2e9, upload_bits=4e5)
    found = fedopt.schedule(clients, work, budget)
    assert found.bracket[0] == 2.0 < found.duration  # W / f_max
    assert "more power only helps: the best duration is in 2 to" in found.reason
    slotted = fedopt.schedule(clients, work, budget, access=TimeDivision(1e6))
    assert slotted.status is fedopt.Status.LIMIT
    assert slotted.bracket[0] == 2.0 < slotted.duration < 2.01
    assert slotted.verdict is not None
    assert slotted.verdict.feasible


def test_a_price_of_billions_of_watts_hides_some_digits_of_the_dual() -> None:
    """One computes for nearly all of T_min and has ms to send in: its price x T is 4e10 times the energy."""
    clients = fedopt.Clients(
        frequency_min=6.57e7, frequency_max=[6.57e7, 2e9], samples=573, channel_gain=[2e-10, 3e-10], bandwidth=1e6
    )
    type_ = SubModel("half", flops=1.36e7, upload_bits=2.6e5)
    problem = Problem(clients, (type_,), budget=PowerBudget(100.0), access=SharedBandwidth(6e6))
    solution = fedopt.solve(problem)
    assert solution.status is fedopt.Status.SLACK
    assert solution.sharing is not None
    assert solution.sharing.time_price * solution.duration > 1e10 * solution.energy
    assert verify(problem, solution).ok


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), PowerBudget(math.inf)], ids=str)
def test_uploads_alone_without_any_limit_keep_an_answer_in_hand(budget: fedopt.Budget) -> None:
    """No round is the shortest; the answer in hand was one of no time and an energy that is no number."""
    clients = fedopt.Clients(**ONE, power_max=math.inf)
    found = fedopt.schedule(clients, clients.workload([SENT], 0), budget)
    assert found.status is fedopt.Status.LIMIT
    assert 0.0 == found.bracket[0] < found.duration == found.bracket[1]
    assert math.isfinite(found.energy)
    assert "more power only helps" in found.reason


@pytest.mark.parametrize(("text", "line"), [('"client,samples\n1,2\n', 1), ('client,samples\n1,2\n"3,4\n', 3)])
def test_a_quote_without_end_is_refused_in_the_header_too(text: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text(text)
    with pytest.raises(fedopt.InputError, match="comma-separated values") as caught:
        read_sample_counts(tmp_path / "counts.csv")
    assert caught.value.field.startswith(str(tmp_path / "counts.csv"))
    assert caught.value.field.endswith((f"line {line}", f"line {line + 1}"))


def test_drawn_types_fill_a_fleet_of_one() -> None:
    """One that does nothing and one of cover 2: neither is a whole replica for a single client."""
    types = _types([(0.0, 0.0, 1), (2e7, 3e5, 2)], idle=False)
    assert fedopt.solve(Problem(fedopt.Clients(**ONE), types, budget=Deadline(1e3))).allocation is not None


@pytest.mark.parametrize("size", [12, 3000])
def test_no_sorted_matching_in_time_is_infeasible_where_partitions_are_too_many_to_list_too(size: int) -> None:
    """Good channels with slow CPUs can do the small type alone, bad ones with fast CPUs all but that."""
    good = np.arange(size) % 2 == 0
    clients = fedopt.Clients(
        frequency_min=1e7, frequency_max=np.where(good, 1e8, 2e9), samples=100, bandwidth=1e6,
        channel_gain=np.where(good, 1e-9, 1e-15) * np.linspace(1.0, 2.0, size),
    )  # fmt: skip
    sizes = {"L": (2e7, 1e5, 1), "M": (1.5e7, 2e5, 2), "N": (1.4e7, 3e5, 4), "S": (2e6, 5e6, 2)}
    types = tuple(
        SubModel(name, flops=flops, upload_bits=bits, cover=cover) for name, (flops, bits, cover) in sizes.items()
    )
    found = fedopt.solve(Problem(clients, types, budget=Deadline(3.0)), matching="sorted")
    assert found.status is fedopt.Status.INFEASIBLE
    assert "3 s is" in found.reason
    assert fedopt.solve(Problem(clients, types, budget=Deadline(3.0))).status is fedopt.Status.OPTIMAL


@pytest.mark.parametrize(("cover", "limit"), [(1, 83.05), (2, 99.66), (64, math.inf)])
def test_replicas_to_a_power_that_leaves_no_number_are_refused(cover: int, limit: float) -> None:
    """Else all partitions with that many would tie at inf, and the worst of them win."""
    clients, work = (
        fedopt.Clients(**{**ONE, "frequency_max": 1e9, "samples": np.full(64, 50.0)}),
        SubModel("a", flops=2e7, upload_bits=3e5, cover=cover),
    )

    def problem(beta: float) -> fedopt.Problem:
        utility = fedopt.ReplicaRate(beta)
        return fedopt.Problem(clients, (work, fedopt.SubModel.idle()), budget=fedopt.PowerBudget(10.0), utility=utility)

    assert 0.0 < fedopt.solve(problem(min(limit, 1e6) - 0.01)).utility < math.inf
    if limit < math.inf:
        with pytest.raises(
            fedopt.InputError, match=rf"beta: expected at most {limit} \({64 // cover} replicas .*1e\+150"
        ):
            problem(limit + 0.01)


def test_a_round_too_short_for_its_utility_to_be_a_number_claims_nothing() -> None:
    clients = fedopt.Clients(
        frequency_min=0, frequency_max=1e9, samples=[1.0] * 4, channel_gain=1e-10, bandwidth=1e6, download_rate=1e210
    )
    types = tuple(fedopt.SubModel(f"{k}", flops=0.0, upload_bits=0.0, download_bits=1e-100, cover=k) for k in (1, 2))
    found = fedopt.solve(fedopt.Problem(clients, types, budget=fedopt.EnergyBudget(math.inf)))
    assert found.status is fedopt.Status.INACCURATE
    assert "R^beta / T is no number for a round of 1e-310 s" in found.reason
    assert math.isnan(found.bound)
    assert found.utility == math.inf


def test_an_energy_that_the_last_digits_of_a_long_round_hide_is_as_the_search_said() -> None:
    """Sending takes 3e-7 s of 50,000 s at 2 W: the last digit of T is worth more than a millionth of the energy."""
    clients = fedopt.Clients(
        frequency_min=0, frequency_max=[1.5e9] * 3 + [1064987260.0], samples=500, capacitance=2e-28, static_power=0.05,
        channel_gain=1e-11, bandwidth=2.5e5, circuit_power=0.05, power_max=0.2, download_rate=1e7, receive_power=0.05,
        overhead=5e4,
    )  # fmt: skip
    types = (*_types([(2e7, 3e5, 1)] * 2, idle=False), SubModel("little", flops=0.6324555320336759, upload_bits=0.0))
    problem = Problem(clients, types, budget=TimePrice(2.0), utility="least_energy", access=fedopt.TimeDivision(1e6))
    found = fedopt.solve(problem)
    assert found.status is fedopt.Status.OPTIMAL, found.reason
    assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("types", [1, 2])
def test_rounds_whose_fourth_power_is_less_than_any_number_have_a_price_of_time_too(types: int) -> None:
    """At full speed: 1e-99 s, and 1e-100 J of each of two."""
    clients = fedopt.Clients(frequency_min=0, frequency_max=1e9, samples=[1e-90] * 2, channel_gain=1e-10, bandwidth=1e6)
    sizes = tuple(SubModel(str(k), flops=k + 1.0, upload_bits=0.0, download_bits=0.0) for k in range(types))
    found = fedopt.solve(Problem(clients, sizes, budget=TimePrice(1.0)))
    assert found.status is fedopt.Status.OPTIMAL
    assert (found.duration, found.energy) == (pytest.approx(1e-99, rel=1e-12), pytest.approx(2e-100, rel=1e-12))
    assert found.cost_bracket == pytest.approx((1.2e-99, 1.2e-99), rel=1e-9)


@pytest.mark.parametrize("budget", [Deadline(50.0), TimePrice(1.0)])
def test_a_shared_band_where_one_client_begins_after_the_end_in_plain_python_too(budget: fedopt.Budget) -> None:
    clients = fedopt.Clients(**{**ONE, "frequency_max": 1e9, "overhead": [0.0, 100.0]})
    found = fedopt.solve(Problem(clients, (FULL, SubModel.idle()), budget=budget, access=SharedBandwidth(1e6)))
    assert found.status is fedopt.Status.OPTIMAL
    assert found.assignment.tolist() == [0, 1]
