"""Levels 2 and 3 where all rows share one channel: one file per access scheme, looked up by its literal name.

The energy is then no sum over rows any more: one price of the shared resource couples them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from solvers.lookup import Methods
from solvers.rows import FloatArray, Goal, Limits, Rows, Stop, Timing

PROVED = 1e-6  # relative: an answer whose own proof leaves more open is not called the best
LAST_DIGITS = 2.0**-47  # relative: 32 units of the last place, which searches and sums leave open
_LATER = 20  # powers of two of roundings: a duration is made longer by no more to be within a budget


def hardly_later(time: float) -> Iterator[float]:
    """Times [s] that are later by 1, 2, 4 ... roundings, where the last digit is worth more than a budget leaves."""
    return (time + 2.0**power * math.ulp(time) for power in range(_LATER + 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """An access scheme's answer. Without a point in ``timing`` everything else is NaN or empty.

    timing : duration and point. The point's prices are those of each row's own deadline.
    bandwidth : (N,) [Hz], 0 for a row that sends nothing.
    time_price : [W] lambda = -E'(T), the least one where a range fits.
    bandwidth_price : [J/Hz] mu, what one more hertz would save; NaN where bandwidth is not shared out.
    compute_end : [s] T_cmp, when everybody has computed; NaN where sending may start at any time.
    residual : greatest relative violation of the KKT conditions, from the decision and the prices alone, beyond what
        the last digits of T_cmp are worth.
    gap : (E - dual value at the prices) / E at the duration found; under a price of time what E + price x T may lie
        above its least, relative.
    hidden : relative, as the gap: what the last digits of the duration and of the sum of bandwidths are worth at their
        prices.
    """

    timing: Timing
    bandwidth: FloatArray
    time_price: float
    bandwidth_price: float
    compute_end: float
    residual: float
    gap: float
    hidden: float = 0.0

    @classmethod
    def decided(cls, timing: Timing) -> Outcome:
        """For a timing that the limits alone decide: no answer, or everybody idle."""
        size = 0 if timing.point is None else len(timing.point.energy)
        exact = math.nan if timing.point is None else 0.0
        return cls(
            timing=timing,
            bandwidth=np.zeros(size),
            time_price=exact,
            bandwidth_price=exact,
            compute_end=exact,
            residual=exact,
            gap=exact,
        )

    @property
    def proved(self) -> bool:
        """Whether gap, residual and bracket leave no more than PROVED open; False where one of them is NaN.

        Of the gap ``hidden`` does not count: no proof with these digits is closer.
        """
        timing = self.timing
        certain = abs(self.gap) <= min(max(PROVED, self.hidden), sys.float_info.max) and self.residual <= PROVED
        return certain and timing.upper - timing.lower <= PROVED * timing.duration

    def honest(self) -> Outcome:
        """The same, stopped at a limit where its own proof does not bear out more.

        A gap below 0 is rounding, and 0; one that is below by more than digits hide proves nothing, and is NaN.
        """
        if self.timing.point is None:
            return self
        if self.proved:
            return self if self.gap >= 0.0 else replace(self, gap=0.0)
        gap = max(self.gap, 0.0) if -max(PROVED, self.hidden) <= self.gap < math.inf else math.nan
        return replace(self, timing=replace(self.timing, stop=Stop.LIMIT), gap=gap)


class FindShared(Protocol):
    """Levels 2 and 3 of a scheme for a shared channel of ``hertz``."""

    def __call__(self, rows: Rows, hertz: float, goal: Goal, value: float) -> Outcome: ...


class FindLimits(Protocol):
    """What no duration can change, of all rows together: Limits with columns of shape (1,)."""

    def __call__(self, rows: Rows, hertz: float) -> Limits: ...


METHODS: Methods[FindShared] = Methods(
    "access",
    {
        "timedivision": ("solvers.access.timedivision", ""),
        "shared": ("solvers.access.shared", ""),
    },
    "schedule",
)
