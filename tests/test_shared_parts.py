"""A shared band, part by part: the search on a made-up curve, the limits, the careful path, and what an answer says."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from test_shared_turns import rows

from solvers.access import LAST_DIGITS, shared
from solvers.access.joint import Look
from solvers.access.shared import Fleet, Share, _least_duration, _left_to_time, _search, schedule, scheme_limits
from solvers.plan import make_plan
from solvers.rows import FloatArray, Goal, Limits, Stop

BUDGETED = (Goal.ENERGY, Goal.POWER)


def seen(T: float, energy: float, price: float) -> Look:
    return Look(T=T, mu=1.0, energy=energy, share=1.0, price=price, curve=1.0, by_time=-1.0, by_price=-1.0, room=1.0)


def test_what_another_duration_may_save_is_below_the_tangents() -> None:
    look = seen(4.0, 10.0, 3.0)
    assert _left_to_time(look, 5.0, 1.5, 8.0) == pytest.approx(2.0 * 2.5, rel=1e-15)
    assert _left_to_time(look, 5.0, 6.0, 8.0) == 0.0
    assert _left_to_time(look, 3.0, 1.5, 8.0) == 0.0
    assert _left_to_time(look, 2.0, 1.5, 8.0) == pytest.approx(1.0 * (10.0 - 8.0) / 2.0, rel=1e-15)
    assert _left_to_time(look, 2.0, 1.5, 12.0) == 0.0


@dataclass
class Curve:
    """A fleet of E(T) = e + w/(T - t) from T_min to T_flat, from ``kink`` on less steep; and what it was asked."""

    e: float = 2.0
    w: float = 3.0
    t: float = 0.4
    t_min: float = 1.0
    t_flat: float = math.inf
    kink: float = math.inf
    jump: float = 0.1
    lost: tuple[float, float] = (0.0, 0.0)
    asked: list[float] = field(default_factory=list)
    uplinks: Any = None

    @property
    def known(self) -> Limits:
        e_inf = self.energy(self.t_flat)
        return Limits(
            least_time=np.array([self.t_min]), free_time=np.array([self.t_flat]), least_energy=np.array([e_inf])
        )

    def energy(self, T: float) -> float:
        return self.e + self.w / (min(T, self.t_flat) - self.t)

    def price(self, T: float) -> float:
        return self.w / (T - self.t) / (T - self.t) * (self.jump if self.kink <= T else 1.0) if self.t_flat > T else 0.0

    def look(self, T: float) -> Look | None:
        self.asked.append(T)
        return None if self.lost[0] <= T < self.lost[1] else seen(T, self.energy(T), self.price(T))

    def at(self, T: float) -> Share | None:
        look = self.look(T)
        return None if look is None else Share(look=look, out=np.zeros((5, 1)))

    def search(self, goal: Goal, value: float) -> Any:
        fleet: Any = self
        self.asked.clear()
        return _search(fleet, self.known, goal, value)

    def value(self, goal: Goal, T: float) -> float:
        E = self.energy(T)
        return {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: self.price(T)}[goal]


LOOKS = {Goal.ENERGY: 73, Goal.POWER: 76, Goal.DEADLINE: 6, Goal.PRICE: 87}


@pytest.mark.parametrize("goal", LOOKS)
def test_the_least_duration_without_excess(goal: Goal) -> None:
    """In closed form; looks as when this was written. Where bandwidth cannot be priced a duration is no good."""
    looks = 0
    for curve in (Curve(), Curve(t_flat=9.0), Curve(lost=(1.3, 1.4))):
        for T in (1.5, 8.5):
            stop, share = curve.search(goal, curve.value(goal, T))
            assert stop is Stop.OPTIMAL
            assert pytest.approx(T, rel=1e-14) == share.look.T
            assert share.look.T >= T * (1.0 - 4e-16) or goal is Goal.DEADLINE
            looks += len(curve.asked)
    assert abs(looks - LOOKS[goal]) <= 3


@pytest.mark.parametrize("goal", [*BUDGETED, Goal.PRICE])
def test_the_shortest_round_may_be_good_enough(goal: Goal) -> None:
    curve = Curve()
    stop = Stop.OPTIMAL if goal is Goal.PRICE else Stop.SLACK
    for more in (1.0, 1.5):
        found = curve.search(goal, curve.value(goal, 1.0) * more)
        assert (found[0], found[1].look.T) == (stop, 1.0)
    found = curve.search(goal, curve.value(goal, 1.0) * (1.0 - 1e-9))
    assert found[0] is Stop.OPTIMAL
    assert 1.0 < found[1].look.T < 1.0 + 1e-8


def test_limits_of_the_search() -> None:
    """Deadlines, watts that take longer than any time that saves, rounds without an end, and least durations of 0."""
    curve = Curve(t_flat=9.0)
    assert curve.search(Goal.DEADLINE, 1.0 - 1e-15)[1].look.T == 1.0
    assert pytest.approx(30.0, rel=1e-15) == curve.search(Goal.POWER, curve.energy(9.0) / 30.0)[1].look.T
    assert pytest.approx(8.99, rel=1e-14) == curve.search(Goal.POWER, curve.energy(8.99) / 8.99)[1].look.T
    assert pytest.approx(9.0, rel=1e-14) == curve.search(Goal.ENERGY, curve.energy(9.0))[1].look.T
    assert Curve().search(Goal.ENERGY, 1.9) is None
    assert Curve(lost=(0.0, 99.0)).search(Goal.DEADLINE, 5.0) is None
    assert Curve(lost=(0.0, 99.0), t_flat=50.0).search(Goal.ENERGY, 3.0) is None


def test_a_search_from_nothing_begins_where_sending_is_easy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "easy", lambda uplinks: 0.3)
    curve = Curve(t=-0.1, t_min=0.0)
    found = curve.search(Goal.ENERGY, curve.energy(0.5))
    assert pytest.approx(0.5, rel=1e-14) == found[1].look.T
    assert curve.asked[:3] == [0.0, 0.3, 0.6]
    curve = Curve()
    curve.search(Goal.ENERGY, curve.energy(7.0))
    assert curve.asked[:5] == [1.0, 2.0, 4.0, 8.0, pytest.approx(6.0, abs=2.0)]
    curve = Curve(t_flat=3.0)
    curve.search(Goal.ENERGY, curve.energy(2.9))
    assert curve.asked[:3] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_price_within_a_kink_is_the_one_that_was_asked_for(share: float) -> None:
    curve = Curve(kink=3.0)
    low, high = curve.price(3.0), curve.price(3.0 * (1.0 - 1e-15))
    value = low + share * (high - low)
    found = curve.search(Goal.PRICE, value)
    assert pytest.approx(3.0, rel=1e-14) == found[1].look.T
    assert found[1].look.price == value
    plain = Curve().search(Goal.PRICE, Curve().price(3.0))
    assert plain[1].look.price == pytest.approx(Curve().price(3.0), rel=1e-11)
    energy = curve.search(Goal.ENERGY, curve.energy(3.0))
    assert energy[1].look.price == curve.price(energy[1].look.T)
    lost = Curve(kink=3.0, lost=(2.0, 3.0))
    assert lost.search(Goal.PRICE, value)[1].look.price == low


@pytest.mark.parametrize("t_min", [0.0, 1.0, 250.0])
@pytest.mark.parametrize("part", [1e-14, 3e-10, 1e-4, 0.4])
@pytest.mark.parametrize("power", [0.3, 1.0])
def test_next_to_the_least_duration_a_root_is_sought_by_the_logarithm(t_min: float, part: float, power: float) -> None:
    """(T - T_min)^-power falls by decades there: few looks are enough, and the root is found to the last digits."""
    scale, asked = t_min or 1.0, list[float]()

    def excess(T: float) -> float:
        asked.append(T)
        return math.pow(part, power) - math.pow(max(T - t_min, 0.0) / scale, power)

    root = t_min + part * scale
    found = _least_duration(excess, t_min, t_min, 2.0 * scale)
    assert found == pytest.approx(root, rel=1e-15, abs=4.0 * math.ulp(t_min))
    assert excess(found) <= 0.0
    assert len(asked) <= (17 if t_min > 0.0 else 60)
    later = 1.2 * scale
    assert _least_duration(lambda T: 1.5 * scale - T, t_min, later, 2.0 * scale) == pytest.approx(
        1.5 * scale, rel=1e-15
    )


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed"])
@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
def test_the_careful_path_finds_what_the_quick_one_does(
    family: str, goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested roots in place of Newton's method on both; an answer near by is a start for the quick one alone."""
    r, hertz = rows(family, 5, 4), 3e6
    T = 1.6 * scheme_limits(r, hertz).t_min
    there = schedule(r, hertz, Goal.DEADLINE, T)
    assert there.timing.point is not None
    E = float(there.timing.point.energy.sum())
    value = {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: there.time_price}[goal]
    quick = schedule(r, hertz, goal, value)
    mu, off = quick.bandwidth_price * hertz, 1.0 if goal is Goal.DEADLINE else 1.001
    close = schedule(r, hertz, goal, value, (quick.timing.duration * off, mu * 1.001))
    assert close.timing.passes <= 6
    monkeypatch.setattr(shared, "guess", None)  # nobody asks for one
    schedule(r, hertz, goal, value, (quick.timing.duration * off, mu * 1.001))
    monkeypatch.undo()
    monkeypatch.setattr(shared, "joint", lambda *arguments: None)
    slow = schedule(r, hertz, goal, value)
    for found in (close, slow):
        assert found.timing.stop is Stop.OPTIMAL
        assert found.timing.duration == pytest.approx(quick.timing.duration, rel=1e-7)
        assert found.timing.point is not None
        assert float(found.timing.point.energy.sum()) == pytest.approx(E, rel=1e-9)
        assert found.bandwidth.sum() == pytest.approx(hertz, rel=1e-12)
        assert found.bandwidth_price == pytest.approx(quick.bandwidth_price, rel=1e-5)
        assert found.time_price == pytest.approx(quick.time_price, rel=1e-5)
        assert found.timing.lower <= found.timing.duration <= found.timing.upper
        for end in (found.timing.lower, found.timing.upper):
            assert end == pytest.approx(found.timing.duration, rel=1e-7)
    assert quick.timing.passes <= 16 or family != "typical"
    assert slow.timing.passes > (5 if goal is Goal.DEADLINE else 30)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("off", [1e-8, 0.3])
