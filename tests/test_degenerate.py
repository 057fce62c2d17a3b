"""R10: degenerate but legal instances have closed-form answers, and every method that is exact finds them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fleets import make
from mpmath import mpf
from oracle import Fleet, marginal

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status, TimePrice

ALLOCATIONS = ("kernel", "reference", "scipy")
TIMINGS = ("newton", "bisection")
TIGHT = 1e-13
LN2 = math.log(2.0)


def phones(size: int = 1, **changes: Any) -> fedopt.Clients:
    table: dict[str, Any] = {
        "frequency_min": 1e8,
        "frequency_max": 2e9,
        "samples": np.ones(size),
        "channel_gain": 4e-21 * 1e6 * 50.0,  # gamma = 50 per watt: SNR 10 at 0.2 W
        "bandwidth": 1e6,
        "noise_density": 4e-21,
    }
    return fedopt.Clients(**(table | changes))


def job(cycles: Any = 1e9, upload_bits: Any = 1e6, download_bits: Any = 0.0) -> fedopt.Workload:
    return fedopt.Workload(cycles=cycles, upload_bits=upload_bits, download_bits=download_bits)


def close(found: float, exact: Any, rel: float = TIGHT) -> None:
    assert found == pytest.approx(float(exact), rel=rel, abs=0)


@pytest.mark.parametrize("method", ALLOCATIONS)
@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 10.0, 25.0])
def test_nothing_to_send(method: str, T: float) -> None:
    """f = W/T within its range: E = kappa W f^2, price 2 kappa f^3, 0 once f_min is reached at T = 10 s."""
    found = fedopt.allocate(phones(), job(upload_bits=0.0), duration=T, allocation=method)
    f = max(1e9 / T, 1e8)
    close(found.frequency[0], f)
    close(found.energy[0], 1e-28 * 1e9 * f**2)
    assert found.upload_time[0] == 0.0
    close(found.compute_time[0], 1e9 / f)
    assert found.price[0] == (0.0 if T >= 10.0 else pytest.approx(2e-28 * f**3, rel=TIGHT))


@pytest.mark.parametrize("method", ALLOCATIONS)
@pytest.mark.parametrize("T", [0.3, 1.0, 1e3, 1e9])
def test_nothing_to_compute(method: str, T: float) -> None:
    """tau = T, r = s/T: E = T (2^(s/(B T)) - 1)/gamma, price (1 + (x - 1) e^x)/gamma with x = s ln 2/(B T)."""
    found = fedopt.allocate(phones(), job(cycles=0.0), duration=T, allocation=method)
    x = mpf(LN2) / mpf(T)
    close(found.rate[0], 1e6 / T)
    close(found.energy[0], T * math.expm1(float(x)) / 50.0)
    close(found.price[0], marginal(x) / 50, 1e-12)
    assert found.compute_time[0] == 0.0
    close(found.upload_time[0], T)


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_nothing_but_a_download(method: str) -> None:
    """The download takes s_d / rate seconds and receive_power times that, whatever the duration."""
    clients = phones(download_rate=1e6, receive_power=0.25, overhead=0.5)
    for T in (2.5, 100.0):
        found = fedopt.allocate(clients, job(0.0, 0.0, 2e6), duration=T, allocation=method)
        assert found.energy[0] == 0.5
        assert found.price[0] == found.compute_time[0] == found.upload_time[0] == 0.0
    assert not fedopt.allocate(clients, job(0.0, 0.0, 2e6), duration=2.4999, allocation=method).feasible[0]


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_an_idle_client_takes_nothing_not_even_its_overhead(method: str) -> None:
    clients = phones(overhead=1e6, channel_gain=0.0)
    found = fedopt.allocate(clients, job(0.0, 0.0, 0.0), duration=0.0, allocation=method)
    assert found.feasible[0]
    for name in ("frequency", "rate", "power", "compute_time", "upload_time", "energy", "price"):
        assert getattr(found, name)[0] == 0.0, name


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_one_frequency_leaves_the_rest_of_the_time_to_sending(method: str) -> None:
    clients = phones(frequency_min=1e9, frequency_max=1e9)
    found = fedopt.allocate(clients, job(), duration=3.0, allocation=method)
    assert found.frequency[0] == 1e9
    assert found.compute_time[0] == 1.0
    close(found.rate[0], 5e5)
    close(found.power[0], (math.sqrt(2.0) - 1.0) / 50.0)
    close(found.energy[0], 1e-28 * 1e27 + 2.0 * (math.sqrt(2.0) - 1.0) / 50.0)
    x = LN2 / 2.0
    close(found.price[0], (1.0 + (x - 1.0) * math.exp(x)) / 50.0, 1e-12)


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_one_power_and_one_frequency_leave_nothing_to_decide(method: str) -> None:
    """f_min = f_max, p_min = p_max = 0.2 W: SNR 10; the client finishes early and more time is worth nothing."""
    clients = phones(frequency_min=1e9, frequency_max=1e9, power_min=0.2, power_max=0.2)
    tau = 1.0 / math.log2(11.0)
    for T in (1.0 + tau + 1e-9, 2.0, 1e6):
        found = fedopt.allocate(clients, job(), duration=T, allocation=method)
        close(found.upload_time[0], tau)
        close(found.energy[0], 0.1 + 0.2 * tau)
        assert found.price[0] == 0.0


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_no_least_frequency_computes_ever_slower(method: str) -> None:
    """f_min = 0 and no static power: the energy tends to Shannon's limit s ln 2/(B gamma) from above."""
    limit = LN2 / 50.0
    last = math.inf
    for T in 10.0 ** np.arange(1, 13):
        energy = fedopt.allocate(phones(frequency_min=0.0), job(), duration=T, allocation=method).energy[0]
        assert limit < energy < last
        last = energy
    close(last, limit, 1e-11)


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_no_greatest_power_makes_any_time_beyond_computing_enough(method: str) -> None:
    """power_max = inf: T_min = W/f_max. With f fixed the rate is s/(T - t), the power (2^(r/B) - 1)/gamma."""
    clients = phones(frequency_min=1e9, frequency_max=1e9, power_max=np.inf)
    for left in (2.0, 0.125, 2.0**-6):
        found = fedopt.allocate(clients, job(), duration=1.0 + left, allocation=method)
        close(found.rate[0], 1e6 / left)
        close(found.power[0], (2.0 ** (1.0 / left) - 1.0) / 50.0, 1e-12)
    assert not fedopt.allocate(clients, job(), duration=1.0 - 1e-12, allocation=method).feasible[0]


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_identical_clients_are_that_many_times_one(timing: str, size: int) -> None:
    """N clients with N times the budget take the duration of one, and N times its energy."""
    alone = fedopt.schedule(phones(), job(), EnergyBudget(0.05), timing=timing)
    together = fedopt.schedule(phones(size), job(), EnergyBudget(0.05 * size), timing=timing)
    assert alone.status is together.status is Status.OPTIMAL
    close(together.duration, alone.duration, 4e-12 if timing == "bisection" else TIGHT)
    assert together.allocation is not None
    assert np.ptp(together.allocation.frequency) == 0.0
    assert np.ptp(together.allocation.rate) == 0.0


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("field", ["channel_gain", "cycles", "capacitance", "frequency_max"])
def test_one_client_a_million_million_times_worse(timing: str, field: str) -> None:
    """It dictates the duration; the others take their ease. Checked by the oracle's certificate."""
    size, worse = 6, 3
    factor = {"channel_gain": 1e-12, "cycles": 1e12, "capacitance": 1e12, "frequency_max": 1e-12}[field]
    columns: dict[str, Any] = {"frequency_min": 0.0, "channel_gain": np.full(size, 2e-13)}
    columns |= {"capacitance": np.full(size, 1e-28), "frequency_max": np.full(size, 2e9)}
    cycles = np.full(size, 1e9)
    (cycles if field == "cycles" else columns[field])[worse] *= factor
    clients, work = phones(size, **columns), job(cycles)
    fleet = Fleet(clients, work)
    budget = EnergyBudget(float(fleet.energy(2 * fleet.t_min)))
    found = fedopt.schedule(clients, work, budget, timing=timing)
    if field == "frequency_max":  # a budget 1e-13 above E_inf: the others' joules hide how long it takes
        assert budget.joules <= fleet.e_inf * (1 + mpf("1e-12"))
        assert found.status is Status.LIMIT
        assert found.bracket[0] < 2 * fleet.t_min < found.bracket[1]
        return
    assert found.status is Status.OPTIMAL
    T, hair = mpf(found.duration), mpf("2e-12")
    assert fleet.energy(T * (1 + hair)) <= budget.joules * (1 + 1e-12)
    assert fleet.energy(T * (1 - hair)) >= budget.joules * (1 - 1e-12)


