"""Level 3: every method against the 60-digit oracle, and the facts of section 4 of the model."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from fleets import FAMILIES, ORDINARY, Instance, make
from mpmath import mp, mpf
from oracle import Best, Fleet, marginal

import fedopt
from fedopt.rounds import rows_of
from solvers.allocation import METHODS
from solvers.allocation.kernel import EXACT, price_blocks
from solvers.blocks import ANCHOR, BLOCK, FIXED, NO_UPLOAD, NO_WORK, T_LOW, TAU_LOW
from solvers.blocks import ORDINARY as ORDINARY_ROW
from solvers.plan import feasible_rows, make_plan
from solvers.plan import rows_of as rows_in
from solvers.rows import ROUNDING

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
EXACT_METHODS = ("kernel", "reference", "scipy")


def test_the_conformance_suite_knows_every_method() -> None:
    assert set(PROMISES) == set(METHODS.names)


def needs(method: str) -> None:
    if method == "cvxpy":
        pytest.importorskip("cvxpy")


@functools.lru_cache(maxsize=512)
def truth(family: str, seed: int, size: int) -> tuple[Instance, Fleet, tuple[tuple[float, list[Best]], ...]]:
    """An instance, and the oracle's answer at three durations: its own, just above T_min, and far beyond it."""
    instance = make(family, seed, size)
    fleet = Fleet(instance.clients, instance.work)
    rng = np.random.default_rng(seed)
    near = float(fleet.t_min * (1 + mpf(10) ** rng.uniform(-9, -2)))
    far = float(fleet.t_min * mpf(10) ** rng.uniform(0.5, 5))
    return instance, fleet, tuple((T, fleet.least(T)) for T in (instance.duration, near, far))


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
    from solvers.cones import BackendError

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


# --- facts of section 4 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
def test_no_other_use_of_the_time_takes_less_energy(family: str) -> None:
    """The oracle itself: a client that shifts time between computing and sending, or finishes early, pays more."""
    _, fleet, answers = truth(family, 0, 10)
    T, bests = answers[0]
    for client, best in zip(fleet.clients, bests, strict=True):
        for grow_t in (-1, 0, 1):
            for grow_tau in (-1, 0, 1):
                t = best.t * (1 + mpf("1e-4") * grow_t)
                tau = best.tau * (1 + mpf("1e-4") * grow_tau)
                f, x = client.W / t, client.a / tau
                legal = client.f_min <= f <= client.f_max and client.x_min <= x <= client.x_max
                if legal and client.fixed + t + tau <= T:
                    assert client.energy_of(f, x) >= best.energy * (1 - mpf("1e-50"))


@pytest.mark.parametrize("family", ["typical", "wide", "powers", "mixed"])
def test_the_price_is_the_slope_of_the_energy(family: str) -> None:
    """dE/dT = -price by central differences of the oracle's energy, and the kernel reports that price."""
    instance, fleet, answers = truth(family, 1, 10)
    T = answers[0][0]
    found = fedopt.allocate(instance.clients, instance.work, duration=T)
    h = T * mpf(10) ** -18
    for n, client in enumerate(fleet.clients):
        low, high = client.least(T - h), client.least(T + h)
        slope = (high.energy - low.energy) / (2 * h)
        assert abs(slope + float(found.price[n])) <= mpf("1e-10") * (abs(slope) + client.P_s + client.P_c)


@pytest.mark.parametrize("family", ["powers", "extreme"])
@pytest.mark.parametrize("longer", [1.0, 3.0])
def test_a_price_far_below_the_powers_keeps_its_digits(family: str, longer: float) -> None:
    """Off all bounds 2 kappa f^3 - P_s and F(x)/gamma - P_c are both the price: the lesser power costs its digits."""
    checked = 0
    for seed in range(4):
        instance = make(family, seed, 5)
        T = instance.duration * longer
        found = fedopt.allocate(instance.clients, instance.work, duration=T)
        for n, client in enumerate(Fleet(instance.clients, instance.work).clients):
            best = client.least(T)
            if client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max and best.price > 0:
                scale = best.price + min(client.P_s, client.P_c)
                assert abs(float(found.price[n]) - best.price) <= mpf("1e-12") * scale
                checked += client.P_s + client.P_c > 0
    assert checked > 0


