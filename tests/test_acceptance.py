"""Cases with known answers, typed from the project's acceptance.md: its cases B (eight clients) and C (counts).

Every number must be met to the digits shown there: half a unit of the last one.
"""

from __future__ import annotations

import numpy as np
import pytest
from fleets import mnist_types

import fedopt
from fedopt import EnergyBudget, PowerBudget, Status
from fedopt.submodels import all_partitions, partition_count
from solvers.allocation import METHODS as ALLOCATIONS
from solvers.duration import METHODS as TIMINGS

# acceptance.md, case B: (partition, budget [W], T_min [s], duration [s], energy [J]); slack where T = T_min.
CASE_B = [
    ((2, 2, 4, 0), 1.25, 10.666327965, 18.931925365, 23.664906706),
    ((2, 2, 4, 0), 12.5, 10.666327965, 10.666327965, 74.707993899),
    ((8, 0, 0, 0), 1.25, 10.692733618, 27.528388808, 34.410486010),
    ((0, 8, 0, 0), 1.25, 5.589973786, 14.383465283, 17.979331604),
]
# acceptance.md, case B, "At T = 20 s with (2,2,4,0)".
ENERGY_AT_20 = 21.201792345
GIGAHERTZ_AT_20 = [1.597259, 1.597711, 0.834351, 0.834518, 0.687189, 0.687288, 0.687388, 0.687490]
MEGABIT_AT_20 = [16.832988, 14.320365, 10.233875, 9.075090, 7.482137, 6.758900, 6.154742, 5.639700]
PRICE_AT_20 = 2.122863466
SHOWN = 5.1e-10  # half a unit of the ninth decimal


def eight_clients() -> fedopt.Clients:
    """Distances 60, 100, ..., 340 m, gain -(128.1 + 37.6 log10 d_km) dB, 1 MHz each, noise 10^-17.4 mW/Hz exactly."""
    kilometres = np.arange(60, 341, 40) / 1000.0
    return fedopt.Clients(
        frequency_min=0.3e9,
        frequency_max=3e9,
        capacitance=1e-28,
        samples=937,
        channel_gain=10.0 ** (-(128.1 + 37.6 * np.log10(kilometres)) / 10.0),
        bandwidth=1e6,
        noise_density=10.0**-20.4,
        power_max=0.2,
    )


def sorted_work(partition: tuple[int, ...]) -> fedopt.Workload:
    """The sorted matching: the nearest clients train the largest types."""
    return eight_clients().workload(mnist_types(), np.repeat(np.arange(4), partition))


@pytest.mark.parametrize(("partition", "watts", "t_min", "duration", "energy"), CASE_B)
@pytest.mark.parametrize("timing", [name for name in TIMINGS.names if name != "cvxpy"])
def test_case_b_schedules(
    timing: str, partition: tuple[int, ...], watts: float, t_min: float, duration: float, energy: float
) -> None:
    found = fedopt.schedule(eight_clients(), sorted_work(partition), PowerBudget(watts), timing=timing)
    assert found.status is (Status.SLACK if duration == t_min else Status.OPTIMAL)
    assert found.duration == pytest.approx(duration, rel=0, abs=SHOWN)
    assert found.energy == pytest.approx(energy, rel=0, abs=SHOWN)
    least = fedopt.schedule(eight_clients(), sorted_work(partition), EnergyBudget(1e9), timing=timing)
    assert least.duration == pytest.approx(t_min, rel=0, abs=SHOWN)


@pytest.mark.parametrize(("partition", "watts", "t_min", "duration", "energy"), CASE_B)
def test_case_b_by_the_cone_program(
    partition: tuple[int, ...], watts: float, t_min: float, duration: float, energy: float
) -> None:
    """cvxpy with Clarabel gives the least duration to 2e-5 (acceptance.md, case B)."""
    pytest.importorskip("cvxpy")
    found = fedopt.schedule(eight_clients(), sorted_work(partition), PowerBudget(watts), timing="cvxpy")
    assert found.status.solved
    assert found.duration == pytest.approx(duration, rel=2e-5)
    assert found.energy == pytest.approx(energy, rel=2e-5 if duration > t_min else 2e-3)


@pytest.mark.parametrize(("partition", "watts", "t_min", "duration", "energy"), CASE_B)
def test_case_b_through_the_whole_search(
    partition: tuple[int, ...], watts: float, t_min: float, duration: float, energy: float
) -> None:
    problem = fedopt.Problem(
        eight_clients(), mnist_types((1, 2, 4, 4)), budget=PowerBudget(watts), partitions=[partition]
    )
    found = fedopt.solve(problem, matching="sorted")
    assert found.status is (Status.SLACK if duration == t_min else Status.OPTIMAL)
    assert found.partition == partition
    assert found.assignment is not None
    assert found.assignment.tolist() == np.repeat(np.arange(4), partition).tolist()
    assert found.duration == pytest.approx(duration, rel=0, abs=SHOWN)
    assert found.energy == pytest.approx(energy, rel=0, abs=SHOWN)
    replicas = sum(n / q for n, q in zip(partition, (1, 2, 4, 4), strict=True))
    assert found.utility == pytest.approx(replicas / duration, rel=1e-10)


@pytest.mark.parametrize("method", [name for name in ALLOCATIONS.names if name != "cvxpy"])
def test_case_b_at_twenty_seconds(method: str) -> None:
    found = fedopt.allocate(eight_clients(), sorted_work((2, 2, 4, 0)), duration=20.0, allocation=method)
    assert found.energy.sum() == pytest.approx(ENERGY_AT_20, rel=0, abs=SHOWN)
    assert found.price.sum() == pytest.approx(PRICE_AT_20, rel=0, abs=SHOWN)
    np.testing.assert_allclose(found.frequency / 1e9, GIGAHERTZ_AT_20, rtol=0, atol=5.1e-7)
    np.testing.assert_allclose(found.rate / 1e6, MEGABIT_AT_20, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize(
    ("clients", "covers", "count"),
    [(64, (1, 2, 4, 8), 969), (64, (1, 2, 4, 4), 1785), (8, (1, 2, 4, 4), 14), (8, (1, 2, 4, 8), 10)],
)
def test_case_c_partition_counts(clients: int, covers: tuple[int, ...], count: int) -> None:
    types = mnist_types(covers)
    rows = all_partitions(clients, types)
    assert partition_count(clients, types) == len(rows) == count
    assert len(np.unique(rows, axis=0)) == count
    assert np.all(rows.sum(axis=1) == clients)
    assert np.all(rows % np.array(covers) == 0)


@pytest.mark.parametrize(("counts", "replicas"), [((16, 16, 16, 16), 30), ((32, 16, 8, 8), 43)])
def test_case_c_replicas(counts: tuple[int, ...], replicas: int) -> None:
    assert fedopt.Partition(counts, mnist_types((1, 2, 4, 8))).replicas == replicas
