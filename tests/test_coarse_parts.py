"""The search from coarse to fine by its parts: bounds of a stretch, what is kept, and why there is nothing."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import drawn, partitions, unlisted_of

from solvers.matching import coarse
from solvers.matching.coarse import search_coarse
from solvers.matching.lookers import AllMatchings, SortedMatchings
from solvers.matching.task import LEAST_ENERGY, LEAST_TIME, STOPPED, Proof
from solvers.menu import fill
from solvers.rows import Goal, Stop

COVERS, IDLE = (1, 2, 2), (1, 2, 0)


class Told:
    """A looker that knows what it is told: the bounds at both ends of any stretch, what time allows, a proposal, how
    many whole replicas there can be."""

    proof, passes, matchings, in_whole = Proof.MATCHINGS, 0, 0, math.inf

    def __init__(self, early: float = 5.0, late: float = 5.0, limit: float = math.inf) -> None:
        self.early, self.late, self.limit, self.proposal, self.thriftier = early, late, limit, None, None
        self.looks, self.spared = list[float](), list[float]()

    def cap(self, start: float, end: float) -> float:
        return self.limit

    def least_energy(self) -> float:
        return 1.0

    def look(self, duration: float, spare: float = 0.0) -> Any:
        self.looks += [duration] * (spare == 0.0)
        self.spared += [spare] * (spare > 0.0)
        return SimpleNamespace(
            duration=duration,
            most=lambda earlier: self.late if earlier == duration else self.early,
            propose=lambda: self.proposal if spare == 0.0 else self.thriftier,
            in_whole=self.in_whole,
        )


def stretches(looker: Any, goal: Goal = Goal.ENERGY, **task: Any) -> Any:
    return coarse._Stretches(unlisted_of(drawn(0, 5, (1, 1, 1)), goal, 100.0, **task), looker)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("limit", [math.inf, 1.0])
def test_between_two_durations_the_replicas_lie_below_the_line(power: float, limit: float) -> None:
    """Against the greatest of a fine grid of durations, and whole replicas at the first of them."""
    start, end = 2.0, 5.0
    grid = np.linspace(start, end, 20001)
    for early, late in itertools.product((-math.inf, 0.4, 1.0, 1.7, 4.0, 9.2), repeat=2):
        run = stretches(Told(early, late, limit), power=power)
        bound, most = run._bound(start, end), max(early, late)
        if most < 1.0:
            assert bound == 0.0
            continue
        entire = math.floor(most) ** power / start
        if -math.inf in (early, late):
            assert bound == (min(limit, entire) if early < late else bound)
            continue
        line = early + (late - early) / (end - start) * (grid - start)
        real = grid[line >= 1.0] if power == 0.0 else grid
        there = 1.0 / real if power == 0.0 else np.maximum(line, 0.0) ** power / grid
        best = float(there.max())
        assert bound == pytest.approx(min(limit, entire, best), rel=1e-4)
        assert bound >= min(limit, entire, best) * (1.0 - 1e-9)
        assert run._relaxed == (math.floor(late) ** power / end if late >= 1.0 else 0.0)
    run = stretches(Told(3.5, 3.5, limit), power=power)
    assert run._bound(2.0, 2.0) == min(limit, 3.0**power / 2.0)
    run.best.rate = limit
    looks = len(run.looker.looks)
    assert run._bound(1.0, 9.0) == limit
    assert len(run.looker.looks) == looks + (limit < math.inf and 0)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_whole_replicas_bound_a_stretch_beside_the_line(power: float) -> None:
    """At its start, as the line falls to there; and where it leads cannot be above it either."""
    for early, late, most in itertools.product((1.5, 4.0, 9.2), (4.0, 9.2), (-math.inf, 1.0, 3.0, 100.0)):
        told = Told(early, late)
        free, told.in_whole = stretches(Told(early, late), power=power), most
        run = stretches(told, power=power)
        bound = run._bound(2.0, 5.0)
        if most < 1.0:
            assert (bound, run._relaxed) == (0.0, 0.0)
            continue
        assert bound == min(free._bound(2.0, 5.0), math.floor(most) ** power / 2.0)
        assert run._relaxed == min(math.floor(late), most) ** power / 5.0


def test_far_from_the_bound_the_widest_stretches_are_looked_at() -> None:
    """Those not looked at first; no more once the answer is near the bound, the time is up or nothing is left."""
    heap = [(-9.0, 1.0, 2.0, True), (-8.0, 3.0, 9.0, True), (-7.0, 9.0, 10.0, False), (-7.0, 10.0, 20.0, True)]
    for rate, late, expected in (
        (5.0, False, [(9.0, 10.0), (3.0, 9.0), (1.0, 2.0), (10.0, 20.0)]),
        (8.1, False, []),
        (7.5, False, [(9.0, 10.0), (3.0, 9.0), (1.0, 2.0)]),
        (5.0, True, []),
    ):
        run, seen = stretches(Told()), list[tuple[float, float]]()
        run.best.rate, run._heap = rate, list(heap)
        run.task = SimpleNamespace(late=late)
        run._closer = lambda a, b, looked, seen=seen: seen.append((a, b))
        run._elsewhere()
        assert seen == expected
    run.task = SimpleNamespace(late=False)
    run._heap, seen = [(-9.0, 1.0, 2.0, False)], []
    run._closer = lambda a, b, looked: (seen.append((a, b)), run._heap.append((-9.0, b, 2.0 * b, False)))
    run._elsewhere()
    assert len(seen) == coarse._ELSEWHERE


def test_what_cannot_win_is_dropped_and_looked_at_no_more() -> None:
    run = stretches(Told(4.0, 4.0))
    run.best.rate = 2.0
    run._push(2.0, 3.0)  # 4 replicas in 2 s are no better
    assert run._heap == []
    assert run._tried == set()
    run._push(1.9, 3.0)
    assert [entry[1:] for entry in run._heap] == [(1.9, 3.0, True)]
    assert run._tried == {3.0}


def test_a_stretch_is_cut_where_an_answer_lies_well_inside() -> None:
    """Or in the middle by ratio; not where no number lies between."""
    cuts = list[tuple[float, float]]()
    for end, tried, middle in (
        (40.0, set(), 20.0),
        (90.0, {13.9}, 30.0),
        (90.0, {14.1}, 14.1),
        (90.0, {86.1}, 30.0),
        (90.0, {85.9}, 85.9),
    ):
        run = stretches(Told())
        run._tried, run._push = tried, lambda a, b: cuts.append((a, b))
        cuts.clear()
        run._cut(10.0, end)
        assert cuts == [(pytest.approx(middle), end), (10.0, pytest.approx(middle))]
    cuts.clear()
    run._tried = set()
    run._cut(1.0, math.nextafter(1.0, 2.0))
    run._cut(1.0, 1.0)
    assert not cuts


def test_looks_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for room, keep in ((0, 2), (3, 3)):
        monkeypatch.setattr(coarse, "_KEPT", 16 * 5 * 3 * room)
        run = stretches(Told())
        for T in (1.0, 2.0, 3.0, 4.0, 4.0, 3.0):
            assert run._look(T).duration == T
        assert run.looker.looks == [1.0, 2.0, 3.0, 4.0]
        assert list(run._looks) == [2.0, 3.0, 4.0][-keep:]


def test_the_best_answers_are_kept_the_last_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three beside the best, less energy better than as much; each duration is tried once; no round is no answer."""
    run, kept = stretches(Told(), power=1.0), list[tuple[float, float]]()
    run.looker.proposal = np.zeros(5, dtype=np.int64)
    answers = [(5.0, 1.0), (6.0, 0.5), (5.0, 0.5), (5.0, 0.7), (4.0, 9.0), (math.inf, math.inf), (3.0, 1.0), (2.0, 1.0)]
    for at, answer in enumerate(answers, 100):
        monkeypatch.setattr(coarse, "duration_of", lambda task, assignment, answer=answer: answer)
        for _ in range(2):
            run._propose(float(at))
        assert run.looker.looks[-1] == at
        assert len(run.looker.looks) == at - 99
        assert answer[0] in run._tried or answer[0] == math.inf
        if answer[0] < (kept[0][0] if kept else math.inf) or (kept and answer < kept[0]):
            kept.insert(0, answer)
        assert [(one.duration, one.energy) for one in (run.best, *run.others)] == kept[:4]
        assert run.best.rate == 5.0 / kept[0][0]
    run.looker.proposal = None
    run._propose(77.0)
    monkeypatch.setattr(coarse, "duration_of", lambda task, assignment: (0.0, 0.0))
    idle = coarse._Stretches(unlisted_of(drawn(0, 5, IDLE), Goal.ENERGY, 100.0), run.looker)
    run.looker.proposal = np.full(5, 2)
    idle._propose(78.0)
    assert idle.best.rate == 0.0
    run._propose(79.0)
    assert run.best.rate == math.inf


