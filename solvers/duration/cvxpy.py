"""Level 2 and 3 with cvxpy: duration and times as one joint cone program, solved by Clarabel.

Minimise T subject to the budget on the sum of energies, or energy + price x T; both are convex in (T, t, tau)
(section 5 of the model). Durations are in units of a first guess of T, energies in units of a client's share of the
budget there: in units of the whole budget, the duals of 10,000 clients would be below Clarabel's regularisation.
"""

from __future__ import annotations

import cvxpy
import numpy as np

from solvers.allocation.cvxpy import least_energy
from solvers.cones import build, run
from solvers.duration.verdicts import KNOWN, Seen, allowance, bracket, closed_form, hides, infeasible, raised
from solvers.limits import efficiency_range, free_point, limits
from solvers.points import complete, dual_bound, energy_of, least_price, trimmed
from solvers.rows import Allocate, BackendError, Goal, Limits, Point, Rows, Stop, Timing, greatest_of

_SHORTEST = 1e-7  # relative: a duration this near T_min is T_min
_TOLERANCE = 1e-5  # relative, of the energy at the duration found
_COST = 1e-3  # relative, of the cost at a price of time

# Clarabel's own equilibration would undo how the cones are balanced, and its regularisation is as large as the duals of
# clients that cost little. Large fleets reach 1e-6 of T in some 40 iterations; 200 halve that.
_SETTINGS = {
    "equilibrate_enable": False, "static_regularization_constant": 1e-10, "max_step_fraction": 0.95, "max_iter": 40,
}  # fmt: skip


