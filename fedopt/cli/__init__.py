"""The ``fedopt`` command."""

from fedopt.cli.start import main

__all__ = ["main"]
