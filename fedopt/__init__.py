"""fedopt: resource allocation for federated learning over mobile edge networks."""

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
