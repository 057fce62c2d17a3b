"""The least duration over all matchings of a partition, given the best matching at any one duration.

E*(T), the energy of the best matching at T, never rises with T but is neither convex nor continuous. Two facts make
a search of it: where E*(T) is within the budget, the matching found there has a duration of its own that is no
longer than T; where it is not, no matching is short enough. So look just below the best duration known: a failure
there is the proof, a success a shorter duration. Where energies hardly fall with time rounding hides which of the two
it is, and matchings of one energy may have durations far apart: then look further below, until energies do say that
none is shorter. Where matchings are held up by who fits where rather than by the budget their durations crowd: then
look at the least duration at which any is feasible (hall.py), which is the answer or one end of a bracket, and from
there on where a line through its ends meets the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solvers.duration.verdicts import HIDES
from solvers.matching.task import OPEN
from solvers.menu import IntArray
from solvers.rows import Goal

Match = Callable[[float], tuple[IntArray, float] | None]
Root = Callable[[IntArray], tuple[float, float]]

GAP = 1e-13  # relative: the proof is for durations shorter by more than this
_DEEPER = 10.0  # times: how much further below a duration is looked where it does
_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Least:
    """The best matching (N,), its duration [s], the proved lower bound [s], and how many matchings were solved.

    Where none was found, the assignment is None and the duration inf: none is shorter than ``lower``, which is ``high``
    where rounding hides nothing.
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
    hides: float = HIDES,
) -> Least:
    """The least T at which some matching meets the energy or power budget, if one at or below ``high`` does.

    match(T): the matching of least energy at T and that energy, None where none is feasible. root(assignment): the
    duration and energy of a matching, inf where it has none. least [s]: no matching is feasible below; feasible(): a
    better one of these, asked for where it would help. known: a matching that meets the budget at ``high``, so that
    there is an answer whatever rounding says of another one of the same energy.
    hides: relative, by how much the energy of match(T) may be above the least.
    """
    gap = max(GAP, hides)

    def surplus(found: tuple[IntArray, float] | None, duration: float) -> float:
        """ln of E over the budget: positive where the matching is too dear, inf where there is none."""
        allowed = value * duration if goal is Goal.POWER else value
        if found is None or (allowed <= 0.0 < found[1]):
            return math.inf
        return math.log(found[1] / allowed) if found[1] > 0.0 and allowed < math.inf else -math.inf

    best, slack = known, False
    low, too_dear, within = least, math.inf, -math.inf
    probe, raised, asked = high, False, False  # raised: the last step between the ends moved the lower one
    hidden, deeper = math.inf, gap  # from where on rounding hides it, as far as is known; how far below ``high``
    solved = 0
    while solved < _STEPS:
        solved += 1
        between = low < probe < high * (1.0 - 2.0 * gap)
        found = match(probe) if probe >= least else None
        over = surplus(found, probe)
        duration, energy = root(found[0]) if found is not None and over <= gap else (math.inf, math.inf)
        in_doubt = False
        if abs(over) <= gap:  # rounding hides which it is: the matching's own duration says no more
            in_doubt = duration > probe and over <= hides
            over = gap if duration > probe else 0.0
        if over <= 0.0 or (in_doubt and duration < high * (1.0 - gap)):
            assert found is not None
            high = min(duration, probe) if over <= 0.0 else duration
            slack = duration == math.inf or surplus((found[0], energy), duration) < -1e-9  # inf: level 2 gave up on it
            best, within, raised, hidden, deeper = found[0], min(over, 0.0), False, math.inf, gap
        elif in_doubt:
            hidden, deeper = probe, _DEEPER * deeper
        elif best is None and hidden == math.inf:
            low = probe
            break
        else:
            low, too_dear = max(low, probe), over
            within = 0.5 * within if raised else within  # twice: lean to the other end (Illinois)
            raised = between
        if hidden < math.inf:
            below = high * (1.0 - deeper)
            if not in_doubt or below <= low or deeper > 0.5:
                below = _below(low, hidden, high, max(OPEN, _DEEPER * hides))
            if below <= low:
                break
            probe = below
            continue
        if (found is None or slack) and not asked and low < high * (1.0 - 2.0 * gap):
            asked, low = True, max(low, feasible())
            probe = low
        elif slack and low > 0.0:
            probe = _between(low, high, too_dear, within)
        else:
            probe = high * (1.0 - gap)
        if low >= high * (1.0 - 2.0 * gap):
            break
    return Least(assignment=best, duration=math.inf if best is None else high, lower=low, matchings=solved)


def _below(low: float, hidden: float, high: float, most: float) -> float:
    """Where to look between a duration that is too short and one of which rounding hides it; ``low`` if that will do.

    Near ``high`` what is left open of it counts, and need not be less than ``most``; far below it durations do.
    """
    if low < 0.5 * high:
        return low if hidden <= 1.1 * low else math.sqrt(low * hidden) if low > 0.0 else 0.5 * hidden
    open_, known = 1.0 - low / high, max(1.0 - hidden / high, GAP)
    return low if open_ <= max(most, 1.25 * known) else high * (1.0 - math.sqrt(open_ * known))


def _between(low: float, high: float, too_dear: float, within: float) -> float:
    """Where a line through the surpluses at both ends crosses zero, off the ends; the middle if one is infinite."""
    share = 0.5
    if math.isfinite(too_dear) and math.isfinite(within):
        share = min(max(too_dear / (too_dear - within), 0.02), 0.98)
    result: float = low * (high / low) ** share
    return result