def test_stretches_cover_all_durations_that_could_win() -> None:
    """The shortest by itself, then eight of one ratio to where everybody's replicas are as good as the first answer."""
    caps = list[tuple[float, float]]()
    looker: Any = Told()

    def cap(start: float, end: float) -> float:
        caps.append((start, end))
        return 0.0

    looker.proposal, looker.cap = np.zeros(5, dtype=np.int64), cap
    run = stretches(looker, power=1.0, until=math.inf)
    run.task.menu.weights[:] *= 0.5
    run.search()
    (T,), _ = run.task.menu.rows_of(looker.proposal).answers(Goal.ENERGY, 100.0)
    start, end = run.task.menu.shortest, 2.5 / (2.0 / T)  # 2.5 of them, rounded to whole ones, take T
    edges = np.geomspace(start, end, 9)
    assert caps[0] == (start, start)
    assert np.array(caps[1:]) == pytest.approx(np.stack([edges[:-1], edges[1:]], axis=1))


def test_a_dozen_looks_for_a_better_answer_where_the_bound_cannot_fall() -> None:
    """A replica is possible, it seems, in the shortest round: no more is proved by cutting; nine stretches before.

    Two dozen looks elsewhere follow, as the answer is far from the bound.
    """
    told, looker = list[float](), Told()
    looker.proposal = np.zeros(5, dtype=np.int64)  # type: ignore[assignment]
    run = stretches(looker, power=0.0, gap=1e-4, progress=lambda *each: told.append(each[2]))
    found = run.search()
    assert len(told) == 9 + 12 + 24
    assert found.ceiling == pytest.approx(1.0 / run.task.menu.shortest)
    assert not found.stopped


