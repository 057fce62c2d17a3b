"""Files made to harm: each is refused soon, in little memory, and nothing is run or written anywhere.

``attacks/`` has a folder for each reader of ``loaders.py``. Those too large to be kept are built here. The children
that read them have 100 MB more address space than they needed for a good file.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from loaders import LOADERS, idx, problem

import fedopt
from benchmarks import common
from fedopt import InputError, files
from fedopt.checks import harmless
from fedopt.cli.devices import run as fit_devices
from fedopt.scenario import LIMIT, read_scenario

pytest.importorskip("torch")
pytest.importorskip("safetensors")

HERE = Path(__file__).parent
ATTACKS = HERE / "attacks"
FEW, MEGABYTES = 1.0, 100  # seconds of processor, and of address space

CHILD = """
import json, resource, sys, time
from pathlib import Path
from fedopt import InputError
from loaders import LOADERS

name, good, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
loader = LOADERS[name]
loader.read(good)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limit,) * 2)
for path in map(Path, sys.argv[4:]):
    started = time.process_time()
    try:
        loader.read(path)
        said = "read"
    except (InputError, OSError) as error:
        said = "" if len(str(error)) < 1000 + len(str(path)) else "an endless message"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps([path.name, said, time.process_time() - started]), flush=True)
"""


def large(name: str, folder: Path) -> None:
    """Hostile files of a megabyte and more."""
    folder.mkdir(exist_ok=True)
    if name == "scenario":
        keys = {"key-of-a-megabyte.toml": "b" * 10**6, "unit-of-a-megabyte.toml": f"samples[{'b' * 10**6}]"}
        for file, key in keys.items():
            (folder / file).write_text(f'version = 1\nclients = {{"{key}" = 1}}\n')
        (folder / "root-of-a-megabyte.toml").write_text(f'"{"b" * 10**6}" = 1\n')
        (folder / "word-of-two-megabytes.toml").write_text("b" * LIMIT)
        (folder / "quotes.toml").write_text("\"'" * 10**6)
        parts = {"comments": b"#\n", "values": b"1,", "tables": b"{},", "texts": b'"",', "lists": b"[],"}
        for kind, part in parts.items():
            start = b"" if kind == "comments" else b"a = ["
            (folder / f"{kind}.toml").write_bytes(start + part * ((LIMIT - len(start)) // len(part)))
        (folder / "keys.toml").write_bytes(b"".join(b"[%d]\n" % k for k in range(49_999)))
    if name in ("record", "checkpoint"):
        for kind, part in {"lists": b"[],", "objects": b"{},", "keys": b'"":1,'}.items():
            text = b"[" + part * (2**25 // len(part))
            head = struct.pack("<Q", len(text)) * (name == "checkpoint")
            (folder / f"{kind}-of-32-megabytes").write_bytes(head + text)
    if name == "history":
        first, row, *_ = LOADERS[name].good().splitlines()
        rows = {"cells": b"," * 2**23}
        rows |= {f"{n:x}-stragglers": row.replace(b"3 0", b"1 " * n + b"x") for n in (2**20, 2**22 + 1, 2**24)}
        rows |= {each.hex(): row.replace(b"3 0", each * 2**23) for each in (b"1\t", b"x", b"1", b"\0")}
        for kind, line in {"lines": b"\n" * 2**23, **rows}.items():
            (folder / f"{kind}.csv").write_bytes(first + b"\n" + line)
    if name in ("scenario", "table", "record", "history", "checkpoint", "idx"):
        with open(folder / "hole", "wb") as file:  # takes no disk
            file.write(b"\xff" + b"\x1f\x8b" * (name == "idx"))
            file.truncate(2**31 + 1)
    if name == "table":
        with open(folder / "half-a-gibibyte-on-one-line.csv", "wb") as file:
            file.write(b"\xff")
            file.truncate(2**29)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is read off /proc")
@pytest.mark.parametrize("name", [name for name in LOADERS if name != "gzip"])
def test_every_attack_is_refused(name: str, tmp_path: Path) -> None:
    inside, loader = tmp_path / "inside", LOADERS[name]
    shutil.copytree(ATTACKS / name, inside)
    large(name, inside)
    good = tmp_path / loader.file
    good.write_bytes(loader.good())
    (tmp_path / "outside.csv").write_bytes(LOADERS["table"].good())
    before = sorted(tmp_path.rglob("*"))
    hostile = sorted(inside.iterdir())
    path = os.pathsep.join([str(Path(fedopt.__file__).parents[1]), str(HERE)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, name, str(good), str(MEGABYTES * 10**6), *map(str, hostile)],
        env={**os.environ, "PYTHONPATH": path, "FEDOPT_THREADS": "1"},
        cwd=inside, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    told = {file: (said, seconds) for file, said, seconds in map(json.loads, done.stdout.splitlines())}
    assert set(told) == {path.name for path in hostile}, done.stderr
    assert {file: said for file, (said, _) in told.items() if said} == {}
    assert {file: seconds for file, (_, seconds) in told.items() if seconds > FEW} == {}
    assert sorted(tmp_path.rglob("*")) == before


def test_there_are_enough_of_them() -> None:
    assert set(LOADERS) == {path.name for path in ATTACKS.iterdir()} | {"gzip"}
    assert sum(1 for _ in ATTACKS.glob("*/*")) >= 100


@pytest.mark.parametrize("target", ["outside.csv", "loop.csv", "/dev/zero", "/proc/self/environ"])
def test_links_are_not_followed_out_of_the_folder(target: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside.csv").write_bytes(LOADERS["table"].good())
    (inside / "loop.csv").symlink_to("loop.csv" if target == "loop.csv" else tmp_path / target)
    (inside / "a.toml").write_text('version = 1\n[clients]\nfile = "loop.csv"\n')
    with pytest.raises((InputError, OSError), match=r"inside the scenario's folder|symbolic links"):
        read_scenario(inside / "a.toml")


def test_writing_to_a_link_replaces_the_link(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_text("untouched")
    (inside / "a.csv").symlink_to(tmp_path / "outside")
    problem().clients.to_csv(inside / "a.csv")
    assert (tmp_path / "outside").read_text() == "untouched"
    assert not (inside / "a.csv").is_symlink()


FORMULAS = ("=1+1", "+cmd|'/c calc'!A0", "-1+1|cmd", "@SUM(A1)", " =1", " \uff1d1", "a;=1", "a; @x", ";;-1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_name_is_a_formula(text: str) -> None:
    with pytest.raises(InputError, match="none of = "):
        problem().clients.replace(name=[text, "b", "c", "d"])
    with pytest.raises(InputError, match="none of = "):
        fedopt.SubModel(text, flops=1.0, upload_bits=1.0)


def fleet(path: Path) -> None:
    problem().clients.to_csv(path)


def answer(path: Path) -> None:
    files.write_csv(problem(), fedopt.solve(problem()), path)


def front(path: Path) -> None:
    fedopt.pareto(problem(), points=3).to_csv(path)


def fits(path: Path) -> None:
    chip = path.parent / "@SUM(1)" / "main"
    chip.mkdir(parents=True)
    (chip / "results.csv").write_bytes(LOADERS["freqbench"].good())
    fit_devices(chip.parents[1], path)


def rows(path: Path) -> None:
    row = common.Row(benchmark="=1", instance="+2", clients=1, method="@x", settings="-y", status=" =z")
    common.write_rows(path, [row])


@pytest.mark.parametrize("write", [fleet, answer, front, fits, rows])
def test_no_cell_of_a_written_table_is_a_formula(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Whatever is text; of numbers a minus is no formula."""
    path = tmp_path / "written.csv"
    write(path)
    with open(path, encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert cells
    for cell in cells:
        try:
            float(cell)
        except ValueError:
            assert harmless(cell) == cell


def test_a_bomb_behind_a_right_header_is_not_unpacked(tmp_path: Path) -> None:
    """The sample itself is right, so that what is refused is the bomb."""
    from fedopt.training.idx import read_idx

    assert read_idx(idx()).shape == (3, 2, 4)
    with pytest.raises(InputError, match="more than that"):
        read_idx(ATTACKS / "idx" / "gzip-bomb.gz")
