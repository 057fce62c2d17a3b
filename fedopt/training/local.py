"""What one client does in one round: stochastic gradient descent on its own samples, the same bits in every engine."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedopt.training import dense
from fedopt.training.algorithm import Job, LocalSGD, Update


class Diverged(ArithmeticError):
    """A client's loss is no number any more: ``client`` from 0 on, ``round`` from 1 on, the mean ``loss`` found."""

    def __init__(self, client: int, round: int, loss: float) -> None:
        self.client, self.round, self.loss = client, round, loss
        super().__init__(
            f"client {client}, round {round}: expected a finite loss, found {loss}; lower the learning rate"
        )

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, int, float]]:
        return type(self), (self.client, self.round, self.loss)


def scratch(module: nn.Module, device: str | torch.device = "cpu") -> nn.Module:
    """A copy of a kind's module to train clients in, one after another; convolutions get the CPU's faster layout."""
    network = copy.deepcopy(module).to(device).train()
    if device == "cpu" and any(isinstance(part, nn.Conv2d) for part in network.modules()):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def order(samples: int, local: LocalSGD, client: int, round: int, seed: int) -> list[NDArray[np.int64]]:
    """The order of a client's samples in each epoch, from (seed, round, client) and nothing else; shape (samples,).

    With all samples in one step there is no order, and none is drawn.
    """
    if local.batch is None:
        return [np.arange(samples)] * local.epochs
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(round, client))))
    return [rng.permutation(samples) for _ in range(local.epochs)]


def rate(local: LocalSGD, round: int) -> float:
    """The learning rate of a round."""
    return local.rate * local.decay**round


def train(
    job: Job, network: nn.Module, images: Tensor, labels: Tensor, local: LocalSGD, round: int, seed: int
) -> Update:
    """What comes back of a client's learn()."""
    loss = learn(job, network, images, labels, local, round, seed)
    return Update(job=job, parameters=result(network), samples=len(labels), loss=loss)


def learn(
    job: Job, network: nn.Module, images: Tensor, labels: Tensor, local: LocalSGD, round: int, seed: int
) -> float:
    """One client's round: w <- w - rate x gradient of the mean cross-entropy, batch after batch, the last one short.

    Returns the mean loss of the steps; the network has the trained parameters.

    network : from scratch(), overwritten with the job's parameters and then trained. images (n, ...), labels (n,) : the
    client's own samples. What the network draws (dropout) comes from torch's global generator, seeded here from
    (seed, round, client) and put back afterwards. Raises Diverged where a loss is no finite number.
    """
    network.load_state_dict(job.parameters)
    layers = dense.layers_of(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    total, steps, by = torch.zeros((), dtype=torch.float64, device=images.device), 0, rate(local, round)
    with contextlib.nullcontext() if layers else _drawing(job.client, round, seed, images.device.type):
        for indices in order(len(labels), local, job.client, round, seed):
            shuffled = torch.from_numpy(indices).to(images.device)
            batch = local.batch or max(len(indices), 1)
            steps_of = zip(torch.split(images[shuffled], batch), torch.split(labels[shuffled], batch), strict=True)
            for x, y in steps_of:
                if layers:
                    total += dense.descend(layers, x.flatten(1), y, x.new_full((len(y),), 1.0 / len(y)), by)
                else:
                    total += descend(network, parameters, x, y, by)
                steps += 1
    return checked(job, round, float(total), steps)


@contextlib.contextmanager
def _drawing(client: int, round: int, seed: int, device: str) -> Iterator[None]:
    """What is drawn within the block depends on these alone, and what is drawn behind it on what was drawn before."""
    with untouched(device):
        sow(client, round, seed, device)
        yield


@contextlib.contextmanager
def untouched(device: str) -> Iterator[None]:
    """Torch's global generators are behind the block as they were before it."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        yield


def sow(client: int, round: int, seed: int, device: str) -> None:
    """Seed torch's global generators for a client's round."""
    # On the CPU not torch.manual_seed(): for GPUs nobody has woken it keeps a traceback, a quarter of a millisecond.
    seeded = torch.manual_seed if device == "cuda" else torch.default_generator.manual_seed
    seeded(int(np.random.SeedSequence(seed, spawn_key=(round, client, 1)).generate_state(1)[0]))


def descend(network: nn.Module, parameters: list[nn.Parameter], x: Tensor, y: Tensor, by: float) -> Tensor:
    """One step down the batch's mean cross-entropy, in place; that mean before the step.

    A parameter that the loss does not see stays.
    """
    loss = functional.cross_entropy(network(x), y)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(gradient, alpha=by)
    return loss.detach()


def checked(job: Job, round: int, total: float, steps: int) -> float:
    """The mean loss of a client's steps. Raises Diverged where it is no finite number."""
    mean = total / steps if steps else math.nan
    if not math.isfinite(mean):
        raise Diverged(job.client, round + 1, mean)
    return mean


def result(network: nn.Module) -> dict[str, Tensor]:
    """The trained parameters and buffers, copied to the CPU in the ordinary layout."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
