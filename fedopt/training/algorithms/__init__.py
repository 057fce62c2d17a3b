"""Federated algorithms, one per file, looked up by their literal name."""

from __future__ import annotations

from fedopt.training.algorithm import Algorithm
from solvers.lookup import Methods

ALGORITHMS: Methods[type[Algorithm]] = Methods(
    "algorithm",
    {
        "fedavg": ("fedopt.training.algorithms.fedavg", ""),
        "fedsgd": ("fedopt.training.algorithms.fedsgd", ""),
        "mfl": ("fedopt.training.algorithms.mfl", ""),
        "nested": ("fedopt.training.algorithms.nested", ""),
        "rolling": ("fedopt.training.algorithms.rolling", ""),
    },
    "ALGORITHM",
)
