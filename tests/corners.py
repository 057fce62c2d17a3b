"""A small fleet and its problems, for the tests of corners."""

from __future__ import annotations

from typing import Any

import numpy as np

import fedopt
from fedopt import (
    EnergyBudget,
    Problem,
)

ONE = {"frequency_min": 1e8, "frequency_max": 1e9, "samples": 100.0, "channel_gain": 1e-11, "bandwidth": 1e6}
TYPES = (
    fedopt.SubModel("L", flops=3e7, upload_bits=4e5),
    fedopt.SubModel("S", flops=1e7, upload_bits=2e5, cover=2),
)


def fleet(size: int = 4, **changes: Any) -> fedopt.Clients:
    return fedopt.Clients(**{**ONE, "samples": np.linspace(100.0, 200.0, size), **changes})


def problem_of(budget: Any = None, **more: Any) -> Problem:
    return Problem(fleet(), TYPES, budget=budget or EnergyBudget(2.0), **more)
