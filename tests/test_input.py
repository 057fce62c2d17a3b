"""R9: every field of everything a user gives, times every way to get it wrong (or right in an unusual form).

Which values are legal is written here anew, from the table of section 2 of the model, not read from the code.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt import InputError

GOOD: dict[str, list[float]] = {
    "frequency_min": [1e8, 2e8, 3e8],
    "frequency_max": [1e9, 2e9, 3e9],
    "capacitance": [1e-28, 2e-28, 3e-28],
    "flops_per_cycle": [1.0, 2.0, 4.0],
    "static_power": [0.125, 0.25, 0.5],
    "samples": [100.0, 200.0, 300.0],
    "local_epochs": [1.0, 2.0, 3.0],
    "channel_gain": [1e-9, 2e-9, 3e-9],
    "bandwidth": [1e6, 2e6, 3e6],
    "noise_density": [4e-21, 5e-21, 6e-21],
    "power_max": [0.25, 0.5, 1.0],
    "power_min": [0.0625, 0.03125, 0.015625],
    "circuit_power": [0.125, 0.25, 0.5],
    "download_rate": [1e6, 2e6, 3e6],
    "receive_power": [0.5, 0.25, 0.125],
    "overhead": [0.5, 0.25, 0.125],
}
WORK: dict[str, list[float]] = {
    "cycles": [1e9, 2e9, 3e9],
    "upload_bits": [1e5, 2e5, 3e5],
    "download_bits": [1e6, 2e6, 3e6],
}
ZERO_IS_LEGAL = {
    "frequency_min",
    "static_power",
    "samples",
    "channel_gain",
    "power_min",
    "circuit_power",
    "receive_power",
    "overhead",
    *WORK,
}
INFINITY_IS_LEGAL = {"power_max", "download_rate"}
NUMBERS = {
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "negative": -1.0,
    "-0": -0.0,
    "0": 0.0,
    "subnormal": 5e-324,
    "huge": 1e308,
    "tiny": 1e-308,
}


def legal(field: str, value: float) -> bool:
    if value == 0.0:
        return field in ZERO_IS_LEGAL
    return value == np.inf and field in INFINITY_IS_LEGAL


def tables() -> list[tuple[str, str]]:
    return [("Clients", field) for field in GOOD] + [("Workload", field) for field in WORK]


def for_every_field(check: Callable[[str, str, str], None]) -> Callable[[str], None]:
    """One test per kind of input that goes through all fields; a failure says at which."""

    def test(kind: str) -> None:
        for owner, field in tables():
            try:
                check(owner, field, kind)
            except BaseException as error:
                error.add_note(f"at {owner}.{field}, kind {kind!r}")
                raise

    test.__doc__ = check.__doc__
    return test


def build(owner: str, field: str, value: Any) -> Any:
    if owner == "Clients":
        return fedopt.Clients(**{**GOOD, field: value})
    return fedopt.Workload(**{**WORK, field: value})


def solved(owner: str, table: Any) -> fedopt.Allocation:
    """The allocation with this table and the good other one."""
    clients = table if owner == "Clients" else fedopt.Clients(**GOOD)
    work = table if owner == "Workload" else fedopt.Workload(**WORK)
    return fedopt.allocate(clients, work, duration=100.0, allocation="reference")


@pytest.mark.parametrize("kind", NUMBERS)
@for_every_field
def test_one_odd_number_in_a_column(owner: str, field: str, kind: str) -> None:
    """Legal, or an error that names field, client and value; the caller's array stays as it was."""
    value = NUMBERS[kind]
    given = np.array((GOOD | WORK)[field])
    given[1] = value
    before = given.tobytes()
    if legal(field, value):
        kept = getattr(build(owner, field, given), field)
        assert kept[1] == value
        assert not np.signbit(kept[1])
        with pytest.raises(ValueError, match="read-only"):
            kept[1] = 7.0
    else:
        with pytest.raises(InputError) as caught:
            build(owner, field, given)
        assert caught.value.field == f"{owner}.{field}"
        assert caught.value.client == 1
        assert repr(value + 0.0) in str(caught.value)
        assert caught.value.expected in str(caught.value)
    assert given.tobytes() == before
    assert given.flags.writeable


@pytest.mark.parametrize("kind", NUMBERS)
@for_every_field
def test_one_odd_number_for_all(owner: str, field: str, kind: str) -> None:
    value = NUMBERS[kind]
    if legal(field, value):
        kept = getattr(build(owner, field, value), field)
        assert np.all(kept == value)
        assert kept.shape == ((3,) if owner == "Clients" else ())
    else:
        with pytest.raises(InputError) as caught:
            build(owner, field, value)
        assert caught.value.field == f"{owner}.{field}"
        assert repr(value + 0.0) in str(caught.value)


