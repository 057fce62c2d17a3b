"""Many listed partitions, level by level, on made-up clients: against every matching, and what is not looked at."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest
from made_up import Made, budgets, drawn, everyone, partitions, task_of

from solvers.matching import levels, lookers
from solvers.matching.best import Found, OutOfTime
from solvers.matching.exact import PricedMatcher
from solvers.matching.levels import search_levels
from solvers.matching.lookers import AllMatchings
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, STOPPED, Proof, Searched, Task, empty_results
from solvers.menu import IntArray
from solvers.rows import Goal, Stop

ENERGY_, POWER_, DEADLINE_, _ = range(4)  # of budgets()
CAREFUL = 1e-9
MORE = 0.98, 1.02  # times as much as when this was written: elsewhere rounding may be another


def small(seed: int, which: int, *, size: int = 8, covers: tuple[int, ...] = (1, 2, 2), **more: Any) -> Task:
    menu = drawn(seed, size, covers)
    return task_of(menu, *budgets(menu)[which], **more)


def counted(patch: pytest.MonkeyPatch) -> list[int]:
    """The partitions that are improved from now on."""
    improved: list[int] = []
    improve = Found.improve

    def spy(found: Found, p: int) -> None:
        improved.append(p)
        improve(found, p)

    patch.setattr(Found, "improve", spy)
    return improved


class Work(NamedTuple):
    """How often all rows are priced under every type, and how many matchings are solved."""

    passes: int
    matchings: int


def searched(task: Task, patch: pytest.MonkeyPatch) -> tuple[Searched, Work]:
    """What is found, and what it takes."""
    calls: Counter[str] = Counter()

    def spied(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def spy(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        own.setattr(owner, name, spy)

    with patch.context() as own:
        spied(AllMatchings, "look")
        spied(PricedMatcher, "match")
        spied(lookers, "transport")
        found = search_levels(task, PricedMatcher(task))
    return found, Work(calls["look"] + calls["match"], calls["transport"] + calls["match"])


@pytest.mark.parametrize(
    ("which", "power", "partitions_improved", "matchings"),
    [
        (ENERGY_, 1.0, 95, 283),
        (ENERGY_, 0.5, 77, 241),
        (ENERGY_, 0.0, 80, 241),
        (POWER_, 1.0, 68, 154),
        (POWER_, 2.0, 58, 96),
    ],
)
def test_the_best_of_every_matching_is_found_and_proved(
    which: int, power: float, partitions_improved: int, matchings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing, and from answers known before; in as much work as when this was written, all of it counted."""
    improved, made = counted(monkeypatch), 0
    for seed, covers in itertools.product(range(3), ((1, 2, 2), (1, 1, 2), (1, 2, 0))):
        task = small(seed, which, size=7, covers=covers, power=power)
        every = everyone(task)
        best, truth = float(every.rates.max()), int(every.rates.argmax())
        middle = every.assignments[np.argsort(every.rates, kind="stable")[len(every.rates) // 2]]
        for incumbent in (None, every.assignments[truth], middle):
            asked = dataclasses.replace(task, incumbent=incumbent)
            found, work = searched(asked, monkeypatch)
            assert (found.passes, found.matchings) == (3 * work.passes, work.matchings)
            assert (found.proof, found.stopped, found.ceiling) == (Proof.MATCHINGS, False, None)
            with np.errstate(divide="ignore"):
                rates = (task.counts @ task.menu.weights) ** power / found.results[:, DURATION]
            p = int(np.nanargmax(rates))
            assert rates[p] == pytest.approx(best, rel=CAREFUL)
            assert found.results[p, STOPPED] == Stop.OPTIMAL
            again = task.find_duration(task.menu.rows_of(found.assign(p)), task.goal, task.value, task.allocate)
            assert found.results[p, DURATION] == pytest.approx(again.duration, rel=1e-12)
            assert again.point is not None
            assert found.results[p, ENERGY] == pytest.approx(again.point.energy.sum(), rel=1e-12)
            assert np.bincount(found.assign(p), minlength=3).tolist() == task.counts[p].tolist()
            assert found.lower is not None
            for q in np.flatnonzero(np.isfinite(found.lower)):
                assert found.lower[q] <= every.T[every.rows == q].min() * (1.0 + CAREFUL)
            made += found.matchings
    assert MORE[0] * partitions_improved <= len(improved) <= MORE[1] * partitions_improved
    assert MORE[0] * matchings <= made <= MORE[1] * matchings


def test_levels_are_taken_from_the_nearest_up_and_then_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """By gain, from the one of the answer in hand to less, then to more; and what is done is told."""
    for seed, which in itertools.product(range(3), (ENERGY_, POWER_)):
        reports: list[tuple[int, int, float]] = []
        task = small(seed, which, covers=(1, 2, 0), progress=lambda *r, told=reports: told.append(r))
        taken: list[list[int]] = []
        monkeypatch.setattr(levels, "_level", lambda found, looker, rows, taken=taken: taken.append(rows.tolist()))
        assert task.gains is not None
        begin = search_levels(task, PricedMatcher(task)).results[:, DURATION]
        by_gain = {g: np.flatnonzero(task.gains == g).tolist() for g in sorted(set(task.gains.tolist()), reverse=True)}
        (here,) = (i for i, rows in enumerate(by_gain.values()) if taken[0] == rows)
        every = list(by_gain.values())
        assert int(np.nanargmax(task.gains / begin)) in taken[0]
        assert taken == [*every[here:], *every[:here][::-1]]
        monkeypatch.undo()
        found = search_levels(task, PricedMatcher(task))
        best = float(np.nanmax(task.gains / found.results[:, DURATION]))
        for told in (reports[: len(every)], reports[len(every) :]):
            assert [done for done, *_ in told] == np.cumsum([len(rows) for rows in taken]).tolist()
            assert {total for _, total, _ in told} == {len(task.counts)}
        assert reports[-1][2] == best


def begun(task: Task, coarse: Searched) -> Found:
    found = Found(task, PricedMatcher(task), empty_results(len(task.counts)))
    levels._begin(found, coarse)
    return found


def answer(task: Task, counts: list[int], duration: float, assignment: IntArray) -> Searched:
    """As if a coarse search had found this one."""
    results = empty_results(1)
    results[0, [DURATION, ENERGY]] = duration, 5.0
    return Searched(results=results, passes=0, assign=lambda p: assignment, counts=np.array([counts]))


def test_the_first_answers_are_those_of_the_coarse_search_and_an_earlier_one() -> None:
    """Where they are of partitions that are asked for; the better one leads."""
    task = small(0, ENERGY_)
    every = everyone(task)
    earlier, other = every.assignments[int(every.rates.argmax())], every.assignments[0]
    known = np.bincount(earlier, minlength=3)
    p, q = (int(np.flatnonzero((task.counts == c).all(axis=1))[0]) for c in (known, np.bincount(other, minlength=3)))
    assert p != q
    best = float(every.rates.max())
    with_it = dataclasses.replace(task, incumbent=earlier)
    counts = np.bincount(other, minlength=3)
    for coarse_rate, asked in itertools.product((0.5 * best, 2.0 * best), (task, with_it)):
        T = float(counts @ task.menu.weights) / coarse_rate
        found = begun(asked, answer(task, counts.tolist(), T, other))
        assert found.results[q, [DURATION, ENERGY]].tolist() == [T, 5.0]
        assert found.chosen[q] is other
        if asked is with_it:
            assert found.results[p, DURATION] == pytest.approx(every.T[int(every.rates.argmax())], rel=1e-12)
            assert found.chosen[p] is earlier
        first = asked is with_it and coarse_rate < best
        assert found.winner == (p if first else q)
        assert found.best == pytest.approx(best if first else coarse_rate, rel=1e-12)
    for nothing in (
        answer(task, [3, 3, 2], 1.0, other),  # no whole replicas
        answer(task, counts.tolist(), math.nan, other),
        dataclasses.replace(answer(task, counts.tolist(), 1.0, other), counts=None),
    ):
        assert begun(task, nothing).best == 0.0
        assert begun(with_it, nothing).winner == p


def test_what_coarse_searches_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All partitions, a loose gap, no report; and as much time as there is, or none but what it takes."""
    told: list[object] = []
    task = small(0, ENERGY_, until=7.0, progress=lambda *report: told.append(report))
    asked = levels._unlisted(task)
    assert asked.counts.shape == (0, 3)
    assert (asked.gap, asked.until) == (1e-3, math.inf)
    asked.progress(1, 2, 3.0)
    assert not told
    seen: list[Task] = []

    def spy(part: Task, looker: Any) -> Searched:
        seen.append(part)
        return dataclasses.replace(answer(task, [8, 0, 0], math.nan, np.zeros(8, dtype=np.int64)), stopped=True)

    monkeypatch.setattr(levels, "search_coarse", spy)
    monkeypatch.setattr(levels, "search_best", lambda task, matcher: "one by one")
    assert search_levels(task, PricedMatcher(task)) == "one by one"  # type: ignore[comparison-overlap]
    assert (seen[0].until, seen[0].gap) == (7.0, 1e-3)


@pytest.mark.parametrize("which", [ENERGY_, POWER_])
def test_a_list_without_the_best_of_all_partitions_is_searched_from_another(which: int) -> None:
    """Of dear partitions too: the best of all matchings of those listed is proved."""
    for seed, power, share in itertools.product(range(4), (0.0, 1.0), (1.0, 0.7, 0.5)):
        whole = small(seed, which, size=7, power=power)
        every = everyone(whole)
        replicas = whole.counts @ whole.menu.weights
        kept = (replicas >= np.quantile(replicas, 0.6)) & (np.arange(len(replicas)) != every.rows[every.rates.argmax()])
        task = dataclasses.replace(whole.part(np.flatnonzero(kept)), value=share * whole.value)
        rates = everyone(task).rates
        assert rates.max() > 0.0
        found = search_levels(task, PricedMatcher(task))
        assert (found.proof, found.stopped, found.ceiling) == (Proof.MATCHINGS, False, None)
        with np.errstate(divide="ignore"):
            reached = (task.counts @ task.menu.weights) ** power / found.results[:, DURATION]
        assert np.nan_to_num(reached).max() == pytest.approx(rates.max(), rel=CAREFUL)


def test_the_nearest_to_the_best_of_all_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By replicas that are exchanged, where that one is not listed."""
    improved, others = counted(monkeypatch), 0
    for seed, which in itertools.product(range(6), (ENERGY_, POWER_)):
        whole = small(seed, which, covers=(1, 2, 4))
        best = levels.search_coarse(levels._unlisted(whole), AllMatchings(whole)).counts
        assert best is not None
        far = (np.abs(whole.counts - best[0]) / whole.menu.covers).sum(axis=1)
        rows = np.flatnonzero(far > 0.0)
        task, far = whole.part(rows), far[rows]
        improved.clear()
        search_levels(task, PricedMatcher(task))
        assert far[improved[0]] == far.min()
        others += improved[0] != 0
    assert others > 0


@pytest.mark.parametrize(("spoiled", "matchings"), [(0, 178), (5, 30), (8, 30)])
def test_where_no_listed_partition_has_an_answer_the_closest_one_says_why(
    spoiled: int, matchings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of least energy in an endless round, of every matching; some clients cannot do the cheapest types."""
    solved = 0
    for seed, share in itertools.product(range(4), (1e-3, 1.0 - 1e-6)):
        menu = drawn(seed)
        menu.least[1:, :spoiled] = math.inf
        counts = partitions(menu)
        task = task_of(menu, Goal.ENERGY, 1.0).part(np.flatnonzero(counts[:, 0] < counts[:, 0].max()))
        rows = [tuple(np.bincount(each, minlength=3)) for each in itertools.product(range(3), repeat=len(menu))]
        endless, clients = menu.costs(math.inf), np.arange(len(menu))
        least = {tuple(c): math.inf for c in task.counts.tolist()}
        for each, counted_ in zip(itertools.product(range(3), repeat=len(menu)), rows, strict=True):
            if counted_ in least:
                least[counted_] = min(least[counted_], float(endless[np.array(each), clients].sum()))
        truth = min(least.values())
        task = dataclasses.replace(task, value=share * min(truth, 1e6))
        found, work = searched(task, monkeypatch)
        assert np.isnan(found.results[:, DURATION]).all()
        (p,) = np.flatnonzero(found.results[:, STOPPED] != 0.0).tolist()
        passes, matched = work.passes - 1, work.matchings - 1  # the matching that says why is not counted
        assert (found.passes, found.matchings) == (3 * passes, matched)
        solved += work.matchings
        assert found.results[p, STOPPED] == (Stop.TOO_LITTLE if math.isfinite(truth) else Stop.UNREACHABLE)
        assert found.results[p, LEAST_ENERGY] == pytest.approx(truth, rel=CAREFUL)
        assert least[tuple(task.counts[p].tolist())] == pytest.approx(truth, rel=CAREFUL)
        assert list(found.crowds) == [p]
        assert not found.stopped
        assert (found.proof, found.lower) == (Proof.MATCHINGS, None)
        if math.isfinite(truth):
            assert np.bincount(found.assign(p), minlength=3).tolist() == task.counts[p].tolist()
            assert float(endless[found.assign(p), clients].sum()) == pytest.approx(truth, rel=CAREFUL)
    assert MORE[0] * matchings <= solved <= MORE[1] * matchings


def test_out_of_time_before_a_first_answer_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def out(found: Found, p: int) -> None:
        raise OutOfTime

    menu = drawn(0)
    task = task_of(menu, Goal.ENERGY, 1e-3)
    monkeypatch.setattr(Found, "improve", out)
    monkeypatch.setattr(levels, "search_best", lambda task, matcher: "one by one")
    assert search_levels(task, PricedMatcher(task)) == "one by one"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("which", [ENERGY_, POWER_])
def test_a_search_that_is_stopped_says_what_it_leaves_open(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound above every matching, the best answer so far, and no word of single partitions."""
    for seed in range(4):
        task = small(seed, which)
        best = float(everyone(task).rates.max())
        stopped = list[bool]()
        for turns in (0, 1, 2, 10_000):
            looks = itertools.count()

            def out(found: Found, looker: Any, rows: IntArray, looks: Any = looks, turns: int = turns) -> None:
                if next(looks) >= turns:
                    raise OutOfTime

            monkeypatch.setattr(levels, "_level", out)
            found = search_levels(task, PricedMatcher(task))
            stopped.append(found.stopped)
            assert (found.lower is None) is found.stopped
            assert (found.ceiling is not None) is found.stopped
            if found.stopped:
                assert found.ceiling is not None
                assert found.ceiling >= best * (1.0 - CAREFUL)
                assert found.ceiling <= best * 1.5
                assert task.gains is not None
                rates = task.gains / found.results[:, DURATION]
                assert float(np.nanmax(rates)) <= found.ceiling
            monkeypatch.undo()
        assert stopped == [True, True, True, False]


def test_partitions_are_all_of_whole_replicas() -> None:
    menu: Made = drawn(0, 8, (1, 2, 2))
    assert all(sum(c) == 8 and c[1] % 2 == 0 == c[2] % 2 for c in partitions(menu).tolist())
