"""The shortest round: how long it is, and whether an answer that is as short leaves some of its budget."""

from __future__ import annotations

import numpy as np

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.verifier import uplink
from fedopt.verifier.decision import Round
from fedopt.verifier.digits import AT_BOUND, ENERGY, EPSILON, LOOSE, BoolArray, unless_hidden
from fedopt.verifier.model import computing_of, energies, least_times, sum_of, times
from fedopt.verifier.report import About, Check, judged


def shortest(r: Round) -> float:
    """T_min [s] of these clients together."""
    if r.access is None:
        return float(least_times(r.tasks).max())
    return uplink.shortest(r.clients, r.work, r.tasks, r.access)


def loose(r: Round) -> float:
    return r.tolerance if r.access is None else max(r.tolerance, LOOSE)


def used_up(r: Round) -> list[Check]:
    """Called OPTIMAL, and as fast as can be: that is SLACK where the budget is not used up.

    Nor would the shortest round use it up, whose energy the last digits of this one may hide.
    """
    last = _last(r)
    if not _flat_out(r, last):  # a digit of the duration above the shortest round
        return []
    most, spent = r.allowed(r.T), max(r.E, _flat_out_energy(r, last))
    unspent = 1.0 - spent / most if most > 0.0 else 0.0
    limit = ENERGY if r.access is None else LOOSE
    said = f"{spent:.12g} of {most:.12g} J"
    check = judged("not slack: the budget is used up", About.NUMBERS, unspent, limit, found=said)
    return [check if r.access is not None else unless_hidden(check, r, most)]


def _last(r: Round) -> BoolArray:
    """Who makes the round as long as it is; under time division, of all computing."""
    k, close = r.tasks, AT_BOUND if r.access is None else LOOSE
    if isinstance(r.access, TimeDivision):
        t, _ = times(k, k.f_max, k.x_max)
        ready = float((k.fixed_time + r.t)[k.busy].max(initial=0.0))
        return k.busy & (k.fixed_time + t >= ready * (1.0 - close))
    return k.busy & (least_times(k) >= r.T * (1.0 - close))


def _flat_out(r: Round, last: BoolArray) -> bool:
    """Whether those who make the round as long as it is run at full speed and power, as far as T tells; sharing a band,
    all who send."""
    k, close = r.tasks, AT_BOUND if r.access is None else LOOSE
    sends = last if r.access is None else k.sends
    computes = last | k.sends if isinstance(r.access, SharedBandwidth) else last
    with np.errstate(all="ignore"):
        most_t, most_tau = (1.0 - close - 8.0 * EPSILON * r.T / part for part in (r.t, r.tau))
        slow = k.computes & computes & (r.f < k.f_max * most_t)
        quiet = k.sends & sends & (r.x < k.x_max * most_tau)
    return bool(last.any() and not (slow | quiet).any())


def _flat_out_energy(r: Round, last: BoolArray) -> float:
    """What the shortest round takes at most [J]: who is not last as decided; on a band, sending to the end of this."""
    k = r.tasks
    if not isinstance(r.access, SharedBandwidth):
        sends = last if r.access is None else k.sends
        return sum_of(energies(k, np.where(last, k.f_max, r.f), np.where(sends, k.x_max, r.x)))
    f = np.where(last | k.sends, k.f_max, r.f)
    t, _ = times(k, f, k.x_max)
    sending = (r.clients.power_max + k.p_c) * np.maximum(r.T - k.fixed_time - t, 0.0)
    return sum_of(energies(computing_of(k), f, k.x_max) + np.where(k.sends, sending, 0.0))
