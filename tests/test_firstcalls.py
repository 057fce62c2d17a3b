"""A kernel's first calls run in plain Python, with the bits of compiled code, and nothing is compiled."""

from __future__ import annotations

import ast
import itertools
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, make

import fedopt
from solvers import firstcalls
from solvers.blocks import total
from solvers.compile import kernel, wide
from solvers.rows import FloatArray

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")


@kernel
def _summed(values: FloatArray) -> float:
    wide()
    return total(values) / values[0]


@kernel
def _logs(values: FloatArray) -> float:
    for i in range(values.shape[0]):
        values[i] = math.log(values[i])
    return values[0]


def test_what_plain_python_refuses_is_compiled_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstcalls, "PATIENCE", 250)
    monkeypatch.setattr(firstcalls.FirstCalls, "_on_disk", lambda *_: False)
    for values, compiled in ((np.ones(3), False), (np.array([1.0, 0.0, math.e]), True)):
        assert _logs(values) == 0.0
        assert bool(_logs.signatures) is compiled  # type: ignore[attr-defined]
    np.testing.assert_array_equal(values, [0.0, -math.inf, 1.0])  # each number once


def test_a_kernel_is_compiled_when_it_has_gone_over_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstcalls, "PATIENCE", 250)
    monkeypatch.setattr(firstcalls.FirstCalls, "_on_disk", lambda *_: False)
    values = np.arange(100.0)
    compiled = []
    for _ in range(4):
        assert _summed(values) == np.inf  # as compiled code divides: no warning, no exception
        compiled.append(bool(_summed.signatures))  # type: ignore[attr-defined]
    assert compiled == [False, False, True, True]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Which interrupts were served; the handler is another's, and raises nothing."""
    signals: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: signals.append(number))
    yield signals
    assert signal.signal(signal.SIGINT, before).__qualname__.startswith("served.")


def test_an_interrupt_waits_until_a_kernel_is_compiled_and_the_second_does_not(
    served: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def compiling(interrupts: int) -> int:
        for _ in range(interrupts):
            signal.raise_signal(signal.SIGINT)
        return len(served)

    for session in (True, False):
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False) if session else monkeypatch.delattr(sys, "ps1")
        for interrupts, before in ((0, 0), (1, 0), (2, 1), (3, 2)):
            served.clear()
            assert firstcalls.uninterrupted(compiling, interrupts) == before
            assert len(served) == interrupts
            assert ("once more: at once" in capfd.readouterr().err) is (session and interrupts > 0)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_kernel_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstcalls.FirstCalls, "spent", 0.0)
    monkeypatch.setattr(firstcalls.FirstCalls, "loading", False)

    def added(values: FloatArray) -> float:
        return total(values)

    compiled: Any = kernel(added)
    compiling = compiled._compile_for_args.compile
    compiled._compile_for_args.compile = lambda *given: (signal.raise_signal(signal.SIGINT), compiling(*given))[1]
    with pytest.raises(KeyboardInterrupt):
        compiled(np.ones(firstcalls.PATIENCE + 1))
    assert len(compiled.signatures) == 1
    assert compiled(np.ones(firstcalls.PATIENCE + 1)) == firstcalls.PATIENCE + 1


@pytest.mark.usefixtures("interruptible")
def test_only_the_main_thread_and_a_handler_are_kept_from_interrupts() -> None:
    def handler() -> Any:
        return signal.getsignal(signal.SIGINT)

    own = handler()
    assert firstcalls.uninterrupted(handler) is not own
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(firstcalls.uninterrupted, handler).result() is own
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert firstcalls.uninterrupted(handler) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert handler() is own


