"""The least energy at a deadline where the partitions are too many to list, over all matchings or the sorted ones.

At a price of a replica the least of energy - price x replicas bounds every partition of a replica or more from below
(relaxed.py): the greatest such bound is where the replicas pass one. Whole replicas near what reaches it are matched,
and each matching's prices bound the energies of the others, until none of these can be cheaper.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.matching.coarse import impossible
from solvers.matching.fixed import duration_of
from solvers.matching.lookers import AllMatchings, Look, OrderedLook, SortedMatchings
from solvers.matching.relaxed import Least, mixture
from solvers.matching.task import RESULTS, Searched, Task
from solvers.matching.transport import Transport, transport
from solvers.matching.unlisted import neighbours
from solvers.matching.wholes import whole_counts
from solvers.menu import IntArray, fill
from solvers.rows import Stop

_ONE = 1.0 - 1e-9  # a replica, rounded
_MEETINGS = 60
_TRIES = 64  # partitions matched
_NEAR = 0.9  # of the energy: an answer whose bound is below that share of it is looked for elsewhere too
_ROUNDS = 50  # there
_QUICK = 20_000  # rows x types up to which that is done
_SAFE = 1e-12  # relative: sums of energies are this good, and more


def search_thrifty(task: Task, looker: AllMatchings | SortedMatchings) -> Searched:
    """The cheapest answer found and a bound of all others."""
    if task.value < task.menu.shortest:
        return impossible(task, looker, Stop.TOO_SHORT)
    look = looker.look(task.value)
    found = _one_replica(look)
    if found is None:
        return impossible(task, looker, Stop.TOO_SHORT)
    bound, below, above = found
    between = above.replicas - below.replicas
    counts = mixture(below, above, (_ONE - below.replicas) / between if between > 0.0 else 0.0)
    if isinstance(look, OrderedLook):
        near: tuple[IntArray, float] | None = _ordered(task, look, counts, above)
    else:
        near = _matched(task, looker, counts)
        near = near if near is None else _elsewhere(task, looker, near, bound)
    results = np.full((1, RESULTS), math.nan)
    if near is not None:
        results[0, :3] = task.value, near[1], Stop.OPTIMAL
        counts = np.bincount(near[0], minlength=len(counts))

    def assign(p: int) -> IntArray:
        assert near is not None
        return near[0]

    return Searched(
        results=results,
        passes=looker.passes,
        matchings=looker.matchings,
        assign=assign,
        proof=looker.proof,
        ceiling=-bound if near is None or bound < near[1] * (1.0 - _SAFE) else None,
        lower=np.array([task.value]),
        stopped=near is None,
        counts=counts[None, :],
    )


def _one_replica(look: Look) -> tuple[float, Least, Least] | None:
    """The least energy [J] of a replica or more is at least the first; the others come near it, from either side."""
    below, above = look.least(0.0, 0.0), look.least(look.dear, 0.0)
    if not below.energy < math.inf or not above.replicas >= _ONE:
        return None
    if below.replicas >= _ONE:
        return below.value, below, below
    bound = below.value
    for _ in range(_MEETINGS):
        price = (above.energy - below.energy) / (above.replicas - below.replicas)
        found: Least = look.least(price, 0.0)
        met = below.energy - price * below.replicas
        bound = max(bound, found.value + price)
        if found.value >= met - 1e-13 * abs(found.energy):
            break
        below, above = (below, found) if found.replicas >= _ONE else (found, above)
    return bound, below, above


def _ordered(task: Task, look: OrderedLook, counts: IntArray, above: Least) -> tuple[IntArray, float]:
    """The cheapest sorted matching of those above a replica and of partitions near some counts, and its energy."""
    menu = task.menu
    near = np.vstack([above.counts, whole_counts(counts, menu.covers, menu.weights, math.inf)])
    return _with_energy(task, fill(near[np.argmin(look.energies(near))], menu.types, menu.order))


def _matched(task: Task, looker: AllMatchings | SortedMatchings, counts: IntArray) -> tuple[IntArray, float] | None:
    """The cheapest matching of partitions near some counts, and its energy; None where none is feasible."""
    return _cheapest(task, looker, whole_counts(counts, task.menu.covers, task.menu.weights, math.inf), counts)


def _elsewhere(
    task: Task, looker: AllMatchings | SortedMatchings, best: tuple[IntArray, float], bound: float
) -> tuple[IntArray, float]:
    """An answer no dearer: where the bound is far below, of partitions one exchange of places away, while they help."""
    for _ in range(_ROUNDS if len(task.menu) * len(task.menu.rows) <= _QUICK else 0):
        if bound >= _NEAR * best[1] or task.late:
            break
        counts = np.bincount(best[0], minlength=len(task.menu.rows))
        near = neighbours(counts, task.menu.covers)
        found = _cheapest(task, looker, near[near @ task.menu.weights > 0.5], counts)
        if found is None or not found[1] < best[1] * (1.0 - _SAFE):
            break
        best = found
    return best


def _cheapest(
    task: Task, looker: AllMatchings | SortedMatchings, near: IntArray, counts: IntArray
) -> tuple[IntArray, float] | None:
    """The cheapest matching of some partitions, the nearest to some counts first; None where none is feasible."""
    menu = task.menu
    costs, prices = menu.costs(task.value), np.zeros(len(counts))
    far = (np.abs(near - counts) / menu.covers).sum(axis=1)
    floor, best, assignment = np.full(len(near), -math.inf), math.inf, None
    for _ in range(_TRIES):
        if not len(near) or (task.late and assignment is not None):
            break
        p = int(np.lexsort((far, floor))[0])
        looker.matchings += 1
        found = transport(costs, near[p], prices)
        if isinstance(found, Transport):
            prices = found.prices
            np.maximum(floor, found.dual + (near - near[p]) @ prices, out=floor)
            if found.cost < best:
                best, assignment = found.cost, found.assignment
            keep = floor < best * (1.0 - _SAFE)
        else:
            keep = near @ found.within >= found.rows
        keep[p] = False
        near, far, floor = near[keep], far[keep], floor[keep]
    return None if assignment is None else _with_energy(task, assignment)


def _with_energy(task: Task, assignment: IntArray) -> tuple[IntArray, float]:
    return assignment, duration_of(task, assignment)[1]
