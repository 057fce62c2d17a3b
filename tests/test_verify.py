"""The verifier: what every method finds passes, and a single wrong number does not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, Instance, make
from matchings import BUDGETS, TYPES, budget_of, fleet
from test_invariants import rescaled

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, Solution, TimePrice, devices
from fedopt.verifier import About, Outcome

SIZE = 6
IDLE = fedopt.SubModel.idle()
ACCESS = {"shared": fedopt.SharedBandwidth(2e5), "slots": fedopt.TimeDivision(2e5)}


def problem_of(name: str, seed: int = 1, **more: Any) -> Problem:
    clients = fleet(SIZE, seed)
    return Problem(clients, TYPES, **{"budget": budget_of(name, clients), **more})


def outcomes(report: fedopt.Report) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def test_the_equations_of_the_verifier_are_the_models() -> None:
    """Its own level 3 against the 60-digit oracle; its inverse of F against F itself."""
    oracle = pytest.importorskip("oracle")
    from fedopt.verifier import model

    x = np.geomspace(1e-12, 600.0, 200)
    np.testing.assert_allclose(model.inverse_marginal(model.marginal(x)), x, rtol=1e-13)
    for family in FAMILIES:
        instance = make(family, 5, 6)
        tasks = model.tasks_for(instance.clients, instance.work, instance.clients.bandwidth)
        truth = oracle.Fleet(instance.clients, instance.work).least(instance.duration)
        energy = [float(best.energy) for best in truth]
        np.testing.assert_allclose(model.best(tasks, instance.duration).energy, energy, rtol=1e-11)
        proved = model.proved_energy(tasks, instance.duration)
        assert proved == pytest.approx(math.fsum(energy), rel=1e-10)


@pytest.mark.parametrize("matching", ["exact", "sorted", "marginal", "random", "assignment"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_what_every_matching_finds_is_verified(budget: str, matching: str) -> None:
    if matching == "assignment" and budget == "price":
        pytest.skip("no price of time")
    for seed, types in ((1, TYPES), (2, (*TYPES[1:3], IDLE))):
        problem = dataclasses.replace(problem_of(budget, seed), submodels=types)
        solution = fedopt.solve(problem, matching=matching)
        report = fedopt.verify(problem, solution)
        assert report.ok, str(report)
        assert report.complete, str(report)


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_shared_uplinks_are_verified(budget: str, access: str) -> None:
    problem = problem_of(budget, access=ACCESS[access])
    report = fedopt.verify(problem, fedopt.solve(problem))
    assert report.ok, str(report)


@pytest.mark.parametrize("utility", ["shortest_round", "least_energy", fedopt.ReplicaRate(2.0)])
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_utility_is_verified(budget: str, utility: Any) -> None:
    for matching in ("exact", "sorted"):
        problem = problem_of(budget, utility=utility)
        report = fedopt.verify(problem, fedopt.solve(problem, matching=matching))
        assert report.ok, str(report)


def check_schedules(family: str, seed: int, size: int) -> None:
    """Budgets that bind, that do not, that cannot be met; prices and deadlines; near the least duration and energy."""
    instance = make(family, seed, size)
    clients, work, T = instance.clients, instance.work, instance.duration
    found = fedopt.schedule(clients, work, Deadline(T))
    endless = fedopt.schedule(clients, work, Deadline(T * 1e9)).energy
    shortest = fedopt.schedule(clients, work, TimePrice(1e200))
    assert found.allocation is not None
    E, price = found.energy, float(found.allocation.price.sum())
    budgets: list[Any] = [EnergyBudget(E * x) for x in (1.0, 5.0, 1e-9)]
    budgets += [EnergyBudget(endless * (1.0 + x)) for x in (1e-3, 1e-6, -1e-9)]
    budgets += [PowerBudget(E / T * x) for x in (1.0, 1e-3, 99.0)]
    budgets += [Deadline(x) for x in (T, 9.0 * T, T * 1e-9, shortest.duration, shortest.duration * (1.0 - 1e-12))]
    budgets += [EnergyBudget(shortest.energy * x) for x in (1.0, 1.0 - 1e-9)]
    budgets += [TimePrice(price * x) for x in (0.01, 1.0, 30.0) if price > 0.0]
    for budget in budgets:
        schedule = fedopt.schedule(clients, work, budget)
        report = fedopt.verify_schedule(clients, work, budget, schedule)
        assert report.ok, f"{family} {seed} {size} {budget}\n{report}"


@pytest.mark.parametrize("family", FAMILIES)
def test_schedules_of_every_family_are_verified(family: str) -> None:
    for seed in range(3):
        check_schedules(family, seed, 5)


@pytest.mark.nightly
@pytest.mark.parametrize("family", FAMILIES)
def test_many_schedules_are_verified(family: str) -> None:
    for seed in range(100, 122):
        check_schedules(family, seed, 1 + seed % 8)


@pytest.mark.parametrize("joules", [0.0012119317486689644, 0.0012119305379503585])
def test_a_budget_near_the_least_energy_is_used_up(joules: float) -> None:
    """E is all but flat there, and Halley's steps lead far out and back: what is left of the budget is rounding."""
    instance, budget = make("extreme", 122, 7), EnergyBudget(joules)
    schedule = fedopt.schedule(instance.clients, instance.work, budget)
    assert fedopt.verify_schedule(instance.clients, instance.work, budget, schedule).ok


