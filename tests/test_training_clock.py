"""What a round costs under each policy: against closed forms, the judge, and what must hold between policies."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from fleets import mnist_types

import fedopt
from fedopt.devices import cell, phones64

pytest.importorskip("torch")  # the harness's folder asks for it
from fedopt.training.clock import Clock, Untimed, priced
from fedopt.training.draws import FADING, MATCHING, SHARE, drawn, faded, stream
from fedopt.training.policies import IDLE, POLICIES, Policy

TYPES = mnist_types()
SEEDS = range(6)
WATTS = 2.5  # so many that time is dear, so few that the budget binds


def fleet(n: int = 8) -> fedopt.Clients:
    return phones64(faded=False).take(slice(0, 64, 64 // n))


def problem(budget: fedopt.PowerBudget | fedopt.Deadline | None = None, **more: object) -> fedopt.Problem:
    return fedopt.Problem(fleet(), TYPES, budget=budget or fedopt.PowerBudget(WATTS), **more)


def clock(
    policy: str | Policy, seed: int = 0, of: fedopt.Problem | None = None, fading: str | None = "rayleigh"
) -> Clock:
    policy = policy if isinstance(policy, Policy) else Policy(policy)
    return Clock(problem=of or problem(), policy=policy, fading=fading, seed=seed)


def on_the_air(seed: int, index: int) -> fedopt.Clients:
    clients = fleet()
    return clients.replace(channel_gain=clients.channel_gain * faded("rayleigh", len(clients), seed, index))


def flat_out(clients: fedopt.Clients) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and joules of every client with the full model at f_max and p_max (section 3 of the model)."""
    c, full = clients, TYPES[0]
    cycles = c.local_epochs * c.samples * full.flops / c.flops_per_cycle
    t = cycles / c.frequency_max
    gamma = c.channel_gain / (c.noise_density * c.bandwidth)
    tau = full.upload_bits / (c.bandwidth * np.log2(1.0 + gamma * c.power_max))
    t_d = full.upload_bits / c.download_rate
    dynamic = c.capacitance * cycles * c.frequency_max**2 + c.static_power * t
    return c.overhead + t_d + t + tau, dynamic + tau * (c.power_max + c.circuit_power) + c.receive_power * t_d


@pytest.mark.parametrize("seed", SEEDS)
def test_full_speed_is_the_closed_form(seed: int) -> None:
    seconds, joules = flat_out(on_the_air(seed, 3))
    got = clock("fullspeed", seed).round(3)
    assert got.duration == pytest.approx(seconds.max(), rel=1e-12)
    assert got.energy == pytest.approx(joules.sum(), rel=1e-9)
    assert got.stragglers == (int(np.argmax(seconds)),)


