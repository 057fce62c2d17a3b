"""Signals louder than any: the shortest round of a shared band against 40 digits, and energies beyond all doubles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mpmath import mp

import fedopt
from fedopt import EnergyBudget, SharedBandwidth, Status

HERTZ, BITS, READY = 2e6, np.array([3e6, 5e6]), (0.0, 0.01)
ULPS = 2.0**-51


def shortest(snr: tuple[float, ...]) -> fedopt.Schedule:
    """At p_max = 1 W and these ratios of signal to noise on the whole band."""
    count = len(snr)
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=1e9, samples=np.ones(count), capacitance=1e-28, overhead=READY[:count],
        channel_gain=np.array(snr) * 1e-21 * HERTZ, noise_density=1e-21, bandwidth=HERTZ, power_max=1.0,
    )  # fmt: skip
    work = fedopt.Workload(cycles=np.zeros(count), upload_bits=BITS[:count])
    found = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=SharedBandwidth(HERTZ))
    assert found.status is Status.SLACK
    return found


@pytest.mark.parametrize("snr", [1e-3, 2.0, 1e6, 1e20, 1e40, 1e100, 1e200])
def test_the_shortest_round_of_one_is_at_full_power_to_the_last_digit(snr: float) -> None:
    for ratio in snr * np.linspace(1.0, 2.0, 20):
        found = shortest((ratio,))
        with mp.workdps(40):
            T = READY[0] + BITS[0] * mp.log(2) / (HERTZ * mp.log1p(mp.mpf(float(ratio))))
            assert abs(found.duration / T - 1) < ULPS


@pytest.mark.parametrize("snr", [(1e-3, 1e3), (3.0, 1e20), (1e40, 1e40), (1e90, 1e-2)])
def test_the_shortest_round_of_two_is_where_their_least_shares_fill_the_band(snr: tuple[float, float]) -> None:
    found = shortest(snr)
    with mp.workdps(40):

        def share(n: int, T: mp.mpf) -> mp.mpf:
            low, high = mp.mpf(-500), mp.mpf(0)
            for _ in range(140):
                middle = (low + high) / 2
                enough = HERTZ * mp.exp(middle) * mp.log1p(snr[n] * mp.exp(-middle)) * (T - READY[n])
                low, high = (low, middle) if enough >= BITS[n] * mp.log(2) else (middle, high)
            return mp.exp(high)

        low, high = (found.duration * (1 + side * mp.mpf(10) ** -9) for side in (-1, 1))
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if share(0, middle) + share(1, middle) > 1 else (low, middle)
        assert abs(found.duration / high - 1) < 2 * ULPS


@pytest.mark.parametrize("access", [None, SharedBandwidth(2410492086.27)])
def test_energies_that_leave_the_doubles_where_power_has_no_limit_warn_of_nothing(
    access: SharedBandwidth | None,
) -> None:
    """Warnings are errors here: sums over many clients are infinite on the way."""
    size = 100_000 if access is None else 3_000
    gain, kappa = np.full(size, 1e-11), np.full(size, 1e-28)
    gain[-1], kappa[-1] = (1e-17, 1e-28) if access is None else (1e-11, 4e-23)
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=np.full(size, 500.0), channel_gain=gain, bandwidth=5e4,
        capacitance=kappa, power_max=math.inf,
    )  # fmt: skip
    work = fedopt.Workload(cycles=np.full(size, 2e10), upload_bits=2.5e6)
    found = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access)
    assert found.energy > 1e270
    assert math.isfinite(found.energy)