def read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def pandas_series(values: np.ndarray, dtype: str = "float64") -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.Series(values, index=[30, 10, 20], dtype=dtype)


# Unusual but right: whatever holds the same numbers gives the same answer, bit for bit.
RIGHT: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda v: v.tolist(),
    "tuple": lambda v: tuple(v.tolist()),
    "float32": lambda v: v.astype(np.float32),
    "big-endian": lambda v: v.astype(">f8"),
    "longdouble": lambda v: v.astype(np.longdouble),
    "strided": lambda v: np.repeat(v, 2)[::2],
    "reversed": lambda v: v[::-1].copy()[::-1],
    "column": lambda v: np.stack([v, v], axis=1)[:, 0],
    "read-only": read_only,
    "object": lambda v: v.astype(object),
    "masked without gaps": lambda v: np.ma.array(v, mask=[False, False, False]),
    "Series": pandas_series,
    "Series of objects": lambda v: pandas_series(v, "object"),
    "Series Float64": lambda v: pandas_series(v, "Float64"),
}


@pytest.mark.parametrize("kind", RIGHT)
@for_every_field
def test_unusual_but_right_forms_of_a_column(owner: str, field: str, kind: str) -> None:
    values = np.array((GOOD | WORK)[field])
    if kind == "float32":
        values = values.astype(np.float32).astype(np.float64)
    given = RIGHT[kind](values.copy())
    before = np.array(given, dtype=np.float64)
    table = build(owner, field, given)
    kept = getattr(table, field)
    assert kept.dtype == np.float64
    assert kept.dtype.isnative
    assert kept.tobytes() == values.tobytes()
    assert np.array(given, dtype=np.float64).tobytes() == before.tobytes()
    expected = solved(owner, build(owner, field, values))
    assert solved(owner, table).energy.tobytes() == expected.energy.tobytes()


@pytest.mark.parametrize(("owner", "field"), tables())
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "python int"])
def test_whole_numbers_are_numbers(owner: str, field: str, dtype: str) -> None:
    given: Any = 1 if dtype == "python int" else np.array([1, 1, 1], dtype=dtype)
    changes = {"frequency_min": {"frequency_max": 2}, "frequency_max": {"frequency_min": 0}}
    changes |= {"power_min": {"power_max": 2}, "power_max": {"power_min": 0}}
    if owner == "Clients":
        table = fedopt.Clients(**{**GOOD, field: given, **changes.get(field, {})})
    else:
        table = build(owner, field, given)
    kept = getattr(table, field)
    assert kept.dtype == np.float64
    assert np.all(kept == 1.0)


def text_inside(values: np.ndarray) -> np.ndarray:
    mixed = values.astype(object)
    mixed[1] = "12"
    return mixed


def none_inside(values: np.ndarray) -> np.ndarray:
    mixed = values.astype(object)
    mixed[1] = None
    return mixed


def flag_inside(values: np.ndarray) -> np.ndarray:
    mixed = values.astype(object)
    mixed[1] = True
    return mixed


def huge_integer_inside(values: np.ndarray) -> list[Any]:
    return [float(values[0]), 10**400, float(values[2])]


