"""Corners of the reports, the scenarios and the search that no ordinary answer reaches."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corners import ONE, TYPES, fleet, problem_of

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    InputError,
    PowerBudget,
    Problem,
    SharedBandwidth,
    TimeDivision,
    TimePrice,
    claims,
    frontplot,
    report,
    tables,
    toml,
    verdict,
)
from fedopt.box import Box
from fedopt.reasons import left_open
from fedopt.scenario import from_document
from solvers.access import Outcome, timedivision
from solvers.duration.verdicts import infeasible
from solvers.matching import fixed, least
from solvers.matching.task import Proof, Searched
from solvers.rows import Goal, Stop, Timing


def test_cycles_whose_cube_is_beyond_a_double() -> None:
    work = fedopt.Workload(cycles=[1e9, 1e120, 1e9, 1e9], upload_bits=1e5)
    with pytest.raises(InputError, match="capacitance x cycles\\^3") as caught:
        fedopt.schedule(fleet(), work, EnergyBudget(2.0))
    assert caught.value.client == 1


def test_a_partition_of_idle_places_trains_nothing() -> None:
    types = (*TYPES, fedopt.SubModel.idle())
    with pytest.raises(InputError, match="at least one client that trains"):
        Problem(fleet(), types, budget=EnergyBudget(2.0), partitions=[(0, 0, 4)])


@pytest.mark.parametrize(("key", "value"), [("rounds", "ten"), ("rounds", True), ("data", 3)])
def test_training_values_are_of_their_kind(key: str, value: Any) -> None:
    from fedopt.scenario import _training

    with pytest.raises(InputError, match=rf"\[training\] {key}"):
        _training({key: value})


def test_idle_is_true_or_not_said() -> None:
    table = {"name": "rest", "idle": False}
    document = {"version": 1, "clients": ONE, "submodels": [table], "budget": {"deadline": 3.0}}
    with pytest.raises(InputError, match="true, or no such key"):
        from_document(document)


def test_utilities_that_say_nothing_of_a_share() -> None:
    """How much better the bound is, rounded up to two digits: what is claimed must hold."""
    solution = fedopt.solve(problem_of())
    for bound, said in (
        (1.0, "."),
        (1.0121, " by more than 1.3 %."),
        (1.0 + 1.234e-4, " by more than 0.013 %."),
        (9.99, " by more than 900 %."),
        (10.01, " by a factor of more than 11."),
        (8.123e19, " by a factor of more than 8.2e+19."),
    ):
        found = dataclasses.replace(solution, utility=1.0, bound=bound, scope="all matchings")
        assert claims.scope_of(found) == f"No partition and no matching is better{said}"
    nothing = dataclasses.replace(solution, utility=1.0, bound=np.inf, scope="all matchings")
    assert "better by" not in claims.scope_of(nothing)
    unsolved = fedopt.solve(problem_of(EnergyBudget(1e-9)))
    assert claims.stopped_at(unsolved, 1.0) is unsolved


@pytest.mark.parametrize("scope", ["all matchings", "sorted matchings"])
def test_a_bound_far_below_the_energy_is_said_itself(scope: str) -> None:
    """As a share of the energy nearly all of it says nothing."""
    solution = fedopt.solve(dataclasses.replace(problem_of(fedopt.Deadline(60.0)), utility="least_energy"))
    for joules, said in ((1.5, ""), (0.6, " The least energy may be as little as 0.6 J."), (0.001, "as 0.001 J.")):
        text = claims.scope_of(dataclasses.replace(solution, utility=-2.0, bound=-joules, scope=scope))
        assert text.endswith(said)
        assert ("as little as" in text) is (said != "")
    assert "by more than 100 %" in text
    in_time = dataclasses.replace(fedopt.solve(problem_of()), utility=1.0, bound=9.0, scope=scope)
    assert "as little as" not in claims.scope_of(in_time)


def test_a_kind_of_violation_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block's worst is named, the worst of all measured."""
    monkeypatch.setattr(verdict, "_BLOCK", 2)
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    found = fedopt.judge(fleet(), work, 100.0, np.array([1e9, 2e9, 3e9, 1e9]), 1e5)
    assert found.violations == ("client 1: computes above frequency_max by 1 relative",)
    assert found.violation == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (EnergyBudget(2.0), "2 J a round"),
        (PowerBudget(0.5), "500 mW on average"),
        (Deadline(20.0), "deadline 20 s"),
        (TimePrice(0.25), "a second costs 250 mJ"),
    ],
)
def test_every_budget_has_words_and_a_border(budget: Any, text: str) -> None:
    assert report.budget_text(budget) == text
    front = fedopt.pareto(problem_of(budget, partitions=[(2, 2)]), points=4)
    axes = frontplot.draw_front(front).axes[0]
    border = [line for line in axes.lines if str(line.get_label()).startswith("budget: ")]
    T, E = (np.asarray(border[0].get_xdata()), np.asarray(border[0].get_ydata())) if border else (0.0, 0.0)
    match budget:
        case EnergyBudget(joules):
            assert np.all(joules == E)
        case PowerBudget(watts):
            assert pytest.approx(watts * T, rel=1e-15) == E
        case Deadline(seconds):
            assert np.all(seconds == T)
        case _:
            assert border == []


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.02), (1.0, 9.0), (3.7, 4.4), (0.013, 0.09), (120.0, 1000.0), (2.0, 2.0)]
)
def test_ticks_are_few_round_and_within(low: float, high: float) -> None:
    ticks = frontplot._ticks(low, high)
    assert 1 <= len(ticks) <= 10
    assert ticks == sorted(ticks)
    slack = 1e-12 * high
    assert low - slack <= ticks[0] <= ticks[-1] <= high + slack
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[:1], rtol=1e-9)


