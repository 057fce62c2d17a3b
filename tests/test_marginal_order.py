"""The marginal order of the loop over partitions: against the readable one, at durations that many cannot meet."""

from __future__ import annotations

import math

import numpy as np
from matchings import fleet
from tasks import menu_for, plain, task_for

import fedopt
from solvers.matching import ordered
from solvers.matching.ordered import search_ordered
from solvers.matching.plain import by_marginal
from solvers.matching.task import STOPPED
from solvers.rows import Goal, Stop

TYPES = (
    fedopt.SubModel("L", flops=3.4e7, upload_bits=1e5),
    fedopt.SubModel("M", flops=1.8e7, upload_bits=3e5),
    fedopt.SubModel("S", flops=4e6, upload_bits=9e5),
)


def test_who_cannot_do_the_largest_type_comes_last() -> None:
    """Also who can do neither that nor the smallest, as the order has them; whichever types are used."""
    neither, size = 0, 7
    for seed in range(4):
        menu, rng = menu_for(fleet(size, seed), TYPES), np.random.default_rng(seed)
        room = ordered.Room.of(size)
        work, columns, kind, kind_read, _, _, *scratch = room.arrays
        for T in np.quantile(menu.least_times, [0.3, 0.6]):
            lost = ~np.isfinite(menu.costs(float(T)))
            for counts in ([3, 2, 2], [4, 3, 0], [0, 3, 4]):
                taken, order = np.full(size, -1), rng.permutation(size)
                used = [k for k in range(3) if counts[k]]
                plain(ordered._by_marginal)(
                    menu.table, menu.kinds, menu.priced, np.array(counts), menu.types, float(T), order, taken,
                    work, columns, kind, kind_read, *scratch,
                )  # fmt: skip
                assert taken.tolist() == by_marginal(menu, np.array(counts), order, float(T)).tolist()
                neither += int((lost[used[0]] & lost[used[-1]]).sum() > 0)
    assert neither > 5


def test_nobody_gains_by_another_order_of_idling() -> None:
    """Nothing is less than no energy: one turn of the marginal order, of two passes and one at the deadline."""
    menu = menu_for(fleet(4, 1), (TYPES[0], fedopt.SubModel.idle()))
    found = search_ordered(task_for(menu, np.array([(0, 4)]), Goal.DEADLINE, 2.0), menu.order[None, :], marginal=True)
    assert found.results[0, :3].tolist() == [2.0, 0.0, Stop.OPTIMAL]
    assert found.passes == 1 + 2 + 1


def test_a_least_duration_that_no_power_reaches_is_too_short_a_deadline() -> None:
    menu = menu_for(fleet(2, 1).replace(power_max=math.inf), TYPES[:1])
    shortest, counts = float(menu.least_times.max()), np.array([(2,)])
    for T, stop in ((shortest, Stop.TOO_SHORT), (2.0 * shortest, Stop.OPTIMAL)):
        found = search_ordered(task_for(menu, counts, Goal.DEADLINE, T), menu.order[None, :], marginal=False)
        assert found.results[0, STOPPED] == stop
