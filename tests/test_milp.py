"""The outer search by mixed-integer programs, on made-up clients: against every matching, in so many programs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from made_up import Everyone, assignments, budgets, drawn, everyone, task_of

pytest.importorskip("pulp")


import fedopt
from fedopt.rounds import rows_of
from solvers.limits import limits
from solvers.matching import marginal, milp
from solvers.matching.best import OutOfTime
from solvers.matching.fixed import duration_of
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, SCREENED, STOPPED, Proof, Searched, Task
from solvers.matching.task import empty_results as empty
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

ENERGY_, POWER_, DEADLINE_, _ = range(4)  # of budgets()
Found = tuple[IntArray, float] | None


def small(seed: int, which: int, *, size: int = 5, covers: tuple[int, ...] = (1, 2, 0), **more: Any) -> Task:
    menu = drawn(seed, size, covers).slower(2.0 ** (-5 * (seed % 3)))  # some rounds end within a second
    return task_of(menu, *budgets(menu)[which], **more)


class Exhaustive:
    """In the place of the program: every matching that there is, and what was asked; the dearest one its gap allows."""

    def __init__(self, gap: float = 0.0) -> None:
        self.gap = gap
        self.asked: list[tuple[float, IntArray | None]] = []

    def __call__(
        self, costs: FloatArray, covers: IntArray, weights: FloatArray, least: float, given: IntArray | None = None
    ) -> Found:
        self.asked.append((least, given))
        size, types = costs.shape
        every, counts = assignments(types, size)
        fits = counts @ weights >= least - 1e-9
        if given is None:
            fits &= (counts % covers == 0).all(axis=1)
        else:
            fits &= (counts[:, None, :] == given).all(axis=2).any(axis=1)
        total = np.where(fits, costs[np.arange(size), every].sum(axis=1), math.inf)
        best = int(np.where(total <= total.min() * (1.0 + self.gap), total, -math.inf).argmax())
        return (every[best], float(total[best])) if total[best] < math.inf else None


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Exhaustive:
    made = Exhaustive()
    monkeypatch.setattr(milp, "cheapest", made)
    return made


def best_of(task: Task, every: Everyone) -> tuple[float, float]:
    """The greatest R^power / T, and the least energy of those that reach it with as many replicas or more."""
    best = float(every.rates.max())
    return best, float(every.E[every.rates >= best * (1.0 - 1e-9)].min())


@pytest.mark.parametrize("which", [ENERGY_, POWER_, DEADLINE_])
@pytest.mark.parametrize(
    ("listed", "power", "work"),
    [
        (True, 0.0, (9, 7, 3)),
        (True, 1.0, (14, 14, 4)),
        (True, 2.0, (18, 15, 4)),
        (False, 0.0, (9, 7, 3)),
        (False, 1.0, (18, 17, 4)),
        (False, 2.0, (21, 18, 4)),
    ],
)
def test_the_best_of_every_matching_is_found_and_proved(
    which: int, power: float, listed: bool, work: tuple[int, ...], program: Exhaustive
) -> None:
    """A search for every gain there is, from the greatest down; of a list of partitions, or of all; in as many programs
    as when this was written."""
    asked = 0
    for seed in (0, 2, 3):
        reports: list[tuple[int, int, float]] = []
        task = small(seed, which, power=power, listed=listed, progress=lambda *r, told=reports: told.append(r))
        if listed:
            task = task.part(np.arange(0, len(task.counts), 2))
        every, start = everyone(task), marginal.search(task.quiet())
        assert task.gains is not None
        program.asked.clear()
        found = milp.search(task)
        best, energy = best_of(task, every)
        with np.errstate(divide="ignore"):
            rates = task.gains / found.results[:, DURATION]
        p = int(np.nanargmax(rates))
        assert rates[p] == pytest.approx(best, rel=1e-9)
        if which == DEADLINE_:
            assert np.nanmin(found.results[rates == rates[p], ENERGY]) == pytest.approx(energy, rel=1e-9)
        for q in np.flatnonzero(found.results[:, STOPPED] == Stop.OPTIMAL).tolist():
            again = task.find_duration(task.menu.rows_of(found.assign(q)), task.goal, task.value, task.allocate)
            assert found.results[q, DURATION] == pytest.approx(again.duration, rel=1e-12)
            assert np.bincount(found.assign(q), minlength=3).tolist() == task.counts[q].tolist()
            assert (found.results[q, DURATION], found.results[q, ENERGY]) <= tuple(start.results[q, :2].tolist()) or (
                np.isnan(start.results[q, DURATION])
            )
        steps = sorted(set(task.gains.tolist()), reverse=True)
        assert (found.proof, found.stopped, found.crowds) == (Proof.MATCHINGS, False, {})
        assert found.passes == start.passes + len(steps)
        assert [report[:2] for report in reports] == [(i + 1, len(steps)) for i in range(len(steps))]
        assert reports[-1][2] == pytest.approx(best, rel=1e-9)
        replicas = task.counts @ task.menu.weights
        assert {least for least, _ in program.asked} <= {float(replicas[task.gains == g].min()) for g in steps}
        assert all((given is None) is not listed for _, given in program.asked)
        if which == DEADLINE_:  # one each, down to the best
            assert len(program.asked) == sum(g >= best * task.value * (1.0 - 1e-12) for g in steps)
        asked += len(program.asked)
    assert work[which] - 1 <= asked <= work[which] + 1


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_search_that_is_stopped_proves_nothing(
    turns: int, program: Exhaustive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found before stays; that the greatest gains are impossible is no answer yet."""
    menu = drawn(0, covers=(1, 2, 2))
    menu.least[0, :4] = math.inf  # four of six at most
    reports: list[tuple[int, int, float]] = []
    task = task_of(menu, Goal.DEADLINE, 9.0, progress=lambda *report: reports.append(report))
    results = empty(len(task.counts))
    results[0, DURATION] = 90.0
    start = Searched(results=results, passes=5, assign=lambda p: np.zeros(6, dtype=np.int64))
    monkeypatch.setattr(marginal, "search", lambda task: start)
    monkeypatch.setattr(Task, "late", property(lambda _: len(program.asked) >= turns))
    found = milp.search(task)
    assert (found.stopped, found.proof, found.crowds) == (True, Proof.NONE, {})
    assert (len(program.asked), found.passes, len(reports)) == (turns, 5 + turns, turns)
    np.testing.assert_array_equal(found.results, results)
    assert found.results is not results


