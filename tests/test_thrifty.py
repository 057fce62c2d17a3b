"""The least energy where partitions are too many to list, on made-up clients: every matching, and a convex hull."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, drawn, everyone, partitions, task_of, unlisted
from scipy.optimize import linprog

from solvers.matching import thrifty
from solvers.matching.lookers import AllMatchings, SortedMatchings
from solvers.matching.relaxed import Least
from solvers.matching.task import DURATION, ENERGY, RESULTS, STOPPED, Task
from solvers.matching.transport import Impossible
from solvers.matching.unlisted import neighbours
from solvers.matching.wholes import whole_counts
from solvers.menu import IntArray, fill
from solvers.rows import Goal, Stop

IDLE = (1, 2, 0)


def deadline_of(menu: Made, longer: float, **more: Any) -> Task:
    """So many times the least duration at which everybody can do some work."""
    shortest = menu.least[menu.weights > 0.0].min(axis=0).max()
    return task_of(menu, Goal.DEADLINE, longer * shortest, gains=None, thrifty=True, **more)


def sorted_energies(task: Task) -> list[float]:
    """Of every partition's sorted matching [J]; inf where it is none."""
    menu: Any = task.menu
    costs = menu.costs(task.value)
    return [float(costs[fill(counts, menu.types, menu.order), menu.order].sum()) for counts in task.counts]


def relaxed(task: Task) -> float:
    """The least energy [J] of a replica or more if clients could do anything: the best of prices on a fine grid."""
    menu, costs = task.menu, task.menu.costs(task.value)
    prices = np.linspace(0.0, 9.0, 50)
    return max(float((costs - price * menu.weights[:, None]).min(axis=0).sum() + price) for price in prices)


@pytest.mark.parametrize("longer", [1.0, 1.1, 1.4, 3.0])
@pytest.mark.parametrize("covers", [(1, 2, 3), IDLE, (2, 0, 3)])
def test_the_cheapest_of_all_is_found_or_bounded(covers: tuple[int, ...], longer: float) -> None:
    """Of every matching, and of all sorted ones; where no bound is above the answer, it is the cheapest."""
    for seed in range(8):
        task = deadline_of(drawn(seed, covers=covers), longer)
        every = everyone(task)
        for looker, least in (
            (AllMatchings(unlisted(task)), float(every.E.min(initial=math.inf))),
            (SortedMatchings(unlisted(task), task.menu.order), min(sorted_energies(task))),
        ):
            found = thrifty.search_thrifty(unlisted(task), looker)
            assert found.counts is not None
            assert (found.passes, found.matchings) == (looker.passes, looker.matchings)
            if found.results[0, STOPPED] == Stop.TOO_SHORT:
                assert least == math.inf
                continue
            assert found.proof is looker.proof
            assert found.lower is not None
            assert found.lower.tolist() == [task.value]
            assert found.results.shape == (1, RESULTS)
            assert np.isnan(found.results[0, STOPPED + 1 :]).all()
            assert found.passes == 3
            assert found.ceiling is None or -found.ceiling >= relaxed(task) * (1.0 - 1e-9)
            if found.stopped:
                assert np.isnan(found.results).all()
                assert found.ceiling is not None
                assert -found.ceiling <= least * (1.0 + 1e-12)
                continue
            T, E = found.results[0, DURATION], found.results[0, ENERGY]
            assert (T, found.results[0, STOPPED]) == (task.value, Stop.OPTIMAL)
            chosen = found.assign(0)
            assert found.counts.tolist() == [np.bincount(chosen, minlength=3).tolist()]
            assert found.counts[0].tolist() in partitions(drawn(seed, covers=covers)).tolist()
            assert pytest.approx(task.menu.costs(task.value)[chosen, np.arange(6)].sum(), rel=1e-12) == E
            assert least * (1.0 - 1e-12) <= E
            if found.ceiling is None:
                assert pytest.approx(least, rel=1e-12) == E
            else:
                assert -found.ceiling <= least * (1.0 + 1e-12)
                assert -found.ceiling < E
            if isinstance(looker, AllMatchings):  # all partitions of six clients are near
                assert pytest.approx(least, rel=1e-12) == E
                assert 1 <= found.matchings <= len(task.counts)


