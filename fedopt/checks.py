"""The door: every number a user gives is checked here once, and an error names field, client, expected and found.

A column is stored compactly: a scalar given by the user stays one number behind a read-only broadcast view of shape
(N,), so a million clients that share a bandwidth cost eight bytes.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from solvers.memory import table

FloatArray = NDArray[np.float64]

SMALLEST = 1e-250  # beyond these a product of three fields can leave the range of a double
LARGEST = 1e250

_SOME, _MANY = 1 << 9, 1 << 13  # clients from which numbers are looked at by compiled code, and copied by it too
_DOUBLE = np.dtype(np.float64)
_FALSE_NUMBERS = {bool, np.bool_, type(np.ma.masked)}  # which numpy takes for numbers beside others
_KINDS = {"b": "booleans", "c": "complex numbers", "U": "text", "S": "bytes", "M": "dates", "m": "time spans"}
_SIGNS = ("=", "+", "-", "@")  # what a formula begins with


class InputError(ValueError):
    """Bad input: which field, which client, what was expected and what was found.

    Attributes
    ----------
    field : name of the offending field, such as ``Clients.channel_gain``.
    client : index of the first offending client, or None where the field as a whole is wrong.
    expected, found : the two halves of the message.
    """

    def __init__(self, field: str, expected: str, found: object, client: int | None = None) -> None:
        self.field, self.client, self.expected, self.found = field, client, expected, found
        where = field if client is None else f"{field}: client {client}"
        super().__init__(f"{where}: expected {expected}, found {found}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.field, self.expected, self.found, self.client), self.__dict__


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What one numeric column may hold.

    ``unit`` is the SI unit of the stored values, ``default`` None where the user must give the field,
    ``zero`` and ``infinite`` say whether 0 and +inf are legal, ``meaning`` is the sentence for people.
    """

    name: str
    unit: str
    meaning: str
    default: float | None = None
    zero: bool = False
    infinite: bool = False

    @property
    def expected(self) -> str:
        """The legal values, in words."""
        unit = f" {self.unit}" if self.unit else ""
        low = "0 or a number" if self.zero else "a number"
        high = " or inf" if self.infinite else ""
        return f"{low} from {SMALLEST:g} to {LARGEST:g}{high}{unit}"

    def legal(self, values: FloatArray) -> NDArray[np.bool_]:
        """Elementwise: is the value allowed?"""
        ok: NDArray[np.bool_] = (values >= SMALLEST) & (values <= LARGEST)
        if self.zero:
            ok |= values == 0.0
        if self.infinite:
            ok |= values == np.inf
        return ok


def array_of(owner: str, value: Any, kinds: str, expected: str) -> NDArray[Any]:
    """Any array-like as a numpy array of one of some kinds of dtype. Raises InputError for others, and where an entry
    is masked or a boolean stands beside what is none."""
    if value is None:
        raise InputError(owner, "a number or an array of numbers", "None")
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        if mask.dtype == np.bool_ and mask.any():  # that of records is none
            raise InputError(owner, "a value for every client", "a masked entry", int(np.argmax(mask.ravel())))
        value = value.data
    found = set(map(type, value)) if isinstance(value, list | tuple) else set()
    if not _FALSE_NUMBERS.isdisjoint(found) and not found <= {bool, np.bool_}:
        first = next(index for index, entry in enumerate(value) if type(entry) in _FALSE_NUMBERS)
        raise InputError(owner, "a real number", _shown(value[first]), first if len(value) > 1 else None)
    try:
        array = np.asarray(bytes(value) if isinstance(value, bytearray) else value)
    except Exception as error:  # whatever its own __array__ raises, as that of tensors that are more than numbers
        raise InputError(owner, "a number or a flat array of numbers", f"{type(value).__name__} ({error})") from None
    if array.dtype.kind not in kinds:
        raise InputError(owner, expected, _KINDS.get(array.dtype.kind, f"dtype {array.dtype}"))
    return array


def _plain(owner: str, value: Any) -> NDArray[Any]:
    """Any array-like as a numpy array of real numbers; refuses what only looks like numbers."""
    array = array_of(owner, value, "iufO", "real numbers")
    if array.dtype == object:
        array = _objects(owner, array)
    return array if array.dtype.itemsize <= 8 else doubles(array)


def _objects(owner: str, array: NDArray[Any]) -> NDArray[Any]:
    """An object array is welcome only if every entry is a real number (pandas makes such columns)."""
    for index, entry in enumerate(array.ravel()):
        if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, float, np.integer, np.floating)):
            raise InputError(owner, "a real number", _shown(entry), index if array.ndim else None)
    try:
        return doubles(array)
    except OverflowError:
        raise InputError(owner, "numbers within the range of a double", "a larger integer") from None


