"""Mutation testing of a few files: change one thing at a time and see whether the tests notice.

    python tests/mutants.py [--sample N] [--seed S] FILE ...

A file with kernels is tested as plain Python: nothing is compiled anew for a mutant, and decorated functions, which
mutation tools leave alone, are changed like all others. For any other file the kernels are compiled, once. A mutant is
a copy of the package with one operator, constant, bound or condition changed; it is killed when a test of its file's
subset fails or does not end. Those of which tests/equivalent.csv says why no answer can tell them from the original are
counted apart.
"""

from __future__ import annotations

import argparse
import ast
import copy
import csv
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
from functools import partial
from importlib.util import cache_from_source
from operator import itemgetter
from pathlib import Path

import numba
import pytest

ROOT = Path(__file__).parent.parent
QUICK = "not 1000 and not cone and not cvxpy and not interpreted and not few_passes and not anywhere"
OTHERS = "1000 or cone or cvxpy or few_passes or anywhere or hardly or bisection"
DURATIONS = (
    *("tests/test_level2.py", "tests/test_level2_ends.py", "tests/test_newton.py", "tests/test_newton_parts.py"),
    *("tests/test_newton_sample.py", "-k", f"{QUICK} and not larger"),
)
STEPS = ("tests/test_steps.py", "tests/test_steps_budget.py", "tests/test_steps_price.py")
LEVEL2 = (
    *(*STEPS, "tests/test_instances.py", "tests/test_drawn.py", "tests/test_degenerate.py"),
    *DURATIONS,
)
STATUS = ("tests/test_status.py", *DURATIONS)
SWEEP = (
    *("tests/test_sweep.py", "tests/test_plan.py", "tests/test_level3.py", "tests/test_level3_facts.py", "-k"),
    "(sweep or plan or cannot_meet or least_duration or kink or squares or far_below) and not (cvxpy or scipy)",
)
SEARCH = (
    *("tests/test_newton_parts.py", "tests/test_newton_sample.py", "tests/test_newton.py"),
    *("tests/test_level2_ends.py", "tests/test_level2.py"),
    *("-k", f"(test_newton or level2_ends or bracket or slack) and not ({OTHERS})"),
)
LEVEL3 = (
    *("tests/test_level3.py", "tests/test_level3_facts.py", "tests/test_sweep.py", "tests/test_plan.py"),
    *("tests/test_instances.py", "tests/test_degenerate.py", "-k", QUICK),
)
JUDGE = (
    *("tests/test_judge.py", "tests/test_door.py", "tests/test_input_others.py"),
    *("-k", "not any_block and not (door and not judges)"),
)
PREVIEW = ("tests/test_preview.py", "-k", "not 5000 and not plain")
SAMPLE = ("tests/test_newton_sample.py", "-k", "not 100000 and not 5000 and not plain")
VERIFIER = (
    *("tests/test_verify_proofs.py", "tests/test_verify_corners.py", "tests/test_verify.py"),
    *("tests/test_verify_forged.py", "tests/test_verify_records.py"),
)
BOUNDS = ("tests/test_verify_bounds.py", *VERIFIER)
PRICED = "test_price or 3-replica_rate or price"
LEVEL1 = (
    (("transport",), ("tests/test_transport.py", "-k", "not change_the_way")),
    (("branch",), ("tests/test_branch.py", "tests/test_price.py", "-k", "test_branch or useless")),
    (("hall",), ("tests/test_crowded.py", "tests/test_search.py", "-k", "crowded or infeasible or hides")),
    (("cheapest",), ("tests/test_price.py", "tests/test_search_work.py", "tests/test_search.py", "-k", PRICED)),
    (("unlisted",), ("tests/test_unlisted_price.py",)),
    (
        ("milp", "assignment"),
        (
            *("tests/test_baselines.py", "tests/test_best_matching.py", "tests/test_price.py", "tests/test_search.py"),
            *("tests/test_every_matching.py", "-k", "milp or (assignment and not every) or (every and typical)"),
        ),
    ),
    (
        ("exact",),
        ("tests/test_search_work.py", "tests/test_exact.py", "tests/test_price.py", "tests/test_best_matching.py"),
    ),
    (
        ("best", "fixed", "least"),
        (
            "tests/test_search_work.py",
            "tests/test_best_matching.py",
            "tests/test_exact.py",
            "tests/test_every_matching.py",
        ),
    ),
    (("curve",), ("tests/test_pareto.py",)),
    (
        ("between", "coarse", "levels", "lookers", "prefix", "relaxed", "sandwich", "thrifty"),
        ("tests/test_search_work.py", "tests/test_many_partitions.py"),
    ),
    (
        ("bandcosts", "banded", "coupled", "priced", "ruled", "slotcosts", "slotprice", "slotted", "stretches"),
        ("tests/test_slotted.py", "tests/test_priced.py", "tests/test_access_proof.py"),
    ),
    (
        ("marginal", "moves", "ordered", "plain", "random", "sorted", "task"),
        ("tests/test_search.py", "tests/test_warm.py", "tests/test_search_work.py", "tests/test_time_limits.py"),
    ),
)
SLOTS = ("tests/test_timedivision.py", "tests/test_access_proof.py", "-k", "timedivision or kink")
CHANNEL = (
    *("tests/test_access_proof.py", "tests/test_shared.py", "tests/test_shared_turns.py"),
    *("-k", "not TimeDivision and not threads and not 1000 and not sample and not (two_clients and not 0-)"),
)
SUBSETS = {
    **{
        f"fedopt/verifier/{name}.py": BOUNDS for name in ("branch", "couplings", "search", "shared", "shares", "uplink")
    },
    "fedopt/verifier/optimality.py": (*VERIFIER, "tests/test_steep.py"),
    "fedopt/verifier/": VERIFIER,
    **{f"solvers/matching/{name}.py": tests for names, tests in LEVEL1 for name in names},
    **{f"solvers/access/{name}.py": SLOTS for name in ("computing", "settle", "slots", "timedivision")},
    "solvers/access/guess.py": ("tests/test_shared_turns.py", *CHANNEL[:2], "-k", f"sample or ({CHANNEL[-1]})"),
    "solvers/access/": CHANNEL,
    "solvers/allocation/cvxpy.py": ("tests/test_level3.py", "tests/test_level3_facts.py", "-k", "cone or cvxpy"),
    "solvers/allocation/scipy.py": ("tests/test_level3.py", "tests/test_level3_facts.py", "-k", "scipy"),
    "solvers/duration/cvxpy.py": ("tests/test_level2.py", "tests/test_level2_ends.py", "-k", "cone or cvxpy"),
    "fedopt/verdict.py": JUDGE,
    "solvers/judging.py": JUDGE,
    "solvers/allocation/kernel.py": SWEEP,
    "solvers/allocation/reference.py": (*LEVEL3[:3], "-k", "reference"),
    "solvers/allocation/": LEVEL3,
    "solvers/duration/verdicts.py": STATUS,
    "solvers/duration/steps.py": STEPS,
    "solvers/duration/newton.py": SEARCH,
    "solvers/duration/bisection.py": ("tests/test_bisection.py", *DURATIONS[:2], "-k", "bisection"),
    "solvers/duration/preview.py": (PREVIEW[0], *SAMPLE),
    "solvers/duration/sampling.py": SAMPLE,
    "solvers/singles.py": PREVIEW,
    "solvers/shift.py": PREVIEW,
    "solvers/atonce.py": ("tests/test_atonce.py", "-k", "not 600"),
    "solvers/duration/": LEVEL2,
    "solvers/plan.py": SWEEP,
    "solvers/fill.py": SWEEP,
}
FILES = tuple(name for name in SUBSETS if not name.endswith(("cvxpy.py", "scipy.py")))
with open(ROOT / "tests" / "equivalent.csv", encoding="utf-8", newline="") as file:
    EQUIVALENT = {(row["file"], row["code"], row["change"]) for row in csv.DictReader(file)}
