"""Device tables on disk: a CSV file, or a pandas frame, in and out of ``Clients``.

Columns are the field names of ``Clients`` plus an optional ``name``; ``frequency_max[GHz]`` carries its unit (see
``fedopt.units``). Nothing is guessed: a gap, an unknown column or a number that does not parse is an error that names
file, line and column. A file is text only; reading it runs no code and takes memory in proportion to its size.
"""

from __future__ import annotations

import csv
import io
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fedopt.checks import LARGEST, FloatArray, InputError, brief, doubles, lost
from fedopt.clients import FIELD, FIELDS, Clients
from fedopt.columns import Column, header
from fedopt.disk import check_path, replace_file
from solvers.lookup import MissingExtra

if TYPE_CHECKING:
    import pandas

MAX_BYTES = 1 << 30  # of a file; larger ones are refused before they are opened
MAX_LINE = 1 << 16  # characters
VERSION_LINE = "# fedopt devices version 1"  # no comma: it is one cell
_CHUNK = 1 << 15  # rows held as text at a time
_NUMERIC = b"0123456789+-.eEinf "  # what a decimal number or inf is made of


def read_clients(path: str | PathLike[str], absent: Mapping[str, float] | None = None) -> Clients:
    """Read a device table from a CSV file: UTF-8 (with or without BOM), comma separated, one header line.

    Above it may stand the line that write_clients begins with; a table without it is one of version 1.
    A cell is a decimal number (1500, 2.4e9, inf); of the text column ``name`` any printable text, also none.
    ``absent`` has numbers for required fields that the table may do without.

    Raises InputError naming file, line, column, what was expected and what was found (another version; missing, unknown
    or repeated columns; a unit of the wrong dimension; ragged rows; gaps; numbers that do not parse or are out of
    range; not UTF-8; more than 1 GiB); OSError where the file cannot be read.
    """
    check_path(path)
    source = os.fspath(path)
    _check_file(source)
    try:
        with open(source, encoding="utf-8-sig", newline="") as file:
            above = _above(source, file)
            reader = csv.reader(_lines(source, file, above), strict=True)
            columns, values, names = _parse(source, reader, above, absent or {})
    except UnicodeDecodeError:
        raise _not_utf8(source) from None
    table: dict[str, Any] = {**(absent or {})}
    if names is not None:
        table["name"] = names
    try:
        table |= {column.field: column.convert(values[column.field]) for column in columns if column.field in values}
        return Clients(**table)
    except InputError as error:
        raise _placed(source, columns, above, error) from None


def write_clients(clients: Clients, path: str | PathLike[str]) -> None:
    """Write version and table, in SI units with every digit: reading it back gives the same bits.

    The file appears under its name whole or not at all. Raises OSError where it cannot be written.
    """
    replace_file(path, table_bytes(clients))


def table_bytes(clients: Clients) -> bytes:
    """What write_clients writes."""
    named = clients.name is not None
    chunks = [VERSION_LINE + "\n", ",".join(["name"] * named + [field.name for field in FIELDS]) + "\n"]
    for start in range(0, len(clients), _CHUNK):
        part = slice(start, start + _CHUNK)
        cells: list[Sequence[Any]] = [] if clients.name is None else [clients.name[part]]
        cells += [getattr(clients, field.name)[part].tolist() for field in FIELDS]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(zip(*cells, strict=True))  # floats as repr: every digit
        chunks.append(text.getvalue())
    return "".join(chunks).encode()


