"""Level 1 as a mixed-integer program at a fixed duration: partition and matching together, modelled with PuLP."""

from __future__ import annotations

import importlib.util
import math
import warnings

import numpy as np
import pulp
from numpy.typing import NDArray

from solvers.matching import marginal
from solvers.matching.assignment import one_by_one
from solvers.matching.best import OutOfTime
from solvers.matching.exact import PricedMatcher
from solvers.matching.fixed import duration_of
from solvers.matching.hall import Crowd, explain
from solvers.matching.least import Least, Match, least_duration
from solvers.matching.task import DURATION, ENERGY, SCREENED, STOPPED, Proof, Searched, Task
from solvers.rows import FloatArray, Goal, Stop

IntArray = NDArray[np.int64]

_GAP = 1e-9  # relative, of the energy; an absolute one would be met by what the cheap clients spend
_HIDES = 2.0 * _GAP  # relative, of the energy: how far a matching that is called the cheapest may be off
_PROVED = 1e-6  # relative, of the utility: what the gap may leave open of the best
_DEAREST = 1e4  # in the program, whose reduced costs are told apart to 1e-7
_BESIDE = 1e2  # times a matching: what costs more makes the solver's tolerances matter to the others
_WHOLE = 1e-6  # how far from 0 or 1 a binary may come back


class SolverError(ArithmeticError):
    """The solver stopped without either an optimum or a proof that there is none."""


def solver_name() -> str:
    """Which solver is used: HiGHS where highspy is installed, else the CBC that PuLP brings along."""
    return "HiGHS" if importlib.util.find_spec("highspy") else "CBC"


def search(task: Task) -> Searched:
    """The best partition and matching, proved: an outer search on T for every gain a partition can have.

    That needs a utility of the form gain / T that never falls with the replicas. For any other, and at a price of
    time, where every partition has a duration of its own, each partition is a program of its own. Where energies hardly
    fall with time the solver's gap leaves durations open: from 1e-6 on the ceiling says what they may be worth.
    """
    if task.gains is None or task.goal is Goal.PRICE:
        return one_by_one(task, lambda costs, counts: _of_partition(task, costs, counts))
    menu, goal, value = task.menu, task.goal, task.value
    start = marginal.search(task.quiet())
    results, chosen, solved = start.results.copy(), dict[int, IntArray](), 0
    with np.errstate(divide="ignore"):  # a round may take no time
        best = float(np.nanmax(task.gains / results[:, DURATION], initial=0.0))
    replicas = task.counts @ menu.weights
    steps = np.unique(task.gains)[::-1]
    stopped, ceiling = False, 0.0
    try:
        for done, gain in enumerate(steps):
            match = _at_least(task, float(replicas[task.gains == gain].min()))
            if goal is Goal.DEADLINE:
                found = match(value) if gain >= best * value * (1.0 - 1e-14) else None
                assignment = None if found is None else found[0]
            else:
                shorter = _shorter(task, match, gain / best if best > 0.0 else _endless(task, match))
                assignment = None if shorter is None else shorter.assignment
                if shorter is not None:
                    ceiling = max(ceiling, float(gain) / shorter.lower if shorter.lower > 0.0 else math.inf)
            if assignment is not None:
                duration, energy = duration_of(task, assignment)
                p = _row_of(task, assignment)
                if math.isinf(duration):  # level 2 gave up: for all we know it is as good as that
                    ceiling = max(ceiling, float(gain) / value if goal is Goal.DEADLINE else 0.0)
                    results[p, STOPPED] = Stop.LIMIT
                elif (duration, energy) < (results[p, DURATION], results[p, ENERGY]) or results[p, STOPPED] == SCREENED:
                    chosen[p] = assignment
                    results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = duration, energy, Stop.OPTIMAL
                    best = max(best, float(task.gains[p]) / duration if duration > 0.0 else math.inf)
            solved += 1
            task.progress(done + 1, len(steps), best)
    except OutOfTime:
        stopped = True
    answered = stopped or bool(np.isfinite(results[:, DURATION]).any())
    crowds = {} if answered else _explained(task, results, chosen)
    proved = not stopped and answered == bool(np.isfinite(results[:, DURATION]).any())
    return Searched(
        results=results,
        passes=start.passes + solved,
        assign=lambda p: chosen[p] if p in chosen else start.assign(p),
        proof=Proof.MATCHINGS if proved else Proof.NONE,
        ceiling=ceiling if proved and ceiling > best * (1.0 + _PROVED) else None,
        crowds=crowds,
        stopped=stopped,
    )