STALE = [key for key in EQUIVALENT if key[1] not in map(str.strip, (ROOT / key[0]).read_text("utf-8").splitlines())]
KERNEL = re.compile(r"^@(partial\()?(kernel|stage|inlined|shared)\b", re.MULTILINE)
SLOW_IMPORTS = ("numpy", "numba", "scipy.optimize", "mpmath")
COMPILED: set[tuple[str, ...]] = set()  # subsets whose kernels are on disk
LIMIT, NEVER = 2, 1 << 20  # times what the subset takes without a mutant; [s]
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


def mutants(source: str) -> list[tuple[int, str, Callable[[], str]]]:
    """All mutants of a file as (line, description, what makes its source)."""
    tree = ast.parse(source)
    hidden = quiet(tree)
    return [
        (getattr(node, "lineno", 0), what, partial(swapped, tree, node, new))
        for node in ast.walk(tree)
        if node not in hidden
        for what, new in changes(node)
    ]


def swapped(tree: ast.Module, old: ast.AST, new: ast.AST) -> str:
    """The source with a node in another's place."""
    whole, old, new = copy.deepcopy((tree, old, new))  # together, so that ``old`` stands in ``whole``
    return ast.unparse(ast.fix_missing_locations(Swap(old, new).visit(whole)))


def subset(path: str) -> tuple[str, ...]:
    """The tests that should notice a mutant of this file."""
    return next(tests for prefix, tests in SUBSETS.items() if path.startswith(prefix))


