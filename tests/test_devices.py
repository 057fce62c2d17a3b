"""Fits recover known parameters and refuse impossible tables; the bundled fleet is what its script makes and solves."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import fedopt
from fedopt import InputError, SubModel, devices

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the published data sets are not beside the repository")

FREQUENCY = np.linspace(0.3e9, 2.4e9, 12)


@pytest.mark.parametrize(("kappa", "static"), [(4e-29, 0.08), (1e-28, 0.0), (1e-29, 0.5), (5e-28, 2.0)])
def test_exact_table_is_recovered(kappa, static):
    shuffled = np.random.default_rng(0).permutation(FREQUENCY)
    fit = devices.fit_power(shuffled, kappa * shuffled**3 + static)
    assert fit.capacitance == pytest.approx(kappa, rel=1e-12)
    assert fit.static_power == pytest.approx(static, rel=1e-12, abs=1e-15)
    assert (fit.frequency_min, fit.frequency_max, fit.points) == (0.3e9, 2.4e9, 12)
    assert fit.worst < 1e-12
    assert fit.power(2.4e9) == pytest.approx(kappa * 2.4e9**3 + static, rel=1e-12)


def test_noisy_tables_are_recovered_within_their_noise():
    kappa, static, noise, tables = 4e-29, 0.08, 0.05, 400
    rng = np.random.default_rng(1)
    true = kappa * FREQUENCY**3 + static
    fits = [devices.fit_power(FREQUENCY, true * (1 + noise * rng.standard_normal(12))) for _ in range(tables)]
    # Standard deviations of a relative least-squares fit: noise^2 (A^T A)^-1 with A = (f^3, 1) / P.
    design = np.column_stack((FREQUENCY**3 * kappa, np.full(12, static))) / true[:, None]
    spread = noise * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    for name, truth, sigma in (("capacitance", kappa, spread[0]), ("static_power", static, spread[1])):
        relative = np.array([getattr(fit, name) for fit in fits]) / truth - 1.0
        # Five standard errors, and the bias of weighting by the noisy power itself, of the order of noise^2.
        assert abs(relative.mean()) < 5 * sigma / math.sqrt(tables) + 4 * noise**2
        assert relative.std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * tables) + 4 * noise)
    # The median of abs(N(0, 1)) is 0.6745; two fitted parameters take some of it away.
    assert 0.4 * noise < np.median([fit.error for fit in fits]) < 0.8 * noise


def test_fit_is_the_least_of_its_sum_of_squares():
    power = np.array([0.06, 0.07, 0.09, 0.15, 0.2, 0.4, 0.42, 0.7])
    f = np.linspace(0.4e9, 2.2e9, 8)
    fit = devices.fit_power(f, power)

    def squares(kappa, static):
        return float((((kappa * f**3 + static) / power - 1) ** 2).sum())

    least = squares(fit.capacitance, fit.static_power)
    for up, other in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99), (1.01, 0.99), (0.99, 1.01)):
        assert squares(fit.capacitance * up, fit.static_power * other) > least


@pytest.mark.parametrize(
    ("frequency", "power", "words"),
    [
        (FREQUENCY[:3], FREQUENCY[:3] ** 3 * 1e-28, "at least 4 points of different frequency, found 3"),
        (
            np.repeat(FREQUENCY[:3], 4),
            np.repeat(FREQUENCY[:3], 4) ** 3 * 1e-28,
            "of different frequency, found 3 in 12 points",
        ),
        (FREQUENCY, FREQUENCY[:5] ** 3 * 1e-28, "12 numbers"),
        (FREQUENCY, np.where(FREQUENCY > 1e9, 0.0, 0.1), "point 4: expected a number above 0 W, found 0.0"),
        (FREQUENCY, np.full(12, np.nan), "point 0: .* found nan"),
        (FREQUENCY, -(FREQUENCY**3) * 1e-28, "point 0: .* above 0 W"),
        (FREQUENCY / 1e3, FREQUENCY**3 * 1e-28, "slip of unit"),
        (FREQUENCY, FREQUENCY**3 * 1e-34, "0.01 to 100 W .* slip of unit"),
        (FREQUENCY, FREQUENCY**3 * 1e-25, "0.01 to 100 W .* slip of unit"),
        (np.linspace(1e9, 1.1e9, 5), np.linspace(0.1, 0.2, 5), "a factor of 1.2"),
        (FREQUENCY, np.linspace(1.0, 0.2, 12), "does not fall as frequency rises"),
        (FREQUENCY, np.linspace(1.0, 0.9, 12), "grows with frequency"),
        (FREQUENCY, np.geomspace(0.002, 3.0, 12), "within 20% at the median"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(frequency, power, words):
    with pytest.raises(InputError, match=words):
        devices.fit_power(frequency, power)


def test_a_constant_power_has_no_dynamic_part():
    """Rounding alone makes a capacitance of some constant tables; a part of 1e-9 of the power is none of it."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        f = np.sort(rng.uniform(3e8, 3e9, rng.integers(5, 12)))
        constant = np.full(f.size, rng.uniform(0.05, 5.0))
        for power in (constant, constant * (1.0 + rng.uniform(-3e-16, 3e-16, f.size))):
            with pytest.raises(InputError, match=r"grows with frequency|a factor of 1\.2"):
                devices.fit_power(f, power)
        kappa = 1e-9 * constant[0] / f[-1] ** 3
        if f[-1] > 1.5 * f[0]:
            assert devices.fit_power(f, constant + kappa * f**3).capacitance == pytest.approx(kappa, rel=1e-3)


