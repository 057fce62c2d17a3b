"""The search over partitions: bounds against every partition solved by itself, on fleets that could break them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

import numpy as np
import pytest
from matchings import best_utility, budget_of, fleet, in_order, partitions_of
from tasks import task_asked

import fedopt
from fedopt import Deadline, EnergyBudget, PowerBudget, Status, TimePrice, devices
from fedopt.candidates import menu_of
from fedopt.problem import LeastEnergy, ReplicaRate, ShortestRound, UtilityFunction
from fedopt.rounds import goal_of
from solvers.matching import between, exact, lookers, prefix, sandwich
from solvers.matching.ordered import search_ordered
from solvers.matching.relaxed import cheapest_types
from solvers.matching.task import DURATION, ENERGY, Task

COVERS = (1, 2, 4, 8)
TYPES = tuple(
    fedopt.SubModel(name, flops=6.0 * macs, upload_bits=32.0 * weights, cover=cover)
    for name, macs, weights, cover in zip(
        "LMST", (5_673_024, 2_963_520, 2_441_376, 1_481_760), (16_938, 10_010, 6_250, 5_018), COVERS, strict=True
    )
)
WITH_IDLE = (*TYPES[:3], fedopt.SubModel.idle())
UTILITIES: tuple[UtilityFunction, ...] = (ReplicaRate(), ReplicaRate(0.5), ReplicaRate(2.0), ShortestRound())


def instances(count: int) -> Iterator[tuple[int, fedopt.Clients, tuple[fedopt.SubModel, ...], float]]:
    """Fleets of 16 to 64 with powers, downloads, bounds, least powers and rows that can do hardly anything."""
    rng = np.random.default_rng(7)
    for seed in range(count):
        size = int(rng.choice([16, 24, 40, 64]))
        clients = devices.random_fleet(size, seed=seed)
        if seed % 3 == 0:
            clients = clients.replace(
                circuit_power=0.1, static_power=rng.uniform(0.0, 0.3, size), overhead=rng.uniform(0.0, 0.5, size),
                download_rate=rng.uniform(1e5, 1e7, size), receive_power=0.05,
            )  # fmt: skip
        if seed % 3 == 1:
            clients = clients.replace(power_min=rng.uniform(0.0, 0.1, size), frequency_min=0.5 * clients.frequency_max)
        if seed % 4 == 2:  # two rows that no round of the others' length suffices
            gain = np.array(clients.channel_gain)
            gain[:2] *= 1e-4
            clients = clients.replace(channel_gain=gain)
        yield seed, clients, (WITH_IDLE if seed % 2 else TYPES), float(10.0 ** rng.uniform(-1.5, 0.7))


def budgets(clients: fedopt.Clients, types: tuple[fedopt.SubModel, ...], factor: float) -> list[fedopt.problem.Budget]:
    watts = len(clients) / 6.0
    whole = fedopt.schedule(clients, clients.workload(types, np.int64(1)), PowerBudget(watts))
    return [
        PowerBudget(watts * factor), EnergyBudget(whole.energy * factor),
        Deadline(whole.duration * factor), TimePrice(watts * factor),
    ]  # fmt: skip


def task_of(problem: fedopt.Problem) -> Task:
    return task_asked(problem, "solvers.matching.sorted.search_sandwich", matching="sorted")


@pytest.mark.parametrize("kind", range(4), ids=["power", "energy", "deadline", "price"])
def test_every_partition_lies_between_its_bounds(kind: int) -> None:
    """Durations and energies of all partitions solved by themselves, and prefix sums at few and at odd durations."""
    certain = 0
    for seed, clients, types, factor in instances(8):
        problem = fedopt.Problem(clients, types, budget=budgets(clients, types, factor)[kind])
        task = task_of(problem)
        goal, value = goal_of(problem.budget)
        order = task.menu.order
        truth = search_ordered(task.__class__(**{**fields(task), "gains": None}), order[None, :], marginal=False)
        T, E = truth.results[:, DURATION], truth.results[:, ENERGY]
        low = max(task.menu.shortest, 1e-3)
        for durations in (np.geomspace(low, 64.0 * low, 6), np.array([3.0 * low, 3.1 * low])):
            sums = prefix.prefixes(task.menu, order, np.array([value]) if kind == 2 else durations)
            bounds = np.empty((len(T), between.BOUNDS))
            between.bound_partitions(
                sums.durations, sums.energy, sums.price, sums.misses, sums.least, sums.floor,
                task.counts, task.menu.types, int(goal), value, np.zeros(0), bounds,
            )  # fmt: skip
            solved = np.isfinite(T)
            assert (bounds[solved, between.T_LOW] <= T[solved] * (1.0 + 1e-12)).all(), seed
            assert (bounds[solved, between.T_HIGH] >= T[solved] * (1.0 - 1e-12)).all()
            assert (bounds[solved, between.E_LOW] <= E[solved] * (1.0 + 1e-12)).all()
            assert (bounds[solved, between.E_HIGH] >= E[solved] * (1.0 - 1e-12)).all()
            assert not np.isfinite(bounds[~solved, between.T_HIGH]).any()
            certain += int(np.isfinite(bounds[:, between.T_HIGH]).sum())
    assert certain > 100


def fields(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in Task.__slots__}


@pytest.mark.parametrize("kind", range(4), ids=["power", "energy", "deadline", "price"])
def test_the_sandwich_is_the_loop_over_all_partitions(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same winner as solving one by one, of equal utilities the same energy, infeasible alike, fewer passes."""
    between, one_by_one = 0.0, 0.0
    for _, clients, types, factor in instances(6):
        budget = budgets(clients, types, factor)[kind]
        for utility in (*UTILITIES, LeastEnergy()):
            problem = fedopt.Problem(clients, types, budget=budget, utility=utility)
            with monkeypatch.context() as patch:
                patch.setattr(sandwich, "_MANY", 10**9)
                plain = fedopt.solve(problem, matching="sorted")
            found = fedopt.solve(problem, matching="sorted")
            assert found.status is plain.status
            assert found.partition == plain.partition
            if found.status.solved:
                assert (found.utility, found.energy) == pytest.approx((plain.utility, plain.energy), rel=1e-12)
                assert found.bound == found.utility
                assert found.scope == "sorted matchings"
            assert found.shortfall == pytest.approx(plain.shortfall, rel=1e-9)
            between, one_by_one = between + found.stats["solved"], one_by_one + plain.stats["solved"]
    assert between < one_by_one


