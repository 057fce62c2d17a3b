"""One row at a duration and a price of bandwidth, scalar and safe: the least of its energy + mu beta, and how it moves.

Bandwidth is counted in whole channels, beta = b/B, so a = s ln 2/B, gamma = h/(N0 B) and mu is in joules per channel.
An upload of tau seconds at efficiency x has beta = a/(tau x) and gamma p = (a/tau) E(x), E(x) = (e^x - 1)/x. With
F(x) = 1 + (x - 1) e^x and G = gamma p

    between the bounds of p:   F(x) = mu gamma/tau,   lambda + P_c = mu beta/tau
    at a bound of p:           E(x) = G tau/a,        lambda + P_c + p = mu (beta/tau) x e^x/F(x)

are what one more second of sending is worth (section 7 of the model, solved for lambda). Both fall with tau, so the
round of a row is one root: that worth against computing's, 2 kappa W^3/t^3 - P_s.
"""

from __future__ import annotations

import math

from solvers.blocks import IDLE, NEITHER, NO_UPLOAD, NO_WORK
from solvers.compile import inlined, stage
from solvers.elementary import EXP_MAX, expm1_given, inverse_marginal, marginal_given

_STEPS = 200
_NEAR = 4e-15


@inlined
def _ln(z: float) -> float:
    """ln z, -inf for 0."""
    return math.log(z) if z > 0.0 else -math.inf


@inlined
def growth(x: float) -> float:
    """E(x) = (e^x - 1)/x, inf beyond a double."""
    if x > EXP_MAX:
        return math.inf
    return expm1_given(x, math.exp(x)) / x if x > 1e-300 else 1.0


@stage
def inverse_growth(value: float) -> float:
    """x with E(x) = value; 0 where value <= 1. Newton on the convex ln E from the right never passes the root:
    a step to the right is rounding."""
    if not value > 1.0:
        return 0.0
    if value == math.inf:
        return math.inf
    rest = value - 1.0
    if rest < 1e-4:  # the inverse of E - 1 = x/2 + x^2/6 + x^3/24 + x^4/120 + ...
        return 2.0 * rest * (1.0 - rest * (2.0 / 3.0 - rest * (5.0 / 9.0 - rest * (68.0 / 135.0))))
    target = math.log1p(rest)
    x = min(2.0 * target, EXP_MAX)
    for _ in range(60):
        e = math.exp(min(x, EXP_MAX))
        over = expm1_given(x, e)
        log_growth = math.log1p((over - x) / x) if x < 1.0 else math.log(over / x)
        slope = marginal_given(x, e) / (over * x)
        step = (log_growth - target) / slope
        x -= step
        if step <= 1e-15 * x:
            break
    return x


