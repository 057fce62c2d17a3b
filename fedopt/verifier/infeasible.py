"""Answers without a decision: is it true that no round meets the budget, by how much it misses, and who is named?"""

from __future__ import annotations

import math

import numpy as np

from fedopt.access import Access, SharedBandwidth, TimeDivision
from fedopt.checks import LARGEST, SMALLEST, FloatArray
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget, Problem
from fedopt.solution import ONE, Schedule, Solution, Status
from fedopt.submodels import SubModel, Workload
from fedopt.verifier import uplink
from fedopt.verifier.digits import LOOSE, ROUNDING, BoolArray
from fedopt.verifier.matchings import TooManyError, cheapest, greedy, rule_out
from fedopt.verifier.model import SAME, Tasks, least_energies, least_times, sum_of, tasks_for, too_late
from fedopt.verifier.report import About, Check, Outcome
from fedopt.verifier.search import ALL, LOOKS, SORTED, Menu, menu_of

C = About.CLAIMS
_ROUNDING = 1e-12  # relative: what the last digits of a least duration or energy may hide
_DIGITS = 2e-14  # relative: what they hide of most energies of matchings, so that no more than that is missing
_LAST = "the last digits decide"
_AMOUNT = 1e-9  # relative to what is needed
_TRIED = 8  # partitions
_FEW = 8  # clients that a row names


def nothing_checks(answer: Schedule | Solution) -> list[Check]:
    """An answer without a decision carries no number of one; where it stopped, it says nothing of what is missing."""
    numbers = [answer.duration, answer.energy, *answer.bracket]
    parts: list[object] = [answer.allocation, answer.verdict, answer.sharing]
    if isinstance(answer, Solution):
        numbers += [answer.utility, answer.bound, *answer.cost_bracket]
        parts += [answer.partition, answer.assignment, answer.place_prices, answer.paper]
    held = any(part is not None for part in parts) or not all(map(math.isnan, numbers))
    if answer.status is Status.LIMIT:
        held = held or answer.clients != () or not math.isnan(answer.shortfall) or getattr(answer, "scope", "") != ""
    outcome = Outcome.FAILED if held else Outcome.PASSED
    found = ", ".join(f"{value:g}" for value in numbers)
    return [Check(name="no number without a decision", about=About.NUMBERS, outcome=outcome, found=found)]


def schedule_infeasible(
    clients: Clients, work: Workload, budget: Budget, access: Access | None, answer: Schedule
) -> list[Check]:
    """From the closed-form limits of these clients: T_min, E_inf, out of reach."""
    hertz = clients.bandwidth if access is None else np.full(len(clients), access.hertz)
    tasks = tasks_for(clients, work, hertz)
    alone = named_for = least_times(tasks)
    beyond = 0.0  # who needs more is named
    if np.isinf(alone).any():
        needs, given, unit, beyond = math.inf, 0.0, "s", LARGEST
    elif isinstance(budget, Deadline):
        needs, given, unit = _needs(clients, work, tasks, budget, access), budget.seconds, "s"
        if answer.shortfall <= 0.0:  # there is time, but no power for it
            named_for = np.where(np.isinf(clients.power_max), 1.0 + alone, 0.0)
        elif access is None:
            beyond = given
    else:
        named_for, needs = least_energies(tasks), _needs(clients, work, tasks, budget, access)
        given, unit = getattr(budget, "joules", 0.0), "J"
        if not isinstance(budget, EnergyBudget) and budget.watts > 0.0:
            needs = -math.inf  # a power or a price can always be met
    loud = False
    if isinstance(budget, Deadline):
        T = given / SAME
        endless = tasks.sends & np.isinf(tasks.x_max)
        loud = bool(too_late(tasks, T)[endless].any()) if access is None else uplink.too_loud(clients, work, access, T)
    sure = loud or needs > given * (1.0 + ROUNDING) or (given == 0.0 <= needs and bool(tasks.spends.any()))
    outcome = Outcome.PASSED if sure else Outcome.UNPROVED if needs > given * (1.0 - _ROUNDING) else Outcome.FAILED
    return [*_verdict(needs, given, unit, answer, outcome), _named(answer, named_for, beyond)]


