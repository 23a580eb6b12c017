"""Contrastive learning without labels."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from prunekit import Batch, Objective, TrainableNetwork, register

from .supcon import project, supcon_loss


@register("simclr", source="Chen et al. 2020, arXiv 2002.05709, eq. 1: NT-Xent")
class SimClr(Objective):
    """Draws the views of one image together and apart from all others, on the projector's sphere."""

    views: ClassVar[int] = 2
    trains: ClassVar[tuple[str, ...]] = ("encoder", "projector")

    temperature: float = Field(default=0.5, gt=0.0, allow_inf_nan=False)
    """Divides the cosine similarities: small values weigh the nearest negatives most."""
    dimension: int = Field(default=128, ge=1)
    """Output dimension of the projector."""

    @property
    def projector(self) -> int:
        """Output dimension of the projector."""
        return self.dimension

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """Return NT-Xent over both views."""
        return supcon_loss(project(network, batch), None, self.temperature, base_temperature=self.temperature)
