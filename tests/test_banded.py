"""Matchings on a shared band at a deadline or a price of time: what is proved, tried and kept, part by part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fleets import make, mnist_types
from tasks import task_asked
from test_ruled_parts import Scripted

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, SharedBandwidth, TimeDivision, TimePrice
from solvers.access import shared
from solvers.matching import banded
from solvers.matching.bandcosts import BandCosts
from solvers.matching.stretches import OFF
from solvers.matching.task import DURATION, ENERGY, STOPPED, Task
from solvers.matching.transport import Transport, transport
from solvers.menu import IntArray, fill
from solvers.rows import FloatArray, Goal, Rows, Stop

HERTZ, PRICE = 2e6, 0.7
TYPES = mnist_types((1, 2, 2, 4))[:3]


def task_of(budget: Any) -> Task:
    """What level 1 is asked of a few phones on one channel."""
    problem = fedopt.Problem(make("typical", 0, 5).clients, TYPES, budget=budget, access=SharedBandwidth(HERTZ))
    return task_asked(problem, "solvers.matching.priced.search")


def sorted_matching(task: Task, p: int) -> IntArray:
    return fill(task.counts[p], task.menu.types, task.menu.order)


@pytest.mark.parametrize("price", [0.0, PRICE])
def test_who_has_the_channel_pays_for_all_of_it(price: float) -> None:
    costs: Any = None
    band = banded._Band(costs=costs, unit=1.0, price=price)
    for mu in (0.3, 20.0):
        assert band.slope(mu) == price
        for value in (5.0, 800.0):
            proved = float(band.proved(np.array([value]), mu)[0])
            assert value * (1.0 - 2e-12) - mu < proved < value - mu
        for taken, over in ((0.5, math.log(0.5)), (2.0, math.log(2.0)), (0.0, -OFF), (math.inf, OFF)):
            assert band.excess(3.0, 50.0, taken, 40.0, mu) == (over, mu * (taken - 1.0))


@pytest.mark.parametrize("seconds", [20.0, 45.0])
def test_a_deadline_asks_for_prices_of_about_a_tenth_of_the_energy(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at the deadline alone; being in time is all that is to be known of a duration."""
    task = task_of(Deadline(seconds))
    costs = BandCosts(task.menu)
    scheme = banded._Banded(task, costs)
    band = scheme.coupling(3.0)
    assert band.costs is costs
    assert band.unit == pytest.approx(0.3 * seconds)
    assert (band.price, band.latest, band.cheaper) == (0.0, True, True)
    some = 0
    for counts in task.counts:

        def match(least: FloatArray, counts: IntArray = counts) -> Any:
            return transport(least, counts)

        found, known = scheme.shortest(match), BandCosts(task.menu).in_time(seconds, match)
        assert (found is None) == (known is None)
        if found is not None and known is not None:
            some += 1
            assert found[0] == 0.0
            assert found[1].tolist() == known.tolist()
            again = scheme.schedule(task.menu.rows_of(known))
            assert again.duration == seconds
            assert again.stop is Stop.OPTIMAL
    assert 0 < some <= len(task.counts)


