"""Bad input beyond the columns and the numbers: what is judged, indices, counts, names, endless texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import InputError, Problem
from fedopt.scenario import from_document

NOT_NUMBERS: dict[str, Any] = {
    "None": None,
    "text": "1.0",
    "boolean": True,
    "complex": 1j,
    "dates": np.array(["2020", "2021", "2022"], dtype="M8[D]"),
    "masked": np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]),
    "ragged": [[1.0], [1.0, 2.0], [3.0]],
    "objects": [1.0, None, 3.0],
    "two": [1.0, 2.0],
    "2-d": np.ones((3, 1)),
    "dict": {},
}


def clients(**changes: Any) -> fedopt.Clients:
    given: dict[str, Any] = {"frequency_min": 0.0, "frequency_max": [1e9, 2e9, 2e9], "samples": 10.0}
    return fedopt.Clients(**{**given, "channel_gain": 1e-11, "bandwidth": 1e6, **changes})


def types(cover: Any = 2) -> tuple[fedopt.SubModel, ...]:
    return (
        fedopt.SubModel("L", flops=1e7, upload_bits=1e5),
        fedopt.SubModel("S", flops=5e6, upload_bits=5e4, cover=cover),
    )


def judged(**changes: Any) -> fedopt.Verdict:
    given = {"clients": clients(), "work": clients().workload(types(), 0), "duration": 10.0, "frequency": 1e8}
    return fedopt.judge(**{**given, "rate": 1e5, **changes})


def named(field: str, call: Callable[[], object]) -> InputError:
    """The error of a call, which names the field and is no longer than a paragraph."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.field == field
    assert len(str(caught.value)) < 500
    return caught.value


