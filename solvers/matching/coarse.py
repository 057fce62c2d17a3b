"""Level 1 where the partitions are too many to list: from coarse to fine over the duration, with a bound at all times.

However many the types, one number decides: the duration T. At a T the most replicas within the budget are bounded by a
relaxation (relaxed.py). Between two durations T1 < T2 every energy is above its tangent at T2, so the least of energy -
price x replicas is above a concave function of T, and the replicas are below the line through their bounds at T1 and
T2: the utility R^beta / T between them is too. The stretch of durations with the greatest bound is cut in two, until
that bound is within the gap of the best answer in hand. Each look proposes a partition near the relaxed one, of which
the answer is found and kept: those at hand are real, those above them are disproved.

At a price of time a matching's round ends by T where its prices there sum up to no more than it: the same relaxation,
with prices for energies and no tangents.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from typing import Protocol

import numpy as np

from solvers.duration.verdicts import HIDES
from solvers.matching.closest import closest_of
from solvers.matching.fixed import duration_of
from solvers.matching.task import (
    LEAST_ENERGY,
    LEAST_TIME,
    STOPPED,
    Proof,
    Searched,
    Task,
    empty_results,
)
from solvers.menu import IntArray
from solvers.rows import FloatArray, Goal, Stop

_SAFE = 1e-9  # relative: sums over the rows are this good, and more
_STRETCHES = 8  # to begin with
_LONGER = 4.0  # how much longer a look is where nothing was within the budget
_LOOKS = 2000
_PATIENCE = 12  # looks for a better answer where the bound cannot fall
_NEAR = 0.9  # of the bound: an answer further from it is looked for elsewhere too
_ELSEWHERE = 24  # looks there
_KEPT = 1 << 27  # bytes of looks kept
_OTHERS = 3  # answers beside the best one, at a price of time
_WHOLE = 10_000  # steps in which progress is told


class Look(Protocol):
    """What is known of one duration [s]."""

    duration: float

    @property
    def in_whole(self) -> float:
        """A bound of the replicas, at this duration or sooner, by how many rows can each type and by whole ones."""

    def most(self, earlier: float) -> float:
        """A bound of the replicas within the budget at a duration not later than this; -inf where there are none."""

    def propose(self) -> IntArray | None:
        """An assignment (N,) near the best one here, in whole replicas; None where none is found."""


class Looker(Protocol):
    """Looks at durations, over all matchings or the sorted ones only. passes, matchings: made so far.

    spare: the share of the budget that is not spent there.
    """

    proof: Proof
    passes: int
    matchings: int

    def look(self, duration: float, spare: float = 0.0) -> Look: ...

    def cap(self, start: float, end: float) -> float:
        """A bound of R^beta / T over start < T <= end by what can be done in time alone."""

    def least_energy(self) -> float:
        """A bound of the energy [J] of at least one replica, however long the round."""


@dataclasses.dataclass(slots=True)
class _Best:
    """The best answer so far: its gain / T, and the row it is."""

    rate: float = 0.0
    energy: float = math.inf
    duration: float = math.nan
    assignment: IntArray | None = None


def search_coarse(task: Task, looker: Looker) -> Searched:
    """The best answer found and a bound of all others; at a price of time the matching is not the cheapest there is."""
    if not math.isfinite(task.menu.shortest):
        return impossible(task, looker, Stop.UNREACHABLE)
    if task.goal is Goal.DEADLINE:
        return _at_deadline(task, looker)
    if (task.goal is Goal.ENERGY or task.value == 0.0) and looker.least_energy() * (1.0 - HIDES) > task.value:
        return impossible(task, looker, Stop.TOO_LITTLE)
    return _Stretches(task, looker).search()


class _Stretches:
    """Stretches of durations by falling bounds, and the best answer in hand."""

    def __init__(self, task: Task, looker: Looker) -> None:
        self.task, self.looker, self.best = task, looker, _Best()
        self.others: list[_Best] = []  # the best ones before it, the last first
        self._heap: list[tuple[float, float, float, bool]] = []  # - bound, start, end, whether it was looked at
        self._looks: dict[float, Look] = {}
        self._keep = max(2, _KEPT // (16 * len(task.menu) * len(task.menu.rows)))
        self._tried: set[float] = set()
        self._relaxed = 0.0  # the greatest bound at a single duration: cutting stretches leads no lower

    def search(self) -> Searched:
        """Cut until the bound is close to the best or to what cutting can reach, the time is up, or nothing is left."""
        task, everybody = self.task, len(self.task.menu) * float(self.task.menu.weights.max())
        start = end = max(task.menu.shortest, 1e-300)
        self._propose(max(2.0 * task.menu.longest, 2.0 * start))
        reach = 2.0 * task.menu.longest
        while self.best.rate == 0.0 and reach < 1e12 * task.menu.longest and not task.late:
            reach *= _LONGER
            self._propose(reach)
        end = everybody**task.power / self.best.rate if self.best.rate > 0.0 else math.inf
        if math.isfinite(end) and end > start:
            edges = [start, start, *np.geomspace(start, end, _STRETCHES + 1).tolist()[1:]]  # the first is that duration
            for a, b in itertools.pairwise(edges):
                heapq.heappush(self._heap, (-self.looker.cap(a, b), a, b, False))
        looks, stalled = 0, 0
        while self._heap and not task.late and looks < _LOOKS:
            top = -self._heap[0][0]
            stalled += 1 if top <= self._relaxed * (1.0 + task.gap) else 0
            if top <= self.best.rate * (1.0 + task.gap) or stalled > _PATIENCE:
                break
            _, a, b, looked = heapq.heappop(self._heap)
            looks += 1
            self._closer(a, b, looked)
        self._elsewhere()
        ceiling = max([-entry[0] for entry in self._heap], default=0.0) if math.isfinite(end) else math.inf
        unfinished = task.late and ceiling > max(self.best.rate, self._relaxed) * (1.0 + task.gap)
        answers = [self.best, *self.others] if task.goal is Goal.PRICE else [self.best]
        return _answer(task, self.looker, answers, max(ceiling, self.best.rate), unfinished)

    def _closer(self, start: float, end: float, looked: bool) -> None:
        if not looked:
            self._push(start, end)
        elif end > start:
            self._cut(start, end)
        self._report()

    def _elsewhere(self) -> None:
        """Where the greatest bound is of a duration at which no answer is found, the widest stretches may hold one."""
        for _ in range(_ELSEWHERE):
            if not self._heap or self.task.late or self.best.rate >= -_NEAR * self._heap[0][0]:
                return
            widest = max(self._heap, key=lambda entry: (not entry[3], entry[2] / entry[1], -entry[0]))
            self._heap.remove(widest)
            heapq.heapify(self._heap)
            self._closer(*widest[1:])

    def _cut(self, start: float, end: float) -> None:
        """In two, where an answer lies well inside, or in the middle."""
        inside = [T for T in self._tried if start + 0.05 * (end - start) < T < end - 0.05 * (end - start)]
        middle = inside[0] if inside else math.sqrt(start) * math.sqrt(end)
        if not start < middle < end:
            return  # as narrow as numbers are: what it could hold is below rounding
        self._push(middle, end)
        self._push(start, middle)

    def _push(self, start: float, end: float) -> None:
        """Bound a stretch, look for an answer at its end, and keep it if it may hold a better one."""
        bound = self._bound(start, end)
        if bound > self.best.rate:
            self._propose(end)
        if bound > self.best.rate:
            heapq.heappush(self._heap, (-bound, start, end, True))

    def _bound(self, start: float, end: float) -> float:
        """A bound of R^beta / T for start <= T <= end."""
        power, cap = self.task.power, self.looker.cap(start, end)
        if cap <= self.best.rate:
            return cap
        look = self._look(end)
        late, early = look.most(end), look.most(start)
        most = min(max(late, early), look.in_whole)
        if most < 1.0 - 1e-9:  # not one replica
            return 0.0
        entire: float = whole(most) ** power / start
        if late >= 1.0:
            self._relaxed = max(self._relaxed, whole(min(late, most)) ** power / end)
        if end == start or not math.isfinite(early):
            return min(cap, entire)
        slope = (late - early) / (end - start)
        turns = [start, end]
        if power != 1.0 and slope != 0.0:
            turns.append((early - slope * start) / (slope * (power - 1.0)))
        line = 0.0
        for T in turns:
            if start <= T <= end:
                line = max(line, float(max(early + slope * (T - start), 0.0) ** power / T))
        if power == 0.0:  # the first duration with a replica
            T = start + (1.0 - early) / slope if slope > 0.0 else start
            line = 1.0 / min(max(T * (1.0 - _SAFE), start), end)
        return min(cap, entire, line)

    def _look(self, duration: float) -> Look:
        """A look, kept while there is room."""
        if duration not in self._looks:
            while len(self._looks) >= self._keep:
                self._looks.pop(next(iter(self._looks)))
            self._looks[duration] = self.looker.look(duration)
        return self._looks[duration]

    def _propose(self, duration: float) -> None:
        """Solve what a look proposes, and keep it if it is the best."""
        if duration in self._tried or (self.task.late and self.best.rate > 0.0):
            return
        self._tried.add(duration)
        if not self._take(duration, self._look(duration).propose()):
            self._take(duration, self.looker.look(duration, 2.0 * _SAFE).propose())

    def _take(self, duration: float, assignment: IntArray | None) -> bool:
        """Solve a proposal, and keep it if it is the best; False where only what rounding may hide made it fit."""
        if assignment is None:
            return True
        menu = self.task.menu
        replicas = float(menu.weights[assignment].sum())
        T, energy = duration_of(self.task, assignment)
        if math.isinf(T):
            spent = float(menu.costs(duration)[assignment, np.arange(len(menu))].sum())
            return spent > float(allowed_at(self.task, duration))
        if replicas < 0.5:
            return True
        self._tried.add(T)
        rate = round(replicas) ** self.task.power / T if T > 0.0 else math.inf
        if (rate, -energy) > (self.best.rate, -self.best.energy):
            self.others = [self.best, *self.others][: _OTHERS if self.best.rate > 0.0 else 0]
            self.best = _Best(rate=rate, energy=energy, duration=T, assignment=assignment)
        return True

    def _report(self) -> None:
        bound = -self._heap[0][0] if self._heap else self.best.rate
        share = self.best.rate / bound if 0.0 < bound < math.inf else 0.0
        self.task.progress(int(_WHOLE * min(share, 1.0)), _WHOLE, self.best.rate)


def _at_deadline(task: Task, looker: Looker) -> Searched:
    """The most replicas in the given time; of as many, an answer of little energy."""
    best = _Best()
    if task.value < task.menu.shortest:
        return impossible(task, looker, Stop.TOO_SHORT)
    look = looker.look(task.value)
    most, assignment = look.most(task.value), look.propose()
    if most < 1.0 - 1e-9:
        return impossible(task, looker, Stop.TOO_SHORT)
    if assignment is not None:
        _, energy = duration_of(task, assignment)
        replicas = round(float(task.menu.weights[assignment].sum()))
        best = _Best(rate=replicas**task.power / task.value, energy=energy, duration=task.value, assignment=assignment)
    ceiling = whole(most) ** task.power / task.value
    return _answer(task, looker, [best], max(ceiling, best.rate), False)


def _answer(task: Task, looker: Looker, answers: list[_Best], ceiling: float, stopped: bool) -> Searched:
    """A row per answer, the best one first."""
    results = empty_results(len(answers))
    counts = np.zeros((len(answers), len(task.menu.rows)), dtype=np.int64)
    best, found = answers[0], answers[0].assignment is not None
    for p, answer in enumerate(answers):
        if answer.assignment is not None:
            counts[p] = np.bincount(answer.assignment, minlength=len(task.menu.rows))
            results[p, :3] = answer.duration, answer.energy, Stop.OPTIMAL
    gain = best.rate * best.duration

    def assign(p: int) -> IntArray:
        assignment = answers[p].assignment
        assert assignment is not None
        return assignment

    return Searched(
        results=results,
        passes=looker.passes,
        matchings=looker.matchings,
        assign=assign,
        proof=looker.proof,
        ceiling=ceiling if ceiling > best.rate else None,
        lower=None if task.goal is Goal.PRICE else np.array([gain / ceiling if found and ceiling > 0.0 else math.nan]),
        stopped=stopped or not found,
        counts=counts,
    )


def impossible(task: Task, looker: Looker, stop: Stop) -> Searched:
    """No partition has an answer: one of a replica or more that needs little says why."""
    menu, longest = task.menu, task.menu.longest
    if stop is Stop.TOO_LITTLE:
        needs = menu.costs(math.inf)
    else:
        needs = menu.least_times if stop is Stop.TOO_SHORT else np.where(np.isinf(menu.least_times), 1.0, 0.0)
    ordered = looker.proof is Proof.SORTED
    assignment = closest_of(menu, needs, together=stop is not Stop.TOO_SHORT, ordered=ordered)
    if assignment is None:
        assignment = np.full(len(menu), int(menu.types[0]), dtype=np.int64)
    results = empty_results(1)
    results[0, STOPPED], results[0, LEAST_TIME], results[0, LEAST_ENERGY] = stop, longest, looker.least_energy()
    return Searched(
        results=results,
        passes=looker.passes,
        matchings=looker.matchings,
        assign=lambda p: assignment,
        counts=np.bincount(assignment, minlength=len(task.menu.rows))[None, :],
    )


def whole(replicas: float) -> float:
    """The whole replicas below a bound, with what rounding may hide."""
    return math.floor(replicas * (1.0 + _SAFE) + _SAFE)


def allowed_at(task: Task, duration: float) -> FloatArray | float:
    """The budget [J], or price [W], at a duration, with what rounding may hide."""
    if task.goal is Goal.DEADLINE:
        return math.inf
    return (task.value * duration if task.goal is Goal.POWER else task.value) * (1.0 + _SAFE)
