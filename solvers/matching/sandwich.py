"""Level 1 in one order: all partitions between bounds, and only those solved whose bounds overlap the best.

Sums over the rows in order (prefix.py) bound every partition's duration and energy in O(K). The utility never rises
with either, so bounds of it follow, and a partition is left out where its best is below what another surely reaches.
More durations where the rest lie make the bounds closer; the rest is solved, the most promising first, until the next
one's upper bound is below the best. For gain / T and -E; a utility that may do anything is solved one by one.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from solvers.firstcalls import much_to_do
from solvers.matching.between import (
    BOUNDS,
    E_FIRST,
    E_HIGH,
    E_LEAST,
    E_LOW,
    T_HIGH,
    T_LEAST,
    T_LOW,
    bound_partitions,
)
from solvers.matching.ordered import search_ordered
from solvers.matching.plain import search_plain
from solvers.matching.prefix import Prefixes, prefixes
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Proof,
    Searched,
    Task,
    empty_results,
)
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

_MANY = 100  # partitions from which on bounds pay
_VERY_MANY = 1 << 14  # partitions from which on a first search of some of them pays
_DURATIONS = 24
_ENOUGH = 24  # partitions so few that they are solved rather than bounded once more
_ROUNDS = 4
_ROOM = 1 << 25  # numbers in the sums, a quarter of a gigabyte


def search_sandwich(task: Task, order: IntArray) -> Searched:
    """The best partition where every one is matched in ``order`` (N,), proved among these."""
    size, types = len(task.menu), len(task.menu.rows)
    run = search_ordered if task.compiled else search_plain
    known = task.limits is None and (task.gains is not None or task.thrifty)
    some = Proof.SORTED if known else Proof.NONE
    bounded = some is Proof.SORTED and task.compiled and task.counts.shape[0] >= _MANY
    if bounded and _DURATIONS * types * size <= _ROOM:
        found = _between_bounds(task, order)
        if found is not None:
            return found
    found = run(task, order[None, :], marginal=False)
    return found if found.stopped else dataclasses.replace(found, proof=some)


def _between_bounds(task: Task, order: IntArray) -> Searched | None:
    """The search by bounds; None where no duration is worth a look."""
    much_to_do()
    everything = np.arange(task.counts.shape[0])
    sample, first = _sample(task, order)
    durations = _first_durations(task, sample, first.results)
    if durations is None:
        return None
    sums = prefixes(task.menu, order, durations)
    best = _best(task, sample, first.results)[0] if task.gains is not None else 0.0
    bounds = _bounds(task, sums, everything, best)
    known = bounds.copy()
    left, passes = _overlapping(task, bounds, everything, best), _DURATIONS
    for _ in range(_ROUNDS):
        if left.size <= _ENOUGH or task.goal is Goal.DEADLINE or task.late:
            break
        low, high = known[left, T_LOW].min(), known[left, T_HIGH]
        high = float(np.max(high, where=np.isfinite(high), initial=low))
        if not high > low * (1.0 + 1e-9) or low == 0.0:  # a round of no time: no grid begins there
            break
        sums = sums.at(task.menu, order, np.geomspace(low, high, _DURATIONS))
        passes += _DURATIONS
        known[left] = _closer(known[left], _bounds(task, sums, left, best))
        before = left.size
        left = _overlapping(task, known[left], left, best)
        if left.size > 0.7 * before:
            break
    found = _solve(task, order, known, left)
    _explain(task, bounds, found.results)
    more = first.passes + passes * len(task.menu.rows)
    return dataclasses.replace(found, passes=found.passes + more)


def _sample(task: Task, order: IntArray) -> tuple[IntArray, Searched]:
    """Some of the partitions and their results: of very many the best of every 64th, found like the best of all."""
    total = task.counts.shape[0]
    if total > _VERY_MANY and task.gains is not None:
        sample = np.arange(0, total, 64)
        found = _between_bounds(task.part(sample).quiet(), order)
        if found is not None and np.isfinite(found.results[:, DURATION]).any():
            return sample, found
    sample = np.unique(np.linspace(0, total - 1, 9).astype(np.int64))
    some = dataclasses.replace(task.part(sample).quiet(), gains=None)
    return sample, search_ordered(some, order[None, :], marginal=False)


def _first_durations(task: Task, sample: IntArray, results: FloatArray) -> FloatArray | None:
    """Where to bound first: the durations at which a partition would have to be met to beat the best of a sample."""
    shortest, longest = task.menu.shortest, task.menu.longest
    if task.goal is Goal.DEADLINE:
        return np.array([task.value]) if task.value > 0.0 else None
    if not math.isfinite(shortest):
        return np.array([1.0])
    T = results[:, DURATION]
    if not np.isfinite(T).any():
        low, high = shortest, 64.0 * longest
    elif task.gains is None:
        low, high = 0.5 * float(np.nanmin(T)), 2.0 * float(np.nanmax(T))
    else:
        with np.errstate(divide="ignore"):
            best = float(np.nanmax(task.gains[sample] / T))
        low, high = float(task.gains.min()) / best, float(task.gains.max()) / best
    low = max(low, shortest, 1e-12 * high)
    return np.geomspace(low, max(high, 1.5 * low), _DURATIONS) if low > 0.0 and math.isfinite(high) else None


def _bounds(task: Task, sums: Prefixes, rows: IntArray, best: float) -> FloatArray:
    """Bounds (P, 7) of some partitions; ``best``: a gain / T that is reached, 0 where none is known."""
    bounds = np.empty((rows.size, BOUNDS))
    needed = np.zeros(0)
    if task.gains is not None and 0.0 < best < math.inf and task.goal in (Goal.ENERGY, Goal.POWER):
        needed = task.gains[rows] / best
    bound_partitions(
        sums.durations, sums.energy, sums.price, sums.misses, sums.least, sums.floor,
        task.counts[rows], task.menu.types, int(task.goal), task.value, needed, bounds,
    )  # fmt: skip
    return bounds


def _closer(one: FloatArray, other: FloatArray) -> FloatArray:
    """The closer of two bounds of the same."""
    both = np.maximum(one, other)
    for column in (T_HIGH, E_HIGH):
        both[:, column] = np.minimum(one[:, column], other[:, column])
    for of, against in ((one, other), (other, one)):  # the energy at the lower duration is of that duration
        later = of[:, T_LOW] > against[:, T_LOW]
        both[later, E_FIRST] = of[later, E_FIRST]
    both[:, T_LOW] = np.minimum(both[:, T_LOW], both[:, T_HIGH])
    return both


def _utilities(task: Task, bounds: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds of the utilities of partitions, -inf where there is no answer."""
    if task.gains is None:
        low, high = -bounds[:, E_HIGH], -bounds[:, E_LOW]
    else:
        with np.errstate(divide="ignore"):
            low, high = task.gains[rows] / bounds[:, T_HIGH], task.gains[rows] / bounds[:, T_LOW]
    return low, np.where(np.isfinite(bounds[:, T_LOW]), high, -np.inf)