def _shorter(task: Task, match: Match, high: float) -> Least | None:
    """The best matching that is no longer than ``high`` [s]."""
    if math.isinf(high):
        return None
    least = task.menu.shortest
    return least_duration(
        match, lambda a: duration_of(task, a), task.goal, task.value, least, high, lambda: least, hides=_HIDES
    )


def _endless(task: Task, match: Match) -> float:
    """The duration [s] of the matching of least energy, which meets the budget if any does; inf where it does not."""
    found = match(math.inf)
    return math.inf if found is None else duration_of(task, found[0])[0] * (1.0 + 1e-12)


def _explained(task: Task, results: FloatArray, chosen: dict[int, IntArray]) -> dict[int, Crowd]:
    """By how much every partition misses, by the transportation problem; what it finds within the budget is kept."""
    crowds = explain(task, PricedMatcher(task).match, results, chosen)
    for p, assignment in chosen.items():
        duration, energy = duration_of(task, assignment)
        if math.isfinite(duration) and task.goal is not Goal.DEADLINE:  # the solver's gap is wider than what is left
            results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = duration, energy, Stop.OPTIMAL
    return crowds


def _of_partition(task: Task, costs: FloatArray, counts: IntArray) -> tuple[IntArray, float] | None:
    """The cheapest matching of one partition at costs (N, K)."""
    return cheapest(costs, task.menu.covers, task.menu.weights, 0.0, counts[None, :])


def _at_least(task: Task, replicas: float) -> Match:
    """The cheapest partition and matching at a duration that train at least so many replicas. Raises OutOfTime."""
    listed = task.counts if task.listed else None
    menu = task.menu

    def match(T: float) -> tuple[IntArray, float] | None:
        if task.late:
            raise OutOfTime
        return cheapest(menu.costs(T).T, menu.covers, menu.weights, replicas, listed)

    return match


def _row_of(task: Task, assignment: IntArray) -> int:
    """The row of ``task.counts`` an assignment realises."""
    counts = np.bincount(assignment, minlength=task.counts.shape[1])
    return int(np.argmax((task.counts == counts).all(axis=1)))


def cheapest(
    costs: FloatArray,
    covers: IntArray,
    weights: FloatArray,
    least_replicas: float,
    partitions: IntArray | None = None,
) -> tuple[IntArray, float] | None:
    """The partition and matching of least energy that train enough replicas, or None where there are none.

    costs : (N, K) [J] energy of row n in type k at the duration; +inf where it cannot meet it.
    covers : (K,) q_k; the count n_k of each type is a multiple of it.
    weights : (K,) replicas per place: 1/q_k, or 0 for idle places.
    least_replicas : sum of weights_k n_k is at least this.
    partitions : (P, K) counts to choose one of; None for all partitions of whole replicas.

    Returns the type of each row (N,) and the energy [J]. Raises SolverError where the solver proves neither.
    """
    allowed = np.isfinite(costs)
    if not allowed.any(axis=1).all():
        return None
    best: tuple[IntArray, float] | None = None
    while True:
        found = _program(costs, allowed, covers, weights, least_replicas, partitions)
        if found is None:
            return best
        best = found if best is None or found[1] < best[1] else best
        if float(costs[allowed].max()) <= _BESIDE * best[1] or float(costs[allowed].min()) < 0.0:
            return best
        allowed &= costs <= best[1]  # beside what is dearer than all of it the solver would not tell the rest apart


