"""Data sets: MNIST from a folder or downloaded, scikit-learn's digits, and any arrays of the user's."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedopt.channel import generator
from fedopt.checks import InputError, refuse, whole
from fedopt.disk import replace_file
from fedopt.training.idx import read_idx
from solvers.lookup import MissingExtra

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # the one torchvision downloads from; LeCun's page is closed
FILES = {  # SHA-256 of the files as LeCun, Cortes and Burges published them; sums found alike in many public projects
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, as fractions of white
_LARGEST_DOWNLOAD = 1 << 24  # bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """``images`` float32 (n, ...), for a picture (n, channels, height, width); ``labels`` int64 (n,), from 0 on."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What is trained on and what the accuracy is measured on; labels are 0 to ``classes`` - 1 in both."""

    name: str
    classes: int
    train: Samples
    test: Samples

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch."""
        return tuple(self.train.images.shape[1:])

    @classmethod
    def of(
        cls, train: tuple[Any, Any], test: tuple[Any, Any], *, name: str = "own", classes: int | None = None
    ) -> Dataset:
        """Any pairs (x, y) of arrays or tensors: x (n, ...) of finite numbers, y (n,) of whole numbers from 0 on.

        x of shape (n, height, width) is taken for pictures of one channel; nothing is normalised. ``classes`` is by
        default one more than the greatest label of both. Raises InputError naming the half, expected and found.
        """
        halves = [_samples(f"Dataset.{half}", pair) for half, pair in (("train", train), ("test", test))]
        if halves[0].images.shape[1:] != halves[1].images.shape[1:]:
            shapes = [tuple(samples.images.shape[1:]) for samples in halves]
            raise InputError("Dataset.test", f"samples of shape {shapes[0]}, as in train", f"{shapes[1]}")
        most = max(int(samples.labels.max()) for samples in halves)
        classes = most + 1 if classes is None else whole("Dataset.classes", classes, least=1)
        if most >= classes:
            raise InputError("Dataset.labels", f"0 to {classes - 1}, for {classes} classes", str(most))
        return cls(name=name, classes=classes, train=halves[0], test=halves[1])


def mnist(folder: str | PathLike[str] | None = None) -> Dataset:
    """MNIST, 60,000 and 10,000 pictures of 1 x 28 x 28, as (pixel / 255 - 0.1307) / 0.3081.

    folder : where the four IDX files are, plain or gzip; nothing is downloaded then, and any files of MNIST's kind will
    do (Fashion-MNIST's, say). None: ``~/.cache/fedopt/mnist`` (or ``$XDG_CACHE_HOME``), filled by a download whose
    SHA-256 sums are checked, if it is not yet. Raises InputError naming the file, OSError where it cannot be read.
    """
    home = _cache() if folder is None else Path(folder)
    arrays = [read_idx(_find(home, name)) for name in FILES]
    for name, images, labels in zip(list(FILES)[::2], arrays[::2], arrays[1::2], strict=True):
        if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or len(images) != len(labels):
            found = f"{images.dtype} {images.shape} with labels {labels.shape}"
            raise InputError(str(home / name), "pictures of bytes (n, height, width) and n labels", found)
    pictures = [_normalised(images, 255.0, MEAN, DEVIATION) for images in arrays[::2]]
    return Dataset.of((pictures[0], arrays[1]), (pictures[1], arrays[3]), name="mnist", classes=10)


def digits(seed: Any = 0) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 1 x 8 x 8, a fifth of them drawn for the test; needs no file.

    Pixels 0 to 16 are normalised by the mean and standard deviation of all of them (0.3053 and 0.3760 of white). Raises
    MissingExtra without scikit-learn. Source: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra(f"digits need {error.name}: pip install 'fedopt[training]'", name=error.name) from error
    content = load_digits()
    pictures, labels = _normalised(content.images, 16.0, 0.3053, 0.3760), content.target
    order = generator(seed).permutation(len(labels))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    return Dataset.of((pictures[train], labels[train]), (pictures[test], labels[test]), name="digits", classes=10)


def _normalised(images: Any, white: float, mean: float, deviation: float) -> Any:
    """Pictures with about mean 0 and deviation 1; one pass in single precision, as a float64 copy would be 376 MB."""
    pictures = images.astype(np.float32)
    pictures -= np.float32(white * mean)
    pictures /= np.float32(white * deviation)
    return pictures


def _samples(owner: str, pair: Any) -> Samples:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        refuse(owner, "a pair (x, y)", pair)
    try:
        x, y = (torch.as_tensor(np.ascontiguousarray(part) if not isinstance(part, Tensor) else part) for part in pair)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(owner, "two arrays of numbers", str(error)[:120]) from None
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or len(y) == 0:
        raise InputError(
            owner, "x of shape (n, ...) and y of shape (n,), n >= 1", f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.is_complex() or y.is_complex() or y.is_floating_point() or y.dtype == torch.bool or int(y.min()) < 0:
        raise InputError(owner, "real x, and y of whole numbers from 0 on", f"x {x.dtype}, y {y.dtype} from {y.min()}")
    images = x.detach().to(torch.float32)
    if not bool(torch.isfinite(images).all()):
        first = int(torch.isfinite(images).flatten(1).all(1).int().argmin())
        raise InputError(owner, "finite numbers", f"others in sample {first}")
    if images.ndim == 3:
        images = images[:, None]
    return Samples(images=images.contiguous(), labels=y.detach().to(torch.int64).contiguous())


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / name.removesuffix(".gz")):
        if candidate.is_file():
            return candidate
    raise InputError(str(folder), f"the file {name}, or the same without .gz", "no such file")


def _cache() -> Path:
    """The folder of the download, with all of its files in it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedopt" / "mnist"
    folder.mkdir(parents=True, exist_ok=True)
    for name, expected in FILES.items():
        if not (folder / name).is_file():
            content = _download(MIRROR + name)
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise InputError(MIRROR + name, f"content of SHA-256 {expected}", f"{found}, {len(content):,} bytes")
            replace_file(folder / name, content)
    return folder


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30.0) as answer:
            content: bytes = answer.read(_LARGEST_DOWNLOAD)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        expected = "an answer; without internet, name a folder that has MNIST's four files, or train on digits()"
        raise InputError(url, expected, str(error)) from None
    return content