@pytest.mark.parametrize("longer", [1.1, 1.4, 3.0])
def test_what_is_left_below_the_cheapest_is_told(longer: float) -> None:
    """The bound is the least energy of clients who may be split; it is left out only where it is the answer's."""
    left = 0
    for seed in range(8):
        task = deadline_of(drawn(seed, covers=(2, 3, 0)), longer)
        found = thrifty.search_thrifty(unlisted(task), AllMatchings(unlisted(task)))
        if found.stopped:
            continue
        costs, size = task.menu.costs(task.value).ravel(), len(task.menu)
        replicas = np.repeat(task.menu.weights, size)[None, :]
        split = linprog(
            np.where(costs < math.inf, costs, 0.0), -replicas, [-1.0],
            np.tile(np.eye(size), len(task.menu.weights)), np.ones(size), [(0, float(c < math.inf)) for c in costs],
        )  # fmt: skip
        if split.fun < found.results[0, ENERGY] * (1.0 - 1e-9):
            assert found.ceiling == pytest.approx(-split.fun, rel=1e-8)
            left += 1
    assert left > 0


class Line:
    """A look at nothing but what (replicas, energy) there are, and how often it was looked at."""

    dear = 1e3

    def __init__(self, points: list[tuple[float, float]]) -> None:
        self.points, self.looks = points, 0

    def least(self, price: float, away: float) -> Least:
        assert away == 0.0
        self.looks += 1
        value, i = min((energy - price * replicas, i) for i, (replicas, energy) in enumerate(self.points))
        replicas, energy = self.points[i]
        return Least(value=value, replicas=replicas, energy=energy, counts=np.array([i]))


def hull_at_one(points: list[tuple[float, float]]) -> float:
    """The least energy of a mixture of points that makes a replica or more."""
    best = min((energy for replicas, energy in points if replicas >= 1.0), default=math.inf)
    for (a, low), (b, high) in itertools.permutations(points, 2):
        if a < 1.0 < b:
            best = min(best, low + (high - low) * (1.0 - a) / (b - a))
    return best


def test_a_replica_takes_as_much_as_the_lower_hull_of_all_says() -> None:
    """And the counts are of a corner of it, the next one with a replica; in a few looks."""
    rng, looks, inside = np.random.default_rng(3), 0, 0
    for _ in range(60):
        replicas = rng.uniform(0.0, 3.0, 12)
        energy = (0.3 + replicas) ** 2 + rng.uniform(0.0, 1.0, 12)
        points = list(zip(replicas.tolist(), energy.tolist(), strict=True))
        line: Any = Line(points)
        found = thrifty._one_replica(line)
        if not (replicas >= 1.0).any():
            assert found is None
            continue
        assert found is not None
        bound, _, above = found
        assert bound == pytest.approx(hull_at_one(points), rel=1e-12)
        corner = points[int(above.counts[0])]
        assert corner[0] >= 1.0
        if points[int(energy.argmin())][0] < 1.0:
            inside += 1
            slope = (corner[1] - bound) / (corner[0] - 1.0)
            assert (energy - bound >= slope * (replicas - 1.0) - 1e-9).all()  # all lie above the line through both
        else:
            assert (bound, line.looks) == (energy.min(), 2)
        looks += line.looks
    assert inside > 20
    assert 0.98 * 312 <= looks <= 1.02 * 312  # as when this was written


