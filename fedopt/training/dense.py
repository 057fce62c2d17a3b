"""Networks of Linear and ReLU layers, their training step written out, for one client or for several stacked.

Autograd records a graph and allocates every gradient, and a second pass over memory subtracts it from its weights. Here
the product that makes a gradient adds it to the weights at once. That is most of the time of such small networks: see
docs/training.md.

Stacked clients have a dimension K in front of all shapes below; a client alone has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Layer = tuple[Tensor, Tensor]  # weight (outputs, inputs), bias (outputs,)


def names_of(module: nn.Module) -> tuple[str, ...]:
    """The names of the Linear layers of a Sequential of Flatten, Linear and ReLU, first to last; else none.

    Every Linear but the last has a ReLU behind it, all have a bias, and all of it is trained.
    """
    if type(module) is not nn.Sequential:
        return ()
    parts = list(module)[1:] if isinstance(next(iter(module), None), nn.Flatten) else list(module)
    linear = {name: part for name, part in module._modules.items() if type(part) is nn.Linear}
    trained = {id(value) for part in linear.values() for value in part.parameters() if value.requires_grad}
    regular = [type(part) for part in parts] == [nn.Linear, nn.ReLU] * (len(parts) // 2) + [nn.Linear]
    return tuple(linear) if regular and len(trained) == len(parts) + 1 else ()  # no two layers share a weight


def layers_of(network: nn.Module) -> list[Layer]:
    """The weights and biases of names_of(), those of the network itself."""
    parts = [network.get_submodule(name) for name in names_of(network)]
    return [(part.weight.detach(), part.bias.detach()) for part in parts if isinstance(part, nn.Linear)]


@torch.no_grad()
def descend(layers: Sequence[Layer], x: Tensor, labels: Tensor, weights: Tensor, by: float) -> Tensor:
    """One step down the weighted sum of the samples' cross-entropies, in place; that sum, shape (), before the step.

    x (samples, inputs). labels (samples,) : whole numbers. weights (samples,) : 1 / samples for their mean; 0 for a
    sample that is not there. by : the learning rate.
    """
    inputs = [x]
    for weight, bias in layers[:-1]:
        inputs.append(_forward(weight, bias, inputs[-1]).relu_())
    logs = torch.log_softmax(_forward(*layers[-1], inputs[-1]), -1)
    targets = labels.unsqueeze(-1)
    loss = -(logs.gather(-1, targets).squeeze(-1) * weights).sum(-1)
    slope = logs.exp_().scatter_add_(-1, targets, logs.new_full((), -1.0).expand(targets.shape))
    slope.mul_(weights.unsqueeze(-1))
    for index in range(len(layers) - 1, -1, -1):
        weight, bias = layers[index]
        below = torch.matmul(slope, weight) if index else slope
        (weight.baddbmm_ if weight.ndim == 3 else weight.addmm_)(slope.transpose(-1, -2), inputs[index], alpha=-by)
        bias.sub_(slope.sum(-2), alpha=by)
        slope = torch.ops.aten.threshold_backward(below, inputs[index], 0.0) if index else below
    return loss


def _forward(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """x W^T + b."""
    if weight.ndim == 3:
        return torch.baddbmm(bias.unsqueeze(-2), x, weight.transpose(-1, -2))
    return torch.addmm(bias, x, weight.t())
