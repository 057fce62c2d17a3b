"""The cone model that the two cvxpy methods share: computing on power cones, sending on exponential cones.

With u = t/H and v = tau/H for a horizon H [s] per row, the energy in units of S [J] per row is

    c / u^2 + P_s H/S u + H/(gamma S) (l + w) + P_c H/S v,    c = kappa W^3 / (H^2 S), l = a/H,

where (u, q, 1) in the power cone of exponent 2/3 says q >= 1/u^2, and (l, v, v + l + w) in the exponential cone says
w >= v (e^(l/v) - 1) - l, the energy above Shannon's limit. Rows with nothing to compute (send) have no u (v). Clarabel
is named; nothing falls back to another solver.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cvxpy
import numpy as np
from numpy.typing import NDArray

from solvers.points import efficiency_range
from solvers.rows import FloatArray, Rows

_SETTINGS = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10, "max_iter": 200}


class BackendError(ArithmeticError):
    """The solver stopped without an answer, or with one that its own dual does not support."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """Variables and expressions of M busy rows; ``energy`` (M,) is in units of S and leaves the download out."""

    computing: NDArray[np.int64]  # rows that have u
    sending: NDArray[np.int64]  # rows that have v
    compute_share: cvxpy.Variable  # u
    upload_share: cvxpy.Variable  # v
    time: cvxpy.Expression  # u + v, (M,)
    energy: cvxpy.Expression
    constraints: list[cvxpy.Constraint]

    def times(self, horizon: FloatArray) -> tuple[FloatArray, FloatArray]:
        """t and tau [s] of the solution, (M,); 0 where there is nothing to do."""
        t, tau = np.zeros(horizon.shape[0]), np.zeros(horizon.shape[0])
        if self.computing.size:
            t[self.computing] = self.compute_share.value * horizon[self.computing]
        if self.sending.size:
            tau[self.sending] = self.upload_share.value * horizon[self.sending]
        return t, tau


def model(r: Rows, horizon: FloatArray, scale: FloatArray) -> Model:
    """The cone model of full, busy rows with time unit ``horizon`` [s] and energy unit ``scale`` [J], both (M,)."""
    computing, sending = np.flatnonzero(r.work > 0.0), np.flatnonzero(r.bits > 0.0)
    u, compute, constraints = _computing(r.take(computing).full(), horizon[computing], scale[computing])
    v, upload, more = _sending(r.take(sending).full(), horizon[sending], scale[sending])
    at_computing, at_sending = _selection(len(r), computing), _selection(len(r), sending)
    return Model(
        computing=computing,
        sending=sending,
        compute_share=u,
        upload_share=v,
        time=at_computing @ u + at_sending @ v,
        energy=at_computing @ compute + at_sending @ upload,
        constraints=[*constraints, *more],
    )
