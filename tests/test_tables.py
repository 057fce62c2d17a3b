"""Device tables: what is written reads back bit for bit; every wrong file gets an error that names the place."""

import os

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedopt import Clients, InputError, tables, units
from fedopt.checks import harmless
from fedopt.clients import FIELD, FIELDS

HEADER = "frequency_min,frequency_max,samples,channel_gain,bandwidth"
ROW = "1e8,1e9,10,1e-10,1e6"


def read(tmp_path, text):
    path = tmp_path / "fleet.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Clients.from_csv(path)


def same(one, other):
    for field in FIELDS:
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        assert mine.tobytes() == theirs.tobytes(), field.name
    assert one.name == other.name


def random_clients(n, seed, names=None):
    rng = np.random.default_rng(seed)
    columns = {f.name: 10.0 ** rng.uniform(-200, 200, n) for f in FIELDS}
    columns["frequency_min"], columns["frequency_max"] = np.sort(
        [columns["frequency_min"], columns["frequency_max"]], 0
    )
    columns["power_min"], columns["power_max"] = np.sort([columns["power_min"], columns["power_max"]], 0)
    columns["download_rate"][0] = columns["power_max"][0] = np.inf
    columns["static_power"][0] = 0.0
    return Clients(**columns, name=names)


def test_round_trip_is_bit_identical(tmp_path):
    clients = random_clients(1000, 0)
    clients.to_csv(tmp_path / "fleet.csv")
    same(clients, Clients.from_csv(tmp_path / "fleet.csv"))
    first, titles = (tmp_path / "fleet.csv").read_text().splitlines()[:2]
    assert first == "# fedopt devices version 1"
    assert "name" not in titles.split(",")
    same(clients, Clients.from_frame(clients.to_frame()))


def test_round_trip_of_scalars_and_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK", 7)
    clients = Clients(frequency_min=0, frequency_max=np.arange(1.0, 30.0), samples=3, channel_gain=0, bandwidth=1 / 3)
    clients.to_csv(tmp_path / "fleet.csv")
    same(clients, Clients.from_csv(tmp_path / "fleet.csv"))


TEXT = st.text(max_size=20).filter(lambda text: text.isprintable() and harmless(text) == text)


@settings(max_examples=50, deadline=None)
@given(names=st.lists(TEXT, min_size=1, max_size=5))
def test_round_trip_of_names(tmp_path_factory, names):
    clients = random_clients(len(names), 1, names)
    path = tmp_path_factory.mktemp("names") / "fleet.csv"
    clients.to_csv(path)
    same(clients, Clients.from_csv(path))
    same(clients, Clients.from_frame(clients.to_frame()))


def test_units_are_converted(tmp_path):
    clients = read(
        tmp_path,
        "name,frequency_min[MHz],frequency_max[GHz],samples,channel_gain[dB],bandwidth[kHz],power_max[dBm],"
        "noise_density[dBm/Hz],download_rate[Mbit/s],overhead[ms],static_power[mW],capacitance[W/GHz^3]\n"
        "one,300,2.4,937,-100,15.625,23,-174,7.5,300,80,0.1\n",
    )
    assert clients.frequency_min[0] == 3e8
    assert clients.frequency_max[0] == 2.4e9
    assert clients.channel_gain[0] == 1e-10
    assert clients.bandwidth[0] == 15625.0
    assert clients.power_max[0] == pytest.approx(0.19952623149688797, rel=1e-15)
    assert clients.noise_density[0] == pytest.approx(3.9810717055349695e-21, rel=1e-14)
    assert clients.download_rate[0] == 7.5e6
    assert clients.overhead[0] == 0.3
    assert clients.static_power[0] == 0.08
    assert clients.capacitance[0] == pytest.approx(1e-28, rel=1e-15)
    assert clients.name == ("one",)


