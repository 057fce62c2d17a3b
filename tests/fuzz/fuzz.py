"""Fuzz a reader of files with Atheris: ``python tests/fuzz/fuzz.py READER [FOLDER] [-max_total_time=600]``.

Whatever the bytes, a reader returns or raises InputError or OSError. libFuzzer keeps what it learns in FOLDER and
writes the bytes that break a reader to ``crash-...``; ``python tests/fuzz/fuzz.py READER crash-...`` shows it again,
and ``tests/attacks/READER/`` is where it belongs once it is understood.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["fedopt", "tomllib", "json", "csv", "gzip"]):
    from loaders import LOADERS

    from fedopt import InputError


def main() -> None:
    """Seed the fuzzer with the good file and let it run."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in LOADERS:
        sys.exit(f"usage: fuzz.py READER, one of {', '.join(LOADERS)}")
    loader = LOADERS[name]
    folder = Path(tempfile.mkdtemp(prefix="fedopt-fuzz-"))
    path = folder / loader.file
    if not any(not argument.startswith("-") for argument in sys.argv[1:]):
        (folder / "seeds").mkdir()
        (folder / "seeds" / "good").write_bytes(loader.good())
        sys.argv.append(str(folder / "seeds"))

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            loader.read(path)
        except (InputError, OSError):
            return

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
