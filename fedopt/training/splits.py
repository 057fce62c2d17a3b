"""Who holds which samples: splits of a training set over clients, seeded, with no sample lost or held twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.channel import generator
from fedopt.checks import FloatArray, InputError, by_constructor, decided, number, refuse, whole
from fedopt.submodels import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """The samples of each client: one array of indices into the training set per client, read-only.

    name : for people and files. samples : how many the training set has. clients : N arrays of indices, each of one
    sample or more. Raises InputError for an index outside the set or one that two clients hold.
    """

    name: str
    samples: int
    clients: tuple[IntArray, ...]

    def __post_init__(self) -> None:
        total = whole("Split.samples", self.samples, least=1)
        holder = np.full(total, -1, dtype=np.int64)
        copies = []
        for client, indices in enumerate(self.clients):
            held = np.array(indices)
            if held.ndim != 1 or held.size == 0 or held.dtype.kind not in "iu":
                found = f"{held.dtype} of shape {held.shape}"
                raise InputError("Split.clients", "one index or more, whole numbers", found, client)
            if held.min() < 0 or held.max() >= total:
                raise InputError(
                    "Split.clients", f"indices from 0 to {total - 1}", f"{held.min()} to {held.max()}", client
                )
            if (holder[held] >= 0).any() or np.unique(held).size < held.size:
                raise InputError("Split.clients", "samples nobody else holds, each once", "one held twice", client)
            holder[held] = client
            held = held.astype(np.int64)
            held.flags.writeable = False
            copies.append(held)
        object.__setattr__(self, "clients", tuple(copies))

    __reduce__ = by_constructor

    def __len__(self) -> int:
        return len(self.clients)

    @property
    def sizes(self) -> IntArray:
        """Samples of each client, shape (N,); the ``samples`` of a device table that fits this split."""
        return np.array([indices.size for indices in self.clients], dtype=np.int64)

    @property
    def left_out(self) -> int:
        """Samples nobody holds; 0 for every split here but ``iid``, which drops a remainder."""
        return self.samples - int(self.sizes.sum())

    def histogram(self, labels: Any, classes: int | None = None) -> IntArray:
        """How many samples of each class a client holds, shape (N, classes). Raises InputError for other labels."""
        known = _labels(labels)
        if known.size != self.samples:
            raise InputError("labels", f"{self.samples} labels, one per training sample", f"{known.size}")
        width = int(known.max()) + 1 if classes is None else whole("classes", classes, least=int(known.max()) + 1)
        return np.array([np.bincount(known[indices], minlength=width) for indices in self.clients])


def iid(labels: Any, clients: int, *, seed: Any) -> Split:
    """Shuffled and dealt out evenly: floor(n / N) samples each, and the remainder is left out.

    60,000 samples make the 64 x 937 of Yu & Li (IEEE Network 35(1), 2021), 32 left out, and the 100 x 600 of McMahan
    et al. (AISTATS 2017).
    """
    total, count = _sizes(labels, clients)
    each = total // count
    order = generator(seed).permutation(total)[: each * count]
    return Split(name=f"iid, {count} x {each}", samples=total, clients=tuple(order.reshape(count, each)))


def shards(labels: Any, clients: int, *, each: int, seed: Any) -> Split:
    """Sorted by label, cut into N x ``each`` shards of as equal a size as can be, ``each`` shards at random per client.

    60,000 samples, 64 clients, 5 shards each: the 320 shards of 187 or 188 of Yu & Li. 100 clients, 2 each: McMahan et
    al.'s 200 shards of 300. Within a label samples stay in their order.
    """
    total, count = _sizes(labels, clients)
    pieces = count * whole("each", each, least=1)
    if pieces > total:
        raise InputError("each", f"at most {total} shards of one sample", f"{count} x {each}")
    cut = np.array_split(np.argsort(_labels(labels), kind="stable"), pieces)
    deal = generator(seed).permutation(pieces).reshape(count, each)
    parts = tuple(np.concatenate([cut[piece] for piece in row]) for row in deal)
    return Split(name=f"{pieces} label-sorted shards, {each} each", samples=total, clients=parts)


def dirichlet(labels: Any, clients: int, *, alpha: float, seed: Any) -> Split:
    """Each class dealt out in proportions drawn from a symmetric Dirichlet(alpha): small alpha, few clients per class.

    A client that got nothing takes one sample of whoever has most, so that everybody trains. Source: Yurochkin et al.,
    ICML 2019, and Li et al., ICDE 2022, who instead draw anew until nobody has too few.
    """
    total, count = _sizes(labels, clients)
    concentration = number("alpha", alpha)
    rng, known = generator(seed), _labels(labels)
    parts: list[list[NDArray[Any]]] = [[] for _ in range(count)]
    for label in np.unique(known):
        members = rng.permutation(np.flatnonzero(known == label))
        shares = _dirichlet(rng, concentration, count)
        for part, piece in zip(parts, np.split(members, np.cumsum(_apportion(members.size, shares))[:-1]), strict=True):
            part.append(piece)
    whole_parts = [np.concatenate(part) for part in parts]
    for client in range(count):
        if whole_parts[client].size == 0:
            richest = int(np.argmax([part.size for part in whole_parts]))
            whole_parts[client], whole_parts[richest] = np.split(whole_parts[richest], [1])
    return Split(name=f"Dirichlet({concentration:g})", samples=total, clients=tuple(whole_parts))


def sized(labels: Any, sizes: Any, *, seed: Any) -> Split:
    """Shuffled and dealt out in proportion to ``sizes`` (N,), such as a device table's ``samples``; all are dealt out.

    Whole numbers by largest remainders, at least one each: exactly ``sizes`` where they sum to the training set.
    """
    wanted = np.atleast_1d(decided("sizes", sizes, np.size(sizes)))
    total, count = _sizes(labels, wanted.size)
    if not (np.isfinite(wanted).all() and (wanted > 0.0).all()):
        first = int(np.argmin(np.isfinite(wanted) & (wanted > 0.0)))
        raise InputError("sizes", "numbers above 0", repr(float(wanted[first])), first)
    counts = _apportion(total, wanted)
    while counts.min() == 0:
        counts[int(np.argmax(counts))] -= 1
        counts[int(np.argmin(counts))] += 1
    order = generator(seed).permutation(total)
    parts = tuple(np.split(order, np.cumsum(counts)[:-1]))
    return Split(name=f"in proportion to {count} sizes", samples=total, clients=parts)


def _apportion(total: int, weights: FloatArray) -> IntArray:
    """``total`` as whole numbers in proportion to the weights, by largest remainders."""
    exact = total * (weights / weights.sum())
    counts: IntArray = np.floor(exact).astype(np.int64)
    behind = np.argsort(counts - exact, kind="stable")
    counts[behind[: total - int(counts.sum())]] += 1
    return counts


def _dirichlet(rng: np.random.Generator, alpha: float, count: int) -> FloatArray:
    """Proportions; where every gamma draw underflows (a tiny alpha) one client takes the class, which is the limit."""
    shares = rng.standard_gamma(alpha, count)
    if shares.sum() == 0.0:
        shares[int(rng.integers(count))] = 1.0
    return shares


def _labels(labels: Any) -> IntArray:
    known = np.asarray(labels)
    if known.ndim != 1 or known.dtype.kind not in "iu" or known.size == 0 or known.min() < 0:
        refuse("labels", "a flat array of whole numbers from 0 on, one per training sample", labels)
    return known.astype(np.int64)


def _sizes(labels: Any, clients: int) -> tuple[int, int]:
    total = _labels(labels).size
    count = whole("clients", clients, least=1)
    if count > total:
        raise InputError("clients", f"at most {total}, a training sample for each", str(count))
    return total, count
