"""The files this package is made of, and whether they are still what it was imported from.

A file that is edited later may be imported before that or after, and be put back: what is compiled then is of no state
of the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent


def states() -> dict[str, tuple[int, ...]]:
    """By source file, what any change of it changes; nothing sets st_ctime back. In an archive are none."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, _, names in os.walk(ROOT):
        for name in names:
            if name.endswith(".py"):
                try:
                    state = os.stat(path := os.path.join(folder, name))
                except OSError:  # an editor's lock file, a link to nowhere; or it is gone
                    continue
                found[path] = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


AT_IMPORT = states()  # before any other file of the package is read
