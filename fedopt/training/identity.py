"""What a run is, setting by setting, as a checkpoint keeps it: it goes on only where all of them are the same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from fedopt.clients import FIELDS
from fedopt.training.clock import Clock, Untimed
from fedopt.training.data import Dataset
from fedopt.training.policies import Policy
from fedopt.training.splits import Split


def algorithm_settings(algorithm: Any) -> dict[str, Any]:
    """The algorithm's name, its local training and, where it is a dataclass, its other fields."""
    return {"algorithm": algorithm.name, **_fields("algorithm", algorithm), **_fields("local", algorithm.local)}


def clock_settings(clock: Clock | Untimed, policy: Policy) -> dict[str, Any]:
    """The policy, and what it is about: the problem with its fleet column by column, the fading, the methods."""
    rules = {f"policy.{name}": getattr(policy, name) for name in ("name", "deadline", "share", "infeasible")}
    if isinstance(clock, Untimed):
        return {"problem": None, **rules}
    problem = clock.problem
    return {
        "problem": "given",
        **rules,
        "fading": clock.fading,
        **{f"solve.{name}": value for name, value in clock.settings.items()},
        **{f"clients.{f.name}": digest(getattr(problem.clients, f.name)) for f in FIELDS},
        "submodels": [repr(each) for each in problem.submodels],
        "budget": repr(problem.budget),
        "partitions": None if problem.partitions is None else digest(problem.partitions),
        "utility": _plain(problem.utility),
        "access": repr(problem.access),
    }


def data_settings(data: Dataset, split: Split, model: nn.Module) -> dict[str, Any]:
    """Samples, who has which of them, and the model the run starts from."""
    halves = {"train": data.train, "test": data.test}
    return {
        "data": data.name,
        **{f"data.{half}": digest(samples.images, samples.labels) for half, samples in halves.items()},
        "split": digest(*split.clients),
        "model": digest(*model.state_dict().values()),
    }


def engine_settings(engine: Any, device: str) -> dict[str, Any]:
    """What decides the bits of a client's training: all engines but "stacked" and "recorded" have the same."""
    own = callable(engine) or engine in ("stacked", "recorded")
    return {"engine": _plain(engine) if own else "one client at a time", "device": device}


def digest(*arrays: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of some arrays or tensors, their shapes and types included."""
    total = hashlib.sha256()
    for array in arrays:
        values = array.detach().cpu().contiguous().numpy() if isinstance(array, Tensor) else np.ascontiguousarray(array)
        total.update(f"{values.dtype.str}{values.shape}".encode())
        total.update(values.data.cast("B") if values.size else b"")
    return total.hexdigest()[:16]


def _fields(owner: str, value: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(value):
        return {}
    names = [each.name for each in dataclasses.fields(value) if each.name not in ("name", "local")]
    return {f"{owner}.{name}": _plain(getattr(value, name)) for name in names}


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has not by its type, and the fields of a dataclass."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | Tensor):
        return digest(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__qualname__, **_fields("", value)}
    return str(getattr(value, "__qualname__", type(value).__qualname__))
