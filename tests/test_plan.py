"""The plan of a fleet: columns that no duration changes, the limits of all rows, which rows are of which kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fleets import KINDS, make, of_kinds
from mpmath import mpf
from oracle import Fleet, marginal

import fedopt
from fedopt.rounds import rows_of
from solvers.blocks import ANCHOR, BLOCK, COLUMNS, FIXED, GAMMA, NO_UPLOAD, NO_WORK, T_HIGH, T_LOW, TAU_HIGH, TAU_LOW
from solvers.blocks import ORDINARY as ORDINARY_ROW
from solvers.plan import feasible_rows, frozen, make_plan
from solvers.plan import rows_of as rows_in
from solvers.rows import ROUNDING


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


@pytest.mark.parametrize("static", [0.0, 0.01, 1.0, [0.0, 0.01, 0.0]])
@pytest.mark.parametrize("circuit", [0.0, 0.1, 1.0, [0.0, 0.1, 0.0]])
@pytest.mark.parametrize("size", [2, 3])
def test_a_plan_knows_the_limits_of_all(static: object, circuit: object, size: int) -> None:
    """Powers of nobody, of all and of some, next to columns that are one number and columns that are not."""
    powers = {name: p[:size] if isinstance(p, list) else p for name, p in (("static", static), ("circuit", circuit))}
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, static_power=powers["static"], circuit_power=powers["circuit"],
        samples=1, channel_gain=[1e-9, 1e-10, 1e-11][:size], bandwidth=1e6,
    )  # fmt: skip
    work = fedopt.Workload(cycles=[1e8, 3e8, 2e8][:size], upload_bits=[1e6, 1e5, 1e6][:size], download_bits=1e5)
    check_limits(clients, work)


def check_limits(clients: fedopt.Clients, work: fedopt.Workload) -> None:
    """T_min, T_flat and E_inf in 60 digits."""
    plan, fleet = make_plan(rows_of(clients, work)), Fleet(clients, work)
    assert plan.t_min == pytest.approx(float(fleet.t_min), rel=1e-14)
    assert plan.t_flat == pytest.approx(float(fleet.t_flat), rel=1e-13)
    assert plan.e_inf == pytest.approx(float(fleet.e_inf), rel=1e-13)


@pytest.mark.parametrize("own", ["cycles", "channel_gain", "overhead", "download_rate", "bandwidth"])
def test_a_plan_knows_the_limits_of_all_who_share_all_numbers_but_one(own: str) -> None:
    """Who may send for ever, without static power: its parts that are one number are no 0 to be overlooked."""
    size = BLOCK + 3
    several = np.linspace(1.0, 2.0, size)[::-1]
    shared = {"channel_gain": 1e-9, "bandwidth": 1e6, "overhead": 0.5, "download_rate": 1e6, "cycles": 1e8}
    given = {name: value * (several if name == own else 1.0) for name, value in shared.items()}
    cycles = given.pop("cycles")
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, receive_power=0.2, **{**given, "name": size * ("",)}
    )
    check_limits(clients, fedopt.Workload(cycles=cycles, upload_bits=1e6, download_bits=1e5))


@pytest.mark.parametrize("family", ["typical", "powers", "bounds", "mixed", "extreme"])
def test_the_columns_of_a_plan_are_the_clients_own_numbers(family: str) -> None:
    """Kappa W^3, a, gamma, the bounds of t and tau and what they are where time costs nothing, in 60 digits."""
    instance = make(family, 7, 12)
    check_columns(instance.clients, instance.work)


@pytest.mark.parametrize("static", [0.0, 0.3])
@pytest.mark.parametrize("circuit", [0.0, 0.3])
def test_the_columns_of_a_plan_without_bounds(static: float, circuit: float) -> None:
    """No least frequency or power: as slowly as can be, for ever; power without end: no time. No gain: never."""
    clients = fedopt.Clients(
        frequency_min=[0.0, 1e8, 0.0, 1e8, 0.0], frequency_max=1e9, power_min=[0.0, 0.0, 0.1, 0.1, 0.0],
        power_max=[0.2, math.inf, 0.2, math.inf, math.inf], channel_gain=[1e-9, 1e-9, 0.0, 0.0, 1e-9],
        bandwidth=1e6, samples=1, static_power=static, circuit_power=circuit,
    )  # fmt: skip
    for cycles, bits in ((1e8, 1e6), (0.0, 1e6), (1e8, 0.0), ([1e8, 1e8, 0.0, 1e8, 1e8], [1e6, 0.0, 1e6, 1e6, 1e6])):
        check_columns(clients, fedopt.Workload(cycles=cycles, upload_bits=bits, download_bits=0.0))


def check_columns(clients: fedopt.Clients, work: fedopt.Workload) -> None:
    """Every column but the anchor."""
    plan = make_plan(rows_of(clients, work))
    exact = [
        (
            c.fixed, c.kappa * c.W**3, c.a, c.gamma, c.t_of(c.f_max), c.t_of(c.f_min), c.tau_of(c.x_max),
            c.tau_of(c.x_min), c.t_of(c.f_at(0)), c.tau_of(c.x_at(0)), c.P_s, c.P_c, c.fixed_energy,
        )
        for c in Fleet(clients, work).clients
    ]  # fmt: skip
    for column, truth in zip(plan.columns, np.array(exact, dtype=float).T, strict=False):
        np.testing.assert_allclose(np.broadcast_to(column, truth.shape), truth, rtol=2e-13)


def test_the_columns_of_a_plan_are_read_alike_by_the_kernels() -> None:
    """One layout, or a kernel is compiled anew: contiguous, read-only, one entry where one number stands for all."""
    for size in (2, 4):
        gain = np.geomspace(1e-9, 1e-8, 2 * size)[::2]
        clients = fedopt.Clients(frequency_min=0.0, frequency_max=1e9, samples=1, channel_gain=gain, bandwidth=1e6)
        for unit in (1.0, 1e-12):  # of cycles and bits: units change nothing
            work = fedopt.Workload(cycles=1e8 * unit, upload_bits=1e6 * unit, download_bits=0.0)
            plan = make_plan(rows_of(clients, work))
            assert plan.kind.tolist() == [ORDINARY_ROW]
            assert [n for n, column in enumerate(plan.columns) if column.shape == (size,)] == [GAMMA, TAU_LOW]
            assert sum(column.shape == (1,) for column in plan.columns) == COLUMNS - 2
            several = np.linspace(1.0, 2.0, size)
            own = fedopt.Workload(cycles=1e8 * unit * several, upload_bits=1e6 * unit * several, download_bits=0.0)
            plan_of_own = make_plan(rows_of(clients, own))
            assert plan_of_own.kind.tolist() == [ORDINARY_ROW]
            assert plan_of_own.columns[T_HIGH].tolist() == plan_of_own.columns[TAU_HIGH].tolist() == [math.inf]
            for column in (*plan.columns, plan.kind):
                assert column.flags.c_contiguous
                assert not column.flags.writeable


@pytest.mark.parametrize(
    ("static", "circuit", "priced"),
    [(0.0, 0.0, False), (0.3, 0.3, False), (0.3, 0.0, True), (0.0, 0.3, True), (0.3, [0.3, 0.2], True)],
)
def test_powers_that_are_the_same_for_computing_and_sending_shift_nothing(
    static: object, circuit: object, priced: bool
) -> None:
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=1, channel_gain=[1e-9, 1e-10], bandwidth=1e6,
        static_power=static, circuit_power=circuit,
    )  # fmt: skip
    assert make_plan(rows_of(clients, fedopt.Workload(cycles=1e8, upload_bits=1e6))).priced is priced


def test_a_column_is_frozen_once() -> None:
    given = np.arange(6.0)
    for column, numbers in (
        (given, [0, 1, 2, 3, 4, 5]), (given[::2], [0, 2, 4]), (np.broadcast_to(7.0, 5), [7]),
        (np.broadcast_to(7.0, 2), [7]), (np.full(1, 7.0), [7]), (np.zeros((2, 2)).T[0], [0, 0]),
    ):  # fmt: skip
        kept = frozen(column)
        assert kept.tolist() == numbers
        assert kept.flags.c_contiguous
        assert not kept.flags.writeable
        assert frozen(kept) is kept
    assert given.flags.writeable  # a view was frozen, not what is another's


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
                assert abs(2 * client.kappa * client.W**3 / more / anchor**3 - 1) <= mpf("1e-14")
            elif more < 0:
                assert abs(marginal(client.a / anchor) + client.gamma * more) <= mpf("1e-12") * client.gamma * -more
            else:
                assert anchor == mpf("inf")
            best = client.least(instance.duration)
            if more and client.f_min < best.f < client.f_max and client.x_min < best.x < client.x_max:
                assert (best.t if more > 0 else best.tau) < anchor
                checked += 1
    assert checked >= 5


@pytest.mark.parametrize(
    "kinds", [["both", "both"], ["both", "no work"], ["no upload", "both"], ["both", "no work", "both", "no upload"]]
)
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
