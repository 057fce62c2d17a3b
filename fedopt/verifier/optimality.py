"""Is no other decision for this matching better? Stationarity, duality at the answer's own prices, no shorter round."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.checks import SMALLEST, FloatArray
from fedopt.problem import Deadline, TimePrice
from fedopt.solution import Status
from fedopt.verifier import uplink
from fedopt.verifier.decision import CLIENT, Round
from fedopt.verifier.model import (
    SAME,
    Tasks,
    best,
    computing_of,
    dual,
    energies,
    least_times,
    marginal,
    proved_energy,
    sum_of,
    times,
    too_late,
)
from fedopt.verifier.report import About, Check, Outcome, judged, worst

EPSILON = 2.0**-53
AT_BOUND = 1e-12  # relative: a speed this near its least or greatest one is at it
LAST = 1e-13  # of the duration: what its last digits hide of a time at a bound
ENERGY = 1e-10  # relative: what the last digits of a sum of energies may hide
HIDDEN = 1e-3  # relative: what the last digits of price x duration may hide of it at most, as at a T_min
LOOSE = 1e-6  # relative, of an access scheme: what its own answers may leave open
_DIGITS = 256.0  # last digits, of an access scheme, that searches and sums may leave open
_FLAT = 1e-13  # of the cost: rounding of its sums
_BESIDE = 1e-6  # of the duration: no further away prices of time are looked for
CLOSER = 1e-8  # relative error of a frequency or efficiency, to first order, in the optimality conditions

BoolArray = NDArray[np.bool_]

O = About.OPTIMALITY


def optimality_checks(r: Round, *, own_bracket: bool = True) -> list[Check]:
    """All of them; at a limit nothing is claimed, so that what is not so does not count against the answer.

    own_bracket: the bracket is of this matching alone, and its lower end proved here.
    """
    checks = [*_stationary(r), *_least_energy(r), *_duration(r), *_bracket(r, own_bracket)]
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
        steep = r.x * r.x * np.exp(r.x) / marginal(r.x)
        scale_t, scale_tau = 3.0 * (np.maximum(price, m_t) + k.p_s), steep * (np.maximum(sending, m_tau) + k.p_c)
        hidden = _hidden(r, scale_t, r.t) + _hidden(r, scale_tau, r.tau)
        off_t, off_tau = _beyond(m_t - price, hidden) / scale_t, _beyond(m_tau - sending, hidden) / scale_tau
        above_t, above_tau = r.f > k.f_min * (1.0 + AT_BOUND), r.x > k.x_min * (1.0 + AT_BOUND)
        most_t, most_tau = (1.0 - r.tolerance - 8.0 * EPSILON * r.T / part for part in (r.t, r.tau))  # T is a double
        below_t, below_tau = r.f < k.f_max * most_t, r.x < k.x_max * most_tau
        off_t = np.where(k.computes, _one_sided(off_t, above_t, below_t), 0.0)
        off_tau = np.where(k.sends, _one_sided(off_tau, above_tau, below_tau), 0.0)
        least = np.maximum(np.where(k.computes, m_t, 0.0), 0.0)  # at a least speed too: the last digits of T decide
        if not isinstance(r.access, TimeDivision):
            least = np.maximum(least, np.where(k.sends, m_tau, 0.0))
        more = np.where(k.busy & (price > 0.0), _beyond(price - least, hidden) / (price + k.p_s + k.p_c), 0.0)
    with np.errstate(all="ignore"):  # relative to the marginals, both of which are P_s and P_c at price 0
        paid = np.where(_early(r), price / (price + k.p_s + k.p_c + 2.0 * k.kappa * r.f**3), 0.0)
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


def _hidden(r: Round, scale: FloatArray, part: FloatArray) -> FloatArray:
    """How far a price [W] may be off because T, and so what is left of it for this part, is a double."""
    return np.where(part > 0.0, 8.0 * EPSILON * scale * (1.0 + r.T / np.where(part > 0.0, part, 1.0)), 0.0)


def _beyond(off: FloatArray, hidden: FloatArray) -> FloatArray:
    """What of a difference is not hidden, with its sign."""
    result: FloatArray = np.sign(off) * np.maximum(np.abs(off) - hidden, 0.0)
    return result


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
    gap = (r.E - proved - min(_last_digits(r), HIDDEN * r.E)) / r.E if r.E > 0.0 else r.E - proved
    check = judged("least energy in this time", O, gap, limit, found=f"{r.E:.12g} J, proved {proved:.12g} J")
    claims = [] if isinstance(r.budget, TimePrice) else _gap(r, gap, r.E)  # then it is of the cost
    return [unless_hidden(check, r, r.E), *claims]


def _gap(r: Round, gap: float, energy: float) -> list[Check]:
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
    over = claimed - open_ - (_DIGITS * _last_digits(r) / energy if energy > 0.0 else 0.0)
    if over > LOOSE:
        return [judged("gap", About.CLAIMS, over, LOOSE, found=f"{claimed:.3g}, open {open_:.3g}")]
    check = judged("gap", About.CLAIMS, gap - claimed, r.tolerance, found=f"{claimed:.3g}, proved {gap:.3g}")
    if priced and gap - claimed > r.tolerance:
        return [replace(check, outcome=Outcome.CLAIMED)]
    return [unless_hidden(check, r, energy)]


def _last_digits(r: Round) -> float:
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
    hidden = (4.0 if r.access is None else _DIGITS) * _last_digits(r)  # of a duration, and of two sums
    missing = check.residual * energy if energy > 0.0 else check.residual
    if check.outcome is not Outcome.FAILED or not missing <= hidden:
        return check
    return replace(check, outcome=Outcome.UNPROVED, why=f"the last digits of the duration hide {hidden:.3g} J")


def _duration(r: Round) -> list[Check]:
    """No better duration; and slack only where the round is as short as it can be."""
    if isinstance(r.budget, Deadline):
        return []
    checks = []
    shortest = _shortest(r)
    off = r.T / shortest - 1.0 if shortest > 0.0 else r.T
    if r.status is Status.SLACK:
        said = f"{r.T:.15g} s"
        checks.append(judged("slack: as short as can be", O, off, _loose(r), found=said, why=f"{shortest:.15g} s"))
    if isinstance(r.budget, TimePrice):
        return [*checks, *_least_cost(r)]
    if off <= _loose(r):
        if r.status is Status.OPTIMAL:
            checks += _used_up(r)
        said = f"{r.T:.12g} s is the least duration of these clients"
        return [*checks, judged("no shorter round", O, max(off, 0.0), _loose(r), found=said)]
    return [*checks, shorter(r, r.T * (1.0 - _loose(r)), "no shorter round", O)]


def _used_up(r: Round) -> list[Check]:
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


def _shortest(r: Round) -> float:
    """T_min [s] of these clients together."""
    if r.access is None:
        return float(least_times(r.tasks).max())
    return uplink.shortest(r.clients, r.work, r.tasks, r.access)


def _loose(r: Round) -> float:
    return r.tolerance if r.access is None else max(r.tolerance, LOOSE)


def shorter(r: Round, T: float, name: str, about: About) -> Check:
    """Whether the energy at T is proved to be above what may be spent there; without a limit, no number."""
    most = r.allowed(T)
    if r.access is not None:
        proved = math.inf if _shortest(r) > T * SAME else uplink.dual_energy(r, T)
    else:
        proved = proved_energy(r.tasks, T)
        if most == math.inf and (too_late(r.tasks, T).any() or math.isnan(proved)):
            proved = math.inf
    if max(most, proved) == math.inf:
        short = -math.inf if proved == math.inf else math.inf
    else:
        short = (most - proved) / most if most > 0.0 else most - proved
    found = f"at {T:.15g} s {proved:.12g} J or more" if proved < math.inf else f"at {T:.15g} s nobody can"
    limit = ENERGY if r.access is None else LOOSE
    return unless_hidden(judged(name, about, short, limit, found=found, why=f"{most:.12g} J"), r, most)


def _least_cost(r: Round) -> list[Check]:
    """E + price T: prices of time that add up to the budget's bound it from below, whatever the duration."""
    assert isinstance(r.budget, TimePrice)
    price = np.maximum(r.allocation.price, 0.0)
    if r.access is not None:
        proved, limit = uplink.dual_cost(r, r.budget.watts, _greatest_price(r)), LOOSE
    else:
        proved, limit = _bound_of_cost(r, r.budget.watts, price), r.tolerance
    gap = (r.cost - proved) / r.cost if r.cost > 0.0 else r.cost - proved
    found = f"{r.cost:.12g} J, proved {proved:.12g} J"
    return [
        judged("least energy + price x duration", O, gap, limit, found=found),
        *_gap(r, gap, r.cost),
        _at_price(r, gap),
    ]


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
        flat = gap <= _FLAT + _DIGITS * _last_digits(r) / max(r.cost, SMALLEST)
        off = 0.0 if flat else abs(own / watts - 1.0)
        check = judged(name, About.CLAIMS, off, LOOSE, found=said, why=f"{watts:.12g} W")
        return replace(check, outcome=Outcome.CLAIMED) if off > LOOSE else check
    k, price = r.tasks, np.maximum(r.allocation.price, 0.0)
    with np.errstate(all="ignore"):
        steep = np.nan_to_num(r.x * r.x * np.exp(r.x) / marginal(r.x))
        noise = sum_of(_hidden(r, 3.0 * (price + k.p_s), r.t) + _hidden(r, steep * (price + k.p_c), r.tau))
    before, after = best(k, low * (1.0 - r.tolerance)).price, best(k, high * (1.0 + r.tolerance)).price
    off = max(watts - sum_of(before), sum_of(after) - watts) - noise
    return judged(name, About.CLAIMS, max(off, 0.0) / watts, r.tolerance, found=said, why=f"{watts:.12g} W")


