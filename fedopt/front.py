"""The whole trade-off of a fleet: the least energy for every duration, with the matchings behind it.

Over all matchings of a partition the least energy E*(T) never rises with T, but it is neither convex nor continuous.
So between two neighbouring points (T1, E1), (T2, E2) of a curve every E*(T) lies in [E2, E1]: a proved box, and the
next point goes where the box is largest. A budget's answer lies in one box, so a search within it finds and proves it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import FloatArray, InputError, choice, kind, whole
from fedopt.claims import ordered_by_duration
from fedopt.problem import Budget, Problem, TimePrice, check_budget
from fedopt.rounds import goal_of, rows_of, schedule_of
from fedopt.search import menu_of, solution_of, solve
from fedopt.solution import Solution
from fedopt.submodels import IntArray, Partition
from solvers import allocation as level3
from solvers import duration as level2
from solvers.rows import Goal

if TYPE_CHECKING:
    from solvers.matching.fixed import Fixed
    from solvers.menu import Menu


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The front of one partition: M points by rising duration; read-only arrays. M = 0 where no duration suffices.

    Attributes
    ----------
    partition : the K counts.
    duration, energy : (M,) T [s] and E*(T) [J], which never rises. The first point is the shortest round there is;
        the last is within 0.1 % of the least possible energy, or 1,000 times as long as the first.
    assignment : (M, N) type index of each client, at each point.
    changed : (M,) how many clients train another sub-model than at the point before; 0 for the first.
    """

    partition: Partition
    duration: FloatArray
    energy: FloatArray
    assignment: NDArray[np.uint8]
    changed: IntArray
    prices: FloatArray = field(repr=False)  # (M, K) of the types, where a search near a point starts

    def __post_init__(self) -> None:
        for name in ("duration", "energy", "assignment", "changed", "prices"):
            getattr(self, name).flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Front:
    """The fronts of some partitions of a problem, from pareto(): ``curves`` one each, and ``matching`` they are of."""

    problem: Problem
    matching: str
    curves: tuple[Curve, ...]
    menu: Menu = field(repr=False)
    fixed: Fixed = field(repr=False)

    def at(self, budget: Budget) -> Solution:
        """The answer of solve() under another budget, from the curves and a short search within one box of each.

        The partitions are those of the curves; what the solution says is proved is so for them. ``paper`` and
        ``place_prices`` are left out. An energy or power budget or a deadline; raises InputError for a price of time.
        """
        check_budget("budget", budget)
        if isinstance(budget, TimePrice):
            raise InputError("budget", "an EnergyBudget, PowerBudget or Deadline", "a TimePrice")
        clients, types, utility = self.problem.clients, self.problem.submodels, self.problem.utility
        counts = [list(curve.partition) for curve in self.curves]
        problem = Problem(clients, types, budget=budget, partitions=counts, utility=utility)
        found: list[_Answer] = []
        for curve in self.curves:
            answer = self._within(curve, budget)
            if answer is None:  # off the curve: the long way
                return solve(problem, matching=self.matching)
            found.append(answer)
        best = max(found, key=lambda a: (float(utility(a.partition, a.duration, a.energy)), -a.energy))
        work = clients.workload(types, best.assignment)
        rows = rows_of(clients, work)
        timing = level2.METHODS.get("newton")(rows, *goal_of(budget), level3.METHODS.get("kernel"))
        round_ = schedule_of(clients, work, budget, rows, timing, 0.0)
        exact = self.matching == "exact" and ordered_by_duration(problem)
        more: dict[str, Any] = {"bracket": (min(best.lower, round_.duration), round_.duration)} if exact else {}
        stats = {"partitions": float(len(counts)), "passes": float(timing.passes)}
        return solution_of(problem, np.array(best.partition), best.assignment, round_, stats, exact, more)

    def _within(self, curve: Curve, budget: Budget) -> _Answer | None:
        """The best answer of a curve's partition, from one of its boxes or behind; None where nothing is known."""
        goal, value = goal_of(budget)
        T = curve.duration
        if goal is Goal.DEADLINE:
            first = int(np.searchsorted(T, value, side="right")) - 1 if T.size else -1
        else:
            enough = np.flatnonzero(curve.energy <= (T * value if goal is Goal.POWER else value))
            first = int(enough[0]) if enough.size else len(T) if T.size else -1
        if first < 0:
            return None
        box = _Box(menu=self.menu, curve=curve, point=first, goal=goal, value=value, fixed=self.fixed)
        if self.matching != "exact":
            return box.kept()
        return box.given() if goal is Goal.DEADLINE else box.least()

    def to_csv(self, path: str | PathLike[str]) -> None:
        """A row per point: partition, duration, energy, mean power, clients changed. Raises OSError."""
        from fedopt.disk import replace_file
        from fedopt.files import csv_text

        rows = [
            ("/".join(map(str, curve.partition)), T, E, E / T if T > 0.0 else math.nan, changed)
            for curve in self.curves
            for T, E, changed in zip(
                curve.duration.tolist(), curve.energy.tolist(), curve.changed.tolist(), strict=True
            )
        ]
        header = ("partition", "duration[s]", "energy[J]", "power[W]", "changed")
        replace_file(path, csv_text(header, rows).encode())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    partition: Partition
    assignment: IntArray
    lower: float  # [s] proved
    duration: float
    energy: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Box:
    """A search that starts from a point of a curve, or from behind its last; the point before is out of budget."""

    menu: Menu
    curve: Curve
    point: int
    goal: Goal
    value: float
    fixed: Fixed

    def kept(self) -> _Answer | None:
        """The matching of the point."""
        return self._answer(self._start(), math.nan)

    def given(self) -> _Answer | None:
        """The best matching at a given duration."""
        found = self._match(self.value)
        assert found is not None
        return self._answer(found[0], self.value)

    def least(self) -> _Answer | None:
        """The least duration of all matchings, proved."""
        from solvers.matching.least import least_duration

        if self.point == 0:  # no round is shorter, whatever the budget
            return self._answer(self._start(), float(self.curve.duration[0]))
        before = float(self.curve.duration[self.point - 1])
        high = self._root(self._start())[0]
        if self.point < len(self.curve.duration):
            high = min(high, float(self.curve.duration[self.point]))
        if not math.isfinite(high):
            return None
        found = least_duration(self._match, self._root, self.goal, self.value, before, high)
        if found is None:  # nothing up to the start's own duration, rounding aside: the start is the best
            return self._answer(self._start(), high)
        return self._answer(found.assignment, found.lower)

    def _start(self) -> IntArray:
        point = min(self.point, len(self.curve.duration) - 1)
        start: IntArray = self.curve.assignment[point].astype(np.int64)
        return start

    def _match(self, duration: float) -> tuple[IntArray, float] | None:
        from solvers.matching.curve import best_of

        counts = np.array(self.curve.partition, dtype=np.int64)
        found = best_of(self.menu, counts)(duration, self.curve.prices[min(self.point, len(self.curve.prices) - 1)])
        return None if found is None else (found.assignment, found.energy)

    def _root(self, assignment: IntArray) -> tuple[float, float]:
        if self.fixed.pays:
            return self.fixed.duration(assignment, self.goal, self.value)
        rows = self.menu.rows_of(assignment)
        timing = level2.METHODS.get("newton")(rows, self.goal, self.value, level3.METHODS.get("kernel"))
        return timing.duration, math.inf if timing.point is None else float(timing.point.energy.sum())

    def _answer(self, assignment: IntArray, lower: float) -> _Answer | None:
        T, E = self._root(assignment)
        if not math.isfinite(E):
            return None
        return _Answer(partition=self.curve.partition, assignment=assignment, lower=lower, duration=T, energy=E)


