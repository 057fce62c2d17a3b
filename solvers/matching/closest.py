"""What comes closest where the partitions are too many to list and none has an answer: one that needs little.

Every row where it needs the least, but for one replica of some type: whole replicas near these counts are matched.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.matching.hall import fits, least_feasible
from solvers.matching.transport import Transport, transport
from solvers.matching.wholes import whole_counts
from solvers.menu import IntArray, Menu, fill
from solvers.rows import FloatArray

_NEAR, _NEAR_SORTED = 4, 64  # partitions near each counts; sorted matchings cost next to nothing
_TRIES = 16  # partitions matched


def closest_of(menu: Menu, needs: FloatArray, *, together: bool, ordered: bool) -> IntArray | None:
    """An assignment (N,) of a replica or more whose needs have a small sum, or not together a small greatest one.

    needs : (K, N) of every row in every type. ordered: a sorted matching. None where no whole replicas are found.
    """
    near, rows = _near(menu, needs, _NEAR_SORTED if ordered else _NEAR), np.arange(len(menu))
    spoiled = ~np.isfinite(needs)
    capped = np.where(spoiled, 1.0 + 4.0 * float(np.sum(np.where(spoiled, 0.0, needs).max(axis=0))), needs)
    floor, least, best = np.full(len(near), -math.inf), math.inf, None
    for _ in range(len(near) if ordered else _TRIES):
        if not len(near):
            break
        p = int(np.argmin(floor))
        if ordered:
            assignment = fill(near[p], menu.types, menu.order)
        elif together:
            found = transport(capped, near[p])
            assert isinstance(found, Transport)
            assignment = found.assignment
            np.maximum(floor, found.dual + (near - near[p]) @ found.prices, out=floor)
        else:
            assignment = _soonest(needs, capped, near[p])
        own = (capped if together else needs)[assignment, rows]
        need = float(own.sum() if together else own.max())
        if best is None or need < least:
            least, best = need, assignment
        keep = floor < least
        keep[p] = False
        near, floor = near[keep], floor[keep]
    return best


def _soonest(least_times: FloatArray, capped: FloatArray, counts: IntArray) -> IntArray:
    """The matching of a partition whose greatest time is the least; where none is feasible, of the fewest rows late."""
    duration = least_feasible(least_times, counts).duration
    costs = np.where(fits(least_times, duration), 0.0, math.inf) if math.isfinite(duration) else capped
    found = transport(costs, counts)
    assert isinstance(found, Transport)
    return found.assignment


def _near(menu: Menu, needs: FloatArray, many: int) -> IntArray:
    """Partitions (Q, K) near the least needs of all rows, and near those with a replica of each type."""
    least = needs.min(axis=0)
    where = needs.argmin(axis=0)
    found = [_nearest(menu, where, many)]
    with np.errstate(invalid="ignore"):
        extra = np.nan_to_num(needs - least, nan=math.inf)
    for k in np.flatnonzero(menu.weights > 0.0).tolist():
        forced = where.copy()
        forced[np.argsort(extra[k], kind="stable")[: int(menu.covers[k])]] = k
        found.append(_nearest(menu, forced, many))
    near: IntArray = np.unique(np.vstack(found), axis=0)
    return near


def _nearest(menu: Menu, assignment: IntArray, many: int) -> IntArray:
    counts = np.bincount(assignment, minlength=len(menu.rows))
    near = whole_counts(counts, menu.covers, menu.weights, math.inf)
    far = (np.abs(near - counts) / menu.covers).sum(axis=1)
    return near[np.argsort(far, kind="stable")[:many]]
