"""The search that improves one partition after another, and its parts, on made-up clients: against every matching."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import budgets, drawn, everyone, task_of

from solvers.matching import best, marginal
from solvers.matching.best import Cut, Found, of_least_energy, row_of, search_best
from solvers.matching.exact import PricedMatcher
from solvers.matching.levels import search_levels
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, STOPPED, Proof, Searched, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import Goal, Stop

ENERGY_, POWER_, DEADLINE_, _ = range(4)  # of budgets()
Answer = tuple[IntArray, float] | None


def small(seed: int, which: int, **more: Any) -> Task:
    menu = drawn(seed, 6, (1, 2, 0))
    return task_of(menu, *budgets(menu)[which], **more)


class Asked:
    """A matcher that has one answer, and how often it was asked."""

    cut = None

    def __init__(self, answer: Answer = None) -> None:
        self.answer, self.asked = answer, 0

    def match(self, duration: float, counts: IntArray) -> Answer:
        self.asked += 1
        return self.answer


def test_a_cut_rules_out_who_is_short_of_energy_or_of_places() -> None:
    """At its duration and below; to rounding."""
    counts, prices = np.array([(1, 3), (2, 2), (2, 2), (4, 0)]), np.array([2.0, -1.0])
    durations, allowed = np.array([2.0, 2.0, 2.1, 1.0]), np.array([4.0, 6.9, 6.9, 13.0 * (1.0 - 1e-10)])
    cut = Cut(duration=2.0, constant=5.0, prices=prices)  # 4, 7, 7 and 13 J
    assert cut.rules_out(counts, durations, allowed).tolist() == [False, True, False, False]
    crowd = Cut(duration=2.0, constant=0.0, prices=np.array([1.0, 0.0]), rows=2)
    assert crowd.rules_out(counts, durations, allowed).tolist() == [True, False, False, False]
    assert crowd.rules_out(counts, 2.0 * durations, allowed).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("which", "power", "matchings"),
    [(ENERGY_, 1.0, 345), (ENERGY_, 0.5, 441), (POWER_, 1.0, 174), (POWER_, 2.0, 99), (DEADLINE_, 1.0, 80)],
)
def test_the_best_of_every_matching_is_found(which: int, power: float, matchings: int) -> None:
    """From nothing, and from answers known before; in as much work as when this was written."""
    made, told = 0, list[tuple[int, int, float]]()
    for seed in range(6):
        task = small(seed, which, power=power, progress=lambda *each: told.append(each))
        every = everyone(task)
        order = np.argsort(-every.rates, kind="stable")
        for incumbent in (None, *every.assignments[order[[0, len(order) // 2, -1]]]):
            told.clear()
            asked = dataclasses.replace(task, incumbent=incumbent)
            found = search_best(asked, PricedMatcher(asked))
            with np.errstate(divide="ignore"):
                rates = asked.gains / found.results[:, DURATION]
            p = int(np.nanargmax(rates))
            assert rates[p] == pytest.approx(every.rates.max(), rel=1e-9)
            assert (found.proof, found.stopped, found.results[p, STOPPED]) == (Proof.MATCHINGS, False, Stop.OPTIMAL)
            again = task.find_duration(task.menu.rows_of(found.assign(p)), task.goal, task.value, task.allocate)
            assert found.results[p, DURATION] == pytest.approx(again.duration, rel=1e-12)
            assert found.lower is not None
            for row in np.flatnonzero(np.isfinite(found.lower) & np.isfinite(found.results[:, DURATION])):
                assert found.results[row, DURATION] >= every.T[every.rows == row].min() * (1.0 - 1e-9)
            known = incumbent is not None and row_of(asked, incumbent) is not None
            first = 0 if known else marginal.search(task.quiet()).passes
            assert found.passes == first + 3 * found.matchings
            done, total, last = np.array(told).T
            assert (np.diff(done) > 0).all()
            assert (done[0], done[-1], set(total)) == (max(done[0], 1), len(task.counts), {len(task.counts)})
            assert last.max() == last[-1] == pytest.approx(every.rates.max(), rel=1e-9)
            made += found.matchings
    assert 0.97 * matchings <= made <= 1.03 * matchings


def test_a_first_best_is_of_some_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one partition none is made; nor where an answer is known."""
    asked, search = list[int](), marginal.search

    def counted(task: Task) -> Searched:
        asked.append(len(task.counts))
        return search(task)

    monkeypatch.setattr(marginal, "search", counted)
    monkeypatch.setattr(best, "_FIRST", 4)
    task = small(0, ENERGY_)
    known = dataclasses.replace(task, incumbent=everyone(task).assignments[everyone(task).rates.argmax()])
    for given in (*(task.part(np.arange(size)) for size in (9, 8, 2, 1)), known):
        search_best(given, PricedMatcher(given))
    assert asked == [5, 8, 2]
    whole = dataclasses.replace(task.part(np.arange(9)), gains=None)
    search_best(whole, PricedMatcher(whole))
    assert asked[3:] == [9]