@pytest.mark.parametrize("stop", [Stop.OPTIMAL, Stop.SLACK])
def test_what_a_dual_value_leaves_open(goal: Goal, off: float, stop: Stop) -> None:
    """Of a budget the duration, of a deadline or a price of time its own sum; a slack round is the shortest."""
    r, hertz = rows("powers", 3, 3), 3e6
    fleet = Fleet(r, make_plan(r))
    t_min = fleet.limits().t_min
    T = 1.5 * t_min
    share = fleet.at(T)
    assert share is not None
    E, price = share.look.dual, share.look.price
    value = {Goal.ENERGY: E * (1.0 + 1e-13), Goal.POWER: E * (1.0 + 1e-13) / T, Goal.DEADLINE: T, Goal.PRICE: price}[
        goal
    ]
    look = dataclasses.replace(share.look, energy=share.look.energy - off * E)
    found = fleet.outcome(hertz, stop, Share(look=look, out=share.out.copy()), t_min, goal, value)
    total = E + (value * T if goal is Goal.PRICE else 0.0)
    assert found.gap == pytest.approx(off * E / total, rel=1e-5)
    assert found.hidden == pytest.approx(LAST_DIGITS * (price * T + look.mu) / total, rel=1e-9, abs=0.0)
    slope = price + (value if goal is Goal.POWER else 0.0)
    lower = max(t_min, T - off * E / slope) if goal in BUDGETED and stop is Stop.OPTIMAL else T
    assert found.timing.lower == pytest.approx(lower, rel=1e-8)
    assert found.timing.lower <= lower * (1.0 + 1e-12)
    assert found.bandwidth_price == pytest.approx(look.mu / hertz, rel=1e-15)
    assert found.time_price == pytest.approx(price, rel=1e-9)
    assert found.timing.stop is (stop if off < 0.1 and T - lower <= 1e-6 * T else Stop.LIMIT)
    loose = dataclasses.replace(share.look, share=share.look.share * 1.01)  # bandwidths are made to add up
    wide = Share(look=loose, out=share.out * np.array([1.0, 1.0, 1.0, 1.01, 1.0])[:, None])
    assert fleet.outcome(hertz, stop, wide, t_min, goal, value).bandwidth.sum() == pytest.approx(hertz, rel=1e-9)
    if goal is Goal.PRICE:  # another price of time leaves what other durations may save
        for times in (0.9, 1.1):
            other = fleet.outcome(hertz, Stop.OPTIMAL, share, t_min, goal, times * price)
            left = _left_to_time(share.look, times * price, t_min, fleet.plan.e_inf)
            assert other.gap == pytest.approx(left / (E + times * price * T), rel=1e-6)
            assert left > 0.0