def finite_fleet() -> tuple[fedopt.Clients, fedopt.Workload, Fleet]:
    """Static and circuit power, so that T_flat is finite and E_inf is reached there."""
    clients = phones(3, static_power=[0.1, 0.2, 0.3], circuit_power=0.05, channel_gain=[1e-13, 2e-13, 4e-13])
    work = job([1e9, 2e9, 5e8])
    return clients, work, Fleet(clients, work)


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("ulps", [-1, 0, 1])
def test_budget_at_the_energy_of_the_least_duration(timing: str, ulps: int) -> None:
    """One ulp of the budget moves T by an ulp or so: T_min, never NaN, never infeasible."""
    clients, work, fleet = finite_fleet()
    joules = float(fleet.energy(fleet.t_min))
    joules = float(np.nextafter(joules, math.inf * ulps)) if ulps else joules
    found = fedopt.schedule(clients, work, EnergyBudget(joules), timing=timing)
    assert found.status.solved
    close(found.duration, fleet.t_min, 1e-12)
    assert found.energy <= joules * (1.0 + 1e-12)


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("margin", [-1e-12, 1e-12, 1e-9, 1e-6])
def test_budget_next_to_the_least_possible_energy(timing: str, margin: float) -> None:
    """Below E_inf: infeasible, by so much. Above: between T(E_bud) and T_flat, and within the budget."""
    clients, work, fleet = finite_fleet()
    budget = EnergyBudget(float(fleet.e_inf * (1 + mpf(margin))))
    found = fedopt.schedule(clients, work, budget, timing=timing)
    if margin < 0.0:
        assert found.status is Status.INFEASIBLE
        close(found.shortfall, fleet.e_inf - budget.joules, 1e-2)
        return
    assert found.status is Status.OPTIMAL
    assert found.duration <= float(fleet.t_flat) * (1 + 1e-12)
    assert fleet.energy(found.duration) <= budget.joules * (1 + mpf("1e-14"))
    exact = fleet.schedule(budget)
    slack = max(1e-12, 1e-15 / margin)  # the condition of T: an ulp of E moves T by so much
    close(found.duration, exact.duration, slack)


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("ulps", [-1, 0, 1])
def test_budget_one_rounding_from_the_least_possible_energy(timing: str, ulps: int) -> None:
    """Either proved infeasible or solved at most at T_flat; never anything else, never a plausible wrong number."""
    clients, work, fleet = finite_fleet()
    joules = float(fleet.e_inf)
    joules = float(np.nextafter(joules, math.inf * ulps)) if ulps else joules
    found = fedopt.schedule(clients, work, EnergyBudget(joules), timing=timing)
    if found.status is Status.INFEASIBLE:
        assert math.isnan(found.duration)
        assert abs(found.shortfall) <= 1e-15 * joules
    else:
        assert found.status is Status.OPTIMAL
        assert found.duration <= float(fleet.t_flat) * (1 + 1e-12)
        assert found.energy <= joules * (1 + 4e-16)


