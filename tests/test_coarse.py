"""The search from coarse to fine: all matchings of a few made-up clients, and looks whose bounds are known formulas."""

from __future__ import annotations

import itertools
import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import Made, drawn, everyone, task_of, unlisted, unlisted_of

from solvers.matching import coarse
from solvers.matching.coarse import search_coarse
from solvers.matching.lookers import AllMatchings, SortedMatchings
from solvers.matching.task import DURATION, ENERGY, STOPPED, Proof
from solvers.menu import IntArray
from solvers.rows import Goal, Stop


def budgets(menu: Made, goal: Goal) -> list[float]:
    """From what hardly anybody can to what everybody can at once."""
    energy = [float(np.sort(menu.costs(T), axis=0)[0].sum()) for T in (1.5 * menu.longest, 6.0 * menu.longest)]
    match goal:
        case Goal.ENERGY:
            return [1.01 * energy[1], energy[0], 100.0 * energy[0]]
        case Goal.POWER:
            return [0.01 * energy[1], energy[0] / menu.longest, 100.0 * energy[0]]
        case Goal.DEADLINE:
            return [1.001 * menu.shortest, menu.longest, 5.0 * menu.longest]
    return [0.1, 3.0, 100.0]


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("ordered", [False, True])
def test_no_matching_beats_the_bound(goal: Goal, power: float, ordered: bool) -> None:
    """And what is found is one of them, and no worse than a fifth below the best; told as it is."""
    near = []
    for seed, i in itertools.product(range(2), range(3)):
        menu = drawn(seed, 5, ((1, 2, 2), (1, 2, 0))[seed])
        listed = task_of(menu, goal, budgets(menu, goal)[i], power=power, gap=1e-3)
        task, every = unlisted(listed), everyone(listed)
        looker = SortedMatchings(task, menu.order) if ordered else AllMatchings(task)
        best = float(every.rates[(np.diff(every.assignments) >= 0).all(axis=1) if ordered else ...].max())
        found = search_coarse(task, looker)
        assert len(found.results) == len(found.counts) >= 1  # type: ignore[arg-type]
        assert (found.passes, found.matchings) == (looker.passes, looker.matchings)
        if best == 0.0:
            assert np.isnan(found.results[0, :2]).all()
            continue
        assert found.proof is (Proof.SORTED if ordered else Proof.MATCHINGS)
        T, E = found.results[0, [DURATION, ENERGY]]
        if not math.isfinite(T):
            assert found.stopped
            continue
        assert not found.stopped
        assignment = found.assign(0)
        answer = menu.rows_of(assignment).answers(goal, task.value)
        assert np.ravel(answer) == pytest.approx([T, E], rel=1e-14, abs=0.0)
        assert found.results[0, STOPPED] == Stop.OPTIMAL
        assert goal is Goal.PRICE or len(found.results) == 1
        utility = float(menu.weights[assignment].sum()) ** power / T
        assert utility <= best * (1.0 + 1e-9)
        ceiling = utility if found.ceiling is None else found.ceiling
        assert ceiling >= utility
        if goal is Goal.PRICE:
            assert found.lower is None
        else:
            assert best <= ceiling * (1.0 + 1e-9)
            assert found.lower is not None
            assert found.lower[0] == pytest.approx(T * utility / ceiling, rel=1e-12)
        for p, counts in enumerate(found.counts):  # type: ignore[arg-type]
            assert counts.tolist() == np.bincount(found.assign(p), minlength=3).tolist()
            own = float(menu.weights[found.assign(p)].sum()) ** power / found.results[p, DURATION]
            assert own <= utility
        near.append(utility / best)
    assert np.mean(near) > 0.8


class Crowd:
    """R replicas of one client each, all alike, that take c/T^2 [J] each, of ``size`` clients; nobody is asked who.

    Within a budget B at T there are at most B T^2/c of them; a look at T knows the tangent for what is before.
    unit [s]: of the least duration, and c is in such squares.
    """

    proof = Proof.MATCHINGS

    def __init__(
        self, size: int, c: float, budget: float, power: float, *, more: float = 1.0, unit: float = 1.0, **task: Any
    ) -> None:
        c, both = c * unit**2, np.repeat([[1.0], [0.0]], size, axis=1)
        menu = Made(0.0 * both, c * both, unit * both, np.array([1, 1]), np.array([1.0, 0.0]))
        self.size, self.c, self.budget, self.power, self.more, self.unit = size, c, budget, power, more, unit
        self.passes = self.matchings = 0
        self.looks, self.proposed = list[float](), list[float]()
        self.task = unlisted_of(menu, Goal.ENERGY, budget, power=power, **task)

    def cap(self, start: float, end: float) -> float:
        return float(self.size) ** self.power / max(start, self.unit) if end >= self.unit else 0.0

    def least_energy(self) -> float:
        return 0.0

    def look(self, duration: float) -> Any:
        self.looks.append(duration)
        return _Look(self, duration)

    def best(self) -> float:
        """The greatest utility: each number of replicas at its own duration."""
        R = np.arange(1.0, self.size + 1.0)
        return float((R**self.power / np.maximum(self.unit, np.sqrt(self.c * R / self.budget))).max())


