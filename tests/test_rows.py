"""Rows as a solver is given them: columns of one number for all, parts of a fleet, and what no duration changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fedopt
from solvers.rows import LN2, Limits, Rows, greatest_of, least_of


def rows(**columns: Any) -> Rows:
    """One number for all in every column, but for these."""
    given = {name: np.ones(1) for name in Rows.__slots__} | {"idle": np.zeros(1, dtype=np.bool_)}
    return Rows(**{**given, **{name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}})


@pytest.mark.parametrize("name", ["work", "bits", "fixed_energy"])
def test_there_are_as_many_rows_as_the_longest_column_says(name: str) -> None:
    assert len(rows()) == 1
    assert len(rows(**{name: [1.0, 2.0, 3.0]})) == 3
    whole = rows(**{name: [1.0, 2.0, 3.0]}).full()
    assert {getattr(whole, each).shape for each in Rows.__slots__} == {(3,)}
    assert getattr(whole, name).tolist() == [1.0, 2.0, 3.0]


def test_rows_that_are_taken_keep_their_number_though_one_number_be_left_of_each() -> None:
    some = rows(bits=[1.0, 2.0, 3.0, 4.0])
    for index, bits in ((np.array([3, 1]), [4.0, 2.0]), (slice(1, 3), [2.0, 3.0]), (np.array([2]), [3.0])):
        taken = some.take(index)
        assert len(taken) == len(bits)
        assert taken.full().bits.tolist() == bits
        assert taken.bandwidth.shape == (1,)
    part = some.part(slice(1, 3))
    assert (len(part), part.full().bits.tolist(), part.bandwidth.shape) == (2, [2.0, 3.0], (1,))
    alike = rows(work=np.ones(4))
    for few in (alike.widen(4).take(np.array([0, 2])), alike.part(slice(1, 3))):
        assert len(few) == 2
    one = rows()  # it stands for any
    assert len(one.take(np.array([3]))) == 1


def test_what_is_left_of_equal_rows_is_as_many_as_were_asked_for() -> None:
    """A fleet of one number each, that only its length makes one: its parts have their own."""
    fleet = rows().widen(5)
    assert len(fleet) == 5
    assert len(fleet.take(np.array([4, 4, 0]))) == 3
    assert len(fleet.part(slice(2, 5))) == 3


def test_limits_of_all_are_the_longest_times_and_the_sum_of_energies() -> None:
    limits = Limits(
        least_time=np.array([1.0, 3.0, 2.0]),
        free_time=np.array([9.0, 4.0, 5.0]),
        least_energy=np.array([1.0, 2.0, 4.0]),
    )
    assert (limits.t_min, limits.t_flat, limits.e_inf) == (3.0, 9.0, 7.0)
    assert (least_of(limits.least_time), greatest_of(limits.least_time)) == (1.0, 3.0)
    assert np.isnan(least_of(np.array([1.0, np.nan, 0.5])))
    assert np.isnan(greatest_of(np.array([1.0, np.nan, 5.0])))


def test_an_upload_of_one_nat_a_second_and_hertz_takes_its_bits_times_ln_2() -> None:
    assert rows(bits=[8.0, 4.0], bandwidth=[2.0, 4.0]).transfer == pytest.approx([4.0 * LN2, LN2], rel=1e-15)


@pytest.mark.parametrize("method", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("below", "status"), [(0.0, "OPTIMAL"), (4e-16, "OPTIMAL"), (1e-14, "INFEASIBLE"), (5e-13, "INFEASIBLE")]
)
def test_a_deadline_below_the_least_duration_is_met_but_for_rounding(below: float, status: str, method: str) -> None:
    """3e9 cycles at 1 GHz, and at 2 GHz those of another."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=[1e9, 2e9], samples=1.0, channel_gain=1e-9, bandwidth=1e6
    )  # fmt: skip
    work = fedopt.Workload(cycles=3e9, upload_bits=0.0)
    found = fedopt.schedule(clients, work, fedopt.Deadline(3.0 * (1.0 - below)), allocation=method)
    assert found.status.name == status
