"""Files with a right checksum around wrong content: what a fuzzer has to be given to get past the checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from loaders import LOADERS, SETTINGS
from test_corrupted import damaged

from fedopt import files

READERS = ("record", "checkpoint")
WORDS = ("", "0", "nan", "x" * 300, "\ud800", "=1", "../a", "9" * 400)
NUMBERS = (0, -1, 1, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308, True, False)


def record(content: Any) -> bytes:
    """A record of an answer with this content."""
    body = json.dumps(content)
    digest = files._digest(files._canonical(json.loads(body, object_pairs_hook=files._unique)))
    text = f'{{"format":"{files.FORMAT}","version":{files.VERSION},"sha256":"{digest}","content":{body}}}\n'
    return text.encode()


def checkpoint(content: Any, tensors: Mapping[str, Any]) -> bytes:
    """A checkpoint with this content and these tensors."""
    from safetensors.torch import save

    from fedopt.training.checkpoint import FORMAT, VERSION, _digest

    text = json.dumps(content)
    metadata = {"format": FORMAT, "version": str(VERSION), "sha256": _digest(text, tensors), "content": text}
    return save(dict(tensors), metadata)


def read(name: str, raw: bytes) -> tuple[Any, dict[str, Any]]:
    """The content of a file, and its tensors; of one that is none, those of the good one."""
    try:
        if name == "record":
            return json.loads(raw)["content"], {}
        from safetensors.torch import load

        from fedopt.training.checkpoint import _metadata

        return json.loads(_metadata("", raw)["content"]), load(raw)
    except Exception:  # whatever the fuzzer has made of it
        return read(name, LOADERS[name].good())


def changed(name: str) -> Callable[[bytes, int, int], bytes]:
    """libFuzzer's custom mutator for a reader of sealed files: one part or more changes, and the checksum with it.

    Every other file is the good one, changed once more, as most checks want the rest to be right. One in sixteen is
    damaged as it is, checksum and all.
    """
    good = LOADERS[name].good()

    def mutator(raw: bytes, limit: int, seed: int) -> bytes:
        chance = np.random.default_rng(seed)
        try:
            if not chance.integers(16):
                return damaged(raw, chance)[:limit]
            content, tensors = read(name, good if chance.integers(2) else raw)
            for _ in range(chance.integers(1, 4)):
                if tensors and not chance.integers(4):
                    _tensor(tensors, chance)
                else:
                    content = _part(content, chance)
            if name == "checkpoint" and isinstance(content, dict) and chance.integers(8):
                content["settings"] = SETTINGS  # another run's is read no further
            found = record(content) if name == "record" else checkpoint(content, tensors)
        except (ValueError, OverflowError, RecursionError):  # what JSON, a double or a checksum has no text for
            return raw
        return found if len(found) <= limit else raw

    return mutator


def _part(content: Any, chance: np.random.Generator) -> Any:
    """The content with one part, however deep, removed, doubled, renamed, or exchanged for another."""
    path, here = [], content
    while isinstance(here, dict | list) and here and (not path or chance.integers(4)):
        key = _one(list(here) if isinstance(here, dict) else range(len(here)), chance)
        path.append((here, key))
        here = here[key]
    if not path:
        return {}
    owner, key = path[-1]
    how = chance.integers(8)
    if how == 0:
        del owner[key]
    elif how == 1 and isinstance(owner, list):
        owner.insert(key, here)
    elif how == 2 and isinstance(owner, dict):
        owner[_one(WORDS, chance)] = owner.pop(key)
    elif how == 3:
        owner[key] = json.loads(json.dumps(_one(path, chance)[0]))  # the table or list around it, or one further out
    else:
        owner[key] = _value(here, chance)
    return content


def _value(value: Any, chance: np.random.Generator) -> Any:
    """Another value, of the same kind most times."""
    if isinstance(value, str) and value and chance.integers(3):
        return damaged(value.encode(errors="replace"), chance).decode(errors="replace")
    if isinstance(value, int | float) and chance.integers(3):
        return _one([-value, value + 1, value * 2, value / 2, value * 1e300, float(value), *NUMBERS], chance)
    return _one([None, [], {}, [value], str(value), {"float": "inf"}, {"float": value}, *WORDS, *NUMBERS], chance)


def _one(values: Sequence[Any], chance: np.random.Generator) -> Any:
    return values[int(chance.integers(len(values)))]


def _tensor(tensors: dict[str, Any], chance: np.random.Generator) -> None:
    """Another shape, type, name or value of a tensor, or none of it."""
    import torch

    name, how = _one(list(tensors), chance), chance.integers(6)
    tensor = tensors.pop(name)
    if how == 1:
        tensors[_one(WORDS, chance)] = tensor
    elif how == 2:
        tensors[name] = tensor.flatten()
    elif how == 3:
        tensors[name] = tensor.to(_one([torch.float64, torch.float16, torch.int64, torch.bool, torch.uint8], chance))
    elif how == 4:
        tensors[name] = tensor[:0] if tensor.ndim else tensor
    elif how == 5:
        tensors[name] = tensor * float(_one(["nan", "inf", "-1"], chance))
