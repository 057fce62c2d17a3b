"""The best matching of very many listed partitions, level by level: all partitions of as many replicas at once.

With a good answer in hand (coarse.py) the partitions of one gain could win only at one duration, gain / best, or
before it. There a relaxation rules most levels out whole. In a level that stays, E* is a convex function of the
counts: each matching that is too dear gives a plane below it, and the next one is of the partition that all planes
so far leave cheapest, until none is within the budget.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from solvers.matching.best import Found, Matcher, OutOfTime, row_of, search_best
from solvers.matching.coarse import search_coarse
from solvers.matching.fixed import duration_of
from solvers.matching.lookers import AllMatchings
from solvers.matching.task import DURATION, ENERGY, Proof, Searched, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import Goal

MANY = 1 << 10  # partitions from which on this pays
_CLOSE = 1e-3  # gap of the first answer
_SAFE = 1e-12  # relative: sums of energies are this good, and more
_FEW = 50_000  # rows for which a bound takes little time


def search_levels(task: Task, matcher: Matcher) -> Searched:
    """The best matching of every partition that can win, proved; for energy and power budgets."""
    looker = AllMatchings(task)
    coarse = search_coarse(dataclasses.replace(_unlisted(task), until=task.until), looker)
    found = Found(task, matcher, empty_results(task.counts.shape[0]))
    _begin(found, coarse)
    stopped = False
    try:
        closest = _first(found, coarse) if found.best == 0.0 else -1
        if found.best == 0.0:
            return _explained(found, looker, closest)
        _close(found, looker)
    except OutOfTime:
        if found.best == 0.0:
            return search_best(task, matcher)
        stopped = True
    ceiling = max(_proved(task, coarse), found.best)
    return Searched(
        results=found.results,
        passes=looker.passes + found.matchings * len(task.menu.rows),
        matchings=looker.matchings + found.matchings,
        assign=lambda p: found.chosen[p],
        proof=Proof.MATCHINGS,
        lower=None if stopped else found.lower,
        ceiling=ceiling if stopped else found.left_open,
        stopped=stopped,
    )


def with_ceiling(task: Task, found: Searched) -> Searched:
    """A search that was stopped, with a bound of what it left open: by relaxation, or by the time rows need."""
    if not found.stopped or found.proof is Proof.MATCHINGS or task.gains is None:
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        best = float(np.nanmax(task.gains / found.results[:, DURATION], initial=0.0))
    if task.goal is Goal.DEADLINE:
        ceiling = float(task.gains.max()) / task.value if task.value > 0.0 else math.inf
    elif best == 0.0 or len(task.menu) > _FEW:
        start = max(task.menu.shortest, 1e-300)
        ceiling = AllMatchings(task).cap(start, max(float(task.gains.max()) / best, start) if best > 0.0 else math.inf)
    else:
        ceiling = _proved(task, search_coarse(_unlisted(task), AllMatchings(task)))
    return dataclasses.replace(found, proof=Proof.MATCHINGS, ceiling=max(ceiling, best))


def _proved(task: Task, coarse: Searched) -> float:
    """The gain / T that nothing is above, of a search over all partitions; its own best where it left no gap."""
    if coarse.ceiling is not None:
        return coarse.ceiling
    if coarse.counts is None or not np.isfinite(coarse.results[0, DURATION]):
        return 0.0
    with np.errstate(divide="ignore"):  # a round may take no time
        return float((coarse.counts[0] @ task.menu.weights) ** task.power / coarse.results[0, DURATION])


def _unlisted(task: Task) -> Task:
    """The task over all partitions, with a loose gap and no limit of time."""
    return dataclasses.replace(task.quiet().part(np.zeros(0, dtype=np.int64)), gap=_CLOSE, until=math.inf)


def _begin(found: Found, coarse: Searched) -> None:
    """Enter the first answers: of the search from coarse to fine, and an earlier one."""
    task = found.task
    known = None if task.incumbent is None else row_of(task, task.incumbent)
    if known is not None and task.incumbent is not None:
        found.take(known, task.incumbent, *duration_of(task, task.incumbent))
    if coarse.counts is not None and np.isfinite(coarse.results[0, DURATION]):
        same = np.flatnonzero((task.counts == coarse.counts[0]).all(axis=1))
        if same.size:
            T, energy = float(coarse.results[0, DURATION]), float(coarse.results[0, ENERGY])
            found.take(int(same[0]), coarse.assign(0), T, energy)


def _first(found: Found, coarse: Searched) -> int:
    """Enter the answer of a listed partition, of none where none has any; the one of least energy, however long.

    The nearest to the coarse answer first; where it has none, the one that the proofs so far leave cheapest.
    """
    task = found.task
    assert coarse.counts is not None
    rows = np.arange(len(task.counts))
    far = (np.abs(task.counts - coarse.counts[0]) / task.menu.covers).sum(axis=1)
    floor, least, closest = np.full(len(rows), -math.inf), math.inf, 0
    while rows.size:
        at = int(np.lexsort((far, floor))[0])
        p = int(rows[at])
        found.improve(p)
        if found.best > 0.0:
            break
        keep = np.arange(rows.size) != at
        for cut in found.cuts:  # one, of an endless round
            value = task.counts[rows] @ cut.prices
            if cut.rows:
                keep &= value >= cut.rows
                continue
            np.maximum(floor, cut.constant + value, out=floor)
            if floor[at] < least:
                least, closest = float(floor[at]), p
        found.cuts.clear()
        keep &= (floor < least * (1.0 - _SAFE)) | (floor <= task.value * (1.0 + _SAFE))
        rows, far, floor = rows[keep], far[keep], floor[keep]
    found.cuts.clear()
    return closest


def _explained(found: Found, looker: AllMatchings, closest: int) -> Searched:
    """No partition has an answer: the one that comes closest says why."""
    one = search_best(found.task.part(np.array([closest])), found.matcher)
    found.results[closest] = one.results[0]
    return dataclasses.replace(
        one,
        results=found.results,
        passes=one.passes + looker.passes + found.matchings * len(found.task.menu.rows),
        matchings=one.matchings + looker.matchings + found.matchings,
        assign=lambda p: one.assign(0),
        lower=None,
        crowds=dict.fromkeys([closest], one.crowds[0]) if one.crowds else {},
    )


def _close(found: Found, looker: AllMatchings) -> None:
    """Level after level, the nearest to the best one first, until every one is ruled out or solved."""
    task = found.task
    assert task.gains is not None
    order = np.argsort(-task.gains, kind="stable")
    gains = task.gains[order]
    first = np.flatnonzero(np.diff(gains, prepend=math.inf))
    last = np.append(first[1:], len(gains))
    done, here = 0, int(np.argmin(np.abs(gains[first] - task.gains[found.winner])))
    for start, step in ((here, 1), (here - 1, -1)):
        level = start
        while 0 <= level < len(first):
            rows = order[first[level] : last[level]]
            _level(found, looker, rows)
            done += int(last[level] - first[level])
            task.progress(done, len(order), found.best)
            level += step


def _level(found: Found, looker: AllMatchings, rows: IntArray) -> None:
    """Solve or rule out the partitions of one gain."""
    task = found.task
    assert task.gains is not None
    gain, counts = float(task.gains[rows[0]]), task.counts[rows]
    needed = gain / found.best
    if needed < task.menu.shortest:
        return
    if task.late:
        raise OutOfTime
    look = looker.look(needed)
    if look.fair is None or look.most(needed) < float((counts @ task.menu.weights).min()) - 1e-6:
        return
    far = (np.abs(counts - look.fair[1].counts) / task.menu.covers).sum(axis=1)
    floor = np.zeros(rows.size)
    while rows.size:
        p = int(np.argmin(floor if floor.any() else far))
        before = len(found.cuts)
        found.improve(int(rows[p]))
        keep = np.arange(rows.size) != p
        needed = gain / found.best
        allowed = (task.value * needed if task.goal is Goal.POWER else task.value) * (1.0 + 1e-9)
        for cut in found.cuts[before:]:
            if cut.duration >= needed:
                value = counts @ cut.prices
                if cut.rows:
                    keep &= value >= cut.rows
                else:
                    np.maximum(floor, cut.constant + value, out=floor)
        keep &= floor <= allowed
        rows, counts, far, floor = rows[keep], counts[keep], far[keep], floor[keep]
    found.cuts.clear()
