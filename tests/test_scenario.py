"""Scenarios: what they mean in SI units, the exact way back, and an error with file, line and key for all else."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fedopt
from fedopt import InputError
from fedopt.checks import harmless
from fedopt.clients import FIELDS
from fedopt.files import read_json, write_csv, write_json
from fedopt.report import groups, headline
from fedopt.scenario import LIMIT, from_document, read_scenario, to_document, write_scenario
from fedopt.toml import line_of

CLIENTS = """
[clients]
name = ["a", "b", "c", "d"]
"frequency_min[MHz]" = 300
"frequency_max[GHz]" = [2, 2.5, 3, 1.5]
samples = [100, 200, 300, 400]
"channel_gain[dB]" = [-80, -90.0, -100, -110]
"bandwidth[kHz]" = 250
"power_max[dBm]" = 23
download_rate = inf
"""
TYPES = """
[[submodels]]
name = "L"
flops = 34_038_144
"upload_bits[kB]" = 67.752

[[submodels]]
name = "M"
"flops[MFLOP/sample]" = 17.78112
upload_bits = 320320
download_bits = 0
cover = 2
"""
BUDGET = """
[budget]
"power[mW]" = 2500
"""
SEARCH = BUDGET + "[search]\n"
WHOLE = "version = 1\n" + CLIENTS + TYPES + BUDGET


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "round.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def same_clients(one: fedopt.Clients, other: fedopt.Clients) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in FIELDS]
    return one.name == other.name and all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_units_and_defaults(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, WHOLE))
    problem = scenario.problem
    clients, (large, medium) = problem.clients, problem.submodels
    assert clients.frequency_max.tolist() == [2e9, 2.5e9, 3e9, 1.5e9]
    assert clients.frequency_min.tolist() == [3e8] * 4
    assert clients.channel_gain == pytest.approx([1e-8, 1e-9, 1e-10, 1e-11], rel=1e-15)
    assert clients.bandwidth[0] == 250e3
    assert clients.power_max[3] == pytest.approx(10**-0.7, rel=1e-15)  # 23 dBm = 10^(23/10) mW
    assert clients.capacitance[0] == 1e-28
    assert clients.name == ("a", "b", "c", "d")
    assert (large.upload_bits, large.download_bits, large.cover) == (542016.0, 542016.0, 1)  # 32 x 16,938
    assert medium.flops == pytest.approx(6 * 2963520, rel=1e-15)
    assert (medium.download_bits, medium.cover) == (0.0, 2)
    assert problem.budget == fedopt.PowerBudget(2.5)
    assert problem.partitions is None
    assert problem.utility == fedopt.ReplicaRate()
    assert scenario.settings == {}


@pytest.mark.parametrize(
    ("line", "budget"),
    [
        ('"energy[kJ]" = 1.5', fedopt.EnergyBudget(1500.0)),
        ("energy = inf", fedopt.EnergyBudget(math.inf)),
        ("power = 2", fedopt.PowerBudget(2.0)),
        ('"deadline[min]" = 2', fedopt.Deadline(120.0)),
        ('"time_price[W]" = 3', fedopt.TimePrice(3.0)),
    ],
)
def test_budgets(tmp_path: Path, line: str, budget: object) -> None:
    path = write(tmp_path, WHOLE.replace('"power[mW]" = 2500', line))
    assert read_scenario(path).problem.budget == budget


def test_search_section(tmp_path: Path) -> None:
    search = """
