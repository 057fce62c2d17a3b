"""Bounds of all partitions by stretches of what rows share: made-up hills to climb, every matching of a few rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from made_up import assignments, least_of
from test_ruled import Rows

from solvers.matching import stretches
from solvers.matching.stretches import Coupling, Stretches, stretches_of
from solvers.menu import IntArray
from solvers.rows import FloatArray

GRID = 0.05  # of the prices tried, in logarithms


def nobody(ready: float = 0.0, w: float = 0.0) -> Rows:
    """One row that takes nothing but what is said."""
    return Rows(*np.array([0.0, w, 0.0, ready]).reshape(4, 1, 1))


@dataclass(kw_only=True, eq=False)
class Hill(Coupling):
    """A bound of value + height - bend x (ln price - top)^2; ``pull`` times what is missing of ln price is known."""

    top: float = 0.0
    height: float = 100.0
    bend: float = 1.0
    pull: float = 0.55
    rise: float = 0.0
    tried: list[int] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def slope(self, price: float) -> float:
        return self.rise

    def bound(self, z: float) -> float:
        return self.height - self.bend * (GRID * z - self.top) ** 2

    def proved(self, value: FloatArray, price: float) -> FloatArray:
        return value + self.bound(math.log(price / self.unit) / GRID)

    def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
        away = self.top - math.log(price / self.unit)
        self.tried.append(round((self.top - away) / GRID))
        self.asked.append(y)
        return self.pull * away, 2.0 * self.bend * away


def whole(coupling: Coupling, a: float = 1.0, b: float = 2.0, partitions: int = 1) -> Stretches:
    """One stretch, bounded by nothing."""
    return Stretches(coupling, np.ones((partitions, 1), dtype=int), np.array([a, b]), np.array([-math.inf]), math.inf)


def looked(coupling: Hill, a: float = 1.0, b: float = 2.0) -> Stretches:
    """The same, looked at once."""
    found = whole(coupling, a, b)
    found.look(0, 0, lambda: math.inf, lambda _: None)
    return found


def ends(found: Stretches) -> list[float]:
    return [found._all[0].a, *(each.b for each in found._all)]


CLIMBS = {  # by pull: the prices tried towards each top, when this was written
    0.05: (1, 2, 9, 10, 10, 10),
    0.3: (1, 2, 6, 10, 10, 10),
    0.55: (1, 2, 4, 4, 7, 7),
    0.9: (1, 2, 7, 10, 10, 10),
    1.3: (1, 2, 6, 7, 9, 10),
}
TOPS = (0.0, 0.03, -0.37, 1.23, -4.1, 13.3)


@pytest.mark.parametrize("pull", CLIMBS)
@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_the_price_that_proves_most_is_found_in_few_steps(pull: float, unit: float) -> None:
    """From a price of the right size, where what is taken says the way well, or too much or too little of it."""
    for top, looks in zip(TOPS, CLIMBS[pull], strict=True):
        hill = Hill(costs=nobody(), unit=unit, top=top, pull=pull)
        found, proposed = whole(hill), list[IntArray]()
        found.look(0, 0, lambda: math.inf, proposed.append)
        assert len(hill.tried) == looks == found.matchings == len(proposed)
        assert found.bound(0, 0) == pytest.approx(max(map(hill.bound, hill.tried)), rel=1e-12)
        if looks < 10:
            assert found.bound(0, 0) >= max(map(hill.bound, range(-400, 401))) * (1.0 - 1e-5)
        assert found.weakest(0) == -1  # nothing is left to do there


@pytest.mark.parametrize("top", [3.0, 7.3, -2.1, -6.0])
def test_where_little_more_than_the_way_is_known_steps_double_and_then_halve(top: float) -> None:
    """As near the quickest matching, where what is taken hardly depends on the price: within a quarter of the way."""

    class Flat(Hill):
        def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
            _, gain = super().excess(y, value, taken, bound, price)
            return math.copysign(1e-3, gain), gain

    hill = Flat(costs=nobody(), unit=1.0, top=top)
    looked(hill)
    assert max(map(hill.bound, hill.tried)) >= 100.0 - (0.25 * top) ** 2
    assert len(set(hill.tried)) == len(hill.tried) == 10
    assert hill.tried[:6] == [round(math.copysign(2**n - 1, top)) for n in range(6)]


@pytest.mark.parametrize(
    ("over", "third"), [((0.1, 0.35), 17), ((0.1, 0.1), 11), ((-0.1, -0.35), -17), ((0.1, -0.1), 2), ((0.001, 9.0), 61)]
)
def test_a_step_is_as_long_as_what_is_missing_says_or_twice_the_last(over: tuple[float, ...], third: int) -> None:
    """1.8 times what is missing, in grid steps of 0.05: 4 of them first for a tenth; one at least, 60 at most."""

    class Scripted(Hill):
        def excess(self, y: float, value: float, taken: float, bound: float, price: float) -> tuple[float, float]:
            super().excess(y, value, taken, bound, price)
            return (*over, *([0.0] * 9))[len(self.tried) - 1], 1.0

    hill = Scripted(costs=nobody(), unit=1.0)
    looked(hill)
    assert hill.tried[:3] == [0, round(math.copysign(max(round(36.0 * abs(over[0])), 1), over[0])), third]
    over, balanced = (-0.1,), Scripted(costs=nobody(), unit=1.0)
    looked(balanced)
    assert balanced.tried == [0, -4]  # there just what there is is taken


@pytest.mark.parametrize(
    ("height", "bend", "looks"), [(100.0, 2e-3, 4), (-100.0, 2e-3, 4), (1e4, 2e-3, 2), (0.0, 0.0, 2)]
)
def test_a_price_that_gains_next_to_nothing_is_not_tried(height: float, bend: float, looks: int) -> None:
    hill = Hill(costs=nobody(), unit=1.0, top=1.23, pull=0.9, height=height, bend=bend)
    assert height - looked(hill).bound(0, 0) <= 2e-5 * abs(height)
    assert len(hill.tried) == looks  # as when this was written


@pytest.mark.parametrize(("top", "cheaper", "last"), [(31.0, True, 400), (-31.0, True, -400), (-5.0, False, 0)])
def test_prices_are_no_farther_off_than_any_that_proves_something(top: float, cheaper: bool, last: int) -> None:
    hill = Hill(costs=nobody(), unit=1.0, top=top, cheaper=cheaper)
    found = looked(hill)
    assert hill.tried[-1] == last
    assert len(set(hill.tried)) == len(hill.tried)
    assert found.bound(0, 0) == pytest.approx(hill.bound(last), rel=1e-12)
    hill = Hill(costs=nobody(w=10.0), unit=1.0, top=1.23, cheaper=cheaper)
    found, hill.top = looked(hill), top
    hill.tried.clear()
    found.look(0, 0, lambda: math.inf, lambda _: None)
    assert (hill.tried[0], hill.tried[-1]) == (25, last)  # from where the last look was best


@pytest.mark.parametrize(
    ("aim", "looks"), [(99.0, 2), (Hill(costs=nobody(), unit=1.0, top=1.23).bound(0), 1), (50.0, 1)]
)
def test_what_reaches_the_aim_is_raised_no_more(aim: float, looks: int) -> None:
    """At the aim exactly, or above it; what takes it there is not proposed, and the stretch neither spent nor split."""
    hill = Hill(costs=nobody(1.5), unit=1.0, top=1.23, pull=0.3)
    found, proposed = whole(hill), list[IntArray]()
    found.look(0, 0, lambda: aim, proposed.append)
    assert (len(hill.tried), len(proposed)) == (looks, looks - 1)
    assert found.weakest(0) == 0
    assert ends(found) == [1.0, 2.0]


def test_of_prices_that_prove_the_same_the_first_is_where_the_next_look_begins() -> None:
    for bend, begins in ((0.0, 0), (1.0, 25)):
        hill = Hill(costs=nobody(w=10.0), unit=1.0, top=1.23, bend=bend)
        found = looked(hill)
        assert ends(found) == [1.0, 1.5, 2.0]
        for at in (1, 0):
            hill.tried.clear()
            found.look(at, 0, lambda: -math.inf, lambda _: None)
            assert hill.tried == [begins]


@pytest.mark.parametrize(
    ("ready", "w", "height", "b", "middle"),
    [
        (0.0, 0.0, 100.0, 2.0, None),  # nothing is gained by a shorter stretch
        (1.0, 0.0, 100.0, 2.0, None),
        (1.0 + 2e-12, 0.0, 100.0, 2.0, 1.5),
        (1.0 + 5e-10, 0.0, 100.0, 2.0, 1.5),  # too near the end to be split there
        (1.0 + 2e-9, 0.0, 100.0, 2.0, 1.0 + 2e-9),
        (1.7, 0.0, 100.0, 2.0, 1.7),
        (2.0 - 4e-9, 0.0, 100.0, 2.0, 2.0 - 4e-9),
        (2.0 - 1e-9, 0.0, 100.0, 2.0, 1.5),
        (2.0, 0.0, 100.0, 2.0, 1.5),
        (1.0 + 0.9e-4, 0.0, 100.0, 1.0 + 0.9e-4, None),  # too narrow
        (1.0 + 1e-4, 0.0, 100.0, 1.0 + 1e-4, None),
        (1.0 + 1.1e-4, 0.0, 100.0, 1.0 + 1.1e-4, 1.0 + 0.55e-4),
        (0.0, 0.0390, 100.0, 2.0, None),  # the tangent leaves w/4 open: a ten thousandth of the bound is little
        (0.0, 0.0410, 100.0, 2.0, 1.5),
        (0.0, 0.0, 0.0, 2.0, None),
        (0.0, 0.0390, -100.0, 2.0, None),
        (0.0, 0.0410, -100.0, 2.0, 1.5),
    ],
)  # fmt: skip
def test_a_stretch_is_split_where_tangents_leave_much_open(
    ready: float, w: float, height: float, b: float, middle: float | None
) -> None:
    """Just before the last row is ready, where that is inside; both parts inherit what is proved, one can be raised."""
    rows = nobody(ready, w)
    hill = Hill(costs=rows, unit=1.0, height=height, bend=float(np.sign(height)))
    found = whole(hill, 1.0, b, 2)
    found.look(0, 0, lambda: math.inf, lambda _: None)
    assert (1.0 in rows.asked) == (ready <= 1.0)  # only who is ready there says how far its tangent is off
    if middle is None:
        assert ends(found) == [1.0, b]
        assert [found.weakest(p) for p in range(2)] == [-1, 0]  # spent for the one that was looked at
        return
    assert ends(found) == pytest.approx([1.0, middle, b], rel=1e-14)
    if middle == ready:
        assert ready * (1.0 - 1e-14) <= ends(found)[1] < ready
    assert found.weakest(0) == 0
    assert found.bound(0, 0) == found.bound(1, 0) == pytest.approx(height + w / b, rel=1e-12)
    hill.height += 1.0
    found.look(1, 0, lambda: -math.inf, lambda _: None)
    assert found.bound(1, 0) == pytest.approx(found.bound(0, 0) + 1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("weaker", "rise", "w", "y"),
    [(False, 1.0, 0.0, 2.0), (True, 1.0, 0.0, 1.0), (True, 0.0, 0.0, 2.0), (True, 0.1, 1.0, 2.0)],
)
def test_the_end_that_proves_less_is_the_one_that_is_asked_about(weaker: bool, rise: float, w: float, y: float) -> None:
    hill = Hill(costs=nobody(0.0, w), unit=1.0, rise=rise)
    hill.weaker |= weaker
    found = looked(hill)
    assert set(hill.asked) == {y}
    assert found.bound(0, 0) == pytest.approx(100.0 + w / 2.0 + min(2.0 * rise, rise + w / 4.0), rel=1e-12)


def drawn(seed: int) -> tuple[Rows, IntArray]:
    """Five rows under three types, and all partitions of them; some rows are late, or never ready, for some types."""
    rng = np.random.default_rng(seed)
    shape = (3, 5)
    ready = rng.uniform(0.2, 2.5, shape)
    ready[rng.random(shape) < 0.1] = math.inf
    e, w, s = (rng.uniform(*ends, shape) for ends in ((0.1, 1.0), (0.5, 3.0), (0.1, 1.0)))
    return Rows(e, w, np.sqrt(s), ready), np.array([(i, j, 5 - i - j) for i in range(6) for j in range(6 - i)])


def of_all(values: FloatArray) -> FloatArray:
    """Of all matchings, sums over rows of (3, 5) values."""
    sums: FloatArray = values[assignments(3, 5)[0], np.arange(5)].sum(axis=1)
    return sums


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("b", [1.0, 1.6, 2.2, 3.0])
def test_one_price_bounds_every_matching_of_every_partition(seed: int, b: float) -> None:
    """At one y the dual is the best matching of all, for the partition in hand; and it says who has none there."""
    rows, counts = drawn(seed)
    for a in (b, 0.5 * b):
        for p in range(len(counts)):
            hill = Hill(costs=rows, unit=0.7, height=0.0, bend=0.0, rise=0.3)
            found = Stretches(hill, counts, np.array([a, b]), np.array([-math.inf]), math.inf)
            rows.asked.clear()
            found.look(0, p, lambda: -math.inf, lambda _: None)
            assert a < b or rows.asked == [b]
            there = rows.at(b, 0.7)
            truth = least_of(of_all(there.costs), counts) + 0.3 * b
            tangents = least_of(of_all(there.costs + there.falls * (b - a)), counts) + 0.3 * a
            bounds = np.array([found.bound(0, q) for q in range(len(counts))])
            assert (bounds <= np.minimum(truth, tangents) * (1.0 + 1e-12)).all()
            if truth[p] < math.inf and a == b:
                assert bounds[p] == pytest.approx(truth[p], rel=1e-12)
            if truth[p] == math.inf:
                assert bounds[p] == math.inf
            assert found.matchings == 1


def test_what_is_known_of_stretches() -> None:
    """Floors, and the rest: the least of all, of those that begin before some y, and which it is."""
    coupling = Hill(costs=nobody(), unit=1.0)
    found = Stretches(
        coupling, np.ones((2, 1), dtype=int), np.array([1.0, 2.0, 4.0, 8.0]), np.array([5.0, 3.0, 4.0]), 3.5
    )
    assert ends(found) == [1.0, 2.0, 4.0, 8.0]
    assert found.matchings == 0
    assert found.lower.tolist() == [3.0, 3.0]
    assert (found.least(0), found.weakest(0)) == (3.0, 1)
    for before, least, weakest in (
        (1.0, math.inf, -1), (1.5, 5.0, 0), (2.0, 5.0, 0), (2.1, 3.0, 1), (8.0, 3.0, 1), (8.1, 3.0, 1),
        (math.inf, 3.0, 1),
    ):  # fmt: skip
        assert (found.least(0, before), found.weakest(0, before)) == (least, weakest)
    found._rest[:] = 2.5
    assert (found.least(0, 5.0), found.weakest(0, 5.0), found.least(0), found.weakest(0)) == (3.0, 1, 2.5, -1)
    for rest, weakest in ((2.5, -1), (3.0, -1), (3.1, 1)):
        found = Stretches(coupling, np.ones((1, 1), dtype=int), np.array([1.0, 2.0, 4.0]), np.array([5.0, 3.0]), rest)
        assert found.least(0) == found.lower[0] == min(rest, 3.0)
        assert [found.weakest(0), found.weakest(0, 4.0), found.weakest(0, 4.1)] == [weakest, 1, weakest]
        assert found.least(0, 4.0) == 3.0
        assert found.least(0, 4.1) == min(rest, 3.0)
    with pytest.raises(ValueError, match="argument"):
        Stretches(coupling, np.ones((1, 1), dtype=int), np.array([1.0, 2.0]), np.array([5.0, 3.0]), 7.0)
    nothing = Stretches(coupling, np.ones((1, 1), dtype=int), np.array([1.0]), np.zeros(0), 7.0)
    assert (nothing.least(0), nothing.least(0, 0.0), nothing.lower[0]) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("ready", "last", "latest", "partitions", "first", "size"),
    [
        (3.0, 100.0, False, 1, [3.0, 3.0], 32),  # from the first at which all rows can do something
        (0.0, 100.0, False, 1, [0.0, 0.1], 32),
        (0.01, 100.0, False, 1, [0.01, 0.1], 32),
        (3.0, 100.0, False, 1 << 22, [3.0, 3.0], 4),  # as many partitions as leave room for few
        (3.0, 100.0, False, 1 << 20, [3.0, 3.0], 16),
        (3.0, 100.0, False, 1 << 26, [3.0, 3.0], 1),
        (3.0, 100.0, True, 1, [100.0, 100.0], 1),
        (200.0, 100.0, False, 1, [100.0, 100.0], 0),  # nobody is ready in time
    ],
)  # fmt: skip
def test_the_first_stretches_are_a_fan(
    ready: float,
    last: float,
    latest: bool,
    partitions: int,
    first: list[float],
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ends in geometric order from the first; ``floor`` is of each stretch's beginning."""
    seen: list[object] = []
    monkeypatch.setattr(stretches, "Stretches", lambda *given: seen.extend(given))
    rows = nobody()
    rows.ready = np.array([[ready, 0.0], [2.0 * ready + 1.0, math.inf]])
    counts = np.broadcast_to(np.ones(2, dtype=int), (partitions, 2))
    hill = Hill(costs=rows, unit=1.0)
    hill.latest |= latest
    stretches_of(hill, counts, last, 0.5, 17.0)
    _, _, found, floors, rest = seen
    assert isinstance(found, np.ndarray)
    wide = np.arange(1, size + 1) / max(size, 1)
    assert found == pytest.approx(np.array([first[0], *(first[1] * (last / first[1]) ** wide)]), rel=1e-12)
    assert np.array_equal(floors, 0.5 * found[:-1])  # type: ignore[arg-type]
    assert rest == 17.0