def _bound_of_cost(r: Round, watts: float, price: FloatArray) -> float:
    """The best of some bounds [J]: prices short of ``watts`` leave the rest to T >= T_min, or are filled up to it.

    Where a double of T does not settle a price, as at a kink, the filled-up ones are the better proof; where that is
    not enough, those that end next to T by this module's own search.
    """
    k, total = r.tasks, float(price.sum())
    left = watts - total
    rest = left * (_shortest(r) if left > 0.0 else r.cost / watts)  # a longer round than that costs more
    bounds = [float(dual(k, price).sum()) + rest]
    if total > 0.0:
        bounds.append(float(dual(k, price * (watts / total)).sum()))
    if left > 0.0:
        room = np.where(k.busy, np.clip(_greatest_price(r) - price, 0.0, left), 0.0)
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


def _greatest_price(r: Round) -> FloatArray:
    """The greatest price at which each client would do what it does; 0 for one that is early."""
    k = r.tasks
    with np.errstate(all="ignore"):
        m_t, m_tau = 2.0 * k.kappa * r.f**3 - k.p_s, marginal(r.x) / k.gamma - k.p_c
        t_least, tau_least = times(k, k.f_max, k.x_max)
        most = np.where(k.computes & (r.t > t_least * (1.0 + AT_BOUND) + LAST * r.T), m_t, np.inf)
        most = np.minimum(most, np.where(k.sends & (r.tau > tau_least * (1.0 + AT_BOUND) + LAST * r.T), m_tau, np.inf))
    return np.where(_early(r), 0.0, most)


