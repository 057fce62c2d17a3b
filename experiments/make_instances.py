"""Makes the instance library, tests/instances: draws instances, proves their answers, notes the solver's passes.

    PYTHONPATH=.:tests python -m experiments.make_instances [FAMILY ...]

Where an answer comes from does not matter, for it is then proved (certify.py): for one matching it is the 60-digit
oracle's of the tests, for types and shared bandwidth the solver's own. What cannot be proved is left out and counted.
Needs python-flint (extra ``instances``).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from fleets import Instance, decades, make, mnist_types
from flint import arb
from library import FAMILIES, Case, write
from mpmath import mp, mpf
from oracle import Fleet as Oracle

import fedopt
from experiments.certified_sharing import shared_bounds
from experiments.certify import Client, Fleet, above, decimal
from fedopt import Deadline, EnergyBudget, PowerBudget, TimePrice

HAIRS = (20, 18, 16)  # half the relative width of a proved interval is 10 to minus one of these
KINDS = ("energy", "power", "price", "deadline")
Draft = tuple[fedopt.Clients, fedopt.Workload, Any]


def budget_at(kind: str, fleet: Oracle, T: Any) -> Any:
    """The budget of a kind, rounded to a double, that leads to about the duration T."""
    if kind == "deadline":
        return Deadline(float(T))
    energy, price = fleet.at(T)
    amount = {"energy": energy, "power": energy / T, "price": price}[kind]
    cls: Any = {"energy": EnergyBudget, "power": PowerBudget, "price": TimePrice}[kind]
    return cls(float(amount))


def drawn(family: str, seed: int) -> Draft | None:
    """An instance of levels 2 and 3; None where there is nothing to decide."""
    rng = np.random.default_rng([FAMILIES.index(family), seed])
    kind, size = KINDS[seed % 4], int(rng.integers(1, 9))
    source = {"typical": "typical", "extreme": "extreme"}.get(
        family, ("typical", "wide", "powers", "bounds")[seed // 4 % 4]
    )
    instance = make(source, 7000 + seed, size)
    if family == "ties":
        instance = tied(rng, instance)
    fleet = Oracle(instance.clients, instance.work)
    if family == "near_least_duration":
        T = fleet.t_min * (1 + mpf(10) ** rng.uniform(-12, -4)) if seed % 8 else fleet.t_min * mpf("1.0000000001")
    elif family == "near_least_energy":
        return near_least_energy(rng, instance, fleet)
    else:
        T = fleet.t_min * (1 + mpf(10) ** rng.uniform(-2, 1.5))
    energy, price = fleet.at(T)
    if price <= 0 or energy <= fleet.e_inf * (1 + mpf("1e-6")):
        return None
    return instance.clients, instance.work, budget_at(kind, fleet, T)


def tied(rng: np.random.Generator, instance: Instance) -> Instance:
    """Clients in identical groups: every decision ties with others', and so do their bounds."""
    index = np.sort(rng.integers(0, len(instance.clients), 2 + len(instance.clients)))
    columns = {name: getattr(instance.work, name)[index] for name in ("cycles", "upload_bits", "download_bits")}
    return Instance(instance.clients.take(index), fedopt.Workload(**columns), instance.duration)


def near_least_energy(rng: np.random.Generator, instance: Instance, fleet: Oracle) -> Draft | None:
    """An energy budget a hair above E_inf."""
    if fleet.energy(fleet.t_min) < fleet.e_inf * (1 + mpf("1e-2")):
        return None
    margin = mpf(10) ** rng.uniform(-9, -3)
    return instance.clients, instance.work, EnergyBudget(float(fleet.e_inf * (1 + margin)))


def around(value: Any, hair: int) -> tuple[str, str]:
    """Decimals of 26 digits, a relative 10^-hair below and above a value."""
    width = mpf(10) ** -hair
    low, high = value * (1 - width), value * (1 + width)
    return mp.nstr(low, 26, strip_zeros=False), mp.nstr(high, 26, strip_zeros=False)


def proved(name: str, draft: Draft) -> Case | None:
    """The oracle's answer, proved; None where no interval could be."""
    clients, work, budget = draft
    fleet = Fleet(clients, work)
    case = Case(name, clients, work, budget, "duration", ("", ""), 1.0, 0)
    if isinstance(budget, Deadline):
        found = fleet.at(arb(budget.seconds))
        if found is None:
            return None
        value = mpf(found[0].mid().str(40, radius=False))
        for bounds in (around(value, hair) for hair in HAIRS):
            if decimal(bounds[0]) < found[0] < decimal(bounds[1]):
                condition = budget.seconds * float(found[1].mid()) / float(found[0].mid())
                return replace(case, quantity="energy", bounds=bounds, condition=max(1.0, condition))
        return None
    answer = Oracle(clients, work).schedule(budget)
    for bounds in (around(answer.duration, hair) for hair in HAIRS):
        low, high = (decimal(bound) for bound in bounds)
        if fleet.proves(budget, low, high):
            return replace(case, bounds=bounds, condition=fleet.condition(budget, high))
    return None


