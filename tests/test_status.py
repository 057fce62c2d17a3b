"""R6: honest status. Feasible, slack and infeasible, by margins of 1e-2 down to 1e-14, in every family.

Within some 1e-13 of E_inf, where the rounding of the energy hides more than 1 % of the duration, that is what is said.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
from fleets import FAMILIES, make, mnist_types
from mpmath import mpf
from oracle import INF, Answer, Fleet

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status
from solvers.duration.verdicts import KNOWN, Seen, bracket

EPS = mpf(2) ** -52
MARGINS = [10.0**-k for k in range(2, 15, 2)]
HIDDEN = 1e-12  # within this of E_inf a double need not show the duration


def near_the_limits(fleet: Fleet, margin: float) -> Iterator[tuple[Any, Status]]:
    """Budgets just to either side of T_min, of E(T_min) and of E_inf, each with the status it must get."""

    def rounded(value: Any) -> float:
        return float(value)

    most = fleet.energy(fleet.t_min)
    yield Deadline(rounded(fleet.t_min * (1 - mpf(margin)))), Status.INFEASIBLE
    yield Deadline(rounded(fleet.t_min * (1 + mpf(margin)))), Status.OPTIMAL
    if 0 < most < INF:
        yield EnergyBudget(rounded(most * (1 + mpf(margin)))), Status.SLACK
        yield PowerBudget(rounded(most / fleet.t_min * (1 + mpf(margin)))), Status.SLACK
        yield PowerBudget(rounded(most / fleet.t_min * (1 - mpf(margin)))), Status.OPTIMAL
    if most > fleet.e_inf * (1 + 2 * mpf(margin)):
        yield EnergyBudget(rounded(most * (1 - mpf(margin)))), Status.OPTIMAL
    if fleet.e_inf > 0:
        yield EnergyBudget(rounded(fleet.e_inf * (1 - mpf(margin)))), Status.INFEASIBLE
        if most > fleet.e_inf * (1 + 2 * mpf(margin)):
            yield EnergyBudget(rounded(fleet.e_inf * (1 + mpf(margin)))), Status.OPTIMAL


def check(family: str, seed: int, size: int) -> int:
    instance = make(family, seed, size)
    fleet = Fleet(instance.clients, instance.work)
    tried = 0
    for margin in MARGINS[: -2 if family == "extreme" else None]:  # extreme energies are promised to 1e-11 only
        for budget, status in near_the_limits(fleet, margin):
            found = fedopt.schedule(instance.clients, instance.work, budget)
            where = f"{budget}, margin {margin:g}: {found.status.name} {found.reason}"
            if found.status is Status.LIMIT:
                assert isinstance(budget, EnergyBudget), where
                assert budget.joules <= fleet.e_inf * (1 + HIDDEN), where
                assert found.bracket[1] - found.bracket[0] > KNOWN * found.duration, where
                assert "rounding leaves" in found.reason, where
            else:
                assert found.status is status, where
            tried += 1
            if status is Status.INFEASIBLE:
                assert math.isnan(found.duration), where
                assert found.shortfall > 0.0, where
                continue
            assert found.verdict is not None
            assert found.verdict.feasible, where
            assert fleet.t_min * (1 - mpf("1e-15")) <= found.duration, where
    return tried


@pytest.mark.parametrize("family", FAMILIES)
def test_the_status_is_right_however_small_the_margin(family: str) -> None:
    assert sum(check(family, seed, 1 + seed % 3) for seed in range(6)) >= 130


def check_bracket(found: fedopt.Schedule, best: Answer) -> None:
    """The best duration is in the bracket; where the answer is called the best, within 1 % and all digits there are."""
    low, high = found.bracket
    assert low <= best.duration * (1 + EPS)
    assert best.duration <= high * (1 + EPS)
    assert low <= found.duration <= high
    narrow = high - low <= KNOWN * found.duration
    assert found.status is Status.LIMIT or (narrow and found.status.solved), found.reason
    if found.status is not Status.LIMIT:
        assert abs(found.duration / best.duration - 1) <= KNOWN


def check_near(fleet: Fleet, clients: fedopt.Clients, work: fedopt.Workload, timing: str, margins: list[int]) -> int:
    """Budgets by 10^-k above E_inf, and to both sides of E(T_min), against 60 digits."""
    most, tried = fleet.energy(fleet.t_min), 0
    for k in margins:
        budgets = [fleet.e_inf * (1 + mpf(10) ** -k)]
        if 0 < most < INF:
            budgets += [most * (1 - mpf(10) ** -k), most * (1 + mpf(10) ** -k)]
        for joules in budgets:
            budget = EnergyBudget(float(joules))
            best = fleet.schedule(budget)
            if best.status == "infeasible":
                continue
            found = fedopt.schedule(clients, work, budget, timing=timing)
            if found.status is Status.INFEASIBLE:
                assert budget.joules <= fleet.e_inf * (1 + 16 * EPS), found.reason
            else:
                check_bracket(found, best)
            tried += 1
    return tried


@pytest.mark.parametrize("timing", ["newton", "bisection"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_called_optimal_is_known(family: str, timing: str) -> None:
    for seed in range(2):
        instance = make(family, seed, 1 + 2 * seed)
        fleet = Fleet(instance.clients, instance.work)
        assert check_near(fleet, instance.clients, instance.work, timing, [4, 9, 12, 13, 14, 15]) > 0


@pytest.mark.parametrize("T", [0.5, 1.0, 1e6])
@pytest.mark.parametrize("share", [0.0, 1e-9, 1e-4])
def test_a_bracket_holds_the_root_of_what_it_has_seen_of_a_curve(T: float, share: float) -> None:
    """E = 1/T J and a budget of 1/r J, so r is the best duration; what was seen may be off by ``hidden``."""
    hidden = share / T
    for r in (0.75 * T, 0.999 * T, T, 1.001 * T, 1.02 * T):
        for off in (-hidden, 0.0, hidden):
            here = Seen(T, 1.0 / T - 1.0 / r + off, T**-2)
            early = Seen(0.9 * T, 1.0 / (0.9 * T) - 1.0 / r, (0.9 * T) ** -2) if r > 0.9 * T else None
            low, high = bracket(hidden, 0.1 * T, 7.0 * T, early, here)
            assert low <= min(r, T) * (1.0 + 4e-16)
            assert max(r, T) <= high * (1.0 + 4e-16)
            tangent = T + (here.excess - hidden) * T**2
            chord = 0.9 * T + (early.excess - hidden) * (0.9 * T) ** 2 if early else -math.inf
            assert low == pytest.approx(min(max(0.1 * T, tangent, chord), T), rel=1e-12)
            if here.excess + hidden <= 0.0:
                assert high == T
            else:
                beyond = 2.0 * (here.excess + hidden) * T**2
                assert high == pytest.approx(T + beyond if beyond <= 0.005 * T else 7.0 * T, rel=1e-12)


@pytest.mark.parametrize("timing", ["newton", "bisection"])
def test_a_duration_at_a_kink_just_above_the_least_energy(timing: str) -> None:
    """Behind the kink E falls by 3e-15 of itself over as long again: T_flat is 88 % too long, yet all but as cheap."""
    instance = make("extreme", 4, 5)
    fleet = Fleet(instance.clients, instance.work)
    budget = EnergyBudget(float(fleet.e_inf * (1 + mpf("1e-14"))))
    best, found = fleet.schedule(budget), fedopt.schedule(instance.clients, instance.work, budget, timing=timing)
    assert fleet.t_flat > 1.8 * best.duration
    assert found.status is Status.OPTIMAL
    assert abs(found.duration / best.duration - 1) < 1e-7
    check_bracket(found, best)


@pytest.mark.parametrize("timing", ["newton", "bisection"])
@pytest.mark.parametrize(
    ("family", "seed"), [("powers", 614), ("powers", 624), ("wide", 614), ("bounds", 612), ("typical", 639)]
)
def test_a_budget_an_ulp_above_the_least_energy_is_met_at_t_flat(family: str, seed: int, timing: str) -> None:
    """Where E(T_flat) rounds to more than the budget, no longer round helps and none shorter is enough."""
    instance = make(family, seed, 3).one(0)
    clients = instance.clients.replace(
        frequency_min=0.1 * instance.clients.frequency_max, power_min=0.1 * instance.clients.power_max
    )
    fleet = Fleet(clients, instance.work)
    assert fleet.t_flat > 1.01 * fleet.t_min
    for ulps in range(float(fleet.e_inf) < fleet.e_inf, 6):
        budget = EnergyBudget(float(fleet.e_inf) * (1.0 + ulps * float(EPS)))
        found = fedopt.schedule(clients, instance.work, budget, timing=timing)
        if found.status is Status.INFEASIBLE:  # E_inf itself is rounded
            assert ulps <= 4, found.reason
            assert "endless" not in found.reason
            assert abs(found.shortfall) <= 4 * EPS * fleet.e_inf
            continue
        assert found.status is Status.OPTIMAL, found.reason
        check_bracket(found, fleet.schedule(budget))
        assert found.stats["passes"] <= (20 if timing == "newton" else 60)


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
@pytest.mark.parametrize("matching", ["exact", "assignment", "milp"])
def test_what_the_best_matching_spends_without_haste_is_budget_enough(matching: str, family: str) -> None:
    """Given as a budget it is an ulp or two less than the E_inf of the same matching, at times: all know it as that."""
    if matching == "milp":
        pytest.importorskip("pulp")
    for seed in range(100, 105):
        clients = make(family, seed, 3 + seed % 6).clients
        unlimited = fedopt.Problem(clients=clients, submodels=mnist_types(), budget=EnergyBudget(math.inf))
        rest = Deadline(1e3 * fedopt.solve(unlimited).duration)
        best = fedopt.solve(dataclasses.replace(unlimited, budget=rest, utility="least_energy"))
        assert best.partition is not None
        enough = dataclasses.replace(unlimited, budget=EnergyBudget(best.energy), utility="shortest_round")
        for partitions in (None, (best.partition,)):
            problem = dataclasses.replace(enough, partitions=partitions)
            found = fedopt.solve(problem, matching=matching)
            assert fedopt.verify(problem, found).ok, (seed, str(fedopt.verify(problem, found)))
            if found.status is Status.INFEASIBLE:
                assert "only an endless round reaches" in found.reason, (seed, found.reason)
                continue
            if matching == "milp" and found.status is Status.LIMIT:  # its gap hides what others may be worth
                assert found.bound > found.utility * (1.0 - KNOWN), (seed, found.reason)
                continue
            assert found.status.solved, (seed, found.reason)
            assert found.energy == pytest.approx(best.energy, rel=1e-13)
            assert found.duration <= best.duration * (1.0 + KNOWN)
            assert not found.bracket[0] < found.duration * (1.0 - KNOWN), (seed, found.bracket)


def test_a_budget_nearer_the_least_energy_than_the_mixed_integer_solver_sees() -> None:
    """Its matching is too dear by less than its gap: the answer is that of the transportation problem."""
    pytest.importorskip("pulp")
    clients = make("bounds", 100, 7).clients
    unlimited = fedopt.Problem(clients=clients, submodels=mnist_types(), budget=EnergyBudget(math.inf))
    rest = Deadline(1e3 * fedopt.solve(unlimited).duration)
    best = fedopt.solve(dataclasses.replace(unlimited, budget=rest, utility="least_energy"))
    for share, solved in ((1.0, True), (1.0 - 1e-11, False), (0.9, False)):
        budget = EnergyBudget(share * best.energy)
        problem = dataclasses.replace(unlimited, budget=budget, utility="shortest_round")
        exact, found = (fedopt.solve(problem, matching=matching) for matching in ("exact", "milp"))
        assert (exact.status.solved, found.status.solved) == (solved, solved), share
        assert fedopt.verify(problem, found).ok, share
        if not solved:
            assert found.shortfall == pytest.approx(exact.shortfall, rel=1e-9), share
            continue
        assert found.duration == pytest.approx(exact.duration, rel=1e-9)
        assert not found.bound < exact.utility  # whatever is claimed


@pytest.mark.nightly("R6", 1250)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_status_is_right_very_often(family: str) -> None:
    assert sum(check(family, seed, 1 + seed % 3) for seed in range(100, 142)) >= 1250
