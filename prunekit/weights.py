"""State dicts: what of a model is kept under which name, and how one is loaded into another model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from prunekit.errors import InputError
from prunekit.wrappers import COMPILED, plain_name, unwrapped

_WRAPPINGS = ("module.", f"{COMPILED}.", "model.")
"""Prefixes of all names of a state dict that was taken of a wrapped model."""
_ORIGINAL, _MASK = "_orig", "_mask"
"""What torch.nn.utils.prune calls the two tensors that a weight is made of."""
_OPTIONAL = "num_batches_tracked"
"""Checkpoints older than torch 0.4.1 have none, and torch loads them all the same."""
_SHOWN = 3
_OF_HEAD = 2
"""Parameters that depend on the number of classes: weight and bias of the last layer."""


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by plain name, detached: those of a model that DataParallel,
    DistributedDataParallel or torch.compile wraps; with masks of torch.nn.utils.prune the effective weights.

    Raises InputError where something in the state dict is no tensor, or has no values yet.
    """
    state: dict[str, Tensor] = {}
    for name, value in unwrapped(model).state_dict().items():
        if not isinstance(value, Tensor):
            raise InputError(f"the model's state holds {name}, a {type(value).__name__}: expected tensors alone")
        if is_lazy(value) or value.is_meta:
            raise InputError(f"{name} has no values yet: run one batch through the model first")
        state[plain_name(name)] = value.detach()
    return effective(state)


def effective(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state with every ``weight_orig`` and ``weight_mask`` of torch.nn.utils.prune as the ``weight``."""
    masked = {name.removesuffix(_MASK) for name in state if name.endswith(_MASK)}
    masked = {name for name in masked if name + _ORIGINAL in state and name not in state}
    result = {}
    for name, tensor in state.items():
        if name.endswith(_ORIGINAL) and (plain := name.removesuffix(_ORIGINAL)) in masked:
            result[plain] = tensor * state[plain + _MASK].to(tensor.dtype)
        elif not (name.endswith(_MASK) and name.removesuffix(_MASK) in masked):
            result[name] = tensor
    return result


def unprefixed(names: Iterable[str]) -> dict[str, str]:
    """Return the names by what is left of them without ``module.``, ``_orig_mod.``, ``model.``, where all have it."""
    short = {name: name for name in names}
    while prefix := next((each for each in _WRAPPINGS if short and all(key.startswith(each) for key in short)), None):
        short = {key.removeprefix(prefix): name for key, name in short.items()}
    return short


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load ``state``, read from ``path``, into the model: all of it, or, with InputError, nothing.

    Wrappers and prefixes of either side do not matter. Shapes must be the same, and no value may lose precision.
    """
    inner = unwrapped(model)
    full = inner.state_dict()
    own = unprefixed(map(plain_name, full))
    names = {short: name for short, name in zip(own, full, strict=True) if isinstance(full[name], Tensor)}
    given = {short: state[name] for short, name in unprefixed(state).items()}
    if lazy := [names[key] for key in names if is_lazy(full[names[key]]) or full[names[key]].is_meta]:
        raise InputError(f"{lazy[0]} has no values yet: run one batch through the model before weights are loaded")
    absent = [key for key in names if key not in given]
    missing = [key for key in absent if not key.endswith(_OPTIONAL)]
    unexpected = [key for key in given if key not in names]
    both = {key: (tensor, full[names[key]]) for key, tensor in given.items() if key in names}
    shapes = {key: (list(a.shape), list(b.shape)) for key, (a, b) in both.items() if a.shape != b.shape}
    types = {key: (a.dtype, b.dtype) for key, (a, b) in both.items() if _loses(a.dtype, b.dtype)}
    problems = [
        _counted("missing", missing),
        _counted("unexpected", unexpected),
        _counted("of another shape", [f"{key} {a}, not {b}" for key, (a, b) in shapes.items()]),
        _counted("of a type that loses precision", [f"{key} {a}, not {b}" for key, (a, b) in types.items()]),
    ]
    if any(problems):
        hint = _hint(absent, unexpected, shapes)
        raise InputError(f"{path}: does not fit the model: {'; '.join(filter(None, problems))}{hint}")
    full.update({names[key]: tensor for key, tensor in given.items()})  # with the versions that some models look for
    inner.load_state_dict(full)


def _loses(given: torch.dtype, own: torch.dtype) -> bool:
    """Whether some values of a type are not the same in the other one."""
    if given.is_floating_point and own.is_floating_point:
        one, other = torch.finfo(given), torch.finfo(own)
        return one.eps < other.eps or one.max > other.max
    return given != own and torch.promote_types(given, own) != own


def _counted(what: str, names: list[str]) -> str:
    """Return how many there are and the first three, or nothing."""
    more = ", …" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})" if names else ""


def _hint(missing: list[str], unexpected: list[str], shapes: Mapping[str, tuple[list[int], list[int]]]) -> str:
    """Return what is probably the matter, or nothing."""
    if any(name.removesuffix(_ORIGINAL) + _MASK in missing for name in missing if name.endswith(_ORIGINAL)):
        return ": the model has masks of torch.nn.utils.prune; remove them before weights are loaded"
    for longer, shorter, whose in ((missing, unexpected, "model's"), (unexpected, missing, "file's")):
        first = shorter[0] if shorter else ""
        prefix = next((name.removesuffix(first) for name in longer if first and name.endswith(first)), "")
        if prefix and {prefix + name for name in shorter} <= {*longer}:
            return f": only the {whose} names begin with {prefix!r}"
    counts = {(a[0], b[0]) for a, b in shapes.values() if a and b and a[1:] == b[1:]}
    if len(counts) == 1 and len(shapes) <= _OF_HEAD and not missing and not unexpected:
        ((given, own),) = counts
        return f": {given} classes in the file, {own} in the model?"
    return ""
