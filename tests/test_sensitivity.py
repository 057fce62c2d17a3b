"""Sensitivities against finite differences of whole re-solves, and the sentences made of them."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

import fedopt
from fedopt import devices

FIELDS = ("channel_gain", "bandwidth", "frequency_max", "capacitance", "samples")
TYPES = tuple(
    fedopt.SubModel(name, flops=3.4e7 * size, upload_bits=5.4e5 * size, cover=cover)
    for name, size, cover in (("L", 1.0, 1), ("M", 0.5, 2), ("S", 0.25, 2))
)
BUDGETS = (
    fedopt.PowerBudget(1.5),
    fedopt.PowerBudget(60.0),
    fedopt.EnergyBudget(60.0),
    fedopt.Deadline(30.0),
    fedopt.TimePrice(3.0),
)


def _problem(budget: fedopt.problem.Budget, seed: int = 4, **columns: object) -> fedopt.Problem:
    clients = devices.random_fleet(10, seed=seed).replace(**columns)
    return fedopt.Problem(clients, TYPES, budget=budget, partitions=[(4, 4, 2)])


def _value(problem: fedopt.Problem, assignment: np.ndarray, clients: fedopt.Clients) -> float:
    """What the sensitivity is of, by level 2 alone."""
    found = fedopt.schedule(clients, clients.workload(problem.submodels, assignment), problem.budget)
    match problem.budget:
        case fedopt.Deadline():
            return found.energy
        case fedopt.TimePrice(watts=watts):
            return found.energy + watts * found.duration
    return found.duration


def _at(problem: fedopt.Problem, assignment: np.ndarray, n: int, field: str, h: float) -> float:
    """The value with ln(field of client n) greater by h."""
    values = np.array(getattr(problem.clients, field))
    values[n] *= math.exp(h)
    return _value(problem, assignment, problem.clients.replace(**{field: values}))


def _difference(problem: fedopt.Problem, assignment: np.ndarray, n: int, field: str, step: float) -> float:
    """d value / d ln(field of client n), by central differences of two steps, Richardson's combination."""

    def slope(h: float) -> float:
        return (_at(problem, assignment, n, field, h) - _at(problem, assignment, n, field, -h)) / (2.0 * h)

    return (4.0 * slope(0.5 * step) - slope(step)) / 3.0


def _logarithmic(found: fedopt.Sensitivity, clients: fedopt.Clients, field: str) -> np.ndarray:
    if field == "channel_gain":
        return found.channel_gain * 10.0 / math.log(10.0)
    return np.asarray(getattr(found, field) * getattr(clients, field))


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{type(b).__name__}-{dataclasses.astuple(b)[0]:g}")
@pytest.mark.parametrize("extra", ["plain", "powers"])
def test_every_effect_equals_its_finite_difference(budget: fedopt.problem.Budget, extra: str) -> None:
    """Relative 1e-5 of the greatest effect's size; free clients and clients at f_min, f_max and p_max among them."""
    columns = {} if extra == "plain" else {"static_power": 0.02, "circuit_power": 0.03, "power_min": 1e-3}
    problem = _problem(budget, **columns)
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    found = fedopt.sensitivity(problem, solution)
    for field in FIELDS:
        ours = _logarithmic(found, problem.clients, field)
        for n in range(len(problem.clients)):
            theirs = _difference(problem, solution.assignment, n, field, 1e-3)
            assert ours[n] == pytest.approx(theirs, rel=1e-5, abs=1e-9 * abs(found.value)), (field, n)
    tenth = found.bandwidth * problem.clients.bandwidth * math.log(1.1)
    assert found.bandwidth_tenth == pytest.approx(tenth, rel=1e-14)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{type(b).__name__}-{dataclasses.astuple(b)[0]:g}")
def test_budget_effect_equals_its_finite_difference(budget: fedopt.problem.Budget) -> None:
    """A longer or richer budget by a ten-thousandth, up and down."""
    problem = _problem(budget)
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    amount, step = dataclasses.astuple(budget)[0], 1e-4
    ends = []
    for factor in (1.0 + step, 1.0 - step):
        changed = dataclasses.replace(problem, budget=type(budget)(amount * factor))
        ends.append(_value(changed, solution.assignment, problem.clients))
    found = fedopt.sensitivity(problem, solution)
    assert found.budget == pytest.approx((ends[0] - ends[1]) / (2.0 * step * amount), rel=1e-6)


