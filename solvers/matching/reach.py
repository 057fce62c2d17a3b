"""Where rows share a channel and none of the matchings tried meets the goal: is there one that does, and which is next?

What an energy budget asks first is the matching of least energy in a round without end; what a deadline asks is the
quickest. Where that meets the goal the search begins from there. Else it is what comes closest, and no round meets the
goal where even what no matching goes below is beyond it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.blocks import FIXED, T_FREE, T_LOW, TAU_FREE, A
from solvers.duration.verdicts import raised
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, SCREENED, STOPPED, Searched, Task
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray
from solvers.plan import make_plan
from solvers.rows import Goal, Rows, Stop

_ENDLESS = 1e18  # times the longest duration that matters: who may send for ever saves some 1e-9 by more
_MORE = 1e-5  # relative: what more time than that saves of who sends on a share of a band is less
_OFTEN = 10.0  # times as much as alone on the whole channel more time saves of who shares it at most, beyond that
_SOONER = 1e-12  # relative: matchings quicker by less are one
_EQUAL = 1e-12  # relative: sums of energies this close are one

_MISSES = {Goal.ENERGY: Stop.TOO_LITTLE, Goal.DEADLINE: Stop.TOO_SHORT}

Quicker = Callable[[int, float], IntArray | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closest:
    """The matching of partition p that comes closest, and what none of any partition goes below, proved: [J] or [s]."""

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
    if task.goal is Goal.DEADLINE:
        closest, passes = _quickest(task, quicker_of(task)), 0
    else:
        closest, passes = _thriftiest(task, search)
    found = dataclasses.replace(found, passes=found.passes + passes, stopped=task.late)
    if closest is None or task.late:
        return found
    assert task.limits is not None
    p, known = closest.p, task.limits(task.menu.rows_of(closest.assignment))
    stop, never = misses, closest.least > task.value
    given = raised(task.goal, task.value, known.e_inf, known.t_flat)
    within = (known.e_inf if task.goal is Goal.ENERGY else known.t_min) <= given
    if within or not (never or (found.results[:, STOPPED] != SCREENED).all()):
        again = search(dataclasses.replace(task, incumbent=closest.assignment))
        again = dataclasses.replace(again, passes=again.passes + found.passes)
        if again.stopped or np.isfinite(again.results[:, DURATION]).any():
            return again
        rows = task.menu.rows_of(closest.assignment)
        found, stop = again, task.find_duration(rows, task.goal, task.value, task.allocate).stop
    results, assign = found.results.copy(), found.assign
    results[p, [LEAST_TIME, LEAST_ENERGY, STOPPED]] = known.t_min, known.e_inf, stop
    return dataclasses.replace(
        found,
        results=results,
        assign=lambda row: closest.assignment if row == p else assign(row),
        lower=np.full(len(results), math.inf) if never else None,
    )


def _thriftiest(task: Task, search: Callable[[Task], Searched]) -> tuple[Closest | None, int]:
    """Of least energy, given time without end; and the passes that takes.

    No row takes less than alone on the whole channel. Where some matching of these least energies takes no more, as
    always in turns, it is the one. Else, as where circuits draw power for as long as who shares a band sends, it is
    looked for by a search of its own, at a deadline so late that more time saves next to nothing.
    """
    assert task.limits is not None
    alone, least, assignment, p = task.menu.costs(math.inf), math.inf, None, -1
    for each, counts in enumerate(task.counts):
        found = transport(alone, counts)
        if isinstance(found, Transport) and found.dual < least:
            least, assignment, p = found.dual, found.assignment, each
        if task.late:
            return None, 0
    if assignment is None:
        return None, 0
    if task.limits(task.menu.rows_of(assignment)).e_inf <= least * (1.0 + _EQUAL):
        return Closest(p=p, assignment=assignment, least=least * (1.0 - _EQUAL)), 0
    endless = _ENDLESS * len(task.menu) * max(map(_longest, task.menu.rows))
    best = search(dataclasses.replace(task.quiet(), goal=Goal.DEADLINE, value=endless, gains=None, thrifty=True))
    if not np.isfinite(best.results[:, ENERGY]).any():
        return Closest(p=p, assignment=assignment, least=least * (1.0 - _EQUAL)), best.passes
    p = int(np.nanargmin(best.results[:, ENERGY]))
    assert best.ceiling is not None
    with np.errstate(invalid="ignore"):
        saves = np.nan_to_num(task.menu.costs(endless) - alone).max(axis=0).sum()  # beyond, alone
    proved = -best.ceiling * (1.0 - _MORE) - _OFTEN * float(saves)
    return Closest(p=p, assignment=best.assign(p), least=max(least * (1.0 - _EQUAL), proved)), best.passes


def _longest(rows: Rows) -> float:
    """The longest duration [s] that matters to a row: who may take for ever computes at full speed, or sends a nat per
    second and hertz."""
    c = make_plan(rows).columns
    computing = np.where(np.isfinite(c[T_FREE]), c[T_FREE], c[T_LOW])
    with np.errstate(over="ignore"):
        times = c[FIXED] + computing + np.where(np.isfinite(c[TAU_FREE]), c[TAU_FREE], c[A])
    return float(times.max(initial=0.0, where=np.isfinite(times)))


def _quickest(task: Task, quicker: Quicker) -> Closest | None:
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
    return None if best is None else Closest(p=best[0], assignment=best[1], least=least * (1.0 - _MORE))
