"""Why no matching is feasible, in people's words: too many clients fit too few places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fedopt.checks import LARGEST
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline
from fedopt.reasons import named, why_too_loud
from fedopt.submodels import SubModel

if TYPE_CHECKING:
    from solvers.matching.hall import Crowd


def why_crowded(
    clients: Clients, submodels: tuple[SubModel, ...], crowd: Crowd, budget: Budget
) -> tuple[str, tuple[int, ...], float]:
    """The sentence, the clients it is about (neediest first) and by how much a deadline misses; inf at no duration."""
    allowed = budget.seconds if isinstance(budget, Deadline) else LARGEST
    who, missing = crowd.rows(allowed), crowd.duration - allowed
    if missing <= 0.0:
        return why_too_loud(clients, crowd.needs, allowed)
    text = f"Infeasible: the deadline of {allowed:.6g} s is {missing:.6g} s too short"
    needs = named(clients, who, lambda n: f"needs {crowd.needs[n]:.6g} s")
    if math.isinf(crowd.duration):
        text = "Infeasible: no duration suffices"
        needs = named(clients, who, lambda n: f"gain {clients.channel_gain[n]:g}, power_max {clients.power_max[n]:g} W")
    people = tuple(who.tolist())
    if crowd.places > 0:
        types = ", ".join(submodels[k].name for k in np.flatnonzero(crowd.within))
        room = "there is 1 place" if crowd.places == 1 else f"there are {crowd.places} places"
        return f"{text}: {len(who)} clients fit only {types}, where {room}; elsewhere client {needs}.", people, missing
    if math.isinf(crowd.duration):
        return f"{text} for client {needs}: the upload rate is 0.", people, missing
    return f"{text}; client {needs}.", people, missing
