"""Answers without a decision: why no round meets the budget, whose fault it is, and by how much it misses."""

from __future__ import annotations

import math

import numpy as np

from fedopt.candidates import menu_of
from fedopt.claims import gave_up
from fedopt.crowded import why_crowded
from fedopt.problem import Budget, EnergyBudget, PowerBudget, Problem
from fedopt.reasons import why_infeasible
from fedopt.rounds import NO_ANSWER, goal_of, rows_of
from fedopt.sharing import Scheme
from fedopt.solution import Solution, Status
from fedopt.submodels import IntArray
from solvers.limits import limits
from solvers.matching.task import Proof, Searched
from solvers.rows import Goal, Stop

_ROUNDING = 1e-12  # of sums of energies


def infeasible(
    problem: Problem, counts: IntArray, found: Searched, stats: dict[str, float], scheme: Scheme | None, tried: str
) -> Solution:
    """Explain with the partition that comes closest: least duration for a deadline, least energy for a budget.

    Of partitions too many to list with the closest one found.

    Where level 2 gave up on one there is no answer, and no proof that there is none.

    tried: which matchings were, where they were not all.
    """
    gives_up = unsolved(problem, NO_ANSWER, (), math.nan, stats, "", Status.LIMIT)
    if gave_up(found):
        return gives_up
    goal, _ = goal_of(problem.budget)
    stops, least_time, least_energy = found.results[:, 2], found.results[:, 3], found.results[:, 4]
    closest = int(np.nanargmin(least_time if goal is Goal.DEADLINE else least_energy))
    stop, crowd = Stop(int(stops[closest])), found.crowds.get(closest)
    if not _proves(stop, problem.budget, float(least_energy[closest])):
        return gives_up
    if crowd is not None and stop is not Stop.TOO_LITTLE:
        reason, who, missing = why_crowded(problem.clients, problem.submodels, crowd, problem.budget)
    else:
        work = problem.clients.workload(problem.submodels, found.assign(closest))
        if scheme is None:
            least = limits(rows_of(problem.clients, work))
            reason, who, missing = why_infeasible(problem.clients, least, problem.budget, stop)
        else:
            reason, who, missing = scheme.why_infeasible(scheme.rows(work), problem.budget, stop)
    if found.counts is not None:
        reason += (
            f" That is of partition {tuple(counts[closest].tolist())}, the closest found; others may miss by less."
        )
    elif len(counts) > 1:
        reason += f" That is the closest of {len(counts)} partitions, {tuple(counts[closest].tolist())}."
    if tried and (stop is not Stop.UNREACHABLE or _in_reach(problem, counts, scheme)):
        reason += f" Only {tried} matchings were tried: others may meet it."
    scope = {"": Proof.MATCHINGS.value, "sorted": Proof.SORTED.value}.get(tried, "")
    return unsolved(problem, reason, who, missing, stats, scope)


def _in_reach(problem: Problem, counts: IntArray, scheme: Scheme | None) -> bool:
    """Whether every client is within reach of some type that a partition has places of."""
    least = menu_of(problem, problem.clients if scheme is None else scheme.clients).least_times
    return bool(np.isfinite(least[counts.any(axis=0)]).any(axis=0).all())


def _proves(stop: Stop, budget: Budget, least_energy: float) -> bool:
    """Whether what level 2 said proves that nothing meets the budget.

    No price of time, and no power above 0 W, is too little.
    """
    if stop is not Stop.TOO_LITTLE:
        return stop in (Stop.TOO_SHORT, Stop.UNREACHABLE)
    if isinstance(budget, PowerBudget):
        return budget.watts == 0.0
    return isinstance(budget, EnergyBudget) and not least_energy < budget.joules * (1.0 - _ROUNDING)


def unsolved(
    problem: Problem,
    reason: str,
    who: tuple[int, ...],
    missing: float,
    stats: dict[str, float],
    scope: str,
    status: Status = Status.INFEASIBLE,
) -> Solution:
    """An answer without a decision; scope: of which answers that is proved, "" where of none but those tried."""
    return Solution(
        status=status,
        reason=reason,
        duration=math.nan,
        energy=math.nan,
        allocation=None,
        verdict=None,
        partition=None,
        assignment=None,
        utility=math.nan,
        scope=scope,
        clients=who,
        shortfall=missing,
        stats=stats,
        problem=problem,
    )


def nothing_yet(problem: Problem, limit: float, stats: dict[str, float]) -> Solution:
    """The time was up before any answer was found, or the steps of a search of partitions too many to list."""
    late = stats["seconds_search"] >= limit
    reason = "Stopped before any answer was found or proved impossible"
    reason += f", at the time limit of {limit:g} s." if late else ": it would need another partition."
    stats = {**stats, "seconds": stats["seconds_search"]}
    return unsolved(problem, reason, (), math.nan, stats, "", Status.LIMIT)
