"""Where the ``fedopt`` command starts: without typer and rich it says how to get them."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits 0 solved, 1 infeasible, 2 bad input or missing packages, 130 interrupted."""
    try:
        from fedopt.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        print(f"fedopt: the command line needs {error.name}: pip install 'fedopt[cli,plots]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="fedopt")
