"""Tasks of level 1 for its tests, without the door; and parts of kernels as plain Python."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

import fedopt
from fedopt.candidates import menu_of
from solvers import firstcalls
from solvers.allocation import kernel
from solvers.duration import newton
from solvers.matching.task import Task
from solvers.menu import IntArray, Menu
from solvers.rows import ROUNDING, FloatArray, Goal


def plain(stage: Any) -> Any:
    """A part of a kernel, which none but kernels can call compiled, as the plain Python it is written in."""
    return firstcalls.plain(stage) if isinstance(stage, Dispatcher) else stage


def menu_for(clients: fedopt.Clients, types: tuple[fedopt.SubModel, ...]) -> Menu:
    return menu_of(fedopt.Problem(clients, types, budget=fedopt.Deadline(1.0)), clients)


def task_for(menu: Menu, counts: IntArray, goal: Goal, value: float, **more: Any) -> Task:
    """The default methods of levels 2 and 3; nothing told of progress, no gains."""
    plainly = {"gains": None, "listed": True, "seed": 0, "default": True, "progress": lambda *_: None}
    methods = {"find_duration": newton.schedule, "allocate": kernel.allocate}
    return Task(menu=menu, counts=np.asarray(counts), goal=goal, value=value, **{**plainly, **methods, **more})


class MadeUp:
    """A menu whose row n under type k takes e + w/T^2 [J] from a least duration [s] on: arrays (K, N) of these.

    Its rows of an assignment are the assignment; levels 2 and 3 are closed forms, in ``task``.
    """

    def __init__(self, least: FloatArray, e: FloatArray, w: FloatArray, covers: IntArray, weights: FloatArray) -> None:
        self.least_times, self.e, self.w, self.covers, self.weights = least, e, w, covers, weights
        self.types, self.order = np.arange(len(covers)), np.arange(least.shape[1])
        self.rows, self.priced = tuple(range(len(covers))), False
        self.shortest = float(least.min(axis=0).max()) * ROUNDING
        self.longest = float(np.max(least, where=np.isfinite(least), initial=0.0))

    def __len__(self) -> int:
        return int(self.least_times.shape[1])

    def costs_and_prices(self, T: float) -> tuple[FloatArray, FloatArray]:
        can = (self.least_times <= T) & np.isfinite(self.least_times)
        with np.errstate(all="ignore"):
            energy = np.where(self.w > 0.0, self.e + self.w / np.square(T), self.e)
            price = np.where(self.w > 0.0, 2.0 * self.w / np.power(T, 3.0), 0.0)
        return np.where(can, energy, np.inf), np.where(can, price, 0.0)

    def costs(self, T: float) -> FloatArray:
        return self.costs_and_prices(T)[0]

    def rows_of(self, assignment: IntArray) -> IntArray:
        return assignment

    def sums(self, assignment: IntArray) -> tuple[float, float, float]:
        """The least duration of a matching, and its e and w."""
        own = np.arange(len(self))
        least, e, w = (values[assignment, own] for values in (self.least_times, self.e, self.w))
        return float(least.max()), float(e.sum()), float(w.sum())

    def duration(self, assignment: IntArray, goal: Goal, value: float) -> tuple[float, float]:
        """Of a matching, and its energy: where e + w/T^2 is value or value T, or 2 w/T^3 is value; inf for none."""
        T, e, w = self.sums(assignment)
        match goal:
            case Goal.ENERGY:
                T = max(T, math.sqrt(w / (value - e))) if value > e else math.inf
            case Goal.POWER:
                real = np.roots([value, -e, 0.0, -w]) if value > 0.0 else np.array([math.inf])
                T = max(T, float(real[abs(real.imag) < 1e-9].real.max()))
            case Goal.DEADLINE:
                T = value if value >= T * ROUNDING else math.inf
            case Goal.PRICE:
                T = max(T, (2.0 * w / value) ** (1.0 / 3.0))
        return (T, e + (w / T**2 if w > 0.0 else 0.0)) if math.isfinite(T) else (math.inf, math.inf)

    def task(self, goal: Goal, value: float, **more: Any) -> Task:
        def find(rows: Any, goal: Goal, value: float, _: Any) -> Any:
            T, E = self.duration(rows, goal, value)
            point = SimpleNamespace(energy=np.array([E])) if math.isfinite(T) else None
            return SimpleNamespace(duration=T, point=point)

        menu: Any = self
        none = np.zeros((0, len(self.covers)), dtype=np.int64)
        return task_for(menu, none, goal, value, find_duration=find, default=False, **more)

    def matchings(self) -> Iterator[IntArray]:
        """All of them that make whole replicas, one at least."""
        for each in itertools.product(self.types.tolist(), repeat=len(self)):
            assignment = np.array(each)
            counts = np.bincount(assignment, minlength=len(self.covers))
            if not (counts % self.covers).any() and counts @ self.weights > 0.5:
                yield assignment


def drawn(seed: int, size: int = 5, idle: bool = False, covers: tuple[int, ...] = (1, 2, 2)) -> MadeUp:
    """Three types from large to small; in every third draw two clients cannot do some; idle: the last is no work."""
    rng = np.random.default_rng(seed)
    kinds = len(covers)
    scale = (1.0 / np.array(covers))[:, None]
    least, e = scale * rng.uniform(1.0, 2.0, (kinds, size)), scale * rng.uniform(0.1, 1.0, (kinds, size))
    w, weights = scale * rng.uniform(1.0, 20.0, (kinds, size)), 1.0 / np.array(covers)
    if seed % 3 == 1:
        least[0, :2] = np.inf
    if idle:
        least[-1], e[-1], w[-1], weights[-1] = 0.0, 0.0, 0.0, 0.0
        covers = (*covers[:-1], 1)
    return MadeUp(least, e, w, np.array(covers), weights)
