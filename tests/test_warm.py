"""The search that rules partitions out by proofs, and its warm start: the same answers as the long way."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import devices

COVERS = (1, 2, 4, 8)
TYPES = tuple(
    fedopt.SubModel(name, flops=6.0 * macs, upload_bits=32.0 * weights, cover=cover)
    for name, macs, weights, cover in zip(
        "LMST", (5_673_024, 2_963_520, 2_441_376, 1_481_760), (16_938, 10_010, 6_250, 5_018), COVERS, strict=True
    )
)


def fading(clients: fedopt.Clients, rounds: int, correlation: float, seed: int) -> list[fedopt.Clients]:
    """The fleet in consecutive rounds: Rayleigh fading, the amplitude a first-order Gauss-Markov process."""
    rng, size = np.random.default_rng(seed), len(clients)

    def draw() -> np.ndarray:
        return (rng.standard_normal(size) + 1j * rng.standard_normal(size)) / np.sqrt(2.0)

    z, fleets = draw(), []
    for _ in range(rounds):
        z = correlation * z + np.sqrt(1.0 - correlation**2) * draw()
        fleets.append(clients.replace(channel_gain=clients.channel_gain * np.abs(z) ** 2))
    return fleets


@pytest.mark.parametrize("budget", [fedopt.PowerBudget(10.0), fedopt.PowerBudget(100.0), fedopt.EnergyBudget(400.0)])
def test_twenty_fading_rounds_warm_and_cold_agree(budget: fedopt.problem.Budget) -> None:
    """Same utility to 1e-12, proved both times, with a fraction of the passes; partitions do change on the way."""
    last, partitions, cold_passes, warm_passes = None, set(), 0.0, 0.0
    for clients in fading(devices.phones64(), 21, 0.9, seed=1):
        problem = fedopt.Problem(clients, TYPES, budget=budget)
        cold = fedopt.solve(problem)
        if last is not None:
            warm = fedopt.solve(problem, warm=last)
            assert warm.utility == pytest.approx(cold.utility, rel=1e-12)
            assert warm.bound == pytest.approx(cold.bound, rel=1e-12)
            assert warm.status is cold.status
            assert warm.verdict is not None
            assert warm.verdict.feasible
            cold_passes, warm_passes = cold_passes + cold.stats["passes"], warm_passes + warm.stats["passes"]
        last = cold
        partitions.add(cold.partition)
    assert len(partitions) > 1
    assert warm_passes < 0.5 * cold_passes


def test_a_bad_start_costs_time_only() -> None:
    """Warm from a random matching, from another budget, from an infeasible answer: always the cold answer."""
    clients = devices.phones64()
    problem = fedopt.Problem(clients, TYPES, budget=fedopt.PowerBudget(20.0))
    cold = fedopt.solve(problem)
    starts = [fedopt.solve(problem, matching="random", seed=seed) for seed in range(3)]
    starts += [fedopt.solve(dataclasses.replace(problem, budget=fedopt.PowerBudget(watts))) for watts in (1.0, 500.0)]
    starts += [fedopt.solve(dataclasses.replace(problem, budget=fedopt.EnergyBudget(1e-9)))]
    assert starts[-1].assignment is None
    for start in starts:
        assert fedopt.solve(problem, warm=start).utility == pytest.approx(cold.utility, rel=1e-12)


def test_a_start_that_is_no_candidate_or_meets_no_budget() -> None:
    """The incumbent's partition is not searched, or its matching cannot meet the budget any more."""
    clients = devices.random_fleet(12, seed=3)
    first = fedopt.solve(fedopt.Problem(clients, TYPES[:3], budget=fedopt.PowerBudget(2.0), partitions=[(0, 4, 8)]))
    other = fedopt.Problem(clients, TYPES[:3], budget=fedopt.PowerBudget(2.0), partitions=[(4, 4, 4), (8, 4, 0)])
    assert fedopt.solve(other, warm=first).utility == pytest.approx(fedopt.solve(other).utility, rel=1e-12)
    large = fedopt.solve(fedopt.Problem(clients, TYPES[:3], budget=fedopt.PowerBudget(2.0), partitions=[(12, 0, 0)]))
    poor = fedopt.Problem(clients, TYPES[:3], budget=fedopt.EnergyBudget(0.3 * large.energy))
    assert fedopt.solve(poor, warm=large).utility == pytest.approx(fedopt.solve(poor).utility, rel=1e-12)
    none = dataclasses.replace(poor, budget=fedopt.EnergyBudget(1e-9))
    assert fedopt.solve(none, warm=large).status is fedopt.Status.INFEASIBLE
    assert fedopt.solve(none, warm=large).reason == fedopt.solve(none).reason


@pytest.mark.parametrize("seed", range(6))
def test_screening_loses_no_winner(seed: int) -> None:
    """Random fleets, idle places, tight and loose budgets: the optimum of scipy's assignment in every partition."""
    rng = np.random.default_rng(seed)
    clients = devices.random_fleet(12, seed=seed)
    types = (*TYPES[:3], fedopt.SubModel.idle()) if seed % 2 else TYPES
    whole = fedopt.schedule(clients, clients.workload(types, np.zeros(12, dtype=np.int64)), fedopt.PowerBudget(2.0))
    for share in rng.uniform(0.05, 1.5, 4):
        beta = float(rng.choice([0.5, 1.0, 2.0]))
        for budget in (fedopt.EnergyBudget(share * whole.energy), fedopt.PowerBudget(10.0 ** (4 * share - 2))):
            problem = fedopt.Problem(clients, types, budget=budget, utility=fedopt.ReplicaRate(beta))
            found, truth = fedopt.solve(problem), fedopt.solve(problem, matching="assignment")
            assert found.status.solved == truth.status.solved
            if truth.status.solved:
                assert found.utility == pytest.approx(truth.utility, rel=1e-10)
            again = fedopt.solve(problem, warm=found)
            assert again.utility == pytest.approx(found.utility, rel=1e-12, nan_ok=True)


