"""Bounds of the replicas within an energy, against every matching or every partition of a few made-up clients."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from made_up import assignments

from solvers.matching.relaxed import Least, cheapest_chain, cheapest_types, fair_price, mixture, prices_of_cheapest
from solvers.rows import FloatArray

KINDS, ROWS = 3, 6
COVERS = np.array([1, 2, 3])
WEIGHTS = 1.0 / COVERS


def drawn(seed: int) -> tuple[FloatArray, FloatArray]:
    """Energies [J] and prices [W] (KINDS, ROWS); in every third draw some clients can do but one type."""
    rng = np.random.default_rng(seed)
    costs, prices = rng.uniform(0.5, 3.0, (KINDS, ROWS)), rng.uniform(0.1, 1.0, (KINDS, ROWS))
    if seed % 3 == 1:
        costs[1:, :2], costs[0, 5] = np.inf, np.inf
    return costs, prices


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("price", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("away", [0.0, 0.7, -0.4])
def test_everybody_in_the_cheapest_type_is_the_best_of_every_matching(seed: int, price: float, away: float) -> None:
    costs, prices = drawn(seed)
    rows = np.arange(ROWS)
    every, _ = assignments(KINDS, ROWS)
    best = (costs + prices * away - price * WEIGHTS[:, None])[every, rows].sum(axis=1).min()
    counts = np.full(KINDS, -7)
    value, energy = cheapest_types(costs, prices, WEIGHTS, price, away, counts)
    assert value == pytest.approx(best, rel=1e-12)
    assert counts.sum() == ROWS
    assert energy == pytest.approx(value + price * float(counts @ WEIGHTS), rel=1e-12)
    chosen = (costs - price * WEIGHTS[:, None]).argmin(axis=0)
    counts[:] = -7
    assert prices_of_cheapest(costs, prices, WEIGHTS, price, counts) == pytest.approx(prices[chosen, rows].sum())
    assert counts.tolist() == np.bincount(chosen, minlength=KINDS).tolist()


def test_who_can_do_no_type_leaves_no_matching() -> None:
    costs, prices = drawn(0)
    costs[:, 3] = np.inf
    assert cheapest_types(costs, prices, WEIGHTS, 1.0, 0.0, np.zeros(KINDS, dtype=np.int64)) == (math.inf, math.inf)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("price", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("away", [0.0, 0.7])
def test_the_chain_is_the_best_sorted_matching_of_every_partition(seed: int, price: float, away: float) -> None:
    """Types in an order of their own, one after the other along the clients, whole replicas, past no one who cannot."""
    costs, prices = drawn(seed)
    types, cannot = np.random.default_rng(seed).permutation(KINDS), np.isinf(costs)

    def sums(values: FloatArray) -> FloatArray:
        return np.hstack([np.zeros((KINDS, 1)), np.cumsum(np.where(cannot, 0.0, values), axis=1)])

    found: dict[tuple[int, ...], tuple[float, float]] = {}
    for have in itertools.product(range(ROWS + 1), repeat=KINDS):
        if sum(have) == ROWS and not (np.array(have) % COVERS).any():
            kinds = np.repeat(types, np.array(have)[types])
            energy = float((costs + prices * away)[kinds, np.arange(ROWS)].sum())
            found[have] = energy - price * float(np.array(have) @ WEIGHTS), energy
    best = min(value for value, _ in found.values())
    misses = np.hstack([np.zeros((KINDS, 1)), np.cumsum(cannot, axis=1)]).astype(np.int32)
    counts, room = np.full(KINDS, -7), np.full(ROWS + 1, np.nan)
    begins = np.full((KINDS, ROWS + 1), -7, dtype=np.int32)
    value, energy = cheapest_chain(
        sums(costs), sums(prices), misses, types, COVERS, WEIGHTS, price, away, room, begins, counts
    )
    if best == math.inf:
        assert (value, energy) == (math.inf, math.inf)
        return
    assert value == pytest.approx(best, rel=1e-12)
    assert found[tuple(counts.tolist())] == pytest.approx((value, energy), rel=1e-12)


def test_a_cover_of_more_than_there_are_leaves_the_other_types() -> None:
    costs, prices = drawn(0)
    costs[0] += 3.0  # dear, but the only one of which there can be a whole
    energies, falls = (np.hstack([np.zeros((KINDS, 1)), np.cumsum(values, axis=1)]) for values in (costs, prices))
    counts, misses = np.zeros(KINDS, dtype=np.int64), np.zeros((KINDS, ROWS + 1), dtype=np.int32)
    covers = np.array([1, 10**9, ROWS + 1])
    value, energy = cheapest_chain(
        energies, falls, misses, np.arange(KINDS), covers, 1.0 / covers, 0.5, 0.0,
        np.empty(ROWS + 1), np.empty((KINDS, ROWS + 1), dtype=np.int32), counts,
    )  # fmt: skip
    assert counts.tolist() == [ROWS, 0, 0]
    assert energy == pytest.approx(costs[0].sum(), rel=1e-12)
    assert value == pytest.approx(costs[0].sum() - 0.5 * ROWS, rel=1e-12)


@pytest.mark.parametrize("unit", [1.0, 2.0**-30])
@pytest.mark.parametrize("seed", range(8))
def test_the_fair_price_bounds_the_replicas_best(seed: int, unit: float) -> None:
    """The dual of so many replicas within an energy, L(nu) + nu R = energy, is least at that price, of a fine grid."""
    costs, prices = drawn(seed)
    costs, looks, most_dear = costs * unit, 0, 1e6 * unit

    def least(price: float) -> Least:
        nonlocal looks
        looks += 1
        counts = np.zeros(KINDS, dtype=np.int64)
        value, energy = cheapest_types(costs, prices, WEIGHTS, price, 0.0, counts)
        return Least(value=value, replicas=float(counts @ WEIGHTS), energy=energy, counts=counts)

    cheap, dear = least(0.0), least(most_dear)
    assert fair_price(least, cheap.energy * (1.0 - 1e-9), most_dear) is None
    for more in (1.0, 1.0 + 1e-9):
        everything = fair_price(least, dear.energy * more, most_dear)
        assert everything is not None
        assert everything[0] == most_dear
        assert everything[1].replicas == dear.replicas
    for price in (0.3, 1.0, 2.0):  # all of what is within, to the last digit
        corner = least(price * unit)
        found = fair_price(least, corner.energy, most_dear)
        assert found is not None
        assert found[1].replicas == corner.replicas
    for share in (0.0, 0.2, 0.5, 0.9):
        allowed = cheap.energy + share * (dear.energy - cheap.energy) * (1.0 - 1e-9)
        looks = 0
        found = fair_price(least, allowed, most_dear)
        assert looks <= 12
        assert found is not None
        price, within, above = found
        assert within.energy <= allowed <= above.energy

        def most(price: float, allowed: float = allowed) -> float:
            """Replicas within the energy are no more than this."""
            return (allowed - least(price).value) / price

        assert most(price) <= min(map(most, unit * np.geomspace(1e-3, 1e4, 400))) * (1.0 + 1e-9)
        assert within.replicas <= most(price) * (1.0 + 1e-12)


def test_the_fair_price_is_found_in_any_unit_of_energy() -> None:
    """To the bit in powers of two, with as many looks, where lines meet near one end: a mean of prices is taken too."""
    found = []
    for unit in (1.0, 2.0**-600, 2.0**900):
        prices = list[float]()

        def least(price: float, unit: float = unit, prices: list[float] = prices) -> Least:
            """A replica more takes twice as much."""
            prices.append(price / unit)
            values = [unit * 2.0**R - price * R for R in range(60)]
            R = min(range(60), key=values.__getitem__)
            return Least(value=values[R], replicas=float(R), energy=unit * 2.0**R, counts=np.array([R]))

        fair = fair_price(least, unit * 5000.0, unit * 2.0**80)
        assert fair is not None
        assert fair[1].counts.tolist() == [12]
        found.append((fair[0] / unit, *prices))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 6


def test_counts_between_two_are_so_far_on_the_way() -> None:
    """From one to the other, of as many rows; each but one within one of its share, none below 0."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        low, high = (rng.multinomial(40, rng.dirichlet(np.ones(4))) for _ in range(2))
        ends = [Least(value=0.0, replicas=0.0, energy=0.0, counts=counts) for counts in (low, high)]
        assert mixture(*ends, 0.0).tolist() == low.tolist()
        assert mixture(*ends, 1.0).tolist() == high.tolist()
        for share in rng.random(4):
            counts = mixture(*ends, float(share))
            assert counts.sum() == 40
            assert np.sort(abs(counts - (low + share * (high - low))))[-2] < 1.0
            assert (counts >= 0).all()
