"""What would change the answer, and by how much: prices of the budget and of every client's channel, CPU and data.

With the matching kept, the answer V (a duration, an energy or a cost) is the optimum of a convex program, and its
derivatives are those of the Lagrangian at the optimum (envelope theorem): closed forms of the solution's times and
prices, divided by the price of time where the answer is a duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedopt.answers import check_answer_of
from fedopt.checks import LARGEST, FloatArray, InputError, by_constructor, kind, whole
from fedopt.clients import Clients
from fedopt.problem import Deadline, EnergyBudget, PowerBudget, Problem, TimePrice
from fedopt.report import quantity
from fedopt.rounds import rows_of, schedule
from fedopt.solution import Allocation, Solution, Status
from fedopt.submodels import IntArray
from fedopt.timeline import AT_LIMIT
from solvers.limits import efficiency_range, limits, marginal
from solvers.rows import BoolArray, Rows

DECIBEL = math.log(10.0) / 10.0  # of ln(gain)
_NEAR = 1e-12  # relative: a speed this near its limit is at it, and a client that ends this near T is not early
_DIGITS = 1e-14  # of a duration, to the few roundings that it is found to: what they hide of each of its times

# What a sentence tries: words of who is in the way and of the change, the field, its factor.
_CHANGES = (
    ("channel", "3 dB more", "channel_gain", 10.0**0.3),
    ("bandwidth", "10 % more", "bandwidth", 1.1),
    ("CPU", "10 % more clock", "frequency_max", 1.1),
    ("CPU", "10 % less capacitance", "capacitance", 1.0 / 1.1),
    ("data", "10 % fewer samples", "samples", 1.0 / 1.1),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensitivity:
    """Derivatives of ``value``, the matching kept; read-only arrays (N,), negative where more makes it less.

    Attributes
    ----------
    value : what is differentiated. For an energy or power budget the duration T [s], for a deadline the energy E [J],
        for a price of time the cost E + price x T [J]; ``unit`` is "s" or "J" accordingly.
    budget : d value / d budget, in ``unit`` per J, W, s or W; 0 where the budget is slack.
    channel_gain : per dB of gain. bandwidth : per Hz. frequency_max : per Hz. capacitance : per J s^2.
    samples : per sample.
    bandwidth_tenth : for 10 % more bandwidth, to first order: bandwidth x B x ln 1.1.
    binding : clients that need all of the round at full CPU and transmit power, where the round is as short as they
        can make it. Effects are one-sided then, those of a *longer* least duration; where several bind, one of them
        alone can make the round longer, but not shorter.

    A price of time can end the round where clients have both speeds at ends of their ranges, binding or not: more
    time would save them less than it costs, less would cost them more. With one such client the round follows what
    moves its end, and the effects are two-sided. With several they are one-sided: what the change would cost if it
    made this one client end later.
    """

    value: float
    unit: str
    budget: float
    channel_gain: FloatArray
    bandwidth: FloatArray
    bandwidth_tenth: FloatArray
    frequency_max: FloatArray
    capacitance: FloatArray
    samples: FloatArray
    binding: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in self.__slots__:
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                values.flags.writeable = False

    __reduce__ = by_constructor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Effects:
    """Derivatives of some energy or duration per row, (N,), by the logarithm of each parameter."""

    gain: FloatArray
    bandwidth: FloatArray
    frequency_max: FloatArray
    capacitance: FloatArray
    work: FloatArray


def sensitivity(problem: Problem, solution: Solution) -> Sensitivity:
    """How the answer of a solved problem depends on its budget and on every client, the matching kept.

    problem, solution : of solve(), with channels of the clients' own. At a kink of the energy the derivative is the
    one towards longer rounds; NaN where no finite change of the duration makes up for one (a budget of E_inf).
    Raises InputError where the solution has no decision. Source: sections 4 and 5 of the model; envelope theorem.
    """
    allocation, _, rows = _decided(problem, solution)
    T, budget, price = solution.duration, problem.budget, allocation.price
    least, total = limits(rows).least_time, float(price.sum())
    binding = (least >= T * (1.0 - AT_LIMIT)) & ~rows.idle
    scale, value, unit = 1.0, solution.energy, "J"
    if isinstance(budget, Deadline):
        by_budget = -total
    elif isinstance(budget, TimePrice):
        value, by_budget = solution.energy + budget.watts * T, T
        low, high = _fitting(rows, allocation, T)  # what the others leave of the price is the multiplier of a kink
        price = np.clip(budget.watts - (low.sum() - low), low, high)
    else:
        own, more = (budget.watts, T) if isinstance(budget, PowerBudget) else (0.0, 1.0)
        value, unit = T, "s"
        scale = 1.0 / (total + own) if total + own > 0.0 else math.nan
        by_budget = -scale * more
    if isinstance(budget, EnergyBudget | PowerBudget) and solution.status is Status.SLACK:
        scale, by_budget, effects = 1.0, 0.0, _of_least_time(rows, binding)
    else:
        effects = _of_energy(rows, allocation, price, T)
    c = problem.clients
    with np.errstate(all="ignore"):
        by_samples = np.where(c.samples > 0.0, scale * effects.work / c.samples, math.nan)
    return Sensitivity(
        value=value,
        unit=unit,
        budget=by_budget,
        channel_gain=scale * effects.gain * DECIBEL,
        bandwidth=scale * effects.bandwidth / c.bandwidth,
        bandwidth_tenth=scale * effects.bandwidth * math.log(1.1),
        frequency_max=scale * effects.frequency_max / c.frequency_max,
        capacitance=scale * effects.capacitance / c.capacitance,
        samples=by_samples,
        binding=tuple(np.flatnonzero(binding).tolist()),
    )


def bottlenecks(problem: Problem, solution: Solution, *, count: int = 3) -> tuple[str, ...]:
    """A sentence for each of the ``count`` clients whose channel, bandwidth, CPU or data cost the round most.

    What each would save is solved anew with the change, not linearised; the matching is kept. Raises InputError.
    """
    found, top = sensitivity(problem, solution), whole("count", count, least=1)
    c, (_, assignment, _) = problem.clients, _decided(problem, solution)
    per = (
        found.channel_gain / DECIBEL,
        found.bandwidth * c.bandwidth,
        found.frequency_max * c.frequency_max,
        found.capacitance * c.capacitance,
        found.samples * c.samples,
    )
    factors = [math.log(change[3]) for change in _CHANGES]
    expected = np.array([-np.nan_to_num(each) * factor for each, factor in zip(per, factors, strict=True)])
    worst = np.argsort(-expected.max(axis=0), kind="stable")[:top]
    sentences = []
    for n in worst[expected.max(axis=0)[worst] > 0.0].tolist():
        saved = [_saved(problem, assignment, found, n, field, factor) for _, _, field, factor in _CHANGES]
        best = int(np.argmax(saved))
        sentences.append(_sentence(c, found, n, best, saved[best]))
    return tuple(sentences)


def _sentence(clients: Clients, found: Sensitivity, n: int, change: int, saved: float) -> str:
    who, (what, more, *_) = f"Client {clients.label(n)}", _CHANGES[change]
    if not saved > 1e-9 * abs(found.value):
        others = [clients.label(m) for m in found.binding if m != n][:5]
        with_whom = f" together with {', '.join(others)}" if others else ""
        return f"{who} holds the round up{with_whom}: no single change here would save anything."
    verb = "holds the round up" if found.unit == "s" else "costs most"
    amount = quantity(saved, found.unit, 3)
    return f"{who}'s {what} {verb}: {more} would save {amount}, with everybody training the same sub-model as now."


def _saved(problem: Problem, assignment: IntArray, found: Sensitivity, n: int, field: str, factor: float) -> float:
    """What multiplying one client's field saves; 0 where the changed problem has no answer."""
    values = np.array(getattr(problem.clients, field))
    values[n] *= factor
    if field == "frequency_max" and values[n] > LARGEST:
        return 0.0
    clients = problem.clients.replace(**{field: values})
    answer = schedule(clients, clients.workload(problem.submodels, assignment), problem.budget)
    if answer.allocation is None:
        return 0.0
    value = answer.duration if found.unit == "s" else answer.energy
    if isinstance(problem.budget, TimePrice):
        value += problem.budget.watts * answer.duration
    return found.value - value


