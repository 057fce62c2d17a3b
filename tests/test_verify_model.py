"""The verifier's own equations, one by one: against 60 digits, all matchings, and what the words of the model say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from fleets import make

import fedopt
from fedopt.verifier import matchings, model


@pytest.mark.parametrize("family", ["typical", "wide", "powers", "bounds"])
def test_prices_of_time_are_those_of_the_model(family: str) -> None:
    """Of each client between its bounds, from T_min on to a hair before more time is worth nothing."""
    oracle = pytest.importorskip("oracle")
    instance, told = make(family, 5, 6), 0
    bare = oracle.Fleet(instance.clients, instance.work)
    usual = float(bare.at(1.5 * bare.t_min)[1]) / 6.0
    clients = instance.clients.replace(static_power=0.1 * usual, circuit_power=0.05 * usual)
    tasks = model.tasks_for(clients, instance.work, clients.bandwidth)
    fleet = oracle.Fleet(clients, instance.work)
    for n, one in enumerate(fleet.clients):
        first, last = float(one.t_min), float(one.t_flat)
        spans = [first + share * (last - first) for share in (0.1, 0.5, 0.9)] if first < last < math.inf else []
        for T in spans + ([last * (1.0 - 1e-8)] if spans else []):
            best = one.least(T)
            if one.f_min < best.f < one.f_max and one.x_min < best.x < one.x_max:
                found = model.best(tasks, T)
                scale = float(best.price) + usual
                assert found.price[n] == pytest.approx(float(best.price), rel=1e-10, abs=1e-12 * scale)
                assert found.computing[n] == pytest.approx(found.sending[n], rel=1e-10, abs=1e-12 * scale)
                assert found.price[n] > 0.0
                told += 1
    assert told


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.999])
def test_a_price_of_time_is_found_between_speeds_that_are_all_but_endless(share: float) -> None:
    """From hours to the least time that a double holds: what little time is left for one part counts in full."""
    oracle = pytest.importorskip("oracle")
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=1e150, capacitance=1e-28, samples=1.0, channel_gain=1e-10, bandwidth=1e6,
        power_max=math.inf,
    )  # fmt: skip
    work = fedopt.Workload(cycles=share * 1e9, upload_bits=(1.0 - share) * 1e6)
    tasks = model.tasks_for(clients, work.sized(1), clients.bandwidth)
    for T in (0.1, 1.0, 10.0):
        best, found = oracle.Fleet(clients, work.sized(1)).least(T)[0], model.best(tasks, T)
        assert found.computing[0] == pytest.approx(float(best.price), rel=1e-12)
        assert found.sending[0] == pytest.approx(float(best.price), rel=1e-12)


def test_f_is_steep_as_its_derivative_says_and_endless_where_no_double_holds_it() -> None:
    mp = pytest.importorskip("mpmath")
    for x in (1e-90, 1e-30, 1e-9, 1e-4, 9e-3, 0.4, 0.6, 5.0, 300.0):
        with mp.workdps(250):
            exact = mp.mpf(x) ** 2 * mp.exp(x) / (1 + (mp.mpf(x) - 1) * mp.exp(x))
        assert float(model.steepness(np.array(x))) == pytest.approx(float(exact), rel=1e-12)
    assert model.marginal(np.array([709.5, 710.0, 1e308, math.inf])).tolist() == [math.inf] * 4
    assert model.marginal(np.array([700.0]))[0] < math.inf


def test_who_has_anything_to_do_spends_but_for_a_download_that_takes_no_power() -> None:
    clients = make("typical", 5, 4).clients
    work = fedopt.Workload(
        cycles=np.array([1e9, 0.0, 0.0, 0.0]),
        upload_bits=np.array([0.0, 1e5, 0.0, 0.0]),
        download_bits=np.array([0.0, 0.0, 1e5, 0.0]),
    )
    for watts in (0.0, 0.5):
        receiving = clients.replace(receive_power=watts, download_rate=1e6)
        tasks = model.tasks_for(receiving, work, receiving.bandwidth)
        assert tasks.spends.tolist() == [True, True, watts > 0.0, False]
        assert tasks.busy.tolist() == [True, True, True, False]


@pytest.mark.parametrize("apart", [1e-3, 1e-8, 1e-12])
def test_the_cheapest_matching_is_that_of_all_however_near_the_others_are(apart: float) -> None:
    rng, counts = np.random.default_rng(7), np.array([2, 1, 2])
    for _ in range(20):
        costs = 1.0 + apart * rng.random((3, 5))
        every = {tuple(each) for each in itertools.permutations([0, 0, 1, 2, 2])}
        least = min(math.fsum(costs[k, n] for n, k in enumerate(each)) for each in every)
        found, prices = matchings.cheapest(costs, matchings.greedy(costs, counts), 100)
        assert math.fsum(costs[found, np.arange(5)]) == pytest.approx(least, rel=1e-13)
        assert matchings.dual_value(costs, counts, prices) == pytest.approx(least, rel=1e-13)


def test_a_partition_that_needs_just_what_is_allowed_is_not_ruled_out() -> None:
    """The longest is looked at first; a bound above what is allowed rules out by whatever little."""
    counts, durations = np.array([[1, 0], [0, 1]]), np.array([1.0, 2.0])

    def bounds(T: float, one: np.ndarray, every: np.ndarray) -> np.ndarray:
        return every @ np.array([5.0, 7.0])

    assert matchings.rule_out(bounds, counts, durations, np.array([5.0, 7.0]), 9) == (1, 7.0)
    assert matchings.rule_out(bounds, counts, durations, np.array([5.0, 6.9999999]), 9) == (0, 5.0)
    assert matchings.rule_out(bounds, counts, durations, np.array([4.9999999, 6.9999999]), 9) is None
    with pytest.raises(matchings.TooManyError):
        matchings.rule_out(bounds, counts, durations, np.array([4.9999999, 6.9999999]), 0)
