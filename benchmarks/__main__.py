"""Run every benchmark, one after another, each in a process of its own: ``python -m benchmarks [--quick]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def names() -> list[str]:
    """The modules of this folder that are commands: those with a main guard."""
    modules = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return [path.stem for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]


def main(arguments: list[str]) -> int:
    """Pass ``arguments`` on to each benchmark; the number of those that failed, 130 where interrupted."""
    failed = []
    for name in names():
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            if subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT):
                failed.append(name)
        except KeyboardInterrupt:  # which the benchmark tells of
            return 130
    if failed:
        print("failed: " + ", ".join(failed), file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
