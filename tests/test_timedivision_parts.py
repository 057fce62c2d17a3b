"""Time division, part by part: where a root is sought, the search on a made-up curve, and what is proved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import make, of_kinds

import fedopt
from fedopt.rounds import rows_of
from solvers.access import LAST_DIGITS, timedivision
from solvers.access.settle import Settled, settle
from solvers.access.timedivision import Fleet, _bounds, _search, schedule
from solvers.limits import marginal
from solvers.plan import make_plan
from solvers.rows import Goal, Limits, Rows, Stop


def bounded(
    falls: Callable[[float], float], low: float, high: float, at: float, steep: float
) -> tuple[Any, list[float]]:
    looked: list[float] = []

    def seen(x: float) -> float:
        looked.append(x)
        return falls(x)

    return _bounds(seen, low, high, at, steep), looked


@pytest.mark.parametrize("up", [1.0, -1.0])
def test_bounds_are_drawn_by_a_bit_more_than_the_slope_asks_for_and_twice_as_far_each_time(up: float) -> None:
    """On a line of slope -0.1 where -0.4 was thought: 1.1/4 of the way, then 2.2/4 and 4.4/4 of the rest."""
    found, looked = bounded(lambda x: 0.1 * (8.0 * up - x), -100.0, 100.0, 0.0, 0.4)
    first = 8.0 * 1.1 / 4.0
    second = first + (8.0 - first) * 2.2 / 4.0
    third = second + (8.0 - second) * 4.4 / 4.0
    assert looked == pytest.approx([0.0, up * first, up * second, up * third], rel=1e-12)
    assert found == (tuple(looked[2:]) if up > 0.0 else tuple(looked[:1:-1]))
    assert bounded(lambda x: math.inf * up if x * up < 1.0 else -up, -100.0, 100.0, 0.0, 0.4)[1] == [0.0, up * 22.0]
    assert bounded(lambda x: up * (1e-9 - up * x), -100.0, 100.0, 0.0, 0.4)[1] == [0.0, up * 1.1e-3]
    assert bounded(lambda x: up, -5.0, 4.0, 0.0, 0.4)[0] == ((4.0, 4.0) if up > 0.0 else (-5.0, -5.0))
    assert bounded(lambda x: up * (1.0 - up * x), -0.5, 0.5, 0.0, 0.4)[0] == (0.5 * up, 0.5 * up)


def test_bounds_begin_within_their_range() -> None:
    assert bounded(lambda x: 1.0 - x, 0.0, 4.0, 9.0, 0.5) == ((0.0, 4.0), [4.0, 0.0])
    assert bounded(lambda x: 3.0 - x, 2.0, 4.0, -9.0, 10.0)[1][0] == 2.0
    assert bounded(lambda x: 0.0 if x >= 0.0 else 1.0, -4.0, 4.0, 0.0, 0.5) == ((0.0, 0.0), [0.0])  # a root


@pytest.mark.parametrize("wide", [0.5, 3.0, 600.0])
@pytest.mark.parametrize("off", [0.0, 1e-15, -1e-15, 1e-9])
def test_bounds_are_drawn_across_a_plateau_in_few_steps(wide: float, off: float) -> None:
    """As prices of time at a kink of E(T) are one: what is off there does not say how far the root is."""
    plateau = lambda x: 1.0 if x < -wide else -1.0 if x > wide else off  # noqa: E731
    for at in (-0.4 * wide, 0.0, 0.9 * wide):
        found, looked = bounded(plateau, -660.0, 660.0, at, 0.5)
        assert plateau(found[0]) >= 0.0 >= plateau(found[1])
        assert len(looked) <= (1 if off == 0.0 else 24)


@dataclass
class Curve:
    """A fleet of E(T) = e + w/(T - t), so T = t + sqrt(w/price), from T_min to T_flat; and how it was looked at."""

    e: float = 2.0
    w: float = 3.0
    t: float = 0.4
    t_min: float = 1.0
    t_flat: float = math.inf
    worth: float = 1.0
    dear: float = 0.0
    looks: int = 0
    prices: list[float] = field(default_factory=list)

    @property
    def computing(self) -> Any:
        """Worth so much at twice the first end."""
        return SimpleNamespace(first=0.5, at=lambda end: SimpleNamespace(worth=self.worth if end == 1.0 else 0.1))

    @property
    def known(self) -> Limits:
        least = self.energy(self.t_flat)
        return Limits(
            least_time=np.array([self.t_min]), free_time=np.array([self.t_flat]), least_energy=np.array([least])
        )

    def energy(self, T: float) -> float:
        """No number up to a duration."""
        return self.e + self.w / (T - self.t) if self.dear < T else math.inf

    def price(self, T: float) -> float:
        return self.w / (T - self.t) ** 2

    def look(self, price: float) -> tuple[float, float]:
        self.looks += 1
        self.prices.append(price)
        T = self.t + math.sqrt(self.w / price) if price > 0.0 else math.inf
        T = min(max(T, self.t_min), self.t_flat)
        return T, self.energy(T)

    def top(self) -> float:
        return self.price(self.t_min)

    def search(self, goal: Goal, value: float) -> Any:
        fleet: Any = self
        self.looks = 0
        return _search(fleet, self.known, goal, value)

    def value(self, goal: Goal, T: float) -> float:
        E = self.energy(T)
        return {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: self.price(T)}[goal]


LOOKS = {Goal.ENERGY: 63, Goal.POWER: 58, Goal.DEADLINE: 49, Goal.PRICE: 5}


@pytest.mark.parametrize("goal", LOOKS)
def test_the_price_of_time_meets_the_goal(goal: Goal) -> None:
    """In closed form; as many looks as when this was written."""
    looks = 0
    small = Curve(e=0.02, w=0.003, t=0.04, t_min=0.1, worth=0.01)
    for curve, T in [(Curve(t_flat=f), T) for f in (math.inf, 9.0) for T in (1.5, 8.0)] + [(small, 0.3)]:
        stop, price, duration = curve.search(goal, curve.value(goal, T))
        assert stop is Stop.OPTIMAL
        assert price == pytest.approx(curve.price(T), rel=1e-13)
        assert duration == (T if goal is Goal.DEADLINE else pytest.approx(T, rel=1e-13))
        looks += curve.looks
    assert abs(looks - LOOKS[goal]) <= 2


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
def test_a_budget_of_the_shortest_round_or_more_is_slack(goal: Goal) -> None:
    curve = Curve()
    for more in (1.0, 1.5, math.inf):
        assert curve.search(goal, curve.value(goal, curve.t_min) * more) == (Stop.SLACK, curve.top(), curve.t_min)
    assert curve.search(goal, curve.value(goal, curve.t_min) * (1.0 - 1e-9))[0] is Stop.OPTIMAL


def test_time_without_a_price() -> None:
    """More than all the time that saves anything; watts that take longer than that."""
    curve = Curve(t_flat=9.0)
    for T in (9.0, 20.0):
        assert curve.search(Goal.DEADLINE, T) == (Stop.OPTIMAL, 0.0, T)
        assert curve.looks == 1
    E = curve.energy(9.0)
    assert curve.search(Goal.POWER, E / 30.0) == (Stop.OPTIMAL, 0.0, pytest.approx(30.0, rel=1e-15))
    stop, price, T = curve.search(Goal.POWER, E / 9.0 * (1.0 + 1e-6))
    assert (stop, price > 0.0, T) == (Stop.OPTIMAL, True, pytest.approx(9.0, rel=1e-5))
    assert curve.search(Goal.DEADLINE, 1.0)[1:] == (pytest.approx(curve.top(), rel=1e-13), 1.0)
    assert curve.search(Goal.DEADLINE, 0.9)[1] <= curve.top()
    nowhere = Curve(w=0.0)
    assert nowhere.search(Goal.DEADLINE, 2.0) == (Stop.OPTIMAL, 0.0, 2.0)


@pytest.mark.parametrize("worth", [1e-3, 50.0, 0.0, math.inf])
def test_the_search_begins_at_what_computing_twice_as_long_is_worth(worth: float) -> None:
    """Wherever that is the answer is the same; right there few looks are enough."""
    curve = Curve(worth=worth)
    T = 3.0
    for goal in (Goal.ENERGY, Goal.DEADLINE):
        assert curve.search(goal, curve.value(goal, T))[1] == pytest.approx(curve.price(T), rel=1e-13)
    begun = worth if 0.0 < worth < math.inf else 1.0  # [W], where computing says nothing
    assert any(price == pytest.approx(min(begun, curve.top()), rel=1e-12) for price in curve.prices)
    near = Curve(worth=curve.price(T))
    near.search(Goal.DEADLINE, T)
    assert near.looks <= 5 < curve.looks


@pytest.mark.parametrize(("goal", "steep"), [(Goal.ENERGY, 0.6), (Goal.POWER, 0.9), (Goal.DEADLINE, 0.3)])
@pytest.mark.parametrize("worth", [0.5, 8.0])
def test_the_second_price_is_where_the_usual_slope_leads_to(goal: Goal, steep: float, worth: float) -> None:
    curve, T = Curve(worth=worth), 3.0
    value = curve.value(goal, T)
    curve.search(goal, value)
    at = next(i for i, price in enumerate(curve.prices) if abs(price / worth - 1.0) < 1e-9)
    duration, energy = curve.look(worth)
    off = {Goal.ENERGY: value / energy, Goal.POWER: value * duration / energy, Goal.DEADLINE: duration / value}[goal]
    expected = worth * math.exp(1.1 * math.log(off) / steep)
    assert curve.prices[at + 1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER])
@pytest.mark.parametrize("worth", [1e6, 4.0, 1e-3])
def test_an_energy_that_is_no_number_is_above_every_budget(goal: Goal, worth: float) -> None:
    curve, T = Curve(dear=1.2, worth=worth), 3.0
    stop, price, duration = curve.search(goal, curve.value(goal, T))
    assert (stop, duration) == (Stop.OPTIMAL, pytest.approx(T, rel=1e-13))
    assert price == pytest.approx(curve.price(T), rel=1e-13)
    assert Curve(dear=math.inf).search(goal, 1.0) is None


def rows(family: str, seed: int, kinds: list[str]) -> Rows:
    instance = of_kinds(family, seed, kinds)
    return rows_of(instance.clients.on_channel(float(np.max(instance.clients.bandwidth))), instance.work)


KINDS = ["both", "no work", "no upload", "only a download", "both", "both"]


@pytest.mark.parametrize("seed", range(3))
def test_the_sums_of_a_fleet_are_those_of_its_rows(seed: int) -> None:
    """Durations and energies at a price, the least price at T_min, and the limits, by formulas of the model."""
    r = rows("powers", seed, KINDS).full()
    fleet = Fleet(make_plan(r))
    a = r.transfer
    with np.errstate(all="ignore"):
        x_max = np.log1p(r.snr * r.power_max)
        t_low = np.where(r.work > 0.0, r.work / r.frequency_max, 0.0)
        first = float((r.fixed_time + t_low).max())
        shortest = float(np.where(a > 0.0, a / x_max, 0.0).sum())
    limits = fleet.limits()
    assert limits.t_min == pytest.approx(first + shortest, rel=1e-13)
    assert limits.e_inf == make_plan(r).e_inf
    worth = np.where(a > 0.0, marginal(x_max) / r.snr - r.circuit_power, 0.0).max()
    assert fleet.top() == pytest.approx(max(worth, fleet.computing.at(fleet.computing.first).worth), rel=1e-12)
    before = fleet.passes
    T, E = fleet.look(0.0)
    assert limits.t_flat == pytest.approx(T, rel=1e-12)
    assert pytest.approx(limits.e_inf, rel=1e-12) == E
    assert fleet.passes == before + 1
    T, E = fleet.look(2.0 * fleet.top())
    assert pytest.approx(limits.t_min, rel=1e-13) == T


@pytest.mark.parametrize("kinds", [["both"] * 3, KINDS])
@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
def test_what_an_answer_says(goal: Goal, kinds: list[str]) -> None:
    """Of every goal the same round, its bracket closed; the channel is that of who sends."""
    r, hertz = rows("powers", 1, kinds), 3e6
    least = Fleet(make_plan(r)).limits()
    T = 1.5 * least.t_min
    there = schedule(r, hertz, Goal.DEADLINE, T)
    assert there.timing.point is not None
    E = float(there.timing.point.energy.sum())
    value = {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: there.time_price}[goal]
    found = schedule(r, hertz, goal, value)
    assert found.timing.stop is Stop.OPTIMAL
    assert found.timing.point is not None
    assert found.timing.duration == pytest.approx(T, rel=1e-9)
    assert least.t_min <= found.timing.lower <= found.timing.duration <= found.timing.upper
    assert (found.timing.lower, found.timing.upper) == pytest.approx((T, T), rel=1e-8)
    assert found.time_price == pytest.approx(there.time_price, rel=1e-6)
    assert found.bandwidth.tolist() == [hertz if kind in ("both", "no work") else 0.0 for kind in kinds]
    assert found.compute_end + float(found.timing.point.upload_time.sum()) == pytest.approx(T, rel=1e-12)
    assert math.isnan(found.bandwidth_price)
    assert found.timing.passes > 0
    if goal in (Goal.DEADLINE, Goal.PRICE):
        assert found.timing.lower == found.timing.duration == found.timing.upper


@pytest.mark.parametrize("goal", [Goal.ENERGY, Goal.POWER, Goal.DEADLINE, Goal.PRICE])
@pytest.mark.parametrize("off", [1e-8, 0.5, 100.0, -1e-8])
def test_what_a_dual_value_leaves_open(goal: Goal, off: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a budget the duration, down to the shortest; of a deadline or a price of time its own sum."""
    r, hertz = rows("powers", 1, ["both"] * 3), 3e6
    T_min = Fleet(make_plan(r)).limits().t_min
    T = 1.5 * T_min
    there = schedule(r, hertz, Goal.DEADLINE, T)
    assert there.timing.point is not None
    E = float(there.timing.point.energy.sum())
    value = {Goal.ENERGY: E, Goal.POWER: E / T, Goal.DEADLINE: T, Goal.PRICE: there.time_price}[goal]

    def less(*arguments: Any) -> Settled:
        settled = settle(*arguments)
        return dataclasses.replace(settled, dual=settled.energy * (1.0 - off))

    monkeypatch.setattr(timedivision, "settle", less)
    found = schedule(r, hertz, goal, value)
    T = found.timing.duration
    total = E + (value * T if goal is Goal.PRICE else 0.0)
    assert found.gap == pytest.approx(max(off, 0.0) * E / total, rel=1e-7)
    assert found.hidden == pytest.approx(LAST_DIGITS * found.time_price * T / total, rel=1e-9, abs=0.0)
    rate = found.time_price + (value if goal is Goal.POWER else 0.0)
    lower = max(T_min, T - max(off, 0.0) * E / rate) if goal in (Goal.ENERGY, Goal.POWER) else T
    assert found.timing.lower == pytest.approx(min(lower, T), rel=1e-12 if lower == T else 1e-9)
    assert found.timing.stop is (Stop.OPTIMAL if abs(off) < 0.1 else Stop.LIMIT)


