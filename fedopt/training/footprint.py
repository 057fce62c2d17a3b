"""What a network costs, read off the network itself: FLOP per sample and bits, as the solver prices them."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedopt.submodels import SubModel


def footprint(name: str, module: nn.Module, shape: tuple[int, ...], *, cover: int = 1) -> SubModel:
    """The sub-model type of a network for samples of ``shape`` (without the batch).

    flops : 6 FLOP per multiply-accumulate of the forward pass: 2 forward, 2 for the gradient of the weights and 2 for
    that of the inputs, as usual. torch's counter over both passes finds 2 per MAC of the first layer less, whose inputs
    need no gradient (0.7 % of the paper's CNN). Activations, norms and pooling are not counted.
    upload_bits, download_bits : of all parameters and buffers, each in its own precision. cover : see SubModel.
    """
    bits = 8 * sum(value.numel() * value.element_size() for value in module.state_dict().values())
    return SubModel(name, flops=6.0 * forward_macs(module, shape), upload_bits=float(bits), cover=cover)


def forward_macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one sample's forward pass in convolutions and matrix products, by torch's counter."""
    trial = copy.deepcopy(module).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trial(blank(trial, 1, shape))
    return cast(int, counter.get_total_flops()) // 2


def blank(module: nn.Module, count: int, shape: tuple[int, ...]) -> Tensor:
    """Samples of zeros, in the precision of the network's own numbers."""
    kinds = (value.dtype for value in module.state_dict().values() if value.is_floating_point())
    return torch.zeros((count, *shape), dtype=next(kinds, torch.float32))