def test_nothing_left_proves_the_answer() -> None:
    """No stretch holds a replica, so it seems, beyond the one that is found."""
    looker = Told(0.4, 0.4)
    looker.proposal = np.zeros(5, dtype=np.int64)  # type: ignore[assignment]
    run = stretches(looker, power=0.0)
    found = run.search()
    assert 0.0 < run.best.rate < 1.0
    assert run._heap == []
    assert found.ceiling is None
    assert found.lower is not None
    assert found.lower[0] == pytest.approx(found.results[0, 0])


def test_at_a_deadline_the_bound_is_that_of_the_look() -> None:
    """Above what it proposes; with no proposal nothing is in hand."""
    told: Any = Told(late=4.2)
    told.proposal = np.array([0, 0, 0, 1, 2])
    task = unlisted_of(drawn(0, 5, (1, 1, 1)), Goal.DEADLINE, 9.0, power=2.0)
    task.menu.weights[1:] = 0.0
    found = search_coarse(task, told)
    assert found.ceiling == 16.0 / 9.0
    assert found.lower is not None
    assert found.lower[0] == pytest.approx(9.0 * 9.0 / 16.0)
    told.proposal = None
    found = search_coarse(task, told)
    assert (found.ceiling, found.stopped) == (16.0 / 9.0, True)
    assert np.isnan(found.results[0, :2]).all()


@pytest.mark.parametrize(
    ("rate", "bounds", "done"),
    [(2.0, [8.0], 2500), (2.0, [], 10_000), (0.0, [], 0), (2.0, [math.inf], 0), (2.0, [1.0], 10_000)],
)
def test_progress_is_the_share_of_the_bound_that_is_reached(rate: float, bounds: list[float], done: int) -> None:
    told = list[tuple[int, int, float]]()
    run = stretches(Told(), progress=lambda *each: told.append(each))
    run.best.rate, run._heap = rate, [(-bound, 1.0, 2.0, True) for bound in bounds]
    run._report()
    assert told == [(done, 10_000, rate)]


def test_why_nothing_is_possible() -> None:
    """Out of reach, too short, too little: each with an assignment that says why, and what it would take."""
    menu, slow, lost = drawn(0, 5, IDLE), drawn(0, 5, COVERS), drawn(1, 5, COVERS)
    menu.w[-1], menu.floor[-1] = 0.1, 0.2
    lost.least[:, 2] = math.inf
    below = AllMatchings(unlisted_of(menu, Goal.ENERGY, 1.0)).least_energy()
    for given, goal, value, stop in (
        (lost, Goal.ENERGY, 9.0, Stop.UNREACHABLE),
        (lost, Goal.DEADLINE, 9.0, Stop.UNREACHABLE),
        (slow, Goal.DEADLINE, 0.99 * slow.shortest, Stop.TOO_SHORT),
        (menu, Goal.DEADLINE, 0.4, Stop.TOO_SHORT),  # for anything but idling
        (menu, Goal.ENERGY, below * (1.0 - 1e-14), Stop.TOO_LITTLE),
        (menu, Goal.POWER, 0.0, Stop.TOO_LITTLE),
    ):
        task = unlisted_of(given, goal, value)
        looker = AllMatchings(task)
        found = search_coarse(task, looker)
        assert found.results.shape[0] == 1
        assert np.isnan(found.results[0, :2]).all()
        assert found.results[0, [STOPPED, LEAST_TIME]].tolist() == [stop, given.longest]
        assert found.results[0, LEAST_ENERGY] == looker.least_energy()
        assert found.counts is not None
        assert found.counts.tolist() == [np.bincount(found.assign(0), minlength=3).tolist()]
        assert (found.passes, found.matchings) == (looker.passes, looker.matchings)
        assert not (found.counts[0] % given.covers).any()
        assert found.counts[0] @ given.weights >= 1.0
        assert not found.stopped
    for goal, value in ((Goal.ENERGY, below * (1.0 - 1e-15)), (Goal.POWER, 1e-9)):
        looker = AllMatchings(unlisted_of(menu, goal, value))
        assert search_coarse(looker.task, looker).results[0, STOPPED] != Stop.TOO_LITTLE