@stage
def sending(
    tau: float, mu: float, a: float, gamma: float, g_min: float, g_max: float, p_c: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """An upload of tau [s]: x, beta, q [W] and its rest, so that lambda = q - rest, three elasticities, and G or 0.

    They are -d ln q/d ln tau, d ln q/d ln mu and -d ln beta/d ln mu; G is gamma p where p is at a bound. x = 0 and
    q = inf: no bandwidth is enough.
    """
    x = inverse_marginal(mu * gamma / tau)
    power = growth(x) * a / tau  # gamma p
    if g_min <= power <= g_max:
        g = _steepness(x)
        beta = a / (tau * x) if x > 0.0 else math.inf
        return x, beta, mu * beta / tau, p_c, 2.0 - 1.0 / g, 1.0 - 1.0 / g, 1.0 / g, 0.0
    bound = g_max if power > g_max else g_min
    x = inverse_growth(bound * tau / a)
    if x == 0.0:
        return 0.0, math.inf, math.inf, 0.0, 1.0, 1.0, 0.0, bound
    near = min(x, EXP_MAX)
    e = math.exp(near)
    over, f = expm1_given(near, e), marginal_given(near, e)
    beta, bend = bound / over, f / over  # d ln E/d ln x
    q = mu * (beta / tau) * (near * e / f)
    return x, beta, q, p_c + bound / gamma, 2.0 + near / (bend * bend), 1.0, 0.0, bound


@inlined
def _steepness(x: float) -> float:
    """d ln F/d ln x = x^2 e^x/F(x), 2 for small x."""
    if x < 1e-8:
        return 2.0 + 2.0 / 3.0 * x
    if x > 600.0:
        return x * x / (x - 1.0)
    e = math.exp(x)
    return x * x * e / marginal_given(x, e)


@stage
def share_row(
    what: int,
    left: float,
    mu: float,
    start: float,
    k: float,
    a: float,
    gamma: float,
    t_low: float,
    t_free: float,
    p_s: float,
    p_c: float,
    g_min: float,
    g_max: float,
) -> tuple[float, float, float, float, float, float, float, float]:
    """t, tau [s], x, beta, lambda [W], and how they move: -d lambda/dT [W/s], d beta/dT [1/s], d beta/d ln mu.

    start: odds t/tau to begin with, or 0. A row for which no bandwidth is enough has beta and lambda inf.
    """
    if what in (IDLE, NEITHER):
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if what == NO_UPLOAD:
        t = max(min(left, t_free), t_low)
        if t == t_free:
            return t, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        return t, 0.0, 0.0, 0.0, max(2.0 * k / (t * t * t) - p_s, 0.0), 6.0 * k / (t * t * t) / t, 0.0, 0.0
    if not left > t_low:
        return t_low, 0.0, 0.0, math.inf, math.inf, 0.0, 0.0, 0.0
    t, tau, give = t_free, left - t_free, 0.0  # one more second gives 1 - give of itself to sending
    q, rest, spare = math.inf, 0.0, False
    if tau > 0.0:
        _, _, q, rest, _, _, _, _ = sending(tau, mu, a, gamma, g_min, g_max, p_c)
    if q <= rest:
        tau, give, spare = min(_free(mu, a, gamma, g_min, g_max, p_c), tau), 1.0, True
    elif what != NO_WORK:
        t, tau, give = _root(left, mu, start, k, a, gamma, t_low, t_free, p_s, p_c, g_min, g_max)
    x, beta, q, rest, fall, by_mu, out, bound = sending(tau, mu, a, gamma, g_min, g_max, p_c)
    if beta == math.inf:
        return t, tau, x, math.inf, math.inf, 0.0, 0.0, 0.0
    price = 0.0 if spare else max(q - rest, 0.0)
    if give > 0.0 and not spare and (p_s <= rest or bound > 0.0):  # computing tells the price with more digits
        price = max(2.0 * k / (t * t * t) - p_s, 0.0)
    if give > 0.0 and bound > 0.0:  # tau hardly tells x where x is small; what a second is worth does
        x, tau, beta, q = _at_bound(x, price + rest, mu, a, bound)
    by_time = q * by_mu / mu  # -d beta/d tau
    by_price = -(out * beta + by_time * (by_mu / fall) * tau * give)
    return t, tau, x, beta, price, fall * q / tau * (1.0 - give), -by_time * (1.0 - give), by_price


@stage
def _at_bound(x: float, wanted: float, mu: float, a: float, bound: float) -> tuple[float, float, float, float]:
    """x, tau [s], beta and q of an upload at G = ``bound`` with q = ``wanted`` [W]; q falls with x, which is near."""
    for _ in range(_STEPS):
        near = min(x, EXP_MAX)
        e = math.exp(near)
        over, f = expm1_given(near, e), marginal_given(near, e)
        bend = f / over
        q = mu * (bound * near / over) * (bound * near / over) * (e / (a * f))
        step = math.log(q / wanted) / (2.0 * bend + near / bend)
        x *= math.exp(min(max(step, -1.0), 1.0))
        if abs(step) <= 1e-9:  # quadratic
            break
    over = expm1_given(min(x, EXP_MAX), math.exp(min(x, EXP_MAX)))
    return x, a * over / (x * bound), bound / over, wanted


@stage
def _free(mu: float, a: float, gamma: float, g_min: float, g_max: float, p_c: float) -> float:
    """The upload time [s] from which on one more second is worth nothing: lambda = 0.

    Between the bounds of p that is F(x)^2/x = P_c mu gamma^2/a, for small x x^3/4; Newton in ln x.
    """
    x, power = 1.0, 0.0
    if p_c > 0.0:
        target = math.log(p_c) + math.log(mu) + 2.0 * math.log(gamma) - math.log(a)
        log_x = (target + math.log(4.0)) / 3.0
        x = math.exp(min(max(log_x, -200.0), 1.5))
        for _ in range(_STEPS):
            near = min(x, EXP_MAX)
            log_f = math.log(marginal_given(near, math.exp(near))) if x > 1e-150 else 2.0 * math.log(x) - math.log(2.0)
            step = (target - (2.0 * log_f - math.log(x))) / (2.0 * _steepness(x) - 1.0)
            x *= math.exp(min(max(step, -1.0), 1.0))
            if abs(step) <= 1e-9:  # quadratic
                break
        tau = mu * gamma / marginal_given(min(x, EXP_MAX), math.exp(min(x, EXP_MAX)))
        power = growth(x) * a / tau
        if g_min <= power <= g_max:
            return tau
    bound = g_max if power > g_max else g_min
    return _at_bound(x, p_c + bound / gamma, mu, a, bound)[1]


@stage
def _root(
    left: float,
    mu: float,
    start: float,
    k: float,
    a: float,
    gamma: float,
    t_low: float,
    t_free: float,
    p_s: float,
    p_c: float,
    g_min: float,
    g_max: float,
) -> tuple[float, float, float]:
    """t, tau where computing and sending are worth the same, in log-odds v = ln(t/tau), or at a bound of t; and give.

    H(v) = ln(2k/t^3 + (rest - P_s)+) - ln(q + (P_s - rest)+) falls with v.
    """
    low, high = max(_ln(t_low) - _ln(left - t_low), -690.0), 690.0
    if left > t_free:
        high = max(min(high, _ln(t_free) - _ln(left - t_free)), low)
    first, last = low, high
    v = min(max(_ln(start), low), high) if start > 0.0 else low
    above, below = False, False  # low and high are known to be on their side of the root
    for _ in range(_STEPS):
        at_low, at_high = v <= first, v >= last
        s = 1.0 / (1.0 + math.exp(-v))
        u = 1.0 / (1.0 + math.exp(v))
        t = t_low if at_low else (t_free if at_high and t_free < left else left * s)
        tau = left - t if at_low or (at_high and t_free < left) else left * u
        _, _, q, rest, fall, _, _, _ = sending(tau, mu, a, gamma, g_min, g_max, p_c)
        work = 2.0 * k / (t * t * t)
        more, less = max(rest - p_s, 0.0), max(p_s - rest, 0.0)
        h = _ln((work + more) / (q + less)) if q + less > 0.0 else math.inf
        if (at_low and h <= 0.0) or (at_high and t_free < left and h >= 0.0):
            return t, tau, 0.0
        if h > 0.0:
            low, above = v, True
        else:
            high, below = v, True
        slope = 3.0 * u * work / (work + more) + (s * fall * q / (q + less) if q < math.inf else 0.0)
        new = v + h / slope
        at_end = (not new > low and not above) or (not new < high and not below)
        if abs(new - v) <= _NEAR * max(1.0, abs(v)) and not at_end:
            break
        if not new > low:
            new = 0.5 * (low + high) if above else low
        if not new < high:
            new = 0.5 * (low + high) if below else high
        v = new
    s = 1.0 / (1.0 + math.exp(-v))
    u = 1.0 / (1.0 + math.exp(v))
    t, tau = left * s, left * u
    _, _, q, _, fall, _, _, _ = sending(tau, mu, a, gamma, g_min, g_max, p_c)
    stiff, bend = fall * q / tau, 6.0 * k / (t * t * t) / t
    return t, tau, stiff / (stiff + bend)


@stage
def row_energy(
    k: float, a: float, gamma: float, p_s: float, p_c: float, fixed: float, t: float, tau: float, x: float
) -> float:
    """kappa W^3/t^2 + P_s t + (a/gamma) E(x) + P_c tau + download [J]; nothing to do costs nothing."""
    compute = k / (t * t) + p_s * t if k > 0.0 else 0.0
    upload = a / gamma * growth(x) + (p_c * tau if p_c > 0.0 else 0.0) if a > 0.0 else 0.0
    return fixed + (compute + upload)
