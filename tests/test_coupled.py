"""The search at a price of time by itself: which cheapest matchings it asks for, and what it says of the others."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from test_ruled import COUNTS, KINDS, REPLICAS, ROWS, Rows, Turns, drawn

from solvers.matching import coupled
from solvers.matching.coupled import Coupled
from solvers.matching.slotprice import _Longer
from solvers.matching.task import DURATION, ENERGY, SCREENED, STOPPED, Searched, Task, empty_results
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

P, PRICE = len(COUNTS), 2.0


def task_of(gains: FloatArray | None = None, *, price: float = PRICE, **more: Any) -> Task:
    return Turns(drawn(0), Goal.PRICE, price).task(gains, **more)


@dataclass
class Scripted:
    """Stretches that say what they are told to, of every partition."""

    proved: FloatArray = field(default_factory=lambda: np.zeros(P))
    at: int = 0
    matchings: int = 5
    looks: list[tuple[int, float]] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: int = 10**6  # looks that it takes until the proof is endless

    def least(self, p: int, before: float) -> float:
        self.before.append(before)
        return math.inf if len(self.looks) >= self.after else float(self.proved[p])

    def weakest(self, p: int, before: float) -> int:
        self.before.append(before)
        return self.at

    def look(self, at: int, p: int, aim: Any, propose: Any) -> None:
        self.looks.append((p, aim()))
        propose(np.full(ROWS, p))


class Made(Coupled):
    """A search whose partitions have a first matching and a cheapest one, both (P, 2): duration [s] and energy [J]."""

    before = False

    def __init__(self, task: Task, first: FloatArray, cheapest: FloatArray) -> None:
        super().__init__(task)
        self.tables, self.begun, self.wanted = (first, cheapest), list[int](), list[tuple[FloatArray, int]]()
        self.proposed = list[int]()

    def begin(self, p: int) -> None:
        self.begun.append(p)

    def first(self, p: int) -> float:
        T, E = self.tables[0][p]
        self.known[p] = E + self.task.value * T
        return float(T)

    def solve(self, p: int) -> None:
        self.done.add(p)
        T, E = self.tables[1][p]
        if math.isfinite(T):
            self.keep(p, np.full(ROWS, p), T, E, Stop.OPTIMAL)
            self.lower[p] = E + self.task.value * T

    def propose(self, assignment: IntArray, p: int) -> None:
        self.proposed.append(p)

    def bounding(self, needed: FloatArray, p: int) -> Any:
        self.wanted.append((needed, p))
        return "coupling"


def tables(seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Cheapest matchings cost less than first ones, and most take longer."""
    rng = np.random.default_rng(seed)
    T, E = rng.uniform(3.0, 9.0, P), rng.uniform(30.0, 60.0, P)
    return np.stack([T, E], axis=1), np.stack([1.1 * T, E - 0.3 * T], axis=1)


def searched(made: Coupled, stretches: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Searched, list[Any]]:
    """The answer, and what the bounds began with."""
    begun = list[Any]()

    def begin(*given: Any) -> Any:
        begun.append(given)
        return stretches

    monkeypatch.setattr(coupled, "stretches_of", begin)
    return made.search(), begun


