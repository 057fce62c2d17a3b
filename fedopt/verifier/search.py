"""What a solution claims beyond its own matching: bound, bracket and cost over all matchings and partitions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedopt.access import SharedBandwidth
from fedopt.checks import LARGEST, FloatArray, InputError
from fedopt.problem import Deadline, LeastEnergy, Problem, ReplicaRate, ShortestRound, TimePrice, utility_of
from fedopt.solution import Solution, Status
from fedopt.submodels import IntArray, too_many
from fedopt.verifier.branch import Below
from fedopt.verifier.decision import KNOWN, Round, known
from fedopt.verifier.digits import ENERGY, LOOSE, ROUNDING, unless_hidden
from fedopt.verifier.matchings import AllMatchings, SortedMatchings, TooManyError, dual_value, rule_out
from fedopt.verifier.model import SAME, Tasks, best, least_times, sum_of, tasks_of, too_late, work_of
from fedopt.verifier.report import About, Check, Outcome, judged
from fedopt.verifier.shared import SharedMatchings, least_cost
from fedopt.verifier.shares import narrowest

LOOKS = 2000  # durations at which costs are worked out anew
SIZE, SHARED = 20_000, 2_000  # types x clients beyond which that would take too long; of a shared uplink
ALL, SORTED = "all matchings", "sorted matchings"
C = About.CLAIMS
_SUMS = 1e-14  # relative: what sums of energies may be off by, those of the methods and its own
_HIDDEN = 2e-14  # relative, of an energy: rounding may hide which of two is the less that differ by no more
_PROGRAM = 1e-8  # relative, of an energy: what a mixed-integer program may leave open of the least one, and more
_OPEN = "another matching takes almost as much as the budget: a method that is as good as 1e-9 leaves this open"
_SOONER = 2.0 - SAME**2  # of a deadline: who is in time then is in time whatever rounding says
_JUST_IN_TIME = "another matching misses the deadline, or keeps it, by what durations may be off by"
_BLURRED = "another matching takes as much, but for what energies may be off by"

MatchingBounds = AllMatchings | SortedMatchings | SharedMatchings


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

    def within(self, scope: str, r: Round, most: Callable[[float], float], largest: float) -> MatchingBounds:
        """The bounds of what is needed within a duration, up to most(T) [J], ``largest`` of all."""
        if self.problem.access is not None:
            return SharedMatchings(self.tasks, r, most, LOOKS)
        return self.over(scope, self.energies, largest)

    def in_time(self, scope: str, r: Round, durations: FloatArray) -> tuple[MatchingBounds, FloatArray]:
        """The bounds of who is in time, whatever the energy; and what (P,) they may come to if all are."""
        if self.problem.access is None:
            return self.over(scope, self.late, 1.0), np.full(len(durations), 0.5)
        if isinstance(self.problem.access, SharedBandwidth):
            return AllMatchings(lambda T: narrowest(self.tasks, T), 1.0), np.ones(len(durations))
        return SharedMatchings(self.tasks, r, lambda T: math.inf, LOOKS), durations

    @property
    def gains(self) -> FloatArray:
        """R^beta of every partition; 1 where the utility is the duration alone."""
        if not isinstance(self.problem.utility, ReplicaRate):
            return np.ones(len(self.counts))
        weights = np.array([0.0 if s.is_idle else 1.0 / s.cover for s in self.problem.submodels])
        result: FloatArray = (self.counts @ weights) ** self.problem.utility.beta
        return result


def menu_of(problem: Problem) -> Menu | str:
    """What is searched; or why that is too much to look through again.

    Under an access scheme everybody has the whole channel.
    """
    if len(problem.clients) * len(problem.submodels) > (SIZE if problem.access is None else SHARED):
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
        ("bound of the utility", not math.isnan(solution.bound) or solution.scope != ""),
        ("bracket over all matchings", solution.scope == ALL and _timed(problem) and not math.isnan(r.bracket[0])),
        ("place prices", solution.place_prices is not None),
        ("cost of all matchings", not all(map(math.isnan, solution.cost_bracket))),
    ]
    checks = [Check(name=name, about=C, outcome=Outcome.NOTHING) for name, claimed in claims if not claimed]
    if not math.isnan(solution.bound):
        short = solution.utility - solution.bound
        said = f"{solution.bound:.12g}, utility {solution.utility:.12g}"
        checks.append(judged("bound is no less than the utility", C, short if short > 0.0 else 0.0, 0.0, found=said))
    menu, priced = menu_of(problem), isinstance(problem.budget, TimePrice)
    checks += _as_solved(problem, solution, r, menu)
    for name, claimed in claims:
        if claimed and isinstance(menu, str):
            checks.append(Check(name=name, about=C, outcome=Outcome.UNPROVED, why=menu))
        elif claimed and name == claims[3][0] and not priced:
            why = "a cost without a price of time"
            checks.append(Check(name=name, about=C, outcome=Outcome.FAILED, found=f"{solution.cost_bracket}", why=why))
        elif claimed and problem.access is not None and (name == "place prices" or (priced and name == claims[0][0])):
            checks.append(Check(name=name, about=C, outcome=Outcome.CLAIMED, why="clients share the uplink"))
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


def _as_solved(problem: Problem, s: Solution, r: Round, menu: Menu | str) -> list[Check]:
    """What is called solved claims as much: a narrow bracket, and a bound no higher than such a one leaves open.

    Over all matchings of a shared uplink, or of partitions too many to list, bound and bracket say what proofs leave
    open; the bracket no more than the bound.
    """
    if not s.status.solved:
        return []
    listed = problem.partitions is not None or not too_many(len(problem.clients), problem.submodels)
    settled, low = problem.access is None and listed, r.bracket[0]
    checks = known(r, low if settled or s.scope != ALL else math.nan)
    if math.isnan(s.bound) or not isinstance(problem.utility, ReplicaRate | ShortestRound | LeastEnergy):
        return checks
    assert s.partition is not None
    if settled:
        best = utility_of(problem, s.partition, _earliest(r) if math.isnan(low) else low, r.E)
        found, above = f"{s.bound:.12g}, at most {best:.12g} is left open", _above(s.bound, best)
        reached = judged("solved: the bound is reached", C, above, r.tolerance, found=found)
        if reached.outcome is Outcome.FAILED and _timed(problem):
            most = utility_of(problem, s.partition, (1.0 - KNOWN) * r.T, r.E)
            wide = judged(reached.name, C, _above(s.bound, most), r.tolerance, found=found)
            if _hidden(menu, dataclasses.replace(s, bound=best), r, _HIDDEN):
                reached = wide
            elif wide.outcome is Outcome.PASSED and _hidden(
                menu, dataclasses.replace(s, bound=0.5 * (best + s.bound)), r, _PROGRAM
            ):
                reached = dataclasses.replace(wide, outcome=Outcome.UNPROVED, why=_OPEN)
        checks.append(reached)
    elif s.scope == ALL and _timed(problem) and low >= 0.0:
        best = utility_of(problem, s.partition, low, r.E)
        found = f"{best:.12g} at {low:.12g} s, bound {s.bound:.12g}"
        checks.append(judged("bracket is within the bound", C, _above(best, s.bound), LOOSE, found=found))
    return checks


def _hidden(menu: Menu | str, s: Solution, r: Round, share: float) -> bool:
    """Whether that share of the energy hides that no utility is above a bound: others need as much as the budget."""
    try:
        return isinstance(menu, Menu) and _bound("", menu, s, r, share).outcome is Outcome.UNPROVED
    except TooManyError:  # the check of the bound says so
        return True


def _earliest(r: Round) -> float:
    """Where no lower end of the bracket is claimed [s]: what energies may hide of the duration, and 1 % at most."""
    price = sum_of(r.allocation.price) + getattr(r.budget, "watts", 0.0)  # a second earlier costs more than that
    return r.T - min(ENERGY * r.E / price if price > 0.0 else math.inf, KNOWN * r.T)


def _above(value: float, limit: float) -> float:
    """By how much a utility is above another, relative."""
    return 0.0 if value <= limit else (value - limit) / max(abs(limit), 1e-300)


def _timed(problem: Problem) -> bool:
    return not isinstance(problem.budget, Deadline | TimePrice)


def _bound(name: str, menu: Menu, s: Solution, r: Round, rounding: float = _SUMS) -> Check:
    """No partition (and no matching, or no sorted one) has a utility above the bound: each at the duration it needs.

    rounding: relative, what sums of energies may be off by; where no more is missing nothing is proved.
    """
    utility, budget, limit = menu.problem.utility, menu.problem.budget, r.tolerance
    known = isinstance(utility, ReplicaRate | ShortestRound | LeastEnergy)
    if math.isnan(s.bound) or s.scope not in (ALL, SORTED) or not known:
        why = f"no way to prove a bound of {s.scope or 'nothing'} of this utility"
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=f"{s.bound:.12g}", why=why)
    if s.bound == math.inf or (s.bound >= 0.0 and isinstance(utility, ShortestRound | LeastEnergy)):
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=f"{s.bound:.12g}, which no utility is above")
    better = s.bound + limit * abs(s.bound)  # a utility that would refute the bound
    counts, gains = menu.counts, menu.gains
    bounds: MatchingBounds | None = None
    blurred: FloatArray | None = None  # what may be spent but for what energies may be off by
    with np.errstate(all="ignore"):
        durations = np.full(len(counts), -better) if isinstance(utility, ShortestRound) else gains / better
    if isinstance(utility, LeastEnergy) and not isinstance(budget, Deadline):
        why = "every partition's energy is that of its own shortest round"
        return Check(name=name, about=C, outcome=Outcome.UNPROVED, found=f"{s.bound:.12g}", why=why)
    if isinstance(budget, TimePrice):
        allowed = np.full(len(counts), budget.watts * (1.0 - LOOSE))
        bounds = menu.over(s.scope, menu.prices, budget.watts)
    elif isinstance(utility, LeastEnergy):
        durations, allowed = np.full(len(counts), r.T), np.full(len(counts), -better)
        bounds = menu.within(s.scope, r, lambda T: -better, -better)
    elif isinstance(budget, Deadline):
        counts = counts[durations > budget.seconds]  # those worth more in the same time
        durations = np.full(len(counts), budget.seconds)
    else:
        most = np.array([r.allowed(T) for T in durations])
        allowed = most * (1.0 - ENERGY)
        if math.isfinite(float(allowed.max())):
            bounds = menu.within(s.scope, r, lambda T: r.allowed(T) * (1.0 - ENERGY), float(allowed.max()))
            if menu.problem.access is None:
                allowed, blurred = most * (1.0 + rounding), most * (1.0 - max(ENERGY, rounding))
    if bounds is None:  # time is the only limit
        bounds, allowed = menu.in_time(s.scope, r, durations)
    found = rule_out(bounds, counts, durations, allowed, LOOKS)
    if found is None:
        said = f"{s.bound:.12g} over {len(menu.counts)} partitions"
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    if blurred is not None and rule_out(bounds, counts, durations, blurred, LOOKS) is None:
        return Check(name=name, about=C, outcome=Outcome.UNPROVED, found=f"{s.bound:.12g}", why=_BLURRED)
    if isinstance(budget, Deadline) and rule_out(bounds, counts, durations * _SOONER, allowed, LOOKS) is None:
        return Check(name=name, about=C, outcome=Outcome.UNPROVED, found=f"{s.bound:.12g}", why=_JUST_IN_TIME)
    p = found[0]
    why = f"partition {tuple(counts[p].tolist())} may do with {found[1]:.12g} at {durations[p]:.12g} s"
    return _not_so(name, bounds, f"{s.bound:.12g}", why, f"more than {allowed[p]:.12g}")


def _not_so(name: str, bounds: MatchingBounds | Below, found: str, why: str, allowed: str = "") -> Check:
    """What prices do not prove is wrong where they leave nothing open, or a matching that refutes it was seen."""
    outcome = Outcome.FAILED if bounds.refutes else Outcome.CLAIMED
    return Check(name=name, about=C, outcome=outcome, found=found, allowed=allowed, why=why)


def _bracket(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """At the lower end, and so at every shorter duration, no matching of the partition is within the budget."""
    low = r.bracket[0] * (1.0 - r.tolerance)
    most, T = r.allowed(low) * (1.0 - ENERGY), np.array([low])
    if math.isfinite(most):
        bounds, allowed = menu.within(ALL, r, lambda T: most, most), np.array([most])
    else:
        bounds, allowed = menu.in_time(ALL, r, T)
    found = None  # nothing is shorter than 0 s
    if low > 0.0:
        found = rule_out(bounds, np.array([s.partition]), T, allowed, LOOKS)
    said = f"from {r.bracket[0]:.15g} s"
    if found is None and low > 0.0 and menu.problem.access is None and math.isfinite(most):
        surely = np.array([r.allowed(low) * (1.0 + ROUNDING)])
        if rule_out(bounds, np.array([s.partition]), T, surely, LOOKS) is not None:
            return Check(name=name, about=C, outcome=Outcome.UNPROVED, found=said, why=_BLURRED)
    if found is None:
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    why = f"a matching may do with {found[1]:.12g} of {allowed[0]:.12g} at {low:.12g} s"
    return _not_so(name, bounds, said, why)


def _places(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """With the answer's own prices of places the bound of every matching at its duration is its energy."""
    assert s.place_prices is not None
    counts, prices = np.array(s.partition), s.place_prices
    if prices.shape != counts.shape or not np.isfinite(prices).all():
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=f"shape {prices.shape}", why="a price per type")
    largest = max(r.E, float(np.abs(prices).max()))
    unit = largest if largest > LARGEST else 1.0  # of energy, in which sums stay doubles
    E, prices = r.E / unit, prices / unit
    # NaN: endless power in no time
    costs = np.fmin(menu.energies(r.T) / unit, 4.0 * E + 2.0 * float(np.ptp(prices)))
    proved = dual_value(costs, counts, prices) * unit
    gap = (r.E - proved) / r.E if r.E > 0.0 else r.E - proved
    found = f"{r.E:.12g} J, proved {proved:.12g} J"
    return unless_hidden(judged(name, C, gap, r.tolerance, found=found), r, r.E)


def _cost(name: str, menu: Menu, s: Solution, r: Round) -> Check:
    """No matching of the partition costs less than claimed, whatever the duration: branch and bound over it."""
    low, cost = s.cost_bracket
    assert isinstance(menu.problem.budget, TimePrice)
    said = f"{low:.12g} to {cost:.12g} J"
    off = abs(cost - r.cost) / max(r.cost, 1e-300)
    if not off <= r.tolerance or low > cost:
        return Check(name=name, about=C, outcome=Outcome.FAILED, found=said, why=f"the answer costs {r.cost:.12g} J")
    watts, least = menu.problem.budget.watts, low * (1.0 - r.tolerance)
    cheaper = least_cost(menu.tasks, r, np.array(s.partition), watts, least, LOOKS) if least > 0.0 else None
    if cheaper is None:
        return Check(name=name, about=C, outcome=Outcome.PASSED, found=said, allowed="proved again", residual=0.0)
    why = (
        "prices lead no further"
        if cheaper.shown is None
        else "a matching at {:.12g} s costs {:.12g} J".format(*cheaper.shown)
    )
    return _not_so(name, cheaper, said, why)
