"""Is no other decision for this matching better? Stationarity, duality at the answer's own prices, no shorter round."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.checks import FloatArray
from fedopt.problem import Deadline, TimePrice
from fedopt.solution import Status
from fedopt.verifier import uplink
from fedopt.verifier.cost import gap_checks, least_cost
from fedopt.verifier.decision import CLIENT, Round
from fedopt.verifier.digits import (
    AT_BOUND,
    ENERGY,
    EPSILON,
    LEAST,
    LOOSE,
    BoolArray,
    beyond,
    early,
    hidden_price,
    last_digits,
    unless_hidden,
)
from fedopt.verifier.model import SAME, dual, marginal, steepness
from fedopt.verifier.report import About, Check, Outcome, judged, worst
from fedopt.verifier.shorter import lower_end, not_late, shorter, upper_end
from fedopt.verifier.slack import loose, shortest, used_up

HIDDEN = 1e-3  # relative: what the last digits of price x duration may hide of it at most, as at a T_min
CLOSER = 1e-8  # relative error of a frequency or efficiency, to first order, in the optimality conditions

O = About.OPTIMALITY


def optimality_checks(r: Round) -> list[Check]:
    """All of them; at a limit nothing is claimed, so that what is not so does not count against the answer."""
    checks = [*_stationary(r), *_least_energy(r), *_duration(r), *_bracket(r)]
    if r.status is not Status.LIMIT:
        return checks
    return [
        replace(c, outcome=Outcome.UNPROVED, why="stopped at a limit: not claimed")
        if c.outcome is Outcome.FAILED and c.about is O
        else c
        for c in checks
    ]


def _stationary(r: Round) -> list[Check]:
    """2 kappa f^3 - P_s = lambda = F(x)/gamma - P_c inside, one-sided at a bound; lambda the least that fits.

    Residuals are in relative errors of f and x.
    """
    k, price = r.tasks, r.allocation.price
    sending = price if not isinstance(r.access, TimeDivision) or r.sharing is None else r.sharing.time_price
    with np.errstate(all="ignore"):
        m_t, m_tau = 2.0 * k.kappa * r.f**3 - k.p_s, marginal(r.x) / k.gamma - k.p_c
        scale_t = 3.0 * (np.maximum(price, m_t) + k.p_s) + LEAST
        scale_tau = steepness(r.x) * (np.maximum(sending, m_tau) + k.p_c) + LEAST
        hidden = hidden_price(r, scale_t, r.t) + hidden_price(r, scale_tau, r.tau)
        hidden = hidden + LEAST + np.where(k.sends, LEAST / k.gamma, 0.0)  # f^3 and F(x) of rounds that last and last
        off_t, off_tau = beyond(m_t - price, hidden) / scale_t, beyond(m_tau - sending, hidden) / scale_tau
        above_t, above_tau = r.f > k.f_min * (1.0 + AT_BOUND), r.x > k.x_min * (1.0 + AT_BOUND)
        most_t, most_tau = (1.0 - r.tolerance - 8.0 * EPSILON * r.T / part for part in (r.t, r.tau))  # T is a double
        below_t, below_tau = r.f < k.f_max * most_t, r.x < k.x_max * most_tau
        off_t = np.where(k.computes, _one_sided(off_t, above_t, below_t), 0.0)
        off_tau = np.where(k.sends, _one_sided(off_tau, above_tau, below_tau), 0.0)
        least = np.maximum(np.where(k.computes, m_t, 0.0), 0.0)  # at a least speed too: the last digits of T decide
        if not isinstance(r.access, TimeDivision):
            least = np.maximum(least, np.where(k.sends, m_tau, 0.0))
        more = np.where(k.busy & (price > 0.0), beyond(price - least, hidden) / (price + k.p_s + k.p_c), 0.0)
    with np.errstate(all="ignore"):  # relative to the marginals, both of which are P_s and P_c at price 0
        paid = np.where(early(r), price / (price + k.p_s + k.p_c + 2.0 * k.kappa * r.f**3), 0.0)
    free = np.where(k.busy, np.nan_to_num(paid), price > 0.0)
    limit = max(CLOSER, r.tolerance) if not isinstance(r.access, SharedBandwidth) else LOOSE
    checks = [
        worst("prices are not negative", O, -np.minimum(price, 0.0), 0.0, ("W", price, 0.0 * price), CLIENT),
        worst("who is early pays nothing", O, free, limit, ("W", price, 0.0 * price), CLIENT),
        worst("computing at its price", O, off_t, limit, ("W", m_t, price), CLIENT),
        worst("sending at its price", O, off_tau, limit, ("W", m_tau, np.broadcast_to(sending, m_tau.shape)), CLIENT),
    ]
    if isinstance(r.access, SharedBandwidth):
        checks.append(_bandwidth(r, hidden))
    if r.access is None:  # schemes report a price that fits
        checks.append(worst("no lower price fits", O, more, limit, ("W", price, least), CLIENT))
    return checks


def _bandwidth(r: Round, hidden: FloatArray) -> Check:
    """One hertz more saves every sender the same: (p + P_c + lambda) tau (x - 1 + e^-x) / (B x) = mu.

    At the power it sends at, lambda pays for the time that it saves; inside the range that is tau F(x) / (gamma B).
    hidden: of lambda [W].
    """
    assert isinstance(r.access, SharedBandwidth)
    assert r.sharing is not None
    k, band, mu = r.tasks, r.sharing.bandwidth, r.sharing.bandwidth_price
    with np.errstate(all="ignore"):
        faster = r.tau * (r.x + np.expm1(-r.x)) / (band * r.x)  # -d tau / d B
        saves = (r.p + k.p_c + r.allocation.price) * faster
        digits = 8.0 * EPSILON * (1.0 + 1.0 / r.x + r.x * (1.0 + r.access.hertz / band))  # x; a sum of bandwidths
        off = np.maximum(np.abs(saves - mu) - hidden * faster, 0.0) / np.maximum(saves, mu) - digits
    who = np.where(k.sends & (saves != mu), off, 0.0)
    return worst("bandwidth at its price", O, who, LOOSE, ("J/Hz", saves, np.full(saves.shape, mu)), CLIENT)


def _one_sided(off: FloatArray, above: BoolArray, below: BoolArray) -> FloatArray:
    """Marginal less price: above the least speed it may not exceed 0 too far, below the greatest not fall short."""
    found = np.where(above, np.maximum(off, 0.0), 0.0)
    return np.maximum(found, np.where(below, np.maximum(-off, 0.0), 0.0))


def _least_energy(r: Round) -> list[Check]:
    """Duality at the answer's own prices: no decision takes less energy in this time."""
    if r.access is not None:
        proved = uplink.dual_energy(r, r.T)
        limit = LOOSE
    else:
        price = np.maximum(r.allocation.price, 0.0)
        proved = float(dual(r.tasks, price).sum() - r.T * price[r.tasks.busy].sum())
        limit = max(r.tolerance, ENERGY)
    gap = (r.E - proved - min(last_digits(r), HIDDEN * r.E)) / r.E if r.E > 0.0 else r.E - proved
    check = judged("least energy in this time", O, gap, limit, found=f"{r.E:.12g} J, proved {proved:.12g} J")
    claims = [] if isinstance(r.budget, TimePrice) else gap_checks(r, gap, r.E)  # then it is of the cost
    return [unless_hidden(check, r, r.E), *claims]


