"""One row and the bandwidth it is given: the least it needs, what one more hertz saves, the cheapest upload at prices.

G = p h/N0 [Hz] is the bandwidth at which a transmit power p makes an SNR of 1; s' = s ln 2 [nat]. With bandwidth b an
upload of efficiency x takes tau = s'/(b x) at the power p = (e^x - 1) b N0/h (section 7 of the model).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from solvers.access.roots import falling_root, falling_root_of
from solvers.limits import marginal
from solvers.rows import LN2, BoolArray, FloatArray, Point, Rows

_TURNS = 30  # of Newton's method; it takes five to ten
_LOW, _HIGH = -300.0, 6.5  # ln of the efficiencies that are looked at: up to 665 nat


def reach(r: Rows) -> FloatArray:
    """h/N0 [Hz/W], (N,)."""
    result: FloatArray = r.snr * r.bandwidth
    return result


def given(r: Rows, b: FloatArray) -> Rows:
    """The rows with bandwidths b (N,) [Hz]."""
    return replace(r, bandwidth=b, snr=reach(r) / b)


def share_out(
    price: Callable[[FloatArray], FloatArray], least: FloatArray, floor: FloatArray, hertz: float
) -> tuple[FloatArray, float]:
    """Bandwidths b >= ``least`` that add up to ``hertz`` with one price, and that price [J/Hz].

    price : mu_n(b_n) elementwise, never rising; may be inf near ``least``. floor : > 0, where roots begin.
    """
    room = hertz - float(least.sum())
    known = {math.inf: np.log(floor), -math.inf: np.log(least + 2.0 * room)}  # more than there is: nobody is held back

    def taken(log_mu: float) -> FloatArray:
        def excess(log_b: FloatArray) -> FloatArray:
            with np.errstate(divide="ignore"):
                return np.log(price(np.exp(log_b))) - log_mu

        cheaper, dearer = max(at for at in known if at <= log_mu), min(at for at in known if at >= log_mu)
        known[log_mu] = falling_root(excess, known[dearer], known[cheaper])
        return np.exp(known[log_mu])

    start = np.log(price(least + room / least.size))  # at the greatest of these prices nobody takes more than here
    cheap, dear = float(start.min()), float(start.max())
    log_mu = falling_root_of(lambda log_mu: float(taken(log_mu).sum()) - hertz, cheap, dear)
    return taken(log_mu), math.exp(log_mu)


class Newton:
    """share_out by Newton's method on all rows at once, in logarithms, with slopes d ln mu_n / d ln b_n from secants.

    Remembers where it ended, so that the next duration starts there. Gives None where it does not converge: prices
    that jump are for share_out.
    """

    def __init__(self) -> None:
        self.log_b: FloatArray | None = None
        self.slope: FloatArray | None = None

    def __call__(
        self, price: Callable[[FloatArray], FloatArray], least: FloatArray, hertz: float
    ) -> tuple[FloatArray, float] | None:
        """As share_out, but for convergence to 1e-13 in ln b instead of neighbouring doubles."""
        low, start = np.log(least), np.log(least + (hertz - float(least.sum())) / least.size)
        y = start if self.log_b is None else np.maximum(self.log_b, low + 0.01 * (start - low))
        slope = np.full(y.shape, -1.5) if self.slope is None else self.slope
        m = np.log(price(np.exp(y)))
        for _ in range(_TURNS):
            held = y <= low
            if not np.isfinite(m[~held]).all():
                return None
            level = _level(y, m, slope, held, hertz)
            if level is None:
                return None
            held &= (m < level) | ~np.isfinite(m)
            step = np.where(held, 0.0, np.clip((level - m) / slope, -2.0, 2.0))
            if np.abs(step).max() <= 1e-14:
                self.log_b, self.slope = y, slope
                return np.exp(y) * (hertz / float(np.exp(y).sum())), math.exp(level)
            new = np.maximum(y + step, low)
            after = np.log(price(np.exp(new)))
            moved = np.abs(new - y) > 1e-9
            with np.errstate(all="ignore"):
                secant = (after - m) / (new - y)
            slope = np.where(moved & (secant < -1e-3) & (secant > -1e6), secant, slope)
            y, m = new, after
        return None


def _level(y: FloatArray, m: FloatArray, slope: FloatArray, held: BoolArray, hertz: float) -> float | None:
    """ln mu at which the tangents' bandwidths, sum of exp(y + (ln mu - m)/slope), add up to ``hertz``."""
    rest = math.log(max(hertz - float(np.exp(y[held]).sum()), 1e-300))
    y, m, slope = y[~held], m[~held], slope[~held]
    if not y.size:
        return None
    level = float(m.min())
    for _ in range(60):
        part = y + (level - m) / slope
        top = float(part.max())
        weights = np.exp(part - top)
        total = float(weights.sum())
        step = (top + math.log(total) - rest) / (float((weights / slope).sum()) / total)
        level -= step
        if abs(step) <= 1e-15 * max(1.0, abs(level)):
            break
    return level if math.isfinite(level) else None