def test_where_time_is_worth_nothing_a_shorter_round_bounds_the_duration() -> None:
    """That of a budget a bit greater: its tangent leads to where the budget holds."""
    r = rows("typical", 3, 3)
    fleet = Fleet(r, make_plan(r))
    t_min = fleet.limits().t_min
    share = fleet.at(1.5 * t_min)
    assert share is not None
    look = dataclasses.replace(share.look, price=0.0)
    for more in (1e-13, 1e-3):
        budget = look.dual * (1.0 + more)
        timing = fleet.outcome(1.0, Stop.OPTIMAL, Share(look=look, out=share.out), t_min, Goal.ENERGY, budget).timing
        best = schedule(r, 1.0, Goal.ENERGY, budget).timing.duration
        assert timing.lower == pytest.approx(best, rel=1e-10)
        assert timing.lower <= best


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize(("enough", "tries"), [(0.0, 0), (0.9, 1), (4.0, 3), (2.0**30, 21)])
def test_a_round_is_made_longer_until_its_rows_keep_the_budget(goal: Goal, enough: float, tries: int) -> None:
    """By 1, 2, 4 roundings and so on, about a million at most."""
    r = rows("typical", 3, 3)
    fleet: Any = Fleet(r, make_plan(r))
    T, asked = 2.0, list[float]()

    def at(T: float) -> Share:
        asked.append(T)
        return Share(look=seen(T, 1.0, 1.0), out=np.zeros((5, 1)))

    def settled(share: Share) -> tuple[FloatArray, float]:
        late = (share.look.T - T) / math.ulp(T)
        return np.array([1.0, 1.0 if late >= enough else 1.0 + 1e-9]), late

    fleet.at, fleet._settled = at, settled
    value = 2.0 if goal is not Goal.POWER else 1.0
    share, energy, worst = fleet._afforded(Share(look=seen(T, 1.0, 1.0), out=np.zeros((5, 1))), goal, value)
    if goal in BUDGETED:
        assert asked == [T + 2.0**i * math.ulp(T) for i in range(tries)]
        assert (asked[-1] if tries else T) == share.look.T
        assert worst == (share.look.T - T) / math.ulp(T)
        assert energy.sum() == (2.0 if enough < 1e6 else 2.0 + 1e-9)
    else:
        assert not asked
    fleet.at = lambda T: None
    kept = fleet._afforded(Share(look=seen(T, 1.0, 1.0), out=np.zeros((5, 1))), goal, value)[0]
    assert kept.look.T == T


