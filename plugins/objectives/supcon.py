"""Supervised contrastive learning."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from prunekit import Batch, TrainableNetwork, register

from ._contrastive import Contrastive, Dimension, project


@register("supcon", source="Khosla et al. 2020, arXiv 2004.11362, eq. 2: L_out")
class SupCon(Contrastive):
    """Draws images of one class together and apart from all others, on the projector's sphere."""

    base_temperature: float = Field(default=0.07, gt=0.0, allow_inf_nan=False)
    """The loss is multiplied by temperature / base_temperature, which rescales the learning rate."""
    dimension: Dimension = 128
    """Output dimension of the projector."""

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """Return L_out over all views."""
        return supcon_loss(project(network, batch), batch.labels, self.temperature, self.base_temperature)


def supcon_loss(features: Tensor, labels: Tensor | None, temperature: float, base_temperature: float) -> Tensor:
    """Return the supervised contrastive loss L_out, a scalar, mean over all anchors (every view of every example).

    ``features`` is [B, V, D], rows of length 1. Positives of an anchor are the other views of all examples of its
    label in ``labels`` [B], or of its own example alone where ``labels`` is None (SimCLR). An anchor without
    positives contributes 0. Computed in float32, or in float64 where the features are.

    Source: Khosla et al. 2020, arXiv 2004.11362, eq. 2, times temperature / base_temperature as in their code.
    """
    examples, views, _ = features.shape
    with torch.autocast(features.device.type, enabled=False):
        anchors = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(0, 1)
        similarity = anchors @ anchors.T / temperature
        others = ~torch.eye(len(anchors), dtype=torch.bool, device=features.device)
        groups = torch.arange(examples, device=features.device) if labels is None else labels
        groups = groups.repeat_interleave(views)
        positives = (groups[:, None] == groups) & others
        log_total = similarity.masked_fill(~others, -torch.inf).logsumexp(dim=1, keepdim=True)
        # A lone anchor has no others, so its total is log 0; it has no positives either and must stay 0.
        log_probability = (similarity - log_total).masked_fill(~positives, 0.0)
        mean = log_probability.sum(dim=1) / positives.sum(dim=1).clamp(min=1)
        return -(temperature / base_temperature) * mean.mean()
