"""Scenario: a TOML file <-> Problem and search settings. Units are converted here; docs/scenario.md is the manual."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from fedopt.access import Access, SharedBandwidth, TimeDivision
from fedopt.checks import LARGEST, InputError, choice, compact, whole
from fedopt.clients import FIELD, FIELDS, Clients
from fedopt.disk import read_limited, replace_file
from fedopt.problem import (
    UTILITIES,
    Budget,
    Deadline,
    EnergyBudget,
    LeastEnergy,
    PowerBudget,
    Problem,
    ReplicaRate,
    ShortestRound,
    TimePrice,
    UtilityFunction,
)
from fedopt.submodels import SubModel
from fedopt.tables import read_clients
from fedopt.toml import dumps, line_of
from fedopt.units import parse_name, quantity, to_si
from solvers import allocation, duration, matching
from solvers.lookup import Methods

VERSION = 1
LIMIT = 10 * 2**20  # bytes of a scenario; larger fleets belong into a CSV file

_BUDGETS: dict[str, tuple[type[Budget], str, str]] = {  # key: class, its attribute, SI unit
    "energy": (EnergyBudget, "joules", "J"),
    "power": (PowerBudget, "watts", "W"),
    "deadline": (Deadline, "seconds", "s"),
    "time_price": (TimePrice, "watts", "W"),
}
_SIZES = {"flops": "FLOP/sample", "upload_bits": "bit", "download_bits": "bit"}
_METHODS: dict[str, Methods[Any]] = {
    "matching": matching.METHODS,
    "timing": duration.METHODS,
    "allocation": allocation.METHODS,
}
_ACCESS: dict[str, type[Access]] = {"shared_bandwidth": SharedBandwidth, "time_division": TimeDivision}
_SEARCH = ("partitions", "utility", "beta", *_METHODS, "seed")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A problem, and the keywords of ``fedopt.solve`` that its file sets (matching, timing, allocation, seed)."""

    problem: Problem
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_scenario(path: str | PathLike[str], *, clients: Clients | None = None) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path : TOML file of at most 10 MiB; its ``[clients] file`` is relative to its folder and stays inside it.
    clients : a fleet that takes the place of the scenario's.

    Raises
    ------
    InputError naming file, key (and line, where one line has that key), expected and found; OSError where the file
    cannot be read.
    """
    path = Path(path)
    content = read_limited(path, LIMIT)
    try:
        text = content.decode("utf-8-sig")
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), "a valid TOML file", str(error) or "too deep nesting") from None
    try:
        return from_document(document, folder=path.parent, clients=clients)
    except InputError as error:
        line = line_of(text, error.field.rpartition(" ")[2])
        where = f"{path}: {error.field}" if line is None else f"{path}: line {line}: {error.field}"
        raise InputError(where, error.expected, error.found, error.client) from None


def write_scenario(problem: Problem, path: str | PathLike[str], **settings: Any) -> None:
    """Write problem and settings as a scenario that reads back bit for bit; the fleet is written inline.

    Raises InputError where the utility is a function of the user's own, OSError where the file cannot be written.
    """
    replace_file(path, dumps(to_document(problem, **settings)).encode())


def from_document(
    document: Mapping[str, Any], *, folder: Path | None = None, clients: Clients | None = None
) -> Scenario:
    """A scenario from plain dicts, lists, texts and numbers, as TOML and JSON give them.

    ``folder`` is where ``[clients] file`` is looked for; None refuses files. Raises InputError naming the key.
    """
    _known("scenario", document, ("version", "clients", "submodels", "budget", "access", "search"))
    version = whole("version", _required("scenario", document, "version"), least=1)
    if version != VERSION:
        raise InputError("version", f"{VERSION}, the version this fedopt reads", version)
    access = _access(_table("[access]", document["access"])) if "access" in document else None
    if clients is None:
        clients = _clients(_table("[clients]", _required("scenario", document, "clients")), folder, access)
    entries = _required("scenario", document, "submodels")
    if not isinstance(entries, list) or not entries:
        raise InputError("[[submodels]]", "one table or more", _short(entries))
    submodels = tuple(_submodel(k, _table(f"[[submodels]] {k}", entry)) for k, entry in enumerate(entries))
    budget = _budget(_table("[budget]", _required("scenario", document, "budget")))
    search = _table("[search]", document.get("search", {}))
    _known("[search]", search, _SEARCH)
    partitions = search.get("partitions")
    utility = _utility(search)
    problem = Problem(clients, submodels, budget=budget, partitions=partitions, utility=utility, access=access)
    return Scenario(problem=problem, settings=_settings(search))


def to_document(problem: Problem, **settings: Any) -> dict[str, Any]:
    """The inverse of from_document, SI units throughout.

    Raises InputError for a utility that has no name.
    """
    if problem.partitions is not None:
        settings["partitions"] = problem.partitions.tolist()
    match problem.utility:
        case ReplicaRate(beta=beta):
            settings |= {"utility": "replica_rate", "beta": beta}
        case ShortestRound() | LeastEnergy() as known:
            settings["utility"] = next(name for name, value in UTILITIES.items() if value == known)
        case other:
            raise InputError("Problem.utility", "one of " + ", ".join(UTILITIES) + ", to be written", repr(other))
    _settings(settings)
    key, (_, attribute, unit) = next(item for item in _BUDGETS.items() if isinstance(problem.budget, item[1][0]))
    return {
        "version": VERSION,
        "clients": _columns(problem.clients),
        "submodels": [
            {"name": s.name, **{size: getattr(s, size) for size in _SIZES}, "cover": s.cover} for s in problem.submodels
        ],
        "budget": {f"{key}[{unit}]": getattr(problem.budget, attribute)},
        **({} if problem.access is None else {"access": _shared(problem.access)}),
        "search": settings,
    }


def _access(table: Mapping[str, Any]) -> Access:
    """The scheme by which the clients share an uplink."""
    values = _quantities("[access]", table, {"bandwidth": "Hz"}, also=("scheme",))
    scheme = choice("[access] scheme", _required("[access]", table, "scheme"), tuple(_ACCESS))
    return _ACCESS[scheme](_required("[access]", values, "bandwidth"))


def _shared(access: Access) -> dict[str, Any]:
    """The inverse of _access."""
    scheme = next(name for name, known in _ACCESS.items() if isinstance(access, known))
    return {"scheme": scheme, "bandwidth[Hz]": access.hertz}


def _clients(table: Mapping[str, Any], folder: Path | None, access: Access | None) -> Clients:
    """From a file beside the scenario, a bundled fleet, or the fields themselves; a shared uplink is everybody's."""
    shared = {} if access is None else {"bandwidth": access.hertz}
    if "file" in table:
        _known("[clients]", table, ("file",))
        return read_clients(_inside(folder, table["file"]), shared)
    if "bundled" in table:
        from fedopt import devices

        _known("[clients]", table, ("bundled",))
        choice("[clients] bundled", table["bundled"], ("phones64",))
        return devices.phones64()
    values = _quantities("[clients]", table, {f.name: quantity(f) for f in FIELDS}, also=("name", "file", "bundled"))
    values = {**shared, **values}
    for name, given in FIELD.items():
        if given.default is None:
            _required("[clients]", values, name)
    return Clients(**values, name=table.get("name"))


