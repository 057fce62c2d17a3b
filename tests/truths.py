"""The oracle's answers at level 3, kept for the tests that ask for the same ones."""

from __future__ import annotations

import functools

import numpy as np
from fleets import Instance, make
from mpmath import mpf
from oracle import Best, Fleet

EXACT_METHODS = ("kernel", "reference", "scipy")  # of level 3


@functools.lru_cache(maxsize=512)
def truth(family: str, seed: int, size: int) -> tuple[Instance, Fleet, tuple[tuple[float, list[Best]], ...]]:
    """An instance, and the oracle's answer at three durations: its own, just above T_min, and far beyond it."""
    instance = make(family, seed, size)
    fleet = Fleet(instance.clients, instance.work)
    rng = np.random.default_rng(seed)
    near = float(fleet.t_min * (1 + mpf(10) ** rng.uniform(-9, -2)))
    far = float(fleet.t_min * mpf(10) ** rng.uniform(0.5, 5))
    return instance, fleet, tuple((T, fleet.least(T)) for T in (instance.duration, near, far))
