"""The parts of the search between bounds, on made-up partitions: where they are bounded, who may win, and why not."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solvers.matching import sandwich
from solvers.matching.between import BOUNDS, E_FIRST, E_HIGH, E_LEAST, E_LOW, T_HIGH, T_LEAST, T_LOW
from solvers.matching.task import (
    DURATION,
    ENERGY,
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Proof,
    Searched,
    empty_results,
)
from solvers.rows import FloatArray, Goal, Stop

NOTHING = Searched(results=empty_results(0), passes=0, assign=lambda p: np.zeros(0, dtype=np.int64))


class Menu:
    """So many rows under so many types, all of them between a shortest and a longest duration."""

    def __init__(self, size: int, types: int, shortest: float = 1.0, longest: float = 4.0) -> None:
        self.rows, self.shortest, self.longest, self._size = (None,) * types, shortest, longest, size

    def __len__(self) -> int:
        return self._size


@dataclasses.dataclass(frozen=True)
class Made:
    """What these parts read of a task."""

    goal: Goal = Goal.POWER
    value: float = 3.0
    gains: FloatArray | None = None
    counts: Any = ((1, 1),)
    menu: Any = dataclasses.field(default_factory=lambda: Menu(2, 2))
    compiled: bool = True
    thrifty: bool = False
    limits: Any = None
    progress: Any = None
    late: bool = False

    def part(self, rows: Any) -> Made:
        gains = None if self.gains is None else self.gains[rows]
        return dataclasses.replace(self, counts=self.counts[rows], gains=gains)

    def quiet(self) -> Made:
        return dataclasses.replace(self, progress=None)


def made(**changes: Any) -> Any:
    return Made(**changes)


def results_of(T: Any, E: Any = math.nan) -> FloatArray:
    results = empty_results(len(T))
    results[:, DURATION], results[:, ENERGY] = T, E
    return results


def test_the_first_durations_are_those_at_which_a_partition_would_beat_the_sample() -> None:
    """From the least gain over the best rate to the greatest; 24 of them, none below the shortest there is."""
    sample, gains = np.array([1, 3]), np.array([4.0, 2.0, 16.0, 12.0])
    results = results_of([5.0, math.nan])

    def durations(**changes: Any) -> Any:
        given = {"gains": gains, "results": results, "menu": Menu(2, 2, 0.1), **changes}
        found = given.pop("results")
        return sandwich._first_durations(made(**given), sample, found)

    def span(low: float, high: float) -> Any:
        return pytest.approx(low * (high / low) ** (np.arange(24) / 23.0), rel=1e-12)

    assert durations() == span(2.0 / 0.4, 16.0 / 0.4)
    assert durations(results=results_of([5.0, 10.0])) == span(2.0 / 1.2, 16.0 / 1.2)
    assert durations(menu=Menu(2, 2, 7.0)) == span(7.0, 40.0)
    assert durations(menu=Menu(2, 2, 50.0)) == span(50.0, 75.0)
    assert durations(gains=np.full(4, 2.0)) == span(5.0, 7.5)
    assert durations(gains=np.array([1e-14, 2.0, 16.0, 12.0]), menu=Menu(2, 2, 0.0)) == pytest.approx(
        4e-11 * 1e12 ** (np.arange(24) / 23.0), rel=1e-9, abs=0.0
    )
    assert durations(results=results_of([math.nan, math.nan])) == span(0.1, 256.0)
    assert durations(gains=None, results=results_of([5.0, 8.0])) == span(2.5, 16.0)
    assert durations(goal=Goal.DEADLINE).tolist() == [3.0]
    assert durations(goal=Goal.DEADLINE, value=0.5).tolist() == [0.5]
    assert durations(goal=Goal.DEADLINE, value=0.0) is None
    assert durations(menu=Menu(2, 2, math.inf)).tolist() == [1.0]
    assert durations(menu=Menu(2, 2, 0.0), results=results_of([0.0, 5.0])) is None  # an endless rate
    free = Menu(2, 2, 0.0, 0.0)
    assert durations(menu=free, results=results_of([math.nan, math.nan])) is None


@pytest.mark.parametrize(
    ("goal", "best", "needed"),
    [
        (Goal.ENERGY, 0.5, [4.0, 32.0]), (Goal.POWER, 0.5, [4.0, 32.0]), (Goal.DEADLINE, 0.5, []),
        (Goal.PRICE, 0.5, []), (Goal.ENERGY, 0.0, []), (Goal.ENERGY, math.inf, []), (Goal.ENERGY, None, []),
    ],
)  # fmt: skip
def test_budgets_are_bounded_no_closer_than_the_best_asks_for(
    goal: Goal, best: float | None, needed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr(sandwich, "bound_partitions", lambda *given: seen.append(given))
    sums: Any = SimpleNamespace(durations=1, energy=2, price=3, misses=4, least=5, floor=6)
    counts = np.array([(0, 2), (1, 1), (2, 0)])
    menu = Menu(2, 2)
    menu.types = np.array([1, 0])  # type: ignore[attr-defined]
    given = made(goal=goal, counts=counts, gains=None if best is None else np.array([1.0, 2.0, 16.0]), menu=menu)
    found = sandwich._bounds(given, sums, np.array([1, 2]), best or 0.0)
    assert found.shape == (2, BOUNDS)
    assert seen[0][:6] == (1, 2, 3, 4, 5, 6)
    assert seen[0][6].tolist() == [[1, 1], [2, 0]]
    assert seen[0][7] is menu.types  # type: ignore[attr-defined]
    assert seen[0][8:10] == (int(goal), 3.0)
    assert seen[0][10].tolist() == needed
    assert seen[0][11] is found


def bounds_of(**columns: Any) -> FloatArray:
    """Bounds of some partitions, zero where nothing is said."""
    names = {"t_least": T_LEAST, "low": T_LOW, "high": T_HIGH, "e_low": E_LOW, "e_high": E_HIGH, "first": E_FIRST}
    bounds = np.zeros((len(next(iter(columns.values()))), BOUNDS))
    for name, values in columns.items():
        bounds[:, (names | {"e_least": E_LEAST})[name]] = values
    return bounds


def test_the_closer_of_two_bounds_is_the_one_that_says_more() -> None:
    """Of the energy at the lower duration the one that goes with it, at equal durations the greater."""
    names = ("low", "high", "e_low", "e_high", "first")
    one, other, closer = (
        bounds_of(**dict(zip(names, np.array(rows).T, strict=True)), t_least=np.ones(4), e_least=np.full(4, 0.5))
        for rows in (
            [
                (1.0, 9.0, 1.0, 9.0, 5.0),
                (5.0, 6.0, 2.0, 8.0, 4.0),
                (2.0, 8.0, 3.0, 7.0, 3.0),
                (3.0, 3.5, 4.0, 6.0, 2.0),
            ],
            [
                (2.0, 8.0, 2.0, 8.0, 3.0),
                (4.0, 7.0, 1.0, 9.0, 7.0),
                (2.0, 8.0, 3.5, 6.0, 6.0),
                (4.0, 9.0, 3.0, 7.0, 1.0),
            ],
            [
                (2.0, 8.0, 2.0, 8.0, 3.0),
                (5.0, 6.0, 2.0, 8.0, 4.0),
                (2.0, 8.0, 3.5, 6.0, 6.0),
                (3.5, 3.5, 4.0, 6.0, 1.0),
            ],
        )
    )
    assert sandwich._closer(one, other).tolist() == closer.tolist()
    assert sandwich._closer(other, one).tolist() == closer.tolist()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("thrifty", [False, True])
def test_whoever_may_be_the_best_stays(seed: int, thrifty: bool) -> None:
    """Numbers of few digits, so that many are equal: all that some outcome within the bounds makes best, no other."""
    rng = np.random.default_rng(seed)
    rows, gains = rng.permutation(12)[:8], rng.integers(1, 4, 12).astype(float)
    low = rng.integers(1, 5, 8).astype(float)
    low[rng.random(8) < 0.2] = math.inf
    high = low + rng.integers(0, 3, 8)
    high[rng.random(8) < 0.3] = math.inf
    first, e_low = rng.integers(1, 4, 8).astype(float), rng.integers(1, 4, 8).astype(float)
    e_high = np.maximum(first, e_low) + rng.integers(0, 3, 8)
    e_high[high == math.inf] = math.inf
    bounds = bounds_of(low=low, high=high, e_low=e_low, e_high=e_high, first=first)
    known = float(rng.choice([0.0, 0.25, 1.0]))
    given = made(gains=None if thrifty else gains, thrifty=thrifty)
    least, most = sandwich._utilities(given, bounds, rows)
    if thrifty:
        assert least.tolist() == (-e_high).tolist()
        assert most.tolist() == np.where(low < math.inf, -e_low, -math.inf).tolist()
    else:
        assert least.tolist() == (gains[rows] / high).tolist()
        assert most.tolist() == np.where(low < math.inf, gains[rows] / low, -math.inf).tolist()
    sure = max(least.max(), -math.inf if thrifty else known)
    cost = min([e_high[i] for i in range(8) if least[i] == sure], default=math.inf)
    stay = [
        int(rows[i])
        for i in range(8)
        if most[i] > -math.inf and (most[i] > sure or (most[i] == sure and first[i] <= cost))
    ]
    assert sandwich._overlapping(given, bounds, rows, known).tolist() == stay
    bounds[:, [T_LOW, T_HIGH, E_HIGH]] = math.inf
    assert not sandwich._overlapping(given, bounds, rows, known).size  # nobody has an answer


def test_the_best_of_some_results_and_the_least_energy_it_takes() -> None:
    gains = np.array([1.0, 2.0, 3.0, 4.0, 6.0])
    results = results_of([1.0, math.nan, 1.5, 2.0], [9.0, 1.0, 7.0, 8.0])
    assert sandwich._best(made(gains=gains), np.array([1, 0, 2, 3]), results) == (2.0, 7.0)
    assert sandwich._best(made(gains=gains), np.array([4, 0, 2, 3]), results) == (6.0, 9.0)
    assert sandwich._best(made(gains=None), np.array([1, 0, 2, 3]), results) == (-7.0, math.inf)
    assert sandwich._best(made(gains=gains), np.array([1, 0, 2, 3]), results_of([math.nan] * 4)) == (
        -math.inf,
        math.inf,
    )
    assert sandwich._best(made(gains=gains), np.array([1]), results_of([0.0], [2.0])) == (math.inf, 2.0)


@pytest.mark.parametrize(("goal", "why"), [(Goal.DEADLINE, Stop.TOO_SHORT), (Goal.POWER, Stop.TOO_LITTLE)])
def test_why_partitions_have_no_answer(goal: Goal, why: Stop) -> None:
    """Too slow or too dear, or out of reach at all, and what they need at the least; the others are left alone."""
    bounds = bounds_of(low=[1.0, math.inf, math.inf], t_least=[0.5, 2.0, math.inf], e_least=[3.0, 4.0, 5.0])
    results = empty_results(3)
    sandwich._explain(made(goal=goal), bounds, results)
    assert np.array_equal(results[0], empty_results(1)[0], equal_nan=True)
    assert results[1, [STOPPED, LEAST_TIME, LEAST_ENERGY]].tolist() == [why, 2.0, 4.0]
    assert results[2, [STOPPED, LEAST_TIME, LEAST_ENERGY]].tolist() == [Stop.UNREACHABLE, math.inf, math.inf]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("energy", "over"), [(4.0, [False, True, True]), (3.9, [True, True, True]), (5.0, [False, False, True])]
)
def test_partitions_are_solved_from_the_greatest_hope_on_until_none_is_above_the_best(
    energy: float, over: list[bool], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equal hopes the one of least energy first; where time is up, what is left open is the greatest hope."""
    bounds = bounds_of(low=[4.0, 1.0, 2.0, 2.0, 8.0], high=[9.0] * 5, first=[1.0, 5.0, 4.0, 3.0, 1.0])
    told, solved = list[Any](), list[Any]()
    results = results_of([2.0, 4.0, math.nan, math.nan], [energy, 1.0, math.nan, math.nan])
    results[:2, LEAST_TIME] = 1.0

    def search(task: Any, orders: Any, *, marginal: bool, settled: Any = None) -> Searched:
        assert orders.tolist() == [[0, 1]]
        assert not marginal
        solved.append(task.counts[:, 0].tolist())
        if settled is not None:
            assert [settled(p, results) for p in range(1, 4)] == over
            task.progress(3, 4, 0.8)
        return dataclasses.replace(NOTHING, results=results, assign=lambda p: solved[-1][p], stopped=late, passes=5)

    monkeypatch.setattr(sandwich, "search_ordered", search)
    gains, counts = np.array([2.0, 0.8, 1.6, 1.6, 9.0]), np.arange(10).reshape(5, 2)
    given = made(gains=gains, counts=counts, progress=lambda *each: told.append(each))
    found = sandwich._solve(given, np.arange(2), bounds, np.array([0, 1, 2, 3]))
    assert solved == [[6, 4, 2, 0]]
    assert told == [(4, 5, 0.8)]
    assert np.array_equal(found.results, np.vstack([results[::-1], empty_results(1)]), equal_nan=True)
    assert (found.passes, found.proof) == (5, Proof.SORTED)
    assert found.ceiling == (0.8 if late else None)
    assert [found.assign(p) for p in range(4)] == [0, 2, 4, 6]
    assert found.assign(4) == 8
    assert solved[1:] == [[8]]
    nobody = sandwich._solve(given, np.arange(2), bounds, np.zeros(0, dtype=np.int64))
    assert np.array_equal(nobody.results, empty_results(5), equal_nan=True)
    assert (nobody.passes, nobody.proof, int(nobody.assign(2))) == (0, Proof.SORTED, 4)


def test_where_time_is_up_what_has_an_answer_is_left_open_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was hoped of it."""
    results = results_of([2.0, math.nan, math.nan], [1.0, math.nan, math.nan])
    results[0, LEAST_TIME] = 1.0
    stopped = dataclasses.replace(NOTHING, results=results, stopped=True)
    monkeypatch.setattr(sandwich, "search_ordered", lambda *_, **__: stopped)
    given = made(gains=np.ones(3), counts=np.ones((3, 2)), progress=None)
    found = sandwich._solve(given, np.arange(2), bounds_of(low=[1.0, 4.0, 8.0], high=[9.0] * 3), np.arange(3))
    assert found.ceiling == 0.25