@pytest.mark.parametrize("seed", SEEDS)
def test_full_speed_is_shortest_and_dearest_of_all_that_train_the_full_model(seed: int) -> None:
    fast, full = clock("fullspeed", seed).round(0), clock("full", seed).round(0)
    assert fast.duration <= full.duration * (1 + 1e-12)
    assert fast.energy >= full.energy * (1 - 1e-9)
    assert (full.assignment == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("policy", ["allocated", "full", "random"])
def test_energy_is_what_the_judge_says_of_the_decision(policy: str, seed: int) -> None:
    got = clock(policy, seed).round(1)
    assert got.solution is not None
    assert got.solution.allocation is not None
    clients = on_the_air(seed, 1)
    work = clients.workload(TYPES, got.assignment)
    frequency, rate = got.solution.allocation.frequency, got.solution.allocation.rate
    verdict = fedopt.judge(clients, work, got.duration, frequency, rate, fedopt.PowerBudget(WATTS))
    assert verdict.feasible
    assert verdict.energy == pytest.approx(got.energy, rel=1e-12)
    assert got.energy <= WATTS * got.duration * (1 + 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_allocated_is_what_solve_says_warm_or_cold(seed: int) -> None:
    mine = clock("allocated", seed)
    alone = fedopt.solve(dataclasses.replace(problem(), clients=on_the_air(seed, 5)))
    cold, warm = mine.round(5), mine.round(5, mine.round(4).assignment)
    for got in (cold, warm):
        assert got.duration == pytest.approx(alone.duration, rel=1e-10)
        assert got.partition(4) == alone.partition
    assert 1 <= len(cold.stragglers) <= 5
    assert alone.allocation is not None
    assert cold.stragglers[0] == np.argmax(alone.allocation.price)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_random_matching_is_shorter_than_the_allocated_one(seed: int) -> None:
    given = problem(partitions=[(2, 2, 4, 0)])
    best, other = clock("allocated", seed, given).round(2), clock("random", seed, given).round(2)
    assert other.partition(4) == best.partition(4) == (2, 2, 4, 0)
    assert best.duration <= other.duration * (1 + 1e-10)
    again = clock("random", seed, given).round(2)
    assert (again.assignment == other.assignment).all()
    assert again.duration == other.duration


@pytest.mark.parametrize("seed", SEEDS)
def test_dropped_clients_are_those_that_miss_the_deadline(seed: int) -> None:
    seconds, _ = flat_out(on_the_air(seed, 0))
    deadline = float(np.sort(seconds)[4]) * 1.01  # the three slowest miss it
    got = clock(Policy("drop", deadline=deadline), seed).round(0)
    late = np.flatnonzero(seconds > deadline)
    assert 0 < len(late) < 8
    assert got.stragglers == tuple(late)
    assert got.duration == deadline
    assert (got.assignment == np.where(seconds > deadline, IDLE, 0)).all()
    clients = on_the_air(seed, 0)
    shares = fedopt.allocate(clients, clients.workload(TYPES, np.zeros(8, dtype=int)), duration=deadline)
    assert got.energy == pytest.approx(shares.energy[shares.feasible].sum(), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_deadline_drop_takes_the_allocated_duration(seed: int) -> None:
    got, reference = clock("drop", seed).round(0), clock("allocated", seed).round(0)
    seconds, _ = flat_out(on_the_air(seed, 0))
    assert got.duration == reference.duration
    assert got.stragglers == tuple(np.flatnonzero(seconds > reference.duration))


def test_a_round_nobody_can_make_says_who_and_costs_nan() -> None:
    for policy in ("allocated", "full", "random", "drop"):
        rules = Policy(policy, deadline=1e-3) if policy == "drop" else policy
        got = clock(rules, of=problem(fedopt.Deadline(1e-3)), fading=None).round(0)
        assert not got.trains
        assert got.partition(4) == (0, 0, 0, 0)
        assert math.isnan(got.duration)
        assert math.isnan(got.energy)
        assert got.reason.startswith("Infeasible")
        assert "client" in got.reason
        assert got.stragglers
    dead = fleet().replace(channel_gain=[0.0] + [1e-10] * 7)
    unreachable = fedopt.Problem(dead, TYPES, budget=fedopt.PowerBudget(1.0))
    got = clock("fullspeed", of=unreachable).round(0)
    assert not got.trains
    assert got.stragglers == (0,)
    assert f"client {dead.label(0)}" in got.reason


def test_a_share_of_the_clients_takes_part() -> None:
    for policy in ("full", "fullspeed"):
        rounds = [clock(Policy(policy, share=0.25), 7).round(k) for k in range(20)]
        assert all((got.assignment == 0).sum() == 2 for got in rounds)
        assert all(set(got.stragglers) <= set(np.flatnonzero(got.assignment == 0)) for got in rounds)
        assert len({tuple(got.assignment) for got in rounds}) > 5
        seconds = [flat_out(on_the_air(7, k))[0][got.assignment == 0].max() for k, got in enumerate(rounds)]
        slack = 1.0 if policy == "fullspeed" else math.inf
        assert all(
            s <= got.duration * (1 + 1e-12) <= s * slack * (1 + 1e-9) for s, got in zip(seconds, rounds, strict=True)
        )
    assert len(drawn(100, 0.1, 0, 0)) == 10
    assert len(drawn(3, 0.01, 0, 0)) == 1
    free = Untimed(clients=10, share=0.2, seed=1).round(0)
    assert (free.assignment == 0).sum() == 2
    assert math.isnan(free.duration + free.energy)


def test_who_makes_a_round_of_some_impossible_is_named_as_one_of_all() -> None:
    dead = fleet().replace(channel_gain=[1e-10] * 6 + [0.0, 1e-10])
    unreachable = fedopt.Problem(dead, TYPES, budget=fedopt.PowerBudget(1.0))
    for policy in ("full", "fullspeed"):
        rounds = [clock(Policy(policy, share=0.25), of=unreachable).round(k) for k in range(20)]
        failed = [got for got in rounds if not got.trains]
        assert 0 < len(failed) < len(rounds)
        assert {got.stragglers for got in failed} == {(6,)}
        assert all(f"client {dead.label(6)} " in got.reason for got in failed)


@pytest.mark.parametrize("access", [None, fedopt.SharedBandwidth(1e6), fedopt.TimeDivision(1e6)], ids=str)
@pytest.mark.parametrize("budget", [fedopt.Deadline(1e-3), fedopt.EnergyBudget(1e-3)], ids=str)
def test_a_reason_counts_clients_as_the_fleet_does(budget: fedopt.Deadline, access: fedopt.TimeDivision | None) -> None:
    """As ``stragglers`` does; but for the numbers it is the reason of those who were drawn, alone."""
    names = "abcdefgh"
    of = fedopt.Problem(fleet().replace(name=list(names)), TYPES, budget=budget, access=access)
    for seed in SEEDS:
        got, who = clock(Policy("full", share=0.5), seed, of).round(2), drawn(8, 0.5, seed, 2)
        assert sorted(got.stragglers) == who.tolist()
        said = re.findall(r"(\d) \(([a-h])\)", got.reason)
        assert said
        assert [names.index(name) for _, name in said] == [int(number) for number, _ in said]
        some = on_the_air(seed, 2).replace(name=list(names)).take(who)
        alone = fedopt.solve(fedopt.Problem(some, TYPES[:1], budget=budget, access=access))
        assert re.sub(r"\d \(", "(", got.reason) == re.sub(r"\d \(", "(", alone.reason)


def test_who_takes_part_does_not_hang_on_the_channels() -> None:
    """Fading, who takes part and the random matching are drawn apart, in every round anew."""
    firsts = {stream(3, which, k).integers(2**63) for which in (FADING, SHARE, MATCHING) for k in range(4)}
    assert len(firsts) == 12
    count, chosen = 2000, np.array([drawn(64, 0.25, 3, k) for k in range(2000)])
    gains = np.array([faded("rayleigh", 64, 3, k)[who].mean() for k, who in enumerate(chosen)])
    assert abs(gains.mean() - 1.0) < 5.0 / math.sqrt(16 * count)


def test_idle_places_sit_the_round_out() -> None:
    types = (fedopt.SubModel.idle(), *TYPES)
    given = fedopt.Problem(fleet(), types, budget=fedopt.PowerBudget(WATTS), partitions=[(2, 2, 4, 0, 0)])
    got = clock("allocated", of=given).round(0)
    assert (got.assignment == IDLE).sum() == 2
    assert got.partition(4) == (2, 4, 0, 0)
    again = clock("allocated", of=given).round(1, got.assignment)
    assert again.duration == pytest.approx(clock("allocated", of=given).round(1).duration, rel=1e-10)
    full = clock("full", of=given).round(0)
    assert full.duration == pytest.approx(clock("full").round(0).duration, rel=1e-12)


def test_fading_has_mean_one_and_comes_back_for_the_same_seed_and_round() -> None:
    for text, variance in (("rayleigh", 1.0), ("rician:4", 9.0 / 25.0)):  # (1 + 2K)/(1 + K)^2
        draws = np.array([faded(text, 64, 3, k) for k in range(2000)])
        deviation = math.sqrt(variance / draws.size)
        assert abs(draws.mean() - 1.0) < 5.0 * deviation
        assert draws.var() == pytest.approx(variance, rel=0.05)
        assert (faded(text, 64, 3, 17) == draws[17]).all()
        assert not (faded(text, 64, 4, 17) == draws[17]).any()
    assert (faded(None, 5, 0, 0) == 1.0).all()
    fast = [clock(policy, 5).round(2) for policy in ("full", "fullspeed")]
    assert fast[0].duration >= fast[1].duration  # the same channels


def test_the_bundled_fleet_without_its_draw_of_fading() -> None:
    with_draw, without = phones64(), phones64(faded=False)
    layout = cell(64, seed=4, radius=500.0)
    assert with_draw.channel_gain == pytest.approx(layout.gain, rel=1e-5)  # the file has six digits
    draw = with_draw.channel_gain / without.channel_gain
    assert draw.min() < 0.1  # exponential of mean 1: the least of 64 has mean 1/64
    assert 1.0 - 5.0 / 8.0 < draw.mean() < 1.0 + 5.0 / 8.0
    assert (with_draw.frequency_max == without.frequency_max).all()


def test_the_run_prices_what_it_trains_and_says_where_the_problem_differs() -> None:
    sizes = np.arange(1, 9) * 100
    got = priced(problem(), TYPES, sizes, 3)
    assert (got.clients.samples == sizes).all()
    assert (got.clients.local_epochs == 3.0).all()
    other = (TYPES[0], dataclasses.replace(TYPES[1], flops=1.0), *TYPES[2:])
    with pytest.raises(fedopt.InputError, match=r"'M'.*flops=1\.0.*flops=17781120"):
        priced(problem(), other, sizes, 1)
    with pytest.raises(fedopt.InputError, match="L, found L, M, S, T"):
        priced(problem(), TYPES[:1], sizes, 1)
    with pytest.raises(fedopt.InputError, match="8 parts, one per client, found 7"):
        priced(problem(), TYPES, sizes[:7], 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Policy("fast"), "policy"),
        (lambda: Policy("full", deadline=3.0), "drop"),
        (lambda: Policy("full", share=0.0), "share"),
        (lambda: Policy("full", share=1.5), "share"),
        (lambda: Policy("allocated", share=0.5), "share"),
        (lambda: Policy("full", infeasible="ignore"), "infeasible"),
        (lambda: clock("full", fading="rice"), "fading"),
        (lambda: clock("full", fading="rician:x"), "fading"),
        (lambda: clock("full", fading="rician:-1"), "fading"),
        (lambda: clock("full", fading=3), "fading"),
        (lambda: clock("full", seed=-1), "seed"),
        (lambda: clock("drop", of=problem(access=fedopt.TimeDivision(1e6))), "TimeDivision"),
        (lambda: clock("fullspeed", of=problem(access=fedopt.TimeDivision(1e6))), "TimeDivision"),
        (lambda: clock("random", of=problem(access=fedopt.SharedBandwidth(1e6))), "SharedBandwidth"),
        (
            lambda: clock("fullspeed", of=dataclasses.replace(problem(), clients=fleet().replace(power_max=math.inf))),
            "power",
        ),
    ],
)
def test_bad_settings_are_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(fedopt.InputError, match=said):
        make()


def test_a_shared_uplink_is_allocated_too() -> None:
    shared = problem(access=fedopt.TimeDivision(1e6))
    for policy in ("allocated", "full"):
        got = clock(policy, of=shared).round(0, np.zeros(8, dtype=np.int64))
        assert got.trains
        assert got.energy <= WATTS * got.duration * (1 + 1e-9)
    assert set(POLICIES) == {"allocated", "full", "drop", "random", "fullspeed"}