def clients_from_frame(frame: pandas.DataFrame) -> Clients:
    """Read a device table from a pandas frame with the columns of the CSV file.

    Raises InputError naming the column and, for one bad value, the row by position and label.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise MissingExtra("Clients.from_frame needs pandas: pip install pandas", name="pandas") from error
    if not isinstance(frame, pandas.DataFrame):
        raise InputError("frame", "a pandas DataFrame", type(frame).__name__)
    for title in frame.columns:
        if not isinstance(title, str):
            raise InputError("frame", "column names that are text", repr(title)[:80])
    columns = header("frame", list(frame.columns))
    if len(frame) == 0:
        raise InputError("frame", "at least one row", "an empty frame")
    table = {column.field: _series(frame.iloc[:, place], column) for place, column in enumerate(columns)}
    try:
        table |= {column.field: column.convert(table[column.field]) for column in columns if column.field in FIELD}
        return Clients(**table)
    except InputError as error:
        raise _rowed(frame, columns, error) from None


def _rowed(frame: pandas.DataFrame, columns: list[Column], error: InputError) -> InputError:
    """An error of Clients about client n, told as row and column."""
    assert error.client is not None  # of a column of a row each
    titles = {column.field: column.title for column in columns}
    where = _row(frame.index, error.client, titles.get(_field(error), _field(error)))
    return InputError(where, error.expected, error.found)


def clients_to_frame(clients: Clients) -> pandas.DataFrame:
    """A pandas frame, one row per client, SI units. Raises MissingExtra where pandas is not installed."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise MissingExtra("Clients.to_frame needs pandas: pip install pandas", name="pandas") from error
    data: dict[str, Any] = {} if clients.name is None else {"name": list(clients.name)}
    data |= {field.name: np.array(getattr(clients, field.name)) for field in FIELDS}
    return pandas.DataFrame(data)


def _check_file(source: str) -> None:
    """Refuse what is no ordinary file of a bearable size before anything is read."""
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{source} is a folder, not a CSV file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(source, "an ordinary file", "a device, pipe or socket")
    if status.st_size > MAX_BYTES:
        raise InputError(source, f"at most {MAX_BYTES} bytes", f"{status.st_size} bytes")


def _above(source: str, file: IO[str]) -> int:
    """How many lines stand above the header: one with the version, or none."""
    line = file.readline(MAX_LINE + 1)
    if not line.startswith("#"):
        file.seek(0)
        return 0
    if line.rstrip("\r\n,") != VERSION_LINE:  # a spreadsheet fills the line up with commas
        expected = f"{VERSION_LINE!r}, the version this fedopt reads, or a header of column names"
        raise InputError(f"{source}, line 1", expected, brief(line))
    return 1


def _lines(source: str, file: IO[str], number: int) -> Iterator[str]:
    """The file's lines after the first ``number``, checked: none longer than MAX_LINE (one endless line must not fill
    the memory), and no blank ones but at the very end, where they are dropped."""
    blank = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if not line.rstrip("\r\n"):
            blank = blank or number
            continue
        if blank:
            raise InputError(f"{source}, line {blank}", "a row of cells", "an empty line")
        if len(line) > MAX_LINE:
            raise InputError(f"{source}, line {number}", f"at most {MAX_LINE} characters in a line", "more")
        yield line


def _parse(
    source: str, reader: Any, above: int, absent: Mapping[str, float]
) -> tuple[list[Column], dict[str, FloatArray], list[str] | None]:
    """Header and body: the columns, their numbers by field as written, and the names if there is such a column."""
    columns: list[Column] = []
    place, done = f"{source}, line {above + 1}", above  # of the header; lines but for it
    try:
        titles = next(reader, None)
        if titles is None:
            raise InputError(place, "a header of column names", "an empty file")
        if reader.line_num > 1:
            raise _broken(place)
        for sign, name in ((";", "semicolons"), ("\t", "tabs")):
            if len(titles) == 1 and sign in titles[0]:
                raise InputError(place, "columns separated by commas", name)
        columns = header(place, titles, absent)
        parts: dict[str, list[Any]] = {column.field: [] for column in columns}
        while rows := list(islice(reader, _CHUNK)):
            _check_shape(source, rows, done, len(columns), reader.line_num + above)
            for column, cells in zip(columns, zip(*rows, strict=False), strict=False):
                text = column.field == "name"
                parts[column.field].append(cells if text else _numbers(source, cells, done, column))
            done += len(rows)
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num + above}", "comma-separated values", str(error)) from None
    if done == above:
        raise InputError(f"{source}, line {above + 2}", "a row for every client", "the end of the file")
    names = parts.pop("name", None)
    values = {field: np.concatenate(arrays) for field, arrays in parts.items()}
    return columns, values, None if names is None else [name for chunk in names for name in chunk]


def _check_shape(source: str, rows: list[list[str]], done: int, width: int, lines: int) -> None:
    """Every row has as many cells as the header, and stands on one line of the file (so line = row + 2)."""
    if set(map(len, rows)) == {width} and lines == done + len(rows) + 1:
        return
    broken = [any("\n" in cell or "\r" in cell for cell in row) for row in rows]
    offset = next(place for place, row in enumerate(rows) if broken[place] or len(row) != width)
    where = f"{source}, line {done + offset + 2}"
    if broken[offset]:
        raise _broken(where)
    raise InputError(where, f"{width} cells, as in the header", f"{len(rows[offset])}")


