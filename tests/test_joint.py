"""The search for a duration and a price of bandwidth: the pass over rows, the price alone, the loops, and its start."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fleets import make
from scipy.optimize import brentq
from test_shared_turns import rows, uplinks
from test_turns import ROWS

from solvers.access import guess as guessing
from solvers.access import joint as joining
from solvers.access.joint import Look, Uplinks, balance, joint, near
from solvers.access.point import point_of
from solvers.access.shares import CLOSE, EXACT, OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.access.turns import END, LOST, MU_NOW, T_NOW, advance_turns
from solvers.blocks import GAMMA
from solvers.limits import inverse_marginal
from solvers.plan import make_plan
from solvers.rows import Goal
from solvers.threads import CHUNK


def seen(T: float, mu: float, **more: float) -> Look:
    known = {"energy": 0.0, "share": 1.0, "price": 0.0, "curve": 0.0, "by_time": 0.0, "by_price": -1.0, "room": 1.0}
    return Look(T=T, mu=mu, **{**known, **more})


def test_what_a_pass_says() -> None:
    look = seen(2.0, 3.0, energy=5.0, share=0.5, by_price=-0.25, room=0.2)
    assert look.over == math.log(0.5)
    assert look.dual == pytest.approx(5.0 - 3.0 * 0.1, rel=1e-15)
    assert look.step == pytest.approx(math.log(0.5) * 0.5 / 0.25, rel=1e-15)
    assert seen(2.0, 3.0, share=2.0, by_price=-0.5).step == pytest.approx(math.log(2.0) * 4.0, rel=1e-15)
    assert math.isnan(seen(2.0, 3.0, by_price=0.0).step)
    assert math.isnan(seen(2.0, 3.0, by_price=0.5).step)


@pytest.mark.parametrize("factor", [1.0 / 1.5, 1.0, 1.5])
@pytest.mark.parametrize("off", [0.99, 1.0, 1.01])
def test_a_pass_is_near_another_within_half_as_much_again(factor: float, off: float) -> None:
    by = factor * off
    inside = 1.0 / 1.5 <= by <= 1.5
    if off != 1.0 or factor == 1.0:
        assert near(3.0 * by, 2.0, 3.0, 2.0) is inside
        assert near(3.0, 2.0 * by, 3.0, 2.0) is inside
    assert not near(3.0, 2.0, math.nan, math.nan)
    assert near(1.5, 1.5, 1.0, 1.0)
    assert near(1.0, 1.0, 1.5, 1.5)


@dataclass
class Made:
    """Rows whose ln S is ``over``, of slope ``by``, more by ``blur`` where rough; and what they were asked."""

    over: Callable[[float], float]
    by: Callable[[float], float]
    blur: float = 0.0
    asked: list[tuple[float, float]] = field(default_factory=list)

    def look(self, T: float, mu: float, tolerance: float, out: Any = None) -> Look:
        self.asked.append((math.log(mu), tolerance))
        z = math.log(mu)
        over = self.over(z) + (self.blur if tolerance > EXACT else 0.0)
        share = math.exp(over) if over < 700.0 else math.inf
        return seen(T, mu, share=share, by_price=share * self.by(z) if share < math.inf else -1.0)


def balanced(made: Made, z: float, enough: float = 0.0) -> Look | None:
    rows: Any = made
    return balance(rows, 2.0, math.exp(z), enough)


BENT = float(brentq(lambda z: 5.0 - z - math.exp(0.5 * z), 0.0, 5.0, xtol=1e-13))
# ln S, its slope, the root: straight; bent; with jumps; flat at first; without end at low prices; slope unknown.
CURVES: dict[str, tuple[Callable[[float], float], Callable[[float], float], float]] = {
    "straight": (lambda z: 0.7 - 0.37 * z, lambda z: -0.37, 0.7 / 0.37),
    "bent": (
        lambda z: 5.0 - z - math.exp(0.5 * z),
        lambda z: -1.0 - 0.5 * math.exp(0.5 * z),
        BENT,
    ),
    "flat": (lambda z: math.atan(7.1 - z), lambda z: -1.0 / (1.0 + (z - 7.1) ** 2), 7.1),
    "endless": (lambda z: 3.0 - z if z > 1.0 else math.inf, lambda z: -1.0, 3.0),
    "nothing": (lambda z: 3.0 - z if z < 5.0 else -math.inf, lambda z: -1.0, 3.0),
    "below": (lambda z: -0.3 - 0.1 * z, lambda z: 1.0, -3.0),
    "unknown": (lambda z: 0.3 - 0.1 * z, lambda z: 1.0, 3.0),
    "misled": (lambda z: 0.3 - 0.1 * z, lambda z: -0.01, 3.0),
}


# As when this was written.
PASSES = {"straight": (6, 2, 5), "bent": (9, 6, 12), "flat": (11, 9, 10), "endless": (10, 3, 4), "nothing": (6, 2, 6),
          "below": (115, 109, 114), "unknown": (117, 109, 113), "misled": (49, 47, 47)}  # fmt: skip


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(("start", "which"), [(-30.3, 0), (0.4, 1), (20.7, 2)])
def test_the_price_that_shares_the_channel_out_is_a_root(curve: str, start: float, which: int) -> None:
    over, by, root = CURVES[curve]
    made = Made(over, by)
    found = balanced(made, start)
    assert found is not None
    assert math.log(found.mu) == pytest.approx(root, abs=2e-11)
    assert math.log(found.mu) == pytest.approx(made.asked[-1][0], abs=1e-14)
    assert [round(made.asked[0][0] - start, 12), made.asked[0][1]] == [0.0, CLOSE]
    assert made.asked[-1][1] == EXACT or found.over == 0.0
    known = PASSES[curve][which]
    assert abs(len(made.asked) - known) <= (2 if known > 20 else 1)
    for (z, _), (new, tolerance) in itertools.pairwise(made.asked[:40]):
        near = abs(new - z) < (1e-3 if curve in ("straight", "bent") else 0.5e-3)
        assert (tolerance == EXACT) == near or curve not in ("straight", "bent", "below", "unknown")
    rough = balanced(Made(over, by), start, enough=0.1)
    assert rough is not None
    assert abs(rough.step) <= 0.1 or curve in ("below", "unknown")


@pytest.mark.parametrize(
    ("over", "slope", "steps"),
    [
        (1.0, math.nan, 650.0 / 4.0),
        (-1.0, math.nan, 650.0 / 4.0),
        (1.0, -1e-9, 650.0 / 8.0),
        (-1.0, -1e-9, 650.0 / 8.0),
        (math.inf, math.nan, 650.0 / 4.0),
        (-math.inf, math.nan, 650.0 / 4.0),
    ],
)
def test_no_price_is_far_enough(over: float, slope: float, steps: float) -> None:
    """Sought by steps of 8 at most, of 4 where none is known, to prices that stand for any and for none."""
    made = Made(lambda z: over, lambda z: slope)
    assert balanced(made, 0.1) is None
    assert len(made.asked) == math.ceil(steps)
    assert max(abs(z) for z, _ in made.asked) > 640.0


def test_where_the_shares_jump_past_the_channel_no_price_shares_it_out() -> None:
    made = Made(lambda z: 1.0 if z < 3.3 else -1.0, lambda z: math.nan)
    assert balanced(made, 0.1) is None
    assert len(made.asked) <= 130


@pytest.mark.parametrize(
    ("root", "bend", "passes"),
    [(20.1, 4e-8, 2), (-20.1, 4e-8, 2), (0.013, 2e-9, 2), (0.013, 8e-9, 3), (20.1, 4e-6, 3), (0.013, 4e-6, 3)],
)
def test_a_step_that_leaves_nothing_is_the_last_if_it_was_short_or_ends_where_it_should(
    root: float, bend: float, passes: int
) -> None:
    """The second pass is off the root by ``bend`` times 2.5e-7: if by more than the last digits, there is one more."""
    made = Made(lambda z: (root - z) * (1.0 + bend * (root - z)), lambda z: -1.0 - 2.0 * bend * (root - z))
    assert balanced(made, root - 5e-4) is not None
    assert len(made.asked) == passes


@pytest.mark.parametrize("blur", [0.01, -0.01])
def test_bounds_of_rough_passes_are_forgotten(blur: float) -> None:
    made = Made(lambda z: 0.3 - 0.1 * z, lambda z: math.nan, blur)
    found = balanced(made, 0.1)
    assert found is not None
    assert math.log(found.mu) == pytest.approx(3.0, abs=1e-12)
    assert made.asked[-1][1] == EXACT
    assert len(made.asked) <= 180


def of(family: str, seed: int, size: int) -> Uplinks:
    return uplinks(make(family, seed, size))


def test_a_pass_starts_from_the_last_where_that_was_near_and_is_counted() -> None:
    """The sums are the same, over the room for them; the answers go where they are wanted."""
    u = of("typical", 3, 5)
    T, mu = 2.0 * u.plan.t_min, 1e-2
    assert np.array_equal(u.snr_max, u.plan.columns[GAMMA] * u.powers[1])
    assert np.array_equal(u.snr_min, u.plan.columns[GAMMA] * u.powers[0])
    cold = u.look(T, mu, EXACT)
    assert (u.passes, u.last) == (1, (T, mu))
    out = np.full((OUT, 5), np.nan)
    warm = u.look(T, mu, EXACT, out)
    assert u.passes == 2
    for name in ("energy", "share", "price", "curve", "by_time", "by_price"):
        assert getattr(warm, name) == pytest.approx(getattr(cold, name), rel=1e-9)
    assert out[3].sum() == pytest.approx(warm.share, rel=1e-12)
    assert out[4].sum() == pytest.approx(warm.price, rel=1e-12)
    part = Uplinks(u.plan, *u.powers, room=0.25)
    there = part.look(T, mu, EXACT)
    assert there.room == 0.25
    for name, times in (("energy", 1.0), ("share", 4.0), ("price", 1.0), ("by_time", 4.0), ("by_price", 4.0)):
        assert getattr(there, name) == pytest.approx(times * getattr(cold, name), rel=1e-9)
    h = 1e-5
    later, dearer = (part.look(T * (1.0 + t), mu * (1.0 + m), EXACT) for t, m in ((h, 0.0), (0.0, h)))
    assert there.by_time == pytest.approx((later.share - there.share) / (h * T), rel=1e-3)
    assert there.by_price == pytest.approx((dearer.share - there.share) / h, rel=1e-3)


@pytest.mark.parametrize(
    ("goal", "enough", "size"),
    [(Goal.PRICE, 0.0, 4), (Goal.ENERGY, 0.0, 4), (Goal.DEADLINE, 1e-3, 4), (Goal.DEADLINE, 0.0, 514)],
)
def test_the_loop_of_kernels_and_that_over_chunks_are_one(
    goal: Goal, enough: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same passes and sums; the answers of the last pass, those of no pass where it was not the last."""
    first = of("typical", 4, size)
    T = 1.7 * first.plan.t_min
    at = balance(first, T, guessing.price_of(first, T))
    assert at is not None
    value = {Goal.PRICE: at.price, Goal.ENERGY: at.energy, Goal.DEADLINE: T}[goal]
    answers = []
    for chunk in (CHUNK, 0):
        monkeypatch.setattr(joining, "CHUNK", chunk)
        u, out = of("typical", 4, size), np.full((OUT, size), np.nan)
        some = {"enough": enough} if enough > 0.0 else {}
        look = joint(u, goal, value, T * (1.0 if goal is Goal.DEADLINE else 1.01), at.mu * 1.01, out, **some)
        assert look is not None
        assert pytest.approx(T, rel=1e-9) == look.T
        assert look.mu == pytest.approx(at.mu, rel=1e-3 if enough > 0.0 else 1e-9)
        assert np.isnan(out).all() == (enough > 0.0)
        if enough == 0.0:
            assert out[3].sum() == pytest.approx(1.0, rel=1e-9)
            assert u.last == (look.T, look.mu)
        answers.append((look, u.passes, u.last, out.tobytes()))
    assert answers[0] == answers[1]
    assert answers[0][1] <= 5


