"""Levels 3 and 2 for a given workload: allocate() at a duration, schedule() for a budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from fedopt.access import Access, Sharing, check_access
from fedopt.checks import FloatArray, InputError, choice, compact, kind, number
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget, check_budget
from fedopt.reasons import left_open, why_infeasible
from fedopt.solution import Allocation, Schedule, Status, Verdict
from fedopt.submodels import Workload
from fedopt.verdict import verdict_of
from solvers import allocation as level3
from solvers import duration as level2
from solvers.limits import limits
from solvers.memory import table
from solvers.rows import Goal, Point, Rows, Stop, Timing, greatest_of


def allocate(clients: Clients, work: Workload, *, duration: float, allocation: str = "kernel") -> Allocation:
    """Level 3: each client's CPU frequency and upload rate of least energy for a round of ``duration`` seconds.

    Parameters
    ----------
    clients : Clients, N of them.
    work : Workload of shape (N,), or one number per field for all.
    duration : [s] T.
    allocation : "kernel" (compiled, default), "reference" (numpy, slow and plain), "scipy", "cvxpy".

    Returns
    -------
    Allocation; clients that cannot meet the duration have ``feasible`` False, energy +inf and everything else NaN.

    Raises
    ------
    InputError for bad arguments; MissingExtra where the method's package is not installed; ArithmeticError where
    scipy or Clarabel gives up.
    Source: section 4 of the model; Yu & Li (IEEE Network 35(1), 2021), third level.
    """
    kind("clients", clients, Clients, "a Clients table")
    kind("work", work, Workload, "a Workload")
    duration = number("duration", duration, zero=True, unit="s")
    method = level3.METHODS.get(choice("allocation", allocation, level3.METHODS.names))
    rows = rows_of(clients, work)
    return allocation_of(rows, method(rows, duration))


def schedule(
    clients: Clients,
    work: Workload,
    budget: Budget,
    *,
    timing: str = "newton",
    allocation: str = "kernel",
    access: Access | None = None,
) -> Schedule:
    """Levels 2 and 3: the duration of the round and what every client does in it.

    Parameters
    ----------
    clients : Clients, N of them.
    work : Workload of shape (N,), or one number per field for all.
    budget : EnergyBudget [J] or PowerBudget [W] (least duration within it), Deadline [s] (least energy),
        TimePrice [W] (least energy + price x duration).
    timing : "newton" (certified, default), "bisection" (as the paper has it), "cvxpy" (one joint convex program,
        which decides level 3 too).
    allocation : method of level 3, see allocate().
    access : None for the clients' own channels; TimeDivision(hertz) or SharedBandwidth(hertz) where they share one.
        Levels 2 and 3 are then one method, and ``sharing`` of the answer has bandwidths, prices and proof.

    Returns
    -------
    Schedule. An infeasible problem is an answer: status INFEASIBLE, duration and energy NaN, a reason that names
    clients and amounts.

    Raises
    ------
    InputError for bad arguments; MissingExtra where a method's package is not installed.
    Source: section 5 of the model; Yu & Li (IEEE Network 35(1), 2021), second level.
    """
    kind("clients", clients, Clients, "a Clients table")
    kind("work", work, Workload, "a Workload")
    check_budget("budget", budget)
    find_duration = level2.METHODS.get(choice("timing", timing, level2.METHODS.names))
    price_rows = level3.METHODS.get(choice("allocation", allocation, level3.METHODS.names))
    check_access("access", access)
    work = work.sized(len(clients))
    if access is not None:
        from fedopt.sharing import Scheme, nothing_else

        nothing_else(access, timing=(timing, "newton"), allocation=(allocation, "kernel"))
        return Scheme(clients, access).schedule(work, budget)
    if timing == "newton" and allocation == "kernel":
        found = _at_once()(clients, work, budget)
        if found is not None:
            return found
    started = time.perf_counter()
    rows = rows_of(clients, work)
    result = find_duration(rows, *goal_of(budget), price_rows)
    seconds = time.perf_counter() - started
    return schedule_of(clients, work, budget, rows, result, seconds)


@cache
def _at_once() -> Callable[[Clients, Workload, Budget], Schedule | None]:
    """It is made of parts of this file."""
    from fedopt.atonce import schedule_at_once

    return schedule_at_once


def rows_of(clients: Clients, work: Workload) -> Rows:
    """The solver's view of clients and workload; a column that is one number for all stays one number."""
    size = len(clients)
    work, c, spans, loads = work.sized(size), clients.numbers, clients.spans, work.spans
    cycles, upload, download = compact(work.cycles), compact(work.upload_bits), compact(work.download_bits)  # type: ignore[arg-type]
    idle = _NOBODY
    if loads["cycles"][0] == 0.0 and loads["upload_bits"][0] == 0.0:
        idle = (cycles == 0.0) & (upload == 0.0) & (download == 0.0)
    if within_range(spans, 1.0):
        snr = c["channel_gain"] / (c["noise_density"] * c["bandwidth"])
    else:
        with np.errstate(all="ignore"):
            snr = c["channel_gain"] / (c["noise_density"] * c["bandwidth"])
        positive = c["channel_gain"] > 0.0
        _refuse_overflow("channel_gain", "gain / (noise density x bandwidth)", snr, positive & (snr < 1e-300))
    fixed_time, fixed_energy = c["overhead"], _NOTHING
    if spans["download_rate"][0] < math.inf:
        with np.errstate(all="ignore"):
            receiving = download / c["download_rate"]  # [s]
            fixed_time, fixed_energy = fixed_time + receiving, c["receive_power"] * receiving
    if idle is not _NOBODY and idle.any():
        fixed_time, fixed_energy = np.where(idle, 0.0, fixed_time), np.where(idle, 0.0, fixed_energy)
    if spans["download_rate"][0] < math.inf and not greatest_of(fixed_time) < math.inf:
        _refuse_overflow("download_rate", "download time", fixed_time)
    most = loads["cycles"][1]
    if not most * most * most * spans["capacitance"][1] < math.inf:
        client = int(np.argmax(np.broadcast_to(cycles, (size,))))
        found = f"{np.broadcast_to(cycles, (size,))[client]:g} cycles"
        raise InputError("work.cycles", "capacitance x cycles^3 within the range of a double", found, client)
    if not is_seen(loads["cycles"][0], spans):
        worth = c["capacitance"] * cycles * cycles * cycles
        faint = (cycles > 0.0) & (worth < _FAINT)
        if faint.any():
            client = int(np.argmax(np.broadcast_to(faint, (size,))))
            found = f"{np.broadcast_to(cycles, (size,))[client]:g} cycles"
            expected = f"0, or capacitance x cycles^3 within the range of a double (at least {_FAINT:g} J s^2)"
            raise InputError("work.cycles", expected, found, client)
    rows = Rows(
        work=cycles,
        frequency_min=c["frequency_min"],
        frequency_max=c["frequency_max"],
        capacitance=c["capacitance"],
        static_power=c["static_power"],
        bits=upload,
        bandwidth=c["bandwidth"],
        snr=snr,
        power_min=c["power_min"],
        power_max=c["power_max"],
        circuit_power=c["circuit_power"],
        fixed_time=fixed_time,
        fixed_energy=fixed_energy,
        idle=idle,
    )
    return rows if len(rows) == size else rows.widen(size)


