"""Is there a shorter round within the budget? Duality proves that there is none; one made here, that there is one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fedopt.access import TimeDivision
from fedopt.problem import EnergyBudget, TimePrice
from fedopt.solution import Status
from fedopt.verifier import uplink
from fedopt.verifier.decision import Round
from fedopt.verifier.digits import ENERGY, EPSILON, LOOSE, ROUNDING, unless_hidden
from fedopt.verifier.model import (
    SAME,
    best,
    computing_of,
    proved_energy,
    sending_of,
    speeds,
    sum_of,
    times,
    too_late,
)
from fedopt.verifier.report import About, Check, Outcome, judged
from fedopt.verifier.slack import loose, shortest

_OVER = 1e-14  # relative: of sums of energies that meet a budget to their last digits
_SHARED = 4e-12  # the same where what is shared has to add up, too
_HAIR = 2e-12  # relative: no method goes beyond the budget by more
_MADE = 1e-13  # relative: so much less than the budget takes a round that refutes a claim


def shorter(r: Round, T: float, name: str, about: About) -> Check:
    """Whether the energy at T is proved to be above what may be spent there; without a limit, no number."""
    most, flat = r.allowed(T), latest(r)
    if flat * SAME < T:
        found = f"from {flat:.15g} s on no time saves energy"
        return judged(name, about, math.inf, 0.0, found=found, why=f"at most {flat:.15g} s")
    proved = _proved(r, T, most)
    if max(most, proved) == math.inf:
        short = -math.inf if proved == math.inf else math.inf
    else:
        short = (most - proved) / most if most > 0.0 else most - proved
    found = f"at {T:.15g} s {proved:.12g} J or more" if proved < math.inf else f"at {T:.15g} s nobody can"
    limit = max(ENERGY, 0.1 * r.tolerance) if r.access is None else LOOSE
    return unless_hidden(judged(name, about, short, limit, found=found, why=f"{most:.12g} J"), r, most)


def lower_end(r: Round, low: float) -> Check:
    """No shorter round than ``low`` [s]: where energies too near each other tell nothing of the duration, not proved.

    Duality proves it but for the tolerance of durations; a round that is shorter by more than that refutes it.
    """
    name, about = "lower end of the bracket", About.CLAIMS
    before = math.nextafter(low, 0.0)  # the energy may fall by much between doubles
    check = shorter(r, before, name, about)
    if check.outcome is Outcome.FAILED and r.access is None and _made(r, before) > r.allowed(before):
        return replace(check, outcome=Outcome.UNPROVED, why="price x duration leaves no digits of the energy")
    T = low * (1.0 - r.tolerance)
    most, made = r.allowed(T), _made(r, T)
    if made < most * (1.0 - _MADE - 8.0 * EPSILON * float(r.x.max())) and most < math.inf:
        return judged(name, about, math.inf, 0.0, found=f"{made:.12g} J at {T:.15g} s", why=f"{most:.12g} J will do")
    T = low * (1.0 - loose(r))
    most, digits = r.allowed(T), max(ROUNDING, 2.0 * EPSILON * float(r.x.max()))
    if check.outcome is not Outcome.PASSED or most == math.inf or _proved(r, T, most) > most * (1.0 + digits):
        return check
    return replace(check, outcome=Outcome.UNPROVED, why="the energy hardly falls: it tells nothing of the duration")


def upper_end(r: Round, high: float) -> Check:
    """At the upper end the budget can be met, as the decision itself shows, which may end early, or one made here.

    What both take beyond it is rounding, or where duality proves it, refutes the end; less tells nothing, nor does
    rounding where it is worth more of the duration than its tolerance: of a slack round on either side of the budget.
    """
    name, about, most = "upper end of the bracket", About.CLAIMS, r.allowed(high)
    least = max(_OVER, 8.0 * EPSILON * float(r.x.max()))
    spent, digits = r.E, least if r.access is None else max(_SHARED, least)
    if spent > most:
        spent = min(spent, _made(r, high))
    over = spent / most - 1.0 if 0.0 < most < math.inf else max(spent - most, 0.0) if most == 0.0 else 0.0
    check = judged(name, about, over, digits, found=f"{spent:.12g} J", why=f"{most:.12g} J")
    unproved = replace(check, outcome=Outcome.UNPROVED, why="energies too near each other tell nothing of the duration")
    if over > digits:
        return unless_hidden(check, r, most) if _proved(r, high, most) > most * (1.0 + digits) else unproved
    T = high * (1.0 + loose(r))
    if over > least:  # is it worth more of the duration than its tolerance?
        proved, allowed = _proved(r, T, most), r.allowed(T)
        if proved > allowed * (1.0 + least):
            return replace(check, outcome=Outcome.FAILED) if proved > allowed * (1.0 + _HAIR) else unproved
    slack = r.status is Status.SLACK and over > -ROUNDING and latest(r) > T  # as far as doubles tell
    return unproved if (over > 0.0 or slack) and _made(r, T) > r.allowed(T) * (1.0 - ROUNDING) else check


def not_late(r: Round, low: float) -> Check:
    """At a price of time no round is the best that ends later than more time saves energy."""
    flat = latest(r)
    late = 0.0 if not low > flat else low / flat - 1.0 if flat > 0.0 else math.inf
    return judged("lower end of the bracket", About.CLAIMS, late, loose(r), found=f"{low:.15g} s", why=f"{flat:.15g} s")


def latest(r: Round) -> float:
    """When the best round within a budget of energy, or at a price of time, ends at the latest, whatever that is [s].

    From T_flat on no time saves energy: on the answer's own shares a round of that length takes no more than it does.
    """
    if not isinstance(r.budget, EnergyBudget | TimePrice):
        return math.inf
    k = r.tasks
    t, tau = times(k, *speeds(k, np.zeros(k.W.shape)))
    ends = np.where(k.busy, k.fixed_time + t, 0.0)
    return float(ends.max()) + sum_of(tau) if isinstance(r.access, TimeDivision) else float((ends + tau).max())


def _proved(r: Round, T: float, most: float) -> float:
    """What a round of T takes at least [J]; inf where nobody can, or, without a limit, no power that is a number."""
    if r.access is not None:
        return math.inf if shortest(r) > T * SAME else uplink.dual_energy(r, T)
    proved = proved_energy(r.tasks, T)
    none = most == math.inf and (too_late(r.tasks, T).any() or math.isnan(proved))
    return math.inf if none else proved


def _made(r: Round, T: float) -> float:
    """The energy of some round of T seconds [J]: on the answer's own shares; its slots as they are, or all shorter."""
    k = r.tasks
    if not isinstance(r.access, TimeDivision):
        return sum_of(best(k, T).energy)
    slots, ready = sum_of(r.tau), float(np.where(k.busy, k.fixed_time + r.t, 0.0).max())
    ends = [(T - slots, r.tau)]
    if slots > 0.0:  # else there is nothing else to make shorter
        ends.append((ready, r.tau * ((T - ready) / slots)))
    computing, sending = computing_of(k), sending_of(k)
    return min(sum_of(best(computing, end).energy) + sum_of(best(sending, slot).energy) for end, slot in ends)
