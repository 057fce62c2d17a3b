"""Sums over clients in order: added up one by one from the energies and prices of every client under every type."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from fleets import make

import fedopt
from fedopt.candidates import menu_of
from solvers.blocks import BLOCK
from solvers.matching import prefix
from solvers.matching.prefix import Prefixes, prefixes
from solvers.menu import IntArray, Menu
from solvers.rows import FloatArray

TYPES = (
    fedopt.SubModel("L", flops=1e8, upload_bits=3e5, download_bits=1e3),
    fedopt.SubModel("M", flops=3e7, upload_bits=1e5, cover=2),
    fedopt.SubModel("silent", flops=1e7, upload_bits=0.0),
    fedopt.SubModel.idle(),
)


def menu(size: int, types: tuple[fedopt.SubModel, ...], **changes: FloatArray) -> Menu:
    clients = make("typical", 3, size).clients
    clients = clients.replace(download_rate=1e6, receive_power=0.1, **changes)
    return menu_of(fedopt.Problem(clients, types, budget=fedopt.Deadline(1.0)), clients)


def powers(size: int) -> dict[str, FloatArray]:
    """Powers that differ, and one client out of reach."""
    rng = np.random.default_rng(size)
    gain = make("typical", 3, size).clients.channel_gain.copy()
    gain[size // 2] = 0.0
    return {
        "channel_gain": gain,
        "static_power": rng.uniform(0.0, 0.3, size),
        "circuit_power": rng.uniform(0.0, 0.3, size),
        "power_min": rng.uniform(0.0, 0.1, size),
    }


def assert_sums(menu: Menu, order: IntArray, sums: Prefixes) -> None:
    """Of all clients up to each, in order: energies and prices of those who can, how many cannot, least energies."""
    floors = menu.costs(math.inf)
    for j, T in enumerate(sums.durations.tolist()):
        costs, prices = menu.costs_and_prices(T)
        assert np.array_equal(costs < math.inf, menu.least_times <= T)
        for k in range(len(menu.rows)):
            energy = price = floor = 0.0
            misses = 0
            for n, row in enumerate([None, *order.tolist()]):
                if row is not None and costs[k, row] < math.inf:
                    energy, price = energy + costs[k, row], price + prices[k, row]
                elif row is not None:
                    misses += 1
                if row is not None and floors[k, row] < math.inf:
                    floor += floors[k, row]
                assert sums.energy[j, k, n] == pytest.approx(energy, rel=1e-12)
                assert sums.price[j, k, n] == pytest.approx(price, rel=1e-9)
                assert (sums.misses[j, k, n], sums.floor[k, n]) == (misses, pytest.approx(floor, rel=1e-12))


@pytest.mark.parametrize("size", [1, 7, 8, 9])
@pytest.mark.parametrize("different", [False, True])
def test_sums_are_those_of_the_clients_one_by_one(size: int, different: bool) -> None:
    """Types with idle places and without, durations that not all can meet, and others later."""
    order = np.random.default_rng(size).permutation(size)
    for types in (TYPES, TYPES[:2]):
        given = menu(size, types, **(powers(size) if different else {}))
        middle = float(np.median(given.least_times[0]))
        unit = middle if middle < math.inf else 1.0
        sums = prefixes(given, order, unit * np.array([0.5, 1.0, 3.0]))
        assert_sums(given, order, sums)
        other = sums.at(given, order, unit * np.array([2.0]))
        assert other.floor is sums.floor
        assert other.least is sums.least
        assert_sums(given, order, other)


def test_of_more_clients_than_a_block_all_are_summed() -> None:
    size = BLOCK // 2 + 1
    given, order = menu(size, TYPES[1:3]), np.arange(size)[::-1]
    assert_sums(given, order, prefixes(given, order, np.array([1.5 * float(np.median(given.least_times[0]))])))


def test_no_bit_depends_on_what_the_memory_held_before(monkeypatch: pytest.MonkeyPatch) -> None:
    given, order = menu(9, TYPES), np.arange(9)
    durations, found = given.longest * np.array([0.5, 2.0]), list[bytes]()
    for held in (math.nan, 1e-3, 1.0, 1e3):
        empty = partial(np.full, fill_value=held)
        monkeypatch.setattr(prefix, "np", SimpleNamespace(**{**vars(np), "empty": empty}))
        energy, price, _ = prefix.sums_at(given, order, durations)
        found.append(energy.tobytes() + price.tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 31])
def test_any_stretch_is_covered_by_two_of_the_greatest_least_durations(size: int) -> None:
    """Of a power of two clients each, as many powers as there are stretches for."""
    order = np.random.default_rng(size).permutation(size)
    given = menu(size, TYPES[:2])
    sums = prefixes(given, order, np.zeros(0))
    assert len(sums.least) == math.floor(math.log2(size)) + 1
    for level, least in enumerate(sums.least):
        for i in range(size):
            assert least[:, i].tolist() == given.least_times[:, order[i : i + 2**level]].max(axis=1).tolist()
