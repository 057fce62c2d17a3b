"""The parts of the search by what is proved, each by itself: what is hoped for, aimed at, kept, and said in the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_ruled import COUNTS, ORDER, REPLICAS, ROWS, TYPES, VALUES, Rows, Turns, drawn

from solvers.matching import ruled
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Searched, empty_results
from solvers.matching.transport import transport
from solvers.menu import fill
from solvers.rows import ROUNDING, FloatArray, Goal, Stop

P = len(COUNTS)


@dataclass
class Scripted:
    """Stretches that say what they are told to."""

    lower: FloatArray = field(default_factory=lambda: np.zeros(P))
    at: int = 0
    proved: float = 0.0
    matchings: int = 0
    looks: int = 0
    coupling: Any = None
    aims: list[float] = field(default_factory=list)

    def weakest(self, p: int) -> int:
        return self.at

    def bound(self, at: int, p: int) -> float:
        return self.proved

    def look(self, at: int, p: int, aim: Any, propose: Any) -> None:
        self.looks += 1
        self.aims.append(aim())


def run_of(
    goal: Goal, gains: FloatArray | None = None, *, value: float | None = None, seed: int = 0, **more: Any
) -> tuple[Any, Turns, Scripted]:
    """A search about to begin, of which nothing is known."""
    turns, stretches = Turns(drawn(seed), goal, VALUES[goal][1] if value is None else value), Scripted()
    run: Any = ruled._Run(turns.task(gains, **more), turns)
    run._stretches, run.results, run.best = stretches, empty_results(len(run.results)), 0.0
    run.chosen, run._tried, run._least = {}, set(), np.zeros(len(run.results))
    turns.tried.clear()
    return run, turns, stretches


def sorted_matching(p: int) -> bytes:
    return fill(COUNTS[p], TYPES, ORDER).tobytes()


@pytest.mark.parametrize(("size", "step"), [(7, 1), (15, 1), (16, 2), (40, 5), (72, 9)])
@pytest.mark.parametrize("gains", [False, True])
@pytest.mark.parametrize("thrifty", [False, True])
def test_some_sorted_matchings_are_tried_first(
    size: int, step: int, gains: bool, thrifty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About eight where proofs rule the others out, else all."""
    seen, counts = list[int](), COUNTS[np.arange(size) % P]
    monkeypatch.setattr(ruled._Run, "_try", lambda run, assignment, p: seen.append(p))
    turns = Turns(drawn(0), Goal.DEADLINE, 6.0)
    ruled._Run(turns.task(np.ones(size) if gains else None, counts=counts, thrifty=thrifty), turns)
    assert seen == list(range(0, size, step if gains or thrifty else 1))


