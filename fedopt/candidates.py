"""What is searched, as level 1 sees it: the partitions, what each is worth, and the fleet under every type."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from fedopt.checks import FloatArray, InputError
from fedopt.clients import Clients
from fedopt.problem import Deadline, LeastEnergy, Problem, ReplicaRate, ShortestRound
from fedopt.rounds import rows_of
from fedopt.submodels import IntArray, replicas, too_many

if TYPE_CHECKING:
    from solvers.menu import Menu

UNLISTED = ("exact", "sorted")  # methods that need no list of the partitions


def candidates_of(problem: Problem, matching: str) -> IntArray:
    """The partitions to search, (P, K); none where they are too many to list and the method can do without a list.

    Raises InputError where it cannot, saying why.
    """
    if problem.partitions is not None or not too_many(len(problem.clients), problem.submodels):
        return problem.candidates()
    why = _needs_a_list(problem, matching)
    if not why:
        return np.empty((0, len(problem.submodels)), dtype=np.int64)
    try:
        return problem.candidates()
    except InputError as error:
        raise InputError(error.field, f"{error.expected}; {why}", error.found) from None


def _needs_a_list(problem: Problem, matching: str) -> str:
    """Why a method has to look at every partition; empty where it can bound those that it does not look at."""
    if matching not in UNLISTED or problem.access is not None:
        own = " on the clients' own channels" if problem.access is not None else ""
        return f"only {' and '.join(map(repr, UNLISTED))}{own} need no list"
    if isinstance(problem.utility, ReplicaRate | ShortestRound):
        return ""
    if isinstance(problem.utility, LeastEnergy):
        return "" if isinstance(problem.budget, Deadline) else "least_energy needs no list under a Deadline only"
    return "a callable says nothing of partitions that it is not asked about: replica_rate and shortest_round do"


def gains_of(problem: Problem, counts: IntArray) -> FloatArray | None:
    """g of every partition where the utility is g / T or orders like it, None for any other."""
    if isinstance(problem.utility, ReplicaRate):
        gains: FloatArray = replicas(counts, problem.submodels) ** problem.utility.beta
        return gains
    return np.ones(counts.shape[0]) if isinstance(problem.utility, ShortestRound) else None


def menu_of(problem: Problem, clients: Clients) -> Menu:
    """The fleet's rows under every type; types are ordered by FLOPs, then by bits sent, then by bits received."""
    from solvers.menu import Menu  # brings numba along: not before something is solved

    types = problem.submodels
    by_size = sorted(range(len(types)), key=lambda k: (types[k].flops, types[k].upload_bits, types[k].download_bits))
    size = np.empty(len(types))
    size[by_size] = np.arange(len(types), dtype=np.float64)
    rows = [rows_of(clients, clients.workload(types, np.int64(k))) for k in range(len(types))]
    return Menu(
        rows=tuple(dataclasses.replace(each, snr=rows[0].snr) for each in rows),  # the same for all: kept once
        size=size,
        quality=np.asarray(clients.channel_gain),
        weights=np.array([0.0 if s.is_idle else 1.0 / s.cover for s in types]),
        covers=np.array([s.cover for s in types], dtype=np.int64),
    )