def test_other_methods_are_verified_to_their_accuracy() -> None:
    pytest.importorskip("cvxpy")
    clients = fleet(4, 3)
    work, budget = clients.workload(TYPES, np.int64(1)), budget_of("power", clients)
    for timing, allocation in (("bisection", "kernel"), ("newton", "reference"), ("newton", "scipy")):
        schedule = fedopt.schedule(clients, work, budget, timing=timing, allocation=allocation)
        report = fedopt.verify_schedule(clients, work, budget, schedule)
        assert report.ok, str(report)
    rough = fedopt.schedule(clients, work, budget, timing="cvxpy")
    assert fedopt.verify_schedule(clients, work, budget, rough, tolerance=1e-3).ok
    assert not fedopt.verify_schedule(clients, work, budget, rough, tolerance=1e-12).ok


def test_a_bracket_is_as_certain_as_the_energies_it_rests_on() -> None:
    """Of one found with energies to 1e-5 the lower end holds to that; to more digits it is not proved."""
    pytest.importorskip("cvxpy")
    clients, types = make("typical", 1, 4).clients, (fedopt.SubModel("one", flops=3e7, upload_bits=5e5),)
    problem = fedopt.Problem(clients, types, budget=PowerBudget(0.5))
    solution = fedopt.solve(problem, matching="sorted", allocation="cvxpy")
    report = fedopt.verify(problem, solution, tolerance=1e-4)
    assert report.ok, str(report)
    assert "lower end of the bracket" in {check.name for check in fedopt.verify(problem, solution).failed}


def test_infeasible_answers_are_proved_again() -> None:
    for budget in (EnergyBudget(0.1), EnergyBudget(0.0), PowerBudget(0.0), Deadline(0.5)):
        for matching in ("exact", "sorted", "marginal"):
            problem = problem_of("energy", budget=budget)
            solution = fedopt.solve(problem, matching=matching)
            assert solution.status is fedopt.Status.INFEASIBLE
            report = fedopt.verify(problem, solution)
            assert report.ok, str(report)
            assert outcomes(report)["infeasible"] is Outcome.PASSED
    for nearly in (EnergyBudget, Deadline):
        solution = fedopt.solve(problem_of("energy", budget=nearly(0.1)))
        problem = problem_of("energy", budget=nearly(0.1 + solution.shortfall * (1.0 - 1e-6)))
        report = fedopt.verify(problem, fedopt.solve(problem))
        assert outcomes(report)["infeasible"] is outcomes(report)["by how much"] is Outcome.PASSED, str(report)
    away = fleet(SIZE, 1).replace(channel_gain=np.array([0.0] + [1e-11] * (SIZE - 1)))
    problem = Problem(away, TYPES, budget=PowerBudget(5.0))
    report = fedopt.verify(problem, fedopt.solve(problem))
    assert outcomes(report)["infeasible"] is Outcome.PASSED, str(report)