def test_a_price_far_below_static_power_alone() -> None:
    """P_c = 0 and P_s 14 decades above the price: 2 kappa f^3 - P_s had one digit left of it."""
    instance = make("powers", 112, 2)
    found = fedopt.schedule(instance.clients, instance.work, fedopt.EnergyBudget(1.306118299941487e-06))
    assert found.allocation is not None
    exact = Fleet(instance.clients, instance.work).clients[0].least(found.duration).price
    assert found.allocation.price[0] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("family", ["typical", "powers", "extreme"])
def test_the_energy_is_convex_and_never_rises(method: str, family: str) -> None:
    instance, fleet, _ = truth(family, 2, 10)
    grid = [float(fleet.t_min * (1 + mpf(2) ** k)) for k in range(-12, 12)]
    energies = np.array(
        [fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method).energy for T in grid]
    )
    noise = 1e-13 * energies[:-1]
    assert np.all(energies[1:] <= energies[:-1] + noise)
    slopes = np.diff(energies, axis=0) / np.diff(grid)[:, None]
    rounding = 4e-13 * energies[:-1] / np.diff(grid)[:, None]
    assert np.all(slopes[1:] >= slopes[:-1] - rounding[1:] - rounding[:-1])


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_marginals_of_computing_and_sending_meet_in_the_interior(method: str) -> None:
    """2 kappa f^3 - P_s = F(x)/gamma - P_c = lambda where no bound is active."""
    interior_clients = 0
    for family in ("typical", "wide", "powers"):
        instance, fleet, answers = truth(family, 3, 10)
        T, bests = answers[0]
        found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
        for n, (client, best) in enumerate(zip(fleet.clients, bests, strict=True)):
            if not (client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max):
                continue
            interior_clients += 1
            price = mpf(float(found.price[n]))
            f, x = mpf(float(found.frequency[n])), mpf(float(found.rate[n])) * mp.log(2) / client.B
            scale = price + client.P_s + client.P_c
            assert abs(2 * client.kappa * f**3 - client.P_s - price) <= mpf("1e-11") * scale
            assert abs(marginal(x) / client.gamma - client.P_c - price) <= mpf("1e-11") * scale
    assert interior_clients >= 5


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_unhurried_sending_reaches_shannons_limit(method: str) -> None:
    """As T grows the upload energy tends to s N0 ln 2 / h from above, its excess x/2 relative."""
    clients = fedopt.Clients(frequency_min=0, frequency_max=1e9, samples=1, channel_gain=[1e-9], bandwidth=1e6)
    bits = 5e5
    work = fedopt.Workload(cycles=[0.0], upload_bits=[bits], download_bits=[0.0])
    limit = bits * 3.981e-21 * math.log(2.0) / 1e-9
    for T in (1e3, 1e6, 1e9, 1e12):
        x = bits * math.log(2.0) / 1e6 / T
        energy = fedopt.allocate(clients, work, duration=T, allocation=method).energy[0]
        assert energy / limit - 1.0 == pytest.approx(x / 2.0, rel=1e-3, abs=4 * EPS)


KINDS = {"both": (1.0, 1.0), "no upload": (1.0, 0.0), "no work": (0.0, 1.0), "only a download": (0.0, 0.0)}


def priced(instance: Instance, T: float, tolerance: float = EXACT) -> tuple[np.ndarray, np.ndarray]:
    """Of the kernel: (3,) sums of energy, price and its slope over all blocks; (5, N) t, tau, energy, price, odds."""
    plan = make_plan(rows_of(instance.clients, instance.work))
    sums, out = np.empty((plan.blocks, 3)), np.zeros((5, plan.size))
    price_blocks(plan.kind, plan.columns, plan.priced, T, out[4], False, tolerance, sums, out, 0, plan.blocks)
    return sums.sum(axis=0), out


