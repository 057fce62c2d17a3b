"""The model's equations once more, in plain numpy: the verifier's own level 3, its limits and its dual bound.

Nothing here is shared with the solvers. A client is solved in u = ln(t / tau) by halving; F is inverted by Newton from
above, where convexity makes it safe. Columns may have any one shape, such as (N,) or (K, N) for K types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import FloatArray
from fedopt.clients import Clients
from fedopt.submodels import SubModel, Workload

LN2 = math.log(2.0)
SAME = 1.0 + 1e-14  # two durations this close are the same instant
LOUD = 700.0  # nats: e^x W, and what comes with it, is beyond all doubles
ABOVE = 1.0 + 1e-12  # a speed this little above its least is at it
_SMALL = 1e-100  # nats: x^2 is a double, and e^x is 1
_HALVINGS = 64  # of ln(t / tau), from -700 to 700: to the last bit of a ratio next to 1
_NEWTONS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tasks:
    """What clients have to do and may do; symbols of sections 2 and 3 of the model."""

    W: FloatArray  # [cycle]
    a: FloatArray  # s ln 2 / B [s]
    gamma: FloatArray  # h / (N0 B) [1/W]
    kappa: FloatArray  # [J s^2]
    p_s: FloatArray  # [W]
    p_c: FloatArray  # [W]
    f_min: FloatArray  # [Hz]
    f_max: FloatArray  # [Hz]
    x_min: FloatArray  # ln(1 + gamma p_min)
    x_max: FloatArray
    fixed_time: FloatArray  # t_0 + t_d [s]
    fixed_energy: FloatArray  # download [J]
    busy: NDArray[np.bool_]  # has anything to do at all

    @property
    def computes(self) -> NDArray[np.bool_]:
        """Who has something to compute."""
        return self.W > 0.0

    @property
    def sends(self) -> NDArray[np.bool_]:
        """Who has something to send."""
        return self.a > 0.0

    @property
    def spends(self) -> NDArray[np.bool_]:
        """Who takes energy in any round that ends, though the least of ever longer ones may be 0."""
        return self.computes | self.sends | (self.fixed_energy > 0.0)


def tasks_of(c: Clients, cycles: FloatArray, bits: FloatArray, down: FloatArray, hertz: FloatArray) -> Tasks:
    """The tasks of all clients for some work, each on a channel of ``hertz``; (N,) or (K, N)."""
    shape = np.broadcast_shapes(cycles.shape, bits.shape, hertz.shape, c.samples.shape)
    with np.errstate(all="ignore"):
        busy = (cycles > 0.0) | (bits > 0.0) | (down > 0.0)
        t_d = down / c.download_rate
        gamma = c.channel_gain / (c.noise_density * hertz)
        columns = {
            "W": cycles,
            "a": bits * LN2 / hertz,
            "gamma": gamma,
            "kappa": c.capacitance,
            "p_s": c.static_power,
            "p_c": c.circuit_power,
            "f_min": c.frequency_min,
            "f_max": c.frequency_max,
            "x_min": np.log1p(gamma * c.power_min),
            "x_max": np.where(gamma > 0.0, np.log1p(gamma * c.power_max), 0.0),
            "fixed_time": np.where(busy, c.overhead + t_d, 0.0),
            "fixed_energy": np.where(busy, c.receive_power * t_d, 0.0),
            "busy": busy,
        }
    return Tasks(**{name: np.broadcast_to(values, shape) for name, values in columns.items()})


def work_of(clients: Clients, types: tuple[SubModel, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """W = E D w / c [cycle], bits up and bits down of every client (columns) under every type (rows), (K, N)."""
    w = np.array([[s.flops] for s in types])
    up, down = (np.array([[float(getattr(s, name))] for s in types]) for name in ("upload_bits", "download_bits"))
    cycles = clients.local_epochs * clients.samples * w / clients.flops_per_cycle
    shape = cycles.shape
    return cycles, np.broadcast_to(up, shape), np.broadcast_to(down, shape)


def tasks_for(clients: Clients, work: Workload, hertz: FloatArray) -> Tasks:
    """The tasks of a workload."""
    assert work.download_bits is not None
    return tasks_of(clients, work.cycles, work.upload_bits, work.download_bits, hertz)


def computing_of(k: Tasks) -> Tasks:
    """The tasks without their uploads."""
    return replace(k, a=np.zeros(k.W.shape))


def sending_of(k: Tasks) -> Tasks:
    """The uploads alone."""
    nothing = np.zeros(k.W.shape)
    return replace(k, W=nothing, fixed_time=nothing, fixed_energy=nothing)


def marginal(x: FloatArray) -> FloatArray:
    """F(x) = 1 + (x - 1) e^x = sum over k >= 2 of x^k (k - 1) / k!."""
    x = np.asarray(x, dtype=np.float64)
    near, series = np.minimum(x, 0.5), np.zeros_like(x)
    for k in range(18, 1, -1):
        series = near * series + (k - 1.0) / math.factorial(k)
    with np.errstate(all="ignore"):
        result: FloatArray = np.where(x < 0.5, near * near * series, x * np.exp(x) - np.expm1(x))
    return np.where(x > 709.0, np.inf, result)


def steepness(x: FloatArray) -> FloatArray:
    """x F'(x) / F(x), by which F grows with x, relative to both; 2 where x is so small that F leaves the doubles."""
    with np.errstate(all="ignore"):
        result: FloatArray = np.where(x < _SMALL, 2.0, x * x * np.exp(x) / marginal(x))
    return result


