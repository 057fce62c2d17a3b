"""The search at the edges: power without limit, rounds of no time, budgets of nothing, no numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matchings import best_utility, every_matching

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, Status, TimeDivision, TimePrice

BUDGETS = (EnergyBudget(1.0), PowerBudget(1.0), TimePrice(1.0), TimePrice(1e-9))
NO_FLOPS = fedopt.Workload(cycles=0.0, upload_bits=1e5)


def loud(size: int, **fields: object) -> fedopt.Clients:
    """Clients whose transmit power has no limit."""
    rng = np.random.default_rng(3)
    columns = {
        "frequency_min": 1e8,
        "frequency_max": rng.uniform(0.8e9, 2.5e9, size),
        "samples": rng.integers(200, 1500, size),
        "channel_gain": 10.0 ** rng.uniform(-12.0, -9.0, size),
        "bandwidth": 3e4,
        "power_max": math.inf,
    }
    return fedopt.Clients(**{**columns, **fields})


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("overhead", [0.0, 0.5])
@pytest.mark.parametrize("circuit_power", [0.0, 0.1])
def test_an_upload_alone_with_power_without_limit_is_not_sent_in_no_time(
    budget: object, overhead: float, circuit_power: float
) -> None:
    clients = loud(2, overhead=overhead, circuit_power=circuit_power)
    found = fedopt.schedule(clients, NO_FLOPS, budget)  # type: ignore[arg-type]
    other = fedopt.schedule(clients, NO_FLOPS, budget, timing="bisection")  # type: ignore[arg-type]
    assert found.status is other.status is Status.OPTIMAL
    assert found.duration > overhead
    assert found.duration == pytest.approx(other.duration, rel=1e-8)
    assert found.energy == pytest.approx(other.energy, rel=1e-8)
    if circuit_power == 0.0:  # all send for all of the time there is: E = sum of tau (e^(a / tau) - 1) / gamma
        tau, a = found.duration - overhead, 1e5 * math.log(2.0) / clients.bandwidth
        gamma = clients.channel_gain / (clients.noise_density * clients.bandwidth)
        assert found.energy == pytest.approx(float((tau * np.expm1(a / tau) / gamma).sum()), rel=1e-9)


def test_with_no_time_left_to_send_in_the_energy_is_endless() -> None:
    found = fedopt.allocate(loud(2, overhead=0.5), NO_FLOPS, duration=0.5)
    assert np.isposinf(found.energy).all()


@pytest.mark.parametrize("seconds", [0.5, 0.5 * (1.0 + 1e-5)])
def test_a_deadline_that_leaves_no_time_to_send_in_is_infeasible_whatever_the_power(seconds: float) -> None:
    """T_min = 0.5 s is not reached; 5 us later a = 2.3 s asks for e^462,000 W, which no double says."""
    clients, deadline = loud(2, overhead=[0.5, 0.1]), Deadline(seconds)
    for timing in ("newton", "bisection"):
        found = fedopt.schedule(clients, NO_FLOPS, deadline, timing=timing)
        assert (found.status, found.shortfall, found.clients) == (Status.INFEASIBLE, 0.0, (0, 1))
        assert math.isnan(found.duration)
        assert f"client 0 has {seconds - 0.5:.6g} s to send" in found.reason
        assert fedopt.verify_schedule(clients, NO_FLOPS, deadline, found).ok
    problem = fedopt.Problem(clients, (fedopt.SubModel("L", flops=0, upload_bits=1e5),), budget=deadline)
    for matching in ("exact", "sorted", "marginal", "assignment"):
        answer = fedopt.solve(problem, matching=matching)
        assert (answer.status, answer.shortfall, answer.clients) == (Status.INFEASIBLE, 0.0, (0, 1))
        assert f"client 0 has {seconds - 0.5:.6g} s to send" in answer.reason
        assert fedopt.verify(problem, answer).ok


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("watts", [0.01, 0.5, 20.0])
def test_at_a_price_of_time_the_best_matching_is_found_though_the_shortest_round_takes_endless_energy(
    size: int, watts: float
) -> None:
    types = (
        fedopt.SubModel("large", flops=4.6e7, upload_bits=4.7e4),
        fedopt.SubModel("small", flops=9.8e6, upload_bits=1e6),
    )
    clients = loud(size)
    for counts in {counts for counts, _ in every_matching(size, types)}:
        problem = fedopt.Problem(clients, types, budget=TimePrice(watts), partitions=[counts])
        cheapest = math.inf
        for given, assignment in every_matching(size, types):
            if given == counts:
                found = fedopt.schedule(clients, clients.workload(types, assignment), problem.budget)
                cheapest = min(cheapest, found.energy + watts * found.duration)
        low, cost = fedopt.solve(problem).cost_bracket
        assert cost == pytest.approx(cheapest, rel=1e-9)
        assert low == pytest.approx(cost, rel=1e-9)  # and proved


@pytest.mark.parametrize("timing", ["newton", "bisection"])
def test_a_budget_of_nothing_that_the_shortest_round_keeps_is_slack(timing: str) -> None:
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=1e9, samples=1, channel_gain=[1e-10, 1e-10], bandwidth=1e6,
        power_min=0.2, power_max=0.2, download_rate=1e6,
    )  # fmt: skip
    receiving = fedopt.Workload(cycles=0.0, upload_bits=0.0, download_bits=1e5)
    for budget in (EnergyBudget(0.0), PowerBudget(0.0)):
        found = fedopt.schedule(clients, receiving, budget, timing=timing)
        assert (found.status, found.duration, found.energy) == (Status.SLACK, pytest.approx(0.1), 0.0)
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)  # there is nothing to decide: E is E_inf at every duration
    least = fedopt.schedule(clients, work, EnergyBudget(1e9)).energy
    assert fedopt.schedule(clients, work, EnergyBudget(least * (1.0 + 1e-15)), timing=timing).status is Status.SLACK
    assert fedopt.schedule(clients, work, PowerBudget(0.0), timing=timing).status is Status.INFEASIBLE


def test_milp_knows_rounds_of_no_time() -> None:
    pytest.importorskip("pulp")
    types = (
        fedopt.SubModel("A", flops=0, upload_bits=0, download_bits=1e5),
        fedopt.SubModel("B", flops=1e7, upload_bits=1e5),
    )
    problem = fedopt.Problem(loud(3, power_max=0.2), types, budget=EnergyBudget(5.0))
    assert fedopt.solve(problem, matching="milp").utility == fedopt.solve(problem).utility == math.inf


def test_an_idle_place_is_smaller_than_one_that_only_receives() -> None:
    types = (fedopt.SubModel("listens", flops=0, upload_bits=0, download_bits=1e5), fedopt.SubModel.idle())
    clients = loud(3, channel_gain=[1e-12, 1e-10, 1e-11], download_rate=1e5)
    for order in (types, types[::-1]):
        counts = [1 if s.is_idle else 2 for s in order]
        problem = fedopt.Problem(clients, order, budget=EnergyBudget(1.0), partitions=[counts])
        found = fedopt.solve(problem, matching="sorted").assignment
        assert found is not None
        assert [order[k].is_idle for k in found] == [True, False, False]  # the worst channel rests


@pytest.mark.parametrize(
    "value", [None, "1", 1j, np.ones(2), [1.0], True, math.nan, 10**400], ids=lambda v: repr(v)[:20]
)
@pytest.mark.parametrize("matching", ["exact", "sorted", "random"])
def test_a_utility_that_is_no_number_is_refused(value: object, matching: str) -> None:
    types = (fedopt.SubModel("L", flops=1e7, upload_bits=1e5),)
    problem = fedopt.Problem(loud(2), types, budget=EnergyBudget(5.0), utility=lambda p, T, E: value)  # type: ignore[arg-type,return-value]
    with pytest.raises(fedopt.InputError, match=r"Problem\.utility: expected a number") as raised:
        fedopt.solve(problem, matching=matching)
    assert len(str(raised.value)) < 300
    good = fedopt.Problem(loud(2), types, budget=EnergyBudget(5.0), utility=lambda p, T, E: np.float64(-T))
    assert fedopt.solve(good, matching=matching).utility < 0.0


@pytest.mark.parametrize("value", [None, "1", np.ones(2)], ids=repr)
def test_a_front_refuses_a_utility_that_is_no_number(value: object) -> None:
    types = (fedopt.SubModel("L", flops=1e7, upload_bits=1e5),)
    clients = loud(2, power_max=0.2)
    problem = fedopt.Problem(
        clients,
        types,
        budget=EnergyBudget(5.0),
        partitions=[(2,)],
        utility=lambda p, T, E: value,  # type: ignore[arg-type,return-value]
    )
    with pytest.raises(fedopt.InputError, match=r"Problem\.utility: expected a number"):
        fedopt.pareto(problem, points=3).at(EnergyBudget(5.0))


@pytest.mark.parametrize("points", [1, 10_001, 10**9, 10**400, 2.0, "3", None, True], ids=lambda p: repr(p)[:12])
def test_a_front_has_at_most_ten_thousand_points(points: object) -> None:
    types = (fedopt.SubModel("L", flops=1e7, upload_bits=1e5),)
    with pytest.raises(fedopt.InputError, match=r"points: expected a whole number of at least 2 and at most 10,000"):
        fedopt.pareto(fedopt.Problem(loud(2), types, budget=EnergyBudget(5.0)), points=points)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [("progress", value) for value in (3, "yes", np.ones(3))]
    + [("keep", value) for value in (None, "all", "Matching", 1, "")]
    + [("time_limit", value) for value in (-1.0, math.nan, math.inf, "1", True, np.ones(2))]
    + [("gap", value) for value in (-1.0, math.nan, math.inf, "1", None)],
    ids=str,
)
def test_arguments_of_a_search_that_cannot_be_right_are_refused(name: str, value: object) -> None:
    types = (fedopt.SubModel("L", flops=1e7, upload_bits=1e5),)
    problem = fedopt.Problem(loud(2), types, budget=EnergyBudget(5.0))
    with pytest.raises(fedopt.InputError, match=f"^{name}: expected"):
        fedopt.solve(problem, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("matching", ["sorted", "marginal", "random"])
def test_a_rule_of_thumb_does_not_call_a_problem_impossible_that_another_matching_solves(matching: str) -> None:
    types = (fedopt.SubModel("L", flops=5e7, upload_bits=1e4), fedopt.SubModel("S", flops=1e6, upload_bits=1e4))
    clients = loud(2, channel_gain=[2e-10, 1e-10], capacitance=[4e-28, 1e-29], power_max=0.2, samples=500)
    problem = fedopt.Problem(clients, types, budget=EnergyBudget(1e-9), partitions=[(1, 1)])
    found = fedopt.solve(problem, matching=matching)
    assert found.status is Status.INFEASIBLE
    assert f"Only {matching} matchings were tried" in found.reason
    assert "were tried" not in fedopt.solve(problem).reason


@pytest.mark.parametrize(
    ("access", "matching"),
    [(None, "sorted"), (None, "random"), (TimeDivision(1e6), "sorted"), (SharedBandwidth(1e6), "sorted")],
)
def test_who_is_out_of_reach_of_one_type_alone_may_be_helped_by_another_matching(access: Any, matching: str) -> None:
    """Not where no type reaches, nor where the one that does has no places."""
    clients = loud(3, channel_gain=[0.0, 1e-11, 2e-11], power_max=0.2)
    sends = fedopt.SubModel("sends", flops=2e7, upload_bits=3e5)
    for other, counts, hedged in (
        (fedopt.SubModel("computes", flops=3e7, upload_bits=0.0), (2, 1), True),
        (fedopt.SubModel("computes", flops=3e7, upload_bits=0.0), (3, 0), False),
        (fedopt.SubModel("sends too", flops=3e7, upload_bits=1e5), (2, 1), False),
    ):
        problem = fedopt.Problem(clients, (sends, other), budget=PowerBudget(100.0), access=access, partitions=[counts])
        found = fedopt.solve(problem, matching=matching)
        assert found.status is Status.INFEASIBLE
        assert found.reason.startswith("Infeasible: no duration suffices for client 0")
        assert (f"Only {matching} matchings were tried: others may meet it." in found.reason) is hedged


@pytest.mark.parametrize("access", [TimeDivision(1e6), SharedBandwidth(1e6)])
@pytest.mark.parametrize("budget", [EnergyBudget(20.0), PowerBudget(3.0), Deadline(60.0)], ids=str)
@pytest.mark.parametrize("listed", [[(2, 1)], [(3, 0), (2, 1)]])
def test_on_a_shared_channel_the_matching_is_found_that_has_all_within_reach(
    listed: list[tuple[int, int]], budget: Any, access: Any
) -> None:
    """The sorted one and the marginal ones leave a client to the type that it cannot send: against all there are."""
    clients = loud(3, channel_gain=[0.0, 1e-11, 2e-11], power_max=0.2)
    types = (
        fedopt.SubModel("sends", flops=2e7, upload_bits=3e5),
        fedopt.SubModel("computes", flops=3e7, upload_bits=0.0),
    )
    problem = fedopt.Problem(clients, types, budget=budget, access=access, partitions=listed)
    each = [
        fedopt.schedule(clients, clients.workload(types, np.array(matching)), budget, access=access)
        for matching in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert [one.status.solved for one in each] == [True, False, False]
    found = fedopt.solve(problem)
    assert found.partition == (2, 1)
    assert found.duration == pytest.approx(each[0].duration, rel=1e-9)
    kept = fedopt.solve(problem, warm=found, keep="partition")
    assert kept.duration == pytest.approx(found.duration, rel=1e-9)


@pytest.mark.parametrize("budget", [EnergyBudget(20.0), PowerBudget(3.0), Deadline(60.0)], ids=str)
def test_power_without_limit_against_all_matchings(budget: object) -> None:
    types = (
        fedopt.SubModel("send", flops=0.0, upload_bits=2e5),
        fedopt.SubModel("L", flops=2e7, upload_bits=5e4, cover=2),
    )
    problem = fedopt.Problem(loud(4), types, budget=budget)  # type: ignore[arg-type]
    found = fedopt.solve(problem)
    assert found.utility == pytest.approx(best_utility(problem)[0], rel=1e-9)
    assert found.bound == pytest.approx(found.utility, rel=1e-9)
