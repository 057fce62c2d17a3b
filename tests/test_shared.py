"""Shared bandwidth: a second truth (a geometric program by cvxpy), the closed form at full speed, proofs and edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import Instance, make, mnist_types
from scipy.optimize import brentq

import fedopt
from fedopt import Deadline, EnergyBudget, InputError, PowerBudget, SharedBandwidth, Status, TimePrice
from fedopt.devices import random_fleet

FAMILIES = ("typical", "wide", "powers", "bounds", "mixed", "tight", "loose")
TERMS = 40  # of (e^u - 1)/u: below 1e-12 of it for u up to 8


def total(instance: Instance) -> float:
    return float(instance.clients.bandwidth.mean()) * len(instance.clients)


def shared(instance: Instance, budget: object) -> fedopt.Schedule:
    return fedopt.schedule(instance.clients, instance.work, budget, access=SharedBandwidth(total(instance)))


def least(instance: Instance) -> float:
    """T_min: any energy will do."""
    return shared(instance, EnergyBudget(math.inf)).duration


def geometric_program(instance: Instance, goal: str, value: float, unit: float, joules: float) -> tuple[float, float]:
    """The round as a geometric program: (duration [s], energy [J]). goal: deadline, energy, power or price.

    With u = s ln 2/(tau b) an upload costs (N0/h) s ln 2 (e^u - 1)/u, whose series has positive terms only; everything
    else is a posynomial as it stands, so logarithms make the joint problem convex. Times are in units of ``unit``.
    """
    cvxpy = pytest.importorskip("cvxpy")
    c, w, N = instance.clients, instance.work, len(instance.clients)
    nats, reach, share = w.upload_bits * math.log(2.0), c.channel_gain / c.noise_density, total(instance) / N
    t, tau, b, u = (cvxpy.Variable(N, pos=True) for _ in range(4))
    T = cvxpy.Variable(pos=True)
    energy: Any = 0.0
    constraints = [cvxpy.sum(b) <= N]
    for n in range(N):
        series = 1.0 + sum(u[n] ** k / math.factorial(k + 1) for k in range(1, TERMS))
        energy += nats[n] / reach[n] / joules * series
        energy += c.capacitance[n] * w.cycles[n] ** 3 / unit**2 / joules * t[n] ** -2
        energy += sum(
            watts * unit / joules * time
            for watts, time in ((c.static_power[n], t[n]), (c.circuit_power[n], tau[n]))
            if watts > 0.0
        )
        constraints += [
            nats[n] / (unit * share) * tau[n] ** -1 * b[n] ** -1 <= u[n],
            share / reach[n] / c.power_max[n] * b[n] * u[n] * series <= 1.0,
            t[n] >= w.cycles[n] / c.frequency_max[n] / unit,
            t[n] + tau[n] + (c.overhead[n] / unit if c.overhead[n] > 0.0 else 0.0) <= T,
        ]
        if c.frequency_min[n] > 0.0:
            constraints.append(t[n] <= w.cycles[n] / c.frequency_min[n] / unit)
    extra, objective = {
        "deadline": ([value / unit >= T], energy),
        "energy": ([energy <= value / joules], T),
        "power": ([energy * T**-1 <= value * unit / joules], T),
        "price": ([], energy + value * unit / joules * T),
    }[goal]
    problem = cvxpy.Problem(cvxpy.Minimize(objective), constraints + extra)
    tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    problem.solve(gp=True, solver=cvxpy.CLARABEL, **tight)
    assert problem.status == "optimal"
    return float(T.value) * unit, float(energy.value) * joules


@pytest.mark.parametrize(("seed", "size"), [(0, 3), (1, 4)])
def test_the_same_as_a_geometric_program(seed: int, size: int) -> None:
    instance = make("typical", seed, size)
    clients = instance.clients.replace(circuit_power=np.linspace(0.0, 0.02, size), static_power=0.05, overhead=0.5)
    instance = Instance(clients, instance.work, instance.duration)
    T = 1.5 * least(instance)
    at_T = shared(instance, Deadline(T))
    assert at_T.sharing is not None
    E, price = at_T.energy, at_T.sharing.time_price
    _, energy = geometric_program(instance, "deadline", T, T, E)
    assert energy == pytest.approx(E, rel=1e-8)
    budgets = {"energy": EnergyBudget(1.1 * E), "power": PowerBudget(1.1 * E / T)}
    for goal, budget in budgets.items():
        found = shared(instance, budget)
        value = 1.1 * E if goal == "energy" else 1.1 * E / T
        duration, _ = geometric_program(instance, goal, value, T, E)
        assert found.duration == pytest.approx(duration, rel=1e-8)
    found = shared(instance, TimePrice(2.0 * price))
    duration, energy = geometric_program(instance, "price", 2.0 * price, T, E)
    expected = energy + 2.0 * price * duration
    assert found.energy + 2.0 * price * found.duration == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_closed_form_where_energy_does_not_bind(seed: int) -> None:
    """All finish together at full speed and power, and use up the bandwidth.

    Shi et al. (IEEE Trans. Wireless Commun. 2021): b_n solves s_n = (T - t_n) b ln(1 + p_max h/(N0 b))/ln 2.
    """
    instance = make("typical", seed, 10)
    c, w = instance.clients, instance.work
    found = shared(instance, PowerBudget(math.inf))
    assert found.status is Status.SLACK
    assert found.allocation is not None
    assert found.sharing is not None
    np.testing.assert_allclose(found.allocation.frequency, c.frequency_max, rtol=1e-12)
    np.testing.assert_allclose(found.allocation.power, c.power_max, rtol=1e-9)
    ends = found.allocation.compute_time + found.allocation.upload_time
    np.testing.assert_allclose(ends, found.duration, rtol=1e-12)
    assert found.sharing.bandwidth.sum() == pytest.approx(total(instance), rel=1e-12)
    G = c.power_max * c.channel_gain / c.noise_density
    for n in range(10):
        need = w.upload_bits[n] * math.log(2.0) / (found.duration - w.cycles[n] / c.frequency_max[n])
        b = brentq(lambda b, n=n, need=need: b * math.log1p(G[n] / b) - need, 1e-3, total(instance), xtol=1e-9)
        assert found.sharing.bandwidth[n] == pytest.approx(b, rel=1e-6)  # T - t_n is a small difference


def lower_bound(instance: Instance, duration: float, mu: float, hertz: float) -> float:
    """Weak duality by another way: every client's least E(b) + mu b over b, by ternary search, E(b) by level 3."""
    sends = instance.work.upload_bits > 0.0
    low, high = np.full(len(sends), math.log(hertz) - 80.0), np.full(len(sends), math.log(hertz) + 1.0)

    def cost(log_b: np.ndarray) -> np.ndarray:
        b = np.where(sends, np.exp(log_b), hertz)
        found = fedopt.allocate(instance.clients.replace(bandwidth=b), instance.work, duration=duration)
        return found.energy + np.where(sends, mu * b, 0.0)

    for _ in range(160):
        third = (high - low) / 3.0
        first, second = cost(low + third), cost(high - third)
        left = (first < second) | (np.isfinite(first) & np.isinf(second))
        low, high = np.where(left, low, low + third), np.where(left, high - third, high)
    return float(cost(0.5 * (low + high)).sum()) - mu * hertz


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_optimal_by_another_proof(family: str, scale: float) -> None:
    """Level 3, a kernel of its own, minimised over every client's bandwidth at the price reported."""
    instance = make(family, 3, 6)
    access = SharedBandwidth(scale * total(instance))

    def solve(budget: Any) -> fedopt.Schedule:
        return fedopt.schedule(instance.clients, instance.work, budget, access=access)

    t_min = solve(EnergyBudget(math.inf)).duration
    for factor in (1.01, 1.7, 20.0):
        found = solve(Deadline(t_min * factor))
        assert found.sharing is not None
        bound = lower_bound(instance, found.duration, found.sharing.bandwidth_price, access.hertz)
        assert bound == pytest.approx(found.energy, rel=2e-9)


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed", "tight", "wide"])
@pytest.mark.parametrize("seed", range(3))
def test_two_clients_by_one_number(family: str, seed: int) -> None:
    """The share of the first client is the only unknown at a duration; every budget against that curve."""
    instance = make(family, seed, 2)
    B, t_min = total(instance), least(instance)

    def energy(duration: float) -> float:
        def of(share: float) -> float:
            b = B * np.array([share, 1.0 - share])
            return float(
                fedopt.allocate(instance.clients.replace(bandwidth=b), instance.work, duration=duration).energy.sum()
            )

        ends = np.geomspace(1e-9, 0.5, 200)
        grid = np.concatenate([ends, 1.0 - ends[::-1]])
        values = [of(share) for share in grid]
        at = int(np.argmin(values))
        low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
        for _ in range(100):  # ternary search; inf on the left is where the first client has too little
            first, second = low + (high - low) / 3.0, high - (high - low) / 3.0
            values += [of(first), of(second)]
            left = values[-2] < values[-1] if math.isfinite(min(values[-2:])) else second > grid[at]
            low, high = (low, second) if left else (first, high)
        return min(values)

    T = 1.5 * t_min
    E = energy(T)
    at_T = shared(instance, Deadline(T))
    assert at_T.energy == pytest.approx(E, rel=1e-8)
    for budget in (EnergyBudget(1.05 * E), PowerBudget(1.05 * E / T)):
        found = shared(instance, budget)
        limit = 1.05 * E if isinstance(budget, EnergyBudget) else 1.05 * E / T * found.duration
        if found.status is Status.OPTIMAL:
            assert energy(found.duration) == pytest.approx(limit, rel=1e-8)
            assert energy(found.duration * (1 - 1e-4)) > limit
        else:
            assert found.status is Status.SLACK
            assert found.duration == t_min


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_optimal_by_its_own_proof(family: str, seed: int) -> None:
    """The judge's energy equals the dual bound at the reported prices, and the KKT conditions hold."""
    instance = make(family, seed, 8)
    t_min = least(instance)
    for factor in (1.0 + 1e-4, 1.3, 3.0, 50.0):
        found = shared(instance, Deadline(t_min * factor))
        assert found.status is Status.OPTIMAL
        assert found.sharing is not None
        assert found.sharing.residual <= 1e-9
        assert abs(found.sharing.gap) <= 1e-9
        b = found.sharing.bandwidth
        assert b.sum() == pytest.approx(total(instance), rel=1e-12)
        assert np.all((b > 0.0) == (instance.work.upload_bits > 0.0))


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed"])
def test_every_budget_leads_to_the_same_point(family: str) -> None:
    instance = make(family, 2, 6)
    T = 1.4 * least(instance)
    at_T = shared(instance, Deadline(T))
    assert at_T.sharing is not None
    E, price = at_T.energy, at_T.sharing.time_price
    for budget in (EnergyBudget(E), PowerBudget(E / T), TimePrice(price)):
        found = shared(instance, budget)
        assert found.status is Status.OPTIMAL
        assert found.duration == pytest.approx(T, rel=1e-6)  # E(T) is flat here and there
        assert found.energy == pytest.approx(E, rel=1e-9)
        assert found.bracket[0] <= found.duration <= found.bracket[1]
        assert found.bracket == pytest.approx((T, T), rel=1e-6)


