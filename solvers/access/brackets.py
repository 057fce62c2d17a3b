"""The bracket of an access scheme's duration, rounding allowed for, by the function of channels of their own."""

from __future__ import annotations

import math
from collections.abc import Callable

from solvers.access import PROVED
from solvers.duration.verdicts import Seen, allowance, bracket, hides
from solvers.rows import Goal


def bracketed(
    goal: Goal,
    value: float,
    duration: float,
    energy: float,
    dual: float,
    price: float,
    greatest: float,
    least: float,
    latest: Callable[[], float],
    sooner: Callable[[float], Seen | None],
) -> tuple[float, float]:
    """Bounds [s] of the least duration within a budget, rounding allowed for.

    energy, dual : [J] of the answer at ``duration``; ``price`` [W] its price of time, greatest of its x.
    least : [s] a bound that holds in any case. latest : T_flat [s], asked for where the energy says too little.
    sooner : the dual value and price of the round of a greater budget, as this one sees them; asked for where the price
        of time is so low that rounding hides much of the duration: the tangent there says more. Never of a budget of
        power, which falls by its watts itself.
    """
    allowed, slope = allowance(goal, value, duration), price + (value if goal is Goal.POWER else 0.0)
    share = hides(greatest)
    hidden = share * energy
    below, above = (Seen(duration, each - allowed, slope) for each in (dual, energy))
    early = sooner(value * (1.0 + 2.0 * share)) if hidden > PROVED * slope * duration else None
    low, _ = bracket(hidden, least, math.inf, early, below)
    _, high = bracket(hidden, least, math.inf, None, above)
    if high - low > PROVED * duration and goal is Goal.ENERGY:
        high = max(min(high, latest()), duration)
    return low, high


def slack_end(
    goal: Goal, value: float, duration: float, energy: float, greatest: float, later: Callable[[float], float]
) -> float:
    """The upper end [s] of a slack round's bracket: its own, or where rounding may hide that its energy is above the
    budget, that of a budget less by what it hides.

    energy : [J] of the round; greatest of its x. later : the duration [s] of a lesser budget.
    """
    share = hides(greatest)
    if energy * (1.0 + share) <= allowance(goal, value, duration):
        return duration
    return max(duration, later(value * (1.0 - 2.0 * share)))
