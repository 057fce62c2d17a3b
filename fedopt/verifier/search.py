"""What a solution claims beyond its own matching: bound, bracket and cost over all matchings and partitions."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from fedopt.checks import FloatArray, InputError
from fedopt.problem import Deadline, LeastEnergy, Problem, ReplicaRate, ShortestRound, TimePrice
from fedopt.solution import Solution, Status
from fedopt.submodels import IntArray
from fedopt.verifier.branch import least_cost
from fedopt.verifier.decision import Round
from fedopt.verifier.matchings import AllMatchings, SortedMatchings, TooManyError, dual_value, rule_out
from fedopt.verifier.model import SAME, Tasks, best, least_times, tasks_of, too_late, work_of
from fedopt.verifier.optimality import ENERGY, LOOSE
from fedopt.verifier.report import About, Check, Outcome, judged

LOOKS = 2000  # durations at which costs are worked out anew
SIZE = 20_000  # types x clients beyond which that would take too long
ALL, SORTED = "all matchings", "sorted matchings"
C = About.CLAIMS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Menu:
    """Every client under every type, and the partitions searched."""

    problem: Problem
    tasks: Tasks  # (K, N)
    counts: IntArray  # (P, K)

    def energies(self, T: float) -> FloatArray:
        """(K, N) [J], inf where T is too short."""
        return best(self.tasks, T).energy

    def prices(self, T: float) -> FloatArray:
        """(K, N) [W]: their sum is what a second more saves a matching; it never rises with T. inf where T is short."""
        found = best(self.tasks, T).price
        result: FloatArray = np.where(self.tasks.busy, found, 0.0)
        return result

    def late(self, T: float, *, loud: bool = True) -> FloatArray:
        """(K, N): 1 where T is too short, else 0; loud: also where no power that is a number is enough."""
        late = too_late(self.tasks, T * SAME) if loud else least_times(self.tasks) > T * SAME
        result: FloatArray = np.where(late, 1.0, 0.0)
        return result

    def over(self, scope: str, costs: object, most: float) -> AllMatchings | SortedMatchings:
        """The bounds of a scope from some costs."""
        assert callable(costs)
        if scope == ALL:
            return AllMatchings(costs, most)
        types = self.problem.submodels
        sizes = sorted(range(len(types)), key=lambda k: (types[k].flops, types[k].upload_bits, types[k].download_bits))
        order = np.argsort(-self.problem.clients.channel_gain, kind="stable")
        return SortedMatchings(costs, order, np.array(sizes[::-1]))

    @property
    def gains(self) -> FloatArray:
        """R^beta of every partition; 1 where the utility is the duration alone."""
        if not isinstance(self.problem.utility, ReplicaRate):
            return np.ones(len(self.counts))
        weights = np.array([0.0 if s.is_idle else 1.0 / s.cover for s in self.problem.submodels])
        result: FloatArray = (self.counts @ weights) ** self.problem.utility.beta
        return result


def menu_of(problem: Problem, *, alone: bool = False) -> Menu | str:
    """What is searched; or why that is too much to look through again.

    alone: under an access scheme everybody has the whole channel, which sharing it can only make worse.
    """
    if problem.access is not None and not alone:
        return "clients share the uplink: no bound over matchings is worked out here"
    if len(problem.clients) * len(problem.submodels) > SIZE:
        return f"{len(problem.clients)} clients under {len(problem.submodels)} types are too many to look through again"
    try:
        counts = problem.candidates()
    except InputError as error:
        return f"the partitions are too many to list: {error.found}"
    c = problem.clients
    hertz = c.bandwidth if problem.access is None else np.full(len(c), problem.access.hertz)
    return Menu(problem=problem, tasks=tasks_of(c, *work_of(c, problem.submodels), hertz), counts=counts)


def search_checks(problem: Problem, solution: Solution, r: Round) -> list[Check]:
    """Bound, place prices, bracket and cost over all matchings."""
    claims = [
        ("bound of the utility", not math.isnan(solution.bound)),
        ("bracket over all matchings", solution.scope == ALL and _timed(problem) and not math.isnan(r.bracket[0])),
        ("place prices", solution.place_prices is not None),
        ("cost of all matchings", not math.isnan(solution.cost_bracket[0])),
    ]
    checks = [Check(name=name, about=C, outcome=Outcome.NOTHING) for name, claimed in claims if not claimed]
    if not math.isnan(solution.bound):
        short = solution.utility - solution.bound
        said = f"{solution.bound:.12g}, utility {solution.utility:.12g}"
        checks.append(judged("bound is no less than the utility", C, short if short > 0.0 else 0.0, 0.0, found=said))
    menu = menu_of(problem)
    for name, claimed in claims:
        if claimed and isinstance(menu, str):
            checks.append(Check(name=name, about=C, outcome=Outcome.UNPROVED, why=menu))
        elif claimed:
            assert isinstance(menu, Menu)
            prove = {claims[0][0]: _bound, claims[1][0]: _bracket, claims[2][0]: _places, claims[3][0]: _cost}[name]
            try:
                found = prove(name, menu, solution, r)
                if prove is _places and solution.status is Status.LIMIT and found.outcome is Outcome.FAILED:
                    why = "stopped at a limit: another matching may cost less"
                    found = dataclasses.replace(found, outcome=Outcome.UNPROVED, why=why)
                checks.append(found)
            except TooManyError:
                why = f"not done after {LOOKS} looks"
                checks.append(Check(name=name, about=C, outcome=Outcome.UNPROVED, why=why))
    return checks


def _timed(problem: Problem) -> bool:
    return not isinstance(problem.budget, Deadline | TimePrice)


def _bound(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """No partition (and no matching, or no sorted one) has a utility above the bound: each at the duration it needs."""
    utility, budget, limit = menu.problem.utility, menu.problem.budget, r.tolerance
    if s.scope not in (ALL, SORTED) or not isinstance(utility, ReplicaRate | ShortestRound | LeastEnergy):
        why = f"no way to prove a bound of {s.scope or 'nothing'} of this utility"
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=f"{s.bound:.12g}", why=why)
    if s.bound == math.inf or (s.bound >= 0.0 and isinstance(utility, ShortestRound | LeastEnergy)):
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=f"{s.bound:.12g}, which no utility is above")
    better = s.bound + limit * abs(s.bound)  # a utility that would refute the bound
    counts, gains = menu.counts, menu.gains
    if isinstance(budget, TimePrice) and not isinstance(utility, LeastEnergy):
        durations, allowed = gains / better, np.full(len(counts), budget.watts * (1.0 - LOOSE))
        if isinstance(utility, ShortestRound):
            durations = np.full(len(counts), -better)
        bounds = menu.over(s.scope, menu.prices, budget.watts)
    elif isinstance(utility, LeastEnergy) and not isinstance(budget, Deadline):
        why = "every partition's energy is that of its own shortest round"
        return Check(name=name, about=C, outcome=Outcome.UNPROVED, found=f"{s.bound:.12g}", why=why)
    elif isinstance(utility, LeastEnergy):
        durations = np.full(len(counts), r.T)
        allowed = np.full(len(counts), -better)
        bounds = menu.over(s.scope, menu.energies, -better)
    else:
        with np.errstate(all="ignore"):
            durations = np.full(len(counts), -better) if isinstance(utility, ShortestRound) else gains / better
        if isinstance(budget, Deadline):
            ahead = durations > budget.seconds  # those worth more in the same time
            counts, durations = counts[ahead], np.full(int(ahead.sum()), budget.seconds)
            allowed, bounds = np.full(len(counts), 0.5), menu.over(s.scope, menu.late, 1.0)
        else:
            allowed = np.array([r.allowed(T) for T in durations]) * (1.0 - ENERGY)
            bounds = menu.over(s.scope, menu.energies, float(allowed.max()))
            if not math.isfinite(float(allowed.max())):  # the budget is no limit
                allowed, bounds = np.full(len(counts), 0.5), menu.over(s.scope, menu.late, 1.0)
    found = rule_out(bounds, counts, durations, allowed, LOOKS)
    if found is None:
        said = f"{s.bound:.12g} over {len(menu.counts)} partitions"
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    p = found[0]
    why = f"partition {tuple(counts[p].tolist())} may do with {found[1]:.12g} at {durations[p]:.12g} s"
    allowed_text = f"more than {allowed[p]:.12g}"
    return Check(name=name, about=C, outcome=Outcome.FAILED, found=f"{s.bound:.12g}", allowed=allowed_text, why=why)


def _bracket(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """At the lower end, and so at every shorter duration, no matching of the partition is within the budget."""
    low = r.bracket[0] * (1.0 - r.tolerance)
    most = r.allowed(low)
    costs, allowed = (menu.energies, most * (1.0 - ENERGY)) if math.isfinite(most) else (menu.late, 0.5)
    counts = np.array([s.partition])
    found = None  # nothing is shorter than 0 s
    if low > 0.0:
        found = rule_out(AllMatchings(costs, allowed), counts, np.array([low]), np.array([allowed]), LOOKS)
    said = f"from {r.bracket[0]:.15g} s"
    if found is None:
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    why = f"a matching may do with {found[1]:.12g} of {allowed:.12g} at {low:.12g} s"
    return Check(name=name, about=C, outcome=Outcome.FAILED, found=said, why=why)


def _places(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """With the answer's own prices of places the bound of every matching at its duration is its energy."""
    assert s.place_prices is not None
    counts, prices = np.array(s.partition), s.place_prices
    if prices.shape != counts.shape or not np.isfinite(prices).all():
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=f"shape {prices.shape}", why="a price per type")
    costs = np.minimum(menu.energies(r.T), 4.0 * r.E + 2.0 * float(np.ptp(prices)))
    proved = dual_value(costs, counts, prices)
    gap = (r.E - proved) / r.E if r.E > 0.0 else r.E - proved
    found = f"{r.E:.12g} J, proved {proved:.12g} J"
    return judged(name, C, gap, r.tolerance, found=found)


def _cost(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """No matching of the partition costs less than claimed, whatever the duration: branch and bound over it."""
    low, cost = s.cost_bracket
    assert isinstance(menu.problem.budget, TimePrice)
    said = f"{low:.12g} to {cost:.12g} J"
    off = abs(cost - r.cost) / max(r.cost, 1e-300)
    if off > r.tolerance or low > cost:
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=said, why=f"the answer costs {r.cost:.12g} J")
    counts = np.array(s.partition)
    assert s.assignment is not None
    cheaper = least_cost(menu.tasks, counts, s.assignment, menu.problem.budget.watts, low * (1.0 - r.tolerance), LOOKS)
    if cheaper is None:
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    why = f"a matching at {cheaper[0]:.12g} s costs {cheaper[1]:.12g} J"
    return Check(name=name, about=C, outcome=Outcome.FAILED, found=said, why=why)