def test_infeasible_by_rounding_is_left_to_the_solver() -> None:
    """What a thousandth of a billionth of the least energy or duration decides, other sums may decide otherwise: it is
    called proved only where more than their last digits are missing."""
    instance = make("typical", 4, 5)
    clients, work = instance.clients, instance.work
    for kind in (EnergyBudget, Deadline):
        answer = fedopt.schedule(clients, work, kind(1e-3))
        assert answer.status is fedopt.Status.INFEASIBLE
        hardly = dataclasses.replace(answer, shortfall=0.0)
        each = {-1e-11: Outcome.PASSED, -5e-15: Outcome.PASSED, 5e-15: Outcome.UNPROVED, 1e-11: Outcome.FAILED}
        for over, outcome in each.items():
            budget = kind((1e-3 + answer.shortfall) * (1.0 + over))
            report = fedopt.verify_schedule(clients, work, budget, hardly)
            assert outcomes(report)["infeasible"] is outcome, str(report)


def test_infeasible_where_it_is_not_is_noticed() -> None:
    problem = problem_of("energy", budget=EnergyBudget(0.1))
    solution, roomy = fedopt.solve(problem), problem_of("energy")
    report = fedopt.verify(roomy, solution)
    assert outcomes(report)["infeasible"] is Outcome.FAILED
    assert report.sentence == "Not verified: the answer claims more than is true."
    less = dataclasses.replace(solution, shortfall=solution.shortfall * (1.0 - 1e-6))
    assert outcomes(fedopt.verify(problem, less))["by how much"] is Outcome.FAILED
    more = dataclasses.replace(solution, shortfall=solution.shortfall * (1.0 + 1e-6))
    assert outcomes(fedopt.verify(problem, more))["by how much"] is Outcome.FAILED
    some = dataclasses.replace(solution, scope="")
    assert outcomes(fedopt.verify(roomy, some))["infeasible"] is Outcome.FAILED
    numbered = dataclasses.replace(solution, duration=1.0)
    assert not fedopt.verify(problem, numbered).ok
    endless = fleet(SIZE, 1).replace(power_max=math.inf)
    hasty = Problem(endless, TYPES, budget=Deadline(0.5))
    slow = dataclasses.replace(hasty, budget=Deadline(100.0))
    assert fedopt.solve(slow).status.solved
    assert outcomes(fedopt.verify(slow, fedopt.solve(hasty)))["infeasible"] is Outcome.FAILED


def test_an_answer_stopped_at_a_limit_claims_only_its_bound() -> None:
    clients = fleet(24, 5)
    problem = Problem(clients, TYPES, budget=budget_of("power", clients))
    best = fedopt.solve(problem)
    stopped = fedopt.solve(problem, time_limit=0.0)
    assert stopped.status is fedopt.Status.LIMIT
    assert fedopt.verify(problem, stopped).ok
    unsure = dataclasses.replace(best, status=fedopt.Status.LIMIT, bound=best.utility * 1.1)
    assert fedopt.verify(problem, unsure).ok


@pytest.mark.parametrize("seed", [46, 71, 7, 8])
def test_the_bound_of_a_stopped_search_is_not_its_own_utility(seed: int) -> None:
    """It was, where the coarse search for the bound closed its gap at a better answer than the one in hand."""
    clients = fleet(8, seed)
    for joules in (20.0, 60.0, 138.0):
        problem = Problem(clients, TYPES, budget=EnergyBudget(joules))
        best, stopped = fedopt.solve(problem), fedopt.solve(problem, time_limit=0.0)
        assert not best.status.solved or math.isnan(stopped.bound) or stopped.bound >= best.utility * (1.0 - 1e-12)
        report = fedopt.verify(problem, stopped)
        assert report.ok, str(report)


def changed(name: str, client: int, factor: float) -> Callable[[Solution], Solution]:
    """One number of the allocation times a factor."""

    def change(solution: Solution) -> Solution:
        assert solution.allocation is not None
        arrays = {n: getattr(solution.allocation, n).copy() for n in fedopt.Allocation.__slots__}
        arrays[name][client] *= factor
        return dataclasses.replace(solution, allocation=fedopt.Allocation(**arrays))

    return change


def field(**values: Callable[[Solution], Any]) -> Callable[[Solution], Solution]:
    return lambda s: dataclasses.replace(s, **{name: value(s) for name, value in values.items()})


def swapped(s: Solution) -> Any:
    """Two clients of different types change places."""
    assert s.assignment is not None
    assignment = s.assignment.copy()
    other = int(np.flatnonzero(assignment != assignment[0])[0])
    assignment[[0, other]] = assignment[[other, 0]]
    return assignment


