"""Rolling sub-models: the window of filters that a weak client trains moves on every round, so that all are trained.

Source: FedRolex, Alam, Liu, Yan and Zhang, "FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model
Extraction", NeurIPS 2022. The average weighs by samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedopt.training.chain import Chain
from fedopt.training.cutting import Window
from fedopt.training.windows import Windowed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rolling(Windowed):
    """FedRolex's algorithm: of a layer of g filters a type keeps floor(width g), at least one, in round t from filter
    t mod g on and around the end."""

    name: str = "rolling"

    def windows(self, chain: Chain, width: float, turn: int) -> tuple[Window, ...]:
        """The round's filters; a GroupNorm's groups roll as one, and a layer kept whole stays in order."""
        result = []
        for filters, unit in zip(chain.filters, chain.units, strict=True):
            size = unit * max(1, math.floor(width * (filters // unit)))
            result.append(Window(0 if size == filters else turn * unit % filters, size))
        return tuple(result)


ALGORITHM = Rolling
