"""The transportation problem: against scipy's assignment and Hall's condition, its own dual bound, and its samples."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from solvers.compile import kernel
from solvers.matching import transport as module
from solvers.matching.assignment import match
from solvers.matching.transport import Impossible, Transport, _cheapest_chain, solve, transport, value_and_bound


def _costs(kind: str, generator: np.random.Generator, types: int, size: int) -> np.ndarray:
    """Random costs with and without structure, ties and impossible pairs."""
    if kind == "product":
        return np.outer(np.sort(generator.random(types)), generator.lognormal(size=size))
    if kind == "ties":
        return generator.integers(0, 3, (types, size)).astype(float)
    costs = generator.random((types, size)) * 10.0 ** generator.integers(-30, 30)
    if kind == "impossible":
        costs[generator.random((types, size)) < 0.4] = np.inf
    return costs


@pytest.mark.parametrize("kind", ["product", "ties", "random", "impossible"])
def test_transport_equals_linear_sum_assignment(kind: str) -> None:
    """Equal totals, the wanted counts, and prices whose bound is the total itself."""
    generator = np.random.default_rng(7)
    for _ in range(150):
        types, size = int(generator.integers(1, 6)), int(generator.integers(1, 60))
        costs = _costs(kind, generator, types, size)
        counts = np.bincount(generator.integers(0, types, size), minlength=types).astype(np.int64)
        found, truth = transport(costs, counts), match(costs.T, counts)
        if truth is None:
            assert isinstance(found, Impossible)
            assert found.rows > found.places
            continue
        assert isinstance(found, Transport)
        assert np.array_equal(np.bincount(found.assignment, minlength=types), counts)
        assert found.cost == pytest.approx(truth[1], rel=1e-12)
        bound = (costs - found.prices[:, None]).min(axis=0).sum() + counts @ found.prices  # proved anew
        assert bound == pytest.approx(found.cost, rel=1e-11, abs=1e-12 * np.abs(found.prices).max() * size)


def test_first_prices_change_the_way_but_not_the_answer() -> None:
    """Any first prices lead to the same total, also the sample's that large N start from."""
    generator = np.random.default_rng(3)
    size, types = 50_000, 4
    costs = np.outer([1.0, 0.5, 0.25, 0.125], generator.lognormal(size=size)) + 0.1 * generator.random((types, size))
    counts = np.array([size // 2, size // 4, size // 8, size // 8])
    sampled = transport(costs, counts)
    assert isinstance(sampled, Transport)
    assert sampled.dual == pytest.approx(sampled.cost, rel=1e-13)
    for start in (np.zeros(types), 10.0 * generator.standard_normal(types)):
        prices, assignment = start.copy(), np.empty(size, dtype=np.int64)
        moved, short = solve(costs, counts, prices, assignment, np.empty((types * types, size), dtype=np.int32))
        assert short == -1
        assert sampled.moved < 0.2 * moved
        assert costs[assignment, np.arange(size)].sum() == pytest.approx(sampled.cost, rel=1e-12)


def test_identical_rows_and_repeats_give_the_same_matching() -> None:
    """Ties are settled alike every time."""
    costs = np.ones((3, 900))
    counts = np.array([300, 300, 300])
    first, second = transport(costs, counts), transport(costs, counts)
    assert isinstance(first, Transport)
    assert isinstance(second, Transport)
    assert np.array_equal(first.assignment, second.assignment)
    assert first.cost == 900.0


@pytest.mark.parametrize("kind", ["product", "ties", "random", "impossible"])
def test_first_prices_of_a_sample_lead_to_the_same_total(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 32 rows on, where a sample is of 8 at least; and what a caller knows no price of counts as 0."""
    monkeypatch.setattr(module, "SAMPLE", 8)
    generator = np.random.default_rng(11)
    for _ in range(20):
        types, size = int(generator.integers(2, 5)), int(generator.integers(30, 150))
        costs = _costs(kind, generator, types, size)
        counts = np.bincount(generator.integers(0, types, size), minlength=types).astype(np.int64)
        truth = match(costs.T, counts)
        for prices in (None, generator.random(types), np.array([math.inf, -math.inf, math.nan, 0.0])[:types]):
            found = transport(costs, counts, prices)
            assert isinstance(found, Transport) is (truth is not None)
            if truth is not None:
                assert isinstance(found, Transport)
                assert found.cost == pytest.approx(truth[1], rel=1e-12)
                assert found.dual == pytest.approx(found.cost, rel=1e-11)


def test_the_places_of_a_sample_are_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as rows, each type within one of its exact share, those rounded up that are nearest to it."""
    asked: list[Any] = []

    def recorded(costs: Any, counts: Any, prices: Any) -> Any:
        asked.append((costs, counts, prices))
        return transport(costs, counts, prices)

    monkeypatch.setattr(module, "SAMPLE", 8)
    monkeypatch.setattr(module, "transport", recorded)
    generator = np.random.default_rng(3)
    for size, stride in ((8, 1), (17, 2), (100, 12), (131, 16), (500, 16)):
        costs, given = generator.random((4, size)), generator.random(4)
        counts = np.bincount(generator.integers(0, 4, size), minlength=4).astype(np.int64)
        asked.clear()
        prices = module._prices_of_sample(costs, counts, given)
        sample, places, first = asked[0]
        np.testing.assert_array_equal(sample, costs[:, ::stride])
        assert first is given
        found = transport(sample, places, given)
        assert isinstance(found, Transport)
        np.testing.assert_array_equal(prices, found.prices)
        exact = counts * sample.shape[1] / size
        assert places.sum() == sample.shape[1]
        assert np.all(abs(places - exact) < 1.0)
        up, left = places > exact, exact - np.floor(exact)
        assert not up.any() or up.all() or left[up].min() >= left[~up].max()


def test_a_sample_without_a_matching_leaves_the_prices_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 8)
    costs, given = np.ones((2, 64)), np.array([3.0, 4.0])
    costs[1, ::8] = np.inf  # all rows of the sample
    assert module._prices_of_sample(costs, np.array([32, 32]), given) is given


def test_only_what_has_to_move_moves() -> None:
    """All rows like type 0 best: three move to type 1 and two to type 2, those that mind least."""
    rng = np.random.default_rng(2)
    minds = rng.random((3, 30)) + 1.0
    minds[0] = 0.0
    found = transport(minds, np.array([25, 3, 2]))
    truth = match(minds.T, np.array([25, 3, 2]))
    assert isinstance(found, Transport)
    assert truth is not None
    assert found.moved == 5
    assert found.cost == pytest.approx(truth[1], rel=1e-14)
    again = transport(minds, np.array([25, 3, 2]), found.prices)
    assert isinstance(again, Transport)
    assert again.moved <= 4  # ties at its prices
    assert np.array_equal(again.assignment, found.assignment)
    alike = transport(np.ones((3, 30)), np.array([30, 0, 0]))  # of types as cheap the first
    assert isinstance(alike, Transport)
    assert alike.moved == 0


@kernel
def _chain(step: np.ndarray, have: np.ndarray, counts: np.ndarray, distance: np.ndarray, before: np.ndarray) -> int:
    return int(_cheapest_chain(step, have, counts, distance, before))


@pytest.mark.parametrize("rounding", [0.0, 1e-16, 1e-10])
def test_no_chain_of_moves_closes_a_circle(rounding: float) -> None:
    """There and back costs nothing; less than nothing by rounding is no way on: 1, 2 and 3 are reached one by one."""
    step = np.full((4, 4), math.inf)
    step[0, 1], step[1, 2], step[2, 1], step[2, 3] = 1e-9, 1.0, -1.0 - rounding, 1.0
    have, counts = np.array([2, 1, 1, 0]), np.ones(4, dtype=np.int64)
    distance, before = np.empty(4), np.empty(4, dtype=np.int64)
    assert _chain(step, have, counts, distance, before) == 3
    assert before.tolist() == [-1, 0, 1, 2]
    assert distance.tolist() == [0.0, 1e-9, 1e-9 + 1.0, 1e-9 + 1.0 + 1.0]


def test_costs_that_are_apart_by_roundings_are_told_apart() -> None:
    """Many all but equal: the least total is that of another method to its last digit, and proved to that."""
    generator = np.random.default_rng(1)
    for _ in range(300):
        types, size = int(generator.integers(2, 7)), int(generator.integers(2, 14))
        costs = np.round(3.0 * generator.random((types, size))) / 3.0 + 0.1
        costs *= 1.0 + 1e-15 * generator.integers(-3, 4, (types, size))
        counts = generator.multinomial(size, np.ones(types) / types)
        places = np.repeat(costs, counts, axis=0)
        least = math.fsum(places[linear_sum_assignment(places)])
        found = transport(costs, counts)
        assert isinstance(found, Transport)
        assert abs(found.cost - least) <= 3e-16 * least
        assert found.cost - found.dual <= 5e-16 * least


def crowded(costs: np.ndarray, counts: np.ndarray) -> dict[tuple[int, ...], tuple[int, int]]:
    """By Hall's condition: sets of types that more rows fit only into than there are places: rows, places."""
    types = len(counts)
    sets = itertools.chain.from_iterable(itertools.combinations(range(types), size) for size in range(types + 1))
    found = {}
    for within in sets:
        rows = int(np.isinf(np.delete(costs, within, axis=0)).all(axis=0).sum())
        if rows > counts[list(within)].sum():
            found[within] = rows, int(counts[list(within)].sum())
    return found


def test_who_has_no_place_is_named_by_halls_condition() -> None:
    """Few pairs are possible: there is a matching unless a set of types is crowded, and that set is named."""
    generator = np.random.default_rng(5)
    none, lone, some = 0, 0, set()
    for _ in range(400):
        types, size = int(generator.integers(2, 5)), int(generator.integers(2, 10))
        costs = np.where(generator.random((types, size)) < 0.35, generator.random((types, size)), np.inf)
        costs[generator.integers(0, types, size), np.arange(size)] = 1.0  # somewhere; but for one row now and then
        if generator.random() < 0.1:
            costs[:, 0] = np.inf
        counts = np.bincount(generator.integers(0, types, size), minlength=types).astype(np.int64)
        sets, found = crowded(costs, counts), transport(costs, counts)
        assert isinstance(found, Impossible) is bool(sets)
        if isinstance(found, Transport):
            none += 1
            assert math.isfinite(found.cost)
            continue
        within = tuple(np.flatnonzero(found.within).tolist())
        assert (found.rows, found.places) == sets[within]
        lone += within == ()
        some |= set(within)
    assert none > 20
    assert lone > 20
    assert some == {0, 1, 2, 3}


def test_a_total_and_its_bound_lose_no_digit_on_the_way() -> None:
    """2^60 between numbers of order 1, and 1000 of these: the sums of exact arithmetic, rounded once."""
    generator = np.random.default_rng(8)
    for first in ([2.0**60, 1.0, -(2.0**60)], [1.0, 2.0**60, -(2.0**60)], [-1.0, -(2.0**60), 2.0**60]):
        costs = np.array([[*first, *generator.random(1000)]])
        cost, dual = value_and_bound(costs, np.array([1003]), np.zeros(1), np.zeros(1003, dtype=np.int64))
        assert cost == dual == math.fsum(costs[0])
    costs, counts, prices = generator.random((3, 50)), np.array([20, 30, 0]), np.array([0.5, -0.25, -math.inf])
    assignment = np.repeat([0, 1], [20, 30])
    cost, dual = value_and_bound(costs, counts, prices, assignment)
    assert cost == pytest.approx(costs[assignment, np.arange(50)].sum(), rel=1e-15)
    least = np.minimum(costs[0] - 0.5, costs[1] + 0.25)  # who has no place at all is no part of the bound
    assert dual == pytest.approx(least.sum() + 20 * 0.5 - 30 * 0.25, rel=1e-14)