def test_slack_budget_effects_are_those_of_the_clients_in_the_way() -> None:
    """At T_min only the binding client matters; two equal ones are both named, and neither alone saves anything."""
    problem = _problem(fedopt.PowerBudget(1e4))
    solution = fedopt.solve(problem)
    assert solution.status is fedopt.Status.SLACK
    assert solution.assignment is not None
    found = fedopt.sensitivity(problem, solution)
    assert len(found.binding) == 1
    assert found.budget == 0.0
    (n,) = found.binding
    for field in FIELDS:
        ours = _logarithmic(found, problem.clients, field)
        assert ours[n] == pytest.approx(_difference(problem, solution.assignment, n, field, 1e-4), rel=1e-5)
        assert not np.delete(ours, n).any()
    twins = problem.clients.take([n, n])
    pair = fedopt.Problem(twins, TYPES[:1], budget=fedopt.PowerBudget(1e4))
    answer = fedopt.solve(pair)
    assert fedopt.sensitivity(pair, answer).binding == (0, 1)
    assert [said.partition(" no ")[0] for said in fedopt.bottlenecks(pair, answer)] == [
        f"Client {n} holds the round up together with {1 - n}:" for n in (0, 1)
    ]


def test_price_of_time_at_the_least_duration() -> None:
    """Time so dear that T = T_min: the binding client bears the rest of the price."""
    problem = _problem(fedopt.TimePrice(1e4))
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    found = fedopt.sensitivity(problem, solution)
    assert len(found.binding) == 1
    for field in FIELDS:
        ours = _logarithmic(found, problem.clients, field)
        for n in range(10):
            theirs = _difference(problem, solution.assignment, n, field, 1e-4)
            assert ours[n] == pytest.approx(theirs, rel=1e-5, abs=1e-9 * found.value), (field, n)


ENDS = {  # where both speeds of a client are at ends of their ranges
    "least": {"frequency_min": 1.5e9, "power_min": 0.1},
    "fixed": {"frequency_min": 2e9, "power_min": 0.2},
    "fixed clock": {"frequency_min": 2e9, "power_min": 0.1},
}


def _kinked(ends: str, count: int, watts: float, bits: float = 1e6, **columns: object) -> fedopt.Problem:
    """One client at a kink of its energy, ``count`` times, and one that time cannot hurry."""
    gain, flops = np.array([1e-12] * count + [1e-9]), 1e8
    clients = fedopt.Clients(
        **ENDS[ends] | {"frequency_max": 2e9, "channel_gain": gain, "bandwidth": 1e5, "samples": 100.0} | columns
    )
    types = [fedopt.SubModel("t", flops=flops, upload_bits=bits)]
    return fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts))


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("bits", [0.0, 1e6])
def test_a_price_of_time_that_ends_at_a_kink_of_one_client(ends: str, bits: float) -> None:
    """The round follows that client's end: what the price leaves is its multiplier, binding or not.

    No double is the kink of some: the round lasts the one below it, where the least price is the one before the kink.
    """
    for seed in range(20, 28):
        rng = np.random.default_rng(seed)
        columns = {"samples": np.array([rng.uniform(90.0, 110.0), 1.0]), "channel_gain": rng.uniform(1e-12, 3e-12)}
        watts, late = rng.uniform(0.05, 0.3), rng.uniform(0.1, 5.0)
        problem = _kinked(ends, 1, watts, bits, **columns, overhead=late, circuit_power=0.05, static_power=0.2)
        solution = fedopt.solve(problem)
        assert solution.allocation is not None
        assert solution.assignment is not None
        assert abs(solution.allocation.price.sum() - watts) > 1e-3  # at a kink
        found = fedopt.sensitivity(problem, solution)
        for field in ("channel_gain", "bandwidth", "capacitance", "samples"):
            ours = _logarithmic(found, problem.clients, field)
            for n in range(2):
                theirs = _difference(problem, solution.assignment, n, field, 1e-4)
                assert ours[n] == pytest.approx(theirs, rel=1e-6, abs=1e-9 * found.value), (seed, field, n)


