"""The strategies for users: they draw what they say, and what fedopt answers to it is honest, whatever is drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import fedopt
from fedopt.clients import FIELD
from fedopt.scenario import from_document, read_scenario, to_document, write_scenario
from fedopt.testing import clients, problems, scenarios, submodels, workloads

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


def honest(solution: fedopt.Solution) -> None:
    """Solved means judged; anything else carries no number that could be taken for an answer; none is inaccurate."""
    assert solution.status is not fedopt.Status.INACCURATE, solution.reason
    if solution.status.solved:
        assert solution.verdict is not None
        assert solution.verdict.feasible, solution.verdict
        assert solution.duration > 0.0 or solution.energy == 0.0
    elif solution.allocation is None:
        assert np.isnan([solution.duration, solution.energy, solution.utility]).all()
    assert solution.reason


@pytest.mark.parametrize("hostile", [False, True])
@settings(SLOW, max_examples=15)
@given(st.data())
def test_every_problem_gets_an_honest_answer(hostile: bool, data: st.DataObject) -> None:
    honest(fedopt.solve(data.draw(problems(max_size=4, hostile=hostile))))


@pytest.mark.nightly("R18", 10_000)
@settings(SLOW, max_examples=10_000)
@given(problems(max_size=4, hostile=True, shared=True))
def test_ten_thousand_hostile_problems(problem: fedopt.Problem) -> None:
    honest(fedopt.solve(problem))


def comes_back(scenario: Any, path: Path) -> None:
    write_scenario(scenario.problem, path, **scenario.settings)
    back = read_scenario(path)
    assert repr(to_document(back.problem)) == repr(to_document(scenario.problem))
    assert back.settings == scenario.settings
    for name in FIELD:
        given, read = (getattr(each.problem.clients, name) for each in (scenario, back))
        assert given.tobytes() == read.tobytes()


@settings(SLOW, max_examples=40)
@given(scenarios(hostile=True))
def test_every_scenario_is_written_and_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, scenario: Any
) -> None:
    comes_back(scenario, tmp_path_factory.mktemp("scenario") / "a.toml")
    document = to_document(scenario.problem)
    assert repr(to_document(from_document(document).problem)) == repr(document)


@pytest.mark.nightly("R18", 10_000)
@settings(SLOW, max_examples=10_000)
@given(scenarios(hostile=True))
def test_ten_thousand_scenarios(tmp_path_factory: pytest.TempPathFactory, scenario: Any) -> None:
    comes_back(scenario, tmp_path_factory.mktemp("scenario") / "a.toml")


@settings(SLOW, max_examples=30)
@given(st.data())
def test_allocations_of_any_work_keep_to_their_duration(data: st.DataObject) -> None:
    fleet = data.draw(clients(max_size=5, hostile=True))
    work = data.draw(workloads(len(fleet), hostile=True))
    found = fedopt.allocate(fleet, work, duration=data.draw(st.sampled_from([1e-3, 1.0, 30.0, 1e6])))
    assert np.isinf(found.energy[~found.feasible]).all()
    limited = np.isfinite(fleet.power_max)  # else what there is to send in the time left may take more than a double
    assert np.isfinite(found.energy[found.feasible & limited]).all()
    assert not np.isnan(found.energy).any()


KINDS = {
    "a tie": lambda fleet: len(fleet) > 2 and len(set(fleet.frequency_max.tolist())) == 1,
    "no range": lambda fleet: bool((fleet.frequency_min == fleet.frequency_max).any()),
    "no channel": lambda fleet: bool((fleet.channel_gain == 0.0).any()),
    "far decades": lambda fleet: bool(fleet.bandwidth.max() > 1e12 * fleet.bandwidth.min()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_fleets_are_what_they_are_said_to_be(kind: str) -> None:
    assert (
        find(
            clients(hostile=True),
            KINDS[kind],
            settings=settings(max_examples=5000, database=None, phases=[Phase.generate]),
        )
        is not None
    )


def test_hostile_types_have_idle_places() -> None:
    assert find(submodels(hostile=True), lambda types: types[-1].is_idle)[-1].is_idle


@pytest.mark.parametrize("strategy", [clients, submodels])
def test_nothing_is_not_drawn(strategy: Any) -> None:
    with pytest.raises(fedopt.InputError, match="min_size: expected a whole number of at least 1, found 0"):
        strategy(min_size=0, max_size=0)


def test_without_hypothesis_it_says_what_is_missing() -> None:
    code = """
import sys
sys.modules["hypothesis"] = None
from fedopt import MissingExtra
try:
    import fedopt.testing
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(fedopt.__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert "pip install 'fedopt[testing]'" in done.stdout
