"""Federated averaging: everybody trains the whole model, the server averages what comes back, weighted by samples.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedopt.training.algorithm import Job, Kind, LocalSGD, Server, Update
from fedopt.training.average import Share, average, snapshot
from fedopt.training.footprint import footprint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FedAvg:
    """One kind, "full". Clients with assignment -1 (idle places, or not drawn this round) do not train."""

    local: LocalSGD = field(default_factory=LocalSGD)
    name: str = "fedavg"

    def kinds(self, model: nn.Module, shape: tuple[int, ...]) -> tuple[Kind, ...]:
        """The model itself."""
        return (Kind(footprint=footprint("full", model, shape), module=model),)

    def init(self, model: nn.Module) -> Server:
        """The server before the first round."""
        return Server(round=0, parameters=snapshot(model))

    def jobs(self, server: Server, assignment: NDArray[np.int64]) -> tuple[Job, ...]:
        """A job for each client that trains, all from the server's parameters."""
        clients = np.flatnonzero(assignment == 0).tolist()
        return tuple(Job(client=client, kind=0, parameters=server.parameters) for client in clients)

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        """The weighted average of what came back."""
        replicas = [[Share(update.parameters, update.samples)] for update in updates]
        return replace(server, round=server.round + 1, parameters=average(server.parameters, replicas))


ALGORITHM = FedAvg