def test_excel_habits_are_accepted(tmp_path):
    plain = read(tmp_path, f"{HEADER}\n{ROW}\n")
    same(plain, read(tmp_path, f"\ufeff{HEADER}\r\n{ROW}\r\n\r\n"))
    same(plain, read(tmp_path, f"{HEADER.replace(',', ', ')}\n{ROW.replace(',', ' , ')}"))
    same(plain, read(tmp_path, f'"{HEADER.replace(",", chr(34) + "," + chr(34))}"\n{ROW}\n'))


def last(cell):
    """A table whose last cell of line 3 is ``cell``."""
    return f"{HEADER}\n{ROW}\n{ROW.removesuffix('1e6')}{cell}\n"


ERRORS = {
    "empty file": ("", ["line 1", "empty file"]),
    "header only": (HEADER + "\n", ["line 2", "a row for every client"]),
    "blank line": (f"{HEADER}\n\n{ROW}\n", ["line 2", "empty line"]),
    "short row": (f"{HEADER}\n{ROW}\n1,2\n", ["line 3", "5 cells", "found 2"]),
    "long row": (f"{HEADER}\n{ROW},7\n", ["line 2", "5 cells", "found 6"]),
    "underscore": (last("1_000"), ["line 3", "'bandwidth'", "'1_000'"]),
    "nan": (last("nan"), ["line 3", "'bandwidth'", "'nan'"]),
    "gap": (last(""), ["line 3", "'bandwidth'", "empty cell"]),
    "blank": (last("  "), ["line 3", "'bandwidth'", "empty cell"]),
    "text": (last("fast"), ["line 3", "'bandwidth'", "'fast'"]),
    "hexadecimal": (last("0x10"), ["line 3", "'0x10'"]),
    "two numbers": (last("1 2"), ["line 3", "'1 2'"]),
    "other digits": (last("\u0661"), ["line 3", "\u0661"]),
    "overflow": (last("1e999"), ["line 3", "'1e999'"]),
    "underflow": (last("1e-999"), ["line 3", "'bandwidth'", "'1e-999'"]),
    "silent zero": (f"{HEADER},power_min\n{ROW},0.0\n{ROW},3E-400\n", ["line 3", "'power_min'", "'3E-400'"]),
    "decimal comma": (last('"1,5"'), ["line 3", "'1,5'"]),
    "nul": (last("1\0"), ["line 3", "bandwidth"]),
    "negative": (last("-3"), ["line 3", "'bandwidth'", "1e-250", "'-3'"]),
    "infinite": (last("inf"), ["line 3", "'bandwidth'", "'inf'"]),
    "silent infinity": (f"{HEADER},power_max\n{ROW},1e999\n", ["line 2", "'power_max'", "'1e999'"]),
    "line break in a cell": (last('"1\n"'), ["line 3", "on one line"]),
    "line break in a name": (f'{HEADER},name\n{ROW},"a\nb"\n', ["line 2", "on one line"]),
    "line break in the header": (f'"frequency_min\n"{HEADER[13:]}\n{ROW}\n', ["line 1", "on one line"]),
    "open quote": (last('"1'), ["line 3", "comma-separated"]),
    "endless line": (f"{HEADER}\n" + "1" * 70_000, ["line 2", "65536 characters"]),
    "formula": (f"{HEADER},name\n{ROW},=1+1\n", ["line 2", "'name'", "'=1+1'"]),
    "reversed range": (f"{HEADER}\n2e9,1e9,10,1e-10,1e6\n", ["line 2", "'frequency_min'", "frequency_max", "'2e9'"]),
    "against a default": (f"{HEADER},power_min\n{ROW},1\n", ["line 2", "'power_min'", "power_max = 0.2"]),
    "duplicate": (f"{HEADER},samples\n", ["line 1", "once", "'samples'"]),
    "duplicate in another unit": (f"{HEADER},bandwidth[MHz]\n", ["line 1", "'bandwidth'", "'bandwidth[MHz]'"]),
    "semicolons": (HEADER.replace(",", ";"), ["line 1", "separated by commas", "semicolons"]),
    "tabs": (HEADER.replace(",", "\t"), ["line 1", "separated by commas", "tabs"]),
    "typing slip": (HEADER.replace("bandwidth", "bandwith"), ["line 1", "did you mean 'bandwidth'", "'bandwith'"]),
    "unknown": (f"{HEADER},zzz\n", ["line 1", "one of frequency_min", "'zzz'"]),
    "no name": (f"{HEADER},\n{ROW},\n", ["line 1", "found ''"]),
    "missing": ("samples,bandwidth\n1,1\n", ["line 1", "no frequency_min, frequency_max, channel_gain"]),
    "unit of a pure number": (HEADER.replace("samples", "samples[dB]"), ["'samples[dB]'", "without a unit"]),
    "unit of a name": (f"{HEADER},name[Hz]\n", ["line 1", "'name[Hz]'"]),
    "unit of another dimension": (
        HEADER.replace("bandwidth", "bandwidth[s]"),
        ["line 1", "'bandwidth[s]'", "Hz, kHz, MHz, GHz", "found 's'"],
    ),
    "unit in the wrong case": (HEADER.replace("bandwidth", "bandwidth[mhz]"), ["Hz, kHz, MHz, GHz", "found 'mhz'"]),
    "value told with its unit": (
        f"{HEADER.replace('bandwidth', 'bandwidth[MHz]')}\n{ROW}\n{ROW.removesuffix('1e6')}-3\n",
        ["line 3", "'bandwidth[MHz]'", "'-3'", "-3000000"],
    ),
    "infinite only in SI units": (
        f"{HEADER},download_rate[Gbit/s]\n{ROW},inf\n{ROW},1e300\n",
        ["line 3", "'download_rate[Gbit/s]'", "range of a double (bit/s)", "'1e300', which is 1e+300 Gbit/s"],
    ),
    "a level beyond a double": (
        f"{HEADER},power_max[dBm]\n{ROW},1e5\n", ["line 2", "'power_max[dBm]'", "(W)", "'1e5', which is 100000.0 dBm"],
    ),
    "nothing only in SI units": (
        f"{HEADER},static_power[uW]\n{ROW},0\n{ROW},3e-320\n", ["line 3", "'static_power[uW]'", "'3e-320', which is"],
    ),
    "no gain only as a ratio": (
        f"{HEADER.replace('gain', 'gain[dB]')}\n{ROW}\n{ROW.replace('1e-10', '-4000')}\n",
        ["line 3", "'channel_gain[dB]'", "(power ratio)", "'-4000', which is -4000.0 dB"],
    ),
    "not utf-8": (f"{HEADER}\n{ROW}\n".encode() + b"\xe9", ["line 3", "UTF-8", "0xe9"]),
    "utf-16": (HEADER.encode("utf-16"), ["line 1", "UTF-8", "0xff"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_every_wrong_file_names_the_place(tmp_path, case):
    text, words = ERRORS[case]
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "fleet.csv") in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("line", [tables.VERSION_LINE, tables.VERSION_LINE + ",,,,"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_version_may_stand_above_the_header(tmp_path, monkeypatch, line, start, end):
    monkeypatch.setattr(tables, "_CHUNK", 4)
    text = f"{HEADER}\n" + f"{ROW}\n" * 10
    same(read(tmp_path, text), read(tmp_path, (f"{start}{line}\n{text}").replace("\n", end)))


VERSIONS = (
    "# fedopt devices version 2",
    "# fedopt devices version 1.0",
    "#",
    "# a remark",
    "## fedopt devices version 1",
)


@pytest.mark.parametrize("line", [*VERSIONS, "#" * 70_000])
def test_other_versions_and_remarks_are_refused(tmp_path, line):
    with pytest.raises(InputError, match=r"line 1: expected '# fedopt devices version 1', the version .* found '#"):
        read(tmp_path, f"{line}\n{HEADER}\n{ROW}\n")
    with pytest.raises(InputError, match=r"line 2: .* found '# fed"):  # it is said once
        read(tmp_path, f"{tables.VERSION_LINE}\n{tables.VERSION_LINE}\n{HEADER}\n{ROW}\n")


@pytest.mark.parametrize("case", [name for name, (text, _) in ERRORS.items() if isinstance(text, str)])
def test_places_are_one_line_further_below_a_version(tmp_path, case):
    text, words = ERRORS[case]
    words = [f"line {int(word[5:]) + 1}" if word.startswith("line ") else word for word in words]
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"{tables.VERSION_LINE}\n{text}")
    for word in words:
        assert word in str(caught.value)


def test_error_is_found_in_a_later_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK", 4)
    with pytest.raises(InputError, match=r"line 12, column 'bandwidth': .* found 'x'"):
        read(tmp_path, f"{HEADER}\n" + f"{ROW}\n" * 10 + ROW.removesuffix("1e6") + "x\n")
    with pytest.raises(InputError, match=r"line 12, column 'bandwidth': .* found '-1'"):
        read(tmp_path, f"{HEADER}\n" + f"{ROW}\n" * 10 + ROW.removesuffix("1e6") + "-1\n")


def test_size_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "fleet.csv"
    with open(path, "wb") as file:
        file.truncate(tables.MAX_BYTES + 1)  # sparse: no disk is used, and reading it would take seconds
    with pytest.raises(InputError, match="at most 1073741824 bytes, found 1073741825 bytes"):
        Clients.from_csv(path)


def test_only_ordinary_files_are_read(tmp_path):
    with pytest.raises(IsADirectoryError):
        Clients.from_csv(tmp_path)
    with pytest.raises(FileNotFoundError):
        Clients.from_csv(tmp_path / "nothing.csv")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="ordinary file"):
            Clients.from_csv(tmp_path / "pipe")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "fleet.csv"
    path.write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        random_clients(3, 0).to_csv(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["fleet.csv"]


def frame(**changes):
    columns = {"frequency_min": 1e8, "frequency_max": 1e9, "samples": 10, "channel_gain": 1e-10, "bandwidth": [1e6] * 3}
    return pandas.DataFrame({**columns, **changes})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (frame(samples=[1.0, None, 3.0]), ["row 1", "'samples'", "a gap"]),
        (frame(samples=pandas.array([1, None, 3], dtype="Int64")), ["row 1", "'samples'", "a gap"]),
        (frame(name=["a", None, "c"]), ["row 1", "'name'", "a gap"]),
        (frame(samples=["1", "2", "3"]), ["row 0", "'samples'", "str '1'"]),
        (frame(samples=[True, False, True]), ["row 0", "'samples'", "bool"]),
        (frame(samples=[1j, 2j, 3j]), ["row 0", "'samples'", "complex"]),
        (frame(samples=[1, 2, -3]).set_axis(["x", "y", "z"]), ["row 2", "label 'z'", "'samples'", "-3"]),
        (frame(samples=[1, -2, 3]).set_index(pandas.Index([1, pandas.NA, 3], dtype="Int64")), ["row 1 (label <NA>)"]),
        (frame(samples=[1, None, 3]).set_index(pandas.Index([1, pandas.NA, 3], dtype="Int64")), ["<NA>", "a gap"]),
        (frame(samples=pandas.Series([1, 10**400, 3], dtype=object)), ["row 1", "'samples'", "up to 1e+250", "1000"]),
        (frame(samples=np.array([1, "1e400", 3], dtype=np.longdouble)), ["row 1", "'samples'", "1e+250"]),
        (frame(samples=np.array([1, "1e-400", 3], dtype=np.longdouble)), ["row 1", "'samples'", "1e-250"]),
        (frame(**{"power_max[kW]": np.array([1, "1e400", 3], dtype=np.longdouble)}), ["row 1", "'power_max[kW]'"]),
        (frame(**{"overhead[GHz]": 1.0}), ["'overhead[GHz]'", "s, ms, us, min"]),
        (frame(**{"power_max[dBm]": [23.0, 1e5, 1e5]}), ["row 1", "'power_max[dBm]'", "(W)", "100000.0 dBm"]),
        (frame(**{"bandwidth[MHz]": 1.0}), ["once", "'bandwidth[MHz]'"]),
        (frame().drop(columns="samples"), ["no samples"]),
        (frame().rename(columns={"samples": 7}), ["text", "7"]),
        (frame()[:0], ["at least one row"]),
        ({"samples": 1}, ["DataFrame", "dict"]),
    ],
)
def test_every_wrong_frame_names_the_place(table, words):
    with pytest.raises(InputError) as caught:
        Clients.from_frame(table)
    for word in words:
        assert word in str(caught.value)


def test_frame_with_units_and_nullable_columns():
    table = frame(**{"overhead[ms]": pandas.array([1, 2, 3], dtype="Int64")})
    assert Clients.from_frame(table).overhead.tolist() == [0.001, 0.002, 0.003]
    assert Clients.from_frame(frame(samples=np.array([1, 2, 3], dtype=object))).samples.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("frequency_max[GHz]", ("frequency_max", "GHz")),
        (" capacitance [J s^2] ", ("capacitance", "J s^2")),
        ("samples", ("samples", None)),
        ("samples[]", ("samples", "")),
    ],
)
def test_parse_name(text, parsed):
    assert units.parse_name(text) == parsed