def moved_prices(s: Solution) -> Any:
    assert s.place_prices is not None
    return s.place_prices + np.arange(len(s.place_prices)) * 0.01 * s.energy


A_BIT = 1.0 + 1e-6
MUTANTS = {
    "frequency up": changed("frequency", 0, A_BIT),
    "frequency down": changed("frequency", 0, 1.0 / A_BIT),
    "rate up": changed("rate", 1, A_BIT),
    "rate down": changed("rate", 1, 1.0 / A_BIT),
    "power": changed("power", 2, A_BIT),
    "compute time": changed("compute_time", 2, A_BIT),
    "upload time": changed("upload_time", 2, A_BIT),
    "a client's energy": changed("energy", 3, A_BIT),
    "a price": changed("price", 4, A_BIT),
    "a price's sign": changed("price", 4, -1.0),
    "no frequency": changed("frequency", 0, math.nan),
    "endless rate": changed("rate", 0, math.inf),
    "energy": field(energy=lambda s: s.energy * A_BIT),
    "duration up": field(duration=lambda s: s.duration * A_BIT),
    "duration down": field(duration=lambda s: s.duration / A_BIT),
    "utility": field(utility=lambda s: s.utility * A_BIT),
    "swapped": field(assignment=swapped),
    "a type too many": field(assignment=lambda s: np.where(np.arange(SIZE) == 0, len(TYPES), s.assignment)),
    "partition": field(partition=lambda s: fedopt.Partition([6, 0, 0, 0], TYPES)),
    "no status": field(status=lambda s: fedopt.Status.INACCURATE),
    "infeasible": field(status=lambda s: fedopt.Status.INFEASIBLE, allocation=lambda s: None),
    "bracket beyond": field(bracket=lambda s: (s.duration * A_BIT, s.duration * A_BIT * A_BIT)),
    "bracket below": field(bracket=lambda s: (s.duration / A_BIT / A_BIT, s.duration / A_BIT)),
    "bound below": field(bound=lambda s: s.utility * (1.0 - 1e-6)),
    "scope": field(scope=lambda s: "everything"),
    "place prices": field(place_prices=moved_prices),
    "too few place prices": field(place_prices=lambda s: s.place_prices[1:]),
}  # fmt: skip


@pytest.fixture(scope="module", params=[1.0, 2.0**-40], ids=["joules", "picojoules"])
def exact(request: pytest.FixtureRequest) -> tuple[Problem, Solution]:
    """The same fleet, whatever the unit: what is relative must not be taken for an amount."""
    clients, budget = fleet(SIZE, 1), budget_of("energy", fleet(SIZE, 1))
    assert isinstance(budget, EnergyBudget)
    work = fedopt.Workload(cycles=np.ones(SIZE), upload_bits=1.0)
    clients = rescaled(Instance(clients, work, 1.0), energy=request.param, time=1.0, cycle=1.0).clients
    problem = Problem(clients, TYPES, budget=EnergyBudget(budget.joules * request.param))
    solution = fedopt.solve(problem)
    assert solution.status is fedopt.Status.OPTIMAL
    assert len(set(np.asarray(solution.assignment).tolist())) > 1
    return problem, solution


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_single_wrong_number_is_noticed(exact: tuple[Problem, Solution], mutant: str) -> None:
    problem, solution = exact
    report = fedopt.verify(problem, MUTANTS[mutant](solution))
    assert not report.ok, str(report)
    assert "Not verified" in str(report)
    by = {"utility": "utility", "energy": "energy of the round", "bound below": "bound is no less than the utility"}
    assert by.get(mutant) in (None, *(check.name for check in report.failed)), str(report)


def test_a_rounding_is_not_wrong(exact: tuple[Problem, Solution]) -> None:
    problem, solution = exact
    nearly = field(utility=lambda s: s.utility * (1.0 - 1e-13), energy=lambda s: s.energy * (1.0 + 1e-13))
    report = fedopt.verify(problem, nearly(solution))
    assert report.ok, str(report)


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("mutant", ["frequency up", "rate down", "energy", "duration up", "a client's energy"])
def test_a_wrong_number_on_a_shared_uplink_is_noticed(access: str, mutant: str) -> None:
    problem = problem_of("energy", access=ACCESS[access])
    solution = fedopt.solve(problem)
    wrong = (
        MUTANTS[mutant](solution)
        if mutant != "duration up"
        else dataclasses.replace(solution, duration=solution.duration * 1.001)
    )
    assert not fedopt.verify(problem, wrong).ok