def doubles(array: NDArray[Any]) -> FloatArray:
    """As doubles: of extended precision, what none can hold becomes the least or greatest, and is judged as such."""
    with np.errstate(all="ignore"):
        found = array.astype(np.float64)
        lost = ((found == 0.0) & (array != 0)) | (np.isinf(found) & (abs(array) != np.inf))
    end = np.where(found == 0.0, 5e-324, np.finfo(np.float64).max)
    result: FloatArray = np.where(lost, np.copysign(end, found), found)
    return result


def column(owner: str, field: Field, value: Any, size: int | None) -> FloatArray:
    """Check one field and return it as a read-only float64 array of shape (size,), or () / (N,) if size is None.

    Raises InputError for a wrong type, shape, length or value.
    """
    given = read(owner, field, value)
    if isinstance(given, float):
        return one_number(owner, field, given, size)
    if size is not None and given.shape[0] != size:
        expected = f"one number or {size} numbers (one per client)"
        raise InputError(f"{owner}.{field.name}", expected, f"{given.shape[0]} numbers")
    if stands_for_all(given):
        return one_number(owner, field, float(given[0]), given.shape[0])
    return copies(owner, [field], [given])[0][0]


def read(owner: str, field: Field, value: Any) -> float | NDArray[Any]:
    """What a user gave for a field, not yet copied: one number, or a flat array. Raises InputError for neither."""
    if type(value) is float:
        return value
    name = f"{owner}.{field.name}"
    array = value if type(value) is np.ndarray and value.dtype is _DOUBLE else _plain(name, value)
    if array.ndim > 1:
        expected = "one number or a flat array, one number per client"
        raise InputError(name, expected, f"an array of shape {array.shape}")
    return array if array.ndim else float(array)


def one_number(owner: str, field: Field, value: float, size: int | None) -> FloatArray:
    """A checked number as a read-only array of shape (size,), or () for None. Raises InputError."""
    if not (SMALLEST <= value <= LARGEST or value == field.default):
        _refuse_illegal(owner, field, np.array(value))
    return _constant(value + 0.0, size)  # -0.0 becomes 0.0


@lru_cache(maxsize=256)
def _constant(value: float, size: int | None) -> FloatArray:
    """A read-only view of one number in memory that nobody can write; fleets share it."""
    shape = () if size is None else (size,)
    return np.ndarray(shape, np.float64, np.float64(value).tobytes(), 0, (0,) * len(shape))


def copies(
    owner: str, fields: Sequence[Field], arrays: Sequence[NDArray[Any]]
) -> list[tuple[FloatArray, float, float]]:
    """Read-only float64 copies of flat arrays of one length, each with its least and its greatest number.

    Raises InputError for a number that its field may not hold.
    """
    size = arrays[0].shape[0]
    rows = table(len(arrays), size)
    if size >= _MANY and all(
        array.dtype == _DOUBLE and array.flags.c_contiguous and array.flags.aligned for array in arrays
    ):
        lows, highs = _copying().copied(arrays, rows).tolist()
    elif size:
        np.concatenate(arrays, out=rows.reshape(-1))
        spans = _copying().extremes(rows) if size >= _SOME else (rows.min(1), rows.max(1))  # here, a NaN is both
        lows, highs = spans[0].tolist(), spans[1].tolist()
    else:
        lows, highs = [np.inf] * len(arrays), [-np.inf] * len(arrays)
    found = []
    for field, values, low, high in zip(fields, rows, lows, highs, strict=True):
        found.append((values, low + 0.0, high + 0.0))
        if not (low >= SMALLEST and high <= LARGEST):  # else it is the ordinary case
            _refuse_illegal(owner, field, values)
            np.add(values, 0.0, out=values)  # -0.0 becomes 0.0
        values.setflags(write=False)
    return found


@cache
def _copying() -> Any:
    from solvers import copying  # compiled, which few clients do not wait for

    return copying


def _refuse_illegal(owner: str, field: Field, values: FloatArray) -> None:
    """Raise the InputError where some number may not stand in its field."""
    ok = np.atleast_1d(field.legal(values))
    if not ok.all():
        first = int(np.argmin(ok))
        bad = int(ok.size - ok.sum())
        more = f" (and {bad - 1} more like it)" if bad > 1 else ""
        found = f"{float(np.atleast_1d(values)[first])!r}{more}"
        raise InputError(f"{owner}.{field.name}", field.expected, found, first if values.ndim else None)


def stands_for_all(values: NDArray[Any]) -> bool:
    """Whether a flat array is one number broadcast."""
    return values.shape[0] > 1 and values.strides[0] == 0