def within_range(spans: dict[str, tuple[float, float]], cycles: float) -> bool:
    """Whether neither gain / (noise density x bandwidth) nor capacitance x cycles^3 can leave the range of a double,
    going by the columns' extremes."""
    (weakest, strongest), (quiet, loud), (narrow, wide) = (
        spans[name] for name in ("channel_gain", "noise_density", "bandwidth")
    )
    within = weakest / loud / wide > 1e-300 and strongest / quiet / narrow < 1e300
    return within and cycles * cycles * cycles * spans["capacitance"][1] < math.inf


def is_seen(cycles: float, spans: dict[str, tuple[float, float]]) -> bool:
    """Whether no capacitance x cycles^3 is so little that a double loses digits of it, going by the least ones."""
    return cycles * cycles * cycles * spans["capacitance"][0] >= _FAINT


_FAINT = 1e-300  # J s^2
_NOBODY, _NOTHING = np.zeros(1, dtype=np.bool_), np.zeros(1)
_NOBODY.flags.writeable = _NOTHING.flags.writeable = False


def _refuse_overflow(field: str, what: str, values: FloatArray, underflown: Any = False) -> None:
    """A derived quantity that left the range of a double is bad input, not a number."""
    bad = ~np.isfinite(values) | underflown
    if bad.any():
        client = int(np.argmax(bad))
        raise InputError(f"Clients.{field}", f"a {what} within the range of a double", f"{values[client]:g}", client)


