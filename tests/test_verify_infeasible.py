"""Every field of an answer without a decision, forged: the verifier notices each. And what no decision may say."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Problem, SharedBandwidth, Status, TimeDivision, TimePrice
from fedopt.verifier import Outcome, Report
from fedopt.verifier.infeasible import _crowded

CLIENTS = make("typical", 1, 5).clients
TYPES = mnist_types((1, 2, 2, 4))[:3]
WORK = CLIENTS.workload(TYPES, np.array([0, 1, 1, 2, 2]))
NAN = math.nan
BUDGETS = {
    "energy": EnergyBudget(1e-3),
    "no energy": EnergyBudget(0.0),
    "no power": PowerBudget(0.0),
    "deadline": Deadline(1e-3),
}
ACCESS = {"own": None, "shared": SharedBandwidth(2e6), "slots": TimeDivision(2e6)}
DECIDED = fedopt.solve(Problem(CLIENTS, TYPES, budget=PowerBudget(0.5)))
FORGED: list[dict[str, Any]] = [
    *({name: 1.0} for name in ("duration", "energy")),
    *({"bracket": ends} for ends in ((1.0, 2.0), (NAN, 2.0), (1.0, NAN))),
    *({"shortfall": value} for value in (NAN, -1.0, 0.0, math.inf)),
    *({"clients": who} for who in ((99,), (-1,), (), (0, 0), (0.5,))),
    {"verdict": DECIDED.verdict},
    {"sharing": fedopt.schedule(CLIENTS, WORK, TimePrice(0.5), access=SharedBandwidth(2e6)).sharing},
    {"status": Status.OPTIMAL},
    {"status": Status.LIMIT},
]
MORE: list[dict[str, Any]] = [
    *({name: value} for name in ("utility", "bound") for value in (-1.0, 1e-9)),
    *({"cost_bracket": ends} for ends in ((1.0, 2.0), (NAN, 2.0), (1.0, NAN))),
    {"scope": "everything"},
    *({name: getattr(DECIDED, name)} for name in ("partition", "assignment", "place_prices", "paper")),
]


def forge(answer: Any, fields: dict[str, Any]) -> Any:
    return dataclasses.replace(answer, **fields)


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_field_of_an_infeasible_schedule(budget: str, access: str) -> None:
    def verified(answer: fedopt.Schedule) -> Report:
        return fedopt.verify_schedule(CLIENTS, WORK, BUDGETS[budget], answer, access=ACCESS[access])

    true = fedopt.schedule(CLIENTS, WORK, BUDGETS[budget], access=ACCESS[access])
    assert verified(true).complete
    for fields in (*FORGED, {"clients": true.clients[1:]}, {"clients": true.clients[::-1]}):
        assert not verified(forge(true, fields)).ok, fields
    for factor in (1.0 - 1e-6, 1.0 + 1e-6):
        assert not verified(forge(true, {"shortfall": true.shortfall * factor})).ok


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_field_of_an_infeasible_solution(budget: str, access: str) -> None:
    problem = Problem(CLIENTS, TYPES, budget=BUDGETS[budget], access=ACCESS[access])
    for matching in ("exact", "sorted", "marginal") if access == "own" else ("sorted", "marginal"):
        true = fedopt.solve(problem, matching=matching)
        report = fedopt.verify(problem, true)
        assert report.ok, str(report)
        in_turns = access == "slots" and isinstance(BUDGETS[budget], EnergyBudget)
        assert report.complete is ((access == "own" and matching != "marginal") or in_turns)
        for fields in (*FORGED, *MORE, {"clients": true.clients[1:]}, {"clients": true.clients[::-1]}):
            wrong = fedopt.verify(problem, forge(true, fields))
            assert not wrong.ok, (matching, fields, str(wrong))
        for factor in (1e-3, 1e3):
            assert not fedopt.verify(problem, forge(true, {"shortfall": true.shortfall * factor})).ok
        for factor in (1.0 - 1e-6, 1.0 + 1e-6) if report.complete else ():
            assert not fedopt.verify(problem, forge(true, {"shortfall": true.shortfall * factor})).ok


def test_a_crowd_is_all_that_fit_too_few_places() -> None:
    problem = Problem(CLIENTS, TYPES, budget=Deadline(1.0))
    needs = fedopt.solve(problem).shortfall + 1.0
    tight = Problem(CLIENTS, TYPES, budget=Deadline(needs * 0.9))
    true = fedopt.solve(tight)
    assert 0 < len(true.clients) < 5
    assert fedopt.verify(tight, true).complete
    for who in (true.clients[1:], tuple(range(5)), ()):
        assert not fedopt.verify(tight, forge(true, {"clients": who})).ok


def test_who_would_be_in_time_is_not_named_and_nobody_twice() -> None:
    """In the order of their needs, as the rest: the round is too short for the first two alone."""
    needs = []
    for n, kind in enumerate((0, 1, 1, 2, 2)):
        one = CLIENTS.take([n])
        needs.append(fedopt.schedule(one, one.workload(TYPES, np.array([kind])), EnergyBudget(math.inf)).duration)
    order = sorted(range(5), key=lambda n: -needs[n])
    budget = Deadline(1.001 * needs[order[2]])
    true = fedopt.schedule(CLIENTS, WORK, budget)
    assert true.clients == tuple(order[:2])
    assert fedopt.verify_schedule(CLIENTS, WORK, budget, true).complete
    for who in (order[:3], order, order[:1], [*order[:2], order[1]]):
        report = fedopt.verify_schedule(CLIENTS, WORK, budget, forge(true, {"clients": tuple(who)}))
        assert [check.name for check in report.failed] == ["who is named"]


def test_on_a_band_all_together_need_more_than_each_alone() -> None:
    """Where circuits take power a part of the band takes longer, and more: between the two nothing keeps a budget."""
    clients, access = CLIENTS.replace(circuit_power=0.5), SharedBandwidth(2e5)
    whole = clients.replace(bandwidth=2e5)
    alone = fedopt.schedule(whole, WORK, EnergyBudget(1e-6)).shortfall
    together = fedopt.schedule(clients, WORK, Deadline(1e6), access=access).energy  # at its least long before
    assert together > 1.5 * alone
    budget = EnergyBudget(0.5 * (alone + together))
    true = fedopt.schedule(clients, WORK, budget, access=access)
    assert true.status is Status.INFEASIBLE
    assert true.shortfall == pytest.approx(together - budget.joules, rel=1e-6)
    report = fedopt.verify_schedule(clients, WORK, budget, true, access=access)
    assert report.complete, str(report)


@pytest.mark.parametrize("access", ACCESS)
def test_who_is_out_of_reach_or_has_no_power_for_the_deadline(access: str) -> None:
    gain = CLIENTS.channel_gain.copy()
    gain[2] = 0.0
    away, loud = CLIENTS.replace(channel_gain=gain), CLIENTS.replace(power_max=math.inf)
    ready = float((loud.overhead + WORK.cycles / loud.frequency_max).max())
    hasty = [(loud, Deadline(ready * (1.0 + 1e-12)))] if access == "own" else []
    for fleet, budget in ((away, TimePrice(0.5)), (away, Deadline(1.0)), *hasty):
        true = fedopt.schedule(fleet, WORK, budget, access=ACCESS[access])
        assert true.status is Status.INFEASIBLE
        assert fedopt.verify_schedule(fleet, WORK, budget, true, access=ACCESS[access]).complete, true.reason
        for fields in ({"clients": (0,)}, {"clients": ()}, {"shortfall": 7.0}):
            assert not fedopt.verify_schedule(fleet, WORK, budget, forge(true, fields), access=ACCESS[access]).ok
    for fleet, budget in ((away, TimePrice(0.5)), (away, Deadline(1.0)), (loud, Deadline(1e-2))):
        problem = Problem(fleet, TYPES, budget=budget, access=ACCESS[access])
        found = fedopt.solve(problem)
        assert found.status is Status.INFEASIBLE
        assert fedopt.verify(problem, found).ok
        assert not fedopt.verify(problem, forge(found, {"clients": ()})).ok
        assert not fedopt.verify(problem, forge(found, {"shortfall": -7.0})).ok


def test_a_search_that_stopped_without_an_answer_says_of_nothing_that_it_is_missing() -> None:
    """Others than those tried may meet the budget: nobody stands in the way, and no amount is too little."""
    problem = Problem(CLIENTS, TYPES, budget=Deadline(1e-3))
    nothing = {"status": Status.LIMIT, "clients": (), "shortfall": NAN, "scope": ""}
    stopped = forge(fedopt.solve(problem), nothing)
    assert fedopt.verify(problem, stopped).ok
    fields: tuple[dict[str, Any], ...] = (
        {"shortfall": 1.0},
        {"shortfall": 0.0},
        {"clients": (0,)},
        {"scope": "all matchings"},
    )
    for said in fields:
        assert not fedopt.verify(problem, forge(stopped, said)).ok, said


@pytest.mark.parametrize(("places", "crowd"), [((2, 1), True), ((1, 2), False), ((0, 3), False)])
def test_a_crowd_has_fewer_places_than_clients(places: tuple[int, int], crowd: bool) -> None:
    """The first two are in time with the second type alone, the third with either."""
    late = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    asked = SimpleNamespace(budget=Deadline(1.0))
    menu: Any = SimpleNamespace(problem=asked, counts=np.array([places]), late=lambda given, loud: late)
    assert _crowded(menu, np.array([True, True, False])) is crowd
    assert not _crowded(menu, np.array([True, False, False]))


@pytest.mark.parametrize("budget", [PowerBudget(0.5), EnergyBudget(4.0), TimePrice(0.5)], ids=str)
def test_what_no_decision_may_say(budget: Any) -> None:
    problem = Problem(CLIENTS, TYPES, budget=budget)
    true = fedopt.solve(problem)
    assert fedopt.verify(problem, true).complete
    sharing = fedopt.schedule(CLIENTS, WORK, TimePrice(0.5), access=SharedBandwidth(2e6)).sharing
    wrong: list[dict[str, Any]] = [
        *({"shortfall": value} for value in (-7.0, NAN)),
        {"clients": (99,)},
        *({"cost_bracket": ends} for ends in ((1e6, 2e6), (NAN, 2e6), (-1.0, 2e6), (1.0, NAN))),
        *({"bracket": ends} for ends in ((NAN, 1e-3), (1e-3, NAN))),
        {"bound": NAN, "scope": "all matchings"},
        {"sharing": sharing},
        {"place_prices": np.full(3, 1e308)},
        *({"verdict": forge(true.verdict, {"violation": value})} for value in (-1.0, NAN, 1.0)),
        {"verdict": forge(true.verdict, {"duration": NAN})},
    ]
    for fields in wrong:
        assert not fedopt.verify(problem, forge(true, fields)).ok, fields


@pytest.mark.parametrize("access", ACCESS)
def test_numbers_beyond_all_sense_are_no_warning(access: str) -> None:
    """Warnings are errors here."""
    given = CLIENTS, WORK, PowerBudget(0.5)
    true = fedopt.schedule(*given, access=ACCESS[access])
    for name in ("frequency", "rate", "power", "price"):
        wrong = forge(true, {"allocation": forge(true.allocation, {name: np.full(5, 1e308)})})
        assert not fedopt.verify_schedule(*given, wrong, access=ACCESS[access]).complete
    for name in ("bandwidth_price", "compute_end") if true.sharing is not None else ():
        wrong = forge(true, {"sharing": forge(true.sharing, {name: 1e308})})
        assert not fedopt.verify_schedule(*given, wrong, access=ACCESS[access]).ok


@pytest.mark.parametrize("budget", ["energy", "deadline"])
def test_equals_may_be_named_in_either_order(budget: str) -> None:
    twins = CLIENTS.take([0, 0, 3, 3, 1])
    work = twins.workload(TYPES, np.array([1, 1, 2, 2, 1]))
    true = fedopt.schedule(twins, work, BUDGETS[budget])
    swap = {0: 1, 1: 0, 2: 3, 3: 2, 4: 4}
    assert fedopt.verify_schedule(twins, work, BUDGETS[budget], true).complete
    swapped = tuple(swap[n] for n in true.clients)
    assert fedopt.verify_schedule(twins, work, BUDGETS[budget], forge(true, {"clients": swapped})).complete
    least = forge(true, {"clients": true.clients[-1:] + true.clients[:-1]})
    assert not fedopt.verify_schedule(twins, work, BUDGETS[budget], least).ok


def words(report: Report) -> dict[str, str]:
    """Why, of every check that says it."""
    return {check.name: check.why for check in report.checks if check.why}


def test_why_something_is_refuted_or_left_open_is_said() -> None:
    own, shared = (Problem(CLIENTS, TYPES, budget=Deadline(1e-3), access=ACCESS[name]) for name in ("own", "shared"))
    tried, proved = (fedopt.solve(own, matching=name) for name in ("marginal", "exact"))
    assert words(fedopt.verify(own, proved)) == {}
    named = words(fedopt.verify(own, forge(proved, {"clients": ()})))
    assert named == {"who is named": "not those who stand in the way, neediest first"}
    assert words(fedopt.verify(own, tried)) == {"by how much": "of what was tried alone"}
    assert words(fedopt.verify(shared, fedopt.solve(shared)))["by how much"] == "shared uplink"
    mixed = dataclasses.replace(own, partitions=[(3, 2, 0)])
    tried, proved = (fedopt.solve(mixed, matching=name) for name in ("marginal", "exact"))
    near = dataclasses.replace(mixed, budget=Deadline(1e-3 + proved.shortfall * (1.0 + 1e-6)))
    only = "; the answer speaks only of what was tried"
    assert words(fedopt.verify(near, tried))["infeasible"].endswith(only)
    assert not words(fedopt.verify(near, proved))["infeasible"].endswith(only)
    easy = dataclasses.replace(mixed, budget=Deadline(1e3))
    assert not words(fedopt.verify(easy, tried))["infeasible"].endswith(only)
    drawing = Problem(CLIENTS.replace(circuit_power=0.05), TYPES, budget=EnergyBudget(1e-3), access=ACCESS["shared"])
    least = 1e-3 + fedopt.solve(drawing).shortfall
    drawing = dataclasses.replace(drawing, budget=EnergyBudget(0.999 * least))
    proved = fedopt.solve(drawing)
    assert proved.scope == "all matchings"
    why = words(fedopt.verify(drawing, proved))["infeasible"]
    assert why.endswith("may meet it by what each client needs alone; that they share is not proved again")
    assert words(fedopt.verify(drawing, forge(proved, {"scope": ""})))["infeasible"].endswith(only)


def test_where_the_last_digits_decide_nothing_is_proved_infeasible() -> None:
    problem = Problem(CLIENTS, TYPES[:1], budget=EnergyBudget(1e-3))
    poor = fedopt.solve(problem)
    for over, outcome in ((2e-13, Outcome.UNPROVED), (1e-11, Outcome.FAILED)):
        met = dataclasses.replace(problem, budget=EnergyBudget((1e-3 + poor.shortfall) * (1.0 + over)))
        said = fedopt.verify(met, forge(poor, {"shortfall": 0.0}))
        assert next(check for check in said.checks if check.name == "infeasible").outcome is outcome, str(said)


SCOPES = ("", "sorted matchings", "all matchings")


def called_infeasible(problem: Problem, shortfall: float, who: tuple[int, ...], scope: str) -> Report:
    numbers: dict[str, Any] = dict.fromkeys(("duration", "energy", "utility"), NAN)
    nothing: dict[str, Any] = dict.fromkeys(("allocation", "verdict", "partition", "assignment"))
    said = fedopt.Solution(
        status=Status.INFEASIBLE, reason="", scope=scope, clients=who, shortfall=shortfall, **numbers, **nothing
    )
    return fedopt.verify(problem, said)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("access", ACCESS)
def test_a_budget_that_all_matchings_of_a_partition_meet_is_not_infeasible(access: str, scope: str) -> None:
    """Whichever of them was tried, and whatever is said to be missing."""
    poor = fedopt.solve(Problem(CLIENTS, TYPES[:1], budget=EnergyBudget(1e-3), access=ACCESS[access]))
    needs = poor.shortfall + 1e-3  # of all with the largest type
    for types in (TYPES, TYPES[:1]):
        for budget in (Deadline(1e6), EnergyBudget(1.05 * needs), PowerBudget(0.5), TimePrice(0.5)):
            problem = Problem(CLIENTS, types, budget=budget, access=ACCESS[access])
            assert fedopt.solve(problem).status.solved
            for missing, who in ((0.0, ()), (1e-3 * needs, poor.clients), (math.inf, (0,))):
                failed = {check.name for check in called_infeasible(problem, missing, who, scope).failed}
                assert "infeasible" in failed, (budget, missing)


def test_time_is_missing_where_nobody_has_power_without_limit() -> None:
    """Nothing missing, and nobody in the way: then nothing speaks against the deadline."""
    problem = Problem(CLIENTS, TYPES, budget=Deadline(1e-3))
    for scope in SCOPES:
        failed = {check.name for check in called_infeasible(problem, 0.0, (), scope).failed}
        assert "by how much" in failed


def test_a_matching_that_was_tried_may_miss_what_another_meets() -> None:
    """At random, or as it was: the answer speaks of no other."""
    open_ = 0
    for seed in range(8):
        problem = Problem(CLIENTS, TYPES, budget=Deadline(1e-3), partitions=[(3, 2, 0)])
        best, drawn = (fedopt.solve(problem, matching=name, seed=seed) for name in ("exact", "random"))
        for share in (0.1, 0.5, 0.9):
            seconds = 1e-3 + (1.0 - share) * best.shortfall + share * drawn.shortfall
            tight = dataclasses.replace(problem, budget=Deadline(seconds))
            found = fedopt.solve(tight, matching="random", seed=seed)
            report = fedopt.verify(tight, found)
            assert report.ok, str(report)
            open_ += found.status is Status.INFEASIBLE
    assert open_ > 3


@pytest.mark.parametrize("partitions", [{}, {"partitions": [(3, 2, 0)]}, {"partitions": [(1, 4, 0), (3, 0, 2)]}])
@pytest.mark.parametrize("power", [1.0, math.inf])
def test_whoever_stands_in_the_way_of_a_deadline_may_be_named(partitions: Any, power: float) -> None:
    """Of some clients and types; with power for all, or power without limit, when time is short or only power is."""
    clients, few = CLIENTS.replace(power_max=power * CLIENTS.power_max), 0
    given = Problem(clients, TYPES, budget=Deadline(1e-6), **partitions)
    needs = fedopt.solve(given).shortfall + 1e-6
    for factor in (0.3, 0.6, 0.9, 0.999, *([1.0 + 1e-9] if power == math.inf else [])):
        problem = dataclasses.replace(given, budget=Deadline(factor * needs))
        for matching in ("exact", "sorted"):
            true = fedopt.solve(problem, matching=matching)
            report = fedopt.verify(problem, true)
            assert report.complete, str(report)
            few += 0 < len(true.clients) < 5
            for who in (tuple(range(5)), ()):
                other = fedopt.verify(problem, forge(true, {"clients": who}))
                assert other.ok is (set(who) == set(true.clients)) or len(who) == 5, str(other)
    assert few > 0
