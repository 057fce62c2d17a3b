"""Answers without a decision: is it true that no round meets the budget, and by how much it misses?"""

from __future__ import annotations

import math

import numpy as np

from fedopt.access import Access, SharedBandwidth
from fedopt.checks import SMALLEST, FloatArray
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget, Problem
from fedopt.solution import Schedule, Solution
from fedopt.submodels import Workload
from fedopt.verifier import uplink
from fedopt.verifier.matchings import TooManyError, cheapest, greedy, rule_out
from fedopt.verifier.model import least_energies, least_times, tasks_for, too_late
from fedopt.verifier.optimality import LOOSE
from fedopt.verifier.report import About, Check, Outcome
from fedopt.verifier.search import ALL, LOOKS, SORTED, Menu, menu_of

C = About.CLAIMS
_ROUNDING = 1e-12  # relative: what the last digits of a least duration or energy may hide
_AMOUNT = 1e-9  # relative to what is needed
_TRIED = 8  # partitions


def nothing_checks(answer: Schedule | Solution) -> list[Check]:
    """An answer without a decision carries no number."""
    numbers = [answer.duration, answer.energy, *([answer.utility] if isinstance(answer, Solution) else [])]
    held = answer.allocation is not None or not all(map(math.isnan, numbers))
    outcome = Outcome.FAILED if held else Outcome.PASSED
    found = ", ".join(f"{value:g}" for value in numbers)
    return [Check(name="no number without a decision", about=About.NUMBERS, outcome=outcome, found=found)]


def schedule_infeasible(
    clients: Clients, work: Workload, budget: Budget, access: Access | None, answer: Schedule
) -> list[Check]:
    """From the closed-form limits of these clients: T_min, E_inf, out of reach."""
    hertz = clients.bandwidth if access is None else np.full(len(clients), access.hertz)
    tasks = tasks_for(clients, work, hertz)
    alone = least_times(tasks)
    if np.isinf(alone).any():
        needs, given, unit = math.inf, 0.0, "s"
    elif isinstance(budget, Deadline):
        needs = float(alone.max()) if access is None else uplink.shortest(clients, work, tasks, access)
        given, unit = budget.seconds, "s"
    else:
        needs = math.fsum(least_energies(tasks))
        if isinstance(access, SharedBandwidth):
            needs = max(needs, uplink.least_energy(clients, work, access))
        given, unit = getattr(budget, "joules", 0.0), "J"
        if not isinstance(budget, EnergyBudget) and budget.watts > 0.0:
            needs = -math.inf  # a power or a price can always be met
    proved = needs > given * (1.0 - _ROUNDING) or (given == 0.0 <= needs and bool(tasks.spends.any()))
    if access is None and isinstance(budget, Deadline):
        proved = proved or bool(too_late(tasks, given).any())
    return _verdict(needs, given, unit, answer, proved)


def _verdict(needs: float, given: float, unit: str, answer: Schedule, proved: bool) -> list[Check]:
    said = f"{needs:.12g} {unit} needed, {given:.12g} given"
    outcome = Outcome.PASSED if proved else Outcome.FAILED
    checks = [Check(name="infeasible", about=C, outcome=outcome, found=said)]
    missing = max(needs - given, 0.0)
    near = math.isfinite(needs) and abs(answer.shortfall - missing) <= max(_AMOUNT * needs, SMALLEST)
    wrong = Outcome.PASSED if near or answer.shortfall == missing else Outcome.FAILED
    found = f"{answer.shortfall:.9g} {unit} against {missing:.9g}"
    return [*checks, Check(name="by how much", about=C, outcome=wrong, found=found)]


def solution_infeasible(problem: Problem, answer: Solution) -> list[Check]:
    """For every partition and matching that was tried: Hall's crowd or prices that show too little is given."""
    menu = menu_of(problem)
    name = "infeasible"
    if isinstance(menu, str):
        return [Check(name=name, about=C, outcome=Outcome.UNPROVED, why=menu)]
    scope = answer.scope or ALL
    try:
        meets = _may_meet(menu, scope, 1.0 - _ROUNDING, 0.0)
    except TooManyError:
        return [Check(name=name, about=C, outcome=Outcome.UNPROVED, why=f"not done after {LOOKS} looks")]
    if meets is None:
        found = f"none of {len(menu.counts)} partitions, {scope}"
        check = Check(name=name, about=C, outcome=Outcome.PASSED, found=found, allowed="proved again")
        return [check, *_amount(menu, scope, answer)]
    claimed = answer.scope in (ALL, SORTED) and problem.access is None
    claimed = claimed or (answer.scope == ALL and _together(menu))
    outcome = Outcome.FAILED if claimed else Outcome.UNPROVED
    why = f"partition {tuple(menu.counts[meets].tolist())} may meet it"
    why += "" if claimed else "; the answer speaks only of what was tried"
    return [Check(name=name, about=C, outcome=outcome, why=why)]