HEADER = "CPU,Frequency (kHz),CoreMarks (iter/s),CoreMarks/MHz,Power (mW),Energy (J)\n"


def bench(tmp_path, text):
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")
    return devices.read_freqbench(path)


def test_freqbench_units(tmp_path):
    little, big = bench(tmp_path, HEADER + "1,300000,1110,3.7,56,30\n1,600000,2220,3.7,80,30\n4,400000,3080,7.7,23,4\n")
    assert little.cpu == 1
    assert little.frequency.tolist() == [3e8, 6e8]
    assert little.power.tolist() == [0.056, 0.08]
    assert little.speed_per_hertz == pytest.approx(3.7e-6, rel=1e-14)
    assert big.cpu == 4
    assert big.power.tolist() == [0.023]
    assert not big.power.flags.writeable


def test_a_core_that_is_slowed_at_its_top_step_has_the_speed_per_hertz_of_most_steps(tmp_path):
    """The median of the quotients: of speeds and frequencies apart it would be 2.5e-6."""
    (core,) = bench(tmp_path, HEADER + "".join(f"1,{f},{s},1,9,1\n" for f, s in ((3e5, 900), (8e5, 2400), (9e5, 2000))))
    assert core.speed_per_hertz == pytest.approx(3e-6, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected freqbench's columns, found no CPU, Frequency"),
        (HEADER.replace("Power (mW)", "Power (W)"), r"found no Power \(mW\)"),
        (HEADER, "at least one row"),
        (HEADER + "1,300000,1110\n", "line 2: expected 6 cells, as in the header, found 3"),
        (HEADER + "1,300000,1110,3.7,lots,30\n", r"line 2, column 'Power \(mW\)': expected a number, found 'lots'"),
        (HEADER + "1,nan,1110,3.7,5,30\n", r"line 2, column 'Frequency \(kHz\)'"),
        (HEADER + "1,2_000_000,1110,3.7,5,30\n", r"'Frequency \(kHz\)': expected a number, found '2_000_000'"),
        (HEADER + "1,300000,inf,3.7,5,30\n", r"column 'CoreMarks \(iter/s\)': expected a number, found 'inf'"),
        (HEADER + "1,300000,1110,3.7,1e-400,30\n", r"column 'Power \(mW\)': expected a number, found '1e-400'"),
        (HEADER.replace("Energy (J)", "Power (mW)"), r"line 1: expected each column once, found 'Power \(mW\)' again"),
        (HEADER + "1.5,300000,1110,3.7,5,30\n", "column 'CPU': expected a whole number"),
    ],
)
def test_wrong_freqbench_tables_name_the_place(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        bench(tmp_path, text)


def test_survey_lists_the_refused_with_reasons(tmp_path):
    rows = "".join(f"1,{f},1,1,{4e-29 * (f * 1e3) ** 3 * 1e3 + 80},1\n" for f in range(300_000, 2_000_000, 200_000))
    for place, text in (("a/main", rows), ("b/main", rows.replace(",1,1,", ",1,1,-")), ("c", rows), ("d/old", rows)):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "results.csv").write_text(HEADER + text)
    survey = devices.survey(tmp_path)
    assert [(row.chip, row.run) for row in survey.rows] == [("a", "main"), ("b", "main"), ("c", "main")]
    assert [(row.chip, "above 0 W" in row.reason) for row in survey.refused] == [("b", True)]
    assert survey.median("capacitance") == pytest.approx(4e-29, rel=1e-12)
    assert len(devices.survey(tmp_path, run=None).rows) == 4
    with pytest.raises(InputError, match=r"new/results\.csv"):
        devices.survey(tmp_path, run="new")


