"""Matchings at prices of bandwidth: clients whose best shares are a formula, against every matching there is."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import Made, assignments, least_of, matchings, partitions, task_of

from solvers.matching import priced
from solvers.matching.stretches import Priced
from solvers.matching.task import DURATION, ENERGY, LEAST_ENERGY, LEAST_TIME, STOPPED, Proof, Task, empty_results
from solvers.menu import IntArray, fill
from solvers.rows import FloatArray, Goal, Stop

HERTZ = 4.0
SIZE = 5


class Sharing(Made):
    """A share b of the channel costs s/b [J]: at a price mu of the channel sqrt(s/mu) of it is best, and a matching
    takes floor + w/T^2 + S^2 [J], S the sum of the sqrt(s), at the price S^2."""

    columns = (*Made.columns, "s")

    def __init__(self, seed: int) -> None:
        rng, scale = np.random.default_rng(seed), np.array([[1.0], [0.5], [0.0 if seed % 2 else 0.25]])
        least, floor, w = (scale * rng.uniform(*ends, (3, SIZE)) for ends in ((0.5, 1.0), (0.1, 1.0), (1.0, 20.0)))
        if seed % 3 == 1:
            least[0, :2] = np.inf
        super().__init__(floor, w, least, np.ones(3, dtype=np.int64), np.array([1.0, 0.5, 0.25 * (seed % 2 == 0)]))
        self.s = scale**2 * rng.uniform(0.01, 1.0, (3, SIZE))
        self.rows = [SimpleNamespace(bandwidth=[HERTZ])] * 3
        self.order, self.passes, self.solved = rng.permutation(SIZE), 0, list[Sharing]()
        self.counts = [tuple(counts) for counts in partitions(self)[::-1].tolist()]

    def at(self, T: float, mu: float) -> Priced:
        """As the costs of a menu under shared bandwidth."""
        self.passes += 1
        costs, falls = self.costs_and_prices(T)
        return Priced(costs=costs + 2.0 * np.sqrt(self.s * mu), falls=falls, taken=np.sqrt(self.s / mu))

    def channel(self) -> FloatArray:
        """S^2 of matched rows."""
        squared: FloatArray = np.sqrt(self.s).sum(axis=-1) ** 2
        return squared

    def sums(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        floor, w, least = super().sums()
        return floor + self.channel(), w, least

    def schedule(self, rows: Sharing, hertz: float, goal: Goal, value: float) -> Any:
        assert hertz == HERTZ
        self.solved.append(rows)
        (T,), (E,) = rows.answers(goal, value)
        point = SimpleNamespace(energy=np.array([0.25 * E, 0.75 * E])) if math.isfinite(T) else None
        stop = Stop.TOO_LITTLE if point is None else (Stop.SLACK if rows.least.max() == T else Stop.OPTIMAL)
        timing = SimpleNamespace(duration=float(T), lower=float(T), point=point, passes=7, stop=stop)
        return SimpleNamespace(timing=timing, bandwidth_price=float(rows.channel()) / HERTZ)

    def asked(self, goal: Goal, value: float, counts: Any, **more: Any) -> Task:
        def limits(rows: Sharing) -> Any:
            return SimpleNamespace(t_min=rows.sums()[2], e_inf=rows.sums()[0])

        return task_of(self, goal, value, counts=np.asarray(counts), **({"gains": None, "limits": limits} | more))

    def matchings(self, counts: tuple[int, ...]) -> IntArray:
        return matchings(self, np.array([counts]))[0]

    def best(self, values: FloatArray) -> dict[tuple[int, ...], float]:
        """Of every partition, over all its matchings."""
        return dict(zip(self.counts, least_of(values, np.array(self.counts)).tolist(), strict=True))

    def least_energies(self, T: float) -> dict[tuple[int, ...], float]:
        """inf where none is feasible."""
        floor, w, least = self.rows_of(assignments(3, SIZE)[0]).sums()
        return self.best(np.where(least <= T, floor + w / T**2, math.inf))

    def least_durations(self, goal: Goal, value: float) -> dict[tuple[int, ...], float]:
        return self.best(self.rows_of(assignments(3, SIZE)[0]).answers(goal, value)[0])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the prices and costs of a task whose costs and schedules are made up."""

    def made(task: Task) -> Any:
        menu: Any = task.menu
        monkeypatch.setattr(priced, "schedule", menu.schedule)
        monkeypatch.setattr(priced, "BandCosts", lambda given: given)
        return priced._Run(task)

    return made


