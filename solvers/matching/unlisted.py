"""A price of time where the partitions are too many to list: what a search from coarse to fine found, made an answer.

That search (coarse.py) bounds every matching of every partition, but a partition's answer is its cheapest matching, of
which nothing bounds the duration from below. So the partitions it found are matched anew, and where that is quick,
those one exchange of places away, until none is better.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from solvers.matching.cheapest import Solver, search_cheapest
from solvers.matching.task import DURATION, Searched, Task
from solvers.menu import IntArray
from solvers.rows import FloatArray

_QUICK = 20_000  # rows x types up to which neighbours are tried
_ROUNDS = 50


def at_its_cheapest(task: Task, found: Searched, matcher: Solver) -> Searched:
    """The best answer near what was found, and the same bound."""
    counts = found.counts
    if found.stopped or counts is None or not np.isfinite(found.results[:, DURATION]).any():
        return found
    ceiling = float(np.nanmax(_rates(task, counts, found))) if found.ceiling is None else found.ceiling
    answer, best, passes, stopped = found, -math.inf, found.passes, False
    for _ in range(_ROUNDS):
        part = replace(task, counts=counts, gains=_gains(task, counts), progress=lambda done, total, best: None)
        cheapest = search_cheapest(part, matcher)
        passes += cheapest.passes
        stopped = cheapest.stopped
        if stopped:
            break
        rates = _rates(task, counts, cheapest)
        first = int(np.argmax(np.nan_to_num(rates)))
        if not rates[first] > best:
            break
        answer, best = replace(cheapest, counts=counts, matchings=found.matchings), float(rates[first])
        if len(task.menu) * counts.shape[1] > _QUICK or best >= ceiling:
            break
        counts = neighbours(counts[first], task.menu.covers)
        counts = counts[_gains(task, counts) > 0.0]
    ceiling = max(ceiling, best)
    return replace(
        answer, proof=found.proof, ceiling=ceiling if ceiling > best else None, passes=passes, stopped=stopped
    )


def _gains(task: Task, counts: IntArray) -> FloatArray:
    """R^beta of partitions (P, K); 0 without a replica."""
    replicas = counts @ task.menu.weights
    gains: FloatArray = np.where(replicas > 0.5, replicas**task.power, 0.0)
    return gains


def _rates(task: Task, counts: IntArray, found: Searched) -> FloatArray:
    """R^beta / T of partitions (P, K); NaN without an answer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates: FloatArray = _gains(task, counts) / found.results[:, DURATION]
    return rates


def neighbours(counts: IntArray, covers: IntArray) -> IntArray:
    """A partition (K,) and those in which two types exchange as few places as keep replicas whole, or four times so."""
    near = [counts]
    for k, l in itertools.permutations(range(len(counts)), 2):
        for times in (1, 4):
            moved = counts.copy()
            step = times * int(np.lcm(covers[k], covers[l]))
            moved[k], moved[l] = moved[k] - step, moved[l] + step
            if moved[k] >= 0:
                near.append(moved)
    return np.array(near)
