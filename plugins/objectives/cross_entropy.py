"""Cross-entropy: supervised classification."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from prunekit import Batch, Objective, TrainableNetwork, register


@register("cross_entropy", source="label smoothing: Szegedy et al. 2016, arXiv 1512.00567, §7")
class CrossEntropy(Objective):
    """Cross-entropy of the softmax of the logits, in nats, mean over the batch."""

    label_smoothing: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of every label's mass that is spread evenly over all classes."""

    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """Return the mean over all views of all images."""
        logits = network.logits(batch.images.flatten(0, 1))
        labels = batch.labels.repeat(len(batch.images))
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
