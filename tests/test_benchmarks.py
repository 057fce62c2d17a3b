"""The benchmarks at tiny sizes: rows are measured, judged and complete, ratios follow from rows, failures are rows."""

import csv
import dataclasses
import importlib.util
import math
import time

import pytest

import fedopt
from benchmarks import __main__ as all_of_them
from benchmarks import (
    common,
    complexity,
    front,
    instances,
    p1_cvxpy,
    p2_bisection,
    p3_find_root,
    p5_growth,
    p6_passes,
    p8_partitions,
    p9_exact,
    p11_shared,
    p12_memory,
    p13_first_answer,
    p14_validation,
)

SMALL = {
    p2_bisection: {"sizes": (64,)},
    p3_find_root: {"sizes": (64,)},
    p5_growth: {"sizes": (64, 128)},
    p6_passes: {"count": 30},
    p9_exact: {"sizes": (64, 128)},
    p11_shared: {"sizes": (64, 128)},
    p8_partitions: {"count": 200, "large": (80,)},
    p14_validation: {"sizes": (64,)},
    front: {"count": 4},
    complexity: {"sizes": (16, 32, 64)},
}
if importlib.util.find_spec("torch"):
    from benchmarks import training

    SMALL[training] = {"cases": (training.Case("two_nn", 4, 60),)}


@pytest.fixture(scope="module", params=SMALL, ids=lambda module: module.NAME)
def measured(request):
    module = request.param
    return module, list(module.measure(True, **SMALL[module]))


def test_rows_are_measured_and_judged(measured):
    module, rows = measured
    assert rows
    for row in rows:
        assert row.benchmark == module.NAME
        assert row.good or row.status in ("infeasible", "too_little"), row
        assert row.solve_seconds > 0.0
        assert row.clients >= 1
        if row.energy == row.energy and row.violation == row.violation:
            assert row.violation <= 1e-9, row
    keys = [(row.instance, row.method, row.settings, row.repeat, row.threads) for row in rows]
    assert len(set(keys)) == len(keys)


def test_ratios_follow_from_the_rows(measured):
    module, rows = measured
    ratios = module.compare(rows)
    assert ratios
    for ratio in ratios:
        assert ratio.value == ratio.value, ratio.what
        if ratio.top == ratio.top:
            assert ratio.value == pytest.approx(ratio.top / ratio.bottom)
    slower = [type(row)(**{**_fields(row), "solve_seconds": 2.0 * row.solve_seconds}) for row in rows]
    timed = [ratio for ratio in ratios if ratio.unit == "s" and ratio.top == ratio.top]
    again = {ratio.what: ratio for ratio in module.compare(slower)}
    for ratio in timed:
        assert ratio.top < again[ratio.what].top <= 2.0 * ratio.top * (1.0 + 1e-12)


def test_pictures_are_drawn(measured, tmp_path):
    pytest.importorskip("matplotlib")
    module, rows = measured
    path = tmp_path / "picture.png"
    module.draw(rows, module.compare(rows)).savefig(path)
    assert path.stat().st_size > 5_000


def _fields(row):
    return {name: getattr(row, name) for name in row.__slots__}


def test_nested_bisection_is_right():
    fleet = instances.cell(50, 3)
    budget = instances.energy_budget(fleet, 1.7)
    shortest, columns = p2_bisection.opponent(fleet)
    duration, passes = p2_bisection.nested(budget.joules, shortest, *columns, 1e-12)
    assert duration == pytest.approx(1.7 * shortest, rel=1e-11)
    assert 35 < passes < 50


def test_find_root_is_as_exact_as_it_is_asked_to_be():
    errors = [row.error for row in p3_find_root.measure(True, sizes=(200,))]
    assert max(errors) <= 1e-12


def test_a_wrong_duration_is_not_proved():
    pytest.importorskip("mpmath")
    fleet = instances.cell(20)
    budget = instances.energy_budget(fleet, 1.7)
    answer = fedopt.schedule(*fleet.build(), budget)
    assert p1_cvxpy.duration_error(fleet, budget.joules, answer.duration) <= 1e-12
    assert math.isnan(p1_cvxpy.duration_error(fleet, budget.joules, answer.duration * (1.0 + 1e-9)))


def test_cvxpy_is_measured_and_judged():
    pytest.importorskip("cvxpy")
    pytest.importorskip("mpmath")
    rows = list(p1_cvxpy.measure(True, sizes=(10,)))
    theirs = [row for row in rows if row.method.startswith("cvxpy")]
    assert theirs
    assert all(row.good and row.violation <= 1e-9 for row in rows)
    assert p1_cvxpy.compare(rows)[0].value > 1.0


