"""Tasks of level 1 for its tests, without the door; and parts of kernels as plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import fedopt
from fedopt.candidates import menu_of
from solvers import firstcalls
from solvers.allocation import kernel
from solvers.duration import newton
from solvers.matching.task import Task
from solvers.menu import IntArray, Menu
from solvers.rows import Goal


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


def task_asked(problem: fedopt.Problem, search: str, **options: Any) -> Task:
    """What solve() asks of this search, such as solvers.matching.priced.search."""
    asked = list[Task]()

    def keep(task: Task, *_: Any) -> None:
        asked.append(task)
        raise StopIteration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, keep)
        with pytest.raises(StopIteration):
            fedopt.solve(problem, **options)
    return asked[0]
