"""Answers that a user made by hand, or of another problem, a clear error, never a wrong table."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import InputError, PowerBudget, Problem, SharedBandwidth, frontplot, plausible, plots, report
from fedopt.access import Sharing
from fedopt.files import write_csv
from fedopt.timeline import holders, timeline

CLIENTS = fedopt.Clients(
    frequency_min=1e8, frequency_max=[1e9, 2e9, 3e9], samples=[100, 200, 300], channel_gain=1e-9, bandwidth=1e6
)
TYPES = (
    fedopt.SubModel("L", flops=34e6, upload_bits=540e3),
    fedopt.SubModel("S", flops=8e6, upload_bits=160e3),
)
PROBLEM = Problem(CLIENTS, TYPES, budget=PowerBudget(2.0))
SHARED = dataclasses.replace(PROBLEM, access=SharedBandwidth(1e6))
FOUND = fedopt.solve(PROBLEM)
NOTHING = fedopt.solve(dataclasses.replace(PROBLEM, budget=fedopt.EnergyBudget(1e-9)))
ODD: list[dict[str, Any]] = [
    {"partition": tuple(FOUND.partition or ())},
    *({"status": status} for status in ("OPTIMAL", 1, None)),
    {"reason": None},
    {"scope": None},
    {"allocation": {}},
    {"verdict": "feasible"},
    {"verdict": dataclasses.replace(FOUND.verdict, energy=None)},  # type: ignore[type-var]
    {"verdict": dataclasses.replace(FOUND.verdict, violations=None)},  # type: ignore[type-var]
    {"paper": dataclasses.replace(FOUND.paper, utility="1")},  # type: ignore[type-var]
    {"assignment": [0, 0, 0]},
    {"place_prices": [0.0, 1.0]},
    {"sharing": 1.0},
    {"clients": None},
    *({"bracket": ends} for ends in (None, (1.0,), (1.0, "2"), 3.0)),
    {"cost_bracket": None},
    *({name: None} for name in ("duration", "energy", "utility", "bound", "shortfall")),
    {"duration": np.array([1.0])},
    {"energy": True},
]


@pytest.mark.parametrize("changes", ODD, ids=str)
def test_a_field_of_the_wrong_kind_is_named(changes: dict[str, Any], tmp_path: Path) -> None:
    odd = dataclasses.replace(FOUND, **changes)
    (name,) = changes
    asked: list[Any] = [
        lambda: fedopt.verify(PROBLEM, odd),
        lambda: fedopt.write_solution(odd, tmp_path / "odd.json"),
        lambda: fedopt.sensitivity(PROBLEM, odd),
        lambda: fedopt.solve(PROBLEM, warm=odd),
        lambda: report.headline(PROBLEM, odd),
        lambda: plots.bars(PROBLEM, odd),
    ]
    for ask in asked:
        with pytest.raises(InputError, match=rf"^(Solution\.{name}|Verdict\.\w+|Rule\.utility): expected (an? |text)"):
            ask()
    schedule = fedopt.schedule(CLIENTS, CLIENTS.workload(TYPES, 0), PROBLEM.budget)
    if name in schedule.__slots__:
        with pytest.raises(InputError, match=rf"^(Schedule\.{name}|Verdict\.\w+): expected (an? |text)"):
            fedopt.verify_schedule(
                CLIENTS, CLIENTS.workload(TYPES, 0), PROBLEM.budget, dataclasses.replace(schedule, **changes)
            )


def test_columns_of_an_answer_are_arrays() -> None:
    assert FOUND.allocation is not None
    lists: dict[str, Any] = {name: getattr(FOUND.allocation, name).tolist() for name in FOUND.allocation.__slots__}
    with pytest.raises(InputError, match=r"Allocation\.frequency: expected an array, one entry per client, found list"):
        fedopt.Allocation(**lists)
    sharing = fedopt.solve(SHARED).sharing
    assert isinstance(sharing, Sharing)
    with pytest.raises(InputError, match=r"Sharing\.bandwidth: expected an array, one entry per client, found list"):
        dataclasses.replace(sharing, bandwidth=sharing.bandwidth.tolist())  # type: ignore[arg-type]


ARRAYS = [*(("allocation", name) for name in fedopt.Allocation.__slots__)]
ARRAYS += [("sharing", "bandwidth"), ("", "assignment"), ("", "place_prices")]
NO_NUMBERS: dict[str, Any] = {
    "masked": lambda values: np.ma.array(values, mask=np.arange(len(values)) == 1),
    "texts": lambda values: values.astype(str),
    "objects": lambda values: values.astype(object),
    "dates": lambda values: np.zeros(len(values), dtype="M8[s]"),
    "complex": lambda values: values + 0j,
}


def with_array(solution: fedopt.Solution, part: str, name: str, change: Any) -> fedopt.Solution:
    """The solution with other values in one array, its own or of one of its parts."""
    owner = getattr(solution, part) if part else solution
    changed = dataclasses.replace(owner, **{name: change(getattr(owner, name))})
    return dataclasses.replace(solution, **{part: changed}) if part else changed


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize(("part", "name"), ARRAYS)
def test_arrays_of_an_answer_hold_numbers_and_mask_none(part: str, name: str, kind: str, tmp_path: Path) -> None:
    problem = SHARED if part == "sharing" else PROBLEM
    solution = fedopt.solve(problem)
    odd = with_array(solution, part, name, NO_NUMBERS[kind])
    asked: list[Any] = [
        lambda: fedopt.verify(problem, odd),
        lambda: fedopt.write_solution(odd, tmp_path / "odd.json"),
        lambda: report.headline(problem, odd),
        lambda: fedopt.solve(problem, warm=odd),
    ]
    for ask in asked:
        with pytest.raises(InputError, match=rf"^{part.title() or 'Solution'}\.{name}: (client 1: )?expected "):
            ask()
    assert fedopt.verify(problem, with_array(solution, part, name, np.ma.array)).ok


BEYOND = 10**400
NUMBERS = ("duration", "energy", "utility", "bound", "shortfall")


@pytest.mark.parametrize(
    "changes",
    [
        *({name: sign * BEYOND} for name in NUMBERS for sign in (1, -1)),
        *({name: ends} for name in ("bracket", "cost_bracket") for ends in ((BEYOND, 1.0), (1.0, BEYOND))),
    ],
    ids="".join,
)
def test_a_number_that_no_double_holds_is_named(changes: dict[str, Any]) -> None:
    for solution in (FOUND, NOTHING):
        with pytest.raises(
            InputError, match=rf"^Solution\.{min(changes)}: expected a number within the range of a double"
        ):
            fedopt.verify(solution.problem or PROBLEM, dataclasses.replace(solution, **changes))
    shared = fedopt.solve(SHARED)
    assert shared.sharing is not None
    sharing = dataclasses.replace(shared.sharing, time_price=BEYOND)
    with pytest.raises(InputError, match=r"^Sharing\.time_price: expected a number within the range of a double"):
        fedopt.verify(SHARED, dataclasses.replace(shared, sharing=sharing))


def test_a_bracket_of_whole_numbers_as_wide_as_doubles_is_too_wide() -> None:
    wide = 17 * 10**307  # twice that is beyond
    assert not fedopt.verify(PROBLEM, dataclasses.replace(FOUND, bracket=(-wide, wide))).ok


def test_clients_named_by_numpy_are_clients(tmp_path: Path) -> None:
    named = dataclasses.replace(NOTHING, clients=tuple(map(np.int64, NOTHING.clients)))  # type: ignore[arg-type]
    assert NOTHING.problem is not None
    assert fedopt.verify(NOTHING.problem, named).complete
    fedopt.write_solution(named, tmp_path / "named.json")
    assert fedopt.read_solution(tmp_path / "named.json")[1].clients == NOTHING.clients
    odd = dataclasses.replace(NOTHING, clients=(0.5,))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Solution\.clients: expected a whole number"):
        fedopt.write_solution(odd, tmp_path / "named.json")


def test_plain_dicts_of_answers() -> None:
    """dataclasses.asdict copies every tuple, partitions too."""
    front = fedopt.pareto(PROBLEM, points=3)
    for answer in (FOUND, FOUND.paper, front.curves[0]):
        assert answer is not None
        plain = dataclasses.asdict(answer)
        assert plain["partition"] == tuple(answer.partition or ())
        assert json.dumps(plain["partition"]) == json.dumps(list(answer.partition or ()))
        assert dataclasses.astuple(answer)
    assert copy.deepcopy(FOUND.partition).replicas == 3.0  # type: ignore[union-attr]


@pytest.mark.parametrize("types", [None, (), ["L", "S"], 2])
def test_a_partition_is_of_types(types: Any) -> None:
    with pytest.raises(InputError, match=r"^Partition: expected"):
        fedopt.Partition((1, 2), types)


OTHERS: dict[str, tuple[Any, Any, str]] = {
    "fewer clients": (Problem(CLIENTS.take([0, 1]), TYPES, budget=PROBLEM.budget), FOUND, "the solution of 2 clients"),
    "fewer types": (Problem(CLIENTS, TYPES[:1], budget=PROBLEM.budget), FOUND, "the solution of 1 types"),
    "more types": (
        Problem(CLIENTS, (*TYPES, fedopt.SubModel.idle()), budget=PROBLEM.budget),
        FOUND,
        "the solution of 3 types, found a partition of 2",
    ),
    "swapped": (FOUND, PROBLEM, "a Problem, found Solution"),
    "no solution": (PROBLEM, None, "a Solution, found None"),
    "no problem": (None, FOUND, "a Problem, found None"),
    "no such type": (
        PROBLEM,
        dataclasses.replace(FOUND, assignment=np.array([0, 1, 2])),
        "type indices from 0 to 1, found 0 to 2",
    ),
    "an allocation of others": (
        PROBLEM,
        dataclasses.replace(
            FOUND, allocation=fedopt.solve(Problem(CLIENTS.take([0]), TYPES, budget=PROBLEM.budget)).allocation
        ),
        "the solution of 3 clients, found an allocation of 1",
    ),
    "an allocation of more": (
        PROBLEM,
        dataclasses.replace(
            FOUND, allocation=fedopt.solve(Problem(CLIENTS.take([0, 1, 2, 0]), TYPES, budget=PROBLEM.budget)).allocation
        ),
        "the solution of 3 clients, found an allocation of 4",
    ),
    "an assignment of fractions": (PROBLEM, dataclasses.replace(FOUND, assignment=np.ones(3)), "dtype float64"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_tables_and_pictures_are_of_the_problems_own_solution(case: str, tmp_path: Path) -> None:
    problem, solution, said = OTHERS[case]
    shown: list[Any] = [
        report.headline, report.groups, report.holding, plots.bars, holders, timeline, fedopt.sensitivity,
        fedopt.bottlenecks, lambda *both: write_csv(*both, tmp_path / "round.csv"),
    ]  # fmt: skip
    for show in shown:
        with pytest.raises(InputError, match=said):
            show(problem, solution)
    assert not list(tmp_path.iterdir())


def test_effects_are_of_channels_of_the_clients_own() -> None:
    shared = fedopt.solve(SHARED)
    for ask in (fedopt.sensitivity, fedopt.bottlenecks):
        with pytest.raises(
            InputError, match="solution: expected one of the clients' own channels, found one of a shared"
        ):
            ask(PROBLEM, shared)


def test_an_infeasible_answer_has_no_power_and_leaves_nothing_unused() -> None:
    assert math.isnan(report.mean_power(NOTHING))
    for budget in (PowerBudget(2.0), PowerBudget(math.inf), fedopt.EnergyBudget(1e-9), fedopt.Deadline(1.0)):
        assert report.unused(budget, NOTHING) == ""
    slack = dataclasses.replace(FOUND, energy=0.0, duration=0.0)
    assert report.mean_power(slack) == 0.0
    for ask in (report.mean_power, lambda odd: report.unused(PROBLEM.budget, odd)):
        with pytest.raises(InputError, match="solution: expected a Solution"):
            ask(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="budget: expected an EnergyBudget"):
        report.unused(2.0, FOUND)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="clients: expected a Clients table"):
        plausible.hints(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(1.0, 2.0)], "points: expected None, or labels"),
        ({1: (1.0, 2.0)}, "points: expected labels that are text, found int 1"),
        ({"a": "xy"}, "points['a']: expected real numbers, found text"),
        ({"a": (1.0, None)}, "points['a']: expected a real number, found NoneType None"),
        ({"a": (1.0, 2.0, 3.0)}, "points['a']: expected two numbers, T [s] and E [J], found an array of shape (3,)"),
        ({"a": 1.0}, "points['a']: expected two numbers"),
    ],
)
def test_points_beside_a_front_are_labels_with_two_numbers(points: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        frontplot.draw_front(fedopt.pareto(PROBLEM, points=3), points=points)
    assert str(caught.value).startswith(said)
