"""Roots of falling functions, also of sums of prices that jump (the end of computing): in few looks, part by part."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import of_kinds
from test_share_blocks import at_full_power
from test_share_stages import noted, run
from test_slots_parts import KINDS, some

from fedopt.rounds import rows_of
from solvers.access import LAST_DIGITS, computing, fullspeed, settle
from solvers.access.computing import Computing, Known
from solvers.access.roots import falling_root, ulp
from solvers.blocks import BLOCK, FIXED, ORDINARY, P_S, T_FREE, T_LOW, A, K
from solvers.plan import make_plan
from solvers.rows import FloatArray

# A falling function on [low, high], its root, and in how many looks it was found when this was written.
KNOWN: dict[str, tuple[Callable[[float], float], float, float, float, int]] = {
    "line": (lambda x: 3.0 - x, 0.0, 10.0, 3.0, 4),
    "power": (lambda x: x**-3.0 - 8.0, 0.1, 10.0, 0.5, 14),
    "nearly flat": (lambda x: (2.0 - x) ** 9, -5.0, 4.0, 2.0, 55),
    "steep": (lambda x: -math.expm1(20.0 * (x - 0.7)), 0.0, 4.0, 0.7, 14),
    "negative": (lambda x: x * x - 2.0, -9.0, -1.0, -math.sqrt(2.0), 11),
    "jump": (lambda x: 1.0 if x < 1.0 / 3.0 else -1.0, 0.0, 1.0, 1.0 / 3.0, 55),
    "jump to half": (lambda x: 1.0 if x < 0.5 else -1.0, 0.0, 1.0, 0.5, 54),
    "at the high end": (lambda x: 5.0 - x, 4.5, 5.0, 5.0, 3),
    "from a half on": (lambda x: max(4.5 - x, 0.0), 1.0, 8.0, 4.5, 3),
    "kink": (lambda x: max(0.3 - x, 1e-3 * (0.3 - x)), 0.0, 5.0, 0.3, 70),
    "nothing before": (lambda x: math.inf if x < 2.5 else 2.7 - x, 0.0, 10.0, 2.7, 6),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_root_is_found_to_the_last_digits_in_as_many_looks_as_when_this_was_written(name: str) -> None:
    f, low, high, root, looks = KNOWN[name]
    seen = list[float]()

    def counted(x: float) -> float:
        seen.append(x)
        return f(x)

    found = falling_root(counted, low, high)
    assert f(found) <= 0.0
    if name != "nearly flat":  # its ninth power is 0 sooner
        assert root - ulp(root) <= found <= root + 3.0 * ulp(root)
    assert all(low <= x <= high for x in seen)
    assert abs(len(seen) - looks) <= (0 if "jump" in name or looks == 3 else 1)


def test_what_holds_at_the_low_end_or_nowhere() -> None:
    assert falling_root(lambda x: -x, 0.0, 5.0) == 0.0
    assert falling_root(lambda x: -1.0 - x, 1.0, 5.0) == 1.0
    assert falling_root(lambda x: -max(x - 1.0, 0.0), 0.0, 5.0) == 0.0
    assert falling_root(lambda x: 6.0 - x, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: 5.0 - x, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: 5.0 - x, 5.0, 5.0) == 5.0
    assert falling_root(lambda x: math.inf, 1.0, 5.0) == 5.0
    assert falling_root(lambda x: max(4.0 - x, 0.0), 1.0, 8.0) == 4.5  # 0 is close enough


@pytest.mark.parametrize("coarse", [1e-3, 1e-9])
def test_it_looks_no_closer_than_makes_a_difference(coarse: float) -> None:
    seen = list[float]()

    def rounded(x: float) -> float:  # the same within every step of ``coarse``
        seen.append(x)
        return math.exp(-round(x / coarse) * coarse) - 0.2

    found = falling_root(rounded, 0.0, 30.0, lambda _: coarse)
    assert rounded(found) <= 0.0
    assert abs(found - math.log(5.0)) <= 2.5 * coarse
    assert len(seen) <= 16


@pytest.mark.parametrize("coarse", [1e-6, 0.1, 0.5])
@pytest.mark.parametrize("width", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("power", [0.2, 1.0, 3.0, 9.0, -30.0])
@pytest.mark.parametrize("share", [1e-5, 0.02, 0.4, 0.99, 1.0 - 1e-5])
def test_no_look_is_closer_than_makes_a_difference_to_a_bound(
    coarse: float, width: float, power: float, share: float
) -> None:
    """Nor does the search go on where its bounds are that close, as far as the coarser of them can tell."""
    seen, coarse, root = list[float](), coarse * width, 2.0 + share * width

    def excess(x: float) -> float:
        seen.append(x)
        return -math.expm1(power * (x - root) / width) if power > 0.0 else (1.0 if x < root else power)

    fine = 1e-3 * coarse
    found = falling_root(excess, 2.0, 2.0 + width, lambda x: coarse if x >= root else fine)
    assert root <= found <= root + 2.0 * coarse
    for i in range(3, len(seen)):
        low, high = max(x for x in seen[:i] if x < root), min(x for x in seen[:i] if x >= root)
        assert high - low > 2.0 * coarse
        assert min(seen[i] - low, high - seen[i]) >= coarse * (1.0 - 1e-6)


def workers(size: int) -> tuple[FloatArray, ...]:
    """kappa W^3, t_0 + t_d, P_s, the least time and the one when time is free; every third may take for ever."""
    k, fixed, t_low = some(0, 0.5, 5.0, size), some(1, 0.1, 1.0, size), some(2, 0.5, 2.0, size)
    p_s = np.where(np.arange(size) % 3, some(3, 0.01, 0.2, size), 0.0)
    with np.errstate(divide="ignore"):
        free = np.cbrt(2.0 * k / p_s)
    return k, fixed, p_s, t_low, np.maximum(np.where(np.arange(size) % 3 == 1, 2.5, free), t_low)


def sums(columns: tuple[FloatArray, ...], end: float) -> tuple[float, float, float]:
    k, fixed, p_s, t_low, t_free = columns
    left = end - fixed
    t = np.clip(left, t_low, t_free)
    moves = left < t_free
    with np.errstate(invalid="ignore"):
        energy = k / t**2 + np.where(p_s > 0.0, p_s * t, 0.0)
    worth = np.where(moves, np.maximum(2.0 * k / t**3 - p_s, 0.0), 0.0)
    return float(worth.sum()), float(np.where(moves, 6.0 * k / t**4, 0.0).sum()), float(energy.sum())


@pytest.mark.parametrize("size", [9, BLOCK + 7])
def test_what_computing_by_an_end_takes(size: int) -> None:
    columns = workers(size)
    for end in (0.7, 2.0, float(columns[1][1] + columns[4][1]), 1e3, math.inf):
        found = run(computing.computing_sums, *columns, end)
        assert found == pytest.approx(sums(columns, end), rel=1e-12)


def test_sums_are_worked_out_once_and_kept_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[Any]()
    monkeypatch.setattr(computing, "computing_sums", noted(computing.computing_sums, calls))
    columns = tuple(column[np.arange(9) % 3 > 0] for column in workers(9))
    known = Computing(columns, 0.0)
    assert [given[-1] for given in calls] == [known.first, known.last]
    for end in (2.2, 2.0, 2.2, known.first, 2.1):
        assert known.at(end).end == end
    asked = [given[-1] for given in calls]
    assert asked == [known.first, known.last, 2.2, 2.0, 2.1]
    assert [each.end for each in known._known] == sorted(asked)
    assert known.first == (columns[1] + columns[3]).max()
    assert known.last == pytest.approx((columns[1] + columns[4]).max(), rel=1e-14)
    assert Computing(columns, 77.0).first == Computing(columns, 77.0).last == 77.0
    assert known.end(0.0) == known.end(-1.0) == known.last
    assert known.end(known.at(known.first).worth) == known.first
    assert known.end(known.at(known.first).worth * (1.0 - 1e-9)) > known.first
    k, fixed, p_s, t_low, t_free = columns
    quick = Computing((1e-9 * k, 1e-3 * fixed, p_s, 1e-3 * t_low, 1e-3 * t_free), 0.0)
    assert (quick.first, quick.last) == pytest.approx((1e-3 * known.first, 1e-3 * known.last), rel=1e-14)
    none = Computing(tuple(np.empty(0) for _ in range(5)), 3.0)
    assert none.end(1.0) == none.end(0.0) == 3.0


def test_the_rows_of_a_plan_that_compute() -> None:
    instance = of_kinds("bounds", 1, KINDS)
    plan = make_plan(rows_of(instance.clients, instance.work))
    c = [np.broadcast_to(column, (6,)) for column in plan.columns]
    found = Computing.of(plan)
    assert [e.tolist() for e in found.columns] == [c[j][[0, 1, 3, 5]].tolist() for j in (K, FIXED, P_S, T_LOW, T_FREE)]
    assert found.first == max((c[FIXED] + c[T_LOW])[[0, 1, 3, 5]].max(), c[FIXED].max())


def test_jumps_are_where_a_row_stops_while_it_would_still_pay() -> None:
    columns = workers(9)
    k, fixed, p_s, _, t_free = columns
    with np.errstate(invalid="ignore"):
        marginals = 2.0 * k / t_free**3 - p_s
    jumps = sorted((fixed + t_free)[np.isfinite(t_free) & (marginals > 1e-9)].tolist())
    assert 2 <= len(jumps) <= 3
    known = Computing(columns, 0.0)
    assert sorted(known._jumps.tolist()) == pytest.approx(jumps, rel=2e-15)
    assert min(known._jumps - np.sort(jumps)[np.argsort(np.argsort(known._jumps))]) > 0.0
    exact = np.sort(known._jumps).tolist()
    assert known._between(0.0, 1e9).tolist() == exact
    for low, high in ((exact[0], exact[-1]), (0.5 * exact[0], exact[0]), (exact[0], 1.1 * exact[-1]), (0.0, 1e9)):
        assert known._between(low, high).tolist() == [jump for jump in exact if low < jump < high]
        assert known._range[0] <= low
        assert known._range[1] >= high


@pytest.mark.parametrize("count", [4, 5])
def test_few_jumps_between_near_bounds_are_looked_at_one_by_one_the_middle_first(count: int) -> None:
    t_free, ones = np.linspace(2.0, 2.0 + 0.002 * (count - 1), count), np.full(count, 1.0)
    known = Computing((ones, 0.0 * ones, 0.0 * ones, 0.5 * ones, t_free), 0.0)
    for ends, one_by_one in (((1.995, 2.01), count == 4), ((1.9, 2.1), False)):
        low, high = map(known.at, ends)
        price = 0.5 * (low.worth + high.worth)
        above = math.log(low.worth / price)
        wanted = float(known._jumps[2]) if one_by_one else computing._secant(low, high, price, above, 1.0)
        assert known._guess(low, high, price, 1.0) == (wanted, False)
    low = power_law(1.0)
    assert 1.0 <= computing._secant(low, power_law(math.nextafter(1.0, 2.0)), 1.0, 0.0, 1.0) <= math.nextafter(1.0, 2.0)


def power_law(end: float, power: float = 3.0) -> Known:
    """A worth of end^-power, as one row at work has it."""
    return Known(end=end, worth=end**-power, fall=power * end ** (-power - 1.0), energy=0.0)


@pytest.mark.parametrize("ends", [(1.0, 1.5), (1.0, 4.0), (2.0, 2.1)])
@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.9, 0.995])
def test_a_secant_meets_a_power_law(ends: tuple[float, float], share: float) -> None:
    low, high = map(power_law, ends)
    root = ends[0] * (ends[1] / ends[0]) ** share
    price, within = root**-3.0, ends[0] * (ends[1] / ends[0]) ** min(max(share, 0.01), 0.99)
    above = math.log(low.worth / price)
    assert computing._secant(low, high, price, above, 1.0) == pytest.approx(within, rel=1e-12)
    later = computing._secant(low, high, price, above, 0.5)
    assert later > within if 0.01 < share < 0.98 else later >= within
    nothing = Known(end=ends[1], worth=0.0, fall=0.0, energy=0.0)
    assert computing._secant(low, nothing, price, above, 1.0) == pytest.approx(math.sqrt(ends[0] * ends[1]), rel=1e-14)
    flat = Known(end=ends[1], worth=low.worth, fall=0.0, energy=0.0)
    assert computing._secant(low, flat, low.worth, 0.0, 1.0) == pytest.approx(math.sqrt(ends[0] * ends[1]), rel=1e-14)


@pytest.mark.parametrize("root", [1.0 + 1e-11, 1.0001, 1.005, 1.0099, 1.01 - 1e-11])
def test_a_step_from_the_nearer_bound_is_newtons(root: float) -> None:
    """In ln of the price, linear in the end."""
    low, high = power_law(1.0), power_law(1.01)
    price = root**-3.0
    new, done = computing._newton(low, high, price, math.log(low.worth / price))
    near = low if root < 1.005 else high
    expected = near.end * (1.0 + math.log(near.worth / price) / 3.0)
    assert new == pytest.approx(expected, rel=1e-15)
    assert done == (abs(root - near.end) < 1e-9)
    assert low.end <= new <= high.end


def test_a_step_that_leads_out_or_nowhere_is_half_way() -> None:
    low, nothing = power_law(1.0), Known(end=1.01, worth=0.0, fall=0.0, energy=0.0)
    assert computing._newton(low, nothing, 1e-3, math.log(1e3)) == (1.005, False)
    still = Known(end=1.0, worth=1.0, fall=0.0, energy=0.0)
    assert computing._newton(still, nothing, 0.99, math.log(1.0 / 0.99)) == (1.005, False)
    new, done = computing._newton(low, power_law(1.0 + 1e-13), 0.5**1e-9, 1e-9 * math.log(2.0))
    assert (new, done) == (1.0 + 1e-13, True)


@pytest.mark.parametrize("step", [1e-5, 0.01, 0.5, 100.0])
def test_where_no_bound_is_known_a_step_goes_a_bit_beyond(step: float) -> None:
    known = Computing(workers(9), 0.0)
    low = power_law(2.0)
    price = low.worth * math.exp(-3.0 * step)
    new, done = known._guess(low, None, price, 1.0)
    assert not done
    assert new == pytest.approx(2.0 * math.exp(min(max(1.2 * step, 1e-3), 2.0)), rel=1e-12)
    flat = Known(end=2.0, worth=1.0, fall=0.0, energy=0.0)
    assert known._guess(flat, None, 0.5, 1.0)[0] == pytest.approx(2.0 * math.exp(1.2), rel=1e-14)


def test_what_the_last_digits_of_an_end_are_worth_is_forgiven() -> None:
    """Where it is more than hardly anything; next to a jump as much as before it."""
    known = Computing(workers(9), 0.0)
    for end in (float(known._jumps.max()), 1.7 * known.first):
        fall = max(sums(known.columns, end * side)[1] for side in (1.0 - LAST_DIGITS, 1.0))
        little = LAST_DIGITS * end * fall
        for off, price, left in ((0.5, 1e9, 0.5), (0.5, 1e8, 0.0), (3.0, 1e8, 2.0)):
            found = settle._missing(known, end, off * little, price * little)
            assert found == pytest.approx(left * little, rel=1e-9)


def test_the_least_duration_of_one_row_is_its_own_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """At full power it takes the whole channel, to the last digits, where no slope leads on."""
    calls, work, turns = list[Any](), fullspeed.least_shares, list[int]()
    monkeypatch.setattr(fullspeed, "least_shares", noted(partial(run, work), calls))
    least = at_full_power(1.0, (ORDINARY,) * 60)
    u: Any = least.uplinks
    plan, snr = u.plan, u.snr_max
    for i in range(60):
        columns = tuple(column[i % len(column)].reshape(1) for column in plan.columns)
        fixed, a, t_low = (float(columns[j][0]) for j in (FIXED, A, T_LOW))
        T = fixed + t_low + a / math.log1p(snr[i])
        u.plan, u.snr_max = SimpleNamespace(size=1, columns=columns, t_min=T), snr[i : i + 1]
        calls.clear()
        found = least.duration()
        turns.append(len(calls))
        assert T <= found <= T * (1.0 + 8e-15)
        assert run(work, 1, columns, u.snr_max, found)[0] <= 1.0
    assert 1 < max(turns) <= 6  # four when this was written
