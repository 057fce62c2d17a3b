"""How kernels read a fleet: columns by number, a block of rows at a time.

A column has shape (N,), or (1,) where one number stands for all rows; kernels read both.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.compile import inlined, stage
from solvers.rows import FloatArray

BLOCK = 512  # rows priced together: enough that the calls of the stages are few, and their scratch stays near

# Kinds of rows. All but ORDINARY take the slow path.
ORDINARY, NO_WORK, NO_UPLOAD, NEITHER, IDLE = range(5)

# Columns of a plan.
FIXED, K, A, GAMMA, T_LOW, T_HIGH, TAU_LOW, TAU_HIGH, T_FREE, TAU_FREE, P_S, P_C, E_FIXED, ANCHOR = range(14)
COLUMNS = 14

Columns = tuple[FloatArray, ...]


@inlined
def at(column: FloatArray, i: int) -> float:
    """Entry i of a column, or its only one."""
    entry: float = column[i] if column.shape[0] > 1 else column[0]
    return entry


@inlined
def view(column: FloatArray, constant: FloatArray, start: int, n: int) -> FloatArray:
    """Rows start..start+n-1 of a column, or n times its only entry, which ``constant`` holds.

    A slice: indexing with an offset would not vectorise.
    """
    return column[start : start + n] if column.shape[0] > 1 else constant[:n]


@stage
def constants(columns: Columns, width: int) -> FloatArray:
    """What view() reads of columns that are one number: a row (width,) per column, the others' rows garbage."""
    constant = np.empty((len(columns), width))
    for j in range(len(columns)):
        if columns[j].shape[0] == 1:
            constant[j, :] = columns[j][0]
    return constant


@inlined
def block_of(columns: Columns, constant: FloatArray, start: int, n: int) -> Columns:
    """Rows start..start+n-1 of every column of a plan; ``constant`` of constants()."""
    return (
        view(columns[0], constant[0], start, n),
        view(columns[1], constant[1], start, n),
        view(columns[2], constant[2], start, n),
        view(columns[3], constant[3], start, n),
        view(columns[4], constant[4], start, n),
        view(columns[5], constant[5], start, n),
        view(columns[6], constant[6], start, n),
        view(columns[7], constant[7], start, n),
        view(columns[8], constant[8], start, n),
        view(columns[9], constant[9], start, n),
        view(columns[10], constant[10], start, n),
        view(columns[11], constant[11], start, n),
        view(columns[12], constant[12], start, n),
        view(columns[13], constant[13], start, n),
    )


@inlined
def left_out(before: float, more: float, now: float) -> float:
    """What rounding leaves out of a sum ``now`` = before + more: of many equal terms it is no accident (Knuth)."""
    added = now - before
    left = (before - (now - added)) + (more - added)
    return left if abs(left) < math.inf else 0.0


@inlined
def total(values: FloatArray) -> float:
    """The sum of a block, in one order whatever the machine; eight sums side by side, as one would wait for itself."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    n = values.shape[0]
    whole = n - n % 8
    for i in range(0, whole, 8):
        s0 += values[i]
        s1 += values[i + 1]
        s2 += values[i + 2]
        s3 += values[i + 3]
        s4 += values[i + 4]
        s5 += values[i + 5]
        s6 += values[i + 6]
        s7 += values[i + 7]
    for i in range(whole, n):
        s0 += values[i]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