def _early(r: Round) -> BoolArray:
    """Who is done before the round ends; under time division, before all have computed."""
    done, end = r.tasks.fixed_time + r.t, r.T
    if isinstance(r.access, TimeDivision):
        end = float(np.where(r.tasks.busy, done, 0.0).max())
    else:
        done = done + r.tau
    early: BoolArray = r.tasks.busy & (done < end * (1.0 - r.tolerance))
    return early


def _bracket(r: Round, own: bool) -> list[Check]:
    """The answer's own bracket of the best duration: around it, and proved at both ends."""
    low, high = r.bracket
    if math.isnan(low) and math.isnan(high):
        return [Check(name="bracket of the duration", about=About.CLAIMS, outcome=Outcome.NOTHING)]
    inside = not low > r.T and high >= r.T  # NaN: no lower end is proved
    said = f"{low:.15g} to {high:.15g} s"
    about = About.CLAIMS
    checks = [judged("bracket holds the duration", about, 0.0 if inside else math.inf, 0.0, found=said)]
    if isinstance(r.budget, TimePrice | Deadline):
        return checks  # the least cost is proved without it, and a deadline is what the round lasts
    before = math.nextafter(low, 0.0)  # the energy may fall by much between neighbouring doubles
    if own and before > _shortest(r) * SAME:
        checks.append(shorter(r, before, "lower end of the bracket", about))
    if high > r.T:
        checks.append(_upper(r, high))
    return checks


def _upper(r: Round, high: float) -> Check:
    """At the upper end the budget can be met: the decision itself shows it, as it may end early."""
    spent, most = r.E, r.allowed(high)
    over = spent / most - 1.0 if most > 0.0 else spent
    return judged("upper end of the bracket", About.CLAIMS, over, r.tolerance, found=f"{spent:.12g} J")