@pytest.mark.parametrize("timing", TIMINGS)
def test_the_least_possible_energy_that_no_round_reaches_is_infeasible(timing: str) -> None:
    """f_min = 0, nothing to send: E_inf = 0 J is a limit for endless rounds only."""
    clients = phones(frequency_min=0.0)
    for budget in (EnergyBudget(0.0), PowerBudget(0.0)):
        found = fedopt.schedule(clients, job(upload_bits=0.0), budget, timing=timing)
        assert found.status is Status.INFEASIBLE
        assert math.isnan(found.duration)
        assert math.isnan(found.energy)


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("joules", [1e-30, 1e-12, 1e-6, 1e-3])
def test_computing_alone_under_an_energy_budget(timing: str, joules: float) -> None:
    """kappa W^3/T^2 = E_bud: T = sqrt(kappa W^3/E_bud), however long."""
    found = fedopt.schedule(phones(frequency_min=0.0), job(upload_bits=0.0), EnergyBudget(joules), timing=timing)
    assert found.status is Status.OPTIMAL
    close(found.duration, math.sqrt(0.1 / joules), 1e-12)


@pytest.mark.parametrize("timing", TIMINGS)
def test_computing_alone_under_a_power_budget_and_under_a_price(timing: str) -> None:
    """kappa W^3/T^3 = P_bud, and 2 kappa W^3/T^3 = rho."""
    for watts in (1e-20, 1e-6, 1e-1):
        found = fedopt.schedule(phones(frequency_min=0.0), job(upload_bits=0.0), PowerBudget(watts), timing=timing)
        close(found.duration, (0.1 / watts) ** (1 / 3), 1e-12)
        found = fedopt.schedule(phones(frequency_min=0.0), job(upload_bits=0.0), TimePrice(watts), timing=timing)
        close(found.duration, (0.2 / watts) ** (1 / 3), 1e-11)