def test_where_nothing_is_found_every_partition_says_by_how_much(program: Exhaustive) -> None:
    menu = drawn(0, 5)
    for goal, stop in ((Goal.ENERGY, Stop.TOO_LITTLE), (Goal.DEADLINE, Stop.TOO_SHORT)):
        task = task_of(menu, goal, 1e-3)
        found = milp.search(task)
        assert (found.proof, found.stopped, sorted(found.crowds)) == (
            Proof.MATCHINGS,
            False,
            [*range(len(task.counts))],
        )
        assert (found.results[:, STOPPED] == stop).all()
        if goal is Goal.ENERGY:
            floors = menu.floor[everyone(task).assignments, np.arange(5)].sum(axis=1)
            assert found.results[:, LEAST_ENERGY].min() == pytest.approx(floors.min(), rel=1e-12)


def nothing(task: Task) -> Searched:
    """What a search finds that does not begin."""
    return Searched(results=empty(len(task.counts)), passes=3, assign=lambda p: np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize(("which", "kept"), [(ENERGY_, True), (DEADLINE_, False)])
def test_what_the_solver_overlooked_is_kept_and_nothing_is_proved(
    which: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program said to have no solution, while the matching of least energy is within the budget."""
    task = small(0, which)
    monkeypatch.setattr(marginal, "search", nothing)
    monkeypatch.setattr(milp, "cheapest", lambda *_: None)
    found = milp.search(task)
    assert found.proof is (Proof.NONE if kept else Proof.MATCHINGS)
    assert len(found.crowds) == len(task.counts)
    assert task.gains is not None
    assert found.passes == 3 + len(np.unique(task.gains))
    every = everyone(task)
    for p in range(len(task.counts)):
        if not kept or every.E[every.rows == p].min() == math.inf:
            assert np.isnan(found.results[p, DURATION])
            continue
        again = duration_of(task, found.assign(p))
        assert (found.results[p, DURATION], found.results[p, ENERGY]) == again
        assert found.results[p, STOPPED] == Stop.OPTIMAL


def test_what_was_not_looked_at_takes_any_answer_and_a_known_one_only_a_better(
    program: Exhaustive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of durations that are the same, the one of less energy."""
    task = small(0, DEADLINE_, covers=(1, 2, 2), size=4)
    every = everyone(task)
    top = int(every.rates.argmax())
    p, E = int(every.rows[top]), float(every.E[every.rates >= every.rates[top]].min())
    p = int(every.rows[int(np.flatnonzero((E == every.E) & (every.rates >= every.rates[top]))[0])])
    for stop, energy, taken in (
        (SCREENED, 0.5 * E, True), (Stop.OPTIMAL, 0.5 * E, False), (Stop.OPTIMAL, 2.0 * E, True),
    ):  # fmt: skip
        results = empty(len(task.counts))
        results[p, [DURATION, ENERGY, STOPPED]] = task.value, energy, stop
        kept = Searched(results=results, passes=0, assign=lambda p: np.full(4, -1))
        monkeypatch.setattr(marginal, "search", lambda task, kept=kept: kept)
        found = milp.search(task)
        assert found.results[p, ENERGY] == pytest.approx(E if taken else energy, rel=1e-12)
        assert bool(found.assign(p)[0] >= 0) is taken


@pytest.mark.parametrize("known", [True, False])
def test_a_whole_replica_in_no_time_is_as_good_as_can_be(
    known: bool, program: Exhaustive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the marginal order, or by a program."""
    if not known:
        monkeypatch.setattr(marginal, "search", nothing)
    menu = drawn(0, 4, (1, 2, 2))
    menu.floor[2], menu.w[2], menu.least[2] = 0.0, 0.0, 0.0
    told: list[float] = []
    for goal in (Goal.ENERGY, Goal.POWER):
        task = task_of(menu, goal, 1.0, progress=lambda done, total, best: told.append(best))
        found = milp.search(task)
        p = int(np.flatnonzero((task.counts == [0, 0, 4]).all(axis=1))[0])
        assert found.results[p, [DURATION, ENERGY]].tolist() == [0.0, 0.0]
        assert found.assign(p).tolist() == [2] * 4
        assert told[-1] == math.inf


def test_a_price_of_time_and_any_other_utility_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each partition is a program of its own, of no least replicas."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(milp, "one_by_one", lambda task, match: match)
    monkeypatch.setattr(milp, "cheapest", lambda *arguments: seen.append(arguments))
    task = small(0, ENERGY_)
    for asked in (dataclasses.replace(task, gains=None), dataclasses.replace(task, goal=Goal.PRICE)):
        match: Any = milp.search(asked)
        costs, counts = np.ones((5, 3)), np.array([1, 2, 2])
        assert match(costs, counts) is None
        assert seen[-1][0] is costs
        assert seen[-1][3] == 0.0
        assert seen[-1][4].tolist() == [[1, 2, 2]]


def test_the_parts_of_the_outer_search(program: Exhaustive) -> None:
    """The longest duration worth a look, the least one that there is, and the row of an assignment."""
    task = small(0, ENERGY_)
    match, every = milp._at_least(task, 1.0), everyone(task)
    endless = match(math.inf)
    assert endless is not None
    T = duration_of(task, endless[0])[0]
    assert T < milp._endless(task, match) == pytest.approx(T, rel=2e-12)
    assert milp._endless(task, lambda T: None) == math.inf
    assert milp._shorter(task, match, math.inf) is None
    shorter = milp._shorter(task, match, 2.0 * T)
    assert shorter is not None
    assert shorter.duration == pytest.approx(every.T.min(), rel=1e-9)
    assert shorter.lower >= task.menu.shortest
    for p, counts in enumerate(task.counts):
        assert milp._row_of(task, np.repeat(np.arange(3), counts)) == p
    with pytest.raises(OutOfTime):
        milp._at_least(dataclasses.replace(task, until=0.0), 1.0)(9.0)


@pytest.mark.parametrize("seed", [5, 11, 13, 15, 23])
def test_what_the_gap_of_the_program_hides_is_in_the_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that gives the dearest matching its gap allows, beside a chip that takes 1e10 times as much as others.

    Once the first answer within the budget was proved to be the best where others were twice as good.
    """
    rng = np.random.default_rng(seed)
    fastest = rng.uniform(0.8e9, 2.5e9, 4) * np.array([3e5, 1.0, 1.0, 1.0])
    clients = fedopt.Clients(
        frequency_min=0.2 * fastest, frequency_max=fastest, samples=rng.uniform(100, 900, 4),
        channel_gain=10.0 ** rng.uniform(-12, -9, 4), bandwidth=2e6, power_max=0.1, static_power=0.1,
    )  # fmt: skip
    large = fedopt.SubModel("large", flops=3.4e7, upload_bits=5.4e5, cover=1)
    types = large, fedopt.SubModel("half", flops=1.8e7, upload_bits=3.2e5, cover=2)
    work = clients.workload(types, rng.permutation([0, 0, 1, 1]))
    duration = limits(rows_of(clients, work)).t_min * rng.uniform(1.05, 3.0)
    most = float(fedopt.allocate(clients, work, duration=duration).energy.sum())
    problem = fedopt.Problem(clients, types, budget=fedopt.EnergyBudget(most))
    best = fedopt.solve(problem)
    assert best.status.solved
    monkeypatch.setattr(milp, "cheapest", Exhaustive(milp._GAP))
    poor = fedopt.solve(problem, matching="milp")
    assert poor.bound >= best.utility * (1.0 - 1e-9)
    assert fedopt.verify(problem, poor).ok
    assert poor.status is fedopt.Status.LIMIT or poor.utility >= best.utility * (1.0 - 1e-2)
