"""How much the searches of level 1 look at: a slower one shows as a number, on any machine."""

from __future__ import annotations

import pytest
from test_many_partitions import budgets, instances

import fedopt
from fedopt import devices
from solvers.matching import exact

MORE = 1.02  # times as much as when this was written: another machine rounds otherwise
POWER, ENERGY, DEADLINE, PRICE = range(4)
WORK = [  # budget, utility, matching, how: partitions solved, matchings, passes over the rows, of six fleets together
    (POWER, "replica_rate", "exact", "one by one", (61, 86, 6203)),
    (ENERGY, "replica_rate", "exact", "one by one", (48, 191, 5182)),
    (DEADLINE, "replica_rate", "exact", "one by one", (10, 2437, 14459)),
    (POWER, "replica_rate", "exact", "level by level", (6, 67, 1132)),
    (ENERGY, "replica_rate", "exact", "level by level", (6, 50, 1105)),
    (POWER, "replica_rate", "exact", "unlisted", (6, 47, 472)),
    (ENERGY, "replica_rate", "exact", "unlisted", (4, 58, 504)),
    (DEADLINE, "replica_rate", "exact", "unlisted", (3, 6, 32)),
    (PRICE, "replica_rate", "exact", "unlisted", (28, 155, 6118)),
    (DEADLINE, "least_energy", "exact", "unlisted", (3, 7, 32)),
    (POWER, "replica_rate", "sorted", "one by one", (10, 0, 585)),
    (ENERGY, "replica_rate", "sorted", "one by one", (5, 0, 440)),
    (DEADLINE, "replica_rate", "sorted", "one by one", (2, 0, 387)),
    (POWER, "replica_rate", "sorted", "unlisted", (6, 0, 464)),
    (DEADLINE, "least_energy", "sorted", "unlisted", (2, 0, 36)),
]


@pytest.mark.parametrize(("kind", "utility", "matching", "how", "expected"), WORK)
def test_a_search_looks_at_no_more_than_when_this_was_written(
    kind: int, utility: str, matching: str, how: str, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "unlisted":
        monkeypatch.setattr("fedopt.candidates.too_many", lambda clients, types: True)
    if how == "level by level":
        monkeypatch.setattr(exact, "MANY", 0)
    found = []
    for _, clients, types, factor in instances(6):
        problem = fedopt.Problem(clients, types, budget=budgets(clients, types, factor)[kind], utility=utility)
        found.append(fedopt.solve(problem, matching=matching).stats)
    for name, most in zip(("solved", "matchings", "passes"), expected, strict=True):
        assert sum(stats[name] for stats in found) <= MORE * most, name


def test_the_least_duration_of_a_partition_takes_few_matchings() -> None:
    """Budgets from tight to slack; without leaning to the other end some take four hundred."""
    types = tuple(
        fedopt.SubModel(name, flops=3.4e7 / cover, upload_bits=5.4e5 / cover, cover=cover)
        for name, cover in zip("LMST", (1, 2, 4, 8), strict=True)
    )
    taken = [
        fedopt.solve(
            fedopt.Problem(devices.random_fleet(24, seed=seed), types, budget=budget, partitions=[(8, 8, 8, 0)])
        ).stats["matchings"]
        for seed in range(1, 30, 4)
        for watts in (0.3, 1.0, 3.0, 10.0, 30.0)
        for budget in (fedopt.PowerBudget(watts), fedopt.EnergyBudget(20.0 * watts))
    ]
    assert sum(taken) <= MORE * 446
    assert max(taken) <= 25