@pytest.mark.parametrize("text", ["", "[GHz]", "a[b][c]", "a]b[", "2nd", "a b", "a[b"])
def test_parse_name_refuses(text):
    with pytest.raises(InputError, match="a name such as"):
        units.parse_name(text)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_supported_unit_of_a_field_reads_one_as_its_size(field):
    si = units.quantity(field)
    sizes = {"k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3, "u": 1e-6}
    for unit in units.allowed(si):
        value = float(units.to_si(1.0, unit, si))
        if unit.startswith("dB"):
            reference = 1e-3 if unit.startswith("dBm") else 1.0
            assert value == pytest.approx(10**0.1 * reference, rel=1e-14)
        elif unit == "min":
            assert value == 60.0
        elif unit == "W/GHz^3":
            assert value == pytest.approx(1e-27, rel=1e-15)
        else:
            assert value == (1.0 if unit in (si, "W/Hz^3") else sizes[unit[0]])


def test_levels_and_their_inverses():
    assert units.dbm_to_watt(30.0) == 1.0
    assert units.watt_to_dbm(units.dbm_to_watt(23.0)) == pytest.approx(23.0, rel=1e-14)
    assert units.to_si(-np.inf, "dB", units.RATIO) == 0.0
    assert units.to_si([0.0, np.inf], "Gbit/s", "bit/s").tolist() == [0.0, np.inf]
    assert units.to_si([0.0, np.inf], "dB", units.RATIO).tolist() == [1.0, np.inf]
    with pytest.raises(InputError, match=r"value: expected .* range of a double \(W\), found -10000.0 dBm"):
        units.dbm_to_watt(-1e4)
    assert units.to_db(0.0) == -np.inf
    with pytest.raises(InputError, match="0 or more"):
        units.to_db(-1.0)
    assert units.to_si(2.0, "B", "bit") == 16.0
    with pytest.raises(InputError, match="one of bit/s"):
        units.to_si(2.0, "B", "bit/s")
    assert units.quantity(FIELD["channel_gain"]) == units.RATIO


@pytest.mark.parametrize(
    "value",
    [None, "23", "23 dBm", True, [23.0, None], [True, 2.0], 23 + 0j, np.ma.array([1.0, 2.0], mask=[False, True])],
)
@pytest.mark.parametrize("convert", [units.dbm_to_watt, units.watt_to_dbm, units.from_db, units.to_db])
def test_only_real_numbers_are_converted(convert, value):
    with pytest.raises(InputError, match=r"number|a value for every client"):
        convert(value)


def test_a_unit_and_a_name_are_texts():
    with pytest.raises(InputError, match="unit: expected a unit's name, or None, found list"):
        units.to_si(1.0, ["GHz"], "Hz")
    with pytest.raises(InputError, match=r"column name: expected a name such as .*, found NoneType None"):
        units.parse_name(None)
