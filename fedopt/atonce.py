"""schedule() in one compiled call, for fleets small enough that the steps between its parts cost as much as these."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import numpy as np

from fedopt.clients import Clients
from fedopt.problem import Budget, overspent
from fedopt.rounds import goal_of, is_seen, schedule_from, within_range
from fedopt.solution import Allocation, Schedule, Verdict
from fedopt.submodels import Workload
from fedopt.verdict import TOLERANCE

_MOST = 1 << 15  # clients: more are searched by several threads


@cache
def _compiled() -> Any:
    """What brings numba along, imported once: an import takes a microsecond each time it is met."""
    from solvers import atonce
    from solvers.duration import newton, verdicts
    from solvers.memory import table
    from solvers.plan import frozen

    return atonce, newton, verdicts, table, frozen


def schedule_at_once(clients: Clients, work: Workload, budget: Budget) -> Schedule | None:
    """schedule() by its default methods, its arguments checked, ``work`` of shape (N,); the same bits.

    None for a large fleet, or one in which somebody has nothing to compute or to send, or receives for a while; and
    where the answer is anything but solved and fine: who asks then goes step by step.
    """
    spans, loads = clients.spans, work.spans
    if len(clients) > _MOST or not (loads["cycles"][0] > 0.0 and loads["upload_bits"][0] > 0.0):
        return None
    least, most = loads["cycles"]
    if spans["download_rate"][0] < math.inf or not (within_range(spans, most) and is_seen(least, spans)):
        return None
    started = time.perf_counter()
    atonce, newton, verdicts, table, frozen = _compiled()
    n, (goal, value) = clients.numbers, goal_of(budget)
    fields = (
        frozen(work.cycles), frozen(work.upload_bits), n["frequency_min"], n["frequency_max"], n["capacitance"],
        n["static_power"], n["bandwidth"], n["channel_gain"], n["noise_density"], n["power_min"], n["power_max"],
        n["circuit_power"], n["overhead"],
    )  # fmt: skip
    state, seen, out = np.zeros(newton.STATE), np.empty(atonce.SEEN), table(atonce.KEPT, len(clients))
    if not atonce.decide(fields, float(goal), value, state, seen, out):
        return None
    t, tau, energy, price, f, _, rate, power = out
    feasible = np.empty(len(clients), dtype=np.bool_)
    feasible.fill(True)
    spent, latest, worst, greatest = seen.tolist()
    timing = newton.timing_of(state.tolist(), goal, None, greatest)
    late = latest / timing.duration - 1.0 if timing.duration > 0.0 else math.inf
    violation = max(worst, late, overspent(budget, timing.duration, spent)[1], 0.0)
    if not (spent < math.inf and violation <= TOLERANCE and verdicts.is_known(timing, goal)):
        return None
    stats = {"passes": float(timing.passes), "seconds": time.perf_counter() - started}
    allocation = Allocation(
        frequency=f, rate=rate, power=power, compute_time=t, upload_time=tau, energy=energy, price=price,
        feasible=feasible,
    )  # fmt: skip
    verdict = Verdict(energy=spent, duration=timing.duration, violation=violation, violations=())
    return schedule_from(budget, timing, allocation, verdict, stats)