def _amount(menu: Menu, scope: str, answer: Solution) -> list[Check]:
    """The shortfall is what is missing for the nearest partition: a little less is too little, a little more enough."""
    name, missing = "by how much", answer.shortfall
    if menu.problem.access is not None or not answer.scope or not math.isfinite(missing):
        return [Check(name=name, about=C, outcome=Outcome.NOTHING)]
    if not isinstance(menu.problem.budget, Deadline | EnergyBudget):
        return [Check(name=name, about=C, outcome=Outcome.NOTHING)]
    missing = max(missing, 0.0)
    below = _may_meet(menu, scope, 1.0 - _AMOUNT, missing, loud=False)
    above = _may_meet(menu, scope, 1.0 + _AMOUNT, missing + SMALLEST, loud=False)  # a budget of 0 has no last digit
    enough = missing == 0.0 and isinstance(menu.problem.budget, Deadline)  # of time; it is power that is missing
    right = above is not None and (below is None or enough)
    why = "" if right else ("less would do" if below is not None else "more is needed")
    return [
        Check(
            name=name,
            about=C,
            outcome=Outcome.PASSED if right else Outcome.FAILED,
            found=f"{missing:.9g}",
            why=why,
        )
    ]


def _may_meet(menu: Menu, scope: str, factor: float, more: float, *, loud: bool = True) -> int | None:
    """The first partition that is not proved to miss (budget + more) x factor; None where all are. loud: see late()."""
    budget, tasks, size = menu.problem.budget, menu.tasks, len(menu.counts)
    costs: FloatArray
    if isinstance(budget, Deadline):
        costs, allowed = menu.late((budget.seconds + more) * factor, loud=loud), 0.5
    elif isinstance(budget, EnergyBudget):
        costs, allowed = least_energies(tasks), (budget.joules + more) * factor
    else:
        costs, allowed = np.where(np.isinf(least_times(tasks)), 1.0, 0.0), 0.5
    if allowed == 0.0 or budget == PowerBudget(0.0):
        costs, allowed = np.where(tasks.spends, 1.0, 0.0), 0.5
    bounds = menu.over(scope, lambda T: costs, allowed)
    found = rule_out(bounds, menu.counts, np.zeros(size), np.full(size, allowed), LOOKS)
    return None if found is None else found[0]


def _together(menu: Menu) -> bool:
    """Whether a matching is seen to meet the budget on a shared uplink: of those that ask least, each client alone."""
    p, budget = menu.problem, menu.problem.budget
    assert p.access is not None
    if isinstance(budget, Deadline) and np.isinf(p.clients.power_max).any():
        return False  # what no power reaches is no shortest round
    alone = least_times(menu.tasks) if isinstance(budget, Deadline) else least_energies(menu.tasks)
    costs = np.minimum(alone, 4.0 * menu.tasks.W.size * float(np.where(np.isinf(alone), 0.0, alone).max()))
    for counts in menu.counts[np.argsort(menu.counts @ costs.mean(axis=1), kind="stable")[:_TRIED]]:
        assignment, _ = cheapest(costs, greedy(costs, counts), costs.size)
        if np.isinf(alone[assignment, np.arange(len(assignment))]).any():
            continue
        work = p.clients.workload(p.submodels, assignment)
        tasks = uplink.whole(p.clients, work, p.access)
        if isinstance(budget, Deadline):
            needs, given = uplink.shortest(p.clients, work, tasks, p.access), budget.seconds
        elif isinstance(budget, EnergyBudget):
            needs, given = math.fsum(least_energies(tasks)), budget.joules
            if isinstance(p.access, SharedBandwidth):
                needs = max(needs, uplink.least_energy(p.clients, work, p.access))
        else:
            needs, given = 0.0, budget.watts  # more than nothing can always be met
        if needs < given * (1.0 - LOOSE):
            return True
    return False