@pytest.mark.parametrize("budget", [Deadline(20.0), TimePrice(PRICE)], ids=str)
def test_passes_are_those_of_the_rounds_and_of_the_costs(budget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, passes = task_of(budget), list[int]()
    kept = list[BandCosts]()

    def counting(rows: Rows, hertz: float, goal: Goal, value: float, *near: Any) -> Any:
        found = shared.schedule(rows, hertz, goal, value, *near)
        passes.append(found.timing.passes)
        assert (hertz, value) == (HERTZ, task.value)
        return found

    def costs_of(menu: Any) -> BandCosts:
        kept.append(BandCosts(menu))
        return kept[-1]

    monkeypatch.setattr(banded, "schedule", counting)
    monkeypatch.setattr(banded, "BandCosts", costs_of)
    found = banded.search(task)
    assert np.isfinite(found.results[:, DURATION]).any()
    assert len(kept) == 1
    assert found.passes == sum(passes) + kept[0].passes
    assert kept[0].passes > 0 < sum(passes)


@dataclass
class Known:
    """Rounds of matchings by their number: an answer (duration [s], energy [J]) or none."""

    answers: dict[int, tuple[float, float] | None]
    price: float = 30.0  # of bandwidth [J/channel]
    number: Callable[[Any], int] = lambda rows: int(rows[0])
    nears: list[Any] = field(default_factory=list)

    def schedule(self, rows: Any, hertz: float, goal: Goal, value: float, near: Any) -> Any:
        assert (hertz, goal, value) == (HERTZ, Goal.PRICE, PRICE)
        self.nears.append(near)
        answer = self.answers[self.number(rows)]
        point = None if answer is None else SimpleNamespace(energy=np.full(4, 0.25 * answer[1]))
        timing = SimpleNamespace(passes=10, point=point, duration=answer[0] if answer else math.nan, stop=Stop.OPTIMAL)
        return SimpleNamespace(timing=timing, bandwidth_price=self.price / hertz)


def told(answers: dict[int, Any], monkeypatch: pytest.MonkeyPatch, price: float = 30.0) -> tuple[Any, Known]:
    """A search at a price of time that is told what rounds there are, and what it is told by."""
    task, known = task_of(TimePrice(PRICE)), Known(answers, price)
    run: Any = banded._Run(task, BandCosts(task.menu))
    run.menu = SimpleNamespace(rows_of=lambda matching: matching, types=task.menu.types, order=task.menu.order)
    monkeypatch.setattr(banded, "schedule", known.schedule)
    return run, known


@pytest.mark.parametrize("budget", [Deadline(45.0), TimePrice(PRICE)], ids=str)
def test_one_client_and_one_type_have_the_channel_for_themselves(budget: Any) -> None:
    clients = make("typical", 0, 1).clients
    found = fedopt.solve(fedopt.Problem(clients, TYPES[:1], budget=budget, access=SharedBandwidth(HERTZ)))
    alone = fedopt.schedule(
        clients.replace(bandwidth=HERTZ), clients.workload(TYPES[:1], np.zeros(1, dtype=np.int64)), budget
    )
    assert found.status.solved
    assert (found.duration, found.energy) == pytest.approx((alone.duration, alone.energy), rel=1e-9)


@pytest.mark.parametrize(
    "access", [SharedBandwidth(HERTZ), TimeDivision(HERTZ)], ids=lambda access: type(access).__name__
)
@pytest.mark.parametrize("more", [1.0, 1e-3, 1e-6])
def test_the_bound_of_the_only_matching_is_that_of_its_own_round(access: Any, more: float) -> None:
    """Next to the least energy, where prices say next to nothing of the duration, too."""
    clients = make("typical", 3, 4).clients
    work = clients.workload(TYPES[:1], np.zeros(4, dtype=np.int64))
    for budget in (EnergyBudget, PowerBudget):
        least = fedopt.schedule(clients, work, Deadline(1e9), access=access).energy
        amount = least * (1.0 + more) / (1.0 if budget is EnergyBudget else 100.0)
        problem = fedopt.Problem(clients, TYPES[:1], budget=budget(amount), access=access)
        found, alone = fedopt.solve(problem), fedopt.schedule(clients, work, budget(amount), access=access)
        assert found.status is alone.status is fedopt.Status.OPTIMAL
        assert found.duration == alone.duration
        assert found.bracket[0] == alone.bracket[0] > 0.0
        assert 1.0 <= found.bound / found.utility < 1.0 + 1e-8
        report = fedopt.verify(problem, found)
        assert report.ok, str(report)


@pytest.mark.parametrize(
    ("access", "joules"), [(SharedBandwidth(3e5), 0.05), (TimeDivision(3e5), 0.03)], ids=["band", "turns"]
)
def test_an_only_matching_that_no_round_can_do_bounds_nothing(access: Any, joules: float) -> None:
    """It is quick, and takes more than the budget however long: what is proved is as of the other partition alone."""
    clients = fedopt.Clients(
        frequency_min=1e7, frequency_max=1.2e9, samples=500.0, channel_gain=[2e-11] * 2, bandwidth=4e5,
        power_min=0.1, power_max=0.1,
    )  # fmt: skip
    types = [
        fedopt.SubModel("sends", flops=0.0, upload_bits=8e5), fedopt.SubModel("computes", flops=5e7, upload_bits=3e5),
    ]  # fmt: skip
    found = [
        fedopt.solve(
            fedopt.Problem(
                clients,
                types,
                budget=EnergyBudget(joules),
                access=access,
                utility=fedopt.ShortestRound(),
                partitions=partitions,
            )
        )
        for partitions in ([(2, 0)], [(0, 2)], [(2, 0), (0, 2)])
    ]
    assert found[0].status is fedopt.Status.INFEASIBLE
    assert (found[2].duration, found[2].bound) == (found[1].duration, found[1].bound)


@pytest.mark.parametrize("partitions", [((2, 1),), ((3, 0), (2, 1))])
def test_at_a_price_of_time_who_has_no_channel_gets_what_sends_nothing(partitions: Any) -> None:
    """Sorted and marginal matchings give it to a client with a channel; that price is what the matching costs."""
    clients = fedopt.Clients(
        frequency_min=0.0,
        frequency_max=1.5e9,
        samples=500.0,
        channel_gain=[0.0, 1e-11, 2e-11],
        bandwidth=2e5,
        power_max=0.2,
    )
    types = [
        fedopt.SubModel("sends", flops=2e7, upload_bits=3e5), fedopt.SubModel("computes", flops=3e7, upload_bits=0.0),
    ]  # fmt: skip
    budget, access = TimePrice(10.0), SharedBandwidth(1e6)
    problem = fedopt.Problem(clients, types, budget=budget, access=access, partitions=partitions)
    found = fedopt.solve(problem)
    assert found.status is fedopt.Status.OPTIMAL
    assert found.assignment.tolist() == [1, 0, 0]
    alone = fedopt.schedule(clients, clients.workload(types, found.assignment), budget, access=access)
    assert found.energy + 10.0 * found.duration == pytest.approx(alone.energy + 10.0 * alone.duration, rel=1e-12)
    report = fedopt.verify(problem, found)
    assert report.ok, str(report)


def test_the_cheapest_answer_of_a_partition_is_kept_beyond_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each matching is tried once, from the last answer on where that has a duration and a price."""
    close, better = 100.0 * (1.0 - 1e-11), 100.0 * (1.0 - 1e-9)
    answers = [None, (10.0, 100.0), (10.0, close), (10.0, better), (20.0, 100.0), None, (1.0, 50.0)]
    answers.insert(6, (0.0, (better + PRICE * 10.0) * banded._BETTER))  # by no more than rounding
    script, kept = dict(enumerate(answers)), dict(enumerate([None, 1, 1, 3, 3, 3, 3, 7]))
    run, known = told(script, monkeypatch)
    for number, last in kept.items():
        for _ in range(2):
            run.propose(np.array([number]), 2)
        assert run.passes == 10 * (number + 1)
        if last is None:
            assert 2 not in run.chosen
            continue
        T, E = script[last] or (math.nan, math.nan)
        assert run.chosen[2].tolist() == [last]
        assert run.results[2, [DURATION, ENERGY, STOPPED]].tolist() == [T, E, Stop.OPTIMAL]
        assert run.known[2] == pytest.approx(E + PRICE * T, rel=1e-15)
    assert known.nears == [None, None, *((T, pytest.approx(30.0)) for T in (10.0, 10.0, 10.0, 20.0, 20.0)), None]
    run.propose(np.array([3]), 4)  # known already, of another partition
    assert 4 not in run.chosen
    for price, T in ((0.0, 10.0), (30.0, 0.0), (0.5, 0.25)):
        run, known = told({1: (T, 100.0), 2: (3.0, 90.0)}, monkeypatch, price)
        run.propose(np.array([1]), 2)
        run.propose(np.array([2]), 2)
        assert known.nears == [None, None if price * T == 0.0 else (T, price)]
        assert run.chosen[2].tolist() == [2]


def test_prices_of_bandwidth_begin_at_the_last_one_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bandwidth had none, about as large as if a tenth of what a round costs were for it."""
    for price in (30.0, 0.5, 0.0):
        run, _ = told({0: (10.0, 100.0), 1: (9.0, 90.0)}, monkeypatch, price)
        run.propose(np.array([0]), 0)
        band = run.bounding(np.zeros(1), 0)
        assert band.unit == pytest.approx(price or 0.1 * (100.0 + 10.0 * PRICE))
        assert (band.price, band.latest, band.costs) == (PRICE, False, run._costs)
        run.propose(np.array([1]), 0)
        assert run.bounding(np.zeros(1), 3) is band
        assert run.before is True


def test_the_first_matching_is_the_best_at_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the sorted one; a duration of 0 where that has no answer, either."""
    task = task_of(TimePrice(PRICE))
    costs = BandCosts(task.menu).at(60.0, 30.0).costs
    matched = {p: transport(costs, counts) for p, counts in enumerate(task.counts)}
    p, best = next(
        (p, found.assignment)
        for p, found in matched.items()
        if isinstance(found, Transport) and not np.array_equal(found.assignment, sorted_matching(task, p))
    )
    for mine, its, at, duration, solved, tried in (
        ((50.0, 9.0), (40.0, 8.0), (60.0, 30.0), 50.0, 1, 1),
        (None, (40.0, 8.0), (60.0, 30.0), 40.0, 1, 2),
        (None, None, (60.0, 30.0), 0.0, 2, 2),  # and what leaves nobody out of reach: one of these two
        ((50.0, 9.0), (40.0, 8.0), (60.0, 0.5), 50.0, 1, 1),
        ((50.0, 9.0), (40.0, 8.0), (60.0, 0.0), 40.0, 0, 1),
        ((50.0, 9.0), (40.0, 8.0), (0.0, 30.0), 40.0, 0, 1),
        ((50.0, 9.0), (40.0, 8.0), (1e-3, 30.0), 40.0, 1, 1),  # nobody is done by then
    ):
        run, known = told({1: mine, 0: its}, monkeypatch)
        known.number = lambda matching: int(np.array_equal(matching, best))
        assert run._at == (0.0, 0.0)
        run._at = at
        assert run.first(p) == duration
        assert run.solved == solved
        assert len(known.nears) == tried
        assert p not in run.done


class Proposing(Scripted):
    """The same matching, at every look."""

    def least(self, p: int) -> float:
        return 77.0 + p

    def look(self, at: int, p: int, aim: Callable[[], float], propose: Callable[[IntArray], None]) -> None:
        super().look(at, p, aim, propose)
        propose(np.array([9]))


def test_a_partition_is_solved_until_its_bound_is_what_is_known_or_nothing_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = dict.fromkeys(range(3), (10.0, 100.0)) | {9: (9.0, 90.0)}
    cost, better = 100.0 + PRICE * 10.0, 90.0 + PRICE * 9.0
    for at, proved, looks in ((0, 0.0, 60), (-1, 0.0, 0), (0, cost, 0), (0, cost * banded._BETTER, 0), (0, better, 1)):
        run, known = told(answers, monkeypatch)
        run.stretches = stretches = Proposing(at=at, proved=proved)
        run.solve(3)
        assert stretches.looks == looks
        assert stretches.aims[:2] == pytest.approx([cost, better][:looks], rel=2e-10)
        assert all(aim < value for aim, value in zip(stretches.aims, [cost, better], strict=False))
        assert run.done == {3}
        assert run.lower[3] == 80.0
        assert run.chosen[3].tolist() == ([9] if looks else sorted_matching(run.task, 3).tolist())
        assert len(known.nears) == (2 if looks else 1)
    run, _ = told(answers, monkeypatch)
    run.solve(3)
    assert run.done == {3}
    assert run.lower[3] == 0.0
    assert 3 in run.chosen
