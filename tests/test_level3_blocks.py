"""Level 3, block after block: rows of the second block are its own."""

from __future__ import annotations

import numpy as np
import pytest
from fleets import of_kinds

from fedopt.rounds import rows_of
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import BLOCK
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
