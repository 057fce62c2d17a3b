"""Level 3, block after block: rows of the second block are its own."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from fleets import make, of_kinds
from mpmath import mp
from test_level3_facts import kinked
from test_share_stages import inside, run

from fedopt.rounds import rows_of
from solvers.allocation import reference
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import BLOCK, ORDINARY, T_HIGH, T_LOW, TAU_HIGH, TAU_LOW
from solvers.duration import newton
from solvers.plan import make_plan
from solvers.rows import FloatArray, Rows

SIZE = BLOCK + 7
KINDS = ["both"] * SIZE
KINDS[3], KINDS[BLOCK + 1], KINDS[BLOCK + 4], KINDS[BLOCK + 5] = "no upload", "no work", "no upload", "only a download"


def priced(rows: Rows, T: float, columns: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    plan = make_plan(rows)
    odds, sums, out = np.empty(plan.size), np.full((plan.blocks, 3), -1.0), np.full((columns, plan.size), -1.0)
    price_blocks(plan.kind, plan.columns, plan.priced, T, odds, False, EXACT, sums, out, 0, plan.blocks)
    return odds, sums, out


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
@pytest.mark.parametrize("columns", [4, 6])
def test_a_fleet_is_its_blocks(family: str, columns: int) -> None:
    """To the bit; where some rows cannot meet the duration, too. What is added up is what the rows take."""
    instance = of_kinds(family, 2, KINDS)
    rows = rows_of(instance.clients, instance.work).full()
    for factor in (1.0, 0.5):
        T = factor * instance.duration
        odds, sums, out = priced(rows, T, columns)
        for block, part in enumerate((np.arange(BLOCK), np.arange(BLOCK, SIZE))):
            one = priced(rows.take(part), T, columns)
            assert one[0].tolist() == odds[part].tolist()
            assert one[1].tolist() == [sums[block].tolist()]
            assert np.array_equal(one[2], out[:, part], equal_nan=True)
            assert sums[block, :2] == pytest.approx(out[2:4, part].sum(axis=1), rel=1e-12)
            if columns == 6:
                assert sums[block, 2] == pytest.approx(out[5, part].sum(), rel=1e-12)


@pytest.mark.parametrize("family", ["typical", "powers", "mixed"])
@pytest.mark.parametrize("off", [-0.3, -0.03, 1e-4, 1e-3, 3e-3, 0.01, 0.1])
def test_odds_of_a_near_duration_lead_to_the_same_answers(family: str, off: float) -> None:
    """However far a first step from there is."""
    for seed in range(10):
        instance = make(family, seed, 1)
        rows, T = rows_of(instance.clients, instance.work).full(), 2.0 * instance.duration
        plan, (_, cold, fresh) = make_plan(rows), priced(rows, T, 4)
        odds, sums, out = priced(rows, T * (1.0 - off), 4)
        price_blocks(plan.kind, plan.columns, plan.priced, T, odds, True, EXACT, sums, out, 0, plan.blocks)
        assert out == pytest.approx(fresh, rel=1e-13)
        assert sums == pytest.approx(cold, rel=1e-13)


@pytest.mark.parametrize(("family", "seed", "longer"), [("wide", 3, 1.0), ("powers", 0, 30.0)])
@pytest.mark.parametrize("why", ["no step is enough", "an energy is no number"])
def test_rows_that_the_quick_path_does_not_finish_go_by_the_careful_one(
    why: str, family: str, seed: int, longer: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same answer, also where a price is a millionth of the powers that are taken off, and odds for the next
    pass; of times that move no derivatives are left."""
    instance = make(family, seed, 9)
    rows, T = rows_of(instance.clients, instance.work).full(), longer * instance.duration
    plan, (odds, sums, out) = make_plan(rows), priced(rows, T, 6)
    assert plan.kind.tolist() == [ORDINARY]
    free = out[4] > 0.0
    inner, one = inside(price_blocks), int(np.flatnonzero(free)[1])
    name, column, which = ("halley_block", 4, slice(None)) if why == "no step is enough" else ("compute_block", 5, one)
    quick = inner[name]

    def failing(*given: Any) -> None:
        quick(*given)
        given[column][which] = np.inf

    monkeypatch.setitem(inner, name, failing)
    again, added, found = np.empty(9), np.empty((1, 3)), np.empty((6, 9))
    run(price_blocks, plan.kind, plan.columns, plan.priced, T, again, False, EXACT, added, found, 0, 1)
    assert found[[0, 1, 2, 3, 5]] == pytest.approx(out[[0, 1, 2, 3, 5]], rel=1e-12)
    assert added == pytest.approx(sums, rel=1e-12)
    assert again == pytest.approx(odds, rel=1e-12)
    assert np.array_equal(np.isnan(found[4]), free if why == "no step is enough" else np.arange(9) == one)


def test_who_has_time_to_spare_gains_nothing_by_more() -> None:
    """Neither price nor curvature, nor do its times move: not even what rounding leaves of equal marginals."""
    instance = make("typical", 1, SIZE)
    powers = {"static_power": np.linspace(0.1, 0.5, SIZE), "circuit_power": np.linspace(0.3, 0.05, SIZE)}
    rows = rows_of(instance.clients.replace(**powers), instance.work)
    T = 1.5 * make_plan(rows).t_flat
    _, sums, out = priced(rows, T, 6)
    assert math.isfinite(T)
    assert not out[3:].any()
    assert not sums[:, 1:].any()


def test_the_price_of_who_does_one_thing_only_falls_as_its_curvature_says() -> None:
    """By central differences; such rows go by the careful path."""
    instance = of_kinds("wide", 2, ["no upload", "no work"] * 20)
    rows, plan = rows_of(instance.clients, instance.work), make_plan(rows_of(instance.clients, instance.work))
    T = instance.duration
    before, here, after = (priced(rows, side * T, 6)[2] for side in (1.0 - 1e-6, 1.0, 1.0 + 1e-6))
    t, tau = here[0], here[1]
    ends = [plan.columns[j] + plan.columns[k] for j, k in ((T_LOW, TAU_LOW), (T_HIGH, TAU_HIGH))]
    smooth = (t + tau > 1.001 * ends[0]) & (t + tau < 0.999 * ends[1]) & (here[3] > 0.0)
    assert smooth[::2].any()
    assert smooth[1::2].any()
    assert here[5][smooth] == pytest.approx(((before[3] - after[3]) / (2e-6 * T))[smooth], rel=1e-4)


def test_behind_a_kink_the_curvature_is_that_of_the_part_that_takes_more_time() -> None:
    """x^2 e^x/(gamma tau) of sending, although computing, at its least speed, would save more by another second."""
    instance, fleet = kinked()
    rows, client = rows_of(instance.clients, instance.work), fleet.clients[0]
    kink, x = float(client.t_of(client.f_min) + client.tau_of(client.x_max)), client.x_max
    curvature = float(x * x * mp.exp(x) / (client.gamma * client.tau_of(x)))
    assert priced(rows, math.nextafter(kink, math.inf), 6)[1][0, 2] == pytest.approx(curvature, rel=1e-12)
    point = dataclasses.replace(reference.allocate(rows, kink), frequency=rows.frequency_min)
    assert newton._curvature(rows, point) == pytest.approx(curvature, rel=1e-9)
