"""The mixed-integer program of partition and matching: against every matching; how a solver is asked and read."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import Made, drawn, partitions

pytest.importorskip("pulp")

import pulp
from test_milp import Exhaustive

from solvers.matching import milp


@pytest.mark.parametrize("installed", [True, False])
def test_the_solver_is_highs_where_it_is_installed(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if installed and name == "highspy" else None)
    assert milp.solver_name() == ("HiGHS" if installed else "CBC")


def test_the_program_in_any_unit_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """The same matching, of energies from nothing to very many joules; against every matching."""
    menu: Made = drawn(1, 4, (1, 2, 0))
    costs = menu.costs(20.0).T
    for replicas in (0.5, 2.0, 4.0):
        for given in (None, partitions(menu)[1:3]):
            truth = Exhaustive()(costs, menu.covers, menu.weights, replicas, given)
            for unit in (2.0**-60, 1.0, 2.0**60):
                found = milp.cheapest(unit * costs, menu.covers, menu.weights, replicas, given)
                assert (found is None) == (truth is None)
                if found is not None and truth is not None:
                    assert found[0].tolist() == truth[0].tolist()
                    assert found[1] == pytest.approx(unit * truth[1], rel=1e-12)
    free = milp.cheapest(np.zeros((3, 3)), menu.covers, menu.weights, 3.0)
    assert free is not None
    assert (free[0].tolist(), free[1]) == ([0, 0, 0], 0.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "kind", "threads"), [("HiGHS", pulp.HiGHS, 1), ("CBC", pulp.PULP_CBC_CMD, None)])
def test_how_the_solver_is_asked(
    name: str, kind: type[Any], threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In silence, on one thread (CBC's default), for an optimum: no gap in joules, and hardly any of the whole."""
    monkeypatch.setattr(milp, "solver_name", lambda: name)
    asked: list[Any] = []
    program: Any = SimpleNamespace(status=pulp.LpStatusOptimal, sol_status=pulp.LpSolutionOptimal, solve=asked.append)
    assert milp._solved(program)
    assert isinstance(asked[0], kind)
    options = vars(asked[0]) | asked[0].optionsDict
    assert (options["msg"], options["gapAbs"], options.get("threads")) == (False, 0.0, threads)
    assert options["gapRel"] <= 1e-9


def test_cheap_clients_count_beside_dear_ones() -> None:
    """Of three, two at a billionth of the third's energy: each in the place where it takes less."""
    costs = np.array([[1.0, 2.0], [3e-9, 2e-9], [1e-9, 2e-9]])
    found = milp.cheapest(costs, np.array([1, 1]), np.array([1.0, 1.0]), 0.0)
    assert found is not None
    assert found[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("dear", [1e3, 1e8, 1e10, 1e12])
def test_one_dear_pair_does_not_hide_the_others(dear: float) -> None:
    """Once every other cost was below the solver's tolerance: 36 % too dear beside 1e10 times as much."""
    weights, covers = np.array([1.0, 1.0]), np.array([1, 1])
    for seed in range(8):
        costs = np.random.default_rng(seed).uniform(1.0, 3.0, (5, 2))
        costs[seed % 5, seed % 2] = dear
        counts = np.array([[3, 2], [2, 3]])
        found = milp.cheapest(costs, covers, weights, 0.0, counts)
        best = Exhaustive()(costs, covers, weights, 0.0, counts)
        assert found is not None
        assert best is not None
        assert found[1] == pytest.approx(best[1], rel=1e-9)


def test_who_fits_nowhere_needs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = np.ones((3, 3))
    costs[1] = np.inf
    monkeypatch.setattr(milp, "_solved", None)
    assert milp.cheapest(costs, np.array([1, 2, 1]), np.array([1.0, 0.5, 0.0]), 0.0) is None


def test_replicas_are_asked_for_less_their_rounding() -> None:
    assert milp._rounded(3.0 * (1.0 / 3.0)) < 1.0 / 3.0 + 1.0 / 3.0 + 1.0 / 3.0
    for replicas, less in ((0.25, 1e-9), (0.0, 1e-9), (4.0, 4e-9), (1e6, 1e-3), (-4.0, 4e-9)):
        assert replicas - milp._rounded(replicas) == pytest.approx(less, rel=1e-6)


@pytest.mark.parametrize(
    ("status", "solution", "answer"),
    [
        (pulp.LpStatusOptimal, pulp.LpSolutionOptimal, True),
        (pulp.LpStatusInfeasible, pulp.LpSolutionInfeasible, False),
        (pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible, None),
        (pulp.LpStatusNotSolved, pulp.LpSolutionOptimal, None),
        (pulp.LpStatusUnbounded, pulp.LpSolutionUnbounded, None),
    ],
)
def test_only_an_optimum_or_a_proof_that_there_is_none_is_an_answer(
    status: int, solution: int, answer: bool | None
) -> None:
    program: Any = SimpleNamespace(status=status, sol_status=solution, solve=lambda solver: None)
    if answer is None:
        with pytest.raises(milp.SolverError, match="stopped with status"):
            milp._solved(program)
    else:
        assert milp._solved(program) is answer


def test_how_binaries_are_read() -> None:
    """To a millionth; energies are those of the costs; who has no type, or half of one, is an error."""
    costs = np.array([[1.0, 2.0], [4.0, 8.0]])

    def read(values: dict[tuple[int, int], float | None]) -> tuple[list[int], float]:
        takes: Any = {pair: SimpleNamespace(value=lambda value=value: value) for pair, value in values.items()}
        assignment, energy = milp._read(takes, costs)
        return assignment.tolist(), energy

    assert read({(0, 0): 9e-7, (0, 1): 1.0 - 9e-7, (1, 0): 1.0, (1, 1): -9e-7}) == ([1, 0], 6.0)
    assert read({(0, 0): 1.0, (1, 1): 1.0}) == ([0, 1], 9.0)
    for values in ({(0, 0): 1.0, (1, 0): 2e-6}, {(0, 0): 1.0 - 2e-6, (1, 0): 1.0}, {(0, 0): None, (1, 0): 1.0}):
        with pytest.raises(milp.SolverError, match="for a binary"):
            read(values)  # type: ignore[arg-type]
    for values in ({(0, 0): 1.0, (1, 0): 0.0}, {(0, 0): 0.0, (1, 0): 1.0}):
        with pytest.raises(milp.SolverError, match="without a type"):
            read(values)  # type: ignore[arg-type]
