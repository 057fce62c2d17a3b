"""The front: against every matching there is, its boxes, budgets answered from it, its file and its picture."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fleets import mnist_types

import fedopt
from fedopt import devices
from solvers.matching.curve import At, trace

TYPES = tuple(
    fedopt.SubModel(name, flops=3.4e7 * size, upload_bits=5.4e5 * size)
    for name, size in (("L", 1.0), ("M", 0.5), ("S", 0.25))
)


def _problem(size: int, seed: int, *partitions: tuple[int, ...], watts: float = 2.0) -> fedopt.Problem:
    clients = devices.random_fleet(size, seed=seed)
    return fedopt.Problem(clients, TYPES, budget=fedopt.PowerBudget(watts), partitions=list(partitions) or None)


def _matchings(counts: tuple[int, ...]) -> list[np.ndarray]:
    """Every assignment with these counts, once."""
    places = [k for k, count in enumerate(counts) for _ in range(count)]
    return [np.array(order) for order in sorted(set(itertools.permutations(places)))]


def _least(problem: fedopt.Problem, matchings: list[np.ndarray], duration: float) -> float:
    """E*(T) the slow way."""
    work = (problem.clients.workload(TYPES, assignment) for assignment in matchings)
    return min(float(fedopt.allocate(problem.clients, each, duration=duration).energy.sum()) for each in work)


@pytest.mark.parametrize("seed", range(4))
def test_points_are_the_best_of_every_matching(seed: int) -> None:
    """Six clients, 90 matchings: E* at every point, no shorter round than the first, no cheaper one than the last."""
    problem = _problem(6, seed, (2, 2, 2))
    (curve,) = fedopt.pareto(problem, points=12).curves
    matchings = _matchings((2, 2, 2))
    assert len(curve.duration) == 12
    for T, E in zip(curve.duration, curve.energy, strict=True):
        assert _least(problem, matchings, T) == pytest.approx(E, rel=1e-12)
    assert _least(problem, matchings, curve.duration[0] * (1.0 - 1e-9)) == np.inf
    assert curve.energy[-1] <= 1.001 * _least(problem, matchings, 1e6) * (1.0 + 1e-12)


def test_a_curve_falls_and_says_what_changes() -> None:
    """Durations rise, energies fall; assignments have the partition's counts and cost what the curve says."""
    problem = fedopt.Problem(devices.phones64(), TYPES, budget=fedopt.PowerBudget(10.0), partitions=[(20, 20, 24)])
    (curve,) = fedopt.pareto(problem).curves
    assert (np.diff(curve.duration) > 0.0).all()
    assert (np.diff(curve.energy) <= 0.0).all()
    assert curve.changed[0] == 0
    assert curve.changed.sum() > 0
    for i, assignment in enumerate(curve.assignment):
        assert tuple(np.bincount(assignment, minlength=3)) == curve.partition
        if i:
            assert curve.changed[i] == np.count_nonzero(assignment != curve.assignment[i - 1])
        work = problem.clients.workload(TYPES, assignment.astype(np.int64))
        round_ = fedopt.schedule(problem.clients, work, fedopt.Deadline(curve.duration[i]))
        assert round_.energy == pytest.approx(curve.energy[i], rel=1e-12)
    for values in (curve.duration, curve.energy, curve.assignment, curve.changed, curve.prices):
        assert not values.flags.writeable


def test_the_boxes_hold_the_curve() -> None:
    """Between two points the least energy lies between theirs."""
    front = fedopt.pareto(_problem(24, 7, (8, 8, 8)), points=8)
    T, E = front.curves[0].duration, front.curves[0].energy
    for duration in np.random.default_rng(0).uniform(T[0], T[-1], 40):
        i = int(np.searchsorted(T, duration)) - 1
        energy = front.at(fedopt.Deadline(duration)).energy
        assert E[i + 1] * (1.0 - 1e-12) <= energy <= E[i] * (1.0 + 1e-12)


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_each_point_halves_the_largest_box(power: float) -> None:
    """By area in ln T and ln E, from the ends on; where more time saves next to nothing, no point is wasted."""

    def match(duration: float, prices: np.ndarray | None) -> At:
        energy = 1.0 + 50.0 * (duration - 0.9) ** -power if duration < np.inf else 1.0
        return At(duration=duration, energy=energy, assignment=np.zeros(1, dtype=np.int64), prices=np.zeros(1))

    found = trace(match, 1.0, 12)
    points = [found[0], found[-1]]
    while len(points) < 12:
        areas = [np.log(b.duration / a.duration) * np.log(a.energy / b.energy) for a, b in itertools.pairwise(points)]
        i = int(np.argmax(areas))
        points.insert(i + 1, match(np.sqrt(points[i].duration * points[i + 1].duration), None))
    assert [at.duration for at in found] == pytest.approx([at.duration for at in points], rel=1e-12)
    assert found[0].duration == 1.0
    assert found[-1].energy <= 1.001 or found[-1].duration == 1e3
    assert found[-1].energy > 1.0 + 0.5e-3 or power == 4.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("points", [2, 20])
