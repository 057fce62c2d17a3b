"""Which tests run which line, and how long they take: recorded once, so that a mutant meets those that see it."""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import coverage
import pytest

APART = (
    *("attacks", "benchmarks", "cache", "cli", "corrupted", "devices", "fedavg_table", "firstcalls", "instances"),
    *("memory", "mutants", "packaging", "processes", "readme", "soak", "time_limits", "training"),
)  # of files, processes, the clock, or of everything at once: too slow or too unsteady to be asked again and again
_COVERAGE = Path(coverage.__file__).parent


class Recorder:
    """A plugin of pytest: who ran which line of the packages, of the tests that pass in so many seconds of CPU each."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.took, self.failed = seconds, dict[str, float](), set[str]()
        self._coverage = coverage.Coverage(data_file=None, source=["solvers", "fedopt"], config_file=False)
        signal.signal(signal.SIGVTALRM, _too_slow)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        before = time.process_time()
        yield
        self.took[item.nodeid] = time.process_time() - before

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        test = pyfuncitem.obj

        def limited(**arguments: object) -> object:
            signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds)
            try:
                return test(**arguments)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)

        pyfuncitem.obj = limited

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    def record(self, tests: Iterable[str], path: Path) -> None:
        """Run these tests and write what they ran."""
        self._coverage.start()
        options = ["-q", "--tb=native", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
        options += ["-p", "no:hypothesispytest"]  # which does not understand a test cut short; nor do other tracebacks
        pytest.main([*options, *tests], plugins=[self])
        self._coverage.stop()
        data, names = self._coverage.get_data(), sorted(self.took.keys() - self.failed, key=self.took.__getitem__)
        at = {name: i for i, name in enumerate(names)}
        lines = {
            Path(file).relative_to(Path.cwd()).as_posix(): {
                line: sorted(at[name] for name in contexts if name in at)
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        stamp = sys.modules["solvers.compile"].sources_stamp() if "solvers.compile" in sys.modules else ""
        tests_and_times = [(name, self.took[name]) for name in names]
        path.write_text(json.dumps({"tests": tests_and_times, "lines": lines, "stamp": stamp}))


def _too_slow(_number: int, frame: FrameType | None) -> None:
    """Fail the test, but not in the middle of writing down what it ran, under a lock that would be held for ever."""
    if any(Path(each.f_code.co_filename).is_relative_to(_COVERAGE) for each, _ in traceback.walk_stack(frame)):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
    else:
        raise TimeoutError


class Witnesses:
    """What a Recorder wrote. stamp: of the compiled kernels on disk that the tests ran."""

    def __init__(self, path: Path) -> None:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._tests: list[tuple[str, float]] = [(name, took) for name, took in read["tests"]]
        self._lines: dict[str, dict[str, list[int]]] = read["lines"]
        self.stamp: str = read["stamp"]

    def of(self, file: str, lines: Iterable[int], seconds: float) -> tuple[list[str], float]:
        """The quickest tests that run one of these lines, or else any of the file; no more than take ``seconds``."""
        seen = self._lines.get(file, {})
        found = {test for line in lines for test in seen.get(str(line), ())}
        found = found or {test for each in seen.values() for test in each}
        chosen, total = list[str](), 0.0
        for test in sorted(found):  # the quickest first
            name, took = self._tests[test]
            if total + took > seconds and chosen:
                break
            chosen.append(name)
            total += took
        return chosen, total