def _of_energy(r: Rows, allocation: Allocation, price: FloatArray, T: float) -> _Effects:
    """Of the least energies at a fixed duration [J], with the multipliers of the ranges of f and p.

    Lagrangian of a client: kappa W^3/t^2 + P_s t + tau ((e^x - 1)/gamma + P_c) + lambda (t + tau - T')
    + up (W/f_max - t) + down (t - W/f_min), and the same for tau; x = a/tau.
    """
    f, t, tau = allocation.frequency, allocation.compute_time, allocation.upload_time
    with np.errstate(all="ignore"):
        x, m_t, m_tau = _marginals(r, allocation)
        cpu, radio = np.where(t > 0.0, price - m_t, 0.0), np.where(tau > 0.0, price - m_tau, 0.0)
        (idling, flat_out), (quietest, loudest) = _at_ends(r, allocation, T)
        up, down = np.where(flat_out, np.maximum(cpu, 0.0), 0.0) * t, np.where(idling, np.maximum(-cpu, 0.0), 0.0) * t
        loud = np.where(loudest, np.maximum(radio, 0.0), 0.0) * tau
        quiet = np.where(quietest, np.maximum(-radio, 0.0), 0.0) * tau
        s = _share(r.snr * allocation.power)
        dynamic = r.capacitance * r.work * f * f
        sending = np.where(tau > 0.0, tau * marginal(x) / r.snr, 0.0)
    held = loud - quiet
    return _Effects(
        gain=-(tau * allocation.power) - held * s,
        bandwidth=-sending - held * (1.0 - s),
        frequency_max=-up,
        capacitance=dynamic,
        work=3.0 * dynamic + up - down,
    )


