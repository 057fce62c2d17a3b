"""What a search may claim of its answer: the bound it proves and of which answers, in numbers and in words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from fedopt.problem import (
    Deadline,
    EnergyBudget,
    LeastEnergy,
    PowerBudget,
    Problem,
    ReplicaRate,
    ShortestRound,
    utility_of,
)
from fedopt.reasons import is_open
from fedopt.solution import ONE, Schedule, Solution, Status
from fedopt.submodels import Partition, partition_count
from solvers.access import LAST_DIGITS
from solvers.matching.task import DURATION, ENERGY, OPEN, SCREENED, STOPPED, Proof, Searched
from solvers.rows import Stop

_FAR = 0.5  # of the energy: where a bound is below that share of it, the bound itself is said
_TENFOLD = 9.0  # of the utility more: from there on a factor is said
_KEPT = 1e-6  # relative: the utility of a matching and what its search said of it


def counted(problem: Problem, found: Searched, seconds: float) -> dict[str, float]:
    """Evaluations per level: partitions and matchings, durations, passes over all clients; seconds of the search."""
    stopped = found.results[:, 2]
    partitions = len(stopped)
    if found.counts is not None:
        partitions = partition_count(len(problem.clients), problem.submodels)
    return {
        "partitions": float(partitions),
        "solved": float(np.isfinite(found.results[:, 0]).sum()),
        "screened": float(partitions - (stopped != SCREENED).sum()),
        "matchings": float(found.matchings),
        "passes": float(found.passes),
        "seconds_search": seconds,
    }


def claim_of(problem: Problem, found: Searched, partition: Partition, round_: Schedule) -> dict[str, Any]:
    """The bound of the utility that the search proves, and of which answers it is one; nothing where there is none."""
    if found.proof is Proof.NONE or (found.proof is Proof.MATCHINGS and not ordered_by_duration(problem)):
        return {}
    if found.stopped and found.ceiling is None:
        return {}
    if found.proof is Proof.SORTED and gave_up(found):
        return {}
    bound = bound_of(problem, partition, round_.duration, round_.energy, round_.bracket)
    if found.ceiling is not None:
        ceiling = found.ceiling  # of gain / T, or -E
        if isinstance(problem.utility, ShortestRound):
            ceiling = -1.0 / ceiling if ceiling > 0.0 else -math.inf
        bound = max(ceiling, bound)
    return {"bound": bound, "scope": found.proof.value}


def bound_of(
    problem: Problem, partition: Partition, duration: float, energy: float, bracket: tuple[float, float]
) -> float:
    """The utility of the best round of a partition: of where its bracket begins, but for last digits."""
    shortest = bracket[0] if bracket[1] - bracket[0] > OPEN * duration else duration
    return utility_of(problem, partition, shortest, energy)


def gave_up(found: Searched) -> bool:
    """Whether level 2 said of any partition neither what it needs nor that nothing meets the budget."""
    unknown = ~np.isfinite(found.results[:, DURATION])
    return bool((unknown & (found.results[:, STOPPED] == Stop.LIMIT)).any())


def bracket_over(lower: float, round_: Schedule) -> tuple[float, float]:
    """Bounds [s] of the best duration over all matchings: a proved lower one, NaN for none, and what the round's own
    bracket ends with: where rounding leaves that open, both ends are.
    """
    low, high = min(lower, round_.duration) if math.isfinite(lower) else math.nan, round_.duration
    own = round_.bracket
    return (low, high) if math.isnan(own[1]) else (min(low, own[0]), own[1])


def held_to(solution: Solution, round_: Schedule, found: Searched, row: int) -> Solution:
    """The same; INACCURATE, and nothing claimed, where its matching does not keep what the search said of it, or where
    the round is so short that its utility is no number."""
    problem, partition = solution.problem, solution.partition
    assert problem is not None
    assert partition is not None
    if not solution.status.solved or is_open(round_.duration, round_.bracket):
        return solution
    T, E = float(found.results[row, DURATION]), float(found.results[row, ENERGY])
    if abs(E - round_.energy) <= LAST_DIGITS * _price_of_time(round_) * round_.duration:  # T hides that much of E
        E = round_.energy
    said = utility_of(problem, partition, T, E)
    if isinstance(problem.utility, ReplicaRate) and solution.utility == math.inf and solution.duration > 0.0:
        why = f"R^beta / T is no number for a round of {solution.duration:g} s"
    elif solution.utility < said - _KEPT * abs(said):
        took = f"{solution.duration:g} s and {solution.energy:g} J"
        why = f"the matching takes {took}, where the search said {T:g} s and {E:g} J"
    else:
        return solution
    reason = f"Inaccurate: {why}; nothing is claimed of other answers."
    return dataclasses.replace(
        solution,
        status=Status.INACCURATE,
        reason=reason,
        bound=math.nan,
        scope="",
        bracket=round_.bracket,
        cost_bracket=(math.nan, math.nan),
    )


def limited(solution: Solution) -> Solution:
    """The same; a limit where more is left open of what others may be worth than of what is called the best."""
    from solvers.duration.verdicts import KNOWN

    problem, partition = solution.problem, solution.partition
    if not solution.status.solved or problem is None or partition is None:
        return solution
    low, high = solution.bracket
    left_open = high - low > KNOWN * solution.duration
    timed = isinstance(problem.budget, Deadline)
    if timed:  # no round is shorter: of those worth more, what level 2 gave up on
        concerned = isinstance(problem.utility, ReplicaRate)
    else:
        concerned = isinstance(problem.budget, EnergyBudget | PowerBudget) and ordered_by_duration(problem)
    if concerned and not left_open and math.isfinite(high):
        left_open = solution.bound > utility_of(problem, partition, (1.0 - KNOWN) * high, solution.energy)
    if not left_open:
        return solution
    hides = "rounding, or the gap of a mixed-integer program, hides when they meet it."
    why = f"The budget is so near the least energy of other matchings that {hides}"
    if timed:
        why = "The methods of levels 2 and 3 gave up on other partitions."
    reason = f"{Status.LIMIT.sentence} {why} {scope_of(solution)}"
    return dataclasses.replace(solution, status=Status.LIMIT, reason=reason)


def _price_of_time(round_: Schedule) -> float:
    """[W]"""
    assert round_.allocation is not None
    return float(round_.allocation.price.sum()) if round_.sharing is None else round_.sharing.time_price


def stopped_at(solution: Solution, limit: float) -> Solution:
    """The answer in hand when the time was up, said to be that."""
    if not solution.status.solved:
        return solution
    reason = f"Stopped at the time limit of {limit:g} s: the best answer so far is in hand. {scope_of(solution)}"
    return dataclasses.replace(solution, status=Status.LIMIT, reason=reason)


def of_one(solution: Solution, problem: Problem) -> Solution:
    """The answer of a problem's one partition, said to be that where the whole problem has others."""
    alone, types = solution.problem, problem.submodels
    assert alone is not None
    assert alone.partitions is not None
    count = partition_count(len(problem.clients), types) if problem.partitions is None else len(problem.partitions)
    found = dataclasses.replace(solution, problem=problem)
    if count == 1:
        return found
    reason, said = solution.reason, scope_of(solution)
    scope = f"{solution.scope}{ONE}" if solution.scope else ""
    if solution.status is Status.INFEASIBLE:
        reason += f" Only partition {tuple(alone.partitions[0].tolist())} was tried: others may meet it."
        scope = scope or f"some matchings{ONE}"
    elif reason.endswith(said):
        reason = reason.removesuffix(said) + scope_of(solution, alone=True)
    return dataclasses.replace(found, reason=reason, scope=scope, paper=None)


