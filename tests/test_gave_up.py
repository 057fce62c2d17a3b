"""Where a wrapped solver gives up, or its answer is not what its own dual supports: a limit, never the best."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, Status, SubModel, TimePrice
from solvers import allocation, duration
from solvers.rows import BackendError, Goal, Point, Rows, Stop

TYPES = (SubModel("whole", flops=1e9, upload_bits=1e6), SubModel("half", flops=5e8, upload_bits=5e5, cover=2))


def pair() -> fedopt.Clients:
    """Two clients without a greatest power: at 1.01 s a whole replica each takes 1e143 J, two halves 0.05 J."""
    return fedopt.Clients(
        frequency_max=[1e9, 2e9], frequency_min=0.0, samples=1, channel_gain=1e-10, bandwidth=2e5, power_max=math.inf
    )


def gives_up_from(call: int) -> Callable[[Rows, float], Point]:
    """The reference, up to a call."""
    reference, calls = allocation.METHODS.get("reference"), [0]

    def allocate(rows: Rows, T: float) -> Point:
        calls[0] += 1
        if calls[0] >= call:
            raise BackendError("gave up")
        return reference(rows, T)

    return allocate


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("timing", ["newton", "bisection"])
def test_level_2_ends_at_a_limit_where_level_3_gives_up(timing: str, call: int) -> None:
    """It raised what the backend did. The passes made until then are told."""
    clients = pair()
    rows = fedopt.rounds.rows_of(clients, fedopt.Workload(cycles=5e8, upload_bits=5e5).sized(2))
    found = duration.METHODS.get(timing)(rows, Goal.ENERGY, 0.1, gives_up_from(call))
    assert (found.stop, found.passes, found.point) == (Stop.LIMIT, call - 1, None)


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), Deadline(1.01), EnergyBudget(1e100)], ids=str)
@pytest.mark.parametrize("timing", ["newton", "bisection", "cvxpy"])
def test_clarabel_gives_up_where_energies_are_beyond_it(timing: str, budget: fedopt.problem.Budget) -> None:
    """As an answer, on every way to it; a matching that was found to be the cheapest has no round then."""
    pytest.importorskip("cvxpy")
    clients = pair()
    work = clients.workload(TYPES, np.zeros(2, dtype=np.int64))
    answer = fedopt.schedule(clients, work, budget, timing=timing, allocation="cvxpy")
    assert answer.status is Status.LIMIT
    assert answer.allocation is None
    problem = Problem(clients, TYPES, budget=budget)
    best = fedopt.solve(problem)
    assert best.status is Status.OPTIMAL
    for matching in ("exact", "assignment", "sorted", "milp"):
        found = fedopt.solve(problem, matching=matching, timing=timing, allocation="cvxpy")
        if found.status is not Status.LIMIT:  # halves at the deadline: of nothing else is anything said
            assert (matching, found.partition, found.scope) == ("sorted", (0, 2), "")
        elif not math.isnan(found.bound):
            assert found.bound >= best.utility
        assert not [
            check for check in fedopt.verify(problem, found).failed if check.about is fedopt.verifier.About.CLAIMS
        ]


def test_a_program_does_not_rule_out_what_level_2_gave_up_on() -> None:
    """Two whole replicas are the cheapest within the deadline, and worth twice as much as the halves in hand."""
    pytest.importorskip("pulp")
    pytest.importorskip("cvxpy")
    problem = Problem(pair(), TYPES, budget=Deadline(1.01))
    found = fedopt.solve(problem, matching="milp", timing="cvxpy", allocation="cvxpy")
    assert (found.status, found.partition) == (Status.LIMIT, (0, 2))
    assert "gave up on other partitions" in found.reason
    assert found.bound == pytest.approx(2.0 * found.utility)
    assert fedopt.verify(problem, found).failed == ()
    exact = fedopt.solve(problem, timing="cvxpy", allocation="cvxpy")  # knows a round of them that has no end here
    assert (exact.status, exact.assignment) == (Status.LIMIT, None)
    assert exact.stats["seconds"] >= exact.stats["seconds_search"] > 0.0


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), PowerBudget(math.inf)], ids=str)
def test_a_program_without_a_limit_has_the_bracket_that_its_bound_is_of(budget: fedopt.problem.Budget) -> None:
    """Its bound is that of T_min; the bracket said nothing, and verify refuted a bound half a per cent above."""
    pytest.importorskip("pulp")
    problem = Problem(pair(), TYPES, budget=budget)
    found = fedopt.solve(problem, matching="milp")
    assert found.status is Status.OPTIMAL
    assert found.bracket[0] == pytest.approx(0.5)
    assert found.bound == pytest.approx(found.partition.replicas / found.bracket[0])
    assert fedopt.verify(problem, found).failed == ()


def drawn(seed: int) -> tuple[fedopt.Clients, fedopt.Workload, float]:
    """Up to four clients, half of the fleets without a greatest power, and a duration up to thirty times T_min."""
    rng = np.random.default_rng(seed)
    size, more = int(rng.integers(1, 5)), float(rng.choice([0.0, 1.0, 2.0]))

    def wide(low: float, high: float) -> np.ndarray:
        return 10 ** rng.uniform(low - more, high + more, size)

    powers = np.where(rng.random(size) < 0.5, math.inf, wide(-2.0, 1.0)) if rng.random() < 0.5 else wide(-2.0, 0.0)
    clients = fedopt.Clients(
        frequency_max=wide(8.7, 9.5), frequency_min=rng.choice([0.0, 1e6]), samples=300.0,
        channel_gain=wide(-12.0, -10.0), bandwidth=wide(5.0, 7.0), power_max=powers,
        static_power=rng.choice([0.0, 0.01]), circuit_power=rng.choice([0.0, 0.01]),
    )  # fmt: skip
    work = fedopt.Workload(cycles=wide(8.0, 9.0) * rng.choice([1.0, 1.0, 0.0]), upload_bits=wide(5.0, 6.0))
    quickest = fedopt.schedule(clients, work, EnergyBudget(math.inf)).duration
    return clients, work, quickest * 10 ** rng.uniform(0.001, 1.5)


@pytest.mark.parametrize("seed", range(40))
def test_what_clarabel_calls_solved_is_within_one_per_cent(seed: int) -> None:
    """Energies of 1e10 J and more, as endless power allows, made rounds up to 1e33 times too long; and exceptions."""
    pytest.importorskip("cvxpy")
    clients, work, T = drawn(seed)
    there = fedopt.schedule(clients, work, Deadline(T))
    if not there.status.solved or there.energy > 1e140:
        return
    price = max(float(there.allocation.price.sum()), 1e-6)
    for budget in (EnergyBudget(there.energy), EnergyBudget(1e20 * there.energy), PowerBudget(there.energy / T),
                   Deadline(T), TimePrice(min(price, 1e200))):  # fmt: skip
        ours = fedopt.schedule(clients, work, budget)
        found = fedopt.schedule(clients, work, budget, timing="cvxpy")
        assert (found.status is Status.INFEASIBLE) == (ours.status is Status.INFEASIBLE)
        if not found.status.solved:
            continue
        if isinstance(budget, TimePrice):
            cost = [answer.energy + budget.watts * answer.duration for answer in (found, ours)]
            assert cost[0] <= cost[1] * (1.0 + 1e-3)
        elif isinstance(budget, Deadline):
            assert found.energy == pytest.approx(ours.energy, rel=2e-5)
        else:
            assert found.duration == pytest.approx(ours.duration, rel=1e-2)