def _marginals(r: Rows, allocation: Allocation) -> tuple[FloatArray, FloatArray, FloatArray]:
    """x [nat], and what one second more of computing and of sending would save at these speeds [W]."""
    x = np.where(allocation.upload_time > 0.0, r.transfer / allocation.upload_time, 0.0)
    return (
        x,
        2.0 * r.capacitance * allocation.frequency**3 - r.static_power,
        marginal(x) / r.snr - r.circuit_power,
    )


def _at_ends(r: Rows, allocation: Allocation, T: float) -> list[tuple[BoolArray, BoolArray]]:
    """Whether f, and x, is at its least and at its greatest, as far as T leaves that open: it is a double, and a time
    that is short beside it what the rest of the round leaves."""
    t, tau = allocation.compute_time, allocation.upload_time
    x_min, x_max = efficiency_range(r)
    ends = []
    for part, least, most in (
        (t, r.work / r.frequency_max, r.work / r.frequency_min),
        (tau, r.transfer / x_max, r.transfer / x_min),
    ):
        digits = _NEAR * part + _DIGITS * T
        ends.append((part >= most - digits, part <= least + digits))
    return ends


def _fitting(r: Rows, allocation: Allocation, T: float) -> tuple[FloatArray, FloatArray]:
    """The least and the greatest price of time [W] at which each client would do what it does.

    They differ where both speeds are at ends of their ranges. Nobody pays who is early, or idle.
    """
    price, t, tau = allocation.price, allocation.compute_time, allocation.upload_time
    with np.errstate(all="ignore"):
        _, m_t, m_tau = _marginals(r, allocation)
        (idling, flat_out), (quietest, loudest) = _at_ends(r, allocation, T)
        low = np.maximum(np.where(idling | (t == 0.0), 0.0, m_t), np.where(quietest | (tau == 0.0), 0.0, m_tau))
        high = np.minimum(np.where(flat_out | (t == 0.0), np.inf, m_t), np.where(loudest | (tau == 0.0), np.inf, m_tau))
        early = r.idle | (r.fixed_time + t + tau < T * (1.0 - _NEAR))
    return np.maximum(low, 0.0), np.maximum(price, np.where(early, 0.0, high))


def _of_least_time(r: Rows, binding: BoolArray) -> _Effects:
    """Of the clients' own least durations [s], W/f_max + a/ln(1 + gamma p_max), where they are the fleet's."""
    _, x_max = efficiency_range(r)
    with np.errstate(all="ignore"):
        t = np.where(binding, r.work / r.frequency_max, 0.0)
        tau = np.where(binding & (r.bits > 0.0), r.transfer / x_max, 0.0)
        s = _share(np.expm1(x_max))
    return _Effects(gain=-tau * s, bandwidth=-tau * (1.0 - s), frequency_max=-t, capacitance=np.zeros_like(t), work=t)


def _share(z: FloatArray) -> FloatArray:
    """d ln ln(1 + z) / d ln z = z / ((1 + z) ln(1 + z)), z the SNR: how far the rate follows the gain."""
    with np.errstate(all="ignore"):
        share = z / ((1.0 + z) * np.log1p(z))
    result: FloatArray = np.where(z < 1e-8, 1.0, np.where(np.isinf(z), 0.0, share))
    return result


def _decided(problem: Problem, solution: Solution) -> tuple[Allocation, IntArray, Rows]:
    check_answer_of(problem, solution)
    kind("Problem.access", problem.access, type(None), "None: sensitivities are of channels of the clients' own")
    if solution.sharing is not None:
        raise InputError("solution", "one of the clients' own channels", "one of a shared uplink")
    if solution.allocation is None or solution.assignment is None:
        raise InputError("solution", "a solution with a decision", solution.reason)
    work = problem.clients.workload(problem.submodels, solution.assignment)
    return solution.allocation, solution.assignment, rows_of(problem.clients, work).full()