def test_memory_is_of_the_call_and_of_nothing_else():
    """A fresh process knows what a call takes; what fails is a row; the ratio is of the largest sizes."""
    row = p12_memory._process(p12_memory.SCHEDULE, 20_000, 0)
    assert row.good
    assert 8.0 < row.memory < 5_000.0
    assert not p12_memory._process("solve, nothing", 100, 0).good
    rows = [
        common.Row(benchmark="x", instance="i", clients=n, method=m, solve_seconds=1.0, memory=b)
        for m, n, b in (("schedule", 9, 7.0), ("schedule", 99, 5.0), ("cvxpy", 9, 500.0), ("solve, sorted", 9, 6.0))
    ]
    rows += [dataclasses.replace(rows[0], method="solve, exact")]
    assert p12_memory.compare(rows)[0].value == pytest.approx(0.01)
    assert p12_memory.compare(rows)[0].verdict == "must"


def test_a_fresh_process_answers():
    rows = [p13_first_answer._process("import numba", "filled", 0, "", str(common.ROOT)), *_broken()]
    assert rows[0].good
    assert rows[0].solve_seconds > 0.0
    assert rows[1].status.startswith("failed: ")
    assert not rows[1].good


def _broken():
    p13_first_answer.PROGRAMS["broken"] = "raise SystemExit('no')"
    try:
        return [p13_first_answer._process("broken", "filled", 0, "", str(common.ROOT))]
    finally:
        del p13_first_answer.PROGRAMS["broken"]


def test_an_exception_is_a_row():
    row = instances.measured("x", instances.cell(5), fedopt.EnergyBudget(1.0), method="none", timing="no such method")
    assert row.status.startswith("failed: InputError")
    assert not row.good
    assert math.isnan(row.solve_seconds)


def test_a_time_limit_stops():
    with pytest.raises(common.TimeLimit, match=r"0\.05 s"), common.time_limit(0.05):
        time.sleep(5.0)


def test_medians_leave_failures_out():
    def row(**changes):
        return common.Row(
            **{"benchmark": "x", "instance": "i", "clients": 1, "method": "m", "solve_seconds": 1.0} | changes
        )

    rows = [row(), row(build_seconds=2.0), row(solve_seconds=99.0, status="time limit of 99 s")]
    assert common.median(rows) == 2.0
    assert math.isnan(common.median(rows[2:]))
    assert math.isnan(common.quotient(math.nan, 1.0))


@pytest.mark.parametrize(
    ("value", "above", "verdict"),
    [(7, True, "aim"), (3, True, "must"), (1, True, "missed"), (7, False, "missed"), (math.nan, True, "no number")],
)
def test_verdicts(value, above, verdict):
    must, aim = (2.0, 5.0) if above else (5.0, 2.0)
    ratio = common.Ratio(goal="P", what="w", value=float(value), must=must, aim=aim, above=above)
    assert ratio.verdict == verdict


def test_the_command_writes_rows_ratios_and_a_picture(tmp_path, capsys):
    small = common.Benchmark(
        name="p2_bisection",
        about="small",
        measure=lambda quick: p2_bisection.measure(True, sizes=(32,)),
        compare=p2_bisection.compare,
        draw=p2_bisection.draw,
    )
    assert common.run(small, ["--out", str(tmp_path)]) == 0
    assert "bisection in bisection over ours, N = 32" in capsys.readouterr().out
    with (tmp_path / "p2_bisection.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"instance", "method", "settings", "repeat", "energy", "violation", "build_seconds", "solve_seconds"} <= set(
        rows[0]
    )
    assert all("numba" in row["versions"] and row["machine"] and row["load"] for row in rows)
    assert (tmp_path / "p2_bisection-ratios.csv").exists()
    assert (tmp_path / "p2_bisection.png").exists() == (common.importlib.util.find_spec("matplotlib") is not None)


def test_an_interrupt_is_one_line_and_code_130(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    benchmark = dataclasses.replace(front.BENCHMARK, measure=interrupted)
    assert common.run(benchmark, ["--quick", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err.endswith("\nfront: interrupted\n")
    assert list(tmp_path.iterdir()) == []

    asked = []
    monkeypatch.setattr("subprocess.call", lambda line, **_: asked.append(line) or next(interrupted()))
    assert all_of_them.main([]) == 130
    assert len(asked) == 1