@pytest.mark.parametrize(
    ("points", "bound"),
    [
        ([(2.0, math.inf)], None),
        ([(0.5, 1.0)], None),
        ([(1.0 - 1e-12, 1.0)], 1.0),
        ([(1.0 + 1e-12, 1.0)], 1.0),
        ([(0.0, 1.0), (1.0 - 1e-12, 2.0)], 2.0),
        ([(0.0, 1.0), (2.0, 2.0)], 1.5),
        ([(0.0, -3.0), (2.0, 5.0)], 1.0),
        ([(0.0, 0.0), (2.0, 0.0)], 0.0),
    ],
)
def test_one_replica_and_what_rounding_hides_of_it(points: list[tuple[float, float]], bound: float | None) -> None:
    line: Any = Line(points)
    found = thrifty._one_replica(line)
    if bound is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(bound, rel=1e-9)
    assert line.looks <= 3


def matched(task: Task, counts: IntArray) -> tuple[tuple[IntArray, float] | None, int]:
    """What is found near these counts, and how many matchings it took."""
    looker = AllMatchings(task)
    return thrifty._matched(task, looker, counts), looker.matchings


def test_near_counts_the_cheapest_of_all_is_matched_and_most_are_ruled_out() -> None:
    """The prices of a matching bound those of the other partitions, a crowd what fits: a part of all is looked at."""
    tried = near = 0
    for seed in range(12):
        task = deadline_of(drawn(seed, size=8, covers=(1, 2, 2)), 1.2)
        every, counts = everyone(task), np.array([2, 2, 4])
        close = whole_counts(counts, task.menu.covers, task.menu.weights, math.inf)
        allowed = [bool((close == task.counts[p]).all(axis=1).any()) for p in every.rows]
        least = float(every.E[allowed].min(initial=math.inf))
        found, matchings = matched(unlisted(task), counts)
        tried, near = tried + matchings, near + len(close)
        assert (found is None) == (least == math.inf)
        if found is not None:
            assert found[1] == pytest.approx(least, rel=1e-12)
            assert found[1] == pytest.approx(task.menu.costs(task.value)[found[0], np.arange(8)].sum(), rel=1e-12)
    assert near == 12 * 14
    assert 0.95 * 40 <= tried <= 1.05 * 40  # as when this was written


def test_the_nearest_is_matched_first_and_alone_where_the_time_is_up() -> None:
    """Where it has none, one after the other until one has."""
    menu = drawn(0, size=8, covers=(1, 2, 2))
    late = deadline_of(menu, 3.0, until=0.0)
    found, matchings = matched(unlisted(late), np.array([2, 2, 4]))
    assert found is not None
    assert (np.bincount(found[0]).tolist(), matchings) == ([2, 2, 4], 1)
    menu.least[0, :] = menu.least[1, :4] = 2.0 * late.value  # no large ones, and four at most of the next
    found, matchings = matched(unlisted(late), np.array([2, 4, 2]))
    assert found is not None
    assert np.bincount(found[0], minlength=3)[0] == 0
    assert matchings > 1
    menu.least[:, 0] = 2.0 * late.value
    assert matched(unlisted(late), np.array([2, 4, 2]))[0] is None


def test_the_nearest_are_those_of_fewest_replicas_exchanged() -> None:
    menu = drawn(0, size=8, covers=(1, 2, 4))
    late = deadline_of(menu, 9.0, until=0.0)
    for counts in itertools.product(range(9), repeat=3):
        if sum(counts) == 8:
            far = (np.abs(partitions(menu) - counts) / menu.covers).sum(axis=1)
            found, matchings = matched(unlisted(late), np.array(counts))
            assert found is not None
            near = np.bincount(found[0], minlength=3)
            assert (np.abs(near - counts) / menu.covers).sum() == far.min()
            assert matchings == 1


def test_partitions_that_cost_the_same_are_not_matched() -> None:
    """To rounding."""
    menu = drawn(0, size=8, covers=(1, 2, 2))
    menu.floor[:], menu.w[:] = menu.floor[0], menu.w[0]
    found, matchings = matched(unlisted(deadline_of(menu, 9.0)), np.array([2, 2, 4]))
    assert found is not None
    assert matchings == 1


