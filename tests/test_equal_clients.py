"""Many clients alike: what rounding does to sums of equal terms is no accident."""

from __future__ import annotations

import dataclasses
import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from oracle import Fleet

import fedopt
from fedopt import EnergyBudget, TimeDivision
from solvers.matching.least import Least, least_duration
from solvers.rows import Goal


@pytest.mark.parametrize("cycles", [2.0e9, 2.148e9, 2.38e9])
@pytest.mark.parametrize("size", [64, 1024, 4096])
def test_equal_clients_in_turns_are_one_with_its_share_of_the_channel(size: int, cycles: float) -> None:
    """Equal energies are rounded alike, so that their sum is off by much more than that of others, and the bracket of
    the duration with it where time saves little: within it is the duration of the one to 60 digits."""
    one = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=2e9, static_power=0.5, circuit_power=0.3, channel_gain=1e-11, samples=1.0,
        bandwidth=1e6, power_max=1.0,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=cycles, upload_bits=2e5), TimeDivision(1e6 * size)
    alone = one.replace(
        circuit_power=0.3 / size, power_max=1.0 / size
    )  # 1e6 Hz and a slot that lasts size times longer
    least = float(Fleet(alone, work).e_inf)
    for more in (1e-10, 1e-11, 1e-6):
        joules = least * (1.0 + more)
        truth = Fleet(alone, work).schedule(EnergyBudget(joules)).duration
        found = fedopt.schedule(one.take([0] * size), work, EnergyBudget(joules * size), access=access)
        assert found.bracket[0] <= truth <= found.bracket[1]
        assert float(found.bracket[1] - truth) < 1e-4 * float(truth)


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize("access", [None, TimeDivision(4e6)], ids=["own", "turns"])
def test_of_energies_that_differ_by_rounding_the_shortest_round_is_the_best(access: Any, unit: float) -> None:
    """Every partition uses the budget up, so that last bits, and its unit, decided which was the least."""
    types = (
        fedopt.SubModel("whole", flops=3.4e7, upload_bits=5.4e5),
        fedopt.SubModel("half", flops=1.7e7, upload_bits=3.2e5, cover=2),
        fedopt.SubModel("quarter", flops=1.4e7, upload_bits=2e5, cover=4),
    )
    clients = fedopt.Clients(
        frequency_min=0.3e9, frequency_max=2e9, samples=[500.0] * 16, channel_gain=1e-11 / unit, bandwidth=250e3,
        power_max=0.2 * unit, circuit_power=0.02 * unit, capacitance=1e-28 * unit,
    )  # fmt: skip
    partitions, budget = [(8, 8, 0), (4, 4, 8), (0, 0, 16)], EnergyBudget(9.6 * unit)
    each = [
        fedopt.solve(
            fedopt.Problem(clients, types, budget=budget, access=access, partitions=some, utility=fedopt.LeastEnergy())
        )
        for some in (*([one] for one in partitions), partitions)
    ]
    assert [found.energy for found in each] == pytest.approx([9.6 * unit] * 4, rel=1e-12)
    assert each[-1].partition == (0, 0, 16)
    assert each[-1].duration == each[2].duration < 0.5 * min(each[0].duration, each[1].duration)
    if access is None:
        front = fedopt.pareto(each[-1].problem, points=4)  # type: ignore[arg-type]
        assert front.at(budget).partition == (0, 0, 16)


def of_three_kinds(seed: int) -> fedopt.Clients:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, int(rng.integers(8, 24)))
    return fedopt.Clients(
        frequency_min=rng.choice([0.0, 3e8], 3)[kind],
        frequency_max=rng.uniform(1e9, 3e9, 3)[kind],
        samples=(10 ** rng.uniform(1.5, 3.0, 3))[kind],
        channel_gain=(10 ** rng.uniform(-12.0, -10.0, 3))[kind],
        bandwidth=1e6,
        capacitance=(10 ** rng.uniform(-28.5, -27.5, 3))[kind],
        circuit_power=rng.choice([0.0, 0.05], 3)[kind],
        overhead=0.1,
    )


OF_ALL = (
    fedopt.SubModel("whole", flops=34e6, upload_bits=1.2e4),
    fedopt.SubModel("part", flops=6e6, upload_bits=2.2e4),
    fedopt.SubModel("sends", flops=0.0, upload_bits=5.6e4),
)


