"""Level 2 and 3 with cvxpy: duration and times as one joint cone program, solved by Clarabel.

Minimise T subject to the budget on the sum of energies, or energy + price x T; both are convex in (T, t, tau)
(section 5 of the model). Durations are in units of a first guess of T, energies in units of a client's share of the
budget there: in units of the whole budget, the duals of 10,000 clients would be below Clarabel's regularisation.
"""

from __future__ import annotations

import cvxpy
import numpy as np

from solvers.allocation.cvxpy import least_energy
from solvers.cones import BackendError, build, run
from solvers.duration.verdicts import allowance, closed_form, infeasible, raised
from solvers.limits import limits
from solvers.points import complete, dual_bound, energy_of, least_price, trimmed
from solvers.rows import Allocate, Goal, Limits, Point, Rows, Stop, Timing

_SHORTEST = 1e-7  # relative: a duration this near T_min is T_min
_TOLERANCE = 1e-5  # relative, of the energy at the duration found

# Clarabel's own equilibration would undo how the cones are balanced, and its regularisation is as large as the duals of
# clients that cost little. Large fleets reach 1e-6 of T in some 40 iterations; 200 halve that.
_SETTINGS = {
    "equilibrate_enable": False, "static_regularization_constant": 1e-10, "max_step_fraction": 0.95, "max_iter": 40,
}  # fmt: skip


def schedule(rows: Rows, goal: Goal, value: float, allocate: Allocate) -> Timing:
    """The duration that meets ``goal`` as one convex program, which decides level 3 too: ``allocate`` is not called.

    Tolerance: the energy is least for the duration found to 1e-5 relative, proved by the program's dual; durations of
    well-conditioned budgets to about 1e-6. ``lower`` and ``upper`` are NaN: no bracket is certified. ``passes`` counts
    Clarabel's iterations. Infeasible where the limits prove it; Stop.LIMIT where Clarabel fails or is too far off.
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
        if duration > shortest * (1.0 + _SHORTEST):
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
    """A duration of the right size [s]: energies falling like 1/T^2 from their sum at twice T_min."""
    start = 2.0 * known.t_min
    half = 0.5 * (start - b.fixed_time)
    with np.errstate(all="ignore"):
        f = np.clip(b.work / half, b.frequency_min, b.frequency_max)
        x = np.minimum(np.log1p(b.snr * b.power_max), np.maximum(b.transfer / half, np.log1p(b.snr * b.power_min)))
        spent = float(energy_of(b, f, x).sum())
    if goal is Goal.ENERGY:
        typical = start * (spent / value) ** 0.5
    else:
        typical = start * (spent / (value * start)) ** (1.0 / 3.0)
    least = known.t_min if goal is not Goal.POWER else max(known.t_min, known.e_inf / value)
    return float(np.clip(typical, least, max(least, known.t_flat)))


def _check(r: Rows, duration: float, point: Point) -> None:
    """Raise BackendError unless a dual bound supports the energy of all rows together to the tolerance."""
    available = duration - r.fixed_time
    marginals = least_price(r, point.frequency, point.efficiency)
    bounds = np.maximum(dual_bound(r, point.price, available), dual_bound(r, marginals, available))
    spent, bound = float(point.energy.sum()), float(np.where(r.idle, 0.0, bounds).sum())
    if not spent - bound <= _TOLERANCE * spent:
        raise BackendError(f"Clarabel's energy of {spent:g} J is not supported by its dual bound of {bound:g} J")


def _timing(stop: Stop, duration: float, point: Point, iterations: int) -> Timing:
    nan = float("nan")
    return Timing(stop=stop, duration=duration, lower=nan, upper=nan, passes=iterations, point=point)