def test_steps_and_matchings_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty looks where lines never meet, and 64 matchings where nothing is ruled out, of 125 partitions near."""

    class Never(Line):
        def least(self, price: float, away: float) -> Least:
            found = super().least(price, away)
            return found if self.looks < 3 else dataclasses.replace(found, value=-1e9)

    never: Any = Never([(0.0, 1.0), (2.0, 2.0)])
    assert thrifty._one_replica(never) is not None
    assert never.looks == 2 + 60
    nothing = Impossible(rows=0, places=0, within=np.zeros(4, dtype=np.bool_))
    monkeypatch.setattr(thrifty, "transport", lambda *_: nothing)
    task = deadline_of(drawn(0, size=40, covers=(1, 1, 1, 1)), 9.0, counts=np.zeros((0, 4), dtype=np.int64))
    assert matched(task, np.array([10, 10, 10, 10])) == (None, 64)


def test_no_more_are_matched_than_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thrifty, "_TRIES", 2)
    task = deadline_of(drawn(2, size=8, covers=(1, 2, 2)), 1.2)
    assert matched(unlisted(task), np.array([2, 2, 4]))[1] <= 2


def test_where_the_bound_is_far_below_partitions_an_exchange_away_are_tried() -> None:
    """From a bad one on until none that is one exchange away is cheaper, by every matching there is."""
    better = 0
    for seed in range(8):
        task = deadline_of(drawn(seed, size=8, covers=(1, 2, 2)), 2.0)
        every = everyone(task)
        least = {tuple(task.counts[p].tolist()): float(every.E[every.rows == p].min()) for p in np.unique(every.rows)}
        worst = np.array(max(least, key=lambda counts: (least[counts] < math.inf, least[counts])))
        looker = AllMatchings(unlisted(task))
        start = thrifty._cheapest(looker.task, looker, worst[None, :], worst)
        assert start is not None
        found, energy = thrifty._elsewhere(looker.task, looker, start, 0.0)
        around = neighbours(np.bincount(found, minlength=3), task.menu.covers).tolist()
        assert energy == pytest.approx(min(least.get(tuple(each), math.inf) for each in around), rel=1e-12)
        better += energy < 0.99 * start[1]
    assert better > 4


def test_partitions_an_exchange_away_are_not_tried_of_many_rows_near_the_bound_or_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = unlisted(deadline_of(drawn(0, size=8, covers=(1, 2, 2)), 3.0))
    best = np.array([0, 0, 1, 1, 2, 2, 2, 2]), 1e3
    for limit, bound, until, tried in (
        (24, 0.0, math.inf, True),
        (23, 0.0, math.inf, False),
        (24, 0.9e3, math.inf, False),
        (24, 0.0, 0.0, False),
    ):
        monkeypatch.setattr(thrifty, "_QUICK", limit)
        looker = AllMatchings(dataclasses.replace(task, until=until))
        found = thrifty._elsewhere(looker.task, looker, best, bound)
        assert (looker.matchings > 0) is (found is not best) is tried


def test_a_deadline_before_the_shortest_round_is_too_short() -> None:
    """At the shortest itself, rounded, there is an answer; and none where nobody can make a replica."""
    menu = drawn(0, covers=IDLE)
    menu.least[:] = 5.0
    for value, stop in ((menu.shortest, Stop.OPTIMAL), (5.0 * (1.0 - 1e-9), Stop.TOO_SHORT)):
        task = dataclasses.replace(unlisted(deadline_of(menu, 1.0)), value=value)
        found = thrifty.search_thrifty(task, AllMatchings(task))
        assert found.results[0, STOPPED] == stop
    menu.least[2, :] = 0.0  # idle ones
    task = dataclasses.replace(task, value=4.0)
    assert thrifty.search_thrifty(task, AllMatchings(task)).results[0, STOPPED] == Stop.TOO_SHORT
