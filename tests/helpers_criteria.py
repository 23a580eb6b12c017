"""What tests of criteria share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from prunekit import PruningContext
from prunekit.masks import find_targets
from prunekit.protocols import TargetSelection
from prunekit.seeds import generator

Loss = Callable[[nn.Module, Any], Tensor]


def context(
    model: nn.Module,
    data: Sequence[Any] | Callable[[], Iterator[Any]] | None = None,
    loss: Loss | None = None,
    parameters: Sequence[str] = ("weight",),
) -> PruningContext:
    """Return what a criterion is given for ``model`` and the batches ``data``."""
    selection = TargetSelection.model_validate({"parameters": list(parameters)})
    batches = None if data is None else data if callable(data) else lambda: iter(data)
    return PruningContext(model, find_targets(model, selection), generator(0, 0, 0, "criterion"), loss, batches)