@needs_data
def test_survey_of_the_measured_phones():
    survey = devices.survey(DATA / "freqbench")
    assert (len(survey.rows), len(survey.fits)) == (85, 82)
    reasons = {(row.chip, row.cpu): row.reason for row in survey.refused}
    assert set(reasons) == {("mt6768", 1), ("mt6768", 6), ("exynos7904", 1)}
    assert "slip of unit" in reasons["mt6768", 1]
    assert "slip of unit" in reasons["mt6768", 6]
    assert "above 0 W" in reasons["exynos7904", 1]
    # The data's README gives 4.2e-29, 0.08 W, 2.0 GHz and 4.5 % for 76 clusters and another weighting.
    assert survey.median("capacitance") == pytest.approx(4.2e-29, rel=0.1)
    assert survey.median("static_power") == pytest.approx(0.08, rel=0.1)
    assert survey.median("frequency_max") == pytest.approx(2.0e9, rel=0.01)
    assert survey.median("error") < 0.06
    assert all(fit.error <= 0.2 for fit in survey.fits)


@needs_data
def test_traces():
    counts = devices.read_sample_counts(DATA / "devices" / "fedscale_speech_samples.csv")
    assert (len(counts), counts.min(), counts.max(), counts[0]) == (2187, 16, 316, 100)
    phones = devices.read_ai_benchmark(DATA / "devices" / "flash_ai_benchmark.json")
    assert len(phones) == 333
    first = devices.BenchmarkedPhone(
        model="Huawei Mate 30 Pro 5G", chip="HiSilicon Kirin 990 5G", year=2019, fp32_score=716
    )
    assert phones[0] == first
    links = devices.read_link_speeds(DATA / "devices" / "flash_speed_distribution.json")
    assert len(links) == 19
    assert links[0].download == 7491400.0
    assert links[0].upload == 4935200.0


def test_a_users_link_has_its_mean_and_deviation_each_way(tmp_path):
    path = tmp_path / "speeds.json"
    path.write_text('{"u": {"down_u": 8000, "down_sigma": 300, "up_u": 2500.5, "up_sigma": 0}}')
    link = devices.LinkSpeed(download=8e6, download_deviation=3e5, upload=2500500.0, upload_deviation=0.0)
    assert devices.read_link_speeds(path) == (link,)


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (devices.read_sample_counts, "", "line 1: expected the columns client,samples, found an empty file"),
        (devices.read_sample_counts, "client,samples\n", "line 2: expected a row"),
        (devices.read_sample_counts, "client,samples\n0,3\n1,-4\n", "line 3: expected two whole numbers, found 1,-4"),
        (devices.read_ai_benchmark, "[", "line 1: expected JSON"),
        (devices.read_ai_benchmark, "[" * 100_000, "JSON"),
        (devices.read_ai_benchmark, "{}", "a list of phones, found dict"),
        (devices.read_ai_benchmark, '[{"Model": "x"}]', "entry 0: expected a text under 'CPU', found None"),
        (devices.read_ai_benchmark, "[3]", "entry 0: expected a phone"),
        (devices.read_link_speeds, "[]", "a table of users, found list"),
        (devices.read_link_speeds, '{"u": {"down_u": "1"}}', "user 0: expected a rate in kbit/s under 'down_u'"),
        (devices.read_link_speeds, '{"u": {"down_u": NaN}}', "user 0: .* found nan"),
    ],
)
def test_wrong_traces_name_the_place(tmp_path, reader, text, words):
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        reader(path)


def test_random_fleet_is_seeded_and_within_its_ranges():
    clients = devices.random_fleet(200, seed=5, samples=(3, 4))
    again = devices.random_fleet(200, seed=5, samples=(3, 4))
    other = devices.random_fleet(200, seed=6, samples=(3, 4))
    for name in ("frequency_max", "capacitance", "samples", "channel_gain"):
        assert (getattr(clients, name) == getattr(again, name)).all()
        assert (getattr(clients, name) != getattr(other, name)).any()
    assert set(clients.samples) == {3.0, 4.0}
    assert 0.8e9 <= clients.frequency_max.min() <= clients.frequency_max.max() <= 2.5e9
    assert 0.5e-28 <= clients.capacitance.min() <= clients.capacitance.max() <= 3e-28
    assert (clients.frequency_min == 0.1 * clients.frequency_max).all()


def test_samples_are_the_whole_numbers_within_their_range():
    assert (devices.random_fleet(50, seed=0, samples=(500.9, 501.1)).samples == 501.0).all()
    assert set(devices.random_fleet(50, seed=0, samples=(0.5, 2.5)).samples.tolist()) == {1.0, 2.0}


