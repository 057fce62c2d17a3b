"""R4, R10 and R12 on drawn fleets: Clarabel, degenerate fleets against 60 digits, and the kernels run as plain Python.

A sample in every run, the full counts at night.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fleets import ORDINARY, Instance, make
from mpmath import mpf
from oracle import Fleet

import fedopt
from fedopt import EnergyBudget, PowerBudget, Status
from fedopt.verdict import TOLERANCE

EPS = 2.0**-52
ROOT = Path(__file__).parents[1]


def sampled(row: str, sample: int, full: int) -> Any:
    """A parameter ``count``: the sample in every run, all at night."""
    return pytest.mark.parametrize("count", [sample, pytest.param(full, marks=pytest.mark.nightly(row, full))])


def budget_of(instance: Instance, seed: int) -> Any:
    """An energy budget or, for odd seeds, a power budget that leads to the instance's own duration."""
    energy = float(fedopt.allocate(instance.clients, instance.work, duration=instance.duration).energy.sum())
    return PowerBudget(energy / instance.duration) if seed % 2 else EnergyBudget(energy)


def condition(found: fedopt.Schedule, budget: Any) -> float:
    """By so much a relative rounding of the budget moves T, at least 1."""
    assert found.allocation is not None
    watts = budget.watts if isinstance(budget, PowerBudget) else 0.0
    slope = found.duration * (float(found.allocation.price.sum()) + watts)
    return max(1.0, found.energy / slope) if slope > 0.0 else math.inf


# --- R4 --------------------------------------------------------------------------------------------------------------


def scaled(instance: Instance) -> Instance:
    """The same phones in gigahertz, gigacycles and megabits: numbers of order one; a joule and a second stay."""
    c, w = instance.clients, instance.work
    clients = c.replace(
        frequency_min=c.frequency_min / 1e9,
        frequency_max=c.frequency_max / 1e9,
        capacitance=c.capacitance * 1e27,
        bandwidth=c.bandwidth / 1e6,
        channel_gain=c.channel_gain * 1e12,
        noise_density=c.noise_density * 1e18,
    )
    work = fedopt.Workload(cycles=w.cycles / 1e9, upload_bits=w.upload_bits / 1e6, download_bits=w.download_bits / 1e6)
    return Instance(clients, work, instance.duration)


@sampled("R4", 3, 300)
def test_the_cone_program_finds_no_shorter_round(count: int) -> None:
    """Never longer than Clarabel's duration by 1e-6, and by what the judge lets pass; within 1e-5, or 60 digits decide.

    The judge does not ask for the shortest round: Clarabel's answer may be longer and pass, and where it calls itself
    inaccurate it now and then is, by up to 3e-5. Then the best duration, by the oracle, is ours.
    """
    pytest.importorskip("cvxpy")
    judged = apart = 0
    for seed in range(count):
        instance = scaled(make("typical", 400 + seed, 1 + 7 * seed % 100))
        budget = budget_of(instance, seed)
        ours = fedopt.schedule(instance.clients, instance.work, budget)
        theirs = fedopt.schedule(instance.clients, instance.work, budget, timing="cvxpy")
        assert ours.status.solved, ours.reason
        if theirs.status.solved:
            judged += 1
            assert ours.duration <= theirs.duration * (1.0 + 1e-6 + TOLERANCE * condition(ours, budget)), seed
            if abs(theirs.duration / ours.duration - 1.0) > 1e-5:
                apart += 1
                best = Fleet(instance.clients, instance.work).schedule(budget).duration
                assert abs(ours.duration / best - 1) <= 1e-12 + 32 * EPS * condition(ours, budget), seed
    assert judged >= 0.5 * count
    assert apart <= 0.05 * count


# --- R10 -------------------------------------------------------------------------------------------------------------


def changed(instance: Instance, work: dict[str, Any] | None = None, **columns: Any) -> Instance:
    """The instance with some columns replaced."""
    own = {name: getattr(instance.work, name) for name in ("cycles", "upload_bits", "download_bits")}
    return Instance(instance.clients.replace(**columns), fedopt.Workload(**(own | (work or {}))), instance.duration)


def spoiled(instance: Instance, name: str, factor: float) -> Instance:
    """The first client so many times worse in a column."""
    values = np.array(getattr(instance.clients, name))
    values[0] *= factor
    return changed(instance, **{name: values})


def alike(instance: Instance) -> Instance:
    first, size = instance.one(0), len(instance.clients)
    work = {name: np.repeat(getattr(first.work, name), size) for name in ("cycles", "upload_bits", "download_bits")}
    return Instance(first.clients.take(np.zeros(size, dtype=int)), fedopt.Workload(**work), instance.duration)


def heavier(instance: Instance) -> Instance:
    cycles = np.array(instance.work.cycles)
    cycles[0] *= 1e12
    return changed(instance, {"cycles": cycles})


def partly(instance: Instance, *names: str) -> Instance:
    """The first client does none of these."""
    size = len(instance.clients)
    return changed(
        instance, {name: np.where(np.arange(size) == 0, 0.0, getattr(instance.work, name)) for name in names}
    )


