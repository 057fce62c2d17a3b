"""A training step recorded once as a CUDA graph, then played: one call to the GPU where there were a hundred.

A step of a small network keeps a GPU busy for less time than it takes to launch its operations one by one. One network
per kind trains its clients one after another, as ``plain`` does; the learning rate is a number on the GPU, so that
every round plays the same recording, and its rounding makes the bits this engine's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedopt.checks import InputError
from fedopt.training.algorithm import Job, Update
from fedopt.training.engines.work import Done, Work, repeatable
from fedopt.training.local import checked, order, rate, result, sow, untouched

_TRIALS = 3  # steps before the recording: libraries choose their algorithms and take their memory


class Recorded:
    """Trains the jobs in their order on a GPU."""

    name = "recorded"

    def __init__(self, work: Work, done: Done | None = None) -> None:
        if work.device != "cuda":
            raise InputError("engine", "'plain' or 'sidebyside' on a CPU", "'recorded'")
        self.work, self.done = work, done
        self.networks = work.scratch()
        self.images, self.labels = work.images.to(work.device), work.labels.to(work.device)
        self.tapes: dict[tuple[int, int], _Tape] = {}  # by kind and batch

    def run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        """Train every job; the updates in the order of the jobs. Raises Diverged."""
        updates = []
        with repeatable(self.work.device):
            for job in jobs:
                updates.append(self._train(job, round))
                if self.done is not None:
                    self.done(updates[-1])
        return tuple(updates)

    def _train(self, job: Job, round: int) -> Update:
        local, own, network = self.work.local, torch.tensor(self.work.split[job.client]), self.networks[job.kind]
        batch = local.batch or max(len(own), 1)
        total, steps = torch.zeros((), dtype=torch.float64, device=self.work.device), 0
        with untouched(self.work.device):
            tapes = {size: self._tape(job.kind, size) for size in {min(batch, len(own)), len(own) % batch} if size}
            network.load_state_dict(job.parameters)
            sow(job.client, round, self.work.seed, self.work.device)
            for indices in order(len(own), local, job.client, round, self.work.seed):
                for rows in torch.split(own[indices].to(self.work.device), batch):
                    total += tapes[len(rows)].play(rows, rate(local, round))
                    steps += 1
        loss = checked(job, round, float(total), steps)
        return Update(job=job, parameters=result(network), samples=len(own), loss=loss)

    def _tape(self, kind: int, batch: int) -> _Tape:
        if (kind, batch) not in self.tapes:
            self.tapes[kind, batch] = _Tape(self.networks[kind], self.images, self.labels, batch)
        return self.tapes[kind, batch]

    def close(self) -> None:
        """Forget the recordings; their memory is the GPU's again."""
        self.tapes = {}

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Tape:
    """A step of ``network``, in place, on a ``batch`` of the samples images (n, ...), labels (n,), all on the GPU.

    Recording takes some steps, which change the network and what the GPU's generator draws: load and seed them after.
    """

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor, batch: int) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.parameters = [each for each in network.parameters() if each.requires_grad]
        self.rows = torch.zeros(batch, dtype=torch.int64, device=images.device)
        self.by = images.new_zeros(())
        self.at = 0.0
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_TRIALS):
                self._step()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self._step()

    def play(self, rows: Tensor, by: float) -> Tensor:
        """One step down the mean cross-entropy of the samples ``rows`` (batch,); it before the step, until the next."""
        if by != self.at:
            self.by.fill_(by)
            self.at = by
        self.rows.copy_(rows)
        self.graph.replay()
        return self.loss

    def _step(self) -> Tensor:
        loss = functional.cross_entropy(self.network(self.images[self.rows]), self.labels[self.rows])
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.addcmul_(gradient, self.by, value=-1.0)
        return loss.detach()


ENGINE = Recorded
