"""The one weighted average of the harness: every algorithm aggregates with these few lines, so their bits agree.

    w + sum_r n_r d_r / sum_r n_r

w is the global value of an entry, the sum runs over the replicas r that have the entry, n_r is the number of samples of
the replica's clients and d_r the mean change w_k - w over those of its clients k that trained the entry. A replica of
one client that trained everything gives McMahan et al.'s FedAvg (AISTATS 2017, algorithm 1); every client a replica of
its own gives the element-wise average of HeteroFL (Diao et al., ICLR 2021) and FedRolex (Alam et al., NeurIPS 2022).

Changes rather than values are summed: where nobody changed an entry it stays the same, whatever the weights. Sums are
in float64 in the order of the replicas, and each step is one elementwise operation, so that no batching of the clients,
memory layout or number of threads changes a bit. One thread it is: two gain little, and among other busy processes
each step waits for the later of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedopt.training.algorithm import State
from fedopt.training.engines.work import repeatable

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


@repeatable()
def average(parameters: State, replicas: Sequence[Sequence[Share]]) -> dict[str, Tensor]:
    """The model after the round; ``parameters`` is the one before it, each replica the shares of its clients.

    An entry that no returned client trained keeps its value. Whole-number buffers (batch norm's step count) are rounded
    to the nearest. Nothing given is changed.
    """
    return {name: _average_entry(name, value, replicas) for name, value in parameters.items()}


def _average_entry(name: str, value: Tensor, replicas: Sequence[Sequence[Share]]) -> Tensor:
    before = value.double()
    total, change = torch.zeros_like(before), torch.empty_like(before)
    counted = _weigh_whole if all(_is_whole(name, value, share) for each in replicas for share in each) else _weigh
    weight = counted(name, before, replicas, total, change)
    mean = total.div_(weight).add_(before)
    mean = mean if value.is_floating_point() else mean.round_()
    return torch.where(weight > 0.0, mean.to(value.dtype), value)


def _weigh_whole(
    name: str, before: Tensor, replicas: Sequence[Sequence[Share]], total: Tensor, change: Tensor
) -> Tensor:
    """_weigh() where every client trained all of the entry: one weight for all of its numbers."""
    weight = 0.0
    for shares in replicas:
        each = sum(share.samples for share in shares) / max(len(shares), 1)
        for share in shares:
            total.add_(change.copy_(share.parameters[name]).sub_(before).mul_(each))
            weight += each
    return torch.tensor(weight, dtype=torch.float64)


def _weigh(name: str, before: Tensor, replicas: Sequence[Sequence[Share]], total: Tensor, change: Tensor) -> Tensor:
    """Add sum_r n_r d_r to ``total``; sum_r n_r, number by number. ``change`` is room to work in."""
    weight = torch.zeros_like(before)
    for shares in replicas:
        trainers = _trainers(name, before, shares)
        samples = sum(share.samples for share in shares)
        for share in shares:
            for target, source in share.of(name):
                each = samples / (trainers if isinstance(trainers, int) else trainers[target])
                own = change[target].copy_(share.parameters[name][source]).sub_(before[target])
                total[target].add_(own.mul_(each))
                weight[target].add_(each)
    return weight


def _is_whole(name: str, value: Tensor, share: Share) -> bool:
    """Whether a client trained all of an entry, in its order."""
    return len(share.of(name)) == 1 and share.parameters[name].shape == value.shape


def _trainers(name: str, like: Tensor, shares: Sequence[Share]) -> int | Tensor:
    """How many of a replica's clients trained each number of an entry; where none did, it is not read."""
    if len(shares) == 1:
        return 1
    count = torch.zeros_like(like)
    for share in shares:
        for target, _ in share.of(name):
            count[target].add_(1.0)
    return count
