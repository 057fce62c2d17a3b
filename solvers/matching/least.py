"""The least duration over all matchings of a partition, given the best matching at any one duration.

E*(T), the energy of the best matching at T, never rises with T but is neither convex nor continuous. Two facts make
a search of it: where E*(T) is within the budget, the matching found there has a duration of its own that is no
longer than T; where it is not, no matching is short enough. So look just below the best duration known: a failure
there is the proof, a success a shorter duration. Where matchings are held up by who fits where rather than by the
budget their durations crowd: then look at the least duration at which any is feasible (hall.py), which is the answer
or one end of a bracket, and from there on where a line through its ends meets the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solvers.menu import IntArray
from solvers.rows import Goal

Match = Callable[[float], tuple[IntArray, float] | None]
Root = Callable[[IntArray], tuple[float, float]]

GAP = 1e-13  # relative: the proof is for durations shorter by more than this
_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """The best matching (N,), its duration [s], the proved lower bound [s], and how many matchings were solved."""

    assignment: IntArray
    duration: float
    lower: float
    matchings: int


def least_duration(
    match: Match,
    root: Root,
    goal: Goal,
    value: float,
    least: float,
    high: float,
    feasible: Callable[[], float],
    known: IntArray | None = None,
) -> Least | None:
    """The least T at which some matching meets the energy or power budget, if one at or below ``high`` does; else None.

    match(T): the matching of least energy at T and that energy, None where none is feasible. root(assignment): the
    duration and energy of a matching, inf where it has none. least [s]: no matching is feasible below; feasible(): a
    better one of these, asked for where it would help. known: a matching that meets the budget at ``high``, so that
    there is an answer whatever rounding says of another one of the same energy.
    """

    def surplus(found: tuple[IntArray, float] | None, duration: float) -> float:
        """ln of E over the budget: positive where the matching is too dear, inf where there is none."""
        allowed = value * duration if goal is Goal.POWER else value
        if found is None or (allowed <= 0.0 < found[1]):
            return math.inf
        return math.log(found[1] / allowed) if found[1] > 0.0 and allowed < math.inf else -math.inf

    best, slack = known, False
    low, too_dear, within = least, math.inf, -math.inf
    probe, raised, asked = high, False, False  # raised: the last step between the ends moved the lower one
    for solved in range(1, _STEPS + 1):
        between = low < probe < high * (1.0 - 2.0 * GAP)
        found = match(probe) if probe >= least else None
        over = surplus(found, probe)
        if found is not None and abs(over) <= GAP:  # rounding hides which it is: the matching's own duration knows
            over = 0.0 if root(found[0])[0] <= probe else GAP
        if over <= 0.0:
            assert found is not None
            duration, energy = root(found[0])
            slack = surplus((found[0], energy), duration) < -1e-9
            best, high, within, raised = found[0], min(duration, probe), over, False
        elif best is None:
            return None
        else:
            low, too_dear = max(low, probe), over
            within = 0.5 * within if raised else within  # twice: lean to the other end (Illinois)
            raised = between
        if (found is None or slack) and not asked and low < high * (1.0 - 2.0 * GAP):
            asked, low = True, max(low, feasible())
            probe = low
        elif slack and low > 0.0:
            probe = _between(low, high, too_dear, within)
        else:
            probe = high * (1.0 - GAP)
        if low >= high * (1.0 - 2.0 * GAP):
            return Least(assignment=best, duration=high, lower=low, matchings=solved)
    assert best is not None
    return Least(assignment=best, duration=high, lower=low, matchings=_STEPS)


def _between(low: float, high: float, too_dear: float, within: float) -> float:
    """Where a line through the surpluses at both ends crosses zero, off the ends; the middle if one is infinite."""
    share = 0.5
    if math.isfinite(too_dear) and math.isfinite(within):
        share = min(max(too_dear / (too_dear - within), 0.02), 0.98)
    result: float = low * (high / low) ** share
    return result
