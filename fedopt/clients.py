"""Clients: the device table. One array per field, SI units, checked once, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import (
    Field,
    FloatArray,
    InputError,
    array_of,
    by_constructor,
    compact,
    copies,
    harmless,
    one_number,
    read,
    refuse,
    stands_for_all,
)

if TYPE_CHECKING:
    import pandas

    from fedopt.submodels import SubModel, Workload

FIELDS: tuple[Field, ...] = (
    Field(name="frequency_min", unit="Hz", meaning="least CPU frequency", zero=True),
    Field(name="frequency_max", unit="Hz", meaning="greatest CPU frequency"),
    Field(
        name="capacitance",
        unit="J s^2",
        meaning="effective switched capacitance k: dynamic power is k f^3",
        default=1e-28,
    ),
    Field(name="flops_per_cycle", unit="FLOP/cycle", meaning="throughput of the CPU", default=1.0),
    Field(
        name="static_power", unit="W", meaning="drawn while computing, whatever the frequency", default=0.0, zero=True
    ),
    Field(name="samples", unit="", meaning="local training samples", zero=True),
    Field(name="local_epochs", unit="", meaning="passes over the local data in a round", default=1.0),
    Field(name="channel_gain", unit="", meaning="power gain: path loss x shadowing x fading", zero=True),
    Field(name="bandwidth", unit="Hz", meaning="of this client's uplink channel"),
    Field(name="noise_density", unit="W/Hz", meaning="of the receiver's noise; -174 dBm/Hz", default=3.981e-21),
    Field(name="power_max", unit="W", meaning="greatest transmit power", default=0.2, infinite=True),
    Field(name="power_min", unit="W", meaning="least transmit power", default=0.0, zero=True),
    Field(name="circuit_power", unit="W", meaning="drawn by the radio while sending", default=0.0, zero=True),
    Field(name="download_rate", unit="bit/s", meaning="downlink of the sub-model", default=np.inf, infinite=True),
    Field(name="receive_power", unit="W", meaning="drawn by the radio while receiving", default=0.0, zero=True),
    Field(name="overhead", unit="s", meaning="any fixed delay in a client's round", default=0.0, zero=True),
)
FIELD = {field.name: field for field in FIELDS}

_DEFAULT: dict[str, Any] = {field.name: field.default for field in FIELDS}  # numbers; columns once checked


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clients:
    """The devices of a fleet: one array of shape (N,) per field, in SI units.

    Every field takes one number (for all clients) or N numbers; at least one must have N numbers, or give ``name``.
    The arrays are float64, read-only copies. Symbols are those of the model: dynamic power is kappa f^3.

    Parameters
    ----------
    frequency_min, frequency_max : [Hz] CPU frequency range.
    capacitance : [J s^2] effective switched capacitance kappa, default 1e-28.
    flops_per_cycle : [FLOP/cycle] throughput of the CPU, default 1.
    static_power : [W] drawn while computing, whatever the frequency, default 0.
    samples : local training samples.
    local_epochs : passes over the local data in a round, default 1.
    channel_gain : power gain of the uplink, path loss x shadowing x fading; 0 is a client out of reach.
    bandwidth : [Hz] of this client's uplink channel.
    noise_density : [W/Hz] default 3.981e-21, which is -174 dBm/Hz.
    power_max, power_min : [W] transmit power range, default 0.2 and 0; power_max may be inf.
    circuit_power : [W] drawn by the radio while sending, default 0.
    download_rate : [bit/s] downlink of the sub-model, default inf.
    receive_power : [W] drawn while receiving, default 0.
    overhead : [s] any fixed delay in a client's round, default 0.
    name : N texts for people, default "0", "1", ...

    ``numbers`` has the same columns by name, of shape (1,) where one number stands for all; ``spans`` their least and
    greatest numbers.

    Raises
    ------
    InputError naming the field, the client, what was expected and what was found.
    """

    frequency_min: FloatArray
    frequency_max: FloatArray
    samples: FloatArray
    channel_gain: FloatArray
    bandwidth: FloatArray
    capacitance: FloatArray = _DEFAULT["capacitance"]
    flops_per_cycle: FloatArray = _DEFAULT["flops_per_cycle"]
    static_power: FloatArray = _DEFAULT["static_power"]
    local_epochs: FloatArray = _DEFAULT["local_epochs"]
    noise_density: FloatArray = _DEFAULT["noise_density"]
    power_max: FloatArray = _DEFAULT["power_max"]
    power_min: FloatArray = _DEFAULT["power_min"]
    circuit_power: FloatArray = _DEFAULT["circuit_power"]
    download_rate: FloatArray = _DEFAULT["download_rate"]
    receive_power: FloatArray = _DEFAULT["receive_power"]
    overhead: FloatArray = _DEFAULT["overhead"]
    name: tuple[str, ...] | None = None
    numbers: dict[str, FloatArray] = field(init=False, repr=False)
    spans: dict[str, tuple[float, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names: list[str] = []
        given: list[float] = []
        fields: list[Field] = []
        arrays: list[NDArray[Any]] = []
        sizes: dict[str, int] = {}
        for each in FIELDS:
            value = getattr(self, each.name)
            if type(value) is not float:
                value = read("Clients", each, value)
            if not isinstance(value, float):
                sizes[each.name] = value.shape[0]
                if not stands_for_all(value):
                    fields.append(each)
                    arrays.append(value)
                    continue
                value = float(value[0])
            names.append(each.name)
            given.append(value)
        size = self._size(sizes)
        columns, numbers, spans = (dict(known) for known in _single(tuple(names), tuple(given), size))
        if arrays:
            for each, (values, least, greatest) in zip(fields, copies("Clients", fields, arrays), strict=True):
                columns[each.name] = numbers[each.name] = values
                spans[each.name] = least, greatest
        for name, values in columns.items():
            object.__setattr__(self, name, values)
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "spans", spans)
        if self.name is not None:
            object.__setattr__(self, "name", _names(self.name))
        for low, high in (("frequency_min", "frequency_max"), ("power_min", "power_max")):
            if not spans[low][1] <= spans[high][0]:
                self._ordered(low, high)

    __reduce__ = by_constructor

    def _size(self, sizes: dict[str, int]) -> int:
        """The one length all columns agree on."""
        if self.name is not None:
            sizes["name"] = len(_listed(self.name))
        if not sizes:
            return 1  # all scalars: a fleet of one
        longest = max(sizes, key=sizes.__getitem__)
        for name, size in sizes.items():
            if size != sizes[longest] and name == "name":
                expected = f"{sizes[longest]} texts (as many as there are numbers in {longest})"
                raise InputError("Clients.name", expected, f"{size} texts")
            if size != sizes[longest]:
                expected = f"one number or {sizes[longest]} numbers (as many as {longest})"
                raise InputError(f"Clients.{name}", expected, f"{size} numbers")
        if sizes[longest] == 0:
            raise InputError(f"Clients.{longest}", "at least one client", "an empty array")
        return sizes[longest]

    def _ordered(self, low: str, high: str) -> None:
        least, greatest = getattr(self, low), getattr(self, high)
        wrong = compact(least) > compact(greatest)
        if wrong.any():
            first = int(np.argmax(wrong))
            expected = f"at most {high} = {greatest[first]:g} {FIELD[high].unit}"
            raise InputError(f"Clients.{low}", expected, f"{least[first]:g}", first)

    def __len__(self) -> int:
        return len(self.frequency_max)

    def __repr__(self) -> str:
        return f"Clients({len(self)} clients; {', '.join(f'{f.name}={_span(getattr(self, f.name))}' for f in FIELDS)})"

    def label(self, client: int) -> str:
        """What to call a client in a sentence: its index, and its name where it has one."""
        return f"{client}" if self.name is None else f"{client} ({self.name[client]})"

    def take(self, index: Any) -> Clients:
        """The clients at ``index`` (integers, a slice or a mask), in that order. Raises InputError."""
        size, which = len(self), index
        expected = f"whole numbers below {size}, a slice or a mask of {size}"
        if not isinstance(index, slice):
            nobody = isinstance(index, list | tuple) and not index
            which = array_of("index", np.arange(0) if nobody else index, "biu", expected)
            if which.dtype.kind == "u" and (which >= size).any():  # numpy counts them from the end, from 2^63 on
                refuse("index", expected, index)
        try:
            rows = np.atleast_1d(np.arange(size)[which])
        except (IndexError, ValueError, TypeError):
            refuse("index", expected, index)
        names = None if self.name is None else tuple(self.name[row] for row in rows)
        return Clients(**{field.name: getattr(self, field.name)[rows] for field in FIELDS}, name=names)

    def replace(self, **changes: Any) -> Clients:
        """A copy with some fields changed, checked like a new one: ``clients.replace(channel_gain=faded)``."""
        known = {field.name: getattr(self, field.name) for field in FIELDS}
        unknown = [field for field in changes if field not in known and field != "name"]
        if unknown:
            raise InputError(f"Clients.{unknown[0]}", "a field of Clients: " + ", ".join(known), "an unknown field")
        return Clients(**{**known, "name": self.name, **changes})

    def on_channel(self, hertz: float) -> Clients:
        """The same clients, each alone on a channel of so many hertz, a checked number; no column is copied."""
        same, size = object.__new__(Clients), len(self)
        columns, numbers, spans = _single(("bandwidth",), (hertz,), size)
        for name in self.__slots__:
            object.__setattr__(same, name, columns.get(name, getattr(self, name)))
        object.__setattr__(same, "numbers", self.numbers | numbers)
        object.__setattr__(same, "spans", self.spans | spans)
        return same

    def workload(self, submodels: Sequence[SubModel], assignment: Any) -> Workload:
        """What each client has to do: W = E D w / c cycles, upload and download bits.

        Parameters
        ----------
        submodels : the K types.
        assignment : (N,) whole numbers, the type index of each client; or one number for all.

        Returns
        -------
        Workload of shape (N,). Formula: section 2 of the model, W = E D w / c.
        """
        from fedopt.submodels import make_workload

        return make_workload(self, submodels, assignment)

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Clients:
        """Read a device table; columns are the field names, with a unit such as ``frequency_max[GHz]`` if not SI.

        Raises InputError naming file, line and column; OSError where the file cannot be read.
        """
        from fedopt.tables import read_clients

        return read_clients(path)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the table in SI units, every digit kept; a column that is one number for all is written in full."""
        from fedopt.tables import write_clients

        write_clients(self, path)

    @classmethod
    def from_frame(cls, frame: pandas.DataFrame) -> Clients:
        """Read a pandas frame with the columns of the CSV file. Raises InputError naming the column and the row."""
        from fedopt.tables import clients_from_frame

        return clients_from_frame(frame)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas frame, one row per client, SI units; needs pandas."""
        from fedopt.tables import clients_to_frame

        return clients_to_frame(self)


@lru_cache(maxsize=64)
def _single(names: tuple[str, ...], values: tuple[float, ...], size: int) -> tuple[dict[str, Any], ...]:
    """Columns, numbers and spans of the fields that are one number for all; most fleets share most of them."""
    columns = {name: one_number("Clients", FIELD[name], value, size) for name, value in zip(names, values, strict=True)}
    numbers = {name: column[:1] for name, column in columns.items()}
    return columns, numbers, {name: (number[0].item(), number[0].item()) for name, number in numbers.items()}


def _names(value: Any) -> tuple[str, ...]:
    """Check the clients' names: short printable text that no spreadsheet takes for a formula."""
    names = tuple(_listed(value))
    for client, text in enumerate(names):
        if not isinstance(text, str):
            raise InputError("Clients.name", "text", f"{type(text).__name__} {text!r}"[:80], client)
        if not text.isprintable() or len(text) > 200 or harmless(text) != text:
            expected = "at most 200 printable characters, the first (and after a ;) none of = + - @"
            raise InputError("Clients.name", expected, repr(text[:80]), client)
    return tuple(str(text) for text in names)


def _listed(value: Any) -> Sequence[Any] | NDArray[Any]:
    """The names as a list of some kind; refuses one text, which is a list of letters to Python."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        refuse("Clients.name", "a list of texts, one per client", value)
    return value


def _span(values: NDArray[np.float64]) -> str:
    least, greatest = values.min(), values.max()
    return f"{least:.4g}" if least == greatest else f"{least:.4g}..{greatest:.4g}"
