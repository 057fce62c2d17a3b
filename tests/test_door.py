"""The door and the judge take short cuts in the ordinary case; here each is compared with the long way.

From some number of clients on, compiled code looks at columns, from more on it copies them too, in chunks, so an odd
number is put on both sides of these numbers and of the seams of chunks; the judge's quick look must say what its slow
one says, to the last bit, and leave to it whatever is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fleets import FAMILIES, make

import fedopt
from fedopt import EnergyBudget, InputError, checks, judge, verdict
from solvers.blocks import BLOCK
from solvers.threads import CHUNK

SEAM = CHUNK * BLOCK  # of the chunks that are copied
SOME, MANY = checks._SOME, checks._MANY
LARGE = max(MANY, 2 * SEAM)


def fleet(size: int, **changes: Any) -> fedopt.Clients:
    columns: dict[str, Any] = {
        "frequency_min": np.full(size, 1e8),
        "frequency_max": np.full(size, 1e9),
        "static_power": np.zeros(size),
        "samples": np.arange(1.0, size + 1.0),
        "channel_gain": 1e-9,
        "bandwidth": 1e6,
    }
    return fedopt.Clients(**{**columns, **changes})


@pytest.mark.parametrize("size", [1, 2, SOME - 1, SOME, MANY - 1, MANY, MANY + 1, 2 * LARGE + 3])
def test_columns_are_copies_bit_for_bit(size: int) -> None:
    samples = np.arange(1.0, size + 1.0)
    clients = fleet(size, samples=samples, static_power=np.full(size, -0.0))
    assert clients.samples.tobytes() == samples.tobytes()
    assert clients.static_power.tobytes() == np.zeros(size).tobytes()  # -0.0 is stored as 0.0
    assert not np.shares_memory(clients.samples, samples)
    for column in (clients.samples, clients.static_power, clients.bandwidth):
        assert column.shape == (size,)
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1.0


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf, -1.0, 5e-324, -5e-324])
@pytest.mark.parametrize(
    ("size", "client"),
    [(SOME - 1, 0), (SOME, 0), (SOME, SOME - 1), (MANY - 1, 7)]
    + [(LARGE + 3, n) for n in (0, SEAM - 1, SEAM, LARGE + 2)],
)
def test_an_odd_number_is_found_beside_every_seam(bad: float, size: int, client: int) -> None:
    samples = np.arange(1.0, size + 1.0)
    samples[client] = bad
    with pytest.raises(InputError) as caught:
        fleet(samples.size, samples=samples)
    assert (caught.value.field, caught.value.client) == ("Clients.samples", client)
    with pytest.raises(InputError) as caught:
        fedopt.Workload(cycles=np.ones(samples.size), upload_bits=samples)
    assert (caught.value.field, caught.value.client) == ("Workload.upload_bits", client)


@pytest.mark.parametrize("client", [0, SEAM, LARGE + 2])
def test_a_minimum_above_its_maximum_is_found_where_the_ranges_overlap(client: int) -> None:
    """The spans of both columns overlap, so only a look at every client can tell."""
    low, high = np.linspace(1e8, 9e8, LARGE + 3), np.linspace(2e8, 1e9, LARGE + 3)
    assert fleet(low.size, frequency_min=low, frequency_max=high).frequency_min.tobytes() == low.tobytes()
    low[client] = high[client] * 1.01
    with pytest.raises(InputError) as caught:
        fleet(low.size, frequency_min=low, frequency_max=high)
    assert (caught.value.field, caught.value.client) == ("Clients.frequency_min", client)


@pytest.mark.parametrize("odd", [None, 0.0, -0.0])
@pytest.mark.parametrize("size", [SOME - 1, SOME + 30, MANY + 300])
def test_spans_are_the_least_and_greatest_number(size: int, odd: float | None) -> None:
    power = np.random.default_rng(0).lognormal(sigma=50.0, size=size)
    if odd is not None:
        power[size - 7] = odd
    given = fleet(power.size, static_power=power, samples=power[::-1])  # no contiguous array
    for column in (given, fleet(power.size, static_power=power)):
        assert str(column.spans["static_power"]) == str((float(power.min()) + 0.0, float(power.max())))


def test_one_number_for_all_takes_no_memory_and_cannot_be_written() -> None:
    bandwidth = fleet(1_000_000).bandwidth
    assert bandwidth.strides == (0,)
    assert not bandwidth.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        bandwidth.flags.writeable = True


def verdicts(monkeypatch: pytest.MonkeyPatch, *decision: Any) -> tuple[fedopt.Verdict, fedopt.Verdict, bool]:
    """With the quick look, without it, and whether the quick look settled it."""
    settled = []
    look = verdict._quick_look

    def noted(*arguments: Any) -> Any:
        found = look(*arguments)
        settled.append(found is not None)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(verdict, "_quick_look", noted)
        quick = judge(*decision)
        patch.setattr(verdict, "_quick_look", lambda *arguments: None)
        slow = judge(*decision)
    return quick, slow, settled == [True]


def same(quick: fedopt.Verdict, slow: fedopt.Verdict) -> bool:
    """Equal but for the order of a sum and the rounding of expm1."""
    close = np.allclose(quick.energy, slow.energy, rtol=1e-13, atol=0.0, equal_nan=True)
    near = np.allclose(quick.violation, slow.violation, rtol=1e-12, atol=1e-14)
    return close and near and (str(quick.duration), quick.violations) == (str(slow.duration), slow.violations)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 7, 700])
def test_the_judges_quick_look_says_what_the_slow_one_says(
    family: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "_BLOCK", 300)  # the slow look's, as 700 are two blocks of the quick one's
    instance = make(family, 3, size)
    clients, work = instance.clients, instance.work
    found = fedopt.allocate(clients, work, duration=instance.duration)
    f, r = found.frequency, found.rate
    budget = EnergyBudget(float(found.energy.sum()))
    quick, slow, settled = verdicts(monkeypatch, clients, work, instance.duration, f, r, budget)
    assert same(quick, slow)
    assert quick.feasible
    ordinary = bool((work.cycles > 0.0).all() and (work.upload_bits > 0.0).all())
    assert settled is ordinary


ALIKE = {
    "frequency_min": 5e8, "frequency_max": 2e9, "capacitance": 1e-28, "static_power": 0.5, "channel_gain": 4e-13,
    "bandwidth": 1e6, "noise_density": 4e-21, "circuit_power": 0.2, "download_rate": 1e6, "receive_power": 0.3,
    "overhead": 0.25, "power_min": 0.005, "power_max": 0.2,
}  # fmt: skip
TASK = {"cycles": 1e9, "upload_bits": 1e6, "download_bits": 2e6}


@pytest.mark.parametrize("spelled", [*ALIKE, *TASK, "all"])
def test_the_judges_quick_look_takes_a_number_for_all_and_a_column_of_it(
    spelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 s at 1 GHz, 0.1 + 0.5 J; 1 s at 1 Mbit/s, 0.01 + 0.2 J; a download of 2 s, 0.6 J; 0.25 s of overhead."""
    size = 700

    def columns(given: dict[str, float]) -> dict[str, Any]:
        return {name: np.full(size, value) if spelled in (name, "all") else value for name, value in given.items()}

    clients = fedopt.Clients(**columns(ALIKE), samples=np.ones(size))
    work = fedopt.Workload(**columns(TASK))
    for duration, excess in ((4.25, 0.0), (4.25 / (1.0 + 1e-10), 1e-10)):
        quick, slow, settled = verdicts(monkeypatch, clients, work, duration, 1e9, 1e6)
        assert settled
        assert quick.energy == pytest.approx(size * 1.41, rel=1e-14)
        assert slow.energy == pytest.approx(size * 1.41, rel=1e-14)
        assert quick.violation == pytest.approx(excess, abs=1e-15)