def of_kinds(family: str, seed: int, kinds: list[str]) -> Instance:
    """An instance whose clients do these things, and all receive something."""
    instance = make(family, seed, len(kinds))
    cycles, bits = np.array([KINDS[kind] for kind in kinds]).T * (instance.work.cycles, instance.work.upload_bits)
    if not cycles.any() and not bits.any():  # one number for all
        cycles, bits = 0.0, 0.0
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=1e-3)
    return Instance(instance.clients, work, instance.duration)


@pytest.mark.parametrize("family", ["typical", "powers", "bounds"])
@pytest.mark.parametrize(
    "kinds", [*itertools.product(KINDS, KINDS), [*KINDS] * 75], ids=lambda kinds: "-".join(kinds[:2])
)
def test_a_sweep_sums_what_each_of_its_rows_is_by_the_reference(family: str, kinds: list[str]) -> None:
    """Two of any kinds, and three hundred of all; the slope of the price by a difference of prices."""
    instance = of_kinds(family, 11, kinds)
    T = 1.2 * instance.duration
    (energy, price, curve), (t, tau, *_) = priced(instance, T)
    found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation="reference")
    np.testing.assert_allclose(t, found.compute_time, rtol=1e-11)
    np.testing.assert_allclose(tau, found.upload_time, rtol=1e-11)
    assert energy == pytest.approx(found.energy.sum(), rel=1e-12)
    assert price == pytest.approx(found.price.sum(), rel=1e-9)
    h = 1e-5
    early, late = priced(instance, T * (1.0 - h))[0][1], priced(instance, T * (1.0 + h))[0][1]
    assert curve == pytest.approx((early - late) / (2.0 * h * T), rel=1e-6, abs=1e-9 * price / T)


@pytest.mark.parametrize("family", ORDINARY)
def test_a_step_from_the_rough_start_is_all_but_there(family: str) -> None:
    """ln(t/tau) after single precision and one Halley step in double: 1e-4 for all, 1e-7 for most."""
    off = []
    for seed in range(3):
        instance = make(family, seed, 40)
        first, last = (priced(instance, instance.duration, tolerance)[1] for tolerance in (1e9, EXACT))
        inside = (last[3] > 0.0) & (instance.work.cycles > 0.0) & (instance.work.upload_bits > 0.0)
        off.append(np.abs(np.log(first[4, inside] / last[4, inside])))
    assert np.concatenate(off).size > 30
    assert np.concatenate(off).max() < 1e-4
    assert np.quantile(np.concatenate(off), 0.9) < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_who_all_do_the_same_are_planned_by_one_number(kind: str) -> None:
    """What a client without work or upload computes or sends at, which costs no time, is where its marginal is met."""
    cycles, bits = np.array(KINDS[kind]) * (1e8, 1e6)
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, static_power=0.01, samples=1, channel_gain=[1e-9, 1e-10], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=1e5)
    assert make_plan(rows_of(clients, work)).kind.shape == (1,)
    found, truth = (fedopt.allocate(clients, work, duration=5.0, allocation=m) for m in ("kernel", "reference"))
    np.testing.assert_allclose(found.frequency, truth.frequency, rtol=1e-9)
    np.testing.assert_allclose(found.rate, truth.rate, rtol=1e-9)
    assert np.all(found.frequency >= 1e8)
    assert found.feasible.all()


