"""Algorithms in which the clients of a type all train one window of each layer's filters, entries averaged alone."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedopt.checks import InputError, number
from fedopt.training.algorithm import Job, Kind, LocalSGD, Server, Update
from fedopt.training.average import Share, average, snapshot
from fedopt.training.chain import Chain, follow
from fedopt.training.cutting import Window, cut, extract, pieces
from fedopt.training.footprint import footprint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windowed(ABC):
    """What HeteroFL and FedRolex share; they differ in ``windows`` alone.

    widths : the share of each layer's filters that a type has, in (0, 1], from the largest type to the smallest; the
    default is HeteroFL's levels a to e. Raises InputError for others.

    No number of small types makes a replica in MFL's sense, as all of a type train the same filters in a round. The
    ``cover`` of a type is ceil(1 / width), our choice: so many sub-models have as many filters as the model, whichever
    they are, and count as one replica. With 1, as if a small sub-model were a model, the best partition would be the
    smallest type for everybody.
    """

    local: LocalSGD = field(default_factory=LocalSGD)
    widths: Sequence[float] = (1.0, 0.5, 0.25, 0.125, 0.0625)
    name: str

    def __post_init__(self) -> None:
        owner = f"{type(self).__name__}.widths"
        checked = [number(f"{owner}[{index}]", width) for index, width in enumerate(self.widths)]
        if not checked or max(checked) > 1.0 or any(b >= a for a, b in itertools.pairwise(checked)):
            raise InputError(owner, "falling numbers above 0 and at most 1, one or more", f"{tuple(checked)}"[:80])

    @abstractmethod
    def windows(self, chain: Chain, width: float, turn: int) -> tuple[Window, ...]:
        """The filters of each layer that a type trains in round ``turn``."""

    def kinds(self, model: nn.Module, shape: tuple[int, ...]) -> tuple[Kind, ...]:
        """The types cut from ``model``, named by their widths; raises InputError where it cannot be cut."""
        chain = follow(model)
        return tuple(self._kind(model, chain, width, shape) for width in self.widths)

    def _kind(self, model: nn.Module, chain: Chain, width: float, shape: tuple[int, ...]) -> Kind:
        module = cut(model, chain, [window.size for window in self.windows(chain, width, 0)], shape)
        cost = footprint(f"width {width:g}", module, shape, cover=math.ceil(1.0 / width))
        return Kind(footprint=cost, module=module)

    def init(self, model: nn.Module) -> Server:
        """The server before the first round; its extra has the chain of the model's layers."""
        return Server(round=0, parameters=snapshot(model), extra={"chain": follow(model).document()})

    def jobs(self, server: Server, assignment: NDArray[np.int64]) -> tuple[Job, ...]:
        """A job for each client with a type, views of the server's parameters; its place is the pieces it trains."""
        chain = Chain.from_document(server.extra["chain"])
        kept = [pieces(chain, self.windows(chain, width, server.round)) for width in self.widths]
        cuts = [extract(server.parameters, piece) for piece in kept]
        return tuple(
            Job(client=client, kind=k, parameters=cuts[k], place=kept[k])
            for client, k in enumerate(assignment.tolist())
            if k >= 0
        )

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        """Every entry the mean over the clients that trained it, by their samples; untrained ones keep their value."""
        shares = [(Share(update.parameters, update.samples, update.job.place),) for update in updates]
        return replace(server, round=server.round + 1, parameters=average(server.parameters, shares))
