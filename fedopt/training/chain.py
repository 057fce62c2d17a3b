"""What follows what in a network: its layers in a chain, and which dimensions of which parameters their filters are.

A *filter* is an output channel of a convolution or an output of a linear layer. Where layer l keeps some of its
filters, so do its own weights and biases, the norms behind it, and the inputs of layer l + 1; nothing else may follow
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from torch import fx, nn

from fedopt.checks import InputError

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)
_IN_ORDER = (  # filters come out in the number and order they went in
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.Softplus),
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Softmax, nn.LogSoftmax),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
_FUNCTIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "hardswish", "softplus"),
    *("dropout", "dropout2d", "softmax", "log_softmax", "flatten", "view", "reshape", "contiguous", "mean", "squeeze"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d"),
}
_SPATIAL = {2, 3, 4, -1, -2}


class Axis(NamedTuple):
    """A dimension that follows the filters of ``layer``: ``span`` numbers in a row for each."""

    layer: int
    span: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """The layers whose filters can be chosen, first to last; the last layer of all, the classifier, is not among them.

    layers : their names. filters : how many each has. units : how many neighbours must stay together, 1 but for the
    groups of a GroupNorm. axes : for every parameter and buffer, the Axis of each of its dimensions or None.
    """

    layers: tuple[str, ...]
    filters: tuple[int, ...]
    units: tuple[int, ...]
    axes: Mapping[str, tuple[Axis | None, ...]]

    def document(self) -> dict[str, Any]:
        """The chain as JSON holds it."""
        axes = {name: [axis and list(axis) for axis in dims] for name, dims in self.axes.items()}
        return {"layers": list(self.layers), "filters": list(self.filters), "units": list(self.units), "axes": axes}

    @classmethod
    def from_document(cls, content: Mapping[str, Any]) -> Chain:
        """The chain of ``document()``."""
        axes = {name: tuple(axis and Axis(*axis) for axis in dims) for name, dims in content["axes"].items()}
        layers, filters, units = (tuple(content[key]) for key in ("layers", "filters", "units"))
        return cls(layers=layers, filters=filters, units=units, axes=axes)


def follow(model: nn.Module) -> Chain:
    """The chain of a model, found by tracing its forward with torch.fx.

    Raises InputError naming the module where the model is no chain of layers this knows how to cut: residual sums and
    concatenations, grouped convolutions, layers used twice, parameters outside of layers, branches on values.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever the user's forward raises on a symbolic value
        expected = "a forward that torch.fx can trace: no branches or loops that depend on values"
        raise InputError(f"model {type(model).__name__}", expected, f"{type(error).__name__}: {error}"[:300]) from error
    walk = _Walk(model)
    for node in graph.nodes:
        walk.step(node)
    return walk.chain()


