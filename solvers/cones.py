"""The cone model that the two cvxpy methods share: computing on second-order cones, sending on exponential cones.

A row's variables are u = t/t0 and v = tau/tau0, its times over what they would be at a price that the row cannot
undercut, so that they are of order one whatever the units. With x0 = a/tau0 a row's energy, without the download, is

    kappa W^3/t0^2 q + P_s t0 u + tau0/gamma (x0 + m w) + P_c tau0 v,    m = F(x0),

where u y >= 1 and q >= y^2, a second-order cone each, say q >= 1/u^2, and (x0 (1 - v), v, e^-x0 (v + x0 + m w)) in
the exponential cone says m w >= v (e^(x0/v) - 1) - x0, what is spent above Shannon's limit. One power cone in place
of the two is smaller, but Clarabel's steps in it become too short to go on from some 1,000 rows on. An exponential
cone may be multiplied by any number; with the root of its dual's size, e^x0 tau0/gamma, both start of one size.
Clarabel is named; nothing falls back to another solver.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cvxpy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from solvers.limits import efficiency_range, marginal
from solvers.points import at_price
from solvers.rows import BackendError, FloatArray, Rows

_TOLERANCE = 1e-10  # Clarabel's own 1e-8 leaves 1e-7 of violated constraints, which no judge at 1e-9 lets pass
_SMALLEST = 1e-12  # of a factor of a cone, squared
_SETTINGS = {"tol_gap_abs": _TOLERANCE, "tol_gap_rel": _TOLERANCE, "tol_feas": _TOLERANCE, "max_iter": 200}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Computing or sending: the rows that have it, times in units of ``unit`` [s], energy [J] over ``scale`` [J]."""

    index: NDArray[np.int64]
    unit: FloatArray  # t0 or tau0
    share: cvxpy.Variable  # u or v
    energy: cvxpy.Expression
    constraints: list[cvxpy.Constraint]

    def times(self, size: int) -> FloatArray:
        """The solution in seconds, (M,); 0 for the rows that do not have this part."""
        seconds = np.zeros(size)
        seconds[self.index] = np.asarray(self.share.value) * self.unit
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """M busy rows: t + tau over the guessed available time, and the energy over ``scale``, (M,) both; the parts."""

    time: cvxpy.Expression
    energy: cvxpy.Expression
    constraints: list[cvxpy.Constraint]
    parts: tuple[Part | None, Part | None]

    def times(self, size: int) -> tuple[FloatArray, FloatArray]:
        """t and tau [s] of the solution, (M,)."""
        t, tau = (np.zeros(size) if part is None else part.times(size) for part in self.parts)
        return t, tau


def build(r: Rows, available: FloatArray, scale: FloatArray) -> Model:
    """The cone model of M full, busy rows.

    available : (M,) [s] T' = T - t_0 - t_d, a guess of it where T is a variable: the unit of time of each row.
    scale : (M,) [J] unit of energy of each row.
    """
    t0, tau0 = typical_times(r, available)
    parts = _computing(r, t0, scale), _sending(r, tau0, scale)
    time = energy = cvxpy.Constant(np.zeros(len(r)))
    constraints: list[cvxpy.Constraint] = []
    for part in parts:
        if part is not None:
            size = part.index.size
            place = csr_array((np.ones(size), (part.index, np.arange(size))), shape=(len(r), size))
            time = time + place @ cvxpy.multiply(part.unit / available[part.index], part.share)
            energy = energy + place @ part.energy
            constraints += part.constraints
    return Model(time=time, energy=energy, constraints=constraints, parts=parts)


def typical_times(r: Rows, available: FloatArray) -> tuple[FloatArray, FloatArray]:
    """t0 and tau0 [s]: the row's times at the larger of the prices that computing and sending would set alone."""
    with np.errstate(all="ignore"):
        alone_computing = np.where(r.work > 0.0, 2.0 * r.capacitance * (r.work / available) ** 3 - r.static_power, 0.0)
        alone_sending = np.where(r.bits > 0.0, marginal(r.transfer / available) / r.snr - r.circuit_power, 0.0)
        f, x = at_price(r, np.maximum(np.maximum(alone_computing, alone_sending), 0.0))
        return np.minimum(r.work / f, available), np.minimum(r.transfer / x, available)