def _needs(clients: Clients, work: Workload, tasks: Tasks, budget: Budget, access: Access | None) -> float:
    """What clients within reach need together: T_min [s] for a deadline, else E_inf [J]."""
    if isinstance(budget, Deadline):
        alone = least_times(tasks)
        return float(alone.max()) if access is None else uplink.shortest(clients, work, tasks, access)
    energy = sum_of(least_energies(tasks))
    return max(energy, uplink.least_energy(clients, work, access)) if isinstance(access, SharedBandwidth) else energy


def _verdict(needs: float, given: float, unit: str, answer: Schedule, outcome: Outcome) -> list[Check]:
    said = f"{needs:.12g} {unit} needed, {given:.12g} given"
    why = _LAST if outcome is Outcome.UNPROVED else ""
    checks = [Check(name="infeasible", about=C, outcome=outcome, found=said, why=why)]
    missing = max(needs - given, 0.0)
    near = math.isfinite(needs) and abs(answer.shortfall - missing) <= max(_AMOUNT * needs, SMALLEST)
    wrong = Outcome.PASSED if near or answer.shortfall == missing else Outcome.FAILED
    found = f"{answer.shortfall:.9g} {unit} against {missing:.9g}"
    return [*checks, Check(name="by how much", about=C, outcome=wrong, found=found)]


def _named(answer: Schedule, needs: FloatArray, beyond: float) -> Check:
    """Named are those who need more (N,), all of them, the neediest first, but for the last digits."""
    right = _exist(answer.clients, len(needs))
    if right:
        who = np.array(answer.clients, dtype=np.int64)
        named = np.isin(np.arange(len(needs)), who)
        all_of_them = named[needs > beyond * (1.0 + _ROUNDING)].all()
        no_other = (needs[who] > beyond * (1.0 - _ROUNDING)).all()
        right = bool(all_of_them and no_other and (needs[who][1:] <= needs[who][:-1] * (1.0 + _ROUNDING)).all())
    return _who(answer, right)


def _exist(who: tuple[int, ...], size: int) -> bool:
    """Whether these are clients, none of them twice."""
    return all(isinstance(n, int | np.integer) and 0 <= n < size for n in who) and len(set(who)) == len(who)


def _who(answer: Schedule | Solution, right: bool) -> Check:
    outcome = Outcome.PASSED if right else Outcome.FAILED
    why = "" if right else "not those who stand in the way, neediest first"
    few = ", ".join(map(str, answer.clients[:_FEW])) + (", ..." if len(answer.clients) > _FEW else "")
    return Check(name="who is named", about=C, outcome=outcome, found=few, why=why)


def solution_infeasible(problem: Problem, answer: Solution) -> list[Check]:
    """For every partition and matching that was tried: Hall's crowd or prices that show too little is given."""
    name, given, missing = "infeasible", _given(problem.budget), answer.shortfall
    one, said = answer.scope.endswith(ONE), answer.scope.removesuffix(ONE)  # of one: which, the answer does not say
    if said not in (("some matchings" if one else ""), ALL, SORTED):
        return [Check(name=name, about=C, outcome=Outcome.FAILED, found=answer.scope, why="no such matchings")]
    wrong = []
    loud = bool(np.isinf(problem.clients.power_max).any())
    quiet = isinstance(problem.budget, Deadline) and not loud  # then it is time that is missing
    if not missing >= -_AMOUNT * given or (given == math.inf != missing) or (quiet and missing <= 0.0):
        why = "no amount that can be missing"
        wrong.append(Check(name="by how much", about=C, outcome=Outcome.FAILED, found=f"{missing:.9g}", why=why))
    if not _exist(answer.clients, len(problem.clients)):
        wrong.append(_who(answer, False))
    menu = menu_of(problem)
    if isinstance(menu, str):
        return [*wrong, Check(name=name, about=C, outcome=Outcome.UNPROVED, why=menu)]
    scope = said if said == SORTED and not one else ALL
    try:
        found = f"none of {len(menu.counts)} partitions, {scope}"
        digits = 0.0 if isinstance(problem.budget, Deadline) else _DIGITS  # late() has those of durations
        meets = _may_meet(menu, scope, 1.0 + digits, 0.0)
        if meets is None:
            check = Check(name=name, about=C, outcome=Outcome.PASSED, found=found, allowed="proved again")
        elif _may_meet(menu, scope, 1.0 - _ROUNDING, 0.0) is None:
            check = Check(name=name, about=C, outcome=Outcome.UNPROVED, found=found, why=_LAST)
        else:
            claimed = answer.scope in (ALL, SORTED) and problem.access is None
            claimed = claimed or (answer.scope == ALL and _together(menu)) or _always(menu, every=one)
            outcome = Outcome.FAILED if claimed else Outcome.UNPROVED
            why = f"partition {tuple(menu.counts[meets].tolist())} may meet it"
            if not claimed:
                alone = "by what each client needs alone; that they share is not proved again"
                why += f" {alone}" if answer.scope == ALL else "; the answer speaks only of what was tried"
            check = Check(name=name, about=C, outcome=outcome, why=why)
        return [check, *(wrong or [_amount(menu, scope, answer), _who(answer, _may_be(menu, scope, answer))])]
    except TooManyError:
        return [*wrong, Check(name=name, about=C, outcome=Outcome.UNPROVED, why=f"not done after {LOOKS} looks")]


