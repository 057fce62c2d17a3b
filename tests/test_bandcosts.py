"""What rows that share bandwidth cost, against level 3 on channels of their own and the closed form at full speed."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from fleets import make
from scipy.optimize import brentq

import fedopt
from fedopt.candidates import menu_of
from solvers.allocation.kernel import allocate
from solvers.matching.bandcosts import BandCosts
from solvers.matching.transport import Impossible, Transport, transport
from solvers.menu import Menu
from solvers.rows import FloatArray

HERTZ = 2e6
TYPES = (
    fedopt.SubModel("whole", flops=3e6, upload_bits=2e6, download_bits=1e4),
    fedopt.SubModel("silent", flops=5e6, upload_bits=0.0, download_bits=1e4),
    fedopt.SubModel("relay", flops=0.0, upload_bits=2e7, download_bits=1e4),
    fedopt.SubModel("deaf", flops=0.0, upload_bits=0.0, download_bits=2e5),
    fedopt.SubModel.idle(),
)
SENDS = np.array([True, False, True, False, False])[:, None]
ONES = np.ones((len(TYPES), 4))
PRICES = (0.1, 30.0)  # [J/channel]


def some_clients(reach: float = 1.0) -> fedopt.Clients:
    """Computing, sending and receiving take power by themselves; every other one has a downlink and a delay."""
    odd, clients = np.arange(4) % 2, make("typical", 0, 4).clients
    return clients.replace(
        channel_gain=clients.channel_gain * np.array([1.0, reach, 1.0, 1.0]),
        static_power=0.05 * odd,
        circuit_power=np.linspace(0.02, 0.2, 4),
        download_rate=np.where(odd, 1e6, math.inf),
        receive_power=0.3,
        overhead=0.2 * odd,
        bandwidth=HERTZ,
    )


def some_menu(clients: fedopt.Clients) -> Menu:
    return menu_of(fedopt.Problem(clients, TYPES, budget=fedopt.Deadline(1.0)), clients)


def energies(menu: Menu, T: float, shares: FloatArray) -> FloatArray:
    """Of everybody under every type by level 3, on a share of the channel of one's own; (K, N)."""
    rows, b = menu.joined, np.where(SENDS, shares, 1.0).ravel()
    on_shares = dataclasses.replace(rows, bandwidth=b * HERTZ, snr=rows.snr / b)
    return allocate(on_shares, T).energy.reshape(shares.shape)


def durations(menu: Menu) -> list[float]:
    """From where a few can be done to where all can wait."""
    least = np.sort(menu.least_times[np.isfinite(menu.least_times)])
    return [float(factor * least[at]) for factor, at in ((1.01, 8), (1.05, 12), (1.05, -1), (4.0, -1))]


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("mu", PRICES)
@pytest.mark.parametrize("reach", [1.0, 0.0])
def test_costs_are_the_least_of_energy_and_bandwidth(which: int, mu: float, reach: float) -> None:
    """By level 3 at the shares taken, and no less at any other: both are convex in it. One may be out of reach."""
    menu = some_menu(some_clients(reach))
    T = durations(menu)[which]
    found, can = BandCosts(menu).at(T, mu), np.isfinite(energies(menu, T, ONES))
    assert can.all() == (which > 1 and reach > 0.0)
    assert np.isfinite(found.costs).tolist() == can.tolist()
    assert not found.falls[~can].any()
    assert not found.taken[np.broadcast_to(~SENDS, can.shape)].any()
    shares = np.where(can & SENDS, found.taken, 1.0)
    for factor in (1.0, 0.5, 0.999, 1.001, 2.0):
        others = (energies(menu, T, factor * shares) + np.where(SENDS, mu * factor * shares, 0.0))[can]
        assert np.all(others >= found.costs[can] * (1.0 - 1e-12))
        assert factor != 1.0 or others == pytest.approx(found.costs[can], rel=1e-9)


@pytest.mark.parametrize("mu", PRICES)
def test_what_more_time_saves_is_the_slope_of_the_costs(mu: float) -> None:
    menu, worth = some_menu(some_clients()), 0
    costs = BandCosts(menu)
    for T in durations(menu):
        h = 1e-5 * T
        before, found, after = (costs.at(t, mu) for t in (T - h, T, T + h))
        can = np.isfinite(before.costs)
        slope = (before.costs[can] - after.costs[can]) / (2.0 * h)
        assert found.falls[can] == pytest.approx(slope, rel=1e-4, abs=1e-6)
        worth += int((slope > 1e-3).sum())
    assert worth > 5


def test_what_can_be_done_by_a_duration_is_what_level_3_can_do() -> None:
    """At everybody's own least duration of computing or sending, and a millionth before."""
    menu = some_menu(some_clients())
    costs = BandCosts(menu)
    for least in menu.least_times[:3].ravel().tolist():
        for T in (least, least * (1.0 - 1e-6)):
            can = np.isfinite(energies(menu, T, ONES))
            assert np.isfinite(costs.at(T, 1.0).costs).tolist() == can.tolist()


