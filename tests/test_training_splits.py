"""Splits: nothing lost or held twice, the published counts, the same seed the same split."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedopt.checks import InputError

pytest.importorskip("torch")

import torch

from fedopt.training.splitplot import draw_split
from fedopt.training.splits import Split, dirichlet, iid, shards, sized

SIXTY_THOUSAND = np.random.default_rng(7).integers(0, 10, size=60_000)

label_sets = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(np.array)


def held(split: Split) -> list[int]:
    return sorted(int(index) for indices in split.clients for index in indices)


@given(label_sets, st.data())
def test_no_sample_is_lost_or_held_twice(labels: np.ndarray[Any, Any], draw: st.DataObject) -> None:
    clients = draw.draw(st.integers(1, labels.size))
    seed = draw.draw(st.integers(0, 2**32))
    each = draw.draw(st.integers(1, labels.size // clients))
    weights = draw.draw(st.lists(st.floats(1e-6, 1e6), min_size=clients, max_size=clients))
    alpha = draw.draw(st.sampled_from([1e-6, 0.01, 0.5, 10.0, 1e6]))
    for split in (
        shards(labels, clients, each=each, seed=seed),
        dirichlet(labels, clients, alpha=alpha, seed=seed),
        sized(labels, weights, seed=seed),
    ):
        assert held(split) == list(range(labels.size))
        assert split.left_out == 0
        assert len(split) == clients
        assert split.sizes.min() >= 1
        np.testing.assert_array_equal(split.histogram(labels, 7).sum(axis=0), np.bincount(labels, minlength=7))
        np.testing.assert_array_equal(split.histogram(labels, 7).sum(axis=1), split.sizes)
    even = iid(labels, clients, seed=seed)
    assert len(set(held(even))) == len(held(even))
    assert set(even.sizes.tolist()) == {labels.size // clients}
    assert even.left_out == labels.size % clients == labels.size - len(held(even))


@given(label_sets, st.integers(0, 2**32))
def test_a_seed_decides_the_split(labels: np.ndarray[Any, Any], seed: int) -> None:
    clients = max(1, labels.size // 3)
    for make in (
        lambda s: iid(labels, clients, seed=s),
        lambda s: shards(labels, clients, each=1, seed=s),
        lambda s: dirichlet(labels, clients, alpha=0.5, seed=s),
        lambda s: sized(labels, np.arange(1, clients + 1), seed=s),
    ):
        one, same = make(seed), make(np.random.default_rng(seed))
        assert all(np.array_equal(a, b) for a, b in zip(one.clients, same.clients, strict=True))


def test_the_published_splits() -> None:
    """Yu & Li: 64 x 937, and 320 shards of 187 or 188, 5 each. McMahan et al.: 100 x 600, and 200 of 300, 2 each."""
    paper = iid(SIXTY_THOUSAND, 64, seed=1)
    assert set(paper.sizes.tolist()) == {937}
    assert paper.left_out == 32
    fedavg = iid(torch.from_numpy(SIXTY_THOUSAND), 100, seed=1)
    assert set(fedavg.sizes.tolist()) == {600}
    assert fedavg.left_out == 0
    ours = shards(SIXTY_THOUSAND, 64, each=5, seed=1)
    assert ours.sizes.min() >= 5 * 187
    assert ours.sizes.max() <= 5 * 188
    assert len(ours) == 64
    theirs = shards(SIXTY_THOUSAND, 100, each=2, seed=1)
    assert set(theirs.sizes.tolist()) == {600}
    labels = np.repeat(np.arange(10), 6000)  # shards of 300 divide 6,000: at most two classes each
    assert (shards(labels, 100, each=2, seed=1).histogram(labels) > 0).sum(axis=1).max() <= 2


def test_shards_are_sorted_by_label() -> None:
    labels = np.array([2, 0, 1, 0, 2, 1])
    split = shards(labels, 3, each=1, seed=5)
    assert {tuple(indices.tolist()) for indices in split.clients} == {(1, 3), (2, 5), (0, 4)}


def test_dirichlets_proportions_have_their_mean_and_variance() -> None:
    """A share of Dirichlet(a 1_N) has mean 1/N and variance (1/N)(1 - 1/N)/(N a + 1)."""
    clients, classes, alpha = 8, 400, 0.5
    labels = np.repeat(np.arange(classes), 1000)
    shares = dirichlet(labels, clients, alpha=alpha, seed=1).histogram(labels) / 1000.0
    expected = (1 / clients) * (1 - 1 / clients) / (clients * alpha + 1)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    assert abs(float(shares.var()) / expected - 1.0) < 0.1
    few = dirichlet(labels, clients, alpha=1e-9, seed=1).histogram(labels)
    assert ((few > 0).sum(axis=0) == 1).all()  # the limit: one client has all of a class
    even = dirichlet(labels, clients, alpha=1e9, seed=1).histogram(labels)
    assert abs(even - 125).max() <= 1


def test_sizes_in_proportion() -> None:
    labels = np.zeros(100, dtype=int)
    assert sized(labels, [10, 20, 70], seed=1).sizes.tolist() == [10, 20, 70]
    assert sized(labels, [1, 2, 7], seed=1).sizes.tolist() == [10, 20, 70]
    assert sized(labels, [1.0, 1.0, 1.0], seed=1).sizes.tolist() == [34, 33, 33]
    assert sized(labels, [205, 308, 487], seed=1).sizes.tolist() == [20, 31, 49]  # 20.5, 30.8 and 48.7
    assert sized(labels, [1e-9, 1.0], seed=1).sizes.tolist() == [1, 99]
    assert sized(labels, [1e-9, 1.0, 2.0], seed=1).sizes.tolist() == [1, 33, 66]  # of whoever has most


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iid([0, 1], 3, seed=1), "clients: expected at most 2"),
        (lambda: iid([0, 1], 0, seed=1), "clients"),
        (lambda: iid([0.5, 1], 1, seed=1), "labels: expected a flat array of whole numbers"),
        (lambda: iid([0, -1], 1, seed=1), "labels"),
        (lambda: iid([0, 1], 2, seed=None), "seed"),
        (lambda: shards([0, 1, 2], 2, each=2, seed=1), "each: expected at most 3 shards"),
        (lambda: dirichlet([0, 1], 2, alpha=0.0, seed=1), "alpha"),
        (lambda: sized([0, 1], [1.0, -1.0], seed=1), "sizes: client 1: expected numbers above 0"),
        (lambda: sized([0, 1], [1.0, np.inf], seed=1), "sizes: client 1"),
        (lambda: sized([0, 1], [[1.0]], seed=1), "sizes"),
        (
            lambda: Split(name="a", samples=3, clients=(np.array([0]), np.array([0]))),
            "client 1: expected samples nobody",
        ),
        (lambda: Split(name="a", samples=3, clients=(np.array([1, 1]),)), "one held twice"),
        (lambda: Split(name="a", samples=3, clients=(np.array([3]),)), "indices from 0 to 2, found 3 to 3"),
        (
            lambda: Split(name="a", samples=3, clients=(np.array([0]), np.array([], int))),
            "client 1: expected one index",
        ),
        (lambda: iid([0, 1], 2, seed=1).histogram([0, 1, 2]), "expected 2 labels"),
        (lambda: iid([0, 1], 2, seed=1).histogram([0, 1], 1), "classes"),
    ],
)
def test_bad_splits_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_the_arrays_of_a_split_are_its_own() -> None:
    mine = np.array([0, 1])
    split = Split(name="a", samples=2, clients=(mine,))
    mine[0] = 1
    assert split.clients[0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        split.clients[0][0] = 1


def test_the_arrays_of_a_copy_are_as_closed() -> None:
    split = Split(name="a", samples=2, clients=(np.array([0, 1]),))
    for found in (copy.deepcopy(split), pickle.loads(pickle.dumps(split))):
        assert (found.name, found.samples, found.clients[0].tolist()) == ("a", 2, [0, 1])
        with pytest.raises(ValueError, match="read-only"):
            found.clients[0][0] = 1


def test_the_picture_shows_the_histogram() -> None:
    pytest.importorskip("matplotlib")
    labels = SIXTY_THOUSAND
    split = iid(labels, 64, seed=1)
    sizes, counts = draw_split(split, labels).axes[:2]
    np.testing.assert_array_equal(counts.images[0].get_array(), split.histogram(labels).T)
    assert [bar.get_height() for bar in sizes.patches] == [937] * 64
    assert "32 of 60,000 samples left out" in sizes.get_title()