def compact(values: FloatArray) -> FloatArray:
    """Undo broadcasting: shape (1,) where one number stands for all, else the array itself."""
    return values[:1] if values.strides[0] == 0 and values.shape[0] > 1 else values


def by_constructor(self: Any) -> tuple[Any, ...]:
    """``__reduce__`` of a dataclass that holds arrays: its constructor, which checks and closes them, makes the copy.

    The one number of a column that stands for all stays one number.
    """
    values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.init}
    sizes = {
        name: value.shape
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.ndim == 1 and stands_for_all(value)
    }
    return _constructed, (type(self), values | {name: compact(values[name]) for name in sizes}, sizes)


def _constructed(cls: Any, values: dict[str, Any], sizes: dict[str, tuple[int, ...]]) -> Any:
    return cls(**values | {name: np.broadcast_to(values[name], shape) for name, shape in sizes.items()})


def number(name: str, value: Any, *, zero: bool = False, infinite: bool = False, unit: str = "") -> float:
    """Check one scalar; returns a float. Raises InputError."""
    array = _plain(name, value)
    if array.ndim != 0 and array.shape != (1,):
        raise InputError(name, "one number", f"an array of shape {array.shape}")
    field = Field(name=name, unit=unit, meaning="", zero=zero, infinite=infinite)
    result = float(array.reshape(()))
    if not field.legal(np.float64(result).reshape(1))[0]:
        raise InputError(name, field.expected, repr(result))
    return result + 0.0


def real(name: str, value: Any, *arguments: object) -> float:
    """Check one real number of any size, NaN too, or what a function returned of some arguments. Raises InputError."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        refuse(name, "a number", value)
    try:
        return float(value)
    except OverflowError:  # a whole number that no double holds
        found = brief(value) + (f" for {arguments}" if arguments else "")
        raise InputError(name, "a number within the range of a double", found) from None


def whole(name: str, value: Any, *, least: int = 0, most: int | None = None) -> int:
    """Check one whole number from ``least`` to ``most`` (None: any). Raises InputError."""
    expected = f"a whole number of at least {least}" + ("" if most is None else f" and at most {most:,}")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        refuse(name, expected, value)
    if value < least or (most is not None and value > most):
        raise InputError(name, expected, brief(int(value)))
    return int(value)


def reals(name: str, value: Any) -> FloatArray:
    """Check that these are real numbers, of any shape and value, NaN too; as doubles. Raises InputError."""
    return _plain(name, value).astype(np.float64, copy=False)


def lost(text: str, value: float) -> bool:
    """Whether a decimal number is none that a double holds, and became 0 or inf."""
    if value == 0.0:
        return any(digit in "123456789" for digit in text.lower().partition("e")[0])
    return value in (np.inf, -np.inf) and "inf" not in text


def decided(name: str, value: Any, size: int) -> FloatArray:
    """Check a decision that is to be judged: ``size`` real numbers of any value, NaN too, or one for all."""
    array = reals(name, value)
    if array.ndim > 1 or array.shape not in ((), (1,), (size,)):
        raise InputError(name, f"one number or {size} numbers (one per client)", f"an array of shape {array.shape}")
    return array if array.shape == (size,) else np.broadcast_to(array, (size,))


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Check that a name is one of ``options``. Raises InputError."""
    if not isinstance(value, str) or value not in options:
        raise InputError(name, "one of " + ", ".join(options), brief(value))
    return value


def kind(name: str, value: Any, types: type | tuple[type, ...], expected: str) -> None:
    """Check that an argument is an instance of ``types``. Raises InputError."""
    if not isinstance(value, types):
        refuse(name, expected, value)


def refuse(name: str, expected: str, value: Any) -> NoReturn:
    """Raise the InputError for an argument of the wrong type, showing type and value shortly."""
    raise InputError(name, expected, _shown(value))


def _shown(value: Any) -> str:
    """Type and value, the value cut short."""
    return f"{type(value).__name__} {brief(value)}"


def brief(value: Any) -> str:
    """What an error shows of a value: its first 80 characters. Python prints no number of more than 4,300 digits."""
    try:
        return repr(value[:80] if isinstance(value, str | bytes) else value)[:80]
    except (ValueError, RecursionError):
        return "too long to be shown"


def printable(text: str) -> str:
    """The text with control characters, lone surrogates and the like made visible."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def harmless(text: str) -> str:
    """The text with a quote before each part that a spreadsheet could take for a formula.

    Blanks and full-width signs in front do not hide one; some spreadsheets part cells at a semicolon.
    """
    starts = (unicodedata.normalize("NFKC", part).lstrip()[:1] for part in text.split(";"))
    signs = ("'" if start in _SIGNS else "" for start in starts)
    return ";".join(sign + part for sign, part in zip(signs, text.split(";"), strict=True))
