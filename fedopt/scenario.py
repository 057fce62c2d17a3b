"""Scenario: a TOML file <-> Problem and search settings. Units are converted here; docs/scenario.md is the manual."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from fedopt.access import Access, SharedBandwidth, TimeDivision
from fedopt.checks import InputError, brief, choice, compact, whole
from fedopt.clients import FIELD, FIELDS, Clients
from fedopt.disk import read_limited, replace_file
from fedopt.keys import as_table, known, numbers, quantities, required, short, told
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
from fedopt.tables import read_clients, table_bytes
from fedopt.toml import MOST, dumps, line_of, loads, size
from fedopt.units import quantity
from solvers import allocation, duration, matching
from solvers.lookup import Methods

VERSION = 1
LIMIT = 2 * 2**20  # bytes of a scenario

_BUDGETS: dict[str, tuple[type[Budget], str, str]] = {  # key: class, its attribute, SI unit
    "energy": (EnergyBudget, "joules", "J"),
    "power": (PowerBudget, "watts", "W"),
    "deadline": (Deadline, "seconds", "s"),
    "time_price": (TimePrice, "watts", "W"),
}
_FEW = f"at most {MOST:,} values and lines, {LIMIT:,} bytes (larger fleets belong into a CSV file)"
_SIZES = {"flops": "FLOP/sample", "upload_bits": "bit", "download_bits": "bit"}
_METHODS: dict[str, Methods[Any]] = {
    "matching": matching.METHODS,
    "timing": duration.METHODS,
    "allocation": allocation.METHODS,
}
_ACCESS: dict[str, type[Access]] = {"shared_bandwidth": SharedBandwidth, "time_division": TimeDivision}
_TABLES = ("version", "clients", "submodels", "budget", "access", "search", "training")
_SEARCH = ("partitions", "utility", "beta", *_METHODS, "seed")
_TRAINING: dict[str, type] = {  # what `fedopt train` is told; it is what knows which values there are
    **dict.fromkeys(("algorithm", "model", "data", "split", "policy", "fading", "engine", "device"), str),
    **dict.fromkeys(("rounds", "seed", "evaluate_every", "epochs", "batch"), int),
    **dict.fromkeys(("rate", "decay"), float),
}

Footprints = Callable[[Mapping[str, Any]], tuple[SubModel, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A problem, the keywords of ``fedopt.solve`` that its file sets (matching, timing, allocation, seed), what its
    table ``training`` says, and the CSV file that its table ``clients`` names."""

    problem: Problem
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    fleet: Path | None = None