@pytest.mark.parametrize("timing", TIMINGS)
def test_a_power_budget_beyond_the_flat_part_is_met_by_waiting(timing: str) -> None:
    """Everybody finishes early and draws E_inf: T = E_inf / P_bud."""
    clients, work, fleet = finite_fleet()
    watts = float(fleet.e_inf / (100 * fleet.t_flat))
    found = fedopt.schedule(clients, work, PowerBudget(watts), timing=timing)
    assert found.status is Status.OPTIMAL
    close(found.duration, fleet.e_inf / mpf(watts), 1e-12)


@pytest.mark.parametrize("timing", TIMINGS)
def test_endless_budgets_are_slack(timing: str) -> None:
    clients, work, fleet = finite_fleet()
    for budget in (EnergyBudget(math.inf), PowerBudget(math.inf)):
        found = fedopt.schedule(clients, work, budget, timing=timing)
        assert found.status is Status.SLACK
        close(found.duration, fleet.t_min, 4 * 2.0**-52)


@pytest.mark.parametrize("timing", TIMINGS)
def test_everybody_idle_is_a_round_of_no_time(timing: str) -> None:
    clients, work = phones(3), job(np.zeros(3), 0.0)
    endless = EnergyBudget(math.inf), PowerBudget(math.inf)
    for budget in (EnergyBudget(0.0), PowerBudget(0.0), *endless, TimePrice(1.0), Deadline(5.0)):
        found = fedopt.schedule(clients, work, budget, timing=timing)
        assert found.status.solved, found.reason
        assert found.energy == 0.0
        assert found.duration == (5.0 if isinstance(budget, Deadline) else 0.0)
        assert fedopt.verify_schedule(clients, work, budget, found).ok


@pytest.mark.parametrize("timing", TIMINGS)
def test_out_of_reach_with_nothing_to_send_is_no_obstacle(timing: str) -> None:
    """A gain of zero matters only to who has to send."""
    clients = phones(2, channel_gain=[0.0, 2e-13], frequency_min=0.0)
    found = fedopt.schedule(clients, job(1e9, [0.0, 1e6]), EnergyBudget(0.1), timing=timing)
    assert found.status is Status.OPTIMAL
    assert found.allocation is not None
    assert np.isfinite(found.allocation.energy).all()
    alone = fedopt.schedule(clients.take([0]), job(1e9, 0.0), EnergyBudget(0.01), timing=timing)
    close(alone.duration, math.sqrt(10.0), 1e-12)


