"""A budget's answer from one box of a front: a search between two neighbouring points of a curve, or from one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedopt.checks import FloatArray
from fedopt.submodels import IntArray, Partition
from solvers import allocation as level3
from solvers import duration as level2
from solvers.rows import Goal

if TYPE_CHECKING:
    from fedopt.front import Curve
    from solvers.matching.fixed import Fixed
    from solvers.matching.transport import Impossible, Transport
    from solvers.menu import Menu


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The best matching of a curve's partition, its duration [s] and energy [J], and what is proved of it."""

    partition: Partition
    assignment: IntArray
    lower: float  # proved: of the duration [s], or of the cost [J] at a price of time
    duration: float
    energy: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    """A search that starts from a point of a curve, or from behind its last; the point before is out of budget."""

    menu: Menu
    curve: Curve
    point: int
    goal: Goal
    value: float
    fixed: Fixed

    def kept(self) -> Answer | None:
        """The matching of the point."""
        return self._answer(self._start(), math.nan)

    def given(self) -> Answer | None:
        """The best matching at a given duration."""
        found = self._match(self.value)
        assert found is not None
        return self._answer(found[0], self.value)

    def least(self) -> Answer | None:
        """The least duration of all matchings, proved."""
        from solvers.matching.least import least_duration

        before = float(self.curve.duration[self.point - 1]) if self.point else self._shortest()
        if self.point == 0 and before == self.curve.duration[0]:  # no round is shorter, whatever the budget
            return self._answer(self._start(), before)
        high = self._root(self._start())[0]
        if not math.isfinite(high):
            return None
        found = least_duration(
            self._match,
            self._root,
            self.goal,
            self.value,
            before,
            high,
            lambda: before,
        )
        # nothing up to the start's own duration, rounding aside: the start is the best
        return self._answer(self._start() if found.assignment is None else found.assignment, found.lower)

    def cheapest(self) -> Answer | None:
        """The cheapest matching at a price of time, proved."""
        from solvers.matching.branch import Branch

        lines, root, shortest = self.menu.costs_and_prices, self._root, self._shortest()
        found = Branch(lines, self._solve, root, self.value, shortest).search(self._start())
        assert found is not None
        return self._answer(found.assignment, found.lower)

    def _shortest(self) -> float:
        """No matching is feasible below [s]; where that takes a power without limit the curve begins later."""
        from solvers.matching.hall import least_feasible

        return least_feasible(self.menu.least_times, np.array(self.curve.partition, dtype=np.int64)).duration

    def _start(self) -> IntArray:
        point = min(self.point, len(self.curve.duration) - 1)
        start: IntArray = self.curve.assignment[point].astype(np.int64)
        return start

    def _match(self, duration: float) -> tuple[IntArray, float] | None:
        from solvers.matching.transport import Impossible

        found = self._solve(self.menu.costs(duration))
        return None if isinstance(found, Impossible) else (found.assignment, found.cost)

    def _solve(self, costs: FloatArray) -> Transport | Impossible:
        from solvers.matching.transport import transport

        near = min(self.point, len(self.curve.prices) - 1)
        return transport(costs, np.array(self.curve.partition, dtype=np.int64), self.curve.prices[near])

    def _root(self, assignment: IntArray) -> tuple[float, float]:
        if self.fixed.pays:
            return self.fixed.duration(assignment, self.goal, self.value)
        rows = self.menu.rows_of(assignment)
        timing = level2.METHODS.get("newton")(rows, self.goal, self.value, level3.METHODS.get("kernel"))
        return timing.duration, math.inf if timing.point is None else float(timing.point.energy.sum())

    def _answer(self, assignment: IntArray, lower: float) -> Answer | None:
        T, E = self._root(assignment)
        if not math.isfinite(E):
            return None
        return Answer(partition=self.curve.partition, assignment=assignment, lower=lower, duration=T, energy=E)