class Tracked:
    """As a tensor with a history, which is no array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("Use tensor.detach().numpy() instead.")


def long(text: str) -> np.ndarray:
    """Three numbers of extended precision; where that is none, doubles."""
    return np.array([1.0, np.longdouble(text), 1.0], dtype=np.longdouble)


def gap_in_series(values: np.ndarray) -> Any:
    series = pandas_series(values)
    series.iloc[1] = None
    return series


def gap_in_nullable(values: np.ndarray) -> Any:
    series = pandas_series(values, "Float64")
    series.iloc[1] = None
    return series


# Wrong: (what is given, the client the error must name or None, a word the message must hold).
WRONG: dict[str, tuple[Callable[[np.ndarray], Any], int | None, str]] = {
    "None": (lambda v: None, None, "None"),
    "text": (lambda v: "5", None, "text"),
    "bytes": (lambda v: b"5", None, "bytes"),
    "texts": (lambda v: ["1", "2", "3"], None, "text"),
    "boolean": (lambda v: True, None, "booleans"),
    "booleans": (lambda v: v > 0, None, "booleans"),
    "complex": (lambda v: v + 0j, None, "complex"),
    "dates": (lambda v: np.array(["2020-01-01"] * 3, dtype="M8[D]"), None, "dates"),
    "time spans": (lambda v: np.array([1, 2, 3], dtype="m8[s]"), None, "time spans"),
    "a date": (lambda v: datetime.date(2020, 1, 1), None, "date"),
    "record": (lambda v: np.array([(1.0,)] * 3, dtype=[("a", "f8")]), None, "dtype"),
    "dict": (lambda v: dict(enumerate(v)), None, "dict"),
    "set": (lambda v: set(v.tolist()), None, "set"),
    "function": (lambda v: len, None, "builtin"),
    "ragged": (lambda v: [[1.0], [1.0, 2.0], [3.0]], None, "list"),
    "2-d row": (lambda v: v[None, :], None, "(1, 3)"),
    "2-d column": (lambda v: v[:, None], None, "(3, 1)"),
    "3-d": (lambda v: v.reshape(1, 3, 1), None, "(1, 3, 1)"),
    "text inside": (text_inside, 1, "'12'"),
    "None inside": (none_inside, 1, "None"),
    "boolean inside": (flag_inside, 1, "True"),
    "huge integer inside": (huge_integer_inside, None, "integer"),
    "boolean in a list": (lambda v: [v[0], True, v[2]], 1, "True"),
    "numpy boolean in a tuple": (lambda v: (v[0], v[1], np.False_), 2, "False"),
    "bytearray": (lambda v: bytearray(b"abc"), None, "bytes"),
    "a tensor's history": (lambda v: Tracked(), None, "detach"),
    "a list with a tensor's history": (lambda v: [v[0], Tracked(), v[2]], None, "detach"),
    "too large for a double": (lambda v: long("1e400"), 1, "1.79"),
    "object too large for a double": (lambda v: long("1e400").astype(object), 1, "1.79"),
    "too small for a double": (lambda v: long("-1e-400"), 1, "-5e-324"),
    "object too small for a double": (lambda v: long("1e-400").astype(object), 1, "5e-324"),
    "masked in a list": (lambda v: [v[0], np.ma.masked, v[2]], 1, "masked"),
    "masked records": (lambda v: np.ma.array([(1.0,)] * 3, mask=[(True,)] * 3, dtype=[("a", "f8")]), None, "dtype"),
    "masked gap": (lambda v: np.ma.array(v, mask=[False, True, False]), 1, "masked"),
    "Series with a gap": (gap_in_series, 1, "nan"),
    "nullable Series with a gap": (gap_in_nullable, 1, "found"),
}
LENGTHS: dict[str, Callable[[np.ndarray], Any]] = {
    "too short": lambda v: v[:2],
    "too long": lambda v: np.append(v, v[0]),
    "empty": lambda v: v[:0],
    "empty list": lambda v: [],
}


@pytest.mark.parametrize("kind", WRONG)
@for_every_field
def test_wrong_forms_of_a_column(owner: str, field: str, kind: str) -> None:
    if field == "download_bits" and kind == "None":
        assert np.array_equal(
            build(owner, field, None).download_bits, WORK["upload_bits"]
        )  # documented: as upload_bits
        return
    if "for a double" in kind and np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("extended precision is a double here")
    make, client, word = WRONG[kind]
    with pytest.raises(InputError) as caught:
        build(owner, field, make(np.array((GOOD | WORK)[field])))
    assert caught.value.field == f"{owner}.{field}"
    assert caught.value.client == client
    assert word in str(caught.value)


@pytest.mark.parametrize("field", GOOD)
@pytest.mark.parametrize("kind", LENGTHS)
def test_wrong_lengths_in_clients(field: str, kind: str) -> None:
    """The error names a field that does not fit and both lengths."""
    given = LENGTHS[kind](np.array(GOOD[field]))
    with pytest.raises(InputError) as caught:
        build("Clients", field, given)
    assert caught.value.field.startswith("Clients.")
    assert str(len(given)) in str(caught.value)
    assert "3" in str(caught.value)
    if kind != "too long":
        assert caught.value.field == f"Clients.{field}"


@pytest.mark.parametrize("field", WORK)
@pytest.mark.parametrize("kind", LENGTHS)
def test_wrong_lengths_in_workload(field: str, kind: str) -> None:
    """A workload learns its length when it meets its clients."""
    given = LENGTHS[kind](np.array(WORK[field]))
    with pytest.raises(InputError) as caught:
        solved("Workload", build("Workload", field, given))
    assert caught.value.field == f"Workload.{field}"
    assert f"{len(given)} numbers" in str(caught.value)
