"""The search over partitions by what is proved of them, on made-up rows that send in turns: all matchings are known."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_up import assignments, least_of

from solvers.matching import ruled
from solvers.matching.slotted import _Slots
from solvers.matching.stretches import Match, Priced
from solvers.matching.task import DURATION, ENERGY, Proof, Task
from solvers.matching.transport import Transport
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

KINDS, ROWS = 3, 5
COUNTS = np.array([c for c in itertools.product(range(ROWS + 1), repeat=KINDS) if sum(c) == ROWS and c[1] % 2 == 0])
REPLICAS = COUNTS @ np.array([1.0, 0.5, 0.25])
ORDER, TYPES = np.array([3, 0, 4, 1, 2]), np.array([0, 2, 1])


@dataclass
class Rows:
    """In a place a row takes e [J], w/y to be done computing at y >= ready [s], u^2/s for a slot of s; (KINDS, ROWS).

    Of a matching let those add up to E, W, and U = sum of u. Slots in proportion to u take U^2/S together, and so a
    round of T at least E + (sqrt W + U)^2/T, or E + W/r + U^2/(T - r) where the last is ready at r, later than that.
    """

    e: FloatArray
    w: FloatArray
    u: FloatArray
    ready: FloatArray
    asked: list[float] = field(default_factory=list)

    def at(self, y: float, price: float) -> Priced:
        """As of the costs that a Coupling has."""
        self.asked.append(y)
        can = self.ready <= y
        return Priced(
            costs=np.where(can, self.e + self.w / y + 2.0 * self.u * math.sqrt(price), math.inf),
            falls=np.where(can, self.w / y**2, 0.0),
            taken=self.u / math.sqrt(price),
        )

    def sums(self, matchings: IntArray) -> tuple[Any, ...]:
        """E, W, U, and r, of one or more (..., ROWS)."""
        e, w, u, ready = (each[matchings, np.arange(ROWS)] for each in (self.e, self.w, self.u, self.ready))
        return e.sum(axis=-1), w.sum(axis=-1), u.sum(axis=-1), ready.max(axis=-1)

    def energy(self, matching: IntArray, T: float) -> float:
        E, W, U, r = map(float, self.sums(matching))
        if r >= T:
            return math.inf
        root = math.sqrt(W) + U
        return E + (root**2 / T if T * math.sqrt(W) >= r * root else W / r + U**2 / (T - r))

    def duration(self, matching: IntArray, goal: Goal, value: float) -> float:
        """The least within a budget; inf for none."""
        E, W, U, r = map(float, self.sums(matching))
        root = math.sqrt(W) + U
        joules, watts = (value, 0.0) if goal is Goal.ENERGY else (0.0, value)

        def longer(energy: float, over: float, later: float) -> float:
            """The T with energy + over/(T - later) = joules + watts T."""
            b = joules + watts * later - energy
            if watts == 0.0:
                return later + over / b if b > 0.0 else math.inf
            return later + (math.sqrt(b**2 + 4.0 * watts * over) - b) / (2.0 * watts)

        T = longer(E, root**2, 0.0)
        if T * math.sqrt(W) < r * root:
            T = longer(E + W / r, U**2, r) if r < math.inf else math.inf
        return T


def drawn(seed: int) -> Rows:
    """Larger types first; in every third draw some row cannot do the first."""
    rng = np.random.default_rng(seed)
    scale = np.array([2.0, 1.0, 0.6])[:, None]
    e, w, u, ready = (scale * rng.uniform(low, 3.0 * low, (KINDS, ROWS)) for low in (0.05, 1.0, 0.3, 0.5))
    if seed % 3 == 1:
        ready[0, 2] = math.inf
    return Rows(e=e, w=w, u=u, ready=ready)


@dataclass
class Turns:
    """The rows as the search wants them, and what it asked for."""

    rows: Rows
    goal: Goal
    value: float
    tried: list[bytes] = field(default_factory=list)

    @property
    def late(self) -> bool:
        """A deadline, at which energies are compared."""
        return self.goal is Goal.DEADLINE

    def schedule(self, matching: Any) -> Any:
        """Levels 2 and 3; three passes each."""
        self.tried.append(matching.tobytes())
        T = self.value if self.late else self.rows.duration(matching, self.goal, self.value)
        found = math.isfinite(T) and self.rows.sums(matching)[3] < T
        point = SimpleNamespace(energy=np.full(ROWS, self.rows.energy(matching, T) / ROWS)) if found else None
        return SimpleNamespace(
            stop=Stop.OPTIMAL if point else Stop.TOO_LITTLE, duration=T, lower=T, passes=3, point=point
        )

    def coupling(self, watts: float) -> _Slots:
        """As under time division."""
        return _Slots(costs=self.rows, unit=watts, goal=self.goal, value=self.value, weaker=self.late)

    def shortest(self, match: Match) -> tuple[float, IntArray] | None:
        """Slots may be as short as can be: when the last is ready."""
        ends = np.unique(self.rows.ready[np.isfinite(self.rows.ready)]).tolist()
        at = [match(np.where(self.rows.ready <= end, self.rows.ready, math.inf)) for end in ends]
        return next(((end, m.assignment) for end, m in zip(ends, at, strict=True) if isinstance(m, Transport)), None)

    def limits(self, matching: Any) -> Any:
        """Of a matching without an answer."""
        E, _, _, r = self.rows.sums(matching)
        return SimpleNamespace(t_min=r, e_inf=E)

    def task(self, gains: FloatArray | None = None, **more: Any) -> Task:
        menu: Any = SimpleNamespace(types=TYPES, order=ORDER, rows_of=lambda matching: matching)
        never: Any = None
        return Task(
            **{
                "menu": menu, "counts": COUNTS, "goal": self.goal, "value": self.value, "gains": gains,
                "listed": False, "seed": 0, "find_duration": never, "allocate": never, "default": False,
                "progress": lambda done, total, best: None, "limits": self.limits, **more,
            }
        )  # fmt: skip

    @cached_property
    def truth(self) -> FloatArray:
        """The least duration of every partition, at a deadline its least energy; inf for none."""

        def value(matching: IntArray) -> float:
            if self.late:
                return self.rows.energy(matching, self.value)
            return self.rows.duration(matching, self.goal, self.value)

        return least_of(np.array([value(each) for each in assignments(KINDS, ROWS)[0]]), COUNTS)


VALUES = {Goal.ENERGY: (4.0, 12.0), Goal.POWER: (0.6, 4.0), Goal.DEADLINE: (2.2, 6.0)}


def test_the_formulas_of_the_made_up_rows_are_the_least_of_all_splits() -> None:
    for seed, matching in itertools.product((0, 3), (np.array([0, 1, 2, 1, 2]), np.array([1, 0, 0, 0, 2]))):
        rows = drawn(seed)
        E, W, U, r = rows.sums(matching)
        for T in (1.05 * r, 2.0 * r, 10.0 * r):
            ends = r + (T - r) * np.linspace(0.0, 1.0, 4000)[:-1]
            assert rows.energy(matching, T) == pytest.approx((E + W / ends + U**2 / (T - ends)).min(), rel=1e-5)
            energy = rows.energy(matching, T)
            assert rows.duration(matching, Goal.ENERGY, energy) == pytest.approx(T, rel=1e-12)
            assert rows.duration(matching, Goal.POWER, energy / T) == pytest.approx(T, rel=1e-12)
        assert rows.energy(matching, r) == math.inf
        assert rows.duration(matching, Goal.ENERGY, E) == math.inf


ASKED = {"any": (None, False), "rate": (REPLICAS, False), "thrifty": (None, True)}
WORK = [  # goal, utility, which value: how many were tried, and solved, of two draws
    (Goal.ENERGY, "any", 0, (20, 676)),
    (Goal.ENERGY, "rate", 0, (38, 516)),
    (Goal.ENERGY, "rate", 1, (45, 716)),
    (Goal.POWER, "any", 1, (17, 476)),
    (Goal.POWER, "rate", 0, (38, 556)),
    (Goal.POWER, "rate", 1, (34, 558)),
    (Goal.DEADLINE, "any", 0, (14, 596)),
    (Goal.DEADLINE, "rate", 0, (27, 274)),
    (Goal.DEADLINE, "thrifty", 0, (27, 270)),
    (Goal.DEADLINE, "rate", 1, (24, 186)),
    (Goal.DEADLINE, "thrifty", 1, (27, 276)),
]


@pytest.mark.parametrize(("goal", "asked", "which", "work"), WORK)
def test_what_is_proved_and_found_of_every_partition(goal: Goal, asked: str, which: int, work: tuple[int, int]) -> None:
    """Against all matchings; with as many tried and solved as when this was written."""
    looked = np.zeros(2)
    for seed in range(2):
        turns, (gains, thrifty) = Turns(drawn(seed), goal, VALUES[goal][which]), ASKED[asked]
        some = slice(None, None, 3 if asked == "any" else 1)
        truth, gains = turns.truth[some], None if gains is None else gains[some]
        reports = list[tuple[int, int, float]]()
        task = turns.task(
            gains, counts=COUNTS[some], thrifty=thrifty, progress=lambda *report, to=reports: to.append(report)
        )
        found = ruled.search(task, turns)
        column = found.results[:, ENERGY if turns.late else DURATION]
        solved = np.isfinite(column)
        assert np.all(column[solved] >= truth[solved] * (1.0 - 1e-12))
        for p in np.flatnonzero(solved).tolist():
            matching = found.assign(p)
            assert np.bincount(matching, minlength=KINDS).tolist() == COUNTS[some][p].tolist()
            T = turns.value if turns.late else turns.rows.duration(matching, goal, turns.value)
            assert found.results[p, :2] == pytest.approx([T, turns.rows.energy(matching, T)], rel=1e-12)
        if found.lower is not None:
            assert np.all(found.lower <= truth * (1.0 + 1e-12))
        assert (found.lower is None) == (turns.late or asked == "any")
        assert found.proof is (Proof.NONE if asked == "any" else Proof.MATCHINGS)
        if asked == "any":
            assert found.ceiling is None
            assert solved.tolist() == np.isfinite(truth).tolist()
            assert column[solved] == pytest.approx(truth[solved], rel=0.02)
        else:
            best = -truth if gains is None else gains / np.where(turns.late & np.isfinite(truth), turns.value, truth)
            assert found.ceiling is not None
            mine = -column if gains is None else gains / found.results[:, DURATION]
            assert np.nanmax(mine) == pytest.approx(best.max(), rel=1e-3)
            assert best.max() <= found.ceiling + 1e-9 * abs(found.ceiling)
            assert found.ceiling == pytest.approx(best.max(), rel=2e-3)
        assert [report[:2] for report in reports] == [(i + 1, len(truth)) for i in range(len(reports))]
        assert reports[-1][2] == (0.0 if gains is None else np.nanmax(gains / found.results[:, DURATION]))
        assert not found.stopped
        assert found.passes == 3 * len(turns.tried)
        assert len(set(turns.tried)) == len(turns.tried)
        looked += len(turns.tried), found.matchings
    assert np.all(np.abs(looked - work) <= np.maximum(1, 0.02 * np.array(work))), looked