@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_bounds_reach_as_far_as_what_is_known_to_cost_no_more(unit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the price of time alone costs more than the dearest first matching; of what has none nothing is known."""
    first, cheapest = tables()
    first *= unit
    first[3] = 0.0, math.inf
    made = Made(task_of(REPLICAS), first, cheapest)
    _, begun = searched(made, Scripted(), monkeypatch)
    (coupling, counts, last, floor, rest), dearest = begun[0], max(c for c in (first @ [PRICE, 1.0]) if c < math.inf)
    assert (coupling, floor, rest) == ("coupling", PRICE, PRICE * last)
    assert counts is COUNTS
    assert dearest < PRICE * last == pytest.approx(dearest, rel=2e-3)
    assert len(begun) == 1
    assert made.begun == [P // 2]
    assert np.isinf(made.wanted[0][0]).all()
    assert made.wanted[0][1] == 0
    assert len(made.wanted[0][0]) == P
    for nothing in (math.inf, 0.0):
        first[:] = 0.0, nothing
        made = Made(task_of(REPLICAS), first, cheapest)
        _, begun = searched(made, Scripted(), monkeypatch)
        assert not begun
        assert made.stretches is None


@pytest.mark.parametrize("unit", [1.0, 0.1])
def test_the_order_is_that_of_gain_over_first_durations(unit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time at all is best; where it is not gain / T that counts, the order of the list."""
    first, cheapest = (unit * table for table in tables())
    first[7, 0] = 0.0
    for gains in (None, REPLICAS):
        seen = list[Any]()
        made = Made(task_of(gains, progress=lambda *one, to=seen: to.append(one)), first, cheapest)
        found, _ = searched(made, Scripted(at=-1), monkeypatch)
        order = list(made.chosen)
        rates = np.full(P, math.inf) if gains is None else gains / np.where(first[:, 0] > 0.0, first[:, 0], 1e-300)
        assert order == (list(range(P)) if gains is None else sorted(range(P), key=lambda p: -rates[p]))
        best = np.zeros(P) if gains is None else np.maximum.accumulate((gains / cheapest[:, 0])[order])
        assert seen == [(0, P, 0.0)] * P + [(i + 1, P, best[i]) for i in range(P)]
        assert found.results[:, :3].tolist() == np.column_stack([cheapest, np.full(P, Stop.OPTIMAL)]).tolist()
        assert found.lower is not None
        assert found.lower.tolist() == made.known.tolist() == (cheapest[:, 1] + PRICE * cheapest[:, 0]).tolist()
        assert [found.assign(p)[0] for p in range(P)] == list(range(P))
        assert (found.matchings, found.stopped, found.passes) == (5, False, 0)


@pytest.mark.parametrize("before", [False, True])
def test_what_is_proved_too_long_is_not_solved(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that are as short as needed cost more than some matching of the partition, the cheapest is longer."""
    first, cheapest = tables()
    costs = first @ [PRICE, 1.0]
    stretches = Scripted(proved=costs * (1.0 - 1e-9), at=-1)
    stretches.proved[::3] = costs[::3] * (1.0 + 1e-9)
    stretches.proved[1::3] = costs[1::3] * coupled._MORE  # what costs as much may be the cheapest
    monkeypatch.setattr(Made, "before", before)
    made = Made(task_of(REPLICAS), first, cheapest)
    found, _ = searched(made, stretches, monkeypatch)
    order = np.argsort(-REPLICAS / first[:, 0], kind="stable").tolist()
    best, solved = 0.0, list[int]()
    for p in order:
        if not solved or p % 3:  # of the first there is nothing to be shorter than
            solved.append(p)
            best = max(best, REPLICAS[p] / cheapest[p, 0])
    assert made.best == best
    assert made.done == set(solved)
    others = [p for p in range(P) if p not in solved]
    assert others
    assert np.isnan(found.results[others][:, [DURATION, ENERGY]]).all()
    assert (found.results[others, STOPPED] == SCREENED).all()
    assert np.isfinite(found.results[solved, DURATION]).all()
    assert [p for _, p in made.wanted[1:]] == order[1:]
    assert made.wanted[-1][0].tolist() == (REPLICAS / best).tolist()
    assert (np.array(stretches.before) < math.inf).all() == before
    assert stretches.before[-1] == (REPLICAS[order[-1]] / best if before else math.inf)


def test_so_many_looks_at_a_partition_and_each_to_what_would_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    first, cheapest = tables()
    for after in (10**6, 3, 0):
        stretches = Scripted(after=after)
        made = Made(task_of(REPLICAS), first, cheapest)
        searched(made, stretches, monkeypatch)
        looked = [p for p, _ in stretches.looks]
        if after < 10**6:
            assert len(looked) == after
            assert len(made.done) == 1
            continue
        order = np.argsort(-REPLICAS / first[:, 0], kind="stable").tolist()
        assert looked == made.proposed == [p for p in order[1:] for _ in range(40)]
        for p, aim in stretches.looks[::40]:
            cost = first[p] @ [PRICE, 1.0]
            made.known[p] = cost
            assert cost < made._enough(p) < aim < cost * (1.0 + 1e-9)  # what reaches the aim is enough


def test_without_gains_bounds_or_a_best_every_partition_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    first, cheapest = tables()
    endless = Scripted(proved=np.full(P, math.inf))
    for gains in (None, np.zeros(P)):
        made = Made(task_of(gains), first, cheapest)
        searched(made, endless, monkeypatch)
        assert made.done == set(range(P))
    cheapest[:, 0] = 0.0
    made = Made(task_of(REPLICAS), first, cheapest)  # of no time at all nothing is the best
    found, _ = searched(made, endless, monkeypatch)
    assert made.done == set(range(P))
    assert made.best == 0.0
    first[:, 1] = math.inf
    made = Made(task_of(REPLICAS), first, tables()[1])
    found, _ = searched(made, endless, monkeypatch)
    assert made.stretches is None
    assert made.done == set(range(P))
    made.match(np.ones((KINDS, ROWS)), 0)
    assert made.solved == 1
    assert found.matchings == 0


def test_what_is_solved_before_its_turn_is_not_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, cheapest = tables()
    made = Made(task_of(REPLICAS), first, cheapest)
    made.begin = made.solve  # type: ignore[method-assign]
    solved = list[int]()
    made.solve = solved.append  # type: ignore[method-assign,assignment]
    stretches = Scripted()
    found, _ = searched(made, stretches, monkeypatch)
    assert P // 2 not in solved
    assert sorted(solved) == [p for p in range(P) if p != P // 2]
    assert P // 2 not in {p for p, _ in stretches.looks}
    assert np.flatnonzero(np.isfinite(found.results[:, DURATION])).tolist() == [P // 2]
    assert made.best == REPLICAS[P // 2] / cheapest[P // 2, 0]


@pytest.mark.parametrize("late", [False, True])
def test_where_no_partition_has_an_answer_the_marginal_matchings_say_why(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where the time was up."""
    first, asked = tables()[0], list[Any]()

    def marginal(task: Any) -> Searched:
        asked.append(task)
        results = empty_results(P)
        results[:, STOPPED] = Stop.UNREACHABLE
        return Searched(results=results, passes=100, assign=lambda p: np.full(ROWS, p + 1))

    monkeypatch.setattr("solvers.matching.marginal.search", marginal)
    made = Made(task_of(REPLICAS, until=0.0 if late else math.inf), first, np.full((P, 2), math.inf))
    made.passes = 7
    found, _ = searched(made, Scripted(), monkeypatch)
    assert len(asked) == (not late)
    assert found.stopped is late
    if late:
        assert (found.passes, found.lower, made.begun, made.done) == (7, None, [P // 2], set())
        return
    assert found.passes == 107
    assert (found.results[:, STOPPED] == Stop.UNREACHABLE).all()
    assert [found.assign(p)[0] for p in range(P)] == list(range(1, P + 1))
    assert found.lower is not None
    assert not found.lower.any()


def test_where_the_time_is_up_meanwhile_they_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first of them is known, which has no answer."""
    results = empty_results(P)
    results[0, STOPPED] = Stop.UNREACHABLE
    partly = Searched(results=results, passes=100, assign={}.__getitem__, stopped=True)
    monkeypatch.setattr("solvers.matching.marginal.search", lambda task: partly)
    made = Made(task_of(REPLICAS), tables()[0], np.full((P, 2), math.inf))
    found, _ = searched(made, Scripted(), monkeypatch)
    assert found.stopped
    assert found.lower is None


def test_of_no_time_what_is_known_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every partition some matching, though it is not the cheapest."""
    first, cheapest = tables()
    made = Made(task_of(REPLICAS, until=0.0), first, cheapest)
    made.results[:, DURATION] = 1.0
    found, _ = searched(made, Scripted(), monkeypatch)
    assert found.stopped
    assert (made.begun, made.done) == ([P // 2], set())
    assert (found.results[:, DURATION] == 1.0).all()


class Priced(Made):
    """The made-up rows that send in turns; first matchings are the sorted ones, cheapest ones found among all."""

    def __init__(self, rows: Rows, task: Task) -> None:
        super().__init__(task, np.zeros((P, 2)), np.zeros((P, 2)))
        self.rows, self.every = rows, dict[tuple[int, ...], list[tuple[float, float, float, tuple[int, ...]]]]()
        for each in itertools.product(range(KINDS), repeat=ROWS):
            self.every.setdefault(tuple(each.count(k) for k in range(KINDS)), []).append((*self.cost(each), each))
        self._coupling = _Longer(costs=rows, unit=task.value, cheaper=False, needed=np.zeros(P))

    def cost(self, matching: tuple[int, ...]) -> tuple[float, float, float]:
        """E + price T, its T and E: y is sqrt(W/price) or r, and the slots take U/sqrt(price)."""
        E, W, U, r = self.rows.sums(np.array(matching))
        y = max(math.sqrt(W / self.task.value), r)
        T, E = y + U / math.sqrt(self.task.value), E + W / y + U * math.sqrt(self.task.value)
        return E + self.task.value * T, T, E

    def ranked(self, p: int) -> list[tuple[float, float, float, tuple[int, ...]]]:
        return sorted(self.every[tuple(COUNTS[p].tolist())])

    def first(self, p: int) -> float:
        """Neither the best nor the worst."""
        some = self.ranked(p)
        self.known[p], T, _, _ = some[len(some) // 3]
        return T

    def solve(self, p: int) -> None:
        self.done.add(p)
        (self.lower[p], T, E, matching), *_ = self.ranked(p)
        if math.isfinite(T):
            self.keep(p, np.array(matching), T, E, Stop.OPTIMAL)

    def bounding(self, needed: FloatArray, p: int) -> _Longer:
        self._coupling.needed, self._coupling.now = needed, p
        return self._coupling


@pytest.mark.parametrize(("price", "work"), [(0.3, (21, 1319)), (2.0, (21, 1258)), (20.0, (15, 903))])
def test_the_partition_whose_cheapest_matching_is_best_is_found(price: float, work: tuple[int, int]) -> None:
    """Of all matchings; with as many partitions and matchings solved as when this was written."""
    looked = np.zeros(2)
    for seed in range(2):
        made = Priced(drawn(seed), task_of(REPLICAS, price=price))
        found = made.search()
        cheapest = [made.ranked(p)[0] for p in range(P)]
        rates = REPLICAS / np.array([T for _, T, _, _ in cheapest])
        best = int(np.nanargmax(REPLICAS / found.results[:, DURATION]))
        assert rates[best] == rates.max() == made.best
        assert found.assign(best).tolist() == list(cheapest[best][3])
        for p in made.chosen:
            assert found.results[p, ENERGY] + price * found.results[p, DURATION] == pytest.approx(cheapest[p][0])
        looked += len(made.done), found.matchings
    assert np.all(np.abs(looked - work) <= np.maximum(1, 0.02 * np.array(work))), looked


def test_the_best_matching_of_a_partition_at_some_costs() -> None:
    made = Made(task_of(), *tables())
    costs = drawn(0).e
    for p in (2, 5):
        found, truth = made.match(costs, p), transport(costs, COUNTS[p])
        assert isinstance(found, Transport)
        assert isinstance(truth, Transport)
        assert found.assignment.tolist() == truth.assignment.tolist()
    assert isinstance(made.match(np.full(costs.shape, math.inf), 0), Impossible)
    assert made.solved == 3
