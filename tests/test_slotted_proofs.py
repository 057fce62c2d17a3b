"""What a price of time proves where rows send one after another: by formulas, and against every matching of a few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up import assignments, least_of
from test_ruled import Rows
from test_stretches import drawn, nobody

from solvers.matching.slotprice import _Longer
from solvers.matching.slotted import _Slots
from solvers.matching.stretches import OFF, Coupling, Stretches
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal

SAFE = 1e-12  # relative, what is allowed for rounding
BUDGETED = (Goal.ENERGY, Goal.POWER)


def slots(goal: Goal, value: float, costs: Rows | None = None) -> _Slots:
    return _Slots(costs=costs or nobody(), unit=1.0, goal=goal, value=value, weaker=goal is Goal.DEADLINE)


def longer(needed: float, unit: float = 1.0, costs: Rows | None = None, partitions: int = 1) -> _Longer:
    """A price of time of ``unit``, for rounds within ``needed``."""
    return _Longer(costs=costs or nobody(), unit=unit, cheaper=False, weaker=True, needed=np.full(partitions, needed))


@pytest.mark.parametrize("price", [0.5, 2.0])
@pytest.mark.parametrize("V", [3.0, 40.0])
def test_what_a_value_proves_is_met_where_energy_and_time_just_make_it(price: float, V: float) -> None:
    """E + price x T = V, and E what the budget allows for T, or T the deadline."""
    given = np.array([V])
    T = float(slots(Goal.ENERGY, 1.25).proved(given, price)[0])
    assert 1.25 + price * T == pytest.approx(V, rel=2.0 * SAFE)
    assert 1.25 + price * T < V
    T = float(slots(Goal.POWER, 1.25).proved(given, price)[0])
    assert (1.25 + price) * T == pytest.approx(V, rel=2.0 * SAFE)
    assert (1.25 + price) * T < V
    E = float(slots(Goal.DEADLINE, 1.25).proved(given, price)[0])
    assert E + price * 1.25 == pytest.approx(V, rel=2.0 * SAFE)
    assert E + price * 1.25 < V
    for goal in BUDGETED:
        assert slots(goal, math.inf).proved(np.array([V, V]), price).tolist() == [0.0, 0.0]
    cost = float(longer(7.0).proved(given, price)[0])  # at 1 W, of what takes 7 s at most
    assert cost + max(price - 1.0, 0.0) * 7.0 == pytest.approx(V, rel=2.0 * SAFE)
    assert cost + max(price - 1.0, 0.0) * 7.0 < V
    if price < 1.0:
        assert longer(math.inf).proved(given, 1.0)[0] == cost


def one(price: float, y: float) -> tuple[float, float]:
    """E + price x T of a matching at an end of computing, and its slots: 2 + 3/y + 4 sqrt(price) + price y."""
    return 2.0 + 3.0 / y + 4.0 * math.sqrt(price) + price * y, 2.0 / math.sqrt(price)


@pytest.mark.parametrize("price", [0.6, 1.7, 5.0])
@pytest.mark.parametrize(
    "coupling",
    [slots(Goal.ENERGY, 5.5), slots(Goal.POWER, 2.5), slots(Goal.DEADLINE, 4.0), longer(4.0, 0.3)],
    ids=["energy", "power", "deadline", "longer"],
)
def test_the_gain_of_a_price_is_how_the_bound_rises_with_it(coupling: Coupling, price: float) -> None:
    """By difference; and it rises where more is taken than there is."""

    def bound(price: float) -> float:
        return float(coupling.proved(np.array([one(price, 1.5)[0]]), price)[0])

    value, taken = one(price, 1.5)
    over, gain = coupling.excess(1.5, value, taken, bound(price), price)
    step = 1e-5
    rise = (bound(price * (1.0 + step)) - bound(price * (1.0 - step))) / (2.0 * step)
    assert gain == pytest.approx(rise, rel=1e-6)
    assert over * gain > 0.0
    room = {4.0: 2.5}.get(getattr(coupling, "value", 4.0), bound(price) - 1.5)
    assert over == pytest.approx(math.log(taken / room), rel=1e-9) or abs(over) == OFF


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE])
def test_slots_that_are_none_or_find_no_room_say_which_way_alone(goal: Goal) -> None:
    """The deadline, or what is proved of the duration, is 3 s."""
    coupling = slots(goal, 3.0)
    for y, taken, over in ((1.0, 0.0, -OFF), (3.0, 1.0, OFF), (4.0, 1.0, OFF), (3.0, 0.0, -OFF), (4.0, 0.0, -OFF)):
        assert coupling.excess(y, 9.0, taken, 3.0, 1.0)[0] == over
    within = longer(3.0)
    for y, taken, over in ((1.0, 0.0, -OFF), (3.0, 1.0, OFF), (4.0, 1.0, OFF), (3.0, 0.0, -OFF), (4.0, 0.0, OFF)):
        assert within.excess(y, 9.0, taken, 3.0, 2.0) == (over, 2.0 * (taken - (3.0 - y)))
    assert longer(math.inf).excess(1.0, 9.0, 1.0, 3.0, 2.0)[0] == -OFF
    assert within.excess(1.0, 9.0, 0.5, 3.0, 1.0)[0] == -math.log(4.0)
    assert within.excess(2.5, 9.0, 0.25, 3.0, 1.0)[0] == -math.log(2.0)
    within.needed, within.now = np.array([9.0, 3.0]), 1
    assert within.excess(1.0, 9.0, 1.0, 3.0, 2.0) == (-math.log(2.0), -2.0)


@pytest.mark.parametrize("goal", BUDGETED)
def test_where_slots_say_little_the_energy_says_which_way(goal: Goal) -> None:
    """1 s of computing, 1 s of slots, 6 J allowed: within a hundredth of the room there is, or not."""
    coupling = slots(goal, 6.0 if goal is Goal.ENERGY else 3.0)
    for room, energy, over in (
        (1.0, 5.0, OFF), (1.0, 7.0, -OFF), (1.005, 5.9, OFF), (1.0 / 1.005, 6.1, -OFF),
        (1.005, 6.03, -math.log(1.005)), (1.005, 5.97, -math.log(1.005)),
        (1.02, 5.0, -math.log(1.02)), (0.98, 7.0, -math.log(0.98)),
    ):  # fmt: skip
        found, _ = coupling.excess(1.0, energy + 0.7 * 2.0, 1.0, 1.0 + room, 0.7)
        assert found == pytest.approx(over, rel=1e-9)
    near = slots(Goal.DEADLINE, 2.005).excess(1.0, 5.0 + 0.7 * 2.0, 1.0, 99.0, 0.7)[0]
    assert near == pytest.approx(-math.log(1.005), rel=1e-9)


def truth(rows: Rows, counts: IntArray, coupling: Coupling, a: float, b: float) -> FloatArray:
    """The best of every matching of each partition whose computing ends from a to b, at 40 ends."""
    e, w, S, ready = (each[:, None] for each in rows.sums(assignments(3, 5)[0]))
    y = np.linspace(a, b, 40)
    E = e + w / y
    with np.errstate(all="ignore"):
        if isinstance(coupling, _Longer):
            left = np.minimum(S / math.sqrt(coupling.unit), coupling.needed[0] - y)
            result = np.where(left > 0.0, E + S**2 / left + coupling.unit * (y + left), math.inf)
        elif coupling.goal is Goal.DEADLINE:  # type: ignore[attr-defined]
            left = coupling.value - y  # type: ignore[attr-defined]
            result = np.where(left > 0.0, E + S**2 / left, math.inf)
        elif coupling.goal is Goal.ENERGY:  # type: ignore[attr-defined]
            left = coupling.value - E  # type: ignore[attr-defined]
            result = np.where(left > 0.0, y + S**2 / left, math.inf)
        else:
            watts = coupling.value  # type: ignore[attr-defined]
            less = watts * y - E
            result = y + (np.sqrt(less**2 + 4.0 * watts * S**2) - less) / (2.0 * watts)
    return least_of(np.where(ready > y, math.inf, result).min(axis=1), counts)


@pytest.mark.parametrize(
    ("name", "work", "left_open"),
    [("energy", 338, 1.38e-4), ("power", 256, 3.45e-5), ("deadline", 321, 1.78e-3), ("longer", 289, 1.50e-4)],
)
def test_no_matching_goes_below_what_prices_prove_and_little_is_left_open(
    name: str, work: int, left_open: float
) -> None:
    """In every stretch; of the partitions looked at with as much work and as near as when this was written."""
    solved, gaps = 0, list[float]()
    for seed in range(2):
        rows, counts = drawn(seed)
        coupling = {
            "energy": slots(Goal.ENERGY, 14.0, rows), "power": slots(Goal.POWER, 2.0, rows),
            "deadline": slots(Goal.DEADLINE, 6.0, rows), "longer": longer(5.0, 0.5, rows, len(counts)),
        }[name]  # fmt: skip
        ends = np.geomspace(0.5, {"deadline": 6.0, "longer": 5.0}.get(name, 12.0), 5)
        found = Stretches(coupling, counts, ends, np.zeros(4), math.inf)
        for p in (8, 9):
            for _ in range(25):
                at = found.weakest(p)
                if at < 0:
                    break
                found.look(at, p, lambda: math.inf, lambda _: None)
        best = np.full(len(counts), math.inf)
        for each in found._all:
            here = truth(rows, counts, coupling, each.a, each.b)
            assert (each.lower <= here * (1.0 + 1e-9)).all()
            best = np.minimum(best, here)
        solved += found.matchings
        gaps += [1.0 - found.least(p) / best[p] for p in (8, 9)]
    assert 0.97 * work <= solved <= 1.01 * work  # less is welcome, and a reason to write it here
    assert sum(gaps) <= 1.02 * left_open + 1e-6
