"""How good a model is: its accuracy and mean loss on samples it was not trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedopt.training.algorithm import State

_BATCH = 500  # samples at a time: the activations of a small convolution layer then fit a cache, and both cores work


def evaluator(
    module: nn.Module, images: Tensor, labels: Tensor, *, batch: int = _BATCH, device: str = "cpu"
) -> Callable[[State], tuple[float, float]]:
    """A function from the global model's parameters to (accuracy, mean cross-entropy) on images (n, ...), labels (n,).

    ``module`` is copied and put into evaluation mode. Batches are added up in their order, in double precision.
    """
    network = copy.deepcopy(module).to(device).eval()
    images, labels = images.to(device), labels.to(device)

    @torch.inference_mode()
    def measured(parameters: State) -> tuple[float, float]:
        network.load_state_dict(parameters)
        right, loss = 0, 0.0
        for x, y in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
            outputs = network(x)
            right += int((outputs.argmax(1) == y).sum())
            loss += float(functional.cross_entropy(outputs, y, reduction="sum"))
        return right / len(labels), loss / len(labels)

    return measured


def evaluate(module: nn.Module, parameters: State, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Accuracy and mean cross-entropy of a model with these parameters, once; evaluator() for many rounds."""
    return evaluator(module, images, labels)(parameters)