def test_cell_is_path_loss_times_shadowing_times_fading():
    plain = devices.cell(50, seed=7, radius=300.0, inner=50.0, deviation=0.0, fading=False)
    assert (plain.gain == fedopt.channel.gain_3gpp(plain.distance)).all()
    assert 50.0 <= plain.distance.min() <= plain.distance.max() <= 300.0
    faded = devices.cell(50, seed=7, radius=300.0, inner=50.0)
    assert (faded.distance == plain.distance).all()
    assert (faded.gain != plain.gain).all()
    clients = devices.random_fleet(50, seed=1, layout=plain)
    assert (clients.channel_gain == plain.gain).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: devices.random_fleet(0, seed=0), "n: expected a whole number of at least 1"),
        (lambda: devices.random_fleet(3, seed=None), "seed"),
        (lambda: devices.random_fleet(3, seed=0, samples=(5, 2)), "samples: expected low at most high"),
        (lambda: devices.random_fleet(3, seed=0, samples=(0.2, 0.9)), "samples: expected a range with whole numbers"),
        (lambda: devices.random_fleet(3, seed=0, samples=(1, 1e30)), "samples: expected .* of at most 9,007"),
        (lambda: devices.random_fleet(2**70, seed=0), "n: expected a whole number"),
        (lambda: devices.random_fleet(3, seed=0, layout=np.ones(3)), "layout: expected a Layout"),
        (lambda: devices.random_fleet(3, seed=0, capacitance=1e-28), "a pair"),
        (lambda: devices.random_fleet(3, seed=0, layout=devices.cell(4, seed=0)), "4 numbers|3 numbers"),
        (lambda: devices.cell(3, seed=0, radius=20.0), "inner: expected at most radius = 20 m"),
    ],
)
def test_bad_generator_arguments_are_named(call, words):
    with pytest.raises(InputError, match=words):
        call()


TYPES = tuple(
    SubModel(name, flops=6.0 * macs, upload_bits=32.0 * parameters, cover=cover)
    for name, macs, parameters, cover in (
        ("L", 5_673_024, 16_938, 1),
        ("M", 2_963_520, 10_010, 2),
        ("S", 2_441_376, 6_250, 4),
        ("T", 1_481_760, 5_018, 8),
    )
)


def test_bundled_fleet_is_64_sane_phones():
    clients = devices.phones64()
    assert len(clients) == 64
    assert clients.name is not None
    assert len({name.lower() for name in clients.name}) == 64
    assert any(name == "Google Pixel 6 (Tensor G1)" for name in clients.name)
    assert clients.samples.sum() == 60_000
    assert clients.bandwidth.sum() == 1e6
    top = clients.capacitance * clients.frequency_max**3 + clients.static_power
    assert 0.1 < top.min() <= top.max() < 4.0  # [W], one loaded core of a phone


def power_at(clients, work, duration):
    return float(fedopt.allocate(clients, work, duration=duration, allocation="reference").energy.sum() / duration)


def test_bundled_fleet_is_bound_by_ten_watts_and_not_by_a_hundred():
    clients = devices.phones64()
    sorted_clients = clients.take(np.argsort(-clients.channel_gain))
    for counts in ((64, 0, 0, 0), (32, 16, 8, 8), (16, 16, 16, 16), (0, 0, 0, 64)):
        work = sorted_clients.workload(TYPES, np.repeat(np.arange(4), counts))
        snr = sorted_clients.channel_gain / (sorted_clients.noise_density * sorted_clients.bandwidth)
        rate = sorted_clients.bandwidth * np.log2(1 + sorted_clients.power_max * snr)
        least = (
            work.download_bits / sorted_clients.download_rate
            + work.cycles / sorted_clients.frequency_max
            + work.upload_bits / rate
        )
        assert least.max() < 6 * np.median(least)  # nobody holds everyone up
        shortest = least.max() * (1 + 1e-9)
        assert 10.0 < power_at(sorted_clients, work, shortest) < 100.0
        assert power_at(sorted_clients, work, 3 * shortest) < 10.0


@needs_data
def test_bundled_fleet_is_what_its_script_makes(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("make_fleet", ROOT / "experiments" / "make_fleet.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make_fleet(DATA).to_csv(tmp_path / "phones64.csv")
    assert (tmp_path / "phones64.csv").read_bytes() == (ROOT / "fedopt" / "data" / "phones64.csv").read_bytes()
    assert "Realme C3 (Helio G70), core 6 left out" in capsys.readouterr().out


@pytest.mark.parametrize("faded", ["no", None, 1, 0.0])
def test_the_bundled_fleet_is_faded_or_not(faded):
    with pytest.raises(InputError, match="faded: expected True or False"):
        devices.phones64(faded=faded)