def test_a_default_that_does_not_fit_a_column_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("frequency_min[Hz],frequency_max[Hz],samples,channel_gain,bandwidth[Hz],power_min[W]\n"
                    "1e8,1e9,10,1e-11,1e6,0\n1e8,1e9,10,1e-11,1e6,0.3\n")  # fmt: skip
    with pytest.raises(InputError, match=r"fleet\.csv, line 3"):
        tables.read_clients(path)


def test_stops_without_an_answer_are_all_said() -> None:
    """Under a shared uplink, too: whoever is beyond all channels is named, with what is missing."""
    deaf = fleet(channel_gain=[1e-11, 0.0, 1e-11, 1e-11])
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    found = fedopt.schedule(deaf, work, EnergyBudget(2.0), access=SharedBandwidth(1e6))
    assert found.status is fedopt.Status.INFEASIBLE
    assert found.clients == (1,)


def test_less_than_a_decade_has_ticks_of_its_own() -> None:
    """Clients that hardly can compute slower have little to choose: a logarithmic axis would have one tick or none."""
    clients = fleet(frequency_min=9e8, channel_gain=1e-9)
    front = fedopt.pareto(Problem(clients, TYPES, budget=EnergyBudget(9.0), partitions=[(4, 0)]))
    axes = frontplot.draw_front(front, points={"far": (2e3, 9.0)}).axes[0]
    low, high = axes.get_ylim()
    assert high < 10.0 * low
    assert len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 3