def test_a_search_that_does_not_converge_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    u = of("typical", 4, 3)
    T = 1.7 * u.plan.t_min
    monkeypatch.setattr(joining, "CHUNK", 0)
    monkeypatch.setattr(joining, "advance_turns", lambda state, *sums: None)
    assert joint(u, Goal.DEADLINE, T, T, 1e-2, u.nothing) is None
    assert u.passes == 30  # as when this was written
    monkeypatch.undo()
    T = 0.5 * u.plan.t_min
    assert joint(u, Goal.DEADLINE, T, T, 1e-2, u.nothing) is None


@pytest.mark.parametrize(("goal", "given_up"), [(Goal.DEADLINE, True), (Goal.ENERGY, False), (Goal.PRICE, False)])
def test_where_its_price_is_far_off_a_deadline_is_given_up_and_no_other_answered(goal: Goal, given_up: bool) -> None:
    """Too low by e^20: four steps of e^3 up, and a round half as long again is what other goals try next."""
    rows, T = ROWS[0], 3.1
    state = rows.begun(goal, rows.value(goal, T), T, rows.fair(T) * math.exp(-20.0))
    for _ in range(4):
        assert (state[T_NOW], state[END]) == (T, 0.0)
        advance_turns(state, *rows.sums(state[T_NOW], state[MU_NOW]))
    assert (state[T_NOW], state[END]) == ((T, LOST) if given_up else (1.5 * T, 0.0))


