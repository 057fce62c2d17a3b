"""What no duration changes, in readable numpy: out of reach, and roots to their last digits."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from test_rows import rows

from solvers.duration.verdicts import HIDES, hides
from solvers.limits import inverse_marginal, limits


def test_a_root_of_the_marginal_is_right_to_its_last_digits() -> None:
    """F(x) = 1 + (x - 1) e^x: its relative slope is x^2 e^x / F, 2 for small x."""
    m = np.concatenate([10.0 ** np.random.default_rng(0).uniform(-300.0, 300.0, 200), [1e-3, 1.0, 0.0, math.inf]])
    found = inverse_marginal(m)
    assert found[-2:].tolist() == [0.0, math.inf]
    with mpmath.workdps(60):
        for given, x in zip(m[:-2].tolist(), found[:-2].tolist(), strict=True):
            exact = mpmath.mpf(x)
            series = mpmath.nsum(lambda k, x=exact: x**k * (k - 1) / mpmath.factorial(k), [2, 40])
            value = series if x < 1.0 else 1 + (exact - 1) * mpmath.exp(exact)
            off = (value / mpmath.mpf(given) - 1) * value / (exact**2 * mpmath.exp(exact))
            assert abs(off) < 1e-15, (given, x)


@pytest.mark.parametrize("power", [0.2, math.inf])
def test_who_has_no_gain_is_out_of_reach_whatever_the_power(power: float) -> None:
    known = limits(rows(snr=[0.0, 1.0], power_min=[0.0], power_max=[power], circuit_power=[0.0]))
    assert np.isinf([known.least_time[0], known.free_time[0], known.least_energy[0]]).all()
    assert known.least_time[1] == 2.0 + (0.0 if math.isinf(power) else math.log(2.0) / math.log(1.2))


def test_who_would_compute_for_longer_than_a_double_can_say_is_out_of_reach() -> None:
    known = limits(rows(work=[1e200, 1.0], frequency_min=[0.0], frequency_max=[1e-200, 1.0]))
    assert np.isinf([known.least_time[0], known.free_time[0], known.least_energy[0]]).all()
    assert np.isfinite([known.least_time[1], known.free_time[1], known.least_energy[1]]).all()


def test_what_rounding_hides_of_an_energy_grows_with_the_efficiency() -> None:
    """x = a/tau is rounded, and e^x changes by x times as much: energies of 400 draws against 40 digits."""
    rng = np.random.default_rng(5)
    for least, beyond in ((1.0, False), (300.0, True)):
        a, tau = rng.uniform(least, 1.1 * least, 400), rng.uniform(0.5, 1.0, 400)
        with mpmath.workdps(40):
            true = [mpmath.mpf(t) * mpmath.expm1(mpmath.mpf(n) / mpmath.mpf(t)) for n, t in zip(a, tau, strict=True)]
            off = [float(abs(e / x - 1)) for e, x in zip(tau * np.expm1(a / tau), true, strict=True)]
        assert (max(off) > HIDES) == beyond
        assert all(error <= hides(x) for error, x in zip(off, (a / tau).tolist(), strict=True))