def _duration(r: Round) -> list[Check]:
    """No better duration; and slack only where the round is as short as it can be."""
    if isinstance(r.budget, Deadline):
        return []
    checks = []
    least = shortest(r)
    off = r.T / least - 1.0 if least > 0.0 else r.T
    if r.status is Status.SLACK:
        said = f"{r.T:.15g} s"
        checks.append(judged("slack: as short as can be", O, off, loose(r), found=said, why=f"{least:.15g} s"))
    if isinstance(r.budget, TimePrice):
        return [*checks, *least_cost(r)]
    if off <= loose(r):
        if r.status is Status.OPTIMAL:
            checks += used_up(r, least)
        said = f"{r.T:.12g} s is the least duration of these clients"
        return [*checks, judged("no shorter round", O, max(off, 0.0), loose(r), found=said)]
    return [*checks, shorter(r, r.T * (1.0 - loose(r)), "no shorter round", O)]


def _bracket(r: Round) -> list[Check]:
    """The answer's own bracket of the best duration: around it, and proved at both ends."""
    low, high = r.bracket
    if math.isnan(low) and math.isnan(high):
        return [Check(name="bracket of the duration", about=About.CLAIMS, outcome=Outcome.NOTHING)]
    inside = not low > r.T and high >= r.T  # NaN: no lower end is proved
    said = f"{low:.15g} to {high:.15g} s"
    about = About.CLAIMS
    checks = [judged("bracket holds the duration", about, 0.0 if inside else math.inf, 0.0, found=said)]
    if isinstance(r.budget, Deadline):
        return checks  # that is what the round lasts
    if isinstance(r.budget, TimePrice):  # the least cost is proved without it
        return [*checks, not_late(r, low)]
    if math.nextafter(low, 0.0) > shortest(r) * SAME:
        checks.append(lower_end(r, low))
    return [*checks, upper_end(r, high)]
