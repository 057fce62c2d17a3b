"""Cutting a network into sub-models: what depends on which filters, what is refused, what a type costs."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable

import pytest

from fedopt.checks import InputError

pytest.importorskip("torch")
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from fedopt.training.average import snapshot
from fedopt.training.chain import Chain, follow
from fedopt.training.cutting import (
    Window,
    cut,
    every_combination,
    extract,
    least_cover,
    part,
    pieces,
    splits_of,
)
from fedopt.training.footprint import footprint, forward_macs
from fedopt.training.models import build


class Small(nn.Module):
    """A user's own: functions in forward, batch norms, dropout, a flatten by view, an unused bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 12, 3, padding=1)
        self.hidden = nn.Linear(12 * 2 * 2, 6)
        self.late = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.first(x)))
        x = functional.max_pool2d(torch.tanh(self.second(x)), 2)
        x = x.view(x.size(0), -1)
        x = functional.dropout(self.late(self.hidden(x)).relu(), 0.1, self.training)
        return functional.log_softmax(self.head(x), dim=1)


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.GroupNorm(4, 8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3),
        nn.LayerNorm((6, 4, 4)),
        nn.Flatten(),
        nn.BatchNorm1d(96),
        nn.Linear(96, 4),
        nn.LayerNorm(4),
        nn.Linear(4, 3),
    )


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "paper_cnn": (lambda: build("paper_cnn", (1, 28, 28), 10, seed=1), (1, 28, 28)),
    "fedavg_cnn": (lambda: build("fedavg_cnn", (1, 8, 8), 10, seed=1), (1, 8, 8)),
    "two_nn": (lambda: build("two_nn", (1, 8, 8), 10, seed=1), (1, 8, 8)),
    "own": (Small, (3, 8, 8)),
    "one-dimensional": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 4, 3), nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Linear(8, 3)
        ),
        (2, 12),
    ),
}


def disturbed(model: nn.Module) -> nn.Module:
    """The model in evaluation with statistics and affine weights of its norms away from their start."""
    source = torch.Generator().manual_seed(5)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=source)
            value.copy_(value + noise if "running_var" in name or value.ndim == 1 else value)
    return model.eval()


def silenced(model: nn.Module, chain: Chain, windows: tuple[Window, ...]) -> nn.Module:
    """The full model in which nothing reads the filters outside the windows."""
    kept = [
        {(window.start + i) % g for i in range(window.size)} for window, g in zip(windows, chain.filters, strict=True)
    ]
    state = snapshot(model)
    for name, axes in chain.axes.items():
        if len(axes) > 1 and axes[1] is not None:
            axis = axes[1]
            for index in range(state[name].shape[1]):
                if index // axis.span not in kept[axis.layer]:
                    state[name][:, index] = 0.0
    result = copy.deepcopy(model)
    result.load_state_dict(state)
    return result.eval()