def _inside(folder: Path | None, name: Any) -> Path:
    """A scenario may come from anybody, so the file it names lies in its own folder or below."""
    if folder is None or not isinstance(name, str) or not name.isprintable() or not name:
        raise InputError("[clients] file", "the name of a CSV file beside the scenario", _short(name))
    resolved, base = (folder / name).resolve(), folder.resolve()
    if Path(name).is_absolute() or not resolved.is_relative_to(base):
        raise InputError("[clients] file", "a path inside the scenario's folder (elsewhere: --clients)", _short(name))
    return folder / name


def _submodel(index: int, table: Mapping[str, Any]) -> SubModel:
    where = f"[[submodels]] {index}"
    if "idle" in table:
        _known(where, table, ("idle", "name"))
        if table["idle"] is not True:
            raise InputError(f"{where} idle", "true, or no such key", _short(table["idle"]))
        return SubModel.idle(table.get("name", "idle"))
    values = _quantities(where, table, _SIZES, also=("name", "cover", "idle"))
    for key in ("flops", "upload_bits"):
        _required(where, values, key)
    return SubModel(_required(where, table, "name"), cover=table.get("cover", 1), **values)


def _budget(table: Mapping[str, Any]) -> Budget:
    values = _quantities("[budget]", table, {key: unit for key, (_, _, unit) in _BUDGETS.items()})
    if len(values) != 1:
        raise InputError("[budget]", "exactly one of " + ", ".join(_BUDGETS), ", ".join(values) or "none")
    [(key, value)] = values.items()
    return _BUDGETS[key][0](value)


