"""What the last digits of a double may hide of an answer: prices of time, energies, who is early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedopt.access import TimeDivision
from fedopt.checks import FloatArray
from fedopt.verifier import uplink
from fedopt.verifier.decision import Round
from fedopt.verifier.model import marginal
from fedopt.verifier.report import Check, Outcome

EPSILON = 2.0**-53
AT_BOUND = 1e-12  # relative: a speed this near its least or greatest one is at it
LAST = 1e-13  # of the duration: what its last digits hide of a time at a bound
ENERGY = 1e-10  # relative: what the last digits of a sum of energies may hide
ROUNDING = 2e-15  # relative: of a sum of energies, of which the methods leave twice as much open
LOOSE = 1e-6  # relative, of an access scheme: what its own answers may leave open
LEAST = 2.0**-1022  # of numbers below it, beside what they are made of, doubles have lost digits
DIGITS = 256.0  # last digits, of an access scheme, that searches and sums may leave open

BoolArray = NDArray[np.bool_]


def hidden_price(r: Round, scale: FloatArray, part: FloatArray) -> FloatArray:
    """How far a price [W] may be off because T, and so what is left of it for this part, is a double."""
    return np.where(part > 0.0, 8.0 * EPSILON * scale * (1.0 + r.T / np.where(part > 0.0, part, 1.0)), 0.0)


def beyond(off: FloatArray, hidden: FloatArray) -> FloatArray:
    """What of a difference is not hidden, with its sign."""
    result: FloatArray = np.sign(off) * np.maximum(np.abs(off) - hidden, 0.0)
    return result


def last_digits(r: Round) -> float:
    """How much energy [J] the last digits of duration and bandwidth are worth at the answer's prices: no bound is
    closer. A price of time counts as far as what its client does is worth it."""
    k, price = r.tasks, np.where(r.tasks.busy, np.maximum(r.allocation.price, 0.0), 0.0)
    with np.errstate(all="ignore"):
        m_t = np.where(k.computes, np.maximum(2.0 * k.kappa * r.f**3 - k.p_s, 0.0), 0.0)
        m_tau = np.where(k.sends, np.maximum(marginal(r.x) / k.gamma - k.p_c, 0.0), 0.0)
        worth = np.minimum(price, m_t if isinstance(r.access, TimeDivision) else np.maximum(m_t, m_tau))
    watts = float(worth.sum())
    if isinstance(r.access, TimeDivision):
        watts = max(watts, min(float(price.sum()), float(m_tau.max(initial=0.0))))
    elif r.access is not None:  # there the price of bandwidth tells that of who sends
        watts += float((price - worth)[k.sends].sum())
    return 2.0 * EPSILON * (watts * r.T + uplink.worth(r.sharing, r.access))


def unless_hidden(check: Check, r: Round, energy: float) -> Check:
    """The check; not proved again rather than failed where the last digits of the duration hide what is missing."""
    hidden = (4.0 if r.access is None else DIGITS) * last_digits(r)  # of a duration, and of two sums
    missing = check.residual * energy if energy > 0.0 else check.residual
    if check.outcome is not Outcome.FAILED or not missing <= hidden:
        return check
    return replace(check, outcome=Outcome.UNPROVED, why=f"the last digits of the duration hide {hidden:.3g} J")


def early(r: Round) -> BoolArray:
    """Who is done before the round ends; under time division, before all have computed."""
    done, end = r.tasks.fixed_time + r.t, r.T
    if isinstance(r.access, TimeDivision):
        end = float(np.where(r.tasks.busy, done, 0.0).max())
    else:
        done = done + r.tau
    result: BoolArray = r.tasks.busy & (done < end * (1.0 - r.tolerance))
    return result
