"""First-order Taylor importance: the squared change of the loss as a weight is removed, to first order."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from prunekit import Criterion, PruningContext, register

from ._examples import chunks, first_examples, gradients, mean_loss, requiring_gradients, size_of
from ._modes import scoring
from ._precision import widest


@register("taylor", source="Molchanov et al. 2019, arXiv 1906.10771, eq. 8")
class Taylor(Criterion):
    """Keep the weights of largest (g · θ)², a mean over small batches, each with its own mean gradient g.

    A weight whose gradient points now one way and now the other keeps its importance, where the gradient of all
    examples together (as in ``snip``) would cancel. The paper sums the importance of a filter's weights; here each
    weight is scored by itself.
    """

    needs_data: ClassVar[bool] = True

    examples: int | None = Field(default=1024, ge=1)
    """Training examples; null: all."""
    batch_size: int = Field(default=128, ge=1)
    """Examples that one gradient is a mean of; 1: the square of every example's own (the paper's full gradient).
    Larger batches of the data are split; smaller ones, as the data may come in, are taken as they are."""

    @property
    def reading(self) -> str:
        """Say what is squared, and in which mode."""
        return (
            f"{self.name}: (g · θ)² of batches of up to {self.batch_size} training examples, the mean over batches, in "
            "eval mode at fixed weights (the paper gathers it while it trains)"
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return the mean of (g · θ)², in units of the loss squared, batches weighted by their size.

        Float64 where the device has it: squares of small products would vanish in float32. Raises InputError where the
        loss is not finite.
        """
        parameters = [target.parameter for target in context.targets]
        sums = [torch.zeros_like(p, dtype=widest(p.device), requires_grad=False) for p in parameters]
        seen = 0
        with scoring(context.model), requiring_gradients(parameters):
            for batch in first_examples(context, self.examples):
                for chunk in chunks(batch, self.batch_size):
                    found = gradients(mean_loss(context, chunk), parameters)
                    for total, parameter, gradient in zip(sums, parameters, found, strict=True):
                        product = gradient.to(total.dtype) * parameter.detach()
                        total.add_(product.square_(), alpha=size_of(chunk))
                    seen += size_of(chunk)
        means = [context.ranks.mean(total / seen, weight=seen) for total in sums]
        return {target.name: mean for target, mean in zip(context.targets, means, strict=True)}
