"""Level 3, the least energy of every row for a duration: one file per method, looked up by its literal name."""

from __future__ import annotations

from solvers.lookup import Methods
from solvers.rows import Allocate

METHODS: Methods[Allocate] = Methods(
    "allocation",
    {
        "kernel": ("solvers.allocation.kernel", ""),
        "reference": ("solvers.allocation.reference", ""),
        "scipy": ("solvers.allocation.scipy", ""),
        "cvxpy": ("solvers.allocation.cvxpy", "baselines"),
    },
    "allocate",
)