def test_a_pass_is_a_look_at_all_rows_of_one_type_and_what_is_known_takes_none() -> None:
    menu = some_menu(some_clients())
    costs = BandCosts(menu)
    assert costs.passes == 0
    T = menu.longest
    one = costs.at(T, 1.0)
    assert costs.passes == len(TYPES)
    assert costs.at(T, 1.0) is one
    assert costs.passes == len(TYPES)
    assert costs.at(T, 2.0) is not one
    assert costs.at(2.0 * T, 1.0) is not one
    assert costs.passes == 3 * len(TYPES)
    costs.in_time(T, lambda least: transport(least, np.array([1, 1, 1, 1, 0])))
    assert costs.passes == 4 * len(TYPES)


def test_two_million_numbers_are_kept_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, asked = BandCosts(some_menu(some_clients().take(np.arange(200) % 4))), 750
    monkeypatch.setattr(costs._uplinks, "look", lambda T, mu, tolerance, out: out.fill(1.0))
    for i in range(asked):
        costs.at(1.0 + i, 1.0)
    first = next(i for i in range(asked) if (1.0 + i, 1.0) in costs._kept)
    assert list(costs._kept) == [(1.0 + i, 1.0) for i in range(first, asked)]
    numbers = 3 * costs.ready.size  # of each
    assert (asked - first - 1) * numbers <= 2**21 < (asked - first) * numbers


def least_shares(clients: fedopt.Clients, T: float) -> FloatArray:
    """The shares of the channel that everybody needs at full speed and power under every type, inf for more than one:
    b ln(1 + G/b) is what is to be sent, over the time that is left (Shi et al.)."""
    gain = clients.channel_gain * clients.power_max / (clients.noise_density * HERTZ)
    found = np.zeros(ONES.shape)
    for k, n in np.ndindex(ONES.shape):
        work = clients.workload(TYPES, np.int64(k)).sized(len(clients))
        before = (
            0.0
            if TYPES[k].is_idle
            else clients.overhead[n] + (TYPES[k].download_bits or 0.0) / clients.download_rate[n]
        )
        left = T - float(before + work.cycles[n] / clients.frequency_max[n])
        need, G = TYPES[k].upload_bits * math.log(2.0) / HERTZ, float(gain[n])

        def missing(b: float, left: float = left, need: float = need, G: float = G) -> float:
            return float(need / left - b * math.log1p(G / b))

        if left < 0.0 or (need > 0.0 and missing(1.0) > 0.0):
            found[k, n] = math.inf
        elif need > 0.0:
            found[k, n] = brentq(missing, 1e-9, 1.0, xtol=1e-15)
    return found


@pytest.mark.parametrize("which", range(4))
def test_who_is_in_time_is_matched_by_the_least_shares(which: int) -> None:
    clients, asked = some_clients(), list[FloatArray]()
    menu = some_menu(clients)
    T = durations(menu)[which]

    def match(least: FloatArray) -> Transport | Impossible:
        asked.append(least)
        return transport(least, np.array([2, 0, 1, 0, 1]))

    found = BandCosts(menu).in_time(T, match)
    shares = least_shares(clients, T)
    assert asked[0] == pytest.approx(shares, rel=1e-9)
    least = min(shares[matching, range(4)].sum() for matching in itertools.permutations((0, 0, 2, 4)))
    assert (found is None) == (least > 1.0) == (which < 2)
    assert found is None or shares[found, range(4)].sum() == pytest.approx(least, rel=1e-9)


def test_a_duration_is_met_on_the_dot() -> None:
    """By those who only compute: of the others rounding moves the least share."""
    menu = some_menu(some_clients())
    costs = BandCosts(menu)
    for n in range(4):
        seen = list[float]()

        def match(least: FloatArray, n: int = n, seen: list[float] = seen) -> Impossible:
            seen.append(float(least[1, n]))
            return Impossible(rows=0, places=0, within=np.zeros(len(TYPES), dtype=np.bool_))

        ready = float(costs.ready[1, n])
        assert math.isfinite(costs.at(ready, 1.0).costs[1, n])
        assert costs.in_time(ready, match) is costs.in_time(np.nextafter(ready, 0.0), match) is None
        assert seen == [0.0, math.inf]


@pytest.mark.parametrize(("least", "enough"), [(0.9, True), (1.0 + 1e-9, True), (1.0 + 1.1e-9, False), (3.5, False)])
def test_there_is_one_channel_but_for_rounding(least: float, enough: bool) -> None:
    menu, matching = some_menu(some_clients()), np.arange(4)
    found = Transport(assignment=matching, cost=9.0, prices=np.zeros(len(TYPES)), dual=least, moved=0)
    answer = BandCosts(menu).in_time(menu.longest, lambda costs: found)
    assert answer is (matching if enough else None)
