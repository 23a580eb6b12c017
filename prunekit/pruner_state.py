"""What a pruner writes down to go on later: plain types and tensors, checked before anything is taken from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from prunekit import masks as masking
from prunekit.errors import InputError, describe_problem
from prunekit.protocols import Options, Target
from prunekit.stages import as_recipe
from prunekit.updates import Update


class _Mask(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    shape: list[int]
    bits: Tensor


class _State(BaseModel):
    iteration: int = Field(ge=0)
    settings: dict[str, Any]
    updates: list[Update]
    masks: dict[str, _Mask]


def pack(
    iteration: int, settings: Mapping[str, Any], updates: Sequence[Update], targets: Sequence[Target]
) -> dict[str, Any]:
    """Return the state of a pruner; a mask takes a bit per weight."""
    return {
        "iteration": iteration,
        "settings": {name: _plain(value) for name, value in settings.items()},
        "updates": [asdict(update) for update in updates],
        "masks": {t.name: {"shape": list(t.mask.shape), "bits": masking.pack(t.mask)} for t in targets},
    }


def unpack(
    state: Mapping[str, Any], settings: Mapping[str, Any], targets: Sequence[Target]
) -> tuple[int, list[Update], dict[str, Tensor]]:
    """Return iteration, updates and masks by name.

    Raises InputError where the state is none of a pruner, or of one with other settings or parameters.
    """
    try:
        read = _State.model_validate(state)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = "".join(f"{piece}: " for piece in first["loc"])
        raise InputError(f"this is no state that a pruner returned: {key}{describe_problem(first)}") from None
    for name, value in settings.items():
        ours, theirs = _plain(value), read.settings.get(name)
        if ours != theirs:
            raise InputError(f"the state is of another pruner: its {name} is {_text(theirs)}, this one's {_text(ours)}")
    there = {name: mask.shape for name, mask in read.masks.items()}
    here = {target.name: list(target.mask.shape) for target in targets}
    for name in [*there, *here]:
        if there.get(name) != here.get(name):
            raise InputError(f"the state is of other parameters: {_difference(name, there.get(name), here.get(name))}")
    masks = {name: masking.unpack(mask.bits, mask.shape) for name, mask in read.masks.items()}
    return read.iteration, read.updates, masks


def unloaded(targets: Sequence[Target], masks: Mapping[str, Tensor]) -> int:
    """Return how many weights are zero because this pruner pruned them, and are kept by the ``masks`` to be loaded.

    0 where some of those have a value: then the model's weights have been loaded since.
    """
    lost = [(t.parameter, masks[t.name].to(t.mask.device) & ~t.mask) for t in targets]
    if any(bool(parameter.detach()[mask.to(parameter.device)].any()) for parameter, mask in lost):
        return 0
    return sum(int(torch.count_nonzero(mask)) for _, mask in lost)


def _plain(value: object) -> Any:
    """Return options as torch.load reads them again with ``weights_only=True``."""
    recipe = as_recipe(value) if isinstance(value, Options) else value
    return json.loads(json.dumps(recipe, default=str))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        options = ", ".join(f"{key}={each}" for key, each in value.items() if key != "name")
        return f"{value.get('name')} ({options})"
    return "unknown" if value is None else str(value)


def _difference(name: str, theirs: list[int] | None, ours: list[int] | None) -> str:
    if theirs is None:
        return f"it has no {name}, which this pruner prunes"
    if ours is None:
        return f"it has {name}, which this pruner does not prune"
    return f"its {name} is {theirs}, this one's {ours}"