def budgets(menu: Sharing, goal: Goal) -> list[float]:
    """From what few matchings can to what all can at once."""
    energies = [np.median([E for E in menu.least_energies(T).values() if math.isfinite(E)]) for T in (2.0, 5.0, 50.0)]
    return [float(E) / (T if goal is Goal.POWER else 1.0) for E, T in zip(energies, (2.0, 5.0, 50.0), strict=True)]


WORK = {Goal.ENERGY: (335, 888), Goal.POWER: (166, 664)}  # matchings solved and prices tried when this was written


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_no_matching_of_any_partition_is_shorter_than_proved(goal: Goal, run: Any) -> None:
    """Nor better than the ceiling; the best found is nearly the best there is, in as much work as known."""
    near, solved, looked = [], 0, 0
    for seed in range(4):
        menu = Sharing(seed)
        counts = menu.counts
        gains = np.array([np.array(each) @ menu.weights for each in counts])
        for value in budgets(menu, goal):
            told = list[tuple[int, int, float]]()
            task = menu.asked(goal, value, counts, gains=gains, progress=lambda *each, told=told: told.append(each))
            run(task)
            menu.solved.clear()
            menu.passes = 0
            found = priced.search(task)
            solved, looked = solved + len(menu.solved), looked + menu.passes
            assert found.passes == 7 * len(menu.solved) + menu.passes
            truth = menu.least_durations(goal, value)
            assert found.lower is not None
            rates = gains / found.results[:, DURATION]
            for p, each in enumerate(counts):
                T, E, stop = found.results[p, [DURATION, ENERGY, STOPPED]]
                assert found.lower[p] <= max(
                    truth[each] * (1.0 + 1e-9), np.nanmin(gains[p] / np.nanmax(rates)) * (1.0 + 1e-9)
                )
                if math.isfinite(T):
                    assignment = found.assign(p)
                    assert np.bincount(assignment, minlength=3).tolist() == list(each)
                    assert pytest.approx(np.ravel(menu.rows_of(assignment).answers(goal, value))) == [T, E]
                    assert stop == (Stop.SLACK if menu.least[assignment, np.arange(SIZE)].max() == T else Stop.OPTIMAL)
                    assert found.lower[p] <= T
            best = max(gains[p] / truth[each] for p, each in enumerate(counts))
            if best == 0.0:
                assert np.isnan(rates).all()
                continue
            assert found.ceiling is not None
            assert best <= found.ceiling * (1.0 + 1e-9)
            near.append((np.nanmax(rates) / best, found.ceiling / best))
            assert told[-1] == (len(counts), len(counts), np.nanmax(rates))
            assert {(0 < done <= total, total) for done, total, _ in told} == {(True, len(counts))}
            assert [rate for *_, rate in told] == sorted(rate for *_, rate in told)
            assert found.proof is Proof.MATCHINGS
            assert not found.stopped
    assert np.array(near) == pytest.approx(np.ones((len(near), 2)), rel=1e-6)
    for count, known in zip((solved, looked), WORK[goal], strict=True):
        assert abs(count - known) <= 0.02 * known


@pytest.mark.parametrize("seed", range(4))
def test_a_price_bounds_the_energy_of_every_partition(seed: int, run: Any) -> None:
    """At its duration: of its own best matching, and by the same proof of all others; also that there is none."""
    menu = Sharing(seed)
    none = 0
    it = run(menu.asked(Goal.ENERGY, 9.0, menu.counts))
    for T in (0.55, 0.9, 3.0):
        truth = menu.least_energies(T)
        for counts, mu in ((each, mu) for each in menu.counts for mu in (0.3, 4.0)):
            bound = it._priced(T, mu, np.array(counts))
            assert (bound.T, bound.mu, bound.cut.duration) == (T, mu, T)
            assert bound.energy <= truth[counts] * (1.0 + 1e-12)
            if bound.assignment is None:
                none += 1
                assert truth[counts] == bound.energy == bound.over == math.inf
            else:
                own = np.arange(SIZE)
                assert np.bincount(bound.assignment, minlength=3).tolist() == list(counts)
                costs = menu.at(T, mu).costs[bound.assignment, own].sum()
                assert bound.energy == pytest.approx(costs - mu, rel=1e-12)
                taken = math.sqrt(menu.rows_of(bound.assignment).channel() / mu)
                assert bound.over == (pytest.approx(math.log(taken), abs=1e-12) if taken else -1.0)
                assert bound.cut.constant + np.array(counts) @ bound.cut.prices == pytest.approx(bound.energy, abs=1e-9)
            for other, energy in truth.items():
                rows = np.array([other])
                allowed = 0.99 * energy if energy < math.inf else 1e9
                for given, at in ((energy * (1.0 + 1e-12), T), (1e9, T)):
                    ruled = bound.cut.rules_out(rows, np.array([at]), np.array([given]))[0]
                    assert not ruled or energy == math.inf
                assert not bound.cut.rules_out(rows, np.array([1.01 * T]), np.array([allowed]))[0]
    assert none > 0


