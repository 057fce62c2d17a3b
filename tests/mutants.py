"""Mutation testing of a few files: change one thing at a time and see whether the tests notice.

    python tests/mutants.py [--sample N] [--seed S] FILE ...

A mutant is a copy of the package with one operator, constant, bound or condition changed. It meets the tests that run
the changed line (witnesses.py), the quickest first, as many as take a minute, and is killed when one of them fails or
does not end. A file with kernels is tested as plain Python: nothing is compiled anew for a mutant, and decorated
functions, which mutation tools leave alone, are changed like all others. For any other file the kernels are compiled.
Which tests run which line is recorded in out/mutants, at the first call and whenever a source or a test has changed:
an hour, once `make test` has compiled the kernels. Mutants of which tests/equivalent.csv says why no answer can tell
them from the original are counted apart.
"""

from __future__ import annotations

import argparse
import ast
import copy
import csv
import hashlib
import importlib
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import cache_from_source
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import numba
import pytest
from witnesses import APART, Recorder, Witnesses

ROOT = Path(__file__).parent.parent
BASE = ROOT / "out" / "mutants"
PACKAGES = ("fedopt", "solvers", "tests", "experiments", "benchmarks")
FILES = (
    *("fedopt/verdict.py", "fedopt/verifier", "solvers/judging.py", "solvers/matching", "solvers/access"),
    *("solvers/allocation/kernel.py", "solvers/allocation/reference.py", "solvers/duration/bisection.py"),
    *("solvers/duration/newton.py", "solvers/duration/preview.py", "solvers/duration/sampling.py"),
    *("solvers/duration/steps.py", "solvers/duration/verdicts.py", "solvers/atonce.py", "solvers/fill.py"),
    *("solvers/plan.py", "solvers/shift.py", "solvers/singles.py"),
)
with open(ROOT / "tests" / "equivalent.csv", encoding="utf-8", newline="") as file:
    EQUIVALENT = {(row["file"], row["code"], row["change"]) for row in csv.DictReader(file)}
STALE = [key for key in EQUIVALENT if key[1] not in map(str.strip, (ROOT / key[0]).read_text("utf-8").splitlines())]
NEVER = 1 << 20  # [s]
SOURCES = (".py", ".csv", ".json", ".toml")
KERNEL = re.compile(r"^@(partial\()?(kernel|stage|inlined|shared)\b", re.MULTILINE)
SLOW_IMPORTS = ("numpy", "numba", "scipy.optimize", "mpmath")
SLOWEST = {"plain": 1.0, "compiled": 10.0}  # [s] of CPU: tests that take longer are left out
SECONDS = 60.0  # of tests that a mutant meets
LIMIT, STARTING = 3.0, 30.0  # times what they took when they were recorded; [s] of CPU to import and collect
SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.And: (ast.Or,), ast.Or: (ast.And,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.USub: (ast.UAdd,),
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be changed in this one node, as (description, other node)."""

    def other(**fields: object) -> ast.AST:
        changed = copy.copy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.UnaryOp(op=op):
            for swap in SWAPS.get(type(op), ()):
                yield f"{type(op).__name__} to {swap.__name__}", other(op=swap())
            if isinstance(op, ast.Not):
                yield "not dropped", node.operand  # type: ignore[union-attr]
        case ast.Compare(ops=[op]):
            for swap in SWAPS.get(type(op), ()):
                yield f"{type(op).__name__} to {swap.__name__}", other(ops=[swap()])
        case ast.Constant(value=bool() as value):
            yield f"{value} to {not value}", other(value=not value)
        case ast.Constant(value=int() as value):
            yield f"{value} to {value + 1}", other(value=value + 1)
        case ast.Constant(value=float() as value):
            yield f"{value} to {2.0 * value + 1.0}", other(value=2.0 * value + 1.0)
        case ast.Name(id=name) if name in NAMES:
            yield f"{name} to {NAMES[name]}", other(id=NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} to {NAMES[name]}", other(attr=NAMES[name])
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "if negated", other(test=ast.UnaryOp(ast.Not(), test))


class Swap(ast.NodeTransformer):
    """Puts a node in another's place."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def quiet(tree: ast.Module) -> set[ast.AST]:
    """Nodes whose change no test should notice: annotations, decorators, and what is imported for types alone."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        hidden: list[ast.AST | None] = []
        match node:
            case ast.FunctionDef():
                arguments = [*node.args.args, *node.args.kwonlyargs]
                hidden = [node.returns, *(argument.annotation for argument in arguments), *node.decorator_list]
            case ast.ClassDef():
                hidden = [*node.decorator_list]
            case ast.AnnAssign():
                hidden = [node.annotation]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assert():
                hidden = [node]
        for each in hidden:
            found |= set() if each is None else set(ast.walk(each))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What is changed in which line, what makes the changed source, and the lines that run it."""

    line: int
    what: str
    source: Callable[[], str]
    lines: frozenset[int]


def mutants(source: str) -> list[Mutant]:
    """All mutants of a file."""
    tree = ast.parse(source)
    hidden, lines = quiet(tree), running(tree)
    return [
        Mutant(line=getattr(node, "lineno", 0), what=what, source=partial(swapped, tree, node, new), lines=lines[node])
        for node in ast.walk(tree)
        if node not in hidden
        for what, new in changes(node)
    ]


def running(tree: ast.Module) -> dict[ast.AST, frozenset[int]]:
    """Of every node the lines of its statement; of a constant of the module, of the statements that use it."""
    found: dict[ast.AST, frozenset[int]] = {}

    def visit(node: ast.AST, lines: frozenset[int]) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or node.lineno
            lines = frozenset(range(node.lineno, end + 1))
        found[node] = lines
        for child in ast.iter_child_nodes(node):
            visit(child, lines)

    visit(tree, frozenset())
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names]
            lines = frozenset().union(*(found[node] for node in used)) - found[statement]
            found |= dict.fromkeys(ast.walk(statement), lines)
    return found