[search]
partitions = [[2, 2], [0, 4]]
utility = "replica_rate"
beta = 0.5
matching = "sorted"
timing = "bisection"
allocation = "reference"
seed = 7
"""
    scenario = read_scenario(write(tmp_path, WHOLE + search))
    assert scenario.problem.partitions is not None
    assert scenario.problem.partitions.tolist() == [[2, 2], [0, 4]]
    assert scenario.problem.utility == fedopt.ReplicaRate(0.5)
    assert scenario.settings == {
        "matching": "sorted",
        "timing": "bisection",
        "allocation": "reference",
        "seed": 7,
    }


def test_clients_from_a_file_beside_it_or_from_the_caller(tmp_path: Path) -> None:
    fleet = read_scenario(write(tmp_path, WHOLE)).problem.clients
    (tmp_path / "tables").mkdir()
    fleet.to_csv(tmp_path / "tables" / "fleet.csv")
    text = 'version = 1\n[clients]\nfile = "tables/fleet.csv"\n' + TYPES + BUDGET
    assert same_clients(read_scenario(write(tmp_path, text)).problem.clients, fleet)
    other = fleet.take([0, 1])
    assert read_scenario(write(tmp_path, WHOLE), clients=other).problem.clients is other
    without = "version = 1\n" + TYPES + BUDGET
    assert read_scenario(write(tmp_path, without), clients=other).problem.clients is other


def test_an_idle_type(tmp_path: Path) -> None:
    problem = read_scenario(write(tmp_path, WHOLE + '\n[[submodels]]\nname = "rest"\nidle = true\n')).problem
    assert problem.submodels[2] == fedopt.SubModel.idle("rest")


BAD = [
    ("version = 1", "version = 2", ("line 1", "version", "expected 1", "found 2")),
    ("version = 1", "version = true", ("line 1", "version", "bool")),
    ("version = 1", "version = 1.0", ("line 1", "version", "float")),
    ("version = 1\n", "", ("version", "this key", "none")),
    ("version = 1", "version == 1", ("TOML", "line 1")),
    ("version = 1", "version = 1\nversion = 1", ("TOML", "line 2")),
    ("[clients]", "[clients]\nclients_max = 3", ("line 4", "clients_max", "known key")),
    ("samples = [", "sample = [", ("sample", "did you mean samples?", "unknown")),
    ("samples = [100, 200, 300, 400]", "", ("samples", "this key")),
    ("samples = [100", "samples = [true", ("samples", "number", "bool True")),
    ("samples = [100", 'samples = ["100"', ("samples", "number", "'100'")),
    ("samples = [100", "samples = [[100]", ("samples", "flat list", "[100]")),
    ("samples = [100", "samples = [nan", ("line 7: [clients] samples", "client 0", "nan")),
    ("samples = [100", "samples = [-1", ("line 7: [clients] samples", "client 0", "-1.0")),
    ("samples = [100", "samples = [" + "9" * 400, ("samples", "up to", "larger")),
    ("samples = [100", "samples = [" + "9" * 5000, ("TOML",)),
    ("samples = [100, ", "samples = [", ("line 7: [clients] samples", "4 numbers", "3 numbers")),
    ('"frequency_max[GHz]"', '"frequency_max[W]"', ("frequency_max[W]", "GHz", "'W'")),
    ('"power_max[dBm]" = 23', '"power_max[dBm]" = 1e5', ("line 10: [clients] power_max[dBm]", "(W)", "100000.0 dBm")),
    ("[-80, -90.0,", "[-80, -4e3,", ("line 8: [clients] channel_gain[dB]: client 1", "power ratio", "-4000.0 dB")),
    ("download_rate = inf", '"download_rate[kbit/s]" = 1e308', ("line 11: [clients] download_rate[kbit/s]: expected",)),
    ('"frequency_max[GHz]"', '"frequency_max[GHz"', ("frequency_max[GHz", "name")),
    ('"frequency_max[GHz]"', "frequency_min = 1\n" + '"frequency_max[GHz]"', ("frequency_min", "once")),
    (
        '"frequency_max[GHz]" = [2,',
        '"frequency_max[GHz]" = [0.1,',
        ("line 5: [clients] frequency_min[MHz]: client 0", "at most"),
    ),
    ('name = ["a"', 'name = ["=cmd()"', ("line 4: [clients] name: client 0", "=cmd()")),
    ('name = ["a"', 'name = ["a\\u001b[2J"', ("line 4: [clients] name: client 0", "printable")),
    ("[clients]", '[clients]\nfile = "x.csv"', ("[clients]", "unknown")),
    ("[clients]", '[clients]\nbundled = "phones65"', ("[clients]", "unknown")),
    (CLIENTS, '[clients]\nbundled = "phones65"\n', ("line 3", "bundled", "phones64", "phones65")),
    (CLIENTS, '[clients]\nfile = "../fleet.csv"\n', ("line 3", "file", "inside", "--clients")),
    (CLIENTS, '[clients]\nfile = "/etc/passwd"\n', ("line 3", "file", "inside", "--clients")),
    (CLIENTS, '[clients]\nfile = "a/../../fleet.csv"\n', ("line 3", "file", "inside")),
    (CLIENTS, "[clients]\nfile = 3\n", ("line 3", "file", "CSV", "int 3")),
    (CLIENTS, "clients = 3\n", ("clients", "table", "int 3")),
    (CLIENTS, "", ("clients", "this key")),
    (CLIENTS + TYPES, "submodels = []\n" + CLIENTS, ("submodels", "one table or more", "[]")),
    (CLIENTS + TYPES, "submodels = [3]\n" + CLIENTS, ("submodels", "table", "3")),
    ('name = "L"\n', "", ("[[submodels]] 0 name", "this key")),
    ("flops = 34_038_144\n", "", ("[[submodels]] 0 flops", "this key")),
    ("cover = 2", "cover = 0", ("[[submodels]] 1 cover: expected", "line", "at least 1", "0")),
    ("cover = 2", "cover = 1.5", ("[[submodels]] 1 cover: expected", "line", "whole", "1.5")),
    ("flops = 34_038_144", "flops = -1", ("[[submodels]] 0 flops: expected", "FLOP/sample", "line", "-1.0")),
    ('name = "M"', "name = 7", ("[[submodels]] 1 name: expected", "line", "int 7")),
    ('name = "M"', 'name = "M"\ncover = 2', ("TOML", "line")),
    ('"power[mW]" = 2500', '"power[mW]" = nan', ("line", "[budget] power[mW]: expected", "W", "nan")),
    ("cover = 2", "covers = 2", ("covers", "did you mean cover?")),
    ("cover = 2", "idle = true", ("idle", "unknown")),
    ('name = "M"', 'name = "L"', ("line 19: [[submodels]] 1 name: expected", "different names", "'L' again")),
    ('"power[mW]" = 2500', "", ("[budget]", "exactly one", "none")),
    ('"power[mW]" = 2500', "power = 1\nenergy = 1", ("[budget]", "exactly one", "power, energy")),
    ('"power[mW]" = 2500', "power = -1", ("line", "[budget] power: expected", "-1.0")),
    ('"power[mW]" = 2500', "power = [1, 2]", ("line", "[budget] power: expected", "one number")),
    ('"power[mW]" = 2500', '"power[J]" = 1', ("power[J]", "mW", "'J'")),
    ('"power[mW]" = 2500', "powr = 1", ("powr", "did you mean power?")),
    (BUDGET, BUDGET + "[serch]\n", ("serch", "did you mean search?")),
    (BUDGET, BUDGET + "[search]\nbeta = 2\nutility = 'least_energy'\n", ("beta", "no beta")),
    (BUDGET, BUDGET + "[search]\nutility = 'most'\n", ("utility", "least_energy", "'most'")),
    (BUDGET, BUDGET + "[search]\nmatching = 'magic'\n", ("matching", "sorted", "'magic'")),
    (BUDGET, BUDGET + "[search]\nseed = -1\n", ("seed", "at least 0", "-1")),
    (
        BUDGET,
        SEARCH + "partitions = [[4, 0], [3, 1]]",
        ("line 28: [search] partitions[1] = (3, 1): expected", "found 1"),
    ),
    (BUDGET, SEARCH + "partitions = [[1, 2]]", ("line 28: [search] partitions[0] = (1, 2): expected", "sum to 4", "3")),
    (BUDGET, SEARCH + "partitions = [[4]]", ("line 28: [search] partitions[0]: expected 2 counts", "found 1")),
    (BUDGET, SEARCH + "partitions = [[2, 2], [4, -1]]", ("line 28: [search] partitions[1]['M']: expected", "found -1")),
    (BUDGET, SEARCH + "partitions = 4", ("line 28: [search] partitions: expected a list", "4")),
    (BUDGET, SEARCH + "partitions = []", ("line 28: [search] partitions: expected at least one",)),
    (BUDGET, SEARCH + "beta = 400", ("line 28: [search] beta: expected at most", "found 400")),
    (BUDGET, SEARCH + "beta = nan", ("line 28: [search] beta: expected", "nan")),
    (
        BUDGET,
        BUDGET + "[access]\nscheme = 'time_division'\n'bandwidth[kHz]' = 0",
        ("line 29: [access] bandwidth[kHz]: exp",),
    ),
    (TYPES, "[[submodels]]\nidle = true\n", ("[[submodels]]: expected at least one type with work",)),
    (BUDGET, BUDGET + "x = " + "[" * 20000 + "\n", ("TOML",)),
]


@pytest.mark.parametrize(("old", "new", "said"), BAD)
def test_errors_name_file_place_expected_and_found(tmp_path: Path, old: str, new: str, said: tuple[str, ...]) -> None:
    assert old in WHOLE
    path = write(tmp_path, WHOLE.replace(old, new, 1))
    with pytest.raises(fedopt.InputError) as caught:
        read_scenario(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message) < 600 + len(str(path))
    for part in said:
        assert part in message, message


def test_a_key_of_many_tables_is_found_on_its_line(tmp_path: Path) -> None:
    """The second [[submodels]] table's flops, though every table has that key."""
    path = write(tmp_path, WHOLE.replace("upload_bits = 320320", 'flops = "many"').replace('"flops[M', '# "flops[M'))
    line = path.read_text(encoding="utf-8").splitlines().index('flops = "many"') + 1
    with pytest.raises(fedopt.InputError, match=rf"line {line}: \[\[submodels\]\] 1 flops: "):
        read_scenario(path)


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("# a\u2028b\x85c\u2029d\n", 1),
        ('[training]\nalgorithm = """\n[clients]\nsamples = 3\n\\"""\n"""""\n', 6),
        ("[training]\nalgorithm = '''\n[clients]\nsamples = 3\n'''\n", 5),
        ('# it\'s """\n[training]\nalgorithm = \'"""\'\n', 3),
    ],
)
def test_only_what_toml_takes_for_lines_and_keys_counts(tmp_path: Path, before: str, lines: int) -> None:
    """A separator of Unicode's ends no line; a key within a text, or after a quote in a comment, is none."""
    path = write(
        tmp_path, WHOLE.replace("\n[clients]", f"\n{before}[clients]").replace("samples = [100", "samples = [-1")
    )
    with pytest.raises(fedopt.InputError, match=rf"line {7 + lines}: \[clients\] samples: client 0: "):
        read_scenario(path)