@pytest.mark.parametrize("covers", [COVERS, IDLE, (1, 4, 0), (2, 2, 0), (2, 2, 3)])
@pytest.mark.parametrize("ordered", [False, True])
def test_the_closest_partition_is_of_whole_replicas_and_needs_the_least(covers: tuple[int, ...], ordered: bool) -> None:
    """Of all matchings of a replica or more, or the sorted ones, in energy of an endless round or in time."""
    for seed, stop in itertools.product(range(4), (Stop.TOO_LITTLE, Stop.TOO_SHORT, Stop.UNREACHABLE)):
        menu = drawn(seed, 5, covers)
        menu.least[0, 1:3] = math.inf
        if stop is Stop.UNREACHABLE:
            menu.least[:, 2] = math.inf
        task = unlisted_of(menu, Goal.ENERGY, 1e-3)
        found = coarse.impossible(task, SortedMatchings(task, menu.order) if ordered else AllMatchings(task), stop)
        counts, rows = partitions(menu), np.arange(5)
        every = np.array(list(itertools.product(range(3), repeat=5)))
        every = np.array([a for a in every if (np.bincount(a, minlength=3) == counts).all(axis=1).any()])
        if ordered:
            every = np.array([fill(c, menu.types, menu.order) for c in counts])
        needs = {Stop.TOO_LITTLE: menu.costs(math.inf), Stop.TOO_SHORT: menu.least}.get(
            stop, np.isinf(menu.least) * 1.0
        )
        each = needs[every, rows].max(axis=1) if stop is Stop.TOO_SHORT else needs[every, rows].sum(axis=1)
        own = needs[found.assign(0), rows]
        assert (every == found.assign(0)).all(axis=1).any()
        assert float(own.max() if stop is Stop.TOO_SHORT else own.sum()) == pytest.approx(each.min(), rel=1e-12)
        assert found.results[0, STOPPED] == stop


def test_where_no_whole_replicas_are_near_everybody_does_the_greatest_type() -> None:
    menu = drawn(0, 5, (2, 2, 2))
    found = coarse.impossible(task := unlisted_of(menu, Goal.ENERGY, 1e-3), AllMatchings(task), Stop.TOO_LITTLE)
    assert found.assign(0).tolist() == [int(menu.types[0])] * 5


def test_what_a_budget_allows_at_a_duration() -> None:
    menu = drawn(0)
    assert coarse.allowed_at(unlisted_of(menu, Goal.DEADLINE, 2.0), 5.0) == math.inf
    allowed = [coarse.allowed_at(unlisted_of(menu, goal, 2.0), 5.0) for goal in (Goal.ENERGY, Goal.POWER, Goal.PRICE)]
    assert allowed == pytest.approx([2.0, 10.0, 2.0], rel=2e-9)
    assert allowed >= [2.0, 10.0, 2.0]


@pytest.mark.parametrize(("short", "spared"), [(-1e-6, False), (1e-11, True), (9e-10, True), (1.1e-9, False)])
def test_where_rounding_alone_made_a_proposal_fit_one_that_needs_less_is_asked_for(short: float, spared: bool) -> None:
    """A budget up to 1e-9 below what it needs however long the round: less than that is left of the budget then."""
    menu = drawn(0, 5, (1, 1, 1))
    menu.w[:] = 0.0
    much, less = np.zeros(5, dtype=np.int64), np.full(5, 2)
    needs = float(menu.floor[much, np.arange(5)].sum())
    for other, rate in ((None, 0.0), (much, 0.0), (less, 5.0)):
        run: Any = coarse._Stretches(unlisted_of(menu, Goal.ENERGY, needs * (1.0 - short)), Told())
        run.looker.proposal, run.looker.thriftier = much, other
        run._propose(1e3)
        assert run.looker.looks == [1e3]
        assert run.looker.spared == [pytest.approx(2e-9)] * spared
        assert (run.best.rate > 0.0) is (short < 0.0 or (spared and rate > 0.0))
        if spared and rate > 0.0:
            assert run.best.assignment is less
            assert run.best.rate == 5.0 / menu.least[2].max()