def _overlapping(task: Task, bounds: FloatArray, rows: IntArray, known: float) -> IntArray:
    """The partitions whose utility may be the best; of equal utilities those whose energy may be the least."""
    low, high = _utilities(task, bounds, rows)
    best = low.max(initial=known if task.gains is not None else -np.inf)
    energy = float(np.min(bounds[:, E_HIGH], where=low == best, initial=np.inf))
    may = (high > best) | ((high == best) & (bounds[:, E_FIRST] <= energy))
    kept: IntArray = rows[may & (high > -np.inf)]
    return kept


def _solve(task: Task, order: IntArray, bounds: FloatArray, left: IntArray) -> Searched:
    """Solve partitions, those of greatest upper bound first, until no bound is above the best."""
    total = task.counts.shape[0]
    high = _utilities(task, bounds[left], left)[1]
    first = np.lexsort((bounds[left, E_FIRST], -high))
    left, high, tie = left[first], high[first], bounds[left[first], E_FIRST]

    def settled(p: int, results: FloatArray) -> bool:
        """Whether the best of the first p is above all bounds of the others."""
        best, energy = _best(task, left[:p], results[:p])
        return bool(high[p] < best or (high[p] == best and tie[p] > energy))

    def progress(done: int, _: int, best: float) -> None:
        task.progress(total - left.size + done, total, best)

    if not left.size:
        return Searched(
            results=empty_results(total), passes=0, assign=lambda p: _alone(task, order, p), proof=Proof.SORTED
        )
    found = search_ordered(
        dataclasses.replace(task.part(left), progress=progress), order[None, :], marginal=False, settled=settled
    )
    results = empty_results(total)
    results[left] = found.results
    where = {int(p): i for i, p in enumerate(left.tolist())}
    ceiling = None
    if found.stopped:
        ceiling = float(high[np.isnan(found.results[:, LEAST_TIME])].max())
    return dataclasses.replace(
        found,
        results=results,
        assign=lambda p: found.assign(where[p]) if p in where else _alone(task, order, p),
        proof=Proof.SORTED,
        ceiling=ceiling,
    )


def _best(task: Task, rows: IntArray, results: FloatArray) -> tuple[float, float]:
    """The best utility of some results and the least energy it is reached with."""
    solved = np.isfinite(results[:, DURATION])
    if not solved.any():
        return -math.inf, math.inf
    energy = results[solved, ENERGY]
    if task.gains is None:
        return -float(energy.min()), math.inf
    with np.errstate(divide="ignore"):
        rates = task.gains[rows[solved]] / results[solved, DURATION]
    return float(rates.max()), float(energy[rates == rates.max()].min())


def _alone(task: Task, order: IntArray, p: int) -> IntArray:
    """The assignment of a partition that was not solved."""
    return search_ordered(task.part(np.array([p])).quiet(), order[None, :], marginal=False).assign(0)


def _explain(task: Task, bounds: FloatArray, results: FloatArray) -> None:
    """Enter why partitions have no answer, and what they would need at the least."""
    none = np.isinf(bounds[:, T_LOW])
    why = Stop.TOO_SHORT if task.goal is Goal.DEADLINE else Stop.TOO_LITTLE
    unreachable = np.isinf(bounds[none, T_LEAST])
    results[none, STOPPED] = np.where(unreachable, Stop.UNREACHABLE, why)
    results[none, LEAST_TIME] = bounds[none, T_LEAST]
    results[none, LEAST_ENERGY] = np.where(unreachable, math.inf, bounds[none, E_LEAST])
