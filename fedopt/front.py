"""The whole trade-off of a fleet: the least energy for every duration, with the matchings behind it.

Over all matchings of a partition the least energy E*(T) never rises with T, but it is neither convex nor continuous.
So between two neighbouring points (T1, E1), (T2, E2) of a curve every E*(T) lies in [E2, E1]: a proved box, and the
next point goes where the box is largest. A budget's answer lies in one box, so a search within it finds and proves it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedopt.box import Answer, Box
from fedopt.candidates import menu_of
from fedopt.checks import FloatArray, InputError, by_constructor, choice, kind, whole
from fedopt.claims import bound_of, bracket_over, limited, of_one, ordered_by_duration
from fedopt.problem import Budget, Problem, TimePrice, check_budget
from fedopt.rounds import goal_of, rows_of, schedule_of
from fedopt.search import best_of, cost_bracket, solution_of, solve
from fedopt.solution import Solution
from fedopt.submodels import IntArray, Partition
from solvers import allocation as level3
from solvers import duration as level2
from solvers.rows import Goal

if TYPE_CHECKING:
    from solvers.matching.fixed import Fixed
    from solvers.menu import Menu

_POINTS = 10_000  # of a curve at most: each is a matching of all clients


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The front of one partition: M points by rising duration; read-only arrays. M = 0 where no duration suffices.

    Attributes
    ----------
    partition : the K counts.
    duration, energy : (M,) T [s] and E*(T) [J], which never rises. The first point is the shortest round there is, or
        one a little longer where that takes a power without limit; the last is within 0.1 % of the least possible
        energy, or 1,000 times as long as the first.
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

    __reduce__ = by_constructor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Front:
    """The fronts of some partitions of a problem, from pareto(): ``curves`` one each, and ``matching`` they are of."""

    problem: Problem
    matching: str
    curves: tuple[Curve, ...]
    menu: Menu = field(repr=False)
    fixed: Fixed = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:  # the menu and its tables are made again
        return _front, (self.problem, self.matching, self.curves)

    def at(self, budget: Budget) -> Solution:
        """The answer of solve() under another budget, from the curves and a short search within one box of each.

        The partitions are those of the curves; where that is one and the problem lists none, ``scope`` says that what
        is proved is of that one. ``paper`` and ``place_prices`` are left out. At a price of time no box holds the
        answer for certain: the curve's cheapest point is where a search of all durations starts. Raises InputError
        where ``budget`` is none.
        """
        check_budget("budget", budget)
        counts = np.array([curve.partition for curve in self.curves])
        answer = self._answer(dataclasses.replace(self.problem, budget=budget, partitions=counts))
        asked = dataclasses.replace(self.problem, budget=budget)
        return of_one(answer, asked) if asked.partitions is None else answer

    def _answer(self, problem: Problem) -> Solution:
        """The answer of a problem with the curves' partitions."""
        budget, clients, types = problem.budget, problem.clients, problem.submodels
        found: list[Answer] = []
        for curve in self.curves:
            answer = self._within(curve, budget)
            if answer is None:  # off the curve: the long way
                return solve(problem, matching=self.matching)
            found.append(answer)
        durations, energies = [a.duration for a in found], [a.energy for a in found]
        best = found[best_of(problem, durations, energies, lambda p: found[p].partition)]
        work = clients.workload(types, best.assignment)
        rows = rows_of(clients, work)
        timing = level2.METHODS.get("newton")(rows, *goal_of(budget), level3.METHODS.get("kernel"))
        round_ = schedule_of(clients, work, budget, rows, timing, 0.0)
        exact, more = self.matching == "exact" and ordered_by_duration(problem), dict[str, Any]()
        if isinstance(budget, TimePrice) and self.matching == "exact":
            exact, more["cost_bracket"] = False, cost_bracket(best.lower, budget.watts, round_)
        elif exact and round_.status.solved:
            more["bracket"] = bracket_over(best.lower, round_)
            own = bound_of(problem, best.partition, round_.duration, round_.energy, more["bracket"])
            others = (bound_of(problem, a.partition, a.duration, a.energy, (a.lower, a.duration)) for a in found)
            more["bound"] = max(own, *others)
        stats = {"partitions": float(len(self.curves)), "passes": float(timing.passes)}
        proved = exact and round_.status.solved
        return limited(solution_of(problem, np.array(best.partition), best.assignment, round_, stats, proved, more))

    def _within(self, curve: Curve, budget: Budget) -> Answer | None:
        """The best answer of a curve's partition, from one of its boxes or behind; None where nothing is known."""
        goal, value = goal_of(budget)
        T = curve.duration
        if goal is Goal.DEADLINE:
            first = int(np.searchsorted(T, value, side="right")) - 1 if T.size else -1
        elif goal is Goal.PRICE:
            first = int(np.argmin(curve.energy + value * T)) if T.size else -1
        else:
            enough = np.flatnonzero(curve.energy <= (T * value if goal is Goal.POWER else value))
            first = int(enough[0]) if enough.size else len(T) if T.size else -1
        if first < 0:
            return None
        box = Box(menu=self.menu, curve=curve, point=first, goal=goal, value=value, fixed=self.fixed)
        if self.matching != "exact":
            return box.kept()
        return {Goal.DEADLINE: box.given, Goal.PRICE: box.cheapest}.get(goal, box.least)()

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


def pareto(problem: Problem, *, points: int = 20, matching: str = "exact") -> Front:
    """The least energy for every duration, as curves of ``points`` points.

    Parameters
    ----------
    problem : its partitions, where they are listed, have a curve each; otherwise the partition that solve() finds best
        under the problem's budget has the only one. The budget plays no other part.
    points : of each curve, 2 to 10,000; they go where the curve is least certain.
    matching : "exact" (the best matching at every duration, proved; default) or "sorted" (the paper's rule).

    Raises InputError, also where no partition is listed and no round meets the budget.
    Source: section 5 of the model; the curves over all matchings: section 6.
    """
    kind("problem", problem, Problem, "a Problem")
    kind("Problem.access", problem.access, type(None), "None: fronts are of clients with channels of their own")
    count = whole("points", points, least=2, most=_POINTS)
    choice("matching", matching, ("exact", "sorted"))
    if problem.partitions is not None:
        counts = problem.candidates()
    else:
        best = solve(problem, matching=matching)
        if best.partition is None:
            raise InputError("problem", "a budget that some round meets, or partitions=[...]", best.reason)
        counts = np.array([best.partition], dtype=np.int64)
    menu = menu_of(problem, problem.clients)
    curves = tuple(_curve(problem, menu, row, count, matching) for row in counts)
    return _front(problem, matching, curves, menu)


def _front(problem: Problem, matching: str, curves: tuple[Curve, ...], menu: Menu | None = None) -> Front:
    from solvers.matching.fixed import Fixed

    menu = menu or menu_of(problem, problem.clients)
    return Front(problem=problem, matching=matching, curves=curves, menu=menu, fixed=Fixed(menu))


def _curve(problem: Problem, menu: Menu, counts: IntArray, points: int, matching: str) -> Curve:
    from solvers.matching.curve import best_of, sorted_of, trace

    found = trace(*(best_of if matching == "exact" else sorted_of)(menu, counts), points)
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