@pytest.mark.parametrize("method", ["exact", "assignment"])
@pytest.mark.parametrize("seed", [1, 3, 13])
def test_of_matchings_of_equal_energy_one_is_the_answer_whatever_rounding_says_of_their_durations(
    method: str, seed: int
) -> None:
    """Next to the least energy they differ by more than what is looked below; the first one is within the budget."""
    clients, rng = of_three_kinds(seed), np.random.default_rng(seed)
    partitions = sorted({tuple(rng.multinomial(len(clients), [1 / 3] * 3).tolist()) for _ in range(2)})
    problem = fedopt.Problem(clients, OF_ALL, budget=EnergyBudget(1e-9), partitions=partitions)
    least = 1e-9 + fedopt.solve(problem).shortfall
    for more in np.geomspace(1e-7, 1e-4, 16):
        problem = dataclasses.replace(problem, budget=EnergyBudget(least * (1.0 + more)))
        found = fedopt.solve(problem, matching=method)
        assert found.status.solved, (more, found.reason)
        assert found.scope == "all matchings"
        assert fedopt.verify(problem, found).ok


def test_no_partition_is_dropped_where_equal_energies_hide_its_duration() -> None:
    """The one that needs least energy wins by far, and its duration was asked of another matching of that energy."""
    types = (*OF_ALL[:2], dataclasses.replace(OF_ALL[2], cover=2))
    problem = fedopt.Problem(
        of_three_kinds(1), types, budget=EnergyBudget(0.026631655303862963), partitions=[(2, 7, 6), (1, 0, 14)],
        utility=fedopt.ReplicaRate(beta=60.0),
    )  # fmt: skip
    found = fedopt.solve(problem)
    assert found.partition == (2, 7, 6)
    assert found.bound >= fedopt.solve(problem, matching="assignment").utility * (1.0 - 1e-6)
    assert fedopt.verify(problem, found).ok


@pytest.mark.parametrize("method", ["exact", "assignment"])
@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("overhead", [(0.0, 1.0, 4.0), (1.0, 4.0, 0.0), (4.0, 0.0, 1.0)])
def test_of_matchings_that_all_need_the_budget_the_one_that_is_done_first_is_the_answer(
    overhead: tuple[float, ...], counts: tuple[int, ...], method: str
) -> None:
    """Clients alike but for how late they begin: from the end of each round on no time saves energy, and whose just
    below the longest costs the same says nothing of the others."""
    clients = fedopt.Clients(
        frequency_min=5e8, frequency_max=2e9, samples=100, channel_gain=1e-11, bandwidth=1e6, circuit_power=0.05,
        static_power=0.1, overhead=overhead,
    )  # fmt: skip
    types = (*OF_ALL[:1], fedopt.SubModel("sends more", flops=6e6, upload_bits=5.6e4), fedopt.SubModel.idle())
    works = [clients.workload(types, np.array(each)) for each in sorted(set(permutations(np.repeat(range(3), counts))))]
    least = max(fedopt.schedule(clients, work, fedopt.Deadline(1e9)).energy for work in works)
    for more in (0.0, 1e-15, 1e-14):
        budget = EnergyBudget(least * (1.0 + more))
        problem = fedopt.Problem(clients, types, budget=budget, partitions=[counts], utility="shortest_round")
        found = fedopt.solve(problem, matching=method)
        rounds = [fedopt.schedule(clients, work, budget) for work in works]
        assert -found.bound <= min(each.duration for each in rounds if each.status.solved) * (1.0 + 1e-6)
        assert found.status.solved


@pytest.mark.parametrize("slope", [1.0, 1e-4, 1e-6, 1e-8, 1e-12, 5e-15])
def test_what_rounding_hides_below_a_duration_is_left_open(slope: float) -> None:
    """A matching that is too long by a hair, whose energy falls with ``slope``: of others nothing is known as far below
    as that hides in the rounding of energies."""
    one = np.array([0])

    def found(known: Any = None, longer: float = 1e-10) -> Least:
        def match(T: float) -> tuple[Any, float]:
            return one, 2.0 * (1.0 + slope * max(1.0 - T / 10.0, 0.0))

        root = (10.0 + longer, 2.0)
        return least_duration(match, lambda a: root, Goal.ENERGY, 2.0, 1.0, 10.0, lambda: 1.0, known)

    hidden = min(4e-15 / slope, 0.9)
    for answer in (found(), found(one), found(longer=math.inf)):
        open_ = 1.0 - answer.lower / 10.0
        assert open_ <= 1.3 * hidden + 1.1e-9
        assert open_ >= 0.9 * hidden or slope == 1.0
    assert found().assignment is None
    assert found(one).duration == 10.0
    assert found(longer=-1.0).duration == 9.0