def swapped(tree: ast.Module, old: ast.AST, new: ast.AST) -> str:
    """The source with a node in another's place."""
    whole, old, new = copy.deepcopy((tree, old, new))  # together, so that ``old`` stands in ``whole``
    return ast.unparse(ast.fix_missing_locations(Swap(old, new).visit(whole)))


def child(home: Path, limit: int, work: Callable[[], int], *, plain: bool, stamp: str = "") -> Process:
    """A process for ``work`` in this copy, forked after slow imports; it ends at the limit [s of CPU].

    plain: its kernels run as plain Python. stamp: the one that compiled kernels have on disk, of other sources.
    """

    def run() -> None:
        os.environ["NUMBA_DISABLE_JIT"] = "1" if plain else "0"
        numba.config.DISABLE_JIT = plain
        os.chdir(home)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        sys.path[0] = str(home)  # in place of this script's folder: its packages and tests come first
        if stamp:
            importlib.import_module("solvers.compile").sources_stamp = lambda: stamp
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.exit(work())

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def succeeds(process: Process, seconds: float | None = None) -> bool:
    """Whether it ends, and well; by then, as waiting takes no CPU."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def recorded() -> dict[str, Witnesses]:
    """Who runs which line, with kernels compiled and as plain Python; recorded anew where a file has changed."""
    sources = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.suffix in SOURCES)
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    paths = {kind: BASE / f"{kind}.json" for kind in SLOWEST}
    known = BASE / "sources.txt"
    if not known.exists() or known.read_text(encoding="utf-8") != digest.hexdigest():
        shutil.rmtree(BASE, ignore_errors=True)
        for name in PACKAGES:  # with the kernels that are compiled already
            shutil.copytree(ROOT / name, BASE / name, ignore=shutil.ignore_patterns("*.pyc"))
        shutil.copy(ROOT / "pyproject.toml", BASE)
        tests = [f"tests/{path.name}" for path in sorted((ROOT / "tests").glob("test_*.py"))]
        tests = [name for name in tests if not name.startswith(tuple(f"tests/test_{part}" for part in APART))]
        print("recording which tests run which line, an hour", flush=True)
        recording = [
            child(BASE, NEVER, partial(record, tests, path, SLOWEST[kind]), plain=kind == "plain")
            for kind, path in paths.items()
        ]
        assert all(map(succeeds, recording))
        known.write_text(digest.hexdigest(), encoding="utf-8")
    return {kind: Witnesses(path) for kind, path in paths.items()}


def record(tests: list[str], path: Path, seconds: float) -> int:
    """Record these tests."""
    Recorder(seconds).record(tests, path)
    return 0


def notice(tests: list[str]) -> int:
    """Run these tests until one fails."""
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def examine(
    home: Path, path: str, witnesses: dict[str, Witnesses], sample: int, seed: int
) -> tuple[str, int, int, int]:
    """Print the mutants of a file that survive; the file, how many were made, killed, known to be equivalent."""
    original = (home / path).read_text(encoding="utf-8")
    found, lines = mutants(original), original.splitlines()
    chosen = random.Random(seed).sample(found, min(sample, len(found))) if sample else found
    plain = KERNEL.search(original) is not None
    seeing = witnesses["plain" if plain else "compiled"]
    Path(cache_from_source(str(home / path))).unlink(missing_ok=True)
    killed = equivalent = 0
    for mutant in sorted(chosen, key=lambda mutant: (mutant.line, mutant.what)):
        code = lines[mutant.line - 1].strip()
        if (path, code, mutant.what) in EQUIVALENT:
            equivalent += 1
            continue
        tests, took = seeing.of(path, mutant.lines, SECONDS)
        (home / path).write_text(mutant.source(), encoding="utf-8")
        limit = math.ceil(STARTING + LIMIT * took)
        meeting = partial(child, home, limit, partial(notice, tests), plain=plain, stamp=seeing.stamp)
        if tests and not succeeds(meeting(), 10.0 * limit):
            killed += 1
        else:
            print(f"  survives {len(tests)} tests: {path}:{mutant.line}: {mutant.what}: {code}", flush=True)
    (home / path).write_text(original, encoding="utf-8")
    return path, len(chosen), killed, equivalent


def main() -> None:
    parser = argparse.ArgumentParser(description="mutation testing of the levels and the judge")
    parser.add_argument("files", nargs="*", default=FILES, help="files or folders, default the levels and the judge")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of every file, default all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if STALE:
        parser.error(f"lines of tests/equivalent.csv that stand in no file any more: {STALE}")
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    witnesses = recorded()
    sys.dont_write_bytecode = True  # two mutants of one second and size would be taken for each other
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(BASE, home)
        given = [ROOT / name for name in options.files]
        paths = dict.fromkeys(p for path in given for p in (sorted(path.rglob("*.py")) if path.is_dir() else [path]))
        print(f"{'file':40} {'mutants':>7} {'killed':>6} {'equivalent':>10} {'of the rest':>11}", flush=True)
        results = []
        for path in paths:
            name = path.relative_to(ROOT).as_posix()
            results.append(examine(home, name, witnesses, options.sample, options.seed))
            show(*results[-1])
    show("together", *(sum(column) for column in list(zip(*results, strict=True))[1:]))


def show(name: str, made: int, killed: int, equivalent: int) -> None:
    """A row of the table."""
    print(
        f"{name:40} {made:7} {killed:6} {equivalent:10} {100 * killed / max(made - equivalent, 1):9.0f} %", flush=True
    )


if __name__ == "__main__":
    main()
