"""What a look at a duration knows: against every matching of a few made-up clients, and by the definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from made_up import Made, drawn, matchings, partitions, unlisted_of

from solvers.matching import lookers
from solvers.matching.coarse import allowed_at, whole
from solvers.matching.lookers import AllMatchings, SortedMatchings, steps_of
from solvers.matching.relaxed import prices_of_cheapest
from solvers.matching.transport import Impossible
from solvers.matching.wholes import whole_counts
from solvers.menu import IntArray, fill
from solvers.rows import FloatArray, Goal

BUDGETED = (Goal.ENERGY, Goal.POWER, Goal.PRICE)
COVERS = ((1, 2, 2), (1, 2, 0))  # the last of no work


def in_time(menu: Made, T: float) -> float:
    """The most replicas that can be done in time, each row by itself."""
    return float(np.where(menu.can(T), menu.weights[:, None], 0.0).max(axis=0).sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("covers", COVERS)
def test_the_most_replicas_in_time_rise_in_steps(seed: int, covers: tuple[int, ...]) -> None:
    """At each duration those of the rows one by one; ties make one step."""
    menu = drawn(seed, 5, covers)
    menu.least[1, 2] = menu.least[0, 3]
    times, replicas = steps_of(menu)  # type: ignore[arg-type]
    assert (np.diff(times) > 0.0).all()
    assert (np.diff(replicas) > 0.0).all()
    assert replicas[0] > 0.0
    assert times[-1] <= menu.longest
    for T in (*times, *(times * (1.0 + 1e-9)), *(times * (1.0 - 1e-9)), 1e9):
        step = np.searchsorted(times, T, side="right")
        assert (replicas[step - 1] if step else 0.0) == pytest.approx(in_time(menu, T), abs=1e-12)


def test_where_nobody_can_do_anything_the_replicas_never_rise() -> None:
    menu = drawn(0, 5, COVERS[0])
    menu.least[:] = math.inf
    times, replicas = steps_of(menu)  # type: ignore[arg-type]
    assert len(times) == len(replicas) == 0
    assert AllMatchings(unlisted_of(menu, Goal.ENERGY, 1.0)).cap(1.0, math.inf) == 0.0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_what_time_alone_allows_between_two_durations(power: float) -> None:
    """The greatest R^beta / T of whole replicas, at the first duration or where they rise, the ends included."""
    menu = drawn(1)
    looker = AllMatchings(unlisted_of(menu, Goal.ENERGY, 1.0, power=power))
    times, _ = steps_of(menu)  # type: ignore[arg-type]
    ends = [0.5 * times[0], *times, *(0.5 * (times[1:] + times[:-1])), 2.0 * times[-1]]
    for start, end in itertools.combinations_with_replacement(sorted(ends), 2):
        at = [start, *(T for T in times if start < T <= end)]
        truth = max(math.floor(in_time(menu, T) + 1e-6) ** power / T for T in at)
        assert looker.cap(start, end) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("covers", [(1, 1, 1), (1, 1, 0)])
def test_the_least_energy_of_a_replica_in_an_endless_round(covers: tuple[int, ...]) -> None:
    """No matching takes less; one takes as much where everybody's cheapest is a replica, or one alone works."""
    for seed in range(3):
        menu = drawn(seed, 5, covers)
        floor, _, least = menu.rows_of(matchings(menu, partitions(menu))[0]).sums()
        truth = floor[least < math.inf].min()
        assert AllMatchings(unlisted_of(menu, Goal.ENERGY, 1.0)).least_energy() == pytest.approx(truth, rel=1e-12)


def possible(menu: Made, T: float, goal: Goal, value: float, ordered: bool) -> FloatArray:
    """Replicas of all matchings whose budget is kept at a duration; at a price, of those that end by then."""
    every, _ = matchings(menu, partitions(menu))
    every = every[(np.diff(every[:, ::-1]) >= 0).all(axis=1)] if ordered else every
    floor, w, least = menu.rows_of(every).sums()
    spent = 2.0 * w / T**3 if goal is Goal.PRICE else floor + w / T**2
    replicas: FloatArray = menu.weights[every].sum(axis=1)
    return replicas[(least <= T) & (spent <= (value * T if goal is Goal.POWER else value))]