@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["duration", "frequency", "rate", "bandwidth"])
def test_the_judge_refuses_what_is_no_decision(field: str, kind: str) -> None:
    shared = {"access": fedopt.SharedBandwidth(3e6), "bandwidth": 1e6}
    assert judged(**shared).energy > 0.0
    named(field, lambda: judged(**{**shared, field: NOT_NUMBERS[kind]}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("field", ["duration", "frequency", "rate"])
def test_the_judge_condemns_numbers_that_cannot_be(field: str, value: float) -> None:
    assert judged().feasible
    assert not judged(**{field: value}).feasible


@pytest.mark.parametrize(
    ("field", "value"),
    [("clients", None), ("work", [1.0]), ("budget", 10.0), ("access", 3e6), ("tolerance", np.nan), ("tolerance", -1.0)],
)
def test_the_judge_wants_an_instance(field: str, value: Any) -> None:
    named(field, lambda: judged(**{field: value}))


def test_extended_precision_is_rounded_and_refused_beyond_a_double() -> None:
    long = np.array([1e9, 2e9, 2e9], dtype=np.longdouble)
    assert np.array_equal(clients(frequency_max=long).frequency_max, [1e9, 2e9, 2e9])
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        endless = np.array([1e9, np.longdouble("1e400"), 2e9], dtype=np.longdouble)
        assert named("Clients.frequency_max", lambda: clients(frequency_max=endless)).client == 1


def test_tensors_are_numbers_unless_they_are_more() -> None:
    """One with a history is no array, nor is a view that is conjugate or negative; torch says what to do."""
    torch = pytest.importorskip("torch")
    plain = torch.tensor([1e9, 2e9, 2e9])
    assert np.array_equal(clients(frequency_max=plain).frequency_max, [1e9, 2e9, 2e9])
    tracked = torch.tensor([1e9, 2e9, 2e9], requires_grad=True)
    odd = {
        "detach": [tracked, torch.nn.Parameter(plain), list(tracked)],
        "resolve_conj": [plain.to(torch.complex64).conj()],
        "resolve_neg": [torch._neg_view(-plain)],
    }
    for word, values in odd.items():
        for value in values:
            assert word in str(named("Clients.frequency_max", lambda value=value: clients(frequency_max=value)))


@pytest.mark.parametrize("index", ["a", 1.5, 3, [0, 7], [True], {}, [[0], [0, 1]]])
def test_clients_are_taken_by_whole_numbers_or_a_mask(index: Any) -> None:
    named("index", lambda: clients().take(index))


class Broken(list[Any]):
    """Looks like a list of numbers, but is no array."""

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise KeyError("lost")


ODD_INDICES: dict[str, Any] = {
    "masked": np.ma.array([0, 1, 1], mask=[False, True, False]),
    "masked in a list": [0, np.ma.masked, 1],
    "a boolean beside numbers": [True, 1, 1],
    "a numpy boolean beside numbers": (np.False_, 1, 1),
    "fractions": [0.0, 1.0, 1.0],
    "objects": np.array([0, 1, 1], dtype=object),
    "dates": np.array([0, 1, 1], dtype="M8[D]"),
    "broken": Broken([0, 1, 1]),
    "beyond 64 bits": 2**64,
    "beyond 64 bits with a sign": 2**63,
    "the last one of unsigned": [2**64 - 1, 0, 0],
    "an array of that": np.array([0, 2**64 - 1, 0], dtype=np.uint64),
}


@pytest.mark.parametrize("kind", ODD_INDICES)
def test_what_only_looks_like_indices_is_none(kind: str) -> None:
    named("index", lambda: clients().take(ODD_INDICES[kind]))
    named("assignment", lambda: clients().workload(types(), ODD_INDICES[kind]))


def test_masked_and_unsigned_indices_with_nothing_odd_are_taken() -> None:
    mask = np.ma.array([True, False, True], mask=[False, False, True])
    assert named("index", lambda: clients().take(mask)).client == 2
    last = clients().frequency_max[1:]
    for index in (
        np.ma.array([1, 2]),
        np.array([1, 2], dtype=np.uint64),
        np.ma.array([False, True, True]),
        slice(1, 3),
    ):
        assert np.array_equal(clients().take(index).frequency_max, last)
    assert len(clients().take([True] * 3)) == 3
    for assignment in (np.ma.array([0, 1, 1]), np.array([0, 1, 1], dtype=np.uint8)):
        assert clients().workload(types(), assignment).upload_bits.tolist() == [1e5, 5e4, 5e4]


@pytest.mark.parametrize(
    "counts", [[3, [0]], [3, Broken()], [Broken([1]), 2], [3, np.array([0])], np.array(3), "ab", b"ab"]
)
def test_a_partition_of_what_is_no_count_is_refused(counts: Any) -> None:
    with pytest.raises(InputError, match=r"^Problem\.partitions\[0\](\['[LS]'\])?: expected "):
        Problem(clients(), types(), budget=fedopt.PowerBudget(1.0), partitions=[counts])


@pytest.mark.parametrize("index", [(0, 2), (-3, -1), (True, False, True)])
def test_a_tuple_of_clients_is_taken_as_a_list(index: Any) -> None:
    assert np.array_equal(clients().take(index).frequency_max, clients().frequency_max[[0, 2]])
    for nobody in ((), []):
        assert "at least one client" in str(
            named("Clients.frequency_min", lambda nobody=nobody: clients().take(nobody))
        )


@pytest.mark.parametrize("names", [np.array("abc"), np.array([["a", "b", "c"]]), b"abc", iter("abc")])
def test_names_are_a_flat_list(names: Any) -> None:
    named("Clients.name", lambda: clients(name=names))


def test_a_name_is_a_line_of_a_table_not_a_book() -> None:
    longest = "n" * 200
    assert clients(name=["a", longest, "c"]).name == ("a", longest, "c")
    assert named("Clients.name", lambda: clients(name=["a", longest + "n", "c"])).client == 1


def test_too_few_names_are_told_in_texts() -> None:
    error = named("Clients.name", lambda: clients(name=["a", "b"]))
    assert (error.expected, error.found) == ("3 texts (as many as there are numbers in frequency_max)", "2 texts")


@pytest.mark.parametrize("counts", [None, 3, 2.0, {1: 2}, iter((1, 2)), object()])
def test_a_partition_is_a_list_of_counts(counts: Any) -> None:
    named("Partition", lambda: fedopt.Partition(counts, types()))


def test_arrays_of_partitions_have_a_row_each() -> None:
    budget = fedopt.PowerBudget(1.0)
    given = np.array([[1, 2], [3, 0]])
    problem = Problem(clients(), types(), budget=budget, partitions=given)
    assert problem.partitions is not None
    given[0], problem.candidates()[0] = 0, 0  # neither is the problem's own
    with pytest.raises(ValueError, match="read-only"):
        problem.partitions[0] = 0
    assert problem.partitions.tolist() == [[1, 2], [3, 0]]
    for wrong in (np.array(3), np.array([1, 2])):
        named("Problem.partitions", lambda wrong=wrong: Problem(clients(), types(), budget=budget, partitions=wrong))


def test_counts_beyond_what_a_double_counts() -> None:
    named("SubModel('S').cover", lambda: types(cover=10**400))
    named("SubModel('S').cover", lambda: types(cover=2**63))
    named("Partition['L']", lambda: fedopt.Partition([10**400, 0], types()))
    problem = Problem(clients(), types(cover=10**15), budget=fedopt.PowerBudget(1.0))
    assert fedopt.solve(problem).partition == (3, 0)


def test_an_assignment_that_is_no_array_and_types_that_are_none() -> None:
    named("assignment", lambda: clients().workload(types(), [[0], [0, 1], [1]]))
    named("submodels", lambda: clients().workload(None, 0))  # type: ignore[arg-type]
    named("submodels", lambda: clients().workload(("L", "S"), 0))  # type: ignore[arg-type]


def test_a_long_text_is_cut_short_in_the_error() -> None:
    long = "9" * 100_000
    named(
        "allocation", lambda: fedopt.allocate(clients(), clients().workload(types(), 0), duration=9.0, allocation=long)
    )
    named("Problem.utility", lambda: Problem(clients(), types(), budget=fedopt.PowerBudget(1.0), utility=long))
    named("SubModel('S').cover", lambda: types(cover=long))
    named("Clients.samples", lambda: clients(samples=np.array([1.0, long, 2.0], dtype=object)))


@pytest.mark.parametrize("document", [None, 3.0, "text", [], [("version", 1)]])
def test_a_document_is_a_table(document: Any) -> None:
    named("scenario", lambda: from_document(document))


def test_a_budget_without_limit_gives_the_shortest_round() -> None:
    """E <= inf holds everywhere, so the shortest of all eight matchings of three clients wins."""
    fleet = clients(samples=[30.0, 10.0, 20.0], channel_gain=[1e-12, 1e-11, 1e-10])
    for budget in (fedopt.EnergyBudget(np.inf), fedopt.PowerBudget(np.inf)):
        found = fedopt.solve(Problem(fleet, types(cover=1), budget=budget, utility="shortest_round"))
        every = itertools.product((0, 1), repeat=3)
        shortest = min(fedopt.schedule(fleet, fleet.workload(types(), who), budget).duration for who in every)
        assert found.status is fedopt.Status.SLACK
        assert found.duration == pytest.approx(shortest, rel=1e-13)


def test_work_of_which_a_double_loses_digits_is_refused_of_whom() -> None:
    fleet = clients(capacitance=[1e-28, 1e-28, 1e-30])
    work = fedopt.Workload(cycles=[1e-90, 0.0, 1e-91], upload_bits=1e5, download_bits=0.0)
    with pytest.raises(InputError, match=r"work.cycles: client 2: expected 0, or .*found 1e-91 cycles"):
        fedopt.schedule(fleet, work, fedopt.Deadline(100.0))
    fedopt.schedule(fleet, fedopt.Workload(cycles=[1e-90, 0.0, 0.0], upload_bits=1e5), fedopt.Deadline(100.0))
