"""Contrastive learning without labels."""

from __future__ import annotations

from torch import Tensor

from prunekit import Batch, TrainableNetwork, register

from ._contrastive import Contrastive, Dimension, project
from .supcon import supcon_loss


@register("simclr", source="Chen et al. 2020, arXiv 2002.05709, eq. 1: NT-Xent")
class SimClr(Contrastive):
    """Draws the views of one image together and apart from all others, on the projector's sphere."""

    dimension: Dimension = 128
    """Output dimension of the projector."""

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """Return NT-Xent over both views."""
        return supcon_loss(project(network, batch), None, self.temperature, base_temperature=self.temperature)
