"""A small run for the tests of the harness: eight phones, digits, MFL, and a plain loop as the engine."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import fedopt
from fedopt.devices import phones64
from fedopt.training.algorithm import Job, LocalSGD, Update
from fedopt.training.algorithms.mfl import MFL
from fedopt.training.data import Dataset, digits
from fedopt.training.history import History, Row
from fedopt.training.models import build
from fedopt.training.run import run
from fedopt.training.splits import Split, iid

CLIENTS = 8
LOCAL = LocalSGD(epochs=1, batch=10, rate=0.1, decay=0.99)


@cache
def data() -> Dataset:
    """A fifth of the digits, enough to learn from in a test."""
    whole = digits(0)
    halves = [(half.images[:count], half.labels[:count]) for half, count in ((whole.train, 320), (whole.test, 200))]
    return Dataset.of(halves[0], halves[1], name="digits", classes=10)


def model() -> nn.Module:
    return build("paper_cnn", (1, 8, 8), 10, seed=3)


def split() -> Split:
    return iid(data().train.labels.numpy(), CLIENTS, seed=1)


def problem(algorithm: Any, budget: Any = None, **more: Any) -> fedopt.Problem:
    types = [kind.footprint for kind in algorithm.kinds(model(), data().shape)]
    fleet = phones64(faded=False).take(slice(0, 64, 64 // CLIENTS))
    return fedopt.Problem(fleet, types, budget=budget or fedopt.PowerBudget(2.5), **more)


def plain_loop(algorithm: Any, seed: int = 0) -> Callable[[Sequence[Job], int], list[Update]]:
    """Client after client, step after step; the order of a client's samples is drawn from (seed, round, client)."""
    kinds, parts, train = algorithm.kinds(model(), data().shape), split(), data().train

    def one(job: Job, index: int) -> Update:
        network = copy.deepcopy(kinds[job.kind].module)
        network.load_state_dict(dict(job.parameters))
        optimiser = torch.optim.SGD(network.parameters(), lr=algorithm.local.rate * algorithm.local.decay**index)
        own = torch.as_tensor(parts.clients[job.client].copy())
        draw = torch.Generator().manual_seed(1_000_003 * seed + 1009 * index + job.client)
        losses = []
        for _ in range(algorithm.local.epochs):
            for batch in own[torch.randperm(len(own), generator=draw)].split(algorithm.local.batch):
                optimiser.zero_grad()
                loss = functional.cross_entropy(network(train.images[batch]), train.labels[batch])
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
        parameters = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return Update(job=job, parameters=parameters, samples=len(own), loss=sum(losses) / len(losses))

    return lambda jobs, index: [one(job, index) for job in jobs]


def lesson(rounds: int = 4, **more: Any) -> History:
    """A run of the small kind, options of ``run`` changed at will."""
    algorithm = more.pop("algorithm", MFL(local=LOCAL))
    given = more.pop("problem", problem(algorithm))
    settings = {"split": split(), "seed": 5, "fading": "rayleigh", "engine": plain_loop(algorithm), **more}
    return run(given, algorithm, model(), data(), rounds=rounds, **settings)


def timeless(rows: Sequence[Row]) -> list[Row]:
    """Rows without the seconds of real time, which no two runs share."""
    return [dataclasses.replace(row, solving=0.0, training=0.0) for row in rows]
