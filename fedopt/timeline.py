"""How the clients spend the round, and who holds it up: read off a solution, for tables, files and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedopt.answers import check_answer_of
from fedopt.checks import FloatArray
from fedopt.problem import Problem
from fedopt.solution import Allocation, Solution
from fedopt.submodels import IntArray

AT_LIMIT = 1e-9  # relative: closer than this to a limit is at it
_NEGLIGIBLE = 1e-3  # of the sum of prices: a client below it does not hold anybody up
_HOLDING = 5  # clients named as holding the round up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """How each client spends the round; arrays (N,) [s] that sum to the duration for every client that works.

    An idle client waits all the round.
    """

    overhead: FloatArray
    downloading: FloatArray
    computing: FloatArray
    sending: FloatArray
    waiting: FloatArray


def decision(problem: Problem, solution: Solution) -> tuple[Allocation, IntArray]:
    """Allocation and assignment of a problem's solution that has them.

    Raises ValueError where it is infeasible, InputError where it is none of the problem's.
    """
    check_answer_of(problem, solution)
    if solution.allocation is None or solution.assignment is None:
        raise ValueError(f"there is no decision to show: {solution.reason}")
    return solution.allocation, solution.assignment


def timeline(problem: Problem, solution: Solution) -> Timeline:
    """Where every client's round goes (section 3 of the model). Raises ValueError for an infeasible solution."""
    allocation, assignment = decision(problem, solution)
    work = problem.clients.workload(problem.submodels, assignment)
    assert work.download_bits is not None
    overhead = np.where(work.idle, 0.0, problem.clients.overhead)
    downloading = work.download_bits / problem.clients.download_rate
    busy = overhead + downloading + allocation.compute_time + allocation.upload_time
    return Timeline(
        overhead=overhead,
        downloading=downloading,
        computing=allocation.compute_time,
        sending=allocation.upload_time,
        waiting=np.maximum(solution.duration - busy, 0.0),
    )


def holders(problem: Problem, solution: Solution) -> NDArray[np.intp]:
    """Indices of the (at most five) clients that hold the round up, dearest first.

    Those flat out at the last moment where there are such, else those whose time is dearest: the greatest prices
    lambda [W], what one more second of round would save the client [J].
    """
    allocation, _ = decision(problem, solution)
    dearest = np.argsort(-allocation.price, kind="stable")
    flat_out = flat_out_clients(problem, solution)
    if flat_out.size:
        return np.array(dearest[np.isin(dearest, flat_out)][:_HOLDING])
    worth = allocation.price[dearest] > _NEGLIGIBLE * allocation.price.sum()
    return np.array(dearest[worth][:_HOLDING])


def flat_out_clients(problem: Problem, solution: Solution) -> NDArray[np.intp]:
    """Indices of the clients that could not finish earlier whatever the budget: f_max and p_max and no waiting."""
    allocation, assignment = decision(problem, solution)
    clients, parts = problem.clients, timeline(problem, solution)
    work = clients.workload(problem.submodels, assignment)
    with np.errstate(invalid="ignore"):
        cpu = (work.cycles == 0.0) | (allocation.frequency >= clients.frequency_max * (1.0 - AT_LIMIT))
        radio = (work.upload_bits == 0.0) | (allocation.power >= clients.power_max * (1.0 - AT_LIMIT))
    ends = parts.waiting <= AT_LIMIT * solution.duration
    return np.flatnonzero(cpu & radio & ends & ~work.idle)
