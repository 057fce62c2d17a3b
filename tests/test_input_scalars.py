"""R9 for what is one number, one text or one list: sub-models, budgets, durations, partitions, utilities, methods."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import InputError
from fedopt.problem import Problem


def clients(size: int = 4) -> fedopt.Clients:
    return fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=np.full(size, 100.0), channel_gain=1e-9, bandwidth=1e6
    )


def work() -> fedopt.Workload:
    return fedopt.Workload(cycles=1e9, upload_bits=1e5)


def types() -> tuple[fedopt.SubModel, ...]:
    return fedopt.SubModel("L", flops=2e6, upload_bits=1e5), fedopt.SubModel("S", flops=1e6, upload_bits=5e4, cover=2)


def allocated(duration: Any) -> float:
    """The duration back, once allocate() has accepted it."""
    fedopt.allocate(clients(), work(), duration=duration, allocation="reference")
    return float(np.asarray(duration).reshape(()))


# name of the field in the error, what to call with the value, is 0 legal, is +inf legal
SCALARS: dict[str, tuple[Callable[[Any], Any], bool, bool]] = {
    "SubModel('L').flops": (lambda v: fedopt.SubModel("L", flops=v, upload_bits=1.0).flops, True, False),
    "SubModel('L').upload_bits": (lambda v: fedopt.SubModel("L", flops=1.0, upload_bits=v).upload_bits, True, False),
    "SubModel('L').download_bits": (
        lambda v: fedopt.SubModel("L", flops=1.0, upload_bits=1.0, download_bits=v).download_bits,
        True,
        False,
    ),
    "EnergyBudget.joules": (lambda v: fedopt.EnergyBudget(v).joules, True, True),
    "PowerBudget.watts": (lambda v: fedopt.PowerBudget(v).watts, True, True),
    "Deadline.seconds": (lambda v: fedopt.Deadline(v).seconds, True, False),
    "TimePrice.watts": (lambda v: fedopt.TimePrice(v).watts, False, False),
    "ReplicaRate.beta": (lambda v: fedopt.ReplicaRate(v).beta, True, False),
    "duration": (allocated, True, False),
}
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, -0.0, 0.0, 5e-324, 1e308, 1e-308]
WRONG: dict[str, Any] = {
    "text": "5",
    "bytes": b"5",
    "boolean": True,
    "numpy boolean": np.bool_(False),
    "complex": 1j,
    "date": np.datetime64("2020-01-01"),
    "two numbers": [1.0, 2.0],
    "empty": [],
    "2-d": np.ones((1, 1)),
    "dict": {},
    "masked": np.ma.array([1.0], mask=[True]),
    "function": len,
    "huge integer": 10**400,
    "decimal": Decimal(2),
    "fraction": Fraction(1, 2),
}
RIGHT: dict[str, Any] = {
    "int": 3,
    "numpy integer": np.int16(3),
    "float32": np.float32(3.0),
    "big-endian": np.array(3.0, dtype=">f8"),
    "0-d": np.array(3.0),
    "list of one": [3.0],
    "read-only": np.broadcast_to(np.float64(3.0), (1,)),
    "object": np.array(3.0, dtype=object),
}


@pytest.mark.parametrize("name", SCALARS)
def test_odd_numbers(name: str) -> None:
    make, zero, infinite = SCALARS[name]
    for value in NUMBERS:
        if (value == 0.0 and zero) or (value == np.inf and infinite):
            kept = make(value)
            assert kept == value
            assert name == "duration" or not np.signbit(kept)
            continue
        with pytest.raises(InputError) as caught:
            make(value)
        assert caught.value.field == name
        assert repr(value + 0.0) in str(caught.value).replace("-0.0", "0.0")


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_forms(name: str, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        SCALARS[name][0](WRONG[kind])
    assert caught.value.field == name
    assert caught.value.client is None or kind == "masked"


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("kind", RIGHT)
def test_unusual_but_right_forms(name: str, kind: str) -> None:
    kept = SCALARS[name][0](RIGHT[kind])
    assert kept == 3.0
    assert name == "duration" or type(kept) is float


def test_none_is_a_number_only_where_it_is_documented() -> None:
    for name, (make, _, _) in SCALARS.items():
        if name.endswith("download_bits"):
            assert make(None) == 1.0  # the same as upload_bits
            continue
        with pytest.raises(InputError, match="None") as caught:
            make(None)
        assert caught.value.field == name


@pytest.mark.parametrize("cover", [0, -1, 1.0, 2.5, "2", None, True, np.nan, [1], 1j])
def test_a_cover_is_a_whole_number_of_at_least_one(cover: Any) -> None:
    with pytest.raises(InputError, match="a whole number of at least 1") as caught:
        fedopt.SubModel("L", flops=1.0, upload_bits=1.0, cover=cover)
    assert caught.value.field == "SubModel('L').cover"
    assert fedopt.SubModel("L", flops=1.0, upload_bits=1.0, cover=np.int32(4)).cover == 4


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "=1+1", "@x", "-x", "+x", "x" * 201, None, 5, b"L"])
def test_a_sub_model_name_is_short_printable_text(name: Any) -> None:
    with pytest.raises(InputError):
        fedopt.SubModel(name, flops=1.0, upload_bits=1.0)


@pytest.mark.parametrize(
    "names", ["abcd", ["a", "b", "c"], [1, 2, 3, 4], ["a", "b", None, "d"], 7, {"a": 1}, ["ok", "=evil()", "x", "y"]]
)
def test_client_names_are_as_many_texts(names: Any) -> None:
    with pytest.raises(InputError) as caught:
        clients().replace(name=names)
    assert caught.value.field == "Clients.name"


@pytest.mark.parametrize(
    ("assignment", "client"),
    [
        ([0, 1, 2, 0], 2),
        ([0, -1, 0, 0], 1),
        ([0, 1, 0], None),
        ([[0, 1, 0, 0]], None),
        ([0.0, 1.0, 0.0, 0.0], None),
        ("0101", None),
        (None, None),
        ([True, False, True, False], None),
    ],
)
def test_an_assignment_is_a_type_index_per_client(assignment: Any, client: int | None) -> None:
    with pytest.raises(InputError) as caught:
        clients().workload(types(), assignment)
    assert caught.value.field == "assignment"
    assert caught.value.client == client


@pytest.mark.parametrize(
    ("partitions", "field"),
    [
        ([], "Problem.partitions"),
        (7, "Problem.partitions"),
        ([7], "Problem.partitions[0]"),
        ([(4, 0), (2,)], "Problem.partitions[1]"),
        ([(3, 0)], "Problem.partitions[0] = (3, 0)"),
        ([(4, 0), (3, 1)], "Problem.partitions[1] = (3, 1)"),
        ([(5, -1)], "Problem.partitions[0]['S']"),
        ([(2.0, 2.0)], "Problem.partitions[0]['L']"),
        ([("4", "0")], "Problem.partitions[0]['L']"),
        ([(None, 4)], "Problem.partitions[0]['L']"),
    ],
)
def test_partitions_are_counts_of_whole_replicas(partitions: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        Problem(clients(), types(), budget=fedopt.PowerBudget(1.0), partitions=partitions)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"clients": None}, "Problem.clients"),
        ({"clients": [1, 2]}, "Problem.clients"),
        ({"submodels": ()}, "Problem.submodels"),
        ({"submodels": None}, "Problem.submodels"),
        ({"submodels": ("L",)}, "Problem.submodels"),
        ({"submodels": [types()[0], types()[0]]}, "Problem.submodels"),
        ({"submodels": (fedopt.SubModel.idle(),)}, "Problem.submodels"),
        ({"budget": 10.0}, "Problem.budget"),
        ({"budget": None}, "Problem.budget"),
        ({"utility": "fastest"}, "Problem.utility"),
        ({"utility": 3}, "Problem.utility"),
    ],
)
def test_a_problem_names_what_is_wrong_with_it(changes: dict[str, Any], field: str) -> None:
    given = {"clients": clients(), "submodels": types(), "budget": fedopt.PowerBudget(1.0)} | changes
    with pytest.raises(InputError) as caught:
        Problem(**given)
    assert caught.value.field == field


def test_methods_are_chosen_by_literal_names() -> None:
    for call, field in (
        (lambda: fedopt.allocate(clients(), work(), duration=9.0, allocation="Kernel"), "allocation"),
        (lambda: fedopt.schedule(clients(), work(), fedopt.Deadline(9.0), timing="fast"), "timing"),
        (lambda: fedopt.schedule(clients(), work(), fedopt.Deadline(9.0), allocation=None), "allocation"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match="one of") as caught:
            call()
        assert caught.value.field == field


def test_arguments_of_the_wrong_type() -> None:
    for call, field in (
        (lambda: fedopt.allocate(None, work(), duration=9.0), "clients"),  # type: ignore[arg-type]
        (lambda: fedopt.allocate(clients(), [1.0], duration=9.0), "work"),  # type: ignore[arg-type]
        (lambda: fedopt.schedule(work(), work(), fedopt.Deadline(9.0)), "clients"),  # type: ignore[arg-type]
        (lambda: fedopt.schedule(clients(), work(), 9.0), "budget"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.field == field


def test_bounds_in_the_wrong_order_name_the_client_and_both_values() -> None:
    for low, high in (("frequency_min", "frequency_max"), ("power_min", "power_max")):
        with pytest.raises(InputError) as caught:
            clients().replace(**{low: [1.0, 1.0, 3.0, 1.0], high: [2.0, 2.0, 2.0, 2.0]})
        assert caught.value.field == f"Clients.{low}"
        assert caught.value.client == 2
        assert f"{high} = 2" in str(caught.value)
        assert "found 3" in str(caught.value)


def test_results_and_tables_cannot_be_changed() -> None:
    table = clients()
    found = fedopt.allocate(table, work(), duration=9.0, allocation="reference")
    for owner, name in ((table, "samples"), (table, "bandwidth"), (found, "energy"), (found, "feasible")):
        with pytest.raises(ValueError, match="read-only"):
            getattr(owner, name)[0] = 1
        with pytest.raises(AttributeError):
            setattr(owner, name, 1)


def test_combinations_that_leave_the_range_of_a_double_are_refused() -> None:
    """Each field is legal; their combination gamma = h/(N0 B), or W = E D w / c, or the download time, is not."""
    with pytest.raises(InputError, match="range of a double") as caught:
        fedopt.allocate(clients().replace(channel_gain=1e249, noise_density=1e-200), work(), duration=9.0)
    assert caught.value.field == "Clients.channel_gain"
    with pytest.raises(InputError, match="range of a double") as caught:
        fedopt.allocate(clients().replace(channel_gain=[1.0, 1e-249, 1.0, 1.0], bandwidth=1e100), work(), duration=9.0)
    assert caught.value.client == 1
    with pytest.raises(InputError, match="range of a double") as caught:
        clients().replace(samples=1e249).workload((fedopt.SubModel("L", flops=1e249, upload_bits=1.0),), 0)
    assert caught.value.field == "Clients.samples"
    slow = fedopt.Workload(cycles=1.0, upload_bits=1.0, download_bits=1e249)
    with pytest.raises(InputError, match="range of a double") as caught:
        fedopt.allocate(clients().replace(download_rate=1e-249), slow, duration=9.0)
    assert caught.value.field == "Clients.download_rate"