def values(menu: Made, goal: Goal, T: float) -> list[float]:
    """Nothing is possible at a duration; the cheapest, half, and everything is."""
    costs, prices = menu.costs_and_prices(T)
    spent = np.where(costs < np.inf, prices, np.inf) if goal is Goal.PRICE else costs
    low = float(spent.min(axis=0).sum())
    high = float(np.max(spent, where=spent < np.inf, initial=0.0, axis=0).sum())
    return [v / (T if goal is Goal.POWER else 1.0) for v in (0.9 * low, 1.001 * low, 0.5 * (low + high), 1.1 * high)]


@pytest.mark.parametrize("goal", BUDGETED)
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("covers", COVERS)
def test_no_matching_has_more_replicas_than_the_bound(goal: Goal, ordered: bool, covers: tuple[int, ...]) -> None:
    """At the duration and before; and the bound is the best there is over all prices of a replica."""
    nothing = everything = between = 0
    idle = 0 in covers
    for seed in range(2):
        menu = drawn(seed, 5, covers)
        for T, share in itertools.product((2.1, 4.0), range(4)):
            value = values(menu, goal, T)[share]
            task = unlisted_of(menu, goal, value)
            looker = SortedMatchings(task, np.arange(5)[::-1]) if ordered else AllMatchings(task)
            look = looker.look(T)
            assert looker.passes == 3
            for earlier in (T, 0.9 * T):
                most = look.most(earlier)
                assert possible(menu, earlier, goal, value, ordered).max(initial=-math.inf) <= most + 1e-9
            assert share > 0 or look.most(T) == -math.inf or idle or ordered
            nothing += look.most(T) == -math.inf
            if look.fair is None:
                continue
            least = [look.least(price, 0.0) for price in (0.0, *np.geomspace(1e-4, look.dear, 60))]
            allowed = float(allowed_at(task, T))
            prices = [0.0, *np.geomspace(1e-4, look.dear, 60)]
            bounds = [(allowed - each.value) / price for each, price in zip(least[1:], prices[1:], strict=True)]
            if least[-1].energy <= allowed:
                everything += 1
                assert look.most(T) == look.most(0.5 * T) == least[-1].replicas
                can = possible(menu, T, goal, value, True).max() if ordered else in_time(menu, T)
                assert least[-1].replicas == pytest.approx(can)
            else:
                between += 1
                assert look.most(T) <= min(bounds) * (1.0 + 1e-6) + 1e-12
                assert look.most(T) >= max(each.replicas for each in least if each.energy <= allowed) - 1e-9
    assert min(nothing + idle, everything, between) > 0


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_what_is_proposed_is_the_best_matching_of_its_partition(goal: Goal) -> None:
    """In whole replicas, no more of them than the bound; where everything is possible, everybody does what he can."""
    found = 0
    for seed, share in itertools.product(range(4), range(4)):
        menu = drawn(seed, 5, COVERS[seed == 3])
        value = values(menu, goal, 3.0)[share]
        looker = AllMatchings(unlisted_of(menu, goal, value))
        look = looker.look(3.0)
        assignment = look.propose()
        assert looker.matchings <= lookers._TRIES
        if look.fair is None:
            assert assignment is None
            assert looker.matchings == 0
        if assignment is None:
            continue
        found += 1
        counts = np.bincount(assignment, minlength=3)
        assert not (counts % menu.covers).any()
        same, _ = matchings(menu, counts[None, :])
        energy = menu.costs(3.0)[same, menu.order].sum(axis=1)
        assert menu.costs(3.0)[assignment, menu.order].sum() == pytest.approx(energy.min(), rel=1e-12)
        assert menu.weights[assignment].sum() <= look.most(3.0) + 1e-6
        if share == 3:
            can = menu.weights[same].sum(axis=1)[menu.rows_of(same).sums()[2] <= 3.0]
            assert menu.weights[assignment].sum() == pytest.approx(can.max())
    assert found > 8


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("covers", [*COVERS, (1, 5, 5), (1, 5, 0)])
def test_the_sorted_matching_proposed_is_one_of_the_relaxed_partition(power: float, covers: tuple[int, ...]) -> None:
    """Within the budget; where one replica is enough the cheapest that has one, if everybody's cheapest does."""
    for seed, share in itertools.product(range(6), range(1, 4)):
        menu, order = drawn(seed, 5, covers), np.array([3, 1, 4, 0, 2])
        value = values(menu, Goal.ENERGY, 3.0)[share]
        look = SortedMatchings(unlisted_of(menu, Goal.ENERGY, value, power=power), order).look(3.0)
        assignment = look.propose()
        if look.fair is None:
            assert assignment is None
            continue
        assert assignment is not None
        counts = np.bincount(assignment, minlength=3)
        cheapest = look.least(0.0, 0.0)
        wanted = cheapest if power == 0.0 and cheapest.replicas > 0.5 else look.fair[1]
        if counts.tolist() != wanted.counts.tolist():
            assert wanted.replicas < 0.5 or power == 0.0 or counts @ menu.weights > wanted.replicas + 1.5
            assert not (counts % menu.covers).any()
        assert assignment.tolist() == fill(counts, menu.types, order).tolist()
        assert menu.costs(3.0)[assignment, np.arange(5)].sum() <= value * (1.0 + 1e-8)