def single(family: str) -> Iterator[Case | None]:
    """Instances of one matching, with the passes that the solver took."""
    for seed in itertools.count():
        draft = drawn(family, seed)
        if draft is not None:
            yield noted(proved(f"{family}-{seed}", draft))


def noted(case: Case | None) -> Case | None:
    """The same with the solver's passes."""
    return case if case is None else replace(case, passes=int(case.solve().stats["passes"]))


def types() -> Iterator[Case | None]:
    """Small fleets with types to choose from: the best of all matchings of all partitions, replicas per second."""
    for seed in itertools.count():
        rng = np.random.default_rng([50, seed])
        size = int(rng.integers(2, 6))
        clients = make("typical", 9000 + seed, size).clients
        submodels = mnist_types()[: 2 + seed % 2]
        fastest = fedopt.solve(fedopt.Problem(clients, submodels, budget=EnergyBudget(np.inf)))
        share = rng.uniform(0.3, 0.9)
        budget = (EnergyBudget, PowerBudget)[seed % 2](
            share * fastest.energy / (1.0 if seed % 2 == 0 else fastest.duration)
        )
        problem = fedopt.Problem(clients, submodels, budget=budget)
        yield noted(best_of_all(f"types-{seed}", problem, fedopt.solve(problem)))


def best_of_all(name: str, problem: fedopt.Problem, found: fedopt.Solution) -> Case | None:
    """Every matching of every partition is refuted at the duration where its utility would reach the best's.

    The cycles of these types are exact in doubles, as the products of two whole numbers.
    """
    if found.assignment is None or found.partition is None:
        return None
    clients, submodels = problem.clients, problem.submodels
    work = clients.workload(submodels, found.assignment)
    case = proved(name, (clients, work, problem.budget))
    if case is None:
        return None
    low = decimal(case.bounds[0])
    best = sum((arb(1) / s.cover for s in (submodels[k] for k in found.assignment)), arb(0))
    rows = [[Client(clients, clients.workload(submodels, np.full(len(clients), k)), n) for k in range(len(submodels))]
            for n in range(len(clients))]  # fmt: skip
    for partition in problem.candidates():
        replicas = sum((arb(int(c)) / s.cover for c, s in zip(partition, submodels, strict=True)), arb(0))
        T = low * replicas / best
        energies = [[row.least(T) for row in client] for client in rows]
        allowed = (
            arb(problem.budget.joules) if isinstance(problem.budget, EnergyBudget) else arb(problem.budget.watts) * T
        )
        for matching in itertools.product(range(len(submodels)), repeat=len(clients)):
            if not np.array_equal(np.bincount(matching, minlength=len(submodels)), partition):
                continue
            chosen = [energies[n][k] for n, k in enumerate(matching)]
            if None not in chosen and not above(sum((each[0] for each in chosen if each is not None), arb(0)), allowed):
                return None
    return replace(case, work=None, types=submodels, partition=tuple(int(c) for c in found.partition))


def shared() -> Iterator[Case | None]:
    """Two to four clients on one uplink, powers below their greatest."""
    for seed in itertools.count():
        rng = np.random.default_rng([60, seed])
        size = int(rng.integers(2, 5))
        clients = make("typical", 9500 + seed, size).clients.replace(power_max=10.0)
        work = clients.workload(mnist_types(), rng.integers(0, 4, size))
        access = fedopt.SharedBandwidth(float(round(10 ** rng.uniform(5.5, 6.7))))
        least = fedopt.schedule(clients, work, EnergyBudget(np.inf), access=access)
        later = fedopt.schedule(
            clients, work, Deadline(least.duration * (1 + float(decades(rng, -0.5, 0.7)))), access=access
        )
        budget = EnergyBudget(later.energy)
        found = fedopt.schedule(clients, work, budget, access=access)
        bounds, condition = shared_bounds(clients, work, access.hertz, budget.joules, found)
        case = Case(f"shared-{seed}", clients, work, budget, "duration", bounds, condition, 0, access=access)
        yield noted(case) if bounds[0] else None


COUNTS = dict(zip(FAMILIES, (40, 30, 30, 40, 20, 25, 15), strict=True))


def main(families: list[str]) -> None:
    for family in families or FAMILIES:
        source = {"types": types, "shared": shared}.get(family, lambda f=family: single(f))()
        cases: list[Case] = []
        unproved = 0
        for case in source:
            if case is None:
                unproved += 1
            else:
                cases.append(case)
            if len(cases) == COUNTS[family] or unproved == COUNTS[family]:
                break
        write(family, cases)
        print(f"{family}: {len(cases)} proved, {unproved} left out as unproved", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
