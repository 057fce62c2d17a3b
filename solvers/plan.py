"""The plan of a fleet of rows: everything that does not depend on the duration, computed once for many durations.

A column has shape (N,), or (1,) where one number stands for all rows; kernels read both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solvers.compile import inlined, kernel
from solvers.elementary import inverse_marginal, log1p
from solvers.rows import LN2, ROUNDING, BoolArray, FloatArray, Rows, greatest_of, least_of

BLOCK = 256  # rows priced together: their scratch fits the first-level cache

# Kinds of rows. All but ORDINARY take the slow path.
ORDINARY, NO_WORK, NO_UPLOAD, NEITHER, IDLE = range(5)

# Columns of a plan.
FIXED, K, A, GAMMA, T_LOW, T_HIGH, TAU_LOW, TAU_HIGH, T_FREE, TAU_FREE, P_S, P_C, E_FIXED, ANCHOR = range(14)
COLUMNS = 14

Columns = tuple[FloatArray, ...]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What the kernels read.

    columns, in order: t_0 + t_d [s]; kappa W^3 [J s^2]; a [s]; gamma [1/W]; least and greatest t, least and greatest
    tau, t and tau when time costs nothing [s]; P_s, P_c [W]; fixed energy [J]; anchor [s], a bound of tau (P_c > P_s)
    or t (P_c < P_s) that the interior optimum cannot pass.
    kind (N,) or (1,); priced: some P_s differs from P_c.
    t_min, t_flat [s], e_inf [J]: T_min, T_flat and E_inf of all rows together.
    """

    size: int
    kind: NDArray[np.uint8]
    columns: Columns
    priced: bool
    t_min: float
    t_flat: float
    e_inf: float

    @property
    def blocks(self) -> int:
        """How many blocks of rows there are."""
        return -(-self.size // BLOCK)


def make_plan(rows: Rows) -> Plan:
    """The plan of some rows."""
    size = len(rows)
    work, bits, snr, kappa = frozen(rows.work), frozen(rows.bits), frozen(rows.snr), frozen(rows.capacitance)
    p_min, p_max = frozen(rows.power_min), frozen(rows.power_max)
    p_s, p_c = frozen(rows.static_power), frozen(rows.circuit_power)
    least_work, least_bits = least_of(work), least_of(bits)
    kind = _ALL_ORDINARY if least_work > 0.0 and least_bits > 0.0 else _kinds(rows)
    static, circuit = greatest_of(p_s) > 0.0, greatest_of(p_c) > 0.0  # else it is cheapest to compute or send slowly
    priced = bool((static or circuit) and (p_s != p_c).any())

    def new(*used: NDArray[np.generic]) -> FloatArray:
        return np.empty(max([column.shape[0] for column in used]))

    f_min, f_max, bandwidth = frozen(rows.frequency_min), frozen(rows.frequency_max), frozen(rows.bandwidth)
    endless = least_work > 0.0 and greatest_of(f_min) == 0.0  # one number where all may take for ever
    unhurried = least_bits > 0.0 and greatest_of(p_min) == 0.0
    k, a = new(kappa, work), new(bits, bandwidth)
    t_low, t_high = new(work, f_max), np.empty(1) if endless else new(work, f_min)
    tau_low, tau_high = new(a, snr, p_max), np.empty(1) if unhurried else new(a, snr, p_min)
    t_free = new(work, kappa, p_s, t_low, t_high) if static else t_high
    tau_free = new(snr, p_c, tau_low, tau_high) if circuit else tau_high
    anchor = new(a, snr, k, p_s, p_c) if priced else np.zeros(1)
    fill(
        work, kappa, f_min, f_max, bits, bandwidth, snr, p_min, p_max, p_s, p_c, static, circuit, priced,
        k, a, t_low, t_high, tau_low, tau_high, t_free, tau_free, anchor,
    )  # fmt: skip
    for filled in (k, a, t_low, t_high, tau_low, tau_high, t_free, tau_free, anchor):
        filled.flags.writeable = False
    times = (t_low, t_high, tau_low, tau_high, t_free, tau_free)
    columns = (frozen(rows.fixed_time), k, a, snr, *times, p_s, p_c, frozen(rows.fixed_energy), anchor)
    t_min, t_flat, e_inf = limits_of(kind, columns, size)
    return Plan(size=size, kind=kind, columns=columns, priced=priced, t_min=t_min, t_flat=t_flat, e_inf=e_inf)


def rows_of(plan: Plan, *kinds: int) -> NDArray[np.int64] | slice:
    """The index of the rows that are of one of these kinds."""
    if plan.kind.shape[0] == 1 and plan.kind[0] in kinds:
        return slice(None)
    return np.flatnonzero(np.isin(np.broadcast_to(plan.kind, (plan.size,)), kinds))


def _kinds(rows: Rows) -> NDArray[np.uint8]:
    """The kind of every row."""
    no_work, no_upload, idle = np.broadcast_arrays(rows.work == 0.0, rows.bits == 0.0, rows.idle)
    kind = no_work * np.uint8(NO_WORK) + no_upload * np.uint8(NO_UPLOAD)
    return frozen(np.where(idle, np.uint8(IDLE), kind).astype(np.uint8))


_ALL_ORDINARY = np.zeros(1, dtype=np.uint8)
_ALL_ORDINARY.flags.writeable = False


def frozen(column: NDArray[T]) -> NDArray[T]:
    """A column as the kernels take it: contiguous, read-only, one entry where it is a broadcast number.

    numba compiles anew for every mixture of layouts and flags; this leaves one.
    """
    if column.shape[0] > 1 and column.strides[0] == 0:
        column = column[:1]
    flags = column.flags
    if flags.c_contiguous and not flags.writeable:
        return column
    column = np.ascontiguousarray(column).view()
    column.flags.writeable = False
    return column


@inlined
def at(column: FloatArray, i: int) -> float:
    """Entry i of a column, or its only one."""
    entry: float = column[i] if column.shape[0] > 1 else column[0]
    return entry


@kernel
def fill(
    work: FloatArray,
    kappa: FloatArray,
    f_min: FloatArray,
    f_max: FloatArray,
    bits: FloatArray,
    bandwidth: FloatArray,
    snr: FloatArray,
    p_min: FloatArray,
    p_max: FloatArray,
    p_s: FloatArray,
    p_c: FloatArray,
    static: bool,
    circuit: bool,
    priced: bool,
    k: FloatArray,
    a: FloatArray,
    t_low: FloatArray,
    t_high: FloatArray,
    tau_low: FloatArray,
    tau_high: FloatArray,
    t_free: FloatArray,
    tau_free: FloatArray,
    anchor: FloatArray,
) -> None:
    """The columns of a plan from those of its rows; k to anchor are written, t_free, tau_free, anchor where asked for.

    t in [W/f_max, W/f_min], inf for f_min = 0; tau in [a/ln(1 + gamma p_max), a/ln(1 + gamma p_min)], 0 without upload,
    inf for a rate of 0. Free: W/f(0), f(0) = clip((P_s / 2 kappa)^(1/3)); a/x(0), x(0) = clip(F^-1(gamma P_c)). Anchor:
    where P_c > P_s the interior has F(x) > gamma (P_c - P_s): tau < a/F^-1; where P_c < P_s it has a bound on t.
    """
    for i in range(k.shape[0]):
        W = at(work, i)
        k[i] = at(kappa, i) * W * W * W
    for i in range(a.shape[0]):
        a[i] = at(bits, i) * (LN2 / at(bandwidth, i))
    for i in range(t_low.shape[0]):
        t_low[i] = at(work, i) / at(f_max, i)
    for i in range(t_high.shape[0]):
        t_high[i] = at(work, i) / at(f_min, i) if at(work, i) > 0.0 else 0.0
    for i in range(tau_low.shape[0]):
        z = at(snr, i) * at(p_max, i)
        tau = at(a, i) / log1p(min(max(z, 0.0), 1e290))
        tau = 0.0 if z > 1e290 else tau  # p_max = inf: no upload takes any time
        tau = tau if z > 0.0 else math.inf  # NaN: no gain, and power without end
        tau_low[i] = tau if at(a, i) > 0.0 else 0.0
    for i in range(tau_high.shape[0]):
        x = log1p(min(at(snr, i) * at(p_min, i), 1e290))
        tau = at(a, i) / x if x > 0.0 else math.inf
        tau_high[i] = tau if at(a, i) > 0.0 else 0.0
    if static:
        for i in range(t_free.shape[0]):
            p = at(p_s, i)
            t = at(work, i) / np.cbrt(p / (2.0 * at(kappa, i))) if p > 0.0 else math.inf
            t_free[i] = min(max(t, at(t_low, i)), at(t_high, i))
    if circuit:
        for i in range(tau_free.shape[0]):
            m = at(snr, i) * at(p_c, i)
            tau = at(a, i) / inverse_marginal(m) if m > 0.0 else math.inf
            tau_free[i] = min(max(tau, at(tau_low, i)), at(tau_high, i))
    if priced:
        for i in range(anchor.shape[0]):
            d = at(p_c, i) - at(p_s, i)
            anchor[i] = math.inf
            if d > 0.0:
                anchor[i] = at(a, i) / inverse_marginal(at(snr, i) * d)
            elif d < 0.0:
                anchor[i] = np.cbrt(2.0 * at(k, i) / -d)


@kernel
def limits_of(kind: NDArray[np.uint8], columns: Columns, size: int) -> tuple[float, float, float]:
    """T_min, T_flat [s] and E_inf [J] of all rows; the energy is summed a block at a time, in order."""
    t_min, t_flat, e_inf = 0.0, 0.0, 0.0
    for first in range(0, size, BLOCK):
        e = 0.0
        for i in range(first, min(first + BLOCK, size)):
            what = kind[i] if kind.shape[0] > 1 else kind[0]
            if what == IDLE:
                continue
            fixed = at(columns[FIXED], i)
            t_min = max(t_min, fixed + (at(columns[T_LOW], i) + at(columns[TAU_LOW], i)))
            t, tau = at(columns[T_FREE], i), at(columns[TAU_FREE], i)
            t_flat = max(t_flat, fixed + (t + tau))
            e += energy_of(
                at(columns[K], i),
                at(columns[A], i),
                at(columns[GAMMA], i),
                at(columns[P_S], i),
                at(columns[P_C], i),
                at(columns[E_FIXED], i),
                t,
                tau,
            )
        e_inf += e
    return t_min, t_flat, e_inf


@inlined
def energy_of(k: float, a: float, gamma: float, p_s: float, p_c: float, fixed: float, t: float, tau: float) -> float:
    """kappa W^3/t^2 + P_s t + tau ((e^x - 1)/gamma + P_c) + download [J], also where t or tau is 0 or infinite."""
    compute = 0.0
    if k > 0.0 and t > 0.0:
        compute = k / (t * t)
        if p_s > 0.0:
            compute += p_s * t
    upload = 0.0
    if a > 0.0:
        x = a / tau
        upload = a / gamma * (1.0 + 0.5 * x if x < 1e-8 else (math.expm1(x) / x if x < 700.0 else math.inf))
        if p_c > 0.0:
            upload += p_c * tau
    return fixed + (compute + upload)


def feasible_rows(plan: Plan, duration: float) -> BoolArray:
    """Which rows can meet a duration, (N,)."""
    c = plan.columns
    least = c[FIXED] + (c[T_LOW] + c[TAU_LOW])
    result: BoolArray = np.broadcast_to((duration >= least * ROUNDING) | (plan.kind == IDLE), (plan.size,))
    return result