def least_bandwidth(nats: FloatArray, limit: FloatArray) -> FloatArray:
    """b [Hz] with b ln(1 + G/b) = nats: what a rate [nat/s] needs at full power, G = ``limit``; inf from G on.

    With x = G/b that is ln((e^x - 1)/x) = ln(G/nats); Newton from x = 2 ln(G/nats), monotone as the left is convex.
    """
    with np.errstate(all="ignore"):
        target = np.log(limit / nats)
        possible = target > 0.0
        x = np.where(possible, 2.0 * target, 1.0)
        for _ in range(60):
            small = x < 0.05
            y = np.where(small, x, 0.0)
            series = y / 2.0 + y * y / 24.0 - y**4 / 2880.0 + y**6 / 181440.0
            value = np.where(small, series, x + np.log(-np.expm1(-x) / x))
            slope = np.where(small, 0.5 + y / 12.0 - y**3 / 720.0, -1.0 / np.expm1(-x) - 1.0 / x)
            step = np.where(possible, (value - target) / slope, 0.0)
            x = np.maximum(x - step, 0.1 * x)
            if np.all(np.abs(step) <= 1e-15 * x):
                break
        return np.where(nats == 0.0, 0.0, np.where(possible, nats / x, np.inf))


def bandwidth_price(r: Rows, point: Point) -> FloatArray:
    """mu = -dE/db [J/Hz] at a row's least-energy point: (lambda + P_c + p) tau F(x) e^-x / (b x), bound or not.

    In the interior that is (N0/h) tau F(x), and mu b = tau (lambda + P_c). inf where the row cannot meet the duration.
    """
    x = point.efficiency
    with np.errstate(all="ignore"):
        p = np.expm1(x) / r.snr
        price = (point.price + r.circuit_power + p) * point.upload_time * _weight(x) / r.bandwidth
    result: FloatArray = np.where(point.feasible, price, np.inf)
    return result


def time_price(r: Rows, point: Point, mu: float) -> FloatArray:
    """The lambda [W] that goes with a bandwidth price at a power bound: bandwidth_price solved for lambda."""
    x = point.efficiency
    with np.errstate(all="ignore"):
        p = np.expm1(x) / r.snr
        price = mu * r.bandwidth / (point.upload_time * _weight(x)) - r.circuit_power - p
    return np.maximum(price, 0.0)


def _weight(x: FloatArray) -> FloatArray:
    """F(x) e^-x / x."""
    small = x < 0.5
    y = np.where(small, x, 0.5)
    near = marginal(y) * np.exp(-y) / y
    far = 1.0 + np.expm1(-x) / np.where(small, 1.0, x)
    result: FloatArray = np.where(small, near, far)
    return result


def cheapest_upload(r: Rows, price: FloatArray, mu: float) -> FloatArray:
    """min over b, tau of tau (p + c) + mu b [J], c = ``price`` + P_c, at any powers in the row's range; (N,).

    For a given x the best b is sqrt(s' c/(x mu)); then F(x)^2/x = c mu (h/N0)^2/s'. Where that breaks a power bound
    the answer lies on it, b = G/(e^x - 1), and (c + p) s' F(x) (e^x - 1)^2 = mu G^2 x^2 e^x.
    """
    h, s, c = reach(r), r.bits * LN2, price + r.circuit_power
    with np.errstate(all="ignore"):
        target = np.log(c) + np.log(mu) + 2.0 * np.log(h) - np.log(s)
        x = _efficiency(lambda x: 2.0 * np.log(marginal(x)) - np.log(x), target)
        b = np.sqrt(s * c / (x * mu))
        p = np.expm1(x) * b / h
        radiated = s / h * np.where(x < 1e-8, 1.0 + 0.5 * x, np.expm1(x) / x)
        free = np.where(c > 0.0, radiated + 2.0 * np.sqrt(s * c * mu / x), s / h)
        bounded = np.where(p > r.power_max, r.power_max, r.power_min)
        G = bounded * h
        target = np.log(mu) + 2.0 * np.log(G) - np.log((c + bounded) * s)
        x = _efficiency(lambda x: np.log(marginal(x)) - 2.0 * np.log(x) + 2.0 * np.log(np.expm1(x)) - x, target)
        b = G / np.expm1(x)
        held = s / (b * x) * (bounded + c) + mu * b
    result: FloatArray = np.where(((p > r.power_max) | (p < r.power_min)) | ((c <= 0.0) & (bounded > 0.0)), held, free)
    return result


def _efficiency(rising: Callable[[FloatArray], FloatArray], target: FloatArray) -> FloatArray:
    """x where a rising function of it reaches ``target``."""
    low, high = np.full(target.shape, _LOW), np.full(target.shape, _HIGH)
    with np.errstate(all="ignore"):
        return np.exp(falling_root(lambda y: np.where(np.isnan(target), 0.0, target - rising(np.exp(y))), low, high))
