"""The training examples that criteria look at: so many of them, their loss, their gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit import Batch, InputError, PruningContext


def first_examples(context: PruningContext, count: int | None) -> Iterator[Any]:
    """Yield the batches of the first ``count`` training examples, the last one cut to size; None: of all.

    Yields fewer where there are fewer; of several ranks each looks at its share. Raises InputError where there are no
    examples at all.
    """
    if context.batches is None:
        raise InputError("it looks at training data, and there are none: pass data= (and loss=) to the Pruner")
    left, found = None if count is None else context.ranks.share(count), False
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
    """Return how many examples a batch holds; of a mapping its first tensor says it."""
    if isinstance(batch, Mapping):
        return len(next((each for each in batch.values() if isinstance(each, Tensor)), ()))
    return len(inputs_of(batch))


def cut(batch: Any, count: int) -> Any:
    """Return the first ``count`` examples of a batch."""
    return _part(batch, slice(count))


def chunks(batch: Any, size: int) -> Iterator[Any]:
    """Yield a batch in parts of ``size`` examples, the last one of what is left."""
    for start in range(0, size_of(batch), size):
        yield _part(batch, slice(start, start + size))


def _part(batch: Any, which: slice) -> Any:
    if isinstance(batch, Batch):
        return dataclasses.replace(batch, images=batch.images[:, which], labels=batch.labels[which])
    if isinstance(batch, Tensor):
        return batch[which]
    if isinstance(batch, Mapping):
        return {key: each[which] if isinstance(each, Tensor) else each for key, each in batch.items()}
    make = getattr(type(batch), "_make", type(batch))  # a named tuple takes its fields one by one
    return make(each[which] for each in batch)


def device_of(context: PruningContext) -> torch.device:
    """Return where the model is: inputs are moved there."""
    return context.targets[0].parameter.device


def logits_of(context: PruningContext, batch: Any) -> Tensor:
    """Return what the model makes of a batch, [B, …]. Raises InputError where that is no tensor."""
    outputs: object = context.model(inputs_of(batch).to(device_of(context)))
    if not isinstance(outputs, Tensor):
        raise InputError(f"it needs a model that returns a tensor, not a {type(outputs).__name__}")
    return outputs


def mean_loss(context: PruningContext, batch: Any) -> Tensor:
    """Return the loss that the caller minimises, a mean over the batch; without one, cross-entropy.

    Raises InputError where it is no scalar, or not finite.
    """
    if context.loss is not None:
        return checked_loss(context.loss(context.model, batch))
    labels = labels_of(batch)
    return checked_loss(F.cross_entropy(logits_of(context, batch), labels.to(device_of(context))))


def checked_loss(loss: Tensor) -> Tensor:
    """Return ``loss``. Raises InputError where it is no scalar, or not finite: scores would not be numbers then."""
    if not isinstance(loss, Tensor):
        raise InputError(f"loss= returned a {type(loss).__name__}: expected a scalar tensor, its mean over the batch")
    if loss.numel() != 1:
        raise InputError(f"the loss is of shape {list(loss.shape)}: expected a scalar, its mean over the batch")
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(f"the loss of a batch of training data is {value}: look at the weights and the inputs")
    return loss.sum()


@contextmanager
def requiring_gradients(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Let gradients of ``parameters`` be taken, of frozen ones too."""
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter, needed in zip(parameters, before, strict=True):
            parameter.requires_grad_(needed)


def gradients(value: Tensor, parameters: Sequence[Tensor], create_graph: bool = False) -> Sequence[Tensor]:
    """Return the gradients of a scalar, zeros where it does not depend on a parameter. No ``.grad`` is touched."""
    if not value.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    return torch.autograd.grad(value, parameters, create_graph=create_graph, allow_unused=True, materialize_grads=True)


def mean_gradients(context: PruningContext, batches: Iterable[Any]) -> dict[str, Tensor]:
    """Return ∂L/∂θ by target name, L the mean loss of the examples in ``batches``; zeros where it does not depend on θ.

    The model is taken in the mode that it is in. No ``.grad`` is touched. Of several ranks it is the mean over the
    examples of all.
    """
    parameters = [target.parameter for target in context.targets]
    sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
    seen = 0
    with requiring_gradients(parameters):
        for batch in batches:
            size = size_of(batch)
            for total, gradient in zip(sums, gradients(mean_loss(context, batch), parameters), strict=True):
                total.add_(gradient, alpha=size)
            seen += size
    means = [context.ranks.mean(total / seen, weight=seen) for total in sums]
    return {target.name: mean for target, mean in zip(context.targets, means, strict=True)}