def test_an_answer_known_before_is_of_the_partition_it_makes() -> None:
    """If that is a candidate of some gain, and the answer still is one."""
    task = small(0, ENERGY_)
    every = everyone(task)
    for i in range(0, len(every.T), 7):
        assert row_of(task, every.assignments[i]) == (every.rows[i] if every.T[i] < math.inf else None)
    i = int(every.T.argmin())
    p, mine = int(every.rows[i]), every.assignments[i]
    assert row_of(task.part(np.arange(p)), mine) is None
    for gain in (1.0, 0.5, 0.0):
        gains = np.where(np.arange(len(task.counts)) == p, gain, 1.0)
        assert row_of(dataclasses.replace(task, gains=gains), mine) == (p if gain > 0.0 else None)
    assert row_of(dataclasses.replace(task, gains=None), mine) is None
    assert row_of(dataclasses.replace(task, goal=Goal.DEADLINE, value=2.0 * every.T[i]), mine) is None
    soon = dataclasses.replace(task, menu=task.menu.slower(1e-6))  # type: ignore[attr-defined]
    assert row_of(soon, mine) == p


def known_to(task: Task, durations: list[float], energies: list[float], matcher: Any = None) -> Found:
    """What is known of the first partitions."""
    results = empty_results(len(task.counts))
    results[: len(durations), DURATION], results[: len(durations), ENERGY] = durations, energies
    return Found(task, matcher or Asked(), results)


def test_the_greatest_gain_in_time_is_the_best_and_of_equals_the_one_of_less_energy() -> None:
    task = dataclasses.replace(small(0, ENERGY_).part(np.arange(4)), gains=np.array([2.0, 2.0, 4.0, 0.0]))
    found, mine = known_to(task, [4.0], [3.0]), np.zeros(6, dtype=np.int64)
    assert (found.best, found.lowest, found.winner) == (0.5, 3.0, -1)
    taken = [
        (1, 4.0, 3.0, -1),
        (1, 4.0, 2.0, 1),
        (2, 8.0, 2.0, 1),
        (2, 7.0, 9.0, 2),
        (1, 3.9, 1.0, 2),
        (3, 0.5, 0.0, 2),
    ]
    for p, duration, energy, winner in taken:
        found.take(p, mine, duration, energy)
        assert found.winner == winner
        assert found.results[p, [DURATION, ENERGY, STOPPED]].tolist() == [duration, energy, Stop.OPTIMAL]
        assert found.chosen[p] is mine
    assert found.best == 4.0 / 7.0
    found.take(0, mine, 0.0, 9.0)
    assert (found.best, found.lowest, found.winner) == (math.inf, 9.0, 0)


