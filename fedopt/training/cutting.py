"""Sub-models of a chain: which numbers a choice of filters keeps, and the network that has their shape.

A choice is a window of neighbouring filters per layer of the chain, wrapping around at the end. Windows are slices, so
that a sub-model is a view of the model's parameters and nothing is gathered.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fedopt.checks import InputError, whole
from fedopt.training.algorithm import State
from fedopt.training.average import WHOLE, Pieces
from fedopt.training.chain import LAYERS, Axis, Chain
from fedopt.training.footprint import blank


class Window(NamedTuple):
    """``size`` neighbouring filters of a layer from ``start`` on; behind the last one comes the first."""

    start: int
    size: int


def splits_of(chain: Chain, owner: str, splits: Sequence[int]) -> tuple[int, ...]:
    """A checked split vector (s_1..s_L): layer l is cut into s_l parts of equal size. Raises InputError."""
    names = ", ".join(chain.layers)
    if len(splits) != len(chain.layers):
        raise InputError(owner, f"{len(chain.layers)} splits, for the layers {names}", f"{len(splits)}")
    for name, filters, unit, split in zip(chain.layers, chain.filters, chain.units, splits, strict=True):
        whole(f"{owner}, layer {name}", split, least=1)
        if filters // unit % split:
            groups = f"{filters} filters" if unit == 1 else f"{filters // unit} groups of {unit} filters"
            raise InputError(f"{owner}, layer {name}", f"a divisor of its {groups}", str(split))
    return tuple(int(split) for split in splits)


def part(chain: Chain, splits: Sequence[int], parts: Sequence[int]) -> tuple[Window, ...]:
    """The windows of part p_l of s_l of every layer: filters p_l g / s_l and the g / s_l from there on."""
    sizes = [filters // split for filters, split in zip(chain.filters, splits, strict=True)]
    return tuple(Window(p * size, size) for p, size in zip(parts, sizes, strict=True))


def pieces(chain: Chain, windows: Sequence[Window]) -> dict[str, Pieces]:
    """By name, the rectangles of each entry that a choice of filters keeps: those of layer l x those of layer l - 1."""
    runs = [_runs(window, filters) for window, filters in zip(windows, chain.filters, strict=True)]
    return {name: _rectangles(axes, runs) for name, axes in chain.axes.items()}


def extract(parameters: State, kept: Mapping[str, Pieces]) -> dict[str, Tensor]:
    """The sub-model's entries, views of the model's where no window wraps around: not to be changed in place."""
    return {name: _extract(value, kept[name]) for name, value in parameters.items()}


def cut(model: nn.Module, chain: Chain, sizes: Sequence[int], shape: tuple[int, ...]) -> nn.Module:
    """The network of a sub-model that keeps ``sizes`` filters of the chain's layers, a copy with the first of each.

    shape : of one sample, on which it is tried. Raises InputError where its forward does not fit the smaller layers.
    """
    result = copy.deepcopy(model)
    kept = pieces(chain, [Window(0, size) for size in sizes])
    for name, value in result.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        smaller = _extract(value, kept[name]).clone()
        store = result.get_submodule(owner)
        if leaf in store._parameters:
            setattr(store, leaf, nn.Parameter(smaller, requires_grad=getattr(store, leaf).requires_grad))
        else:
            setattr(store, leaf, smaller)
    before = dict(model.named_modules())
    for name, module in result.named_modules():
        _resize(module, before[name])
    _try(model, result, shape)
    return result


def least_cover(splits: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """max over l of s_{l-1} s_l part vectors (s_0 = s_{L+1} = 1) that have every pair of parts of neighbouring layers.

    Along the chain the vectors are sorted by their part of the layer before and dealt the parts of this one in turn:
    a class of the layer before has at least s_l of them, as there are s_{l-1} s_l or more, evenly spread.
    """
    count = max(a * b for a, b in itertools.pairwise((1, *splits, 1)))
    columns = [[0] * count]
    for split in splits:
        order = sorted(range(count), key=columns[-1].__getitem__)
        column = [0] * count
        for position, index in enumerate(order):
            column[index] = position % split
        columns.append(column)
    return tuple(zip(*columns[1:], strict=True))


def every_combination(splits: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """All s_1 ... s_L part vectors."""
    return tuple(itertools.product(*(range(split) for split in splits)))


def _runs(window: Window, filters: int) -> tuple[tuple[int, int, int], ...]:
    """A window as runs (start in the model, start in the sub-model, length); one run, or two where it wraps."""
    first = min(window.size, filters - window.start)
    whole_run = ((window.start, 0, first),)
    return whole_run if first == window.size else (*whole_run, (0, first, window.size - first))


def _rectangles(axes: Sequence[Axis | None], runs: Sequence[tuple[tuple[int, int, int], ...]]) -> Pieces:
    if all(axis is None for axis in axes):
        return WHOLE
    choices = []
    for axis in axes:
        if axis is None:
            choices.append([(slice(None), slice(None))])
        else:
            at = [tuple(axis.span * number for number in run) for run in runs[axis.layer]]
            choices.append([(slice(to, to + size), slice(own, own + size)) for to, own, size in at])
    return tuple(tuple(zip(*pairs, strict=True)) for pairs in itertools.product(*choices))


def _extract(value: Tensor, rectangles: Pieces) -> Tensor:
    if len(rectangles) == 1:
        return value[rectangles[0][0]]
    views = [(value[target], source) for target, source in rectangles]
    ends = [[(run.start or 0) + size for run, size in zip(source, view.shape, strict=False)] for view, source in views]
    result = value.new_empty([max(end) for end in zip(*ends, strict=True)])
    for view, source in views:
        result[source] = view
    return result


def _resize(module: Any, before: Any) -> None:
    """Tell a layer the sizes of its new weights."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, LAYERS):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.num_features = next(value for value in module.state_dict().values() if value.ndim).shape[0]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = module.weight.shape[0]
        if module.num_groups > 1:
            module.num_groups = module.num_channels * module.num_groups // before.weight.shape[0]


def _try(model: nn.Module, smaller: nn.Module, shape: tuple[int, ...]) -> None:
    sample = blank(model, 2, shape)
    name = f"model {type(model).__name__}"
    outputs = []
    for what, module in (("the model", model), ("its sub-model", smaller)):
        training = module.training
        try:
            with torch.no_grad():
                outputs.append(tuple(module.eval()(sample).shape))
        except RuntimeError as error:
            expected = f"samples of shape {shape} to pass; sizes in forward that follow the layers, as in x.flatten(1)"
            raise InputError(name, f"{expected}, for {what}", str(error)[:200]) from None
        finally:
            module.train(training)
    if outputs[0] != outputs[1] or math.prod(outputs[0]) == 0:
        raise InputError(name, f"an output of shape {outputs[0]} of its sub-model too", f"{outputs[1]}")
