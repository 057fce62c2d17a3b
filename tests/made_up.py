"""Made-up clients for the tests of level 1: energies in closed form, tasks of them, and every matching there is."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from tasks import task_for

from solvers.matching.task import Task
from solvers.menu import IntArray
from solvers.rows import ROUNDING, Allocate, BoolArray, FloatArray, Goal, Limits, Point, Stop, Timing


@dataclass(eq=False)
class Made:
    """Row n under type k takes floor + w/T^2 [J] from its least duration [s] on, (K, N) each, or (..., N) if matched.

    A menu as the searches know it: types from large to small are by index, the order of the rows is by index, too.
    """

    columns: ClassVar[tuple[str, ...]] = ("floor", "w", "least")

    floor: FloatArray
    w: FloatArray
    least: FloatArray
    covers: IntArray
    weights: FloatArray

    def __len__(self) -> int:
        return int(self.floor.shape[-1])

    @cached_property
    def rows(self) -> Any:
        return self.floor  # of which only the number is asked

    @property
    def types(self) -> IntArray:
        return np.arange(len(self.floor))

    @cached_property
    def order(self) -> IntArray:
        return np.arange(len(self))

    @property
    def least_times(self) -> FloatArray:
        return self.least

    @property
    def shortest(self) -> float:
        return float(self.least.min(axis=0).max()) * ROUNDING

    @property
    def longest(self) -> float:
        return float(self.least[np.isfinite(self.least)].max(initial=0.0))

    def can(self, duration: float) -> BoolArray:
        result: BoolArray = (self.least * ROUNDING <= duration) & np.isfinite(self.least)
        return result

    def energy(self, duration: float) -> FloatArray:
        """Whether they can or not."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.floor + np.where(self.w > 0.0, self.w / duration**2, 0.0)

    def costs(self, duration: float) -> FloatArray:
        return np.where(self.can(duration), self.energy(duration), np.inf)

    def costs_and_prices(self, duration: float) -> tuple[FloatArray, FloatArray]:
        can = self.can(duration) & (self.w > 0.0)
        return self.costs(duration), np.where(can, 2.0 * self.w, 0.0) / (duration**3 or 1.0)

    def rows_of(self, assignments: IntArray) -> Self:
        """Of one matching, or of many (..., N)."""
        rows, own = copy.copy(self), np.arange(len(self))
        vars(rows).update({name: getattr(self, name)[assignments, own] for name in self.columns})
        return rows

    def sums(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of matched rows: floor and w of them all, and their least duration."""
        return self.floor.sum(axis=-1), self.w.sum(axis=-1), self.least.max(axis=-1)

    def answers(self, goal: Goal, value: float) -> tuple[FloatArray, FloatArray]:
        """Durations and energies of matchings; inf where there is no answer."""
        floor, w, least = self.sums()
        T = best_durations(goal, value, floor, w, least)
        with np.errstate(invalid="ignore", divide="ignore"):
            return T, np.where(math.inf > T, floor + np.where(w > 0.0, w / T**2, 0.0), math.inf)

    def slower(self, factor: float) -> Made:
        """The same clients, all their durations so many times as long."""
        return Made(self.floor, self.w * factor**2, self.least * factor, self.covers, self.weights)

    def limits(self) -> Limits:
        return Limits(least_time=self.least, free_time=np.full(len(self), math.inf), least_energy=self.floor)


def best_durations(goal: Goal, value: float, floor: Any, w: Any, least: Any) -> FloatArray:
    """Of matchings that take floor + w/T^2 [J] from their least durations [s] on; inf where there is no answer."""
    floor, w, least = np.atleast_1d(floor, w, least)
    with np.errstate(divide="ignore", invalid="ignore"):
        match goal:
            case Goal.ENERGY:
                T = np.where(value > floor, np.sqrt(w / (value - floor)), math.inf)
            case Goal.POWER:
                low, high = np.zeros(len(w)), 1.1 * np.maximum(2.0 * floor / value, np.cbrt(2.0 * w / value))
                for _ in range(80):
                    middle = 0.5 * (low + high)
                    over = floor + w / middle**2 > value * middle
                    low, high = np.where(over, middle, low), np.where(over, high, middle)
                T = high
            case Goal.DEADLINE:
                return np.where(least * ROUNDING <= value, value, math.inf)
            case Goal.PRICE:
                T = np.cbrt(2.0 * w / value)
    result: FloatArray = np.maximum(T, least)
    return result


def find_duration(rows: Any, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """Level 2 in closed form."""
    T = float(rows.answers(goal, value)[0][0])
    none = Stop.TOO_SHORT if goal is Goal.DEADLINE else Stop.TOO_LITTLE
    stop = Stop.OPTIMAL if math.inf > T else none if rows.least.max() < math.inf else Stop.UNREACHABLE
    point = None if stop is not Stop.OPTIMAL else Point(**dict.fromkeys(Point.__slots__, rows.energy(T)))
    return Timing(stop=stop, duration=T if point else math.nan, lower=T, upper=T, passes=1, point=point)


def drawn(seed: int, size: int = 6, covers: tuple[int, ...] = (1, 2, 3)) -> Made:
    """Larger types take more of everything; in every third draw some rows can do but one type. A cover of 0: idle."""
    rng, shape = np.random.default_rng(seed), (len(covers), size)
    share = np.linspace(1.0, 0.3, len(covers))[:, None]
    floor, w, least = (share * rng.uniform(low, high, shape) for low, high in ((0.2, 1.0), (1.0, 20.0), (1.0, 3.0)))
    if seed % 3 == 1:
        least[0, :2], least[-1, -1] = math.inf, math.inf
    idle, places = np.array(covers) == 0, np.maximum(covers, 1)
    floor[idle], w[idle], least[idle] = 0.0, 0.0, 0.0
    return Made(floor, w, least, places, np.where(idle, 0.0, 1.0 / places))


def partitions(menu: Made) -> IntArray:
    """All of whole replicas, and at least one."""
    size = len(menu)
    every = np.array(list(itertools.product(*(range(0, size + 1, cover) for cover in menu.covers.tolist()))))
    whole: IntArray = every[(every.sum(axis=1) == size) & (every @ menu.weights > 0.5)]
    return whole


def task_of(menu: Made, goal: Goal, value: float, *, counts: IntArray | None = None, **more: Any) -> Task:
    """The task of solve() for R^power / T over these partitions, by default all."""
    made: Any = menu
    counts = partitions(menu) if counts is None else counts
    known: dict[str, Any] = {
        "gains": (counts @ menu.weights) ** more.get("power", 1.0), "limits": Made.limits,
        "find_duration": find_duration, "allocate": None, "default": False,
    }  # fmt: skip
    return task_for(made, counts, goal, value, **(known | more))


def unlisted(task: Task) -> Task:
    """The same, its partitions too many to list."""
    return task.part(np.zeros(0, dtype=np.int64))


def unlisted_of(menu: Made, goal: Goal, value: float, **more: Any) -> Task:
    """The same of them all."""
    return unlisted(task_of(menu, goal, value, **more))


def assignments(kinds: int, size: int) -> tuple[IntArray, IntArray]:
    """All there are (kinds^size, size), and how many of each type they have (kinds^size, kinds)."""
    every = np.indices((kinds,) * size).reshape(size, -1).T
    return every, (every[:, :, None] == np.arange(kinds)).sum(axis=1)


def least_of(values: FloatArray, counts: IntArray) -> FloatArray:
    """The least of each partition's matchings (P,), given what all there are have (kinds^size,)."""
    _, have = assignments(counts.shape[1], int(counts[0].sum()))
    return np.array([values[(have == row).all(axis=1)].min() for row in counts])


def matchings(menu: Made, counts: IntArray) -> tuple[IntArray, IntArray]:
    """All (M, N) of these partitions, and the row of each one's."""
    every, have = assignments(len(menu.covers), len(menu))
    rows = np.full(len(every), -1)
    for p, row in enumerate(counts):
        rows[(have == row).all(axis=1)] = p
    return every[rows >= 0], rows[rows >= 0]


class Everyone(NamedTuple):
    """All matchings (M, N) of a task, the row of their partition, duration [s], energy [J] and R^power / T; at a
    duration without an answer inf, inf and 0."""

    assignments: IntArray
    rows: IntArray
    T: FloatArray
    E: FloatArray
    rates: FloatArray


def everyone(task: Task) -> Everyone:
    """By exhaustion."""
    menu: Any = task.menu
    every, rows = matchings(menu, task.counts)
    T, E = menu.rows_of(every).answers(task.goal, task.value)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Everyone(every, rows, T, E, (task.counts @ menu.weights)[rows] ** task.power / T)


def budgets(menu: Made) -> list[tuple[Goal, float]]:
    """That bind: what a matching of the middle partition takes some time after its least duration."""
    counts = partitions(menu)
    mine = menu.rows_of(np.repeat(menu.types, counts[len(counts) // 2]))
    T = 1.5 * mine.longest
    E = float((mine.floor + mine.w / T**2).sum())
    return [(Goal.ENERGY, E), (Goal.POWER, E / T), (Goal.DEADLINE, T), (Goal.PRICE, 2.0 * float(mine.w.sum()) / T**3)]