def schedule(rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The duration that meets ``goal`` as one convex program, which decides level 3 too: ``allocate`` is not called.

    Tolerance: the energy is least for the duration found to 1e-5 relative, proved by the program's dual; durations of
    well-conditioned budgets to about 1e-6. ``lower`` and ``upper`` are NaN: no bracket is certified. ``passes`` counts
    Clarabel's iterations. Infeasible where the limits prove it; Stop.LIMIT where Clarabel fails, or where its dual
    leaves more than 1 % of the duration open, or more than 1e-3 of the cost.
    """
    known = limits(rows)
    value = raised(goal, value, known.e_inf, known.t_flat)
    decided = closed_form(rows, known, goal, value)
    if decided is not None:
        return decided
    r = rows.full()
    try:
        if goal is Goal.DEADLINE:
            return _timing(Stop.OPTIMAL, value, *least_energy(r, value))
        return _joint(r, known, goal, value)
    except BackendError:
        return infeasible(Stop.LIMIT)


def _joint(r: Rows, known: Limits, goal: Goal, value: float) -> Timing:
    """The program's answer, or T_min where that is where it ends and the goal holds there."""
    shortest, iterations = known.t_min, 0
    nothing = bool(((r.work == 0.0) & (r.bits == 0.0)).all())  # only downloads: the energy is what it is
    if not nothing and np.isfinite(value):
        duration, point, iterations = _solve(r, known, goal, value)
        later = duration > shortest * (1.0 + _SHORTEST)
        if later or goal is Goal.PRICE:
            _check_duration(r, known, goal, value, duration, point)
        if later:
            return _timing(Stop.OPTIMAL, duration, point, iterations)
    first, more = least_energy(r, shortest)
    if goal is Goal.PRICE:
        return _timing(Stop.OPTIMAL, shortest, first, iterations + more)
    if float(first.energy.sum()) <= allowance(goal, value, shortest):
        return _timing(Stop.SLACK, shortest, first, iterations + more)
    if nothing:
        return _timing(Stop.OPTIMAL, *_downloads(r, known, value))
    return _timing(Stop.OPTIMAL, duration, point, iterations + more)


def _downloads(r: Rows, known: Limits, watts: float) -> tuple[float, Point, int]:
    """Downloads cost E_inf at any duration, so a power budget asks for T = E_inf / P."""
    duration = known.e_inf / watts
    return duration, *least_energy(r, duration)


def _solve(r: Rows, known: Limits, goal: Goal, value: float) -> tuple[float, Point, int]:
    """Duration [s], point and iterations of the joint program. Raises BackendError."""
    busy = np.flatnonzero(~r.idle)
    b = r.take(busy).full()
    unit = _guess(b, known, goal, value)
    size = float(len(b))
    scale = (value if goal is Goal.ENERGY else value * unit) / size
    available = np.maximum(unit - b.fixed_time, 1e-3 * unit)
    cones = build(b, available, np.full(len(b), scale))
    T = cvxpy.Variable()
    energy = cvxpy.sum(cones.energy) + float(b.fixed_energy.sum()) / scale
    enough = cvxpy.multiply(available / unit, cones.time) <= T - b.fixed_time / unit
    constraints = [enough, known.t_min / unit <= T, *cones.constraints]
    if goal is Goal.PRICE:
        iterations = run(cvxpy.Problem(cvxpy.Minimize(energy + size * T), constraints), **_SETTINGS)
        worth = 1.0
    else:
        budget = energy <= size * (T if goal is Goal.POWER else 1.0)
        iterations = run(cvxpy.Problem(cvxpy.Minimize(size * T), [budget, *constraints]), **_SETTINGS)
        worth = max(float(budget.dual_value), 1e-300)
    duration = max(float(T.value) * unit, known.t_min)
    t, tau, price = np.zeros((3, len(r)))
    t[busy], tau[busy] = trimmed(b, duration - b.fixed_time, *cones.times(len(b)))
    price[busy] = np.maximum(enough.dual_value, 0.0) / worth * scale / unit
    point = complete(r, np.ones(len(r), dtype=np.bool_), t, tau, price)
    if duration > known.t_min * (1.0 + _SHORTEST):
        _check(r, duration, point)
    return duration, point, iterations


def _guess(b: Rows, known: Limits, goal: Goal, value: float) -> float:
    """A duration of the right size [s]: where computing and sending for half of the time each would meet the goal.

    At a price of time, where that costs as much as the time. Raises BackendError where no number is long enough.
    """
    f_free, x_free = free_point(b)
    _, x_max = efficiency_range(b)

    def meets(T: float) -> bool:
        with np.errstate(all="ignore"):
            half = 0.5 * np.maximum(T - b.fixed_time, 0.0)
            f = np.minimum(np.maximum(b.work / half, f_free), b.frequency_max)
            x = np.minimum(np.maximum(b.transfer / half, x_free), x_max)
            return float(energy_of(b, f, x).sum()) <= (value if goal is Goal.ENERGY else value * T)

    least = known.t_min if goal is not Goal.POWER else max(known.t_min, known.e_inf / value)
    latest = max(least, known.t_flat)
    low, high = least, 2.0 * least or 1.0
    while high < latest and not meets(high):
        low, high = high, 2.0 * high
    for _ in range(6 if low > 0.0 and high < latest else 0):
        middle = low * (high / low) ** 0.5
        low, high = (low, middle) if meets(middle) else (middle, high)
    unit = min(high, latest)
    if not 0.0 < unit < np.inf:
        raise BackendError("no duration is long enough to begin with")
    return unit


def _check(r: Rows, duration: float, point: Point) -> None:
    """Raise BackendError unless a dual bound supports the energy of all rows together to the tolerance."""
    available = duration - r.fixed_time
    marginals = least_price(r, point.frequency, point.efficiency)
    bounds = np.maximum(dual_bound(r, point.price, available), dual_bound(r, marginals, available))
    spent, bound = float(point.energy.sum()), float(np.where(r.idle, 0.0, bounds).sum())
    if not spent - bound <= _TOLERANCE * spent:
        raise BackendError(f"Clarabel's energy of {spent:g} J is not supported by its dual bound of {bound:g} J")


def _check_duration(r: Rows, known: Limits, goal: Goal, value: float, duration: float, point: Point) -> None:
    """Raise BackendError where the dual leaves too much open of the least duration within the budget, or of the cost.

    Prices of time bound the energy of every duration by a line: what it says of a budget is solvers.duration.verdicts',
    of a cost that it is least at T_min, or where E_inf alone makes it as dear as it is.
    """
    available, spent = duration - r.fixed_time, float(point.energy.sum())
    marginals = least_price(r, point.frequency, point.efficiency)
    if goal is Goal.PRICE:
        cost, gaps = spent + value * duration, []
        totals = (float(point.price.sum()), float(marginals.sum()))
        scaled = [each * (value / s) for each, s in zip((point.price, marginals), totals, strict=True) if s > 0.0]
        for prices in (point.price, marginals, *scaled):
            line = value - float(prices.sum())
            farthest = known.t_min if line > 0.0 else min(known.t_flat, (cost - known.e_inf) / value)
            bound = float(np.where(r.idle, 0.0, dual_bound(r, prices, available)).sum())
            gaps.append(spent - bound - line * (farthest - duration))
        if not min(gaps) <= _COST * cost:
            raise BackendError(f"Clarabel's cost of {cost:g} J is not supported by its dual: {min(gaps):g} J are open")
        return
    of_dual, of_marginals = dual_bound(r, point.price, available), dual_bound(r, marginals, available)
    energies = np.where(r.idle, 0.0, np.maximum(of_dual, of_marginals))
    prices = np.where(of_dual >= of_marginals, point.price, marginals)
    slope = float(np.where(r.idle, 0.0, prices).sum()) + (value if goal is Goal.POWER else 0.0)
    latest, hidden = np.inf if goal is Goal.POWER else known.t_flat, hides(greatest_of(point.efficiency)) * spent
    allowed = allowance(goal, value, duration)
    proved, reached = (Seen(duration, float(energy.sum()) - allowed, slope) for energy in (energies, point.energy))
    low, _ = bracket(hidden, known.t_min, latest, None, proved)
    _, high = bracket(hidden, known.t_min, latest, None, reached)
    if not high - low <= KNOWN * duration:
        raise BackendError(f"Clarabel's duration of {duration:g} s is not supported by its dual: {low:g} to {high:g} s")


def _timing(stop: Stop, duration: float, point: Point, iterations: int) -> Timing:
    nan = float("nan")
    return Timing(stop=stop, duration=duration, lower=nan, upper=nan, passes=iterations, point=point)