@pytest.mark.parametrize("seed", range(4))
def test_prices_lead_to_the_best_bound(seed: int, run: Any) -> None:
    """Of a fine grid of prices, in eight at most, but for one row's worth; nothing more once a bound is enough."""
    menu = Sharing(seed)
    it = run(menu.asked(Goal.ENERGY, 1e9, menu.counts))
    share = list[float]()
    for counts in menu.counts:
        if counts[2] == SIZE and seed % 2:
            continue
        best = max(it._priced(3.0, each, np.array(counts)).energy for each in np.geomspace(1e-3, 1e3, 60))
        for mu in (0.01, 1.0, 300.0):
            menu.passes = 0
            bound = it._bound(3.0, mu, np.array(counts))
            assert menu.passes <= 8
            if bound.assignment is None:
                assert menu.passes == 1
                continue
            share.append(bound.energy / best)
            menu.passes = 0
            one = it._bound(3.0, mu, np.array(counts), once=True)
            assert (menu.passes, one.mu) == (1, pytest.approx(mu))
            assert one.energy <= bound.energy
    assert max(share) < 1.01
    assert min(share) > 0.98
    it.task = menu.asked(Goal.ENERGY, 1e-3, menu.counts)
    menu.passes = 0
    it._bound(3.0, 1.0, np.array([1, 2, 2]))
    assert menu.passes == 1


def test_a_few_from_all_over_come_first_then_the_greatest_gains() -> None:
    menu = Sharing(0)
    rng = np.random.default_rng(1)
    for size in (1, 7, 8, 9, 16, 17, 100):
        counts, gains = np.ones((size, 3)), rng.integers(0, 9, size).astype(float)
        assert priced._order(menu.asked(Goal.ENERGY, 1.0, counts)) == list(range(size))
        order = priced._order(menu.asked(Goal.ENERGY, 1.0, counts, gains=gains))
        assert sorted(order) == list(range(size))
        if size <= 8:
            assert order == list(range(size))
            continue
        first = [p for p in range(size) if p % math.ceil(size / 8) == 0]
        assert len(first) <= 8
        assert order[: len(first)] == first
        rest = order[len(first) :]
        assert rest == sorted(rest, key=lambda p: (-gains[p], p))


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_one_partition_is_improved_from_its_sorted_matching_and_bounded_below(goal: Goal, run: Any) -> None:
    """By itself, to nearly its best; what it has to beat is the bound where the prices rule that out."""
    near, gap = list[float](), list[float]()
    for seed in range(4):
        menu = Sharing(seed)
        for value in budgets(menu, goal):
            truth = menu.least_durations(goal, value)
            for counts in list(truth)[::3]:
                it = run(menu.asked(goal, value, [counts]))
                results, cuts = empty_results(1), list[Any]()
                best, lower = it.improve(0, math.inf, cuts, results)
                menu.solved.clear()
                assert it.sorted(0).tolist() == fill(np.array(counts), menu.types, menu.order).tolist()
                assert lower <= truth[counts] * (1.0 + 1e-9)
                if best is None:
                    assert results[0, LEAST_TIME] <= menu.rows_of(it.sorted(0)).least.max()
                    assert results[0, STOPPED] == Stop.TOO_LITTLE
                    continue
                assert truth[counts] * (1.0 - 1e-12) <= best.T
                near.append(best.T / truth[counts])
                gap.append(lower / best.T)
                for cut in cuts:
                    allowed = value * (cut.duration if goal is Goal.POWER else 1.0)
                    for other, T in truth.items():
                        if cut.duration >= T:
                            assert not cut.rules_out(np.array([other]), np.array([T]), np.array([allowed]))[0]
                if 1.2 * menu.shortest < truth[counts]:
                    needed = 0.7 * truth[counts]
                    cuts.clear()
                    menu.passes = 0
                    best, lower = it.improve(0, needed, cuts, results)
                    assert lower <= truth[counts]
                    if lower == needed:
                        assert it.ruled_out(np.array(counts), needed, cuts)
                        assert menu.passes <= 8
                    assert not it.ruled_out(np.array(counts), truth[counts] * (1.0 + 1e-6), cuts)
    assert max(near) <= 1.0 + 1e-9
    assert min(gap) >= 0.98
    assert np.mean(gap) >= (0.9995 if goal is Goal.ENERGY else 0.9999)