def test_not_text_too_long_not_there_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(fedopt.InputError, match=r"line 1: expected a TOML file.*UTF-8.*found byte 0xff"):
        read_scenario(write(tmp_path, b"\xff\xfe version = 1"))
    with pytest.raises(fedopt.InputError, match=r"line 3: .*found byte 0xfc"):
        read_scenario(write(tmp_path, b"version = 1\n\n# f\xfcr\n"))
    with pytest.raises(fedopt.InputError, match="at most"):
        read_scenario(write(tmp_path, b"#" * (LIMIT + 1)))
    with pytest.raises(FileNotFoundError):
        read_scenario(tmp_path / "none.toml")
    with pytest.raises(OSError, match="directory"):
        read_scenario(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    read_scenario(write(tmp_path, WHOLE)).problem.clients.to_csv(tmp_path / "fleet.csv")
    (inside / "fleet.csv").symlink_to(tmp_path / "fleet.csv")
    text = 'version = 1\n[clients]\nfile = "fleet.csv"\n' + TYPES + BUDGET
    with pytest.raises(fedopt.InputError, match="inside the scenario's folder"):
        read_scenario(write(inside, text))


def test_truncations_are_errors_or_the_same_data(tmp_path: Path) -> None:
    whole = to_document(read_scenario(write(tmp_path, WHOLE)).problem)
    for end in range(len(WHOLE) - 40):
        with pytest.raises(fedopt.InputError):
            assert to_document(read_scenario(write(tmp_path, WHOLE[:end])).problem) != whole


def test_flipped_bits_raise_nothing_but_input_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    said = []
    for _ in range(400):
        damaged = bytearray(WHOLE.encode())
        for place in rng.integers(0, len(damaged), int(rng.integers(1, 4))):
            damaged[place] ^= 1 << int(rng.integers(0, 8))
        try:
            read_scenario(write(tmp_path, bytes(damaged)))
        except fedopt.InputError as error:
            said.append(str(error))
    assert len(said) > 200  # the others changed a digit or a letter of a name
    assert all(message.startswith(str(tmp_path)) for message in said)


positive = st.floats(1e-200, 1e200)
TEXT = st.text(st.characters(categories=("L", "N", "S", "P"), include_characters=" "), min_size=1, max_size=20)
NAMES = TEXT.filter(lambda text: text.isprintable() and harmless(text) == text)


@settings(deadline=None)  # a busy machine is no failure
@given(
    gain=st.lists(st.one_of(st.just(0.0), positive), min_size=1, max_size=6),
    frequency=positive,
    names=st.lists(NAMES, min_size=6, max_size=6),
    budget=st.sampled_from([fedopt.EnergyBudget, fedopt.PowerBudget, fedopt.Deadline, fedopt.TimePrice]),
    amount=positive,
    named=st.booleans(),
)
def test_written_and_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    gain: list[float],
    frequency: float,
    names: list[str],
    budget: type,
    amount: float,
    named: bool,
) -> None:
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=frequency,
        samples=3,
        channel_gain=gain,
        bandwidth=1e6,
        power_max=math.inf,
        name=names[: len(gain)] if named else None,
    )
    types = (fedopt.SubModel(names[0], flops=frequency, upload_bits=amount), fedopt.SubModel.idle(names[0] + "!"))
    problem = fedopt.Problem(clients, types, budget=budget(amount), partitions=[(len(gain), 0)], utility="least_energy")
    path = tmp_path_factory.mktemp("scenario") / "a.toml"
    write_scenario(problem, path, matching="sorted", seed=5)
    back = read_scenario(path)
    assert same_clients(back.problem.clients, clients)
    assert back.problem.submodels == types
    assert back.problem.budget == problem.budget
    assert np.array_equal(back.problem.partitions, problem.partitions)
    assert back.problem.utility == problem.utility
    assert back.settings == {"matching": "sorted", "seed": 5}