def test_prices_are_slopes() -> None:
    """Time and bandwidth prices against central differences of the judged energy."""
    instance = make("typical", 4, 6)
    T, B = 1.4 * least(instance), total(instance)

    def energy(duration: float, hertz: float) -> float:
        found = fedopt.schedule(instance.clients, instance.work, Deadline(duration), access=SharedBandwidth(hertz))
        return found.energy

    found = shared(instance, Deadline(T))
    assert found.sharing is not None
    h = 1e-5
    by_time = (energy(T * (1 - h), B) - energy(T * (1 + h), B)) / (2 * h * T)
    by_bandwidth = (energy(T, B * (1 - h)) - energy(T, B * (1 + h))) / (2 * h * B)
    assert found.sharing.time_price == pytest.approx(by_time, rel=1e-6)
    assert found.sharing.bandwidth_price == pytest.approx(by_bandwidth, rel=1e-6)


def test_no_random_split_is_better_and_an_equal_one_is_worse() -> None:
    instance = make("typical", 6, 5)
    T, B = 1.5 * least(instance), total(instance)
    best = shared(instance, Deadline(T)).energy
    rng = np.random.default_rng(0)
    splits = [np.full(5, 0.2), *rng.dirichlet(np.ones(5), 200)]
    energies = [fedopt.allocate(instance.clients.replace(bandwidth=B * s), instance.work, duration=T) for s in splits]
    found = np.array([a.energy.sum() for a in energies])
    assert np.isfinite(found).sum() > 20
    assert np.all(found >= best * (1 - 1e-12))
    assert found[0] > best * 1.001