@pytest.mark.parametrize("goal", BUDGETED)
@pytest.mark.parametrize("ordered", [False, True])
def test_in_other_units_of_energy_nothing_changes(goal: Goal, ordered: bool) -> None:
    """In 2^-100 or 2^100 joules: the same bits of all bounds, the same proposals."""
    for seed, share in itertools.product(range(3), range(1, 4)):
        found = list[tuple[float, float, Any]]()
        for unit in (1.0, 2.0**-100, 2.0**100):
            menu = drawn(seed, 5, COVERS[0])
            value = unit * values(menu, goal, 3.0)[share]
            menu.floor, menu.w = unit * menu.floor, unit * menu.w
            task = unlisted_of(menu, goal, value)
            look: Any = (SortedMatchings(task, menu.order) if ordered else AllMatchings(task)).look(3.0)
            assignment = look.propose()
            found.append((look.most(3.0), look.most(2.5), None if assignment is None else assignment.tolist()))
        assert found[0] == found[1] == found[2]


def test_at_the_dearest_price_nothing_but_replicas_counts() -> None:
    """Whatever they take: little of the first, much of the last, and a replica of a type is an eighth of one's."""
    menu = drawn(0, 5, (1, 1, 1))
    menu.weights = np.array([1.0, 1.0 / 8.0, 1.0 / 16.0])
    scale = np.array([1e-6, 1e-3, 1.0, 10.0, 1e3])
    menu.least[0, 1:] = 9.0  # the others are to choose between small replicas
    for first in range(3):
        menu.floor = np.roll([[1.0], [1e-3], [1e-6]], first, axis=0) * scale
        menu.w = 1e-3 * menu.floor
        look: Any = AllMatchings(unlisted_of(menu, Goal.ENERGY, 1.0)).look(3.0)
        assert look.least(look.dear, 0.0).counts.tolist() == [1, 4, 0]
    menu = drawn(0, 5, (1, 5, 5))
    menu.floor = np.array([[1.0], [1e-3], [1e-6]]) * scale
    menu.w = 1e-3 * menu.floor
    look = SortedMatchings(unlisted_of(menu, Goal.ENERGY, 1.0), menu.order).look(3.0)
    assert look.least(look.dear, 0.0).counts.tolist() == [5, 0, 0]


