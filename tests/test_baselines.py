"""The baselines of every level against published digits, brute force and each other, each within its own tolerance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation import METHODS as ALLOCATION
from solvers.duration import METHODS as TIMING
from solvers.duration.verdicts import closed_form
from solvers.limits import limits
from solvers.rows import Goal, Rows, Stop

MACS = (5_673_024, 2_963_520, 2_441_376, 1_481_760)  # of L, M, S, T per sample, forward (section 8 of the model)
PARAMETERS = (16_938, 10_010, 6_250, 5_018)
# what each method of level 3 promises: relative error of energies, of times over T, of prices over price + P_s + P_c
PROMISE = {"scipy": (1e-12, 1e-10, 1e-9), "cvxpy": (1e-5, math.inf, math.inf)}
SECONDS = {"bisection": 1e-9, "cvxpy": 2e-5}  # relative tolerance of the durations in acceptance case B


def types() -> tuple[fedopt.SubModel, ...]:
    columns = zip("LMST", MACS, PARAMETERS, (1, 2, 4, 4), strict=True)
    return tuple(fedopt.SubModel(n, flops=6.0 * m, upload_bits=32.0 * p, cover=q) for n, m, p, q in columns)


def case_b(counts: tuple[int, ...]) -> tuple[fedopt.Clients, fedopt.Workload]:
    """Eight clients at 60, 100, ..., 340 m; the sorted matching gives the nearest ones the largest sub-models."""
    kilometres = np.arange(60.0, 341.0, 40.0) / 1000.0
    clients = fedopt.Clients(
        frequency_min=0.3e9,
        frequency_max=3e9,
        samples=937,
        channel_gain=10.0 ** (-(128.1 + 37.6 * np.log10(kilometres)) / 10.0),
        bandwidth=1e6,
        noise_density=10.0**-17.4 * 1e-3,
        power_max=0.2,
    )
    return clients, clients.workload(types(), np.repeat(np.arange(4), counts))


def mixed(seed: int, size: int = 12) -> tuple[fedopt.Clients, fedopt.Workload]:
    """Phones with every feature of the model in some of them: idle, nothing to send, nothing to compute, p_min, ..."""
    rng = np.random.default_rng(seed)

    def some(values: np.ndarray, share: float) -> np.ndarray:
        return np.where(rng.random(size) < share, 0.0, values)

    fastest = rng.uniform(0.8e9, 3e9, size)
    clients = fedopt.Clients(
        frequency_min=some(fastest * rng.uniform(0.05, 1.0, size), 0.3),
        frequency_max=fastest,
        capacitance=10.0 ** rng.uniform(-28.3, -27.5, size),
        static_power=some(rng.uniform(0.01, 0.5, size), 0.4),
        samples=1.0,
        channel_gain=10.0 ** rng.uniform(-12.0, -9.0, size),
        bandwidth=rng.uniform(0.3e6, 3e6, size),
        power_max=rng.uniform(0.1, 0.3, size),
        power_min=some(10.0 ** rng.uniform(-4.0, -1.0, size), 0.5),
        circuit_power=some(rng.uniform(0.001, 0.2, size), 0.4),
        download_rate=rng.uniform(1e6, 1e8, size),
        receive_power=0.1,
        overhead=some(rng.uniform(0.0, 0.5, size), 0.5),
    )
    idle = rng.random(size) < 0.1
    cycles = np.where(idle, 0.0, some(10.0 ** rng.uniform(9.5, 10.5, size), 0.15))
    bits = np.where(idle, 0.0, some(10.0 ** rng.uniform(5.0, 6.5, size), 0.15))
    return clients, fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=np.where(idle, 0.0, 1e6))


@pytest.mark.parametrize(
    ("counts", "watts", "duration", "energy"),
    [
        ((2, 2, 4, 0), 1.25, 18.931925365, 23.664906706),
        ((2, 2, 4, 0), 12.5, 10.666327965, 74.707993899),
        ((8, 0, 0, 0), 1.25, 27.528388808, 34.410486010),
        ((0, 8, 0, 0), 1.25, 14.383465283, 17.979331604),
    ],
)
@pytest.mark.parametrize(("timing", "allocation"), [("bisection", "scipy"), ("cvxpy", "scipy")])
def test_acceptance_case_b(counts, watts, duration, energy, timing, allocation):
    clients, work = case_b(counts)
    result = fedopt.schedule(clients, work, fedopt.PowerBudget(watts), timing=timing, allocation=allocation)
    assert result.status is (fedopt.Status.SLACK if watts > 10.0 else fedopt.Status.OPTIMAL)
    assert result.verdict is not None
    assert result.verdict.feasible
    assert result.duration == pytest.approx(duration, rel=SECONDS[timing])
    assert result.energy == pytest.approx(energy, rel=SECONDS[timing])


@pytest.mark.parametrize(("allocation", "digits"), [("reference", 2e-9), ("scipy", 2e-9), ("cvxpy", 1e-5)])
def test_acceptance_case_b_at_twenty_seconds(allocation, digits):
    clients, work = case_b((2, 2, 4, 0))
    result = fedopt.allocate(clients, work, duration=20.0, allocation=allocation)
    assert result.energy.sum() == pytest.approx(21.201792345, rel=digits)
    assert result.price.sum() == pytest.approx(2.122863466, rel=max(digits, 1e-4 if allocation == "cvxpy" else 0))
    hertz = np.array([1.597259, 1.597711, 0.834351, 0.834518, 0.687189, 0.687288, 0.687388, 0.687490]) * 1e9
    rates = np.array([16.832988, 14.320365, 10.233875, 9.075090, 7.482137, 6.758900, 6.154742, 5.639700]) * 1e6
    np.testing.assert_allclose(result.frequency, hertz, rtol=max(digits, 1e-6))
    np.testing.assert_allclose(result.rate, rates, rtol=1e-4 if allocation == "cvxpy" else 1e-7)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("allocation", ["scipy", "cvxpy"])
def test_level_3_agrees_with_the_reference(seed, allocation):
    clients, work = mixed(seed)
    rows = rows_of(clients, work)
    known = limits(rows)
    energy_error, time_error, price_error = PROMISE[allocation]
    for duration in (0.6 * known.t_min, 1.001 * known.t_min, 1.7 * known.t_min, 8.0 * known.t_min):
        truth = ALLOCATION.get("reference")(rows, duration)
        point = ALLOCATION.get(allocation)(rows, duration)
        np.testing.assert_array_equal(point.feasible, truth.feasible)
        assert truth.feasible.all() == (duration >= known.t_min)
        np.testing.assert_allclose(point.energy, truth.energy, rtol=energy_error)
        ok = truth.feasible
        for name in ("compute_time", "upload_time"):
            difference = np.abs(getattr(point, name) - getattr(truth, name))[ok]
            assert (difference <= time_error * duration).all(), name
        used = rows.fixed_time + point.compute_time + point.upload_time
        assert (used[ok] <= duration * (1.0 + 1e-9)).all()
        watts = np.abs(point.price - truth.price) / (truth.price + rows.static_power + rows.circuit_power + 1e-30)
        assert (watts[ok] <= price_error).all()
        for name in ("frequency", "efficiency", "compute_time", "upload_time", "price"):
            assert np.isnan(getattr(point, name)[~ok]).all(), name
            assert (getattr(point, name)[rows.full().idle] == 0.0).all(), name


@pytest.mark.parametrize("allocation", ["scipy", "reference"])
def test_prices_at_the_kinks_are_the_least_ones(allocation):
    """Closed forms at T_min, where computing is slowest while sending is fastest, at f_min = f_max, and past T_flat."""
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=3e9, samples=1.0, channel_gain=1e-9, bandwidth=1e6, power_max=0.01
    )
    work = fedopt.Workload(cycles=5e9, upload_bits=1e6)
    gamma = 1e-9 / (3.981e-21 * 1e6)
    x = math.log1p(gamma * 0.01)
    sending = (1.0 + (x - 1.0) * math.exp(x)) / gamma  # F(x_max)/gamma [W]
    upload = 1e6 * math.log(2.0) / 1e6 / x
    assert 0.05 < sending < 2e-28 * 1e27  # so that there is a kink between both marginals

    def price(clients: fedopt.Clients, duration: float) -> float:
        return float(fedopt.allocate(clients, work, duration=duration, allocation=allocation).price[0])

    assert price(clients, (5e9 / 3e9 + upload) * (1.0 + 1e-15)) == pytest.approx(2e-28 * 27e27, rel=1e-12)
    assert price(clients, 5.0 + upload) == pytest.approx(sending, rel=1e-9)
    assert price(clients, (5.0 + upload) * (1.0 - 1e-6)) == pytest.approx(2e-28 * 1e27, rel=1e-5)
    fixed = clients.replace(frequency_min=3e9)
    assert price(fixed, (5e9 / 3e9 + upload) * (1.0 + 1e-15)) == pytest.approx(sending, rel=1e-9)
    radio = clients.replace(circuit_power=0.05)  # x(0) > 0: there is a T_flat, and past it time is worth nothing
    late = fedopt.allocate(radio, work, duration=1e4, allocation=allocation)
    assert late.price[0] == 0.0
    assert late.frequency[0] == 1e9
    free = late.rate[0] * math.log(2.0) / 1e6
    assert 1.0 + (free - 1.0) * math.exp(free) == pytest.approx(gamma * 0.05, rel=1e-12)


def small_rows(seed: int) -> Rows:
    return rows_of(*mixed(seed, size=6))


@pytest.mark.parametrize("seed", range(4))
def test_bisection_and_the_joint_program_agree(seed):
    rows, price_rows = small_rows(seed), ALLOCATION.get("scipy")
    known = limits(rows)
    there_at = min(1.6 * known.t_min, 0.5 * (known.t_min + known.t_flat))
    there = price_rows(rows, there_at)
    joules, watts = float(there.energy.sum()), float(there.price.sum())
    goals = [
        (Goal.ENERGY, joules, there_at),
        (Goal.POWER, joules / there_at, there_at),
        (Goal.POWER, known.e_inf / known.t_min / 1e4, None),
        (Goal.PRICE, watts, there_at),
        (Goal.DEADLINE, 3.0 * known.t_min, 3.0 * known.t_min),
        (Goal.ENERGY, math.inf, known.t_min),
    ]
    for goal, value, duration in goals:
        exact = TIMING.get("bisection")(rows, goal, value, price_rows)
        joint = TIMING.get("cvxpy")(rows, goal, value, price_rows)
        assert exact.stop is joint.stop is (Stop.SLACK if value == math.inf else Stop.OPTIMAL)
        assert joint.duration == pytest.approx(exact.duration, rel=1e-5), goal
        if duration is not None:
            assert exact.duration == pytest.approx(duration, rel=1e-8), goal
        assert exact.lower <= exact.duration <= exact.upper <= exact.lower * (1.0 + 1e-11)
        assert exact.point is not None
        assert joint.point is not None
        assert joint.point.energy.sum() == pytest.approx(exact.point.energy.sum(), rel=1e-5)
        if goal is Goal.ENERGY:
            assert exact.point.energy.sum() <= value
        if goal is Goal.POWER:
            assert exact.point.energy.sum() <= value * exact.duration * (1.0 + 1e-15)


@pytest.mark.parametrize("timing", ["bisection", "cvxpy"])
def test_infeasible_goals_are_proved_by_the_limits(timing):
    rows, price_rows = small_rows(0), ALLOCATION.get("scipy")
    known = limits(rows)
    dead = rows_of(mixed(0, size=6)[0].replace(channel_gain=0.0), mixed(0, size=6)[1])
    cases = [
        (rows, Goal.DEADLINE, 0.99 * known.t_min, Stop.TOO_SHORT),
        (rows, Goal.ENERGY, known.e_inf * (1.0 - 1e-12), Stop.TOO_LITTLE),
        (rows, Goal.POWER, 0.0, Stop.TOO_LITTLE),
        (dead, Goal.POWER, 1e9, Stop.UNREACHABLE),
    ]
    for these, goal, value, stop in cases:
        result = TIMING.get(timing)(these, goal, value, price_rows)
        assert result.stop is stop
        assert result.point is None
        assert math.isnan(result.duration)


@pytest.mark.parametrize("goal", list(Goal))
def test_a_fleet_of_idle_clients_needs_nothing(goal):
    clients, _ = mixed(1, size=3)
    rows = rows_of(clients, fedopt.Workload(cycles=np.zeros(3), upload_bits=np.zeros(3)))
    result = closed_form(rows, limits(rows), goal, 2.0)
    assert result is not None
    assert result.duration == (2.0 if goal is Goal.DEADLINE else 0.0)
    assert result.stop is (Stop.SLACK if goal in (Goal.ENERGY, Goal.POWER) else Stop.OPTIMAL)


def test_bisection_refuses_a_level_3_that_fails():
    rows = small_rows(2)

    def broken(these: Rows, duration: float):
        point = ALLOCATION.get("scipy")(these, duration)
        point.energy[0] = math.nan
        return point

    result = TIMING.get("bisection")(rows, Goal.ENERGY, 1e3, broken)
    assert result.stop is Stop.LIMIT
    assert result.point is None
    assert math.isnan(result.duration)


def matchings(size: int, counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    places = np.repeat(np.arange(len(counts)), counts)
    return sorted(set(itertools.permutations(places.tolist(), size)))


@pytest.mark.parametrize("seed", range(6))
def test_assignment_is_the_best_of_all_matchings(seed):
    from solvers.matching.assignment import match

    rng = np.random.default_rng(seed)
    counts = ((2, 2, 2), (1, 3, 2), (0, 1, 5))[seed % 3]
    costs = 10.0 ** rng.uniform(-9.0, -6.0, (6, 3))
    costs[rng.random((6, 3)) < 0.15] = np.inf
    totals = [sum(costs[n, k] for n, k in enumerate(m)) for m in matchings(6, counts)]
    found = match(costs, np.array(counts))
    if not np.isfinite(min(totals)):
        assert found is None
        return
    assert found is not None
    assert found[1] == pytest.approx(min(totals), rel=1e-12)
    assert tuple(np.bincount(found[0], minlength=3)) == counts
    for exponent in (-900, 900):  # in any unit
        again = match(np.ldexp(costs, exponent), np.array(counts))
        assert again is not None
        np.testing.assert_array_equal(again[0], found[0])


@pytest.mark.parametrize("near", [0.0, 1e-200])
@pytest.mark.parametrize("far", [0.0, 1e200])
def test_assignment_of_costs_that_are_nothing_or_as_uneven_as_numbers_can_be(near, far):
    from solvers.matching.assignment import match

    found = match(np.array([[near, far], [near, far]]), np.array([1, 1]))
    assert found is not None
    assert sorted(found[0].tolist()) == [0, 1]
    assert found[1] == near + far


def test_no_finite_matching_is_no_matching():
    from solvers.matching.assignment import match

    impossible = np.array([[1.0, np.inf], [1.0, np.inf], [1.0, 1.0]])
    assert match(impossible, np.array([1, 2])) is None
    assert match(np.full((3, 2), np.inf), np.array([1, 2])) is None
    assert match(impossible, np.array([2, 1])) is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
def test_milp_is_the_best_of_all_partitions_and_matchings(seed, solver, monkeypatch):
    from solvers.matching import milp

    monkeypatch.setattr(milp, "solver_name", lambda: solver)
    rng = np.random.default_rng(seed)
    covers, weights = np.array([1, 2, 4, 1]), np.array([1.0, 0.5, 0.25, 0.0])  # the last type is an idle place
    costs = np.column_stack([rng.uniform(1.0, 9.0, (5, 3)) * [4.0, 2.0, 1.0], np.zeros(5)])
    costs[rng.random((5, 4)) < 0.2] = np.inf
    every = [c for c in itertools.product(range(6), repeat=4) if sum(c) == 5 and not (np.array(c) % covers).any()]
    given = np.array([c for c in every if c[3] == 0][:4])
    for least in (0.25, 1.5, 3.0, 9.0):
        for partitions in (None, given):
            counts = every if partitions is None else [tuple(c) for c in partitions.tolist()]
            enough = [c for c in counts if np.dot(c, weights) >= least]
            totals = [sum(costs[n, k] for n, k in enumerate(m)) for c in enough for m in matchings(5, c)]
            best = min(totals, default=math.inf)
            found = milp.cheapest(costs, covers, weights, least, partitions)
            if not math.isfinite(best):
                assert found is None
                continue
            assert found is not None
            assert found[1] == pytest.approx(best, rel=1e-9)
            assert tuple(np.bincount(found[0], minlength=4)) in enough


@pytest.mark.parametrize("solver", ["HiGHS", "CBC"])
def test_milp_sees_what_cheap_clients_spend_beside_dear_ones(solver, monkeypatch):
    """Costs over nine decades: tolerances and gaps of a solver are absolute, and those of the cheap below them."""
    from solvers.matching import assignment, milp

    monkeypatch.setattr(milp, "solver_name", lambda: solver)
    counts = np.array([2, 2, 2])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        costs = 10.0 ** rng.uniform(-9.0, 0.0, (6, 1)) * rng.uniform(0.5, 2.0, (6, 3))
        best = assignment.match(costs, counts)
        found = milp.cheapest(costs, np.array([1, 2, 2]), np.array([1.0, 0.5, 0.5]), 0.0, counts[None, :])
        assert best is not None
        assert found is not None
        assert found[1] == pytest.approx(best[1], rel=1e-9)