def test_permutation_changes_nothing_and_more_bandwidth_never_hurts() -> None:
    instance = make("mixed", 3, 12)
    T = 1.3 * least(instance)
    order = np.random.default_rng(2).permutation(12)
    w = instance.work
    turned = fedopt.Workload(
        cycles=w.cycles[order], upload_bits=w.upload_bits[order], download_bits=w.download_bits[order]
    )
    access = SharedBandwidth(total(instance))
    found = shared(instance, Deadline(T))
    again = fedopt.schedule(instance.clients.take(order), turned, Deadline(T), access=access)
    assert again.energy == pytest.approx(found.energy, rel=1e-11)
    more = fedopt.schedule(instance.clients, w, Deadline(T), access=SharedBandwidth(1.5 * total(instance)))
    assert more.energy <= found.energy


def test_one_client_has_the_whole_channel() -> None:
    for seed in range(4):
        instance = make("powers", seed, 5).one(seed)
        alone = fedopt.schedule(instance.clients, instance.work, Deadline(instance.duration * 1.2))
        found = shared(instance, Deadline(instance.duration * 1.2))
        assert found.energy == pytest.approx(alone.energy, rel=1e-12)


def test_nobody_sends() -> None:
    instance = make("typical", 0, 4)
    work = fedopt.Workload(cycles=instance.work.cycles, upload_bits=0.0)
    alone = fedopt.schedule(instance.clients, work, PowerBudget(1.0))
    found = fedopt.schedule(instance.clients, work, PowerBudget(1.0), access=SharedBandwidth(1e6))
    assert found.duration == pytest.approx(alone.duration, rel=1e-9)
    assert found.sharing is not None
    assert np.all(found.sharing.bandwidth == 0.0)
    assert found.sharing.bandwidth_price == found.sharing.gap == found.sharing.residual == 0.0
    idle = fedopt.Workload(cycles=0.0, upload_bits=0.0)
    assert fedopt.schedule(instance.clients, idle, PowerBudget(1.0), access=SharedBandwidth(1e6)).duration == 0.0