def between_breaks(costs: FloatArray, weights: FloatArray) -> list[float]:
    """No price of a replica, and one between any two at which some row's cheapest type changes."""
    with np.errstate(all="ignore"):
        each = (costs[:, None] - costs) / (weights[:, None] - weights)[..., None]
    at = np.unique(each[(each > 0.0) & np.isfinite(each)])
    return [0.0, 0.5 * float(at[0]), *(0.5 * (at[1:] + at[:-1])).tolist()]


class Asked:
    """What a look asks to be matched, instead of the matching."""

    def __init__(self, look: Any, patch: pytest.MonkeyPatch) -> None:
        self.given = list[tuple[Any, ...]]()
        patch.setattr(look, "_matched", lambda *arguments: self.given.append(arguments))
        assert look.propose() is None


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("idle", [False, True])
def test_at_a_price_the_most_replicas_whose_cheapest_matching_ends_in_time(
    power: float, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row in its cheapest type at the greatest such price of a replica, all such prices tried; where one
    replica is enough at none; and where not even that ends in time, of those that need not be the cheapest."""
    ways, asked_prices = set(), list[float]()

    def counted(costs: Any, prices: Any, weights: Any, price: float, counts: Any) -> float:
        asked_prices.append(price)
        return prices_of_cheapest(costs, prices, weights, price, counts)

    monkeypatch.setattr(lookers, "prices_of_cheapest", counted)
    for seed, share in itertools.product(range(3), range(4)):
        menu, T = drawn(seed, 5, (1, 1, 0 if idle else 1)), 3.0
        menu.weights = np.array([1.0, 0.6, 0.0 if idle else 0.55])
        menu.w, menu.floor = -np.sort(-menu.w, axis=0), -np.sort(-menu.floor, axis=0)  # the larger, the dearer
        menu.floor[0, 4] *= 1e12 if seed == 2 else 1.0  # of one beyond all the others
        costs, prices = menu.costs_and_prices(T)
        dear = 4.0 * float(np.max(costs[costs < np.inf])) / float(np.diff(np.sort(menu.weights)).min())
        low, high = (
            float(prices[np.argmin(costs - price * menu.weights[:, None], axis=0), np.arange(5)].sum())
            for price in (0.0, dear)
        )
        value = [0.5 * low, 0.7 * low + 0.3 * high, 0.3 * low + 0.7 * high, 1.1 * high][share]
        look = AllMatchings(unlisted_of(menu, Goal.PRICE, value, power=power)).look(T)
        asked_prices.clear()
        given = Asked(look, monkeypatch).given
        assert len(asked_prices) <= 32
        if look.fair is None:
            assert not given
            continue
        energies, counts, first, most = given[0]
        if share == 0 and not idle:
            assert energies is look.costs
            assert counts is look.fair[1].counts
            continue
        assert np.array_equal(energies, costs)
        grid = [0.0] if power == 0.0 else [*between_breaks(costs, menu.weights), dear]
        relaxed = [np.argmin(costs - price * menu.weights[:, None], axis=0) for price in grid]
        ends = [float(prices[each, np.arange(5)].sum()) <= value for each in relaxed]
        if ends == sorted(ends, reverse=True):  # the more replicas, the later it ends
            assert counts.tolist() == np.bincount(relaxed[sum(ends) - 1], minlength=3).tolist()
            assert most is (power != 0.0 and all(ends))
            ways.add((all(ends), most))
        assert (first >= 0.0).all()
    assert len(ways) == (1 if power == 0.0 else 2)


def test_partitions_are_matched_until_one_has_a_matching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at most of those near; where everybody does what he can, those first that ask the fewest for more."""
    tried = list[list[int]]()

    def none(costs: FloatArray, counts: IntArray, prices: FloatArray) -> Impossible:
        tried.append(counts.tolist())
        return Impossible(rows=0, places=0, within=np.zeros(3, dtype=np.bool_))

    monkeypatch.setattr(lookers, "transport", none)
    for seed, share, covers in itertools.product(range(9), (2, 3), ((1, 2, 2), (1, 2, 4))):
        menu = drawn(seed, size=8, covers=covers)
        looker = AllMatchings(unlisted_of(menu, Goal.ENERGY, values(menu, Goal.ENERGY, 3.0)[share]))
        look: Any = looker.look(3.0)
        tried.clear()
        assert look.propose() is None
        counts, order = look.relaxed(*look.fair[1:]), menu.types
        near = [
            row
            for each in (
                counts,
                look.least(0.0, 0.0).counts,
            )  # those near the cheapest are the last of as many replicas
            for row in whole_counts(each, menu.covers, menu.weights, look.most(3.0)).tolist()
        ]
        near = [each for i, each in enumerate(near) if each not in near[:i]]
        near.sort(key=lambda each: -round(np.array(each) @ menu.weights))
        if share == 3:
            assert look.fair[0] == look.dear
            near.sort(key=lambda each: max(0, *(sum(each[k] - counts[k] for k in order[: i + 1]) for i in range(3))))
        assert tried == near[:3]
        assert looker.matchings == len(tried) > 1


@pytest.mark.parametrize(
    "covers", [(1, 2, 4), (2, 3, 1), (1, 2, 2, 4), (1, 2, 4, 8, 8), (1, 2, 4, 4, 8, 8), (1, 2, 4, 4, 8, 8, 2, 4)]
)
def test_partitions_near_some_counts(covers: tuple[int, ...]) -> None:
    """All within two replicas of each type, one where there are many, but for the type of least cover, the rest's."""
    rng = np.random.default_rng(len(covers))
    q = np.array(covers)
    weights: FloatArray = np.where(np.arange(len(q)) == 1, 0.0, 1.0 / q)
    for share in (math.inf, 1.0, 0.9):
        counts = rng.integers(0, 12, len(q))
        most = share * float(counts @ weights)
        found = whole_counts(counts, q, weights, most)
        replicas = np.rint(found @ weights)
        far = (np.abs(found - counts) / q).sum(axis=1)
        assert (found >= 0).all()
        assert (found.sum(axis=1) == counts.sum()).all()
        assert not (found % q).any()
        assert (found @ weights > 0.5).all()
        assert (found @ weights < most + 1e-6).all()
        assert list(zip(-replicas, far, strict=True)) == sorted(zip(-replicas, far, strict=True))
        rest = min(np.flatnonzero(counts).tolist(), key=lambda k: (q[k], -counts[k]))
        others = [k for k in np.argsort(-counts, kind="stable") if k != rest]
        reach = [(2 if len(others) <= 3 else 1) if i < 6 else 0 for i in range(len(others))]
        expected = set()
        single = [tuple(each) for each in np.eye(len(others), dtype=int)[6:].tolist()]
        single += [tuple(-step for step in each) for each in single]
        for move in itertools.chain(itertools.product(*(range(-each, each + 1) for each in reach)), single):
            near = np.zeros(len(q), dtype=np.int64)
            near[others] = (counts[others] // q[others] + move) * q[others]
            near[rest] = counts.sum() - near.sum()
            if near.min() >= 0 and near[rest] % q[rest] == 0 and 0.5 < near @ weights < most + 1e-6:
                expected.add(tuple(near.tolist()))
        assert {tuple(row) for row in found.tolist()} == expected
        assert len(found) == len(expected) > 0


def test_of_a_single_type_there_is_one_partition() -> None:
    found = whole_counts(np.array([6]), np.array([2]), np.array([0.5]), math.inf)
    assert found.tolist() == [[6]]


def test_whole_replicas_below_a_bound() -> None:
    assert [whole(r) for r in (0.0, 0.9, 1.0 - 1e-10, 1.0, 2.0 + 1e-10, 1e6 - 1e-4)] == [0, 0, 1, 1, 2, 1_000_000]
