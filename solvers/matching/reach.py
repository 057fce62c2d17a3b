"""Where rows share a channel and none of the matchings tried meets the goal: is there one that does, and which is next?

What an energy budget asks first is the matching of least energy: the best at a deadline beyond which more time saves
nothing (``_ENDLESS``). What a deadline asks is the quickest. Where that meets the goal the search begins from there.
Else it is what comes closest, and no round meets the goal where even what no matching goes below is beyond it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.limits import limits
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Searched, Task
from solvers.menu import IntArray
from solvers.rows import Goal, Stop

_ENDLESS = 1e12  # times the longest duration that matters
_MORE = 1e-5  # relative: what more time than that saves is less
_SOONER = 1e-12  # relative: matchings quicker by less are one

_MISSES = {Goal.ENERGY: Stop.TOO_LITTLE, Goal.DEADLINE: Stop.TOO_SHORT}

Quicker = Callable[[int, float], IntArray | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closest:
    """The matching of partition p that comes closest, and what none of any partition needs less than, [J] or [s]."""

    p: int
    assignment: IntArray
    least: float


def search_within(task: Task, search: Callable[[Task], Searched], quicker_of: Callable[[Task], Quicker]) -> Searched:
    """What ``search``, of some matchings under an access scheme, finds; if that is none, once more from the closest.

    quicker_of(task)(p, T): a matching of partition p that takes less than T, None for none. ``lower`` is infinite
    everywhere where it is proved that no matching meets the goal.
    """
    found, misses = search(task), _MISSES.get(task.goal)
    missed = misses is not None and (found.results[:, STOPPED] == misses).any()
    if found.stopped or not missed or np.isfinite(found.results[:, DURATION]).any():
        return found
    closest, passes = _quickest(task, quicker_of(task)) if task.goal is Goal.DEADLINE else _thriftiest(task, search)
    found = dataclasses.replace(found, passes=found.passes + passes, stopped=task.late)
    if closest is None or task.late:
        return found
    assert task.limits is not None
    p, known = closest.p, task.limits(task.menu.rows_of(closest.assignment))
    if (known.e_inf if task.goal is Goal.ENERGY else known.t_min) <= task.value:
        again = search(dataclasses.replace(task, incumbent=closest.assignment))
        return dataclasses.replace(again, passes=again.passes + found.passes)
    results, assign = found.results.copy(), found.assign
    results[p, [LEAST_TIME, LEAST_ENERGY, STOPPED]] = known.t_min, known.e_inf, misses
    never = closest.least * (1.0 - _MORE) > task.value
    return dataclasses.replace(
        found,
        results=results,
        assign=lambda row: closest.assignment if row == p else assign(row),
        lower=np.full(len(results), math.inf) if never else None,
    )


def _thriftiest(task: Task, search: Callable[[Task], Searched]) -> tuple[Closest | None, int]:
    """Of least energy, given time without end, by a search of its own; and its passes."""
    known = [limits(rows) for rows in task.menu.rows]
    times = np.concatenate([np.ravel(each) for of in known for each in (of.least_time, of.free_time)])
    endless = _ENDLESS * len(task.menu) * float(times.max(initial=0.0, where=np.isfinite(times)))
    asked = dataclasses.replace(task.quiet(), goal=Goal.DEADLINE, value=endless, gains=None, thrifty=True)
    found = search(asked)
    if not np.isfinite(found.results[:, ENERGY]).any():
        return None, found.passes
    p = int(np.nanargmin(found.results[:, ENERGY]))
    assert found.ceiling is not None
    return Closest(p=p, assignment=found.assign(p), least=-found.ceiling), found.passes


def _quickest(task: Task, quicker: Quicker) -> tuple[Closest | None, int]:
    """Of least duration: from one matching to a quicker one, until there is none in any partition."""
    assert task.limits is not None
    best, least = None, math.inf
    for p in range(len(task.counts)):
        while not task.late:
            assignment = quicker(p, least * (1.0 - _SOONER))
            if assignment is None:
                break
            T = task.limits(task.menu.rows_of(assignment)).t_min
            if least * (1.0 - _SOONER) <= T:
                break
            best, least = (p, assignment), T
    return (None if best is None else Closest(p=best[0], assignment=best[1], least=least)), 0