DEGENERATE: dict[str, Callable[[Instance], Instance]] = {
    "nothing to send": lambda i: changed(i, {"upload_bits": 0.0 * i.work.upload_bits}),
    "nothing to compute": lambda i: changed(i, {"cycles": 0.0 * i.work.cycles}),
    "one sends nothing": lambda i: partly(i, "upload_bits"),
    "one computes nothing": lambda i: partly(i, "cycles"),
    "one only receives": lambda i: partly(i, "cycles", "upload_bits"),
    "one idle": lambda i: partly(i, "cycles", "upload_bits", "download_bits"),
    "one frequency": lambda i: changed(i, frequency_min=i.clients.frequency_max),
    "no least frequency": lambda i: changed(i, frequency_min=0.0),
    "one power": lambda i: changed(i, power_min=i.clients.power_max),
    "no greatest power": lambda i: changed(i, power_max=math.inf),
    "one client": lambda i: i.one(0),
    "all alike": alike,
    "one with hardly a channel": lambda i: spoiled(i, "channel_gain", 1e-12),
    "one with hardly a CPU": lambda i: spoiled(changed(i, frequency_min=0.0), "frequency_max", 1e-12),
    "one with far more to do": heavier,
}


def check_degenerate(name: str, seed: int) -> None:
    """A budget somewhere between both ends, or an ulp around one of them: a hair later it is kept, a hair earlier not.

    Infeasible is right up to four roundings above E_inf, and there a duration may be more than doubles know.
    """
    rng = np.random.default_rng([len(name), seed])
    instance = DEGENERATE[name](make(("typical", "wide", "powers")[seed % 3], 600 + seed, int(rng.integers(2, 6))))
    fleet = Fleet(instance.clients, instance.work)
    T = fleet.t_min * (1 + mpf(10) ** rng.uniform(-3, 1)) if seed % 5 else fleet.t_min
    energy = fleet.energy(T)
    if T == 0 or not energy < mpf("1e300"):
        return
    joules = float(energy if seed % 10 else fleet.e_inf)
    if seed % 5 == 0:
        joules = float(np.nextafter(joules, rng.choice([0.0, joules, math.inf])))
    budget = PowerBudget(joules / float(T)) if seed % 5 == 3 else EnergyBudget(joules)
    found = fedopt.schedule(instance.clients, instance.work, budget)
    if found.status is Status.INFEASIBLE:
        assert isinstance(budget, EnergyBudget)
        assert mpf(joules) <= fleet.e_inf * (1 + 4 * mpf(EPS))
        assert abs(found.shortfall - (fleet.e_inf - mpf(joules))) <= 8 * EPS * joules
        return
    if found.status is Status.LIMIT:  # so near E_inf, rounding hides the duration: the bracket says so
        assert mpf(joules) <= fleet.e_inf * (1 + mpf("1e-12"))
        best, (low, high) = fleet.schedule(budget), found.bracket
        assert high - low > 1e-2 * found.duration
        assert best.status == "infeasible" or low <= best.duration * (1 + EPS)
        assert best.status == "infeasible" or best.duration <= high * (1 + EPS)
        return
    assert found.status.solved, found.reason
    T, hair, noise = mpf(found.duration), mpf("2e-12"), mpf("1e-14")

    def allowed(duration: Any) -> Any:
        return mpf(budget.watts) * duration if isinstance(budget, PowerBudget) else mpf(budget.joules)

    assert found.energy <= float(allowed(T)) * (1.0 + 1e-14)
    assert fleet.energy(T * (1 + hair)) <= allowed(T * (1 + hair)) * (1 + noise)
    assert fleet.energy(T * (1 - hair)) >= allowed(T * (1 - hair)) * (1 - noise)


@sampled("R10", 4, 50)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_fleets_match_the_oracle(name: str, count: int) -> None:
    for seed in range(count):
        check_degenerate(name, seed)


# --- R12 -------------------------------------------------------------------------------------------------------------

INTERPRETED = """
import json, sys
from test_drawn import drawn
import fedopt
found = [fedopt.schedule(i.clients, i.work, b) for i, b in map(drawn, range(int(sys.argv[1])))]
print(json.dumps([(f.status.name, f.duration.hex()) for f in found]))
"""


def drawn(seed: int) -> tuple[Instance, Any]:
    """An instance of level 2 for R12, the same in every process: its budget comes from the readable reference."""
    instance = make(ORDINARY[seed % len(ORDINARY)], 800 + seed, 1 + seed % 12)
    point = fedopt.allocate(instance.clients, instance.work, duration=instance.duration, allocation="reference")
    energy = float(point.energy.sum())
    return instance, PowerBudget(energy / instance.duration) if seed % 2 else EnergyBudget(energy)


@sampled("R12", 21, 500)
def test_compiled_readable_and_interpreted_solvers_agree(count: int) -> None:
    """T to 1e-13, and to the budget's rounding where T is sensitive to it; the same status.

    A client that has nothing to decide at its duration spends E_inf there; rounded down, that is too little for all.
    """
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", INTERPRETED, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    for seed, (status, duration) in enumerate(json.loads(done.stdout)):
        instance, budget = drawn(seed)
        found = fedopt.schedule(instance.clients, instance.work, budget)
        readable = fedopt.schedule(instance.clients, instance.work, budget, allocation="reference")
        assert found.status.name == readable.status.name == status, seed
        if found.status is Status.INFEASIBLE:
            assert isinstance(budget, EnergyBudget), seed
            assert budget.joules <= Fleet(instance.clients, instance.work).e_inf * (1 + 4 * mpf(EPS)), seed
            continue
        tolerance = 1e-13 + 32 * EPS * condition(found, budget)
        assert found.duration == pytest.approx(float.fromhex(duration), rel=tolerance), seed
        assert found.duration == pytest.approx(readable.duration, rel=tolerance), seed
