"""What a federated algorithm is: a price list for the solver, and pure functions over immutable state.

    kinds  = algorithm.kinds(model, shape)         what each sub-model type is, and costs
    server = algorithm.init(model)
    jobs   = algorithm.jobs(server, assignment)    who trains which part, from which parameters
    ...                                            the clients train (an engine), or fail to come back
    server = algorithm.apply(server, updates)

A State is never changed in place: whoever has one may keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fedopt.submodels import SubModel

State = Mapping[str, Tensor]  # parameters and buffers by name


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSGD:
    """What a client does with its data in one round: plain stochastic gradient descent on the cross-entropy.

    epochs : passes over the client's samples. batch : samples a step; None, all of them in one step.
    rate : learning rate of round 0; round k has rate x decay^k.
    """

    epochs: int = 1
    batch: int | None = 10
    rate: float = 0.05
    decay: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """A sub-model type: its footprint, which the solver prices, and the network that has its shape."""

    footprint: SubModel
    module: nn.Module


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """What the server knows after ``round`` rounds.

    extra : the algorithm's own, as JSON holds it; ``chain``, where ``init`` gives one, is the model's and stays.
    """

    round: int
    parameters: State
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One client's round: the parameters it starts from, in the shapes of its kind's module.

    place : which part of the model they are, in the algorithm's own terms; it comes back with the update.
    """

    client: int
    kind: int
    parameters: State
    place: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Update:
    """What comes back: the trained parameters, the samples they saw, and the mean loss over the round's steps."""

    job: Job
    parameters: State
    samples: int
    loss: float


class Algorithm(Protocol):
    """The parts a run needs; see fedavg.py for the smallest one."""

    name: str
    local: LocalSGD

    def kinds(self, model: nn.Module, shape: tuple[int, ...]) -> tuple[Kind, ...]:
        """Every sub-model type of ``model`` for samples of ``shape`` (without the batch), largest first."""

    def init(self, model: nn.Module) -> Server:
        """The server before the first round."""

    def jobs(self, server: Server, assignment: NDArray[np.int64]) -> tuple[Job, ...]:
        """The round's jobs, one per client that trains; assignment (N,) has a kind's index, -1 for who sits it out."""

    def apply(self, server: Server, updates: Sequence[Update]) -> Server:
        """The server after the round, from the updates that came back (in the order of their clients).

        ``round`` is one more, and the parameters have the names, shapes and types that they had.
        """