class _Look:
    in_whole = math.inf

    def __init__(self, crowd: Crowd, duration: float) -> None:
        self.crowd, self.duration = crowd, duration

    def most(self, earlier: float) -> float:
        if self.duration < self.crowd.unit:
            return -math.inf
        each = self.crowd.c / self.duration**2 * (3.0 - 2.0 * earlier / self.duration)
        return min(self.crowd.budget / each, self.crowd.size) * self.crowd.more

    def propose(self) -> IntArray | None:
        self.crowd.proposed.append(self.duration)
        R = min(int(self.crowd.budget / self.crowd.c * self.duration**2 * (1.0 + 1e-9)), self.crowd.size)
        return np.repeat([0, 1], [R, self.crowd.size - R]) if R > 0 and self.duration >= self.crowd.unit else None


CASES = [  # power, c, how far too high the bounds are, gap
    (0.0, 20.0, 1.0, 1e-4),
    (0.0, 20.0, 1.03, 1e-4),
    (0.5, 20.0, 1.0, 1e-4),
    (0.5, 20.0, 1.03, 1e-4),
    (0.5, 400.0, 1.0, 1e-3),
    (0.3, 20.0, 1.0, 1e-2),
    (1.0, 7.3, 1.0, 1e-4),
    (1.0, 20.0, 1.03, 1e-4),
    (2.0, 400.0, 1.0, 1e-3),
    (2.0, 20.0, 1.03, 1e-4),
]


@pytest.mark.parametrize("unit", [1.0, 64.0])
def test_the_best_number_of_replicas_in_as_many_looks_as_when_this_was_written(unit: float) -> None:
    """Proved within the gap, or as far as looks themselves can prove; the work of all cases together."""
    looks = proposed = 0
    for power, c, more, gap in CASES:
        crowd = Crowd(30, c, 10.0, power, gap=gap, more=more, unit=unit)
        found = search_coarse(crowd.task, crowd)
        assert found.counts is not None
        assert float(found.counts[0, 0]) ** power / found.results[0, DURATION] == pytest.approx(crowd.best(), rel=1e-12)
        ceiling = crowd.best() if found.ceiling is None else found.ceiling
        assert crowd.best() * (1.0 - 1e-12) <= ceiling <= crowd.best() * more**0.5 * (1.0 + gap) * (1.0 + 1e-8)
        assert not found.stopped
        looks, proposed = looks + len(crowd.looks), proposed + len(crowd.proposed)
    assert looks == pytest.approx(469, rel=0.02)
    assert proposed == pytest.approx(201, rel=0.03)


def test_where_all_can_do_it_at_once_one_look_is_enough() -> None:
    told = list[int]()
    crowd = Crowd(30, 0.3, 10.0, 1.0, progress=lambda *each: told.append(each[0]))
    found = search_coarse(crowd.task, crowd)
    assert crowd.looks == [2.0]
    assert not told
    assert (found.results[0, DURATION], found.ceiling) == (1.0, None)


def test_longer_and_longer_where_nothing_is_within_the_budget() -> None:
    """Four times each, up to 1e12 of the longest; if nothing is found, nothing is proved either."""
    crowd = Crowd(3, 4.0, 4e-4, 1.0, unit=3.0)  # one replica in 300 s
    assert math.isfinite(search_coarse(crowd.task, crowd).results[0, DURATION])
    assert crowd.proposed[:4] == [6.0, 24.0, 96.0, 384.0]
    assert set(crowd.looks) >= set(crowd.proposed)
    never = Crowd(3, 4.0, 1e-30, 1.0, unit=3.0)
    found = search_coarse(never.task, never)
    assert never.proposed == [6.0 * 4.0**i for i in range(21)]
    assert 6.0 * 4.0**19 < 3e12 <= never.proposed[-1]
    assert np.isnan(found.results[0, :2]).all()
    assert found.ceiling == math.inf
    assert found.stopped
    assert found.lower is not None
    assert np.isnan(found.lower).all()


def test_late_the_first_answer_is_in_hand_and_a_bound() -> None:
    told = list[tuple[int, int, float]]()
    crowd = Crowd(30, 20.0, 10.0, 0.5, until=time.perf_counter(), progress=lambda *each: told.append(each))
    found = search_coarse(crowd.task, crowd)
    assert found.stopped
    assert crowd.proposed == [2.0]
    assert found.ceiling is not None
    assert found.ceiling >= crowd.best()
    assert not told


@pytest.mark.parametrize("gap", [0.3, 0.02])
def test_late_is_unfinished_where_cutting_could_have_proved_more(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than single durations do, and the gap; the clock tells the looks made."""
    finished = list[bool]()
    for until in range(2, 40, 2):
        crowd = Crowd(30, 20.0, 10.0, 0.5, more=1.5, gap=gap, until=float(until))
        monkeypatch.setattr(
            "solvers.matching.task.time", SimpleNamespace(perf_counter=lambda crowd=crowd: len(crowd.looks))
        )
        run = coarse._Stretches(crowd.task, crowd)
        found = run.search()
        ceiling = run.best.rate if found.ceiling is None else found.ceiling
        enough = max(run.best.rate, run._relaxed) * (1.0 + gap)
        assert found.stopped is (crowd.task.late and ceiling > enough)
        assert ceiling >= crowd.best() * (1.0 - 1e-12)
        finished.append(not found.stopped)
    assert finished == sorted(finished)
    assert set(finished) == {True, False}


def test_so_many_steps_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[float]()
    monkeypatch.setattr(coarse, "_LOOKS", 7)
    monkeypatch.setattr(coarse, "_ELSEWHERE", 2)
    crowd = Crowd(30, 20.0, 10.0, 0.5, gap=1e-4, progress=lambda *each: told.append(each[0]))
    found = search_coarse(crowd.task, crowd)
    assert len(told) == 7 + 2
    assert found.ceiling is not None
    assert found.ceiling > crowd.best()
    assert not found.stopped
