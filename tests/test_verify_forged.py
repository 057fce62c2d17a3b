"""Every number of a schedule, changed by a little: the verifier notices each one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Schedule, SharedBandwidth, Status, TimeDivision, TimePrice

SIZE = 5
CLIENTS = make("typical", 1, SIZE).clients
WORK = CLIENTS.workload(mnist_types((1, 2, 2, 4))[:3], np.array([0, 1, 1, 2, 2]))
ACCESS = {"own": None, "shared": SharedBandwidth(2e6), "slots": TimeDivision(2e6)}
BUDGETS = {
    "power": PowerBudget(0.5),
    "energy": EnergyBudget(4.0),
    "deadline": Deadline(12.0),
    "price": TimePrice(0.5),
    "slack": EnergyBudget(400.0),
}
FACTORS = (1.0 + 1e-4, 1.0 - 1e-4)
BY = {  # the check that must notice, whoever else does
    "frequency": "compute time",
    "rate": "upload time",
    "power": "power",
    "compute_time": "compute time",
    "upload_time": "upload time",
    "energy": "energy",
    "compute_end": "end of computing",
}
RANGES = ("price", "time_price", "bandwidth_price")  # at the shortest round of a scheme several prices fit


def changed(of: Any, name: str, factor: float) -> Iterator[tuple[str, Any]]:
    """A number, or the first or last of an array, times a factor; none where that is the same."""
    value = getattr(of, name)
    values = np.array(value, dtype=np.float64)
    values.flat[0 if factor > 1.0 else -1] *= factor
    if not np.array_equal(values, value, equal_nan=True):
        yield f"{name} x {factor}", dataclasses.replace(of, **{name: values if values.ndim else float(values)})


def forged(true: Schedule) -> Iterator[tuple[str, str, Schedule]]:
    """What was changed, the check that must notice ("" for any), and the schedule with it."""
    assert true.allocation is not None
    assert true.verdict is not None
    loose = RANGES if true.status is Status.SLACK and true.sharing is not None else ()
    for factor in FACTORS:
        for name in fedopt.Allocation.__slots__:
            for what, allocation in changed(true.allocation, name, factor) if name not in (*loose, "feasible") else ():
                yield what, BY.get(name, ""), dataclasses.replace(true, allocation=allocation)
        for name in ("bandwidth", "time_price", "bandwidth_price", "compute_end") if true.sharing is not None else ():
            for what, sharing in changed(true.sharing, name, factor) if name not in loose else ():
                yield what, BY.get(name, ""), dataclasses.replace(true, sharing=sharing)
        for name, by in (("duration", ""), ("energy", "energy of the round")):
            for what, wrong in changed(true, name, factor):
                yield f"the whole {what}", by, wrong
            for what, verdict in changed(true.verdict, name, factor):
                yield f"the judge's {what}", "verdict", dataclasses.replace(true, verdict=verdict)
    for what, T in (("above", true.duration * FACTORS[0]), ("below", true.duration * FACTORS[1])):
        yield f"bracket {what}", "bracket holds the duration", dataclasses.replace(true, bracket=(T, T))
    if true.sharing is not None and not math.isnan(true.bracket[0]):
        for what, gap in (
            ("gap", true.sharing.gap - 1e-6),
            ("wide gap", 1e-5),
            ("no gap", math.nan),
            ("no sense", 1e308),
        ):
            sharing = dataclasses.replace(true.sharing, gap=gap)
            yield what, "gap", dataclasses.replace(true, sharing=sharing)
    no = dataclasses.replace(true.verdict, violations=("client 0: too much",))
    yield "the judge's no", "verdict", dataclasses.replace(true, verdict=no)
    for status in {Status.OPTIMAL, Status.SLACK, Status.INFEASIBLE, Status.INACCURATE} - {true.status}:
        yield status.name, "" if status.solved else "status", dataclasses.replace(true, status=status)


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_number_that_is_not_so_is_noticed(budget: str, access: str) -> None:
    given = CLIENTS, WORK, BUDGETS[budget]
    true = fedopt.schedule(*given, access=ACCESS[access])
    assert true.status is (Status.SLACK if budget == "slack" else Status.OPTIMAL)
    report = fedopt.verify_schedule(*given, true, access=ACCESS[access])
    assert report.complete, str(report)
    everything = list(forged(true))
    assert len(everything) > 24
    for what, by, wrong in everything:
        report = fedopt.verify_schedule(*given, wrong, access=ACCESS[access])
        if budget == "price" and what == "gap":  # other proofs may leave less
            assert not report.complete, str(report)
            continue
        assert not report.ok, (what, str(report))
        assert by in ("", *(check.name for check in report.failed)), (what, str(report))


@pytest.mark.parametrize("access", ACCESS)
def test_who_is_idle_has_no_frequency_and_no_rate(access: str) -> None:
    types = (fedopt.SubModel("one", flops=3e7, upload_bits=5e5), fedopt.SubModel.idle())
    work = CLIENTS.workload(types, np.array([0, 1, 0, 0, 0]))
    given = CLIENTS, work, PowerBudget(0.5)
    true = fedopt.schedule(*given, access=ACCESS[access])
    assert true.allocation is not None
    assert fedopt.verify_schedule(*given, true, access=ACCESS[access]).complete
    for name in ("frequency", "rate"):
        values = getattr(true.allocation, name).copy()
        values[1] = 7e9
        wrong = dataclasses.replace(true, allocation=dataclasses.replace(true.allocation, **{name: values}))
        report = fedopt.verify_schedule(*given, wrong, access=ACCESS[access])
        assert "who is idle does nothing" in {check.name for check in report.failed}
