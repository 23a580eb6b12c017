"""What others wrap a model in: DistributedDataParallel, torch.compile, averages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from prunekit.errors import InputError, short

COMPILED = "_orig_mod"
"""Where the wrapper of torch.compile, whose class is slow to import, keeps the model."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, out of any nesting of wrappers. Raises InputError where it is none."""
    if not isinstance(model, nn.Module):
        raise InputError(_no_model(model))
    return _layers(model)[-1]


def _no_model(value: object) -> str:
    what = "a state dict" if isinstance(value, Mapping) else short(value)
    return f"the model is {what}: expected a torch.nn.Module"


def group_of(model: nn.Module) -> ProcessGroup | None:
    """Return the processes that DistributedDataParallel trains the model in; None where it is not wrapped in that."""
    for each in _layers(model):
        if isinstance(each, DistributedDataParallel):
            group: ProcessGroup = each.process_group
            return group
    return None


def _layers(model: nn.Module) -> list[nn.Module]:
    """Return the wrappers, the outermost first, and the model."""
    inner = model._modules.get(COMPILED)
    if isinstance(model, DistributedDataParallel | DataParallel | AveragedModel):
        inner = model.module
    return [model] if inner is None else [model, *_layers(inner)]


def plain_name(name: str) -> str:
    """Return the name of a parameter as it is without torch.compile, which may have wrapped a part of the model."""
    return ".".join(piece for piece in name.split(".") if piece != COMPILED)


def eagerly() -> AbstractContextManager[object]:
    """Run compiled models as they were written: their hooks are called then, and they can be differentiated twice."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
