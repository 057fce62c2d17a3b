"""The compiled sweep of level 3 and the plan it reads: sums over all rows, of every kind, block by block."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fleets import ORDINARY, Instance, make
from mpmath import mpf
from oracle import Fleet, marginal

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import ANCHOR, BLOCK, FIXED, NO_UPLOAD, NO_WORK, T_LOW, TAU_LOW
from solvers.blocks import ORDINARY as ORDINARY_ROW
from solvers.plan import feasible_rows, make_plan
from solvers.plan import rows_of as rows_in
from solvers.rows import ROUNDING

KINDS = {"both": (1.0, 1.0), "no upload": (1.0, 0.0), "no work": (0.0, 1.0), "only a download": (0.0, 0.0)}


def priced(instance: Instance, T: float, tolerance: float = EXACT) -> tuple[np.ndarray, np.ndarray]:
    """Of the kernel: (3,) sums of energy, price and its slope over all blocks; (5, N) t, tau, energy, price, odds."""
    plan = make_plan(rows_of(instance.clients, instance.work))
    sums, out = np.empty((plan.blocks, 3)), np.zeros((5, plan.size))
    price_blocks(plan.kind, plan.columns, plan.priced, T, out[4], False, tolerance, sums, out, 0, plan.blocks)
    return sums.sum(axis=0), out


def of_kinds(family: str, seed: int, kinds: list[str]) -> Instance:
    """An instance whose clients do these things, and all receive something."""
    instance = make(family, seed, len(kinds))
    cycles, bits = np.array([KINDS[kind] for kind in kinds]).T * (instance.work.cycles, instance.work.upload_bits)
    if not cycles.any() and not bits.any():  # one number for all
        cycles, bits = 0.0, 0.0
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=1e-3)
    return Instance(instance.clients, work, instance.duration)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
@pytest.mark.parametrize(
    "kinds", [*itertools.product(KINDS, KINDS), [*KINDS] * 75], ids=lambda kinds: "-".join(kinds[:2])
)
def test_a_sweep_sums_what_each_of_its_rows_is_by_the_reference(family: str, kinds: list[str]) -> None:
    """Two of any kinds, and three hundred of all; the slope of the price by a difference of prices."""
    instance = of_kinds(family, 11, kinds)
    T = 1.2 * instance.duration
    (energy, price, curve), (t, tau, *_) = priced(instance, T)
    found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation="reference")
    np.testing.assert_allclose(t, found.compute_time, rtol=1e-11)
    np.testing.assert_allclose(tau, found.upload_time, rtol=1e-11)
    assert energy == pytest.approx(found.energy.sum(), rel=1e-12)
    assert price == pytest.approx(found.price.sum(), rel=1e-9)
    h = 1e-5
    early, late = priced(instance, T * (1.0 - h))[0][1], priced(instance, T * (1.0 + h))[0][1]
    assert curve == pytest.approx((early - late) / (2.0 * h * T), rel=1e-6, abs=1e-9 * price / T)


@pytest.mark.parametrize("family", ORDINARY)
def test_a_step_from_the_rough_start_is_all_but_there(family: str) -> None:
    """ln(t/tau) after single precision and one Halley step in double: 1e-4 for all, 1e-7 for most."""
    off = []
    for seed in range(3):
        instance = make(family, seed, 40)
        first, last = (priced(instance, instance.duration, tolerance)[1] for tolerance in (1e9, EXACT))
        inside = (last[3] > 0.0) & (instance.work.cycles > 0.0) & (instance.work.upload_bits > 0.0)
        off.append(np.abs(np.log(first[4, inside] / last[4, inside])))
    assert np.concatenate(off).size > 30
    assert np.concatenate(off).max() < 1e-4
    assert np.quantile(np.concatenate(off), 0.9) < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_who_all_do_the_same_are_planned_by_one_number(kind: str) -> None:
    """What a client without work or upload computes or sends at, which costs no time, is where its marginal is met."""
    cycles, bits = np.array(KINDS[kind]) * (1e8, 1e6)
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, static_power=0.01, samples=1, channel_gain=[1e-9, 1e-10], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=1e5)
    assert make_plan(rows_of(clients, work)).kind.shape == (1,)
    found, truth = (fedopt.allocate(clients, work, duration=5.0, allocation=m) for m in ("kernel", "reference"))
    np.testing.assert_allclose(found.frequency, truth.frequency, rtol=1e-9)
    np.testing.assert_allclose(found.rate, truth.rate, rtol=1e-9)
    assert np.all(found.frequency >= 1e8)
    assert found.feasible.all()


@pytest.mark.parametrize("static", [0.0, 0.01, [0.0, 0.01, 0.0]])
@pytest.mark.parametrize("circuit", [0.0, 0.1, [0.0, 0.1, 0.0]])
def test_a_plan_knows_the_least_duration_and_energy_of_all(static: object, circuit: object) -> None:
    """Powers of nobody, of all and of some, next to columns that are one number and columns that are not."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, static_power=static, circuit_power=circuit, samples=1,
        channel_gain=[1e-9, 1e-10, 1e-11], bandwidth=1e6,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[1e8, 3e8, 2e8], upload_bits=[1e6, 1e5, 1e6], download_bits=1e5)
    plan, fleet = make_plan(rows_of(clients, work)), Fleet(clients, work)
    assert plan.t_min == pytest.approx(float(fleet.t_min), rel=1e-14)
    assert plan.e_inf == pytest.approx(float(fleet.e_inf), rel=1e-13)


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
def test_a_plan_made_in_chunks_is_the_same_plan(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make(family, 9, 3 * BLOCK + 5)
    whole = make_plan(rows_of(instance.clients, instance.work))
    for name in ("plan", "threads"):
        monkeypatch.setattr(f"solvers.{name}.CHUNK", 1)
    chunks = make_plan(rows_of(instance.clients, instance.work))
    assert (chunks.t_min, chunks.t_flat) == (whole.t_min, whole.t_flat)
    assert chunks.e_inf == pytest.approx(whole.e_inf, rel=1e-14)
    assert whole.t_min == pytest.approx(float(Fleet(instance.clients, instance.work).t_min), rel=1e-14)
    for one, other in zip(chunks.columns, whole.columns, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_anchor_of_a_plan_is_a_time_that_no_interior_optimum_passes() -> None:
    """2 kappa f^3 - P_s = F(x)/gamma - P_c, F and f positive: t^3 < 2 kappa W^3/(P_s - P_c), F > gamma (P_c - P_s)."""
    checked = 0
    for seed in range(3):
        instance = make("powers", seed, 20)
        anchors = make_plan(rows_of(instance.clients, instance.work)).columns[ANCHOR]
        for n, client in enumerate(Fleet(instance.clients, instance.work).clients):
            anchor, more = mpf(float(anchors[n])), client.P_s - client.P_c
            if more > 0:
                assert abs(anchor**3 - 2 * client.kappa * client.W**3 / more) <= mpf("1e-14") * anchor**3
            elif more < 0:
                assert abs(marginal(client.a / anchor) + client.gamma * more) <= mpf("1e-12") * client.gamma * -more
            best = client.least(instance.duration)
            if more and client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max:
                assert (best.t if more > 0 else best.tau) < anchor
                checked += 1
    assert checked >= 5


@pytest.mark.parametrize("kinds", [["both", "both"], ["both", "no work", "both", "no upload"]])
def test_a_plan_finds_the_rows_of_some_kinds(kinds: list[str]) -> None:
    instance = of_kinds("typical", 11, kinds)
    plan, everyone = make_plan(rows_of(instance.clients, instance.work)), np.arange(len(kinds))
    for numbers, names in (((ORDINARY_ROW,), {"both"}), ((NO_WORK, NO_UPLOAD), {"no work", "no upload"})):
        found = everyone[rows_in(plan, *numbers)].tolist()
        assert found == [n for n, kind in enumerate(kinds) if kind in names]


def test_a_plan_knows_who_meets_a_duration_to_the_last_bit() -> None:
    """1e-15 below the least duration, both being rounded, still meets it."""
    instance = make("typical", 3, 4)
    plan = make_plan(rows_of(instance.clients, instance.work))
    least = plan.columns[FIXED] + (plan.columns[T_LOW] + plan.columns[TAU_LOW])
    for n, bound in enumerate(least * ROUNDING):
        assert feasible_rows(plan, bound)[n]
        assert not feasible_rows(plan, math.nextafter(bound, 0.0))[n]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False])
def test_a_row_that_cannot_meet_the_duration_costs_the_sweep_endless_energy(kind: str, first: bool) -> None:
    kinds = [kind, "both"] if first else ["both", kind]
    instance = of_kinds("typical", 12, kinds)
    late = instance.clients.replace(overhead=np.array([2.0, 0.0])[:: 1 if first else -1] * instance.duration)
    sums, out = priced(Instance(late, instance.work, instance.duration), instance.duration)
    assert sums[0] == math.inf
    assert (out[2] == math.inf).tolist() == [first, not first]
