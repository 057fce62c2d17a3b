"""Shared bandwidth where the least transmit power binds, against a conic program solved by Clarabel.

Section 7 of the model: clients may finish early, so an upload costs the greater of what any power may do in a time tau'
up to tau, (N0/h) psi + P_c tau', psi = y (e^(c/y) - 1), y = tau' b, c = s ln 2, and of what none below p_min can,
(p_min + P_c) s/r(b, p_min), where more power than that only costs more: gamma P_c <= F(ln(1 + gamma p_min)). The second
is a cone as it stands. In the first psi is convex and falling in z <= sqrt(tau' b); tangents stand for it, more of them
at every answer until it stands still.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make

import fedopt
from fedopt import Deadline, EnergyBudget, SharedBandwidth, Status

_SETTINGS = {"tol_gap_abs": 1e-8, "tol_gap_rel": 1e-8, "tol_feas": 1e-8, "max_step_fraction": 0.9}


def conic(clients: fedopt.Clients, work: fedopt.Workload, T: float, hertz: float, joules: float) -> float:
    """The least energy [J] within T [s]. Units inside: T, a fair share of the band, ``joules``."""
    cvxpy = pytest.importorskip("cvxpy")
    c, N, fair = clients, len(clients), hertz / len(clients)
    a = work.upload_bits * math.log(2.0) / (T * fair)
    unit = c.noise_density / c.channel_gain * T * fair / joules
    watts, reach = T / joules, c.channel_gain / c.noise_density / fair
    t, tau, b, z, psi, upload = (cvxpy.Variable(N, pos=True) for _ in range(6))
    computing = c.capacitance * work.cycles**3 / T**2 / joules
    energy: Any = cvxpy.sum(cvxpy.multiply(computing, cvxpy.power(t, -2)) + upload)
    fixed = [cvxpy.sum(b) <= N, t + tau <= 1.0, t >= work.cycles / c.frequency_max / T]
    fixed += [t <= work.cycles / c.frequency_min / T, upload >= psi + cvxpy.multiply(c.circuit_power * watts, tau)]
    fixed += [psi <= cvxpy.multiply(c.power_max * watts, tau)]
    for n in range(N):
        fixed.append(cvxpy.geo_mean(cvxpy.hstack([tau[n], b[n]])) >= z[n])
        if c.power_min[n] == 0.0:
            continue
        nats = -cvxpy.rel_entr(b[n], b[n] + float(c.power_min[n] * reach[n])) / a[n]  # of an upload, in a time of T
        fixed.append(upload[n] >= (c.power_min[n] + c.circuit_power[n]) * watts * cvxpy.inv_pos(nats))

    def tangent(at: np.ndarray) -> Any:
        u = a / at**2
        value, slope = at**2 * np.expm1(u), 2.0 * at * (np.expm1(u) - u * np.exp(u))
        return psi >= cvxpy.multiply(unit, value + cvxpy.multiply(slope, z - at))

    tangents, last = [tangent(np.sqrt(a / u)) for u in np.geomspace(0.1, 6.0, 12)], 0.0
    for _ in range(12):
        problem = cvxpy.Problem(cvxpy.Minimize(energy), fixed + tangents)
        problem.solve(solver=cvxpy.CLARABEL, **_SETTINGS)
        assert problem.status == "optimal"
        if problem.value <= last * (1.0 + 1e-9):
            break
        last = problem.value
        tangents.append(tangent(np.maximum(z.value, np.sqrt(a / 8.0))))
    return float(problem.value) * joules


def check(clients: fedopt.Clients, work: fedopt.Workload) -> int:
    """Three deadlines against the program; how many clients send with their least power."""
    access, bound = SharedBandwidth(2e5 * len(clients)), 0
    t_min = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=access).duration
    for factor in (1.05, 1.5, 4.0):
        found = fedopt.schedule(clients, work, Deadline(factor * t_min), access=access)
        assert found.status is Status.OPTIMAL
        assert found.allocation is not None
        assert found.sharing is not None
        gamma = clients.channel_gain / (clients.noise_density * found.sharing.bandwidth)
        x = np.log1p(gamma * clients.power_min)
        assert ((clients.power_min == 0.0) | (gamma * clients.circuit_power <= 1.0 + (x - 1.0) * np.exp(x))).all()
        energy = conic(clients, work, found.duration, access.hertz, found.energy)
        assert found.energy == pytest.approx(energy, rel=1e-7)
        bound += int((found.allocation.power <= clients.power_min * (1.0 + 1e-9)).sum())
    return bound


@pytest.mark.parametrize(("seed", "size"), [(5, 1), (5, 2), (5, 3)])
def test_least_power_against_a_conic_program(seed: int, size: int) -> None:
    """Weak channels and large updates, so that sending takes a good part of time and energy."""
    instance = make("typical", seed, size)
    c, bits = instance.clients, 100.0 * instance.work.upload_bits
    weak = {"channel_gain": 1e-3 * c.channel_gain, "capacitance": 0.1 * c.capacitance}
    clients = c.replace(power_min=np.linspace(0.12, 0.02, size), **weak)
    assert check(clients, fedopt.Workload(cycles=instance.work.cycles, upload_bits=bits)) > 0


@pytest.mark.parametrize(
    ("power_min", "circuit_power"),
    [
        (0.0, [0.05, 0.0, 0.2, 0.01]),
        ([0.0, 0.09, 0.0, 0.08], [0.05, 0.0, 0.01, 1e-3]),
    ],
    ids=["circuit power", "both"],
)
def test_four_clients_with_circuit_power_against_a_conic_program(power_min: Any, circuit_power: Any) -> None:
    """Channels within a factor of ten: Clarabel's digits do not suffice for 1e-7 where they span four decades."""
    instance = make("typical", 5, 4)
    clients = instance.clients.replace(
        channel_gain=np.array([3e-15, 3e-14, 6e-15, 1e-14]), capacitance=0.1 * instance.clients.capacitance,
        power_min=power_min, circuit_power=circuit_power,
    )  # fmt: skip
    work = fedopt.Workload(cycles=instance.work.cycles, upload_bits=100.0 * instance.work.upload_bits)
    bound = check(clients, work)
    assert bound > 0 or not np.any(power_min)
