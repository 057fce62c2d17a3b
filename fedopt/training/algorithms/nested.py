"""Nested sub-models: a weak client trains the first filters of every layer.

Source: HeteroFL, Diao, Ding and Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for
Heterogeneous Clients", ICLR 2021. Its scaler, its batch norm without running statistics and its masked loss belong to
the model and to the local training there, and are not here; the average weighs by samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedopt.training.chain import Chain
from fedopt.training.cutting import Window
from fedopt.training.windows import Windowed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nested(Windowed):
    """HeteroFL's algorithm: of a layer of g filters a type keeps the first ceil(width g), in every round."""

    name: str = "nested"

    def windows(self, chain: Chain, width: float, turn: int) -> tuple[Window, ...]:
        """The first filters of every layer; whole groups where a GroupNorm has some."""
        layers = zip(chain.filters, chain.units, strict=True)
        return tuple(Window(0, unit * math.ceil(width * (filters // unit))) for filters, unit in layers)


ALGORITHM = Nested
