"""What clients who share the uplink need at least, as the verifier knows it: against what the solver makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fleets import make, mnist_types

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, TimeDivision
from fedopt.verifier import uplink

CLIENTS = make("typical", 1, 5).clients
TYPES = (*mnist_types((1, 2, 2, 4))[:2], fedopt.SubModel.idle())
SHARED, SLOTS = SharedBandwidth(2e6), TimeDivision(2e6)


@pytest.mark.parametrize("access", [SHARED, SLOTS])
@pytest.mark.parametrize("kinds", [(0, 1, 1, 0, 1), (0, 1, 2, 2, 1), (2, 2, 1, 2, 2)])
def test_the_shortest_round_is_that_of_energy_without_limit(
    access: SharedBandwidth | TimeDivision, kinds: tuple[int, ...]
) -> None:
    """Also where some send nothing, and in any unit of time; endless where someone is out of reach."""
    work = CLIENTS.workload(TYPES, np.array(kinds))
    tasks = uplink.whole(CLIENTS, work, access)
    found = fedopt.schedule(CLIENTS, work, EnergyBudget(math.inf), access=access)
    assert uplink.shortest(CLIENTS, work, tasks, access) == pytest.approx(found.duration, rel=1e-9)
    gain = CLIENTS.channel_gain.copy()
    gain[2] = 0.0
    away = CLIENTS.replace(channel_gain=gain)
    expected = math.inf if kinds[2] < 2 else found.duration
    assert uplink.shortest(away, work, uplink.whole(away, work, access), access) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kinds", [(0, 1, 1, 0, 1), (0, 1, 2, 2, 1), (2, 2, 1, 2, 2)])
def test_the_least_energy_is_that_of_a_round_without_end(kinds: tuple[int, ...]) -> None:
    work = CLIENTS.workload(TYPES, np.array(kinds))
    found = fedopt.schedule(CLIENTS, work, Deadline(1e7), access=SHARED)
    assert uplink.least_energy(CLIENTS, work, SHARED) == pytest.approx(found.energy, rel=1e-6)


def test_only_a_band_that_is_shared_has_a_price() -> None:
    work = CLIENTS.workload(TYPES, np.array((0, 1, 1, 0, 1)))
    for access in (SHARED, SLOTS):
        found = fedopt.schedule(CLIENTS, work, fedopt.PowerBudget(0.5), access=access)
        assert found.sharing is not None
        expected = found.sharing.bandwidth_price * 2e6 if access is SHARED else 0.0
        assert uplink.worth(found.sharing, access) == expected
    assert uplink.worth(None, SHARED) == 0.0
