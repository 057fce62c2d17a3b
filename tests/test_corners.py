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
from corners import TYPES, fleet, problem_of

import fedopt
import fedopt.plots
from fedopt import (
    Deadline,
    EnergyBudget,
    InputError,
    MissingExtra,
    Problem,
    SharedBandwidth,
    TimePrice,
    candidates,
    disk,
    effects,
    files,
)
from fedopt.devices import freqbench, phones64, traces
from fedopt.scenario import from_document
from solvers.rows import Stop


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


def test_infinite_numbers_count_as_no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a record they are objects of one key; other objects are counted."""

    def bounded(most: float) -> fedopt.Problem:
        problem = problem_of()
        return dataclasses.replace(problem, clients=problem.clients.replace(power_max=[most] * 2 + [1.0] * 2))

    problem, endless = bounded(2.0), bounded(math.inf)
    files.write_json(problem, fedopt.solve(problem), tmp_path / "bounded.json")
    raw = (tmp_path / "bounded.json").read_bytes()
    parts, numbers = disk.marks(raw, b"[{:"), raw.count(b'{"float":')
    monkeypatch.setattr(disk, "NESTED", parts - 2 * numbers)
    files.write_json(endless, fedopt.solve(endless), tmp_path / "endless.json")
    assert disk.marks((tmp_path / "endless.json").read_bytes(), b"[{:") > parts
    assert files.read_json(tmp_path / "endless.json").problem.clients.power_max[0] == math.inf
    monkeypatch.setattr(disk, "NESTED", parts - 2 * numbers - 1)
    with pytest.raises(InputError, match=f"at most {parts - 1} lists, objects and keys, found {parts}"):
        files.read_json(tmp_path / "bounded.json")


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
        ("exact", TimePrice(9.0), {}, ""),
        ("exact", TimePrice(9.0), {"utility": "least_energy"}, "least_energy needs no list under a Deadline only"),
        ("marginal", EnergyBudget(9.0), {}, "only 'exact' and 'sorted' need no list"),
        ("exact", EnergyBudget(9.0), {"access": SharedBandwidth(1e6)}, "on the clients' own channels need no list"),
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


def test_an_answer_at_a_limit_that_breaks_a_bound_is_none_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    import solvers.access.shared as shared

    fine = shared.schedule

    def hasty(rows: Any, hertz: float, goal: Any, value: float) -> Any:
        outcome = fine(rows, hertz, goal, value)
        assert outcome.timing.point is not None
        point = dataclasses.replace(outcome.timing.point, frequency=2.0 * outcome.timing.point.frequency)
        return dataclasses.replace(
            outcome, timing=dataclasses.replace(outcome.timing, stop=Stop.LIMIT, point=point), gap=1.0
        )

    monkeypatch.setattr(shared, "schedule", hasty)
    problem = dataclasses.replace(problem_of(partitions=[(4, 0)]), access=fedopt.SharedBandwidth(1e6))
    solution = fedopt.solve(problem, matching="sorted")
    assert solution.status is fedopt.Status.INACCURATE
    assert "the energy exceeds" in solution.reason


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
