"""The least duration over all matchings of a partition, given the best matching at any one duration.

E*(T), the energy of the best matching at T, never rises with T but is neither convex nor continuous. Two facts make
a search of it: where E*(T) is within the budget, the matching found there has a duration of its own that is no
longer than T; where it is not, no matching is short enough. So look just below the best duration known: a failure
there is the proof, a success a shorter duration. Where energies hardly fall with time rounding hides which of the two
it is, and matchings of one energy may have durations far apart: then look further below. Where matchings are held up by
who fits where rather than by the budget their durations crowd: then look at the least duration at which any is feasible
(hall.py), the answer or one end of a bracket, and from there on where a line through its ends meets the budget.
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
OPEN = 1e-6  # relative: what rounding leaves of a duration is told from there on
_ROUNDED = 1e-14  # relative: energies above a budget by no more say nothing
_DEEPER, _DEEPEST = 10.0, 3e-4  # times; relative: how far below a duration is looked where they do not
_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """The best matching (N,), its duration [s], the proved lower bound [s], and how many matchings were solved.

    Where none was found, the assignment is None and the duration inf: none is shorter than ``lower``, which is as long
    as was looked at but where rounding hides it.
    """

    assignment: IntArray | None
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
) -> Least:
    """The least T at which some matching meets the energy or power budget, if one at or below ``high`` does.

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
    deeper = GAP  # relative: how far below it was looked where energies say nothing
    for solved in range(1, _STEPS + 1):
        between = low < probe < high * (1.0 - 2.0 * GAP)
        found = match(probe) if probe >= least else None
        over = surplus(found, probe)
        if found is not None and abs(over) <= GAP:  # rounding hides which it is: the matching's own duration knows
            longer = root(found[0])[0] > probe
            if longer and over <= _ROUNDED and deeper < _DEEPEST and least < probe * (1.0 - _DEEPER * deeper):
                deeper *= _DEEPER  # of another one of that energy it says nothing
                probe *= 1.0 - deeper
                continue
            over = GAP if longer else 0.0
        if over <= 0.0:
            assert found is not None
            duration, energy = root(found[0])
            slack = surplus((found[0], energy), duration) < -1e-9
            best, high, within, raised, deeper = found[0], min(duration, probe), over, False, GAP
        elif best is None:
            return Least(assignment=None, duration=math.inf, lower=probe, matchings=solved)
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
        if low >= high * (1.0 - 2.0 * deeper):
            return Least(assignment=best, duration=high, lower=low, matchings=solved)
        deeper = GAP
    assert best is not None
    return Least(assignment=best, duration=high, lower=low, matchings=_STEPS)


def _between(low: float, high: float, too_dear: float, within: float) -> float:
    """Where a line through the surpluses at both ends crosses zero, off the ends; the middle if one is infinite."""
    share = 0.5
    if math.isfinite(too_dear) and math.isfinite(within):
        share = min(max(too_dear / (too_dear - within), 0.02), 0.98)
    result: float = low * (high / low) ** share
    return result
