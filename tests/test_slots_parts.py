"""Time division part by part: slots, computing sums and where to look next, and the proof, against their formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make, of_kinds
from test_share_stages import inside, noted, run

from fedopt.rounds import rows_of
from solvers.access import proof, settle, slots, timedivision
from solvers.access.shares import OUT, PRICE_OUT, T_OUT, TAU_OUT, X_OUT
from solvers.access.stages import LEAST
from solvers.blocks import (
    BLOCK,
    COLUMNS,
    E_FIXED,
    FIXED,
    GAMMA,
    IDLE,
    NEITHER,
    NO_UPLOAD,
    NO_WORK,
    ORDINARY,
    P_C,
    P_S,
    T_FREE,
    T_HIGH,
    T_LOW,
    TAU_FREE,
    TAU_HIGH,
    TAU_LOW,
    A,
    K,
)  # fmt: skip
from solvers.limits import inverse_marginal, marginal
from solvers.plan import make_plan
from solvers.rows import FloatArray

KINDS = ["both", "no upload", "no work", "both", "only a download", "both"]


def some(seed: int, low: float, high: float, size: int) -> FloatArray:
    drawn: FloatArray = np.random.default_rng([seed, size]).permutation(np.geomspace(low, high, size))
    return drawn


def senders(size: int, p_min: float = 0.05, p_max: float = 3.0, p_c: float = 0.2) -> tuple[FloatArray, ...]:
    """a, gamma, P_c and x at the least and the greatest power."""
    a, snr, circuit = some(0, 0.1, 3.0, size), some(1, 0.3, 30.0, size), np.resize([0.0, p_c, 0.5 * p_c], size)
    return a, snr, circuit, np.log1p(snr * p_min), np.log1p(snr * p_max)


@pytest.mark.parametrize("price", [0.0, 1e-305, 1e-12, 0.1, 3.0, 200.0, 1e250, 1e295])
@pytest.mark.parametrize("p_min", [0.0, 0.05])
def test_slots_are_those_that_their_price_pays_for(price: float, p_min: float) -> None:
    for size, p_max in ((12, 3.0), (12, math.inf)) if price != 3.0 else ((BLOCK + 3, 3.0),):
        a, snr, p_c, low, high = senders(size, p_min, p_max)
        nats = np.full(size, math.nan)
        total, energy = run(slots.slot_sums, a, snr, p_c, low, high, price, False, nats)
        with np.errstate(all="ignore"):
            free = inverse_marginal(snr * (price + p_c))
            x = np.clip(free, low, high)
            tau = a / x
            circuit = np.where(p_c > 0.0, p_c * tau, 0.0)
            each = a / snr * np.where(x > 1e-300, np.expm1(np.minimum(x, 700.0)) / x, 1.0) + circuit
        assert nats == pytest.approx(np.maximum(free, LEAST), rel=1e-10)
        for b in range(0, size, BLOCK):
            part = slice(b, b + BLOCK)
            one = run(slots.slot_sums, *(c[part] for c in (a, snr, p_c, low, high)), price, False, nats[part].copy())
            assert one == pytest.approx((tau[part].sum(), each[part].sum()), rel=1e-11)
        assert (total, energy) == pytest.approx((tau.sum(), each.sum()), rel=1e-11)
        again = nats * 1.02
        warm = run(slots.slot_sums, a, snr, p_c, low, high, price, True, again)
        assert warm == pytest.approx((total, energy), rel=1e-12)


def test_slots_take_few_steps_from_nothing_and_fewer_from_nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as when this was written; rows beyond all ranges alone are looked at one by one."""
    inner, given = inside(slots.slot_sums), senders(40)
    steps, odd = [0, 0, 0], [0, 0, 0]
    nearer, inverse = inner["nearer_block"], inner["inverse_marginal"]

    def stepped(*arguments: Any) -> None:
        steps[now] += 1
        nearer(*arguments)

    def careful(m: float) -> float:
        odd[now] += 1
        return float(inverse(m))

    monkeypatch.setitem(inner, "nearer_block", stepped)
    monkeypatch.setitem(inner, "inverse_marginal", careful)
    for price in (1e-6, 0.1, 40.0):
        nats = np.full(40, math.nan)
        for phase, (factor, warm) in enumerate(((1.0, False), (1.01, True), (1e-300, False))):
            now = phase
            run(slots.slot_sums, *given, factor * price, warm, nats)
    assert np.abs(np.array(steps) - (12, 9, 75)).max() <= 1
    assert odd == [0, 0, 3 * int((given[2] == 0.0).sum())]  # whose circuit takes no power


