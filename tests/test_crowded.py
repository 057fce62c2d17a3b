"""Counts that cannot be met: least feasible durations against every matching; reasons that name who and where."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import fedopt
from solvers.matching.hall import least_feasible

LARGE, SMALL = (fedopt.SubModel(name, flops=flops, upload_bits=1e5) for name, flops in (("large", 4e7), ("small", 1e7)))


def test_least_feasible_is_the_least_greatest_time_of_every_matching() -> None:
    """Random times with ties, pairs that never fit and types without places; and the crowd is one too many."""
    rng = np.random.default_rng(0)
    for turn in range(300):
        types, size = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        times = rng.integers(1, 9, (types, size)).astype(float) if turn % 2 else rng.random((types, size))
        times[rng.random((types, size)) < 0.2] = math.inf
        counts = np.bincount(rng.integers(0, types, size), minlength=types)
        allowed = (
            a for a in itertools.product(range(types), repeat=size) if (np.bincount(a, minlength=types) == counts).all()
        )
        expected = min(times[list(a), np.arange(size)].max() for a in allowed)
        found = least_feasible(times, counts)
        assert found.duration == expected
        assert found.places == counts[found.within].sum()
        assert not (found.within & (counts == 0)).any()  # types that nobody is to have crowd nobody
        below = expected * (1.0 - 1e-9) if expected < math.inf else 1e9
        who = found.rows(below)
        assert len(who) > found.places
        outside = (counts > 0) & ~found.within
        assert (times[outside][:, who] > below).all()


def _fleet(fast: int, slow: int) -> fedopt.Clients:
    """Slow clients need four times as long for a model."""
    hertz = np.array([4e9] * fast + [1e9] * slow)
    return fedopt.Clients(
        frequency_min=0.0, frequency_max=hertz, capacitance=1e-28, samples=500, channel_gain=1e-9, bandwidth=1e6
    )


def test_a_deadline_that_too_few_places_allow() -> None:
    """Seven slow clients do the large model in 20 s, the small one in 5 s, and there are four small places."""
    clients = _fleet(3, 7)
    problem = fedopt.Problem(clients, (LARGE, SMALL), budget=fedopt.Deadline(12.0), partitions=[(6, 4)])
    for matching in ("exact", "assignment"):
        found = fedopt.solve(problem, matching=matching)
        assert found.status is fedopt.Status.INFEASIBLE
        assert set(found.clients) == set(range(3, 10))
        upload = 1e5 / (1e6 * np.log2(1.0 + 1e-9 * 0.2 / (3.981e-21 * 1e6)))
        assert found.shortfall == pytest.approx(20.0 + upload - 12.0, rel=1e-9)
        assert "7 clients fit only small, where there are 4 places; elsewhere client 3 needs 20." in found.reason
    enough = fedopt.Problem(
        clients, (LARGE, SMALL), budget=fedopt.Deadline(12.0 + found.shortfall), partitions=[(6, 4)]
    )
    assert fedopt.solve(enough).status.solved
    roomy = fedopt.Problem(clients, (LARGE, SMALL), budget=fedopt.Deadline(12.0), partitions=[(3, 7)])
    assert fedopt.solve(roomy).status.solved


def test_clients_out_of_reach_and_one_idle_place() -> None:
    """Two clients without a channel, one idle place: no duration suffices, whatever the budget."""
    gain = np.full(10, 1e-9)
    gain[[2, 5]] = 0.0
    clients, types = _fleet(5, 5).replace(channel_gain=gain), (LARGE, SMALL, fedopt.SubModel.idle())
    for budget in (fedopt.Deadline(1e3), fedopt.PowerBudget(10.0), fedopt.EnergyBudget(1e3), fedopt.TimePrice(1.0)):
        found = fedopt.solve(fedopt.Problem(clients, types, budget=budget, partitions=[(4, 5, 1), (9, 1, 0)]))
        assert found.status is fedopt.Status.INFEASIBLE
        assert found.shortfall == math.inf
        assert found.clients == (2, 5)
    one = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(10.0), partitions=[(4, 5, 1)])
    assert "2 clients fit only idle, where there is 1 place; elsewhere client 2 gain 0" in fedopt.solve(one).reason
    two = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(10.0), partitions=[(4, 4, 2)])
    assert fedopt.solve(two).status.solved


@pytest.mark.parametrize("seed", range(4))
def test_an_energy_that_no_matching_has(seed: int) -> None:
    """The shortfall is to the least possible energy of the best matching, not of a rule's."""
    rng = np.random.default_rng(seed)
    clients = fedopt.Clients(
        frequency_min=rng.uniform(0.5e9, 1e9, 6),
        frequency_max=2e9,
        capacitance=rng.uniform(0.5e-28, 3e-28, 6),
        samples=rng.integers(200, 900, 6),
        channel_gain=10.0 ** rng.uniform(-12.0, -9.0, 6),
        bandwidth=1e6,
        circuit_power=0.1,
    )
    problem = fedopt.Problem(clients, (LARGE, SMALL), budget=fedopt.EnergyBudget(1e-6), partitions=[(3, 3)])
    energies = []
    for assignment in set(itertools.permutations((0, 0, 0, 1, 1, 1))):
        work = clients.workload((LARGE, SMALL), np.array(assignment))
        energies.append(fedopt.schedule(clients, work, fedopt.Deadline(1e6)).energy)
    found = fedopt.solve(problem)
    assert found.shortfall == pytest.approx(min(energies) - 1e-6, rel=1e-9)
    for factor, solved in ((1.0 + 1e-9, True), (1.0 - 1e-9, False)):
        budget = fedopt.EnergyBudget(factor * min(energies))
        again = fedopt.solve(fedopt.Problem(clients, (LARGE, SMALL), budget=budget, partitions=[(3, 3)]))
        assert again.status.solved is solved
