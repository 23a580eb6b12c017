"""A training stage after a finished epoch, as tensors and JSON; an optimiser's state, out and in again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Checkpoint:
    """A training stage after a finished epoch: enough to go on with the same bits."""

    tensors: dict[str, Tensor]
    """On the CPU: ``weights/<parameter or buffer>``, ``mask/<parameter>`` (bool), ``optimizer/<parameter>/<state>``."""
    meta: dict[str, Any]
    """JSON: epoch, iteration, history, updates, and the optimiser's state that is no tensor."""

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with ``prefix/``, without it."""
        return {k.removeprefix(f"{prefix}/"): v for k, v in self.tensors.items() if k.startswith(f"{prefix}/")}


def copied(tensor: Tensor) -> Tensor:
    """Return a contiguous copy on the CPU."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def optimizer_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what ``optimizer`` knows of each parameter, by ``<parameter>/<state>``: copied tensors, and the rest."""
    tensors, scalars = {}, {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = copied(value)
            else:
                scalars[f"{name}/{key}"] = value
    return tensors, scalars


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], state: Mapping[str, Any]
) -> None:
    """Give ``optimizer``, built over ``parameters`` in their order, the ``state`` of :func:`optimizer_state`."""
    numbers = {name: i for i, name in enumerate(parameters)}
    by_number: dict[int, dict[str, Any]] = {}
    for path, value in state.items():
        name, _, key = path.rpartition("/")
        parameter = parameters[name]
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            # In the parameter's memory format, so that elementwise kernels do the same operations as before.
            value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
        by_number.setdefault(numbers[name], {})[key] = value
    optimizer.load_state_dict({"state": by_number, "param_groups": optimizer.state_dict()["param_groups"]})