def _utility(search: Mapping[str, Any]) -> UtilityFunction:
    name = choice("[search] utility", search.get("utility", "replica_rate"), tuple(UTILITIES))
    if "beta" not in search:
        return UTILITIES[name]
    if name != "replica_rate":
        raise InputError("[search] beta", "no beta: it belongs to utility = 'replica_rate'", _short(search["beta"]))
    return ReplicaRate(_numbers("[search] beta", search["beta"]))


def _settings(search: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: search[key] for key in (*_METHODS, "seed") if key in search}
    for key, value in given.items():
        if key == "seed":
            whole("[search] seed", value)
        else:
            choice(f"[search] {key}", value, _METHODS[key].names)
    return given


def _quantities(
    where: str, table: Mapping[str, Any], units: Mapping[str, str], also: Sequence[str] = ()
) -> dict[str, Any]:
    """The numbers of a table in SI units, by field name; the keys of ``also`` are left to the caller."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in also:
            continue
        try:
            name, unit = parse_name(key)
        except InputError as error:
            raise InputError(f"{where} {key[:80]}", error.expected, error.found) from None
        _known(where, [name], [*units, *also])
        if name in also or name in values:
            raise InputError(f"{where} {key}", f"{name} once and, if a text, without a unit", "one more")
        values[name] = _numbers(f"{where} {key}", value)
        if unit is not None:
            try:
                values[name] = to_si(values[name], unit, units[name])
            except InputError as error:
                raise InputError(f"{where} {key}", f"in brackets {error.expected}", error.found) from None
    return values


def _numbers(where: str, value: Any) -> Any:
    """A number or a flat list of numbers, as TOML knows them: true is no number."""
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise InputError(where, "a number or a flat list of numbers", _short(entry))
        if isinstance(entry, int) and abs(entry) > LARGEST:
            raise InputError(where, f"numbers up to {LARGEST:g}", "a larger one")
    return value


def _columns(clients: Clients) -> dict[str, Any]:
    """The fleet's fields: one number where it stands for all, as long as something still tells how many there are."""
    columns: dict[str, Any] = {}
    if clients.name is not None:
        columns["name"] = list(clients.name)
    for name in FIELD:
        values = getattr(clients, name)
        short = compact(values)
        columns[name] = float(short[0]) if short.size == 1 else values.tolist()
    if len(clients) > 1 and not any(isinstance(value, list) for value in columns.values()):
        columns["frequency_max"] = clients.frequency_max.tolist()
    return columns


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(where, "a table", _short(value))
    return value


def _required(where: str, table: Mapping[str, Any], key: str) -> Any:
    if key not in table:
        raise InputError(f"{where} {key}", "this key", "none")
    return table[key]


def _known(where: str, keys: Iterable[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "one of " + ", ".join(known)
            raise InputError(f"{where} {key[:80]}", f"a known key ({hint})", "an unknown one")


def _short(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:80]
