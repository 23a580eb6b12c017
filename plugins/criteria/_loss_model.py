"""The change of the loss when a weight is removed, by a linear or quadratic model of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from prunekit import Criterion, PruningContext

from ._examples import device_of, first_examples, inputs_of, mean_gradients, size_of
from ._gauss_newton import gauss_newton_diagonal
from ._modes import scoring

SOURCE = "Laurent et al. 2020, arXiv 2006.12279, §2"


class LossModel(Criterion):
    """Score = |−g·θ + ½·d·θ²| + ½·λ·θ²: g the gradient, d the diagonal of the Gauss–Newton matrix.

    Both are means over the same examples, with the network in eval mode and its weights as they are now. What is pruned
    has score 0.
    """

    needs_data: ClassVar[bool] = True
    gradient: ClassVar[bool]
    """Whether the model has the linear term; without it g is 0."""
    curvature: ClassVar[bool]
    """Whether it has the quadratic term; without it d is 0."""

    regularisation: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """λ, at least 0: how much the size of the step counts besides. The paper takes 0 and 1e-5 to 1e2."""
    examples: int = Field(default=1000, ge=1)
    """How many training examples, the first ones; all of them where there are fewer."""

    @property
    def reading(self) -> str:
        """Say which examples are looked at."""
        return (
            f"{self.name}: the same {self.examples:,} training examples in every round, in eval mode (the code of "
            "Laurent et al. draws others in every round)"
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return the scores. Raises InputError where there are no data, no labels for g, or no logits for d."""
        examples = list(first_examples(context, self.examples))  # once: a loader that shuffles gives others then
        parameters = {target.name: target.parameter for target in context.targets}
        with scoring(context.model):
            change = {name: torch.zeros_like(parameter.detach()) for name, parameter in parameters.items()}
            if self.gradient:
                for name, gradient in mean_gradients(context, examples).items():
                    change[name] -= gradient * parameters[name].detach()
            if self.curvature:
                inputs = (inputs_of(batch).to(device_of(context)) for batch in examples)
                seen = sum(map(size_of, examples))
                for name, own in gauss_newton_diagonal(context.model, parameters, inputs).items():
                    diagonal = context.ranks.mean(own, weight=seen)
                    change[name] += diagonal * parameters[name].detach().square() / 2
        half = self.regularisation / 2
        return {name: change[name].abs_() + half * p.detach().square() for name, p in parameters.items()}
