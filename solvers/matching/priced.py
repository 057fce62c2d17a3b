"""Level 1 where the rows share bandwidth: matchings improved at the prices of time and bandwidth, and what they prove.

The energy is no sum over rows, but at a duration and a price mu of bandwidth the cost of a row in a place is its own:
C = least of E + mu beta. The transportation problem of these costs gives a matching to try, and its dual a bound: every
matching of the partition needs at least dual - mu joules at that duration, and no less at a shorter one. So look
just below the best duration known: either the bound proves that no matching is that short, or its matching is tried.
Where neither helps a gap is left, and the bound at a shorter duration says how wide it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.access.shared import schedule
from solvers.duration.verdicts import allowance
from solvers.matching import banded
from solvers.matching.bandcosts import BandCosts
from solvers.matching.best import Cut
from solvers.matching.hall import least_feasible
from solvers.matching.reach import Quicker
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Proof,
    Searched,
    Task,
    empty_results,
)
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray, fill
from solvers.rows import ROUNDING, FloatArray, Goal, Stop

_GAPS = (1e-9, 1e-6, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3, 0.5)  # how far below the best to look
_HALVINGS = 3
_PRICES = 8  # of bandwidth tried at a duration
_ROUNDS = 30  # of matchings for one partition
_BETTER = 1.0 - 1e-10
_SAFE = 1e-13  # relative: sums of costs and their dual are this good, and more
_FIRST = 8  # partitions solved before any is screened, or an energy budget given up for now


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """What one transportation problem proves and proposes: ``energy`` [J] is needed at ``T`` [s] at least, inf if no
    matching is feasible; ``assignment`` (N,) wants exp(``over``) channels at the price ``mu`` [J/channel]."""

    T: float
    mu: float
    energy: float
    over: float
    assignment: IntArray | None
    cut: Cut


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Best:
    """The best matching of a partition: its duration [s], energy [J] and price of bandwidth [J/channel].

    lower: what its own duration is not below [s].
    """

    assignment: IntArray
    T: float
    lower: float
    E: float
    mu: float
    stop: Stop


def search(task: Task) -> Searched:
    """Every partition that can win, the best gains first; deadlines and prices of time are banded.py's.

    Where an energy budget is too little for the first few the others are left: reach.py looks for the matching of
    least energy, and asks again from there.
    """
    if task.goal in (Goal.DEADLINE, Goal.PRICE):
        return banded.search(task)
    run = _Run(task)
    results, lower = empty_results(task.counts.shape[0]), np.full(task.counts.shape[0], run.floor)
    chosen: dict[int, IntArray] = {}
    tried: list[int] = []
    best, cuts, order, stopped = 0.0, list[Cut](), _order(task), False
    while order and not stopped:
        if _gives_up(task, tried, chosen, results):
            break
        p, needed = order.pop(0), math.inf
        if best > 0.0 and task.gains is not None:
            needed = float(task.gains[p]) / best
        if needed < run.floor or (needed < math.inf and run.ruled_out(task.counts[p], needed, cuts)):
            lower[p] = max(needed, run.floor)
            task.progress(task.counts.shape[0] - len(order), task.counts.shape[0], best)
            continue
        found, lower[p] = run.improve(p, needed, cuts, results)
        if found is not None:
            chosen[p] = found.assignment
            results[p, DURATION], results[p, ENERGY], results[p, STOPPED] = found.T, found.E, found.stop
            if task.gains is not None and found.T > 0.0:
                if best == 0.0:  # those before had nothing to be measured by
                    order += [q for q in tried if q not in chosen]
                best = max(best, float(task.gains[p]) / found.T)
        elif best == 0.0:
            tried.append(p)
        stopped = task.late and len(order) > 0
        task.progress(task.counts.shape[0] - len(order), task.counts.shape[0], best)

    def assign(p: int) -> IntArray:
        return chosen[p] if p in chosen else run.sorted(p)

    passes = run.passes + run.costs.passes
    if task.gains is None:
        return Searched(results=results, passes=passes, assign=assign, stopped=stopped)
    with np.errstate(divide="ignore"):
        ceiling = float((task.gains / lower).max())
    return Searched(
        results=results,
        passes=passes,
        assign=assign,
        proof=Proof.MATCHINGS,
        lower=lower,
        ceiling=ceiling,
        stopped=stopped,
    )


def _gives_up(task: Task, tried: list[int], chosen: dict[int, IntArray], results: FloatArray) -> bool:
    """Whether an energy budget is too little for the partitions tried, and nothing else was to begin from."""
    if task.goal is not Goal.ENERGY or task.incumbent is not None or chosen or len(tried) < _FIRST:
        return False
    return bool((results[tried, STOPPED] == Stop.TOO_LITTLE).any())


def quicker_of(task: Task) -> Quicker:
    """Of a partition and a duration [s]: a matching that can be done in that, by the least bandwidths, or None."""
    costs = BandCosts(task.menu)

    def quicker(p: int, T: float) -> IntArray | None:
        if math.isinf(T):
            found = transport(costs.ready, task.counts[p])
            return found.assignment if isinstance(found, Transport) else None
        return costs.in_time(T, lambda least: transport(least, task.counts[p]))

    return quicker


def _order(task: Task) -> list[int]:
    """The incumbent's and a few from all over first, so that there is something to beat; then the greatest gains."""
    size, first = task.counts.shape[0], list[int]()
    if task.incumbent is not None:
        counts = np.bincount(task.incumbent, minlength=task.counts.shape[1])
        first = np.flatnonzero((task.counts == counts).all(axis=1))[:1].tolist()
    if task.gains is None or size <= _FIRST:
        return list(dict.fromkeys([*first, *range(size)]))
    first += range(0, size, -(-size // _FIRST))
    return list(dict.fromkeys(first + np.argsort(-task.gains, kind="stable").tolist()))


class _Run:
    """The prices and costs of one task."""

    def __init__(self, task: Task) -> None:
        self.task, self.menu = task, task.menu
        self.hertz = float(task.menu.rows[0].bandwidth[0])
        self.costs = BandCosts(task.menu)
        self.least = task.menu.least_times * ROUNDING
        self.floor = task.menu.shortest
        self.passes, self._mu = 0, 1.0

    def sorted(self, p: int) -> IntArray:
        """The paper's matching."""
        return fill(self.task.counts[p], self.menu.types, self.menu.order)

    def improve(self, p: int, needed: float, cuts: list[Cut], results: FloatArray) -> tuple[Best | None, float]:
        """The best matching found for partition p, None for none, and a duration [s] that no matching goes below.

        It need not be improved or proved beyond ``needed`` [s], which it would take to win.
        """
        task, counts = self.task, self.task.counts[p]
        best = self._solve(self.sorted(p), p, results)
        start = task.incumbent
        if best is None and start is not None and np.array_equal(np.bincount(start, minlength=len(counts)), counts):
            best = self._solve(start, p, results)
        if np.count_nonzero(counts) == 1:  # there is no other
            if best is not None:
                return best, max(self.floor, best.lower)
            if results[p, STOPPED] in (Stop.TOO_LITTLE, Stop.UNREACHABLE):
                return None, math.inf
        if math.isfinite(needed):
            bound = self._bound(needed, self._mu, counts)
            cuts.append(bound.cut)
            if bound.energy > allowance(task.goal, task.value, needed) * (1.0 + 1e-9):
                return best, needed
            best = self._better(best, bound, p, results)
        if best is None:
            best = self._first(p, results)
        for _ in range(_ROUNDS if best is not None else 0):
            assert best is not None
            if task.late:
                break
            new = self._better(best, self._bound(best.T, best.mu, counts, once=True), p, results)
            if new is best:
                break
            best = new
        return self._prove(best, needed, p, cuts, results)

    def ruled_out(self, counts: IntArray, needed: float, cuts: list[Cut]) -> bool:
        """Whether an earlier proof shows that the partition needs more than the budget allows for ``needed`` [s]."""
        allowed = np.array([allowance(self.task.goal, self.task.value, needed)])
        return any(bool(cut.rules_out(counts[None, :], np.array([needed]), allowed)[0]) for cut in cuts)

    def _too_dear(self, bound: Bound) -> bool:
        """Whether no matching keeps its duration within the budget, beyond what rounding may hide."""
        return bound.energy > allowance(self.task.goal, self.task.value, bound.T) * (1.0 + _SAFE)

    def _prove(
        self, best: Best | None, needed: float, p: int, cuts: list[Cut], results: FloatArray
    ) -> tuple[Best | None, float]:
        """Look below the best duration until the bound exceeds the budget, then between; take what is better."""
        task, counts = self.task, self.task.counts[p]
        lower, fails, turn = self.floor, math.inf, 0
        while turn < len(_GAPS) and not task.late:
            reference = needed if best is None else min(needed, best.T)
            T = reference * (1.0 - _GAPS[turn])
            if not self.floor < T < math.inf:
                break
            bound = self._bound(T, self._mu if best is None else best.mu, counts)
            if self._too_dear(bound):
                cuts.append(bound.cut)
                lower = T
                break
            new = self._better(best, bound, p, results)
            fails, turn = (T, turn + 1) if new is best else (math.inf, 0)
            best = new
        for _ in range(_HALVINGS if fails < math.inf else 0):
            T = 0.5 * (lower + fails)
            bound = self._bound(T, self._mu if best is None else best.mu, counts)
            if self._too_dear(bound):
                lower = T
            else:
                fails = T
        return best, lower

    def _first(self, p: int, results: FloatArray) -> Best | None:
        """Where the sorted matching fails: matchings at longer and longer durations."""
        T = float(results[p, LEAST_TIME])
        if math.isinf(T):  # of the sorted matching: another may be within reach
            T = least_feasible(self.menu.least_times, self.task.counts[p]).duration
        for _ in range(8):
            if not 0.0 < T < math.inf:
                return None
            found = self._better(None, self._bound(T, self._mu, self.task.counts[p]), p, results)
            if found is not None:
                return found
            T *= 2.0
        return None

    def _better(self, best: Best | None, bound: Bound, p: int, results: FloatArray) -> Best | None:
        """The bound's matching where it is better, else ``best`` itself."""
        if bound.assignment is None or (best is not None and np.array_equal(bound.assignment, best.assignment)):
            return best
        found = self._solve(bound.assignment, p, results)
        if found is None or (best is not None and not found.T < best.T * _BETTER):
            return best
        return found

    def _solve(self, assignment: IntArray, p: int, results: FloatArray) -> Best | None:
        """Levels 2 and 3 of a matching."""
        rows = self.menu.rows_of(assignment)
        found = schedule(rows, self.hertz, self.task.goal, self.task.value)
        self.passes += found.timing.passes
        if found.timing.point is None:
            assert self.task.limits is not None
            known = self.task.limits(rows)
            if not known.t_min >= results[p, LEAST_TIME]:
                results[p, LEAST_TIME], results[p, LEAST_ENERGY] = known.t_min, known.e_inf
                results[p, STOPPED] = found.timing.stop
            return None
        mu = found.bandwidth_price * self.hertz
        self._mu = mu if mu > 0.0 else self._mu
        T, E, lower = found.timing.duration, float(found.timing.point.energy.sum()), found.timing.lower
        return Best(assignment=assignment, T=T, lower=lower, E=E, mu=self._mu, stop=found.timing.stop)

    def _bound(self, T: float, mu: float, counts: IntArray, *, once: bool = False) -> Bound:
        """The best bound at a duration: steps in ln mu towards a matching that takes just the whole channel.

        Where the rows' powers are at their bounds more price hardly frees bandwidth: then to the price that would prove
        the duration too short.
        """
        limit = allowance(self.task.goal, self.task.value, T)
        best, z, low, high = None, math.log(mu), -math.inf, math.inf
        for _ in range(1 if once else _PRICES):
            bound = self._priced(T, math.exp(z), counts)
            best = bound if best is None or bound.energy > best.energy else best
            if bound.assignment is None or self._too_dear(bound) or abs(bound.over) < 1e-6:
                return best
            step = 1.8 * bound.over
            if bound.over > 0.0:
                low = z
                missing = max(limit - bound.energy, 0.0) / (bound.mu * math.expm1(bound.over))
                step = max(step, math.log1p(1.1 * missing)) if missing < 1e10 else step
            else:
                high = z
            new = z + min(max(step, -3.0), 12.0)
            z = new if low < new < high else 0.5 * (low + high)
        assert best is not None
        return best

    def _priced(self, T: float, mu: float, counts: IntArray) -> Bound:
        """The transportation problem at a duration and a price."""
        priced = self.costs.at(T, mu)
        found = transport(priced.costs, counts)
        if not isinstance(found, Transport):
            cut = Cut(duration=T, constant=0.0, prices=found.within.astype(np.float64), rows=found.rows)
            return Bound(T=T, mu=mu, energy=math.inf, over=math.inf, assignment=None, cut=cut)
        constant = found.dual - float(counts @ found.prices) - mu
        cut = Cut(duration=T, constant=constant, prices=found.prices)
        taken = float(priced.taken[found.assignment, np.arange(len(self.menu))].sum())
        over = math.log(taken) if taken > 0.0 else -1.0
        return Bound(T=T, mu=mu, energy=found.dual - mu, over=over, assignment=found.assignment, cut=cut)
