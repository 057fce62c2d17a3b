"""A kernel's first calls run in plain Python, with the compiled answer but for rounding, and nothing is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fleets import make

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


def test_a_kernel_is_compiled_when_it_has_gone_over_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstcalls, "PATIENCE", 250)
    monkeypatch.setattr(firstcalls.FirstCalls, "_on_disk", lambda *_: False)
    values = np.arange(100.0)
    compiled = []
    for _ in range(4):
        assert _summed(values) == np.inf  # as compiled code divides: no warning, no exception
        compiled.append(bool(_summed.signatures))  # type: ignore[attr-defined]
    assert compiled == [False, False, True, True]


FIRST = """
import sys
import fedopt
from fleets import make
from solvers.duration.newton import search
fleet = make(sys.argv[1], 7, 40)
answer = fedopt.schedule(fleet.clients, fleet.work, fedopt.PowerBudget(20.0))
print(len(search.signatures), answer.status.name, answer.duration.hex(), answer.energy.hex())
"""


@pytest.mark.parametrize("family", ["typical", "mixed", "extreme"])
def test_the_first_answer_is_the_compiled_one(family: str, tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", FIRST, family]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    compiled, status, duration, energy = done.stdout.split()
    fleet = make(family, 7, 40)
    known = fedopt.schedule(fleet.clients, fleet.work, fedopt.PowerBudget(20.0))
    assert (compiled, status) == ("0", known.status.name)
    assert float.fromhex(duration) == pytest.approx(known.duration, rel=1e-12)
    assert float.fromhex(energy) == pytest.approx(known.energy, rel=1e-12)
    assert not any(tmp_path.rglob("*.nbc"))  # machine code on disk