class _Walk:
    """Steps along the nodes of a traced forward; ``at`` has the layer, None for the input, that a tensor came from."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.entries = {name: value.ndim for name, value in model.state_dict().items()}
        self.shared = len(list(model.parameters())) < len(list(model.named_parameters(remove_duplicate=False)))
        self.at: dict[fx.Node, int | None] = {}
        self.layers: list[str] = []
        self.filters: list[int] = []
        self.units: list[int] = []
        self.axes: dict[str, tuple[Axis | None, ...]] = {}

    def step(self, node: fx.Node) -> None:
        tensors = [other for other in node.all_input_nodes if other in self.at]
        if node.op == "placeholder":
            if self.at:
                _refuse(node, "a forward with one argument", f"another one, {node.target}")
            self.at[node] = None
        elif node.op == "get_attr":
            _refuse(node, "parameters used by layers only", f"{node.target} used directly in forward")
        elif len(tensors) > 1:
            joined = " and ".join(str(tensor) for tensor in tensors)
            tie = "residual sums and concatenations tie the filters of several layers together, and cannot be cut"
            _refuse(node, "one path through the model", f"{node.name} of {joined}: {tie}")
        elif tensors and node.op != "output" and not _is_size(node):
            before = self.at[tensors[0]]
            self.at[node] = self.module(node, before) if node.op == "call_module" else self.function(node, before)

    def module(self, node: fx.Node, before: int | None) -> int | None:
        name, module = str(node.target), self.modules[str(node.target)]
        if isinstance(module, (*LAYERS, *NORMS)) and any(f"{name}.{leaf}" in self.axes for leaf in module.state_dict()):
            _refuse(node, "every layer used once", "a layer used twice")
        if isinstance(module, LAYERS):
            return self.layer(node, name, module, before)
        if isinstance(module, NORMS):
            self.norm(node, name, module, before)
        elif isinstance(module, nn.Flatten):
            if module.start_dim != 1 or module.end_dim != -1:
                _refuse(node, "Flatten(1)", repr(module))
        elif not isinstance(module, _IN_ORDER):
            known = ", ".join(kind.__name__ for kind in (*LAYERS, *NORMS))
            _refuse(node, f"{known}, activations, dropout, pooling or Flatten", type(module).__name__)
        return before

    def function(self, node: fx.Node, before: int | None) -> int | None:
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        if called not in _FUNCTIONS:
            _refuse(node, "activations, dropout, pooling, flatten or a mean over places", f"{called}()")
        if called in ("mean", "squeeze"):
            dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
            if not set(dims if isinstance(dims, list | tuple) else [dims]) <= _SPATIAL:  # 0 and 1 are batch and filters
                _refuse(node, f"{called} over the dimensions of height and width", f"dim={dims}")
        return before

    def layer(self, node: fx.Node, name: str, module: Any, before: int | None) -> int:
        convolution = not isinstance(module, nn.Linear)
        if convolution and module.groups != 1:
            _refuse(
                node, "groups=1", f"groups={module.groups}: a grouped or depthwise convolution ties inputs to outputs"
            )
        inputs = module.in_channels if convolution else module.in_features
        read = None if before is None else self.axis(node, before, inputs)
        if read is not None and convolution and read.span != 1:
            _refuse(node, f"{self.filters[read.layer]} inputs, as {self.layers[read.layer]} has filters", f"{inputs}")
        written = Axis(len(self.layers), 1)
        self.layers.append(name)
        self.filters.append(module.out_channels if convolution else module.out_features)
        self.units.append(1)
        self.put(name, {"weight": (written, read), "bias": (written,)})
        return written.layer

    def norm(self, node: fx.Node, name: str, module: Any, before: int | None) -> None:
        if not module.state_dict():
            _refuse(node, "a norm with weights or running statistics", repr(module))
        if before is None:
            return self.put(name, {})
        size = {nn.GroupNorm: "num_channels", nn.LayerNorm: "normalized_shape"}.get(type(module), "num_features")
        count = getattr(module, size)
        axis = self.axis(node, before, count if isinstance(count, int) else count[0])
        if isinstance(module, nn.GroupNorm) and module.num_groups > 1:  # one group shrinks with the layer
            group = module.num_channels // module.num_groups
            self.units[before] = math.lcm(self.units[before], math.lcm(group, axis.span) // axis.span)
        return self.put(name, dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (axis,)))

    def axis(self, node: fx.Node, layer: int, size: int) -> Axis:
        if size % self.filters[layer]:
            _refuse(node, f"a multiple of the {self.filters[layer]} filters of {self.layers[layer]}", f"{size} inputs")
        return Axis(layer, size // self.filters[layer])

    def put(self, name: str, dims: Mapping[str, tuple[Axis | None, ...]]) -> None:
        """Note the axes of a module's entries, the dimensions not named being None."""
        for leaf in self.modules[name].state_dict():
            entry = f"{name}.{leaf}" if name else leaf
            known = dims.get(leaf, ())
            self.axes[entry] = known + (None,) * (self.entries[entry] - len(known))

    def chain(self) -> Chain:
        for name in self.entries:
            if name not in self.axes:
                raise InputError(f"model.{name}", "a parameter or buffer of a layer in forward's path", "one outside")
        if self.shared:
            raise InputError("model", "parameters of one layer each", "a parameter that two layers share")
        if len(self.layers) < 2:
            raise InputError("model", "a layer before the classifier, to be cut", f"{len(self.layers)} layer(s) in all")
        last = len(self.layers) - 1
        axes = {
            name: tuple(None if axis is None or axis.layer == last else axis for axis in dims)
            for name, dims in self.axes.items()
        }
        layers, filters, units = tuple(self.layers[:last]), tuple(self.filters[:last]), tuple(self.units[:last])
        return Chain(layers=layers, filters=filters, units=units, axes=axes)


def _is_size(node: fx.Node) -> bool:
    """Whether a node is a shape or a size, not a tensor."""
    shape = node.target is getattr and len(node.args) > 1 and node.args[1] in ("shape", "ndim")
    return shape or (node.op == "call_method" and node.target in ("size", "dim"))


def _refuse(node: fx.Node, expected: str, found: str) -> NoReturn:
    where = str(node.target) if node.op == "call_module" else node.name
    raise InputError(f"model.{where}", expected, found)
