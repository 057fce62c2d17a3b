"""Clients stacked: the weights of many clients as one tensor, a step of all of them by one call per operation.

For networks so small that a step is mostly the time of the calls. On the CPU a stack's weights stay in a cache, which
bounds its height. Only networks whose step is written out (dense.py) are stacked. A batched product may round otherwise
than a single one, so its bits are its own; they are the same whoever else is in the stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedopt.checks import InputError
from fedopt.training.algorithm import Job, Kind, Update
from fedopt.training.dense import Layer, descend, names_of
from fedopt.training.engines.work import Done, Work, repeatable
from fedopt.training.local import checked, order, rate

_ROOM = {"cpu": 2**18, "cuda": 2**27}  # numbers of a stack: 1 MB of float32, and half a GB
_MOST = 64


class Stacked:
    """Trains the jobs of a kind in stacks, clients of about as many samples together."""

    name = "stacked"

    def __init__(self, work: Work, done: Done | None = None) -> None:
        for kind in work.kinds:
            if not height(kind, work.device):
                expected = "'plain' or 'sidebyside', or a Sequential of Flatten, Linear and ReLU"
                raise InputError("engine", expected, f"'stacked' and {type(kind.module).__name__}")
        self.work, self.done = work, done
        self.images = work.images.flatten(1).to(work.device)
        self.labels = work.labels.to(work.device)

    def run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        """Train every job; the updates in the order of the jobs. Raises Diverged."""
        updates: dict[int, Update] = {}
        with repeatable(self.work.device):
            for index, kind in enumerate(self.work.kinds):
                mine = [position for position, job in enumerate(jobs) if job.kind == index]
                mine.sort(key=lambda position: len(self.work.split[jobs[position].client]))
                most = height(kind, self.work.device)
                for stack in (mine[first : first + most] for first in range(0, len(mine), most)):
                    found = self._train([jobs[position] for position in stack], names_of(kind.module), round)
                    updates |= zip(stack, found, strict=True)
        return tuple(updates[position] for position in range(len(jobs)))

    def _train(self, jobs: Sequence[Job], names: Sequence[str], round: int) -> list[Update]:
        """One stack."""
        local, split = self.work.local, [self.work.split[job.client] for job in jobs]
        layers: list[Layer] = [
            (self._stack(jobs, f"{name}.weight"), self._stack(jobs, f"{name}.bias")) for name in names
        ]
        turns = [
            order(len(own), local, job.client, round, self.work.seed) for own, job in zip(split, jobs, strict=True)
        ]
        total, by = torch.zeros(len(jobs), dtype=torch.float64, device=self.work.device), rate(local, round)
        steps = np.zeros(len(jobs))
        for epoch in range(local.epochs):
            indices, weights = table([own[turn[epoch]] for own, turn in zip(split, turns, strict=True)], local.batch)
            steps += weights.any(axis=2).sum(axis=0)
            sizes = torch.from_numpy(weights).to(self.images)
            for rows, each in zip(torch.from_numpy(indices).to(self.labels), sizes, strict=True):
                total += descend(layers, self.images[rows], self.labels[rows], each, by)
        updates = []
        for position, (job, own) in enumerate(zip(jobs, split, strict=True)):
            parameters = {
                f"{name}.{leaf}": value[position].to("cpu", copy=True)
                for name, layer in zip(names, layers, strict=True)
                for leaf, value in zip(("weight", "bias"), layer, strict=True)
            }
            loss = checked(job, round, float(total[position]), int(steps[position]))
            updates.append(Update(job=job, parameters=parameters, samples=len(own), loss=loss))
            if self.done is not None:
                self.done(updates[-1])
        return updates

    def _stack(self, jobs: Sequence[Job], name: str) -> Tensor:
        return torch.stack([job.parameters[name] for job in jobs]).to(self.work.device)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Stacked:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def height(kind: Kind, device: str) -> int:
    """How many clients of a kind make a stack; 0 where its step is not written out."""
    if not names_of(kind.module):
        return 0
    return max(1, min(_MOST, _ROOM[device] // sum(value.numel() for value in kind.module.parameters())))


def table(samples: Sequence[NDArray[np.int64]], batch: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The samples (steps, clients, batch) of every step of an epoch, and what they weigh in the step's mean loss.

    samples : of each client, in their order. Where a client has no sample left the weight is 0.
    """
    batch = batch or max(1, *map(len, samples))
    steps = -(-max(map(len, samples)) // batch)
    indices = np.zeros((len(samples), steps * batch), dtype=np.int64)
    weights = np.zeros((len(samples), steps * batch))
    for client, own in enumerate(samples):
        whole = len(own) // batch * batch
        indices[client] = own[0] if len(own) else 0
        indices[client, : len(own)] = own
        weights[client, :whole] = 1.0 / batch
        weights[client, whole : len(own)] = 1.0 / max(len(own) - whole, 1)
    shape = (len(samples), steps, batch)
    return indices.reshape(shape).swapaxes(0, 1), weights.reshape(shape).swapaxes(0, 1)


ENGINE = Stacked