def _given(budget: Budget) -> float:
    """What there is of what may be missing, [s] or [J]; inf where that is never too little."""
    if isinstance(budget, Deadline):
        return budget.seconds
    return budget.joules if isinstance(budget, EnergyBudget) else 0.0 if budget == PowerBudget(0.0) else math.inf


def _amount(menu: Menu, scope: str, answer: Solution) -> Check:
    """The shortfall is what is missing for the nearest partition: a little less is too little, a little more enough.

    Of a shared uplink (but for the least energy in turns, where slots take nothing from each other), and of what was
    tried alone, only that no client needs more on its own, and no matching as much.
    """
    missing = max(answer.shortfall, 0.0)
    below = _may_meet(menu, scope, 1.0 - _AMOUNT, missing, loud=False)
    above = missing == math.inf or _may_meet(menu, scope, 1.0 + _AMOUNT, missing + SMALLEST, loud=False) is not None
    enough = missing == 0.0 and isinstance(menu.problem.budget, Deadline)  # of time; it is power that is missing
    most = _most_needed(menu, np.any(menu.counts > 0, axis=0))
    p, outcome, why = menu.problem, Outcome.PASSED, ""
    separate = p.access is None or (isinstance(p.access, TimeDivision) and isinstance(p.budget, EnergyBudget))
    if not above:
        outcome, why = Outcome.FAILED, "more is needed"
    elif missing > 0.0 and _given(menu.problem.budget) + missing > most * (1.0 + LOOSE) + SMALLEST:
        outcome, why = Outcome.FAILED, "no matching needs that much"
    elif not separate or answer.scope not in (ALL, SORTED):
        outcome, why = Outcome.UNPROVED, "of what was tried alone" if p.access is None else "shared uplink"
    elif below is not None and not enough:
        outcome, why = Outcome.FAILED, "less would do"
    return Check(name="by how much", about=C, outcome=outcome, found=f"{missing:.9g}", why=why)


def _most_needed(menu: Menu, used: BoolArray) -> float:
    """What no matching of the types used (K,) needs more than: everybody with the most of their work and bits; inf out
    of reach."""
    p = menu.problem
    types = [p.submodels[k] for k in np.flatnonzero(used)]
    most = {name: max(getattr(t, name) for t in types) for name in ("flops", "upload_bits", "download_bits")}
    work = p.clients.workload((SubModel("most", **most),), np.zeros(len(p.clients), dtype=np.int64))
    hertz = p.clients.bandwidth if p.access is None else np.full(len(p.clients), p.access.hertz)
    tasks = tasks_for(p.clients, work, hertz)
    return math.inf if np.isinf(least_times(tasks)).any() else _needs(p.clients, work, tasks, p.budget, p.access)


