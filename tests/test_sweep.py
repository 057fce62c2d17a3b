"""The compiled sweep of level 3: sums over all rows, of every kind, block by block."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fleets import FAMILIES, KINDS, Instance, make, of_kinds

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.plan import make_plan


def priced(instance: Instance, T: float, tolerance: float = EXACT) -> tuple[np.ndarray, np.ndarray]:
    """Of the kernel: (3,) sums of energy, price and its slope over all blocks; (5, N) t, tau, energy, price, odds."""
    plan = make_plan(rows_of(instance.clients, instance.work))
    sums, out = np.empty((plan.blocks, 3)), np.zeros((5, plan.size))
    price_blocks(plan.kind, plan.columns, plan.priced, T, out[4], False, tolerance, sums, out[:4], 0, plan.blocks)
    return sums.sum(axis=0), out


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


@pytest.mark.parametrize("family", FAMILIES)
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
@pytest.mark.parametrize("first", [True, False])
def test_a_row_that_cannot_meet_the_duration_costs_the_sweep_endless_energy(kind: str, first: bool) -> None:
    kinds = [kind, "both"] if first else ["both", kind]
    instance = of_kinds("typical", 12, kinds)
    late = instance.clients.replace(overhead=np.array([2.0, 0.0])[:: 1 if first else -1] * instance.duration)
    sums, out = priced(Instance(late, instance.work, instance.duration), instance.duration)
    assert sums[0] == math.inf
    assert (out[2] == math.inf).tolist() == [first, not first]
