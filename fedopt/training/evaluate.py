"""How good a model is: its accuracy and mean loss on samples it was not trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedopt.training.algorithm import State
from fedopt.training.local import scratch

_BATCH = {"cpu": 100, "cuda": 1000}  # samples at a time: on the CPU the activations of a small convolution fit a cache


def evaluator(
    module: nn.Module, images: Tensor, labels: Tensor, *, device: str = "cpu"
) -> Callable[[State], tuple[float, float]]:
    """A function from the global model's parameters to (accuracy, mean cross-entropy) on images (n, ...), labels (n,).

    ``module`` is copied and put into evaluation mode. Batches are added up in their order, in double precision.
    """
    network, batch = scratch(module, device).eval(), _BATCH[device]
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
