"""Units of what is no column of a device table: energies, sizes of models, distances."""

from __future__ import annotations

import pytest

from fedopt import units

PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3}


@pytest.mark.parametrize(
    ("si", "bases"),
    [
        ("J", {"J": 1.0, "Wh": 3600.0}),
        ("bit", {"bit": 1.0, "B": 8.0}),
        ("FLOP/sample", {"FLOP/sample": 1.0}),
        ("m", {"m": 1.0}),
    ],
)
def test_every_unit_is_a_decimal_prefix_and_a_base_of_known_size(si: str, bases: dict[str, float]) -> None:
    """Scenarios give budgets, models and cells in them; a column of clients meets none."""
    assert set(bases) & set(units.allowed(si))
    for unit in units.allowed(si):
        base = next(base for base in bases if unit.endswith(base))
        assert float(units.to_si(1.0, unit, si)) == PREFIXES[unit.removesuffix(base)] * bases[base]