@pytest.mark.parametrize("rates", [[1e6, np.inf], [np.inf, 1e6], [np.inf, np.inf, 1e6]])
def test_the_judges_quick_look_sees_whoever_receives(rates: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """As above: 0.81 J each without the download, 0.6 J for the one that waits 2 s for it."""
    clients = fedopt.Clients(**{**ALIKE, "download_rate": rates}, samples=np.ones(len(rates)))
    quick, slow, settled = verdicts(monkeypatch, clients, fedopt.Workload(**TASK), 4.25, 1e9, 1e6)
    assert settled
    assert quick.energy == pytest.approx(len(rates) * 0.81 + 0.6, rel=1e-14)
    assert slow.energy == pytest.approx(quick.energy, rel=1e-14)


@pytest.mark.parametrize("which", ["frequency", "rate", "duration"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -1e9, 1e-300, 1e300, "a little more", "a little less"])
def test_the_judges_quick_look_settles_nothing_that_is_wrong(
    which: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = make("bounds", 1, 9)
    found = fedopt.allocate(instance.clients, instance.work, duration=instance.duration)
    decided: dict[str, Any] = {"frequency": found.frequency.copy(), "rate": found.rate.copy()}
    duration = instance.duration
    factors = {"a little more": 1.0 + 1e-8, "a little less": 1.0 - 1e-8}
    if which == "duration":
        duration = duration * factors[value] if value in factors else value
    else:
        column = decided[which]
        column[4] = column[4] * factors[value] if value in factors else value
    decision = (instance.clients, instance.work, duration, decided["frequency"], decided["rate"])
    quick, slow, settled = verdicts(monkeypatch, *decision)
    assert same(quick, slow)
    assert not (settled and slow.violations and "not finite" not in slow.violations[0])