@pytest.mark.parametrize(("chunk", "used"), [(0, "_in_chunks"), (1, "_at_once"), (2, "_at_once")])
def test_a_fleet_of_one_chunk_is_searched_in_one_call(chunk: int, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    u, called, loops = of("typical", 4, 3), list[str](), {n: getattr(joining, n) for n in ("_in_chunks", "_at_once")}

    def noted(name: str) -> Any:
        def loop(*arguments: Any) -> Any:
            called.append(name)
            return loops[name](*arguments)

        return loop

    for name in loops:
        monkeypatch.setattr(joining, name, noted(name))
    monkeypatch.setattr(joining, "CHUNK", chunk)
    joint(u, Goal.DEADLINE, 2.0 * u.plan.t_min, 2.0 * u.plan.t_min, 1e-2, u.nothing)
    assert called == [used]


def test_a_point_has_the_speeds_that_go_with_times_and_prices() -> None:
    """Also of who computes or sends nothing: the speed it would take at its price; an idle row has none."""
    kinds = ["both", "no work", "no upload", "only a download", "both"]
    r = rows("powers", 4, kinds).full()
    r = dataclasses.replace(r, idle=np.array([False, False, False, False, True]), work=np.append(r.work[:4], 0.0),
                            bits=np.append(r.bits[:4], 0.0))  # fmt: skip
    plan = make_plan(r)
    out = np.full((5, 5), np.nan)
    out[T_OUT] = np.where(r.work > 0.0, r.work / (0.7 * r.frequency_max), 0.0)
    out[TAU_OUT], out[X_OUT], out[PRICE_OUT] = 0.3, 0.7 * np.log1p(r.snr * r.power_max), 0.05
    x, energy = out[X_OUT].copy(), np.arange(5.0)
    point = point_of(r, plan, out, energy)
    with np.errstate(all="ignore"):
        f_free = np.clip(np.cbrt((0.05 + r.static_power) / (2.0 * r.capacitance)), r.frequency_min, r.frequency_max)
        x_free = np.clip(
            inverse_marginal(r.snr * (0.05 + r.circuit_power)),
            np.log1p(r.snr * r.power_min),
            np.log1p(r.snr * r.power_max),
        )
        own = np.clip(0.7 * r.frequency_max, r.frequency_min, None)
    assert point.frequency == pytest.approx([own[0], f_free[1], own[2], f_free[3], 0.0], rel=1e-12)
    assert point.efficiency == pytest.approx([x[0], x[1], x_free[2], x_free[3], 0.0], rel=1e-9)
    assert point.price.tolist() == [0.05] * 5
    assert point.feasible.all()
    assert point.energy is energy
    few = rows("powers", 4, ["both", "both"]).full()
    out = np.vstack([few.work / (2.0 * few.frequency_max), np.ones((4, 2))])
    point = point_of(few, make_plan(few), out, energy)
    assert point.frequency == pytest.approx(few.frequency_max, rel=1e-15)
    assert point.efficiency.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kinds", [["no upload"], ["both", "no upload"]])
def test_a_point_of_one_or_two_rows(kinds: list[str]) -> None:
    """The last one sends nothing, at the rate it would take at its price."""
    r = rows("typical", 4, kinds).full()
    point = point_of(r, make_plan(r), np.full((5, len(kinds)), 0.05), np.ones(len(kinds)))
    assert point.efficiency[-1] == pytest.approx(min(inverse_marginal(r.snr * 0.05)[-1], np.log1p(0.2 * r.snr)[-1]))
    assert point.efficiency[-1] != 0.05
