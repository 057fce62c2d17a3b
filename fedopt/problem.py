"""Problem: clients, sub-model types, budget and utility. Checked here; nobody checks again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fedopt.access import Access, check_access
from fedopt.checks import InputError, choice, kind, number, real, refuse
from fedopt.clients import Clients
from fedopt.submodels import IntArray, Partition, SubModel, all_partitions, given_partitions


@dataclass(frozen=True, slots=True)
class EnergyBudget:
    """The round may spend at most ``joules`` [J]: the least duration T with E(T) <= joules."""

    joules: float

    def __post_init__(self) -> None:
        value = number("EnergyBudget.joules", self.joules, zero=True, infinite=True, unit="J")
        object.__setattr__(self, "joules", value)


@dataclass(frozen=True, slots=True)
class PowerBudget:
    """The fleet may draw at most ``watts`` [W] on average: the least duration T with E(T) <= watts * T."""

    watts: float

    def __post_init__(self) -> None:
        value = number("PowerBudget.watts", self.watts, zero=True, infinite=True, unit="W")
        object.__setattr__(self, "watts", value)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The round lasts ``seconds`` [s]: the least energy for that duration."""

    seconds: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", number("Deadline.seconds", self.seconds, zero=True, unit="s"))


@dataclass(frozen=True, slots=True)
class TimePrice:
    """A second costs ``watts`` [W]: the duration that minimises E(T) + watts * T."""

    watts: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "watts", number("TimePrice.watts", self.watts, unit="W"))


Budget = EnergyBudget | PowerBudget | Deadline | TimePrice
UtilityFunction = Callable[[Partition, float, float], float]
_MOST = 1e150  # R^beta: what is more might leave no utility that is a number


@dataclass(frozen=True, slots=True)
class ReplicaRate:
    """Utility U = R^beta / T: replicas of the global model trained per second for beta = 1 (the default utility).

    A Problem takes no beta that makes R^beta more than 1e150.
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", number("ReplicaRate.beta", self.beta, zero=True))

    def __call__(self, partition: Partition, duration: float, energy: float) -> float:
        with np.errstate(over="ignore"):
            return float(partition.replicas**self.beta / duration) if duration > 0.0 else math.inf


@dataclass(frozen=True, slots=True)
class ShortestRound:
    """Utility U = -T [s]: the shortest round wins."""

    def __call__(self, partition: Partition, duration: float, energy: float) -> float:
        return -duration


@dataclass(frozen=True, slots=True)
class LeastEnergy:
    """Utility U = -E [J]: the round of least energy wins."""

    def __call__(self, partition: Partition, duration: float, energy: float) -> float:
        return -energy


@dataclass(frozen=True, slots=True)
class Unstored:
    """Stands for a user's own utility in a problem read from a file, which holds no code: only its name is known."""

    name: str

    def __call__(self, partition: Partition, duration: float, energy: float) -> float:
        raise InputError("Problem.utility", "a utility that files can hold", f"a callable, not stored: {self.name}")