def test_a_deadline_that_no_power_meets_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """At T_min itself where some power has no limit; all else that is not found stopped at a limit."""
    some = [0.2, math.inf, 0.2]
    for cap, late, stop in (
        (math.inf, 1.0, Stop.TOO_SHORT),
        (some, 1.0, Stop.TOO_SHORT),
        (0.2, 1.0, Stop.LIMIT),
        (math.inf, 1.5, Stop.LIMIT),
    ):
        r = rows("typical", 2, 3, power_max=cap)
        value = late * scheme_limits(r, 1.0).t_min
        monkeypatch.setattr(shared, "joint", lambda *arguments: None)
        monkeypatch.setattr(shared, "_search", lambda *arguments: None)
        found = schedule(r, 1.0, Goal.DEADLINE, value)
        assert found.timing.stop is stop
        assert found.timing.passes > 0
        monkeypatch.undo()


def test_nothing_is_searched_where_any_energy_will_do_or_no_start_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    r = rows("typical", 2, 3)
    t_min = scheme_limits(r, 1.0).t_min
    monkeypatch.setattr(shared, "joint", None)
    assert schedule(r, 1.0, Goal.ENERGY, math.inf).timing.stop is Stop.SLACK
    monkeypatch.setattr(shared, "guess", lambda uplinks, goal, value: (value, 0.0))
    assert schedule(r, 1.0, Goal.DEADLINE, 1.5 * t_min).timing.stop is Stop.OPTIMAL


def test_a_price_is_guessed_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    r, asked = rows("typical", 2, 3), list[float]()

    def price_of(uplinks: Any, T: float) -> float:
        asked.append(T)
        return 1e-2

    monkeypatch.setattr(shared, "price_of", price_of)
    fleet = Fleet(r, make_plan(r))
    t_min = fleet.limits().t_min
    fleet.look(1.5 * t_min)
    look = fleet.look(1.6 * t_min)
    assert asked == [1.5 * t_min]
    assert look is not None
    assert fleet._mu == look.mu
    monkeypatch.setattr(shared, "balance", lambda *arguments: None)
    assert fleet.look(1.7 * t_min) is None
    assert fleet._mu == look.mu
    assert fleet.look(t_min) is not None  # nothing to balance there


def test_where_nobody_sends_there_is_no_band_to_price() -> None:
    r = rows("powers", 2, ["no upload", "no upload"])
    T = 1.5 * make_plan(r).t_min
    found = schedule(r, 1e6, Goal.DEADLINE, T)
    assert found.timing.point is not None
    assert found.time_price == float(found.timing.point.price.sum())
    assert math.isnan(found.compute_end)
    assert (found.bandwidth_price, found.bandwidth.tolist()) == (0.0, [0.0, 0.0])
    none = schedule(r, 1e6, Goal.DEADLINE, T / 3.0)
    assert (none.timing.stop, none.timing.point, math.isnan(none.time_price)) == (Stop.TOO_SHORT, None, True)