@pytest.mark.parametrize(
    ("budget", "utility", "said"),
    [
        (EnergyBudget(0.2), "replica_rate", "replicas per second (none above "),
        (PowerBudget(0.05), "shortest_round", "s (none above "),
        (Deadline(20.0), "least_energy", "(none above "),
        (TimePrice(0.25), lambda partition, T, E: -E - T, ""),
    ],
)
def test_the_headline_of_every_budget_and_utility(budget: Any, utility: Any, said: str) -> None:
    problem = problem_of(budget, utility=utility)
    solution = fedopt.solve(problem)
    rows = dict(report.headline(problem, solution).rows)
    number, _, rest = rows["utility"].partition(" ")
    assert float(number) == pytest.approx(solution.utility, rel=1e-5)
    assert rest.startswith(said)
    proved = "the best of all matchings of this partition, proved" in rows["duration"]
    assert proved is isinstance(budget, EnergyBudget | PowerBudget)
    by_channel = fedopt.solve(problem_of(budget), matching="sorted")
    sentence = dict(report.headline(problem_of(budget), by_channel).rows)["utility"]
    assert "(no sorted matching above " in sentence


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (EnergyBudget(1e6), "of the budget are not used"),
        (PowerBudget(np.inf), "the budget is no limit"),
        (Deadline(20.0), ""),
        (TimePrice(0.3), ""),
    ],
)
def test_what_is_not_used_of_a_budget(budget: Any, said: str) -> None:
    solution = fedopt.solve(problem_of(budget))
    assert report.unused(budget, solution).endswith(said)
    assert bool(report.unused(budget, solution)) is bool(said)


def test_what_is_broken_stands_in_the_headline() -> None:
    problem = problem_of()
    solution = fedopt.solve(problem)
    bad = fedopt.Verdict(energy=1.0, duration=1.0, violation=2.0, violations=("one thing", "another"))
    rows = dict(report.headline(problem, dataclasses.replace(solution, verdict=bad)).rows)
    assert rows["judge"] == "one thing; another"


def test_what_is_open_of_a_bracket_is_said_of_an_energy_budget() -> None:
    """A power budget is never next to E_inf: the longer the round, the more it allows."""
    timing = Timing(stop=Stop.OPTIMAL, duration=1.0, lower=0.9, upper=1.1, passes=1, point=None)
    assert left_open(PowerBudget(1.0), timing) == ""
    assert "0.2 of the duration" in left_open(EnergyBudget(1.0), timing)


def test_the_sub_models_may_be_those_of_what_is_trained() -> None:
    training = {"rounds": 3, "seed": 7}
    document = {"version": 1, "clients": ONE, "budget": {"deadline": 30.0}, "training": training}
    scenario = from_document(document, footprints=lambda given: TYPES[:1] if given == training else TYPES)
    assert scenario.problem.submodels == TYPES[:1]


def test_a_key_of_many_parts_is_refused_by_its_line() -> None:
    assert toml.loads("a.b.c = 1e3") == {"a": {"b": {"c": 1e3}}}
    with pytest.raises(ValueError, match=r"more than 16 parts \(at line 2\)"):
        toml.loads("a = 1\n" + ".".join("b" * 20) + " = 1")
    with pytest.raises(ValueError, match="beyond a double's range"):
        toml.loads("a = 1e999")
    with pytest.raises(ValueError, match="beyond a double's range: -2_0E-400"):
        toml.loads("a = -2_0E-400")
    assert toml.loads("a = 0e-999\nb = -0.0\nc = [inf, 5e-324]") == {"a": 0.0, "b": 0.0, "c": [np.inf, 5e-324]}


def test_a_frame_of_objects_is_read_if_they_are_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    columns = {name: np.full(4, value) for name, value in ONE.items()}
    frame = pandas.DataFrame({**columns, "samples": np.array([1, 2.0, 3, 4], dtype=object)})
    assert fedopt.Clients.from_frame(frame).samples.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_column_of_one_number_broadcast_is_one_number() -> None:
    work = fedopt.Workload(cycles=np.broadcast_to(1e9, (4,)), upload_bits=np.full(4, 1e5))
    assert work.cycles.tolist() == [1e9] * 4
    assert work.cycles.strides == (0,)


