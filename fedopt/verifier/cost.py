"""At a price of time: is no other round cheaper, whatever its duration, and is this the duration of that price?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fedopt.checks import SMALLEST, FloatArray
from fedopt.problem import TimePrice
from fedopt.solution import Status
from fedopt.verifier import uplink
from fedopt.verifier.decision import Round
from fedopt.verifier.digits import (
    AT_BOUND,
    DIGITS,
    EPSILON,
    LAST,
    LOOSE,
    early,
    hidden_price,
    last_digits,
    unless_hidden,
)
from fedopt.verifier.model import Tasks, best, dual, marginal, steepness, sum_of, times
from fedopt.verifier.report import About, Check, Outcome, judged
from fedopt.verifier.slack import shortest

_FLAT = 1e-13  # of the cost: rounding of its sums
_HALVED = 4.0  # last digits x (1 + |ln(t / tau)|), the ratio that is halved for; against 60 digits no more than 1.5
_BESIDE = 1e-6  # of the duration: no further away prices of time are looked for


def least_cost(r: Round) -> list[Check]:
    """E + price T: prices of time that add up to the budget's bound it from below, whatever the duration."""
    assert isinstance(r.budget, TimePrice)
    price = np.maximum(r.allocation.price, 0.0)
    if r.access is not None:
        proved, limit = uplink.dual_cost(r, r.budget.watts, greatest_price(r)), LOOSE
    else:
        proved, limit = bound_of_cost(r, r.budget.watts, price), r.tolerance
    gap = (r.cost - proved) / r.cost if r.cost > 0.0 else r.cost - proved
    found = f"{r.cost:.12g} J, proved {proved:.12g} J"
    return [
        judged("least energy + price x duration", About.OPTIMALITY, gap, limit, found=found),
        *gap_checks(r, gap, r.cost),
        _at_price(r, gap),
    ]


def gap_checks(r: Round, gap: float, energy: float) -> list[Check]:
    """A scheme's own gap is what its prices leave open, at a price of time no more than its status and costs allow:
    other proofs may leave less then, and looser ones more.

    NaN: where it stopped at a limit it need not claim one.
    """
    if r.sharing is None:
        return []
    claimed = r.sharing.gap
    if math.isnan(claimed) and r.status is Status.LIMIT:
        return [Check(name="gap", about=About.CLAIMS, outcome=Outcome.NOTHING)]
    priced, open_ = isinstance(r.budget, TimePrice), max(gap, 0.0)
    if priced:
        open_ = 0.0 if r.status.solved else 1.0  # no cost is less than nothing
    over = claimed - open_ - (DIGITS * last_digits(r) / energy if energy > 0.0 else 0.0)
    if over > LOOSE:
        return [judged("gap", About.CLAIMS, over, LOOSE, found=f"{claimed:.3g}, open {open_:.3g}")]
    check = judged("gap", About.CLAIMS, gap - claimed, r.tolerance, found=f"{claimed:.3g}, proved {gap:.3g}")
    if priced and gap - claimed > r.tolerance:
        return [replace(check, outcome=Outcome.CLAIMED)]
    return [unless_hidden(check, r, energy)]


def _at_price(r: Round, gap: float) -> Check:
    """The bracket at a price of time: the energy falls by more than it before, by no more after; the cost is too flat.

    On a shared uplink the answer's own prices tell, which add up to it; or the proof of the cost, at a kink.
    """
    assert isinstance(r.budget, TimePrice)
    name, watts, (low, high) = "duration at its price", r.budget.watts, r.bracket
    own = sum_of(np.maximum(r.allocation.price, 0.0))
    said = f"{own:.12g} W at {r.T:.15g} s"
    if math.isnan(low) or math.isnan(high):
        return Check(name=name, about=About.CLAIMS, outcome=Outcome.NOTHING)
    if r.access is not None:
        flat = gap <= _FLAT + DIGITS * last_digits(r) / max(r.cost, SMALLEST)
        off = 0.0 if flat else abs(own / watts - 1.0)
        check = judged(name, About.CLAIMS, off, LOOSE, found=said, why=f"{watts:.12g} W")
        return replace(check, outcome=Outcome.CLAIMED) if off > LOOSE else check
    before, after = (best(r.tasks, end).price for end in (low * (1.0 - r.tolerance), high * (1.0 + r.tolerance)))
    missing = (watts - sum_of(before) if low > 0.0 else 0.0, before), (sum_of(after) - watts, after)
    hidden, blurred = _hidden(r)  # nothing of who pays nothing
    off = max(short - sum_of(hidden[price > 0.0]) for short, price in missing)
    check = judged(name, About.CLAIMS, max(off, 0.0) / watts, r.tolerance, found=said, why=f"{watts:.12g} W")
    most = max(short + sum_of(blurred[price > 0.0]) for short, price in missing)
    if check.outcome is Outcome.FAILED or most <= r.tolerance * watts:
        return check
    return replace(check, outcome=Outcome.UNPROVED, why=f"last digits hide whether that is {watts:.12g} W")