def test_what_is_kept_stays_and_the_rest_is_the_best() -> None:
    """Kept matching: what schedule() gives its work. Kept partition: solve() of that partition. All judged."""
    fleets = fading(devices.phones64(), 4, 0.9, seed=2)
    for budget in (fedopt.PowerBudget(10.0), fedopt.EnergyBudget(400.0), fedopt.Deadline(30.0), fedopt.TimePrice(5.0)):
        last = fedopt.solve(fedopt.Problem(fleets[0], TYPES[:3], budget=budget, partitions=[(20, 20, 24)]))
        assert last.assignment is not None
        for clients in fleets[1:]:
            problem = fedopt.Problem(clients, TYPES[:3], budget=budget)
            same = fedopt.solve(problem, warm=last, keep="matching")
            round_ = fedopt.schedule(clients, clients.workload(TYPES[:3], last.assignment), budget)
            assert same.status is round_.status
            if not round_.status.solved:
                assert same.reason == round_.reason
                assert same.clients == round_.clients
                continue
            assert (same.assignment == last.assignment).all()
            assert same.duration == round_.duration
            assert same.energy == round_.energy
            assert np.isnan(same.bound)
            part = fedopt.solve(problem, warm=last, keep="partition")
            alone = fedopt.solve(fedopt.Problem(clients, TYPES[:3], budget=budget, partitions=[(20, 20, 24)]))
            assert part.partition == last.partition
            assert part.utility == pytest.approx(alone.utility, rel=1e-9)
            if not isinstance(budget, fedopt.TimePrice):
                assert part.bound == pytest.approx(part.utility, rel=1e-12)
                assert same.utility <= part.utility * (1.0 + 1e-12)
            assert same.stats["seconds"] > 0.0


@pytest.mark.parametrize("keep", ["nothing", "partition", "matching"])
@pytest.mark.parametrize("access", [None, fedopt.SharedBandwidth(1e6), fedopt.TimeDivision(1e6)], ids=str)
def test_a_start_from_no_matching_is_refused(access: Any, keep: str) -> None:
    """Whatever has use for it: types that there are not, fractions, texts, objects, a masked type, other shapes."""
    clients = devices.random_fleet(4, seed=3)
    problem = fedopt.Problem(clients, TYPES[:2], budget=fedopt.PowerBudget(2.0), access=access)
    last = fedopt.solve(problem)
    assert last.assignment is not None
    good = last.assignment
    odd = [good + 2, good - 2, good.astype(float), good.astype(str), good.astype(object), good > 0, good[:, None]]
    odd += [np.ma.array(good, mask=good == good[2]), np.array(0), np.array([0, 1, 0, 2**64 - 1], dtype=np.uint64)]
    for assignment in odd:
        with pytest.raises(fedopt.InputError, match=r"^(warm|warm\.assignment|Solution\.assignment): .*expected "):
            fedopt.solve(problem, warm=dataclasses.replace(last, assignment=assignment), keep=keep)
    for assignment in (good.astype(np.uint8), np.ma.array(good)):
        again = fedopt.solve(problem, warm=dataclasses.replace(last, assignment=assignment), keep=keep)
        assert again.utility == pytest.approx(last.utility, rel=1e-9)


def test_refusals() -> None:
    """Another fleet, something else altogether; nothing to keep."""
    clients = devices.random_fleet(8, seed=3)
    problem = fedopt.Problem(clients, TYPES[:2], budget=fedopt.PowerBudget(2.0))
    last = fedopt.solve(problem)
    fewer = fedopt.Problem(clients.take(slice(0, 6)), TYPES[:2], budget=fedopt.PowerBudget(2.0))
    with pytest.raises(fedopt.InputError, match="6 clients and 2 types"):
        fedopt.solve(fewer, warm=last)
    with pytest.raises(fedopt.InputError, match="8 clients and 3 types"):
        fedopt.solve(fedopt.Problem(clients, TYPES[:3], budget=fedopt.PowerBudget(2.0)), warm=last)
    listed = fedopt.Problem(clients, TYPES[:3], budget=fedopt.PowerBudget(2.0), partitions=[(4, 0, 4), (2, 2, 4)])
    other = fedopt.solve(dataclasses.replace(listed, partitions=[(4, 4, 0)]))  # as many of the first as one that is
    for keep in ("partition", "matching"):
        with pytest.raises(fedopt.InputError, match=r"a partition that Problem.partitions lists, found \(4, 4, 0\)"):
            fedopt.solve(listed, warm=other, keep=keep)
    with pytest.raises(fedopt.InputError, match="a Solution"):
        fedopt.solve(problem, warm="last")  # type: ignore[arg-type]
    with pytest.raises(fedopt.InputError, match="nothing, partition, matching"):
        fedopt.solve(problem, warm=last, keep="clients")
    with pytest.raises(fedopt.InputError, match="decision to keep"):
        fedopt.solve(problem, keep="partition")
    starved = fedopt.solve(dataclasses.replace(problem, budget=fedopt.EnergyBudget(1e-9)))
    with pytest.raises(fedopt.InputError, match="decision to keep"):
        fedopt.solve(problem, warm=starved, keep="matching")
