"""Printing: tables, progress, and errors as one line with an exit code."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from fedopt.checks import InputError, printable
from fedopt.report import Table
from solvers.lookup import MissingExtra

INFEASIBLE, BAD_INPUT, INTERRUPTED = 1, 2, 130
NOT_VERIFIED = 1
_PATIENCE = 1.0  # seconds before progress is shown

Report = Callable[[int, int, float], None]


def show(*tables: Table) -> None:
    """Print tables: laid out by rich on a terminal, plain text of full width into files and pipes."""
    console = Console()
    for table in tables:
        if not console.is_terminal:
            print(table.text(), end="\n\n")
            continue
        rich = RichTable(
            title=Text(table.title) if table.title else None,
            title_justify="left",
            box=SIMPLE_HEAD,
            show_header=any(table.columns),
        )
        for k, column in enumerate(table.columns):
            rich.add_column(Text(column), justify="left" if k < table.left else "right")
        for row in table.rows:
            rich.add_row(*map(Text, row))
        console.print(rich)
        for note in table.notes:
            console.print(Text(note))


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """A progress bar on stderr once something takes longer than a second; without a terminal, one line."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(label, total=None)

    def begin() -> None:
        if console.is_terminal:
            bar.start()
        else:
            print(f"{label} ...", file=sys.stderr, flush=True)

    timer = threading.Timer(_PATIENCE, begin)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total, best: bar.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        timer.join()
        if console.is_terminal:
            bar.stop()


@contextmanager
def guarded() -> Iterator[None]:
    """Bad input, missing packages and unreadable files end in one line and exit code 2; anything else is our bug."""
    try:
        yield
    except (InputError, MissingExtra) as error:
        fail(str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def fail(message: str, code: int = BAD_INPUT) -> None:
    """One line on stderr, control characters made visible, and the exit code."""
    print(f"fedopt: {printable(message)}", file=sys.stderr)
    raise typer.Exit(code)
