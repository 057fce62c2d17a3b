"""Answers on disk: read back to the last bit, verified by the command, hostile records refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matchings import TYPES, budget_of, fleet

import fedopt
from fedopt import files
from fedopt.problem import Unstored
from fedopt.verifier import Outcome


def solved(**more: Any) -> fedopt.Solution:
    clients = fleet(5, 2)
    return fedopt.solve(fedopt.Problem(clients, TYPES, budget=budget_of("power", clients), **more))


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one, dtype=float), np.asarray(other, dtype=float), equal_nan=True))


@pytest.mark.parametrize("access", [None, fedopt.SharedBandwidth(1.5e5), fedopt.TimeDivision(1.5e5)])
def test_every_bit_comes_back_and_is_verified(tmp_path: Path, access: Any) -> None:
    solution = solved(access=access)
    fedopt.write_solution(solution, tmp_path / "a.json")
    problem, back = fedopt.read_solution(tmp_path / "a.json")
    assert solution.allocation is not None
    assert back.allocation is not None
    for name in fedopt.Allocation.__slots__:
        assert same(getattr(back.allocation, name), getattr(solution.allocation, name))
    for name in ("duration", "energy", "utility", "bound", "bracket", "cost_bracket", "assignment"):
        assert same(getattr(back, name), getattr(solution, name))
    assert back.verdict == solution.verdict
    assert fedopt.verify(problem, back).ok
    fedopt.write_solution(back, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def mine(partition: fedopt.Partition, duration: float, energy: float) -> float:
    return partition.replicas / duration - 1e-3 * energy


def test_a_utility_of_ones_own_is_kept_by_name_and_verification_says_so(tmp_path: Path) -> None:
    solution = solved(utility=mine)
    assert solution.problem is not None
    assert fedopt.verify(solution.problem, solution).ok
    fedopt.write_solution(solution, tmp_path / "a.json")
    problem, back = fedopt.read_solution(tmp_path / "a.json")
    report = fedopt.verify(problem, back)
    assert report.ok
    check = next(check for check in report.checks if check.name == "utility")
    assert check.outcome is Outcome.UNPROVED
    assert check.why == "a callable of the user's, not stored: mine"
    with pytest.raises(fedopt.InputError, match="not stored: mine"):
        fedopt.solve(problem)
    fedopt.write_solution(back, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_an_answer_without_its_problem_cannot_be_written(tmp_path: Path) -> None:
    import dataclasses

    with pytest.raises(fedopt.InputError, match="the problem it is the answer of"):
        fedopt.write_solution(dataclasses.replace(solved(), problem=None), tmp_path / "a.json")


def resealed(path: Path, change: dict[str, Any]) -> None:
    """Change the content and seal it again, as somebody who knows the format would."""
    content = {**json.loads(path.read_text(), object_pairs_hook=files._unique)["content"], **change}
    body = files._canonical(content)
    path.write_text(f'{{"format":"{files.FORMAT}","version":1,"sha256":"{files._digest(body)}","content":{body}}}')


HUGE = "9" * 400
HOSTILE: dict[str, dict[str, Any]] = {
    "a huge partition": {"partition": [10**300, 0, 0, 0]},
    "a negative partition": {"partition": [-5, 0, 0, 10]},
    "prices of other types": {"place_prices": [1.0]},
    "a huge type": {"assignment": [10**30] * 5},
    "half a type": {"assignment": [0.7, 0, 0, 0, 0]},
    "an assignment that is none": {"assignment": "00000"},
    "clients that are halves": {"clients": [0.5]},
    "a reason that is a number": {"reason": 5},
    "a scope that is a list": {"scope": ["all matchings"]},
    "texts": {"duration": "1e9"},
    "nested numbers": {"bracket": [[1.0], 2.0]},
    "three ends": {"bracket": [1.0, 2.0, 3.0]},
    "no sharing": {"sharing": {}},
    "clients that are texts": {"clients": ["x"]},
    "stats that are texts": {"stats": {"a": "b"}},
    "a status from nowhere": {"status": "__class__"},
    "no numbers": {"allocation": {}},
    "a problem from a file": {"problem": {"version": 1, "clients": {"file": "/etc/passwd"}, "submodels": []}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    fedopt.write_solution(solved(), path)
    resealed(path, HOSTILE[name])
    for judged in (True, False):
        with pytest.raises(fedopt.InputError, match=r"a\.json"):
            files.read_json(path, judged=judged)


@pytest.mark.parametrize(
    ("name", "value"), [("frequency", "1e9"), ("frequency", True), ("rate", None), ("feasible", "no"), ("feasible", 1)]
)
def test_a_decision_of_another_type_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "a.json"
    fedopt.write_solution(solved(), path)
    allocation = json.loads(path.read_text(), object_pairs_hook=files._unique)["content"]["allocation"]
    allocation[name][2] = value
    resealed(path, {"allocation": allocation})
    for judged in (True, False):
        with pytest.raises(fedopt.InputError, match=rf"a\.json: {name}: client 2: expected a value of type"):
            files.read_json(path, judged=judged)


@pytest.mark.parametrize("name", ["bandwidth", "gap"])
def test_a_sharing_of_texts_is_refused(tmp_path: Path, name: str) -> None:
    problem = fedopt.Problem(fleet(5, 2), TYPES, budget=fedopt.PowerBudget(2.0), access=fedopt.TimeDivision(1e6))
    path = tmp_path / "a.json"
    fedopt.write_solution(fedopt.solve(problem), path)
    sharing = json.loads(path.read_text(), object_pairs_hook=files._unique)["content"]["sharing"]
    sharing[name] = ["1e6"] * 5 if name == "bandwidth" else "0"
    resealed(path, {"sharing": sharing})
    with pytest.raises(fedopt.InputError, match=r"a\.json"):
        files.read_json(path)


def test_texts_of_a_record_are_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    fedopt.write_solution(solved(), path)
    resealed(path, {"reason": "\x1b[2Jd\ud800é", "scope": "a\x07", "stats": {"b\n": 1.0}, "utility_not_stored": "c\r"})
    problem, solution = fedopt.read_solution(path)
    assert (solution.reason, solution.scope, solution.stats) == ("\\x1b[2Jd\\ud800é", "a\\x07", {"b\\n": 1.0})
    assert problem.utility == Unstored("c\\r")


def test_whole_numbers_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"format":"fedopt-solution","version":' + HUGE * 20 + "}")
    with pytest.raises(fedopt.InputError, match=r"a\.json"):
        fedopt.read_solution(path)


def test_a_file_too_long_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with open(path, "wb") as file:
        file.truncate(files.LIMIT + 1)  # a hole: no disk is taken either
    tracemalloc.start()
    with pytest.raises(fedopt.InputError, match="at most 268,435,456 bytes"):
        fedopt.read_solution(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fedopt", *arguments], capture_output=True, text=True, check=False)


def test_the_command_verifies(tmp_path: Path) -> None:
    """0 verified, 1 not, 2 no such record; a wrong record that is well sealed gets its table."""
    path = tmp_path / "a.json"
    solution = solved()
    fedopt.write_solution(solution, path)
    good = run("verify", str(path))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.rstrip().endswith("Verified.")
    resealed(path, {"energy": solution.energy * (1.0 + 1e-6)})
    wrong = run("verify", str(path))
    assert wrong.returncode == 1
    assert "Not verified: the answer's numbers are not those of its decision." in wrong.stdout
    path.write_bytes(path.read_bytes().replace(b"OPTIMAL", b"OPTIMAX"))
    damaged = run("verify", str(path))
    assert damaged.returncode == 2
    assert "damaged" in damaged.stderr
    assert run("verify", str(tmp_path / "none.json")).returncode == 2


def test_an_infeasible_record_is_verified(tmp_path: Path) -> None:
    clients = fleet(5, 2)
    solution = fedopt.solve(fedopt.Problem(clients, TYPES, budget=fedopt.Deadline(0.1)))
    fedopt.write_solution(solution, tmp_path / "a.json")
    problem, back = fedopt.read_solution(tmp_path / "a.json")
    assert back.scope == "all matchings"
    assert math.isnan(back.duration)
    assert fedopt.verify(problem, back).ok


def written(path: Path) -> dict[str, Any]:
    fedopt.write_solution(solved(), path)
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def read(path: Path, record: dict[str, Any]) -> fedopt.Solution:
    """The record with the checksum of what it holds now."""
    body = json.dumps(record["content"], sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps({**record, "sha256": files._digest(body)}))
    return fedopt.read_solution(path)[1]


@pytest.mark.parametrize("where", ["", "content", "allocation", "paper", "verdict"])
def test_a_key_that_no_record_has_is_refused(tmp_path: Path, where: str) -> None:
    record = written(tmp_path / "a.json")
    table = {"": record, "content": record["content"]}.get(where) or record["content"][where]
    table["priec"] = 1.0
    with pytest.raises(fedopt.InputError, match="priec"):
        read(tmp_path / "a.json", record)
    del table["priec"]
    assert read(tmp_path / "a.json", record).status.solved


@pytest.mark.parametrize(
    "verdict",
    [
        7,
        "fine",
        {},
        *({"energy": value} for value in ("1", None, True)),
        *({"violations": value} for value in ("none", [7], None)),
    ],
    ids=str,
)
def test_a_verdict_that_is_none_is_refused(tmp_path: Path, verdict: Any) -> None:
    record = written(tmp_path / "a.json")
    own = record["content"]["verdict"]
    record["content"]["verdict"] = {**own, **verdict} if verdict and isinstance(verdict, dict) else verdict
    with pytest.raises(fedopt.InputError):
        read(tmp_path / "a.json", record)


def test_records_that_lack_what_came_later_are_read(tmp_path: Path) -> None:
    record = written(tmp_path / "a.json")
    for key in ("utility_not_stored", "scope", "cost_bracket", "sharing", "verdict"):
        del record["content"][key]
    assert read(tmp_path / "a.json", record).status.solved
