"""What the documents show is what happens: their blocks run as pasted, in order, and print what is printed there.

A block ``csv NAME`` or ``toml NAME`` is a file that the blocks after it find beside them. A ``python`` block prints the
``text`` block right after it; a ``console`` block shows commands after ``$`` and what they print. Printed texts agree
when their words do and every number is within one unit of its last digit shown; below 1e-9 all numbers are rounding.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import fedopt
from fedopt.clients import FIELDS
from fedopt.scenario import read_scenario
from fedopt.solution import Status
from solvers import allocation, duration, matching

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/quickstart.md", "docs/training.md", "docs/verify.md")
NUMBER = re.compile(r"(?<!\w)(?<!\w\.)-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="not a checkout")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its kind, the name after it, its text, the line it starts on."""

    kind: str
    name: str
    text: str
    line: int


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+) ?(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(m[1], m[2], m[3], text[: m.start()].count("\n") + 1) for m in found]


def agree(shown: str, printed: str) -> bool:
    """Same words, and every number within one unit of its last digit shown."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= max(_unit(a) * 1.001, 1e-9) for a, b in pairs)


def _unit(number: str) -> float:
    digits, _, exponent = number.partition("e")
    return float(10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])))


def fedopt_prints(command: str) -> str:
    """What ``fedopt ...`` prints on stdout and stderr; stops at 2, for bad input, only where the document says so."""
    runner = pytest.importorskip("typer.testing").CliRunner()
    from fedopt.cli.app import app

    words = shlex.split(command)
    assert words[0] == "fedopt", command
    result = runner.invoke(app, words[1:])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    told = "".join(line for line in result.stderr.splitlines(keepends=True) if not line.endswith(" ...\n"))
    return str(result.stdout) + told


def sessions(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_blocks_run_and_print_what_is_shown(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if document == "docs/training.md":
        pytest.importorskip("torch")
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed, shown = "", 0
    for block in blocks(document):
        where = f"{document}, line {block.line}"
        if block.name:
            Path(block.name).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block.text, where, "exec"), names)
            printed = output.getvalue()
        elif block.kind == "text":
            assert agree(block.text, printed), f"{where} shows\n{block.text}\nwhere this is printed:\n{printed}"
            shown += 1
        elif block.kind == "console":
            for command, said in sessions(block):
                output = io.StringIO()
                printed = fedopt_prints(command)
                assert agree(said, printed), f"{where}: {command} shows\n{said}\nwhere this is printed:\n{printed}"
                shown += 1
        else:
            pytest.fail(f"{where}: a block of kind {block.kind!r} that nobody checks")
    assert shown >= 1


def test_the_rule_of_agreement_tells_texts_apart() -> None:
    assert agree("took 1.25 s, off by 4e-16", "took  1.26 s,\noff by 0")
    assert not agree("took 1.25 s", "took 1.27 s")
    assert not agree("took 1.25 s", "took 1.25 J")
    assert not agree("(42, 10)", "(41, 12)")
    assert not agree("1 2", "1 2 3")
    assert not agree("nan", "1.0")
    assert agree("6.74..6.8", "6.74..6.9")
    assert not agree("6.74..6.8", "6.74..7.8")


def test_the_table_of_the_demo_is_what_the_demo_finds() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`(\w+)`|everybody)[^|]* \| ([^|]*\(.* s\)) \| (.* s\)) \|$", text, re.MULTILINE)
    assert [method for method, *_ in rows] == ["", "sorted", "exact"]
    for column, name in enumerate(("demo-10W", "demo-100W")):
        problem = read_scenario(ROOT / "fedopt" / "data" / f"{name}.toml").problem
        full = fedopt.Problem(
            problem.clients, problem.submodels, budget=problem.budget, partitions=[(len(problem.clients), 0, 0, 0)]
        )
        for method, *shown in rows:
            found = fedopt.solve(problem, matching=method) if method else fedopt.solve(full)
            assert agree(shown[column], f"{found.utility} ({found.duration} s)"), (method, shown[column])


@pytest.mark.parametrize(
    ("keyword", "level"),
    [("matching", matching), ("timing", duration), ("allocation", allocation)],
    ids=["matching", "timing", "allocation"],
)
def test_every_method_is_in_the_table_and_the_default_is_first(keyword: str, level: object) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(rf"^\| `{keyword}` \(level .*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    named = re.findall(r"^\| `(\w+)` \|", table[0].partition("\n")[2], re.MULTILINE)
    methods = level.METHODS.names  # type: ignore[attr-defined]
    assert named[0] == methods[0]
    assert sorted(named) == sorted(methods)


def field_rows() -> list[str]:
    """The rows of the table of fields, as docs/model.md must have them."""
    rows = []
    for field in FIELDS:
        default = "required" if field.default is None else f"{field.default:g}"
        rows.append(f"| `{field.name}` | {field.unit or '1'} | {field.meaning} | {default} |")
    return rows


def test_the_table_of_fields_is_the_code() -> None:
    lines = (ROOT / "docs" / "model.md").read_text(encoding="utf-8").splitlines()
    first = lines.index("| field | unit | meaning | default |") + 2
    last = first + next(k for k, line in enumerate(lines[first:]) if not line.startswith("|"))
    assert lines[first:last] == field_rows()


def test_the_table_of_statuses_is_the_code() -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    rows = [f"| `{status.name}` | {status.sentence} |" for status in Status]
    assert "| status | meaning |\n| --- | --- |\n" + "\n".join(rows) + "\n\n" in text


def test_the_scenario_page_names_every_field() -> None:
    text = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")
    defaults = {}
    for row in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|[^|]*\|[^|]*\| ([^|]*) \|$", text, re.MULTILINE):
        names, values = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        defaults |= dict(zip(names, values * len(names) if len(values) == 1 else values, strict=False))
    for field in FIELDS:
        shown = defaults[field.name]
        assert shown == "required" if field.default is None else float(shown) == field.default, field.name


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *sorted(p.name for p in ROOT.glob("docs/*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document if (ROOT / document).exists() else ROOT / "docs" / document
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_the_page_on_reliability_names_tests_and_counts_that_are_there() -> None:
    """Every file named exists, says its row or is marked with it, and rows with a full count have a nightly test."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (R\d+) \| [^|]* \| ([^|]*) \| [^|]* \|([^|]*)\|$", text, re.MULTILINE)
    assert len(rows) == len({row for row, *_ in rows}) >= 16
    for row, files, count in rows:
        sources = [(ROOT / "tests" / name).read_text(encoding="utf-8") for name in re.findall(r"`(\w+\.py)`", files)]
        assert sources, row
        marked = any(f'nightly("{row}"' in source or f'sampled("{row}"' in source for source in sources)
        assert marked == (count.strip() not in ("", "all")), row