@pytest.mark.parametrize("timing", TIMINGS)
def test_a_price_inside_a_jump_of_the_marginal_energy_stops_at_the_kink(timing: str) -> None:
    """A lone CPU reaches f_min at W/f_min = 10 s; its price falls to 0 there, and every rho in the jump stops there."""
    for watts in (1.9e-4, 1e-5, 1e-100):
        found = fedopt.schedule(phones(), job(upload_bits=0.0), TimePrice(watts), timing=timing)
        assert found.status is Status.OPTIMAL
        close(found.duration, 10.0, 1e-12)


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_a_fleet_of_one_is_the_same_as_in_company(method: str) -> None:
    for family in ("typical", "mixed"):
        instance = make(family, 7, 9)
        together = fedopt.allocate(instance.clients, instance.work, duration=instance.duration, allocation=method)
        for n in range(9):
            one = instance.one(n)
            alone = fedopt.allocate(one.clients, one.work, duration=instance.duration, allocation=method)
            for name in together.__slots__:
                np.testing.assert_allclose(
                    getattr(alone, name)[0], getattr(together, name)[n], rtol=1e-13, err_msg=name
                )


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("ulps", [-1, 0, 1, 2, 3, 50])
def test_a_budget_met_at_t_flat_takes_no_longer(timing: str, ulps: int) -> None:
    """One client, f_min = 0.1 GHz and p_min = 0.05 W: T_flat = W/f_min + a/x_min, E_inf = kappa W f_min^2 + a/x p."""
    clients = phones(frequency_min=1e8, power_min=0.05)
    send = 1e6 * math.log(2.0) / 1e6 / math.log1p(50.0 * 0.05)
    flat, least = 1e9 / 1e8 + send, 1e-28 * 1e9 * 1e16 + send * 0.05
    found = fedopt.schedule(clients, job(), EnergyBudget(least * (1.0 + ulps * 2.2e-16)), timing=timing)
    assert found.status in (Status.OPTIMAL, Status.INFEASIBLE)
    assert ulps <= 1 or found.status is Status.OPTIMAL
    if found.status is Status.OPTIMAL:
        close(found.duration, flat, 1e-6)
        assert found.duration <= flat * (1.0 + 1e-12)


@pytest.mark.parametrize("matching", ["exact", "marginal", "sorted"])
@pytest.mark.parametrize("budget", [EnergyBudget(1.0), PowerBudget(1.0), fedopt.Deadline(0.0), fedopt.TimePrice(1.0)])
def test_a_type_that_takes_no_time_makes_a_round_of_no_time(matching: str, budget: fedopt.PowerBudget) -> None:
    """Nothing to compute or send, and a download without delay: T = 0 and E = 0, replicas without end."""
    free = fedopt.SubModel("free", flops=0.0, upload_bits=0.0, download_bits=1e6)
    found = fedopt.solve(fedopt.Problem(phones(2), (free,), budget=budget), matching=matching)
    assert found.status.solved, found.reason
    assert (found.duration, found.energy, found.utility) == (0.0, 0.0, math.inf)


def test_a_reason_names_nobody_where_nobody_needs_anything() -> None:
    for budget in (EnergyBudget(0.0), PowerBudget(0.0)):
        found = fedopt.schedule(phones(frequency_min=0.0), job(upload_bits=0.0), budget)
        assert found.status is Status.INFEASIBLE
        assert found.clients == ()
        assert found.reason.endswith(("only an endless round reaches.", "lets no client work."))


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize(
    "budget", [EnergyBudget(1.0), EnergyBudget(1e6), EnergyBudget(1e100), PowerBudget(10.0), TimePrice(1e3)]
)
def test_no_power_reaches_the_least_duration_of_a_client_without_greatest_power(timing: str, budget: Any) -> None:
    """power_max = inf: E grows beyond all bounds towards T_min = 1 s, so the round is longer; against the oracle."""
    clients = phones(2, frequency_max=1e9, power_max=np.inf)
    assert fedopt.allocate(clients, job(), duration=1.0).energy.min() == math.inf
    assert fedopt.allocate(clients, job(), duration=1.0 + 1e-4).energy.min() == math.inf  # e^x, x = 6,931
    found = fedopt.schedule(clients, job(), budget, timing=timing)
    assert found.status is Status.OPTIMAL, found.reason
    fleet = Fleet(clients, job().sized(2))
    close(found.energy, fleet.energy(found.duration), 1e-9)
    if isinstance(budget, TimePrice):
        cost = fleet.energy(found.duration) + budget.watts * found.duration
        for other in (found.duration * (1 - 1e-6), found.duration * (1 + 1e-6)):
            assert cost <= fleet.energy(other) + budget.watts * other
    else:
        allowed = budget.joules if isinstance(budget, EnergyBudget) else budget.watts * found.duration
        assert allowed * (1 - 1e-9) <= found.energy <= allowed


