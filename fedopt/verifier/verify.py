"""verify(): an answer checked from the model's equations alone, slowly and plainly, by nothing that found it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from fedopt.access import Access, check_access
from fedopt.answers import check_answer
from fedopt.checks import kind, number
from fedopt.clients import Clients
from fedopt.problem import Budget, EnergyBudget, PowerBudget, Problem, Unstored, check_budget, utility_of
from fedopt.solution import ONE, Schedule, Solution, Status
from fedopt.submodels import Workload
from fedopt.verifier.decision import decision_checks, known, number_checks, round_of
from fedopt.verifier.infeasible import nothing_checks, schedule_infeasible, solution_infeasible
from fedopt.verifier.optimality import optimality_checks
from fedopt.verifier.report import About, Check, Outcome, Report, judged
from fedopt.verifier.search import search_checks

TOLERANCE = 1e-9


@np.errstate(all="ignore")
def verify(problem: Problem, solution: Solution, *, tolerance: float = TOLERANCE) -> Report:
    """Check a solution from the model's equations alone.

    Parameters
    ----------
    problem : what it is the answer of.
    solution : of fedopt.solve(), or read back by read_solution().
    tolerance : relative, of every constraint and proof. The default fits the compiled methods; answers of
        ``allocation="cvxpy"`` or ``timing="cvxpy"`` are good to 1e-4 or so.

    Returns
    -------
    Report: ``ok``, ``checks`` (what was found, what is allowed, which client is at fault), ``str(report)`` a table.
    It tells apart a decision that is impossible, numbers that are not those of the decision, a decision that is not the
    best, and claims (bracket, bound, cost, infeasible) that do not hold. Claims too large to be proved again are marked
    as such.

    Raises InputError for bad arguments. Formulas: sections 3 to 7 of the model; docs/verify.md says how each is proved.
    """
    kind("problem", problem, Problem, "a Problem")
    check_answer("solution", solution, Solution)
    limit = number("tolerance", tolerance)
    if solution.allocation is None:
        checks = nothing_checks(solution)
        if solution.status is Status.INFEASIBLE:
            return Report(checks=(*checks, *solution_infeasible(problem, solution)))
        return Report(checks=(*checks, _undecided(solution.status)))
    wrong = _matching(problem, solution)
    if any(check.outcome is Outcome.FAILED for check in wrong):
        return Report(checks=tuple(wrong))
    assert solution.assignment is not None
    assert solution.partition is not None
    if solution.scope.endswith(ONE):  # it claims what the answer of its partition alone would
        problem = dataclasses.replace(problem, partitions=np.array([solution.partition]))
        solution = dataclasses.replace(solution, scope=solution.scope.removesuffix(ONE))
    work = problem.clients.workload(problem.submodels, solution.assignment)
    found = round_of(problem.clients, work, problem.budget, problem.access, solution, limit)
    if isinstance(found, Check):
        return Report(checks=(*wrong, found))
    checks = [
        *wrong,
        *decision_checks(found),
        *number_checks(found),
        _utility(problem, solution, limit),
        *_state(problem.budget, solution, limit),
    ]
    checks += optimality_checks(found)
    return Report(checks=(*checks, *search_checks(problem, solution, found)))


@np.errstate(all="ignore")
def verify_schedule(
    clients: Clients,
    work: Workload,
    budget: Budget,
    schedule: Schedule,
    *,
    access: Access | None = None,
    tolerance: float = TOLERANCE,
) -> Report:
    """verify() for levels 2 and 3 alone: the arguments of fedopt.schedule() and its answer. Raises InputError."""
    kind("clients", clients, Clients, "a Clients table")
    kind("work", work, Workload, "a Workload")
    check_budget("budget", budget)
    check_answer("schedule", schedule, Schedule)
    check_access("access", access)
    limit, work = number("tolerance", tolerance), work.sized(len(clients))
    if schedule.allocation is None:
        checks = nothing_checks(schedule)
        if schedule.status is Status.INFEASIBLE:
            return Report(checks=(*checks, *schedule_infeasible(clients, work, budget, access, schedule)))
        return Report(checks=(*checks, _undecided(schedule.status)))
    found = round_of(clients, work, budget, access, schedule, limit)
    if isinstance(found, Check):
        return Report(checks=(found,))
    checks = [*decision_checks(found), *number_checks(found), *_state(budget, schedule, limit)]
    return Report(checks=(*checks, *optimality_checks(found), *known(found, found.bracket[0])))


def _undecided(status: Status) -> Check:
    outcome = Outcome.NOTHING if status is Status.LIMIT else Outcome.FAILED
    return Check(name="a decision", about=About.DECISION, outcome=outcome, found="none", why=status.sentence)


def _state(budget: Budget, answer: Schedule | Solution, limit: float) -> list[Check]:
    """Whoever holds a decision says solved, SLACK only of what can be spent, or stopped at a limit, and that nothing is
    missing; the judge's word is of this decision, and for it."""
    spendable = isinstance(budget, EnergyBudget | PowerBudget)
    fits = (Status.OPTIMAL, Status.LIMIT, *([Status.SLACK] if spendable else []))
    short = answer.shortfall != 0.0 or answer.clients != ()
    outcome = Outcome.PASSED if answer.status in fits and not short else Outcome.FAILED
    why = f"{answer.shortfall:g} missing, clients {answer.clients} in the way of a decision" if short else ""
    checks = [Check(name="status", about=About.NUMBERS, outcome=outcome, found=answer.status.name, why=why)]
    if answer.verdict is None:  # read from a file without asking the judge again
        return [*checks, Check(name="verdict", about=About.NUMBERS, outcome=Outcome.NOTHING)]
    said, own = (answer.verdict.energy, answer.verdict.duration), (answer.energy, answer.duration)
    off = sum(0.0 if a == b else abs(a - b) / max(abs(b), 1e-300) for a, b in zip(said, own, strict=True))
    violation = answer.verdict.violation
    off = max(off, violation) if answer.verdict.feasible and violation >= 0.0 else math.inf
    found = f"{said[0]:.12g} J, {said[1]:.12g} s" + "".join(f"; {why}" for why in answer.verdict.violations)
    return [*checks, judged("verdict", About.NUMBERS, off, limit, found=found)]


