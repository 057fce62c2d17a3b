"""The one weighted average of the harness: every algorithm aggregates with these few lines, so their bits agree.

    w + sum_r n_r d_r / sum_r n_r

w is the global value of an entry, the sum runs over the replicas r that have the entry, n_r is the number of samples of
the replica's clients and d_r the mean change w_k - w over those of its clients k that trained the entry. A replica of
one client that trained everything gives McMahan et al.'s FedAvg (AISTATS 2017, algorithm 1); every client a replica of
its own gives the element-wise average of HeteroFL (Diao et al., ICLR 2021) and FedRolex (Alam et al., NeurIPS 2022).

Changes rather than values are summed: where nobody changed an entry it stays the same, whatever the weights. Sums are
in float64 in the order of the replicas, and each step is one elementwise operation, so that no batching of the clients,
memory layout or number of threads changes a bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedopt.training.algorithm import State

Slices = tuple[slice, ...]
Pieces = tuple[tuple[Slices, Slices], ...]  # rectangles of one entry: where they lie in the model, and in the sub-model

WHOLE: Pieces = (((), ()),)


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What one client adds to a replica: its trained ``parameters`` and the ``samples`` they saw.

    pieces : by name, which part of the model's entry the client trained; None, all of every entry.
    """

    parameters: State
    samples: int
    pieces: Mapping[str, Pieces] | None = None

    def of(self, name: str) -> Pieces:
        """The rectangles of an entry that the client trained."""
        return WHOLE if self.pieces is None else self.pieces[name]


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers by name, copied: training the model further does not change them."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def average(parameters: State, replicas: Sequence[Sequence[Share]]) -> dict[str, Tensor]:
    """The model after the round; ``parameters`` is the one before it, each replica the shares of its clients.

    An entry that no returned client trained keeps its value. Whole-number buffers (batch norm's step count) are rounded
    to the nearest. Nothing given is changed.
    """
    return {name: _average_entry(name, value, replicas) for name, value in parameters.items()}


def _average_entry(name: str, value: Tensor, replicas: Sequence[Sequence[Share]]) -> Tensor:
    before = value.double()
    total = torch.zeros_like(before)
    weight = torch.zeros_like(before)
    for shares in replicas:
        trainers = _trainers(name, before, shares)
        samples = sum(share.samples for share in shares)
        for share in shares:
            for target, source in share.of(name):
                each = samples / (trainers if isinstance(trainers, int) else trainers[target])
                change = share.parameters[name][source].double()
                total[target].add_((change - before[target]).mul_(each))
                weight[target].add_(each)
    mean = before + total / weight
    mean = mean if value.is_floating_point() else mean.round()
    return torch.where(weight > 0.0, mean.to(value.dtype), value)


def _trainers(name: str, like: Tensor, shares: Sequence[Share]) -> int | Tensor:
    """How many of a replica's clients trained each number of an entry; where none did, it is not read."""
    if len(shares) == 1:
        return 1
    count = torch.zeros_like(like)
    for share in shares:
        for target, _ in share.of(name):
            count[target].add_(1.0)
    return count