def read_scenario(
    path: str | PathLike[str], *, clients: Clients | None = None, footprints: Footprints | None = None
) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path : TOML file of at most 2 MiB and 100,000 values; larger fleets belong into a CSV file. Its ``[clients] file``
        is relative to its folder and stays inside it.
    clients : a fleet that takes the place of the scenario's.
    footprints : from the table ``training`` to the sub-models, for a file that leaves them to what is trained.

    Raises
    ------
    InputError naming file, key (and line, where one line has that key), expected and found; OSError where the file
    cannot be read.
    """
    path = Path(path)
    content = read_limited(path, LIMIT)
    if size(content) > MOST:
        raise InputError(str(path), _FEW, f"{size(content):,} of them")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}: line {content.count(10, 0, error.start) + 1}"  # 10 is the line feed
        raise InputError(where, "a TOML file, which is UTF-8 text", f"byte 0x{content[error.start]:02x}") from None
    try:
        document = loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), "a valid TOML file", str(error) or "too deep nesting") from None
    try:
        return from_document(document, folder=path.parent, clients=clients, footprints=footprints)
    except InputError as error:
        place = re.match(r"(\[\[?\w+\]\]?(?: \d+)?) ", error.field)
        key = error.field[place.end() if place else 0 :]
        key = "partitions" if key.startswith("partitions[") else key  # of which one of the list is told
        line = line_of(text, place[1] if place else "", key)
        where = f"{path}: {error.field}" if line is None else f"{path}: line {line}: {error.field}"
        raise InputError(where, error.expected, error.found, error.client) from None


def write_scenario(problem: Problem, path: str | PathLike[str], *, fleet: str | None = None, **settings: Any) -> None:
    """Write problem and settings as a scenario that reads back bit for bit.

    ``fleet`` names a CSV file in the scenario's folder, or below, that takes the clients; without it they are written
    inline, of which a few thousand fit. A table with other clients is never overwritten: other scenarios may name it,
    and this one does until it is replaced.

    Raises InputError where the utility is a function of the user's own, ``settings`` has other keywords than matching,
    timing, allocation and seed, there is such a table, or the scenario would be longer than can be read back; OSError
    where a file cannot be written.
    """
    document = to_document(problem, **settings)
    if fleet is not None:
        table = _inside(Path(path).parent, fleet)
        document["clients"] = {"file": fleet}
    content = dumps(document).encode()
    if size(content) > MOST or len(content) > LIMIT:
        raise InputError(str(path), _FEW, f"{size(content):,} of them, {len(content):,} bytes")
    if fleet is not None:
        _write_once(table, table_bytes(problem.clients))
    replace_file(path, content)


def _write_once(path: Path, content: bytes) -> None:
    """Write a file that is not there; one that has this content is left alone."""
    if not path.exists():
        replace_file(path, content)
    elif path.stat().st_size != len(content) or read_limited(path, len(content)) != content:
        raise InputError("fleet", "the name of a file that is not there, or has these clients", short(str(path)))


def from_document(
    document: Mapping[str, Any],
    *,
    folder: Path | None = None,
    clients: Clients | None = None,
    footprints: Footprints | None = None,
) -> Scenario:
    """A scenario from plain dicts, lists, texts and numbers, as TOML and JSON give them.

    ``folder`` is where ``[clients] file`` is looked for; None refuses files. Raises InputError naming the key.
    """
    known("scenario", as_table("scenario", document), _TABLES)
    version = whole("version", required("scenario", document, "version"), least=1)
    if version != VERSION:
        raise InputError("version", f"{VERSION}, the version this fedopt reads", brief(version))
    access = _access(as_table("[access]", document["access"])) if "access" in document else None
    if clients is None:
        clients = _clients(as_table("[clients]", required("scenario", document, "clients")), folder, access)
    training = _training(as_table("[training]", document.get("training", {})))
    if footprints is not None and "submodels" not in document:
        submodels = footprints(training)
    else:
        submodels = _submodels(required("scenario", document, "submodels"))
    budget = _budget(as_table("[budget]", required("scenario", document, "budget")))
    search = as_table("[search]", document.get("search", {}))
    known("[search]", search, _SEARCH)
    partitions = search.get("partitions")
    utility = _utility(search)
    try:
        problem = Problem(clients, submodels, budget=budget, partitions=partitions, utility=utility, access=access)
    except InputError as error:
        place = error.field.removeprefix("Problem.partitions")
        field = "[[submodels]]" if place == error.field else f"[search] partitions{place}"
        field = "[search] beta" if error.field == "ReplicaRate.beta" else field
        raise InputError(field, error.expected, error.found) from None
    fleet = _fleet(document.get("clients"), folder)
    return Scenario(problem=problem, settings=_settings(search), training=training, fleet=fleet)


def to_document(problem: Problem, **settings: Any) -> dict[str, Any]:
    """The inverse of from_document, SI units throughout; ``settings`` are matching, timing, allocation and seed.

    Raises InputError for a utility that has no name, and for keywords that a scenario has no keys for.
    """
    known("keyword", settings, (*_METHODS, "seed"))
    settings = _settings(settings)
    if problem.partitions is not None:
        settings["partitions"] = problem.partitions.tolist()
    match problem.utility:
        case ReplicaRate(beta=beta):
            settings |= {"utility": "replica_rate", "beta": beta}
        case ShortestRound() | LeastEnergy() as named:
            settings["utility"] = next(name for name, value in UTILITIES.items() if value == named)
        case other:
            raise InputError("Problem.utility", "one of " + ", ".join(UTILITIES) + ", to be written", repr(other))
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
    values = quantities("[access]", table, {"bandwidth": "Hz"}, also=("scheme",))
    scheme = choice("[access] scheme", required("[access]", table, "scheme"), tuple(_ACCESS))
    hertz = required("[access]", values, "bandwidth")
    with told("[access]", table, "bandwidth"):
        return _ACCESS[scheme](hertz)


def _shared(access: Access) -> dict[str, Any]:
    """The inverse of _access."""
    scheme = next(name for name, known in _ACCESS.items() if isinstance(access, known))
    return {"scheme": scheme, "bandwidth[Hz]": access.hertz}


def _clients(table: Mapping[str, Any], folder: Path | None, access: Access | None) -> Clients:
    """From a file beside the scenario, a bundled fleet, or the fields themselves; a shared uplink is everybody's."""
    shared = {} if access is None else {"bandwidth": access.hertz}
    if "file" in table:
        known("[clients]", table, ("file",))
        return read_clients(_inside(folder, table["file"]), shared)
    if "bundled" in table:
        from fedopt import devices

        known("[clients]", table, ("bundled",))
        choice("[clients] bundled", table["bundled"], ("phones64", "phones64-unfaded"))
        return devices.phones64(faded=table["bundled"] == "phones64")
    values = quantities("[clients]", table, {f.name: quantity(f) for f in FIELDS}, also=("name", "file", "bundled"))
    values = {**shared, **values}
    for name, given in FIELD.items():
        if given.default is None:
            required("[clients]", values, name)
    with told("[clients]", table):
        return Clients(**values, name=table.get("name"))


