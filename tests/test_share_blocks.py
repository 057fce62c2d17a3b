"""Rows that share a channel, a block at a time and at full speed: against one row at a time, in few steps."""

from __future__ import annotations

import itertools
import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_share_stages import inside, like, noted, run, some

from solvers.access import fullspeed, shares, uplink
from solvers.access.fullspeed import LeastShares
from solvers.access.proof import prove_rows
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
    A,
    K,
)  # fmt: skip
from solvers.limits import marginal
from solvers.rows import FloatArray


class Block:
    """Rows of all kinds at a duration of 5 s, and a price; columns as of a plan."""

    def __init__(
        self, size: int, kinds: tuple[int, ...] = (ORDINARY,), wide: bool = True, constant: bool = False
    ) -> None:
        self.kind = np.resize(np.array(kinds, dtype=np.uint8), size if len(kinds) > 1 else 1)
        does = np.resize(self.kind, size)
        columns = [np.zeros(1)] * COLUMNS
        p_s = np.where(np.arange(size) % 3, some(9, 0.01, 0.3, size), 0.0)
        columns[K] = np.where(np.isin(does, (ORDINARY, NO_UPLOAD)), some(0, 0.5, 30.0, size), 0.0)
        columns[A] = np.where(np.isin(does, (ORDINARY, NO_WORK)), some(1, 0.1, 3.0, size), 0.0)
        columns[FIXED], columns[GAMMA], columns[E_FIXED] = (
            some(2, 0.1, 0.5, size),
            some(3, size=size),
            some(4, size=size),
        )
        columns[P_S], columns[P_C] = p_s, np.where(np.arange(size) % 2, some(5, 0.01, 0.3, size), 0.0)
        works = columns[K] > 0.0
        columns[T_LOW] = np.where(works, some(6, 0.2, 2.0, size), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.maximum(np.cbrt(2.0 * columns[K] / p_s), columns[T_LOW])
        columns[T_FREE] = np.where(works, np.minimum(free, some(7, 2.0, 30.0, size)), 0.0)
        columns[T_HIGH] = np.where(works, some(7, 2.0, 30.0, size), 0.0)
        if constant:
            columns = [column[:1] for column in columns]
        self.columns, self.size = tuple(columns), size
        self.g_min, self.g_max = np.zeros(1), np.full(1, math.inf)
        if not wide:
            self.g_min, self.g_max = some(8, 0.1, 1.0, size), some(8, 1.2, 12.0, size)
        self.odds, self.nats = np.full(size, math.nan), np.full(size, math.nan)
        self.blocks = -(-size // BLOCK)
        self.sums, self.out = np.full((self.blocks, shares.SUMS), math.nan), np.full((shares.OUT, size), math.nan)

    def share(
        self, mu: float, *, T: float = 5.0, warm: bool = False, tolerance: float = shares.EXACT, rows: bool = True
    ) -> None:
        out = self.out if rows else np.empty((shares.OUT, 0))
        given = self.kind, self.columns, self.g_min, self.g_max, T, mu, self.odds, self.nats, warm, tolerance
        run(shares.share_blocks, *given, self.sums, out, 0, self.blocks)

    def one(self, i: int, mu: float, T: float = 5.0) -> tuple[list[float], float]:
        """By share_row, and the energy."""
        pick = [float(column[i % len(column)]) for column in self.columns]
        what = int(self.kind[i % len(self.kind)])
        bounds = (float(bound[i % len(bound)]) for bound in (self.g_min, self.g_max))
        row = run(
            uplink.share_row, what, T - pick[FIXED], mu, 0.0, pick[K], pick[A], pick[GAMMA], pick[T_LOW], pick[T_FREE],
            pick[P_S], pick[P_C], *bounds,
        )  # fmt: skip
        given = pick[K], pick[A], pick[GAMMA], pick[P_S], pick[P_C], pick[E_FIXED], *row[:3]
        return list(row), 0.0 if what == IDLE else run(uplink.row_energy, *given)


ALL = (ORDINARY, NO_WORK, NO_UPLOAD, NEITHER, IDLE)
FLEETS: dict[str, dict[str, Any]] = {
    "ordinary": {"size": 30}, "of all kinds": {"size": 30, "kinds": ALL}, "within bounds": {"size": 30, "wide": False},
    "of one kind": {"size": 12, "kinds": (NO_WORK,)}, "alike": {"size": 9, "constant": True},
    "two": {"size": 2, "kinds": (ORDINARY, NO_UPLOAD)}, "three": {"size": 3, "kinds": (ORDINARY, ORDINARY, NO_UPLOAD)},
    "idle": {"size": 3, "kinds": (IDLE,)},
}  # fmt: skip


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_block_is_its_rows_one_by_one(fleet: str) -> None:
    given = FLEETS[fleet]
    for mu in (0.05, 2.0, 40.0):
        block = Block(**given)
        block.share(mu)
        truth = [block.one(i, mu) for i in range(block.size)]
        rows = np.array([row for row, _ in truth])
        rows[:, 2] = np.where(rows[:, 2] > 0.0, rows[:, 2], 1.0)  # fit to begin with
        assert block.out == pytest.approx(rows[:, :5].T, rel=1e-10, abs=1e-13)
        energies = np.array([energy for _, energy in truth])
        each = np.column_stack([energies, rows[:, 3:]])
        assert block.sums[0] == pytest.approx(each.sum(axis=0), rel=1e-10, abs=1e-12)
        both = (rows[:, 0] > 0.0) & (rows[:, 1] > 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            assert block.odds == like(np.where(both, rows[:, 0] / rows[:, 1], 1.0), 1e-9)
        assert block.nats == like(rows[:, 2], 1e-9)
        again = Block(**given)
        again.share(mu, rows=False)
        assert again.sums.tolist() == block.sums.tolist()


def test_blocks_are_priced_one_after_another() -> None:
    whole = Block(BLOCK + 5, kinds=(*[ORDINARY] * (BLOCK // 2), NO_WORK))  # also the second of the second block
    whole.share(0.7)
    for rows, block in ((slice(BLOCK), slice(1)), (slice(BLOCK, None), slice(1, 2))):
        part = Block(5)
        part.kind, part.size = whole.kind[rows], whole.kind[rows].size
        part.columns = tuple(column[rows] if len(column) > 1 else column for column in whole.columns)
        part.odds, part.nats = whole.odds[rows].copy(), whole.nats[rows].copy()
        part.out = whole.out[:, rows].copy()
        part.share(0.7)
        assert part.sums.tolist() == whole.sums[block].tolist()
        assert part.out.tolist() == whole.out[:, rows].tolist()


@pytest.mark.parametrize(
    ("fleet", "known"),
    [
        ("ordinary", (12, 9, 9, 5, 3, 10)),
        ("of all kinds", (9, 9, 9, 84, 72, 75)),
        ("within bounds", (12, 13, 9, 35, 33, 40)),
        ("alike", (9, 9, 8, 0, 0, 0)),
    ],
)
def test_newtons_steps_are_few_and_the_careful_path_is_for_the_odd_rows(
    fleet: str, known: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as when this was written: steps from nothing, from nearby, and roughly; rows one by one."""
    steps, odd = [0, 0, 0], [0, 0, 0]
    inner = inside(shares.share_blocks)
    odds, row = inner["odds_block"], inner["share_row"]

    def stepped(*arguments: Any) -> None:
        steps[now] += 1
        odds(*arguments)

    def careful(*arguments: Any) -> Any:
        odd[now] += 1
        return row(*arguments)

    monkeypatch.setitem(inner, "odds_block", stepped)
    monkeypatch.setitem(inner, "share_row", careful)
    for mu in (0.05, 0.3, 2.0):
        block = Block(**FLEETS[fleet])
        ways = ((1.0, False, shares.EXACT), (1.01, True, shares.EXACT), (1.0, False, shares.CLOSE))
        for phase, (factor, warm, tolerance) in enumerate(ways):
            now = phase
            block.share(mu * factor, warm=warm, tolerance=tolerance, rows=False)
    assert np.abs(np.array([*steps, *odd]) - known).max() <= 1


@pytest.mark.parametrize(("late", "known"), [(0, 1), (1, 2), (3, 2), (4, 2), (5, 25)])
def test_a_few_rows_that_never_get_there_are_left_to_the_careful_path(
    late: int, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From their own answers on: rows whose energy is no double; and one that has not all the power it wants."""
    block, mu = Block(20), 2.0
    block.columns[K][:late] = math.inf
    block.share(mu)
    steps, starts = list[Any](), list[Any]()
    inner = inside(shares.share_blocks)
    monkeypatch.setitem(inner, "odds_block", noted(inner["odds_block"], steps))
    monkeypatch.setitem(inner, "share_row", noted(inner["share_row"], starts))
    block.share(mu, warm=True)
    assert (len(steps), len(starts)) == (known, late)
    before, wanted = block.odds[19], block.out[shares.BETA_OUT, 19] * np.expm1(block.nats[19])
    block.g_max = np.where(np.arange(20) == 19, 0.5 * wanted, math.inf)
    starts.clear()
    block.share(mu, warm=True)
    assert [given[3] for given in starts[late:]] == pytest.approx([before], rel=1e-12)


PROVED: dict[str, dict[str, Any]] = {
    **{name: given for name, given in FLEETS.items() if name != "within bounds"},
    "an idle one of two": {"size": 2, "kinds": (ORDINARY, IDLE)},
    "two blocks": {"size": BLOCK + 5, "kinds": (*[ORDINARY] * (BLOCK // 2), IDLE)},
}


@pytest.mark.parametrize("fleet", PROVED)
def test_what_rows_take_is_proved_and_what_they_do_not_is_not(fleet: str) -> None:
    """Forged by 1e-3, from row to row; of idle rows no number counts."""
    block, mu = Block(**PROVED[fleet]), 2.0
    block.share(mu)
    size, does = block.size, np.resize(block.kind, block.size)
    energy = np.empty(size)

    def violation(out: FloatArray) -> float:
        given = block.kind, block.columns, block.g_min, block.g_max, 5.0, mu, 1.0, out.copy(), energy
        return float(run(prove_rows, *given, 0, block.blocks))

    assert violation(block.out) <= 1e-10
    rows = range(size) if size < BLOCK else [*range(0, size, 64), BLOCK + 1]
    assert energy[rows] == pytest.approx([block.one(i, mu)[1] for i in rows], rel=1e-10)
    for i in range(size) if size < 3 else {0, BLOCK + 1} if size > BLOCK else {0, size // 2, size - 2, size - 1}:
        for column, side in itertools.product((shares.T_OUT, shares.TAU_OUT, shares.PRICE_OUT), (0.999, 1.001)):
            forged = block.out.copy()
            forged[column, i] *= side
            if does[i] == IDLE:
                forged[:, i] = 77.0
            moved = forged[column, i] != block.out[column, i] and does[i] not in (IDLE, NEITHER)
            assert (violation(forged) > 1e-6) == moved or block.out[shares.PRICE_OUT, i] == 0.0, (i, column, side)


SENDING = (ORDINARY, NO_UPLOAD, NO_WORK, ORDINARY, IDLE, NEITHER, ORDINARY)


def at_full_power(room: float = 1.0, kinds: tuple[int, ...] = SENDING, p_max: float = 1.5) -> LeastShares:
    """Of a made-up fleet, all the room for its uploads."""
    block = Block(len(kinds), kinds)
    columns = tuple(np.where(block.kind == IDLE, 0.0, c) if c.any() else c for c in block.columns)
    columns = (*columns[:GAMMA], block.columns[GAMMA], *columns[GAMMA + 1 :])
    columns[K][1], columns[E_FIXED][4] = 200.0, 0.5  # in a hurry; idle, and costs nothing
    columns[T_FREE][1] = math.cbrt(400.0 / columns[P_S][1])
    snr_max = columns[GAMMA] * p_max
    t_min = float((columns[FIXED] + columns[T_LOW] + columns[A] / np.log1p(snr_max)).max())
    plan = SimpleNamespace(size=block.size, kind=block.kind, columns=columns, t_min=t_min)
    uplinks: Any = SimpleNamespace(plan=plan, room=room, snr_max=snr_max)
    return LeastShares(uplinks)


@pytest.mark.parametrize("T", [2.0, 4.0, 9.0, 40.0])
def test_the_least_share_sends_all_bits_at_full_power(T: float) -> None:
    """a = tau beta ln(1 + G/beta); its slope by differences; rounding moves it by its elasticity."""
    u = at_full_power().uplinks
    c, h = u.plan.columns, 1e-6
    total = slope = noise = 0.0
    for i in range(u.plan.size):
        beta, by_time, x = run(fullspeed._least, c, u.snr_max, T, i)
        tau = T - c[FIXED][i] - c[T_LOW][i]
        if c[A][i] == 0.0:
            assert (beta, by_time, x) == (0.0, 0.0, math.inf)
            continue
        if u.snr_max[i] * tau <= c[A][i]:
            assert (beta, by_time, x) == (math.inf, 0.0, 0.0)
        else:
            assert tau * beta * math.log1p(u.snr_max[i] / beta) == pytest.approx(c[A][i], rel=1e-12)
            assert x == pytest.approx(math.log1p(u.snr_max[i] / beta), rel=1e-12)
            late, early = (run(fullspeed._least, c, u.snr_max, T * (1.0 + side * h), i)[0] for side in (1, -1))
            assert by_time == pytest.approx((late - early) / (2.0 * h * T), rel=1e-7, abs=1e-9)
        total, slope, noise = total + beta, slope + by_time, noise + 1e-15 * (beta - by_time * T)
    assert run(fullspeed.least_shares, u.plan.size, c, u.snr_max, T) == pytest.approx(
        (total, slope, noise), rel=1e-12, abs=0.0
    )
    loud = np.full(u.plan.size, math.inf)
    assert run(fullspeed.least_shares, u.plan.size, c, loud, T)[0] == 0.0


@pytest.mark.parametrize(("room", "known"), [(0.05, 9), (1.0, 6), (30.0, 1)])
def test_the_least_duration_is_where_the_least_shares_fill_the_room(
    room: float, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In as many turns as when this was written; there at the end of its last digits."""
    least, calls, work = at_full_power(room), list[Any](), fullspeed.least_shares
    monkeypatch.setattr(fullspeed, "least_shares", noted(partial(run, work), calls))
    monkeypatch.setattr(fullspeed, "at_full_speed", partial(run, fullspeed.at_full_speed))
    T = least.duration()
    turns = [given[-1] for given in calls]
    u = least.uplinks
    assert turns[0] == u.plan.t_min
    assert all(now < then for now, then in itertools.pairwise(turns))
    assert abs(len(turns) - known) <= (known > 1)  # rounding ends it

    def over(T: float) -> float:
        return float(run(work, u.plan.size, u.plan.columns, u.snr_max, T)[0] / room)

    assert over(T) <= 1.0
    assert u.plan.t_min == T or over(T * (1.0 - 1e-13)) > 1.0
    at, longer = np.full((shares.OUT, u.plan.size), math.nan), np.empty((shares.OUT, u.plan.size))
    look = least.share(T, at)
    if over(T) < 1.0 - 1e-9:
        assert look is None
        return
    assert least.share(T * (1.0 + 1e-9), longer) is None
    assert look is not None
    assert (look.T, look.share, look.room) == (T, 1.0, room)
    assert (look.curve, look.by_time, look.by_price) == (math.inf, 0.0, 0.0)
    assert at[shares.BETA_OUT].sum() == pytest.approx(room, rel=1e-14)
    assert at[shares.PRICE_OUT].sum() == pytest.approx(look.price, rel=1e-13)
    spent = np.empty(u.plan.size)
    c, zero = u.plan.columns, np.zeros(1)
    highs = (*c[:T_HIGH], np.where(c[T_FREE] > 0.0, c[T_FREE], 1.0), *c[T_HIGH + 1 :])

    def violation(mu: float) -> float:
        return float(run(prove_rows, u.plan.kind, highs, zero, u.snr_max, T, mu, 1.0, at.copy(), spent, 0, 1))

    assert violation(look.mu) <= 1e-9
    assert spent.sum() == pytest.approx(look.energy, rel=1e-12)


@pytest.mark.parametrize("spare", [0.0, 0.02])
@pytest.mark.parametrize("T", [4.6, 9.0, 40.0])
@pytest.mark.parametrize("more", [{}, {K: 1e4}, {K: 0.3, P_S: 40.0}, {P_C: 500.0}, {P_C: 500.0, K: 1e4}])
@pytest.mark.parametrize("turned", [1, -1])
def test_at_full_speed_the_price_is_the_least_that_fits_everybody(
    spare: float, T: float, more: dict[int, float], turned: int
) -> None:
    """Of every row by what a second is worth to sending and to computing; what is to spare is the loosest row's."""
    u = at_full_power(1.0).uplinks
    for j, factor in more.items():
        u.plan.columns[j][:] *= np.where(u.plan.kind == NO_UPLOAD, 1.0, factor)
    u.plan.columns[P_S][0] = 1e5 if more.get(K, 0.0) > 1.0 else 0.0  # of 4.9e5 W that a second's computing is worth
    u.plan.kind, u.snr_max = u.plan.kind[::turned], u.snr_max[::turned]
    u.plan.columns = tuple(column[::turned] for column in u.plan.columns)
    c = [np.broadcast_to(column, (u.plan.size,)) for column in u.plan.columns]
    out, least = np.empty((shares.OUT, u.plan.size)), np.empty((3, u.plan.size))
    energy, total, mu = run(fullspeed.at_full_speed, u.plan.kind, u.plan.columns, u.snr_max, T, spare, out)
    for i in range(u.plan.size):
        least[:, i] = run(fullspeed._least, u.plan.columns, u.snr_max, T, i)
    t, tau, x, beta, price = out
    sends, loose = c[A] > 0.0, int(np.argmax(least[0] - T * least[1]))
    assert beta == pytest.approx(least[0] + np.where(np.arange(u.plan.size) == loose, spare, 0.0), rel=1e-12)
    assert (tau * x * beta)[sends] == pytest.approx(c[A][sends], rel=1e-12)
    assert np.array_equal(out[1:4, ~sends], np.zeros((3, int((~sends).sum()))))
    p, F = u.snr_max / c[GAMMA], marginal(np.minimum(x, 700.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        work = np.where(c[K] > 0.0, 2.0 * c[K] / t**3 - c[P_S], 0.0)
        own = np.maximum(np.maximum(np.where(sends, F * beta / c[GAMMA] - c[P_C], 0.0), work), 0.0)
        worth = np.where(sends, (own + c[P_C] + p) * tau * F / (np.exp(x) * beta * x), 0.0)
        fair = mu * (beta / tau) * x * np.exp(x) / F - c[P_C] - p
        spent = np.where(c[K] > 0.0, c[K] / t**2 + c[P_S] * t, 0.0)
        spent += np.where(sends, tau * (np.expm1(x) * beta / c[GAMMA] + c[P_C]), 0.0) + c[E_FIXED]
    assert mu == pytest.approx(worth.max(), rel=1e-12)
    assert price == pytest.approx(np.where(sends, np.maximum(own, fair), np.where(t < c[T_FREE], work, 0.0)), rel=1e-11)
    assert total == pytest.approx(price.sum(), rel=1e-13)
    assert energy == pytest.approx(spent[u.plan.kind != IDLE].sum(), rel=1e-12)
    assert t == pytest.approx(np.where(sends, c[T_LOW], np.clip(T - c[FIXED], c[T_LOW], c[T_FREE])), rel=1e-15)
    assert price[1 if turned == 1 else -2] > 1.0 or T > 5.0
    one = np.zeros(1, dtype=np.uint8)  # all of one kind: then the idle row's download counts
    again = run(fullspeed.at_full_speed, one, u.plan.columns, u.snr_max, T, spare, out.copy())
    assert again == pytest.approx((energy + 0.5, total, mu), rel=1e-13)
