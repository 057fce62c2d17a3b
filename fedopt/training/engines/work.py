"""What an engine works on, bound once for a run, and what every engine offers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedopt.checks import choice
from fedopt.training.algorithm import Job, Kind, LocalSGD, Update
from fedopt.training.local import learn, scratch, train

Done = Callable[[Update], object]  # told of every client as it finishes, in whatever order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """All that the clients of a run have in common; ``round`` and ``jobs`` come later.

    kinds : the algorithm's. images (n, ...), labels (n,) : the training set. split : the indices of each client's
    samples in it. local : what they do with them. seed : of the order of samples and of what networks draw.
    device : "cpu" or "cuda". Raises InputError for another.
    """

    kinds: Sequence[Kind]
    images: Tensor
    labels: Tensor
    split: Sequence[NDArray[np.int64]]
    local: LocalSGD
    seed: int
    device: str = "cpu"

    def __post_init__(self) -> None:
        choice("device", self.device, ("cpu", "cuda"))

    def scratch(self) -> list[nn.Module]:
        """A network for each kind to train clients in."""
        return [scratch(kind.module, self.device) for kind in self.kinds]

    def samples(self, client: int) -> tuple[Tensor, Tensor]:
        """A client's images and labels, on the device."""
        indices = torch.tensor(self.split[client])
        return self.images[indices].to(self.device), self.labels[indices].to(self.device)

    def train(self, job: Job, networks: Sequence[nn.Module], round: int) -> Update:
        """One client, in the network of its kind."""
        return train(job, networks[job.kind], *self.samples(job.client), self.local, round, self.seed)

    def learn(self, job: Job, networks: Sequence[nn.Module], round: int) -> float:
        """The same for whom the network's own parameters will do; the mean loss."""
        return learn(job, networks[job.kind], *self.samples(job.client), self.local, round, self.seed)


class Engine(Protocol):
    """A way to simulate a round's clients; a context manager, as some hold processes."""

    name: str

    def run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        """Train every job; the updates in the order of the jobs. Raises Diverged."""

    def close(self) -> None:
        """End whatever it holds; it cannot run again."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *error: object) -> None: ...


@contextmanager
def repeatable(device: str = "cpu") -> Iterator[None]:
    """Same bits in every run: one thread for torch within the block, and on a GPU algorithms that add in one order.

    Sums depend on the number of threads, and small operations gain nothing by two. An operation that a GPU has no such
    algorithm for raises RuntimeError with its name. A GPU's products are in float32, not in TF32.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _one_order() if device == "cuda" else nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _one_order() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else torch refuses cuBLAS
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fills, coarse = memory.fill_uninitialized_memory, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        memory.fill_uninitialized_memory = fills
        torch.backends.cudnn.allow_tf32 = coarse
