"""The three-level search: which sub-model each client trains, how long the round lasts, each client's resources.

S1, structure: for every candidate partition match sub-models to clients, call S2 and keep the best utility.
S2, duration: the duration at which the energy meets the budget, every step calling S3 (fedopt/rounds.py).
S3, resources: for a duration and a matching, each client's frequency and rate of least energy.

Source: Yu & Li, "Toward Resource-Efficient Federated Learning in Mobile Edge Computing", IEEE Network 35(1), 2021.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.answers import check_answer
from fedopt.candidates import candidates_of, gains_of, menu_of
from fedopt.checks import FloatArray, InputError, choice, kind, number, refuse, whole
from fedopt.claims import bracket_over, claim_of, counted, held_to, limited, of_one, scope_of, stopped_at
from fedopt.problem import LeastEnergy, Problem, ReplicaRate, ShortestRound, utility_of
from fedopt.rounds import goal_of, rows_of, schedule_of
from fedopt.sharing import Scheme, nothing_else
from fedopt.solution import ONE, Rule, Schedule, Solution, Status
from fedopt.submodels import IntArray, Partition, type_indices
from fedopt.unsolved import infeasible, nothing_yet, unsolved
from fedopt.verdict import judge_solution
from solvers import allocation as level3
from solvers import duration as level2
from solvers import matching as level1
from solvers.matching.task import DURATION, ENERGY, Proof, Task
from solvers.rows import Allocate, Goal

Progress = Callable[[int, int, float], None]

_SOME = ("sorted", "marginal", "random")  # methods that try some matchings of a partition
_SHARED = ("sorted", "marginal")  # methods that work under an access scheme
_ROUNDED = 1e-12  # relative: energies this close are one


def solve(
    problem: Problem,
    *,
    matching: str | None = None,
    timing: str = "newton",
    allocation: str = "kernel",
    seed: int = 0,
    progress: Progress | None = None,
    warm: Solution | None = None,
    keep: str = "nothing",
    time_limit: float | None = None,
    gap: float = 1e-4,
) -> Solution:
    """Decide partition, matching, duration, frequencies and rates: all three levels.

    Parameters
    ----------
    problem : Problem.
    matching : level 1. "exact" (the best matching of every partition, proved; default), "sorted" (the paper's rule),
        "marginal" (by marginal energy, a quick heuristic), "assignment" (exact by scipy's linear_sum_assignment),
        "milp" (partition and matching together, by PuLP with HiGHS or CBC), "random" (seeded baseline). Where the
        clients share a channel (``problem.access``): "marginal" (default; under shared bandwidth improved by prices,
        with a proved ``bound``) or "sorted".
    timing : level 2, see schedule(). allocation : level 3, see allocate().
    seed : of the random matching.
    warm : solution of a similar problem, such as the last round's, with as many clients and types: where the exact
        matching starts under an energy or power budget. The answer is the same and as proved, only sooner; other
        methods have no use for it but for ``keep``.
    keep : what of ``warm`` is kept: "nothing" (default), "partition" (who trains what may change; what is proved is
        proved of that partition, and ``scope`` says so) or "matching" (every client trains what it did; levels 2 and 3
        alone). A partition that the problem does not list is refused.
    progress : called as progress(partitions done, partitions, best utility so far) while the search runs; NaN where the
        search knows no utility, as it has no answer yet or it is none of the duration.
    time_limit : [s] after which the search stops where it is, None for none: status LIMIT, the best answer so far in
        hand, ``bound`` what is proved of all others, and both compared in the reason. Looked at between two steps of a
        search, so a little more time passes; levels 2 and 3 of the answer in hand are always finished.
    gap : relative, of the utility. Partitions too many to list (five million, or 1e10 partitions x clients) are
        searched from coarse to fine until ``bound`` is this close to the best; all others until the best is proved.

    Returns
    -------
    Solution. An infeasible problem is an answer: status INFEASIBLE and a reason that names clients and amounts.

    Raises
    ------
    InputError for bad arguments; MissingExtra where a method's package is not installed.
    """
    kind("problem", problem, Problem, "a Problem")
    if matching is None:
        matching = "exact" if problem.access is None else "marginal"
    if problem.access is not None:
        _check_shared(problem, matching, timing, allocation)
    search = level1.METHODS.get(choice("matching", matching, level1.METHODS.names))
    if isinstance(problem.access, SharedBandwidth) and matching == "marginal":
        from solvers.matching.priced import quicker_of, search
    if isinstance(problem.access, TimeDivision) and matching == "marginal":
        from solvers.matching.slotted import quicker_of, search
    find_duration = level2.METHODS.get(choice("timing", timing, level2.METHODS.names))
    price_rows = level3.METHODS.get(choice("allocation", allocation, level3.METHODS.names))
    if progress is not None and not callable(progress):
        refuse("progress", "None or a callable (done, total, best)", progress)
    started = time.perf_counter()
    limit = math.inf if time_limit is None else number("time_limit", time_limit, zero=True, unit="s")
    gap = number("gap", gap, zero=True)
    goal, value = goal_of(problem.budget)
    incumbent = _incumbent(problem, warm)
    if choice("keep", keep, ("nothing", "partition", "matching")) != "nothing":
        if warm is None or warm.partition is None or incumbent is None:
            raise InputError("keep", "a warm start with a decision to keep", "none" if warm is None else warm.reason)
        alone = _alone(problem, warm.partition)
        if keep == "partition":
            settings: dict[str, Any] = {"matching": matching, "timing": timing, "allocation": allocation, "seed": seed}
            settings |= {"progress": progress, "time_limit": time_limit, "gap": gap}
            return of_one(solve(alone, warm=warm, **settings), problem)
    scheme = None if problem.access is None else Scheme(problem.clients, problem.access)
    if keep == "matching" and incumbent is not None:
        round_ = _round(problem, incumbent, find_duration, price_rows, scheme)
        stats = {"partitions": 1.0, "passes": round_.stats["passes"], "seconds": time.perf_counter() - started}
        if round_.allocation is None:
            reason = f"{round_.reason} Only the matching kept was tried: others may meet it."
            scope = f"some matchings{ONE}" if round_.status is Status.INFEASIBLE else ""
            return unsolved(problem, reason, round_.clients, round_.shortfall, stats, scope, round_.status)
        more: dict[str, Any] = {"bracket": round_.bracket, "sharing": round_.sharing}
        return solution_of(problem, alone.candidates()[0], incumbent, round_, stats, False, more)
    counts = candidates_of(problem, matching)
    task = Task(
        menu=menu_of(problem, problem.clients if scheme is None else scheme.clients),
        counts=counts,
        goal=goal,
        value=value,
        gains=gains_of(problem, counts),
        listed=problem.partitions is not None,
        seed=whole("seed", seed),
        find_duration=find_duration if scheme is None else scheme.find_duration,
        allocate=price_rows,
        default=timing == "newton" and allocation == "kernel" and scheme is None,
        progress=_told(problem, progress),
        incumbent=incumbent if matching == "exact" else None,
        limits=None if scheme is None else scheme.limits,
        power=problem.utility.beta if isinstance(problem.utility, ReplicaRate) else 0.0,
        thrifty=isinstance(problem.utility, LeastEnergy),
        until=started + limit,
        gap=gap,
    )
    if scheme is None or matching == "sorted":
        found = search(task)
    else:
        from solvers.matching.reach import search_within

        found = search_within(task, search, quicker_of)
    counts = counts if found.counts is None else found.counts
    stats = counted(problem, found, time.perf_counter() - started)
    best = _best(problem, counts, found.results)
    if best is None and found.stopped:
        return nothing_yet(problem, limit, stats)
    if best is None:
        never = found.lower is not None and bool(np.isinf(found.lower).all())
        tried = matching if matching in _SOME and not never else ""
        return infeasible(problem, counts, found, stats, scheme, tried)
    assignment = found.assign(best)
    again = time.perf_counter()
    round_ = _round(problem, assignment, find_duration, price_rows, scheme)
    stats["seconds_schedule"] = time.perf_counter() - again
    if round_.allocation is None:  # the search knew a round by itself, the methods of levels 2 and 3 none
        stats["seconds"] = time.perf_counter() - started
        return unsolved(problem, round_.reason, round_.clients, round_.shortfall, stats, "", round_.status)
    more = {"bracket": round_.bracket, "sharing": round_.sharing}
    if round_.status.solved:
        more |= claim_of(problem, found, Partition(counts[best].tolist(), problem.submodels), round_)
    proved = more.get("scope") == Proof.MATCHINGS.value
    if goal is Goal.PRICE and found.lower is not None:
        more["cost_bracket"] = cost_bracket(float(found.lower[best]), value, round_)
    elif proved:
        # The round's own bracket is of its matching alone, but for budgets without a limit.
        low = round_.bracket[0] if math.isinf(value) else math.nan
        low = low if found.lower is None else float(found.lower[best])
        more["bracket"] = bracket_over(low, round_)
    if matching == "exact":
        more["place_prices"] = level1.METHODS.module("exact").place_prices(task, round_.duration, counts[best])
        more["paper"] = None if found.stopped or found.counts is not None else _paper(problem, task)
    stats["seconds"] = time.perf_counter() - started
    solution = solution_of(problem, counts[best], assignment, round_, stats, proved, more)
    solution = held_to(solution, round_, found, best)
    if scheme is None and found.counts is None and not found.stopped:
        solution = limited(solution)
    return stopped_at(solution, limit) if found.stopped else solution


def _told(problem: Problem, progress: Progress | None) -> Progress:
    """What the search tells as gain / T, 0 for nothing, to the caller as the utility."""
    if progress is None:
        return lambda done, total, best: None
    sign = {ReplicaRate: 1.0, ShortestRound: -1.0}.get(type(problem.utility), 0.0)
    return lambda done, total, best: progress(done, total, sign * best**sign if sign and best > 0.0 else math.nan)


def _round(
    problem: Problem,
    assignment: IntArray,
    find_duration: level2.FindDuration,
    price_rows: Allocate,
    scheme: Scheme | None,
) -> Schedule:
    """Levels 2 and 3 for a matching."""
    work = problem.clients.workload(problem.submodels, assignment)
    if scheme is not None:
        return scheme.schedule(work, problem.budget)
    rows = rows_of(problem.clients, work)
    timed = find_duration(rows, *goal_of(problem.budget), price_rows)
    return schedule_of(problem.clients, work, problem.budget, rows, timed, 0.0)


def _check_shared(problem: Problem, matching: str, timing: str, allocation: str) -> None:
    """Which methods go with an access scheme. Raises InputError."""
    choice("matching", matching, level1.METHODS.names)
    if matching not in _SHARED:
        expected = " or ".join(map(repr, _SHARED)) + " (sharing a channel, the energy is no sum over clients any more)"
        raise InputError("matching with Problem.access", expected, repr(matching))
    nothing_else(problem.access, timing=(timing, "newton"), allocation=(allocation, "kernel"))


def _incumbent(problem: Problem, warm: Solution | None) -> IntArray | None:
    """The assignment to start from, checked; None where there is none."""
    if warm is None:
        return None
    check_answer("warm", warm, Solution)
    if warm.assignment is None or warm.partition is None:
        return None
    wanted, given = (len(problem.clients), len(problem.submodels)), (warm.assignment.size, len(warm.partition))
    if wanted != given:
        raise InputError(
            "warm", "a solution of {} clients and {} types".format(*wanted), "one of {} and {}".format(*given)
        )
    return type_indices("warm.assignment", warm.assignment, *wanted).reshape(-1)


def _alone(problem: Problem, partition: Partition) -> Problem:
    """The problem with a partition that is kept as its only one. Raises InputError where it has no such partition."""
    alone = dataclasses.replace(problem, partitions=np.array([partition]))
    if problem.partitions is not None and not (problem.partitions == alone.partitions).all(axis=1).any():
        raise InputError("keep", "a partition that Problem.partitions lists", f"{tuple(partition)}")
    return alone


def _best(problem: Problem, counts: IntArray, results: FloatArray) -> int | None:
    """The best of the partitions that are solved; None if none is."""
    solved = np.flatnonzero(np.isfinite(results[:, DURATION]))
    if not solved.size:
        return None
    first = best_of(
        problem,
        results[solved, DURATION].tolist(),
        results[solved, ENERGY].tolist(),
        lambda p: Partition(counts[solved[p]].tolist(), problem.submodels),
    )
    return int(solved[first])


def best_of(
    problem: Problem, durations: list[float], energies: list[float], partition: Callable[[int], Partition]
) -> int:
    """The partition of greatest utility; of equals the one of least energy, then the first.

    Of energies that differ by rounding alone the shortest round is the best, as where all use a budget up.
    """
    every = range(len(durations))
    if isinstance(problem.utility, LeastEnergy):
        most = min(energies) * (1.0 + _ROUNDED)
        return min((p for p in every if energies[p] <= most), key=durations.__getitem__)

    def worth(p: int) -> tuple[float, float]:
        return utility_of(problem, partition(p), durations[p], energies[p]), -energies[p]

    return max(every, key=worth)


def _paper(problem: Problem, task: Task) -> Rule | None:
    """What the paper's sorted rule finds in the same partitions."""
    results = level1.METHODS.get("sorted")(task.quiet()).results
    best = _best(problem, task.counts, results)
    if best is None:
        return None
    partition = Partition(task.counts[best].tolist(), problem.submodels)
    duration, energy = float(results[best, 0]), float(results[best, 1])
    utility = utility_of(problem, partition, duration, energy)
    return Rule(partition=partition, duration=duration, energy=energy, utility=utility)


def cost_bracket(lower: float, price: float, round_: Schedule) -> tuple[float, float]:
    """A proved lower bound of energy + price x duration, and the round's own [J]."""
    cost = round_.energy + price * round_.duration
    return min(lower, cost), cost


def solution_of(
    problem: Problem,
    counts: IntArray,
    assignment: IntArray,
    round_: Schedule,
    stats: dict[str, float],
    proved: bool,
    more: dict[str, Any],
) -> Solution:
    """Put the levels' answers together and have the whole judged.

    proved: no partition and no matching is better; ``more``: further fields of the Solution.
    """
    partition = Partition(counts.tolist(), problem.submodels)
    T, E = round_.duration, round_.energy
    utility = math.nan if math.isnan(T) or math.isnan(E) else utility_of(problem, partition, T, E)
    solution = Solution(
        status=round_.status,
        reason=round_.reason,
        duration=round_.duration,
        energy=round_.energy,
        allocation=round_.allocation,
        verdict=round_.verdict,
        partition=partition,
        assignment=assignment,
        utility=utility,
        stats=stats,
        problem=problem,
        **{**({"bound": utility, "scope": Proof.MATCHINGS.value} if proved else {}), **more},
    )
    if solution.status.solved:
        solution = dataclasses.replace(solution, reason=f"{round_.reason} {scope_of(solution)}")
    verdict = judge_solution(problem, solution)
    if not verdict.feasible and solution.status is not Status.INACCURATE:
        reason = f"{Status.INACCURATE.sentence} {'; '.join(verdict.violations)}."
        return dataclasses.replace(solution, status=Status.INACCURATE, reason=reason, verdict=verdict)
    return solution