def passes(home: Path, tests: tuple[str, ...], limit: int, stamp: str) -> bool:
    """Whether these tests all pass in this copy within the limit [s of CPU], in a process forked after slow imports.

    ``stamp`` : the one that the compiled kernels have on disk; none, to run them as plain Python.
    """
    child = multiprocessing.get_context("fork").Process(target=run_tests, args=(home, tests, limit, stamp))
    child.start()
    child.join()
    return child.exitcode == 0


def run_tests(home: Path, tests: tuple[str, ...], limit: int, stamp: str) -> None:
    """Run these tests in this process, without a word; the system ends it at the limit."""
    os.environ["NUMBA_DISABLE_JIT"] = "0" if stamp else "1"
    numba.config.DISABLE_JIT = not stamp
    os.chdir(home)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    sys.path[0] = str(home)  # in place of this script's folder: its packages and tests come first
    importlib.import_module("solvers.compile").sources_stamp = lambda: stamp  # of the sources without the mutant
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def examine(home: Path, path: str, sample: int, seed: int) -> tuple[str, int, int, int]:
    """Print the mutants of a file that survive; the file, how many were made, killed, known to be equivalent."""
    original = (home / path).read_text(encoding="utf-8")
    found, lines = mutants(original), original.splitlines()
    chosen = random.Random(seed).sample(found, min(sample, len(found))) if sample else found
    stamp = "" if KERNEL.search(original) else "without a mutant"
    if stamp and subset(path) not in COMPILED:
        COMPILED.add(subset(path))
        passes(home, subset(path), NEVER, stamp)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert passes(home, subset(path), NEVER, stamp), f"the tests of {path} fail without a mutant"
    Path(cache_from_source(str(home / path))).unlink(missing_ok=True)
    sys.dont_write_bytecode = True  # two mutants of one second and size would be taken for each other
    limit = 5 + LIMIT * math.ceil(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    killed = equivalent = 0
    for line, what, source in sorted(chosen, key=itemgetter(0, 1)):
        if (path, lines[line - 1].strip(), what) in EQUIVALENT:
            equivalent += 1
            continue
        (home / path).write_text(source(), encoding="utf-8")
        if passes(home, subset(path), limit, stamp):
            print(f"  survives: {path}:{line}: {what}: {lines[line - 1].strip()}", flush=True)
        else:
            killed += 1
    (home / path).write_text(original, encoding="utf-8")
    sys.dont_write_bytecode = False
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
    sys.dont_write_bytecode = False
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("fedopt", "solvers", "tests", "experiments", "benchmarks"):
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", home)
        given = [ROOT / name for name in options.files]
        paths = dict.fromkeys(p for path in given for p in (sorted(path.rglob("*.py")) if path.is_dir() else [path]))
        print(f"{'file':40} {'mutants':>7} {'killed':>6} {'equivalent':>10} {'of the rest':>11}", flush=True)
        results = []
        for path in paths:
            results.append(examine(home, path.relative_to(ROOT).as_posix(), options.sample, options.seed))
            show(*results[-1])
    show("together", *(sum(column) for column in list(zip(*results, strict=True))[1:]))


def show(name: str, made: int, killed: int, equivalent: int) -> None:
    """A row of the table."""
    print(
        f"{name:40} {made:7} {killed:6} {equivalent:10} {100 * killed / max(made - equivalent, 1):9.0f} %", flush=True
    )


if __name__ == "__main__":
    main()
