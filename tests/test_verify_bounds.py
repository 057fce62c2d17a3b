"""Bounds over all matchings of a shared uplink, proved by the verifier alone: true ones pass, forged ones do not."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types
from hypothesis import HealthCheck, given, settings
from matchings import every_matching

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, Solution, TimeDivision, TimePrice
from fedopt.testing import problems
from fedopt.verifier import Outcome, model
from fedopt.verifier.decision import Round, round_of
from fedopt.verifier.shared import SharedMatchings
from fedopt.verifier.shares import narrowest, prices, shares

SIZE, TYPES = 5, mnist_types((1, 2, 2, 4))[:3]
ACCESS = {"shared": SharedBandwidth(2e6), "slots": TimeDivision(2e6)}
BUDGETS = {
    "power": PowerBudget(1.0),
    "slack": EnergyBudget(400.0),
    "energy": EnergyBudget(40.0),
    "endless": EnergyBudget(math.inf),
    "deadline": Deadline(30.0),
    "price": TimePrice(0.5),
}
CLAIMS = ("bound of the utility", "bracket over all matchings", "cost of all matchings")


def problem_of(access: str, budget: str, seed: int) -> Problem:
    clients = make("typical", seed, SIZE).clients
    utility = "least_energy" if budget == "deadline" else None
    return Problem(clients, TYPES, budget=BUDGETS[budget], access=ACCESS[access], utility=utility)


def claims(report: fedopt.Report) -> dict[str, Outcome]:
    """What came of the claims over all matchings."""
    return {c.name: c.outcome for c in report.checks if c.name in CLAIMS and c.outcome is not Outcome.NOTHING}


@cache
def truth(access: str, budget: str, seed: int) -> dict[tuple[int, ...], tuple[float, float, float]]:
    """Of every partition's matchings: least duration, least E + price x T, greatest utility; each one is scheduled."""
    problem = problem_of(access, budget, seed)
    watts, found = getattr(problem.budget, "watts", 0.0), dict[tuple[int, ...], tuple[float, float, float]]()
    for counts, assignment in every_matching(SIZE, TYPES):
        work = problem.clients.workload(TYPES, assignment)
        one = fedopt.schedule(problem.clients, work, problem.budget, access=problem.access)
        if one.status.solved:
            T, cost, utility = found.get(counts, (math.inf, math.inf, -math.inf))
            own = problem.utility(fedopt.Partition(counts, TYPES), one.duration, one.energy)
            found[counts] = min(T, one.duration), min(cost, one.energy + watts * one.duration), max(utility, own)
    return found


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_true_bounds_are_proved_from_disk(tmp_path: Path, access: str, budget: str) -> None:
    for seed in range(3):
        solution = fedopt.solve(problem_of(access, budget, seed))
        fedopt.write_solution(solution, tmp_path / "a.json")
        report = fedopt.verify(*fedopt.read_solution(tmp_path / "a.json"))
        assert report.ok, str(report)
        assert report.complete, str(report)
        assert claims(report)


@pytest.mark.parametrize("utility", ["shortest_round", None])
@pytest.mark.parametrize("access", ACCESS)
def test_other_utilities_and_deadlines_without_energy(access: str, utility: str | None) -> None:
    for budget in (Deadline(30.0), PowerBudget(1.0)):
        problem = dataclasses.replace(problem_of(access, "power", 0), budget=budget, utility=utility)
        report = fedopt.verify(problem, fedopt.solve(problem))
        assert claims(report)["bound of the utility"] is Outcome.PASSED, str(report)


def forged(access: str, budget: str, seed: int) -> list[tuple[Problem, Solution]]:
    """The sorted answer with claims that some matching beats by 0.1 %, though not the answer itself."""
    problem, true = problem_of(access, budget, seed), truth(access, budget, seed)
    poor = fedopt.solve(problem, matching="sorted")
    if not poor.status.solved or poor.partition is None:
        return []
    T, cost, _ = true[tuple(poor.partition)]
    own = poor.energy + getattr(problem.budget, "watts", 0.0) * poor.duration
    if isinstance(problem.budget, TimePrice):
        wrong: list[dict[str, Any]] = [{"cost_bracket": (1.001 * cost, own)}] if own > 1.001 * cost else []
    else:
        best = max(utility for _, _, utility in true.values())
        bound = best - 1e-3 * abs(best)
        wrong = [{"scope": "all matchings", "bound": bound}] if bound > poor.utility else []
        if poor.duration > 1.001 * T:
            wrong.append({"scope": "all matchings", "bracket": (1.001 * T, poor.duration)})
    return [(problem, dataclasses.replace(poor, **each)) for each in wrong]


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", ["power", "energy", "deadline", "price"])
def test_forged_bounds_are_refused(access: str, budget: str) -> None:
    """None is proved, and of most a matching that refutes it is shown."""
    found = []
    for seed in range(4):
        for problem, solution in forged(access, budget, seed):
            report = fedopt.verify(problem, solution)
            assert not report.complete
            found += [outcome for outcome in claims(report).values() if outcome is not Outcome.PASSED]
            assert set(claims(report).values()) - {Outcome.PASSED}, str(report)
    assert found
    assert set(found) <= {Outcome.FAILED, Outcome.CLAIMED}
    assert Outcome.FAILED in found


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", ["power", "energy"])
def test_a_bound_below_the_answer_is_contradicted(access: str, budget: str) -> None:
    problem = problem_of(access, budget, 1)
    solution = fedopt.solve(problem)
    report = fedopt.verify(problem, dataclasses.replace(solution, bound=solution.utility * (1.0 - 1e-3)))
    assert not report.ok
    assert claims(report)["bound of the utility"] is not Outcome.PASSED


