"""Corners of what a user meets: extras that are missing, files that are none, sizes that do not fit, no time at all."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import (
    Deadline,
    EnergyBudget,
    InputError,
    MissingExtra,
    PowerBudget,
    Problem,
    SharedBandwidth,
    TimeDivision,
    TimePrice,
    candidates,
    claims,
    disk,
    effects,
    files,
    frontplot,
    report,
    tables,
    toml,
    verdict,
)
from fedopt.box import Box
from fedopt.devices import freqbench, phones64, traces
from fedopt.reasons import left_open
from fedopt.scenario import from_document
from solvers.access import Outcome, timedivision
from solvers.duration.verdicts import infeasible
from solvers.matching import fixed, least
from solvers.matching.task import Proof, Searched
from solvers.rows import Goal, Stop, Timing

ONE = {"frequency_min": 1e8, "frequency_max": 1e9, "samples": 100.0, "channel_gain": 1e-11, "bandwidth": 1e6}
TYPES = (
    fedopt.SubModel("L", flops=3e7, upload_bits=4e5),
    fedopt.SubModel("S", flops=1e7, upload_bits=2e5, cover=2),
)


def fleet(size: int = 4, **changes: Any) -> fedopt.Clients:
    return fedopt.Clients(**{**ONE, "samples": np.linspace(100.0, 200.0, size), **changes})


def problem_of(budget: Any = None, **more: Any) -> Problem:
    return Problem(fleet(), TYPES, budget=budget or EnergyBudget(2.0), **more)


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("matplotlib.figure", "fedopt[plots]", fedopt.plots.figure_type),
        ("pandas", "pandas", lambda: fleet().to_frame()),
        ("pandas", "pandas", lambda: fedopt.Clients.from_frame(None)),
        ("hypothesis", "fedopt[testing]", lambda: load_again("fedopt.testing")),
    ],
)
def test_a_missing_extra_is_an_error_that_says_how_to_get_it(
    module: str, extra: str, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match="pip install") as caught:
        call()
    assert extra in str(caught.value)
    assert caught.value.name == module


def load_again(name: str) -> None:
    """A module anew, beside the one that is imported."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_columns_that_do_not_fit_are_refused() -> None:
    for field, call in (
        ("Clients.samples", lambda: fleet(samples=[])),
        ("Clients.speed", lambda: fleet().replace(speed=1.0)),
        ("Clients.name", lambda: fleet(name=["a", "b"])),
        ("Clients.frequency_max", lambda: fleet(frequency_max=[1e9, 1e9, 1e9])),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.field == field
    assert fleet(name=np.array(["a", "b", "c", "d"])).name == ("a", "b", "c", "d")


def test_one_number_broadcast_stays_one_number() -> None:
    clients = fleet(channel_gain=np.broadcast_to(1e-11, (4,)))
    assert clients.channel_gain.strides == (0,)
    assert clients.channel_gain.tolist() == [1e-11] * 4
    found = fedopt.allocate(clients, fedopt.Workload(cycles=1e9, upload_bits=1e5), duration=10.0)
    assert len(found) == 4


def test_a_number_of_too_many_digits_is_not_printed() -> None:
    with pytest.raises(InputError, match="too long to be shown"):
        from_document({"version": 10**5000})


def test_the_phones_without_fading_differ_by_a_draw_of_it() -> None:
    """Rayleigh fading: the ratio of the gains is a draw of Exp(1), of mean 1 and variance 1 (64 draws: 4 sigma)."""
    faded, mean = phones64(), phones64(faded=False)
    ratio = faded.channel_gain / mean.channel_gain
    assert abs(ratio.mean() - 1.0) < 0.5
    assert len(set(ratio.tolist())) == 64
    assert np.array_equal(faded.frequency_max, mean.frequency_max)


@pytest.mark.parametrize("read", [freqbench.read_freqbench, traces.read_sample_counts])
def test_tables_that_are_no_text(read: Any, tmp_path: Path) -> None:
    for content in (b"\xff\xfe\xff", b'"open,1\n2,3\n'):
        (tmp_path / "table.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"table\.csv"):
            read(tmp_path / "table.csv")


def test_what_is_no_file_or_grows_is_not_read() -> None:
    with pytest.raises(InputError, match="a regular file"):
        disk.read_limited(os.devnull, 100)
    if Path("/proc/self/status").exists():  # its size is 0, whatever it says
        with pytest.raises(InputError, match="a file that grows"):
            disk.read_limited("/proc/self/status", 100)


def test_a_record_beyond_the_limit_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of()
    solution = fedopt.solve(problem)
    monkeypatch.setattr(files, "LIMIT", 1000)
    with pytest.raises(InputError, match="at most 1,000 bytes"):
        files.write_json(problem, solution, tmp_path / "answer.json")
    assert list(tmp_path.iterdir()) == []


def test_bandwidths_of_other_clients_are_refused(tmp_path: Path) -> None:
    problem = problem_of(access=SharedBandwidth(1e6))
    solution = fedopt.solve(problem)
    assert solution.sharing is not None
    other = dataclasses.replace(solution.sharing, bandwidth=np.full(3, 1e5))
    files.write_json(problem, dataclasses.replace(solution, sharing=other), tmp_path / "answer.json")
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        files.read_json(tmp_path / "answer.json")


@pytest.mark.parametrize(
    ("matching", "budget", "more", "said"),
    [
        ("exact", EnergyBudget(9.0), {}, ""),
        ("sorted", Deadline(9.0), {"utility": "least_energy"}, ""),
        ("marginal", EnergyBudget(9.0), {}, "only 'exact' and 'sorted' need no list"),
        ("exact", EnergyBudget(9.0), {"access": SharedBandwidth(1e6)}, "on the clients' own channels need no list"),
        ("exact", TimePrice(9.0), {}, "at a price of time every partition has a duration of its own"),
        ("exact", EnergyBudget(9.0), {"utility": "least_energy"}, "least_energy needs no list under a Deadline only"),
        ("exact", EnergyBudget(9.0), {"utility": lambda p, T, E: 1.0 / T}, "a callable says nothing of partitions"),
    ],
)
def test_who_needs_a_list_of_too_many_partitions(matching: str, budget: Any, more: Any, said: str) -> None:
    types = [fedopt.SubModel(str(k), flops=1e7 * k, upload_bits=1e5) for k in range(1, 9)]
    problem = Problem(fleet(500), types, budget=budget, **more)
    if not said:
        assert candidates.candidates_of(problem, matching).shape == (0, 8)
        return
    with pytest.raises(InputError, match=said):
        candidates.candidates_of(problem, matching)


@pytest.mark.parametrize("keep", ["partition", "matching"])
def test_there_must_be_something_to_keep(keep: str) -> None:
    nothing = fedopt.solve(problem_of(EnergyBudget(1e-9)))
    assert nothing.status is fedopt.Status.INFEASIBLE
    for warm in (None, nothing):
        with pytest.raises(InputError, match="a warm start with a decision to keep"):
            fedopt.solve(problem_of(), warm=warm, keep=keep)
    other = fedopt.solve(Problem(fleet(6), TYPES, budget=EnergyBudget(9.0)))
    with pytest.raises(InputError, match="a solution of 4 clients and 2 types"):
        fedopt.solve(problem_of(), warm=other, keep=keep)


def test_a_matching_that_is_kept_may_not_meet_less() -> None:
    warm = fedopt.solve(problem_of())
    same = fedopt.solve(problem_of(), warm=warm, keep="matching")
    assert same.duration == pytest.approx(warm.duration, rel=1e-12)
    found = fedopt.solve(problem_of(EnergyBudget(1e-9)), warm=warm, keep="matching")
    assert found.status is fedopt.Status.INFEASIBLE
    assert found.reason.endswith("Only the matching kept was tried: others may meet it.")


@pytest.mark.parametrize("utility", ["replica_rate", "shortest_round", "least_energy"])
@pytest.mark.parametrize("budget", [EnergyBudget(2.0), Deadline(5.0), EnergyBudget(1e-9)], ids=str)
@pytest.mark.parametrize("matching", ["exact", "sorted"])
def test_without_a_list_the_best_is_the_best_of_the_list(
    matching: str, budget: Any, utility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three partitions, taken for too many; stopped at once, the best is at most the bound and at least the answer."""
    problem = problem_of(budget, utility=utility)
    listed = fedopt.solve(problem, matching=matching)
    monkeypatch.setattr(candidates, "too_many", lambda size, types: True)
    found = fedopt.solve(problem, matching=matching)
    assert found.status is listed.status
    assert found.utility == pytest.approx(listed.utility, rel=1e-9, nan_ok=True)
    assert found.stats["partitions"] == 3.0
    stopped = fedopt.solve(problem, matching=matching, time_limit=0.0)
    if listed.allocation is not None:
        assert stopped.utility <= listed.utility + 1e-9 * abs(listed.utility)
        assert not stopped.bound < listed.utility - 1e-9 * abs(listed.utility)
    elif stopped.status is fedopt.Status.LIMIT:
        assert stopped.reason == "Stopped before any answer was found or proved impossible, at the time limit of 0 s."
        assert math.isnan(stopped.duration)


@pytest.mark.parametrize("budget", [EnergyBudget(1e-9), TimePrice(1.0)], ids=str)
def test_no_time_at_all_proves_nothing(budget: Any) -> None:
    found = fedopt.solve(problem_of(budget), time_limit=0.0)
    assert found.status is fedopt.Status.LIMIT
    assert "at the time limit of 0 s" in found.reason
    assert math.isnan(found.bound)
    assert found.scope == ""


def test_a_matching_that_is_not_the_partitions_is_called_inaccurate(monkeypatch: pytest.MonkeyPatch) -> None:
    import solvers.matching.sorted as level1

    fine = level1.search

    def everybody_small(task: Any) -> Any:
        return dataclasses.replace(fine(task), assign=lambda p: np.ones(4, dtype=np.int64))

    monkeypatch.setattr(level1, "search", everybody_small)
    solution = fedopt.solve(problem_of(partitions=[(2, 2)]), matching="sorted")
    assert solution.status is fedopt.Status.INACCURATE
    assert "0 clients train 'L', the partition says 2" in solution.reason


def test_changes_that_leave_no_answer_save_nothing() -> None:
    """A hundred times the data within the same deadline; a CPU beyond all numbers."""
    problem = problem_of(Deadline(5.0))
    solution = fedopt.solve(problem)
    found = fedopt.sensitivity(problem, solution)
    assert solution.assignment is not None
    for field, factor in (("samples", 100.0), ("frequency_max", 1e250)):
        assert effects._saved(problem, solution.assignment, found, 0, field, factor) == 0.0


def test_at_a_price_of_time_a_change_saves_energy_and_time() -> None:
    """The first sentence's saving is the difference of energy + price x duration, of the changed fleet solved anew."""
    problem = problem_of(TimePrice(0.3), partitions=[(4, 0)])
    solution = fedopt.solve(problem)
    found = fedopt.sensitivity(problem, solution)
    assert solution.assignment is not None
    more = fleet(channel_gain=np.array([1e-11, 1e-11, 1e-11, 2e-11]))
    answer = fedopt.schedule(more, more.workload(TYPES, solution.assignment), TimePrice(0.3))
    saved = effects._saved(problem, solution.assignment, found, 3, "channel_gain", 2.0)
    assert saved == pytest.approx(solution.energy + 0.3 * solution.duration - answer.energy - 0.3 * answer.duration)
    assert saved > 0.0
    assert fedopt.bottlenecks(problem, solution)[0].startswith("Client ")


def broken(frequency: float) -> Any:
    """A level 3 that sets every frequency to a number [Hz] without saying so in its energies."""
    from solvers.allocation.kernel import allocate

    def method(rows: Any, duration: float) -> Any:
        point = allocate(rows, duration)
        return dataclasses.replace(point, frequency=np.full(len(point.energy), frequency))

    return method


@pytest.mark.parametrize(("frequency", "said"), [(2e9, "computes above frequency_max"), (1e7, "frequency_min")])
def test_a_method_that_breaks_a_bound_is_called_inaccurate(
    frequency: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import solvers.allocation.reference as reference

    monkeypatch.setattr(reference, "allocate", broken(frequency))
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    found = fedopt.schedule(fleet(), work, EnergyBudget(2.0), allocation="reference", timing="bisection")
    assert found.status is fedopt.Status.INACCURATE
    assert said in found.reason
    solution = fedopt.solve(problem_of(), matching="sorted", allocation="reference", timing="bisection")
    assert solution.status is fedopt.Status.INACCURATE
    assert said in solution.reason


def test_a_method_that_fails_leaves_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import solvers.allocation.reference as reference

    fine = reference.allocate

    def fails(rows: Any, duration: float) -> Any:
        point = fine(rows, duration)
        return dataclasses.replace(point, energy=np.full(len(point.energy), np.nan))

    monkeypatch.setattr(reference, "allocate", fails)
    work = fedopt.Workload(cycles=1e9, upload_bits=1e5)
    found = fedopt.schedule(fleet(), work, EnergyBudget(2.0), allocation="reference", timing="bisection")
    assert found.status is fedopt.Status.LIMIT
    assert found.reason == "Stopped at a limit: no answer is in hand."
    assert math.isnan(found.duration)
    assert math.isnan(found.energy)


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
    for bound, said in ((1.0, "."), (1.0121, " by more than 1.3 %."), (1.0 + 1.234e-4, " by more than 0.013 %.")):
        found = dataclasses.replace(solution, utility=1.0, bound=bound, scope="all matchings")
        assert claims.scope_of(found) == f"No partition and no matching is better{said}"
    assert "inf %" in claims.scope_of(dataclasses.replace(solution, utility=1.0, bound=np.inf, scope="all matchings"))
    unsolved = fedopt.solve(problem_of(EnergyBudget(1e-9)))
    assert claims.stopped_at(unsolved, 1.0) is unsolved


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


def test_a_box_without_an_answer_and_one_whose_start_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matching does with a billionth of a joule; where no other is shorter, the start's own root is the answer."""
    front = fedopt.pareto(problem_of(partitions=[(2, 2)]), points=3)
    curve = front.curves[0]

    def box(point: int, joules: float) -> Box:
        return Box(menu=front.menu, curve=curve, point=point, goal=Goal.ENERGY, value=joules, fixed=front.fixed)

    assert box(0, 1e-9).kept() is None
    assert box(1, 1e-9).least() is None
    assert box(len(curve.duration), 1e-9).least() is None
    monkeypatch.setattr(least, "least_duration", lambda *arguments: None)
    start = box(1, float(curve.energy[1]))
    found = start.least()
    assert found is not None
    assert np.array_equal(found.assignment, curve.assignment[1])
    assert found.duration == pytest.approx(curve.duration[1], rel=1e-9)
