"""Any weight goes first: the floor that a criterion has to beat."""

import torch
from torch import Tensor

from prunekit import Criterion, PruningContext, register


@register("random")
class Random(Criterion):
    """Draw which weights are kept, each as likely as any other."""

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Return uniform numbers in [0, 1)."""
        return {t.name: torch.rand(t.parameter.shape, generator=context.generator) for t in context.targets}
