"""Rows: what a solver is given. Each row is one computing task and one transfer that share a duration.

A column has shape (N,), or (1,) where one number stands for all rows. SI units throughout. Callers have checked the
values; nothing here checks again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class BackendError(ArithmeticError):
    """A wrapped solver stopped without an answer, or with one that its own dual does not support."""


LN2 = math.log(2.0)
ROUNDING = 1.0 - 1e-15  # a duration this close below a least duration meets it: both are rounded


def least_of(column: FloatArray) -> float:
    """The least number of a column; NaN where one is."""
    return float(column.item(column.argmin()))  # a fraction of the time that min() takes for a few hundred rows


def greatest_of(column: FloatArray) -> float:
    """The greatest number of a column; NaN where one is."""
    return float(column.item(column.argmax()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """N independent rows. Symbols: W, f_min, f_max, kappa, P_s; s, B, gamma, p_min, p_max, P_c; t_0 + t_d, its energy.

    Computing for t seconds costs kappa W^3 / t^2 + P_s t joules, t in [W/f_max, W/f_min]; sending for tau seconds
    costs tau ((e^x - 1)/gamma + P_c) joules with x = a/tau, a = s ln 2 / B, and power p = (e^x - 1)/gamma.
    """

    work: FloatArray  # W [cycle]
    frequency_min: FloatArray  # [Hz]
    frequency_max: FloatArray  # [Hz]
    capacitance: FloatArray  # kappa [J s^2]
    static_power: FloatArray  # P_s [W]
    bits: FloatArray  # s [bit]
    bandwidth: FloatArray  # B [Hz]
    snr: FloatArray  # gamma [1/W]
    power_min: FloatArray  # [W]
    power_max: FloatArray  # [W]
    circuit_power: FloatArray  # P_c [W]
    fixed_time: FloatArray  # t_0 + t_d [s]; 0 for an idle row
    fixed_energy: FloatArray  # download [J]; 0 for an idle row
    idle: BoolArray  # nothing to do: no time, no energy, never limits the duration

    def __len__(self) -> int:
        size = self.work.shape[0]
        return size if size > 1 else max([len(getattr(self, name)) for name in self.__slots__])

    @property
    def transfer(self) -> FloatArray:
        """a = s ln 2 / B [s]: the upload takes a / x seconds."""
        result: FloatArray = self.bits * LN2 / self.bandwidth
        return result

    def full(self) -> Rows:
        """The same rows with every column of shape (N,)."""
        size = len(self)
        return Rows(**{name: np.broadcast_to(getattr(self, name), (size,)) for name in self.__slots__})

    def take(self, index: NDArray[np.int64] | slice) -> Rows:
        """The rows at ``index``; one number for all stays one number."""

        def pick(column: NDArray[np.generic]) -> NDArray[np.generic]:
            return column if column.shape[0] == 1 else column[index]

        if len(self) == 1:
            return self
        taken = Rows(**{name: pick(getattr(self, name)) for name in self.__slots__})  # type: ignore[arg-type]
        wanted = len(np.arange(len(self))[index])
        return taken if len(taken) == wanted else taken.widen(wanted)

    def part(self, rows: slice) -> Rows:
        """Consecutive rows, without a copy."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        part = Rows(**{name: c if c.shape[0] == 1 else c[rows] for name, c in columns.items()})
        return part if len(part) == rows.stop - rows.start else part.widen(rows.stop - rows.start)

    def widen(self, size: int) -> Rows:
        """Give rows whose columns all became single numbers their length back."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        columns["work"] = np.broadcast_to(columns["work"], (size,))
        return Rows(**columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """Level 3's answer at one duration, (N,). A row that cannot meet it: feasible False, energy inf, the rest NaN."""

    frequency: FloatArray  # f [Hz]
    efficiency: FloatArray  # x = ln(1 + SNR) [nat]
    compute_time: FloatArray  # t [s]
    upload_time: FloatArray  # tau [s]
    energy: FloatArray  # [J]
    price: FloatArray  # lambda [W]
    feasible: BoolArray


class Allocate(Protocol):
    """A method of level 3: the least energy of every row for a duration."""

    def __call__(self, rows: Rows, duration: float) -> Point: ...


class Goal(IntEnum):
    """What level 2 is asked for; the number it goes with is in the unit given here."""

    ENERGY = 1  # least T with E(T) <= value [J]
    POWER = 2  # least T with E(T) <= value [W] * T
    DEADLINE = 3  # T = value [s]
    PRICE = 4  # minimise E(T) + value [W] * T


class Stop(IntEnum):
    """Why level 2 stopped."""

    OPTIMAL = 1
    SLACK = 2  # the budget holds at the least feasible duration
    TOO_SHORT = 3  # the deadline is below the least feasible duration
    TOO_LITTLE = 4  # the budget is below the least possible energy
    UNREACHABLE = 5  # some row cannot be done at any duration
    LIMIT = 6  # out of passes, or the backend gave up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """Level 2's answer: duration [s] and the point there (None unless OPTIMAL or SLACK or LIMIT with a point).

    lower, upper: certified bounds of the best duration (NaN where the method proves none); passes: how many times
    all rows were priced.
    """

    stop: Stop
    duration: float
    lower: float
    upper: float
    passes: int
    point: Point | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """What no duration can change, per row (N,): idle rows have 0 everywhere.

    least_time [s]: T_min,n = t_0 + t_d + W/f_max + a/x_max (inf where unreachable).
    free_time [s]: T_flat,n, from where on more time saves nothing (may be inf).
    least_energy [J]: E_inf,n.
    """

    least_time: FloatArray
    free_time: FloatArray
    least_energy: FloatArray

    @property
    def t_min(self) -> float:
        """T_min, the least duration all rows can meet; 0 if all are idle."""
        return float(self.least_time.max())

    @property
    def t_flat(self) -> float:
        """T_flat, from where on the energy is least."""
        return float(self.free_time.max())

    @property
    def e_inf(self) -> float:
        """E_inf, the least possible energy."""
        return float(self.least_energy.sum())