def test_bandwidths_and_slots_beyond_the_channel_are_noticed() -> None:
    problem = problem_of("energy", access=ACCESS["shared"])
    solution = fedopt.solve(problem)
    for narrower in (fedopt.SharedBandwidth(1.99e5), fedopt.TimeDivision(1.99e5)):
        assert not fedopt.verify(dataclasses.replace(problem, access=narrower), solution).ok


@pytest.mark.parametrize(
    ("budget", "utility"), [("energy", None), ("energy", "shortest_round"), ("deadline", "least_energy")]
)
def test_another_matching_that_claims_to_be_the_best_is_noticed(budget: str, utility: str | None) -> None:
    """The sorted answer, with the claims of the exact one."""
    worse = 0
    for seed in range(1, 5):
        problem = problem_of(budget, seed, utility=utility)
        poor, best = fedopt.solve(problem, matching="sorted"), fedopt.solve(problem)
        if poor.utility < best.utility - 1e-6 * abs(best.utility):
            worse += 1
            proud = dataclasses.replace(poor, scope="all matchings", bound=poor.utility)
            assert outcomes(fedopt.verify(problem, proud))["bound of the utility"] is Outcome.FAILED
            below = dataclasses.replace(poor, scope="all matchings", bound=best.utility)
            assert outcomes(fedopt.verify(problem, below))["bound of the utility"] is Outcome.PASSED
    assert worse


def test_a_cost_bracket_that_is_too_good_is_noticed() -> None:
    problem = problem_of("price")
    solution = fedopt.solve(problem)
    low, cost = solution.cost_bracket
    dearer = fedopt.solve(problem, matching="sorted")
    assert isinstance(problem.budget, TimePrice)
    worth = dearer.energy + problem.budget.watts * dearer.duration
    assert (
        outcomes(fedopt.verify(problem, dataclasses.replace(solution, cost_bracket=(low, cost * A_BIT))))[
            "cost of all matchings"
        ]
        is Outcome.FAILED
    )
    same = Problem(problem.clients, TYPES, budget=problem.budget, partitions=[dearer.partition])  # type: ignore[list-item]
    best = fedopt.solve(same)
    if best.cost_bracket[1] < worth * (1.0 - 1e-6):
        proud = dataclasses.replace(dearer, cost_bracket=(worth, worth))
        assert outcomes(fedopt.verify(same, proud))["cost of all matchings"] is Outcome.FAILED


def test_not_the_best_is_told_from_wrong() -> None:
    """A round within a smaller budget is possible, not the shortest; one for a greater budget is not possible."""
    clients = fleet(SIZE, 1)
    work, budget = clients.workload(TYPES, np.int64(1)), budget_of("energy", clients)
    assert isinstance(budget, EnergyBudget)
    thrifty = fedopt.schedule(clients, work, EnergyBudget(budget.joules * 0.99))
    report = fedopt.verify_schedule(clients, work, budget, thrifty)
    abouts = {check.about for check in report.failed}
    assert About.OPTIMALITY in abouts
    assert not abouts & {About.DECISION, About.NUMBERS}
    assert report.sentence == "Not verified: the round can be done like this, but it is not the best."
    greedy = fedopt.schedule(clients, work, EnergyBudget(budget.joules * 1.01))
    report = fedopt.verify_schedule(clients, work, budget, greedy)
    assert report.sentence == "Not verified: the round cannot be done like this."
    wrong = changed("frequency", 3, 2.0)(fedopt.solve(problem_of("energy")))
    assert "client 3: " in str(fedopt.verify(problem_of("energy"), wrong))


def test_claims_too_large_to_be_proved_again_are_said_to_be() -> None:
    clients = devices.random_fleet(6000, seed=1)
    problem = Problem(clients, TYPES, budget=PowerBudget(6000.0), partitions=[(0, 0, 3000, 3000)])
    report = fedopt.verify(problem, fedopt.solve(problem))
    assert report.ok, str(report)
    assert not report.complete
    assert "too many to look through again" in str(report)