def _computing(r: Rows, typical: FloatArray, scale: FloatArray) -> Part | None:
    index = np.flatnonzero(r.work > 0.0)
    if index.size == 0:
        return None
    r, t0, S = r.take(index).full(), typical[index], scale[index]
    u, y, q = cvxpy.Variable(index.size), cvxpy.Variable(index.size), cvxpy.Variable(index.size)
    with np.errstate(all="ignore"):
        slowest = r.work / r.frequency_min / t0
    dynamic = cvxpy.multiply(r.capacitance * (r.work / t0) ** 2 * (r.work / S), q)
    return Part(
        index=index,
        unit=t0,
        share=u,
        energy=dynamic + cvxpy.multiply(r.static_power * t0 / S, u),
        constraints=[
            cvxpy.SOC(u + y, cvxpy.vstack([2.0 * np.ones(index.size), u - y])),
            cvxpy.SOC(q + 1.0, cvxpy.vstack([2.0 * y, q - 1.0])),
            *_within(u, r.work / r.frequency_max / t0, slowest),
        ],
    )


def _sending(r: Rows, typical: FloatArray, scale: FloatArray) -> Part | None:
    index = np.flatnonzero(r.bits > 0.0)
    if index.size == 0:
        return None
    r, tau0, S = r.take(index).full(), typical[index], scale[index]
    v, w = cvxpy.Variable(index.size), cvxpy.Variable(index.size)
    x0 = r.transfer / tau0
    m = marginal(x0)
    x_min, x_max = efficiency_range(r)
    with np.errstate(all="ignore"):
        slowest = x0 / x_min
    radiated = cvxpy.multiply(tau0 / r.snr / S * m, w) + tau0 / r.snr / S * x0
    k = np.sqrt(np.clip(np.exp(x0) * tau0 / r.snr / S, _SMALLEST, 1.0 / _SMALLEST))
    power = cvxpy.multiply(k * np.exp(-x0), v + x0) + cvxpy.multiply(k * np.exp(-x0) * m, w)
    return Part(
        index=index,
        unit=tau0,
        share=v,
        energy=radiated + cvxpy.multiply(r.circuit_power * tau0 / S, v),
        constraints=[
            cvxpy.ExpCone(cvxpy.multiply(k * x0, 1.0 - v), cvxpy.multiply(k, v), power),
            *_within(v, x0 / x_max, slowest),
        ],
    )


def _within(variable: cvxpy.Variable, low: FloatArray, high: FloatArray) -> list[cvxpy.Constraint]:
    """low <= variable <= high, without the bounds that are infinite."""
    finite = np.flatnonzero(np.isfinite(high))
    above = [variable[finite] <= high[finite]] if finite.size else []
    return [variable >= low, *above]


def run(problem: cvxpy.Problem, **settings: float) -> int:
    """Solve with Clarabel; the number of its iterations. Raises BackendError unless it found an optimum, finite.

    settings: Clarabel's own, in place of those that both methods use.

    "Optimal, inaccurate" passes: the callers check an answer against the dual bound before they believe it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver=cvxpy.CLARABEL, **(_SETTINGS | settings))
        except (cvxpy.error.SolverError, ValueError) as error:  # ValueError: numbers that are none
            raise BackendError(f"Clarabel found no answer: {error}") from error
    if problem.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        raise BackendError(f"Clarabel stopped with status {problem.status!r}")
    for variable in problem.variables():
        if variable.value is None or not np.isfinite(variable.value).all():
            raise BackendError("Clarabel returned numbers that are not finite")
    return int(problem.solver_stats.num_iters)