UTILITIES: dict[str, UtilityFunction] = {
    "replica_rate": ReplicaRate(),
    "shortest_round": ShortestRound(),
    "least_energy": LeastEnergy(),
}


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One round's decision problem.

    Parameters
    ----------
    clients : Clients, N of them.
    submodels : the K types, at most 64.
    budget : EnergyBudget, PowerBudget, Deadline or TimePrice.
    partitions : None searches every partition of whole replicas; a list of K-tuples of counts restricts the search.
    utility : None is ReplicaRate(), replicas per second; or "replica_rate", "shortest_round", "least_energy";
        or any callable (partition, duration [s], energy [J]) -> float, greater is better.
    access : None where the clients have channels of their own; TimeDivision(hertz) or SharedBandwidth(hertz) where
        they share one (then ``clients.bandwidth`` is not used).

    Raises InputError naming what was expected and found.
    """

    clients: Clients
    submodels: tuple[SubModel, ...]
    budget: Budget
    partitions: IntArray | None
    utility: UtilityFunction
    access: Access | None

    def __init__(
        self,
        clients: Clients,
        submodels: Sequence[SubModel],
        *,
        budget: Budget,
        partitions: Sequence[Sequence[int]] | None = None,
        utility: str | UtilityFunction | None = None,
        access: Access | None = None,
    ) -> None:
        kind("Problem.clients", clients, Clients, "a Clients table")
        kind("Problem.submodels", submodels, (tuple, list), "a tuple of SubModel")
        types = tuple(submodels)
        for types_k in types:
            kind("Problem.submodels", types_k, SubModel, "SubModel entries")
        if not 1 <= len(types) <= 64:
            raise InputError("Problem.submodels", "1 to 64 types", f"{len(types)}")
        names = [s.name for s in types]
        if len(set(names)) < len(names):
            raise InputError("Problem.submodels", "types with different names", ", ".join(names))
        if all(s.is_idle for s in types):
            raise InputError("Problem.submodels", "at least one type with work to do", "only idle places")
        check_budget("Problem.budget", budget)
        check_access("Problem.access", access)
        object.__setattr__(self, "clients", clients)
        object.__setattr__(self, "submodels", types)
        object.__setattr__(self, "budget", budget)
        given = None if partitions is None else given_partitions(len(clients), types, partitions)
        object.__setattr__(self, "partitions", given)
        object.__setattr__(self, "utility", _utility(utility))
        if isinstance(self.utility, ReplicaRate):
            most = max(len(clients) / min(s.cover for s in types if not s.is_idle), 1.0)
            if most > 1.0 and self.utility.beta > (limit := math.log(_MOST) / math.log(most)):
                expected = f"at most {limit:.4g} ({most:g} replicas to that power are {_MOST:g})"
                raise InputError("ReplicaRate.beta", expected, f"{self.utility.beta:g}")
        object.__setattr__(self, "access", access)

    def __setstate__(self, state: list[Any]) -> None:
        """A copy, its partitions as closed as they were."""
        for field, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)
        if self.partitions is not None:
            self.partitions.flags.writeable = False

    def candidates(self) -> IntArray:
        """The partitions to search, shape (P, K), the caller's to change."""
        if self.partitions is not None:
            return self.partitions.copy()
        return all_partitions(len(self.clients), self.submodels)


def check_budget(name: str, budget: Any) -> None:
    """Raise InputError unless ``budget`` is one of the four budgets."""
    kind(name, budget, Budget.__args__, "an EnergyBudget, PowerBudget, Deadline or TimePrice")


def utility_of(problem: Problem, partition: Partition, duration: float, energy: float) -> float:
    """The problem's utility of a round [s, J]. Raises InputError where the user's callable returns no number."""
    value: Any = problem.utility(partition, duration, energy)
    found = real("Problem.utility", value, partition, duration, energy)
    if math.isnan(found):
        raise InputError("Problem.utility", "a number", f"NaN for {(partition, duration, energy)}")
    return found


def overspent(budget: Budget, duration: float, energy: float) -> tuple[str, float]:
    """What the budget's constraint is called where it is broken, and its relative violation; 0 where it holds."""
    match budget:
        case EnergyBudget(joules):
            return "the energy exceeds the budget", _excess(energy, joules)
        case PowerBudget(watts):
            return "the power exceeds the budget", _excess(energy, watts * duration if watts < math.inf else watts)
        case Deadline(seconds):
            return "the round ends after the deadline", _excess(duration, seconds)
        case _:
            return "", 0.0


def _excess(value: float, limit: float) -> float:
    """Relative excess of a value over its limit."""
    if value <= limit:
        return 0.0
    return value / limit - 1.0 if limit > 0.0 else math.inf


def _utility(utility: Any) -> UtilityFunction:
    if utility is None:
        return ReplicaRate()
    if isinstance(utility, str):
        return UTILITIES[choice("Problem.utility", utility, tuple(UTILITIES))]
    if not callable(utility):
        refuse("Problem.utility", "None, a name or a callable (partition, duration, energy)", utility)
    result: UtilityFunction = utility
    return result