@pytest.mark.parametrize("goal", VALUES)
@pytest.mark.parametrize("gains", [None, REPLICAS])
@pytest.mark.parametrize("unit", [1.0, 2.0**-6])
def test_what_the_bounds_begin_with(
    goal: Goal, gains: FloatArray | None, unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices near the median power; durations up to the deadline, or the longest that is of use; long or short ones."""
    begun, rows = list[tuple[Any, ...]](), drawn(0)
    monkeypatch.setattr(ruled, "stretches_of", lambda *given: begun.append(given))
    rows = Rows(e=rows.e, w=rows.w * unit, u=rows.u * math.sqrt(unit), ready=rows.ready * unit)
    turns = Turns(rows, goal, VALUES[goal][0] * {Goal.ENERGY: 1.0, Goal.POWER: 1.0 / unit, Goal.DEADLINE: unit}[goal])
    run = ruled._Run(turns.task(gains), turns)
    coupling, counts, last, floor, rest = begun[0]
    known = run.results[np.isfinite(run.results[:, DURATION])]
    assert unit == 1.0 or known[:, DURATION].max() < 1.0
    assert coupling.unit == np.median(known[:, ENERGY] / known[:, DURATION])
    assert counts is COUNTS
    T = known[:, DURATION].max() if gains is None else gains.max() / np.nanmax(gains / run.results[:, DURATION])
    assert (last, floor, rest) == ((turns.value, 0.0, math.inf) if goal is Goal.DEADLINE else (T, 1.0, T))
    assert run.possible


def test_where_nothing_has_an_answer_prices_begin_at_the_power_needed_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is needed, at one."""
    begun = list[tuple[Any, ...]]()
    monkeypatch.setattr(ruled, "stretches_of", lambda *given: begun.append(given))
    turns = Turns(drawn(0), Goal.DEADLINE, 0.3)
    run = ruled._Run(turns.task(), turns)
    assert not run.found
    assert begun[0][0].unit == np.median(run.results[:, LEAST_ENERGY] / run.results[:, LEAST_TIME]) != 1.0
    ruled._Run(turns.task(limits=lambda matching: SimpleNamespace(t_min=0.5, e_inf=0.0)), turns)
    assert begun[1][0].unit == 1.0


def test_the_first_answer_that_takes_power_says_how_large_prices_are() -> None:
    """Of those who take none, or have no duration, nothing is learnt."""
    run, _, stretches = run_of(Goal.DEADLINE, value=2.2)
    stretches.at, stretches.coupling = -1, None
    known(run, (1, 2.2, 0.0), (2, math.nan, 3.0))
    for p in (9, 5, 3):
        run.improve(p)
        assert (stretches.coupling is None) == (p == 9)
        assert np.isfinite(run.results[p, DURATION]) == (p != 9)
        if p != 9:
            assert stretches.coupling.unit == run.results[5, ENERGY] / 2.2


@pytest.mark.parametrize(("goal", "value"), [(Goal.DEADLINE, 0.0), (Goal.DEADLINE, math.inf), (Goal.ENERGY, 0.0)])
@pytest.mark.parametrize("gains", [None, REPLICAS])
def test_where_nothing_is_possible_nothing_is_searched(
    goal: Goal, value: float, gains: FloatArray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All marginal matchings say, once, what is wrong."""
    turns, asked = Turns(drawn(0), goal, value), list[Any]()

    def marginal(task: Any) -> Searched:
        asked.append(task)
        return Searched(results=empty_results(P), passes=100, assign=lambda p: np.full(ROWS, p))

    monkeypatch.setattr("solvers.matching.marginal.search", marginal)
    found = ruled.search(turns.task(gains, progress=pytest.fail), turns)
    assert len(asked) == 1
    assert found.matchings == 0
    assert found.passes == 100 + 3 * len(turns.tried)
    assert [found.assign(p)[0] for p in range(P)] == list(range(P))
    assert found.lower is None or set(found.lower) <= {0.0, math.inf}  # for ever: where there is but one matching
    assert found.lower is None or not found.lower[(COUNTS > 0).sum(axis=1) > 1].any()
    assert gains is None or value == math.inf or found.ceiling == math.inf


def test_of_no_time_the_first_partition_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody is asked why there is no answer, if there is none yet."""
    monkeypatch.delattr("solvers.matching.marginal.search")
    for answer in (True, False):
        turns, seen = Turns(drawn(0), Goal.DEADLINE, 6.0), list[tuple[int, int, float]]()
        if not answer:
            none: Any = SimpleNamespace(stop=Stop.LIMIT, duration=math.nan, passes=1, point=None)
            turns.schedule = lambda matching, none=none: none  # type: ignore[method-assign,misc]
        found = ruled.search(turns.task(REPLICAS, until=0.0, progress=lambda *one, to=seen: to.append(one)), turns)
        assert found.stopped
        assert np.isfinite(found.results[:, DURATION]).any() == answer
        assert [report[:2] for report in seen] == [(1, P)]


@pytest.mark.parametrize("goal", [Goal.DEADLINE, Goal.ENERGY])
def test_where_the_time_is_up_while_none_has_an_answer_nothing_is_said(
    goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the marginal matchings only those with an answer are kept."""
    results = empty_results(P)
    results[0, STOPPED], results[1, DURATION] = Stop.TOO_LITTLE, 2.0 if goal is Goal.ENERGY else math.nan
    partly = Searched(results=results, passes=0, assign={1: ORDER}.__getitem__, stopped=True)
    monkeypatch.setattr("solvers.matching.marginal.search", lambda task: partly)
    turns = Turns(drawn(0), goal, 0.0)
    found = ruled.search(turns.task(REPLICAS, progress=pytest.fail), turns)
    assert found.stopped
    assert goal is Goal.DEADLINE or found.assign(1) is ORDER


@pytest.mark.parametrize("late", [False, True])
def test_where_all_are_out_of_reach_the_quickest_matchings_are_looked_for(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until one has an answer, or the time is up; not of a partition that is too dear."""
    results, seen = empty_results(P), list[int]()
    results[:, STOPPED] = Stop.UNREACHABLE
    results[1, STOPPED] = Stop.TOO_LITTLE

    def shortest(run: Any, p: int) -> None:
        seen.append(p)
        run.results[p, DURATION] = 2.0 if p == 3 else math.nan

    marginal = Searched(results=results, passes=0, assign=lambda p: ORDER)
    monkeypatch.setattr("solvers.matching.marginal.search", lambda task: marginal)
    monkeypatch.setattr(ruled._Run, "_shortest", shortest)
    turns = Turns(drawn(0), Goal.ENERGY, 0.0)
    run = ruled._Run(turns.task(REPLICAS, until=0.0 if late else math.inf), turns)
    assert seen == ([0] if late else [0, 2, 3])
    assert run.stopped is late
    assert run.found is not late


def test_a_budget_without_limit_for_what_takes_no_time() -> None:
    """Durations of nothing, or gains without end: nothing to look for."""
    for gains, duration in ((None, 0.0), (np.array([1e308, *np.full(P - 1, 1e-10)]), 1.0)):
        turns = Turns(drawn(0), Goal.ENERGY, 12.0)
        point, none = SimpleNamespace(energy=np.zeros(ROWS)), sorted_matching(0)

        def schedule(matching: Any, point: Any = point, none: bytes = none, duration: float = duration) -> Any:
            lost = duration > 0.0 and matching.tobytes() == none
            return SimpleNamespace(
                stop=Stop.SLACK, duration=duration, lower=0.0, passes=1, point=None if lost else point
            )

        turns.schedule = schedule  # type: ignore[method-assign]
        run: Any = ruled._Run(turns.task(gains), turns)
        assert run.found
        assert not run.possible


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.DEADLINE])
def test_a_bound_is_the_greater_one_and_late_is_later_than_rounding(goal: Goal) -> None:
    least = np.full(P, 5.0)
    least[:3] = 7.0, 5.0 * (1.0 + 4e-15), np.nextafter(5.0, 6.0)
    run, _, stretches = run_of(goal, value=float(least[1] * ROUNDING))
    run._least, stretches.lower = least, np.linspace(4.0, 6.0, P)
    if goal is Goal.ENERGY:
        assert run.lower.tolist() == np.maximum(least, stretches.lower).tolist()
        run.possible = False
        assert run.lower.tolist() == least.tolist()
        return
    assert run.lower.tolist() == [math.inf, *stretches.lower[1:].tolist()]
    assert [run._useless(p) for p in range(3)] == [True, False, False]
    run, _, stretches = run_of(goal, value=5.0)
    run._least = least
    assert [run._useless(p) for p in range(3)] == [True, True, False]
    assert np.isinf(run.lower).tolist() == [True, True] + [False] * (P - 2)


def test_a_partition_is_useless_from_its_aim_on() -> None:
    run, _, _ = run_of(Goal.ENERGY, REPLICAS)
    run.best = 0.25
    for p in range(P):
        assert run._aim(p) == REPLICAS[p] / 0.25
        for least, useless in ((REPLICAS[p] / 0.25, True), (0.999 * REPLICAS[p] / 0.25, False)):
            run._least[p] = least
            assert run._useless(p) is useless


def known(run: Any, *answers: tuple[int, float, float]) -> None:
    for p, T, E in answers:
        run.results[p, DURATION], run.results[p, ENERGY] = T, E


def test_what_a_partition_is_to_go_below_to_be_worth_a_look() -> None:
    """Where it is not gain / T that counts its own best, or at a deadline the best of all, or of those of most gain."""
    budget, _, _ = run_of(Goal.ENERGY, REPLICAS)
    assert np.isinf(budget._aims()).all()
    assert budget._aim(2) == math.inf
    budget.best = 0.5
    assert budget._aims().tolist() == (2.0 * REPLICAS).tolist()
    answers = (0, 3.0, 40.0), (2, 5.0, 20.0), (3, 4.0, 50.0), (5, 4.0, 60.0)

    def aims(run: Any) -> list[float]:
        known(run, *answers)
        assert [run._aim(p) for p in range(P)] == run._aims().tolist()
        result: list[float] = run._aims().tolist()
        return result

    nearly = 1.0 - 1e-10
    own = [{0: 3.0, 2: 5.0, 3: 4.0, 5: 4.0}.get(p, math.inf) * nearly for p in range(P)]
    assert aims(run_of(Goal.ENERGY)[0]) == own
    joules = [{0: 40.0, 2: 20.0, 3: 50.0, 5: 60.0}.get(p, math.inf) * nearly for p in range(P)]
    assert aims(run_of(Goal.DEADLINE)[0]) == joules
    assert aims(run_of(Goal.DEADLINE, thrifty=True)[0]) == [20.0 * nearly] * P
    gains = np.array([2.0, 7.0, 1.0, 2.0, 0.5, 1.0, *np.full(P - 6, 2.0)])  # the most that is known: 2, for 40 J
    assert aims(run_of(Goal.DEADLINE, gains)[0]) == [
        math.inf if gain > 2.0 else 40.0 * nearly if gain == 2.0 else -math.inf for gain in gains
    ]
    nothing = run_of(Goal.DEADLINE, gains)[0]
    assert np.isinf(nothing._aims()).all()
    assert (nothing._aims() > 0.0).all()


def test_the_next_partition_is_the_one_with_the_most_to_hope_for() -> None:
    left, none = np.ones(P, dtype=np.bool_), np.zeros(P, dtype=np.bool_)
    left[0] = False
    lower = np.array([0.5, 3.0, 2.0, 4.0, 2.0, *np.full(P - 5, 9.0)])
    run, _, stretches = run_of(Goal.ENERGY)
    stretches.lower = lower
    assert run.hopeful(left) == 2
    assert run.hopeful(none) == -1
    known(run, (2, 2.0, 1.0), (4, 2.5, 1.0))  # what is known of 2 is as good as its bound
    assert run.hopeful(left) == 4
    gains = np.array([9.0, 6.0, 3.0, 9.0, 5.0, *np.full(P - 5, 1.0)])
    run, _, stretches = run_of(Goal.ENERGY, gains)
    stretches.lower = lower
    assert run.hopeful(left) == 4  # 5 / 2
    run.best = 2.4
    assert run.hopeful(left) == 4
    run.best = 2.5
    assert run.hopeful(left) == -1
    lower[3], run.best = 0.0, 1e9
    assert run.hopeful(left) == 3
    run, _, stretches = run_of(Goal.DEADLINE, gains)
    stretches.lower = lower = np.array([0.5, 3.0, 2.0, math.inf, 2.0, *np.full(P - 5, 1.0)])
    gains[4] = 6.0
    assert run.hopeful(left) == 4  # as many as 1, by less energy; more are never in time
    known(run, (4, run.task.value, 2.0))
    assert run.hopeful(left) == -1  # with so many there is none by less, and with 1 none by less than 3


def test_a_partition_is_improved_until_its_bound_meets_the_aim_or_nothing_helps() -> None:
    run, turns, stretches = run_of(Goal.ENERGY, REPLICAS)
    run.improve(5)
    assert stretches.looks == 200  # at most
    assert set(stretches.aims) == {run._aim(5)}
    quickest = turns.shortest(lambda costs: transport(costs, COUNTS[5]))
    assert quickest is not None
    assert turns.tried == list(dict.fromkeys([sorted_matching(5), quickest[1].tobytes()]))
    assert run.matchings == run._matchings > 0
    stretches.matchings = 7
    assert run.matchings == run._matchings + 7
    for at, proved, other in ((-1, 0.0, 1e9), (0, stretches.aims[0], 1e9), (0, 0.0, 1e-9)):
        run, turns, stretches = run_of(Goal.ENERGY, REPLICAS)
        stretches.at, stretches.proved = at, proved
        known(run, (0, other, 1.0))
        run.improve(5)
        assert stretches.looks == 0
        assert run._useless(5) == (other < 1.0)


@pytest.mark.parametrize("goal", VALUES)
def test_nothing_is_shorter_than_the_quickest_matching(goal: Goal) -> None:
    for seed in range(2):
        run, turns, _ = run_of(goal, seed=seed)
        for p in range(P):
            found = run._scheme.shortest(lambda costs, p=p: transport(costs, COUNTS[p]))
            turns.tried.clear()
            run._shortest(p)
            if found is None:
                assert run._least[p] == math.inf
                assert not turns.tried
            elif (
                np.count_nonzero(COUNTS[p]) == 1
                and goal is not Goal.DEADLINE
                and math.isfinite(run.results[p, DURATION])
            ):
                assert run._least[p] == run.results[p, DURATION] >= found[0]  # its only one has a bracket of its own
            else:
                assert found[0] * (1.0 - 3e-12) < run._least[p] < found[0]
                assert turns.tried == ([found[1].tobytes()] if found[0] <= 6.0 or goal is not Goal.DEADLINE else [])


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.DEADLINE])
def test_of_the_answers_of_a_partition_the_best_is_kept_and_of_none_the_nearest(goal: Goal) -> None:
    """The first of equals. What was tried once is not tried again."""
    late = goal is Goal.DEADLINE
    script = [  # has an answer; duration [s] and energy [J], of none the least ones; the number of the one kept then
        (False, 5.0, 9.0, 0), (False, 6.0, 8.0, 0), (False, 5.0, 7.0, 0), (False, 4.0, 7.0, 3), (True, 8.0, 8.0, 4),
        (False, 1.0, 1.0, 4), (True, 8.0, 8.0, 4), (True, 9.0, 7.0, 7 if late else 4), (True, 2.0, 2.0, 8),
    ]  # fmt: skip

    def schedule(matching: Any) -> Any:
        answer, T, E, _ = script[int(matching[0])]
        point = SimpleNamespace(energy=np.array([0.25 * E, 0.75 * E])) if answer else None
        return SimpleNamespace(
            stop=Stop.OPTIMAL if answer else Stop.TOO_LITTLE, duration=T, lower=T, passes=3, point=point
        )

    def limits(matching: Any) -> Any:
        return SimpleNamespace(t_min=script[int(matching[0])][1], e_inf=script[int(matching[0])][2])

    run, turns, _ = run_of(goal, REPLICAS, limits=limits)
    turns.schedule, run.passes = schedule, 0  # type: ignore[method-assign]
    for number, (_, _, _, kept) in enumerate(script):
        for _ in range(2):
            run._try(np.array([number]), 5)
        assert run.passes == 3 * (number + 1)
        answer, T, E, _ = script[kept]
        assert run.chosen[5].tolist() == [kept]
        assert run.found is answer
        assert run.best == (REPLICAS[5] / T if answer else 0.0)
        assert run.results[5, STOPPED] == (Stop.OPTIMAL if answer else Stop.TOO_LITTLE)
        assert run.results[5, [DURATION, ENERGY] if answer else [LEAST_TIME, LEAST_ENERGY]].tolist() == [T, E]
    assert run.results[5, [LEAST_TIME, LEAST_ENERGY]].tolist() == [4.0, 7.0]


def test_what_is_said_of_all_matchings_in_the_end() -> None:
    lower = np.linspace(4.0, 6.0, P)

    def ceiling(goal: Goal, gains: FloatArray | None = None, bounds: FloatArray = lower, **more: Any) -> Any:
        run, _, stretches = run_of(goal, gains, **more)
        stretches.lower = bounds
        return run.ceiling()

    assert ceiling(Goal.ENERGY) is ceiling(Goal.DEADLINE) is None
    assert ceiling(Goal.DEADLINE, thrifty=True) == -4.0
    assert ceiling(Goal.ENERGY, REPLICAS) == (REPLICAS / lower).max()
    assert ceiling(Goal.ENERGY, REPLICAS, np.zeros(P)) == math.inf
    some = np.where(REPLICAS > 3.0, math.inf, lower)
    assert ceiling(Goal.DEADLINE, REPLICAS, some) == 3.0 / 6.0
    assert ceiling(Goal.DEADLINE, REPLICAS, np.full(P, math.inf)) == 0.0