@pytest.mark.parametrize("factor", [1.01, 0.0, math.nan])
@pytest.mark.parametrize("access", ACCESS)
def test_prices_that_were_tampered_with_prove_nothing_more(access: str, factor: float) -> None:
    """They are refused themselves, and neither hide a true bound nor prove a forged one."""
    price = {"shared": "bandwidth_price", "slots": "time_price"}[access]
    for problem, solution in [*forged(access, "energy", 0), *forged(access, "energy", 2)]:
        assert solution.sharing is not None
        own = getattr(solution.sharing, price)
        wrong = dataclasses.replace(solution.sharing, **{price: own * factor})
        report = fedopt.verify(problem, dataclasses.replace(solution, sharing=wrong))
        assert not report.ok
        assert set(claims(report).values()) - {Outcome.PASSED}
    problem = problem_of(access, "energy", 0)
    solution = fedopt.solve(problem)
    assert solution.sharing is not None
    for name in {price, "time_price"}:
        wrong = dataclasses.replace(solution.sharing, **{name: getattr(solution.sharing, name) * factor})
        report = fedopt.verify(problem, dataclasses.replace(solution, sharing=wrong))
        assert not report.ok, str(report)
        assert claims(report)["bound of the utility"] is Outcome.PASSED


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_above_what_a_matching_needs(access: str, seed: int) -> None:
    """At a duration: every partition's bound, whatever it was sought for, against every matching's least energy."""
    problem, T = problem_of(access, "power", seed), 40.0
    solution = fedopt.solve(problem)
    clients, types = problem.clients, problem.submodels
    work = clients.workload(types, np.asarray(solution.assignment))
    r = round_of(clients, work, problem.budget, problem.access, solution, 1e-9)
    assert isinstance(r, Round)
    tasks = model.tasks_of(clients, *model.work_of(clients, types), np.full(SIZE, 2e6))
    least = dict[tuple[int, ...], float]()
    for counts, assignment in every_matching(SIZE, TYPES):
        one = fedopt.schedule(clients, clients.workload(types, assignment), Deadline(T), access=problem.access)
        least[counts] = min(least.get(counts, math.inf), one.energy if one.status.solved else math.inf)
    every, tight, shown = list(least), 0, 0
    for counts in every:
        for share in (0.5, 0.9, 0.999, 1.2):
            aim = share * least[counts] if least[counts] < math.inf else 1e3
            rows = np.array([counts, *(other for other in every if other != counts)])
            found = SharedMatchings(tasks, r, lambda T, aim=aim: aim, 10**6)  # type: ignore[misc]
            bounds = found(T, rows[0], rows)
            true = np.array([least[tuple(row)] for row in rows.tolist()])
            proved = bool(bounds[0] > aim)
            assert proved or share > 0.5
            assert proved or (bounds[1:] == -math.inf).all()  # nothing of the others
            assert share > 1.0 or not found.refutes  # no matching needs so little
            shown += found.refutes
            assert not proved or (bounds <= true * (1.0 + 1e-9)).all()
            tight += proved and share > 0.99
    assert tight  # bounds of nothing would pass, too
    assert shown


