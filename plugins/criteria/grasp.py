"""GraSP: how much the flow of the gradient weakens as a weight is removed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, hardsigmoid, relu6
from torch.overrides import TorchFunctionMode

from prunekit import Criterion, InputError, PruningContext, register

from ._examples import (
    checked_loss,
    device_of,
    first_examples,
    gradients,
    labels_of,
    logits_of,
    requiring_gradients,
    size_of,
)
from ._modes import Statistics, mode_reading, scoring

_NO_SECOND_DERIVATIVE = re.compile("derivative for .* is not implemented|once_differentiable")


@register("grasp", source="Wang et al. 2020, arXiv 2002.07376, §4 and algorithm 1")
class Grasp(Criterion):
    """Remove the weights of largest S = −θ ⊙ (H g): those whose removal weakens the gradient least, or strengthens it.

    The score is θ ⊙ (H g), higher = keep, its sign kept. g and H are gradient and Hessian of the mean cross-entropy of
    softmax(logits / temperature) with respect to the weights that are pruned, both of the same examples. Needs labels.
    """

    needs_data: ClassVar[bool] = True

    examples: int = Field(default=100, ge=1)
    """Training examples, all held at once. 100 is ten of each class of CIFAR-10, as in the authors' settings; they draw
    as many of every class, here the first ones of the shuffled data are taken."""
    temperature: float = Field(default=200.0, gt=0, allow_inf_nan=False)
    """What logits are divided by; 200 in the authors' code."""
    statistics: Statistics = "batch"
    """What BatchNorm normalises with: ``batch``, as in the authors' code, or ``running``."""

    @property
    def reading(self) -> str:
        """Say which sign is kept, of how many examples, and in which mode."""
        return (
            f"{self.name}: θ ⊙ Hg is kept where it is largest, of {self.examples} training examples, logits divided by "
            f"{self.temperature:g}, {mode_reading(self.statistics)}, no dropout"
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return θ ⊙ (H g), any sign.

        Raises InputError where the data have no labels, the loss is not finite, or an operation has no second
        derivative.
        """
        parameters = [target.parameter for target in context.targets]
        batches = list(first_examples(context, self.examples))  # a loader that shuffles would give others the next time
        count = sum(size_of(batch) for batch in batches)
        flow = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        curved = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        with scoring(context.model, self.statistics), requiring_gradients(parameters), _twice_differentiable():
            for batch in batches:
                _add(flow, gradients(self._loss(context, batch), parameters), size_of(batch) / count)
            flow = [context.ranks.mean(each, weight=count) for each in flow]
            for batch in batches:
                first = gradients(self._loss(context, batch), parameters, create_graph=True)
                along = torch.stack([(g * f).sum() for g, f in zip(flow, first, strict=True)]).sum()
                _refuse_dead_ends(along)
                _add(curved, gradients(along, parameters), size_of(batch) / count)
            curved = [context.ranks.mean(each, weight=count) for each in curved]
        return {t.name: t.parameter.detach() * each for t, each in zip(context.targets, curved, strict=True)}

    def _loss(self, context: PruningContext, batch: Any) -> Tensor:
        labels = labels_of(batch).to(device_of(context))
        return checked_loss(cross_entropy(logits_of(context, batch) / self.temperature, labels))


def _add(sums: Sequence[Tensor], values: Sequence[Tensor], share: float) -> None:
    for total, value in zip(sums, values, strict=True):
        total.add_(value, alpha=share)


@contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Compute in plain operations what has no second derivative in torch otherwise; name what has none even so."""
    try:
        with sdpa_kernel(SDPBackend.MATH), _PlainOperations():
            yield
    except RuntimeError as error:
        if not _NO_SECOND_DERIVATIVE.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"it needs second derivatives, and an operation of the model has none: {reason}") from error


def _refuse_dead_ends(value: Tensor) -> None:
    """Raise RuntimeError where a gradient was cut off, by ``once_differentiable``: torch would leave its part out."""
    left, known = [value.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if node.name() == "torch::autograd::Error":
            raise RuntimeError("a torch.autograd.Function whose backward is marked once_differentiable")
        left += [before for before, _ in node.next_functions]


class _PlainOperations(TorchFunctionMode):
    """Computes the hard sigmoid, of MobileNetV3's squeeze-and-excite, as the clipped line that it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is hardsigmoid:
            return relu6(args[0] + 3) / 6
        return func(*args, **(kwargs or {}))