def test_where_the_sorted_matching_fails_others_are_tried_at_longer_durations(run: Any) -> None:
    """Twice as long each time, eight at most; where it has all within reach at no duration, from when another has."""
    menu = Sharing(0)
    it = run(menu.asked(Goal.ENERGY, 0.0, [(1, 2, 2)]))
    looks = list[float]()
    it._bound = lambda T, mu, counts, once=False: looks.append(T)
    it._better = lambda best, bound, p, results: None
    doubled = [2.0**i for i in range(8)]
    for least, reach, expected in (
        (1.0, 0.5, doubled), (math.inf, 0.5, [0.5 * T for T in doubled]), (math.inf, math.inf, []),
        (0.0, 0.5, []), (math.nan, 0.5, []),
    ):  # fmt: skip
        menu.least[:] = reach
        results = empty_results(1)
        results[0, LEAST_TIME] = least
        looks.clear()
        assert it._first(0, results) is None
        assert looks == expected
    answer = object()
    it._better = lambda best, bound, p, results: answer if len(looks) == 3 else None
    results[0, LEAST_TIME] = 1.0
    assert it._first(0, results) is answer
    assert looks == [1.0, 2.0, 4.0]


def test_why_a_partition_has_no_answer_is_that_of_its_shortest_matching(run: Any) -> None:
    menu = Sharing(0)
    it, results = run(menu.asked(Goal.ENERGY, 1e-9, [(2, 2, 1)])), empty_results(1)
    nearest, every = (math.inf, math.inf), menu.matchings((2, 2, 1))
    for each in every:
        assert it._solve(each, 0, results) is None
        floor, _, least = menu.rows_of(each).sums()
        nearest = min(nearest, (float(least), float(floor)), key=lambda known: known[0])
        assert results[0, [LEAST_TIME, LEAST_ENERGY, STOPPED]].tolist() == [*nearest, Stop.TOO_LITTLE]
    assert it.passes == 7 * len(every)


def test_late_what_is_in_hand_is_told_as_stopped(run: Any) -> None:
    menu = Sharing(0)
    counts = menu.counts
    gains = np.array([np.array(each) @ menu.weights for each in counts])
    task = menu.asked(Goal.ENERGY, 1e9, counts, gains=gains, until=time.perf_counter())
    run(task)
    found = priced.search(task)
    assert found.stopped
    assert np.isfinite(found.results[:, DURATION]).tolist() == [True] + [False] * (len(counts) - 1)
    assert len(menu.solved) == 1
    assert np.count_nonzero(counts[0]) == 1  # its only matching bounds it
    assert found.lower is not None
    assert found.lower[0] == found.results[0, DURATION] > menu.shortest
    assert found.ceiling == pytest.approx(max(gains[0] / found.lower[0], gains[1:].max() / menu.shortest))
    assert found.assign(3).tolist() == fill(np.array(counts[3]), menu.types, menu.order).tolist()
    alone = menu.asked(Goal.ENERGY, 1e9, counts[:1], until=time.perf_counter())
    run(alone)
    found = priced.search(alone)
    assert not found.stopped
    assert found.ceiling is None
    assert found.lower is None
    assert found.proof is Proof.NONE


def test_deadlines_and_prices_of_time_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    menu, answer = Sharing(0), object()
    monkeypatch.setattr("solvers.matching.banded.search", lambda task: answer)
    for goal in (Goal.DEADLINE, Goal.PRICE):
        assert priced.search(menu.asked(goal, 1.0, [(1, 2, 2)])) is answer