def scope_of(solution: Solution, *, alone: bool = False) -> str:
    """What is proved of other answers, in a sentence that cannot be taken for more.

    alone: the answer's partition was the only one searched, and the problem has others.
    """
    utility, bound = solution.utility, solution.bound
    by = _by((bound - utility) / abs(utility)) if bound > utility else ""
    problem, far = solution.problem, ""
    rest = "; other partitions were not tried" if alone else ""
    assert problem is not None
    if isinstance(problem.utility, LeastEnergy) and bound > _FAR * utility:
        far = f" The least energy may be as little as {max(-bound, 0.0):.6g} J."
    proved = solution.scope if bound < math.inf else ""
    if proved == Proof.MATCHINGS.value:
        which = "No matching of this partition" if alone else "No partition and no matching"
        return f"{which} is better{by}{rest}.{far}"
    if proved == Proof.SORTED.value and not alone:
        return f"No partition is better{by} with its sorted matching; other matchings may be better.{far}"
    low, cost = solution.cost_bracket
    if low >= cost * (1.0 - 1e-9):
        if alone:
            return f"No matching of this partition is cheaper{rest}."
        return "No matching is cheaper, and no other partition's cheapest matching is better."
    if low > 0.0:
        share = _percent(1.0 - low / cost)
        rest = rest or "; other matchings may be better"
        return f"No matching of this partition is cheaper by more than {share} %{rest}."
    return f"Other matchings may be better{rest}."


def ordered_by_duration(problem: Problem) -> bool:
    """Whether the best matching of a partition is the one of least duration, or of least energy at a deadline."""
    if isinstance(problem.utility, ReplicaRate | ShortestRound):
        return True
    return isinstance(problem.utility, LeastEnergy) and isinstance(problem.budget, Deadline)


def _by(share: float) -> str:
    """By how much more others may be, as a share of the utility: in per cent, or as a factor where that says more."""
    return f" by more than {_percent(share)} %" if share < _TENFOLD else f" by a factor of more than {_up(1.0 + share)}"


def _percent(share: float) -> str:
    """A share in per cent with two digits, rounded up."""
    return _up(100.0 * share)


def _up(value: float) -> str:
    """A number with two digits, rounded up: what is claimed must hold."""
    if not 0.0 < value < math.inf:
        return f"{value:g}"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:.3g}"