def _broken(where: str) -> InputError:
    return InputError(where, "a row on one line", "a quoted cell with a line break")


def _numbers(source: str, cells: Sequence[str], done: int, column: Column) -> FloatArray:
    """A column's cells as float64; only where something is wrong is each cell looked at."""
    try:
        text = "".join(cells)
        if not text.encode().translate(None, _NUMERIC):
            values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
            zeros = {cells[place] for place in np.flatnonzero(values == 0.0).tolist()}
            far = np.count_nonzero(np.isinf(values)) != text.count("inf")  # 1e999 would pass for inf
            if not far and not any(lost(cell, 0.0) for cell in zeros):
                return values
    except ValueError:
        pass
    offset, cell = next((place, cell) for place, cell in enumerate(cells) if math.isnan(decimal(cell)))
    where = f"{source}, line {done + offset + 2}, column {column.title!r}"
    found = repr(cell[:80]) if cell.strip() else "an empty cell"
    raise InputError(where, "a number such as 1500, 2.4e9 or inf", found)


def decimal(cell: str) -> float:
    """The number of a cell, NaN where it is none that a double holds.

    Strictly: digits, sign, point, exponent or inf; no nan, no underscores, no digits of other scripts.
    """
    if cell.encode(errors="replace").translate(None, _NUMERIC):
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return math.nan if lost(cell, value) else value


def _placed(source: str, columns: list[Column], above: int, error: InputError) -> InputError:
    """An error of Clients about client n, told as file, line, column and the text that stands there."""
    field = _field(error)
    assert error.client is not None  # of a column of a row each
    place = next(place for place, column in enumerate(columns) if column.field == field)
    line = error.client + above + 2
    with open(source, encoding="utf-8-sig", newline="") as file:
        text = next(islice(csv.reader(file), line - 1, None))[place]
    found = repr(text[:80]) if columns[place].unit is None else f"{text[:80]!r}, which is {error.found}"
    return InputError(f"{source}, line {line}, column {columns[place].title!r}", error.expected, found)


def _field(error: InputError) -> str:
    """The bare field name of an error of Clients."""
    return error.field.removeprefix("Clients.")


def _not_utf8(source: str) -> InputError:
    """Find the first line that is not UTF-8; it was met before any line was found too long."""
    with open(source, "rb") as file:
        lines = enumerate(iter(lambda: file.readline(8 * MAX_LINE), b""), start=1)
        number, line, start = next((n, line, start) for n, line in lines if (start := _odd_byte(line)) is not None)
    return InputError(f"{source}, line {number}", "UTF-8 text", f"byte 0x{line[start]:02x} at position {start + 1}")


def _odd_byte(line: bytes) -> int | None:
    """Where a line stops being UTF-8; None where it does not."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _series(series: pandas.Series[Any], column: Column) -> Any:
    """One column of a frame: no gaps, real numbers (or text for ``name``), as they are there."""
    gaps = series.isna().to_numpy(dtype=np.bool_)
    if gaps.any():
        where = _row(series.index, int(np.argmax(gaps)), column.title)
        raise InputError(where, "a value for every client", f"a gap (and {int(gaps.sum()) - 1} more)")
    if column.field == "name":
        return series.tolist()
    if series.dtype.kind not in "iuf":  # text, objects, booleans, dates
        for row, entry in enumerate(series):
            if isinstance(entry, bool | np.bool_) or not isinstance(entry, int | float | np.integer | np.floating):
                found = f"{type(entry).__name__} {entry!r}"[:80]
                raise InputError(_row(series.index, row, column.title), "a real number", found)
            if isinstance(entry, int) and abs(entry) > LARGEST:
                expected = f"a number up to {LARGEST:g}"
                raise InputError(_row(series.index, row, column.title), expected, brief(entry))
    return doubles(series.to_numpy())


def _row(index: Any, row: int, title: str) -> str:
    """Where in a frame: position, label where it is another, column."""
    label = index[row]
    return f"frame, row {row}{'' if str(label) == str(row) else f' (label {label!r})'}, column {title!r}"
