"""Levels 2 and 3 under an access scheme, in people's words, and what is said where there is no answer."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from fedopt.access import Access, Sharing, TimeDivision
from fedopt.checks import InputError
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget
from fedopt.reasons import why_infeasible, why_too_loud
from fedopt.rounds import goal_of, rows_of, schedule_of
from fedopt.solution import Schedule, Status
from fedopt.submodels import Workload
from solvers import access as schemes
from solvers.access import Outcome
from solvers.limits import limits
from solvers.rows import Allocate, Goal, Limits, Rows, Stop, Timing


class Scheme:
    """An access scheme at work: the clients on its whole channel, and its solver."""

    def __init__(self, clients: Clients, access: Access) -> None:
        name = "timedivision" if isinstance(access, TimeDivision) else "shared"
        self.access = access
        self.clients = clients.on_channel(access.hertz)
        self.solver = schemes.METHODS.get(name)
        self.module = schemes.METHODS.module(name)

    def rows(self, work: Workload) -> Rows:
        """The solver's view of the workload, everybody on the whole channel."""
        return rows_of(self.clients, work)

    def solve(self, rows: Rows, goal: Goal, value: float) -> Outcome:
        """Levels 2 and 3."""
        return self.solver(rows, self.access.hertz, goal, value)

    def find_duration(self, rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
        """The same in the shape of a level-2 method; level 3 is part of it."""
        return self.solve(rows, goal, value).timing

    def limits(self, rows: Rows) -> Limits:
        """T_min, T_flat and E_inf of all rows together."""
        found: Limits = self.module.scheme_limits(rows, self.access.hertz)
        return found

    def schedule(self, work: Workload, budget: Budget) -> Schedule:
        """The whole answer, judged under the scheme."""
        started = time.perf_counter()
        rows = self.rows(work)
        outcome = self.solve(rows, *goal_of(budget))
        timing, sharing = outcome.timing, None
        if timing.point is None:
            found = schedule_of(self.clients, work, budget, rows, timing, 0.0)
            if timing.stop is not Stop.LIMIT:
                reason, who, missing = self.why_infeasible(rows, budget, timing.stop)
                found = dataclasses.replace(found, reason=reason, clients=who, shortfall=missing)
        else:
            sharing = Sharing(**{f.name: getattr(outcome, f.name) for f in dataclasses.fields(Sharing)})
            b = np.where(sharing.bandwidth > 0.0, sharing.bandwidth, self.access.hertz)
            given = dataclasses.replace(rows, bandwidth=b, snr=rows.snr * rows.bandwidth / b)
            found = schedule_of(self.clients, work, budget, given, timing, 0.0, access=self.access, sharing=sharing)
            if found.status is Status.LIMIT:
                found = dataclasses.replace(found, reason=f"{found.reason} {_left_open(sharing, found.bracket)}")
        stats = {**found.stats, "seconds": time.perf_counter() - started}
        return dataclasses.replace(found, stats=stats)

    def why_infeasible(self, rows: Rows, budget: Budget, stop: Stop) -> tuple[str, tuple[int, ...], float]:
        """The sentence, the clients it is about (worst first) and by how much the budget misses."""
        alone = limits(rows)
        if stop is Stop.UNREACHABLE:
            return why_infeasible(self.clients, alone, budget, stop)
        known = self.limits(rows)
        if isinstance(budget, PowerBudget):
            return (*why_infeasible(self.clients, alone, budget, stop)[:2], known.e_inf)
        deadline = isinstance(budget, Deadline)
        needs, unit = (alone.least_time, "s") if deadline else (alone.least_energy, "J")
        who = np.argsort(-needs, kind="stable")
        who = who[needs[who] > 0.0]
        named = ", ".join(f"{self.clients.label(int(n))} {needs[n]:.6g} {unit}" for n in who[:3])
        whose = f"alone on the whole channel, client {named}" + (" and others less" if len(who) > 3 else "")
        if isinstance(budget, Deadline):
            missing = known.t_min - budget.seconds
            if missing <= 0.0:
                return why_too_loud(self.clients, alone.least_time, budget.seconds, " on a shared channel")
            text = f"the deadline of {budget.seconds:.6g} s is {missing:.6g} s too short for all to share the channel"
        else:
            assert isinstance(budget, EnergyBudget)
            missing = known.e_inf - budget.joules
            text = f"the energy budget of {budget.joules:.6g} J misses the least possible {known.e_inf:.6g} J"
            text += (
                f" by {missing:.6g} J" if missing > 0.0 else ", which only an endless round reaches: it must be more"
            )
        return f"Infeasible: {text}; {whose} at least.", tuple(int(n) for n in who), max(missing, 0.0)


def _left_open(sharing: Sharing, bracket: tuple[float, float]) -> str:
    """What the proof of an answer leaves open."""
    wide = 1.0 - bracket[0] / bracket[1]
    return (
        f"Its proof leaves {abs(sharing.gap):.2g} of the energy open, {wide:.2g} of the duration, and "
        f"{sharing.residual:.2g} in the optimality conditions."
    )


def nothing_else(access: Access | None, **methods: tuple[str, str]) -> None:
    """Under an access scheme levels 2 and 3 are one method. Raises InputError for another, given as (name, default)."""
    for level, (name, default) in methods.items():
        if access is not None and name != default:
            raise InputError(
                level, f"{default!r} with an access scheme, which decides levels 2 and 3 together", repr(name)
            )