def test_infeasible_says_who_and_by_how_much() -> None:
    instance = make("typical", 0, 5)
    t_min = least(instance)
    late = shared(instance, Deadline(0.9 * t_min))
    assert late.status is Status.INFEASIBLE
    assert late.allocation is None
    assert late.shortfall == pytest.approx(0.1 * t_min)
    poor = shared(instance, EnergyBudget(1e-3))
    assert poor.status is Status.INFEASIBLE
    assert "misses the least possible" in poor.reason


@pytest.mark.parametrize("seed", range(3))
def test_power_without_a_limit(seed: int) -> None:
    """No power cap: as a cap that nobody reaches, and never dearer than a cap that somebody does."""
    instance = make("powers", seed, 5)
    free = Instance(instance.clients.replace(power_max=math.inf), instance.work, instance.duration)
    high = Instance(instance.clients.replace(power_max=1e9), instance.work, instance.duration)
    B = SharedBandwidth(total(instance))
    for factor in (1.3, 3.0):
        unlimited, capped, tight = (
            fedopt.schedule(one.clients, one.work, Deadline(factor * least(instance)), access=B)
            for one in (free, high, instance)
        )
        assert unlimited.status is Status.OPTIMAL
        assert unlimited.energy == pytest.approx(capped.energy, rel=1e-12)
        assert unlimited.energy <= tight.energy * (1 + 1e-12)