@pytest.mark.parametrize("power_max", [0.2, math.inf])
@pytest.mark.parametrize("matching", ["exact", "sorted", "marginal"])
def test_clients_without_gain_sit_out_whatever_their_power(matching: str, power_max: float) -> None:
    """0 times inf is no power at all: the two clients out of reach are idle, the third trains."""
    clients = fedopt.Clients(
        frequency_min=1e8, frequency_max=1e9, samples=100, channel_gain=[1e-10, 0.0, 0.0], bandwidth=1e6,
        power_max=power_max,
    )  # fmt: skip
    types = (fedopt.SubModel("L", flops=1e7, upload_bits=1e5), fedopt.SubModel.idle())
    for budget in (EnergyBudget(1.0), PowerBudget(1.0), fedopt.Deadline(5.0), fedopt.TimePrice(1.0)):
        found = fedopt.solve(fedopt.Problem(clients, types, budget=budget), matching=matching)
        assert found.status.solved, found.reason
        assert found.assignment is not None
        assert found.assignment.tolist() == [0, 1, 1]


@pytest.mark.parametrize("timing", TIMINGS)
def test_one_idle_client_changes_nothing_for_the_others(timing: str) -> None:
    """It takes no time and no energy: the duration is that of the others alone, not that of a round of idle clients."""
    for budget in (EnergyBudget(0.05), PowerBudget(0.02), TimePrice(0.01)):
        alone = fedopt.schedule(phones(), job(), budget, timing=timing)
        beside = fedopt.schedule(phones(2), job([1e9, 0.0], [1e6, 0.0]), budget, timing=timing)
        assert beside.status is alone.status
        assert alone.duration > 0.0
        close(beside.duration, alone.duration, 1e-12)


@pytest.mark.parametrize("budget", [EnergyBudget(math.inf), PowerBudget(math.inf)], ids=str)
def test_without_any_limit_a_price_of_time_that_is_no_number_is_too_much(budget: Any) -> None:
    """The upload takes 5e-5 s of 15 s: the energy is 5e301 J where the price is beyond 1e308 W."""
    clients = phones(2, frequency_min=0.0, frequency_max=[1.81e9, 3.75e9], channel_gain=[1.37e-17, 1.55e-8])
    clients = clients.replace(bandwidth=3.6e5, power_max=math.inf, power_min=1e-3, capacitance=1e-28)
    work = job([2.73e10, 3.66e10], [1.93e4, 2.65e3])
    found = fedopt.schedule(clients, work, budget)
    assert found.allocation is not None
    assert float(found.allocation.price.sum()) * found.duration < math.inf
    assert found.energy > 1e295
    report = fedopt.verify_schedule(clients, work, budget, found)
    assert report.ok, str(report)


@pytest.mark.parametrize("access", [None, fedopt.SharedBandwidth(1e6), fedopt.TimeDivision(1e6)], ids=str)
def test_what_is_too_little_work_for_a_double_is_refused_and_the_least_that_is_not_has_a_round(access: Any) -> None:
    """1e-98 s of computing: t^4 is less than any number. The energy is kappa W^3/t^2 at 2 kappa f^3 = 1 W."""
    clients = phones(2, frequency_min=0.0, frequency_max=1e10, capacitance=1e-28)
    for upload in (0.0, 1.0, [0.0, 1.0]):
        with pytest.raises(fedopt.InputError, match=r"work.cycles: client 0: expected 0, or .*1e-300.*found 2.1e-91"):
            fedopt.schedule(clients, job(2.1e-91, upload), TimePrice(1.0), access=access)
        fedopt.schedule(clients, job(2.2e-91, upload), TimePrice(1.0), access=access)
    found = fedopt.schedule(clients.take([0]), job(1e-90, 0.0), TimePrice(1.0), access=access)
    f = (1.0 / 2e-28) ** (1.0 / 3.0)
    close(found.duration, 1e-90 / f, 1e-12)
    close(found.energy, 1e-28 * 1e-90 * f * f, 1e-12)
    with pytest.raises(fedopt.InputError, match=r"client 1: expected 0, or .*found 1e-92"):
        fedopt.schedule(clients, job([0.0, 1e-92], 1.0), TimePrice(1.0), access=access)