@pytest.mark.parametrize("ends", ENDS)
def test_effects_at_a_kink_of_several_clients_are_those_of_one_that_ends_later(ends: str) -> None:
    """A client that alone becomes longer bears all that the others leave; shorter alone it saves its own energy."""
    problem = _kinked(ends, 3, 0.2)
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    found, h = fedopt.sensitivity(problem, solution), 1e-6
    for field, longer in (("channel_gain", -h), ("bandwidth", -h), ("samples", h)):
        ours = _logarithmic(found, problem.clients, field)
        for n in range(3):
            one, other = (
                (_at(problem, solution.assignment, n, field, step) - found.value) / step for step in (longer, -longer)
            )
            assert ours[n] == pytest.approx(one, rel=1e-4)
            assert abs(other) < 0.9 * abs(one)


def test_a_client_at_a_kink_bears_no_more_than_it_would() -> None:
    """Above 2 kappa f_min^3 = 0.675 W it would compute faster; the two others bear the rest of 1.2 W."""
    problem = _kinked("least", 3, 1.2, power_min=0.2, capacitance=1e-28)
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    found, h = fedopt.sensitivity(problem, solution), 1e-6
    for field, longer in (("channel_gain", -h), ("samples", h)):
        ours = _logarithmic(found, problem.clients, field)
        theirs = (_at(problem, solution.assignment, 0, field, longer) - found.value) / longer
        assert ours[0] == pytest.approx(theirs, rel=1e-4)


def test_who_ends_a_little_before_the_round_pays_for_none_of_it() -> None:
    """By 4e-4 of it, at one speed as the other: more data cost the energy of computing alone, 4 J."""
    problem = _kinked("fixed", 1, 0.3, samples=[100.0, 99.95], channel_gain=1e-12)
    ours = _logarithmic(fedopt.sensitivity(problem, fedopt.solve(problem)), problem.clients, "samples")
    assert ours == pytest.approx([4.0 + 0.3 * 5.0, 4.0 * 0.9995], rel=1e-9)


def test_the_end_of_a_speed_whose_time_is_short_beside_the_round() -> None:
    """The last digits of a round of 275 s leave of 2 ms of sending a power 9e-11 below p_max: still at it."""
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=545519481.8214967,
        capacitance=1e-28,
        samples=5000.0,
        channel_gain=4.824104277323936e-11,
        bandwidth=2.5e6,
    )
    types = [fedopt.SubModel("t", flops=3e7, upload_bits=5e4)]
    problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(3000.0))
    solution = fedopt.solve(problem)
    assert solution.allocation is not None
    assert solution.assignment is not None
    assert abs(solution.allocation.power[0] / 0.2 - 1.0) < 1e-9
    found = fedopt.sensitivity(problem, solution)
    for field in ("channel_gain", "bandwidth"):
        theirs = _difference(problem, solution.assignment, 0, field, 0.1)
        assert _logarithmic(found, clients, field)[0] == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("watts", [0.5, 3.0])
def test_a_sliver_of_a_round_has_no_end_of_its_speeds_nearby(watts: float) -> None:
    """3 ns of 6 s after the other's one round: between the ends of both speeds, so that its price is its own."""
    quick = {
        "frequency_min": [2e9, 5e8],
        "frequency_max": [2e9, 3e9],
        "power_min": [0.2, 0.06],
        "power_max": [0.2, 9.0],
    }
    radio = {"samples": 100.0, "channel_gain": [1e-12, 1e-5], "bandwidth": [1e5, 1e15], "flops_per_cycle": [1.0, 1e10]}
    types = [fedopt.SubModel("t", flops=1e8, upload_bits=1e6)]
    alone = fedopt.schedule(
        fedopt.Clients(**quick | radio).take([0]), fedopt.Workload(cycles=1e10, upload_bits=1e6), fedopt.Deadline(1e3)
    )
    assert alone.allocation is not None
    first = float(alone.allocation.compute_time[0] + alone.allocation.upload_time[0])
    clients = fedopt.Clients(**quick | radio, overhead=[0.0, first - 3e-9])
    problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts))
    solution = fedopt.solve(problem)
    assert solution.allocation is not None
    assert solution.duration == pytest.approx(first, rel=1e-15)
    f, own = solution.allocation.frequency[1], float(solution.allocation.price[1])
    assert 6e8 < f < 2.9e9
    assert 0.1 < solution.allocation.power[1] < 8.0
    assert 0.01 < own < watts
    ours = _logarithmic(fedopt.sensitivity(problem, solution), clients, "samples")
    spent, seconds = 1e-28 * 1e10 * 2e9**2, 5.0  # of the first to compute, at its one speed
    assert ours[0] == pytest.approx(spent + (watts - own) * seconds, rel=1e-6)


