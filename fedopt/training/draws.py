"""What chance decides in a round: the fading and who takes part. Drawn anew from (seed, stream, round), so that a run
which goes on from a checkpoint, and every policy compared with another, meets the same draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.channel import rayleigh, rician
from fedopt.checks import FloatArray, InputError, refuse

FADING, SHARE, MATCHING = range(3)  # the streams


def fading_of(fading: Any) -> Callable[[int, np.random.Generator], FloatArray] | None:
    """The draw that a fading text stands for, None for no fading. Raises InputError."""
    if fading is None:
        return None
    if not isinstance(fading, str):
        refuse("fading", "None, 'rayleigh' or 'rician:K'", fading)
    kind, _, factor = fading.partition(":")
    if kind == "rayleigh" and not factor:
        return lambda size, rng: rayleigh(size, seed=rng)
    try:
        k = float(factor) if kind == "rician" else math.nan
    except ValueError:
        k = math.nan
    if not 0.0 <= k < math.inf:
        raise InputError("fading", "None, 'rayleigh' or 'rician:K' such as 'rician:4'", repr(fading)[:80])
    return lambda size, rng: rician(size, factor=k, seed=rng)


def faded(fading: str | None, size: int, seed: int, index: int) -> FloatArray:
    """The gains' factors in round ``index``, shape (size,), of mean 1: the same for the same seed and round."""
    draw = fading_of(fading)
    return np.ones(size) if draw is None else draw(size, stream(seed, FADING, index))


def drawn(size: int, share: float, seed: int, index: int) -> NDArray[np.intp]:
    """Who takes part in round ``index``: max(1, round(share x size)) clients, in order, without repetition."""
    count = max(1, round(share * size))
    if count >= size:
        return np.arange(size)
    return np.sort(stream(seed, SHARE, index).choice(size, count, replace=False))


def stream(seed: int, which: int, index: int) -> np.random.Generator:
    """The generator of one stream in one round: nothing but its three numbers decides what it draws."""
    return np.random.default_rng([seed, which, index])
