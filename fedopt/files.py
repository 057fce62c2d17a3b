"""A solution on disk: a CSV table for people, a checksummed JSON record that can be judged again later."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.access import Sharing
from fedopt.answers import check_answer
from fedopt.checks import InputError, brief, harmless, kind, printable, whole
from fedopt.disk import check_parts, read_limited, replace_file
from fedopt.keys import as_table, known
from fedopt.problem import LeastEnergy, Problem, ReplicaRate, ShortestRound, Unstored, UtilityFunction
from fedopt.scenario import from_document, to_document
from fedopt.solution import Allocation, Rule, Solution, Status, Verdict
from fedopt.submodels import Partition
from fedopt.timeline import decision, timeline
from fedopt.verdict import judge_solution

FORMAT, VERSION = "fedopt-solution", 1
LIMIT = 256 * 2**20  # bytes of a record
_ARRAYS = tuple(Allocation.__slots__)
_FACTS = ("duration", "energy", "utility", "bound", "shortfall")
_KEYS = (
    "problem", "utility_not_stored", "status", "reason", *_FACTS, "scope", "bracket", "cost_bracket", "partition",
    "assignment", "allocation", "sharing", "verdict", "place_prices", "paper", "clients", "stats",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """A solution read back, with its problem and the method keywords it was solved with; the verdict is a new one."""

    problem: Problem
    solution: Solution
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_csv(problem: Problem, solution: Solution, path: str | PathLike[str]) -> None:
    """A row per client: type, frequency, rate, power, how the round is spent, energy and price, every digit kept.

    Raises ValueError where the solution is infeasible, OSError where the file cannot be written.
    """
    allocation, assignment = decision(problem, solution)
    parts, clients = timeline(problem, solution), problem.clients
    columns: dict[str, Any] = {
        "client": range(len(clients)),
        "name": clients.name or [str(n) for n in range(len(clients))],
        "submodel": [problem.submodels[k].name for k in assignment],
        "frequency[Hz]": allocation.frequency,
        "rate[bit/s]": allocation.rate,
        "power[W]": allocation.power,
        "overhead[s]": parts.overhead,
        "download_time[s]": parts.downloading,
        "compute_time[s]": parts.computing,
        "upload_time[s]": parts.sending,
        "waiting[s]": parts.waiting,
        "energy[J]": allocation.energy,
        "price[W]": allocation.price,
    }
    if solution.sharing is not None:
        columns["bandwidth[Hz]"] = solution.sharing.bandwidth
    plain = [values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values()]
    replace_file(path, csv_text(columns, zip(*plain, strict=True)).encode())


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV text of some rows; no text in it is one that a spreadsheet takes for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def write_json(problem: Problem, solution: Solution, path: str | PathLike[str], **settings: Any) -> None:
    """The whole answer, infeasible or not, with the instance, the budget and a SHA-256 of all of it.

    ``settings`` are the keywords it was solved with: matching, timing, allocation, seed. Of a utility of the user's own
    only the name is kept: a file holds no code. Raises OSError, InputError where there are other keywords or the record
    would be longer than can be read back.
    """
    kind("problem", problem, Problem, "a Problem")
    check_answer("solution", solution, Solution)
    named = isinstance(problem.utility, ReplicaRate | ShortestRound | LeastEnergy)
    written = problem if named else dataclasses.replace(problem, utility=ReplicaRate())
    arrays = None
    if solution.allocation is not None:
        arrays = {name: getattr(solution.allocation, name).tolist() for name in _ARRAYS}
    content = {
        "problem": to_document(written, **settings),
        "utility_not_stored": None if named else _name_of(problem.utility),
        "status": solution.status.name,
        "reason": solution.reason,
        **{name: float(getattr(solution, name)) for name in _FACTS},
        "scope": solution.scope,
        "bracket": [float(end) for end in solution.bracket],
        "cost_bracket": [float(end) for end in solution.cost_bracket],
        "partition": None if solution.partition is None else list(solution.partition),
        "assignment": None if solution.assignment is None else solution.assignment.tolist(),
        "allocation": arrays,
        "sharing": None if solution.sharing is None else _sharing(solution.sharing),
        "verdict": _verdict(solution),
        "place_prices": None if solution.place_prices is None else solution.place_prices.tolist(),
        "paper": None if solution.paper is None else _rule(solution.paper),
        "clients": [whole("Solution.clients", n) for n in solution.clients],
        "stats": {name: float(value) for name, value in solution.stats.items()},
    }
    body = _canonical(content)
    record = f'{{"format":"{FORMAT}","version":{VERSION},"sha256":"{_digest(body)}","content":{body}}}\n'.encode()
    replace_file(path, _sized(str(path), record))


def read_json(path: str | PathLike[str], *, judged: bool = True) -> Record:
    """Read a record back, check format, version and checksum, and judge the decision anew.

    judged: False leaves that, and the verdict, to whoever verifies the answer. Texts are made printable.

    Raises InputError where the file is no such record, is damaged, or its decision fails where it claims to be solved;
    OSError where it cannot be read.
    """
    where = str(Path(path))
    try:
        text = _sized(where, read_limited(path, LIMIT)).decode(
            "utf-8-sig"
        )  # of bytes json guesses other encodings, too
        record = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise InputError(where, error.expected, error.found) from None
        raise InputError(where, "a JSON file in UTF-8", str(error) or "too deep nesting") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(where, f"a {FORMAT} file", "something else")
    version = record.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(f"{where}: version", f"{VERSION}, the version this fedopt reads", repr(version)[:80])
    content = record.get("content")
    try:
        known("key", record, ("format", "version", "sha256", "content"))
        if not isinstance(content, dict) or record.get("sha256") != _digest(_canonical(content)):
            raise InputError("sha256", "the checksum of the content", "another: the file is damaged")
        return _record(content, judged)
    except InputError as error:
        raise InputError(f"{where}: {error.field}", error.expected, error.found, error.client) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(where, "a complete solution record", f"{type(error).__name__}: {error}"[:200]) from None


def _sized(where: str, raw: bytes) -> bytes:
    """A record that can be read back, and takes no more memory than its bytes show; objects for inf and NaN take none.

    Raises InputError.
    """
    if len(raw) > LIMIT:
        raise InputError(where, f"a record of at most {LIMIT:,} bytes", f"{len(raw):,}")
    numbers = sum(raw.count(_canonical(value).encode()) for value in (math.inf, -math.inf, math.nan))
    check_parts(where, raw, free=numbers)
    return raw


def _record(content: Mapping[str, Any], judged: bool) -> Record:
    _check_keys(content)
    scenario = from_document(content["problem"])
    problem, allocation, partition, assignment = scenario.problem, None, None, None
    if content.get("utility_not_stored") is not None:  # the first records have it not
        problem = dataclasses.replace(problem, utility=Unstored(_text(content["utility_not_stored"])[:200]))
    if content["allocation"] is not None:
        arrays: dict[str, Any] = {name: _array(name, content["allocation"][name], _kind(name)) for name in _ARRAYS}
        assignment = _array("assignment", content["assignment"], int)
        for name, values in {**arrays, "assignment": assignment}.items():
            if values.shape != (len(problem.clients),):
                raise InputError(name, f"{len(problem.clients)} values, one per client", f"shape {values.shape}")
        allocation = Allocation(**arrays)
        partition = Partition(content["partition"], problem.submodels)
    facts: dict[str, Any] = {name: _number(content[name]) for name in _FACTS}
    if content.get("sharing") is not None:  # records of the clients' own channels may lack it
        bandwidth = _array("bandwidth", content["sharing"]["bandwidth"], float)
        if bandwidth.shape != (len(problem.clients),):
            raise InputError("bandwidth", f"{len(problem.clients)} values", f"shape {bandwidth.shape}")
        numbers = {name: _number(content["sharing"][name]) for name in Sharing.__slots__ if name != "bandwidth"}
        facts["sharing"] = Sharing(bandwidth=bandwidth, **numbers)
    if content["place_prices"] is not None:
        facts["place_prices"] = _array("place_prices", content["place_prices"], float)
        if facts["place_prices"].shape != (len(problem.submodels),):
            found = f"shape {facts['place_prices'].shape}"
            raise InputError("place_prices", f"{len(problem.submodels)} values, one per type", found)
    if content["paper"] is not None:
        rule = content["paper"]
        numbers = {name: _number(rule[name]) for name in ("duration", "energy", "utility")}
        facts["paper"] = Rule(partition=Partition(rule["partition"], problem.submodels), **numbers)
    low, high = content["bracket"]
    cheapest, cost = content.get("cost_bracket", (math.nan, math.nan))  # the first records lack it, and scope
    solution = Solution(
        status=Status[content["status"]],
        reason=_text(content["reason"]),
        allocation=allocation,
        verdict=None,
        partition=partition,
        assignment=assignment,
        scope=_text(content.get("scope", "")),
        bracket=(_number(low), _number(high)),
        cost_bracket=(_number(cheapest), _number(cost)),
        problem=problem,
        clients=tuple(whole("clients", n) for n in content["clients"]),
        stats={_text(name): _number(value) for name, value in content["stats"].items()},
        **facts,
    )
    checked = _judged(problem, solution) if judged else solution
    return Record(problem=problem, solution=checked, settings=scenario.settings)


def _check_keys(content: Mapping[str, Any]) -> None:
    """Raise InputError where a key is none of a record's; the verdict is not used, but must be one."""
    known("content", content, _KEYS)
    parts = {"allocation": _ARRAYS, "sharing": Sharing.__slots__, "paper": Rule.__slots__, "verdict": Verdict.__slots__}
    for name, keys in parts.items():
        if content.get(name) is not None:
            known(name, as_table(name, content[name]), keys)
    said = content.get("verdict")
    if said is not None:
        for name in ("energy", "duration", "violation"):
            _number(said[name])
        if not isinstance(said["violations"], list):
            raise InputError("verdict violations", "a list", type(said["violations"]).__name__)
        for text in said["violations"]:
            _text(text)