def _hidden(r: Round) -> tuple[FloatArray, FloatArray]:
    """How far a client's price of time [W] may be off by the last digit of the answer's duration, and by rounding where
    this module finds it itself: P_s or P_c far above it leave few of its digits."""
    k, price = r.tasks, np.maximum(r.allocation.price, 0.0)
    with np.errstate(all="ignore"):
        computing = np.where(k.computes, 3.0 * (price + k.p_s), 0.0)
        sending = np.where(k.sends, np.nan_to_num(steepness(r.x)) * (price + k.p_c), 0.0)
        odds = np.nan_to_num(np.abs(np.log(r.t / r.tau)), posinf=0.0)
    given = hidden_price(r, computing, r.t) + hidden_price(r, sending, r.tau)
    return given, _HALVED * EPSILON * (1.0 + odds) * (computing + sending)


def bound_of_cost(r: Round, watts: float, price: FloatArray) -> float:
    """The best of some bounds [J]: prices short of ``watts`` leave the rest to T >= T_min, or are filled up to it.

    Where a double of T does not settle a price, as at a kink, the filled-up ones are the better proof; where that is
    not enough, those that end next to T by this module's own search.
    """
    k, total = r.tasks, float(price.sum())
    left = watts - total
    rest = left * (shortest(r) if left > 0.0 else r.cost / watts)  # a longer round than that costs more
    bounds = [float(dual(k, price).sum()) + rest]
    if total > 0.0:
        bounds.append(float(dual(k, price * (watts / total)).sum()))
    if left > 0.0:
        room = np.where(k.busy, np.clip(greatest_price(r) - price, 0.0, left), 0.0)
        filled = float(room.sum())
        if filled >= left:
            bounds.append(float(dual(k, price + room * (left / filled)).sum()))
    if max(bounds) < r.cost * (1.0 - r.tolerance):
        bounds.append(float(dual(k, _prices_of(k, watts, r.T)).sum()))
    return max(bounds)


def _prices_of(k: Tasks, watts: float, T: float) -> FloatArray:
    """Prices of time that add up to ``watts`` [W], of rounds next to T: those of both sides of a kink in proportion."""
    low, high = T * (1.0 - _BESIDE), T * (1.0 + _BESIDE)
    before, after = (np.minimum(best(k, side).price, watts) for side in (low, high))
    while low < (middle := 0.5 * (low + high)) < high:
        price = np.minimum(best(k, middle).price, watts)
        if float(price.sum()) >= watts:
            low, before = middle, price
        else:
            high, after = middle, price
    most, least = float(before.sum()), float(after.sum())
    part = min(max((watts - least) / (most - least), 0.0), 1.0) if most > least else 0.0
    price = after + part * (before - after)
    total = float(price.sum())
    return price * (watts / total) if total > 0.0 else price


def greatest_price(r: Round) -> FloatArray:
    """The greatest price at which each client would do what it does; 0 for one that is early."""
    k = r.tasks
    with np.errstate(all="ignore"):
        m_t, m_tau = 2.0 * k.kappa * r.f**3 - k.p_s, marginal(r.x) / k.gamma - k.p_c
        t_least, tau_least = times(k, k.f_max, k.x_max)
        most = np.where(k.computes & (r.t > t_least * (1.0 + AT_BOUND) + LAST * r.T), m_t, np.inf)
        most = np.minimum(most, np.where(k.sends & (r.tau > tau_least * (1.0 + AT_BOUND) + LAST * r.T), m_tau, np.inf))
    return np.where(early(r), 0.0, most)
