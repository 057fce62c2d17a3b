"""Which engine simulates the clients: by name, or ``auto``."""

from __future__ import annotations

import torch

from fedopt.checks import InputError, choice
from fedopt.training.engines.sidebyside import possible
from fedopt.training.engines.stacked import height
from fedopt.training.engines.work import Done, Engine, Work
from solvers.lookup import Methods
from solvers.threads import thread_count

ENGINES: Methods[type[Engine]] = Methods(
    "engine",
    {
        "sidebyside": ("fedopt.training.engines.sidebyside", ""),
        "plain": ("fedopt.training.engines.plain", ""),
        "stacked": ("fedopt.training.engines.stacked", ""),
        "recorded": ("fedopt.training.engines.recorded", ""),
    },
    "ENGINE",
)


_STACK = 4  # clients from which a stack is faster: docs/training.md has the measurement


def open_engine(name: str, work: Work, done: Done | None = None) -> Engine:
    """The engine ``name``, or what chosen() says for "auto"; to be closed, or used in a ``with``.

    done : called with each update as its client finishes. Raises InputError for no such engine, and for a GPU that is
    not there.
    """
    choice("engine", name, ("auto", *ENGINES.names))
    if work.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device", "'cpu': torch finds no GPU here", "'cuda'")
    return ENGINES.get(chosen(work) if name == "auto" else name)(work, done)  # type: ignore[call-arg]


def chosen(work: Work) -> str:
    """The engine of "auto": never a choice that changes bits from one computer's number of cores to another's.

    "stacked" where four clients or more of every kind fit a stack, which the kinds and the device decide. Else on a GPU
    "recorded", and on the CPU "sidebyside" where there are two cores and two clients, or "plain", of the same bits.
    """
    if all(height(kind, work.device) >= _STACK for kind in work.kinds):
        return "stacked"
    if work.device == "cuda":
        return "recorded"
    several = min(thread_count(), len(work.split)) > 1
    return "sidebyside" if several and possible() else "plain"