@pytest.mark.parametrize("watts", [5.6, 6.4, 7.0, 8.4])
def test_a_kink_that_the_round_is_some_roundings_beyond(watts: float) -> None:
    """At f_min, and for 15 ms of 42 s at p_max: the bracket of the duration closes a few of its last digits later."""
    clients = fedopt.Clients(
        frequency_min=[2.4e9, 0.0],
        frequency_max=[2.8e9, 2.6e9],
        capacitance=3e-28,
        samples=[1430.0, 978.0],
        channel_gain=[5.8e-10, 7e-13],
        bandwidth=[4e6, 1.4e6],
        power_max=[0.012, 0.028],
        power_min=[0.009, 0.028],
        flops_per_cycle=[1.7, 1.4],
        local_epochs=4.0,
    )
    types = [fedopt.SubModel("t", flops=3e7, upload_bits=5e5)]
    problem = fedopt.Problem(clients, types, budget=fedopt.TimePrice(watts))
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    ours = _logarithmic(fedopt.sensitivity(problem, solution), clients, "channel_gain")
    theirs = _difference(problem, solution.assignment, 0, "channel_gain", 1e-3)
    assert ours[0] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(
    ("budget", "verb", "unit"),
    [
        (fedopt.PowerBudget(1.5), "holds the round up", "s"),
        (fedopt.Deadline(30.0), "costs most", "J"),
        (fedopt.TimePrice(3.0), "costs most", "J"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sentences_say_what_a_new_solve_finds(budget: fedopt.problem.Budget, verb: str, unit: str) -> None:
    """The number in the sentence is the difference of two schedules, of all that the budget asks to be least."""
    problem = _problem(budget)
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    sentences, before = (
        fedopt.bottlenecks(problem, solution, count=3),
        _value(problem, solution.assignment, problem.clients),
    )
    assert len(sentences) == 3
    changes = {"3 dB more": ("channel_gain", 10**0.3), "10 % more clock": ("frequency_max", 1.1)}
    changes |= {"10 % more would": ("bandwidth", 1.1), "10 % less capacitance": ("capacitance", 1 / 1.1)}
    changes |= {"10 % fewer samples": ("samples", 1 / 1.1)}
    for sentence in sentences:
        pattern = rf"Client (\d+)'s \w+ {verb}: (.*) would save ([\d.]+) (m?){unit}, with everybody"
        parts = re.match(pattern, sentence)
        assert parts is not None, sentence
        n, amount = int(parts[1]), float(parts[3]) * (1e-3 if parts[4] else 1.0)
        field, factor = next(change for words, change in changes.items() if words in sentence)
        values = np.array(getattr(problem.clients, field))
        values[n] *= factor
        after = _value(problem, solution.assignment, problem.clients.replace(**{field: values}))
        assert amount == pytest.approx(before - after, rel=6e-3)


def test_idle_clients_and_refusals() -> None:
    """Idle clients have no effect; without a decision there is nothing to differentiate."""
    types = (*TYPES, fedopt.SubModel.idle())
    clients = devices.random_fleet(10, seed=4)
    problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(1.5), partitions=[(4, 2, 2, 2)])
    solution = fedopt.solve(problem)
    assert solution.assignment is not None
    found, idle = fedopt.sensitivity(problem, solution), solution.assignment == 3
    for field in FIELDS:
        effect = getattr(found, field)
        assert not effect[idle].any()
        assert np.isfinite(effect).all()
        assert not effect.flags.writeable
    held = solution.sensitivity
    assert held is not None
    assert held.budget == found.budget
    assert (held.channel_gain == found.channel_gain).all()
    starved = dataclasses.replace(problem, budget=fedopt.EnergyBudget(1e-9))
    assert fedopt.solve(starved).sensitivity is None
    shared = dataclasses.replace(problem, access=fedopt.TimeDivision(1e6))
    assert fedopt.solve(shared, matching="sorted").sensitivity is None
    with pytest.raises(fedopt.InputError, match="with a decision"):
        fedopt.sensitivity(starved, fedopt.solve(starved))
    other = fedopt.Problem(clients.take(slice(0, 4)), TYPES, budget=fedopt.PowerBudget(1.0), partitions=[(2, 2, 0)])
    with pytest.raises(fedopt.InputError, match="4 clients"):
        fedopt.sensitivity(other, solution)
