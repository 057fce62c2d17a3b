"""Clients that are alike, partitions too many to list: no price of a replica has some of them flip, but budgets do."""

from __future__ import annotations

import numpy as np
import pytest

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget
from fedopt.problem import Budget

N = 64
IDLE = fedopt.SubModel.idle()


def phones(kinds: int, **more: object) -> fedopt.Clients:
    """As many kinds as there are."""
    gains = 1e-11 * (1.0 + np.arange(N) * kinds // N)
    return fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=np.full(N, 500.0), bandwidth=250e3, channel_gain=gains, **more
    )  # type: ignore[arg-type]


def some(first: int) -> list[list[int]]:
    """Partitions of a replica and more of the first type, and idle clients."""
    return [[m, *[0] * 7, N - m] for m in range(1, first + 1)]


DOWNLOADS = (
    fedopt.SubModel("probe", flops=0, upload_bits=0, download_bits=1e5),
    *(fedopt.SubModel(f"t{k}", flops=1e6 * (k + 1), upload_bits=1e4 * (k + 1)) for k in range(7)),
    IDLE,
)
TRAINED = (*(fedopt.SubModel(f"t{k}", flops=1e7 * (k + 1), upload_bits=1e5 * (k + 1)) for k in range(8)), IDLE)


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize("utility", ["replica_rate", "shortest_round"])
@pytest.mark.parametrize(
    ("types", "budget"),
    [
        (DOWNLOADS, EnergyBudget(0.025)),
        (DOWNLOADS, EnergyBudget(0.205)),
        (DOWNLOADS, PowerBudget(3.0)),
        (TRAINED, EnergyBudget(0.233)),
        (TRAINED, EnergyBudget(1.398)),
        (TRAINED, PowerBudget(0.2)),
    ],
)
def test_a_mixture_of_both_sides_of_a_price_is_found(
    types: tuple[fedopt.SubModel, ...], budget: Budget, utility: str, matching: str, kinds: int
) -> None:
    """No worse than the partitions of one type and idle clients, and within the gap of the bound."""
    clients = phones(kinds, download_rate=1e6, receive_power=0.1, overhead=0.05 if types is DOWNLOADS else 0.0)
    named = fedopt.solve(
        fedopt.Problem(clients, types, budget=budget, utility=utility, partitions=some(N)), matching=matching
    )
    found = fedopt.solve(fedopt.Problem(clients, types, budget=budget, utility=utility), matching=matching)
    assert found.utility >= named.utility - 1e-4 * abs(named.utility)
    assert found.utility <= found.bound <= found.utility + 1.2e-4 * abs(found.utility)


@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize("kinds", [1, 2, N])
def test_at_a_deadline_one_client_is_enough(kinds: int, matching: str) -> None:
    asked = fedopt.Problem(phones(kinds), TRAINED, budget=Deadline(20.0), utility="least_energy")
    one = fedopt.Problem(phones(kinds), TRAINED, budget=Deadline(20.0), utility="least_energy", partitions=some(1))
    found = fedopt.solve(asked, matching=matching)
    assert found.energy == pytest.approx(fedopt.solve(one, matching=matching).energy, rel=1e-9)
    assert found.bound == pytest.approx(-found.energy, rel=1e-9)


@pytest.mark.parametrize("matching", ["exact", "sorted"])
def test_where_nobody_idles_two_types_are_mixed(matching: str) -> None:
    """At one clock, after an overhead that no budget shortens; a replica of two types has other covers."""
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=1e9, samples=np.full(200, 500.0), bandwidth=250e3, channel_gain=1e-11,
        overhead=100.0,
    )  # fmt: skip
    types = tuple(
        fedopt.SubModel(f"t{k}", flops=8e7 / q * (1.0 + 0.02 * (k % 2)), upload_bits=8e5 / q, cover=q)
        for k, q in enumerate((1, 1, 2, 2, 4, 4, 8, 8))
    )
    found = fedopt.solve(fedopt.Problem(clients, types, budget=EnergyBudget(170.0)), matching=matching)
    assert found.utility <= found.bound <= found.utility * (1.0 + 1e-4)
    assert found.partition is not None
    assert sum(count > 0 for count in found.partition) > 1


@pytest.mark.parametrize("joules", [0.004, 0.012, 0.02, 0.04, 0.1])
def test_flat_energies_of_a_few_kinds_always_have_an_answer(joules: float) -> None:
    """What another partition would need, one near it or near the cheapest has; more joules are never worse."""
    rng = np.random.default_rng(3)
    clients = phones(
        2, download_rate=1e6 * np.repeat([1.8, 4.4], N // 2), receive_power=0.05 * rng.integers(1, 4, N), overhead=0.05
    )
    types = (*DOWNLOADS[:4], fedopt.SubModel("pair", flops=5e6, upload_bits=4e5, cover=2), *DOWNLOADS[5:8], IDLE)
    less, more = (fedopt.solve(fedopt.Problem(clients, types, budget=EnergyBudget(f * joules))) for f in (1.0, 1.5))
    assert less.status.solved
    assert more.status.solved
    assert more.utility >= less.utility * (1.0 - 1e-4)
    assert less.utility <= less.bound <= less.utility * (1.0 + 2e-4)


@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize("budget", [EnergyBudget(2.0), EnergyBudget(1e3), PowerBudget(2.0)])
def test_rounds_too_short_for_whole_replicas_hide_none_that_are_longer(budget: Budget, matching: str) -> None:
    """Soon after the start all may have the type that takes three, but 64 of them are no whole replicas: one trains."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1e9, samples=np.append(20.0, np.full(N - 1, 500.0)), bandwidth=250e3,
        channel_gain=1e-9, overhead=0.05, download_rate=1e8,
    )  # fmt: skip
    types = (
        fedopt.SubModel("probe", flops=0, upload_bits=0, download_bits=1e4, cover=3),
        *(fedopt.SubModel(f"t{k}", flops=1e7 * (k + 1), upload_bits=1e4 * (k + 1)) for k in range(7)),
    )
    one = fedopt.Problem(clients, types, budget=budget, partitions=[[N - 1, 1, *[0] * 6]])
    named = fedopt.solve(one, matching=matching)
    found = fedopt.solve(fedopt.Problem(clients, types, budget=budget), matching=matching)
    assert found.utility >= named.utility * (1.0 - 1e-4)
    assert found.utility <= found.bound <= found.utility * (1.0 + 1e-3)
