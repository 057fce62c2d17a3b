"""Channel models against hand values; random draws against their exact moments, with tolerances from their spread."""

import math

import numpy as np
import pytest

from fedopt import InputError, channel

DRAWS = 200_000
SIGMAS = 5.0  # a true statistic falls outside five standard errors once in 1.7 million draws; the seeds are fixed


def near_mean(values, mean, deviation):
    """Is the sample mean within five standard errors of the true one?"""
    assert abs(values.mean() - mean) < SIGMAS * deviation / math.sqrt(values.size)


@pytest.mark.parametrize(("metres", "loss"), [(1000.0, 128.1), (100.0, 90.5), (35.0, 128.1 + 37.6 * math.log10(0.035))])
def test_3gpp_loss_by_hand(metres, loss):
    assert channel.gain_3gpp(metres) == pytest.approx(10 ** (-loss / 10), rel=1e-13)


def test_power_law_by_hand():
    gains = channel.gain_power_law([1.0, 10.0, 25.0])
    assert gains == pytest.approx([1e-4, 1e-8, 1e-4 / 390625.0], rel=1e-14)
    assert channel.gain_power_law(100.0, reference_gain=1e-3, exponent=3) == pytest.approx(1e-9, rel=1e-14)


def test_free_space_is_32_44_db_at_one_megahertz_and_kilometre():
    # 20 log10(4 pi 1e3 m 1e6 Hz / c) = 32.4478 dB, the constant of every textbook
    loss = -10 * np.log10(channel.gain_free_space(1e3, carrier=1e6))
    assert loss == pytest.approx(32.4478, abs=5e-5)
    ratio = channel.gain_free_space(2e3, carrier=3e9) / channel.gain_free_space(1e3, carrier=3e9)
    assert ratio == pytest.approx(0.25, rel=1e-14)


def test_shadowing_is_normal_in_decibel():
    level = 10 * np.log10(channel.shadowing(DRAWS, deviation=8.0, seed=1))
    near_mean(level, 0.0, 8.0)
    near_mean(level**2, 64.0, math.sqrt(2.0) * 64.0)  # var of X^2 is 2 sigma^4
    assert (channel.shadowing(3, deviation=0.0, seed=1) == 1.0).all()


def test_rayleigh_power_is_exponential():
    gain = channel.rayleigh(DRAWS, seed=2)
    near_mean(gain, 1.0, 1.0)
    below = math.exp(-0.1)  # P(gain > 0.1)
    near_mean(gain > 0.1, below, math.sqrt(below * (1 - below)))


@pytest.mark.parametrize("factor", [0.0, 1.0, 10.0])
def test_rician_moments(factor):
    gain = channel.rician(DRAWS, factor=factor, seed=3)
    variance = (1 + 2 * factor) / (1 + factor) ** 2
    near_mean(gain, 1.0, math.sqrt(variance))
    fourth = ((gain - 1.0) ** 2).std()
    near_mean((gain - 1.0) ** 2, variance, fourth)


def test_noise_density():
    assert channel.noise_density() == pytest.approx(1.380649e-23 * 290, rel=1e-15)
    assert channel.noise_density(noise_figure=10.0) == pytest.approx(10 * channel.noise_density(), rel=1e-14)


def test_distances_are_uniform_over_the_area():
    metres = channel.distances(DRAWS, radius=500.0, inner=35.0, seed=4)
    assert metres.min() >= 35.0
    assert metres.max() <= 500.0
    share = (metres**2 - 35.0**2) / (500.0**2 - 35.0**2)  # uniform in (0, 1] if the area is
    near_mean(share, 0.5, math.sqrt(1 / 12))
    near_mean(share**2, 1 / 3, math.sqrt(1 / 5 - 1 / 9))
    assert (channel.distances(5, radius=7.0, inner=7.0, seed=0) == 7.0).all()
    assert channel.distances(DRAWS, radius=1.0, seed=5).min() > 0.0


class Ends(np.random.Generator):
    """Draws both ends of [0, 1): 0 itself comes once in 2^53 draws."""

    def random(self, size):
        return np.resize([0.0, 1.0 - 2.0**-53], size)


def test_nobody_stands_in_the_antenna_whatever_is_drawn():
    """At a distance of 0 no path loss is a number."""
    metres = channel.distances(2, radius=500.0, seed=Ends(np.random.PCG64(0)))
    assert metres[0] == 500.0
    assert metres[1] == pytest.approx(500.0 * 2.0**-26.5, rel=1e-14)


def test_distances_of_any_size_are_those_of_one_metre():
    """Their squares would be no doubles; a power of two moves no digit."""
    small = channel.distances(50, radius=1.0, inner=0.25, seed=6)
    for exponent in (-800, -300, 9, 800):
        unit = 2.0**exponent
        assert (channel.distances(50, radius=unit, inner=0.25 * unit, seed=6) == small * unit).all()


def test_seed_repeats_and_generator_moves_on():
    assert (channel.rayleigh(5, seed=9) == channel.rayleigh(5, seed=9)).all()
    rng = np.random.default_rng(9)
    first, second = channel.rayleigh(5, seed=rng), channel.rayleigh(5, seed=rng)
    assert (first == channel.rayleigh(5, seed=9)).all()
    assert not (first == second).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: channel.gain_3gpp(0.1), "gain of at most 1"),
        (lambda: channel.gain_3gpp([100.0, 0.1]), "client 1"),
        (lambda: channel.gain_3gpp([100.0, 0.0]), "client 1"),
        (lambda: channel.gain_3gpp(float("nan")), "nan"),
        (lambda: channel.gain_power_law(1.0, reference_gain=2.0), "gain of at most 1"),
        (lambda: channel.gain_power_law(100.0, reference_gain=50.0), "reference_gain: expected a gain of at most 1"),
        (lambda: channel.gain_power_law(1.0, exponent=-1.0), "exponent"),
        (lambda: channel.gain_free_space(1.0, carrier=1e-250), "gain of inf"),
        (lambda: channel.gain_free_space(1e-250, carrier=1e-250), "gain of inf"),
        (lambda: channel.rayleigh(2**70, seed=0), "size"),
        (lambda: channel.distances(2**70, radius=1.0, seed=0), "size"),
        (lambda: channel.gain_free_space(1e-3, carrier=1e9), "gain of at most 1"),
        (lambda: channel.shadowing(3, deviation=-1.0, seed=0), "deviation"),
        (lambda: channel.rayleigh(3, seed=None), "seed"),
        (lambda: channel.rayleigh(3, seed=-1), "seed"),
        (lambda: channel.rayleigh(3, seed=1.5), "seed"),
        (lambda: channel.rayleigh(-3, seed=0), "size"),
        (lambda: channel.rician(3, factor=-1.0, seed=0), "factor"),
        (lambda: channel.noise_density(noise_figure=-1.0), "noise_figure"),
        (lambda: channel.noise_density(temperature=0.0), "temperature"),
        (lambda: channel.distances(3, radius=1.0, inner=2.0, seed=0), "at most radius"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