def test_what_rounding_leaves_open_of_any_partition_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The greatest gain / T that one may have is the bound; nothing is said of last digits."""
    task = small(0, ENERGY_)
    found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
    assert found.left_open is None
    found.improve(0)
    assert found.ceiling == pytest.approx(found.best, rel=1e-12)
    for more, open_ in ((1.0 + 9e-10, False), (1.0 + 2e-9, True)):
        found.ceiling = more * found.best
        assert found.left_open == (found.ceiling if open_ else None)
    high = found.ceiling = 1e9 * found.best
    found.improve(1)
    assert found.left_open == high
    found.best = 0.0
    assert found.left_open is None
    monkeypatch.setattr(Found, "left_open", 1e9)
    assert search_best(task, PricedMatcher(task)).ceiling == 1e9
    assert search_levels(task, PricedMatcher(task)).ceiling == 1e9


def test_who_may_still_win_is_still_open() -> None:
    """By gain at a deadline, equals too; else by the shortest there can be, and by the cuts, each used once."""
    gains, menu = np.array([2.0, 1.0, 2.0 * (1.0 - 1e-14), 1.99]), drawn(0, 6, (1, 2, 0))
    part = np.arange(4)
    late = dataclasses.replace(task_of(menu, Goal.DEADLINE, 0.25).part(part), gains=gains)
    assert known_to(late, [], []).still_open(part).tolist() == [0, 1, 2, 3]
    assert known_to(late, [0.25], [1.0]).still_open(part).tolist() == [0, 2]
    assert known_to(dataclasses.replace(late, gains=None), [0.25], [1.0]).still_open(part).tolist() == [0, 1, 2, 3]

    menu.least[:] = 8.0
    task = dataclasses.replace(task_of(menu, Goal.ENERGY, 9.0).part(part), gains=gains)
    found = known_to(task, [15.0], [9.0])  # at a gain of 2 / 15: all but 1 take longer than 8
    assert found.still_open(part).tolist() == [0, 2, 3]
    assert found.still_open(part).tolist() == [0, 1, 2, 3]  # no better one since
    found.take(0, np.zeros(6, dtype=np.int64), 8.02, 9.0)
    assert found.still_open(part).tolist() == [0, 2]
    for goal, value in ((Goal.ENERGY, 9.0), (Goal.POWER, 9.0 / 15.0)):
        task = dataclasses.replace(task, goal=goal, value=value)
        for joules, left in ((8.9, [0, 2, 3]), (9.1, []), (9.1, [0, 2, 3])):
            if joules < 9.0 or left == []:
                found = known_to(task, [15.0], [9.0])
                found.cuts.append(Cut(duration=15.0, constant=joules, prices=np.zeros(3)))
            assert found.still_open(np.array([0, 2, 3])).tolist() == left


@pytest.mark.parametrize(
    ("gain", "least", "energy", "asked", "taken"),
    [
        (2.0, 3.0, 4.0, True, True),
        (2.0, 3.0, 5.0, True, False),  # no less than is known of it
        (2.0, 3.0, 6.0, True, False),
        (2.0, 3.0 * (1.0 + 0.5e-9), 4.0, True, True),
        (2.0, 3.0 * (1.0 + 2.0e-9), 4.0, False, False),  # cannot take less than the best
        (1.9, 3.0, 4.0, False, False),
        (2.1, 9.0, 4.0, True, True),
    ],
)
def test_at_a_deadline_only_who_may_beat_the_best_is_matched(
    gain: float, least: float, energy: float, asked: bool, taken: bool
) -> None:
    mine, menu = np.zeros(6, dtype=np.int64), drawn(0, 6, (1, 2, 0))
    for value in (0.25, 4.0):
        task = task_of(menu, Goal.DEADLINE, value).part(np.arange(2))
        task = dataclasses.replace(task, gains=np.array([2.0, gain]))
        matcher = Asked((mine, energy))
        found = known_to(task, [value, value], [3.0, 5.0], matcher)
        found.best, found.lowest = 2.0 / value, 3.0
        found.results[1, LEAST_ENERGY], found.lower[1] = least, math.nan
        found.improve(1)
        assert (matcher.asked, 1 in found.chosen) == (int(asked), taken)
        assert found.lower[1] == value if taken else math.isnan(found.lower[1])


def test_of_a_slack_budget_the_cheapest_matching_as_short_is_asked_for() -> None:
    """Where something of the budget is left; the first answer stays where none is cheaper."""
    mine, other = np.zeros(6, dtype=np.int64), np.ones(6, dtype=np.int64)
    for goal, value, limit in ((Goal.ENERGY, 8.0, 8.0), (Goal.POWER, 4.0, 8.0)):
        task = task_of(drawn(0, 6, (1, 2, 0)), goal, value).part(np.arange(1))
        for energy, cheaper, asked, answer in (
            (limit, 1.0, 0, mine),
            (limit * (1.0 - 1e-10), 1.0, 0, mine),
            (limit * (1.0 - 1e-8), 1.0, 1, other),
            (7.0, 6.9, 1, other),
            (7.0, 7.0, 1, mine),
        ):
            results = empty_results(1)
            results[0, DURATION], results[0, ENERGY] = 2.0, energy
            matcher: Any = Asked((other, cheaper))
            found = of_least_energy(task, matcher, Searched(results=results, passes=0, assign=lambda p: mine))
            assert found.assign(0) is answer
            assert matcher.asked == asked


class Priced:
    """A matcher that knows the cheapest round of each partition, and proves it of those that have no more places."""

    def __init__(self, cheapest: dict[tuple[int, ...], float]) -> None:
        self.cheapest, self.asked = cheapest, list[tuple[int, ...]]()
        self.cut: Cut | None = None

    def match(self, duration: float, counts: IntArray) -> tuple[IntArray, float]:
        """The first type for all; each place of the second costs 2 J more than one of the first, whoever takes it."""
        self.asked.append(tuple(counts.tolist()))
        self.cut = Cut(duration=duration, constant=0.0, prices=np.array([1.0, 3.0, 100.0]))
        return np.zeros(6, dtype=np.int64), self.cheapest[tuple(counts.tolist())]


@pytest.mark.parametrize("utility", ["gain / T", "-E", "any"])
def test_who_has_energy_to_spare_is_compared_by_the_cheapest_round(utility: str) -> None:
    """Where T decides, of the best alone; whom the last proof makes dearer need not be asked, but for any utility."""
    task = task_of(drawn(0, 6, (1, 2, 0)), Goal.ENERGY, 50.0)
    counts = np.array([(6, 0, 0), (4, 2, 0), (2, 4, 0), (0, 6, 0)])
    gains = np.array([6.0, 6.0, 6.0, 5.0]) if utility == "gain / T" else None
    task = dataclasses.replace(task, counts=counts, gains=gains, thrifty=utility == "-E")
    matcher: Any = Priced({(6, 0, 0): 8.0, (4, 2, 0): 10.5, (2, 4, 0): 14.0, (0, 6, 0): 20.0})
    results = empty_results(4)
    results[:, DURATION], results[:, ENERGY] = 2.0, (11.0, 10.0, 49.0, 30.0)
    before = Searched(results=results, passes=5, matchings=1, assign=lambda p: np.full(6, 9))
    found = of_least_energy(task, matcher, before)
    asked = {"gain / T": [(4, 2, 0), (6, 0, 0)], "-E": [(4, 2, 0), (6, 0, 0)]}
    every = [(4, 2, 0), (6, 0, 0), (0, 6, 0), (2, 4, 0)]
    assert matcher.asked == asked.get(utility, every)
    assert found.results[:2, ENERGY].tolist() == [8.0, 10.0]
    assert [int(found.assign(p)[0]) for p in range(2)] == [0, 9]
    assert (found.matchings, found.passes) == (1 + len(matcher.asked), 5 + 3 * len(matcher.asked))
    assert results[:, ENERGY].tolist() == [11.0, 10.0, 49.0, 30.0]


@pytest.mark.parametrize("which", [ENERGY_, POWER_])
def test_more_time_is_never_worse(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one partition, from its first matching on: the best so far is in hand whenever the time is up."""
    several = 0
    for seed, p in itertools.product(range(3), range(9)):
        task = dataclasses.replace(small(seed, which).part(np.array([p])), until=1e300)
        best, known = float(everyone(task).T.min()), math.inf
        if best == math.inf:
            continue
        for most in range(30):
            left = iter(range(most))
            monkeypatch.setattr(Task, "late", property(lambda _, left=left: next(left, None) is None))
            found = search_best(task, PricedMatcher(task))
            T = float(np.nan_to_num(found.results[0, DURATION], nan=math.inf))
            assert best * (1.0 - 1e-9) <= T <= known
            assert found.stopped is (found.lower is None)
            if math.isfinite(T):
                again = task.find_duration(task.menu.rows_of(found.assign(0)), task.goal, task.value, task.allocate)
                assert pytest.approx(again.duration, rel=1e-12) == T
            several, known = several + (T < known < math.inf), T
            if not found.stopped:
                break
        assert known == pytest.approx(best, rel=1e-9)
    assert several > 0
