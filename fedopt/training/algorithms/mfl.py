"""Module-based federated learning: complementary sub-models, blocks that rotate, replicas rebuilt and averaged.

Source: Yu & Li, "Toward Resource-Efficient Federated Learning in Mobile Edge Computing", IEEE Network 35(1), 2021. What
the article leaves open is decided here and said below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedopt.checks import InputError, choice, kind
from fedopt.training.algorithm import Job, Kind, LocalSGD, Server, Update
from fedopt.training.average import Pieces, Share, average, snapshot
from fedopt.training.chain import Chain, follow
from fedopt.training.cutting import cut, every_combination, extract, least_cover, part, pieces, splits_of
from fedopt.training.footprint import footprint

# 16-32-32-10, 16-16-32-10, 16-16-16-10 and 8-16-16-10 filters of the paper's CNN.
PAPER: Mapping[str, tuple[int, ...]] = {"L": (1, 1, 1), "M": (1, 2, 1), "S": (1, 2, 2), "T": (2, 2, 2)}


class Place(NamedTuple):
    """Which replica of its kind a client belongs to, and which pieces of the model it trains in it."""

    replica: int
    kept: Mapping[str, Pieces]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MFL:
    """The algorithm of the published experiment.

    types : splits (s_1..s_L) of the model's layers but the last, by name, from the largest type to the smallest.
    covers : "every", a replica has a sub-model for each combination of parts, s_1 ... s_L of them; "least", the fewest
    that have every block between neighbouring layers. average : "replicas", as published; "entries", every client
    counts for itself, as in HeteroFL.

    - The clients of a type, in their order, make a replica for each ``cover`` of them. The last replica may be short.
    - In round t the j-th client of a replica has the (j + t)-th sub-model, cyclically: after ``cover`` rounds with the
      same assignment each has trained every sub-model once.
    - A replica weighs as much as its clients' samples. A block that several of its clients trained is their mean; one
      that nobody trained, its client having failed to return or the replica being short, is left out: the other
      replicas decide it, and without any it keeps its value.

    With everybody on a type of splits 1 this is FedAvg, to the bit. Raises InputError for options that are none.
    """

    local: LocalSGD = field(default_factory=LocalSGD)
    types: Mapping[str, Sequence[int]] = field(default_factory=lambda: PAPER)
    covers: str = "every"
    average: str = "replicas"
    name: str = "mfl"

    def __post_init__(self) -> None:
        choice("MFL.covers", self.covers, ("every", "least"))
        choice("MFL.average", self.average, ("replicas", "entries"))
        kind("MFL.types", self.types, Mapping, "splits by the name of the type")
        if not self.types:
            raise InputError("MFL.types", "one type or more", "none")

    def kinds(self, model: nn.Module, shape: tuple[int, ...]) -> tuple[Kind, ...]:
        """The types cut from ``model``; raises InputError where it cannot be cut so, or a smaller type comes first."""
        chain = follow(model)
        result: list[Kind] = []
        for name, splits in self.types.items():
            checked = splits_of(chain, f"MFL.types[{name!r}]", splits)
            module = cut(model, chain, [g // s for g, s in zip(chain.filters, checked, strict=True)], shape)
            cost = footprint(name, module, shape, cover=len(self.parts(checked)))
            if result and cost.flops > result[-1].footprint.flops:
                found = f"{name!r} behind {result[-1].footprint.name!r}, which is smaller"
                raise InputError("MFL.types", "types from the largest to the smallest", found)
            result.append(Kind(footprint=cost, module=module))
        return tuple(result)

    def init(self, model: nn.Module) -> Server:
        """The server before the first round; its extra has the chain of the model's layers."""
        chain = follow(model)
        for name, splits in self.types.items():
            splits_of(chain, f"MFL.types[{name!r}]", splits)
        return Server(round=0, parameters=snapshot(model), extra={"chain": chain.document()})

    def jobs(self, server: Server, assignment: NDArray[np.int64]) -> tuple[Job, ...]:
        """A job for each client with a type; the parameters are views of the server's."""
        chain = Chain.from_document(server.extra["chain"])
        result = []
        for index, splits in enumerate(self.types.values()):
            kept = [pieces(chain, part(chain, splits, parts)) for parts in self.parts(splits)]
            cuts = [extract(server.parameters, piece) for piece in kept]
            for position, client in enumerate(np.flatnonzero(assignment == index).tolist()):
                replica, seat = divmod(position, len(kept))
                turn = (seat + server.round) % len(kept)
                place = Place(replica, kept[turn])
                result.append(Job(client=client, kind=index, parameters=cuts[turn], place=place))
        return tuple(sorted(result, key=lambda job: job.client))

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        """The replicas rebuilt from what came back, and averaged."""
        replicas: dict[tuple[int, ...], list[Share]] = {}
        for update in updates:
            job = update.job
            key = (job.kind, job.place.replica) if self.average == "replicas" else (job.client,)
            share = Share(update.parameters, update.samples, job.place.kept)
            replicas.setdefault(key, []).append(share)
        parameters = average(server.parameters, list(replicas.values()))
        return replace(server, round=server.round + 1, parameters=parameters)

    def parts(self, splits: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The part vectors of a type's sub-models, in the order in which they rotate."""
        return least_cover(splits) if self.covers == "least" else every_combination(splits)


ALGORITHM = MFL
