"""Where rows share a channel and none of the matchings tried meets the goal: is there one that does, and which is next?

What an energy budget asks first is the matching of least energy: the best at a deadline beyond which more time saves
nothing (``_ENDLESS``). What a deadline asks is the quickest: the best of a budget without end. Where that meets the
goal the search begins from there. Else it is what comes closest, and no round meets the goal where even what no
matching goes below is beyond it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from solvers.limits import limits
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Searched, Task
from solvers.rows import Goal, Stop

_ENDLESS = 1e12  # times the longest duration that matters
_MORE = 1e-5  # relative: what more time than that saves is less

_MISSES = {Goal.ENERGY: Stop.TOO_LITTLE, Goal.DEADLINE: Stop.TOO_SHORT}


def search_within(task: Task, search: Callable[[Task], Searched]) -> Searched:
    """What ``search``, of some matchings under an access scheme, finds; should it find none, beginning with the best.

    ``lower`` is infinite everywhere where that proves that there is none.
    """
    found = search(task)
    missed = found.results[:, STOPPED] == _MISSES.get(task.goal, Stop.LIMIT)
    if found.stopped or not missed.any() or np.isfinite(found.results[:, DURATION]).any():
        return found
    closest = search(_most(task))
    column = ENERGY if task.goal is Goal.ENERGY else DURATION
    found = dataclasses.replace(found, passes=found.passes + closest.passes, stopped=closest.stopped)
    if closest.stopped or not np.isfinite(closest.results[:, column]).any():
        return found
    p = int(np.nanargmin(closest.results[:, column]))
    assignment = closest.assign(p)
    assert task.limits is not None
    assert closest.ceiling is not None
    known = task.limits(task.menu.rows_of(assignment))
    needs = known.e_inf if task.goal is Goal.ENERGY else known.t_min
    if needs <= task.value:
        again = search(dataclasses.replace(task, incumbent=assignment))
        return dataclasses.replace(again, passes=again.passes + found.passes)
    results, assign = found.results.copy(), found.assign
    results[p, [LEAST_TIME, LEAST_ENERGY, STOPPED]] = known.t_min, known.e_inf, _MISSES[task.goal]
    least = -closest.ceiling * (1.0 - _MORE) if task.goal is Goal.ENERGY else 1.0 / closest.ceiling
    return dataclasses.replace(
        found,
        results=results,
        assign=lambda row: assignment if row == p else assign(row),
        lower=np.full(len(results), math.inf) if least > task.value else None,
    )


def _most(task: Task) -> Task:
    """The same with as much time, or energy, as can be of use."""
    if task.goal is Goal.DEADLINE:
        return dataclasses.replace(task.quiet(), goal=Goal.ENERGY, value=math.inf, gains=np.ones(len(task.counts)))
    known = [limits(rows) for rows in task.menu.rows]
    times = np.concatenate([np.ravel(each) for of in known for each in (of.least_time, of.free_time)])
    endless = _ENDLESS * len(task.menu) * float(times.max(initial=0.0, where=np.isfinite(times)))
    return dataclasses.replace(task.quiet(), goal=Goal.DEADLINE, value=endless, gains=None, thrifty=True)