def _matching(problem: Problem, s: Solution) -> list[Check]:
    """Everybody has a type; as many as the partition says, in whole replicas; a partition that was to be searched."""
    types, size, D = problem.submodels, len(problem.clients), About.DECISION
    given = s.assignment
    if given is None or given.shape != (size,) or not _within(given, len(types)):
        why = f"a type index from 0 to {len(types) - 1} for each of {size} clients"
        return [Check(name="matching", about=D, outcome=Outcome.FAILED, found="something else", allowed=why)]
    counts = np.bincount(given, minlength=len(types))
    said = None if s.partition is None else tuple(s.partition)
    whole = all(n % t.cover == 0 for n, t in zip(counts, types, strict=True))
    listed = problem.partitions is None or bool((problem.partitions == counts).all(axis=1).any())
    trained = any(n > 0 and not t.is_idle for n, t in zip(counts, types, strict=True))
    fits = said == tuple(counts.tolist()) and whole and listed and trained
    why = "" if fits else "whole replicas of a partition that was to be searched, as many as the matching has"
    outcome = Outcome.PASSED if fits else Outcome.FAILED
    return [Check(name="matching", about=D, outcome=outcome, found=f"{tuple(counts.tolist())}, says {said}", why=why)]


def _within(values: NDArray[np.int64], size: int) -> bool:
    return bool((values >= 0).all() and (values < size).all())


def _utility(problem: Problem, s: Solution, limit: float) -> Check:
    """The utility of what was decided."""
    name = "utility"
    if isinstance(problem.utility, Unstored):
        why = f"a callable of the user's, not stored: {problem.utility.name}"
        return Check(name=name, about=About.NUMBERS, outcome=Outcome.UNPROVED, found=f"{s.utility:.12g}", why=why)
    assert s.partition is not None
    truth = utility_of(problem, s.partition, s.duration, s.energy)
    off = 0.0 if truth == s.utility else abs(s.utility - truth) / max(abs(truth), 1e-300)
    return judged(name, About.NUMBERS, off, limit, found=f"{s.utility:.12g} against {truth:.12g}")