def inverse_marginal(m: FloatArray) -> FloatArray:
    """x with F(x) = m. F is convex and F(min(sqrt(2m), 1 + ln m)) >= m, so Newton's steps from there all go down."""
    m = np.asarray(m, dtype=np.float64)
    with np.errstate(all="ignore"):
        x = np.minimum(np.sqrt(2.0 * m), 1.0 + np.log(np.maximum(m, 1.0)))
        for _ in range(_NEWTONS):
            step = np.nan_to_num((marginal(x) - m) / (x * np.exp(x)), posinf=0.0, neginf=0.0)
            x = x - step
            if not (np.abs(step) > 4e-16 * x).any():
                break
    return np.where(m == np.inf, np.inf, np.where(m > 0.0, x, 0.0))


def speeds(k: Tasks, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f and x of least energy + price x time, (section 4 of the model), each in its range."""
    with np.errstate(all="ignore"):
        f = np.clip(np.cbrt((price + k.p_s) / (2.0 * k.kappa)), k.f_min, k.f_max)
        x = np.clip(inverse_marginal(k.gamma * (price + k.p_c)), k.x_min, k.x_max)
    return np.where(k.computes, f, 0.0), np.where(k.sends, x, 0.0)


def times(k: Tasks, f: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """t = W / f and tau = a / x [s]; 0 for who has nothing to compute or send."""
    with np.errstate(all="ignore"):
        return np.where(k.computes, k.W / f, 0.0), np.where(k.sends, k.a / x, 0.0)


def energies(k: Tasks, f: FloatArray, x: FloatArray) -> FloatArray:
    """Energy of each client's round [J]; also at f = 0 and x = 0, where time is endless and free."""
    t, tau = times(k, f, x)
    with np.errstate(all="ignore"):
        nats = np.where(x < 1e-9, 1.0 + 0.5 * x, np.where(x == np.inf, np.inf, np.expm1(x) / x))
        computing = k.kappa * k.W * f * f + _times(k.p_s, t)
        sending = k.a / k.gamma * nats + _times(k.p_c, tau)
        parts = np.where(k.computes, computing, 0.0) + np.where(k.sends, sending, 0.0)
    return np.where(k.busy, k.fixed_energy + parts, 0.0)


def _times(price: FloatArray, duration: FloatArray) -> FloatArray:
    """Price x duration, 0 where time is free, however long it takes."""
    return np.where(price > 0.0, price * duration, 0.0)


def dual(k: Tasks, price: FloatArray) -> FloatArray:
    """min over (f, x) of energy + price x time [J]: less price x T it bounds the energy at T from below, at any price.

    The price multiplies all the client's time, fixed_time too.
    """
    f, x = speeds(k, price)
    t, tau = times(k, f, x)
    with np.errstate(all="ignore"):
        result: FloatArray = energies(k, f, x) + np.where(k.busy, _times(price, k.fixed_time + t + tau), 0.0)
    return result


def sum_of(values: FloatArray) -> float:
    """The sum to the last bit; inf or NaN where it leaves the range of a double."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return float(np.sum(values))


def least_times(k: Tasks) -> FloatArray:
    """T_min,n [s]: everything at full speed; inf out of reach."""
    t, tau = times(k, k.f_max, k.x_max)
    return np.where(k.busy, k.fixed_time + (t + tau), 0.0)


def too_late(k: Tasks, T: float) -> NDArray[np.bool_]:
    """Whose round takes longer than T at full speed, or needs a power that no double holds to be sent in time."""
    result: NDArray[np.bool_] = (least_times(k) > T) | _too_loud(k, T)
    return result


def _too_loud(k: Tasks, T: float | FloatArray) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        t, _ = times(k, k.f_max, k.x_max)
        result: NDArray[np.bool_] = np.isinf(k.x_max) & (k.a / np.maximum(T - (k.fixed_time + t), 0.0) > LOUD)
    return result


def least_energies(k: Tasks) -> FloatArray:
    """E_inf,n [J], whatever the duration; inf out of reach."""
    found = energies(k, *speeds(k, np.zeros(k.W.shape)))
    return np.where(np.isinf(least_times(k)), np.inf, found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Best:
    """Level 3 at a duration: energy [J] (inf where it is too short), and a price of time [W] that fits.

    computing, sending: what computing and sending say of that price [W]: the same, but for their rounding.
    """

    energy: FloatArray
    price: FloatArray
    computing: FloatArray
    sending: FloatArray


def best(k: Tasks, T: float | FloatArray) -> Best:
    """The least energy of every task within T seconds (each has its own, or all one): halving of ln(t / tau)."""
    zero = np.zeros(k.W.shape)
    f0, x0 = speeds(k, zero)
    with np.errstate(all="ignore"):
        left = T - k.fixed_time
        t_low, tau_low = times(k, k.f_max, k.x_max)
        t_high, tau_high = times(k, f0, x0)
        possible = ~(least_times(k) > T * SAME) & ~_too_loud(k, T)
        free = ~k.busy | (t_high + tau_high <= left)
        low, high = np.maximum(t_low, left - tau_high), np.minimum(t_high, left - tau_low)
        low, high = np.clip(low, 0.0, left), np.clip(np.maximum(high, low), 0.0, left)
        u_low, u_high = _odds(low, left, tau_high, t_low), _odds(high, left, tau_low, t_high)
        down, up = u_low, u_high
        for _ in range(_HALVINGS):
            u = 0.5 * (down + up)
            t, tau = left / (1.0 + np.exp(-u)), left / (1.0 + np.exp(u))
            slower = _price_computing(k, k.W / t) > _price_sending(k, k.a / tau)  # computing deserves more time
            down, up = np.where(slower, u, down), np.where(slower, up, u)
        t, tau = left / (1.0 + np.exp(-up)), left / (1.0 + np.exp(up))
        both = k.computes & k.sends
        f = np.clip(np.where(both, k.W / t, k.W / left), f0, k.f_max)
        x = np.clip(np.where(both, k.a / tau, k.a / left), x0, k.x_max)
        f, x = np.where(free, f0, np.where(k.computes, f, 0.0)), np.where(free, x0, np.where(k.sends, x, 0.0))
        sides = (np.where(free, 0.0, np.maximum(side, 0.0)) for side in _lower_prices(k, f, x, f0, x0))
        computing, sending = (np.where(possible, side, np.inf) for side in sides)
        energy = np.where(possible, energies(k, f, x), np.inf)
    return Best(energy=energy, price=np.maximum(computing, sending), computing=computing, sending=sending)


def _odds(t: FloatArray, left: FloatArray, tau: FloatArray, own: FloatArray) -> FloatArray:
    """ln(t / (left - t)), from whichever of the two times is a bound itself."""
    by_t = np.log(own) - np.log(left - own)
    by_tau = np.log(left - tau) - np.log(tau)
    found = np.where(t == own, by_t, by_tau)
    result: FloatArray = np.clip(np.nan_to_num(found, nan=0.0, posinf=700.0, neginf=-700.0), -700.0, 700.0)
    return result


def _price_computing(k: Tasks, f: FloatArray) -> FloatArray:
    return 2.0 * k.kappa * f**3 - k.p_s


def _price_sending(k: Tasks, x: FloatArray) -> FloatArray:
    return marginal(x) / k.gamma - k.p_c


def _lower_prices(
    k: Tasks, f: FloatArray, x: FloatArray, f0: FloatArray, x0: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The marginals of computing and sending where they are above their freest speeds, else 0."""
    computing = np.where(k.computes & (f > f0 * ABOVE), _price_computing(k, f), 0.0)
    sending = np.where(k.sends & (x > x0 * ABOVE), _price_sending(k, x), 0.0)
    return computing, sending


def proved_energy(k: Tasks, T: float) -> float:
    """A lower bound of the energy of all tasks within T [J], by duality at this module's own prices; inf if T is short.

    Whatever the prices, the bound holds; good prices make it tight. Where P_s or P_c dwarfs the price the other side's
    marginal has the better digits.
    """
    found = best(k, T)
    if np.isinf(found.price).any():
        return math.inf
    bounds = [dual(k, price) - T * np.where(k.busy, price, 0.0) for price in (found.computing, found.sending)]
    return sum_of(np.maximum(*bounds))
