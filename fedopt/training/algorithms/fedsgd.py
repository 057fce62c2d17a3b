"""Federated SGD: a step along the gradient of all samples of those who take part.

Each client takes one step on all its samples; the average of these, weighted by samples, is the server's step
w - rate x sum_k n_k g_k / sum_k n_k. Source: McMahan et al., AISTATS 2017, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedopt.checks import InputError
from fedopt.training.algorithm import LocalSGD
from fedopt.training.algorithms.fedavg import FedAvg


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FedSGD(FedAvg):
    """FedAvg with one epoch of one step. Raises InputError for any other ``local``."""

    local: LocalSGD = field(default_factory=lambda: LocalSGD(epochs=1, batch=None))
    name: str = "fedsgd"

    def __post_init__(self) -> None:
        if self.local.epochs != 1 or self.local.batch is not None:
            found = f"epochs={self.local.epochs}, batch={self.local.batch}"
            raise InputError("FedSGD.local", "epochs=1, batch=None: one step on all samples", found)


ALGORITHM = FedSGD