def _judged(problem: Problem, solution: Solution) -> Solution:
    """A claim is only as good as today's verdict on it."""
    if solution.allocation is None:
        if solution.status.solved:
            raise InputError("allocation", f"a decision for the status {solution.status.name}", "none")
        return solution
    verdict = judge_solution(problem, solution)
    if solution.status.solved and not verdict.feasible:
        raise InputError("status", "a decision that passes the judge", "; ".join(verdict.violations))
    values = {name: getattr(solution, name) for name in Solution.__slots__}
    return Solution(**{**values, "verdict": verdict})


def _name_of(utility: UtilityFunction) -> str:
    """What to call a utility of the user's own."""
    if isinstance(utility, Unstored):
        return utility.name
    return str(getattr(utility, "__qualname__", type(utility).__qualname__))[:200]


def _verdict(solution: Solution) -> dict[str, Any] | None:
    if solution.verdict is None:
        return None
    return {name: getattr(solution.verdict, name) for name in solution.verdict.__slots__}


def _sharing(sharing: Sharing) -> dict[str, Any]:
    numbers = {name: float(getattr(sharing, name)) for name in Sharing.__slots__ if name != "bandwidth"}
    return {"bandwidth": sharing.bandwidth.tolist(), **numbers}


def _rule(rule: Rule) -> dict[str, Any]:
    return {"partition": list(rule.partition), **{n: getattr(rule, n) for n in ("duration", "energy", "utility")}}


