"""The shortest round: how long it is, and whether it is within the budget."""

from __future__ import annotations

import math

import numpy as np

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.checks import FloatArray
from fedopt.verifier import uplink
from fedopt.verifier.decision import Round
from fedopt.verifier.digits import AT_BOUND, ENERGY, LOOSE, BoolArray, unless_hidden
from fedopt.verifier.model import (
    Tasks,
    best,
    computing_of,
    energies,
    least_times,
    sending_of,
    sum_of,
    times,
)
from fedopt.verifier.report import About, Check, judged


def shortest(r: Round) -> float:
    """T_min [s] of these clients together."""
    if r.access is None:
        return float(least_times(r.tasks).max())
    return uplink.shortest(r.clients, r.work, r.tasks, r.access)


def loose(r: Round) -> float:
    return r.tolerance if r.access is None else max(r.tolerance, LOOSE)


def used_up(r: Round, least: float) -> list[Check]:
    """Called OPTIMAL, and as short as can be: that is SLACK where the shortest round, of ``least`` [s], leaves some of
    the budget. One that takes more energy than a double holds is within no budget."""
    most, spent = r.allowed(least), _shortest_energy(r, least)
    if not spent < math.inf:
        return []
    unspent = 1.0 - spent / most if most > 0.0 else most - spent
    limit = max(ENERGY, 0.1 * r.tolerance) if r.access is None else LOOSE
    said = f"{spent:.12g} of {most:.12g} J at {least:.15g} s"
    check = judged("not slack: the budget is used up", About.NUMBERS, unspent, limit, found=said)
    return [check if r.access is not None else unless_hidden(check, r, most)]


def _shortest_energy(r: Round, least: float) -> float:
    """What the shortest round takes [J]; on a band at most: who sends, at full power and to the end; or on the shares
    it has, where these leave everybody time."""
    k = r.tasks
    if r.access is None:
        return sum_of(_quickest(k, least))
    if isinstance(r.access, TimeDivision):
        slots = energies(sending_of(k), k.f_max, k.x_max)
        return sum_of(_quickest(computing_of(k), uplink.earliest(k)) + slots)
    assert isinstance(r.access, SharedBandwidth)
    t, _ = times(k, k.f_max, k.x_max)
    sending = (r.clients.power_max + k.p_c) * np.maximum(least - k.fixed_time - t, 0.0)
    quickest = _quickest(k, least)
    full = sum_of(np.where(k.sends, energies(computing_of(k), k.f_max, k.x_max) + sending, quickest))
    own = math.inf if (k.sends & _last(k, least)).any() else sum_of(quickest)
    return min(bound for bound in (full, own, math.inf) if not math.isnan(bound))


def _quickest(k: Tasks, T: float) -> FloatArray:
    """Energies [J] at T, the least there is: the last at full speed, whatever the last digits of T say."""
    result: FloatArray = np.where(_last(k, T), energies(k, k.f_max, k.x_max), best(k, T).energy)
    return result


def _last(k: Tasks, T: float) -> BoolArray:
    """Who takes all of T at full speed."""
    result: BoolArray = k.busy & (least_times(k) >= T * (1.0 - AT_BOUND))
    return result