def _program(
    costs: FloatArray,
    allowed: NDArray[np.bool_],
    covers: IntArray,
    weights: FloatArray,
    least_replicas: float,
    partitions: IntArray | None,
) -> tuple[IntArray, float] | None:
    """The same by one program over the pairs that are allowed, (N, K)."""
    scale = float(np.abs(costs[allowed]).max()) / _DEAREST or 1.0
    program = pulp.LpProblem("partition_and_matching", pulp.LpMinimize)
    pairs = [(n, k) for n, k in np.argwhere(allowed).tolist()]
    takes = {(n, k): program.add_variable(f"y_{n}_{k}", cat=pulp.LpBinary) for n, k in pairs}
    program += pulp.lpSum(float(costs[pair]) / scale * y for pair, y in takes.items())
    for n in range(costs.shape[0]):
        program += pulp.lpSum(takes[n, k] for k in np.flatnonzero(allowed[n]).tolist()) == 1
    counts = [pulp.lpSum(y for (_, j), y in takes.items() if j == k) for k in range(costs.shape[1])]
    _restrict(program, counts, covers, partitions)
    program += pulp.lpSum(float(weights[k]) * count for k, count in enumerate(counts)) >= _rounded(least_replicas)
    if not _solved(program):
        return None
    return _read(takes, costs)


def _restrict(
    program: pulp.LpProblem, counts: list[pulp.LpAffineExpression], covers: IntArray, partitions: IntArray | None
) -> None:
    """Whole replicas of every type, or one of the given partitions."""
    if partitions is None:
        for k, count in enumerate(counts):
            program += count == int(covers[k]) * program.add_variable(f"m_{k}", lowBound=0, cat=pulp.LpInteger)
        return
    chosen = [program.add_variable(f"z_{p}", cat=pulp.LpBinary) for p in range(partitions.shape[0])]
    program += pulp.lpSum(chosen) == 1
    for k, count in enumerate(counts):
        program += count == pulp.lpSum(int(partitions[p, k]) * z for p, z in enumerate(chosen))


def _rounded(replicas: float) -> float:
    """Just below the replicas asked for, so that sums like 3 x 1/3 are not refused for their rounding."""
    return replicas - 1e-9 * max(1.0, abs(replicas))


def _solved(program: pulp.LpProblem) -> bool:
    """Solve; True with an optimum in hand, False where it is infeasible. Raises SolverError otherwise."""
    if solver_name() == "HiGHS":
        solver = pulp.HiGHS(msg=False, gapRel=_GAP, gapAbs=0.0, threads=1)
    else:
        with warnings.catch_warnings():  # PuLP 3.3 announces that PuLP 4 will no longer bring CBC along
            warnings.simplefilter("ignore", DeprecationWarning)
            solver = pulp.PULP_CBC_CMD(msg=False, gapRel=_GAP, gapAbs=0.0)  # asked for 1 thread it may wait ten seconds
    program.solve(solver)
    if program.status == pulp.LpStatusInfeasible:
        return False
    if program.status != pulp.LpStatusOptimal or program.sol_status != pulp.LpSolutionOptimal:
        raise SolverError(f"{solver_name()} stopped with status {pulp.LpStatus[program.status]!r}")
    return True


def _read(takes: dict[tuple[int, int], pulp.LpVariable], costs: FloatArray) -> tuple[IntArray, float]:
    """The matching from the binaries; the energy from the costs, not from the solver."""
    assignment = np.full(costs.shape[0], -1, dtype=np.int64)
    for (n, k), y in takes.items():
        value = y.value()
        if value is None or abs(value - round(value)) > _WHOLE:
            raise SolverError(f"{solver_name()} returned {value} for a binary variable")
        if round(value) == 1:
            assignment[n] = k
    if (assignment < 0).any():
        raise SolverError(f"{solver_name()} left a row without a type")
    return assignment, float(costs[np.arange(costs.shape[0]), assignment].sum())
