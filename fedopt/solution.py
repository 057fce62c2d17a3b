"""Answers: Allocation, Schedule, Solution, their Status and the judge's Verdict (verdict.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedopt.access import Sharing
from fedopt.checks import FloatArray, by_constructor, kind
from fedopt.submodels import IntArray, Partition

if TYPE_CHECKING:
    from fedopt.effects import Sensitivity
    from fedopt.problem import Problem


ONE = " of one partition"  # ends a scope where that alone was searched of those that the problem has


class Status(IntEnum):
    """Why a solve stopped. What is in hand then is another matter: see ``verdict``.

    OPTIMAL and SLACK passed the judge, and where the method proves a ``bracket`` of the best duration it is at most 1 %
    wide (1e-6 under an access scheme): 1e-12 as a rule, more only for an energy budget within 1e-8 or so of the least
    possible energy, where rounding hides how much more time saves. ``reason`` says so. Wider ones are a LIMIT, and so
    are answers where it hides when another matching meets the budget that would be worth more by over 1 %. What does
    not pass the judge is INACCURATE, at a limit too.
    """

    OPTIMAL = 1
    SLACK = 2
    INFEASIBLE = 3
    LIMIT = 4
    INACCURATE = 5

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        return _SENTENCES[self]

    @property
    def solved(self) -> bool:
        """True for OPTIMAL and SLACK: the answer is proved and passed the judge."""
        return self in (Status.OPTIMAL, Status.SLACK)


_SENTENCES = {
    Status.OPTIMAL: "Solved: the duration is the best the budget allows.",
    Status.SLACK: "Solved: the least duration these clients can keep is within the budget, which is not used up.",
    Status.INFEASIBLE: "Infeasible: no round meets the budget; see the reason.",
    Status.LIMIT: "Stopped at a limit: the best answer so far is in hand, not proved to be the best.",
    Status.INACCURATE: "The method's answer does not pass the judge; see the verdict.",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """Level 3: what every client does; read-only arrays of shape (N,).

    Attributes
    ----------
    frequency : [Hz] CPU frequency f; 0 for an idle client.
    rate : [bit/s] upload rate r = B x / ln 2; 0 for an idle client.
    power : [W] transmit power p = (e^x - 1) / gamma.
    compute_time, upload_time : [s] t = W / f and tau = s / r.
    energy : [J] of the client's round, download included.
    price : [W] lambda, what one more second would save this client (the least one where a range fits).
    feasible : False where the client cannot meet the duration; then energy is +inf and everything else NaN.
    """

    frequency: FloatArray
    rate: FloatArray
    power: FloatArray
    compute_time: FloatArray
    upload_time: FloatArray
    energy: FloatArray
    price: FloatArray
    feasible: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in self.__slots__:
            kind(f"Allocation.{name}", getattr(self, name), np.ndarray, "an array, one entry per client")
            getattr(self, name).setflags(write=False)

    __reduce__ = by_constructor

    def __len__(self) -> int:
        return int(self.energy.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge found: recomputed from instance and decision alone.

    ``energy`` [J] and ``duration`` [s] of the decision, ``violation`` the greatest relative violation of any
    constraint (0 where all hold), ``violations`` a sentence for each kind violated beyond the tolerance.
    """

    energy: float
    duration: float
    violation: float
    violations: tuple[str, ...]

    @property
    def feasible(self) -> bool:
        """True where every constraint holds to the tolerance."""
        return not self.violations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """Levels 2 and 3: the duration of the round and what every client does in it.

    Attributes
    ----------
    status : why the solve stopped.
    reason : one sentence; for an infeasible schedule it names clients and amounts.
    duration : [s] T, NaN where infeasible.
    energy : [J] E(T) as the judge recomputed it, NaN where infeasible.
    allocation : the clients' share, None where infeasible.
    verdict : the judge's, None where infeasible.
    bracket : [s] certified lower and upper bound of the best duration, where the method proves them; else NaN.
    clients : indices of the clients the reason names.
    shortfall : by how much the budget misses, in its own unit; 0 where it does not, NaN where nothing is known.
    sharing : bandwidths, prices and proof under an access scheme; None on the clients' own channels.
    stats : passes over the clients and seconds, per level.
    """

    status: Status
    reason: str
    duration: float
    energy: float
    allocation: Allocation | None
    verdict: Verdict | None
    bracket: tuple[float, float] = (float("nan"), float("nan"))
    clients: tuple[int, ...] = ()
    shortfall: float = 0.0
    sharing: Sharing | None = None
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a rule of thumb would have given: partition, duration [s], energy [J] and utility."""

    partition: Partition
    duration: float
    energy: float
    utility: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """All three levels: who trains what, for how long, at which frequency and rate.

    Attributes: those of Schedule, and

    partition : the K counts, with ``partition.replicas``; None where infeasible.
    assignment : (N,) type index of each client, read-only; None where infeasible.
    utility : of (partition, duration, energy), NaN where infeasible.
    bound : proved upper limit of the utility, NaN where the method proves none. scope : what it is a limit of: "all
        matchings" of all partitions of the problem, or their "sorted matchings" only, which says nothing of other
        matchings; either with " of one partition", the answer's own, where that one was kept and no other tried.
        Of an infeasible answer: of which matchings it is proved; "" of those tried only, "some matchings of one
        partition" where these are of one that was kept.
    bracket : [s] as in Schedule; where ``scope`` begins with "all matchings", over all matchings of the partition: on a
        shared uplink, and of partitions too many to list, as wide as the proof leaves it.
    cost_bracket : [J] at a price of time, proved lower bound of energy + price x duration over all matchings of the
        partition, and what this solution costs; NaN where nothing is proved.
    place_prices : (K,) [J] what one more place of each type would change the energy by, up to a common constant,
        read-only; from the exact matching, else None.
    paper : what the paper's sorted rule would have given; from the exact matching of listed partitions, else None, as
        where one of several was kept.
    problem : what this is the answer of. sensitivity : how it depends on the budget and on every client, see there.
    stats : evaluations per level and seconds. ``partitions`` there are, ``screened`` of them by proofs alone, and those
        ``solved``; best ``matchings`` solved; ``passes`` of level 3 over all clients; ``seconds`` of the whole call, of
        which ``seconds_search`` for level 1 with all that it asks of levels 2 and 3, and ``seconds_schedule`` for
        levels 2 and 3 of the answer.
    """

    status: Status
    reason: str
    duration: float
    energy: float
    allocation: Allocation | None
    verdict: Verdict | None
    partition: Partition | None
    assignment: IntArray | None
    utility: float
    bound: float = float("nan")
    scope: str = ""
    bracket: tuple[float, float] = (float("nan"), float("nan"))
    cost_bracket: tuple[float, float] = (float("nan"), float("nan"))
    place_prices: FloatArray | None = None
    paper: Rule | None = None
    clients: tuple[int, ...] = ()
    shortfall: float = 0.0
    sharing: Sharing | None = None
    stats: Mapping[str, float] = field(default_factory=dict)
    problem: Problem | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for values in (self.assignment, self.place_prices):
            if isinstance(values, np.ndarray):
                values.setflags(write=False)

    __reduce__ = by_constructor

    @property
    def sensitivity(self) -> Sensitivity | None:
        """sensitivity(problem, solution), worked out when asked for; None without a decision or on a shared uplink."""
        if self.problem is None or self.allocation is None or self.problem.access is not None:
            return None
        from fedopt.effects import sensitivity

        return sensitivity(self.problem, self)