def test_a_budget_is_answered_as_solve_answers_it(seed: int, points: int) -> None:
    """Slack, tight, beyond both ends and out of reach; two partitions of different worth."""
    problem = _problem(20, seed, (8, 8, 4), (2, 4, 14))
    front = fedopt.pareto(problem, points=points)
    low, high = front.curves[1].energy[-1], front.curves[0].energy[0]
    budgets: list[fedopt.problem.Budget] = [fedopt.PowerBudget(w) for w in np.geomspace(0.01, 1e4, 15)]
    budgets += [fedopt.EnergyBudget(joules) for joules in np.geomspace(0.5 * low, 2.0 * high, 15)]
    budgets += [fedopt.Deadline(T) for T in front.curves[0].duration[0] * np.geomspace(0.3, 100.0, 12)]
    statuses = set()
    for budget in budgets:
        own = fedopt.Problem(problem.clients, TYPES, budget=budget, partitions=[(8, 8, 4), (2, 4, 14)])
        ours, theirs = front.at(budget), fedopt.solve(own)
        assert ours.status is theirs.status
        statuses.add(ours.status)
        if not theirs.status.solved:
            continue
        assert ours.utility == pytest.approx(theirs.utility, rel=1e-12)
        assert ours.energy == pytest.approx(theirs.energy, rel=1e-9)  # of several matchings as short, the cheapest
        assert ours.bound == pytest.approx(theirs.bound, rel=1e-12)
        assert ours.verdict is not None
        assert ours.verdict.feasible
    assert statuses == {fedopt.Status.OPTIMAL, fedopt.Status.SLACK, fedopt.Status.INFEASIBLE}
    for watts in np.geomspace(0.01, 1e4, 8):
        own = fedopt.Problem(problem.clients, TYPES, budget=fedopt.TimePrice(watts), partitions=[(8, 8, 4), (2, 4, 14)])
        ours, theirs = front.at(own.budget), fedopt.solve(own)
        assert ours.partition == theirs.partition
        assert ours.cost_bracket == pytest.approx(theirs.cost_bracket, rel=1e-9)
        assert ours.reason == theirs.reason


@pytest.mark.parametrize("flops", [3.4e7, 0.0])
@pytest.mark.parametrize("counts", [(1, 2), (0, 3)])
def test_power_without_limit_begins_where_twice_the_time_to_send_saves_less_than_a_thousandth(
    flops: float, counts: tuple[int, ...]
) -> None:
    """The shortest round takes infinite power: the front begins a power of two of it, or of 1 s where it takes no time,
    later, the first at which E is at most a thousand times that of twice as much later."""
    clients = devices.random_fleet(3, seed=1).replace(power_max=np.inf, overhead=0.0, download_rate=np.inf)
    types = tuple(replace(type_, flops=flops * type_.upload_bits / TYPES[0].upload_bits) for type_ in TYPES[:2])
    problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(2.0), partitions=[counts])
    front = fedopt.pareto(problem, points=4).curves[0]
    matchings = _matchings(counts)
    works = [clients.workload(types, assignment) for assignment in matchings]
    shortest = min(float((work.cycles / clients.frequency_max).max()) for work in works)
    unit = shortest or 1.0
    later = front.duration[0] - shortest
    assert np.log2(later / unit) == pytest.approx(round(np.log2(later / unit)), abs=1e-9)

    def fall(later: float) -> float:
        """How many times the energy of twice as much later this is."""
        near, far = (
            min(float(fedopt.allocate(clients, work, duration=shortest + x).energy.sum()) for work in works)
            for x in (later, 2.0 * later)
        )
        return near / far

    assert fall(later) <= 1e3 < fall(0.5 * later)


def test_the_sorted_front_is_one_matching_and_never_better() -> None:
    """The paper's rule: no client ever changes, and the exact front lies at or below it."""
    problem = _problem(16, 5, (4, 4, 8))
    exact, paper = fedopt.pareto(problem), fedopt.pareto(problem, matching="sorted")
    curve = paper.curves[0]
    assert not curve.changed.any()
    assert exact.curves[0].duration[0] <= curve.duration[0]
    for T, E in zip(curve.duration, curve.energy, strict=True):
        assert exact.at(fedopt.Deadline(T)).energy <= E * (1.0 + 1e-12)
    for budget in (fedopt.PowerBudget(1.5), fedopt.Deadline(1.5 * curve.duration[0])):
        own = fedopt.Problem(problem.clients, TYPES, budget=budget, partitions=[(4, 4, 8)])
        answer = paper.at(budget)
        assert answer.duration == pytest.approx(fedopt.solve(own, matching="sorted").duration, rel=1e-12)
        assert np.isnan(answer.bound)


def test_without_a_list_the_winner_has_the_curve() -> None:
    """partitions=None: the partition that solve() finds, and its answer lies on the curve."""
    problem = _problem(12, 2)
    best, front = fedopt.solve(problem), fedopt.pareto(problem)
    assert [curve.partition for curve in front.curves] == [best.partition]
    assert front.at(problem.budget).utility == pytest.approx(best.utility, rel=1e-12)


