"""The networks of the published experiments, by name; the same seed gives the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fedopt.channel import generator
from fedopt.checks import InputError, choice, whole

Shape = tuple[int, ...]


def build(name: str, shape: Shape, classes: int, *, seed: Any) -> nn.Module:
    """The model ``name`` of MODELS for samples of ``shape`` (channels, height, width).

    ``seed`` is a whole number or a numpy Generator; torch's own random state is left as it was. Raises InputError.
    """
    make = MODELS[choice("model", name, tuple(MODELS))]
    whole("classes", classes, least=1)
    if len(shape) != 3 or min(shape) < 1 or min(shape[1:]) < 4:
        raise InputError("shape", "(channels, height, width) of at least (1, 4, 4)", f"{tuple(shape)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed).integers(2**63)))
        return make(shape, classes)


def paper_cnn(shape: Shape, classes: int) -> nn.Module:
    """16C3-32C3-MP2-32C3-MP2-10C3-GAP, 'same' padding: 16,938 parameters and 5,673,024 MAC on 1 x 28 x 28.

    Weights are normal of variance 2 / fan-in and biases zero (He et al., ICCV 2015): PyTorch's own start is smaller,
    and this network stands still for its first hundreds of steps with it. Source: Yu & Li, IEEE Network 35(1), 2021.
    """
    model = nn.Sequential(
        _conv(shape[0], 16, 3),
        nn.ReLU(),
        _conv(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _conv(32, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _conv(32, classes, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return model


def two_nn(shape: Shape, classes: int) -> nn.Module:
    """Two hidden layers of 200: 199,210 parameters on 28 x 28. Source: McMahan et al., AISTATS 2017."""
    inputs = shape[0] * shape[1] * shape[2]
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, classes),
    )


def fedavg_cnn(shape: Shape, classes: int) -> nn.Module:
    """32C5-MP2-64C5-MP2-512, 'same' padding: 1,663,370 parameters on 1 x 28 x 28. Source: McMahan et al., 2017."""
    return nn.Sequential(
        _conv(shape[0], 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        _conv(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (shape[1] // 4) * (shape[2] // 4), 512),
        nn.ReLU(),
        nn.Linear(512, classes),
    )


def _conv(inputs: int, filters: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, filters, side, padding=side // 2)


MODELS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "paper_cnn": paper_cnn,
    "two_nn": two_nn,
    "fedavg_cnn": fedavg_cnn,
}