def _fleet(table: Any, folder: Path | None) -> Path | None:
    """The file that a table ``clients`` names, if any, read or not."""
    name = table.get("file") if isinstance(table, Mapping) else None
    return folder / name if folder is not None and isinstance(name, str) else None


def _inside(folder: Path | None, name: Any) -> Path:
    """A scenario may come from anybody, so the file it names lies in its own folder or below."""
    if folder is None or not isinstance(name, str) or not name.isprintable() or not name:
        raise InputError("[clients] file", "the name of a CSV file beside the scenario", short(name))
    resolved, base = Path(os.path.realpath(folder / name)), Path(os.path.realpath(folder))
    if Path(name).is_absolute() or not resolved.is_relative_to(base):
        raise InputError("[clients] file", "a path inside the scenario's folder (elsewhere: --clients)", short(name))
    return folder / name


def _submodels(entries: Any) -> tuple[SubModel, ...]:
    if not isinstance(entries, list) or not entries:
        raise InputError("[[submodels]]", "one table or more", short(entries))
    types = tuple(_submodel(k, as_table(f"[[submodels]] {k}", entry)) for k, entry in enumerate(entries))
    names = [each.name for each in types]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise InputError(f"[[submodels]] {k} name", "types with different names", f"{name!r} again")
    return types


def _submodel(index: int, table: Mapping[str, Any]) -> SubModel:
    where = f"[[submodels]] {index}"
    if "idle" in table:
        known(where, table, ("idle", "name"))
        if table["idle"] is not True:
            raise InputError(f"{where} idle", "true, or no such key", short(table["idle"]))
        with told(where, table):
            return SubModel.idle(table.get("name", "idle"))
    values = quantities(where, table, _SIZES, also=("name", "cover", "idle"))
    for key in ("flops", "upload_bits"):
        required(where, values, key)
    name = required(where, table, "name")
    with told(where, table):
        return SubModel(name, cover=table.get("cover", 1), **values)


def _budget(table: Mapping[str, Any]) -> Budget:
    values = quantities("[budget]", table, {key: unit for key, (_, _, unit) in _BUDGETS.items()})
    if len(values) != 1:
        raise InputError("[budget]", "exactly one of " + ", ".join(_BUDGETS), ", ".join(values) or "none")
    [(key, value)] = values.items()
    with told("[budget]", table, key):
        return _BUDGETS[key][0](value)


def _utility(search: Mapping[str, Any]) -> UtilityFunction:
    name = choice("[search] utility", search.get("utility", "replica_rate"), tuple(UTILITIES))
    if "beta" not in search:
        return UTILITIES[name]
    if name != "replica_rate":
        raise InputError("[search] beta", "no beta: it belongs to utility = 'replica_rate'", short(search["beta"]))
    beta = numbers("[search] beta", search["beta"])
    with told("[search]", search, "beta"):
        return ReplicaRate(beta)


def _settings(search: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a search, checked, as plain texts and numbers."""
    given: dict[str, Any] = {
        key: choice(f"[search] {key}", search[key], methods.names) for key, methods in _METHODS.items() if key in search
    }
    if "seed" in search:
        given["seed"] = whole("[search] seed", search["seed"], most=2**128 - 1)
    return given


def _training(table: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that there are, and values of their kind."""
    known("[training]", table, tuple(_TRAINING))
    for key, value in table.items():
        kind = _TRAINING[key]
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            words = {str: "a text", int: "a whole number", float: "a number"}
            raise InputError(f"[training] {key}", words[kind], short(value))
    return dict(table)


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
