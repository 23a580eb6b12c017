"""The training examples that criteria look at: so many of them, their loss, their gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit import Batch, InputError, PruningContext


def first_examples(context: PruningContext, count: int | None) -> Iterator[Any]:
    """Yield the batches of the first ``count`` training examples, the last one cut to size; None: of all.

    Yields fewer where there are fewer. Raises InputError where there are no examples at all.
    """
    if context.batches is None:
        raise InputError("it looks at training data, and there are none: pass data= (and loss=) to the Pruner")
    left, found = count, False
    for batch in context.batches():
        size = size_of(batch)
        if size:
            found = True
            yield batch if left is None or size <= left else cut(batch, left)
        left = None if left is None else left - size
        if left is not None and left <= 0:
            break
    if not found:
        raise InputError("it looks at training data, and there are no examples in them")


def inputs_of(batch: Any) -> Tensor:
    """Return what a model is called with, [B, …]: of a :class:`prunekit.Batch` its first view."""
    if isinstance(batch, Batch):
        return batch.images[0]
    first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(first, Tensor):
        raise InputError(f"it looks at inputs: expected batches (inputs, labels), not a {type(batch).__name__}")
    return first


def labels_of(batch: Any) -> Tensor:
    """Return the classes of a batch, int64 [B]. Raises InputError where it has no such labels."""
    labels = batch.labels if isinstance(batch, Batch) else None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        raise InputError("it looks at labels, and the data have none: expected batches (inputs, labels), int64 [B]")
    return labels


def size_of(batch: Any) -> int:
    """Return how many examples a batch holds."""
    return len(inputs_of(batch))


def cut(batch: Any, count: int) -> Any:
    """Return the first ``count`` examples of a batch."""
    if isinstance(batch, Batch):
        return dataclasses.replace(batch, images=batch.images[:, :count], labels=batch.labels[:count])
    if isinstance(batch, Tensor):
        return batch[:count]
    return type(batch)(each[:count] for each in batch)


def mean_loss(context: PruningContext, batch: Any) -> Tensor:
    """Return the loss that the caller minimises, a mean over the batch; without one, cross-entropy."""
    if context.loss is not None:
        return context.loss(context.model, batch)
    return F.cross_entropy(context.model(inputs_of(batch)), labels_of(batch))


def mean_gradients(context: PruningContext, count: int | None) -> dict[str, Tensor]:
    """Return ∂L/∂θ by target name, L the mean loss of the first ``count`` examples; zeros where L does not depend on θ.

    The model is taken in the mode that it is in. No ``.grad`` is touched.
    """
    parameters = [target.parameter for target in context.targets]
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    seen = 0
    with torch.enable_grad():
        for batch in first_examples(context, count):
            size = size_of(batch)
            for total, gradient in zip(
                sums, torch.autograd.grad(mean_loss(context, batch), parameters, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    total.add_(gradient, alpha=size)
            seen += size
    return {target.name: total / seen for target, total in zip(context.targets, sums, strict=True)}