def test_a_fleet_of_many_goes_into_a_table_beside_the_scenario(tmp_path: Path) -> None:
    """What could not be read back is not written."""
    gains = np.geomspace(1e-12, 1e-9, 120_000)
    clients = fedopt.Clients(frequency_min=0.0, frequency_max=1e9, samples=1, channel_gain=gains, bandwidth=1e5)
    problem = fedopt.Problem(clients, (fedopt.SubModel("L", flops=1.0, upload_bits=1.0),), budget=fedopt.Deadline(1.0))
    with pytest.raises(fedopt.InputError, match=r"a\.toml: expected at most 100,000 values .*belong into a CSV file"):
        write_scenario(problem, tmp_path / "a.toml")
    with pytest.raises(fedopt.InputError, match=r"\[clients\] file: expected a path inside the scenario's folder"):
        write_scenario(problem, tmp_path / "a.toml", fleet="../fleet.csv")
    assert list(tmp_path.iterdir()) == []
    write_scenario(problem, tmp_path / "a.toml", fleet="fleet.csv", seed=3)
    back = read_scenario(tmp_path / "a.toml")
    assert same_clients(back.problem.clients, clients)
    assert back.settings == {"seed": 3}
    write_scenario(problem, tmp_path / "b.toml", fleet="fleet.csv")
    for others in (clients.take(range(2)), clients.replace(samples=2)):  # the last has as many bytes
        with pytest.raises(
            fedopt.InputError, match=r"fleet: expected .* not there, or has these clients, found .*fleet"
        ):
            write_scenario(dataclasses.replace(problem, clients=others), tmp_path / "a.toml", fleet="fleet.csv")
    assert same_clients(read_scenario(tmp_path / "a.toml").problem.clients, clients)