@pytest.mark.parametrize("matching", ["exact", "sorted"])
def test_a_front_answers_the_same_where_no_table_pays(matching: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table of all rows does not pay, a matching's duration is level 2's own; solve() answers anew."""
    front = fedopt.pareto(problem_of(partitions=[(2, 2)]), matching=matching, points=3)
    T, E = front.curves[0].duration, front.curves[0].energy
    budgets = [*(EnergyBudget(e) for e in np.geomspace(E.min() * 1.0001, E.max() * 1.1, 4)), PowerBudget(0.01)]
    for budget in (*budgets, Deadline(float(T.mean())), TimePrice(0.1), EnergyBudget(float(E[1]))):
        known = fedopt.solve(problem_of(budget, partitions=[(2, 2)]), matching=matching)
        for entries in (fixed._ENTRIES, 0):
            monkeypatch.setattr(fixed, "_ENTRIES", entries)
            found = front.at(budget)
            assert found.status.solved is known.status.solved
            assert found.utility == pytest.approx(known.utility, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_search_that_was_stopped_without_a_ceiling_claims_no_bound(stopped: bool) -> None:
    """A search that ran to its end proves its own answer the best; one that was stopped, only what it says."""
    problem = problem_of(partitions=[(2, 2)])
    solution = fedopt.solve(problem, matching="sorted")
    assert solution.assignment is not None
    assert solution.partition is not None
    work = problem.clients.workload(TYPES, solution.assignment)
    round_ = fedopt.schedule(problem.clients, work, problem.budget)
    found = Searched(
        results=np.zeros((1, 3)), passes=1, assign=lambda p: solution.assignment, proof=Proof.SORTED, stopped=stopped
    )
    claim = claims.claim_of(problem, found, solution.partition, round_)
    assert claim == ({} if stopped else {"bound": pytest.approx(solution.utility), "scope": "sorted matchings"})


def test_a_mask_that_hides_nothing_is_no_gap() -> None:
    gain = np.ma.array([1e-11, 2e-11, 3e-11, 4e-11], mask=[False] * 4)
    assert fleet(channel_gain=gain).channel_gain.tolist() == [1e-11, 2e-11, 3e-11, 4e-11]
    with pytest.raises(InputError, match="a masked entry"):
        fleet(channel_gain=np.ma.array(gain.data, mask=[False, True, False, False]))


def test_a_shared_uplink_that_is_given_up_leaves_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    gives_up = Outcome.decided(infeasible(Stop.LIMIT, 7))
    monkeypatch.setattr(timedivision, "schedule", lambda rows, hertz, goal, value: gives_up)
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    found = fedopt.schedule(fleet(), work, EnergyBudget(2.0), access=TimeDivision(1e6))
    assert found.status is fedopt.Status.LIMIT
    assert found.reason == "Stopped at a limit: no answer is in hand."
    assert math.isnan(found.duration)
    assert found.clients == ()


def test_a_matching_that_is_kept_and_given_up_is_not_called_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = dataclasses.replace(problem_of(), access=TimeDivision(1e6))
    warm = fedopt.solve(problem)
    monkeypatch.setattr(
        timedivision, "schedule", lambda rows, hertz, goal, value: Outcome.decided(infeasible(Stop.LIMIT, 7))
    )
    found = fedopt.solve(problem, warm=warm, keep="matching")
    assert found.status is fedopt.Status.LIMIT
    assert fedopt.verify(problem, found).ok


def test_a_box_without_an_answer_and_one_whose_start_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matching does with a billionth of a joule; where no other is shorter, the start's own root is the answer."""
    front = fedopt.pareto(problem_of(partitions=[(2, 2)]), points=3)
    curve = front.curves[0]

    def box(point: int, joules: float) -> Box:
        return Box(menu=front.menu, curve=curve, point=point, goal=Goal.ENERGY, value=joules, fixed=front.fixed)

    assert box(0, 1e-9).kept() is None
    assert box(1, 1e-9).least() is None
    assert box(len(curve.duration), 1e-9).least() is None
    start = box(1, float(curve.energy[1]))
    none = least.Least(assignment=None, duration=math.inf, lower=float(curve.duration[1]), matchings=1)
    monkeypatch.setattr(least, "least_duration", lambda *arguments, **more: none)
    found = start.least()
    assert found is not None
    assert np.array_equal(found.assignment, curve.assignment[1])
    assert found.duration == pytest.approx(curve.duration[1], rel=1e-9)
    assert found.lower == none.lower