def test_idle_places_and_clients_out_of_reach() -> None:
    """An idle place takes the unreachable client; where it has to work there is no curve, and no answer."""
    types = (*TYPES[:2], fedopt.SubModel.idle())
    gain = np.array(devices.random_fleet(5, seed=1).channel_gain)
    gain[3] = 0.0
    clients = devices.random_fleet(5, seed=1).replace(channel_gain=gain)
    partitions = [(2, 2, 1), (3, 2, 0)]
    problem = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(1.0), partitions=partitions)
    front = fedopt.pareto(problem, points=5)
    assert (front.curves[0].assignment[:, 3] == 2).all()
    assert front.curves[1].duration.size == 0
    assert front.curves[1].assignment.shape == (0, 5)
    assert front.at(fedopt.PowerBudget(1.0)).partition == (2, 2, 1)
    alone = fedopt.Problem(clients, types, budget=fedopt.PowerBudget(1.0), partitions=partitions[1:])
    assert fedopt.pareto(alone).at(fedopt.PowerBudget(1.0)).status is fedopt.Status.INFEASIBLE


def test_refusals() -> None:
    """Too few points, an unknown matching, a budget that picks no partition."""
    problem = _problem(6, 0, (2, 2, 2))
    with pytest.raises(fedopt.InputError, match="at least 2"):
        fedopt.pareto(problem, points=1)
    with pytest.raises(fedopt.InputError, match="exact, sorted"):
        fedopt.pareto(problem, matching="random")
    poor = fedopt.Problem(problem.clients, TYPES, budget=fedopt.EnergyBudget(1e-9))
    with pytest.raises(fedopt.InputError, match="some round meets"):
        fedopt.pareto(poor)


def test_the_file_keeps_every_digit(tmp_path: Path) -> None:
    """A row per point, read back bit for bit."""
    front = fedopt.pareto(_problem(12, 3, (4, 4, 4), (2, 4, 6)), points=5)
    front.to_csv(tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["partition"] for row in rows] == ["4/4/4"] * 5 + ["2/4/6"] * 5
    for name, field in (("duration[s]", "duration"), ("energy[J]", "energy"), ("changed", "changed")):
        assert [float(row[name]) for row in rows] == [x for c in front.curves for x in getattr(c, field).tolist()]
    assert all(
        float(row["power[W]"]) * float(row["duration[s]"]) == pytest.approx(float(row["energy[J]"])) for row in rows
    )


def test_the_picture_shows_curves_boxes_budget_and_points(tmp_path: Path) -> None:
    """Every curve's own numbers, a box between two points of an exact curve, and the baselines where they are."""
    pytest.importorskip("matplotlib")
    from fedopt.frontplot import draw_front
    from fedopt.plots import save

    problem = _problem(12, 3, (4, 4, 4))
    exact, paper = fedopt.pareto(problem, points=6), fedopt.pareto(problem, points=4, matching="sorted")
    figure = draw_front(exact, paper, points={"all large": (40.0, 50.0)})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == [
        "best matching: 4 L, 4 M, 4 S",
        "the paper's sorted matching: 4 L, 4 M, 4 S",
        "all large",
        "budget: 2 W on average",
    ]
    drawn = lines["best matching: 4 L, 4 M, 4 S"]
    assert np.array_equal(drawn.get_xdata(), exact.curves[0].duration)
    assert np.array_equal(drawn.get_ydata(), exact.curves[0].energy)
    assert list(lines["all large"].get_xdata()) == [40.0]
    assert len(axes.collections) == 5
    slope = np.asarray(lines["budget: 2 W on average"].get_ydata()) / lines["budget: 2 W on average"].get_xdata()
    assert slope == pytest.approx(2.0)
    for limits, values in ((axes.get_xlim(), exact.curves[0].duration), (axes.get_ylim(), exact.curves[0].energy)):
        assert limits[0] < values.min() < values.max() < limits[1]
    assert save(figure, tmp_path / "front.png").stat().st_size > 10_000
    with pytest.raises(fedopt.InputError, match="at least one front"):
        draw_front()


def test_within_a_box_of_sorted_matchings_nothing_is_proved() -> None:
    """Neither bound nor bracket, as it is said; of all matchings there are both."""
    clients, types, budget = fedopt.devices.random_fleet(12, seed=1), mnist_types(), fedopt.PowerBudget(3.0)
    partition = tuple(fedopt.solve(fedopt.Problem(clients, types, budget=budget)).partition or ())
    problem = fedopt.Problem(clients, types, budget=budget, partitions=[partition])
    for matching in ("sorted", "exact"):
        front = fedopt.pareto(problem, matching=matching, points=6)
        answer = front.at(fedopt.EnergyBudget(float(front.curves[0].energy[2:4].mean())))
        assert answer.status.solved
        assert np.isfinite([answer.bound, *answer.bracket]).all() == (matching == "exact")
        assert np.isnan([answer.bound, *answer.bracket]).all() == (matching == "sorted")
