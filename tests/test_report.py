"""What is told, drawn and stored about a solution, on the eight-client case whose answer was worked out twice by hand.

Case: distances 60, 100, ..., 340 m, gain -(128.1 + 37.6 log10 d_km) dB, 1 MHz each, 937 samples, four sub-models; at
(2, 2, 4, 0) and 1.25 W the round lasts 18.931925365 s and costs 23.664906706 J; the least duration is 10.666327965 s.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

import fedopt
from fedopt import files, report
from fedopt.devices import phones64
from fedopt.disk import replace_file
from fedopt.report import Entry, comparison, groups, headline, holding
from fedopt.timeline import flat_out_clients, timeline

T_POWER, E_POWER, T_MIN = 18.931925365, 23.664906706, 10.666327965
TYPES = tuple(
    fedopt.SubModel(name, flops=6 * mac, upload_bits=32 * parameters, cover=cover)
    for name, mac, parameters, cover in (
        ("L", 5673024, 16938, 1),
        ("M", 2963520, 10010, 2),
        ("S", 2441376, 6250, 4),
        ("T", 1481760, 5018, 8),
    )
)


def eight(budget: object, partition: tuple[int, ...] = (2, 2, 4, 0)) -> fedopt.Problem:
    distance = np.arange(60.0, 341.0, 40.0) / 1e3
    clients = fedopt.Clients(
        frequency_min=0.3e9,
        frequency_max=3e9,
        samples=937,
        channel_gain=10 ** (-(128.1 + 37.6 * np.log10(distance)) / 10),
        bandwidth=1e6,
        noise_density=10**-17.4 / 1e3,
        name=[f"phone at {1e3 * d:.0f} m" for d in distance],
    )
    return fedopt.Problem(clients, TYPES, budget=budget, partitions=[partition])


@pytest.fixture(scope="module")
def solved() -> tuple[fedopt.Problem, fedopt.Solution]:
    problem = eight(fedopt.PowerBudget(1.25))
    return problem, fedopt.solve(problem, matching="sorted")


@pytest.fixture(scope="module")
def slack() -> tuple[fedopt.Problem, fedopt.Solution]:
    problem = eight(fedopt.PowerBudget(12.5))
    return problem, fedopt.solve(problem, matching="sorted")


@pytest.fixture(scope="module")
def infeasible() -> tuple[fedopt.Problem, fedopt.Solution]:
    problem = eight(fedopt.Deadline(5.0))
    return problem, fedopt.solve(problem, matching="sorted")


def test_the_case_itself(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    assert solved[1].duration == pytest.approx(T_POWER, abs=1e-9)
    assert solved[1].energy == pytest.approx(E_POWER, abs=2e-9)


def test_headline_says_what_was_found(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    told = dict(headline(*solved).rows)
    assert told["budget"] == "1.25 W on average"
    assert told["partition"].startswith("2 L, 2 M, 4 S, 0 T")
    assert "(4 replicas" in told["partition"]  # 2/1 + 2/2 + 4/4
    assert told["duration"].startswith("18.932 s")
    assert told["energy"] == "23.665 J, 1.25 W on average"
    assert told["utility"].startswith(f"{4 / T_POWER:.6g} replicas per second")
    assert "every constraint holds" in told["judge"]
    assert "slack" not in told


def test_headline_of_a_slack_budget(slack: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    told = dict(headline(*slack).rows)
    unused = 12.5 - 74.707993899 / T_MIN  # the energy at the least duration is part of the published case
    assert told["slack"] == f"{unused:.5g} W of the budget are not used"
    assert told["duration"].startswith("10.666 s")


def test_headline_of_an_infeasible_problem(infeasible: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    told = dict(headline(*infeasible).rows)
    assert told["status"] == infeasible[1].reason
    assert told["budget"] == "deadline 5 s"
    assert set(told) == {"status", "budget"}
    for table in (groups, holding, timeline):
        with pytest.raises(ValueError, match="no decision"):
            table(*infeasible)


def test_timeline_adds_up(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    parts = timeline(*solved)
    total = parts.overhead + parts.downloading + parts.computing + parts.sending + parts.waiting
    assert total == pytest.approx(np.full(8, T_POWER), rel=1e-9)
    assert np.all(parts.waiting < 1e-6)  # nobody is at a bound here, so all use the whole round


def test_groups_share_the_energy(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    table = groups(*solved)
    assert [row[:2] for row in table.rows] == [("L", "2"), ("M", "2"), ("S", "4")]
    energy = table.columns.index("energy [J]")
    assert sum(float(row[energy]) for row in table.rows) == pytest.approx(E_POWER, rel=1e-3)


def test_holding_lists_the_dearest_clients(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    problem, solution = solved
    table = holding(problem, solution)
    assert solution.allocation is not None
    dearest = int(np.argmax(solution.allocation.price))
    assert table.rows[0][0] == problem.clients.label(dearest)
    prices = [float(row[2]) for row in table.rows]
    assert prices == sorted(prices, reverse=True)
    assert "dearest" in table.title


def test_holding_names_who_is_flat_out(slack: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    problem, solution = slack
    # by hand: the two L clients compute 937 x 34,038,144 / 3e9 = 10.631 s; the farther one sends longer
    assert flat_out_clients(problem, solution).tolist() == [1]
    table = holding(problem, solution)
    assert [row[0] for row in table.rows] == ["1 (phone at 100 m)"]
    assert table.rows[0][4:6] == ("3.00 (max)", "200 (max)")
    assert "no shorter round" in table.notes[0]


def test_comparison_is_relative_to_the_best(
    solved: tuple[fedopt.Problem, fedopt.Solution], infeasible: tuple[fedopt.Problem, fedopt.Solution]
) -> None:
    large = eight(fedopt.PowerBudget(1.25), (8, 0, 0, 0))
    entries = [
        Entry(method="all large", solution=fedopt.solve(large, matching="sorted"), seconds=0.5),
        Entry(method="sorted", solution=solved[1], seconds=0.25),
        Entry(method="hopeless", solution=infeasible[1], seconds=1.0),
    ]
    rows = {row[0]: dict(zip(comparison(entries).columns, row, strict=True)) for row in comparison(entries).rows}
    best = 8 / 27.528388808  # replicas per second of the published (8, 0, 0, 0) row
    assert rows["all large"]["of best"] == "100.0%"
    assert rows["sorted"]["of best"] == f"{4 / T_POWER / best:.1%}"
    assert rows["sorted"]["took [s]"] == "0.25"
    assert rows["hopeless"]["duration [s]"] == "-"
    assert rows["hopeless"]["partition"] == "infeasible"


def test_tables_as_text_line_up() -> None:
    table = report.Table(title="T", columns=("a", "bb"), rows=(("x", "1"), ("long", "22")), notes=("n",))
    assert table.text().splitlines() == ["T", "a     bb", "x      1", "long  22", "n"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "J", "1.2345 kJ"),
        (0.5, "W", "500 mW"),
        (2e-12, "W", "2e-12 W"),
        (0.0, "W", "0 W"),
        (math.inf, "J", "inf J"),
        (1500.0, "s", "1500 s"),
    ],
)
def test_quantities_read_well(value: float, unit: str, text: str) -> None:
    assert report.quantity(value, unit) == text


def test_csv_has_a_row_per_client(tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    problem, solution = solved
    files.write_csv(problem, solution, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert solution.allocation is not None
    assert [float(row["frequency[Hz]"]) for row in rows] == solution.allocation.frequency.tolist()
    assert [row["submodel"] for row in rows] == ["L", "L", "M", "M", "S", "S", "S", "S"]
    assert [row["name"] for row in rows][:2] == ["phone at 60 m", "phone at 100 m"]
    parts = ("overhead[s]", "download_time[s]", "compute_time[s]", "upload_time[s]", "waiting[s]")
    for row in rows:
        assert sum(float(row[part]) for part in parts) == pytest.approx(solution.duration, rel=1e-12)
    assert math.fsum(float(row["energy[J]"]) for row in rows) == pytest.approx(E_POWER, rel=1e-9)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "＝1", "　＋1"])  # noqa: RUF001
def test_csv_text_is_never_a_formula(text: str) -> None:
    assert files.csv_text(["a"], [[text]]) == f"a\n'{text}\n"


def test_json_round_trip_is_exact(tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    problem, solution = solved
    path = tmp_path / "a.json"
    files.write_json(problem, solution, path, matching="sorted", seed=3)
    record = files.read_json(path)
    back = record.solution
    assert record.settings == {"matching": "sorted", "seed": 3}
    assert (back.status, back.reason, back.partition) == (solution.status, solution.reason, solution.partition)
    for name in ("duration", "energy", "utility", "shortfall"):
        assert getattr(back, name) == getattr(solution, name)
    np.testing.assert_array_equal([back.bound, *back.bracket], [solution.bound, *solution.bracket])
    assert back.allocation is not None
    assert solution.allocation is not None
    for name in fedopt.Allocation.__slots__:
        np.testing.assert_array_equal(getattr(back.allocation, name), getattr(solution.allocation, name))
    assert back.assignment is not None
    np.testing.assert_array_equal(back.assignment, solution.assignment)
    assert back.verdict == solution.verdict
    assert record.problem.budget == problem.budget
    json.loads(path.read_text(), parse_constant=pytest.fail)  # strict JSON: no Infinity, no NaN


def test_every_claim_of_a_solution_is_in_its_record_and_old_records_may_lack_some(tmp_path: Path) -> None:
    types = (fedopt.SubModel("L", flops=2e7, upload_bits=2e5), fedopt.SubModel("S", flops=5e6, upload_bits=5e4))
    problem = fedopt.Problem(phones64().take(range(4)), types, budget=fedopt.TimePrice(2.0))
    bounded = fedopt.solve(fedopt.Problem(problem.clients, types, budget=fedopt.PowerBudget(2.0)))
    path = tmp_path / "a.json"
    for solution in (fedopt.solve(problem), bounded):
        assert solution.problem is not None
        files.write_json(solution.problem, solution, path)
        back = files.read_json(path).solution
        assert (back.scope, back.paper) == (solution.scope, solution.paper)
        np.testing.assert_array_equal(back.cost_bracket, solution.cost_bracket)
        np.testing.assert_array_equal(back.place_prices, solution.place_prices)
    record = json.loads(path.read_text())
    old = {key: value for key, value in record["content"].items() if key not in ("scope", "cost_bracket")}
    body = files._canonical(old)
    path.write_text(json.dumps({**record, "content": old, "sha256": files._digest(body)}))
    back = files.read_json(path).solution
    assert back.scope == ""
    assert all(math.isnan(end) for end in back.cost_bracket)
    assert back.bound == bounded.bound


def test_json_of_an_infeasible_answer(tmp_path: Path, infeasible: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    problem, solution = infeasible
    files.write_json(problem, solution, tmp_path / "a.json")
    back = files.read_json(tmp_path / "a.json").solution
    assert (back.status, back.clients) == (fedopt.Status.INFEASIBLE, solution.clients)
    assert math.isnan(back.duration)
    assert back.allocation is None


def test_every_damaged_byte_of_a_record_is_noticed(
    tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution]
) -> None:
    path = tmp_path / "a.json"
    files.write_json(*solved, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.choice(len(whole) - 1, 150, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(fedopt.InputError, match=r"a\.json"):
            files.read_json(path)
    for end in rng.choice(len(whole) - 1, 50, replace=False):
        path.write_bytes(whole[:end])
        with pytest.raises(fedopt.InputError, match=r"a\.json"):
            files.read_json(path)


def resealed(content: dict[str, object], path: Path) -> None:
    """A record whose checksum is right, as somebody who edits by hand with care would leave it."""
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = files._digest(body)
    path.write_text(f'{{"format":"fedopt-solution","version":1,"sha256":"{digest}","content":{body}}}')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration": 5.0}, "round's end"),
        ({"partition": [8, 0, 0, 0]}, "partition says 8"),
        ({"assignment": [0, 0, 1, 1, 2, 2, 2]}, "one per client"),
        ({"assignment": [0, 0, 1, 1, 2, 2, 2, 9]}, "assignment"),
        ({"allocation": None, "assignment": None, "partition": None}, "a decision"),
        ({"status": "GREAT"}, "complete solution record"),
        ({"problem": {"version": 1}}, "clients"),
        ({"duration": "soon"}, "complete solution record"),
    ],
)
def test_a_resealed_lie_does_not_pass_the_judge(
    tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution], change: dict[str, object], said: str
) -> None:
    path = tmp_path / "a.json"
    files.write_json(*solved, path)
    content = json.loads(path.read_text())["content"]
    resealed({**content, **change}, path)
    with pytest.raises(fedopt.InputError, match=said):
        files.read_json(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "fedopt-solution"),
        ("{}", "fedopt-solution"),
        ('{"format":"fedopt-solution","version":2}', "version"),
        ('{"format":"fedopt-solution","version":true}', "version"),
        ('{"format":"fedopt-solution","version":1.0}', r"version: expected 1, .*, found 1\.0$"),
        ('{"format":"fedopt-solution","version":1e0}', r"version: expected 1, .*, found 1\.0$"),
        ('{"format":"fedopt-solution","version":1,"content":{},"sha256":"0"}', "damaged"),
        ('{"format":"fedopt-solution","format":"fedopt-solution"}', "twice"),
        ('{"a": NaN}', "strict JSON"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(fedopt.InputError, match=said):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
def test_records_in_other_encodings_are_refused(
    tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution], encoding: str
) -> None:
    path = tmp_path / "a.json"
    files.write_json(*solved, path)
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.encode(encoding))
    with pytest.raises(fedopt.InputError, match=r"a\.json: expected a JSON file in UTF-8, found "):
        files.read_json(path)
    path.write_bytes(text.encode("utf-8-sig"))
    assert files.read_json(path).solution.duration == solved[1].duration


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


class FullFile(io.FileIO):
    """A file that takes the first bytes and then finds the disk full."""

    def write(self, content: object) -> int:
        super().write(b"ne")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("step", "failing"),
    [("fedopt.disk.open", full), ("fedopt.disk.open", FullFile), ("os.fsync", full), ("os.replace", full)],
)
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failing: object
) -> None:
    path = tmp_path / "a.txt"
    replace_file(path, b"old")
    monkeypatch.setattr(step, failing, raising=False)
    with pytest.raises(OSError, match="No space left") as failed:
        replace_file(path, b"new")
    monkeypatch.undo()
    assert (failed.value.errno, failed.value.filename) == (28, str(path))  # not the temporary file
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    replace_file(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_bars_keep_the_sums_and_the_order(solved: tuple[fedopt.Problem, fedopt.Solution]) -> None:
    plots = pytest.importorskip("fedopt.plots")
    content = plots.bars(*solved)
    assert content.types.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    for k in range(3):
        assert np.all(
            np.diff(content.times["computing"][content.types == k]) <= 0.0
        )  # longest first: nobody waits here
    assert sum(part.sum() for part in content.energies.values()) == pytest.approx(E_POWER, rel=1e-9)
    assert sum(part for part in content.times.values()) == pytest.approx(np.full(8, T_POWER), rel=1e-9)
    assert content.each == 1


def test_many_clients_share_a_bar() -> None:
    plots = pytest.importorskip("fedopt.plots")
    size = 1000
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=2e9,
        samples=np.arange(1, size + 1),
        channel_gain=1e-10,
        bandwidth=1e6,
    )
    problem = fedopt.Problem(clients, TYPES[:2], budget=fedopt.Deadline(60.0), partitions=[(600, 400)])
    solution = fedopt.solve(problem, matching="sorted")
    content = plots.bars(problem, solution)
    assert content.each == 8  # 1000 clients in at most 128 bars
    assert len(content.labels) == 75 + 50  # 600 / 8 and 400 / 8
    figure = plots.draw_round(problem, solution)
    assert "mean of up to 8 clients" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("form", ["png", "svg"])
def test_pictures_are_saved(tmp_path: Path, solved: tuple[fedopt.Problem, fedopt.Solution], form: str) -> None:
    pytest.importorskip("matplotlib")
    from fedopt import plots

    path = plots.save(plots.draw_round(*solved), tmp_path / f"a.{form}")
    start = path.read_bytes()[:60]
    assert start.startswith(b"\x89PNG") or b"<?xml" in start
    plots.save(plots.draw_round(*solved), tmp_path / f"b.{form}")
    assert path.read_bytes() == (tmp_path / f"b.{form}").read_bytes()
    with pytest.raises(fedopt.InputError, match="suffix"):
        plots.save(plots.draw_round(*solved), tmp_path / "a.exe")
    assert sorted(os.listdir(tmp_path)) == [f"a.{form}", f"b.{form}"]


@pytest.mark.filterwarnings("error")
def test_a_picture_of_names_in_letters_that_no_font_has_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from fedopt import plots

    clients = fedopt.Clients(
        frequency_min=0,
        frequency_max=1e9,
        samples=10,
        channel_gain=1e-10,
        bandwidth=1e6,
        name=("\u65e5\u672c", "\u0b95"),
    )
    types = (fedopt.SubModel("\u5927", flops=1e6, upload_bits=1e5),)
    problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(1.0))
    assert plots.save(plots.draw_round(problem, fedopt.solve(problem)), tmp_path / "a.png").stat().st_size > 1000
