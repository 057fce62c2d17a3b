"""A few rows in place of many: what part of a budget is theirs, so that their duration is nearly that of all.

E(T) - E_inf of all rows over that of the sample is nearly the ratio of what a rough formula gives for both: of that
ratio 1e-3 and less is left to doubt, where counting rows would leave 1e-2.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.blocks import BLOCK, FIXED, GAMMA, T_FREE, T_LOW, TAU_LOW, A, Columns, K, block_of, constants, total
from solvers.compile import frozen_inside, kernel, shared, stage, wide
from solvers.rows import FloatArray, Goal

_UPLOADING = 1.2  # of the least upload time, about what the best one takes

_ENERGY, _POWER = float(Goal.ENERGY), float(Goal.POWER)


@stage
def sample_of(columns: Columns, stride: int, rows: int) -> Columns:
    """Every ``stride``-th row, so many rows; one number for all stays one number."""
    fixed, k, a, gamma, t_low, t_high, tau_low, tau_high, t_free, tau_free, p_s, p_c, e_fixed, anchor = columns
    return (
        _some(fixed, stride, rows), _some(k, stride, rows), _some(a, stride, rows), _some(gamma, stride, rows),
        _some(t_low, stride, rows), _some(t_high, stride, rows), _some(tau_low, stride, rows),
        _some(tau_high, stride, rows), _some(t_free, stride, rows), _some(tau_free, stride, rows),
        _some(p_s, stride, rows), _some(p_c, stride, rows), _some(e_fixed, stride, rows), _some(anchor, stride, rows),
    )  # fmt: skip


@stage
def _some(column: FloatArray, stride: int, rows: int) -> FloatArray:
    some = np.empty(rows if column.shape[0] > 1 else 1)
    for i in range(some.shape[0]):
        some[i] = column[i * stride]
    return frozen_inside(some)


@kernel
def weigh(columns: Columns, T: float, size: int, first: int, last: int) -> tuple[float, float]:
    """What rows of blocks first..last-1, of ``size`` rows in all, spend above their least energy in a round of T [s],
    roughly [J], and how that changes with T [W].

    kappa W^3 (1/t^2 - 1/t_free^2) + a^2/(2 gamma tau), t the time that a short upload leaves, tau the rest.
    """
    wide()
    width = min(size, BLOCK)
    constant, scratch, weights, slopes = constants(columns, width), np.empty((3, width)), 0.0, 0.0
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, size - start)
        part, t, weight, slope = block_of(columns, constant, start, n), scratch[0, :n], scratch[1, :n], scratch[2, :n]
        fixed, t_low, t_free, tau_low = part[FIXED], part[T_LOW], part[T_FREE], part[TAU_LOW]
        for i in range(n):
            left = T - fixed[i]
            rest = left - _UPLOADING * tau_low[i]
            t[i] = min(max(rest, t_low[i]), t_free[i])
            weight[i] = max(left - t[i], tau_low[i])
            slope[i] = 1.0 if t[i] == rest else 0.0  # dt/dT
        k, a, gamma = part[K], part[A], part[GAMMA]
        for i in range(n):
            tau, sends, held = weight[i], a[i] > 0.0, slope[i] == 0.0
            per = 0.5 * a[i] * a[i] / (gamma[i] * tau * tau)
            weight[i] = per * tau if sends else 0.0
            slope[i] = (-per if sends else 0.0) if held else 1.0
        for i in range(n):
            per, free, works, held = 1.0 / t[i], 1.0 / t_free[i], k[i] > 0.0, slope[i] <= 0.0
            weight[i] += k[i] * (per * per - free * free) if works else 0.0
            slope[i] = slope[i] if held else (-2.0 * k[i] * (per * per) * per if works else 0.0)
        weights += total(weight)
        slopes += total(slope)
    return weights, slopes


@shared
def share_of(goal: float, of_some: float, e_inf_of_some: float, of_all: float, e_inf: float) -> float:
    """A sample's share of all rows' budget, or of what an energy budget leaves above E_inf; by weigh() of both. NaN
    where these have nothing to spend: all computing is as slow as it gets, and nobody sends.
    """
    some, every = (of_some + e_inf_of_some, of_all + e_inf) if goal == _POWER else (of_some, of_all)
    return some / every if every > 0.0 else math.nan


@shared
def part_of(goal: float, value: float, e_inf: float, share: float, e_inf_of_some: float) -> float:
    """A sample's part of a budget; E_inf of all rows and of the sample."""
    return e_inf_of_some + (value - e_inf) * share if goal == _ENERGY else value * share
