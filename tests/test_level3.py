"""Level 3: every method against the 60-digit oracle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from fleets import FAMILIES, ORDINARY, Instance
from mpmath import mp, mpf
from oracle import Best, Fleet
from truths import EXACT_METHODS, truth

import fedopt
from solvers.allocation import METHODS

EPS = 2.0**-52


@dataclass(frozen=True, slots=True)
class Promise:
    """A method's own stated relative errors, on ordinary and on extreme clients."""

    times: float
    energy: float
    price: float
    extreme: float
    fleets: int  # how many of a family an everyday run tries


PROMISES = {
    "kernel": Promise(times=1e-12, energy=1e-12, price=1e-11, extreme=1e-11, fleets=12),
    "reference": Promise(times=1e-12, energy=1e-12, price=1e-11, extreme=1e-11, fleets=6),
    "scipy": Promise(times=1e-12, energy=1e-12, price=1e-11, extreme=1e-9, fleets=4),
    "cvxpy": Promise(times=math.inf, energy=1e-5, price=math.inf, extreme=math.inf, fleets=1),
}


def test_the_conformance_suite_knows_every_method() -> None:
    assert set(PROMISES) == set(METHODS.names)


def check_client(fleet: Fleet, n: int, T: float, best: Best, found: fedopt.Allocation, promise: Promise) -> None:
    """Right to the tolerance, or exactly right for a duration within 4 roundings of T (conditioning near T_min)."""
    client = fleet.clients[n]
    tolerances = {"t": promise.times, "tau": promise.times, "energy": promise.energy, "price": promise.price}
    columns = {"t": found.compute_time, "tau": found.upload_time, "energy": found.energy, "price": found.price}
    for name, column in columns.items():
        if tolerances[name] == math.inf:
            continue
        value, exact = mpf(float(column[n])), getattr(best, name)
        scale = best.price + client.P_s + client.P_c if name == "price" else abs(exact)
        if abs(value - exact) <= tolerances[name] * scale:
            continue
        early = client.least(max(T * (1 - 4 * mpf(EPS)), client.t_min))
        late = client.least(T * (1 + 4 * mpf(EPS)))
        spread = abs(getattr(late, name) - getattr(early, name))
        assert abs(value - exact) <= tolerances[name] * scale + spread, (
            f"client {n}: {name} = {float(column[n])!r}, exact {mp.nstr(exact, 20)}, error "
            f"{mp.nstr(abs(value - exact), 3)} at T/T_min - 1 = {mp.nstr(T / client.t_min - 1, 3)}"
        )


def compare(method: str, family: str, seed: int, size: int = 10) -> None:
    promise = PROMISES[method]
    if family == "extreme":
        promise = Promise(promise.extreme, promise.extreme, 10 * promise.extreme, promise.extreme, promise.fleets)
    instance, fleet, answers = truth(family, seed, size)
    for T, bests in answers:
        found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
        assert len(found) == size
        for n, best in enumerate(bests):
            assert best.feasible
            assert found.feasible[n]
            assert all(np.isfinite(getattr(found, name)[n]) for name in found.__slots__), f"client {n} at T = {T}"
            check_client(fleet, n, T, best, found, promise)


@pytest.mark.parametrize("family", ORDINARY)
@pytest.mark.parametrize("method", EXACT_METHODS)
def test_ordinary_clients_match_the_oracle(method: str, family: str) -> None:
    for seed in range(PROMISES[method].fleets):
        compare(method, family, seed)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_extreme_clients_match_the_oracle(method: str) -> None:
    for seed in range(2 * PROMISES[method].fleets):
        compare(method, "extreme", seed)


@pytest.mark.parametrize("family", ["typical", "wide", "powers", "mixed"])
def test_the_cone_program_matches_the_oracle_or_says_that_it_failed(family: str) -> None:
    """Clarabel's answer is right to the stated tolerance or it is refused; for ordinary phones it must be right."""
    pytest.importorskip("cvxpy")
    from solvers.rows import BackendError

    for seed in range(2):
        instance, fleet, answers = truth(family, seed, 10)
        T, bests = answers[0]
        try:
            found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation="cvxpy")
        except BackendError:
            assert family != "typical"
            continue
        for n, best in enumerate(bests):
            assert found.feasible[n]
            check_client(fleet, n, T, best, found, PROMISES["cvxpy"])


@pytest.mark.nightly("R1", 830 * 10 * 3)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_clients_match_the_oracle(family: str) -> None:
    """R1: 200,000 clients (8 families x 830 fleets x 10 clients x 3 durations)."""
    for seed in range(100, 930):
        compare("kernel", family, seed)
        truth.cache_clear()


def interior(c: float, length: float) -> tuple[Instance, Fleet]:
    """One client with T' = 1, gamma = 1 and the two numbers that describe an interior client: c and l, here ``length``.

    c = 2 kappa gamma W^3 / T'^3 with W = 1, l = a/T' = s ln 2 / B with B = 1.
    """
    bits = np.array([length / math.log(2.0)])
    work = fedopt.Workload(cycles=[1.0], upload_bits=bits, download_bits=[0.0])

    def clients(f_max: float) -> fedopt.Clients:
        return fedopt.Clients(
            frequency_min=0.0,
            frequency_max=f_max,
            capacitance=c / 2.0,
            samples=1.0,
            channel_gain=[1.0],
            bandwidth=1.0,
            noise_density=1.0,
            power_max=math.inf,
        )

    fastest = float(Fleet(clients(1e240), work).clients[0].least(1.0).f)
    instance = Instance(clients(4.0 * fastest), work, 1.0)
    return instance, Fleet(instance.clients, instance.work)


def check_log_odds(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        c, length = 10.0 ** rng.uniform(-200, 200), 10.0 ** rng.uniform(-20, 2)
        instance, fleet = interior(c, length)
        best = fleet.clients[0].least(1.0)
        found = fedopt.allocate(instance.clients, instance.work, duration=1.0)
        odds = mp.log(mpf(float(found.compute_time[0])) / mpf(float(found.upload_time[0])))
        error = abs(odds - mp.log(best.t / best.tau))
        assert error <= 4 * EPS * (1 + abs(math.log(c)) + abs(math.log(length))), f"c = {c!r}, l = {length!r}"


def test_log_odds_of_both_times_keep_every_digit() -> None:
    """R2: the error of ln(t/tau) is at most 4 eps (1 + |ln c| + |ln l|), c over 400 decades."""
    check_log_odds(150, 1)


@pytest.mark.parametrize("c", [1e150, 1e153, 6e153, 1e154, 3e154, 1e155])
def test_squares_that_leave_the_range_of_a_double_are_noticed(c: float) -> None:
    """c^2 overflows between 6e153 and 4e154 where nothing else does: Halley's step was 0 there, at t = tau."""
    instance, fleet = interior(c, 2e-16)
    found = fedopt.allocate(instance.clients, instance.work, duration=1.0)
    assert found.energy[0] == pytest.approx(float(fleet.clients[0].least(1.0).energy), rel=1e-12)


@pytest.mark.nightly("R2", 3000)
def test_log_odds_of_both_times_keep_every_digit_often() -> None:
    check_log_odds(3000, 2)