def test_who_only_receives_takes_its_energy_and_who_idles_none() -> None:
    r = rows("powers", 1, ["both", "only a download", "no upload"])
    fleet = Fleet(make_plan(r))
    assert fleet.passes == 0
    held = float(r.full().fixed_energy.sum())
    assert held > 0.0
    assert fleet.look(0.0)[1] == pytest.approx(fleet.plan.e_inf, rel=1e-12)
    few = rows("powers", 1, ["only a download", "only a download"])
    T, E = Fleet(make_plan(few)).look(1.0)
    assert float(few.full().fixed_time.max()) == pytest.approx(T, rel=1e-15)
    assert float(few.full().fixed_energy.sum()) == pytest.approx(E, rel=1e-15)
    r = few.full()
    idle = dataclasses.replace(r, idle=np.array([True, False]), fixed_energy=np.array([7.0, 3.0]))
    assert Fleet(make_plan(idle)).look(1.0)[1] == 3.0


def test_a_power_without_a_limit_reaches_no_shortest_round(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make("typical", 1, 3)
    clients = instance.clients.replace(power_max=math.inf).on_channel(1e6)
    r = rows_of(clients, instance.work)
    t_min = Fleet(make_plan(r)).limits().t_min
    assert schedule(r, 1e6, Goal.DEADLINE, t_min).timing.stop is Stop.TOO_SHORT
    assert schedule(r, 1e6, Goal.DEADLINE, t_min * 1.01).timing.stop is Stop.OPTIMAL
    slack = schedule(r, 1e6, Goal.ENERGY, math.inf).timing
    assert slack.stop in (Stop.SLACK, Stop.LIMIT)
    assert slack.lower == t_min
    for end in (1.001 * slack.duration, 0.5 * t_min):
        monkeypatch.setattr(timedivision, "settle", lambda *a, end=end: dataclasses.replace(settle(*a), end=end))
        again = schedule(r, 1e6, Goal.ENERGY, math.inf).timing
        assert again.duration == pytest.approx(max(end, slack.duration) if end > t_min else t_min, rel=1e-4)
        assert again.duration >= max(end, t_min)
    monkeypatch.undo()
    assert t_min < slack.duration < t_min * (1.0 + 1e-2)
    capped = rows_of(instance.clients.on_channel(1e6), instance.work)
    t_min = Fleet(make_plan(capped)).limits().t_min
    assert schedule(capped, 1e6, Goal.DEADLINE, t_min).timing.stop is Stop.OPTIMAL


@pytest.mark.parametrize(("hurry", "kink"), [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (2.0, 1.0), (7.0, 1.0)])
def test_who_has_all_the_time_it_wants_pays_no_more_than_that_is_worth(hurry: float, kink: float) -> None:
    """One can compute no faster than in 2 s, the other no slower: 2 kappa f^3 is 0.25 W and 0.5 W there."""
    clients = fedopt.Clients(
        frequency_min=[1e8, 5e8], frequency_max=[5e8, 1e9], capacitance=[1e-27, 2e-27], samples=1, channel_gain=1e-10,
        bandwidth=1e6, power_max=0.1,
    )  # fmt: skip
    work, access = fedopt.Workload(cycles=1e9, upload_bits=1e5, download_bits=0.0), fedopt.TimeDivision(1e6)
    own = np.array([0.25 * hurry, 0.5 * kink])
    found = fedopt.schedule(clients, work, fedopt.TimePrice(own.sum()), access=access)
    assert found.status is fedopt.Status.OPTIMAL
    assert found.allocation is not None
    assert found.allocation.price == pytest.approx(own, rel=1e-12)
    assert found.allocation.compute_time == pytest.approx([2.0 / min(hurry, 1.0) ** (1.0 / 3.0), 2.0], rel=1e-12)
