"""fedopt: resource allocation for federated learning over mobile edge networks."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from fedopt.access import SharedBandwidth, Sharing, TimeDivision
from fedopt.checks import InputError
from fedopt.clients import Clients
from fedopt.effects import Sensitivity, bottlenecks, sensitivity
from fedopt.front import Curve, Front, pareto
from fedopt.problem import (
    Deadline,
    EnergyBudget,
    LeastEnergy,
    PowerBudget,
    Problem,
    ReplicaRate,
    ShortestRound,
    TimePrice,
)
from fedopt.records import read_solution, write_solution
from fedopt.rounds import allocate, schedule
from fedopt.search import solve
from fedopt.solution import Allocation, Rule, Schedule, Solution, Status, Verdict
from fedopt.submodels import Partition, SubModel, Workload
from fedopt.verdict import judge
from fedopt.verifier import Report, verify, verify_schedule
from solvers.lookup import MissingExtra

if TYPE_CHECKING:
    from fedopt import channel as channel
    from fedopt import devices as devices
    from fedopt import plots as plots
    from fedopt import scenario as scenario
    from fedopt import testing as testing
    from fedopt import training as training

__version__ = "0.1.0"

__all__ = [
    "Allocation",
    "Clients",
    "Curve",
    "Deadline",
    "EnergyBudget",
    "Front",
    "InputError",
    "LeastEnergy",
    "MissingExtra",
    "Partition",
    "PowerBudget",
    "Problem",
    "ReplicaRate",
    "Report",
    "Rule",
    "Schedule",
    "Sensitivity",
    "SharedBandwidth",
    "Sharing",
    "ShortestRound",
    "Solution",
    "Status",
    "SubModel",
    "TimeDivision",
    "TimePrice",
    "Verdict",
    "Workload",
    "allocate",
    "bottlenecks",
    "judge",
    "pareto",
    "read_solution",
    "schedule",
    "sensitivity",
    "solve",
    "verify",
    "verify_schedule",
    "write_solution",
]

_MODULES = ("channel", "devices", "plots", "scenario", "testing", "training")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


if not TYPE_CHECKING:  # a type checker knows the modules above, and nothing else

    def __getattr__(name: str) -> ModuleType:
        """The modules that ``import fedopt`` leaves out, as they take time or extras, imported when first asked for."""
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