def test_slots_begin_where_their_efficiency_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, guessed = inside(slots.slot_sums), list[FloatArray]()
    begin, (a, snr, p_c, low, high) = inner["begin_efficiency_block"], senders(40)

    def guess(m: FloatArray, odds: FloatArray, x: FloatArray) -> None:
        begin(m, odds, x)
        guessed.append(x.copy())

    monkeypatch.setitem(inner, "begin_efficiency_block", guess)
    run(slots.slot_sums, a, snr, p_c, low, high, 1.0, False, np.empty(40))
    assert np.median(np.abs(guessed[0] / inverse_marginal(snr * (1.0 + p_c)) - 1.0)) <= 0.05


def test_one_step_towards_an_efficiency() -> None:
    x, m = some(0, 0.1, 9.0, 30), some(1, 0.01, 1e3, 30)
    f, g, miss, before = marginal(x), x * x * np.exp(x) / marginal(x), np.empty(30), x.copy()
    run(slots.nearer_block, m, f, g, x, miss)
    step = np.clip(np.log(m / f) / g, -1.0, 1.0)
    assert x == pytest.approx(before * (1.0 + 0.5 * step) / (1.0 - 0.5 * step), rel=1e-13)
    assert miss == pytest.approx(np.abs(step) * (1.0 + x), rel=1e-12)
    ends, f = np.array([649.0, 2e-140]), np.array([1.0, 1.0])
    run(slots.nearer_block, np.array([math.inf, 0.0]), f, np.ones(2), ends, miss[:2])
    assert ends.tolist() == [650.0, LEAST]


def test_times_of_slots_and_a_start_for_the_next() -> None:
    """Beyond e^700 an energy is inf, never a smaller number; efficiencies are kept as they were found."""
    x = np.array([0.0, 1.0, 9.0, 690.0, 800.0, 1e-200])
    low, high = np.array([0.0, 2.0, 1.0, 0.0, 0.0, 0.0]), np.full(6, 1e3)
    high[2] = 5.0
    nats, tau, growths, a = np.empty(6), np.empty(6), np.empty(6), np.full(6, 2.0)
    run(slots.times_block, a, low, high, x, nats, tau, growths)
    assert nats.tolist() == [0.0, 2.0, 5.0, 690.0, 800.0, 1e-200]
    assert tau.tolist() == [math.inf, 1.0, 0.4, 2.0 / 690.0, 2.0 / 800.0, 2e200]
    few = np.array([2.0, 5.0, 690.0])
    assert growths == pytest.approx([1.0, *np.expm1(few) / few, math.inf, 1.0], rel=1e-13)
    assert x.tolist() == [LEAST, 1.0, 9.0, 690.0, 800.0, LEAST]


def test_the_price_from_which_on_all_slots_are_shortest() -> None:
    a, snr, p_c, low, high = senders(12)
    expected = (marginal(high) / snr - p_c).max()
    assert run(slots.greatest_worth, a, snr, p_c, low, high) == pytest.approx(expected, rel=1e-13)
    assert run(slots.greatest_worth, a, snr, p_c + 1e9, low, high) == 0.0
    high[3] = 700.0
    assert run(slots.greatest_worth, a, snr, p_c, low, high) < math.inf
    high[3] = 700.1
    assert run(slots.greatest_worth, a, snr, p_c, low, high) == math.inf


