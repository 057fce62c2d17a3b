"""States in memory that a process and its forks share: one writes, the other reads, and nothing is pickled."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedopt.training.algorithm import State

_LINE = 64  # bytes: where an entry may begin, a multiple of every dtype's size


class Shared:
    """Room for one state at a time, of any of the modules'; made before the fork, gone with the last who has it.

    Names, shapes, dtypes and order are those of a module's state_dict(), whatever is written.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        states = [module.state_dict() for module in modules]
        size = max(sum(_room(value) for value in state.values()) for state in states)
        memory = torch.frombuffer(mmap.mmap(-1, max(size, 1)), dtype=torch.uint8)
        self.entries = [_entries(memory, state) for state in states]  # by module, then by name: they lie over each other

    def write(self, which: int, state: State) -> None:
        """Copy a state of module ``which`` into the memory. Raises ValueError where names or shapes differ."""
        entries = self.entries[which]
        expected, found = ({name: tuple(value.shape) for name, value in each.items()} for each in (entries, state))
        if found != expected:
            raise ValueError(f"a state of module {which}: expected {expected}, found {found}")
        for name, value in state.items():
            entries[name].copy_(value)

    def read(self, which: int) -> dict[str, Tensor]:
        """The state of module ``which`` that lies there, copied: tensors of their own."""
        return {name: value.clone() for name, value in self.entries[which].items()}


def _room(value: Tensor) -> int:
    """The bytes from an entry to the next."""
    return -(-value.nbytes // _LINE) * _LINE


def _entries(memory: Tensor, state: State) -> dict[str, Tensor]:
    """Views of the memory in the shapes and dtypes of a state, one behind the other."""
    entries, start = {}, 0
    for name, value in state.items():
        entries[name] = memory[start : start + value.nbytes].view(value.dtype).view(value.shape)
        start += _room(value)
    return entries