def pareto(problem: Problem, *, points: int = 20, matching: str = "exact") -> Front:
    """The least energy for every duration, as curves of ``points`` points.

    Parameters
    ----------
    problem : its partitions, where they are listed, have a curve each; otherwise the partition that solve() finds best
        under the problem's budget has the only one. The budget plays no other part.
    points : of each curve, 2 or more; they go where the curve is least certain.
    matching : "exact" (the best matching at every duration, proved; default) or "sorted" (the paper's rule).

    Raises InputError, also where no partition is listed and no round meets the budget.
    Source: section 5 of the model; the curves over all matchings: section 6.
    """
    from solvers.matching.fixed import Fixed

    kind("problem", problem, Problem, "a Problem")
    kind("Problem.access", problem.access, type(None), "None: fronts are of clients with channels of their own")
    count = whole("points", points, least=2)
    choice("matching", matching, ("exact", "sorted"))
    counts = problem.partitions
    if counts is None:
        best = solve(problem, matching=matching)
        if best.partition is None:
            raise InputError("problem", "a budget that some round meets, or partitions=[...]", best.reason)
        counts = np.array([best.partition], dtype=np.int64)
    menu = menu_of(problem, problem.clients)
    curves = tuple(_curve(problem, menu, row, count, matching) for row in counts)
    return Front(problem=problem, matching=matching, curves=curves, menu=menu, fixed=Fixed(menu))


def _curve(problem: Problem, menu: Menu, counts: IntArray, points: int, matching: str) -> Curve:
    from solvers.matching.curve import best_of, sorted_of, trace

    found = trace(menu, (best_of if matching == "exact" else sorted_of)(menu, counts), points)
    assignment = np.array([at.assignment for at in found], dtype=np.uint8).reshape(len(found), len(menu))
    changed = np.zeros(len(found), dtype=np.int64)
    changed[1:] = (assignment[1:] != assignment[:-1]).sum(axis=1)
    return Curve(
        partition=Partition(counts.tolist(), problem.submodels),
        duration=np.array([at.duration for at in found]),
        energy=np.minimum.accumulate(np.array([at.energy for at in found])),  # it never rises, rounding aside
        assignment=assignment,
        changed=changed,
        prices=np.array([at.prices for at in found]).reshape(len(found), len(counts)),
    )
