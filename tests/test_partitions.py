"""Partitions: counted, enumerated in order, and bounded, against brute force and the number of ways to give change."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

import fedopt
from fedopt.submodels import MAX_PARTITIONS, MAX_PLACES, all_partitions, partition_count, too_many


def types_of(covers: tuple[int, ...], idle: int = 0) -> list[fedopt.SubModel]:
    working = [fedopt.SubModel(f"type {k}", flops=1.0, upload_bits=1.0, cover=q) for k, q in enumerate(covers)]
    return [*working, *(fedopt.SubModel.idle(f"idle {k}") for k in range(idle))]


def brute_force(clients: int, covers: tuple[int, ...], idle: int) -> list[tuple[int, ...]]:
    """Every product of multiples, filtered: largest first type first."""
    choices = (range(0, clients + 1, q) for q in (*covers, *[1] * idle))
    return sorted((c for c in itertools.product(*choices) if sum(c) == clients and any(c[: len(covers)])), reverse=True)


@pytest.mark.parametrize("idle", [0, 1, 2])
@pytest.mark.parametrize("covers", [(1,), (2,), (1, 2, 4, 8), (3, 2), (5, 7, 2), (2, 1, 1), (100, 1, 3), (2, 4, 6)])
def test_every_partition_once_and_in_order(covers: tuple[int, ...], idle: int) -> None:
    for clients in range(1, 13):
        expected = brute_force(clients, covers, idle)
        types = types_of(covers, idle)
        assert partition_count(clients, types) == len(expected)
        if expected:
            assert [tuple(row) for row in all_partitions(clients, types).tolist()] == expected
        else:
            with pytest.raises(fedopt.InputError, match="can fill"):
                all_partitions(clients, types)


def test_a_thousand_clients_are_enumerated() -> None:
    types = types_of((1, 2, 4, 8))
    rows = all_partitions(1024, types)
    assert len(rows) == partition_count(1024, types)
    assert len(rows) == sum(1 + (1024 - 8 * e - 4 * s) // 2 for e in range(129) for s in range((1024 - 8 * e) // 4 + 1))
    assert (rows.sum(axis=1) == 1024).all()
    assert (rows % (1, 2, 4, 8) == 0).all()
    assert (np.lexsort(-rows.T[::-1]) == np.arange(len(rows))).all()  # largest first type first


def test_dead_ends_cost_nothing() -> None:
    """Only 1,002 partitions, though the first two types alone could be combined in 500 million ways."""
    assert len(all_partitions(1_000_000, types_of((1_000, 1, 1_000_000)))) == 1_002


def test_counts_beyond_the_doubles_are_exact() -> None:
    assert partition_count(500, types_of((1,) * 20)) == comb(519, 19)  # stars and bars
    assert partition_count(500, types_of((1,) * 19, idle=1)) == comb(519, 19) - 1


@pytest.mark.parametrize(("clients", "found"), [(2048, "22,632,705"), (1_000_000, "2.6e+15")])
def test_too_many_partitions_are_refused_at_once(clients: int, found: str) -> None:
    types = types_of((1, 2, 4, 8))
    count = partition_count(clients, types)
    assert count > MAX_PARTITIONS
    fleet = fedopt.Clients(
        frequency_min=0.0, frequency_max=[1e9] * clients, samples=1.0, channel_gain=1e-10, bandwidth=1e6
    )
    problem = fedopt.Problem(fleet, types, budget=fedopt.Deadline(1.0))
    with pytest.raises(fedopt.InputError) as caught:
        problem.candidates()
    assert f"{count:,}" == found or f"{count:.3g}" == found
    assert f"found {found} for {clients} clients" in str(caught.value)
    assert "partitions=[...]" in str(caught.value)
    assert len(fedopt.Problem(fleet, types, budget=fedopt.Deadline(1.0), partitions=[(clients, 0, 0, 0)]).candidates())


def test_a_search_of_hours_is_refused_at_once() -> None:
    """Half a million partitions of a million clients: too many, with their number and the way out."""
    types = (
        fedopt.SubModel("L", flops=2e7, upload_bits=2e5),
        fedopt.SubModel("M", flops=1e7, upload_bits=1e5, cover=2),
    )
    with pytest.raises(fedopt.InputError, match=r"partitions=\[\.\.\.\].*500,001 partitions of 1,000,000 clients"):
        all_partitions(1_000_000, types)
    assert too_many(1_000_000, types)


def test_partitions_times_clients_have_their_own_limit() -> None:
    """N // 2 + 1 partitions of N clients: the most clients that are listed, and one more."""
    types = types_of((1, 2))
    most = next(n for n in itertools.count(100_000) if (n // 2 + 1) * n > MAX_PLACES) - 1
    assert len(all_partitions(most, types)) == most // 2 + 1 < MAX_PARTITIONS
    for clients, refused in ((most, False), (most + 1, True)):
        assert too_many(clients, types) == refused