@pytest.mark.parametrize("case", CASES)
def test_a_sub_model_computes_what_the_model_does_with_its_other_filters_unread(case: str) -> None:
    make, shape = CASES[case]
    model = disturbed(make())
    chain = follow(model)
    x = torch.randn((7, *shape), generator=torch.Generator().manual_seed(2))
    halves = [(Window(0, g // 2), Window(g // 2, g - g // 2), Window(g - 1, g // 2)) for g in chain.filters]
    for windows in itertools.product(*halves):  # the last kind wraps around
        small = cut(model, chain, [window.size for window in windows], shape)
        small.load_state_dict(extract(snapshot(model), pieces(chain, windows)))
        with torch.no_grad():
            expected = silenced(model, chain, windows)(x)
            torch.testing.assert_close(small.eval()(x), expected, rtol=1e-4, atol=1e-5)


def test_groups_of_a_group_norm_stay_together() -> None:
    """With whole groups a group norm does not notice the others; layer norms see fewer numbers, so no comparison."""
    model = disturbed(
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 3, 3), nn.Flatten())
    )
    chain = follow(model)
    assert chain.units == (2,)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.GroupNorm(2, 8), nn.Linear(8, 3))
    assert follow(net).units == (1,), "a group of 4 numbers is one filter of 4 places"
    x = torch.randn((3, 1, 6, 6), generator=torch.Generator().manual_seed(2))
    for parts in ((0,), (1,)):
        windows = part(chain, (2,), parts)
        small = cut(model, chain, (4,), (1, 6, 6))
        small.load_state_dict(extract(snapshot(model), pieces(chain, windows)))
        with torch.no_grad():
            torch.testing.assert_close(small.eval()(x), silenced(model, chain, windows)(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="a divisor of its 4 groups of 2 filters, found 8"):
        splits_of(chain, "types", (8,))


def test_norms_are_resized_with_their_layers() -> None:
    model = grouped()
    small = cut(model, follow(model), (4, 3, 2), (1, 8, 8))
    norm, layer_norm, batch_norm, hidden = (small.get_submodule(name) for name in ("1", "4", "6", "7"))
    assert (norm.num_groups, norm.num_channels) == (2, 4)
    assert layer_norm.normalized_shape == (3, 4, 4)
    assert batch_norm.num_features == 48
    assert (hidden.in_features, hidden.out_features) == (48, 2)
    small.train()(torch.randn(4, 1, 8, 8)).sum().backward()


def test_what_a_small_model_keeps_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    state = {"0.weight": torch.arange(8.0).reshape(4, 2), "0.bias": torch.arange(4.0)}
    state |= {"2.weight": torch.arange(12.0).reshape(3, 4), "2.bias": torch.arange(3.0)}
    small = extract(state, pieces(follow(model), [Window(3, 2)]))  # filters 3 and 0
    assert small["0.weight"].tolist() == [[6, 7], [0, 1]]
    assert small["0.bias"].tolist() == [3, 0]
    assert small["2.weight"].tolist() == [[3, 0], [7, 4], [11, 8]]
    assert small["2.bias"].tolist() == [0, 1, 2]


def test_a_sub_model_is_a_view_where_its_windows_are_in_order() -> None:
    model = build("paper_cnn", (1, 8, 8), 10, seed=1)
    state, chain = snapshot(model), follow(model)
    for parts in every_combination((2, 2, 2)):
        small = extract(state, pieces(chain, part(chain, (2, 2, 2), parts)))
        for name, value in small.items():
            assert value.untyped_storage().data_ptr() == state[name].untyped_storage().data_ptr()


def test_parts_cover_every_number_once_or_as_often_as_it_should() -> None:
    """Over all s_1 s_2 s_3 combinations an entry of layer l is trained by (their number) / (s_{l-1} s_l) of them."""
    model = build("paper_cnn", (1, 8, 8), 10, seed=1)
    chain, splits = follow(model), (2, 4, 2)
    counts = {name: torch.zeros(value.shape) for name, value in model.state_dict().items()}
    for parts in every_combination(splits):
        for name, rectangles in pieces(chain, part(chain, splits, parts)).items():
            for target, _ in rectangles:
                counts[name][target] += 1
    expected = {"0.weight": 8, "0.bias": 8, "2.weight": 2, "2.bias": 4, "5.weight": 2, "5.bias": 8}
    expected |= {"8.weight": 8, "8.bias": 16}
    assert {name: set(count.unique().tolist()) for name, count in counts.items()} == {
        name: {float(count)} for name, count in expected.items()
    }


@pytest.mark.parametrize("splits", [*itertools.product((1, 2, 3, 4), repeat=3), (5, 1, 4), (2,), (3, 2, 2, 5)])
def test_the_least_cover_has_every_pair_of_neighbouring_parts(splits: tuple[int, ...]) -> None:
    cover = least_cover(splits)
    assert len(cover) == max(a * b for a, b in itertools.pairwise((1, *splits, 1)))
    for layer in range(len(splits) - 1):
        pairs = {(parts[layer], parts[layer + 1]) for parts in cover}
        assert pairs == set(itertools.product(range(splits[layer]), range(splits[layer + 1])))
    for layer, split in enumerate(splits):
        assert {parts[layer] for parts in cover} == set(range(split))


def test_the_published_types_cost_what_the_table_says() -> None:
    """Section 8 of the formulation: multiply-accumulates and parameters of L, M, S, T on 1 x 28 x 28."""
    model = build("paper_cnn", (1, 28, 28), 10, seed=1)
    chain = follow(model)
    table = {(16, 32, 32): (5_673_024, 16_938), (16, 16, 32): (2_963_520, 10_010)}
    table |= {(16, 16, 16): (2_441_376, 6_250), (8, 16, 16): (1_481_760, 5_018)}
    for sizes, (macs, parameters) in table.items():
        module = cut(model, chain, sizes, (1, 28, 28))
        cost = footprint("type", module, (1, 28, 28))
        assert (cost.flops, cost.upload_bits, cost.download_bits) == (6 * macs, 32 * parameters, 32 * parameters)
        x, y = torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:  # both passes: no gradient for the picture itself
            functional.cross_entropy(module(x), y).backward()
        first = 28 * 28 * 9 * sizes[0]
        assert counter.get_total_flops() == 6 * macs - 2 * first


def test_buffers_are_sent_and_counted() -> None:
    model = Small()
    bits = footprint("type", model, (3, 8, 8)).upload_bits
    numbers = 8 * 27 + 4 * 8 + (12 * 72 + 12) + (6 * 48 + 6) + 4 * 6 + (5 * 6 + 5)
    assert bits == 32 * numbers + 2 * 64  # two whole-number step counts
    assert forward_macs(model, (3, 8, 8)) == 16 * 8 * 27 + 16 * 12 * 72 + 48 * 6 + 6 * 5
    assert model.training
    assert model.norm.num_batches_tracked == 0


def test_double_precision_costs_twice_the_bits_and_as_many_flops() -> None:
    single, double = (footprint("type", model, (3, 8, 8)) for model in (Small(), Small().double()))
    assert double.flops == single.flops
    assert double.upload_bits == 2 * (single.upload_bits - 128) + 128
    halved = cut(Small().double(), follow(Small()), (4, 6, 3), (3, 8, 8))
    assert halved(torch.zeros(2, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_a_chain_survives_json() -> None:
    for make, _ in CASES.values():
        chain = follow(make())
        again = Chain.from_document(json.loads(json.dumps(chain.document())))
        assert (again.layers, again.filters, again.units, again.axes) == (
            chain.layers,
            chain.filters,
            chain.units,
            chain.axes,
        )


class Residual(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))
        self.spare = nn.Linear(2, 2) if how == "spare" else nn.Identity()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        if self.how == "branch" and x.sum() > 0:
            x = -x
        if self.how == "sum":
            x = x + self.outer(x)
        elif self.how == "join":
            x = torch.cat([x, self.outer(x)], 1)
        elif self.how == "twice":
            x = self.inner(x)
        elif self.how == "parameter":
            x = x * self.scale
        elif self.how == "sort":
            x = x.sort(1)[0]
        return self.head(x.mean(1 if self.how == "mean" else (2, 3)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: Residual("sum"),
            "model.add: expected one path through the model, found add of inner and outer: resid",
        ),
        (lambda: Residual("join"), "model.cat: expected one path .* concatenations tie"),
        (lambda: Residual("twice"), "model.inner: expected every layer used once"),
        (lambda: Residual("parameter"), "model.scale: expected parameters used by layers only"),
        (lambda: Residual("branch"), "model Residual: expected a forward that torch.fx can trace"),
        (lambda: Residual("sort"), r"model.sort: expected activations, .* found sort\(\)"),
        (lambda: Residual("mean"), "model.mean: expected mean over the dimensions of height and width, found dim=1"),
        (lambda: Residual("none"), "model.scale: expected a parameter or buffer of a layer in forward's path"),
        (
            lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 3)),
            "model.0: .*groups=4: a grouped or depth",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 2)), "model.1: .* found PReLU"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), "model.1: .* found LSTM"),
        (lambda: nn.Sequential(nn.Linear(4, 2)), "a layer before the classifier"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(6, 2)), "model.1: expected a multiple of the 4 filters of 0"),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(8, 2, 3)), "model.1: expected 4 inputs"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Flatten(0), nn.Linear(4, 2)), "model.1: expected Flatten"),
        (
            lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 2)),
            "a norm with",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(model: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(InputError, match=message):
        follow(model())


def test_shared_parameters_are_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    with pytest.raises(InputError, match="a parameter that two layers share"):
        follow(model)


def test_a_forward_with_sizes_written_in_is_found_out() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 3), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.first(x).view(-1, 16))
            return out

    model = Fixed()
    chain = follow(model)
    assert cut(model, chain, (4,), (1, 4, 4))(torch.zeros(3, 1, 4, 4)).shape == (3, 2)
    with pytest.raises(InputError, match=r"model Fixed: .*x\.flatten\(1\), for its sub-model"):
        cut(model, chain, (2,), (1, 4, 4))
    with pytest.raises(InputError, match=r"samples of shape \(1, 9\) to pass.*, for the model"):
        cut(model, chain, (2,), (1, 9))


def test_splits_are_checked() -> None:
    chain = follow(build("paper_cnn", (1, 8, 8), 10, seed=1))
    assert splits_of(chain, "types", [2, 4, 8]) == (2, 4, 8)
    with pytest.raises(InputError, match="3 splits, for the layers 0, 2, 5, found 2"):
        splits_of(chain, "types", (1, 2))
    with pytest.raises(InputError, match="layer 2: expected a divisor of its 32 filters, found 3"):
        splits_of(chain, "types", (1, 3, 1))
    with pytest.raises(InputError, match="layer 0: expected a whole number of at least 1"):
        splits_of(chain, "types", (0, 1, 1))
