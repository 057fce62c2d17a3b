"""Where the ``fedopt`` command starts, and ends: without typer and rich it says how to get them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import NoReturn

GONE = 141  # what a shell says of a command that the signal for a broken pipe has ended


def main() -> None:
    """Run the command line.

    Exits 0 solved, 1 no answer, 2 bad input, missing packages or output that cannot be written, 130 interrupted, 141
    where the reader of the output has gone away.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: print() to no stderr would go to stdout
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    os.environ["MPLBACKEND"] = (
        "agg"  # pictures go to files; another, not known here, would keep matplotlib from loading
    )
    try:
        from fedopt.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print(f"fedopt: the command line needs {error.name}: pip install 'fedopt[cli,plots]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding has no letter for is told by its number
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="fedopt")
        finally:
            sys.stdout.flush()  # not later, where Python can only complain
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # to typer that is code 1
            _lost(leaving.__context__)
        raise
    except OSError as error:
        _lost(error)


def _lost(error: OSError) -> NoReturn:
    """Leave where the output is lost, whatever it says: that is not "infeasible", nor "not verified"."""
    code = GONE
    if not isinstance(error, BrokenPipeError):
        before, code = error.__context__, 2
        with contextlib.suppress(OSError):
            if not (isinstance(before, SystemExit) and before.code == code):  # else it has been told
                print(f"fedopt: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # what is still to be written would be complained about
        os.dup2(nowhere, stream.fileno())
    sys.exit(code)