def test_a_scenario_of_too_many_values_is_not_parsed(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"round\.toml: expected at most 100,000 values and lines, .* found 100,001 of them"
    ):
        read_scenario(write(tmp_path, b"a = [" + b"1," * 99_999 + b"]"))


def test_a_fleet_of_equals_keeps_its_size(tmp_path: Path) -> None:
    equal = fedopt.Clients(frequency_min=0.0, frequency_max=[1e9] * 3, samples=1, channel_gain=1e-9, bandwidth=1e5)
    one = fedopt.Clients(
        frequency_min=np.broadcast_to(1.0, 5), frequency_max=1e9, samples=1, channel_gain=1e-9, bandwidth=1e5
    )
    for clients, size in ((equal, 3), (one, 5)):
        types = (fedopt.SubModel("L", flops=1.0, upload_bits=1.0),)
        problem = fedopt.Problem(clients, types, budget=fedopt.Deadline(1.0))
        write_scenario(problem, tmp_path / "a.toml")
        assert len(read_scenario(tmp_path / "a.toml").problem.clients) == size


def test_a_function_of_the_user_cannot_be_written() -> None:
    clients = fedopt.Clients(frequency_min=0.0, frequency_max=1e9, samples=1, channel_gain=1e-9, bandwidth=1e5)
    types = (fedopt.SubModel("L", flops=1.0, upload_bits=1.0),)
    problem = fedopt.Problem(clients, types, budget=fedopt.Deadline(1.0), utility=lambda partition, T, E: -T * E)
    with pytest.raises(fedopt.InputError, match=r"Problem\.utility"):
        to_document(problem)


