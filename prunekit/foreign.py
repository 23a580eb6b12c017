"""Weights that were made elsewhere, read without running anything that is in the file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from prunekit.errors import InputError
from prunekit.sparse import load_sparse
from prunekit.weights import effective, unprefixed

_ADVICE = "save model.state_dict() with safetensors.torch.save_file instead"
_REFUSED = re.compile(r"GLOBAL (\S+)")
"""How torch names code in a pickle."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return parameters and buffers by name, dense, on the CPU, from a checkpoint; its content tells what it is.

    That is a safetensors file, one of :func:`prunekit.save_sparse`, or a state dict saved by torch, perhaps with other
    things beside it, as in ``{"state_dict": …, "epoch": 3}``. ``module.``, ``_orig_mod.`` and ``model.`` are taken off
    where all names begin with it; ``weight_orig`` and ``weight_mask`` of torch.nn.utils.prune become ``weight``.
    Raises InputError where the file is missing or damaged, holds code (which is never run) or a whole model, no state
    dict, or several.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    safe = start.endswith(b"{")  # behind eight bytes of length
    state = effective(load_sparse(path) if safe else _state_dict(path, _saved_by_torch(path)))
    return {short: state[name].detach() for short, name in unprefixed(state).items()}


def _saved_by_torch(path: Path) -> object:
    """Return what torch.save wrote, as far as it is tensors, numbers, strings and containers of these."""
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):  # by name, it would go by the suffix
            content: object = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = _REFUSED.search(str(error))
        what = f"code or objects of Python ({found[1]})" if found else "what torch did not save so, or is damaged"
        raise InputError(f"{path}: holds {what}, and prunekit runs no code from files: {_ADVICE}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = "a TorchScript archive" if "TorchScript" in str(error) else "no checkpoint, or cut short"
        raise InputError(f"{path}: is {reason}: {_ADVICE}") from error
    return content


def _state_dict(path: Path, content: object) -> Mapping[str, Tensor]:
    """Return the one state dict that ``content`` is or has directly in it."""
    if _is_state(content):
        return content  # type: ignore[return-value]
    entries = content if isinstance(content, Mapping) else {}
    found = {str(key): value for key, value in entries.items() if _is_state(value)}
    if len(found) > 1:
        raise InputError(
            f"{path}: holds several state dicts ({', '.join(found)}): save the one that is meant by itself"
        )
    if not found:
        raise InputError(f"{path}: holds {_described(content)}: expected names and tensors, a state dict")
    return next(iter(found.values()))


def _is_state(value: object) -> bool:
    """Whether a value is tensors by name."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())
    )


def _described(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    kinds = [f"{name} ({type(each).__name__})" for name, each in content.items() if not isinstance(each, Tensor)]
    return ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "") if kinds else "nothing"
