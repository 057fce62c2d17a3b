"""Notes that get in nobody's way: units that were left out, and the wait for the first compilation."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedopt
from fedopt.devices import phones64, random_fleet
from fedopt.plausible import hints


def clients(**changes: Any) -> fedopt.Clients:
    given: dict[str, Any] = {"frequency_min": 3e8, "frequency_max": [1.8e9, 2.4e9], "samples": 600}
    return fedopt.Clients(**{**given, "channel_gain": 1e-10, "bandwidth": 250e3, **changes})


def test_fleets_of_devices_get_no_hints() -> None:
    assert hints(clients()) == hints(phones64()) == hints(random_fleet(1000, seed=1)) == ()
    odd = clients(
        frequency_max=[1.8e9, 3e8], bandwidth=[250e3, 600.0], channel_gain=[1e-10, 0.0], power_max=[0.2, np.inf]
    )
    assert hints(odd) == ()  # a single odd client is the user's business
    sensor = clients(frequency_min=1e6, frequency_max=[8e6, 16e6], capacitance=1e-25, bandwidth=15e3, power_max=0.01)
    assert hints(sensor) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frequency_min": 0.3, "frequency_max": [1.8, 2.4]}, "frequency_max is 1.8 to 2.4 Hz"),
        ({"frequency_min": 300.0, "frequency_max": [1800.0, 2400.0]}, "frequency_max[MHz] meant?"),
        ({"bandwidth": 1.0}, "bandwidth is 1 Hz"),
        ({"bandwidth": 250.0}, "bandwidth[kHz] meant?"),
        ({"channel_gain": 98.0}, "channel_gain is 98: "),
        ({"channel_gain": 10**9.8}, "channel_gain[dB], which is below 0"),
        ({"power_max": 23.0}, "power_max[dBm]"),
        ({"power_max": 200.0}, "power_max[mW] meant?"),
        ({"static_power": [90.0, 2000.0]}, "static_power is 90 to 2000 W"),
        ({"circuit_power": 1288.0}, "circuit_power[mW] meant?"),
        ({"capacitance": 0.05}, "capacitance[W/GHz^3] meant?"),
    ],
)
def test_a_unit_that_was_left_out_is_asked_for(changes: dict[str, Any], said: str) -> None:
    [hint] = hints(clients(**changes))
    assert said in hint


def test_the_command_notes_it_on_stderr_and_solves_all_the_same(tmp_path: Path) -> None:
    runner = pytest.importorskip("typer.testing").CliRunner()
    from fedopt.cli.app import app

    text = 'version = 1\n[clients]\nframe\n[[submodels]]\nname = "L"\nflops = 1e6\nupload_bits = 1e5\n'
    text += "[budget]\npower = 2\n"
    fields = "frequency_min = 0.3\nfrequency_max = [1.8, 2.4]\nsamples = 600\nchannel_gain = 1e-10\nbandwidth = 250e3"
    path = tmp_path / "round.toml"
    path.write_text(text.replace("frame", fields), encoding="utf-8")
    result = runner.invoke(app, ["solve", str(path)])
    assert result.exit_code == 0
    assert "fedopt: note: frequency_max is 1.8 to 2.4 Hz" in result.stderr
    assert "note" not in result.stdout


def test_the_first_compilation_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from numba.core.event import trigger_event

    from solvers import compile as compiler

    caplog.set_level(logging.INFO, logger="fedopt")
    for terminal, expected in ((True, 1), (False, 0)):
        caplog.clear()
        monkeypatch.setattr(compiler._announcer, "told", False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        for _ in range(2):
            with trigger_event("numba:compile"):
                pass
        assert capsys.readouterr().err.count("compiling") == expected
        assert [record.getMessage().partition(" ")[0] for record in caplog.records] == ["compiling"]


def test_the_command_runs_as_a_module() -> None:
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "fedopt", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == f"fedopt {fedopt.__version__}\n"
