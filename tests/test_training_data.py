"""Data sets: IDX files good and hostile, MNIST where it is, digits, arrays of the user's; the published models."""

from __future__ import annotations

import gzip
import hashlib
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedopt.checks import InputError

pytest.importorskip("torch")
pytest.importorskip("sklearn")
import torch

from fedopt.training import data
from fedopt.training.data import Dataset, digits, mnist
from fedopt.training.idx import read_idx
from fedopt.training.models import MODELS, build

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


def idx(array: np.ndarray[Any, Any]) -> bytes:
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_gives_back_what_was_written(kind: str, tmp_path: Path) -> None:
    array = (np.random.default_rng(1).normal(size=(4, 3, 2)) * 50).astype(kind)
    path = tmp_path / "a.idx"
    path.write_bytes(gzip.compress(idx(array)))
    for source in (idx(array), gzip.compress(idx(array)), path):
        found = read_idx(source)
        assert found.dtype == np.dtype(kind)
        np.testing.assert_array_equal(found, array)


def test_every_truncation_is_refused() -> None:
    plain = idx(np.arange(24, dtype=np.uint8).reshape(4, 6))
    packed = gzip.compress(plain)
    for content in (plain, packed):
        for length in range(len(content)):
            with pytest.raises(InputError, match="expected"):
                read_idx(content[:length])
    with pytest.raises(InputError, match="more than that"):
        read_idx(plain + b"\0")
    with pytest.raises(InputError, match="more than that"):
        read_idx(gzip.compress(plain + b"\0"))


def test_every_flipped_bit_is_refused_or_changes_numbers_only() -> None:
    """gzip's own sum finds any change; a plain file has none, so that its numbers may change but not their count."""
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for content, checked in ((idx(array), False), (gzip.compress(idx(array), mtime=0), True)):
        for bit in range(8 * len(content)):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            try:
                found = read_idx(bytes(damaged))
            except InputError:
                continue
            assert found.nbytes == 24
            if checked:
                np.testing.assert_array_equal(found, array)  # a flag or a time in gzip's header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an idx file",
        b"\0\0\x08\0",
        b"\0\0\x08\xff" + b"\xff" * 1020,
        b"\0\0\x08\x03" + b"\xff" * 12,  # 7.9e28 bytes claimed
        b"\0\0\x0e\x01\x7f\xff\xff\xff",
        gzip.compress(
            b"\0\0\x08\x01\x3f\xff\xff\xff", mtime=0
        ),  # a gibibyte claimed, within the limit, by 28 bytes of gzip
        gzip.compress(
            b"\0\0\x08\x01\0\0\0\x04" + bytes(200_000_000), compresslevel=1, mtime=0
        ),  # a bomb behind four bytes
    ],
)
def test_hostile_files_are_refused_soon_and_in_little_memory(content: bytes) -> None:
    tracemalloc.start()
    before = time.perf_counter()
    with pytest.raises(InputError, match=r"pictures\.idx: expected .*, found "):
        read_idx(content, name="pictures.idx")
    elapsed = time.perf_counter() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elapsed < 1.0
    assert peak < 1e7


def test_a_file_beyond_the_limit_is_not_unpacked() -> None:
    content = gzip.compress(idx(np.zeros(1_000_000, np.uint8)))
    with pytest.raises(InputError, match="at most 999,999 bytes of numbers"):
        read_idx(content, limit=999_999)
    assert read_idx(content, limit=1_000_000).size == 1_000_000


def small_mnist(folder: Path, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
    for half in ("train", "t10k"):
        (folder / f"{half}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{half}-labels-idx1-ubyte").write_bytes(idx(labels))  # plain


def test_a_folder_of_mnists_kind(tmp_path: Path) -> None:
    images = np.arange(2 * 5 * 5, dtype=np.uint8).reshape(2, 5, 5)
    small_mnist(tmp_path, images, np.array([3, 9], np.uint8))
    found = mnist(tmp_path)
    assert (found.name, found.classes, found.shape, len(found.train)) == ("mnist", 10, (1, 5, 5), 2)
    np.testing.assert_allclose(found.train.images[:, 0], (images / 255 - 0.1307) / 0.3081, atol=1e-6)
    assert found.test.labels.tolist() == [3, 9]
    small_mnist(tmp_path, images, np.array([3, 9, 1], np.uint8))
    with pytest.raises(InputError, match=r"train-images.*expected pictures of bytes .* and n labels"):
        mnist(tmp_path)
    small_mnist(tmp_path, images, np.array([3, 10], np.uint8))
    with pytest.raises(InputError, match=r"labels: expected 0 to 9"):
        mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"the file t10k-images-idx3-ubyte\.gz"):
        mnist(tmp_path)


