"""States in memory that a process and its forks share: one writes, the other reads, and nothing is pickled."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

from fedopt.training.algorithm import Kind, State

_LINE = 64  # bytes: where an entry may begin, a multiple of every dtype's size


class Shared:
    """Room for one state at a time, of any of the kinds; made before the fork, it goes with the last who has it.

    entries : by kind, then by name, views of the memory, those of one kind behind each other, of all kinds over each
    other. Names, shapes, dtypes and order are those of the module's state_dict(), whatever is written.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        states = [kind.module.state_dict() for kind in kinds]
        size = max(sum(map(_room, state.values())) for state in states)
        memory = torch.frombuffer(mmap.mmap(-1, max(size, 1)), dtype=torch.uint8)
        self.entries = [_entries(memory, state) for state in states]

    def write(self, kind: int, state: State) -> None:
        """Copy a state into the memory. Raises ValueError where its names or shapes are not the kind's."""
        entries = self.entries[kind]
        if state.keys() != entries.keys() or any(state[name].shape != each.shape for name, each in entries.items()):
            expected, found = ({name: tuple(value.shape) for name, value in each.items()} for each in (entries, state))
            raise ValueError(f"state of kind {kind}: expected {expected}, found {found}")
        for name, value in state.items():
            entries[name].copy_(value)

    def read(self, kind: int) -> dict[str, Tensor]:
        """The state of a kind that lies there, copied: every tensor has memory of its own."""
        return {name: value.clone() for name, value in self.entries[kind].items()}


def _room(value: Tensor) -> int:
    """The bytes from an entry to the next."""
    return -(-value.nbytes // _LINE) * _LINE


def _entries(memory: Tensor, state: State) -> dict[str, Tensor]:
    """Views of the memory in the shapes and dtypes of a state."""
    entries, start = {}, 0
    for name, value in state.items():
        entries[name] = memory[start : start + value.nbytes].view(value.dtype).view(value.shape)
        start += _room(value)
    return entries
