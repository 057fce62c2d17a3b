"""Fuzz readers of files with Atheris: ``python tests/fuzz/fuzz.py [READER [FOLDER]] [-max_total_time=60]``.

Whatever the bytes, a reader returns or raises InputError or OSError. Without READER every one has its turn, and a line
says how many inputs it was given. libFuzzer begins with the good file and the hostile ones, keeps what it learns in
FOLDER and writes the bytes that break a reader to ``crash-...``; ``python tests/fuzz/fuzz.py READER crash-...`` shows
it again, and ``tests/attacks/READER/`` is where it belongs once it is understood. Readers whose files have a checksum
in them are given files with a right one (sealed.py), or hardly any input would get past it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

TESTS = Path(__file__).parents[1]
READERS = (*sorted(path.name for path in (TESTS / "attacks").iterdir()), "gzip")
OPTIONS = ("-max_total_time=60", "-timeout=10")
SMALL = 1 << 16  # bytes of a file to begin with


def main() -> None:
    """Fuzz one reader in this process, or each in one of its own."""
    name = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ""
    if name in READERS:
        fuzz(sys.argv.pop(1))
    elif name:
        sys.exit(f"usage: fuzz.py [READER], one of {', '.join(READERS)}")
    else:
        sys.exit(sum([not survives(each, sys.argv[1:]) for each in READERS]))


def survives(name: str, options: list[str]) -> bool:
    """Whether no input broke the reader; says how many there were."""
    with tempfile.TemporaryDirectory(prefix="fedopt-fuzz-") as folder:
        done = subprocess.run(
            [sys.executable, __file__, name, *OPTIONS, *options],
            env={**os.environ, "TMPDIR": folder}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    found = re.search(r"Done (\d+) runs in (\d+) second", done.stderr)
    if done.returncode or not found:
        print(f"{name:12} broken\n{done.stderr[-3000:]}", flush=True)
        return False
    print(f"{name:12} {int(found[1]):>9,} inputs {found[2]:>5} s", flush=True)
    return True


def fuzz(name: str) -> None:
    """Seed the fuzzer and let it run; it ends the process."""
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]
    with atheris.instrument_imports(include=["fedopt", "tomllib", "json", "csv", "gzip"]):
        from loaders import LOADERS

        from fedopt import InputError

        loader, folder = LOADERS[name], Path(tempfile.mkdtemp(prefix="fedopt-fuzz-"))
        path, seeds = folder / loader.file, folder / "seeds"
        path.write_bytes(loader.good())
        loader.read(path)  # which imports the rest
    import sealed

    if name in sealed.READERS and not any(argument.startswith("-max_len") for argument in sys.argv):
        sys.argv.append(f"-max_len={SMALL}")  # else libFuzzer cuts files to what it begins with
    if not any(not argument.startswith("-") for argument in sys.argv[1:]):
        seeds.mkdir()
        (seeds / "good").write_bytes(loader.good())
        for each in (TESTS / "attacks" / name).glob("*"):
            if each.is_file() and each.stat().st_size < SMALL:
                shutil.copy(each, seeds)
        sys.argv.append(str(seeds))

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            loader.read(path)
        except (InputError, OSError):
            return

    changed = sealed.changed(name) if name in sealed.READERS else None
    atheris.Setup(sys.argv, read, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
