"""The plan of a fleet of rows: everything that does not depend on the duration, computed once for many durations.

A column has shape (N,), or (1,) where one number stands for all rows; kernels read both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from solvers.blocks import BLOCK, FIXED, IDLE, NO_UPLOAD, NO_WORK, T_LOW, TAU_LOW, Columns
from solvers.fill import fill, limits_of
from solvers.memory import table
from solvers.rows import ROUNDING, BoolArray, FloatArray, Rows, greatest_of, least_of
from solvers.threads import CHUNK, each_chunk

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

    room = iter(table(9, size))  # rows never touched take no memory

    def new(*used: NDArray[np.generic]) -> FloatArray:
        for column in used:
            if column.shape[0] > 1:
                return next(room)
        return np.empty(1)

    f_min, f_max, bandwidth = frozen(rows.frequency_min), frozen(rows.frequency_max), frozen(rows.bandwidth)
    endless = least_work > 0.0 and _nought(f_min)  # one number where all may take for ever
    unhurried = least_bits > 0.0 and _nought(p_min)
    k, a = new(kappa, work), new(bits, bandwidth)
    t_low, t_high = new(work, f_max), np.empty(1) if endless else new(work, f_min)
    tau_low, tau_high = new(a, snr, p_max), np.empty(1) if unhurried else new(a, snr, p_min)
    t_free = new(work, kappa, p_s, t_low, t_high) if static else t_high
    tau_free = new(snr, p_c, tau_low, tau_high) if circuit else tau_high
    anchor = new(a, snr, k, p_s, p_c) if priced else np.zeros(1)
    filling = partial(
        fill, work, kappa, f_min, f_max, bits, bandwidth, snr, p_min, p_max, p_s, p_c, static, circuit, priced,
        k, a, t_low, t_high, tau_low, tau_high, t_free, tau_free, anchor,
    )  # fmt: skip
    blocks = -(-size // BLOCK)
    if blocks <= CHUNK:
        filling(0, blocks)
    else:
        filling(0, 1)  # the columns that are one number, too: all other blocks read them
        each_chunk(lambda first, last: filling(first + 1, last + 1), blocks - 1)
    for filled in (k, a, t_low, t_high, tau_low, tau_high, t_free, tau_free, anchor):
        filled.setflags(write=False)
    times = (t_low, t_high, tau_low, tau_high, t_free, tau_free)
    columns = (frozen(rows.fixed_time), k, a, snr, *times, p_s, p_c, frozen(rows.fixed_energy), anchor)
    return plan_of(kind, columns, priced, size)


def plan_of(kind: NDArray[np.uint8], columns: Columns, priced: bool, size: int) -> Plan:
    """A plan of given columns, with its limits."""
    found = each_chunk(partial(limits_of, kind, columns, size), -(-size // BLOCK))
    t_min, t_flat, e_inf = found[0]
    for least, latest, energy in found[1:]:
        t_min, t_flat, e_inf = max(t_min, least), max(t_flat, latest), e_inf + energy
    return Plan(size=size, kind=kind, columns=columns, priced=priced, t_min=t_min, t_flat=t_flat, e_inf=e_inf)


def rows_of(plan: Plan, *kinds: int) -> NDArray[np.int64] | slice:
    """The index of the rows that are of one of these kinds."""
    if plan.kind.shape[0] == 1 and plan.kind[0] in kinds:
        return slice(None)
    return np.flatnonzero(np.isin(np.broadcast_to(plan.kind, (plan.size,)), kinds))


def _nought(column: FloatArray) -> bool:
    """Whether a column is one number for all, and 0."""
    return bool(column.shape[0] == 1 and column[0] == 0.0)


def _kinds(rows: Rows) -> NDArray[np.uint8]:
    """The kind of every row."""
    no_work, no_upload, idle = np.broadcast_arrays(rows.work == 0.0, rows.bits == 0.0, rows.idle)
    kind = no_work * np.uint8(NO_WORK) + no_upload * np.uint8(NO_UPLOAD)
    return frozen(np.where(idle, np.uint8(IDLE), kind).astype(np.uint8))


_ALL_ORDINARY = np.zeros(1, dtype=np.uint8)
_ALL_ORDINARY.flags.writeable = False

_LAYOUT, _FROZEN = 0x401, 0x001  # numpy's flags: contiguous and writeable; contiguous only


def frozen(column: NDArray[T]) -> NDArray[T]:
    """A column as the kernels take it: contiguous, read-only, one entry where it is a broadcast number.

    numba compiles anew for every mixture of layouts and flags; this leaves one.
    """
    if column.flags.num & _LAYOUT == _FROZEN:
        return column
    if column.shape[0] > 1 and column.strides[0] == 0:
        column = column[:1]
    column = np.ascontiguousarray(column).view()
    column.setflags(write=False)
    return column


def feasible_rows(plan: Plan, duration: float) -> BoolArray:
    """Which rows can meet a duration, (N,)."""
    c = plan.columns
    least = c[FIXED] + (c[T_LOW] + c[TAU_LOW])
    result: BoolArray = np.broadcast_to((duration >= least * ROUNDING) | (plan.kind == IDLE), (plan.size,))
    return result
