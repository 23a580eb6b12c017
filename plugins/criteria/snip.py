"""SNIP: how much the loss changes at once as a weight's connection weakens."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from prunekit import Criterion, PruningContext, register

from ._examples import first_examples, mean_gradients
from ._modes import Statistics, mode_reading, scoring


@register("snip", source="Lee et al. 2019, arXiv 1810.02340, §4")
class Snip(Criterion):
    """Keep the weights of largest |θ · ∂L/∂θ|, L the mean loss of a few training examples.

    The paper prunes once, before training, on one batch of the size that is trained with. Its division by the sum of
    all scores changes no order and is left out.
    """

    needs_data: ClassVar[bool] = True

    examples: int | None = Field(default=128, ge=1)
    """Training examples that the loss is a mean of; null: all. 128 is the paper's batch of CIFAR-10."""
    statistics: Statistics = "batch"
    """What BatchNorm normalises with: ``batch``, as a network does before it has been trained, or ``running``."""

    @property
    def reading(self) -> str:
        """Say how many examples are looked at, and in which mode."""
        count = "all training examples" if self.examples is None else f"{self.examples} training examples"
        return f"{self.name}: |θ · ∂L/∂θ| of the mean loss of {count}, {mode_reading(self.statistics)}, no dropout"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return |θ · ∂L/∂θ|, in units of the loss. Raises InputError where the loss is not finite."""
        with scoring(context.model, self.statistics):
            gradients = mean_gradients(context, first_examples(context, self.examples))
        return {target.name: (target.parameter.detach() * gradients[target.name]).abs() for target in context.targets}
