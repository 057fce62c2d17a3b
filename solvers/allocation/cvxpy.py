"""Level 3 with cvxpy: the least energy of all rows at a duration as one cone program, solved by Clarabel."""

from __future__ import annotations

import cvxpy
import numpy as np

from solvers.cones import build, run, typical_times
from solvers.limits import limits
from solvers.points import complete, dual_bound, energy_of, least_price, trimmed
from solvers.rows import BackendError, FloatArray, Point, Rows

_TOLERANCE = 1e-5  # relative, of each row's energy


def allocate(rows: Rows, duration: float) -> Point:
    """The least-energy point of every row within ``duration`` [s]; (N,) arrays.

    Tolerance: energies to 1e-5 relative, proved by the dual bound; times only as well as such energies tell them apart.
    Prices are the duals of the time constraints; at a kink any price of the jump may come back, not the least. Raises
    BackendError where Clarabel fails or misses the tolerance.
    """
    return least_energy(rows, duration)[0]


def least_energy(rows: Rows, duration: float) -> tuple[Point, int]:
    """The point of ``allocate`` and the number of Clarabel's iterations."""
    r = rows.full()
    feasible = r.idle | (duration >= limits(r).least_time)
    t, tau, price = np.zeros((3, len(r)))
    iterations = 0
    index = np.flatnonzero(feasible & ~r.idle & ((r.work > 0.0) | (r.bits > 0.0)))
    if index.size:
        t[index], tau[index], price[index], iterations = _program(r.take(index).full(), duration)
    return complete(r, feasible, t, tau, price), iterations


def _program(r: Rows, duration: float) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """t, tau [s], prices [W] and iterations for rows that are feasible and have something to do."""
    available = duration - r.fixed_time
    t0, tau0 = typical_times(r, available)
    with np.errstate(invalid="ignore"):
        scale = energy_of(r, r.work / t0, r.transfer / tau0) - r.fixed_energy
    cones = build(r, available, scale)
    enough = cones.time <= 1.0
    iterations = run(cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(cones.energy)), [enough, *cones.constraints]))
    t, tau = trimmed(r, available, *cones.times(len(r)))
    price = np.maximum(enough.dual_value, 0.0) * scale / available
    _check(r, available, complete(r, ~r.idle, t, tau, price))
    return t, tau, price, iterations


def _check(r: Rows, available: FloatArray, point: Point) -> None:
    """Raise BackendError unless a dual bound supports every row's energy to the tolerance."""
    marginals = least_price(r, point.frequency, point.efficiency)
    bound = np.maximum(dual_bound(r, point.price, available), dual_bound(r, marginals, available))
    gap = point.energy - bound
    good = gap <= _TOLERANCE * point.energy
    if not good.all():
        worst = int(np.argmin(good))
        raise BackendError(
            f"Clarabel's energy for {int((~good).sum())} of {len(r)} rows is not supported by its dual; in one of them"
            f" {point.energy[worst]:g} J against a bound of {bound[worst]:g} J"
        )