def _number(value: Any) -> float:
    """A number of a record; a text that looks like one is damage."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return float(value)


def _text(value: Any) -> str:
    """A text of a record, made printable: it may come from anybody."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {type(value).__name__}")
    return printable(value)


def _array(name: str, values: Any, kind: type) -> NDArray[Any]:
    """A list of numbers, or of true and false, as an array. Raises InputError where one of them is something else."""
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(values, list):
        raise InputError(name, "a list", type(values).__name__)
    if not set(map(type, values)) <= set(allowed):
        client = next(place for place, value in enumerate(values) if type(value) not in allowed)
        raise InputError(name, f"a value of type {allowed[-1].__name__}", brief(values[client]), client)
    return np.array(values, dtype=np.int64 if kind is int else kind)


def _kind(name: str) -> type:
    return bool if name == "feasible" else float


def _canonical(content: Any) -> str:
    """One text per content: sorted keys, no blanks, shortest digits that read back exactly, inf and NaN as objects."""
    return json.dumps(_strict(content), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _strict(value: Any) -> Any:
    """JSON has no inf and NaN: they travel as {"float": "inf"}, which no text of the user's can be mistaken for."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    """A JSON object; a key given twice is damage, {"float": ...} is a number."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise InputError("", "every key once", "a key that is given twice")
    if list(table) == ["float"] and table["float"] in ("inf", "-inf", "nan"):
        return float(table["float"])
    return table


def _refuse(constant: str) -> Any:
    raise InputError("", "strict JSON", constant)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
