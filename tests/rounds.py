"""One round of five clients for the tests of the engines: networks, work, jobs, and all the bits that come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fedopt
from fedopt.training.algorithm import Job, Kind, LocalSGD
from fedopt.training.engines import Work, open_engine
from fedopt.training.engines.sidebyside import possible

SIZES = (7, 12, 5, 20, 12)
FORKS = pytest.mark.skipif(not possible(), reason="this system does not fork processes safely")
MLP = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))
CNN = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
DENSE = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


class Mixed(nn.Module):
    """Entries of many dtypes, one without numbers; ``moving`` is another tensor after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.flags: Any
        self.moving: Any
        self.steps: Any
        self.register_buffer("flags", torch.tensor([True, False, True]))
        self.last = nn.Linear(16, 3)
        self.register_buffer("nothing", torch.zeros(0, 4))
        self.register_buffer("moving", torch.zeros((), dtype=torch.float64))
        self.register_buffer("halves", torch.arange(5, dtype=torch.float16))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x: Any) -> Any:
        self.moving = 0.9 * self.moving + 0.1 * x.double().mean()
        self.steps.add_(1)
        self.flags.logical_not_()
        return self.last(x.flatten(1))


MIXED = Mixed()
DROPPING = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))


def work(module: nn.Module, local: LocalSGD | None = None, *, double: bool = False) -> Work:
    """Five clients of unequal sizes with random pictures of 4 x 4 and three classes."""
    rng = np.random.default_rng(1)
    kind = torch.float64 if double else torch.float32
    images = torch.tensor(rng.normal(size=(sum(SIZES), 1, 4, 4)), dtype=kind)
    labels = torch.tensor(rng.integers(3, size=sum(SIZES)))
    split = np.split(rng.permutation(sum(SIZES)), np.cumsum(SIZES)[:-1])
    kinds = (Kind(footprint=fedopt.SubModel("full", flops=1.0, upload_bits=1.0), module=module),)
    return Work(kinds=kinds, images=images, labels=labels, split=split, local=local or LocalSGD(batch=4), seed=5)


def jobs(given: Work) -> tuple[Job, ...]:
    """Everybody's job."""
    state = {name: value.detach().clone() for name, value in given.kinds[0].module.state_dict().items()}
    return tuple(Job(client=client, kind=0, parameters=state) for client in range(len(given.split)))


def bits(updates: Any) -> list[Any]:
    """All that an engine returns, comparable with ==."""
    return [
        (u.job.client, u.samples, u.loss, [(k, v.dtype, v.shape, v.numpy().tobytes()) for k, v in u.parameters.items()])
        for u in updates
    ]


def ran(name: str, given: Work, round: int = 0, which: Any = slice(None)) -> list[Any]:
    with open_engine(name, given) as engine:
        return bits(engine.run(jobs(given)[which], round))