@pytest.mark.parametrize("reason", ["one call", "time spent", "much to do"])
def test_the_first_kernel_is_loaded_when_that_is_worth_waiting_for(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """All others after a few numbers: loading the first one takes most of a second."""
    monkeypatch.setattr(firstcalls, "PATIENCE", 1 << 60)
    monkeypatch.setattr(firstcalls.FirstCalls, "_on_disk", lambda *_: True)
    monkeypatch.setattr(firstcalls.FirstCalls, "loading", False)
    monkeypatch.setattr(firstcalls.FirstCalls, "spent", 0.0)
    monkeypatch.setattr(firstcalls, "WAIT", 3600.0)
    first, second = kernel(_summed.py_func), kernel(_logs.py_func)  # type: ignore[attr-defined]

    def compiled(some: Any, size: int) -> bool:
        some(np.ones(size))
        return bool(some.signatures)

    assert not any(compiled(some, firstcalls.MANY - 1) for some in (first, second) for _ in range(3))
    assert 0.0 < firstcalls.FirstCalls.spent < 60.0
    match reason:
        case "one call":
            assert compiled(first, firstcalls.MANY + 1)
        case "time spent":
            monkeypatch.setattr(firstcalls, "WAIT", 0.5 * firstcalls.FirstCalls.spent)
            assert compiled(first, 1)
        case _:
            firstcalls.much_to_do()
    assert firstcalls.FirstCalls.loading
    assert compiled(second, 1)


FIRST = """
import fedopt
clients = fedopt.Clients(
    frequency_min=0.0, frequency_max=[1e9, 2e9], samples=[900, 400], channel_gain=1e-10, bandwidth=1e6
)
work = fedopt.Workload(cycles=[3e10, 2e10], upload_bits=5e5)
answer = fedopt.schedule(clients, work, fedopt.PowerBudget(0.5))
assert answer.status.solved, answer.reason
numbers = [answer.duration, answer.energy, answer.bracket[0], answer.verdict.violation]
assert {type(number) for number in numbers} == {float}, numbers
"""


def test_the_first_call_of_a_fresh_process_answers_in_pythons_numbers(tmp_path: Path) -> None:
    """Nothing has been used before that the call needs, of numpy either."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def answers(families: Sequence[str], seeds: Iterable[int]) -> list[str]:
    """Schedules of every budget and access scheme, and searches by every matching: status, and all numbers' bits."""
    lines = []
    for family, seed in itertools.product(families, seeds):
        fleet = make(family, seed, 12)
        for budget, access in itertools.product(BUDGETS, SCHEMES):
            lines.append(_line(fedopt.schedule(fleet.clients, fleet.work, budget, access=access)))
            problem = fedopt.Problem(fleet.clients.take(range(5)), TYPES, budget=budget, access=access)
            names = MATCHINGS if access is None else (None,)
            lines += [_line(fedopt.solve(problem, matching=matching)) for matching in names]
    return lines


def _line(answer: Any) -> str:
    given = answer.allocation
    arrays = () if given is None else (given.frequency, given.rate)
    numbers = [answer.duration, answer.energy, *(value for array in arrays for value in array.tolist())]
    return " ".join([answer.status.name, *map(float.hex, map(float, numbers))])


BUDGETS = (fedopt.PowerBudget(20.0), fedopt.EnergyBudget(50.0), fedopt.Deadline(100.0), fedopt.TimePrice(1.0))
SCHEMES = (None, fedopt.SharedBandwidth(1e6), fedopt.TimeDivision(1e6))
MATCHINGS = ("exact", "sorted", "marginal", "assignment")
TYPES = (
    fedopt.SubModel("full", flops=3e7, upload_bits=5e5),
    fedopt.SubModel("half", flops=2e7, upload_bits=2e5, cover=2),
)

PLAIN = """
import sys
from test_firstcalls import answers
from solvers import firstcalls
from solvers.duration.newton import search
firstcalls.PATIENCE = 1 << 60
print("\\n".join(answers(sys.argv[1].split(), range(int(sys.argv[2])))))
print(len(search.signatures))
"""


ROUNDED = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "power", "logaddexp", "hypot"}
ROUNDED |= {"float_power", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2"}


def test_no_kernel_has_what_plain_python_rounds_otherwise() -> None:
    """numpy's own functions, on processors with AVX-512; and whole powers, which compiled code multiplies out."""
    kernels, found = 0, list[str]()
    for path in sorted((ROOT / "solvers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            decorators = [ast.unparse(each) for each in node.decorator_list]
            if any(name in text for text in decorators for name in ("kernel", "stage", "inlined", "shared")):
                kernels += 1
                calls = [each for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in ROUNDED]
                found += [f"{path}:{each.lineno}" for each in calls if ast.unparse(each.value) == "np"]
                powers = [
                    each for each in ast.walk(node) if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Pow)
                ]
                found += [f"{path}:{each.lineno}" for each in powers if re.fullmatch(r"-?\d+", ast.unparse(each.right))]
    assert kernels > 100
    assert not found


@pytest.mark.parametrize(
    ("families", "seeds"),
    [
        pytest.param(("typical", "mixed", "extreme"), 1, id="a sample"),
        *(pytest.param((name,), 10, marks=pytest.mark.nightly("R12", 10 * 36), id=name) for name in FAMILIES),
    ],
)
def test_plain_python_has_the_bits_of_compiled_code(families: Sequence[str], seeds: int, tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", PLAIN, " ".join(families), str(seeds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=True)
    *found, compiled = done.stdout.splitlines()
    assert compiled == "0"
    assert not any(tmp_path.rglob("*.nbc"))  # machine code on disk
    assert found == answers(families, range(seeds))
