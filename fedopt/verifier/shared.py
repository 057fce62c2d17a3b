"""Bounds over all matchings where clients share the uplink, as rule_out() and the checks of a search want them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fedopt.access import TimeDivision
from fedopt.checks import FloatArray
from fedopt.submodels import IntArray
from fedopt.verifier.branch import Below
from fedopt.verifier.couplings import Alone, Band, Shortest, Slots, least_ends
from fedopt.verifier.model import SAME, Tasks

if TYPE_CHECKING:
    from fedopt.verifier.decision import Round


class SharedMatchings:
    """Bounds of every partition's energy within T [J]; of its duration [s], where no energy is too much.

    most(T): what a partition may need, beyond which no more is proved. refutes: some matching was seen that needs no
    more, so that what is not ruled out is true. looks: tables of costs that may be worked out in all. Raises
    TooManyError beyond.
    """

    def __init__(self, tasks: Tasks, r: Round, most: Callable[[float], float], looks: int) -> None:
        self.refutes = False
        self._tasks, self._r, self._most, self._looks = tasks, r, most, looks
        self._first = float(least_ends(tasks).min(axis=0).max())  # nobody has computed before

    def __call__(self, T: float, one: IntArray, counts: IntArray) -> FloatArray:
        coupling: Band | Slots | Shortest
        first, price = T, price_of(self._r)
        if not isinstance(self._r.access, TimeDivision):
            coupling = Band(self._tasks, price)
        else:
            first = self._first
            coupling = Slots(self._tasks, price, T) if math.isfinite(self._most(T)) else Shortest(self._tasks)
        if first > T * SAME:
            return np.full(len(counts), math.inf)
        enough = T if isinstance(coupling, Shortest) else self._most(T)
        below = Below(coupling, self._looks)
        found = below.bounds(min(first, T), T, counts, enough)
        self._looks, self.refutes = below.looks, below.refutes
        return found


def least_cost(tasks: Tasks, r: Round, counts: IntArray, watts: float, low: float, looks: int) -> Below | None:
    """Prove that no matching of a partition costs less than ``low`` [J] of energy + watts x duration.

    None where that is so, else how far it was found not to be. Raises TooManyError.
    """
    coupling: Alone | Band | Slots
    if r.access is None:
        coupling = Alone(tasks, watts)
    elif isinstance(r.access, TimeDivision):
        coupling = Slots(tasks, math.nan, watts=watts)
    else:
        coupling = Band(tasks, price_of(r), watts)
    below = Below(coupling, looks)
    end = low / watts  # a longer round costs more for its time alone
    return None if float(below.bounds(0.0, end, counts[None, :], low)[0]) >= low else below


def price_of(r: Round) -> float:
    """The price to begin with: of time [W], or of the whole channel [J]; the answer's own if that is one."""
    assert r.sharing is not None
    assert r.access is not None
    division = isinstance(r.access, TimeDivision)
    own = r.sharing.time_price if division else r.sharing.bandwidth_price * r.access.hertz
    usual = r.E / r.T if division and r.T > 0.0 else r.E
    return own if 0.0 < own < math.inf else usual if 0.0 < usual < math.inf else 1.0