def test_a_download_is_kept_only_if_its_sum_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "_download", lambda url: b"not what was published")
    with pytest.raises(InputError, match=r"train-images.*SHA-256 440fcabf"):
        mnist()
    assert not list((tmp_path / "fedopt" / "mnist").iterdir())
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "MIRROR", "http://127.0.0.1:9/")  # the discard port: nobody answers
    with pytest.raises(InputError, match=r"without internet, name a folder .* or train on digits\(\)"):
        mnist()


@pytest.mark.skipif(not MNIST.is_dir(), reason="needs MNIST in ../shared/data/mnist, beside the checkout")
def test_mnist_itself() -> None:
    """Counts and first labels as published; mean and deviation of the normalised pixels are 0 and 1."""
    found = mnist(MNIST)
    assert (len(found.train), len(found.test), found.shape) == (60_000, 10_000, (1, 28, 28))
    assert found.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    pixels = found.train.images.double()
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1.0) < 1e-3
    name = "t10k-images-idx3-ubyte.gz"  # the test files there are the published ones
    assert hashlib.sha256((MNIST / name).read_bytes()).hexdigest() == data.FILES[name]


def test_digits_are_split_by_seed_and_normalised() -> None:
    one, same, other = digits(3), digits(3), digits(np.random.default_rng(4))
    assert (len(one.train), len(one.test), one.shape, one.classes) == (1438, 359, (1, 8, 8), 10)
    assert torch.equal(one.train.images, same.train.images)
    assert not torch.equal(one.test.images, other.test.images)
    pixels = torch.cat((one.train.images, one.test.images)).double()
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1.0) < 1e-3
    keys = {(float(x.double().cos().sum()), int(y)) for x, y in zip(pixels, range(1797), strict=True)}
    assert len(keys) == 1797


def test_own_arrays_lists_and_tensors() -> None:
    x, y = np.random.default_rng(1).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    found = Dataset.of((x, y), (torch.from_numpy(x)[:2], [2, 0]), name="tiny")
    assert (found.classes, found.shape, found.name, found.train.images.dtype) == (3, (4,), "tiny", torch.float32)
    pictures = Dataset.of((np.zeros((2, 8, 8)), [0, 1]), (np.zeros((1, 1, 8, 8)), [1]), classes=5)
    assert (pictures.shape, pictures.classes) == ((1, 8, 8), 5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), [0, 1], r"train: expected x of shape .*found \(3, 2\) and \(2,\)"),
        (np.zeros(3), [0, 1, 2], "x of shape"),
        (np.zeros((0, 2)), np.zeros(0, int), "n >= 1"),
        (np.zeros((2, 2)), [0, -1], "whole numbers from 0 on"),
        (np.zeros((2, 2)), [0.0, 1.0], "whole numbers"),
        (np.zeros((2, 2)), [True, False], "whole numbers"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), [0, 1], "finite numbers, found others in sample 1"),
        (np.zeros((2, 2), complex), [0, 1], "real x"),
        (np.array([["a"], ["b"]]), [0, 1], "arrays of numbers"),
        (None, [0, 1], "arrays of numbers"),
    ],
)
def test_bad_arrays_are_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset.of((x, y), (np.zeros((1, 2)), [0]))


def test_the_halves_must_fit() -> None:
    with pytest.raises(InputError, match=r"Dataset.test: expected samples of shape \(2,\)"):
        Dataset.of((np.zeros((1, 2)), [0]), (np.zeros((1, 3)), [0]))
    with pytest.raises(InputError, match="0 to 1, for 2 classes"):
        Dataset.of((np.zeros((1, 2)), [0]), (np.zeros((1, 2)), [2]), classes=2)
    with pytest.raises(InputError, match="a pair"):
        Dataset.of(np.zeros((3, 2)), (np.zeros((1, 2)), [0]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "count"), [("paper_cnn", 16_938), ("two_nn", 199_210), ("fedavg_cnn", 1_663_370)])
def test_the_published_sizes(name: str, count: int) -> None:
    model = build(name, (1, 28, 28), 10, seed=1)
    assert sum(weights.numel() for weights in model.parameters()) == count
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_seed_decides_the_weights_and_leaves_torchs_state_alone(name: str) -> None:
    state = torch.get_rng_state()
    one, same, other = (build(name, (1, 8, 8), 10, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[entry], same[entry]) for entry in one)
    assert any(not torch.equal(one[entry], other[entry]) for entry in one)
    for entry, weights in one.items():
        if weights.ndim > 1:  # He's variance, or PyTorch's, to 5 standard errors of a sample of normals
            expected = (2.0 if name == "paper_cnn" else 1.0 / 3.0) / weights[0].numel()
            assert abs(float(weights.var()) / expected - 1.0) < 5.0 * (2.0 / weights.numel()) ** 0.5, entry


def test_shapes_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="shape: expected"):
        build("paper_cnn", (1, 3, 8), 10, seed=0)
    with pytest.raises(InputError, match="one of paper_cnn, two_nn, fedavg_cnn"):
        build("resnet", (1, 8, 8), 10, seed=0)