def test_a_utility_that_may_do_anything_is_solved_one_by_one() -> None:
    clients = devices.random_fleet(24, seed=1)
    wasteful = fedopt.Problem(clients, TYPES, budget=PowerBudget(4.0), utility=lambda partition, T, E: E)
    found = fedopt.solve(wasteful, matching="sorted")
    assert math.isnan(found.bound)
    assert found.scope == ""
    assert found.stats["solved"] == found.stats["partitions"] == len(wasteful.candidates())


@pytest.mark.parametrize("name", ["energy", "power", "deadline", "price"])
def test_client_selection_against_every_partition_and_matching(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle places: six clients and fewer, all matchings for exact, all partitions for sorted; listed and not."""
    types = (TYPES[0], TYPES[1], fedopt.SubModel.idle())
    idle = 0
    for size, seed in ((6, 50), (5, 51), (4, 52), (6, 53)):
        clients = fleet(size, seed)
        for utility in ("replica_rate", "shortest_round", *(("least_energy",) if name == "deadline" else ())):
            problem = fedopt.Problem(clients, types, budget=budget_of(name, clients), utility=utility)
            best = max(one_sorted(problem, counts) for counts in partitions_of(size, types))
            found = fedopt.solve(problem, matching="sorted")
            assert found.utility == pytest.approx(best, rel=1e-9)
            expected, _ = best_utility(problem) if name != "price" else (math.nan, 0.0)
            if name != "price":
                exactly = fedopt.solve(problem)
                assert exactly.utility == pytest.approx(expected, rel=1e-9)
                idle += int(exactly.partition[2] > 0)  # type: ignore[index]
                assert_bounded(monkeypatch, problem, {"exact": expected, "sorted": best})
    assert idle > 0 or name == "price"


def one_sorted(problem: fedopt.Problem, counts: tuple[int, ...]) -> float:
    """The utility of a partition's sorted matching, by levels 2 and 3 alone; -inf where there is none."""
    work = problem.clients.workload(problem.submodels, in_order(problem.clients, counts, problem.submodels))
    found = fedopt.schedule(problem.clients, work, problem.budget)
    if not found.status.solved:
        return -math.inf
    return float(problem.utility(fedopt.Partition(counts, problem.submodels), found.duration, found.energy))


def assert_bounded(
    patch: pytest.MonkeyPatch, problem: fedopt.Problem, truth: dict[str, float], close: float = math.inf
) -> None:
    """Searched as if the partitions were too many to list: never above the truth, and the bound never below."""
    with patch.context() as unlisted:
        unlisted.setattr("fedopt.candidates.too_many", lambda clients, types: True)
        for matching, best in truth.items():
            found = fedopt.solve(problem, matching=matching)
            if not found.status.solved:
                assert found.status is Status.LIMIT or best == -math.inf
                continue
            assert found.verdict is not None
            assert found.verdict.feasible
            assert found.utility <= best + 1e-9 * abs(best)
            assert found.bound >= best - 1e-9 * abs(best)
            assert found.bound - found.utility <= close * abs(found.utility)


@pytest.mark.parametrize("kind", range(3), ids=["power", "energy", "deadline"])
def test_too_many_to_list_is_bounded_by_the_truth(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the proved answers over the list, for every utility of replicas and time."""
    for _, clients, types, factor in instances(5):
        budget = budgets(clients, types, factor)[kind]
        for utility in (*UTILITIES, LeastEnergy()) if kind == 2 else UTILITIES:
            problem = fedopt.Problem(clients, types, budget=budget, utility=utility)
            truth = {name: fedopt.solve(problem, matching=name) for name in ("exact", "sorted")}
            best = {name: found.utility if found.status.solved else -math.inf for name, found in truth.items()}
            assert_bounded(monkeypatch, problem, best)


def test_thousands_of_clients_are_solved_to_the_gap() -> None:
    """4,096 clients make 180 million partitions: within 1e-4 of the bound, both ways, and judged."""
    clients = devices.random_fleet(4096, seed=1)
    problem = fedopt.Problem(clients, TYPES, budget=PowerBudget(640.0))
    for matching in ("exact", "sorted"):
        found = fedopt.solve(problem, matching=matching)
        assert found.status.solved
        assert found.utility <= found.bound <= found.utility * (1.0 + 1e-4)
        assert found.stats["partitions"] == fedopt.submodels.partition_count(4096, TYPES) > 1e8
        assert found.paper is None
        assert "is better by more than 0.0" in found.reason or found.bound == found.utility
    loose = fedopt.solve(problem, gap=0.1)
    assert loose.stats["passes"] <= found.stats["passes"]


@pytest.mark.parametrize("kind", range(2), ids=["power", "energy"])
def test_level_by_level_is_partition_by_partition(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact search of very many partitions, on fleets of few: the same proved optimum, also from a warm start."""
    proved = 0
    for seed, clients, types, factor in instances(31):
        if 5 < seed < 30:  # in the last one the first partition of its level is not the best
            continue
        problem = fedopt.Problem(clients, types, budget=budgets(clients, types, factor)[kind])
        plain = fedopt.solve(problem)
        monkeypatch.setattr(exact, "MANY", 0)
        for warm in (None, plain):
            found = fedopt.solve(problem, warm=warm)
            assert found.status.solved == plain.status.solved
            if plain.status.solved:
                assert found.utility == pytest.approx(plain.utility, rel=1e-12)
                assert found.bound == found.utility
                assert found.bracket[1] == pytest.approx(plain.bracket[1], rel=1e-12)
                assert not found.bracket[0] < found.duration * (1.0 - 1e-12)  # NaN where only the utility is proved
                proved += math.isfinite(found.bracket[0])
        monkeypatch.undo()
    assert proved > 0 or kind == 1  # there the first answers are the best, and no duration is proved


def test_relaxations_bound_every_partition() -> None:
    """In plain numpy: energy - price x replicas of partitions at earlier durations, over all and sorted matchings."""
    from solvers.matching.transport import Transport, transport

    rng = np.random.default_rng(3)
    for _, clients, types, _ in instances(6):
        problem = fedopt.Problem(clients, types, budget=PowerBudget(1.0))
        menu = menu_of(problem, clients)
        T = 1.5 * menu.longest if math.isfinite(menu.longest) else 10.0
        costs, prices = menu.costs_and_prices(T)
        partitions = problem.candidates()[rng.permutation(len(problem.candidates()))[:40]]
        looker = lookers.SortedMatchings(task_of(problem), menu.order)
        look = looker.look(T)
        for earlier in (T, 0.95 * T, 0.7 * T):
            there, away = menu.costs(earlier), T - earlier
            for price in (0.0, float(np.median(costs[np.isfinite(costs)]))):
                counts = np.empty(len(types), dtype=np.int64)
                value, _ = cheapest_types(costs, prices, menu.weights, price, away, counts)
                chain = look.least(price, away).value
                for row in partitions:
                    found = transport(there, row)
                    if isinstance(found, Transport):
                        assert value <= (found.cost - price * (row @ menu.weights)) + 1e-9 * found.cost
                    kind = np.repeat(menu.types, row[menu.types])
                    cost = there[kind, menu.order].sum()
                    assert chain <= (cost - price * (row @ menu.weights)) + 1e-9 * cost
        exactly = min(
            costs[np.repeat(menu.types, row[menu.types]), menu.order].sum() - 2.0 * (row @ menu.weights)
            for row in all_with_nobody(problem)
        )
        assert look.least(2.0, 0.0).value == pytest.approx(exactly, rel=1e-9)


def all_with_nobody(problem: fedopt.Problem) -> np.ndarray:
    """All partitions; where there are idle places also that of nobody, which a relaxation does not rule out."""
    rows = problem.candidates()
    nobody = [[0] * (len(problem.submodels) - 1) + [len(problem.clients)]] if problem.submodels[-1].is_idle else []
    return np.vstack([rows, *nobody]) if nobody else rows


@pytest.mark.parametrize("matching", ["exact", "sorted", "marginal", "random"])
@pytest.mark.parametrize("name", ["power", "energy", "deadline", "price"])
def test_at_the_time_limit_the_best_so_far_is_in_hand(matching: str, name: str) -> None:
    """No time at all: an answer that passes the judge, called stopped, and a bound that holds where one is given."""
    clients = fleet(64, 5)
    budget = budget_of(name, clients)
    problem = fedopt.Problem(clients, TYPES, budget=budget)
    truth = fedopt.solve(problem, matching=matching)
    found = fedopt.solve(problem, matching=matching, time_limit=0.0)
    assert truth.status.solved
    if found.status.solved:  # nothing was left to do
        assert found.utility == pytest.approx(truth.utility, rel=1e-9)
        return
    assert found.status is Status.LIMIT
    assert found.verdict is not None
    assert found.verdict.feasible
    assert found.utility <= truth.utility * (1.0 + 1e-9)
    assert "time limit of 0 s: the best answer so far is in hand" in found.reason
    if matching in ("exact", "sorted") and name != "price":
        assert truth.utility * (1.0 - 1e-9) <= found.bound < math.inf
        assert found.scope == truth.scope
        assert "is better by more than" in found.reason or found.bound == found.utility
    elif matching != "sorted":
        assert math.isnan(found.bound)


@pytest.mark.parametrize("matching", ["exact", "sorted"])
def test_a_time_limit_where_the_partitions_are_too_many(matching: str) -> None:
    clients = devices.random_fleet(20_000, seed=3)
    problem = fedopt.Problem(clients, TYPES, budget=PowerBudget(1500.0))
    found = fedopt.solve(problem, matching=matching, time_limit=0.0)
    whole = fedopt.solve(problem, matching=matching)
    assert found.status is Status.LIMIT
    assert found.utility <= whole.bound
    assert whole.utility <= found.bound < math.inf
    assert found.bracket[0] <= found.duration == found.bracket[1]


@pytest.mark.parametrize("limit", [-1.0, math.nan, "soon"])
def test_refused_limits(limit: object) -> None:
    problem = fedopt.Problem(fleet(4, 1), TYPES[:2], budget=Deadline(100.0))
    for keyword in ("time_limit", "gap"):
        with pytest.raises(fedopt.InputError, match=keyword):
            fedopt.solve(problem, **{keyword: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [64, 4096])
def test_an_interrupt_comes_through_and_progress_is_told(size: int) -> None:
    """Listed and not: told of progress now and then; what the caller raises there is what he gets."""
    problem = fedopt.Problem(devices.random_fleet(size, seed=1), TYPES, budget=PowerBudget(size / 6.0))
    told: list[tuple[int, int, float]] = []
    for matching in ("exact", "sorted"):
        found = fedopt.solve(problem, matching=matching, progress=lambda *report: told.append(report))
        assert told
        assert all(0 <= done <= total for done, total, _ in told)
        assert max(best for *_, best in told) == pytest.approx(found.utility, rel=1e-9)
        told.clear()

        def interrupt(done: int, total: int, best: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fedopt.solve(problem, matching=matching, progress=interrupt)
        assert fedopt.solve(problem, matching=matching).utility == found.utility


def test_too_many_for_the_other_methods_are_refused() -> None:
    clients = devices.random_fleet(4096, seed=1)
    for matching in ("marginal", "random", "assignment"):
        problem = fedopt.Problem(clients, TYPES, budget=PowerBudget(640.0))
        with pytest.raises(fedopt.InputError, match="at most"):
            fedopt.solve(problem, matching=matching)
    for changes, why in (
        ({"budget": TimePrice(1.0), "utility": "least_energy"}, "under a Deadline only"),
        ({"utility": lambda partition, T, E: -T}, "a callable says nothing of partitions"),
        ({"utility": "least_energy"}, "under a Deadline only"),
        ({"access": fedopt.SharedBandwidth(1e6)}, "own channels"),
    ):
        problem = fedopt.Problem(clients, TYPES, **{"budget": PowerBudget(640.0), **changes})  # type: ignore[arg-type]
        with pytest.raises(fedopt.InputError, match=f"at most .*partitions=.*{why}"):
            fedopt.solve(problem)


def test_the_least_energy_of_thousands_of_clients_at_a_deadline() -> None:
    """180 million partitions: near a bound, and no dearer than the best of a list of partitions near it.

    Types that compute little send much, so that each is the cheapest of some clients.
    """
    clients = devices.random_fleet(4096, seed=1)
    types = tuple(
        fedopt.SubModel(str(cover), flops=flops, upload_bits=bits, cover=cover)
        for flops, bits, cover in ((1e6, 6e6, 1), (4e6, 2e6, 2), (1e7, 6e5, 4), (3e7, 1e5, 8))
    )
    T = 1.2 * float(menu_of(fedopt.Problem(clients, types, budget=Deadline(1.0)), clients).longest)
    problem = fedopt.Problem(clients, types, budget=Deadline(T), utility="least_energy")
    found = {matching: fedopt.solve(problem, matching=matching) for matching in ("exact", "sorted")}
    for matching, answer in found.items():
        assert answer.status is Status.OPTIMAL
        assert answer.utility <= answer.bound <= answer.utility * (1.0 - 3e-4)  # 35 clients would take what comes in 8s
        assert answer.partition is not None
        near = [np.array(answer.partition)]
        near += [near[0] + move for move in ((8, 0, 0, -8), (-8, 0, 0, 8), (2, -2, 0, 0), (0, 4, -4, 0), (0, 0, 8, -8))]
        listed = [tuple(counts.tolist()) for counts in near if counts.min() >= 0]
        same = fedopt.Problem(clients, types, budget=Deadline(T), utility="least_energy", partitions=listed)
        assert answer.energy <= fedopt.solve(same, matching=matching).energy * (1.0 + 1e-12)
    assert found["exact"].energy < found["sorted"].energy
    each = [fedopt.allocate(clients, clients.workload(types, np.int64(k)), duration=T).energy for k in range(4)]
    assert found["exact"].bound == pytest.approx(-float(np.min(each, axis=0).sum()), rel=1e-12)
    assert found["exact"].partition is not None
    assert min(found["exact"].partition) > 0


def test_infeasible_where_the_partitions_are_too_many() -> None:
    """By energy, by time, and out of reach: proved, with a reason; the same as where they are listed."""
    clients = devices.random_fleet(4096, seed=1)
    gain = np.array(clients.channel_gain)
    gain[17] = 0.0
    for who, budget, words in (
        (clients, EnergyBudget(1e-6), "misses the least possible energy"),
        (clients, Deadline(1e-3), "is .* too short"),
        (clients, PowerBudget(0.0), "0 W"),
        (clients.replace(channel_gain=gain), PowerBudget(640.0), "client 17"),
    ):
        for matching in ("exact", "sorted"):
            found = fedopt.solve(fedopt.Problem(who, TYPES, budget=budget), matching=matching)
            assert found.status is Status.INFEASIBLE
            assert math.isnan(found.utility)
            assert re.search(words, found.reason), found.reason


def test_idle_clients_do_not_hide_what_is_missing_where_the_partitions_are_too_many() -> None:
    """As where the partitions of a single replica are listed; a deadline longer by that much is met."""
    clients = fedopt.Clients(
        frequency_min=3e8, frequency_max=np.linspace(1e9, 2e9, 300), samples=500, channel_gain=1e-11, bandwidth=2.5e5
    )
    types = tuple(fedopt.SubModel(f"t{k}", flops=3e7 / 2**k, upload_bits=5e5 / 2**k, cover=2**k) for k in range(4))
    single = [(0, 0, 0, 8, 292), (0, 0, 4, 0, 296), (0, 2, 0, 0, 298), (1, 0, 0, 0, 299)]
    for budget in (EnergyBudget(0.01), Deadline(0.5)):
        problem = fedopt.Problem(clients, (*types, fedopt.SubModel.idle()), budget=budget)
        found = fedopt.solve(problem)
        listed = fedopt.solve(dataclasses.replace(problem, partitions=single))
        assert found.status is listed.status is Status.INFEASIBLE
        assert found.shortfall == pytest.approx(listed.shortfall, rel=1e-9)
        assert found.shortfall > 0.0
        assert "That is of partition (0, 0, 0, 8, 292), the closest found; others may miss by less." in found.reason
        assert fedopt.verify(problem, found).ok
    assert fedopt.solve(dataclasses.replace(problem, budget=Deadline(0.5 + 1.001 * found.shortfall))).status.solved


def test_stats_count_every_level() -> None:
    problem = fedopt.Problem(devices.phones64(), TYPES, budget=PowerBudget(10.0))
    for matching in ("exact", "sorted", "marginal"):
        stats = fedopt.solve(problem, matching=matching).stats
        assert stats["partitions"] == 969
        assert 1 <= stats["solved"] <= stats["partitions"] - stats["screened"]
        assert stats["passes"] > 0
        assert stats["seconds"] >= stats["seconds_search"] + stats["seconds_schedule"] > 0.0
        assert (stats["matchings"] > 0) is (matching == "exact")


@pytest.mark.parametrize("matching", ["exact", "sorted"])
@pytest.mark.parametrize("budget", [fedopt.EnergyBudget(5.0), fedopt.PowerBudget(0.5)])
def test_a_round_of_no_time_is_found_among_many(budget: fedopt.problem.Budget, matching: str) -> None:
    """Of 2,300 partitions the one that only receives, at once, where others cannot be bounded from a first duration."""
    clients = fedopt.Clients(
        frequency_min=0.0, frequency_max=2e9, samples=np.linspace(100, 900, 22), bandwidth=2.5e5,
        channel_gain=1e-11 * 10 ** np.linspace(-1, 1, 22),
    )  # fmt: skip
    types = (
        fedopt.SubModel("a", flops=7e6, upload_bits=1e5),
        fedopt.SubModel("b", flops=0.0, upload_bits=0.0, download_bits=1e5),
        fedopt.SubModel("c", flops=5e6, upload_bits=1.2e5),
        fedopt.SubModel("d", flops=6e6, upload_bits=4e5),
    )
    found = fedopt.solve(fedopt.Problem(clients, types, budget=budget), matching=matching)
    assert (found.status, found.duration) == (fedopt.Status.SLACK, 0.0)
    assert found.partition is not None
    assert tuple(found.partition) == (0, 22, 0, 0)
