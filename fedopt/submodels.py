"""Sub-model types, the work they make for a client, and the partitions of a fleet into them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import (
    Field,
    FloatArray,
    InputError,
    array_of,
    brief,
    by_constructor,
    column,
    compact,
    copies,
    harmless,
    kind,
    number,
    read,
    refuse,
    stands_for_all,
    whole,
)

if TYPE_CHECKING:
    from fedopt.clients import Clients

IntArray = NDArray[np.int64]

MAX_PARTITIONS = 5_000_000  # that may be searched: a gigabyte or so
MAX_COUNT = 10**15  # clients of a type, or sub-models of a replica: beyond, a double no longer counts them
MAX_PLACES = 10**10  # partitions times clients: beyond, a search would take hours

_CYCLES = Field(name="cycles", unit="cycle", meaning="CPU cycles of the round", zero=True)
_UPLOAD = Field(name="upload_bits", unit="bit", meaning="update sent", zero=True)
_DOWNLOAD = Field(name="download_bits", unit="bit", meaning="weights received", zero=True)
_FIELDS = (_CYCLES, _UPLOAD, _DOWNLOAD)


@dataclass(frozen=True, slots=True)
class SubModel:
    """One type of sub-model, as the solver sees it.

    Parameters
    ----------
    name : for people and files.
    flops : [FLOP/sample] forward and backward of one sample, w.
    upload_bits : [bit] update sent after the round, s.
    download_bits : [bit] weights received before it, s_d; default the same as upload_bits.
    cover : how many sub-models of this type make one replica of the global model, q >= 1.

    Raises InputError. A type with nothing to compute, send or receive is an idle place: it forms no replica.
    """

    name: str
    _: dataclasses.KW_ONLY
    flops: float
    upload_bits: float
    download_bits: float | None = None
    cover: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable() or not 0 < len(self.name) <= 200:
            refuse("SubModel.name", "a text of 1 to 200 printable characters", self.name)
        owner = f"SubModel({self.name!r})"
        if harmless(self.name) != self.name:
            expected = "a first character (and after a ;) that is none of = + - @"
            raise InputError(f"{owner}.name", expected, repr(self.name[:80]))
        object.__setattr__(self, "flops", number(f"{owner}.flops", self.flops, zero=True, unit="FLOP/sample"))
        upload = number(f"{owner}.upload_bits", self.upload_bits, zero=True, unit="bit")
        object.__setattr__(self, "upload_bits", upload)
        download = self.download_bits
        download = upload if download is None else number(f"{owner}.download_bits", download, zero=True, unit="bit")
        object.__setattr__(self, "download_bits", download)
        object.__setattr__(self, "cover", whole(f"{owner}.cover", self.cover, least=1, most=MAX_COUNT))

    @classmethod
    def idle(cls, name: str = "idle") -> SubModel:
        """A place without work: the client sits the round out."""
        return cls(name, flops=0.0, upload_bits=0.0, download_bits=0.0, cover=1)

    @property
    def is_idle(self) -> bool:
        """True where there is nothing to compute, send or receive."""
        return self.flops == 0.0 and self.upload_bits == 0.0 and self.download_bits == 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """What each client has to do in the round; arrays of shape (N,).

    Parameters
    ----------
    cycles : [cycle] W, CPU cycles.
    upload_bits : [bit] s, update sent.
    download_bits : [bit] s_d, weights received; default the same as upload_bits.

    A client with nothing in all three is idle: no time, no energy. Raises InputError.
    """

    cycles: FloatArray
    upload_bits: FloatArray
    download_bits: FloatArray | None = None
    spans: dict[str, tuple[float, float]] = field(init=False, repr=False)  # least and greatest number of each column

    def __post_init__(self) -> None:
        fields = _FIELDS[:2] if self.download_bits is None else _FIELDS
        given = [read("Workload", field, getattr(self, field.name)) for field in fields]
        arrays = [values for values in given if not isinstance(values, float) and not stands_for_all(values)]
        if len(arrays) == len(fields) and len({array.shape for array in arrays}) == 1:
            columns = copies("Workload", fields, arrays)  # all in one sweep
        else:
            columns = [
                _with_span(column("Workload", each, values, None)) for each, values in zip(fields, given, strict=True)
            ]
        spans = {}
        for each, (values, least, greatest) in zip(fields, columns, strict=True):
            object.__setattr__(self, each.name, values)
            spans[each.name] = least, greatest
        if self.download_bits is None:
            object.__setattr__(self, "download_bits", self.upload_bits)
            spans["download_bits"] = spans["upload_bits"]
        object.__setattr__(self, "spans", spans)

    __reduce__ = by_constructor

    def sized(self, size: int) -> Workload:
        """The workload with every column of shape (size,). Raises InputError where a length does not fit."""
        assert self.download_bits is not None
        if self.cycles.shape == self.upload_bits.shape == self.download_bits.shape == (size,):
            return self
        sized = object.__new__(Workload)  # its numbers are checked
        object.__setattr__(sized, "spans", self.spans)
        for each in _FIELDS:
            values = getattr(self, each.name)
            if values.shape != (size,):
                values = column("Workload", each, values if values.ndim else float(values), size)
            object.__setattr__(sized, each.name, values)
        return sized

    @property
    def idle(self) -> NDArray[np.bool_]:
        """Which clients have nothing to do."""
        assert self.download_bits is not None
        idle: NDArray[np.bool_] = (self.cycles == 0.0) & (self.upload_bits == 0.0) & (self.download_bits == 0.0)
        return idle


def _with_span(values: FloatArray) -> tuple[FloatArray, float, float]:
    numbers = compact(np.atleast_1d(values))
    return values, float(numbers.min(initial=np.inf)), float(numbers.max(initial=-np.inf))


class Partition(tuple[int, ...]):
    """How many clients get each type: K whole numbers; and ``replicas``, R = sum of n_k / q_k over working types."""

    replicas: float

    def __new__(cls, counts: Sequence[int], submodels: Sequence[SubModel] = ()) -> Partition:
        if submodels == () and isinstance(counts, GeneratorType):  # so dataclasses.asdict copies a tuple
            return tuple(counts)
        kind("Partition", submodels, (tuple, list), "a tuple of SubModel beside the counts")
        for entry in submodels:
            kind("Partition", entry, SubModel, "SubModel entries")
        expected = f"{len(submodels)} counts, one per sub-model type"
        kind("Partition", counts, (Sequence, np.ndarray), expected)
        one = isinstance(counts, str | bytes) or getattr(counts, "ndim", 1) == 0
        if one or len(counts) != len(submodels):
            raise InputError("Partition", expected, brief(counts) if one else f"{len(counts)}")
        checked = [whole(f"Partition[{submodels[k].name!r}]", count, most=MAX_COUNT) for k, count in enumerate(counts)]
        self = super().__new__(cls, checked)
        self.replicas = replicas(np.array([checked]), submodels)[0]
        return self

    def __reduce__(self) -> tuple[Any, ...]:  # without the sub-models, which it does not keep
        return tuple.__new__, (type(self), tuple(self)), self.__dict__


def replicas(counts: NDArray[Any], submodels: Sequence[SubModel]) -> FloatArray:
    """R of each row of counts (P, K): replicas of the global model the round trains."""
    weights = np.array([0.0 if types.is_idle else 1.0 / types.cover for types in submodels])
    result: FloatArray = counts @ weights
    return result


def partition_count(clients: int, submodels: Sequence[SubModel]) -> int:
    """How many partitions of whole replicas there are (the coefficient of x^N in the product of 1/(1 - x^q))."""
    everything = [types.cover for types in submodels]
    idle = [types.cover for types in submodels if types.is_idle]  # everybody idle trains nothing
    exact = float(_ways(clients, everything)[0].max()) < 2.0**53
    dtype = np.float64 if exact else object
    return int(_ways(clients, everything, dtype)[0, clients]) - int(_ways(clients, idle, dtype)[0, clients])


def too_many(clients: int, submodels: Sequence[SubModel]) -> bool:
    """Whether there are more partitions than all_partitions() would list."""
    count = _ways(clients, [types.cover for types in submodels])[0, clients]
    return bool(count > MAX_PARTITIONS or count * clients > MAX_PLACES)


def all_partitions(clients: int, submodels: Sequence[SubModel]) -> IntArray:
    """Every partition of ``clients`` into whole replicas, shape (P, K), largest first type first.

    Each n_k is a multiple of cover q_k and they sum to N; R > 0. Raises InputError where none exists, or more than
    MAX_PARTITIONS or, times the clients, MAX_PLACES do.
    """
    covers = [types.cover for types in submodels]
    ways = _ways(clients, covers)
    if ways[0, clients] > MAX_PARTITIONS:
        expected = f"at most {MAX_PARTITIONS:,} partitions to search: name some with partitions=[...], or raise covers"
        found = f"{ways[0, clients]:,.0f}" if ways[0, clients] < 1e15 else f"{ways[0, clients]:.3g}"
        raise InputError("Problem.submodels", expected, f"{found} for {clients} clients")
    if ways[0, clients] * clients > MAX_PLACES:
        expected = f"at most {MAX_PLACES:.0e} partitions x clients to search: name some with partitions=[...]"
        raise InputError("Problem.submodels", expected, f"{ways[0, clients]:,.0f} partitions of {clients:,} clients")
    left = np.full(min(1, int(ways[0, clients])), clients)
    rows = np.empty((left.size, 0), dtype=np.int64)
    for k, cover in enumerate(covers):
        rest, parent = _rests(left, min(cover, clients + 1), np.flatnonzero(ways[k + 1]))
        rows = np.column_stack((rows[parent], left[parent] - rest))
        left = rest
    rows = rows[replicas(rows, submodels) > 0.0]
    if rows.shape[0] == 0:
        expected = f"sub-models whose covers {covers} can fill {clients} clients with whole replicas"
        raise InputError("Problem.submodels", expected, "none that do")
    return rows


def _ways(clients: int, covers: Sequence[int], dtype: Any = np.float64) -> NDArray[Any]:
    """Entry [k, n], shape (K + 1, N + 1): in how many ways the types k, k + 1, ... fill n places."""
    ways = np.zeros((len(covers) + 1, clients + 1), dtype=dtype)
    ways[-1, 0] = 1
    with np.errstate(over="ignore"):
        for k in reversed(range(len(covers))):
            ways[k] = ways[k + 1]
            if covers[k] <= clients:  # ways[k, n] = ways[k + 1, n] + ways[k, n - q]: sums along a stride of q
                padded = np.zeros(-(-(clients + 1) // covers[k]) * covers[k], dtype=dtype)
                padded[: clients + 1] = ways[k]
                ways[k] = padded.reshape(-1, covers[k]).cumsum(axis=0).ravel()[: clients + 1]
    return ways


def _rests(left: IntArray, cover: int, fillable: IntArray) -> tuple[IntArray, IntArray]:
    """What can remain of each of ``left`` (P,) places once a type took a multiple of ``cover``, least first.

    fillable: ascending, what the types after it can fill. Returns the remainders of all, and whose each is.
    """
    span = int(left.max(initial=0)) + 1
    fillable = fillable[fillable < span]
    keys = np.sort(fillable % cover * span + fillable)  # by residue, then by size
    first = np.searchsorted(keys, left % cover * span)
    each = np.searchsorted(keys, left % cover * span + left, side="right") - first
    parent = np.repeat(np.arange(left.size), each)
    place = np.arange(parent.size) - np.repeat(np.cumsum(each) - each, each)
    return keys[first[parent] + place] % span, parent


def given_partitions(clients: int, submodels: Sequence[SubModel], partitions: Any) -> IntArray:
    """Check a list of count tuples: shape (P, K), sums N, whole replicas, something trained. Raises InputError."""
    owner = "Problem.partitions"
    kind(owner, partitions, (Sequence, np.ndarray), "a list of count tuples")
    if isinstance(partitions, np.ndarray) and partitions.ndim != 2:
        raise InputError(owner, "a list of count tuples", f"an array of shape {partitions.shape}")
    if len(partitions) == 0:
        raise InputError(owner, "at least one partition", "an empty list")
    rows = np.empty((len(partitions), len(submodels)), dtype=np.int64)
    for index, counts in enumerate(partitions):
        kind(f"{owner}[{index}]", counts, (Sequence, np.ndarray), f"{len(submodels)} counts")
        try:
            partition = Partition(counts, submodels)
        except InputError as error:
            where = f"{owner}[{index}]{error.field.removeprefix('Partition')}"
            raise InputError(where, error.expected, error.found) from None
        where = f"{owner}[{index}] = {tuple(partition)}"
        if sum(partition) != clients:
            raise InputError(where, f"counts that sum to {clients} clients", f"{sum(partition)}")
        for count, types in zip(partition, submodels, strict=True):
            if count % types.cover:
                expected = f"a multiple of {types.cover} sub-models {types.name!r} (whole replicas)"
                raise InputError(where, expected, f"{count}")
        if partition.replicas <= 0.0:
            raise InputError(where, "at least one client that trains", "only idle places")
        rows[index] = partition
    rows.flags.writeable = False
    return rows


def type_indices(name: str, assignment: Any, size: int, types: int) -> IntArray:
    """Check who trains what: the index of one of ``types`` for each of ``size`` clients, or one for all.

    Raises InputError.
    """
    expected = f"{size} whole numbers, a type index per client"
    given = array_of(name, assignment, "iu", expected)
    if given.ndim > 1:
        raise InputError(name, expected, f"an array of shape {given.shape}")
    if given.ndim == 1 and given.shape[0] != size:
        raise InputError(name, f"{size} type indices", f"{given.shape[0]}")
    if given.size and (given.min() < 0 or given.max() >= types):
        wrong = np.atleast_1d((given < 0) | (given >= types))
        first = int(np.argmax(wrong))
        raise InputError(name, f"0 to {types - 1}", f"{np.atleast_1d(given)[first]}", first)
    return given.astype(np.int64, copy=False)


def make_workload(clients: Clients, submodels: Sequence[SubModel], assignment: Any) -> Workload:
    """The workload of a matching; see ``Clients.workload``."""
    kind("submodels", submodels, (tuple, list), "a tuple of SubModel")
    for entry in submodels:
        kind("submodels", entry, SubModel, "SubModel entries")
    types = type_indices("assignment", assignment, len(clients), len(submodels))
    flops = np.array([s.flops for s in submodels])[types]
    upload = np.array([s.upload_bits for s in submodels])[types]
    download = np.array([s.download_bits for s in submodels], dtype=np.float64)[types]
    with np.errstate(all="ignore"):
        cycles = clients.local_epochs * clients.samples * flops / clients.flops_per_cycle
    if not np.isfinite(cycles).all():
        first = int(np.argmin(np.isfinite(cycles)))
        raise InputError("Clients.samples", "a workload within the range of a double", f"{cycles[first]} cycles", first)
    return Workload(cycles=cycles, upload_bits=upload, download_bits=download).sized(len(clients))