def test_who_has_power_without_a_limit_needs_no_bandwidth_at_the_least_duration() -> None:
    """That is the others' own: a deadline just beyond it is met, and one just before it is not."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=[1e9, 1.2e9, 1.5e9], samples=100, channel_gain=[1e-11, 2e-11, 1e-11],
        bandwidth=1e6, power_max=[0.2, 0.2, math.inf],
    )  # fmt: skip
    work = fedopt.Workload(cycles=[3e8, 3e8, 2e8], upload_bits=3e5, download_bits=0.0)
    B = SharedBandwidth(1e6)
    others = fedopt.Workload(cycles=[3e8, 3e8, 0.0], upload_bits=[3e5, 3e5, 0.0], download_bits=0.0)
    t_min = fedopt.schedule(clients, others, EnergyBudget(math.inf), access=B).duration
    assert fedopt.schedule(clients, work, Deadline(t_min * (1 + 1e-2)), access=B).status is Status.OPTIMAL
    assert fedopt.schedule(clients, work, Deadline(t_min * (1 - 1e-6)), access=B).status is Status.INFEASIBLE
    assert fedopt.schedule(clients, work, EnergyBudget(math.inf), access=B).bracket[0] == pytest.approx(t_min, rel=1e-9)


def test_the_judge_adds_the_bandwidths_up() -> None:
    instance = make("typical", 0, 5)
    c, w, T = instance.clients, instance.work, 2.0 * least(instance)
    found = shared(instance, Deadline(T))
    assert found.allocation is not None
    assert found.sharing is not None
    f, r, b = found.allocation.frequency, found.allocation.rate, found.sharing.bandwidth
    assert fedopt.judge(c, w, T, f, r, access=SharedBandwidth(b.sum()), bandwidth=b).feasible
    verdict = fedopt.judge(c, w, T, f, r, access=SharedBandwidth(0.9 * b.sum()), bandwidth=b)
    assert verdict.violation == pytest.approx(1 / 0.9 - 1)
    with pytest.raises(InputError, match="bandwidth"):
        fedopt.judge(c, w, T, f, r, access=SharedBandwidth(1e6))


def test_solve() -> None:
    clients = make("typical", 2, 8).clients
    problem = fedopt.Problem(
        clients,
        mnist_types((1, 2, 4, 4)),
        budget=PowerBudget(2.0),
        partitions=[(2, 2, 4, 0), (4, 4, 0, 0), (8, 0, 0, 0)],
        access=SharedBandwidth(8e6),
    )
    by_rule, better = (fedopt.solve(problem, matching=name) for name in ("sorted", "marginal"))
    assert by_rule.status.solved
    assert better.utility >= by_rule.utility * (1 - 1e-12)
    assert better.sharing is not None
    assert better.sharing.residual <= 1e-9
    assert better.verdict is not None
    assert better.verdict.feasible
    with pytest.raises(InputError, match="sum over clients"):
        fedopt.solve(problem, matching="exact")
    assert fedopt.solve(problem).utility == better.utility


def test_no_bit_depends_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make("typical", 3, 40_000)  # more than one chunk of blocks
    answers = []
    for threads in ("1", "2"):
        monkeypatch.setenv("FEDOPT_THREADS", threads)
        found = shared(instance, PowerBudget(5_000.0))
        assert found.status is Status.OPTIMAL
        assert found.sharing is not None
        answers.append((found.duration, found.energy, found.sharing.bandwidth.tobytes()))
    assert answers[0] == answers[1]


def test_a_duration_is_taken_only_where_the_model_of_the_energy_wants_it() -> None:
    """Between bounds that a wrong guess had drawn too narrowly a search stood still, and took that for the answer."""
    instance = make("mixed", 26, 8)
    band = SharedBandwidth(0.1 * float(np.broadcast_to(instance.clients.bandwidth, 8).sum()))
    budget = PowerBudget(1.6272843904432388)
    found = fedopt.schedule(instance.clients, instance.work, budget, access=band)
    assert found.status is Status.OPTIMAL, found.reason
    assert found.stats["passes"] <= 20
    assert fedopt.verify_schedule(instance.clients, instance.work, budget, found, access=band).ok


@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.1])
def test_budgets_a_little_less_than_the_shortest_round_takes(share: float) -> None:
    """One client holds the round up: a billionth of T later the others need half the energy. No search is long."""
    clients = random_fleet(40, seed=1)
    work = clients.workload(mnist_types(), np.random.default_rng(1).integers(0, 2, 40))
    channel = SharedBandwidth(4e7)
    first = fedopt.schedule(clients, work, EnergyBudget(math.inf), access=channel)
    budget = EnergyBudget(share * first.energy)
    found = fedopt.schedule(clients, work, budget, access=channel)
    assert found.status is Status.OPTIMAL
    assert found.energy == pytest.approx(budget.joules, rel=1e-6)  # an ulp of T is as much
    assert first.duration < found.duration < first.duration * (1.0 + 1e-6)
    shorter = found.duration - 4.0 * math.ulp(found.duration)
    if shorter > first.duration:
        there = fedopt.schedule(clients, work, Deadline(shorter), access=channel)
        assert there.energy > budget.joules
    assert found.stats["passes"] <= 180