@pytest.mark.parametrize("family", ["bounds", "powers"])
def test_slots_of_a_plan_are_of_those_who_send(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = of_kinds(family, 1, KINDS)
    plan = make_plan(rows_of(instance.clients, instance.work))
    c = [np.broadcast_to(column, (6,)) for column in plan.columns]
    sends = [0, 2, 3, 5]
    found = slots.Slots(plan)
    assert [column.tolist() for column in found.columns[:3]] == [c[j][sends].tolist() for j in (A, GAMMA, P_C)]
    assert found.least == c[TAU_LOW][sends].sum()
    assert found.free == c[TAU_FREE][sends].sum()
    assert not found.endless
    top = found.top()
    assert found.sums(top)[0] == pytest.approx(found.least, rel=1e-12)
    assert found.sums(0.5 * top)[0] > found.least * (1.0 + 1e-12)
    x = found.efficiencies(0.01 * top)
    r = rows_of(instance.clients, instance.work).full()
    wanted = np.clip(
        inverse_marginal(c[GAMMA] * (0.01 * top + c[P_C])),
        np.log1p(c[GAMMA] * r.power_min),
        np.log1p(c[GAMMA] * r.power_max),
    )
    assert x == pytest.approx(np.where(np.isin(np.arange(6), sends), wanted, 0.0), rel=1e-11)
    loud = np.where(np.arange(6) == 2, math.inf, instance.clients.power_max)
    assert slots.Slots(make_plan(rows_of(instance.clients.replace(power_max=loud), instance.work))).endless
    calls = list[Any]()
    monkeypatch.setattr(slots, "slot_sums", noted(slots.slot_sums, calls))
    again = slots.Slots(plan)
    for _ in range(3):
        again.sums(top)
    assert [given[-2] for given in calls] == [False, True, True]  # from nothing, then from what it was


class Round:
    """Rows of all kinds; two end exactly with their free time at 4 s, one of them also at its least."""

    def __init__(
        self, kinds: tuple[int, ...] = (ORDINARY, NO_WORK, NO_UPLOAD, NEITHER, IDLE, ORDINARY, ORDINARY)
    ) -> None:
        self.kind, self.size = np.array(kinds, dtype=np.uint8), len(kinds)
        works, sends = np.isin(kinds, (ORDINARY, NO_UPLOAD)), np.isin(kinds, (ORDINARY, NO_WORK))
        c = [np.zeros(1)] * COLUMNS
        c[K], c[A] = (
            np.where(works, some(0, 2.0, 40.0, self.size), 0.0),
            np.where(sends, some(1, 0.2, 2.0, self.size), 0.0),
        )
        c[FIXED], c[GAMMA], c[E_FIXED] = (
            some(2, 0.1, 0.9, self.size),
            some(3, 0.5, 5.0, self.size),
            some(4, 0.1, 1.0, self.size),
        )
        c[P_S], c[P_C] = some(5, 0.01, 0.1, self.size), some(6, 0.01, 0.5, self.size)
        c[T_LOW] = np.where(works, 1.0, 0.0)
        c[T_FREE] = np.where(works, 9.0, 0.0)
        c[T_FREE][0], c[T_FREE][5] = 4.0 - c[FIXED][0], 2.0
        c[T_HIGH] = c[T_FREE].copy()
        c[TAU_LOW], c[TAU_HIGH], c[TAU_FREE] = np.full(1, 0.3), np.full(1, 2.5), np.full(1, 2.5)
        self.columns = tuple(c)

    def times(self, end: float, x: FloatArray) -> tuple[FloatArray, FloatArray, Any]:
        out, energy = np.full((OUT, self.size), math.nan), np.full(self.size, math.nan)
        out[X_OUT] = x
        return out, energy, run(settle.times_and_prices, self.kind, self.columns, end, out, energy)


@pytest.mark.parametrize("end", [1.2, 1.9, 3.0, 4.0 - 4e-12, 4.0 - 2e-13, 4.0, 4.0 + 2e-13, 4.0 + 4e-12, 20.0])
def test_times_energies_and_marginals_of_a_round(end: float) -> None:
    given = Round()
    c = [np.broadcast_to(column, (given.size,)) for column in given.columns]
    wanted = some(7, 0.05, 9.0, given.size)
    out, energy, (whole, rest, room, ends, held) = given.times(end, wanted)
    works, sends = c[K] > 0.0, c[A] > 0.0
    left = end - c[FIXED]
    t = np.where(works, np.clip(left, c[T_LOW], c[T_FREE]), 0.0)
    x = np.where(sends, np.clip(wanted, c[A] / 2.5, c[A] / 0.3), wanted)
    tau = np.where(sends, c[A] / x, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.where(works, np.maximum(2.0 * c[K] / t**3 - c[P_S], 0.0), 0.0)
        computes = np.where(works, c[K] / t**2 + c[P_S] * t, 0.0)
    price = np.where(left < c[T_FREE], most, 0.0)
    at_end = works & (np.abs(left - c[T_FREE]) < 1e-12)
    assert at_end.any() == (abs(end - 4.0) < 1e-12)
    uploads = np.where(sends, tau * (np.expm1(x) / c[GAMMA] + c[P_C]), 0.0)
    assert out[[T_OUT, TAU_OUT, X_OUT, PRICE_OUT]] == pytest.approx(np.array([t, tau, x, price]), rel=1e-12)
    assert energy == pytest.approx(np.where(given.kind == IDLE, 0.0, c[E_FIXED] + computes + uploads), rel=1e-12)
    assert whole == pytest.approx(price.sum(), rel=1e-12)
    assert rest == pytest.approx(price[~at_end].sum(), rel=1e-12)
    assert room == pytest.approx(most[at_end].sum(), rel=1e-12)
    assert ends == pytest.approx(tau.sum(), rel=1e-12)
    last = (c[FIXED] + c[T_LOW] >= end * (1.0 - 1e-13)) & (given.kind != IDLE)
    assert held == (int(np.argmax(last)) if last.any() else -1)
    two, given.size = [0, 4], 2
    given.kind, given.columns = given.kind[two], tuple(c[two] if len(c) > 1 else c for c in given.columns)
    assert given.times(end, wanted[two])[1] == pytest.approx(energy[two], rel=1e-14)


def test_who_is_at_the_end_of_free_time_gets_a_share_and_the_last_what_is_missing() -> None:
    given = Round()
    out, _, _ = given.times(4.0, np.ones(given.size))
    before = out.copy()
    assert run(settle.share_out, given.columns, 4.0, math.nan, -1, 0.7, out) == pytest.approx(before[PRICE_OUT].sum())
    assert np.array_equal(out, before, equal_nan=True)
    most = 2.0 * given.columns[K][0] / out[T_OUT, 0] ** 3 - given.columns[P_S][0]
    total = run(settle.share_out, given.columns, 4.0, 0.3, 2, 0.7, out)
    expected = before[PRICE_OUT].copy()
    expected[0], expected[2] = 0.3 * most, expected[2] + 0.7
    assert out[PRICE_OUT] == pytest.approx(expected, rel=1e-13)
    assert total == pytest.approx(expected.sum(), rel=1e-13)


@pytest.mark.parametrize("price", [0.05, 0.8, 9.0])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_the_dual_value_is_the_least_over_all_speeds_at_these_prices(price: float, scale: float) -> None:
    given = Round()
    c = [np.broadcast_to(column, (given.size,)) for column in given.columns]
    out, _, _ = given.times(3.0, np.clip(inverse_marginal(c[GAMMA] * (price + c[P_C])), 1e-3, 30.0))
    bound, worst, steady = run(settle.prove_slots, given.kind, given.columns, price, scale, out)
    total = 0.0
    for i in np.flatnonzero(given.kind != IDLE).tolist():
        nu, least = scale * out[PRICE_OUT, i], c[E_FIXED][i]
        if c[K][i] > 0.0:
            t = np.linspace(c[T_LOW][i], c[T_HIGH][i], 200001)
            least += (c[K][i] / t**2 + (c[P_S][i] + nu) * t).min()
        if c[A][i] > 0.0:
            tau = np.linspace(0.3, 2.5, 200001)
            least += (tau * (np.expm1(c[A][i] / tau) / c[GAMMA][i] + c[P_C][i] + price)).min()
        total += least + nu * c[FIXED][i]
    assert bound == pytest.approx(total, rel=1e-9)
    assert worst <= 1e-13
    assert steady == pytest.approx(c[P_S][[0, 2, 5, 6]].sum(), rel=1e-14)
    for column, rows in ((T_OUT, [0, 2, 6]), (PRICE_OUT, [0, 2, 6])):
        for i in rows:
            forged = out.copy()
            forged[column, i] *= 1.001
            assert run(settle.prove_slots, given.kind, given.columns, price, scale, forged)[1] > 1e-4
    for i in (0, 1, 5, 6):
        if 0.3 * 1.01 < out[TAU_OUT, i] < 2.5 / 1.01:
            forged = out.copy()
            forged[X_OUT, i] *= 1.001
            assert run(settle.prove_slots, given.kind, given.columns, price, scale, forged)[1] > 1e-4


@pytest.mark.parametrize("family", ["typical", "bounds", "powers", "nobody computes"])
def test_prices_of_a_round_add_up_also_where_they_jump_and_where_somebody_is_last(family: str) -> None:
    """Then energy and dual value are the same; a round that ends early, late or computes too long is no optimum."""
    jumps = 0
    for seed in range(3):
        silent = of_kinds("bounds", seed, ["no work"] * 4)
        instance = silent if family == "nobody computes" else make(family, seed, 5)
        rows = rows_of(instance.clients, instance.work)
        fleet = timedivision.Fleet(make_plan(rows))
        known, top = fleet.computing, fleet.top()
        ends = known._jumps[known._jumps > known.first * (1.0 + 1e-9)].tolist()
        inner = [0.3 * known.at(end * (1.0 - 1e-12)).worth + 0.7 * known.at(end).worth for end in ends]
        jumps += len(inner)
        for price in (*inner, *(top * np.array([0.0, 1e-4, 0.01, 0.3, 0.9, 1.0, 7.0])).tolist()):
            x, end, T = fleet.slots.efficiencies(price), known.end(price), fleet.look(price)[0]
            if not math.isfinite(T):
                continue
            right = settle.settle(rows, fleet.plan, known, x.copy(), price, end, T)
            assert right.residual <= 1e-12
            assert right.end == pytest.approx(T, rel=1e-14)
            assert right.energy == pytest.approx(right.dual, rel=1e-11)
            if family != "nobody computes":
                assert right.point.price.sum() == pytest.approx(price, rel=1e-9)
            early, late = (settle.settle(rows, fleet.plan, known, x.copy(), price, end, T * f) for f in (1.001, 0.999))
            assert early.residual == pytest.approx(0.001 if price > 0.0 else 0.0, rel=0.01, abs=1e-12)
            assert late.residual == pytest.approx(0.001, rel=0.01)
            assert early.dual == pytest.approx(right.dual - 0.001 * price * T, rel=1e-11)
            longer = settle.settle(rows, fleet.plan, known, x.copy(), price, 1.01 * end, T + 0.01 * end)
            assert longer.residual > 1e-4 or family != "typical" or price == 0.0
            least = max(0.99 * end, known.first)
            for off in (longer, settle.settle(rows, fleet.plan, known, x.copy(), price, least, T)):
                assert off.dual <= off.energy * (1.0 + 1e-12)
    assert jumps > 0 or family in ("typical", "nobody computes")


def test_the_marginal_upload_is_endless_beyond_a_double() -> None:
    assert run(settle._worth, 700.0) == pytest.approx(float(marginal(np.array([700.0]))[0]), rel=1e-13)
    assert run(settle._worth, 700.1) == math.inf


def test_relative_to_the_greater_power_and_one_sided_at_a_bound() -> None:
    assert run(proof.relative, 3.0, 2.0, 0.5) == pytest.approx(1.0 / 3.5)
    assert run(proof.relative, 2.0, 3.0, 0.5) == pytest.approx(-1.0 / 3.5)
    assert run(proof.relative, -3.0, 2.0, 0.5) == pytest.approx(-5.0 / 3.5)
    assert run(proof.relative, 0.0, 0.0, 0.0) == 0.0
    for off in (-0.3, 0.3):
        assert run(proof.one_sided, off, False, False) == 0.3
        assert run(proof.one_sided, off, True, False) == (0.3 if off < 0.0 else 0.0)
        assert run(proof.one_sided, off, False, True) == (0.3 if off > 0.0 else 0.0)
        assert run(proof.one_sided, off, True, True) == 0.0