@pytest.mark.parametrize("static", [0.0, 0.01, [0.0, 0.01, 0.0]])
@pytest.mark.parametrize("circuit", [0.0, 0.1, [0.0, 0.1, 0.0]])
def test_a_plan_knows_the_least_duration_and_energy_of_all(static: object, circuit: object) -> None:
    """Powers of nobody, of all and of some, next to columns that are one number and columns that are not."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, static_power=static, circuit_power=circuit, samples=1,
        channel_gain=[1e-9, 1e-10, 1e-11], bandwidth=1e6,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[1e8, 3e8, 2e8], upload_bits=[1e6, 1e5, 1e6], download_bits=1e5)
    plan, fleet = make_plan(rows_of(clients, work)), Fleet(clients, work)
    assert plan.t_min == pytest.approx(float(fleet.t_min), rel=1e-14)
    assert plan.e_inf == pytest.approx(float(fleet.e_inf), rel=1e-13)


@pytest.mark.parametrize("family", ["powers", "bounds", "mixed"])
def test_a_plan_made_in_chunks_is_the_same_plan(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make(family, 9, 3 * BLOCK + 5)
    whole = make_plan(rows_of(instance.clients, instance.work))
    for name in ("plan", "threads"):
        monkeypatch.setattr(f"solvers.{name}.CHUNK", 1)
    chunks = make_plan(rows_of(instance.clients, instance.work))
    assert (chunks.t_min, chunks.t_flat) == (whole.t_min, whole.t_flat)
    assert chunks.e_inf == pytest.approx(whole.e_inf, rel=1e-14)
    assert whole.t_min == pytest.approx(float(Fleet(instance.clients, instance.work).t_min), rel=1e-14)
    for one, other in zip(chunks.columns, whole.columns, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_anchor_of_a_plan_is_a_time_that_no_interior_optimum_passes() -> None:
    """2 kappa f^3 - P_s = F(x)/gamma - P_c, F and f positive: t^3 < 2 kappa W^3/(P_s - P_c), F > gamma (P_c - P_s)."""
    checked = 0
    for seed in range(3):
        instance = make("powers", seed, 20)
        anchors = make_plan(rows_of(instance.clients, instance.work)).columns[ANCHOR]
        for n, client in enumerate(Fleet(instance.clients, instance.work).clients):
            anchor, more = mpf(float(anchors[n])), client.P_s - client.P_c
            if more > 0:
                assert abs(anchor**3 - 2 * client.kappa * client.W**3 / more) <= mpf("1e-14") * anchor**3
            elif more < 0:
                assert abs(marginal(client.a / anchor) + client.gamma * more) <= mpf("1e-12") * client.gamma * -more
            best = client.least(instance.duration)
            if more and client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max:
                assert (best.t if more > 0 else best.tau) < anchor
                checked += 1
    assert checked >= 5


@pytest.mark.parametrize("kinds", [["both", "both"], ["both", "no work", "both", "no upload"]])
def test_a_plan_finds_the_rows_of_some_kinds(kinds: list[str]) -> None:
    instance = of_kinds("typical", 11, kinds)
    plan, everyone = make_plan(rows_of(instance.clients, instance.work)), np.arange(len(kinds))
    for numbers, names in (((ORDINARY_ROW,), {"both"}), ((NO_WORK, NO_UPLOAD), {"no work", "no upload"})):
        found = everyone[rows_in(plan, *numbers)].tolist()
        assert found == [n for n, kind in enumerate(kinds) if kind in names]


def test_a_plan_knows_who_meets_a_duration_to_the_last_bit() -> None:
    """1e-15 below the least duration, both being rounded, still meets it."""
    instance = make("typical", 3, 4)
    plan = make_plan(rows_of(instance.clients, instance.work))
    least = plan.columns[FIXED] + (plan.columns[T_LOW] + plan.columns[TAU_LOW])
    for n, bound in enumerate(least * ROUNDING):
        assert feasible_rows(plan, bound)[n]
        assert not feasible_rows(plan, math.nextafter(bound, 0.0))[n]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False])
def test_a_row_that_cannot_meet_the_duration_costs_the_sweep_endless_energy(kind: str, first: bool) -> None:
    kinds = [kind, "both"] if first else ["both", kind]
    instance = of_kinds("typical", 12, kinds)
    late = instance.clients.replace(overhead=np.array([2.0, 0.0])[:: 1 if first else -1] * instance.duration)
    sums, out = priced(Instance(late, instance.work, instance.duration), instance.duration)
    assert sums[0] == math.inf
    assert (out[2] == math.inf).tolist() == [first, not first]


@pytest.mark.parametrize("method", METHODS.names)
def test_who_cannot_meet_the_duration_gets_nan_and_no_plausible_number(method: str) -> None:
    needs(method)
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, channel_gain=[1e-9, 1e-9, 0.0, 0.0], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[1e9, 1e10, 1e8, 0.0], upload_bits=[1e5, 1e5, 1e5, 0.0])
    found = fedopt.allocate(clients, work, duration=5.0, allocation=method)
    assert found.feasible.tolist() == [True, False, False, True]
    for name in ("frequency", "rate", "power", "compute_time", "upload_time", "price"):
        values = getattr(found, name)
        assert np.isfinite(values[[0, 3]]).all(), name
        assert np.isnan(values[[1, 2]]).all(), name
    assert np.isfinite(found.energy).tolist() == [True, False, False, True]
    assert np.all(found.energy[[1, 2]] == np.inf)
    assert found.energy[3] == found.rate[3] == found.frequency[3] == 0.0


@pytest.mark.parametrize("method", EXACT_METHODS)
@pytest.mark.parametrize("static_power", [0.0, 0.1, 10.0])
def test_price_at_the_least_duration_of_computing(method: str, static_power: float) -> None:
    """At T = W/f_max, an exact double, the least price is max(0, 2 kappa f_max^3 - P_s)."""
    f_max = 2.0**30
    clients = fedopt.Clients(
        frequency_min=0, frequency_max=[f_max], static_power=static_power, samples=1, channel_gain=1e-9, bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[4.0 * f_max], upload_bits=[0.0])
    found = fedopt.allocate(clients, work, duration=4.0, allocation=method)
    assert found.frequency[0] == f_max
    assert found.compute_time[0] == 4.0
    assert found.price[0] == pytest.approx(max(0.0, 2e-28 * f_max**3 - static_power), rel=1e-14)


def kinked() -> tuple[Instance, Fleet]:
    """A client for which computing at f_min and sending at power_max is best over a range of prices."""
    clients = fedopt.Clients(
        frequency_min=1e9, frequency_max=2e9, capacitance=1e-27, samples=1, channel_gain=[1e-12], bandwidth=1e6
    )
    work = fedopt.Workload(cycles=[2e9], upload_bits=[1e5], download_bits=[0.0])
    return Instance(clients, work, math.nan), Fleet(clients, work)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_price_on_both_sides_of_a_kink(method: str) -> None:
    """f_min with power_max: left of the kink the CPU's marginal, right of it the radio's, a jump between."""
    instance, fleet = kinked()
    client = fleet.clients[0]
    kink = client.t_of(client.f_min) + client.tau_of(client.x_max)
    computing = 2 * client.kappa * client.f_min**3
    sending = marginal(client.x_max) / client.gamma
    assert computing > 1.5 * sending
    for side, price in ((-1, computing), (1, sending)):
        T = float(kink * (1 + side * mpf("1e-14")))
        found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
        assert found.price[0] == pytest.approx(float(price), rel=1e-10)
        assert found.frequency[0] == pytest.approx(1e9, rel=1e-11)
        assert found.power[0] == pytest.approx(0.2, rel=1e-9)


@pytest.mark.parametrize("method", EXACT_METHODS)
def test_price_just_above_the_least_duration(method: str) -> None:
    """At T_min the least price is max(0, 2 kappa f_max^3 - P_s, F(x_max)/gamma - P_c); it is the limit from above."""
    for family in ("typical", "powers"):
        for seed in range(4):
            instance = make(family, seed, 1)
            client = Fleet(instance.clients, instance.work).clients[0]
            T = float(client.t_min * (1 + mpf("1e-14")))
            sending = marginal(client.x_max) / client.gamma - client.P_c
            least = max(0, 2 * client.kappa * client.f_max**3 - client.P_s, sending)
            found = fedopt.allocate(instance.clients, instance.work, duration=T, allocation=method)
            assert found.price[0] == pytest.approx(float(least), rel=1e-6, abs=1e-6 * float(client.P_s + client.P_c))
