"""A run on disk: parameters, history and settings as one safetensors file, written whole or not at all, no pickle.

The file's metadata has a JSON text with everything that is no tensor, and a SHA-256 of that text and all tensors.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fedopt.checks import InputError
from fedopt.disk import check_parts, read_limited, replace_file
from fedopt.training.algorithm import Server
from fedopt.training.contents import state_of
from fedopt.training.state import TrainingState

FORMAT, VERSION = "fedopt-training", 1
LIMIT = 2 * 2**30  # bytes of a checkpoint
_HEADER = 256 * 2**20  # bytes of its JSON texts


def write_checkpoint(path: str | PathLike[str], state: TrainingState, settings: Mapping[str, Any]) -> Path:
    """Put the state and the run's settings on disk; an old file stays until the new one is whole. Raises OSError."""
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.server.parameters.items()}
    content = {
        "settings": settings,
        "round": state.round,
        "server": {"round": state.server.round, "names": list(tensors), "extra": state.server.extra},
        "history": state.history.text(),
        "assignment": None if state.assignment is None else state.assignment.tolist(),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = _digest(text, tensors)
    metadata = {"format": FORMAT, "version": str(VERSION), "sha256": digest, "content": text}
    return replace_file(path, save(tensors, metadata))


def read_checkpoint(
    path: str | PathLike[str],
    settings: Mapping[str, Any],
    *,
    begun: Server,
    clients: int,
    types: int,
    timed: bool = True,
) -> TrainingState:
    """Read a state back for a run with the same settings.

    begun : the server before the run's first round. timed : whether the run has a clock.

    Raises InputError where the file is no checkpoint, is damaged, belongs to a run with other settings (which one, what
    it is here and what it was there), or says what cannot be of such a run; OSError where it cannot be read.
    """
    where = str(Path(path))
    raw = read_limited(path, LIMIT)
    content, tensors = _opened(where, raw)
    try:
        _same(where, settings, content["settings"])
        return state_of(where, content, tensors, begun=begun, clients=clients, types=types, timed=timed)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(where, "a complete checkpoint", f"{type(error).__name__}: {error}"[:200]) from None


def _opened(where: str, raw: bytes) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The content and the tensors of a file whose checksum holds."""
    metadata = _metadata(where, raw)
    if metadata.get("format") != FORMAT:
        raise InputError(where, f"a {FORMAT} file", "something else")
    if metadata.get("version") != str(VERSION):
        expected = f"{VERSION}, the version this fedopt reads"
        raise InputError(f"{where}: version", expected, repr(metadata.get("version"))[:80])
    text = metadata.get("content")
    try:
        tensors = load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise InputError(where, "a safetensors file", str(error)[:200]) from None
    if not isinstance(text, str) or metadata.get("sha256") != _digest(text, tensors):
        raise InputError(f"{where}: sha256", "the checksum of the content", "another: the file is damaged")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, "a complete checkpoint", str(error)[:200]) from None
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise InputError(where, "a complete checkpoint", "one without settings")
    return content, tensors


def _metadata(where: str, raw: bytes) -> dict[str, Any]:
    """The texts in a safetensors file's header: eight bytes of its length, then JSON."""
    size = struct.unpack("<Q", raw[:8])[0] if len(raw) >= 8 else 0
    if not 2 <= size <= min(len(raw) - 8, _HEADER):
        raise InputError(where, "a safetensors file", f"{len(raw):,} bytes that are none")
    text = raw[8 : 8 + size]
    check_parts(where, text)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, "a safetensors file", str(error)[:200] or "too deep nesting") from None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _same(where: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than the run began with."""
    wanted = json.loads(json.dumps(wanted))  # as the file has them: tuples are lists there
    for name in {**wanted, **found}:  # in the run's order: what decides others, such as the seed, before them
        mine, theirs = wanted.get(name), found.get(name)
        if mine != theirs:
            hint = "another run began with it: use another file, or its settings"
            raise InputError(f"{where}: {name}", f"{mine!r}"[:200], f"{theirs!r}"[:200] + f" ({hint})")


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