def _may_be(menu: Menu, scope: str, answer: Solution) -> bool:
    """Whether the named are a crowd of some partition, or just those that some matching this near would name, in an
    order that types give their needs: the neediest first."""
    problem, tasks, missing = menu.problem, menu.tasks, max(answer.shortfall, 0.0)
    timed, alone = isinstance(problem.budget, Deadline), least_times(tasks)
    named = np.isin(np.arange(len(problem.clients)), np.array(answer.clients, dtype=np.int64))
    if timed and missing == 0.0:  # there is time, but no power for it
        return bool((named == np.isinf(problem.clients.power_max)).all())
    if not _ordered(alone if timed or missing == math.inf else least_energies(tasks), answer.clients):
        return False
    if timed and missing <= _ROUNDING * _given(problem.budget):
        return True  # the last digits tell who is late
    if (timed or missing == math.inf) and scope == ALL and _crowded(menu, named):
        return True
    if missing == math.inf:
        concerned = np.isinf(alone)
    elif timed:
        concerned = menu.late(_given(problem.budget), loud=False) > 0.0 if problem.access is None else alone > 0.0
    else:
        concerned = least_energies(tasks) > 0.0
    return _may_meet(menu, scope, 1.0 + _AMOUNT, missing + SMALLEST, loud=False, only=concerned == named) is not None


def _ordered(needs: FloatArray, who: tuple[int, ...]) -> bool:
    """Whether each of some clients may need no more than the one before: needs (K, N), one of each column."""
    last = math.inf
    for n in who:
        last = float(needs[:, n].max(initial=-math.inf, where=needs[:, n] <= last * (1.0 + _ROUNDING)))
    return last > -math.inf


def _crowded(menu: Menu, named: BoolArray) -> bool:
    """Hall: the named are all that fit only in types of some partition, and those have fewer places."""
    budget = menu.problem.budget
    fits = menu.late(budget.seconds if isinstance(budget, Deadline) else LARGEST, loud=False) == 0.0
    within = fits[:, named].any(axis=1)
    elsewhere = (~(within | (menu.counts == 0))).astype(np.float64) @ fits > 0.0
    found: BoolArray = (menu.counts @ within < named.sum()) & (elsewhere == ~named).all(axis=1)
    return bool(found.any())


def _may_meet(
    menu: Menu, scope: str, factor: float, more: float, *, loud: bool = True, only: BoolArray | None = None
) -> int | None:
    """The first partition that is not proved to miss (budget + more) x factor; None where all are. loud: see late().

    only: (K, N) who may have which type; with it, and where all that is missing would do, nobody's reach is asked for.
    """
    tasks, size = menu.tasks, len(menu.counts)
    given = (_given(menu.problem.budget) + more) * factor
    costs: FloatArray
    allowed = 0.5
    if given == math.inf:
        costs = np.where(np.isinf(least_times(tasks)), 1.0, 0.0)
    elif isinstance(menu.problem.budget, Deadline):
        costs = menu.late(given, loud=loud)
    elif given > 0.0:
        costs, allowed = least_energies(tasks), given
    else:
        costs = np.where(tasks.spends, 1.0, 0.0)
    if only is not None:
        costs = np.where(only, 0.0 if given == math.inf else costs, np.inf)
    bounds = menu.over(scope, lambda T: costs, allowed)
    found = rule_out(bounds, menu.counts, np.zeros(size), np.full(size, allowed), LOOKS)
    return None if found is None else found[0]


def _always(menu: Menu, *, every: bool) -> bool:
    """Whether all matchings of a partition meet the budget, so that whichever was tried does: of those of few types.

    every: of every partition, so that whichever was kept does.
    """
    p = menu.problem
    if isinstance(p.budget, Deadline) and np.isinf(p.clients.power_max).any():
        return False  # what no power reaches is no shortest round
    room = _given(p.budget) * (1.0 - (_ROUNDING if p.access is None else LOOSE))
    used = np.any(menu.counts > 0, axis=0, keepdims=True) if every else np.unique(menu.counts > 0, axis=0)
    fewest = used[np.argsort(used.sum(axis=1), kind="stable")[:_TRIED]]
    return any(_most_needed(menu, types) < room for types in fewest)


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
        if isinstance(budget, Deadline | EnergyBudget):
            needs, given = _needs(p.clients, work, tasks, budget, p.access), _given(budget)
        else:
            needs, given = 0.0, budget.watts  # more than nothing can always be met
        if needs < given * (1.0 - LOOSE):
            return True
    return False