def test_what_senders_pay_is_the_least_of_all_bandwidths() -> None:
    """Against the closed form of a given bandwidth, on a fine grid of them, and the convexity between."""
    rng, size = np.random.default_rng(3), 200
    gamma, one = 10.0 ** rng.uniform(-2, 6, size), np.ones(size)
    low = np.where(rng.random(size) < 0.5, 0.0, 10.0 ** rng.uniform(-4, -1, size))
    high = np.maximum(low, 10.0 ** rng.uniform(-3, 1, size))
    high[:20] = np.inf
    k = model.Tasks(
        W=0.0 * one, a=10.0 ** rng.uniform(-3, 2, size), gamma=gamma, kappa=one, p_s=0.0 * one,
        p_c=np.where(rng.random(size) < 0.3, 0.0, 10.0 ** rng.uniform(-4, 0, size)), f_min=one, f_max=one,
        x_min=np.log1p(gamma * low), x_max=np.log1p(gamma * high), fixed_time=0.0 * one, fixed_energy=0.0 * one,
        busy=one > 0.0,
    )  # fmt: skip

    def cost(share: np.ndarray, price: np.ndarray, mu: float) -> np.ndarray:
        snr = gamma / share
        x_min, x_max = np.log1p(snr * low), np.log1p(snr * high)
        return (
            model.dual(dataclasses.replace(k, a=k.a / share, gamma=snr, x_min=x_min, x_max=x_max), price) + mu * share
        )

    for mu in (1e-6, 1.0, 1e3):
        price = 10.0 ** rng.uniform(-3, 3, size)
        found = shares(k, price, mu)
        np.testing.assert_allclose(cost(found.share, price, mu), found.cost, rtol=1e-12)
        for factor in np.geomspace(1e-3, 1e3, 301):
            assert (cost(found.share * factor, price, mu) >= found.cost * (1.0 - 1e-13)).all()
        whole = dataclasses.replace(k, f_max=np.full(size, 1e300))
        T = 3.0 * float(model.least_times(whole).max())
        at = prices(whole, T, mu)
        np.testing.assert_allclose(np.where(at > 1e-15 * mu / T, shares(whole, at, mu).time, T), T, rtol=1e-11)
        least = narrowest(whole, T)
        finite = high < np.inf
        needed = np.where(finite, k.a / (least * np.log1p(gamma * high / least)), T)
        np.testing.assert_allclose(needed[finite], T, rtol=1e-9)


def test_one_price_proves_less_and_nothing_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedopt.verifier.branch._PRICES", 1)
    problem = problem_of("slots", "deadline", 0)
    report = fedopt.verify(problem, fedopt.solve(problem))
    assert report.ok
    assert set(claims(report).values()) <= {Outcome.PASSED, Outcome.CLAIMED}
    wrong = [fedopt.verify(*each) for seed in range(4) for each in forged("slots", "deadline", seed)]
    assert wrong
    assert all(set(claims(report).values()) - {Outcome.PASSED} for report in wrong)


def test_place_prices_are_of_channels_of_ones_own() -> None:
    """They are neither proved nor refuted where the channels are shared."""
    problem = problem_of("slots", "deadline", 0)
    solution = fedopt.solve(problem)
    report = fedopt.verify(problem, dataclasses.replace(solution, place_prices=np.zeros(len(TYPES))))
    (check,) = [check for check in report.checks if check.name == "place prices"]
    assert (check.outcome, check.why) == (Outcome.CLAIMED, "clients share the uplink")


def test_place_prices_are_proved_where_a_client_would_have_no_time_to_send() -> None:
    """A round as long as an overhead: with power without limit that client's energy in the other type is no number."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=0, channel_gain=1e-11, bandwidth=2.5e5, power_max=np.inf,
        overhead=[24.0, 0.0],
    )  # fmt: skip
    sends = fedopt.SubModel("sends", flops=2e7, upload_bits=2.7e5, cover=2)
    receives = fedopt.SubModel("receives", flops=1e7, upload_bits=0, download_bits=1e5)
    problem = Problem(clients, (sends, receives), budget=EnergyBudget(0.0))
    solution = fedopt.solve(problem)
    assert solution.duration == 24.0
    report = fedopt.verify(problem, solution)
    (check,) = [check for check in report.checks if check.name == "place prices"]
    assert (report.ok, check.outcome, check.found) == (True, Outcome.PASSED, "0 J, proved 0 J")


@pytest.mark.parametrize("mu", [1.0, 1e-300])
def test_where_time_or_the_channel_costs_nothing_sending_does_at_shannons_limit(mu: float) -> None:
    """Neither circuit power nor a price of time: a / gamma, which no time and no bandwidth beats."""
    one = np.ones(3)
    k = model.Tasks(
        W=0.0 * one, a=np.array([1e-3, 1.0, 1e2]), gamma=np.array([1e-2, 1.0, 1e6]), kappa=one, p_s=0.0 * one,
        p_c=0.0 * one, f_min=one, f_max=one, x_min=0.0 * one, x_max=3.0 * one, fixed_time=0.0 * one,
        fixed_energy=0.0 * one, busy=one > 0.0,
    )  # fmt: skip
    found = shares(k, 0.0 * one, mu)
    np.testing.assert_allclose(found.cost, k.a / k.gamma, rtol=1e-15)
    assert (np.maximum(found.time, found.share) > 1e90).all()


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(problems(max_size=5, shared=True))
def test_all_claims_of_drawn_problems_are_proved(problem: Problem) -> None:
    report = fedopt.verify(problem, fedopt.solve(problem))
    assert set(claims(report).values()) <= {Outcome.PASSED}, str(report)
