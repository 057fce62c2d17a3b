"""What rows cost in time division, of made-up rows of all kinds: against the formulas minimised on a fine grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from solvers.matching import slotcosts
from solvers.matching.slotcosts import SlotCosts
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import IntArray, Menu
from solvers.rows import LN2, FloatArray, Rows

SIZE = 7
DOES = np.array([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])  # a type's work and bits: the last one is idle
PRICES = (1e-3, 0.3, 5.0, 300.0)  # [W]


def menu(seed: int, size: int = SIZE) -> Menu:
    """Row 0 may take for ever, row 1 reaches nobody, row 2 is ready at once and has a least speed; row 3 waits long."""
    rng = np.random.default_rng(seed)

    def some(low: float, high: float) -> FloatArray:
        return rng.uniform(low, high, size)

    fixed, f_min, static, snr = some(0.0, 1.0), some(0.1, 0.6), some(0.0, 0.5) * (rng.random(size) < 0.5), some(1, 9)
    f_min[0], static[0], snr[1], fixed[2], static[2], fixed[3] = 0.0, 0.0, 0.0, 0.0, 0.0, 30.0
    common = {
        "frequency_min": f_min, "frequency_max": some(1.0, 3.0), "capacitance": some(0.5, 2.0), "static_power": static,
        "bandwidth": np.ones(1), "snr": snr, "power_min": some(0.0, 0.1) * (rng.random(size) < 0.5),
        "power_max": some(1.0, 9.0), "circuit_power": some(0.0, 0.3) * (rng.random(size) < 0.5),
    }  # fmt: skip
    work, bits, energy = some(0.3, 4.0), some(0.5, 3.0), some(0.1, 1.0)
    rows = tuple(
        Rows(work=work * w, bits=bits * s, fixed_time=fixed * busy, fixed_energy=energy * busy,
             idle=np.array([not busy]), **common)
        for w, s in DOES
        for busy in [w + s > 0.0]
    )  # fmt: skip
    ones = np.ones(len(DOES))
    return Menu(rows=rows, size=ones, quality=np.ones(size), weights=ones, covers=ones.astype(np.int64))


def computed(rows: Rows, end: float) -> FloatArray:
    """The least energy of computing by ``end`` (N,) [J]: over 2001 times; inf where the fastest is too slow."""
    r = rows.full()
    low, most = r.work / r.frequency_max, end - r.fixed_time
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.minimum(r.work / r.frequency_min, np.minimum(most, 1e12))
        t = low * (np.maximum(high, low) / low) ** np.linspace(0.0, 1.0, 2001)[:, None]
        energy = r.capacitance * r.work**3 / t**2 + r.static_power * t
    least: FloatArray = np.where(r.work > 0.0, energy.min(axis=0), 0.0)
    return np.where(low > most, math.inf, least)


def sent(rows: Rows, price: float, x: FloatArray) -> FloatArray:
    """Energy of receiving and of sending with x nats, and what the slot costs at a price (..., N) [J]."""
    r = rows.full()
    with np.errstate(divide="ignore", invalid="ignore"):
        each = r.transfer / x * (np.expm1(x) / r.snr + r.circuit_power + price)
    result: FloatArray = r.fixed_energy + np.where(r.bits > 0.0, np.where(r.snr > 0.0, each, math.inf), 0.0)
    return result


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("price", PRICES)
def test_a_slot_is_the_one_that_its_price_pays_for(seed: int, price: float) -> None:
    given = menu(seed)
    costs = SlotCosts(given)
    found, slots, energies = costs.sending(price)
    assert costs.sending(price)[0] is found
    for k, rows in enumerate(given.rows):
        r = rows.full()
        low, high = np.log1p(r.snr * r.power_min), np.log1p(r.snr * r.power_max)
        grid = np.maximum(low, 1e-6) + np.linspace(0.0, 1.0, 4001)[:, None] ** 2 * (high - np.maximum(low, 1e-6))
        assert found[k] == pytest.approx(sent(rows, price, grid).min(axis=0), rel=1e-5)
        sends = (r.bits > 0.0) & (r.snr > 0.0)
        with np.errstate(invalid="ignore"):
            again = sent(rows, price, r.bits * LN2 / np.where(sends, slots[k], 1.0))
        assert found[k][sends] == pytest.approx(again[sends], rel=1e-12)
        assert energies[k][sends] == pytest.approx(found[k][sends] - price * slots[k][sends], rel=1e-10)
        assert (slots[k][r.bits == 0.0] == 0.0).all()
        least = np.where(r.bits > 0.0, math.inf, 0.0)
        least[sends] = r.transfer[sends] / high[sends]
        assert costs.least[k] == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_computing_takes_what_there_is_or_what_is_of_use(seed: int) -> None:
    """Energies from just too early on to for ever; what a second more would save, but for kinks, by difference."""
    given = menu(seed)
    costs = SlotCosts(given)
    for end in (0.5, 1.0, 2.0, 4.0, 9.0, 31.0, 40.0, 1e3, math.inf):
        energy, prices = costs.computing(end)
        assert costs.computing(end)[0] is energy
        for k, rows in enumerate(given.rows):
            truth = computed(rows, end)
            assert energy[k] == pytest.approx(truth, rel=1e-5, abs=1e-20)
            assert (prices[k][np.isinf(energy[k])] == 0.0).all()
        if end < math.inf:
            wide = 1e-5 * end
            with np.errstate(invalid="ignore"):
                fall = (costs.computing(end - wide)[0] - costs.computing(end + wide)[0]) / (2.0 * wide)
            assert prices[np.isfinite(fall)] == pytest.approx(fall[np.isfinite(fall)], rel=1e-3, abs=1e-6)
        else:
            assert (prices == 0.0).all()


@pytest.mark.parametrize("seed", range(3))
def test_an_end_that_is_too_early_but_for_rounding_is_not(seed: int) -> None:
    """And where a row has all the time it is given use for, another second is worth nothing to it."""
    given = menu(seed)
    costs = SlotCosts(given)
    for k, n in itertools.product(range(len(DOES)), range(SIZE)):
        ready = float(costs.ready[k, n])
        assert costs.computing(ready)[0][k, n] < math.inf
        energy, prices = costs.computing(ready * (1.0 - 4e-16))
        assert energy[k, n] < math.inf
        assert prices[k, n] >= 0.0
        if ready > 0.0:
            assert costs.computing(ready * (1.0 - 1e-12))[0][k, n] == math.inf
    r = given.rows[0].full()
    slowest = float(r.work[2] / r.frequency_min[2])  # row 2 begins at 0 s
    assert costs.computing(slowest)[1][:2, 2].tolist() == [0.0, 0.0]
    before = costs.computing(slowest * (1.0 - 1e-12))[1][:2, 2]
    assert before == pytest.approx(2.0 * r.capacitance[2] * r.frequency_min[2] ** 3, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("price", PRICES)
def test_both_parts_together_and_the_end_at_which_a_matching_is_cheapest(seed: int, price: float) -> None:
    costs, rows = SlotCosts(menu(seed)), np.arange(SIZE)
    (energy, falls), (sending, slots, _) = costs.computing(2.0), costs.sending(price)
    priced = costs.at(2.0, price)
    assert np.array_equal(priced.costs, energy + sending)
    assert priced.falls is falls
    assert priced.taken is slots
    for assignment in ([0, 1, 0, 2, 0, 0, 0], [1, 3, 1, 1, 2, 0, 1], [2, 3, 2, 2, 3, 2, 2], [3, 1, 3, 2, 0, 1, 3]):
        matching = np.array(assignment)
        end, found = costs.root(matching, price)
        assert found == costs.at(end, price).costs[matching, rows].sum()
        last = float(costs.ready[matching, rows].max())
        assert end >= last

        def total(end: float, matching: IntArray = matching) -> float:
            return float(costs.at(end, price).costs[matching, rows].sum()) + price * end

        assert total(end) <= min(total(y) for y in np.geomspace(last, 1e3, 400)) * (1.0 + 1e-12)
        assert end == last or total(end) <= total(end * (1.0 - 1e-4))


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 16 MiB of each part, and of the largest fleet two ends and two prices; the oldest goes first."""
    costs = SlotCosts(menu(0, 512))
    first = costs.computing(1.0)[0]
    for i in range(1, 600):
        costs.computing(1.0 + i)
        assert (costs.computing(1.0)[0] is first) is (i < 2 + (1 << 20) // (4 * 512))
        if i > 550:
            break
    monkeypatch.setattr(slotcosts, "_KEPT", 0)
    costs = SlotCosts(menu(0))
    for part in (costs.computing, costs.sending):
        one, two = part(1.0)[0], part(2.0)[0]
        assert part(1.0)[0] is one
        assert part(2.0)[0] is two
        part(3.0)
        assert part(2.0)[0] is two
        assert part(1.0)[0] is not one


def drawn(seed: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """Least ends of computing and slots (3, 6), some of them out of reach, some equal; places of each type."""
    rng = np.random.default_rng(seed)
    ready, least = rng.uniform(1.0, 9.0, (3, 6)), rng.uniform(0.1, 1.5 + seed % 3, (3, 6))
    if seed % 2:
        ready, least = np.round(ready), np.round(2.0 * least) / 2.0
    ready[rng.random((3, 6)) < 0.1], least[rng.random((3, 6)) < 0.1] = math.inf, math.inf
    return ready, least, np.bincount(rng.integers(0, 3, 6), minlength=3)


def test_the_shortest_of_every_matching() -> None:
    """In as many matchings as when this was written, which is far below one for every end."""
    solved, none = 0, 0
    for seed in range(40):
        ready, least, counts = drawn(seed)
        costs = SlotCosts.__new__(SlotCosts)
        costs.ready, costs.least = ready, least

        def match(slots: FloatArray, counts: IntArray = counts) -> Transport | Impossible:
            nonlocal solved
            solved += 1
            return transport(slots, counts)

        rows = np.arange(6)
        all_of_them = set(itertools.permutations(np.repeat(np.arange(3), counts).tolist()))
        durations = {m: float(ready[list(m), rows].max() + least[list(m), rows].sum()) for m in all_of_them}
        best, found = min(durations.values()), costs.shortest(match)
        if best == math.inf:
            assert found is None
            none += 1
            continue
        assert found is not None
        assert found[0] == pytest.approx(best, rel=1e-12)
        assert durations[tuple(found[1].tolist())] == pytest.approx(best, rel=1e-12)
    assert none > 0
    assert solved == 143