def goal_of(budget: Budget) -> tuple[Goal, float]:
    """The solver's name for a budget, and its number."""
    match budget:
        case EnergyBudget(joules):
            return Goal.ENERGY, joules
        case PowerBudget(watts):
            return Goal.POWER, watts
        case Deadline(seconds):
            return Goal.DEADLINE, seconds
        case price:
            return Goal.PRICE, price.watts


@cache
def _compiled() -> tuple[Any, Any, Any, int]:
    """What brings numba along, imported once: an import takes a microsecond each time it is met."""
    from solvers.blocks import BLOCK
    from solvers.decisions import radio
    from solvers.plan import frozen
    from solvers.threads import each_chunk

    return radio, frozen, each_chunk, BLOCK


def allocation_of(rows: Rows, point: Point) -> Allocation:
    """People's names for the solver's point: x [nat] becomes rate r = B x / ln 2 and power p = (e^x - 1)/gamma."""
    radio, frozen, each_chunk, block = _compiled()
    rate, power = table(2, point.efficiency.shape[0])
    x, bandwidth, snr = frozen(point.efficiency), frozen(rows.bandwidth), frozen(rows.snr)
    odd = each_chunk(partial(radio, x, bandwidth, snr, rate, power), -(-x.shape[0] // block))
    if any(odd):
        with np.errstate(all="ignore"):
            power = np.expm1(point.efficiency) / rows.snr
            power = np.where((rows.snr <= 0.0) & (point.efficiency == 0.0), 0.0, power)
    return Allocation(
        frequency=point.frequency,
        rate=rate,
        power=power,
        compute_time=point.compute_time,
        upload_time=point.upload_time,
        energy=point.energy,
        price=point.price,
        feasible=point.feasible,
    )


NO_ANSWER = "Stopped at a limit: no answer is in hand."
_STATUS = {int(Stop.OPTIMAL): Status.OPTIMAL, int(Stop.SLACK): Status.SLACK}


def schedule_of(
    clients: Clients,
    work: Workload,
    budget: Budget,
    rows: Rows,
    timing: Timing,
    seconds: float,
    *,
    access: Access | None = None,
    sharing: Sharing | None = None,
) -> Schedule:
    """A level-2 answer in people's words, judged."""
    stats = {"passes": float(timing.passes), "seconds": seconds}
    if timing.point is None:
        return _infeasible(clients, rows, budget, timing, stats)
    allocation = allocation_of(rows, timing.point)
    b = None if sharing is None else sharing.bandwidth
    f, r = allocation.frequency, allocation.rate
    verdict = verdict_of(clients, work, timing.duration, f, r, budget, access, b)
    return schedule_from(budget, timing, allocation, verdict, stats, sharing)


def schedule_from(
    budget: Budget,
    timing: Timing,
    allocation: Allocation,
    verdict: Verdict,
    stats: dict[str, float],
    sharing: Sharing | None = None,
) -> Schedule:
    """An answer and what the judge says of it, in a sentence."""
    status = _STATUS.get(int(timing.stop), Status.LIMIT)
    reason = f"{status.sentence} {left_open(budget, timing)}".rstrip()
    if not verdict.feasible:  # at a limit, too: such an answer is none to have in hand
        status, reason = Status.INACCURATE, f"{Status.INACCURATE.sentence} {'; '.join(verdict.violations)}."
    return Schedule(
        status=status,
        reason=reason,
        duration=timing.duration,
        energy=verdict.energy,
        allocation=allocation,
        verdict=verdict,
        bracket=(timing.lower, timing.upper),
        sharing=sharing,
        stats=stats,
    )


def _infeasible(clients: Clients, rows: Rows, budget: Budget, timing: Timing, stats: dict[str, float]) -> Schedule:
    """Say which clients stand in the way, what each needs, and by how much the budget misses."""
    status = Status.LIMIT
    reason, shortfall = NO_ANSWER, math.nan
    who: tuple[int, ...] = ()
    if timing.stop is not Stop.LIMIT:
        status = Status.INFEASIBLE
        reason, who, shortfall = why_infeasible(clients, limits(rows), budget, timing.stop)
    return Schedule(
        status=status,
        reason=reason,
        duration=math.nan,
        energy=math.nan,
        allocation=None,
        verdict=None,
        clients=who,
        shortfall=shortfall,
        stats=stats,
    )