def test_keywords_are_written_as_they_are_read_or_refused_by_name(tmp_path: Path) -> None:
    problem = read_scenario(write(tmp_path, WHOLE)).problem
    solution = fedopt.solve(problem)
    scenario, record = tmp_path / "a.toml", tmp_path / "a.json"
    for unknown in ({"time_limit": 3.0}, {"warm": None}, {"typo": "exact"}, {"partitions": [[4, 0]]}, {"beta": 2.0}):
        with pytest.raises(InputError, match=f"keyword {next(iter(unknown))}: expected a known key"):
            write_scenario(problem, scenario, **unknown)
        with pytest.raises(InputError, match=f"keyword {next(iter(unknown))}: expected a known key"):
            write_json(problem, solution, record, **unknown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round.toml"]
    given = {"seed": np.int64(3), "matching": np.str_("random")}
    write_scenario(problem, scenario, **given)
    write_json(problem, solution, record, **given)
    assert read_scenario(scenario).settings == read_json(record).settings == {"matching": "random", "seed": 3}


def test_a_document_without_a_folder_reads_no_files() -> None:
    document = {"version": 1, "clients": {"file": "fleet.csv"}, "submodels": [], "budget": {}}
    with pytest.raises(fedopt.InputError, match="beside the scenario"):
        from_document(document)


def test_the_demo_scenarios_are_the_published_sub_models() -> None:
    folder = Path(fedopt.__file__).parent / "data"
    for name, watts in (("demo-10W", 10.0), ("demo-100W", 100.0)):
        problem = read_scenario(folder / f"{name}.toml").problem
        assert problem.budget == fedopt.PowerBudget(watts)
        assert [s.flops / 6 for s in problem.submodels] == [5_673_024, 2_963_520, 2_441_376, 1_481_760]
        assert [s.upload_bits / 32 for s in problem.submodels] == [16_938, 10_010, 6_250, 5_018]
        assert [s.cover for s in problem.submodels] == [1, 2, 4, 8]
        assert len(problem.clients) == 64
        assert problem.candidates().shape == (969, 4)


@pytest.mark.parametrize("scheme", ["shared_bandwidth", "time_division"])
def test_a_shared_uplink(tmp_path: Path, scheme: str) -> None:
    """A device table needs no bandwidth then; problem and solution read back with all of their sharing."""
    columns = "frequency_min[GHz],frequency_max[GHz],samples,channel_gain\n"
    (tmp_path / "fleet.csv").write_text(columns + "0.3,1.2,600,2e-11\n0.3,1.5,500,8e-12\n", encoding="utf-8")
    text = f'''
version = 1
clients.file = "fleet.csv"
submodels = [{{name = "large", flops = 3e7, upload_bits = 5e5}}]
access = {{scheme = "{scheme}", "bandwidth[MHz]" = 2}}
budget = {{"power[W]" = 1}}
'''
    (tmp_path / "shared.toml").write_text(text, encoding="utf-8")
    problem = read_scenario(tmp_path / "shared.toml").problem
    wanted = {"shared_bandwidth": fedopt.SharedBandwidth, "time_division": fedopt.TimeDivision}[scheme]
    assert problem.access == wanted(2e6)
    assert from_document(to_document(problem)).problem.access == problem.access
    solution = fedopt.solve(problem)
    assert solution.sharing is not None
    write_json(problem, solution, tmp_path / "answer.json")
    again = read_json(tmp_path / "answer.json").solution.sharing
    assert again is not None
    np.testing.assert_array_equal(again.bandwidth, solution.sharing.bandwidth)
    for name in ("time_price", "bandwidth_price", "compute_end", "residual", "gap"):
        np.testing.assert_equal(getattr(again, name), getattr(solution.sharing, name))
    write_csv(problem, solution, tmp_path / "answer.csv")
    with (tmp_path / "answer.csv").open(encoding="utf-8") as file:
        written = [float(row["bandwidth[Hz]"]) for row in csv.DictReader(file)]
    assert written == solution.sharing.bandwidth.tolist()
    assert "uplink" in headline(problem, solution).text()
    assert "bandwidth [kHz]" in groups(problem, solution).text()


def test_a_shared_uplink_is_checked(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text("frequency_min,frequency_max,samples,channel_gain\n1,2,3,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no bandwidth"):
        fedopt.Clients.from_csv(tmp_path / "fleet.csv")
    for table, expected in (
        ({"bandwidth": 1e6}, r"\[access\] scheme"),
        ({"scheme": "shared_bandwidth"}, r"\[access\] bandwidth"),
        ({"scheme": "aloha", "bandwidth": 1e6}, r"\[access\] scheme"),
        ({"scheme": "time_division", "bandwidth[W]": 1e6}, r"bandwidth\[W\]"),
        ({"scheme": "time_division", "hertz": 1e6}, r"\[access\] hertz"),
    ):
        document = {"version": 1, "clients": {"bundled": "phones64"}, "submodels": [], "budget": {}, "access": table}
        with pytest.raises(InputError, match=expected):
            from_document(document)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[search]\nx = [\n[4]\n]\nbeta = 1\n", 5),
        ("[search]\nx = [[1],\n[4], # ]\n[4]]\nbeta = 1\n", 5),
        ("[search]\nx = [']',\n[4]\n]\nbeta = 1\n", 5),
        ('[search]\nx = "["\nbeta = 1\n[4]\nbeta = 1\n', 3),
        ("[search]\nx = [\n[4]\n]\n[4]\nbeta = 1\n", None),
        ('[search] # [\nx = """\n[\n"""\nbeta = 1\n[other]\nbeta = 2\n', 5),
    ],
)
def test_a_line_of_a_list_is_no_header(text: str, line: int | None) -> None:
    assert line_of(text, "[search]", "beta") == line
